package graph_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"outbridge/bridge/graph"
)

// loginService plays the token endpoint: it knows the refresh tokens that are good, and rotates them.
type loginService struct {
	mu      sync.Mutex
	good    map[string]bool
	n       int
	forms   []url.Values
	answer  func(url.Values) *reply // nil, or returning nil: rotate
	expires int                     // seconds; 0: 3599
}

func (s *loginService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.ParseForm()
	s.forms = append(s.forms, r.PostForm)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if s.answer != nil {
		if a := s.answer(r.PostForm); a != nil {
			a.write(w)
			return
		}
	}
	if old := r.PostForm.Get("refresh_token"); r.PostForm.Get("grant_type") == "refresh_token" {
		if !s.good[old] {
			reply{status: 400, body: `{"error":"invalid_grant","error_codes":[70000],"error_description":"AADSTS70000: secret things"}`}.write(w)
			return
		}
		delete(s.good, old)
	}
	s.n++
	refresh := fmt.Sprintf("refresh-%d", s.n)
	s.good[refresh] = true
	expires := s.expires
	if expires == 0 {
		expires = 3599
	}
	fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":%d,"access_token":"access-%d","refresh_token":%q}`, expires, s.n, refresh)
}

// memoryStore is a TokenStore that several sources share.
type memoryStore struct {
	mu     sync.Mutex
	tok    *oauth2.Token
	saves  int
	err    error
	saving func() // called first
}

func (s *memoryStore) LoadToken(context.Context) (*oauth2.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tok == nil {
		return nil, graph.ErrNoToken
	}
	tok := *s.tok
	return &tok, nil
}

func (s *memoryStore) SaveToken(ctx context.Context, old, new *oauth2.Token) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saving != nil {
		s.saving()
	}
	if err := errors.Join(s.err, ctx.Err()); err != nil {
		return err
	}
	if s.tok == nil || s.tok.RefreshToken != old.RefreshToken {
		return graph.ErrTokenChanged
	}
	tok := *new
	s.tok = &tok
	s.saves++
	return nil
}

func authority(h http.Handler) *graph.Authority {
	return &graph.Authority{LoginURL: "https://login.example.com", Tenant: "contoso.example", ClientID: "client", Scopes: graph.Scopes("https://graph.example.com"), HTTP: &http.Client{Transport: inMemory{h}}}
}

func TestLoginServiceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := authority(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		began := time.Now()
		if _, err := a.DeviceCode(t.Context()); !graph.IsUnavailable(err) || !strings.Contains(err.Error(), "in time") || time.Since(began) != 30*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// checkToken checks that the source hands out token.
func checkToken(t *testing.T, s graph.TokenSource, want string) {
	t.Helper()
	if tok, err := s.Token(t.Context()); tok != want || err != nil {
		t.Errorf("token %q, %v; want %q", tok, err, want)
	}
}

func TestDelegatedTokensRefreshAndRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		login := &loginService{good: map[string]bool{"first": true}}
		store := &memoryStore{tok: &oauth2.Token{RefreshToken: "first"}}
		s := &graph.DelegatedTokens{Authority: authority(login), Store: store}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { checkToken(t, s, "access-1") })
		}
		all.Wait()
		want := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"first"}, "client_id": {"client"}}
		if len(login.forms) != 1 || login.forms[0].Encode() != want.Encode() {
			t.Errorf("asked %v", login.forms)
		}
		if store.tok.RefreshToken != "refresh-1" || store.tok.AccessToken != "access-1" || store.saves != 1 {
			t.Errorf("stored %+v", store.tok)
		}
		time.Sleep(50 * time.Minute)
		checkToken(t, s, "access-1")
		time.Sleep(8 * time.Minute)
		checkToken(t, s, "access-2") // before the old one ends
		s.Invalidate("access-1")
		checkToken(t, s, "access-2") // what is invalid is not what is used
		s.Invalidate("access-2")
		checkToken(t, s, "access-3")
		if store.tok.RefreshToken != "refresh-3" {
			t.Errorf("stored %+v", store.tok)
		}
		// Another process takes the stored access token and does not refresh.
		checkToken(t, &graph.DelegatedTokens{Authority: authority(login), Store: store}, "access-3")
		if len(login.forms) != 3 {
			t.Errorf("%d requests", len(login.forms))
		}
	})
}

func TestTwoProcessesShareARefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		login := &loginService{good: map[string]bool{"first": true}}
		store := &memoryStore{tok: &oauth2.Token{RefreshToken: "first"}}
		a := &graph.DelegatedTokens{Authority: authority(login), Store: store}
		b := &graph.DelegatedTokens{Authority: authority(login), Store: store}
		// b spends the token between a's look at the store and a's refresh, which is then refused.
		login.answer = func(url.Values) *reply {
			login.answer = nil
			login.mu.Unlock()
			checkToken(t, b, "access-1")
			login.mu.Lock()
			return nil
		}
		checkToken(t, a, "access-1")
		if len(login.forms) != 2 || store.saves != 1 {
			t.Errorf("%d requests, %d saves", len(login.forms), store.saves)
		}
		// Microsoft often honours both: then the one that stored first wins, and the other uses its token.
		a.Invalidate("access-1")
		b.Invalidate("access-1")
		login.answer = func(url.Values) *reply {
			login.answer = nil
			login.mu.Unlock()
			checkToken(t, b, "access-2")
			login.mu.Lock()
			login.good["refresh-1"] = true
			return nil
		}
		checkToken(t, a, "access-2")
		if store.tok.RefreshToken != "refresh-2" || store.saves != 2 {
			t.Errorf("stored %+v", store.tok)
		}
	})
}

// lockedStore is a memoryStore whose lock others can hold.
type lockedStore struct {
	memoryStore
	held  atomic.Bool
	locks int
}

func (s *lockedStore) LockToken(context.Context, time.Duration) (func(), bool, error) {
	if !s.held.CompareAndSwap(false, true) {
		return nil, false, nil
	}
	s.locks++
	return func() { s.held.Store(false) }, true, nil
}

func TestRenewalWaitsForOtherProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		login := &loginService{good: map[string]bool{"first": true}}
		store := &lockedStore{memoryStore: memoryStore{tok: &oauth2.Token{RefreshToken: "first"}}}
		s := &graph.DelegatedTokens{Authority: authority(login), Store: store}
		// Another process renews, and this one takes what it got.
		store.held.Store(true)
		time.AfterFunc(10*time.Second, func() {
			store.mu.Lock()
			defer store.mu.Unlock()
			store.tok = &oauth2.Token{AccessToken: "other", RefreshToken: "second", Expiry: time.Now().Add(time.Hour)}
			login.good["second"] = true
		})
		began := time.Now()
		checkToken(t, s, "other")
		if len(login.forms) != 0 || time.Since(began) > 12*time.Second {
			t.Errorf("%d requests, after %v", len(login.forms), time.Since(began))
		}
		// Another process holds on to it: while the old token lasts, nobody waits.
		time.Sleep(58 * time.Minute)
		began = time.Now()
		checkToken(t, s, "other")
		if time.Since(began) != 0 || len(login.forms) != 0 {
			t.Errorf("%d requests, after %v", len(login.forms), time.Since(began))
		}
		// It has died: this one renews, and gives the lock back.
		time.Sleep(3 * time.Minute)
		time.AfterFunc(5*time.Second, func() { store.held.Store(false) })
		checkToken(t, s, "access-1")
		if store.held.Load() || store.locks != 1 || len(login.forms) != 1 {
			t.Errorf("held %v, %d locks, %d requests", store.held.Load(), store.locks, len(login.forms))
		}
		// Whoever does not want to wait any more need not.
		time.Sleep(2 * time.Hour)
		store.held.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if tok, err := s.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("token %q, %v", tok, err)
		}
	})
}

func TestRotationIsStoredBeforeItIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		login := &loginService{good: map[string]bool{"first": true}}
		store := &memoryStore{tok: &oauth2.Token{RefreshToken: "first"}, err: errors.New("disk full")}
		s := &graph.DelegatedTokens{Authority: authority(login), Store: store}
		if tok, err := s.Token(t.Context()); tok != "" || !errors.Is(err, store.err) {
			t.Errorf("token %q, %v", tok, err)
		}
		// Whoever asked is gone: the rotation is stored all the same.
		store.err, login.good["first"] = nil, true
		ctx, cancel := context.WithCancel(t.Context())
		store.saving = cancel
		s.Token(ctx)
		if store.saves != 1 || store.tok.RefreshToken != "refresh-2" {
			t.Errorf("%d saves, stored %+v", store.saves, store.tok)
		}
	})
}

func TestRefusedRefreshIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		login := &loginService{good: map[string]bool{}}
		store := &memoryStore{tok: &oauth2.Token{RefreshToken: "dead"}}
		s := &graph.DelegatedTokens{Authority: authority(login), Store: store}
		for range 5 {
			var e *graph.AuthError
			if _, err := s.Token(t.Context()); !errors.As(err, &e) || e.Fixer != graph.Person || e.Code != "invalid_grant" || e.AADSTS != 70000 {
				t.Errorf("error %v", err)
			} else if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "dead") {
				t.Errorf("the error shows too much: %v", err)
			}
		}
		if len(login.forms) != 1 {
			t.Errorf("asked %d times", len(login.forms))
		}
		// A new sign-in ends it at once.
		store.tok, login.good["new"] = &oauth2.Token{RefreshToken: "new"}, true
		checkToken(t, s, "access-1")
		// Without one, it is asked again after a while, since an administrator may have changed a policy.
		store.tok = &oauth2.Token{RefreshToken: "dead"}
		s.Invalidate("access-1")
		s.Token(t.Context())
		if len(login.forms) != 2 {
			t.Errorf("asked %d times", len(login.forms))
		}
		time.Sleep(6 * time.Minute)
		s.Token(t.Context())
		if len(login.forms) != 3 {
			t.Errorf("asked %d times", len(login.forms))
		}
	})
}

func TestTransientTroubleOfTheLoginService(t *testing.T) {
	transient := []reply{{status: 503, body: ""}, {status: 502, body: loginPage}, {status: 404, body: loginPage}, {status: 200, body: loginPage}, {status: 200, body: `{}`},
		{status: 429, header: wait("20"), body: `{"error":"too_many"}`}, {status: 400, body: `{"error":"temporarily_unavailable"}`}, {status: 400, body: `{"error":"server_error"}`}, {status: 302, header: map[string]string{"Location": "https://portal.example"}}}
	for _, n := range []int{90033, 90024, 50087, 90006, 90090, 90055, 50196} {
		transient = append(transient, reply{status: 400, body: fmt.Sprintf(`{"error":"invalid_request","error_codes":[%d]}`, n)},
			reply{status: 400, body: fmt.Sprintf(`{"error":"invalid_grant","error_description":"AADSTS%d: Trouble."}`, n)})
	}
	for _, a := range transient {
		t.Run(fmt.Sprint(a.status, a.body), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				login := &loginService{good: map[string]bool{"first": true}}
				s := &graph.DelegatedTokens{Authority: authority(login), Store: &memoryStore{tok: &oauth2.Token{RefreshToken: "first"}}}
				login.answer = func(url.Values) *reply { return &a }
				_, err := s.Token(t.Context())
				if !graph.IsUnavailable(err) || graph.IsSignInNeeded(err) {
					t.Fatalf("error %v", err)
				}
				checkSentence(t, err)
				var e *graph.Error
				errors.As(err, &e)
				login.answer = nil
				if strings.Contains(a.body, "50196") && e.RetryAfter < 5*time.Minute {
					t.Errorf("retry after %v", e.RetryAfter)
				}
				if e.RetryAfter > 0 { // not asked before that
					if _, err := s.Token(t.Context()); !graph.IsUnavailable(err) || len(login.forms) != 1 {
						t.Errorf("%d requests, %v", len(login.forms), err)
					}
					time.Sleep(e.RetryAfter + 1)
				}
				checkToken(t, s, "access-1")

				// While the old access token lasts, such trouble is nobody's.
				time.Sleep(57*time.Minute + 30*time.Second)
				login.answer = func(url.Values) *reply { return &a }
				checkToken(t, s, "access-1")
				time.Sleep(3 * time.Minute)
				if _, err := s.Token(t.Context()); !graph.IsUnavailable(err) {
					t.Errorf("error %v", err)
				}
			})
		})
	}
	t.Run("no connection", func(t *testing.T) {
		a := authority(nil)
		a.HTTP.Transport = roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") })
		s := &graph.DelegatedTokens{Authority: a, Store: &memoryStore{tok: &oauth2.Token{RefreshToken: "first"}}}
		if _, err := s.Token(t.Context()); !graph.IsUnavailable(err) || strings.Contains(err.Error(), "contoso") {
			t.Errorf("error %v", err)
		}
	})
}

