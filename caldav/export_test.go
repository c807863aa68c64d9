package caldav_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"outbridge/caldav"
)

// concatenated is an Export that reads everything twice, as a real one does.
func concatenated(w io.Writer, objects func() iter.Seq2[[]byte, error]) error {
	for range 2 {
		n := 0
		for _, err := range objects() {
			if n++; err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(w, "X-COUNT:%d\r\n", n); err != nil {
			return err
		}
	}
	for o, err := range objects() {
		if err != nil {
			return err
		}
		if _, err := w.Write(o); err != nil {
			return err
		}
	}
	return nil
}

func TestGetCalendar(t *testing.T) {
	m := fixture()
	m.publish("work", "long.ics", event("UID:long\nDTSTAMP:20260101T000000Z\nDTSTART:20260901T100000Z\nDESCRIPTION:"+strings.Repeat("x", 8<<10)))
	s := serveHandler(t, &caldav.Handler{Backend: m, Log: testLog(t), Export: concatenated})
	const path = "/dav/calendars/alice/work/"
	a := s.do("GET", path, "", "Accept: text/html,*/*;q=0.8", "Accept-Encoding: gzip")
	tag := a.Header.Get("ETag")
	if a.StatusCode != 200 || a.Header.Get("Content-Type") != "text/calendar; charset=utf-8" || !strings.HasPrefix(tag, `W/"e1-`) || a.Header.Get("Content-Encoding") != "gzip" ||
		a.Header.Get("Content-Disposition") != `inline; filename="Work & more.ics"` || a.Header.Get("Last-Modified") == "" || !strings.Contains(a.Header.Get("Vary"), "Accept-Encoding") {
		t.Errorf("%s %v", a.Status, a.Header)
	}
	for _, uid := range []string{"single", "allday", "weekly", "past"} {
		if !strings.Contains(a.body, "UID:"+uid) {
			t.Errorf("no %s", uid)
		}
	}
	if strings.Contains(a.body, "UID:dentist") {
		t.Error("an event of another calendar")
	}
	if head := s.do("HEAD", path, ""); head.StatusCode != 200 || head.Header.Get("ETag") != tag || head.body != "" || head.Header.Get("Content-Length") != "" {
		t.Errorf("HEAD: %s %v", head.Status, head.Header)
	}
	for _, c := range []struct {
		header string
		want   int
	}{
		{"If-None-Match: " + tag, 304}, {"If-None-Match: " + strings.TrimPrefix(tag, "W/"), 304}, {`If-None-Match: "x"`, 200}, {`If-Match: "x"`, 412},
		{"If-Modified-Since: " + a.Header.Get("Last-Modified"), 304}, {"Authorization: none", 401},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			if got := s.do(method, path, "", c.header); got.StatusCode != c.want || c.want == 304 && got.Header.Get("ETag") != tag {
				t.Errorf("%s, %s: %s %v", method, c.header, got.Status, got.Header)
			}
		}
	}
	m.remove("work", "past.ics")
	if got := s.do("GET", path, "", "If-None-Match: "+tag); got.StatusCode != 200 || strings.Contains(got.body, "UID:past") || got.Header.Get("ETag") == tag {
		t.Errorf("after a change: %s %s", got.Status, got.Header.Get("ETag"))
	}
	for path, want := range map[string]int{"/dav/calendars/alice/none/": 404, "/dav/calendars/bob/work/": 404, "/dav/calendars/alice/": 200} {
		if got := s.do("GET", path, ""); got.StatusCode != want || strings.Contains(got.body, "UID:") {
			t.Errorf("%s: %s", path, got.Status)
		}
	}
	m.yieldFail = errors.New("the disk fails")
	if got := s.do("GET", path, ""); got.StatusCode != http.StatusInternalServerError || got.Header.Get("ETag") != "" || got.Header.Get("Content-Disposition") != "" {
		t.Errorf("that fails: %s %v", got.Status, got.Header)
	}
}

// moving publishes an event each time before objects are listed, as long as it may.
type moving struct {
	*memory
	left atomic.Int32
}

func (m *moving) Objects(ctx context.Context, c caldav.Calendar, q caldav.Query) iter.Seq2[caldav.Object, error] {
	if n := m.left.Add(-1); n >= 0 {
		m.publish("work", fmt.Sprintf("new%d.ics", n), event(fmt.Sprintf("UID:new%d\nDTSTAMP:20260101T000000Z\nDTSTART:20260811T080000Z", n)))
	}
	return m.memory.Objects(ctx, c, q)
}

// TestGetMovingCalendar: what is sent is of one state, the one that its tag names.
func TestGetMovingCalendar(t *testing.T) {
	m := &moving{memory: fixture()}
	s := serveHandler(t, &caldav.Handler{Backend: m, Log: testLog(t), Export: concatenated})
	m.left.Store(2)
	got := s.do("GET", "/dav/calendars/alice/work/", "")
	if got.StatusCode != 200 || !strings.Contains(got.body, "UID:new0") || !strings.Contains(got.body, "UID:new1") || strings.Count(got.body, "X-COUNT:6\r\n") != 2 || got.Header.Get("ETag") != `W/"e1-6"` {
		t.Errorf("%s %v\n%s", got.Status, got.Header, got.body)
	}
	m.left.Store(100)
	if got := s.do("GET", "/dav/calendars/alice/work/", ""); got.StatusCode != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("one that never rests: %s", got.Status)
	}
}
