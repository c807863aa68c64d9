package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/round"
	"outbridge/bridge/web"
)

// config is the configuration file. config.example.toml documents every key; a test keeps the two in sync.
type config struct {
	Listen     any    `toml:"listen"`
	PublicURL  string `toml:"public_url"`
	SocketMode string `toml:"socket_mode"`
	Database   string `toml:"database"` // of a server, its URL without the password
	DataFolder string `toml:"data_folder"`
	KeyFile    string `toml:"key_file"`

	DatabasePasswordFile string `toml:"database_password_file"`

	LogFormat string `toml:"log_format"`
	LogLevel  string `toml:"log_level"`

	Push        bool `toml:"push"`
	PushPrivate bool `toml:"push_private"`

	TrustedProxy     any      `toml:"trusted_proxy"`
	SafeNetworks     []string `toml:"safe_networks"`
	MetricsTokenFile string   `toml:"metrics_token_file"`
	FeedOrigins      []string `toml:"feed_origins"`
	Language         string   `toml:"language"`

	TLS       tlsConfig       `toml:"tls"`
	Microsoft microsoftConfig `toml:"microsoft"`
	Sync      syncConfig      `toml:"sync"`
	Notify    notifyConfig    `toml:"notify"`
	Pages     pagesConfig     `toml:"pages"`
	Accounts  []accountConfig `toml:"account"`

	Organization organizationConfig `toml:"organization"`

	// Parsed from the texts above by check.
	history, horizon bridge.Period
	interval         time.Duration
	audit            time.Duration // 0: never
	notifiedInterval time.Duration
	staleAfter       time.Duration // 0: never
	notifyURLs       []string      // of the file, as they are kept; those of urls_file are read by notifyTargets
	language         *web.Language
	loginURL         string
	graphURL         string // origin, no path
	level            slog.Level
	socketMode       fs.FileMode
	proxies          web.Proxies
	safe             []netip.Prefix
	feedOrigins      []string
	grace            bridge.Period // of leavers of the organization

	given            map[string]bool // keys that the file or the environment has
	fromVariables    bool            // the environment has keys
	unknownVariables []string        // of the environment

	database string // the URL of a server, as it is opened; "" before resolve

	certificate *fileCert // that is served, if it is one in files; set by secure
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

	pages *pageCredential // nil: nothing is taken from the pages
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

type notifyConfig struct {
	URLs       []string `toml:"urls" secret:"true"`
	URLsFile   string   `toml:"urls_file"`
	StaleAfter string   `toml:"stale_after"`
	Language   string   `toml:"language"`
}

type accountConfig struct {
	Name    string `toml:"name"`
	Mailbox string `toml:"mailbox"`
	// ObjectID is whose it is at Microsoft.
	ObjectID string `toml:"object_id"`
	Access   string `toml:"access"`

	Invitations    string `toml:"invitations"`
	OnlineMeetings string `toml:"online_meetings"`
	Attachments    *bool  `toml:"attachments"` // nil: with access = "read-write"

	Include []string `toml:"include"`
	Exclude []string `toml:"exclude"`
	Shared  []string `toml:"shared"`

	member   bool   // of the organization, whose directory names it
	objectID string // in that directory
}

func defaultConfig() config {
	return config{
		Listen: defaultListen, SocketMode: "0660", Database: "outbridge.db", KeyFile: "outbridge.key", LogFormat: "text", LogLevel: "info", Push: true,
		TrustedProxy: false, SafeNetworks: []string{}, FeedOrigins: []string{}, Language: "en", TLS: tlsConfig{Domains: []string{}},
		Microsoft:    microsoftConfig{Cloud: "global", Tenant: "common"},
		Sync:         syncConfig{Interval: "1m", History: "4mo", Horizon: "12mo", Audit: "24h", NotifiedInterval: "15m"},
		Notify:       notifyConfig{URLs: []string{}, StaleAfter: "6h"},
		Organization: defaultOrganization(),
		Pages:        pagesConfig{Tenants: []string{}, Administrators: []string{}},
	}
}

// configFlag is the flag that every command with a configuration has.
type configFlag struct {
	Config string `help:"Configuration file. Default: outbridge.toml in the current folder." env:"OUTBRIDGE_CONFIG" placeholder:"FILE" short:"c"`
}

// load reads and checks the configuration, of the file and the environment. File names in it are relative to the file's folder. If
// no file is named and there is none, it is that of a `serve` that ran without one; see withoutFile.
func (f configFlag) load() (*config, error) {
	if f.Config == "" {
		f.Config = f.file()
		if !exists(f.Config) {
			c, err := withoutFile()
			if err == nil && (c.onServer() || !exists(c.Database)) && c.fromVariables {
				err = os.MkdirAll(c.dataFolder(), 0o700)
			}
			if err != nil || exists(c.Database) || c.fromVariables {
				return c, err
			}
		}
	} else if f.unconfigured() {
		return containerConfig(filepath.Dir(f.Config))
	}
	b, err := os.ReadFile(f.Config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("configuration file %s not found: copy config.example.toml there and fill it in, or name yours with --config", f.Config)
	}
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	c := defaultConfig()
	if err := decodeConfig(b, &c); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", f.Config, err)
	}
	c.given = givenKeys(b)
	if err := c.complete(filepath.Dir(f.Config)); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", f.Config, err)
	}
	return &c, nil
}

