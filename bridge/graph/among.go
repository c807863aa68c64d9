package graph

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// SlotStore keeps leases that all processes see, by a clock that all share.
type SlotStore interface {
	TakeLease(ctx context.Context, name, owner string, life time.Duration) (taken bool, err error)
	DropLease(ctx context.Context, name, owner string) error
	LeaseOwner(ctx context.Context, name string) (owner string, err error)
	// LeaseLeft is how long the lease lasts; 0: nobody has it.
	LeaseLeft(ctx context.Context, name string) (time.Duration, error)
}

// Among keeps the limits of a mailbox together with other processes. Of the four requests at once, two belong to whoever does the
// mailbox's round, of whom there is one: an idle round so takes no lease. The other two are leases, which rounds with much to do, and
// everybody else, take when they need them, and give back when they do not or another process wants them. Store, Process and Mailbox
// are set before the first call.
type Among struct {
	Store   SlotStore
	Process string
	Mailbox string       // names it in the store
	Log     *slog.Logger // nil: nothing is logged

	once  sync.Once
	queue *semaphore.Weighted // whoever waits for slots, one after the other

	mu      sync.Mutex
	rounds  int           // that this process does of the mailbox
	crowded bool          // several accounts read it, whose rounds know nothing of each other: none has slots of its own
	used    int64         // slots
	leased  [shared]lease // that this process has
	not     time.Time     // before this no lease is taken again
	keeping bool          // keep runs
	news    chan struct{} // closed and replaced when something has changed; nil: nobody waits
}

type lease struct {
	taken bool
	until time.Time // by this process's clock, counted from before it was asked for
	back  bool      // it is given back as soon as it is not in use
}

const (
	shared    = 2                    // slots that are leases
	roundOwns = concurrency - shared // slots of a round

	slotLife   = 18 * time.Second // less than clients wait for a change that they make: a process may die with a slot
	slotRenew  = 9 * time.Second
	slotIdle   = time.Second            // what is not used for that long is given back
	slotLook   = 500 * time.Millisecond // for others that want one
	slotPause  = time.Second            // after it was given to others
	slotTry    = 150 * time.Millisecond
	slotStore  = 5 * time.Second // patience with the store
	closedLife = time.Hour       // at most
)

func (a *Among) slotName(i int) string { return fmt.Sprintf("gate/%s/%d", a.Mailbox, i) }
func (a *Among) wanted() string        { return "gate/" + a.Mailbox + "/wanted" }
func (a *Among) closed() string        { return "gate/" + a.Mailbox + "/closed" }

func (a *Among) setUp() { a.once.Do(func() { a.queue = semaphore.NewWeighted(1) }) }

// own is how many slots the process has without a lease.
func (a *Among) own() int64 {
	if a.rounds > 0 && !a.crowded {
		return roundOwns
	}
	return 0
}

// capacity is how many slots may be used now.
func (a *Among) capacity(now time.Time) int64 {
	n := a.own()
	for _, l := range a.leased {
		if l.taken && !l.back && now.Before(l.until) {
			n++
		}
	}
	return n
}

func (a *Among) tell() {
	if a.news != nil {
		close(a.news)
		a.news = nil
	}
}

// take waits for so many slots.
func (a *Among) take(ctx context.Context, weight int64) error {
	a.setUp()
	if err := a.queue.Acquire(ctx, 1); err != nil {
		return err
	}
	defer a.queue.Release(1)
	for asked := false; ; {
		a.mu.Lock()
		if a.used+weight <= a.capacity(time.Now()) {
			a.used += weight
			a.mu.Unlock()
			return nil
		}
		if a.news == nil {
			a.news = make(chan struct{})
		}
		news := a.news
		a.mu.Unlock()
		got, err := a.lease(ctx)
		if err != nil {
			return fmt.Errorf("slots of the mailbox: %w", err)
		}
		if got {
			continue
		}
		if !asked && a.mayLease() {
			asked = true
			look, cancel := context.WithTimeout(ctx, slotStore)
			_, err := a.Store.TakeLease(look, a.wanted(), a.Process, slotStore)
			cancel()
			if err != nil {
				return fmt.Errorf("slots of the mailbox: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		case <-time.After(slotTry):
			asked = asked && time.Now().Before(a.not)
		}
	}
}

func (a *Among) give(weight int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used -= weight
	a.tell()
}

// mayLease reports whether there is a lease that this process has not got.
func (a *Among) mayLease() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for _, l := range a.leased {
		if !l.taken || !now.Before(l.until) {
			return true
		}
	}
	return false
}

// lease takes a lease that is free, and reports whether there was one.
func (a *Among) lease(ctx context.Context) (got bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, slotStore)
	defer cancel()
	for i := range a.leased {
		a.mu.Lock()
		now := time.Now()
		skip := now.Before(a.not) || a.leased[i].taken && now.Before(a.leased[i].until)
		a.mu.Unlock()
		if skip {
			continue
		}
		taken, err := a.Store.TakeLease(ctx, a.slotName(i), a.Process, slotLife)
		if err != nil {
			return false, err
		}
		if !taken {
			continue
		}
		a.mu.Lock()
		a.leased[i] = lease{taken: true, until: now.Add(slotLife - slotStore)}
		if !a.keeping {
			a.keeping = true
			go a.keep()
		}
		a.mu.Unlock()
		return true, nil
	}
	return false, nil
}

