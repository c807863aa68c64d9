package graphsim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

func writerOf(t *testing.T, writing graphsim.Writing, with ...func(*graphsim.Server)) *world {
	w := newWorld(t, append(with, func(s *graphsim.Server) { s.Writing = writing })...)
	w.token = w.signIn("Calendars.ReadWrite")["access_token"].(string)
	return w
}

// What a client cannot say is ignored or refused; a reminder is on where nothing is said of it.
func TestWhatACreateCannotSay(t *testing.T) {
	w := writerOf(t, graphsim.Writing{})
	o, status := w.send("POST", "me/events", `{"transactionId":"1",`+at9+`,"organizer":{"emailAddress":{"address":"dana@outside.example"}},"originalStartTimeZone":"Tokyo Standard Time"}`)
	if status != 201 || o["isOrganizer"] != true || o["originalStartTimeZone"] != "UTC" || o["isReminderOn"] != true || o["reminderMinutesBeforeStart"] != 15.0 {
		t.Errorf("%d %v", status, o)
	}
	for _, property := range []string{`"isOrganizer":false`, `"isDraft":false`, `"uid":"x"`, `"type":"occurrence"`} {
		if o, status = w.send("POST", "me/events", `{"transactionId":"2",`+at9+`,`+property+`}`); status != 400 {
			t.Errorf("%s: %d %v", property, status, o)
		}
	}
	o, status = w.send("POST", "me/events", `{"transactionId":"3",`+at9+`,"recurrence":{"pattern":{"type":"daily","interval":1},"range":{"type":"noEnd","startDate":"2026-03-02","recurrenceTimeZone":""}}}`)
	w.wantError(o, status, 400, "TimeZoneNotSupportedException")
}

func TestDuplicateTransaction(t *testing.T) {
	post := `{"subject":"a","transactionId":"1",` + at9 + `}`
	for _, tt := range []struct {
		duplicates graphsim.Duplicates
		status     int
		named      bool
	}{{graphsim.DuplicateRefused, 400, true}, {graphsim.DuplicateConflict, 409, true}, {graphsim.DuplicateUnnamed, 400, false}, {graphsim.DuplicateAsIfMade, 201, false}} {
		w := writerOf(t, graphsim.Writing{Duplicates: tt.duplicates})
		first, _ := w.send("POST", "me/events", post, "Prefer", immutable)
		o, status := w.send("POST", "me/events", post, "Prefer", immutable)
		e, _ := o["error"].(object)
		if status != tt.status || (e["@event.existingEventId"] == first["id"]) != tt.named || status == 201 && o["id"] != first["id"] || len(w.srv.Violations()) != 0 || len(w.cal.Events()) != 1 {
			t.Errorf("%q: %d %v %v", tt.duplicates, status, o, w.srv.Violations())
		}
		w.send("POST", "me/events", strings.Replace(post, `"a"`, `"b"`, 1))
		w.send("POST", "me/events", strings.Replace(post, `"transactionId":"1",`, ``, 1))
		if v := w.srv.Violations(); len(v) != 2 {
			t.Error(v)
		}
	}
}