// complete adds what the environment says, checks everything, and makes file names relative to dir into paths.
func (c *config) complete(dir string) (err error) {
	if c.unknownVariables, err = c.fromEnvironment(os.Environ()); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	c.resolve(dir)
	return nil
}

// resolve makes file names relative to dir into paths.
func (c *config) resolve(dir string) {
	c.absolutePlaces(dir)
	for _, path := range []*string{&c.Database, &c.DatabasePasswordFile, &c.DataFolder, &c.KeyFile, &c.Microsoft.ClientSecretFile, &c.Microsoft.CertificateFile, &c.Microsoft.CertificateKeyFile,
		&c.MetricsTokenFile, &c.Notify.URLsFile, &c.TLS.CertFile, &c.TLS.KeyFile, &c.TLS.CARoots} {
		if *path != "" && !filepath.IsAbs(*path) && !strings.Contains(*path, "://") {
			*path = filepath.Join(dir, *path)
		}
	}
	for _, path := range []*string{&c.KeyFile, &c.DatabasePasswordFile, &c.Microsoft.ClientSecretFile, &c.Microsoft.CertificateFile, &c.Microsoft.CertificateKeyFile,
		&c.MetricsTokenFile, &c.Notify.URLsFile, &c.TLS.KeyFile} {
		*path = handedOver(*path)
	}
	c.resolveServer()
}

// unconfigured reports whether this is a container of our image whose volume has no configuration file yet: OUTBRIDGE_CONTAINER
// is set by the image.
func (f configFlag) unconfigured() bool {
	return os.Getenv("OUTBRIDGE_CONTAINER") != "" && f.Config != "" && !exists(f.Config)
}

const (
	containerListen   = "0.0.0.0:8080"
	containerNetworks = "172.16.0.0/12" // Docker's own
)

// containerConfig is the configuration without a file in a container: reachable from outside of it, and with passwords over plain
// http from the networks that Docker makes on this machine alone, from where a published port of 127.0.0.1 is reached too.
func containerConfig(dir string) (*config, error) {
	c := defaultConfig()
	c.Listen, c.SafeNetworks = containerListen, []string{containerNetworks}
	return &c, c.complete(dir)
}

// handedOver is the file that systemd provides instead of the one at path (LoadCredential=, under the same base name), or
// path itself if it provides none. That way only the service manager has to be able to read secrets.
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

// defaultFile is the configuration file if none is named, and systemFile, that of a package, if that does not exist.
const (
	defaultFile = "outbridge.toml"
	systemFile  = "/etc/outbridge/outbridge.toml"
)

// file is the path of the configuration file, which may not exist.
func (f configFlag) file() string {
	if f.Config == "" && !exists(defaultFile) && exists(systemFile) {
		return systemFile
	}
	return cmp.Or(f.Config, defaultFile)
}

// dataFolder is where all data is kept without a configuration file: $XDG_DATA_HOME/outbridge, by default
// ~/.local/share/outbridge.
func dataFolder() (string, error) {
	base := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(base) { // a relative one is to be ignored (XDG Base Directory Specification)
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no data folder: %w: name a configuration file with --config", err)
		}
		base = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(base, "outbridge"), nil
}

// withoutFile is the configuration without a file: the defaults, with database and key in dataFolder.
func withoutFile() (*config, error) {
	dir, err := dataFolder()
	if err != nil {
		return nil, err
	}
	c := defaultConfig()
	return &c, c.complete(dir)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// loadOrBegin is load for `serve`, which needs no file: it creates the folder of withoutFile, and says so on w.
func (f configFlag) loadOrBegin(w io.Writer) (*config, error) {
	if f.unconfigured() {
		fmt.Fprintf(w, "No %s here: using the defaults and the environment, and keeping all data in %s.\n", f.Config, filepath.Dir(f.Config))
	}
	if f.Config != "" || exists(f.file()) {
		return f.load()
	}
	c, err := withoutFile()
	if err != nil {
		return nil, err
	}
	dir := c.dataFolder()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w: name a configuration file with --config", err)
	}
	fmt.Fprintf(w, "No %s here: using the defaults and keeping all data in %s.\n", defaultFile, dir)
	return c, nil
}

