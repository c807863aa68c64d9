//go:build load

package main_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// TestWriteCosts measures what a client waits for when it writes to a calendar of 10,000 events, with a Graph that takes 100 ms for each
// answer. It fails where Graph is asked more often than it has to be, never for being slow.
func TestWriteCosts(t *testing.T) {
	const delay = 100 * time.Millisecond
	w := newLoadWorld(t, func(cal *graphsim.Calendar) { fillMailbox(cal, loadSingles, loadSeries) },
		`access = "read-write"`, `invitations = "outlook"`)
	w.sim.Writing.Calm = true // else each write right after another finds that Exchange has come back to the event, and reads it first
	w.tool("sync")
	var pass struct{ Password string }
	w.json(&pass, "password", "add", "alice")
	w.start()
	calendar := "http://" + w.address + "/dav/calendars/alice/calendar/"
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	ask := func(method, name, body string, header ...string) (int, string, http.Header) {
		r, err := http.NewRequest(method, calendar+name, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return 0, "", nil
		}
		r.SetBasicAuth("alice", pass.Password)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		res, err := client.Do(r)
		if err != nil {
			t.Error(err)
			return 0, "", nil
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Error(err)
		}
		return res.StatusCode, string(b), res.Header
	}
	put := func(name, body string, header ...string) {
		t.Helper()
		if status, text, _ := ask("PUT", name, body, header...); status != 201 && status != 204 {
			t.Errorf("PUT %s: %d %s", name, status, text)
		}
	}
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 14)
	event := func(uid string, lines ...string) string {
		return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//load//EN\r\nBEGIN:VEVENT\r\nUID:" + uid + "\r\nDTSTAMP:20260101T000000Z\r\nSUMMARY:Event\r\n" +
			fmt.Sprintf("DTSTART:%sT100000Z\r\nDTEND:%sT110000Z\r\n", day.Format("20060102"), day.Format("20060102")) +
			strings.Join(append(lines, ""), "\r\n") + "END:VEVENT\r\nEND:VCALENDAR\r\n"
	}
	current := func(name string) (body, tag string) {
		t.Helper()
		status, body, head := ask("GET", name, "")
		if status != 200 {
			t.Fatalf("GET %s: %d", name, status)
		}
		return body, head.Get("ETag")
	}
	// idle waits until nothing is under way that is not the client's.
	idle := func() {
		for n := -1; n != len(w.sim.Requests()); time.Sleep(time.Second) {
			n = len(w.sim.Requests())
		}
		w.sim.ResetRequests()
	}
	// each measures so many writes, and how often Graph is asked for each.
	each := func(what string, times, most int, write func(n int)) time.Duration {
		t.Helper()
		idle()
		all := make([]time.Duration, times)
		for n := range all {
			all[n] = timed(func() { write(n) })
		}
		asked := len(w.sim.Requests())
		for _, r := range w.sim.Requests() {
			if strings.Contains(r.Path, "/delta") || strings.Contains(r.Path, "/instances") || strings.HasSuffix(r.Path, "/calendars") {
				asked-- // a round's
			}
		}
		slices.Sort(all)
		if asked > most*times {
			t.Errorf("%s: Graph is asked %d times for %d writes", what, asked, times)
			for _, r := range w.sim.Requests()[:most+2] {
				path, _, _ := strings.Cut(r.Path, "?")
				t.Logf("%s %s %d", r.Method, path, r.Status)
			}
		}
		row(what, fmt.Sprintf("%.1f ms", all[times/2].Seconds()*1000),
			fmt.Sprintf("at most %.1f ms, %.1f requests to Graph", all[times-1].Seconds()*1000, float64(asked)/float64(times)))
		return all[times/2]
	}

	put("a.ics", event("a", "BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:x", "TRIGGER:-PT10M", "END:VALARM"), "If-None-Match", "*")
	put("s.ics", event("s", "RRULE:FREQ=DAILY;COUNT=40"), "If-None-Match", "*")
	w.delay.Store(int64(delay))
	body, tag := current("a.ics")
	each("PUT of what is served", 200, 0, func(int) { put("a.ics", body, "If-Match", tag) })
	each("an alarm is dismissed", 200, 0, func(n int) {
		at := day.Add(time.Duration(n) * time.Second).Format("20060102T150405Z")
		put("a.ics", strings.Replace(body, "END:VEVENT", "X-MOZ-LASTACK:"+at+"\r\nEND:VEVENT", 1))
	})
	each("one field is changed", 20, 2, func(n int) {
		body, tag := current("a.ics")
		old, _, _ := strings.Cut(body[strings.Index(body, "SUMMARY:"):], "\r\n")
		put("a.ics", strings.Replace(body, old, fmt.Sprint("SUMMARY:Event ", n), 1), "If-Match", tag)
	})
	one := each("a new event", 20, 2, func(n int) {
		uid := fmt.Sprint("new", n)
		put(uid+".ics", event(uid), "If-None-Match", "*")
	})
	each("an occurrence is moved", 20, 3, func(n int) {
		body, tag := current("s.ics")
		at := day.AddDate(0, 0, n+1).Format("20060102")
		moved := fmt.Sprintf("BEGIN:VEVENT\r\nUID:s\r\nDTSTAMP:20260101T000000Z\r\nSUMMARY:Event\r\nRECURRENCE-ID:%sT100000Z\r\nDTSTART:%sT120000Z\r\nDTEND:%sT130000Z\r\nEND:VEVENT\r\n", at, at, at)
		put("s.ics", strings.Replace(body, "END:VCALENDAR", moved+"END:VCALENDAR", 1), "If-Match", tag)
	})
	each("an event is deleted", 20, 2, func(n int) {
		if status, text, _ := ask("DELETE", fmt.Sprint("new", n, ".ics"), ""); status != 204 {
			t.Errorf("DELETE: %d %s", status, text)
		}
	})
	idle()
	took := timed(func() {
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				uid := fmt.Sprint("once", i)
				put(uid+".ics", event(uid), "If-None-Match", "*")
			})
		}
		all.Wait()
	})
	row("ten new events at once", fmt.Sprintf("%.0f ms", took.Seconds()*1000), fmt.Sprintf("%.1f times as long as one, %d requests to Graph", took.Seconds()/one.Seconds(), len(w.sim.Requests())))
	if v := w.sim.Violations(); len(v) > 0 {
		t.Errorf("Graph's rules were broken: %q", v)
	}
}
