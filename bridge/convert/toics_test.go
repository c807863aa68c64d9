package convert

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
	"outbridge/caldav/ics/lint"
)

func event(id, zone, start, end string) graph.Event {
	return graph.Event{ID: graph.EventID(id), ICalUID: id, Type: graph.SingleInstance, Subject: "ä" + strings.Repeat("x", 100), OriginalStartTimeZone: zone,
		Start: graph.DateTimeTimeZone{DateTime: start, TimeZone: "UTC"}, End: graph.DateTimeTimeZone{DateTime: end, TimeZone: "UTC"}}
}

// encode is the octets of cal, checked line by line.
func encode(t testing.TB, cal *ical.Calendar) string {
	t.Helper()
	var b bytes.Buffer
	if err := ics.Encode(&b, cal); err != nil {
		t.Fatal(err)
	}
	for _, problem := range lint.Problems(b.String(), true) {
		t.Error(problem)
	}
	return b.String()
}

func decode(t testing.TB, b []byte) *ical.Calendar {
	t.Helper()
	cal, err := ics.Decode(b)
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return cal
}

func octets(t testing.TB, s Series) []byte {
	t.Helper()
	cal, _, err := ToICS(s)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(encode(t, cal))
}

// An object changes when the caller counts a change, and only then.
func TestStampsAreStable(t *testing.T) {
	e := event("a", "UTC", "2026-07-01T10:00:00", "2026-07-01T11:00:00")
	e.LastModified = "2026-01-05T06:07:08.9Z"
	a, b := octets(t, Series{Event: e}), octets(t, Series{Event: e})
	if string(a) != string(b) {
		t.Error("not the same bytes")
	}
	early := octets(t, Series{Event: e, Modified: date(2026, 1, 1)})
	if string(a) != string(early) {
		t.Error("LAST-MODIFIED is not Graph's")
	}
	late := string(octets(t, Series{Event: e, Modified: date(2026, 3, 1), Sequence: 3}))
	for _, want := range []string{"DTSTAMP:20260301T000000Z\r\n", "LAST-MODIFIED:20260301T000000Z\r\n", "SEQUENCE:3\r\n"} {
		if !strings.Contains(late, want) {
			t.Errorf("no %s in\n%s", want, late)
		}
	}
}

func TestErrNoTime(t *testing.T) {
	cal, losses, err := ToICS(Series{Event: graph.Event{ID: "a", OriginalStartTimeZone: "UTC", Faults: []string{"start"}}})
	if cal != nil || !errors.Is(err, ErrNoTime) || len(losses) != 1 || losses[0].Event != "a" {
		t.Errorf("%v %v %v", cal, losses, err)
	}
}

// Great events stay events: 500 attendees, a megabyte of subject and of body.
func TestGreatEvent(t *testing.T) {
	e := event("a", "UTC", "2026-07-01T10:00:00", "2026-07-01T11:00:00")
	e.Subject = strings.Repeat("ä, ", 1<<18)
	e.Body = graph.ItemBody{ContentType: "html", Content: strings.Repeat("<p>äöü 𝄞</p>", 1<<16)}
	e.Location.DisplayName = strings.Repeat("ö", 1<<16)
	e.IsReminderOn = true
	for i := range 500 {
		e.Attendees = append(e.Attendees, graph.Attendee{EmailAddress: graph.EmailAddress{Name: strings.Repeat("n", 1000), Address: fmt.Sprintf("a%d@contoso.example", i)}})
	}
	cal, losses, err := ToICS(Series{Event: e})
	if err != nil {
		t.Fatal(err)
	}
	text := encode(t, cal)
	if n := strings.Count(text, "\r\nATTENDEE;"); n != 500 {
		t.Errorf("%d attendees", n)
	}
	if len(text) > 400<<10 {
		t.Errorf("%d octets", len(text))
	}
	fields := ""
	for _, l := range losses {
		fields += l.Field + " "
	}
	if fields != "subject body location " {
		t.Error(losses)
	}
}

