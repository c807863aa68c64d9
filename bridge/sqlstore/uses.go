package sqlstore

import (
	"context"
	"strings"
	"sync"
	"time"

	"outbridge/bridge"
)

const (
	useEvery   = time.Hour // the last use of a row is written at most this often
	maxUses    = 10_000    // that wait to be written, and that are remembered as written
	longClient = 200       // octets of a User-Agent that are kept
)

// uses note when app passwords and feeds were last used, apart from the requests that use them: these look into a map, and write
// nothing.
type uses struct {
	write *db

	mu      sync.Mutex
	noted   map[useOf]time.Time // when a use of the row was last taken down
	waiting map[useOf]use
	writing bool // somebody writes those that wait
	closed  bool
	done    sync.WaitGroup
}

// useOf is a row of a table, "password" or "feed".
type useOf struct {
	table string
	id    int64
}

type use struct {
	at     time.Time
	client string
}

// note takes down that a request has used a row.
func (u *uses) note(ctx context.Context, table string, id int64) {
	agent, ok := bridge.ClientOf(ctx)
	if !ok {
		return
	}
	key, now := useOf{table, id}, time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	if last, ok := u.noted[key]; u.closed || ok && bridge.Elapsed(now, last) < useEvery || len(u.waiting) >= maxUses {
		return
	}
	if u.noted == nil || len(u.noted) >= maxUses {
		u.noted = map[useOf]time.Time{}
	}
	if u.waiting == nil {
		u.waiting = map[useOf]use{}
	}
	agent = strings.ToValidUTF8(agent[:min(len(agent), longClient)], "")
	u.noted[key], u.waiting[key] = now, use{now, agent}
	if !u.writing {
		u.writing = true
		u.done.Go(u.flush)
	}
}

// flush writes what waits, until nothing does. What cannot be written is left out: the next use comes in an hour.
func (u *uses) flush() {
	for {
		u.mu.Lock()
		list := u.waiting
		u.waiting = nil
		if len(list) == 0 {
			u.writing = false
			u.mu.Unlock()
			return
		}
		u.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), busyTimeout)
		_ = u.write.transact(ctx, func(t tx) error {
			for of, one := range list {
				// Before a restart it may have been written within the hour.
				_, err := t.exec(ctx, `UPDATE `+of.table+` SET used = ?1, client = ?2 WHERE id = ?3 AND (used IS NULL OR used <= ?4 OR used > ?1)`,
					one.at.Unix(), one.client, of.id, one.at.Add(-useEvery).Unix())
				if err != nil {
					return err
				}
			}
			return nil
		})
		cancel()
	}
}

// close ends the noting once what waits is written.
func (u *uses) close() {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	u.done.Wait()
}
