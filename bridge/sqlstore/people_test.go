package sqlstore

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"outbridge/bridge"
)

func TestPeople(t *testing.T) {
	forEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		kim := must(s.AddPerson(ctx, bridge.Person{Name: "Kim", Tenant: "T1", ObjectID: "AAAA", Created: now}, ""))(t)
		pat := must(s.AddPerson(ctx, bridge.Person{Name: "Pat", Created: now}, "hash"))(t)
		for _, p := range []bridge.Person{{Name: "Kim", Created: now}, {Name: "Other", Tenant: "t1", ObjectID: "aaaa", Created: now}} {
			if _, err := s.AddPerson(ctx, p, ""); !errors.Is(err, bridge.ErrExists) {
				t.Errorf("%+v: %v", p, err)
			}
		}
		if found := must(s.PersonByIdentity(ctx, "t1", "Aaaa"))(t); found != kim {
			t.Errorf("%+v, not %+v", found, kim)
		}
		// Those without an identity are not found by having none.
		for _, id := range [][2]string{{"", ""}, {"t1", ""}, {"t2", "aaaa"}} {
			if _, err := s.PersonByIdentity(ctx, id[0], id[1]); !errors.Is(err, bridge.ErrNotFound) {
				t.Errorf("%v: %v", id, err)
			}
		}
		if found, hash, err := s.PersonByName(ctx, "Pat"); found != pat || hash != "hash" || err != nil || !found.Password {
			t.Errorf("%+v, %q, %v", found, hash, err)
		}

		mine := must(s.AddAccount(ctx, "mine", ""))(t)
		must(s.AddAccount(ctx, "given", ""))(t)
		theirs := must(s.AddAccount(ctx, "theirs", ""))(t)
		for _, err := range []error{s.SetOwner(ctx, "mine", pat.ID, false), s.SetOwner(ctx, "given", pat.ID, true), s.SetIdentity(ctx, theirs.ID, "t1", "aaaa")} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for account, id := range map[string]bridge.PersonID{"mine": kim.ID, "given": pat.ID, "theirs": pat.ID} {
			if err := s.SetOwner(ctx, account, id, true); !errors.Is(err, bridge.ErrExists) {
				t.Errorf("%s has got another owner: %v", account, err)
			}
		}
		if err := s.SetOwner(ctx, "none", kim.ID, true); !errors.Is(err, bridge.ErrNotFound) {
			t.Error(err)
		}
		owners := func() string {
			return fmt.Sprint(must(s.OwnerOf(ctx, "mine"))(t), must(s.OwnerOf(ctx, "given"))(t), must(s.OwnerOf(ctx, "theirs"))(t), must(s.OwnerOf(ctx, "none"))(t),
				must(s.OwnedBy(ctx, kim.ID))(t), must(s.OwnedBy(ctx, pat.ID))(t))
		}
		want := fmt.Sprint(bridge.Owner{Owned: true, Person: pat.ID}, bridge.Owner{Owned: true, Person: pat.ID, Given: true}, bridge.Owner{Owned: true, Person: kim.ID}, bridge.Owner{},
			[]string{"theirs"}, []string{"given", "mine"})
		if got := owners(); got != want {
			t.Errorf("%s, not %s", got, want)
		}
		// An account that says whose it is belongs to them, whoever had it before.
		if err := s.SetIdentity(ctx, mine.ID, "t1", "bbbb"); err != nil {
			t.Fatal(err)
		}
		want = fmt.Sprint(bridge.Owner{Owned: true}, bridge.Owner{Owned: true, Person: pat.ID, Given: true}, bridge.Owner{Owned: true, Person: kim.ID}, bridge.Owner{},
			[]string{"theirs"}, []string{"given"})
		if got := owners(); got != want {
			t.Errorf("%s, not %s", got, want)
		}
		_, secret, err := s.AddSession(ctx, bridge.Session{Person: pat.ID, Role: bridge.RolePerson, Created: now, Seen: now, Expires: now.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if v := must(s.SessionBySecret(ctx, secret, now))(t); v.Person != pat.ID || v.Role != bridge.RolePerson {
			t.Errorf("%+v", v)
		}
		if err := s.EndSessions(ctx, kim.ID, now); err != nil {
			t.Fatal(err)
		}
		if err := s.SetAdministrator(ctx, "x", false); err != nil {
			t.Fatal(err)
		}
		must(s.SessionBySecret(ctx, secret, now))(t)
		// What somebody has connected themselves is never left to others.
		must(s.AddAccount(ctx, "connected", ""))(t)
		if err := s.SetOwner(ctx, "connected", pat.ID, false); err != nil {
			t.Fatal(err)
		}
		if err := s.RemovePerson(ctx, pat.ID); !errors.Is(err, bridge.ErrExists) {
			t.Errorf("a person who has connected a mailbox was removed: %v", err)
		}
		if err := s.RemoveAccount(ctx, "connected"); err != nil {
			t.Fatal(err)
		}
		if err := s.RemovePerson(ctx, pat.ID); err != nil {
			t.Fatal(err)
		}
		must(s.AddAccount(ctx, "late", ""))(t)
		if err := s.SetOwner(ctx, "late", pat.ID, false); !errors.Is(err, bridge.ErrNotFound) {
			t.Errorf("a mailbox of somebody who was removed: %v", err)
		}
		if _, err := s.SessionBySecret(ctx, secret, now); !errors.Is(err, bridge.ErrNotFound) {
			t.Errorf("the session of somebody who was removed: %v", err)
		}
		if o := must(s.OwnerOf(ctx, "given"))(t); o != (bridge.Owner{}) {
			t.Errorf("%+v", o)
		}
	})
}

