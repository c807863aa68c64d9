package web

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Client is who a request comes from, and how it came.
type Client struct {
	Addr  netip.Addr // behind trusted proxies, and behind one on this machine; the zero Addr where it is not known
	HTTPS bool       // it speaks https, with the bridge or with a proxy in front
	Safe  bool       // nobody between could read the request: it came over TLS, by a proxy that vouches for that, or never left this machine
	Local bool       // it is a program on this machine that asks without a proxy
}

type clientKey struct{}

// ClientOf is what the Edge found out. Of a request that came past it, nothing is known and nothing is safe.
func ClientOf(r *http.Request) Client {
	c, _ := r.Context().Value(clientKey{}).(Client)
	return c
}

// network is whom a guess is counted to: an address, or of IPv6 the network, since a client has all of one.
func (c Client) network() string {
	if c.Addr.Is6() {
		if p, err := c.Addr.Prefix(64); err == nil {
			return p.String()
		}
	}
	return c.Addr.String()
}

// Edge is what every request passes first, CalDAV too. It decides who asks and whether the way here was safe, once, for
// ClientOf; refuses to be asked for a password over plain http; and counts. Next is required.
type Edge struct {
	Next      http.Handler
	DAV       func(*http.Request) bool // reports whether a request is CalDAV; nil: none is
	Proxies   Proxies
	PublicURL string   // origin that clients use
	Plain     bool     // passwords may come over plain http: there is nothing real behind them
	Metrics   *Metrics // nil: nothing is counted
}

func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin, part := time.Now(), e.part(r)
	answer := &countedAnswer{ResponseWriter: w, status: http.StatusOK}
	defer func() { e.Metrics.Served(part, knownMethod(r.Method), answer.status, time.Since(begin)) }()
	if tooManyParameters(r.URL.RawQuery) {
		plain(answer, http.StatusBadRequest, "The address has too many parameters.\n")
		return
	}
	client := e.client(r)
	if !client.Safe && !e.Plain && (part == "dav" || part == "page") {
		// Before anything asks for a password, so that none is sent.
		plain(answer, http.StatusForbidden, "Passwords are not taken over plain http from another machine: use https. Whoever runs this bridge behind a proxy with TLS sets trusted_proxy.\n")
		return
	}
	e.Next.ServeHTTP(answer, r.WithContext(context.WithValue(r.Context(), clientKey{}, client)))
}

// ToHTTPS sends requests over plain http to the same path of an https origin. One with a password is refused instead: it
// has travelled in the clear already, and is not to do so again without anybody noticing.
func ToHTTPS(origin string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			plain(w, http.StatusForbidden, "Passwords are not taken over plain http: use "+origin+", and change the password that was just sent in the clear.\n")
			return
		}
		w.Header().Set("Connection", "close")
		http.Redirect(w, r, origin+r.URL.RequestURI(), http.StatusPermanentRedirect)
	})
}

// client decides who asks. What a proxy says counts from a trusted one, and from one on this machine: that may be trusted
// to say that all is not well, and who writes such headers there can do worse.
func (e *Edge) client(r *http.Request) Client {
	peer := peerOf(r)
	trusted, here := e.Proxies.trust(peer), peer.IsLoopback()
	c := Client{Addr: peer, Local: here && !e.Proxies.Any() && !forwarded(r.Header)}
	proto := ""
	if trusted || here {
		c.Addr, proto = e.Proxies.forwardedFor(r.Header, peer), forwardedProto(r.Header)
	}
	// A proxy at public_url that says nothing has taken the request by the scheme that is there.
	public, isHTTPS := strings.CutPrefix(strings.TrimSuffix(e.PublicURL, "/"), "https://")
	c.HTTPS = r.TLS != nil || proto == "https" || isHTTPS && strings.EqualFold(public, r.Host)
	switch {
	case r.TLS != nil || proto == "https":
		c.Safe = true
	case trusted:
		c.Safe = proto != "http" || c.Addr.IsLoopback()
	case here:
		c.Safe = proto == "" || c.Addr.IsLoopback()
	}
	return c
}

// Proxies are the addresses whose X-Forwarded-For and X-Forwarded-Proto count.
type Proxies struct {
	All  bool // everybody's
	Nets []netip.Prefix
}

// Any reports whether there is a trusted proxy.
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

// forwardedFor is the last address of X-Forwarded-For that no trusted proxy has: what lies before it anybody can write.
func (p Proxies) forwardedFor(h http.Header, peer netip.Addr) netip.Addr {
	client := peer
	hops := strings.Split(strings.Join(h.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		addr, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return client
		}
		if client = plainAddr(addr); p.All || !p.trust(client) {
			return client
		}
	}
	return client
}

// forwardedProto is "http" or "https" as a proxy says it, or "".
func forwardedProto(h http.Header) string {
	proto, _, _ := strings.Cut(h.Get("X-Forwarded-Proto"), ",")
	return strings.ToLower(strings.TrimSpace(proto))
}

// forwarded reports whether a request bears the marks of a proxy.
func forwarded(h http.Header) bool {
	return h.Get("X-Forwarded-For") != "" || h.Get("Forwarded") != "" || h.Get("Via") != ""
}

// peerOf is the other end of the connection; the zero Addr where that is no address.
func peerOf(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return plainAddr(a.Addr())
}

func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// Loopback reports whether a host, a name or an address, is this machine and nothing else.
func Loopback(host string) bool {
	host = strings.ToLower(strings.Trim(host, "[]"))
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
