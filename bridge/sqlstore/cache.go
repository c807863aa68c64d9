package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync"
	"sync/atomic"

	"outbridge/bridge"
)

// maxCached bounds the rows of each kind that are kept.
const maxCached = 3_000

// cache keeps what single rows of an SQLite file were read as, for as long as nothing is committed to the database, by this process or
// another. An idle client's poll then costs the question whether that is so, and no row. SQLite answers it by PRAGMA
// data_version, which changes on a connection of its own whenever another one has committed. That connection is the driver's, since
// database/sql would cost as much again for each request. On a server it is not opened, and keeps nothing: a machine
// that remembers an older state than another has shown would have clients sync anew.
type cache struct {
	asking  sync.Mutex // held while the connection is used
	conn    driver.Conn
	version driver.StmtQueryContext
	answer  [1]driver.Value

	mu        sync.Mutex // held for those below
	at        int64      // the latest data_version
	passwords kept[passwordKey, passwordRow]
	accounts  kept[string, bridge.Account]
	persons   kept[personKey, bridge.Account]
	calendars kept[userCalendarKey, bridge.Calendar]
}

// kept are rows of one kind as they were at a data_version.
type kept[K comparable, T any] struct {
	at   int64
	rows map[K]T
}

func (c *cache) open(d driver.Driver, dsn string) error {
	conn, err := d.Open(dsn)
	if err != nil {
		return err
	}
	version, err := conn.Prepare(`PRAGMA data_version`)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	c.conn, c.version = conn, version.(driver.StmtQueryContext)
	return nil
}

// now reads the data_version.
func (c *cache) now() (int64, error) {
	c.asking.Lock()
	defer c.asking.Unlock()
	// A context that can end costs a goroutine; the answer is there in microseconds.
	rows, err := c.version.QueryContext(context.Background(), nil)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(rows.Next(c.answer[:]), rows.Close()); err != nil {
		return 0, err
	}
	v := c.answer[0].(int64)
	c.mu.Lock()
	c.at = v
	c.mu.Unlock()
	return v, nil
}

// request is what one request knows of the database, and the request's context. It is forgotten as soon as the request asks for anything
// else, so that whoever writes, or reads what belongs to it, has it as it is by then.
type request struct {
	context.Context
	version atomic.Int64 // of the SQLite file; 0: not known
	poll    poll         // of a server
}

type requestKey struct{}

func (r *request) Value(key any) any {
	if key == (requestKey{}) {
		return r
	}
	return r.Context.Value(key)
}

func requestOf(ctx context.Context) *request {
	r, _ := ctx.Value(requestKey{}).(*request)
	return r
}

func (r *request) forget() {
	if r != nil {
		r.version.Store(0)
		r.poll.forget()
	}
}

// Once returns a context for one request: what an idle poll needs of rows costs it one question whether the database has changed, and
// on a server one statement, which is that of its sign-in.
func (s *Store) Once(ctx context.Context) context.Context {
	return &request{Context: ctx}
}

// cached returns what read returns, or has returned for key since the database last changed. What is returned is
// shared: it is not to be changed. Errors are not kept, so that wrong passwords take no room.
func cached[K comparable, T any](ctx context.Context, c *cache, k *kept[K, T], key K, read func() (T, error)) (T, error) {
	if c.conn == nil {
		return read()
	}
	asked := requestOf(ctx)
	var v int64
	if asked != nil {
		v = asked.version.Load()
	}
	if v == 0 {
		var err error
		if v, err = c.now(); err != nil {
			return read()
		}
		if asked != nil {
			asked.version.Store(v)
		}
	}
	c.mu.Lock()
	t, ok := k.rows[key]
	ok = ok && k.at == v && c.at == v
	c.mu.Unlock()
	if ok {
		return t, nil
	}
	t, err := read()
	if err != nil {
		return t, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == v { // else what was read may be of before the change
		if k.at != v || len(k.rows) >= maxCached {
			k.at, k.rows = v, map[K]T{}
		}
		k.rows[key] = t
	}
	return t, nil
}

func (c *cache) close() error {
	if c.conn == nil {
		return nil
	}
	c.asking.Lock()
	defer c.asking.Unlock()
	return errors.Join(c.version.(driver.Stmt).Close(), c.conn.Close())
}
