package web_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/web"
)

// trusting makes web.Proxies from a network, an address, "all", or "" for nobody.
func trusting(text string) web.Proxies {
	if text == "" || text == "all" {
		return web.Proxies{All: text == "all"}
	}
	if !strings.Contains(text, "/") {
		text += "/32"
	}
	return web.Proxies{Nets: []netip.Prefix{netip.MustParsePrefix(text)}}
}

// TestEdge: who may send a password, and which client the handlers see.
func TestEdge(t *testing.T) {
	t.Parallel()
	const proxy, stranger, here = "10.0.0.2:4000", "192.0.2.7:4000", "127.0.0.1:4000"
	for name, c := range map[string]struct {
		trusted string // networks, or "all"
		peer    string
		tls     bool
		path    string // default /dav/
		forward string // X-Forwarded-For
		proto   string // X-Forwarded-Proto
		want    int
		client  string // as the handlers see it; "": the peer's
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
		"a proxy on this machine":                       {peer: here, proto: "https", forward: "192.0.2.7", want: 200, client: "192.0.2.7"},
		"a proxy on this machine without TLS":           {peer: here, proto: "http", forward: "192.0.2.7", want: 403},
		"a proxy on this machine, used here":            {peer: here, proto: "http", forward: "127.0.0.1", want: 200},
		"the trusted proxy":                             {trusted: "10.0.0.0/8", peer: proxy, proto: "https", forward: "192.0.2.7", want: 200, client: "192.0.2.7"},
		"the trusted proxy by address":                  {trusted: "10.0.0.2", peer: proxy, proto: "https", forward: "192.0.2.7", want: 200, client: "192.0.2.7"},
		"the trusted proxy, silent":                     {trusted: "10.0.0.2", peer: proxy, want: 200},
		"the trusted proxy without TLS":                 {trusted: "10.0.0.2", peer: proxy, proto: "http", forward: "192.0.2.7", want: 403},
		"the trusted proxy, a chain":                    {trusted: "10.0.0.0/8", peer: proxy, proto: "https", forward: "198.51.100.1, 192.0.2.7, 10.0.0.9", want: 200, client: "192.0.2.7"},
		"the trusted proxy, a forged chain":             {trusted: "10.0.0.2", peer: proxy, proto: "https", forward: "127.0.0.1, 192.0.2.7", want: 200, client: "192.0.2.7"},
		"the trusted proxy without TLS, a forged chain": {trusted: "10.0.0.2", peer: proxy, proto: "http", forward: "127.0.0.1, 192.0.2.7", want: 403},
		"the trusted proxy, rubbish":                    {trusted: "all", peer: proxy, proto: "https", forward: "unknown", want: 200},
		"the trusted proxy, forged to be here":          {trusted: "10.0.0.0/8", peer: proxy, proto: "http", forward: "127.0.0.1, 10.9.9.9", want: 403},
		"everybody is the proxy, forged to be here":     {trusted: "all", peer: stranger, proto: "http", forward: "127.0.0.1", want: 403},
		"the trusted proxy, a forged scheme":            {trusted: "10.0.0.2", peer: proxy, proto: "https, http", forward: "192.0.2.7", want: 403},
		"the trusted proxy, an address with a port":     {trusted: "10.0.0.2", peer: proxy, proto: "https", forward: "192.0.2.7:5555", want: 200, client: "192.0.2.7"},
		"the trusted proxy, an address in brackets":     {trusted: "10.0.0.2", peer: proxy, proto: "https", forward: "[2001:db8::1]", want: 200, client: "2001:db8::1"},
		"past the trusted proxy":                        {trusted: "10.0.0.2", peer: stranger, proto: "https", forward: "127.0.0.1", want: 403},
		"everybody is the proxy":                        {trusted: "all", peer: stranger, want: 200},
	} {
		reached, secure := "", false
		e := &web.Edge{Proxies: trusting(c.trusted),
			DAV: func(r *http.Request) bool {
				return strings.HasPrefix(r.URL.Path, "/dav/") || strings.HasPrefix(r.URL.Path, "/.well-known/")
			},
			Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				reached, secure = web.ClientOf(r).Addr.String(), web.ClientOf(r).HTTPS
			})}
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
		if want := c.tls || c.proto == "https" && c.want == 200; secure != want {
			t.Errorf("%s: for the handlers it came by https: %t", name, secure)
		}
		if c.client == "" && c.want == 200 {
			c.client = netip.MustParseAddrPort(c.peer).Addr().Unmap().String()
		}
		if reached != c.client {
			t.Errorf("%s: the handlers see %q, want %q", name, reached, c.client)
		}
	}
}

