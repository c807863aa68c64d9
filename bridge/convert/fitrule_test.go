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
		got := fittingRule(tc.starts)
		// The order of the parts, and WKST, are the affair of pattern.rule.
		for part := range strings.SplitSeq(tc.rule, ";") {
			if !strings.Contains(got, part) || (tc.rule == "") != (got == "") {
				t.Errorf("%v: %q, want %q", tc.starts, got, tc.rule)
				break
			}
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
