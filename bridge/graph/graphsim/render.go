package graphsim

import (
	"cmp"
	"html"
	"net/url"
	"regexp"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// A shape says which of an event's faces an answer shows.
type shape struct {
	single bool      // a GET of one event
	list   bool      // a list
	view   bool      // calendarView, whose $select cannot name the dates of creation and change
	delta  bool      // a delta
	sel    selection // nil: all

	property string // the id of an extended property that is expanded; "": none
}

const (
	graphTime = "2006-01-02T15:04:05.0000000"
	noTime    = "0001-01-01T00:00:00Z"
)

// render makes the JSON of an event.
func (c *call) render(v view, sh shape) map[string]any {
	m, owner, e, imm := v.cal.mailbox, v.cal.owner(), v.ev, c.prefer.immutable
	id := v.id(imm)
	own := e.organizedBy(owner)
	key := changeKey(m, v.version)
	organizer := e.Organizer
	if organizer == (graph.EmailAddress{}) {
		organizer = graph.EmailAddress{Name: owner.name, Address: owner.address}
	}
	zoneName := cmp.Or(e.Zone, m.zone)
	j := map[string]any{
		"@odata.etag":                "W/\"" + key + "\"",
		"id":                         id,
		"createdDateTime":            v.created.UTC().Format(graphTime) + "Z",
		"lastModifiedDateTime":       v.modified.UTC().Format(graphTime) + "Z",
		"changeKey":                  key,
		"categories":                 append([]string{}, e.Categories...),
		"transactionId":              orNull(e.TransactionID),
		"originalStartTimeZone":      zoneName,
		"originalEndTimeZone":        cmp.Or(e.EndZone, zoneName),
		"iCalUId":                    cmp.Or(e.ICalUID, globalObjectID(m, v.n, v.created, v.day)),
		"reminderMinutesBeforeStart": 15,
		"isReminderOn":               e.ReminderMinutes != nil,
		"hasAttachments":             e.HasAttachments,
		"subject":                    e.Subject,
		"bodyPreview":                preview(e.Body),
		"importance":                 cmp.Or(e.Importance, "normal"),
		"sensitivity":                cmp.Or(e.Sensitivity, "normal"),
		"isAllDay":                   e.AllDay,
		"isCancelled":                e.Cancelled,
		"isOrganizer":                own,
		"responseRequested":          !e.NoResponse,
		"seriesMasterId":             nil,
		"showAs":                     e.showAs(),
		"type":                       v.kind,
		"webLink":                    "https://outlook.office365.com/owa/?itemid=" + url.QueryEscape(string(v.id(false))) + "&exvsurl=1&path=/calendar/item",
		"onlineMeetingUrl":           nil,
		"isOnlineMeeting":            e.JoinURL != "",
		"onlineMeetingProvider":      "unknown",
		"allowNewTimeProposals":      !e.NoProposals,
		"occurrenceId":               nil,
		"isDraft":                    e.Draft,
		"hideAttendees":              e.HideAttendees,
		"recurrence":                 nil,
		"onlineMeeting":              nil,
		"responseStatus":             status(ownResponse(e, own), e.ResponseTime),
		"body":                       c.bodyJSON(e.Body),
		"start":                      c.timeJSON(v.start, e.Start, e.AllDay),
		"end":                        c.timeJSON(v.end, e.End, e.AllDay),
		"attendees":                  attendees(owner, e, organizer, own),
		"organizer":                  map[string]any{"emailAddress": addressJSON(organizer)},
	}
	j["location"], j["locations"] = locations(e.Location, e.Coordinates)
	if e.ReminderMinutes != nil {
		j["reminderMinutesBeforeStart"] = *e.ReminderMinutes
	}
	if e.JoinURL != "" {
		j["onlineMeeting"] = map[string]any{"joinUrl": e.JoinURL}
		j["onlineMeetingProvider"], j["onlineMeetingUrl"] = cmp.Or(e.Provider, "teamsForBusiness"), ""
	}
	if v.kind == graph.SeriesMaster && !c.server.NullRecurrence {
		j["recurrence"] = recurrenceJSON(*e.Recurrence, zoneName)
	}
	extras := e.Extra
	if !v.day.IsZero() {
		master := v.master.id(imm)
		j["seriesMasterId"] = master
		j["occurrenceId"] = occurrenceID(master, v.day)
		// Lists tell the original start; a GET by id and a delta only do when asked by name.
		if sh.list || sh.sel != nil && sh.sel.has("originalStart") {
			j["originalStart"] = v.orig.UTC().Format("2006-01-02T15:04:05Z")
		}
		if v.kind == graph.Occurrence {
			extras = shared(extras)
		}
	}
	for name, value := range extras {
		j[name] = value
	}
	for _, name := range c.server.Unknown {
		delete(j, name)
	}
	if c.blanks(v.cal, e) {
		for name, blank := range map[string]any{"subject": "", "body": c.bodyJSON(""), "bodyPreview": "", "categories": []string{}, "attendees": []any{}, "hasAttachments": false} {
			j[name] = blank
		}
		j["location"], j["locations"] = locations("", graph.Coordinates{})
	}
	if sh.property != "" {
		if value, ok := e.property(sh.property); ok {
			j["singleValueExtendedProperties"] = []any{map[string]any{"id": sh.property, "value": value}}
		}
	}
	if sh.delta {
		j["@odata.type"] = "#microsoft.graph.event"
		if v.kind == graph.Occurrence {
			return only(j, "@odata.type", "@odata.etag", "id", "seriesMasterId", "type", "start", "end")
		}
	}
	if sh.sel != nil {
		for name := range j {
			unselectable := sh.view && (name == "createdDateTime" || name == "lastModifiedDateTime")
			if !strings.HasPrefix(name, "@") && name != "id" && name != "singleValueExtendedProperties" && !(sh.delta && name == "type") && (!sh.sel.has(name) || unselectable) {
				delete(j, name)
			}
		}
	}
	return j
}

// shared are the extras that an occurrence takes over from its master.
func shared(extras map[string]any) map[string]any {
	kept := map[string]any{}
	for name, value := range extras {
		kept[name] = value
	}
	for _, name := range ownExtras {
		delete(kept, name)
	}
	return kept
}

func only(j map[string]any, names ...string) map[string]any {
	kept := map[string]any{}
	for _, name := range names {
		kept[name] = j[name]
	}
	return kept
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// timeJSON is a time in the zone that the request prefers. All-day events begin and end at midnight in any zone.
func (c *call) timeJSON(t, day time.Time, allDay bool) map[string]any {
	shown := wall(t, c.prefer.loc)
	if allDay && !c.server.AllDayInstants {
		shown = day
	}
	if c.server.Offsets {
		offset := shown.Sub(wall(t, time.UTC)) // of an all-day event that of its own midnight
		return map[string]any{"dateTime": shown.Format("2006-01-02T15:04:05") + time.Time{}.In(time.FixedZone("", int(offset/time.Second))).Format("-0700"),
			"timeZone": c.prefer.zone}
	}
	return map[string]any{"dateTime": shown.Format(graphTime), "timeZone": c.prefer.zone}
}

func (e Event) showAs() string {
	return cmp.Or(e.ShowAs, map[bool]string{true: "free", false: "busy"}[e.AllDay])
}

func ownResponse(e Event, own bool) string {
	switch {
	case e.Response != "":
		return e.Response
	case !own:
		return "notResponded"
	case len(e.Attendees) > 0:
		return "organizer"
	}
	return "none"
}

func status(response string, at time.Time) map[string]any {
	text := noTime
	if !at.IsZero() {
		text = at.UTC().Format("2006-01-02T15:04:05.9999999Z")
	}
	return map[string]any{"response": response, "time": text}
}

func addressJSON(a graph.EmailAddress) map[string]any {
	j := map[string]any{"name": a.Name}
	if a.Address != "" {
		j["address"] = a.Address
	}
	return j
}

// attendees lists the attendees as the owner sees them: in an own meeting without the organizer; in somebody else's
// the organizer comes first, without an answer, and the owner is there with his.
func attendees(m *Mailbox, e Event, organizer graph.EmailAddress, own bool) []map[string]any {
	all := []map[string]any{}
	add := func(a graph.Attendee) {
		all = append(all, map[string]any{
			"type":         cmp.Or(a.Type, "required"),
			"status":       map[string]any{"response": cmp.Or(a.Status.Response, "none"), "time": cmp.Or(a.Status.Time, noTime)},
			"emailAddress": addressJSON(a.EmailAddress),
		})
	}
	is := func(address string) func(graph.Attendee) bool {
		return func(a graph.Attendee) bool { return strings.EqualFold(a.EmailAddress.Address, address) }
	}
	list := e.Attendees
	if !own {
		self := graph.Attendee{Status: graph.ResponseStatus{Response: ownResponse(e, own)}, EmailAddress: graph.EmailAddress{Name: m.name, Address: m.address}}
		known := false
		var others []graph.Attendee
		for _, a := range list {
			switch {
			case is(m.address)(a):
				a.Status.Response, known = self.Status.Response, true
			case is(organizer.Address)(a):
				continue
			case e.HideAttendees:
				continue
			}
			others = append(others, a)
		}
		if !known {
			others = append(others, self)
		}
		list = append([]graph.Attendee{{EmailAddress: organizer}}, others...)
	}
	for _, a := range list {
		add(a)
	}
	return all
}

func locations(name string, at graph.Coordinates) (one map[string]any, all []map[string]any) {
	all = []map[string]any{}
	coordinates := map[string]any{}
	if at.Latitude != nil && at.Longitude != nil {
		coordinates = map[string]any{"latitude": *at.Latitude, "longitude": *at.Longitude}
	}
	if name == "" {
		return map[string]any{"displayName": "", "locationType": "default", "uniqueIdType": "unknown", "address": map[string]any{}, "coordinates": coordinates}, all
	}
	place := func(name string) map[string]any {
		p := map[string]any{"displayName": name, "locationType": "default", "uniqueId": name, "uniqueIdType": "private"}
		if len(coordinates) > 0 {
			p["coordinates"] = coordinates
		}
		return p
	}
	for part := range strings.SplitSeq(name, "; ") {
		all = append(all, place(part))
	}
	return place(name), all
}

// recurrenceJSON fills in the properties that the type does not use, as Graph's answers do.
func recurrenceJSON(r graph.Recurrence, zoneName string) map[string]any {
	pattern := map[string]any{
		"type": r.Pattern.Type, "interval": r.Pattern.Interval, "month": r.Pattern.Month, "dayOfMonth": r.Pattern.DayOfMonth,
		"firstDayOfWeek": cmp.Or(strings.ToLower(r.Pattern.FirstDayOfWeek), "sunday"),
		"index":          cmp.Or(strings.ToLower(r.Pattern.Index), "first"),
	}
	if len(r.Pattern.DaysOfWeek) > 0 {
		days := []string{}
		for _, d := range r.Pattern.DaysOfWeek {
			days = append(days, strings.ToLower(d))
		}
		pattern["daysOfWeek"] = days
	}
	end, count := "0001-01-01", 0
	switch r.Range.Type {
	case "endDate":
		end = r.Range.EndDate
	case "numbered":
		count = max(r.Range.NumberOfOccurrences, 1)
	}
	return map[string]any{"pattern": pattern, "range": map[string]any{
		"type": r.Range.Type, "startDate": r.Range.StartDate, "endDate": end,
		"numberOfOccurrences": count, "recurrenceTimeZone": cmp.Or(r.Range.RecurrenceTimeZone, zoneName)}}
}

func (c *call) bodyJSON(body string) map[string]any {
	if c.prefer.text {
		return map[string]any{"contentType": "text", "content": plainText(body)}
	}
	return map[string]any{"contentType": "html", "content": wholeHTML(body)}
}

// wholeHTML is a body as it is told.
func wholeHTML(body string) string {
	if body != "" && !strings.Contains(strings.ToLower(body), "<html") {
		body = "<html>\r\n<head>\r\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\">\r\n</head>\r\n<body>\r\n" + body + "\r\n</body>\r\n</html>\r\n"
	}
	return body
}

var (
	hiddenTags = regexp.MustCompile(`(?is)<(head|style|script)\b.*?</(head|style|script)>`)
	lineTags   = regexp.MustCompile(`(?i)<br\s*/?>|</(p|div|li|tr|h[1-6])>`)
	anyTag     = regexp.MustCompile(`(?s)<[^>]*>`)
	whitespace = regexp.MustCompile(`[\s\x{a0}]+`)
)

func plainText(body string) string {
	text := anyTag.ReplaceAllString(lineTags.ReplaceAllString(hiddenTags.ReplaceAllString(body, ""), "\r\n"), "")
	return html.UnescapeString(text)
}

// preview is the start of the body as text, at most 255 characters.
func preview(body string) string {
	text := []rune(strings.TrimSpace(whitespace.ReplaceAllString(plainText(body), " ")))
	return string(text[:min(len(text), 255)])
}
