package sqlstore

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge"
)

func TestAttempts(t *testing.T) { forEach(t, testAttempts) }

func testAttempts(t *testing.T, s *Store) {
	ctx := t.Context()
	one := bridge.Limit{Name: "one", Burst: 5, Every: time.Hour}
	all := bridge.Limit{Name: "all", Burst: 7, Every: time.Hour}
	var allowed atomic.Int64
	var tries sync.WaitGroup
	for range 12 {
		tries.Go(func() {
			wait, err := s.Attempt(ctx, one, all)
			if err != nil {
				t.Error(err)
			}
			if wait == 0 {
				allowed.Add(1)
			} else if wait < 50*time.Minute || wait > time.Hour {
				t.Errorf("wait %s", wait)
			}
		})
	}
	tries.Wait()
	if n := allowed.Load(); n != 5 {
		t.Errorf("%d attempts of 5", n)
	}
	// What was refused counts for nobody.
	other := bridge.Limit{Name: "other", Burst: 5, Every: time.Hour}
	for range 2 {
		if wait := must(s.Attempt(ctx, other, all))(t); wait != 0 {
			t.Errorf("another waits %s", wait)
		}
	}
	if must(s.Attempt(ctx, other, all))(t) == 0 {
		t.Error("there is no limit for all together")
	}
	if err := s.Forgive(ctx, "one"); err != nil {
		t.Fatal(err)
	}
	if wait := must(s.Attempt(ctx, one))(t); wait != 0 {
		t.Errorf("who is forgiven waits %s", wait)
	}
}

func TestAttemptsRecover(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openAt(t, dir)
		defer s.Close()
		limit := bridge.Limit{Name: "one", Burst: 2, Every: 30 * time.Second}
		for range 2 {
			must(s.Attempt(t.Context(), limit))(t)
		}
		if wait := must(s.Attempt(t.Context(), limit))(t); wait != 30*time.Second {
			t.Errorf("wait %s", wait)
		}
		time.Sleep(30 * time.Second)
		if wait := must(s.Attempt(t.Context(), limit))(t); wait != 0 {
			t.Errorf("after the wait: %s", wait)
		}
		if must(s.Attempt(t.Context(), limit))(t) == 0 {
			t.Error("more than one in the time of one")
		}
		time.Sleep(time.Hour)
		for range 2 {
			if wait := must(s.Attempt(t.Context(), limit))(t); wait != 0 {
				t.Errorf("after an hour: %s", wait)
			}
		}
	})
}
