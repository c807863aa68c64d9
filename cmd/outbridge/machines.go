package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"sync/atomic"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/round"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/work"
)

const (
	heartbeat   = 30 * time.Second
	followEvery = 2 * time.Second // an account that was added on another machine's pages is served after that
)

// machine is this server among those that use its database.
type machine struct {
	bridge.Machine
	store  *sqlstore.Store
	log    *slog.Logger
	offset atomic.Int64 // nanoseconds that this machine's clock is ahead of the database's
}

// newMachine says that this machine is there.
func newMachine(ctx context.Context, p *program) (*machine, error) {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	m := &machine{store: p.store, log: p.log,
		Machine: bridge.Machine{ID: p.process, Name: name, Version: version(), Schema: sqlstore.Schema(), Address: p.conf.listenText()}}
	return m, m.beat(ctx)
}

func (m *machine) beat(ctx context.Context) error {
	asked := time.Now()
	now, err := m.store.SeeMachine(ctx, m.Machine)
	if err != nil {
		return err
	}
	answered := time.Now()
	m.offset.Store(int64(asked.Add(answered.Sub(asked) / 2).Sub(now)))
	return nil
}

// count is how many machines are there.
func (m *machine) count(ctx context.Context) (n int, err error) {
	list, now, err := m.store.Machines(ctx)
	for _, one := range list {
		if now.Sub(one.Seen) < bridge.MachineLife {
			n++
		}
	}
	return n, err
}

// nobodyServes is an error where machines use the database. Those of a file are kept away by its lock.
func (p *program) nobodyServes(ctx context.Context) error {
	if p.store.Pool() == nil {
		return nil
	}
	switch n, err := (&machine{store: p.store}).count(ctx); {
	case err != nil:
		return err
	case n > 0:
		return fmt.Errorf("servers that use the database: %d. Stop them first; one that has died is forgotten after %v", n, bridge.MachineLife)
	}
	return nil
}

// ahead is how far this machine's clock is ahead of the database's.
func (m *machine) ahead() time.Duration { return time.Duration(m.offset.Load()) }

// Run says every half minute that the machine is there, until ctx ends.
func (m *machine) Run(ctx context.Context) error {
	every := time.NewTicker(heartbeat)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
			defer cancel()
			_ = m.store.DropMachine(end, m.ID) // else it is forgotten in a day
			return nil
		case <-every.C:
		}
		beat, cancel := context.WithTimeout(ctx, heartbeat)
		if err := m.beat(beat); err != nil && ctx.Err() == nil {
			m.log.Warn("other machines cannot be told that this one is there", "err", err)
		}
		cancel()
	}
}

// giveBack gives all leases back that the machine still has, such as that of a mailbox that it has just written to: who writes there
// next would wait for their end.
func (m *machine) giveBack(ctx context.Context) {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	_ = m.store.DropLeases(end, m.ID) // else they end by themselves
}

// Leases of what one machine does for all.
const (
	aloneLife  = time.Minute
	aloneRenew = 15 * time.Second
	aloneSpare = 10 * time.Second
)

// alone runs f on one machine at a time, until ctx ends: on another one within a minute after this one has died. f is to return when
// its context ends. A nil machine is the only one.
func (m *machine) alone(ctx context.Context, name string, f func(context.Context) error) error {
	if m == nil {
		return f(ctx)
	}
	for ctx.Err() == nil {
		asked := time.Now()
		taken, err := m.store.TakeLease(ctx, name, m.ID, aloneLife)
		if err != nil && ctx.Err() == nil {
			m.log.Warn("it cannot be seen which machine is to do something for all", "what", name, "err", err)
		}
		if taken {
			if err := m.holding(ctx, name, asked, f); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(aloneRenew):
		}
	}
	return nil
}

// holding runs f for as long as the lease can be prolonged.
func (m *machine) holding(ctx context.Context, name string, asked time.Time, f func(context.Context) error) error {
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	end := time.AfterFunc(time.Until(asked.Add(aloneLife-aloneSpare)), cancel)
	defer end.Stop()
	ended := make(chan error, 1)
	go func() { ended <- f(run) }()
	every := time.NewTicker(aloneRenew)
	defer every.Stop()
	for {
		select {
		case err := <-ended:
			give, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
			defer stop()
			_ = m.store.DropLease(give, name, m.ID) // else it ends by itself
			return err
		case <-every.C:
		}
		asked := time.Now()
		renew, stop := context.WithTimeout(run, aloneSpare)
		taken, err := m.store.TakeLease(renew, name, m.ID, aloneLife)
		stop()
		switch {
		case err == nil && !taken:
			cancel()
		case err == nil && end.Stop():
			end.Reset(time.Until(asked.Add(aloneLife - aloneSpare)))
		}
	}
}

// roundOf does a round for a command, while no server does one of the same account where the database lets that be seen.
func (p *program) roundOf(ctx context.Context, rounds *round.Runner, m work.Mailbox) (bridge.Report, error) {
	if pool := p.store.Pool(); pool != nil {
		return work.Alone(ctx, pool, p.store, p.process, rounds, m)
	}
	return rounds.Round(ctx, m.Mailbox)
}

