package graphsim

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// route answers by the path below the user.
func (c *call) route() response {
	if c.user == "" {
		if a, ok := c.ofDirectory(); ok {
			return a
		}
		return c.unknownSegment(c.seg[0])
	}
	first, rest := "", []string{}
	if len(c.seg) > 0 {
		first, rest = strings.ToLower(c.seg[0]), c.seg[1:]
	}
	switch first {
	case "":
		if c.guest() {
			return c.get(c.userResource, "User.ReadBasic.All", "User.Read.All", "Directory.Read.All")
		}
		return c.get(c.userResource, "User.Read", "User.ReadBasic.All", "User.Read.All", "Directory.Read.All")
	case "mailboxsettings", "outlook":
		if c.guest() {
			return c.fail(403, "", "")
		}
	}
	switch first {
	case "mailboxsettings":
		return c.get(c.mailboxSettings, "MailboxSettings.Read", "MailboxSettings.ReadWrite")
	case "outlook":
		if len(rest) == 1 && strings.EqualFold(rest[0], "masterCategories") {
			if c.server.Cloud == "china" {
				return c.unknownSegment(rest[0])
			}
			return c.get(c.masterCategories, "MailboxSettings.Read", "MailboxSettings.ReadWrite")
		}
		return c.notImplemented()
	case "calendar", "calendars", "calendargroups", "calendarview", "events":
	default:
		return c.unknownSegment(c.seg[0])
	}
	if !c.allowed("Calendars.Read", "Calendars.ReadWrite", "Calendars.ReadBasic", "Calendars.Read.Shared", "Calendars.ReadWrite.Shared") {
		return c.fail(403, "", "")
	}
	if c.guest() && !c.allowed("Calendars.Read.Shared", "Calendars.ReadWrite.Shared") {
		return c.fail(403, "", "")
	}
	switch first {
	case "calendar":
		return c.inCalendar(c.mailbox.cals[0], rest)
	case "calendars":
		return c.calendars(rest)
	case "calendargroups":
		return c.groups(rest)
	}
	return c.inCalendar(c.mailbox.cals[0], c.seg)
}

// get serves a GET, for tokens with one of the scopes where there are any.
func (c *call) get(serve func() response, scopes ...string) response {
	if c.r.Method != http.MethodGet {
		return c.fail(405, "", "")
	}
	if len(scopes) > 0 && !c.allowed(scopes...) {
		return c.fail(403, "", "")
	}
	return serve()
}

func (c *call) calendars(rest []string) response {
	if len(rest) == 0 {
		if c.r.Method == http.MethodPost {
			return c.createCalendar()
		}
		if c.r.Method != http.MethodGet {
			return c.notImplemented()
		}
		if c.server.GroupsApart {
			return c.list("/calendars", c.calendarsAsJSON(c.mailbox.groups[0]))
		}
		return c.list("/calendars", c.calendarsAsJSON(nil))
	}
	for _, cal := range c.mailbox.cals {
		if string(cal.id) == rest[0] && c.sees(cal) {
			return c.inCalendar(cal, rest[1:])
		}
	}
	if !strings.HasPrefix(rest[0], classicStart) {
		return c.fail(400, "ErrorInvalidIdMalformed", "Id is malformed.")
	}
	return c.fail(404, "", "")
}

// groups answers for the calendar groups, which only their owner sees.
func (c *call) groups(rest []string) response {
	if c.guest() {
		return c.fail(403, "", "")
	}
	if len(rest) == 0 {
		var all []map[string]any
		for _, g := range c.mailbox.groups {
			all = append(all, map[string]any{"id": g.id, "name": g.name, "classId": guid("group " + g.id), "changeKey": changeKey(c.mailbox, 0)})
		}
		return c.list("/calendarGroups", all)
	}
	i := slices.IndexFunc(c.mailbox.groups, func(g *CalendarGroup) bool { return g.id == rest[0] })
	switch {
	case i < 0:
		return c.fail(404, "", "")
	case len(rest) == 2 && strings.EqualFold(rest[1], "calendars"):
		return c.list("/calendarGroups('"+url.PathEscape(rest[0])+"')/calendars", c.calendarsAsJSON(c.mailbox.groups[i]))
	case len(rest) > 2 && strings.EqualFold(rest[1], "calendars"):
		return c.calendars(rest[2:])
	}
	return c.notImplemented()
}

