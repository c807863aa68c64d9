package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"outbridge/bridge"
)

// server is a PostgreSQL database. Its transactions are READ COMMITTED: each that writes to a calendar begins by locking the calendar's
// row, so that those of one calendar come one after the other, each sees what the one before has left, and revs become visible in their
// order. All are durable when they end, mirror pages too: see relaxed. A row that is locked late, or two in another order, costs a deadlock, which is retried here. REPEATABLE READ would add failures
// of the first statement after a wait, and nothing else.
type server struct {
	pool *pgxpool.Pool
	name string // host and database, for errors
}

const (
	statementTimeout   = time.Minute
	idleInTransaction  = time.Minute
	lockTimeout        = 20 * time.Second
	connectTimeout     = 10 * time.Second
	maxAttempts        = 8
	maxConnects        = 5 // within two seconds
	applicationName    = "outbridge"
	migrationLock      = 0x6f757462726964 // "outbrid", of pg_advisory_xact_lock
	defaultConnections = 16
	fewestConnections  = 3 // one waits while another migrates
)

func openServer(ctx context.Context, database string, key Key, tell func(Packing)) (*Store, error) {
	c, err := poolConfig(database)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	first, err := connect(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	first.Close(ctx)
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	d := openPool(pool, c)
	s := &Store{key: key, read: d, write: d, uses: &uses{write: d}, cache: new(cache)}
	if err := s.migrateServer(ctx, tell); err != nil {
		s.Close()
		return nil, fmt.Errorf("database %s: %w", d.server.name, d.server.explain(err))
	}
	return s, nil
}

func openPool(pool *pgxpool.Pool, c *pgxpool.Config) *db {
	return &db{DB: stdlib.OpenDBFromPool(pool), server: &server{pool: pool, name: nameOf(c.ConnConfig)}}
}

// Pool is the connections to the server, nil for an SQLite file.
func (s *Store) Pool() *pgxpool.Pool {
	if s.write.server == nil {
		return nil
	}
	return s.write.server.pool
}

// values are the arguments of a query as pgx takes them for this statement. Flags are numbers in both databases, and PostgreSQL's texts
// have neither NUL nor octets that are no UTF-8.
func (s statement) values(args []any) ([]any, error) {
	out := make([]any, len(s.args))
	for i, n := range s.args {
		if n >= len(args) {
			return nil, fmt.Errorf("argument %d of a query is missing", n+1)
		}
		if l, ok := args[n].(list); ok {
			clean := make([]string, len(l))
			for j, v := range l {
				clean[j] = cleanText(v)
			}
			out[i] = clean
			continue
		}
		v, err := driver.DefaultParameterConverter.ConvertValue(args[n])
		if err != nil {
			return nil, err
		}
		switch w := v.(type) {
		case bool:
			v = int64(0)
			if w {
				v = int64(1)
			}
		case string:
			v = cleanText(w)
		}
		out[i] = v
	}
	return out, nil
}

func cleanText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}

// pipelined sends all at once and then reads the answers.
func (t tx) pipelined(ctx context.Context, query string, many [][]any) (affected int64, err error) {
	batch := &pgx.Batch{}
	for _, args := range many {
		text, values, err := t.db.translated(query, args)
		if err != nil {
			return 0, err
		}
		batch.Queue(text, values...)
	}
	err = t.conn.Raw(func(c any) error {
		results := c.(*stdlib.Conn).Conn().SendBatch(ctx, batch)
		for range many {
			tag, err := results.Exec()
			if err != nil {
				return errors.Join(err, results.Close())
			}
			affected += tag.RowsAffected()
		}
		return results.Close()
	})
	return affected, err
}

// errAgain is that a transaction has lost against another, and what it does is to be looked at anew.
var errAgain = errors.New("another transaction was faster")

// retry runs f until it is not turned back for reasons that have passed by the next time: by another transaction, or because a connection
// is lost, as when the server starts again. What may have been done is not repeated.
func (s *server) retry(ctx context.Context, f func() error) error {
	var wait time.Duration
	for n := 1; ; n++ {
		err := f()
		switch gone := lost(err); {
		case passing(err) && n < maxAttempts:
			wait = time.Duration(n) * rand.N(10*time.Millisecond)
		case gone && n < maxConnects && !errors.As(err, new(doubtful)):
			wait = 50 * time.Millisecond << n
		case passing(err):
			return &ServerError{ServerBusy, s.name, err}
		default:
			return s.explain(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// doubtful is the loss of a connection after which nobody knows whether something was done.
type doubtful struct{ error }

func (d doubtful) Unwrap() error { return d.error }

// doubt marks an error of what may have been done in spite of it: the server has not answered, or a pooler has answered that it has lost
// the server.
func doubt(err error) error {
	var answer *pgconn.PgError
	switch {
	case err == nil, errors.As(err, new(*pgconn.ConnectError)), pgconn.SafeToRetry(err):
		return err
	case errors.As(err, &answer) && !strings.HasPrefix(answer.Code, "08") && !(strings.HasPrefix(answer.Code, "57P0") && answer.Routine == ""):
		return err // a server that is stopped says so of what it has not done; a pooler, which names no routine, does not know
	}
	return doubtful{err}
}

func passing(err error) bool {
	var e *pgconn.PgError
	return errors.Is(err, errAgain) || errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01")
}

// isUnique reports that a row would break a unique index of a table.
func (t tx) isUnique(err error, table string) bool {
	if t.db.server == nil {
		return err != nil && strings.Contains(err.Error(), "UNIQUE constraint failed: "+table+".")
	}
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == "23505" && e.TableName == table
}

// lockCalendar has other writers of a calendar wait until the transaction ends. In SQLite they wait already.
func (t tx) lockCalendar(ctx context.Context, id bridge.CalendarID) error {
	return t.lockRow(ctx, `SELECT 1 FROM calendar WHERE id = ? FOR NO KEY UPDATE`, id)
}

// lockAccount has others wait who change an account's calendars or its sign-in.
func (t tx) lockAccount(ctx context.Context, id bridge.AccountID) error {
	return t.lockRow(ctx, `SELECT 1 FROM account WHERE id = ? FOR NO KEY UPDATE`, id)
}

func (t tx) lockRow(ctx context.Context, query string, id any) error {
	if t.db.server == nil {
		return nil
	}
	_, err := t.exec(ctx, query, id) // none to lock is none to write to
	return err
}
