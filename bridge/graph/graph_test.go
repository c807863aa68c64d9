package graph_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge/graph"
)

// inMemory answers without a network, so that synctest's clock runs, as a real server would: an aborted handler
// leaves a body that breaks off, and a cancelled request fails.
type inMemory struct{ http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	rec := httptest.NewRecorder()
	done := make(chan any, 1)
	go func() {
		defer func() { done <- recover() }()
		m.ServeHTTP(rec, r)
	}()
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case aborted := <-done:
		resp = rec.Result()
		if aborted != nil {
			resp.Body = io.NopCloser(io.MultiReader(resp.Body, brokenOff{}))
		}
		return resp, nil
	}
}

type brokenOff struct{}

func (brokenOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// tokens hands out token-1, token-2, …: the next one after each Invalidate.
type tokens struct {
	mu   sync.Mutex
	n    int
	errs []error // returned first
}

func (s *tokens) Token(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.errs) > 0 {
		err := s.errs[0]
		s.errs = s.errs[1:]
		return "", err
	}
	return fmt.Sprintf("token-%d", s.n+1), nil
}

func (s *tokens) Invalidate(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token == fmt.Sprintf("token-%d", s.n+1) {
		s.n++
	}
}

const testBase = "https://graph.example.com/v1.0"

// inMemoryClient is a Client of a Graph that h plays.
func inMemoryClient(h http.HandlerFunc) *graph.Client {
	return &graph.Client{BaseURL: testBase, HTTP: &http.Client{Transport: inMemory{h}}, Tokens: &tokens{}}
}

// serve is a Client of a Graph that h plays over real HTTP; nothing is sent twice.
func serve(t *testing.T, h http.HandlerFunc) *graph.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return &graph.Client{BaseURL: srv.URL + "/v1.0", Tokens: &tokens{}, Attempts: 1}
}

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	noChanges = `{"value":[],"@odata.deltaLink":"` + testBase + `/me/calendarView/delta?$deltatoken=SECRET2"}`
	cursor    = testBase + "/me/calendarView/delta?$deltatoken=SECRET1"
	throttled = `{"error":{"code":"ApplicationThrottled","message":"Application is over its MailboxConcurrency limit."}}`
	loginPage = `<!DOCTYPE html><html><body>Sign in to the network</body></html>`
)

// reply is one answer of a scripted server.
type reply struct {
	status int
	header map[string]string
	body   string
	abort  bool // the connection breaks after body
}

func (a reply) write(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(a.status)
	io.WriteString(w, a.body)
	if a.abort {
		panic(http.ErrAbortHandler)
	}
}

func wait(seconds string) map[string]string { return map[string]string{"Retry-After": seconds} }

