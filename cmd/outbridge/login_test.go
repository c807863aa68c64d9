package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/sqlstore"
)

// visit opens an address as a browser does, and returns the page at the end of all redirects.
func visit(t *testing.T, address string) (int, string) {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, html.UnescapeString(string(b))
}

// with is an address with a query parameter set.
func with(t *testing.T, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

func TestLoginInBrowser(t *testing.T) {
	for _, tt := range []struct {
		name    string
		set     func(*graphsim.Server)
		account string // chosen on Microsoft's page; "" declines
		status  int
		page    string
		ok      bool
		says    string // in the terminal
	}{
		{"signed in", nil, "alice@contoso.example", 200, "You can close this window", true, "Signed in as alice@contoso.example. Calendars: Calendar, Family."},
		{"declined", nil, "", 403, "Try again and accept", false, "was declined.*Try again and accept.*AADSTS65004"},
		{"consent missing", func(s *graphsim.Server) { s.AdminScopes = []string{"Calendars.Read"} }, "alice@contoso.example", 403,
			"adminconsent?client_id=" + testClientID, false, "administrator has to allow.*adminconsent"},
		{"code refused", func(s *graphsim.Server) {
			s.Fault = func(r *http.Request) *graphsim.Fault {
				if strings.HasSuffix(r.URL.Path, "/token") {
					return &graphsim.Fault{AADSTS: 53003}
				}
				return nil
			}
		}, "alice@contoso.example", 403, "Conditional Access", false, "Conditional Access.*administrator"},
		{"login service down", func(s *graphsim.Server) {
			s.Fault = func(r *http.Request) *graphsim.Fault {
				if strings.HasSuffix(r.URL.Path, "/token") {
					return &graphsim.Fault{Status: 503}
				}
				return nil
			}
		}, "alice@contoso.example", 403, "trouble for now", false, "trouble for now"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sim := &graphsim.Server{ClientID: testClientID, RedirectURIs: []string{"http://localhost"}}
			if tt.set != nil {
				tt.set(sim)
			}
			box, _ := officeWeek(sim)
			o := newOutlook(t, sim, box)
			dir := writeConfig(t, o)
			p := start(t, dir, "login", "alice", "--flow", "browser", "--no-open")
			address := p.waitFor(`^(http\S+/authorize\?\S+)$`)[0]
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			if q.Get("code_challenge_method") != "S256" || q.Get("prompt") != "select_account" || len(q.Get("state")) < 20 {
				t.Errorf("address %s", address)
			}
			// Strangers who find the port learn nothing and end nothing.
			for _, answer := range []string{"/?code=x&state=guessed", "/?error=access_denied", "/"} {
				if status, page := visit(t, q.Get("redirect_uri")+answer); status != 400 || !strings.Contains(page, "not the sign-in") {
					t.Errorf("%s: %d %s", answer, status, page)
				}
			}
			for _, host := range []string{"127.0.0.1", "[::1]"} {
				other := strings.Replace(q.Get("redirect_uri"), "localhost", host, 1)
				if resp, err := http.Get(other + "/favicon.ico"); err != nil || resp.StatusCode != 404 {
					t.Errorf("%s: %v, %v", host, resp, err)
				}
			}
			status, page := visit(t, with(t, address, "account", tt.account))
			if status != tt.status || !strings.Contains(page, tt.page) {
				t.Errorf("%d %s", status, page)
			}
			p.waitFor(tt.says)
			<-p.done
			if (p.err == nil) != tt.ok {
				t.Errorf("it ended with %v", p.err)
			}
		})
	}
}

func TestLoginInBrowserTimesOut(t *testing.T) {
	sim := &graphsim.Server{ClientID: testClientID}
	box, _ := officeWeek(sim)
	dir := writeConfig(t, newOutlook(t, sim, box))
	p := start(t, dir, "login", "alice", "--flow", "browser", "--no-open", "--timeout", "50ms")
	p.waitFor("nobody signed in within 50ms.*outbridge login alice")
	<-p.done
	if p.err == nil {
		t.Error("it ended well")
	}
}

