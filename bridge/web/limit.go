package web

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Guesses of a password or a setup code: a burst for each address and for all together, then one at a time. With these
// a setup code of 50 bits outlasts any patience, and a bridge that is under attack still lets its owner try.
const (
	addressBurst = 5
	addressEvery = 30 * time.Second
	allBurst     = 60
	allEvery     = 3 * time.Second
	// sweepAt is how many addresses are remembered before those that have their whole burst again are forgotten. No more
	// than those of the last addressBurst*addressEvery can be left, and the bound of all together keeps these few.
	sweepAt = 256
)

// limiter bounds attempts. The zero value is ready.
type limiter struct {
	mu  sync.Mutex
	all *rate.Limiter
	of  map[string]*rate.Limiter // of addresses that have made an attempt of late
}

// attempt counts one attempt from an address, or says how long to wait before the next one may be made, in whole seconds.
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

// forgive forgets the attempts from an address, after one that succeeded.
func (l *limiter) forgive(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, address)
}
