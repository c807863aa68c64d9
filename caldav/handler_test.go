package caldav_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"outbridge/caldav"
)

var davPaths = []string{"/", "/.well-known/caldav", "/.well-known/caldav/", "/principals/", "/dav/", "/dav/principals/", "/dav/principals/alice/",
	"/dav/calendars/", "/dav/calendars/alice/", "/dav/calendars/alice/work/", "/dav/calendars/alice/work/single.ics",
	"/principals/users/", "/principals/users/alice/", "/calendar/dav/alice/user/", "/remote.php/dav", "/dav/nothing"}

var davMethods = []string{"OPTIONS", "GET", "HEAD", "PROPFIND", "PROPPATCH", "REPORT", "PUT", "DELETE", "POST", "MKCALENDAR", "MKCOL",
	"MOVE", "COPY", "LOCK", "UNLOCK", "BREW"}

func TestUnauthenticated(t *testing.T) {
	m := fixture()
	s := serve(t, m)
	for _, path := range davPaths {
		for _, method := range davMethods {
			for _, auth := range []string{"none", "Basic YWxpY2U6d3Jvbmc=", "Basic !!", "Bearer x"} {
				a := s.do(method, path, strings.Repeat("x", 100<<10), "Authorization: "+auth)
				if a.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Basic realm=") {
					t.Errorf("%s %s with %q: %d %v", method, path, auth, a.StatusCode, a.Header)
				}
				if a.Close {
					t.Errorf("%s %s: the connection is closed", method, path)
				}
			}
		}
	}
	if len(m.calls) != 0 {
		t.Errorf("calls for strangers: %v", m.calls)
	}
}

func TestOptions(t *testing.T) {
	s := serve(t, fixture())
	// The server as a whole; net/http would answer by itself, to strangers too.
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for auth, want := range map[string]int{"": 401, "Authorization: Basic YWxpY2U6c2VjcmV0\r\n": 200} {
		fmt.Fprintf(conn, "OPTIONS * HTTP/1.1\r\nHost: x\r\n%s\r\n", auth)
		a, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || a.StatusCode != want || !strings.HasPrefix(a.Header.Get("DAV"), "1, ") {
			t.Errorf("OPTIONS *: %v, %v", a, err)
		}
		_, _ = io.Copy(io.Discard, a.Body)
	}
	for _, path := range davPaths[:len(davPaths)-1] {
		a := s.do("OPTIONS", path, "")
		if a.StatusCode != 200 || a.Header.Get("Content-Length") != "0" ||
			a.Header.Get("DAV") != "1, 3, access-control, extended-mkcol, calendar-access" ||
			a.Header.Get("Allow") != "OPTIONS, GET, HEAD, PROPFIND, PROPPATCH, REPORT" {
			t.Errorf("%s: %d %v", path, a.StatusCode, a.Header)
		}
	}
}

func TestHandles(t *testing.T) {
	h := &caldav.Handler{}
	for _, c := range []struct {
		method, path string
		want         bool
	}{
		{"GET", "/", false}, {"POST", "/", false}, {"PROPFIND", "/", true}, {"OPTIONS", "/", true}, {"REPORT", "/", true},
		{"GET", "/dav/", true}, {"PROPFIND", "/dav", true}, {"PROPFIND", "/davros", false}, {"GET", "/.well-known/caldav", true},
		{"PROPFIND", "/principals/", true}, {"PROPFIND", "/feeds/x.ics", false}, {"PROPFIND", "/calendar/dav/alice/user/", true}, {"GET", "/calendar", false}, {"GET", "/calendar/week", false},
		{"OPTIONS", "/remote.php/dav", true}, {"GET", "/remote.php/index", false}, {"PUT", "/dav/calendars/a/b/c.ics", true},
	} {
		if got := h.Handles(httptest.NewRequest(c.method, c.path, nil)); got != c.want {
			t.Errorf("%s %s: %v", c.method, c.path, got)
		}
	}
}

// recordedBodies are the bodies of one method in the client scripts.
func recordedBodies(t testing.TB, method string) []string {
	files, _ := filepath.Glob("testdata/clients/*.txt")
	var l []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?s)C: `+method+` [^\n]*\n(?:[^\n]+\n)*\n(.*?)\nS: `).FindAllStringSubmatch(string(text), -1) {
			if body := strings.TrimSpace(m[1]); body != "" {
				l = append(l, body)
			}
		}
	}
	if len(l) < 3 {
		t.Fatalf("%d recorded bodies of %s", len(l), method)
	}
	return l
}

// Every recorded PROPFIND, sent to everything there is: a 207 whose every response is as clients need it.
func TestPropfindEverywhere(t *testing.T) {
	s := serve(t, fixture())
	for _, path := range davPaths[:len(davPaths)-1] {
		if strings.HasPrefix(path, "/.well-known") {
			path = s.do("PROPFIND", path, "").Header.Get("Location")
		}
		for _, body := range recordedBodies(t, "PROPFIND") {
			for _, depth := range []string{"0", "1", "infinity"} {
				ms := s.do("PROPFIND", path, body, "Depth: "+depth).multistatus(t)
				if depth == "0" && len(ms.Responses) != 1 || len(ms.Responses) == 0 {
					t.Errorf("%s, depth %s: %d responses", path, depth, len(ms.Responses))
				}
				for _, r := range ms.Responses {
					for _, name := range []string{"resourcetype", "current-user-principal"} {
						if _, ok := r.get("DAV:", name); !ok && regexp.MustCompile(name+`\s*(xmlns="[^"]*")?/>`).MatchString(body) {
							t.Errorf("%s has no %s", r.Href, name)
						}
					}
				}
			}
		}
	}
}

