package convert

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// fields is the body of a create or an update of Graph: property names and JSON values.
type fields map[string]any

func (f fields) json() json.RawMessage {
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // strings, numbers and what is made of them
	}
	return b
}

// quiet are the properties that are the mailbox's own: a change of them is not told to others.
var quiet = map[string]bool{"isReminderOn": true, "reminderMinutesBeforeStart": true, "categories": true, "showAs": true, "sensitivity": true}

// visible is whether anything of an update is shown to others, but for who they are.
func (f fields) visible() bool {
	for name := range f {
		if !quiet[name] && name != "attendees" {
			return true
		}
	}
	return false
}

// calls are the bodies of the calls that make an update. There is one; but where others see nothing of it than who is
// invited, what is one's own goes by itself, since beside anything else the list of people is sent to all of them.
func (f fields) calls() []fields {
	if f["attendees"] == nil || f.visible() || len(f) == 1 {
		return []fields{f}
	}
	own := maps.Clone(f)
	delete(own, "attendees")
	return []fields{own, {"attendees": f["attendees"]}}
}

// change is one component of an object in its three states. Each is never nil: an occurrence that is not changed has the
// component of its master.
type change struct {
	base, now, want *ical.Component
	event           graph.Event // now, as Graph says it
	fresh           bool        // the client has not had it before: what it does not say, it has not taken away
}

// edited is what the client has made of a property, if it has changed it and it is not so already. read gives the value in a
// form in which two that mean the same are equal.
func edited[T any](c change, read func(*ical.Component) T, same func(a, b T) bool) (T, bool) {
	want := read(c.want)
	return want, !same(want, read(c.base)) && !same(want, read(c.now))
}

func equal[T comparable](a, b T) bool { return a == b }

// maxSubject is how many characters (UTF-16) Outlook keeps of a subject.
const maxSubject = 255

func subjectOf(c *ical.Component) string {
	return strings.Join(strings.FieldsFunc(strings.TrimSpace(textOf(c, ical.PropSummary)), ics.IsBreak), " ")
}

func locationOf(c *ical.Component) string {
	return strings.TrimSpace(strings.Join(strings.FieldsFunc(textOf(c, ical.PropLocation), ics.IsBreak), " "))
}

// subject and place are owned by the organizer.
func (d *differ) subject(c change, f fields) error {
	s, ok := edited(c, subjectOf, equal)
	if !ok {
		return nil
	}
	if len(utf16.Encode([]rune(s))) > maxSubject {
		return refuse(RefusedData, "The title is longer than %d characters, and Outlook keeps no more; shorten it.", maxSubject)
	}
	f["subject"] = s
	return nil
}

// place writes LOCATION and GEO, which are one property of Graph's, and whole. Another name is another place: the coordinates of the one
// before go with it, unless the client says others.
func (d *differ) place(c change, f fields) {
	name, renamed := edited(c, locationOf, equal)
	at, moved := edited(c, geoOf, equal)
	moved = moved && (at != "" || d.meansAbsence(c))
	switch {
	case renamed:
		location := map[string]any{"displayName": name}
		if at != "" && at != geoOf(c.base) {
			location["coordinates"] = coordinates(at)
		}
		f["location"] = location
	case moved && len(c.event.Locations) > 1:
		d.note("location", "Coordinates of an event with several places are not carried over.")
	case moved:
		var e struct {
			Location map[string]any `json:"location"`
		}
		_ = json.Unmarshal(eventJSON(c.event), &e) // of a new event there is none
		location := map[string]any{"displayName": locationOf(c.want)}
		for key, value := range e.Location {
			if !strings.HasPrefix(key, "@") {
				location[key] = value
			}
		}
		location["coordinates"] = coordinates(at)
		f["location"] = location
	}
}

// readGeo reads a GEO, whose parts some programs set off by a comma. ok is false where it is none; "" is one that says nothing.
func readGeo(text string) (geo string, ok bool) {
	text = strings.TrimSpace(text)
	if strings.Trim(text, ";, ") == "" {
		return "", true
	}
	north, east, ok := strings.Cut(strings.Replace(text, ",", ";", 1), ";")
	latitude, err1 := strconv.ParseFloat(strings.TrimSpace(north), 64)
	longitude, err2 := strconv.ParseFloat(strings.TrimSpace(east), 64)
	if !ok || err1 != nil || err2 != nil || !(math.Abs(latitude) <= 90 && math.Abs(longitude) <= 180) {
		return "", false
	}
	return geoText(graph.Coordinates{Latitude: &latitude, Longitude: &longitude}), true
}

