package convert

import (
	"strings"
	"time"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// A wall-clock time or a date without a zone is held as a time.Time in UTC ("civil").

const day = 24 * time.Hour

func date(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

// dateOf is the date of a civil time.
func dateOf(t time.Time) time.Time { return date(t.Date()) }

// parseCivil reads a dateTime as Graph writes it: "2006-01-02T15:04:05.0000000", with fewer parts, with a trailing
// "Z" or an offset. utc tells of the latter two: the zone beside it is then of no meaning.
func parseCivil(s string) (civil time.Time, utc, ok bool) {
	s = strings.TrimSpace(s)
	for _, layout := range []string{
		"2006-01-02T15:04:05", "2006-01-02T15:04:05Z07:00", "2006-01-02T15:04", "2006-01-02T15:04Z07:00",
		"2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", time.DateOnly,
	} {
		// Parse accepts a fraction of any length after the seconds.
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		utc = strings.Contains(layout, "Z07:00")
		t = t.UTC().Truncate(time.Second)
		if t.Year() < 1 || t.Year() > 9999 {
			return time.Time{}, false, false
		}
		return t, utc, true
	}
	return time.Time{}, false, false
}

// unset is whether t is the value that .NET gives a time that was never set.
func unset(t time.Time) bool { return t.Year() == 1 }

// moment is one start or end: its clock time, and the instant.
type moment struct {
	civil time.Time // as written, in zone (a date for an all-day event)
	zone  zone      // that civil is in
	at    time.Time
}

// readMoment reads a start or an end. known is whether its zone is one that we know; otherwise it was read in fallback.
func readMoment(v graph.DateTimeTimeZone, fallback zone) (m moment, known, ok bool) {
	civil, utc, ok := parseCivil(v.DateTime)
	if !ok {
		return moment{}, true, false
	}
	z, known := zone{}, true
	if !utc && strings.TrimSpace(v.TimeZone) != "" {
		if z, known = findZone(v.TimeZone); !known {
			z = fallback
		}
	}
	at := ics.Instant(civil, z.location())
	if at.Year() < 1 {
		at = date(1, 1, 1)
	} else if at.Year() > 9999 {
		at = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	}
	return moment{civil, z, at}, known, true
}

// civilIn is the clock time of m in z. A clock time that was written in z is kept, since the instant cannot tell
// which one was meant where the clock is turned.
func (m moment) civilIn(z zone) time.Time {
	if m.zone.tzid == z.tzid {
		return m.civil
	}
	return ics.Wall(m.at, z.location())
}

// expressible is whether every iCalendar reader finds the instant t again from its clock time in z: not so in an hour
// that comes twice, which RFC 5545 takes for the first and Thunderbird for the second one; outside of the years 1 to
// 9999; and where the offset has seconds (before about 1900).
func (z zone) expressible(t time.Time) bool {
	if z.utc() {
		return true
	}
	w := ics.Wall(t, z.loc)
	_, offset := t.In(z.loc).Zone()
	if offset%60 != 0 || w.Year() < 1 || w.Year() > 9999 {
		return false
	}
	for _, near := range []time.Time{t.Add(-day), t.Add(day)} {
		_, other := near.In(z.loc).Zone()
		if other != offset && ics.Wall(w.Add(-time.Duration(other)*time.Second), z.loc).Equal(w) {
			return false
		}
	}
	return ics.Instant(w, z.loc).Equal(t)
}
