package dav_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"outbridge/bridge/convert"
	"outbridge/bridge/dav"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round/roundtest"
	"outbridge/caldav"
)

// counting is a ResponseWriter that keeps the length of what is written to it.
type counting struct {
	header http.Header
	status int
	octets int
}

func (c *counting) Header() http.Header         { return c.header }
func (c *counting) WriteHeader(status int)      { c.status = status }
func (c *counting) Write(b []byte) (int, error) { c.octets += len(b); return len(b), nil }

// BenchmarkObjects serves objects to clients as these ask for them, without the network: warm, when they have been asked for before, and
// cold, when the server has only just started.
func BenchmarkObjects(b *testing.B) {
	const objects = 2000
	w := roundtest.Make(b, b.Context(), b.TempDir(), slog.New(slog.DiscardHandler), func(s *graphsim.Server) { s.MaxPage = 200 })
	defer w.Store.Close()
	agenda := "<p>Agenda</p><ul>" + strings.Repeat("<li>A point to talk about</li>", 10) + "</ul>"
	for i := range objects {
		e := roundtest.Meeting(fmt.Sprint("Meeting ", i), i%400-100, 7+i/400%10)
		if i%20 == 0 {
			e = roundtest.Weekly(fmt.Sprint("Series ", i), -i%28, 7+i%10, "monday")
		}
		e.Body, e.Location = agenda, "Room 5"
		e.Attendees = []graph.Attendee{{Type: "required", EmailAddress: graph.EmailAddress{Name: "Béatrice Dupont", Address: "beatrice@contoso.example"}}}
		w.Box.Calendar().Create(e)
	}
	if _, err := w.Rounds.Round(w.Ctx, w.Mailbox); err != nil {
		b.Fatal(err)
	}
	_, password, err := w.Store.AddPassword(w.Ctx, "alice", "", roundtest.Start)
	if err != nil {
		b.Fatal(err)
	}
	var h *caldav.Handler
	restart := func() {
		h = &caldav.Handler{Backend: dav.Backend{Store: w.Store, Cache: new(dav.Cache)}, Log: slog.New(slog.DiscardHandler), Zone: convert.Zone}
	}
	ctx, cancel := context.WithCancel(w.Ctx) // as a server's is
	defer cancel()
	serve := func(rw http.ResponseWriter, method, path, body, coding string) {
		r := httptest.NewRequestWithContext(w.Store.Once(ctx), method, path, strings.NewReader(body))
		r.SetBasicAuth("alice", password)
		r.Header.Set("Depth", "1")
		if coding != "" {
			r.Header.Set("Accept-Encoding", coding)
		}
		h.ServeHTTP(rw, r)
	}
	ask := func(b *testing.B, method, path, body, coding string) *counting {
		rw := &counting{header: http.Header{}}
		serve(rw, method, path, body, coding)
		if rw.status/100 != 2 {
			b.Fatal(rw.status)
		}
		return rw
	}
	restart()
	const collection = "/dav/calendars/alice/calendar/"
	const listing = `<propfind xmlns="DAV:"><prop><getetag/></prop></propfind>`
	rec := httptest.NewRecorder()
	serve(rec, "PROPFIND", collection, listing, "")
	hrefs := regexp.MustCompile(collection+`[^<]+\.ics`).FindAllString(rec.Body.String(), -1)
	if len(hrefs) != objects {
		b.Fatalf("%d objects", len(hrefs))
	}
	multiget := func(hrefs []string) string {
		return `<C:calendar-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:getetag/><C:calendar-data/></D:prop><D:href>` +
			strings.Join(hrefs, "</D:href><D:href>") + `</D:href></C:calendar-multiget>`
	}
	const all = `<D:sync-collection xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:sync-token/><D:sync-level>1</D:sync-level><D:prop><D:getetag/><C:calendar-data/></D:prop></D:sync-collection>`
	for _, coding := range []string{"", "gzip"} {
		name := func(s string) string { return strings.TrimSuffix(s+"/"+coding, "/") }
		run := func(s string, n int, cold bool, do func(b *testing.B) int) {
			b.Run(name(s), func(b *testing.B) {
				b.ReportAllocs()
				octets := 0
				if !cold {
					octets = do(b)
				}
				b.ResetTimer()
				for b.Loop() {
					if cold {
						restart()
					}
					octets = do(b)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/object")
				b.ReportMetric(float64(octets)/float64(n), "B/object")
			})
		}
		run("get", 1, false, func(b *testing.B) int { return ask(b, "GET", hrefs[7], "", coding).octets })
		body := multiget(hrefs[:100])
		run("multiget", 100, false, func(b *testing.B) int { return ask(b, "REPORT", collection, body, coding).octets })
		run("sync", objects, false, func(b *testing.B) int { return ask(b, "REPORT", collection, all, coding).octets })
		first := func(b *testing.B) int {
			n := ask(b, "PROPFIND", collection, listing, coding).octets
			for i := 0; i < objects; i += 100 {
				n += ask(b, "REPORT", collection, multiget(hrefs[i:i+100]), coding).octets
			}
			return n
		}
		run("first sync, cold", objects, true, first)
		run("first sync, warm", objects, false, first)
	}
}
