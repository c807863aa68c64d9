package convert

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"
	"github.com/teambition/rrule-go"
)

// MaxInstances is how many instances of a rule Expand and Bounds look at before they give up.
const MaxInstances = 100_000

// ErrTooMany is wrapped where a rule has more than MaxInstances instances before the end of the span.
var ErrTooMany = errors.New("too many instances")

// Instance is one occurrence of an event, as a client would show it.
type Instance struct {
	Start, End time.Time // UTC; for an all-day event midnight UTC of its dates
	AllDay     bool
	Cancelled  bool // STATUS:CANCELLED
	Summary    string
	Event      *ical.Component // the VEVENT that it is an instance of: the master or an override, as it is in the calendar

	override bool
	civil    time.Time // the clock time that its rule gives it, which the instant cannot tell in the hour that is skipped
}

// Expand lists the instances of the VEVENTs in cal that overlap w, by start: rules, RDATEs and EXDATEs as RFC 5545
// has them, DTSTART always being an instance, with overrides in their places. It knows nothing of how the objects
// were made, so that it can check them. Zones are those of the tz database; a floating time counts as UTC. Where a
// rule has more than MaxInstances instances before w ends, it fails with ErrTooMany.
func Expand(cal *ical.Calendar, w Span) ([]Instance, error) {
	objects, err := readObjects(cal.Children)
	if err != nil {
		return nil, err
	}
	var out []Instance
	add := func(i Instance) {
		if i.Start.Before(w.End) && i.End.After(w.Start) || i.Start.Equal(i.End) && w.holds(i.Start) {
			out = append(out, i)
		}
	}
	for _, o := range objects {
		if o.master != nil {
			starts, err := o.master.starts(w.End)
			if err != nil {
				return nil, err
			}
			for _, t := range starts {
				if !o.replaced[t.at] {
					add(o.master.instance(t))
				}
			}
		}
		for _, e := range o.overrides {
			i := e.instance(start{at: e.start})
			i.override = true
			add(i)
		}
	}
	slices.SortStableFunc(out, func(a, b Instance) int { return a.Start.Compare(b.Start) })
	return out, nil
}

// Bounds are the earliest start and the latest end of the VEVENTs in cal, last zero where it has no end and both zero
// where there is nothing, or nothing that can be read. They may be too wide, never too narrow: an all-day or floating time, which is another
// instant for each reader, is padded by the 14 hours that zones differ from UTC.
func Bounds(cal *ical.Calendar) (first, last time.Time) {
	objects, err := readObjects(cal.Children)
	if err != nil {
		return time.Time{}, time.Time{}
	}
	endless := false
	none := true
	widen := func(e *vevent, start time.Time) {
		end := later(start, e.length)
		if e.floating {
			start, end = start.Add(-14*time.Hour), end.Add(14*time.Hour)
		}
		if none || start.Before(first) {
			first = start
		}
		if none || end.After(last) {
			last = end
		}
		none = false
	}
	for _, o := range objects {
		for _, e := range o.overrides {
			widen(e, e.start)
		}
		if o.master == nil {
			continue
		}
		widen(o.master, o.master.start)
		for _, t := range o.master.rdates {
			widen(o.master, t.at)
		}
		if rule := o.master.rule; rule != nil && rule.Count == 0 && rule.Until.IsZero() {
			endless = true
		} else if rule != nil {
			starts, err := o.master.starts(time.Time{})
			endless = endless || err != nil
			if len(starts) > 0 {
				widen(o.master, starts[len(starts)-1].at)
			}
		}
	}
	if endless {
		last = time.Time{}
	}
	return first, last
}

// vevent is a VEVENT, read for expansion.
type vevent struct {
	start     time.Time // UTC
	civil     time.Time // start as the clock shows it, also in an hour that is skipped
	length    int64     // seconds: a Duration holds 292 years
	allDay    bool
	floating  bool // a DATE, or a DATE-TIME without a zone
	loc       *time.Location
	rule      *rrule.ROption // in clock time
	rdates    []start
	exdates   map[time.Time]bool
	cancelled bool
	summary   string
	comp      *ical.Component
}

// object is the VEVENTs of one UID.
type object struct {
	master    *vevent
	overrides []*vevent
	replaced  map[time.Time]bool // RECURRENCE-IDs
}

func readObjects(comps []*ical.Component) ([]*object, error) {
	var list []*object
	byUID := map[string]*object{}
	for _, comp := range comps {
		if comp.Name != ical.CompEvent {
			continue
		}
		uid, _ := comp.Props.Text(ical.PropUID)
		o := byUID[uid]
		if o == nil {
			o = &object{replaced: map[time.Time]bool{}}
			byUID[uid] = o
			list = append(list, o)
		}
		e, err := readEvent(comp)
		if err != nil {
			return nil, fmt.Errorf("event %q: %w", clip(uid), err)
		}
		if p := comp.Props.Get(ical.PropRecurrenceID); p != nil {
			t, _, _, err := readTime(p)
			if err != nil {
				return nil, fmt.Errorf("event %q: %w", clip(uid), err)
			}
			o.replaced[t] = true
			o.overrides = append(o.overrides, e)
		} else {
			o.master = e
		}
	}
	return list, nil
}

