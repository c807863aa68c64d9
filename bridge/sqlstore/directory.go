package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"outbridge/bridge"
)

const metaDirectory = "directory"

type personKey struct{ tenant, objectID string }

func (s *Store) AccountByIdentity(ctx context.Context, tenant, objectID string) (bridge.Account, error) {
	if objectID == "" {
		return bridge.Account{}, fmt.Errorf("account of a person: %w", bridge.ErrNotFound)
	}
	a, err := cached(ctx, s.cache, &s.cache.persons, personKey{tenant, objectID}, func() (bridge.Account, error) {
		return scanAccount(s.read.row(ctx, selectAccount+` WHERE object_id <> '' AND tenant = ? AND object_id = ?`, tenant, objectID))
	})
	if err != nil {
		return a, fmt.Errorf("account of a person: %w", notFound(err))
	}
	return a, nil
}

func (s *Store) SetIdentity(ctx context.Context, id bridge.AccountID, tenant, objectID string) error {
	err := s.write.transact(ctx, func(t tx) error {
		var other int64
		err := t.row(ctx, `SELECT id FROM account WHERE object_id <> '' AND tenant = ? AND object_id = ? AND id <> ?`, tenant, objectID, id).Scan(&other)
		if err == nil {
			return bridge.ErrExists
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		res, err := t.exec(ctx, `UPDATE account SET tenant = ?, object_id = ? WHERE id = ?`, tenant, objectID, id)
		if t.isUnique(err, "account") {
			return bridge.ErrExists // by another machine, since the look-up
		}
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, bridge.ErrNotFound)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("set the person of account %d: %w", id, err)
	}
	return nil
}

func (s *Store) Members(ctx context.Context) ([]bridge.Member, error) {
	rows, err := s.read.query(ctx, `SELECT id, name, tenant, object_id, mailbox, display_name, departed FROM account WHERE origin = 'directory' ORDER BY id`)
	list, err := collect(rows, err, func(r *sql.Rows) (m bridge.Member, err error) {
		err = r.Scan(&m.ID, &m.Name, &m.Tenant, &m.ObjectID, &m.Mailbox, &m.DisplayName, unixTime{&m.Left})
		return m, err
	})
	if err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	return list, nil
}

func (s *Store) LeftOut(ctx context.Context) ([]bridge.LeftOut, error) {
	rows, err := s.read.query(ctx, `SELECT tenant, object_id, address, display_name, reason FROM left_out ORDER BY address, object_id`)
	list, err := collect(rows, err, func(r *sql.Rows) (o bridge.LeftOut, err error) {
		err = r.Scan(&o.Tenant, &o.ObjectID, &o.Address, &o.DisplayName, &o.Reason)
		return o, err
	})
	if err != nil {
		return nil, fmt.Errorf("list members without an account: %w", err)
	}
	return list, nil
}

func (s *Store) ChangeMembers(ctx context.Context, c bridge.MemberChanges) error {
	err := s.write.transact(ctx, func(t tx) error {
		for _, m := range c.Join {
			_, err := t.exec(ctx, `
				INSERT INTO account (name, state, origin, mailbox, tenant, object_id, display_name) VALUES (?, '{"code":"new"}', 'directory', ?, ?, ?, ?)
				ON CONFLICT DO NOTHING`, m.Name, m.Mailbox, m.Tenant, m.ObjectID, m.DisplayName)
			if err != nil {
				return err
			}
		}
		for _, m := range c.Change {
			_, err := t.exec(ctx, `UPDATE account SET mailbox = ?, display_name = ?, departed = ? WHERE id = ? AND origin = 'directory'`, m.Mailbox, m.DisplayName, unix(m.Left), m.ID)
			if err != nil {
				return err
			}
		}
		for _, o := range c.Out {
			_, err := t.exec(ctx, `
				INSERT INTO left_out (tenant, object_id, address, display_name, reason) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (tenant, object_id) DO UPDATE SET address = excluded.address, display_name = excluded.display_name, reason = excluded.reason`,
				o.Tenant, o.ObjectID, o.Address, o.DisplayName, string(o.Reason))
			if err != nil {
				return err
			}
		}
		for _, o := range c.In {
			if _, err := t.exec(ctx, `DELETE FROM left_out WHERE tenant = ? AND object_id = ?`, o.Tenant, o.ObjectID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("change members: %w", err)
	}
	return nil
}

func (s *Store) RemoveDeparted(ctx context.Context, before time.Time, limit int) (names []string, err error) {
	type gone struct {
		id   int64
		name string
	}
	rows, err := s.read.query(ctx, `SELECT id, name FROM account WHERE departed IS NOT NULL AND departed <= ? AND origin = 'directory' ORDER BY departed, id LIMIT ?`, before.Unix(), limit)
	list, err := collect(rows, err, func(r *sql.Rows) (g gone, err error) { err = r.Scan(&g.id, &g.name); return g, err })
	if err != nil {
		return nil, fmt.Errorf("list departed members: %w", err)
	}
	for _, g := range list {
		removed := false
		// One a transaction: a mailbox has thousands of rows, and nobody is to wait for those of all.
		err := s.write.transact(ctx, func(t tx) error {
			res, err := t.exec(ctx, `DELETE FROM account WHERE id = ? AND departed IS NOT NULL AND departed <= ?`, g.id, before.Unix())
			if err != nil {
				return err
			}
			if n, err := res.RowsAffected(); err != nil || n == 0 {
				return err // has come back
			}
			removed = true
			return removeRest(ctx, t, g.id, g.name)
		})
		if err != nil {
			return names, fmt.Errorf("remove account %s: %w", g.name, err)
		}
		if removed {
			names = append(names, g.name)
		}
	}
	return names, nil
}

func (s *Store) TakenNames(ctx context.Context) ([]string, error) {
	rows, err := s.read.query(ctx, `SELECT name FROM account`)
	list, err := collect(rows, err, func(r *sql.Rows) (name string, err error) { err = r.Scan(&name); return name, err })
	if err != nil {
		return nil, fmt.Errorf("list names of accounts: %w", err)
	}
	return list, nil
}

func (s *Store) DirectoryStatus(ctx context.Context) (d bridge.DirectoryStatus, err error) {
	value, err := s.meta(ctx, metaDirectory)
	if errors.Is(err, bridge.ErrNotFound) {
		return d, nil
	}
	if err == nil {
		err = json.Unmarshal(value, &d)
	}
	if err != nil {
		return d, fmt.Errorf("directory status: %w", err)
	}
	return d, nil
}

func (s *Store) SetDirectoryStatus(ctx context.Context, d bridge.DirectoryStatus) error {
	value, err := json.Marshal(d)
	if err == nil {
		err = s.setMeta(ctx, metaDirectory, value)
	}
	if err != nil {
		return fmt.Errorf("set directory status: %w", err)
	}
	return nil
}
