package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"outbridge/bridge"
	"outbridge/bridge/web"
)

// pages of a log.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

// take is what was written since the last time.
func (l *logText) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

// TestRefusedSignIns: whoever does not get in is one line at Warn, with the address and who was tried, and without what was
// tried.
func TestRefusedSignIns(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var log logText
	d.handler.Log = slog.New(slog.NewTextHandler(&log, nil))
	line := func(what, address, part, user string) {
		t.Helper()
		text := log.take()
		want := `^time=\S+ level=WARN msg="sign-in refused" address=` + regexp.QuoteMeta(address) + ` part=` + part + ` user=` + user + "\n$"
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("%s: the log is\n%s", what, text)
		}
	}
	p := d.from("192.0.2.7")
	p.post("/setup", "code", "WRONG-WRONG", "password", adminPassword, "repeat", adminPassword)
	line("a wrong setup code", "192.0.2.7", "page", "setup")
	d.setPassword(adminPassword)
	for range 6 { // the last are too many
		p.post("/sign-in", "password", "a wrong guess")
		line("a wrong password", "192.0.2.7", "page", "administrator")
	}
	six := d.from("2001:db8::7")
	six.post("/sign-in", "password", "a wrong guess")
	line("a wrong password by IPv6", "2001:db8::7", "page", "administrator")
	six.post("/sign-in", "password", adminPassword)
	six.post("/settings/password", "current", "a wrong guess", "password", "other words", "repeat", "other words")
	line("a change with a wrong password", "2001:db8::7", "page", "administrator")
	p.get("/feeds/aaaaaaaaaaaaaaaaaaaaaaaaaa.ics")
	line("no such feed", "192.0.2.7", "feed", `""`)
	p.get("/profile/aaaaaaaaaaaaaaaaaaaaaaaaaa.mobileconfig")
	line("no such profile", "192.0.2.7", "page", `""`)

	url, _ := d.feed(bridge.Feed{})
	p.get(strings.TrimPrefix(url, d.url))
	p.get("/sign-in")
	p.get("/")
	if text := log.take(); strings.Contains(text, "refused") {
		t.Errorf("who gets in is refused:\n%s", text)
	}
}

// TestPanics: a handler that panics is an error in the log, with its cause and where it was, and without any secret that
// the request has; and an answer, unless one has begun.
func TestPanics(t *testing.T) {
	t.Parallel()
	const secret, password = "abcdefghijklmnopqrstuvwx23", "correct horse battery"
	for name, c := range map[string]struct {
		path  string
		begun bool
		cause func(r *http.Request) any
		says  string
	}{
		"an index":              {path: "/", cause: func(r *http.Request) any { return r.Header["Absent"][1] }, says: "index out of range"},
		"an error with a path":  {path: "/feeds/" + secret + ".ics", cause: func(r *http.Request) any { return errors.New("open " + r.URL.Path) }, says: "open /feeds/…"},
		"a text with a profile": {path: "/profile/" + secret + ".mobileconfig", cause: func(r *http.Request) any { return r.URL.String() }, says: "/profile/…"},
		"a whole request":       {path: "/sign-in?code=4711-0815", cause: func(r *http.Request) any { return fmt.Sprint(r.Header, r.PostForm, r.URL) }, says: "…"},
		"in an answer":          {path: "/", begun: true, cause: func(r *http.Request) any { return "half of it" }, says: "half of it"},
	} {
		var log logText
		e := &web.Edge{Log: slog.New(slog.NewTextHandler(&log, nil)), Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			w.Header().Set("ETag", `"x"`)
			if c.begun {
				_, _ = w.Write([]byte("half"))
				_ = http.NewResponseController(w).Flush()
			}
			panic(c.cause(r))
		})}
		server := httptest.NewServer(e)
		defer server.Close()
		req, err := http.NewRequest("POST", server.URL+c.path, strings.NewReader("password=correct+horse+battery&current="+secret))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Cookie", "outbridge="+secret)
		req.SetBasicAuth("alice", password)
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			got := resp.StatusCode
			var b bytes.Buffer
			_, err = b.ReadFrom(resp.Body)
			resp.Body.Close()
			if !c.begun && (err != nil || got != 500 || resp.Header.Get("ETag") != "") || c.begun && err == nil {
				t.Errorf("%s: %d %v, %v: %s", name, got, resp.Header, err, b.String())
			}
		} else if !c.begun {
			t.Errorf("%s: %v", name, err)
		}
		text := log.take()
		if !strings.Contains(text, "level=ERROR") || !strings.Contains(text, c.says) || !strings.Contains(text, "refused_test.go") {
			t.Errorf("%s: the log is\n%s", name, text)
		}
		for _, hidden := range []string{secret, password, "correct+horse", "YWxpY2U6", "4711"} {
			if strings.Contains(text, hidden) {
				t.Errorf("%s: %s is in the log:\n%s", name, hidden, text)
			}
		}
	}
}

