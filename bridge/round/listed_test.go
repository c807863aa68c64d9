package round_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
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

// hide has Graph answer with a status to every request for one event, whatever else it lists.
func (w *world) hide(id graph.EventID, status int) {
	w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
		if strings.Contains(r.URL.Path, "/events/"+string(id)) {
			return &graphsim.Fault{Status: status}
		}
		return nil
	}
}

func (w *world) losses() (n int) {
	w.Helper()
	cals, err := w.Store.Calendars(w.Ctx, 1)
	w.Must(err)
	for _, c := range cals {
		counts, err := w.Store.Counts(w.Ctx, c.ID)
		w.Must(err)
		n += counts.Losses
	}
	return n
}

// try runs a round that may fail.
func (w *world) try() {
	w.Pass(time.Minute)
	_, _ = w.Rounds.Round(w.Ctx, w.Mailbox)
}

// TestMasterHidden: a series that Graph lists and whose master it refuses forever is served as it is listed, with a loss, in
// rounds that are good.
func TestMasterHidden(t *testing.T) {
	for _, status := range []int{404, 403, 400} {
		for _, known := range []bool{false, true} {
			t.Run(fmt.Sprint(status, " known=", known), func(t *testing.T) {
				w := newWorld(t)
				cal := w.Box.Calendar()
				series := cal.Create(weekly("Stand-up", -7, 8, "monday", "thursday"))
				cal.Create(meeting("Other", 1, 9))
				if known {
					w.Changes(2)
				}
				w.hide(series, status)
				w.Must(cal.CancelOccurrence(series, day(10)))
				w.Must(cal.ChangeOccurrence(series, day(14), func(e *graphsim.Event) { e.Subject, e.Location = "Special", "Roof" }))
				w.try()
				w.Object("Stand-up")
				w.Crash()
				w.Round()
				w.Object("Stand-up", "Special", "LOCATION:Roof")
				if w.losses() == 0 {
					t.Error("no loss is recorded")
				}
				w.Changes(0)
				w.Sim.ResetRequests()
				if r := w.Changes(0); r.Requests != 2 {
					t.Errorf("%d requests in an idle round", r.Requests)
				}
				w.Must(cal.Change(series, func(e *graphsim.Event) { e.Subject = "Sit-down" }))
				w.try()
				w.Round()
				w.Object("Sit-down")

				// Rendered again it is the same, and still has its loss.
				w.Rounds.HTML = true
				w.Round()
				w.Object("Sit-down")
				if w.losses() == 0 {
					t.Error("the loss is forgotten")
				}
				// It is asked for now and then.
				w.Sim.Fault = nil
				w.Pass(time.Hour)
				w.Round()
				if n := w.losses(); n != 0 {
					t.Errorf("%d losses when Graph shows it", n)
				}
				w.hide(series, status)
				w.Must(cal.Touch(series))
				w.try()
				w.Must(cal.Delete(series))
				w.try()
				w.Round()
				w.Object("Other")
				w.Changes(0)
			})
		}
	}
}

// TestHiddenAfterTrouble: what a listing has named is there, also where the round that was to read it failed and later ones find
// that Graph does not show it.
func TestHiddenAfterTrouble(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	cal.Create(meeting("Other", 1, 9))
	w.Changes(1)
	w.Client.Attempts = 1
	series := cal.Create(weekly("Stand-up", -7, 8, "monday", "thursday"))
	w.hide(series, 503)
	w.try()
	w.Crash()
	w.Client.Attempts = 1
	w.hide(series, 404)
	cal.Create(meeting("Another", 1, 9))
	w.try()
	w.Round()
	w.Object("Stand-up")
	w.Changes(0)
}

