package bridge

import (
	"context"
	"sync"
	"time"
)

// workers are the workers of the mailboxes, one each while Run runs.
type workers struct {
	mu     sync.Mutex
	ctx    context.Context // of Run; nil: it does not run
	of     map[string]*worker
	pulses map[string]Pulse
	all    sync.WaitGroup
}

type worker struct {
	stop context.CancelFunc
	done chan struct{}
}

// Pulse is what the worker of an account is at. It is not stored: after a start it is zero until the first round.
type Pulse struct {
	Busy bool      // a round is running
	Good time.Time // end of the last good round; zero: none since the start
	Next time.Time // when the next round begins, unless a nudge comes first; zero: not known
}

// Run polls every mailbox, those that are added while it runs included, until ctx ends. It returns nil then; a mailbox
// that fails is tried again for ever.
func (b *Bridge) Run(ctx context.Context) error {
	w := &b.workers
	w.mu.Lock()
	w.ctx = ctx
	for i, m := range b.Mailboxes {
		b.startWorker(m, time.Duration(i)*startGap)
	}
	w.mu.Unlock()
	<-ctx.Done()
	w.mu.Lock()
	w.ctx = nil
	w.mu.Unlock()
	w.all.Wait()
	return nil
}

// Add makes the bridge poll one more mailbox, in place of the one of the same name if there is one. It may be called
// while Run runs and before; the first round begins at once.
func (b *Bridge) Add(m Mailbox) {
	b.Remove(m.Name)
	w := &b.workers
	w.mu.Lock()
	defer w.mu.Unlock()
	b.Mailboxes = append(b.Mailboxes, m)
	if w.ctx != nil {
		b.startWorker(m, 0)
	}
}

// Remove ends the polling of a mailbox. When it returns, no round of it runs any more, and what is stored of it may be
// removed.
func (b *Bridge) Remove(name string) {
	w := &b.workers
	w.mu.Lock()
	kept := make([]Mailbox, 0, len(b.Mailboxes))
	for _, m := range b.Mailboxes {
		if m.Name != name {
			kept = append(kept, m)
		}
	}
	b.Mailboxes = kept
	gone := w.of[name]
	delete(w.of, name)
	w.mu.Unlock()
	if gone != nil {
		gone.stop()
		<-gone.done
	}
	w.mu.Lock()
	delete(w.pulses, name)
	w.mu.Unlock()
	b.Metrics.Forget(name)
	// Ids of rows that are removed are given out again. What is forgotten of others costs them a look at the store.
	for _, t := range []interface{ forget() }{&b.asked, &b.listed, &b.grouped, &b.viewed} {
		t.forget()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.ears, name)
	clear(b.stuck)
	clear(b.idle)
}

// Pulse tells what the worker of the account is at.
func (b *Bridge) Pulse(account string) Pulse {
	b.workers.mu.Lock()
	defer b.workers.mu.Unlock()
	return b.workers.pulses[account]
}

// startGap spreads the rounds of many mailboxes over their interval.
const startGap = 20 * time.Millisecond

// startWorker is called with the lock held, while Run runs. The worker begins after the delay.
func (b *Bridge) startWorker(m Mailbox, delay time.Duration) {
	w := &b.workers
	ctx, stop := context.WithCancel(w.ctx)
	one := &worker{stop: stop, done: make(chan struct{})}
	if w.of == nil {
		w.of = map[string]*worker{}
	}
	w.of[m.Name] = one
	w.all.Go(func() {
		defer close(one.done)
		defer stop()
		select {
		case <-time.After(delay):
			b.work(ctx, m)
		case <-ctx.Done():
		}
	})
}

func (w *workers) note(account string, change func(*Pulse)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pulses == nil {
		w.pulses = map[string]Pulse{}
	}
	p := w.pulses[account]
	change(&p)
	w.pulses[account] = p
}