func TestRetry(t *testing.T) {
	ok := reply{status: 200, body: noChanges}
	unknown := `{"error":{"code":"UnknownError","message":""}}`
	for _, test := range []struct {
		name     string
		replies  []reply // the last one is repeated
		requests int
		min, max time.Duration
		failed   func(error) bool // nil: succeeds
	}{
		{"at once", []reply{ok}, 1, 0, 0, nil},
		{"429 waits as told", []reply{{429, wait("17"), throttled, false}, ok}, 2, 17 * time.Second, 17 * time.Second, nil},
		{"503 waits as told", []reply{{503, wait("9"), throttled, false}, ok}, 2, 9 * time.Second, 9 * time.Second, nil},
		{"429 until a date", []reply{{429, map[string]string{"Retry-After": "Tue, 01 Sep 2026 10:00:40 GMT", "Date": "Tue, 01 Sep 2026 10:00:00 GMT"}, throttled, false}, ok}, 2, 40 * time.Second, 40 * time.Second, nil},
		{"429 without a wait", []reply{{429, nil, throttled, false}, ok}, 2, 750 * time.Millisecond, 1250 * time.Millisecond, nil},
		{"nonsense in Retry-After", []reply{{429, wait("soon"), throttled, false}, ok}, 2, 750 * time.Millisecond, 1250 * time.Millisecond, nil},
		{"negative Retry-After", []reply{{429, wait("-5"), throttled, false}, ok}, 2, 750 * time.Millisecond, 1250 * time.Millisecond, nil},
		{"a 500, a 502, a 504", []reply{{500, nil, unknown, false}, {502, nil, "", false}, {504, nil, unknown, false}, ok}, 4, 9750 * time.Millisecond, 16250 * time.Millisecond, nil},
		{"509", []reply{{509, nil, "", false}, ok}, 2, 750 * time.Millisecond, 1250 * time.Millisecond, nil},
		{"503 forever", []reply{{503, nil, unknown, false}}, 5, 30 * time.Second, 50 * time.Second, graph.IsUnavailable},
		{"429 forever", []reply{{429, wait("10"), throttled, false}}, 5, 40 * time.Second, 40 * time.Second, graph.IsThrottled},
		{"429 for an hour", []reply{{429, wait("3600"), throttled, false}}, 1, 0, 0, graph.IsThrottled},
		{"body breaks off", []reply{{200, nil, noChanges[:20], true}, ok}, 2, 750 * time.Millisecond, 1250 * time.Millisecond, nil},
		{"truncated JSON", []reply{{200, nil, noChanges[:20], false}, ok}, 2, 750 * time.Millisecond, 1250 * time.Millisecond, nil},
		{"empty 200", []reply{{200, nil, "", false}, ok}, 2, 750 * time.Millisecond, 1250 * time.Millisecond, nil},
		{"sign-in page with 200", []reply{{200, nil, loginPage, false}, ok}, 2, 750 * time.Millisecond, 1250 * time.Millisecond, nil},
		{"sign-in page with 403", []reply{{403, nil, loginPage, false}, ok}, 2, 750 * time.Millisecond, 1250 * time.Millisecond, nil},
		{"sign-in page with 404", []reply{{404, nil, loginPage, false}}, 5, 30 * time.Second, 50 * time.Second, graph.IsUnavailable},
		{"redirect", []reply{{302, map[string]string{"Location": "https://elsewhere.example/"}, "", false}, ok}, 2, 750 * time.Millisecond, 1250 * time.Millisecond, nil},
		{"412", []reply{{412, nil, string(testdata(t, "error-412-conflict.json")), false}}, 1, 0, 0, hasStatus(412)},
		{"501", []reply{{501, nil, string(testdata(t, "error-501.json")), false}}, 1, 0, 0, hasStatus(501)},
		{"403", []reply{{403, nil, string(testdata(t, "error-403-access-denied.json")), false}}, 1, 0, 0, graph.IsAccessDenied},
		{"410", []reply{{410, nil, string(testdata(t, "error-410-syncstatenotfound.json")), false}}, 1, 0, 0, graph.IsSyncStateLost},
		{"400 of a gateway", []reply{{400, nil, "", false}}, 1, 0, 0, hasStatus(400)},
		{"401 once", []reply{{401, nil, string(testdata(t, "error-401-invalid-token.json")), false}, ok}, 2, 0, 0, nil},
		{"401 twice", []reply{{401, nil, string(testdata(t, "error-401-invalid-token.json")), false}}, 2, 0, 0, graph.IsSignInNeeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				var authorization []string
				c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
					authorization = append(authorization, r.Header.Get("Authorization"))
					requests++
					test.replies[min(requests, len(test.replies))-1].write(w)
				})
				ctx, count := graph.CountRequests(t.Context())
				began := time.Now()
				_, err := c.Delta(ctx, cursor)
				if test.failed == nil && err != nil {
					t.Errorf("failed: %v", err)
				}
				if test.failed != nil && (err == nil || !test.failed(err)) {
					t.Errorf("not the error that was wanted: %v", err)
				}
				if requests != test.requests || count.Load() != int64(test.requests) {
					t.Errorf("%d requests, counted %d, want %d", requests, count.Load(), test.requests)
				}
				if took := time.Since(began); took < test.min || took > test.max {
					t.Errorf("took %v, want %v to %v", took, test.min, test.max)
				}
				if strings.HasPrefix(test.name, "401") && !slices.Equal(authorization, []string{"Bearer token-1", "Bearer token-2"}) {
					t.Errorf("authorizations %q", authorization)
				}
			})
		})
	}
}

