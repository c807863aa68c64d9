package caldav_test

import (
	"strings"
	"testing"
)

func TestPrincipalReports(t *testing.T) {
	s := serve(t, fixture())
	search := func(prop, match string) string {
		return `<D:principal-property-search xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:property-search><D:prop>` + prop +
			`</D:prop><D:match>` + match + `</D:match></D:property-search><D:prop><D:displayname/></D:prop></D:principal-property-search>`
	}
	for _, c := range []struct {
		body string
		want bool
	}{
		{search("<D:displayname/>", "ALICE"), true},
		{search("<D:displayname/>", "bob"), false},
		{search("<C:calendar-home-set/>", "/dav/calendars/alice/"), true}, // Thunderbird, where it knows no principal
		{search("<C:calendar-home-set/>", "/dav/calendars/bob/"), false},
		{search("<C:calendar-user-address-set/>", "alice"), false},
		{search("<D:displayname/><C:calendar-home-set/>", "alice"), true},
	} {
		for _, path := range []string{"/dav/principals/", "/principals/", "/dav/calendars/alice/"} {
			ms := s.do("REPORT", path, c.body).multistatus(t)
			if got := len(ms.Responses) == 1; got != c.want || got && ms.Responses[0].Href != "/dav/principals/alice/" {
				t.Errorf("%s on %s: %v", c.body, path, ms.Responses)
			}
		}
	}
	a := s.do("REPORT", workPath, `<expand-property xmlns="DAV:"><property name="owner"><property name="displayname"/><property name="calendar-home-set" namespace="urn:ietf:params:xml:ns:caldav"><property name="resourcetype"/></property></property><property name="displayname"/><property name="odd" namespace="urn:x"/></expand-property>`)
	ms := a.multistatus(t)
	owner, _ := ms.Responses[0].get("DAV:", "owner")
	if want := `<D:response><D:href>/dav/principals/alice/</D:href><D:propstat><D:prop><D:displayname>Alice Example</D:displayname><C:calendar-home-set><D:response><D:href>/dav/calendars/alice/</D:href>`; !strings.HasPrefix(owner.Inner, want) {
		t.Errorf("owner is %s", owner.Inner)
	}
	if len(ms.Responses) != 1 || !strings.Contains(a.body, `<x:odd xmlns:x="urn:x"/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status>`) {
		t.Error(a.body)
	}
	for _, body := range []string{`<expand-property xmlns="DAV:"><property name="a b"/></expand-property>`, `<principal-property-search xmlns="DAV:"/>`} {
		if a := s.do("REPORT", "/dav/principals/alice/", body); a.StatusCode != 400 {
			t.Errorf("%s: %d", body, a.StatusCode)
		}
	}
}
