package round

import (
	"context"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// beyond does what an opened window still waits for once it is listed: it looks at what comes after the window, then asks
// for what neither listing named.
type beyond struct{ *mirror }

// complete does what is pending. Should Graph fail here, what the window lists is published all the same, and the next round
// goes on.
func (b beyond) complete(ctx context.Context) error {
	if b.cal.Pending == bridge.PendingLook {
		if err := b.look(ctx); err != nil {
			return err
		}
	}
	for b.cal.Pending == bridge.PendingSweep {
		if err := b.again(ctx, b.sweep); err != nil {
			return err
		}
	}
	return nil
}

// look mirrors the single events and series that come after the window, once each time that it is opened. Later
// ones are found by the tombstones that Graph sends for events outside the window.
func (b beyond) look(ctx context.Context) error {
	var found []graph.Event
	for e, err := range b.graph.EventsFrom(ctx, b.cal.GraphID, b.cal.Window.End) {
		if err != nil && graph.IsUnavailable(err) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			b.log.Warn("events after the window cannot be listed; they will show when they change or come near", "err", err)
			break
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
	return b.again(ctx, func(ctx context.Context) error {
		p := newPage()
		p.cursor = b.cursor(bridge.PendingSweep)
		return b.write(ctx, p)
	})
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
		p := newPage()
		for _, e := range events {
			row := rowOf(e, b.cal.Round)
			have, known := rows[e.ID]
			switch {
			case known && e.Type == graph.SeriesMaster && row.Span.Start.Before(b.cal.Window.End):
			case known && overtaken:
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
