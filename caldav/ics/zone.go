package ics

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"
)

// ErrUnknownZone is wrapped where a TZID is no name that is known, nor that of a VTIMEZONE beside it.
var ErrUnknownZone = errors.New("unknown time zone")

// lookup is how many steps it counts for to look for a name in the tz database, up to four times.
const lookup = 1000

// Zone finds a zone by name: one of [Reader.Resolve], an IANA name, or an IANA name behind a vendor's prefix, as in
// "/freeassociation.sourceforge.net/Europe/Berlin" (Evolution) or "/mozilla.org/20050126_1/Europe/Berlin" (Thunderbird).
// The error wraps ErrUnknownZone, or ErrTooMany where the Reader has looked for too many.
func (r *Reader) Zone(tzid string) (*time.Location, error) {
	loc, ok := r.loaded[tzid]
	if !ok {
		if err := r.spend(lookup); err != nil {
			return nil, err
		}
		loc, _ = r.resolve(strings.Trim(tzid, "\" \t"))
		if r.loaded == nil {
			r.loaded = map[string]*time.Location{}
		}
		r.loaded[tzid] = loc
	}
	if loc == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownZone, clip(tzid))
	}
	return loc, nil
}

func (r *Reader) resolve(name string) (*time.Location, bool) {
	if loc, ok := r.named(name); ok {
		return loc, true
	}
	parts := strings.Split(name, "/")
	for n := 3; n >= 1; n-- { // America/Argentina/Buenos_Aires, Europe/Berlin, UTC
		if len(parts) > n && (n > 1 || parts[0] == "") {
			if loc, ok := r.named(strings.Join(parts[len(parts)-n:], "/")); ok {
				return loc, true
			}
		}
	}
	return nil, false
}

func (r *Reader) named(name string) (*time.Location, bool) {
	if r.Resolve != nil {
		if loc, ok := r.Resolve(name); ok {
			return loc, true
		}
	}
	// "Local" is the host's own zone; right/ counts leap seconds; posixrules and the like are no places.
	if name == "" || name == "Local" || len(name) > 200 || strings.HasPrefix(name, "right/") || strings.HasPrefix(name, "posix") {
		return nil, false
	}
	loc, err := time.LoadLocation(name)
	return loc, err == nil
}

// fixedNames are those of the tz database that stand for one offset, but for people also for a place with a summer time. A
// VTIMEZONE of such a name says which of them is meant.
var fixedNames = map[string]bool{"EST": true, "MST": true, "HST": true}

// zonesOf finds the zones of an object: those that are known by name, else those of its own VTIMEZONEs, which come first
// for fixedNames. Those of the object that was asked for last are remembered.
func (r *Reader) zonesOf(cal *ical.Calendar) zoneFunc {
	if r.of == cal && r.zones != nil {
		return r.zones
	}
	var own map[string]*ownZone
	r.of = cal
	r.zones = func(tzid string) (*time.Location, error) {
		fixed := fixedNames[tzid]
		var err error
		if !fixed {
			var loc *time.Location
			if loc, err = r.Zone(tzid); err == nil {
				return loc, nil
			}
		}
		if own == nil {
			own = ownZones(cal)
		}
		z := own[tzid]
		if z == nil && fixed {
			return r.Zone(tzid)
		}
		if z == nil {
			return nil, err
		}
		if z.loc == nil && z.err == nil {
			if z.loc, z.err = r.location(z.from); z.err != nil {
				z.err = fmt.Errorf("time zone %q: %w", clip(tzid), z.err)
			}
		}
		return z.loc, z.err
	}
	return r.zones
}

// ownZone is a VTIMEZONE, and the zone that it makes once that has been asked for.
type ownZone struct {
	from *ical.Component
	loc  *time.Location
	err  error
}

// ownZones are the VTIMEZONEs of an object by their TZIDs. Of two with one the first counts.
func ownZones(cal *ical.Calendar) map[string]*ownZone {
	own := map[string]*ownZone{}
	for _, c := range Children(cal.Component, ical.CompTimezone) {
		if id := c.Props.Get(ical.PropTimezoneID); id != nil && own[id.Value] == nil {
			own[id.Value] = &ownZone{from: c}
		}
	}
	return own
}

