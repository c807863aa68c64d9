package graphsim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"

	"outbridge/bridge/graph"
)

// send writes; a body is JSON, or "" for none.
func (w *world) send(method, url, body string, header ...string) (object, int) {
	w.Helper()
	res := w.call(method, url, body, append(header, "Content-Type", "application/json")...)
	defer res.Body.Close()
	if res.ContentLength == 0 {
		return nil, res.StatusCode
	}
	return w.read(res.Body), res.StatusCode
}

func writer(t *testing.T) *world {
	w := newWorld(t)
	w.token = w.signIn("Calendars.ReadWrite")["access_token"].(string)
	return w
}

const lunch = `{"subject":"Let's go for lunch","body":{"contentType":"text","content":"Does noon work?\nA < B"},
	"start":{"dateTime":"2026-03-02T12:00:00","timeZone":"Pacific Standard Time"},"end":{"dateTime":"2026-03-02T14:00:00","timeZone":"Pacific Standard Time"},
	"location":{"displayName":"Harry's Bar"},"attendees":[{"emailAddress":{"address":"adele@contoso.example","name":"Adele"},"type":"required"}],
	"recurrence":{"pattern":{"type":"weekly","interval":1,"daysOfWeek":["Monday"]},"range":{"type":"endDate","startDate":"2026-03-02","endDate":"2026-06-30"}},
	"transactionId":"t1","isOnlineMeeting":true,"showAs":"oof"}`

func TestCreate(t *testing.T) {
	w := writer(t)
	o, status := w.send("POST", "me/events", lunch, "Prefer", immutable+`, outlook.timezone="Pacific Standard Time"`)
	if status != 201 || o["type"] != "seriesMaster" || o["start"].(object)["dateTime"] != "2026-03-02T12:00:00.0000000" || o["isReminderOn"] != true ||
		o["bodyPreview"] != "Does noon work? A < B" || o["isOnlineMeeting"] != true || o["showAs"] != "oof" || o["originalStartTimeZone"] != "Pacific Standard Time" {
		t.Errorf("%d %v", status, o)
	}
	again, status := w.send("POST", "me/events", lunch, "Prefer", immutable)
	w.wantError(again, status, 400, "ErrorDuplicateTransactionId")
	if again["error"].(object)["@event.existingEventId"] != o["id"] {
		t.Errorf("the same transactionId: %v", again)
	}
	if i := w.cal.Instances(at("2026-03-01"), at("2026-04-01")); len(i) != 5 || i[0].Start.Format("15:04") != "20:00" || i[1].Start.Format("15:04") != "19:00" {
		t.Errorf("%v", i)
	}
	o, status = w.send("POST", "me/calendar/events", `{"start":{"dateTime":"2026-03-04T00:00:00","timeZone":"Tokyo Standard Time"},"end":{"dateTime":"2026-03-06T00:00:00","timeZone":"Tokyo Standard Time"},"isAllDay":true,"isReminderOn":false}`)
	if status != 201 || o["start"].(object)["dateTime"] != "2026-03-04T00:00:00.0000000" || o["isReminderOn"] != false {
		t.Errorf("%d %v", status, o)
	}
	o, status = w.send("POST", "me/events", `{"start":{"dateTime":"2026-03-04T23:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-03-05T09:00:00","timeZone":"Tokyo Standard Time"}}`)
	if status != 201 || o["end"].(object)["dateTime"] != "2026-03-05T00:00:00.0000000" || o["originalEndTimeZone"] != "Tokyo Standard Time" {
		t.Errorf("%d %v", status, o)
	}

	edit := func(path, value string) string {
		var o map[string]any
		w.do(json.Unmarshal([]byte(lunch), &o))
		o["transactionId"] = value + path
		at := o
		parts := strings.Split(path, ".")
		for _, p := range parts[:len(parts)-1] {
			at = at[p].(map[string]any)
		}
		if value == "" {
			delete(at, parts[len(parts)-1])
		} else {
			at[parts[len(parts)-1]] = json.RawMessage(value)
		}
		b, _ := json.Marshal(o)
		return string(b)
	}
	const wrong = "ErrorPropertyValidationFailure"
	for _, tt := range []struct{ body, code string }{
		{`nonsense`, "BadRequest"}, {`null`, "BadRequest"}, {`{}`, wrong},
		{edit("start", ""), wrong},
		{edit("start.timeZone", `"Mars"`), "TimeZoneNotSupportedException"},
		{edit("start.dateTime", `"noon"`), wrong},
		{edit("end.dateTime", `"2026-03-01T14:00:00"`), wrong},
		{edit("end.dateTime", `"2026-03-20T14:00:00"`), "ErrorOccurrenceTimeSpanTooBig"},
		{edit("isAllDay", `true`), "ErrorInvalidRequest"},
		{edit("showAs", `"away"`), "BadRequest"},
		{edit("subject", `17`), "BadRequest"},
		{edit("iCalUId", `"x"`), "ErrorInvalidPropertySet"},
		{edit("cancelledOccurrences", `[]`), "ErrorInvalidPropertySet"},
		{edit("nonsense", `1`), "BadRequest"},
		{edit("recurrence.pattern", ""), wrong},
		{edit("recurrence.pattern.type", `"lunar"`), wrong},
		{edit("recurrence.pattern.interval", `0`), wrong},
		{edit("recurrence.pattern.month", `0`), wrong},
		{edit("recurrence.pattern.dayOfMonth", `0`), wrong},
		{edit("recurrence.pattern.index", `"fifth"`), wrong},
		{edit("recurrence.pattern.daysOfWeek", `[]`), wrong},
		{edit("recurrence.pattern.daysOfWeek", `["day"]`), wrong},
		{edit("recurrence.pattern.type", `"absoluteMonthly"`), wrong},
		{edit("recurrence.range.type", `"never"`), wrong},
		{edit("recurrence.range.startDate", ""), "ErrorRecurrenceEndDateTooBig"},
		{edit("recurrence.range.startDate", `"2026-03-03"`), wrong},
		{edit("recurrence.range.endDate", `"2026-03-01"`), wrong},
		{edit("recurrence.range.type", `"numbered"`), wrong},
		{edit("recurrence", `{"pattern":{"type":"relativeMonthly","interval":1,"daysOfWeek":["sunday"]},"range":{"type":"endDate","startDate":"2026-03-02","endDate":"2026-03-30"}}`), "ErrorRecurrenceHasNoOccurrence"},
	} {
		o, status := w.send("POST", "me/events", tt.body)
		w.wantError(o, status, 400, tt.code)
		if t.Failed() {
			t.Fatal(tt.body)
		}
	}
	readOnly := w.box.AddCalendar("Birthdays", "")
	readOnly.SetCanEdit(false)
	o, status = w.send("POST", "me/calendars/"+url.PathEscape(string(readOnly.ID()))+"/events", lunch)
	w.wantError(o, status, 403, "ErrorAccessDenied")
	w.token = w.signIn("Calendars.Read")["access_token"].(string)
	o, status = w.send("POST", "me/events", lunch)
	w.wantError(o, status, 403, "ErrorAccessDenied")
}

