package push

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// errPrivate keeps users from sending into the server's own network by the addresses that they give.
var errPrivate = errors.New("the address is in a private network: push_private = true allows it")

// pushTransport connects directly, since a proxy would look names up where they cannot be checked.
func pushTransport(private bool) *http.Transport {
	d := &net.Dialer{Timeout: 10 * time.Second}
	if !private {
		// Looked at when the name has been resolved, so that no name can stand for a private address.
		d.Control = func(_, address string, _ syscall.RawConn) error {
			if to, err := netip.ParseAddrPort(address); err != nil || !isPublic(to.Addr()) {
				return errPrivate
			}
			return nil
		}
	}
	return &http.Transport{
		DialContext: d.DialContext, TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: maxHostPushes,
		ForceAttemptHTTP2: true,
	}
}

// allowed looks at what an endpoint's own text tells.
func (p *Pusher) allowed(endpoint string) error {
	if p.Private {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return errors.New("malformed endpoint") // the error has the URL, which is secret
	}
	if u.Scheme != "https" {
		return fmt.Errorf("its scheme is %s: it must be https", u.Scheme)
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if ip, err := netip.ParseAddr(host); err == nil && !isPublic(ip) || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return errPrivate
	}
	return nil
}

// notPublic are blocks of the IANA special-purpose address registries that netip has no question for, and those
// in which an IPv4 address can hide.
var notPublic = func() (list []netip.Prefix) {
	for _, s := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"240.0.0.0/4", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16",
		"fec0::/10",
	} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}()

func isPublic(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, block := range notPublic {
		if block.Contains(ip) {
			return false
		}
	}
	return true
}