func hasStatus(status int) func(error) bool {
	return func(err error) bool {
		var e *graph.Error
		return errors.As(err, &e) && e.Status == status && !graph.IsUnavailable(err)
	}
}

func TestRetryAfterHoldsTheWholeMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var requests atomic.Int64
		c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
			if requests.Add(1) == 1 {
				reply{429, wait("30"), throttled, false}.write(w)
				return
			}
			if at := time.Since(began); at < 30*time.Second {
				t.Errorf("request after %v, before the mailbox may be asked again", at)
			}
			io.WriteString(w, noChanges)
		})
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * time.Second)
				if _, err := c.Delta(t.Context(), cursor); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}

func TestRetryAfterBeyondMaxWaitFailsFastUntilItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
			if requests++; requests == 1 {
				reply{429, wait("3600"), throttled, false}.write(w)
				return
			}
			io.WriteString(w, noChanges)
		})
		c.MaxWait = time.Minute
		for range 3 {
			began := time.Now()
			_, err := c.Delta(t.Context(), cursor)
			var e *graph.Error
			if !errors.As(err, &e) || !graph.IsThrottled(err) || e.RetryAfter < 58*time.Minute {
				t.Errorf("error %v", err)
			}
			if time.Since(began) != 0 || requests != 1 {
				t.Errorf("waited %v, %d requests", time.Since(began), requests)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		if _, err := c.Delta(t.Context(), cursor); err != nil {
			t.Error(err)
		}
	})
}

func TestConnectionErrorsAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		c := &graph.Client{BaseURL: testBase, Tokens: &tokens{}, HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if tries++; tries < 3 {
				return nil, errors.New("dial tcp 192.0.2.1:443: connect: connection refused")
			}
			return inMemory{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, noChanges) })}.RoundTrip(r)
		})}}
		if _, err := c.Delta(t.Context(), cursor); err != nil || tries != 3 {
			t.Errorf("after %d tries: %v", tries, err)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTimeoutOfOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		c.Attempts, c.Timeout = 2, 20*time.Second
		_, err := c.Delta(t.Context(), cursor)
		if !graph.IsUnavailable(err) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

func TestContextEndsEveryWait(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"between attempts": func(w http.ResponseWriter, r *http.Request) { reply{503, nil, throttled, false}.write(w) },
		"at the gate":      func(w http.ResponseWriter, r *http.Request) { reply{429, wait("120"), throttled, false}.write(w) },
		"in a request":     func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := inMemoryClient(handler)
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(2*time.Second, cancel)
				var all sync.WaitGroup
				for range 8 { // more than there are slots
					all.Go(func() {
						began := time.Now()
						if _, err := c.Delta(ctx, cursor); !errors.Is(err, context.Canceled) {
							t.Errorf("error %v", err)
						}
						if took := time.Since(began); took != 2*time.Second {
							t.Errorf("ended after %v", took)
						}
					})
				}
				for _, r := range c.Events(ctx, "", []graph.EventID{"a", "b"}) {
					if r.Err == nil || graph.IsUnavailable(r.Err) {
						t.Errorf("result %v", r.Err)
					}
				}
				all.Wait()
			})
		})
	}
}

func TestTokenTroubleIsRetriedAndRefusalIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, noChanges) })
		c.Tokens = &tokens{errs: []error{&graph.Error{Op: "renew the sign-in", Status: 503}}}
		if _, err := c.Delta(t.Context(), cursor); err != nil {
			t.Error(err)
		}
		c.Tokens = &tokens{errs: []error{&graph.AuthError{Code: "invalid_grant", Fixer: graph.Person}}}
		began := time.Now()
		if _, err := c.Delta(t.Context(), cursor); !graph.IsSignInNeeded(err) || time.Since(began) != 0 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestFourRequestsAtOnceWithBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int64
		c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
			weight := int64(1)
			batch := strings.HasSuffix(r.URL.Path, "/$batch")
			if batch {
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(body))
				weight = min(int64(bytes.Count(body, []byte(`"method"`))), 4) // Outlook runs four of its parts at once
			}
			if n := running.Add(weight); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second)
			running.Add(-weight)
			if batch {
				answerBatch(t, w, r, func(p part) reply { return reply{status: 200, body: `{"id":"` + p.id + `"}`} })
				return
			}
			io.WriteString(w, noChanges)
		})
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() {
				if _, err := c.Delta(t.Context(), cursor); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		for i := range 12 {
			all.Go(func() {
				for _, r := range c.Events(t.Context(), "", []graph.EventID{"a", "b", "c", "d", "e", "f"}[:i%6+1]) {
					if r.Err != nil {
						t.Error(r.Err)
					}
				}
			})
		}
		all.Wait()
		if most.Load() != 4 {
			t.Errorf("%d requests of one mailbox at once", most.Load())
		}
	})
}

