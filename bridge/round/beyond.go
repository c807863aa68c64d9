package round

import (
	"context"
	"errors"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// beyond does what an opened window still waits for once it is listed: it looks at what comes after the window, then asks
// for what neither listing named.
type beyond struct {
	*mirror
	memory *calendarMemory
}

const (
	eagerLooks = 3         // looks that failed before they are spaced out
	lookEvery  = time.Hour // between two looks then
)

// complete does what is pending. Should Graph fail here, what the window lists is published all the same. A look that fails holds
// up nothing: it is the round's failure once, and then what the calendar lacks (PendingBeyond), until one succeeds.
func (b beyond) complete(ctx context.Context) error {
	var failed error
	if b.cal.Pending == bridge.PendingLook {
		failed = b.tryLook(ctx, bridge.PendingSweep, bridge.PendingSweepFirst)
		if ctx.Err() != nil || errors.Is(failed, bridge.ErrConflict) {
			return failed
		}
	}
	for b.cal.Pending == bridge.PendingSweep || b.cal.Pending == bridge.PendingSweepFirst {
		if err := b.again(ctx, b.sweep); err != nil {
			return errors.Join(failed, err)
		}
	}
	if b.cal.Pending != bridge.PendingBeyond || failed != nil {
		return failed
	}
	if m := b.memory; m.looks >= eagerLooks && bridge.Elapsed(b.now(), m.looked) < lookEvery {
		return nil
	}
	err := b.tryLook(ctx, bridge.PendingNothing, bridge.PendingBeyond)
	if graph.IsUnavailable(err) && !graph.IsSignInNeeded(err) {
		b.log.Warn("events after the window cannot be listed; this is tried again", "err", err)
		return nil
	}
	return err
}

// tryLook looks, and sets what is pending after success and after a refusal. Only trouble that passes by itself is an error.
func (b beyond) tryLook(ctx context.Context, done, failed string) error {
	b.memory.looked = b.now()
	b.memory.looks++
	err := b.look(ctx, done)
	var refusal *graph.Error
	switch {
	case err == nil:
		b.memory.looks = 0
		return nil
	case ctx.Err() != nil || !errors.As(err, &refusal) || graph.IsSignInNeeded(err):
		return err
	case !graph.IsUnavailable(err):
		b.log.Warn("events after the window cannot be listed; they will show when they change or come near", "err", err)
		err = nil
	}
	if b.cal.Pending == failed {
		return err
	}
	return errors.Join(err, b.again(ctx, func(ctx context.Context) error { return b.pend(ctx, failed) }))
}

// pend writes what is pending.
func (b beyond) pend(ctx context.Context, pending string) error {
	p := newPage()
	p.cursor = b.cursor(pending)
	return b.write(ctx, p)
}

// look mirrors the single events and series that come after the window, once each time that it is opened. Later
// ones are found by the tombstones that Graph sends for events outside the window.
func (b beyond) look(ctx context.Context, done string) error {
	var found []graph.Event
	for e, err := range b.graph.EventsFrom(ctx, b.cal.GraphID, b.cal.Window.End) {
		if err != nil {
			return errors.Join(err, b.take(ctx, found))
		}
		if e.ID == "" || e.Removed != nil {
			continue
		}
		if found = append(found, e); len(found) >= askPage {
			if err := b.take(ctx, found); err != nil {
				return err
			}
			found = found[:0]
		}
	}
	if err := b.take(ctx, found); err != nil {
		return err
	}
	return b.again(ctx, func(ctx context.Context) error { return b.pend(ctx, done) })
}

// take mirrors events that were found after the window. Series that began earlier are mostly known, since the window has
// listed them. Where somebody else has written since they were listed, what the mirror knows is not replaced but asked for.
func (b beyond) take(ctx context.Context, events []graph.Event) error {
	overtaken := false
	err := b.again(ctx, func(ctx context.Context) error {
		rows, err := b.store.Rows(ctx, b.cal.ID, idsOf(events))
		if err != nil {
			return err
		}
		fences, err := b.fencesOf(ctx, events, rows)
		if err != nil {
			return err
		}
		p := newPage()
		for _, e := range events {
			row := rowOf(e, b.cal.Round)
			have, known := rows[e.ID]
			older := fences.isOlder(e, have)
			switch {
			case older && !known:
				p.askOf(row)
			case known && e.Type == graph.SeriesMaster && row.Span.Start.Before(b.cal.Window.End):
			case known && (overtaken || older):
				have.Round = row.Round
				p.put(have)
				p.askAgain(have)
			default:
				p.take(row)
			}
		}
		overtaken = true // if this is done once more
		return b.write(ctx, p)
	})
	b.report.Items += len(events)
	return err
}

// sweep asks for some of the events that were known before the window was opened and that neither listing named. Those that
// the window has left behind are kept unasked: nothing that a client has vanishes because time goes by.
func (b beyond) sweep(ctx context.Context) error {
	rows, err := b.store.Unlisted(ctx, b.cal.ID, b.cal.Opened, askPage)
	if err != nil {
		return err
	}
	p := newPage()
	if len(rows) == 0 {
		p.cursor = b.cursor(bridge.PendingNothing)
		if b.cal.Pending == bridge.PendingSweepFirst {
			p.cursor = b.cursor(bridge.PendingBeyond)
		}
	}
	for _, row := range rows {
		row.Round = b.cal.Round
		p.put(row)
		if row.Kind == bridge.KindMaster || !isPast(row.Span.End, b.cal.Window) {
			p.mark(row.ID, bridge.StageAsk)
		}
	}
	return b.write(ctx, p)
}
