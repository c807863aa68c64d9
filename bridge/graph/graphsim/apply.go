package graphsim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// properties reads the body, property by property.
func (c *call) properties() (map[string]json.RawMessage, error) {
	var props map[string]json.RawMessage
	if err := json.Unmarshal(c.body, &props); err != nil || props == nil {
		return nil, &refusal{400, "BadRequest", "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format."}
	}
	return props, nil
}

// silent are the properties that only the owner of a calendar sees: a change of them mails nobody.
var silent = []string{"isreminderon", "reminderminutesbeforestart", "categories", "showas", "sensitivity", "singlevalueextendedproperties"}

// ignored are those that are taken and change nothing: the owner of the calendar is the organizer, and the zones are those of the times.
var ignored = []string{"organizer", "originalstarttimezone", "originalendtimezone"}

// apply sets the properties of a POST or PATCH. Properties that a client cannot write are refused.
func (m *Mailbox) apply(props map[string]json.RawMessage, e *Event, create bool) error {
	s := m.server
	old := e.clone()
	var start, end *graph.DateTimeTimeZone
	var body *graph.ItemBody
	var places []graph.Location
	var place *graph.Location
	var online bool
	var extended []struct {
		ID    string  `json:"id"`
		Value *string `json:"value"`
	}
	response, proposals := !e.NoResponse, !e.NoProposals
	reminder, minutes := e.ReminderMinutes != nil, 15
	if reminder {
		minutes = *e.ReminderMinutes
	}
	into := map[string]any{
		"subject": &e.Subject, "body": &body, "start": &start, "end": &end, "isallday": &e.AllDay, "location": &place, "locations": &places,
		"attendees": &e.Attendees, "categories": &e.Categories, "importance": &e.Importance, "sensitivity": &e.Sensitivity, "showas": &e.ShowAs,
		"isreminderon": &reminder, "reminderminutesbeforestart": &minutes, "recurrence": &e.Recurrence, "hideattendees": &e.HideAttendees,
		"isonlinemeeting": &online, "transactionid": &e.TransactionID,
		"responserequested": &response, "allownewtimeproposals": &proposals, "onlinemeetingprovider": &e.Provider,
		"singlevalueextendedproperties": &extended,
	}
	for name, raw := range props {
		lower := strings.ToLower(name)
		target, ok := into[lower]
		switch {
		case strings.HasPrefix(name, "@"), slices.Contains(ignored, lower):
			continue
		case !ok && eventProperties[lower]:
			return &refusal{400, "ErrorInvalidPropertySet", fmt.Sprintf("Property '%s' is read-only and cannot be set.", name)}
		case !ok:
			return &refusal{400, "BadRequest", fmt.Sprintf("The property '%s' does not exist on type 'microsoft.graph.event'.", name)}
		case lower == "transactionid" && !create:
			return &refusal{400, "ErrorInvalidRequest", "Your request can't be completed. The transaction id cannot be changed."}
		case lower == "recurrence":
			e.Recurrence = nil // what is left out must not stay
			if err := s.checkPattern(raw); err != nil {
				return err
			}
		case lower == "attendees":
			e.Attendees = nil
		}
		if err := json.Unmarshal(raw, target); err != nil {
			return &refusal{400, "BadRequest", fmt.Sprintf("Cannot convert the value of property '%s' to its type.", name)}
		}
	}
	for i, a := range e.Attendees {
		if a.EmailAddress.Address == "" {
			return &refusal{400, "ErrorInvalidRecipients", "At least one recipient isn't valid."}
		}
		e.Attendees[i].Status = graph.ResponseStatus{}
		if j := attending(old.Attendees, a.EmailAddress.Address); j >= 0 {
			e.Attendees[i].Status = old.Attendees[j].Status
		}
	}
	for _, p := range extended {
		if !propertyID.MatchString(p.ID) {
			return &refusal{400, "ErrorInvalidProperty", fmt.Sprintf("'%s' is no id of an extended property.", p.ID)}
		}
		if e.Properties == nil {
			e.Properties = map[string]string{}
		}
		if delete(e.Properties, p.ID); p.Value != nil {
			e.Properties[p.ID] = *p.Value
		}
	}
	e.NoResponse, e.NoProposals = !response, !proposals
	if body != nil {
		e.Body = body.Content
		if strings.EqualFold(body.ContentType, "text") {
			e.Body = textToHTML(body.Content)
			if !s.Writing.PlainBodies {
				e.Body = convertedText(e.Body)
			}
		}
		if old.JoinURL != "" && !hasJoin(e.Body, old.JoinURL) {
			if e.JoinURL = ""; s.Writing.RenewMeetings {
				e.JoinURL = joinURL(old.JoinURL + e.Body)
			}
		}
	}
	if place != nil {
		places = append([]graph.Location{*place}, places...)
	}
	var names []string
	for _, p := range places {
		if !slices.Contains(names, p.DisplayName) {
			names = append(names, p.DisplayName)
		}
	}
	if names != nil {
		e.Location, e.Coordinates = strings.Join(names, "; "), places[0].Coordinates
	}
	if online {
		e.JoinURL = cmp.Or(e.JoinURL, joinURL(e.Subject+e.TransactionID))
	}
	e.ReminderMinutes = nil
	if reminder {
		e.ReminderMinutes = &minutes
	}
	if start != nil && end == nil && !create {
		defer m.leaveEnd(e, old)
	}
	for i, t := range []*graph.DateTimeTimeZone{start, end} {
		if t == nil {
			if create {
				return invalid("Start and end are required.")
			}
			continue
		}
		if _, ok := zone(t.TimeZone); !ok {
			return &refusal{400, "TimeZoneNotSupportedException", fmt.Sprintf("A valid TimeZone value must be specified. The following TimeZone value is not supported: '%s'.", t.TimeZone)}
		}
		w, err := time.Parse("2006-01-02T15:04:05.999999999", strings.TrimSuffix(t.DateTime, "Z"))
		if err != nil {
			return invalid("'%s' is no dateTime.", t.DateTime)
		}
		if i == 0 {
			e.Start, e.Zone, e.EndZone, e.RealZone = w, t.TimeZone, "", ""
			continue
		}
		// The end counts in the zone of the start, though it may have been given in another.
		from, _ := zone(t.TimeZone)
		if to, ok := zone(e.Zone); ok && t.TimeZone != e.Zone && !e.AllDay {
			w = wall(instant(w, from), to)
		}
		e.End = w
		if t.TimeZone != e.Zone {
			e.EndZone = t.TimeZone
		}
	}
	return nil
}

