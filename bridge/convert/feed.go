package convert

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

	"outbridge/caldav/ics"
)

// FeedInfo is what a feed says of its calendar; what is empty is left out.
type FeedInfo struct {
	Name        string
	Description string
	Color       string // "#rrggbb"
	Zone        string // IANA name; "": the one that most objects are written in
}

// WriteFeed writes objects, each the octets of one calendar object as [Encode] wrote them, as one published calendar
// for subscribers: VTIMEZONEs first, each once and right for all objects that name it, then the other components
// line by line. It reads objects twice and holds none of them, and writes nothing before the first reading is done.
// The properties of the calendar are those that subscribers read (RFC 7986, and the older X-WR- names).
func WriteFeed(w io.Writer, info FeedInfo, objects func() iter.Seq2[[]byte, error]) error {
	cal := newCalendar().Component
	add(cal, ical.PropMethod, "PUBLISH")
	if info.Name != "" {
		addText(cal, ical.PropName, info.Name)
		addText(cal, "X-WR-CALNAME", info.Name)
	}
	if info.Description != "" {
		addText(cal, ical.PropDescription, info.Description)
		addText(cal, "X-WR-CALDESC", info.Description)
	}
	if name, hex, ok := cssColor(info.Color); ok {
		add(cal, ical.PropColor, name)
		add(cal, "X-APPLE-CALENDAR-COLOR", hex)
	}
	add(cal, ical.PropRefreshInterval, "PT1H", ical.ParamValue, "DURATION")
	add(cal, "X-PUBLISHED-TTL", "PT1H")
	return merge(w, cal, objects, func(zones map[string]*usage) {
		zone := info.Zone
		if zone == "" {
			zone = commonest(zones)
		}
		addText(cal, "X-WR-TIMEZONE", zone)
	})
}

// commonest is the zone that most objects name, the first by name of several; UTC where none is named.
func commonest(zones map[string]*usage) string {
	name, most := "UTC", 0
	for _, id := range slices.Sorted(maps.Keys(zones)) {
		if n := zones[id].objects; n > most {
			name, most = id, n
		}
	}
	return name
}

// WriteCalendar is WriteFeed without METHOD and the properties of a feed, and with all that the objects hold: a file for
// import.
func WriteCalendar(w io.Writer, objects func() iter.Seq2[[]byte, error]) error {
	return merge(w, newCalendar().Component, objects, func(map[string]*usage) {})
}

// merge calls known, which may add to head, once all zones are.
func merge(w io.Writer, head *ical.Component, objects func() iter.Seq2[[]byte, error], known func(map[string]*usage)) error {
	zones := map[string]*usage{}
	for object, err := range objects() {
		if err != nil {
			return fmt.Errorf("write calendar: %w", err)
		}
		if err := survey(object, zones); err != nil {
			return err
		}
	}
	known(zones)
	e := ics.NewEncoder(w)
	e.Begin(head)
	for _, id := range slices.Sorted(maps.Keys(zones)) {
		u := zones[id]
		z, ok := findZone(id)
		switch {
		case ok && !z.utc() && z.tzid == id:
			e.Component(vtimezone(z, u.first, u.last()))
		case u.given != nil:
			e.Octets(u.given)
		}
	}
	for object, err := range objects() {
		if err != nil {
			return fmt.Errorf("write calendar: %w", err)
		}
		for c, err := range ics.Components(object) {
			if err != nil {
				return fmt.Errorf("write calendar: a stored object: %w", err)
			}
			if c.Name != ical.CompTimezone {
				e.Octets(c.Octets)
			}
		}
	}
	e.End(head)
	return e.Flush()
}

// usage is the span in which a zone is used.
type usage struct {
	first, end time.Time
	endless    bool
	objects    int    // that name it
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
	var first, end time.Time
	endless := false
	used := map[string]bool{}
	given := map[string][]byte{}
	for c, err := range ics.Components(object) {
		if err != nil {
			return fmt.Errorf("write calendar: a stored object: %w", err)
		}
		if c.Name == ical.CompTimezone {
			for line := range ics.Lines(c.Octets) {
				if string(line.Name()) == ical.PropTimezoneID {
					id := string(line.Value())
					given[id] = bytes.Clone(c.Octets)
					used[id] = true
				}
			}
			continue
		}
		for line := range ics.Lines(c.Octets) {
			switch name := string(line.Name()); name {
			case "DTSTART", "DTEND", "RECURRENCE-ID", "RDATE":
				value := string(line.Value())
				t, err := time.Parse(ics.DateForm, value[:min(len(value), 8)])
				if err != nil {
					continue
				}
				if first.IsZero() || t.Before(first) {
					first = t
				}
				if t = t.Add(2 * day); t.After(end) {
					end = t
				}
			case "RRULE":
				_, until, ok := strings.Cut(string(line.Value()), "UNTIL=")
				t, err := time.Parse(ics.DateForm, until[:min(len(until), 8)])
				if !ok || err != nil {
					endless = true
				} else if t = t.Add(2 * day); t.After(end) {
					end = t
				}
			}
		}
	}
	for id := range used {
		u := zones[id]
		if u == nil {
			u = &usage{given: given[id]}
			zones[id] = u
		}
		u.objects++
		if !first.IsZero() && (u.first.IsZero() || first.Before(u.first)) {
			u.first = first
		}
		if end.After(u.end) {
			u.end = end
		}
		u.endless = u.endless || endless
	}
	return nil
}
