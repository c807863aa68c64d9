package convert

import (
	"fmt"
	"slices"
	"time"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// when is the time of an event, ready to be written.
type when struct {
	allDay     bool
	start, end time.Time // dates for an all-day event, else instants; end is exclusive and not before start
	zone       zone      // to write the times in
	endZone    zone      // to write the end in, where it differs
	civil      time.Time // start as a clock in zone shows it; start itself for an all-day event
	civilEnd   time.Time // end as a clock in zone shows it
}

// firstDay is the date that the event starts on, in its zone.
func (w when) firstDay() time.Time { return dateOf(w.civil) }

// clock is the clock time that t is in the zone of w.
func (w when) clock(t time.Time) time.Time {
	if w.allDay {
		return t
	}
	return ics.Wall(t, w.zone.location())
}

// zoneOf is the zone to write an event in: the one that it was made in. Where that is no zone that we know, the next
// of a chain. series is the zone of the event's series, which an exception falls back to.
//
// Where that of a series is one in which it would not begin on its range's date, its dates are those of another zone: of
// the next of the chain that has it begin there. (A series in UTC has the days of its recurrenceTimeZone.)
func (c *conversion) zoneOf(e graph.Event, series *zone) zone {
	own, known := findZone(e.OriginalStartTimeZone)
	if known {
		if c.explaining() {
			c.say("Zone", own.name(), ", for originalStartTimeZone is ", quoted(e.OriginalStartTimeZone))
		}
		if series != nil || c.dated(e, own) {
			return own
		}
		c.say("Zone", "the recurrence begins on ", quoted(e.Recurrence.Range.StartDate), ", which is another date there")
	}
	if series != nil {
		c.say("Zone", series.name(), ", that of the series, for originalStartTimeZone is ", quoted(e.OriginalStartTimeZone))
		return *series
	}
	chain := []struct{ property, name string }{
		{"originalEndTimeZone", e.OriginalEndTimeZone}, {"recurrenceTimeZone", ""}, {"the mailbox's zone", c.MailboxZone},
		{"the timeZone of start", e.Start.TimeZone},
	}
	if e.Recurrence != nil {
		chain[1].name = e.Recurrence.Range.RecurrenceTimeZone
	}
	if !known {
		c.say("Zone", "originalStartTimeZone is ", quoted(e.OriginalStartTimeZone), ", which is no zone that is known")
	}
	z, found := own, known
	dated := false
	for _, link := range chain {
		other, ok := findZone(link.name)
		if ok && c.dated(e, other) {
			z, dated = other, true
			c.say("Zone", z.name(), ", for ", link.property, " is ", quoted(link.name))
			break
		}
		c.say("Zone", link.property, " is ", quoted(link.name), ", which is of no help")
		if ok && !found {
			z, found = other, true
		}
	}
	if !dated && z.utc() || !dated && !known {
		// An offset keeps the clock of UTC as well as UTC does, and as any of a zone that nobody knows.
		if fixed, ok := c.datedOffset(e, z); ok {
			z = fixed
			c.say("Zone", z.name(), ", an offset at which the recurrence begins on its date")
		}
	}
	switch {
	case known:
	case e.IsAllDay: // its dates are the same in any zone
	case e.OriginalStartTimeZone == "":
		c.note("originalStartTimeZone", fmt.Sprintf("The event does not name its time zone; its times are written in %s.", z.name()))
	default:
		c.note("originalStartTimeZone", fmt.Sprintf("The time zone %q is not known; the times are written in %s.", clip(e.OriginalStartTimeZone), z.name()))
	}
	return z
}

// dated is whether a series whose master is e can have z for its zone: by a clock in z it begins on the date that its
// range starts on, or the first one from there that the pattern hits, and its modified occurrences were on the dates that
// their ids name, or their UIDs. A date that is farther off than zones are apart says nothing of the zone.
func (c *conversion) dated(e graph.Event, z zone) bool {
	if e.IsAllDay || e.Recurrence == nil {
		return true
	}
	start, _, ok := readMoment(e.Start, z)
	if from, _, ok2 := parseCivil(e.Recurrence.Range.StartDate); ok && ok2 && !unset(start.civil) && !unset(from) {
		got, first := dateOf(start.civilIn(z)), dateOf(from)
		if p, ok := readPattern(e.Recurrence.Pattern, first, func(field, reason string) {}); ok && !got.Equal(first) {
			first = p.next(first)
		}
		if off := got.Sub(first).Abs(); off > 0 && off <= farthestDate {
			return false
		}
	}
	for _, x := range slices.Concat(c.Exceptions, e.ExceptionOccurrences) {
		named, err := time.Parse(time.DateOnly, graph.OccurrenceDate(x.OccurrenceID))
		if err != nil {
			named, _ = instanceDate(x.ICalUID)
		}
		original, utc, ok := parseCivil(x.OriginalStart)
		if !named.IsZero() && ok && utc && !unset(original) {
			if off := dateOf(ics.Wall(original, z.location())).Sub(named).Abs(); off > 0 && off <= farthestDate {
				return false
			}
		}
	}
	return true
}

// farthestDate is how far apart the dates of two zones can be: in one of them it is 26 hours later than in the other.
const farthestDate = 2 * day

// datedOffset is a zone of whole hours in which a series has the dates that it says, the nearest to the guessed one. One
// where that is so an hour earlier and later too is better, since the true zone may have a summer time.
func (c *conversion) datedOffset(e graph.Event, guess zone) (zone, bool) {
	start, _, ok := readMoment(e.Start, guess)
	if !ok || c.dated(e, guess) {
		return zone{}, false
	}
	_, seconds := start.at.In(guess.location()).Zone()
	near := seconds / 3600
	later := func(by time.Duration) graph.Event {
		e := e
		e.Start = graph.DateTimeTimeZone{DateTime: start.at.Add(by).Format("2006-01-02T15:04:05"), TimeZone: "UTC"}
		return e
	}
	var best zone
	for distance := range 27 {
		for _, offset := range []int{near + distance, near - distance} {
			if offset < -12 || offset > 14 || offset == 0 {
				continue
			}
			z, ok := loadIANA(fmt.Sprintf("Etc/GMT%+d", -offset)) // the sign is that of POSIX
			if !ok || !c.dated(e, z) {
				continue
			}
			if c.dated(later(-time.Hour), z) && c.dated(later(time.Hour), z) {
				return z, true
			}
			if best.utc() {
				best = z
			}
		}
	}
	return best, !best.utc()
}

// times reads start and end of an event that is to be written in z.
func (c *conversion) times(e graph.Event, z zone) (when, error) {
	start, err := c.start(e, z)
	if err != nil {
		return when{}, err
	}
	end, known, ok := readMoment(e.End, start.zone)
	if ok && !known && !e.IsAllDay {
		c.note("end", fmt.Sprintf("The time zone %q of the end is not known; %s is taken.", clip(e.End.TimeZone), start.zone.name()))
	}
	if !ok || unset(end.civil) && !unset(start.civil) {
		c.note("end", "The event has no end; it is taken to end when it starts.")
		end = start
	}

	if e.IsAllDay {
		days, instants := wholeDays(e, start, end, c.zones()...)
		w := when{allDay: true, start: days.Start, end: days.End}
		if w.end.Before(w.start) {
			c.note("end", "The event ends before it starts; it is taken to last one day.")
		}
		if !w.end.After(w.start) {
			w.end = w.start.Add(day)
		}
		if w.end.Year() > 9999 {
			w.end = w.start // no DTEND, which says one day
		}
		w.civil, w.civilEnd = w.start, w.end
		if c.explaining() {
			how := "the dates as they stand, "
			if instants {
				how = "the dates of the midnights that are said as instants, "
			}
			c.say("Time", "all day, ", how, w.describe())
		}
		return w, nil
	}

	if _, offset := start.at.In(z.location()).Zone(); offset%60 != 0 {
		z = zone{} // before the zone had a standard time, its offset has seconds, which a VTIMEZONE cannot say
	}
	for _, t := range []time.Time{ics.Wall(start.at, z.location()), ics.Wall(end.at, z.location())} {
		if t.Year() < 1 || t.Year() > 9999 {
			z = zone{}
		}
	}
	w := when{start: start.at, end: end.at, zone: z, endZone: z, civil: start.civilIn(z), civilEnd: end.civilIn(z)}
	if w.end.Before(w.start) {
		c.note("end", "The event ends before it starts; it is taken to end when it starts.")
		w.end, w.civilEnd = w.start, w.civil
	}
	if other, ok := findZone(e.OriginalEndTimeZone); ok && !other.utc() && !ics.Wall(w.end, z.location()).Equal(ics.Wall(w.end, other.location())) {
		w.endZone = other
		c.say("Zone", "the end is in ", other.name(), ", for originalEndTimeZone is ", quoted(e.OriginalEndTimeZone))
	}
	if c.explaining() {
		c.say("Time", "start is ", quoted(e.Start.DateTime), " in ", quoted(e.Start.TimeZone), ", which is ", w.describe())
	}
	return w, nil
}

// zones are those that an all-day event of the series may have been made in, beside the ones that it names itself.
func (c *conversion) zones() (list []zone) {
	names := []string{c.Event.OriginalStartTimeZone, c.Event.OriginalEndTimeZone, "", c.MailboxZone}
	if c.Event.Recurrence != nil {
		names[2] = c.Event.Recurrence.Range.RecurrenceTimeZone
	}
	for _, name := range names {
		if z, ok := findZone(name); ok {
			list = append(list, z)
		}
	}
	return list
}

// describe is a time for a sentence.
func (w when) describe() string {
	if w.allDay {
		return w.start.Format(time.DateOnly) + " to before " + w.end.Format(time.DateOnly)
	}
	const form = "2006-01-02 15:04:05"
	return w.civil.Format(form) + " to " + ics.Wall(w.end, w.endZone.location()).Format(form) + " (" +
		w.start.UTC().Format(form) + " UTC, " + w.end.Sub(w.start).String() + ")"
}

// start is the start of an event, or the best that is known of it.
func (c *conversion) start(e graph.Event, z zone) (moment, error) {
	start, known, ok := readMoment(e.Start, z)
	if ok && !known && !e.IsAllDay {
		c.note("start", fmt.Sprintf("The time zone %q of the start is not known; %s is taken.", clip(e.Start.TimeZone), z.name()))
	}
	if ok && !unset(start.civil) {
		return start, nil
	}
	if isInstance(e) {
		if t, utc, ok := parseCivil(e.OriginalStart); ok && !unset(t) && utc {
			c.note("start", "The event has no start; the one that its series gave it is taken.")
			return moment{civil: t, at: t, written: t}, nil
		}
		if t, err := time.Parse(time.DateOnly, graph.OccurrenceDate(e.OccurrenceID)); err == nil {
			c.note("start", "The event has no start; the date that its series gave it is taken.")
			return moment{t, z, ics.Instant(t, z.location()), t}, nil
		}
	}
	if end, _, ok := readMoment(e.End, z); ok && !unset(end.civil) && end.civil.Year() < 9999 {
		c.note("start", "The event has no start; it is taken to start when it ends.")
		return end, nil
	}
	if e.Recurrence != nil {
		if t, _, ok := parseCivil(e.Recurrence.Range.StartDate); ok && !unset(t) {
			c.note("start", "The event has no start; the date that its recurrence starts on is taken.")
			return moment{t, z, ics.Instant(t, z.location()), t}, nil
		}
	}
	if ok {
		c.note("start", "The start was never set: Graph gives the year 1 for it.")
		return start, nil
	}
	return moment{}, fmt.Errorf("event %q: %w", clip(string(e.ID)), ErrNoTime)
}

// originalDay is the date of the originalStart of an all-day occurrence: the local midnight of whoever made it, said in
// UTC. Where that is in no zone that is known, a date of the pattern is likelier than another one.
func (c *conversion) originalDay(e graph.Event, instant time.Time) time.Time {
	if wall, _, _, _ := parseWritten(e.OriginalStart); isMidnight(wall) {
		return wall
	}
	for _, z := range c.zones() {
		if d, ok := midnightIn(instant, z); ok {
			return d
		}
	}
	likely := Span{instant, instant.Add(day)}.dates().Start
	other := dateOf(instant)
	if other.Equal(likely) {
		other = other.Add(day)
	}
	if r := c.Event.Recurrence; r != nil {
		p, ok := readPattern(r.Pattern, likely, func(field, reason string) {})
		if ok && !p.hits(likely) && p.hits(other) {
			return other
		}
	}
	return likely
}

// originalDate is the date that the series of an instance gave it, in the zone of the series, whose first occurrence is
// w; with an empty from it is said by nothing. An instant at which the series has its occurrences is exact. Next comes
// what names the date, since an instant that is not at that time of day tells nothing of a zone that is not known.
func (c *conversion) originalDate(e graph.Event, w when) (t time.Time, from string) {
	instant, utc, ok := parseCivil(e.OriginalStart)
	ok = ok && !unset(instant)
	civil := instant
	switch {
	case ok && w.allDay:
		civil = c.originalDay(e, instant)
	case utc:
		civil = ics.Wall(instant, w.zone.location())
	}
	// By a clock that is only guessed it may be the time of day of another date.
	_, known := findZone(c.Event.OriginalStartTimeZone)
	if ok && known && !w.allDay && isMaster(c.Event) && civil.Sub(dateOf(civil)) == w.civil.Sub(w.firstDay()) {
		return dateOf(civil), "originalStart"
	}
	if t, err := time.Parse(time.DateOnly, graph.OccurrenceDate(e.OccurrenceID)); err == nil {
		return t, "occurrenceId"
	}
	named, exchange := instanceDate(e.ICalUID)
	if exchange = exchange && !named.IsZero(); ok && !(exchange && isMaster(c.Event)) {
		return dateOf(civil), "originalStart" // of an orphan always, for the date is part of its UID
	}
	if exchange {
		return named, "iCalUId"
	}
	return time.Time{}, ""
}
