package round

import (
	"context"
	"hash/maphash"
	"slices"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// viewEvery is how often a calendar that takes a whole listing for each look is listed in a row of rounds.
const viewEvery = 15 * time.Minute

// listing does what a follower does, without a cursor: it lists the window and compares. It takes a request for every page of
// the window.
type listing struct{ *mirror }

// refresh brings the mirror to what Graph lists of the window.
func (l listing) refresh(ctx context.Context) error {
	round := l.cal.Round + 1
	if err := l.again(ctx, func(ctx context.Context) error { return l.open(ctx, round) }); err != nil {
		return err
	}
	window := l.cal.Window
	compare := func(events []graph.Event) error {
		return l.again(ctx, func(ctx context.Context) error { return l.compare(ctx, events, round) })
	}
	seed := maphash.MakeSeed()
	named := map[uint64]bool{}
	var batch []graph.Event
	for e, err := range l.graph.View(ctx, l.cal.GraphID, window.Start, window.End) {
		if err != nil {
			return err
		}
		if e.ID == "" {
			continue
		}
		l.report.Items++
		named[maphash.String(seed, string(e.ID))] = true
		if batch = append(batch, e); len(batch) == askPage {
			if err := compare(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if err := compare(batch); err != nil {
		return err
	}
	return l.again(ctx, func(ctx context.Context) error {
		p := newPage()
		for row, err := range l.rowsIn(ctx, window) {
			if err != nil {
				return err
			}
			if !named[maphash.String(seed, string(row.ID))] {
				p.doubt(row)
			}
		}
		return l.put(ctx, p, round)
	})
}

// open opens the window where it is not open or outdated.
func (l listing) open(ctx context.Context, round int64) error {
	now := l.now()
	if l.cal.Phase == bridge.PhaseSteady && !l.periods.outdated(l.cal.Window, now) {
		return nil
	}
	at := l.at(round)
	at.Window, at.Opened, at.Pending = l.periods.window(now), at.Round, bridge.PendingLook
	return l.write(ctx, &mirrorPage{cursor: at})
}

// at is the cursor of a calendar that has none to follow, in that round.
func (l listing) at(round int64) *bridge.Cursor {
	at := l.cursor(l.cal.Pending)
	at.Link, at.Phase, at.Round = "", bridge.PhaseSteady, max(at.Round, round)
	return at
}

// put writes a page of that round. A page that says nothing is not written.
func (l listing) put(ctx context.Context, p *mirrorPage, round int64) error {
	if len(p.marks) > 0 {
		p.cursor = l.at(round)
	}
	return l.write(ctx, p)
}

// compare holds events that Graph lists against the mirror. What is new or has changed is read in full.
func (l listing) compare(ctx context.Context, events []graph.Event, round int64) error {
	rows, err := l.store.Rows(ctx, l.cal.ID, idsOf(events))
	if err != nil {
		return err
	}
	fences, err := l.fencesOf(ctx, events, rows)
	if err != nil {
		return err
	}
	p := newPage()
	var changed []graph.EventID
	fresh := map[graph.EventID]graph.EventID{}
	for _, e := range events {
		have, known := rows[e.ID]
		row := rowOf(e, round)
		single := have.Kind == bridge.KindOrphan && row.Kind != have.Kind // an occurrence that was an event of its own
		if known && sameVersion(e, have) && !single {
			continue
		}
		if row.IsInstance() && fences.isOlder(e, have) {
			p.askOf(row)
			continue
		}
		if !known && !fences.isGone(row.Series) {
			fresh[e.ID] = row.Series
		}
		if row.Kind == bridge.KindOccurrence {
			p.take(row) // a listing tells all of an occurrence
			if single {
				p.mark(row.ID, bridge.StageDerive)
			}
		} else {
			changed = append(changed, e.ID)
		}
	}
	hidden := map[graph.EventID]convert.Span{}
	for _, res := range l.graph.Events(ctx, l.cal.GraphID, changed) {
		res.Event.ID = res.ID
		switch {
		case isHidden(res.Err) && fences.isGone(seriesIn(res.Event, rows[res.ID])): // and the listing does not know it yet
		case isHidden(res.Err):
			i := slices.IndexFunc(events, func(e graph.Event) bool { return e.ID == res.ID })
			hidden[res.ID] = convert.SpanOf(events[i])
		case res.Err != nil:
			return res.Err
		case fences.isOlder(res.Event, bridge.Row{}):
			p.askOf(rowOf(res.Event, round))
		default:
			p.take(rowOf(res.Event, round))
		}
	}
	// What is not there any more either has gone since; the next listing tells.
	err = l.view(ctx, hidden, func(e graph.Event) {
		if row := rowOf(e, round); row.Kind == bridge.KindSingle {
			p.put(row)
			p.asListed(row.ID, true)
		} else {
			p.take(row)
		}
	})
	if err != nil {
		return err
	}
	if err := l.arrive(ctx, p, fresh); err != nil {
		return err
	}
	return l.put(ctx, p, round)
}

// sameVersion reports whether a listed event is the one that the mirror has.
func sameVersion(e graph.Event, have bridge.Row) bool {
	old, err := eventOf(have)
	return err == nil && convert.SpanOf(e) == have.Span && e.ETag == old.ETag && (e.ChangeKey == old.ChangeKey || old.ChangeKey == "")
}
