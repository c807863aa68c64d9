package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

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

// IsServer reports whether a database is named by the URL of a PostgreSQL server.
func IsServer(database string) bool {
	return strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://")
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

// passwordFile is the setting of a database's URL that names a file with the password alone, which is read for each new connection.
const passwordFile = "password_file"

// poolConfig reads the URL of a database. What the URL says has precedence.
func poolConfig(database string) (*pgxpool.Config, error) {
	u, err := url.Parse(database)
	if err != nil {
		return nil, errors.New("it is no URL: write it like postgres://user@host/database, with the password in a file")
	}
	given := u.Query()
	file := given.Get(passwordFile)
	given.Del(passwordFile)
	u.RawQuery = given.Encode()
	c, err := pgxpool.ParseConfig(u.String())
	if err != nil {
		return nil, errors.New(redacted(err.Error(), database)) // pgx leaves the password out where it can tell what it is
	}
	if file != "" {
		c.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
			b, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("the password of the database: %w", err)
			}
			c.Password = strings.TrimRight(string(b), "\r\n")
			return nil
		}
	}
	if !given.Has("pool_max_conns") {
		c.MaxConns = defaultConnections
	}
	c.MaxConns = max(c.MaxConns, fewestConnections)
	if !given.Has("connect_timeout") {
		c.ConnConfig.ConnectTimeout = connectTimeout
	}
	set := c.ConnConfig.RuntimeParams
	set["application_name"] = cmp.Or(set["application_name"], applicationName)
	for name, value := range limits {
		set[name] = cmp.Or(set[name], value)
	}
	return c, nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// redacted is a text about a database without its password.
func redacted(text, database string) string {
	text = strings.ReplaceAll(text, database, WithoutPassword(database))
	u, err := url.Parse(database)
	if err != nil {
		return text
	}
	password, _ := u.User.Password()
	for _, secret := range []string{password, url.QueryEscape(password), u.Query().Get("password")} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}

// WithoutPassword is the URL of a database with *** in the place of a password, to be shown.
func WithoutPassword(database string) string {
	u, err := url.Parse(database)
	if err != nil {
		return "postgres://***" // what cannot be read may be one
	}
	if _, ok := u.User.Password(); ok {
		u.User = url.UserPassword(u.User.Username(), "***")
	}
	if q := u.Query(); q.Has("password") || q.Has("sslpassword") {
		for _, name := range []string{"password", "sslpassword"} {
			if q.Has(name) {
				q.Set(name, "***")
			}
		}
		u.RawQuery = q.Encode()
	}
	return strings.ReplaceAll(u.String(), "%2A%2A%2A", "***")
}

