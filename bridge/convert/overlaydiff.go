package convert

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// Limits on an overlay, in octets.
const (
	maxPart    = 32 << 10
	maxOverlay = 512 << 10
)

// overlayOf is the overlay of the series s after a client's edit: what the client has set, changed and taken away beside
// Outlook. base is the object that it had, nil where that is not known; current the one served now, nil: there is none; in
// the new one. client is its User-Agent: what it has dropped counts as taken away only of those that are known to carry
// it. nil: the overlay is as it was. It fails with a *Refusal where it becomes too large.
func overlayOf(base, current, in *object, s Series, client string) (*Overlay, error) {
	if in == nil {
		return nil, nil
	}
	d := overlayDiff{series: s, carries: carrier(client, propOf(in.cal.Component, ical.PropProductID).Value), blind: base == nil}
	if base == nil {
		base = current
	}
	was, now := base.parts(), in.parts()
	next := Overlay{Parts: map[string]OverlayPart{}}
	for key, part := range s.Overlay.Parts {
		// An occurrence that is an override no more has nothing of its own, unless this client never knew of it.
		if _, ok := now[key]; !ok && (was[key] == nil || d.blind) && !in.removes(key) {
			next.Parts[key] = part
		}
	}
	size := 0
	for key, c := range now {
		part := d.part(key, was, c, in)
		if part.empty() {
			continue
		}
		n := part.size()
		if size += n; n > maxPart || size > maxOverlay {
			return nil, refuse(RefusedSize, "What the event has beside Outlook's own fields, such as further alarms and attached links, is more than %d KiB. Remove some of it.", maxPart>>10)
		}
		next.Parts[key] = part
	}
	old := map[string]OverlayPart{}
	for key, part := range s.Overlay.Parts {
		if !part.empty() {
			old[key] = part
		}
	}
	if reflect.DeepEqual(old, next.Parts) {
		return nil, nil
	}
	if len(next.Parts) == 0 {
		next.Parts = nil
	}
	return &next, nil
}

func (p OverlayPart) size() (n int) {
	for _, list := range [][]string{p.Lines, p.Reminder, p.Alarms} {
		for _, s := range list {
			n += len(s)
		}
	}
	return n
}

// parts are the components of an object by the keys of an overlay.
func (o *object) parts() map[string]*ical.Component {
	m := map[string]*ical.Component{}
	if o == nil {
		return m
	}
	if o.master != nil {
		m[""] = o.master
	}
	for _, c := range o.overrides {
		if key, ok := partKey(o.reader, o.cal, c); ok {
			m[key] = c
		}
	}
	return m
}

// removes is whether the object excludes the occurrence of a key.
func (o *object) removes(key string) bool {
	if o.master == nil || key == "" {
		return false
	}
	want, err := ics.ParseMoment(key, nil)
	return err == nil && slices.ContainsFunc(o.exdates(), func(m ics.Moment) bool {
		return m.Date == want.Date && (m.Date && m.Wall.Equal(want.Wall) || !m.Date && o.reader.Instant(m).Equal(want.Wall))
	})
}

type overlayDiff struct {
	series  Series
	carries func(name string) bool // whether the client carries a property that it does not use
	blind   bool                   // it is not known what the client had
}

// part is the part of one component after the edit.
func (d overlayDiff) part(key string, was map[string]*ical.Component, c *ical.Component, in *object) OverlayPart {
	e := &d.series.Event
	if key != "" {
		if x := d.series.exceptionAt(in, c); x != nil {
			e = x
		}
	}
	old := d.series.Overlay.Parts[key]
	had := foreign{}
	if before := was[key]; before != nil {
		had = foreignOf(before, e)
	} else if master := was[""]; key != "" && master != nil {
		// A new override is a copy of the master: what that has from Outlook is none of the client's.
		had = foreignOf(master, e)
		own := d.series.Overlay.Parts[""]
		had.lines = without(had.lines, own.Lines)
		had.reminder = without(had.reminder, own.Reminder)
		had.alarms = without(had.alarms, own.Alarms)
	}
	has := foreignOf(c, e)
	part := OverlayPart{Lines: d.merge(old.Lines, had.lines, has.lines), Reminder: d.merge(old.Reminder, had.reminder, has.reminder)}
	part.Lines = slices.DeleteFunc(part.Lines, d.series.isOwnLink) // a file of the event, of which the client has only kept the link
	if !has.reminds {
		part.Reminder = nil // the alarm that it was of is gone
	}
	part.Alarms = d.mergeAlarms(old.Alarms, had.alarms, has.alarms)
	return part
}

