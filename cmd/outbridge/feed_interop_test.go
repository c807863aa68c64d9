//go:build interop

package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"outbridge/bridge/graph/graphsim"
)

// TestFeedInterop lets vdirsyncer subscribe to feeds and khal show them: the occurrences are those that Outlook shows and
// the feed's options let through, whatever it tells of them.
func TestFeedInterop(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box := sim.DemoMailbox()
	o := newOutlook(t, sim, box)
	s := serveFor(t, o)
	s.nextRound(t)
	now := time.Now().UTC().Truncate(24 * time.Hour)
	from, to := now.AddDate(0, 0, -45), now.AddDate(0, 5, 0)
	truth := func(keep func(graphsim.Instance) bool, title string) []shown {
		var all []shown
		for _, cal := range box.Calendars() {
			for _, i := range cal.Instances(from, to) {
				if !keep(i) {
					continue
				}
				e := shown{"Calendar", i.Start, i.End, i.Subject}
				if title != "" {
					e.Title = title
				}
				all = append(all, e)
			}
		}
		return sorted(all)
	}
	confirmed := func(i graphsim.Instance) bool { return !i.Cancelled }
	for _, f := range []struct {
		name  string
		flags []string
		keep  func(graphsim.Instance) bool
		title string
	}{
		{"full", nil, confirmed, ""},
		{"cancelled too", []string{"--cancelled", "show", "--alarms"}, func(graphsim.Instance) bool { return true }, ""},
		{"busy", []string{"--detail", "busy"}, confirmed, "Busy"},
		{"private out", []string{"--private", "hide"}, func(i graphsim.Instance) bool {
			return !i.Cancelled && i.Subject != "Dentist" && i.Subject != "Board meeting" && i.Subject != "Focus: draft of the strategy paper"
		}, ""},
		{"a category", []string{"--category", "travel", "--category", "Customers"}, func(i graphsim.Instance) bool {
			return !i.Cancelled && (strings.Contains(i.Subject, "Fabrikam") || strings.HasPrefix(i.Subject, "Flight") || i.Subject == "Release hand-over")
		}, ""},
	} {
		c := &clients{served: s, t: t, home: t.TempDir()}
		c.proxy = httptest.NewServer(http.HandlerFunc(c.pass))
		defer c.proxy.Close()
		var made struct{ URL string }
		if err := json.Unmarshal([]byte(outbridge(t, s.dir, append([]string{"feed", "add", "alice", "--json"}, f.flags...)...)), &made); err != nil {
			t.Fatal(err)
		}
		c.writeConfig()
		c.subscribe(c.proxy.URL + "/feeds/" + path.Base(made.URL))
		c.run("y\n", "vdirsyncer", "-c", c.path("vdirsyncer"), "discover")
		c.run("", "vdirsyncer", "-c", c.path("vdirsyncer"), "sync")
		want := truth(f.keep, f.title)
		if len(want) < 10 {
			t.Fatalf("%s: only %d occurrences", f.name, len(want))
		}
		want = slices.Compact(want) // two events with one title and time are one line of khal
		if diff := cmp.Diff(want, c.khal(from, to)); diff != "" {
			t.Errorf("%s: khal does not show what Outlook shows (-Outlook +khal):\n%s", f.name, diff)
		}
	}
	s.end(syscall.SIGTERM)
}

// subscribe makes vdirsyncer read a feed, in place of CalDAV.
func (c *clients) subscribe(feed string) {
	c.t.Helper()
	config := `[general]
status_path = "` + c.path("status") + `/"
[pair outlook]
a = "feed"
b = "files"
collections = null
[storage feed]
type = "http"
url = "` + feed + `"
[storage files]
type = "filesystem"
path = "` + c.path("calendars") + `/calendar/"
fileext = ".ics"
`
	if err := os.WriteFile(c.path("vdirsyncer"), []byte(config), 0o600); err != nil {
		c.t.Fatal(err)
	}
}
