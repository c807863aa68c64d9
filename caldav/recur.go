package caldav

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"
	"github.com/teambition/rrule-go"
)

// Limits on the work that one series makes: instances looked at, which for a daily series is 270 years, and
// instances answered with.
const (
	maxSteps    = 100_000
	maxExpanded = 10_000
	maxWork     = 5_000_000 // instances looked at for one request; what is left then is not judged
)

var (
	// errTooManyInstances is a series that goes past those limits.
	errTooManyInstances = errors.New("too many instances")
	// errNotExpandable is a series that is valid, perhaps, but not understood here.
	errNotExpandable = errors.New("recurrence is not understood")
)

// timeRange is a CALDAV:time-range (RFC 4791 §9.9); a zero bound is open.
type timeRange struct{ start, end time.Time }

// overlaps is the table of RFC 4791 §9.9 for VEVENT. An event without length, which the table has for DTSTART
// alone and for a zero DURATION, is also one whose DTEND is its DTSTART: Outlook makes such, RFC 5545 does not.
func (r timeRange) overlaps(from, to time.Time) bool {
	if !r.end.IsZero() && !r.end.After(from) {
		return false
	}
	if r.start.IsZero() {
		return true
	}
	if !to.After(from) {
		return !r.start.After(from)
	}
	return r.start.Before(to)
}

// zoneSlack is how far apart two readings of one date or floating time can be: from UTC-12 to UTC+14.
const zoneSlack = 26 * time.Hour

type verdict uint8

const (
	unsure verdict = iota
	outside
	inside
)

// judge tells from an object's bounds alone whether it has an instance in the range, where they are far enough
// from the range's edges. Only what is left over has to be parsed. That there is an instance at a bound is not
// known: the first or the last of a series may have been deleted.
func (r timeRange) judge(o Object) verdict {
	if o.First.IsZero() {
		return unsure
	}
	unbounded := o.Last.IsZero()
	switch {
	case !r.end.IsZero() && !o.First.Before(r.end.Add(zoneSlack)),
		!r.start.IsZero() && !unbounded && o.Last.Before(r.start.Add(-zoneSlack)):
		return outside
	}
	within := (r.start.IsZero() || !o.First.Before(r.start.Add(zoneSlack))) &&
		(r.end.IsZero() || !unbounded && !o.Last.After(r.end.Add(-zoneSlack)))
	if within || unbounded && r.end.IsZero() { // all of its instances, or all but some
		return inside
	}
	return unsure
}

// query returns the range as a backend's Query bounds, which have to hold however dates and floating times are read.
func (r timeRange) query() (start, end time.Time) {
	if !r.start.IsZero() {
		start = r.start.Add(-zoneSlack)
	}
	if !r.end.IsZero() {
		end = r.end.Add(zoneSlack)
	}
	return
}

// instance is one occurrence of an event.
type instance struct {
	comp     *ical.Component
	series   bool      // it has a RECURRENCE-ID, its own or, from the master, id
	id       moment    // where the rule put it
	start    moment    // where it is
	from, to time.Time // the instants of its start and its end
	length   span
	dtend    bool // it ends by a DTEND, not by a DURATION
}

// instanceKey names an instance among those of its series: the instant, or for a date the day.
type instanceKey struct {
	unix int64
	day  string
}

func (z *zones) key(m moment) instanceKey {
	if m.date {
		return instanceKey{day: m.wall.Format("20060102")}
	}
	return instanceKey{unix: z.instant(m).Unix()}
}

type instanceKeys map[instanceKey]bool

// has also finds a date among date-times: some software writes EXDATE;VALUE=DATE for a timed series.
func (k instanceKeys) has(z *zones, m moment) bool {
	return len(k) > 0 && (k[z.key(m)] || k[instanceKey{day: m.wall.Format("20060102")}])
}

