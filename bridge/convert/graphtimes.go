package convert

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// graphTime is the time of an event as Graph takes it. Of an all-day event both are midnights, the end exclusive, in one zone.
type graphTime struct {
	Start, End graph.DateTimeTimeZone
	IsAllDay   bool
}

// The dates that an Outlook calendar has.
const (
	firstYear = 1601
	lastYear  = 4500
)

// graphTimes is the time of a component of in, which is of the series s. known is what it is of in Graph now: the single event
// or the master itself, an exception, or nil.
//
// The clock times are those that the client wrote, in the zone that it named, by the name that Graph has for the zone in this
// event already. Only the hours in which the clock is turned are said in UTC, where the event does not recur. It fails with a
// *Refusal.
func graphTimes(c *ical.Component, in *object, s Series, known *graph.Event) (graphTime, []Loss, error) {
	w := &timeWriter{in: in, series: s, event: s.Event, comp: c}
	if known != nil {
		w.event = *known
	}
	t, err := w.times()
	return t, w.losses, err
}

// timeWriter is the work of graphTimes.
type timeWriter struct {
	in     *object
	series Series
	event  graph.Event
	comp   *ical.Component
	losses []Loss
}

func (w *timeWriter) note(field, reason string) {
	l := Loss{Event: w.event.ID, Field: field, Reason: reason}
	if !slices.Contains(w.losses, l) {
		w.losses = append(w.losses, l)
	}
}

func (w *timeWriter) times() (graphTime, error) {
	p := w.comp.Props.Get(ical.PropDateTimeStart)
	if p == nil {
		return graphTime{}, refuse(RefusedData, "The event has no start.")
	}
	start, err := w.in.reader.Moment(w.in.cal, p)
	if err != nil {
		return graphTime{}, unreadable(err)
	}
	var t graphTime
	if start.Date {
		t, err = w.allDay(start)
	} else {
		t, err = w.timed(p, start)
	}
	if err != nil {
		return graphTime{}, err
	}
	for _, v := range []string{t.Start.DateTime, t.End.DateTime} {
		if civil, _, ok := parseCivil(v); !ok || civil.Year() < firstYear || civil.Year() >= lastYear {
			return graphTime{}, refuse(RefusedData, "Outlook's calendar is of the years %d to %d. Choose a date within these.", firstYear, lastYear-1)
		}
	}
	return t, nil
}

var errEndsBefore = &Refusal{RefusedData, "The event ends before it starts. Choose an end after the start."}

// allDay is the time of an event of dates.
func (w *timeWriter) allDay(start ics.Moment) (graphTime, error) {
	end := start.Wall.AddDate(0, 0, 1)
	if p := w.comp.Props.Get(ical.PropDateTimeEnd); p != nil {
		m, err := w.in.reader.Moment(w.in.cal, p)
		switch {
		case err != nil:
			return graphTime{}, unreadable(err)
		case !m.Date:
			return graphTime{}, refuse(RefusedData, "The event starts on a date and ends at a time of day. Make it all day, or give it a time of day for its start as well.")
		case m.Wall.Before(start.Wall):
			return graphTime{}, errEndsBefore
		case m.Wall.After(start.Wall):
			end = m.Wall
		}
	} else if p := w.comp.Props.Get(ical.PropDuration); p != nil {
		d, err := ics.ParseDuration(p.Value)
		days := d.Days + int(d.Seconds/86400)
		switch {
		case err != nil:
			return graphTime{}, unreadable(err)
		case d.Seconds%86400 != 0:
			return graphTime{}, refuse(RefusedData, "The event is all day, but does not last whole days. Choose whole days, or a time of day for its start.")
		case days < 0:
			return graphTime{}, errEndsBefore
		case days > 0:
			end = start.Wall.AddDate(0, 0, days)
		}
	}
	first := start.Wall
	if w.comp == w.in.master {
		first, end = first.AddDate(0, 0, w.in.shift), end.AddDate(0, 0, w.in.shift)
	}
	name := w.allDayZone()
	return graphTime{graphMoment(first, name), graphMoment(end, name), true}, nil
}

// allDayZone is the zone to say dates in: they are the same in any, but it becomes the event's own.
func (w *timeWriter) allDayZone() string {
	for _, name := range w.names() {
		if sendable(name) {
			return name
		}
	}
	for _, name := range w.names() {
		if other := GraphZone(name); other != "" {
			return other
		}
	}
	return "UTC"
}

