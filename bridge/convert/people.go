package convert

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

var partStats = map[string]string{
	"accepted": "ACCEPTED", "declined": "DECLINED", "tentativelyaccepted": "TENTATIVE", "organizer": "ACCEPTED",
}

// people writes ORGANIZER and ATTENDEE of a meeting; an appointment has neither. SCHEDULE-AGENT=NONE (RFC 6638 §7.1)
// and RSVP=FALSE tell clients that invitations and answers are Outlook's business. Where clients may answer and invite, the
// server mails for them, which is what RFC 6638 has without a SCHEDULE-AGENT: RSVP=TRUE is at those who are asked for an
// answer, and SCHEDULE-STATUS=1.2 (§3.2.9: sent) at those whom Outlook has invited.
func (c *conversion) people(comp *ical.Component, e graph.Event) {
	organizer := e.Organizer.EmailAddress
	boss := addressKey(organizer)
	self := addressKey(graph.EmailAddress{Address: c.Owner})
	if !isAddress(self) || e.IsOrganizer {
		self = ""
	}
	answer := partStats[strings.ToLower(e.ResponseStatus.Response)]

	attendees := e.Attendees
	if self != "" && self != boss && answer != "" {
		// Whoever was invited by way of a group, or to a meeting with hidden attendees, is not on the list.
		listed := false
		for _, a := range attendees {
			listed = listed || addressKey(a.EmailAddress) == self
		}
		if !listed {
			attendees = append(attendees[:len(attendees):len(attendees)],
				graph.Attendee{Type: "required", EmailAddress: graph.EmailAddress{Address: c.Owner}})
		}
	}
	if len(attendees) == 0 {
		return
	}
	if boss != "" {
		p := c.person(ical.PropOrganizer, organizer, "organizer")
		if !c.Scheduling {
			p.Params.Set("SCHEDULE-AGENT", "NONE")
		}
		comp.Props.Add(p)
	}

	rooms := map[string]bool{}
	for _, l := range append([]graph.Location{e.Location}, e.Locations...) {
		// Which of the three has the address depends on the client that the room was chosen in.
		for _, s := range []string{l.LocationEmailAddress, l.LocationURI, l.UniqueID} {
			if key := addressKey(graph.EmailAddress{Address: s}); strings.EqualFold(l.LocationType, "conferenceRoom") && isAddress(key) {
				rooms[key] = true
			}
		}
	}
	seen := map[string]bool{}
	for _, a := range attendees {
		key := addressKey(a.EmailAddress)
		if key == "" || seen[key] {
			continue
		}
		seen[key] = true
		if e.HideAttendees && !e.IsOrganizer && key != self && key != boss && self != "" {
			continue
		}
		p := c.person(ical.PropAttendee, a.EmailAddress, "attendees")
		cutype, role := "INDIVIDUAL", "REQ-PARTICIPANT"
		switch strings.ToLower(a.Type) {
		case "optional":
			role = "OPT-PARTICIPANT"
		case "resource":
			cutype, role = "RESOURCE", "NON-PARTICIPANT"
		}
		if rooms[key] {
			cutype, role = "ROOM", "NON-PARTICIPANT"
		}
		stat := partStats[strings.ToLower(a.Status.Response)]
		switch {
		case key == boss: // an invitee's copy lists the organizer as one who has not answered
			role, stat = "CHAIR", "ACCEPTED"
			p.Value = comp.Props.Get(ical.PropOrganizer).Value // in the same spelling
		case key == self && answer != "":
			stat = answer
		case stat == "":
			stat = "NEEDS-ACTION"
		}
		p.Params.Set("CUTYPE", cutype)
		p.Params.Set("ROLE", role)
		p.Params.Set("PARTSTAT", stat)
		rsvp := "FALSE"
		if c.Scheduling && stat == "NEEDS-ACTION" && !e.IsCancelled && !deniesReply(e) {
			rsvp = "TRUE"
		}
		p.Params.Set("RSVP", rsvp)
		if c.Scheduling && e.IsOrganizer && key != boss && isAddress(cleanAddress(a.EmailAddress.Address)) {
			p.Params.Set("SCHEDULE-STATUS", "1.2")
		}
		comp.Props.Add(p)
	}
}

// person is a property with a cal-address. Where Graph has no e-mail address (a contact, an X.500 name), it is one
// below .invalid, which every client reads and no mail reaches.
func (c *conversion) person(name string, a graph.EmailAddress, field string) *ical.Prop {
	p := ical.NewProp(name)
	address, label := cleanAddress(a.Address), strings.Join(strings.Fields(a.Name), " ")
	if isAddress(address) {
		p.Value = CalAddress(address)
	} else {
		sum := sha256.Sum256([]byte(addressKey(a)))
		p.Value = "mailto:" + hex.EncodeToString(sum[:8]) + "@no-address.invalid"
		c.note(field, "A person has no e-mail address that can be carried over; only the name is.")
		if label == "" {
			label = address
		}
	}
	if label, _ = capText(label, 255); !ics.Blank(label) && !strings.EqualFold(label, address) {
		p.Params.Set(ical.ParamCommonName, label)
	}
	return p
}

// CalAddress is the cal-address (RFC 5545 §3.3.3) that an e-mail address has in an object.
func CalAddress(address string) string { return "mailto:" + escapeAddress(cleanAddress(address)) }

// cleanAddress is an address without the scheme that some mailboxes put before it.
func cleanAddress(s string) string {
	s = strings.TrimSpace(s)
	for _, scheme := range []string{"mailto:", "smtp:"} {
		if len(s) > len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
			s = s[len(scheme):]
		}
	}
	return s
}

// addressKey tells people apart: the address, without one the name; "" for nobody.
func addressKey(a graph.EmailAddress) string {
	if s := cleanAddress(a.Address); s != "" {
		return strings.ToLower(s)
	}
	return strings.TrimSpace(a.Name)
}

// isAddress is whether s can be the addr-spec of a mailto URI (RFC 6068).
func isAddress(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || domain == "" || len(s) > 320 || strings.Contains(domain, "@") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(`"<>()[]\,;:`, r) || r == unicode.ReplacementChar
	})
}

// escapeAddress percent-encodes what a mailto URI gives a meaning of its own.
func escapeAddress(s string) string {
	return strings.NewReplacer("%", "%25", "?", "%3F", "#", "%23", "&", "%26", "/", "%2F", "`", "%60", "{", "%7B", "|", "%7C",
		"}", "%7D", "^", "%5E").Replace(s)
}
