package main

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// Connections that are open at once, at the address of everything and at the one that redirects to it: some 50 kB each with TLS.
const (
	maxConnections      = 1000
	maxPlainConnections = 200
)

// crowd bounds the connections of a server. Whoever comes is let in: one of the address that has the most goes in its place,
// the oldest without a request, or else the oldest. So nobody keeps others out by holding connections from one place.
type crowd struct {
	most int

	mu    sync.Mutex
	count int64
	of    map[net.Conn]*guest
}

type guest struct {
	from   netip.Addr
	since  int64 // a count of changes
	asking bool
}

// changed is an http.Server's ConnState.
func (c *crowd) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	switch state {
	case http.StateNew:
		if c.of == nil {
			c.of = map[net.Conn]*guest{}
		}
		c.of[conn] = &guest{from: addressOf(conn), since: c.count}
		if len(c.of) > c.most {
			out := c.oldest()
			delete(c.of, out)
			go out.Close() // with TLS it says good-bye, which may take its time
		}
	case http.StateActive, http.StateIdle:
		if g := c.of[conn]; g != nil {
			g.asking, g.since = state == http.StateActive, c.count
		}
	case http.StateClosed, http.StateHijacked:
		delete(c.of, conn)
	}
}

// oldest is the connection that goes.
func (c *crowd) oldest() net.Conn {
	have := map[netip.Addr]int{}
	most := 0
	for _, g := range c.of {
		have[g.from]++
		most = max(most, have[g.from])
	}
	var out net.Conn
	for conn, g := range c.of {
		if have[g.from] < most {
			continue
		}
		if o := c.of[out]; o == nil || !g.asking && o.asking || g.asking == o.asking && g.since < o.since {
			out = conn
		}
	}
	return out
}

// addressOf is who a connection comes from, the zero Addr where that is no address.
func addressOf(conn net.Conn) netip.Addr {
	a, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	from := a.Addr().Unmap().WithZone("")
	if from.Is6() { // whoever has one has all of its network
		if network, err := from.Prefix(64); err == nil {
			from = network.Addr()
		}
	}
	return from
}