// names are the zones that Graph has named in the event, as it has: the event's own before the series', the mailbox's last.
func (w *timeWriter) names() []string {
	list := []string{w.event.OriginalStartTimeZone, w.series.Event.OriginalStartTimeZone}
	for _, e := range []graph.Event{w.event, w.series.Event} {
		if e.Recurrence != nil {
			list = append(list, e.Recurrence.Range.RecurrenceTimeZone)
		}
	}
	list = append(list, w.event.OriginalEndTimeZone, w.series.MailboxZone)
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

// timed is the time of an event that starts at a time of day.
func (w *timeWriter) timed(p *ical.Prop, start ics.Moment) (graphTime, error) {
	series := recurs(w.comp)
	z, name, err := w.zone(p, start, w.names())
	inUTC := false
	if err != nil {
		// An offset that no zone keeps ("GMT-3:30") may be what the event has.
		own, _ := findZone(w.event.OriginalStartTimeZone)
		if its, ok := findZone(p.Params.Get(ical.ParamTimezoneID)); series || !ok || its.tzid != own.tzid {
			return graphTime{}, err
		}
		z, name, inUTC = own, "UTC", true
		w.note("originalStartTimeZone", fmt.Sprintf("Outlook does not take the time zone %q any more; the time is kept in UTC.", clip(w.event.OriginalStartTimeZone)))
	}
	if own := w.event.OriginalStartTimeZone; own != "" && name != own {
		if _, known := findZone(own); !known {
			w.note("originalStartTimeZone", fmt.Sprintf("The event was in the time zone %q, whose rules nobody else can know; it is in %s now.", clip(own), name))
		}
	}
	from := start.In(w.in.mailbox.location())
	wall, to, endZone, endName := start.Wall, from, z, name
	endWall := wall
	if e := w.comp.Props.Get(ical.PropDateTimeEnd); e != nil {
		end, err := w.in.reader.Moment(w.in.cal, e)
		switch {
		case err != nil:
			return graphTime{}, unreadable(err)
		case end.Date:
			return graphTime{}, refuse(RefusedData, "The event starts at a time of day and ends on a date. Give its end a time of day as well.")
		}
		to = end.In(w.in.mailbox.location())
		if !series && end.Loc != nil && end.Loc != time.UTC && end.Loc != start.Loc {
			if endZone, endName, err = w.zone(e, end, append([]string{w.event.OriginalEndTimeZone}, w.names()...)); err != nil {
				return graphTime{}, err
			}
		}
		if endWall = end.Wall; end.Loc != start.Loc && endName == name {
			endWall = ics.Wall(to, z.location())
		}
	} else if d := w.comp.Props.Get(ical.PropDuration); d != nil {
		length, err := ics.ParseDuration(d.Value)
		if err != nil {
			return graphTime{}, unreadable(err)
		}
		to = length.After(start, w.in.mailbox.location())
		endWall = ics.Wall(to, z.location())
		if series { // all instances are as long as that by the clock
			endWall = wall.AddDate(0, 0, length.Days).Add(time.Duration(length.Seconds) * time.Second)
		}
	}
	if to.Before(from) || series && endWall.Before(wall) {
		return graphTime{}, errEndsBefore
	}
	if inUTC || !series && (turned(z, wall, from) || turned(endZone, endWall, to)) {
		if !inUTC && !(z.utc() && endZone.utc()) {
			w.note("start", "The event begins or ends in an hour that the clock shows twice or not at all; its time is kept in UTC.")
		}
		wall, endWall, name, endName = from.UTC(), to.UTC(), "UTC", "UTC"
	}
	if w.comp == w.in.master {
		wall, endWall = wall.AddDate(0, 0, w.in.shift), endWall.AddDate(0, 0, w.in.shift)
	}
	return graphTime{graphMoment(wall, name), graphMoment(endWall, endName), false}, nil
}

// turned is whether the clock of z shows wall, which is the instant at, twice or not at all.
func turned(z zone, wall, at time.Time) bool {
	return !z.utc() && (!z.expressible(at) || !ics.Wall(at, z.loc).Equal(wall))
}

// zone is the zone of a time of the component, with the name to send: one of names, if it is one of these.
func (w *timeWriter) zone(p *ical.Prop, m ics.Moment, names []string) (zone, string, error) {
	if m.Loc == nil {
		z, name, ok := w.series.floating()
		if !ok {
			return zone{}, "", refuse(RefusedData, "The event names no time zone. Choose one.")
		}
		w.note("start", fmt.Sprintf("The event names no time zone; %s is taken.", clip(name)))
		return w.named(z, append([]string{name}, names...))
	}
	if m.Loc == time.UTC {
		return w.named(zone{}, names)
	}
	tzid := p.Params.Get(ical.ParamTimezoneID)
	z, ok := w.in.zoneNamed(tzid, m.Loc)
	if ok {
		return w.named(z, names)
	}
	match := w.in.match(tzid, m.Loc, names)
	if !match.ok {
		return zone{}, "", refuse(RefusedData, "The time zone %q is not known to Outlook, and no zone that is changes its clock on the same dates. Choose a time zone by the name of a city.", clip(tzid))
	}
	w.note("start", fmt.Sprintf("The time zone %q is not known to Outlook; %s is taken, whose clock is the same at the time of the event.", clip(tzid), match.zone.name()))
	return w.named(match.zone, names)
}

// floating is the zone of times that name none, with Graph's name for it: the mailbox's. Where that is not known, it is the one
// that the event has been in so far, since some clients forget it when the time is edited (khal); dates have none, and UTC is
// nobody's.
func (s Series) floating() (zone, string, bool) {
	if z, ok := findZone(s.MailboxZone); ok {
		return z, s.MailboxZone, true
	}
	own := s.Event.OriginalStartTimeZone
	if z, ok := findZone(own); ok && !s.Event.IsAllDay && !z.utc() {
		return z, own, true
	}
	return zone{}, "", false
}

// named is z with the name to send for it.
func (w *timeWriter) named(z zone, names []string) (zone, string, error) {
	for _, n := range names {
		if other, ok := findZone(n); ok && other.tzid == z.tzid && sendable(n) {
			return z, n, nil
		}
	}
	if z.utc() {
		return z, "UTC", nil
	}
	if _, ok := ianaZones[z.tzid]; ok {
		return z, z.tzid, nil
	}
	for _, n := range append(slices.Clone(names), z.tzid) {
		if other, ok := findZone(n); ok && other.tzid == z.tzid {
			if name := GraphZone(n); name != "" {
				return z, name, nil
			}
		}
	}
	match := w.in.match(z.tzid, z.loc, names)
	if !match.ok {
		return zone{}, "", refuse(RefusedData, "Outlook does not have the time zone %q. Choose another one.", clip(z.tzid))
	}
	// A new spelling of a name (Europe/Kyiv) is no other zone.
	if !sameClock(z.loc, match.zone.location(), date(1990, 1, 1), date(2037, 1, 1)) {
		w.note("start", fmt.Sprintf("The time zone %q is not known to Outlook; %s is taken, whose clock is the same at the time of the event.", clip(z.tzid), match.zone.name()))
	}
	return w.named(match.zone, names) // which CLDR has
}

// sendable is whether Graph takes a name of a zone that it has said itself as it stands: those of Windows and IANA's, not what
// else mailboxes have.
func sendable(name string) bool {
	_, windows := windowsZones[name]
	// Windows has these two; CLDR has not.
	if windows || name == "UTC" || name == "Kamchatka Standard Time" || name == "Mid-Atlantic Standard Time" {
		return true
	}
	if _, known := ianaZones[name]; known {
		return true
	}
	z, ok := loadIANA(name)
	return ok && !z.utc() && strings.Contains(name, "/")
}

// namedZone is the zone that a property of a component names; ok is false where it names none that is known.
func (in *object) namedZone(c *ical.Component, property string) (z zone, ok bool) {
	p := c.Props.Get(property)
	if p == nil || p.Params.Get(ical.ParamTimezoneID) == "" {
		return zone{}, false
	}
	m, err := in.reader.Moment(in.cal, p)
	if err != nil || m.Loc == nil {
		return zone{}, false
	}
	return in.zoneNamed(p.Params.Get(ical.ParamTimezoneID), m.Loc)
}

// zoneNamed is the zone of a TZID, if its name tells it. loc is what the reader takes it for: for some short names that is
// what their VTIMEZONE says.
func (in *object) zoneNamed(tzid string, loc *time.Location) (zone, bool) {
	if z, ok := findZone(strings.Trim(tzid, "\" \t")); ok && (loc == z.location() || loc.String() == z.location().String() && !in.explained(tzid)) {
		return z, true
	}
	if in.explained(tzid) {
		if _, err := in.reader.Zone(tzid); err != nil || loc.String() == tzid {
			return zone{}, false
		}
	}
	return loadIANA(loc.String())
}

// explained is whether the object has a VTIMEZONE of that name.
func (in *object) explained(tzid string) bool {
	return slices.ContainsFunc(ics.Children(in.cal.Component, ical.CompTimezone), func(c *ical.Component) bool {
		return propOf(c, ical.PropTimezoneID).Value == tzid
	})
}

// matched is the zone that a VTIMEZONE was found to be.
type matched struct {
	zone zone
	ok   bool
}

// life is how long the zone of an event without end has to be the same as the one that it is taken for.
const life = 10 * 366 * day

// match is the zone whose clock is that of loc in the whole life of the object: of those that are named if one fits, else of all that
// Windows has. One that fits a year around that life too is better, since an event of an hour fits many.
func (in *object) match(tzid string, loc *time.Location, names []string) matched {
	if m, ok := in.custom[tzid]; ok {
		return m
	}
	first, last := in.reader.Bounds(in.cal)
	if last.IsZero() || last.Sub(first) > life {
		last = first.Add(life)
	}
	var candidates []zone
	for _, n := range append(slices.Clone(names), slices.Sorted(maps.Keys(windowsZones))...) {
		if z, ok := findZone(n); ok && (z.utc() || ianaZones[z.tzid] != "") {
			candidates = append(candidates, z)
		}
	}
	var m matched
	for _, around := range []time.Duration{366 * day, 0} {
		n := slices.IndexFunc(candidates, func(z zone) bool {
			return sameClock(loc, z.location(), first.Add(-around), last.Add(around))
		})
		if n >= 0 {
			m = matched{candidates[n], true}
			break
		}
	}
	if in.custom == nil {
		in.custom = map[string]matched{}
	}
	in.custom[tzid] = m
	return m
}

// sameClock is whether clocks in two zones show the same from first to last.
func sameClock(a, b *time.Location, first, last time.Time) bool {
	offset := func(t time.Time, loc *time.Location) int {
		_, o := t.In(loc).Zone()
		return o
	}
	for t := first; ; {
		if offset(t, a) != offset(t, b) {
			return false
		}
		_, next := t.In(a).ZoneBounds()
		if _, other := t.In(b).ZoneBounds(); next.IsZero() || !other.IsZero() && other.Before(next) {
			next = other
		}
		if next.IsZero() || next.After(last) {
			return true
		}
		t = next
	}
}

// sameTimes is whether a component begins and ends when another does, each of its own object, and is all day if that is. Of a
// series it is all its instances: the clock has to be the same too.
func sameTimes(a *ical.Component, of *object, b *ical.Component, in *object) bool {
	x, err1 := of.reader.Event(of.cal, a)
	y, err2 := in.reader.Event(in.cal, b)
	if err1 != nil || err2 != nil || x.Clock.Date != y.Clock.Date || x.Length != y.Length && !x.End.Equal(y.End) {
		return false
	}
	if x.Clock.Date {
		return x.Clock.Wall.Equal(y.Clock.Wall) && x.Length.Days == y.Length.Days
	}
	if !x.Start.Equal(y.Start) || !x.End.Equal(y.End) {
		return false
	}
	if a != of.master || !of.recurs() || !in.recurs() {
		return true
	}
	at := func(m ics.Moment, w *object) *time.Location {
		if m.Loc == nil {
			return w.mailbox.location()
		}
		return m.Loc
	}
	if at(x.Clock, of) == at(y.Clock, in) {
		return true
	}
	last := of.ends()
	if last.IsZero() || last.Sub(x.Start) > life {
		last = x.Start.Add(life)
	}
	return sameClock(at(x.Clock, of), at(y.Clock, in), x.Start, last)
}
