package convert

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// patternsOf are the patterns of Graph that may be what a rule says, the likeliest first, at least one. first is the date of
// DTSTART, which fills in what the rule leaves out. It fails with a *Refusal for a rule with a part that no pattern has.
//
// That a pattern is here does not say that it gives the same dates: a rule may leave out what Outlook moves.
func patternsOf(parts map[string]string, first time.Time) ([]pattern, error) {
	r := rulePattern{parts: parts, first: first}
	return r.read()
}

type rulePattern struct {
	parts map[string]string
	first time.Time

	interval int
	week     time.Weekday
	days     []time.Weekday // BYDAY without their numbers
	nth      int            // the number of the one day of BYDAY that has one, or BYSETPOS
	month    time.Month     // BYMONTH
	day      int            // BYMONTHDAY; -1: the last
}

// dayNamed is the day of the week by its name in BYDAY and WKST.
func dayNamed(name string) (time.Weekday, bool) {
	n := slices.Index(dayNames[:], name)
	return time.Weekday(n), n >= 0
}

func (r *rulePattern) refuse(name string) error {
	text := name
	if v := r.parts[name]; v != "" {
		text += "=" + v
	}
	return refuse(RefusedObject, "Outlook has no repetition with %s. Choose a simpler one, or make separate events.", clip(text))
}

func (r *rulePattern) read() ([]pattern, error) {
	for _, name := range slices.Sorted(maps.Keys(r.parts)) {
		if !slices.Contains([]string{"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "WKST"}, name) {
			return nil, r.refuse(name)
		}
	}
	var ok bool
	number := func(name string, low, high int) (int, error) {
		text, there := r.parts[name]
		if !there {
			return 0, nil
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < low || n > high || n == 0 {
			return 0, r.refuse(name)
		}
		return n, nil
	}
	var err error
	if r.interval, err = number("INTERVAL", 1, maxInterval); err != nil {
		return nil, err
	}
	r.interval = max(r.interval, 1)
	r.week = time.Monday
	if text, there := r.parts["WKST"]; there {
		if r.week, ok = dayNamed(text); !ok {
			return nil, r.refuse("WKST")
		}
	}
	month, err := number("BYMONTH", 1, 12)
	if err != nil {
		return nil, err
	}
	r.month = time.Month(month)
	if r.day, err = number("BYMONTHDAY", -1, 31); err != nil {
		return nil, err
	}
	if err := r.readDays(); err != nil {
		return nil, err
	}
	switch r.parts["FREQ"] {
	case "DAILY":
		return r.daily()
	case "WEEKLY":
		return r.weekly()
	case "MONTHLY":
		return r.monthly()
	case "YEARLY":
		return r.yearly()
	}
	return nil, r.refuse("FREQ")
}

// readDays reads BYDAY and BYSETPOS.
func (r *rulePattern) readDays() error {
	position, err := strconv.Atoi(r.parts["BYSETPOS"])
	if r.parts["BYSETPOS"] != "" && (err != nil || position == 0 || position > 4 || position < -1) {
		return r.refuse("BYSETPOS")
	}
	text, there := r.parts["BYDAY"]
	if !there {
		if position != 0 {
			return r.refuse("BYSETPOS")
		}
		return nil
	}
	for one := range strings.SplitSeq(text, ",") {
		if len(one) < 2 {
			return r.refuse("BYDAY")
		}
		d, ok := dayNamed(one[len(one)-2:])
		if !ok {
			return r.refuse("BYDAY")
		}
		r.days = append(r.days, d)
		if number := one[:len(one)-2]; number != "" {
			n, err := strconv.Atoi(number)
			if err != nil || n == 0 || n > 4 || n < -1 || r.nth != 0 || len(text) != len(one) {
				return r.refuse("BYDAY")
			}
			r.nth = n
		}
	}
	if r.nth != 0 && position != 0 && position != 1 && position != -1 {
		return r.refuse("BYSETPOS")
	}
	if r.nth == 0 {
		r.nth = position
	}
	slices.Sort(r.days)
	r.days = slices.Compact(r.days)
	return nil
}

// only refuses the rule if it has any of these parts.
func (r *rulePattern) only(without ...string) error {
	for _, name := range without {
		if _, there := r.parts[name]; there {
			return r.refuse(name)
		}
	}
	return nil
}

func (r *rulePattern) daily() ([]pattern, error) {
	if err := r.only("BYMONTH", "BYMONTHDAY", "BYSETPOS"); err != nil {
		return nil, err
	}
	if r.days == nil {
		return []pattern{{kind: daily, interval: r.interval}}, nil
	}
	if r.nth != 0 || r.interval > 1 { // every weekday is the one thing that people say so
		return nil, r.refuse("BYDAY")
	}
	return []pattern{{kind: weekly, interval: 1, days: r.days, week: r.week}}, nil
}

func (r *rulePattern) weekly() ([]pattern, error) {
	if err := r.only("BYMONTH", "BYMONTHDAY", "BYSETPOS"); err != nil {
		return nil, err
	}
	if r.nth != 0 {
		return nil, r.refuse("BYDAY")
	}
	if r.days == nil {
		r.days = []time.Weekday{r.first.Weekday()}
	}
	return []pattern{{kind: weekly, interval: r.interval, days: r.days, week: r.week}}, nil
}

func (r *rulePattern) monthly() ([]pattern, error) {
	if r.days != nil && r.day != 0 {
		return nil, r.refuse("BYMONTHDAY")
	}
	if r.month != 0 {
		// A month of each year is a yearly rule.
		switch {
		case r.interval == 1:
		case r.interval%12 == 0:
			r.interval /= 12
		default:
			return nil, r.refuse("BYMONTH")
		}
		return r.inMonth()
	}
	if r.days != nil {
		if r.nth != 0 {
			return []pattern{{kind: relativeMonthly, interval: r.interval, days: r.days, nth: r.nth}}, nil
		}
		if r.interval > 1 {
			return nil, r.refuse("BYDAY")
		}
		return []pattern{{kind: weekly, interval: 1, days: r.days, week: r.week}}, nil
	}
	return []pattern{{kind: absoluteMonthly, interval: r.interval, day: r.dayOr(31)}}, nil
}

// dayOr is BYMONTHDAY, or the day of DTSTART where there is none; last for the last day of the month.
func (r *rulePattern) dayOr(last int) int {
	switch r.day {
	case 0:
		return r.first.Day()
	case -1:
		return last
	}
	return r.day
}

func (r *rulePattern) yearly() ([]pattern, error) {
	if r.days != nil && r.day != 0 {
		return nil, r.refuse("BYMONTHDAY")
	}
	if r.month != 0 {
		return r.inMonth()
	}
	if r.days != nil { // counted in the whole year
		return nil, r.refuse("BYDAY")
	}
	if r.day != 0 {
		// In every month, says RFC 5545 §3.3.10.
		if r.interval > 1 {
			return nil, r.refuse("BYMONTHDAY")
		}
		return []pattern{{kind: absoluteMonthly, interval: 1, day: r.dayOr(31)}}, nil
	}
	r.month = r.first.Month()
	return r.inMonth()
}

// inMonth are the patterns of a rule that is for one month of the year.
func (r *rulePattern) inMonth() ([]pattern, error) {
	if r.days != nil {
		if r.nth == 0 {
			return nil, r.refuse("BYDAY")
		}
		return []pattern{{kind: relativeYearly, interval: r.interval, month: r.month, days: r.days, nth: r.nth}}, nil
	}
	return []pattern{{kind: absoluteYearly, interval: r.interval, month: r.month, day: r.dayOr(daysIn(2024, r.month))}}, nil
}