// inCalendar answers by the path below a calendar. Below the user's root, calendarView and events mean the default
// calendar, and an event may be in any.
func (c *call) inCalendar(cal *Calendar, rest []string) response {
	if oneEvent := len(rest) > 1 && strings.EqualFold(rest[0], "events"); !oneEvent && !c.sees(cal) {
		return c.fail(403, "", "")
	}
	if len(rest) == 0 {
		switch c.r.Method {
		case http.MethodPatch, http.MethodDelete:
			return c.changeCalendar(cal)
		}
		return c.get(func() response { return c.oneCalendar(cal, http.StatusOK) })
	}
	name := strings.ToLower(rest[0])
	if name == "getschedule" && len(rest) == 1 && c.r.Method == http.MethodPost {
		return c.getSchedule()
	}
	if len(rest) > 1 && strings.EqualFold(rest[len(rest)-1], "delta") {
		switch {
		case len(rest) == 2 && name == "calendarview" && c.r.Method == http.MethodGet:
			return c.delta(cal)
		case len(rest) == 2 && name == "events":
			return c.fail(400, "ErrorInvalidRequest", "Unsupported request: Change tracking is not supported against 'microsoft.graph.event'")
		}
		return c.notImplemented()
	}
	switch {
	case name == "calendarview" && len(rest) == 1:
		return c.get(func() response { return c.calendarView(cal) })
	case name == "events" && len(rest) == 1:
		return c.events(cal)
	case name == "events":
		var in *Calendar
		if len(c.seg) > 0 && !strings.EqualFold(c.seg[0], "events") {
			in = cal
		}
		return c.event(in, rest[1], rest[2:])
	}
	return c.unknownSegment(rest[0])
}

// window reads startDateTime and endDateTime.
func (c *call) window() (window, *response) {
	var ends [2]time.Time
	for i, name := range []string{"StartDateTime", "EndDateTime"} {
		text, _ := queryValue(c.query, name)
		t, ok := parseTime(text)
		if !ok {
			a := c.fail(400, "ErrorInvalidParameter", fmt.Sprintf("The value '%s' of parameter '%s' is invalid.", text, name))
			return window{}, &a
		}
		ends[i] = t
	}
	w := window{ends[0], ends[1]}
	if !w.from.Before(w.to) {
		a := c.fail(400, "ErrorInvalidRequest", "Your request can't be completed. The start date is not before the end date.")
		return w, &a
	}
	if w.to.Sub(w.from) > 1825*24*time.Hour {
		a := c.fail(400, "ErrorInvalidRequest", "Your request can't be completed. The range between the start and end dates is greater than the allowed range. Maximum number of days: 1825")
		return w, &a
	}
	return w, nil
}

// parseTime reads ISO 8601; without an offset it is UTC.
func parseTime(text string) (time.Time, bool) {
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02T15:04Z07:00", time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// calendarView lists single events, occurrences and exceptions, never masters.
func (c *call) calendarView(cal *Calendar) response {
	w, refused := c.window()
	if refused != nil {
		return *refused
	}
	var views []view
	for _, x := range cal.sorted() {
		if x.series != nil {
			views = append(views, x.occurrences(w)...)
		} else if v := x.self(); w.touches(v.start, v.end) {
			views = append(views, v)
		}
	}
	slices.SortStableFunc(views, func(a, b view) int { return a.start.Compare(b.start) })
	return c.listEvents("/calendarView", views)
}

// events lists the single events and masters of a calendar, or adds one.
func (c *call) events(cal *Calendar) response {
	switch c.r.Method {
	case http.MethodGet:
	case http.MethodPost:
		return c.createEvent(cal)
	default:
		return c.fail(405, "", "")
	}
	var views []view
	for _, x := range cal.sorted() {
		views = append(views, x.self())
	}
	return c.listEvents("/events", views)
}

// sorted are the items of the calendar, in the order in which they were made.
func (c *Calendar) sorted() []*item {
	var all []*item
	for _, x := range c.items {
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b *item) int { return a.n - b.n })
	return all
}

