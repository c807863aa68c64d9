package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/web"
)

// pageLinks are the addresses in a page that a browser follows, sends forms to or loads.
var pageLinks = regexp.MustCompile(`(?:href|src|action|data-poll)="([^"]*)"`)

// TestBelowAPath reads all pages at a public_url with a path, behind a proxy that passes the path on and behind one that takes
// it away: every address in them has it, once.
func TestBelowAPath(t *testing.T) {
	t.Parallel()
	for name, strip := range map[string]bool{"passed on": false, "taken away": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.fill()
			d.box.AddCalendar("Family", "#00cc6a").Create(graphsim.Event{Subject: "School play", Start: at(2, 18), End: at(2, 20)})
			d.round()
			h := &web.Handler{Store: d.store, Feeds: d.files(d.now), PublicURL: "https://example.org/out.look/cal", Version: "test", Accounts: d.accounts, Now: d.now}
			d.edge = &web.Edge{Next: h.Handler(), PublicURL: h.PublicURL}
			upstream := mustURL(t, d.url)
			proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(upstream)
				r.SetXForwarded()
				r.Out.Header.Set("X-Forwarded-Proto", "https")
				r.Out.Host = "example.org"
				if strip {
					r.Out.URL.Path, r.Out.URL.RawPath = strings.TrimPrefix(r.In.URL.Path, "/out.look/cal"), strings.TrimPrefix(r.In.URL.RawPath, "/out.look/cal")
				}
			}})
			t.Cleanup(proxy.Close)
			d.url = proxy.URL
			p := d.somebody()
			const base = "/out.look/cal"
			for path, want := range map[string]string{"/accounts/alice?x=1%2F2": base + "/sign-in?next=%2Faccounts%2Falice%3Fx%3D1%252F2", "/feeds/../": "", "/nothing": ""} {
				if got := p.get(base + path); got.Header.Get("Location") != want {
					t.Errorf("%s: %s to %q", path, got.Status, got.Header.Get("Location"))
				}
			}
			p.header.Set("Origin", "https://example.org")
			got := p.post(base+"/sign-in", "password", adminPassword, "next", "/calendars/alice")
			if got.StatusCode != 303 || got.Header.Get("Location") != base+"/calendars/alice" || len(got.Cookies()) != 2 {
				t.Fatalf("sign-in: %s %v", got.Status, got.Header)
			}
			for _, c := range got.Cookies() {
				if c.Path != base || !strings.HasPrefix(c.Name, "__Secure-") || !c.Secure {
					t.Errorf("cookie: %v", c)
				}
				p.header.Add("Cookie", c.Name+"="+c.Value) // the jar keeps none that are only for https
			}
			p.header["Cookie"] = []string{strings.Join(p.header["Cookie"], "; ")}
			read := map[string]bool{}
			pages := []string{base, base + "/", base + "/sign-in", base + "/accounts/alice/passwords"}
			for _, one := range guarded {
				if path, ok := strings.CutPrefix(one, "GET "); ok && !strings.Contains(path, "state") && !strings.Contains(path, "x.ics") { // the events that are there are found by their links
					pages = append(pages, base+path)
				}
			}
			for len(pages) > 0 {
				path := pages[0]
				pages = pages[1:]
				if u := mustURL(t, path); read[u.Path] || strings.HasSuffix(path, "/browser") {
					continue
				} else {
					read[u.Path] = true
				}
				got := p.get(path)
				if to := got.Header.Get("Location"); to != "" && !strings.HasPrefix(to, base+"/") {
					t.Errorf("%s leads to %s", path, to)
				}
				if got.StatusCode >= 400 {
					t.Errorf("%s: %s", path, got.Status)
				}
				for _, m := range pageLinks.FindAllStringSubmatch(got.body, -1) {
					link := strings.ReplaceAll(m[1], "&amp;", "&")
					switch {
					case strings.HasPrefix(link, base+"/") && !strings.HasPrefix(link, base+base):
						if !strings.Contains(m[0], "action") {
							pages = append(pages, link)
						}
					case strings.HasPrefix(link, "?"), strings.HasPrefix(link, "#"), strings.HasPrefix(link, "davx5://") && strings.HasSuffix(link, "@example.org"+base+"/dav/"),
						strings.HasPrefix(link, "https://") && !strings.HasPrefix(link, "https://example.org"):
					default:
						t.Errorf("%s has %s", path, m[0])
					}
				}
			}
			if len(read) < 20 {
				t.Errorf("%d pages", len(read))
			}
			for path, want := range map[string][]string{
				"/accounts/alice/connect": {"https://example.org" + base + "/<", base + "/dav/principals/alice/"},
				"/accounts/alice/feeds":   nil,
			} {
				body := p.get(base + path).body
				for _, text := range want {
					if !strings.Contains(body, text) {
						t.Errorf("%s has no %s", path, text)
					}
				}
			}
			_, made := p.follow(base + "/accounts/alice/profile")
			link := regexp.MustCompile(`value="https://example\.org(/[^"]*\.mobileconfig)"`).FindStringSubmatch(made.body)
			if link == nil {
				t.Fatal("no profile")
			}
			if profile := p.get(link[1]); !strings.Contains(profile.body, "<key>CalDAVPrincipalURL</key>\n\t\t\t<string>https://example.org"+base+"/dav/principals/alice/</string>") || strings.Contains(profile.body, "CalDAVPort") {
				t.Errorf("profile: %s\n%s", profile.Status, profile.body)
			}
			_, answer := p.follow(base+"/accounts/alice/feeds", "detail", "full", "which", "all")
			feed := regexp.MustCompile(`value="https://example\.org(/[^"]*\.ics)"`).FindStringSubmatch(answer.body)
			if feed == nil || !strings.Contains(answer.body, "webcal://example.org"+feed[1]) || !strings.Contains(answer.body, url.QueryEscape("webcal://example.org"+feed[1])) {
				t.Fatalf("feed: %v\n%s", feed, answer.body)
			}
			if got := p.get(feed[1]); got.StatusCode != http.StatusOK || !strings.Contains(got.body, "SUMMARY:School play") {
				t.Errorf("the feed: %s\n%s", got.Status, got.body)
			}
			if got := p.post(base+"/accounts/alice/sync", "x", "y"); got.StatusCode != 303 || !strings.HasPrefix(got.Header.Get("Location"), base+"/accounts/alice") {
				t.Errorf("a form: %s to %s", got.Status, got.Header.Get("Location"))
			}
		})
	}
}

