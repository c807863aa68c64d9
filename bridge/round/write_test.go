package round_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round"
	"outbridge/bridge/sqlstore"
)

// roundsPerWrite bounds how many rounds come before the next write has ended. Rounds that never pause, and whose pages are an event each,
// can overtake a writer more often than it tries.
const roundsPerWrite = 3

// TestWritersAndRounds has writers change events and publish them while rounds run, and requires that all is well in the end, that
// what a writer has published is what it wrote, and that the echoes are quiet.
func TestWritersAndRounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "writers-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		w := makeWorld(t, t.Context(), dir, slog.New(slog.DiscardHandler), func(s *graphsim.Server) {
			s.MaxPage = rapid.IntRange(5, 20).Draw(t, "page")
			s.Duplicate, s.ReplayLast = rapid.Bool().Draw(t, "duplicate"), rapid.Bool().Draw(t, "replay")
			s.Shuffle = rapid.Int64Range(0, 3).Draw(t, "shuffle")
		})
		defer w.Store.Close()
		writable(w)
		cal := w.Box.Calendar()
		const writers = 2
		var owns [writers]owned
		for n := range owns {
			owns[n] = owned{cal.Create(meeting(fmt.Sprint("Single ", n), n, 9)), cal.Create(weekly(fmt.Sprint("Series ", n), n, 13, "monday", "thursday"))}
		}
		if rapid.Bool().Draw(t, "synced") {
			w.Round()
		} else { // the calendar is known, and its first round runs while it is written to
			a, err := w.Store.EnsureAccount(w.Ctx, "alice")
			w.Must(err)
			_, err = w.Store.SetCalendars(w.Ctx, a.ID, []bridge.Calendar{{GraphID: cal.ID(), Name: "calendar", DisplayName: "Calendar", CanEdit: true,
				Default: true, Owner: "alice@contoso.example", Order: 1, Modified: w.Now()}})
			w.Must(err)
		}
		plans := make([][]string, writers)
		for n := range plans {
			plans[n] = rapid.SliceOfN(rapid.SampledFrom([]string{"text", "series text", "series time", "occurrence", "cancel", "overlay", "new", "delete"}), 1, 3).Draw(t, "plan")
		}
		var g sync.WaitGroup
		failed, written := make(chan error, 100), make(chan struct{}, 100)
		for n, plan := range plans {
			g.Go(func() {
				for _, do := range plan {
					if err := w.writes(cal, do, n, &owns[n]); err != nil {
						failed <- fmt.Errorf("writer %d, %s: %w", n, do, err)
						return
					}
					written <- struct{}{}
				}
			})
		}
		stop := make(chan struct{})
		var rounds sync.WaitGroup
		rounds.Go(func() {
			for n := 1; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if n%roundsPerWrite == 0 {
					select {
					case <-stop:
						return
					case <-written:
					}
				}
				w.Pass(time.Second)
				if _, err := w.Rounds.Round(w.Ctx, w.Mailbox); err != nil {
					failed <- err
					return
				}
			}
		})
		g.Wait()
		close(stop)
		rounds.Wait()
		select {
		case err := <-failed:
			t.Fatal(err)
		default:
		}
		w.Round()
		w.Round()
		w.Changes(0)
		w.audit(0)
		w.Changes(0)
	})
}

// owned is what a writer writes to.
type owned struct{ single, series graph.EventID }

