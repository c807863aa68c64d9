//go:build load

package main_test

import (
	"fmt"
	"testing"
)

// A goal is what a figure of the program is to come to. Times are in µs of the server's processor.
//
// Machines differ, and the same one from hour to hour. So a time is held against the plain server's GET in the same run:
// where the goals were set it took yardstick, and a goal is that many times shorter or longer as it is here.
type goal struct {
	what     string
	figure   func(m *measured, server string) float64 // 0: not measured
	show     func(float64) string
	limit    func(m *measured) float64 // the limit measured in this run; nil: there is none
	most     float64                   // the goal; 0: there is none
	time     bool                      // it is a time
	headroom float64                   // the gate is so many times the goal; 0: no gate
	why      string                    // in the table, beside the goal
}

const (
	yardstick = 53.5 // µs, the middle of 47 and 60
	noisy     = 1.5  // headroom of times: the yardstick itself was from 0.88 to 1.12 of its middle, and caches of processors are shared
)

func timeOf(row string, most, headroom float64) goal {
	g := goal{what: row, show: micro, most: most, time: true, headroom: headroom}
	g.figure = func(m *measured, server string) float64 { return m.each(row, server) }
	g.limit = func(m *measured) float64 { return m.each(row, "plain net/http") }
	return g
}

func allocationsOf(row string, most, headroom float64) goal {
	return goal{what: row + ": allocations", show: count, most: most, headroom: headroom,
		figure: func(m *measured, server string) float64 { return m.allocations(row, server) },
		limit:  func(m *measured) float64 { return m.allocations(row, "plain net/http") }}
}

func codedOf(row string, most, headroom float64) goal {
	return goal{what: row + coded + ", compared with without", show: times, most: most, headroom: headroom,
		figure: func(m *measured, server string) float64 { return m.each(row+coded, server) / m.each(row, server) },
		limit:  func(m *measured) float64 { return m.each(row+coded, "plain net/http") / m.each(row, "plain net/http") }}
}

func count(f float64) string { return fmt.Sprintf("%.0f", f) }
func times(f float64) string { return fmt.Sprintf("%.2f×", f) }

const (
	rowGet   = "GET of one object"
	rowTag   = "ctag poll"
	rowSync  = "idle sync poll"
	rowMulti = "multiget of 100, warm, an object"
	rowMonth = "month query, warm"
	rowFirst = "first sync of a client, an object"
)

func servingGoals(list []*served) []goal {
	byName := map[string]*served{}
	for _, s := range list {
		byName[s.name] = s
	}
	graph := func(f func(graphSync) float64) func(*measured, string) float64 {
		return func(_ *measured, server string) float64 {
			if s := byName[server]; s != nil && s.world != nil {
				return f(s.graph)
			}
			return 0
		}
	}
	months := func(row string) goal {
		g := timeOf(row, 5000, noisy)
		g.what, g.limit = row+", at 10,000 objects", nil
		g.why = "in proportion to the objects"
		g.figure = func(m *measured, server string) float64 { return m.each(row, server) * 10000 / float64(servingObjects) }
		return g
	}
	firstCoded := timeOf(rowFirst+coded, 0, 0)
	return []goal{
		timeOf(rowGet, 65, noisy),
		{what: rowGet + ", answers a second by the wall, of nginx's", show: times, most: 0.5, why: "at least; no gate",
			figure: func(m *measured, server string) float64 {
				return m.second(rowGet, server) / m.second(rowGet, "nginx, files")
			},
			limit: func(m *measured) float64 {
				return m.second(rowGet, "plain net/http") / m.second(rowGet, "nginx, files")
			}},
		allocationsOf(rowGet, 0, 0),
		timeOf(rowTag, 65, noisy),
		allocationsOf(rowTag, 60, 1.1),
		timeOf(rowSync, 65, noisy),
		allocationsOf(rowSync, 60, 1.1),
		timeOf(rowMulti, 10, noisy),
		allocationsOf(rowMulti, 0, 0),
		timeOf(rowFirst, 20, noisy),
		allocationsOf(rowFirst, 15, 1.1),
		codedOf(rowGet, 1.15, 1.2),
		codedOf(rowTag, 1.15, 1.2),
		codedOf(rowSync, 1.15, 1.2),
		codedOf(rowMulti, 0, 0),
		firstCoded,
		timeOf(rowMonth, 0, 0),
		months(monthOfStart),
		months(monthOfNever),
		{what: "first sync with Graph, by the wall, of the plain download", show: times, most: 1.3, why: "no gate",
			figure: graph(func(g graphSync) float64 { return g.wall.Seconds() / g.download.Seconds() })},
		{what: "first sync with Graph, an event", show: micro,
			figure: graph(func(g graphSync) float64 { return float64(g.cpu.Microseconds()) / float64(servingObjects) })},
		{what: "database, an object", show: func(f float64) string { return fmt.Sprintf("%.1f kB", f) }, most: 15, headroom: 1,
			figure: func(m *measured, server string) float64 { return m.disk[server] }},
	}
}

// goals prints the table of before and after, and fails where a gate is passed.
func (m *measured) goals(t *testing.T, list []*served) {
	t.Helper()
	yard := m.each(rowGet, "plain net/http")
	fmt.Printf("\nThe plain server's GET takes %s, where %.1f µs are the yardstick of the goals.\n\n", micro(yard), yardstick)
	fmt.Println("| | before | after | limit measured | goal | goal here | gate |\n| --- | --- | --- | --- | --- | --- | --- |")
	cell := func(show func(float64) string, f float64) string {
		if f > 0 && f < 1e12 {
			return show(f)
		}
		return ""
	}
	var past []string
	for _, g := range servingGoals(list) {
		figure, limit, here := g.figure(m, "outbridge"), "", g.most
		if g.limit != nil {
			limit = cell(g.show, g.limit(m))
		}
		if g.time {
			here *= yard / yardstick
		}
		wanted := cell(g.show, g.most)
		if wanted != "" && g.why != "" {
			wanted += ", " + g.why
		}
		gate := here * g.headroom
		fmt.Printf("| %s | %s | %s | %s | %s | %s | %s |\n", g.what, cell(g.show, g.figure(m, "before")), cell(g.show, figure), limit, wanted,
			cell(g.show, here), cell(g.show, gate))
		if gate > 0 && figure > gate {
			past = append(past, fmt.Sprintf("%s: %s, which is past the gate of %s", g.what, g.show(figure), g.show(gate)))
		}
	}
	fmt.Println()
	for _, p := range past {
		t.Error(p)
	}
}