func TestPatchAndDelete(t *testing.T) {
	w := writer(t)
	id := w.cal.Create(weekly("s", "2026-03-02 10:00"))
	own := w.path(id)
	oid := func(day string) string { return w.path(graph.EventID("OID." + string(id) + "." + day)) }
	etag := w.get(own)["@odata.etag"].(string)
	o, status := w.send("PATCH", own, `{"subject":"t","categories":["A"]}`, "If-Match", etag)
	if status != 200 || o["subject"] != "t" || o["@odata.etag"] == etag || o["start"].(object)["dateTime"] != "2026-03-02T09:00:00.0000000" {
		t.Errorf("%d %v", status, o)
	}
	o, status = w.send("PATCH", own, `{"subject":"u"}`, "If-Match", etag)
	w.wantError(o, status, 412, "ErrorIrresolvableConflict")
	o, status = w.send("DELETE", own, "", "If-Match", etag)
	w.wantError(o, status, 412, "ErrorIrresolvableConflict")
	o, status = w.send("PATCH", own, `{"transactionId":"x"}`)
	w.wantError(o, status, 400, "ErrorInvalidRequest")

	o, status = w.send("PATCH", oid("2026-03-09"), `{"start":{"dateTime":"2026-03-10T08:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-03-10T09:00:00","timeZone":"UTC"}}`, "Prefer", immutable)
	if status != 200 || o["type"] != "exception" || o["occurrenceId"] != "OID."+string(id)+".2026-03-09" || strings.HasPrefix(o["id"].(string), "OID") {
		t.Errorf("%d %v", status, o)
	}
	o, status = w.send("PATCH", oid("2026-03-16"), `{"start":{"dateTime":"2026-03-23T08:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-03-23T08:30:00","timeZone":"UTC"}}`)
	w.wantError(o, status, 400, "ErrorOccurrenceCrossingBoundary")
	o, status = w.send("PATCH", oid("2026-03-16"), `{"recurrence":{}}`)
	w.wantError(o, status, 400, "ErrorPropertyValidationFailure")
	if _, status = w.send("DELETE", oid("2026-03-16"), ""); status != 204 {
		t.Errorf("%d", status)
	}
	o, status = w.send("DELETE", oid("2026-03-16"), "")
	w.wantError(o, status, 404, "ErrorItemNotFound")
	o, status = w.send("DELETE", oid("2026-03-17"), "")
	w.wantError(o, status, 404, "ErrorItemNotFound")
	if o = w.get(own+"?$select=cancelledOccurrences", immutable); fmt.Sprint(o["cancelledOccurrences"]) != "[OID."+string(id)+".2026-03-16]" {
		t.Errorf("%v", o)
	}
	// The first occurrence need not be on the day on which the range begins.
	late := meeting("late", "2026-03-01 10:00")
	late.Recurrence = &graph.Recurrence{Pattern: pattern("relativeMonthly", 1, "thursday"), Range: graph.RecurrenceRange{StartDate: "2026-03-01"}}
	lateID := w.cal.Create(late)
	if o, status = w.send("PATCH", w.path(lateID), `{"subject":"later"}`); status != 200 || o["start"].(object)["dateTime"] != "2026-03-05T09:00:00.0000000" {
		t.Errorf("%d %v", status, o)
	}
	w.do(w.cal.Delete(lateID))
	// A recurrence that was read cannot be sent back as it is.
	read, _ := json.Marshal(object{"recurrence": w.get(own)["recurrence"]})
	o, status = w.send("PATCH", own, string(read))
	w.wantError(o, status, 400, "ErrorPropertyValidationFailure")
	o, status = w.send("PATCH", own, `{"recurrence":{"pattern":{"type":"daily","interval":1},"range":{"type":"numbered","startDate":"2026-03-02","numberOfOccurrences":3}}}`)
	if status != 200 || len(w.cal.Instances(at("2026-01-01"), at("2027-01-01"))) != 3 {
		t.Errorf("%d %v", status, o)
	}
	if o, status = w.send("PATCH", own, `{"recurrence":null}`); status != 200 || o["type"] != "singleInstance" {
		t.Errorf("%d %v", status, o)
	}
	if _, status = w.send("DELETE", own, ""); status != 204 {
		t.Errorf("%d", status)
	}
	o, status = w.send("PATCH", own, `{}`)
	w.wantError(o, status, 404, "ErrorItemNotFound")
	if o, status = w.send("PUT", "me/events", `{}`); status != 405 {
		t.Errorf("%d %v", status, o)
	}
}

