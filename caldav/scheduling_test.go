package caldav_test

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"outbridge/caldav"
)

const (
	inbox  = alice + "inbox/"
	outbox = alice + "outbox/"
)

// What there is of scheduling is said for each resource, and for nobody who has none of it.
func TestSchedulingTokens(t *testing.T) {
	const base = "1, 3, access-control, extended-mkcol, calendar-access"
	const auto, files = ", calendar-auto-schedule, calendar-schedule", ", calendar-managed-attachments"
	s := serve(t, writable())
	for path, want := range map[string]string{
		"/": base + auto + files, "/dav/": base + auto + files, "/dav/principals/": base + auto + files, alice: base + auto + files, home: base + auto + files,
		private: base + auto + files, dentist: base + auto + files, work: base, work + "single.ics": base, inbox: base + auto + files, outbox: base + auto + files,
		"/principals/users/alice/": base + auto + files,
	} {
		for _, method := range []string{"OPTIONS", "PROPFIND"} {
			if got := s.do(method, path, "").Header.Get("DAV"); got != want {
				t.Errorf("%s %s: %s", method, path, got)
			}
		}
	}
	props := `<propfind ` + davHead + `><prop><C:schedule-inbox-URL/><C:schedule-outbox-URL/><C:calendar-user-type/><C:calendar-user-address-set/>` +
		`<C:schedule-default-calendar-URL/><C:managed-attachments-server-URL/><C:max-attachment-size/><C:max-attachments-per-resource/></prop></propfind>`
	for _, tt := range []struct {
		path string
		want string
	}{
		{alice, `<C:schedule-inbox-URL><D:href>/dav/principals/alice/inbox/</D:href></C:schedule-inbox-URL><C:schedule-outbox-URL><D:href>/dav/principals/alice/outbox/</D:href></C:schedule-outbox-URL>` +
			`<C:calendar-user-type>INDIVIDUAL</C:calendar-user-type><C:calendar-user-address-set><D:href preferred="1">mailto:alice@example.com</D:href><D:href>mailto:alias@example.org</D:href><D:href>/dav/principals/alice/</D:href></C:calendar-user-address-set>`},
		{home, `<C:managed-attachments-server-URL><D:href>` + s.url + `/</D:href></C:managed-attachments-server-URL><C:max-attachment-size>26214400</C:max-attachment-size><C:max-attachments-per-resource>3</C:max-attachments-per-resource>`},
		{private, `<C:max-attachment-size>26214400</C:max-attachment-size>`},
		{inbox, `<C:schedule-default-calendar-URL><D:href>/dav/calendars/alice/private/</D:href></C:schedule-default-calendar-URL>`},
	} {
		if a := s.do("PROPFIND", tt.path, props, "Depth: 0"); !strings.Contains(a.body, tt.want) {
			t.Errorf("%s:\n%s", tt.path, a.body)
		}
	}
	if a := s.do("PROPFIND", work, props, "Depth: 0"); strings.Contains(a.body, "26214400") {
		t.Errorf("a calendar without files: %s", a.body)
	}
	none := serve(t, fixture())
	for _, path := range []string{alice, home, work, work + "single.ics"} {
		a := none.do("PROPFIND", path, props, "Depth: 0")
		if ps := a.multistatus(t).Responses[0].Propstats; len(ps) != 2 || len(ps[0].Prop.Props) != 0 {
			t.Errorf("without any: %s", a.body)
		}
		if names := none.do("PROPFIND", path, `<propfind xmlns="DAV:"><propname/></propfind>`, "Depth: 0").body; strings.Contains(names, "schedule-inbox") || strings.Contains(names, "attachment") {
			t.Errorf("names without any: %s", names)
		}
	}
	for _, path := range []string{inbox, outbox} {
		for _, method := range davMethods {
			if a := none.do(method, path, ""); a.StatusCode != 404 {
				t.Errorf("%s %s without any: %d", method, path, a.StatusCode)
			}
		}
	}
	if a := s.do("PROPFIND", "/dav/principals/bob/inbox/", ""); a.StatusCode != 404 {
		t.Errorf("another user's inbox: %d", a.StatusCode)
	}
}

