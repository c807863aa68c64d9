package round_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"sync"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round"
)

// late is a Graph that answers with events as they were before, and with some that are gone.
type late struct {
	*graph.Client
	mu    sync.Mutex
	page  map[graph.EventID]graph.Event // in delta pages, each page names them all
	ids   map[graph.EventID]graph.Event // by their ids
	view  []graph.Event                 // the whole view, nil: as it is
	times int                           // that an answer by id is late; each takes one
}

func (l *late) Delta(ctx context.Context, link string) (graph.DeltaPage, error) {
	page, err := l.Client.Delta(ctx, link)
	l.mu.Lock()
	defer l.mu.Unlock()
	var events []graph.Event
	for _, e := range page.Events {
		if _, ok := l.page[e.ID]; !ok && l.page[e.SeriesMasterID].ID == "" {
			events = append(events, e)
		}
	}
	for _, e := range l.page {
		events = append(events, e)
	}
	page.Events = events
	return page, err
}

func (l *late) answer(results []graph.Result) []graph.Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range results {
		if e, ok := l.ids[results[i].ID]; ok && l.times > 0 {
			l.times--
			results[i] = graph.Result{ID: results[i].ID, Event: e}
		}
	}
	return results
}

func (l *late) Events(ctx context.Context, cal graph.CalendarID, ids []graph.EventID) []graph.Result {
	return l.answer(l.Client.Events(ctx, cal, ids))
}

func (l *late) Masters(ctx context.Context, cal graph.CalendarID, refs []graph.MasterRef) []graph.Result {
	return l.answer(l.Client.Masters(ctx, cal, refs))
}

func (l *late) View(ctx context.Context, cal graph.CalendarID, start, end time.Time) iter.Seq2[graph.Event, error] {
	return l.seen(l.Client.View(ctx, cal, start, end))
}

func (l *late) FullView(ctx context.Context, cal graph.CalendarID, start, end time.Time) iter.Seq2[graph.Event, error] {
	return l.seen(l.Client.FullView(ctx, cal, start, end))
}