func TestActions(t *testing.T) {
	w := writer(t)
	mine := w.cal.Create(weekly("mine", "2026-03-02 10:00"))
	e := weekly("Dana's", "2026-03-03 10:00")
	e.Organizer = graph.EmailAddress{Name: "Dana", Address: "dana@contoso.example"}
	theirs := w.cal.Create(e)
	oid := func(id graph.EventID, day string) string {
		return w.path(graph.EventID("OID." + string(id) + "." + day))
	}
	responses := func() map[string]string {
		all := map[string]string{}
		values, _, _ := w.all("me/calendarView?startDateTime=2026-03-01T00:00:00Z&endDateTime=2026-03-20T00:00:00Z")
		for _, v := range values {
			all[v["subject"].(string)+v["start"].(object)["dateTime"].(string)[4:10]] = v["responseStatus"].(object)["response"].(string)
		}
		return all
	}
	for _, tt := range []struct {
		url, code string
		status    int
	}{
		{w.path(theirs) + "/accept", "", 202},
		{oid(theirs, "2026-03-10") + "/tentativelyAccept", "", 202},
		{oid(theirs, "2026-03-17") + "/decline", "", 202},
		{oid(mine, "2026-03-09") + "/cancel", "", 202},
		{w.path(mine) + "/accept", "ErrorInvalidRequest", 400},
		{w.path(theirs) + "/cancel", "ErrorInvalidRequest", 400},
		{w.path(theirs) + "/nonsense", "BadRequest", 400},
		{oid(theirs, "2026-03-17") + "/accept", "ErrorItemNotFound", 404},
	} {
		o, status := w.send("POST", tt.url, `{}`)
		if tt.code != "" {
			w.wantError(o, status, tt.status, tt.code)
		} else if status != tt.status {
			t.Errorf("%s: %d %v", tt.url, status, o)
		}
	}
	want := map[string]string{"mine-03-02": "none", "mine-03-16": "none", "Dana's-03-03": "accepted", "Dana's-03-10": "tentativelyAccepted"}
	if got := responses(); !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	o, status := w.send("POST", w.path(theirs)+"/accept", `{}`, "If-Match", "garbage")
	w.wantError(o, status, 500, "ErrorInternalServerError")
	if _, status = w.send("POST", w.path(theirs)+"/decline", `{}`); status != 202 {
		t.Errorf("%d", status)
	}
	o, status = w.try(w.path(theirs))
	w.wantError(o, status, 404, "ErrorItemNotFound")
}
