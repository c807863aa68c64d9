//go:build load

package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/sqlstore"
)

// mostMemory is what the whole server may have, caches and all, in MiB. It is a bound and no figure of speed, so it has no headroom.
const mostMemory = 96

// TestServeMemory serves 10,000 objects and then 100,000, and prints the most memory that the server had while one
// client listed them and another read all of them in one answer. It fails where the memory grows with the calendar, or is more
// than 96 MiB.
func TestServeMemory(t *testing.T) {
	peaks := map[int]int{}
	for _, n := range []int{10_000, 100_000} {
		w := newLoadWorld(t, func(*graphsim.Calendar) {})
		fillStore(t, w, n)
		var pass struct{ Password string }
		w.json(&pass, "password", "add", "alice")
		w.start()
		c := newCalDAVClient(t, w.serve.Process.Pid, "http://"+w.address+"/dav/calendars/alice/filled/", "alice", pass.Password)
		var hrefs []string
		list := timed(func() { hrefs = c.hrefs(nil) })
		if len(hrefs) != n {
			t.Fatalf("%d of %d listed", len(hrefs), n)
		}
		const all = `<D:sync-collection xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:sync-token/><D:sync-level>1</D:sync-level><D:prop><D:getetag/><C:calendar-data/></D:prop></D:sync-collection>`
		var octets int64
		whole := timed(func() { octets = c.drain(c.request("REPORT", c.calendar, "1", all)) })
		for i := 0; i < 10_000; i += multigetSize { // more than is kept of them
			c.drain(c.request("REPORT", c.calendar, "1", multigetBody(hrefs[i:i+multigetSize])))
		}
		query := c.rate(func() *http.Request { return c.request("REPORT", c.calendar, "1", monthBody()) }, 207)
		var peak int
		fmt.Sscan(w.resident(), &peak)
		peaks[n] = peak
		row(fmt.Sprintf("%d objects", n), w.resident()+" at most", fmt.Sprintf("listed in %.2f s; %.0f MiB with all data in %.2f s; a month: %.2g ms of the server",
			list.Seconds(), float64(octets)/(1<<20), whole.Seconds(), query.cpu))
		w.stop()
	}
	if peaks[100_000] > peaks[10_000]+40 {
		t.Errorf("the memory of the server grows with the calendar: %v MiB", peaks)
	}
	if peaks[100_000] > mostMemory {
		t.Errorf("100,000 objects take %d MiB of memory", peaks[100_000])
	}
}

// fillStore publishes objects in a calendar that Outlook does not have; the server must not do a round before.
func fillStore(t *testing.T, w *loadWorld, n int) {
	t.Helper()
	ctx := t.Context()
	key, err := sqlstore.ReadKey(filepath.Join(w.dir, "outbridge.key"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlstore.Open(ctx, filepath.Join(w.dir, "outbridge.db"), key)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a, err := s.EnsureAccount(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	if _, err := s.SetCalendars(ctx, a.ID, []bridge.Calendar{{GraphID: "filled", Name: "filled", DisplayName: "Filled", Modified: now}}); err != nil {
		t.Fatal(err)
	}
	c, err := s.UserCalendar(ctx, "alice", "filled")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Repeat("DESCRIPTION:An agenda with a point or two to talk about\r\n ", 20)
	for begin := 0; begin < n; begin += 1000 {
		var list []bridge.Derived
		for i := begin; i < begin+1000; i++ {
			at := now.AddDate(0, 0, i%400-100)
			uid := fmt.Sprintf("%064x", i)
			data := fmt.Sprintf("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//outbridge//load//EN\r\nBEGIN:VEVENT\r\nUID:%s\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:%s\r\nDURATION:PT1H\r\nSUMMARY:Meeting %d\r\n%s\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
				uid, at.Format("20060102T150405Z"), i, words)
			list = append(list, bridge.Derived{Series: graph.EventID(uid), Object: &bridge.Object{
				Calendar: c.ID, Series: graph.EventID(uid), Name: uid + ".ics", UID: uid, ETag: uid, Stamp: now,
				First: at, Last: at.Add(time.Hour), Data: []byte(data), Size: len(data),
			}})
		}
		if err := s.Stage(ctx, c.ID, 0, list); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Publish(ctx, c.ID, now); err != nil {
		t.Fatal(err)
	}
	// Without a Graph to ask, what is there stays.
	b, err := os.ReadFile(w.conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.conf, []byte(strings.ReplaceAll(string(b), w.outlook, "http://127.0.0.1:9")), 0o600); err != nil {
		t.Fatal(err)
	}
}
