package web

import (
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// A Text is a text for people as it is written in English, which is also its name in the files of the other languages. It may have
// placeholders such as {calendar}; their values are behind it, see With. What is in square brackets at its end tells translators what
// it is about, and is not shown.
type Text string

// A Layout is how a time is written in English, in Go's notation.
type Layout string

// What is behind a Text: its plural, and the values of its placeholders as JSON.
const (
	pluralMark = "\x01"
	valuesMark = "\x00"
)

// With is a text with the values for its placeholders, in the order in which these are in the English text: strings, numbers, or
// other texts.
func With(text Text, values ...any) Text {
	type tagged struct {
		T Text `json:",omitempty"`
		K kept `json:",omitempty"`
	}
	list := make([]any, len(values))
	for i, v := range values {
		switch inner := v.(type) {
		case Text:
			v = tagged{T: inner}
		case kept:
			v = tagged{K: inner}
		}
		list[i] = v
	}
	b, err := json.Marshal(list)
	if err != nil {
		panic(fmt.Sprintf("values of the text %q: %v", text, err)) // they are strings and numbers
	}
	return text + valuesMark + Text(b)
}

// Counted is one of two texts, by a number. Other languages have more of them, or fewer. The number is the value of {n}.
func Counted(n int, one, many Text, values ...any) Text {
	return With(one+pluralMark+many, append([]any{n}, values...)...)
}

// Plain is what is the same in all languages: a name, or what Microsoft has said.
func Plain(s string) Text { return With("{text}", s) }

// Kept is a sentence of another part of the program, which is kept or sent as it is and is a text by its pattern, see Language.Known.
func Kept(sentence string) Text {
	if sentence == "" {
		return ""
	}
	return With("{text}", kept(sentence))
}

type kept string

// values takes a text apart.
func (t Text) values() (one, many Text, counted bool, values []any) {
	text, packed, ok := strings.Cut(string(t), valuesMark)
	if ok {
		d := json.NewDecoder(strings.NewReader(packed))
		d.UseNumber()
		if err := d.Decode(&values); err != nil {
			return Text(text), Text(text), false, nil
		}
		for i, v := range values {
			switch v := v.(type) {
			case map[string]any:
				inner, _ := v["T"].(string)
				values[i] = Text(inner)
				if sentence, ok := v["K"].(string); ok {
					values[i] = kept(sentence)
				}
			case json.Number:
				n, _ := v.Int64()
				values[i] = int(n)
			}
		}
	}
	first, last, counted := strings.Cut(text, pluralMark)
	if !counted {
		last = first
	}
	return Text(first), Text(last), counted, values
}

// String is the text in English.
func (t Text) String() string { return English.Text(t) }

// Language is one that pages and messages are in. It can be used concurrently.
type Language struct {
	Tag  string // BCP 47
	Name string // as those who speak it call it

	tag     language.Tag
	numbers *message.Printer
	file    languageFile
	kept    []pattern // of file.Kept
}

// pattern finds a sentence with its values.
type pattern struct {
	find  *regexp.Regexp
	names []string
	text  string
}

// languageFile is a file in the folder languages.
type languageFile struct {
	Name  string            `toml:"name"`
	Texts map[string]any    `toml:"texts"` // a string, or the texts for the plural forms of CLDR
	Kept  map[string]string `toml:"kept"`  // sentences that other parts of the program make, with their placeholders

	Layouts map[string]string `toml:"layouts"`
	Dates   struct {
		Months      []string `toml:"months"`
		MonthsShort []string `toml:"months_short"`
		Days        []string `toml:"days"`
		DaysShort   []string `toml:"days_short"`
	} `toml:"dates"`
}

//go:embed languages
var languageFiles embed.FS

// English is the language of the texts in the code.
var English = &Language{Tag: "en", Name: "English", tag: language.English, numbers: message.NewPrinter(language.English)}

// Languages are English and those that have a file.
var Languages = sync.OnceValue(func() []*Language {
	list := []*Language{English}
	entries, err := languageFiles.ReadDir("languages")
	if err != nil {
		panic(err) // it is embedded
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), path.Ext(e.Name()))
		data, err := languageFiles.ReadFile("languages/" + e.Name())
		if err != nil {
			panic(err)
		}
		tag, err := language.Parse(name)
		if err != nil {
			panic(fmt.Sprintf("languages/%s is not named by a language: %v", e.Name(), err))
		}
		l := &Language{Tag: tag.String(), tag: tag, numbers: message.NewPrinter(tag)}
		if err := toml.NewDecoder(strings.NewReader(string(data))).DisallowUnknownFields().Decode(&l.file); err != nil {
			panic(fmt.Sprintf("languages/%s: %v", e.Name(), err))
		}
		l.Name = l.file.Name
		for english, text := range l.file.Kept {
			find := placeholder.ReplaceAllString(regexp.QuoteMeta(placeholder.ReplaceAllString(english, "\x00")), "")
			l.kept = append(l.kept, pattern{regexp.MustCompile("(?s)^" + strings.ReplaceAll(find, "\x00", "(.*?)") + "$"), placeholder.FindAllString(english, -1), text})
		}
		// The one with the most to go by comes first.
		slices.SortFunc(l.kept, func(a, b pattern) int {
			return cmp.Or(len(b.find.String())-len(a.find.String()), cmp.Compare(a.text, b.text))
		})
		list = append(list, l)
	}
	return list
})

