//go:build interop

package main

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// TestInteropBelowAPath lets real programs find the calendars at an address with a path, and a real browser go through pages
// there.
func TestInteropBelowAPath(t *testing.T) {
	t.Parallel()
	for name, strip := range map[string]bool{"passed on": false, "taken away": true} {
		t.Run(name, func(t *testing.T) {
			sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
			box, _ := officeWeek(sim)
			s := serveBelow(t, newOutlook(t, sim, box), "/cal", strip)
			eventually(t, "the first round", func() bool { return strings.Contains(s.body(t, s.feed), "SUMMARY:School play") })
			c := &clients{t: t, served: s, home: t.TempDir(), proxy: &httptest.Server{URL: s.url}}
			c.writeConfig()
			c.run("y\n", "vdirsyncer", "-c", c.path("vdirsyncer"), "discover")
			c.run("", "vdirsyncer", "-c", c.path("vdirsyncer"), "sync")
			c.run("", "vdirsyncer", "-c", c.path("vdirsyncer"), "sync")
			files, err := filepath.Glob(c.path("calendars/*/*.ics"))
			if err != nil || len(files) != 5 {
				t.Errorf("vdirsyncer has %d files", len(files))
			}
			now := time.Now().UTC()
			events := c.pythonCaldav(now.AddDate(0, 0, -1), now.AddDate(0, 0, 8))
			if len(events) < 10 {
				t.Errorf("python3-caldav shows %v", events)
			}
			found := s.waitFor(`open (\S+)/setup\?code=(\S+)$`)
			if found[0] != s.url {
				t.Errorf("set-up is at %s", found[0])
			}
			b := newBrowser(t)
			b.open(found[0] + "/setup")
			b.fill("code", found[1])
			b.fill("password", "correct horse battery")
			b.fill("repeat", "correct horse battery")
			b.press("Set password")
			b.shows("alice")
			b.open(s.url + "/calendars/alice")
			b.shows("Review")
			b.open(s.url + "/accounts/alice/feeds")
			b.press("Create feed")
			b.shows("Subscribe on this device")
		})
	}
}
