package sqlstore

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"outbridge/bridge"
)

// TestMembers: a member joins, is renamed, leaves, comes back and is removed; who has left gets in nowhere, and comes back to all that
// was theirs.
func TestMembers(t *testing.T) { forEach(t, testMembers) }

func testMembers(t *testing.T, s *Store) {
	ctx := t.Context()
	alice := bridge.Member{Name: "alice", Tenant: "contoso", ObjectID: "a", Mailbox: "alice@contoso.com", DisplayName: "Alice"}
	bob := bridge.Member{Name: "bob", Tenant: "contoso", ObjectID: "b", Mailbox: "bob@contoso.com", DisplayName: "Bob"}
	guest := bridge.LeftOut{Tenant: "contoso", ObjectID: "g", Address: "g@fabrikam.com", DisplayName: "G", Reason: bridge.LeftOutGuest}
	change := func(c bridge.MemberChanges) {
		t.Helper()
		if err := s.ChangeMembers(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	members := func() []bridge.Member {
		t.Helper()
		return must(s.Members(ctx))(t)
	}
	change(bridge.MemberChanges{Join: []bridge.Member{alice, bob}, Out: []bridge.LeftOut{guest}})
	// The name and the person are taken.
	change(bridge.MemberChanges{Join: []bridge.Member{{Name: "alice", Tenant: "contoso", ObjectID: "x"}, {Name: "alice2", Tenant: "contoso", ObjectID: "a"}}})
	list := members()
	if len(list) != 2 {
		t.Fatal("members:", list)
	}
	alice.ID, bob.ID = list[0].ID, list[1].ID
	if diff := cmp.Diff([]bridge.Member{alice, bob}, list); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff([]bridge.LeftOut{guest}, must(s.LeftOut(ctx))(t)); diff != "" {
		t.Fatal(diff)
	}
	account := must(s.AccountByIdentity(ctx, "contoso", "a"))(t)
	if account.ID != alice.ID || !account.Directory || account.Mailbox != alice.Mailbox || account.DisplayName != "Alice" || account.State.Code != bridge.StateNew {
		t.Fatal("account:", account)
	}
	for _, who := range [][2]string{{"fabrikam", "a"}, {"contoso", ""}, {"", ""}, {"contoso", "g"}} {
		if a, err := s.AccountByIdentity(ctx, who[0], who[1]); !errors.Is(err, bridge.ErrNotFound) {
			t.Error(who, a.Name, err)
		}
	}
	if err := s.SetIdentity(ctx, bob.ID, "contoso", "a"); !errors.Is(err, bridge.ErrExists) {
		t.Error("two accounts of one person:", err)
	}

	_, password, err := s.AddPassword(ctx, "alice", "phone", now)
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := s.AddFeed(ctx, bridge.Feed{User: "alice", Name: "f", Detail: "full", Created: now})
	if err != nil {
		t.Fatal(err)
	}
	getsIn := func(want bool) {
		t.Helper()
		if _, ok, err := s.CheckPassword(ctx, "alice", password); ok != want || err != nil {
			t.Errorf("password: %v, %v", ok, err)
		}
		if _, err := s.FeedBySecret(ctx, secret); (err == nil) != want {
			t.Errorf("feed: %v", err)
		}
	}
	getsIn(true)
	alice.Mailbox, alice.DisplayName, alice.Left = "alice.b@contoso.com", "Alice B", now
	change(bridge.MemberChanges{Change: []bridge.Member{alice}, In: []bridge.LeftOut{guest}})
	if diff := cmp.Diff([]bridge.Member{alice, bob}, members()); diff != "" {
		t.Fatal(diff)
	}
	getsIn(false)
	if out := must(s.LeftOut(ctx))(t); len(out) != 0 {
		t.Error("left out:", out)
	}
	alice.Left = time.Time{}
	change(bridge.MemberChanges{Change: []bridge.Member{alice}})
	getsIn(true)

	alice.Left = now
	change(bridge.MemberChanges{Change: []bridge.Member{alice}})
	if names := must(s.RemoveDeparted(ctx, now.Add(-time.Second), 10))(t); len(names) != 0 {
		t.Fatal("removed within the grace time:", names)
	}
	if names := must(s.RemoveDeparted(ctx, now, 10))(t); !slices.Equal(names, []string{"alice"}) {
		t.Fatal("removed:", names)
	}
	if names := must(s.TakenNames(ctx))(t); !slices.Equal(names, []string{"bob"}) {
		t.Fatal("names:", names)
	}
	// Whoever gets the name next gets nothing of hers.
	change(bridge.MemberChanges{Join: []bridge.Member{{Name: "alice", Tenant: "contoso", ObjectID: "n"}}})
	getsIn(false)
}

func TestDirectoryStatus(t *testing.T) { forEach(t, testDirectoryStatus) }

func testDirectoryStatus(t *testing.T, s *Store) {
	if d := must(s.DirectoryStatus(t.Context()))(t); d != (bridge.DirectoryStatus{}) {
		t.Fatal(d)
	}
	want := bridge.DirectoryStatus{Good: now, Members: 3, Doubt: &bridge.Doubt{Since: now, Members: 1, Gone: 2, Confirmed: true}}
	for range 2 {
		if err := s.SetDirectoryStatus(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, must(s.DirectoryStatus(t.Context()))(t)); diff != "" {
		t.Fatal(diff)
	}
}
