package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"sync"
)

// maxDirect is how many connections read directly at once. Each takes up to 2 MB.
const maxDirect = 4

// direct reads an SQLite file through connections of the driver's own. What clients ask for most goes this way: database/sql copies octets once
// more, and begins goroutines for each query whose context can end. Here a context is asked between rows.
type direct struct {
	driver driver.Driver
	dsn    string
	turns  chan struct{} // one is taken while a connection is in use

	mu     sync.Mutex
	free   []*directConn
	closed bool
}

// directConn is a connection with the statements that it has prepared.
type directConn struct {
	driver.Conn
	kept map[string]driver.Stmt
}

// newDirect opens the first connection, so that no client waits until it has read the schema.
func newDirect(d driver.Driver, dsn string) (*direct, error) {
	all := &direct{driver: d, dsn: dsn, turns: make(chan struct{}, maxDirect)}
	c, err := all.take()
	if err != nil {
		return nil, err
	}
	return all, all.put(c)
}

// each calls row with each row of a query, until it wants no more. The values are another row's after that; what they refer to stays.
func (d *direct) each(ctx context.Context, query string, args []any, row func([]driver.Value) (more bool, err error)) error {
	select {
	case d.turns <- struct{}{}:
		defer func() { <-d.turns }()
	case <-ctx.Done():
		return ctx.Err()
	}
	c, err := d.take()
	if err != nil {
		return err
	}
	if err := c.each(ctx, query, args, row); err != nil {
		return errors.Join(err, c.Close()) // whatever was wrong with it
	}
	return d.put(c)
}

func (d *direct) take() (*directConn, error) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil, errClosed
	}
	if n := len(d.free) - 1; n >= 0 {
		c := d.free[n]
		d.free = d.free[:n]
		d.mu.Unlock()
		return c, nil
	}
	d.mu.Unlock()
	conn, err := d.driver.Open(d.dsn)
	if err != nil {
		return nil, err
	}
	return &directConn{conn, map[string]driver.Stmt{}}, nil
}

// put gives back a connection, which is closed where everything is.
func (d *direct) put(c *directConn) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return c.Close()
	}
	d.free = append(d.free, c)
	return nil
}

var errClosed = errors.New("the database is closed")

// close closes what is not in use, and has the others closed when they are given back.
func (d *direct) close() error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	var err error
	for _, c := range d.free {
		err = errors.Join(err, c.Close())
	}
	d.free = nil
	return err
}

func (c *directConn) each(ctx context.Context, query string, args []any, row func([]driver.Value) (bool, error)) error {
	s, err := c.prepared(query)
	if err != nil {
		return err
	}
	named := make([]driver.NamedValue, len(args))
	for i, a := range sqliteValues(args) {
		if named[i].Value, err = driver.DefaultParameterConverter.ConvertValue(a); err != nil {
			return err
		}
		named[i].Ordinal = i + 1
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(context.Background(), named)
	if err != nil {
		return err
	}
	values := make([]driver.Value, len(rows.Columns()))
	for more := true; more && err == nil; {
		if err = ctx.Err(); err != nil {
			break
		}
		if err = rows.Next(values); err == nil {
			more, err = row(values)
		}
	}
	if err == io.EOF {
		err = nil
	}
	return errors.Join(err, rows.Close())
}

func (c *directConn) prepared(query string) (driver.Stmt, error) {
	if s := c.kept[query]; s != nil {
		return s, nil
	}
	s, err := c.Prepare(forSQLite(query))
	if err == nil {
		c.kept[query] = s
	}
	return s, err
}

// Close finalizes the statements too, without which SQLite would keep the connection.
func (c *directConn) Close() error {
	var err error
	for _, s := range c.kept {
		err = errors.Join(err, s.Close())
	}
	return errors.Join(err, c.Conn.Close())
}
