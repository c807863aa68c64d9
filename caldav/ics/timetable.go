package ics

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-ical"
)

// Timetable says when the instances of one object are, so that a question about a range takes neither its text nor its rule. It is
// text to be kept beside the object, "" where nothing is known:
//
//	FROM:UNTIL ZONE;DAYS;SECONDS;START*STEP*COUNT,START,… ZONE;…
//
// It knows the instances between the two instants, of which an absent one is open. ZONE is where clocks hang, empty for dates. DAYS and
// SECONDS are how long the instances last, START is a clock time, held in UTC, of which there are COUNT, STEP apart. Numbers count seconds
// in base 36. Being of clock times it holds when the law of a zone changes, and a weekly series is one START however long it is.
type Timetable string

// Limits of a timetable: its instances, and its octets.
const (
	maxListed    = 5000
	maxTimetable = 1000
)

// week is how far apart the instances of most rules are, each on its weekday.
const week = 7 * 86400

// timetableBase is that of its numbers.
const timetableBase = 36

// Timetable is the timetable of an object whose bounds are first and last, in the window at least. It is "" where the instances
// depend on where floating times are read, but for dates, or a zone is known by the VTIMEZONE of the object alone, and where they are too
// many or too irregular.
func (r *Reader) Timetable(cal *ical.Calendar, first, last time.Time, window Span) Timetable {
	if first.IsZero() || !r.steady(cal) {
		return ""
	}
	known := window
	if !first.Before(window.Start) {
		known.Start = time.Time{}
	}
	if !last.IsZero() && !last.After(window.End) {
		known.End = time.Time{}
	}
	type kind struct {
		zone   string
		length Duration
	}
	walls := map[kind][]int64{}
	n, named := 0, true
	err := r.Instances(cal, known, func(i Instance) bool {
		k := kind{length: i.Length}
		if loc := i.Clock.Loc; loc != nil {
			k.zone = loc.String()
			named = r.isNamed(loc)
		}
		walls[k] = append(walls[k], i.Clock.Wall.Unix())
		n++
		return named && n <= maxListed
	})
	if err != nil || !named || n > maxListed {
		return ""
	}
	// Dates are there at other instants for other readers, so that at the ends some may be missing.
	bound := func(b []byte, t time.Time, slack time.Duration) []byte {
		if t.IsZero() {
			return b
		}
		return appendNumber(b, t.Add(slack).Unix())
	}
	b := bound(nil, known.Start, Slack)
	b = append(b, ':')
	b = bound(b, known.End, -Slack)
	kinds := make([]kind, 0, len(walls))
	for k := range walls {
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, func(a, b kind) int {
		return cmp.Or(cmp.Compare(a.zone, b.zone), cmp.Compare(a.length.Days, b.length.Days), cmp.Compare(a.length.Seconds, b.length.Seconds))
	})
	for _, k := range kinds {
		b = append(append(b, ' '), k.zone...)
		b = appendNumber(append(b, ';'), int64(k.length.Days))
		b = appendNumber(append(b, ';'), k.length.Seconds)
		b = append(b, ';')
		if b = appendRuns(b, walls[k]); len(b) > maxTimetable {
			return ""
		}
	}
	return Timetable(b)
}

// isNamed reports whether the name of a zone is enough to find it.
func (r *Reader) isNamed(loc *time.Location) bool {
	name := loc.String()
	if loc == time.UTC {
		return true
	}
	if fixedNames[name] || strings.ContainsAny(name, " ;\n") {
		return false
	}
	found, err := r.Zone(name)
	return err == nil && found.String() == name
}

// steady reports whether an object has neither floating times nor an event from a time to a date.
func (r *Reader) steady(cal *ical.Calendar) bool {
	zone := r.zonesOf(cal)
	for _, c := range cal.Children {
		if c.Name != ical.CompEvent {
			continue
		}
		dates := map[string]bool{}
		for _, name := range []string{ical.PropDateTimeStart, ical.PropDateTimeEnd, ical.PropRecurrenceID, ical.PropRecurrenceDates, ical.PropExceptionDates} {
			for i := range c.Props[name] {
				l, err := r.list(&c.Props[name][i], zone)
				if err != nil {
					return false
				}
				for _, v := range l {
					if v.Loc == nil && !v.Date {
						return false
					}
					dates[name] = v.Date
				}
			}
		}
		if end, ok := dates[ical.PropDateTimeEnd]; ok && end != dates[ical.PropDateTimeStart] {
			return false
		}
	}
	return true
}

