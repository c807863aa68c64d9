// Package work decides when a round runs: at its time, when somebody nudges, and when Graph tells of a change. It does not know
// what a round does.
package work

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"sync"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/round"
)

// startGap spreads the first rounds of many mailboxes.
const startGap = 20 * time.Millisecond

// Store is what a Scheduler keeps of accounts.
type Store interface {
	Account(ctx context.Context, name string) (bridge.Account, error)
	bridge.SubscriptionStore
}

// Subscriptions is what Graph is asked for to tell of changes in a mailbox by itself; *graph.Client is the real one. It retries
// by itself.
type Subscriptions interface {
	Subscribe(ctx context.Context, s graph.Subscription) (graph.Subscription, error)
	Subscriptions(ctx context.Context) ([]graph.Subscription, error)
	RenewSubscription(ctx context.Context, id string, expires time.Time) (graph.Subscription, error)
	DeleteSubscription(ctx context.Context, id string) error
}

// Mailbox is what a Scheduler needs of one account.
type Mailbox struct {
	round.Mailbox
	Subscriptions Subscriptions
	AppOnly       bool        // an app reads it in its own name
	Gate          *graph.Gate // of the mailbox, that is told of rounds of Jobs; nil: none is
}

// Scheduler runs a worker for each mailbox, which does its rounds one after another. All fields are set before the first call.
type Scheduler struct {
	Rounds    *round.Runner
	Store     Store
	Mailboxes []Mailbox // when Run begins; see Add and Remove

	Interval time.Duration // between rounds; 0: 1 minute
	// NotifyURL is the https address at which Graph can tell of changes, to be passed on to Notify. "": changes are
	// polled for.
	NotifyURL string
	// SafetyNet is the time between rounds while Graph tells of changes by itself; 0: 15 minutes.
	SafetyNet time.Duration

	// Before is called before each round of an account, for what is to be done first. Nil: nothing is.
	Before func(ctx context.Context, a bridge.Account) error
	// After is called after each round, also one that was cut short. Nil: it is not.
	After func(account string)
	// Removed is called when a mailbox is no longer polled. Nil: not called.
	Removed func(account string)
	// Jobs does the rounds on this machine and others. Nil: this process does them all.
	Jobs *Jobs

	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: slog.Default

	mu      sync.Mutex         // guards what follows, and Mailboxes while Run runs
	ctx     context.Context    // of Run; nil: it does not run
	workers map[string]*worker // by account
	all     sync.WaitGroup
}

// Run polls every mailbox, those that are added while it runs included, until ctx ends. It returns nil then; a mailbox
// that fails is tried again forever.
func (s *Scheduler) Run(ctx context.Context) (err error) {
	if s.Jobs != nil {
		err = s.Jobs.run(ctx, s)
	} else {
		s.begin(ctx)
		<-ctx.Done()
	}
	s.mu.Lock()
	s.ctx = nil
	s.mu.Unlock()
	s.all.Wait()
	return err
}

// begin starts the workers of all mailboxes.
func (s *Scheduler) begin(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx = ctx
	for i, m := range s.Mailboxes {
		s.start(m, time.Duration(i)*startGap)
	}
}

// Add makes the scheduler poll one more mailbox, in place of the one of the same name if there is one. It may be called
// while Run runs and before; the first round begins at once.
func (s *Scheduler) Add(m Mailbox) {
	s.drop(m.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Mailboxes = append(s.Mailboxes, m)
	if s.ctx != nil {
		s.start(m, 0)
		if s.Jobs != nil {
			s.Jobs.nudge(m.Name, bridge.NudgeDue)
		}
	}
}

// Remove ends the polling of a mailbox. When it returns, no round of it runs any more, and what is stored of it may be
// removed.
func (s *Scheduler) Remove(name string) {
	s.drop(name)
	if s.Jobs != nil && s.runs() {
		s.Jobs.end(name)
	}
}

func (s *Scheduler) runs() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ctx != nil
}