// The account of one mailbox does not silently become another's.
func TestLoginAsSomebodyElse(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box, _ := officeWeek(sim)
	boss := sim.AddMailbox("boss@contoso.example", "Boss", "UTC")
	boss.AddCalendar("Board", "")
	o := newOutlook(t, sim, box)
	dir := writeConfig(t, o)
	outbridge(t, dir, "login", "alice")
	outbridge(t, dir, "sync")
	if s := outbridge(t, dir, "status"); !strings.Contains(s, "signed in as alice@contoso.example") {
		t.Errorf("status %s", s)
	}
	o.person.Store(boss)
	p := start(t, dir, "login", "alice")
	p.waitFor("belongs to alice@contoso.example, and this sign-in is of boss@contoso.example.*--switch")
	<-p.done
	if p.err == nil {
		t.Error("it ended well")
	}
	outbridge(t, dir, "sync") // with the old sign-in
	if s := outbridge(t, dir, "status"); !strings.Contains(s, "signed in as alice@contoso.example") || !strings.Contains(s, "Family") {
		t.Errorf("status %s", s)
	}
	if s := outbridge(t, dir, "login", "alice", "--switch"); !strings.Contains(s, "Signed in as boss@contoso.example. Calendars: Calendar, Board.") {
		t.Errorf("login %s", s)
	}
	outbridge(t, dir, "sync")
	if s := outbridge(t, dir, "status"); !strings.Contains(s, "signed in as boss@contoso.example") || strings.Contains(s, "Family") || !strings.Contains(s, "Board") {
		t.Errorf("status %s", s)
	}
}

// TestSwitchBesideServer: a running server reads the mailbox of the person who has signed in last, although the access token of the one
// before would be good for an hour.
func TestSwitchBesideServer(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box, _ := officeWeek(sim)
	boss := sim.AddMailbox("boss@contoso.example", "Boss", "UTC")
	at := time.Now().UTC().AddDate(0, 0, 1).Truncate(time.Hour)
	boss.Calendar().Create(graphsim.Event{Subject: "Of the boss", Start: at, End: at.Add(time.Hour)})
	o := newOutlook(t, sim, box)
	s := serveFor(t, o)
	s.nextRound(t)
	o.person.Store(boss)
	outbridge(t, s.dir, "login", "alice", "--switch")
	eventually(t, "the calendars of the other person", func() bool {
		feed := s.body(t, s.feed)
		return strings.Contains(feed, "SUMMARY:Of the boss") && !strings.Contains(feed, "SUMMARY:School play")
	})
}

