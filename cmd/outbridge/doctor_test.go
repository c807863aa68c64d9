package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// examined is what the doctor has said.
type examined struct {
	code     int
	OK       bool
	Findings []finding
	stderr   string
}

// examine runs the doctor with another configuration file in the folder.
func examine(t *testing.T, dir, config string, env ...string) examined {
	t.Helper()
	file := filepath.Join(dir, "examined.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("outbridge", "doctor", "--json", "--config", file)
	cmd.Dir, cmd.Env = dir, append(append(os.Environ(), "TMPDIR="+dir, "HOME="+dir), env...)
	out, err := cmd.Output()
	var x examined
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		x.code, x.stderr = exit.ExitCode(), string(exit.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &x); err != nil {
		t.Fatalf("doctor --json: %v\n%s%s", err, out, x.stderr)
	}
	if x.OK != (x.code == 0) || x.code > 1 {
		t.Errorf("ok is %v, and the exit code %d", x.OK, x.code)
	}
	return x
}

// requires checks that the doctor has found that, and that the words of the fix are there.
func (x examined) requires(t *testing.T, name, check, result, fix string) {
	t.Helper()
	for _, f := range x.Findings {
		if f.Check == check && f.Result == result && strings.Contains(f.Fix, fix) {
			if (result == resultBroken || result == resultWarning) && fix == "" {
				t.Errorf("%s: no fix is asked for", name)
			}
			if f.Result == resultBroken && x.OK {
				t.Errorf("%s: something is broken, and all is well", name)
			}
			return
		}
	}
	t.Errorf("%s: %s is not %s with the fix %q:\n%s", name, check, result, fix, x)
}

func (x examined) String() string {
	var b strings.Builder
	for _, f := range x.Findings {
		fmt.Fprintf(&b, "%s %s: %s → %s\n", f.Result, f.Check, f.Detail, f.Fix)
	}
	return b.String() + x.stderr
}

// proxied is a reverse proxy before the server at the address given, and what it does wrong.
func proxied(t *testing.T, to string, wrong func(next http.Handler) http.Handler) string {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	var h http.Handler = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		r.Out.Host = r.In.Host
		for _, header := range []string{"X-Forwarded-For", "X-Forwarded-Proto"} {
			if v := r.In.Header.Get(header); v != "" {
				r.Out.Header.Set(header, v)
			}
		}
	}}
	if wrong != nil {
		h = wrong(h)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// doctored is a whole installation that is well, and the text of its configuration.
type doctored struct {
	*served
	o      *outlook
	config string
	skew   atomic.Int64 // seconds that Outlook's clock is ahead
	tenant atomic.Bool  // the tenant is unknown
}

func newDoctored(t *testing.T) *doctored {
	t.Helper()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box, _ := officeWeek(sim)
	d := &doctored{o: newOutlook(t, sim, box)}
	d.served = serveFor(t, d.o)
	eventually(t, "the first round", func() bool { return strings.Contains(d.body(t, d.feed), "SUMMARY:School play") })
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "openid-configuration") && d.tenant.Load() {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_tenant","error_description":"AADSTS90002: Tenant 'nowhere' not found.","error_codes":[90002]}`)
			return
		}
		if s := d.skew.Load(); s != 0 {
			w.Header().Set("Date", time.Now().Add(time.Duration(s)*time.Second).UTC().Format(http.TimeFormat))
		}
		d.o.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	b, err := os.ReadFile(filepath.Join(d.dir, "outbridge.toml"))
	if err != nil {
		t.Fatal(err)
	}
	d.config = strings.ReplaceAll(string(b), d.o.url, front.URL)
	return d
}

// at is the configuration with another public_url, and more keys before its tables.
func (d *doctored) at(publicURL, more string) string {
	return fmt.Sprintf("public_url = %q\n%s\n%s", publicURL, more, d.config)
}