// TestMasterUnlisted: where Graph allows no delta its lists name occurrences and no masters. A series whose master cannot be read is
// one object from what is listed, with a loss, and the same object when its master can be read.
func TestMasterUnlisted(t *testing.T) {
	for _, status := range []int{404, 403, 400} {
		for _, whole := range []bool{false, true} { // its occurrences are not to be had by their ids either
			t.Run(fmt.Sprint(status, " whole=", whole), func(t *testing.T) {
				w := newWorld(t, func(s *graphsim.Server) { s.DelegatedDeltaDenied = true })
				cal := w.sharedInto()
				cal.Create(meeting("Other", 1, 9))
				w.Changes(1)
				e := weekly("Stand-up", -7, 8, "monday", "thursday")
				e.Recurrence.Range = graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 8}
				series := cal.Create(e)
				w.Must(cal.ChangeOccurrence(series, day(7), func(e *graphsim.Event) { e.Subject, e.Location = "Special", "Roof" }))
				w.hide(series, status)
				if whole {
					w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
						if strings.Contains(r.URL.Path, "/events/") {
							return &graphsim.Fault{Status: status}
						}
						return nil
					}
				}
				ids := w.identities()
				count := func() (c bridge.Counts) {
					t.Helper()
					cals, err := w.Store.Calendars(w.Ctx, 1)
					w.Must(err)
					c, err = w.Store.Counts(w.Ctx, cals[len(cals)-1].ID)
					w.Must(err)
					return c
				}
				look := func(losses bool) {
					t.Helper()
					w.try()
					w.Round()
					w.Round()
					ids.look()
					if len(ids.shown) != 2 || len(ids.uids) != 2 {
						t.Errorf("%d objects, %d hrefs so far, want 2", len(ids.shown), len(ids.uids))
					}
					if c := count(); c.Losses > 0 != losses || c.Unread > 0 != losses || c.Events != 2 || c.Series != 1 {
						t.Errorf("counts %+v", c)
					}
				}
				look(true)
				w.Object("Stand-up", "Special", "LOCATION:Roof")
				w.Must(cal.CancelOccurrence(series, day(10)))
				look(true)
				w.Must(cal.Change(series, func(e *graphsim.Event) { e.Subject = "Sit-down" }))
				look(true)
				w.Rounds.HTML = true
				look(true)
				w.Crash()
				look(true)
				w.Changes(0)
				w.Sim.Fault = nil
				w.Pass(time.Hour)
				look(false)
				w.Object("Sit-down", "RRULE:")
				w.hide(series, status)
				w.Must(cal.Delete(series))
				w.try()
				w.Round()
				w.Object("Other")
				w.Changes(0)
				if c := count(); c.Losses+c.Unread > 0 {
					t.Errorf("counts %+v of what is gone", c)
				}
			})
		}
	}
}

// TestPrivateInShared: private events of somebody else's calendar are listed, and not to be had by their ids.
func TestPrivateInShared(t *testing.T) {
	for _, into := range []bool{false, true} {
		for _, view := range []bool{false, true} {
			t.Run(fmt.Sprintf("into=%t view=%t", into, view), func(t *testing.T) {
				w := newWorld(t, func(s *graphsim.Server) { s.PrivateUnreadable, s.DelegatedDeltaDenied = true, view })
				var cal *graphsim.Calendar
				if into {
					cal = w.sharedInto()
				} else {
					boss := w.Sim.AddMailbox("boss@contoso.example", "The Boss", "Pacific Standard Time")
					cal = boss.Calendar()
					cal.Share(w.Box)
					w.shareWith("boss@contoso.example")
					w.Others = append(w.Others, cal)
				}
				private := func(e graphsim.Event) graphsim.Event {
					e.Sensitivity = "private"
					return e
				}
				single := cal.Create(private(meeting("Doctor", 2, 9)))
				gone := cal.Create(private(meeting("Dentist", 3, 9)))
				cal.Create(meeting("Open", 2, 9))
				series := private(weekly("Therapy", -7, 15, "monday"))
				series.Recurrence.Range = graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 6}
				id := cal.Create(series)
				w.Must(cal.ChangeOccurrence(id, day(7), func(e *graphsim.Event) { e.Subject = "Therapy, moved"; e.Start = e.Start.Add(-time.Hour) }))
				w.try()
				w.Round()
				if w.losses() == 0 {
					t.Error("no loss is recorded")
				}
				w.Changes(0)
				w.Must(cal.Change(single, func(e *graphsim.Event) { e.Subject = "Doctor again" }))
				w.Round()
				w.Must(cal.CancelOccurrence(id, day(14)))
				w.try()
				w.Round()
				w.Must(cal.Delete(gone))
				w.Round()
				if !view {
					w.Must(cal.Change(single, func(e *graphsim.Event) { e.Start, e.End = at(800, 9, 0), at(800, 10, 0) }))
					w.Changes(1)
					w.Must(cal.Delete(single))
				}
				w.Must(cal.Delete(id))
				w.try()
				w.Round()
				w.Changes(0)
			})
		}
	}
}