// What a refusal asks for goes into the next sign-in, whichever way that is.
func TestLoginMeetsTheClaims(t *testing.T) {
	t.Parallel()
	claims := `{"access_token":{"acrs":{"essential":true,"value":"c1"}}}`
	var refusing atomic.Bool
	var mu sync.Mutex
	asked := map[string]string{} // the last part of the path → claims
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	sim.Fault = func(r *http.Request) *graphsim.Fault {
		if refusing.Load() && strings.HasPrefix(r.URL.Path, "/v1.0/") {
			return &graphsim.Fault{Status: 401, Header: http.Header{"Www-Authenticate": {`Bearer realm="", error="insufficient_claims", claims="` + base64.StdEncoding.EncodeToString([]byte(claims)) + `"`}}}
		}
		if !strings.HasPrefix(r.URL.Path, "/v1.0/") {
			_ = r.ParseForm()
			mu.Lock()
			defer mu.Unlock()
			asked[filepath.Base(r.URL.Path)] = r.Form.Get("claims")
		}
		return nil
	}
	box, _ := officeWeek(sim)
	dir := writeConfig(t, newOutlook(t, sim, box))
	signIn := func(claims string) {
		t.Helper()
		outbridge(t, dir, "login", "alice")
		mu.Lock()
		defer mu.Unlock()
		if asked["devicecode"] != claims || asked["token"] != claims {
			t.Errorf("the sign-in asks for %v, want %q", asked, claims)
		}
	}
	signIn("")
	refusing.Store(true)
	if err := exec.Command("outbridge", "sync", "--config", filepath.Join(dir, "outbridge.toml")).Run(); err == nil {
		t.Error("the round is good")
	}
	if s := outbridge(t, dir, "status"); !strings.Contains(s, "policy of the organization") || !strings.Contains(s, "outbridge login alice") {
		t.Errorf("status %s", s)
	}
	refusing.Store(false)
	p := start(t, dir, "login", "alice", "--flow", "browser", "--no-open")
	if u, err := url.Parse(p.waitFor(`^(http\S+/authorize\?\S+)$`)[0]); err != nil || u.Query().Get("claims") != claims {
		t.Errorf("address %v, %v", u, err)
	}
	p.kill()
	signIn(claims)
	outbridge(t, dir, "sync")
	signIn("")
}

