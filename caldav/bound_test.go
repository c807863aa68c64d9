package caldav_test

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"outbridge/caldav"
)

const (
	maxPeak = 256 << 20
	atOnce  = 16
	work    = "/dav/calendars/alice/work/"
	home    = "/dav/calendars/alice/"
	alice   = "/dav/principals/alice/"
	davHead = `xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"`
)

// peak is the most memory in use while f runs, in octets, as often as it can be looked at.
func peak(f func()) uint64 {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	most, done := uint64(0), make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64()+sample[1].Value.Uint64()+sample[2].Value.Uint64())
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	f()
	close(done)
	watching.Wait()
	return most
}

// greedy is a world in which much can be asked for: large dead properties, series with much text, and many events.
func greedy() *keeping {
	m := fixture()
	text := strings.Repeat("An agenda with a point or two to talk about. ", 700)
	for i := range 50 {
		m.publish("work", fmt.Sprintf("daily-%d.ics", i), event(fmt.Sprintf("UID:daily-%d\nDTSTAMP:20260101T000000Z\nDTSTART:20200101T0%d0000Z\nDURATION:PT30M\nRRULE:FREQ=DAILY\nSUMMARY:Much\nDESCRIPTION:%s", i, i%10, text)))
	}
	large := strings.Repeat("x", 64<<10-1)
	props := map[xml.Name]string{}
	for i := range 15 {
		props[xml.Name{Space: "urn:x", Local: fmt.Sprint("p", i)}] = ">" + large
	}
	return &keeping{memory: m, props: map[string]map[xml.Name]string{"alice" + work: props, "alice" + alice: props, "alice" + home: props}}
}

