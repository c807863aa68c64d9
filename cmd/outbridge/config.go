package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/pelletier/go-toml/v2"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/round"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/web"
	"outbridge/bridge/work"
)

// config is the configuration file. config.example.toml documents every key; a test keeps the two in step.
type config struct {
	Listen    string `toml:"listen"`
	PublicURL string `toml:"public_url"`
	Database  string `toml:"database"`
	KeyFile   string `toml:"key_file"`
	LogFormat string `toml:"log_format"`
	LogLevel  string `toml:"log_level"`

	Push        bool `toml:"push"`
	PushPrivate bool `toml:"push_private"`

	TrustedProxy     any    `toml:"trusted_proxy"`
	MetricsTokenFile string `toml:"metrics_token_file"`

	TLS       tlsConfig       `toml:"tls"`
	Microsoft microsoftConfig `toml:"microsoft"`
	Sync      syncConfig      `toml:"sync"`
	Accounts  []accountConfig `toml:"account"`

	history, horizon bridge.Period
	interval         time.Duration
	audit            time.Duration // 0: never
	notifiedInterval time.Duration
	loginURL         string
	graphURL         string // origin, no path
	level            slog.Level
	gates            *gates
	http             *http.Client // to Graph
	proxies          web.Proxies
	plain            bool         // passwords may come over plain http: nothing real is behind them
	metrics          *web.Metrics // nil: nothing is counted
	attempts         int          // how often one Graph request is sent; 0: the client's default

	added     map[string]bool // of Accounts, those that were added on a page
	appOfPage bool            // client_id and tenant are those of a page, if any
}

type microsoftConfig struct {
	Cloud            string `toml:"cloud"`
	LoginURL         string `toml:"login_url"`
	GraphURL         string `toml:"graph_url"`
	Tenant           string `toml:"tenant"`
	ClientID         string `toml:"client_id"`
	ClientSecretFile string `toml:"client_secret_file"`

	ClientSecretExpires string `toml:"client_secret_expires"`
	CertificateFile     string `toml:"certificate_file"`
	CertificateKeyFile  string `toml:"certificate_key_file"`
}

type syncConfig struct {
	Interval string `toml:"interval"`
	History  string `toml:"history"`
	Horizon  string `toml:"horizon"`
	Audit    string `toml:"audit"`

	Notifications    bool   `toml:"notifications"`
	NotifiedInterval string `toml:"notified_interval"`

	MailboxSettings bool `toml:"mailbox_settings"`
	HTML            bool `toml:"html"`
}

type accountConfig struct {
	Name    string   `toml:"name"`
	Mailbox string   `toml:"mailbox"`
	Access  string   `toml:"access"`
	Include []string `toml:"include"`
	Exclude []string `toml:"exclude"`
	Shared  []string `toml:"shared"`
}

func defaultConfig() config {
	return config{
		Listen: "127.0.0.1:8080", Database: "outbridge.db", KeyFile: "outbridge.key", LogFormat: "text", LogLevel: "info", Push: true,
		TrustedProxy: false, TLS: tlsConfig{Domains: []string{}},
		Microsoft: microsoftConfig{Cloud: "global", Tenant: "common"},
		gates:     new(gates),
		http:      &http.Client{Transport: graphTransport()},
		Sync:      syncConfig{Interval: "1m", History: "4mo", Horizon: "12mo", Audit: "24h", NotifiedInterval: "15m"},
	}
}

// configFlag is the flag that every command with a configuration has.
type configFlag struct {
	Config string `help:"Configuration file; outbridge.toml of this folder without it." env:"OUTBRIDGE_CONFIG" placeholder:"FILE" short:"c"`
}

