package caldav

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-ical"
)

// zones turns wall clock times into instants for one request. Floating times and dates are read in a default
// zone (RFC 4791 §9.9): the one that the request names, else the calendar's, else UTC.
type zones struct {
	requested *time.Location
	floating  *time.Location
	loaded    map[string]*time.Location
	work      int // instances looked at so far
}

// of returns the zones with the default for a calendar in a zone of this IANA name, or none.
func (z *zones) of(calendarZone string) *zones {
	z.floating = z.requested
	if z.floating == nil {
		z.floating = time.UTC
		if calendarZone != "" {
			if loc, err := z.load(calendarZone); err == nil {
				z.floating = loc
			}
		}
	}
	return z
}

// load finds a zone by its TZID: an IANA name, also behind a vendor prefix such as
// "/freeassociation.sourceforge.net/Europe/Berlin".
func (z *zones) load(tzid string) (*time.Location, error) {
	if loc, ok := z.loaded[tzid]; ok {
		return loc, nil
	}
	loc, err := time.LoadLocation(strings.TrimSpace(tzid))
	if err != nil || tzid == "Local" || tzid == "" {
		parts := strings.Split(strings.TrimSpace(tzid), "/")
		err = fmt.Errorf("unknown time zone %q", tzid)
		for n := 3; n >= 2 && err != nil; n-- {
			if len(parts) > n {
				loc, err = time.LoadLocation(strings.Join(parts[len(parts)-n:], "/"))
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if z.loaded == nil {
		z.loaded = map[string]*time.Location{}
	}
	z.loaded[tzid] = loc
	return loc, nil
}

// moment is a DATE or DATE-TIME value as it was written.
type moment struct {
	wall time.Time      // the clock reading, in UTC
	loc  *time.Location // where the clock hangs; nil: a floating time or a date
	date bool
}

func (z *zones) instant(m moment) time.Time {
	loc := m.loc
	if loc == nil {
		loc = z.floating
	}
	return wallInstant(m.wall, loc)
}

// wallInstant is the instant at which the clock reads wall. As RFC 5545 §3.3.5 has it, a reading that occurs
// twice is the first of them, and one that a change to summer time skips goes by the offset before the change.
// time.Date promises neither.
func wallInstant(wall time.Time, loc *time.Location) time.Time {
	if loc == time.UTC {
		return wall
	}
	y, mo, d := wall.Date()
	h, mi, s := wall.Clock()
	t := time.Date(y, mo, d, h, mi, s, 0, loc)
	_, offset := t.Zone()
	start, end := t.ZoneBounds()
	reads := t.Unix()+int64(offset) == wall.Unix()
	switch {
	case !reads && !end.IsZero() && wall.Unix() >= end.Unix()+int64(offset):
		// Skipped, and t lies before the change: its own offset is the one to go by.
		return time.Unix(wall.Unix()-int64(offset), 0).In(loc)
	case !start.IsZero():
		_, before := start.Add(-time.Second).Zone()
		earlier := wall.Unix() - int64(before)
		if !reads || earlier < start.Unix() {
			return time.Unix(earlier, 0).In(loc)
		}
	}
	return t
}

// moments reads the comma-separated values of a date property. A PERIOD gives its start.
func (z *zones) moments(p *ical.Prop) ([]moment, error) {
	var loc *time.Location
	if tzid := p.Params.Get("TZID"); tzid != "" {
		var err error
		if loc, err = z.load(tzid); err != nil {
			return nil, err
		}
	}
	var l []moment
	for v := range strings.SplitSeq(p.Value, ",") {
		v, _, _ = strings.Cut(v, "/")
		m, err := parseMoment(strings.TrimSpace(v), loc)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		l = append(l, m)
	}
	return l, nil
}

func (z *zones) moment(p *ical.Prop) (moment, error) {
	l, err := z.moments(p)
	if err != nil {
		return moment{}, err
	}
	return l[0], nil
}

func parseMoment(v string, loc *time.Location) (moment, error) {
	switch {
	case len(v) == len("20060102"):
		t, err := time.Parse("20060102", v)
		return moment{wall: t, date: true}, err
	case strings.HasSuffix(v, "Z"):
		t, err := time.Parse("20060102T150405Z", v)
		return moment{wall: t, loc: time.UTC}, err
	}
	t, err := time.Parse("20060102T150405", v)
	return moment{wall: t, loc: loc}, err
}

// span is a duration: days, which follow the calendar, and time, which follows the clock (RFC 5545 §3.3.6).
type span struct {
	days  int
	exact time.Duration
}

// maxDays keeps a duration, and the sum of two, inside a time.Duration.
const maxDays = 30000

var errDuration = errors.New("malformed duration")

func parseDuration(v string) (span, error) {
	v = strings.ToUpper(strings.TrimSpace(v))
	sign := 1
	if strings.HasPrefix(v, "-") {
		sign = -1
	}
	v, ok := strings.CutPrefix(strings.TrimLeft(v, "+-"), "P")
	if !ok || v == "" {
		return span{}, errDuration
	}
	var s span
	inTime := false
	for v != "" {
		if v[0] == 'T' && !inTime {
			inTime = true
			v = v[1:]
			continue
		}
		n, i := 0, 0
		for ; i < len(v) && '0' <= v[i] && v[i] <= '9'; i++ {
			if n = n*10 + int(v[i]-'0'); n > 1e8 {
				return span{}, errDuration
			}
		}
		if i == 0 || i == len(v) {
			return span{}, errDuration
		}
		if v[i] == 'H' && n > 1e6 {
			return span{}, errDuration
		}
		n *= sign
		switch unit := v[i]; {
		case unit == 'W' && !inTime:
			s.days += 7 * n
		case unit == 'D' && !inTime:
			s.days += n
		case unit == 'H' && inTime:
			s.exact += time.Duration(n) * time.Hour
		case unit == 'M' && inTime:
			s.exact += time.Duration(n) * time.Minute
		case unit == 'S' && inTime:
			s.exact += time.Duration(n) * time.Second
		default:
			return span{}, errDuration
		}
		if s.days > maxDays || s.days < -maxDays || s.exact > maxDays*24*time.Hour || s.exact < -maxDays*24*time.Hour {
			return span{}, errDuration
		}
		v = v[i+1:]
	}
	return s, nil
}
