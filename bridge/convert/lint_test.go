package convert

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-ical"

	"outbridge/caldav/ics"
)

func decode(t testing.TB, b []byte) *ical.Calendar {
	t.Helper()
	cal, err := ics.Decode(b)
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return cal
}

// encode is the octets of cal, checked line by line.
func encode(t testing.TB, cal *ical.Calendar) string {
	t.Helper()
	var b bytes.Buffer
	if err := ics.Encode(&b, cal); err != nil {
		t.Fatal(err)
	}
	for _, problem := range lint(b.String(), true) {
		t.Error(problem)
	}
	return b.String()
}

var propertyName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// forbidden is whether r may be in no line.
func forbidden(r rune) bool {
	return r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfffe || r == 0xffff
}

// line is one content line, unfolded.
type line struct{ name, params, value string }

// lint tells what is wrong with an iCalendar stream in the eyes of the pickiest client. object is whether it is one
// calendar object: one UID, no METHOD.
func lint(s string, object bool) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if !strings.HasSuffix(s, "END:VCALENDAR\r\n") {
		bad("does not end in END:VCALENDAR")
	}
	if !utf8.ValidString(s) {
		bad("no UTF-8")
	}
	var lines []line
	for i, l := range strings.Split(strings.TrimSuffix(s, "\r\n"), "\r\n") {
		if len(l) > 75 {
			bad("line %d has %d octets", i+1, len(l))
		}
		if !utf8.ValidString(l) {
			bad("line %d splits a character", i+1)
		}
		for _, r := range l {
			if forbidden(r) {
				bad("line %d holds the character %U", i+1, r)
			}
		}
		if l == "" {
			bad("line %d is empty", i+1)
		} else if l[0] == ' ' && len(lines) > 0 {
			lines[len(lines)-1].value += l[1:]
		} else {
			lines = append(lines, line{value: l})
		}
	}
	for i := range lines {
		lines[i] = split(lines[i].value)
		if !propertyName.MatchString(lines[i].name) {
			bad("%q is no property name", lines[i].name)
		}
		if len(lines[i].params) > 0 && strings.Count(lines[i].params, `"`)%2 != 0 {
			bad("unbalanced quotes in %q", lines[i].params)
		}
	}

	var stack []string
	zones, used := map[string]bool{}, map[string]bool{}
	forms := map[string]string{} // UID → the form of its DTSTART
	var event []line
	for _, l := range lines {
		switch l.name {
		case "BEGIN":
			stack = append(stack, l.value)
			if l.value == "VEVENT" {
				event = nil
			}
			continue
		case "END":
			if len(stack) == 0 || stack[len(stack)-1] != l.value {
				bad("END:%s does not close %v", l.value, stack)
				return problems
			}
			stack = stack[:len(stack)-1]
			if l.value == "VEVENT" {
				problems = append(problems, lintEvent(event, forms)...)
			}
			continue
		}
		if len(stack) == 0 {
			bad("%s outside of the calendar", l.name)
			continue
		}
		if id := param(l, "TZID"); id != "" {
			used[id] = true
			if id == "UTC" {
				bad("TZID=UTC")
			}
		}
		if l.name == "TZID" {
			if zones[l.value] {
				bad("two VTIMEZONEs for %s", l.value)
			}
			zones[l.value] = true
		}
		if l.name == "METHOD" && object {
			bad("METHOD in a calendar object")
		}
		if stack[len(stack)-1] == "VEVENT" {
			event = append(event, l)
		}
	}
	if len(stack) != 0 {
		bad("%v not closed", stack)
	}
	for id := range used {
		if !zones[id] {
			bad("no VTIMEZONE for %s", id)
		}
	}
	for id := range zones {
		if !used[id] {
			bad("VTIMEZONE for %s, which nothing uses", id)
		}
	}
	for key := range forms {
		if strings.HasPrefix(key, extra) {
			bad("%s beside a rule without end", key)
			delete(forms, key)
		}
	}
	if object && len(forms) != 1 {
		bad("%d UIDs in one object", len(forms))
	}
	return problems
}

// form tells DATE, UTC, floating and zoned times apart.
func form(l line) string {
	return param(l, "VALUE") + "|" + param(l, "TZID") + "|" + fmt.Sprint(len(l.value)) + fmt.Sprint(strings.HasSuffix(l.value, "Z"))
}

