package caldav_test

import (
	"net/http"
	"strings"
	"testing"

	"outbridge/caldav"
)

func TestMove(t *testing.T) {
	const other = "/dav/calendars/alice/other/"
	world := func() (*memory, *server) {
		m := writable()
		m.add(caldav.Calendar{Name: "other", DisplayName: "Other", Writable: true})
		m.publish("other", "taken.ics", meeting("taken", ""))
		h := &caldav.Handler{Backend: m, Log: testLog(t), PublicURL: "https://calendar.example.com"}
		return m, serveHandler(t, h)
	}
	etag := func(m *memory) string { return m.find("private").objects["dentist.ics"].ETag }
	m, _ := world()
	tag := etag(m)
	for _, tt := range []struct {
		name, method, path string
		headers            []string
		status             int
		contains           string
		there              string // "calendar/name" that exists afterwards
	}{
		{"another name", "MOVE", dentist, []string{"Destination: " + private + "n.ics"}, 201, "", "private/n.ics"},
		{"another calendar", "MOVE", dentist, []string{"Destination: " + other + "dentist.ics", "Overwrite: F"}, 201, "", "other/dentist.ics"},
		{"by the whole URL", "MOVE", dentist, []string{"Destination: http://$HOST" + other + "a%40b.ics"}, 201, "", "other/a@b.ics"},
		{"by the public URL", "MOVE", dentist, []string{"Destination: https://calendar.example.com" + other + "a.ics"}, 201, "", "other/a.ics"},
		{"by the public URL, with its port", "MOVE", dentist, []string{"Destination: https://CALENDAR.example.com:443" + other + "a.ics"}, 201, "", "other/a.ics"},
		{"bare characters", "MOVE", dentist, []string{"Destination: " + other + "a@b:c;d=e+f$g,h.ics"}, 201, "", "other/a@b:c;d=e+f$g,h.ics"},
		{"onto another", "MOVE", dentist, []string{"Destination: " + other + "taken.ics"}, 204, "", "other/taken.ics"},
		{"onto another, said", "MOVE", dentist, []string{"Destination: " + other + "taken.ics", "Overwrite: T"}, 204, "", "other/taken.ics"},
		{"not onto another", "MOVE", dentist, []string{"Destination: " + other + "taken.ics", "Overwrite: F"}, 412, "", "private/dentist.ics"},
		{"infinitely deep", "MOVE", dentist, []string{"Destination: " + other + "a.ics", "Depth: infinity"}, 201, "", "other/a.ics"},
		{"as it is known", "MOVE", dentist, []string{"Destination: " + other + "a.ics", `If-Match: "` + tag + `"`}, 201, "", "other/a.ics"},
		{"stale", "MOVE", dentist, []string{"Destination: " + other + "a.ics", `If-Match: "x"`}, 412, "", "private/dentist.ics"},
		{"flat", "MOVE", dentist, []string{"Destination: " + other + "a.ics", "Depth: 0"}, 400, "", "private/dentist.ics"},
		{"deep", "COPY", dentist, []string{"Destination: " + other + "a.ics", "Depth: 7"}, 400, "", "private/dentist.ics"},
		{"overwriting perhaps", "MOVE", dentist, []string{"Destination: " + other + "a.ics", "Overwrite: x"}, 400, "", "private/dentist.ics"},
		{"nowhere", "MOVE", dentist, nil, 400, "", "private/dentist.ics"},
		{"to no URL", "MOVE", dentist, []string{"Destination: mailto:x"}, 400, "", "private/dentist.ics"},
		{"to what is malformed", "MOVE", dentist, []string{"Destination: http://[::1/x"}, 400, "", "private/dentist.ics"},
		{"to itself", "MOVE", dentist, []string{"Destination: " + dentist}, 403, "<o:reason", "private/dentist.ics"},
		{"to another host", "MOVE", dentist, []string{"Destination: https://other.example.com" + other + "a.ics"}, 403, "<o:reason", "private/dentist.ics"},
		{"to a bad name", "MOVE", dentist, []string{"Destination: " + other + "a%2Fb.ics"}, 403, "<C:valid-calendar-object-resource/>", "private/dentist.ics"},
		{"to a collection", "MOVE", dentist, []string{"Destination: " + other}, 403, "<D:bind/>", "private/dentist.ics"},
		{"to the home", "MOVE", dentist, []string{"Destination: " + home}, 403, "<D:bind/>", "private/dentist.ics"},
		{"to the inbox", "MOVE", dentist, []string{"Destination: " + alice + "inbox/"}, 403, "<D:bind/>", "private/dentist.ics"},
		{"to another user", "MOVE", dentist, []string{"Destination: /dav/calendars/bob/work/a.ics"}, 403, "<D:bind/>", "private/dentist.ics"},
		{"to a read-only calendar", "MOVE", dentist, []string{"Destination: " + work + "a.ics"}, 403, "<D:href>" + work + "</D:href><D:privilege><D:bind/>", "private/dentist.ics"},
		{"to no calendar", "MOVE", dentist, []string{"Destination: /dav/calendars/alice/none/a.ics"}, 409, "", "private/dentist.ics"},
		{"below a calendar", "MOVE", dentist, []string{"Destination: " + other + "a/b.ics"}, 409, "", "private/dentist.ics"},
		{"outside", "MOVE", dentist, []string{"Destination: /feeds/a.ics"}, 409, "", "private/dentist.ics"},
		{"nothing", "MOVE", private + "none.ics", []string{"Destination: " + other + "a.ics"}, 404, "", "private/dentist.ics"},
		{"out of a read-only calendar", "MOVE", work + "single.ics", []string{"Destination: " + other + "a.ics"}, 403, "<D:unbind/>", "work/single.ics"},
		{"a calendar", "MOVE", private, []string{"Destination: " + home + "renamed/"}, 403, "<D:unbind/>", "private/dentist.ics"},
		{"the home", "COPY", home, []string{"Destination: " + home + "x/"}, 403, "<D:bind/>", "private/dentist.ics"},
		{"copied", "COPY", dentist, []string{"Destination: " + other + "a.ics", "Depth: 0"}, 201, "", "other/a.ics"},
		{"copied over", "COPY", dentist, []string{"Destination: " + other + "taken.ics"}, 204, "", "private/dentist.ics"},
		{"copied, not over", "COPY", dentist, []string{"Destination: " + other + "taken.ics", "Overwrite: F"}, 412, "", "private/dentist.ics"},
		{"copied out of a read-only calendar", "COPY", work + "single.ics", []string{"Destination: " + other + "a.ics"}, 201, "", "other/a.ics"},
		{"copied into the same", "COPY", dentist, []string{"Destination: " + private + "a.ics"}, 403, "<C:no-uid-conflict><D:href>" + dentist + "</D:href>", "private/dentist.ics"},
	} {
		m, s := world()
		host := strings.TrimPrefix(s.url, "http://")
		for i, h := range tt.headers {
			tt.headers[i] = strings.Replace(h, "$HOST", host, 1)
		}
		a := s.do(tt.method, tt.path, "", tt.headers...)
		calendar, name, _ := strings.Cut(tt.there, "/")
		_, there := m.object(calendar, name)
		if a.StatusCode != tt.status || !strings.Contains(a.body, tt.contains) || !there || a.Header.Get("Location") != "" {
			t.Errorf("%s: %d %v %s; there: %v", tt.name, a.StatusCode, a.Header, a.body, there)
		}
		if tt.method == "MOVE" && a.StatusCode < 300 && s.do("GET", tt.path, "").StatusCode != http.StatusNotFound {
			t.Errorf("%s: still there", tt.name)
		}
	}
}

