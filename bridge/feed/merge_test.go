package feed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
	"outbridge/caldav/ics/lint"
)

func event(id, zone, start, end string) graph.Event {
	return graph.Event{ID: graph.EventID(id), ICalUID: id, Type: graph.SingleInstance, Subject: "ä" + strings.Repeat("x", 100), OriginalStartTimeZone: zone,
		Start: graph.DateTimeTimeZone{DateTime: start, TimeZone: "UTC"}, End: graph.DateTimeTimeZone{DateTime: end, TimeZone: "UTC"}}
}

func octets(t testing.TB, s convert.Series) []byte {
	t.Helper()
	cal, _, err := convert.ToICS(s)
	if err != nil {
		t.Fatal(err)
	}
	return encode(t, cal)
}

func encode(t testing.TB, cal *ical.Calendar) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := ics.Encode(&b, cal); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodeZone(t testing.TB, c *ical.Component) string {
	t.Helper()
	return string(encode(t, &ical.Calendar{Component: c}))
}

func decode(t testing.TB, b []byte) *ical.Calendar {
	t.Helper()
	cal, err := ics.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return cal
}

func date(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

// weekly is a series on Mondays from 2 March 2026, without end.
func weekly() convert.Series {
	return convert.Series{Event: graph.Event{ID: "m", ICalUID: "u", Type: graph.SeriesMaster, Subject: "Weekly", OriginalStartTimeZone: "W. Europe Standard Time",
		Start: graph.DateTimeTimeZone{DateTime: "2026-03-02T08:00:00", TimeZone: "UTC"}, End: graph.DateTimeTimeZone{DateTime: "2026-03-02T09:00:00", TimeZone: "UTC"},
		Recurrence: &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: []string{"monday"}, FirstDayOfWeek: "sunday"},
			Range: graph.RecurrenceRange{Type: "noEnd", StartDate: "2026-03-02"}}}}
}

func each(objects [][]byte) func() iter.Seq2[[]byte, error] {
	return func() iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for _, o := range objects {
				if !yield(o, nil) {
					return
				}
			}
		}
	}
}

