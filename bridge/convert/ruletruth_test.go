package convert_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"outbridge/bridge/convert"
	"outbridge/bridge/graph/graphsim"
	"outbridge/caldav/ics"
)

// slowRule reads an RRULE as RFC 5545 §3.3.10 has it, period by period and day by day, for the parts whose unit is a day or
// more. It shares no code with the engine.
type slowRule struct {
	parts map[string]string
	start time.Time // clock time of DTSTART
	until func(time.Time) bool
}

func (r slowRule) number(name string, otherwise int) int {
	if n, err := strconv.Atoi(r.parts[name]); err == nil {
		return n
	}
	return otherwise
}

func (r slowRule) list(name string) []string {
	if r.parts[name] == "" {
		return nil
	}
	return strings.Split(r.parts[name], ",")
}

var slowDays = []string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}

// period is the first day of the nth period of the rule and the one after its last.
func (r slowRule) period(n int) (time.Time, time.Time) {
	n *= r.number("INTERVAL", 1)
	y, m, d := r.start.Date()
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	switch r.parts["FREQ"] {
	case "DAILY":
		return day(y, m, d+n), day(y, m, d+n+1)
	case "WEEKLY":
		first := day(y, m, d)
		week := max(slices.Index(slowDays, r.parts["WKST"]), 0)
		if r.parts["WKST"] == "" {
			week = 1
		}
		for int(first.Weekday()) != week {
			first = first.AddDate(0, 0, -1)
		}
		return first.AddDate(0, 0, 7*n), first.AddDate(0, 0, 7*n+7)
	case "MONTHLY":
		return day(y, m+time.Month(n), 1), day(y, m+time.Month(n)+1, 1)
	}
	return day(y+n, 1, 1), day(y+n+1, 1, 1)
}

