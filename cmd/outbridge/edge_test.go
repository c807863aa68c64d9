package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"outbridge/bridge/web"
	"path/filepath"
	"strings"
	"testing"
)

// TestEdge: who may send a password, and whom the handlers take for the client.
func TestEdge(t *testing.T) {
	t.Parallel()
	const proxy, stranger, here = "10.0.0.2:4000", "192.0.2.7:4000", "127.0.0.1:4000"
	for name, c := range map[string]struct {
		trusted any
		peer    string
		tls     bool
		path    string // default /dav/
		forward string // X-Forwarded-For
		proto   string // X-Forwarded-Proto
		want    int
		client  string // as the handlers see it; "": the peer
	}{
		"this machine":                                  {peer: here, want: 200},
		"this machine by IPv6":                          {peer: "[::1]:4000", want: 200},
		"this machine by IPv4 in IPv6":                  {peer: "[::ffff:127.0.0.1]:4000", want: 200},
		"another machine":                               {peer: stranger, want: 403},
		"another machine, pages":                        {peer: stranger, path: "/", want: 403},
		"another machine, feed":                         {peer: stranger, path: "/feeds/x.ics", want: 200},
		"another machine, health":                       {peer: stranger, path: "/healthz", want: 200},
		"another machine, discovery":                    {peer: stranger, path: "/.well-known/caldav", want: 403},
		"another machine, own TLS":                      {peer: stranger, tls: true, want: 200},
		"a proxy that nobody trusts":                    {peer: proxy, proto: "https", forward: "192.0.2.7", want: 403},
		"a proxy on this machine":                       {peer: here, proto: "https", forward: "192.0.2.7", want: 200},
		"a proxy on this machine without TLS":           {peer: here, proto: "http", forward: "192.0.2.7", want: 403},
		"a proxy on this machine, used here":            {peer: here, proto: "http", forward: "127.0.0.1", want: 200},
		"the trusted proxy":                             {trusted: []any{"10.0.0.0/8"}, peer: proxy, proto: "https", forward: "192.0.2.7", want: 200, client: "192.0.2.7:0"},
		"the trusted proxy by address":                  {trusted: "10.0.0.2", peer: proxy, proto: "https", forward: "192.0.2.7", want: 200, client: "192.0.2.7:0"},
		"the trusted proxy, silent":                     {trusted: []any{"10.0.0.2"}, peer: proxy, want: 200},
		"the trusted proxy without TLS":                 {trusted: []any{"10.0.0.2"}, peer: proxy, proto: "http", forward: "192.0.2.7", want: 403},
		"the trusted proxy, a chain":                    {trusted: []any{"10.0.0.0/8"}, peer: proxy, proto: "https", forward: "198.51.100.1, 192.0.2.7, 10.0.0.9", want: 200, client: "192.0.2.7:0"},
		"the trusted proxy, a forged chain":             {trusted: []any{"10.0.0.2"}, peer: proxy, proto: "https", forward: "127.0.0.1, 192.0.2.7", want: 200, client: "192.0.2.7:0"},
		"the trusted proxy without TLS, a forged chain": {trusted: []any{"10.0.0.2"}, peer: proxy, proto: "http", forward: "127.0.0.1, 192.0.2.7", want: 403},
		"the trusted proxy, rubbish":                    {trusted: true, peer: proxy, proto: "https", forward: "unknown", want: 200},
		"past the trusted proxy":                        {trusted: []any{"10.0.0.2"}, peer: stranger, proto: "https", forward: "127.0.0.1", want: 403},
		"everybody is the proxy":                        {trusted: true, peer: stranger, want: 200},
	} {
		proxies, err := parseProxies(c.trusted)
		if err != nil {
			t.Fatal(name, err)
		}
		reached, secure := "", false
		e := &edge{proxies: proxies,
			dav: func(r *http.Request) bool {
				return strings.HasPrefix(r.URL.Path, "/dav/") || strings.HasPrefix(r.URL.Path, "/.well-known/")
			},
			next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reached, secure = r.RemoteAddr, r.TLS != nil })}
		if c.path == "" {
			c.path = "/dav/"
		}
		r := httptest.NewRequest("PROPFIND", c.path, nil)
		r.RemoteAddr = c.peer
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		for header, value := range map[string]string{"X-Forwarded-For": c.forward, "X-Forwarded-Proto": c.proto} {
			if value != "" {
				r.Header.Set(header, value)
			}
		}
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, r)
		if rec.Code != c.want {
			t.Errorf("%s: answered %d %s, want %d", name, rec.Code, rec.Body, c.want)
		}
		if rec.Code == 403 && (rec.Header().Get("WWW-Authenticate") != "" || !strings.Contains(rec.Body.String(), "https")) {
			t.Errorf("%s: the refusal asks for a password or says nothing: %s", name, rec.Body)
		}
		if want := c.tls || c.trusted != nil && c.proto == "https" && c.want == 200; secure != want {
			t.Errorf("%s: for the handlers it came by https: %t", name, secure)
		}
		if c.client == "" && c.want == 200 {
			c.client = c.peer
		}
		if reached != c.client {
			t.Errorf("%s: the handlers see %q, want %q", name, reached, c.client)
		}
	}
}

