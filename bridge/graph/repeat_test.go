package graph_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// writing is the simulated service with an empty mailbox, and a client that may write to it.
func writing(t *testing.T, sim *graphsim.Server) (*graph.Client, *graphsim.Mailbox) {
	box := sim.AddMailbox("alice@contoso.example", "Alice", "UTC")
	return delegated(t, sim, box, graphURL+"/Calendars.ReadWrite", "offline_access"), box
}

func newEvent(subject, transaction string) graph.Call {
	return graph.Call{Method: "POST", Path: "/me/events", Idempotent: transaction != "", Body: fmt.Sprintf(`{"subject":%q,"transactionId":%q,
		"start":{"dateTime":"2026-03-02T12:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-03-02T13:00:00","timeZone":"UTC"}}`, subject, transaction)}
}

// events are how many events are in the mailbox.
func events(box *graphsim.Mailbox) int {
	return len(box.Calendar().Instances(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)))
}

// sent counts the requests and parts with a method and the end of a path.
func sent(sim *graphsim.Server, method, end string) (n int) {
	for _, r := range sim.Requests() {
		for _, one := range append(r.Parts, r) {
			if one.Method == method && strings.HasSuffix(one.Path, end) {
				n++
			}
		}
	}
	return n
}

// A request that makes something is sent once, unless it is certain that the first one was not carried out.
func TestWhatMayBeRepeated(t *testing.T) {
	for _, tt := range []struct {
		name       string
		fault      graphsim.Fault
		idempotent bool
		sent, made int
		failed     bool
		unclear    bool // ErrMayHaveHappened
	}{
		{"no fault", graphsim.Fault{}, false, 1, 1, false, false},
		{"answer lost", graphsim.Fault{DropAnswer: true}, false, 1, 1, true, true},
		{"answer lost, idempotent", graphsim.Fault{DropAnswer: true}, true, 2, 1, false, false},
		{"connection cut before", graphsim.Fault{Drop: true}, false, 1, 0, true, true},
		{"connection cut before, idempotent", graphsim.Fault{Drop: true}, true, 2, 1, false, false},
		{"timeout", graphsim.Fault{Delay: time.Hour}, false, 0, -1, true, true}, // whether it is done and logged is the service's affair
		{"500", graphsim.Fault{Status: 500}, false, 1, 0, true, true},
		{"500, idempotent", graphsim.Fault{Status: 500}, true, 2, 1, false, false},
		{"502", graphsim.Fault{Status: 502}, false, 1, 0, true, true},
		{"503 without Retry-After", graphsim.Fault{Status: 503}, false, 1, 0, true, true},
		{"503 with Retry-After", graphsim.Fault{Status: 503, RetryAfter: 5 * time.Second}, false, 2, 1, false, false},
		{"503 of a gateway", graphsim.Fault{Status: 503, RetryAfter: 5 * time.Second, Body: []byte("<html>")}, false, 1, 0, true, true},
		{"504", graphsim.Fault{Status: 504, Code: "UnknownError"}, false, 1, 0, true, true},
		{"429", graphsim.Fault{Status: 429, Code: "ApplicationThrottled"}, false, 2, 1, false, false},
		{"429 with Retry-After", graphsim.Fault{Status: 429, Code: "ApplicationThrottled", RetryAfter: 5 * time.Second}, false, 2, 1, false, false},
		{"401", graphsim.Fault{Status: 401}, false, 2, 1, false, false},
		{"403", graphsim.Fault{Status: 403}, false, 1, 0, true, false},
		{"412", graphsim.Fault{Status: 412}, true, 1, 0, true, false},
		{"a page of a proxy", graphsim.Fault{Status: 403, Body: []byte(loginPage)}, false, 1, 0, true, true},
	} {
		for _, batched := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, batched %v", tt.name, batched), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var faults atomic.Int64
					sim := &graphsim.Server{Writing: graphsim.Writing{Duplicates: graphsim.DuplicateAsIfMade}, Fault: func(r *http.Request) *graphsim.Fault {
						if r.Method != "POST" || !strings.HasSuffix(r.URL.Path, "/me/events") || faults.Add(1) > 1 {
							return nil
						}
						return &tt.fault
					}}
					c, box := writing(t, sim)
					call := newEvent("lunch", "")
					if tt.idempotent {
						call = newEvent("lunch", "t1")
					}
					var err error
					if batched {
						err = c.Batch(t.Context(), call)[0]
					} else {
						err = c.Do(t.Context(), call)
					}
					if (err != nil) != tt.failed || errors.Is(err, graph.ErrMayHaveHappened) != tt.unclear {
						t.Errorf("error %v", err)
					}
					if n := sent(sim, "POST", "/me/events"); tt.sent > 0 && n != tt.sent || tt.made >= 0 && events(box) != tt.made {
						t.Errorf("sent %d times, want %d; %d events, want %d", n, tt.sent, events(box), tt.made)
					}
					if faults.Load() > int64(max(tt.sent, 1)) {
						t.Errorf("sent %d times", faults.Load())
					}
				})
			})
		}
	}
}

