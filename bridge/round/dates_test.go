package round_test

import (
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// TestDatesOfOtherZones: the dates that Graph names occurrences by are those of a zone that the event does not name, and
// not those of the zone that is guessed. What is removed, changed or cancelled is that occurrence and no other, in the
// window and beyond.
func TestDatesOfOtherZones(t *testing.T) {
	for _, tc := range []struct {
		name, zone, real, recurrence string
		hour                         int
	}{
		{"custom, before midnight", "tzone://Microsoft/Custom", "Pacific Standard Time", "", 22},
		{"custom, after midnight", "tzone://Microsoft/Custom", "AUS Eastern Standard Time", "", 1},
		{"unknown, without summer time", "Customized Time Zone", "Tokyo Standard Time", "", 7},
		{"UTC with a recurrence elsewhere", "UTC", "Taipei Standard Time", "Taipei Standard Time", 6},
		{"UTC with a recurrence elsewhere, with summer time", "tzone://Microsoft/Utc", "Eastern Standard Time", "Eastern Standard Time", 21},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			cal := w.Box.Calendar()
			e := weekly("On call", -3, tc.hour, "saturday")
			e.Start, e.End = e.Start.Add(30*time.Minute), e.End.Add(30*time.Minute)
			e.Zone, e.RealZone, e.Recurrence.Range.RecurrenceTimeZone = tc.zone, tc.real, tc.recurrence
			id := cal.Create(e)
			saturday := func(week int) string { return start.AddDate(0, 0, 5+7*week).Format(time.DateOnly) }
			for _, week := range []int{2, 33, 70, 110} {
				w.Must(cal.CancelOccurrence(id, saturday(week)))
			}
			for _, week := range []int{4, 34, 71, 111} {
				w.Must(cal.ChangeOccurrence(id, saturday(week), func(e *graphsim.Event) { e.Subject = "Swapped " + saturday(week) }))
			}
			w.Must(cal.CancelOccurrenceByOrganizer(id, saturday(6)))
			w.Changes(1)
			w.Must(cal.CancelOccurrence(id, saturday(35)))
			w.Must(cal.ChangeOccurrence(id, saturday(7), func(e *graphsim.Event) { e.Start = e.Start.Add(-20 * time.Minute) }))
			w.Changes(1)
			w.Changes(0)
		})
	}
}
