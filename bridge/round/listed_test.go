package round_test

import (
	"fmt"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// sharedInto is a calendar of a colleague's among those of the mailbox.
func (w *world) sharedInto() *graphsim.Calendar {
	boss := w.Sim.AddMailbox("boss@contoso.example", "The Boss", "Pacific Standard Time")
	return w.Box.AddSharedCalendar("The Boss", boss)
}

// TestSharedInto serves everything of a calendar that somebody has shared into the mailbox: its events are only at the path of
// the calendar.
func TestSharedInto(t *testing.T) {
	for _, listed := range []bool{false, true} {
		t.Run(fmt.Sprint("listed=", listed), func(t *testing.T) {
			w := newWorld(t, func(s *graphsim.Server) {
				s.DelegatedDeltaDenied, s.ExceptionPage, s.MaxPage = listed, 1, 5
			})
			cal := w.sharedInto()
			w.Box.Calendar().Create(meeting("My own", 1, 9))
			single := cal.Create(meeting("Talk", 2, 9))
			far := cal.Create(meeting("Far", 700, 9))
			series := cal.Create(weekly("Staff meeting", -7, 15, "monday"))
			for n := range 3 {
				w.Must(cal.ChangeOccurrence(series, day(7+7*n), func(e *graphsim.Event) { e.Subject = fmt.Sprint("Moved ", n); e.Start = e.Start.Add(time.Hour) }))
			}
			w.Must(cal.CancelOccurrence(series, day(28)))
			w.Changes(4)
			w.Must(cal.Change(series, func(e *graphsim.Event) { e.Subject = "Staff" }))
			w.Changes(1)
			w.Must(cal.Change(single, func(e *graphsim.Event) { e.Start, e.End = at(800, 9, 0), at(800, 10, 0) }))
			w.Changes(1)
			if !listed { // a listing of the window tells nothing of what comes after it
				w.Must(cal.Change(far, func(e *graphsim.Event) { e.Subject = "Farther" }))
				w.Changes(1)
				w.Must(cal.Delete(single))
				w.Must(cal.Delete(series))
				w.Changes(2)
			}
			w.Changes(0)
		})
	}
}
