package convert

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// enoughHits is how many instances of two recurrences are compared at least, and enoughYears how many years of them: none that
// are the same in all of these differ later, but for rules that meet a 29th of February in none of them.
const (
	enoughHits  = 60
	enoughYears = 10
)

// set is what the rules of a master come to.
type set struct {
	hits    hits      // up to a time
	ended   bool      // these are all
	endless bool      // it has no end, or none that an Outlook calendar knows
	count   int       // COUNT, without what is before the true beginning; 0: none
	last    time.Time // date of the last instance, of one that ends by a date
	listed  bool      // it has RDATEs
}

// dates are the dates of its instances.
func (s set) dates() []time.Time {
	out := make([]time.Time, len(s.hits))
	for i, h := range s.hits {
		out[i] = dateOf(h.wall)
	}
	return out
}

// ruleParts reads the parts of the RRULE of a component.
func ruleParts(c *ical.Component) (map[string]string, error) {
	rules := c.Props.Values(ical.PropRecurrenceRule)
	switch {
	case len(rules) > 1:
		return nil, refuse(RefusedObject, "The event has more than one rule (RRULE) by which it repeats; Outlook has one at most.")
	case len(c.Props.Values("EXRULE")) > 0:
		return nil, refuse(RefusedObject, "The event has a rule for what is left out (EXRULE), which Outlook has not. Delete these occurrences one by one.")
	}
	parts := map[string]string{}
	for _, p := range rules {
		for part := range strings.SplitSeq(strings.ToUpper(strings.ReplaceAll(p.Value, " ", "")), ";") {
			name, value, _ := strings.Cut(part, "=")
			if part == "" || part == "RSCALE=GREGORIAN" || part == "SKIP=OMIT" {
				continue
			}
			if _, twice := parts[name]; twice {
				return nil, refuse(RefusedObject, "The rule by which the event repeats says %s twice.", clip(name))
			}
			parts[name] = value
		}
	}
	return parts, nil
}

// period is the unit of a rule in days, at most, times its interval.
func period(parts map[string]string) time.Duration {
	n, _ := strconv.Atoi(parts["INTERVAL"])
	days := map[string]int{"WEEKLY": 7, "MONTHLY": 31, "YEARLY": 366}[parts["FREQ"]]
	return time.Duration(max(days, 1)*min(max(n, 1), maxInterval)) * day
}

// horizonOf is up to when the instances of in are compared: see enoughHits.
func (in *object) horizonOf(parts map[string]string, start time.Time) time.Time {
	end := start.AddDate(enoughYears, 0, 1)
	if parts["FREQ"] == "MONTHLY" || parts["FREQ"] == "YEARLY" {
		years := int(period(parts)/(366*day))*enoughHits + enoughHits
		if other := start.AddDate(min(years, lastYear), 0, 0); other.After(end) {
			end = other
		}
	} else if other := start.AddDate(0, 0, min(int(period(parts)/day)*enoughHits, 366*lastYear)); other.After(end) {
		end = other
	}
	if most := date(lastYear, 1, 1); end.After(most) {
		end = most
	}
	return end
}