// TestSafeNetworks: clients that are named as safe need no TLS, and nobody becomes one by a header or through somebody else's proxy.
func TestSafeNetworks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trusted, peer, forward, proto string
		want                          int
	}{
		"inside":                              {peer: "100.64.3.4:4000", want: 200},
		"inside, IPv4 in IPv6":                {peer: "[::ffff:100.64.3.4]:4000", want: 200},
		"inside, by IPv6":                     {peer: "[fd7a::5]:4000", want: 200},
		"outside":                             {peer: "192.168.1.9:4000", want: 403},
		"outside, forged":                     {peer: "192.168.1.9:4000", forward: "100.64.3.4", want: 403},
		"a proxy inside that nobody trusts":   {peer: "100.64.3.4:4000", forward: "192.168.1.9", want: 403},
		"it says no TLS":                      {peer: "100.64.3.4:4000", proto: "http", want: 403},
		"behind the proxy, without TLS":       {trusted: "10.0.0.2", peer: "10.0.0.2:4000", forward: "100.64.3.4", proto: "http", want: 200},
		"behind the proxy, from outside":      {trusted: "10.0.0.2", peer: "10.0.0.2:4000", forward: "192.168.1.9", proto: "http", want: 403},
		"a proxy on this machine, from there": {peer: "127.0.0.1:4000", forward: "100.64.3.4", proto: "http", want: 200},
	} {
		e := &web.Edge{Proxies: trusting(c.trusted), DAV: func(*http.Request) bool { return true }, Next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
			SafeNets: []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fd7a::/16")}}
		r := httptest.NewRequest("PROPFIND", "/dav/", nil)
		r.RemoteAddr = c.peer
		for header, value := range map[string]string{"X-Forwarded-For": c.forward, "X-Forwarded-Proto": c.proto} {
			if value != "" {
				r.Header.Set(header, value)
			}
		}
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, r)
		if rec.Code != c.want {
			t.Errorf("%s: answered %d, want %d", name, rec.Code, c.want)
		}
	}
}

// TestClientOfPages: which client the pages count guesses for, and whether they mark the cookie as secure.
func TestClientOfPages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trusted, peer, tls, proto string
		forward                   string // %d: different in each request
		one                       bool   // all requests are of one client
		secure                    bool
	}{
		"strangers of their own TLS, forging":        {peer: "192.0.2.7:1", tls: "yes", forward: "198.51.100.%d", one: true, secure: true},
		"a proxy on this machine":                    {peer: "127.0.0.1:1", proto: "https", forward: "198.51.100.%d", secure: true},
		"a proxy on this machine, forged before it":  {peer: "127.0.0.1:1", proto: "https", forward: "198.51.100.%d, 192.0.2.7", one: true, secure: true},
		"this machine":                               {peer: "127.0.0.1:1", one: true},
		"a trusted proxy":                            {trusted: "10.0.0.2", peer: "10.0.0.2:1", proto: "https", forward: "198.51.100.%d", secure: true},
		"a trusted proxy, forged before it":          {trusted: "10.0.0.2", peer: "10.0.0.2:1", proto: "https", forward: "198.51.100.%d, 192.0.2.7", one: true, secure: true},
		"a chain of trusted proxies":                 {trusted: "10.0.0.0/8", peer: "10.0.0.2:1", proto: "https", forward: "192.0.2.7, 198.51.100.%d, 10.0.0.9", secure: true},
		"a trusted proxy that says nothing":          {trusted: "10.0.0.2", peer: "10.0.0.2:1", one: true},
		"a network of IPv6 behind a trusted proxy":   {trusted: "10.0.0.2", peer: "10.0.0.2:1", proto: "https", forward: "2001:db8::%d", one: true, secure: true},
		"networks of IPv6 behind a trusted proxy":    {trusted: "10.0.0.2", peer: "10.0.0.2:1", proto: "https", forward: "2001:db8:0:%d::1", secure: true},
		"an IPv4 address in IPv6 by a trusted proxy": {trusted: "10.0.0.2", peer: "10.0.0.2:1", proto: "https", forward: "::ffff:198.51.100.%d", secure: true},
	} {
		d := newDesk(t)
		d.setPassword(adminPassword)
		d.edge.Proxies = trusting(c.trusted)
		p := d.somebody()
		statuses := map[int]int{}
		for i := range 8 {
			p.header = http.Header{"Test-Peer": {c.peer}, "X-Forwarded-For": {strings.ReplaceAll(c.forward, "%d", fmt.Sprint(i+1))}, "Sec-Fetch-Site": {"same-origin"}}
			for key, value := range map[string]string{"Test-TLS": c.tls, "X-Forwarded-Proto": c.proto} {
				if value != "" {
					p.header.Set(key, value)
				}
			}
			statuses[p.post("/sign-in", "password", "wrong").StatusCode]++
		}
		if (statuses[429] == 3) != c.one || (statuses[429] == 0) == c.one {
			t.Errorf("%s: of eight guesses %d were too many", name, statuses[429])
		}
		d.later(time.Hour)
		got := p.post("/sign-in", "password", adminPassword)
		if got := got.Cookies(); len(got) != 2 || got[0].Secure != c.secure || got[1].Secure != c.secure {
			t.Errorf("%s: cookies %v", name, got)
		}
	}
}

