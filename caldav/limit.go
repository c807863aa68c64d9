package caldav

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// How many requests run at once, after their sign-in. Others wait for their turn. A user has some of all turns, so that whoever
// has one password keeps nobody else from the rest.
const (
	allTurns  = 24
	userTurns = 8
	// A body beyond largeBody takes some ten times its octets while it is answered.
	largeBody      = 128 << 10
	allLargeTurns  = 3
	userLargeTurns = 1
	// A body beyond an event without files takes some five times its octets: one of them is as much as all of the others.
	allHugeTurns = 1
	// maxWaiting and turnTime are how many of a user's requests wait, and for how long, before one is told to come again.
	maxWaiting = 200
	turnTime   = 30 * time.Second
	// answerTime ends an answer however it goes on; writeWindow is what ends one that does not.
	answerTime = time.Hour
)

// turns are given to users, so many to each and so many to all. The zero value gives none.
type turns struct {
	each, all int

	mu    sync.Mutex
	taken chan struct{}
	of    map[string]*userQueue
}

// userQueue is there while the user has a request.
type userQueue struct {
	taken    chan struct{}
	requests int // with a turn and waiting
}

// take waits for a turn and returns what gives it back. The error wraps ErrUnavailable, or is that of ctx.
func (t *turns) take(ctx context.Context, user string) (func(), error) {
	t.mu.Lock()
	if t.of == nil {
		t.of, t.taken = map[string]*userQueue{}, make(chan struct{}, t.all)
	}
	q := t.of[user]
	if q == nil {
		q = &userQueue{taken: make(chan struct{}, t.each)}
		t.of[user] = q
	}
	full := q.requests >= t.each+maxWaiting
	if !full {
		q.requests++
	}
	t.mu.Unlock()
	if full {
		return nil, fmt.Errorf("%w: too many requests of one user", ErrUnavailable)
	}
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if q.requests--; q.requests == 0 {
			delete(t.of, user)
		}
	}
	late := time.NewTimer(turnTime)
	defer late.Stop()
	for i, taken := range []chan struct{}{q.taken, t.taken} {
		var err error
		select {
		case taken <- struct{}{}:
			continue
		case <-ctx.Done():
			err = ctx.Err()
		case <-late.C:
			err = fmt.Errorf("%w: no turn in time", ErrUnavailable)
		}
		if i > 0 {
			<-q.taken
		}
		leave()
		return nil, err
	}
	return func() {
		<-t.taken
		<-q.taken
		leave()
	}, nil
}
