package web

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits on guesses of a password or setup code: a burst for each address and one for all together, then one guess at a
// time. They make a setup code of 50 bits impossible to guess, and still let the owner try while somebody attacks.
const (
	addressBurst = 5
	addressEvery = 30 * time.Second
	allBurst     = 60
	allEvery     = 3 * time.Second
	// sweepAt is how many addresses are remembered before those whose burst is whole again are forgotten. What is left are
	// addresses of the last addressBurst*addressEvery at most, and the limit for all together keeps these few.
	sweepAt = 256
)

// limiter bounds attempts. The zero value is ready.
type limiter struct {
	mu  sync.Mutex
	all *rate.Limiter
	of  map[string]*rate.Limiter // by address, of recent attempts
}

// attempt counts an attempt from an address and returns 0, or returns how long to wait before the next, in whole seconds.
func (l *limiter) attempt(address string, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all, l.of = rate.NewLimiter(rate.Every(allEvery), allBurst), map[string]*rate.Limiter{}
	}
	one := l.of[address]
	if one == nil {
		one = rate.NewLimiter(rate.Every(addressEvery), addressBurst)
	}
	mine, everybodys := one.ReserveN(now, 1), l.all.ReserveN(now, 1)
	if wait = max(mine.DelayFrom(now), everybodys.DelayFrom(now)); wait > 0 {
		mine.CancelAt(now)
		everybodys.CancelAt(now)
		return (wait + time.Second - 1).Truncate(time.Second)
	}
	if len(l.of) >= sweepAt {
		l.sweep(now)
	}
	l.of[address] = one
	return 0
}

func (l *limiter) sweep(now time.Time) {
	for address, one := range l.of {
		if one.TokensAt(now) >= addressBurst {
			delete(l.of, address)
		}
	}
}

// forgive forgets the attempts from an address, after a successful one.
func (l *limiter) forgive(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, address)
}
