package convert

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/caldav/ics"
)

// fuzzy is how far inside the window the comparison with Graph's occurrences begins and ends: the edges of a
// calendarView take in or miss an all-day event by the offset of whoever made it.
const fuzzy = 2 * day

// maxMoved is how many instances a year may be moved one by one, such as those in the hour that summer time skips.
const maxMoved = 4

// choose is the first plan whose instances in the window are those that Graph lists. Where none is, the first that
// can be put right by leaving instances out and moving a few; at last the listed instances themselves.
func (c *conversion) choose(m *master, plans []plan) plan {
	span := Span{c.Window.Start.Add(fuzzy), c.Window.End.Add(-fuzzy)}
	if c.Occurrences == nil || c.Window.Start.IsZero() || !span.Start.Before(span.End) {
		c.say("Check", "none, for what Outlook lists of the series is not known")
		return plans[0]
	}
	var listed []Occurrence
	for _, o := range c.Occurrences {
		if span.holds(o.Start) {
			listed = append(listed, o)
		}
	}
	if c.explaining() {
		c.say("Check", fmt.Sprintf("Outlook lists %d occurrences in %s", len(listed), span.describe()))
	}
	for _, p := range plans {
		d, err := c.compare(m, p, span, listed)
		c.sayCompared(p, d, err)
		if err == nil && d.none() {
			p.pin(d.pins)
			return p
		}
	}
	for _, p := range plans {
		d, err := c.compare(m, p, span, listed)
		if err != nil || !p.correct(m, d, span) {
			continue
		}
		if d, err = c.compare(m, p, span, listed); err == nil && d.none() {
			p.about += ", corrected by what Outlook lists"
			c.sayCompared(p, d, nil)
			p.pin(d.pins)
			return p
		}
	}
	return c.spell(m, "The recurrence does not give the occurrences that Outlook shows")
}

// holds is whether t is in the span.
func (s Span) holds(t time.Time) bool { return !t.Before(s.Start) && t.Before(s.End) }

// whole brings the all-day ones of what Graph lists to midnights in UTC.
func (c *conversion) whole(listed []Occurrence) []Occurrence {
	zones := c.zones()
	out := slices.Clone(listed)
	for i, o := range out {
		if !o.AllDay {
			continue
		}
		days, ok := o.midnights(zones)
		if !ok {
			days = o.dates()
		}
		out[i].Span = days
	}
	return out
}

// is whether o is what Graph lists of w.
func (w when) is(o Occurrence) bool {
	return w.start.Equal(o.Start) && w.end.Equal(o.End) && w.allDay == o.AllDay
}

// difference is how the instances of a plan compare with what Graph lists.
type difference struct {
	wrong   []ics.Instance           // that Graph does not list
	missing []Occurrence             // that the plan does not give
	pins    map[time.Time]Occurrence // those that are right but not in every reader's eyes, by clock time, as Graph lists them
}

func (d difference) none() bool { return len(d.wrong)+len(d.missing) == 0 }

// compare finds how a plan differs from what Graph lists.
func (c *conversion) compare(m *master, p plan, span Span, listed []Occurrence) (d difference, err error) {
	comps, _ := c.render(m, p, false)
	cal := ical.NewCalendar()
	cal.Children = comps
	instances, err := (&ics.Reader{Resolve: Zone}).Expand(cal, ics.Span{Start: span.Start.Add(-day), End: span.End.Add(day)})
	if err != nil {
		return d, err
	}
	exact := map[Occurrence][]int{} // indices into listed
	for n, o := range listed {
		key := Occurrence{Span{o.Start.UTC(), o.End.UTC()}, o.AllDay}
		exact[key] = append(exact[key], n)
	}
	used := make([]bool, len(listed))
	for _, i := range instances {
		if !span.holds(i.Start) {
			continue
		}
		same := exact[Occurrence{Span{i.Start, i.End}, i.AllDay()}]
		if len(same) == 0 && !i.Override && !i.AllDay() {
			same = exact[Occurrence{Span: Span{i.Start, p.ends(i)}}]
		}
		n := slices.IndexFunc(same, func(n int) bool { return !used[n] })
		if n < 0 {
			d.wrong = append(d.wrong, i)
			continue
		}
		used[same[n]] = true
		if !i.AllDay() && !i.Override && p.ambiguous(i) {
			if d.pins == nil {
				d.pins = map[time.Time]Occurrence{}
			}
			d.pins[p.civil(i)] = listed[same[n]]
		}
	}
	for n, s := range listed {
		if !used[n] {
			d.missing = append(d.missing, s)
		}
	}
	return d, nil
}

