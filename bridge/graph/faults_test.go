package graph_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"outbridge/bridge/graph"
)

// What a real network does to a request, over real sockets: each is trouble that passes, in one line, without the address
// that was asked for, which may hold a token.
func TestNetworkFaults(t *testing.T) {
	hijacked := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_ = conn.(*net.TCPConn).SetLinger(0) // a reset, not an end
			_, _ = io.WriteString(conn, answer)
		}
	}
	for _, tt := range []struct {
		name   string
		handle http.HandlerFunc
		client func(*httptest.Server) *graph.Client // nil: a plain one
		says   string
	}{
		{"reset", hijacked(""), nil, "cannot be reached"},
		{"reset in the header", hijacked("HTTP/1.1 200 OK\r\nContent-Le"), nil, "cannot be reached"},
		{"reset in the body", hijacked("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + noChanges[:40]), nil, "cannot be reached"},
		{"ends in the body", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "500")
			io.WriteString(w, noChanges[:40])
		}, nil, "cannot be reached"},
		{"not HTTP", hijacked("220 mail.example.com ESMTP\r\n"), nil, "cannot be reached"},
		{"not gzip", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, noChanges)
		}, nil, "cannot be reached"},
		{"truncated gzip", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 0xaa})
		}, nil, "cannot be reached"},
		{"garbage", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("\x00\xff{{{")) }, nil, "not from Microsoft Graph, or not whole"},
		{"page of a proxy", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadGateway)
			io.WriteString(w, loginPage)
		}, nil, "proxy"},
		{"slow drip", func(w http.ResponseWriter, r *http.Request) {
			for i := range noChanges {
				if _, err := io.WriteString(w, noChanges[i:i+1]); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		}, func(s *httptest.Server) *graph.Client {
			return &graph.Client{BaseURL: s.URL + "/v1.0", Tokens: &tokens{}, Attempts: 1, Timeout: 300 * time.Millisecond}
		}, "no answer in time"},
		{"nobody listens", nil, func(s *httptest.Server) *graph.Client {
			s.Close()
			return &graph.Client{BaseURL: s.URL + "/v1.0", Tokens: &tokens{}, Attempts: 1}
		}, "connection refused"},
		{"no such name", nil, func(s *httptest.Server) *graph.Client {
			transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: "graph.microsoft.example", IsNotFound: true}}
			}}
			return &graph.Client{BaseURL: "https://graph.microsoft.example/v1.0", Tokens: &tokens{}, Attempts: 1, HTTP: &http.Client{Transport: transport}}
		}, "the name graph.microsoft.example cannot be resolved"},
		{"a certificate that nobody knows", nil, func(s *httptest.Server) *graph.Client {
			secure := httptest.NewUnstartedServer(s.Config.Handler)
			secure.Config.ErrorLog = nil
			secure.StartTLS()
			t.Cleanup(secure.Close)
			return &graph.Client{BaseURL: secure.URL + "/v1.0", Tokens: &tokens{}, Attempts: 1}
		}, "TLS certificate cannot be verified, by a proxy"},
		{"no TLS there", func(w http.ResponseWriter, r *http.Request) {}, func(s *httptest.Server) *graph.Client {
			return &graph.Client{BaseURL: strings.Replace(s.URL, "http:", "https:", 1) + "/v1.0", Tokens: &tokens{}, Attempts: 1}
		}, "HTTP response to HTTPS client"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(tt.handle)
			defer srv.Close()
			c := &graph.Client{BaseURL: srv.URL + "/v1.0", Tokens: &tokens{}, Attempts: 1}
			if tt.client != nil {
				c = tt.client(srv)
			}
			page, err := c.Delta(t.Context(), c.BaseURL+"/me/calendarView/delta?$deltatoken=SECRET1")
			if !graph.IsUnavailable(err) || graph.IsNotFound(err) || graph.IsAccessDenied(err) || graph.IsSyncStateLost(err) || len(page.Events) > 0 || page.Delta != "" {
				t.Fatalf("page %+v, error %v", page, err)
			}
			if !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// A clock that was set back makes the stored token look good long after its end: Graph's 401 counts, not the clock. One
// that was set ahead costs a renewal, and no more.
func TestClockJumps(t *testing.T) {
	for name, expiry := range map[string]time.Duration{"set back": 10000 * time.Hour, "set ahead": -10000 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				login := &loginService{good: map[string]bool{"first": true}}
				store := &memoryStore{tok: &oauth2.Token{AccessToken: "old", RefreshToken: "first", Expiry: time.Now().Add(expiry)}}
				c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Authorization") != "Bearer access-1" {
						reply{401, nil, string(testdata(t, "error-401-invalid-token.json")), false}.write(w)
						return
					}
					io.WriteString(w, noChanges)
				})
				c.Tokens = &graph.DelegatedTokens{Authority: authority(login), Store: store}
				for range 3 {
					if _, err := c.Delta(t.Context(), cursor); err != nil {
						t.Error(err)
					}
				}
				if len(login.forms) != 1 {
					t.Errorf("%d renewals", len(login.forms))
				}
			})
		})
	}
}