// The boxes are collections like any other, with nothing in them.
func TestBoxes(t *testing.T) {
	s := serve(t, writable())
	for path, kind := range map[string]string{inbox: "schedule-inbox", outbox: "schedule-outbox"} {
		for _, method := range davMethods {
			if a := s.do(method, path, "", "Authorization: none"); a.StatusCode != 401 {
				t.Errorf("%s %s by a stranger: %d", method, path, a.StatusCode)
			}
		}
		for _, body := range append(recordedBodies(t, "PROPFIND"), "") {
			for _, depth := range []string{"0", "1", "infinity"} {
				if ms := s.do("PROPFIND", path, body, "Depth: "+depth).multistatus(t); len(ms.Responses) != 1 || ms.Responses[0].Href != path {
					t.Errorf("%s: %+v", path, ms)
				}
			}
		}
		a := s.do("PROPFIND", path, `<propfind xmlns="DAV:"><prop><resourcetype/><owner/><current-user-privilege-set/><supported-privilege-set/><displayname/></prop></propfind>`, "Depth: 0")
		r := a.multistatus(t).Responses[0]
		if p, _ := r.get("DAV:", "resourcetype"); p.Inner != "<D:collection/><C:"+kind+"/>" {
			t.Errorf("%s: %s", path, p.Inner)
		}
		granted, _ := r.get("DAV:", "current-user-privilege-set")
		supported, _ := r.get("DAV:", "supported-privilege-set")
		for _, p := range strings.Split(granted.Inner, "<D:privilege>")[1:] {
			if !strings.Contains(supported.Inner, "<D:privilege>"+p) {
				t.Errorf("%s: %s is not in %s", path, p, supported.Inner)
			}
		}
		if a := s.do("GET", path, ""); a.StatusCode != 200 {
			t.Errorf("GET %s: %d", path, a.StatusCode)
		}
		patched := s.do("PROPPATCH", path, `<propertyupdate `+davHead+`><set><prop><C:calendar-availability>x</C:calendar-availability></prop></set></propertyupdate>`)
		if patched.StatusCode != 207 {
			t.Errorf("PROPPATCH %s: %d", path, patched.StatusCode)
		}
	}
	first := s.do("REPORT", inbox, syncBody("", ""))
	ms := first.multistatus(t)
	if len(ms.Responses) != 0 || !strings.HasPrefix(ms.SyncToken, "urn:outbridge:sync:") {
		t.Errorf("%s", first.body)
	}
	if again := s.do("REPORT", inbox, syncBody(ms.SyncToken, "")).multistatus(t); len(again.Responses) != 0 || again.SyncToken != ms.SyncToken {
		t.Errorf("%+v", again)
	}
	if a := s.do("REPORT", inbox, syncBody("urn:outbridge:sync:other:1", "")); a.StatusCode != 403 || !strings.Contains(a.body, "<D:valid-sync-token/>") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if ms := s.do("REPORT", inbox, queryBody("<D:getetag/>", `<C:comp-filter name="VEVENT"/>`), "Depth: 1").multistatus(t); len(ms.Responses) != 0 {
		t.Errorf("%+v", ms)
	}
	if got := s.do("REPORT", inbox, multigetBody(inbox+"x.ics", dentist)).multistatus(t).hrefs(); !slices.Equal(got, []string{"dentist.ics 404", "x.ics 404"}) {
		t.Errorf("%v", got)
	}
	for _, body := range append(recordedBodies(t, "REPORT"), `<C:free-busy-query `+davHead+`><C:time-range start="20260101T000000Z" end="20260201T000000Z"/></C:free-busy-query>`) {
		for _, path := range []string{inbox, outbox} {
			if a := s.do("REPORT", path, body); a.StatusCode != 207 && a.StatusCode != 403 && !strings.Contains(body, "principal-search-property-set") {
				t.Errorf("%s: %d %s\n%s", path, a.StatusCode, a.body, body)
			}
		}
	}
}

func busyRequest(more string) string {
	return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\nMETHOD:REQUEST\r\nBEGIN:VFREEBUSY\r\n" + strings.ReplaceAll(more, "\n", "\r\n") + "\r\nEND:VFREEBUSY\r\nEND:VCALENDAR\r\n"
}

const week = "UID:q\nDTSTAMP:20260801T000000Z\nDTSTART:20260810T000000Z\nDTEND:20260815T000000Z\n"

type scheduleResponse struct {
	XMLName   xml.Name `xml:"urn:ietf:params:xml:ns:caldav schedule-response"`
	Responses []struct {
		Recipient struct {
			Href string `xml:"DAV: href"`
		} `xml:"urn:ietf:params:xml:ns:caldav recipient"`
		Status string `xml:"urn:ietf:params:xml:ns:caldav request-status"`
		Data   string `xml:"urn:ietf:params:xml:ns:caldav calendar-data"`
	} `xml:"urn:ietf:params:xml:ns:caldav response"`
}

func (a answer) busy(t *testing.T) scheduleResponse {
	t.Helper()
	var r scheduleResponse
	if err := xml.Unmarshal([]byte(a.body), &r); err != nil || a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/xml; charset=utf-8" {
		t.Fatalf("%d %v %s: %v", a.StatusCode, a.Header, a.body, err)
	}
	return r
}

