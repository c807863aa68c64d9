package convert

import (
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// maxOverrides is how many modified occurrences one edit may make or change: whoever changes more means the series.
const maxOverrides = 250

// occurrenceDate is the date (yyyy-mm-dd, in the series' own zone) by which Graph has the occurrence that a RECURRENCE-ID or a value of
// EXDATE of in names, in whatever form: a date, a time in any zone, in UTC or in none. in is the object that it stands in.
// It is looked for among the instances of the first of some objects of the series, then of the next: of the new object and
// then, since clients leave old names behind when they move a series, of the one that was. It fails with a *Refusal.
func occurrenceDate(m ics.Moment, in *object, among ...*object) (string, error) {
	for _, of := range among {
		if of == nil || of.master == nil {
			continue
		}
		if t, ok, err := of.find(m, in); err != nil {
			return "", err
		} else if ok {
			return t.Format(time.DateOnly), nil
		}
	}
	return "", refuse(RefusedObject, "The event has no occurrence on %s that could be changed. Load the calendar again.", m.Wall.Format(time.DateOnly))
}

// find is the date of the instance of o that a moment of another object names.
func (o *object) find(m ics.Moment, in *object) (time.Time, bool, error) {
	start, err := o.reader.Moment(o.cal, propOf(o.master, ical.PropDateTimeStart))
	if err != nil {
		return time.Time{}, false, unreadable(err)
	}
	if m.Wall.Year() > lastYear {
		return time.Time{}, false, nil
	}
	list, err := o.hits(m.Wall.Add(3 * day))
	if err != nil {
		return time.Time{}, false, err
	}
	list = list.from(m.Wall.Add(-3 * day))
	if start.Date {
		want := dateOf(m.Wall)
		if !m.Date && !m.Wall.Equal(want) {
			// The midnight of a zone, said in another.
			want = dateOf(ics.Wall(m.In(in.mailbox.location()), o.mailbox.location()))
		}
		for _, h := range list {
			if dateOf(h.wall).Equal(want) {
				return want, true, nil
			}
		}
		return want, false, nil
	}
	loc := start.Loc
	if loc == nil {
		loc = o.mailbox.location()
	}
	// A time without a zone is one of the clock of the series; what is written in the zone of DTSTART is compared as written, for the
	// instant cannot tell which hour was meant where the clock is turned.
	floating := !m.Date && m.Loc == nil
	at := m.In(loc)
	wall := m.Wall
	if !floating && m.Loc != nil {
		wall = ics.Wall(at, loc)
	}
	var best time.Time
	for _, h := range list {
		switch {
		case m.Date && dateOf(h.wall).Equal(m.Wall):
			return dateOf(h.wall), true, nil
		case m.Date:
		case h.at.Equal(at) || (floating || m.Loc == loc) && h.wall.Equal(m.Wall):
			return dateOf(h.wall), true, nil
		case h.at.Sub(at).Abs() <= time.Hour && dateOf(h.wall).Equal(dateOf(wall)) && !ics.Wall(h.at, loc).Equal(h.wall):
			best = dateOf(h.wall) // in an hour that is skipped, of which readers make the one before or after
		}
	}
	return best, !best.IsZero(), nil
}

// recurrenceID is the moment that an override names.
func (o *object) recurrenceID(c *ical.Component) (ics.Moment, error) {
	p := propOf(c, ical.PropRecurrenceID)
	if p.Params.Get(ical.ParamRange) != "" {
		return ics.Moment{}, refuse(RefusedObject, "A change of an occurrence and all that follow (RANGE) cannot be kept. End the series and make a new one.")
	}
	m, err := o.reader.Moment(o.cal, p)
	if err != nil {
		return ics.Moment{}, unreadable(err)
	}
	return m, nil
}

// exclusions are the moments that the EXDATEs of the master name, but for those that stand in front of the series, see object.shift.
func (o *object) exclusions() ([]ics.Moment, error) {
	if o == nil || o.master == nil {
		return nil, nil
	}
	start, _ := o.reader.Moment(o.cal, propOf(o.master, ical.PropDateTimeStart))
	first := dateOf(start.Wall).AddDate(0, 0, o.shift)
	var list []ics.Moment
	for _, p := range o.master.Props.Values(ical.PropExceptionDates) {
		for v := range strings.SplitSeq(p.Value, ",") {
			if strings.TrimSpace(v) == "" {
				continue
			}
			one := p
			one.Value = v
			m, err := o.reader.Moment(o.cal, &one)
			if err != nil {
				return nil, unreadable(err)
			}
			if o.shift == 0 || !m.Wall.Before(first) {
				list = append(list, m)
			}
		}
	}
	return list, nil
}

// removed are the dates of the occurrences of s that are gone from Outlook for good.
func (s Series) removed() map[string]bool {
	out := map[string]bool{}
	for _, list := range [][]string{s.Cancelled, s.Event.CancelledOccurrences} {
		for _, id := range list {
			if d := graph.OccurrenceDate(id); d != "" {
				out[d] = true
			}
		}
	}
	return out
}

// localDay is the day on which a component of o starts, by the clock of the series.
func (o *object) localDay(c *ical.Component, series *object) (time.Time, error) {
	m, err := o.reader.Moment(o.cal, propOf(c, ical.PropDateTimeStart))
	if err != nil {
		return time.Time{}, unreadable(err)
	}
	if m.Date || series == nil || series.master == nil {
		return dateOf(m.Wall), nil
	}
	start, err := series.reader.Moment(series.cal, propOf(series.master, ical.PropDateTimeStart))
	if err != nil {
		return time.Time{}, unreadable(err)
	}
	loc := start.Loc
	if loc == nil {
		loc = o.mailbox.location()
	}
	return dateOf(ics.Wall(m.In(loc), loc)), nil
}

// checkMoves refuses what Outlook does (ErrorOccurrenceCrossingBoundary): an occurrence that moves to or past the day of its
// neighbours, whether those are where the rule has them, moved or deleted. days has the day of each modified occurrence of the series, all of them,
// by its date of occurrenceDate; changed are the dates of those that this edit makes or changes.
func checkMoves(of *object, days map[string]time.Time, changed []string) error {
	if len(changed) > maxOverrides {
		return refuse(RefusedObject, "More than %d occurrences would be changed one by one. Change the series instead.", maxOverrides)
	}
	for _, name := range changed {
		day1, err := time.Parse(time.DateOnly, name)
		if err != nil {
			return refuse(RefusedObject, "The occurrence %q has no date.", clip(name))
		}
		to, ok := days[name]
		if !ok {
			continue
		}
		low, high := day1, to
		if to.Before(day1) {
			low, high = to, day1
		}
		crossing := refuse(RefusedObject, "The occurrence of %s cannot be moved to %s: in Outlook it stays between the one before it and the one after it, also where these were deleted. Delete it and make an event of its own.",
			name, to.Format(time.DateOnly))
		list, err := of.hits(high.Add(2 * day))
		if err != nil {
			return err
		}
		for _, h := range list.from(low.Add(-2 * day)) {
			if d := dateOf(h.wall); !d.Equal(day1) && !d.Before(low) && !d.After(high) && !low.Equal(high) {
				return crossing
			}
		}
		for other, at := range days {
			if other == name {
				continue
			}
			its, err := time.Parse(time.DateOnly, other)
			if err != nil {
				continue
			}
			if its.Before(day1) && !to.After(at) || its.After(day1) && !to.Before(at) {
				return crossing
			}
		}
	}
	return nil
}
