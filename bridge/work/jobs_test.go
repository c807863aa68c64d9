package work_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/sqlstore/pgtest"
	"outbridge/bridge/work"
)

// fleet are machines on one database, each with rounds of its own, all of the world's mailbox.
type fleet struct {
	*world
	machines []*machine
	active   atomic.Int64 // rounds that run now
	most     atomic.Int64 // that ever ran at once
	rounds   chan string  // the machine of each that has begun
}

type machine struct {
	*work.Scheduler
	store *sqlstore.Store
	stop  func()
}

// newFleet starts n machines. set changes one before it starts.
func newFleet(t *testing.T, n int, set func(*machine), sim ...func(*graphsim.Server)) *fleet {
	t.Helper()
	f := &fleet{world: newWorld(t, sim...), rounds: make(chan string, 10_000)}
	f.Must(f.Store.Close())
	f.Path = pgtest.URL(t)
	f.Open()
	t.Cleanup(func() { f.Store.Close() })
	token, err := f.SignIn()
	f.Must(err)
	f.Must(f.Store.Tokens(1).SaveToken(f.Ctx, nil, token))
	for i := range n {
		store, err := sqlstore.Open(t.Context(), f.Path, f.Key)
		f.Must(err)
		f.Must(work.Migrate(t.Context(), store.Pool()))
		rounds := &round.Runner{Store: store, Log: f.Log.With("machine", i), ListEvery: time.Hour, CheckpointAfter: 5 * time.Minute}
		m := &machine{store: store, Scheduler: &work.Scheduler{Rounds: rounds, Store: store, Mailboxes: []work.Mailbox{f.mailbox()}, Interval: time.Hour, Log: rounds.Log,
			Jobs: &work.Jobs{Pool: store.Pool(), Store: store, Machine: fmt.Sprint(i), Log: rounds.Log}}}
		m.Before = func(context.Context, bridge.Account) error {
			now := f.active.Add(1)
			for most := f.most.Load(); now > most && !f.most.CompareAndSwap(most, now); most = f.most.Load() {
			}
			f.rounds <- m.Jobs.Machine
			return nil
		}
		m.After = func(string) { f.active.Add(-1) }
		if set != nil {
			set(m)
		}
		f.machines = append(f.machines, m)
		m.begin(f)
	}
	return f
}

func (m *machine) begin(f *fleet) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	m.stop = sync.OnceFunc(func() {
		f.Helper()
		cancel()
		f.Must(<-done)
		m.store.Close()
	})
}

func (f *fleet) end() {
	f.Helper()
	for _, m := range f.machines {
		m.stop()
	}
	if n := f.most.Load(); n != 1 {
		f.Errorf("%d rounds of the account ran at once", n)
	}
}

// What one machine is told, whichever does the round does at once.
func TestJobs(t *testing.T) {
	f := newFleet(t, 3, nil)
	<-f.rounds
	f.settled()
	f.Check()
	for i := range 6 {
		m := f.machines[i%3]
		if p := m.Pulse("alice"); i == 0 && (p.Busy || p.Good.IsZero() || len(p.Calendars) != 1 || time.Until(p.Next) < 50*time.Minute) {
			t.Errorf("pulse %+v", p)
		}
		f.Box.Calendar().Create(meeting(fmt.Sprint("Meeting ", i), i, 9))
		m.Nudge("alice")
		<-f.rounds
		f.settled()
		f.Check()
	}
	f.end()
	if left := len(f.rounds); left > 1 {
		t.Errorf("%d rounds more than were asked for", left)
	}
}

