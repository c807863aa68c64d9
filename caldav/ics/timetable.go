package ics

import (
	"cmp"
	"math"
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
	p := timetableParser{rest: string(t)}
	from, begins := p.bound()
	if p.next() != ':' {
		return false, false
	}
	until, ends := p.bound()
	if p.failed || begins && (s.Start.IsZero() || s.Start.Unix() < from) || ends && (s.End.IsZero() || s.End.Unix() > until) {
		return false, false
	}
	separator := p.next()
	for separator == ' ' {
		zone := p.zone()
		var i Instance
		i.Length.Days = int(p.number(';'))
		i.Length.Seconds = p.number(';')
		clock, found := Moment{Date: zone == ""}, zone == ""
		for separator = ','; separator == ','; {
			run := timetableRun{start: p.digits(), count: 1}
			if separator = p.next(); separator == '*' {
				run.step, run.count = p.number('*'), p.digits()
				p.failed = p.failed || run.step <= 0
				separator = p.next()
			}
			switch {
			case p.failed:
				return false, false
			case run.surely(s):
				return true, true
			case !found:
				loc, err := r.Zone(zone)
				if err != nil {
					return false, false
				}
				clock.Loc, found = loc, true
			}
			if run.overlaps(r, i, clock, s) {
				return true, true
			}
		}
	}
	return false, separator == 0
}

const slackSeconds = int64(Slack / time.Second)

// timetableRun is clock times of equal steps, in seconds.
type timetableRun struct{ start, step, count int64 }

// from is the first of the run that is not before a time.
func (n timetableRun) from(t int64) (k int64) {
	if n.count > 1 {
		k = -floorDiv(n.start-t, n.step)
	}
	return max(0, k)
}

// surely reports that one of the run begins in s, wherever its clock hangs.
func (n timetableRun) surely(s Span) bool {
	inner := n.start
	if !s.Start.IsZero() {
		after := s.Start.Unix() + slackSeconds
		k := n.from(after)
		if inner = n.start + k*n.step; k >= n.count || inner < after {
			return false
		}
	}
	return s.End.IsZero() || inner < s.End.Unix()-slackSeconds
}

// overlaps reports whether one of the run is in s. i has the length of all, and clock where their clocks hang.
func (n timetableRun) overlaps(r *Reader, i Instance, clock Moment, s Span) bool {
	k, before := int64(0), int64(math.MinInt64)
	if !s.Start.IsZero() {
		before = s.Start.Unix() - slackSeconds - int64(i.Length.Days)*86400 - i.Length.Seconds
		k = n.from(before)
	}
	for ; k < n.count; k++ {
		wall := n.start + k*n.step
		if !s.End.IsZero() && wall > s.End.Unix()+slackSeconds {
			return false
		}
		if wall < before {
			continue
		}
		clock.Wall = time.Unix(wall, 0).UTC()
		if at := r.At(i, clock); s.Overlaps(at.Start, at.End) {
			return true
		}
	}
	return false
}

// timetableParser takes a timetable apart. It is at the beginning of what comes next.
type timetableParser struct {
	rest   string
	failed bool
}

// next is the octet that comes next, 0 at the end.
func (p *timetableParser) next() (c byte) {
	if p.rest != "" {
		c, p.rest = p.rest[0], p.rest[1:]
	}
	return c
}

func (p *timetableParser) zone() string {
	zone, rest, ok := strings.Cut(p.rest, ";")
	p.rest, p.failed = rest, p.failed || !ok
	return zone
}

// number reads a number and what ends it.
func (p *timetableParser) number(end byte) int64 {
	n := p.digits()
	p.failed = p.failed || p.next() != end
	return n
}

// bound reads a number that may be absent.
func (p *timetableParser) bound() (n int64, ok bool) {
	if p.rest == "" || p.rest[0] == ':' || p.rest[0] == ' ' {
		return 0, false
	}
	return p.digits(), true
}

// maxDigits is more than any time has.
const maxDigits = 10

func (p *timetableParser) digits() (n int64) {
	s, negative := strings.CutPrefix(p.rest, "-")
	used := 0
	for ; used < len(s); used++ {
		switch c := s[used]; {
		case '0' <= c && c <= '9':
			n = n*timetableBase + int64(c-'0')
			continue
		case 'a' <= c && c <= 'z':
			n = n*timetableBase + int64(c-'a') + 10
			continue
		}
		break
	}
	p.rest, p.failed = s[used:], p.failed || used == 0 || used > maxDigits
	if negative {
		return -n
	}
	return n
}
