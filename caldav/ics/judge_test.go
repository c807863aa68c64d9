package ics_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-ical"
	"pgregory.net/rapid"
)

// The judge reads RFC 5545 slowly and obviously: it asks of every day, and of every clock time on it that a rule could
// mean, whether each part of the rule allows it. It shares no code with the engine, and has no limits.

// occurrence is an instance by the judge.
type occurrence struct{ start, end time.Time }

func (o occurrence) String() string {
	return o.start.Format("20060102T150405") + "/" + o.end.Format("20060102T150405")
}

// point is a value of a date property.
type point struct {
	wall time.Time
	loc  *time.Location
	date bool
}

func (p point) at() time.Time { return slowInstant(p.wall, p.loc) }

// slowInstant tries every offset that the zone has in the days around (RFC 5545 §3.3.5).
func slowInstant(wall time.Time, loc *time.Location) time.Time {
	var best time.Time
	for h := -30; h <= 30; h++ {
		_, offset := wall.Add(time.Duration(h) * time.Hour).In(loc).Zone()
		t := wall.Add(-time.Duration(offset) * time.Second)
		if t.In(loc).Format("20060102150405") == wall.Format("20060102150405") && (best.IsZero() || t.Before(best)) {
			best = t
		}
	}
	if best.IsZero() { // skipped: the offset before the gap
		_, before := wall.Add(-30 * time.Hour).In(loc).Zone()
		best = wall.Add(-time.Duration(before) * time.Second)
	}
	return best.UTC()
}

