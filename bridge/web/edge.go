package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"outbridge/bridge"
)

// Client is who a request comes from, and how it got here.
type Client struct {
	Addr  netip.Addr // of the client behind trusted proxies, or behind a proxy on this machine; the zero Addr if not known
	HTTPS bool       // the client uses https, to the bridge or to a proxy in front of it
	Safe  bool       // nobody could read the request on the way: TLS, a proxy that vouches for TLS, or it never left this machine
	Local bool       // a program on this machine, without a proxy
}

type clientKey struct{}

// passed is the context of a request that has passed Edge.
type passed struct {
	context.Context
	client Client
}

func (p *passed) Value(key any) any {
	if key == (clientKey{}) {
		return p
	}
	return p.Context.Value(key)
}

// ClientOf is what Edge found out about a request. A request that did not pass Edge has no known client and is not safe.
func ClientOf(r *http.Request) Client {
	p, ok := r.Context().Value(clientKey{}).(*passed)
	if !ok {
		return Client{}
	}
	return p.client
}

// network is what guesses are counted by: the IPv4 address, or the /64 network in IPv6, since one client has all of it.
func (c Client) network() string {
	if c.Addr.Is6() {
		if p, err := c.Addr.Prefix(64); err == nil {
			return p.String()
		}
	}
	return c.Addr.String()
}

// Edge is what every request passes first, CalDAV too. It decides once, for ClientOf, who is asking and whether the request
// was safe on its way; refuses requests over plain http that need a password; tells browsers to use https from then on;
// counts requests; and answers for handlers that panic. Next is required.
type Edge struct {
	Next      http.Handler
	DAV       func(*http.Request) bool // reports whether a request is CalDAV; nil: no request is
	Proxies   Proxies
	SafeNets  []netip.Prefix // nobody can listen between these clients and the bridge, so that they need no TLS
	PublicURL string         // address that clients use; requests may come with its path or, from a proxy that takes it away, without
	Plain     bool           // accept passwords over plain http, because no real data is behind them
	Metrics   *Metrics       // nil: nothing is counted
	Log       *slog.Logger   // nil: slog.Default

	address      sync.Once // reads those below from PublicURL
	origin, base string
}

// hsts is Strict-Transport-Security for a year. Other names of the domain are not ours to decide on, so it is without
// includeSubDomains.
const hsts = "max-age=31536000"

func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.address.Do(func() { e.origin, e.base = splitAddress(e.PublicURL) })
	r = below(e.base, r)
	begin, part := time.Now(), e.part(r)
	answer := &countedAnswer{ResponseWriter: w, status: http.StatusOK}
	defer func() { e.Metrics.Served(part, knownMethod(r.Method), answer.status, time.Since(begin)) }()
	if tooManyParameters(r.URL.RawQuery) {
		plainText(answer, http.StatusBadRequest, "The address has too many parameters.\n")
		return
	}
	client := e.client(r)
	if e.https(r) {
		w.Header().Set("Strict-Transport-Security", hsts)
	}
	var ctx context.Context = &passed{r.Context(), client}
	if part == "dav" || part == "feed" {
		ctx = bridge.WithClient(ctx, r.UserAgent())
	}
	r = r.WithContext(ctx)
	defer e.recovered(answer, r, part)
	if !client.Safe && !e.Plain && (part == "dav" || part == "page") {
		// Before anything asks for a password, so that the client sends none.
		plainText(answer, http.StatusForbidden, "Passwords are not accepted over plain http from another machine: use https. If this bridge runs behind a proxy with TLS, set trusted_proxy in its configuration.\n")
		return
	}
	e.Next.ServeHTTP(answer, r)
}

// https reports whether an answer may say that this host is only to be used by https (RFC 6797 §7.2: not over plain http).
// A proxy that names no scheme is taken to use that of public_url.
func (e *Edge) https(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	return strings.HasPrefix(e.PublicURL, "https://") && forwardedProto(r.Header) != "http"
}

// recovered ends a request whose handler panics. The cause is logged, where net/http would only say it to its ErrorLog.
func (e *Edge) recovered(answer *countedAnswer, r *http.Request, part string) {
	cause := recover()
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause)
	}
	log := e.Log
	if log == nil {
		log = slog.Default()
	}
	log.ErrorContext(r.Context(), "a request ended in a panic", "part", part, "method", knownMethod(r.Method),
		"err", without(secretsOf(r), fmt.Sprint(cause)), "stack", string(debug.Stack()))
	if answer.begun {
		panic(http.ErrAbortHandler) // so that the client does not take the answer for whole
	}
	head := answer.Header()
	for name := range head {
		if name != "Strict-Transport-Security" {
			head.Del(name)
		}
	}
	plainText(answer, http.StatusInternalServerError, "Something went wrong. The log has the details.\n")
}

// ToHTTPS redirects requests over plain http to the same path at an https address, public_url. A request with a password is refused
// instead: the password has already been sent in the clear, and a redirect would hide that it is sent so every time.
func ToHTTPS(address string) http.Handler {
	origin, base := splitAddress(address)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			plainText(w, http.StatusForbidden, "Passwords are not accepted over plain http: use "+origin+base+", and replace the password that was just sent in the clear.\n")
			return
		}
		w.Header().Set("Connection", "close")
		w.Header().Set("Location", origin+base+below(base, r).URL.RequestURI())
		w.WriteHeader(http.StatusPermanentRedirect)
	})
}

