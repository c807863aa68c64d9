package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"outbridge/bridge/web"
	"strings"
	"time"
)

// edge is what every request passes first: it finds out who asks and whether the way there was safe, refuses app
// passwords over plain http, shows metrics, and counts.
type edge struct {
	next    http.Handler
	dav     func(*http.Request) bool // reports whether a request is CalDAV
	proxies proxies
	plain   bool                       // passwords may come over plain http: there is nothing real behind them
	metrics *web.Metrics               // nil: none
	shown   func(*http.Request) string // why the metrics are not for this request, or ""
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin, part := time.Now(), e.part(r)
	answer := &answer{ResponseWriter: w, status: http.StatusOK}
	defer func() { e.metrics.Served(part, knownMethod(r.Method), answer.status, time.Since(begin)) }()
	client, safe := e.proxies.origin(r)
	switch {
	case part == "metrics":
		e.serveMetrics(answer, r)
		return
	case !safe && !e.plain && (part == "dav" || part == "page"):
		// Before anything asks for a password, so that none is sent.
		refuse(answer, "Passwords are not taken over plain http from another machine: use https. Whoever runs this bridge behind a proxy with TLS sets trusted_proxy.")
		return
	}
	if from := peer(r); e.proxies.trusts(from) {
		// The rest sees the request as the proxy got it.
		if client != from {
			r.RemoteAddr = netip.AddrPortFrom(client, 0).String()
		}
		if r.TLS == nil && forwardedProto(r) == "https" {
			r.TLS = new(tls.ConnectionState)
		}
	}
	e.next.ServeHTTP(answer, r)
}

func (e *edge) part(r *http.Request) string {
	switch path := r.URL.Path; {
	case path == "/metrics":
		return "metrics"
	case path == "/healthz" || path == "/readyz":
		return "health"
	case strings.HasPrefix(path, "/feeds/"):
		return "feed"
	case strings.HasPrefix(path, "/graph/"):
		return "webhook"
	case e.dav(r):
		return "dav"
	}
	return "page"
}

// knownMethod keeps the methods of the metrics a small set, whatever clients send.
func knownMethod(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "PROPPATCH", "REPORT", "MKCALENDAR", "MKCOL", "MOVE", "COPY", "LOCK", "UNLOCK":
		return m
	}
	return "other"
}

func (e *edge) serveMetrics(w http.ResponseWriter, r *http.Request) {
	if e.metrics == nil {
		http.NotFound(w, r)
	} else if why := e.shown(r); why != "" {
		refuse(w, why)
	} else {
		e.metrics.Handler().ServeHTTP(w, r)
	}
}

func refuse(w http.ResponseWriter, why string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusForbidden)
	_, _ = io.WriteString(w, why+"\n")
}

// answer remembers the status for the metrics.
type answer struct {
	http.ResponseWriter
	status int
	begun  bool
}

