package ics

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/teambition/rrule-go"
)

// rule is an RRULE (RFC 5545 §3.3.10). It is expanded on the wall clock, since it is the computed clock times that RFC
// 5545 has turned into instants. rrule-go finds the days, and the times on them for a rule by days or longer. A rule by
// hours or less is one of days here, with the times that its clock has on each: rrule-go may look for those forever.
//
// Kept from rrule-go are COUNT, which counts DTSTART whether the rule hits it or not; UNTIL, which is an instant; and
// BYWEEKNO, where a week belongs to the year that it is counted in, also on the days of it that are in another.
type rule struct {
	start Moment
	opt   rrule.ROption
	count int // 0: none
	until *Moment
	weeks []int // BYWEEKNO
	years int   // the interval of a rule with BYWEEKNO
	clock *clock
	never bool // nothing is ever hit
	cost  int  // steps that it took to find out
}

// maxInterval bounds INTERVAL for a rule by days or longer.
const maxInterval = 10_000

var units = map[rrule.Frequency]int64{rrule.HOURLY: 3600, rrule.MINUTELY: 60, rrule.SECONDLY: 1}

// parseRule reads an RRULE of an event that starts at start. The error wraps ErrNotUnderstood.
func parseRule(text string, start Moment) (*rule, error) {
	r := &rule{start: start}
	var parts []string
	for part := range strings.SplitSeq(strings.ToUpper(strings.ReplaceAll(text, " ", "")), ";") {
		name, v, _ := strings.Cut(part, "=")
		var err error
		switch {
		case part == "", part == "RSCALE=GREGORIAN", part == "SKIP=OMIT": // RFC 7529: what holds without them
			continue
		case name == "UNTIL":
			var until Moment
			until, err = ParseMoment(v, nil)
			r.until = &until
		case name == "COUNT":
			if r.count, err = strconv.Atoi(v); err == nil && r.count < 1 {
				err = fmt.Errorf("COUNT=%d", r.count)
			}
		case strings.Count(v, ",") >= 366:
			err = fmt.Errorf("long %s", name)
		default:
			parts = append(parts, part)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotUnderstood, err)
		}
	}
	opt, err := rrule.StrToROption(strings.Join(parts, ";"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotUnderstood, err)
	}
	r.opt = *opt
	r.opt.Interval = cmp.Or(opt.Interval, 1)
	if r.opt.Interval < 0 || !r.regular() || slices.ContainsFunc(opt.Byweekno, func(n int) bool { return n == 0 || max(n, -n) > 53 }) {
		return nil, fmt.Errorf("%w: %s", ErrNotUnderstood, clip(text))
	}
	for i, s := range r.opt.Bysecond {
		if s == 60 { // a leap second is taken for the one before it
			r.opt.Bysecond[i] = 59
		}
	}
	for _, l := range []*[]int{&r.opt.Byhour, &r.opt.Byminute, &r.opt.Bysecond} {
		slices.Sort(*l)
		*l = slices.Compact(*l)
	}
	r.fill()
	r.never = r.never || start.Wall.Year() < 1 // which is none to rrule-go
	if unit := units[r.opt.Freq]; unit != 0 {
		if _, err := rrule.NewRRule(r.opt); err != nil { // it looks at the bounds of each part
			return nil, fmt.Errorf("%w: %w", ErrNotUnderstood, err)
		}
		r.clock = newClock(r.opt, unit, start.Wall)
		r.opt = rrule.ROption{Freq: rrule.DAILY, Interval: 1, Bymonth: r.opt.Bymonth, Bymonthday: r.opt.Bymonthday,
			Byyearday: r.opt.Byyearday, Byweekday: r.opt.Byweekday}
		r.never = r.never || !r.clock.possible() || !r.possible()
		return r, nil
	}
	if r.opt.Interval > maxInterval || r.perPeriod() > maxPeriod {
		return nil, fmt.Errorf("%w: %s", ErrNotUnderstood, clip(text))
	}
	if !r.never && !r.possible() {
		if _, err := rrule.NewRRule(r.opt); err != nil { // such as a month that there is not
			return nil, fmt.Errorf("%w: %w", ErrNotUnderstood, err)
		}
		r.never = true
	}
	return r, nil
}

