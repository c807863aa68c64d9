package ics

import (
	"time"

	"github.com/emersion/go-ical"
)

// Bounds are the earliest start and the latest end of the VEVENTs of cal, last zero where they have no end, and both zero
// where there is nothing, or nothing that can be read. They may be too wide, never too narrow: an all-day or floating
// time, which is another instant for each reader, is padded by the 14 hours that zones differ from UTC.
func (r *Reader) Bounds(cal *ical.Calendar) (first, last time.Time) {
	sets, err := r.read(cal)
	if err != nil {
		return time.Time{}, time.Time{}
	}
	endless, none := false, true
	widen := func(i Instance) {
		start, end := i.Start, i.End
		if i.Clock.Loc == nil {
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
	for _, s := range sets {
		for _, i := range s.overrides {
			widen(i)
		}
		for _, m := range s.masters {
			for i := range r.listed(m) {
				widen(i)
			}
			if m.rule == nil {
				continue
			}
			i, ok := r.last(m)
			if endless = endless || !ok; ok {
				widen(i)
			}
		}
	}
	if endless {
		last = time.Time{}
	}
	return first, last
}

// last is the last instance that the rule of a master gives and no EXDATE takes away, DTSTART where there is none. ok is
// false where the rule has no end, or none that can be found.
func (r *Reader) last(m master) (i Instance, ok bool) {
	i = m.first
	if m.rule.count == 0 && m.rule.until == nil && !m.rule.never {
		return i, false
	}
	r.series = 0
	next, err := m.rule.within(time.Time{}, time.Time{})
	if err != nil {
		return i, false
	}
	for {
		wall, ok, err := next(r)
		if err != nil {
			return i, false
		}
		if !ok {
			return i, true
		}
		at := r.At(m.first, Moment{Wall: wall, Loc: m.first.Clock.Loc, Date: m.first.Clock.Date})
		switch {
		case m.rule.ended(at.Clock, at.Start):
			if !r.skipped(at) {
				return i, true
			}
		case !m.excluded.has(at.Clock, at.Start) && at.End.After(i.End):
			i = at
		}
	}
}