func (l *late) seen(now iter.Seq2[graph.Event, error]) iter.Seq2[graph.Event, error] {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.view == nil {
		return now
	}
	list := l.view
	return func(yield func(graph.Event, error) bool) {
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// lateWorld is a synced world with a single event and a series.
func lateWorld(t *testing.T, set ...func(*graphsim.Server)) (w *world, l *late, single, series graph.EventID) {
	w = newWorld(t, set...)
	writable(w)
	cal := w.Box.Calendar()
	single, series = cal.Create(meeting("Single", 2, 9)), cal.Create(weekly("Series", 0, 11, "monday", "thursday"))
	w.Round()
	w.Round()
	l = &late{Client: w.Client}
	w.Mailbox.Graph = l
	w.Pass(time.Second)
	return w, l, single, series
}

// remember takes what Graph says of events now for what it will say later.
func (l *late) remember(w *world, ids ...graph.EventID) {
	w.Helper()
	l.page, l.ids = map[graph.EventID]graph.Event{}, map[graph.EventID]graph.Event{}
	for _, res := range l.Client.Events(w.Ctx, "", ids) {
		w.Must(res.Err)
		l.page[res.ID] = res.Event
	}
	for _, res := range l.Client.Masters(w.Ctx, "", []graph.MasterRef{{ID: ids[0], Zone: "W. Europe Standard Time"}}) {
		w.Must(res.Err)
		l.ids[res.ID] = res.Event
	}
	var view []graph.Event
	for e, err := range l.Client.FullView(w.Ctx, w.Box.Calendar().ID(), w.calendar().Window.Start, w.calendar().Window.End) {
		w.Must(err)
		view = append(view, e)
		if e.SeriesMasterID == ids[0] {
			// As a delta has it, without anything that tells when it was changed.
			raw := must(json.Marshal(map[string]any{"id": e.ID, "type": e.Type, "seriesMasterId": e.SeriesMasterID, "start": e.Start, "end": e.End}))
			var bare graph.Event
			w.Must(json.Unmarshal(raw, &bare))
			bare.Raw = raw
			l.page[e.ID] = bare
		}
	}
	l.view = view
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestLatePages: what Graph says of before a write, wherever it says it, takes nothing back.
func TestLatePages(t *testing.T) {
	for name, one := range map[string]struct {
		series bool
		do     func(cal *graphsim.Calendar, id graph.EventID) error
		known  round.Known
	}{
		"change":         {false, func(cal *graphsim.Calendar, id graph.EventID) error { return cal.Change(id, later) }, round.Known{}},
		"delete":         {false, func(cal *graphsim.Calendar, id graph.EventID) error { return cal.Delete(id) }, round.Known{Gone: true}},
		"series, text":   {true, func(cal *graphsim.Calendar, id graph.EventID) error { return cal.Change(id, rename) }, round.Known{}},
		"series, time":   {true, func(cal *graphsim.Calendar, id graph.EventID) error { return cal.Change(id, later) }, round.Known{Resets: true}},
		"series, delete": {true, func(cal *graphsim.Calendar, id graph.EventID) error { return cal.Delete(id) }, round.Known{}},
		"occurrence": {true, func(cal *graphsim.Calendar, id graph.EventID) error {
			return cal.CancelOccurrence(id, at(7, 0, 0).Format(time.DateOnly))
		}, round.Known{}},
		"exception": {true, func(cal *graphsim.Calendar, id graph.EventID) error {
			return cal.ChangeOccurrence(id, at(7, 0, 0).Format(time.DateOnly), later)
		}, round.Known{}},
	} {
		for _, where := range []string{"page", "page and id", "audit", "listing"} {
			t.Run(name+", "+where, func(t *testing.T) {
				t.Parallel()
				known := one.known
				w, l, single, series := lateWorld(t)
				id := single
				if one.series {
					id = series
				}
				if where == "listing" {
					w.Must(w.Store.SetWay(w.Ctx, 1, bridge.WayView))
				}
				l.remember(w, id)
				page, view := l.page, l.view
				l.page, l.view = nil, nil
				w.Must(one.do(w.Box.Calendar(), id))
				w.fence(id)
				known.Series = id
				w.refresh(known)
				w.Check()
				rev := w.calendar().Rev
				switch where {
				case "page":
					l.page = page
				case "page and id":
					l.page, l.times = page, 1
				case "audit":
					w.Round() // what the page of the write itself names
					l.view, w.Rounds.AuditAlways = view, true
				case "listing":
					l.view = view
				}
				for range 3 {
					w.Pass(10 * time.Minute)
					_, err := w.Rounds.Round(w.Ctx, w.Mailbox)
					w.Must(err)
				}
				if now := w.calendar().Rev; now != rev {
					t.Errorf("clients saw %d changes", now-rev)
				}
				w.Check()
				l.page, l.view, l.times = nil, nil, 0
				w.Pass(2 * time.Hour)
				w.Round()
				w.Changes(0)
			})
		}
	}
}

// TestRestoredAfterDeletion: an event that was deleted here and that somebody takes out of Deleted Items is there again.
func TestRestoredAfterDeletion(t *testing.T) {
	w, l, single, _ := lateWorld(t)
	l.remember(w, single)
	l.view = nil
	back := l.page[single]
	l.page = nil
	w.Must(w.Box.Calendar().Delete(single))
	w.fence(single)
	w.refresh(round.Known{Series: single, Gone: true})
	w.Pass(time.Hour)
	stamp := back.LastModified
	back.LastModified = w.Now().Format(time.RFC3339Nano)
	back.Raw = bytes.Replace(back.Raw, []byte(stamp), []byte(back.LastModified), 1)
	l.page, l.ids, l.times = map[graph.EventID]graph.Event{single: back}, map[graph.EventID]graph.Event{single: back}, 100
	_, err := w.Rounds.Round(w.Ctx, w.Mailbox)
	w.Must(err)
	_, err = w.Store.SeriesObject(w.Ctx, 1, single)
	w.Must(err)
}

// TestRefreshOfLateAnswers: Graph is asked until it shows what was written, and if it does not, nothing older is shown and a round
// makes it good.
func TestRefreshOfLateAnswers(t *testing.T) {
	w, l, _, series := lateWorld(t)
	l.remember(w, series)
	l.page, l.view = nil, nil
	w.Must(w.Box.Calendar().Change(series, rename))
	w.fence(series)
	l.times = 1
	w.refresh(round.Known{Series: series})
	w.Check()
	w.Changes(0)

	l.remember(w, series)
	l.page, l.view = nil, nil
	w.Pass(time.Second)
	w.Must(w.Box.Calendar().Change(series, rename))
	w.fence(series)
	l.times = 100
	rev := w.calendar().Rev
	if _, err := w.Rounds.Refresh(w.Ctx, w.Mailbox, w.calendar(), series); !errors.Is(err, round.ErrLate) {
		t.Errorf("it is late: %v", err)
	}
	if now := w.calendar().Rev; now != rev {
		t.Errorf("%d changes", now-rev)
	}
	l.times = 0
	w.Changes(1)
	w.Changes(0)
}
