package convert

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

const (
	maxSummary     = 4 << 10   // octets; Outlook itself allows 255 characters
	maxLocation    = 4 << 10   // octets
	maxDescription = 32 << 10  // octets; bodies come with megabytes of HTML
	maxHTML        = 128 << 10 // octets
	maxCategories  = 100
	maxReminder    = 5 * 366 * 24 * 60 // minutes; Outlook refuses more than about five years
)

// fields is the VEVENT of e without its times.
func (c *conversion) fields(e graph.Event) *ical.Component {
	comp := ical.NewComponent(ical.CompEvent)
	add(comp, ical.PropUID, ics.EscapeText(c.uid))
	c.stamps(comp, e)
	body := readBody(e)
	if body.dropped {
		c.note("body", "A link leads to what only Outlook or the page itself can open; its text is carried over, its address is not.")
	}
	link, place := meetingLink(e, body)
	if link.url != "" {
		c.say("Meeting", link.name, ", by the link in ", place)
	}
	c.texts(comp, e, body, link)
	c.links(comp, e, link)
	c.place(comp, e)
	c.states(comp, e)
	c.people(comp, e)
	c.alarm(comp, e)
	return comp
}

// stamps writes the times of change. Graph keeps no SEQUENCE.
func (c *conversion) stamps(comp *ical.Component, e graph.Event) {
	created, _, okCreated := parseCivil(e.Created)
	modified, _, ok := parseCivil(e.LastModified)
	if !ok || unset(modified) {
		modified, ok = created, okCreated
	}
	if c.Modified.After(modified) {
		modified, ok = c.Modified.UTC().Truncate(time.Second), true
	}
	if okCreated && !unset(created) {
		add(comp, ical.PropCreated, created.Format(ics.UTCForm))
	}
	if ok && !unset(modified) {
		add(comp, ical.PropLastModified, modified.Format(ics.UTCForm))
	} else {
		modified = date(1970, 1, 1)
	}
	add(comp, ical.PropDateTimeStamp, modified.Format(ics.UTCForm))
	add(comp, ical.PropSequence, strconv.Itoa(max(c.Sequence, 0)))
}

// texts writes SUMMARY, DESCRIPTION, CATEGORIES and COLOR.
func (c *conversion) texts(comp *ical.Component, e graph.Event, body body, link meeting) {
	summary, cut := capText(strings.Join(strings.FieldsFunc(e.Subject, ics.IsBreak), " "), maxSummary)
	if cut {
		c.note("subject", "The subject is cut: it is longer than 4 KiB.")
	}
	addText(comp, ical.PropSummary, summary)

	text := body.text
	if line := link.lineFor(text); line != "" {
		text = strings.TrimRight(line+"\n\n"+text, "\n")
	}
	if text, cut = capText(text, maxDescription-len(cutNote)); cut || body.cut {
		c.note("body", "The description is cut: it is longer than 32 KiB.")
		text += cutNote
	}
	addText(comp, ical.PropDescription, text)
	if c.HTML && isHTML(e.Body) {
		if len(e.Body.Content) > maxHTML {
			c.note("body", "The HTML of the body is left out, only its text is carried over: it is longer than 128 KiB.")
		} else {
			// What Outlook and CalDav Synchronizer read; RFC 7986 has nothing for it but a data: URI in ALTREP.
			addText(comp, "X-ALT-DESC", e.Body.Content, "FMTTYPE", "text/html")
		}
	}
	c.categories(comp, e)
}

// categories writes CATEGORIES, and COLOR by the first one that has a colour.
func (c *conversion) categories(comp *ical.Component, e graph.Event) {
	var names []string
	for i, name := range e.Categories {
		if i == maxCategories {
			c.note("categories", fmt.Sprintf("Only the first %d categories are carried over.", maxCategories))
			break
		}
		if name, _ = capText(strings.TrimSpace(name), 255); !ics.Blank(name) {
			names = append(names, ics.EscapeText(name))
		}
	}
	if len(names) > 0 {
		add(comp, ical.PropCategories, strings.Join(names, ","))
	}
	if len(c.Colors) == 0 {
		return
	}
	for _, name := range e.Categories {
		if css, _, ok := CSSColor(c.Colors[strings.TrimSpace(name)]); ok {
			add(comp, ical.PropColor, css)
			c.say("Colour", css, ", that of the category ", quoted(name))
			return
		}
	}
}

const cutNote = "\n[…]\nThe rest is in Outlook."

// capText is the beginning of s that has at most n octets, cut between characters.
func capText(s string, n int) (string, bool) {
	if len(s) <= n {
		return s, false
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n], true
}

