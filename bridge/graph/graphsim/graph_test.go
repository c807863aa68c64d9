package graphsim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// TestEventJSON compares a whole event, property by property.
func TestEventJSON(t *testing.T) {
	w := newWorld(t)
	ten := 10
	series := weekly("Let's go for lunch", "2026-03-02 12:00")
	series.Body, series.Location, series.ReminderMinutes = "<p>Does late&nbsp;morning work?</p>", "Harry's Bar; Room 2", &ten
	series.Attendees = []graph.Attendee{{EmailAddress: graph.EmailAddress{Name: "Dana", Address: "dana@contoso.example"}}, {Type: "optional", EmailAddress: graph.EmailAddress{Name: "no address"}}}
	series.JoinURL = "https://teams.microsoft.com/l/meetup-join/1"
	id := w.cal.Create(series)
	got := w.get(w.path(id), immutable, `outlook.timezone="W. Europe Standard Time"`)
	etag := got["@odata.etag"].(string)
	delete(got, "@odata.context")
	calendar := got["calendar@odata.navigationLink"].(string)
	if !strings.Contains(calendar, "/calendars('"+url.PathEscape(string(w.cal.ID()))+"')") || got["calendar@odata.associationLink"] != calendar+"/$ref" {
		t.Errorf("calendar link %s", calendar)
	}
	delete(got, "calendar@odata.navigationLink")
	delete(got, "calendar@odata.associationLink")
	if !strings.HasPrefix(got["webLink"].(string), "https://outlook.office365.com/owa/?itemid=AAMkA") {
		t.Errorf("webLink %v", got["webLink"])
	}
	delete(got, "webLink")
	uid := got["iCalUId"].(string)
	if len(uid) != 112 || !strings.HasPrefix(uid, "040000008200E00074C5B7101A82E00800000000") || uid[56:80] != "000000000000000010000000" {
		t.Errorf("iCalUId %s", uid)
	}
	place := func(name string) string {
		return fmt.Sprintf(`{"displayName":%q,"locationType":"default","uniqueId":%q,"uniqueIdType":"private"}`, name, name)
	}
	want := fmt.Sprintf(`{"@odata.etag":%q,"id":%q,"iCalUId":%q,
		"createdDateTime":"2026-03-02T09:00:00.0000000Z","lastModifiedDateTime":"2026-03-02T09:00:00.0000000Z","changeKey":%q,
		"categories":[],"transactionId":null,"originalStartTimeZone":"W. Europe Standard Time","originalEndTimeZone":"W. Europe Standard Time",
		"reminderMinutesBeforeStart":10,"isReminderOn":true,"hasAttachments":false,"subject":"Let's go for lunch","bodyPreview":"Does late morning work?",
		"importance":"normal","sensitivity":"normal","isAllDay":false,"isCancelled":false,"isOrganizer":true,"responseRequested":true,"seriesMasterId":null,
		"showAs":"busy","type":"seriesMaster","onlineMeetingUrl":"","isOnlineMeeting":true,"onlineMeetingProvider":"teamsForBusiness",
		"allowNewTimeProposals":true,"occurrenceId":null,"isDraft":false,"hideAttendees":false,
		"responseStatus":{"response":"organizer","time":"0001-01-01T00:00:00Z"},
		"body":{"contentType":"html","content":"<html>\r\n<head>\r\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\">\r\n</head>\r\n<body>\r\n<p>Does late&nbsp;morning work?</p>\r\n</body>\r\n</html>\r\n"},
		"start":{"dateTime":"2026-03-02T12:00:00.0000000","timeZone":"W. Europe Standard Time"},
		"end":{"dateTime":"2026-03-02T13:00:00.0000000","timeZone":"W. Europe Standard Time"},
		"location":%s,"locations":[%s,%s],
		"recurrence":{"pattern":{"type":"weekly","interval":1,"month":0,"dayOfMonth":0,"daysOfWeek":["monday"],"firstDayOfWeek":"sunday","index":"first"},
			"range":{"type":"noEnd","startDate":"2026-03-02","endDate":"0001-01-01","recurrenceTimeZone":"W. Europe Standard Time","numberOfOccurrences":0}},
		"attendees":[{"type":"required","status":{"response":"none","time":"0001-01-01T00:00:00Z"},"emailAddress":{"name":"Dana","address":"dana@contoso.example"}},
			{"type":"optional","status":{"response":"none","time":"0001-01-01T00:00:00Z"},"emailAddress":{"name":"no address"}}],
		"organizer":{"emailAddress":{"name":"Robin Weber","address":"robin@contoso.example"}},
		"onlineMeeting":{"joinUrl":"https://teams.microsoft.com/l/meetup-join/1"}}`,
		etag, id, uid, strings.TrimSuffix(strings.TrimPrefix(etag, `W/"`), `"`), place("Harry's Bar; Room 2"), place("Harry's Bar"), place("Room 2"))
	var wanted object
	w.do(json.Unmarshal([]byte(want), &wanted))
	for name := range wanted {
		if a, b := fmt.Sprint(got[name]), fmt.Sprint(wanted[name]); a != b {
			t.Errorf("%s\n got %s\nwant %s", name, a, b)
		}
	}
	for name := range got {
		if _, ok := wanted[name]; !ok {
			t.Errorf("extra %s", name)
		}
	}

	// An occurrence of it in a list.
	values, _, _ := w.all("me/calendarView?startDateTime=2026-03-09T00:00:00Z&endDateTime=2026-03-10T00:00:00Z", immutable)
	o := values[0]
	if o["type"] != "occurrence" || o["iCalUId"] != uid[:32]+"07EA0309"+uid[40:] || o["occurrenceId"] != "OID."+string(id)+".2026-03-09" ||
		o["originalStart"] != "2026-03-09T11:00:00Z" || o["recurrence"] != nil || o["seriesMasterId"] != string(id) || o["@odata.etag"] != etag || o["subject"] != "Let's go for lunch" {
		t.Errorf("occurrence %v", o)
	}
	oid := "me/events/" + url.PathEscape(o["occurrenceId"].(string))
	one := w.get(oid, immutable)
	if _, ok := one["originalStart"]; ok || one["id"] != o["id"] {
		t.Errorf("GET by OID: %v", one)
	}
	if one = w.get(oid+"?$select=originalStart", immutable); one["originalStart"] != "2026-03-09T11:00:00Z" {
		t.Errorf("selected by name: %v", one)
	}
}