// ends is when an instance of the rule ends by the clock, as Outlook stores it ([MS-OXOCAL] 2.2.1.44.1, EndTimeOffset)
// and Thunderbird reads it. RFC 5545 §3.8.5.3 has all instances last exactly as long, which is not the same where the
// clock is turned in the course of one.
func (p plan) ends(i ics.Instance) time.Time {
	return ics.Instant(p.civilEnd(i), p.when.zone.location())
}

func (p plan) civilEnd(i ics.Instance) time.Time {
	return p.civil(i).Add(p.when.civilEnd.Sub(p.when.civil))
}

// civil is the clock time of an instance in the zone of the plan: the one that its rule gives it, which the instant cannot
// tell in the hour that is skipped.
func (p plan) civil(i ics.Instance) time.Time {
	if i.AllDay() || i.Clock.Loc == p.when.zone.location() {
		return i.Clock.Wall
	}
	return p.when.clock(i.Start)
}

// ambiguous is whether readers differ in an instance of the rule: it starts or ends in an hour that comes twice or is
// skipped, or the clock is turned in the course of it.
func (p plan) ambiguous(i ics.Instance) bool {
	z := p.when.zone
	if z.utc() {
		return false
	}
	offset := func(t time.Time) int {
		_, o := t.In(z.loc).Zone()
		return o
	}
	if o := offset(i.Start.Add(-day)); o == offset(i.Start.Add(day)) && o == offset(i.End.Add(-day)) && o == offset(i.End.Add(day)) {
		return false // the clock is not turned near by, which spares most instances what follows
	}
	return !z.expressible(i.Start) || !z.expressible(i.End) || !p.ends(i).Equal(i.End) ||
		!ics.Wall(i.Start, z.loc).Equal(p.civil(i)) || !ics.Wall(i.End, z.loc).Equal(p.civilEnd(i))
}

// pin makes overrides of instances that readers differ in.
func (p *plan) pin(pins map[time.Time]Occurrence) {
	for civil, o := range pins {
		one := p.when.at(civil)
		p.exact = p.exact || o.Start.Equal(one.start) && !o.End.Equal(one.end) && o.End.Equal(o.Start.Add(p.when.length()))
	}
	if p.moved == nil {
		p.moved = pins
		return
	}
	maps.Copy(p.moved, pins)
}

