package web

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"outbridge/bridge"
)

// The packages that make sentences which are kept: what differs from Outlook, and why a change was refused.
var sentenceMakers = []string{"../convert", "../write", "../round"}

var formatVerb = regexp.MustCompile(`%(\[\d+\])?[sdvq]`)

// hole is where a sentence has a value.
const hole = "\x00"

// literal is a sentence with holes for what is no constant; "" if it is none.
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return s
		}
	case *ast.BinaryExpr:
		left, right := literal(e.X), literal(e.Y)
		if e.Op != token.ADD || left == "" && right == "" {
			return ""
		}
		return orHole(left) + orHole(right)
	case *ast.CallExpr:
		if f, ok := e.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Sprintf" {
			return literal(e.Args[0])
		}
	}
	return ""
}

func orHole(s string) string {
	if s == "" {
		return hole
	}
	return s
}

// keptSentences are the sentences of those packages, with where they are made.
func keptSentences(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	fset := token.NewFileSet()
	take := func(e ast.Expr) {
		s := literal(e)
		s = formatVerb.ReplaceAllStringFunc(s, func(verb string) string {
			if strings.HasSuffix(verb, "q") {
				return `"` + hole + `"`
			}
			return hole
		})
		if strings.HasPrefix(s, " ") { // it is put behind another
			s = hole + s
		}
		first, _ := utf8.DecodeRuneInString(s)
		if len(strings.Fields(s)) > 2 && !unicode.IsLower(first) && first != '\n' && !strings.HasPrefix(s, "Join ") && (strings.HasSuffix(s, ".") || strings.HasSuffix(s, ": "+hole)) {
			all[s] = fset.Position(e.Pos()).String()
		}
	}
	for _, dir := range sentenceMakers {
		names, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") || slices.Contains([]string{"explain.go", "read.go", "zone_names.go"}, filepath.Base(name)) {
				continue
			}
			file, err := parser.ParseFile(fset, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CompositeLit:
					k, ok := n.Type.(*ast.Ident)
					return !ok || k.Name != "Busy" // which is not kept
				case *ast.BinaryExpr:
					take(n)
					return n.Op != token.ADD
				case *ast.CallExpr:
					take(n)
				case *ast.BasicLit:
					take(n)
				}
				return true
			})
		}
	}
	return all
}

// Each language has the sentences that are kept, by their patterns, and no others.
func TestKeptSentences(t *testing.T) {
	t.Parallel()
	made := keptSentences(t)
	if len(made) < 100 {
		t.Fatalf("found only %d sentences", len(made))
	}
	for _, f := range []bridge.Feed{
		{Detail: "all"}, {Detail: bridge.DetailFull, Name: "two\nlines"}, {Detail: bridge.DetailBusy, Options: bridge.FeedOptions{Private: bridge.Show}},
		{Detail: bridge.DetailBusy, Options: bridge.FeedOptions{Alarms: true}}, {Detail: bridge.DetailFull, Options: bridge.FeedOptions{Past: "soon"}},
		{Detail: bridge.DetailFull, Options: bridge.FeedOptions{Ahead: "soon"}}, {Detail: bridge.DetailFull, Options: bridge.FeedOptions{Categories: []string{" "}}},
	} {
		text := f.Check().Error()
		text = strings.ToUpper(text[:1]) + text[1:] + "."
		for _, l := range Languages()[1:] {
			if l.Known(text) == text {
				t.Errorf("%s lacks %q", l.Tag, text)
			}
		}
	}
	for _, l := range Languages()[1:] {
		have := map[string]bool{}
		for english := range l.file.Kept {
			s := placeholder.ReplaceAllString(english, hole)
			have[s] = true
			if made[s] == "" && !ofForms(english) && !slices.Contains(keptReasons, english) {
				t.Errorf("%s keeps %q, which nobody says any more", l.Tag, english)
			}
		}
		for s, where := range made {
			if !have[s] {
				t.Errorf("%s lacks the kept sentence %q (%s)", l.Tag, s, where)
			}
		}
	}
}

// keptReasons are parts of sentences that are kept.
var keptReasons = []string{"The recurrence cannot be read", "The recurrence does not give the occurrences that Outlook shows"}

// TestKeptInParts: what a sentence says of another is in the language as well, and a value may be empty.
func TestKeptInParts(t *testing.T) {
	t.Parallel()
	german, _ := FindLanguage("de")
	for english, want := range map[string]string{
		"The recurrence cannot be read; only those of 2026-01-01 to 2026-05-01 are shown, one by one.": "Die Wiederholung ist nicht lesbar; nur die vom 2026-01-01 bis zum 2026-05-01 werden gezeigt, jeder einzeln.",
		"Outlook does not take the event as it is. Microsoft's number of the request is 4711.":         "Outlook nimmt den Termin so nicht an. Microsofts Nummer der Anfrage ist 4711.",
		`The recurrence has a range of the type ""; it is taken to have no end.`:                       "Die Wiederholung hat ein Ende vom Typ „“; die Serie gilt als endlos.",
	} {
		if got := german.Known(english); got != want {
			t.Errorf("%q is %q", english, got)
		}
	}
}

// recordDetails are those of the record that are words of ours.
var recordDetails = []string{"app registration", "notification target added", "notification target removed", "calendars", "how to sync", "set up", "setup code", "password", "new password",
	"current password", "link to a profile", "link of an invitation", "a sign-in of another browser", "another mailbox than the person's own",
	"no account: tenant {tenant}, object {object}", "with {person}"}

// ofForms reports whether a sentence is a detail of the record, or one about a form, which bridge.Feed.Check or cmd/outbridge says.
func ofForms(english string) bool {
	if slices.Contains(recordDetails, english) {
		return true
	}
	for _, part := range []string{"feed of full detail", "period", "horizon", "Name: ", "Detail ", "Categories: ", "The interval \"{value}\".", "Write a duration", "Write it like", "How far", "Notifications need"} {
		if strings.Contains(english, part) {
			return true
		}
	}
	return false
}