// What becomes of exceptions and cancellations where a series' times or rule are sent.
func TestRetimedSeries(t *testing.T) {
	const rule = `"recurrence":{"pattern":{"type":"weekly","interval":1,"daysOfWeek":["monday"],"firstDayOfWeek":"sunday"},"range":{"type":"noEnd","startDate":"2026-03-02"}}`
	for _, tt := range []struct {
		body       string
		writing    graphsim.Writing
		exceptions string
		cancelled  string
	}{
		{`{"subject":"b"}`, graphsim.Writing{}, "[2026-03-09]", "[2026-03-16]"},
		{`{` + at11 + `}`, graphsim.Writing{}, "[]", "[]"},
		{`{` + rule + `}`, graphsim.Writing{}, "[]", "[]"},
		{`{` + at11 + `}`, graphsim.Writing{KeepExceptions: true}, "[2026-03-09]", "[]"},
		{`{` + rule + `}`, graphsim.Writing{KeepCancellations: true}, "[]", "[2026-03-16]"},
		{`{"recurrence":{"pattern":{"type":"weekly","interval":1,"daysOfWeek":["monday"],"firstDayOfWeek":"sunday"},"range":{"type":"endDate","startDate":"2026-03-02","endDate":"2026-03-10"}}}`,
			graphsim.Writing{KeepExceptions: true, KeepCancellations: true}, "[2026-03-09]", "[]"},
	} {
		w := writerOf(t, tt.writing)
		id := w.cal.Create(weekly("a", "2026-03-02 10:00"))
		w.do(w.cal.ChangeOccurrence(id, "2026-03-09", func(e *graphsim.Event) { e.Location = "B" }))
		w.do(w.cal.CancelOccurrence(id, "2026-03-16"))
		if o, status := w.send("PATCH", w.path(id), tt.body, "If-Match", "*"); status != 200 {
			t.Errorf("%d %v", status, o)
		}
		exceptions, cancelled, err := w.cal.Occurrences(id)
		if err != nil || fmt.Sprint(exceptions) != tt.exceptions || fmt.Sprint(cancelled) != tt.cancelled {
			t.Errorf("%s %+v: %v %v %v", tt.body, tt.writing, exceptions, cancelled, err)
		}
	}
}

func TestStartAlone(t *testing.T) {
	const ten = `{"start":{"dateTime":"2026-03-02T09:30:00","timeZone":"UTC"}}`
	const noon = `{"start":{"dateTime":"2026-03-02T20:00:00","timeZone":"Tokyo Standard Time"}}`
	w := writerOf(t, graphsim.Writing{})
	id := w.cal.Create(meeting("a", "2026-03-02 10:00"))
	if o, status := w.send("PATCH", w.path(id), ten, "If-Match", "*"); status != 200 || o["end"].(object)["dateTime"] != "2026-03-02T10:00:00.0000000" {
		t.Errorf("%d %v", status, o)
	}
	o, status := w.send("PATCH", w.path(id), noon, "If-Match", "*")
	w.wantError(o, status, 400, "ErrorPropertyValidationFailure")
	w = writerOf(t, graphsim.Writing{EndFollows: true})
	id = w.cal.Create(meeting("a", "2026-03-02 10:00"))
	if o, status := w.send("PATCH", w.path(id), noon, "If-Match", "*"); status != 200 || o["end"].(object)["dateTime"] != "2026-03-02T12:00:00.0000000" || len(w.srv.Violations()) != 1 {
		t.Errorf("%d %v %v", status, o, w.srv.Violations())
	}
}

func TestOccurrenceWrites(t *testing.T) {
	const toNext = `{"start":{"dateTime":"2026-03-16T15:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-03-16T16:00:00","timeZone":"UTC"}}`
	for _, writing := range []graphsim.Writing{{}, {PassDeleted: true}, {NoOccurrenceIDs: true}} {
		w := writerOf(t, writing)
		id := w.cal.Create(weekly("a", "2026-03-02 10:00"))
		w.do(w.cal.CancelOccurrence(id, "2026-03-16"))
		o, status := w.send("PATCH", w.path(graph.OccurrenceID(id, "2026-03-09")), toNext)
		switch {
		case writing.NoOccurrenceIDs:
			w.wantError(o, status, 400, "ErrorInvalidIdMalformed")
			_, status = w.send("DELETE", w.path(graph.OccurrenceID(id, "2026-03-09")), "")
			if status != 400 {
				t.Errorf("%d", status)
			}
			continue
		case writing.PassDeleted:
			if status != 200 {
				t.Errorf("%d %v", status, o)
			}
		default:
			w.wantError(o, status, 400, "ErrorOccurrenceCrossingBoundary")
			o, _ = w.send("PATCH", w.path(graph.OccurrenceID(id, "2026-03-09")), `{"subject":"b"}`)
		}
		// An exception has an ETag of its own.
		exception := w.path(graph.EventID(o["id"].(string)))
		master := w.get(w.path(id))["@odata.etag"].(string)
		w.do(w.cal.Touch(id))
		etag := w.get(exception)["@odata.etag"].(string)
		if etag != o["@odata.etag"] || etag == w.get(w.path(id))["@odata.etag"] {
			t.Errorf("%s of %s and %v", etag, o["@odata.etag"], master)
		}
		o, status = w.send("PATCH", exception, `{"subject":"c"}`, "If-Match", w.get(w.path(id))["@odata.etag"].(string))
		w.wantError(o, status, 412, "ErrorIrresolvableConflict")
		if o, status = w.send("PATCH", exception, `{"subject":"c"}`, "If-Match", etag); status != 200 {
			t.Errorf("%d %v", status, o)
		}
		if v := w.srv.Violations(); len(v) != 0 {
			t.Error(v)
		}
	}
}

