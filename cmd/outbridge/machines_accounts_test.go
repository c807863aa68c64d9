package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"outbridge/bridge/work"
)

// TestTakeAccounts: an account that cannot be taken up from another machine holds up no other, and is tried again until it can.
func TestTakeAccounts(t *testing.T) {
	t.Parallel()
	const person = "11111111-1111-1111-1111-111111111111"
	dir := t.TempDir()
	config := filepath.Join(dir, "outbridge.toml")
	text := fmt.Sprintf("[microsoft]\ntenant = \"22222222-2222-2222-2222-222222222222\"\nclient_id = %q\nclient_secret_file = \"secret\"\n[[account]]\nname = \"alice\"\nobject_id = %q\nmailbox = \"alice@contoso.example\"\n", testClientID, person)
	for path, text := range map[string]string{config: text, filepath.Join(dir, "secret"): "s"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	p, err := configFlag{Config: config}.open(&env{ctx: ctx, stdout: io.Discard, stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer p.store.Close()
	a := &webAccounts{p: p, work: &work.Scheduler{Store: p.store, Rounds: p.rounds()}}
	if err := a.takeUp(ctx); err != nil {
		t.Fatal(err)
	}
	begun := func() (names []string) {
		for _, m := range a.work.Mailboxes {
			names = append(names, m.Name)
		}
		slices.Sort(names)
		return names
	}

	// On another machine bob and carol are added, and alice's person is another account's for now.
	other, err := p.store.EnsureAccount(ctx, "other")
	if err == nil {
		err = p.store.SetIdentity(ctx, other.ID, "22222222-2222-2222-2222-222222222222", person)
	}
	if err == nil {
		_, err = p.store.EnsureAccount(ctx, "alice")
	}
	for _, name := range []string{"bob", "carol"} {
		if err == nil {
			_, err = p.store.AddAccount(ctx, name, name+"@contoso.example")
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.takeUp(ctx); err == nil || !strings.Contains(err.Error(), "alice") {
			t.Errorf("alice's account cannot be taken up: %v", err)
		}
		if got := begun(); !slices.Equal(got, []string{"bob", "carol"}) {
			t.Errorf("begun: %q", got)
		}
	}
	if err := p.store.SetIdentity(ctx, other.ID, "", ""); err != nil {
		t.Fatal(err)
	}
	if err := a.takeUp(ctx); err != nil {
		t.Error(err)
	}
	if got := begun(); !slices.Equal(got, []string{"alice", "bob", "carol"}) {
		t.Errorf("begun: %q", got)
	}
}
