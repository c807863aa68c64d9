package convert

import (
	"testing"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
)

// What is cancelled has no alarm: an event, a series, one occurrence of a series.
func TestCancelledHasNoAlarm(t *testing.T) {
	at := func(s string) graph.DateTimeTimeZone { return graph.DateTimeTimeZone{DateTime: s, TimeZone: "UTC"} }
	single := graph.Event{ID: "a", Start: at("2026-07-01T10:00:00"), End: at("2026-07-01T11:00:00"), OriginalStartTimeZone: "UTC", IsReminderOn: true, ReminderMinutes: 15}
	series := single
	series.Type, series.Recurrence = graph.SeriesMaster, &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "daily", Interval: 1}, Range: graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 3, StartDate: "2026-07-01"}}
	exception := single
	exception.ID, exception.Type, exception.OccurrenceID, exception.IsCancelled = "x", graph.Exception, "OID.a.2026-07-02", true
	exception.Start, exception.End = at("2026-07-02T10:00:00"), at("2026-07-02T11:00:00")
	for name, tc := range map[string]struct {
		s      Series
		alarms []int // of each VEVENT
	}{
		"single":           {Series{Event: single}, []int{1}},
		"cancelled":        {Series{Event: cancelled(single)}, []int{0}},
		"cancelled series": {Series{Event: cancelled(series)}, []int{0}},
		"one occurrence":   {Series{Event: series, Exceptions: []graph.Event{exception}}, []int{1, 0}},
	} {
		cal, _, err := ToICS(tc.s)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, c := range cal.Children {
			if c.Name == ical.CompEvent {
				got = append(got, len(c.Children))
			}
		}
		if len(got) != len(tc.alarms) || got[0] != tc.alarms[0] || got[len(got)-1] != tc.alarms[len(got)-1] {
			t.Errorf("%s: %v alarms, want %v", name, got, tc.alarms)
		}
	}
}

func cancelled(e graph.Event) graph.Event {
	e.IsCancelled = true
	return e
}
