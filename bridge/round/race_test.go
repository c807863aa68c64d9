package round_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/dav"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/sqlstore"
	"outbridge/caldav"
)

// busy is a world whose mailbox has what makes a round ask everything.
func busy(t *testing.T, set ...func(*graphsim.Server)) *busyWorld {
	w := newWorld(t, append([]func(*graphsim.Server){func(s *graphsim.Server) { s.MaxPage = 3 }}, set...)...)
	cal := w.Box.Calendar()
	first := cal.Create(meeting("First", 1, 8))
	for day := range 4 {
		cal.Create(meeting("Meeting", day, 9))
	}
	series := cal.Create(weekly("Stand-up", 0, 11, "monday", "thursday"))
	w.Must(cal.CancelOccurrence(series, nextMonday(cal, series)))
	cal.Create(meeting("Next year but one", 700, 9))
	w.Rounds.History, w.Rounds.Horizon = bridge.Period{Days: 7}, bridge.Period{Days: 21}
	return &busyWorld{w, first}
}

type busyWorld struct {
	*world
	first graph.EventID
}

// write writes to the mirror of the first calendar as somebody else does. A page of the round may be on its way there too: then
// this is the one that loses, and is done once more.
func (w *busyWorld) write(p bridge.MirrorPage) error {
	for {
		c, err := w.Store.Calendar(w.Ctx, 1)
		if err != nil {
			return err
		}
		p.Calendar, p.Seq = c.ID, c.Seq
		if _, err = w.Store.Mirror(w.Ctx, p); !errors.Is(err, bridge.ErrConflict) {
			return err
		}
	}
}

// TestSomebodyElseWrites has another process write to the mirror while Graph answers a request, once for each request of a
// first round and of a later one. Nobody's round is given up for it.
func TestSomebodyElseWrites(t *testing.T) {
	for n := 1; ; n++ {
		var asked, wrote int
		var at atomic.Int64
		var between func()
		w := busy(t, func(s *graphsim.Server) {
			s.Fault = func(r *http.Request) *graphsim.Fault {
				if strings.HasPrefix(r.URL.Path, "/v1.0/") && between != nil {
					between()
				}
				return nil
			}
		})
		between = func() {
			if _, err := w.Store.Calendar(w.Ctx, 1); err == nil && at.Add(1) == int64(n) {
				if err := w.write(bridge.MirrorPage{Gone: []graph.EventID{"nothing"}}); err != nil {
					t.Error(err)
				}
				wrote++
			}
		}
		w.Rounds.AuditAlways = true
		w.Round()
		cal := w.Box.Calendar()
		cal.Create(meeting("New", 5, 9))
		w.Must(cal.Delete(cal.Create(meeting("Gone again", 6, 9))))
		w.Must(cal.Change(w.first, func(e *graphsim.Event) { e.Subject = "Changed" }))
		w.Round()
		asked = int(at.Load())
		if n > asked {
			if n < 12 {
				t.Fatalf("the rounds make only %d requests", asked)
			}
			return
		}
		if wrote != 1 {
			t.Errorf("request %d: %d writes", n, wrote)
		}
	}
}

// TestSaveDuringFirstRound: who saves an event waits for no download, clients see just that event, and the round goes on.
func TestSaveDuringFirstRound(t *testing.T) {
	var pages atomic.Int64
	reached, goOn := make(chan struct{}), make(chan struct{})
	w := busy(t, func(s *graphsim.Server) {
		s.Fault = func(r *http.Request) *graphsim.Fault {
			if !strings.Contains(r.URL.Path, "/delta") {
				return nil
			}
			if n := pages.Add(1); n == 2 {
				close(reached)
			} else if n == 1 {
				return nil
			}
			<-goOn // also if the page is asked for once more, because the save overtook the one before
			return nil
		}
	})
	id := w.Box.Calendar().Create(meeting("Saved", 3, 15))
	saved := w.Client.Events(w.Ctx, "", []graph.EventID{id})[0]
	w.Must(saved.Err)
	done := make(chan error, 1)
	go func() {
		_, err := w.Rounds.Round(w.Ctx, w.Mailbox)
		done <- err
	}()
	select {
	case <-reached:
	case err := <-done:
		t.Fatalf("the round ended before its second page: %v", err)
	}
	w.Must(w.write(bridge.MirrorPage{
		Rows:  []bridge.Row{{ID: id, Series: id, Kind: bridge.KindSingle, Span: convert.Span{Start: at(3, 15, 0), End: at(3, 16, 0)}, Raw: saved.Event.Raw}},
		Marks: []bridge.Mark{{Series: id, Stage: bridge.StageDerive}}}))
	c, err := w.Store.Calendar(w.Ctx, 1)
	w.Must(err)
	d := w.Rounds.Deriver(w.Ctx, w.Mailbox, c, nil, bridge.Settings{})
	w.Must(d.Derive(w.Ctx, bridge.Mark{Series: id}))
	if changed, _, err := d.Publish(w.Ctx, id); err != nil || changed != 1 {
		t.Fatalf("%d objects published, %v", changed, err)
	}
	back := dav.Backend{Store: w.Store}
	served, err := back.Calendar(w.Ctx, caldav.Principal{Name: "alice"}, "calendar")
	w.Must(err)
	n := 0
	for o, err := range back.Objects(w.Ctx, served, caldav.Query{WithData: true}) {
		w.Must(err)
		if n++; !strings.Contains(string(o.Data), "SUMMARY:Saved") {
			t.Errorf("clients see more than what was saved:\n%s", o.Data)
		}
	}
	if n != 1 {
		t.Errorf("clients see %d objects", n)
	}
	close(goOn)
	w.Must(<-done)
	w.Pass(time.Minute)
	w.Check()
	w.Changes(0)
}

// contested is a store into whose mirrors somebody else writes before every other Stage.
type contested struct {
	*sqlstore.Store
	stages atomic.Int64
}

func (c *contested) Stage(ctx context.Context, id bridge.CalendarID, seq int64, list []bridge.Derived) error {
	if c.stages.Add(1)%2 == 1 {
		_, err := c.Mirror(ctx, bridge.MirrorPage{Calendar: id, Seq: seq, Gone: []graph.EventID{"nothing"}})
		if err != nil {
			return err
		}
	}
	return c.Store.Stage(ctx, id, seq, list)
}

// TestStreamOfWrites: however often others write, each page of series is done at most once more, and never the whole.
func TestStreamOfWrites(t *testing.T) {
	w := newWorld(t, func(s *graphsim.Server) { s.MaxPage = 500 })
	const events, pages = 2450, 25
	for i := range events {
		w.Box.Calendar().Create(meeting("Meeting", i%300, 9))
	}
	w.Round()
	store := &contested{Store: w.Store}
	w.Rounds.Store = store
	w.Rounds.HTML = true // so that all is made again
	c, err := w.Store.Calendar(w.Ctx, 1)
	w.Must(err)
	w.Must(w.Store.MarkAll(w.Ctx, c.ID, "test"))
	w.Must(w.Rounds.Deriver(w.Ctx, w.Mailbox, c, nil, bridge.Settings{}).Derive(w.Ctx))
	if n := store.stages.Load(); n != 2*pages {
		t.Errorf("%d pages were written, want %d, each twice", n, pages)
	}
	if left, err := w.Store.CountMarked(w.Ctx, 1, bridge.StageDerive); left != 0 || err != nil {
		t.Errorf("%d series are left, %v", left, err)
	}
}