// instances calls yield for every instance of an object's VEVENTs that overlaps the range, until yield returns
// false. Overrides come first, each in place of the instance of the master that it names (RFC 5545 §3.8.4.4).
func (z *zones) instances(cal *ical.Calendar, r timeRange, yield func(instance) bool) error {
	overridden := instanceKeys{}
	var masters []*ical.Component
	for _, c := range childrenNamed(cal.Component, "VEVENT") {
		p := c.Props.Get("RECURRENCE-ID")
		if p == nil {
			masters = append(masters, c)
			continue
		}
		if p.Params.Get("RANGE") != "" {
			return fmt.Errorf("%w: RANGE", errNotExpandable)
		}
		id, err := z.moment(p)
		if err != nil {
			return err
		}
		overridden[z.key(id)] = true
		i, err := z.first(c)
		if err != nil {
			return err
		}
		i.series, i.id = true, id
		if r.overlaps(i.from, i.to) && !yield(i) {
			return nil
		}
	}
	for _, c := range masters {
		more, err := z.expandMaster(c, r, overridden, yield)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// first reads the event as it stands, without recurrence.
func (z *zones) first(c *ical.Component) (instance, error) {
	i := instance{comp: c}
	p := c.Props.Get("DTSTART")
	if p == nil {
		return i, errors.New("event without DTSTART")
	}
	var err error
	if i.start, err = z.moment(p); err != nil {
		return i, err
	}
	if p := c.Props.Get("DTEND"); p != nil {
		end, err := z.moment(p)
		if err != nil {
			return i, err
		}
		i.dtend = true
		if i.start.date && end.date {
			i.length.days = int(end.wall.Sub(i.start.wall) / (24 * time.Hour))
		} else {
			// The elapsed time is what every instance has (RFC 5545 §3.8.5.3).
			i.length.exact = z.instant(end).Sub(z.instant(i.start))
		}
	} else if p := c.Props.Get("DURATION"); p != nil {
		if i.length, err = parseDuration(p.Value); err != nil {
			return i, err
		}
	} else if i.start.date {
		i.length.days = 1
	}
	return z.at(i, i.start), nil
}

// at moves an instance to another start.
func (z *zones) at(i instance, start moment) instance {
	i.start, i.id = start, start
	i.from = z.instant(start)
	i.to = i.from
	if i.length.days != 0 {
		i.to = z.instant(moment{wall: start.wall.AddDate(0, 0, i.length.days), loc: start.loc})
	}
	i.to = i.to.Add(i.length.exact)
	return i
}

// expandMaster yields the instances of a component with its RRULE, RDATE and EXDATE. DTSTART is always one, hit
// by the rule or not, as in every client. It reports whether to go on.
func (z *zones) expandMaster(c *ical.Component, r timeRange, overridden instanceKeys, yield func(instance) bool) (bool, error) {
	first, err := z.first(c)
	if err != nil {
		return false, err
	}
	rules, rdates := c.Props["RRULE"], c.Props["RDATE"]
	first.series = len(rules)+len(rdates) > 0
	if len(rules) > 1 || len(c.Props["EXRULE"]) > 0 {
		return false, fmt.Errorf("%w: more than one rule", errNotExpandable)
	}
	excluded := instanceKeys{}
	for _, p := range c.Props["EXDATE"] {
		l, err := z.moments(&p)
		if err != nil {
			return false, err
		}
		for _, m := range l {
			excluded[z.key(m)] = true
		}
	}
	emit := func(m moment) bool {
		if excluded.has(z, m) || overridden.has(z, m) {
			return true
		}
		i := z.at(first, m)
		return !r.overlaps(i.from, i.to) || yield(i)
	}
	if !emit(first.start) {
		return false, nil
	}
	listed := instanceKeys{z.key(first.start): true}
	for _, p := range rdates {
		l, err := z.moments(&p)
		if err != nil {
			return false, err
		}
		if p.Params.Get("VALUE") == "PERIOD" {
			return false, fmt.Errorf("%w: RDATE with periods", errNotExpandable)
		}
		for _, m := range l {
			if k := z.key(m); !listed[k] {
				listed[k] = true
				if !emit(m) {
					return false, nil
				}
			}
		}
	}
	if len(rules) == 0 {
		return true, nil
	}
	rule, err := parseRule(rules[0].Value, first.start)
	if err != nil {
		return false, err
	}
	var skipTo time.Time
	if !r.start.IsZero() {
		skipTo = r.start.Add(-zoneSlack-first.length.exact).AddDate(0, 0, -first.length.days)
	}
	next, err := rule.from(skipTo)
	if err != nil {
		return false, err
	}
	for range maxSteps {
		if z.work++; z.work > maxWork {
			break
		}
		wall, ok, err := next()
		if err != nil || !ok {
			return true, err
		}
		m := moment{wall: wall, loc: first.start.loc, date: first.start.date}
		at := z.instant(m)
		if rule.ended(m, at) || !r.end.IsZero() && at.After(r.end.Add(zoneSlack)) {
			return true, nil
		}
		if !listed[z.key(m)] && !emit(m) {
			return false, nil
		}
	}
	return false, errTooManyInstances
}

// rule is an RRULE, expanded on the wall clock. Its UNTIL is kept apart, since that is an instant (RFC 5545 §3.3.10).
type rule struct {
	opt   rrule.ROption
	until moment
	never bool // no day is ever hit
}

// ended reports whether an instance lies after UNTIL. The forms that do not go with DTSTART's are read for the
// day that they name.
func (r *rule) ended(m moment, at time.Time) bool {
	switch u := r.until; {
	case u.wall.IsZero():
		return false
	case u.date:
		return !m.wall.Before(u.wall.AddDate(0, 0, 1))
	case m.date:
		return m.wall.After(u.wall)
	case u.loc != nil && m.loc != nil:
		return at.After(u.wall)
	default:
		return m.wall.After(u.wall)
	}
}

func parseRule(value string, start moment) (*rule, error) {
	r := &rule{}
	var parts []string
	by := false
	for part := range strings.SplitSeq(strings.ToUpper(strings.TrimSpace(value)), ";") {
		if part == "" {
			continue
		}
		name, v, _ := strings.Cut(part, "=")
		if name == "UNTIL" {
			var err error
			if r.until, err = parseMoment(v, nil); err != nil {
				return nil, err
			}
			continue
		}
		by = by || strings.HasPrefix(name, "BY")
		if strings.HasPrefix(name, "BY") && strings.Count(v, ",") >= 366 {
			return nil, fmt.Errorf("%w: long %s", errNotExpandable, name)
		}
		parts = append(parts, part)
	}
	opt, err := rrule.StrToROption(strings.Join(parts, ";"))
	if err != nil {
		return nil, err
	}
	r.opt = *opt
	r.opt.Dtstart = start.wall
	for _, l := range []*[]int{&r.opt.Byhour, &r.opt.Byminute, &r.opt.Bysecond} {
		slices.Sort(*l)
		*l = slices.Compact(*l)
	}
	if r.opt.Interval > 10_000 || r.opt.Count > maxSteps || r.opt.Freq > rrule.DAILY && by || !regular(opt) {
		return nil, fmt.Errorf("%w: %s", errNotExpandable, value)
	}
	r.never = impossible(opt)
	return r, nil
}

// regular reports whether the parts of a rule go together (RFC 5545 §3.3.10). Where they do not, rrule-go may look
// for a hit, day by day, until the year 9999.
func regular(o *rrule.ROption) bool {
	daily, weekly, yearly := o.Freq == rrule.DAILY, o.Freq == rrule.WEEKLY, o.Freq == rrule.YEARLY
	return len(o.Byeaster) == 0 &&
		(yearly || len(o.Byweekno)+len(o.Byyearday) == 0) &&
		!(weekly && len(o.Bymonthday) > 0) &&
		!(daily && len(o.Bysetpos) > 0)
}

// impossible reports a rule for days such as 30 February, after which rrule-go would look just as long.
func impossible(o *rrule.ROption) bool {
	length := [13]int{1: 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	for _, month := range o.Bymonth {
		for _, day := range o.Bymonthday {
			if month < 1 || month > 12 || max(day, -day) <= length[month] {
				return false // NewRRule tells of a month that there is not
			}
		}
	}
	return len(o.Bymonth) > 0 && len(o.Bymonthday) > 0
}

// from returns an iterator over the rule that may leave out instances before skipTo, on the wall clock. A rule
// that counts has to be counted from its start; one by month or year is short.
func (r *rule) from(skipTo time.Time) (func() (time.Time, bool, error), error) {
	if r.never {
		return func() (time.Time, bool, error) { return time.Time{}, false, nil }, nil
	}
	opt := r.opt
	unit := map[rrule.Frequency]time.Duration{
		rrule.WEEKLY: 7 * 24 * time.Hour, rrule.DAILY: 24 * time.Hour,
		rrule.HOURLY: time.Hour, rrule.MINUTELY: time.Minute, rrule.SECONDLY: time.Second,
	}[opt.Freq]
	if !skipTo.IsZero() && opt.Count == 0 && unit != 0 {
		step := int64(unit/time.Second) * int64(cmp.Or(opt.Interval, 1))
		if n := (skipTo.Unix()-opt.Dtstart.Unix())/step - 1; n > 0 {
			opt.Dtstart = time.Unix(opt.Dtstart.Unix()+n*step, 0).UTC()
		}
	}
	var next rrule.Next
	err := guard(func() error {
		rr, err := rrule.NewRRule(opt)
		if err == nil {
			next = rr.Iterator()
		}
		return err
	})
	return func() (t time.Time, ok bool, err error) {
		err = guard(func() error { t, ok = next(); return nil })
		return
	}, err
}

// guard turns a panic of rrule-go, which indexes past its tables for some impossible rules, into an error.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errNotExpandable, p)
		}
	}()
	return f()
}

