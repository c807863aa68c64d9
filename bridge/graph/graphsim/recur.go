package graphsim

import (
	"cmp"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// A date is a midnight in UTC: it stands for a day of the calendar, whatever the zone.
func date(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

// A rule is a patternedRecurrence, ready to be asked about one day after the other. It knows nothing of
// RRULE on purpose: the converter's expansion is checked against this one.
type rule struct {
	kind      string
	interval  int
	month     time.Month
	day       int
	days      [7]bool
	weekStart time.Weekday
	index     string
	start     time.Time // first day that may hit
	until     time.Time // last day that may hit; zero: none
	count     int       // number of occurrences; 0: no limit
	skip      bool      // short months have no day 29, 30 or 31, where Outlook takes their last day
}

var weekdays = map[string]time.Weekday{
	"sunday": time.Sunday, "monday": time.Monday, "tuesday": time.Tuesday, "wednesday": time.Wednesday,
	"thursday": time.Thursday, "friday": time.Friday, "saturday": time.Saturday,
}

// newRule reads a recurrence of a series whose start (wall clock) is given. Properties that are left out get
// Outlook's defaults, most of them taken from start.
func newRule(r graph.Recurrence, start time.Time, skip bool) *rule {
	u := &rule{
		kind:     r.Pattern.Type,
		interval: max(r.Pattern.Interval, 1),
		month:    time.Month(cmp.Or(r.Pattern.Month, int(start.Month()))),
		day:      cmp.Or(r.Pattern.DayOfMonth, start.Day()),
		index:    cmp.Or(strings.ToLower(r.Pattern.Index), "first"),
		start:    date(start),
		skip:     skip,
	}
	u.weekStart = weekdays[strings.ToLower(r.Pattern.FirstDayOfWeek)]
	for _, name := range r.Pattern.DaysOfWeek {
		if d, ok := weekdays[strings.ToLower(name)]; ok {
			u.days[d] = true
		}
	}
	if u.days == [7]bool{} {
		u.days[start.Weekday()] = true
	}
	if d, err := time.Parse(time.DateOnly, r.Range.StartDate); err == nil {
		u.start = d
	}
	switch r.Range.Type {
	case "endDate":
		if d, err := time.Parse(time.DateOnly, r.Range.EndDate); err == nil {
			u.until = d
		}
	case "numbered":
		u.count = max(r.Range.NumberOfOccurrences, 1)
	}
	return u
}

// hits tells whether the pattern falls on a day. Intervals count from the period (week, month, year) of the start.
func (u *rule) hits(d time.Time) bool {
	months := (d.Year()-u.start.Year())*12 + int(d.Month()-u.start.Month())
	years := d.Year() - u.start.Year()
	switch u.kind {
	case "daily":
		return daysBetween(u.start, d)%u.interval == 0
	case "weekly":
		return u.days[d.Weekday()] && daysBetween(u.week(u.start), u.week(d))/7%u.interval == 0
	case "absoluteMonthly":
		return months%u.interval == 0 && u.onDay(d)
	case "relativeMonthly":
		return months%u.interval == 0 && u.onIndex(d)
	case "absoluteYearly":
		return years%u.interval == 0 && d.Month() == u.month && u.onDay(d)
	case "relativeYearly":
		return years%u.interval == 0 && d.Month() == u.month && u.onIndex(d)
	}
	return false
}

func daysBetween(a, b time.Time) int { return int(b.Sub(a) / (24 * time.Hour)) }

// week is the first day of the week that holds d.
func (u *rule) week(d time.Time) time.Time {
	return d.AddDate(0, 0, -(int(d.Weekday()-u.weekStart)+7)%7)
}

// onDay: the day of the month, or the last day of a month that is too short for it.
func (u *rule) onDay(d time.Time) bool {
	last := time.Date(d.Year(), d.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
	if u.skip {
		return d.Day() == u.day
	}
	return d.Day() == min(u.day, last)
}

// onIndex: the first, second … or last of the days of the month that are in the set.
func (u *rule) onIndex(d time.Time) bool {
	if !u.days[d.Weekday()] {
		return false
	}
	if u.index == "last" {
		for e := d.AddDate(0, 0, 1); e.Month() == d.Month(); e = e.AddDate(0, 0, 1) {
			if u.days[e.Weekday()] {
				return false
			}
		}
		return true
	}
	n := 0
	for e := d; e.Month() == d.Month(); e = e.AddDate(0, 0, -1) {
		if u.days[e.Weekday()] {
			n++
		}
	}
	return n == map[string]int{"first": 1, "second": 2, "third": 3, "fourth": 4}[u.index]
}

// An expansion holds the dates of a rule, found up to a day and extended when a later one is asked for.
type expansion struct {
	rule  *rule
	dates []time.Time
	next  time.Time // first day not yet tested
}

func newExpansion(u *rule) *expansion { return &expansion{rule: u, next: u.start} }

// upTo returns all dates of the rule that are not after last. The caller must not change them.
func (x *expansion) upTo(last time.Time) []time.Time {
	for ; !x.next.After(last) && !x.done(); x.next = x.next.AddDate(0, 0, 1) {
		if x.rule.hits(x.next) {
			x.dates = append(x.dates, x.next)
		}
	}
	n := len(x.dates)
	for n > 0 && x.dates[n-1].After(last) {
		n--
	}
	return x.dates[:n]
}

// lastDay is where Exchange ends every recurrence.
var lastDay = time.Date(4500, 9, 1, 0, 0, 0, 0, time.UTC)

func (x *expansion) done() bool {
	return x.next.After(lastDay) || x.rule.count > 0 && len(x.dates) >= x.rule.count ||
		!x.rule.until.IsZero() && x.next.After(x.rule.until)
}

// first is the first date of the rule. A rule that hits no day within a century has none.
func (x *expansion) first() (time.Time, bool) {
	for years := 1; years <= 128; years *= 2 {
		if dates := x.upTo(x.rule.start.AddDate(years, 0, 0)); len(dates) > 0 {
			return dates[0], true
		}
	}
	return time.Time{}, false
}

// has tells whether d is a date of the rule.
func (x *expansion) has(d time.Time) bool {
	dates := x.upTo(d)
	return len(dates) > 0 && dates[len(dates)-1].Equal(d)
}