// Whoever has a password can ask for what they like: it is answered or refused within bounds, many at once too.
func TestBoundsOfRequests(t *testing.T) {
	repeat := strings.Repeat
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	const vevents = `<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">%s</C:comp-filter></C:comp-filter></C:filter>`
	nested := func(depth int) string {
		inner := `<property name="p0" namespace="urn:x"/>`
		for range depth {
			inner = `<property name="principal-URL">` + inner + `</property>`
		}
		return inner
	}
	for name, tt := range map[string]struct {
		method, path, body string
		status             int
		octets             int // of an answer at most, without its coding
	}{
		"include of one":      {"PROPFIND", work, `<propfind xmlns="DAV:" xmlns:x="urn:x"><allprop/><include>` + repeat("<x:p1/>", 30_000) + `</include></propfind>`, 207, 2 << 20},
		"include of many":     {"PROPFIND", work, `<propfind xmlns="DAV:" xmlns:x="urn:x"><allprop/><include>` + many(39_000, "<x:q%d/>") + `</include></propfind>`, 400, 1 << 10},
		"prop of many":        {"PROPFIND", home, `<propfind xmlns="DAV:" xmlns:x="urn:x"><prop>` + many(30_000, "<x:q%d/>") + `</prop></propfind>`, 400, 1 << 10},
		"long namespace":      {"PROPFIND", work, `<propfind xmlns="DAV:" xmlns:x="urn:` + repeat("x", 40_000) + `"><prop><x:p/></prop></propfind>`, 400, 1 << 10},
		"expand siblings":     {"REPORT", alice, `<expand-property xmlns="DAV:">` + repeat(`<property name="p0" namespace="urn:x"/>`, 20_000) + `</expand-property>`, 400, 1 << 10},
		"expand the same":     {"REPORT", alice, `<expand-property xmlns="DAV:">` + repeat(`<property name="p0" namespace="urn:x"/>`, 250) + `</expand-property>`, 207, 1 << 20},
		"expand deep":         {"REPORT", alice, `<expand-property xmlns="DAV:">` + nested(28) + `</expand-property>`, 207, 2 << 20},
		"expand deep, many":   {"REPORT", alice, `<expand-property xmlns="DAV:">` + repeat(nested(25), 700) + `</expand-property>`, 400, 1 << 10},
		"expand, namespace":   {"REPORT", alice, `<expand-property xmlns="DAV:"><property name="p" namespace="` + repeat("&quot;", 500_000) + `"/></expand-property>`, 400, 1 << 10},
		"instances × size":    {"REPORT", work, `<C:calendar-query ` + davHead + `><prop><C:calendar-data><C:expand start="20200101T000000Z" end="20450101T000000Z"/></C:calendar-data></prop>` + fmt.Sprintf(vevents, "") + `</C:calendar-query>`, 207, 96 << 20},
		"a year of instances": {"REPORT", work, `<C:calendar-query ` + davHead + `><prop><C:calendar-data><C:expand start="20260101T000000Z" end="20260801T000000Z"/></C:calendar-data></prop>` + fmt.Sprintf(vevents, "") + `</C:calendar-query>`, 207, 96 << 20},
		"parts":               {"REPORT", work, `<C:calendar-query ` + davHead + `><prop><C:calendar-data><C:comp name="VCALENDAR">` + repeat(`<C:comp name="VEVENT"/>`, 20_000) + `</C:comp></C:calendar-data></prop>` + fmt.Sprintf(vevents, "") + `</C:calendar-query>`, 400, 1 << 10},
		"filters":             {"REPORT", work, `<C:calendar-query ` + davHead + `><prop><getetag/></prop>` + fmt.Sprintf(vevents, repeat(`<C:prop-filter name="DESCRIPTION"><C:text-match collation="i;unicode-casemap">zz</C:text-match></C:prop-filter>`, 5_000)) + `</C:calendar-query>`, 403, 1 << 10},
		"filter text":         {"REPORT", work, `<C:calendar-query ` + davHead + `><prop><getetag/></prop>` + fmt.Sprintf(vevents, `<C:prop-filter name="DESCRIPTION"><C:text-match>`+repeat("z", 3<<20)+`</C:text-match></C:prop-filter>`) + `</C:calendar-query>`, 403, 1 << 10},
		"zone of a query":     {"REPORT", work, `<C:calendar-query ` + davHead + `><prop><getetag/></prop>` + fmt.Sprintf(vevents, "") + `<C:timezone>` + repeat("A:\n", 1_000_000) + `</C:timezone></C:calendar-query>`, 403, 1 << 10},
		"hrefs":               {"REPORT", work, `<C:calendar-multiget ` + davHead + `><prop><getetag/></prop>` + many(39_000, "<href>/dav/calendars/alice/work/nothing-%d.ics</href>") + `</C:calendar-multiget>`, 207, 16 << 20},
		"free-busy":           {"REPORT", work, `<C:free-busy-query ` + davHead + `><C:time-range start="19000101T000000Z" end="29000101T000000Z"/></C:free-busy-query>`, 403, 1 << 10},
		"principal search":    {"REPORT", alice, `<principal-property-search xmlns="DAV:" xmlns:x="urn:x"><property-search><prop>` + repeat("<x:p0/>", 30_000) + `</prop><match>z</match></property-search></principal-property-search>`, 400, 1 << 10},
		"attributes":          {"PROPFIND", work, `<propfind xmlns="DAV:" ` + many(300_000, `a%d="" `) + `/>`, 400, 1 << 10},
		"declarations":        {"PROPFIND", work, `<propfind xmlns="DAV:" ` + many(190_000, `xmlns:a%d="b" `) + `/>`, 400, 1 << 10},
		"deep":                {"PROPFIND", work, repeat(`<a>`, 1_300_000), 400, 1 << 10},
		"elements":            {"PROPFIND", work, `<propfind xmlns="DAV:">` + repeat(`<a/>`, 1_000_000), 400, 1 << 10},
		"one text":            {"PROPFIND", work, `<propfind xmlns="DAV:">` + repeat(`x`, 4<<20-100), 400, 1 << 10},
		"of one octet":        {"PROPFIND", work, `<?xml version="1.0" encoding="latin1"?><propfind xmlns="DAV:">` + repeat("\xe9", 4<<20-100), 400, 1 << 10},
		"UTF-16":              {"PROPFIND", work, "\xff\xfe" + repeat("\xac\x20", 2<<20-100), 400, 1 << 10},
		"white space":         {"PROPFIND", work, repeat(" ", 4<<20), 207, 2 << 20},
		"patches":             {"PROPPATCH", work, `<propertyupdate xmlns="DAV:" xmlns:x="urn:x"><set><prop>` + many(30_000, "<x:q%[1]d>v</x:q%[1]d>") + `</prop></set></propertyupdate>`, 400, 1 << 10},
		"a patch":             {"PROPPATCH", work, `<propertyupdate xmlns="DAV:" xmlns:x="urn:x"><set><prop><x:q>` + repeat("<x:z/>", 39_000) + `</x:q></prop></set></propertyupdate>`, 207, 1 << 10},
		"patched octets":      {"PROPPATCH", work, `<propertyupdate xmlns="DAV:" xmlns:x="urn:x"><set><prop>` + strings.ReplaceAll(many(50, "<x:q%[1]d>!</x:q%[1]d>"), "!", repeat("y", 60_000)) + `</prop></set></propertyupdate>`, 207, 8 << 10},
		"a zone":              {"PROPPATCH", work, `<propertyupdate ` + davHead + `><set><prop><C:calendar-timezone>` + repeat("A:\n", 1_000_000) + `</C:calendar-timezone></prop></set></propertyupdate>`, 207, 1 << 10},
		"a subscription":      {"POST", work, `<push-register xmlns="https://bitfire.at/webdav-push">` + repeat("<subscription/>", 39_000) + `</push-register>`, 403, 1 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveHandler(t, &caldav.Handler{Backend: greedy(), Log: slog.New(slog.DiscardHandler)})
			s.client.Transport.(*http.Transport).DisableCompression = true
			var mu sync.Mutex
			var statuses []int
			most := peak(func() {
				var all sync.WaitGroup
				for range atOnce {
					all.Go(func() {
						status, octets := s.drain(tt.method, tt.path, tt.body)
						mu.Lock()
						defer mu.Unlock()
						statuses = append(statuses, status)
						if octets > int64(tt.octets) {
							t.Errorf("%d octets, want at most %d", octets, tt.octets)
						}
					})
				}
				all.Wait()
			})
			if most > maxPeak {
				t.Errorf("%d MiB at most", most>>20)
			}
			if slices.ContainsFunc(statuses, func(status int) bool { return status != tt.status }) {
				t.Errorf("%v, want %d", statuses, tt.status)
			}
		})
	}
}

