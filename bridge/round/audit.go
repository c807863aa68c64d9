package round

import (
	"context"
	"errors"
	"hash/maphash"
	"maps"
	"slices"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// auditRetry is how long after an audit that could not be done another is tried.
const auditRetry = time.Hour

// maxDifferences is how many differences are kept of an audit, to be shown.
const maxDifferences = 200

// auditIfDue audits the calendar when it is time. The round is good whether Graph shows its view or not.
func (r *calendarRound) auditIfDue(ctx context.Context) error {
	due, err := r.auditDue(ctx)
	if err != nil || !due {
		return err
	}
	done, differ, err := r.audit(ctx)
	if err == nil {
		done.At = r.now()
		if r.options.auditEvery > 0 {
			done.Due = done.At.Add(max(r.options.auditEvery, time.Hour))
		}
		r.report.Audited, r.report.Differences = done.Compared, done.Found
		// No list tells that something was attached to an event beside what there is: it is asked for as often as the rest is compared.
		if r.deriver.serves() {
			if err := r.deriver.store.AskAttached(ctx, r.cal.ID); err != nil {
				return err
			}
		}
		return r.progress.KeepAudit(ctx, r.cal.ID, done, differ[:min(len(differ), maxDifferences)])
	}
	var refused *graph.Error
	if r.options.auditAlways || !errors.As(err, &refused) {
		return err
	}
	r.log.Warn("the audit could not be done; it is tried again in an hour", "err", err)
	later := r.cal.Audit
	later.Due = r.now().Add(auditRetry)
	return r.progress.SetAudit(ctx, r.cal.ID, later)
}

// auditDue reports whether the calendar's mirror is to be compared with Outlook's view in this round. The first time is
// put off, and by another while for every calendar, so that they do not all fall into one minute.
func (r *calendarRound) auditDue(ctx context.Context) (bool, error) {
	if r.cal.Phase != bridge.PhaseSteady || r.cal.Pending != bridge.PendingNothing && r.cal.Pending != bridge.PendingBeyond {
		return false, nil
	}
	if r.options.auditAlways {
		return true, nil
	}
	every := r.options.auditEvery
	if every <= 0 { // unless somebody has asked for one
		return !r.cal.Audit.Due.IsZero() && !r.now().Before(r.cal.Audit.Due), nil
	}
	if due := r.cal.Audit.Due; due.IsZero() || due.Sub(r.now()) > 2*every { // the latter: the clock was set back
		share := time.Duration(int64(r.cal.ID)%16) * every / 32
		next := r.cal.Audit
		next.Due = r.now().Add(every/2 + share)
		return false, r.progress.SetAudit(ctx, r.cal.ID, next)
	}
	return !r.now().Before(r.cal.Audit.Due), nil
}

// audit compares the mirror with what Outlook shows, has whatever differs read again, and counts it. What differs still then does
// so for a reason that reading does not end: there the mirror becomes what the view says. done.Again counts these.
func (r *calendarRound) audit(ctx context.Context) (done bridge.Audit, differ []bridge.Difference, err error) {
	a := audit{r.mirror}
	if r.cal.Way == bridge.WayView {
		before := r.report.Changed
		if err := r.again(ctx, a.reopen); err != nil {
			return done, nil, err
		}
		err := errors.Join(beyond{r.mirror, r.memory}.complete(ctx), r.settle(ctx))
		done.Found = r.report.Changed - before
		return done, nil, err
	}
	days, compared, err := a.days(ctx, sure(r.cal.Window))
	done.Compared = compared
	if err != nil || len(days) == 0 {
		return done, nil, err
	}
	// Perhaps it has just changed: what the cursor tells comes first.
	if err := r.follower.follow(ctx); err != nil {
		return done, nil, err
	}
	if err := r.settle(ctx); err != nil {
		return done, nil, err
	}
	if differ, err = r.auditDays(ctx, days, a.doubt); err != nil || len(differ) == 0 {
		return done, nil, err
	}
	done.Found = len(differ)
	r.log.Warn("the audit found differences from Outlook; they are read again", "differences", done.Found, "compared", compared)
	if err := r.settle(ctx); err != nil {
		return done, nil, err
	}
	still, err := r.auditDays(ctx, days, a.insist)
	if err != nil || len(still) == 0 {
		return done, differ, err
	}
	done.Again = len(still)
	r.log.Warn("the audit found the same differences once more; what Outlook's view shows is taken for the truth", "differences", done.Again)
	return done, differ, r.settle(ctx)
}

// auditDays compares some days, does something about what differs, and lists it.
func (r *calendarRound) auditDays(ctx context.Context, days []time.Time, do func(context.Context, *differences) error) (all []bridge.Difference, err error) {
	for _, day := range days {
		var d differences
		err := r.again(ctx, func(ctx context.Context) (err error) {
			if d, err = (audit{r.mirror}).day(ctx, convert.Span{Start: day, End: day.Add(24 * time.Hour)}); err != nil {
				return err
			}
			return do(ctx, &d)
		})
		if err != nil {
			return all, err
		}
		list, err := (audit{r.mirror}).list(ctx, d)
		if err != nil {
			return all, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// list is the differences for people. It names those that the mirror has a row of.
func (a audit) list(ctx context.Context, d differences) ([]bridge.Difference, error) {
	var list []bridge.Difference
	var ids []graph.EventID
	for _, id := range slices.Sorted(maps.Keys(d.shown)) {
		row := d.shown[id]
		list = append(list, bridge.Difference{Series: row.Series, Outlook: row.Span, Here: d.have[id].Span})
		ids = append(ids, row.Series)
	}
	for _, row := range d.ghost {
		list = append(list, bridge.Difference{Series: row.Series, Here: row.Span})
		ids = append(ids, row.Series)
	}
	rows, err := a.store.Rows(ctx, a.cal.ID, ids)
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		if row, ok := rows[id]; ok {
			if e, err := eventOf(row); err == nil {
				list[i].Subject = e.Subject
			}
		}
	}
	return list, nil
}

// audit compares a mirror with the plain calendarView of the window, which is what Outlook itself shows. It costs a request for
// each page of the view. The sums of a day stand for its events, so it takes no memory for the calendar's size.
type audit struct{ *mirror }

// reopen has every event of a calendar asked for whose rounds compare listings in any case: of a series a listing shows
// only the occurrences in the window.
func (a audit) reopen(ctx context.Context) error {
	p := newPage()
	p.cursor = a.cursor(bridge.PendingLook)
	p.cursor.Round++
	p.cursor.Opened = p.cursor.Round
	return a.write(ctx, p)
}

// days finds the days on which the view and the mirror differ, and counts the occurrences compared.
func (a audit) days(ctx context.Context, span convert.Span) (days []time.Time, compared int, err error) {
	seed := maphash.MakeSeed()
	sums := map[time.Time]uint64{}
	add := func(id graph.EventID, s convert.Span, sign uint64) {
		if s.Start.Before(span.Start) || !s.Start.Before(span.End) {
			return
		}
		day := s.Start.Truncate(24 * time.Hour)
		sums[day] += sign * maphash.Comparable(seed, auditKey{id, s.Start.Unix(), s.End.Unix()})
	}
	for e, err := range a.graph.View(ctx, a.cal.GraphID, span.Start, span.End) {
		if err != nil {
			return nil, 0, err
		}
		add(e.ID, convert.SpanOf(e), 1)
		compared++
	}
	for row, err := range a.rowsIn(ctx, span) {
		if err != nil {
			return nil, 0, err
		}
		add(row.ID, row.Span, ^uint64(0))
	}
	for day, sum := range sums {
		if sum != 0 {
			days = append(days, day)
		}
	}
	slices.SortFunc(days, time.Time.Compare)
	return days, compared, nil
}

type auditKey struct {
	id         graph.EventID
	start, end int64
}

// differences are what begins on a day and is not the same in the mirror and in Outlook's view.
type differences struct {
	shown map[graph.EventID]bridge.Row // as the view shows it: the mirror has it otherwise or not at all
	have  map[graph.EventID]bridge.Row // as the mirror has those, where it does
	ghost []bridge.Row                 // rows of the mirror that the view does not show
}

// day finds what begins on a day and differs.
func (a audit) day(ctx context.Context, day convert.Span) (d differences, err error) {
	d = differences{shown: map[graph.EventID]bridge.Row{}, have: map[graph.EventID]bridge.Row{}}
	rows := map[graph.EventID]bridge.Row{}
	for row, err := range a.rowsIn(ctx, day) {
		if err != nil {
			return d, err
		}
		rows[row.ID] = row
	}
	for e, err := range a.graph.View(ctx, a.cal.GraphID, day.Start, day.End) {
		if err != nil {
			return d, err
		}
		have, known := rows[e.ID]
		delete(rows, e.ID)
		row := rowOf(e, a.cal.Round)
		if e.ID == "" || row.Span.Start.Before(day.Start) || !row.Span.Start.Before(day.End) || known && have.Span == row.Span {
			continue // the second and third: of the day on which it begins
		}
		if d.shown[row.ID] = row; known {
			d.have[row.ID] = have
		}
		a.log.Warn("audit: Outlook shows something else than the mirror has", "event", e.ID, "start", row.Span.Start, "known", known)
	}
	for _, row := range rows {
		if !row.Span.Start.Before(day.Start) {
			d.ghost = append(d.ghost, row)
			a.log.Warn("audit: Outlook does not show what the mirror has", "event", row.ID, "start", row.Span.Start)
		}
	}
	return d, nil
}

// doubt marks for reading whatever differs.
func (a audit) doubt(ctx context.Context, d *differences) error {
	p := newPage()
	for id, row := range d.shown {
		if have, known := d.have[id]; known {
			p.doubt(have)
		} else if row.Kind == bridge.KindSingle {
			p.mark(row.ID, bridge.StageAsk)
		} else {
			p.mark(row.Series, bridge.StageRead)
		}
	}
	for _, row := range d.ghost {
		p.doubt(row)
	}
	return a.write(ctx, p)
}

// insist makes the mirror what the view shows, without asking for anything by its id.
func (a audit) insist(ctx context.Context, d *differences) error {
	if err := a.leaveLate(ctx, d); err != nil {
		return err
	}
	var masters []graph.EventID
	spans := map[graph.EventID]convert.Span{}
	for id, row := range d.shown {
		masters = append(masters, row.Series)
		spans[id] = row.Span
	}
	known, err := a.store.Rows(ctx, a.cal.ID, masters)
	if err != nil {
		return err
	}
	p := newPage()
	err = a.view(ctx, spans, func(e graph.Event) {
		row := rowOf(e, a.cal.Round)
		if row.IsInstance() && known[row.Series].Kind != bridge.KindMaster {
			row.Series, row.Kind = row.ID, bridge.KindOrphan
		}
		p.put(row)
		p.settle(row.Series, true)
	})
	if err != nil {
		return err
	}
	for _, row := range d.ghost {
		p.remove(row.ID)
		p.settle(row.Series, true)
	}
	for _, row := range d.ghost {
		if !row.IsInstance() {
			continue
		}
		rows, err := a.store.SeriesRows(ctx, a.cal.ID, row.Series)
		if err != nil {
			return err
		}
		shown := slices.ContainsFunc(rows, func(r bridge.Row) bool {
			return r.IsInstance() && !p.gone[r.ID] && touches(r.Span, sure(a.cal.Window))
		})
		if !shown { // of a series that the view shows nothing of, nothing is here
			p.drop(row.Series, rows)
		}
	}
	return a.write(ctx, p)
}

// leaveLate leaves out what was written to a moment ago: the view may not show it yet.
func (a audit) leaveLate(ctx context.Context, d *differences) error {
	var series []graph.EventID
	for _, row := range d.shown {
		series = append(series, row.Series)
	}
	for _, row := range d.ghost {
		series = append(series, row.Series)
	}
	f, err := a.fences(ctx, series)
	if err != nil {
		return err
	}
	maps.DeleteFunc(d.shown, func(_ graph.EventID, row bridge.Row) bool { return f.isLate(row.Series) || f.isGone(row.Series) })
	d.ghost = slices.DeleteFunc(d.ghost, func(row bridge.Row) bool { return f.isLate(row.Series) })
	return nil
}
