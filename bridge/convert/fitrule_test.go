package convert

import (
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

func TestFittingRule(t *testing.T) {
	at := func(days ...string) (out []time.Time) {
		for _, d := range days {
			s, err := time.Parse("2006-01-02 15", d+" 10")
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, s)
		}
		return out
	}
	for _, tc := range []struct {
		starts []time.Time
		rule   string
	}{
		{at("2026-07-01", "2026-07-02", "2026-07-03"), "FREQ=DAILY;COUNT=3"},
		{at("2026-07-01", "2026-07-11", "2026-07-21"), "FREQ=DAILY;COUNT=3;INTERVAL=10"},
		{at("2026-07-01", "2026-07-15"), "FREQ=WEEKLY;COUNT=2;INTERVAL=2;BYDAY=WE"},
		{at("2026-07-06", "2026-07-08", "2026-07-13", "2026-07-15"), "FREQ=WEEKLY;COUNT=4;BYDAY=MO,WE"},
		{at("2026-07-15", "2026-08-15", "2026-09-15", "2026-10-15"), "FREQ=MONTHLY;COUNT=4;BYMONTHDAY=15"},
		{at("2026-07-14", "2026-08-11", "2026-09-08", "2026-10-13"), "FREQ=MONTHLY;COUNT=4;BYDAY=2TU"},
		{at("2026-07-31", "2026-08-28", "2026-09-25"), "FREQ=WEEKLY;COUNT=3;INTERVAL=4;BYDAY=FR"},
		{at("2026-02-15", "2027-02-15", "2028-02-15", "2029-02-15"), "FREQ=MONTHLY;COUNT=4;INTERVAL=12;BYMONTHDAY=15"},
		{at("2026-07-01", "2026-07-30", "2026-08-29", "2026-09-27"), ""},
		{at("2026-07-01"), ""},
		{append(at("2026-07-01"), at("2026-07-02")[0].Add(time.Hour)), ""},
	} {
		f, ok := fitting(tc.starts, nil)
		got := ""
		if ok && f.price == 0 {
			got = f.rule(0)
		}
		// The order of the parts, and WKST, are the affair of pattern.rule.
		for part := range strings.SplitSeq(tc.rule, ";") {
			if !strings.Contains(got, part) || (tc.rule == "") != (got == "") {
				t.Errorf("%v: %q, want %q", tc.starts, got, tc.rule)
				break
			}
		}
	}
}

// Gaps of a rule are left out, and instances beside it are moved.
func TestFittingWithGaps(t *testing.T) {
	day := func(n int) time.Time { return date(2026, 7, 1).AddDate(0, 0, n).Add(10 * time.Hour) } // a Wednesday
	lunar := []time.Time{}
	for i := range 12 {
		lunar = append(lunar, day(i*59/2))
	}
	for name, tc := range map[string]struct {
		starts      []time.Time
		gone, moved int
	}{
		"daily with gaps":    {[]time.Time{day(0), day(1), day(2), day(4), day(5), day(8), day(9)}, 1, 0},
		"weekly with a gap":  {[]time.Time{day(0), day(7), day(14), day(28), day(35)}, 1, 0},
		"two days with gaps": {[]time.Time{day(0), day(2), day(9), day(14), day(16), day(21), day(28), day(30)}, 2, 0},
		"weekly, one moved":  {[]time.Time{day(0), day(14), day(28), day(41), day(56), day(70), day(84), day(98), day(112), day(126)}, 0, 1},
		"one later that day": {[]time.Time{day(0), day(7).Add(time.Hour), day(14), day(21), day(28)}, 0, 1},
		"lunar":              {lunar, 0, 10},
	} {
		f, ok := fitting(tc.starts, nil)
		if !ok || len(f.gone) != tc.gone || len(f.moved) != tc.moved {
			t.Errorf("%s: %s, %d left out, %d moved", name, f.rule(0), len(f.gone), len(f.moved))
		}
		// Whatever it is, it gives just these.
		got := map[time.Time]bool{}
		for _, at := range f.dates {
			if to, moved := f.moved[at]; moved {
				got[to] = true
			} else if f.kept[at] {
				got[at] = true
			}
		}
		for _, at := range tc.starts {
			if !got[at] {
				t.Errorf("%s: %s is missing", name, at)
			}
		}
		if len(got) != len(tc.starts) || len(f.dates) != len(tc.starts)+len(f.gone) {
			t.Errorf("%s: %d instances of %d dates", name, len(got), len(f.dates))
		}
	}
	for i, at := range lunar[1:] {
		f, ok := fitting(lunar, map[time.Time]bool{at: true})
		if ok && !f.kept[at] {
			t.Errorf("the date of override %d is moved", i)
		}
	}
}

// A series whose pattern cannot be read is a rule where what is listed follows one: no RDATE, and exactly what is listed.
func TestSpelledByARule(t *testing.T) {
	at := func(s string) graph.DateTimeTimeZone { return graph.DateTimeTimeZone{DateTime: s, TimeZone: "UTC"} }
	for _, step := range []int{1, 3, 7, 14} {
		e := graph.Event{ID: "m", Type: graph.SeriesMaster, OriginalStartTimeZone: "W. Europe Standard Time", Start: at("2026-09-01T08:00:00"), End: at("2026-09-01T09:00:00"),
			Recurrence: &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "lunar"}}}
		s := Series{Event: e, Window: Span{date(2026, 8, 1), date(2027, 2, 1)}, Occurrences: []Occurrence{}}
		berlin, _, _ := LoadZone("Europe/Berlin")
		for i := range 8 { // over the end of summer time
			start := time.Date(2026, 9, 1+i*step, 10, 0, 0, 0, berlin)
			s.Occurrences = append(s.Occurrences, Occurrence{Span: Span{start, start.Add(time.Hour)}})
		}
		cal, losses, err := ToICS(s)
		if err != nil || len(losses) == 0 {
			t.Fatal(err, losses)
		}
		text := encode(t, cal)
		if strings.Contains(text, "RDATE") || !strings.Contains(text, "COUNT=8") {
			t.Errorf("every %d days:\n%s", step, text)
		}
		list, err := (&ics.Reader{Resolve: Zone}).Expand(cal, ics.Span(s.Window))
		if err != nil || len(list) != 8 {
			t.Fatal(err, len(list))
		}
		for i := range list {
			if !list[i].Start.Equal(s.Occurrences[i].Start) || !list[i].End.Equal(s.Occurrences[i].End) {
				t.Errorf("every %d days, %d: %v", step, i, list[i])
			}
		}
	}
}