// load reads and checks the configuration. Its file names are relative to the folder that it is in. Where no file is named
// and none is there, it is that of a `serve` that ran without one; see withoutFile.
func (f configFlag) load() (*config, error) {
	if f.Config == "" {
		f.Config = f.file()
		if !exists(f.Config) {
			if c, err := withoutFile(); err != nil || exists(c.Database) {
				return c, err
			}
		}
	}
	b, err := os.ReadFile(f.Config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no configuration file %s: copy config.example.toml there and fill it in, or name yours with --config", f.Config)
	}
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	c := defaultConfig()
	if err := parseConfig(b, &c); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", f.Config, err)
	}
	dir := filepath.Dir(f.Config)
	for _, path := range []*string{&c.Database, &c.KeyFile, &c.Microsoft.ClientSecretFile, &c.Microsoft.CertificateFile, &c.Microsoft.CertificateKeyFile,
		&c.MetricsTokenFile, &c.TLS.CertFile, &c.TLS.KeyFile, &c.TLS.CARoots} {
		if *path != "" && !filepath.IsAbs(*path) && !strings.Contains(*path, "://") {
			*path = filepath.Join(dir, *path)
		}
	}
	for _, path := range []*string{&c.KeyFile, &c.Microsoft.ClientSecretFile, &c.Microsoft.CertificateFile, &c.Microsoft.CertificateKeyFile,
		&c.MetricsTokenFile, &c.TLS.KeyFile} {
		*path = handedOver(*path)
	}
	return &c, nil
}

// handedOver is the file that systemd hands this service in place of the one at path (LoadCredential=, under the same
// base name), and path itself where there is none: only the service manager has to be able to read secrets then.
func handedOver(path string) string {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" || path == "" {
		return path
	}
	given := filepath.Join(dir, filepath.Base(path))
	if _, err := os.Stat(given); err != nil {
		return path
	}
	return given
}

func parseConfig(b []byte, c *config) error {
	d := toml.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	err := d.Decode(c)
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		row, _ := strict.Errors[0].Position()
		return fmt.Errorf("line %d: unknown key %q: see config.example.toml for those there are", row, strings.Join(strict.Errors[0].Key(), "."))
	}
	var syntax *toml.DecodeError
	if errors.As(err, &syntax) {
		row, column := syntax.Position()
		return fmt.Errorf("line %d, column %d: %w", row, column, err)
	}
	if err != nil {
		return err
	}
	return c.check()
}

var accountName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// check finds what is wrong in words that say what to do, and works out what the texts stand for.
func (c *config) check() (err error) {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("listen = %q is no address: write it like 127.0.0.1:8080", c.Listen)
	}
	if err := c.TLS.check(); err != nil {
		return err
	}
	if c.proxies, err = parseProxies(c.TrustedProxy); err != nil {
		return err
	}
	if c.PublicURL == "" {
		c.PublicURL = c.ownURL()
	}
	if c.PublicURL, err = origin("public_url", c.PublicURL); err != nil {
		return err
	}
	if c.Database == "" || c.KeyFile == "" {
		return errors.New("database and key_file must not be empty")
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		return fmt.Errorf("log_format = %q: it must be text or json", c.LogFormat)
	}
	if err := c.level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return fmt.Errorf("log_level = %q: it must be debug, info, warn or error", c.LogLevel)
	}
	if err := c.checkMicrosoft(); err != nil {
		return err
	}
	if c.interval, err = time.ParseDuration(c.Sync.Interval); err != nil || c.interval < 5*time.Second {
		return fmt.Errorf("sync.interval = %q: write a time of at least 5 seconds like 30s, 1m or 1h", c.Sync.Interval)
	}
	if c.Sync.Audit != "never" {
		if c.audit, err = time.ParseDuration(c.Sync.Audit); err != nil || c.audit < time.Hour {
			return fmt.Errorf("sync.audit = %q: write a time of at least one hour like 24h, or never", c.Sync.Audit)
		}
	}
	if c.notifiedInterval, err = time.ParseDuration(c.Sync.NotifiedInterval); err != nil || c.notifiedInterval < time.Minute {
		return fmt.Errorf("sync.notified_interval = %q: write a time of at least one minute like 15m", c.Sync.NotifiedInterval)
	}
	if c.Sync.Notifications && !strings.HasPrefix(c.PublicURL, "https://") && c.Microsoft.Cloud != "custom" {
		return fmt.Errorf("sync.notifications needs a public_url that Microsoft reaches by https, not %s", c.PublicURL)
	}
	if c.history, err = bridge.ParsePeriod(c.Sync.History); err != nil {
		return fmt.Errorf("sync.history: %w", err)
	}
	if c.horizon, err = bridge.ParsePeriod(c.Sync.Horizon); err != nil {
		return fmt.Errorf("sync.horizon: %w", err)
	}
	now := time.Now()
	switch span := c.horizon.After(now).Sub(c.history.Before(now)); {
	case span > round.MaxWindow-48*time.Hour:
		return errors.New("sync.history and sync.horizon together are longer than the 1825 days that Microsoft Graph allows; events further ahead are served all the same, so shorten horizon")
	case c.horizon.After(now).Sub(now) < 7*24*time.Hour:
		return errors.New("sync.horizon must be at least 7d")
	}
	return c.checkAccounts()
}

