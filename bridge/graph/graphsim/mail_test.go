package graphsim_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// ledger is what was mailed since it was last asked: "update adele,bo 2026-03-09", one line a message.
func (w *world) ledger() string {
	var lines []string
	for _, m := range w.srv.Mails() {
		var to []string
		for _, a := range m.To {
			to = append(to, strings.Split(a, "@")[0])
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s%s %s %s", m.Kind, strings.ToUpper(m.Response), strings.Join(to, ","), m.Occurrence)))
	}
	w.srv.ResetMails()
	return strings.Join(lines, "; ")
}

func (w *world) wantMails(want string) {
	w.Helper()
	if got := w.ledger(); got != want {
		w.Errorf("mailed %q, want %q", got, want)
	}
}

func people(names ...string) (list []graph.Attendee) {
	for _, n := range names {
		list = append(list, graph.Attendee{Type: "required", EmailAddress: graph.EmailAddress{Address: n + "@contoso.example"}})
	}
	return list
}

func attending(names ...string) string {
	var all []string
	for _, n := range names {
		all = append(all, `{"type":"required","emailAddress":{"address":"`+n+`@contoso.example"}}`)
	}
	return `"attendees":[` + strings.Join(all, ",") + `]`
}

const at9 = `"start":{"dateTime":"2026-03-02T09:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-03-02T10:00:00","timeZone":"UTC"}`
const at11 = `"start":{"dateTime":"2026-03-02T11:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-03-02T12:00:00","timeZone":"UTC"}`

// The rows of what mails and what does not.
func TestMails(t *testing.T) {
	for _, tt := range []struct {
		name, body, want string
		method           string // "": PATCH
		path             string // "": the event; "OID": its occurrence of 9 March
		action           string
	}{
		{name: "subject", body: `{"subject":"b"}`, want: "update adele,bo"},
		{name: "body", body: `{"body":{"contentType":"text","content":"b"}}`, want: "update adele,bo"},
		{name: "times", body: `{` + at11 + `}`, want: "update adele,bo"},
		{name: "place", body: `{"location":{"displayName":"b"}}`, want: "update adele,bo"},
		{name: "reminder", body: `{"isReminderOn":true,"reminderMinutesBeforeStart":5}`},
		{name: "categories", body: `{"categories":["b"]}`},
		{name: "showAs", body: `{"showAs":"oof"}`},
		{name: "sensitivity", body: `{"sensitivity":"private"}`},
		{name: "property", body: `{"singleValueExtendedProperties":[{"id":"String {c1f0a6de-7b36-4d59-9a41-3f8e5c2d7b10} Name A","value":"b"}]}`},
		{name: "one more", body: `{` + attending("adele", "bo", "cy") + `}`, want: "invitation cy"},
		{name: "one less", body: `{` + attending("bo") + `}`, want: "cancellation adele"},
		{name: "another", body: `{` + attending("Bo", "cy") + `}`, want: "cancellation adele; invitation cy"},
		{name: "nobody", body: `{"attendees":[]}`, want: "cancellation adele,bo"},
		{name: "all and subject", body: `{"subject":"b",` + attending("adele", "cy") + `}`, want: "cancellation bo; update adele; invitation cy"},
		{name: "an occurrence", path: "OID", body: `{"subject":"b"}`, want: "update adele,bo 2026-03-09"},
		{name: "an occurrence's reminder", path: "OID", body: `{"isReminderOn":true}`},
		{name: "delete", method: "DELETE", want: "cancellation adele,bo"},
		{name: "delete an occurrence", method: "DELETE", path: "OID", want: "cancellation adele,bo 2026-03-09"},
		{name: "cancel", method: "POST", action: "/cancel", body: `{"comment":"x"}`, want: "cancellation adele,bo"},
		{name: "cancel an occurrence", method: "POST", path: "OID", action: "/cancel", body: `{}`, want: "cancellation adele,bo 2026-03-09"},
		{name: "attachment", method: "POST", action: "/attachments", body: `{"@odata.type":"#microsoft.graph.fileAttachment","name":"a","contentBytes":"YQ=="}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := writer(t)
			w.srv.AddMailbox("adele@contoso.example", "Adele", "UTC")
			e := weekly("a", "2026-03-02 10:00")
			e.Attendees = people("adele", "bo")
			id := w.cal.Invite(e)
			w.wantMails("invitation adele,bo")
			path := w.path(id)
			if tt.path == "OID" {
				path = w.path(graph.OccurrenceID(id, "2026-03-09"))
			}
			o, status := w.send(orPatch(tt.method), path+tt.action, tt.body, "If-Match", "*")
			if status >= 300 {
				t.Fatalf("%d %v", status, o)
			}
			w.wantMails(tt.want)
			for _, v := range w.srv.Violations() {
				t.Error(v)
			}
		})
	}
}

func orPatch(method string) string {
	if method == "" {
		return "PATCH"
	}
	return method
}

// A change of a series mails for each of its exceptions as well.
func TestMailsOfExceptions(t *testing.T) {
	w := writer(t)
	e := weekly("a", "2026-03-02 10:00")
	e.Attendees = people("adele")
	id := w.cal.Invite(e)
	for _, day := range []string{"2026-03-09", "2026-03-23"} {
		w.do(w.cal.ChangeOccurrence(id, day, func(e *graphsim.Event) { e.Location = "B" }))
	}
	w.srv.ResetMails()
	w.send("PATCH", w.path(id), `{"subject":"b"}`, "If-Match", "*")
	w.wantMails("update adele; update adele 2026-03-09; update adele 2026-03-23")
	if e, err := w.cal.Event(graph.OccurrenceID(id, "2026-03-09")); err != nil || e.Subject != "b" || e.Location != "B" {
		t.Errorf("%v %v: what an exception does not have itself is the series'", e, err)
	}
	w.send("PATCH", w.path(id), `{`+attending("adele", "bo")+`}`, "If-Match", "*")
	w.wantMails("invitation bo")
	w.send("PATCH", w.path(id), `{"showAs":"free"}`, "If-Match", "*")
	w.wantMails("")
}

// An invitation goes from mailbox to mailbox, and so do changes, answers and the end of it.
func TestMeetingOfTwoMailboxes(t *testing.T) {
	w := writer(t)
	bob := w.srv.AddMailbox("bob@contoso.example", "Bob", "UTC")
	o, status := w.send("POST", "me/events", `{"subject":"a","transactionId":"1",`+at9+`,`+attending("bob", "outside")+`}`, "Prefer", immutable)
	if status != 201 {
		t.Fatalf("%d %v", status, o)
	}
	id := graph.EventID(o["id"].(string))
	w.wantMails("invitation bob,outside")
	copied := bob.Calendar().Events()
	if len(copied) != 1 {
		t.Fatalf("%v", copied)
	}
	see := func(subject, response, showAs string) graphsim.Event {
		t.Helper()
		e, err := bob.Calendar().Event(copied[0])
		if err != nil || e.Subject != subject || e.Response != response || e.ShowAs != showAs || e.Organizer.Address != w.box.Address() || e.ICalUID != o["iCalUId"] {
			t.Errorf("bob has %+v, %v", e, err)
		}
		return e
	}
	see("a", "", "tentative")
	w.do(bob.Calendar().Respond(copied[0], "accepted"))
	w.wantMails("replyACCEPTED robin")
	w.do(bob.Calendar().Change(copied[0], func(e *graphsim.Event) { e.Subject, e.Categories = "mine", []string{"Mine"} }))
	w.wantMails("")
	if e, _ := w.cal.Event(id); e.Attendees[0].Status.Response != "accepted" {
		t.Errorf("%+v", e.Attendees)
	}
	w.send("PATCH", w.path(id), `{"location":{"displayName":"B"}}`, "If-Match", "*")
	if e := see("a", "accepted", "busy"); e.Location != "B" || !slices.Equal(e.Categories, []string{"Mine"}) {
		t.Errorf("%+v", e)
	}
	w.send("PATCH", w.path(id), `{`+at11+`}`, "If-Match", "*")
	see("a", "notResponded", "tentative")
	w.ledger()

	w.token = w.signInAs(bob, "Calendars.ReadWrite")
	path := w.path(copied[0])
	w.send("POST", path+"/tentativelyAccept", `{"sendResponse":false}`)
	w.wantMails("")
	w.send("POST", path+"/accept", `{"comment":"yes"}`)
	w.wantMails("replyACCEPTED robin")
	o, status = w.send("PATCH", path, `{"subject":"mine"}`, "If-Match", "*")
	if status != 200 || o["subject"] != "mine" || len(w.srv.Violations()) != 1 {
		t.Errorf("%d %v %v", status, o, w.srv.Violations())
	}
	w.wantMails("")
	if _, status = w.send("POST", path+"/decline", ""); status != 202 {
		t.Errorf("%d", status)
	}
	w.wantMails("replyDECLINED robin")
	if e, _ := w.cal.Event(id); e.Attendees[0].Status.Response != "declined" || len(bob.Calendar().Events()) != 0 {
		t.Errorf("%+v", e.Attendees)
	}
}

// signInAs is a token of somebody else.
func (w *world) signInAs(m *graphsim.Mailbox, scope string) string {
	w.Helper()
	w.srv.AutoApprove = false
	defer func() { w.srv.AutoApprove = true }()
	d, _ := w.form("common/oauth2/v2.0/devicecode", "client_id", "app", "scope", scope)
	w.do(w.srv.ApproveDevice(d["user_code"].(string), m))
	tok, status := w.form("common/oauth2/v2.0/token", "grant_type", "urn:ietf:params:oauth:grant-type:device_code", "client_id", "app", "device_code", d["device_code"].(string))
	if status != 200 {
		w.Fatalf("%v", tok)
	}
	return tok["access_token"].(string)
}

// A series with an exception and a cancellation reaches the invitee as it is.
func TestSeriesOfTwoMailboxes(t *testing.T) {
	w := writer(t)
	bob := w.srv.AddMailbox("bob@contoso.example", "Bob", "UTC")
	e := weekly("a", "2026-03-02 10:00")
	e.Attendees = people("bob")
	id := w.cal.Invite(e)
	shown := func(cal *graphsim.Calendar) string {
		var all []string
		for _, i := range cal.Instances(at("2026-03-01"), at("2026-03-24")) {
			all = append(all, fmt.Sprint(i.Subject, i.Start.Format(" 02 15:04")))
		}
		return strings.Join(all, ", ")
	}
	w.send("PATCH", w.path(graph.OccurrenceID(id, "2026-03-09")), `{"subject":"b","start":{"dateTime":"2026-03-10T09:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-03-10T10:00:00","timeZone":"UTC"}}`)
	w.send("DELETE", w.path(graph.OccurrenceID(id, "2026-03-16")), "")
	if got := shown(w.cal); got != "a 02 09:00, b 10 09:00, a 23 09:00" {
		t.Errorf("robin sees %s", got)
	}
	if got := shown(bob.Calendar()); got != "a 02 09:00, b 10 09:00, Canceled: a 16 09:00, a 23 09:00" {
		t.Errorf("bob sees %s", got)
	}
	w.do(bob.Calendar().Respond(graph.OccurrenceID(bob.Calendar().Events()[0], "2026-03-09"), "accepted"))
	if e, err := w.cal.Event(graph.OccurrenceID(id, "2026-03-09")); err != nil || e.Attendees[0].Status.Response != "accepted" {
		t.Errorf("%+v, %v", e, err)
	}
	w.ledger()
	w.send("DELETE", w.path(id), "", "If-Match", "*")
	w.wantMails("cancellation bob")
	if got := shown(bob.Calendar()); !strings.HasPrefix(got, "Canceled: a 02") {
		t.Errorf("bob sees %s", got)
	}
	for _, v := range w.srv.Violations() {
		t.Error(v)
	}
}

// What comes from outside is overwritten by its next update, but for what is the invitee's own.
func TestInvitationFromOutside(t *testing.T) {
	w := writer(t)
	e := meeting("a", "2026-03-02 10:00")
	e.Organizer, e.Attendees = graph.EmailAddress{Name: "Dana", Address: "dana@outside.example"}, people("robin", "cy")
	id := w.box.Receive(e)
	if o := w.get(w.path(id)); o["isOrganizer"] != false || o["showAs"] != "tentative" || o["responseStatus"].(object)["response"] != "notResponded" {
		t.Errorf("%v", o)
	}
	w.send("PATCH", w.path(id), `{"categories":["A"],"isReminderOn":true,"reminderMinutesBeforeStart":5}`, "If-Match", "*")
	w.send("POST", w.path(id)+"/accept", `{"sendResponse":true}`)
	w.wantMails("replyACCEPTED dana")
	if len(w.srv.Violations()) != 0 {
		t.Error(w.srv.Violations())
	}
	w.send("PATCH", w.path(id), `{"subject":"mine"}`, "If-Match", "*")
	w.do(w.box.ReceiveUpdate(id, func(e *graphsim.Event) { e.Location = "B" }))
	if e, _ := w.cal.Event(id); e.Subject != "a" || e.Location != "B" || e.Response != "accepted" || *e.ReminderMinutes != 5 || e.Categories[0] != "A" {
		t.Errorf("%+v", e)
	}
	own := w.cal.Invite(graphsim.Event{Subject: "own", Start: at("2026-03-03 10:00"), End: at("2026-03-03 11:00"), Attendees: people("cy")})
	w.do(w.cal.ReceiveReply(own, "CY@contoso.example", "declined"))
	if e, _ := w.cal.Event(own); e.Attendees[0].Status.Response != "declined" {
		t.Errorf("%+v", e)
	}
}

// Nobody is to be told twice of one thing.
func TestToldTwice(t *testing.T) {
	w := writer(t)
	e := meeting("a", "2026-03-02 10:00")
	e.Attendees = people("cy")
	id := w.cal.Invite(e)
	w.send("PATCH", w.path(id), `{"subject":"b"}`, "If-Match", "*")
	w.send("PATCH", w.path(id), `{"subject":"a"}`, "If-Match", "*")
	if v := w.srv.Violations(); len(v) != 0 {
		t.Error(v)
	}
	w.send("PATCH", w.path(id), `{"subject":"a"}`, "If-Match", "*")
	if v := fmt.Sprint(w.srv.Violations()); !strings.Contains(v, "does not change") || !strings.Contains(v, "has been told") {
		t.Error(v)
	}
	w.srv.ResetViolations()
	e.Organizer = graph.EmailAddress{Address: "dana@outside.example"}
	theirs := w.box.Receive(e)
	w.send("POST", w.path(theirs)+"/accept", "")
	w.send("POST", w.path(theirs)+"/tentativelyAccept", "")
	w.send("POST", w.path(theirs)+"/accept", "")
	if v := w.srv.Violations(); len(v) != 0 {
		t.Error(v)
	}
	w.send("POST", w.path(theirs)+"/accept", "")
	if v := w.srv.Violations(); len(v) != 1 {
		t.Error(v)
	}
}

// In a calendar that somebody has shared, its owner is the organizer, and blank private events can be overwritten.
func TestDelegate(t *testing.T) {
	w := writer(t)
	boss := w.srv.AddMailbox("boss@contoso.example", "Boss", "UTC")
	boss.Calendar().ShareToEdit(w.box)
	boss.Calendar().SetPrivate(true)
	secret := meeting("secret", "2026-03-02 10:00")
	secret.Sensitivity, secret.Location = "private", "B"
	hidden := boss.Calendar().Create(secret)
	path := "users/boss@contoso.example/calendars/" + url.PathEscape(string(boss.Calendar().ID()))
	o, status := w.send("POST", path+"/events", `{"subject":"a","transactionId":"1",`+at9+`,`+attending("robin")+`}`, "Prefer", immutable)
	w.wantError(o, status, 403, "ErrorAccessDenied")
	w.token = w.signIn("Calendars.ReadWrite Calendars.ReadWrite.Shared")["access_token"].(string)
	if o = w.get(path); o["canEdit"] != true || o["canViewPrivateItems"] != false {
		t.Errorf("%v", o)
	}
	o, status = w.send("POST", path+"/events", `{"subject":"a","transactionId":"1",`+at9+`,`+attending("robin")+`}`, "Prefer", immutable)
	if status != 201 || o["isOrganizer"] != true || o["organizer"].(object)["emailAddress"].(object)["address"] != "boss@contoso.example" {
		t.Errorf("%d %v", status, o)
	}
	if m := w.srv.Mails(); len(m) != 1 || m[0].Mailbox != "boss@contoso.example" || len(w.cal.Events()) != 1 {
		t.Errorf("%v", m)
	}
	event := path + "/events/" + url.PathEscape(string(hidden))
	if o = w.get(event); o["subject"] != "" || o["location"].(object)["displayName"] != "" || o["sensitivity"] != "private" {
		t.Errorf("%v", o)
	}
	if _, status = w.send("PATCH", event, `{"subject":"Busy"}`, "If-Match", "*"); status != 200 || len(w.srv.Violations()) != 1 {
		t.Errorf("%d %v", status, w.srv.Violations())
	}
	mine := w.box.AddSharedCalendar("Boss's", boss)
	mine.SetCanEdit(true)
	o, status = w.send("POST", "me/calendars/"+url.PathEscape(string(mine.ID()))+"/events", `{"subject":"a","transactionId":"2",`+at9+`}`)
	if status != 201 || o["isOrganizer"] != true || o["organizer"].(object)["emailAddress"].(object)["address"] != "boss@contoso.example" {
		t.Errorf("%d %v", status, o)
	}
}

// What was lost with new times can be made again: that is no second mail of one thing.
func TestRepair(t *testing.T) {
	w := writer(t)
	e := weekly("a", "2026-03-02 10:00")
	e.Attendees = people("cy")
	id := w.cal.Invite(e)
	repair := func() {
		w.send("PATCH", w.path(graph.OccurrenceID(id, "2026-03-09")), `{"subject":"b"}`)
		w.send("DELETE", w.path(graph.OccurrenceID(id, "2026-03-16")), "")
	}
	repair()
	w.ledger()
	w.send("PATCH", w.path(id), `{`+at11+`}`, "If-Match", "*")
	w.wantMails("update cy; update cy 2026-03-09")
	repair()
	w.wantMails("update cy 2026-03-09; cancellation cy 2026-03-16")
	for _, v := range w.srv.Violations() {
		t.Error(v)
	}
}

// What a person does in Outlook is mailed too, once the invitations are.
func TestPeopleMail(t *testing.T) {
	w := writer(t)
	e := weekly("a", "2026-03-02 10:00")
	e.Attendees = people("cy")
	quiet := w.cal.Create(e)
	w.do(w.cal.Change(quiet, func(e *graphsim.Event) { e.Subject = "b" }))
	w.wantMails("")
	id := w.cal.Invite(e)
	w.do(w.cal.ChangeOccurrence(id, "2026-03-09", func(e *graphsim.Event) { e.Subject = "b" }))
	w.do(w.cal.CancelOccurrence(id, "2026-03-16"))
	w.do(w.cal.Delete(id))
	w.wantMails("invitation cy; update cy 2026-03-09; cancellation cy 2026-03-16; cancellation cy")
}
