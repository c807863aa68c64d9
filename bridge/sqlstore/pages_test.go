package sqlstore

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

func TestAdministrator(t *testing.T) { forEach(t, testAdministrator) }

func testAdministrator(t *testing.T, s *Store) {
	ctx := t.Context()
	if _, err := s.Administrator(ctx); !errors.Is(err, bridge.ErrNotFound) {
		t.Fatal(err)
	}
	if err := s.SetAdministrator(ctx, "one", true); err != nil {
		t.Fatal(err)
	}
	if err := s.SetAdministrator(ctx, "two", true); !errors.Is(err, bridge.ErrExists) {
		t.Errorf("a second first password: %v", err)
	}
	_, secret, err := s.AddSession(ctx, bridge.Session{Created: now, Seen: now, Expires: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if hash := must(s.Administrator(ctx))(t); hash != "one" {
		t.Errorf("the hash is %q", hash)
	}
	if err := s.SetAdministrator(ctx, "three", false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SessionBySecret(ctx, secret, now); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("a session outlives the password: %v", err)
	}
}

// All machines print the same code, until it has been used.
func TestSetupCode(t *testing.T) { forEach(t, testSetupCode) }

func testSetupCode(t *testing.T, s *Store) {
	ctx := t.Context()
	for i, fresh := range []string{"one", "two"} {
		if code := must(s.SetupCode(ctx, fresh))(t); code != "one" {
			t.Errorf("%d: %q", i, code)
		}
	}
	other := *s
	other.key = freshKey()
	if code := must(other.SetupCode(ctx, "three"))(t); code != "three" {
		t.Errorf("with another key: %q", code)
	}
	if err := s.SetAdministrator(ctx, "hash", true); err != nil {
		t.Fatal(err)
	}
	if code := must(s.SetupCode(ctx, "four"))(t); code != "four" {
		t.Errorf("after it was used: %q", code)
	}
}

func TestSessions(t *testing.T) { forEach(t, testSessions) }

func testSessions(t *testing.T, s *Store) {
	ctx := t.Context()
	var made []bridge.Session
	var secrets []string
	for i := range 3 {
		at := now.Add(time.Duration(i) * time.Minute)
		v, secret, err := s.AddSession(ctx, bridge.Session{Agent: "browser", Created: at, Seen: at, Expires: at.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		made, secrets = append(made, v), append(secrets, secret)
	}
	if diff := cmp.Diff([]bridge.Session{made[2], made[1], made[0]}, must(s.Sessions(ctx, 0, now))(t)); diff != "" {
		t.Error(diff)
	}
	if got := must(s.SessionBySecret(ctx, secrets[1], now))(t); got != made[1] {
		t.Errorf("%+v", got)
	}
	if _, err := s.SessionBySecret(ctx, secrets[0], now.Add(time.Hour)); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("an expired session: %v", err)
	}
	if err := s.ProlongSession(ctx, made[0].ID, now.Add(time.Hour), now.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := must(s.SessionBySecret(ctx, secrets[0], now.Add(time.Hour)))(t); !got.Expires.Equal(now.Add(2 * time.Hour)) {
		t.Errorf("%+v", got)
	}
	if err := s.EndSessions(ctx, 0, now, made[0].ID); err != nil {
		t.Fatal(err)
	}
	if list := must(s.Sessions(ctx, 0, now))(t); len(list) != 2 {
		t.Errorf("%+v", list)
	}
	if err := s.EndSessions(ctx, 0, now); err != nil {
		t.Fatal(err)
	}
	if list := must(s.Sessions(ctx, 0, now))(t); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}

func TestRegistration(t *testing.T) { forEach(t, testRegistration) }

func testRegistration(t *testing.T, s *Store) {
	ctx := t.Context()
	want := bridge.Registration{}
	for range 2 {
		if got := must(s.Registration(ctx))(t); got != want {
			t.Errorf("%+v", got)
		}
		want = bridge.Registration{ClientID: "client", Tenant: "contoso.example"}
		if err := s.SetRegistration(ctx, want, bridge.Credential{Secret: "s3cret"}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTicket(t *testing.T) { forEach(t, testTicket) }

func testTicket(t *testing.T, s *Store) {
	ctx := t.Context()
	want := bridge.Ticket{User: "alice", Label: "iPhone", Expires: now.Add(time.Minute)}
	secret := must(s.AddTicket(ctx, want))(t)
	if got := must(s.TakeTicket(ctx, secret, now))(t); got != want {
		t.Errorf("%+v", got)
	}
	late := must(s.AddTicket(ctx, want))(t)
	for _, secret := range []string{secret, late, ""} {
		if _, err := s.TakeTicket(ctx, secret, now.Add(time.Minute)); !errors.Is(err, bridge.ErrNotFound) {
			t.Errorf("ticket %q: %v", secret, err)
		}
	}
}

func TestAddedAccounts(t *testing.T) { forEach(t, testAddedAccounts) }

func testAddedAccounts(t *testing.T, s *Store) {
	ctx := t.Context()
	kept := must(s.EnsureAccount(ctx, "kept"))(t)
	a := must(s.AddAccount(ctx, "alice", "alice@contoso.example"))(t)
	if !a.Added || a.Mailbox != "alice@contoso.example" || a.State.Code != bridge.StateNew || kept.Added {
		t.Errorf("%+v, %+v", a, kept)
	}
	if _, err := s.AddAccount(ctx, "alice", ""); !errors.Is(err, bridge.ErrExists) {
		t.Errorf("a second alice: %v", err)
	}
	if got := must(s.AddAccount(ctx, "kept", ""))(t); got.ID != kept.ID || !got.Added {
		t.Errorf("an account that has left the configuration: %+v", got)
	}
	if list := must(s.AddedAccounts(ctx))(t); len(list) != 2 || list[0].Name != "alice" || list[1].Name != "kept" {
		t.Errorf("%+v", list)
	}

	// It goes with all that is its own, and with nothing else.
	for _, user := range []string{"alice", "kept"} {
		if _, _, err := s.AddPassword(ctx, user, "", now); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.AddFeed(ctx, bridge.Feed{User: user, Detail: bridge.DetailFull, Created: now}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Tokens(a.ID).SaveToken(ctx, nil, &oauth2.Token{RefreshToken: "r"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetCalendars(ctx, a.ID, []bridge.Calendar{{GraphID: "AAMk=", Name: "calendar", Modified: now}}); err != nil {
		t.Fatal(err)
	}
	ticket := must(s.AddTicket(ctx, bridge.Ticket{User: "alice", Expires: now.Add(time.Hour)}))(t)
	if err := s.RemoveAccount(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Account(ctx, "alice"); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("the account is still there: %v", err)
	}
	if _, err := s.TakeTicket(ctx, ticket, now); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("its ticket is still good: %v", err)
	}
	passwords, feeds := must(s.Passwords(ctx, ""))(t), must(s.Feeds(ctx, ""))(t)
	if len(passwords) != 1 || passwords[0].User != "kept" || len(feeds) != 1 || feeds[0].User != "kept" {
		t.Errorf("%+v %+v", passwords, feeds)
	}
	if err := s.RemoveAccount(ctx, "alice"); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("removed again: %v", err)
	}
	configured := must(s.EnsureAccount(ctx, "configured"))(t)
	if err := s.RemoveAccount(ctx, configured.Name); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("an account of the configuration is removed: %v", err)
	}
}

func TestEventLosses(t *testing.T) { forEach(t, testEventLosses) }

func testEventLosses(t *testing.T, s *Store) {
	ctx := t.Context()
	c := calendar(t, s)
	seq, err := s.Mirror(ctx, bridge.MirrorPage{Calendar: c.ID, Rows: []bridge.Row{
		{ID: "early", Series: "early", Kind: bridge.KindSingle, Span: convert.Span{Start: now, End: now.Add(time.Hour)}, Raw: []byte(`{"subject":" Early "}`), Subject: " Early "},
		{ID: "late", Series: "late", Kind: bridge.KindSingle, Span: convert.Span{Start: now.Add(time.Hour), End: now.Add(2 * time.Hour)}, Raw: []byte(`{}`)},
		{ID: "whole", Series: "whole", Kind: bridge.KindSingle, Raw: []byte(`{"subject":"Whole"}`), Subject: "Whole"},
	}, Marks: []bridge.Mark{{Series: "early", Stage: bridge.StageDerive}, {Series: "late", Stage: bridge.StageDerive}, {Series: "whole", Stage: bridge.StageDerive}}})
	if err != nil {
		t.Fatal(err)
	}
	loss := func(event graph.EventID, field string) convert.Loss {
		return convert.Loss{Event: event, Field: field, Reason: "It cannot be said."}
	}
	err = s.Stage(ctx, c.ID, seq, []bridge.Derived{
		{Series: "early", Losses: []convert.Loss{loss("early", "start"), loss("early", "end")}},
		{Series: "late", Losses: []convert.Loss{loss("late", "body")}},
		{Series: "whole"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []bridge.EventLoss{
		{Loss: loss("late", "body"), Start: now.Add(time.Hour)},
		{Loss: loss("early", "start"), Subject: "Early", Start: now},
		{Loss: loss("early", "end"), Subject: "Early", Start: now},
	}
	if diff := cmp.Diff(want, must(s.EventLosses(ctx, c.ID, 10))(t)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want[:2], must(s.EventLosses(ctx, c.ID, 2))(t)); diff != "" {
		t.Error(diff)
	}
}