func (c *config) checkMicrosoft() (err error) {
	m := &c.Microsoft
	if err := m.checkCredential(); err != nil {
		return err
	}
	if m.Cloud == "custom" {
		if m.LoginURL == "" || m.GraphURL == "" {
			return errors.New(`microsoft.cloud = "custom" needs microsoft.login_url and microsoft.graph_url`)
		}
		if c.loginURL, err = origin("microsoft.login_url", m.LoginURL); err != nil {
			return err
		}
		c.graphURL, err = origin("microsoft.graph_url", strings.TrimSuffix(strings.TrimSuffix(m.GraphURL, "/"), "/v1.0"))
		return err
	}
	if m.LoginURL != "" || m.GraphURL != "" {
		return errors.New(`microsoft.login_url and microsoft.graph_url are only for microsoft.cloud = "custom"`)
	}
	var ok bool
	if c.loginURL, c.graphURL, ok = graph.Cloud(m.Cloud); !ok {
		return fmt.Errorf("microsoft.cloud = %q: it must be global, usgov, dod, china or custom", m.Cloud)
	}
	return nil
}

func (c *config) checkAccounts() error {
	seen := map[string]bool{}
	for i, a := range c.Accounts {
		switch {
		case !accountName.MatchString(a.Name):
			return fmt.Errorf("account %d: name = %q: use lower-case letters, digits, dot, dash and underscore", i+1, a.Name)
		case seen[a.Name]:
			return fmt.Errorf("two accounts have the name %q", a.Name)
		case a.Access == "read-write":
			return fmt.Errorf(`account %s: access = "read-write" is not supported yet: use "read"`, a.Name)
		case a.Access != "" && a.Access != "read":
			return fmt.Errorf(`account %s: access = %q: it must be "read"`, a.Name, a.Access)
		case a.Mailbox != "" && c.Microsoft.ClientSecretFile == "" && c.Microsoft.CertificateFile == "":
			return fmt.Errorf("account %s: mailbox is for app-only access, which needs microsoft.client_secret_file or microsoft.certificate_file; leave mailbox empty to sign in as a person", a.Name)
		}
		for _, address := range a.Shared {
			if !strings.Contains(address, "@") || strings.ContainsAny(address, " /?#") {
				return fmt.Errorf("account %s: shared = %q: write the addresses of mailboxes", a.Name, address)
			}
		}
		seen[a.Name] = true
	}
	return nil
}

