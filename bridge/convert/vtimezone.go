package convert

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/caldav/ics"
)

// regular is the year up to which rules are looked for. Zones whose transitions follow no rule (Casablanca by the
// moon) have them written one by one up to that year at least; nothing later is known of them anyway.
const regular = 2040

// onset is one change of a zone's offset.
type onset struct {
	at       time.Time     // the instant
	from, to time.Duration // offsets, whole minutes
	name     string        // abbreviation after it
	daylight bool
}

// wall is the clock time at which the change happens, as the clock showed it until then.
func (o onset) wall() time.Time { return o.at.UTC().Add(o.from) }

// run is a sequence of onsets in successive years. One of more than a year follows the rule of fit.
type run struct {
	first, last onset
	years       int
	fit         fit
	all         []onset
	gaps        bool // years in which its rule has no day are left out
	sure        bool // of one with gaps: a rule, and not an accident
}

// vtimezone is the VTIMEZONE of z for an object that lives from first to last (zero: without end). It is made of
// yearly rules, STANDARD and DAYLIGHT, with their base before the object's life; of dated ones where the rules change
// within it. There are no RDATEs and no offsets with seconds: Outlook refuses both.
//
// Some readers need each part to have begun before any time that they ask for (Ruby's icalendar compares the last onsets of
// all). Where yearly rules alone are right in the object's own life they are taken, though a year around it they are not;
// else what begins later gets an onset from before, which a later one there makes void.
func vtimezone(z zone, first, last time.Time) *ical.Component {
	c := ical.NewComponent(ical.CompTimezone)
	add(c, ical.PropTimezoneID, z.tzid)
	parts, late := observances(z, first, last, ordinary)
	if late && !last.IsZero() {
		if plain := rulesFor(z, first.UTC(), last.UTC()); plain != nil {
			parts, late = plain, false
		}
	}
	for _, how := range []form{begun, held} {
		if late {
			if early, still := observances(z, first, last, how); !still {
				parts, late = early, false
			}
		}
	}
	c.Children = parts
	slices.SortStableFunc(c.Children, func(a, b *ical.Component) int {
		return strings.Compare(a.Props.Get(ical.PropDateTimeStart).Value, b.Props.Get(ical.PropDateTimeStart).Value)
	})
	return c
}

// rulesFor are parts with a yearly rule each, from the base on and without end, that say the offset right from first to last,
// but need not elsewhere. nil where there are none.
func rulesFor(z zone, first, last time.Time) []*ical.Component {
	if first.Year() < 2 || last.Year() > first.Year()+50 {
		return nil
	}
	base := min(1970, first.Year()-1)
	name, offset := first.In(z.loc).Zone()
	lead := minutes(offset)
	list := onsets(z, first, last.Year()+1)
	before := 0 // onsets up to first
	for before < len(list) && !list[before].at.After(first) {
		before++
	}
	inside := list[before:]
	if n := slices.IndexFunc(inside, func(o onset) bool { return o.at.After(last) }); n >= 0 {
		inside = inside[:n]
	}
	if len(inside) == 0 {
		return []*ical.Component{observance(onset{from: lead, to: lead, name: name}, date(base, 1, 1), "")}
	}
	// What is in force at first is said by one of the changes inside a year before, by the one before it, or by one that is none.
	held := onset{at: dateOf(first).AddDate(0, 0, -1), from: lead, to: lead, name: name}
	for _, changes := range [][]onset{inside, list[max(before-1, 0) : before+len(inside)], append([]onset{held}, inside...)} {
		runs := findRuns(changes)
		if len(runs) > maxRules || !saysRight(z, runs, first, last, lead, inside) {
			continue
		}
		var parts []*ical.Component
		for _, r := range runs {
			rule := r.rule()
			parts = append(parts, observance(r.first, rule.in(base, r.first.wall()), "FREQ=YEARLY;"+rule.String()))
		}
		return parts
	}
	return nil
}

// maxRules bounds the parts of such a VTIMEZONE: more than some changes are no rule.
const maxRules = 4