// expand returns a calendar of plain instances, without rules and zones (RFC 4791 §9.6.5).
func (z *zones) expand(cal *ical.Calendar, r timeRange) (*ical.Calendar, error) {
	var list []instance
	err := z.instances(cal, r, func(i instance) bool {
		list = append(list, i)
		return len(list) <= maxExpanded
	})
	if len(list) > maxExpanded {
		err = errTooManyInstances
	}
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b instance) int { return a.from.Compare(b.from) })
	out := &ical.Component{Name: cal.Name, Props: cal.Props}
	for _, i := range list {
		out.Children = append(out.Children, i.component(z))
	}
	return &ical.Calendar{Component: out}, nil
}

// component renders one instance: its times in UTC, and a RECURRENCE-ID if it is of a series. Dates and floating
// times stay what they are.
func (i instance) component(z *zones) *ical.Component {
	props := ical.Props{}
	for name, l := range i.comp.Props {
		switch name {
		case "DTSTART", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE", "RECURRENCE-ID":
		default:
			props[name] = l
		}
	}
	props.Set(z.property("DTSTART", i.start))
	if i.series {
		props.Set(z.property("RECURRENCE-ID", i.id))
	}
	if i.dtend || i.length.days != 0 && i.start.loc != nil {
		end := moment{wall: i.start.wall.AddDate(0, 0, i.length.days), date: i.start.date}
		if !i.start.date {
			if end.loc = i.start.loc; end.loc != nil {
				end = moment{wall: i.to.UTC(), loc: time.UTC}
			} else {
				end.wall = end.wall.Add(i.length.exact)
			}
		}
		props.Set(z.property("DTEND", end))
	} else if p := i.comp.Props.Get("DURATION"); p != nil {
		props["DURATION"] = []ical.Prop{*p}
	}
	return &ical.Component{Name: i.comp.Name, Props: props, Children: i.comp.Children}
}