// writes does one write of a client, and requires that it is what is served then.
func (w *world) writes(cal *graphsim.Calendar, do string, n int, o *owned) error {
	w.Pass(time.Second)
	single, series := o.single, o.series
	known := round.Known{Series: single}
	mark := fmt.Sprintf("%s %d %d", do, n, w.Now().UnixNano())
	text := func(e *graphsim.Event) { e.Subject = mark }
	day := ""
	for _, i := range cal.Instances(start.AddDate(0, 1, 0), start.AddDate(0, 2, 0)) {
		if i.SeriesMasterID == series {
			day = i.Start.Format(time.DateOnly)
		}
	}
	var err error
	switch do {
	case "text":
		err = cal.Change(single, text)
	case "series text":
		known.Series, err = series, cal.Change(series, text)
	case "series time":
		known.Series, known.Resets = series, true
		err = cal.Change(series, func(e *graphsim.Event) {
			e.Subject = mark
			e.Start, e.End = e.Start.Add(15*time.Minute), e.End.Add(15*time.Minute)
		})
	case "occurrence":
		known.Series, err = series, cal.ChangeOccurrence(series, day, text)
	case "cancel":
		known.Series, err, mark = series, cal.CancelOccurrence(series, day), ""
	case "overlay":
		if err := w.Store.SetOverlay(w.Ctx, 1, single, overlay("X-A:"+mark)); err != nil {
			return err
		}
		return w.Rounds.Show(w.Ctx, w.Mailbox, bridge.Calendar{ID: 1, Account: 1, Epoch: w.epoch()}, single)
	case "new":
		known.Series = cal.Create(meeting(mark, n, 17))
		o.single = known.Series
	case "delete":
		err, mark = cal.Delete(single), ""
		if errors.Is(err, graphsim.ErrNotFound) {
			err = nil
		}
	}
	if errors.Is(err, graphsim.ErrNotFound) {
		return nil // this writer has deleted it
	}
	if err != nil {
		return err
	}
	f := bridge.Fence{At: w.Now(), Gone: do == "delete"}
	if got := w.Client.Events(w.Ctx, "", []graph.EventID{known.Series})[0]; got.Err == nil {
		if f.At, err = time.Parse(time.RFC3339Nano, got.Event.LastModified); err != nil {
			return err
		}
	}
	if err := w.Store.SetFence(w.Ctx, 1, known.Series, f); err != nil {
		return err
	}
	out, err := w.Rounds.RefreshKnown(w.Ctx, w.Mailbox, bridge.Calendar{ID: 1, Account: 1, Epoch: w.epoch()}, known)
	if err != nil {
		return err
	}
	if mark != "" && (out[0].Object == nil || !strings.Contains(strings.ReplaceAll(string(out[0].Object.Data), "\r\n ", ""), "SUMMARY:"+mark)) {
		return fmt.Errorf("%q is not served: %+v", mark, out[0])
	}
	if do == "delete" && out[0].Object != nil {
		return errors.New("what was deleted is served")
	}
	return nil
}

func (w *world) epoch() string {
	c, err := w.Store.Calendar(w.Ctx, 1)
	if err != nil {
		return ""
	}
	return c.Epoch
}

var errKilled = errors.New("killed")

// mortal is a store that dies before, or just after, the nth of its writes, and does nothing from then on.
type mortal struct {
	*sqlstore.Store
	at, n atomic.Int64
	after bool
}

func (m *mortal) dies() (before, after bool) {
	n := m.n.Add(1)
	at := m.at.Load()
	return n > at || n == at && !m.after, n == at && m.after
}

func (m *mortal) Mirror(ctx context.Context, p bridge.MirrorPage) (int64, error) {
	before, after := m.dies()
	if before {
		return 0, errKilled
	}
	seq, err := m.Store.Mirror(ctx, p)
	if after {
		return 0, errKilled
	}
	return seq, err
}

func (m *mortal) Stage(ctx context.Context, id bridge.CalendarID, seq int64, list []bridge.Derived) error {
	before, after := m.dies()
	if before {
		return errKilled
	}
	err := m.Store.Stage(ctx, id, seq, list)
	if after {
		return errKilled
	}
	return err
}

func (m *mortal) Publish(ctx context.Context, id bridge.CalendarID, at time.Time, series ...graph.EventID) (int, int, error) {
	before, after := m.dies()
	if before {
		return 0, 0, errKilled
	}
	changed, removed, err := m.Store.Publish(ctx, id, at, series...)
	if after {
		return 0, 0, errKilled
	}
	return changed, removed, err
}

