package web_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"outbridge/bridge"
)

// TestInvitation: a link makes a person once, within its time, unless it has ended.
func TestInvitation(t *testing.T) {
	t.Parallel()
	f := newFamily(t)
	admin := f.as(asAdministrator)
	invite := func(pairs ...string) string {
		t.Helper()
		_, got := admin.follow("/people/invitations", pairs...)
		m := newSecret.FindStringSubmatch(got.body)
		if m == nil {
			t.Fatalf("%s\n%s", got.Status, got.body)
		}
		u, err := url.Parse(m[1])
		if err != nil {
			t.Fatal(err)
		}
		return u.Path
	}
	accept := func(p *person, path, name, password string) answer {
		return p.post(path, "name", name, "password", password, "repeat", password)
	}
	link := invite("name", "Dora", "account", "alice")
	dora := f.somebody()
	if got := dora.get(link); got.StatusCode != 200 || !strings.Contains(got.body, "Dora") || got.Header.Get("Referrer-Policy") != "same-origin" {
		t.Fatalf("%s\n%s", got.Status, got.body)
	}
	for _, c := range []struct{ name, password, says string }{
		{"", personPassword, "name is missing"}, {"administrator", personPassword, "the bridge&#39;s own"},
		{"Bob", personPassword, "has this name"}, {"Dora", "short", "too short"},
	} {
		if got := accept(f.somebody(), link, c.name, c.password); got.StatusCode != 400 || c.name != "" && !strings.Contains(got.body, c.says) || len(got.Cookies()) > 0 {
			t.Errorf("%q, %q: %s\n%s", c.name, c.password, got.Status, got.body)
		}
	}
	if got := accept(dora, link, "Dora", personPassword); got.StatusCode != 303 || got.Header.Get("Location") != "/" {
		t.Fatalf("%s\n%s", got.Status, got.body)
	}
	// Alice is hers now: nobody else reads it, the administrator included.
	if got := dora.get("/accounts/alice"); got.StatusCode != 200 {
		t.Errorf("her account: %s", got.Status)
	}
	if got := dora.get("/accounts/bob"); got.StatusCode != 404 {
		t.Errorf("bob's account: %s", got.Status)
	}
	if got := admin.get("/calendars/alice"); got.StatusCode != 403 {
		t.Errorf("the administrator reads it: %s", got.Status)
	}
	if got := dora.get("/calendars/alice"); got.StatusCode != 200 {
		t.Errorf("she cannot read it: %s", got.Status)
	}
	for what, path := range map[string]string{"used": link, "expired": invite("name", "Emil"), "ended": invite("name", "Fay"), "guessed": "/invitation/guessed"} {
		switch what {
		case "ended":
			list, err := f.store.Invitations(t.Context(), f.now())
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range list {
				if i.Name == "Fay" {
					admin.follow(fmt.Sprintf("/people/invitations/%d/end", i.ID))
				}
			}
		case "expired":
			f.later(7 * 24 * time.Hour)
		}
		if got := f.somebody().get(path); got.StatusCode != 400 || !strings.Contains(got.body, "already used, has ended, or has expired") {
			t.Errorf("%s: %s\n%s", what, got.Status, got.body)
		}
		if got := accept(f.somebody(), path, "Gus", personPassword); got.StatusCode != 400 || len(got.Cookies()) > 0 {
			t.Errorf("%s: %s\n%s", what, got.Status, got.body)
		}
	}
}

// TestRemovedPerson is out at once, and what they connected goes with them.
func TestRemovedPerson(t *testing.T) {
	t.Parallel()
	f := newFamily(t)
	bob, admin := f.as(asOwner), f.as(asAdministrator)
	if _, err := f.store.AddAccount(t.Context(), "own", ""); err != nil {
		t.Fatal(err)
	}
	if err := f.store.SetOwner(t.Context(), "own", f.bob.ID, false); err != nil {
		t.Fatal(err)
	}
	if err := f.store.SetOwner(t.Context(), "own", f.carol.ID, false); err == nil {
		t.Error("an account has got a second owner")
	}
	admin.follow(fmt.Sprintf("/people/%d/remove", f.bob.ID))
	if got := bob.get("/accounts/bob"); got.StatusCode != 303 {
		t.Errorf("his session lives on: %s", got.Status)
	}
	if got := f.somebody().post("/sign-in", "name", "Bob", "password", personPassword); got.StatusCode != 403 {
		t.Errorf("he signs in: %s", got.Status)
	}
	if got := admin.get("/accounts/own"); got.StatusCode != 404 {
		t.Errorf("what he connected is still there: %s", got.Status)
	}
	if got := admin.get("/calendars/bob"); got.StatusCode != 200 {
		t.Errorf("what was given to him has not come back: %s", got.Status)
	}
}

// TestRemovedWhileConnecting: what a person connects while they are removed goes with them, and a sign-in that waits for its code in an
// account that was given to them ends.
func TestRemovedWhileConnecting(t *testing.T) {
	t.Parallel()
	f := newFamily(t)
	bob, admin := f.as(asOwner), f.as(asAdministrator)
	if got := bob.post("/accounts/bob/sign-in", "other", "yes"); got.StatusCode != 303 {
		t.Fatalf("%s\n%s", got.Status, got.body)
	}
	if _, err := f.store.Brief(t.Context(), "device-sign-in", "bob", f.now()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.AddAccount(t.Context(), "own", ""); err != nil {
		t.Fatal(err)
	}
	if err := f.store.SetOwner(t.Context(), "own", f.carol.ID, false); err != nil {
		t.Fatal(err)
	}
	f.handler.Store = connecting{f.store, sync.OnceFunc(func() {
		for _, err := range []error{second(f.store.AddAccount(t.Context(), "late", "")), f.store.SetOwner(t.Context(), "late", f.bob.ID, false)} {
			if err != nil {
				t.Error(err)
			}
		}
	})}
	if at, got := admin.follow(fmt.Sprintf("/people/%d/remove", f.bob.ID)); !strings.HasPrefix(at, "/people?done=person") || got.StatusCode != 200 {
		t.Fatalf("%s %s\n%s", at, got.Status, got.body)
	}
	if got := admin.get("/accounts/late"); got.StatusCode != 404 {
		t.Errorf("what he has connected meanwhile is left: %s", got.Status)
	}
	if _, err := f.store.Brief(t.Context(), "device-sign-in", "bob", f.now()); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("his sign-in goes on: %v", err)
	}
}

// connecting is a store in which a person connects a mailbox just before they are removed.
type connecting struct {
	*countingStore
	connect func()
}

func (c connecting) RemovePerson(ctx context.Context, id bridge.PersonID) error {
	c.connect()
	return c.countingStore.RemovePerson(ctx, id)
}
