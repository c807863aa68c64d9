package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync"
	"sync/atomic"
)

// maxCached bounds the answers that are kept.
const maxCached = 10_000

// cache keeps what single rows of an SQLite file were read as, for as long as nothing is committed to the database, by this process or
// another. An idle client's poll then costs the question whether that is so, and no row. SQLite answers it by PRAGMA
// data_version, which changes on a connection of its own whenever another one has committed. That connection is the driver's, since
// database/sql would cost as much again for each request. A store on a server has none: a machine
// that remembers an older state than another has shown would have clients sync anew.
type cache struct {
	mu      sync.Mutex // held while the connection is used
	conn    driver.Conn
	version driver.StmtQueryContext
	answer  [1]driver.Value
	at      int64 // the data_version that kept was read at
	kept    map[any]any
}

func newCache(d driver.Driver, dsn string) (*cache, error) {
	conn, err := d.Open(dsn)
	if err != nil {
		return nil, err
	}
	version, err := conn.Prepare(`PRAGMA data_version`)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &cache{conn: conn, version: version.(driver.StmtQueryContext), kept: map[any]any{}}, nil
}

// now reads the data_version, and forgets what was kept at another.
func (c *cache) now() (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// A context that can end costs a goroutine; the answer is there in microseconds.
	rows, err := c.version.QueryContext(context.Background(), nil)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(rows.Next(c.answer[:]), rows.Close()); err != nil {
		return 0, err
	}
	v := c.answer[0].(int64)
	if v != c.at {
		c.at = v
		clear(c.kept)
	}
	return v, nil
}

// request is what one request knows of the database. It is forgotten as soon as the request asks for anything else, so that whoever
// writes, or reads what belongs to it, has it as it is by then.
type request struct {
	version atomic.Int64 // of the SQLite file; 0: not known
	poll    poll         // of a server
}

type requestKey struct{}

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
	return context.WithValue(ctx, requestKey{}, new(request))
}

// cached returns what read returns, or has returned for key since the database last changed. What is returned is
// shared: it is not to be changed. Errors are not kept, so that wrong passwords take no room.
func cached[T any](ctx context.Context, s *Store, key any, read func() (T, error)) (T, error) {
	c := s.cache
	if c == nil {
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
	kept, ok := c.kept[key]
	ok = ok && c.at == v
	c.mu.Unlock()
	if ok {
		return kept.(T), nil
	}
	t, err := read()
	if err != nil {
		return t, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == v { // else what was read may be of before the change
		if len(c.kept) >= maxCached {
			clear(c.kept)
		}
		c.kept[key] = t
	}
	return t, nil
}

func (c *cache) close() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.version.(driver.Stmt).Close(), c.conn.Close())
}