// recurrence is the set of in up to end, zero: as far as it matters. DTSTART has to be there.
func (in *object) recurrence(end time.Time) (s set, err error) {
	c := in.master
	parts, err := ruleParts(c)
	if err == nil {
		err = checkRule(parts)
	}
	if err != nil {
		return s, err
	}
	start, err := in.reader.Moment(in.cal, propOf(c, ical.PropDateTimeStart))
	if err != nil {
		return s, unreadable(err)
	}
	if end.IsZero() {
		end = in.horizonOf(parts, start.Wall)
	}
	if s.hits, err = in.hits(end); err != nil {
		return s, err
	}
	s.listed = c.Props.Get(ical.PropRecurrenceDates) != nil
	if text := parts["COUNT"]; text != "" {
		s.count, _ = strconv.Atoi(text) // which checkRule has read
		if in.shift > 0 {
			// What is in front of the true beginning was counted too.
			for h := start.Wall; h.Before(start.Wall.AddDate(0, 0, in.shift)); h = h.AddDate(0, 0, 1) {
				if in.excludes(h) {
					s.count--
				}
			}
		}
	}
	until, bounded := ics.Moment{}, parts["UNTIL"] != ""
	if bounded {
		if until, err = ics.ParseMoment(parts["UNTIL"], nil); err != nil {
			return s, unreadable(err)
		}
		if before(until, start, in.mailbox.location()) {
			return s, refuse(RefusedObject, "The repetition ends (UNTIL) before the event starts. Choose a later end.")
		}
		bounded = until.Wall.Year() < lastYear
	}
	if len(parts) > 0 && s.count == 0 && !bounded {
		s.endless = true
		return s, nil
	}
	last := in.ends()
	if s.ended = !last.IsZero() && last.Before(end); s.ended {
		if n := len(s.hits); n > 0 {
			s.last = dateOf(s.hits[n-1].wall)
		}
		return s, nil
	}
	if bounded {
		// Only the end of it is looked at: there may be a million before.
		list, err := in.within(ics.Span{Start: until.Wall.Add(-2*period(parts) - 62*day), End: until.Wall.Add(3 * day)}, start)
		if err != nil {
			return s, err
		}
		if n := len(list); n > 0 {
			s.last = dateOf(list[n-1].wall)
		}
	}
	return s, nil
}

// excludes is whether an EXDATE of the master names a clock time.
func (in *object) excludes(wall time.Time) bool {
	return slices.ContainsFunc(in.exdates(), func(m ics.Moment) bool { return m.Wall.Equal(wall) })
}

// before is whether UNTIL is before DTSTART, as [ics.Reader] compares them.
func before(until, start ics.Moment, floating *time.Location) bool {
	switch {
	case until.Date:
		return !start.Wall.Before(until.Wall.AddDate(0, 0, 1))
	case until.Loc != nil && start.Loc != nil:
		return start.In(floating).After(until.Wall)
	}
	return start.Wall.After(until.Wall)
}

// sameRecurrence is whether two masters recur alike: on the same dates, with the same end. It does not matter how they say
// it, nor at what time of day they are. RDATEs that are not at the time of day of the series may stay when that moves.
func sameRecurrence(a, b *object) bool {
	if !a.recurs() || !b.recurs() {
		return a.recurs() == b.recurs()
	}
	if a.saysSame(b) {
		return true
	}
	x, err := a.recurrence(time.Time{})
	if err != nil {
		return slices.Equal(values(a.master, ical.PropRecurrenceRule), values(b.master, ical.PropRecurrenceRule)) &&
			slices.Equal(values(a.master, ical.PropRecurrenceDates), values(b.master, ical.PropRecurrenceDates)) &&
			len(b.master.Props.Values("EXRULE")) == 0
	}
	y, err := b.recurrence(a.upTo)
	if err != nil || x.endless != y.endless || x.ended != y.ended || len(x.hits) != len(y.hits) {
		return false
	}
	if !x.ended && !x.endless && (x.count != y.count || !x.last.Equal(y.last)) {
		return false
	}
	for i, h := range x.hits {
		g := y.hits[i]
		if !dateOf(h.wall).Equal(dateOf(g.wall)) || g.listed && !g.wall.Equal(h.wall) {
			return false
		}
	}
	return true
}

// saysSame is whether two masters recur in the same words, in a zone that its name tells: nearly all of what comes back does,
// and is not expanded for it.
func (o *object) saysSame(b *object) bool {
	for _, name := range []string{ical.PropDateTimeStart, ical.PropRecurrenceDates} {
		same := slices.EqualFunc(o.master.Props.Values(name), b.master.Props.Values(name), func(p, q ical.Prop) bool {
			x, y := p.Params.Get(ical.ParamTimezoneID), q.Params.Get(ical.ParamTimezoneID)
			z, known := findZone(x)
			other, alsoKnown := findZone(y)
			return p.Value == q.Value && (x == "" && y == "" || known && alsoKnown && z.tzid == other.tzid)
		})
		if !same {
			return false
		}
	}
	x, err1 := ruleParts(o.master)
	y, err2 := ruleParts(b.master)
	return err1 == nil && err2 == nil && maps.Equal(plainParts(x), plainParts(y))
}

