package convert

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/caldav/ics"
)

// Overlay is what clients have set of an object that Outlook has no place for: properties of their own, acknowledgements of
// alarms, further alarms. It is kept beside the event and given back to clients.
type Overlay struct {
	// Parts are by the component that they belong to: "" the single event or the master, else the instant of its RECURRENCE-ID
	// in UTC (20060102T150405Z), or its date (20060102).
	Parts map[string]OverlayPart `json:"parts,omitempty"`
}

// OverlayPart is the overlay of one component.
type OverlayPart struct {
	Lines    []string `json:"lines,omitempty"`    // content lines of further properties, unfolded, without line ends
	Reminder []string `json:"reminder,omitempty"` // and of the alarm that Outlook has, such as ACKNOWLEDGED
	Alarms   []string `json:"alarms,omitempty"`   // further VALARMs, as their content lines joined by \n
}

func (p OverlayPart) empty() bool { return len(p.Lines)+len(p.Reminder)+len(p.Alarms) == 0 }

// partKey is the key of a component among the parts of an overlay. ok is false where its RECURRENCE-ID cannot be read.
func partKey(r *ics.Reader, cal *ical.Calendar, c *ical.Component) (key string, ok bool) {
	p := c.Props.Get(ical.PropRecurrenceID)
	if p == nil {
		return "", true
	}
	m, err := r.Moment(cal, p)
	if err != nil {
		return "", false
	}
	if m.Date {
		return m.Wall.Format(ics.DateForm), true
	}
	return r.Instant(m).UTC().Format(ics.UTCForm), true
}

// applyOverlay puts the overlay into the components that clients get, each part into its own: what is set of a master is
// not set of its modified occurrences.
func (c *conversion) applyOverlay() {
	if len(c.Overlay.Parts) == 0 {
		return
	}
	cal := &ical.Calendar{Component: &ical.Component{Name: ical.CompCalendar, Children: c.components}}
	r := &ics.Reader{Resolve: Zone}
	for _, comp := range c.components {
		if key, ok := partKey(r, cal, comp); ok {
			if part, ok := c.Overlay.Parts[key]; ok {
				part.apply(comp)
			}
		}
	}
}

// apply changes nothing that comp shares with another component.
func (p OverlayPart) apply(comp *ical.Component) {
	joins := comp.Props.Get("CONFERENCE") != nil
	for _, prop := range propsOf(p.Lines) {
		have := comp.Props.Values(prop.Name)
		same := slices.ContainsFunc(have, func(h ical.Prop) bool { return h.Value == prop.Value })
		switch {
		case !isForeign(prop.Name) || same:
		case prop.Name == ical.PropURL && !joins:
			comp.Props[prop.Name] = []ical.Prop{prop} // in place of the link to Outlook, but not of the one to a meeting of Outlook's
		case slices.Contains(single, prop.Name) && len(have) > 0:
		case prop.Name == "X-APPLE-STRUCTURED-LOCATION" && !containsFold(oneLine(propOf(comp, ical.PropLocation).Value), oneLine(prop.Params.Get("X-TITLE"))):
			// Outlook has moved the event since.
		default:
			comp.Props[prop.Name] = append(slices.Clip(have), prop)
		}
	}
	if propOf(comp, ical.PropStatus).Value == "CANCELLED" {
		return
	}
	comp.Children = slices.Clone(comp.Children)
	n := slices.IndexFunc(comp.Children, func(c *ical.Component) bool { return c.Name == ical.CompAlarm })
	reminder := ""
	if n >= 0 {
		alarm := clone(comp.Children[n])
		for _, prop := range propsOf(p.Reminder) {
			switch prop.Name {
			case ical.PropTrigger, ical.PropDescription:
				continue
			case ical.PropAction:
				alarm.Props[prop.Name] = nil
				if strings.EqualFold(prop.Value, "AUDIO") {
					delete(alarm.Props, ical.PropDescription) // RFC 5545 §3.6.6
				}
			}
			alarm.Props[prop.Name] = append(slices.Clip(alarm.Props[prop.Name]), prop)
		}
		comp.Children[n] = alarm
		reminder = alarmKey(alarm)
	}
	for _, text := range p.Alarms {
		alarm := &ical.Component{Name: ical.CompAlarm, Props: ical.Props{}}
		for _, prop := range propsOf(strings.Split(text, "\n")) {
			alarm.Props[prop.Name] = append(alarm.Props[prop.Name], prop)
		}
		if len(alarm.Props) > 0 && alarmKey(alarm) != reminder {
			comp.Children = append(comp.Children, alarm)
		}
	}
}

