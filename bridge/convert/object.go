package convert

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// object is a calendar object that is read for Outlook: what a client sends, or what it is served.
type object struct {
	cal       *ical.Calendar
	master    *ical.Component   // the single event or the master; nil where there are only overrides
	overrides []*ical.Component // in their order
	reader    *ics.Reader
	mailbox   zone
	// shift is how many days after DTSTART the series begins in Outlook: what is before there was put in front of it and is
	// excluded, see [pattern.lead].
	shift int

	bare   *ical.Calendar // DTSTART and the rules of the master alone
	known  hits           // of the rules up to a time, nil where nobody has asked yet
	upTo   time.Time
	custom map[string]matched // the zones of its VTIMEZONEs by TZID
}

// hit is one instance that the rules of a master give, whether it is excluded, overridden or not.
type hit struct {
	wall   time.Time // by the clock of DTSTART
	at     time.Time // midnight in UTC of a date
	listed bool      // by an RDATE with a time of day of its own
}

type hits []hit

// readObject reads cal, an object of the series s. served is the object as clients get it now, read so before; nil for that
// one itself and for a new one. It is nil where cal is.
func readObject(cal *ical.Calendar, s Series, served *object) *object {
	if cal == nil || cal.Component == nil {
		return nil
	}
	in := &object{cal: cal, reader: &ics.Reader{Resolve: Zone}}
	in.mailbox, _, _ = s.floating()
	in.reader.Floating = in.mailbox.location()
	for _, c := range ics.Children(cal.Component, ical.CompEvent) {
		switch {
		case c.Props.Get(ical.PropRecurrenceID) != nil:
			in.overrides = append(in.overrides, c)
		case in.master == nil:
			in.master = c
		}
	}
	if in.master == nil {
		return in
	}
	start, err := in.reader.Moment(cal, propOf(in.master, ical.PropDateTimeStart))
	switch {
	case err != nil:
	case served != nil && served.master != nil:
		if old, err := served.reader.Moment(served.cal, propOf(served.master, ical.PropDateTimeStart)); err == nil && dateOf(old.Wall).Equal(dateOf(start.Wall)) {
			in.shift = served.shift
		}
	case isMaster(s.Event):
		c := newConversion(s)
		w, err := c.times(s.Event, c.zoneOf(s.Event, nil))
		if days := int(w.firstDay().Sub(dateOf(start.Wall)) / day); err == nil && days > 0 {
			for _, m := range in.exdates() {
				if m.Wall.Equal(start.Wall) {
					in.shift = days
				}
			}
		}
	}
	return in
}

// propOf is the first property of a name, an empty one where there is none.
func propOf(c *ical.Component, name string) *ical.Prop {
	if p := c.Props.Get(name); p != nil {
		return p
	}
	return &ical.Prop{Name: name, Params: ical.Params{}}
}

// exdates are the EXDATEs of the master, those left out that cannot be read.
func (in *object) exdates() (list []ics.Moment) {
	for _, p := range in.master.Props.Values(ical.PropExceptionDates) {
		for v := range strings.SplitSeq(p.Value, ",") {
			one := p
			one.Value = v
			if m, err := in.reader.Moment(in.cal, &one); err == nil {
				list = append(list, m)
			}
		}
	}
	return list
}

// recurs is whether the master has instances beside DTSTART.
func (in *object) recurs() bool {
	return in != nil && in.master != nil && recurs(in.master)
}

func recurs(c *ical.Component) bool {
	return c.Props.Get(ical.PropRecurrenceRule) != nil || c.Props.Get(ical.PropRecurrenceDates) != nil
}

// rules is the object with nothing but what makes the instances of its master.
func (in *object) rules() *ical.Calendar {
	if in.bare == nil {
		c := ical.NewComponent(ical.CompEvent)
		for _, name := range []string{ical.PropUID, ical.PropDateTimeStart, ical.PropDateTimeEnd, ical.PropDuration,
			ical.PropRecurrenceRule, ical.PropRecurrenceDates, "EXRULE"} {
			if props := in.master.Props.Values(name); len(props) > 0 {
				c.Props[name] = props
			}
		}
		in.bare = &ical.Calendar{Component: &ical.Component{Name: ical.CompCalendar, Props: ical.Props{}}}
		in.bare.Children = append(ics.Children(in.cal.Component, ical.CompTimezone), c)
	}
	return in.bare
}

