package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"outbridge/bridge"
)

// migrateServer brings the schema up to date. One process at a time does: a lock that ends with its transaction keeps the others away, also
// behind a pooler that gives each transaction another connection.
func (s *Store) migrateServer(ctx context.Context, tell func(Packing)) error {
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
		if have > 0 { // before, so that an older program that starts meanwhile is not refused
			if err := s.setMeta(ctx, metaCompatible, strconv.AppendInt(nil, oldestCompatible, 10)); err != nil {
				return err
			}
		}
		if _, err = p.Up(ctx); err != nil {
			return err
		}
		if err := s.setMeta(ctx, metaCompatible, strconv.AppendInt(nil, oldestCompatible, 10)); err != nil {
			return err
		}
		if err := s.settle(ctx); err != nil {
			return err
		}
		return s.packOld(ctx, tell)
	})
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
	if err == nil && known {
		var packs bool
		packs, err = s.packs(ctx)
		known = !packs
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

// metaCompatible is the oldest schema whose program may still use the database, as the program said that has made its schema.
const metaCompatible = "compatible"

// oldestCompatible is that of this program's schema. A migration that does more than add what older programs do not miss raises it to its own
// number: machines with those are then to end before the first one with the new program starts.
const oldestCompatible = 24

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
