package web_test

import (
	"strings"
	"testing"
)

func TestPages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, c := range []struct {
		method, path string
		status       int
		kind, text   string
	}{
		{"GET", "/healthz", 200, "text/plain", "ok\n"},
		{"GET", "/readyz", 200, "text/plain", "ok\n"},
		{"HEAD", "/healthz", 200, "text/plain", ""},
		{"GET", "/robots.txt", 200, "text/plain", "User-agent: *\nDisallow:\n"},
		{"GET", "/style.css", 200, "text/css", "prefers-color-scheme"},
		{"GET", "/", 200, "text/html", "<code>https://calendar.example.com/</code>"},
		{"GET", "/nothing", 404, "text/html", "There is no such page"},
		{"GET", "/feeds", 404, "text/html", ""},
		{"GET", "/page.html", 404, "text/html", ""},
		{"POST", "/healthz", 405, "text/plain", ""},
	} {
		got := s.do(c.method, s.url+c.path)
		if got.StatusCode != c.status || !strings.HasPrefix(got.Header.Get("Content-Type"), c.kind) || !strings.Contains(got.body, c.text) {
			t.Errorf("%s %s: %s %s\n%s", c.method, c.path, got.Status, got.Header.Get("Content-Type"), got.body)
		}
	}
	front := s.get(s.url + "/")
	if !strings.Contains(front.Header.Get("Content-Security-Policy"), "default-src 'none'") || strings.Contains(front.body, "<script>") ||
		!strings.Contains(front.body, "outbridge test") {
		t.Errorf("front page: %v\n%s", front.Header, front.body)
	}

	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	if got := s.get(s.url + "/readyz"); got.StatusCode != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("readyz without a database: %s", got.Status)
	}
	if got := s.get(s.url + "/healthz"); got.StatusCode != 200 {
		t.Errorf("healthz without a database: %s", got.Status)
	}
	// Not a 404, after which readers drop the feed for good.
	if got := s.get(s.url + "/feeds/" + strings.Repeat("a", 26) + ".ics"); got.StatusCode != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("a feed without a database: %s", got.Status)
	}
}