// ForTools is the URL of a database as PostgreSQL's own programs take it, without a password.
func ForTools(database string) string {
	u, err := url.Parse(database)
	if err != nil {
		return WithoutPassword(database)
	}
	u.User = url.User(u.User.Username())
	q := u.Query()
	for name := range q {
		switch name {
		case "host", "port", "user", "sslmode", "sslrootcert", "sslcert", "sslkey", "passfile", "target_session_attrs":
		default:
			q.Del(name)
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// WithPasswordFile is the URL of a database whose password is in a file.
func WithPasswordFile(database, file string) string {
	u, err := url.Parse(database)
	if err != nil {
		return database
	}
	q := u.Query()
	q.Set(passwordFile, file)
	u.RawQuery = q.Encode()
	return u.String()
}

// CheckURL reports, by an error, what is wrong with the URL of a database.
func CheckURL(database string) error {
	c, err := poolConfig(database)
	if err != nil {
		return err
	}
	if c.ConnConfig.Database == "" {
		return errors.New("it names no database: write it like postgres://user@host/database")
	}
	return nil
}

func openServer(ctx context.Context, database string, key Key) (*Store, error) {
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
	s := &Store{key: key, read: d, write: d, uses: &uses{write: d}}
	if err := s.migrateServer(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("database %s: %w", d.server.name, d.server.explain(err))
	}
	return s, nil
}

func openPool(pool *pgxpool.Pool, c *pgxpool.Config) *db {
	return &db{DB: stdlib.OpenDBFromPool(pool), server: &server{pool: pool, name: nameOf(c.ConnConfig)}}
}

func nameOf(c *pgx.ConnConfig) string {
	host := c.Host
	if !strings.HasPrefix(host, "/") {
		host = net.JoinHostPort(host, strconv.Itoa(int(c.Port)))
	}
	return c.Database + " on " + host
}

// Pool is the connections to the server, nil for an SQLite file.
func (s *Store) Pool() *pgxpool.Pool {
	if s.write.server == nil {
		return nil
	}
	return s.write.server.pool
}

// migrateServer brings the schema up to date. One process at a time does: a lock that ends with its transaction keeps the others away, also
// behind a pooler that gives each transaction another connection.
func (s *Store) migrateServer(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations/postgres")
	if err != nil {
		return err
	}
	if current, err := s.isCurrent(ctx); err != nil || current {
		return err
	}
	return s.alone(ctx, func() error {
		d := s.write.server.patient()
		defer d.Close()
		p, err := goose.NewProvider(goose.DialectPostgres, d, files)
		if err != nil {
			return err
		}
		have, want, err := p.GetVersions(ctx)
		if err != nil {
			return err
		}
		if have > want {
			return s.refuseNewer(ctx, have, want)
		}
		if _, err = p.Up(ctx); err != nil {
			return err
		}
		return s.settle(ctx)
	})
}

// limits are settings that a session begins with, unless the URL has them.
var limits = map[string]string{
	"statement_timeout":                   milliseconds(statementTimeout),
	"lock_timeout":                        milliseconds(lockTimeout),
	"idle_in_transaction_session_timeout": milliseconds(idleInTransaction),
}

// withoutSession has connections do without what belongs to a session, if that is what err is about: a pooler that gives each
// transaction another connection refuses settings, and then does not keep prepared statements either.
func withoutSession(c *pgxpool.Config, err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != "08P01" || !strings.Contains(e.Message, "startup parameter") {
		return false
	}
	for name := range limits {
		delete(c.ConnConfig.RuntimeParams, name)
	}
	if c.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	return true
}

// connect makes one connection as those of a pool are.
func connect(ctx context.Context, c *pgxpool.Config) (*pgx.Conn, error) {
	name := nameOf(c.ConnConfig)
	explain := (&server{name: name}).explain
	if c.BeforeConnect != nil {
		if err := c.BeforeConnect(ctx, c.ConnConfig); err != nil {
			return nil, fmt.Errorf("database %s: %w", name, err)
		}
	}
	conn, err := pgx.ConnectConfig(ctx, c.ConnConfig)
	if withoutSession(c, err) {
		conn, err = pgx.ConnectConfig(ctx, c.ConnConfig)
	}
	return conn, explain(err)
}

// patient is connections whose statements may take as long as they need.
func (s *server) patient() *sql.DB {
	pool := s.pool.Config()
	c := pool.ConnConfig.Copy()
	if _, set := c.RuntimeParams["statement_timeout"]; set {
		c.RuntimeParams["statement_timeout"] = "0"
	}
	var options []stdlib.OptionOpenDB
	if pool.BeforeConnect != nil {
		options = append(options, stdlib.OptionBeforeConnect(pool.BeforeConnect))
	}
	d := stdlib.OpenDB(*c, options...)
	d.SetMaxOpenConns(2)
	return d
}

// isCurrent reports, without waiting for anybody, that there is nothing for migrateServer to do, as at most starts.
func (s *Store) isCurrent(ctx context.Context) (bool, error) {
	var there bool
	err := s.read.QueryRowContext(ctx, `SELECT to_regclass('goose_db_version') IS NOT NULL AND to_regclass('calendar') IS NOT NULL AND to_regclass('meta') IS NOT NULL`).Scan(&there)
	if err != nil || !there {
		return false, err
	}
	var have int64
	if err := s.read.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&have); err != nil || have < Schema() {
		return false, err
	}
	if have > Schema() {
		return true, s.refuseNewer(ctx, have, Schema())
	}
	_, known, err := s.place(ctx)
	if errors.Is(err, bridge.ErrNotFound) {
		err = nil
	}
	return known, err
}

// alonePause is the time between two attempts of alone.
const alonePause = 200 * time.Millisecond

// alone runs f while no other process does so on this database, and waits for those that do without holding a connection: a pooler may
// have few.
func (s *Store) alone(ctx context.Context, f func() error) error {
	for {
		if done, err := s.tryAlone(ctx, f); err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(alonePause):
		}
	}
}

func (s *Store) tryAlone(ctx context.Context, f func() error) (done bool, err error) {
	t, err := s.write.server.pool.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer t.Rollback(context.WithoutCancel(ctx))
	var alone bool
	if err := t.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, int64(migrationLock)).Scan(&alone); err != nil {
		return false, err
	}
	if !alone {
		return false, nil
	}
	// It is idle for as long as f takes.
	if _, err := t.Exec(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
		return false, err
	}
	if err := f(); err != nil {
		return true, err
	}
	return true, t.Commit(ctx)
}

// metaCompatible is the oldest schema whose program may still use the database.
const metaCompatible = "compatible"

// refuseNewer refuses a schema that is newer than this program's, unless the migrations between have only added to it: then the program
// goes on beside newer ones while they are rolled out.
func (s *Store) refuseNewer(ctx context.Context, have, want int64) error {
	value, err := s.meta(ctx, metaCompatible)
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return err
	}
	if oldest, err := strconv.ParseInt(string(value), 10, 64); err == nil && want >= oldest {
		return nil
	}
	return fmt.Errorf("it was written by a newer outbridge (schema %d, this one knows %d): use that version", have, want)
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

// doubt marks an error of what may have been done in spite of it: the server has not answered.
func doubt(err error) error {
	if err == nil || errors.As(err, new(*pgconn.PgError)) || errors.As(err, new(*pgconn.ConnectError)) || pgconn.SafeToRetry(err) {
		return err
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