func parseConfig(b []byte, c *config) error {
	if err := decodeConfig(b, c); err != nil {
		return err
	}
	return c.check()
}

// decodeConfig reads a file. Its error is the first of decodeProblems.
func decodeConfig(b []byte, c *config) error { return first(decodeProblems(b, c)) }

var accountName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// check says what is wrong and what to do about it, and parses the texts. Its error is the first of problems.
func (c *config) check() error { return first(c.problems()) }

func first(problems []error) error {
	if len(problems) == 0 {
		return nil
	}
	return problems[0]
}

// problems are all that check can find.
func (c *config) problems() (all []error) {
	add := func(list ...error) {
		for _, err := range list {
			if err != nil {
				all = append(all, err)
			}
		}
	}
	var err error
	add(c.TLS.check())
	add(c.checkListen())
	c.proxies, err = parseProxies(c.TrustedProxy)
	add(err)
	c.safe, err = parseNetworks(c.SafeNetworks)
	add(err)
	c.feedOrigins, err = parseOrigins(c.FeedOrigins)
	add(err)
	if c.PublicURL == "" {
		c.PublicURL = c.ownURL()
	}
	if address, err := publicAddress(c.PublicURL); err == nil {
		c.PublicURL = address
	} else {
		add(err)
	}
	add(c.checkDatabase())
	if c.LogFormat != "text" && c.LogFormat != "json" {
		add(fmt.Errorf("log_format = %q: it must be text or json", c.LogFormat))
	}
	if err := c.level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		add(fmt.Errorf("log_level = %q: it must be debug, info, warn or error", c.LogLevel))
	}
	add(c.Microsoft.checkCredential(), c.checkCloud(), c.Microsoft.checkClientID())
	add(c.syncProblems()...)
	add(c.notifyProblems()...)
	add(c.checkLanguage())
	add(c.pagesProblems()...)
	add(c.accountProblems()...)
	add(c.organizationProblems()...)
	return all
}