func appendNumber(b []byte, n int64) []byte { return strconv.AppendInt(b, n, timetableBase) }

// appendRuns writes clock times as runs of equal steps, each weekday with its time by itself.
func appendRuns(b []byte, walls []int64) []byte {
	phase := func(w int64) int64 { return w - floorDiv(w, week)*week }
	slices.SortFunc(walls, func(x, y int64) int { return cmp.Or(cmp.Compare(phase(x), phase(y)), cmp.Compare(x, y)) })
	walls = slices.Compact(walls)
	for i := 0; i < len(walls); {
		count, step := 1, int64(0)
		for ; i+count < len(walls) && phase(walls[i+count]) == phase(walls[i]); count++ {
			next := walls[i+count] - walls[i+count-1]
			if count > 1 && next != step {
				break
			}
			step = next
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = appendNumber(b, walls[i])
		if count > 1 {
			b = appendNumber(append(b, '*'), step)
			b = appendNumber(append(b, '*'), int64(count))
		}
		i += count
	}
	return b
}

// Overlaps reports whether an instance is in s, dates being read in r.Floating. known is false where the timetable does not tell.
func (t Timetable) Overlaps(r *Reader, s Span) (in, known bool) {
	p := timetableParser{rest: string(t), failed: strings.IndexByte(string(t), ':') < 0}
	from, until := p.bound(':'), p.bound(' ')
	if p.failed || !from.IsZero() && s.Start.Before(from) || !until.IsZero() && (s.End.IsZero() || s.End.After(until)) {
		return false, false
	}
	for p.rest != "" && !p.failed {
		i := Instance{}
		zone := p.field(';')
		i.Length = Duration{Days: int(p.number(p.field(';'))), Seconds: p.number(p.field(';'))}
		clock := Moment{Date: zone == ""}
		if zone == "UTC" {
			clock.Loc = time.UTC
		} else if zone != "" {
			loc, err := r.Zone(zone)
			if err != nil {
				return false, false
			}
			clock.Loc = loc
		}
		runs := timetableParser{rest: p.field(' ')}
		for more := true; more; more = runs.rest != "" {
			run := timetableParser{rest: runs.field(',')}
			start, step, count := run.number(run.field('*')), int64(0), int64(1)
			if run.rest != "" {
				step, count = run.number(run.field('*')), run.number(run.field('*'))
				run.failed = run.failed || step <= 0
			}
			if run.failed {
				return false, false
			}
			if r.runOverlaps(i, clock, start, step, count, s) {
				return true, true
			}
		}
	}
	return false, !p.failed
}

// runOverlaps reports whether one of some instances of equal steps is in s. i has their length and clock where their clocks hang.
func (r *Reader) runOverlaps(i Instance, clock Moment, start, step, count int64, s Span) bool {
	k := int64(0)
	if !s.Start.IsZero() && count > 1 {
		before := s.Start.Add(-Slack).Unix() - int64(i.Length.Days)*86400 - i.Length.Seconds - start
		k = max(0, floorDiv(before, step))
	}
	for ; k < count; k++ {
		clock.Wall = time.Unix(start+k*step, 0).UTC()
		if !s.End.IsZero() && clock.Wall.After(s.End.Add(Slack)) {
			return false
		}
		if at := r.At(i, clock); s.Overlaps(at.Start, at.End) {
			return true
		}
	}
	return false
}

// timetableParser takes a timetable apart.
type timetableParser struct {
	rest   string
	failed bool
}

func (p *timetableParser) field(end byte) (s string) {
	i := strings.IndexByte(p.rest, end)
	if i < 0 {
		s, p.rest = p.rest, ""
		return s
	}
	s, p.rest = p.rest[:i], p.rest[i+1:]
	return s
}

func (p *timetableParser) number(s string) int64 {
	n, err := strconv.ParseInt(s, timetableBase, 64)
	p.failed = p.failed || err != nil
	return n
}

func (p *timetableParser) bound(end byte) time.Time {
	s := p.field(end)
	if s == "" {
		return time.Time{}
	}
	return time.Unix(p.number(s), 0)
}
