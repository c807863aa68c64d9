package caldav_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const homePath = "/dav/calendars/alice/"

// Queries and multigets on the home and on one object (RFC 4791 §7: reports are for objects as well as calendars).
func TestReportScope(t *testing.T) {
	s := serve(t, fixture())
	at := eventsWithin("20260811T000000Z", "20260811T200000Z")
	all := []string{"dentist.ics", "weekly.ics"}
	for _, c := range []struct {
		path, depth, filter string
		want                []string
	}{
		{homePath, "0", at, []string{}},
		{homePath, "", at, []string{}},
		{homePath, "1", at, all},
		{homePath, "infinity", at, all},
		{workPath + "weekly.ics", "", at, []string{"weekly.ics"}},
		{workPath + "weekly.ics", "0", at, []string{"weekly.ics"}},
		{workPath + "single.ics", "0", at, []string{}},
		{workPath + "weekly.ics", "0", `<C:comp-filter name="VTODO"/>`, []string{}},
	} {
		var h []string
		if c.depth != "" {
			h = append(h, "Depth: "+c.depth)
		}
		got := s.do("REPORT", c.path, queryBody("<D:getetag/>", c.filter), h...).multistatus(t).hrefs()
		if !slices.Equal(got, c.want) {
			t.Errorf("%s, depth %q: %v, want %v", c.path, c.depth, got, c.want)
		}
	}
	hrefs := []string{workPath + "single.ics", homePath + "private/dentist.ics", workPath + "past.ics", homePath + "none/x.ics", workPath, "/dav/calendars/bob/work/x.ics"}
	for path, want := range map[string][]string{
		homePath:                {"dentist.ics", "past.ics", "single.ics", "work/ 404", "x.ics 404", "x.ics 404"},
		workPath + "single.ics": {"dentist.ics 404", "past.ics 404", "single.ics", "work/ 404", "x.ics 404", "x.ics 404"},
	} {
		ms := s.do("REPORT", path, multigetBody(hrefs...), "Depth: 1").multistatus(t)
		got := ms.hrefs()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
		for _, r := range ms.Responses {
			if d, ok := r.get("urn:ietf:params:xml:ns:caldav", "calendar-data"); ok != (r.Status == "") || ok && !strings.Contains(d.Text, "BEGIN:VEVENT") {
				t.Errorf("%s: %s has data: %v", path, r.Href, ok)
			}
		}
	}
	a := s.do("REPORT", homePath, `<free-busy-query xmlns="urn:ietf:params:xml:ns:caldav"><time-range start="20260810T000000Z" end="20260812T000000Z"/></free-busy-query>`, "Depth: infinity")
	for _, busy := range []string{"20260810T080000Z/20260810T090000Z", "20260811T080000Z/20260811T090000Z", "20260811T120000Z/20260811T123000Z"} {
		if !strings.Contains(a.body, "FREEBUSY:"+busy) {
			t.Errorf("busy times of the home have no %s:\n%s", busy, a.body)
		}
	}
	for _, path := range []string{"/dav/", "/dav/principals/alice/"} {
		if a := s.do("REPORT", path, queryBody("<D:getetag/>", at)); a.StatusCode != 403 || !strings.Contains(a.body, "<D:supported-report/>") {
			t.Errorf("query of %s: %d %s", path, a.StatusCode, a.body)
		}
	}
}

// Every report that a resource lists is one that it answers, and no other.
func TestSupportedReports(t *testing.T) {
	s := serve(t, fixture())
	span := `<C:time-range start="20260810T000000Z" end="20260812T000000Z"/>`
	bodies := map[string]string{
		"sync-collection":               syncBody("", ""),
		"calendar-query":                queryBody("<D:getetag/>", ""),
		"calendar-multiget":             multigetBody(workPath + "single.ics"),
		"free-busy-query":               `<C:free-busy-query xmlns:C="urn:ietf:params:xml:ns:caldav">` + span + `</C:free-busy-query>`,
		"expand-property":               `<D:expand-property xmlns:D="DAV:"><D:property name="owner"/></D:expand-property>`,
		"acl-principal-prop-set":        `<D:acl-principal-prop-set xmlns:D="DAV:"><D:prop><D:displayname/></D:prop></D:acl-principal-prop-set>`,
		"principal-match":               `<D:principal-match xmlns:D="DAV:"><D:self/></D:principal-match>`,
		"principal-property-search":     `<D:principal-property-search xmlns:D="DAV:"><D:property-search><D:prop><D:displayname/></D:prop><D:match>x</D:match></D:property-search></D:principal-property-search>`,
		"principal-search-property-set": `<D:principal-search-property-set xmlns:D="DAV:"/>`,
	}
	for _, path := range []string{"/", "/dav/", "/principals/", "/dav/principals/", "/dav/principals/alice/", "/dav/calendars/", homePath, workPath, workPath + "single.ics"} {
		ms := s.do("PROPFIND", path, `<propfind xmlns="DAV:"><prop><supported-report-set/></prop></propfind>`, "Depth: 0").multistatus(t)
		set, _ := ms.Responses[0].get("DAV:", "supported-report-set")
		for name, body := range bodies {
			listed := strings.Contains(set.Inner, ":"+name+"/>")
			a := s.do("REPORT", path, body, "Depth: 0")
			if ok := a.StatusCode == 207 || a.StatusCode == 200; ok != listed {
				t.Errorf("%s %s: %d, listed: %v", path, name, a.StatusCode, listed)
			}
		}
	}
}

