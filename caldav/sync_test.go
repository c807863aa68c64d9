package caldav_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"outbridge/caldav"
)

const workPath = "/dav/calendars/alice/work/"

func syncBody(token, extra string) string {
	return `<D:sync-collection xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:sync-token>` + token + `</D:sync-token>` + extra +
		`<D:prop><D:getetag/></D:prop></D:sync-collection>`
}

func TestSync(t *testing.T) {
	m := fixture()
	s := serve(t, m)
	sync := func(token, extra string, headers ...string) multistatus {
		t.Helper()
		return s.do("REPORT", workPath, syncBody(token, extra), headers...).multistatus(t)
	}
	all := []string{"allday.ics", "past.ics", "single.ics", "weekly.ics"}
	var first string
	for _, depth := range []string{"Depth: 0", "Depth: 1", "Depth: infinity", "X: none"} {
		for _, level := range []string{"", "<D:sync-level>1</D:sync-level>", "<D:sync-level>infinite</D:sync-level>"} {
			ms := sync("", level, depth)
			if got := ms.hrefs(); !slices.Equal(got, all) || ms.SyncToken != m.token("work") {
				t.Errorf("%s %s: %v %s", depth, level, got, ms.SyncToken)
			}
			first = ms.SyncToken
		}
	}
	if ms := sync(first, ""); len(ms.Responses) != 0 || ms.SyncToken != first {
		t.Errorf("nothing changed: %v", ms)
	}
	m.publish("work", "new.ics", event("UID:new"))
	m.publish("work", "single.ics", event("UID:single\nSUMMARY:changed"))
	m.remove("work", "past.ics")
	ms := sync(first, "")
	if got := ms.hrefs(); !slices.Equal(got, []string{"new.ics", "past.ics 404", "single.ics"}) {
		t.Errorf("changes: %v", got)
	}
	second := ms.SyncToken
	m.publish("work", "past.ics", event("UID:past"))
	if got := sync(first, "").hrefs(); !slices.Equal(got, []string{"new.ics", "past.ics", "single.ics"}) {
		t.Errorf("put back: %v", got)
	}
	if got := sync(second, "").hrefs(); !slices.Equal(got, []string{"past.ics"}) {
		t.Errorf("put back, seen from after the deletion: %v", got)
	}
	m.remove("work", "new.ics")
	if got := sync("", "").hrefs(); !slices.Equal(got, all) {
		t.Errorf("a first listing has tombstones: %v", got)
	}
}

func TestSyncWithData(t *testing.T) {
	m := fixture()
	s := serve(t, m)
	token := m.token("work")
	for i := range 250 {
		m.publish("work", fmt.Sprintf("n%03d.ics", i), event(fmt.Sprintf("UID:n%03d", i)))
	}
	m.remove("work", "n100.ics")
	for _, since := range []string{token, ""} {
		body := strings.Replace(syncBody(since, ""), "<D:getetag/>", "<D:getetag/><C:calendar-data/>", 1)
		ms := s.do("REPORT", workPath, body).multistatus(t)
		n := 0
		for _, r := range ms.Responses {
			if d, ok := r.get("urn:ietf:params:xml:ns:caldav", "calendar-data"); ok {
				n++
				if !strings.Contains(d.Text, "BEGIN:VCALENDAR\r\n") {
					t.Fatalf("data %q", d.Text)
				}
			}
		}
		want := 249
		if since == "" {
			want += 4
		}
		if n != want {
			t.Errorf("since %q: %d objects with data, want %d", since, n, want)
		}
	}
}

func TestSyncInvalidTokens(t *testing.T) {
	m := fixture()
	m.find("work").floor = 2
	s := serve(t, m)
	for _, token := range []string{"x", "3F2504E0-4F89-11D3-9A0C-0305E82C3301", "http://sabre.io/ns/sync/1", "urn:outbridge:sync:e1:1",
		"urn:outbridge:sync:e1:99", "urn:outbridge:sync:e2:3", "urn:outbridge:sync:e1:-1", "urn:outbridge:sync:e1:03", "urn:outbridge:page:e2:3:a",
		"urn:outbridge:page:e1:3", "urn:outbridge:home:", "urn:outbridge:page:e1:x:%zz"} {
		a := s.do("REPORT", workPath, syncBody(token, ""))
		if a.StatusCode != 403 || a.body != `<?xml version="1.0" encoding="utf-8"?>`+"\n"+`<D:error xmlns:D="DAV:"><D:valid-sync-token/></D:error>`+"\n" {
			t.Errorf("%s: %d %s", token, a.StatusCode, a.body)
		}
	}
	for _, token := range []string{"x", "urn:outbridge:home:!", "urn:outbridge:home:AAAA", m.token("work")} {
		if a := s.do("REPORT", "/dav/calendars/alice/", syncBody(token, "")); a.StatusCode != 403 || !strings.Contains(a.body, "<D:valid-sync-token/>") {
			t.Errorf("home, %s: %d %s", token, a.StatusCode, a.body)
		}
	}
}