// saysRight is whether yearly rules, without beginning or end, give the offset of z at every time from first to last: lead at
// first, then what the changes inside make it.
func saysRight(z zone, runs []run, first, last time.Time, lead time.Duration, inside []onset) bool {
	type change struct {
		at time.Time
		to time.Duration
	}
	var made []change
	for _, r := range runs {
		rule := r.rule()
		for year := first.Year() - 1; year <= last.Year()+1; year++ {
			made = append(made, change{rule.in(year, r.first.wall()).Add(-r.first.from), r.first.to})
		}
	}
	slices.SortFunc(made, func(a, b change) int { return a.at.Compare(b.at) })
	said := func(t time.Time) (to time.Duration, ok bool) {
		for i, m := range made {
			if m.at.After(t) {
				break
			}
			// Of two at one time a reader may take either.
			if i > 0 && made[i-1].at.Equal(m.at) && made[i-1].to != m.to {
				return 0, false
			}
			to, ok = m.to, true
		}
		return to, ok
	}
	right := func(t time.Time) bool {
		_, o := t.In(z.loc).Zone()
		to, ok := said(t)
		return ok && to == minutes(o)
	}
	if to, ok := said(first); !ok || to != lead {
		return false
	}
	for _, o := range inside {
		if !right(o.at) || !right(o.at.Add(-time.Second)) {
			return false
		}
	}
	for _, m := range made {
		if m.at.After(first) && !m.at.After(last) && !right(m.at) {
			return false
		}
	}
	return true
}

// form is how a VTIMEZONE is made.
type form int

const (
	ordinary form = iota // right from a year before the object on
	begun                // right from the object on, and parts that would begin later are begun before it, where that can be done
	held                 // as begun, with a part that begins just before the object and changes nothing
)

// observances are the parts of a VTIMEZONE that is right to a year after last, and whether one of them begins after first.
func observances(z zone, first, last time.Time, how form) (parts []*ical.Component, late bool) {
	// A year more at both ends shows a reader the ordinary rules even of an event that lives for an hour.
	begin := first.UTC().AddDate(-1, 0, 0)
	if how != ordinary {
		begin = dateOf(first.UTC()).AddDate(0, 0, -2)
	}
	if begin.Year() < 1 {
		begin = date(1, 1, 1)
	}
	horizon := max(regular, first.Year()+20)
	if !last.IsZero() {
		horizon = max(horizon, last.Year()+2)
	}
	horizon = min(horizon, max(regular, first.Year()+200))
	base := min(1970, begin.Year())

	list := onsets(z, begin, horizon)
	if len(list) == 0 || list[0].at.After(begin) || how == held {
		name, offset := begin.In(z.loc).Zone()
		o := onset{at: date(base, 1, 1), from: minutes(offset), to: minutes(offset), name: name}
		if len(list) > 0 && !list[0].at.After(begin) {
			o.daylight, list = list[0].daylight, list[1:]
		}
		if how == held {
			o.at = begin.Add(-o.from)
		}
		list = append([]onset{o}, list...)
	}
	lead := list[0] // in force at begin
	runs := join(findRuns(list))
	if !last.IsZero() {
		end := last.UTC().AddDate(1, 0, 0)
		runs = slices.DeleteFunc(runs, func(r run) bool { return r.first.at.After(end) })
	}
	for _, r := range runs {
		o, start, rule := r.first, r.first.wall(), ""
		if how != ordinary && o.at.After(begin) {
			early := r.begunBefore(z, lead.at, last, base, horizon)
			parts = append(parts, early...)
			late = late || early == nil
			continue
		}
		if r.years > 1 {
			yearly := r.rule()
			// The rule may be said to hold from the base on if that adds nothing after the onset that is in force
			// at begin.
			if !yearly.before(start).Add(-o.from).After(lead.at) {
				start = yearly.after(base, start)
			}
			rule = "FREQ=YEARLY;" + yearly.String() + r.until(horizon)
		} else if len(runs) == 1 {
			o.from, start = o.to, date(base, 1, 1) // nothing but one offset
		}
		parts = append(parts, observance(o, start, rule))
		late = late || start.Add(-o.from).After(first)
	}
	return parts, late
}

// until ends the rule of a run, unless the zone follows it for good.
func (r run) until(horizon int) string {
	if r.endless(horizon) {
		return ""
	}
	return untilText(r.last)
}

// untilText ends a rule with o. Ruby's icalendar takes both the clock time and UNTIL for UTC, so UNTIL is the later one.
func untilText(o onset) string {
	end := o.at.UTC()
	if w := o.wall(); w.After(end) {
		end = w
	}
	return ";UNTIL=" + end.Format(ics.UTCForm)
}

// maxBegun bounds the parts that a rule without end is made of, to have begun before it does.
const maxBegun = 8

// covered is for how many years at least these parts say it.
const covered = 100

