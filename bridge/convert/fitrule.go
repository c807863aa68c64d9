package convert

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"outbridge/bridge/graph"
)

// fitted is a rule for the instances of a series that is known by these alone. Dates of the rule that are none of them are
// left out, and instances beside it are dates of it that are moved.
type fitted struct {
	pattern pattern
	dates   []time.Time             // clock times of the rule, in order
	gone    []time.Time             // those that are left out
	moved   map[time.Time]time.Time // those that are moved, and where to
	kept    map[time.Time]bool      // instances that are where the rule has them
	price   int                     // about the octets that gone and moved take, in lines
}

// A date that is left out is a line; a moved one is an event. There are no more dates left out than instances: a rule that has
// less to do with them than that is none.
const movedPrice, maxFitMoved = 5, 120

// fitting is the rule of the simple kinds, which all readers know, that gives some clock times, which are in order, with the fewest
// of them moved and dates left out. Those that are fixed cannot be moved. ok is false where none will do.
func fitting(starts []time.Time, fixed map[time.Time]bool) (best fitted, ok bool) {
	if len(starts) < 2 {
		return best, false
	}
	for _, candidate := range candidates(starts) {
		p, readable := readPattern(candidate, starts[0], func(string, string) {})
		if !readable {
			continue
		}
		if f, fits := fit1(p, starts, fixed); fits && (!ok || f.price < best.price) {
			best, ok = f, true
		}
		if ok && best.price == 0 {
			break
		}
	}
	return best, ok
}

// candidates are patterns that clock times may follow, those that take the fewest words first.
func candidates(starts []time.Time) (patterns []graph.RecurrencePattern) {
	first := starts[0]
	count := map[time.Weekday]int{}
	steps := map[int]int{} // days between two of them, and how often
	for i, t := range starts {
		count[t.Weekday()]++
		if i > 0 {
			steps[int(dateOf(t).Sub(dateOf(starts[i-1]))/day)]++
		}
	}
	most := slices.Max(slices.Collect(maps.Values(count)))
	names := func(from int) (list []string) {
		for name, d := range weekdays {
			if count[d] >= from || d == first.Weekday() {
				list = append(list, name)
			}
		}
		slices.Sort(list)
		return list
	}
	add := func(p graph.RecurrencePattern) {
		if p.Interval >= 1 && p.Interval <= maxInterval {
			patterns = append(patterns, p)
		}
	}
	often := slices.SortedFunc(maps.Keys(steps), func(a, b int) int {
		if d := steps[b] - steps[a]; d != 0 {
			return d
		}
		return a - b
	})
	for _, step := range often[:min(len(often), 3)] {
		if step%7 == 0 {
			add(graph.RecurrencePattern{Type: "weekly", Interval: step / 7, DaysOfWeek: names(len(starts) + 1), FirstDayOfWeek: "monday"})
		} else {
			add(graph.RecurrencePattern{Type: "daily", Interval: step})
		}
	}
	// Of each kind as often as the first two are apart, and as often as it comes.
	months := (starts[1].Year()-first.Year())*12 + int(starts[1].Month()) - int(first.Month())
	for weeks := 1; weeks <= 4 && len(starts) > 2; weeks++ {
		add(graph.RecurrencePattern{Type: "weekly", Interval: weeks, DaysOfWeek: names(1), FirstDayOfWeek: "monday"})
		add(graph.RecurrencePattern{Type: "weekly", Interval: weeks, DaysOfWeek: names((most + 1) / 2), FirstDayOfWeek: "monday"})
	}
	index := map[int]string{}
	for name, n := range nths {
		index[n] = name
	}
	for _, every := range slices.Compact([]int{months, 1}) {
		if first.Day() <= 28 {
			add(graph.RecurrencePattern{Type: "absoluteMonthly", Interval: every, DayOfMonth: first.Day()})
		}
		for _, n := range []int{(first.Day() + 6) / 7, -1} {
			if index[n] != "" {
				add(graph.RecurrencePattern{Type: "relativeMonthly", Interval: every, DaysOfWeek: names(len(starts) + 1), Index: index[n]})
			}
		}
	}
	if months%12 == 0 && first.Day() <= 28 {
		add(graph.RecurrencePattern{Type: "absoluteYearly", Interval: months / 12, Month: int(first.Month()), DayOfMonth: first.Day()})
	}
	return patterns
}

// fit1 fits a pattern to clock times.
func fit1(p pattern, starts []time.Time, fixed map[time.Time]bool) (f fitted, ok bool) {
	f = fitted{pattern: p, moved: map[time.Time]time.Time{}, kept: map[time.Time]bool{}}
	first, last := starts[0], dateOf(starts[len(starts)-1])
	clock := first.Sub(dateOf(first))
	if !p.hits(dateOf(first)) {
		return f, false
	}
	wanted := make(map[time.Time]bool, len(starts))
	for _, t := range starts {
		wanted[t] = true
	}
	for t := range p.dates(dateOf(first), false) {
		at := t.Add(clock)
		if wanted[at] {
			f.kept[at] = true
		} else {
			f.gone = append(f.gone, at)
		}
		// There are as many dates as instances at least, for those that are beside the rule.
		if f.dates = append(f.dates, at); !t.Before(last) && len(f.dates) >= len(starts) {
			break
		}
		if len(f.dates) > maxExtra || len(f.gone) > len(starts)+len(starts)/2 {
			return f, false
		}
	}
	for _, t := range starts {
		if f.kept[t] {
			continue
		}
		nearest := -1
		for i, g := range f.gone {
			if nearest < 0 || g.Sub(t).Abs() < f.gone[nearest].Sub(t).Abs() {
				nearest = i
			}
		}
		if nearest < 0 || fixed[t] || len(f.moved) == maxFitMoved {
			return f, false
		}
		f.moved[f.gone[nearest]] = t
		f.gone = slices.Delete(f.gone, nearest, nearest+1)
	}
	// None is moved past another.
	from, to := slices.SortedFunc(maps.Keys(f.moved), time.Time.Compare), slices.SortedFunc(maps.Values(f.moved), time.Time.Compare)
	for i := range from {
		f.moved[from[i]] = to[i]
	}
	// Dates that come after all that is there say nothing.
	for len(f.gone) > 0 && f.gone[len(f.gone)-1].Equal(f.dates[len(f.dates)-1]) {
		f.gone, f.dates = f.gone[:len(f.gone)-1], f.dates[:len(f.dates)-1]
	}
	f.price = len(f.gone) + movedPrice*len(f.moved)
	return f, len(f.gone) <= len(starts)
}

// rule is the RRULE, with so many dates before the first instance.
func (f fitted) rule(lead int) string {
	return f.pattern.rule(false, fmt.Sprintf(";COUNT=%d", len(f.dates)+lead))
}
