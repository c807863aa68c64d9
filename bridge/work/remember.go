package work

import (
	"context"
	"errors"
	"time"

	"outbridge/bridge"
)

// recall takes what the job of an account remembers of its rounds, which another machine may have done, and why this one begins.
func (w *worker) recall(k kept, why bridge.Nudge, here bool) {
	if !here {
		if err := w.s.Rounds.Recall(w.mailbox.Name, k.Rounds); err != nil {
			w.log.Warn("what was remembered of the last round cannot be read", "err", err)
		}
		w.note(func(p *bridge.Pulse) {
			p.Good = bridge.AtUnixSeconds(k.Good)
			p.Calendars = map[bridge.CalendarID]time.Time{}
			for id, good := range k.Calendars {
				p.Calendars[id] = bridge.AtUnixSeconds(good)
			}
		})
	}
	w.tried, w.failed = bridge.AtUnixSeconds(k.Tried), k.Failed
	l := w.listener
	l.loaded, l.tried = false, bridge.AtUnixSeconds(k.Refused)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current, l.missed = k.Current, k.Missed && why&bridge.NudgeNotified == 0
	l.removed = l.removed || why&bridge.NudgeRemoved != 0
	l.reauthorize = l.reauthorize || why&bridge.NudgeReauthorize != 0
}

// remember is what the next round is to know, on whichever machine.
func (w *worker) remember(machine string) (k kept, err error) {
	k = kept{Machine: machine, Tried: bridge.UnixSeconds(w.tried), Failed: w.failed, Refused: bridge.UnixSeconds(w.listener.tried)}
	k.Rounds, err = w.s.Rounds.Remember(w.mailbox.Name)
	pulse := w.at()
	k.Good = bridge.UnixSeconds(pulse.Good)
	if len(pulse.Calendars) > 0 {
		k.Calendars = map[bridge.CalendarID]int64{}
	}
	for id, good := range pulse.Calendars {
		k.Calendars[id] = bridge.UnixSeconds(good)
	}
	w.listener.mu.Lock()
	defer w.listener.mu.Unlock()
	k.Current, k.Missed = w.listener.current, w.listener.missed
	return k, err
}

// untilNext is how long a job is put off.
func (w *worker) untilNext(ctx context.Context, wait time.Duration) time.Duration {
	if !w.failed {
		return wait
	}
	if a, err := w.s.Store.Account(ctx, w.mailbox.Name); err != nil && !errors.Is(err, bridge.ErrNotFound) {
		w.log.Error("account state", "err", err)
	} else if err == nil && waitsForPerson(a) {
		wait = max(wait, hopelessRetry)
	}
	return wait
}