// geoOf is the GEO of a component as it is served, "" for none.
func geoOf(c *ical.Component) string {
	geo, _ := readGeo(propOf(c, ical.PropGeo).Value)
	return geo
}

// coordinates are those of a GEO as it is served.
func coordinates(geo string) map[string]any {
	north, east, ok := strings.Cut(geo, ";")
	if !ok {
		return map[string]any{}
	}
	return map[string]any{"latitude": json.Number(north), "longitude": json.Number(east)}
}

// categoriesOf are the categories of a component, each once, in order.
func categoriesOf(c *ical.Component) (list []string) {
	seen := map[string]bool{}
	for i := range c.Props[ical.PropCategories] {
		for _, name := range splitText(c.Props[ical.PropCategories][i].Value) {
			if name = strings.TrimSpace(name); !ics.Blank(name) && !seen[name] {
				seen[name] = true
				list = append(list, name)
			}
		}
	}
	return list
}

// setOf is a list as a set.
func setOf(list []string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, s := range list {
		set[s] = true
	}
	return set
}

// splitText takes a list of TEXT values apart.
func splitText(s string) (list []string) {
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case ',':
			list = append(list, ics.UnescapeText(s[start:i]))
			start = i + 1
		}
	}
	return append(list, ics.UnescapeText(s[start:]))
}

// categories adds and removes what the client has; the others of the event stay, in their order.
func (d *differ) categories(c change, f fields) {
	base, want := categoriesOf(c.base), categoriesOf(c.want)
	if len(want) == 0 && !d.meansAbsence(c) {
		return
	}
	var list []string
	had, wanted, has := setOf(base), setOf(want), map[string]bool{}
	for _, name := range c.event.Categories {
		if trimmed := strings.TrimSpace(name); wanted[trimmed] || !had[trimmed] {
			has[trimmed] = true
			list = append(list, name)
		}
	}
	changed := len(list) != len(c.event.Categories)
	for _, name := range want {
		if !had[name] && !has[name] {
			list = append(list, name)
			changed = true
		}
	}
	if changed {
		f["categories"] = append([]string{}, list...)
	}
}

// keepers are programs that give back all properties of an event, so that one which is missing was taken away.
var keepers = []string{"thunderbird/", "lightning/", "davx5/", "davdroid/", "evolution/", "kde", "akonadi", "kio/", "caldavsynchronizer/", "vdirsyncer/"}

func keeps(client string) bool {
	client = strings.ToLower(client)
	return slices.ContainsFunc(keepers, func(name string) bool { return strings.Contains(client, name) })
}

// meansAbsence is whether a property that the client leaves out is one that it has taken away, of those that some clients
// do not know.
func (d *differ) meansAbsence(c change) bool { return !c.fresh && keeps(d.Client) }

// classOf is the sensitivity that a CLASS stands for, "" for none.
func classOf(c *ical.Component) string {
	switch s := wordOf(c, ical.PropClass); s {
	case "":
		return ""
	case "PUBLIC":
		return "normal"
	case "CONFIDENTIAL":
		return "confidential"
	default: // what is not known is to be treated as private (RFC 5545 §3.8.1.3)
		return "private"
	}
}

// importanceOf is the importance that a PRIORITY stands for (RFC 5545 §3.8.1.9), "" for none.
func importanceOf(c *ical.Component) string {
	n, err := strconv.Atoi(wordOf(c, ical.PropPriority))
	switch {
	case err != nil || n <= 0 || n > 9:
		return ""
	case n < 5:
		return "high"
	case n == 5:
		return "normal"
	}
	return "low"
}

