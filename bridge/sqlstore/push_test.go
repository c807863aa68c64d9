package sqlstore

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outbridge/bridge"
)

func TestPushSubscriptions(t *testing.T) { forEach(t, testPushSubscriptions) }

func testPushSubscriptions(t *testing.T, s *Store) {
	c := calendar(t, s)
	add := func(endpoint string, limit int) (bridge.PushSubscription, bool, error) {
		return s.AddPushSubscription(t.Context(), bridge.PushSubscription{User: "alice", Calendar: c.ID, Expires: now.Add(time.Hour),
			PushTarget: bridge.PushTarget{Endpoint: endpoint, PublicKey: []byte("public"), Auth: []byte("auth-" + endpoint)}}, limit)
	}
	behind := func(want ...string) []bridge.PushSubscription {
		t.Helper()
		list := must(s.BehindPushSubscriptions(t.Context(), 10))(t)
		var got []string
		for _, p := range list {
			got = append(got, p.Endpoint)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("behind are %q, want %q", got, want)
		}
		return list
	}
	one, created, err := add("https://push.example/one", 2)
	if err != nil || !created || one.ID == "" {
		t.Fatal(one, created, err)
	}
	behind()
	stage(t, s, c.ID, object("a.ics", "text", now, now))
	publish(t, s, c.ID, 1)
	list := behind("https://push.example/one")
	if p := list[0]; p.ID != one.ID || p.User != "alice" || p.Calendar != c.ID || !p.Expires.Equal(now.Add(time.Hour)) || p.Rev != 0 ||
		p.CalendarRev != 1 || p.Epoch != c.Epoch || string(p.Auth) != "auth-https://push.example/one" || string(p.PublicKey) != "public" {
		t.Errorf("%+v", p)
	}
	if _, created, err := add("https://push.example/two", 2); err != nil || !created {
		t.Fatal(created, err)
	}
	if _, _, err := add("https://push.example/three", 2); !errors.Is(err, bridge.ErrTooMany) {
		t.Errorf("a third one: %v", err)
	}
	again, created, err := add("https://push.example/one", 2)
	if err != nil || created || again.ID != one.ID {
		t.Errorf("renewed: %+v %v %v", again, created, err)
	}
	behind("https://push.example/one") // the renewal has not forgotten the message that is due

	stage(t, s, c.ID, object("b.ics", "text", now, now))
	publish(t, s, c.ID, 1)
	if err := s.SetDelivery(t.Context(), one.ID, 0, 3, now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	list = behind("https://push.example/two", "https://push.example/one")
	if p := list[1]; p.Failures != 3 || !p.NotBefore.Equal(now.Add(time.Minute)) {
		t.Errorf("%+v", p)
	}
	if err := s.SetDelivery(t.Context(), one.ID, 2, 0, time.Time{}); err != nil {
		t.Fatal(err)
	}
	behind("https://push.example/two")

	if err := s.RemovePushSubscription(t.Context(), "bob", one.ID); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("bob removes it: %v", err)
	}
	if err := s.RemovePushSubscription(t.Context(), "alice", one.ID); err != nil {
		t.Error(err)
	}
	if err := errors.Join(s.DropPushSubscription(t.Context(), one.ID), s.SetDelivery(t.Context(), one.ID, 9, 0, now)); err != nil {
		t.Errorf("one that is gone: %v", err)
	}
	if err := s.DropExpiredPushSubscriptions(t.Context(), now.Add(time.Hour-time.Second)); err != nil {
		t.Error(err)
	}
	behind("https://push.example/two")
	if err := s.DropExpiredPushSubscriptions(t.Context(), now.Add(time.Hour)); err != nil {
		t.Error(err)
	}
	behind()

	if _, _, err := s.AddPushSubscription(t.Context(), bridge.PushSubscription{User: "alice", Calendar: c.ID + 1, Expires: now}, 2); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("no such calendar: %v", err)
	}
}

// Endpoints, keys and the server's own key are in no file as they are.
func TestPushIsSealed(t *testing.T) { forEach(t, testPushIsSealed) }

func testPushIsSealed(t *testing.T, s *Store) {
	c := calendar(t, s)
	secret := "0123456789abcdef0123456789abcdef"
	if k := must(s.PushKey(t.Context(), []byte(secret)))(t); string(k) != secret {
		t.Errorf("%q", k)
	}
	if k := must(s.PushKey(t.Context(), []byte("another")))(t); string(k) != secret {
		t.Errorf("the second key is %q", k)
	}
	_, _, err := s.AddPushSubscription(t.Context(), bridge.PushSubscription{User: "alice", Calendar: c.ID, Expires: now,
		PushTarget: bridge.PushTarget{Endpoint: "https://push.example/in-the-clear", Auth: []byte("auth-in-the-clear")}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, plain := range []string{secret, "in-the-clear"} {
		if holds(t, s, plain) {
			t.Errorf("the database holds %q", plain)
		}
	}
	other := *s
	other.key = freshKey()
	if _, err := other.PushKey(t.Context(), []byte(secret)); !errors.Is(err, bridge.ErrWrongKey) {
		t.Errorf("with another key file: %v", err)
	}
}

func TestClaimDelivery(t *testing.T) { forEach(t, testClaimDelivery) }

func testClaimDelivery(t *testing.T, s *Store) {
	ctx := t.Context()
	c := calendar(t, s)
	kept, _, err := s.AddPushSubscription(ctx, bridge.PushSubscription{User: "alice", Calendar: c.ID, Expires: now.Add(time.Hour), PushTarget: bridge.PushTarget{Endpoint: "https://push.example/1"}}, 5)
	if err != nil {
		t.Fatal(err)
	}
	var claimed atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if ok, err := s.ClaimDelivery(ctx, kept.ID, now, now.Add(30*time.Second)); err != nil {
				t.Error(err)
			} else if ok {
				claimed.Add(1)
			}
		})
	}
	all.Wait()
	if claimed.Load() != 1 {
		t.Errorf("%d have claimed one message", claimed.Load())
	}
	if !must(s.ClaimDelivery(ctx, kept.ID, now.Add(30*time.Second), now.Add(time.Minute)))(t) {
		t.Error("it is not free after the one who has claimed it is dead")
	}
}
