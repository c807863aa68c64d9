package round

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

const (
	askPage  = 100 // ids asked for between two writes
	listPage = 500 // rows listed at a time
	// raceTries is how often a step that somebody else's write has overtaken is done once more. Steps are a page each, so
	// that even a stream of writes leaves time for one.
	raceTries = 100
)

// current is a calendar as last read or written. Nobody holds it: each write names the seq that it builds on, and loses to
// whoever wrote since, be it a round of another process or a client's change.
type current struct {
	cal   bridge.Calendar
	store interface {
		Calendar(ctx context.Context, id bridge.CalendarID) (bridge.Calendar, error)
	}
	log *slog.Logger
}

// again does a step, and does it once more on the new state where somebody else has written since that was read. A step asks
// Graph by itself, so that nothing older is put over what the other has written.
func (c *current) again(ctx context.Context, step func(context.Context) error) error {
	for try := 1; ; try++ {
		err := step(ctx)
		if !errors.Is(err, bridge.ErrConflict) || try == raceTries {
			return err
		}
		c.log.Debug("somebody else wrote to the mirror; the step is done once more", "seq", c.cal.Seq)
		if c.cal, err = c.store.Calendar(ctx, c.cal.ID); err != nil {
			return err
		}
	}
}

// mirror is one calendar's mirror, and the way to what it mirrors.
type mirror struct {
	*current
	store   mirrorStore
	graph   Graph
	periods periods
	now     func() time.Time
	report  *bridge.CalendarReport // pages and items are counted there
	tell    func(phase string, done, total int)
	asked   map[bridge.CalendarID]bool // other calendars that were left something to ask for
}

type mirrorStore interface {
	bridge.MirrorStore
	Fences(ctx context.Context, id bridge.CalendarID, series []graph.EventID) (map[graph.EventID]bridge.Fence, error)
	LowerFence(ctx context.Context, id bridge.CalendarID, series graph.EventID, from, to time.Time) error
}

// write writes a page and takes over what it changed.
func (m *mirror) write(ctx context.Context, p *mirrorPage) error {
	page := p.build(m.cal.ID, m.cal.Seq)
	page.Unpublished = m.cal.Rev == 0 && !m.cal.Written
	if len(page.Rows) == 0 && len(page.Gone) == 0 && len(page.Marks) == 0 && len(page.Asks) == 0 && page.Cursor == nil {
		return nil
	}
	seq, err := m.store.Mirror(ctx, page)
	if err != nil {
		return err
	}
	m.cal.Seq = seq
	if c := page.Cursor; c != nil {
		m.cal.Cursor, m.cal.Phase, m.cal.Pending = c.Link, c.Phase, c.Pending
		m.cal.Round, m.cal.Opened, m.cal.Window = c.Round, c.Opened, c.Window
	}
	return nil
}

// cursor is the present cursor with another thing pending.
func (m *mirror) cursor(pending string) *bridge.Cursor {
	return &bridge.Cursor{Link: m.cal.Cursor, Phase: m.cal.Phase, Pending: pending, Round: m.cal.Round, Opened: m.cal.Opened, Window: m.cal.Window}
}

// rowsIn yields the rows that a listing of span is to name, without what Graph said of them.
func (m *mirror) rowsIn(ctx context.Context, span convert.Span) iter.Seq2[bridge.Row, error] {
	return m.store.RowsIn(ctx, m.cal.ID, span)
}

// arrive has other calendars of the mailbox that mirror events which are named here for the first time ask for them again: these
// have moved. It is written with the page that names them, so that a kill in between leaves no second copy.
func (m *mirror) arrive(ctx context.Context, p *mirrorPage, fresh map[graph.EventID]graph.EventID) error {
	elsewhere, err := m.store.Elsewhere(ctx, m.cal.ID, slices.Collect(maps.Keys(fresh)))
	if err != nil {
		return err
	}
	p.askIn(elsewhere, fresh)
	for cal := range p.asks {
		m.asked[cal] = true
	}
	return nil
}

// view yields in full those of some events that the calendar's view shows, by the spans in which it does.
func (m *mirror) view(ctx context.Context, want map[graph.EventID]convert.Span, take func(graph.Event)) error {
	if len(want) == 0 {
		return nil
	}
	var all convert.Span
	for _, span := range want {
		if all.Start.IsZero() || span.Start.Before(all.Start) {
			all.Start = span.Start
		}
		if span.End.After(all.End) {
			all.End = span.End
		}
	}
	// Padded, since an all-day event has its instants in its creator's zone, and a view without length shows nothing.
	for e, err := range m.graph.FullView(ctx, m.cal.GraphID, all.Start.Add(-windowPad), all.End.Add(windowPad)) {
		if err != nil {
			return err
		}
		if _, ok := want[e.ID]; ok && e.ID != "" {
			take(e)
		}
	}
	return nil
}
