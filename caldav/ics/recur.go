package ics

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-ical"
)

// Limits on the work that one series makes: steps taken, which for a daily series is 270 years, and steps of one Reader.
const (
	maxSteps = 100_000
	maxWork  = 5_000_000
)

var (
	// ErrTooMany is wrapped where a series takes more steps than are taken for one, or a Reader has taken all of its own.
	ErrTooMany = errors.New("too many instances")
	// ErrNotUnderstood is wrapped where a recurrence is valid, perhaps, but not understood here.
	ErrNotUnderstood = errors.New("recurrence is not understood")
)

// Reader works out when events are. It bounds the work of all that it is asked together, and remembers zones: an object
// that it has read must not get others. It is for one goroutine. The zero value is ready.
type Reader struct {
	// Floating is where dates and floating times are read; nil: UTC.
	Floating *time.Location
	// Resolve finds zones by names that are not IANA's, such as those of Windows. It is asked before the tz database is.
	Resolve func(tzid string) (*time.Location, bool)

	loaded map[string]*time.Location // nil for a name that nobody knows
	of     *ical.Calendar            // whose zones are those of zones
	zones  zoneFunc
	series int // steps of this series
	work   int // steps in all
}

func (r *Reader) floating() *time.Location {
	if r.Floating == nil {
		return time.UTC
	}
	return r.Floating
}

func (r *Reader) step(n int) error {
	r.series += n
	r.work += n
	if r.series > maxSteps || r.work > maxWork {
		return ErrTooMany
	}
	return nil
}

// spend counts steps that are not those of a series: values that are read, and zones that are looked for.
func (r *Reader) spend(n int) error {
	if r.work += n; r.work > maxWork {
		return ErrTooMany
	}
	return nil
}

// list reads the values of an RDATE or EXDATE.
func (r *Reader) list(p *ical.Prop, zone zoneFunc) ([]value, error) {
	if err := r.spend(1 + strings.Count(p.Value, ",")); err != nil {
		return nil, err
	}
	return values(p, zone)
}

// Instant is when m is, in UTC.
func (r *Reader) Instant(m Moment) time.Time { return m.In(r.floating()) }

// Shift is t and d: its days by the clock that m is read from, the rest by elapsed time.
func (r *Reader) Shift(t time.Time, m Moment, d Duration) time.Time {
	loc := m.Loc
	if loc == nil {
		loc = r.floating()
	}
	return d.After(Moment{Wall: Wall(t, loc), Loc: loc}, loc)
}

// Instance is one occurrence of an event.
type Instance struct {
	Event      *ical.Component // the VEVENT that it is an instance of, the master or an override
	Start, End time.Time       // UTC; for a date and a floating time as they are read in Reader.Floating
	Clock      Moment          // Start as it is written, or as the rule gives it
	ID         Moment          // the RECURRENCE-ID, its own or, of an instance of the master, Clock
	Series     bool            // it has a RECURRENCE-ID, its own or by being of a series
	Override   bool            // the RECURRENCE-ID is its own
	Length     Duration        // from Clock to End
	HasEnd     bool            // it ends by a DTEND or by a period, not by a DURATION or by neither
}

// AllDay reports whether the instance is one of dates.
func (i Instance) AllDay() bool { return i.Clock.Date }

// Cancelled reports whether its STATUS is CANCELLED.
func (i Instance) Cancelled() bool {
	p := i.Event.Props.Get(ical.PropStatus)
	return p != nil && strings.EqualFold(strings.TrimSpace(p.Value), "CANCELLED")
}

// Summary is its SUMMARY, empty where there is none or none that can be read.
func (i Instance) Summary() string {
	s, _ := i.Event.Props.Text(ical.PropSummary)
	return s
}

// Expand lists the instances of an object, or of a whole calendar, that overlap s, by start. More than 100,000 are an error
// that wraps ErrTooMany; the other errors are those of Instances.
func (r *Reader) Expand(cal *ical.Calendar, s Span) ([]Instance, error) {
	var list []Instance
	err := r.Instances(cal, s, func(i Instance) bool {
		list = append(list, i)
		return len(list) <= maxSteps
	})
	if err == nil && len(list) > maxSteps {
		err = ErrTooMany
	}
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b Instance) int { return a.Start.Compare(b.Start) })
	return list, nil
}

