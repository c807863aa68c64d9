package graph_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
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

// A part that is throttled while others are served has not failed: however few parts a mailbox lets through, and however
// long it asks to wait between, all are read in the end by one call, and each batch after the first is no larger than what
// came through.
func TestPartsTakeTurns(t *testing.T) {
	for _, through := range []int{1, 2, 4, 7} {
		for _, refusal := range []reply{
			{429, wait("1"), throttled, false}, {429, wait("40"), throttled, false}, {429, nil, throttled, false},
			{429, wait("2"), `{"error":{"code":"TooManyRequests","message":"Too many requests"}}`, false},
			{503, wait("1"), throttled, false}, {503, wait("3"), `{"error":{"code":"ServiceUnavailable","message":""}}`, false},
		} {
			synctest.Test(t, func(t *testing.T) {
				batches, largest := 0, 0
				c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
					batches++
					n := 0
					answerBatch(t, w, r, func(p part) reply {
						if n++; n > through {
							return refusal
						}
						return reply{status: 200, body: `{"id":"` + p.id + `"}`}
					})
					if batches > 1 {
						largest = max(largest, n)
					}
				})
				c.Attempts = 3
				var ids []graph.EventID
				for i := range 90 {
					ids = append(ids, graph.EventID(fmt.Sprint("id", i)))
				}
				for i, r := range c.Events(t.Context(), "", ids) {
					if r.Err != nil || r.Event.ID != ids[i] {
						t.Fatalf("%d through, %v: part %d: %v", through, refusal, i, r.Err)
					}
				}
				if refusal.status == 429 && largest > through {
					t.Errorf("%d through, %v: a batch of %d", through, refusal, largest)
				}
			})
		}
	}
}

// A batch that is throttled as a whole comes again in small ones.
func TestThrottledBatchComesInSmallOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
			n := 0
			answer := httptest.NewRecorder()
			answerBatch(t, answer, r, func(p part) reply {
				n++
				return reply{status: 200, body: `{"id":"` + p.id + `"}`}
			})
			if sizes = append(sizes, n); len(sizes) == 1 {
				reply{429, wait("1"), throttled, false}.write(w)
				return
			}
			w.Write(answer.Body.Bytes())
		})
		for _, r := range c.Events(t.Context(), "", []graph.EventID{"a", "b", "c", "d", "e", "f", "g", "h", "i"}) {
			if r.Err != nil {
				t.Error(r.Err)
			}
		}
		if !slices.Equal(sizes, []int{9, 4, 4, 1}) {
			t.Errorf("batches of %v", sizes)
		}
	})
}

// What is refused forever beside others that are served ends, after as many attempts as ever.
func TestPartThatIsAlwaysThrottledEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
			answerBatch(t, w, r, func(p part) reply {
				if p.id == "never" {
					asked++
					return reply{429, wait("1"), throttled, false}
				}
				return reply{status: 200, body: `{"id":"` + p.id + `"}`}
			})
		})
		for _, r := range c.Events(t.Context(), "", []graph.EventID{"a", "never", "b"}) {
			if graph.IsThrottled(r.Err) != (r.ID == "never") {
				t.Errorf("%s: %v", r.ID, r.Err)
			}
		}
		if asked != 6 { // the first does not count, since others were served beside it
			t.Errorf("asked %d times", asked)
		}
	})
}