// Writes are bounded as well, and those with files most of all.
func TestBoundsOfWrites(t *testing.T) {
	repeat := strings.Repeat
	inline := func(octets int, more string) string {
		return event("UID:dentist\nDTSTAMP:20260101T000000Z\nDTSTART:20260811T090000Z\n" + more + "ATTACH;ENCODING=BASE64;VALUE=BINARY:" + repeat("QUJD", octets/3))
	}
	folded := event("UID:dentist\nDTSTAMP:20260101T000000Z\nDTSTART:20260811T090000Z\nATTACH;ENCODING=BASE64;VALUE=BINARY:QUJD" + repeat("\n "+repeat("QUJD", 18), (25<<20-100)/54))
	for name, tt := range map[string]struct {
		method, path string
		body         func() string
		status       int
	}{
		"a file inside":           {"PUT", dentist, func() string { return inline(25<<20-100, "") }, 507},
		"a file inside, folded":   {"PUT", dentist, func() string { return folded }, 507},
		"a file inside, and text": {"PUT", dentist, func() string { return inline(20<<20, repeat("A:\n", 1<<20)) }, 403},
		"larger than a file":      {"PUT", dentist, func() string { return inline(30<<20, "") }, 403},
		"no file":                 {"PUT", dentist, func() string { return event("UID:a\n" + repeat("A:\n", 10<<20)) }, 403},
		"no file, long lines":     {"PUT", dentist, func() string { return event("UID:a\nDESCRIPTION:" + repeat("a", 30<<20)) }, 403},
		"lines":                   {"PUT", dentist, func() string { return event("UID:a\n" + repeat("A:\n", 200_000)) }, 507},
		"parameters":              {"PUT", dentist, func() string { return event("UID:a\n" + repeat("A;A=;B=,,,,,,,,,,,:\n", 30_000)) }, 507},
		"components":              {"PUT", dentist, func() string { return event("UID:a\n" + repeat("BEGIN:A\nEND:A\n", 40_000)) }, 507},
		"UTF-16":                  {"PUT", dentist, func() string { return "\xff\xfe" + repeat("\xac\x20", 400_000) }, 403},
		"UTF-16, more":            {"PUT", dentist, func() string { return "\xff\xfe" + repeat("\xac\x20", 4<<20) }, 403},
		"a file":                  {"POST", dentist + "?action=attachment-add", func() string { return repeat("x", 25<<20) }, 507},
		"a larger file":           {"POST", dentist + "?action=attachment-add", func() string { return repeat("x", 30<<20) }, 403},
		"a query":                 {"POST", dentist + "?action=attachment-add&" + repeat("a&", 100_000), func() string { return "" }, 403},
		"a free-busy request": {"POST", outbox, func() string {
			return busyRequest(week + repeat("A:\n", 60_000) + "ORGANIZER:mailto:alice@example.com\nATTENDEE:mailto:bob@example.com")
		}, 200},
		"many are asked about": {"POST", outbox, func() string {
			return busyRequest(week + "ORGANIZER:mailto:alice@example.com" + repeat("\nATTENDEE:mailto:bob@example.com", 8_000))
		}, 403},
		"a long destination": {"MOVE", dentist, func() string { return "" }, 400},
	} {
		t.Run(name, func(t *testing.T) {
			m := writable()
			m.refuse, m.forget = caldav.ErrFull, true // what the backend takes is its own
			s := serveHandler(t, &caldav.Handler{Backend: m, Log: slog.New(slog.DiscardHandler)})
			var mu sync.Mutex
			var statuses []int
			body := tt.body()
			before := peak(func() {})
			most := peak(func() {
				var all sync.WaitGroup
				for range atOnce {
					all.Go(func() {
						req, _ := http.NewRequest(tt.method, s.url+tt.path, strings.NewReader(body))
						req.SetBasicAuth("alice", "secret")
						resp, err := s.client.Do(req)
						if err != nil { // the connection is closed on a client that goes on sending
							return
						}
						_, _ = io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
						mu.Lock()
						defer mu.Unlock()
						statuses = append(statuses, resp.StatusCode)
					})
				}
				all.Wait()
			})
			most -= min(most, before)
			if most > maxPeak {
				t.Errorf("%d MiB at most", most>>20)
			}
			if slices.ContainsFunc(statuses, func(status int) bool { return status != tt.status }) || len(statuses) == 0 && tt.status != 403 {
				t.Errorf("%v, want %d", statuses, tt.status)
			}
		})
	}
}