var matcher = sync.OnceValue(func() language.Matcher {
	var tags []language.Tag
	for _, l := range Languages() {
		tags = append(tags, l.tag)
	}
	return language.NewMatcher(tags)
})

// FindLanguage is that of a tag such as "de" or "de-AT"; false if there is none.
func FindLanguage(tag string) (*Language, bool) {
	t, err := language.Parse(tag)
	if err != nil {
		return nil, false
	}
	_, i, confidence := matcher().Match(t)
	if confidence < language.High {
		return nil, false
	}
	return Languages()[i], true
}

// longestAccept is how much of an Accept-Language header is read, in octets.
const longestAccept = 300

// acceptLanguage is the language for an Accept-Language header; usual where it names none that there is.
func acceptLanguage(header string, usual *Language) *Language {
	if len(header) > longestAccept {
		header = header[:strings.LastIndexByte(header[:longestAccept], ',')+1]
	}
	tags, _, err := language.ParseAcceptLanguage(strings.TrimSuffix(header, ","))
	if err != nil || len(tags) == 0 {
		return usual
	}
	_, i, confidence := matcher().Match(tags...)
	if confidence == language.No {
		return usual
	}
	return Languages()[i]
}

// Text is a text in this language; in English where the language lacks it. Values are those of its placeholders, unless it has them.
func (l *Language) Text(t Text, values ...any) string {
	return l.fill(t, values, func(s string) string { return s })
}

// HTML is a text that has markup. Its values are escaped, unless they are markup too.
func (l *Language) HTML(t Text, values ...any) template.HTML {
	return template.HTML(l.fill(t, values, template.HTMLEscapeString))
}

// N is one of two texts by a number, which is the value of {n}.
func (l *Language) N(n int, one, many Text, values ...any) string {
	return l.filled(one, many, true, append([]any{n}, values...), func(s string) string { return s })
}

func (l *Language) fill(t Text, values []any, escape func(string) string) string {
	one, many, counted, packed := t.values()
	if packed != nil {
		values = packed
	}
	return l.filled(one, many, counted, values, escape)
}

// filled is one of two texts with the values of its placeholders. counted: the first value is the number that chooses the form.
func (l *Language) filled(one, many Text, counted bool, values []any, escape func(string) string) string {
	names, number := placeholders(string(many)), -1
	if counted && len(values) > 0 {
		number, _ = values[0].(int)
		names = append([]string{"{n}"}, slices.DeleteFunc(names, func(p string) bool { return p == "{n}" })...)
	}
	text := l.form(one, many, number)
	if len(values) == 0 || !strings.Contains(text, "{") {
		return text
	}
	var b strings.Builder
	for {
		before, name, after, ok := cutPlaceholder(text)
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		text = after
		i := slices.Index(names, name)
		if i < 0 || i >= len(values) {
			b.WriteString(name)
			continue
		}
		switch v := values[i].(type) {
		case template.HTML:
			b.WriteString(string(v))
		case Text:
			b.WriteString(escape(l.Text(v)))
		case kept:
			b.WriteString(escape(l.Known(string(v))))
		case int:
			b.WriteString(l.Number(v))
		case string:
			b.WriteString(escape(v))
		default:
			b.WriteString(escape(fmt.Sprint(v)))
		}
	}
}

