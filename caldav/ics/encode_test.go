package ics_test

import (
	"bytes"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/emersion/go-ical"

	"outbridge/caldav/ics"
)

func TestDecodeErrors(t *testing.T) {
	for _, in := range []string{"", "x", "BEGIN:VCALENDAR\r\n", "BEGIN:VCALENDAR\r\nA;B=c\r\nEND:VCALENDAR\r\n", "BEGIN:VCALENDAR\r\nA;B=\"c\r\n", "BEGIN:VEVENT\r\nEND:VEVENT\r\n",
		"BEGIN:VCALENDAR\r\nEND:VEVENT\r\n"} {
		if _, err := ics.Decode([]byte(in)); err == nil {
			t.Errorf("%q: no error", in)
		}
	}
}

func TestEncodeValues(t *testing.T) {
	for _, tc := range []struct{ value, cn, want string }{
		{"a", "", "X-A:a"},
		{"a", "Ann", "X-A;CN=Ann:a"},
		{"a", "Ann, B.", `X-A;CN="Ann, B.":a`},
		{"a", `say "hi" ^`, "X-A;CN=say ^'hi^' ^^:a"},
		{"a", "one\r\ntwo\rthree\nfour", "X-A;CN=one^ntwo^nthree^nfour:a"},
		{"a\r\nATTENDEE:b\nc\rd", "", `X-A:a\nATTENDEE:b\nc\nd`},
		{"a\x00\x0b\x1f\x7f\u0080\u009f\ufffe\uffffb\tc", "", "X-A:ab\tc"},
		{"a\u2028b\u2029c\u0085d", "", `X-A:a\nb\nc\nd`},
		{"a\xffb\xc3", "", "X-A:a\uFFFDb\uFFFD"},
		{strings.Repeat("x", 71), "", "X-A:" + strings.Repeat("x", 71)},
		{strings.Repeat("x", 72), "", "X-A:" + strings.Repeat("x", 71) + "\r\n x"},
		{strings.Repeat("x", 70) + "ä" + strings.Repeat("y", 72), "", "X-A:" + strings.Repeat("x", 70) + "\r\n ä" + strings.Repeat("y", 72)},
		{strings.Repeat("x", 69) + "𝄞", "", "X-A:" + strings.Repeat("x", 69) + "\r\n 𝄞"},
	} {
		cal := ical.NewCalendar()
		p := ical.NewProp("X-A")
		p.Value = tc.value
		if tc.cn != "" {
			p.Params.Set("CN", tc.cn)
		}
		cal.Props.Add(p)
		var b strings.Builder
		if err := ics.Encode(&b, cal); err != nil {
			t.Fatal(err)
		}
		if want := "BEGIN:VCALENDAR\r\n" + tc.want + "\r\nEND:VCALENDAR\r\n"; b.String() != want {
			t.Errorf("%q %q:\n%q\nwant\n%q", tc.value, tc.cn, b.String(), want)
		}
	}
}

