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
	App   *AppGate // of the app, shared by the Gates of its mailboxes; nil: mailboxes do not heed each other
	Among *Among   // the other processes that ask for the mailbox; nil: there are none, or they are not heeded

	once  sync.Once
	slots *semaphore.Weighted
	files *semaphore.Weighted // taken by files that are being handed on, beside a slot
	mu    sync.Mutex
	until time.Time // no request before this
	batch int       // how many parts a batch has, until small
	small time.Time
}

// enter waits until the gate is open and takes weight slots. It gives up at once where that would take longer than
// longest.
func (g *Gate) enter(ctx context.Context, op string, weight int64, longest time.Duration) error {
	g.setUp()
	for {
		if err := g.hear(ctx); err != nil {
			return err
		}
		closed := g.closedFor()
		if closed > longest {
			return &Error{Op: op, Status: http.StatusTooManyRequests, RetryAfter: closed, Message: "an earlier answer asked to wait"}
		}
		if err := sleep(ctx, closed); err != nil {
			return err
		}
		if err := g.take(ctx, weight); err != nil {
			return err
		}
		if g.closedFor() == 0 {
			return nil
		}
		g.leave(weight)
	}
}

// atOnce is how many files are handed on at once: somebody with a slow connection holds up a slot, and the rest must go on.
const atOnce = concurrency / 2

func (g *Gate) setUp() {
	g.once.Do(func() { g.slots, g.files = semaphore.NewWeighted(concurrency), semaphore.NewWeighted(atOnce) })
}

// enterFile waits until a file may be handed on. leaveFile ends that.
func (g *Gate) enterFile(ctx context.Context) error {
	g.setUp()
	return g.files.Acquire(ctx, 1)
}

func (g *Gate) leaveFile() { g.files.Release(1) }

func (g *Gate) take(ctx context.Context, weight int64) error {
	if g.Among != nil {
		return g.Among.take(ctx, weight)
	}
	return g.slots.Acquire(ctx, weight)
}

func (g *Gate) leave(weight int64) {
	if g.Among != nil {
		g.Among.give(weight)
		return
	}
	g.slots.Release(weight)
}

// hold closes the gate for d from now.
func (g *Gate) hold(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t := time.Now().Add(d); t.After(g.until) {
		g.until = t
	}
}

// smallBatches is how long batches stay small after a part of one was throttled, once the mailbox may be asked again.
const smallBatches = time.Minute

// narrow says that Graph throttled parts of a batch, and served so many: for some time batches have no more than that. Where
// it served none, they have as many as Outlook runs at once.
func (g *Gate) narrow(served int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	from := time.Now()
	if g.until.After(from) {
		from = g.until
	}
	g.batch, g.small = orDefault(served, concurrency), from.Add(smallBatches)
}

// batchSize is how many parts a batch may have now.
func (g *Gate) batchSize() int {
	most := batchSize
	if g.Among != nil {
		if most = g.Among.width(); most == concurrency {
			most = batchSize
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Now().Before(g.small) {
		return min(g.batch, most)
	}
	return most
}

// refused closes the gate since Graph asked to slow down, and tells the app's.
func (g *Gate) refused(d time.Duration) {
	g.hold(d)
	if g.Among != nil {
		g.Among.Refused(d)
	}
	if g.App != nil {
		g.App.refused(g, d)
	}
}

// served says that Graph answered a request for this mailbox as it should.
func (g *Gate) served() {
	if g.App != nil {
		g.App.served()
	}
}

func (g *Gate) closedFor() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	closed := max(0, time.Until(g.until))
	if g.App != nil {
		closed = max(closed, g.App.closedFor())
	}
	return closed
}

// appHold is the longest that one mailbox's throttling holds up the others.
const appHold = time.Minute

// AppGate notices when Graph throttles an app as a whole, which an answer does not tell apart from throttling in one
// mailbox: two mailboxes are refused and none is served in between. Then all of them wait, a minute at most at a time,
// instead of finding out one by one. The zero value is open. It may be used concurrently.
type AppGate struct {
	mu    sync.Mutex
	told  map[*Gate]bool // refused since a request was last served
	until time.Time
}

func (a *AppGate) refused(g *Gate, d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.told == nil {
		a.told = make(map[*Gate]bool)
	}
	a.told[g] = true
	if t := time.Now().Add(min(d, appHold)); len(a.told) > 1 && t.After(a.until) {
		a.until = t
	}
}

func (a *AppGate) served() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.told)
}

func (a *AppGate) closedFor() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(0, time.Until(a.until))
}
