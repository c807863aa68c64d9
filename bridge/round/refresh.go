package round

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// lateTries is how often Graph is asked for an event until it shows the write that was just done, and firstWait the time before the
// second try, which doubles with each.
const (
	lateTries = 4
	firstWait = 250 * time.Millisecond
)

// ErrLate: Graph goes on to answer with a series as it was before the last write to it. The series is marked: a round shows it
// once Graph does.
var ErrLate = errors.New("Graph does not show yet what was written to it")

// Known is a series that was written to, and what is known of it.
type Known struct {
	Series graph.EventID
	// Event is what Graph answered to the last write, if that was a create or an update of the event itself. It saves reading a single
	// event, and a new series with its times in its own zone (see graph.MasterRef), since that has no exceptions yet. Nil: none.
	Event *graph.Event
	// Gone: Graph has answered that it is deleted, or that there is none.
	Gone bool
	// Attached: files were added to it or taken away, so Graph is asked for these whatever the event says.
	Attached bool
	// Resets: times or rule of a series are others, so that all its occurrences are, and what the mirror has of them is nothing to
	// go by. So it is with every new series.
	Resets bool
}

// Refreshed is what has become of a series.
type Refreshed struct {
	Series graph.EventID
	Event  graph.Event    // as Graph has it, a master with its exceptions and cancellations; zero where it is gone
	Gone   bool           // it is not in this calendar any more
	Object *bridge.Object // as clients see it; nil: they do not
}

// Refresh reads series of a calendar by their ids, mirrors and publishes them, and nothing else: for whoever has written to them. It
// waits for no round. What comes out is in the order asked. A later page that names what it has read changes nothing.
//
// It costs one request for any twenty series, and one after it for what turns out to be of another kind or in another zone. The
// occurrences of a series are asked for only where something else than the write has made them others than the mirror has: those of a
// rule that was just written are what the rule gives, until a page names them. The error is ErrLate where Graph does not show the write yet; what was
// answered is published nevertheless.
func (r *Runner) Refresh(ctx context.Context, m Mailbox, c bridge.Calendar, series ...graph.EventID) ([]Refreshed, error) {
	list := make([]Known, len(series))
	for i, id := range series {
		list[i].Series = id
	}
	return r.RefreshKnown(ctx, m, c, list...)
}

// RefreshKnown is Refresh for series of which something is known.
func (r *Runner) RefreshKnown(ctx context.Context, m Mailbox, c bridge.Calendar, list ...Known) ([]Refreshed, error) {
	one, err := r.alone(ctx, m, c)
	if err != nil {
		return nil, err
	}
	f := &refresher{calendarRound: one, list: list, out: make([]Refreshed, len(list)), listed: map[graph.EventID]bool{}}
	return f.out, f.do(ctx)
}

// Show publishes series as the mirror has them, with what clients have written beside Outlook: Graph is not asked, but where the
// mirror waits for it to tell more of them.
func (r *Runner) Show(ctx context.Context, m Mailbox, c bridge.Calendar, series ...graph.EventID) error {
	one, err := r.alone(ctx, m, c)
	if err != nil {
		return err
	}
	var open []Known
	err = one.again(ctx, func(ctx context.Context) error {
		open = nil
		marks, err := one.store.MarksOf(ctx, one.cal.ID, series)
		if err != nil {
			return err
		}
		var whole []bridge.Mark
		for _, id := range series {
			switch mark, ok := marks[id]; {
			case ok && mark.Stage > bridge.StageDerive:
				open = append(open, Known{Series: id})
			case ok:
				whole = append(whole, mark)
			}
		}
		return one.deriver.stage(ctx, whole, false)
	})
	if err == nil {
		err = one.show(ctx, series)
	}
	if err == nil && len(open) > 0 {
		_, err = r.RefreshKnown(ctx, m, c, open...)
	}
	return err
}