func TestPropfindForms(t *testing.T) {
	s := serve(t, fixture())
	const work = "/dav/calendars/alice/work/"
	empty := s.do("PROPFIND", work, "", "Depth: 0")
	for _, body := range []string{`<propfind xmlns="DAV:"><allprop/></propfind>`, "\xef\xbb\xbf" + `<?xml version="1.0"?><d:propfind xmlns:d="DAV:"/>`} {
		if a := s.do("PROPFIND", work, body, "Depth: 0", "Content-Type: text/plain"); a.body != empty.body {
			t.Errorf("%s:\n%s\nwant\n%s", body, a.body, empty.body)
		}
	}
	r := empty.multistatus(t).Responses[0]
	for _, name := range []string{"resourcetype", "displayname", "getlastmodified", "creationdate"} {
		if _, ok := r.get("DAV:", name); !ok {
			t.Errorf("allprop has no %s", name)
		}
	}
	if len(r.Propstats) != 1 {
		t.Errorf("allprop has 404s:\n%s", empty.body)
	}
	include := s.do("PROPFIND", work, `<propfind xmlns="DAV:"><allprop/><include><supported-report-set/></include></propfind>`, "Depth: 0")
	if _, ok := include.multistatus(t).Responses[0].get("DAV:", "supported-report-set"); !ok {
		t.Error("include is not heard")
	}
	names := s.do("PROPFIND", work, `<propfind xmlns="DAV:"><propname/></propfind>`, "Depth: 1").multistatus(t)
	if len(names.Responses) != 5 {
		t.Errorf("propname: %d responses", len(names.Responses))
	}
	if p, ok := names.Responses[0].get("DAV:", "displayname"); !ok || p.Inner != "" {
		t.Errorf("propname: displayname %q, %v", p.Inner, ok)
	}
	unknown := s.do("PROPFIND", work, `<propfind xmlns="DAV:" xmlns:q="urn:q&quot;&lt;"><prop><q:odd/><plain xmlns=""/><displayname/></prop></propfind>`, "Depth: 0")
	ms := unknown.multistatus(t)
	if ps := ms.Responses[0].Propstats; len(ps) != 2 || ps[1].Status != "HTTP/1.1 404 Not Found" || len(ps[1].Prop.Props) != 2 ||
		ps[1].Prop.Props[0].XMLName.Space != `urn:q"<` || ps[1].Prop.Props[1].XMLName.Space != "" {
		t.Errorf("unknown properties:\n%s", unknown.body)
	}
	for _, h := range []string{"Prefer: return=minimal", "Brief: t", "Prefer: handling=lenient, return=minimal"} {
		a := s.do("PROPFIND", work, `<propfind xmlns="DAV:"><prop><odd/></prop></propfind>`, "Depth: 0", h)
		if ps := a.multistatus(t).Responses[0].Propstats; len(ps) != 1 {
			t.Errorf("%s:\n%s", h, a.body)
		}
	}
	if a := s.do("PROPFIND", work, "", "Depth: 2"); a.StatusCode != 400 {
		t.Errorf("Depth 2: %d", a.StatusCode)
	}
}

// The state of a home changes with whatever a client could want to know of its calendars.
func TestHomeTag(t *testing.T) {
	m := fixture()
	s := serve(t, m)
	tag := func() string {
		a := s.do("PROPFIND", "/dav/calendars/alice/", `<propfind xmlns="DAV:"><prop><sync-token/></prop></propfind>`, "Depth: 0")
		p, _ := a.multistatus(t).Responses[0].get("DAV:", "sync-token")
		return p.Text
	}
	seen := map[string]bool{tag(): true}
	for i, change := range []func(){
		func() { m.publish("work", "n.ics", event("UID:n")) },
		func() { m.find("work").DisplayName = "Renamed" },
		func() { m.find("work").Color = "#000000" },
		func() { m.find("work").Writable = true },
		func() { m.add(caldav.Calendar{Name: "third", DisplayName: "Third"}) },
		func() { m.calendars = m.calendars[:2] },
		func() { m.find("private").Token.Epoch = "e2" },
	} {
		change()
		now := tag()
		if i == 5 != seen[now] {
			t.Errorf("change %d: tag seen before: %v", i, seen[now])
		}
		if again := tag(); again != now || !strings.Contains(now, ":") || strings.ContainsAny(now, "<>&") {
			t.Errorf("change %d: %s, then %s", i, now, again)
		}
		seen[now] = true
	}
}