func TestDeletedTwice(t *testing.T) {
	w := writerOf(t, graphsim.Writing{})
	id := w.cal.Create(meeting("a", "2026-03-02 10:00"))
	w.send("DELETE", w.path(id), "", "If-Match", "*")
	o, status := w.send("DELETE", w.path(id), "", "If-Match", "*")
	w.wantError(o, status, 400, "ErrorInvalidRequest")
	o, status = w.try(w.path(id))
	w.wantError(o, status, 404, "ErrorItemNotFound")
	w.clock = w.clock.Add(50 * time.Minute)
	w.token = w.signIn("Calendars.ReadWrite")["access_token"].(string)
	w.clock = w.clock.Add(20 * time.Minute)
	o, status = w.send("DELETE", w.path(id), "", "If-Match", "*")
	w.wantError(o, status, 404, "ErrorItemNotFound")
}

func TestBodies(t *testing.T) {
	w := writerOf(t, graphsim.Writing{})
	o, _ := w.send("POST", "me/events", `{"transactionId":"1",`+at9+`,"body":{"contentType":"text","content":"a < b\nc"}}`)
	body := o["body"].(object)["content"].(string)
	if !strings.Contains(body, "<!-- converted from text -->") || !strings.Contains(body, `<div class="PlainText">a &lt; b<br>`) || o["bodyPreview"] != "a < b c" {
		t.Errorf("%q %q", body, o["bodyPreview"])
	}
	path := w.path(graph.EventID(o["id"].(string)))
	w.send("PATCH", path, `{"body":{"contentType":"text","content":"a < b\nc"}}`, "If-Match", "*")
	if v := w.srv.Violations(); len(v) != 1 || !strings.Contains(v[0], "does not change") {
		t.Error(v)
	}
	w.srv.ResetViolations()
	w.srv.Writing.PlainBodies = true
	if o, _ = w.send("PATCH", path, `{"body":{"contentType":"text","content":"d"}}`, "If-Match", "*"); strings.Contains(o["body"].(object)["content"].(string), "PlainText") {
		t.Errorf("%v", o["body"])
	}
}

