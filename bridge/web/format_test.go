package web

import (
	"testing"
	"time"
)

func TestUntil(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)
	for in, want := range map[time.Duration]string{-time.Second: "any moment now", 400 * time.Millisecond: "any moment now", time.Second: "in 1 second", 90 * time.Second: "in 90 seconds", 3 * time.Hour: "in 3 hours"} {
		if got := until(now, now.Add(in)).String(); got != want {
			t.Errorf("%s: %q", in, got)
		}
	}
}
