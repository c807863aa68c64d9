package web

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template/parse"
	"unicode"

	"golang.org/x/net/html"
)

// found are the texts of the code and the pages, each with where it is.
type found struct {
	texts, layouts map[string]string
	counted        map[string]string // the plurals, with their singular
}

func findTexts(t *testing.T) *found {
	t.Helper()
	f := &found{map[string]string{}, map[string]string{}, map[string]string{}}
	for _, trees := range pageTrees(t) {
		for name, tree := range trees {
			f.template(t, name, tree.Root)
		}
	}
	f.packages(t, ".", "../../cmd/outbridge")
	return f
}

// pageTrees are the parsed templates, by file.
func pageTrees(t *testing.T) map[string]map[string]*parse.Tree {
	t.Helper()
	names, err := fs.Glob(files, "pages/*.html")
	if err != nil {
		t.Fatal(err)
	}
	funcs := map[string]any{}
	for name := range (&Handler{}).funcs(English) {
		funcs[name] = 0
	}
	for _, name := range []string{"and", "or", "not", "eq", "ne", "print", "printf", "index", "len", "html", "urlquery", "js", "call", "slice", "lt", "le", "gt", "ge"} {
		funcs[name] = 0
	}
	all := map[string]map[string]*parse.Tree{}
	for _, name := range names {
		data, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		trees, err := parse.Parse(name, string(data), "", "", funcs)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = trees
	}
	return all
}

// walk calls see with each command of a template.
func walk(n parse.Node, see func(*parse.CommandNode)) {
	branch := func(pipe *parse.PipeNode, lists ...*parse.ListNode) {
		walk(pipe, see)
		for _, l := range lists {
			if l != nil {
				walk(l, see)
			}
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		for _, one := range n.Nodes {
			walk(one, see)
		}
	case *parse.ActionNode:
		walk(n.Pipe, see)
	case *parse.IfNode:
		branch(n.Pipe, n.List, n.ElseList)
	case *parse.RangeNode:
		branch(n.Pipe, n.List, n.ElseList)
	case *parse.WithNode:
		branch(n.Pipe, n.List, n.ElseList)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			walk(n.Pipe, see)
		}
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			see(c)
			for _, arg := range c.Args {
				walk(arg, see)
			}
		}
	}
}

func (f *found) template(t *testing.T, where string, root parse.Node) {
	walk(root, func(c *parse.CommandNode) {
		name, ok := c.Args[0].(*parse.IdentifierNode)
		if !ok {
			return
		}
		text := func(i int) (string, bool) {
			s, ok := c.Args[i].(*parse.StringNode)
			if !ok {
				return "", false
			}
			return s.Text, true
		}
		switch name.Ident {
		case "t", "h":
			english, ok := text(1)
			if !ok {
				if name.Ident == "h" {
					t.Errorf("%s: markup that is no literal: %s", where, c)
				}
				return
			}
			f.texts[english] = where
			// Scripts fill in the numbers of those without values.
			if values := len(c.Args) - 2; values != 0 && values != len(placeholders(english)) {
				t.Errorf("%s: %d values for %q", where, values, english)
			} else if values == 0 && len(placeholders(english)) > 0 && english != "Go to {date}" && !slices.Equal(placeholders(english), []string{"{n}"}) {
				t.Errorf("%s: no values for %q", where, english)
			}
		case "n":
			one, ok1 := text(2)
			many, ok2 := text(3)
			if !ok1 || !ok2 {
				t.Errorf("%s: texts that are no literals: %s", where, c)
				return
			}
			f.texts[many], f.counted[many] = where, one
			if want := len(placeholders("{n}"+many)) - 1; len(c.Args)-4 != want {
				t.Errorf("%s: %d values for %q, not %d", where, len(c.Args)-4, many, want)
			}
		}
	})
}

// packages finds the constants of the types Text and Layout.
func (f *found) packages(t *testing.T, dirs ...string) {
	exports := map[string]string{}
	type pkg struct {
		ImportPath, Dir, Export string
		GoFiles                 []string
		DepOnly                 bool
	}
	var ours []pkg
	cmd := exec.Command("go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,DepOnly"}, dirs...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p pkg
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if !p.DepOnly {
			ours = append(ours, p)
		}
	}
	fset := token.NewFileSet()
	compiled := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	for _, p := range ours {
		var list []*ast.File
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, file)
		}
		info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
		if _, err := (&types.Config{Importer: compiled}).Check(p.ImportPath, fset, list, info); err != nil {
			t.Fatal(err)
		}
		for _, file := range list {
			if base := filepath.Base(fset.File(file.Pos()).Name()); base == "language.go" {
				continue // it takes texts apart
			}
			ast.Inspect(file, func(n ast.Node) bool { return f.expression(t, fset, info, n) })
		}
	}
}

