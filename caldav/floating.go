package caldav

import (
	"crypto/sha256"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/caldav/ics"
)

// floating is where dates and floating times are read. The zero value is where nothing says so: UTC.
type floating struct {
	loc *time.Location
	id  string // tells it from others: its name, or a hash of its VTIMEZONE
}

func namedZone(loc *time.Location) floating { return floating{loc, loc.String()} }

// decodeTimezone reads a CALDAV:timezone or a CALDAV:calendar-timezone.
func decodeTimezone(text string) (*ical.Calendar, error) {
	return ics.Decode([]byte(strings.TrimSpace(text) + "\r\n"))
}

// zoneOf is the zone of a calendar of one VTIMEZONE (RFC 4791 §5.2.2, §9.8), or the zero value where that has no more than
// a name, which is not known. It fails on a VTIMEZONE that is not understood.
func (x *exchange) zoneOf(cal *ical.Calendar) (floating, error) {
	for _, c := range ics.Children(cal.Component, ical.CompTimezone) {
		p := c.Props.Get(ical.PropTimezoneID)
		if p == nil {
			continue
		}
		loc, err := x.ics.Location(cal, p.Value)
		if err != nil && len(c.Children) == 0 {
			continue
		}
		if err != nil {
			return floating{}, err
		}
		if named, err := x.ics.Zone(p.Value); err == nil && named == loc {
			return namedZone(loc), nil
		}
		text, err := ics.Append(nil, c)
		hash := sha256.Sum256(text)
		return floating{loc, string(hash[:])}, err
	}
	return floating{}, nil
}

// reader is the Reader of the request, for a calendar: dates and floating times are read in the zone that the request names
// (RFC 4791 §9.8), else in the one that the principal has set for it, by name or as a VTIMEZONE, else in the one that the
// backend gives (RFC 4791 §5.2.2, RFC 7809 §5.2).
func (x *exchange) reader(c Calendar) (*ics.Reader, error) {
	f, ok := x.floating[c.Name]
	if !ok {
		var err error
		if f, err = x.calendarZone(c); err != nil {
			return nil, err
		}
		if x.floating == nil {
			x.floating = map[string]floating{}
		}
		x.floating[c.Name] = f
	}
	if x.zone.loc != nil {
		f = x.zone
	}
	x.ics.Floating = f.loc
	return &x.ics, nil
}

func (x *exchange) calendarZone(c Calendar) (floating, error) {
	r := x.calendarResource(c)
	name, named, err := x.storedValue(r, caldav("calendar-timezone-id"))
	if err != nil {
		return floating{}, err
	}
	text, own, err := x.storedValue(r, caldav("calendar-timezone"))
	if err != nil {
		return floating{}, err
	}
	if own && !named {
		if cal, err := decodeTimezone(text); err == nil {
			if f, err := x.zoneOf(cal); err == nil && f.loc != nil {
				return f, nil
			}
		}
	}
	if !named {
		name = c.TimeZone
	}
	if name != "" {
		if loc, err := x.ics.Zone(name); err == nil {
			return namedZone(loc), nil
		}
	}
	return floating{}, nil
}