// regular reports whether the parts of the rule go together (RFC 5545 §3.3.10).
func (r *rule) regular() bool {
	o := &r.opt
	yearly := o.Freq == rrule.YEARLY
	return len(o.Byeaster) == 0 && o.Until.IsZero() && o.Count == 0 && o.Dtstart.IsZero() &&
		(yearly || len(o.Byweekno) == 0) &&
		(yearly || o.Freq > rrule.DAILY || len(o.Byyearday) == 0) &&
		(o.Freq != rrule.WEEKLY || len(o.Bymonthday) == 0) &&
		(len(o.Byweekno) == 0 || len(o.Bysetpos) == 0) // which rrule-go counts by the calendar year
}

// maxPeriod bounds the instances of one year, month, week or day, which rrule-go makes all at once.
const maxPeriod = 100_000

func (r *rule) perPeriod() int {
	days := map[rrule.Frequency]int{rrule.YEARLY: 366, rrule.MONTHLY: 31, rrule.WEEKLY: 7, rrule.DAILY: 1}[r.opt.Freq]
	return days * len(r.opt.Byhour) * len(r.opt.Byminute) * len(r.opt.Bysecond)
}

// fill writes down what the rule takes from DTSTART, so that it can be expanded from any period on, and brings the parts
// into a form that rrule-go expands as RFC 5545 says.
func (r *rule) fill() {
	o, w := &r.opt, r.start.Wall
	weekday := rrule.Weekday([]rrule.Weekday{rrule.SU, rrule.MO, rrule.TU, rrule.WE, rrule.TH, rrule.FR, rrule.SA}[w.Weekday()])
	if len(o.Byyearday)+len(o.Bymonthday)+len(o.Byweekday) == 0 {
		switch {
		case o.Freq == rrule.YEARLY && len(o.Byweekno) > 0, o.Freq == rrule.WEEKLY:
			o.Byweekday = []rrule.Weekday{weekday}
		case o.Freq == rrule.YEARLY:
			if len(o.Bymonth) == 0 {
				o.Bymonth = []int{int(w.Month())}
			}
			o.Bymonthday = []int{w.Day()}
		case o.Freq == rrule.MONTHLY:
			o.Bymonthday = []int{w.Day()}
		}
	}
	for _, part := range []struct {
		list  *[]int
		unit  rrule.Frequency
		start int
	}{{&o.Byhour, rrule.HOURLY, w.Hour()}, {&o.Byminute, rrule.MINUTELY, w.Minute()}, {&o.Bysecond, rrule.SECONDLY, w.Second()}} {
		if len(*part.list) == 0 && o.Freq < part.unit {
			*part.list = []int{part.start}
		}
	}
	r.fillWeekdays()
	if len(o.Byweekno) > 0 {
		r.weeks, r.years = o.Byweekno, o.Interval
		o.Byweekno, o.Interval = nil, 1
	}
}

// fillWeekdays writes BYDAY so that either all days of it have a number or none has: rrule-go asks for days that are both.
// It leaves out numbers that no month has, at which it panics.
func (r *rule) fillWeekdays() {
	o := &r.opt
	numbered := func(d rrule.Weekday) bool { return d.N() != 0 }
	if !slices.ContainsFunc(o.Byweekday, numbered) {
		return
	}
	if o.Freq > rrule.MONTHLY || len(o.Byweekno) > 0 { // a number means nothing there
		for i := range o.Byweekday {
			o.Byweekday[i] = o.Byweekday[i].Nth(0)
		}
		return
	}
	most := 53
	if o.Freq == rrule.MONTHLY || len(o.Bymonth) > 0 {
		most = 5
	}
	var days []rrule.Weekday
	for _, d := range o.Byweekday {
		switch {
		case d.N() == 0:
			for n := range most {
				days = append(days, d.Nth(n+1))
			}
		case max(d.N(), -d.N()) <= most:
			days = append(days, d)
		}
	}
	o.Byweekday = days
	r.never = r.never || len(days) == 0
}

