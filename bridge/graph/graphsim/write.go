package graphsim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// A refusal is why a write is not done.
type refusal struct {
	status        int
	code, message string
}

func (f *refusal) Error() string { return f.code + ": " + f.message }

func invalid(format string, args ...any) error {
	return &refusal{400, "ErrorPropertyValidationFailure", fmt.Sprintf("At least one property failed validation. "+format, args...)}
}

func (c *call) refuse(err error) response {
	var f *refusal
	switch {
	case errors.As(err, &f):
		return c.fail(f.status, f.code, f.message)
	case errors.Is(err, ErrCrossing):
		return c.fail(400, "ErrorOccurrenceCrossingBoundary", "Modified occurrence is crossing or overlapping adjacent occurrence.")
	}
	return c.fail(404, "", "")
}

// mayWrite tells whether the token and the calendar allow changes.
func (c *call) mayWrite(cal *Calendar) bool {
	return cal.canEdit && !c.guest() && c.allowed("Calendars.ReadWrite", "Calendars.ReadWrite.Shared")
}

// createEvent is POST …/events. A transactionId that is known answers with its event, and makes no second one.
func (c *call) createEvent(cal *Calendar) response {
	if !c.mayWrite(cal) {
		return c.fail(403, "", "")
	}
	reminder := 15
	e := Event{ReminderMinutes: &reminder, Zone: "UTC"}
	props, err := c.properties()
	if err == nil {
		err = apply(props, &e, true)
	}
	if err == nil {
		err = check(e, c.mailbox)
	}
	if err == nil {
		err = checkRange(e)
	}
	if err != nil {
		return c.refuse(err)
	}
	for _, x := range cal.sorted() {
		if e.TransactionID != "" && x.ev.TransactionID == e.TransactionID {
			return c.written(x, time.Time{}, http.StatusCreated)
		}
	}
	return c.written(cal.create(e), time.Time{}, http.StatusCreated)
}

// written answers with the event as it is now.
func (c *call) written(x *item, day time.Time, status int) response {
	a := c.getEvent(x, day)
	if a.status == http.StatusOK {
		a.status = status
	}
	return a
}

// changeEvent is PATCH or DELETE of an event, or POST of one of its actions.
func (c *call) changeEvent(x *item, day time.Time, action string) response {
	if !c.mayWrite(x.cal) {
		return c.fail(403, "", "")
	}
	match := c.r.Header.Get("If-Match")
	if action != "" {
		if match != "" && match != "*" && !strings.HasPrefix(strings.TrimPrefix(match, "W/"), `"`) {
			return c.fail(500, "ErrorInternalServerError", "An internal server error occurred. The operation failed.")
		}
		if c.r.Method != http.MethodPost {
			return c.fail(405, "", "")
		}
		return c.act(x, day, strings.ToLower(action))
	}
	if match != "" && match != "*" && match != `W/"`+changeKey(c.mailbox, x.version)+`"` {
		return c.fail(412, "", "")
	}
	switch c.r.Method {
	case http.MethodDelete:
		x.remove(day)
		return response{status: http.StatusNoContent}
	case http.MethodPatch:
		props, err := c.properties()
		if err != nil {
			return c.refuse(err)
		}
		e := x.ev.clone()
		if !day.IsZero() {
			e = x.exceptionDraft(day)
			if props["recurrence"] != nil {
				return c.refuse(invalid("An occurrence has no recurrence."))
			}
		}
		if err = apply(props, &e, false); err == nil {
			err = check(e, c.mailbox)
		}
		if err == nil && props["recurrence"] != nil {
			err = checkRange(e)
		}
		if err == nil {
			err = x.edit(day, func(into *Event) { *into = e })
		}
		if err != nil {
			return c.refuse(err)
		}
		return c.written(x, day, http.StatusOK)
	}
	return c.fail(405, "", "")
}

// act is accept, tentativelyAccept, decline or cancel, of the whole event or of one occurrence.
func (c *call) act(x *item, day time.Time, action string) response {
	e := x.ev
	if !day.IsZero() {
		e = x.instance(day).ev
	}
	own := e.Organizer.Address == "" || strings.EqualFold(e.Organizer.Address, c.mailbox.address)
	answer, isAnswer := map[string]string{"accept": "accepted", "tentativelyaccept": "tentativelyAccepted", "decline": "declined"}[action]
	switch {
	case action != "cancel" && !isAnswer:
		return c.unknownSegment(action)
	case action == "cancel" && !own:
		return c.fail(400, "ErrorInvalidRequest", "Your request can't be completed. You need to be an organizer to cancel a meeting.")
	case isAnswer && own:
		return c.fail(400, "ErrorInvalidRequest", "Your request can't be completed. You can't respond to this meeting because you're the meeting organizer.")
	case action == "cancel" || action == "decline":
		x.remove(day)
		return response{status: http.StatusAccepted}
	}
	if err := x.edit(day, func(e *Event) { e.answer(answer, c.server.now()) }); err != nil {
		return c.refuse(err)
	}
	return response{status: http.StatusAccepted}
}