// Two programs on one database, both in need of a new access token, spend the refresh token once.
func TestTwoProcessesRenewOnce(t *testing.T) {
	t.Parallel()
	var on atomic.Bool
	var now, most, renewals atomic.Int64
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box, _ := officeWeek(sim)
	sim.Fault = func(r *http.Request) *graphsim.Fault {
		if !on.Load() || !strings.HasSuffix(r.URL.Path, "/token") {
			return nil
		}
		renewals.Add(1)
		most.Store(max(most.Load(), now.Add(1)))
		time.AfterFunc(500*time.Millisecond, func() { now.Add(-1) })
		return &graphsim.Fault{Delay: 500 * time.Millisecond}
	}
	dir := writeConfig(t, newOutlook(t, sim, box))
	outbridge(t, dir, "login", "alice")
	outbridge(t, dir, "sync")
	on.Store(true)
	sim.ExpireAccessTokens()
	var running []*process
	for range 3 {
		running = append(running, start(t, dir, "sync"))
	}
	for _, p := range running {
		<-p.done
		if p.err != nil {
			t.Errorf("it ended with %v", p.err)
		}
	}
	if renewals.Load() != 1 || most.Load() != 1 {
		t.Errorf("%d renewals, %d at once", renewals.Load(), most.Load())
	}
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestAppWithCertificate(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	certificate := func(days int) []byte {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().AddDate(0, 0, -2), NotAfter: time.Now().AddDate(0, 0, days).Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	good := certificate(365)
	both := append(pemOf("CERTIFICATE", good), pemOf("PRIVATE KEY", pkcs8)...)
	for _, tt := range []struct {
		name  string
		files map[string][]byte
		mode  os.FileMode
		lines string // of [microsoft]
		fails string // "": the round is good
		warns string // in status; "-": nothing
	}{
		{"one file", map[string][]byte{"app.pem": both}, 0o600, `certificate_file = "app.pem"`, "", "-"},
		{"two files", map[string][]byte{"app.crt": pemOf("CERTIFICATE", good), "app.key": pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))}, 0o600,
			"certificate_file = \"app.crt\"\ncertificate_key_file = \"app.key\"", "", "-"},
		{"ends soon", map[string][]byte{"app.pem": append(pemOf("CERTIFICATE", certificate(12)), pemOf("PRIVATE KEY", pkcs8)...)}, 0o600,
			`certificate_file = "app.pem"`, "", "certificate expires on .*, in 12 days: make a new one"},
		{"has ended", map[string][]byte{"app.pem": append(pemOf("CERTIFICATE", certificate(-1)), pemOf("PRIVATE KEY", pkcs8)...)}, 0o600,
			`certificate_file = "app.pem"`, "certificate has expired.*Make a new one", "certificate expired on"},
		{"readable by all", map[string][]byte{"app.pem": both}, 0o644, `certificate_file = "app.pem"`, "anyone on this machine can read.*chmod 600", "chmod 600"},
		{"no key", map[string][]byte{"app.pem": pemOf("CERTIFICATE", good)}, 0o600, `certificate_file = "app.pem"`, "no private key.*certificate_key_file", "no private key"},
		{"not RSA", map[string][]byte{"app.pem": append(pemOf("CERTIFICATE", good), pemOf("PRIVATE KEY", ecDER)...)}, 0o600, `certificate_file = "app.pem"`, "not an RSA key", "not an RSA key"},
		{"missing", nil, 0o600, `certificate_file = "app.pem"`, "microsoft.certificate_file: there is no file .*app.pem", "app.pem"},
		{"secret, end known", map[string][]byte{"secret": []byte("right\n")}, 0o600,
			fmt.Sprintf("client_secret_file = \"secret\"\nclient_secret_expires = %q", time.Now().AddDate(0, 0, 8).Format(time.DateOnly)), "",
			"client secret expires on .*, in 7 days.*client_secret_expires"},
		{"secret, end far", map[string][]byte{"secret": []byte("right\n")}, 0o600, "client_secret_file = \"secret\"\nclient_secret_expires = \"2999-12-31\"", "", "-"},
		{"secret, empty", map[string][]byte{"secret": []byte("\n")}, 0o600, `client_secret_file = "secret"`, "is empty", "-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sim := &graphsim.Server{ClientID: testClientID}
			for name, b := range tt.files {
				if block, _ := pem.Decode(b); block != nil && name != "app.key" {
					cert, err := x509.ParseCertificate(block.Bytes)
					if err != nil {
						t.Fatal(err)
					}
					sim.Certificates = []*x509.Certificate{cert}
				} else if name == "secret" {
					sim.ClientSecret = "right"
				}
			}
			box, _ := officeWeek(sim)
			o := newOutlook(t, sim, box)
			dir := t.TempDir()
			for name, b := range tt.files {
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, b, tt.mode); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(path, tt.mode); err != nil {
					t.Fatal(err)
				}
			}
			config := fmt.Sprintf("[microsoft]\ncloud = \"custom\"\nlogin_url = %q\ngraph_url = %q\ntenant = \"contoso.example\"\nclient_id = %q\n%s\n[[account]]\nname = \"alice\"\nmailbox = %q\n",
				o.url, o.url, testClientID, tt.lines, box.Address())
			if err := os.WriteFile(filepath.Join(dir, "outbridge.toml"), []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			p := start(t, dir, "sync")
			<-p.done
			if (p.err == nil) != (tt.fails == "") {
				t.Errorf("it ended with %v", p.err)
			}
			p.waitFor(tt.fails)
			text := outbridge(t, dir, "status")
			var report struct {
				Credential struct{ Kind, Expires, Warning string }
			}
			if err := json.Unmarshal([]byte(outbridge(t, dir, "status", "--json")), &report); err != nil {
				t.Fatal(err)
			}
			if tt.warns == "-" {
				if strings.Contains(text, "Warning") || report.Credential.Warning != "" {
					t.Errorf("status %s", text)
				}
			} else if !matches(tt.warns, text) || !matches(tt.warns, report.Credential.Warning) {
				t.Errorf("status %s, %+v", text, report)
			}
		})
	}
}

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }

