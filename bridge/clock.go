package bridge

import (
	"math"
	"time"
)

// Elapsed is the time since then: forever where then is the zero time, or ahead because the clock was set back.
func Elapsed(now, then time.Time) time.Duration {
	if then.IsZero() || now.Before(then) {
		return math.MaxInt64
	}
	return now.Sub(then)
}