func TestTimeZones(t *testing.T) {
	w := newWorld(t)
	id := w.cal.Create(meeting("x", "2026-07-01 23:30"))
	day := w.cal.Create(graphsim.Event{Subject: "day", Start: at("2026-07-01"), AllDay: true})
	for zone, want := range map[string]string{
		"":                        "2026-07-01T21:30:00.0000000 UTC",
		"W. Europe Standard Time": "2026-07-01T23:30:00.0000000 W. Europe Standard Time",
		"Pacific/Auckland":        "2026-07-02T09:30:00.0000000 Pacific/Auckland",
		"India Standard Time":     "2026-07-02T03:00:00.0000000 India Standard Time",
	} {
		var prefer []string
		if zone != "" {
			prefer = []string{fmt.Sprintf("odata.maxpagesize=5, outlook.timezone=%q", zone)}
		}
		start := w.get(w.path(id), prefer...)["start"].(object)
		if got := fmt.Sprint(start["dateTime"], " ", start["timeZone"]); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		all := w.get(w.path(day), prefer...)
		if all["start"].(object)["dateTime"] != "2026-07-01T00:00:00.0000000" || all["end"].(object)["dateTime"] != "2026-07-02T00:00:00.0000000" {
			t.Errorf("all-day in %s: %v", zone, all["start"])
		}
	}
	o, status := w.try(w.path(id), `outlook.timezone="Mars Standard Time"`)
	w.wantError(o, status, 400, "TimeZoneNotSupportedException")
	o, status = w.try(w.path(id), `outlook.timezone=""`)
	w.wantError(o, status, 400, "TimeZoneNotSupportedException")
	o, status = w.try(w.path(id), `outlook.timezone="GMT+6:30"`)
	w.wantError(o, status, 500, "InternalServerError")

	res := w.call("GET", w.path(id), "", "Prefer", `outlook.timezone="UTC"`, "Prefer", immutable+`, outlook.body-content-type="text"`)
	if got := res.Header.Get("Preference-Applied"); got != `outlook.timezone="UTC", IdType="ImmutableId", outlook.body-content-type="text"` {
		t.Errorf("applied %s", got)
	}
	res = w.call("GET", "me/"+march, "")
	if got := res.Header.Get("Preference-Applied"); got != "odata.track-changes" {
		t.Errorf("applied %s", got)
	}
	id = w.cal.Create(graphsim.Event{Subject: "b", Start: at("2026-07-01"), Body: "<style>p{}</style><p>One&amp;<b>two</b></p>three"})
	if body := w.get(w.path(id), `outlook.body-content-type="text"`)["body"].(object); body["contentType"] != "text" || body["content"] != "One&two\r\nthree" {
		t.Errorf("body %v", body)
	}
}