// foreign is what of a component may be of an overlay.
type foreign struct {
	lines, reminder, alarms []string
	reminds                 bool // it has an alarm that Outlook can have
}

func foreignOf(c *ical.Component, e *graph.Event) (t foreign) {
	bare := &ical.Component{Name: c.Name, Props: ical.Props{}}
	for name, props := range c.Props {
		if !isForeign(name) {
			continue
		}
		for _, p := range props {
			if name == ical.PropAttach {
				if isInline(p) || keyOf(p) != "" {
					continue
				}
				// By this another server knows it.
				p.Params = maps.Clone(p.Params)
				delete(p.Params, "MANAGED-ID")
			}
			bare.Props[name] = append(bare.Props[name], p)
		}
	}
	t.lines = linesOf(bare)
	reminder, _ := reminderOf(c, e)
	for _, a := range ics.Children(c, ical.CompAlarm) {
		if a != reminder {
			t.alarms = append(t.alarms, strings.Join(linesOf(a), "\n"))
			continue
		}
		t.reminds = true
		bare := clone(a)
		delete(bare.Props, ical.PropTrigger)
		delete(bare.Props, ical.PropDescription)
		if strings.EqualFold(propOf(a, ical.PropAction).Value, "DISPLAY") {
			delete(bare.Props, ical.PropAction)
		}
		t.reminder = linesOf(bare)
	}
	return t
}

