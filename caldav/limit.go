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
	idleQueues = 100 // of users without a request are kept
	// answerTime ends an answer however it goes on, when it is next sent; writeWindow is what ends one that does not.
	answerTime = time.Hour
)

// turns are given to users, so many to each and so many to all. The zero value gives none.
type turns struct {
	each, all int

	mu    sync.Mutex
	taken chan struct{}
	of    map[string]*userQueue
}

// userQueue is there while the user has a request, and longer where there are few.
type userQueue struct {
	taken    chan struct{}
	requests int // with a turn and waiting
}

// turn is one that was taken.
type turn struct {
	of    *turns
	queue *userQueue
	user  string
}

func (t turn) giveBack() {
	<-t.of.taken
	<-t.queue.taken
	t.of.leave(t.user, t.queue)
}

// take waits for a turn. The error wraps ErrUnavailable, or is that of ctx.
func (t *turns) take(ctx context.Context, user string) (turn, error) {
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
		return turn{}, fmt.Errorf("%w: too many requests of one user", ErrUnavailable)
	}
	var late *time.Timer
	for i, taken := range [...]chan struct{}{q.taken, t.taken} {
		select {
		case taken <- struct{}{}:
			continue
		default:
		}
		if late == nil {
			late = time.NewTimer(turnTime)
			defer late.Stop()
		}
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
		t.leave(user, q)
		return turn{}, err
	}
	return turn{t, q, user}, nil
}

func (t *turns) leave(user string, q *userQueue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q.requests--; q.requests == 0 && len(t.of) > idleQueues {
		delete(t.of, user)
	}
}
