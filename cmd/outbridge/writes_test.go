package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"outbridge/bridge/graph/graphsim"
)

// TestWriting switches writing on as the documentation has it: the sign-in that reads does not allow it, which is said, and a new one
// is taken up by the running server. What clients write is in Outlook, and listed.
func TestWriting(t *testing.T) {
	t.Parallel()
	sim := new(graphsim.Server)
	box, _ := officeWeek(sim)
	o := newOutlook(t, sim, box)
	s := serveFor(t, o)
	event := "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\nUID:lunch@test\r\nDTSTAMP:20261101T000000Z\r\n" +
		"SUMMARY:Lunch\r\nDTSTART:20310303T110000Z\r\nDTEND:20310303T120000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
	put := func(name, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequest("PUT", s.url+"/dav/calendars/alice/calendar/"+name, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(s.user, s.password)
		r.Header.Set("Content-Type", "text/calendar")
		r.Header.Set("User-Agent", "test/1")
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		b, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		return a.StatusCode, string(b)
	}
	status := func() (st accountStatus) {
		t.Helper()
		var report struct{ Accounts []accountStatus }
		if err := json.Unmarshal([]byte(outbridge(t, s.dir, "status", "--json")), &report); err != nil {
			t.Fatal(err)
		}
		return report.Accounts[0]
	}
	s.waitFor(`msg=round `)
	if code, body := put("lunch.ics", event); code != 403 || !strings.Contains(body, "need-privileges") {
		t.Errorf("a PUT while reading only: %d %s", code, body)
	}
	if st := status(); st.Writing != nil {
		t.Errorf("status of an account that is read says of writing: %+v", st.Writing)
	}

	editConfig(t, s.dir, `name = "alice"`, "name = \"alice\"\naccess = \"read-write\"\ninvitations = \"never\"")
	s.end(syscall.SIGTERM)
	s.restart(t)
	if code, body := put("lunch.ics", event); code != 403 {
		t.Errorf("a PUT without the permission: %d %s", code, body)
	}
	if st := status(); st.Writing == nil || !strings.Contains(st.Writing.Denied, "Calendars.ReadWrite") || st.State.Code != "ok" {
		t.Errorf("status without the permission: %+v, %+v", st.State, st.Writing)
	}
	if out := outbridge(t, s.dir, "writes"); !strings.Contains(out, "No calendar program has changed anything so far.") {
		t.Errorf("nothing was written yet:\n%s", out)
	}

	if out := outbridge(t, s.dir, "login", "alice"); !strings.Contains(out, "Nothing is mailed") {
		t.Errorf("a sign-in that allows changes says:\n%s", out)
	}
	if len(sim.Mails()) != 0 || len(o.box.Calendar().Events()) != 4 {
		t.Error("switching it on has changed something in Outlook")
	}
	if code, body := put("lunch.ics", event); code != 201 {
		t.Fatalf("a PUT with the permission: %d %s", code, body)
	}
	meeting := strings.NewReplacer("lunch@test", "meeting@test", "SUMMARY:Lunch", "SUMMARY:Meeting\r\nORGANIZER:mailto:alice@contoso.example\r\nATTENDEE:mailto:sam@example.org").Replace(event)
	if code, body := put("meeting.ics", meeting); code != 403 || !strings.Contains(body, "allowed-organizer-scheduling-object-change") || !strings.Contains(body, "invitations") {
		t.Errorf("a PUT that would mail: %d %s", code, body)
	}
	if st := status(); st.Writing == nil || st.Writing.Written != 1 || st.Writing.Refused != 1 || st.Writing.Denied != "" || st.Writing.Mails != 0 || !strings.Contains(st.Writing.LastRefusal, "invitations") {
		t.Errorf("status after two writes: %+v", st.Writing)
	}
	if code, body := put("odd.ics", "BEGIN:VCALENDAR\r\n"); code != 403 || !strings.Contains(body, "valid-calendar-data") {
		t.Errorf("a PUT of what cannot be read: %d %s", code, body)
	}
	var list []writeRow
	if err := json.Unmarshal([]byte(outbridge(t, s.dir, "writes", "alice", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 3 || list[0].State != "refused" || list[0].Object != "odd.ics" || list[1].State != "refused" || list[1].Refusal == "" || list[2].State != "done" || list[2].Summary != "Lunch" || list[2].Client != "test/1" || list[2].Calendar != "Calendar" {
		t.Errorf("writes: %+v", list)
	}
	if v := sim.Violations(); len(v) != 0 {
		t.Errorf("bad manners towards Graph: %v", v)
	}
	if len(sim.Mails()) != 0 {
		t.Errorf("mails: %v", sim.Mails())
	}
}