// ranked is a property whose absence is its default.
func (d *differ) ranked(c change, f fields, name string, read func(*ical.Component) string) {
	want := read(c.want)
	if want == "" && !d.meansAbsence(c) {
		return
	}
	orNormal := func(c *ical.Component) string {
		if s := read(c); s != "" {
			return s
		}
		return "normal"
	}
	if want, ok := edited(c, orNormal, equal); ok {
		f[name] = want
	}
}

// Values of showAs by those of X-MICROSOFT-CDO-BUSYSTATUS.
var busyStates = map[string]string{"FREE": "free", "TENTATIVE": "tentative", "BUSY": "busy", "OOF": "oof", "WORKINGELSEWHERE": "workingElsewhere"}

func busyOf(c *ical.Component) string { return busyStates[wordOf(c, "X-MICROSOFT-CDO-BUSYSTATUS")] }

func transparent(c *ical.Component) bool { return wordOf(c, ical.PropTransparency) == "TRANSPARENT" }

// showsFree is whether TRANSP says a value of showAs as transparent.
func showsFree(showAs string) bool { return showAs == "free" || showAs == "workingElsewhere" }

// showAs follows what the client has changed of TRANSP, X-MICROSOFT-CDO-BUSYSTATUS and, in an event of one's own, STATUS: what
// it has not leaves a value as it is that only Outlook knows. Of an invitation the answer decides whether it is tentative:
// clients keep a STATUS and a busy status from before they answered, and one that did not have the event knows nothing of it.
func (d *differ) showAs(c change, f fields, invited, answered bool) {
	is := strings.ToLower(c.event.ShowAs)
	if is == "" || is == "unknown" {
		is = "busy"
	}
	want := ""
	if busy, ok := edited(c, busyOf, equal); ok && d.means(c, busy) {
		want = busy
	}
	flipped := transparent(c.want) != transparent(c.base)
	if flipped && want == "" {
		want = "busy"
		if transparent(c.want) {
			want = "free"
		}
	}
	if invited {
		if c.fresh || !flipped && (answered || is == "tentative" && want == "busy") {
			return
		}
	} else if status, ok := edited(c, func(c *ical.Component) string { return wordOf(c, ical.PropStatus) }, equal); ok {
		switch {
		case status == "TENTATIVE" && (want == "" && !transparent(c.want) || want == "busy"):
			want = "tentative"
		case status == "CONFIRMED" && want == "" && is == "tentative":
			want = "busy"
		}
	}
	if want != "" && strings.ToLower(want) != is {
		f["showAs"] = want
	}
}

// means is whether a busy status is what the client wants. Most programs carry it along and change TRANSP and STATUS, so one that
// says another thing than these is old.
func (d *differ) means(c change, busy string) bool {
	tentative := wordOf(c.want, ical.PropStatus) == "TENTATIVE"
	switch {
	case busy == "" || showsFree(busy) != transparent(c.want):
		return false
	case busy == "busy" && tentative:
		return false
	}
	return busy != "tentative" || tentative || d.Base != nil
}

// reminder is the alarm that Outlook has of an event.
type reminder struct {
	on      bool
	minutes int // before the start
}

// remind compares the alarms.
func (d *differ) remind(c change, f fields) {
	want, ok := edited(c, func(comp *ical.Component) reminder {
		alarm, minutes := reminderOf(comp, &c.event)
		if alarm == nil {
			return reminder{}
		}
		return reminder{true, minutes}
	}, equal)
	if !ok || c.fresh && !want.on {
		return
	}
	if want.on != c.event.IsReminderOn {
		f["isReminderOn"] = want.on
	}
	if want.on && (want.minutes != c.event.ReminderMinutes || f["isReminderOn"] != nil) {
		f["reminderMinutesBeforeStart"] = want.minutes
	}
}

// mine are the fields that are the mailbox's alone, which an invitee may change too.
func (d *differ) mine(c change, f fields, invited, answered bool) {
	d.categories(c, f)
	d.ranked(c, f, "sensitivity", classOf)
	d.showAs(c, f, invited, answered)
	d.remind(c, f)
}

// shared are the fields that the organizer decides, without times and people.
func (d *differ) shared(c change, f fields) error {
	if err := d.subject(c, f); err != nil {
		return err
	}
	d.place(c, f)
	d.ranked(c, f, "importance", importanceOf)
	return d.body(c, f)
}
