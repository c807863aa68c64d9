package sqlstore

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge"
)

func TestLeases(t *testing.T) { forEach(t, testLeases) }

func testLeases(t *testing.T, s *Store) {
	ctx := t.Context()
	var taken atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if ok, err := s.TakeLease(ctx, "one", fmt.Sprint("owner ", i), time.Minute); err != nil {
				t.Error(err)
			} else if ok {
				taken.Add(1)
			}
		})
	}
	all.Wait()
	owner := must(s.LeaseOwner(ctx, "one"))(t)
	if taken.Load() != 1 || owner == "" {
		t.Fatalf("%d have it, one of them %q", taken.Load(), owner)
	}
	if !must(s.TakeLease(ctx, "one", owner, time.Minute))(t) {
		t.Error("its owner does not get it again")
	}
	if !must(s.TakeLease(ctx, "other", "somebody", time.Minute))(t) {
		t.Error("another lease is not free")
	}
	if err := s.DropLease(ctx, "one", "somebody"); err != nil || must(s.LeaseOwner(ctx, "one"))(t) != owner {
		t.Errorf("somebody else gives it back: %v", err)
	}
	if err := s.DropLease(ctx, "one", owner); err != nil || !must(s.TakeLease(ctx, "one", "somebody", time.Minute))(t) {
		t.Errorf("given back, it is not free: %v", err)
	}
}

// A lease ends with its time, and one from before a clock was set back does not last longer than any.
func TestLeasesEnd(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openAt(t, dir)
		defer s.Close()
		ctx := t.Context()
		must(s.TakeLease(ctx, "one", "dead", time.Minute))(t)
		time.Sleep(time.Minute - time.Millisecond)
		if must(s.TakeLease(ctx, "one", "next", time.Minute))(t) {
			t.Error("it ends too soon")
		}
		time.Sleep(time.Millisecond)
		if owner := must(s.LeaseOwner(ctx, "one"))(t); owner != "" {
			t.Errorf("%q has it after its end", owner)
		}
		if !must(s.TakeLease(ctx, "one", "next", time.Minute))(t) {
			t.Error("it does not end")
		}
		if _, err := s.write.exec(ctx, `UPDATE lease SET until = ?`, time.Now().Add(2*time.Hour).UnixMilli()); err != nil {
			t.Fatal(err)
		}
		if !must(s.TakeLease(ctx, "one", "third", time.Minute))(t) {
			t.Error("one of the future is not over")
		}
	})
}

func TestTurns(t *testing.T) { forEach(t, testTurns) }

func testTurns(t *testing.T, s *Store) {
	ctx := t.Context()
	if turn := must(s.Turn(ctx, "alice"))(t); turn.Owner != "" || turn.Nudge != 0 || bridge.Elapsed(time.Now(), turn.Now) > time.Minute {
		t.Errorf("%+v", turn)
	}
	must(s.TakeLease(ctx, bridge.RoundLease("alice"), "me", time.Minute))(t)
	for _, n := range []bridge.Nudge{bridge.NudgeDue, bridge.NudgeRemoved} {
		if err := s.AddNudge(ctx, "alice", n); err != nil {
			t.Fatal(err)
		}
	}
	const both = bridge.NudgeDue | bridge.NudgeRemoved
	if turn := must(s.Turn(ctx, "alice"))(t); turn.Owner != "me" || turn.Nudge != both {
		t.Errorf("%+v", turn)
	}
	if turn := must(s.Turn(ctx, "bob"))(t); turn.Owner != "" || turn.Nudge != 0 {
		t.Errorf("of another: %+v", turn)
	}
	if n := must(s.TakeNudge(ctx, "alice"))(t); n != both {
		t.Errorf("nudges %b", n)
	}
	is := func(what string, waits, taken bridge.Nudge) {
		t.Helper()
		if turn := must(s.Turn(ctx, "alice"))(t); turn.Nudge != waits || turn.Taken != taken {
			t.Errorf("%s: %+v", what, turn)
		}
	}
	is("taken", 0, both)
	add := func(n bridge.Nudge) {
		t.Helper()
		if err := s.AddNudge(ctx, "alice", n); err != nil {
			t.Fatal(err)
		}
	}
	drop := func() {
		t.Helper()
		if err := s.DropNudge(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
	}
	add(bridge.NudgeAsked)
	is("one that came in the round", bridge.NudgeAsked, both)
	if n := must(s.TakeNudge(ctx, "alice"))(t); n != both|bridge.NudgeAsked {
		t.Errorf("nudges %b after a round that has not ended", n)
	}
	add(bridge.NudgeNotified)
	drop()
	is("the round has ended", bridge.NudgeNotified, 0)
	if n := must(s.TakeNudge(ctx, "alice"))(t); n != bridge.NudgeNotified {
		t.Errorf("nudges %b, used before", n)
	}
	drop()
	is("the last round has ended", 0, 0)
	drop()
	if n := must(s.TakeNudge(ctx, "alice"))(t); n != 0 {
		t.Errorf("nudges %b, used before", n)
	}
}

func TestMachines(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openAt(t, dir)
		defer s.Close()
		ctx := t.Context()
		one := bridge.Machine{ID: "1", Name: "one", Version: "v1", Schema: 3, Address: "https://one"}
		begin := must(s.SeeMachine(ctx, one))(t)
		must(s.SeeMachine(ctx, bridge.Machine{ID: "2", Name: "two"}))(t)
		time.Sleep(time.Minute)
		one.Version = "v2"
		now := must(s.SeeMachine(ctx, one))(t)
		one.Since, one.Seen = begin, now
		list, at, err := s.Machines(ctx)
		if err != nil || len(list) != 2 || list[0] != one || !list[1].Seen.Equal(begin) || !at.Equal(now) || now.Sub(begin) != time.Minute {
			t.Errorf("%+v, %v, %v", list, at, err)
		}
		time.Sleep(24 * time.Hour)
		must(s.SeeMachine(ctx, one))(t)
		if list, _, _ := s.Machines(ctx); len(list) != 1 {
			t.Errorf("after a day: %+v", list)
		}
		if err := s.DropMachine(ctx, "1"); err != nil {
			t.Fatal(err)
		}
		if list, _, _ := s.Machines(ctx); len(list) != 0 {
			t.Errorf("after the last has ended: %+v", list)
		}
	})
}

// openAt is open with the file in dir, for a bubble of compressed time.
func openAt(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(dir, "outbridge.db"), freshKey())
	if err != nil {
		t.Fatal(err)
	}
	return s
}
