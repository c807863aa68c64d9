package caldav

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/caldav/ics"
)

// maxRepeat bounds the repetitions of one alarm that are looked at.
const maxRepeat = 1000

// trigger is when an alarm goes off (RFC 5545 §3.8.6.3).
type trigger struct {
	at     time.Time // an instant of its own; zero: relative to each instance
	offset ics.Duration
	end    bool // relative to the end of an instance, not to its start
	repeat int
	every  time.Duration // between repetitions
}

// matchAlarm reports whether an alarm of event, one of cal's, goes off within the range of f and matches the rest
// of f (RFC 4791 §9.9, the table of VALARM). One whose trigger is not understood matches.
func (f *compFilter) matchAlarm(r *ics.Reader, cal *ical.Calendar, event *ical.Component) (bool, error) {
next:
	for _, alarm := range ics.Children(event, f.name) {
		for i := range f.props {
			if !f.props[i].match(r, cal, alarm) {
				continue next
			}
		}
		t, err := readTrigger(r, cal, alarm)
		if err != nil {
			return true, err
		}
		if ok, err := t.goesOff(r, cal, event, *f.within); ok || err != nil {
			return true, err
		}
	}
	return false, nil
}

func readTrigger(r *ics.Reader, cal *ical.Calendar, alarm *ical.Component) (t trigger, err error) {
	p := alarm.Props.Get("TRIGGER")
	if p == nil {
		return t, errors.New("alarm without TRIGGER")
	}
	if p.Params.Get("VALUE") == "DATE-TIME" || strings.HasSuffix(p.Value, "Z") {
		m, err := r.Moment(cal, p)
		if err != nil {
			return t, err
		}
		t.at = r.Instant(m)
	} else if t.offset, err = ics.ParseDuration(p.Value); err != nil {
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
	d, err := ics.ParseDuration(every.Value)
	t.every = elapsed(d)
	return t, err
}

// goesOff reports whether an alarm of one component, a master or an override, goes off within r for any instance.
func (t trigger) goesOff(r *ics.Reader, cal *ical.Calendar, event *ical.Component, span ics.Span) (bool, error) {
	within := func(at time.Time) bool {
		for i := range t.repeat + 1 {
			if when := at.Add(time.Duration(i) * t.every); span.Overlaps(when, when) {
				return true
			}
		}
		return false
	}
	if !t.at.IsZero() {
		return within(t.at), nil
	}
	// The instances whose alarms can be in r; a day is put on for days that are longer or shorter than others.
	around := ics.Span{}
	offset := elapsed(t.offset)
	if !span.Start.IsZero() {
		around.Start = span.Start.Add(-offset - time.Duration(t.repeat)*t.every - 24*time.Hour)
	}
	if !span.End.IsZero() {
		around.End = span.End.Add(-offset + 24*time.Hour)
	}
	found := false
	err := r.Instances(cal, around, func(i ics.Instance) bool {
		if i.Event == event {
			base := i.Start
			if t.end {
				base = i.End
			}
			found = within(r.Shift(base, i.Clock, t.offset))
		}
		return !found
	})
	return found, err
}

// elapsed is a duration in which no clock is turned.
func elapsed(d ics.Duration) time.Duration {
	return time.Duration(int64(d.Days)*86400+d.Seconds) * time.Second
}
