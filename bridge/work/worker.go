package work

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"outbridge/bridge"
)

const (
	// hopelessRetry is how often an account is tried that only a person can help: what the person puts right may be on
	// Microsoft's side, where the bridge does not see it.
	hopelessRetry = time.Hour
	// nudgeGap keeps a burst of notifications from becoming a burst of rounds.
	nudgeGap = time.Second
)

// worker does the rounds of one account.
type worker struct {
	s        *Scheduler
	ctx      context.Context // until the mailbox is removed
	turns    sync.Mutex      // held by the turn of a job
	mailbox  Mailbox
	listener *listener
	log      *slog.Logger
	nudges   chan struct{}
	asked    atomic.Bool // a person wants a round, whatever there is to be said against it
	stop     context.CancelFunc
	done     chan struct{} // closed when it has ended

	// Of the worker alone:
	tried   time.Time // when a round last began
	failed  bool      // that round
	trouble string    // of the last round, as it was logged; "" when it was good

	mu    sync.Mutex // guards pulse
	pulse bridge.Pulse
}

// run does the rounds of the account in this process alone, until ctx ends.
func (w *worker) run(ctx context.Context) {
	var why bridge.Nudge
	for {
		if w.asked.Swap(false) {
			why |= bridge.NudgeAsked
		}
		wait := w.turn(ctx, why)
		if ctx.Err() != nil {
			return
		}
		if why != 0 && !pause(ctx, nudgeGap) {
			return
		}
		w.expect(ctx, wait)
		select {
		case <-ctx.Done():
			return
		case <-w.nudges:
			why = bridge.NudgeDue
		case <-time.After(wait):
			why = 0
		}
	}
}

// turn does a round, if one is to be done, and tells when the next is due.
func (w *worker) turn(ctx context.Context, why bridge.Nudge) (wait time.Duration) {
	// What goes before a round and the round itself go by this one read.
	if a, err := w.s.Store.Account(ctx, w.mailbox.Name); err != nil {
		w.log.Error("account state", "err", err)
	} else if why&bridge.NudgeAsked != 0 || !waitsForPerson(a) || bridge.Elapsed(w.s.now(), w.tried) >= hopelessRetry {
		w.round(ctx, a, why != 0)
	}
	wait = cmp.Or(max(w.s.interval(), 0), time.Minute)
	// After a notification one more round follows soon: the delta may lag behind what was notified.
	if w.reliesOnNotifications() && why == 0 && !w.failed {
		wait = max(wait, cmp.Or(w.s.SafetyNet, 15*time.Minute))
	}
	return wait
}

// expect notes when the next round begins.
func (w *worker) expect(ctx context.Context, wait time.Duration) {
	next := w.s.now().Add(wait)
	if a, err := w.s.Store.Account(ctx, w.mailbox.Name); err == nil && waitsForPerson(a) {
		next = later(next, w.tried.Add(hopelessRetry))
	}
	w.note(func(p *bridge.Pulse) { p.Next = next })
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// round does one round, and notes how it went.
func (w *worker) round(ctx context.Context, a bridge.Account, nudged bool) {
	w.tried = w.s.now()
	w.listener.keep(ctx, a.ID)
	w.note(func(p *bridge.Pulse) { p.Busy = true })
	if w.s.After != nil {
		defer w.s.After(w.mailbox.Name)
	}
	if w.s.Before != nil {
		if err := w.s.Before(ctx, a); err != nil && ctx.Err() == nil {
			w.log.Warn("what goes before a round failed", "err", err)
		}
	}
	report, err := w.s.Rounds.RoundOf(ctx, w.mailbox.Mailbox, a)
	w.note(func(p *bridge.Pulse) {
		if p.Busy = false; err == nil {
			p.Good = w.s.now()
		}
		if len(report.Calendars) > 0 {
			p.Calendars = map[bridge.CalendarID]time.Time{} // a new one: who has asked for the pulse reads the old one
		}
		for _, c := range report.Calendars {
			if !c.Good.IsZero() {
				p.Calendars[c.ID] = c.Good
			}
		}
	})
	w.listener.roundDone(w.reliesOnNotifications(), nudged, report.Changed() > 0, err)
	w.failed = err != nil
	if ctx.Err() == nil {
		w.tell(report, err)
	}
}

// tell logs a round. The same trouble is told of once.
func (w *worker) tell(report bridge.Report, err error) {
	was := w.trouble
	w.trouble = ""
	switch {
	case err != nil && err.Error() == was:
		w.trouble = was
		w.log.Debug("round failed again", "round", report.Round, "err", err)
	case err != nil:
		w.trouble = err.Error()
		w.log.Warn("round failed; the last good calendars are served", "round", report.Round, "err", err)
	case was != "":
		w.log.Info("round good again", "round", report.Round, "changed", report.Changed(), "seconds", report.Seconds)
	case report.Changed() > 0 || report.Failed() > 0:
		w.log.Info("round", "round", report.Round, "changed", report.Changed(), "requests", report.Requests,
			"failed_calendars", report.Failed(), "seconds", report.Seconds)
	default:
		w.log.Debug("round", "round", report.Round, "requests", report.Requests)
	}
}

// waitsForPerson reports whether only a person can help the account on. A new sign-in ends it.
func waitsForPerson(a bridge.Account) bool {
	if a.State.Reason == bridge.ReasonMailboxMissing && a.LastGood.IsZero() {
		// A member of an organization who has none: nobody is to be asked for it every minute. A mailbox that was there is.
		return true
	}
	return a.State.Final && a.State.TokenVersion == a.TokenVersion
}

// reliesOnNotifications reports whether polling may be slow. Of the calendars of other people nobody tells.
func (w *worker) reliesOnNotifications() bool {
	return len(w.mailbox.Shared) == 0 && w.listener.healthy()
}

func (w *worker) nudge() {
	select {
	case w.nudges <- struct{}{}:
	default:
	}
}

func (w *worker) note(change func(*bridge.Pulse)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.pulse)
}

func (w *worker) at() bridge.Pulse {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pulse
}
