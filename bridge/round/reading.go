package round

import (
	"bytes"
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// reading is one series while it is read.
type reading struct {
	known Known
	mark  bridge.Mark
	rows  []bridge.Row
	res   graph.Result
	read  bool // res is what Graph has said
}

// isAsItWas reports whether the mirror has the same of the series as at another time.
func (one *reading) isAsItWas(then *reading) bool {
	return one.mark == then.mark && slices.EqualFunc(one.rows, then.rows, func(a, b bridge.Row) bool {
		return a.ID == b.ID && a.Kind == b.Kind && a.Span == b.Span && bytes.Equal(a.Raw, b.Raw)
	})
}

// read asks Graph for what is not known, until it shows the last write to each.
func (f *refresher) read(ctx context.Context, all []*reading, fences fences) error {
	var open []*reading
	for _, one := range all {
		switch {
		case one.read:
		case one.known.Gone:
			one.res = graph.Result{ID: one.known.Series, Err: errNotListed}
		case one.isAnswered(fences):
			one.res = graph.Result{ID: one.known.Series, Event: *one.known.Event}
			one.res.Event.ID = one.known.Series
		default:
			open = append(open, one)
		}
	}
	for try, wait := 1, firstWait; len(open) > 0; try, wait = try+1, 2*wait {
		if err := f.readOnce(ctx, open); err != nil {
			return err
		}
		open = slices.DeleteFunc(open, func(one *reading) bool { return !one.isLate(fences) })
		if len(open) == 0 || try == lateTries {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	return nil
}

// isAnswered reports whether Graph's answer to the write is all that a reader would get to know. A master that is read has its
// exceptions and cancellations and its times in its own zone; of a new one the former are none.
func (one *reading) isAnswered(f fences) bool {
	e := one.known.Event
	if e == nil {
		return false
	}
	answer := *e
	answer.ID = one.known.Series
	row := rowOf(answer, 0)
	if f.isOlder(answer, bridge.Row{}) || e.Raw == nil || one.known.Series == "" {
		return false
	}
	switch row.Kind {
	case bridge.KindSingle:
		return !slices.ContainsFunc(one.rows, func(r bridge.Row) bool { return r.Kind != bridge.KindSingle })
	case bridge.KindMaster:
		zone := seriesZone(*e)
		return len(one.rows) == 0 && (zone == "" || e.IsAllDay || e.Start.TimeZone == zone)
	}
	return false
}

// isLate reports whether the event was read as it was before the last write to it.
func (one *reading) isLate(f fences) bool {
	if one.res.Err != nil || f.isGone(one.known.Series) {
		return false
	}
	e := one.res.Event
	e.ID = one.known.Series
	return !rowOf(e, 0).IsInstance() && f.isOlder(e, bridge.Row{})
}

// readOnce reads series, each as what the mirror knows it for, and once more as what it turns out to be.
func (f *refresher) readOnce(ctx context.Context, list []*reading) error {
	var singles, masters []*reading
	for _, one := range list {
		e := one.known.Event
		if _, known := masterRow(one.rows); known && e == nil || e != nil && rowOf(*e, 0).Kind == bridge.KindMaster {
			masters = append(masters, one)
		} else {
			singles = append(singles, one)
		}
	}
	var g errgroup.Group
	g.Go(func() error {
		f.readSingles(ctx, singles)
		return nil
	})
	g.Go(func() error {
		f.readMasters(ctx, masters)
		return nil
	})
	g.Wait()
	return ctx.Err()
}

func (f *refresher) readSingles(ctx context.Context, list []*reading) {
	if len(list) == 0 {
		return
	}
	ids := make([]graph.EventID, len(list))
	for i, one := range list {
		ids[i] = one.known.Series
	}
	var series []*reading
	for i, res := range f.graph.Events(ctx, f.cal.GraphID, ids) {
		list[i].res = res
		if res.Err == nil && rowOf(res.Event, 0).Kind == bridge.KindMaster {
			series = append(series, list[i])
		}
	}
	f.readMasters(ctx, series)
}

func (f *refresher) readMasters(ctx context.Context, list []*reading) {
	if len(list) == 0 {
		return
	}
	refs := make([]graph.MasterRef, len(list))
	for i, one := range list {
		refs[i] = graph.MasterRef{ID: one.known.Series, Zone: zoneOfRows(one.rows)}
		if zone := seriesZone(one.res.Event); zone != "" {
			refs[i].Zone = zone
		} else if one.known.Event != nil {
			refs[i].Zone = seriesZone(*one.known.Event)
		}
	}
	results := f.resolver.masters(ctx, refs)
	// Who has written to a series may have changed its zone.
	var again []*reading
	for i, res := range results {
		list[i].res = res
		if zone := seriesZone(res.Event); res.Err == nil && !res.Event.IsAllDay && zone != "" && zone != refs[i].Zone && refs[i].Zone != "" {
			again = append(again, list[i])
		}
	}
	if len(again) == 0 {
		return
	}
	refs = refs[:0]
	for _, one := range again {
		refs = append(refs, graph.MasterRef{ID: one.known.Series, Zone: seriesZone(one.res.Event)})
	}
	for i, res := range f.graph.Masters(ctx, f.cal.GraphID, refs) {
		if res.Err == nil {
			again[i].res = res
		}
	}
}

// event is what Graph said of the series itself.
func (one *reading) event() graph.Event {
	e := one.res.Event
	e.ID = one.known.Series
	return e
}