// TestExceptionsUntold: an exception that lists name in full and its master's GET leaves out keeps all that the list said of it.
func TestExceptionsUntold(t *testing.T) {
	for _, lack := range []bool{false, true} {
		w := newWorld(t, func(s *graphsim.Server) { s.ExceptionsUntold, s.InstancesLackExceptions = true, lack })
		cal := w.Box.Calendar()
		series := cal.Create(weekly("Stand-up", -7, 8, "monday", "thursday"))
		w.Must(cal.ChangeOccurrence(series, day(7), func(e *graphsim.Event) { e.Subject, e.Location, e.Body = "Early", "Roof", "Bring tea" }))
		w.Must(cal.ChangeOccurrence(series, day(14), func(e *graphsim.Event) { e.Subject, e.Start = "Moved", e.Start.Add(-time.Hour) }))
		w.Changes(1)
		w.Object("SUMMARY:Early", "LOCATION:Roof", "Bring tea", "SUMMARY:Moved")
		w.Must(cal.CancelOccurrence(series, day(10)))
		w.Changes(1)
		w.Object("SUMMARY:Early", "LOCATION:Roof", "Bring tea", "SUMMARY:Moved")
		w.Must(cal.CancelOccurrence(series, day(14)))
		w.Changes(1)
		w.Rounds.HTML = true
		w.Round()
		w.Object("SUMMARY:Early", "LOCATION:Roof", "Bring tea")
		w.Must(cal.Change(series, func(e *graphsim.Event) { e.Start, e.End = e.Start.Add(time.Hour), e.End.Add(time.Hour) }))
		w.Round()
		w.Changes(0)
	}
}

// TestNullRecurrence: a master whose recurrence is null everywhere shows the occurrences that are listed.
func TestNullRecurrence(t *testing.T) {
	w := newWorld(t, func(s *graphsim.Server) { s.NullRecurrence = true })
	cal := w.Box.Calendar()
	e := weekly("Stand-up", -14, 8, "monday", "thursday")
	e.Recurrence.Range = graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 12}
	series := cal.Create(e)
	w.Changes(1)
	if w.losses() == 0 {
		t.Error("no loss is recorded")
	}
	w.Must(cal.CancelOccurrence(series, day(7)))
	w.Changes(1)
	w.Must(cal.ChangeOccurrence(series, day(10), func(e *graphsim.Event) { e.Subject, e.Location = "Special", "Roof" }))
	w.Changes(1)
	w.Object("Stand-up", "LOCATION:Roof")
	w.Must(cal.Change(series, func(e *graphsim.Event) { e.Subject = "Sit-down" }))
	w.Changes(1)
	w.Rounds.HTML = true
	w.Round()
	w.Must(cal.Delete(series))
	w.Changes(1)
}

// TestLookFailsForEver: that Graph cannot list what lies beyond the window is a failure once. It keeps nothing else from being
// done, and what is missing for it is on record.
func TestLookFailsForEver(t *testing.T) {
	for _, status := range []int{500, 502, 503, 504, 403} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			w := newWorld(t)
			w.Client.Attempts = 1
			cal := w.Box.Calendar()
			gone := cal.Create(meeting("Gone", 3, 9))
			cal.Create(meeting("Soon", 3, 9))
			cal.Create(meeting("Known", 900, 9))
			w.Changes(3)
			far := 0
			w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
				if strings.HasSuffix(r.URL.Path, "/events") {
					far++
					return &graphsim.Fault{Status: status}
				}
				return nil
			}
			w.Sim.ForgetDeltaTokens()
			w.Must(cal.Delete(gone))
			w.try()
			w.Check() // what was deleted in between is gone, what is known of the time beyond is there
			w.Round()
			pending := func() string {
				c, err := w.Store.Calendar(w.Ctx, 1)
				w.Must(err)
				return c.Pending
			}
			if p := pending(); p != bridge.PendingBeyond {
				t.Errorf("pending %q", p)
			}
			for range 3 {
				w.Round()
			}
			far = 0
			for range 30 {
				w.Round()
			}
			if far > 3 {
				t.Errorf("asked %d times in half an hour", far)
			}
			w.audit(0)
			cal.Create(meeting("Sooner", 2, 9))
			w.Changes(1)
			w.Sim.Fault = nil
			w.Pass(time.Hour)
			w.Changes(0)
			if p := pending(); p != bridge.PendingNothing {
				t.Errorf("pending %q", p)
			}
		})
	}
}

// TestMasterDeniedLater: a series that Graph has shown and denies from some day on stays as it is known, in rounds that are good.
func TestMasterDeniedLater(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	series := cal.Create(weekly("Stand-up", -7, 8, "monday", "thursday"))
	w.Changes(1)
	w.hide(series, 403)
	rows, err := w.Store.SeriesRows(w.Ctx, 1, series)
	w.Must(err)
	w.Damage(bridge.MirrorPage{Rows: rows, Marks: []bridge.Mark{{Series: series, Stage: bridge.StageRead}}})
	cal.Create(meeting("Other", 1, 9)) // so that the rows are of an earlier round
	w.try()
	for range 3 {
		w.Round()
	}
	w.Object("Stand-up")
}
