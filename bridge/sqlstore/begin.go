package sqlstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"outbridge/bridge"
)

// metaPlace is the object identifier of the calendar table, by which a copy that was made with pg_dump is told from what it was made
// of: pg_restore makes tables anew. A base backup, a snapshot and pg_upgrade keep it.
const metaPlace = "place"

// BeganAgain reports whether Open has found that the database was restored from a dump, and has made it one that clients do not take
// for the one that they knew.
func (s *Store) BeganAgain() bool { return s.beganAgain }

// settle begins again in a database that was restored.
func (s *Store) settle(ctx context.Context) error {
	place, known, err := s.place(ctx)
	if errors.Is(err, bridge.ErrNotFound) {
		return s.setMeta(ctx, metaPlace, strconv.AppendInt(nil, place, 10))
	}
	if err != nil || known {
		return err
	}
	s.beganAgain = true
	return s.beginAgain(ctx, place)
}

// place is where the database is, and whether it has always been there; ErrNotFound where that was never noted.
func (s *Store) place(ctx context.Context) (place int64, known bool, err error) {
	if err := s.read.QueryRowContext(ctx, `SELECT CAST(CAST('calendar' AS regclass) AS oid)::bigint`).Scan(&place); err != nil {
		return 0, false, err
	}
	noted, err := s.meta(ctx, metaPlace)
	return place, string(noted) == strconv.FormatInt(place, 10), err
}

// BeginAgain makes a database that is as it was before one that clients do not take for the one that they knew, and that repeats no
// write: every calendar gets a new epoch, since its revs begin again from an earlier one, and writes that were under way are not taken up
// again. It returns how many calendars there are.
func (s *Store) BeginAgain(ctx context.Context) (calendars int, err error) {
	place, _, err := s.place(ctx)
	if err == nil || errors.Is(err, bridge.ErrNotFound) {
		err = s.beginAgain(ctx, place)
	}
	if err == nil {
		err = s.read.row(ctx, `SELECT count(*) FROM calendar`).Scan(&calendars)
	}
	if err != nil {
		return 0, fmt.Errorf("begin again: %w", err)
	}
	return calendars, nil
}

func (s *Store) beginAgain(ctx context.Context, place int64) error {
	seed := make([]byte, 8)
	rand.Read(seed)
	return s.write.transact(ctx, func(t tx) error {
		// The id keeps the epochs of two calendars apart.
		if _, err := t.exec(ctx, `UPDATE calendar SET epoch = ? || 'c' || id`, hex.EncodeToString(seed)); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `UPDATE intent SET state = ? WHERE state = ?`, bridge.IntentUnknown, bridge.IntentOpen); err != nil {
			return err
		}
		_, err := t.exec(ctx, putMeta, metaPlace, strconv.AppendInt(nil, place, 10))
		return err
	})
}

// ServerEmpty reports whether nobody has entered anything into a database on a server yet. It makes nothing there.
func ServerEmpty(ctx context.Context, database string) (bool, error) {
	c, err := poolConfig(database)
	if err != nil {
		return false, fmt.Errorf("database: %w", err)
	}
	conn, err := connect(ctx, c)
	if err != nil {
		return false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return emptyServer(ctx, conn)
}

func emptyServer(ctx context.Context, conn *pgx.Conn) (bool, error) {
	var there bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass('account') IS NOT NULL AND to_regclass('meta') IS NOT NULL`).Scan(&there); err != nil || !there {
		return err == nil, err
	}
	var content bool
	err := conn.QueryRow(ctx, forPostgres(hasContent).text, metaAdministrator).Scan(&content)
	return !content, err
}