// merge is the three-way difference of content lines, by the names of their properties: old is what is kept, had and has what
// the client had and sends.
func (d overlayDiff) merge(old, had, has []string) []string {
	kept, before, now := byName(old), byName(had), byName(has)
	names := map[string]bool{}
	for _, l := range slices.Concat(old, has) {
		names[lineName(l)] = true
	}
	var out []string
	for name := range names {
		o, b, n := kept[name], before[name], now[name]
		added, gone := without(n, b), without(b, n)
		switch {
		case len(n) == 0 && (d.blind || !d.carries(name)):
			gone = nil
		case len(added) > 0 && len(n) == 1 && len(b) <= 1 && !several[name]:
			o = nil // the one value has another
		}
		out = append(out, without(o, gone)...)
		out = append(out, without(added, o)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// byName are content lines by the names of their properties.
func byName(lines []string) map[string][]string {
	m := map[string][]string{}
	for _, l := range lines {
		name := lineName(l)
		m[name] = append(m[name], l)
	}
	return m
}

// several are the properties of RFC 5545 and its extensions that an event may have more than once.
var several = map[string]bool{ical.PropAttach: true, ical.PropComment: true, ical.PropContact: true, ical.PropRelatedTo: true,
	ical.PropResources: true, "CONFERENCE": true, "IMAGE": true, "LINK": true, "CONCEPT": true, "REFID": true}

// mergeAlarms is the same of whole alarms. One with the name or the trigger of another is that one, changed.
func (d overlayDiff) mergeAlarms(old, had, has []string) []string {
	added, gone := without(has, had), without(had, has)
	if !d.carries(ical.CompAlarm) {
		gone = nil
	}
	names := map[string]bool{}
	for _, a := range added {
		names[alarmName(a)] = true
	}
	out := slices.DeleteFunc(without(old, gone), func(a string) bool { return names[alarmName(a)] })
	out = append(out, added...)
	slices.Sort(out)
	return slices.Compact(out)
}

// alarmName is the UID of an alarm, else what it does when.
func alarmName(text string) string {
	a := &ical.Component{Name: ical.CompAlarm, Props: ical.Props{}}
	for _, p := range propsOf(strings.Split(text, "\n")) {
		a.Props[p.Name] = append(a.Props[p.Name], p)
	}
	for _, name := range []string{ical.PropUID, "X-WR-ALARMUID"} {
		if p := a.Props.Get(name); p != nil {
			return p.Value
		}
	}
	return alarmKey(a)
}

// without are the strings of list that are not in other.
func without(list, other []string) []string {
	if len(list) == 0 || len(other) == 0 {
		return slices.Clone(list)
	}
	others := setOf(other)
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return others[s] })
}

func lineName(l string) string { return string(ics.Line(l).Name()) }

// reminderOf is the alarm of a component that Outlook can have, and how many minutes before the start it is; nil where there
// is none: one relative to the start, in whole minutes, not after it, and no snoozed one. Of several it is the one that is
// when the reminder of e is, else the first. e may be nil.
func reminderOf(c *ical.Component, e *graph.Event) (alarm *ical.Component, minutes int) {
	for _, a := range ics.Children(c, ical.CompAlarm) {
		m, ok := reminderMinutes(a)
		if !ok {
			continue
		}
		if e != nil && e.IsReminderOn && m == e.ReminderMinutes {
			return a, m
		}
		if alarm == nil {
			alarm, minutes = a, m
		}
	}
	return alarm, minutes
}

func reminderMinutes(a *ical.Component) (int, bool) {
	p := a.Props.Get(ical.PropTrigger)
	action := strings.ToUpper(propOf(a, ical.PropAction).Value)
	if p == nil || action != "" && action != "DISPLAY" && action != "AUDIO" || a.Props.Get(ical.PropRelatedTo) != nil ||
		strings.EqualFold(p.Params.Get("RELATED"), "END") || strings.EqualFold(p.Params.Get(ical.ParamValue), "DATE-TIME") {
		return 0, false
	}
	d, err := ics.ParseDuration(p.Value)
	before := -(int64(d.Days)*86400 + d.Seconds)
	if err != nil || before < 0 || before%60 != 0 || before/60 > maxReminder {
		return 0, false
	}
	return int(before / 60), true
}

// exceptionAt is the exception that an override is of; nil: there is none yet.
func (s Series) exceptionAt(in *object, override *ical.Component) *graph.Event {
	m, err := in.recurrenceID(override)
	if err != nil {
		return nil
	}
	date, err := occurrenceDate(m, in, in)
	if err != nil {
		return nil
	}
	for _, list := range [][]graph.Event{s.Exceptions, s.Event.ExceptionOccurrences} {
		for i := range list {
			if graph.OccurrenceDate(list[i].OccurrenceID) == date {
				return &list[i]
			}
		}
	}
	return nil
}

// carrier tells which properties that it has no use for a client gives back, by its User-Agent and PRODID. Such a client takes
// away what it leaves out; any other may not know it. Alarms are of every client, but for those that have one only.
func carrier(agent, product string) func(name string) bool {
	who := strings.ToLower(agent + " " + product)
	is := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.Contains(who, n) })
	}
	all := is("thunderbird", "lightning", "mozilla.org", "evolution", "ximian", "akonadi", "korganizer", "k desktop environment", "kde/",
		"davx5", "davdroid", "bitfire", "vdirsyncer", "khal", "python-caldav")
	apple := is("apple inc", "dataaccessd", "calendaragent", "ios/", "macos/", "mac+os+x", "mac_os_x", "mac os x/", "iphone", "ipad")
	one := is("caldavsynchronizer", "caldav synchronizer")
	return func(name string) bool {
		switch {
		case name == ical.CompAlarm:
			return !one
		case all:
			return true
		case apple:
			return strings.HasPrefix(name, "X-APPLE-") || name == "ACKNOWLEDGED" || name == "X-WR-ALARMUID" || name == ical.PropURL
		}
		return false
	}
}