func (a *answer) WriteHeader(status int) {
	if !a.begun && status >= 200 {
		a.status, a.begun = status, true
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(b)
}

// ReadFrom lets the server copy files, feeds above all, without a detour.
func (a *answer) ReadFrom(r io.Reader) (int64, error) {
	a.begun = true
	return io.Copy(a.ResponseWriter, r)
}

func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// proxies are the addresses whose X-Forwarded-For and X-Forwarded-Proto count.
type proxies struct {
	all  bool
	nets []netip.Prefix
}

// parseProxies reads trusted_proxy: a boolean, or addresses and networks.
func parseProxies(v any) (proxies, error) {
	var list []any
	switch v := v.(type) {
	case nil:
	case bool:
		return proxies{all: v}, nil
	case string:
		list = []any{v}
	case []any:
		list = v
	default:
		return proxies{}, errProxies(v)
	}
	var p proxies
	for _, item := range list {
		text, _ := item.(string)
		if prefix, err := netip.ParsePrefix(text); err == nil {
			p.nets = append(p.nets, prefix.Masked())
		} else if addr, err := netip.ParseAddr(text); err == nil {
			p.nets = append(p.nets, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
		} else {
			return proxies{}, errProxies(item)
		}
	}
	return p, nil
}

func errProxies(v any) error {
	return fmt.Errorf("trusted_proxy: %v is no address: write true, or the proxy's addresses like [\"10.0.0.2\", \"172.16.0.0/12\"]", v)
}

func (p proxies) any() bool { return p.all || len(p.nets) > 0 }

func (p proxies) trusts(a netip.Addr) bool {
	if p.all {
		return true
	}
	for _, n := range p.nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// origin is the client that a request comes from, through trusted proxies, and whether nobody between could read it:
// it came over TLS, through a proxy that vouches for that, or never left this machine.
func (p proxies) origin(r *http.Request) (client netip.Addr, safe bool) {
	from := peer(r)
	client = from
	trusted := p.trusts(from)
	// A proxy on this machine that is not trusted may still say that all is not well.
	if trusted || from.IsLoopback() {
		client = p.forwardedFor(r, from)
	}
	switch proto := forwardedProto(r); {
	case r.TLS != nil:
		return client, true
	case trusted && proto != "http", from.IsLoopback() && proto == "":
		return client, true
	case trusted || from.IsLoopback():
		return client, proto == "https" || client.IsLoopback()
	}
	return client, false
}

// forwardedProto is "http" or "https" as a proxy says it, or "".
func forwardedProto(r *http.Request) string {
	proto, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return strings.ToLower(strings.TrimSpace(proto))
}

// forwardedFor is the last address of X-Forwarded-For that no trusted proxy has: what lies before it anybody can write.
func (p proxies) forwardedFor(r *http.Request, from netip.Addr) netip.Addr {
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		addr, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return from
		}
		if from = addr.Unmap().WithZone(""); p.all || !p.trusts(from) {
			return from
		}
	}
	return from
}

// peer is the other end of the connection; the zero Addr where that is no address.
func peer(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap().WithZone("")
}

// checkExposed refuses to take app passwords over plain http from other machines.
func (c *config) checkExposed() error {
	if c.TLS.on() || c.proxies.any() {
		return nil
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return err
	}
	if loopbackHost(host) {
		return nil
	}
	return fmt.Errorf("listen = %q would take app passwords over plain http from other machines: give it a certificate in [tls], or put a proxy with TLS in front and name it in trusted_proxy, or listen at 127.0.0.1", c.Listen)
}

// loopbackHost reports whether a host, a name or an address, is this machine and nothing else.
func loopbackHost(host string) bool {
	host = strings.Trim(host, "[]")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost")
}

// metricsShown makes the rule of who may read the metrics: who has the token, where there is one, and otherwise only
// this machine, while nobody else is served. Behind a proxy everybody seems to be this machine.
func (c *config) metricsShown() (func(*http.Request) string, error) {
	if f := c.MetricsTokenFile; f != "" {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("metrics_token_file: %w", err)
		}
		token := strings.TrimSpace(string(b))
		if len(token) < 16 {
			return nil, fmt.Errorf("metrics_token_file: the token in %s is shorter than 16 characters: make one with `openssl rand -hex 24`", f)
		}
		want := sha256.Sum256([]byte("Bearer " + token))
		return func(r *http.Request) string {
			have := sha256.Sum256([]byte(r.Header.Get("Authorization")))
			if subtle.ConstantTimeCompare(have[:], want[:]) == 1 {
				return ""
			}
			return "The metrics need the token of metrics_token_file, as Authorization: Bearer TOKEN."
		}, nil
	}
	public, err := url.Parse(c.PublicURL)
	if err != nil {
		return nil, err
	}
	local := loopbackHost(public.Hostname()) && !c.proxies.any()
	return func(r *http.Request) string {
		forwarded := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" || r.Header.Get("Via") != ""
		if local && !forwarded && peer(r).IsLoopback() {
			return ""
		}
		return "The metrics are for this machine alone while public_url is on it: set metrics_token_file in the configuration to read them otherwise."
	}, nil
}
