package web

import (
	"math"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Guesses of a password or a setup code: a burst for each address and for all together, then one at a time. With these
// a setup code of 50 bits outlasts any patience, and a bridge that is under attack still lets its owner try.
const (
	addressBurst = 5
	addressEvery = 30 * time.Second
	allBurst     = 60
	allEvery     = 3 * time.Second
	maxAddresses = 10_000
)

// limiter bounds attempts. The zero value is ready.
type limiter struct {
	mu  sync.Mutex
	all bucket
	of  map[string]bucket
}

// bucket is how much of a burst is used up, as of a time.
type bucket struct {
	used float64
	at   time.Time
}

func (b bucket) now(now time.Time, every time.Duration) bucket {
	return bucket{max(0, b.used-float64(now.Sub(b.at))/float64(every)), now}
}

// wait is how long until one more fits.
func (b bucket) wait(burst float64, every time.Duration) time.Duration {
	return time.Duration(math.Ceil(max(0, b.used+1-burst)*every.Seconds())) * time.Second
}

// attempt counts one attempt from an address, or says how long to wait before the next one may be made.
func (l *limiter) attempt(address string, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil || len(l.of) >= maxAddresses {
		l.of = map[string]bucket{} // those who filled it up still have the bound of all together
	}
	one, all := l.of[address].now(now, addressEvery), l.all.now(now, allEvery)
	if wait = max(one.wait(addressBurst, addressEvery), all.wait(allBurst, allEvery)); wait > 0 {
		return wait
	}
	one.used++
	all.used++
	l.of[address], l.all = one, all
	return 0
}

// forgive forgets the attempts from an address, after one that succeeded.
func (l *limiter) forgive(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, address)
}

// clientAddress is whom a request is counted to: the peer, or where that is a reverse proxy on this machine, the address
// that the proxy appended last. Of IPv6 it is the network, since a client has all of one.
func clientAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if ip.IsLoopback() {
		if list := r.Header.Values("X-Forwarded-For"); len(list) > 0 {
			last := list[len(list)-1]
			if forwarded, err := netip.ParseAddr(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])); err == nil {
				ip = forwarded
			}
		}
	}
	if ip = ip.Unmap(); ip.Is6() {
		if p, err := ip.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}
