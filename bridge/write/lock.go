package write

import (
	"context"
	"sync"
)

// keys lets one at a time have a key. The zero value is ready.
type keys struct {
	mu   sync.Mutex
	held map[string]*held
}

type held struct {
	turn    chan struct{} // has one token
	waiting int           // those that have it or wait for it
}

// try takes the key if nobody has it.
func (k *keys) try(key string) (release func(), ok bool) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	k.mu.Lock()
	taken := k.held[key] != nil
	k.mu.Unlock()
	if taken {
		return nil, false
	}
	release, err := k.lock(over, key)
	return release, err == nil
}

// lock waits for the key; the context's error where it is over first. release gives it back.
func (k *keys) lock(ctx context.Context, key string) (release func(), err error) {
	k.mu.Lock()
	if k.held == nil {
		k.held = map[string]*held{}
	}
	h := k.held[key]
	if h == nil {
		h = &held{turn: make(chan struct{}, 1)}
		k.held[key] = h
	}
	h.waiting++
	k.mu.Unlock()
	leave := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if h.waiting--; h.waiting == 0 {
			delete(k.held, key)
		}
	}
	select {
	case h.turn <- struct{}{}:
	default:
		select {
		case h.turn <- struct{}{}:
		case <-ctx.Done():
			leave()
			return nil, ctx.Err()
		}
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			<-h.turn
			leave()
		})
	}, nil
}