func TestOnlineMeetingBody(t *testing.T) {
	for _, renew := range []bool{false, true} {
		w := writerOf(t, graphsim.Writing{RenewMeetings: renew})
		o, _ := w.send("POST", "me/events", `{"subject":"a","transactionId":"1",`+at9+`,"isOnlineMeeting":true,"body":{"contentType":"html","content":"<p>b</p>"}}`)
		url1 := o["onlineMeeting"].(object)["joinUrl"]
		path := w.path(graph.EventID(o["id"].(string)))
		if strings.Contains(o["body"].(object)["content"].(string), url1.(string)) {
			t.Error("the join information comes later")
		}
		w.clock = w.clock.Add(5 * time.Second)
		content := w.get(path)["body"].(object)["content"].(string)
		if !strings.Contains(content, url1.(string)) || !strings.Contains(content, "<p>b</p>") {
			t.Errorf("%q", content)
		}
		replace := func(content string) object {
			b, _ := json.Marshal(object{"body": object{"contentType": "html", "content": content}})
			o, status := w.send("PATCH", path, string(b), "If-Match", "*")
			if status != 200 {
				t.Errorf("%d %v", status, o)
			}
			return o
		}
		if o = replace(strings.Replace(content, "<p>b</p>", "<p>c</p>", 1)); o["isOnlineMeeting"] != true || len(w.srv.Violations()) != 0 {
			t.Errorf("%v %v", o, w.srv.Violations())
		}
		o = replace("<p>d</p>")
		if len(w.srv.Violations()) != 1 || o["isOnlineMeeting"] != renew {
			t.Errorf("%v %v", o, w.srv.Violations())
		}
		if renew && o["onlineMeeting"].(object)["joinUrl"] == url1 {
			t.Errorf("%v", o)
		}
	}
}

// Exchange comes back to what was written.
func TestLaterTouches(t *testing.T) {
	w := writerOf(t, graphsim.Writing{})
	w.srv.AddMailbox("adele@contoso.example", "Adele Vance", "UTC")
	o, _ := w.send("POST", "me/events", `{"subject":"a","transactionId":"1",`+at9+`,"attendees":[{"emailAddress":{"address":"adele@contoso.example"}},
		{"type":"resource","emailAddress":{"address":"room@contoso.example"}}]}`)
	path := w.path(graph.EventID(o["id"].(string)))
	if now := w.get(path); now["@odata.etag"] != o["@odata.etag"] {
		t.Errorf("too early: %v", now)
	}
	w.clock = w.clock.Add(5 * time.Second)
	now := w.get(path)
	list := now["attendees"].([]any)
	if now["@odata.etag"] == o["@odata.etag"] || list[0].(object)["emailAddress"].(object)["name"] != "Adele Vance" || list[1].(object)["status"].(object)["response"] != "accepted" {
		t.Errorf("%v", now)
	}
	o, _ = w.send("PATCH", path, `{"showAs":"oof"}`, "If-Match", now["@odata.etag"].(string))
	w.srv.Settle()
	if now = w.get(path); now["@odata.etag"] == o["@odata.etag"] {
		t.Errorf("%v", now)
	}
	w.srv.Writing.Calm = true
	o, _ = w.send("PATCH", path, `{"showAs":"free"}`, "If-Match", now["@odata.etag"].(string))
	w.srv.Settle()
	if now = w.get(path); now["@odata.etag"] != o["@odata.etag"] {
		t.Errorf("%v", now)
	}
}