// Instances calls yield with every instance of the VEVENTs of cal that overlaps s, in no order, until it returns false.
//
// DTSTART is one, hit by its rule or not, and COUNT counts it (RFC 5545 §3.8.5.3, §3.3.10). An instance is there once,
// whether it comes by DTSTART, RDATE, the rule, or by two clock times of the rule that are one instant. An override is in
// place of the instance that it names, also where none is there (§3.8.4.4); of two for one instance the later revision
// counts. EXDATE and RECURRENCE-ID name an instant; a
// date among times, and a time among dates, names what is on the day that it shows.
//
// Where it fails, some may have been yielded. The errors wrap ErrTooMany, ErrNotUnderstood or ErrUnknownZone, or tell of
// what is malformed.
func (r *Reader) Instances(cal *ical.Calendar, s Span, yield func(Instance) bool) error {
	sets, err := r.read(cal)
	if err != nil {
		return err
	}
	for _, set := range sets {
		for _, i := range set.overrides {
			if s.Overlaps(i.Start, i.End) && !yield(i) {
				return nil
			}
		}
		for _, m := range set.masters {
			if more, err := r.expand(m, set, s, yield); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

// Event reads one VEVENT of cal as it stands, without recurrence.
func (r *Reader) Event(cal *ical.Calendar, c *ical.Component) (Instance, error) {
	return r.event(c, r.zonesOf(cal))
}

// Moment reads the first value of a date property of cal.
func (r *Reader) Moment(cal *ical.Calendar, p *ical.Prop) (Moment, error) {
	return parseProp(p, r.zonesOf(cal))
}

// Location finds the zone of a TZID in cal: one that [Reader.Zone] knows, else that of a VTIMEZONE of cal. The error wraps
// ErrUnknownZone where there is none.
func (r *Reader) Location(cal *ical.Calendar, tzid string) (*time.Location, error) {
	return r.zonesOf(cal)(tzid)
}

// At moves an instance to another start, which becomes its ID.
func (r *Reader) At(i Instance, start Moment) Instance {
	i.Clock, i.ID = start, start
	i.Start = r.Instant(start)
	i.End = i.Start
	if i.Length.Days != 0 {
		i.End = i.Length.After(start, r.floating())
	} else if i.Length.Seconds != 0 {
		i.End = later(i.Start, i.Length.Seconds)
	}
	return i
}

// set is the VEVENTs of one UID.
type set struct {
	uid       string
	masters   []master
	overrides []Instance
	named     [2]keys // by the overrides, among times and among dates, once that has been asked for
}

// overridden are the instances that have overrides, of a series that is one of dates, or not.
func (s *set) overridden(r *Reader, dates bool) keys {
	k := &s.named[0]
	if dates {
		k = &s.named[1]
	}
	if *k == nil {
		*k = make(keys, len(s.overrides))
		for _, i := range s.overrides {
			(*k)[keyFor(r, i.ID, dates)] = true
		}
	}
	return *k
}

// master is a VEVENT that may recur.
type master struct {
	first    Instance
	rule     *rule
	dates    []value // RDATEs
	excluded keys
}

// key names an instance among those of its series: the instant, or midnight of the day that its clock shows.
type key struct {
	unix int64
	day  bool
}

func dayOf(m Moment) key {
	return key{floorDiv(m.Wall.Unix(), 86400) * 86400, true}
}

type keys map[key]bool

// keyFor names an instance of a series that is one of dates, or not.
func keyFor(r *Reader, m Moment, dates bool) key {
	if m.Date || dates {
		return dayOf(m)
	}
	return key{unix: r.Instant(m).Unix()}
}

func (k keys) has(m Moment, at time.Time) bool {
	return len(k) > 0 && (!m.Date && k[key{unix: at.Unix()}] || k[dayOf(m)])
}

// read takes the VEVENTs of a calendar apart, in order.
func (r *Reader) read(cal *ical.Calendar) ([]*set, error) {
	var sets []*set
	var byUID map[string]*set // where there are many
	zone := r.zonesOf(cal)
	for _, c := range cal.Children {
		if c.Name != ical.CompEvent {
			continue
		}
		uid := ""
		if p := c.Props.Get(ical.PropUID); p != nil {
			uid = p.Value
		}
		var s *set
		if n := len(sets); n > 0 && sets[n-1].uid == uid {
			s = sets[n-1]
		} else if s = byUID[uid]; s == nil {
			s = &set{uid: uid}
			sets = append(sets, s)
			if byUID == nil && n > 0 {
				byUID = map[string]*set{sets[0].uid: sets[0]}
			}
			if n > 0 {
				byUID[uid] = s
			}
		}
		if err := r.readEvent(s, c, zone); err != nil {
			return nil, fmt.Errorf("event %q: %w", clip(uid), err)
		}
	}
	for _, s := range sets {
		if len(s.overrides) > 1 {
			s.revise(r)
		}
	}
	return sets, nil
}

// revise leaves of the overrides of an instance the one with the highest SEQUENCE, then with the latest DTSTAMP (RFC 5546
// §2.1.5). It leaves those that are the same in both, of which nothing says which one is meant.
func (s *set) revise(r *Reader) {
	dates := len(s.masters) > 0 && s.masters[0].first.Clock.Date
	latest := make(map[key]*ical.Component, len(s.overrides))
	for _, i := range s.overrides {
		k := keyFor(r, i.ID, dates)
		if of := latest[k]; of == nil || laterThan(i.Event, of) {
			latest[k] = i.Event
		}
	}
	if len(latest) < len(s.overrides) {
		s.overrides = slices.DeleteFunc(s.overrides, func(i Instance) bool {
			return laterThan(latest[keyFor(r, i.ID, dates)], i.Event)
		})
	}
}

// laterThan reports whether a is a later revision than b.
func laterThan(a, b *ical.Component) bool {
	sequence := func(c *ical.Component) (n int) {
		if p := c.Props.Get(ical.PropSequence); p != nil {
			n, _ = strconv.Atoi(strings.TrimSpace(p.Value)) // 0 where it is none
		}
		return n
	}
	stamp := func(c *ical.Component) time.Time {
		if p := c.Props.Get(ical.PropDateTimeStamp); p != nil {
			if m, err := ParseMoment(p.Value, nil); err == nil {
				return m.Wall
			}
		}
		return time.Time{}
	}
	return cmp.Or(cmp.Compare(sequence(a), sequence(b)), stamp(a).Compare(stamp(b))) > 0
}

func (r *Reader) readEvent(s *set, c *ical.Component, zone zoneFunc) error {
	first, err := r.event(c, zone)
	if err != nil {
		return err
	}
	if len(s.masters)+len(s.overrides) > 0 { // one alone is always read
		if err := r.spend(1); err != nil {
			return err
		}
	}
	if p := c.Props.Get(ical.PropRecurrenceID); p != nil {
		if p.Params.Get(ical.ParamRange) != "" {
			return fmt.Errorf("%w: RANGE", ErrNotUnderstood)
		}
		if first.ID, err = parseProp(p, zone); err != nil {
			return err
		}
		first.Series, first.Override = true, true
		s.overrides = append(s.overrides, first)
		return nil
	}
	m := master{first: first}
	rules := c.Props[ical.PropRecurrenceRule]
	if len(rules) > 1 || len(c.Props["EXRULE"]) > 0 {
		return fmt.Errorf("%w: more than one rule", ErrNotUnderstood)
	}
	for i := range rules {
		if m.rule, err = parseRule(rules[i].Value, first.Clock); err != nil {
			return err
		}
	}
	for i := range c.Props[ical.PropRecurrenceDates] {
		l, err := r.list(&c.Props[ical.PropRecurrenceDates][i], zone)
		if err != nil {
			return err
		}
		m.dates = append(m.dates, l...)
	}
	for i := range c.Props[ical.PropExceptionDates] {
		l, err := r.list(&c.Props[ical.PropExceptionDates][i], zone)
		if err != nil {
			return err
		}
		if m.excluded == nil {
			m.excluded = make(keys, len(l))
		}
		for _, v := range l {
			m.excluded[keyFor(r, v.Moment, first.Clock.Date)] = true
		}
	}
	m.first.Series = m.rule != nil || len(m.dates) > 0
	s.masters = append(s.masters, m)
	return nil
}

// event reads an event as it stands, without recurrence. One that would end before it starts ends when it starts.
func (r *Reader) event(c *ical.Component, zone zoneFunc) (Instance, error) {
	i := Instance{Event: c}
	p := c.Props.Get(ical.PropDateTimeStart)
	if p == nil {
		return i, errors.New("no DTSTART")
	}
	start, err := parseProp(p, zone)
	if err != nil {
		return i, err
	}
	if p := c.Props.Get(ical.PropDateTimeEnd); p != nil {
		end, err := parseProp(p, zone)
		if err != nil {
			return i, err
		}
		i.HasEnd = true
		if start.Date && end.Date {
			i.Length.Days = int(floorDiv(end.Wall.Unix()-start.Wall.Unix(), 86400))
		} else {
			// The elapsed time is what every instance has (RFC 5545 §3.8.5.3).
			i.Length.Seconds = r.Instant(end).Unix() - r.Instant(start).Unix()
		}
	} else if p := c.Props.Get(ical.PropDuration); p != nil {
		if i.Length, err = ParseDuration(p.Value); err != nil {
			return i, fmt.Errorf("%s: %w", p.Name, err)
		}
	} else if start.Date {
		i.Length.Days = 1
	}
	if i = r.At(i, start); i.End.Before(i.Start) {
		i.Length, i.End = Duration{}, i.Start
	}
	return i, nil
}

// expand yields the instances of a master that are not overridden. It reports whether to go on.
func (r *Reader) expand(m master, s *set, within Span, yield func(Instance) bool) (bool, error) {
	overridden := s.overridden(r, m.first.Clock.Date)
	emit := func(i Instance) bool {
		if m.excluded.has(i.Clock, i.Start) || overridden.has(i.Clock, i.Start) {
			return true
		}
		return !within.Overlaps(i.Start, i.End) || yield(i)
	}
	once := keys{} // DTSTART and the RDATEs, and the instants of clock times that are skipped
	r.series = 0
	for i := range r.listed(m) {
		if k := keyOf(i); !once[k] {
			once[k] = true
			if !emit(i) {
				return false, nil
			}
		}
	}
	if m.rule == nil {
		return true, nil
	}
	var skip, stop time.Time
	if !within.Start.IsZero() {
		skip = later(within.Start.Add(-Slack), -m.first.Length.Seconds).AddDate(0, 0, -m.first.Length.Days)
	}
	if !within.End.IsZero() {
		stop = within.End.Add(2 * Slack)
	}
	next, err := m.rule.within(skip, stop)
	if err != nil {
		return false, err
	}
	for {
		wall, ok, err := next(r)
		if err != nil || !ok {
			return err == nil, err
		}
		i := r.At(m.first, Moment{Wall: wall, Loc: m.first.Clock.Loc, Date: m.first.Clock.Date})
		if !within.End.IsZero() && i.Start.After(within.End.Add(Slack)) {
			return true, nil
		}
		// Instants are in the order of their clock times but for those that are skipped.
		skipped := r.skipped(i)
		if m.rule.ended(i.Clock, i.Start) {
			if skipped {
				continue
			}
			return true, nil
		}
		k := keyOf(i)
		if once[k] {
			continue
		}
		if skipped {
			once[k] = true
		}
		if !emit(i) {
			return false, nil
		}
	}
}

// listed are the instances of a master by its DTSTART and its RDATEs. Of an RDATE that is no date in a series of dates its
// day counts, and a date among times is that day at the time of DTSTART.
func (r *Reader) listed(m master) iter.Seq[Instance] {
	return func(yield func(Instance) bool) {
		if !yield(m.first) {
			return
		}
		start := m.first.Clock
		for _, d := range m.dates {
			at, i := d.Moment, m.first
			if d.length != nil {
				i.Length, i.HasEnd = *d.length, true
			}
			switch today := time.Unix(dayOf(at).unix, 0).UTC(); {
			case at.Date && !start.Date:
				at = Moment{Wall: today.Add(start.Wall.Sub(time.Unix(dayOf(start).unix, 0))), Loc: start.Loc}
			case start.Date && !at.Date:
				at = Moment{Wall: today, Date: true}
			}
			if !yield(r.At(i, at)) {
				return
			}
		}
	}
}

func keyOf(i Instance) key {
	if i.Clock.Date {
		return dayOf(i.Clock)
	}
	return key{unix: i.Start.Unix()}
}

// skipped reports whether no clock ever shows what the clock of an instance does.
func (r *Reader) skipped(i Instance) bool {
	loc := i.Clock.Loc
	if loc == nil {
		loc = r.floating()
	}
	if i.Clock.Date || loc == time.UTC {
		return false
	}
	_, offset := i.Start.In(loc).Zone()
	return i.Start.Unix()+int64(offset) != i.Clock.Wall.Unix()
}