func TestEncodeRefusesNames(t *testing.T) {
	for _, name := range []string{"", "A B", "A:B", "A;B", "Ä", "A\r\nB", "BEGIN", "END"} {
		cal := ical.NewCalendar()
		cal.Props[name] = []ical.Prop{{Name: name, Value: "x"}}
		if err := ics.Encode(&strings.Builder{}, cal); err == nil {
			t.Errorf("the property name %q was written", name)
		}
		cal = ical.NewCalendar()
		cal.Props["X"] = []ical.Prop{{Name: "X", Params: ical.Params{name: {"x"}}}}
		if err := ics.Encode(&strings.Builder{}, cal); err == nil && name != "BEGIN" && name != "END" {
			t.Errorf("the parameter name %q was written", name)
		}
		cal = ical.NewCalendar()
		cal.Children = []*ical.Component{ical.NewComponent("V")}
		cal.Children[0].Name = name
		if err := ics.Encode(&strings.Builder{}, cal); err == nil && name != "BEGIN" && name != "END" {
			t.Errorf("the component name %q was written", name)
		}
	}
	deep := ical.NewComponent("VCALENDAR")
	deep.Children = []*ical.Component{deep}
	if err := ics.Encode(&strings.Builder{}, &ical.Calendar{Component: deep}); err == nil {
		t.Error("a component within itself was written")
	}
	if err := ics.Encode(&strings.Builder{}, nil); err == nil {
		t.Error("nothing was written")
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("SUMMARY", "CN", "a\r\nb", "^\"x:;,")
	f.Add("X-A", "", strings.Repeat("ä", 200), "")
	f.Fuzz(func(t *testing.T, name, param, value, paramValue string) {
		cal := ical.NewCalendar()
		cal.Props[name] = []ical.Prop{{Name: name, Value: value, Params: ical.Params{param: {paramValue, "b"}}}}
		var b strings.Builder
		if err := ics.Encode(&b, cal); err != nil {
			return
		}
		for _, problem := range faults(b.String()) {
			t.Errorf("%s\n%q", problem, b.String())
		}
		if n := strings.Count(strings.ReplaceAll(b.String(), "\r\n ", ""), "\r\n"); n != 3 {
			t.Errorf("%d lines: %q", n, b.String())
		}
	})
}

// What Decode reads, Encode writes as valid lines, and Decode reads that as the same. What is taken apart line by line
// is all there.
func FuzzDecode(f *testing.F) {
	f.Add("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u\r\nATTENDEE;CN=\"a^'b^^^n\":mailto:a@b.example\r\nDTSTART:20260101T000000Z\r\nSTATUS:CANCELLED\r\n" +
		"BEGIN:VALARM\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")
	f.Add("BEGIN:VCALENDAR\r\nBEGIN:VTIMEZONE\r\nTZID:x\r\nEND:VTIMEZONE\r\nEND:VCALENDAR")
	f.Add("BEGIN:X;A=")
	for _, line := range oddLines {
		f.Add("BEGIN:VCALENDAR\r\n" + line + "\r\nEND:VCALENDAR\r\n")
	}
	f.Add("\r\n\n a\n\tb\r\n\r\nEND:\nbegin:v\n x")
	f.Fuzz(func(t *testing.T, in string) {
		var whole []byte
		for l := range ics.Lines([]byte(in)) {
			whole = append(whole, l...)
			_, _ = l.Name(), l.Value()
		}
		if !bytes.Equal(bytes.Trim(whole, "\r\n"), bytes.Trim([]byte(in), "\r\n")) && !strings.Contains(in, "\n\r") && !strings.Contains(in, "\n\n") && !strings.HasPrefix(in, "\r") {
			t.Errorf("%q: lines %q", in, whole)
		}
		for range ics.Components([]byte(in)) {
		}
		_ = ics.Without([]byte(in), "VALARM")
		cal, err := ics.Decode([]byte(in))
		if err != nil {
			return
		}
		var b, again strings.Builder
		if err := ics.Encode(&b, cal); err != nil {
			t.Fatalf("%v\n%q", err, in)
		}
		for _, problem := range faults(b.String()) {
			t.Errorf("%s\n%q", problem, b.String())
		}
		same, err := ics.Decode([]byte(b.String()))
		if err != nil {
			t.Fatalf("%v\n%q", err, b.String())
		}
		if !reflect.DeepEqual(cal, same) {
			t.Errorf("%q is read as something else than %q", b.String(), in)
		}
		if err := ics.Encode(&again, same); err != nil || again.String() != b.String() {
			t.Errorf("%v\n%q\nwas\n%q", err, again.String(), b.String())
		}
	})
}

// faults are what RFC 5545 §3.1 and RFC 6868 have against the lines of a file.
func faults(s string) (l []string) {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' && r != '\r' && r != '\n' || r >= 0x7f && r <= 0x9f }) {
		l = append(l, "a character that may not be there")
	}
	if !strings.HasSuffix(s, "\r\n") {
		l = append(l, "the last line does not end")
	}
	for _, line := range strings.Split(strings.TrimSuffix(s, "\r\n"), "\r\n") {
		if len(line) > 75 || strings.ContainsAny(line, "\r\n") || !utf8.ValidString(line) || line == "" {
			l = append(l, "a line is not as it should be: "+line)
		}
	}
	return l
}