// ours is which of the types of texts an expression has; "" for none.
func ours(info *types.Info, e ast.Expr) (name string, value constant.Value) {
	tv := info.Types[e]
	named, ok := tv.Type.(*types.Named)
	if !ok || named.Obj().Pkg() == nil || named.Obj().Pkg().Name() != "web" {
		return "", nil
	}
	return named.Obj().Name(), tv.Value
}

func (f *found) expression(t *testing.T, fset *token.FileSet, info *types.Info, n ast.Node) bool {
	call, ok := n.(*ast.CallExpr)
	if ok {
		where := fset.Position(call.Pos()).String()
		var callee *ast.Ident
		switch fun := call.Fun.(type) {
		case *ast.Ident:
			callee = fun
		case *ast.SelectorExpr:
			callee = fun.Sel
		}
		if callee == nil {
			return true
		}
		text := func(i int) (string, bool) {
			if i >= len(call.Args) {
				return "", false
			}
			name, value := ours(info, call.Args[i])
			if name != "Text" || value == nil {
				return "", false
			}
			return constant.StringVal(value), true
		}
		switch callee.Name {
		case "Counted", "N":
			one, ok1 := text(1)
			many, ok2 := text(2)
			if !ok1 || !ok2 {
				break
			}
			f.texts[many], f.counted[many] = where, one
			if want := len(placeholders("{n}"+many)) - 1; len(call.Args)-3 != want {
				t.Errorf("%s: %d values for %q, not %d", where, len(call.Args)-3, many, want)
			}
			for _, a := range call.Args[3:] {
				ast.Inspect(a, func(n ast.Node) bool { return f.expression(t, fset, info, n) })
			}
			return false
		case "With", "Text", "HTML":
			if english, ok := text(0); ok && len(call.Args)-1 != len(placeholders(english)) && info.Types[call.Fun].IsValue() {
				t.Errorf("%s: %d values for %q", where, len(call.Args)-1, english)
			}
			// A text that is put together in another way than by With cannot be found by its translators.
			if name, value := ours(info, call); info.Types[call.Fun].IsType() && name == "Text" && value == nil {
				t.Errorf("%s: this makes a text of what is no constant", where)
			}
		}
		return true
	}
	if e, ok := n.(ast.Expr); ok {
		if name, value := ours(info, e); value != nil && value.Kind() == constant.String && constant.StringVal(value) != "" {
			where := fset.Position(e.Pos()).String()
			switch name {
			case "Text":
				f.texts[constant.StringVal(value)] = where
			case "Layout":
				f.layouts[constant.StringVal(value)] = where
			}
			return false
		}
	}
	return true
}

// markup is the tags and the addresses of a text.
var markup = regexp.MustCompile(`<[^>]*>`)

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// Each language has every text, with the same placeholders and the same markup, and no others.
func TestLanguagesAreWhole(t *testing.T) {
	t.Parallel()
	f := findTexts(t)
	if len(f.texts) < 300 || len(f.layouts) < 5 || len(f.counted) < 20 {
		t.Fatalf("found only %d texts, %d layouts and %d plurals", len(f.texts), len(f.layouts), len(f.counted))
	}
	for _, l := range Languages()[1:] {
		for english, where := range f.texts {
			// What consists of placeholders is the same everywhere, unless a language says otherwise.
			needed := strings.ContainsFunc(placeholder.ReplaceAllString(english, ""), unicode.IsLetter)
			found, ok := l.file.Texts[english]
			if !ok && needed {
				t.Errorf("%s lacks %q (%s)", l.Tag, english, where)
			}
			if !ok {
				continue
			}
			forms := map[string]any{"": found}
			if several, ok := found.(map[string]any); ok {
				forms = several
				if _, counted := f.counted[english]; !counted || several["other"] == nil {
					t.Errorf("%s: %q has plural forms, and should not, or not the form \"other\"", l.Tag, english)
				}
			}
			for form, text := range forms {
				text, ok := text.(string)
				want, got := sorted(placeholders(english)), sorted(placeholders(text))
				// A form for a single number need not have it.
				if _, counted := f.counted[english]; counted && form != "" && form != "other" && !slices.Contains(got, "{n}") {
					want = slices.DeleteFunc(want, func(p string) bool { return p == "{n}" })
				}
				if !ok || text == "" || !slices.Equal(want, got) {
					t.Errorf("%s: %q has other placeholders than %q", l.Tag, text, english)
				}
				if !slices.Equal(sorted(markup.FindAllString(english, -1)), sorted(markup.FindAllString(text, -1))) {
					t.Errorf("%s: %q has other markup than %q", l.Tag, text, english)
				}
				if form != "" && form != "zero" && form != "one" && form != "two" && form != "few" && form != "many" && form != "other" {
					t.Errorf("%s: there is no plural form %q, as %q has", l.Tag, form, english)
				}
			}
		}
		for english := range l.file.Texts {
			if f.texts[english] == "" {
				t.Errorf("%s has %q, which is no text any more", l.Tag, english)
			}
		}
		for layout, where := range f.layouts {
			if l.file.Layouts[layout] == "" {
				t.Errorf("%s lacks the layout %q (%s)", l.Tag, layout, where)
			}
		}
		for layout := range l.file.Layouts {
			if f.layouts[layout] == "" {
				t.Errorf("%s has the layout %q, which is none any more", l.Tag, layout)
			}
		}
		for english, text := range l.file.Kept {
			if !slices.Equal(sorted(placeholders(english)), sorted(placeholders(text))) || text == "" {
				t.Errorf("%s: %q has other placeholders than %q", l.Tag, text, english)
			}
		}
		d := l.file.Dates
		if len(d.Months) != 12 || len(d.MonthsShort) != 12 || len(d.Days) != 7 || len(d.DaysShort) != 7 || l.Name == "" {
			t.Errorf("%s: the names of months or days are not complete", l.Tag)
		}
	}
}