// share has the rounds of a scheduler done by all machines on the database, where that is a server.
func (p *program) share(ctx context.Context, s *work.Scheduler) error {
	pool := p.store.Pool()
	if pool == nil {
		return nil
	}
	if err := work.Migrate(ctx, pool); err != nil {
		return err
	}
	m, err := newMachine(ctx, p)
	if err != nil {
		return err
	}
	p.machine, p.metrics.Shared = m, true
	s.Jobs = &work.Jobs{Pool: pool, Store: p.store, Machine: m.ID, Offset: m.ahead, Log: p.log}
	p.log.Info("other machines may share the work", "machine", m.ID)
	return nil
}

// follow takes up what was set on the pages of other machines, until ctx ends.
func (a *webAccounts) follow(ctx context.Context) error {
	last, trouble := "", ""
	every := time.NewTicker(followEvery)
	defer every.Stop()
	for {
		now, err := a.p.store.SettingsVersion(ctx)
		if err == nil && now != last {
			if err = a.takeUp(ctx); err == nil {
				last = now
			}
		}
		was := trouble
		if trouble = ""; err != nil {
			trouble = err.Error()
		}
		if err != nil && ctx.Err() == nil && trouble != was {
			a.p.log.Warn("what was set on the pages of another machine cannot be taken up yet", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// takeUp brings registration, options and accounts to what the database has now.
func (a *webAccounts) takeUp(ctx context.Context) error {
	registration, err := a.p.store.Registration(ctx)
	if err != nil {
		return err
	}
	credential, err := a.p.store.Credential(ctx)
	if errors.Is(err, bridge.ErrWrongKey) { // who has to know is told by what needs it
		credential, err = a.p.conf.Microsoft.pages.get(), nil
	}
	if err != nil {
		return err
	}
	options, err := a.p.store.Options(ctx)
	if err != nil {
		return err
	}
	rows, err := a.p.store.Accounts(ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.takeRegistration(registration, credential)
	a.takeOptions(options)
	return a.takeAccounts(ctx, rows, all)
}

// takeRegistration reports whether every mailbox has to begin anew.
func (a *webAccounts) takeRegistration(r bridge.Registration, c bridge.Credential) bool {
	if !a.p.registrationOnPages || r.ClientID == "" || r == a.p.registration && c == a.p.conf.Microsoft.pages.get() {
		return false
	}
	if _, graphURL, ok := graph.Cloud(cmp.Or(r.Cloud, "global")); ok && !a.p.conf.given["microsoft.cloud"] && graphURL != a.p.conf.graphURL {
		a.next = &r // what runs goes on with the cloud that it began with
		return false
	}
	a.p.registration = r
	a.p.conf.Microsoft.pages.Store(&c)
	a.p.graph.gates = new(gates)
	a.p.log.Info("app registration taken up", "client_id", r.ClientID, "tenant", r.Tenant)
	return true
}

func (a *webAccounts) takeOptions(o bridge.Options) {
	if a.options == nil {
		a.options = &o // the program has begun with them
		return
	}
	if *a.options == o {
		return
	}
	next := a.p.conf.withoutPages()
	next.take(o)
	if wrong := next.syncProblems(); len(wrong) > 0 {
		a.p.log.Warn("how to sync, as set on the pages of another machine, does not fit the configuration of this one", "err", wrong[0])
		return
	}
	a.options = &o
	a.work.Rounds.SetPace(round.Pace{History: next.history, Horizon: next.horizon, ListEvery: listRounds * next.interval})
	a.work.SetInterval(next.interval)
}

// takeAccounts adds, changes and removes accounts of the pages, and changes the policies of all.
func (a *webAccounts) takeAccounts(ctx context.Context, rows []bridge.Account, all bool) error {
	now := make(map[string]bridge.Account, len(rows))
	for _, row := range rows {
		now[row.Name] = row
	}
	before := a.rows
	var failed []error
	for _, old := range append([]accountConfig(nil), a.p.accounts...) {
		row, there := now[old.Name]
		if a.p.added[old.Name] && (!there || !row.Added) {
			a.work.Remove(old.Name)
			a.p.removeAccount(old.Name)
			a.p.log.Info("account removed on another machine", "account", old.Name)
		}
	}
	for _, row := range rows {
		if row.Directory {
			continue // of the organization, which every machine looks for itself
		}
		known, err := a.p.account(row.Name)
		if err != nil && !row.Added {
			continue // it has left the configuration
		}
		if err == nil && known.member && !all {
			continue // members.Adopt sees to it
		}
		next := known
		if err != nil || a.p.added[row.Name] {
			next = accountConfig{Name: row.Name, Mailbox: row.Mailbox, Include: row.Options.Include, Exclude: row.Options.Exclude, Shared: row.Options.Shared}
		}
		last, seen := before[row.Name]
		same := err == nil && reflect.DeepEqual(known, next) && (before == nil || seen && reflect.DeepEqual(last.Policy, row.Policy) && last.Identity.Address == row.Identity.Address)
		if same && !all {
			continue
		}
		if err != nil {
			a.p.addAccount(next)
			a.p.log.Info("account added on another machine", "account", row.Name)
		} else if a.p.added[row.Name] {
			a.p.removeAccount(row.Name)
			a.p.addAccount(next)
		}
		if a.p.registration.ClientID == "" {
			continue // it begins with the registration
		}
		m, err := a.p.mailbox(ctx, next)
		if err != nil {
			failed = append(failed, fmt.Errorf("account %s: %w", row.Name, err))
			delete(now, row.Name) // it is taken up again, and holds up no other
			continue
		}
		a.work.Add(m)
	}
	a.rows = now
	return errors.Join(failed...)
}