// plainParts is a rule without what means nothing in it.
func plainParts(parts map[string]string) map[string]string {
	if parts["INTERVAL"] == "1" {
		delete(parts, "INTERVAL")
	}
	if parts["FREQ"] != "WEEKLY" && parts["BYWEEKNO"] == "" || parts["FREQ"] == "WEEKLY" && parts["INTERVAL"] == "" {
		delete(parts, "WKST")
	}
	return parts
}

// values are the values of the properties of a name.
func values(c *ical.Component, name string) (out []string) {
	for _, p := range c.Props.Values(name) {
		out = append(out, p.Value)
	}
	return out
}

// graphRecurrence is the recurrence of the master of in as Graph has recurrences, nil where it does not recur. t is the
// time of the master by graphTimes, s the series as it is and served its object as clients have it now; nil for a new one.
//
// It is one that gives exactly the instances that the client's rule gives, which is found by expanding both. Where there is
// none, it fails with a *Refusal that names the part of the rule.
func graphRecurrence(in *object, t graphTime, s Series, served *object) (*graph.Recurrence, error) {
	if !in.recurs() {
		return nil, nil
	}
	civil, _, ok := parseCivil(t.Start.DateTime)
	if !ok {
		return nil, refuse(RefusedData, "The start of the event cannot be read.")
	}
	first := dateOf(civil)
	var old *pattern
	if r := s.Event.Recurrence; r != nil && served != nil {
		p, ok := readPattern(r.Pattern, first, func(string, string) {})
		if ok {
			old = &p
		}
		if sameRecurrence(served, in) {
			if !ok {
				return nil, refuse(RefusedObject, "The event repeats by a calendar other than the Gregorian one, which can only be changed in Outlook.")
			}
			return recurrenceOf(p, readLimit(r.Range, func(string, string) {}), first, t.Start.TimeZone), nil
		}
	}
	parts, err := ruleParts(in.master)
	if err != nil {
		return nil, err
	}
	if parts["COUNT"] != "" && parts["UNTIL"] != "" {
		return nil, refuse(RefusedObject, "The repetition has both a number of occurrences (COUNT) and an end (UNTIL). Choose one of them.")
	}
	for _, p := range in.master.Props.Values(ical.PropRecurrenceDates) {
		if strings.Contains(p.Value, "/") {
			return nil, refuse(RefusedObject, "The event has a date of its own length (RDATE with a period), which Outlook has not. Make an event of its own of it.")
		}
	}
	candidates, unlike := patternsOf(parts, first)
	set, err := in.recurrence(time.Time{})
	switch {
	case err != nil && unlike != nil:
		return nil, unlike // it names the part
	case err != nil:
		return nil, err
	case len(set.hits) == 0:
		return nil, refuse(RefusedObject, "The repetition has no occurrence.")
	}
	if old != nil {
		candidates = append([]pattern{*old}, candidates...)
	}
	gone := s.removed()
	for _, p := range candidates {
		if limit, ok := set.fits(p, first, gone); ok {
			if err := set.overlaps(t); err != nil {
				return nil, err
			}
			return recurrenceOf(p, limit, first, t.Start.TimeZone), nil
		}
	}
	if set.listed {
		return nil, refuse(RefusedObject, "The event has further dates (RDATE) beside its repetition, which Outlook has not. Make events of their own of them.")
	}
	if unlike != nil {
		return nil, unlike
	}
	if old != nil {
		candidates = candidates[1:]
	}
	if !candidates[0].hits(first) {
		return nil, refuse(RefusedObject, "The event starts on a date (DTSTART) that its repetition does not fall on. Start it on the first date of the repetition.")
	}
	if candidates[0].day > 28 {
		return nil, refuse(RefusedObject, "The event repeats on day %d, which some months have not: Outlook takes the last day of these, other programs leave them out. Choose a day up to the 28th, or the last day of the month.", candidates[0].day)
	}
	return nil, refuse(RefusedObject, "Outlook has no repetition with the same dates as this one (RRULE). Choose a simpler one.")
}