// drop ends what this process does for a mailbox.
func (s *Scheduler) drop(name string) {
	s.mu.Lock()
	kept := make([]Mailbox, 0, len(s.Mailboxes))
	for _, m := range s.Mailboxes {
		if m.Name != name {
			kept = append(kept, m)
		}
	}
	s.Mailboxes = kept
	gone := s.workers[name]
	delete(s.workers, name)
	s.mu.Unlock()
	if gone != nil {
		gone.stop()
		<-gone.done
	}
	s.Rounds.Forget(name)
	if s.Removed != nil {
		s.Removed(name)
	}
}

// Mailbox is that of an account; false where it has none.
func (s *Scheduler) Mailbox(account string) (Mailbox, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.workers[account]; w != nil {
		return w.mailbox, true
	}
	for _, m := range s.Mailboxes {
		if m.Name == account {
			return m, true
		}
	}
	return Mailbox{}, false
}

// start is called with the lock held, while Run runs. The worker begins after the delay.
func (s *Scheduler) start(m Mailbox, delay time.Duration) {
	from := s.ctx
	if s.Jobs != nil {
		from = s.Jobs.ctx
	}
	ctx, stop := context.WithCancel(from)
	log := s.log().With("account", m.Name)
	w := &worker{
		s: s, ctx: ctx, mailbox: m, log: log, nudges: make(chan struct{}, 1), stop: stop, done: make(chan struct{}),
		listener: &listener{mailbox: m, store: s.Store, url: s.NotifyURL, now: s.now, log: log},
	}
	if s.workers == nil {
		s.workers = map[string]*worker{}
	}
	s.workers[m.Name] = w
	if s.Jobs != nil { // it does the turns that come to this machine
		context.AfterFunc(ctx, func() {
			w.turns.Lock() // for good
			close(w.done)
		})
		return
	}
	s.all.Go(func() {
		defer close(w.done)
		defer stop()
		if pause(ctx, delay) {
			w.run(ctx)
		}
	})
}

// SetInterval changes the time between rounds while Run runs. Every account begins a round with it.
func (s *Scheduler) SetInterval(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Interval = d
	if s.Jobs != nil {
		return // jobs are put off by the new one from their next round on
	}
	for _, w := range s.workers {
		w.nudge()
	}
}

func (s *Scheduler) interval() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Interval
}

// accounts are the names of all mailboxes.
func (s *Scheduler) accounts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]string, len(s.Mailboxes))
	for i, m := range s.Mailboxes {
		list[i] = m.Name
	}
	return list
}

// worker is that of an account; nil where it has none.
func (s *Scheduler) worker(account string) *worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.workers[account]
}

// Nudge starts a round of the account now instead of at its next time, also where only a person can help it: somebody asks for it,
// who may have done so. It never blocks.
func (s *Scheduler) Nudge(account string) {
	if s.Jobs != nil {
		s.Jobs.nudge(account, bridge.NudgeDue|bridge.NudgeAsked)
	} else if w := s.worker(account); w != nil {
		w.asked.Store(true)
		w.nudge()
	}
}

// Pulse tells what the worker of the account is at.
func (s *Scheduler) Pulse(account string) bridge.Pulse {
	w := s.worker(account)
	switch {
	case w == nil:
		return bridge.Pulse{}
	case s.Jobs != nil:
		return s.Jobs.pulse(account)
	}
	return w.at()
}

// Notify takes notifications of Graph: the accounts whose subscriptions they prove to come from begin a round at once. Others
// are ignored. It never blocks.
func (s *Scheduler) Notify(list []bridge.Notification) {
	if s.Jobs != nil {
		if s.runs() {
			s.Jobs.hear(list)
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range list {
		state := sha256.Sum256([]byte(n.ClientState))
		for _, w := range s.workers {
			if w.listener.hear(n, state[:]) {
				w.nudge()
			}
		}
	}
}

func (s *Scheduler) now() time.Time {
	if s.Now != nil {
		return s.Now().UTC()
	}
	return time.Now().UTC()
}

func (s *Scheduler) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.Default()
}

// pause waits, and reports whether it did to the end.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
