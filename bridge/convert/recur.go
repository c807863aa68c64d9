package convert

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// pattern is a recurrence pattern of Graph, cleaned: only the fields that its type uses, each within its bounds.
type pattern struct {
	kind     kind
	interval int
	days     []time.Weekday // weekly, relative; sorted from Sunday
	week     time.Weekday   // first day of the week
	month    time.Month     // yearly
	day      int            // absolute: 1 … 31
	nth      int            // relative: 1 … 4, -1
}

type kind int

const (
	daily kind = iota
	weekly
	absoluteMonthly
	relativeMonthly
	absoluteYearly
	relativeYearly
)

var kinds = map[string]kind{
	"daily": daily, "weekly": weekly, "absolutemonthly": absoluteMonthly, "relativemonthly": relativeMonthly,
	"absoluteyearly": absoluteYearly, "relativeyearly": relativeYearly,
}

var weekdays = map[string]time.Weekday{
	"sunday": time.Sunday, "monday": time.Monday, "tuesday": time.Tuesday, "wednesday": time.Wednesday,
	"thursday": time.Thursday, "friday": time.Friday, "saturday": time.Saturday,
}

var dayNames = [...]string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}

var nths = map[string]int{"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}

// maxInterval is above what Outlook lets one enter (999).
const maxInterval = 9999

// readPattern cleans a pattern. start is the date of the series' start: it fills in what the pattern leaves out, with
// a note. ok is false for a type that we do not know.
func readPattern(p graph.RecurrencePattern, start time.Time, note func(field, reason string)) (pattern, bool) {
	k, ok := kinds[strings.ToLower(p.Type)]
	if !ok {
		return pattern{}, false
	}
	out := pattern{kind: k, interval: p.Interval}
	if p.Interval < 1 || p.Interval > maxInterval {
		out.interval = min(max(p.Interval, 1), maxInterval)
		note("recurrence", fmt.Sprintf("The interval %d of the recurrence is taken for %d.", p.Interval, out.interval))
	}
	if d, ok := weekdays[strings.ToLower(p.FirstDayOfWeek)]; ok {
		out.week = d
	}
	if k == weekly || k == relativeMonthly || k == relativeYearly {
		for _, name := range p.DaysOfWeek {
			if d, ok := weekdays[strings.ToLower(name)]; ok {
				out.days = append(out.days, d)
			} else {
				note("recurrence", fmt.Sprintf("The recurrence names %q as a day of the week.", clip(name)))
			}
		}
		slices.Sort(out.days)
		out.days = slices.Compact(out.days)
		if len(out.days) == 0 {
			out.days = []time.Weekday{start.Weekday()}
			note("recurrence", "The recurrence names no day of the week; it is taken for the day of the first start.")
		}
	}
	if k == relativeMonthly || k == relativeYearly {
		if out.nth, ok = nths[strings.ToLower(p.Index)]; !ok {
			out.nth = 1
			if p.Index != "" {
				note("recurrence", fmt.Sprintf("The recurrence has the index %q, which is taken for the first.", clip(p.Index)))
			}
		}
	}
	if k == absoluteMonthly || k == absoluteYearly {
		out.day = p.DayOfMonth
		if out.day < 1 || out.day > 31 {
			out.day = start.Day()
			note("recurrence", "The recurrence names no day of the month; it is taken for the day of the first start.")
		}
	}
	if k == absoluteYearly || k == relativeYearly {
		out.month = time.Month(p.Month)
		if out.month < 1 || out.month > 12 {
			out.month = start.Month()
			note("recurrence", "The recurrence names no month; it is taken for the month of the first start.")
		}
	}
	return out, true
}

// daysIn is the number of days of a month.
func daysIn(y int, m time.Month) int { return date(y, m+1, 0).Day() }

// inMonth is the day of an absolute or relative pattern in one month; 0 where it has none. An absolute day past the
// end of the month is the last one, as Outlook has it; with clamp false there is none, as RFC 5545 has it.
func (p pattern) inMonth(y int, m time.Month, clamp bool) int {
	n := daysIn(y, m)
	if p.kind == absoluteMonthly || p.kind == absoluteYearly {
		if p.day > n && !clamp {
			return 0
		}
		return min(p.day, n)
	}
	count, first, step := p.nth, 1, 1
	if p.nth < 0 {
		count, first, step = 1, n, -1
	}
	for d := first; d >= 1 && d <= n; d += step {
		if slices.Contains(p.days, date(y, m, d).Weekday()) {
			if count--; count == 0 {
				return d
			}
		}
	}
	return 0
}

// next is the first date of the pattern on or after from, wherever its interval would have it; the pattern then
// counts its interval from there. The zero time where there is none. (Graph's own page: a series "every second month,
// first Thursday" from 2017-08-29 begins in September.) Weeks are counted from the week of from.
func (p pattern) next(from time.Time) time.Time {
	switch p.kind {
	case daily:
		return from
	case weekly:
		for t := range p.dates(from, true) {
			return t
		}
	default:
		y, m, _ := from.Date()
		for i := range 12 * 9 {
			first := date(y, m+time.Month(i), 1)
			if p.month != 0 && first.Month() != p.month {
				continue
			}
			if d := p.inMonth(first.Year(), first.Month(), true); d != 0 {
				if t := first.AddDate(0, 0, d-1); !t.Before(from) {
					return t
				}
			}
		}
	}
	return time.Time{}
}

// dates are the dates of the pattern on or after from, in order, up to the year 9999; from gives the week, month or
// year that the interval counts from. clamp is as for inMonth.
func (p pattern) dates(from time.Time, clamp bool) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		switch p.kind {
		case daily:
			for t := from; t.Year() <= 9999; t = t.AddDate(0, 0, p.interval) {
				if !yield(t) {
					return
				}
			}
		case weekly:
			week := from.AddDate(0, 0, -int((from.Weekday()-p.week+7)%7))
			for ; week.Year() <= 9999; week = week.AddDate(0, 0, 7*p.interval) {
				for i := range 7 {
					t := week.AddDate(0, 0, i)
					if !t.Before(from) && t.Year() <= 9999 && slices.Contains(p.days, t.Weekday()) && !yield(t) {
						return
					}
				}
			}
		default:
			first, step := date(from.Year(), from.Month(), 1), p.interval
			if p.kind == absoluteYearly || p.kind == relativeYearly {
				first, step = date(from.Year(), p.month, 1), 12*p.interval
			}
			for ; first.Year() <= 9999; first = first.AddDate(0, step, 0) {
				if d := p.inMonth(first.Year(), first.Month(), clamp); d != 0 {
					if t := first.AddDate(0, 0, d-1); !t.Before(from) && !yield(t) {
						return
					}
				}
			}
		}
	}
}