// hits are the instances that the rules of the master give before end, in order, from the true beginning of the series on.
func (in *object) hits(end time.Time) (hits, error) {
	if in.known != nil && !end.After(in.upTo) {
		n, _ := slices.BinarySearchFunc(in.known, end, func(h hit, t time.Time) int { return h.at.Compare(t) })
		return in.known[:n], nil
	}
	start, err := in.reader.Moment(in.cal, propOf(in.master, ical.PropDateTimeStart))
	if err != nil {
		return nil, unreadable(err)
	}
	// As many are asked for one after the other, each time it is as much again.
	upTo := end
	if in.known != nil {
		if upTo = in.upTo.Add(min(in.upTo.Sub(start.Wall), 100*365*day)); upTo.Before(end) {
			upTo = end
		}
	}
	list, err := in.within(ics.Span{End: upTo.Add(2 * day)}, start)
	if err != nil {
		return nil, err
	}
	if list == nil {
		list = hits{}
	}
	in.known, in.upTo = list, upTo
	n, _ := slices.BinarySearchFunc(list, end, func(h hit, t time.Time) int { return h.at.Compare(t) })
	return list[:n], nil
}

// from are those at t or later.
func (l hits) from(t time.Time) hits {
	n, _ := slices.BinarySearchFunc(l, t, func(h hit, t time.Time) int { return h.at.Compare(t) })
	return l[n:]
}

// within are the instances of a span.
func (in *object) within(s ics.Span, start ics.Moment) (hits, error) {
	// A Reader bounds its work over all that it is asked, and this is asked more than once.
	r := &ics.Reader{Resolve: Zone, Floating: in.mailbox.location()}
	list, err := r.Expand(in.rules(), s)
	if err != nil {
		return nil, unreadable(err)
	}
	first := dateOf(start.Wall).AddDate(0, 0, in.shift)
	clock := start.Wall.Sub(dateOf(start.Wall))
	var out hits
	for _, i := range list {
		h := hit{wall: i.Clock.Wall, at: i.Start}
		if i.Clock.Date {
			h.at = h.wall
		}
		if i.Clock.Loc != start.Loc && start.Loc != nil && i.Clock.Loc != nil {
			h.wall = ics.Wall(i.Start, start.Loc)
		}
		h.listed = h.wall.Sub(dateOf(h.wall)) != clock
		if !h.wall.Before(first) {
			out = append(out, h)
		}
	}
	return out, nil
}

// ends is the last instant of the rules of the master, the zero time where they have no end, or one that is very far.
func (in *object) ends() time.Time {
	r := &ics.Reader{Resolve: Zone, Floating: in.mailbox.location()}
	_, last := r.Bounds(in.rules())
	return last
}

// unreadable is the refusal for what the reader of recurrences and times says.
func unreadable(err error) error {
	switch {
	case errors.Is(err, ics.ErrUnknownZone):
		return &Refusal{RefusedData, "The event is in a time zone that is not known here and that its own description does not explain. Choose a time zone by the name of a city."}
	case errors.Is(err, ics.ErrTooMany):
		return &Refusal{RefusedObject, "The event repeats too often, or in too complicated a way, for Outlook. Choose a simpler repetition."}
	case errors.Is(err, ics.ErrNotUnderstood):
		return &Refusal{RefusedObject, "Outlook has no repetition like that of the event. Choose a simpler one."}
	}
	// What the reader says before the cause is for a log.
	for cause := errors.Unwrap(err); cause != nil; cause = errors.Unwrap(cause) {
		err = cause
	}
	return &Refusal{RefusedData, "A date or time of the event cannot be read (" + clip(err.Error()) + ")."}
}

func refuse(kind RefusalKind, format string, args ...any) *Refusal {
	return &Refusal{kind, fmt.Sprintf(format, args...)}
}

// civilText is a clock time as Graph takes one.
func civilText(t time.Time) string { return t.Format("2006-01-02T15:04:05") }

// graphMoment is a clock time in a zone of Graph's.
func graphMoment(wall time.Time, zone string) graph.DateTimeTimeZone {
	return graph.DateTimeTimeZone{DateTime: civilText(wall), TimeZone: zone}
}
