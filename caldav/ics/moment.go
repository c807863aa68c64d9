package ics

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-ical"
)

// This file depends on go-ical and the standard library alone.

// The forms of DATE and DATE-TIME (RFC 5545 §3.3.4, §3.3.5), for [time.Time.Format].
const (
	DateForm = "20060102"
	WallForm = "20060102T150405"
	UTCForm  = "20060102T150405Z"
)

// Moment is a DATE or a DATE-TIME as it was written.
type Moment struct {
	Wall time.Time      // the clock reading, held in UTC; midnight for a date
	Loc  *time.Location // where the clock hangs; nil for a date and for a floating time
	Date bool
}

// ParseMoment reads a DATE or a DATE-TIME, whose letters may be small (RFC 5234 §2.3). loc is where the clock of a local
// time hangs, nil for a floating one.
func ParseMoment(v string, loc *time.Location) (Moment, error) {
	v = strings.TrimSpace(v)
	n := len(v)
	if n == len(DateForm) {
		t, ok := digits(v, "000000")
		if !ok {
			return Moment{}, fmt.Errorf("%q is no date", v)
		}
		return Moment{Wall: t, Date: true}, nil
	}
	if n == len(UTCForm) && (v[n-1] == 'Z' || v[n-1] == 'z') {
		loc = time.UTC
		n--
	}
	if n != len(WallForm) || v[8] != 'T' && v[8] != 't' {
		return Moment{}, fmt.Errorf("%q is no time", clip(v))
	}
	t, ok := digits(v[:8], v[9:n])
	if !ok {
		return Moment{}, fmt.Errorf("%q is no time", v)
	}
	return Moment{Wall: t, Loc: loc}, nil
}

// digits reads YYYYMMDD and HHMMSS. The second 60 is taken for 59 (RFC 5545 §3.3.12).
func digits(date, clock string) (time.Time, bool) {
	bad := false
	num := func(s string) (n int) {
		for i := range len(s) {
			bad = bad || s[i] < '0' || s[i] > '9'
			n = n*10 + int(s[i]-'0')
		}
		return n
	}
	y, mo, d := num(date[:4]), num(date[4:6]), num(date[6:])
	h, mi, s := num(clock[:2]), num(clock[2:4]), min(num(clock[4:]), 60)
	if s == 60 {
		bad = bad || clock[4:] != "60"
		s = 59
	}
	t := time.Date(y, time.Month(mo), d, h, mi, s, 0, time.UTC)
	return t, !bad && t.Month() == time.Month(mo) && t.Day() == d && h < 24 && mi < 60
}

// clip shortens what is quoted in an error.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// In is the instant of m, in UTC. A date or floating time is read in floating.
func (m Moment) In(floating *time.Location) time.Time {
	if m.Loc != nil {
		return Instant(m.Wall, m.Loc)
	}
	return Instant(m.Wall, floating)
}

// Instant is when a clock in loc shows wall, in UTC. As RFC 5545 §3.3.5 has it, a reading that comes twice is the first
// of them, and one that is skipped counts with the offset from before the gap. time.Date promises neither.
func Instant(wall time.Time, loc *time.Location) time.Time {
	if loc == time.UTC || loc == nil {
		return wall
	}
	// The offsets a day before and a day after bracket any change near this clock time, wherever the clock hangs.
	u := wall.Unix()
	_, before := time.Unix(u-86400, 0).In(loc).Zone()
	_, after := time.Unix(u+86400, 0).In(loc).Zone()
	first := time.Unix(u-int64(before), 0)
	if _, offset := first.In(loc).Zone(); offset == before {
		return first.UTC()
	}
	if before != after {
		second := time.Unix(u-int64(after), 0)
		if _, offset := second.In(loc).Zone(); offset == after {
			return second.UTC()
		}
		return first.UTC() // skipped
	}
	// Two changes within two days, which no place has had since it had a standard time: ask the offset just before.
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, loc)
	if Wall(t, loc).Equal(wall) {
		return t.UTC()
	}
	return first.UTC()
}

// Wall is what a clock in loc shows at t, held in UTC.
func Wall(t time.Time, loc *time.Location) time.Time {
	_, offset := t.In(loc).Zone()
	return time.Unix(t.Unix()+int64(offset), 0).UTC()
}

// Duration is a DURATION (RFC 5545 §3.3.6): days, which follow the calendar, and then seconds, which follow the clock.
type Duration struct {
	Days    int
	Seconds int64
}

// maxDays is the longest duration that is read, more than 80 years, and maxSeconds the same by the clock.
const (
	maxDays    = 30000
	maxSeconds = maxDays * 86400
)

var errDuration = errors.New("malformed duration")

