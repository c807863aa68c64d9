package main

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// proxyBelow is a proxy that serves a bridge below a path and nothing else; it takes the path away, or passes it on. address is
// what clients know. to names the bridge, before the first request.
func proxyBelow(t *testing.T, base string, strip bool) (address string, to *atomic.Pointer[url.URL]) {
	t.Helper()
	to = new(atomic.Pointer[url.URL])
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to.Load())
		r.Out.Host = r.In.Host
		r.SetXForwarded()
		inside, ok := strings.CutPrefix(r.In.URL.Path, base)
		if !ok || inside != "" && inside[0] != '/' {
			r.Out.URL.Host = "127.0.0.1:1" // somebody else's
		}
		if strip {
			r.Out.URL.Path, r.Out.URL.RawPath = inside, strings.TrimPrefix(r.In.URL.RawPath, base)
		}
	}})
	t.Cleanup(proxy.Close)
	return proxy.URL + base, to
}

// serveBelow serves below a path, behind proxyBelow. Its url is what clients know.
func serveBelow(t *testing.T, o *outlook, base string, strip bool) *served {
	t.Helper()
	address, to := proxyBelow(t, base, strip)
	dir := writeConfig(t, o)
	file := filepath.Join(dir, "outbridge.toml")
	config, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	config = bytes.Replace(config, []byte("[sync]\n"), []byte("[sync]\nnotifications = true\n"), 1)
	if err := os.WriteFile(file, append(fmt.Appendf(nil, "public_url = %q\n", address+"/"), config...), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serveIn(t, dir)
	upstream, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	to.Store(upstream)
	s.url, s.feed = address, address+"/feeds/"+path.Base(s.feed)
	return s
}

// TestBelowAPath lets the doctor, who goes the way of a calendar program, through both kinds of proxies, and Outlook's
// notifications to the address that it was told.
func TestBelowAPath(t *testing.T) {
	t.Parallel()
	for name, strip := range map[string]bool{"passed on": false, "taken away": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
			box, _ := officeWeek(sim)
			s := serveBelow(t, newOutlook(t, sim, box), "/cal/outlook", strip)
			eventually(t, "the first round", func() bool { return strings.Contains(s.body(t, s.feed), "SUMMARY:School play") })
			config, err := os.ReadFile(filepath.Join(s.dir, "outbridge.toml"))
			if err != nil {
				t.Fatal(err)
			}
			x := examine(t, s.dir, string(config))
			for _, check := range []string{"server", "discovery", "feed", "notifications"} {
				x.requires(t, name, check, resultOK, "")
			}
			if text := outbridge(t, s.dir, "feed", "add", "alice", "--json"); !strings.Contains(text, `"`+s.url+"/feeds/") || !strings.Contains(text, "/cal/outlook/feeds/") {
				t.Errorf("feed add: %s", text)
			}
			whole := s.body(t, s.url+"/dav/calendars/alice/calendar/")
			if strings.Count(whole, "BEGIN:VCALENDAR") != 1 || strings.Count(whole, "BEGIN:VEVENT") != 4 || strings.Count(whole, "TZID:Europe/Berlin\r\n") > 1 {
				t.Errorf("the calendar in one:\n%s", whole)
			}
			if text := outbridge(t, s.dir, "password", "add", "alice"); !strings.Contains(text, s.url+"/") {
				t.Errorf("password add: %s", text)
			}
		})
	}
}