// A batch takes as many of the mailbox's slots as it has parts, up to four: one event is read beside three requests that
// take their time, and a batch of three beside one.
func TestSmallBatchGoesBesideOthers(t *testing.T) {
	for parts, others := range map[int]int{1: 3, 2: 2, 3: 1, 4: 0} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/$batch") {
					answerBatch(t, w, r, func(p part) reply { return reply{status: 200, body: `{"id":"` + p.id + `"}`} })
					return
				}
				<-release
				io.WriteString(w, noChanges)
			})
			read := func(n int) (took time.Duration) {
				began := time.Now()
				for _, r := range c.Events(t.Context(), "", []graph.EventID{"a", "b", "c", "d"}[:n]) {
					if r.Err != nil {
						t.Error(r.Err)
					}
				}
				return time.Since(began)
			}
			var all sync.WaitGroup
			slow := func() {
				all.Go(func() {
					if _, err := c.Delta(t.Context(), cursor); err != nil {
						t.Error(err)
					}
				})
			}
			for range others {
				slow()
			}
			synctest.Wait()
			if took := read(parts); took != 0 {
				t.Errorf("%d parts beside %d requests waited %v", parts, others, took)
			}
			slow()
			synctest.Wait()
			time.AfterFunc(time.Minute, func() { close(release) })
			if took := read(parts); took != time.Minute {
				t.Errorf("%d parts beside %d requests waited %v", parts, others+1, took)
			}
			all.Wait()
		})
	}
}

