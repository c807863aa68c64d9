package bridge_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge"
)

// A mailbox that is added while the bridge runs is polled at once, and one that is removed never again.
func TestAddAndRemove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := makeWorld(t, t.Context(), dir, nil)
		defer w.store.Close()
		w.b.Mailboxes, w.b.Interval, w.b.Now = nil, time.Minute, nil
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.b.Run(ctx) }()
		synctest.Wait()

		requests := func() int {
			synctest.Wait()
			n := len(w.sim.Requests())
			w.sim.ResetRequests()
			return n
		}
		if n := requests(); n != 0 {
			t.Fatalf("%d requests without any mailbox", n)
		}
		w.b.Add(w.m)
		if requests() == 0 {
			t.Fatal("a new mailbox is not polled at once")
		}
		a, err := w.store.Account(ctx, "alice")
		if err != nil || a.State.Code != bridge.StateOK {
			t.Fatalf("%+v, %v", a.State, err)
		}
		if p := w.b.Pulse("alice"); p.Busy || !p.Good.Equal(time.Now()) || !p.Next.Equal(time.Now().Add(time.Minute)) {
			t.Errorf("pulse at %v: %+v", time.Now(), p)
		}
		time.Sleep(time.Minute)
		if requests() == 0 {
			t.Error("it is not polled again")
		}
		w.b.Add(w.m) // in place of itself
		requests()
		time.Sleep(time.Minute)
		if n := requests(); n != 2 { // the list of calendars, and the one calendar
			t.Errorf("%d requests a minute: two workers poll it", n)
		}
		w.b.Remove("alice")
		w.b.Remove("nobody")
		time.Sleep(time.Hour)
		if n := requests(); n != 0 {
			t.Errorf("%d requests for a mailbox that was removed", n)
		}
		if p := w.b.Pulse("alice"); p != (bridge.Pulse{}) {
			t.Errorf("pulse: %+v", p)
		}
		w.b.Add(w.m)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		requests()
		w.b.Add(w.m) // too late
		if n := requests(); n != 0 {
			t.Errorf("%d requests after the end", n)
		}
	})
}
