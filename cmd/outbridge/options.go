package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pelletier/go-toml/v2"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/round"
	"outbridge/bridge/web"
)

// pageCredential is the app's secret or certificate as set on the pages, which changes while the server runs; the zero value where
// none was.
type pageCredential struct {
	atomic.Pointer[bridge.Credential]
}

func (c *pageCredential) get() bridge.Credential {
	if c == nil {
		return bridge.Credential{}
	}
	if kept := c.Load(); kept != nil {
		return *kept
	}
	return bridge.Credential{}
}

// inFile reports whether the file says what the app identifies itself with.
func (m *microsoftConfig) inFile() bool { return m.ClientSecretFile != "" || m.CertificateFile != "" }

// adoptOptions takes over what was set on the pages, where the configuration leaves it open. What the configuration has made
// impossible in the meantime is left out.
func (p *program) adoptOptions(o bridge.Options) {
	next := p.conf.withoutPages()
	next.take(o)
	if err := errors.Join(next.syncProblems()...); err != nil {
		p.log.Warn("how to sync, as set on the pages, does not fit the configuration: the defaults are used", "err", err)
		return
	}
	*p.conf = next
}

// take sets the keys of [sync] that the configuration does not have.
func (c *config) take(o bridge.Options) {
	for _, k := range []struct {
		name, value string
		to          *string
	}{{"interval", o.Interval, &c.Sync.Interval}, {"history", o.History, &c.Sync.History}, {"horizon", o.Horizon, &c.Sync.Horizon}} {
		if k.value != "" && !c.given["sync."+k.name] {
			*k.to = k.value
		}
	}
	if !c.given["sync.notifications"] {
		c.Sync.Notifications = o.Notifications
	}
}

// givenKeys are the keys that a file has, which was read before.
func givenKeys(b []byte) map[string]bool {
	given := map[string]bool{}
	var tables map[string]any
	_ = toml.Unmarshal(b, &tables) // an error was told of before
	for key, value := range tables {
		table, ok := value.(map[string]any)
		if !ok {
			given[key] = true
		}
		for name := range table {
			given[key+"."+name] = true
		}
	}
	return given
}

// withoutPages is a copy that has the defaults for what the pages may set.
func (c *config) withoutPages() config {
	next, were := *c, defaultConfig().Sync
	for _, k := range []struct {
		name     string
		to, from *string
	}{{"interval", &next.Sync.Interval, &were.Interval}, {"history", &next.Sync.History, &were.History}, {"horizon", &next.Sync.Horizon, &were.Horizon}} {
		if !c.given["sync."+k.name] {
			*k.to = *k.from
		}
	}
	if !c.given["sync.notifications"] {
		next.Sync.Notifications = were.Notifications
	}
	return next
}