// settled waits until the job is put off to its next time.
func (f *fleet) settled() {
	f.Helper()
	for {
		var state string
		f.Must(f.machines[0].store.Pool().QueryRow(f.Ctx, `SELECT state FROM river_job WHERE kind = 'round'`).Scan(&state))
		if state == "scheduled" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// cut is a database that a machine can be cut off from.
type cut struct {
	work.JobStore
	off atomic.Bool
}

var errCut = errors.New("the database cannot be reached")

func (c *cut) TakeLease(ctx context.Context, name, owner string, life time.Duration) (bool, error) {
	if c.off.Load() {
		return false, errCut
	}
	return c.JobStore.TakeLease(ctx, name, owner, life)
}

func (c *cut) DropLease(ctx context.Context, name, owner string) error {
	if c.off.Load() {
		return errCut
	}
	return c.JobStore.DropLease(ctx, name, owner)
}

// A round that lasts is done by one machine, whatever the others are told, until that machine can no longer say that it is at it.
func TestJobsLongRound(t *testing.T) {
	var hold atomic.Pointer[chan struct{}]
	held := make(chan struct{}, 100)
	stores := map[string]*cut{}
	f := newFleet(t, 3, func(m *machine) {
		stores[m.Jobs.Machine] = &cut{JobStore: m.Jobs.Store}
		m.Jobs.Store = stores[m.Jobs.Machine]
		m.Jobs.Hurry()
	}, func(s *graphsim.Server) {
		s.Fault = func(r *http.Request) *graphsim.Fault {
			if wait := hold.Load(); wait != nil && strings.Contains(r.URL.Path, "/delta") {
				held <- struct{}{}
				select {
				case <-*wait:
				case <-r.Context().Done():
				}
			}
			return nil
		}
	})
	<-f.rounds
	f.settled()
	// The round outlives several leases.
	wait := make(chan struct{})
	hold.Store(&wait)
	f.Box.Calendar().Create(meeting("Late", 2, 9))
	f.machines[0].Nudge("alice")
	at := <-f.rounds
	<-held
	for range 6 {
		for _, m := range f.machines {
			m.Nudge("alice")
		}
		time.Sleep(500 * time.Millisecond)
		if p := f.machines[1].Pulse("alice"); !p.Busy {
			t.Errorf("pulse of a long round: %+v", p)
		}
	}
	if n := len(f.rounds); n > 0 {
		t.Fatalf("%d rounds beside the one that runs", n)
	}
	// Its machine is cut off: it gives up before another begins.
	stores[at].off.Store(true)
	if next := <-f.rounds; next == at {
		<-f.rounds // without a lease it can do short ones still
	}
	hold.Store(nil)
	close(wait)
	f.settled()
	f.Check()
	f.end()
}

// Why a round was to begin is not lost with it: a round that only a person's wish can begin is begun again by another machine when its own
// ends in the middle of it, and once it has ended no more.
func TestJobsCutShort(t *testing.T) {
	var hold atomic.Bool
	var cutShort atomic.Int64
	f := newFleet(t, 2, func(m *machine) {
		m.Jobs.Hurry()
		before := m.Before
		m.Before = func(ctx context.Context, a bridge.Account) error {
			err := before(ctx, a)
			if hold.Load() {
				<-ctx.Done()
				cutShort.Add(1)
			}
			return err
		}
	})
	<-f.rounds
	f.settled()
	a, err := f.Store.Account(f.Ctx, "alice")
	f.Must(err)
	f.Must(f.Store.SetState(f.Ctx, a.ID, bridge.State{Code: bridge.StateSignIn, Final: true, TokenVersion: a.TokenVersion}))
	hold.Store(true)
	f.machines[0].Nudge("alice")
	at, other := f.machines[0], f.machines[1]
	if <-f.rounds == other.Jobs.Machine {
		at, other = other, at
	}
	for passed := bridge.Nudge(0); passed == 0; { // all of it is taken, none is on its way
		turn, err := f.Store.Turn(f.Ctx, "alice")
		f.Must(err)
		passed = turn.Taken
	}
	// While it holds, its machine ends, and with it the round. Where a machine gives the round up before, it begins it anew.
	at.stop()
	hold.Store(false)
	if cutShort.Load() == 0 {
		t.Fatal("no round was cut short")
	}
	for <-f.rounds != other.Jobs.Machine {
	}
	for {
		turn, err := f.Store.Turn(f.Ctx, "alice")
		f.Must(err)
		if turn.Nudge|turn.Taken == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.end()
}

// A mailbox that is removed on one machine is done on none, and one that is added on one of them is done.
func TestJobsAddAndRemove(t *testing.T) {
	f := newFleet(t, 2, func(m *machine) { m.Mailboxes = nil })
	for _, m := range f.machines {
		if p := m.Pulse("nobody"); p.Busy {
			t.Errorf("%+v", p)
		}
	}
	for _, m := range f.machines {
		m.Add(f.mailbox())
	}
	<-f.rounds
	f.settled()
	f.Check()
	f.machines[0].Remove("alice")
	f.machines[1].Remove("alice")
	var live int
	f.Must(f.machines[0].store.Pool().QueryRow(f.Ctx, `SELECT count(*) FROM river_job WHERE kind = 'round' AND finalized_at IS NULL AND args->>'account' = 'alice'`).Scan(&live))
	if live != 0 {
		t.Error("its job is left")
	}
	for _, m := range f.machines {
		m.Add(f.mailbox())
	}
	<-f.rounds
	f.end()
}

// TestMigrateAgain makes River's tables twice, as every machine does at its start, and looks for the index that each round would write to.
func TestMigrateAgain(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for range 2 {
		if err := work.Migrate(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
	}
	var indexes []string
	if err := pool.QueryRow(t.Context(), `SELECT array_agg(indexname::text) FROM pg_indexes WHERE tablename = 'river_job'`).Scan(&indexes); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(indexes, "river_job_metadata_index") || !slices.Contains(indexes, "river_job_args_index") {
		t.Errorf("indexes of jobs: %q", indexes)
	}
}

// A command does its round while no machine does one.
func TestJobsAlone(t *testing.T) {
	f := newFleet(t, 2, func(m *machine) { m.Interval = time.Millisecond })
	var looks atomic.Int64
	m := f.mailbox()
	m.Graph = &graph.Client{BaseURL: f.Client.BaseURL, Mailbox: f.Client.Mailbox, Tokens: f.Client.Tokens, HTTP: &http.Client{Transport: each{f.Sim.Client().Transport, func() {
		looks.Add(1)
		if n := f.active.Load(); n > 0 {
			t.Errorf("%d rounds run beside that of a command", n)
		}
	}}}}
	for i := range 3 {
		<-f.rounds
		f.Box.Calendar().Create(meeting(fmt.Sprint("Alone ", i), i, 9)) // so that there is something to do
		_, err := work.Alone(f.Ctx, f.Store.Pool(), f.Store, "command", &round.Runner{Store: f.Store, Log: f.Log}, m)
		f.Must(err)
	}
	if looks.Load() == 0 {
		t.Error("nobody has looked")
	}
	f.end()
}

// each calls a function before each request.
type each struct {
	http.RoundTripper
	f func()
}

func (e each) RoundTrip(r *http.Request) (*http.Response, error) {
	e.f()
	return e.RoundTripper.RoundTrip(r)
}