// begunBefore are parts that say what r does up to the year after last (zero: for good), each of which has an onset before lead,
// when what is in force as the object begins came into force: the rule itself, where what it adds in between changes nothing;
// rules with an INTERVAL that skips the years in between. nil where that takes too many.
func (r run) begunBefore(z zone, lead, last time.Time, base, horizon int) (parts []*ical.Component) {
	o, rule := r.first, r.rule()
	clock := o.wall()
	say := func(from, every, to int) {
		text := "FREQ=YEARLY;"
		if every > 1 {
			text += fmt.Sprintf("INTERVAL=%d;", every)
		}
		text += rule.String()
		if to > 0 {
			text += untilText(onset{at: rule.in(to, clock).Add(-o.from), from: o.from})
		}
		parts = append(parts, observance(o, rule.in(from, clock), text))
	}
	old, harmless := clock, true // old: the last time of the rule before lead
	for {
		if old.Year() < 300 {
			return nil // INTERVALs reach back twice covered
		}
		old = rule.before(old)
		at := old.Add(-o.from)
		if at.Before(lead) {
			break
		}
		_, offset := at.In(z.loc).Zone()
		harmless = harmless && minutes(offset) == o.to
	}
	begins, ends, skipped, endless := clock.Year(), r.last.wall().Year(), clock.Year()-old.Year(), r.endless(horizon)
	switch {
	case harmless:
		from := old.Year()
		if r.years > 1 {
			from = min(from, rule.after(base, clock).Year())
		}
		to := ends
		if endless {
			to = 0
		}
		say(from, 1, to)
	case r.gaps && endless && last.IsZero():
		return nil
	case r.gaps:
		for _, o := range r.all {
			if last.IsZero() || o.at.Before(last.AddDate(1, 0, 0)) {
				one := newRun(o).begunBefore(z, lead, last, base, horizon)
				if one == nil {
					return nil
				}
				parts = append(parts, one...)
			}
		}
	case !endless || !last.IsZero():
		if !last.IsZero() {
			ends = min(ends, max(begins, last.Year()+1))
		}
		done := map[int]bool{}
		for y := begins; y <= ends; y++ {
			if done[y] {
				continue
			}
			to := y
			for n := y; n <= ends; n += y - old.Year() {
				done[n], to = true, n
			}
			say(old.Year(), y-old.Year(), to)
		}
	default:
		// One rule has each year that is a multiple of the skipped ones from old on. Each of the others would meet a year in
		// between; what has twice its INTERVAL need not, and has every other year, and so on.
		say(old.Year(), skipped, 0)
		for n := 1; n < skipped; n++ {
			for every := 2 * skipped; n+every/2 < covered; every *= 2 {
				if say(old.Year()+n-every/2, every, 0); len(parts) > maxBegun {
					return nil
				}
			}
		}
	}
	return parts
}

func observance(o onset, start time.Time, rule string) *ical.Component {
	c := ical.NewComponent(ical.CompTimezoneStandard)
	if o.daylight {
		c.Name = ical.CompTimezoneDaylight
	}
	add(c, ical.PropDateTimeStart, start.Format(ics.WallForm))
	add(c, ical.PropTimezoneOffsetFrom, offsetText(o.from))
	add(c, ical.PropTimezoneOffsetTo, offsetText(o.to))
	add(c, ical.PropTimezoneName, ics.EscapeText(o.name))
	if rule != "" {
		add(c, ical.PropRecurrenceRule, rule)
	}
	return c
}

func offsetText(d time.Duration) string {
	sign := '+'
	if d < 0 {
		sign, d = '-', -d
	}
	m := int(d / time.Minute)
	return fmt.Sprintf("%c%02d%02d", sign, m/60, m%60)
}

// minutes is an offset in seconds as a duration of whole minutes: local mean time has seconds.
func minutes(offset int) time.Duration {
	return (time.Duration(offset) * time.Second).Truncate(time.Minute)
}

// cachedFrom and cachedTo are the years whose onsets are looked for once a zone.
const cachedFrom, cachedTo = 1968, 2060

var onsetCache sync.Map // tzid → []onset, at most the zones of ianaZones

// onsets are the changes of offset in z from the last one before begin, if it was not long ago, to the end of the year
// horizon.
func onsets(z zone, begin time.Time, horizon int) []onset {
	var list []onset
	if _, known := ianaZones[z.tzid]; known && begin.Year() > cachedFrom && horizon <= cachedTo {
		cached, ok := onsetCache.Load(z.tzid)
		if !ok {
			cached = findOnsets(z.loc, date(cachedFrom, 1, 1), date(cachedTo+1, 1, 1))
			onsetCache.Store(z.tzid, cached)
		}
		list = cached.([]onset)
	} else {
		list = findOnsets(z.loc, begin.AddDate(-1, 0, 0), date(horizon+1, 1, 1))
	}
	first, _ := slices.BinarySearchFunc(list, begin, func(o onset, t time.Time) int { return o.at.Compare(t) })
	end, _ := slices.BinarySearchFunc(list, date(horizon+1, 1, 1), func(o onset, t time.Time) int { return o.at.Compare(t) })
	return list[max(first-1, 0):end]
}