func TestWriteFeed(t *testing.T) {
	objects := [][]byte{
		octets(t, convert.Series{Event: event("b", "W. Europe Standard Time", "2026-07-01T10:00:00", "2026-07-01T11:00:00")}),
		octets(t, convert.Series{Event: event("a", "W. Europe Standard Time", "1990-07-01T10:00:00", "1990-07-01T11:00:00")}),
		octets(t, convert.Series{Event: event("c", "UTC", "2026-07-01T10:00:00", "2026-07-01T11:00:00")}),
		octets(t, convert.Series{Event: event("d", "Eastern Standard Time", "2026-07-01T10:00:00", "2026-07-01T11:00:00")}),
	}
	var b bytes.Buffer
	about := info{Name: "Ann, at work", Description: "Line\nbreak", Color: "#0078d4"}
	if err := writeFeed(&b, about, each(objects)); err != nil {
		t.Fatal(err)
	}
	for _, p := range lint.Problems(b.String(), false) {
		t.Error(p)
	}
	head, _, _ := strings.Cut(b.String(), "BEGIN:VTIMEZONE")
	want := "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//outbridge//outbridge//EN\nCALSCALE:GREGORIAN\nMETHOD:PUBLISH\nNAME:Ann\\, at work\n" +
		"X-WR-CALNAME:Ann\\, at work\nDESCRIPTION:Line\\nbreak\nX-WR-CALDESC:Line\\nbreak\nCOLOR:dodgerblue\n" +
		"X-APPLE-CALENDAR-COLOR:#0078D4\nREFRESH-INTERVAL;VALUE=DURATION:PT1H\nX-PUBLISHED-TTL:PT1H\n"
	if got := strings.ReplaceAll(head, "\r\n", "\n"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	// The events are those of the objects, octet for octet and in their order.
	at := 0
	for _, o := range objects {
		_, vevent, _ := strings.Cut(string(o), "BEGIN:VEVENT")
		vevent = "BEGIN:VEVENT" + strings.TrimSuffix(vevent, "END:VCALENDAR\r\n")
		i := strings.Index(b.String()[at:], vevent)
		if i < 0 {
			t.Fatalf("not in the feed, or not in its place:\n%s", vevent)
		}
		at += i + len(vevent)
	}
	// One VTIMEZONE a zone, right for 1990 as for 2026: summer time ended in September until 1995.
	cal := decode(t, b.Bytes())
	zones := 0
	for _, c := range cal.Children {
		if c.Name != "VTIMEZONE" || c.Props.Get("TZID").Value != "Europe/Berlin" {
			continue
		}
		zones++
		got, want := encodeZone(t, c), encodeZone(t, convert.Timezone("Europe/Berlin", date(1990, 7, 1), date(2026, 7, 3)))
		if got != want || !strings.Contains(got, "BYMONTH=9;") || !strings.Contains(got, "BYMONTH=10;") {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	}
	if zones != 1 {
		t.Errorf("%d times Europe/Berlin", zones)
	}
	first, last := reader().Bounds(cal)
	if first.Year() != 1990 || last.Year() != 2026 {
		t.Errorf("%v – %v", first, last)
	}
}

// A feed has no alarms and nothing that is cancelled unless it is asked for; a file for import has all.
func TestWriteFeedLeavesOut(t *testing.T) {
	alarm := event("b", "UTC", "2026-07-01T10:00:00", "2026-07-01T11:00:00")
	alarm.IsReminderOn, alarm.ReminderMinutes, alarm.Subject = true, 15, "BEGIN:VALARM"
	gone := event("c", "Tokyo Standard Time", "2026-07-02T10:00:00", "2026-07-02T11:00:00")
	gone.IsCancelled = true
	series := weekly()
	series.Event.Recurrence.Range = graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 2, StartDate: "2026-03-02"}
	one := graph.Event{ID: "e", Type: graph.Exception, OccurrenceID: "OID.m.2026-03-09", IsCancelled: true,
		Start: graph.DateTimeTimeZone{DateTime: "2026-03-10T08:00:00"}, End: graph.DateTimeTimeZone{DateTime: "2026-03-10T09:00:00"}}
	series.Exceptions = []graph.Event{one}
	all := series
	all.Event.ICalUID = "all"
	other := one
	other.OccurrenceID = "OID.m.2026-03-02"
	all.Exceptions = []graph.Event{one, other}
	objects := [][]byte{octets(t, convert.Series{Event: alarm}), octets(t, convert.Series{Event: gone}), octets(t, series), octets(t, all)}

	feed := func(f filter) string {
		t.Helper()
		var b bytes.Buffer
		var shown [][]byte
		for _, o := range objects {
			if o, err := f.apply(o); err != nil {
				t.Fatal(err)
			} else if o != nil {
				shown = append(shown, o)
			}
		}
		if err := writeFeed(&b, info{}, each(shown)); err != nil {
			t.Fatal(err)
		}
		for _, p := range lint.Problems(b.String(), false) {
			t.Error(p)
		}
		return b.String()
	}
	list := func(text string) (starts []string) {
		t.Helper()
		instances, err := reader().Expand(decode(t, []byte(text)), ics.Span{Start: date(2026, 1, 1), End: date(2027, 1, 1)})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range instances {
			starts = append(starts, i.Start.Format("01-02"))
		}
		return starts
	}
	for _, tc := range []struct {
		filter            filter
		starts            string
		alarms, zones     int
		exdate, cancelled bool
	}{
		{filter{Alarms: true, Cancelled: true}, "03-02 07-01", 0, 1, true, false},
		{filter{Cancelled: true}, "03-02 07-01", 1, 1, true, false},
		{filter{Alarms: true}, "03-02 03-10 03-10 03-10 07-01 07-02", 0, 2, false, true},
	} {
		text := feed(tc.filter)
		if got := strings.Join(list(text), " "); got != tc.starts {
			t.Errorf("%+v: %s, want %s", tc.filter, got, tc.starts)
		}
		if n := strings.Count(text, "\r\nBEGIN:VALARM\r\n"); n != tc.alarms || n != strings.Count(text, "\r\nEND:VALARM\r\n") || n != strings.Count(text, "TRIGGER") {
			t.Errorf("%+v: %d alarms", tc.filter, n)
		}
		if n := strings.Count(text, "BEGIN:VTIMEZONE"); n != tc.zones {
			t.Errorf("%+v: %d zones", tc.filter, n)
		}
		if strings.Contains(text, "EXDATE;TZID=Europe/Berlin:20260309T090000\r\n") != tc.exdate || strings.Contains(text, "STATUS:CANCELLED") != tc.cancelled {
			t.Errorf("%+v:\n%s", tc.filter, text)
		}
		if !strings.Contains(text, "SUMMARY:BEGIN:VALARM\r\n") {
			t.Errorf("%+v: a subject is lost", tc.filter)
		}
		if feed(tc.filter) != text {
			t.Errorf("%+v: other octets the second time", tc.filter)
		}
	}
	var b bytes.Buffer
	if err := WriteCalendar(&b, each(objects)); err != nil || !strings.Contains(b.String(), "BEGIN:VALARM") || !strings.Contains(b.String(), "STATUS:CANCELLED") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestWriteCalendarEmpty(t *testing.T) {
	var b, c bytes.Buffer
	if err := WriteCalendar(&b, each(nil)); err != nil {
		t.Fatal(err)
	}
	if err := ics.Encode(&c, newCalendar()); err != nil || c.String() != b.String() {
		t.Errorf("%s\nwant\n%s", b.String(), c.String())
	}
}

// A zone that is not in the tz database keeps the VTIMEZONE that came with the object.
func TestWriteCalendarForeignZone(t *testing.T) {
	foreign := "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VTIMEZONE\r\nTZID:Own\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\nTZOFFSETFROM:+0130\r\n" +
		"TZOFFSETTO:+0130\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20260101T000000Z\r\nSEQUENCE:0\r\nSUMMARY:s\r\n" +
		"DTSTART;TZID=Own:20260101T000000\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
	var b bytes.Buffer
	if err := WriteCalendar(&b, each([][]byte{[]byte(foreign), []byte(strings.ReplaceAll(foreign, "UID:u", "UID:v"))})); err != nil {
		t.Fatal(err)
	}
	for _, p := range lint.Problems(b.String(), false) {
		t.Error(p)
	}
	if strings.Count(b.String(), "TZOFFSETTO:+0130") != 1 {
		t.Error(b.String())
	}
}

func TestWriteFeedErrors(t *testing.T) {
	broken := errors.New("the store is gone")
	seq := func() iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) { yield(nil, broken) }
	}
	if err := writeFeed(&bytes.Buffer{}, info{}, seq); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := writeFeed(&bytes.Buffer{}, info{}, each([][]byte{[]byte("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n")})); err == nil {
		t.Error("an object that is not whole was written")
	}
	one := octets(t, convert.Series{Event: event("b", "UTC", "2026-07-01T10:00:00", "2026-07-01T11:00:00")})
	if err := writeFeed(failing{}, info{}, each([][]byte{one})); err == nil {
		t.Error("an error of the writer was lost")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no room") }

// FuzzWriteFeed: whatever the octets are, they are merged or refused.
func FuzzWriteFeed(f *testing.F) {
	f.Add([]byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u\r\nATTENDEE;CN=\"a^'b^^^n\":mailto:a@b.example\r\nDTSTART:20260101T000000Z\r\nSTATUS:CANCELLED\r\n" +
		"BEGIN:VALARM\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"))
	f.Add([]byte("BEGIN:VCALENDAR\r\nBEGIN:VTIMEZONE\r\nTZID:x\r\nEND:VTIMEZONE\r\nEND:VCALENDAR"))
	f.Add([]byte("BEGIN:VCALENDAR\r\nBEGIN:VTIMEZONE\r\nTZID:x\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\nDTSTART:2026\r\nRRULE:UNTIL=\r\nEND:VEVENT\r\nEND:VCALENDAR"))
	f.Add([]byte("BEGIN:X;A="))
	f.Fuzz(func(_ *testing.T, in []byte) {
		_ = writeFeed(io.Discard, info{}, each([][]byte{in}))
	})
}

// A feed of many objects takes no more memory than one of few.
func BenchmarkWriteFeed(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		o := octets(b, convert.Series{Event: event("b", "W. Europe Standard Time", "2026-07-01T10:00:00", "2026-07-01T11:00:00")})
		objects := make([][]byte, n)
		for i := range objects {
			objects[i] = o
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := writeFeed(io.Discard, info{Name: "x"}, each(objects)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "objects/s")
		})
	}
}