// links writes URL and CONFERENCE: clients look for a meeting's link in URL and DESCRIPTION, none in CONFERENCE alone.
func (c *conversion) links(comp *ical.Component, e graph.Event, link meeting) {
	if link.url != "" {
		add(comp, ical.PropURL, link.url)
		add(comp, "CONFERENCE", link.url, ical.ParamValue, "URI", "FEATURE", "VIDEO", "LABEL", link.name)
	} else if url, ok := cleanURL(e.WebLink); ok {
		add(comp, ical.PropURL, url)
	}
	known, isKnown := c.Attachments[e.ID]
	for _, f := range known.Files {
		attachFile(comp, f)
	}
	if isKnown && known.Others == 0 || !isKnown && !e.HasAttachments {
		return
	}
	if isKnown && len(known.Files) > 0 {
		c.note("hasAttachments", "Attached messages, events and links to files in the cloud are not carried over; they are in Outlook.")
		return
	}
	// Graph gives what is attached only one by one and only to the bridge, so the link is to the event in Outlook.
	if url, ok := cleanURL(e.WebLink); ok {
		add(comp, ical.PropAttach, url)
		c.note("hasAttachments", "What is attached is not carried over; the link leads to the event in Outlook.")
	} else {
		c.note("hasAttachments", "What is attached is not carried over; it is in Outlook.")
	}
}

// place writes LOCATION and GEO: the name with its street address where there is one, and the coordinates of what it names.
func (c *conversion) place(comp *ical.Component, e graph.Event) {
	named := placesOf(e)
	var texts []string
	for _, p := range named {
		text := p.name
		if more := p.besideName(); more != "" && len(text)+len(more) <= maxLocation/len(named)-len(", ; ") {
			text += ", " + more
		}
		texts = append(texts, text)
	}
	locations := append([]graph.Location{e.Location}, e.Locations...)
	whole := strings.Join(texts, "; ")
	for _, l := range locations {
		if !containsFold(whole, strings.TrimSpace(l.Address.Street)) {
			c.note("location", "The street address of the location is not carried over, only its name.")
			break
		}
	}
	if text, cut := capText(whole, maxLocation); text != "" {
		if cut {
			c.note("location", "The location is cut: it is longer than 4 KiB.")
		}
		addText(comp, ical.PropLocation, text)
	}
	var geo []string
	for _, l := range locations {
		if g := geoText(l.Coordinates); g != "" && !slices.Contains(geo, g) {
			geo = append(geo, g)
		}
	}
	switch {
	case len(geo) == 0:
	case len(named) == 1 && named[0].geo != "":
		add(comp, ical.PropGeo, named[0].geo)
	case len(named) == 0 && len(geo) == 1:
		add(comp, ical.PropGeo, geo[0]) // of a place without a name
	default:
		c.note("location", "Coordinates are not carried over, since they are not those of the one place that the location names.")
	}
}

// placed is a place that LOCATION names.
type placed struct {
	name    string
	address graph.PhysicalAddress
	geo     string
}

// placesOf are the places that LOCATION names: the location, which may join the names of several, or else the locations; a
// place without a name by its address, and at last the location by its URI.
func placesOf(e graph.Event) []placed {
	var list []placed
	for _, l := range e.Locations {
		if name := strings.TrimSpace(l.DisplayName); name != "" {
			list = append(list, placed{name, l.Address, geoText(l.Coordinates)})
		}
	}
	if name := strings.TrimSpace(e.Location.DisplayName); name != "" {
		var names []string
		for _, p := range list {
			names = append(names, p.name)
		}
		if len(list) > 1 && strings.Join(names, "; ") == name {
			return list
		}
		out := placed{name, e.Location.Address, geoText(e.Location.Coordinates)}
		for _, p := range list {
			// Graph says the same place twice, and not always as much of it.
			if strings.EqualFold(p.name, name) {
				if strings.TrimSpace(out.address.Street) == "" {
					out.address = p.address
				}
				out.geo = cmp.Or(out.geo, p.geo)
			}
		}
		return []placed{out}
	}
	if len(list) > 0 {
		return list
	}
	for _, l := range append([]graph.Location{e.Location}, e.Locations...) {
		if text := addressText(l.Address); text != "" {
			return []placed{{text, graph.PhysicalAddress{}, geoText(l.Coordinates)}}
		}
	}
	if uri := strings.TrimSpace(e.Location.LocationURI); uri != "" {
		return []placed{{uri, graph.PhysicalAddress{}, geoText(e.Location.Coordinates)}}
	}
	return nil
}

// besideName is what of the address belongs beside the name: all of it that the name does not say, if there is a street.
func (p placed) besideName() string {
	street := strings.TrimSpace(p.address.Street)
	if street == "" || containsFold(p.name, street) {
		return ""
	}
	a := p.address
	for _, s := range []*string{&a.City, &a.State, &a.CountryOrRegion, &a.PostalCode} {
		if containsFold(p.name, strings.TrimSpace(*s)) {
			*s = ""
		}
	}
	return addressText(a)
}

func containsFold(s, part string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(part))
}

