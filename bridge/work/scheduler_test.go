package work_test

import (
	"reflect"
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
		defer w.Store.Close()
		w.realTime()
		w.s.Mailboxes, w.s.Interval = nil, time.Minute
		stop := w.run()
		synctest.Wait()

		requests := func() int {
			synctest.Wait()
			n := len(w.Sim.Requests())
			w.Sim.ResetRequests()
			return n
		}
		if n := requests(); n != 0 {
			t.Fatalf("%d requests without any mailbox", n)
		}
		w.s.Add(w.mailbox())
		if requests() == 0 {
			t.Fatal("a new mailbox is not polled at once")
		}
		a, err := w.Store.Account(t.Context(), "alice")
		if err != nil || a.State.Code != bridge.StateOK {
			t.Fatalf("%+v, %v", a.State, err)
		}
		if p := w.s.Pulse("alice"); len(p.Calendars) != 1 || !p.LastGood(time.Time{}).Equal(time.Now()) {
			t.Errorf("calendars of the pulse at %v: %+v", time.Now(), p)
		}
		if p := w.s.Pulse("alice"); p.Busy || !p.Good.Equal(time.Now()) || !p.Next.Equal(time.Now().Add(time.Minute)) {
			t.Errorf("pulse at %v: %+v", time.Now(), p)
		}
		time.Sleep(time.Minute)
		if requests() == 0 {
			t.Error("it is not polled again")
		}
		w.s.Add(w.mailbox()) // in place of itself
		requests()
		time.Sleep(time.Minute)
		if n := requests(); n != 2 { // the list of calendars, and the one calendar
			t.Errorf("%d requests a minute: two workers poll it", n)
		}
		w.s.Remove("alice")
		w.s.Remove("nobody")
		time.Sleep(time.Hour)
		if n := requests(); n != 0 {
			t.Errorf("%d requests for a mailbox that was removed", n)
		}
		if p := w.s.Pulse("alice"); !reflect.DeepEqual(p, bridge.Pulse{}) {
			t.Errorf("pulse: %+v", p)
		}
		w.s.Add(w.mailbox())
		stop()
		requests()
		w.s.Add(w.mailbox()) // too late
		if n := requests(); n != 0 {
			t.Errorf("%d requests after the end", n)
		}
	})
}