// oneLine is a text without its line breaks.
func oneLine(s string) string { return strings.Join(strings.Fields(ics.UnescapeText(s)), " ") }

// alarmKey tells an alarm from the others of its event.
func alarmKey(a *ical.Component) string {
	t := propOf(a, ical.PropTrigger)
	when := strings.ToUpper(strings.TrimSpace(t.Value))
	if d, err := ics.ParseDuration(when); err == nil {
		when = durationKey(d)
	}
	return strings.ToUpper(propOf(a, ical.PropAction).Value + ";" + t.Params.Get("RELATED") + ";" + when)
}

// durationKey is the same for all ways to write a duration.
func durationKey(d ics.Duration) string {
	return (time.Duration(d.Days)*day + time.Duration(d.Seconds)*time.Second).String()
}

// pinOverlay makes overrides of instances that have an overlay of their own though Outlook has not modified them: an
// alarm of one occurrence that was acknowledged.
func (c *conversion) pinOverlay(m *master, p *plan) {
	wanted := map[time.Time]when{} // by date
	for key, part := range c.Overlay.Parts {
		if key == "" || part.empty() {
			continue
		}
		t, err := ics.ParseMoment(key, nil)
		if err != nil || t.Date != p.when.allDay {
			continue
		}
		if d := dateOf(p.when.clock(t.Wall)); !m.cancelled[d] {
			if one := p.when.on(d); one.start.Equal(t.Wall) {
				wanted[d] = one
			}
		}
	}
	for _, o := range m.overrides {
		delete(wanted, o.original)
	}
	if len(wanted) == 0 {
		return
	}
	hits, _ := p.find(slices.Collect(maps.Keys(wanted)), func(t time.Time) bool { return p.gone[p.when.on(t).civil] })
	pins := map[time.Time]Occurrence{}
	for d, one := range wanted {
		if _, told := p.moved[one.civil]; hits[d] && !told && !p.gone[one.civil] {
			pins[one.civil] = Occurrence{Span{one.start, one.end}, one.allDay}
		}
	}
	if len(pins) > 0 {
		p.pin(pins)
	}
}

// propsOf are the properties of content lines; none if one of them cannot be read.
func propsOf(lines []string) []ical.Prop {
	if len(lines) == 0 {
		return nil
	}
	text := "BEGIN:VCALENDAR\r\n" + strings.Join(lines, "\r\n") + "\r\nEND:VCALENDAR\r\n"
	cal, err := ics.Decode([]byte(text))
	if err != nil {
		return nil
	}
	var out []ical.Prop
	for _, name := range slices.Sorted(maps.Keys(cal.Props)) {
		out = append(out, cal.Props[name]...)
	}
	return out
}

// linesOf are the content lines of the properties of a component, unfolded, without its children.
func linesOf(c *ical.Component) []string {
	b, err := ics.Append(nil, &ical.Component{Name: c.Name, Props: c.Props})
	if err != nil {
		return nil
	}
	var out []string
	for l := range ics.Lines(b) {
		out = append(out, string(l.Text()))
	}
	return out[1 : len(out)-1] // BEGIN and END
}

// single are the properties of those that clients set which an event has once.
var single = []string{ical.PropColor, ical.PropURL}

// isForeign is whether a property is one that Outlook has no place for: none that ToICS writes of what Graph says, none that
// becomes a field of Graph's, none of the bookkeeping of RFC 5545 and 5546, and none that is about one request alone.
func isForeign(name string) bool {
	// The last one is what Thunderbird wants done about this one request.
	for _, prefix := range []string{"X-MICROSOFT-", "X-MS-OLK-", "X-LIC-", "X-MOZ-SEND-INVITATIONS"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	return !ours[name]
}

var ours = func() map[string]bool {
	m := map[string]bool{}
	for _, name := range strings.Fields(`UID RECURRENCE-ID DTSTAMP CREATED LAST-MODIFIED SEQUENCE DTSTART DTEND DURATION RRULE RDATE EXDATE EXRULE
		SUMMARY DESCRIPTION X-ALT-DESC STYLED-DESCRIPTION LOCATION GEO STATUS TRANSP CLASS PRIORITY CATEGORIES ORGANIZER ATTENDEE
		REQUEST-STATUS METHOD PRODID VERSION DUE COMPLETED PERCENT-COMPLETE BEGIN END
		X-MOZ-SEND-INVITATIONS X-MOZ-SEND-INVITATIONS-UNDISCLOSED`) {
		m[name] = true
	}
	return m
}()