func (a *webAccounts) Sync(ctx context.Context) (web.Sync, error) {
	o, err := a.p.store.Options(ctx)
	if err != nil {
		return web.Sync{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.p.conf.withoutPages()
	s := web.Sync{Configured: map[string]bool{}, NotReachable: !c.notifiable()}
	c.take(o)
	s.Options = bridge.Options{Interval: c.Sync.Interval, History: c.Sync.History, Horizon: c.Sync.Horizon, Notifications: c.Sync.Notifications}
	for _, name := range []string{"interval", "history", "horizon", "notifications"} {
		s.Configured[name] = c.given["sync."+name]
	}
	return s, nil
}

// notifiable reports whether Microsoft can send notifications to public_url.
func (c *config) notifiable() bool {
	return strings.HasPrefix(c.PublicURL, "https://") || c.Microsoft.Cloud == "custom"
}

// SetSync changes the pace of the rounds at once. Notifications begin with the next start: their address is opened, or not, then.
func (a *webAccounts) SetSync(ctx context.Context, o bridge.Options) (restart bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := a.p.conf.withoutPages()
	if !next.notifiable() {
		o.Notifications = false
	}
	next.take(o)
	if wrong := next.syncProblems(); len(wrong) > 0 {
		return false, syncProblem(wrong[0])
	}
	if err := a.p.store.SetOptions(ctx, o); err != nil {
		return false, err
	}
	a.work.Rounds.SetPace(round.Pace{History: next.history, Horizon: next.horizon, ListEvery: listRounds * next.interval})
	a.work.SetInterval(next.interval)
	a.p.log.Info("how to sync was set", "interval", next.Sync.Interval, "history", next.Sync.History, "horizon", next.Sync.Horizon, "notifications", next.Sync.Notifications)
	return next.Sync.Notifications != (a.work.NotifyURL != ""), nil
}

// syncProblem is what syncProblems says, without the names of keys, which the page has in words.
func syncProblem(err error) error {
	text := strings.NewReplacer("sync.interval = ", "The interval ", "sync.history and sync.horizon together exceed", "History and horizon together exceed",
		"sync.horizon must", "The horizon must", "sync.history: ", "How far back: ", "sync.horizon: ", "How far ahead: ", "sync.notifications needs", "Notifications need").Replace(err.Error())
	sentence, action, _ := strings.Cut(text, ": ")
	if action == "" {
		return &web.Problem{Sentence: web.Kept(text + ".")}
	}
	return &web.Problem{Sentence: web.Kept(sentence + "."), Action: web.Kept(strings.ToUpper(action[:1]) + action[1:] + ".")}
}

// Outlook asks for the calendars of the account's own mailbox.
func (a *webAccounts) Outlook(ctx context.Context, account string) ([]string, error) {
	m, ok := a.work.Mailbox(account)
	if !ok {
		return nil, errNoAppYet
	}
	ctx, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	list, err := m.Graph.Calendars(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range list {
		if name := strings.Join(strings.Fields(c.Name), " "); !bridge.IsProbeCalendar(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

func (a *webAccounts) SetAccountOptions(ctx context.Context, name string, o bridge.AccountOptions) error {
	for i, address := range o.Shared {
		if !mailboxForm.MatchString(address) {
			return &web.Problem{Sentence: web.With("\"{text}\" is not a mailbox address.", address), Action: "Write one a line, like name@contoso.com."}
		}
		for _, other := range o.Shared[:i] {
			if strings.EqualFold(address, other) {
				return &web.Problem{Sentence: web.With("{address} is named twice.", address), Action: "Leave one of them."}
			}
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.p.account(name); err != nil {
		return bridge.ErrNotFound
	}
	if !a.p.added[name] {
		return &web.Problem{Sentence: "This account is in the configuration file.", Action: "Change include, exclude and shared there, then reload or restart the bridge."}
	}
	if err := a.p.store.SetAccountOptions(ctx, name, o); err != nil {
		return err
	}
	for i := range a.p.accounts {
		one := &a.p.accounts[i]
		if one.Name != name {
			continue
		}
		one.Include, one.Exclude, one.Shared = o.Include, o.Exclude, o.Shared
		a.p.log.Info("calendars of an account were chosen", "account", name, "include", len(o.Include), "exclude", len(o.Exclude), "shared", len(o.Shared))
		if a.p.registration.ClientID == "" {
			return nil
		}
		m, err := a.p.mailbox(ctx, *one)
		if err != nil {
			return err
		}
		a.work.Add(m)
	}
	return nil
}

// checkCredential asks for a token with an app's credential, where the tenant is one that gives an app one. What is only out of
// reach is saved untested.
func (a *webAccounts) checkCredential(ctx context.Context, authority *graph.Authority, graphURL string) error {
	if authority.ClientSecret == "" && authority.Certificate == nil {
		return nil
	}
	switch strings.ToLower(authority.Tenant) {
	case "", "common", "organizations", "consumers":
		return nil
	}
	app := *authority
	app.Scopes = graph.AppScopes(graphURL)
	_, err := (&graph.AppTokens{Authority: &app}).Token(ctx)
	var refused *graph.AuthError
	if errors.As(err, &refused) {
		return err
	}
	if err != nil {
		a.p.log.Warn("the app's credential is saved untested", "err", err)
	}
	return nil
}

// identifyBy gives the authority a credential of the pages, or says what is wrong with it.
func identifyBy(a *graph.Authority, c bridge.Credential) error {
	a.ClientSecret, a.Certificate = c.Secret, nil
	if c.Expires != "" {
		if _, err := time.Parse(time.DateOnly, c.Expires); err != nil {
			return &web.Problem{Sentence: "The end of the client secret is not a date.", Action: "Write it like 2027-01-31."}
		}
	}
	if c.Certificate == "" {
		return nil
	}
	cert, err := graph.ParseCertificate([]byte(c.Certificate))
	if errors.Is(err, graph.ErrNoPrivateKey) {
		return &web.Problem{Sentence: "The certificate has no private key.", Action: "Choose a file that holds both, or both files."}
	}
	if err != nil {
		return &web.Problem{Sentence: web.With("The certificate cannot be used: {reason}.", err.Error())}
	}
	a.Certificate = cert
	return nil
}