// A page may show the calendar as it was before the last write; the next one has it all.
func TestStalePages(t *testing.T) {
	var stale func(r *http.Request) bool
	w := writerOf(t, graphsim.Writing{Calm: true}, func(s *graphsim.Server) {
		s.Stale = func(r *http.Request) bool { return stale != nil && stale(r) }
	})
	old := w.cal.Create(meeting("old", "2026-03-02 10:00"))
	series := w.cal.Create(weekly("series", "2026-03-03 10:00"))
	_, link, _ := w.all("me/calendars/"+url.PathEscape(string(w.cal.ID()))+"/"+march, immutable)
	subjects := func() string {
		var all []object
		all, link, _ = w.all(link, immutable)
		var names []string
		for _, v := range all {
			if v["@removed"] != nil {
				names = append(names, "gone")
			} else if v["subject"] != nil {
				names = append(names, v["subject"].(string))
			}
		}
		return strings.Join(names, ",")
	}
	always := func(*http.Request) bool { return true }
	for _, tt := range []struct{ method, path, body, want string }{
		{"POST", "me/events", `{"subject":"new","transactionId":"1",` + at9 + `}`, "new"},
		{"PATCH", w.path(old), `{"subject":"newer"}`, "newer"},
		{"PATCH", w.path(graph.OccurrenceID(series, "2026-03-10")), `{"subject":"exception"}`, "series,exception"},
		{"DELETE", w.path(graph.OccurrenceID(series, "2026-03-17")), ``, "series,exception"},
		{"DELETE", w.path(old), ``, "gone"},
	} {
		if o, status := w.send(tt.method, tt.path, tt.body, "If-Match", "*"); status >= 300 {
			t.Fatalf("%d %v", status, o)
		}
		stale = always
		if got := subjects(); got != "" {
			t.Errorf("%s %s: a stale page has %s", tt.method, tt.path, got)
		}
		stale = nil
		if got := subjects(); got != tt.want {
			t.Errorf("%s %s: got %s, want %s", tt.method, tt.path, got, tt.want)
		}
		if got := subjects(); got != "" {
			t.Errorf("%s %s: again %s", tt.method, tt.path, got)
		}
	}
	stale = always
	if o, status := w.try(w.path(old)); status != 200 || o["subject"] != "newer" {
		t.Errorf("%d %v", status, o)
	}
	stale = nil
	if _, status := w.try(w.path(old)); status != 404 {
		t.Errorf("%d", status)
	}
	w.srv.Writing.StaleFor = 10 * time.Second
	w.send("PATCH", w.path(series), `{"subject":"renamed"}`, "If-Match", "*")
	if got := subjects(); got != "" || w.get(w.path(series))["subject"] != "renamed" {
		t.Errorf("got %s", got)
	}
	w.clock = w.clock.Add(10 * time.Second)
	if got := subjects(); !strings.HasPrefix(got, "renamed") {
		t.Errorf("got %s", got)
	}
	if v := w.srv.Violations(); len(v) != 0 {
		t.Error(v)
	}
}

func TestExtendedProperties(t *testing.T) {
	w := writerOf(t, graphsim.Writing{})
	const id = "String {c1f0a6de-7b36-4d59-9a41-3f8e5c2d7b10} Name ClientUid"
	o, _ := w.send("POST", "me/events", `{"subject":"a","transactionId":"1",`+at9+`,"singleValueExtendedProperties":[{"id":"`+id+`","value":"it's"}]}`)
	if o["singleValueExtendedProperties"] != nil {
		t.Errorf("%v", o)
	}
	filter := func(id, value string) int {
		q := url.Values{"$filter": {"singleValueExtendedProperties/Any(ep: ep/id eq '" + id + "' and ep/value eq '" + strings.ReplaceAll(value, "'", "''") + "')"}}
		all, _, _ := w.all("me/events?" + q.Encode())
		return len(all)
	}
	if filter(id, "IT'S") != 1 || filter(id, "other") != 0 || filter(strings.Replace(id, "ClientUid", "clientuid", 1), "it's") != 0 {
		t.Error("the filter does not compare as it should")
	}
	expand := "?$expand=" + url.QueryEscape("singleValueExtendedProperties($filter=id eq '"+id+"')")
	path := w.path(graph.EventID(o["id"].(string)))
	if got := fmt.Sprint(w.get(path + expand)["singleValueExtendedProperties"]); got != "[map[id:"+id+" value:it's]]" {
		t.Error(got)
	}
	w.send("PATCH", path, `{"singleValueExtendedProperties":[{"id":"`+id+`","value":"other"}]}`, "If-Match", "*")
	if filter(id, "other") != 1 || filter(id, "it's") != 0 {
		t.Error("the property did not change")
	}
	o, status := w.send("PATCH", path, `{"singleValueExtendedProperties":[{"id":"nonsense","value":"x"}]}`, "If-Match", "*")
	w.wantError(o, status, 400, "ErrorInvalidProperty")
}

