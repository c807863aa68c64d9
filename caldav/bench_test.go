package caldav_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"outbridge/caldav"
)

// discard is a ResponseWriter that counts.
type discard struct {
	h http.Header
	n int64
}

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(b []byte) (int, error) { d.n += int64(len(b)); return len(b), nil }

func benchmark(b *testing.B, method, body string, objects int, backend caldav.Backend) {
	h := &caldav.Handler{Backend: backend, Log: slog.New(slog.DiscardHandler)}
	d := &discard{}
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequest(method, workPath, strings.NewReader(body))
		req.SetBasicAuth("alice", "secret")
		req.Header.Set("Depth", "0")
		d.h = http.Header{}
		h.ServeHTTP(d, req)
	}
	if objects > 0 {
		b.ReportMetric(float64(objects)*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
	}
	b.SetBytes(d.n / int64(b.N))
}

func benchmarkCalendar(n int, bounds bool) (*memory, []string) {
	m := &memory{}
	m.add(caldav.Calendar{Name: "work", DisplayName: "Work", TimeZone: "Europe/Berlin"})
	var hrefs []string
	for i := range n {
		name := fmt.Sprintf("%064x.ics", i)
		var first, last time.Time
		start := time.Date(2025, 1, 1, 9, 0, 0, 0, time.UTC).AddDate(0, 0, i%700)
		rule := ""
		if i%10 == 0 {
			rule = "RRULE:FREQ=WEEKLY;BYDAY=" + strings.ToUpper(start.Weekday().String()[:2]) + "\n"
		}
		if bounds {
			first = start
			if rule == "" {
				last = start.Add(time.Hour)
			}
		}
		m.publishBounded("work", name, event(fmt.Sprintf("UID:%d\nDTSTAMP:20260101T000000Z\nDTSTART;TZID=Europe/Berlin:%s\nDURATION:PT1H\n%sSUMMARY:Meeting %d\nDESCRIPTION:%s\nATTENDEE;CN=A;PARTSTAT=ACCEPTED:mailto:a@example.com",
			i, start.Format("20060102T150405"), rule, i, strings.Repeat("lorem ipsum ", 60))), first, last)
		hrefs = append(hrefs, workPath+name)
	}
	return m, hrefs
}

func BenchmarkIdlePropfind(b *testing.B) {
	m, _ := benchmarkCalendar(10, true)
	benchmark(b, "PROPFIND", `<propfind xmlns="DAV:"><prop><getctag xmlns="http://calendarserver.org/ns/"/><sync-token/></prop></propfind>`, 0, m)
}

func BenchmarkIdleSync(b *testing.B) {
	m, _ := benchmarkCalendar(10, true)
	benchmark(b, "REPORT", syncBody(m.token("work"), ""), 0, m)
}

func BenchmarkFirstSync(b *testing.B) {
	m, _ := benchmarkCalendar(5000, true)
	benchmark(b, "REPORT", syncBody("", ""), 5000, m)
}

func BenchmarkMultiget(b *testing.B) {
	m, hrefs := benchmarkCalendar(1000, true)
	benchmark(b, "REPORT", multigetBody(hrefs...), 1000, m)
}

func BenchmarkQueryStartOnly(b *testing.B) {
	m, _ := benchmarkCalendar(5000, true)
	benchmark(b, "REPORT", queryBody("<D:getetag/>", eventsWithin("20260101T000000Z", "")), 5000, m)
}

func BenchmarkQueryClosedRange(b *testing.B) {
	m, _ := benchmarkCalendar(5000, true)
	benchmark(b, "REPORT", queryBody("<D:getetag/>", eventsWithin("20260601T000000Z", "20260608T000000Z")), 5000, m)
}

func BenchmarkQueryNoBounds(b *testing.B) {
	m, _ := benchmarkCalendar(5000, false)
	benchmark(b, "REPORT", queryBody("<D:getetag/>", eventsWithin("20260601T000000Z", "20260608T000000Z")), 5000, m)
}

func BenchmarkExpand(b *testing.B) {
	m, _ := benchmarkCalendar(1000, true)
	benchmark(b, "REPORT", queryBody(`<C:calendar-data><C:expand start="20260601T000000Z" end="20260608T000000Z"/></C:calendar-data>`,
		eventsWithin("20260601T000000Z", "20260608T000000Z")), 1000, m)
}

var _ io.Writer = (*discard)(nil)
