package convert

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-ical"
	"pgregory.net/rapid"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
	"outbridge/caldav/ics/lint"
)

// The oracle below knows nothing of RRULEs: it walks the days one by one and asks Graph's pattern of each.

// oracleHit is whether the pattern falls on d, its interval being counted from first.
func oracleHit(p graph.RecurrencePattern, first, d time.Time) bool {
	months := func(t time.Time) int { return t.Year()*12 + int(t.Month()) }
	named := func(d time.Time) bool {
		return slices.Contains(p.DaysOfWeek, strings.ToLower(d.Weekday().String()))
	}
	inMonth := func() bool {
		last := time.Date(d.Year(), d.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
		if strings.HasPrefix(p.Type, "absolute") {
			return d.Day() == p.DayOfMonth || p.DayOfMonth > last && d.Day() == last
		}
		var all []int
		for i := 1; i <= last; i++ {
			if named(time.Date(d.Year(), d.Month(), i, 0, 0, 0, 0, time.UTC)) {
				all = append(all, i)
			}
		}
		n := map[string]int{"first": 0, "second": 1, "third": 2, "fourth": 3, "last": len(all) - 1}[p.Index]
		return n < len(all) && all[n] == d.Day()
	}
	switch p.Type {
	case "daily":
		return int(d.Sub(first).Hours()/24)%p.Interval == 0
	case "weekly":
		week := func(t time.Time) time.Time {
			for strings.ToLower(t.Weekday().String()) != p.FirstDayOfWeek {
				t = t.AddDate(0, 0, -1)
			}
			return t
		}
		return named(d) && int(week(d).Sub(week(first)).Hours()/24/7)%p.Interval == 0
	case "absoluteMonthly", "relativeMonthly":
		return inMonth() && (months(d)-months(first))%p.Interval == 0
	}
	return inMonth() && int(d.Month()) == p.Month && (d.Year()-first.Year())%p.Interval == 0
}

// oracleInstant is when a clock in loc first shows civil; in a gap, with the offset from before it.
func oracleInstant(civil time.Time, loc *time.Location) time.Time {
	for t := civil.Add(-15 * time.Hour); t.Before(civil.Add(15 * time.Hour)); t = t.Add(15 * time.Minute) {
		if l := t.In(loc); l.Hour() == civil.Hour() && l.Minute() == civil.Minute() && l.Day() == civil.Day() {
			return t
		}
	}
	_, offset := civil.Add(-26 * time.Hour).In(loc).Zone()
	return civil.Add(-time.Duration(offset) * time.Second)
}

var testZones = []string{"W. Europe Standard Time", "Eastern Standard Time", "UTC", "Morocco Standard Time", "Lord Howe Standard Time",
	"New Zealand Standard Time", "India Standard Time", "E. South America Standard Time", "Iran Standard Time", "Samoa Standard Time",
	"GMT Standard Time", "Pacific/Kiritimati"}

func utcTime(t time.Time) graph.DateTimeTimeZone {
	return graph.DateTimeTimeZone{DateTime: t.UTC().Format("2006-01-02T15:04:05.0000000"), TimeZone: "UTC"}
}

// drawSeries makes a series and its instances up to six years on; more tells that there are later ones.
func drawSeries(t *rapid.T) (s Series, want []Span, more bool) { return drawSeriesIn(t, testZones) }

func drawSeriesIn(t *rapid.T, zones []string) (s Series, want []Span, more bool) {
	weekday := rapid.SampledFrom([]string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"})
	p := graph.RecurrencePattern{
		Type:           rapid.SampledFrom([]string{"daily", "weekly", "absoluteMonthly", "relativeMonthly", "absoluteYearly", "relativeYearly"}).Draw(t, "type"),
		Interval:       rapid.IntRange(1, 5).Draw(t, "interval"),
		FirstDayOfWeek: weekday.Draw(t, "week"),
		Index:          "first",
	}
	switch p.Type {
	case "absoluteMonthly", "absoluteYearly":
		p.DayOfMonth = rapid.OneOf(rapid.IntRange(1, 31), rapid.IntRange(28, 31)).Draw(t, "day")
	case "daily":
	default:
		p.DaysOfWeek = rapid.SliceOfNDistinct(weekday, 1, 7, rapid.ID[string]).Draw(t, "days")
		p.Index = rapid.SampledFrom([]string{"first", "second", "third", "fourth", "last"}).Draw(t, "index")
	}
	if strings.HasSuffix(p.Type, "Yearly") {
		p.Month = rapid.IntRange(1, 12).Draw(t, "month")
	}
	if p.Type == "weekly" {
		p.Index = "first"
	}

	allDay := rapid.Bool().Draw(t, "allDay")
	zoneName := rapid.SampledFrom(zones).Draw(t, "zone")
	loc, _, _ := LoadZone(zoneName)
	first := date(2015, 1, 1).AddDate(0, 0, rapid.IntRange(0, 4000).Draw(t, "start"))
	if _, turn := first.In(loc).ZoneBounds(); !turn.IsZero() && rapid.IntRange(0, 3).Draw(t, "near a turn of the clock") == 0 {
		first = dateOf(turn.In(loc)).AddDate(0, 0, rapid.IntRange(-2, 1).Draw(t, "days from it"))
	}
	for !oracleHit(graph.RecurrencePattern{Type: p.Type, Interval: 1, Month: p.Month, DayOfMonth: p.DayOfMonth, DaysOfWeek: p.DaysOfWeek,
		FirstDayOfWeek: p.FirstDayOfWeek, Index: p.Index}, first, first) {
		first = first.AddDate(0, 0, 1)
	}
	clock := time.Duration(rapid.IntRange(0, 95).Draw(t, "clock")) * 15 * time.Minute
	length := time.Duration(rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 95)).Draw(t, "length")) * 15 * time.Minute
	if allDay {
		clock, length = 0, time.Duration(rapid.IntRange(1, 3).Draw(t, "days long"))*day
	}
	// A first instance that begins or ends in the hour that is skipped does not tell at which hour the others do.
	skipped := func(d time.Duration) bool {
		civil := first.Add(d)
		return !allDay && oracleInstant(civil, loc).In(loc).Format("15:04") != civil.Format("15:04")
	}
	for skipped(clock) {
		clock += 15 * time.Minute
	}
	for skipped(clock + length) {
		length += 15 * time.Minute
	}
	at := func(d time.Time) Span {
		if allDay {
			return Span{d, d.Add(length)}
		}
		// By the clock, as Outlook stores it: an instance may be longer or shorter where the clock is turned, but for one that
		// begins in the hour that is skipped.
		start := oracleInstant(d.Add(clock), loc)
		end := oracleInstant(d.Add(clock+length), loc)
		if start.In(loc).Format("15:04") != d.Add(clock).Format("15:04") || end.Before(start) {
			end = start.Add(length)
		}
		return Span{start, end}
	}

	r := graph.RecurrenceRange{StartDate: first.Format(time.DateOnly), EndDate: "0001-01-01",
		Type: rapid.SampledFrom([]string{"noEnd", "endDate", "numbered"}).Draw(t, "range")}
	stop := first.AddDate(6, 0, 0)
	end := stop
	switch r.Type {
	case "endDate":
		end = first.AddDate(0, 0, rapid.IntRange(0, 2500).Draw(t, "until"))
		r.EndDate = end.Format(time.DateOnly)
	case "numbered":
		r.NumberOfOccurrences = rapid.IntRange(1, 60).Draw(t, "count")
	}
	var dates []time.Time
	for d := first; ; d = d.AddDate(0, 0, 1) {
		if r.Type == "numbered" && len(dates) == r.NumberOfOccurrences || r.Type == "endDate" && d.After(end) {
			break
		}
		if !d.Before(stop) {
			more = true
			break
		}
		if oracleHit(p, first, d) {
			dates = append(dates, d)
		}
	}

	span := at(first)
	s.Event = graph.Event{ID: "m", ICalUID: "uid-1", Type: graph.SeriesMaster, IsAllDay: allDay, Subject: "x",
		OriginalStartTimeZone: zoneName, OriginalEndTimeZone: zoneName, Start: utcTime(span.Start), End: utcTime(span.End),
		Recurrence: &graph.Recurrence{Pattern: p, Range: r}, LastModified: "2015-01-01T00:00:00Z"}

	// A few of the instances are removed, a few are moved by up to three days.
	touched := map[time.Time]bool{}
	for i := range rapid.IntRange(0, 3).Draw(t, "cancelled") {
		d := rapid.SampledFrom(dates).Draw(t, fmt.Sprint("cancel ", i))
		touched[d] = true
		s.Cancelled = append(s.Cancelled, "OID.m."+d.Format(time.DateOnly))
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "exceptions") {
		d := rapid.SampledFrom(dates).Draw(t, fmt.Sprint("exception ", i))
		if touched[d] {
			continue
		}
		touched[d] = true
		moved := Span{Start: at(d).Start.Add(time.Duration(rapid.IntRange(-72, 72).Draw(t, "by")) * time.Hour)}
		if allDay {
			moved.Start = d.AddDate(0, 0, rapid.IntRange(-3, 3).Draw(t, "by days"))
		}
		moved.End = moved.Start.Add(max(length, time.Hour))
		if allDay {
			moved.End = moved.Start.Add(length)
		}
		s.Exceptions = append(s.Exceptions, graph.Event{ID: graph.EventID("e" + d.Format(time.DateOnly)), Type: graph.Exception, IsAllDay: allDay,
			SeriesMasterID: "m", OccurrenceID: "OID.m." + d.Format(time.DateOnly), Subject: "y", OriginalStartTimeZone: zoneName,
			Start: utcTime(moved.Start), End: utcTime(moved.End)})
		want = append(want, moved)
	}
	for _, d := range dates {
		if !touched[d] {
			want = append(want, at(d))
		}
	}
	slices.SortFunc(want, func(a, b Span) int { return a.Start.Compare(b.Start) })
	return s, want, more
}