func TestAccessControl(t *testing.T) {
	s := serve(t, fixture())
	prop := func(path, name string) string {
		ms := s.do("PROPFIND", path, `<propfind xmlns="DAV:"><prop><`+name+`/></prop></propfind>`, "Depth: 0").multistatus(t)
		p, _ := ms.Responses[0].get("DAV:", name)
		return p.Inner
	}
	granted := prop(workPath, "current-user-privilege-set")
	if acl := prop(workPath, "acl"); acl != `<D:ace><D:principal><D:href>/dav/principals/alice/</D:href></D:principal><D:grant>`+granted+`</D:grant><D:protected/></D:ace>` ||
		strings.Contains(acl, "<D:write") {
		t.Errorf("acl: %s", acl)
	}
	supported := prop(workPath, "supported-privilege-set")
	for _, path := range []string{workPath, homePath, homePath + "private/"} {
		for _, p := range strings.Split(prop(path, "current-user-privilege-set"), "<D:privilege>")[1:] {
			if !strings.Contains(supported, "<D:privilege>"+p) {
				t.Errorf("%s: privilege %s is not in %s", path, p, supported)
			}
		}
	}
	match := func(inner string) string {
		return `<D:principal-match xmlns:D="DAV:">` + inner + `</D:principal-match>`
	}
	owner := `<D:principal-property><D:owner/></D:principal-property>`
	for _, c := range []struct {
		path, body, depth string
		status            int
		want              string
	}{
		{"/dav/principals/", match(`<D:self/><D:prop><D:displayname/></D:prop>`), "0", 207, "alice/"},
		{"/dav/", match(`<D:self/>`), "", 207, "alice/"},
		{workPath, match(`<D:self/>`), "0", 207, ""},
		{homePath + "private/", match(owner), "0", 207, "dentist.ics"},
		{homePath, match(owner), "0", 207, "allday.ics dentist.ics past.ics private/ single.ics weekly.ics work/"},
		{homePath, match(`<D:principal-property><D:odd/></D:principal-property>`), "0", 207, ""},
		{"/dav/principals/", match(`<D:self/>`), "1", 400, ""},
		{"/dav/principals/", match(``), "0", 400, ""},
		{"/dav/principals/", match(`<D:self/>` + owner), "0", 400, ""},
		{"/dav/principals/", match(`<D:self/><D:prop/><D:prop/>`), "0", 400, ""},
		{workPath + "single.ics", `<D:acl-principal-prop-set xmlns:D="DAV:"><D:prop><D:displayname/></D:prop></D:acl-principal-prop-set>`, "0", 207, "alice/"},
		{workPath + "single.ics", `<D:acl-principal-prop-set xmlns:D="DAV:"/>`, "0", 400, ""},
		{workPath + "single.ics", `<D:acl-principal-prop-set xmlns:D="DAV:"><D:prop/></D:acl-principal-prop-set>`, "infinity", 400, ""},
	} {
		var h []string
		if c.depth != "" {
			h = append(h, "Depth: "+c.depth)
		}
		a := s.do("REPORT", c.path, c.body, h...)
		if a.StatusCode != c.status {
			t.Errorf("%s %s: %d %s", c.path, c.body, a.StatusCode, a.body)
			continue
		}
		if c.status == 207 {
			if got := strings.Join(a.multistatus(t).hrefs(), " "); got != c.want {
				t.Errorf("%s %s: %q, want %q", c.path, c.body, got, c.want)
			}
		}
	}
	if a := s.do("ACL", workPath, `<acl xmlns="DAV:"/>`); a.StatusCode != 403 || !strings.Contains(a.body, "<D:write-acl/>") {
		t.Errorf("ACL: %d %s", a.StatusCode, a.body)
	}
}

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
	a := update("set", `<D:details xml:lang="en">My Name</D:details><q:mixed q:a='1"' b="2">a<q:x>1<D:y/></q:x>b &lt; c<z xmlns="">d</z></q:mixed>`)
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
	if !strings.Contains(a.body, `xmlns:a0='urn:q&amp;&apos;' a0:a='1&quot;' b='2'`) {
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
}

func TestCharsets(t *testing.T) {
	s := serve(t, &keeping{memory: fixture()})
	utf16 := func(s string, big bool) string {
		b := []byte{0xff, 0xfe}
		if big {
			b = []byte{0xfe, 0xff}
		}
		for _, r := range s {
			if big {
				b = append(b, byte(r>>8), byte(r))
			} else {
				b = append(b, byte(r), byte(r>>8))
			}
		}
		return string(b)
	}
	doc := func(encoding, name string) string {
		return `<?xml version="1.0" encoding="` + encoding + `"?><propertyupdate xmlns="DAV:"><set><prop><displayname>` + name + `</displayname></prop></set></propertyupdate>`
	}
	for i, body := range []string{
		doc("utf-8", "Bür\u00f6 0"), doc("UTF-8", "Bür\u00f6 1"), utf16(doc("UTF-16", "Bür\u00f6 2"), true), utf16(doc("utf-16", "Bür\u00f6 3"), false),
		doc("ISO-8859-1", "B\xfcr\xf6 4"), "\xef\xbb\xbf" + doc("utf-8", "Bür\u00f6 5"),
	} {
		s.do("PROPPATCH", workPath, body, "Content-Type: text/plain; charset=koi8-r").patched(t)
		p, _ := s.do("PROPFIND", workPath, "", "Depth: 0").multistatus(t).Responses[0].get("DAV:", "displayname")
		if want := fmt.Sprintf("Bürö %d", i); p.Text != want {
			t.Errorf("%q, want %q", p.Text, want)
		}
	}
	for _, body := range []string{doc("koi8-r", "x"), "\xff\xfe<", doc("utf-8", "\xff")} {
		if a := s.do("PROPPATCH", workPath, body); a.StatusCode != 400 {
			t.Errorf("%q: %d", body, a.StatusCode)
		}
	}
}
