package write

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"outbridge/bridge"
)

const (
	// turnLife is less than defaultBudget: whoever saves again what a machine that died was saving gets the turn, and the answer, in one
	// request.
	turnLife  = 15 * time.Second
	turnRenew = 4 * time.Second
	turnSpare = 5 * time.Second // before its end nothing more is done in a turn that cannot be renewed
	turnTry   = 200 * time.Millisecond
	turnStore = 5 * time.Second // patience with the store
)

// Leases are what writers in several processes on one database have in common.
type Leases struct {
	Store   bridge.LeaseStore
	Process string // names this one among them
}

// turn is the right to write to a series. It is of one in this process, and with Leases of one process.
type turn struct {
	lost <-chan struct{} // closed when another process may have it; nil: none ever has
	end  func()          // gives it back; called any number of times
}

// nobodys is no turn.
var nobodys = turn{end: func() {}}

// lock waits for the turn of a series; the context's error where it is over first.
func (w *Writer) lock(ctx context.Context, key string) (turn, error) {
	release, err := w.series.lock(ctx, key)
	if err != nil {
		return turn{}, err
	}
	for {
		t, taken, err := w.lease(ctx, key, release)
		if err != nil {
			release()
			return turn{}, err
		}
		if taken {
			return t, nil
		}
		select {
		case <-ctx.Done():
			release()
			return turn{}, ctx.Err()
		case <-time.After(turnTry):
		}
	}
}

// try takes the turn of a series if nobody has it.
func (w *Writer) try(ctx context.Context, key string) (t turn, taken bool, err error) {
	release, ok := w.series.try(key)
	if !ok {
		return turn{}, false, nil
	}
	t, taken, err = w.lease(ctx, key, release)
	if err != nil || !taken {
		release()
	}
	return t, taken, err
}

// lease makes a turn of what is locked in this process.
func (w *Writer) lease(ctx context.Context, key string, release func()) (t turn, taken bool, err error) {
	if w.Leases == nil {
		return turn{end: release}, true, nil
	}
	name := writeLease(key)
	asked := time.Now()
	if taken, err = w.Leases.Store.TakeLease(ctx, name, w.Leases.Process, turnLife); err != nil || !taken {
		return turn{}, false, err
	}
	lost, over := make(chan struct{}), make(chan struct{})
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		w.keepTurn(name, asked.Add(turnLife-turnSpare), lost, over)
	}()
	return turn{lost, sync.OnceFunc(func() {
		close(over)
		<-kept
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), turnStore)
		defer cancel()
		if err := w.Leases.Store.DropLease(ctx, name, w.Leases.Process); err != nil {
			w.log().Warn("other machines can write to a series only when a lease has ended", "err", err)
		}
		release()
	})}, true, nil
}

// writeLease is the name of the lease of a series.
func writeLease(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "write/" + hex.EncodeToString(sum[:16])
}

// keepTurn prolongs a lease until over is closed, and closes lost where it may be another's.
func (w *Writer) keepTurn(name string, end time.Time, lost chan<- struct{}, over <-chan struct{}) {
	late := time.NewTimer(time.Until(end))
	defer late.Stop()
	every := time.NewTicker(turnRenew)
	defer every.Stop()
	for {
		select {
		case <-over:
			return
		case <-late.C:
			close(lost)
			return
		case <-every.C:
		}
		asked := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), turnStore)
		taken, err := w.Leases.Store.TakeLease(ctx, name, w.Leases.Process, turnLife)
		cancel()
		switch {
		case err != nil:
			w.log().Warn("a lease cannot be prolonged now", "err", err)
		case !taken:
			close(lost)
			return
		case late.Stop():
			late.Reset(time.Until(asked.Add(turnLife - turnSpare)))
		}
	}
}

// within is ctx until the turn is lost. The caller calls stop.
func (t turn) within(ctx context.Context) (run context.Context, stop func()) {
	run, cancel := context.WithCancelCause(ctx)
	if t.lost == nil {
		return run, func() { cancel(nil) }
	}
	ended := make(chan struct{})
	go func() {
		select {
		case <-t.lost:
			cancel(fmt.Errorf("another machine may write to the series: %w", context.Canceled))
		case <-ended:
		}
	}()
	return run, sync.OnceFunc(func() {
		close(ended)
		cancel(nil)
	})
}