func TestFourRequestsAtOnceOverHTTP(t *testing.T) {
	var running, most atomic.Int64
	four := make(chan struct{})
	var open sync.Once
	var base string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n >= 4 {
			open.Do(func() { close(four) })
		}
		<-four // nobody is done before four have come
		fmt.Fprintf(w, `{"value":[],"@odata.deltaLink":"%s/delta?$deltatoken=x"}`, base)
	})
	base = c.BaseURL
	var all sync.WaitGroup
	for range 24 {
		all.Go(func() {
			if _, err := c.Delta(t.Context(), base+"/me/delta?$deltatoken=y"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most.Load() != 4 {
		t.Errorf("%d requests at once", most.Load())
	}
}

func TestRequestHeadersAndPaths(t *testing.T) {
	type seen struct{ uri, prefer, agent string }
	var requests []seen
	ids := make(map[string]bool)
	var base string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests = append(requests, seen{r.RequestURI, r.Header.Get("Prefer"), r.Header.Get("User-Agent")})
		ids[r.Header.Get("Client-Request-Id")] = true
		if r.Header.Get("Authorization") != "Bearer token-1" {
			t.Errorf("Authorization %q", r.Header.Get("Authorization"))
		}
		switch {
		case strings.Contains(r.RequestURI, "calendarView/delta?startDateTime"):
			fmt.Fprintf(w, `{"value":[],"@odata.nextLink":"%s/x/delta?$skiptoken=a%%2Fb+c~"}`, base)
		case strings.Contains(r.RequestURI, "skiptoken"):
			fmt.Fprintf(w, `{"value":[],"@odata.deltaLink":"%s/x/delta?$deltatoken=d"}`, base)
		default:
			fmt.Fprint(w, `{"value":[]}`)
		}
	})
	base = c.BaseURL
	c.Mailbox, c.PageSize, c.UserAgent = "room+1@contoso.example", 7, "outbridge/1.0"
	from := time.Date(2026, 3, 1, 1, 0, 0, 0, time.FixedZone("", 3600))
	page, err := c.Delta(t.Context(), c.DeltaURL("AAM/k+=", from, from.AddDate(0, 1, 0)))
	if err != nil {
		t.Fatal(err)
	}
	if page, err = c.Delta(t.Context(), page.Next); err != nil || page.Delta != base+"/x/delta?$deltatoken=d" || page.Next != "" {
		t.Fatalf("second page %+v, %v", page, err)
	}
	if _, err := c.Calendars(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Instances(t.Context(), "", "A/+=.", from, from.AddDate(0, 0, 1)); err != nil {
		t.Fatal(err)
	}
	for range c.EventsFrom(t.Context(), "c=", from) {
	}
	const mailbox = "/v1.0/users/room%2B1%40contoso.example/"
	prefer := `odata.maxpagesize=7, outlook.timezone="UTC", IdType="ImmutableId"`
	for i, want := range []seen{
		{mailbox + "calendars/AAM%2Fk%2B%3D/calendarView/delta?startDateTime=2026-03-01T00%3A00%3A00Z&endDateTime=2026-04-01T00%3A00%3A00Z", prefer, ""},
		{"/v1.0/x/delta?$skiptoken=a%2Fb+c~", prefer, ""},
		{mailbox + "calendars?$top=100", `outlook.timezone="UTC", IdType="ImmutableId"`, ""},
		{mailbox + "events/A%2F%2B%3D./instances?startDateTime=2026-03-01T00%3A00%3A00Z&endDateTime=2026-03-02T00%3A00%3A00Z&$top=7&$select=…", prefer, ""},
		{mailbox + "calendars/c%3D/events?$filter=start%2FdateTime%20ge%20%272026-03-01T00%3A00%3A00%27&$top=7", prefer, ""},
	} {
		want.agent = "outbridge/1.0"
		got := requests[i]
		got.uri = strings.ReplaceAll(got.uri, got.uri[strings.Index(got.uri+"&$select=", "&$select="):], "")
		want.uri = strings.TrimSuffix(want.uri, "&$select=…")
		if got != want {
			t.Errorf("request %d\n got %+v\nwant %+v", i, got, want)
		}
	}
	if len(ids) != len(requests) || ids[""] {
		t.Errorf("client-request-ids %v", ids)
	}
}

func TestForeignLinksAreNotFollowed(t *testing.T) {
	sent := 0
	c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) { sent++ })
	for _, link := range []string{
		"https://graph.evil.example/v1.0/me/calendarView/delta?$deltatoken=x",
		"http://graph.example.com/v1.0/me/calendarView/delta?$deltatoken=x",
		"https://graph.example.com:8443/v1.0/delta", "http://graph.example.com:443/v1.0/delta",
		"https://graph.example.com@evil.example/v1.0/delta",
		"https://user@graph.example.com/v1.0/delta",
		"https://graph.example.com.evil.example/",
		"//graph.example.com/v1.0/delta", "/v1.0/delta", "https:graph.example.com/delta", "file:///etc/passwd", "%", "",
	} {
		_, err := c.Delta(t.Context(), link)
		if !errors.Is(err, graph.ErrForeignLink) || !graph.IsSyncStateLost(err) {
			t.Errorf("%q: %v", link, err)
		}
		if err != nil && link != "" && strings.Contains(err.Error(), "deltatoken") {
			t.Errorf("the error shows the link: %v", err)
		}
	}
	if sent != 0 {
		t.Errorf("%d requests", sent)
	}
	c = inMemoryClient(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, noChanges) })
	for _, link := range []string{"https://GRAPH.example.com/v1.0/x", "https://graph.example.com:443/v1.0/x"} {
		if _, err := c.Delta(t.Context(), link); err != nil {
			t.Errorf("%q: %v", link, err)
		}
	}
}

