package convert

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/emersion/go-ical"
)

// fuzzy is how far inside the window the comparison with Graph's occurrences begins and ends: the edges of a
// calendarView take in or miss an all-day event by the offset of whoever made it.
const fuzzy = 2 * day

// maxMoved is how many instances a year may be mended one by one, such as those in the hour that summer time skips.
const maxMoved = 4

// choose is the first plan whose instances in the window are those that Graph lists. Where none is, the first that
// can be mended by leaving instances out and moving a few; at last the listed instances themselves.
func (c *conversion) choose(m *master, plans []plan) plan {
	span := Span{c.Window.Start.Add(fuzzy), c.Window.End.Add(-fuzzy)}
	if c.Occurrences == nil || c.Window.Start.IsZero() || !span.Start.Before(span.End) {
		return plans[0]
	}
	var listed []Span
	for _, s := range c.Occurrences {
		if span.holds(s.Start) {
			listed = append(listed, Span{s.Start, s.End})
		}
	}
	for _, p := range plans {
		wrong, missing, err := c.compare(m, p, span, listed)
		if err == nil && len(wrong) == 0 && len(missing) == 0 {
			return p
		}
	}
	for _, p := range plans {
		wrong, missing, err := c.compare(m, p, span, listed)
		if err != nil || !p.mend(m, wrong, missing, span) {
			continue
		}
		if wrong, missing, err = c.compare(m, p, span, listed); err == nil && len(wrong) == 0 && len(missing) == 0 {
			return p
		}
	}
	return c.spell(m, "The recurrence does not give the occurrences that Outlook shows")
}

// holds is whether t is in the span.
func (s Span) holds(t time.Time) bool { return !t.Before(s.Start) && t.Before(s.End) }

// dates is the span of an all-day instance by its dates, at midnight UTC.
func (s Span) dates() Span {
	round := func(t time.Time) time.Time {
		if h, m, sec := t.Clock(); h == 0 && m == 0 && sec == 0 {
			return dateOf(t)
		}
		return dateOf(t.UTC().Add(day / 2))
	}
	return Span{round(s.Start), round(s.End)}
}

// is whether s is the time of w.
func (w when) is(s Span) bool {
	if w.allDay {
		s = s.dates()
	}
	return w.start.Equal(s.Start) && w.end.Equal(s.End)
}

// compare finds the instances of a plan that Graph does not list, and what it lists that the plan does not give.
func (c *conversion) compare(m *master, p plan, span Span, listed []Span) (wrong []Instance, missing []Span, err error) {
	comps, _ := c.render(m, p, false)
	cal := ical.NewCalendar()
	cal.Children = comps
	instances, err := Expand(cal, Span{span.Start.Add(-day), span.End.Add(day)})
	if err != nil {
		return nil, nil, err
	}
	exact, byDate := map[Span][]int{}, map[Span][]int{} // indices into listed
	for n, s := range listed {
		u := Span{s.Start.UTC(), s.End.UTC()}
		exact[u] = append(exact[u], n)
		byDate[s.dates()] = append(byDate[s.dates()], n)
	}
	used := make([]bool, len(listed))
	for _, i := range instances {
		if !span.holds(i.Start) {
			continue
		}
		same := exact[Span{i.Start, i.End}]
		if i.AllDay {
			same = byDate[Span{i.Start, i.End}]
		}
		if n := slices.IndexFunc(same, func(n int) bool { return !used[n] }); n >= 0 {
			used[same[n]] = true
		} else {
			wrong = append(wrong, i)
		}
	}
	for n, s := range listed {
		if !used[n] {
			missing = append(missing, s)
		}
	}
	return wrong, missing, nil
}

// mend leaves out the instances of a plan that Graph does not list, and moves those that it lists a little elsewhere.
// It is false where too much is wrong to be mended.
func (p *plan) mend(m *master, wrong []Instance, missing []Span, span Span) bool {
	years := int(span.End.Sub(span.Start)/(365*day)) + 1
	if len(missing) > maxMoved*years {
		return false
	}
	p.moved, p.gone, p.drop = map[time.Time]Span{}, map[time.Time]bool{}, map[time.Time]bool{}
	for _, i := range wrong {
		if i.override {
			for _, o := range m.overrides {
				if o.when.start.Equal(i.Start) {
					p.drop[o.original] = true
				}
			}
			continue
		}
		civil := i.civil
		if civil.IsZero() {
			civil = p.when.clock(i.Start)
		}
		near := slices.IndexFunc(missing, func(s Span) bool {
			if p.when.allDay {
				s = s.dates()
			}
			return s.Start.Sub(i.Start).Abs() <= 3*time.Hour
		})
		if near < 0 {
			p.gone[civil] = true
			continue
		}
		p.moved[civil] = missing[near]
		if p.when.allDay {
			p.moved[civil] = missing[near].dates()
		}
		missing = slices.Delete(slices.Clone(missing), near, near+1)
	}
	if len(missing) > 0 {
		return false
	}
	if len(p.gone)+len(p.drop) > 0 {
		p.notes = append(p.notes, fmt.Sprintf("Occurrences of the recurrence that Outlook does not show are left out (%d).", len(p.gone)+len(p.drop)))
	}
	if len(p.moved) > 0 {
		p.notes = append(p.notes, fmt.Sprintf("Occurrences that Outlook shows at another time than the recurrence says are moved there (%d).", len(p.moved)))
	}
	return true
}

// spell is the plan that lists the instances one by one, as Graph does.
func (c *conversion) spell(m *master, why string) plan {
	p := plan{when: m.when, moved: map[time.Time]Span{}}
	listed := map[time.Time]Span{} // by clock time
	for _, s := range c.Occurrences {
		if slices.ContainsFunc(m.overrides, func(o override) bool { return o.when.is(s) }) {
			continue
		}
		if p.when.allDay {
			s = s.dates()
		}
		listed[p.when.clock(s.Start)] = s
	}
	starts := slices.Collect(maps.Keys(listed))
	for _, o := range m.overrides {
		starts = append(starts, p.when.on(o.original).civil)
	}
	slices.SortFunc(starts, time.Time.Compare)
	starts = slices.CompactFunc(starts, time.Time.Equal)
	if len(starts) > maxExtra {
		starts = starts[:maxExtra]
	}
	if len(starts) > 0 {
		p.when = p.when.at(starts[0])
		p.times = starts[1:]
	}
	for _, civil := range starts {
		s, ok := listed[civil]
		if start := p.when.at(civil).start; ok && (!start.Equal(s.Start) || s.End.Sub(s.Start) != p.when.end.Sub(p.when.start)) {
			p.moved[civil] = s
		}
	}
	p.dates = func(yield func(time.Time) bool) {
		for _, t := range starts {
			if !yield(dateOf(t)) {
				return
			}
		}
	}
	p.notes = []string{fmt.Sprintf("%s; only those of %s are shown, one by one.", why, c.Window.describe())}
	return p
}