func TestTrustedProxyBad(t *testing.T) {
	t.Parallel()
	for _, bad := range []any{"", "proxy.example.com", "10.0.0.0/33", []any{"10.0.0.1", "x"}, []any{1}, 17, 1.5} {
		if _, err := parseProxies(bad); err == nil || !strings.HasPrefix(err.Error(), "trusted_proxy: ") {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestExposed(t *testing.T) {
	t.Parallel()
	for listen, open := range map[string]bool{
		"127.0.0.1:8080": false, "127.8.8.8:1": false, "[::1]:8080": false, "localhost:8080": false, "bridge.localhost:80": false,
		":8080": true, "0.0.0.0:8080": true, "[::]:8080": true, "192.0.2.1:8080": true, "calendar.example.com:80": true, "localhost.example.com:80": true,
	} {
		c := defaultConfig()
		c.Listen = listen
		if err := c.checkExposed(); (err != nil) != open {
			t.Errorf("%s alone: %v", listen, err)
		}
		c.proxies = proxies{all: true}
		if err := c.checkExposed(); err != nil {
			t.Errorf("%s behind a proxy: %v", listen, err)
		}
		c.proxies, c.TLS.Domains = proxies{}, []string{"calendar.example.com"}
		if err := c.checkExposed(); err != nil {
			t.Errorf("%s with TLS: %v", listen, err)
		}
	}
}

func TestMetricsShown(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef0123"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const local, remote = "http://127.0.0.1:8080", "https://calendar.example.com"
	for name, c := range map[string]struct {
		public, file, peer, header, value string
		trusted                           bool
		want                              int
	}{
		"this machine":                    {public: local, peer: "127.0.0.1:1", want: 200},
		"another machine":                 {public: local, peer: "192.0.2.7:1", want: 403},
		"through a proxy here":            {public: local, peer: "127.0.0.1:1", header: "X-Forwarded-For", value: "192.0.2.7", want: 403},
		"through a proxy that says Via":   {public: local, peer: "127.0.0.1:1", header: "Via", value: "1.1 proxy", want: 403},
		"public, maybe through a proxy":   {public: remote, peer: "127.0.0.1:1", want: 403},
		"trusted proxy":                   {public: local, trusted: true, peer: "127.0.0.1:1", want: 403},
		"with the token":                  {public: remote, file: file, peer: "192.0.2.7:1", header: "Authorization", value: "Bearer " + token, want: 200},
		"with another token":              {public: remote, file: file, peer: "127.0.0.1:1", header: "Authorization", value: "Bearer " + token[1:], want: 403},
		"without the token, from here":    {public: local, file: file, peer: "127.0.0.1:1", want: 403},
		"with the token as a basic login": {public: remote, file: file, peer: "127.0.0.1:1", header: "Authorization", value: "Basic " + token, want: 403},
	} {
		conf := defaultConfig()
		conf.PublicURL, conf.MetricsTokenFile, conf.proxies = c.public, c.file, proxies{all: c.trusted}
		shown, err := conf.metricsShown()
		if err != nil {
			t.Fatal(name, err)
		}
		e := &edge{metrics: web.NewMetrics("test"), shown: shown, dav: func(*http.Request) bool { return false }}
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.RemoteAddr = c.peer
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, r)
		if rec.Code != c.want || (rec.Code == 200) != strings.Contains(rec.Body.String(), "outbridge_build_info") {
			t.Errorf("%s: %d %.100s", name, rec.Code, rec.Body)
		}
	}
	for _, bad := range []string{"", "short\n", "               padded             \n"} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		conf := defaultConfig()
		conf.MetricsTokenFile = file
		if _, err := conf.metricsShown(); err == nil || !strings.Contains(err.Error(), "openssl rand") {
			t.Errorf("token %q: %v", bad, err)
		}
	}
}

// TestEdgeCounts: requests are counted by what they were, and whatever a client invents stays out of the labels.
func TestEdgeCounts(t *testing.T) {
	t.Parallel()
	conf := defaultConfig()
	conf.PublicURL = "http://127.0.0.1"
	shown, err := conf.metricsShown()
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{metrics: web.NewMetrics("test"), shown: shown, dav: func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/dav/") },
		next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/dav/":
				w.WriteHeader(http.StatusMultiStatus)
			case "/gone":
				panic(http.ErrAbortHandler)
			}
			_, _ = io.Copy(w, strings.NewReader("text"))
		})}
	server := httptest.NewServer(e)
	defer server.Close()
	for _, c := range [][2]string{{"PROPFIND", "/dav/"}, {"GET", "/feeds/secret.ics"}, {"GET", "/healthz"}, {"X-" + "SECRET", "/page"}, {"GET", "/gone"}, {"POST", "/graph/notify"}} {
		req, err := http.NewRequest(c[0], server.URL+c[1], nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		} else if c[1] != "/gone" {
			t.Error(err)
		}
	}
	status, text := fetch(t, "GET", server.URL+"/metrics", "", "")
	if status != 200 {
		t.Fatal(status, text)
	}
	for _, want := range []string{
		`outbridge_http_request_seconds_count{method="PROPFIND",part="dav",status="207"} 1`,
		`outbridge_http_request_seconds_count{method="GET",part="feed",status="200"} 1`,
		`outbridge_http_request_seconds_count{method="GET",part="health",status="200"} 1`,
		`outbridge_http_request_seconds_count{method="other",part="page",status="200"} 1`,
		`outbridge_http_request_seconds_count{method="POST",part="webhook",status="200"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
	if strings.Contains(text, "secret") || strings.Contains(text, "SECRET") {
		t.Error("what a client sent is in the metrics")
	}
}

// FuzzOrigin: whatever a stranger writes into the headers, it is nobody else and not safe, and what a trusted proxy passes
// on does not change who is asked about.
func FuzzOrigin(f *testing.F) {
	f.Add("192.0.2.7", "https")
	f.Add("127.0.0.1, ::1", "http")
	f.Add("unknown, [2001:db8::1]:80, fe80::1%eth0", "HTTPS, http")
	f.Add(",,", "")
	f.Fuzz(func(t *testing.T, forwarded, proto string) {
		r := httptest.NewRequest("PROPFIND", "/dav/", nil)
		r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Proto"] = []string{forwarded}, []string{proto}
		p, err := parseProxies([]any{"10.0.0.2"})
		if err != nil {
			t.Fatal(err)
		}
		r.RemoteAddr = "192.0.2.99:1"
		if client, safe := p.origin(r); safe || client.String() != "192.0.2.99" {
			t.Errorf("a stranger is %s, safe: %v", client, safe)
		}
		r.RemoteAddr = "10.0.0.2:1"
		if client, _ := p.origin(r); !client.IsValid() || client.Zone() != "" {
			t.Errorf("the trusted proxy's client is %s", client)
		}
	})
}
