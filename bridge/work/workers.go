package work

import (
	"context"
	"outbridge/bridge"
	"outbridge/bridge/round"
	"sync"
	"time"
)

// workers are the workers of the mailboxes, one each while Run runs.
type workers struct {
	mu     sync.Mutex
	ctx    context.Context // of Run; nil: it does not run
	of     map[string]*worker
	pulses map[string]bridge.Pulse
	all    sync.WaitGroup
}

type worker struct {
	stop context.CancelFunc
	done chan struct{}
}

// Run polls every mailbox, those that are added while it runs included, until ctx ends. It returns nil then; a mailbox
// that fails is tried again for ever.
func (b *Scheduler) Run(ctx context.Context) error {
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
func (b *Scheduler) Add(m round.Mailbox) {
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
func (b *Scheduler) Remove(name string) {
	w := &b.workers
	w.mu.Lock()
	kept := make([]round.Mailbox, 0, len(b.Mailboxes))
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
	b.Rounds.Forget()
	b.mu.Lock()
	delete(b.ears, name)
	b.mu.Unlock()
	if b.Removed != nil {
		b.Removed(name)
	}
}

// Pulse tells what the worker of the account is at.
func (b *Scheduler) Pulse(account string) bridge.Pulse {
	b.workers.mu.Lock()
	defer b.workers.mu.Unlock()
	return b.workers.pulses[account]
}

// startGap spreads the rounds of many mailboxes over their interval.
const startGap = 20 * time.Millisecond

// startWorker is called with the lock held, while Run runs. The worker begins after the delay.
func (b *Scheduler) startWorker(m round.Mailbox, delay time.Duration) {
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

func (w *workers) note(account string, change func(*bridge.Pulse)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pulses == nil {
		w.pulses = map[string]bridge.Pulse{}
	}
	p := w.pulses[account]
	change(&p)
	w.pulses[account] = p
}
