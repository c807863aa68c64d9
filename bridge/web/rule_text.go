package web

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ruleText is a recurrence rule (RFC 5545 §3.3.10) for people, and the rule itself if it says more than that.
func ruleText(rule string) string {
	parts := map[string]string{}
	for part := range strings.SplitSeq(strings.ToUpper(rule), ";") {
		name, value, _ := strings.Cut(part, "=")
		parts[name] = value
	}
	unit := map[string]string{"DAILY": "day", "WEEKLY": "week", "MONTHLY": "month", "YEARLY": "year"}[parts["FREQ"]]
	if unit == "" {
		return "by the rule " + rule
	}
	text := "every " + unit
	if n, err := strconv.Atoi(parts["INTERVAL"]); err == nil && n > 1 {
		text = fmt.Sprintf("every %d %ss", n, unit)
	}
	days, nth := daysText(parts["BYDAY"], parts["BYSETPOS"])
	switch {
	case days == "" && parts["BYDAY"] != "":
		return "by the rule " + rule
	case days != "" && nth != "":
		text += " on the " + nth + " " + days
	case days != "":
		text += " on " + days
	case parts["BYMONTHDAY"] == "-1":
		text += " on the last day"
	case parts["BYMONTHDAY"] != "":
		text += " on day " + parts["BYMONTHDAY"]
	}
	if n, err := strconv.Atoi(parts["BYMONTH"]); err == nil && n >= 1 && n <= 12 {
		text += " of " + time.Month(n).String()
	}
	if n := parts["COUNT"]; n != "" {
		text += ", " + n + " times"
	}
	if until := parts["UNTIL"]; len(until) >= 8 {
		if d, err := time.Parse("20060102", until[:8]); err == nil {
			text += ", until " + d.Format("2 January 2006")
		}
	}
	return text
}

var (
	dayCodes = []string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}
	nthWords = map[string]string{"1": "first", "2": "second", "3": "third", "4": "fourth", "5": "fifth", "-1": "last"}
)

// daysText names the days of a BYDAY, and which of them in the month where that or the BYSETPOS says so; "" if it cannot.
func daysText(byDay, setPos string) (days, nth string) {
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
		names = append(names, time.Weekday(i).String())
	}
	if setPos != "" {
		if nth = nthWords[setPos]; nth == "" {
			return "", ""
		}
	}
	join := ", "
	if nth != "" {
		join = " or "
	}
	return strings.Join(names, join), nth
}
