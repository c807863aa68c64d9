package caldav

import (
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-ical"
)

// maxRepeat bounds the repetitions of one alarm that are looked at.
const maxRepeat = 1000

// trigger is when an alarm goes off (RFC 5545 §3.8.6.3).
type trigger struct {
	at     time.Time // an instant of its own; zero: relative to each instance
	offset span
	end    bool // relative to the end of an instance, not to its start
	repeat int
	every  time.Duration // between repetitions
}

// matchAlarm reports whether an alarm of event, one of cal's, goes off within the range of f and matches the rest
// of f (RFC 4791 §9.9, the table of VALARM). One whose trigger is not understood matches.
func (z *zones) matchAlarm(cal *ical.Calendar, event *ical.Component, f *compFilter) (bool, error) {
next:
	for _, alarm := range childrenNamed(event, f.name) {
		for i := range f.props {
			if !z.matchProp(alarm, &f.props[i]) {
				continue next
			}
		}
		t, err := z.trigger(alarm)
		if err != nil {
			return true, err
		}
		if ok, err := z.goesOff(cal, event, t, *f.within); ok || err != nil {
			return true, err
		}
	}
	return false, nil
}

func (z *zones) trigger(alarm *ical.Component) (t trigger, err error) {
	p := alarm.Props.Get("TRIGGER")
	if p == nil {
		return t, errNotExpandable
	}
	if p.Params.Get("VALUE") == "DATE-TIME" || strings.HasSuffix(p.Value, "Z") {
		m, err := z.moment(p)
		if err != nil {
			return t, err
		}
		t.at = z.instant(m)
	} else if t.offset, err = parseDuration(p.Value); err != nil {
		return t, err
	}
	t.end = strings.EqualFold(p.Params.Get("RELATED"), "END")
	repeat, every := alarm.Props.Get("REPEAT"), alarm.Props.Get("DURATION")
	if repeat == nil || every == nil {
		return t, nil
	}
	if t.repeat, err = strconv.Atoi(strings.TrimSpace(repeat.Value)); err != nil {
		return t, err
	}
	t.repeat = max(0, min(t.repeat, maxRepeat))
	d, err := parseDuration(every.Value)
	t.every = d.exact + time.Duration(d.days)*24*time.Hour
	return t, err
}

// goesOff reports whether an alarm of one component, a master or an override, goes off within r for any instance.
func (z *zones) goesOff(cal *ical.Calendar, event *ical.Component, t trigger, r timeRange) (bool, error) {
	within := func(at time.Time) bool {
		for i := range t.repeat + 1 {
			if when := at.Add(time.Duration(i) * t.every); r.overlaps(when, when) {
				return true
			}
		}
		return false
	}
	if !t.at.IsZero() {
		return within(t.at), nil
	}
	// The instances whose alarms can be in r; a day is put on for days that are longer or shorter than others.
	around := timeRange{}
	offset := time.Duration(t.offset.days)*24*time.Hour + t.offset.exact
	if !r.start.IsZero() {
		around.start = r.start.Add(-offset - time.Duration(t.repeat)*t.every - 24*time.Hour)
	}
	if !r.end.IsZero() {
		around.end = r.end.Add(-offset + 24*time.Hour)
	}
	found := false
	err := z.instances(cal, around, func(i instance) bool {
		if i.comp == event {
			base := i.from
			if t.end {
				base = i.to
			}
			found = within(z.shift(base, i.start, t.offset))
		}
		return !found
	})
	return found, err
}

// shift moves an instant by a span whose days follow the clock of m.
func (z *zones) shift(t time.Time, m moment, s span) time.Time {
	if s.days != 0 {
		loc := m.loc
		if loc == nil {
			loc = z.floating
		}
		y, mo, d := t.In(loc).Date()
		h, mi, sec := t.In(loc).Clock()
		t = wallInstant(time.Date(y, mo, d+s.days, h, mi, sec, 0, time.UTC), loc)
	}
	return t.Add(s.exact)
}
