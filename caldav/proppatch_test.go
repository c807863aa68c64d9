package caldav_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestPrefer(t *testing.T) {
	s := serve(t, &keeping{memory: fixture()})
	body := `<propfind xmlns="DAV:"><prop><getetag/><odd/></prop></propfind>`
	a := s.do("PROPFIND", workPath, body, "Depth: 1", "Prefer: return=minimal, depth-noroot")
	if got := a.multistatus(t).hrefs(); !slices.Equal(got, []string{"allday.ics", "past.ics", "single.ics", "weekly.ics"}) || strings.Contains(a.body, "404") {
		t.Errorf("%v\n%s", got, a.body)
	}
	if got := fmt.Sprint(a.Header["Preference-Applied"]); got != "[return=minimal depth-noroot]" {
		t.Errorf("applied: %s", got)
	}
	a = s.do("PROPFIND", workPath, body, "Depth: 0", "Prefer: depth-noroot, x-foo")
	if got := a.multistatus(t).hrefs(); !slices.Equal(got, []string{"work/"}) || a.Header.Get("Preference-Applied") != "" {
		t.Errorf("depth 0: %v %v", got, a.Header)
	}
	set := func(props string) string {
		return `<propertyupdate xmlns="DAV:"><set><prop>` + props + `</prop></set></propertyupdate>`
	}
	a = s.do("PROPPATCH", workPath, set("<displayname>X</displayname>"), "Prefer: return=minimal")
	if a.StatusCode != 200 || a.body != "" || a.Header.Get("Preference-Applied") != "return=minimal" {
		t.Errorf("PROPPATCH: %d %v %s", a.StatusCode, a.Header, a.body)
	}
	if a = s.do("PROPPATCH", workPath, set("<getetag>X</getetag>"), "Prefer: return=minimal"); a.StatusCode != 207 || a.Header.Get("Preference-Applied") != "" {
		t.Errorf("refused PROPPATCH: %d %v", a.StatusCode, a.Header)
	}
}

// What this server does not know is kept as it was sent.
func TestDeadProperties(t *testing.T) {
	s := serve(t, &keeping{memory: fixture()})
	update := func(action, props string) answer {
		return s.do("PROPPATCH", workPath, `<D:propertyupdate xmlns:D="DAV:" xmlns:q="urn:q&amp;'"><D:`+action+`><D:prop>`+props+`</D:prop></D:`+action+`></D:propertyupdate>`)
	}
	find := func(path, body string) answer { return s.do("PROPFIND", path, body, "Depth: 0") }
	const ask = `<propfind xmlns="DAV:" xmlns:q="urn:q&amp;'"><prop><details/><q:mixed/></prop></propfind>`
	a := update("set", `<D:details xml:lang="en">My Name</D:details><q:mixed q:a='1"' b="2&#10;3&#9;">a<q:x>1<D:y/></q:x>b &lt; c<z xmlns="">d</z></q:mixed>`)
	if strings.Count(a.body, "200 OK") != 2 {
		t.Fatal(a.body)
	}
	a = find(workPath, ask)
	r := a.multistatus(t).Responses[0]
	if d, _ := r.get("DAV:", "details"); d.Text != "My Name" || !strings.Contains(a.body, "<D:details xml:lang='en'>") {
		t.Errorf("details: %q\n%s", d.Text, a.body)
	}
	mixed, _ := r.get(`urn:q&'`, "mixed")
	if want := `a<x xmlns="urn:q&amp;&apos;">1<y xmlns="DAV:"></y></x>b &lt; c<z xmlns="">d</z>`; mixed.Inner != want {
		t.Errorf("mixed: %s, want %s", mixed.Inner, want)
	}
	if !strings.Contains(a.body, `xmlns:a0='urn:q&amp;&apos;' a0:a='1&quot;' b='2&#10;3&#9;'`) {
		t.Errorf("attributes: %s", a.body)
	}
	for body, want := range map[string]bool{"": true, `<propfind xmlns="DAV:"><propname/></propfind>`: false} {
		a := find(workPath, body)
		if d, ok := a.multistatus(t).Responses[0].get("DAV:", "details"); !ok || (d.Text != "") != want {
			t.Errorf("%s: %v %q", body, ok, d.Text)
		}
	}
	if a := find(homePath+"private/", ask); strings.Contains(a.body, "My Name") {
		t.Error("another calendar has it")
	}
	if a := update("remove", `<D:details/><D:missing/>`); strings.Count(a.body, "200 OK") != 2 || strings.Contains(a.body, "403") {
		t.Errorf("remove: %s", a.body)
	}
	if _, ok := find(workPath, ask).multistatus(t).Responses[0].get("DAV:", "details"); ok {
		t.Error("details are still there")
	}
	var many strings.Builder
	for i := range 101 {
		fmt.Fprintf(&many, "<D:p%d/>", i)
	}
	if a := update("set", many.String()); strings.Contains(a.body, "200 OK") || !strings.Contains(a.body, "507 Insufficient Storage") {
		t.Errorf("101 properties: %.300s", a.body)
	}
	if a := s.do("PROPPATCH", workPath+"single.ics", `<propertyupdate xmlns="DAV:"><set><prop><odd/></prop></set></propertyupdate>`); !strings.Contains(a.body, "403 Forbidden") {
		t.Errorf("on an object: %s", a.body)
	}
}

