package write

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge/sqlstore"
)

// Writers in two processes have turns of a series one after the other, and one that cannot say that it is there loses its own before
// another has it.
func TestTurns(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		key, err := sqlstore.ReadKey(filepath.Join(dir, "outbridge.key"))
		if err != nil {
			t.Fatal(err)
		}
		store, err := sqlstore.Open(t.Context(), filepath.Join(dir, "outbridge.db"), key)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		one, two := &Writer{Leases: &Leases{store, "one"}}, &Writer{Leases: &Leases{store, "two"}}
		first, err := one.lock(t.Context(), "1\x00series")
		if err != nil {
			t.Fatal(err)
		}
		if other, taken, err := two.try(t.Context(), "1\x00another"); err != nil || !taken {
			t.Fatalf("another series: %v, %v", taken, err)
		} else {
			other.end()
		}
		time.Sleep(5 * time.Minute) // longer than any lease
		if _, taken, err := two.try(t.Context(), "1\x00series"); err != nil || taken {
			t.Fatalf("it has two writers: %v", err)
		}
		got := make(chan turn)
		go func() {
			next, err := two.lock(t.Context(), "1\x00series")
			if err != nil {
				t.Error(err)
			}
			got <- next
		}()
		time.Sleep(time.Minute)
		select {
		case <-got:
			t.Fatal("it has two writers")
		default:
		}
		first.end()
		first.end()
		second := <-got

		// The second is held up: its lease is gone before it knows.
		run, stop := second.within(t.Context())
		defer stop()
		if err := store.DropLease(t.Context(), writeLease("1\x00series"), "two"); err != nil {
			t.Fatal(err)
		}
		third, err := one.lock(t.Context(), "1\x00series")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(turnRenew)
		synctest.Wait()
		if run.Err() == nil {
			t.Error("who has lost a turn goes on")
		}
		second.end()
		if owner, err := store.LeaseOwner(t.Context(), writeLease("1\x00series")); err != nil || owner != "one" {
			t.Errorf("the lease is %q's, %v", owner, err)
		}
		third.end()

		// A process has died in its turn: a request that comes again then gets it, with time left for what it wants.
		if taken, err := store.TakeLease(t.Context(), writeLease("1\x00series"), "dead", turnLife); err != nil || !taken {
			t.Fatal(taken, err)
		}
		request, cancel := context.WithTimeout(t.Context(), defaultBudget-4*time.Second)
		defer cancel()
		fourth, err := one.lock(request, "1\x00series")
		if err != nil {
			t.Fatalf("who has died is waited for too long: %v", err)
		}
		fourth.end()
	})
}