// A permission is asked for with the feature that takes it; one that comes later waits for the next sign-in, and only what
// needs it waits.
func TestScopesFollowTheConfiguration(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	var mu sync.Mutex
	asked := ""
	sim.Fault = func(r *http.Request) *graphsim.Fault {
		if strings.HasSuffix(r.URL.Path, "/devicecode") {
			mu.Lock()
			defer mu.Unlock()
			asked = r.FormValue("scope")
		}
		return nil
	}
	box, _ := officeWeek(sim)
	boss := sim.AddMailbox("boss@contoso.example", "Boss", "UTC")
	boss.Calendar().Share(box)
	o := newOutlook(t, sim, box)
	dir := writeConfig(t, o)
	file := filepath.Join(dir, "outbridge.toml")
	scopes := func(names ...string) string {
		for i := range names {
			names[i] = o.url + "/" + names[i]
		}
		return strings.Join(names, " ")
	}
	signIn := func(names ...string) {
		t.Helper()
		outbridge(t, dir, "login", "alice")
		mu.Lock()
		defer mu.Unlock()
		if got := strings.Replace(asked, " offline_access", "", 1); got != scopes(names...) || got == asked {
			t.Errorf("asked for %q", asked)
		}
	}
	signIn("Calendars.Read", "User.Read")
	config, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	config = append(config, "shared = [\"boss@contoso.example\"]\n"...)
	if err := os.WriteFile(file, []byte(strings.Replace(string(config), "[sync]\n", "[sync]\nmailbox_settings = true\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	sync := start(t, dir, "sync")
	<-sync.done
	if s := outbridge(t, dir, "status"); !strings.Contains(s, "Family") || strings.Contains(s, "Boss") {
		t.Errorf("without the permission: %s", s)
	}
	signIn("Calendars.Read", "User.Read", "Calendars.Read.Shared", "MailboxSettings.Read")
	outbridge(t, dir, "sync")
	if s := outbridge(t, dir, "status"); !strings.Contains(s, "Family") || !strings.Contains(s, "Boss") {
		t.Errorf("with the permission: %s", s)
	}
}

// However many mailboxes an app reads, it asks for one token.
func TestAppAccountsShareAToken(t *testing.T) {
	t.Parallel()
	var tokens atomic.Int64
	sim := &graphsim.Server{ClientID: testClientID, ClientSecret: "right", Fault: func(r *http.Request) *graphsim.Fault {
		if strings.HasSuffix(r.URL.Path, "/token") {
			tokens.Add(1)
		}
		return nil
	}}
	box, _ := officeWeek(sim)
	sim.AddMailbox("room@contoso.example", "Room", "UTC")
	o := newOutlook(t, sim, box)
	dir := t.TempDir()
	config := fmt.Sprintf("[microsoft]\ncloud = \"custom\"\nlogin_url = %q\ngraph_url = %q\ntenant = \"contoso.example\"\nclient_id = %q\nclient_secret_file = \"secret\"\n", o.url, o.url, testClientID)
	for _, name := range []string{"alice", "room"} {
		config += fmt.Sprintf("[[account]]\nname = %q\nmailbox = \"%s@contoso.example\"\n", name, name)
	}
	for name, text := range map[string]string{"outbridge.toml": config, "secret": "right"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	outbridge(t, dir, "sync")
	if s := outbridge(t, dir, "status"); tokens.Load() != 1 || strings.Count(s, ": ok") != 2 {
		t.Errorf("%d requests for tokens; status %s", tokens.Load(), s)
	}
}

// TestLoginOfPages signs in an account that was added on the pages, as `status` and `doctor` say it is done.
func TestLoginOfPages(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, AutoApprove: true, DeviceInterval: time.Second}
	box, _ := officeWeek(sim)
	dir := writeConfig(t, newOutlook(t, sim, box))
	outbridge(t, dir, "status")
	key, err := sqlstore.ReadKey(filepath.Join(dir, "outbridge.key"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlstore.Open(t.Context(), filepath.Join(dir, "outbridge.db"), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.AddAccount(t.Context(), "kim", ""); err != nil {
		t.Fatal(err)
	}
	store.Close()
	if out := outbridge(t, dir, "login", "kim"); !strings.Contains(out, "Signed in as "+box.Address()) {
		t.Errorf("login kim: %s", out)
	}
}