func TestBadManners(t *testing.T) {
	const rule = `"recurrence":{"pattern":{"type":"weekly","interval":1,"daysOfWeek":["monday"],"firstDayOfWeek":"sunday"%s},"range":{"type":"noEnd","startDate":"2026-03-02"%s}}`
	for _, tt := range []struct{ name, method, body, want string }{
		{"none", "PATCH", `{"subject":"b"}`, ""},
		{"unchanged", "PATCH", `{"subject":"b","showAs":"busy","categories":[]}`, "with categories, which does not change, with showAs, which does not change"},
		{"unchanged times", "PATCH", `{` + at9 + `}`, "with end, which does not change, with start, which does not change"},
		{"unchanged rule", "PATCH", `{` + fmt.Sprintf(rule, "", "") + `}`, "with recurrence, which does not change"},
		{"rule with new times", "PATCH", `{` + at11 + `,` + fmt.Sprintf(rule, "", "") + `}`, ""},
		{"filler", "PATCH", `{` + at11 + `,` + fmt.Sprintf(rule, `,"index":"first"`, `,"endDate":"0001-01-01"`) + `}`, "a recurrence with index, which weekly does not have, a recurrence with endDate, which noEnd does not have"},
		{"another zone", "PATCH", `{` + at11 + `,` + fmt.Sprintf(rule, "", `,"recurrenceTimeZone":"Tokyo Standard Time"`) + `}`, "a recurrence in Tokyo Standard Time of an event in UTC"},
		{"end alone", "PATCH", `{"end":{"dateTime":"2026-03-02T11:00:00","timeZone":"UTC"}}`, "with one of start and end"},
	} {
		w := writerOf(t, graphsim.Writing{})
		e := weekly("a", "2026-03-02 09:00")
		e.Zone = "UTC"
		id := w.cal.Create(e)
		if o, status := w.send(tt.method, w.path(id), tt.body, "If-Match", w.get(w.path(id))["@odata.etag"].(string)); status != 200 {
			t.Errorf("%s: %d %v", tt.name, status, o)
		}
		var got []string
		for _, v := range w.srv.Violations() {
			got = append(got, strings.TrimPrefix(v, `PATCH of "a" `))
		}
		if strings.Join(got, ", ") != tt.want {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
	w := writerOf(t, graphsim.Writing{})
	id := w.cal.Create(weekly("a", "2026-03-02 09:00"))
	w.send("PATCH", w.path(id), `{"subject":"b"}`)
	w.send("DELETE", w.path(graph.OccurrenceID(id, "2026-03-09")), "")
	w.send("POST", w.path(id)+"/permanentDelete", "")
	if v := w.srv.Violations(); len(v) != 2 || !strings.Contains(v[0], "without If-Match") || !strings.Contains(v[1], "permanentDelete") {
		t.Error(v)
	}
}

func TestCalendarWrites(t *testing.T) {
	w := writerOf(t, graphsim.Writing{})
	o, status := w.send("POST", "me/calendars", `{"name":"Garden","color":"lightGreen"}`)
	if status != 201 || o["color"] != "lightGreen" || len(w.box.Calendars()) != 2 {
		t.Errorf("%d %v", status, o)
	}
	path := "me/calendars/" + url.PathEscape(o["id"].(string))
	o, status = w.send("POST", "me/calendars", `{"name":"garden"}`)
	w.wantError(o, status, 409, "ErrorFolderExists")
	if o, status = w.send("PATCH", path, `{"name":"Yard"}`); status != 200 || o["name"] != "Yard" {
		t.Errorf("%d %v", status, o)
	}
	if _, status = w.send("DELETE", path, ""); status != 204 || len(w.box.Calendars()) != 1 {
		t.Errorf("%d", status)
	}
	o, status = w.send("DELETE", "me/calendar", "")
	w.wantError(o, status, 400, "ErrorInvalidRequest")
}

func TestGetSchedule(t *testing.T) {
	w := writerOf(t, graphsim.Writing{})
	bob := w.srv.AddMailbox("bob@contoso.example", "Bob", "UTC")
	bob.Calendar().Create(meeting("secret", "2026-03-02 10:00"))
	w.cal.Create(meeting("own", "2026-03-02 10:00"))
	ask := func(addresses, start, end, interval string) (object, int) {
		return w.send("POST", "me/calendar/getSchedule", `{"schedules":[`+addresses+`],"startTime":{"dateTime":"`+start+`","timeZone":"UTC"},"endTime":{"dateTime":"`+end+`","timeZone":"UTC"}`+interval+`}`)
	}
	const three = `"robin@contoso.example","bob@contoso.example","x@outside.example"`
	o, status := ask(three, "2026-03-02T08:00:00", "2026-03-02T12:00:00", `,"availabilityViewInterval":60`)
	if status != 200 {
		t.Fatalf("%d %v", status, o)
	}
	of := func(i int) object { return o["value"].([]any)[i].(object) }
	if of(0)["availabilityView"] != "0200" || of(0)["scheduleItems"].([]any)[0].(object)["subject"] != "own" {
		t.Errorf("%v", of(0))
	}
	if item := of(1)["scheduleItems"].([]any)[0].(object); of(1)["availabilityView"] != "0020" || item["subject"] != nil || item["start"].(object)["dateTime"] != "2026-03-02T10:00:00.0000000" {
		t.Errorf("%v", of(1))
	}
	if of(2)["error"].(object)["responseCode"] != "5009" {
		t.Errorf("%v", of(2))
	}
	o, status = ask(three, "2026-03-02T08:00:00", "2026-06-02T12:00:00", "")
	w.wantError(o, status, 400, "ErrorInvalidTimeInterval")
	o, status = ask(strings.Repeat(`"a@b",`, 100)+`"a@b"`, "2026-03-02T08:00:00", "2026-03-02T12:00:00", "")
	w.wantError(o, status, 400, "ErrorMailboxDataArrayTooBig")
	if _, status = ask(three, "2026-03-02T08:00:00", "2026-03-02T12:00:00", `,"availabilityViewInterval":null`); status != 500 {
		t.Errorf("%d", status)
	}
}

func TestAttachments(t *testing.T) {
	w := writerOf(t, graphsim.Writing{Calm: true})
	id := w.cal.Create(weekly("a", "2026-03-02 10:00"))
	_, link, _ := w.all("me/calendars/"+url.PathEscape(string(w.cal.ID()))+"/"+march, immutable)
	etag := w.get(w.path(id))["@odata.etag"]
	const file = `{"@odata.type":"#microsoft.graph.fileAttachment","name":"map.txt","contentType":"text/plain","contentBytes":"QUJD"}`
	o, status := w.send("POST", w.path(id)+"/attachments", file)
	if status != 201 || o["contentBytes"] != "QUJD" {
		t.Fatalf("%d %v", status, o)
	}
	aid := url.PathEscape(o["id"].(string))
	if now := w.get(w.path(id)); now["hasAttachments"] != true || now["@odata.etag"] == etag {
		t.Errorf("%v", now)
	}
	if all, _, _ := w.all(link, immutable); len(all) != 0 {
		t.Errorf("a delta tells of attachments: %v", all)
	}
	all, _, _ := w.all(w.path(id) + "/attachments?$select=id,name,size")
	if len(all) != 1 || all[0]["contentBytes"] != nil || all[0]["name"] != "map.txt" {
		t.Errorf("%v", all)
	}
	res := w.call("GET", w.path(id)+"/attachments/"+aid+"/$value", "")
	if res.Header.Get("Content-Type") != "text/plain" || res.ContentLength != 3 {
		t.Errorf("%v", res)
	}
	res.Body.Close()
	// An exception has copies of its own.
	exception, _ := w.send("PATCH", w.path(graph.OccurrenceID(id, "2026-03-09")), `{"subject":"b"}`)
	copies, _, _ := w.all(w.path(graph.EventID(exception["id"].(string))) + "/attachments")
	if len(copies) != 1 || url.PathEscape(copies[0]["id"].(string)) == aid || copies[0]["contentBytes"] != "QUJD" {
		t.Errorf("%v", copies)
	}
	if _, status = w.send("DELETE", w.path(id)+"/attachments/"+aid, ""); status != 204 {
		t.Errorf("%d", status)
	}
	if now := w.get(w.path(id)); now["hasAttachments"] != false {
		t.Errorf("%v", now)
	}
	o, status = w.send("POST", w.path(id)+"/attachments/createUploadSession", `{"AttachmentItem":{"attachmentType":"file","name":"a","size":100}}`)
	w.wantError(o, status, 400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize")
	o, status = w.send("POST", w.path(id)+"/attachments/createUploadSession", `{"AttachmentItem":{"attachmentType":"file","name":"a","size":`+fmt.Sprint(40<<20)+`}}`)
	w.wantError(o, status, 400, "ErrorMessageSizeExceeded")
	o, status = w.send("POST", w.path(id)+"/attachments/createUploadSession", `{"AttachmentItem":{"attachmentType":"file","name":"a","size":`+fmt.Sprint(3<<20)+`}}`)
	if status != 201 {
		t.Fatalf("%d %v", status, o)
	}
	if o, status = w.send("PUT", o["uploadUrl"].(string), "abc", "Content-Range", "bytes 0-2/3145728"); status != 401 || len(w.srv.Violations()) != 1 {
		t.Errorf("%d %v", status, o)
	}
}

// However many pages are stale, whoever follows the delta has it all in the end.
func TestStalePagesLoseNothing(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		stale := true
		w := writerOf(t, graphsim.Writing{}, func(s *graphsim.Server) { s.Stale = func(*http.Request) bool { return stale && r.IntN(2) == 0 } })
		link := "me/calendars/" + url.PathEscape(string(w.cal.ID())) + "/" + march
		have := map[string]string{}
		follow := func() {
			var all []object
			all, link, _ = w.all(link, immutable)
			for _, v := range all {
				if id := v["id"].(string); v["@removed"] != nil {
					delete(have, id)
				} else if v["subject"] != nil && v["type"] != "exception" {
					have[id] = v["subject"].(string)
				}
			}
		}
		for i := range 40 {
			ids := w.cal.Events()
			switch n := r.IntN(6); {
			case n == 0 || len(ids) == 0:
				w.send("POST", "me/events", fmt.Sprintf(`{"subject":"%d","transactionId":"%d",`+at9+`}`, i, i))
			case n == 1:
				w.cal.Create(weekly(fmt.Sprint(i), "2026-03-02 10:00"))
			case n == 2:
				w.send("DELETE", w.path(ids[r.IntN(len(ids))]), "", "If-Match", "*")
			case n == 3:
				w.send("DELETE", w.path(graph.OccurrenceID(ids[r.IntN(len(ids))], "2026-03-16")), "")
			case n == 4:
				w.send("PATCH", w.path(graph.OccurrenceID(ids[r.IntN(len(ids))], "2026-03-23")), fmt.Sprintf(`{"subject":"exception %d"}`, i), "If-Match", "*")
			default:
				w.send("PATCH", w.path(ids[r.IntN(len(ids))]), fmt.Sprintf(`{"subject":"%d"}`, i), "If-Match", "*")
			}
			w.clock = w.clock.Add(time.Duration(r.IntN(3)) * time.Second)
			if r.IntN(2) == 0 {
				follow()
			}
		}
		stale = false
		follow()
		want := map[string]string{}
		for _, id := range w.cal.Events() {
			e, err := w.cal.Event(id)
			w.do(err)
			want[string(id)] = e.Subject
		}
		if !maps.Equal(have, want) {
			t.Errorf("seed %d: have %v, want %v", seed, have, want)
		}
		for _, v := range w.srv.Violations() {
			t.Errorf("seed %d: %s", seed, v)
		}
	}
}