// step is less than the time between any two changes of offset.
const step = 5 * day

// findOnsets probes the offset of loc, since ZoneBounds is not exact in the years to come.
func findOnsets(loc *time.Location, begin, end time.Time) []onset {
	var out []onset
	offset := func(t time.Time) time.Duration {
		_, o := t.In(loc).Zone()
		return minutes(o)
	}
	for t := begin; t.Before(end); t = t.Add(step) {
		from := offset(t)
		if offset(t.Add(step)) == from {
			continue
		}
		lo, hi := t.Unix(), t.Add(step).Unix()
		for hi-lo > 1 {
			if mid := (lo + hi) / 2; offset(time.Unix(mid, 0)) == from {
				lo = mid
			} else {
				hi = mid
			}
		}
		o := onset{at: time.Unix(hi, 0).UTC(), from: from}
		o.to = offset(o.at)
		after := o.at.In(loc)
		o.name, _ = after.Zone()
		// What goes up in the course of summer time is DAYLIGHT, so that Dublin, whose standard time is that of
		// summer, and Casablanca, which goes down for Ramadan, look like any other zone.
		o.daylight = o.to > o.from && (after.IsDST() || time.Unix(lo, 0).In(loc).IsDST())
		out = append(out, o)
	}
	return out
}

func newRun(o onset) run {
	return run{first: o, last: o, years: 1, fit: newFit(o.wall()), all: []onset{o}}
}

// findRuns sorts onsets, which are in order, into runs, in the order of their first onsets.
func findRuns(list []onset) []run {
	var runs []run
next:
	for _, o := range list {
		wall := o.wall()
		for i := range runs {
			r := &runs[i]
			if r.last.at.Year()+1 != o.at.Year() || r.last.from != o.from || r.last.to != o.to ||
				r.last.name != o.name || r.last.daylight != o.daylight {
				continue
			}
			if f, ok := r.fit.with(wall); ok {
				r.last, r.fit, r.all = o, f, append(r.all, o)
				r.years++
				continue next
			}
		}
		runs = append(runs, newRun(o))
	}
	return runs
}

// join joins runs that leave out years where these are the ones in which one rule has no day: the Friday after the last Thursday
// of October, when Cairo's summer time ends, is one of October's last six days or, in years that have none of them, the first of
// November.
func join(runs []run) []run {
	for i := 0; i < len(runs); i++ {
		for j := i + 1; j < len(runs); j++ {
			if both, ok := runs[i].with(runs[j]); ok {
				runs[i], runs, j = both, slices.Delete(runs, j, j+1), i
			}
		}
	}
	for i := range runs {
		runs[i].sure = slices.ContainsFunc(runs, func(r run) bool {
			return r.first.from == runs[i].first.from && r.first.to == runs[i].first.to && len(r.all) >= 5
		})
	}
	return runs
}

// with is r and a later run as one; ok is false where no rule has just the onsets of both.
func (r run) with(later run) (both run, ok bool) {
	a, b := r.first, later.first
	if a.from != b.from || a.to != b.to || a.name != b.name || a.daylight != b.daylight {
		return r, false
	}
	both = run{first: a, last: later.last, years: r.years + later.years, fit: r.fit, gaps: true, all: slices.Concat(r.all, later.all)}
	slices.SortFunc(both.all, func(a, b onset) int { return a.at.Compare(b.at) })
	both.first, both.last = both.all[0], both.all[len(both.all)-1]
	for _, o := range later.all {
		if both.fit, ok = both.fit.with(o.wall()); !ok || !both.fit.weekday {
			return r, false
		}
	}
	rule, n := both.rule(), 0
	for year := both.first.wall().Year(); year <= both.last.wall().Year(); year++ {
		at, hit := rule.on(year, a.wall())
		if hit && (n == len(both.all) || !both.all[n].wall().Equal(at)) {
			return r, false
		}
		if hit {
			n++
		}
	}
	return both, n == len(both.all)
}

// rule is the rule that gives just the clock times of r.
func (r run) rule() yearly {
	if r.gaps {
		return yearly{month: r.fit.clock.Month(), weekday: r.fit.clock.Weekday(), from: r.fit.lo, to: r.fit.hi}
	}
	return r.fit.rule()
}

