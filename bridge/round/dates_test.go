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

// TestAllDayInOtherForms: all-day series far east and west, with what was removed and changed of them, are on their dates
// however Graph says them; all-day exceptions of a timed series move no neighbour that lasts as long.
func TestAllDayInOtherForms(t *testing.T) {
	forms := map[string]func(*graphsim.Server){
		"dates":              func(s *graphsim.Server) {},
		"instants":           func(s *graphsim.Server) { s.AllDayInstants = true },
		"offsets":            func(s *graphsim.Server) { s.Offsets = true },
		"without exceptions": func(s *graphsim.Server) { s.NoCancelledOccurrences = true },
	}
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, form)
			cal := w.Box.Calendar()
			date := func(day int) string { return start.AddDate(0, 0, day).Format(time.DateOnly) }
			for _, zone := range []string{"Line Islands Standard Time", "New Zealand Standard Time", "Samoa Standard Time", "Tokyo Standard Time", "UTC",
				"Eastern Standard Time", "Hawaiian Standard Time", "E. South America Standard Time"} {
				e := weekly(zone, -3, 0, "monday", "thursday")
				e.AllDay, e.Zone = true, zone
				id := cal.Create(e)
				w.Must(cal.CancelOccurrence(id, date(7)))
				w.Must(cal.ChangeOccurrence(id, date(10), func(e *graphsim.Event) { e.Subject += ", renamed" }))
				w.Must(cal.ChangeOccurrence(id, date(14), func(e *graphsim.Event) { e.Start, e.End = e.Start.AddDate(0, 0, 1), e.End.AddDate(0, 0, 2) }))
				single := meeting(zone, 3, 0)
				single.AllDay, single.Zone = true, zone
				cal.Create(single)
			}
			for _, hour := range []int{0, 6, 11, 12, 20} {
				e := weekly("Round the clock", 0, hour, "monday", "wednesday", "friday")
				e.End, e.Zone = e.Start.Add(24*time.Hour), "UTC"
				id := cal.Create(e)
				w.Must(cal.ChangeOccurrence(id, date(9), func(e *graphsim.Event) { e.AllDay = true }))
				w.Must(cal.CancelOccurrence(id, date(14)))
			}
			w.Changes(8*2 + 5)
			w.Changes(0)
		})
	}
}

// TestTurnsOfTheClock: what begins in an hour that is skipped or comes twice, or is going on while the clock is turned, ends
// when Outlook says, the first time and for years after the window.
func TestTurnsOfTheClock(t *testing.T) {
	for name, form := range map[string]func(*graphsim.Server){
		"by the clock":    func(s *graphsim.Server) {},
		"exactly as long": func(s *graphsim.Server) { s.ExactDuration = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, form)
			cal := w.Box.Calendar()
			add := func(zone, first string, length time.Duration, kind string, days ...string) {
				e := graphsim.Event{Subject: zone + " from " + first, Zone: zone}
				e.Start, _ = time.Parse("2006-01-02 15:04", first)
				e.End = e.Start.Add(length)
				e.Recurrence = weekly("", 0, 0, days...).Recurrence
				e.Recurrence.Pattern.Type = kind
				cal.Create(e)
			}
			add("Eastern Standard Time", "2026-10-30 18:00", 62*time.Hour, "weekly", "friday") // over the end of summer time at first
			add("Eastern Standard Time", "2027-03-13 22:00", 9*time.Hour, "daily")             // over its beginning
			add("Pacific Standard Time", "2026-11-30 02:30", time.Hour, "daily")
			add("W. Europe Standard Time", "2026-12-01 02:00", 30*time.Minute, "daily")
			add("Lord Howe Standard Time", "2026-12-01 01:45", 45*time.Minute, "daily")
			add("AUS Eastern Standard Time", "2027-04-03 20:00", 12*time.Hour, "weekly", "saturday", "sunday")
			w.Changes(6)
			w.Changes(0)
		})
	}
}
