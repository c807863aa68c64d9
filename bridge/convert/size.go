package convert

import (
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-ical"

	"outbridge/caldav/ics"
)

// maxObject is how many octets the events of an object may have: with their time zones less than the 1 MiB up to which a server
// reads objects again, to expand and to filter them.
const maxObject = 1<<20 - 64<<10

// Nothing is cut further than this for the size of the whole.
const minDescription, minAttendees = 256, 2

// shrink cuts what takes the most room, in all components alike, until the object is not too large: the HTML, then descriptions and
// lists of attendees. Each occurrence that was modified is the whole event once more, so a series with many of them may
// be larger than all that Graph says of it. What is too large then, by its times alone, stays so.
func (c *conversion) shrink() {
	if totalSize(c.components) <= maxObject {
		return
	}
	c.components = slices.Clone(c.components)
	html := false
	for i, comp := range c.components {
		c.components[i] = clone(comp)
		html = html || comp.Props.Get("X-ALT-DESC") != nil
		c.components[i].Props.Del("X-ALT-DESC")
	}
	if html {
		c.note("body", "The HTML of the body is left out, only its text is carried over: the event would be larger than 1 MiB.")
	}
	description, attendees, most := maxDescription, 0, 0
	for _, comp := range c.components {
		most = max(most, len(comp.Props[ical.PropAttendee]))
	}
	attendees = most
	for totalSize(c.components) > maxObject {
		text, people := 0, 0
		for _, comp := range c.components {
			text += propsSize(comp.Props[ical.PropDescription])
			people += propsSize(comp.Props[ical.PropAttendee])
		}
		switch {
		case description > minDescription && (text >= people || attendees <= minAttendees):
			description /= 2
		case attendees > minAttendees:
			attendees = max(attendees*3/4, minAttendees)
		default:
			return
		}
		for _, comp := range c.components {
			cutDescription(comp, description)
			c.cutAttendees(comp, attendees)
		}
	}
	if description < maxDescription {
		c.note("body", fmt.Sprintf("The description is cut after %d characters: the event would be larger than 1 MiB.", description))
	}
	if attendees < most {
		c.note("attendees", fmt.Sprintf("Only %d of the %d attendees are carried over: the event would be larger than 1 MiB.", attendees, most))
	}
}

func cutDescription(comp *ical.Component, n int) {
	p := comp.Props.Get(ical.PropDescription)
	if p == nil || len(p.Value) <= n {
		return
	}
	text, err := p.Text()
	if err != nil {
		return
	}
	text, _ = capText(strings.TrimSuffix(text, cutNote), max(n-2*len(cutNote), 0))
	comp.Props.Del(ical.PropDescription)
	add(comp, ical.PropDescription, ics.EscapeText(text+cutNote))
}

// cutAttendees leaves the first n attendees, among them the organizer and the owner of the mailbox.
func (c *conversion) cutAttendees(comp *ical.Component, n int) {
	all := comp.Props[ical.PropAttendee]
	if len(all) <= n {
		return
	}
	self := CalAddress(c.Owner)
	first := func(p ical.Prop) bool {
		return p.Params.Get("ROLE") == "CHAIR" || c.Owner != "" && strings.EqualFold(p.Value, self)
	}
	others := n
	for _, p := range all {
		if first(p) {
			others--
		}
	}
	var kept []ical.Prop
	for _, p := range all {
		if first(p) {
			kept = append(kept, p)
		} else if others > 0 {
			kept = append(kept, p)
			others--
		}
	}
	comp.Props[ical.PropAttendee] = kept
}

func totalSize(list []*ical.Component) (n int) {
	for _, comp := range list {
		n += sizeOf(comp)
	}
	return n
}

// sizeOf is how many octets a component takes at most, folds included, as ics.Encode writes it.
func sizeOf(c *ical.Component) int {
	n := 2*len(c.Name) + len("BEGIN:\r\nEND:\r\n")
	for _, props := range c.Props {
		n += propsSize(props)
	}
	return n + totalSize(c.Children)
}

func propsSize(props []ical.Prop) (n int) {
	for _, p := range props {
		line := len(p.Name) + len(p.Value) + len(":\r\n")
		for name, values := range p.Params {
			line += len(name) + len(";=")
			for _, v := range values {
				line += len(v) + len(`"",`)
			}
		}
		n += line + line/70*len("\r\n ") // a character is not split, so a line may have fewer octets than 75
	}
	return n
}
