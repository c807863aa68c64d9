package caldav_test

import (
	"strings"
	"testing"
)

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
