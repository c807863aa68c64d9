package convert

import (
	"bytes"
	"strings"
	"testing"

	"github.com/emersion/go-ical"

	"outbridge/caldav/ics/lint"
)

// encode is the octets of cal, checked line by line.
func encode(t testing.TB, cal *ical.Calendar) string {
	t.Helper()
	var b bytes.Buffer
	if err := Encode(&b, cal); err != nil {
		t.Fatal(err)
	}
	for _, problem := range lint.Problems(b.String(), true) {
		t.Error(problem)
	}
	return b.String()
}

func decode(t testing.TB, b []byte) *ical.Calendar {
	t.Helper()
	cal, err := Decode(b)
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return cal
}

func TestDecodeErrors(t *testing.T) {
	for _, in := range []string{"", "x", "BEGIN:VCALENDAR\r\n", "BEGIN:VCALENDAR\r\nA;B=c\r\nEND:VCALENDAR\r\n", "BEGIN:VCALENDAR\r\nA;B=\"c\r\n", "BEGIN:VEVENT\r\nEND:VEVENT\r\n",
		"BEGIN:VCALENDAR\r\nEND:VEVENT\r\n"} {
		if _, err := Decode([]byte(in)); err == nil {
			t.Errorf("%q: no error", in)
		}
	}
}

func TestEncodeEmptyCalendar(t *testing.T) {
	var b strings.Builder
	if err := Encode(&b, newCalendar()); err != nil {
		t.Fatal(err)
	}
	want := "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//outbridge//outbridge//EN\r\nCALSCALE:GREGORIAN\r\nEND:VCALENDAR\r\n"
	if b.String() != want {
		t.Errorf("%q", b.String())
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
		if err := Encode(&b, cal); err != nil {
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
		if err := Encode(&strings.Builder{}, cal); err == nil {
			t.Errorf("the property name %q was written", name)
		}
		cal = ical.NewCalendar()
		cal.Props["X"] = []ical.Prop{{Name: "X", Params: ical.Params{name: {"x"}}}}
		if err := Encode(&strings.Builder{}, cal); err == nil && name != "BEGIN" && name != "END" {
			t.Errorf("the parameter name %q was written", name)
		}
		cal = ical.NewCalendar()
		cal.Children = []*ical.Component{ical.NewComponent("V")}
		cal.Children[0].Name = name
		if err := Encode(&strings.Builder{}, cal); err == nil && name != "BEGIN" && name != "END" {
			t.Errorf("the component name %q was written", name)
		}
	}
	deep := ical.NewComponent("VCALENDAR")
	deep.Children = []*ical.Component{deep}
	if err := Encode(&strings.Builder{}, &ical.Calendar{Component: deep}); err == nil {
		t.Error("a component within itself was written")
	}
	if err := Encode(&strings.Builder{}, nil); err == nil {
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
		if err := Encode(&b, cal); err != nil {
			return
		}
		for _, problem := range lint.Problems(b.String(), false) {
			t.Errorf("%s\n%q", problem, b.String())
		}
		if n := strings.Count(strings.ReplaceAll(b.String(), "\r\n ", ""), "\r\n"); n != 3 {
			t.Errorf("%d lines: %q", n, b.String())
		}
	})
}

// What Decode reads, Encode writes as valid lines, and Decode reads that as the same.
func FuzzDecode(f *testing.F) {
	f.Add("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u\r\nATTENDEE;CN=\"a^'b^^^n\":mailto:a@b.example\r\nDTSTART:20260101T000000Z\r\nSTATUS:CANCELLED\r\n" +
		"BEGIN:VALARM\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")
	f.Add("BEGIN:VCALENDAR\r\nBEGIN:VTIMEZONE\r\nTZID:x\r\nEND:VTIMEZONE\r\nEND:VCALENDAR")
	f.Add("BEGIN:X;A=")
	f.Fuzz(func(t *testing.T, in string) {
		cal, err := Decode([]byte(in))
		if err != nil {
			return
		}
		var b, again strings.Builder
		if Encode(&b, cal) != nil {
			return
		}
		for _, problem := range lint.Problems(b.String(), false) {
			if strings.Contains(problem, "line ") {
				t.Errorf("%s\n%q", problem, b.String())
			}
		}
		cal, err = Decode([]byte(b.String()))
		if err != nil {
			t.Fatalf("%v\n%q", err, b.String())
		}
		if err := Encode(&again, cal); err != nil || again.String() != b.String() {
			t.Errorf("%v\n%q\nwas\n%q", err, again.String(), b.String())
		}
	})
}