// Calendars are neither made, nor removed, nor locked by clients, and say so in what may be done to them.
func TestCollectionsStay(t *testing.T) {
	m := writable()
	s := serve(t, m)
	for _, tt := range []struct{ method, path, privilege string }{
		{"DELETE", private, "unbind"}, {"DELETE", home, "unbind"}, {"DELETE", alice, "unbind"}, {"DELETE", alice + "inbox/", "unbind"},
		{"MKCALENDAR", home + "new/", "bind"}, {"MKCOL", home + "new/", "bind"}, {"MKCOL", private + "new", "bind"},
		{"LOCK", dentist, "write-content"}, {"UNLOCK", dentist, "unlock"}, {"PUT", private, "write-content"}, {"PUT", alice + "outbox/", "write-content"},
		{"POST", private, "write-content"}, {"POST", dentist, "write-content"}, {"POST", alice + "inbox/", "write-content"}, {"ACL", private, "write-acl"},
	} {
		a := s.do(tt.method, tt.path, meeting("x", ""))
		if a.StatusCode != 403 || !strings.Contains(a.body, "<D:need-privileges>") || !strings.Contains(a.body, "<D:"+tt.privilege+"/>") {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, a.StatusCode, a.body)
		}
	}
	if m.calls["write"] != 0 {
		t.Error("something was written")
	}
	for path, want := range map[string]string{
		private: "OPTIONS, GET, HEAD, PROPFIND, PROPPATCH, REPORT, PUT, DELETE, COPY, MOVE",
		dentist: "OPTIONS, GET, HEAD, PROPFIND, PROPPATCH, REPORT, PUT, DELETE, COPY, MOVE, POST",
		work:    "OPTIONS, GET, HEAD, PROPFIND, PROPPATCH, REPORT", work + "single.ics": "OPTIONS, GET, HEAD, PROPFIND, PROPPATCH, REPORT",
		home: "OPTIONS, GET, HEAD, PROPFIND, PROPPATCH, REPORT", alice + "outbox/": "OPTIONS, GET, HEAD, PROPFIND, PROPPATCH, REPORT, POST",
		alice + "inbox/": "OPTIONS, GET, HEAD, PROPFIND, PROPPATCH, REPORT",
	} {
		if a := s.do("OPTIONS", path, ""); a.StatusCode != 200 || a.Header.Get("Allow") != want {
			t.Errorf("OPTIONS %s: %d %s", path, a.StatusCode, a.Header.Get("Allow"))
		}
	}
}