func TestReadOnly(t *testing.T) {
	m := fixture()
	s := serve(t, m)
	before := m.token("work")
	for _, c := range []struct{ method, path, privilege, href string }{
		{"PUT", "/dav/calendars/alice/work/single.ics", "write-content", "/dav/calendars/alice/work/single.ics"},
		{"DELETE", "/dav/calendars/alice/work/single.ics", "unbind", "/dav/calendars/alice/work/"},
		{"DELETE", "/dav/calendars/alice/work/", "unbind", "/dav/calendars/alice/"},
		{"MOVE", "/dav/calendars/alice/work/single.ics", "unbind", "/dav/calendars/alice/work/"},
		{"COPY", "/dav/calendars/alice/work/single.ics", "bind", "/dav/calendars/alice/work/"},
		{"MKCALENDAR", "/dav/calendars/alice/new/", "bind", "/dav/calendars/alice/"},
		{"MKCOL", "/dav/calendars/alice/new", "bind", "/dav/calendars/alice/"},
		{"LOCK", "/dav/calendars/alice/work/single.ics", "write-content", "/dav/calendars/alice/work/single.ics"},
		{"UNLOCK", "/dav/calendars/alice/work/single.ics", "unlock", "/dav/calendars/alice/work/single.ics"},
		{"POST", "/dav/calendars/alice/work/", "write-content", "/dav/calendars/alice/work/"},
	} {
		a := s.do(c.method, c.path, event("UID:x\nDTSTAMP:20260101T000000Z\nDTSTART:20260101T000000Z"))
		want := `<?xml version="1.0" encoding="utf-8"?>` + "\n" + `<D:error xmlns:D="DAV:"><D:need-privileges><D:resource><D:href>` + c.href +
			`</D:href><D:privilege><D:` + c.privilege + `/></D:privilege></D:resource></D:need-privileges>`
		if strings.HasSuffix(c.path, ".ics") && slices.Contains([]string{"PUT", "DELETE", "MOVE"}, c.method) {
			want += `<o:reason xmlns:o="urn:outbridge">This calendar can only be read here.</o:reason>`
		}
		want += `</D:error>` + "\n"
		if a.StatusCode != 403 || a.body != want || a.Header.Get("Content-Type") != "application/xml; charset=utf-8" {
			t.Errorf("%s %s: %d %s", c.method, c.path, a.StatusCode, a.body)
		}
	}
	if m.token("work") != before || m.calls["write"] != 0 {
		t.Error("something was written")
	}
	// Without a PropertyStore nothing can be set, and that is said inside of a 207.
	for _, body := range recordedBodies(t, "PROPPATCH") {
		a := s.do("PROPPATCH", "/dav/calendars/alice/work/", body)
		for _, ps := range a.patched(t).Responses[0].Propstats {
			if ps.Status != "HTTP/1.1 403 Forbidden" {
				t.Errorf("%s:\n%s", body, a.body)
			}
		}
		if !strings.Contains(a.body, "<D:cannot-modify-protected-property/>") {
			t.Error(a.body)
		}
	}
}

// patched reads the answer to a PROPPATCH, whose first propstat may be a failure.
func (a answer) patched(t testing.TB) multistatus {
	t.Helper()
	var ms multistatus
	if a.StatusCode != 207 {
		t.Fatalf("status %d:\n%s", a.StatusCode, a.body)
	}
	if err := xml.Unmarshal([]byte(a.body), &ms); err != nil {
		t.Fatal(err)
	}
	return ms
}