// What Graph lists decides, in whatever way the instances differ from the rule's.
func TestOccurrencesDecide(t *testing.T) {
	weekly := graph.Event{ID: "m", ICalUID: "u", Type: graph.SeriesMaster, OriginalStartTimeZone: "W. Europe Standard Time",
		Start: graph.DateTimeTimeZone{DateTime: "2026-03-02T08:00:00", TimeZone: "UTC"}, End: graph.DateTimeTimeZone{DateTime: "2026-03-02T09:00:00", TimeZone: "UTC"},
		Recurrence: &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: []string{"monday"}, FirstDayOfWeek: "sunday"},
			Range: graph.RecurrenceRange{Type: "noEnd", StartDate: "2026-03-02"}}}
	at := func(s string) Span {
		start, err := time.Parse("2006-01-02T15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return Span{start, start.Add(time.Hour)}
	}
	window := Span{date(2026, 2, 1), date(2026, 5, 1)}
	regular := []Span{at("2026-03-02T08:00"), at("2026-03-09T08:00"), at("2026-03-16T08:00"), at("2026-03-23T08:00"), at("2026-03-30T07:00"),
		at("2026-04-06T07:00"), at("2026-04-13T07:00"), at("2026-04-20T07:00"), at("2026-04-27T07:00")}
	odd := []Span{at("2026-03-04T08:00"), at("2026-03-11T11:00"), {date(2026, 3, 20), date(2026, 3, 21)}, at("2026-03-25T08:00"), at("2026-04-02T08:00"), at("2026-04-21T07:00")}
	for name, tc := range map[string]struct {
		listed []Span
		rule   bool
		losses int
	}{
		"regular":       {regular, true, 0},
		"two left out":  {append(append([]Span{}, regular[:3]...), regular[5:]...), true, 1},
		"one later":     {append([]Span{at("2026-03-02T09:30")}, regular[1:]...), true, 1},
		"none":          {[]Span{}, true, 1},
		"all different": {odd, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			cal, losses, err := ToICS(Series{Event: weekly, Occurrences: occurrences(false, tc.listed), Window: window})
			if err != nil {
				t.Fatal(err)
			}
			text := encode(t, cal)
			if strings.Contains(text, "RRULE:FREQ=WEEKLY;BYDAY=MO") != tc.rule || len(losses) != tc.losses || strings.Contains(text, "RDATE") {
				t.Errorf("%v\n%s", losses, text)
			}
			compareSpans(t, cal, Span{window.Start.Add(fuzzy), window.End.Add(-fuzzy)}, tc.listed, text, true)
		})
	}
}

// Where Graph lists nothing at all of a series that lies in the window, there is nothing to show.
func TestNothingListed(t *testing.T) {
	s := master52()
	s.Event.Recurrence.Range = graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 3, StartDate: "2026-03-02"}
	s.Occurrences, s.Window = []Occurrence{}, Span{date(2026, 1, 1), date(2027, 1, 1)}
	if _, losses, err := ToICS(s); !errors.Is(err, ErrNoInstances) {
		t.Errorf("%v %v", losses, err)
	}
	s.Window = Span{date(2024, 1, 1), date(2025, 1, 1)}
	if _, losses, err := ToICS(s); err != nil || len(losses) != 0 {
		t.Errorf("a series outside of the window: %v %v", losses, err)
	}
}

// An all-day occurrence of a timed series, and the reverse, is found among those that Graph lists, at whatever
// midnight it is listed.
func TestOccurrencesOfBothKinds(t *testing.T) {
	window := Span{date(2026, 2, 1), date(2026, 5, 1)}
	vienna, _ := time.LoadLocation("Europe/Vienna")
	timed := master52()
	timed.Event.Recurrence.Range = graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 3, StartDate: "2026-03-02"}
	timed.Window = window
	timed.Exceptions = []graph.Event{{ID: "e", Type: graph.Exception, OccurrenceID: "OID.m.2026-03-09", IsAllDay: true,
		Start: graph.DateTimeTimeZone{DateTime: "2026-03-10T00:00:00"}, End: graph.DateTimeTimeZone{DateTime: "2026-03-11T00:00:00"}}}
	at := func(d, h int) time.Time { return time.Date(2026, 3, d, h, 0, 0, 0, time.UTC) }
	for _, midnight := range []Span{{date(2026, 3, 10), date(2026, 3, 11)}, {time.Date(2026, 3, 10, 0, 0, 0, 0, vienna), time.Date(2026, 3, 11, 0, 0, 0, 0, vienna)},
		{at(9, 23), at(10, 23)}, {at(10, 8), at(11, 8)}} {
		timed.Occurrences = []Occurrence{{Span: Span{at(2, 8), at(2, 9)}}, {midnight, true}, {Span: Span{at(16, 8), at(16, 9)}}}
		cal, losses, err := ToICS(timed)
		if err != nil || len(losses) != 0 {
			t.Errorf("%v: %v %v\n%s", midnight, losses, err, encode(t, cal))
		}
	}

	days := timed
	days.Event.IsAllDay = true
	days.Event.Start.DateTime, days.Event.End.DateTime = "2026-03-02T00:00:00", "2026-03-03T00:00:00"
	days.Exceptions = []graph.Event{{ID: "e", Type: graph.Exception, OccurrenceID: "OID.m.2026-03-09",
		Start: graph.DateTimeTimeZone{DateTime: "2026-03-10T08:00:00"}, End: graph.DateTimeTimeZone{DateTime: "2026-03-10T10:00:00"}}}
	days.Occurrences = []Occurrence{{Span{at(2, 0), at(3, 0)}, true}, {Span: Span{at(10, 8), at(10, 10)}}, {Span{at(15, 23), at(16, 23)}, true}}
	if cal, losses, err := ToICS(days); err != nil || len(losses) != 0 {
		t.Errorf("%v %v\n%s", losses, err, encode(t, cal))
	}
}