func (z *zones) property(name string, m moment) *ical.Prop {
	p := ical.NewProp(name)
	switch {
	case m.date:
		p.Params.Set("VALUE", "DATE")
		p.Value = m.wall.Format("20060102")
	case m.loc == nil:
		p.Value = m.wall.Format("20060102T150405")
	default:
		p.Value = z.instant(m).UTC().Format("20060102T150405Z")
	}
	return p
}

// limitRecurrences leaves out the overrides that the range does not need: those that neither are in it nor were
// before they were moved (RFC 4791 §9.6.6).
func (z *zones) limitRecurrences(cal *ical.Calendar, r timeRange) (*ical.Calendar, error) {
	out := &ical.Component{Name: cal.Name, Props: cal.Props}
	for _, c := range cal.Children {
		if p := c.Props.Get("RECURRENCE-ID"); p != nil && c.Name == "VEVENT" {
			id, err := z.moment(p)
			if err != nil {
				return nil, err
			}
			now, err := z.first(c)
			if err != nil {
				return nil, err
			}
			was := z.at(now, id)
			if p.Params.Get("RANGE") == "" && !r.overlaps(now.from, now.to) && !r.overlaps(was.from, was.to) {
				continue
			}
		}
		out.Children = append(out.Children, c)
	}
	return &ical.Calendar{Component: out}, nil
}
