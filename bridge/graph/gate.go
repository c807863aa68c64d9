package graph

import (
	"context"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// concurrency is what Outlook allows one app in one mailbox: four requests at once are clean, a fifth is refused
// (learn.microsoft.com/graph/throttling-limits, "MailboxConcurrency").
const concurrency = 4

// Gate keeps the limits that Outlook sets one app in one mailbox: four requests at once, and none before the time that a
// Retry-After named. The zero value is open. It may be used concurrently.
type Gate struct {
	once  sync.Once
	slots *semaphore.Weighted
	mu    sync.Mutex
	until time.Time // no request before this
}

// enter waits until the gate is open and takes weight slots. It gives up at once where that would take longer than
// longest.
func (g *Gate) enter(ctx context.Context, op string, weight int64, longest time.Duration) error {
	g.once.Do(func() { g.slots = semaphore.NewWeighted(concurrency) })
	for {
		closed := g.closedFor()
		if closed > longest {
			return &Error{Op: op, Status: http.StatusTooManyRequests, RetryAfter: closed, Message: "an earlier answer asked to wait"}
		}
		if err := sleep(ctx, closed); err != nil {
			return err
		}
		if err := g.slots.Acquire(ctx, weight); err != nil {
			return err
		}
		if g.closedFor() == 0 {
			return nil
		}
		g.slots.Release(weight)
	}
}

func (g *Gate) leave(weight int64) { g.slots.Release(weight) }

// hold closes the gate for d from now.
func (g *Gate) hold(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t := time.Now().Add(d); t.After(g.until) {
		g.until = t
	}
}

func (g *Gate) closedFor() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return max(0, time.Until(g.until))
}