func TestMetricsShown(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef0123"
	const local, remote = "http://127.0.0.1:8080", "https://calendar.example.com"
	for name, c := range map[string]struct {
		public, token, peer, header, value string
		trusted                            string
		want                               int
	}{
		"this machine":                    {public: local, peer: "127.0.0.1:1", want: 200},
		"another machine":                 {public: local, peer: "192.0.2.7:1", want: 403},
		"through a proxy that says https": {public: local, peer: "127.0.0.1:1", header: "X-Forwarded-Proto", value: "https", want: 403},
		"through a proxy that says who":   {public: local, peer: "127.0.0.1:1", header: "X-Real-Ip", value: "192.0.2.7", want: 403},
		"through a proxy here":            {public: local, peer: "127.0.0.1:1", header: "X-Forwarded-For", value: "192.0.2.7", want: 403},
		"through a proxy that says Via":   {public: local, peer: "127.0.0.1:1", header: "Via", value: "1.1 proxy", want: 403},
		"public, maybe through a proxy":   {public: remote, peer: "127.0.0.1:1", want: 403},
		"trusted proxy":                   {public: local, trusted: "all", peer: "127.0.0.1:1", want: 403},
		"with the token":                  {public: remote, token: token, peer: "192.0.2.7:1", header: "Authorization", value: "Bearer " + token, want: 200},
		"with another token":              {public: remote, token: token, peer: "127.0.0.1:1", header: "Authorization", value: "Bearer " + token[1:], want: 403},
		"without the token, from here":    {public: local, token: token, peer: "127.0.0.1:1", want: 403},
		"with the token as a basic login": {public: remote, token: token, peer: "127.0.0.1:1", header: "Authorization", value: "Basic " + token, want: 403},
	} {
		h := &web.Handler{PublicURL: c.public, Metrics: web.NewMetrics("test"), MetricsToken: c.token}
		e := &web.Edge{Next: h.Handler(), Proxies: trusting(c.trusted), PublicURL: c.public}
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
}

// TestEdgeCounts: requests are counted by part, and what clients invent does not get into the labels.
func TestEdgeCounts(t *testing.T) {
	t.Parallel()
	metrics := web.NewMetrics("test")
	site := (&web.Handler{PublicURL: "http://127.0.0.1", Metrics: metrics}).Handler()
	e := &web.Edge{Metrics: metrics, DAV: func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/dav/") },
		Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/metrics":
				site.ServeHTTP(w, r)
				return
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
	resp, err := http.Get(server.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	text := string(b)
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp.Status, text, err)
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

// FuzzOrigin: whatever headers a stranger sends, it is not taken for another client and is not safe; and what a client sends
// through a trusted proxy does not change which client the proxy reports.
func FuzzOrigin(f *testing.F) {
	f.Add("192.0.2.7", "https")
	f.Add("127.0.0.1, ::1", "http")
	f.Add("unknown, [2001:db8::1]:80, fe80::1%eth0", "HTTPS, http")
	f.Add(",,", "")
	f.Fuzz(func(t *testing.T, forwarded, proto string) {
		var client web.Client
		e := &web.Edge{Proxies: trusting("10.0.0.2"), Next: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { client = web.ClientOf(r) })}
		ask := func(peer string) web.Client {
			r := httptest.NewRequest("GET", "/feeds/x.ics", nil) // served to everybody
			r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Proto"], r.RemoteAddr = []string{forwarded}, []string{proto}, peer
			e.ServeHTTP(httptest.NewRecorder(), r)
			return client
		}
		if c := ask("192.0.2.99:1"); c.Safe || c.HTTPS || c.Local || c.Addr.String() != "192.0.2.99" {
			t.Errorf("a stranger is %+v", c)
		}
		if c := ask("10.0.0.2:1"); c.Local || !c.Addr.IsValid() || c.Addr.Zone() != "" {
			t.Errorf("the trusted proxy's client is %+v", c)
		}
	})
}
