package round

import (
	"context"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// lately is how long after a write Graph may answer with what was before it, and not say so: an occurrence in a delta has no
// lastModifiedDateTime.
const lately = time.Hour

// fences are those of the series of a page. What Graph says may be older than what has been written to it, whenever it was asked:
// its copies take their time to agree. What is older than its series' fence is not mirrored, and read again instead.
type fences struct {
	of  map[graph.EventID]bridge.Fence
	now time.Time
	// told are series whose masters the page has as they were after the fence, and with them their occurrences.
	told map[graph.EventID]bool
}

// fences finds the fences of some series. Where nothing was written for a week it costs nothing.
func (m *mirror) fences(ctx context.Context, series []graph.EventID) (f fences, err error) {
	f.now = m.now()
	if m.cal.Fenced.IsZero() || f.now.Sub(m.cal.Fenced) > bridge.FenceAge {
		return f, nil
	}
	f.of, err = m.store.Fences(ctx, m.cal.ID, series)
	return f, err
}

// fencesOf are those of the series of events that Graph has named, the rows of which the mirror has.
func (m *mirror) fencesOf(ctx context.Context, events []graph.Event, rows map[graph.EventID]bridge.Row) (fences, error) {
	var series []graph.EventID
	if !m.cal.Fenced.IsZero() {
		for _, e := range events {
			series = append(series, seriesIn(e, rows[e.ID]))
		}
	}
	f, err := m.fences(ctx, series)
	if err != nil || len(f.of) == 0 {
		return f, err
	}
	f.told = map[graph.EventID]bool{}
	for _, e := range events {
		if row := rowOf(e, 0); e.Removed == nil && row.Kind == bridge.KindMaster && !f.isOlder(e, rows[e.ID]) {
			f.told[row.ID] = true
		}
	}
	return f, nil
}

// seriesIn is the series of an event that Graph has named. A tombstone does not tell.
func seriesIn(e graph.Event, have bridge.Row) graph.EventID {
	if have.Series != "" {
		return have.Series
	}
	return rowOf(e, 0).Series
}

func (f fences) isLate(series graph.EventID) bool {
	fence, ok := f.of[series]
	return ok && f.now.Sub(fence.At) < lately
}

// isGone reports whether a series was deleted here.
func (f fences) isGone(series graph.EventID) bool { return f.of[series].Gone }

// isOlder reports whether an event is, or may be, as it was before the last write to its series. have is what the mirror has of it:
// another state of the same time may be either. Of what was asked for by its id, have is none, since there is nothing else to ask.
func (f fences) isOlder(e graph.Event, have bridge.Row) bool {
	series := seriesIn(e, have)
	fence, ok := f.of[series]
	if !ok {
		return false
	}
	row := rowOf(e, 0)
	if row.IsInstance() && !fence.Gone {
		// It need not have changed with its series, so its own time says nothing.
		return f.isLate(series) && !f.told[series]
	}
	at, err := modified(e)
	for _, x := range e.ExceptionOccurrences {
		// One that was written to may leave its master's time as it was; the master that has it then is of after the write.
		if own, bad := modified(x); bad == nil && !fence.Gone && !own.Before(fence.At) {
			return false
		}
	}
	switch {
	case err != nil || at.Before(fence.At):
		return true
	case !at.Equal(fence.At):
		return false
	case fence.Gone:
		return true
	}
	known, err := eventOf(have)
	return err == nil && known.LastModified == e.LastModified && known.ETag != e.ETag // two states within one tick of Graph's clock
}

// lower has the fence of a series at its master's own time, which is all that a page tells, where an exception that the master has
// shows that the time of the last write was that of the exception alone.
func (m *mirror) lower(ctx context.Context, f fences, master graph.Event) error {
	fence, ok := f.of[master.ID]
	at, err := modified(master)
	if !ok || fence.Gone || err != nil || !at.Before(fence.At) {
		return nil
	}
	return m.store.LowerFence(ctx, m.cal.ID, master.ID, fence.At, at)
}

func modified(e graph.Event) (time.Time, error) { return time.Parse(time.RFC3339Nano, e.LastModified) }