func lintEvent(event []line, forms map[string]string) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	get := map[string][]line{}
	for _, l := range event {
		get[l.name] = append(get[l.name], l)
	}
	for _, name := range []string{"UID", "DTSTAMP", "DTSTART", "SEQUENCE"} {
		if len(get[name]) != 1 {
			bad("%d times %s", len(get[name]), name)
		}
	}
	for _, name := range []string{"DTEND", "DURATION", "RRULE", "RECURRENCE-ID", "SUMMARY", "COLOR", "DESCRIPTION", "LOCATION", "STATUS", "ORGANIZER", "URL", "GEO", "CLASS"} {
		if len(get[name]) > 1 {
			bad("%d times %s", len(get[name]), name)
		}
	}
	if len(get["DTEND"])+len(get["DURATION"]) > 1 {
		bad("both DTEND and DURATION")
	}
	for _, l := range event {
		if l.value == "" {
			bad("%s is empty", l.name) // which libical takes for an error
		}
	}
	if len(problems) > 0 {
		return problems
	}
	uid, start := get["UID"][0].value, get["DTSTART"][0]
	if end := get["DTEND"]; len(end) == 1 {
		if (param(end[0], "VALUE") == "DATE") != (param(start, "VALUE") == "DATE") {
			bad("DTEND and DTSTART of different kinds")
		} else if a, b := lintTime(start), lintTime(end[0]); !b.After(a) {
			bad("DTEND %s is not after DTSTART %s", b, a)
		}
	}
	if id := get["RECURRENCE-ID"]; len(id) == 1 {
		delete(forms, extra+uid+id[0].value)
		if form(id[0]) != forms[uid] {
			bad("RECURRENCE-ID %s is not of the form %s of DTSTART", id[0].params+":"+id[0].value, forms[uid])
		}
		for _, name := range []string{"RRULE", "EXDATE", "RDATE"} {
			if len(get[name]) > 0 {
				bad("an override with %s", name)
			}
		}
		return problems
	}
	forms[uid] = form(start)
	for _, l := range slices.Concat(get["EXDATE"], get["RDATE"]) {
		if form(l) != form(start) {
			bad("%s %s is not of the form of DTSTART %s", l.name, l.params+":"+l.value, start.params+":"+start.value)
		}
		if strings.Contains(l.value, ",") {
			bad("%s with several dates", l.name)
		}
	}
	for _, l := range get["RRULE"] {
		if !strings.Contains(l.value, ";WKST=") {
			bad("RRULE without WKST: %s", l.value)
		}
		if strings.Contains(l.value, "BYSETPOS") && strings.Contains(l.value, "BYMONTHDAY") {
			bad("BYSETPOS beside BYMONTHDAY: %s", l.value)
		}
		if _, until, ok := strings.Cut(l.value, "UNTIL="); ok {
			until, _, _ = strings.Cut(until, ";")
			if strings.Contains(l.value, "COUNT=") {
				bad("UNTIL and COUNT: %s", l.value)
			}
			if date := param(start, "VALUE") == "DATE"; date && len(until) != 8 || !date && (len(until) != 16 || until[15] != 'Z') {
				bad("UNTIL of the wrong form: %s", l.value)
			}
		}
		if len(get["RDATE"]) > 0 && !strings.Contains(l.value, "UNTIL=") && !strings.Contains(l.value, "COUNT=") {
			for _, r := range get["RDATE"] {
				forms[extra+uid+r.value] = r.value
			}
		}
	}
	return problems
}

// extra marks the RDATEs beside a rule without end, which are right by RFC 5545, yet DAVx5 drops them: only those that
// an override stands on are harmless.
const extra = "RDATE of "

func lintTime(l line) time.Time {
	p := ical.NewProp(l.name)
	p.Value = l.value
	if id := param(l, "TZID"); id != "" {
		p.Params.Set("TZID", id)
	}
	r := &ics.Reader{Resolve: Zone}
	m, err := r.Moment(ical.NewCalendar(), p)
	if err != nil {
		return time.Time{}
	}
	return r.Instant(m)
}

// split is a content line in its parts: the value begins at the first colon outside of quotes.
func split(s string) line {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ':' && !quoted:
			name, params, _ := strings.Cut(s[:i], ";")
			return line{name, params, s[i+1:]}
		}
	}
	return line{name: s}
}

func param(l line, name string) string {
	for _, p := range strings.Split(l.params, ";") {
		if k, v, _ := strings.Cut(p, "="); k == name {
			return v
		}
	}
	return ""
}
