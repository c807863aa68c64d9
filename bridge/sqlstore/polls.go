package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"time"

	"outbridge/bridge"
)

// poll is what the sign-in of a request has read on a server beside the password, so that a client's poll is one statement there: the
// account and its calendars, as they were then. An SQLite file has a cache instead.
type poll struct {
	mu        sync.Mutex
	until     time.Time // it is known
	account   bridge.Account
	calendars []bridge.Calendar // nil: there are more than maxCalendars
}

const (
	pollAge      = 5 * time.Second
	maxCalendars = 20 // of an account; where it has more, the one that is asked for costs less than all of them
)

const pollQuery = `
	SELECT password.id, password.label, a.*, c.*
	FROM password JOIN (` + selectAccount + `) AS a ON a.name = password.user JOIN (SELECT ` + calendarColumns + ` FROM calendar) AS c ON c.account_id = a.id
	WHERE password.hash = ? AND password.user = ? AND a.departed IS NULL ORDER BY c.position, c.id LIMIT ?`

// passwordForPoll finds a password with what a poll needs. It finds none where there is no calendar yet, and where the database is a file.
func (s *Store) passwordForPoll(ctx context.Context, hash []byte, user string) (p passwordRow, ok bool) {
	request := requestOf(ctx)
	if s.read.server == nil || request == nil {
		return p, false
	}
	var account accountRow
	rows, err := s.read.query(ctx, pollQuery, hash, user, maxCalendars+1)
	calendars, err := collect(rows, err, func(r *sql.Rows) (bridge.Calendar, error) {
		account = accountRow{}
		var c calendarRow
		err := r.Scan(slices.Concat([]any{&p.id, &p.label}, account.columns(), c.columns())...)
		return c.calendar(), err
	})
	if err != nil || len(calendars) == 0 {
		return p, false // who asks for the password alone learns what is wrong
	}
	a, err := account.account()
	if err != nil {
		return p, false
	}
	if len(calendars) > maxCalendars {
		calendars = nil
	}
	k := &request.poll
	k.mu.Lock()
	defer k.mu.Unlock()
	k.until, k.account, k.calendars = time.Now().Add(pollAge), a, calendars
	return p, true
}

// known reports whether f finds what it looks for.
func (r *request) known(f func(*poll) bool) bool {
	if r == nil {
		return false
	}
	r.poll.mu.Lock()
	defer r.poll.mu.Unlock()
	return time.Now().Before(r.poll.until) && f(&r.poll)
}

func (k *poll) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.until = time.Time{}
}

func (r *request) account(name string) (a bridge.Account, ok bool) {
	ok = r.known(func(k *poll) bool {
		a = k.account
		return a.Name == name
	})
	return a, ok
}

func (r *request) calendar(account, name string) (c bridge.Calendar, ok bool) {
	ok = r.known(func(k *poll) bool {
		n := slices.IndexFunc(k.calendars, func(c bridge.Calendar) bool { return c.Name == name })
		if k.account.Name != account || n < 0 {
			return false
		}
		c = k.calendars[n]
		return true
	})
	return c, ok
}

func (r *request) calendars(id bridge.AccountID) (list []bridge.Calendar, ok bool) {
	ok = r.known(func(k *poll) bool {
		list = slices.Clone(k.calendars)
		return k.account.ID == id && list != nil
	})
	return list, ok
}
