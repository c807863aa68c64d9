package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"outbridge/bridge"
)

const vapidKey = "vapid" // in meta, sealed

func (s *Store) PushKey(ctx context.Context, fresh []byte) ([]byte, error) {
	_, err := s.write.exec(ctx, `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING`, vapidKey, s.key.sealed(fresh, vapidKey))
	if err != nil {
		return nil, fmt.Errorf("push key: %w", err)
	}
	var box []byte
	if err := s.read.row(ctx, `SELECT value FROM meta WHERE key = ?`, vapidKey).Scan(&box); err != nil {
		return nil, fmt.Errorf("push key: %w", err)
	}
	return s.key.open(box, vapidKey)
}

func (s *Store) AddPushSubscription(ctx context.Context, p bridge.PushSubscription, limit int) (bridge.PushSubscription, bool, error) {
	created := false
	err := s.write.transact(ctx, func(t tx) error {
		created = false
		if err := t.lockRow(ctx, `SELECT 1 FROM account WHERE name = ? FOR NO KEY UPDATE`, p.User); err != nil { // for the limit
			return err
		}
		if err := t.lockCalendar(ctx, p.Calendar); err != nil {
			return err
		}
		hash := s.key.digest("push", p.Endpoint)
		err := t.row(ctx, `SELECT id FROM push_subscription WHERE calendar_id = ? AND endpoint = ?`, p.Calendar, hash).Scan(&p.ID)
		if errors.Is(err, sql.ErrNoRows) {
			var n int
			if err := t.row(ctx, `SELECT count(*) FROM push_subscription WHERE user = ?`, p.User).Scan(&n); err != nil {
				return err
			}
			if n >= limit {
				return bridge.ErrTooMany
			}
			p.ID, created = strings.ToLower(rand.Text()), true
		} else if err != nil {
			return err
		}
		target, err := json.Marshal(p.PushTarget)
		if err != nil {
			return err
		}
		res, err := t.exec(ctx, `
			INSERT INTO push_subscription (id, user, calendar_id, endpoint, target, expires, rev)
			SELECT ?, ?, id, ?, ?, ?, rev FROM calendar WHERE id = ?
			ON CONFLICT (id) DO UPDATE SET user = excluded.user, target = excluded.target, expires = excluded.expires, failures = 0, not_before = NULL`,
			p.ID, p.User, hash, s.key.sealed(target, p.ID), unix(p.Expires), p.Calendar)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, bridge.ErrNotFound)
		}
		return nil
	})
	if err != nil {
		return p, false, fmt.Errorf("add push subscription: %w", err)
	}
	return p, created, nil
}

func (s *Store) RemovePushSubscription(ctx context.Context, user, id string) error {
	return s.changeOne(ctx, `DELETE FROM push_subscription WHERE user = ? AND id = ?`, user, id)
}

func (s *Store) DropPushSubscription(ctx context.Context, id string) error {
	_, err := s.write.exec(ctx, `DELETE FROM push_subscription WHERE id = ?`, id)
	if err != nil {
		return fmt.Errorf("drop push subscription: %w", err)
	}
	return nil
}

func (s *Store) DropExpiredPushSubscriptions(ctx context.Context, now time.Time) error {
	var due bool
	err := s.read.row(ctx, `SELECT EXISTS (SELECT 1 FROM push_subscription WHERE expires <= ?)`, now.Unix()).Scan(&due)
	if err == nil && due {
		_, err = s.write.exec(ctx, `DELETE FROM push_subscription WHERE expires <= ?`, now.Unix())
	}
	if err != nil {
		return fmt.Errorf("drop expired push subscriptions: %w", err)
	}
	return nil
}

func (s *Store) BehindPushSubscriptions(ctx context.Context, limit int) ([]bridge.PushSubscription, error) {
	rows, err := s.read.query(ctx, `
		SELECT p.id, p.user, p.calendar_id, p.target, p.expires, p.rev, p.failures, p.not_before, c.epoch, c.rev
		FROM push_subscription p JOIN calendar c ON c.id = p.calendar_id
		WHERE c.rev > p.rev ORDER BY coalesce(p.not_before, 0), p.id LIMIT ?`, limit)
	list, err := collect(rows, err, func(r *sql.Rows) (p bridge.PushSubscription, err error) {
		var box []byte
		err = r.Scan(&p.ID, &p.User, &p.Calendar, &box, unixTime{&p.Expires}, &p.Rev, &p.Failures, unixTime{&p.NotBefore}, &p.Epoch, &p.CalendarRev)
		if err == nil {
			box, err = s.key.open(box, p.ID)
		}
		if err == nil {
			err = json.Unmarshal(box, &p.PushTarget)
		}
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("list push subscriptions: %w", err)
	}
	return list, nil
}

func (s *Store) ClaimDelivery(ctx context.Context, id string, now, until time.Time) (bool, error) {
	res, err := s.write.exec(ctx, `UPDATE push_subscription SET not_before = ? WHERE id = ? AND (not_before IS NULL OR not_before <= ?)`, unix(until), id, now.Unix())
	if err != nil {
		return false, fmt.Errorf("claim push delivery: %w", err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

func (s *Store) SetDelivery(ctx context.Context, id string, rev int64, failures int, notBefore time.Time) error {
	_, err := s.write.exec(ctx, `UPDATE push_subscription SET rev = ?, failures = ?, not_before = ? WHERE id = ?`,
		rev, failures, unix(notBefore), id)
	if err != nil {
		return fmt.Errorf("record push delivery: %w", err)
	}
	return nil
}
