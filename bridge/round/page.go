package round

import (
	"slices"
	"strings"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// page gathers one MirrorPage; what is put later replaces what was put before.
type page struct {
	cal    bridge.CalendarID
	rows   map[graph.EventID]bridge.Row
	gone   map[graph.EventID]bool
	marks  map[graph.EventID]bridge.Mark
	cursor *bridge.Cursor
}

func newPage(c bridge.Calendar) *page {
	return &page{cal: c.ID, rows: map[graph.EventID]bridge.Row{}, gone: map[graph.EventID]bool{}, marks: map[graph.EventID]bridge.Mark{}}
}

func (p *page) put(r bridge.Row) {
	p.rows[r.ID] = r
	delete(p.gone, r.ID)
}

func (p *page) remove(id graph.EventID) {
	p.gone[id] = true
	delete(p.rows, id)
}

func (p *page) mark(series graph.EventID, stage int) {
	p.marks[series] = bridge.Mark{Series: series, Stage: stage}
}

// take puts a row and marks what is next for its series: a master and its occurrences are to be read, all else is whole.
func (p *page) take(r bridge.Row) {
	p.put(r)
	if r.Kind == bridge.KindSingle {
		p.mark(r.Series, bridge.StageDerive)
	} else {
		p.mark(r.Series, bridge.StageRead)
	}
}

// doubt has a row that a listing does not name asked for anew: an event by its id, an occurrence by its series.
func (p *page) doubt(r bridge.Row) {
	if r.IsInstance() {
		p.remove(r.ID)
		p.mark(r.Series, bridge.StageRead)
		return
	}
	p.mark(r.ID, bridge.StageAsk)
}

// drop removes rows of a series, so that what is left of it is derived.
func (p *page) drop(series graph.EventID, rows []bridge.Row) {
	for _, r := range rows {
		p.remove(r.ID)
	}
	p.mark(series, bridge.StageDerive)
}

func (p *page) build(seq int64) bridge.MirrorPage {
	m := bridge.MirrorPage{Calendar: p.cal, Seq: seq, Cursor: p.cursor}
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
	slices.SortFunc(m.Marks, func(a, b bridge.Mark) int { return strings.Compare(string(a.Series), string(b.Series)) })
	return m
}