func (c *config) checkCloud() (err error) {
	m := &c.Microsoft
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

// checkClientID wants what Microsoft gives; a cloud of one's own may name apps as it likes.
func (m *microsoftConfig) checkClientID() error {
	if m.Cloud == "custom" || m.ClientID == "" || guid.MatchString(m.ClientID) {
		return nil
	}
	return fmt.Errorf("microsoft.client_id = %q: copy the Application (client) ID of the app registration, which looks like 11111111-2222-3333-4444-555555555555", m.ClientID)
}

func (c *config) syncProblems() (all []error) {
	wrong := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	var err error
	if c.interval, err = time.ParseDuration(c.Sync.Interval); err != nil || c.interval < 5*time.Second {
		wrong("sync.interval = %q: write a duration of at least 5 seconds, like 30s, 1m or 1h", c.Sync.Interval)
	}
	if c.Sync.Audit != "never" {
		if c.audit, err = time.ParseDuration(c.Sync.Audit); err != nil || c.audit < time.Hour {
			wrong("sync.audit = %q: write a duration of at least one hour, like 24h, or never", c.Sync.Audit)
		}
	}
	if c.notifiedInterval, err = time.ParseDuration(c.Sync.NotifiedInterval); err != nil || c.notifiedInterval < time.Minute {
		wrong("sync.notified_interval = %q: write a duration of at least one minute, like 15m", c.Sync.NotifiedInterval)
	}
	if c.Sync.Notifications && !c.notifiable() {
		wrong("sync.notifications needs a public_url that Microsoft can reach over https, not %s", c.PublicURL)
	}
	var historyErr, horizonErr error
	if c.history, historyErr = bridge.ParsePeriod(c.Sync.History); historyErr != nil {
		wrong("sync.history: %w", historyErr)
	}
	if c.horizon, horizonErr = bridge.ParsePeriod(c.Sync.Horizon); horizonErr != nil {
		wrong("sync.horizon: %w", horizonErr)
	}
	if historyErr != nil || horizonErr != nil {
		return all
	}
	now := time.Now()
	switch span := c.horizon.After(now).Sub(c.history.Before(now)); {
	case span > round.MaxWindow-48*time.Hour:
		wrong("sync.history and sync.horizon together exceed the 1825 days that Microsoft Graph allows: shorten horizon; events beyond it are served anyway")
	case c.horizon.After(now).Sub(now) < 7*24*time.Hour:
		wrong("sync.horizon must be at least 7d")
	}
	return all
}

func (c *config) accountProblems() (all []error) {
	wrong := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	seen := map[string]bool{}
	for i, a := range c.Accounts {
		switch {
		case !accountName.MatchString(a.Name):
			wrong("account %d: name = %q: use lower-case letters, digits, dots, dashes and underscores", i+1, a.Name)
		case seen[a.Name]:
			wrong("two accounts have the name %q", a.Name)
		}
		seen[a.Name] = true
		if !slices.Contains(accessValues, a.Access) {
			wrong(`account %s: access = %q: it must be "read" or "read-write"`, a.Name, a.Access)
		}
		if !slices.Contains(invitationValues, a.Invitations) {
			wrong(`account %s: invitations = %q: it must be "never", "replies" or "outlook"`, a.Name, a.Invitations)
		}
		if !slices.Contains(onlineValues, a.OnlineMeetings) {
			wrong(`account %s: online_meetings = %q: it must be "never" or "meetings"`, a.Name, a.OnlineMeetings)
		}
		if a.Mailbox != "" && !c.appOnly() {
			wrong("account %s: mailbox is for app-only access, which needs microsoft.client_secret_file or microsoft.certificate_file; leave mailbox empty to sign in as a person", a.Name)
		}
		for _, address := range a.Shared {
			if !strings.Contains(address, "@") || strings.ContainsAny(address, " /?#") {
				wrong("account %s: shared = %q: write mailbox addresses, like boss@example.com", a.Name, address)
			}
		}
	}
	return all
}

// origin checks an http or https address without a path.
func origin(key, s string) (string, error) {
	u, err := url.Parse(strings.TrimSuffix(s, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" {
		return "", fmt.Errorf("%s = %q: write it like https://calendar.example.com, without a path", key, s)
	}
	return u.String(), nil
}

var plainPath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)*$`)

// publicAddress checks public_url, which may have a path: the bridge is then below it, behind a proxy.
func publicAddress(s string) (string, error) {
	u, err := url.Parse(strings.TrimRight(s, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("public_url = %q: write it like https://calendar.example.com, or https://example.com/outlook", s)
	}
	switch base := u.EscapedPath(); {
	case !plainPath.MatchString(base) || strings.Contains(base+"/", "/./") || strings.Contains(base+"/", "/../"):
		return "", fmt.Errorf("public_url = %q: its path may have letters, digits, dots, dashes and underscores: write it like https://example.com/outlook", s)
	case web.OwnPath(base):
		return "", fmt.Errorf("public_url = %q: the bridge has a path %s itself: choose another, like https://example.com/outlook", s, base)
	}
	return u.String(), nil
}

// publicOrigin is public_url without its path, and publicBase that path.
func (c *config) publicOrigin() string { return strings.TrimSuffix(c.PublicURL, c.publicBase()) }

func (c *config) publicBase() string {
	u, err := url.Parse(c.PublicURL)
	if err != nil {
		return ""
	}
	return u.EscapedPath()
}

// parseOrigins reads feed_origins: origins as browsers write them, or "*".
func parseOrigins(list []string) (all []string, err error) {
	for _, text := range list {
		if text == "*" {
			all = append(all, text)
			continue
		}
		u, err := url.Parse(strings.ToLower(text))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Contains(u.Host, "*") || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("feed_origins: %q is not an origin: write it like https://example.org, without a path, or * for every site", text)
		}
		// Browsers leave out the default port.
		if port := u.Port(); port == "443" && u.Scheme == "https" || port == "80" && u.Scheme == "http" {
			u.Host = strings.TrimSuffix(u.Host, ":"+port)
		}
		all = append(all, u.Scheme+"://"+u.Host)
	}
	return all, nil
}

// ownURL is the default of public_url.
func (c *config) ownURL() string {
	if len(c.TLS.Domains) > 0 {
		return "https://" + c.TLS.Domains[0]
	}
	if at := c.firstAddress(); at != "" {
		return c.scheme() + "://" + localAddress(at)
	}
	return "http://localhost" // a Unix socket, or systemd's, has no address that anybody could be told
}

// localAddress is the address at which this machine itself reaches a server that listens at the given one.
func localAddress(listen string) string {
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

// appOnly reports whether mailboxes can be read by their address.
func (c *config) appOnly() bool {
	return c.Microsoft.inFile() || c.Microsoft.pages.get() != bridge.Credential{}
}
