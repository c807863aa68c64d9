package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"outbridge/bridge"
)

// Copied is how far the copying of a table is.
type Copied struct {
	Table  string
	Rows   int64
	Sum    string // of all its rows, as both databases have read it; "": it is not done
	Mended int64  // texts with octets that PostgreSQL does not take, which have U+FFFD for them
}

// copyEvery is how many rows lie between two reports.
const copyEvery = 20_000

// CopyToServer copies the SQLite file at path, which nobody may serve meanwhile, to an empty database on a server, with all ids, revs,
// epochs and sealed values, and proves it: each table is read back and must come to the sum that the file came to. Everything is one
// transaction, so that what fails or is killed leaves the database empty, and the file is only read. ErrExists: there is something in it.
func CopyToServer(ctx context.Context, path, database string, key Key, report func(Copied)) error {
	path, remove, err := atSchema(ctx, path, key)
	if err != nil {
		return err
	}
	defer remove()
	file, err := openFile(path, "ro")
	if err != nil {
		return err
	}
	defer file.Close()
	from, err := file.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return explain(path, err)
	}
	defer from.Rollback()
	s, err := openServer(ctx, database, key, func(Packing) {}) // which makes the schema
	if err != nil {
		return err
	}
	defer s.Close()
	return s.write.server.explain(s.alone(ctx, func() error { return s.copyFrom(ctx, from, report) }))
}

// atSchema is a file with this program's schema: the one at path or, where that is of an older version, a copy.
func atSchema(ctx context.Context, path string, key Key) (at string, remove func(), err error) {
	schema, err := Check(ctx, path)
	if err != nil || schema == Schema() {
		return path, func() {}, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".outbridge-migrate-*")
	if err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	at = filepath.Join(dir, "outbridge.db")
	err = Backup(ctx, path, at, false)
	if err == nil {
		var s *Store
		if s, err = Open(ctx, at, key); err == nil {
			err = s.Close()
		}
	}
	if err != nil {
		remove()
		return "", nil, err
	}
	return at, remove, nil
}

// copiedTable is a table with its columns, as both databases have them.
type copiedTable struct {
	name    string
	columns []string
	kinds   []string // of the columns: bigint, text or bytea
	key     []string // the columns of the primary key
}

func (t copiedTable) query() string {
	q := `SELECT ` + quotedNames(t.columns) + ` FROM ` + quotedNames([]string{t.name})
	if t.name == "meta" { // what a database says of itself
		q += ` WHERE key NOT IN ('` + metaPlace + `', '` + metaCompatible + `', '` + metaRoomy + `')`
	}
	return q + ` ORDER BY ` + quotedNames(t.key)
}

func quotedNames(names []string) string { return `"` + strings.Join(names, `", "`) + `"` }

