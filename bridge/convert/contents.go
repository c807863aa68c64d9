package convert

import (
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/caldav/ics"
)

// Limits of an object that a client writes.
const (
	maxWritten   = 1 << 20 // octets, without what is attached
	maxAttendees = 500     // of an event (learn.microsoft.com/graph/api/resources/event)
)

// contents is a calendar object taken apart, so that it can be compared with another state of it. Its occurrences go by their
// date (yyyy-mm-dd) in the zone of the series: a client may write a RECURRENCE-ID in any form, and moves the time of day of
// all of them when it moves the series; Outlook has one occurrence a day at most.
type contents struct {
	*object
	events []*ical.Component
	first  ics.Instance // of the master

	loc      *time.Location // of the dates; nil: the series is one of dates
	parts    map[string]*ical.Component
	excluded map[string]bool
	strays   []string // dates of overrides that the series has no occurrence for
}

// readContents reads an object of the series s, and refuses what is none. served is as for readObject.
func readContents(cal *ical.Calendar, s Series, served *contents) (*contents, error) {
	var old *object
	if served != nil {
		old = served.object
	}
	o := &contents{}
	var err error
	if o.events, err = checkObject(cal); err != nil {
		return nil, err
	}
	o.object = readObject(cal, s, old)
	masters := 0
	for _, e := range o.events {
		switch id := e.Props.Get(ical.PropRecurrenceID); {
		case id == nil:
			masters++
		}
	}
	if masters > 1 {
		return nil, refuse(RefusedObject, "The object has two events that are not occurrences of one series. Save each of them by itself.")
	}
	first, err := o.event(o.events[0])
	if o.master != nil {
		first, err = o.event(o.master)
		o.first = first
	}
	if err != nil {
		return nil, err
	}
	switch {
	case first.Clock.Date:
	case first.Clock.Loc != nil:
		o.loc = first.Clock.Loc
	default:
		o.loc = o.mailbox.location()
	}
	return o, nil
}

// checkObject finds the events, and refuses what is no calendar object resource (RFC 4791 §4.1).
func checkObject(cal *ical.Calendar) (events []*ical.Component, err error) {
	if cal.Props.Get(ical.PropMethod) != nil {
		return nil, refuse(RefusedObject, "The object has a METHOD, which belongs into a message and not into a calendar.")
	}
	uid := ""
	for _, c := range cal.Children {
		switch c.Name {
		case ical.CompEvent:
			events = append(events, c)
		case ical.CompToDo, ical.CompJournal, ical.CompFreeBusy:
			return nil, refuse(RefusedComponent, "Only events are kept in this calendar, no tasks, journals or free/busy times.")
		}
	}
	if len(events) == 0 {
		return nil, refuse(RefusedComponent, "The object has no event.")
	}
	for _, e := range events {
		id := textOf(e, ical.PropUID)
		switch {
		case id == "":
			return nil, refuse(RefusedData, "The event has no UID.")
		case uid != "" && id != uid:
			return nil, refuse(RefusedObject, "The object has events with different UIDs; save each of them by itself.")
		}
		uid = id
	}
	return events, nil
}

// writtenSize is about how many octets a component has, without what is attached to it.
func writtenSize(c *ical.Component) int {
	n := 0
	for name, props := range c.Props {
		if name == ical.PropAttach {
			continue
		}
		for i := range props {
			n += len(name) + len(props[i].Value) + 2
		}
	}
	for _, child := range c.Children {
		n += writtenSize(child)
	}
	return n
}

// event reads the times of one component.
func (o *contents) event(c *ical.Component) (ics.Instance, error) {
	if c.Props.Get(ical.PropDateTimeStart) == nil {
		return ics.Instance{}, refuse(RefusedData, "The event has no start.")
	}
	i, err := o.reader.Event(o.cal, c)
	if err != nil {
		return i, unreadable(err)
	}
	return i, nil
}

// index sorts overrides and exclusions by their dates. They may name occurrences of the object or of others, which are
// earlier states of it; one that names none is refused, if strict, unless it is before the series or lenient says that these are
// passed over. An exclusion of none counts for nothing.
func (o *contents) index(strict, lenient bool, others ...*contents) error {
	o.parts, o.excluded = map[string]*ical.Component{}, map[string]bool{}
	among := []*object{o.object}
	for _, other := range others {
		among = append(among, other.object)
	}
	for _, e := range o.overrides {
		m, err := o.recurrenceID(e)
		if err != nil {
			return err
		}
		date, err := occurrenceDate(m, o.object, among...)
		switch {
		case err == nil:
		case !strict || slices.ContainsFunc(others, func(other *contents) bool { return other.parts[o.date(m)] != nil }):
			date = o.date(m)
		case lenient || o.master != nil && o.reader.Instant(m).Before(o.first.Start):
			// Evolution copies all overrides into both of the series that it makes of one.
			o.strays = append(o.strays, o.date(m))
			continue
		default:
			return err
		}
		if o.parts[date] != nil {
			if !strict {
				continue
			}
			return refuse(RefusedObject, "Two changed occurrences are those of %s; Outlook has one a day.", dayText(date))
		}
		o.parts[date] = e
	}
	excluded, err := o.exclusions()
	if err != nil && strict {
		return err
	}
	for _, m := range excluded {
		if date, err := occurrenceDate(m, o.object, among...); err == nil {
			o.excluded[date] = true
		}
	}
	return nil
}

// date is the date of an instance of the series.
func (o *contents) date(m ics.Moment) string {
	if m.Date || o.loc == nil {
		return m.Wall.Format(time.DateOnly)
	}
	return ics.Wall(o.reader.Instant(m), o.loc).Format(time.DateOnly)
}

// on is the plain occurrence of a date.
func (o *contents) on(date string) ics.Instance {
	t, _ := time.Parse(time.DateOnly, date) // of our own making
	start := o.first.Clock
	start.Wall = start.Wall.Add(t.Sub(o.startDate()))
	return o.reader.At(o.first, start)
}

// startDate is the date of the first occurrence.
func (o *contents) startDate() time.Time {
	t, _ := time.Parse(time.DateOnly, o.date(o.first.Clock))
	return t
}

// instance is when an occurrence is, by its override or as the series has it.
func (o *contents) instance(date string) (ics.Instance, error) {
	if c := o.parts[date]; c != nil {
		return o.event(c)
	}
	return o.on(date), nil
}

// hitsOn are those of some dates on which the series has an occurrence, removed or not.
func (o *contents) hitsOn(dates []string) (map[string]bool, error) {
	out := map[string]bool{}
	if o.master == nil || len(dates) == 0 {
		return out, nil
	}
	list, err := o.hits(o.on(slices.Max(dates)).Start.Add(2 * day))
	if err != nil {
		return nil, err
	}
	for _, h := range list {
		out[h.wall.Format(time.DateOnly)] = true
	}
	return out, nil
}

// dayText is a date for a sentence.
func dayText(date string) string {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return date
	}
	return t.Format("2 January 2006")
}

// textOf is the text of the first property of a name, "" for none.
func textOf(c *ical.Component, name string) string {
	p := c.Props.Get(name)
	if p == nil {
		return ""
	}
	return ics.UnescapeText(p.Value)
}

// wordOf is the value of a property that is a word, in capital letters.
func wordOf(c *ical.Component, name string) string {
	p := c.Props.Get(name)
	if p == nil {
		return ""
	}
	return strings.ToUpper(strings.TrimSpace(p.Value))
}