// alone is what works on a calendar outside of its rounds.
func (r *Runner) alone(ctx context.Context, m Mailbox, c bridge.Calendar) (*calendarRound, error) {
	all, err := r.Store.Calendars(ctx, c.Account)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(now bridge.Calendar) bool { return now.ID == c.ID && now.Epoch == c.Epoch })
	if i < 0 {
		return nil, fmt.Errorf("calendar %d: %w", c.ID, bridge.ErrNotFound)
	}
	a, err := r.Store.AccountByID(ctx, c.Account)
	if err != nil {
		return nil, err
	}
	if !r.Settings {
		a.Settings = bridge.Settings{}
	}
	one := r.calendarRound(ctx, m, all[i], all, a.Addresses(all), a.Settings)
	one.deriver.tell, one.mirror.tell = silent, silent
	one.deriver.keepPast = true
	return one, nil
}

func silent(string, int, int) {}

// show publishes what is staged of some series.
func (r *calendarRound) show(ctx context.Context, series []graph.EventID) error {
	if len(series) == 0 {
		return nil
	}
	changed, _, err := r.deriver.Publish(ctx, series...)
	if changed > 0 && r.options.published != nil {
		r.options.published(r.cal.ID)
	}
	return err
}

// refresher brings series that were written to up to date.
type refresher struct {
	*calendarRound
	list   []Known
	out    []Refreshed
	late   []graph.EventID        // what Graph shows as it was before
	left   map[graph.EventID]bool // what a round is to read
	failed error                  // what could not be read
	before []*reading             // of the try before
	listed map[graph.EventID]bool // Graph was asked what is attached to them
}

func (f *refresher) do(ctx context.Context) error {
	ids := make([]graph.EventID, len(f.list))
	for i, k := range f.list {
		ids[i] = k.Series
		f.out[i].Series = k.Series
	}
	if len(ids) == 0 {
		return nil
	}
	mirrored := false
	err := f.again(ctx, func(ctx context.Context) error {
		if mirrored {
			// Somebody has written to the mirror since. If that was about these, they are to be read once more.
			marks, err := f.store.MarksOf(ctx, f.cal.ID, ids)
			if err != nil {
				return err
			}
			for _, id := range ids {
				mirrored = mirrored && (marks[id].Stage <= bridge.StageDerive || f.left[id] && marks[id].Stage == bridge.StageRead)
			}
		}
		if !mirrored {
			if err := f.mirrorNow(ctx, ids); err != nil {
				return err
			}
			mirrored = true
		}
		return f.stage(ctx, ids)
	})
	if err != nil {
		return err
	}
	if err := f.show(ctx, ids); err != nil {
		return err
	}
	for i := range f.out {
		o, err := f.deriver.store.SeriesObject(ctx, f.cal.ID, f.out[i].Series)
		switch {
		case err == nil:
			f.out[i].Object = &o
		case !errors.Is(err, bridge.ErrNotFound):
			return err
		}
	}
	if len(f.late) > 0 {
		return errors.Join(f.failed, fmt.Errorf("series %s: %w", f.late[0], ErrLate))
	}
	return f.failed
}

// stage makes the objects of those that are mirrored. What is to be read by a round stays marked for that.
func (f *refresher) stage(ctx context.Context, ids []graph.EventID) error {
	always := map[graph.EventID]bool{}
	for _, k := range f.list {
		always[k.Series] = k.Attached && !f.listed[k.Series]
	}
	if err := (attachments{f.mirror, f.deriver}).of(ctx, ids, always); err != nil {
		return err
	}
	for id := range always {
		f.listed[id] = true
	}
	marks, err := f.store.MarksOf(ctx, f.cal.ID, ids)
	if err != nil {
		return err
	}
	var settled, open []bridge.Mark
	for _, id := range ids {
		switch mark := marks[id]; {
		case slices.Contains(f.late, id) || mark.Series == "":
		case mark.Stage > bridge.StageDerive:
			mark.Complete = false
			open = append(open, mark)
		default:
			settled = append(settled, mark)
		}
	}
	if err := f.deriver.stage(ctx, settled, false); err != nil {
		return err
	}
	return f.deriver.stage(ctx, open, true)
}