func (s *Store) copyFrom(ctx context.Context, from *sql.Tx, report func(Copied)) error {
	tables, err := s.tablesToCopy(ctx, from)
	if err != nil {
		return err
	}
	to, err := s.write.server.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer to.Rollback(context.WithoutCancel(ctx))
	if _, err := to.Exec(ctx, `SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
		return err
	}
	for _, t := range tables {
		var there bool
		if err := to.QueryRow(ctx, `SELECT EXISTS (`+t.query()+`)`).Scan(&there); err != nil {
			return err
		}
		if there {
			return fmt.Errorf("the table %s of %s is not empty: %w", t.name, s.write.server.name, bridge.ErrExists)
		}
	}
	for _, t := range tables {
		c, err := t.copy(ctx, from, to, report)
		if err != nil {
			return fmt.Errorf("copy the table %s: %w", t.name, err)
		}
		back, rows, err := t.sum(ctx, to)
		if err != nil {
			return fmt.Errorf("read the table %s back: %w", t.name, err)
		}
		if back != c.Sum || rows != c.Rows {
			return fmt.Errorf("the table %s has come to %d rows of sum %s, and not to %d of sum %s: nothing was kept", t.name, rows, back, c.Rows, c.Sum)
		}
		if err := t.continueIDs(ctx, from, to); err != nil {
			return fmt.Errorf("the ids of the table %s: %w", t.name, err)
		}
		report(c)
	}
	if _, err := to.Exec(ctx, `ANALYZE`); err != nil {
		return err
	}
	return to.Commit(ctx)
}

// tablesToCopy are all tables of the file, those first that others refer to.
func (s *Store) tablesToCopy(ctx context.Context, from *sql.Tx) ([]copiedTable, error) {
	rows, err := from.QueryContext(ctx, `SELECT m.name, c.name, c.pk FROM sqlite_schema m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE 'goose_%' ORDER BY m.name, c.cid`)
	type column struct {
		table, name string
		pk          int
	}
	columns, err := collect(rows, err, func(r *sql.Rows) (c column, err error) {
		err = r.Scan(&c.table, &c.name, &c.pk)
		return c, err
	})
	if err != nil {
		return nil, err
	}
	var all []copiedTable
	for _, c := range columns {
		if len(all) == 0 || all[len(all)-1].name != c.table {
			all = append(all, copiedTable{name: c.table})
		}
		t := &all[len(all)-1]
		var kind string
		err := s.write.QueryRowContext(ctx, `SELECT data_type::text FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 AND column_name = $2`,
			c.table, c.name).Scan(&kind)
		if err != nil {
			return nil, fmt.Errorf("the column %s of %s: %w", c.name, c.table, notFound(err))
		}
		t.columns, t.kinds = append(t.columns, c.name), append(t.kinds, kind)
		if c.pk > 0 {
			t.key = append(t.key, "")
		}
	}
	for _, c := range columns {
		if c.pk > 0 {
			i := slices.IndexFunc(all, func(t copiedTable) bool { return t.name == c.table })
			all[i].key[c.pk-1] = c.name
		}
	}
	first := []string{"account", "calendar", "intent"}
	slices.SortStableFunc(all, func(a, b copiedTable) int {
		place := func(t copiedTable) int {
			if i := slices.Index(first, t.name); i >= 0 {
				return i
			}
			return len(first)
		}
		return place(a) - place(b)
	})
	return all, nil
}

func (t copiedTable) copy(ctx context.Context, from *sql.Tx, to pgx.Tx, report func(Copied)) (c Copied, err error) {
	c.Table = t.name
	rows, err := from.QueryContext(ctx, t.query())
	if err != nil {
		return c, err
	}
	defer rows.Close()
	sum := newRowSum(t)
	values, into := make([]any, len(t.columns)), make([]any, len(t.columns))
	for i := range values {
		into[i] = &values[i]
	}
	_, err = to.CopyFrom(ctx, pgx.Identifier{t.name}, t.columns, pgx.CopyFromFunc(func() ([]any, error) {
		if !rows.Next() {
			return nil, rows.Err()
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		for i, v := range values {
			mended := false
			if values[i], mended, err = asKind(v, t.kinds[i]); err != nil {
				return nil, fmt.Errorf("the column %s: %w", t.columns[i], err)
			}
			if mended {
				c.Mended++
			}
		}
		if c.Rows++; c.Rows%copyEvery == 0 {
			report(c)
		}
		return slices.Clone(values), sum.add(values)
	}))
	c.Sum = sum.text()
	return c, err
}

// sum reads the table on the server.
func (t copiedTable) sum(ctx context.Context, on pgx.Tx) (text string, n int64, err error) {
	rows, err := on.Query(ctx, t.query())
	if err != nil {
		return "", 0, err
	}
	defer rows.Close()
	sum := newRowSum(t)
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return "", 0, err
		}
		if err := sum.add(values); err != nil {
			return "", 0, err
		}
		n++
	}
	return sum.text(), n, rows.Err()
}

// continueIDs has the next id be one that was never given: SQLite remembers that of some tables beyond the rows that there are.
func (t copiedTable) continueIDs(ctx context.Context, from *sql.Tx, to pgx.Tx) error {
	var sequence *string
	if !slices.Equal(t.key, []string{"id"}) {
		return nil
	}
	if err := to.QueryRow(ctx, `SELECT pg_get_serial_sequence($1, 'id')`, quotedNames([]string{t.name})).Scan(&sequence); err != nil || sequence == nil {
		return err
	}
	var last sql.NullInt64
	if err := from.QueryRowContext(ctx, `SELECT max(id) FROM (SELECT id FROM "`+t.name+`" UNION ALL SELECT seq FROM sqlite_sequence WHERE name = ?)`, t.name).Scan(&last); err != nil {
		return err
	}
	if !last.Valid {
		return nil
	}
	_, err := to.Exec(ctx, `SELECT setval($1::text::regclass, $2)`, *sequence, last.Int64)
	return err
}

// asKind is a value of SQLite, where any column may have any type, as the server's column has it.
func asKind(v any, kind string) (_ any, mended bool, err error) {
	switch w := v.(type) {
	case nil:
		return nil, false, nil
	case int64:
		if kind == "bigint" {
			return w, false, nil
		}
	case string:
		switch kind {
		case "text":
			clean := cleanText(w)
			return clean, clean != w, nil
		case "bytea":
			return []byte(w), false, nil
		}
	case []byte:
		switch kind {
		case "text":
			clean := cleanText(string(w))
			return clean, clean != string(w), nil
		case "bytea":
			return append([]byte{}, w...), false, nil // the driver reads an empty one, as a removed object has, as nil, which would be NULL
		}
	}
	return nil, false, fmt.Errorf("a value is %T, and the server's column is of the type %s", v, kind)
}

// rowSum is a hash of rows in their order.
type rowSum struct{ hash hash.Hash }

func newRowSum(t copiedTable) rowSum {
	s := rowSum{sha256.New()}
	fmt.Fprintln(s.hash, t.name, t.columns)
	return s
}

func (s rowSum) add(row []any) error {
	for _, v := range row {
		switch v := v.(type) {
		case nil:
			s.write('n', nil)
		case int64:
			s.write('i', binary.BigEndian.AppendUint64(nil, uint64(v)))
		case string:
			s.write('s', []byte(v))
		case []byte:
			s.write('b', v)
		default:
			return fmt.Errorf("a value is %T", v)
		}
	}
	return nil
}

func (s rowSum) write(kind byte, b []byte) {
	s.hash.Write(binary.BigEndian.AppendUint64([]byte{kind}, uint64(len(b))))
	s.hash.Write(b)
}

func (s rowSum) text() string { return hex.EncodeToString(s.hash.Sum(nil)) }