func TestDoctorWell(t *testing.T) {
	t.Parallel()
	d := newDoctored(t)
	x := examine(t, d.dir, d.at(d.url, ""))
	if x.code != 0 {
		t.Errorf("exit code %d:\n%s", x.code, x)
	}
	for _, check := range []string{"configuration", "listen", "key", "database", "login service", "Microsoft Graph", "clock", "account alice", "server", "discovery", "feed"} {
		x.requires(t, "a good installation", check, resultOK, "")
	}
	for _, kind := range []string{"password", "feed"} {
		if list := outbridge(t, d.dir, kind, "list"); strings.Contains(list, "doctor") || strings.Count(list, "\n") != 2 {
			t.Errorf("the doctor has left something behind:\n%s", list)
		}
	}
	if files, err := filepath.Glob(filepath.Join(d.dir, "feed-cache", "*")); err != nil || len(files) != 3 {
		t.Errorf("besides the files of the one feed: %q, %v", files, err)
	}
	text := outbridge(t, d.dir, "doctor", "--config", "examined.toml")
	if !strings.Contains(text, "ok       discovery: calendar apps find 2 calendars") {
		t.Errorf("as text:\n%s", text)
	}
}

// TestDoctorProxy: what a reverse proxy can do wrong, each named with its fix.
func TestDoctorProxy(t *testing.T) {
	t.Parallel()
	d := newDoctored(t)
	path := func(prefix string, status int) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, prefix) {
					w.WriteHeader(status)
					return
				}
				next.ServeHTTP(w, r)
			})
		}
	}
	change := func(f func(w http.ResponseWriter, r *http.Request) bool) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if f(w, r) {
					next.ServeHTTP(w, r)
				}
			})
		}
	}
	for name, c := range map[string]struct {
		wrong              func(http.Handler) http.Handler
		check, result, fix string
	}{
		"a good proxy":    {nil, "discovery", resultOK, ""},
		"bad gateway":     {path("/", 502), "server", resultBroken, "Have the proxy pass requests to 127.0.0.1:0"},
		"another site":    {path("/", 404), "server", resultBroken, "pass every path to"},
		"no .well-known":  {path("/.well-known/", 404), "discovery", resultBroken, "/.well-known/caldav and /dav/"},
		"no /dav/":        {path("/dav/", 404), "discovery", resultBroken, "docs/operations.md has recipes"},
		"no feeds":        {path("/feeds/", 404), "feed", resultBroken, "pass /feeds/ to the bridge"},
		"its own sign-in": {path("/feeds/", 401), "feed", resultBroken, "without a password"},
		"redirects to home": {change(func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "https://www.example.com/", http.StatusFound)
			return false
		}), "server", resultBroken, "Set public_url to the address that it redirects to"},
		"PROPFIND refused": {change(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == "PROPFIND" {
				w.WriteHeader(405)
				return false
			}
			return true
		}), "discovery", resultBroken, "OPTIONS, PROPFIND"},
		"REPORT refused": {change(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == "REPORT" {
				w.WriteHeader(501)
				return false
			}
			return true
		}), "discovery", resultBroken, "OPTIONS, PROPFIND"},
		"Authorization dropped": {change(func(w http.ResponseWriter, r *http.Request) bool { r.Header.Del("Authorization"); return true }), "discovery", resultBroken, "pass on the Authorization header"},
		"says plain http": {change(func(w http.ResponseWriter, r *http.Request) bool {
			r.Header.Set("X-Forwarded-Proto", "http")
			r.Header.Set("X-Forwarded-For", "192.0.2.7")
			return true
		}), "discovery", resultBroken, "X-Forwarded-Proto: https"},
		"redirect rewritten": {func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/.well-known/") {
					http.Redirect(w, r, "http://bridge.internal:8080/dav/", http.StatusMovedPermanently)
					return
				}
				next.ServeHTTP(w, r)
			})
		}, "discovery", resultBroken, "with the Host header"},
		"weak tags": {func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(weakened{w}, r) })
		}, "discovery", resultWarning, "neither compress nor rewrite"},
		"tags of feeds dropped": {change(func(w http.ResponseWriter, r *http.Request) bool { r.Header.Del("If-None-Match"); return true }), "feed", resultWarning, "If-None-Match"},
	} {
		t.Run(name, func(t *testing.T) {
			x := examine(t, d.dir, d.at(proxied(t, d.url, c.wrong), ""))
			x.requires(t, name, c.check, c.result, c.fix)
		})
	}
}

