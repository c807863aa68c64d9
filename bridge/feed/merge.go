package feed

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge/convert"
	"outbridge/caldav/ics"
)

// info is what a feed says of its calendar; what is empty is left out.
type info struct {
	Name        string
	Description string
	Color       string // "#rrggbb"
}

// writeFeed writes objects, each the octets of one calendar object as [ics.Encode] wrote them, as one published calendar
// for subscribers: VTIMEZONEs first, each once and right for all objects that name it, then the other components
// line by line. It reads objects twice and holds none of them, and writes nothing before the first reading is done.
// The properties of the calendar are those that subscribers read (RFC 7986, and the older X-WR- names). X-WR-TIMEZONE is
// not among them: readers that heed it (recurring-ical-events) move times in UTC to that zone before they expand a rule,
// and a series in UTC is an hour off after the next clock change.
func writeFeed(w io.Writer, i info, objects func() iter.Seq2[[]byte, error]) error {
	cal := newCalendar()
	add(cal, ical.PropMethod, "PUBLISH")
	addText(cal, ical.PropName, i.Name)
	addText(cal, "X-WR-CALNAME", i.Name)
	addText(cal, ical.PropDescription, i.Description)
	addText(cal, "X-WR-CALDESC", i.Description)
	if name, hex, ok := convert.CSSColor(i.Color); ok {
		add(cal, ical.PropColor, name)
		add(cal, "X-APPLE-CALENDAR-COLOR", hex)
	}
	add(cal, ical.PropRefreshInterval, "PT1H")
	cal.Props.Get(ical.PropRefreshInterval).Params.Set(ical.ParamValue, "DURATION") // RFC 7986 §5.7 has no default
	add(cal, "X-PUBLISHED-TTL", "PT1H")
	return merge(w, cal, objects)
}

// WriteCalendar writes objects as writeFeed does, without METHOD and the properties of a feed, and with all that the objects
// hold: a file for import.
func WriteCalendar(w io.Writer, objects func() iter.Seq2[[]byte, error]) error {
	return merge(w, newCalendar(), objects)
}

func newCalendar() *ical.Calendar {
	cal := ical.NewCalendar()
	add(cal, ical.PropVersion, "2.0")
	add(cal, ical.PropProductID, convert.ProdID)
	add(cal, ical.PropCalendarScale, "GREGORIAN")
	return cal
}

func add(cal *ical.Calendar, name, value string) {
	p := ical.NewProp(name)
	p.Value = value
	cal.Props.Set(p)
}

// addText adds a TEXT property, unless nothing of it can be seen.
func addText(cal *ical.Calendar, name, text string) {
	if !ics.Blank(text) {
		add(cal, name, ics.EscapeText(text))
	}
}

func merge(w io.Writer, head *ical.Calendar, objects func() iter.Seq2[[]byte, error]) error {
	zones := map[string]*usage{}
	for object, err := range objects() {
		if err == nil {
			err = survey(object, zones)
		}
		if err != nil {
			return fmt.Errorf("write calendar: %w", err)
		}
	}
	e := ics.NewEncoder(w)
	e.Begin(head.Component)
	for _, id := range slices.Sorted(maps.Keys(zones)) {
		u := zones[id]
		if c := convert.Timezone(id, u.first, u.last()); c != nil {
			e.Component(c)
		} else {
			e.Octets(u.given)
		}
	}
	for object, err := range objects() {
		if err != nil {
			return fmt.Errorf("write calendar: %w", err)
		}
		for c, err := range ics.Components(object) {
			if err != nil {
				return fmt.Errorf("write calendar: %w", err)
			}
			if c.Name != ical.CompTimezone {
				e.Octets(c.Octets)
			}
		}
	}
	e.End(head.Component)
	if err := e.Flush(); err != nil {
		return fmt.Errorf("write calendar: %w", err)
	}
	return nil
}

// usage is the span in which a zone is used.
type usage struct {
	first, end time.Time
	endless    bool
	given      []byte // the VTIMEZONE that came with the first object, for a zone that we do not know
}

func (u *usage) last() time.Time {
	if u.endless {
		return time.Time{}
	}
	return u.end
}

// survey adds the zones of an object to zones. It takes the whole object's span for each of its zones, and a rule
// that counts for one without end.
func survey(object []byte, zones map[string]*usage) error {
	var life usage
	given := map[string][]byte{}
	for c, err := range ics.Components(object) {
		if err != nil {
			return err
		}
		for l := range ics.Lines(c.Octets) {
			if c.Name != ical.CompTimezone {
				life.add(l)
			} else if string(l.Name()) == ical.PropTimezoneID {
				given[string(l.Value())] = c.Octets
			}
		}
	}
	for id, octets := range given {
		u := zones[id]
		if u == nil {
			u = &usage{given: bytes.Clone(octets)}
			zones[id] = u
		}
		u.widen(life.first, life.end)
		u.endless = u.endless || life.endless
	}
	return nil
}

// add widens u to the dates of a content line.
func (u *usage) add(l ics.Line) {
	switch string(l.Name()) {
	case ical.PropDateTimeStart, ical.PropDateTimeEnd, ical.PropRecurrenceID, ical.PropRecurrenceDates:
		for v := range bytes.SplitSeq(l.Value(), []byte(",")) {
			if t, ok := dateOf(string(v)); ok {
				u.widen(t, t.Add(48*time.Hour))
			}
		}
	case ical.PropRecurrenceRule:
		_, until, _ := strings.Cut(string(l.Value()), "UNTIL=")
		if t, ok := dateOf(until); ok {
			u.widen(time.Time{}, t.Add(48*time.Hour))
		} else {
			u.endless = true
		}
	}
}

// dateOf is the date that a DATE or a DATE-TIME begins with.
func dateOf(v string) (time.Time, bool) {
	t, err := time.Parse(ics.DateForm, v[:min(len(v), len(ics.DateForm))])
	return t, err == nil
}

// widen makes u hold the time from first, unless it is zero, to end.
func (u *usage) widen(first, end time.Time) {
	if !first.IsZero() && (u.first.IsZero() || first.Before(u.first)) {
		u.first = first
	}
	if end.After(u.end) {
		u.end = end
	}
}