// geoText is the GEO of coordinates, "" for none: incomplete or impossible ones, and 0;0, which clients write for "unknown".
func geoText(c graph.Coordinates) string {
	if c.Latitude == nil || c.Longitude == nil || !(math.Abs(*c.Latitude) <= 90 && math.Abs(*c.Longitude) <= 180) {
		return ""
	}
	if g := degrees(*c.Latitude) + ";" + degrees(*c.Longitude); g != "0;0" {
		return g
	}
	return ""
}

// degrees is an angle with six decimals, about a decimetre, as RFC 5545 §3.8.1.6 suggests.
func degrees(f float64) string {
	s := strings.TrimRight(strconv.FormatFloat(f, 'f', 6, 64), "0")
	s = strings.TrimSuffix(s, ".")
	if s == "-0" {
		return "0"
	}
	return s
}

func addressText(a graph.PhysicalAddress) string {
	var parts []string
	for _, s := range []string{a.Street, strings.TrimSpace(a.PostalCode + " " + a.City), a.State, a.CountryOrRegion} {
		if s = strings.TrimSpace(s); s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ", ")
}

// states writes what the event is in the eyes of others.
func (c *conversion) states(comp *ical.Component, e graph.Event) {
	showAs := strings.ToLower(e.ShowAs)
	status := "CONFIRMED"
	switch {
	case e.IsCancelled:
		status = "CANCELLED"
	case showAs == "tentative":
		status = "TENTATIVE"
	}
	add(comp, ical.PropStatus, status)
	if e.IsCancelled {
		c.say("Status", "cancelled, for isCancelled is true: the organizer cancelled it and it is still in the calendar")
	}

	transp := "OPAQUE"
	if showAs == "free" || showAs == "workingelsewhere" {
		transp = "TRANSPARENT"
	}
	add(comp, ical.PropTransparency, transp)
	busy, ok := map[string]string{"free": "FREE", "tentative": "TENTATIVE", "busy": "BUSY", "oof": "OOF",
		"workingelsewhere": "WORKINGELSEWHERE", "unknown": "BUSY", "": "BUSY"}[showAs]
	if !ok {
		busy = "BUSY"
		c.note("showAs", fmt.Sprintf("The status %q is shown as busy.", clip(e.ShowAs)))
	}
	add(comp, "X-MICROSOFT-CDO-BUSYSTATUS", busy)
	if e.IsAllDay {
		add(comp, "X-MICROSOFT-CDO-ALLDAYEVENT", "TRUE")
	}

	switch s := strings.ToLower(e.Sensitivity); s {
	case "", "normal":
		add(comp, ical.PropClass, "PUBLIC")
	case "confidential":
		add(comp, ical.PropClass, "CONFIDENTIAL")
	default:
		add(comp, ical.PropClass, "PRIVATE")
		if s != "private" {
			c.note("sensitivity", fmt.Sprintf("The sensitivity %q is shown as private.", clip(e.Sensitivity)))
		}
	}
	if p, ok := map[string]string{"low": "9", "normal": "5", "high": "1"}[strings.ToLower(e.Importance)]; ok {
		add(comp, ical.PropPriority, p)
	}
}

// alarm writes the reminder, which for an all-day event counts from its local midnight. Nobody is reminded of what is
// cancelled.
func (c *conversion) alarm(comp *ical.Component, e graph.Event) {
	if e.IsCancelled {
		c.say("Reminder", "none, for isCancelled is true")
		return
	}
	if !e.IsReminderOn {
		c.say("Reminder", "none, for isReminderOn is not true")
		return
	}
	m := e.ReminderMinutes
	if m > maxReminder || m < -maxReminder {
		m = min(max(m, -maxReminder), maxReminder)
		c.note("reminderMinutesBeforeStart", "The reminder is more than five years off; it is set to five years.")
	}
	text, _ := capText(strings.Join(strings.FieldsFunc(e.Subject, ics.IsBreak), " "), 255)
	if ics.Blank(text) {
		text = "Reminder"
	}
	a := ical.NewComponent(ical.CompAlarm)
	add(a, ical.PropAction, "DISPLAY")
	addText(a, ical.PropDescription, text)
	add(a, ical.PropTrigger, trigger(m))
	if c.explaining() {
		from := "the start"
		if e.IsAllDay {
			from = "midnight of the first day, wherever the reader is"
		}
		c.say("Reminder", fmt.Sprintf("%d minutes before %s", m, from))
	}
	comp.Children = append(comp.Children, a)
}

// trigger is a DURATION of minutes before the start.
func trigger(before int) string {
	if before > 0 {
		return "-" + durationText(time.Duration(before)*time.Minute)
	}
	return durationText(time.Duration(-before) * time.Minute)
}

// durationText is a DURATION (RFC 5545 §3.3.6) that is not negative. Days are left out of it, for one may have 23 hours.
func durationText(d time.Duration) string {
	s := "PT"
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{time.Hour, "H"}, {time.Minute, "M"}, {time.Second, "S"}} {
		if n := d / unit.length; n > 0 || s == "PT" && unit.length == time.Second {
			s += strconv.FormatInt(int64(n), 10) + unit.name
			d %= unit.length
		}
	}
	return s
}