// mirrorNow reads the series and writes them to the mirror.
func (f *refresher) mirrorNow(ctx context.Context, ids []graph.EventID) error {
	fences, err := f.fences(ctx, ids)
	if err != nil {
		return err
	}
	elsewhere, err := f.store.Elsewhere(ctx, f.cal.ID, ids)
	if err != nil {
		return err
	}
	marks, err := f.store.MarksOf(ctx, f.cal.ID, ids)
	if err != nil {
		return err
	}
	all := make([]*reading, len(f.list))
	for i, k := range f.list {
		all[i] = &reading{known: k, mark: marks[k.Series]}
		if all[i].rows, err = f.store.SeriesRows(ctx, f.cal.ID, k.Series); err != nil {
			return err
		}
		// Who has written to other series of the mirror has not made older what was read of this one.
		if i < len(f.before) && f.before[i].isAsItWas(all[i]) {
			all[i].res, all[i].read = f.before[i].res, true
		}
	}
	f.before = nil
	if err := f.read(ctx, all, fences); err != nil {
		return err
	}
	f.before = all
	p, fresh := newPage(), map[graph.EventID]graph.EventID{}
	f.late, f.left, f.failed = nil, map[graph.EventID]bool{}, nil
	for i, one := range all {
		f.failed = errors.Join(f.failed, f.take(ctx, p, one, &f.out[i], fences, elsewhere))
		if len(one.rows) == 0 && !f.out[i].Gone {
			fresh[one.known.Series] = one.known.Series
		}
	}
	if err := f.arrive(ctx, p, fresh); err != nil {
		return err
	}
	return f.write(ctx, p)
}

// take puts one series, as it was read, into a page.
func (f *refresher) take(ctx context.Context, p *mirrorPage, one *reading, out *Refreshed, fences fences, elsewhere map[graph.EventID]bridge.CalendarID) error {
	id := one.known.Series
	out.Event, out.Gone = graph.Event{}, false
	late := one.isLate(fences)
	switch {
	case isGone(one.res.Err), errors.Is(one.res.Err, errNotListed), one.res.Err == nil && fences.isGone(id) && fences.isOlder(one.event(), bridge.Row{}):
		out.Gone = true
		p.drop(id, one.rows)
		return nil
	case one.res.Err != nil:
		return one.res.Err
	case late:
		f.late = append(f.late, id)
		p.askOf(rowOf(one.event(), 0))
		return nil
	}
	e := one.event()
	here, err := f.siblings.isHere(ctx, e, true, elsewhere)
	if err != nil {
		return err
	}
	if !here {
		out.Gone = true
		p.drop(id, one.rows)
		return nil
	}
	out.Event = e
	row := rowOf(e, f.cal.Round)
	if row.Kind == bridge.KindMaster {
		if err := f.lower(ctx, fences, e); err != nil {
			return err
		}
		return f.series(ctx, p, one, row, fences)
	}
	for _, have := range one.rows {
		p.remove(have.ID)
		if have.ID == id && have.Kind == bridge.KindOrphan {
			row.Kind = bridge.KindOrphan
		}
	}
	if row.IsInstance() {
		row.Kind = bridge.KindOrphan
	}
	row.Series = id
	p.put(row)
	p.mark(id, bridge.StageDerive)
	return nil
}