// keep renews what is in use, and gives back what is not or another process wants, until there is nothing left.
func (a *Among) keep() {
	idle := time.Now() // since when the leases are not in use
	for {
		time.Sleep(slotLook)
		ctx, cancel := context.WithTimeout(context.Background(), slotStore)
		who, err := a.Store.LeaseOwner(ctx, a.wanted())
		cancel()
		if err != nil {
			who = ""
			a.log().Warn("it cannot be seen whether another process wants to ask Graph", "mailbox", a.Mailbox, "err", err)
		}
		now := time.Now()
		a.mu.Lock()
		if a.used > a.own() {
			idle = now
		}
		if who != "" && who != a.Process {
			a.not = now.Add(slotPause)
		}
		drop, renew := a.sort(now, now.Sub(idle) >= slotIdle || now.Before(a.not))
		a.mu.Unlock()
		for _, i := range drop {
			ctx, cancel := context.WithTimeout(context.Background(), slotStore)
			if err := a.Store.DropLease(ctx, a.slotName(i), a.Process); err != nil {
				a.log().Warn("a slot of a mailbox is free only when its lease ends", "mailbox", a.Mailbox, "err", err)
			}
			cancel()
		}
		for _, i := range renew {
			a.renew(i)
		}
		a.mu.Lock()
		left := false
		for _, l := range a.leased {
			left = left || l.taken
		}
		if !left {
			a.keeping = false
		}
		a.mu.Unlock()
		if !left {
			return
		}
	}
}

// sort tells which leases to give back and which to renew. Those that are to go and are in use are not used again.
func (a *Among) sort(now time.Time, back bool) (drop, renew []int) {
	held := a.used - a.own()
	for i := range a.leased {
		l := &a.leased[i]
		if !l.taken {
			continue
		}
		l.back = l.back || back
		switch free := a.count() > max(0, held); {
		case l.back && free, !now.Before(l.until) && free:
			*l = lease{}
			drop = append(drop, i)
		case l.until.Sub(now) < slotLife-slotRenew:
			renew = append(renew, i)
		}
	}
	return drop, renew
}

// count is how many leases the process has.
func (a *Among) count() (n int64) {
	for _, l := range a.leased {
		if l.taken {
			n++
		}
	}
	return n
}

func (a *Among) renew(i int) {
	asked := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), slotStore)
	defer cancel()
	taken, err := a.Store.TakeLease(ctx, a.slotName(i), a.Process, slotLife)
	if err != nil || !taken {
		return // what is under way cannot be called back; nothing new is sent after its end
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.leased[i].taken {
		a.leased[i].until = asked.Add(slotLife - slotStore)
	}
}

// width is how many requests a batch may make Outlook run at once. It takes what leases are free, where there is much to do.
func (a *Among) width() int {
	a.setUp()
	for {
		a.mu.Lock()
		n, owns := a.capacity(time.Now()), a.own() > 0
		a.mu.Unlock()
		if !owns {
			return 1
		}
		if n == concurrency {
			return int(n)
		}
		if got, err := a.lease(context.Background()); err != nil || !got {
			return roundOwns
		}
	}
}

// Refused tells the others that the mailbox is not to be asked before d is over.
func (a *Among) Refused(d time.Duration) {
	if d < time.Second {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), slotStore)
	defer cancel()
	// The owner is the same for all: whoever heard of it last has the last word.
	if _, err := a.Store.TakeLease(ctx, a.closed(), "Outlook", min(d, closedLife)); err != nil {
		a.log().Warn("other processes do not know that Outlook asks to wait", "mailbox", a.Mailbox, "err", err)
	}
}

// left is how long the mailbox is not to be asked, as far as the others know.
func (a *Among) left(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, slotStore)
	defer cancel()
	return a.Store.LeaseLeft(ctx, a.closed())
}

func (a *Among) log() *slog.Logger {
	if a.Log != nil {
		return a.Log
	}
	return slog.New(slog.DiscardHandler)
}

// outside reports whether the process has nothing of the mailbox now, and so may not know what others were told.
func (a *Among) outside() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.capacity(time.Now()) == 0
}

// hear closes the gate where another process was told to wait, if this one may not have heard of it.
func (g *Gate) hear(ctx context.Context) error {
	if g.Among == nil || !g.Among.outside() {
		return nil
	}
	left, err := g.Among.left(ctx)
	if err != nil {
		return err
	}
	g.hold(left)
	return nil
}

// BeginRound says that this process does a round of the mailbox, and no other does. What others were told by Outlook counts from
// then on. EndRound ends it, when nothing is under way any more in the slots that belong to a round.
func (g *Gate) BeginRound(ctx context.Context) error {
	a := g.Among
	if a == nil {
		return nil
	}
	left, err := a.left(ctx)
	if err != nil {
		return err
	}
	g.hold(left)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rounds++
	a.tell()
	return nil
}

func (g *Gate) EndRound(ctx context.Context) error {
	a := g.Among
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rounds--
	for a.rounds == 0 && a.used > a.count() {
		if a.news == nil {
			a.news = make(chan struct{})
		}
		news := a.news
		a.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-news:
		}
		a.mu.Lock()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// Crowd says that several accounts read the mailbox.
func (a *Among) Crowd() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.crowded = true
}