func TestDecodeLimits(t *testing.T) {
	deep := strings.Repeat("BEGIN:X\r\n", 17)
	for name, in := range map[string]string{
		"depth":        "BEGIN:VCALENDAR\r\n" + deep + strings.Repeat("END:X\r\n", 17) + "END:VCALENDAR\r\n",
		"folded depth": "BEGIN:VCALENDAR\r\n" + strings.ReplaceAll(deep, "BEGIN", "BE\r\n GIN") + strings.Repeat("END:X\r\n", 17) + "END:VCALENDAR\r\n",
		"parameter":    "BEGIN:VCALENDAR\r\nA;B=" + strings.Repeat("x", 70_000) + ":c\r\nEND:VCALENDAR\r\n",
		"UTF-8":        "BEGIN:VCALENDAR\r\nA:\xff\r\nEND:VCALENDAR\r\n",
	} {
		if _, err := ics.Decode([]byte(in)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := ics.Decode([]byte("BEGIN:VCALENDAR\r\nA;B=c:" + strings.Repeat("x", 70_000) + "\r\nEND:VCALENDAR\r\n")); err != nil {
		t.Error(err)
	}
}

// Reading a line takes work that grows with its length alone, whatever is in its parameters.
func TestDecodeIsLinear(t *testing.T) {
	for name, line := range map[string]func(n int) string{
		"a long value":        func(n int) string { return "X-A;CN=" + strings.Repeat("a", n) + ":x" },
		"a long quoted value": func(n int) string { return `X-A;CN="` + strings.Repeat("a;", n/2) + `":x` },
		"many values":         func(n int) string { return "X-A;CN=" + strings.Repeat("a,", n/2) + ":x" },
		"many parameters":     func(n int) string { return "X-A" + strings.Repeat(";A=b", n/4) + ":x" },
		"folded":              func(n int) string { return "X-A;CN=" + strings.Repeat("a\r\n ", n/4) + ":x" },
	} {
		cost := func(n int) (octets uint64) {
			in := []byte("BEGIN:VCALENDAR\r\n" + strings.Repeat(line(n)+"\r\n", 15) + "END:VCALENDAR\r\n")
			return allocated(func() {
				if _, err := ics.Decode(in); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			})
		}
		one, two := cost(30_000), cost(60_000)
		if two > 3*one || two > 15*60_000*60 {
			t.Errorf("%s: %d octets for lines of 30,000, %d for twice that", name, one, two)
		}
	}
}

// allocated is how many octets f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// oddLines are read, and there is more in them than can be written.
var oddLines = []string{"X-A:a\x00b\x0b\x7f", "X-A;CN=a\x00b:c", "X-A:a\rb", "X-A;CN=a\rb;CN=\"^\x00n\":c", "X-A;CN=^x^^n^:a\u0085b\u2028c\ufffe\ufffd", "X-A;CN=\u0085:",
	"BEGIN: X \r\nEND:x", "x-a;cn=:"}

// What is read can be written, and is then read as the same. What is no name is not read.
func TestDecodeReadsWhatEncodeWrites(t *testing.T) {
	for _, line := range oddLines {
		cal, err := ics.Decode([]byte("BEGIN:VCALENDAR\r\n" + line + "\r\nEND:VCALENDAR\r\n"))
		if err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		b, err := ics.Append(nil, cal.Component)
		if err != nil {
			t.Errorf("%q: %v", line, err)
		}
		if again, err := ics.Decode(b); err != nil || !reflect.DeepEqual(cal, again) {
			t.Errorf("%q is written as %q: %v", line, b, err)
		}
	}
	for _, line := range []string{"A B:c", "Ä:c", "A\x00:c", "A_B:c", " :c", ":c", "A;B C=d:e", "A;B;C=d:e", "A;Ä=d:e", "A;=d:e", "BEGIN:\r\nEND:", "BEGIN:A B\r\nEND:A B", "BEGIN:Ä\r\nEND:Ä"} {
		if _, err := ics.Decode([]byte("BEGIN:VCALENDAR\r\n" + line + "\r\nEND:VCALENDAR\r\n")); err == nil {
			t.Errorf("%q: no error", line)
		}
	}
}

// A line may be folded between any two octets, also within a character (RFC 5545 §3.1).
func TestDecodeFoldedCharacter(t *testing.T) {
	for _, text := range []string{"ä", "€", "𝄞", "x€€y"} {
		for cut := 1; cut < len(text); cut++ {
			folded := text[:cut] + "\r\n " + text[cut:]
			cal, err := ics.Decode([]byte("BEGIN:VCALENDAR\r\nX-A;CN=" + folded + ":" + folded + "\r\nEND:VCALENDAR\r\n"))
			if err != nil {
				t.Errorf("%q: %v", folded, err)
			} else if p := cal.Props.Get("X-A"); p.Value != text || p.Params.Get("CN") != text {
				t.Errorf("%q: %q, %q", folded, p.Value, p.Params.Get("CN"))
			}
		}
	}
	if _, err := ics.Decode([]byte("BEGIN:VCALENDAR\r\nX-A:\xc3\r\nX-B:\xa4\r\nEND:VCALENDAR\r\n")); err == nil {
		t.Error("half a character is none")
	}
}

// Parameters lose the escapes of RFC 6868 when they are read, and get them when they are written.
func TestParameterEscapes(t *testing.T) {
	const object = "BEGIN:VCALENDAR\r\nX;CN=\"a^'b^^c^nd^x, e\":f\r\nEND:VCALENDAR\r\n"
	cal, err := ics.Decode([]byte(object))
	if err != nil {
		t.Fatal(err)
	}
	if got := cal.Props.Get("X").Params.Get("CN"); got != "a\"b^c\nd^x, e" {
		t.Errorf("%q", got)
	}
	b, err := ics.Append(nil, cal.Component)
	if want := strings.ReplaceAll(object, "^x", "^^x"); err != nil || string(b) != want {
		t.Errorf("%v %q", err, b)
	}
}

func TestText(t *testing.T) {
	for text, value := range map[string]string{"": "", "a": "a", "a,b;c\\d\ne": `a\,b\;c\\d\ne`, `\n`: `\\n`} {
		if got := ics.EscapeText(text); got != value {
			t.Errorf("%q is escaped as %q", text, got)
		}
		if got := ics.UnescapeText(value); got != text {
			t.Errorf("%q is read as %q", value, got)
		}
	}
	if got := ics.UnescapeText(`a\Nb`); got != "a\nb" {
		t.Errorf("%q", got)
	}
}

func TestBlank(t *testing.T) {
	for s, want := range map[string]bool{"": true, " \t\r\n\u2028\x00": true, "a": false, "\u200b": false} {
		if ics.Blank(s) != want {
			t.Errorf("Blank(%q) is %v", s, !want)
		}
	}
}
