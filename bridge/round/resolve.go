package round

import (
	"context"
	"errors"
	"slices"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// readPage is how many series are read between two writes: two batches.
const readPage = 40

// resolver asks Graph what a delta left open: whether tombstones mean deletion, and what the masters of changed series say.
type resolver struct {
	*mirror
	deriver  *Deriver
	siblings *siblings
	// refused are series whose masters Graph will not show; they stay marked to be read.
	refused []graph.EventID
}

// resolve asks all that is open. The error joins what could not be answered; that stays marked for the next round.
func (r *resolver) resolve(ctx context.Context) error {
	return errors.Join(r.each(ctx, bridge.StageAsk, askPage, r.ask), r.each(ctx, bridge.StageRead, readPage, r.read))
}

// answers are what a step found out, to be written in one page, and what it could not.
type answers struct {
	*mirrorPage
	open error
}

// each does the marked series of a stage, so many between two writes.
func (r *resolver) each(ctx context.Context, stage, size int, do func(context.Context, []graph.EventID, *answers) error) error {
	total, err := r.store.CountMarked(ctx, r.cal.ID, stage)
	if err != nil || total == 0 {
		return err
	}
	var open error
	after, done := graph.EventID(""), 0
	for {
		var ids []graph.EventID
		var a answers
		err := r.again(ctx, func(ctx context.Context) error {
			marks, err := r.store.Marked(ctx, r.cal.ID, stage, after, size)
			if err != nil || len(marks) == 0 {
				ids = nil
				return err
			}
			ids = seriesOf(marks)
			a = answers{mirrorPage: newPage()}
			if err := do(ctx, ids, &a); err != nil {
				return err
			}
			return r.write(ctx, a.mirrorPage)
		})
		open = errors.Join(open, a.open)
		if err != nil || len(ids) == 0 {
			return errors.Join(open, err)
		}
		after = ids[len(ids)-1]
		if done += len(ids); stage == bridge.StageRead {
			r.tell("read series", done, max(total, done))
		}
	}
}

func seriesOf(marks []bridge.Mark) []graph.EventID {
	ids := make([]graph.EventID, len(marks))
	for i, m := range marks {
		ids[i] = m.Series
	}
	return ids
}

// ask settles tombstones: a tombstone also comes for an event outside the window that was added or changed.
func (r *resolver) ask(ctx context.Context, ids []graph.EventID, a *answers) error {
	rows, err := r.store.Rows(ctx, r.cal.ID, ids)
	if err != nil {
		return err
	}
	elsewhere, err := r.store.Elsewhere(ctx, r.cal.ID, ids)
	if err != nil {
		return err
	}
	for _, res := range r.graph.Events(ctx, r.cal.GraphID, ids) {
		if err := r.answer(ctx, a, res, rows[res.ID], elsewhere); err != nil {
			a.open = errors.Join(a.open, err)
		}
	}
	return nil
}

// answer takes what Graph said of one asked id.
func (r *resolver) answer(ctx context.Context, a *answers, res graph.Result, have bridge.Row, elsewhere map[graph.EventID]bridge.CalendarID) error {
	switch {
	case isGone(res.Err):
		rows, err := r.store.SeriesRows(ctx, r.cal.ID, res.ID) // of a series its occurrences too
		a.drop(res.ID, rows)
		return err
	case res.Err != nil:
		return res.Err
	}
	e := res.Event
	e.ID = res.ID
	row := rowOf(e, r.cal.Round)
	here, err := r.siblings.isHere(ctx, e, false, elsewhere)
	if err != nil {
		return err
	}
	switch {
	case have.Kind == bridge.KindOrphan:
		row.Kind, row.Series = bridge.KindOrphan, e.ID
		a.put(row)
		a.mark(e.ID, bridge.StageDerive)
	case row.IsInstance():
		a.take(row)
		a.mark(e.ID, bridge.StageDerive) // nothing of its own: the series that it belongs to shows it
	case !here, row.Kind == bridge.KindSingle && isPast(row.Span.End, r.cal.Window) && !isPast(have.Span.End, r.cal.Window):
		a.drop(e.ID, []bridge.Row{row})
	default:
		a.take(row)
	}
	return nil
}

// read reads masters, with their exceptions and cancellations.
func (r *resolver) read(ctx context.Context, ids []graph.EventID, a *answers) error {
	elsewhere, err := r.store.Elsewhere(ctx, r.cal.ID, ids)
	if err != nil {
		return err
	}
	rows := map[graph.EventID][]bridge.Row{}
	var refs []graph.MasterRef
	for _, id := range ids {
		if rows[id], err = r.store.SeriesRows(ctx, r.cal.ID, id); err != nil {
			return err
		}
		refs = append(refs, graph.MasterRef{ID: id, Zone: zoneOfRows(rows[id])})
	}
	for _, res := range r.masters(ctx, refs) {
		if err := r.master(ctx, a, res, rows[res.ID], elsewhere); err != nil {
			a.open = errors.Join(a.open, err)
		}
	}
	return nil
}

// masters reads masters each in its own zone. Where the zone was not known beforehand, a second reading follows.
func (r *resolver) masters(ctx context.Context, refs []graph.MasterRef) []graph.Result {
	results := r.graph.Masters(ctx, r.cal.GraphID, refs)
	var again []graph.MasterRef
	for i, res := range results {
		if zone := seriesZone(res.Event); res.Err == nil && refs[i].Zone == "" && zone != "" && !res.Event.IsAllDay {
			again = append(again, graph.MasterRef{ID: res.ID, Zone: zone})
		}
	}
	if len(again) == 0 {
		return results
	}
	second := r.graph.Masters(ctx, r.cal.GraphID, again)
	for i := range results {
		if j := slices.IndexFunc(second, func(s graph.Result) bool { return s.ID == results[i].ID }); j >= 0 && second[j].Err == nil {
			results[i] = second[j]
		}
	}
	return results
}

func masterRow(rows []bridge.Row) (row bridge.Row, known bool) {
	i := slices.IndexFunc(rows, func(row bridge.Row) bool { return row.Kind == bridge.KindMaster })
	if i < 0 {
		return row, false
	}
	return rows[i], true
}

func zoneOfRows(rows []bridge.Row) string {
	if row, known := masterRow(rows); known {
		if e, err := eventOf(row); err == nil {
			return seriesZone(e)
		}
	}
	return ""
}

// seriesZone is the zone to read a master in: its own where that is a known one and not UTC, else "".
func seriesZone(e graph.Event) string {
	if _, iana, ok := convert.LoadZone(e.OriginalStartTimeZone); ok && iana != "UTC" && iana != "Etc/UTC" {
		return e.OriginalStartTimeZone
	}
	return ""
}

// master takes what Graph said of one master.
func (r *resolver) master(ctx context.Context, a *answers, res graph.Result, rows []bridge.Row, elsewhere map[graph.EventID]bridge.CalendarID) error {
	have, known := masterRow(rows)
	fresh := known && have.Round == r.cal.Round // this round's pages named it
	switch {
	case isGone(res.Err) && fresh:
		// The delta has just listed it and sent no tombstone: Graph contradicts itself, or the series was deleted since.
		// The next round asks once more.
		a.mark(res.ID, bridge.StageAsk)
		return nil
	case isGone(res.Err) && known:
		a.drop(res.ID, rows)
		return nil
	case isGone(res.Err):
		return r.orphans(ctx, a, res.ID, rows)
	case res.Err != nil:
		if !graph.IsUnavailable(res.Err) && known {
			r.refused = append(r.refused, res.ID)
		}
		return res.Err
	}
	e := res.Event
	e.ID = res.ID
	here, err := r.siblings.isHere(ctx, e, fresh, elsewhere)
	if err != nil {
		return err
	}
	if !here {
		a.drop(e.ID, rows)
		return nil
	}
	row := rowOf(e, r.cal.Round)
	if row.Kind != bridge.KindMaster {
		a.drop(e.ID, rows)
		a.put(row)
		return nil
	}
	a.put(row)
	return r.reconcile(ctx, a.mirrorPage, e, rows, fresh)
}

// orphans makes events of their own of occurrences whose master is not in the mailbox: whoever was invited to single
// occurrences has just these.
func (r *resolver) orphans(ctx context.Context, a *answers, master graph.EventID, rows []bridge.Row) error {
	a.mark(master, bridge.StageDerive)
	if len(rows) == 0 {
		return nil
	}
	ids := make([]graph.EventID, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	var failed error
	for _, res := range r.graph.Events(ctx, r.cal.GraphID, ids) { // in a delta an occurrence is a skeleton
		switch {
		case isGone(res.Err):
			a.remove(res.ID)
			a.mark(res.ID, bridge.StageDerive)
		case res.Err != nil:
			failed = errors.Join(failed, res.Err)
			a.mark(master, bridge.StageRead)
		default:
			row := rowOf(res.Event, r.cal.Round)
			row.ID, row.Series, row.Kind = res.ID, res.ID, bridge.KindOrphan
			a.put(row)
			a.mark(res.ID, bridge.StageDerive)
		}
	}
	return failed
}

// askAgain asks for events that have turned up in another calendar.
func (r *resolver) askAgain(ctx context.Context, ids []graph.EventID) error {
	rows, err := r.store.Rows(ctx, r.cal.ID, ids)
	if err != nil {
		return err
	}
	p := newPage()
	for _, row := range rows {
		row.Round = min(row.Round, r.cal.Round-1)
		p.put(row)
		p.askAgain(row)
	}
	return r.write(ctx, p)
}