// A client that follows the 507 rows sees everything exactly as one without a limit, whatever changes meanwhile.
func TestSyncLimit(t *testing.T) {
	m := &memory{}
	m.add(caldav.Calendar{Name: "work", DisplayName: "Work"})
	for i := range 7 {
		m.publish("work", fmt.Sprintf("o%d.ics", i), event("UID:o"))
	}
	m.find("work").floor = m.find("work").Token.Rev // the tombstones of all that went before are gone
	s := serve(t, m)
	have := map[string]bool{}
	token := ""
	follow := func(limit int) (rounds int) {
		t.Helper()
		for more := true; more; rounds++ {
			if rounds == 5 { // behind the client's back
				m.publish("work", "late.ics", event("UID:late"))
				m.remove("work", "o0.ics")
			}
			if rounds > 50 {
				t.Fatal("no progress")
			}
			ms := s.do("REPORT", workPath, syncBody(token, fmt.Sprintf("<D:limit><D:nresults>%d</D:nresults></D:limit>", limit))).multistatus(t)
			rows := 0
			more = false
			for _, r := range ms.Responses {
				switch {
				case r.Href == workPath && strings.Contains(r.Status, "507"):
					more = true
				case strings.Contains(r.Status, "404"):
					rows++
					delete(have, r.Href)
				default:
					rows++
					have[r.Href] = true
				}
			}
			if rows > limit {
				t.Fatalf("%d rows", rows)
			}
			if more && ms.SyncToken == token {
				t.Fatal("the token stays")
			}
			token = ms.SyncToken
		}
		return rounds
	}
	if n := follow(1); n < 7 {
		t.Errorf("%d rounds", n)
	}
	follow(2)
	want := []string{"late.ics", "o1.ics", "o2.ics", "o3.ics", "o4.ics", "o5.ics", "o6.ics"}
	for _, name := range want {
		if !have[workPath+name] {
			t.Errorf("%s is missing of %v", name, have)
		}
	}
	if len(have) != len(want) || token != m.token("work") {
		t.Errorf("have %v, token %s", have, token)
	}
	for i := range 5 {
		m.publish("work", fmt.Sprintf("more%d.ics", i), event("UID:m"))
	}
	if n := follow(2); n != 3 || len(have) != len(want)+5 {
		t.Errorf("%d rounds, have %v", n, have)
	}
	// Objects of one revision are not parted, since a token stands for all of it.
	m.publish("work", "p1.ics", event("UID:p"))
	mc := m.find("work")
	for _, n := range []string{"p2.ics", "p3.ics"} {
		o := mc.objects["p1.ics"]
		o.Name = n
		mc.objects[n] = o
	}
	m.publish("work", "q.ics", event("UID:q"))
	ms := s.do("REPORT", workPath, syncBody(token, "<D:limit><D:nresults>1</D:nresults></D:limit>")).multistatus(t)
	if got := ms.hrefs(); !slices.Equal(got, []string{"p1.ics", "p2.ics", "p3.ics", "work/ 507"}) {
		t.Errorf("one revision: %v", got)
	}
	ms = s.do("REPORT", workPath, syncBody(ms.SyncToken, "<D:limit><D:nresults>1</D:nresults></D:limit>")).multistatus(t)
	if got := ms.hrefs(); !slices.Equal(got, []string{"q.ics"}) || ms.SyncToken != m.token("work") {
		t.Errorf("the rest: %v", got)
	}
}

func TestSyncHome(t *testing.T) {
	m := fixture()
	s := serve(t, m)
	sync := func(token string) multistatus {
		return s.do("REPORT", "/dav/calendars/alice/", syncBody(token, "<D:sync-level>1</D:sync-level>"), "Depth: 1").multistatus(t)
	}
	ms := sync("")
	if got := ms.hrefs(); !slices.Equal(got, []string{"private/", "work/"}) {
		t.Errorf("first: %v", got)
	}
	m.find("private").DisplayName = "Renamed"
	ms = sync(ms.SyncToken)
	if got := ms.hrefs(); !slices.Equal(got, []string{"private/"}) {
		t.Errorf("renamed: %v", got)
	}
	m.add(caldav.Calendar{Name: "third", DisplayName: "Third"})
	if got := sync(ms.SyncToken).hrefs(); !slices.Equal(got, []string{"third/"}) {
		t.Errorf("added: %v", got)
	}
	// A calendar that went has no name in the token, so the client has to list again.
	m.calendars = m.calendars[1:]
	if a := s.do("REPORT", "/dav/calendars/alice/", syncBody(ms.SyncToken, "")); a.StatusCode != 403 || !strings.Contains(a.body, "<D:valid-sync-token/>") {
		t.Errorf("removed: %d %s", a.StatusCode, a.body)
	}
	if a := s.do("REPORT", "/dav/calendars/alice/", syncBody("", "<D:sync-level>infinite</D:sync-level>")); a.StatusCode != 403 || !strings.Contains(a.body, "<D:sync-traversal-supported/>") {
		t.Errorf("infinite: %d %s", a.StatusCode, a.body)
	}
}
