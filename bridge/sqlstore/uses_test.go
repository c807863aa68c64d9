package sqlstore

import (
	"errors"
	"testing"
	"time"

	"outbridge/bridge"
)

// reopened closes a store, which waits for what is noted, and opens it again.
func reopened(t *testing.T, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return openDatabase(t, databaseOf(s), s.key)
}

// TestUses: a use is noted once an hour, by whom; without a client, nothing is.
func TestUses(t *testing.T) { forEach(t, testUses) }

func testUses(t *testing.T, s *Store) {
	ctx := t.Context()
	_, password, err := s.AddPassword(ctx, "alice", "laptop", now)
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := s.AddFeed(ctx, bridge.Feed{User: "alice", Detail: bridge.DetailFull, Created: now})
	if err != nil {
		t.Fatal(err)
	}
	use := func(agent string) {
		t.Helper()
		of := ctx
		if agent != "" {
			of = bridge.WithClient(ctx, agent)
		}
		if _, ok, err := s.CheckPassword(of, "alice", password); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if _, err := s.FeedBySecret(of, secret); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := s.CheckPassword(of, "alice", "wrong"); ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	check := func(client string) {
		t.Helper()
		s = reopened(t, s)
		passwords, feeds := must(s.Passwords(ctx, "alice"))(t), must(s.Feeds(ctx, "alice"))(t)
		if passwords[0].Client != client || feeds[0].Client != client || passwords[0].Used.IsZero() != (client == "") || feeds[0].Used.IsZero() != (client == "") {
			t.Errorf("not %q: %+v, %+v", client, passwords, feeds)
		}
	}
	use("")
	check("")
	for range 1000 {
		use("first")
	}
	use("second") // within the hour
	check("first")
	use("second") // after a restart, and still within the hour
	check("first")
	if _, err := s.write.exec(ctx, `UPDATE password SET used = used - 3600`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.write.exec(ctx, `UPDATE feed SET used = ?`, time.Now().Add(time.Hour).Unix()); err != nil { // the clock was set back
		t.Fatal(err)
	}
	use("second")
	check("second")
}

func TestKeptFeed(t *testing.T) { forEach(t, testKeptFeed) }

func testKeptFeed(t *testing.T, s *Store) {
	ctx := t.Context()
	feed, secret, err := s.AddFeed(ctx, bridge.Feed{User: "alice", Detail: bridge.DetailFull, Created: now, Kept: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := must(s.FeedSecret(ctx, "alice", feed.ID))(t); got != secret {
		t.Errorf("%q, not %q", got, secret)
	}
	if _, err := s.FeedSecret(ctx, "bob", feed.ID); !errors.Is(err, bridge.ErrNotFound) {
		t.Error(err)
	}
	rotated := must(s.RotateFeed(ctx, "alice", feed.ID))(t)
	if got := must(s.FeedSecret(ctx, "alice", feed.ID))(t); got != rotated {
		t.Errorf("%q, not %q", got, rotated)
	}
	// Nobody finds it in the file.
	if holds(t, s, rotated) || holds(t, s, secret) {
		t.Error("the secret is readable in the database")
	}
	feed.Kept = false
	if err := s.ChangeFeed(ctx, feed); err != nil {
		t.Fatal(err)
	}
	must(s.FeedBySecret(ctx, rotated))(t)
	feed.Kept = true
	if err := s.ChangeFeed(ctx, feed); err != nil {
		t.Fatal(err)
	}
	if _, err := s.FeedSecret(ctx, "alice", feed.ID); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("what was not kept can be read: %v", err)
	}
}

func TestOptions(t *testing.T) { forEach(t, testOptions) }

func testOptions(t *testing.T, s *Store) {
	ctx := t.Context()
	if o, c := must(s.Options(ctx))(t), must(s.Credential(ctx))(t); o != (bridge.Options{}) || c != (bridge.Credential{}) {
		t.Errorf("%+v, %+v", o, c)
	}
	want, credential := bridge.Options{Interval: "5m", Notifications: true}, bridge.Credential{Secret: "open sesame", Expires: "2031-01-31"}
	if err := errors.Join(s.SetOptions(ctx, want), s.SetRegistration(ctx, bridge.Registration{ClientID: "app"}, credential)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddAccount(ctx, "alice", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.SetAccountOptions(ctx, "alice", bridge.AccountOptions{Exclude: []string{"Family"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.EnsureAccount(ctx, "bob"); err != nil { // of the configuration
		t.Fatal(err)
	}
	if err := s.SetAccountOptions(ctx, "bob", bridge.AccountOptions{}); !errors.Is(err, bridge.ErrNotFound) {
		t.Error(err)
	}
	s = reopened(t, s)
	if o, c := must(s.Options(ctx))(t), must(s.Credential(ctx))(t); o != want || c != credential {
		t.Errorf("%+v, %+v", o, c)
	}
	if a := must(s.Account(ctx, "alice"))(t); len(a.Options.Exclude) != 1 || a.Options.Exclude[0] != "Family" {
		t.Errorf("%+v", a)
	}
}