// series puts a master and what is known of its occurrences. Rows of before the write stay where the master, with its exceptions,
// stands for them. Where it stands for others as well, these are what was just written, or else Graph is asked for the instances;
// while it does not tell, or tells of before, the object is what the rule gives, and a round reads the series.
func (f *refresher) series(ctx context.Context, p *mirrorPage, one *reading, row bridge.Row, fences fences) error {
	e := one.event()
	p.put(row)
	told := f.exceptions(e)
	for _, x := range told {
		p.put(x)
	}
	c := comparison{master: e, round: never, sure: sure(f.cal.Window), instances: told}
	for _, r := range one.rows {
		switch {
		case r.ID == row.ID || slices.ContainsFunc(told, func(x bridge.Row) bool { return x.ID == r.ID }):
		case one.known.Resets: // which gives occurrences other ids
			p.remove(r.ID)
		case r.Kind == bridge.KindOccurrence, r.Kind == bridge.KindException && e.ExceptionOccurrences == nil:
			c.instances = append(c.instances, r)
		default: // the master does not have it any more
			p.remove(r.ID)
		}
	}
	s := f.deriver.newSeries()
	s.Event = e
	var err error
	if s.Exceptions, err = untold(e, c.instances); err != nil {
		return err
	}
	known := false
	c.stands, known = standsFor(s)
	stale, agree := c.agree(false)
	for _, r := range stale {
		p.remove(r.ID)
	}
	if known && agree {
		p.settle(e.ID, !f.cal.Window.Start.IsZero())
		return nil
	}
	if known && (one.known.Resets || len(one.rows) == 0) && isExact(s) {
		f.leave(p, e.ID, one.mark)
		return nil
	}
	instances, err := f.graph.Instances(ctx, f.cal.GraphID, e.ID, f.cal.Window.Start, f.cal.Window.End)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil || !(known && c.isWhole(instances)) && areOlder(instances, e, fences.of[e.ID]) {
		f.leave(p, e.ID, one.mark)
		return nil
	}
	for _, r := range c.instances {
		p.remove(r.ID)
	}
	c.round, c.instances = f.cal.Round, nil
	c.replace(p, instances)
	return nil
}

// leave has the next round read a series whose occurrences the mirror lacks, after it has been told of them.
func (f *refresher) leave(p *mirrorPage, series graph.EventID, was bridge.Mark) {
	p.marks[series] = bridge.Mark{Series: series, Stage: bridge.StageRead, Complete: was.Complete}
	f.left[series] = true
}

// isExact reports whether the rule of a series and its zone are taken over as they are.
func isExact(s convert.Series) bool {
	_, losses, err := toICS(s)
	return err == nil && !slices.ContainsFunc(losses, func(l convert.Loss) bool {
		return l.Event == s.Event.ID && (l.Field == "recurrence" || strings.Contains(strings.ToLower(l.Field), "timezone"))
	})
}

// never is a round in which nothing was named.
const never = -1

// exceptions are the rows of the exceptions that a master tells, in the window.
func (f *refresher) exceptions(master graph.Event) (list []bridge.Row) {
	for _, e := range master.ExceptionOccurrences {
		row := rowOf(e, f.cal.Round)
		row.Series, row.Kind = master.ID, bridge.KindException
		if e.ID != "" && touches(row.Span, f.cal.Window) {
			list = append(list, row)
		}
	}
	return list
}

// isWhole reports whether instances are just those that the master stands for, where a listing is the truth.
func (c comparison) isWhole(instances []graph.Event) bool {
	seen := map[convert.Span]bool{}
	for _, e := range slices.Concat(c.master.ExceptionOccurrences, instances) {
		if span := convert.SpanOf(e); touches(span, c.sure) {
			seen[span] = true
		}
	}
	for span := range seen {
		if !c.stands[span] {
			return false
		}
	}
	for span := range c.stands {
		if touches(span, c.sure) && !seen[span] {
			return false
		}
	}
	return true
}

// areOlder reports whether instances are, or may be, as they were before the last write to their series: the plain ones have the
// time of their master.
func areOlder(instances []graph.Event, master graph.Event, fence bridge.Fence) bool {
	since := fence.At
	if at, err := modified(master); err == nil && at.Before(since) {
		since = at
	}
	return !since.IsZero() && slices.ContainsFunc(instances, func(e graph.Event) bool {
		at, err := modified(e)
		return e.Type == graph.Occurrence && err == nil && at.Before(since)
	})
}
