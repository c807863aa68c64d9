// Package work decides when a round runs: at its time, when somebody nudges, and when Graph tells of a change. It does not know
// what a round does.
package work

import (
	"cmp"
	"context"
	"log/slog"
	"outbridge/bridge"
	"outbridge/bridge/round"
	"sync"
	"time"
)

// Scheduler decides when rounds run: one worker for each mailbox, brought forward by nudges and by Graph's notifications.
// All fields are set before the first call.
type Scheduler struct {
	Rounds    *round.Runner
	Store     bridge.Store
	Mailboxes []round.Mailbox

	Interval time.Duration // between rounds; 0: 1 minute
	// NotifyURL is the https address at which Graph can tell of changes, to be passed on to Notify. "": changes are
	// polled for.
	NotifyURL string
	// SafetyNet is the time between rounds while Graph tells of changes by itself; 0: 15 minutes.
	SafetyNet time.Duration

	// Removed is called when a mailbox is no longer polled. Nil: not called.
	Removed func(account string)
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: slog.Default

	mu     sync.Mutex
	nudges map[string]chan struct{}
	ears   map[string]*ear

	workers workers
}

// Nudge starts a round of the account now instead of at its next tick. It never blocks.
func (b *Scheduler) Nudge(account string) {
	select {
	case b.nudge(account) <- struct{}{}:
	default:
	}
}

func (b *Scheduler) nudge(account string) chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.nudges == nil {
		b.nudges = map[string]chan struct{}{}
	}
	if b.nudges[account] == nil {
		b.nudges[account] = make(chan struct{}, 1)
	}
	return b.nudges[account]
}

// hopelessRetry is how often an account is tried that only a person can help on: what the person mends may be on
// Microsoft's side, where the bridge does not see it.
const hopelessRetry = time.Hour

// work is the worker of one account.
func (b *Scheduler) work(ctx context.Context, m round.Mailbox) {
	log := b.log().With("account", m.Name)
	nudge := b.nudge(m.Name)
	interval := b.Interval
	if interval <= 0 {
		interval = time.Minute
	}
	var tried time.Time
	var trouble string // as last logged
	nudged, failed := false, false
	for {
		if wait, err := b.waitsForPerson(ctx, m); err != nil {
			log.Error("account state", "err", err)
		} else if !wait || bridge.Elapsed(b.now(), tried) >= hopelessRetry {
			tried = b.now()
			b.listen(ctx, m)
			b.workers.note(m.Name, func(p *bridge.Pulse) { p.Busy = true })
			report, err := b.Rounds.Round(ctx, m)
			b.workers.note(m.Name, func(p *bridge.Pulse) {
				if p.Busy = false; err == nil {
					p.Good = b.now()
				}
			})
			b.overheard(m, nudged, report, err)
			failed = err != nil
			switch {
			case ctx.Err() != nil:
				return
			case err != nil && err.Error() == trouble:
				log.Debug("round failed again", "round", report.Round, "err", err)
			case err != nil:
				trouble = err.Error()
				log.Warn("round failed; the last good calendars are served", "round", report.Round, "err", err)
			case trouble != "":
				trouble = ""
				log.Info("round good again", "round", report.Round, "changed", report.Changed(), "seconds", report.Seconds)
			case report.Changed() > 0 || report.Failed() > 0:
				log.Info("round", "round", report.Round, "changed", report.Changed(), "requests", report.Requests,
					"failed_calendars", report.Failed(), "seconds", report.Seconds)
			default:
				log.Debug("round", "round", report.Round, "requests", report.Requests)
			}
		}
		// After a notification one more round follows soon: the delta may lag behind what was notified.
		wait := interval
		if b.healthy(m.Name) && !nudged && !failed && len(m.Shared) == 0 {
			wait = max(interval, cmp.Or(b.SafetyNet, 15*time.Minute))
		}
		if nudged {
			select {
			case <-ctx.Done():
				return
			case <-time.After(nudgeGap):
			}
		}
		b.workers.note(m.Name, func(p *bridge.Pulse) { p.Next = b.now().Add(wait) })
		select {
		case <-ctx.Done():
			return
		case <-nudge:
			nudged = true
		case <-time.After(wait):
			nudged = false
		}
	}
}

// waitsForPerson reports whether only a person can help the account on. A new sign-in ends it.
func (b *Scheduler) waitsForPerson(ctx context.Context, m round.Mailbox) (bool, error) {
	a, err := b.Store.Account(ctx, m.Name)
	if err != nil {
		return false, err
	}
	return a.State.Final && a.State.TokenVersion == a.TokenVersion, nil
}

func (b *Scheduler) now() time.Time {
	if b.Now != nil {
		return b.Now().UTC()
	}
	return time.Now().UTC()
}

func (b *Scheduler) log() *slog.Logger {
	if b.Log != nil {
		return b.Log
	}
	return slog.Default()
}