// An object that is larger than one may be put is served as it is, and not taken apart.
func TestOversizedObject(t *testing.T) {
	m := fixture()
	data := event("UID:huge\nDTSTAMP:20260101T000000Z\nDTSTART:20260810T080000Z\nRRULE:FREQ=DAILY;COUNT=3\nDESCRIPTION:" + strings.Repeat("x", 1<<20))
	m.publish("work", "huge.ics", data)
	s := serve(t, m)
	const span = `start="20260801T000000Z" end="20260901T000000Z"`
	for _, part := range []string{"", `<C:expand ` + span + `/>`, `<C:comp name="VCALENDAR"><C:comp name="VEVENT"><C:prop name="UID"/></C:comp></C:comp>`} {
		got := s.do("REPORT", work, `<C:calendar-query `+davHead+`><prop><C:calendar-data>`+part+`</C:calendar-data></prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range `+span+`/><C:prop-filter name="UID"><C:text-match>huge</C:text-match></C:prop-filter></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>`).multistatus(t)
		if len(got.Responses) != 1 {
			t.Fatalf("%s: %v", part, got.hrefs())
		}
		if p, ok := got.Responses[0].get("urn:ietf:params:xml:ns:caldav", "calendar-data"); !ok || p.Text != data {
			t.Errorf("%s: %d octets", part, len(p.Text))
		}
	}
}

// drain sends a request as alice and reads the answer without keeping it.
func (s *server) drain(method, path, body string) (status int, octets int64) {
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return
	}
	req.SetBasicAuth("alice", "secret")
	req.Header.Set("Depth", "1")
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer resp.Body.Close()
	octets, err = io.Copy(io.Discard, resp.Body)
	if err != nil {
		s.t.Error(err)
	}
	return resp.StatusCode, octets
}

// Readers who take nothing hold no more than the turns of their user, and somebody else gets an answer all the same.
func TestTurns(t *testing.T) {
	g := &twoUsers{keeping: greedy()}
	srv := httptest.NewServer(&caldav.Handler{Backend: g, Log: slog.New(slog.DiscardHandler)})
	defer srv.Close()
	body := `<sync-collection ` + davHead + `><sync-token/><sync-level>1</sync-level><prop>` + `<C:calendar-data/></prop></sync-collection>`
	var slow []net.Conn
	for range 30 {
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
		_ = c.(*net.TCPConn).SetReadBuffer(4096)
		fmt.Fprintf(c, "REPORT %s HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWxpY2U6c2VjcmV0\r\nContent-Length: %d\r\n\r\n%s", work, len(body), body)
	}
	req, _ := http.NewRequest("PROPFIND", srv.URL+"/dav/", strings.NewReader(""))
	req.SetBasicAuth("bob", "secret")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 207 {
		t.Errorf("somebody else: %d", resp.StatusCode)
	}
	for _, c := range slow {
		_ = c.Close()
	}
	req.SetBasicAuth("alice", "secret")
	resp, err = http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 207 {
		t.Errorf("when they have gone: %d", resp.StatusCode)
	}
}

// twoUsers is a keeping with one user more, bob, who has nothing.
type twoUsers struct{ *keeping }

func (u *twoUsers) Login(ctx context.Context, user, password string) (caldav.Principal, error) {
	if user == "bob" && password == "secret" {
		return caldav.Principal{Name: "bob"}, nil
	}
	return u.keeping.Login(ctx, user, password)
}