func TestProppatch(t *testing.T) {
	s := serve(t, &keeping{memory: fixture()})
	const work = "/dav/calendars/alice/work/"
	update := func(action, props string) string {
		return `<D:propertyupdate xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:A="http://apple.com/ns/ical/"><D:` + action +
			`><D:prop>` + props + `</D:prop></D:` + action + `></D:propertyupdate>`
	}
	color := func() string {
		a := s.do("PROPFIND", work, `<propfind xmlns="DAV:"><prop><calendar-color xmlns="http://apple.com/ns/ical/"/><displayname/></prop></propfind>`, "Depth: 0")
		c, _ := a.multistatus(t).Responses[0].get("http://apple.com/ns/ical/", "calendar-color")
		d, _ := a.multistatus(t).Responses[0].get("DAV:", "displayname")
		return c.Text + " " + d.Text
	}
	for _, c := range []struct{ body, statuses, after string }{
		{update("set", `<A:calendar-color>#abcdef</A:calendar-color>`), "200", "#ABCDEFFF Work & more"},
		{update("set", `<A:calendar-color>red</A:calendar-color><D:displayname>X</D:displayname>`), "409 424", "#ABCDEFFF Work & more"},
		{update("set", `<D:displayname>X</D:displayname><D:getetag>"y"</D:getetag>`), "424 403", "#ABCDEFFF Work & more"},
		{update("set", `<D:displayname>X</D:displayname>`), "200", "#ABCDEFFF X"},
		{update("set", `<D:displayname> </D:displayname>`), "200", "#ABCDEFFF Work & more"},
		{update("remove", `<A:calendar-color/><D:displayname/>`), "200 200", "#2A7FFFFF Work & more"},
		{update("set", `<C:calendar-timezone>nonsense</C:calendar-timezone>`), "403", "#2A7FFFFF Work & more"},
		{update("set", `<C:calendar-description>`+strings.Repeat("x", 65<<10)+`</C:calendar-description>`), "507", "#2A7FFFFF Work & more"},
	} {
		a := s.do("PROPPATCH", work, c.body)
		var got []string
		for _, ps := range a.patched(t).Responses[0].Propstats {
			got = append(got, strings.Fields(ps.Status)[1])
		}
		if strings.Join(got, " ") != c.statuses {
			t.Errorf("%.200s: %v, want %s", c.body, got, c.statuses)
		}
		if after := color(); after != c.after {
			t.Errorf("after %.200s: %s, want %s", c.body, after, c.after)
		}
	}
}

func TestGet(t *testing.T) {
	m := fixture()
	s := serve(t, m)
	const path = "/dav/calendars/alice/work/single.ics"
	stored := m.find("work").objects["single.ics"]
	a := s.do("GET", path, "")
	if a.StatusCode != 200 || a.body != string(stored.Data) || a.Header.Get("ETag") != `"`+stored.ETag+`"` ||
		a.Header.Get("Content-Type") != "text/calendar; charset=utf-8; component=VEVENT" ||
		a.Header.Get("Last-Modified") != stored.Modified.Format(http.TimeFormat) {
		t.Errorf("%d %v\n%s", a.StatusCode, a.Header, a.body)
	}
	if h := s.do("HEAD", path, ""); h.StatusCode != 200 || h.body != "" || h.Header.Get("Content-Length") != strconv.Itoa(len(stored.Data)) {
		t.Errorf("HEAD: %d %v", h.StatusCode, h.Header)
	}
	for header, want := range map[string]int{
		`If-None-Match: "` + stored.ETag + `"`:                304,
		`If-None-Match: W/"` + stored.ETag + `"`:              304,
		`If-None-Match: "` + stored.ETag + `-gzip"`:           304,
		`If-None-Match: "` + stored.ETag + `;gz"`:             304,
		`If-None-Match: \"` + stored.ETag + `\"`:              304,
		`If-None-Match: "a", "` + stored.ETag + `"`:           304,
		`If-None-Match: *`:                                    304,
		`If-None-Match: "other"`:                              200,
		`If-Match: "other"`:                                   412,
		"If-Modified-Since: " + a.Header.Get("Last-Modified"): 304,
		"If-Modified-Since: Sat, 01 Aug 2020 12:00:00 GMT":    200,
		"If-Modified-Since: nonsense":                         200,
	} {
		r := s.do("GET", path, "", header)
		if r.StatusCode != want || want == 304 && (r.body != "" || r.Header.Get("ETag") == "") {
			t.Errorf("%s: %d, want %d", header, r.StatusCode, want)
		}
	}
	if a := s.do("GET", "/dav/calendars/alice/work/", ""); a.StatusCode != 200 || !strings.Contains(a.body, "CalDAV") {
		t.Errorf("GET of a collection: %d %s", a.StatusCode, a.body)
	}
	if a := s.do("GET", "/dav/calendars/alice/work/none.ics", ""); a.StatusCode != 404 {
		t.Errorf("absent object: %d", a.StatusCode)
	}
}

