package convert

import (
	"encoding/json"
	"strings"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
)

// role is what the owner of a calendar is to an event in it.
type role int

const (
	owner   role = iota // of an appointment, or who invites to a meeting
	invited             // by somebody else
)

// roleIn is the role in an event that Graph has. isOrganizer is about the owner of the calendar, also in a shared one.
func roleIn(e graph.Event, own addresses) role {
	boss := e.Organizer.EmailAddress.Address
	if e.IsOrganizer || strings.TrimSpace(boss) == "" || own.has(boss) || strings.EqualFold(e.ResponseStatus.Response, "organizer") {
		return owner
	}
	return invited
}

// frozen is why nothing of an event can be changed but the answer to it, nil where it can.
func (d *differ) frozen() error {
	e := d.Series.Event
	switch {
	case d.ReadOnly:
		return refuse(RefusedReadOnly, "This calendar cannot be changed from here.")
	case d.private():
		return refuse(RefusedReadOnly, "This event is private; only the owner of the calendar can change it, in Outlook.")
	case e.IsCancelled:
		return refuse(RefusedReadOnly, "The organizer has cancelled this meeting, so it cannot be changed any more; delete it.")
	case isInstance(e):
		return refuse(RefusedReadOnly, "This is one occurrence of a series that is not in this calendar; it can be answered and deleted, but not changed.")
	}
	return nil
}

// private is whether the event is a private one in the calendar of somebody else: Outlook may have blanked it, and what is
// written of it would replace what is not seen.
func (d *differ) private() bool {
	return d.Delegated && (strings.EqualFold(d.Series.Event.Sensitivity, "private") || strings.EqualFold(d.Series.Event.Sensitivity, "personal"))
}

// deniesReply is whether the organizer of a meeting wants no answers. What does not say so wants them.
func deniesReply(e graph.Event) bool {
	if e.ResponseRequested || len(e.Raw) == 0 {
		return false
	}
	var said struct {
		ResponseRequested *bool `json:"responseRequested"`
	}
	return json.Unmarshal(e.Raw, &said) == nil && said.ResponseRequested != nil && !*said.ResponseRequested
}

// alone is whether the client asks that Outlook tell nobody: Thunderbird by X-MOZ-SEND-INVITATIONS, Evolution by the
// SCHEDULE-AGENT (RFC 6638 §7.1) of all attendees.
func (d *differ) alone() bool {
	if d.Silent {
		return true
	}
	for _, c := range d.want.events {
		if wordOf(c, "X-MOZ-SEND-INVITATIONS") == "FALSE" {
			return true
		}
		if d.role == invited {
			continue // Thunderbird has it of an invitation that it answers from the mail, and mails nothing itself
		}
		others, agents := 0, 0
		for _, a := range d.others(c) {
			others++
			switch strings.ToUpper(a.params.Get("SCHEDULE-AGENT")) {
			case "CLIENT", "NONE":
				agents++
			}
		}
		if others > 0 && others == agents {
			return true
		}
	}
	return false
}

// partStatsOf are the owner's own PARTSTATs in a component, by address: one that is invited by an alias may be listed twice.
func (d *differ) partStatsOf(c *ical.Component) map[string]string {
	out := map[string]string{}
	for i := range c.Props[ical.PropAttendee] {
		p := &c.Props[ical.PropAttendee][i]
		if a := addressOf(p); a != "" && d.own.has(a) || a == "" && !strings.EqualFold(p.Params.Get(ical.ParamRole), "CHAIR") {
			stat := strings.ToUpper(strings.TrimSpace(p.Params.Get(ical.ParamParticipationStatus)))
			if stat == "" {
				stat = "NEEDS-ACTION"
			}
			out[strings.ToLower(a)] = stat
		}
	}
	return out
}

// partStat is the owner's answer in a component: what has been said under that address, else what has been said at all.
func (d *differ) partStat(c *ical.Component, address string) string {
	stats := d.partStatsOf(c)
	if s, ok := stats[address]; ok {
		return s
	}
	best := ""
	for _, key := range sortedKeys(stats) {
		if best == "" || best == "NEEDS-ACTION" {
			best = stats[key]
		}
	}
	return best
}

// commentOf is what a client has written with an answer or a cancellation, and had not before.
func commentOf(base, want *ical.Component) string {
	for _, name := range []string{ical.PropComment, "X-CALENDARSERVER-PRIVATE-COMMENT"} {
		for i := range want.Props[name] {
			p := want.Props[name][i]
			known := false
			if base != nil {
				for j := range base.Props[name] {
					known = known || base.Props[name][j].Value == p.Value
				}
			}
			if text := strings.TrimSpace(textOf(&ical.Component{Props: ical.Props{name: {p}}}, name)); !known && text != "" {
				return text
			}
		}
	}
	return ""
}