// possible reports whether the rule ever hits a day, up to its UNTIL: rrule-go would look for 30 February, or for the
// second Sunday that is a 30th, until the year 9999. The calendar is the same again after 400 years, so that as many periods
// of the rule are all that there are, for any interval.
func (r *rule) possible() bool {
	o := &r.opt
	limits := 0
	for _, n := range []int{len(o.Bymonthday), len(o.Byyearday), len(o.Byweekday), len(r.weeks), len(o.Bymonth)} {
		limits += min(n, 1)
	}
	switch {
	case len(o.Bysetpos) > 0:
	case limits == 0, limits == 1 && (o.Interval == 1 || o.Freq == rrule.WEEKLY): // there are 53 weeks and 366 days
		return true
	case limits == 2 && o.Interval == 1 && len(o.Bymonth)*len(o.Bymonthday) > 0 && r.hasDate():
		return true
	}
	needed := 1 // days of a period
	if len(o.Bysetpos) > 0 {
		needed = 366
		times := max(len(o.Byhour), 1) * max(len(o.Byminute), 1) * max(len(o.Bysecond), 1)
		for _, n := range o.Bysetpos {
			needed = min(needed, (max(n, -n)+times-1)/times)
		}
	}
	type kind struct {
		length  int // days
		month   time.Month
		weekday time.Weekday
	}
	tried := map[kind]bool{}
	days := 0
	defer func() { r.cost = days / searched }()
	first := r.period(r.start.Wall)
	y, m, d := first.Date()
	for n := 0; ; n += o.Interval {
		var begin, end time.Time
		switch o.Freq {
		case rrule.YEARLY:
			begin, end = date(y+n, 1, 1), date(y+n+1, 1, 1)
		case rrule.MONTHLY:
			begin, end = date(y, m+time.Month(n), 1), date(y, m+time.Month(n)+1, 1)
		case rrule.WEEKLY:
			begin, end = date(y, m, d+7*n), date(y, m, d+7*n+7)
		default:
			begin, end = date(y, m, d+n), date(y, m, d+n+1)
		}
		if begin.Year() > 9999 || begin.Year()-y >= 400*o.Interval || r.until != nil && begin.After(r.until.Wall.Add(Slack)) {
			return false
		}
		k := kind{int(end.Sub(begin).Hours()) / 24, begin.Month(), begin.Weekday()}
		if o.Freq <= rrule.MONTHLY && len(r.weeks) == 0 {
			if tried[k] {
				continue
			}
			tried[k] = true
		}
		left := needed
		for t := begin; t.Before(end); t = t.Add(24 * time.Hour) {
			days++
			if r.allows(t) {
				if left--; left == 0 {
					return true
				}
			}
		}
	}
}