// TestOwnPaths: a base that begins as a path of ours could not be told apart.
func TestOwnPaths(t *testing.T) {
	t.Parallel()
	found := 0
	for _, file := range []string{"routes.go", "web.go", "assets.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		re := regexp.MustCompile(`"(?:[A-Z]+ )?/([a-z.-]+)`)
		if file == "assets.go" {
			re = regexp.MustCompile(`"([a-z-]+\.(?:css|js|svg))"`)
		}
		for _, m := range re.FindAllStringSubmatch(string(source), -1) {
			if found++; !web.OwnPath("/"+m[1]) || !web.OwnPath("/"+m[1]+"/x") {
				t.Errorf("/%s is none of ours", m[1])
			}
		}
	}
	for _, path := range []string{"/outlook", "/calendar", "/cal/dav", "/davx", ""} {
		if web.OwnPath(path) {
			t.Errorf("%q is ours", path)
		}
	}
	if found < 30 {
		t.Errorf("%d paths", found)
	}
}

// TestBaseOfARequest: only whole segments are taken away, and what is encoded in the rest stays so.
func TestBaseOfARequest(t *testing.T) {
	t.Parallel()
	var got string
	edge := &web.Edge{PublicURL: "https://example.org/cal/", DAV: func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/dav/") },
		Next: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.URL.RequestURI() })}
	for asked, want := range map[string]string{
		"/cal": "/", "/cal/": "/", "/cal?x=1": "/?x=1", "/cal/feeds/a.ics": "/feeds/a.ics", "/calendar": "/calendar", "/cal/cal": "/cal", "/": "/",
		"/cal/dav/calendars/a%40b/c%2Fd": "/dav/calendars/a%40b/c%2Fd", "/dav/calendars/a%40b": "/dav/calendars/a%40b", "/calendars/alice?zone=a%2Fb": "/calendars/alice?zone=a%2Fb",
	} {
		r := httptest.NewRequest("GET", asked, nil)
		r.RemoteAddr = "127.0.0.1:1"
		if edge.ServeHTTP(httptest.NewRecorder(), r); got != want {
			t.Errorf("%s: %s, want %s", asked, got, want)
		}
	}
	h := web.ToHTTPS("https://example.org/cal")
	for asked, want := range map[string]string{"/cal/x?y=1": "https://example.org/cal/x?y=1", "/x%20y": "https://example.org/cal/x%20y", "/": "https://example.org/cal/"} {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, httptest.NewRequest("GET", asked, nil)); w.Header().Get("Location") != want || w.Code != http.StatusPermanentRedirect {
			t.Errorf("%s: %d to %s", asked, w.Code, w.Header().Get("Location"))
		}
	}
}
