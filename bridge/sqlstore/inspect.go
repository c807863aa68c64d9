package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"outbridge/bridge"
)

// OldestServer is the oldest server_version_num that the store is made for.
const OldestServer = 130000

// ServerState is what a PostgreSQL server says of itself and of a database.
type ServerState struct {
	Version string
	Number  int // server_version_num
	User    string
	Schema  int64 // 0: there is none yet
	Empty   bool  // nobody has entered anything

	ReadOnly  bool          // a standby, or set so
	MayCreate bool          // tables
	Owner     bool          // of the tables
	Encrypted bool          // the connection
	Local     bool          // it is no connection over a network
	Durable   bool          // it waits for its disk
	Clock     time.Duration // how far it is ahead of this machine

	Pool           int32 // connections that this program may take
	Connections    int   // that are in use
	MaxConnections int
	Reserved       int // of these, for superusers
}

// InspectServer asks a server. It changes nothing.
func InspectServer(ctx context.Context, database string) (s ServerState, err error) {
	c, err := poolConfig(database)
	if err != nil {
		return s, fmt.Errorf("database: %w", err)
	}
	conn, err := connect(ctx, c)
	if err != nil {
		return s, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	s.Pool = c.MaxConns
	host := c.ConnConfig.Host
	s.Local = strings.HasPrefix(host, "/") || host == "localhost" || strings.HasPrefix(host, "127.") || host == "::1"
	if s.Empty, err = s.ask(ctx, conn); err != nil {
		return s, (&server{name: nameOf(c.ConnConfig)}).explain(err)
	}
	return s, nil
}

func (s *ServerState) ask(ctx context.Context, conn *pgx.Conn) (empty bool, err error) {
	before := time.Now()
	var milliseconds int64
	if err := conn.QueryRow(ctx, `SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint`).Scan(&milliseconds); err != nil {
		return false, err
	}
	after := time.Now()
	s.Clock = time.UnixMilli(milliseconds).Sub(before.Add(after.Sub(before) / 2))
	err = conn.QueryRow(ctx, `
		SELECT current_setting('server_version'), current_setting('server_version_num')::int, current_user::text,
			pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
			coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
			coalesce((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('calendar')), true),
			coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
			current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on' AND current_setting('synchronous_commit') <> 'off',
			(SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend'),
			current_setting('max_connections')::int, current_setting('superuser_reserved_connections')::int`).
		Scan(&s.Version, &s.Number, &s.User, &s.ReadOnly, &s.MayCreate, &s.Owner, &s.Encrypted, &s.Durable, &s.Connections, &s.MaxConnections, &s.Reserved)
	if err != nil {
		return false, err
	}
	var versions bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass('goose_db_version') IS NOT NULL AND to_regclass('calendar') IS NOT NULL`).Scan(&versions); err != nil {
		return false, err
	}
	if versions {
		if err := conn.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&s.Schema); err != nil {
			return false, err
		}
	}
	return emptyServer(ctx, conn)
}

// CheckServerKey is CheckKey for a database on a server.
func CheckServerKey(ctx context.Context, database string, key Key) error {
	c, err := poolConfig(database)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	first, err := connect(ctx, c)
	if err != nil {
		return err
	}
	first.Close(ctx)
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	defer pool.Close()
	d := openPool(pool, c)
	defer d.Close()
	err = checkKey(ctx, d.DB, key)
	if err != nil && !errors.Is(err, bridge.ErrWrongKey) {
		return d.server.explain(err)
	}
	return err
}