func TestForeignLinksAreNotHandedOn(t *testing.T) {
	for body, call := range map[string]func(*graph.Client) error{
		`{"value":[],"@odata.deltaLink":"https://other.example/delta"}`: func(c *graph.Client) error { _, err := c.Delta(t.Context(), c.BaseURL+"/me/x"); return err },
		`{"value":[],"@odata.nextLink":"https://other.example/next"}`:   func(c *graph.Client) error { _, err := c.Calendars(t.Context()); return err },
	} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) })
		if err := call(c); !graph.IsUnavailable(err) || graph.IsSyncStateLost(err) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) })
	for _, own := range []*http.Client{nil, {}} {
		c := &graph.Client{BaseURL: c.BaseURL, Tokens: c.Tokens, HTTP: own, Attempts: 1}
		if _, err := c.Calendars(t.Context()); !graph.IsUnavailable(err) {
			t.Errorf("error %v", err)
		}
	}
}

func TestCountsNest(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"value":[]}`) })
	ctx, outer := graph.CountRequests(t.Context())
	c.Calendars(ctx)
	inner, n := graph.CountRequests(ctx)
	c.Calendars(inner)
	c.Calendars(t.Context())
	if outer.Load() != 2 || n.Load() != 1 {
		t.Errorf("outer %d, inner %d", outer.Load(), n.Load())
	}
}

func TestNoSecretInErrorsAndLogs(t *testing.T) {
	var log bytes.Buffer
	check := func(err error) {
		t.Helper()
		if err == nil {
			t.Fatal("no error")
		}
		for _, text := range []string{err.Error(), log.String()} {
			if strings.Contains(text, "SECRET") || strings.Contains(text, "token-1") {
				t.Errorf("a secret is in %q", text)
			}
		}
		if strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("more than one line: %q", err)
		}
	}
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { reply{403, nil, "<html>SECRET", false}.write(w) })
	c.Log = logger
	_, err := c.Delta(t.Context(), c.BaseURL+"/me/delta?$deltatoken=SECRET")
	check(err)
	c = serve(t, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	c.Log = logger
	_, err = c.Delta(t.Context(), c.BaseURL+"/me/delta?$deltatoken=SECRET")
	check(err)
	_, err = c.Delta(t.Context(), "https://SECRET:SECRET@other.example/?SECRET")
	check(err)
	if !strings.Contains(log.String(), "read changes") {
		t.Errorf("nothing was logged: %s", log.String())
	}
}

func TestCloud(t *testing.T) {
	for _, name := range []string{"global", "usgov", "dod", "china"} {
		login, base, ok := graph.Cloud(name)
		if !ok || !strings.HasPrefix(login, "https://login.") || !strings.HasPrefix(base, "https://") {
			t.Errorf("%s: %q %q %v", name, login, base, ok)
		}
	}
	if _, _, ok := graph.Cloud("custom"); ok {
		t.Error("custom is no cloud of Microsoft's")
	}
}

// part is one request of a $batch, as it came.
type part struct{ id, path, prefer string }

// answerBatch answers each part of a $batch, last one first.
func answerBatch(t *testing.T, w http.ResponseWriter, r *http.Request, answer func(part) reply) {
	var batch struct {
		Requests []struct {
			ID, Method, URL string
			Headers         map[string]string
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&batch); err != nil {
		t.Errorf("not a batch: %v", err)
	}
	if n := len(batch.Requests); n == 0 || n > 20 || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("a batch of %d, %s", n, r.Header.Get("Content-Type"))
	}
	responses := []map[string]any{{"id": "no such part", "status": 200, "body": map[string]any{"id": "stray"}}}
	seen := make(map[string]bool)
	for _, p := range slices.Backward(batch.Requests) {
		if seen[p.ID] || p.Method != "GET" || !strings.HasPrefix(p.URL, "/") {
			t.Errorf("part %+v", p)
		}
		seen[p.ID] = true
		path, _, _ := strings.Cut(p.URL, "?")
		a := answer(part{id: path[strings.LastIndexByte(path, '/')+1:], path: p.URL, prefer: p.Headers["Prefer"]})
		if a.status == 0 {
			continue // this part is lost
		}
		headers := map[string]any{"Content-Type": "application/json"}
		for k, v := range a.header {
			headers[k] = v
		}
		response := map[string]any{"id": p.ID, "status": a.status, "headers": headers}
		if json.Valid([]byte(a.body)) {
			response["body"] = json.RawMessage(a.body)
		} else {
			response["body"] = a.body
		}
		responses = append(responses, response)
	}
	json.NewEncoder(w).Encode(map[string]any{"responses": responses})
}