// Of several who accept an invitation at the same time, one does.
func TestInvitations(t *testing.T) {
	forEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		must(s.AddAccount(ctx, "family", "family@contoso.example"))(t)
		i, secret, err := s.AddInvitation(ctx, bridge.Invitation{Name: "Kim", Account: "family", Created: now, Expires: now.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if got := must(s.Invitation(ctx, secret, now))(t); got.ID != i.ID || got.Account != "family" {
			t.Errorf("%+v", got)
		}
		if _, err := s.Invitation(ctx, secret, i.Expires); !errors.Is(err, bridge.ErrNotFound) {
			t.Errorf("after its end: %v", err)
		}
		if holds(t, s, secret) {
			t.Error("the database has the secret of a link")
		}
		var accepted sync.Map
		var all sync.WaitGroup
		for n := range 4 {
			all.Go(func() {
				p, _, err := s.AcceptInvitation(ctx, secret, bridge.Person{Name: fmt.Sprint("Kim ", n), Created: now}, "hash", now)
				if err == nil {
					accepted.Store(p.ID, p)
				} else if !errors.Is(err, bridge.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		people := must(s.People(ctx))(t)
		if len(people) != 1 || !people[0].Invited {
			t.Fatalf("%+v", people)
		}
		if o := must(s.OwnerOf(ctx, "family"))(t); o.Person != people[0].ID || !o.Given {
			t.Errorf("%+v", o)
		}
		_, again, err := s.AddInvitation(ctx, bridge.Invitation{Name: "Pat", Created: now, Expires: now.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.AcceptInvitation(ctx, again, bridge.Person{Name: people[0].Name, Created: now}, "hash", now); !errors.Is(err, bridge.ErrExists) {
			t.Error(err)
		}
		list := must(s.Invitations(ctx, now))(t)
		if len(list) != 1 || list[0].Name != "Pat" {
			t.Fatalf("%+v", list)
		}
		if err := s.RevokeInvitation(ctx, list[0].ID); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.AcceptInvitation(ctx, again, bridge.Person{Name: "Pat", Created: now}, "hash", now); !errors.Is(err, bridge.ErrNotFound) {
			t.Error(err)
		}
	})
}

func TestRecords(t *testing.T) {
	forEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		add := func(what bridge.Act, at time.Time, detail string) {
			t.Helper()
			if err := s.AddRecord(ctx, bridge.Record{At: at, What: what, Who: "administrator", Role: bridge.RoleAdministrator, Network: "192.0.2.1", Whom: "alice", Detail: detail}); err != nil {
				t.Fatal(err)
			}
		}
		add(bridge.ActFeedMade, now, "old")
		add(bridge.ActSignedIn, now.Add(time.Hour), "middle")
		add(bridge.ActSignInRefused, now.Add(2*time.Hour), "new")
		details := func(before int64, limit int) (list []string) {
			for _, r := range must(s.Records(ctx, before, limit))(t) {
				list = append(list, r.Detail)
			}
			return list
		}
		if got := details(0, 2); !slices.Equal(got, []string{"new", "middle"}) {
			t.Error(got)
		}
		all := must(s.Records(ctx, 0, 10))(t)
		if got := details(all[1].ID, 2); !slices.Equal(got, []string{"old"}) {
			t.Error(got)
		}
		if r := all[2]; !r.At.Equal(now) || r.What != bridge.ActFeedMade || r.Role != bridge.RoleAdministrator || r.Network != "192.0.2.1" || r.Whom != "alice" {
			t.Errorf("%+v", r)
		}
		// What anybody can cause pushes out its own kind alone.
		if _, err := s.write.exec(ctx, `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			INSERT INTO record (at, what, who, role, network, whom, detail, browser) SELECT ?, ?, '', '', '', '', 'flood', '' FROM n`,
			bridge.MaxRefused, now.Unix(), bridge.ActSignInRefused); err != nil {
			t.Fatal(err)
		}
		add(bridge.ActSignInRefused, now, "last")
		list := must(s.Records(ctx, 0, 2*bridge.MaxRefused))(t)
		if len(list) != bridge.MaxRefused+2 || list[0].Detail != "last" || list[len(list)-1].Detail != "old" {
			t.Errorf("%d records, from %q to %q", len(list), list[0].Detail, list[len(list)-1].Detail)
		}
		add(bridge.ActSignedOut, now.Add(bridge.RecordLife+90*time.Minute), "much later")
		if got := details(0, 10); !slices.Equal(got, []string{"much later", "new"}) && !slices.Equal(got, []string{"much later"}) {
			t.Error(got)
		}
	})
}
