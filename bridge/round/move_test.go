package round_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// linkless are the ways in which Graph may leave it open in which calendar an event is.
var linkless = map[string]func(*graphsim.Server){
	"links":                    func(s *graphsim.Server) {},
	"select drops the link":    func(s *graphsim.Server) { s.SelectDropsLink = true },
	"at every path":            func(s *graphsim.Server) { s.EventsAnywhere = true },
	"at every path, no select": func(s *graphsim.Server) { s.EventsAnywhere, s.SelectDropsLink = true, true },
	"no link at every path":    func(s *graphsim.Server) { s.EventsAnywhere, s.NoCalendarLink = true, true },
}

// three is a world with two calendars that are served and one that is not.
func three(t *testing.T, set func(*graphsim.Server)) (w *world, a, b, private *graphsim.Calendar) {
	w = newWorld(t, set)
	a, b, private = w.Box.Calendar(), w.Box.AddCalendar("Other", ""), w.Box.AddCalendar("Private", "")
	w.Mailbox.Exclude, w.Left = []string{"private"}, 1
	return w, a, b, private
}

// TestMoves moves events and series from calendar to calendar, one of them not served, and requires one copy of each after
// every round.
func TestMoves(t *testing.T) {
	for name, set := range linkless {
		t.Run(name, func(t *testing.T) {
			w, a, b, private := three(t, set)
			ids := []graph.EventID{a.Create(meeting("Single", 3, 9)), a.Create(weekly("Series", -7, 11, "monday", "thursday")), a.Create(meeting("Far", 800, 9))}
			w.Must(a.ChangeOccurrence(ids[1], day(7), func(e *graphsim.Event) { e.Subject = "Changed"; e.Start = e.Start.Add(time.Hour) }))
			a.Create(meeting("Stays", 3, 9))
			w.Changes(4)
			from := a
			for _, to := range []*graphsim.Calendar{b, a, private, a, private, b, a} {
				for _, id := range ids {
					w.Must(from.Move(id, to))
				}
				from = to
				w.Round()
				w.audit(0)
				w.Changes(0)
			}
			// There and back, and on, between two rounds.
			for _, to := range []*graphsim.Calendar{private, a, b, a, private} {
				for _, id := range ids {
					w.Must(from.Move(id, to))
				}
				from = to
			}
			w.Round()
			w.audit(0)
			w.Changes(0)
		})
	}
}

// TestMoveKilled kills the program at every request of a round after moves, with a fault in one calendar before that.
func TestMoveKilled(t *testing.T) {
	for name, set := range linkless {
		t.Run(name, func(t *testing.T) {
			for kill := int64(1); ; kill += stride {
				w, a, b, private := three(t, set)
				single, series := a.Create(meeting("Single", 3, 9)), a.Create(weekly("Series", -7, 11, "monday", "thursday"))
				second := b.Create(weekly("Second", -7, 12, "monday"))
				hidden := private.Create(weekly("Hidden", -7, 13, "tuesday"))
				w.Round()
				w.Must(a.Move(single, b))
				w.Must(a.Move(series, b))
				w.Must(b.Move(second, private))
				w.Must(private.Move(hidden, a))
				// One calendar learns of it before the other.
				late := []*graphsim.Calendar{a, b}[kill%2]
				var n atomic.Int64
				w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
					if strings.HasPrefix(r.URL.Path, "/v1.0") && (n.Add(1) >= kill || strings.Contains(r.URL.Path, string(late.ID()))) {
						return &graphsim.Fault{Status: 403, Code: "ErrorAccessDenied"}
					}
					return nil
				}
				w.try()
				done := n.Load() < kill
				w.Crash()
				w.Sim.Fault = nil
				w.Round()
				w.audit(0)
				w.Changes(0)
				w.Must(w.Store.Close())
				if done && kill%2 == 0 {
					break
				}
				if kill > 60 {
					t.Fatal("the rounds do not end")
				}
			}
		})
	}
}

// TestMoveStorm moves and edits at random between calendars of which one is not served, with faults and kills, whatever Graph
// tells of where an event lies.
func TestMoveStorm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "storm-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		w := makeWorld(t, t.Context(), dir, slog.New(slog.DiscardHandler), func(s *graphsim.Server) {
			s.MaxPage = rapid.IntRange(1, 20).Draw(t, "page")
			s.Duplicate = rapid.Bool().Draw(t, "duplicate")
			s.ReplayLast = rapid.Bool().Draw(t, "replay")
			s.Shuffle = rapid.Int64Range(0, 3).Draw(t, "shuffle")
			s.SelectDropsLink = rapid.Bool().Draw(t, "drops")
			s.NoCalendarLink = rapid.Bool().Draw(t, "linkless")
			s.EventsAnywhere = rapid.Bool().Draw(t, "anywhere")
		})
		defer w.Store.Close()
		cals := []*graphsim.Calendar{w.Box.Calendar(), w.Box.AddCalendar("Second", ""), w.Box.AddCalendar("Private", "")}
		w.Mailbox.Exclude, w.Left = []string{"private"}, 1
		where := map[graph.EventID]*graphsim.Calendar{}
		var ids []graph.EventID
		for n := range rapid.IntRange(1, 5).Draw(t, "events") {
			e := meeting(fmt.Sprint("Event ", n), rapid.SampledFrom([]int{-90, 2, 20, 700}).Draw(t, "day"), 8+n)
			if rapid.Bool().Draw(t, "series") {
				e = weekly(fmt.Sprint("Series ", n), rapid.SampledFrom([]int{-90, -3, 20, 700}).Draw(t, "day"), 8+n, "tuesday", "friday")
			}
			cal := cals[rapid.IntRange(0, 2).Draw(t, "in")]
			id := cal.Create(e)
			where[id], ids = cal, append(ids, id)
		}
		w.Round()
		st := &storm{world: w}
		for range rapid.IntRange(1, 5).Draw(t, "rounds") {
			for range rapid.IntRange(1, 4).Draw(t, "edits") {
				id := rapid.SampledFrom(ids).Draw(t, "which")
				to := cals[rapid.IntRange(0, 2).Draw(t, "to")]
				if where[id].Move(id, to) == nil {
					where[id] = to
				}
				if rapid.IntRange(0, 2).Draw(t, "edit") == 0 {
					_ = where[id].Change(id, func(e *graphsim.Event) { e.Subject += "'" })
				}
			}
			if rapid.Bool().Draw(t, "trouble") {
				st.trouble(t)
			} else {
				w.Round()
			}
		}
		w.Round()
		w.Changes(0)
		w.audit(0)
		w.Changes(0)
	})
}
