package round

import (
	"slices"
	"strings"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// mirrorPage gathers one bridge.MirrorPage; what is put later replaces what was put before.
type mirrorPage struct {
	rows   map[graph.EventID]bridge.Row
	gone   map[graph.EventID]bool
	marks  map[graph.EventID]bridge.Mark
	cursor *bridge.Cursor
	asks   map[bridge.CalendarID][]graph.EventID
	// derived are series that are clean with this page, in place of their marks.
	derived []bridge.Derived
}

func newPage() *mirrorPage {
	return &mirrorPage{rows: map[graph.EventID]bridge.Row{}, gone: map[graph.EventID]bool{}, marks: map[graph.EventID]bridge.Mark{},
		asks: map[bridge.CalendarID][]graph.EventID{}}
}

func (p *mirrorPage) put(r bridge.Row) {
	p.rows[r.ID] = r
	delete(p.gone, r.ID)
}

func (p *mirrorPage) remove(id graph.EventID) {
	p.gone[id] = true
	delete(p.rows, id)
}

func (p *mirrorPage) mark(series graph.EventID, stage int) {
	p.marks[series] = bridge.Mark{Series: series, Stage: stage}
}

// settle marks a series whose rows are known. complete: they are all that Outlook shows of it in the window.
func (p *mirrorPage) settle(series graph.EventID, complete bool) {
	p.marks[series] = bridge.Mark{Series: series, Stage: bridge.StageDerive, Complete: complete}
}

// take puts a row that Graph has named and marks what is next for its series: a master and its occurrences are to be read, all
// else is whole.
func (p *mirrorPage) take(r bridge.Row) {
	p.put(r)
	if r.Kind == bridge.KindSingle {
		p.mark(r.Series, bridge.StageDerive)
	} else {
		p.marks[r.Series] = bridge.Mark{Series: r.Series, Stage: bridge.StageRead, Complete: true}
	}
}

// derive puts what has become of a series whose object was made ahead.
func (p *mirrorPage) derive(d bridge.Derived) {
	delete(p.marks, d.Series)
	p.derived = append(p.derived, d)
}

// asListed settles a series that Graph lists and does not show by its id: its rows are all that is known of it.
func (p *mirrorPage) asListed(series graph.EventID, complete bool) {
	p.marks[series] = bridge.Mark{Series: series, Stage: bridge.StageDerive, Complete: complete, Unread: true}
}

// askIn has another calendar, which mirrors some series too, ask whether it still has them.
func (p *mirrorPage) askIn(elsewhere map[graph.EventID]bridge.CalendarID, fresh map[graph.EventID]graph.EventID) {
	for id, cal := range elsewhere {
		if series := fresh[id]; !slices.Contains(p.asks[cal], series) {
			p.asks[cal] = append(p.asks[cal], series)
		}
	}
}

// askAgain has a row asked for that may not be as Outlook has it now: an event by its id, what is of a series by that.
func (p *mirrorPage) askAgain(r bridge.Row) {
	switch r.Kind {
	case bridge.KindSingle, bridge.KindOrphan:
		p.mark(r.ID, bridge.StageAsk)
	default:
		p.mark(r.Series, bridge.StageRead)
	}
}

// askOf has an event asked for that Graph has named and that is not taken as it was named: by its id, or what is of a series by
// that.
func (p *mirrorPage) askOf(r bridge.Row) {
	if r.Kind == bridge.KindSingle {
		p.mark(r.ID, bridge.StageAsk)
	} else if p.marks[r.Series].Stage < bridge.StageRead {
		p.marks[r.Series] = bridge.Mark{Series: r.Series, Stage: bridge.StageRead, Complete: true}
	}
}

// doubt has a row that a listing does not name asked for again: an event by its id, an occurrence by its series.
func (p *mirrorPage) doubt(r bridge.Row) {
	if !r.IsInstance() {
		p.mark(r.ID, bridge.StageAsk)
		return
	}
	p.remove(r.ID)
	if p.marks[r.Series].Stage < bridge.StageRead { // else what was said of the series itself tells more
		p.mark(r.Series, bridge.StageRead)
	}
}

// drop removes rows of a series, so that what is left of it is derived.
func (p *mirrorPage) drop(series graph.EventID, rows []bridge.Row) {
	for _, r := range rows {
		p.remove(r.ID)
	}
	p.mark(series, bridge.StageDerive)
}

func (p *mirrorPage) build(id bridge.CalendarID, seq int64) bridge.MirrorPage {
	m := bridge.MirrorPage{Calendar: id, Seq: seq, Cursor: p.cursor, Asks: p.asks, Derived: p.derived}
	for _, r := range p.rows {
		m.Rows = append(m.Rows, r)
	}
	for id := range p.gone {
		m.Gone = append(m.Gone, id)
	}
	for _, k := range p.marks {
		m.Marks = append(m.Marks, k)
	}
	// In order of id, so that the same page is always the same writes.
	slices.SortFunc(m.Rows, func(a, b bridge.Row) int { return strings.Compare(string(a.ID), string(b.ID)) })
	slices.Sort(m.Gone)
	slices.SortFunc(m.Derived, func(a, b bridge.Derived) int { return strings.Compare(string(a.Series), string(b.Series)) })
	slices.SortFunc(m.Marks, func(a, b bridge.Mark) int { return strings.Compare(string(a.Series), string(b.Series)) })
	return m
}
