package round

import (
	"context"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// ahead makes the objects of single events before the page that names them is written, so that they are staged with it. It is for the
// first round of a calendar: while nothing is published, and nothing is written by clients, such an object depends on its event alone.
// What else it may depend on is left to the Deriver, and so are series: they stay marked.
type ahead struct{ deriver *Deriver }

// newAhead is one for the pages that follow a cursor; nil where there is more to an object.
func newAhead(d *Deriver, at bridge.Cursor) *ahead {
	if d.cal.Rev != 0 || d.cal.Written || at.Phase != bridge.PhaseOpening {
		return nil
	}
	own := *d
	own.current = &current{cal: d.cal, log: d.log} // the other one changes while this is at work
	own.cal.Window = at.Window
	return &ahead{&own}
}

// drafts are the objects of the single events of a page.
func (a *ahead) drafts(events []graph.Event) map[graph.EventID]draft {
	if a == nil {
		return nil
	}
	drafts := make(map[graph.EventID]draft, len(events))
	for _, e := range events {
		if one, ok := a.draft(e); ok {
			drafts[e.ID] = one
		} else {
			delete(drafts, e.ID)
		}
	}
	return drafts
}

func (a *ahead) draft(e graph.Event) (one draft, ok bool) {
	if e.ID == "" || e.Removed != nil || e.Recurrence != nil || rowOf(e, 0).Kind != bridge.KindSingle {
		return one, false
	}
	s := a.deriver.newSeries()
	s.Event = e
	s.Scheduling = mails(a.deriver.policy, e)
	if a.deriver.attach(&s, nil) { // Graph is to be asked first
		return one, false
	}
	one.Series = e.ID
	one.convert(s)
	return one, one.render(a.deriver.cal, false) == nil
}

// stageWith puts into a page what was made of those events of it that are taken as they are, in place of their marks. Where the
// account has had one's UID elsewhere, there is more to its SEQUENCE.
func (d *Deriver) stageWith(ctx context.Context, p *mirrorPage, drafts map[graph.EventID]draft) error {
	var uids []string
	for id, one := range drafts {
		if p.marks[id] != (bridge.Mark{Series: id, Stage: bridge.StageDerive}) {
			delete(drafts, id)
			continue
		}
		uids = append(uids, one.uids()...)
	}
	if len(drafts) == 0 {
		return nil
	}
	elsewhere, err := d.store.PastElsewhere(ctx, d.cal.ID, uids)
	if err != nil {
		return err
	}
	for _, one := range drafts {
		known := false
		for _, uid := range one.uids() {
			known = known || elsewhere[uid]
		}
		if !known {
			p.derive(one.outcome())
		}
	}
	return nil
}

// takeBack undoes what was made ahead of the events of a calendar that have a UID in common: one after another is given its own.
func (d *Deriver) takeBack(ctx context.Context) error {
	d.staging.Lock()
	defer d.staging.Unlock()
	return d.store.TakeBack(ctx, d.cal.ID)
}
