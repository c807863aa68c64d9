//go:build interop

package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestWritersRace: of clients that have all read the same state and write at once, one succeeds and the others are told; without a
// condition all succeed, one after another; and a new event that several make at once is there once.
func TestWritersRace(t *testing.T) {
	t.Parallel()
	w := newWriting(t, "outlook")
	const writers = 6
	path := w.home + "calendar/race.ics"
	event := func(title string) string {
		return fmt.Sprintf("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\nUID:race\r\nDTSTAMP:20260101T000000Z\r\nSUMMARY:%s\r\n"+
			"DTSTART;TZID=Europe/Berlin:%s\r\nDTEND;TZID=Europe/Berlin:%s\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n", title, w.local(1, "10:00"), w.local(1, "11:00"))
	}
	// atOnce has all of them write, and returns the titles of those that have succeeded and the statuses of the others.
	atOnce := func(round string, condition ...string) (done []string, others []int) {
		t.Helper()
		var all sync.WaitGroup
		var mu sync.Mutex
		for i := range writers {
			title := fmt.Sprint(round, " ", i)
			all.Go(func() {
				status, _ := w.dav("PUT", path, event(title), condition...)
				mu.Lock()
				defer mu.Unlock()
				if status == 201 || status == 204 {
					done = append(done, title)
				} else {
					others = append(others, status)
				}
			})
		}
		all.Wait()
		return done, others
	}
	tag := func() string {
		t.Helper()
		_, list := w.dav("PROPFIND", path, `<propfind xmlns="DAV:"><prop><getetag/></prop></propfind>`, "Depth", "0")
		m := regexp.MustCompile(`getetag>([^<]+)<`).FindStringSubmatch(list)
		if m == nil {
			t.Fatalf("there is no tag in %s", list)
		}
		return strings.ReplaceAll(m[1], "&#34;", `"`)
	}
	check := func(what string, done []string, others []int, succeed int) {
		t.Helper()
		if len(done) != succeed || slices.ContainsFunc(others, func(s int) bool { return s != 412 }) {
			t.Errorf("%s: %q succeed, the others are answered %d", what, done, others)
		}
		shown := w.outlook()
		if len(shown) != 1 || !slices.ContainsFunc(done, func(title string) bool { return shown[0] == "1 10:00-11:00 "+title }) {
			t.Errorf("%s: Outlook shows %q, and %q have succeeded", what, shown, done)
		}
	}
	done, others := atOnce("new", "If-None-Match", "*")
	check("a new event", done, others, 1)
	w.sim.Settle()
	w.round()
	done, others = atOnce("changed", "If-Match", tag())
	check("a change with If-Match", done, others, 1)
	done, others = atOnce("forced")
	check("a change without a condition", done, others, writers)
	w.sim.Settle()
	w.round()
	w.quiet()
	if n := len(w.cal.Events()); n != 2 {
		t.Errorf("Outlook has %d events, with the one of long ago", n)
	}
	w.end(syscall.SIGTERM)
}
