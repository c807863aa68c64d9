package round

import (
	"context"
	"errors"
	"hash/maphash"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// viewEvery is how often a calendar that takes a whole listing for each look is listed in a row of rounds.
const viewEvery = 15 * time.Minute

// listPage is how many rows are listed at a time.
const listPage = 500

// cannotFollow reports whether Graph gave the first page of a round and then forbids the next one, as it is known to
// do to a person who reads somebody else's calendar.
func (r *round) cannotFollow(err error) bool {
	var e *graph.Error
	return r.isForeign() && r.report.Pages > 0 && r.cal.Phase != bridge.PhaseSteady && errors.As(err, &e) && e.Status == http.StatusForbidden
}

// isForeign reports whether the calendar is somebody else's.
func (r *round) isForeign() bool {
	i := slices.IndexFunc(r.others, func(c bridge.Calendar) bool { return c.Default })
	return r.cal.Mailbox != "" || i >= 0 && r.cal.Owner != "" && !strings.EqualFold(r.cal.Owner, r.others[i].Owner)
}

// followView does what follow does, without a cursor: it lists the window and compares. It takes a request for every
// page of the window in each round, so rounds of a running bridge do it every viewEvery only.
func (r *round) followView(ctx context.Context) error {
	now := r.b.now()
	if r.b.ListEvery > 0 && bridge.Elapsed(now, r.b.viewed.of(r.cal.ID)) < viewEvery {
		return nil
	}
	cur := r.cursor(r.cal.Pending)
	cur.Link, cur.Phase, cur.Round = "", bridge.PhaseSteady, cur.Round+1
	if r.cal.Phase != bridge.PhaseSteady || r.b.outdated(cur.Window, now) {
		cur.Window, cur.Opened, cur.Pending = r.b.window(now), cur.Round, bridge.PendingLook
		if err := r.write(ctx, &page{cal: r.cal.ID, cursor: cur}); err != nil {
			return err
		}
	}
	seed := maphash.MakeSeed()
	listed := map[uint64]bool{}
	var batch []graph.Event
	take := func() error {
		err := r.compare(ctx, batch, cur)
		batch = batch[:0]
		return err
	}
	for e, err := range r.graph.View(ctx, r.cal.GraphID, cur.Window.Start, cur.Window.End) {
		if err != nil {
			return err
		}
		if e.ID == "" {
			continue
		}
		r.report.Items++
		listed[maphash.String(seed, string(e.ID))] = true
		if batch = append(batch, e); len(batch) == askPage {
			if err := take(); err != nil {
				return err
			}
		}
	}
	if err := take(); err != nil {
		return err
	}
	p := newPage(r.cal)
	for row, err := range r.listedRows(ctx, cur.Window) {
		if err != nil {
			return err
		}
		if !listed[maphash.String(seed, string(row.ID))] {
			p.doubt(row)
		}
	}
	if len(p.marks) > 0 {
		p.cursor = cur
	}
	if err := r.write(ctx, p); err != nil {
		return err
	}
	r.b.viewed.set(r.cal.ID, now)
	return nil
}

// compare holds listed events against the mirror. What is new or has changed is read in full.
func (r *round) compare(ctx context.Context, events []graph.Event, cur *bridge.Cursor) error {
	var ids []graph.EventID
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	rows, err := r.b.Store.Rows(ctx, r.cal.ID, ids)
	if err != nil {
		return err
	}
	p := newPage(r.cal)
	ids = nil
	for _, e := range events {
		have, known := rows[e.ID]
		if known && sameVersion(e, have) {
			continue
		}
		if row := rowOf(e, cur.Round); row.Kind == bridge.KindOccurrence {
			p.take(row) // a listing tells all of an occurrence
		} else {
			ids = append(ids, e.ID)
		}
	}
	for _, res := range r.graph.Events(ctx, ids) {
		switch {
		case isGone(res.Err): // since it was listed; the next listing tells
		case res.Err != nil:
			return res.Err
		default:
			res.Event.ID = res.ID
			p.take(rowOf(res.Event, cur.Round))
		}
	}
	if len(p.marks) > 0 {
		p.cursor = cur
	}
	return r.write(ctx, p)
}

// sameVersion reports whether a listed event is the one that the mirror has.
func sameVersion(e graph.Event, have bridge.Row) bool {
	old, err := decode(have)
	return err == nil && spanOf(e) == have.Span && e.ETag == old.ETag && (e.ChangeKey == old.ChangeKey || old.ChangeKey == "")
}

// listedRows yields the rows of the mirror that a listing of span is to name, without what Graph said of them.
func (r *round) listedRows(ctx context.Context, span convert.Span) iter.Seq2[bridge.Row, error] {
	return func(yield func(bridge.Row, error) bool) {
		after := graph.EventID("")
		for {
			rows, err := r.b.Store.Listed(ctx, r.cal.ID, span, after, listPage)
			if err != nil {
				yield(bridge.Row{}, err)
				return
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
				after = row.ID
			}
			if len(rows) < listPage {
				return
			}
		}
	}
}
