package web_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"outbridge/bridge"
	"outbridge/bridge/web"
)

func TestFeedOrigins(t *testing.T) {
	t.Parallel()
	const site, other = "https://Example.org:8443", "https://evil.example"
	for _, c := range []struct {
		origins []string
		origin  string
		want    string
	}{
		{nil, site, ""}, {[]string{"https://example.org:8443"}, site, site}, {[]string{"https://example.org:8443"}, other, ""}, {[]string{"https://example.org:8443"}, "", ""},
		{[]string{"https://example.org:8443"}, "null", ""}, {[]string{"https://example.org:8443"}, "https://example.org:8443.evil.example", ""},
		{[]string{"*"}, other, "*"}, {[]string{"*"}, "", "*"}, {[]string{"*"}, "null", "*"},
	} {
		d := newDesk(t)
		d.fill()
		address, _ := d.feed(bridge.Feed{})
		path := mustURL(t, address).Path
		h := &web.Handler{Store: d.store, Feeds: d.files(d.now), PublicURL: d.handler.PublicURL, Accounts: d.accounts, Now: d.now, FeedOrigins: c.origins}
		d.edge = &web.Edge{Next: h.Handler(), PublicURL: h.PublicURL}
		p := d.somebody()
		if c.origin != "" {
			p.header.Set("Origin", c.origin)
		}
		first := p.get(path)
		p.header.Set("If-None-Match", first.Header.Get("ETag"))
		for name, got := range map[string]answer{"whole": first, "304": p.get(path), "404": p.get("/feeds/none.ics"), "HEAD": p.send("HEAD", path, nil), "PUT": p.send("PUT", path, nil)} {
			vary := slices.Contains(got.Header.Values("Vary"), "Origin")
			if got.Header.Get("Access-Control-Allow-Origin") != c.want || vary != (len(c.origins) > 0 && c.origins[0] != "*") || got.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%v for %s, %s: %s %v", c.origins, c.origin, name, got.Status, got.Header)
			}
			if exposed := got.Header.Get("Access-Control-Expose-Headers"); strings.Contains(exposed, "ETag") != (c.want != "") {
				t.Errorf("%v for %s, %s: exposed %q", c.origins, c.origin, name, exposed)
			}
		}
		if first.StatusCode != 200 || !slices.Contains(first.Header.Values("Vary"), "Accept-Encoding") {
			t.Errorf("%s %v", first.Status, first.Header)
		}
		p.header.Del("If-None-Match")
		p.header.Set("Access-Control-Request-Method", "GET")
		p.header.Set("Access-Control-Request-Headers", "if-none-match")
		pre := p.send("OPTIONS", path, nil)
		if pre.StatusCode != http.StatusOK || pre.Header.Get("Access-Control-Allow-Origin") != c.want || (c.want != "") != strings.Contains(pre.Header.Get("Access-Control-Allow-Headers"), "If-None-Match") ||
			(c.want != "") != (pre.Header.Get("Access-Control-Allow-Methods") == "GET, HEAD") {
			t.Errorf("%v for %s, preflight: %s %v", c.origins, c.origin, pre.Status, pre.Header)
		}
		for _, path := range []string{"/", "/sign-in", "/healthz", "/accounts/alice"} {
			if got := p.get(path); got.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s is open to %s", path, c.origin)
			}
		}
	}
}
