package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// IsServer reports whether a database is named by the URL of a PostgreSQL server.
func IsServer(database string) bool {
	return strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://")
}

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

func nameOf(c *pgx.ConnConfig) string {
	host := c.Host
	if !strings.HasPrefix(host, "/") {
		host = net.JoinHostPort(host, strconv.Itoa(int(c.Port)))
	}
	return c.Database + " on " + host
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