// ParseDuration reads a DURATION, also a negative one.
func ParseDuration(v string) (Duration, error) {
	v = strings.ToUpper(strings.TrimSpace(v))
	sign := int64(1)
	if strings.HasPrefix(v, "-") {
		sign = -1
	}
	v, ok := strings.CutPrefix(strings.TrimLeft(v, "+-"), "P")
	if !ok || v == "" {
		return Duration{}, errDuration
	}
	var d Duration
	inTime := false
	for v != "" {
		if v[0] == 'T' && !inTime {
			inTime = true
			v = v[1:]
			continue
		}
		n, i := int64(0), 0 // more than an int of 32 bits holds
		for ; i < len(v) && '0' <= v[i] && v[i] <= '9'; i++ {
			if n = n*10 + int64(v[i]-'0'); n > maxSeconds {
				return Duration{}, errDuration
			}
		}
		if i == 0 || i == len(v) {
			return Duration{}, errDuration
		}
		n *= sign
		days := int64(d.Days)
		switch unit := v[i]; {
		case unit == 'W' && !inTime:
			days += 7 * n
		case unit == 'D' && !inTime:
			days += n
		case unit == 'H' && inTime:
			d.Seconds += 3600 * n
		case unit == 'M' && inTime:
			d.Seconds += 60 * n
		case unit == 'S' && inTime:
			d.Seconds += n
		default:
			return Duration{}, errDuration
		}
		if max(days, -days) > maxDays || max(d.Seconds, -d.Seconds) > maxSeconds {
			return Duration{}, errDuration
		}
		d.Days = int(days)
		v = v[i+1:]
	}
	return d, nil
}

// After is the instant when d has passed since start: its days by the clock of start, the rest by elapsed time.
func (d Duration) After(start Moment, floating *time.Location) time.Time {
	if d.Days != 0 {
		start.Wall = start.Wall.AddDate(0, 0, d.Days)
	}
	return later(start.In(floating), d.Seconds)
}

// later is t and some seconds, however many: a time.Duration holds no more than 292 years.
func later(t time.Time, seconds int64) time.Time { return time.Unix(t.Unix()+seconds, 0).UTC() }

// zoneFunc finds the zone of a TZID.
type zoneFunc func(tzid string) (*time.Location, error)

// value is one of the values of a date property: a moment, or a PERIOD (RFC 5545 §3.3.9), which says how long it lasts.
type value struct {
	Moment
	length *Duration // nil but for a PERIOD
}

// values reads DTSTART and the like, and the comma-separated lists of RDATE and EXDATE. A TZID counts for local times
// alone. A period that ends at a time lasts exactly as long as from its start to there.
func values(p *ical.Prop, zone zoneFunc) ([]value, error) {
	var l []value
	var loc *time.Location // of the TZID, once it has been needed
	for v := range strings.SplitSeq(p.Value, ",") {
		if v = strings.TrimSpace(v); v == "" && len(p.Value) > 0 && (p.Name == ical.PropRecurrenceDates || p.Name == ical.PropExceptionDates) {
			continue
		}
		from, to, period := strings.Cut(v, "/")
		start, err := local(from, p, zone, &loc)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		one := value{Moment: start}
		if period {
			if one.length, err = periodLength(start, to, p, zone, &loc); err != nil {
				return nil, fmt.Errorf("%s: %w", p.Name, err)
			}
		}
		l = append(l, one)
	}
	return l, nil
}

func periodLength(start Moment, to string, p *ical.Prop, zone zoneFunc, loc **time.Location) (*Duration, error) {
	if strings.ContainsAny(to, "pP") {
		d, err := ParseDuration(to)
		return &d, err
	}
	end, err := local(to, p, zone, loc)
	if err != nil {
		return nil, err
	}
	return &Duration{Seconds: end.In(time.UTC).Unix() - start.In(time.UTC).Unix()}, nil
}

// local reads one value, in the zone that its property names, which loc remembers from one value to the next.
func local(v string, p *ical.Prop, zone zoneFunc, loc **time.Location) (Moment, error) {
	m, err := ParseMoment(v, nil)
	if err != nil || m.Date || m.Loc != nil {
		return m, err
	}
	if tzid := p.Params.Get(ical.ParamTimezoneID); *loc == nil && tzid != "" {
		*loc, err = zone(tzid)
	}
	m.Loc = *loc
	return m, err
}

// parseProp reads the first value of DTSTART, DTEND, RECURRENCE-ID and the like.
func parseProp(p *ical.Prop, zone zoneFunc) (Moment, error) {
	l, err := values(p, zone)
	if err != nil {
		return Moment{}, err
	}
	if len(l) == 0 {
		return Moment{}, fmt.Errorf("%s: no time", p.Name)
	}
	return l[0].Moment, nil
}