// judge lists the instances that overlap the span. The object has one UID and zones by their IANA names, or by aliases.
func judge(t rapid.TB, data string, from, to time.Time, floating *time.Location) []occurrence {
	t.Helper()
	cal, err := ical.NewDecoder(strings.NewReader(data)).Decode()
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	fail := func(err error) {
		if err != nil {
			t.Fatalf("judge: %v\n%s", err, data)
		}
	}
	parse := func(p *ical.Prop, v string) point {
		if len(v) == 8 {
			d, err := time.Parse("20060102", v)
			fail(err)
			return point{d, floating, true}
		}
		v, utc := strings.CutSuffix(v, "Z")
		w, err := time.Parse("20060102T150405", v)
		fail(err)
		id := p.Params.Get("TZID")
		switch {
		case utc:
			return point{w, time.UTC, false}
		case id == "":
			return point{w, floating, false}
		}
		if alias := aliases[id]; alias != "" {
			id = alias
		}
		loc, err := time.LoadLocation(id)
		fail(err)
		return point{w, loc, false}
	}
	type lasting struct { // a start, and what it lasts if it says so
		point
		end func(point) time.Time
	}
	list := func(c *ical.Component, name string) (l []lasting) {
		for _, p := range c.Props[name] {
			for v := range strings.SplitSeq(p.Value, ",") {
				v, period, own := strings.Cut(v, "/")
				one := lasting{point: parse(&p, v)}
				switch {
				case own && strings.HasPrefix(period, "P"):
					one.end = slowDuration(t, period)
				case own:
					length := parse(&p, period).at().Sub(one.at())
					one.end = func(p point) time.Time { return p.at().Add(length) }
				}
				l = append(l, one)
			}
		}
		return l
	}
	end := func(c *ical.Component, start point) func(point) time.Time {
		if l := list(c, "DTEND"); len(l) > 0 {
			if start.date && l[0].date {
				days := int(l[0].wall.Sub(start.wall) / (24 * time.Hour))
				return func(p point) time.Time { return point{p.wall.AddDate(0, 0, days), p.loc, true}.at() }
			}
			seconds := l[0].at().Unix() - start.at().Unix()
			return func(p point) time.Time { return time.Unix(p.at().Unix()+seconds, 0).UTC() }
		}
		if p := c.Props.Get("DURATION"); p != nil {
			return slowDuration(t, p.Value)
		}
		if start.date {
			return func(p point) time.Time { return point{p.wall.AddDate(0, 0, 1), p.loc, true}.at() }
		}
		return point.at
	}
	notBefore := func(f func(point) time.Time) func(point) time.Time { // what ends before it starts ends when it starts
		return func(p point) time.Time {
			if f(p).Before(p.at()) {
				return p.at()
			}
			return f(p)
		}
	}

	var masters []*ical.Component
	var out []occurrence
	var replaced []point
	for _, c := range cal.Children {
		if c.Name != "VEVENT" {
			continue
		}
		if id := list(c, "RECURRENCE-ID"); len(id) > 0 {
			start := list(c, "DTSTART")[0].point
			replaced = append(replaced, id[0].point)
			out = append(out, occurrence{start.at(), notBefore(end(c, start))(start)})
			continue
		}
		masters = append(masters, c)
	}
	for _, master := range masters {
		start := list(master, "DTSTART")[0].point
		lasts := notBefore(end(master, start))
		names := func(l []point, p point) bool { // EXDATEs and RECURRENCE-IDs
			return slices.ContainsFunc(l, func(x point) bool {
				if x.date || p.date {
					return x.wall.Format("20060102") == p.wall.Format("20060102")
				}
				return x.at().Equal(p.at())
			})
		}
		candidates := []lasting{{point: start}}
		for _, r := range list(master, "RDATE") {
			switch {
			case r.date && !start.date:
				r.point = point{r.wall.Add(start.wall.Sub(start.wall.Truncate(24 * time.Hour))), start.loc, false}
			case start.date:
				r.point = point{r.wall.Truncate(24 * time.Hour), floating, true}
			}
			candidates = append(candidates, r)
		}
		if p := master.Props.Get("RRULE"); p != nil {
			for _, w := range slowRule(t, p.Value, start, !strings.HasSuffix(master.Props.Get("DTSTART").Value, "Z") && master.Props.Get("DTSTART").Params.Get("TZID") == "", to) {
				candidates = append(candidates, lasting{point: point{w, start.loc, start.date}})
			}
		}
		var excluded []point
		for _, x := range list(master, "EXDATE") {
			excluded = append(excluded, x.point)
		}
		seen := map[string]bool{}
		for _, c := range candidates {
			name := c.at().Format("20060102150405")
			if c.date {
				name = c.wall.Format("20060102") // two days are two, also where they begin at the same instant
			}
			if seen[name] || names(excluded, c.point) || names(replaced, c.point) {
				seen[name] = true
				continue
			}
			seen[name] = true
			if c.end == nil {
				c.end = lasts
			}
			out = append(out, occurrence{c.at(), c.end(c.point)})
		}
	}
	out = slices.DeleteFunc(out, func(o occurrence) bool {
		if o.end.After(o.start) {
			return !o.end.After(from) || !o.start.Before(to)
		}
		return o.start.Before(from) || !o.start.Before(to)
	})
	slices.SortFunc(out, func(a, b occurrence) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// slowDuration is the end of what starts somewhere: first its days by the calendar, then its time (RFC 5545 §3.3.6).
func slowDuration(t rapid.TB, v string) func(point) time.Time {
	t.Helper()
	days, seconds, n := 0, int64(0), 0
	for _, c := range v {
		switch {
		case c >= '0' && c <= '9':
			n = n*10 + int(c-'0')
			continue
		case c == 'W':
			days += 7 * n
		case c == 'D':
			days += n
		case c == 'H':
			seconds += int64(n) * 3600
		case c == 'M':
			seconds += int64(n) * 60
		case c == 'S':
			seconds += int64(n)
		}
		n = 0
	}
	return func(p point) time.Time {
		p.wall = p.wall.AddDate(0, 0, days)
		return time.Unix(p.at().Unix()+seconds, 0).UTC()
	}
}

var weekdays = []string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}

// slowRule lists the clock times of a rule up to some days after to, but DTSTART. floats is whether start is a floating time.
func slowRule(t rapid.TB, value string, start point, floats bool, to time.Time) (walls []time.Time) {
	t.Helper()
	parts := map[string]string{}
	for part := range strings.SplitSeq(strings.ToUpper(strings.ReplaceAll(value, " ", "")), ";") {
		name, v, _ := strings.Cut(part, "=")
		parts[name] = v
	}
	number := func(name string, otherwise int) int {
		if v, ok := parts[name]; ok {
			n, err := strconv.Atoi(v)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		return otherwise
	}
	numbers := func(name string) (l []int) {
		if v := parts[name]; v != "" {
			for s := range strings.SplitSeq(v, ",") {
				n, err := strconv.Atoi(s)
				if err != nil {
					t.Fatal(err)
				}
				l = append(l, n)
			}
		}
		return l
	}
	freq, interval, count := parts["FREQ"], number("INTERVAL", 1), number("COUNT", 0)
	wkst := max(slices.Index(weekdays, parts["WKST"]), 0)
	if parts["WKST"] == "" {
		wkst = 1
	}
	var byday []string
	if v := parts["BYDAY"]; v != "" {
		byday = strings.Split(v, ",")
	}
	months, monthdays, yeardays, weeks := numbers("BYMONTH"), numbers("BYMONTHDAY"), numbers("BYYEARDAY"), numbers("BYWEEKNO")
	hours, minutes, seconds, positions := numbers("BYHOUR"), numbers("BYMINUTE"), numbers("BYSECOND"), numbers("BYSETPOS")
	// What DTSTART says where the rule does not.
	w := start.wall
	if len(monthdays)+len(yeardays)+len(byday) == 0 {
		switch freq {
		case "YEARLY":
			if len(weeks) > 0 {
				byday = []string{weekdays[w.Weekday()]}
				break
			}
			if len(months) == 0 {
				months = []int{int(w.Month())}
			}
			monthdays = []int{w.Day()}
		case "MONTHLY":
			monthdays = []int{w.Day()}
		case "WEEKLY":
			byday = []string{weekdays[w.Weekday()]}
		}
	}
	finer := map[string]int{"YEARLY": 0, "MONTHLY": 0, "WEEKLY": 0, "DAILY": 0, "HOURLY": 1, "MINUTELY": 2, "SECONDLY": 3}[freq]
	clockPart := func(list []int, level, own, most int) []int {
		switch {
		case len(list) > 0:
			list = slices.Clone(list)
			slices.Sort(list)
			return slices.Compact(list)
		case finer < level:
			return []int{own}
		}
		for n := range most {
			list = append(list, n)
		}
		return list
	}
	hours, minutes, seconds = clockPart(hours, 1, w.Hour(), 24), clockPart(minutes, 2, w.Minute(), 60), clockPart(seconds, 3, w.Second(), 60)

	weekStart := func(d time.Time) time.Time {
		d = d.Truncate(24 * time.Hour)
		for int(d.Weekday()) != wkst {
			d = d.AddDate(0, 0, -1)
		}
		return d
	}
	// A week is of the year that four of its days are in.
	weekYear := func(d time.Time) int { return weekStart(d).AddDate(0, 0, 3).Year() }
	weekNumber := func(d time.Time) (n, of int) {
		year := weekYear(d)
		for s := weekStart(time.Date(year, 1, 4, 0, 0, 0, 0, time.UTC)); weekYear(s) == year; s = s.AddDate(0, 0, 7) {
			of++
			if !s.After(d) {
				n = of
			}
		}
		return n, of
	}
	period := func(d time.Time) int { // a number for each year, month …
		switch freq {
		case "YEARLY":
			if len(weeks) > 0 {
				return weekYear(d)
			}
			return d.Year()
		case "MONTHLY":
			return d.Year()*12 + int(d.Month())
		case "WEEKLY":
			return int(weekStart(d).Unix()/86400+719_162) / 7 // since the year 1
		case "DAILY":
			return int(d.Truncate(24*time.Hour).Unix() / 86400)
		case "HOURLY":
			return int(d.Truncate(time.Hour).Unix() / 3600)
		case "MINUTELY":
			return int(d.Truncate(time.Minute).Unix() / 60)
		}
		return int(d.Unix())
	}
	oneOf := func(list []int, n, of int) bool { // of is how many there are, for those counted from the end
		return len(list) == 0 || slices.Contains(list, n) || slices.Contains(list, n-of-1)
	}
	weekdayAllowed := func(d time.Time) bool {
		if len(byday) == 0 {
			return true
		}
		inMonth := freq == "MONTHLY" || freq == "YEARLY" && len(months) > 0
		for _, by := range byday {
			code := by[len(by)-2:]
			if weekdays[d.Weekday()] != code {
				continue
			}
			n, _ := strconv.Atoi(by[:len(by)-2])
			if n == 0 || freq != "MONTHLY" && freq != "YEARLY" || len(weeks) > 0 {
				return true
			}
			same := 0 // of the days of the month or year with this weekday
			mine := 0
			first := time.Date(d.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
			for x := first; x.Year() == d.Year(); x = x.AddDate(0, 0, 1) {
				if x.Weekday() == d.Weekday() && (!inMonth || x.Month() == d.Month()) {
					same++
					if x.Equal(d) {
						mine = same
					}
				}
			}
			if n == mine || n == mine-same-1 {
				return true
			}
		}
		return false
	}
	dayAllowed := func(d time.Time) bool {
		last := time.Date(d.Year(), d.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
		days := time.Date(d.Year(), 12, 31, 0, 0, 0, 0, time.UTC).YearDay()
		if len(weeks) > 0 {
			if n, of := weekNumber(d); !oneOf(weeks, n, of) {
				return false
			}
		}
		return (len(months) == 0 || slices.Contains(months, int(d.Month()))) &&
			oneOf(monthdays, d.Day(), last) && oneOf(yeardays, d.YearDay(), days) && weekdayAllowed(d)
	}
	var until func(time.Time) bool // whether a clock time is not later
	if v, ok := parts["UNTIL"]; ok {
		switch {
		case len(v) == 8:
			until = func(w time.Time) bool { return w.Format("20060102") <= v }
		case start.date, floats, !strings.HasSuffix(v, "Z"):
			until = func(w time.Time) bool { return w.Format("20060102T150405") <= strings.TrimSuffix(v, "Z") }
		default:
			until = func(w time.Time) bool { return slowInstant(w, start.loc).Format("20060102T150405Z") <= v }
		}
	}

	var set []time.Time // of one period
	flush := func() {
		for i, w := range set {
			if len(positions) > 0 && !slices.Contains(positions, i+1) && !slices.Contains(positions, i-len(set)) || !w.After(start.wall) {
				continue
			}
			walls = append(walls, w)
		}
		set = nil
	}
	now := period(w)
	begin := w.Truncate(24 * time.Hour)
	// The set of the first and of the last period is that of all of it.
	whole := map[string]int{"YEARLY": 370, "MONTHLY": 31, "WEEKLY": 7}[freq]
	begin = begin.AddDate(0, 0, -whole)
	for d := begin; d.Before(to.AddDate(0, 0, 3+whole)); d = d.AddDate(0, 0, 1) {
		if count > 0 && len(walls) > count || !dayAllowed(d) {
			continue
		}
		for _, h := range hours {
			for _, m := range minutes {
				for _, s := range seconds {
					x := d.Add(time.Duration(h*3600+m*60+s) * time.Second)
					if (period(x)-period(w))%interval != 0 {
						continue
					}
					if period(x) != now {
						flush()
						now = period(x)
					}
					set = append(set, x)
				}
			}
		}
	}
	flush()
	if count > 0 && len(walls) > count-1 { // DTSTART is the first
		walls = walls[:count-1]
	}
	return slices.DeleteFunc(walls, func(w time.Time) bool { return until != nil && !until(w) })
}

func describe(l []occurrence) string {
	var b strings.Builder
	for _, o := range l {
		fmt.Fprintln(&b, o)
	}
	return b.String()
}