func master52() Series {
	return Series{Event: graph.Event{ID: "m", ICalUID: "u", Type: graph.SeriesMaster, Subject: "Weekly", OriginalStartTimeZone: "W. Europe Standard Time",
		Start: graph.DateTimeTimeZone{DateTime: "2026-03-02T08:00:00", TimeZone: "UTC"}, End: graph.DateTimeTimeZone{DateTime: "2026-03-02T09:00:00", TimeZone: "UTC"},
		Recurrence: &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: []string{"monday"}, FirstDayOfWeek: "sunday"},
			Range: graph.RecurrenceRange{Type: "noEnd", StartDate: "2026-03-02"}}}}
}

// The HTML of a body is all there or not there at all.
func TestHTMLAlternative(t *testing.T) {
	for _, tc := range []struct {
		kind, content string
		html          bool
		want          bool
		losses        int
	}{
		{"html", "<p>a</p>", true, true, 0},
		{"html", "<p>a</p>", false, false, 0},
		{"text", "<p>a</p>", true, false, 0},
		{"html", " \r\n", true, false, 0},
		{"html", "<p>" + strings.Repeat("<b></b>", maxHTML/7) + "</p>", true, false, 1},
	} {
		e := event("a", "UTC", "2026-07-01T10:00:00", "2026-07-01T11:00:00")
		e.Body = graph.ItemBody{ContentType: tc.kind, Content: tc.content}
		cal, losses, err := ToICS(Series{Event: e, HTML: tc.html})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(encode(t, cal), "X-ALT-DESC;FMTTYPE=text/html:"); got != tc.want || len(losses) != tc.losses {
			t.Errorf("%.20q: %v, losses %v", tc.content, got, losses)
		}
	}
}

func BenchmarkToICS(b *testing.B) {
	great := event("a", "W. Europe Standard Time", "2026-07-01T10:00:00", "2026-07-01T11:00:00")
	great.Body = graph.ItemBody{ContentType: "html", Content: strings.Repeat("<div><p>some <b>text</b> &amp; more</p></div>", 1<<20/44)}
	checked := master52()
	checked.Window = Span{date(2026, 2, 1), date(2027, 2, 1)}
	cal, _, _ := ToICS(checked)
	list, _ := (&ics.Reader{Resolve: Zone}).Expand(cal, ics.Span(checked.Window))
	for _, i := range list {
		checked.Occurrences = append(checked.Occurrences, Occurrence{Span: Span{i.Start, i.End}})
	}
	for _, tc := range []struct {
		name string
		s    Series
	}{
		{"single", Series{Event: event("a", "W. Europe Standard Time", "2026-07-01T10:00:00", "2026-07-01T11:00:00")}},
		{"weekly", master52()},
		{"weekly-checked", checked},
		{"html-1MB", Series{Event: great}},
	} {
		b.Run(tc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				cal, _, err := ToICS(tc.s)
				if err != nil {
					b.Fatal(err)
				}
				if err := ics.Encode(io.Discard, cal); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func TestEmptyCalendar(t *testing.T) {
	var b strings.Builder
	if err := ics.Encode(&b, newCalendar()); err != nil {
		t.Fatal(err)
	}
	want := "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//outbridge//outbridge//EN\r\nCALSCALE:GREGORIAN\r\nEND:VCALENDAR\r\n"
	if b.String() != want {
		t.Errorf("%q", b.String())
	}
}