func (r slowRule) hits(t time.Time) bool {
	freq := r.parts["FREQ"]
	months, monthDays, days := r.list("BYMONTH"), r.list("BYMONTHDAY"), r.list("BYDAY")
	switch {
	case len(monthDays)+len(days) > 0:
	case freq == "WEEKLY":
		days = []string{slowDays[r.start.Weekday()]}
	case freq == "MONTHLY" || freq == "YEARLY":
		monthDays = []string{strconv.Itoa(r.start.Day())}
		if len(months) == 0 && freq == "YEARLY" {
			months = []string{strconv.Itoa(int(r.start.Month()))}
		}
	}
	if len(months) > 0 && !slices.Contains(months, strconv.Itoa(int(t.Month()))) {
		return false
	}
	last := time.Date(t.Year(), t.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
	if len(monthDays) > 0 && !slices.Contains(monthDays, strconv.Itoa(t.Day())) && !slices.Contains(monthDays, strconv.Itoa(t.Day()-last-1)) {
		return false
	}
	if len(days) == 0 {
		return true
	}
	nth, fromEnd := (t.Day()-1)/7+1, -((last-t.Day())/7 + 1)
	if freq == "YEARLY" && len(r.list("BYMONTH")) == 0 {
		whole := time.Date(t.Year(), 12, 31, 0, 0, 0, 0, time.UTC).YearDay()
		nth, fromEnd = (t.YearDay()-1)/7+1, -((whole-t.YearDay())/7 + 1)
	}
	name := slowDays[t.Weekday()]
	return slices.Contains(days, name) || slices.Contains(days, strconv.Itoa(nth)+name) || slices.Contains(days, strconv.Itoa(fromEnd)+name)
}

// dates are those up to last.
func (r slowRule) dates(last time.Time) []time.Time {
	first := time.Date(r.start.Year(), r.start.Month(), r.start.Day(), 0, 0, 0, 0, time.UTC)
	out := []time.Time{first}
	count := r.number("COUNT", 1<<30)
	for n := 0; ; n++ {
		from, to := r.period(n)
		if from.After(last) {
			return out
		}
		var all []time.Time
		for t := from; t.Before(to); t = t.AddDate(0, 0, 1) {
			if r.hits(t) {
				all = append(all, t)
			}
		}
		if at := r.list("BYSETPOS"); at != nil {
			var some []time.Time
			for i, t := range all {
				if slices.Contains(at, strconv.Itoa(i+1)) || slices.Contains(at, strconv.Itoa(i-len(all))) {
					some = append(some, t)
				}
			}
			all = some
		}
		for _, t := range all {
			if !t.After(first) {
				continue
			}
			if t.After(last) || len(out) >= count || r.until(t) {
				return out
			}
			out = append(out, t)
		}
	}
}

// A random rule is refused, or Outlook, as it is simulated, shows just the dates that a slow reader of RFC 5545 finds.
func TestRandomRules(t *testing.T) {
	weekday := rapid.SampledFrom(slowDays)
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		r := slowRule{parts: map[string]string{"FREQ": rapid.SampledFrom([]string{"DAILY", "WEEKLY", "MONTHLY", "YEARLY"}).Draw(t, "freq")}}
		maybe := func(name string, value func() string) {
			if rapid.IntRange(0, 2).Draw(t, "with "+name) == 0 {
				r.parts[name] = value()
			}
		}
		zone := rapid.SampledFrom([]string{"Europe/Berlin", "America/Los_Angeles", "Pacific/Auckland", "Asia/Kolkata", ""}).Draw(t, "zone")
		allDay := rapid.IntRange(0, 3).Draw(t, "all day") == 0
		loc := time.UTC
		if zone != "" {
			loc, _ = time.LoadLocation(zone)
		}
		clock := time.Duration(rapid.SampledFrom([]int{0, 30, 6 * 60, 9 * 60, 20 * 60, 23*60 + 30}).Draw(t, "clock")) * time.Minute
		if allDay {
			clock = 0
		}
		first := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.OneOf(rapid.IntRange(0, 1500), rapid.SampledFrom([]int{28, 29, 30, 59, 60, 88, 89, 90})).Draw(t, "start"))
		r.start = first.Add(clock)
		maybe("INTERVAL", func() string { return strconv.Itoa(rapid.IntRange(1, 5).Draw(t, "interval")) })
		maybe("WKST", func() string { return weekday.Draw(t, "wkst") })
		maybe("BYMONTH", func() string { return strconv.Itoa(rapid.IntRange(1, 12).Draw(t, "month")) })
		maybe("BYMONTHDAY", func() string {
			return strconv.Itoa(rapid.OneOf(rapid.Just(first.Day()), rapid.Just(-1), rapid.IntRange(1, 31)).Draw(t, "day of the month"))
		})
		maybe("BYDAY", func() string {
			days := rapid.SliceOfNDistinct(weekday, 1, 4, rapid.ID[string]).Draw(t, "days")
			if !slices.Contains(days, slowDays[first.Weekday()]) {
				days[0] = slowDays[first.Weekday()]
			}
			if f := r.parts["FREQ"]; len(days) == 1 && (f == "MONTHLY" || f == "YEARLY") {
				days[0] = rapid.SampledFrom([]string{"", strconv.Itoa((first.Day()-1)/7 + 1), "-1", "2"}).Draw(t, "which") + days[0]
			}
			return strings.Join(days, ",")
		})
		if r.parts["BYDAY"] != "" {
			maybe("BYSETPOS", func() string { return strconv.Itoa(rapid.SampledFrom([]int{1, 2, 3, 4, -1, -2}).Draw(t, "position")) })
		}
		r.until = func(time.Time) bool { return false }
		switch rapid.IntRange(0, 2).Draw(t, "end") {
		case 1:
			r.parts["COUNT"] = strconv.Itoa(rapid.IntRange(1, 40).Draw(t, "count"))
		case 2:
			at := first.Add(time.Duration(rapid.IntRange(0, 900*24*2).Draw(t, "until")) * 30 * time.Minute)
			if allDay || zone != "" && rapid.IntRange(0, 3).Draw(t, "until a date") == 0 {
				r.parts["UNTIL"] = at.Format(ics.DateForm)
				r.until = func(t time.Time) bool { return t.Format(ics.DateForm) > at.Format(ics.DateForm) }
			} else {
				at = at.Add(clock)
				utc := time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), 0, 0, loc).UTC()
				r.parts["UNTIL"] = utc.Format(ics.UTCForm)
				r.until = func(t time.Time) bool {
					t = t.Add(clock)
					return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), 0, 0, loc).After(utc)
				}
			}
		}
		var names []string
		for name := range r.parts {
			names = append(names, name)
		}
		slices.Sort(names)
		var parts []string
		for _, name := range names {
			parts = append(parts, name+"="+r.parts[name])
		}
		start := "DTSTART:" + r.start.Format(ics.UTCForm)
		switch {
		case allDay:
			start = "DTSTART;VALUE=DATE:" + first.Format(ics.DateForm)
		case zone != "":
			start = "DTSTART;TZID=" + zone + ":" + r.start.Format(ics.WallForm)
		}
		text := start + "\r\nRRULE:" + strings.Join(parts, ";")
		cal, err := ics.Decode([]byte("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n" + text + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := convert.RecurrenceOf(cal, "W. Europe Standard Time")
		var refusal *convert.Refusal
		if errors.As(err, &refusal) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		accepted++

		last := first.AddDate(12, 0, 0)
		want := r.dates(last)
		sim := &graphsim.Server{BaseURL: "http://outlook.test", Now: func() time.Time { return now }}
		box := sim.AddMailbox("alice@contoso.example", "Alice", "W. Europe Standard Time")
		e := graphsim.Event{Subject: "x", AllDay: allDay, Zone: got.Range.RecurrenceTimeZone, Start: r.start, End: r.start.Add(time.Minute), Recurrence: got}
		if allDay {
			e.End = e.Start.AddDate(0, 0, 1)
		}
		box.Calendar().Create(e)
		var have []time.Time
		for _, i := range box.Calendar().Instances(first.AddDate(0, 0, -3), last.AddDate(0, 0, 3)) {
			at := i.Start
			if !allDay {
				at = i.Start.In(loc)
			}
			if d := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC); !d.After(last) {
				have = append(have, d)
			}
		}
		if !slices.EqualFunc(want, have, time.Time.Equal) {
			t.Fatalf("%s\nas %+v\nOutlook has %d: %v\nRFC 5545 has %d: %v", text, *got, len(have), shorten(have), len(want), shorten(want))
		}
	})
	if accepted == 0 {
		t.Error("every rule was refused")
	}
	t.Logf("%d rules were accepted", accepted)
}

func shorten(list []time.Time) (out []string) {
	for _, t := range list[:min(len(list), 40)] {
		out = append(out, t.Format(time.DateOnly))
	}
	return append(out, fmt.Sprint("… ", len(list)))
}