// Limits on a VTIMEZONE: the last year whose changes are worked out, after which they go on as goesOn finds or the offset
// stays, and how many of them. Outlook's rules begin in 1601.
const (
	lastChange = 2200
	maxChanges = 5000
)

// change is when the offset of a zone changes (an onset of RFC 5545 §3.6.5).
type change struct {
	at       int64 // the instant
	from, to int   // offsets in seconds
	daylight bool
}

var errTimezone = errors.New("a VTIMEZONE that is not understood")

// location makes a zone of what a VTIMEZONE says (RFC 5545 §3.6.5).
func (r *Reader) location(c *ical.Component) (*time.Location, error) {
	var list []change
	r.series = 0
	for _, o := range c.Children {
		if o.Name != ical.CompTimezoneStandard && o.Name != ical.CompTimezoneDaylight {
			continue
		}
		var err error
		if list, err = r.observance(list, o); err != nil {
			return nil, err
		}
	}
	if len(list) == 0 {
		return nil, errTimezone
	}
	slices.SortStableFunc(list, func(a, b change) int { return int(max(min(a.at-b.at, 1), -1)) })
	return tzif(c.Props.Get(ical.PropTimezoneID).Value, list)
}

// observance appends the changes of one STANDARD or DAYLIGHT.
func (r *Reader) observance(list []change, o *ical.Component) ([]change, error) {
	from, ok1 := offset(o, ical.PropTimezoneOffsetFrom)
	to, ok2 := offset(o, ical.PropTimezoneOffsetTo)
	p := o.Props.Get(ical.PropDateTimeStart)
	if !ok1 || !ok2 || p == nil {
		return nil, errTimezone
	}
	// Its times are those of a clock that shows the offset from before the change.
	fixed := time.FixedZone("", from)
	start, err := parseProp(p, func(string) (*time.Location, error) { return fixed, nil })
	if err != nil {
		return nil, err
	}
	start.Loc = fixed
	add := func(m Moment) {
		list = append(list, change{m.In(fixed).Unix(), from, to, o.Name == ical.CompTimezoneDaylight})
	}
	add(start)
	for _, p := range o.Props.Values(ical.PropRecurrenceDates) {
		l, err := r.list(&p, func(string) (*time.Location, error) { return fixed, nil })
		if err != nil {
			return nil, err
		}
		for _, v := range l {
			add(v.Moment)
		}
	}
	for _, p := range o.Props.Values(ical.PropRecurrenceRule) {
		rule, err := parseRule(p.Value, start)
		if err != nil {
			return nil, err
		}
		next, err := rule.within(time.Time{}, time.Time{})
		if err != nil {
			return nil, err
		}
		for {
			wall, ok, err := next(r)
			if err != nil {
				return nil, err
			}
			m := Moment{Wall: wall, Loc: fixed}
			if !ok || wall.Year() > lastChange || rule.ended(m, m.In(fixed)) {
				break
			}
			if add(m); len(list) > maxChanges {
				return nil, ErrTooMany
			}
		}
	}
	return list, nil
}

// offset reads a UTC-OFFSET in seconds (RFC 5545 §3.3.14).
func offset(c *ical.Component, name string) (int, bool) {
	p := c.Props.Get(name)
	if p == nil {
		return 0, false
	}
	v := strings.TrimSpace(p.Value)
	if len(v) != 5 && len(v) != 7 || v[0] != '+' && v[0] != '-' {
		return 0, false
	}
	clock := v[1:]
	if len(clock) == 4 {
		clock += "00"
	}
	t, ok := digits("20000101", clock)
	seconds := t.Hour()*3600 + t.Minute()*60 + t.Second()
	if v[0] == '-' {
		seconds = -seconds
	}
	return seconds, ok
}

