package convert

import (
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// A wall-clock time or a date without a zone is held as a time.Time in UTC ("civil").

const day = 24 * time.Hour

func date(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

// dateOf is the date of a civil time.
func dateOf(t time.Time) time.Time { return date(t.Date()) }

// parseCivil reads a dateTime as Graph writes it: "2006-01-02T15:04:05.0000000", with fewer parts, with a trailing
// "Z" or an offset. utc tells of the latter two: civil is then in UTC, and the zone beside it is of no meaning.
func parseCivil(s string) (civil time.Time, utc, ok bool) {
	wall, offset, utc, ok := parseWritten(s)
	civil = wall.Add(-offset)
	if !ok || civil.Year() < 1 || civil.Year() > 9999 {
		return time.Time{}, false, false
	}
	return civil, utc, true
}

// written is a date and time as people and programs write it: one or two digits where Graph has two, seconds and their
// fraction or not, an offset with its colon or without, or in hours.
var written = regexp.MustCompile(`^(\d{4})-(\d{1,2})-(\d{1,2})(?:(?:[Tt]| +)(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d*)?)?)?` +
	` *(?:([Zz]|UTC|GMT)|([+-])(\d{1,2})(?::?(\d{2}))?)?$`)

// parseWritten is parseCivil with the clock time as it is written, and its offset from UTC. Digits may be those of any
// script (programs have written times in the culture of their host), and 24:00 is the next midnight.
func parseWritten(s string) (wall time.Time, offset time.Duration, utc, ok bool) {
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04:05Z"} { // what Graph writes, with any fraction
		if t, err := time.Parse(layout, s); err == nil && t.Year() > 0 {
			return t.Truncate(time.Second), 0, len(layout) == 20, true
		}
	}
	m := written.FindStringSubmatch(strings.Map(asciiDigit, strings.TrimSpace(s)))
	if m == nil || m[4] == "" && m[7]+m[8] != "" {
		return time.Time{}, 0, false, false
	}
	num := func(i int) int {
		n, _ := strconv.Atoi(m[i]) // some digits, or none, which counts as 0
		return n
	}
	y, mo, d, h, minute, sec := num(1), num(2), num(3), num(4), num(5), min(num(6), 59)
	if y < 1 || mo < 1 || mo > 12 || d < 1 || d > daysIn(y, time.Month(mo)) || h > 24 || h == 24 && minute+sec > 0 ||
		minute > 59 || num(6) > 60 || num(9) > 23 || num(10) > 59 {
		return time.Time{}, 0, false, false
	}
	wall = time.Date(y, time.Month(mo), d, h, minute, sec, 0, time.UTC)
	offset = time.Duration(num(9))*time.Hour + time.Duration(num(10))*time.Minute
	if m[8] == "-" {
		offset = -offset
	}
	return wall, offset, m[7]+m[8] != "", true
}

// asciiDigit is the ASCII digit of a decimal digit of any script, and of a minus sign the hyphen.
func asciiDigit(r rune) rune {
	switch {
	case r < 0x80:
		return r
	case r == '\u2212':
		return '-'
	case unicode.Is(unicode.Nd, r):
		// Each range of the table is digits from zero on, ten by ten.
		for _, in := range unicode.Nd.R16 {
			if rune(in.Lo) <= r && r <= rune(in.Hi) {
				return '0' + (r-rune(in.Lo))%10
			}
		}
		for _, in := range unicode.Nd.R32 {
			if rune(in.Lo) <= r && r <= rune(in.Hi) {
				return '0' + (r-rune(in.Lo))%10
			}
		}
	}
	return r
}

// unset is whether t is the value that .NET gives a time that was never set.
func unset(t time.Time) bool { return t.Year() == 1 }

// moment is one start or end: its clock time, and the instant.
type moment struct {
	civil   time.Time // in zone (a date for an all-day event)
	zone    zone      // that civil is in
	at      time.Time
	written time.Time // the clock time as it was written, which is another than civil where it has an offset
}

// readMoment reads a start or an end. known is whether its zone is one that we know; otherwise it was read in fallback.
func readMoment(v graph.DateTimeTimeZone, fallback zone) (m moment, known, ok bool) {
	civil, utc, ok := parseCivil(v.DateTime)
	if !ok {
		return moment{}, true, false
	}
	wall, _, _, _ := parseWritten(v.DateTime)
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
	return moment{civil, z, at, wall}, known, true
}

// SpanOf is when an event is; a time that cannot be read is the zero one. An all-day event is midnight to midnight in UTC,
// wherever it was made.
func SpanOf(e graph.Event) Span {
	start, _, okStart := readMoment(e.Start, zone{})
	end, _, okEnd := readMoment(e.End, zone{})
	if e.IsAllDay && okStart && okEnd {
		days, _ := wholeDays(e, start, end)
		return days
	}
	var s Span
	if okStart {
		s.Start = start.at
	}
	if okEnd {
		s.End = end.at
	}
	return s
}

// isMidnight is whether t, in UTC, is one there.
func isMidnight(t time.Time) bool { return t.Equal(dateOf(t)) }

// wholeDays are the dates of an all-day event, the end exclusive. Graph says them as midnights in whatever zone it was
// asked for, so the dates count as they stand. But times that are no midnights are such in the zone of whoever made the
// event, said as instants: in one of its own, or of more. Where that is none that is known, the offset is told by the time
// of day, and by the date on which the recurrence starts. instant: that is what they were.
func wholeDays(e graph.Event, start, end moment, more ...zone) (days Span, instant bool) {
	if isMidnight(start.written) {
		days = Span{start.written, dateOf(end.written)}
		if !isMidnight(end.written) && days.End.Year() < 9999 {
			days.End = days.End.Add(day) // an end within a day takes in the whole of it
		}
		return days, false
	}
	s := Span{start.at, end.at}
	names := []string{e.OriginalStartTimeZone, e.OriginalEndTimeZone}
	var zones []zone
	if e.Recurrence != nil {
		names = append(names, e.Recurrence.Range.RecurrenceTimeZone)
	}
	for _, name := range names {
		if z, ok := findZone(name); ok {
			zones = append(zones, z)
		}
	}
	if days, ok := s.midnights(append(zones, more...)); ok {
		return days, true
	}
	if start.written.Minute()%15 != 0 || start.written.Second() != 0 {
		return Span{dateOf(start.written), dateOf(start.written).Add(s.days())}, false
	}
	days = s.dates()
	if e.Recurrence != nil {
		from, _, ok := parseCivil(e.Recurrence.Range.StartDate)
		if before := s.Start.Sub(dateOf(from)); ok && before > -15*time.Hour && before < 13*time.Hour {
			days = Span{dateOf(from), dateOf(from).Add(s.days())}
		}
	}
	return days, true
}

// midnights are the dates of a span that is midnight to midnight in UTC or in one of some zones.
func (s Span) midnights(zones []zone) (Span, bool) {
	for _, z := range append([]zone{{}}, zones...) {
		start, ok := midnightIn(s.Start, z)
		if end, ok2 := midnightIn(s.End, z); ok && ok2 {
			return Span{start, end}, true
		}
	}
	return Span{}, false
}

// midnightIn is the date that begins in z at t.
func midnightIn(t time.Time, z zone) (time.Time, bool) {
	d := dateOf(ics.Wall(t, z.location()))
	return d, ics.Instant(d, z.location()).Equal(t) // or the first instant of a day whose midnight is skipped
}

// dates are the dates of an all-day instance that is said in an unknown zone. Up to ten hours after midnight in UTC it is
// one west of there, down to Hawaii; the other ones are east of it, New Zealand the farthest.
func (s Span) dates() Span {
	start := dateOf(s.Start.UTC())
	if s.Start.Sub(start) > 10*time.Hour {
		start = start.Add(day)
	}
	return Span{start, start.Add(s.days())}
}

// days is the length in whole days, with an hour to spare for a clock that is turned on the way.
func (s Span) days() time.Duration {
	return max((s.End.Sub(s.Start) + day - 2*time.Hour).Truncate(day), day)
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