// client decides who is asking. Headers of a proxy count if it is trusted or on this machine. A proxy here can only make a
// request less safe, and whoever can forge its headers on this machine can do worse.
func (e *Edge) client(r *http.Request) Client {
	peer := peerOf(r)
	trusted, here := e.Proxies.trust(peer), peer.IsLoopback()
	c := Client{Addr: peer, Local: here && !e.Proxies.Any() && !forwarded(r.Header)}
	proto := ""
	if trusted || here {
		c.Addr, proto = e.Proxies.forwardedFor(r.Header, peer), forwardedProto(r.Header)
		if c.Addr.IsLoopback() && !here {
			c.Addr = peer // a proxy on another machine passes on what a client has made up
		}
	}
	// A proxy that sends no X-Forwarded-Proto is taken to use the scheme of public_url.
	public, isHTTPS := strings.CutPrefix(e.origin, "https://")
	c.HTTPS = r.TLS != nil || proto == "https" || isHTTPS && strings.EqualFold(public, r.Host)
	switch {
	case r.TLS != nil || proto == "https":
		c.Safe = true
	case trusted:
		c.Safe = proto != "http" || c.Addr.IsLoopback()
	case here:
		c.Safe = proto == "" || c.Addr.IsLoopback()
	}
	// Behind a proxy that is not trusted, the way of the client to the proxy is not known.
	if !c.Safe && (trusted || here || !forwarded(r.Header) && r.Header.Get("X-Forwarded-Proto") == "") {
		for _, n := range e.SafeNets {
			c.Safe = c.Safe || n.Contains(c.Addr)
		}
	}
	return c
}

// Proxies are the addresses from which X-Forwarded-For and X-Forwarded-Proto are believed.
type Proxies struct {
	All  bool // all addresses
	Nets []netip.Prefix
}

// Any reports whether any address is trusted.
func (p Proxies) Any() bool { return p.All || len(p.Nets) > 0 }

func (p Proxies) trust(a netip.Addr) bool {
	if p.All {
		return true
	}
	for _, n := range p.Nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// forwardedFor is the last address in X-Forwarded-For that is not a trusted proxy's: anybody can forge what is before it.
func (p Proxies) forwardedFor(h http.Header, peer netip.Addr) netip.Addr {
	client := peer
	fields := h.Values("X-Forwarded-For")
	if len(fields) == 0 {
		return client
	}
	hops := strings.Split(strings.Join(fields, ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		addr, ok := parseHop(hops[i])
		if !ok {
			return client
		}
		if client = addr; p.All || !p.trust(client) {
			return client
		}
	}
	return client
}

// parseHop reads an element of X-Forwarded-For: an address, as some proxies write it with a port or in brackets.
func parseHop(hop string) (netip.Addr, bool) {
	hop = strings.TrimSpace(hop)
	if withPort, err := netip.ParseAddrPort(hop); err == nil {
		return unmapped(withPort.Addr()), true
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(hop, "["), "]"))
	return unmapped(addr), err == nil
}

// forwardedProto is the X-Forwarded-Proto of the nearest proxy, "http" or "https"; "" if there is none. It is the last of
// several: anybody can forge what is before it.
func forwardedProto(h http.Header) string {
	all := strings.Join(h.Values("X-Forwarded-Proto"), ",")
	return strings.ToLower(strings.TrimSpace(all[strings.LastIndexByte(all, ',')+1:]))
}

// forwarded reports whether a request has the headers of a proxy.
func forwarded(h http.Header) bool {
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-Ip", "Forwarded", "Via"} {
		if h.Get(name) != "" {
			return true
		}
	}
	return false
}

// peerOf is the address at the other end of the connection; the zero Addr if that is not known. Who is at the other end of a Unix
// socket is a program on this machine, as one at 127.0.0.1 is.
func peerOf(r *http.Request) netip.Addr {
	if atSocket(r) {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return unmapped(a.Addr())
}

// atSocket reports whether a request has come through a Unix socket.
func atSocket(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && local.Network() == "unix"
}

func unmapped(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// Loopback reports whether a host, given as a name or an address, is this machine only.
func Loopback(host string) bool {
	host = strings.ToLower(strings.Trim(host, "[]"))
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// part is the part of the bridge that a request is counted for.
func (e *Edge) part(r *http.Request) string {
	switch path := r.URL.Path; {
	case path == "/metrics":
		return "metrics"
	case path == "/healthz" || path == "/readyz":
		return "health"
	case strings.HasPrefix(path, "/feeds/"):
		return "feed"
	case strings.HasPrefix(path, "/graph/"):
		return "webhook"
	case e.DAV != nil && e.DAV(r):
		return "dav"
	}
	return "page"
}

// knownMethod keeps the set of methods in the metrics small, whatever clients send.
func knownMethod(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "PROPPATCH", "REPORT", "MKCALENDAR", "MKCOL", "MOVE", "COPY", "LOCK", "UNLOCK":
		return m
	}
	return "other"
}

// countedAnswer remembers the status of a response.
type countedAnswer struct {
	http.ResponseWriter
	status int
	begun  bool
}

func (a *countedAnswer) WriteHeader(status int) {
	if !a.begun && status >= 200 {
		a.status, a.begun = status, true
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *countedAnswer) Write(b []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(b)
}

// ReadFrom keeps the fast path for copying files, which feeds use.
func (a *countedAnswer) ReadFrom(r io.Reader) (int64, error) {
	a.begun = true
	return io.Copy(a.ResponseWriter, r)
}

func (a *countedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