func TestTokensWithoutASignIn(t *testing.T) {
	for _, tok := range []*oauth2.Token{nil, {AccessToken: "a"}} {
		s := &graph.DelegatedTokens{Authority: authority(nil), Store: &memoryStore{tok: tok}}
		var e *graph.AuthError
		if _, err := s.Token(t.Context()); !errors.As(err, &e) || e.Code != "no_token" || !graph.IsSignInNeeded(err) || e.Reason != graph.ReasonNeverSignedIn {
			t.Errorf("error %v", err)
		}
	}
}

func TestAppTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		login := &loginService{good: map[string]bool{}}
		a := authority(login)
		a.ClientSecret, a.Scopes = "app secret", graph.AppScopes("https://graph.example.com")
		s := &graph.AppTokens{Authority: a}
		checkToken(t, s, "access-1")
		checkToken(t, s, "access-1")
		want := url.Values{"grant_type": {"client_credentials"}, "client_id": {"client"}, "client_secret": {"app secret"}, "scope": {"https://graph.example.com/.default"}}
		if len(login.forms) != 1 || login.forms[0].Encode() != want.Encode() {
			t.Errorf("asked %v", login.forms)
		}
		s.Invalidate("access-1")
		checkToken(t, s, "access-2")
		time.Sleep(time.Hour)
		checkToken(t, s, "access-3")

		body := string(testdata(t, "token-error-7000222-secret-expired.json"))
		login.answer = func(url.Values) *reply { return &reply{status: 401, body: body} }
		s.Invalidate("access-3")
		for range 3 {
			var e *graph.AuthError
			if _, err := s.Token(t.Context()); !errors.As(err, &e) || e.AADSTS != 7000222 || e.Fixer != graph.Operator || strings.Contains(err.Error(), "app secret") {
				t.Errorf("error %v", err)
			}
		}
		if len(login.forms) != 4 {
			t.Errorf("%d requests", len(login.forms))
		}
		for _, tenant := range []string{"", "common", "organizations", "consumers"} {
			a.Tenant = tenant
			if _, err := (&graph.AppTokens{Authority: a}).Token(t.Context()); err == nil || graph.IsUnavailable(err) || !strings.Contains(err.Error(), "tenant") {
				t.Errorf("tenant %q: %v", tenant, err)
			}
		}
	})
}

func TestTokenSourceEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &graph.AppTokens{Authority: authority(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if _, err := s.Token(ctx); !errors.Is(err, context.DeadlineExceeded) || graph.IsUnavailable(err) {
					t.Errorf("error %v", err)
				}
			})
		}
		all.Wait()
	})
}
