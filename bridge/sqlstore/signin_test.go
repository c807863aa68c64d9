package sqlstore

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

func TestSignIn(t *testing.T) { forEach(t, testSignIn) }

func testSignIn(t *testing.T, s *Store) {
	a := must(s.EnsureAccount(t.Context(), "alice"))(t)
	if !reflect.DeepEqual(a.Identity, bridge.Identity{}) {
		t.Errorf("identity %+v before anybody signed in", a.Identity)
	}
	alice, boss := bridge.Identity{ID: "1", Address: "alice@contoso.example", Name: "Alice"}, bridge.Identity{ID: "2", Address: "boss@contoso.example"}
	for i, step := range []struct {
		who     bridge.Identity
		other   bool
		refused bool
	}{
		{alice, false, false},
		{alice, false, false},
		{boss, false, true},
		{boss, true, false},
		{bridge.Identity{ID: "2", Address: "ceo@contoso.example"}, false, false}, // a new address is no other mailbox
	} {
		a := must(s.Account(t.Context(), "alice"))(t)
		err := bridge.SignIn(t.Context(), s, a, step.who, &oauth2.Token{RefreshToken: fmt.Sprint("token ", i)}, step.other)
		after := must(s.Account(t.Context(), "alice"))(t)
		tok := must(s.Tokens(a.ID).LoadToken(t.Context()))(t)
		if step.refused {
			if _, ok := err.(*bridge.OtherMailboxError); !ok || !reflect.DeepEqual(after.Identity, a.Identity) || after.TokenVersion != a.TokenVersion {
				t.Errorf("step %d: %v, then %+v", i, err, after)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(after.Identity, step.who) || after.TokenVersion != a.TokenVersion+1 || tok.RefreshToken != fmt.Sprint("token ", i) {
			t.Errorf("step %d: %v, then %+v with %q", i, err, after, tok.RefreshToken)
		}
	}
	if other := must(s.EnsureAccount(t.Context(), "bob"))(t); !reflect.DeepEqual(other.Identity, bridge.Identity{}) {
		t.Errorf("another account has the identity %+v", other.Identity)
	}
}

func TestLockToken(t *testing.T) { forEach(t, testLockToken) }

func testLockToken(t *testing.T, s *Store) {
	one := s.Tokens(must(s.EnsureAccount(t.Context(), "alice"))(t).ID).(tokens)
	two := s.Tokens(must(s.EnsureAccount(t.Context(), "bob"))(t).ID).(tokens)
	take := func(l tokens, life time.Duration, want bool) func() {
		t.Helper()
		unlock, taken, err := l.LockToken(t.Context(), life)
		if err != nil || taken != want || (unlock != nil) != want {
			t.Fatalf("taken %v, %v; want %v", taken, err, want)
		}
		return unlock
	}
	unlock := take(one, time.Hour, true)
	take(one, time.Hour, false)
	take(two, time.Hour, true) // accounts do not wait for each other
	unlock()
	stale := take(one, time.Millisecond, true)
	for { // it dies by itself
		if _, taken, err := one.LockToken(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		} else if taken {
			break
		}
	}
	stale() // whoever comes too late takes nothing from the new holder
	take(one, time.Hour, false)

	// A lease from a clock that was far ahead does not last.
	if _, err := s.write.exec(t.Context(), `UPDATE lease SET until = ? WHERE name = ?`, time.Now().AddDate(1, 0, 0).UnixMilli(), renewalLease(one.id)); err != nil {
		t.Fatal(err)
	}
	take(one, time.Hour, true)
}

// Several programs on one database renew a sign-in one after the other, and each refresh token is spent once.
func TestProcessesRenewOneByOne(t *testing.T) { forEachDatabase(t, testProcessesRenewOneByOne) }

func testProcessesRenewOneByOne(t *testing.T, path string) {
	var now, most, renewals atomic.Int64
	var mu sync.Mutex
	good := "first"
	login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		if r.PostFormValue("refresh_token") != good {
			t.Errorf("the refresh token %q is spent", r.PostFormValue("refresh_token"))
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_grant"}`)
			return
		}
		good = fmt.Sprint("refresh-", renewals.Add(1))
		fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3599,"access_token":"access-%d","refresh_token":%q}`, renewals.Load(), good)
	}))
	defer login.Close()
	key := freshKey()
	var sources []*graph.DelegatedTokens
	for range 4 {
		s := must(Open(t.Context(), path, key))(t)
		defer s.Close()
		a := must(s.EnsureAccount(t.Context(), "alice"))(t)
		if len(sources) == 0 {
			if err := s.Tokens(a.ID).SaveToken(t.Context(), nil, &oauth2.Token{RefreshToken: "first"}); err != nil {
				t.Fatal(err)
			}
		}
		sources = append(sources, &graph.DelegatedTokens{Authority: &graph.Authority{LoginURL: login.URL, ClientID: "c"}, Store: s.Tokens(a.ID)})
	}
	for round := int64(1); round <= 2; round++ {
		var all sync.WaitGroup
		for _, source := range sources {
			all.Go(func() {
				tok, err := source.Token(t.Context())
				if want := fmt.Sprint("access-", round); err != nil || tok != want {
					t.Errorf("token %q, %v; want %q", tok, err, want)
				}
			})
		}
		all.Wait()
		if renewals.Load() != round || most.Load() != 1 {
			t.Errorf("%d renewals, %d at once", renewals.Load(), most.Load())
		}
		for _, source := range sources { // Graph refuses the token: each process renews it, or takes what another got
			source.Invalidate(fmt.Sprint("access-", round))
		}
	}
}