// Each part of a batch has its own word on it, whether the batch or the part is lost.
func TestLostBatchRepeatsWhatMayBe(t *testing.T) {
	for name, fault := range map[string]graphsim.Fault{
		"answer lost": {DropAnswer: true}, "cut before": {Drop: true}, "500": {Status: 500}, "a page of a proxy": {Status: 200, Body: []byte(loginPage)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var faults atomic.Int64
				sim := &graphsim.Server{Writing: graphsim.Writing{Duplicates: graphsim.DuplicateAsIfMade}, Fault: func(r *http.Request) *graphsim.Fault {
					if strings.HasSuffix(r.URL.Path, "/$batch") && faults.Add(1) == 1 {
						return &fault
					}
					return nil
				}}
				c, box := writing(t, sim)
				var calls []graph.Call
				for i := range 23 { // three of them in a batch that is not sent at first
					calls = append(calls, newEvent(fmt.Sprint(i), ""), newEvent(fmt.Sprint(i), fmt.Sprint("t", i)))
				}
				calls = append(calls, graph.Call{Method: "GET", Path: "/me/calendar"})
				once, certain := 0, 0
				for i, err := range c.Batch(t.Context(), calls...) {
					switch {
					case calls[i].Idempotent || calls[i].Method == "GET":
						if err != nil {
							t.Errorf("%d: %v", i, err)
						}
					case errors.Is(err, graph.ErrMayHaveHappened):
						once++
					case err == nil:
						certain++
					default:
						t.Errorf("%d: %v", i, err)
					}
				}
				if once != 10 || certain != 13 { // ten of the first twenty
					t.Errorf("%d may have happened, %d have", once, certain)
				}
				want := 23 + 13
				if fault.DropAnswer {
					want += 10
				}
				if n := events(box); n != want {
					t.Errorf("%d events, want %d", n, want)
				}
			})
		})
	}
}

// What fails after an answer that was lost may have happened then, whatever the last answer says.
func TestDoubtStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		replies := []reply{{500, nil, "", false}, {412, nil, string(testdata(t, "error-412-conflict.json")), false}}
		n := 0
		c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-Match") != `W/"1"` || r.Header.Get("Content-Type") != "application/json" || r.ContentLength != 2 {
				t.Errorf("header %v", r.Header)
			}
			replies[n].write(w)
			n++
		})
		err := c.Do(t.Context(), graph.Call{Method: "PATCH", Path: "/me/events/a", IfMatch: `W/"1"`, Body: "{}", Idempotent: true})
		var e *graph.Error
		if !errors.Is(err, graph.ErrMayHaveHappened) || !errors.As(err, &e) || e.Status != 412 || n != 2 {
			t.Errorf("%d requests, %v", n, err)
		}
	})
}

// A context that ends says nothing of what was done before.
func TestContextEndsAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, throttle := range []bool{false, true} {
			c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
				if throttle {
					reply{429, wait("60"), throttled, false}.write(w)
					return
				}
				<-r.Context().Done()
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := c.Do(ctx, newEvent("lunch", ""))
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, graph.ErrMayHaveHappened) == throttle {
				t.Errorf("throttled %v: %v", throttle, err)
			}
		}
	})
}

// A token that is refused as the context ends is not taken for a sign-in that has ended.
func TestContextEndsWithTheToken(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		reply{401, nil, string(testdata(t, "error-401-invalid-token.json")), false}.write(w)
	})
	c.Observe = func(graph.Observation) { cancel() }
	if err := c.Do(ctx, newEvent("lunch", "")); !errors.Is(err, context.Canceled) || graph.IsSignInNeeded(err) || errors.Is(err, graph.ErrMayHaveHappened) {
		t.Errorf("error %v", err)
	}
}