// properties reads the body, property by property.
func (c *call) properties() (map[string]json.RawMessage, error) {
	var props map[string]json.RawMessage
	if err := json.Unmarshal(c.body, &props); err != nil || props == nil {
		return nil, &refusal{400, "BadRequest", "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format."}
	}
	return props, nil
}

// apply sets the properties of a POST or PATCH. Properties that a client cannot write are refused.
func apply(props map[string]json.RawMessage, e *Event, create bool) error {
	var start, end *graph.DateTimeTimeZone
	var body *graph.ItemBody
	var places []graph.Location
	var place *graph.Location
	var online bool
	reminder, minutes := e.ReminderMinutes != nil, 15
	if reminder {
		minutes = *e.ReminderMinutes
	}
	into := map[string]any{
		"subject": &e.Subject, "body": &body, "start": &start, "end": &end, "isallday": &e.AllDay, "location": &place, "locations": &places,
		"attendees": &e.Attendees, "categories": &e.Categories, "importance": &e.Importance, "sensitivity": &e.Sensitivity, "showas": &e.ShowAs,
		"isreminderon": &reminder, "reminderminutesbeforestart": &minutes, "recurrence": &e.Recurrence, "hideattendees": &e.HideAttendees,
		"isonlinemeeting": &online, "transactionid": &e.TransactionID,
		"responserequested": new(bool), "allownewtimeproposals": new(bool), "onlinemeetingprovider": new(string),
	}
	for name, raw := range props {
		lower := strings.ToLower(name)
		target, ok := into[lower]
		switch {
		case strings.HasPrefix(name, "@"):
			continue
		case !ok && eventProperties[lower]:
			return &refusal{400, "ErrorInvalidPropertySet", fmt.Sprintf("Property '%s' is read-only and cannot be set.", name)}
		case !ok:
			return &refusal{400, "BadRequest", fmt.Sprintf("The property '%s' does not exist on type 'microsoft.graph.event'.", name)}
		case lower == "transactionid" && !create:
			return &refusal{400, "ErrorInvalidRequest", "Your request can't be completed. The transaction id cannot be changed."}
		case lower == "recurrence":
			e.Recurrence = nil // what is left out must not stay
			if err := checkPattern(raw); err != nil {
				return err
			}
		case lower == "attendees":
			e.Attendees = nil
		}
		if err := json.Unmarshal(raw, target); err != nil {
			return &refusal{400, "BadRequest", fmt.Sprintf("Cannot convert the value of property '%s' to its type.", name)}
		}
	}
	if body != nil {
		e.Body = body.Content
		if strings.EqualFold(body.ContentType, "text") {
			e.Body = textToHTML(body.Content)
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
		e.Location = strings.Join(names, "; ")
	}
	if online {
		e.JoinURL = cmp.Or(e.JoinURL, "https://teams.microsoft.com/l/meetup-join/"+strings.ReplaceAll(guid(e.Subject), "-", ""))
	}
	e.ReminderMinutes = nil
	if reminder {
		e.ReminderMinutes = &minutes
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

func textToHTML(text string) string {
	r := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r\n", "<br>\r\n", "\n", "<br>\r\n")
	return r.Replace(text)
}

// checkPattern refuses pattern properties with values that none of the types supports, as month 0 in a recurrence
// that was read and is sent back.
func checkPattern(raw json.RawMessage) error {
	if bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		return nil
	}
	var r struct {
		Pattern *struct {
			Type                        string
			Interval, Month, DayOfMonth *int
			DaysOfWeek                  []string
			FirstDayOfWeek, Index       *string
		}
		Range *graph.RecurrenceRange
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return &refusal{400, "BadRequest", "Cannot convert the value of property 'recurrence' to its type."}
	}
	p := r.Pattern
	if p == nil || r.Range == nil {
		return invalid("A recurrence needs a pattern and a range.")
	}
	needs := map[string]string{"daily": "", "weekly": "w", "absoluteMonthly": "d", "relativeMonthly": "w", "absoluteYearly": "dm", "relativeYearly": "wm"}
	need, known := needs[p.Type]
	switch {
	case !known:
		return invalid("Pattern type '%s'.", p.Type)
	case p.Interval == nil || *p.Interval < 1 || *p.Interval > 999:
		return invalid("Pattern interval.")
	case p.Month != nil && (*p.Month < 1 || *p.Month > 12) || p.Month == nil && strings.Contains(need, "m"):
		return invalid("Pattern month.")
	case p.DayOfMonth != nil && (*p.DayOfMonth < 1 || *p.DayOfMonth > 31) || p.DayOfMonth == nil && strings.Contains(need, "d"):
		return invalid("Pattern dayOfMonth.")
	case len(p.DaysOfWeek) == 0 && strings.Contains(need, "w"):
		return invalid("Pattern daysOfWeek.")
	case p.Index != nil && !slices.Contains([]string{"first", "second", "third", "fourth", "last"}, *p.Index):
		return invalid("Pattern index.")
	}
	days := p.DaysOfWeek
	if p.FirstDayOfWeek != nil {
		days = append(slices.Clone(days), *p.FirstDayOfWeek)
	}
	for _, d := range days {
		if _, ok := weekdays[strings.ToLower(d)]; !ok {
			return invalid("Day of the week '%s'.", d)
		}
	}
	from, err := time.Parse(time.DateOnly, r.Range.StartDate)
	if err != nil {
		return &refusal{400, "ErrorRecurrenceEndDateTooBig", "Recurrence end date can not exceed Sep 1, 4500 00:00:00."}
	}
	switch r.Range.Type {
	case "noEnd":
	case "endDate":
		if to, err := time.Parse(time.DateOnly, r.Range.EndDate); err != nil || to.Before(from) {
			return invalid("Range endDate.")
		}
	case "numbered":
		if n := r.Range.NumberOfOccurrences; n < 1 || n > 999 {
			return invalid("Range numberOfOccurrences.")
		}
	default:
		return invalid("Range type '%s'.", r.Range.Type)
	}
	return nil
}

// checkRange refuses a recurrence whose range does not begin on the date of the start. One that was stored may: its
// event starts at its first occurrence.
func checkRange(e Event) error {
	if r := e.Recurrence; r != nil && r.Range.StartDate != e.Start.Format(time.DateOnly) {
		return invalid("The startDate of the range is not the date of the start.")
	}
	return nil
}

// check refuses an event that Outlook cannot hold.
func check(e Event, m *Mailbox) error {
	for _, v := range []struct{ name, value, allowed string }{
		{"showAs", e.ShowAs, "free tentative busy oof workingElsewhere unknown"},
		{"sensitivity", e.Sensitivity, "normal personal private confidential"},
		{"importance", e.Importance, "low normal high"},
	} {
		if v.value != "" && !slices.Contains(strings.Fields(v.allowed), v.value) {
			return &refusal{400, "BadRequest", fmt.Sprintf("Requested value '%s' of property '%s' was not found.", v.value, v.name)}
		}
	}
	if len(e.Attendees) > 500 {
		return invalid("Too many attendees.")
	}
	if e.AllDay && (!e.Start.Equal(date(e.Start)) || !e.End.Equal(date(e.End)) || !e.End.After(e.Start) || e.EndZone != "") {
		return &refusal{400, "ErrorInvalidRequest", "Your request can't be completed. An all-day event needs to start and end at midnight, in the same time zone, and to last a day at least."}
	}
	loc := m.zoneOf(e)
	if instant(e.End, loc).Before(instant(e.Start, loc)) {
		return invalid("The end is before the start.")
	}
	if e.Recurrence == nil {
		return nil
	}
	x := newExpansion(newRule(*e.Recurrence, e.Start, m.server.Skip29))
	first, ok := x.first()
	if !ok {
		return &refusal{400, "ErrorRecurrenceHasNoOccurrence", "The recurrence has no occurrence."}
	}
	for years := 1; years <= 32; years *= 2 {
		if dates := x.upTo(first.AddDate(years, 0, 0)); len(dates) > 1 {
			for i := range dates[1:min(len(dates), 60)] {
				if e.End.Sub(e.Start) > dates[i+1].Sub(dates[i]) {
					return &refusal{400, "ErrorOccurrenceTimeSpanTooBig", "The duration of an occurrence must be shorter than the time between occurrences."}
				}
			}
			break
		}
	}
	return nil
}