// The pages have no English text outside of the functions that translate.
func TestNoBareText(t *testing.T) {
	t.Parallel()
	for file, trees := range pageTrees(t) {
		for name, tree := range trees {
			var b strings.Builder
			flatten(&b, tree.Root)
			bareText(b.String(), func(text string) { t.Errorf("%s, %s: %q is not translated", file, name, text) })
		}
	}
	bad := 0
	bareText(`<p title="Here">there <code>code</code> <b translate="no">Name</b> <img alt="">`, func(string) { bad++ })
	if bad != 2 {
		t.Errorf("found %d texts where there are two", bad)
	}
}

// flatten writes the literal parts of a template, all branches one after the other.
func flatten(b *strings.Builder, n parse.Node) {
	branches := func(lists ...*parse.ListNode) {
		for _, l := range lists {
			if l != nil {
				flatten(b, l)
			}
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		for _, one := range n.Nodes {
			flatten(b, one)
		}
	case *parse.TextNode:
		b.Write(n.Text)
	case *parse.IfNode:
		branches(n.List, n.ElseList)
	case *parse.RangeNode:
		branches(n.List, n.ElseList)
	case *parse.WithNode:
		branches(n.List, n.ElseList)
	}
}

// bareText finds texts that people read in HTML.
func bareText(text string, bare func(string)) {
	z := html.NewTokenizer(strings.NewReader(text))
	var inside []string // names that are the same in all languages
	for {
		kind := z.Next()
		token := z.Token()
		switch kind {
		case html.ErrorToken:
			return
		case html.StartTagToken, html.SelfClosingTagToken:
			skip := token.Data == "code" || token.Data == "pre" || token.Data == "script" || token.Data == "style" || token.Data == "noscript"
			button := token.Data == "button" || token.Data == "input" && slices.ContainsFunc(token.Attr, func(a html.Attribute) bool { return a.Key == "type" && a.Val == "submit" })
			for _, a := range token.Attr {
				switch {
				case a.Key == "translate" && a.Val == "no":
					skip = true
				case slices.Contains([]string{"title", "alt", "aria-label", "aria-description", "placeholder"}, a.Key), a.Key == "value" && button,
					strings.HasPrefix(a.Key, "data-") && a.Key != "data-while" && !strings.Contains(a.Val, "/"):
					if english(a.Val) {
						bare(a.Val)
					}
				}
			}
			if kind == html.StartTagToken && (skip || len(inside) > 0 && token.Data == inside[0]) {
				inside = append(inside, token.Data)
			}
		case html.EndTagToken:
			if n := len(inside); n > 0 && inside[n-1] == token.Data {
				inside = inside[:n-1]
			}
		case html.TextToken:
			if len(inside) == 0 && english(token.Data) {
				bare(strings.TrimSpace(token.Data))
			}
		}
	}
}

// english reports whether a text is one, and not our name or what people type, such as 12mo.
func english(text string) bool {
	text = strings.TrimSpace(strings.ReplaceAll(text, "outbridge", ""))
	return strings.ContainsFunc(text, unicode.IsLetter) && !unicode.IsDigit(rune(text[0]))
}

// TestPagesParse parses each page in each language, which the program does when it shows one.
func TestPagesParse(t *testing.T) {
	h := &Handler{}
	h.assets, h.templates = loadAssets(), h.loadTemplates()
	names, err := fs.Glob(files, "pages/*.html")
	if err != nil || len(names) < 30 {
		t.Fatal(names, err)
	}
	for _, l := range Languages() {
		for _, name := range names {
			if _, err := h.template(l, strings.TrimSuffix(filepath.Base(name), ".html")); err != nil {
				t.Errorf("%s in %s: %v", name, l.Tag, err)
			}
		}
		if _, err := h.template(l, "nothing"); err == nil {
			t.Error("a page that does not exist")
		}
	}
}
