package caldav_test

import (
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
