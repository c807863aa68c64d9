package work_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/work"
)

// TestChange: many mailboxes that come at once begin one after another, and of those that go nothing is asked any more.
func TestChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := makeWorld(t, t.Context(), dir, nil)
		defer w.Store.Close()
		w.realTime()
		w.s.Mailboxes, w.s.Interval = nil, time.Hour
		var removed []string
		w.s.Removed = func(account string) { removed = append(removed, account) }
		stop := w.run()
		synctest.Wait()
		var many []work.Mailbox
		for i := range 50 {
			m := w.mailbox()
			m.Name = fmt.Sprintf("user%d", i)
			if _, err := w.Store.EnsureAccount(t.Context(), m.Name); err != nil {
				t.Fatal(err)
			}
			many = append(many, m)
		}
		w.s.Change(many, nil)
		good := func() (n int) {
			synctest.Wait()
			for _, m := range many {
				if !w.s.Pulse(m.Name).Good.IsZero() {
					n++
				}
			}
			return n
		}
		if n := good(); n == 0 || n > 10 {
			t.Errorf("%d have begun at once", n)
		}
		time.Sleep(10 * time.Second)
		if n := good(); n != len(many) {
			t.Errorf("%d have begun after a while", n)
		}
		removed = nil
		w.s.Change(many[:1], []string{"user1", "user2", "user3"})
		if len(removed) != 4 {
			t.Errorf("told of the end of %v", removed)
		}
		if _, ok := w.s.Mailbox("user2"); ok {
			t.Error("a mailbox that has gone is there")
		}
		if _, ok := w.s.Mailbox("user0"); !ok {
			t.Error("a mailbox that was replaced is not there")
		}
		time.Sleep(time.Second)
		w.Sim.ResetRequests()
		time.Sleep(time.Hour)
		synctest.Wait()
		// Each: the list of calendars, its groups as they are due, and the one calendar.
		if n := len(w.Sim.Requests()); n < 47 || n > 47*4 {
			t.Errorf("%d requests for 47 mailboxes", n)
		}
		stop()
	})
}

// TestNoMailbox: one that has never been there is asked for every hour, and found when it is there.
func TestNoMailbox(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var found atomic.Bool
		w := makeWorld(t, t.Context(), dir, nil, func(s *graphsim.Server) {
			s.Fault = func(r *http.Request) *graphsim.Fault {
				if !found.Load() && strings.HasPrefix(r.URL.Path, "/v1.0/") {
					return &graphsim.Fault{Status: 404, Code: "MailboxNotEnabledForRESTAPI"}
				}
				return nil
			}
		})
		defer w.Store.Close()
		w.realTime()
		w.s.Interval = time.Minute
		stop := w.run()
		defer stop()
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		if n := len(w.Sim.Requests()); n == 0 || n > 3 {
			t.Errorf("%d requests in an hour", n)
		}
		found.Store(true)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if a, err := w.Store.Account(t.Context(), "alice"); err != nil || a.State.Code != bridge.StateOK {
			t.Errorf("%+v, %v", a.State, err)
		}
	})
}