func TestGzip(t *testing.T) {
	m := fixture()
	for i := range 300 {
		m.publish("work", fmt.Sprintf("g%d.ics", i), event("UID:g\nSUMMARY:"+strings.Repeat("x", i)))
	}
	s := serve(t, m)
	body := `<sync-collection xmlns="DAV:"><sync-token/><prop><getetag/><calendar-data xmlns="urn:ietf:params:xml:ns:caldav"/></prop></sync-collection>`
	plain := s.do("REPORT", "/dav/calendars/alice/work/", body, "Accept-Encoding: identity")
	zipped := s.ask(false, "REPORT", "/dav/calendars/alice/work/", body, "Accept-Encoding: deflate, gzip;q=0.5")
	refused := s.do("REPORT", "/dav/calendars/alice/work/", body, "Accept-Encoding: gzip;q=0")
	if zipped.Header.Get("Content-Encoding") != "gzip" || refused.Header.Get("Content-Encoding") != "" || plain.Header.Get("Content-Encoding") != "" {
		t.Fatal("content encodings", zipped.Header, refused.Header)
	}
	zr, err := gzip.NewReader(strings.NewReader(zipped.body))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(zr)
	if err != nil || strings.ReplaceAll(prefixed(string(got)), "&#13;\n", "\n") != plain.body || refused.body != plain.body {
		t.Errorf("gzip: %d octets, plain: %d, %v", len(got), len(plain.body), err)
	}
	if !strings.Contains(plain.Header.Get("Vary"), "Accept-Encoding") || zipped.size > plain.size/3 {
		t.Errorf("Vary %q, %d octets of %d", plain.Header.Get("Vary"), zipped.size, plain.size)
	}
}

// TestObjectHasNoCoding: the octets behind the strong tag of an object are the same for everybody (RFC 9110 §8.8.1).
func TestObjectHasNoCoding(t *testing.T) {
	m := fixture()
	stored := m.publish("work", "big.ics", event("UID:big\nDESCRIPTION:"+strings.Repeat("x", 60_000)))
	s := serve(t, m)
	for _, method := range []string{"GET", "HEAD"} {
		for _, accept := range []string{"identity", "gzip", "gzip, deflate, br, zstd"} {
			a := s.do(method, "/dav/calendars/alice/work/big.ics", "", "Accept-Encoding: "+accept)
			if a.Header.Get("Content-Encoding") != "" || a.Header.Get("ETag") != `"`+stored.ETag+`"` || method == "GET" && a.body != string(stored.Data) {
				t.Errorf("%s with Accept-Encoding %s: %v, %d octets", method, accept, a.Header, len(a.body))
			}
		}
	}
}

func TestWrite(t *testing.T) {
	m := fixture()
	s := serve(t, m)
	const path = "/dav/calendars/alice/private/dentist.ics"
	good := event("UID:dentist\nDTSTAMP:20260101T000000Z\nDTSTART:20260811T090000Z\nDURATION:PT1H\nSUMMARY:Later")
	etag := m.find("private").objects["dentist.ics"].ETag
	const tooLarge = `<?xml version="1.0" encoding="utf-8"?>` + "\n" + `<D:error xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><C:max-resource-size/>` +
		`<o:reason xmlns:o="urn:outbridge">An event may have at most 1 MiB.</o:reason></D:error>` + "\n"
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		contains                 string
	}{
		{"not iCalendar", "PUT", path, "hello", nil, 403, "<C:valid-calendar-data/>"},
		{"broken off in a parameter", "PUT", path, "BEGIN:VCALENDAR\r\nX;A=b", nil, 403, "<C:valid-calendar-data/>"},
		{"of another type", "PUT", path, good, []string{"Content-Type: text/xml; charset=utf-8"}, 403, "<C:supported-calendar-data/>"},
		{"no component", "PUT", path, "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n", nil, 403, "<C:valid-calendar-object-resource/>"},
		{"two UIDs", "PUT", path, event("UID:a" + nextEvent + "UID:b"), nil, 403, "<C:valid-calendar-object-resource/>"},
		{"a task", "PUT", path, strings.ReplaceAll(good, "VEVENT", "VTODO"), nil, 403, "<C:supported-calendar-component/>"},
		{"too large", "PUT", path, event("UID:a\nX:" + strings.Repeat("x", 1<<20)), nil, 403, tooLarge},
		{"too deep", "PUT", path, strings.Repeat("BEGIN:VCALENDAR\r\n", 50000), nil, 403, "<C:valid-calendar-data/>"},
		{"stale", "PUT", path, good, []string{`If-Match: "other"`}, 412, ""},
		{"exists", "PUT", path, good, []string{`If-None-Match: *`}, 412, ""},
		{"exists, by its coded tag", "PUT", path, good, []string{`If-None-Match: "other", "` + etag + `-zstd"`}, 412, ""},
		{"stale by date", "PUT", path, good, []string{"If-Unmodified-Since: Sat, 01 Aug 2020 12:00:00 GMT"}, 412, ""},
		{"delete stale by date", "DELETE", path, "", []string{"If-Unmodified-Since: Sat, 01 Aug 2020 12:00:00 GMT"}, 412, ""},
		{"no calendar", "PUT", "/dav/calendars/alice/none/x.ics", good, nil, 409, ""},
		{"update", "PUT", path, good, []string{`If-Match: W/"` + etag + `-gzip"`}, 204, ""},
		{"update by a list", "PUT", path, good, []string{`If-Match: "old", "older"`}, 412, ""},
		{"update by date", "PUT", path, good, []string{"If-Unmodified-Since: Thu, 01 Aug 2120 12:00:00 GMT"}, 204, ""},
		{"create", "PUT", "/dav/calendars/alice/private/n.ics", strings.ReplaceAll(good, "UID:dentist", "UID:n"), nil, 201, ""},
		{"delete stale", "DELETE", path, "", []string{`If-Match: "` + etag + `"`}, 412, ""},
		{"delete", "DELETE", path, "", nil, 204, ""},
		{"delete again", "DELETE", path, "", nil, 404, ""},
		{"move nowhere", "MOVE", "/dav/calendars/alice/private/n.ics", "", nil, 400, ""},
		{"move into a read-only calendar", "MOVE", "/dav/calendars/alice/private/n.ics", "", []string{"Destination: /dav/calendars/alice/work/n.ics"}, 403, "<D:need-privileges><D:resource><D:href>/dav/calendars/alice/work/</D:href><D:privilege><D:bind/>"},
		{"delete the calendar", "DELETE", "/dav/calendars/alice/private/", "", nil, 403, "need-privileges"},
	} {
		a := s.do(c.method, c.path, c.body, c.headers...)
		if a.StatusCode != c.status || !strings.Contains(a.body, c.contains) {
			t.Errorf("%s: %d %s, want %d %s", c.name, a.StatusCode, a.body, c.status, c.contains)
		}
		if c.method == "PUT" && a.Header.Get("ETag") != "" {
			t.Errorf("%s: an ETag for octets that were not kept", c.name)
		}
	}
}

