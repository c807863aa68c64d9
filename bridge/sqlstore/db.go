package sqlstore

import (
	"context"
	"database/sql"
	"sync"
)

// db is a database whose statements are prepared once and kept: parsing one costs more than most of them take.
type db struct {
	*sql.DB
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
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

// transact runs f in one transaction.
func (d *db) transact(ctx context.Context, f func(tx) error) error {
	t, err := d.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer t.Rollback()
	var missed []string
	if err := f(tx{t, d, &missed}); err != nil {
		return err
	}
	if err := t.Commit(); err != nil {
		return err
	}
	for _, query := range missed {
		// The next transaction finds it; should it fail here, that one prepares it again.
		_, _ = d.prepared(ctx, query)
	}
	return nil
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
