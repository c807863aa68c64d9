package convert

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// fittingRule is an RRULE that gives exactly these clock times, which are in order, "" where there is none of the simple kinds
// that all readers know.
func fittingRule(starts []time.Time) string {
	if len(starts) < 2 {
		return ""
	}
	first, last := starts[0], starts[len(starts)-1]
	dates := make([]time.Time, len(starts))
	days := map[time.Weekday]bool{}
	for i, t := range starts {
		if t.Sub(dateOf(t)) != first.Sub(dateOf(first)) {
			return ""
		}
		dates[i] = dateOf(t)
		days[t.Weekday()] = true
	}
	step := int(dates[1].Sub(dates[0]) / day)
	months := (dates[1].Year()-first.Year())*12 + int(dates[1].Month()) - int(first.Month())
	var names []string
	for name, d := range weekdays {
		if days[d] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	index := func(nth int) string {
		for name, n := range nths {
			if n == nth {
				return name
			}
		}
		return ""
	}
	nth := (first.Day() + 6) / 7
	patterns := []graph.RecurrencePattern{{Type: "daily", Interval: step}}
	if step%7 == 0 {
		patterns = []graph.RecurrencePattern{{Type: "weekly", Interval: step / 7, DaysOfWeek: names}}
	}
	for weeks := 1; weeks <= 4 && len(starts) > 2; weeks++ {
		patterns = append(patterns, graph.RecurrencePattern{Type: "weekly", Interval: weeks, DaysOfWeek: names, FirstDayOfWeek: "monday"})
	}
	if months > 0 && first.Day() <= 28 {
		patterns = append(patterns, graph.RecurrencePattern{Type: "absoluteMonthly", Interval: months, DayOfMonth: first.Day()})
	}
	for _, n := range []int{nth, -1} {
		if months > 0 && index(n) != "" {
			patterns = append(patterns, graph.RecurrencePattern{Type: "relativeMonthly", Interval: months, DaysOfWeek: names, Index: index(n)})
		}
	}
	if months > 0 && months%12 == 0 && first.Day() <= 28 {
		patterns = append(patterns, graph.RecurrencePattern{Type: "absoluteYearly", Interval: months / 12, Month: int(first.Month()), DayOfMonth: first.Day()})
	}
	for _, candidate := range patterns {
		if candidate.Interval < 1 || candidate.Interval > maxInterval || strings.HasPrefix(candidate.Type, "relative") && len(names) > 1 {
			continue
		}
		p, ok := readPattern(candidate, first, func(string, string) {})
		if ok && slices.EqualFunc(dates, until(p, dates[0], dateOf(last)), time.Time.Equal) {
			return p.rule(false, fmt.Sprintf(";COUNT=%d", len(starts)))
		}
	}
	return ""
}

// until are the dates of a pattern from first to last.
func until(p pattern, first, last time.Time) (out []time.Time) {
	if !p.hits(first) {
		return nil
	}
	for t := range p.dates(first, false) {
		if t.After(last) || len(out) > maxExtra {
			break
		}
		out = append(out, t)
	}
	return out
}
