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

// UnixSeconds is an instant as it is kept in JSON: in seconds, 0 for the zero time.
func UnixSeconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// AtUnixSeconds is the instant that UnixSeconds was made of, to the second, in UTC.
func AtUnixSeconds(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
