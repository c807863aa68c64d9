package web_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/bridge/web"
)

const (
	setupCode     = "ABCDE-FGHIJ"
	adminPassword = "correct horse battery"
)

// desk is a site with all pages, an Edge, and a clock that tests move.
type desk struct {
	*site
	accounts *accountsAt
	handler  *web.Handler
	handlers []*web.Handler // handler, and those of other machines
	edge     *web.Edge
	twin     http.Handler // another machine, that serves every other request; nil: there is one
	requests atomic.Int64
	logTo    io.Writer

	mu    sync.Mutex
	clock time.Time
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	s := newSite(t)
	d := &desk{site: s, accounts: &accountsAt{site: s, client: "app"}, clock: time.Now(), logTo: t.Output()}
	d.handler = d.machine()
	d.edge = &web.Edge{Next: d.handler.Handler(), PublicURL: d.handler.PublicURL}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if peer := r.Header.Get("Test-Peer"); peer != "" { // tests cannot connect from another machine
			r.RemoteAddr = peer
		}
		if r.Header.Get("Test-TLS") != "" {
			r.TLS = &tls.ConnectionState{}
		}
		if d.twin != nil && d.requests.Add(1)%2 == 0 {
			d.twin.ServeHTTP(w, r)
			return
		}
		d.edge.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return d
}

// newTwins is a desk of two machines with one database, which take requests in turn.
func newTwins(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t)
	twin := d.machine()
	d.twin = &web.Edge{Next: twin.Handler(), PublicURL: twin.PublicURL}
	return d
}

func (d *desk) machine() *web.Handler {
	h := &web.Handler{Store: d.store, Feeds: d.files(d.now), PublicURL: "https://calendar.example.com", Version: "test", Accounts: d.accounts, Origins: originsAt{d.site},
		SetupCode: setupCode, Now: d.now, Zone: convert.Zone, Log: slog.New(slog.NewTextHandler(d.logTo, nil))}
	d.handlers = append(d.handlers, h)
	return h
}

// cookieOf is the name of a cookie of the desk's bridge, without what https puts before it.
func cookieOf(d *desk, name string) string {
	sum := sha256.Sum256([]byte(d.handler.PublicURL))
	return name + "-" + hex.EncodeToString(sum[:4])
}

func (d *desk) now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.clock
}

func (d *desk) later(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock = d.clock.Add(by)
}

// accountsAt implements web.Accounts on the simulated Outlook of a site; alice is in the configuration.
type accountsAt struct {
	*site
	mu      sync.Mutex
	client  string
	nudged  []string
	appOnly bool

	credential bridge.Credential
}

func (a *accountsAt) List(ctx context.Context) ([]web.Account, error) {
	list, err := a.store.AddedAccounts(ctx)
	all := []web.Account{{Name: "alice", Configured: true}}
	for _, one := range list {
		account := web.Account{Name: one.Name, Mailbox: one.Mailbox, Options: one.Options}
		if one.Policy != nil {
			account.Policy = *one.Policy
		}
		all = append(all, account)
	}
	return all, err
}

func (a *accountsAt) Account(ctx context.Context, name string) (web.Account, error) {
	list, err := a.List(ctx)
	for _, one := range list {
		if one.Name == name {
			return one, err
		}
	}
	return web.Account{}, cmp.Or(err, bridge.ErrNotFound)
}

func (a *accountsAt) Add(ctx context.Context, name, mailbox string) error {
	if strings.ContainsAny(name, " /") {
		return &web.Problem{Sentence: "That is no name.", Action: "Choose another."}
	}
	_, err := a.store.AddAccount(ctx, name, mailbox)
	return err
}

func (a *accountsAt) AddFor(ctx context.Context, wish string, id bridge.PersonID) (string, error) {
	name := strings.ToLower(wish)
	if _, err := a.store.AddAccount(ctx, name, ""); err != nil {
		return "", err
	}
	return name, a.store.SetOwner(ctx, name, id, false)
}

func (a *accountsAt) Remove(ctx context.Context, name string) error {
	return a.store.RemoveAccount(ctx, name)
}

func (a *accountsAt) SetPolicy(ctx context.Context, name string, p bridge.Policy) error {
	if name == "alice" {
		return &web.Problem{Sentence: "It is in the configuration file.", Action: "Change it there."}
	}
	row, err := a.store.EnsureAccount(ctx, name)
	if err != nil {
		return err
	}
	return a.store.SetPolicy(ctx, row.ID, p)
}

func (a *accountsAt) Nudge(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nudged = append(a.nudged, name)
}

func (a *accountsAt) Compare(ctx context.Context, name string) error {
	row, err := a.store.EnsureAccount(ctx, name)
	if err != nil {
		return err
	}
	a.Nudge(name)
	return a.store.AskAudit(ctx, row.ID, time.Now())
}

func (a *accountsAt) Pulse(string) bridge.Pulse { return bridge.Pulse{} }