// fits is the end of a pattern that begins on first and gives exactly the instances of the set, but for those that are gone from
// Outlook: a date that its rule does not say is not served once it is removed.
func (s set) fits(p pattern, first time.Time, gone map[string]bool) (limit, bool) {
	dates := s.dates()
	for _, h := range s.hits {
		if h.listed {
			return limit{}, false
		}
	}
	n, count := 0, 0
	for t := range p.dates(first, true) {
		if n == len(dates) {
			break
		}
		if count++; t.Equal(dates[n]) {
			n++
		} else if !gone[t.Format(time.DateOnly)] {
			return limit{}, false
		}
	}
	switch {
	case n < len(dates):
		return limit{}, false
	case s.endless:
		return limit{}, true
	case s.ended && s.count > 0:
		return limit{count: count}, true
	case s.count > 0:
		return limit{count: s.count}, true
	case s.last.IsZero():
		return limit{}, false
	}
	return limit{until: s.last}, true
}

// overlaps refuses a series whose instances are longer than it is from one to the next.
func (s set) overlaps(t graphTime) error {
	start, _, _ := parseCivil(t.Start.DateTime)
	end, _, _ := parseCivil(t.End.DateTime)
	dates := s.dates()
	for i := 1; i < len(dates); i++ {
		if end.Sub(start) > dates[i].Sub(dates[i-1]) {
			return refuse(RefusedObject, "An occurrence is longer than the time to the next one. Make the event shorter, or repeat it less often.")
		}
	}
	return nil
}

// recurrenceOf is a pattern with its range as Graph takes it.
func recurrenceOf(p pattern, l limit, first time.Time, zone string) *graph.Recurrence {
	r := &graph.Recurrence{Pattern: graph.RecurrencePattern{Interval: p.interval}}
	r.Pattern.Type = [...]string{"daily", "weekly", "absoluteMonthly", "relativeMonthly", "absoluteYearly", "relativeYearly"}[p.kind]
	name := func(d time.Weekday) string { return strings.ToLower(d.String()) }
	for _, d := range p.days {
		r.Pattern.DaysOfWeek = append(r.Pattern.DaysOfWeek, name(d))
	}
	if p.kind == weekly {
		r.Pattern.FirstDayOfWeek = name(p.week)
	}
	for index, n := range nths {
		if p.nth == n {
			r.Pattern.Index = index
		}
	}
	r.Pattern.Month, r.Pattern.DayOfMonth = int(p.month), p.day
	r.Range = graph.RecurrenceRange{Type: "noEnd", StartDate: first.Format(time.DateOnly), RecurrenceTimeZone: zone}
	if l.count > 0 {
		r.Range.Type, r.Range.NumberOfOccurrences = "numbered", l.count
	} else if !l.until.IsZero() {
		r.Range.Type, r.Range.EndDate = "endDate", l.until.Format(time.DateOnly)
	}
	return r
}

// recurrenceJSON is a recurrence with nothing but the properties that its types have: Graph's fillers ("month": 0) are none that
// its documentation lets one send.
func recurrenceJSON(r graph.Recurrence) json.RawMessage {
	type pattern struct {
		Type           string   `json:"type"`
		Interval       int      `json:"interval"`
		Month          int      `json:"month,omitempty"`
		DayOfMonth     int      `json:"dayOfMonth,omitempty"`
		DaysOfWeek     []string `json:"daysOfWeek,omitempty"`
		FirstDayOfWeek string   `json:"firstDayOfWeek,omitempty"`
		Index          string   `json:"index,omitempty"`
	}
	type limit struct {
		Type                string `json:"type"`
		StartDate           string `json:"startDate"`
		EndDate             string `json:"endDate,omitempty"`
		NumberOfOccurrences int    `json:"numberOfOccurrences,omitempty"`
		RecurrenceTimeZone  string `json:"recurrenceTimeZone,omitempty"`
	}
	b, err := json.Marshal(struct {
		Pattern pattern `json:"pattern"`
		Range   limit   `json:"range"`
	}{pattern(r.Pattern), limit(r.Range)})
	if err != nil {
		panic(fmt.Sprint("recurrence: ", err)) // of strings and numbers there is none
	}
	return b
}
