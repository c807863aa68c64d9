package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync"
)

// db is a database whose statements are prepared once and kept: parsing one costs more than most of them take.
type db struct {
	*sql.DB
	path  string   // for errors
	stmts sync.Map // query → *sql.Stmt
}

// tx is a transaction that uses the kept statements of its database.
type tx struct {
	*sql.Tx
	db     *db
	missed *[]string // queries whose statements are not kept yet
}

type scanner interface{ Scan(...any) error }

// failed is a row that could not be asked for.
type failed struct{ err error }

func (f failed) Scan(...any) error { return f.err }

func (d *db) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := d.stmts.Load(query); ok {
		return s.(*sql.Stmt), nil
	}
	s, err := d.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if kept, loaded := d.stmts.LoadOrStore(query, s); loaded {
		s.Close()
		return kept.(*sql.Stmt), nil
	}
	return s, nil
}

func (d *db) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := d.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

func (d *db) row(ctx context.Context, query string, args ...any) scanner {
	s, err := d.prepared(ctx, query)
	if err != nil {
		return failed{err}
	}
	return s.QueryRowContext(ctx, args...)
}

func (d *db) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := d.prepared(ctx, query)
	if err != nil {
		return nil, explain(d.path, err)
	}
	res, err := s.ExecContext(ctx, args...)
	return res, explain(d.path, err)
}

// transact runs f in one transaction.
func (d *db) transact(ctx context.Context, f func(tx) error) error {
	return explain(d.path, d.attempt(ctx, f))
}

func (d *db) attempt(ctx context.Context, f func(tx) error) error {
	missed, err := d.begin(ctx, d.DB, f)
	d.keep(ctx, missed)
	return err
}

// relaxed runs f in one transaction that a power cut may take back, with those of its kind since the last full one; the
// end of the process takes none. It saves waiting for the disk, for what is made once more by itself.
func (d *db) relaxed(ctx context.Context, f func(tx) error) error {
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
	if err := f(tx{t, d, &missed}); err != nil {
		return nil, err
	}
	return missed, t.Commit()
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
	if s, ok := t.db.stmts.Load(query); ok {
		return t.StmtContext(ctx, s.(*sql.Stmt)), nil
	}
	*t.missed = append(*t.missed, query)
	return t.PrepareContext(ctx, query)
}

func (t tx) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := t.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

func (t tx) row(ctx context.Context, query string, args ...any) scanner {
	s, err := t.stmt(ctx, query)
	if err != nil {
		return failed{err}
	}
	return s.QueryRowContext(ctx, args...)
}

func (t tx) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := t.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}