// A calendar's zone is set by name or by VTIMEZONE, and floating times of a query go by it.
func TestCalendarZone(t *testing.T) {
	m := fixture()
	m.publish("work", "float.ics", event("UID:float\nDTSTART:20260820T100000\nDTEND:20260820T110000"))
	s := serve(t, &keeping{memory: m})
	set := func(action, prop string) answer {
		return s.do("PROPPATCH", workPath, `<D:propertyupdate xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:`+action+`><D:prop>`+prop+`</D:prop></D:`+action+`></D:propertyupdate>`)
	}
	check := func(step, id, zone, hour string) {
		t.Helper()
		a := s.do("PROPFIND", workPath, `<propfind xmlns="DAV:"><prop><calendar-timezone xmlns="urn:ietf:params:xml:ns:caldav"/><calendar-timezone-id xmlns="urn:ietf:params:xml:ns:caldav"/></prop></propfind>`, "Depth: 0")
		r := a.multistatus(t).Responses[0]
		gotID, _ := r.get("urn:ietf:params:xml:ns:caldav", "calendar-timezone-id")
		gotZone, _ := r.get("urn:ietf:params:xml:ns:caldav", "calendar-timezone")
		if gotID.Text != id || !strings.Contains(gotZone.Text, zone) {
			t.Errorf("%s: %q, %q", step, gotID.Text, gotZone.Text)
		}
		for h, want := range map[string]bool{"T083000Z": hour == "T083000Z", "T143000Z": hour == "T143000Z"} {
			end := strings.Replace(h, "30", "31", 1)
			got := s.do("REPORT", workPath, queryBody("<D:getetag/>", eventsWithin("20260820"+h, "20260820"+end))).multistatus(t).hrefs()
			if slices.Contains(got, "float.ics") != want {
				t.Errorf("%s: the floating event at %s: %v", step, h, got)
			}
		}
	}
	check("the mailbox's", "Europe/Berlin", "TZID:Europe/Berlin", "T083000Z")
	if a := set("set", "<C:calendar-timezone-id>America/New_York</C:calendar-timezone-id>"); !strings.Contains(a.body, "200 OK") {
		t.Error(a.body)
	}
	check("by name", "America/New_York", "TZID:America/New_York", "T143000Z")
	if a := set("set", "<C:calendar-timezone-id>Mars/Olympus</C:calendar-timezone-id>"); !strings.Contains(a.body, "<C:valid-timezone/>") {
		t.Error(a.body)
	}
	set("remove", "<C:calendar-timezone/>")
	check("removed", "Europe/Berlin", "TZID:Europe/Berlin", "T083000Z")
	if a := set("set", "<C:calendar-timezone>BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\nBEGIN:VTIMEZONE\nTZID:America/New_York\nX-MINE:1\nEND:VTIMEZONE\nEND:VCALENDAR\n</C:calendar-timezone>"); !strings.Contains(a.body, "200 OK") {
		t.Error(a.body)
	}
	check("by VTIMEZONE", "America/New_York", "X-MINE:1", "T143000Z")
	if a := set("set", "<C:calendar-timezone>BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n"+officeZone("+0130")+"END:VCALENDAR\n</C:calendar-timezone>"); !strings.Contains(a.body, "200 OK") {
		t.Error(a.body)
	}
	check("by its own VTIMEZONE", "Europe/Berlin", "TZID:Office", "T083000Z")
	if a := set("set", "<C:calendar-timezone>BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n"+officeZone("-0430")+"END:VCALENDAR\n</C:calendar-timezone>"); !strings.Contains(a.body, "200 OK") {
		t.Error(a.body)
	}
	check("by another of its name", "Europe/Berlin", "TZID:Office", "T143000Z")
	if a := set("set", "<C:calendar-timezone>BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n"+officeZone("noon")+"END:VCALENDAR\n</C:calendar-timezone>"); !strings.Contains(a.body, "<C:valid-calendar-data/>") {
		t.Error(a.body)
	}
	check("as it was", "Europe/Berlin", "TZID:Office", "T143000Z")
	set("set", "<C:calendar-timezone-id>Asia/Tokyo</C:calendar-timezone-id>")
	check("by name again", "Asia/Tokyo", "", "")
}
