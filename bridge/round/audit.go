package round

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// auditRetry is how long after an audit that could not be done another is tried.
const auditRetry = time.Hour

// auditIfDue audits the calendar when it is time. The round is good whether Graph shows its view or not.
func (r *calendarRound) auditIfDue(ctx context.Context) error {
	due, err := r.auditDue(ctx)
	if err != nil || !due {
		return err
	}
	found, err := r.audit(ctx)
	if err == nil {
		now := r.now()
		r.report.Differences = found
		return r.progress.SetAudit(ctx, r.cal.ID, bridge.Audit{Due: now.Add(max(r.options.auditEvery, time.Hour)), At: now, Found: found})
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
	if r.cal.Phase != bridge.PhaseSteady || r.cal.Pending != bridge.PendingNothing {
		return false, nil
	}
	if r.options.auditAlways {
		return true, nil
	}
	every := r.options.auditEvery
	if every <= 0 {
		return false, nil
	}
	if due := r.cal.Audit.Due; due.IsZero() || due.Sub(r.now()) > 2*every { // the latter: the clock was set back
		share := time.Duration(int64(r.cal.ID)%16) * every / 32
		next := r.cal.Audit
		next.Due = r.now().Add(every/2 + share)
		return false, r.progress.SetAudit(ctx, r.cal.ID, next)
	}
	return !r.now().Before(r.cal.Audit.Due), nil
}

// audit compares the mirror with what Outlook shows, has whatever differs read again, and counts it.
func (r *calendarRound) audit(ctx context.Context) (found int, err error) {
	a := audit{r.mirror}
	if r.cal.Way == bridge.WayView {
		before := r.report.Changed
		if err := r.again(ctx, a.reopen); err != nil {
			return 0, err
		}
		err := errors.Join(beyond{r.mirror}.complete(ctx), r.settle(ctx))
		return r.report.Changed - before, err
	}
	days, compared, err := a.days(ctx, sure(r.cal.Window))
	if err != nil {
		return 0, err
	}
	r.report.Audited = compared
	if len(days) == 0 {
		return 0, nil
	}
	// Perhaps it has just changed: what the cursor tells comes first.
	if err := r.follower.follow(ctx); err != nil {
		return 0, err
	}
	if err := r.settle(ctx); err != nil {
		return 0, err
	}
	for _, day := range days {
		n := 0
		err := r.again(ctx, func(ctx context.Context) (err error) {
			n, err = a.day(ctx, convert.Span{Start: day, End: day.Add(24 * time.Hour)})
			return err
		})
		if err != nil {
			return 0, err
		}
		found += n
	}
	if found == 0 {
		return 0, nil
	}
	r.log.Warn("the audit found differences from Outlook; they are read again", "differences", found, "compared", compared)
	return found, r.settle(ctx)
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

// day marks for reading whatever begins on a day and differs, and counts it.
func (a audit) day(ctx context.Context, day convert.Span) (found int, err error) {
	rows := map[graph.EventID]bridge.Row{}
	for row, err := range a.rowsIn(ctx, day) {
		if err != nil {
			return 0, err
		}
		rows[row.ID] = row
	}
	p := newPage()
	for e, err := range a.graph.View(ctx, a.cal.GraphID, day.Start, day.End) {
		if err != nil {
			return 0, err
		}
		have, known := rows[e.ID]
		delete(rows, e.ID)
		switch row := rowOf(e, a.cal.Round); {
		case e.ID == "" || row.Span.Start.Before(day.Start) || !row.Span.Start.Before(day.End):
			continue // of the day on which it begins
		case known && have.Span == row.Span:
			continue
		case known:
			p.doubt(have)
		case row.Kind == bridge.KindSingle:
			p.mark(row.ID, bridge.StageAsk)
		default:
			p.mark(row.Series, bridge.StageRead)
		}
		found++
		a.log.Warn("audit: Outlook shows something else than the mirror has", "event", e.ID, "start", convert.SpanOf(e).Start, "known", known)
	}
	for _, row := range rows {
		if row.Span.Start.Before(day.Start) {
			continue
		}
		found++
		p.doubt(row)
		a.log.Warn("audit: Outlook does not show what the mirror has", "event", row.ID, "start", row.Span.Start)
	}
	return found, a.write(ctx, p)
}
