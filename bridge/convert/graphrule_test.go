package convert

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-ical"
	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// calendarOf is an object of these events, each its content lines.
func calendarOf(t testing.TB, events ...string) *ical.Calendar {
	t.Helper()
	var b strings.Builder
	b.WriteString("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//client//x//EN\r\n")
	for _, e := range events {
		if strings.HasPrefix(e, "BEGIN:") {
			b.WriteString(strings.ReplaceAll(e, "\n", "\r\n") + "\r\n")
			continue
		}
		b.WriteString("BEGIN:VEVENT\r\nUID:1\r\n" + strings.ReplaceAll(e, "\n", "\r\n") + "\r\nEND:VEVENT\r\n")
	}
	b.WriteString("END:VCALENDAR\r\n")
	cal, err := ics.Decode([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return cal
}

var berlin = Series{MailboxZone: "W. Europe Standard Time"}

// recurrenceText is a recurrence in one line.
func recurrenceText(r *graph.Recurrence) string {
	if r == nil {
		return "none"
	}
	return string(recurrenceJSON(*r))
}

// ruleOf is the recurrence of an event of a client that is new.
func ruleOf(t testing.TB, event string) (*graph.Recurrence, error) {
	t.Helper()
	in := readObject(calendarOf(t, event), berlin, nil)
	at, _, err := graphTimes(in.master, in, berlin, nil)
	if err != nil {
		return nil, err
	}
	return graphRecurrence(in, at, Series{MailboxZone: berlin.MailboxZone}, nil)
}

func TestGraphRecurrence(t *testing.T) {
	const monday = "DTSTART;TZID=Europe/Berlin:20261207T090000\nDTEND;TZID=Europe/Berlin:20261207T091500\nRRULE:"
	const zone = `"recurrenceTimeZone":"W. Europe Standard Time"}}`
	at := func(start string) string {
		return "DTSTART;TZID=Europe/Berlin:" + start + "\nDURATION:PT15M\nRRULE:"
	}
	noEnd := func(pattern, start string) string {
		return `{"pattern":{` + pattern + `},"range":{"type":"noEnd","startDate":"` + start + `",` + zone
	}
	for _, c := range []struct{ event, want string }{
		{monday + "FREQ=DAILY", noEnd(`"type":"daily","interval":1`, "2026-12-07")},
		{monday + "FREQ=DAILY;INTERVAL=14", noEnd(`"type":"daily","interval":14`, "2026-12-07")},
		{monday + "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR", noEnd(`"type":"weekly","interval":1,"daysOfWeek":["monday","tuesday","wednesday","thursday","friday"],"firstDayOfWeek":"monday"`, "2026-12-07")},
		{monday + "FREQ=WEEKLY", noEnd(`"type":"weekly","interval":1,"daysOfWeek":["monday"],"firstDayOfWeek":"monday"`, "2026-12-07")},
		{monday + "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO", noEnd(`"type":"weekly","interval":2,"daysOfWeek":["sunday","monday"],"firstDayOfWeek":"monday"`, "2026-12-07")},
		{monday + "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=SU", noEnd(`"type":"weekly","interval":2,"daysOfWeek":["sunday","monday"],"firstDayOfWeek":"sunday"`, "2026-12-07")},
		{monday + "WKST=TH;BYDAY=MO;FREQ=WEEKLY", noEnd(`"type":"weekly","interval":1,"daysOfWeek":["monday"],"firstDayOfWeek":"thursday"`, "2026-12-07")},
		{monday + "FREQ=MONTHLY", noEnd(`"type":"absoluteMonthly","interval":1,"dayOfMonth":7`, "2026-12-07")},
		{monday + "FREQ=MONTHLY;BYMONTHDAY=7;INTERVAL=3", noEnd(`"type":"absoluteMonthly","interval":3,"dayOfMonth":7`, "2026-12-07")},
		{at("20261231T090000") + "FREQ=MONTHLY;BYMONTHDAY=-1", noEnd(`"type":"absoluteMonthly","interval":1,"dayOfMonth":31`, "2026-12-31")},
		{at("20261229T090000") + "FREQ=MONTHLY;INTERVAL=12", noEnd(`"type":"absoluteMonthly","interval":12,"dayOfMonth":29`, "2026-12-29")},
		{monday + "FREQ=MONTHLY;BYDAY=1MO", noEnd(`"type":"relativeMonthly","interval":1,"daysOfWeek":["monday"],"index":"first"`, "2026-12-07")},
		{monday + "FREQ=MONTHLY;BYDAY=+1MO;BYSETPOS=1", noEnd(`"type":"relativeMonthly","interval":1,"daysOfWeek":["monday"],"index":"first"`, "2026-12-07")},
		{at("20261231T160000") + "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", noEnd(`"type":"relativeMonthly","interval":1,"daysOfWeek":["monday","tuesday","wednesday","thursday","friday"],"index":"last"`, "2026-12-31")},
		{at("20261228T160000") + "FREQ=MONTHLY;BYDAY=-1MO", noEnd(`"type":"relativeMonthly","interval":1,"daysOfWeek":["monday"],"index":"last"`, "2026-12-28")},
		{monday + "FREQ=MONTHLY;BYDAY=MO", noEnd(`"type":"weekly","interval":1,"daysOfWeek":["monday"],"firstDayOfWeek":"monday"`, "2026-12-07")},
		{monday + "FREQ=YEARLY", noEnd(`"type":"absoluteYearly","interval":1,"month":12,"dayOfMonth":7`, "2026-12-07")},
		{monday + "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=7", noEnd(`"type":"absoluteYearly","interval":1,"month":12,"dayOfMonth":7`, "2026-12-07")},
		{monday + "FREQ=YEARLY;BYMONTHDAY=7", noEnd(`"type":"absoluteMonthly","interval":1,"dayOfMonth":7`, "2026-12-07")},
		{monday + "FREQ=MONTHLY;INTERVAL=12", noEnd(`"type":"absoluteMonthly","interval":12,"dayOfMonth":7`, "2026-12-07")},
		{monday + "FREQ=YEARLY;BYMONTH=12;BYDAY=1MO", noEnd(`"type":"relativeYearly","interval":1,"month":12,"daysOfWeek":["monday"],"index":"first"`, "2026-12-07")},
		{monday + "FREQ=YEARLY;BYMONTH=12;BYDAY=SA,SU,MO;BYSETPOS=3", noEnd(`"type":"relativeYearly","interval":1,"month":12,"daysOfWeek":["sunday","monday","saturday"],"index":"third"`, "2026-12-07")},
		{at("20280229T090000") + "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=-1", noEnd(`"type":"absoluteYearly","interval":1,"month":2,"dayOfMonth":29`, "2028-02-29")},
		{monday + "FREQ=WEEKLY;COUNT=10", `{"pattern":{"type":"weekly","interval":1,"daysOfWeek":["monday"],"firstDayOfWeek":"monday"},"range":{"type":"numbered","startDate":"2026-12-07","numberOfOccurrences":10,` + zone},
		{monday + "FREQ=DAILY;COUNT=5000", `{"pattern":{"type":"daily","interval":1},"range":{"type":"numbered","startDate":"2026-12-07","numberOfOccurrences":5000,` + zone},
		{monday + "FREQ=WEEKLY;UNTIL=45000101T000000Z", noEnd(`"type":"weekly","interval":1,"daysOfWeek":["monday"],"firstDayOfWeek":"monday"`, "2026-12-07")},
		{monday + "FREQ=DAILY;UNTIL=44991231T235959Z", `{"pattern":{"type":"daily","interval":1},"range":{"type":"endDate","startDate":"2026-12-07","endDate":"4499-12-31",` + zone},
		{monday + "FREQ=WEEKLY;BYDAY=MO,WE;WKST=MO;UNTIL=20270331T070000Z", `{"pattern":{"type":"weekly","interval":1,"daysOfWeek":["monday","wednesday"],"firstDayOfWeek":"monday"},"range":{"type":"endDate","startDate":"2026-12-07","endDate":"2027-03-31",` + zone},
		{monday + "FREQ=WEEKLY;BYDAY=MO,WE;UNTIL=20270331T065959Z", `{"pattern":{"type":"weekly","interval":1,"daysOfWeek":["monday","wednesday"],"firstDayOfWeek":"monday"},"range":{"type":"endDate","startDate":"2026-12-07","endDate":"2027-03-29",` + zone},
		{at("20260330T090000") + "FREQ=MONTHLY;COUNT=5", `{"pattern":{"type":"absoluteMonthly","interval":1,"dayOfMonth":30},"range":{"type":"numbered","startDate":"2026-03-30","numberOfOccurrences":5,` + zone},
		{"DTSTART;VALUE=DATE:20261207\nRRULE:FREQ=WEEKLY;UNTIL=20261221", `{"pattern":{"type":"weekly","interval":1,"daysOfWeek":["monday"],"firstDayOfWeek":"monday"},"range":{"type":"endDate","startDate":"2026-12-07","endDate":"2026-12-21","recurrenceTimeZone":"W. Europe Standard Time"}}`},
		{"DTSTART:20261207T230000Z\nRRULE:FREQ=DAILY;UNTIL=20261209T230000Z", `{"pattern":{"type":"daily","interval":1},"range":{"type":"endDate","startDate":"2026-12-07","endDate":"2026-12-09","recurrenceTimeZone":"UTC"}}`},
	} {
		got, err := ruleOf(t, c.event)
		if err != nil || recurrenceText(got) != c.want {
			t.Errorf("%s\nis   %s, %v\nwant %s", c.event, recurrenceText(got), err, c.want)
		}
	}
}

// The date of the last occurrence is the series' own, on whichever side of midnight UTC has it.
func TestUntilAcrossMidnight(t *testing.T) {
	for _, c := range []struct{ start, until, want string }{
		{"DTSTART;TZID=Europe/Berlin:20261207T003000", "20261209T233000Z", "2026-12-10"}, // UTC is a day behind
		{"DTSTART;TZID=Europe/Berlin:20261207T003000", "20261209T232959Z", "2026-12-09"},
		{"DTSTART;TZID=America/Los_Angeles:20261207T200000", "20261211T040000Z", "2026-12-10"}, // a day ahead
		{"DTSTART;TZID=America/Los_Angeles:20261207T200000", "20261211T035959Z", "2026-12-09"},
		{"DTSTART;TZID=Pacific/Kiritimati:20261207T090000", "20261209T190000Z", "2026-12-10"},
		{"DTSTART;TZID=Asia/Kolkata:20261207T050000", "20261209T233000Z", "2026-12-10"},
		{"DTSTART;TZID=Europe/Berlin:20261207T003000", "20261210", "2026-12-10"},
		{"DTSTART;TZID=America/Los_Angeles:20261207T200000", "20261210", "2026-12-10"},
		{"DTSTART;TZID=Europe/Berlin:20261207T003000", "20261210T003000", "2026-12-10"},
		{"DTSTART;TZID=Europe/Berlin:20261207T003000", "20261210T002959", "2026-12-09"},
		{"DTSTART;TZID=Europe/Berlin:20261207T233000", "20261210T223000Z", "2026-12-10"},
		{"DTSTART;TZID=Europe/Berlin:20261207T233000", "20261210T223059Z", "2026-12-10"},
		{"DTSTART:20261207T000000", "20261210T000000", "2026-12-10"},
		{"DTSTART:20261207T000000", "20261209T230000Z", "2026-12-09"}, // not of one kind: compared as written
		{"DTSTART;VALUE=DATE:20261207", "20261210T235959Z", "2026-12-10"},
		{"DTSTART;VALUE=DATE:20261207", "20261210T000000", "2026-12-10"},
		{"DTSTART;TZID=Europe/Berlin:20261207T003000", "20561209T233000Z", "2056-12-10"}, // beyond what is compared
		{"DTSTART;TZID=America/Los_Angeles:20261207T200000", "20561211T035959Z", "2056-12-09"},
	} {
		got, err := ruleOf(t, c.start+"\nRRULE:FREQ=DAILY;UNTIL="+c.until)
		if err != nil || got.Range.EndDate != c.want || got.Range.Type != "endDate" {
			t.Errorf("%s until %s: %s, %v, want %s", c.start, c.until, recurrenceText(got), err, c.want)
		}
	}
}

func TestGraphRecurrenceRefuses(t *testing.T) {
	const monday = "DTSTART;TZID=Europe/Berlin:20261207T090000\nDTEND;TZID=Europe/Berlin:20261207T091500\nRRULE:"
	at := func(start string) string { return "DTSTART;TZID=Europe/Berlin:" + start + "\nDURATION:PT15M\nRRULE:" }
	for _, c := range []struct{ event, part string }{
		{monday + "FREQ=HOURLY", "FREQ=HOURLY"}, {monday + "FREQ=MINUTELY;INTERVAL=30;COUNT=3", "FREQ"}, {monday + "FREQ=SECONDLY;COUNT=2", "FREQ"},
		{monday + "FREQ=DAILY;BYHOUR=9,17", "BYHOUR"}, {monday + "FREQ=DAILY;BYMINUTE=0,30", "BYMINUTE"},
		{monday + "FREQ=YEARLY;BYYEARDAY=341", "BYYEARDAY"}, {monday + "FREQ=YEARLY;BYWEEKNO=50;BYDAY=MO", "BYWEEKNO"},
		{monday + "FREQ=MONTHLY;BYMONTHDAY=7,21", "BYMONTHDAY"}, {at("20261230T090000") + "FREQ=MONTHLY;BYMONTHDAY=-2", "BYMONTHDAY"},
		{monday + "FREQ=YEARLY;BYMONTH=6,12", "BYMONTH"}, {at("20261113T090000") + "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "BYMONTHDAY"},
		{at("20261229T090000") + "FREQ=MONTHLY;BYDAY=5TU", "BYDAY"}, {at("20261221T090000") + "FREQ=MONTHLY;BYDAY=-2MO", "BYDAY"},
		{monday + "FREQ=MONTHLY;BYDAY=1MO,3MO", "BYDAY"}, {monday + "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=1,3", "BYSETPOS"},
		{monday + "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=5", "BYSETPOS"}, {monday + "FREQ=YEARLY;BYDAY=49MO", "BYDAY"}, {monday + "FREQ=YEARLY;BYDAY=MO", "BYDAY"},
		{monday + "FREQ=DAILY;INTERVAL=2;BYDAY=MO", "BYDAY"}, {monday + "FREQ=DAILY;BYMONTH=12", "BYMONTH"}, {monday + "FREQ=WEEKLY;BYMONTH=12", "BYMONTH"},
		{at("20261229T090000") + "FREQ=MONTHLY", "29"}, {at("20261230T090000") + "FREQ=MONTHLY;BYMONTHDAY=30", "30"}, {at("20261231T090000") + "FREQ=MONTHLY", "31"},
		{at("20280229T090000") + "FREQ=YEARLY", "29"}, {at("20261231T090000") + "FREQ=YEARLY;INTERVAL=1;BYMONTH=2;BYMONTHDAY=31", "DTSTART"},
		{monday + "FREQ=WEEKLY;BYDAY=TU", "DTSTART"}, {monday + "FREQ=MONTHLY;BYMONTHDAY=8", "DTSTART"},
		{monday + "FREQ=WEEKLY;COUNT=3;UNTIL=20270331T070000Z", "COUNT"}, {monday + "FREQ=DAILY;UNTIL=20261206T070000Z", "UNTIL"},
		{monday + "FREQ=DAILY;UNTIL=20261206", "UNTIL"}, {monday + "FREQ=DAILY;COUNT=0", "COUNT"},
		{monday + "FREQ=WEEKLY\nRRULE:FREQ=DAILY;COUNT=3", "more than one rule"}, {monday + "FREQ=WEEKLY\nEXRULE:FREQ=MONTHLY", "EXRULE"},
		{monday + "FREQ=WEEKLY\nRDATE;TZID=Europe/Berlin:20261209T090000", "RDATE"},
		{monday + "FREQ=WEEKLY;COUNT=2\nRDATE;VALUE=PERIOD;TZID=Europe/Berlin:20261221T090000/PT3H", "RDATE"}, {monday + "RSCALE=HEBREW;FREQ=YEARLY;SKIP=FORWARD", "RSCALE"},
		{monday + "FREQ=FORTNIGHTLY", "FORTNIGHTLY"}, {monday + "", "FREQ"},
		{"DTSTART;TZID=Europe/Berlin:20261207T090000\nDURATION:PT25H\nRRULE:FREQ=DAILY", "longer"},
		{"DTSTART;VALUE=DATE:20261207\nDTEND;VALUE=DATE:20261209\nRRULE:FREQ=DAILY", "longer"},
		{"DTSTART;VALUE=DATE:20261207\nDTEND;VALUE=DATE:20261210\nRRULE:FREQ=WEEKLY;BYDAY=MO,WE", "longer"},
	} {
		got, err := ruleOf(t, c.event)
		var r *Refusal
		if !errors.As(err, &r) || r.Kind != RefusedObject || !strings.Contains(strings.ToLower(r.Sentence), strings.ToLower(c.part)) {
			t.Errorf("%s\nis %s, %v, want a refusal of %s", c.event, recurrenceText(got), err, c.part)
		}
	}
	if got, err := ruleOf(t, "DTSTART;VALUE=DATE:20261207\nRRULE:FREQ=DAILY"); err != nil {
		t.Errorf("whole days in a row: %s, %v", recurrenceText(got), err)
	}
}

// goldenSeries calls f with every series of the golden cases that has an object, and that object as a client gets it.
func goldenSeries(t *testing.T, f func(t *testing.T, s Series, octets []byte)) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, name := range files {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		list, err := readGolden(t, a).list()
		if err != nil {
			continue
		}
		for n, s := range list {
			cal, _, err := ToICS(s)
			if err != nil {
				continue
			}
			t.Run(fmt.Sprint(strings.TrimSuffix(filepath.Base(name), ".txtar"), "/", n), func(t *testing.T) {
				f(t, s, []byte(encode(t, cal)))
			})
		}
	}
}

// rewrites are what clients make of an object without meaning a change.
var rewrites = map[string]func(string) string{
	"as served": func(s string) string { return s },
	"the order of parts": func(s string) string {
		return eachRule(s, func(parts []string) []string { slices.Reverse(parts); return parts })
	},
	"INTERVAL=1": func(s string) string {
		return eachRule(s, func(parts []string) []string {
			if slices.ContainsFunc(parts, func(p string) bool { return strings.HasPrefix(p, "INTERVAL=") }) {
				return parts
			}
			return append(parts, "INTERVAL=1")
		})
	},
	"another WKST": func(s string) string {
		return eachRule(s, func(parts []string) []string {
			for i, p := range parts {
				// Where the interval is one, or the days begin at neither, it is without a meaning.
				if strings.HasPrefix(p, "WKST=") && !slices.ContainsFunc(parts, func(p string) bool { return strings.HasPrefix(p, "INTERVAL=") }) {
					parts[i] = "WKST=MO"
				}
			}
			return parts
		})
	},
	"no WKST": func(s string) string {
		return eachRule(s, func(parts []string) []string {
			if slices.ContainsFunc(parts, func(p string) bool { return strings.HasPrefix(p, "INTERVAL=") }) {
				return parts
			}
			return slices.DeleteFunc(parts, func(p string) bool { return strings.HasPrefix(p, "WKST=") })
		})
	},
	"a vendor's TZID": func(s string) string {
		return regexp.MustCompile(`TZID([=:])([A-Z][a-z]+/)`).ReplaceAllString(s, "TZID${1}/freeassociation.sourceforge.net/${2}")
	},
	"RDATEs in one": func(s string) string {
		var values []string
		head := ""
		out := regexp.MustCompile(`(?m)^(RDATE[^:]*):(.*)\r\n`).ReplaceAllStringFunc(s, func(l string) string {
			h, v, _ := strings.Cut(strings.TrimSpace(l), ":")
			head = h
			values = append(values, v)
			return ""
		})
		if head == "" {
			return s
		}
		n := strings.Index(out, "BEGIN:VEVENT")
		return out[:n] + strings.Replace(out[n:], "RRULE:", head+":"+strings.Join(values, ",")+"\r\nRRULE:", 1)
	},
}

func eachRule(s string, f func([]string) []string) string {
	return regexp.MustCompile(`(?m)(^BEGIN:VEVENT\r\n(?:[^B].*\r\n)*?)RRULE:(.*(?:\r\n .*)*)\r\n`).ReplaceAllStringFunc(s, func(l string) string {
		n := strings.Index(l, "RRULE:")
		rule := strings.ReplaceAll(strings.TrimSpace(l[n+len("RRULE:"):]), "\r\n ", "")
		return l[:n] + "RRULE:" + strings.Join(f(strings.Split(rule, ";")), ";") + "\r\n"
	})
}

// Whatever form a series is served in, an object that comes back as it was says that nothing of it has changed, and a
// recurrence that has to be written again is Outlook's own.
func TestServedComesBackUnchanged(t *testing.T) {
	goldenSeries(t, func(t *testing.T, s Series, octets []byte) {
		for name, rewrite := range rewrites {
			served := readObject(decode(t, octets), s, nil)
			in := readObject(decode(t, []byte(rewrite(string(octets)))), s, served)
			if !sameRecurrence(served, in) {
				t.Fatalf("%s: another recurrence\n%s", name, rewrite(string(octets)))
			}
			if in.master != nil && !sameTimes(served.master, served, in.master, in) {
				t.Errorf("%s: another time", name)
			}
			if s.Event.Recurrence == nil || !isMaster(s.Event) {
				continue
			}
			at, _, err := graphTimes(in.master, in, s, &s.Event)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			first, _, _ := parseCivil(at.Start.DateTime)
			p, known := readPattern(s.Event.Recurrence.Pattern, dateOf(first), func(string, string) {})
			got, err := graphRecurrence(in, at, s, served)
			if !known {
				if err == nil && in.recurs() {
					t.Errorf("%s: the recurrence is %s, of a type that nobody knows", name, recurrenceText(got))
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got.Range.RecurrenceTimeZone != at.Start.TimeZone || at.Start.TimeZone != at.End.TimeZone {
				t.Errorf("%s: the zones differ: %v, %s", name, at, recurrenceText(got))
			}
			again, _ := readPattern(got.Pattern, dateOf(first), func(f, r string) { t.Error(f, r) })
			limit := readLimit(s.Event.Recurrence.Range, func(string, string) {})
			want := take(limit.cut(p.dates(dateOf(first), true)), 200)
			if have := take(readLimit(got.Range, func(string, string) {}).cut(again.dates(dateOf(first), true)), 200); !slices.EqualFunc(want, have, time.Time.Equal) {
				t.Errorf("%s: %s has other dates than %s", name, recurrenceText(got), recurrenceText(s.Event.Recurrence))
			}
		}
	})
}

func take(dates func(func(time.Time) bool), n int) (out []time.Time) {
	for t := range dates {
		if len(out) == n {
			break
		}
		out = append(out, t)
	}
	return out
}

// A recurrence of Outlook that is served by one plain rule comes back as one with the same dates, from a client for whom it
// is a new event.
func TestRecurrenceThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, _, _ := drawSeries(t)
		s.Occurrences = nil
		cal, _, err := ToICS(s)
		if err != nil {
			t.Skip()
		}
		in := readObject(cal, s, nil)
		in.shift = 0
		for _, as := range []Series{s, {MailboxZone: s.MailboxZone}} {
			served := in
			if as.Event.Recurrence == nil {
				served = nil
				// What is removed is not there to be told from what the rule does not hit.
				if in.master.Props.Get(ical.PropRecurrenceDates) != nil || len(in.exdates()) > 0 || len(s.Cancelled) > 0 {
					continue
				}
			}
			at, _, err := graphTimes(in.master, in, as, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := graphRecurrence(in, at, as, served)
			if err != nil {
				var r *Refusal
				if errors.As(err, &r) && strings.Contains(r.Sentence, "longer") {
					continue
				}
				t.Fatalf("%v\n%s", err, text(cal))
			}
			first, _ := time.Parse(time.DateOnly, got.Range.StartDate)
			want := s.Event.Recurrence
			a, _ := readPattern(want.Pattern, first, func(string, string) {})
			b, _ := readPattern(got.Pattern, first, func(f, r string) { t.Fatal(f, r) })
			none := func(string, string) {}
			x, y := take(readLimit(want.Range, none).cut(a.dates(first, true)), 300), take(readLimit(got.Range, none).cut(b.dates(first, true)), 300)
			if !slices.EqualFunc(x, y, time.Time.Equal) {
				t.Fatalf("%s has other dates than %s\n%v\n%v\n%s", recurrenceText(got), recurrenceText(want), x, y, text(cal))
			}
		}
	})
}

func text(cal *ical.Calendar) string {
	var b strings.Builder
	if err := ics.Encode(&b, cal); err != nil {
		return err.Error()
	}
	return b.String()
}

// Whatever a client writes, it is refused with a sentence, or what Outlook gets has the dates that our own reader finds.
func FuzzFromClient(f *testing.F) {
	for _, seed := range []string{
		"DTSTART;TZID=Europe/Berlin:20261207T090000\nDTEND;TZID=Europe/Berlin:20261207T091500\nRRULE:FREQ=WEEKLY;BYDAY=MO,WE;UNTIL=20270331T070000Z\nEXDATE:20261209T080000Z",
		"DTSTART;VALUE=DATE:20261207\nRRULE:FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=3\nRECURRENCE-ID;VALUE=DATE:20261207",
		"DTSTART:20261207T090000\nDURATION:P1DT2H\nRRULE:FREQ=YEARLY;BYMONTH=2;BYDAY=-1SU\nRDATE:20261209T090000,20261210T090000",
		"DTSTART;TZID=Customized Time Zone:20260329T023000\nRRULE:FREQ=DAILY;INTERVAL=2;BYDAY=MO\nEXDATE;TZID=Nowhere:20260329T023000",
		"DTSTART:00010101T000000Z\nRRULE:FREQ=DAILY;INTERVAL=9999", "DTSTART:99991231T235959Z\nDURATION:P30000D\nRRULE:FREQ=SECONDLY",
		"DTSTART:20261207T090000Z\nRRULE:FREQ=DAILY;UNTIL=44991231\nRRULE:X", "RRULE:FREQ=DAILY", "DTSTART:x",
		"DTSTART:16010101T000000Z\nRRULE:FREQ=DAILY;UNTIL=40000101T000000Z",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, event string) {
		data := "BEGIN:VCALENDAR\r\n" + strings.ReplaceAll(customBerlin, "\n", "\r\n") + "\r\nBEGIN:VEVENT\r\n" + event + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
		cal, err := ics.Decode([]byte(data))
		if err != nil {
			return
		}
		in := readObject(cal, berlin, nil)
		if in.master == nil {
			return
		}
		check := func(err error) {
			var r *Refusal
			if err != nil && (!errors.As(err, &r) || r.Sentence == "") {
				t.Fatalf("no refusal: %v", err)
			}
		}
		if list, err := in.exclusions(); err == nil {
			for _, m := range list[:min(len(list), 10)] {
				_, err := occurrenceDate(m, in, in)
				check(err)
			}
		} else {
			check(err)
		}
		if !sameRecurrence(in, readObject(cal, berlin, in)) {
			t.Fatal("it is not the same as itself")
		}
		at, _, err := graphTimes(in.master, in, berlin, nil)
		if check(err); err != nil {
			return
		}
		got, err := graphRecurrence(in, at, berlin, nil)
		if check(err); err != nil || got == nil {
			return
		}
		first, _ := time.Parse(time.DateOnly, got.Range.StartDate)
		p, ok := readPattern(got.Pattern, first, func(f, r string) { t.Fatal(f, r) })
		if !ok {
			t.Fatal(recurrenceText(got))
		}
		horizon := first.AddDate(8, 0, 0)
		list, err := in.hits(horizon)
		if err != nil {
			t.Fatal(err)
		}
		var want, have []string
		for _, h := range list.from(first.AddDate(0, 0, -2)) {
			if dateOf(h.wall).Before(horizon.AddDate(0, 0, -3)) {
				want = append(want, h.wall.Format(time.DateOnly))
			}
		}
		for d := range readLimit(got.Range, func(f, r string) { t.Fatal(f, r) }).cut(p.dates(first, true)) {
			if !d.Before(horizon.AddDate(0, 0, -3)) {
				break
			}
			have = append(have, d.Format(time.DateOnly))
		}
		if !slices.Equal(want, have) {
			t.Fatalf("%s:\n%v\n%v", recurrenceText(got), have, want)
		}
	})
}

// A served series that a client changes gets in Outlook exactly the dates that the client's object has, or is refused: it is
// cut short, as for "this and all following", moved to another hour or zone, or loses its end.
func TestServedSeriesChanged(t *testing.T) {
	written, refused := 0, map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		s, _, _ := drawSeries(t)
		if rapid.Bool().Draw(t, "not checked") {
			s.Occurrences = nil
		}
		cal, _, err := ToICS(s)
		if err != nil {
			t.Skip()
		}
		served := readObject(cal, s, nil)
		if !served.recurs() {
			t.Skip()
		}
		again, err := ics.Decode([]byte(text(cal)))
		if err != nil {
			t.Fatal(err)
		}
		c := readObject(again, s, nil).master
		start := c.Props.Get(ical.PropDateTimeStart)
		old, err := served.reader.Moment(cal, start)
		if err != nil {
			t.Fatal(err)
		}
		list, err := served.hits(old.Wall.AddDate(6, 0, 0))
		if err != nil || len(list) == 0 {
			t.Skip()
		}
		rule := c.Props.Get(ical.PropRecurrenceRule)
		var parts []string
		for part := range strings.SplitSeq(rule.Value, ";") {
			if !strings.HasPrefix(part, "UNTIL=") && !strings.HasPrefix(part, "COUNT=") {
				parts = append(parts, part)
			}
		}
		edit := rapid.SampledFrom([]string{"until", "count", "endless", "hour", "zone", "dates"}).Draw(t, "edit")
		switch edit {
		case "until":
			at := list[rapid.IntRange(0, len(list)-1).Draw(t, "last")].at
			until := at.Add(-time.Second).Format(ics.UTCForm)
			if old.Date {
				until = at.AddDate(0, 0, -1).Format(ics.DateForm)
			}
			rule.Value = strings.Join(append(parts, "UNTIL="+until), ";")
			var kept []ical.Prop // clients drop the dates after it too
			for _, p := range c.Props.Values(ical.PropRecurrenceDates) {
				if m, err := served.reader.Moment(cal, &p); err == nil && m.In(time.UTC).Before(at) {
					kept = append(kept, p)
				}
			}
			c.Props[ical.PropRecurrenceDates] = kept
		case "count":
			rule.Value = strings.Join(append(parts, fmt.Sprint("COUNT=", rapid.IntRange(1, 30).Draw(t, "count"))), ";")
		case "endless":
			rule.Value = strings.Join(parts, ";")
		case "hour", "zone":
			if old.Date {
				t.Skip()
			}
			for _, p := range []*ical.Prop{start, c.Props.Get(ical.PropDateTimeEnd)} {
				if p == nil {
					continue
				}
				if m, err := served.reader.Moment(cal, p); err == nil && edit == "hour" {
					form := ics.WallForm
					if m.Loc == time.UTC {
						form = ics.UTCForm
					}
					p.Value = m.Wall.Add(time.Hour).Format(form)
				} else if err == nil {
					p.Value = m.Wall.Format(ics.WallForm)
					p.Params.Set(ical.ParamTimezoneID, "America/New_York")
				}
			}
		case "dates":
			start.Value = old.Wall.Format(ics.DateForm)
			start.Params = ical.Params{ical.ParamValue: {"DATE"}}
			delete(c.Props, ical.PropDateTimeEnd)
		}
		in := readObject(again, s, served)
		at, _, err := graphTimes(in.master, in, s, &s.Event)
		var r *Refusal
		if errors.As(err, &r) {
			refused[r.Sentence]++
			return
		}
		got, err := graphRecurrence(in, at, s, served)
		if errors.As(err, &r) {
			refused[r.Sentence]++
			return
		} else if err != nil {
			t.Fatal(err)
		}
		if got == nil {
			return
		}
		written++
		horizon := dateOf(old.Wall).AddDate(7, 0, 0)
		mine, err := in.hits(horizon.Add(3 * day))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]bool{}
		for _, h := range mine {
			want[h.wall.Format(time.DateOnly)] = true
		}
		first, _ := time.Parse(time.DateOnly, got.Range.StartDate)
		if civil, _, _ := parseCivil(at.Start.DateTime); !dateOf(civil).Equal(first) {
			t.Fatalf("starts on %s, its recurrence on %s", at.Start.DateTime, got.Range.StartDate)
		}
		p, _ := readPattern(got.Pattern, first, func(f, r string) { t.Fatal(f, r) })
		for d := range readLimit(got.Range, func(f, r string) { t.Fatal(f, r) }).cut(p.dates(first, true)) {
			name := d.Format(time.DateOnly)
			if d.After(horizon) {
				break
			}
			if !want[name] && !s.removed()[name] && !sameRecurrence(served, in) {
				t.Fatalf("%s: %s has %s\n%s", edit, recurrenceText(got), name, text(again))
			}
			delete(want, name)
		}
		for name := range want {
			if name <= horizon.Format(time.DateOnly) {
				t.Fatalf("%s: %s has not %s\n%s", edit, recurrenceText(got), name, text(again))
			}
		}
	})
	if written == 0 {
		t.Error("every edit was refused")
	}
	t.Log(written, refused)
}
