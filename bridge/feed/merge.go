package feed

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/emersion/go-ical"

	"outbridge/bridge/convert"
)

// info is what a feed says of its calendar; what is empty is left out.
type info struct {
	Name        string
	Description string
	Color       string // "#rrggbb"
	Zone        string // IANA name; "": the one that most objects are written in
}

// writeFeed writes objects, each the octets of one calendar object as [convert.Encode] wrote them, as one published calendar
// for subscribers: VTIMEZONEs first, each once and right for all objects that name it, then the other components
// line by line. It reads objects twice and holds none of them, and writes nothing before the first reading is done.
// The properties of the calendar are those that subscribers read (RFC 7986, and the older X-WR- names).
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
	return merge(w, cal, objects, func(zones map[string]*usage) {
		zone := i.Zone
		if zone == "" {
			zone = commonest(zones)
		}
		addText(cal, "X-WR-TIMEZONE", zone)
	})
}

// WriteCalendar writes objects as writeFeed does, without METHOD and the properties of a feed, and with all that the objects
// hold: a file for import.
func WriteCalendar(w io.Writer, objects func() iter.Seq2[[]byte, error]) error {
	return merge(w, newCalendar(), objects, func(map[string]*usage) {})
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
	if strings.ContainsFunc(text, func(c rune) bool { return unicode.IsGraphic(c) && !unicode.IsSpace(c) }) {
		add(cal, name, convert.EscapeText(text))
	}
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

// merge calls known, which may add to head, once all zones are.
func merge(w io.Writer, head *ical.Calendar, objects func() iter.Seq2[[]byte, error], known func(map[string]*usage)) error {
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
	out := bufio.NewWriter(w)
	var top bytes.Buffer
	if err := convert.Encode(&top, head); err != nil {
		return err
	}
	begin, end := top.Bytes()[:top.Len()-len(endCalendar)], endCalendar
	out.Write(begin)
	for _, id := range slices.Sorted(maps.Keys(zones)) {
		if err := zones[id].write(out, id); err != nil {
			return err
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
			_, err := out.Write(lines)
			return err
		}); err != nil {
			return err
		}
	}
	out.WriteString(end)
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write calendar: %w", err)
	}
	return nil
}

const endCalendar = "END:VCALENDAR\r\n"

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

// write writes the VTIMEZONE of the zone tzid: ours, or that of the first object where the zone is not known.
func (u *usage) write(w io.Writer, tzid string) error {
	if c := convert.Timezone(tzid, u.first, u.last()); c != nil {
		return convert.Encode(w, &ical.Calendar{Component: c})
	}
	_, err := w.Write(u.given)
	return err
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
				t, err := time.Parse("20060102", value[:min(len(value), 8)])
				if err != nil {
					continue
				}
				if first.IsZero() || t.Before(first) {
					first = t
				}
				if t = t.Add(48 * time.Hour); t.After(end) {
					end = t
				}
			case "RRULE":
				_, until, ok := strings.Cut(value, "UNTIL=")
				t, err := time.Parse("20060102", until[:min(len(until), 8)])
				if !ok || err != nil {
					endless = true
				} else if t = t.Add(48 * time.Hour); t.After(end) {
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