func readEvent(comp *ical.Component) (*vevent, error) {
	p := comp.Props.Get(ical.PropDateTimeStart)
	if p == nil {
		return nil, errors.New("no DTSTART")
	}
	e := &vevent{exdates: map[time.Time]bool{}, comp: comp}
	var err error
	if e.start, e.loc, e.allDay, err = readTime(p); err != nil {
		return nil, err
	}
	e.floating = e.loc == nil
	if e.loc == nil {
		e.loc = time.UTC
	}
	if e.civil, err = time.Parse(wallForm, p.Value); err != nil {
		e.civil = wall(e.start, e.loc)
	}
	switch end, length := comp.Props.Get(ical.PropDateTimeEnd), comp.Props.Get(ical.PropDuration); {
	case end != nil:
		t, _, _, err := readTime(end)
		if err != nil {
			return nil, err
		}
		e.length = max(t.Unix()-e.start.Unix(), 0)
	case length != nil:
		d, err := length.Duration()
		if err != nil {
			return nil, err
		}
		e.length = int64(d / time.Second)
	case e.allDay:
		e.length = int64(day / time.Second)
	}
	if status := comp.Props.Get(ical.PropStatus); status != nil {
		e.cancelled = strings.EqualFold(status.Value, "CANCELLED")
	}
	e.summary, _ = comp.Props.Text(ical.PropSummary)
	for _, p := range comp.Props.Values(ical.PropRecurrenceDates) {
		t, _, _, err := readTime(&p)
		if err != nil {
			return nil, err
		}
		civil, _ := time.Parse(wallForm, p.Value) // zero but for a local time, where it is what t was read from
		e.rdates = append(e.rdates, start{t, civil})
	}
	for _, p := range comp.Props.Values(ical.PropExceptionDates) {
		t, _, _, err := readTime(&p)
		if err != nil {
			return nil, err
		}
		e.exdates[t] = true
	}
	if p := comp.Props.Get(ical.PropRecurrenceRule); p != nil {
		if e.rule, err = rrule.StrToROption(p.Value); err != nil {
			return nil, err
		}
		// The rule is expanded in clock time, so that its days are those of the zone.
		e.rule.Dtstart = e.civil
		if !e.rule.Until.IsZero() && strings.Contains(p.Value, "Z") {
			e.rule.Until = wall(e.rule.Until, e.loc)
		}
	}
	return e, nil
}

// lastYear is when rules are no longer followed: rrule-go panics on steps past the year 9999. It panics in the year 0 too,
// which it takes for none, and in which 0001-01-01 is by the clock of places in the west.
var lastYear = date(9000, 1, 1)

// start is when an instance starts.
type start struct{ at, civil time.Time }

// starts are the starts of all instances before end (zero: all), overridden ones among them.
func (e *vevent) starts(end time.Time) ([]start, error) {
	list := append([]start{{e.start, e.civil}}, e.rdates...)
	if e.rule != nil && e.rule.Dtstart.Year() > 0 && e.rule.Dtstart.Before(lastYear) {
		option := *e.rule
		if stop := wall(end, e.loc).Add(day); !end.IsZero() && (option.Until.IsZero() || stop.Before(option.Until)) {
			option.Until = stop
		}
		if option.Until.IsZero() && option.Count == 0 {
			return nil, fmt.Errorf("a rule without end: %w", ErrTooMany)
		}
		if option.Interval > maxInterval {
			return nil, fmt.Errorf("a rule with the interval %d: %w", option.Interval, ErrTooMany)
		}
		if option.Until.IsZero() || option.Until.After(lastYear) {
			option.Until = lastYear
		}
		rule, err := rrule.NewRRule(option)
		if err != nil {
			return nil, err
		}
		next := rule.Iterator()
		for {
			civil, ok := next()
			if !ok {
				break
			}
			if len(list) >= MaxInstances {
				return nil, ErrTooMany
			}
			list = append(list, start{instant(civil, e.loc), civil})
		}
	}
	list = slices.DeleteFunc(list, func(s start) bool { return e.exdates[s.at] || !end.IsZero() && !s.at.Before(end) })
	slices.SortStableFunc(list, func(a, b start) int { return a.at.Compare(b.at) })
	return slices.CompactFunc(list, func(a, b start) bool { return a.at.Equal(b.at) }), nil
}

// later is t and some seconds, however many.
func later(t time.Time, seconds int64) time.Time { return time.Unix(t.Unix()+seconds, 0).UTC() }

func (e *vevent) instance(s start) Instance {
	return Instance{Start: s.at, End: later(s.at, e.length), AllDay: e.allDay, Cancelled: e.cancelled, Summary: e.summary, Event: e.comp, civil: s.civil}
}

// readTime reads a DATE or a DATE-TIME. loc is nil for a date and for a floating time; t is in UTC.
func readTime(p *ical.Prop) (t time.Time, loc *time.Location, allDay bool, err error) {
	bad := func(err error) (time.Time, *time.Location, bool, error) {
		return time.Time{}, nil, false, fmt.Errorf("%s: %w", p.Name, err)
	}
	v := p.Value
	if len(v) == len(dateForm) {
		if t, err = time.Parse(dateForm, v); err != nil {
			return bad(err)
		}
		return t, nil, true, nil
	}
	if strings.HasSuffix(v, "Z") {
		if t, err = time.Parse(utcForm, v); err != nil {
			return bad(err)
		}
		return t, time.UTC, false, nil
	}
	if t, err = time.Parse(wallForm, v); err != nil {
		return bad(err)
	}
	tzid := p.Params.Get(ical.ParamTimezoneID)
	if tzid == "" {
		return t, nil, false, nil
	}
	loc, _, ok := LoadZone(tzid)
	if !ok {
		return bad(fmt.Errorf("no such time zone: %q", clip(tzid)))
	}
	return instant(t, loc), loc, false, nil
}