// TestKilledRefresh kills the program at each write that a Refresh makes, and at each request: the next round makes it good.
func TestKilledRefresh(t *testing.T) {
	for _, how := range []string{"before", "after", "request"} {
		for n := int64(1); ; n++ {
			w := newWorld(t)
			writable(w)
			cal := w.Box.Calendar()
			single, series := cal.Create(meeting("Single", 2, 9)), cal.Create(weekly("Series", 0, 11, "monday", "thursday"))
			gone := cal.Create(meeting("Gone", 3, 9))
			w.Round()
			w.Round()
			w.Pass(time.Second)
			w.Must(cal.Change(single, rename))
			w.Must(cal.Change(series, later))
			w.Must(cal.Delete(gone))
			fresh := cal.Create(meeting("New", 4, 9))
			for _, id := range []graph.EventID{single, series, gone, fresh} {
				w.fence(id)
			}
			w.Must(w.Store.SetName(w.Ctx, bridge.Name{Calendar: 1, Object: "new.ics", Series: fresh, UID: "new"}))
			ctx, cancel := context.WithCancelCause(w.Ctx)
			store := &mortal{Store: w.Store, after: how == "after"}
			store.at.Store(1 << 40)
			var requests atomic.Int64
			if how == "request" {
				w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
					if requests.Add(1) == n {
						cancel(errKilled)
					}
					return nil
				}
			} else {
				store.at.Store(n)
			}
			w.Rounds.Store = store
			_, err := w.Rounds.RefreshKnown(ctx, w.Mailbox, w.calendar(), round.Known{Series: single}, round.Known{Series: series},
				round.Known{Series: gone}, round.Known{Series: fresh})
			if err == nil && store.n.Load() < n && requests.Load() < n {
				if n < 3 {
					t.Fatalf("%s: nothing to kill", how)
				}
				cancel(nil)
				break
			}
			cancel(nil)
			policy := w.Mailbox.Policy
			w.Crash()
			w.Mailbox.Policy = policy
			w.Round()
			o, err := w.Store.SeriesObject(w.Ctx, 1, fresh)
			w.Must(err)
			if o.Name != "new.ics" || o.UID != "new" {
				t.Errorf("%s %d: %s, %s", how, n, o.Name, o.UID)
			}
			w.Round()
			w.Changes(0)
		}
	}
}

// TestOverlayDuringRound: an overlay that is set while a round makes the object of a series is in it.
func TestOverlayDuringRound(t *testing.T) {
	w := newWorld(t)
	writable(w)
	id := w.Box.Calendar().Create(meeting("Single", 2, 9))
	w.Round()
	w.Must(w.Box.Calendar().Change(id, rename))
	store := &overtaking{Store: w.Store, write: func() {
		w.Must(w.Store.SetOverlay(w.Ctx, 1, id, overlay("X-A:1")))
		w.Must(w.Store.SetName(w.Ctx, bridge.Name{Calendar: 1, Object: "mine.ics", Series: id, UID: "mine"}))
	}}
	w.Rounds.Store = store
	w.Round()
	o, err := w.Store.SeriesObject(w.Ctx, 1, id)
	w.Must(err)
	if o.UID != "mine" || o.Name != "mine.ics" {
		t.Errorf("%s, %s", o.Name, o.UID)
	}
	w.Changes(0)
}

// overtaking writes once between the making of objects and their staging.
type overtaking struct {
	*sqlstore.Store
	once  sync.Once
	write func()
}

func (o *overtaking) Stage(ctx context.Context, id bridge.CalendarID, seq int64, list []bridge.Derived) error {
	o.once.Do(o.write)
	return o.Store.Stage(ctx, id, seq, list)
}

func overlay(line string) convert.Overlay {
	return convert.Overlay{Parts: map[string]convert.OverlayPart{"": {Lines: []string{line}}}}
}
