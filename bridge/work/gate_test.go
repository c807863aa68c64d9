package work_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
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
