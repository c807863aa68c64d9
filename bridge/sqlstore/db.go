package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// db is a database that takes the store's queries. In SQLite statements are prepared once and kept: parsing one costs more than most
// of them take. In PostgreSQL each connection keeps its own, which pgx sees to.
type db struct {
	*sql.DB
	path   string  // of SQLite's file, for errors
	server *server // nil: SQLite
	direct *direct // of SQLite, to read by; nil: it only writes
	kept   sync.Map
}

// tx is a transaction that uses the kept statements of its database.
type tx struct {
	*sql.Tx
	db     *db
	conn   *sql.Conn // in PostgreSQL, what the transaction is on
	missed *[]string // queries whose statements are not kept yet
}

type scanner interface{ Scan(...any) error }

// failed is a row that could not be asked for.
type failed struct{ err error }

func (f failed) Scan(...any) error { return f.err }

// serverRow is a row that is asked for when it is scanned, so that it can be asked for once more.
type serverRow struct {
	ctx    context.Context
	db     *db
	text   string
	values []any
	writes bool
}

func (r serverRow) Scan(into ...any) error {
	return r.db.server.retry(r.ctx, func() error {
		err := r.db.QueryRowContext(r.ctx, r.text, r.values...).Scan(into...)
		if r.writes && lost(err) {
			return doubt(err)
		}
		return err
	})
}

// returns reports that a query for rows writes.
func returns(text string) bool { return strings.Contains(text, " RETURNING ") }

// sqliteValues makes of lists what SQLite takes.
func sqliteValues(args []any) []any {
	for i, a := range args {
		if l, ok := a.(list); ok {
			args[i] = l.json()
		}
	}
	return args
}

func (d *db) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := d.kept.Load(query); ok {
		return s.(*sql.Stmt), nil
	}
	s, err := d.PrepareContext(ctx, forSQLite(query))
	if err != nil {
		return nil, err
	}
	if kept, loaded := d.kept.LoadOrStore(query, s); loaded {
		s.Close()
		return kept.(*sql.Stmt), nil
	}
	return s, nil
}

// translated is a query with its arguments as PostgreSQL takes them.
func (d *db) translated(query string, args []any) (string, []any, error) {
	s, ok := d.kept.Load(query)
	if !ok {
		s, _ = d.kept.LoadOrStore(query, forPostgres(query))
	}
	st := s.(statement)
	values, err := st.values(args)
	return st.text, values, err
}

func (d *db) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	requestOf(ctx).forget()
	if d.server != nil {
		text, values, err := d.translated(query, args)
		if err != nil {
			return nil, err
		}
		var rows *sql.Rows
		err = d.server.retry(ctx, func() (err error) {
			if rows, err = d.QueryContext(ctx, text, values...); err != nil && returns(text) {
				return doubt(err)
			}
			return err
		})
		return rows, err
	}
	s, err := d.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, sqliteValues(args)...)
}

// each calls row with each row of a query that only reads, until it wants no more. In SQLite that takes a quarter less than query. The values
// are another row's after that, as the databases have them: int64, string, []byte or nil.
func (d *db) each(ctx context.Context, query string, args []any, row func([]driver.Value) (more bool, err error)) error {
	if d.direct != nil {
		requestOf(ctx).forget()
		return d.direct.each(ctx, query, args, row)
	}
	rows, err := d.query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]driver.Value, len(columns))
	scanned := make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range into {
		into[i] = &scanned[i]
	}
	for more := true; more && rows.Next(); {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, v := range scanned {
			values[i] = v
		}
		if more, err = row(values); err != nil {
			return err
		}
	}
	return midway(rows.Err())
}

// column is a value of a row that each has read. One of another type, as in a damaged file, is an error.
func column[T any](row []driver.Value, i int, err *error) T {
	v, ok := row[i].(T)
	if !ok && *err == nil {
		*err = fmt.Errorf("column %d of a row is %T", i+1, row[i])
	}
	return v
}

// row asks for one row, and may write, by RETURNING.
func (d *db) row(ctx context.Context, query string, args ...any) scanner {
	requestOf(ctx).forget()
	if d.server != nil {
		text, values, err := d.translated(query, args)
		if err != nil {
			return failed{err}
		}
		return serverRow{ctx, d, text, values, returns(text)}
	}
	s, err := d.prepared(ctx, query)
	if err != nil {
		return failed{err}
	}
	return s.QueryRowContext(ctx, sqliteValues(args)...)
}

func (d *db) exec(ctx context.Context, query string, args ...any) (res sql.Result, err error) {
	requestOf(ctx).forget()
	if d.server != nil {
		text, values, err := d.translated(query, args)
		if err != nil {
			return nil, err
		}
		err = d.server.retry(ctx, func() error {
			res, err = d.ExecContext(ctx, text, values...)
			return doubt(err)
		})
		return res, err
	}
	s, err := d.prepared(ctx, query)
	if err != nil {
		return nil, explain(d.path, err)
	}
	res, err = s.ExecContext(ctx, sqliteValues(args)...)
	return res, explain(d.path, err)
}

