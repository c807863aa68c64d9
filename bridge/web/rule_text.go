package web

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// ruleText is a recurrence rule (RFC 5545 §3.3.10) for people, and the rule itself if it says more than that.
func (l *Language) ruleText(rule string) string {
	parts := map[string]string{}
	for part := range strings.SplitSeq(strings.ToUpper(rule), ";") {
		name, value, _ := strings.Cut(part, "=")
		parts[name] = value
	}
	every := 1
	if n, err := strconv.Atoi(parts["INTERVAL"]); err == nil && n > 1 {
		every = n
	}
	var text Text
	switch parts["FREQ"] {
	case "DAILY":
		text = Counted(every, "every day", "every {n} days")
	case "WEEKLY":
		text = Counted(every, "every week", "every {n} weeks")
	case "MONTHLY":
		text = Counted(every, "every month", "every {n} months")
	case "YEARLY":
		text = Counted(every, "every year", "every {n} years")
	}
	days, nth := l.daysText(parts["BYDAY"], parts["BYSETPOS"])
	if text == "" || days == "" && parts["BYDAY"] != "" {
		return l.Text("by the rule {rule}", rule)
	}
	month := ""
	if n, err := strconv.Atoi(parts["BYMONTH"]); err == nil && n >= 1 && n <= 12 {
		month = l.Time(time.Date(2000, time.Month(n), 1, 0, 0, 0, 0, time.UTC), "January")
	}
	date := parts["BYMONTHDAY"]
	switch {
	case days != "" && nth != "":
		text = With("{rule} on the {nth} {days}", text, nth, days)
	case days != "":
		text = With("{rule} on {days}", text, days)
	case date == "-1":
		text = With("{rule} on the last day", text)
	case date != "" && month != "":
		text, month = With("{rule} on day {date} of {month}", text, date, month), ""
	case date != "":
		text = With("{rule} on day {date}", text, date)
	}
	if month != "" {
		text = With("{rule} of {month}", text, month)
	}
	if n, err := strconv.Atoi(parts["COUNT"]); err == nil {
		text = Counted(n, "{rule}, once", "{rule}, {n} times", text)
	}
	if until := parts["UNTIL"]; len(until) >= 8 {
		if d, err := time.Parse("20060102", until[:8]); err == nil {
			text = With("{rule}, until {date}", text, l.Time(d, "2 January 2006"))
		}
	}
	return l.Text(text)
}

var (
	dayCodes = []string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}
	nthWords = map[string]Text{"1": "first [day of that name]", "2": "second [day of that name]", "3": "third [day of that name]",
		"4": "fourth [day of that name]", "5": "fifth [day of that name]", "-1": "last [day of that name]"}
)

// daysText names the days of a BYDAY, and which of them in the month where that or the BYSETPOS says so; "" if it cannot.
func (l *Language) daysText(byDay, setPos string) (days string, nth Text) {
	if byDay == "" {
		return "", ""
	}
	var names []string
	for part := range strings.SplitSeq(byDay, ",") {
		if len(part) < 2 {
			return "", ""
		}
		at, code := part[:len(part)-2], part[len(part)-2:]
		i := slices.Index(dayCodes, code)
		if i < 0 || at != "" && (nthWords[at] == "" || nth != "" && nth != nthWords[at]) {
			return "", ""
		}
		if at != "" {
			nth = nthWords[at]
		}
		names = append(names, l.Time(time.Date(2000, 1, 2+i, 0, 0, 0, 0, time.UTC), "Monday")) // the 2nd was a Sunday
	}
	if setPos != "" {
		if nth = nthWords[setPos]; nth == "" {
			return "", ""
		}
	}
	if nth == "" {
		return strings.Join(names, ", "), ""
	}
	days = names[0]
	for _, name := range names[1:] {
		days = l.Text("{days} or {day}", days, name)
	}
	return days, nth
}
