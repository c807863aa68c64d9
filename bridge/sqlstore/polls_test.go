package sqlstore

import (
	"encoding/xml"
	"fmt"
	"reflect"
	"testing"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

func TestPolls(t *testing.T) { forEach(t, testPolls) }

// testPolls: what a request learns beside its password is what it would have read, until it asks for anything else.
func testPolls(t *testing.T, s *Store) {
	a := must(s.EnsureAccount(t.Context(), "alice"))(t)
	list := []bridge.Calendar{{GraphID: "A", Name: "a", Default: true, Modified: now}, {GraphID: "B", Name: "b", Order: 1, Owner: "bob@contoso.example", Modified: now}}
	must(s.SetCalendars(t.Context(), a.ID, list))(t)
	_, password, err := s.AddPassword(t.Context(), "alice", "phone", now)
	if err != nil {
		t.Fatal(err)
	}
	before := must(s.Account(t.Context(), "alice"))(t)
	first := must(s.UserCalendar(t.Context(), "alice", "b"))(t)
	all := must(s.Calendars(t.Context(), a.ID))(t)

	ctx := s.Once(t.Context())
	label, ok, err := s.CheckPassword(ctx, "alice", password)
	if label != "phone" || !ok || err != nil {
		t.Fatal(label, ok, err)
	}
	statements := s.statements()
	if got := must(s.Account(ctx, "alice"))(t); !reflect.DeepEqual(got, before) {
		t.Errorf("account %+v, want %+v", got, before)
	}
	if got := must(s.UserCalendar(ctx, "alice", "b"))(t); !reflect.DeepEqual(got, first) {
		t.Errorf("calendar %+v, want %+v", got, first)
	}
	if got := must(s.Calendars(ctx, a.ID))(t); !reflect.DeepEqual(got, all) {
		t.Errorf("calendars %+v, want %+v", got, all)
	}
	if n := s.statements() - statements; n != 0 {
		t.Errorf("%d statements for what came with the password", n)
	}

	// Within the request, after a change, once it has read or written something.
	for i, other := range []func() error{
		func() error { _, err := s.Objects(ctx, first.ID, bridge.ObjectQuery{Limit: 1}); return err },
		func() error { return s.SetProperties(ctx, "alice", "/x/", nil, []xml.Name{{Local: "x"}}) },
		func() error { return s.SetWay(ctx, first.ID, "") },
	} {
		ctx = s.Once(t.Context())
		if _, ok, err := s.CheckPassword(ctx, "alice", password); !ok || err != nil {
			t.Fatal(ok, err)
		}
		name := fmt.Sprint("Another ", i)
		list[1].DisplayName = name
		must(s.SetCalendars(t.Context(), a.ID, list))(t)
		if err := s.SetSettings(t.Context(), a.ID, bridge.Settings{Zone: name}); err != nil {
			t.Fatal(err)
		}
		if err := other(); err != nil {
			t.Fatal(err)
		}
		if got := must(s.Calendars(ctx, a.ID))(t); got[1].DisplayName != name {
			t.Errorf("%d: calendars as they were before: %+v", i, got)
		}
		if got := must(s.UserCalendar(ctx, "alice", "b"))(t); got.DisplayName != name {
			t.Errorf("%d: calendar as it was before: %+v", i, got)
		}
		if got := must(s.Account(ctx, "alice"))(t); got.Settings.Zone != name {
			t.Errorf("%d: account as it was before: %+v", i, got)
		}
	}

	// What is somebody else's is not given out.
	ctx = s.Once(t.Context())
	if _, ok, err := s.CheckPassword(ctx, "alice", password); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, err := s.UserCalendar(ctx, "bob", "b"); err == nil {
		t.Error("alice's calendar is bob's")
	}
	if _, err := s.Account(ctx, "bob"); err == nil {
		t.Error("alice's account is bob's")
	}
	if list := must(s.Calendars(ctx, a.ID+1))(t); len(list) > 0 {
		t.Error("alice's calendars are another account's")
	}
	for user, secret := range map[string]string{"alice": password + "x", "bob": password} {
		if _, ok, err := s.CheckPassword(s.Once(t.Context()), user, secret); ok || err != nil {
			t.Errorf("%s: %t %v", user, ok, err)
		}
	}
}

// TestPollOfManyCalendars: of an account with very many calendars only the one that is asked for is read.
func TestPollOfManyCalendars(t *testing.T) { forEach(t, testPollOfManyCalendars) }

func testPollOfManyCalendars(t *testing.T, s *Store) {
	a := must(s.EnsureAccount(t.Context(), "alice"))(t)
	var list []bridge.Calendar
	for n := range maxCalendars + 2 {
		name := string(rune('a' + n))
		list = append(list, bridge.Calendar{GraphID: graph.CalendarID(name), Name: name, Order: n, Modified: now})
	}
	must(s.SetCalendars(t.Context(), a.ID, list))(t)
	_, password, err := s.AddPassword(t.Context(), "alice", "", now)
	if err != nil {
		t.Fatal(err)
	}
	ctx := s.Once(t.Context())
	if _, ok, err := s.CheckPassword(ctx, "alice", password); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for _, c := range list {
		if got := must(s.UserCalendar(ctx, "alice", c.Name))(t); got.Name != c.Name {
			t.Errorf("%s is %s", c.Name, got.Name)
		}
	}
	if got := must(s.Calendars(ctx, a.ID))(t); len(got) != len(list) {
		t.Errorf("%d calendars, want %d", len(got), len(list))
	}
}

// statements counts those that a server has been asked to do; 0 for a file.
func (s *Store) statements() int64 {
	if pool := s.Pool(); pool != nil {
		return pool.Stat().AcquireCount()
	}
	return 0
}