// transact runs f in one transaction. In PostgreSQL f may be run more than once: what it sets outside counts from the last time only.
func (d *db) transact(ctx context.Context, f func(tx) error) error {
	requestOf(ctx).forget()
	if d.server != nil {
		return d.server.retry(ctx, func() error { return d.serve(ctx, f) })
	}
	return explain(d.path, d.attempt(ctx, f))
}

func (d *db) attempt(ctx context.Context, f func(tx) error) error {
	missed, err := d.begin(ctx, d.DB, f)
	d.keep(ctx, missed)
	return err
}

// relaxed runs f in one transaction that a power cut may take back, with those of its kind since the last full one; the
// end of the process takes none. It saves waiting for the disk, for what is made once more by itself. On a server it is a full one: its
// crash leaves the programs that use it alive, and these would go on from what it has forgotten. There, waiting costs little, since
// transactions that end at once wait together.
func (d *db) relaxed(ctx context.Context, f func(tx) error) error {
	requestOf(ctx).forget()
	if d.server != nil {
		return d.transact(ctx, f)
	}
	missed, err := d.relax(ctx, f)
	d.keep(ctx, missed)
	return explain(d.path, err)
}

func (d *db) relax(ctx context.Context, f func(tx) error) (missed []string, err error) {
	conn, err := d.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `PRAGMA synchronous = normal`); err != nil {
		return nil, err
	}
	missed, err = d.begin(ctx, conn, f)
	if _, resetErr := conn.ExecContext(context.WithoutCancel(ctx), `PRAGMA synchronous = full`); resetErr != nil {
		// No connection that would forget to wait for the disk is used again.
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		return nil, errors.Join(err, resetErr)
	}
	return missed, err
}

// begin runs f in a transaction and tells which statements it had to prepare.
func (d *db) begin(ctx context.Context, on interface {
	BeginTx(context.Context, *sql.TxOptions) (*sql.Tx, error)
}, f func(tx) error) (missed []string, err error) {
	t, err := on.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer t.Rollback()
	if err := f(tx{Tx: t, db: d, missed: &missed}); err != nil {
		return nil, err
	}
	return missed, t.Commit()
}

// serve runs f in a transaction of PostgreSQL.
func (d *db) serve(ctx context.Context, f func(tx) error) error {
	conn, err := d.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	t, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer t.Rollback()
	if err := f(tx{Tx: t, db: d, conn: conn}); err != nil {
		return err
	}
	return doubt(t.Commit())
}

// keep prepares statements for the next transaction. Should it fail here, that one prepares them again.
func (d *db) keep(ctx context.Context, queries []string) {
	for _, query := range queries {
		_, _ = d.prepared(ctx, query)
	}
}

// stmt binds a statement to the transaction. A new one is prepared on the transaction's own connection, since the
// writer has no other, and kept afterwards.
func (t tx) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := t.db.kept.Load(query); ok {
		return t.StmtContext(ctx, s.(*sql.Stmt)), nil
	}
	*t.missed = append(*t.missed, query)
	return t.PrepareContext(ctx, forSQLite(query))
}

func (t tx) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if t.db.server != nil {
		text, values, err := t.db.translated(query, args)
		if err != nil {
			return nil, err
		}
		return t.QueryContext(ctx, text, values...)
	}
	s, err := t.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, sqliteValues(args)...)
}

func (t tx) row(ctx context.Context, query string, args ...any) scanner {
	if t.db.server != nil {
		text, values, err := t.db.translated(query, args)
		if err != nil {
			return failed{err}
		}
		return t.QueryRowContext(ctx, text, values...)
	}
	s, err := t.stmt(ctx, query)
	if err != nil {
		return failed{err}
	}
	return s.QueryRowContext(ctx, sqliteValues(args)...)
}

func (t tx) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if t.db.server != nil {
		text, values, err := t.db.translated(query, args)
		if err != nil {
			return nil, err
		}
		return t.ExecContext(ctx, text, values...)
	}
	s, err := t.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, sqliteValues(args)...)
}

// execMany runs a query with each of several lists of arguments, in PostgreSQL without waiting for the answer to one before the next is
// sent, and returns how many rows were affected.
func (t tx) execMany(ctx context.Context, query string, many [][]any) (int64, error) {
	if t.db.server != nil && len(many) > 1 {
		return t.pipelined(ctx, query, many)
	}
	var n int64
	for _, args := range many {
		res, err := t.exec(ctx, query, args...)
		if err != nil {
			return n, err
		}
		m, err := res.RowsAffected()
		if err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}