// hasDate reports whether any of the months ever has any of the days.
func (r *rule) hasDate() bool {
	length := [13]int{1: 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	for _, month := range r.opt.Bymonth {
		for _, d := range r.opt.Bymonthday {
			if month >= 1 && month <= 12 && max(d, -d) <= length[month] {
				return true
			}
		}
	}
	return false
}

// allows reports whether a day is within all the parts of the rule that are for days, but for its interval.
func (r *rule) allows(t time.Time) bool {
	o := &r.opt
	y, m, d := t.Date()
	if len(o.Bymonth) > 0 && !slices.Contains(o.Bymonth, int(m)) {
		return false
	}
	length := date(y, m+1, 0).Day()
	if len(o.Bymonthday) > 0 && !slices.Contains(o.Bymonthday, d) && !slices.Contains(o.Bymonthday, d-length-1) {
		return false
	}
	day, days := t.YearDay(), date(y, 12, 31).YearDay()
	if len(o.Byyearday) > 0 && !slices.Contains(o.Byyearday, day) && !slices.Contains(o.Byyearday, day-days-1) {
		return false
	}
	if o.Freq == rrule.MONTHLY || len(o.Bymonth) > 0 {
		day, days = d, length
	}
	if len(o.Byweekday) > 0 && !slices.ContainsFunc(o.Byweekday, func(w rrule.Weekday) bool {
		return time.Weekday((w.Day()+1)%7) == t.Weekday() && (w.N() == 0 || w.N() == (day-1)/7+1 || w.N() == -(days-day)/7-1)
	}) {
		return false
	}
	if len(r.weeks) == 0 {
		return true
	}
	_, week, of := weekOf(t, time.Weekday((o.Wkst.Day()+1)%7))
	return slices.Contains(r.weeks, week) || slices.Contains(r.weeks, week-of-1)
}

// ended reports whether an instance lies after UNTIL. A form that does not go with DTSTART's is read for the day that it
// names.
func (r *rule) ended(m Moment, at time.Time) bool {
	switch u := r.until; {
	case u == nil:
		return false
	case u.Date:
		return !m.Wall.Before(u.Wall.AddDate(0, 0, 1))
	case u.Loc != nil && m.Loc != nil:
		return at.After(u.Wall)
	}
	return m.Wall.After(r.until.Wall)
}

// iterator gives the clock times of a rule, one by one, and counts its steps on the Reader.
type iterator func(*Reader) (wall time.Time, ok bool, err error)

// within iterates over the rule without DTSTART. It may leave out times before skip, unless the rule counts, and times
// after stop, if that is not zero.
func (r *rule) within(skip, stop time.Time) (iterator, error) {
	if r.never || r.count == 1 || r.until != nil && r.until.Wall.Add(Slack).Before(r.start.Wall) {
		return func(reader *Reader) (time.Time, bool, error) { return time.Time{}, false, reader.step(r.cost) }, nil
	}
	if u := r.until; u != nil && (stop.IsZero() || u.Wall.Before(stop)) {
		stop = u.Wall.Add(Slack)
	}
	if r.count > 0 || skip.Before(r.start.Wall) {
		skip = r.start.Wall
	}
	next, err := r.days(skip)
	if err != nil {
		return nil, err
	}
	if r.clock != nil {
		next = r.clock.times(next, stop)
	}
	counted := 1 // DTSTART
	begun := false
	return func(reader *Reader) (time.Time, bool, error) {
		if !begun {
			begun = true
			if err := reader.step(setUp + r.cost); err != nil {
				return time.Time{}, false, err
			}
		}
		for {
			wall, ok, err := next(reader)
			switch {
			case err != nil || !ok || !stop.IsZero() && wall.After(stop):
				return wall, false, err
			case !wall.After(r.start.Wall) || !r.inWeeks(wall):
				continue
			}
			if counted++; r.count > 0 && counted > r.count {
				return wall, false, nil
			}
			return wall, true, nil
		}
	}, nil
}

// days iterates over what rrule-go makes of the rule, from the beginning of the year, month, week or day in which skip
// is, or an earlier one.
func (r *rule) days(skip time.Time) (iterator, error) {
	opt := r.opt
	opt.Dtstart = r.period(skip).Add(1) // a nanosecond, which rrule-go drops, but without it year 1 begins now
	opt.Until = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	var next rrule.Next
	err := guard(func() error {
		rr, err := rrule.NewRRule(opt)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNotUnderstood, err)
		}
		next = rr.Iterator()
		return nil
	})
	last := opt.Dtstart
	return func(reader *Reader) (t time.Time, ok bool, err error) {
		if err = guard(func() error { t, ok = next(); return nil }); err != nil {
			return t, false, err
		}
		// It has looked at all days up to there.
		now := opt.Until
		if ok {
			now = t
		}
		days := (now.Unix() - last.Unix()) / 86400
		last = now
		if err := reader.step(1 + int(days)/(searched*opt.Interval)); err != nil {
			return t, false, err
		}
		return t, ok, nil
	}, err
}

// setUp is how many steps it counts for to set up rrule-go.
const setUp = 10

// searched is how many days without an instance count as one step.
const searched = 16

// period is the beginning of the period in which skip is, of one that the interval hits.
func (r *rule) period(skip time.Time) time.Time {
	y, m, d := r.start.Wall.Date()
	n := r.opt.Interval
	back := func(distance int) int { return distance - distance%n }
	switch r.opt.Freq {
	case rrule.YEARLY:
		return date(y+back(skip.Year()-y), 1, 1)
	case rrule.MONTHLY:
		return date(y, m+time.Month(back((skip.Year()-y)*12+int(skip.Month()-m))), 1)
	case rrule.WEEKLY:
		first := date(y, m, d-(int(r.start.Wall.Weekday())+6-r.opt.Wkst.Day())%7)
		if first.Year() < 1 {
			return r.start.Wall
		}
		return first.AddDate(0, 0, 7*back(int((skip.Unix()-first.Unix())/(7*86400))))
	}
	first := date(y, m, d)
	return first.AddDate(0, 0, back(int((skip.Unix()-first.Unix())/86400)))
}

func date(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

// guard turns a panic of rrule-go into an error.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrNotUnderstood, p)
		}
	}()
	return f()
}

// inWeeks reports whether a day is in one of the weeks of BYWEEKNO.
func (r *rule) inWeeks(t time.Time) bool {
	if len(r.weeks) == 0 {
		return true
	}
	wkst := time.Weekday((r.opt.Wkst.Day() + 1) % 7)
	year, week, of := weekOf(t, wkst)
	start, _, _ := weekOf(r.start.Wall, wkst)
	return (year-start)%r.years == 0 && (slices.Contains(r.weeks, week) || slices.Contains(r.weeks, week-of-1))
}