// crowd is n mailboxes of one app, at a Graph that h plays. Each asks once a second, for a minute; it returns how many
// requests Graph saw of each.
func crowd(t *testing.T, n int, h func(mailbox int, w http.ResponseWriter)) []int {
	t.Helper()
	app := new(graph.AppGate)
	requests := make([]atomic.Int64, n)
	var all sync.WaitGroup
	for i := range n {
		c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
			requests[i].Add(1)
			h(i, w)
		})
		c.Gate, c.Attempts = &graph.Gate{App: app}, 1
		all.Go(func() {
			time.Sleep(time.Duration(i) * 10 * time.Millisecond)
			for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(time.Second) {
				_, err := c.Delta(t.Context(), cursor)
				if err != nil && !graph.IsThrottled(err) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	counts := make([]int, n)
	for i := range requests {
		counts[i] = int(requests[i].Load())
	}
	return counts
}

func TestThrottledMailboxDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counts := crowd(t, 5, func(mailbox int, w http.ResponseWriter) {
			if mailbox == 0 {
				reply{429, wait("3600"), throttled, false}.write(w)
				return
			}
			io.WriteString(w, noChanges)
		})
		if counts[0] != 1 || min(counts[1], counts[2], counts[3], counts[4]) != 60 {
			t.Errorf("requests %v", counts)
		}
	})
}

func TestThrottledAppWaitsAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := time.Now().Add(20 * time.Second)
		early := 0
		var mu sync.Mutex
		counts := crowd(t, 5, func(mailbox int, w http.ResponseWriter) {
			mu.Lock()
			defer mu.Unlock()
			if time.Now().Before(until) {
				early++
				reply{429, wait("20"), `{"error":{"code":"TooManyRequests","message":"Too many requests"}}`, false}.write(w)
				return
			}
			io.WriteString(w, noChanges)
		})
		if early != 2 {
			t.Errorf("%d of five mailboxes asked while the app was throttled", early)
		}
		for i, n := range counts {
			if n < 38 { // then it goes on as before
				t.Errorf("mailbox %d: %d requests", i, n)
			}
		}
	})
}

// A refusal in a batch holds up its mailbox as one of its own would.
func TestThrottledPartHoldsTheMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		throttling := true
		c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
			if at := time.Since(began); !throttling && at < 30*time.Second {
				t.Errorf("%s after %v", r.URL.Path, at)
			}
			if !strings.HasSuffix(r.URL.Path, "/$batch") {
				io.WriteString(w, noChanges)
				return
			}
			answerBatch(t, w, r, func(p part) reply {
				if throttling {
					throttling = false
					return reply{429, wait("30"), throttled, false}
				}
				return reply{200, nil, `{"id":"` + p.id + `"}`, false}
			})
		})
		var all sync.WaitGroup
		all.Go(func() {
			for _, r := range c.Events(t.Context(), "", []graph.EventID{"a"}) {
				if r.Err != nil {
					t.Error(r.Err)
				}
			}
		})
		synctest.Wait()
		if _, err := c.Delta(t.Context(), cursor); err != nil {
			t.Error(err)
		}
		all.Wait()
		if took := time.Since(began); took < 30*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