// leaveEnd says what becomes of the end where only the start is changed: it stays, or moves along.
func (m *Mailbox) leaveEnd(e *Event, old Event) {
	if m.server.Writing.EndFollows {
		e.End = e.Start.Add(old.End.Sub(old.Start))
		return
	}
	e.End = wall(instant(old.End, m.zoneOf(old)), m.zoneOf(*e))
}

func joinURL(of string) string {
	return "https://teams.microsoft.com/l/meetup-join/" + strings.ReplaceAll(guid(of), "-", "")
}

// propertyID is the form of the ids of extended properties that a client writes
// (learn.microsoft.com/graph/api/resources/extended-properties-overview).
var propertyID = regexp.MustCompile(`^(String|Integer|Boolean|Double|SystemTime) \{[0-9A-Fa-f-]{36}\} (Name .+|Id 0x[0-9A-Fa-f]+)$`)

// property is the value of an extended property. The name in its id is case-sensitive.
func (e Event) property(id string) (string, bool) {
	for have, value := range e.Properties {
		if sameProperty(have, id) {
			return value, true
		}
	}
	return "", false
}

func sameProperty(a, b string) bool {
	kindA, nameA, _ := strings.Cut(a, "} ")
	kindB, nameB, _ := strings.Cut(b, "} ")
	return strings.EqualFold(kindA, kindB) && nameA == nameB
}

// convertedText is a body that came as text, as Exchange keeps it.
func convertedText(html string) string {
	return "<html>\r\n<head>\r\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\">\r\n<!-- converted from text --><style><!-- .EmailQuote { margin-left: 1pt; padding-left: 4pt; border-left: #800000 2px solid; } --></style></head>\r\n" +
		"<body>\r\n<font size=\"2\"><span style=\"font-size:11pt;\"><div class=\"PlainText\">" + html + "</div></span></font>\r\n</body>\r\n</html>\r\n"
}

func textToHTML(text string) string {
	r := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r\n", "<br>\r\n", "\n", "<br>\r\n")
	return r.Replace(text)
}