// hits is whether t is a date of the pattern, whatever its interval.
func (p pattern) hits(t time.Time) bool {
	switch p.kind {
	case daily:
		return true
	case weekly:
		return slices.Contains(p.days, t.Weekday())
	}
	return (p.month == 0 || t.Month() == p.month) && p.inMonth(t.Year(), t.Month(), true) == t.Day()
}

// short is how the pattern meets months that have not as many days as it asks for.
type short int

const (
	never  short = iota // it does not
	always              // every month that it meets is too short, or the day is the last one of each: BYMONTHDAY=-1
	some                // some are: no single rule that every client reads right says so
)

// meetsShort tells it for a pattern that counts its interval from from.
func (p pattern) meetsShort(from time.Time) short {
	switch {
	case p.kind == absoluteYearly:
		if p.day > daysIn(2025, p.month) { // 29 to 31 February, 31 April
			return always
		}
		return never
	case p.kind != absoluteMonthly || p.day < 29:
		return never
	case p.day == 31:
		return always
	}
	// The months that it meets are those that are from's, modulo the greatest common divisor of interval and 12.
	g := gcd(p.interval, 12)
	switch {
	case (int(time.February)-int(from.Month()))%g != 0:
		return never
	case g == 12:
		return always
	}
	return some
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// rule is the RRULE of the pattern (RFC 5545 §3.3.10) with its end, which begins with a semicolon or is empty. lastDay
// has the day of the month said as the last one.
func (p pattern) rule(lastDay bool, end string) string {
	var b strings.Builder
	b.WriteString("FREQ=")
	b.WriteString([...]string{"DAILY", "WEEKLY", "MONTHLY", "MONTHLY", "YEARLY", "YEARLY"}[p.kind])
	if p.interval > 1 {
		b.WriteString(";INTERVAL=" + strconv.Itoa(p.interval))
	}
	b.WriteString(end)
	if p.month != 0 {
		b.WriteString(";BYMONTH=" + strconv.Itoa(int(p.month)))
	}
	if p.day != 0 {
		d := p.day
		if lastDay {
			d = -1
		}
		b.WriteString(";BYMONTHDAY=" + strconv.Itoa(d))
	}
	if len(p.days) > 0 {
		b.WriteString(";BYDAY=")
		if p.nth != 0 && len(p.days) == 1 {
			b.WriteString(strconv.Itoa(p.nth))
		}
		for i, d := range p.days {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(dayNames[d])
		}
		if p.nth != 0 && len(p.days) > 1 {
			b.WriteString(";BYSETPOS=" + strconv.Itoa(p.nth))
		}
	}
	b.WriteString(";WKST=" + dayNames[p.weekStart()])
	return b.String()
}

// weekStart is the first day of the week, or Sunday or Monday where that makes no other weeks of the days of the
// pattern: libical reads rules with other first days wrong.
func (p pattern) weekStart() time.Weekday {
	if p.kind != weekly || p.interval == 1 || p.week == time.Sunday || p.week == time.Monday {
		return p.week
	}
	for _, d := range []time.Weekday{time.Sunday, time.Monday} {
		if p.firstFrom(d) == p.firstFrom(p.week) {
			return d
		}
	}
	return p.week
}

// firstFrom is the first day of the pattern in a week that begins on d.
func (p pattern) firstFrom(d time.Weekday) time.Weekday {
	for !slices.Contains(p.days, d) {
		d = (d + 1) % 7
	}
	return d
}

// limit is where a recurrence ends: after count dates, after the date until, or never where both are zero.
type limit struct {
	count int
	until time.Time
}

// readLimit cleans a recurrence range.
func readLimit(r graph.RecurrenceRange, note func(field, reason string)) limit {
	switch strings.ToLower(r.Type) {
	case "noend":
	case "numbered":
		if r.NumberOfOccurrences > 0 {
			return limit{count: r.NumberOfOccurrences}
		}
		note("recurrence", "The recurrence has a number of occurrences that is none; it is taken to have no end.")
	case "enddate":
		if t, _, ok := parseCivil(r.EndDate); ok && !unset(t) {
			if t.Year() == 9999 {
				return limit{}
			}
			return limit{until: dateOf(t)}
		}
		note("recurrence", "The recurrence has an end date that cannot be read; it is taken to have no end.")
	default:
		note("recurrence", fmt.Sprintf("The recurrence has a range of the type %q; it is taken to have no end.", clip(r.Type)))
	}
	return limit{}
}

func (l limit) endless() bool { return l.count == 0 && l.until.IsZero() }

// cut ends dates at the limit.
func (l limit) cut(dates iter.Seq[time.Time]) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		n := 0
		for t := range dates {
			if !l.until.IsZero() && t.After(l.until) || l.count > 0 && n == l.count {
				return
			}
			n++
			if !yield(t) {
				return
			}
		}
	}
}

// clip is a foreign string, short enough to be part of a sentence.
func clip(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "…"
	}
	return s
}
