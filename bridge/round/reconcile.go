package round

import (
	"context"
	"errors"
	"slices"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// comparison holds the instances of one series that the mirror has against those that its master stands for.
type comparison struct {
	master    graph.Event
	instances []bridge.Row // occurrences and exceptions of the mirror
	round     int64        // rows of which this round's pages named
	sure      convert.Span // where a listing is the truth
	stands    map[convert.Span]bool
}

// reconcile makes the rows of a series exactly what Outlook shows in the window.
//
// A change re-sends a series without naming what is gone from it, so an older row that the master no longer stands
// for is dropped. What this round's pages named is the truth; where the master stands for something else (another calendar
// system, a rule that iCalendar cannot say), Graph is asked for the instances. fresh: these pages named the master.
func (r *resolver) reconcile(ctx context.Context, p *mirrorPage, master graph.Event, rows []bridge.Row, fresh bool) error {
	c := comparison{master: master, round: r.cal.Round, sure: sure(r.cal.Window)}
	for _, row := range rows {
		if row.IsInstance() {
			c.instances = append(c.instances, row)
		}
	}
	s := r.deriver.newSeries()
	s.Event = master
	var err error
	if s.Exceptions, err = untold(master, c.named()); err != nil {
		return err
	}
	known := false
	c.stands, known = standsFor(s)
	if stale, agree := c.agree(fresh); known && agree {
		for _, row := range stale {
			p.remove(row.ID)
		}
		p.settle(master.ID, true)
		return nil
	}
	instances, err := r.graph.Instances(ctx, r.cal.GraphID, master.ID, r.cal.Window.Start, r.cal.Window.End)
	switch {
	case err == nil:
		c.replace(p, instances)
	case graph.IsUnavailable(err):
		p.mark(master.ID, bridge.StageRead)
		return err
	default:
		c.keepFresh(p)
	}
	return nil
}

// named are the instances that count as exceptions where the master does not name them: those that this round's pages named, and
// all where it names none whatever.
func (c comparison) named() (list []bridge.Row) {
	for _, row := range c.instances {
		if row.Round == c.round || c.master.ExceptionOccurrences == nil {
			list = append(list, row)
		}
	}
	return list
}

// agree reports whether the rows are what the master stands for, but for stale ones, which are of a schedule before.
func (c comparison) agree(fresh bool) (stale []bridge.Row, agree bool) {
	seen := map[convert.Span]bool{}
	for _, row := range c.instances {
		seen[row.Span] = seen[row.Span] || row.Round == c.round
	}
	// A master that does not tell what is cancelled: whatever its pages left out may be.
	silent := (c.master.ExceptionOccurrences == nil || c.master.CancelledOccurrences == nil) && fresh
	agree = true
	for _, row := range c.instances {
		inside := touches(row.Span, c.sure)
		switch {
		case row.Round == c.round:
			agree = agree && (c.stands[row.Span] || !inside)
			continue
		case silent && inside:
			agree = false
		}
		if !c.stands[row.Span] || seen[row.Span] { // the latter: on a day that the present schedule has too
			stale = append(stale, row)
		} else {
			seen[row.Span] = true
		}
	}
	for span := range c.stands {
		if touches(span, c.sure) && !seen[span] {
			agree = false
		}
	}
	return stale, agree
}

// replace puts the instances that Graph names in place of all rows. It is known to leave exceptions out of them now and then, as
// it does of the master: those that this round's pages named stay, unless the master says that they are cancelled.
func (c comparison) replace(p *mirrorPage, instances []graph.Event) {
	cancelled := map[string]bool{}
	for _, id := range c.master.CancelledOccurrences {
		cancelled[graph.OccurrenceDate(id)] = true
	}
	for _, row := range c.instances {
		e, err := eventOf(row)
		if row.Kind != bridge.KindException || row.Round != c.round || err != nil || cancelled[graph.OccurrenceDate(e.OccurrenceID)] {
			p.remove(row.ID)
		}
	}
	for _, e := range slices.Concat(c.master.ExceptionOccurrences, instances) {
		if e.ID == "" {
			continue
		}
		row := rowOf(e, c.round)
		row.Series = c.master.ID
		if row.Kind != bridge.KindException {
			row.Kind = bridge.KindOccurrence
		}
		if touches(row.Span, c.sure) {
			p.put(row)
		}
	}
	p.settle(c.master.ID, true)
}

// keepFresh takes what this round's pages named for the truth, if they named anything: there is no answer to be had.
func (c comparison) keepFresh(p *mirrorPage) {
	isFresh := func(row bridge.Row) bool { return row.Round == c.round }
	any := slices.ContainsFunc(c.instances, isFresh)
	for _, row := range c.instances {
		if any && !isFresh(row) {
			p.remove(row.ID)
		}
	}
	p.settle(c.master.ID, any)
}

// untold are the exceptions among the rows of a series that its master does not name: where Graph would not tell any, those of the
// window are all that is known, and else it may list one that it leaves out there.
func untold(master graph.Event, rows []bridge.Row) (list []graph.Event, err error) {
	told := map[graph.EventID]bool{}
	for _, e := range master.ExceptionOccurrences {
		told[e.ID] = true
	}
	for _, row := range rows {
		if row.Kind == bridge.KindException && !told[row.ID] {
			e, err := eventOf(row)
			if err != nil {
				return nil, err
			}
			list = append(list, e)
		}
	}
	return list, nil
}

// standsFor expands the object that a series would become, over its window. known is false where it cannot be.
func standsFor(s convert.Series) (spans map[convert.Span]bool, known bool) {
	cal, _, err := toICS(s)
	if errors.Is(err, convert.ErrNoInstances) {
		return nil, true
	}
	if err != nil {
		return nil, false
	}
	instances, err := (&ics.Reader{Resolve: convert.Zone}).Expand(cal, ics.Span(s.Window))
	if err != nil {
		return nil, false
	}
	spans = map[convert.Span]bool{}
	for _, i := range instances {
		spans[convert.Span{Start: i.Start.UTC(), End: i.End.UTC()}] = true
	}
	return spans, true
}
