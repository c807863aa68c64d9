package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"outbridge/bridge/web"
)

// tlsConfig is [tls]: a certificate obtained and renewed over ACME, or one in files.
type tlsConfig struct {
	Domains    []string `toml:"domains"`
	Email      string   `toml:"email"`
	CA         string   `toml:"ca"`
	CARoots    string   `toml:"ca_roots_file"`
	HTTPListen string   `toml:"http_listen"`
	CertFile   string   `toml:"cert_file"`
	KeyFile    string   `toml:"key_file"`
}

// on reports whether the bridge itself serves TLS.
func (t tlsConfig) on() bool { return len(t.Domains) > 0 || t.CertFile != "" }

func (t *tlsConfig) check() error {
	switch {
	case len(t.Domains) > 0 && (t.CertFile != "" || t.KeyFile != ""):
		return errors.New("tls: domains requests a certificate, cert_file and key_file supply one: set one or the other")
	case (t.CertFile == "") != (t.KeyFile == ""):
		return errors.New("tls: cert_file and key_file go together: set both")
	case !t.on() && (t.Email != "" || t.CARoots != "" || t.HTTPListen != ""):
		return errors.New("tls: email, ca_roots_file and http_listen have no effect without domains, or cert_file and key_file: set one of them")
	}
	for _, d := range t.Domains {
		if net.ParseIP(d) != nil || strings.ContainsAny(d, "/: *") || !strings.Contains(d, ".") {
			return fmt.Errorf("tls.domains: %q is not a domain name: write it like calendar.example.com", d)
		}
	}
	if t.HTTPListen != "" {
		if _, _, err := net.SplitHostPort(t.HTTPListen); err != nil {
			return fmt.Errorf("tls.http_listen = %q is not an address: write it like :80", t.HTTPListen)
		}
	}
	switch u, err := url.Parse(t.CA); {
	case t.CA == "" || t.CA == "staging":
	case err != nil || u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("tls.ca = %q: it must be empty (Let's Encrypt), staging, or an ACME directory's https address", t.CA)
	}
	return nil
}

// scheme is that of the main listener.
func (c *config) scheme() string {
	if c.TLS.on() {
		return "https"
	}
	return "http"
}

// directory is the address of the ACME directory.
func (t *tlsConfig) directory() string {
	switch t.CA {
	case "":
		return certmagic.LetsEncryptProductionCA
	case "staging":
		return certmagic.LetsEncryptStagingCA
	}
	return t.CA
}

// secure wraps what listens in the network in TLS, and leaves Unix sockets as they are, and returns what has to run next to it: the plain listener that answers the HTTP challenge and
// redirects everybody else to https. Without [tls] it changes nothing.
func (c *config) secure(ctx context.Context, list []net.Listener, log *slog.Logger) ([]net.Listener, func(context.Context) error, error) {
	idle := func(context.Context) error { return nil }
	if !c.TLS.on() {
		return list, idle, nil
	}
	var (
		conf      *tls.Config
		challenge = func(h http.Handler) http.Handler { return h }
		err       error
	)
	if c.TLS.CertFile != "" {
		conf, c.certificate, err = fileTLS(c.TLS.CertFile, c.TLS.KeyFile, log)
	} else {
		conf, challenge, err = c.acme(ctx, list, log)
	}
	if err != nil {
		return nil, nil, err
	}
	conf.MinVersion = tls.VersionTLS12
	conf.NextProtos = append([]string{"h2", "http/1.1"}, conf.NextProtos...)
	list = slices.Clone(list)
	for i, l := range list {
		if l.Addr().Network() != "unix" {
			list[i] = tls.NewListener(l, conf)
		}
	}
	if c.TLS.HTTPListen == "" {
		return list, idle, nil
	}
	plain, err := net.Listen("tcp", c.TLS.HTTPListen)
	if err != nil {
		return nil, nil, fmt.Errorf("tls.http_listen: %w: free the port, or leave http_listen empty", err)
	}
	log.Info("serving plain http for redirects", "listen", "http://"+plain.Addr().String())
	srv := &http.Server{
		Handler: challenge(web.ToHTTPS(c.PublicURL)), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10, ConnState: (&crowd{most: maxPlainConnections}).changed, ErrorLog: serverLog(log, time.Now),
	}
	return list, func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
		defer stop()
		if err := srv.Serve(plain); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("tls.http_listen: %w", err)
		}
		return nil
	}, nil
}