// form is the text with its placeholders, in the plural form for a number.
func (l *Language) form(one, many Text, n int) string {
	english := many
	if n == 1 {
		english = one
	}
	switch found := l.file.Texts[string(many)].(type) {
	case string:
		return found
	case map[string]any:
		form, _ := found[pluralForms[plural.Cardinal.MatchPlural(l.tag, max(n, -n), 0, 0, 0, 0)]].(string)
		if other, _ := found["other"].(string); form == "" {
			form = other
		}
		if form != "" {
			return form
		}
	}
	return withoutNote(string(english))
}

// withoutNote is a text without what it tells translators.
func withoutNote(text string) string {
	if strings.HasSuffix(text, "]") {
		return note.ReplaceAllString(text, "")
	}
	return text
}

var (
	placeholder = regexp.MustCompile(`\{[a-z]+\}`)
	note        = regexp.MustCompile(` \[[^\]]*\]$`)

	pluralForms = map[plural.Form]string{plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many", plural.Other: "other"}
)

// placeholders are those of a text, each once, in order.
func placeholders(text string) (list []string) {
	for {
		_, name, after, ok := cutPlaceholder(text)
		if !ok {
			return list
		}
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
		text = after
	}
}

// cutPlaceholder cuts a text around its first placeholder; without one, all of it is before.
func cutPlaceholder(text string) (before, name, after string, ok bool) {
	for at := 0; ; {
		i := strings.IndexByte(text[at:], '{')
		if i < 0 {
			return text, "", "", false
		}
		at += i
		end := at + 1
		for end < len(text) && text[end] >= 'a' && text[end] <= 'z' {
			end++
		}
		if end > at+1 && end < len(text) && text[end] == '}' {
			return text[:at], text[at : end+1], text[end+1:], true
		}
		at++
	}
}

// Known is a sentence that another part of the program has made, in this language if its pattern is in the file.
func (l *Language) Known(sentence string) string {
	if text, ok := l.file.Kept[sentence]; ok {
		return text
	}
	for _, p := range l.kept {
		found := p.find.FindStringSubmatch(sentence)
		if found == nil {
			continue
		}
		return placeholder.ReplaceAllStringFunc(p.text, func(name string) string {
			i := slices.Index(p.names, name)
			switch {
			case i < 0:
				return name
			case name == "{reason}" || name == "{sentence}": // which are kept ones themselves
				return l.Known(found[i+1])
			}
			return found[i+1]
		})
	}
	return sentence
}

// Number is a number as people write it.
func (l *Language) Number(n int) string { return l.numbers.Sprint(n) }

var dateNames = regexp.MustCompile(`January|Jan|Monday|Mon`)

// Time is a time, written as the layout says.
func (l *Language) Time(t time.Time, layout Layout) string {
	if l == English {
		return t.Format(withoutNote(string(layout)))
	}
	in := cmp.Or(l.file.Layouts[string(layout)], withoutNote(string(layout)))
	name := func(of string) string {
		list, i := map[string][]string{"January": l.file.Dates.Months, "Jan": l.file.Dates.MonthsShort, "Monday": l.file.Dates.Days, "Mon": l.file.Dates.DaysShort}[of], int(t.Month())-1
		if of[0] == 'M' {
			i = int(t.Weekday())
		}
		if i >= len(list) {
			return t.Format(of)
		}
		return list[i]
	}
	var b strings.Builder
	at := 0
	for _, m := range dateNames.FindAllStringIndex(in, -1) {
		b.WriteString(t.Format(in[at:m[0]]))
		b.WriteString(name(in[m[0]:m[1]]))
		at = m[1]
	}
	b.WriteString(t.Format(in[at:]))
	return b.String()
}

// funcs are those of templates that speak the language.
func (l *Language) funcs() template.FuncMap {
	return template.FuncMap{
		"t": func(text any, values ...any) string {
			if t, ok := text.(Text); ok {
				return l.Text(t, values...)
			}
			return l.Text(Text(fmt.Sprint(text)), values...)
		},
		"h":        func(text string, values ...any) template.HTML { return l.HTML(Text(text), values...) },
		"n":        func(n int, one, many string, values ...any) string { return l.N(n, Text(one), Text(many), values...) },
		"number":   l.Number,
		"language": func() string { return l.Tag },
	}
}

// href is the address of a link that is a value in a text with markup: html/template does not look into those.
func href(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "" && u.Scheme != "https" && u.Scheme != "http" {
		return "#"
	}
	return address
}