// event answers for one event, in any calendar where cal is nil.
func (c *call) event(cal *Calendar, id string, rest []string) response {
	x, day, err := c.mailbox.find(graph.EventID(id))
	switch {
	case errors.Is(err, errMalformedID):
		return c.fail(400, "ErrorInvalidIdMalformed", "Id is malformed.")
	case err != nil && c.r.Method == http.MethodDelete && len(rest) == 0 && !c.server.Writing.GoneAtOnce && c.mailbox.isDeleted(id, c.server.now()):
		return c.fail(400, "", "")
	case err != nil || !c.sees(x.cal) || c.hides(x, day):
		return c.fail(404, "", "")
	case cal == nil && x.cal.sharer != nil, cal != nil && x.cal != cal && (!c.server.EventsAnywhere || x.cal.sharer != nil || cal.sharer != nil):
		return c.fail(404, "", "")
	case len(rest) > 0 && strings.EqualFold(rest[0], "attachments"):
		return c.attachments(x, day, rest[1:])
	case c.r.Method != http.MethodGet && len(rest) < 2 && c.server.Writing.NoOccurrenceIDs && strings.HasPrefix(id, "OID."):
		return c.fail(400, "ErrorInvalidIdMalformed", "Id is malformed.")
	case c.r.Method != http.MethodGet && len(rest) < 2:
		return c.changeEvent(x, day, strings.Join(rest, ""))
	case c.r.Method != http.MethodGet:
		return c.notImplemented()
	case len(rest) == 0:
		return c.getEvent(x, day)
	}
	switch strings.ToLower(rest[0]) {
	case "instances":
		if len(rest) > 1 {
			return c.notImplemented()
		}
		w, refused := c.window()
		if refused != nil {
			return *refused
		}
		if x.series == nil || !day.IsZero() {
			return c.fail(400, "ErrorInvalidRequest", "Your request can't be completed. Only a recurring master has instances.")
		}
		views := x.occurrences(w)
		if c.server.InstancesLackExceptions {
			views = slices.DeleteFunc(views, func(v view) bool { return v.kind == graph.Exception })
		}
		return c.listEvents("/events('"+url.PathEscape(id)+"')/instances", views)
	case "exceptionoccurrences":
		if c.server.unknown("exceptionOccurrences") || len(rest) > 1 || x.series == nil {
			return c.unknownSegment(rest[0])
		}
		if c.server.ExceptionPage > 0 {
			c.prefer.pageSize = c.server.ExceptionPage
		}
		return c.listEvents("/events('"+url.PathEscape(id)+"')/exceptionOccurrences", x.exceptionViews())
	}
	return c.unknownSegment(rest[0])
}

// getEvent is a GET of one event.
func (c *call) getEvent(x *item, day time.Time) response {
	sel, refused := c.selected()
	if refused != nil {
		return *refused
	}
	expand, _ := queryValue(c.query, "$expand")
	expanded := false
	property, expand := expandedProperty(expand)
	for name := range strings.SplitSeq(expand, ",") {
		switch name, _, _ = strings.Cut(strings.TrimSpace(name), "("); {
		case name == "":
		case strings.EqualFold(name, "exceptionOccurrences") && !c.server.unknown(name):
			expanded = true
		case strings.EqualFold(name, "attachments") || strings.EqualFold(name, "extensions"):
		default:
			return c.unknownProperty(name)
		}
	}
	v := x.self()
	if !day.IsZero() {
		v = x.instance(day)
	}
	body := c.render(v, shape{single: true, sel: sel, property: property})
	if sel != nil && sel.has("cancelledOccurrences") {
		list := []string{}
		if v.kind == graph.SeriesMaster {
			for day := range x.cancelled {
				list = append(list, occurrenceID(x.id(c.prefer.immutable), day))
			}
			slices.Sort(list)
		}
		body["cancelledOccurrences"] = list
	}
	if expanded && sel != nil && sel.has("exceptionOccurrences") {
		list := []map[string]any{}
		views := []view(nil)
		if v.kind == graph.SeriesMaster && !c.server.ExceptionsUntold {
			views = x.exceptionViews()
		}
		for i, e := range views {
			if n := c.server.ExceptionPage; n > 0 && i == n {
				q := url.Values{"$skip": {fmt.Sprint(n)}}
				if s, ok := queryValue(c.query, "$select"); ok {
					q.Set("$select", s)
				}
				body["exceptionOccurrences@odata.nextLink"] = c.link(x.cal.eventsPath()+"/"+url.PathEscape(string(x.id(c.prefer.immutable)))+"/exceptionOccurrences", q)
				break
			}
			list = append(list, c.render(e, shape{sel: sel}))
		}
		body["exceptionOccurrences"] = list
		body["exceptionOccurrences@odata.context"] = c.context("/events('" + url.PathEscape(string(x.id(c.prefer.immutable))) + "')/exceptionOccurrences")
	}
	if c.server.NoCalendarLink || c.server.SelectDropsLink && sel != nil {
		body["@odata.context"] = c.context("/events" + sel.context() + "/$entity")
		return response{status: 200, body: body}
	}
	base := c.context("/calendars('" + url.PathEscape(string(x.cal.id)) + "')")
	base = strings.Replace(base, "$metadata#", "", 1)
	body["calendar@odata.navigationLink"] = base
	body["calendar@odata.associationLink"] = base + "/$ref"
	body["@odata.context"] = c.context("/events" + sel.context() + "/$entity")
	return response{status: 200, body: body}
}

// link is an absolute URL below the user.
func (c *call) link(path string, q url.Values) string {
	u := c.server.origin(c.r) + "/v1.0/" + c.user + "/" + path
	if len(q) > 0 {
		u += "?" + encodeQuery(q)
	}
	return u
}

// encodeQuery is url.Values.Encode with "$" left as it is, as Graph's links have it.
func encodeQuery(q url.Values) string { return strings.ReplaceAll(q.Encode(), "%24", "$") }
