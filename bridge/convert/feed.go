package convert

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"
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
	e := newEncoder(w)
	e.raw("BEGIN:" + head.Name)
	for _, name := range propOrder(head) {
		for i := range head.Props[name] {
			e.prop(&head.Props[name][i])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(zones)) {
		u := zones[id]
		z, ok := findZone(id)
		switch {
		case ok && !z.utc() && z.tzid == id:
			e.component(vtimezone(z, u.first, u.last()), 1)
		case u.given != nil:
			e.w.Write(u.given)
		}
	}
	for object, err := range objects() {
		if err != nil {
			return fmt.Errorf("write calendar: %w", err)
		}
		if err := components(object, func(name string, lines []byte) error {
			if name == ical.CompTimezone {
				return nil
			}
			_, err := e.w.Write(lines)
			return err
		}); err != nil {
			return err
		}
	}
	e.raw("END:" + head.Name)
	return e.flush()
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
	err := components(object, func(name string, lines []byte) error {
		if name == ical.CompTimezone {
			for line := range contentLines(lines) {
				if id, ok := bytes.CutPrefix(line, []byte("TZID:")); ok {
					given[string(id)] = bytes.Clone(lines)
					used[string(id)] = true
				}
			}
			return nil
		}
		for line := range contentLines(lines) {
			name, value, ok := splitLine(line)
			if !ok {
				continue
			}
			switch name {
			case "DTSTART", "DTEND", "RECURRENCE-ID", "RDATE":
				t, err := time.Parse(dateForm, value[:min(len(value), 8)])
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
				_, until, ok := strings.Cut(value, "UNTIL=")
				t, err := time.Parse(dateForm, until[:min(len(until), 8)])
				if !ok || err != nil {
					endless = true
				} else if t = t.Add(2 * day); t.After(end) {
					end = t
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
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

// components calls f with each component of a calendar object, as its lines stand.
func components(object []byte, f func(name string, lines []byte) error) error {
	depth, start, name := 0, 0, ""
	for i := 0; i < len(object); {
		n := bytes.IndexByte(object[i:], '\n') + 1
		if n == 0 {
			n = len(object) - i
		}
		line := bytes.TrimRight(object[i:i+n], "\r\n")
		switch {
		case bytes.HasPrefix(line, []byte("BEGIN:")):
			if depth++; depth == 2 {
				start, name = i, string(line[len("BEGIN:"):])
			}
		case bytes.HasPrefix(line, []byte("END:")):
			if depth--; depth == 1 {
				if err := f(name, object[start:i+n]); err != nil {
					return fmt.Errorf("write calendar: %w", err)
				}
			}
		}
		i += n
	}
	if depth != 0 {
		return errors.New("write calendar: a stored object is not whole")
	}
	return nil
}

// contentLines are the unfolded lines of a component.
func contentLines(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var line []byte
		for physical := range bytes.Lines(b) {
			physical = bytes.TrimRight(physical, "\r\n")
			if len(physical) > 0 && (physical[0] == ' ' || physical[0] == '\t') {
				line = append(slices.Clip(line), physical[1:]...)
				continue
			}
			if line != nil && !yield(line) {
				return
			}
			line = physical
		}
		if line != nil {
			yield(line)
		}
	}
}

// splitLine is the name and the value of a line whose parameters hold no colon, as those of times do.
func splitLine(line []byte) (name, value string, ok bool) {
	head, v, ok := bytes.Cut(line, []byte(":"))
	n, _, _ := bytes.Cut(head, []byte(";"))
	return string(n), string(v), ok
}