// occurrences are spans as instances that Graph lists.
func occurrences(allDay bool, spans []Span) []Occurrence {
	list := []Occurrence{}
	for _, s := range spans {
		list = append(list, Occurrence{s, allDay})
	}
	return list
}

// list gives s what Graph lists of it.
func (s *Series) list(want []Span, more bool) {
	last := want[len(want)-1].Start
	s.Window = Span{date(2015, 1, 1).Add(-2 * fuzzy), last.AddDate(0, 0, 30)}
	if more {
		s.Window.End = last.AddDate(0, 0, -30)
	}
	s.Occurrences = occurrences(s.Event.IsAllDay, want)
}

// Whatever the pattern, range and zone: the instances that an RFC 5545 reader makes of the object are Outlook's.
func TestSeriesAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, want, more := drawSeries(t)
		cal, losses, err := ToICS(s)
		if len(want) == 0 && more {
			return // the oracle stops too early to tell
		}
		if len(want) == 0 {
			if !errors.Is(err, ErrNoInstances) {
				t.Fatalf("no instance is left, and the error is %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := ics.Encode(&b, cal); err != nil {
			t.Fatal(err)
		}
		for _, p := range lint.Problems(b.String(), true) {
			t.Errorf("%s\n%s", p, b.String())
		}
		first := date(2015, 1, 1)
		last := want[len(want)-1].Start
		if more {
			last = last.AddDate(0, 0, -4) // the oracle stops there
		}
		compareSpans(t, cal, Span{first, last.Add(time.Second)}, want, b.String(), true)

		// The object's own bounds take in all of it.
		lo, hi := (&ics.Reader{Resolve: Zone}).Bounds(cal)
		for _, w := range want {
			if w.Start.Before(lo) || !hi.IsZero() && w.End.After(hi) {
				t.Errorf("%v is outside of the bounds %v – %v", w, lo, hi)
			}
		}

		// The same series, checked against what Graph lists, comes out the same to the second and with no further loss.
		s.list(want, more)
		checked, second, err := ToICS(s)
		if err != nil {
			t.Fatal(err)
		}
		var b2 strings.Builder
		if err := ics.Encode(&b2, checked); err != nil {
			t.Fatal(err)
		}
		if len(second) > len(losses) {
			t.Errorf("losses %v\n%s", second, b2.String())
		}
		compareSpans(t, checked, Span{first, s.Window.End.Add(-fuzzy)}, want, b2.String(), true)
	})
}

