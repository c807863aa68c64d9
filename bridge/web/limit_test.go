package web

import (
	"fmt"
	"testing"
	"time"
)

func stranger(name string) guesser { return guesser{name: name} }

// TestLimiterKnown: whoever has been right before gets a turn however many strangers guess, and no more turns than they.
func TestLimiterKnown(t *testing.T) {
	t.Parallel()
	var l limiter
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	owner := guesser{"browser 1", true}
	for i := range 10_000 {
		l.attempt(stranger(fmt.Sprint(i)), now)
	}
	for i := range addressBurst {
		if wait := l.attempt(owner, now); wait != 0 {
			t.Errorf("turn %d: wait %s", i+1, wait)
		}
	}
	if wait := l.attempt(owner, now); wait != addressEvery {
		t.Errorf("turn %d: wait %s", addressBurst+1, wait)
	}
	if wait := l.attempt(stranger("new"), now); wait != allEvery {
		t.Errorf("a stranger: wait %s", wait)
	}
}

// TestLimiterForgets: however many addresses guess, few are remembered, and no address that has to wait is forgotten.
func TestLimiterForgets(t *testing.T) {
	t.Parallel()
	var l limiter
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	patient := stranger("192.0.2.1")
	most := 0
	for i := range 100_000 {
		l.attempt(stranger(fmt.Sprintf("2001:db8:%x:%x::/64", i>>16, i&0xffff)), now)
		most = max(most, len(l.of))
		if now = now.Add(allEvery); i%1000 != 0 {
			continue
		}
		for n := range addressBurst + 1 {
			now = now.Add(allEvery)
			if wait := l.attempt(patient, now); (wait > 0) != (n == addressBurst) {
				t.Fatalf("attempt %d in a row is to wait %s", n+1, wait)
			}
		}
	}
	if most > sweepAt {
		t.Errorf("%d addresses are remembered", most)
	}
	for i := range 10_000 { // all at once
		l.attempt(stranger(fmt.Sprintf("198.51.100.%d", i)), now)
	}
	if len(l.of) > sweepAt+allBurst {
		t.Errorf("%d addresses are remembered of a flood", len(l.of))
	}
}

// TestLimiterRefusalsAreFree: a refused attempt does not delay others, from the same address or another.
func TestLimiterRefusalsAreFree(t *testing.T) {
	t.Parallel()
	var l limiter
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for range addressBurst {
		l.attempt(stranger("a"), now)
	}
	for i := range 1000 {
		if wait := l.attempt(stranger("a"), now); wait != addressEvery {
			t.Fatalf("refusal %d: wait %s", i, wait)
		}
	}
	for i := range allBurst - addressBurst {
		if wait := l.attempt(stranger(fmt.Sprint(i)), now); wait != 0 {
			t.Errorf("the %dth of all: wait %s", addressBurst+i+1, wait)
		}
	}
	if wait := l.attempt(stranger("b"), now); wait != allEvery {
		t.Errorf("one more than all: wait %s", wait)
	}
	if wait := l.attempt(stranger("a"), now.Add(addressEvery-time.Second)); wait != time.Second {
		t.Errorf("a second before: wait %s", wait)
	}
	if wait := l.attempt(stranger("a"), now.Add(addressEvery)); wait != 0 {
		t.Errorf("after the wait: wait %s", wait)
	}
}
