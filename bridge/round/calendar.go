package round

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// calendarRound is one round of one calendar: what Graph says goes to the mirror, and what has changed there to clients.
type calendarRound struct {
	*mirror
	counts   func(context.Context, bridge.CalendarID) (bridge.Counts, error)
	progress bridge.ProgressStore
	written  bridge.WrittenStore
	options  options
	memory   *calendarMemory
	follower *follower
	resolver *resolver
	deriver  *Deriver
	siblings *siblings
	report   bridge.CalendarReport
}

// options are those of a Runner that its rounds of calendars look at.
type options struct {
	checkpointAfter time.Duration
	viewEvery       time.Duration // least time between two listings of a calendar without a cursor
	auditEvery      time.Duration
	auditAlways     bool
	count           bool
	published       func(bridge.CalendarID)
}

// do runs one part of the round, and accounts for it.
func (r *calendarRound) do(ctx context.Context, part func(context.Context) error) error {
	r.memory.round.Lock()
	defer r.memory.round.Unlock()
	begin := r.now()
	counted, n := graph.CountRequests(bridge.WithLogAttrs(ctx, slog.String("calendar", r.cal.DisplayName)))
	err := part(counted)
	r.report.Requests += n.Load()
	r.report.Seconds += r.now().Sub(begin).Seconds()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if r.options.count {
		counts, countErr := r.counts(ctx, r.cal.ID)
		err = errors.Join(err, countErr)
		r.report.Events, r.report.Series, r.report.Losses = counts.Events, counts.Series, counts.Losses
	}
	r.report.Fault = bridge.FaultOf(err)
	if errors.Is(err, bridge.ErrBusy) {
		return err // so is writing down why
	}
	if err != nil {
		return errors.Join(err, r.progress.SetFault(ctx, r.cal.ID, r.report.Fault, r.now()))
	}
	return nil
}

func (r *calendarRound) run(ctx context.Context) error {
	// Before pages are made objects of.
	unready := r.restoreNames(ctx)
	if unready == nil {
		unready = r.deriver.rerender(ctx)
	}
	if err := r.catchUp(ctx); err != nil {
		return err
	}
	err := beyond{r.mirror, r.memory}.complete(ctx)
	if errors.Is(err, bridge.ErrConflict) {
		return err
	}
	if err := errors.Join(err, unready, r.settle(ctx)); err != nil { // what there is is shown; the next round looks for the rest
		return err
	}
	return r.auditIfDue(ctx)
}

// catchUp brings the mirror to what Graph says now: by its cursor, or where Graph lets nobody follow one by listing the window
// and comparing.
func (r *calendarRound) catchUp(ctx context.Context) error {
	// Whether Graph allows a cursor by now is tried again when the window is opened again.
	if r.cal.Way == bridge.WayView && !r.periods.outdated(r.cal.Window, r.now()) {
		return r.list(ctx)
	}
	err := r.follower.follow(ctx)
	switch {
	case errors.Is(err, errNoCursor):
		r.log.Warn("Graph does not let this account follow the changes of this calendar; it is listed and compared instead, which takes more requests", "err", err)
		if listErr := r.list(ctx); listErr != nil {
			return errors.Join(err, listErr)
		}
		return r.setWay(ctx, bridge.WayView)
	case err == nil && r.cal.Way == bridge.WayView:
		return r.setWay(ctx, bridge.WayDelta)
	}
	return err
}

// list lists and compares, unless that was done not long ago.
func (r *calendarRound) list(ctx context.Context) error {
	now := r.now()
	if bridge.Elapsed(now, r.memory.viewed) < r.options.viewEvery {
		return nil
	}
	if err := (listing{r.mirror}).refresh(ctx); err != nil {
		return err
	}
	r.memory.viewed = now
	return nil
}

func (r *calendarRound) setWay(ctx context.Context, way string) error {
	r.cal.Way = way
	return r.progress.SetWay(ctx, r.cal.ID, way)
}

// settle turns what the mirror has learnt into what clients see. What could not be read stays marked for the next
// round; everything else is published all the same.
func (r *calendarRound) settle(ctx context.Context) error {
	r.resolver.refused = nil
	if !r.resolver.readsAgain() {
		if waits, err := r.mirror.store.Waits(ctx, r.cal.ID); err != nil {
			return err
		} else if !waits { // as nearly always
			return r.good(ctx, false)
		}
	}
	unread := r.resolver.resolve(ctx)
	if errors.Is(unread, bridge.ErrConflict) || ctx.Err() != nil {
		return unread
	}
	before := r.report.Changed
	if err := errors.Join(r.publish(ctx), unread); err != nil {
		return err
	}
	return r.good(ctx, r.report.Changed > before)
}

// publish converts what is marked and shows what has changed.
func (r *calendarRound) publish(ctx context.Context) error {
	if err := (attachments{r.mirror, r.deriver}).complete(ctx); err != nil {
		return err
	}
	if err := r.deriver.deriveRefused(ctx, r.resolver.refused); err != nil {
		return err
	}
	if err := r.deriver.Derive(ctx); err != nil {
		return err
	}
	changed, removed, err := r.deriver.Publish(ctx)
	r.report.Changed += changed
	r.report.Removed += removed
	if changed > 0 && r.options.published != nil {
		r.options.published(r.cal.ID)
	}
	return err
}

// good records the end of a good round: at once when something changed, else at the next checkpoint.
func (r *calendarRound) good(ctx context.Context, changed bool) error {
	now, link := r.now(), r.follower.idle
	r.memory.good = now
	if !changed && r.cal.Fault == (bridge.Fault{}) && now.Sub(r.cal.Good) < r.options.checkpointAfter {
		if link != "" {
			r.memory.idle = idleCursor{r.cal.Seq, link}
		}
		return nil
	}
	r.memory.idle = idleCursor{}
	return r.progress.SetGood(ctx, r.cal.ID, r.cal.Seq, link, now)
}

// lastGood is when the last good round ended; zero: never.
func (r *calendarRound) lastGood() time.Time {
	r.memory.round.Lock()
	defer r.memory.round.Unlock()
	if r.memory.good.After(r.cal.Good) {
		return r.memory.good
	}
	return r.cal.Good
}
