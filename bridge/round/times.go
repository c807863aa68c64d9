package round

import (
	"sync"
	"time"
)

// times remembers when something was last done for each key. The zero value is ready.
type times[K comparable] struct {
	mu sync.Mutex
	at map[K]time.Time
}

// of is the zero time where it was never done, or was forgotten.
func (t *times[K]) of(key K) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at[key]
}

func (t *times[K]) set(key K, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at == nil {
		t.at = map[K]time.Time{}
	}
	t.at[key] = at
}

func (t *times[K]) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.at)
}