func (a *accountsAt) App(context.Context) (web.App, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return web.App{Registration: bridge.Registration{ClientID: a.client, Tenant: "common"}, AppOnly: a.appOnly}, nil
}

func (a *accountsAt) Outlook(context.Context, string) ([]string, error) {
	return []string{"Calendar", "Family"}, nil
}

func (a *accountsAt) SetAccountOptions(ctx context.Context, name string, o bridge.AccountOptions) error {
	if name == "alice" {
		return nil
	}
	return a.store.SetAccountOptions(ctx, name, o)
}

func (a *accountsAt) Sync(ctx context.Context) (web.Sync, error) {
	o, err := a.store.Options(ctx)
	return web.Sync{Options: o, Configured: map[string]bool{"horizon": true}}, err
}

func (a *accountsAt) SetSync(ctx context.Context, o bridge.Options) (bool, error) {
	if o.Interval == "soon" {
		return false, &web.Problem{Sentence: "That is no interval."}
	}
	return o.Notifications, a.store.SetOptions(ctx, o)
}

func (a *accountsAt) SetApp(_ context.Context, r bridge.Registration, credential *bridge.Credential) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.client = r.ClientID
	if credential != nil {
		a.credential = *credential
	}
	return false, nil
}

func (a *accountsAt) authority() *graph.Authority {
	return &graph.Authority{LoginURL: a.sim.BaseURL, ClientID: "app", Scopes: graph.Scopes(a.sim.BaseURL), HTTP: a.sim.Client()}
}

func (a *accountsAt) DeviceCode(ctx context.Context, account string) (web.DeviceCode, error) {
	d, err := a.authority().DeviceCode(ctx)
	if err != nil {
		return web.DeviceCode{}, err
	}
	secret, err := json.Marshal(d.DeviceSecret)
	return web.DeviceCode{UserCode: d.UserCode, VerificationURI: d.VerificationURI, Expires: d.Expires, Secret: secret}, err
}

func (a *accountsAt) WaitForDevice(ctx context.Context, account string, code web.DeviceCode, other bool) error {
	var secret graph.DeviceSecret
	if err := json.Unmarshal(code.Secret, &secret); err != nil {
		return err
	}
	_, err := a.authority().Wait(ctx, secret)
	return err
}

func (a *accountsAt) BrowserURL(_ context.Context, _, redirectURI, state, verifier string) (string, error) {
	return a.authority().AuthCodeURL(redirectURI, state, verifier, ""), nil
}

func (a *accountsAt) Exchange(ctx context.Context, account string, back url.Values, redirectURI, verifier string, other bool) error {
	if err := a.authority().RedirectError(back); err != nil {
		return err
	}
	_, err := a.authority().Exchange(ctx, redirectURI, back.Get("code"), verifier)
	return err
}

// originsAt implements web.Origins over the store of a site.
type originsAt struct{ *site }

func (o originsAt) Outlook(ctx context.Context, object bridge.Object) (string, error) {
	s, err := o.b.SeriesOf(ctx, bridge.Policy{}, object.Calendar, object.Series)
	return s.Event.WebLink, err
}

func (o originsAt) Explain(ctx context.Context, w io.Writer, object bridge.Object, redact bool) error {
	s, err := o.b.SeriesOf(ctx, bridge.Policy{}, object.Calendar, object.Series)
	if err != nil {
		return err
	}
	return convert.Explain(w, s, redact)
}

// person has a browser of their own, which does not follow redirects.
type person struct {
	*desk
	client *http.Client
	// header is sent with every request; its Host is the host in the browser's address bar.
	header http.Header
}

func (d *desk) somebody() *person {
	jar, err := cookiejar.New(nil)
	if err != nil {
		d.Fatal(err)
	}
	return &person{desk: d, header: http.Header{}, client: &http.Client{Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// admin is a person who has signed in.
func (d *desk) admin() *person {
	d.Helper()
	d.setPassword(adminPassword)
	p := d.somebody()
	if got := p.post("/sign-in", "password", adminPassword); got.StatusCode != 303 {
		d.Fatalf("sign-in: %s\n%s", got.Status, got.body)
	}
	return p
}

func (d *desk) setPassword(password string) {
	d.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost) // HashPassword is slow
	if err == nil {
		err = d.store.SetAdministrator(d.Context(), string(hash), false)
	}
	if err != nil {
		d.Fatal(err)
	}
}

func (p *person) get(path string) answer { p.Helper(); return p.send("GET", path, nil) }

// post sends a form of alternating names and values.
func (p *person) post(path string, pairs ...string) answer {
	p.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return p.send("POST", path, form)
}

func (p *person) send(method, path string, form url.Values) answer {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), method, p.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		p.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", p.url)
	}
	for name, values := range p.header {
		req.Header[name] = values
	}
	if host := p.header.Get("Host"); host != "" {
		req.Host = host
	}
	resp, err := p.client.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	return readAnswer(p, resp)
}

func readAnswer(t testing.TB, resp *http.Response) answer {
	t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp, string(b)}
}
