package round

import (
	"context"
	"errors"
	"slices"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// readPage is how many series are read between two writes: two batches.
const readPage = 40

// edge is how near the ends of the window the listing of occurrences is not taken for the truth: the times of an
// all-day event are in its creator's zone there.
const edge = 48 * time.Hour

// resolve asks Graph what the delta left open: whether tombstones mean deletion, and what the masters of changed
// series say. The error joins what could not be answered; these stay marked for the next round.
func (r *round) resolve(ctx context.Context) error {
	return errors.Join(r.ask(ctx), r.read(ctx))
}

// ask settles tombstones: a tombstone also comes for an event outside the window that was added or changed.
func (r *round) ask(ctx context.Context) error {
	var unanswered error
	after := graph.EventID("")
	for {
		marks, err := r.b.Store.Marked(ctx, r.cal.ID, bridge.StageAsk, after, askPage)
		if err != nil || len(marks) == 0 {
			return errors.Join(unanswered, err)
		}
		var ids []graph.EventID
		for _, m := range marks {
			ids = append(ids, m.Series)
		}
		after = ids[len(ids)-1]
		rows, err := r.b.Store.Rows(ctx, r.cal.ID, ids)
		if err != nil {
			return err
		}
		elsewhere, err := r.b.Store.Elsewhere(ctx, r.cal.ID, ids)
		if err != nil {
			return err
		}
		p := newPage(r.cal)
		for _, res := range r.graph.Events(ctx, ids) {
			if err := r.answer(ctx, p, res, rows[res.ID], elsewhere); err != nil {
				unanswered = errors.Join(unanswered, err)
			}
		}
		if err := r.write(ctx, p); err != nil {
			return err
		}
	}
}

// answer puts what Graph said of one asked id into a page.
func (r *round) answer(ctx context.Context, p *page, res graph.Result, have bridge.Row, elsewhere map[graph.EventID]bridge.CalendarID) error {
	switch {
	case isGone(res.Err):
		rows, err := r.b.Store.SeriesRows(ctx, r.cal.ID, res.ID) // of a series its occurrences too
		p.drop(res.ID, rows)
		return err
	case res.Err != nil:
		return res.Err
	}
	e := res.Event
	e.ID = res.ID
	row := rowOf(e, r.cal.Round)
	here, err := r.isHere(ctx, e, false, elsewhere)
	if err != nil {
		return err
	}
	switch {
	case have.Kind == bridge.KindOrphan:
		row.Kind, row.Series = bridge.KindOrphan, e.ID
		p.put(row)
		p.mark(e.ID, bridge.StageDerive)
	case row.IsInstance():
		p.take(row)
		p.mark(e.ID, bridge.StageDerive) // nothing of its own: the series that it belongs to shows it
	case !here, row.Kind == bridge.KindSingle && r.isPast(row.Span.End) && !r.isPast(have.Span.End):
		p.drop(e.ID, []bridge.Row{row})
	default:
		p.take(row)
	}
	return nil
}

// isPast reports whether something that ends then is history that the window does not reach. What has become so with
// time is kept; what is moved there is not served any more.
func (r *round) isPast(end time.Time) bool { return !end.IsZero() && !end.After(r.cal.Window.Start) }

// isGone reports that Graph has no such event: it says so, or it does not take the id for one any more.
func isGone(err error) bool {
	var e *graph.Error
	return graph.IsNotFound(err) || errors.As(err, &e) && e.Code == "ErrorInvalidIdMalformed"
}

// read reads the masters of marked series, with their exceptions and cancellations.
func (r *round) read(ctx context.Context) error {
	total, err := r.b.Store.CountMarked(ctx, r.cal.ID, bridge.StageRead)
	if err != nil || total == 0 {
		return err
	}
	var unread error
	done := 0
	after := graph.EventID("")
	for {
		marks, err := r.b.Store.Marked(ctx, r.cal.ID, bridge.StageRead, after, readPage)
		if err != nil || len(marks) == 0 {
			return errors.Join(unread, err)
		}
		after = marks[len(marks)-1].Series
		rows := map[graph.EventID][]bridge.Row{}
		var refs []graph.MasterRef
		var ids []graph.EventID
		for _, m := range marks {
			if rows[m.Series], err = r.b.Store.SeriesRows(ctx, r.cal.ID, m.Series); err != nil {
				return err
			}
			refs = append(refs, graph.MasterRef{ID: m.Series, Zone: zoneOfRows(rows[m.Series])})
			ids = append(ids, m.Series)
		}
		elsewhere, err := r.b.Store.Elsewhere(ctx, r.cal.ID, ids)
		if err != nil {
			return err
		}
		p := newPage(r.cal)
		for _, res := range r.masters(ctx, refs) {
			if err := r.readSeries(ctx, p, res, rows[res.ID], elsewhere); err != nil {
				unread = errors.Join(unread, err)
			}
		}
		if err := r.write(ctx, p); err != nil {
			return err
		}
		done += len(marks)
		r.b.progress(Progress{Account: r.account, Calendar: r.cal.DisplayName, Phase: "read series", Pages: r.report.Pages,
			Events: r.report.Items, Done: done, Total: max(total, done)})
	}
}

// masters reads masters each in its own zone. Where the zone was not known beforehand, a second reading follows.
func (r *round) masters(ctx context.Context, refs []graph.MasterRef) []graph.Result {
	results := r.graph.Masters(ctx, refs)
	var again []graph.MasterRef
	for i, res := range results {
		if zone := seriesZone(res.Event); res.Err == nil && refs[i].Zone == "" && zone != "" && !res.Event.IsAllDay {
			again = append(again, graph.MasterRef{ID: res.ID, Zone: zone})
		}
	}
	if len(again) == 0 {
		return results
	}
	second := r.graph.Masters(ctx, again)
	for i := range results {
		if j := slices.IndexFunc(second, func(s graph.Result) bool { return s.ID == results[i].ID }); j >= 0 && second[j].Err == nil {
			results[i] = second[j]
		}
	}
	return results
}

func zoneOfRows(rows []bridge.Row) string {
	for _, row := range rows {
		if row.Kind == bridge.KindMaster {
			if e, err := decode(row); err == nil {
				return seriesZone(e)
			}
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

// readSeries puts what Graph said of one master into a page.
func (r *round) readSeries(ctx context.Context, p *page, res graph.Result, rows []bridge.Row, elsewhere map[graph.EventID]bridge.CalendarID) error {
	i := slices.IndexFunc(rows, func(row bridge.Row) bool { return row.Kind == bridge.KindMaster })
	listed := i >= 0 && rows[i].Round == r.cal.Round // by this round's pages
	switch {
	case isGone(res.Err) && listed:
		// The delta has just listed it and sent no tombstone: Graph contradicts itself, or the series was deleted since.
		// The next round asks once more.
		p.mark(res.ID, bridge.StageAsk)
		return nil
	case isGone(res.Err) && i >= 0:
		p.drop(res.ID, rows)
		return nil
	case isGone(res.Err):
		return r.orphans(ctx, p, res.ID, rows)
	case res.Err != nil:
		if !graph.IsUnavailable(res.Err) && i >= 0 {
			r.refused = append(r.refused, res.ID)
		}
		return res.Err
	}
	e := res.Event
	e.ID = res.ID
	here, err := r.isHere(ctx, e, listed, elsewhere)
	if err != nil {
		return err
	}
	if !here {
		p.drop(e.ID, rows)
		return nil
	}
	master := rowOf(e, r.cal.Round)
	if master.Kind != bridge.KindMaster {
		p.drop(e.ID, rows)
		p.put(master)
		return nil
	}
	p.put(master)
	return r.reconcile(ctx, p, e, rows, listed)
}

// orphans makes events of their own of occurrences whose master is not in the mailbox: whoever was invited to single
// occurrences has just these.
func (r *round) orphans(ctx context.Context, p *page, master graph.EventID, rows []bridge.Row) error {
	var ids []graph.EventID
	for _, row := range rows {
		ids = append(ids, row.ID)
	}
	p.mark(master, bridge.StageDerive)
	if len(ids) == 0 {
		return nil
	}
	var failed error
	for _, res := range r.graph.Events(ctx, ids) { // in a delta an occurrence is a skeleton
		switch {
		case isGone(res.Err):
			p.remove(res.ID)
			p.mark(res.ID, bridge.StageDerive)
		case res.Err != nil:
			failed = errors.Join(failed, res.Err)
			p.mark(master, bridge.StageRead)
		default:
			row := rowOf(res.Event, r.cal.Round)
			row.ID, row.Series, row.Kind = res.ID, res.ID, bridge.KindOrphan
			p.put(row)
			p.mark(res.ID, bridge.StageDerive)
		}
	}
	return failed
}

// reconcile compares the occurrences that Graph lists of a series with those that its master stands for, so that the
// rows of the series become exactly what Outlook shows in the window.
//
// A change re-sends a series without naming what is gone from it, so an older row that the master no longer stands
// for is dropped. What this round listed is the truth; where the master stands for something else (another calendar
// system, a rule that iCalendar cannot say), Graph is asked for the instances. resent: this round listed the master.
func (r *round) reconcile(ctx context.Context, p *page, e graph.Event, rows []bridge.Row, resent bool) error {
	var listed []bridge.Row
	for _, row := range rows {
		if row.IsInstance() {
			listed = append(listed, row)
		}
	}
	s := r.newSeries()
	s.Event = e
	var err error
	if s.Exceptions, err = untold(e, listed); err != nil {
		return err
	}
	stands, known := r.standsFor(s)
	inner := convert.Span{Start: r.cal.Window.Start.Add(edge), End: r.cal.Window.End.Add(-edge)}
	within := func(s convert.Span) bool { return s.End.After(inner.Start) && s.Start.Before(inner.End) }
	agree := known
	seen := map[convert.Span]bool{}
	for _, row := range listed {
		seen[row.Span] = seen[row.Span] || row.Round == r.cal.Round
	}
	var stale []bridge.Row
	for _, row := range listed {
		if e.ExceptionOccurrences == nil && resent && row.Round != r.cal.Round && within(row.Span) {
			agree = false // the master does not tell what is cancelled, so this may be
		}
		switch {
		case row.Round == r.cal.Round:
			agree = agree && (stands[row.Span] || !within(row.Span))
		case !stands[row.Span] || seen[row.Span]: // the latter: of a schedule before, on a day of the present one
			stale = append(stale, row)
		default:
			seen[row.Span] = true
		}
	}
	for span := range stands {
		if within(span) && !seen[span] {
			agree = false
		}
	}
	if agree {
		for _, row := range stale {
			p.remove(row.ID)
		}
		p.marks[e.ID] = bridge.Mark{Series: e.ID, Stage: bridge.StageDerive, Listed: true}
		return nil
	}
	instances, err := r.graph.Instances(ctx, e.ID, r.cal.Window.Start, r.cal.Window.End)
	if err != nil && graph.IsUnavailable(err) {
		p.mark(e.ID, bridge.StageRead)
		return err
	}
	if err == nil {
		for _, row := range listed {
			p.remove(row.ID)
		}
		// Graph is known to leave exceptions out of the instances now and then.
		for _, x := range slices.Concat(e.ExceptionOccurrences, instances) {
			if x.ID == "" {
				continue
			}
			row := rowOf(x, r.cal.Round)
			row.Series = e.ID
			if row.Kind != bridge.KindException {
				row.Kind = bridge.KindOccurrence
			}
			if within(row.Span) {
				p.put(row)
			}
		}
		p.marks[e.ID] = bridge.Mark{Series: e.ID, Stage: bridge.StageDerive, Listed: true}
		return nil
	}
	// No answer to be had: the listing of this round, if it is one, is the best there is.
	fresh := slices.ContainsFunc(listed, func(row bridge.Row) bool { return row.Round == r.cal.Round })
	if fresh {
		for _, row := range listed {
			if row.Round != r.cal.Round {
				p.remove(row.ID)
			}
		}
	}
	p.marks[e.ID] = bridge.Mark{Series: e.ID, Stage: bridge.StageDerive, Listed: fresh}
	return nil
}

// standsFor expands the object that the master would become, over the window. known is false where it cannot be.
func (r *round) standsFor(s convert.Series) (spans map[convert.Span]bool, known bool) {
	cal, _, err := toICS(s)
	if errors.Is(err, convert.ErrNoInstances) {
		return nil, true
	}
	if err != nil {
		return nil, false
	}
	instances, err := (&ics.Reader{Resolve: convert.Zone}).Expand(cal, ics.Span(r.cal.Window))
	if err != nil {
		return nil, false
	}
	spans = map[convert.Span]bool{}
	for _, i := range instances {
		spans[convert.Span{Start: i.Start.UTC(), End: i.End.UTC()}] = true
	}
	return spans, true
}