func TestHostile(t *testing.T) {
	s := serve(t, fixture())
	const work = "/dav/calendars/alice/work/"
	many := `<propfind xmlns="DAV:"><prop>` + strings.Repeat("<a/>", 50000) + `</prop></propfind>`
	longName := func(root, inside string) string {
		return `<D:` + root + ` xmlns:D="DAV:" xmlns:x="` + strings.Repeat("u", 2000) + `">` + fmt.Sprintf(inside, strings.Repeat("<x:a/>", 200)) + `</D:` + root + `>`
	}
	bomb := `<!DOCTYPE p [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><propfind xmlns="DAV:"><prop>&b;</prop></propfind>`
	query := func(filter string) string {
		return `<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:getetag/></D:prop>` + filter + `</C:calendar-query>`
	}
	within := func(attrs string) string {
		return query(`<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range ` + attrs + `/></C:comp-filter></C:comp-filter></C:filter>`)
	}
	for _, c := range []struct {
		name, method, path, body string
		status                   int
	}{
		{"entities", "PROPFIND", work, bomb, 400},
		{"undefined entity", "PROPFIND", work, `<propfind xmlns="DAV:">&x;</propfind>`, 400},
		{"many elements", "PROPFIND", work, many, 400},
		{"depth", "PROPFIND", work, strings.Repeat("<a>", 1000), 400},
		{"names that grow", "PROPFIND", work, longName("propfind", `<D:prop>%s</D:prop>`), 400},
		{"a value that grows", "PROPPATCH", work, longName("propertyupdate", `<D:set><D:prop><x:p>%s</x:p></D:prop></D:set>`), 400},
		{"attributes that grow", "PROPPATCH", work, longName("propertyupdate", `<D:set><D:prop><D:p>`+strings.Repeat(`<D:a x:b=""/>`, 200)+`</D:p></D:prop></D:set>%.0s`), 400},
		{"huge", "PROPFIND", work, `<propfind xmlns="DAV:">` + strings.Repeat(" ", 5<<20) + `</propfind>`, 413},
		{"not closed", "PROPFIND", work, `<propfind xmlns="DAV:"><prop>`, 400},
		{"no XML", "PROPFIND", work, "hello", 400},
		{"two roots", "PROPFIND", work, `<propfind xmlns="DAV:"/><propfind xmlns="DAV:"/>`, 400},
		{"another root", "PROPFIND", work, `<propfind xmlns="urn:x"/>`, 400},
		{"UTF-16", "PROPFIND", work, "\xff\xfe<\x00a\x00", 400},
		{"empty report", "REPORT", work, "", 400},
		{"unknown report", "REPORT", work, `<version-tree xmlns="DAV:"/>`, 403},
		{"report elsewhere", "REPORT", "/dav/", query(""), 403},
		{"no filter", "REPORT", work, query(""), 403},
		{"filter of another root", "REPORT", work, query(`<C:filter><C:comp-filter name="VEVENT"/></C:filter>`), 403},
		{"unknown collation", "REPORT", work, query(`<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:prop-filter name="UID"><C:text-match collation="i;x">a</C:text-match></C:prop-filter></C:comp-filter></C:comp-filter></C:filter>`), 403},
		{"range of a zone", "REPORT", work, query(`<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VTIMEZONE"><C:time-range start="20260101T000000Z"/></C:comp-filter></C:comp-filter></C:filter>`), 403},
		{"undeclared prefix", "PROPFIND", work, `<D:propfind xmlns:D="DAV:"><D:prop><X:a/></D:prop></D:propfind>`, 400},
		{"prefix of nothing", "PROPFIND", work, `<D:propfind xmlns:D="DAV:"><D:prop><x:a xmlns:x=""/></D:prop></D:propfind>`, 400},
		{"two kinds of propfind", "PROPFIND", work, `<propfind xmlns="DAV:"><allprop/><propname/></propfind>`, 400},
		{"no kind of propfind", "PROPFIND", work, `<propfind xmlns="DAV:"><bogus/></propfind>`, 400},
		{"prefix of attributes", "PROPFIND", work, `<propfind xmlns="DAV:"><prop><a x:b=""/></prop></propfind>`, 400},
		{"digit after a prefix", "PROPFIND", work, `<D:propfind xmlns:D="DAV:"><D:prop><D:1a/></D:prop></D:propfind>`, 400},
		{"digit of an attribute", "PROPPATCH", work, `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><D:a D:1a=""/></D:prop></D:set></D:propertyupdate>`, 400},
		{"colon of an attribute", "PROPPATCH", work, `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><D:a :a=""/></D:prop></D:set></D:propertyupdate>`, 400},
		{"attribute twice", "PROPPATCH", work, `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><D:a b="" b=""/></D:prop></D:set></D:propertyupdate>`, 400},
		{"attribute by two prefixes", "PROPPATCH", work, `<D:propertyupdate xmlns:D="DAV:" xmlns:E="DAV:"><D:set><D:prop><D:a D:b="" E:b=""/></D:prop></D:set></D:propertyupdate>`, 400},
		{"namespace of xmlns", "PROPFIND", work, `<propfind xmlns="DAV:"><prop><a xmlns="http://www.w3.org/2000/xmlns/"/></prop></propfind>`, 400},
		{"namespace of xml", "PROPFIND", work, `<propfind xmlns="DAV:"><prop><x:a xmlns:x="http://www.w3.org/XML/1998/namespace"/></prop></propfind>`, 400},
		{"element of xml", "PROPFIND", work, `<propfind xmlns="DAV:"><prop><xml:a/></prop></propfind>`, 400},
		{"xml declared as itself", "PROPFIND", work, `<propfind xmlns="DAV:" xmlns:xml="http://www.w3.org/XML/1998/namespace"><prop><a xml:lang="en"/></prop></propfind>`, 207},
		{"stray colon", "PROPFIND", work, `<propfind xmlns="DAV:"><prop><:a/></prop></propfind>`, 400},
		{"text in pieces", "PROPFIND", work, `<propfind xmlns="DAV:">` + strings.Repeat("a<!---->", 500000) + `</propfind>`, 207},
		{"busy, no such day", "REPORT", work, `<free-busy-query xmlns="urn:ietf:params:xml:ns:caldav"><time-range start="20260230T000000Z" end="20260301T000000Z"/></free-busy-query>`, 400},
		{"no bounds", "REPORT", work, within(""), 403},
		{"no such day", "REPORT", work, within(`start="20260230T000000Z"`), 403},
		{"local time", "REPORT", work, within(`start="20260201T000000"`), 403},
		{"a date", "REPORT", work, within(`start="20260201"`), 403},
		{"year 0", "REPORT", work, within(`start="00000101T000000Z"`), 403},
		{"backwards", "REPORT", work, within(`start="20260201T000000Z" end="20250101T000000Z"`), 403},
		{"nresults", "REPORT", work, `<sync-collection xmlns="DAV:"><sync-token/><limit><nresults>-1</nresults></limit></sync-collection>`, 400},
		{"proppatch without a body", "PROPPATCH", work, "", 400},
		{"proppatch of nothing", "PROPPATCH", work, `<propertyupdate xmlns="DAV:"/>`, 400},
		{"dots", "PROPFIND", "/dav/calendars/alice/../alice/", "", 400},
		{"encoded dots", "PROPFIND", "/dav/calendars/alice/%2e%2e/", "", 400},
		{"encoded slash", "PROPFIND", "/dav/calendars/alice%2fwork/", "", 400},
		{"NUL", "GET", work + "a%00.ics", "", 400},
		{"bad UTF-8", "GET", work + "a%ff.ics", "", 400},
		{"double slash", "PROPFIND", "/dav//calendars/alice/", "", 404},
		{"long name", "GET", work + strings.Repeat("a", 300), "", 400},
		{"too far down", "GET", work + "a/b.ics", "", 404},
		{"another user", "PROPFIND", "/dav/calendars/bob/", "", 404},
		{"another user's calendar", "PROPFIND", "/dav/calendars/bob/work/", "", 404},
		{"another principal", "PROPFIND", "/dav/principals/bob/", "", 404},
		{"another principal, guessed", "PROPFIND", "/principals/users/bob/", "", 404},
		{"another principal, guessed twice", "PROPFIND", "/calendar/dav/bob/user/", "", 404},
		{"a guess too far", "PROPFIND", "/calendar/dav/alice/", "", 404},
		{"another user's write", "PUT", "/dav/calendars/bob/work/x.ics", "", 404},
		{"no such calendar", "PROPFIND", "/dav/calendars/alice/none/", "", 404},
		{"method", "BREW", work, "", 405},
	} {
		a := s.do(c.method, c.path, c.body, "Depth: 0")
		if a.StatusCode != c.status {
			t.Errorf("%s: %d, want %d\n%s", c.name, a.StatusCode, c.status, a.body)
		}
		if c.status == 400 && strings.Count(a.body, "\n") != 1 {
			t.Errorf("%s: not one line: %q", c.name, a.body)
		}
	}
	if a := s.do("PROPFIND", work, "\x1f\x8b", "Content-Encoding: gzip"); a.StatusCode != 415 || a.Header.Get("Accept-Encoding") != "identity" {
		t.Errorf("a coded body: %d %v", a.StatusCode, a.Header)
	}
	if unknown, other := s.do("PROPFIND", "/dav/calendars/nobody/", ""), s.do("PROPFIND", "/dav/calendars/bob/", ""); unknown.body != other.body {
		t.Error("users can be told from strangers")
	}
}