// TestIDs: two kinds of ids, hard on those who fold case or forget to escape.
func TestIDs(t *testing.T) {
	w := newWorld(t)
	var ids []string
	var all string
	folded := map[string]int{}
	for i := range 40 {
		id := string(w.cal.Create(meeting(fmt.Sprint(i), "2026-03-04 10:00")))
		ids = append(ids, id)
		folded[strings.ToLower(id)]++
		all += id
		if got := w.get(w.path(graph.EventID(id)), immutable); got["subject"] != fmt.Sprint(i) || got["id"] != id {
			t.Errorf("%s: %v", id, got)
		}
		classic := w.get(w.path(graph.EventID(id)))["id"].(string)
		if classic == id || len(classic) < 130 || len(id) > 80 {
			t.Errorf("classic %s of %s", classic, id)
		}
		if got := w.get(w.path(graph.EventID(classic))); got["subject"] != fmt.Sprint(i) {
			t.Errorf("%s: %v", classic, got)
		}
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 40 || len(folded) == 40 {
		t.Errorf("%d ids, %d without case", len(ids), len(folded))
	}
	for _, c := range "=+/_-." {
		if !strings.ContainsRune(all, c) {
			t.Errorf("no %c in any id", c)
		}
	}
	for _, bad := range []string{"x", "AAMkA", ids[0][:30], ids[0] + "x y", strings.ToUpper(ids[0]), "OID.x.2026-03-04"} {
		o, status := w.try(w.path(graph.EventID(bad)))
		if code := o["error"].(object)["code"]; status != 400 && status != 404 || code != "ErrorInvalidIdMalformed" && code != "ErrorItemNotFound" {
			t.Errorf("%s: %d %v", bad, status, o)
		}
	}
	o, status := w.try("me/events/nonsense")
	w.wantError(o, status, 400, "ErrorInvalidIdMalformed")

	id := w.cal.Create(weekly("s", "2026-03-02 10:00"))
	other := w.box.AddCalendar("Other", "")
	before := w.get(w.path(id))["id"].(string)
	occurrence := w.cal.Instances(at("2026-03-09"), at("2026-03-10"))[0].ID
	w.do(w.cal.Move(id, other))
	if after := w.get(w.path(id))["id"].(string); after == before {
		t.Error("the classic id has to change on a move")
	}
	o, status = w.try(w.path(graph.EventID(before)))
	w.wantError(o, status, 404, "ErrorItemNotFound")
	if got := w.get(w.path(occurrence), immutable); got["id"] != string(occurrence) {
		t.Errorf("occurrence %v", got)
	}
	o, status = w.try("me/calendar/events/" + url.PathEscape(string(id)))
	w.wantError(o, status, 404, "ErrorItemNotFound")
	w.get("me/calendars/" + url.PathEscape(string(other.ID())) + "/events/" + url.PathEscape(string(id)))
	w.get("me/calendars('" + url.PathEscape(string(other.ID())) + "')/events('" + url.PathEscape(string(id)) + "')")
}

func TestMaster(t *testing.T) {
	w := newWorld(t)
	id := w.cal.Create(weekly("s", "2026-03-02 10:00"))
	w.do(w.cal.CancelOccurrence(id, "2026-03-16"))
	w.do(w.cal.CancelOccurrence(id, "2026-03-09"))
	for _, d := range []string{"2026-03-23", "2026-03-30", "2026-04-06"} {
		w.do(w.cal.ChangeOccurrence(id, d, func(e *graphsim.Event) { e.Subject = d }))
	}
	const sel = "?$select=subject,occurrenceId,exceptionOccurrences,cancelledOccurrences"
	o := w.get(w.path(id)+sel+"&$expand=exceptionOccurrences", immutable)
	if got := fmt.Sprint(o["cancelledOccurrences"]); got != fmt.Sprintf("[OID.%s.2026-03-09 OID.%s.2026-03-16]", id, id) {
		t.Errorf("cancelled %s", got)
	}
	var got []string
	for _, e := range o["exceptionOccurrences"].([]any) {
		got = append(got, fmt.Sprint(slices.Sorted(maps.Keys(e.(object))), e.(object)["occurrenceId"]))
	}
	if len(got) != 3 || got[0] != "[@odata.etag id occurrenceId subject]OID."+string(id)+".2026-03-23" {
		t.Errorf("exceptions %q", got)
	}
	if keys := slices.Sorted(maps.Keys(o)); !slices.Contains(keys, "id") || slices.Contains(keys, "start") {
		t.Errorf("keys %v", keys)
	}
	if o := w.get(w.path(id) + sel); o["exceptionOccurrences"] != nil || o["cancelledOccurrences"] == nil {
		t.Errorf("exceptionOccurrences has to be expanded as well: %v", o)
	}
	if o := w.get(w.path(id) + "?$expand=exceptionOccurrences"); o["exceptionOccurrences"] != nil || o["cancelledOccurrences"] != nil {
		t.Errorf("both have to be selected: %v", o)
	}
	values, _, _ := w.all("me/events?" + sel[1:])
	if values[0]["cancelledOccurrences"] != nil {
		t.Error("cancelledOccurrences in a list")
	}
	o2, status := w.try(w.path(graph.EventID("OID." + string(id) + ".2026-03-09")))
	w.wantError(o2, status, 404, "ErrorItemNotFound")
	o2, status = w.try(w.path(id) + "?$select=nonsense")
	w.wantError(o2, status, 400, "BadRequest")
	o2, status = w.try(w.path(id) + "?$expand=nonsense")
	w.wantError(o2, status, 400, "BadRequest")

	w.srv.ExceptionPage = 2
	o = w.get(w.path(id)+sel+"&$expand=exceptionOccurrences", immutable)
	next, _ := o["exceptionOccurrences@odata.nextLink"].(string)
	if len(o["exceptionOccurrences"].([]any)) != 2 || next == "" {
		t.Fatalf("first page %v", o)
	}
	values, _, _ = w.all(next, immutable)
	if len(values) != 1 || values[0]["subject"] != "2026-04-06" || values[0]["start"] != nil {
		t.Errorf("rest %v", values)
	}

	w.srv.NoCancelledOccurrences = true
	o2, status = w.try(w.path(id) + "?$select=cancelledOccurrences")
	w.wantError(o2, status, 400, "BadRequest")

	values, _, _ = w.all(w.path(id) + "/instances?startDateTime=2026-03-01T00:00:00Z&endDateTime=2026-04-10T00:00:00Z")
	w.want(values, "occurrence 2026-03-02T09:00 s", "exception 2026-03-23T09:00 2026-03-23", "exception 2026-03-30T08:00 2026-03-30", "exception 2026-04-06T08:00 2026-04-06")
	w.srv.InstancesLackExceptions = true
	values, _, _ = w.all(w.path(id) + "/instances?startDateTime=2026-03-01T00:00:00Z&endDateTime=2026-04-10T00:00:00Z")
	w.want(values, "occurrence 2026-03-02T09:00 s")
}

// TestInvitation: how a meeting of somebody else looks, and one that he cancelled in part.
func TestInvitation(t *testing.T) {
	w := newWorld(t)
	dana := graph.EmailAddress{Name: "Dana", Address: "dana@contoso.example"}
	e := weekly("s", "2026-03-02 10:00")
	e.Organizer, e.Attendees = dana, []graph.Attendee{{EmailAddress: graph.EmailAddress{Name: "Sam", Address: "sam@contoso.example"}}}
	id := w.cal.Create(e)
	who := func(o object) string {
		var all []string
		for _, a := range o["attendees"].([]any) {
			a := a.(object)
			all = append(all, fmt.Sprint(a["emailAddress"].(object)["name"], ":", a["status"].(object)["response"]))
		}
		return strings.Join(all, " ")
	}
	o := w.get(w.path(id))
	if o["isOrganizer"] != false || o["responseStatus"].(object)["response"] != "notResponded" || who(o) != "Dana:none Sam:none Robin Weber:notResponded" {
		t.Errorf("%v %s", o["responseStatus"], who(o))
	}
	w.do(w.cal.Respond(id, "tentativelyAccepted"))
	if o = w.get(w.path(id)); o["responseStatus"].(object)["response"] != "tentativelyAccepted" || o["showAs"] != "tentative" || who(o) != "Dana:none Sam:none Robin Weber:tentativelyAccepted" {
		t.Errorf("%v %s", o["responseStatus"], who(o))
	}
	w.do(w.cal.CancelOccurrenceByOrganizer(id, "2026-03-09"))
	o = w.get(w.path(graph.EventID("OID." + string(id) + ".2026-03-09")))
	if o["type"] != "exception" || o["isCancelled"] != true || o["subject"] != "Canceled: s" || o["showAs"] != "free" {
		t.Errorf("%v", o)
	}
	if o = w.get(w.path(id) + "?$select=cancelledOccurrences,exceptionOccurrences&$expand=exceptionOccurrences"); len(o["cancelledOccurrences"].([]any)) != 0 || len(o["exceptionOccurrences"].([]any)) != 1 {
		t.Errorf("%v", o)
	}
	w.do(w.cal.Change(id, func(e *graphsim.Event) { e.HideAttendees = true }))
	if got := who(w.get(w.path(id))); got != "Dana:none Robin Weber:tentativelyAccepted" {
		t.Errorf("hidden attendees: %s", got)
	}
	plain := w.cal.Create(meeting("own", "2026-03-02 10:00"))
	if o = w.get(w.path(plain)); o["responseStatus"].(object)["response"] != "none" || o["isOrganizer"] != true {
		t.Errorf("appointment %v", o["responseStatus"])
	}
}

// TestExtra: odd values go out as they are.
func TestExtra(t *testing.T) {
	w := newWorld(t)
	e := weekly("s", "2026-03-02 10:00")
	e.Zone = "tzone://Microsoft/Custom"
	e.Extra = map[string]any{"subject": nil, "iCalUId": nil, "organizer": nil, "start": map[string]any{"dateTime": "0001-01-01T00:00:00.0000000Z", "timeZone": "tzone://Microsoft/Utc"}}
	id := w.cal.Create(e)
	o := w.get(w.path(id))
	if v, ok := o["subject"]; !ok || v != nil || o["iCalUId"] != nil || o["start"].(object)["timeZone"] != "tzone://Microsoft/Utc" || o["originalStartTimeZone"] != "tzone://Microsoft/Custom" {
		t.Errorf("%v", o)
	}
	o = w.get(w.path(graph.EventID("OID." + string(id) + ".2026-03-09")))
	if v, ok := o["subject"]; !ok || v != nil || o["iCalUId"] == nil || o["start"].(object)["dateTime"] != "2026-03-09T09:00:00.0000000" {
		t.Errorf("occurrence %v", o)
	}
	w.do(w.cal.ChangeOccurrence(id, "2026-03-09", func(e *graphsim.Event) { e.Extra["subject"] = "x" }))
	if o = w.get(w.path(graph.EventID("OID." + string(id) + ".2026-03-09"))); o["subject"] != "x" || o["iCalUId"] == nil {
		t.Errorf("exception %v", o)
	}
	if o = w.get(w.path(id)); o["subject"] != nil {
		t.Errorf("master %v", o["subject"])
	}
}

func TestLists(t *testing.T) {
	w := newWorld(t)
	for i := range 12 {
		w.cal.Create(meeting(fmt.Sprintf("e%02d and more", i), fmt.Sprintf("2026-03-%02d 10:00", 28-i)))
		w.clock = w.clock.Add(time.Minute)
	}
	id := w.cal.Create(weekly("series", "2026-01-05 10:00"))
	uid := w.get(w.path(id))["iCalUId"].(string)
	subjects := func(url string) string {
		t.Helper()
		values, _, _ := w.all(strings.ReplaceAll(url, " ", "%20"))
		var all []string
		for _, v := range values {
			s := v["subject"].(string)
			all = append(all, s[:min(3, len(s))])
		}
		return strings.Join(all, " ")
	}
	for url, want := range map[string]string{
		"me/events": "e00 e01 e02 e03 e04 e05 e06 e07 e08 e09 e10 e11 ser",
		"me/calendar/events?$top=5&$orderby=start/dateTime":                                                     "ser e11 e10 e09 e08 e07 e06 e05 e04 e03 e02 e01 e00",
		"me/events?$orderby=start/dateTime desc&$skip=11":                                                       "e11 ser",
		"me/events?$filter=start/dateTime ge '2026-03-26T09:00:00Z' and start/dateTime lt '2026-03-28T09:00'":   "e01 e02",
		"me/events?$filter=start/dateTime gt '2026-03-26T09:00:00' and start/dateTime le '2026-03-28T10:00:00'": "e00 e01",
		"me/events?$filter=lastModifiedDateTime ge 2026-03-02T09:11:00Z":                                        "e11 ser",
		"me/events?$filter=iCalUId eq '" + uid + "'":                                                            "ser",
		"me/events?$filter=type eq 'seriesMaster'":                                                              "ser",
		"me/events?$filter=subject eq 'e03 and more' and type eq 'singleInstance'":                              "e03",
		"me/calendarView?startDateTime=2026-03-01T00:00:00Z&endDateTime=2026-03-19T00:00:00Z":                   "ser ser ser e11 e10",
	} {
		if got := subjects(url); got != want {
			t.Errorf("%s\n got %s\nwant %s", url, got, want)
		}
	}
	o := w.get("me/events")
	if len(o["value"].([]any)) != 10 || !strings.HasSuffix(o["@odata.nextLink"].(string), "/me/events?$skip=10") {
		t.Errorf("the page size is ten: %d %v", len(o["value"].([]any)), o["@odata.nextLink"])
	}
	if o = w.get("me/events?$select=subject", "odata.maxpagesize=2"); len(o["value"].([]any)) != 2 || len(o["value"].([]any)[0].(object)) != 3 {
		t.Errorf("%v", o["value"])
	}
	o = w.get("me/calendarView?startDateTime=2026-03-01T00:00:00Z&endDateTime=2026-03-19T00:00:00Z&$select=subject,createdDateTime")
	if o["value"].([]any)[0].(object)["createdDateTime"] != nil {
		t.Error("createdDateTime cannot be selected in a calendarView")
	}
	for _, bad := range []string{"me/events?$filter=x eq 1", "me/events?$filter=start/dateTime ge 2026-01-01", "me/events?$filter=contains(subject,'x')",
		"me/events?$filter=start/dateTime ge 'soon'", "me/events?$orderby=body", "me/events?$orderby=subject up", "me/events?$top=0", "me/events?$top=1001",
		"me/events?$top=x", "me/events?$skip=-1", "me/events?$select=x", "me/events?$expand=instances", "me/calendarView", "me/calendarView?startDateTime=2026-01-01&endDateTime=2036-01-01"} {
		if o, status := w.try(strings.ReplaceAll(bad, " ", "%20")); status != 400 || o["error"] == nil {
			t.Errorf("%s: %d %v", bad, status, o)
		}
	}
}

func TestCalendars(t *testing.T) {
	w := newWorld(t)
	family := w.box.AddCalendar("Family", "#00cc6a")
	family.SetCanEdit(false)
	for i := range 9 {
		w.box.AddCalendar(fmt.Sprint("c", i), "")
	}
	values, _, pages := w.all("me/calendars")
	if len(values) != 11 || pages != 2 {
		t.Errorf("%d calendars on %d pages", len(values), pages)
	}
	if c := values[0]; c["isDefaultCalendar"] != true || c["name"] != "Calendar" || c["hexColor"] != "" || c["color"] != "auto" || c["owner"].(object)["address"] != "robin@contoso.example" || c["isRemovable"] != false {
		t.Errorf("%v", c)
	}
	if c := values[1]; c["isDefaultCalendar"] != false || c["name"] != "Family" || c["hexColor"] != "#00cc6a" || c["color"] != "lightGreen" || c["canEdit"] != false || c["id"] != string(family.ID()) {
		t.Errorf("%v", c)
	}
	if w.get("me/calendar")["id"] != string(w.cal.ID()) {
		t.Error("me/calendar")
	}
	own := "me/calendars/" + url.PathEscape(string(family.ID()))
	family.Rename("Us")
	family.Recolor("#123456")
	if c := w.get(own); c["name"] != "Us" || c["hexColor"] != "#123456" || c["color"] != "auto" {
		t.Errorf("%v", c)
	}
	group := w.get("me/calendarGroups")["value"].([]any)[0].(object)["id"].(string)
	if values, _, _ = w.all("me/calendarGroups/" + url.PathEscape(group) + "/calendars"); len(values) != 11 {
		t.Errorf("%d in the group", len(values))
	}
	id := family.Create(meeting("x", "2026-03-04 10:00"))
	w.box.RemoveCalendar(family)
	w.box.RemoveCalendar(w.cal)
	if len(w.box.Calendars()) != 10 {
		t.Errorf("%d calendars left", len(w.box.Calendars()))
	}
	for path, want := range map[string]int{own: 404, own + "/" + march: 404, w.path(id): 404, "me/calendars/x": 400, "me/nonsense": 400, "me/messages": 400,
		"me/calendar/nonsense": 400, "groups/x/calendar": 400, "users": 403, "me/outlook/supportedTimeZones": 501, "": 400} {
		if o, status := w.try(path); status != want || o["error"] == nil {
			t.Errorf("%q: %d %v", path, status, o)
		}
	}
	if me := w.get("me"); me["mail"] != "robin@contoso.example" || me["displayName"] != "Robin Weber" {
		t.Errorf("%v", me)
	}
	if s := w.get("me/mailboxSettings"); s["timeZone"] != "W. Europe Standard Time" {
		t.Errorf("%v", s)
	}
	w.box.AddCategory("Travel", "preset2")
	if values, _, _ = w.all("me/outlook/masterCategories"); len(values) != 7 || values[6]["displayName"] != "Travel" || values[6]["color"] != "preset2" {
		t.Errorf("%v", values)
	}
}

// TestSharedInto: the events of a calendar that somebody has shared into a mailbox are only at the path of that calendar.
func TestSharedInto(t *testing.T) {
	w := newWorld(t, func(s *graphsim.Server) { s.PrivateUnreadable, s.SelectDropsLink = true, true })
	boss := w.srv.AddMailbox("boss@contoso.example", "Boss", "UTC")
	cal := w.box.AddSharedCalendar("Boss's", boss)
	id := cal.Create(weekly("Talk", "2026-03-02 12:00"))
	secret := meeting("Secret", "2026-03-03 12:00")
	secret.Sensitivity = "private"
	hidden := cal.Create(secret)
	in := func(c *graphsim.Calendar, id graph.EventID) string {
		return "me/calendars/" + url.PathEscape(string(c.ID())) + "/events/" + url.PathEscape(string(id))
	}
	for path, want := range map[string]int{
		w.path(id): 404, in(cal, id): 200, in(w.cal, id): 404, in(cal, id) + "/instances?startDateTime=2026-03-01&endDateTime=2026-04-01": 200,
		w.path(hidden): 404, in(cal, hidden): 404, in(cal, "") + "?$top=10": 200,
	} {
		if _, status := w.try(strings.Replace(path, "/?", "?", 1), immutable); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	if got := w.get(in(cal, id)+"?$select=subject", immutable); got["calendar@odata.navigationLink"] != nil {
		t.Errorf("a link beside $select: %v", got)
	}
	if owner := fmt.Sprint(w.get("me/calendars/" + url.PathEscape(string(cal.ID())))["owner"]); !strings.Contains(owner, "boss@") {
		t.Errorf("owner %s", owner)
	}
}

// A batch counts as so many requests at once as it has parts, up to four, and may let only some of them through.
func TestPartsOfABatch(t *testing.T) {
	w := newWorld(t)
	w.srv.BatchParts = 2
	var parts []object
	for i := range 5 {
		parts = append(parts, object{"id": fmt.Sprint(i), "method": "GET", "url": "/me/calendars"})
	}
	answers, _, _ := w.batch(parts...)
	served := 0
	for _, a := range answers {
		switch a["status"] {
		case 200.0:
			served++
		case 429.0:
			if a["headers"].(object)["Retry-After"] != "1" {
				t.Errorf("answer %v", a)
			}
		default:
			t.Errorf("answer %v", a)
		}
	}
	if n := w.srv.MaxConcurrent(); served != 2 || n != 4 {
		t.Errorf("%d served, %d at once", served, n)
	}
}