func TestFreeBusyRequest(t *testing.T) {
	m := writable()
	s := serve(t, m)
	a := s.do("POST", outbox, busyRequest(week+"ORGANIZER;CN=Alice:MAILTO:Alice@Example.com\nATTENDEE;CN=\"Bob, B.\":mailto:bob@example.com\nATTENDEE:mailto:nobody@example.net\n"+
		"ATTENDEE:urn:uuid:1234\nATTENDEE:/dav/principals/alice/\nATTENDEE:mailto:BOB@example.com\nX-CALENDARSERVER-MASK-UID:edited"),
		"Content-Type: text/calendar; charset=utf-8", "Originator: mailto:alice@example.com", "Recipient: mailto:bob@example.com", "User-Agent: x")
	r := a.busy(t)
	if want := (caldav.BusyQuery{Recipients: []string{"bob@example.com", "nobody@example.net", "alice@example.com"}, Mask: "edited", Client: "x",
		Start: time.Date(2026, 8, 10, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 8, 15, 0, 0, 0, 0, time.UTC)}); fmt.Sprint(m.asked) != fmt.Sprint(want) {
		t.Errorf("asked %+v", m.asked)
	}
	var got []string
	for _, one := range r.Responses {
		got = append(got, one.Recipient.Href+" "+one.Status)
	}
	if want := []string{"mailto:bob@example.com 2.0;Success", "mailto:nobody@example.net 3.7;Invalid calendar user", "urn:uuid:1234 3.7;Invalid calendar user",
		"/dav/principals/alice/ 2.0;Success", "mailto:BOB@example.com 2.0;Success"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	bob := r.Responses[0].Data
	for _, line := range []string{"METHOD:REPLY", "UID:q", "DTSTART:20260810T000000Z", "DTEND:20260815T000000Z", "ORGANIZER:MAILTO:Alice@Example.com", "ATTENDEE:mailto:bob@example.com",
		"FREEBUSY;FBTYPE=BUSY:20260810T000000Z/20260810T090000Z", "FREEBUSY;FBTYPE=BUSY-TENTATIVE:20260811T120000Z/20260811T130000Z"} {
		if !strings.Contains(bob, line+"\r\n") {
			t.Errorf("no %s in\n%s", line, bob)
		}
	}
	if strings.Contains(bob, "20260820") || r.Responses[1].Data != "" || !strings.Contains(r.Responses[3].Data, "BEGIN:VFREEBUSY") || strings.Contains(r.Responses[3].Data, "\nFREEBUSY") {
		t.Errorf("%s", a.body)
	}
	m.fail = caldav.ErrUnavailable
	if a := s.do("POST", outbox, busyRequest(week+"ORGANIZER:mailto:alice@example.com\nATTENDEE:mailto:bob@example.com")); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
}

func TestFreeBusyRefused(t *testing.T) {
	m := writable()
	s := serve(t, m)
	const people = "ORGANIZER:mailto:alice@example.com\nATTENDEE:mailto:bob@example.com"
	good := busyRequest(week + people)
	for _, tt := range []struct{ name, kind, body, condition string }{
		{"another organizer", "", busyRequest(week + "ORGANIZER:mailto:eve@example.com\nATTENDEE:mailto:bob@example.com"), "C:valid-organizer"},
		{"another principal", "", busyRequest(week + "ORGANIZER:/dav/principals/bob/\nATTENDEE:mailto:bob@example.com"), "C:valid-organizer"},
		{"no organizer", "", busyRequest(week + "ATTENDEE:mailto:bob@example.com"), "C:valid-scheduling-message"},
		{"no attendee", "", busyRequest(week + "ORGANIZER:mailto:alice@example.com"), "C:valid-scheduling-message"},
		{"no times", "", busyRequest("UID:q\n" + people), "C:valid-scheduling-message"},
		{"local times", "", busyRequest(strings.ReplaceAll(week, "0Z\n", "0\n") + people), "C:valid-scheduling-message"},
		{"backwards", "", busyRequest(strings.Replace(week, "DTEND:2026", "DTEND:2025", 1) + people), "C:valid-scheduling-message"},
		{"no method", "", strings.Replace(good, "METHOD:REQUEST\r\n", "", 1), "C:valid-scheduling-message"},
		{"a reply", "", strings.Replace(good, "REQUEST", "REPLY", 1), "C:valid-scheduling-message"},
		{"an invitation", "", strings.ReplaceAll(good, "VFREEBUSY", "VEVENT"), "C:valid-scheduling-message"},
		{"two", "", strings.Replace(good, "END:VCALENDAR", "BEGIN:VFREEBUSY\r\nEND:VFREEBUSY\r\nEND:VCALENDAR", 1), "C:valid-scheduling-message"},
		{"many people", "", busyRequest(week + people + strings.Repeat("\nATTENDEE:mailto:bob@example.com", 100)), "C:max-attendees-per-instance"},
		{"long", "", busyRequest(week + people + "\nCOMMENT:" + strings.Repeat("x", 300<<10)), "C:max-resource-size"},
		{"no iCalendar", "", "hello", "C:valid-calendar-data"},
		{"empty", "", "", "C:valid-calendar-data"},
		{"XML", "application/xml", "<x/>", "C:supported-calendar-data"},
	} {
		s.do("POST", outbox, tt.body, "Content-Type: "+tt.kind).refused(t, tt.name, 403, tt.condition)
	}
	if m.asked.Recipients != nil {
		t.Errorf("asked %+v", m.asked)
	}
	m.addresses = nil
	s.do("POST", outbox, good).refused(t, "without an address", 403, "C:valid-organizer")
}