func TestBackendErrors(t *testing.T) {
	m := fixture()
	s := serve(t, m)
	for _, c := range []struct {
		err    error
		status int
	}{
		{fmt.Errorf("x: %w", caldav.ErrUnavailable), 503},
		{errors.New("secret detail"), 500},
		{caldav.ErrNotFound, 404},
		{caldav.ErrForbidden, 403},
		{caldav.ErrTokenGone, 403},
	} {
		m.fail = c.err
		for _, req := range [][3]string{
			{"PROPFIND", "/dav/calendars/alice/work/", ""}, {"GET", "/dav/calendars/alice/work/single.ics", ""},
			{"REPORT", "/dav/calendars/alice/work/", `<sync-collection xmlns="DAV:"><sync-token/><prop><getetag/></prop></sync-collection>`},
		} {
			a := s.do(req[0], req[1], req[2])
			if a.StatusCode != c.status || strings.Contains(a.body, "secret") || (c.status == 503) != (a.Header.Get("Retry-After") == "60") {
				t.Errorf("%v: %s %s: %d %v %s", c.err, req[0], req[1], a.StatusCode, a.Header, a.body)
			}
		}
	}
	// An error after the first of few objects is still a clean one.
	m.fail, m.yieldFail = nil, caldav.ErrUnavailable
	if a := s.do("PROPFIND", "/dav/calendars/alice/work/", "", "Depth: 1"); a.StatusCode != 503 || strings.Contains(a.body, "multistatus") {
		t.Errorf("late error: %d %s", a.StatusCode, a.body)
	}
	// One after much has been sent breaks the answer off, so that nobody takes it for the whole.
	m.publish("work", "a-first.ics", event("UID:a\nSUMMARY:"+strings.Repeat("x", 1<<20)))
	for _, enc := range []string{"identity", "gzip"} {
		req, _ := http.NewRequest("REPORT", s.url+"/dav/calendars/alice/work/",
			strings.NewReader(`<sync-collection xmlns="DAV:"><sync-token/><prop><calendar-data xmlns="urn:ietf:params:xml:ns:caldav"/></prop></sync-collection>`))
		req.SetBasicAuth("alice", "secret")
		req.Header.Set("Accept-Encoding", enc)
		resp, err := s.client.Do(req)
		if err != nil {
			continue
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(resp.Body); err == nil {
			t.Errorf("%s: an answer that failed halfway ended well", enc)
		}
		resp.Body.Close()
	}
}

// An idle poll is one look at the calendar, and nothing else.
func TestIdlePollCost(t *testing.T) {
	m := fixture()
	s := serve(t, m)
	for _, req := range [][2]string{
		{"PROPFIND", `<propfind xmlns="DAV:"><prop><sync-token/><getctag xmlns="http://calendarserver.org/ns/"/></prop></propfind>`},
		{"REPORT", `<sync-collection xmlns="DAV:"><sync-token>` + m.token("work") + `</sync-token><sync-level>1</sync-level><prop><getetag/></prop></sync-collection>`},
	} {
		m.calls = nil
		s.do(req[0], "/dav/calendars/alice/work/", req[1], "Depth: 0").multistatus(t)
		if len(m.calls) != 1 || m.calls["Calendar"] != 1 {
			t.Errorf("%s: %v", req[0], m.calls)
		}
	}
}