// origin checks an http or https address that has no path.
func origin(key, s string) (string, error) {
	u, err := url.Parse(strings.TrimSuffix(s, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" {
		return "", fmt.Errorf("%s = %q: write it like https://calendar.example.com, without a path", key, s)
	}
	return u.String(), nil
}

// ownURL is the address to use where public_url is not set.
func (c *config) ownURL() string {
	if len(c.TLS.Domains) > 0 {
		return "https://" + c.TLS.Domains[0]
	}
	return c.scheme() + "://" + fromHere(c.Listen)
}

// fromHere is where this machine itself reaches what listens at an address.
func fromHere(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}

// names lists the accounts for messages.
func (c *config) names() string {
	var all []string
	for _, a := range c.Accounts {
		all = append(all, a.Name)
	}
	if len(all) == 0 {
		return "there is no account yet, so add one on the pages, or an [[account]] to the configuration"
	}
	if len(c.added) > 0 {
		return "there are " + strings.Join(all, ", ")
	}
	return "the configuration has " + strings.Join(all, ", ")
}

func (c *config) account(name string) (accountConfig, error) {
	for _, a := range c.Accounts {
		if a.Name == name {
			return a, nil
		}
	}
	return accountConfig{}, fmt.Errorf("no account %q: %s", name, c.names())
}

func (c *config) logger(w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.level, ReplaceAttr: logWithFix}
	if c.LogFormat == "json" {
		return slog.New(contextHandler{slog.NewJSONHandler(w, o)})
	}
	return slog.New(contextHandler{slog.NewTextHandler(w, o)})
}

// oneShot makes the configuration fit a command that somebody waits for: what it prints is its result, so the log has
// warnings only, and it gives up on a Graph that does not answer after some twenty seconds.
func (c *config) oneShot() {
	c.attempts = 3
	if c.level >= slog.LevelInfo {
		c.level = max(c.level, slog.LevelWarn)
	}
}

// openStore opens the database, and takes over what was set on its pages.
func (c *config) openStore(ctx context.Context) (*sqlstore.Store, error) {
	if err := c.keyOfDatabase(); err != nil {
		return nil, err
	}
	key, err := sqlstore.ReadKey(c.KeyFile)
	if err != nil {
		return nil, err
	}
	store, err := sqlstore.Open(ctx, c.Database, key)
	if err != nil {
		return nil, err
	}
	if err := c.adopt(ctx, store); err != nil {
		store.Close()
		return nil, err
	}
	return store, nil
}

// keyOfDatabase refuses to make a new key for a database that there is: every password and feed address would be unknown,
// and clients would be told that their calendars are gone.
func (c *config) keyOfDatabase() error {
	if _, err := os.Lstat(c.KeyFile); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if info, err := os.Stat(c.Database); err != nil || info.Size() == 0 {
		return nil
	}
	return fmt.Errorf("the key %s is missing, and the database %s was made with one: put it back from your copy, with mode 0600; where it is lost, make another one with `outbridge init --key-only` and sign in anew with `outbridge login`", c.KeyFile, c.Database)
}

// scopes are the permissions that the person of an account is asked for: no more than what is switched on takes. A
// permission that comes later is asked for at the next sign-in; until then what needs it is denied, and the rest goes on.
func (c *config) scopes(a accountConfig) []string {
	list := graph.Scopes(c.graphURL)
	if len(a.Shared) > 0 {
		list = append(list, graph.SharedScope(c.graphURL))
	}
	if c.Sync.MailboxSettings {
		list = append(list, graph.SettingsScope(c.graphURL))
	}
	return list
}

// rounds does rounds with the options of the configuration.
func (c *config) rounds(store *sqlstore.Store, log *slog.Logger) *round.Runner {
	return &round.Runner{
		Store: store, History: c.history, Horizon: c.horizon, Settings: c.Sync.MailboxSettings, HTML: c.Sync.HTML, Log: log,
		Done: c.metrics.Round,
	}
}

// observer counts the requests of an account to Graph.
func (c *config) observer(account string) func(graph.Observation) {
	return func(o graph.Observation) {
		c.metrics.Requested(account, web.GraphRequest{Operation: o.Op, Status: o.Status, Took: o.Took, Throttled: o.Throttled, Again: o.Again, Part: o.Part})
	}
}

var errNoApp = errors.New("microsoft.client_id is missing in the configuration: register an app as the README says and put its Application (client) ID there, or enter it on the pages of `outbridge serve`")