// acme obtains certificates for the domains in the background and renews them. They are in the folder "tls" next to the
// database. Challenges are answered at the first address of the network (TLS-ALPN-01) and at http_listen (HTTP-01).
func (c *config) acme(ctx context.Context, list []net.Listener, log *slog.Logger) (*tls.Config, func(http.Handler) http.Handler, error) {
	quiet := zap.New(slogCore{log.With("part", "tls")})
	var magic *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return magic, nil },
		Logger:           quiet,
	})
	context.AfterFunc(ctx, cache.Stop)
	magic = certmagic.New(cache, certmagic.Config{
		Storage: c.certificateStorage(),
		Logger:  quiet,
	})
	at := ""
	for _, l := range list {
		if at == "" && l.Addr().Network() != "unix" {
			at = l.Addr().String()
		}
	}
	issuer := certmagic.ACMEIssuer{
		CA: c.TLS.directory(), Email: c.TLS.Email, Agreed: true, Logger: quiet,
		DisableHTTPChallenge: c.TLS.HTTPListen == "",
		AltTLSALPNPort:       port(at),
		AltHTTPPort:          port(c.TLS.HTTPListen),
	}
	if f := c.TLS.CARoots; f != "" {
		pem, err := os.ReadFile(f)
		if err != nil {
			return nil, nil, fmt.Errorf("tls.ca_roots_file: %w", err)
		}
		issuer.TrustedRoots = x509.NewCertPool()
		if !issuer.TrustedRoots.AppendCertsFromPEM(pem) {
			return nil, nil, fmt.Errorf("tls.ca_roots_file: no certificate in %s", f)
		}
	}
	own := certmagic.NewACMEIssuer(magic, issuer)
	magic.Issuers = []certmagic.Issuer{own}
	if err := magic.ManageAsync(ctx, c.TLS.Domains); err != nil {
		return nil, nil, fmt.Errorf("tls: %w", err)
	}
	return magic.TLSConfig(), own.HTTPChallengeHandler, nil
}

func port(address string) int {
	_, p, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	n, err := net.LookupPort("tcp", p)
	if err != nil {
		return 0
	}
	return n
}

// certCheck is how often the files of a certificate are checked for a new one.
const certCheck = time.Minute

// fileTLS serves the certificate in two files, and the new one when they change.
func fileTLS(certFile, keyFile string, log *slog.Logger) (*tls.Config, *fileCert, error) {
	if err := notForEverybody(keyFile); err != nil {
		return nil, nil, fmt.Errorf("tls.key_file: %w", err)
	}
	f := &fileCert{cert: certFile, key: keyFile, log: log}
	if err := f.load(); err != nil {
		return nil, nil, fmt.Errorf("tls.cert_file and key_file: %w", err)
	}
	return &tls.Config{GetCertificate: f.get}, f, nil
}

type fileCert struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	checked time.Time
	stamp   [2]time.Time
	have    *tls.Certificate
}

// get runs at every handshake, and checks the files at most once in certCheck. While they are damaged or gone, as in the
// middle of a renewal, it keeps serving the last good certificate.
func (f *fileCert) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.checked) >= certCheck {
		if err := f.load(); err != nil {
			f.log.Error("cannot read the new certificate; serving the last one", "err", err)
		}
	}
	return f.have, nil
}

// again reads the files now, and reports whether they have changed.
func (f *fileCert) again() (changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.have
	err = f.load()
	return f.have != was, err
}

// load reads the files if they have changed since.
func (f *fileCert) load() error {
	f.checked = time.Now()
	var stamp [2]time.Time
	for i, path := range []string{f.cert, f.key} {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		stamp[i] = info.ModTime()
	}
	if f.have != nil && stamp == f.stamp {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return err
	}
	f.have, f.stamp = &pair, stamp
	f.log.Info("certificate read", "file", f.cert, "expires", pair.Leaf.NotAfter)
	return nil
}

// slogCore passes what certmagic logs with zap to slog.
type slogCore struct{ log *slog.Logger }

func (s slogCore) level(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

func (s slogCore) Enabled(l zapcore.Level) bool {
	// At debug level it logs many lines for each handshake.
	return l >= zapcore.InfoLevel && s.log.Enabled(context.Background(), s.level(l))
}

func (s slogCore) With(fields []zapcore.Field) zapcore.Core {
	return slogCore{s.log.With(plainFields(fields)...)}
}

func (s slogCore) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if s.Enabled(e.Level) {
		return checked.AddCore(e, s)
	}
	return checked
}

func (s slogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	s.log.Log(context.Background(), s.level(e.Level), e.Message, plainFields(fields)...)
	return nil
}

func (s slogCore) Sync() error { return nil }

func plainFields(fields []zapcore.Field) []any {
	values := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(values)
	}
	var list []any
	for _, f := range fields {
		if v, ok := values.Fields[f.Key]; ok {
			list = append(list, f.Key, v)
		}
	}
	return list
}