// Batches grow again when the mailbox has been left in peace.
func TestBatchesGrowAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		through, sizes := 3, []int{}
		c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
			n := 0
			answerBatch(t, w, r, func(p part) reply {
				if n++; n > through {
					return reply{429, nil, throttled, false}
				}
				return reply{status: 200, body: `{"id":"` + p.id + `"}`}
			})
			sizes = append(sizes, n)
		})
		read := func() {
			sizes = nil
			for _, r := range c.Events(t.Context(), "", []graph.EventID{"a", "b", "c", "d", "e", "f", "g", "h"}) {
				if r.Err != nil {
					t.Error(r.Err)
				}
			}
		}
		read()
		if !slices.Equal(sizes, []int{8, 3, 2}) {
			t.Errorf("batches of %v", sizes)
		}
		through = 20
		read()
		if !slices.Equal(sizes, []int{3, 3, 2}) {
			t.Errorf("batches of %v", sizes)
		}
		time.Sleep(2 * time.Minute)
		read()
		if !slices.Equal(sizes, []int{8}) {
			t.Errorf("batches of %v", sizes)
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

// What stands between here and Microsoft is told apart from an outage, for Graph and for the login service alike.
func TestObstacles(t *testing.T) {
	answer := func(status int, header, body string) func(*testing.T) *http.Client {
		return func(t *testing.T) *http.Client {
			return &http.Client{Transport: inMemory{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if name, value, ok := strings.Cut(header, ": "); ok {
					w.Header().Set(name, value)
				}
				w.WriteHeader(status)
				io.WriteString(w, body)
			})}}
		}
	}
	// proxied asks through a proxy that answers CONNECT so.
	proxied := func(status string, hook bool) func(*testing.T) *http.Client {
		return func(t *testing.T) *http.Client {
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				io.WriteString(conn, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n")
			}))
			t.Cleanup(proxy.Close)
			at, _ := url.Parse(proxy.URL)
			transport := &http.Transport{Proxy: http.ProxyURL(at)}
			if hook {
				transport.OnProxyConnectResponse = graph.ProxyAnswer
			}
			return &http.Client{Transport: transport}
		}
	}
	// secure asks a server whose certificate is of an authority that is not known, or is for another name.
	secure := func(trusted bool) func(*testing.T) *http.Client {
		return func(t *testing.T) *http.Client {
			srv := httptest.NewUnstartedServer(http.NotFoundHandler())
			srv.Config.ErrorLog = log.New(io.Discard, "", 0)
			srv.StartTLS()
			t.Cleanup(srv.Close)
			transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
			}}
			transport.TLSClientConfig = &tls.Config{ServerName: "example.com"} // which the certificate is for
			if trusted {
				transport.TLSClientConfig = srv.Client().Transport.(*http.Transport).TLSClientConfig
			}
			return &http.Client{Transport: transport}
		}
	}
	for name, tt := range map[string]struct {
		client func(*testing.T) *http.Client
		want   graph.Reason
	}{
		"407 to a plain request":   {answer(407, "Proxy-Authenticate: Basic", ""), graph.ReasonProxySignIn},
		"407 with a page":          {answer(407, "", loginPage), graph.ReasonProxySignIn},
		"407 to CONNECT":           {proxied("407 Proxy Authentication Required", false), graph.ReasonProxySignIn},
		"407 to CONNECT, in words": {proxied("407 Bitte anmelden", true), graph.ReasonProxySignIn},
		"403 to CONNECT":           {proxied("403 Forbidden", true), ""},
		"511":                      {answer(511, "", loginPage), graph.ReasonPortal},
		"redirect":                 {answer(302, "Location: http://portal.example/", ""), graph.ReasonPortal},
		"page":                     {answer(200, "Content-Type: text/html", loginPage), graph.ReasonPortal},
		"page without a type":      {answer(200, "", " \n"+loginPage), graph.ReasonPortal},
		"page of a filter":         {answer(403, "", loginPage), graph.ReasonPortal},
		"gateway of Microsoft's":   {answer(502, "Content-Type: text/html", loginPage), ""},
		"outage":                   {answer(503, "", ""), ""},
		"unknown CA":               {secure(false), graph.ReasonUnknownCA},
		"certificate of a portal":  {secure(true), graph.ReasonPortal},
	} {
		t.Run(name, func(t *testing.T) {
			h := tt.client(t)
			c := &graph.Client{BaseURL: "https://graph.microsoft.invalid/v1.0", Tokens: &tokens{}, Attempts: 1, HTTP: h}
			_, err := c.Calendars(t.Context())
			a := &graph.Authority{LoginURL: "https://login.microsoft.invalid", ClientID: "client", Scopes: []string{"x"}, HTTP: h}
			_, startErr := a.DeviceCode(t.Context())
			_, renewErr := (&graph.DelegatedTokens{Authority: a, Store: &memoryStore{tok: &oauth2.Token{RefreshToken: "r"}}}).Token(t.Context())
			for _, err := range []error{err, startErr, renewErr} {
				if got := graph.Obstacle(err); got != tt.want || !graph.IsUnavailable(err) {
					t.Errorf("%q, want %q: %v", got, tt.want, err)
				}
			}
		})
	}
}