// correct leaves out the instances of a plan that Graph does not list, and moves those that it lists a little elsewhere.
// It is false where too much is wrong to be corrected.
func (p *plan) correct(m *master, d difference, span Span) bool {
	missing := d.missing
	years := int(span.End.Sub(span.Start)/(365*day)) + 1
	if len(missing) > maxMoved*years {
		return false
	}
	p.moved, p.gone, p.drop = map[time.Time]Occurrence{}, map[time.Time]bool{}, map[time.Time]bool{}
	for _, i := range d.wrong {
		if i.Override {
			for _, o := range m.overrides {
				if o.when.start.Equal(i.Start) && o.when.allDay == i.AllDay() {
					p.drop[o.original] = true
				}
			}
			continue
		}
		civil := p.civil(i)
		near := slices.IndexFunc(missing, func(o Occurrence) bool {
			return o.AllDay == p.when.allDay && o.Start.Sub(i.Start).Abs() <= 3*time.Hour
		})
		if near < 0 {
			p.gone[civil] = true
			continue
		}
		p.moved[civil] = missing[near]
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
	p := plan{when: m.when, moved: map[time.Time]Occurrence{}, about: "spelled out, the occurrences that Outlook lists one by one"}
	listed := map[time.Time]Occurrence{} // by clock time
	told := make([]bool, len(m.overrides))
	for _, s := range c.Occurrences {
		n := 0
		for n < len(told) && (told[n] || !m.overrides[n].when.is(s)) {
			n++
		}
		if n < len(told) {
			told[n] = true
			continue
		}
		civil := s.Start
		if !s.AllDay {
			civil = ics.Wall(s.Start, p.when.zone.location())
		}
		if p.when.allDay {
			civil = dateOf(civil)
		}
		listed[civil] = s
	}
	starts := slices.SortedFunc(maps.Keys(listed), time.Time.Compare)
	if len(starts) > 0 {
		p.when = p.when.at(starts[0]) // the clock time that the dates of overrides have from here on
	}
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
		if p.lead = (pattern{kind: daily, interval: 1}).lead(p.when, true); p.lead != nil {
			p.lead, p.times = p.lead[:1], starts
		}
	}
	for _, civil := range starts {
		s, ok := listed[civil]
		if !ok {
			continue
		}
		i := ics.Instance{Start: p.when.at(civil).start, Clock: ics.Moment{Wall: civil, Loc: p.when.zone.location()}}
		if i.End = i.Start.Add(p.when.length()); s.AllDay != p.when.allDay || !i.Start.Equal(s.Start) || !i.End.Equal(s.End) || !s.AllDay && p.ambiguous(i) {
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
	first, last := c.Window.ends()
	p.notes = []string{fmt.Sprintf("%s; only those of %s to %s are shown, one by one.", why, first, last)}
	// Some readers know no RDATE (node-ical, Outlook), so it is a rule where that can be.
	if q, ok := c.ruled(m, p, starts, listed); ok {
		q.notes = []string{fmt.Sprintf("%s; only those of %s to %s are shown.", why, first, last)}
		return q
	}
	return p
}

// maxFitOctets bounds what moved instances take: each is the event once more.
const maxFitOctets = 64 << 10

// ruled is p, which lists instances at some clock times, by a rule that gives just these; ok is false where there is none.
func (c *conversion) ruled(m *master, p plan, starts []time.Time, listed map[time.Time]Occurrence) (q plan, ok bool) {
	fixed := map[time.Time]bool{}
	for _, t := range starts {
		if _, plain := listed[t]; !plain {
			fixed[t] = true // an override is of this date
		}
	}
	f, ok := fitting(starts, fixed)
	if !ok || len(f.moved)*sizeOf(m.comp) > maxFitOctets {
		return q, false
	}
	q = plan{when: p.when, moved: map[time.Time]Occurrence{}, gone: map[time.Time]bool{}, about: "what Outlook lists, by a rule that gives just that"}
	if p.when.turned() {
		if q.lead = f.pattern.lead(p.when, false); q.lead == nil {
			return q, false
		}
	}
	q.rule = f.rule(len(q.lead))
	for _, t := range f.gone {
		q.gone[t] = true
	}
	for civil, o := range p.moved { // those that readers differ in, at their places
		if f.kept[civil] {
			q.moved[civil] = o
		}
	}
	for from, to := range f.moved {
		q.moved[from] = listed[to]
	}
	q.dates = func(yield func(time.Time) bool) {
		for _, t := range f.dates {
			if !yield(dateOf(t)) {
				return
			}
		}
	}
	// It has to be just what the list is.
	if len(c.Occurrences) == 0 {
		return q, len(f.gone)+len(f.moved) == 0
	}
	span := Span{c.Occurrences[0].Start, c.Occurrences[0].Start}
	for _, o := range c.Occurrences {
		if o.Start.Before(span.Start) {
			span.Start = o.Start
		}
		if o.Start.After(span.End) {
			span.End = o.Start
		}
	}
	span = Span{span.Start.Add(-day), span.End.Add(day)}
	d, err := c.compare(m, q, span, c.Occurrences)
	return q, err == nil && d.none()
}