// weekOf is the number of the week that t is in, and the year that it is counted in, which has so many: the first is the
// first that has four days of the year.
func weekOf(t time.Time, wkst time.Weekday) (year, week, of int) {
	first := func(year int) time.Time { // day of the first week
		fourth := date(year, 1, 4)
		return fourth.AddDate(0, 0, -(int(fourth.Weekday()-wkst)+7)%7)
	}
	year = t.Year() + 1
	for t.Before(first(year)) {
		year--
	}
	days := func(from, to time.Time) int { return int((to.Unix() - from.Unix()) / 86400) }
	return year, days(first(year), t)/7 + 1, days(first(year), first(year+1)) / 7
}

// clock is what a rule by hours, minutes or seconds has on a day.
type clock struct {
	unit, interval int64 // seconds; units
	first          int64 // the unit of DTSTART, counted from 1970
	hours, minutes []int // that it is limited to; none: all
	seconds        []int
	within         []int64 // seconds from the beginning of a unit, in order
}

func newClock(o rrule.ROption, unit int64, start time.Time) *clock {
	c := &clock{unit: unit, interval: int64(o.Interval), first: floorDiv(start.Unix(), unit), hours: o.Byhour}
	minutes, seconds := []int{0}, []int{0}
	switch unit {
	case 3600:
		minutes, seconds = o.Byminute, o.Bysecond
	case 60:
		c.minutes, seconds = o.Byminute, o.Bysecond
	default:
		c.minutes, c.seconds = o.Byminute, o.Bysecond
	}
	for _, m := range minutes {
		for _, s := range seconds {
			c.within = append(c.within, int64(m)*60+int64(s))
		}
	}
	if len(o.Bysetpos) > 0 {
		var chosen []int64
		for i, at := range c.within {
			if slices.Contains(o.Bysetpos, i+1) || slices.Contains(o.Bysetpos, i-len(c.within)) {
				chosen = append(chosen, at)
			}
		}
		c.within = chosen
	}
	return c
}

// possible reports whether any unit that the interval hits is within the limits, on whatever day.
func (c *clock) possible() bool {
	if len(c.within) == 0 {
		return false
	}
	a, b := c.interval, 86400/c.unit
	for b > 0 {
		a, b = b, a%b
	}
	for u := c.first - floorDiv(c.first, a)*a; u < 86400/c.unit; u += a { // all of a day that the interval ever hits
		if _, ok := c.allowed(u); ok {
			return true
		}
	}
	return false
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// times iterates over the times of the clock on each of the days up to stop.
func (c *clock) times(days iterator, stop time.Time) iterator {
	var u, end int64 // units: the next to look at, and the first of the day after
	pending := c.within[:0]
	return func(r *Reader) (time.Time, bool, error) {
		for {
			if len(pending) > 0 {
				at := pending[0]
				pending = pending[1:]
				return time.Unix((u-c.interval)*c.unit+at, 0).UTC(), true, r.step(1)
			}
			for u >= end {
				d, ok, err := days(r)
				if err != nil || !ok || len(c.within) == 0 || !stop.IsZero() && d.After(stop) {
					return d, false, err
				}
				u = c.align(d.Unix() / c.unit)
				end = (d.Unix() + 86400) / c.unit
			}
			if later, ok := c.allowed(u); !ok {
				if err := r.step(1); err != nil {
					return time.Time{}, false, err
				}
				u = c.align(later)
				continue
			}
			pending = c.within
			u += c.interval
		}
	}
}

// align is the first unit from u on that the interval hits.
func (c *clock) align(u int64) int64 {
	if into := (u - c.first) % c.interval; into > 0 {
		return u + c.interval - into
	} else {
		return u - into
	}
}

// allowed reports whether a unit is within the hours, minutes and seconds that the clock is limited to, and if not, the
// first unit that may be.
func (c *clock) allowed(u int64) (later int64, ok bool) {
	second := u * c.unit
	into := second - floorDiv(second, 86400)*86400
	for _, limit := range []struct {
		list []int
		size int64 // seconds
		n    int64
	}{{c.hours, 3600, into / 3600}, {c.minutes, 60, into / 60 % 60}, {c.seconds, 1, into % 60}} {
		if len(limit.list) > 0 && !slices.Contains(limit.list, int(limit.n)) {
			return (floorDiv(second, limit.size) + 1) * limit.size / c.unit, false
		}
	}
	return 0, true
}
