package web

import (
	"fmt"
	"slices"
)

const (
	slot     = 30 // minutes in a row
	maxLanes = 4  // events side by side in a day; any more are only in the list
	columns  = 12 // table columns for each day, however many lanes it has, so that all days are equally wide
	fromSlot = 8 * 60 / slot
	toSlot   = 18 * 60 / slot // rows from fromSlot to toSlot are always shown
)

// viewGrid is a week as a table: a row for each half hour, and in each day as many lanes as it has events at the same time.
type viewGrid struct {
	Days []gridDay
	Rows []gridRow
}

type gridDay struct {
	Day    viewDay
	AllDay []viewEvent
	More   int // events that are only in the list
}

type gridRow struct {
	Label string // "09:00"; "" for half hours
	Cells []gridCell
}

// gridCell is an event, or an empty space.
type gridCell struct {
	Event         *viewEvent
	Rows, Columns int
	First         bool // in its day
}

// Columns is how many table columns a day has.
func (*viewGrid) Columns() int { return columns }

// gridOf places events by the clock, as Outlook does on days when summer time begins or ends.
func gridOf(days []viewDay) *viewGrid {
	g := &viewGrid{}
	type taken struct {
		event *viewEvent
		from  int
	}
	lanes := make([][][]taken, len(days)) // by day, lane and slot
	first, last := fromSlot, toSlot
	for i, d := range days {
		column := gridDay{Day: d}
		for _, e := range d.Events {
			if e.AllDay {
				if len(column.AllDay) < maxInCell {
					column.AllDay = append(column.AllDay, e)
				} else {
					column.More++
				}
				continue
			}
			from := e.from / slot
			to := max(min((e.to+slot-1)/slot, 24*60/slot), from+1)
			lane := slices.IndexFunc(lanes[i], func(lane []taken) bool {
				return !slices.ContainsFunc(lane[from:to], func(t taken) bool { return t.event != nil })
			})
			if lane < 0 {
				if lane = len(lanes[i]); lane == maxLanes {
					column.More++
					continue
				}
				lanes[i] = append(lanes[i], make([]taken, 24*60/slot))
			}
			for s := from; s < to; s++ {
				lanes[i][lane][s] = taken{&e, from}
			}
			first, last = min(first, from), max(last, to)
		}
		g.Days = append(g.Days, column)
	}
	first -= first % 2
	last += last % 2
	for s := first; s < last; s++ {
		var row gridRow
		if s%2 == 0 {
			row.Label = fmt.Sprintf("%02d:00", s*slot/60)
		}
		for i := range days {
			if len(lanes[i]) == 0 {
				row.Cells = append(row.Cells, gridCell{Rows: 1, Columns: columns, First: true})
				continue
			}
			width := columns / len(lanes[i])
			for l, lane := range lanes[i] {
				at := lane[s]
				switch {
				case at.event != nil && at.from == s:
					rows := 1
					for s+rows < last && lane[s+rows].event == at.event {
						rows++
					}
					row.Cells = append(row.Cells, gridCell{Event: at.event, Rows: rows, Columns: width, First: l == 0})
				case at.event != nil:
				case l > 0 && lanes[i][l-1][s].event == nil:
					row.Cells[len(row.Cells)-1].Columns += width
				default:
					row.Cells = append(row.Cells, gridCell{Rows: 1, Columns: width, First: l == 0})
				}
			}
		}
		g.Rows = append(g.Rows, row)
	}
	return g
}
