package main

import (
	"net"
	"net/http"
	"testing"
)

// guestConn is a connection that notes that it was closed.
type guestConn struct {
	net.Conn
	from   string
	closed chan struct{}
}

func (c *guestConn) RemoteAddr() net.Addr {
	a, _ := net.ResolveTCPAddr("tcp", c.from)
	return a
}

func (c *guestConn) Close() error {
	close(c.closed)
	return nil
}

func TestCrowd(t *testing.T) {
	crowd := &crowd{most: 4}
	come := func(from string, states ...http.ConnState) *guestConn {
		c := &guestConn{from: from, closed: make(chan struct{})}
		for _, s := range append([]http.ConnState{http.StateNew}, states...) {
			crowd.changed(c, s)
		}
		return c
	}
	gone := func(c *guestConn) {
		t.Helper()
		<-c.closed // or the test hangs
		crowd.changed(c, http.StateClosed)
		if len(crowd.of) > 4 {
			t.Errorf("%d connections", len(crowd.of))
		}
	}
	owner := come("192.0.2.1:1", http.StateActive, http.StateIdle)
	asking := come("198.51.100.1:1", http.StateActive)
	first := come("198.51.100.1:2")
	second := come("198.51.100.1:3", http.StateActive, http.StateIdle)
	third := come("198.51.100.1:4")
	gone(first)
	other := come("203.0.113.1:1")
	gone(second)
	last := come("203.0.113.2:1")
	gone(third)
	come("[2001:db8::1]:1")
	gone(owner)                     // of those that have one each, the oldest that asks nothing
	same := come("[2001:db8::2]:1") // of the same network as the one before
	if crowd.of[same] == nil {
		t.Error("the newest is gone")
	}
	for _, c := range []*guestConn{asking, other, last} {
		select {
		case <-c.closed:
			t.Errorf("%s is gone", c.from)
		default:
		}
	}
}