// weakened makes every ETag weak, as a proxy that compresses does.
type weakened struct{ http.ResponseWriter }

func (w weakened) WriteHeader(status int) {
	if tag := w.Header().Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		w.Header().Set("ETag", "W/"+tag)
	}
	w.ResponseWriter.WriteHeader(status)
}

// TestDoctorServer: what is wrong with the machine, the files, the network and the sign-in.
func TestDoctorServer(t *testing.T) {
	t.Parallel()
	d := newDoctored(t)
	check := func(name, config, check, result, fix string, env ...string) {
		t.Helper()
		examine(t, d.dir, config, env...).requires(t, name, check, result, fix)
	}
	good := d.at(d.url, "")
	check("an unknown key", d.at(d.url, `lissen = "x"`), "configuration", resultBroken, "config.example.toml")
	check("no account", strings.Split(good, "[[account]]")[0], "accounts", resultBroken, "[[account]]")
	check("no client_id", strings.ReplaceAll(good, testClientID, ""), "app registration", resultBroken, "docs/admin.md")
	check("open to others", strings.ReplaceAll(good, "127.0.0.1:0", "0.0.0.0:8080"), "listen", resultBroken, "trusted_proxy")
	check("plain http", d.at("http://calendar.example.com", ""), "public_url", resultBroken, "https://")
	check("a name that leads nowhere", d.at("https://calendar.invalid", ""), "DNS", resultBroken, "A or AAAA record")
	check("another port", d.at("http://127.0.0.1:1", ""), "server", resultBroken, "Check that public_url")
	check("https where there is none", d.at("https"+strings.TrimPrefix(d.url, "http"), ""), "TLS", resultBroken, "Turn TLS on")

	check("a target of notifications that nobody answers at", good+"[notify]\nurls = [\"ntfy://127.0.0.1:1/topic?scheme=http\"]\n", "notify", resultBroken, "settings page")
	check("one that answers", good+"[notify]\nurls = [\"generic+"+d.url+"/hook\"]\n", "notify", resultOK, "")
	check("one of which only the library knows", good+"[notify]\nurls = [\"telegram://123:abc@telegram?chats=@me\"]\n", "notify", resultSkipped, "")
	check("one's own mailbox as shared", strings.Replace(good, "[[account]]", "[[account]]\nshared = [\"alice@contoso.example\"]", 1), "account alice", resultWarning, "Follow the message")

	d.skew.Store(int64((10 * time.Minute).Seconds()))
	check("a clock that is wrong", good, "clock", resultBroken, "timedatectl")
	d.skew.Store(-int64((2 * time.Minute).Seconds()))
	check("a clock that is off", good, "clock", resultWarning, "timedatectl")
	d.skew.Store(0)
	d.tenant.Store(true)
	check("an unknown tenant", good, "login service", resultBroken, "microsoft.tenant")
	d.tenant.Store(false)
	check("no way out", strings.ReplaceAll(good, "graph_url = \"http://", "graph_url = \"http://127.0.0.2:1\"#"), "Microsoft Graph", resultBroken, "firewall")
	check("another mailbox that nobody has signed in to", good+"[[account]]\nname = \"bob\"\n", "account bob", resultBroken, "outbridge login bob")

	key := filepath.Join(d.dir, "outbridge.key")
	for _, mode := range []os.FileMode{0o644, 0o600} {
		if err := os.Chmod(key, mode); err != nil {
			t.Fatal(err)
		}
		if mode == 0o644 {
			x := examine(t, d.dir, good)
			x.requires(t, "a key that others may read", "key", resultBroken, "Follow the message above")
			if !strings.Contains(x.String(), "chmod 600") {
				t.Errorf("no chmod:\n%s", x)
			}
		}
	}
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	check("no key", good, "key", resultBroken, "Put the key back")
	if _, err := os.Stat(key); err == nil {
		t.Error("the doctor has made a key")
	}
	if err := os.WriteFile(key, []byte(strings.Repeat("ab", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	check("another key", good, "key", resultBroken, "Put the right key back")
	if err := os.Rename(key+".away", key); err != nil {
		t.Fatal(err)
	}

	d.o.RevokeTokens(d.o.box)
	d.o.ExpireAccessTokens()
	check("a sign-in that was revoked", good, "account alice", resultBroken, "outbridge login alice")

	d.end(os.Interrupt)
	check("no server", good, "server", resultBroken, "outbridge serve")
	database := filepath.Join(d.dir, "outbridge.db")
	b, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(b); i += 7 {
		b[i] ^= 0x5a
	}
	if err := os.WriteFile(database, b, 0o600); err != nil {
		t.Fatal(err)
	}
	check("a damaged database", good, "database", resultBroken, "outbridge restore FILE --force")
	if err := os.Remove(database); err != nil {
		t.Fatal(err)
	}
	check("no database", good, "database", resultBroken, "outbridge login alice")
	if _, err := os.Stat(database); err == nil {
		t.Error("the doctor has made a database")
	}
}

// TestDoctorTLS: what can be wrong with a certificate.
func TestDoctorTLS(t *testing.T) {
	t.Parallel()
	dir := bareConfig(t, "listen = \"0.0.0.0:0\"\n[tls]\ncert_file = \"cert.pem\"\nkey_file = \"tls.key\"\n")
	cert := filepath.Join(dir, "cert.pem")
	writeCert(t, cert, filepath.Join(dir, "tls.key"), 1)
	p := start(t, dir, "serve")
	address := "127.0.0.1:" + p.waitFor(`msg=serving listen=https://\S+:(\d+) `)[0]
	trust := "SSL_CERT_FILE=" + cert
	config := func(host string) string {
		_, port, _ := strings.Cut(address, ":")
		return fmt.Sprintf("public_url = \"https://%s:%s\"\n[microsoft]\ncloud = \"custom\"\nlogin_url = \"http://127.0.0.1:1\"\ngraph_url = \"http://127.0.0.1:1\"\n", host, port)
	}
	examine(t, dir, config("127.0.0.1")).requires(t, "nobody's certificate", "TLS", resultBroken, "Let's Encrypt")
	examine(t, dir, config("127.0.0.2"), trust).requires(t, "another name's certificate", "TLS", resultBroken, "certificate for that name")
	x := examine(t, dir, config("127.0.0.1"), trust)
	x.requires(t, "a certificate that ends in an hour", "TLS", resultWarning, "Renew")
	x.requires(t, "own TLS", "server", resultOK, "")
	outbridge(t, dir, "healthcheck", "--config", writeAt(t, dir, "health.toml", fmt.Sprintf("listen = %q\n[tls]\ncert_file = \"cert.pem\"\nkey_file = \"tls.key\"\n", address)))
	// A server that was not told to take notifications, and one that was.
	notified := func(address string) string {
		return fmt.Sprintf("public_url = \"https://%s\"\n[sync]\nnotifications = true\n[microsoft]\ncloud = \"custom\"\nlogin_url = \"http://127.0.0.1:1\"\ngraph_url = \"http://127.0.0.1:1\"\n", address)
	}
	examine(t, dir, notified(address), trust).requires(t, "no notifications", "notifications", resultBroken, "POST /graph/notify")
	p.end(os.Interrupt)
	editConfig(t, dir, "listen = ", "public_url = \"https://calendar.example.com\"\nsync.notifications = true\nlisten = ")
	p = start(t, dir, "serve")
	address = "127.0.0.1:" + p.waitFor(`msg=serving listen=https://\S+:(\d+) `)[0]
	examine(t, dir, notified(address), trust).requires(t, "notifications", "notifications", resultOK, "")
	p.end(os.Interrupt)
}

func writeAt(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
