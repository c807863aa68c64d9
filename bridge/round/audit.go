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
func (r *round) auditIfDue(ctx context.Context) error {
	due, err := r.auditDue(ctx)
	if err != nil || !due {
		return err
	}
	err = r.audit(ctx)
	var refused *graph.Error
	if r.b.AuditAlways || !errors.As(err, &refused) {
		return err
	}
	r.log.Warn("the audit could not be done; it is tried again in an hour", "err", err)
	later := r.cal.Audit
	later.Due = r.b.now().Add(auditRetry)
	return r.b.Store.SetAudit(ctx, r.cal.ID, later)
}

// auditDue reports whether the calendar's mirror is to be held against Outlook's view in this round. The first time is
// put off, and by another while for every calendar, so that they do not all fall into one minute.
func (r *round) auditDue(ctx context.Context) (bool, error) {
	if r.cal.Phase != bridge.PhaseSteady || r.cal.Pending != bridge.PendingNothing {
		return false, nil
	}
	if r.b.AuditAlways {
		return true, nil
	}
	every := r.b.AuditEvery
	if every <= 0 {
		return false, nil
	}
	if due := r.cal.Audit.Due; due.IsZero() || due.Sub(r.b.now()) > 2*every { // the latter: the clock was set back
		share := time.Duration(int64(r.cal.ID)%16) * every / 32
		next := r.cal.Audit
		next.Due = r.b.now().Add(every/2 + share)
		return false, r.b.Store.SetAudit(ctx, r.cal.ID, next)
	}
	return !r.b.now().Before(r.cal.Audit.Due), nil
}

// audit holds the mirror against the plain calendarView of the window, which is what Outlook itself shows, and has
// asked anew whatever differs. It costs a request for each page of the view. The sums of a day stand for its events, so
// it takes no memory for the calendar's size.
func (r *round) audit(ctx context.Context) error {
	if r.cal.Way == bridge.WayView {
		return r.auditAnew(ctx)
	}
	span := convert.Span{Start: r.cal.Window.Start.Add(edge), End: r.cal.Window.End.Add(-edge)}
	days, n, err := r.auditDays(ctx, span)
	if err != nil {
		return err
	}
	r.report.Audited = n
	found := 0
	if len(days) > 0 {
		// Perhaps it has just changed: what the cursor tells comes first.
		if err := r.follow(ctx); err != nil {
			return err
		}
		if err := r.settle(ctx); err != nil {
			return err
		}
		for _, day := range days {
			n, err := r.auditDay(ctx, convert.Span{Start: day, End: day.Add(24 * time.Hour)})
			if err != nil {
				return err
			}
			found += n
		}
	}
	if found > 0 {
		r.log.Warn("the audit found differences from Outlook; they are read anew", "differences", found, "compared", r.report.Audited)
		if err := r.settle(ctx); err != nil {
			return err
		}
	}
	return r.setAudit(ctx, found)
}

// auditAnew asks for every event of a calendar whose rounds compare listings in any case: of a series a listing shows
// only the occurrences in the window.
func (r *round) auditAnew(ctx context.Context) error {
	p := newPage(r.cal)
	p.cursor = r.cursor(bridge.PendingLook)
	p.cursor.Round++
	p.cursor.Opened = p.cursor.Round
	if err := r.write(ctx, p); err != nil {
		return err
	}
	changed := r.report.Changed
	if err := errors.Join(r.complete(ctx), r.settle(ctx)); err != nil {
		return err
	}
	return r.setAudit(ctx, r.report.Changed-changed)
}

func (r *round) setAudit(ctx context.Context, found int) error {
	now := r.b.now()
	r.report.Differences = found
	return r.b.Store.SetAudit(ctx, r.cal.ID, bridge.Audit{Due: now.Add(max(r.b.AuditEvery, time.Hour)), At: now, Found: found})
}

// auditDays finds the days on which the view and the mirror differ, and counts the occurrences compared.
func (r *round) auditDays(ctx context.Context, span convert.Span) (days []time.Time, n int, err error) {
	seed := maphash.MakeSeed()
	sums := map[time.Time]uint64{}
	add := func(id graph.EventID, s convert.Span, sign uint64) {
		if s.Start.Before(span.Start) || !s.Start.Before(span.End) {
			return
		}
		day := s.Start.Truncate(24 * time.Hour)
		sums[day] += sign * maphash.Comparable(seed, auditKey{id, s.Start.Unix(), s.End.Unix()})
	}
	for e, err := range r.graph.View(ctx, r.cal.GraphID, span.Start, span.End) {
		if err != nil {
			return nil, 0, err
		}
		add(e.ID, spanOf(e), 1)
		n++
	}
	for row, err := range r.listedRows(ctx, span) {
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
	return days, n, nil
}

type auditKey struct {
	id         graph.EventID
	start, end int64
}

// auditDay marks for reading whatever begins on a day and differs, and counts it.
func (r *round) auditDay(ctx context.Context, day convert.Span) (found int, err error) {
	rows := map[graph.EventID]bridge.Row{}
	for row, err := range r.listedRows(ctx, day) {
		if err != nil {
			return 0, err
		}
		rows[row.ID] = row
	}
	p := newPage(r.cal)
	for e, err := range r.graph.View(ctx, r.cal.GraphID, day.Start, day.End) {
		if err != nil {
			return 0, err
		}
		have, known := rows[e.ID]
		delete(rows, e.ID)
		switch row := rowOf(e, r.cal.Round); {
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
		r.log.Warn("audit: Outlook shows something else than the mirror has", "event", e.ID, "start", spanOf(e).Start, "known", known)
	}
	for _, row := range rows {
		if row.Span.Start.Before(day.Start) {
			continue
		}
		found++
		p.doubt(row)
		r.log.Warn("audit: Outlook does not show what the mirror has", "event", row.ID, "start", row.Span.Start)
	}
	return found, r.write(ctx, p)
}