// Without a connection nothing was sent, whatever the transport; with one, anything may have been.
func TestConnectionsThatFailed(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer srv.Close()
	secure := httptest.NewUnstartedServer(srv.Config.Handler)
	secure.Config.ErrorLog = nil
	secure.StartTLS()
	defer secure.Close()
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	for _, tt := range []struct {
		name      string
		base      string
		transport http.RoundTripper
		unclear   bool
	}{
		{"refused", srv.URL, &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, refused }}, false},
		{"a certificate that nobody knows", secure.URL, &http.Transport{}, false},
		{"cut", srv.URL, &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return cutConn{conn}, err
		}}, true},
		{"refused, another transport", srv.URL, roundTrip(func(*http.Request) (*http.Response, error) { return nil, refused }), false},
		{"no such name, another transport", srv.URL, roundTrip(func(*http.Request) (*http.Response, error) {
			return nil, &net.DNSError{Err: "no such host", Name: "graph.microsoft.example"}
		}), false},
		{"cut, another transport", srv.URL, roundTrip(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &graph.Client{BaseURL: tt.base + "/v1.0", Tokens: &tokens{}, Attempts: 1, HTTP: &http.Client{Transport: tt.transport}}
			err := c.Do(t.Context(), newEvent("lunch", ""))
			if err == nil || errors.Is(err, graph.ErrMayHaveHappened) != tt.unclear {
				t.Errorf("error %v", err)
			}
		})
	}
	// What was not sent is sent again.
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		c := &graph.Client{BaseURL: testBase, Tokens: &tokens{}, HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if tries++; tries < 3 {
				return nil, refused
			}
			return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, nil
		})}}
		if err := c.Do(t.Context(), newEvent("lunch", "")); err != nil || tries != 3 {
			t.Errorf("%d tries, %v", tries, err)
		}
	})
}

// cutConn takes what is written, and is cut before an answer.
type cutConn struct{ net.Conn }

func (c cutConn) Read([]byte) (int, error) { return 0, errors.New("connection reset by peer") }

// A token that is refused for the first of many batches is renewed for all.
func TestTokenOfManyBatches(t *testing.T) {
	requests := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if requests++; r.Header.Get("Authorization") == "Bearer token-1" {
			reply{401, nil, string(testdata(t, "error-401-invalid-token.json")), false}.write(w)
			return
		}
		answerBatch(t, w, r, func(p part) reply { return reply{200, nil, `{"id":"` + p.id + `"}`, false} })
	})
	for _, r := range c.Events(t.Context(), "", make41()) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if requests != 4 {
		t.Errorf("%d requests", requests)
	}
}

func make41() (ids []graph.EventID) {
	for i := range 41 {
		ids = append(ids, graph.EventID(fmt.Sprintf("e%d", i)))
	}
	return ids
}

// A batch that fails now and then does not use up the attempts of those behind it.
func TestManyBatchesOutlastTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
			if requests++; requests%2 == 1 {
				reply{503, wait("100"), `{"error":{"code":"UnknownError"}}`, false}.write(w)
				return
			}
			answerBatch(t, w, r, func(p part) reply { return reply{200, nil, `{"id":"` + p.id + `"}`, false} })
		})
		var ids []graph.EventID
		for range 6 {
			ids = append(ids, make41()[:20]...)
		}
		for _, r := range c.Events(t.Context(), "", ids) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		if requests != 12 {
			t.Errorf("%d requests", requests)
		}
	})
}

// A subscription whose answer was lost is not asked for again: there would be two, or a conflict with nobody.
func TestLostSubscriptionIsSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sim graphsim.Server
		sim.Fault = func(r *http.Request) *graphsim.Fault {
			if r.Method == "POST" && strings.HasSuffix(r.URL.Path, "/subscriptions") {
				return &graphsim.Fault{DropAnswer: true}
			}
			return nil
		}
		o, _ := subscribing(t, &sim)
		_, err := o.Subscribe(t.Context(), wanted(time.Hour))
		if !errors.Is(err, graph.ErrMayHaveHappened) || !graph.IsUnavailable(err) {
			t.Errorf("error %v", err)
		}
		if n := sent(&sim, "POST", "/subscriptions"); n != 1 {
			t.Errorf("sent %d times", n)
		}
		if list, err := o.Client.Subscriptions(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("list %+v, %v", list, err)
		}
	})
}
