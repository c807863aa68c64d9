package graph_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
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
			if _, err := s.Token(t.Context()); !errors.As(err, &e) || !e.SignIn || e.Code != "invalid_grant" || e.AADSTS != 70000 {
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
		if _, err := s.Token(t.Context()); !errors.As(err, &e) || e.Code != "no_token" || !graph.IsSignInNeeded(err) || !strings.Contains(e.Action, "outbridge login ACCOUNT") {
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
			if _, err := s.Token(t.Context()); !errors.As(err, &e) || e.AADSTS != 7000222 || e.SignIn || strings.Contains(err.Error(), "app secret") {
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

// TestErrorsOfTheLoginService has a row for each answer of the documentation, and for each number that has advice.
func TestErrorsOfTheLoginService(t *testing.T) {
	files := map[string]struct {
		number int
		signIn bool
		says   string
	}{
		"token-error-50076-mfa.json":                {50076, true, "multi-factor"},
		"token-error-50173-revoked.json":            {50173, true, "revoked"},
		"token-error-53003-conditional-access.json": {53003, false, "Conditional Access"},
		"token-error-65001-consent.json":            {65001, true, "consented"},
		"token-error-7000222-secret-expired.json":   {7000222, false, "expired"},
		"token-error-700082-inactive.json":          {700082, true, "expired"},
		"token-error-invalid-scope.json":            {70011, false, "permissions"},
		"token-error-authorization-pending.json":    {70016, false, ""},
	}
	if found, _ := filepath.Glob("testdata/token-error-*.json"); len(found) != len(files) {
		t.Errorf("%d examples, %d expectations", len(found), len(files))
	}
	for name, want := range files {
		e := refuse(t, 400, string(testdata(t, name)))
		if e.AADSTS != want.number || e.SignIn != want.signIn || !strings.Contains(e.Sentence, want.says) {
			t.Errorf("%s: %+v", name, *e)
		}
		if (e.Claims != "") != (want.number == 50076) || (e.SubError != "") != (want.number == 65001) || (want.number == 70011) && e.TraceID != "0000aaaa-11bb-cccc-dd33-eeeeee333333" {
			t.Errorf("%s: %+v", name, *e)
		}
		checkSentence(t, e)
	}
	if e := refuse(t, 400, `{"error":"invalid_grant","error_codes":[50173],"error_description":"AADSTS50076: not this one"}`); e.AADSTS != 50173 {
		t.Errorf("%+v", *e)
	}
	generic := refuse(t, 400, `{"error":"invalid_grant","error_codes":[99999]}`)
	if !generic.SignIn || generic.AADSTS != 99999 {
		t.Errorf("%+v", *generic)
	}
	for _, n := range []int{70018, 70019, 700082, 70008, 700084, 50173, 50132, 50133, 70043, 50076, 50078, 50079, 50072, 50074, 53003, 53000, 53001, 65001, 65004, 90094, 90095,
		50055, 50057, 50053, 50034, 50105, 54005, 501481, 50158, 500121, 50058, 16000, 700023, 700024, 700030, 7000229, 7000112, 70001, 50011, 500112, 500113,
		50059, 50128, 65005, 500011, 1002012, 650055, 7000215, 7000222, 7000218, 700025, 700027, 700016, 90002, 900023, 50020, 50194, 9002332, 9001023, 900432,
		70011, 28002, 28003, 650052, 650053, 650054, 650056, 650057} {
		// The number counts wherever it stands, and whatever the code beside it is.
		for _, body := range []string{`{"error":"invalid_grant","error_codes":[99999,%d]}`, `{"error":"invalid_grant","error_description":"AADSTS%d: Words."}`, `{"error":"x","error_codes":["%d"]}`} {
			e := refuse(t, 400, fmt.Sprintf(body, n))
			if e.AADSTS != n || e.Sentence == generic.Sentence || !oneSentence(e.Sentence) || !oneSentence(e.Action) {
				t.Errorf("%d: %+v", n, *e)
			}
		}
	}
	for _, n := range []int{53000, 53001, 53003, 90094, 90095, 50057, 50053, 50105, 650052} { // an administrator's to mend
		if e := refuse(t, 400, fmt.Sprintf(`{"error":"invalid_grant","error_codes":[%d]}`, n)); !e.Admin || e.SignIn {
			t.Errorf("%d: %+v", n, *e)
		}
	}
	for description, says := range map[string]string{ // how often is only in the words
		"The token was issued on 2026-02-01T08:00:00Z and the maximum allowed lifetime for this request is 604800.": "requires a new sign-in every 7 days.",
		"… the maximum allowed lifetime for this request is 86400. Trace":                                           "every day.",
		"… the maximum allowed lifetime for this request is 43200":                                                  "every 12 hours.",
		"… the maximum allowed lifetime for this request is 0.":                                                     "after a fixed time",
		"due to sign-in frequency checks by conditional access":                                                     "after a fixed time",
	} {
		e := refuse(t, 400, fmt.Sprintf(`{"error":"invalid_grant","error_codes":[70043],"error_description":"AADSTS70043: %s"}`, description))
		if !strings.Contains(e.Sentence, says) || !strings.Contains(e.Action, "needed again") || !e.SignIn {
			t.Errorf("%s: %+v", description, *e)
		}
	}
	for code, signIn := range map[string]bool{"invalid_grant": true, "interaction_required": true, "consent_required": true, "login_required": true, "invalid_client": false, "unauthorized_client": false,
		"invalid_scope": false, "access_denied": true, "expired_token": true, "never_heard_of": false} {
		if e := refuse(t, 400, `{"error":"`+code+`"}`); e.SignIn != signIn || !oneSentence(e.Sentence) || !oneSentence(e.Action) || e.Code != code {
			t.Errorf("%s: %+v", code, *e)
		}
	}
}

func oneSentence(s string) bool {
	return len(s) > 10 && strings.HasSuffix(s, ".") && !strings.Contains(strings.TrimSuffix(s, "."), ". ")
}

// refuse is the final error of a token request that is answered so.
func refuse(t *testing.T, status int, body string) *graph.AuthError {
	t.Helper()
	a := authority(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		reply{status: status, body: body}.write(w)
	}))
	_, err := a.Exchange(t.Context(), "http://localhost/", "code", "verifier")
	var e *graph.AuthError
	if !errors.As(err, &e) {
		t.Fatalf("%s: not an AuthError: %v", body, err)
	}
	return e
}

func FuzzTokenErrors(f *testing.F) {
	files, _ := filepath.Glob("testdata/token-*.json")
	for _, file := range files {
		f.Add(400, testdata(f, filepath.Base(file)))
	}
	f.Add(401, []byte(`{"error":"a\nb","error_codes":[1e9,"x",null,-3],"claims":"{"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		a := authority(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reply{status: status, body: string(body)}.write(w) }))
		a.ClientSecret = "secret"
		tok, err := a.Exchange(t.Context(), "http://localhost/", "code", "verifier")
		if (tok == nil) == (err == nil) {
			t.Fatalf("token %v, error %v", tok, err)
		}
		if err == nil {
			return
		}
		var final *graph.AuthError
		if errors.As(err, &final) == graph.IsUnavailable(err) {
			t.Errorf("neither final nor transient: %v", err)
		}
		checkSentence(t, err)
	})
}

// deviceService plays the device code flow: one answer of the token endpoint for each poll.
func deviceService(t *testing.T, polls *[]time.Duration, answers ...reply) http.Handler {
	began := time.Now()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /contoso.example/oauth2/v2.0/devicecode", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("client_id") != "client" || r.PostFormValue("scope") != "https://graph.example.com/Calendars.Read https://graph.example.com/User.Read offline_access" {
			t.Errorf("asked %v", r.PostForm)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(testdata(t, "devicecode-response.json"))
	})
	mux.HandleFunc("POST /contoso.example/oauth2/v2.0/token", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:device_code" || r.PostFormValue("device_code") != "foo" || r.PostFormValue("client_id") != "client" || r.PostForm.Has("client_secret") {
			t.Errorf("asked %v", r.PostForm)
		}
		*polls = append(*polls, time.Since(began))
		w.Header().Set("Content-Type", "application/json")
		answers[min(len(*polls), len(answers))-1].write(w)
	})
	return mux
}

func TestDeviceCode(t *testing.T) {
	pending := reply{status: 400, body: string(testdata(t, "token-error-authorization-pending.json"))}
	success := reply{status: 200, body: string(testdata(t, "token-success-device.json"))}
	seconds := func(s ...int) (d []time.Duration) {
		for _, n := range s {
			d = append(d, time.Duration(n)*time.Second)
		}
		return d
	}
	for _, test := range []struct {
		name    string
		answers []reply
		polls   []time.Duration // nil: until the code ends
		code    string          // of the AuthError, "" for success
	}{
		{"signed in", []reply{pending, pending, success}, seconds(5, 10, 15), ""},
		{"slow down", []reply{pending, {status: 400, body: `{"error":"slow_down"}`}, pending, success}, seconds(5, 10, 20, 30), ""},
		{"outages", []reply{pending, {status: 503}, {status: 200, abort: true}, {status: 400, body: `{"error":"temporarily_unavailable"}`}, success}, seconds(5, 10, 20, 35, 55), ""},
		{"declined", []reply{pending, {status: 400, body: `{"error":"authorization_declined","error_codes":[65004]}`}}, seconds(5, 10), "authorization_declined"},
		{"wrong code", []reply{{status: 400, body: `{"error":"bad_verification_code","error_codes":[70018]}`}}, seconds(5), "bad_verification_code"},
		{"expired", []reply{{status: 400, body: `{"error":"expired_token","error_codes":[70019]}`}}, seconds(5), "expired_token"},
		{"blocked", []reply{pending, {status: 400, body: string(testdata(t, "token-error-53003-conditional-access.json"))}}, seconds(5, 10), "invalid_grant"},
		{"no public client", []reply{{status: 401, body: `{"error":"invalid_client","error_codes":[7000218]}`}}, seconds(5), "invalid_client"},
		{"nobody came", []reply{pending}, nil, "expired_token"},
		{"no lasting sign-in", []reply{{status: 200, body: `{"access_token":"a","expires_in":3599}`}}, seconds(5), "no_refresh_token"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var polls []time.Duration
				began := time.Now()
				a := authority(deviceService(t, &polls, test.answers...))
				d, err := a.DeviceCode(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if d.UserCode != "A62NXK96N" || d.VerificationURI != "https://microsoft.com/devicelogin" || !d.Expires.Equal(began.Add(15*time.Minute)) || !strings.HasPrefix(d.Message, "To sign in, use a web browser") {
					t.Errorf("device code %+v", d)
				}
				tok, err := a.Wait(t.Context(), d)
				if test.polls != nil && !slices.Equal(polls, test.polls) || test.polls == nil && time.Since(began) != 15*time.Minute {
					t.Errorf("polled at %v, ended after %v", polls, time.Since(began))
				}
				if test.code == "" {
					if err != nil || tok.AccessToken == "" || tok.RefreshToken == "" || tok.Expiry.Before(time.Now()) {
						t.Errorf("token %v, %v", tok, err)
					}
					return
				}
				var e *graph.AuthError
				if !errors.As(err, &e) || e.Code != test.code || tok != nil {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

func TestDeviceCodeEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var polls []time.Duration
		a := authority(deviceService(t, &polls, reply{status: 503}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		d, err := a.DeviceCode(ctx)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := a.Wait(ctx, d); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		a = authority(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began = time.Now()
		if _, err := a.DeviceCode(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("error %v", err)
		}
	})
}

func TestDeviceCodeRefused(t *testing.T) {
	for body, final := range map[string]bool{`{"error":"unauthorized_client","error_codes":[700016]}`: true, `{}`: false, `<html>`: false, `{"device_code":"x"}`: false, `{"error":"invalid_request","error_codes":[90002]}`: true} {
		status := 400
		if strings.Contains(body, "device_code") {
			status = 200
		}
		a := authority(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reply{status: status, body: body}.write(w) }))
		_, err := a.DeviceCode(t.Context())
		var e *graph.AuthError
		if errors.As(err, &e) != final || graph.IsUnavailable(err) == final {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestAuthorizationCodeOverHTTP(t *testing.T) {
	var form url.Values
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		form = r.PostForm
		w.Header().Set("Content-Type", "application/json")
		w.Write(testdata(t, "token-success-refresh.json"))
	}))
	defer srv.Close()
	a := &graph.Authority{LoginURL: srv.URL, ClientID: "client", ClientSecret: "s", Scopes: graph.Scopes("https://graph.microsoft.us")}
	u, err := url.Parse(a.AuthCodeURL("http://127.0.0.1/back", "state", "verifier-of-43-characters-or-more-0123456789ab", `{"a":1}`))
	if err != nil || u.Path != "/common/oauth2/v2.0/authorize" {
		t.Fatal(u, err)
	}
	q := u.Query()
	for name, want := range map[string]string{"client_id": "client", "redirect_uri": "http://127.0.0.1/back", "response_type": "code", "state": "state", "code_challenge_method": "S256",
		"prompt": "select_account", "claims": `{"a":1}`, "scope": "https://graph.microsoft.us/Calendars.Read https://graph.microsoft.us/User.Read offline_access"} {
		if q.Get(name) != want {
			t.Errorf("%s = %q", name, q.Get(name))
		}
	}
	if q.Get("code_challenge") == "" || strings.Contains(u.String(), "verifier") {
		t.Errorf("%s", u)
	}
	tok, err := a.Exchange(t.Context(), "http://127.0.0.1/back", "the code", "verifier")
	if err != nil || !strings.HasPrefix(tok.RefreshToken, "AwABAAAAvPM1KaPlrEqdFSBzjqfTGAMxZGUTdM0t4B4") {
		t.Errorf("%v, %v", tok, err)
	}
	if form.Get("code") != "the code" || form.Get("code_verifier") != "verifier" || form.Get("client_secret") != "s" || form.Get("grant_type") != "authorization_code" || form.Get("redirect_uri") != "http://127.0.0.1/back" {
		t.Errorf("asked %v", form)
	}
}

func TestLoginDoesNotFollowRedirects(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		t.Errorf("sent elsewhere: %s", b)
	}))
	defer elsewhere.Close()
	srv := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer srv.Close()
	s := &graph.AppTokens{Authority: &graph.Authority{LoginURL: srv.URL, Tenant: "t", ClientID: "c", ClientSecret: "s"}}
	if _, err := s.Token(t.Context()); !graph.IsUnavailable(err) {
		t.Errorf("error %v", err)
	}
}