// failing fails with errors that name what was looked for, as a driver might.
type failing struct{ web.Store }

func (failing) FeedBySecret(_ context.Context, secret string) (bridge.Feed, error) {
	return bridge.Feed{}, errors.New("no file to look for " + secret)
}

// TestTroubleWithoutSecret: what fails is logged with its cause, and without the address of a feed.
func TestTroubleWithoutSecret(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var log logText
	h := &web.Handler{Store: failing{s.store}, Feeds: s.files(nil), Log: slog.New(slog.NewTextHandler(&log, nil))}
	const secret = "abcdefghijklmnopqrstuvwx23"
	rec := httptest.NewRecorder()
	h.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/feeds/"+secret+".ics", nil))
	if text := log.take(); rec.Code != 503 || !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "no file to look for …") || strings.Contains(text, secret) {
		t.Errorf("%d\n%s", rec.Code, text)
	}
}

// TestHSTS: browsers are told to use https where that is the address, and never over plain http.
func TestHSTS(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		public, proto string
		tls, want     bool
	}{
		"http":                          {public: "http://127.0.0.1:8080"},
		"https, by a silent proxy":      {public: "https://calendar.example.com", want: true},
		"https, by a proxy":             {public: "https://calendar.example.com", proto: "https", want: true},
		"https, but this came by http":  {public: "https://calendar.example.com", proto: "http"},
		"TLS of our own":                {public: "https://calendar.example.com", tls: true, want: true},
		"TLS of our own, no public URL": {public: "http://127.0.0.1:8080", tls: true, want: true},
		"a proxy with TLS, http URL":    {public: "http://127.0.0.1:8080", proto: "https"},
	} {
		d := newDesk(t)
		d.edge.PublicURL = c.public
		for _, path := range []string{"/", "/feeds/x.ics", "/healthz", "/nothing"} {
			p := d.somebody()
			for key, value := range map[string]string{"X-Forwarded-Proto": c.proto, "Test-TLS": map[bool]string{true: "yes"}[c.tls]} {
				if value != "" {
					p.header.Set(key, value)
				}
			}
			got := p.get(path).Header.Get("Strict-Transport-Security")
			if (got != "") != c.want || c.want && !regexp.MustCompile(`^max-age=[1-9][0-9]{7,}$`).MatchString(got) {
				t.Errorf("%s, %s: %q", name, path, got)
			}
		}
	}
}

// TestMetricsHost: metrics are for the hosts that pages are for, so that no site can read them by a name of its own.
func TestMetricsHost(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.handler = &web.Handler{Store: d.store, Feeds: d.handler.Feeds, PublicURL: "http://calendar.localhost:8080", Log: d.handler.Log, Metrics: web.NewMetrics("test"), Accounts: d.accounts}
	d.edge.Next, d.edge.PublicURL = d.handler.Handler(), d.handler.PublicURL
	for host, want := range map[string]int{
		"": 200, "localhost:9": 200, "127.0.0.1": 200, "[::1]:80": 200, "calendar.localhost:8080": 200, "CALENDAR.localhost": 200,
		"rebound.example": 421, "calendar.localhost.rebound.example:8080": 421, "127.0.0.1.rebound.example": 421,
	} {
		p := d.somebody()
		if host != "" {
			p.header.Set("Host", host)
		}
		if got := p.get("/metrics"); got.StatusCode != want || (want == 200) != strings.Contains(got.body, "outbridge_build_info") {
			t.Errorf("%q: %s", host, got.Status)
		}
		if got := p.get("/sign-in").StatusCode; (got == 421) != (want == 421) {
			t.Errorf("%q: a page is answered %d", host, got)
		}
	}
}
