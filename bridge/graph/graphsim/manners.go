package graphsim

import (
	"cmp"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"outbridge/bridge/graph"
)

// together are properties of which a client has to send all where one changes.
var together = [][]string{{"start", "end", "isallday", "recurrence"}, {"isreminderon", "reminderminutesbeforestart"}, {"location", "locations"}}

// invitees are the properties that an invitee may change on their copy: the organizer's next update overwrites the others.
var invitees = silent

// checkPatch looks for bad manners in a PATCH of what was as before.
func (c *call) checkPatch(x *item, props map[string]json.RawMessage, before Event) {
	s := c.server
	changed := map[string]bool{}
	for name, raw := range props {
		one := before.clone()
		if x.cal.mailbox.apply(map[string]json.RawMessage{name: raw}, &one, false) != nil || !sameEvent(one, before) {
			changed[strings.ToLower(name)] = true
		}
	}
	for _, group := range together {
		if slices.ContainsFunc(group, func(name string) bool { return changed[name] }) {
			for _, name := range group {
				changed[name] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(props)) {
		lower := strings.ToLower(name)
		switch {
		case strings.HasPrefix(name, "@"):
		case !changed[lower]:
			s.violation("PATCH of %q with %s, which does not change", before.Subject, name)
		case lower == "body" && before.JoinURL != "" && !changesAround(props[name], before):
			s.violation("PATCH of %q with a body that lacks the join information of its online meeting", before.Subject)
		}
		if !before.organizedBy(x.cal.owner()) && !slices.Contains(invitees, lower) {
			s.violation("PATCH of %q with %s, which is for its organizer to change", before.Subject, name)
		}
	}
	if _, ok := props["start"]; ok != (props["end"] != nil) {
		s.violation("PATCH of %q with one of start and end", before.Subject)
	}
	if c.foreign(x.cal) && (before.Sensitivity == "private" || before.Sensitivity == "confidential") {
		s.violation("PATCH of the private event %q of somebody else", before.Subject)
	}
	c.checkRecurrence(props)
}

// changesAround tells whether a body keeps the join information.
func changesAround(raw json.RawMessage, before Event) bool {
	var body graph.ItemBody
	return json.Unmarshal(raw, &body) == nil && strings.EqualFold(body.ContentType, "html") && hasJoin(body.Content, before.JoinURL)
}

// sameEvent tells whether two events are told alike.
func sameEvent(a, b Event) bool {
	for _, e := range []*Event{&a, &b} {
		*e = e.clone()
		e.normalize()
		e.Body = wholeHTML(e.Body)
		e.ShowAs, e.Sensitivity, e.Importance = e.showAs(), cmp.Or(e.Sensitivity, "normal"), cmp.Or(e.Importance, "normal")
	}
	recurrence := func(e Event) map[string]any {
		if e.Recurrence == nil {
			return nil
		}
		return recurrenceJSON(*e.Recurrence, e.Zone)
	}
	same := reflect.DeepEqual(recurrence(a), recurrence(b))
	a.Recurrence, b.Recurrence = nil, nil
	if len(a.Categories) == 0 && len(b.Categories) == 0 {
		a.Categories, b.Categories = nil, nil
	}
	if len(a.Attendees) == 0 && len(b.Attendees) == 0 {
		a.Attendees, b.Attendees = nil, nil
	}
	return same && reflect.DeepEqual(a, b)
}

// patternOf are the properties that a pattern's type has, beside type and interval (learn.microsoft.com/graph/api/resources/recurrencepattern).
var patternOf = map[string][]string{
	"daily": {}, "weekly": {"daysOfWeek", "firstDayOfWeek"}, "absoluteMonthly": {"dayOfMonth"}, "relativeMonthly": {"daysOfWeek", "index"},
	"absoluteYearly": {"dayOfMonth", "month"}, "relativeYearly": {"daysOfWeek", "index", "month"},
}

var rangeOf = map[string][]string{"noEnd": {}, "endDate": {"endDate"}, "numbered": {"numberOfOccurrences"}}

// checkRecurrence looks for what a recurrence has beyond its type, as one that was read and is sent back.
func (c *call) checkRecurrence(props map[string]json.RawMessage) {
	var r struct{ Pattern, Range map[string]any }
	var start graph.DateTimeTimeZone
	if raw := props["recurrence"]; raw == nil || json.Unmarshal(raw, &r) != nil {
		return
	}
	stray := func(have map[string]any, of map[string][]string, also ...string) {
		kind, _ := have["type"].(string)
		for _, name := range slices.Sorted(maps.Keys(have)) {
			if !slices.Contains(of[kind], name) && !slices.Contains(also, name) {
				c.server.violation("a recurrence with %s, which %s does not have", name, kind)
			}
		}
	}
	stray(r.Pattern, patternOf, "type", "interval", "firstDayOfWeek")
	stray(r.Range, rangeOf, "type", "startDate", "recurrenceTimeZone")
	if r.Pattern["type"] == "weekly" && r.Pattern["firstDayOfWeek"] == nil {
		c.server.violation("a weekly recurrence without firstDayOfWeek")
	}
	if json.Unmarshal(props["start"], &start) == nil && r.Range["recurrenceTimeZone"] != nil && r.Range["recurrenceTimeZone"] != start.TimeZone {
		c.server.violation("a recurrence in %v of an event in %s", r.Range["recurrenceTimeZone"], start.TimeZone)
	}
}