// endless is whether the zone follows the rule of r for good, as far as is looked.
func (r run) endless(horizon int) bool {
	if !r.gaps {
		return r.years > 1 && r.last.at.Year() >= horizon
	}
	for year := r.last.wall().Year() + 1; r.sure && year <= horizon; year++ {
		if _, hit := r.rule().on(year, r.first.wall()); hit {
			return false
		}
	}
	return r.sure
}

// yearly is a rule for one day a year.
type yearly struct {
	month   time.Month
	weekday time.Weekday
	nth     int // the nth weekday, -1 for the last; 0: see from
	from    int // the weekday from this day on; 0: see day
	to      int // up to this day, in years that have it; 0: six days after from
	day     int
}

func (y yearly) String() string {
	s := "BYMONTH=" + strconv.Itoa(int(y.month))
	switch {
	case y.nth != 0:
		return s + ";BYDAY=" + strconv.Itoa(y.nth) + dayNames[y.weekday]
	case y.from != 0:
		var days []string
		for d := y.from; d <= y.lastDay(); d++ {
			days = append(days, strconv.Itoa(d))
		}
		return s + ";BYMONTHDAY=" + strings.Join(days, ",") + ";BYDAY=" + dayNames[y.weekday]
	}
	return s + ";BYMONTHDAY=" + strconv.Itoa(y.day)
}

func (y yearly) lastDay() int {
	if y.to == 0 {
		return y.from + 6
	}
	return y.to
}

// on is in, and whether the rule has a day in that year.
func (y yearly) on(year int, clock time.Time) (t time.Time, ok bool) {
	t = y.in(year, clock)
	return t, y.from == 0 || t.Month() == y.month && t.Day() <= y.lastDay()
}

// before is the last time of the rule in a year before that of clock.
func (y yearly) before(clock time.Time) time.Time {
	for year := clock.Year() - 1; ; year-- {
		if t, ok := y.on(year, clock); ok {
			return t
		}
	}
}

// after is the first time of the rule from the beginning of a year on, at the clock time of clock.
func (y yearly) after(year int, clock time.Time) time.Time {
	for ; ; year++ {
		if t, ok := y.on(year, clock); ok {
			return t
		}
	}
}

// in is the day of the rule in a year, at the clock time of clock.
func (y yearly) in(year int, clock time.Time) time.Time {
	d := y.day
	switch {
	case y.nth != 0:
		d = pattern{kind: relativeMonthly, days: []time.Weekday{y.weekday}, nth: y.nth}.inMonth(year, y.month, true)
	case y.from != 0:
		d = y.from + int(y.weekday-date(year, y.month, y.from).Weekday()+7)%7
	}
	return date(year, y.month, d).Add(clock.Sub(dateOf(clock)))
}

// fit is what the clock times of a run have in common: which rules would give them.
type fit struct {
	clock                     time.Time // the first one
	lo, hi                    int       // the days of the month that they lie between
	weekday, fixed, nth, last bool      // all on the same weekday, day of the month, nth weekday, last weekday
}

func newFit(t time.Time) fit {
	return fit{clock: t, lo: t.Day(), hi: t.Day(), weekday: true, fixed: true, nth: true, last: t.Day()+7 > daysIn(t.Year(), t.Month())}
}

// with is f with one more time; ok is false where no rule gives them all.
func (f fit) with(t time.Time) (out fit, ok bool) {
	w := f.clock
	if t.Month() != w.Month() || t.Hour() != w.Hour() || t.Minute() != w.Minute() || t.Second() != w.Second() {
		return f, false
	}
	f.lo, f.hi = min(f.lo, t.Day()), max(f.hi, t.Day())
	f.weekday = f.weekday && t.Weekday() == w.Weekday()
	f.fixed = f.fixed && t.Day() == w.Day()
	f.nth = f.nth && (t.Day()-1)/7 == (w.Day()-1)/7
	f.last = f.last && t.Day()+7 > daysIn(t.Year(), t.Month())
	return f, f.fixed || f.weekday && f.hi-f.lo <= 6
}

// rule is the rule that gives exactly the times of a run.
func (f fit) rule() yearly {
	y := yearly{month: f.clock.Month(), weekday: f.clock.Weekday()}
	switch {
	case f.weekday && f.last:
		y.nth = -1
	case f.weekday && f.nth:
		y.nth = (f.clock.Day()-1)/7 + 1
	case f.weekday && f.hi-f.lo <= 6:
		y.from = min(f.lo, daysIn(2025, y.month)-6)
	default:
		y.day = f.clock.Day()
	}
	return y
}
