package web

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"outbridge/bridge"
)

// Limits on guesses of a password or setup code: a burst for each address and one for all strangers together, then one
// guess at a time. They make a password of ten letters hard to guess. However many strangers guess, a guesser who has
// been right before gets a turn.
const (
	addressBurst = 5
	addressEvery = 30 * time.Second
	allBurst     = 60
	allEvery     = 3 * time.Second
	// sweepAt is how many guessers are remembered before those whose burst is whole again are forgotten. What is left are
	// those of the last addressBurst*addressEvery at most, and the limit for all together keeps these few.
	sweepAt = 256
)

// guesser is who tries a password.
type guesser struct {
	name  string // what attempts are counted by
	known bool   // it has been right before, so the limit for all together is not for it
}

// limiter bounds attempts. The zero value is ready.
type limiter struct {
	mu  sync.Mutex
	all *rate.Limiter
	of  map[string]*rate.Limiter // by name, of recent attempts
}

// attempt counts an attempt and returns 0, or returns how long to wait before the next, in whole seconds.
func (l *limiter) attempt(g guesser, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all, l.of = rate.NewLimiter(rate.Every(allEvery), allBurst), map[string]*rate.Limiter{}
	}
	one := l.of[g.name]
	if one == nil {
		one = rate.NewLimiter(rate.Every(addressEvery), addressBurst)
	}
	mine := one.ReserveN(now, 1)
	wait = mine.DelayFrom(now)
	if !g.known {
		everybodys := l.all.ReserveN(now, 1)
		if wait = max(wait, everybodys.DelayFrom(now)); wait > 0 {
			everybodys.CancelAt(now)
		}
	}
	if wait > 0 {
		mine.CancelAt(now)
		return (wait + time.Second - 1).Truncate(time.Second)
	}
	if len(l.of) >= sweepAt {
		l.sweep(now)
	}
	l.of[g.name] = one
	return 0
}

// count counts a guess, here or on all machines.
func (h *Handler) count(ctx context.Context, g guesser) (wait time.Duration, err error) {
	if h.Attempts == nil {
		return h.guesses.attempt(g, h.now()), nil
	}
	limits := []bridge.Limit{{Name: g.name, Burst: addressBurst, Every: addressEvery}}
	if !g.known {
		limits = append(limits, bridge.Limit{Name: "everybody", Burst: allBurst, Every: allEvery})
	}
	wait, err = h.Attempts.Attempt(ctx, limits...)
	return (wait + time.Second - 1).Truncate(time.Second), err
}

// forgive forgets the guesses of who was right.
func (h *Handler) forgive(ctx context.Context, g guesser) error {
	if h.Attempts == nil {
		h.guesses.forgive(g)
		return nil
	}
	return h.Attempts.Forgive(ctx, g.name)
}

func (l *limiter) sweep(now time.Time) {
	for name, one := range l.of {
		if one.TokensAt(now) >= addressBurst {
			delete(l.of, name)
		}
	}
}

// forgive forgets the attempts of a guesser, after a successful one.
func (l *limiter) forgive(g guesser) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, g.name)
}
