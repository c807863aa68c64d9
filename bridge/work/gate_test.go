package work_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/sqlstore/pgtest"
)

// Processes that ask for one mailbox keep its limit together, whoever does the round, and each gets its turn.
func TestMailboxLimitOfAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *graphsim.Server) {
		s.Fault = func(r *http.Request) *graphsim.Fault { return &graphsim.Fault{Delay: 3 * time.Millisecond} }
	})
	store, err := sqlstore.Open(t.Context(), pgtest.URL(t), w.Key)
	w.Must(err)
	defer store.Close()
	var ids []graph.EventID
	for i := range 60 {
		ids = append(ids, w.Box.Calendar().Create(meeting(fmt.Sprint("Meeting ", i), i%20, 9)))
	}
	calendars, err := w.Client.Calendars(w.Ctx)
	w.Must(err)
	w.Sim.ResetViolations()
	client := func(name string) *graph.Client {
		return &graph.Client{BaseURL: w.Client.BaseURL, HTTP: w.Client.HTTP, Tokens: w.Client.Tokens,
			Gate: &graph.Gate{Among: &graph.Among{Store: store, Process: name, Mailbox: "alice"}}}
	}
	one, two, three := client("one"), client("two"), client("three")
	var all sync.WaitGroup
	read := func(c *graph.Client, times int) {
		for range 4 {
			all.Go(func() {
				for range times {
					if _, err := c.Calendar(w.Ctx, calendars[0].ID); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	batch := func(c *graph.Client) {
		for _, r := range c.Events(w.Ctx, calendars[0].ID, ids) {
			if r.Err != nil {
				t.Error(r.Err)
			}
		}
	}
	for _, c := range []*graph.Client{one, two, one} { // the round wanders
		w.Must(c.Gate.BeginRound(w.Ctx))
		for range 3 {
			all.Go(func() { batch(c) })
		}
		read(c, 20)
		read(three, 10)
		if c == one {
			read(two, 10)
		} else {
			read(one, 10)
		}
		all.Wait()
		w.Must(c.Gate.EndRound(w.Ctx))
	}
	if v := w.Sim.Violations(); len(v) > 0 || w.Sim.MaxConcurrent() > 4 {
		t.Errorf("%d at once: %q", w.Sim.MaxConcurrent(), v)
	}
	if n := w.Sim.MaxConcurrent(); n < 4 {
		t.Errorf("never more than %d at once", n)
	}
}

// A process dies with the slots that rounds have none of. Another asks before a client's patience of 20 seconds is over.
func TestSlotsOfTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.Store.Close()
		defer w.Sim.Close()
		lost := &cut{JobStore: w.Store}
		hang := make(chan struct{})
		dead := &graph.Client{BaseURL: w.Client.BaseURL, Tokens: w.Client.Tokens, Gate: &graph.Gate{Among: &graph.Among{Store: lost, Process: "dead", Mailbox: "alice"}},
			HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				<-hang
				return nil, errCut
			})}}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() { _, _ = dead.Calendars(ctx) })
		}
		time.Sleep(time.Minute) // which it goes on with for as long as it lives
		lost.off.Store(true)
		other := &graph.Client{BaseURL: w.Client.BaseURL, HTTP: w.Client.HTTP, Tokens: w.Client.Tokens,
			Gate: &graph.Gate{Among: &graph.Among{Store: w.Store, Process: "other", Mailbox: "alice"}}}
		patient, stop := context.WithTimeout(t.Context(), 20*time.Second)
		if _, err := other.Calendars(patient); err != nil {
			t.Error(err)
		}
		stop()
		cancel()
		close(hang)
		all.Wait()
		lost.off.Store(false)
		time.Sleep(time.Minute) // leases are given back
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What one process is told to wait, the others wait too.
func TestRetryAfterOfAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store, err := sqlstore.Open(t.Context(), pgtest.URL(t), w.Key)
	w.Must(err)
	defer store.Close()
	one := &graph.Among{Store: store, Process: "one", Mailbox: "alice"}
	one.Refused(time.Minute)
	other := &graph.Client{BaseURL: w.Client.BaseURL, HTTP: w.Client.HTTP, Tokens: w.Client.Tokens, MaxWait: 10 * time.Second,
		Gate: &graph.Gate{Among: &graph.Among{Store: store, Process: "two", Mailbox: "alice"}}}
	if _, err := other.Calendars(w.Ctx); !graph.IsThrottled(err) {
		t.Errorf("a mailbox that is to be left alone is asked: %v", err)
	}
	w.Must(other.Gate.BeginRound(w.Ctx))
	if _, err := other.Calendars(w.Ctx); !graph.IsThrottled(err) {
		t.Errorf("by a round: %v", err)
	}
}