type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
}

func compareSpans(t failer, cal *ical.Calendar, w Span, want []Span, text string, ends bool) {
	t.Helper()
	got, err := (&ics.Reader{Resolve: Zone}).Expand(cal, ics.Span(w))
	if err != nil {
		t.Fatal(err)
	}
	var a, b []string
	show := func(start, end time.Time) string {
		if !ends {
			return start.UTC().Format(time.RFC3339)
		}
		return start.UTC().Format(time.RFC3339) + "/" + end.UTC().Format(time.RFC3339)
	}
	for _, i := range got {
		if w.holds(i.Start) {
			a = append(a, show(i.Start, i.End))
		}
	}
	for _, s := range want {
		if w.holds(s.Start) {
			b = append(b, show(s.Start, s.End))
		}
	}
	slices.Sort(a)
	slices.Sort(b)
	if !slices.Equal(a, b) {
		for i := range max(len(a), len(b)) {
			if i >= len(a) || i >= len(b) || a[i] != b[i] {
				t.Errorf("instance %d of %d, want %d:\n%v\n%v\n%s", i, len(a), len(b), a[min(i, len(a)):min(i+3, len(a))], b[min(i, len(b)):min(i+3, len(b))], text)
				return
			}
		}
	}
}

// TestCustomZone: the rules of a custom zone are nowhere in Graph's answer, but what it lists across a change of the
// clock tells which zone they come down to, so that the series goes on beyond the list.
func TestCustomZone(t *testing.T) {
	loc, _, _ := LoadZone("America/New_York")
	first := time.Date(2026, 9, 7, 8, 30, 0, 0, loc) // a Monday
	s := Series{Event: graph.Event{
		ID: "x", Type: graph.SeriesMaster, Subject: "Custom", OriginalStartTimeZone: "tzone://Microsoft/Custom",
		Start: graph.DateTimeTimeZone{DateTime: first.UTC().Format("2006-01-02T15:04:05"), TimeZone: "UTC"},
		End:   graph.DateTimeTimeZone{DateTime: first.UTC().Add(time.Hour).Format("2006-01-02T15:04:05"), TimeZone: "UTC"},
		Recurrence: &graph.Recurrence{
			Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: []string{"monday"}},
			Range:   graph.RecurrenceRange{Type: "noEnd", StartDate: "2026-09-07"},
		},
	}, Window: Span{first.AddDate(0, 0, -10), first.AddDate(0, 6, 0)}, Occurrences: []Occurrence{}}
	for at := first; at.Before(s.Window.End); at = at.AddDate(0, 0, 7) {
		s.Occurrences = append(s.Occurrences, Occurrence{Span: Span{at.UTC(), at.UTC().Add(time.Hour)}})
	}
	cal, losses, err := ToICS(s)
	if err != nil {
		t.Fatal(err)
	}
	ahead := Span{first.AddDate(2, 0, 0), first.AddDate(3, 0, 0)}
	got, err := (&ics.Reader{Resolve: Zone}).Expand(cal, ics.Span(ahead))
	if err != nil || len(got) < 52 {
		t.Fatalf("%d instances in the third year, %v", len(got), err)
	}
	for _, i := range got {
		if at := i.Start.In(loc); at.Weekday() != time.Monday || at.Format("15:04") != "08:30" {
			t.Errorf("an instance at %s", at)
		}
	}
	var said []string
	for _, l := range losses {
		said = append(said, l.Field+": "+l.Reason)
	}
	want := []string{
		`originalStartTimeZone: The time zone "tzone://Microsoft/Custom" is not known; the times are written in UTC.`,
		// Of the Windows zones that change their clocks on the same days the one nearest to UTC, which is as good as any.
		"recurrence: The times of the series are written in America/Miquelon, whose clock changes as what Outlook shows does.",
	}
	if !slices.Equal(said, want) {
		t.Errorf("losses %q", said)
	}
}
