package convert

import (
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// override is a modified occurrence.
type override struct {
	original time.Time // the date that the series gave it
	comp     *ical.Component
	when     when
}

// master is what all plans for a series share.
type master struct {
	comp      *ical.Component
	when      when
	overrides []override         // by original date
	cancelled map[time.Time]bool // dates of removed occurrences
}

// plan is one way to say a series: where it starts, its rule and what is added to it and taken from it.
type plan struct {
	when  when                     // of the first instance
	lead  []time.Time              // dates of the rule before it, for a DTSTART that says how long all instances are; left out of it
	rule  string                   // RRULE, "" for none
	dates iter.Seq[time.Time]      // of all instances that rule and extra make, in order
	extra []time.Time              // dates for RDATE beside the rule
	times []time.Time              // clock times for RDATE that are not at the time of day of the rule
	moved map[time.Time]Occurrence // instances, by clock time, that Graph lists with another start or end
	gone  map[time.Time]bool       // instances, by clock time, that Graph does not list
	drop  map[time.Time]bool       // overrides, by original date, that Graph does not list
	exact bool                     // where the clock is turned, Graph lists instances that are as long as the others
	notes []string                 // losses of this plan
	about string                   // for Explain: how it reads the pattern
}

// series converts a master with its exceptions and cancellations.
func (c *conversion) series() error {
	e := c.Event
	z := c.zoneOf(e, nil)
	w, err := c.times(e, z)
	if err != nil {
		return err
	}
	if w.endZone != w.zone {
		c.say("Zone", "the end is written in the zone of the start nevertheless, for an end in another zone is not the same in all occurrences")
	}
	w.endZone = w.zone
	said := w
	if !w.allDay {
		w.start = ics.Instant(w.civil, w.zone.location()) // as readers find it
	}
	m := &master{comp: c.fields(e), when: w, cancelled: map[time.Time]bool{}}
	c.Occurrences = c.whole(c.Occurrences)
	c.readCancelled(m)
	if err := c.readExceptions(m); err != nil {
		return err
	}

	c.sayRecurrence(w)
	plans := c.plans(m, w)
	if c.Occurrences != nil && len(plans) > 0 {
		if exact := w.end.Sub(w.start); !w.allDay && exact != w.civilEnd.Sub(w.civil) {
			other := w
			other.civilEnd = w.civil.Add(exact)
			plans = append(plans, c.plans(m, other)...)
		}
		for _, z := range c.otherZones(m, w) {
			plans = append(plans, c.plans(m, said.in(z))...)
		}
	}
	var p plan
	switch {
	case len(plans) > 0:
		p = c.choose(m, plans)
	case len(c.Occurrences) > 0:
		p = c.spell(m, "The recurrence cannot be read")
	default:
		p = plan{when: w, dates: slices.Values([]time.Time{w.firstDay()}), about: "the first occurrence by itself",
			notes: []string{"The recurrence cannot be read; only the first occurrence and the modified ones are shown."}}
	}
	if _, known := findZone(e.OriginalStartTimeZone); !known && p.when.zone.tzid != w.zone.tzid {
		c.note("recurrence", fmt.Sprintf("The times of the series are written in %s, whose clock changes as what Outlook shows does.", p.when.zone.name()))
	}
	for _, n := range p.notes {
		c.note("recurrence", n)
	}
	c.pinTurns(m, &p)
	c.pinOverlay(m, &p)
	c.sayPlan(m, p)
	return c.build(m, p)
}

// in is w with its clock times in another zone.
func (w when) in(z zone) when {
	w.zone, w.endZone = z, z
	w.civil, w.civilEnd = ics.Wall(w.start, z.location()), ics.Wall(w.end, z.location())
	return w
}

// otherZones are the zones that the series may be in, should its own fit not what Graph lists.
func (c *conversion) otherZones(m *master, w when) []zone {
	var out []zone
	if w.allDay || c.Event.Recurrence == nil {
		return nil
	}
	seen := map[string]bool{w.zone.tzid: true}
	for _, name := range []string{c.Event.Recurrence.Range.RecurrenceTimeZone, c.Event.OriginalEndTimeZone, c.MailboxZone} {
		if z, ok := findZone(name); ok && !seen[z.tzid] && c.dated(c.Event, z) {
			seen[z.tzid] = true
			out = append(out, z)
		}
	}
	if _, known := findZone(c.Event.OriginalStartTimeZone); !known {
		if z, ok := c.fittingZone(m); ok && !seen[z.tzid] {
			out = append(out, z)
		}
	}
	return out
}

// fittingZone is a Windows zone in which everything that Graph lists of the series begins at one time of day, and on the
// dates that the recurrence and the ids of its occurrences say: what a custom zone comes down to, whose rules Graph does
// not tell. Of several it is the one whose clock is nearest to the mailbox's, or to UTC. Where the list does not reach
// across a change of the clock it is UTC or a fixed offset, which say as much.
func (c *conversion) fittingZone(m *master) (zone, bool) {
	var starts []time.Time
	for _, s := range c.Occurrences {
		if !s.AllDay && !slices.ContainsFunc(m.overrides, func(o override) bool { return o.when.start.Equal(s.Start) }) {
			starts = append(starts, s.Start)
		}
	}
	sameClock := func(loc *time.Location) bool {
		first := ics.Wall(starts[0], loc)
		clock := first.Sub(dateOf(first))
		return !slices.ContainsFunc(starts, func(t time.Time) bool {
			civil := dateOf(ics.Wall(t, loc)).Add(clock)
			return !ics.Wall(t, loc).Equal(civil) && !ics.Instant(civil, loc).Equal(t) // the latter: in the hour that is skipped
		})
	}
	if len(starts) == 0 {
		return zone{}, false
	}
	// The first one has that time of day too, also where it was removed or is not in the list; another may be in the hour that is skipped.
	if start, _, ok := readMoment(c.Event.Start, zone{}); ok && !unset(start.civil) {
		starts = slices.Insert(starts, 0, start.at)
	}
	if sameClock(time.UTC) {
		if z, ok := c.datedOffset(c.Event, zone{}); ok {
			return z, true
		}
		return zone{}, c.dated(c.Event, zone{})
	}
	mailbox, _ := findZone(c.MailboxZone)
	offset := func(z zone) int {
		_, seconds := starts[0].In(z.location()).Zone()
		return seconds
	}
	var best zone
	nearest := 0
	for _, name := range slices.Sorted(maps.Keys(windowsZones)) {
		z, ok := findZone(name)
		if !ok || !sameClock(z.location()) || !c.dated(c.Event, z) {
			continue
		}
		away := offset(z) - offset(mailbox)
		if away = max(away, -away); best.utc() || away < nearest {
			best, nearest = z, away
		}
	}
	if best.utc() {
		return zone{}, false
	}
	c.say("Zone", "in ", best.name(), " all that Outlook lists begins at one time of day")
	return best, true
}

// readCancelled collects the dates of removed occurrences.
func (c *conversion) readCancelled(m *master) {
	for _, id := range slices.Concat(c.Cancelled, c.Event.CancelledOccurrences) {
		t, err := time.Parse(time.DateOnly, graph.OccurrenceDate(id))
		if err != nil {
			c.note("cancelledOccurrences", fmt.Sprintf("The removed occurrence %q names no date.", clip(id)))
			continue
		}
		m.cancelled[t] = true
		c.say("Removed", "the occurrence of ", graph.OccurrenceDate(id), ", by cancelledOccurrences")
	}
}

// readExceptions renders the modified occurrences, one for each original date.
func (c *conversion) readExceptions(m *master) error {
	defer func() { c.event = c.Event.ID }()
	byDate := map[time.Time]graph.Event{}
	fresh := map[time.Time]bool{}
	take := func(e graph.Event, own bool) {
		if e.Removed != nil {
			return
		}
		c.event = e.ID
		t, from := c.originalDate(e, m.when)
		if from == "" {
			start, err := c.start(e, m.when.zone)
			if err != nil {
				c.note("occurrenceId", "The modified occurrence has neither a date nor a start, and is left out.")
				return
			}
			t = dateOf(start.civilIn(m.when.zone))
			c.note("occurrenceId", "The modified occurrence does not say which one it was; the one on its own date is taken.")
		}
		if t.Year() > 9999 {
			t = date(9999, 12, 31) // the last hours of that year, in a zone that is ahead
		}
		if old, ok := byDate[t]; ok {
			if e.LastModified < old.LastModified {
				e, old = old, e
			}
			e = inherit(e, estateOf(old, false))
		}
		byDate[t], fresh[t] = e, fresh[t] || own
	}
	for _, e := range c.Exceptions {
		take(e, false)
	}
	for _, e := range c.Event.ExceptionOccurrences {
		take(e, true)
	}
	if c.Event.MoreExceptions != "" {
		c.event = c.Event.ID
		c.note("exceptionOccurrences", "The list of modified occurrences goes on on another page, which is not here.")
	}

	var base estate
	if len(byDate) > 0 {
		base = estateOf(c.Event, true)
	}
	for _, t := range slices.SortedFunc(maps.Keys(byDate), time.Time.Compare) {
		e := byDate[t]
		c.event = e.ID
		if m.cancelled[t] {
			if !fresh[t] {
				c.note("cancelledOccurrences", "The occurrence is listed both as modified and as removed; it is taken for removed.")
				continue
			}
			delete(m.cancelled, t)
		}
		c.sayException(e, m.when, t)
		c.indent()
		e = inherit(e, base)
		c.faults(e)
		w := m.when.on(t)
		if _, _, ok := readMoment(e.Start, zone{}); !ok {
			c.note("start", "The modified occurrence has no start; the one that its series gave it is taken.")
		} else {
			var err error
			if w, err = c.times(e, c.zoneOf(e, &m.when.zone)); err != nil {
				c.outdent()
				return err
			}
		}
		if o := (override{t, c.fields(e), w}); m.differs(o) {
			m.overrides = append(m.overrides, o)
		} else {
			c.say("Exception", "left out, for it is as its series has it")
		}
		c.outdent()
	}
	return nil
}

// differs is whether a modified occurrence is another than the series has it. Outlook keeps one that was changed back as an
// exception for ever; a client that takes an override away has to find it gone.
func (m *master) differs(o override) bool {
	plain := m.when.on(o.original)
	if o.when.allDay != plain.allDay || !o.when.start.Equal(plain.start) || !o.when.end.Equal(plain.end) {
		return true
	}
	if o.when.zone != plain.zone || o.when.endZone != plain.endZone {
		return true
	}
	return !sameContent(o.comp, m.comp)
}

// stampNames are the properties that tell when a component was made and changed, and where Outlook's page of it is: an exception
// has one of its own.
var stampNames = []string{ical.PropDateTimeStamp, ical.PropCreated, ical.PropLastModified, ical.PropSequence, ical.PropURL}

// sameContent is whether two components say the same, without when they were changed and their addresses on the web.
func sameContent(a, b *ical.Component) bool {
	bare := func(c *ical.Component) ical.Props {
		props := maps.Clone(c.Props)
		for _, name := range stampNames {
			delete(props, name)
		}
		return props
	}
	return reflect.DeepEqual(bare(a), bare(b)) && slices.EqualFunc(a.Children, b.Children, sameContent)
}

// plans are the ways to say the recurrence with the first start w, the best first: as Outlook reads short months, as
// RFC 5545 does. None where the pattern is of a type that we do not know.
func (c *conversion) plans(m *master, w when) []plan {
	if c.Event.Recurrence == nil {
		return nil
	}
	start := w.firstDay()
	p, ok := readPattern(c.Event.Recurrence.Pattern, start, c.note)
	if !ok {
		return nil
	}
	lim := readLimit(c.Event.Recurrence.Range, c.note)
	if !p.hits(start) {
		if t, _, ok := parseCivil(c.Event.Recurrence.Range.StartDate); ok && t.After(start) {
			start = dateOf(t)
		}
	}
	first := p.next(start)
	if first.IsZero() || first.Year() > 9999 {
		return nil
	}

	meets := p.meetsShort(first)
	dates := lim.cut(p.dates(first, true))
	out := []plan{{when: w.on(first), dates: dates, about: "as Outlook reads the pattern"}}
	out[0].lead = p.lead(out[0].when, meets != some)
	if meets == some {
		out[0].spellShort(p, lim, c.bound(lim, first))
	} else {
		out[0].rule = p.rule(meets == always, lim.after(out[0].lead).text(out[0].when))
	}
	if meets != never && c.Occurrences != nil {
		dates := p.dates(first, false)
		for t := range dates {
			skip := plan{when: w.on(t), dates: lim.cut(dates), about: "with short months left out"}
			skip.lead = p.lead(skip.when, false)
			skip.rule = p.rule(false, lim.after(skip.lead).text(skip.when))
			out = append(out, skip)
			break
		}
	}
	return out
}

// horizonYears is how long an endless series is said by instances where no endless rule says it right.
const horizonYears = 10

// horizon is the date up to which it is: the first of a year, so that it moves once a year at most. It is counted from
// the window's end, without one from when the series was last touched: the last that we know of today.
func (c *conversion) horizon(first time.Time) time.Time {
	year := first.Year()
	if !c.Window.End.IsZero() {
		year = max(year, c.Window.End.UTC().Year())
	} else if t, _, ok := parseCivil(c.Event.LastModified); ok {
		year = max(year, t.Year())
	}
	return date(min(year+horizonYears, 9999), 1, 1)
}

// bound is the date at which a series that is said by instances ends.
func (c *conversion) bound(lim limit, first time.Time) time.Time {
	bound := c.horizon(first)
	if lim.count > 0 || !lim.until.IsZero() && lim.until.Before(bound) {
		return date(9999, 12, 31)
	}
	return bound
}

// spellShort says a series on the 29th or 30th that meets February: a rule that ends, and RDATEs for the months that
// are too short. Thunderbird reads BYSETPOS beside BYMONTHDAY wrong, DAVx5 drops RDATEs beside a rule without end.
func (p *plan) spellShort(pat pattern, lim limit, bound time.Time) {
	var last time.Time
	all := p.dates
	p.dates = func(yield func(time.Time) bool) {
		for t := range all {
			if !t.Before(bound) || !yield(t) {
				return
			}
		}
	}
	n := 0
	for t := range p.dates {
		if n++; n > maxExtra {
			break
		}
		if t.Day() == pat.day {
			last = t
		} else {
			// Even the first one: Thunderbird does not show a DTSTART that its rule does not hit, others do.
			p.extra = append(p.extra, t)
		}
	}
	if n > 0 && last.IsZero() {
		last = p.when.firstDay()
	}
	p.rule = pat.rule(false, limit{until: last}.text(p.when))
	if lim.endless() || !lim.until.IsZero() && !lim.until.Before(bound) {
		p.notes = append(p.notes, fmt.Sprintf("The recurrence falls on the last day of shorter months, which iCalendar has no rule for; occurrences are shown until %s.",
			bound.Format(time.DateOnly)))
	}
}

// maxExtra bounds the instances of a series that is spelled out.
const maxExtra = 2000

// on is w moved to another date, at the same clock times.
func (w when) on(t time.Time) when {
	return w.at(w.civil.Add(t.Sub(w.firstDay())))
}

// at is w moved to another clock time.
func (w when) at(civil time.Time) when {
	shift := civil.Sub(w.civil)
	if shift == 0 {
		return w
	}
	w.civil, w.civilEnd = civil, w.civilEnd.Add(shift)
	if w.allDay {
		w.start, w.end = w.civil, w.civilEnd
	} else {
		w.start, w.end = ics.Instant(w.civil, w.zone.location()), ics.Instant(w.civilEnd, w.zone.location())
		if !w.shown() || w.civilEnd.After(w.civil) && !w.end.After(w.start) {
			w.end = w.start.Add(w.civilEnd.Sub(w.civil)) // what begins in the hour that is skipped is as long as ever
		}
	}
	if w.civilEnd.Year() > 9999 {
		w.end, w.civilEnd = w.start, w.civil
	}
	return w
}

// length is how long the instances of a series are whose first one is w: what the clock says, even if it is turned in
// the course of the first one. RFC 5545 §3.8.5.3 and all readers take it from DTSTART and DTEND.
func (w when) length() time.Duration {
	if length := w.civilEnd.Sub(w.civil); length > 0 && w.end.After(w.start) {
		return length
	}
	return max(w.end.Sub(w.start), 0)
}

// shown is whether a clock shows the start at all.
func (w when) shown() bool { return ics.Wall(w.start, w.zone.location()).Equal(w.civil) }

// turned is whether readers differ in when an instance is, or how long: see [plan.ambiguous].
func (w when) turned() bool {
	if w.allDay || w.zone.utc() {
		return false
	}
	i := ics.Instance{Start: w.start, End: w.start.Add(w.length()), Clock: ics.Moment{Wall: w.civil, Loc: w.zone.location()}}
	return plan{when: w}.ambiguous(i)
}

// maxLead is how many intervals before the first instance one is looked for that all readers take alike.
const maxLead = 24

// lead are dates of the pattern before the first instance w, where the clock is turned in the course of that one or near
// it: from there the series begins, so that DTEND is as far from DTSTART by the clock as it is by time. Some readers take
// the length of all instances from the one, some from the other (libical, ical.js before 2.0). clamp is as for inMonth.
func (p pattern) lead(w when, clamp bool) []time.Time {
	if !w.turned() {
		return nil
	}
	first := w.firstDay()
	for k := 1; k <= maxLead; k++ {
		from := first.AddDate(0, 0, -k*p.interval)
		switch p.kind {
		case daily:
		case weekly:
			from = first.AddDate(0, 0, -7*k*p.interval)
		default:
			months := k * p.interval
			if p.kind == absoluteYearly || p.kind == relativeYearly {
				months *= 12
			}
			from = date(first.Year(), first.Month()-time.Month(months), 1)
			d := p.inMonth(from.Year(), from.Month(), clamp)
			if d == 0 {
				continue
			}
			from = from.AddDate(0, 0, d-1)
		}
		if from.Year() < 1 {
			break
		}
		if !p.hits(from) || w.on(from).turned() {
			continue
		}
		var dates []time.Time
		for t := range p.dates(from, clamp) {
			if !t.Before(first) {
				return dates
			}
			dates = append(dates, t)
		}
	}
	return nil
}

// maxTurned is how long the instances may be and maxTurns how often the clock may be turned for what follows.
const (
	maxTurned = 31 * day
	maxTurns  = 100
)

// after is the limit of a rule that has some more dates in front.
func (l limit) after(lead []time.Time) limit {
	if l.count > 0 {
		l.count += len(lead)
	}
	return l
}

// pinTurns makes overrides of the instances in which readers differ since the clock is turned, and that no list has told
// of: of those from the year in which the window begins up to the horizon.
func (c *conversion) pinTurns(m *master, p *plan) {
	w := p.when
	if w.allDay || w.zone.utc() {
		return
	}
	from, to := w.firstDay(), c.horizon(w.firstDay())
	if t := c.Window.Start; !t.IsZero() && from.Before(t) {
		from = date(t.UTC().Year(), 1, 1)
	}
	near := map[time.Time]when{}
	back := w.length().Truncate(day) + day
	last := w.firstDay()
	for t, n := from.Add(-back), 0; w.length() <= maxTurned && n < maxTurns; n++ {
		_, turn := t.In(w.zone.loc).ZoneBounds()
		if turn.IsZero() || !turn.Before(to) {
			break
		}
		// What the clock shows before and after: an instance that does not touch that is as any other.
		lo, hi := ics.Wall(turn.Add(-time.Second), w.zone.loc).Add(time.Second), ics.Wall(turn, w.zone.loc)
		if hi.Before(lo) {
			lo, hi = hi, lo
		}
		last = dateOf(hi).Add(day)
		for d := last.Add(-back - 2*day); !d.After(last); d = d.Add(day) {
			civil := w.civil.Add(d.Sub(w.firstDay()))
			if civil.After(hi) || civil.Add(w.length()).Before(lo) {
				continue
			}
			one := w.on(d)
			if skipped := !dateOf(ics.Wall(one.start, w.zone.loc)).Equal(d); skipped {
				continue // the whole day (Apia, 30 December 2011): Thunderbird has no instance there to replace
			}
			if !d.Before(from) && one.turned() {
				near[d] = one
			}
		}
		t = turn
	}
	if first := w.firstDay(); w.turned() {
		near[first] = w // even if the window begins later: nobody could tell its end
	}
	if len(near) == 0 {
		return
	}
	for _, o := range m.overrides {
		delete(near, o.original)
	}
	pins := map[time.Time]Occurrence{}
	for t := range p.dates {
		if t.After(last) {
			break
		}
		one, ok := near[t]
		if _, told := p.moved[one.civil]; !ok || told || p.gone[one.civil] || m.cancelled[t] {
			continue
		}
		if p.exact && !t.Equal(w.firstDay()) {
			one.end = one.start.Add(w.length())
		}
		pins[one.civil] = Occurrence{Span: Span{one.start, one.end}}
	}
	p.pin(pins)
}

// text is the end of a rule whose first instance is w: the date until is the last possible one (RFC 5545 §3.3.10: a
// DATE beside a DATE, else UTC).
func (l limit) text(w when) string {
	switch {
	case l.count > 0:
		return fmt.Sprintf(";COUNT=%d", l.count)
	case l.until.IsZero():
		return ""
	case w.allDay:
		return ";UNTIL=" + l.until.Format(ics.DateForm)
	}
	until := w.on(l.until)
	return ";UNTIL=" + until.start.UTC().Format(ics.UTCForm)
}

// build writes a plan into the components.
func (c *conversion) build(m *master, p plan) error {
	comps, live := c.render(m, p, true)
	if !live {
		return fmt.Errorf("event %q: %w", clip(string(c.Event.ID)), ErrNoInstances)
	}
	c.components = comps
	return nil
}

// render makes the components of a plan. live is false where nothing of the series is left. With report, what does
// not fit together is noted.
func (c *conversion) render(m *master, p plan, report bool) (comps []*ical.Component, live bool) {
	var wanted []time.Time
	for t := range m.cancelled {
		wanted = append(wanted, t)
	}
	for _, o := range m.overrides {
		wanted = append(wanted, o.original)
	}
	w := p.when
	hits, live := p.find(wanted, func(t time.Time) bool { return m.cancelled[t] || p.gone[w.on(t).civil] })
	comp := clone(m.comp)
	head := w
	if len(p.lead) > 0 {
		head = w.on(p.lead[0])
	}
	addCivil(comp, ical.PropDateTimeStart, head.civil, w.zone, w.allDay)
	if end := head.start.Add(w.length()); end.After(head.start) {
		addTime(comp, ical.PropDateTimeEnd, end, w.zone, w.allDay)
	}
	if p.rule != "" {
		add(comp, ical.PropRecurrenceRule, p.rule)
	}

	extra := slices.Clone(p.times)
	for _, t := range p.extra {
		if !m.cancelled[t] {
			extra = append(extra, w.on(t).civil)
		}
	}
	excluded := slices.Collect(maps.Keys(p.gone))
	for _, t := range p.lead {
		excluded = append(excluded, w.on(t).civil)
	}
	for _, t := range slices.SortedFunc(maps.Keys(m.cancelled), time.Time.Compare) {
		switch {
		case !hits[t]:
			if report {
				c.note("cancelledOccurrences", fmt.Sprintf("The removed occurrence of %s is no date of the recurrence.", t.Format(time.DateOnly)))
			}
		case !slices.ContainsFunc(p.extra, t.Equal) || t.Equal(w.firstDay()):
			excluded = append(excluded, w.on(t).civil)
		}
	}
	comps = append(comps, comp)
	for _, o := range m.overrides {
		civil := w.on(o.original).civil
		if p.drop[o.original] {
			if hits[o.original] {
				excluded = append(excluded, civil)
			}
			continue
		}
		live = true
		if !hits[o.original] && !slices.ContainsFunc(extra, civil.Equal) {
			extra = append(extra, civil)
			if report {
				c.note("occurrenceId", fmt.Sprintf("The modified occurrence of %s is no date of the recurrence; it is added to it.", o.original.Format(time.DateOnly)))
			}
		}
		oc := clone(o.comp)
		addCivil(oc, ical.PropRecurrenceID, civil, w.zone, w.allDay)
		setTimes(oc, o.when)
		comps = append(comps, oc)
	}
	for civil, o := range p.moved {
		oc := clone(m.comp)
		addCivil(oc, ical.PropRecurrenceID, civil, w.zone, w.allDay)
		ow := w
		ow.start, ow.end, ow.allDay = o.Start, o.End, o.AllDay
		setTimes(oc, ow)
		comps = append(comps, oc)
	}

	slices.SortFunc(extra, time.Time.Compare)
	for _, t := range slices.CompactFunc(extra, time.Time.Equal) {
		if p.rule != "" || !t.Equal(head.civil) {
			addCivil(comp, ical.PropRecurrenceDates, t, w.zone, w.allDay)
		}
	}
	slices.SortFunc(excluded, time.Time.Compare)
	for _, t := range slices.CompactFunc(excluded, time.Time.Equal) {
		addCivil(comp, ical.PropExceptionDates, t, w.zone, w.allDay)
	}
	if p.rule == "" && (len(comps) > 1 || comp.Props.Get(ical.PropRecurrenceDates) != nil || comp.Props.Get(ical.PropExceptionDates) != nil) {
		// Thunderbird only takes DTSTART for an instance, and overrides for such, where a rule says so.
		add(comp, ical.PropRecurrenceRule, "FREQ=DAILY;COUNT=1;WKST=SU")
	}
	slices.SortStableFunc(comps[1:], func(a, b *ical.Component) int {
		return strings.Compare(a.Props.Get(ical.PropRecurrenceID).Value, b.Props.Get(ical.PropRecurrenceID).Value)
	})
	return comps, live
}

// farthest is the year in which a plan is not followed any further: a wanted date may be anything that somebody wrote.
const farthest = 2300

// find tells which of the wanted dates the plan has, and whether any of its dates is not removed.
func (p plan) find(wanted []time.Time, removed func(time.Time) bool) (hits map[time.Time]bool, live bool) {
	hits = make(map[time.Time]bool, len(wanted))
	var last time.Time
	want := make(map[time.Time]bool, len(wanted))
	for _, t := range wanted {
		want[t] = true
		if t.After(last) {
			last = t
		}
	}
	for t := range p.dates {
		if live && t.After(last) || t.Year() > farthest {
			break
		}
		if want[t] {
			hits[t] = true
		}
		live = live || !removed(t)
	}
	return hits, live
}

func clone(c *ical.Component) *ical.Component {
	out := *c
	out.Props = maps.Clone(c.Props)
	return &out
}