// authority is the login service for one account, by its app-only or delegated scopes.
func (c *config) authority(scopes []string) (*graph.Authority, error) {
	if c.Microsoft.ClientID == "" {
		return nil, errNoApp
	}
	a := &graph.Authority{LoginURL: c.loginURL, Tenant: c.Microsoft.Tenant, ClientID: c.Microsoft.ClientID, Scopes: scopes}
	if err := c.Microsoft.identify(a); err != nil {
		return nil, err
	}
	return a, nil
}

// mailboxes makes the Graph client of each account; only == "" is all of them.
func (c *config) mailboxes(ctx context.Context, store *sqlstore.Store, log *slog.Logger, only string) ([]work.Mailbox, error) {
	if only != "" {
		if _, err := c.account(only); err != nil {
			return nil, err
		}
	}
	var list []work.Mailbox
	for _, a := range c.Accounts {
		if only != "" && a.Name != only {
			continue
		}
		m, err := c.mailbox(ctx, store, log, a)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	if len(list) == 0 {
		return nil, errors.New(c.names())
	}
	return list, nil
}

// graphTransport keeps connections for many mailboxes, which all are at one host.
func graphTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 256, 256
	t.OnProxyConnectResponse = graph.ProxyAnswer
	return t
}

// gates are what accounts share: the limits of the app and of mailboxes, by address, since several may read the same
// one, and the token of the app.
type gates struct {
	app       graph.AppGate
	mu        sync.Mutex
	byAddress map[string]*graph.Gate
	tokens    *graph.AppTokens
}

func (g *gates) appTokens(a *graph.Authority) *graph.AppTokens {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tokens == nil {
		g.tokens = &graph.AppTokens{Authority: a}
	}
	return g.tokens
}

// of is the gate of the mailbox; one of its own where the address is not known.
func (g *gates) of(address string) *graph.Gate {
	gate := &graph.Gate{App: &g.app}
	if address == "" {
		return gate
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	key := strings.ToLower(address)
	if known := g.byAddress[key]; known != nil {
		return known
	}
	if g.byAddress == nil {
		g.byAddress = map[string]*graph.Gate{}
	}
	g.byAddress[key] = gate
	return gate
}

func (c *config) mailbox(ctx context.Context, store *sqlstore.Store, log *slog.Logger, a accountConfig) (work.Mailbox, error) {
	log = log.With("account", a.Name)
	g := &graph.Client{BaseURL: c.graphURL + "/v1.0", Mailbox: a.Mailbox, HTTP: c.http, Log: log, Attempts: c.attempts,
		UserAgent: "outbridge/" + strings.ReplaceAll(version(), " ", "-"), Observe: c.observer(a.Name)}
	scopes := c.scopes(a)
	if a.Mailbox != "" {
		scopes = graph.AppScopes(c.graphURL)
	}
	authority, err := c.authority(scopes)
	if err != nil {
		return work.Mailbox{}, err
	}
	account, err := store.EnsureAccount(ctx, a.Name)
	if err != nil {
		return work.Mailbox{}, err
	}
	if a.Mailbox != "" {
		g.Tokens = c.gates.appTokens(authority)
	} else {
		g.Tokens = &graph.DelegatedTokens{Authority: authority, Store: store.Tokens(account.ID), Log: log}
	}
	g.Gate = c.gates.of(cmp.Or(a.Mailbox, account.Identity.Address))
	m := work.Mailbox{Mailbox: round.Mailbox{Name: a.Name, Graph: g, Include: a.Include, Exclude: a.Exclude}, Subscriptions: g}
	for _, address := range a.Shared {
		// Of its own, since the limits of Graph are a mailbox's; with the sign-in of the account.
		other := &graph.Client{BaseURL: g.BaseURL, Mailbox: address, HTTP: c.http, Tokens: g.Tokens, Gate: c.gates.of(address), Log: log.With("shared", address), Attempts: g.Attempts, UserAgent: g.UserAgent, Observe: g.Observe}
		m.Shared = append(m.Shared, round.SharedMailbox{Address: address, Graph: other})
	}
	return m, nil
}
