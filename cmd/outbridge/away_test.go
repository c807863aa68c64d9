package main

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"testing"

	"outbridge/bridge/sqlstore/pgtest"
)

// way is a way to a database that can be cut.
type way struct {
	mu    sync.Mutex
	away  bool
	conns []net.Conn
}

// to makes the way, and returns the URL of the database through it.
func (w *way) to(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	socket := filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432")
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", socket)
			w.mu.Lock()
			if err != nil || w.away {
				client.Close()
			} else {
				w.conns = append(w.conns, client, server)
				go pipe(server, client)
				go pipe(client, server)
			}
			w.mu.Unlock()
		}
	}()
	u.Host, u.RawQuery = l.Addr().String(), "sslmode=disable"
	return u.String()
}

func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	to.Close()
	from.Close()
}

func (w *way) cut(away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = away
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

// TestDatabaseAway: while the database is away, clients and browsers are told to come back, and not that something is broken.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	w := &way{}
	m := newMachinesOn(t, w.to(t, pgtest.URL(t)), 1, "alice")
	s := m.of[0]
	m.seen("alice", m.create("alice"), s)
	w.cut(true)
	for path, name := range map[string]string{calendarPath("alice"): "alice", "/": "", "/sign-in": "", "/feeds/aaaaaaaaaaaaaaaaaaaaaaaaaa.ics": ""} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if name != "" {
			req.SetBasicAuth(name, m.password[name])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %s, Retry-After %q", path, resp.Status, resp.Header.Get("Retry-After"))
		}
	}
	w.cut(false)
	m.seen("alice", m.create("alice"), s)
}