// tzif makes a zone of changes, which are in order, by way of the only form in which package time takes one (RFC 8536).
func tzif(name string, list []change) (*time.Location, error) {
	type kind struct {
		offset   int
		daylight bool
	}
	kinds := []kind{{list[0].from, false}} // the first is what holds before the first change
	var times, indices, infos []byte
	for _, c := range list {
		k := kind{c.to, c.daylight}
		n := 1 + slices.Index(kinds[1:], k)
		if n == 0 {
			n = len(kinds)
			kinds = append(kinds, k)
		}
		if n > 200 {
			return nil, errTimezone
		}
		times = binary.BigEndian.AppendUint64(times, uint64(c.at))
		indices = append(indices, byte(n))
	}
	for _, k := range kinds {
		infos = binary.BigEndian.AppendUint32(infos, uint32(int32(k.offset)))
		infos = append(infos, map[bool]byte{true: 1}[k.daylight], 0)
	}
	header := func(counts ...int) []byte { // isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt
		b := append([]byte("TZif2"), make([]byte, 15)...)
		for _, n := range counts {
			b = binary.BigEndian.AppendUint32(b, uint32(n))
		}
		return b
	}
	const abbreviation = "LOC\x00"
	data := slices.Concat(header(0, 0, 0, 0, 0, 0), header(0, 0, 0, len(list), len(kinds), len(abbreviation)),
		times, indices, infos, []byte(abbreviation), []byte("\n"+goesOn(list)+"\n"))
	return time.LoadLocationFromTZData(name, data)
}

// goesOn is how the clock is turned after the last change, as a TZ string (RFC 8536 §3.3). It is empty where that has come to
// an end before the last year, or is not twice a year on a weekday of a month or on a date.
func goesOn(list []change) string {
	const years = 50
	if len(list) < 2*years {
		return ""
	}
	list = list[len(list)-2*years:]
	wall := func(c change) time.Time { return time.Unix(c.at+int64(c.from), 0).UTC() }
	for i, c := range list {
		if like := list[i%2]; wall(c).Year() != lastChange-years+1+i/2 || c.from != like.from || c.to != like.to || c.daylight != like.daylight {
			return ""
		}
	}
	var on [2]string // the rule for each change
	for i := range on {
		last := wall(list[len(list)-2+i])
		hour, minute, second := last.Clock()
		for week := range 6 { // 0: it is a date
			held := true
			for j := i; held && j < len(list); j += 2 {
				c := wall(list[j])
				held = c.Month() == last.Month() && c.Weekday() == last.Weekday() && c.Day() == dayOfWeek(c, week)
				if week == 0 {
					held = c.Month() == last.Month() && c.Day() == last.Day()
				}
				h, m, s := c.Clock()
				held = held && h == hour && m == minute && s == second
			}
			if !held {
				continue
			}
			if on[i] = fmt.Sprintf("M%d.%d.%d", last.Month(), week, last.Weekday()); week == 0 {
				on[i] = fmt.Sprintf("J%d", date(2001, last.Month(), last.Day()).YearDay())
			}
			on[i] += fmt.Sprintf("/%d:%02d:%02d", hour, minute, second)
			break
		}
	}
	to, back := 0, 1 // summer time
	if list[1].daylight && !list[0].daylight || list[1].daylight == list[0].daylight && list[1].to > list[0].to {
		to, back = 1, 0
	}
	if on[0] == "" || on[1] == "" || list[to].from != list[back].to || list[to].to != list[back].from {
		return ""
	}
	offset := func(seconds int) string { // west of Greenwich
		sign := "-"
		if seconds < 0 {
			sign, seconds = "", -seconds
		}
		return fmt.Sprintf("<LOC>%s%d:%02d:%02d", sign, seconds/3600, seconds/60%60, seconds%60)
	}
	return offset(list[back].to) + offset(list[to].to) + "," + on[to] + "," + on[back]
}

// dayOfWeek is the day of the month of t on which its weekday comes for the nth time; for the last, if n is 5.
func dayOfWeek(t time.Time, n int) int {
	first := (t.Day()-1)%7 + 1
	if n < 5 {
		return first + 7*(n-1)
	}
	length := date(t.Year(), t.Month()+1, 0).Day()
	return first + (length-first)/7*7
}
