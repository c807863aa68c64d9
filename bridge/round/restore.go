package round

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// havingGraph is a Graph that finds events by an extended property.
type havingGraph interface {
	Having(ctx context.Context, cal graph.CalendarID, property string) ([]graph.Event, error)
}

// restoreNames takes the names of events that clients have made from the mailbox, where they are written with each of them, if the
// store does not have them: it is a new one, or the calendar was away. No delta tells them, so they are looked for when all of a
// calendar is about to be rendered, which it is when it is new and when clients are first allowed to write to it. Of several events
// of one name, which copying in Outlook makes, the oldest has it. Where Graph refuses to look, names are made as for every other event.
func (r *calendarRound) restoreNames(ctx context.Context) error {
	g, able := r.graph.(havingGraph)
	if !able || !r.deriver.policy.Write || r.cal.Rendering == r.deriver.rendering() {
		return nil
	}
	named, err := g.Having(ctx, r.cal.GraphID, graph.PropertyObjectName)
	var uids []graph.Event
	if err == nil && len(named) > 0 {
		uids, err = g.Having(ctx, r.cal.GraphID, graph.PropertyClientUID)
	}
	switch {
	case graph.IsUnavailable(err), graph.IsSignInNeeded(err), ctx.Err() != nil:
		return err
	case err != nil:
		r.log.Warn("names of events that clients made cannot be looked for", "err", err)
		return nil
	}
	slices.SortStableFunc(named, func(a, b graph.Event) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.ID, b.ID))
	})
	uidOf := map[graph.EventID]string{}
	for _, e := range uids {
		uidOf[e.ID], _ = e.Property(graph.PropertyClientUID)
	}
	for _, e := range named {
		object, _ := e.Property(graph.PropertyObjectName)
		if !isName(object) || e.ID == "" {
			continue
		}
		if err := r.restoreName(ctx, bridge.Name{Calendar: r.cal.ID, Object: object, Series: e.ID, UID: uidOf[e.ID]}); err != nil {
			return err
		}
	}
	// Names count as writes to the mirror.
	r.cal, err = r.current.store.Calendar(ctx, r.cal.ID)
	return err
}

func (r *calendarRound) restoreName(ctx context.Context, n bridge.Name) error {
	have, err := r.written.Names(ctx, n.Calendar, n.Series)
	if err != nil || slices.ContainsFunc(have, func(n bridge.Name) bool { return !n.Alias }) {
		return err
	}
	switch _, err := r.written.Named(ctx, n.Calendar, n.Object); {
	case errors.Is(err, bridge.ErrNotFound):
		return r.written.SetName(ctx, n)
	default:
		return err
	}
}
