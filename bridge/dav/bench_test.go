package dav_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"outbridge/bridge/dav"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round/roundtest"
	"outbridge/caldav"
)

// BenchmarkPoll is an idle client's question, without the network.
func BenchmarkPoll(b *testing.B) {
	w := roundtest.Make(b, b.Context(), b.TempDir(), slog.New(slog.DiscardHandler))
	defer w.Store.Close()
	w.Box.Calendar().Create(roundtest.Meeting("Meeting", 1, 9))
	if _, err := w.Rounds.Round(w.Ctx, w.Mailbox); err != nil {
		b.Fatal(err)
	}
	_, password, err := w.Store.AddPassword(w.Ctx, "alice", "", roundtest.Start)
	if err != nil {
		b.Fatal(err)
	}
	h := &caldav.Handler{Backend: dav.Backend{Store: w.Store}, Log: slog.New(slog.DiscardHandler)}
	const body = `<D:propfind xmlns:D="DAV:" xmlns:CS="http://calendarserver.org/ns/"><D:prop><CS:getctag/><D:sync-token/></D:prop></D:propfind>`
	ctx, cancel := context.WithCancel(w.Ctx) // as a server's is
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequestWithContext(w.Store.Once(ctx), "PROPFIND", "/dav/calendars/alice/calendar/", strings.NewReader(body))
		r.SetBasicAuth("alice", password)
		r.Header.Set("Depth", "0")
		res := httptest.NewRecorder()
		h.ServeHTTP(res, r)
		if res.Code != http.StatusMultiStatus {
			b.Fatal(res.Code)
		}
	}
}

// BenchmarkQuery asks for one month of a calendar of 10,000 objects, a twentieth of them series without an end.
func BenchmarkQuery(b *testing.B) {
	w := roundtest.Make(b, b.Context(), b.TempDir(), slog.New(slog.DiscardHandler), func(s *graphsim.Server) { s.MaxPage = 200 })
	defer w.Store.Close()
	for i := range 9500 {
		w.Box.Calendar().Create(roundtest.Meeting(fmt.Sprint("Meeting ", i), i%400-100, 7+i/400%10))
	}
	for i := range 500 {
		e := roundtest.Weekly(fmt.Sprint("Series ", i), -i%28, 7+i%10, "monday")
		e.Recurrence.Pattern.Interval = 4
		w.Box.Calendar().Create(e)
	}
	if _, err := w.Rounds.Round(w.Ctx, w.Mailbox); err != nil {
		b.Fatal(err)
	}
	_, password, err := w.Store.AddPassword(w.Ctx, "alice", "", roundtest.Start)
	if err != nil {
		b.Fatal(err)
	}
	const body = `<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range start="%s" end="%s"/></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>`
	text := fmt.Sprintf(body, roundtest.Start.Format("20060102T150405Z"), roundtest.Start.AddDate(0, 1, 0).Format("20060102T150405Z"))
	var h *caldav.Handler
	restart := func() {
		h = &caldav.Handler{Backend: dav.Backend{Store: w.Store}, Log: slog.New(slog.DiscardHandler)}
	}
	query := func(b *testing.B) {
		r := httptest.NewRequest("REPORT", "/dav/calendars/alice/calendar/", strings.NewReader(text))
		r.SetBasicAuth("alice", password)
		r.Header.Set("Depth", "1")
		res := httptest.NewRecorder()
		h.ServeHTTP(res, r)
		if res.Code != http.StatusMultiStatus {
			b.Fatal(res.Code)
		}
	}
	b.Run("first", func(b *testing.B) { // every series has to be worked out
		for b.Loop() {
			restart()
			query(b)
		}
	})
	b.Run("next", func(b *testing.B) {
		restart()
		for b.Loop() {
			query(b)
		}
	})
}
