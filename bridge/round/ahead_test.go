package round_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round/roundtest"
	"outbridge/bridge/sqlstore/pgtest"
)

// TestMadeAhead: what a first round makes of events while their pages come in, whatever is named twice, changes meanwhile, or has a
// UID in common, and wherever the round is killed, is what it would make of them after the last page, to the octet.
func TestMadeAhead(t *testing.T) {
	const pages = 8
	for _, kind := range []string{"sqlite", "postgres"} {
		if kind == "postgres" && !pgtest.Available() {
			continue
		}
		for kill := range pages { // 0: never
			t.Run(fmt.Sprint(kind, " killed at page ", kill), func(t *testing.T) {
				now, done := firstRound(t, kind, kill, true)
				after, none := firstRound(t, kind, kill, false)
				if diff := cmp.Diff(after, now); diff != "" {
					t.Errorf("made ahead (+) other objects than afterwards (-):\n%s", diff)
				}
				if none != 0 || kill > 4 && done == 0 {
					t.Errorf("%d series were done when the round was killed, and %d of those that are made afterwards", done, none)
				}
			})
		}
	}
}

// firstRound is what clients see after the first round of a mailbox in which much goes on meanwhile, and how many series were done
// when it was killed. ahead: objects may be made before all pages are there.
func firstRound(t *testing.T, kind string, kill int, ahead bool) (objects []string, done int) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	denied, pages := !ahead, 0
	between := func(int) {}
	w := &world{roundtest.NewOn(t, kind, func(s *graphsim.Server) {
		s.MaxPage, s.Duplicate, s.Shuffle = 5, true, 1
		s.Fault = func(r *http.Request) *graphsim.Fault {
			if !strings.HasSuffix(r.URL.Path, "/delta") {
				return nil
			}
			if denied {
				return &graphsim.Fault{Status: http.StatusBadRequest}
			}
			pages++
			between(pages)
			return nil
		}
	})}
	cal := w.Box.Calendar()
	var ids []graph.EventID
	for i := range 20 {
		e := meeting(fmt.Sprint("Meeting ", i), i, 9)
		if i%5 == 0 {
			e.ICalUID = "same@elsewhere.example"
		}
		ids = append(ids, cal.Create(e))
	}
	cal.Create(weekly("Series", 1, 10, "monday"))
	same := weekly("Series with the UID of others", 1, 12, "tuesday")
	same.ICalUID = "same@elsewhere.example"
	cal.Create(same)
	calendar := func() bridge.Calendar {
		list, err := w.Store.Calendars(w.Ctx, 1)
		w.Must(err)
		return list[0]
	}
	if !ahead { // where a client has named an event, all are made afterwards
		w.Rounds.Round(ctx, w.Mailbox)
		w.Must(w.Store.SetName(ctx, bridge.Name{Calendar: calendar().ID, Object: "none.ics", Series: "none"}))
		denied = false
	}
	between = func(page int) {
		switch page {
		case 2:
			w.Must(cal.Change(ids[1], func(e *graphsim.Event) { e.Subject = "Changed early" }))
		case 3:
			w.Must(cal.Delete(ids[5]))
		}
		if page == kill {
			cancel()
		}
	}
	_, err := w.Rounds.Round(ctx, w.Mailbox)
	between = func(int) {}
	if kill > 0 {
		marks, err := w.Store.MarksOf(w.Ctx, calendar().ID, ids)
		w.Must(err)
		for _, m := range marks {
			if m.Stage == bridge.StageClean {
				done++
			}
		}
		w.Crash()
		for i := 6; i < 20; i += 4 { // what was named before, and what was not
			w.Must(cal.Change(ids[i], func(e *graphsim.Event) { e.Subject = "Changed" }))
		}
		w.Must(cal.Delete(ids[3]))
		w.Must(cal.Change(ids[10], func(e *graphsim.Event) { e.ICalUID = "another@elsewhere.example" }))
		w.Must(cal.Change(ids[9], func(e *graphsim.Event) { e.Start, e.End = at(-900, 9, 0), at(-900, 10, 0) }))
	} else {
		w.Must(err)
	}
	w.Round()
	for o, err := range bridge.Objects(w.Ctx, w.Store, calendar().ID, bridge.ObjectQuery{WithData: true}) {
		w.Must(err)
		whole, err := w.Store.Object(w.Ctx, calendar().ID, o.Name)
		w.Must(err)
		objects = append(objects, fmt.Sprintf("%s %s %s rev %d sequence %d, %v to %v, %v\n%s", o.Name, whole.UID, o.ETag, o.Rev, whole.Sequence, o.First, o.Last, whole.Stamp, o.Data))
	}
	return objects, done
}
