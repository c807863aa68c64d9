package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"outbridge/bridge"
)

// clock is the time that leases are kept by, in milliseconds, as an expression with one argument. All processes that use an
// SQLite file have the same clock, so it is this process's; of machines that use a server, the server's alone counts.
func (s *Store) clock(placeholder string) (expression string, argument any) {
	if s.write.server != nil {
		return `CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)`, nil
	}
	return `CAST(` + placeholder + ` AS BIGINT)`, time.Now().UnixMilli()
}

func (s *Store) TakeLease(ctx context.Context, name, owner string, life time.Duration) (taken bool, err error) {
	clock, now := s.clock("?1")
	// One that ends later than any can, from before a clock was set back, counts as over.
	res, err := s.write.exec(ctx, `
		INSERT INTO lease (name, owner, until) VALUES (?2, ?3, `+clock+` + ?4)
		ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until
		WHERE lease.owner = excluded.owner OR lease.until <= excluded.until - ?4 OR lease.until > excluded.until - ?4 + ?5`,
		now, name, owner, life.Milliseconds(), longestLease.Milliseconds())
	if err != nil {
		return false, fmt.Errorf("take lease %s: %w", name, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// longestLease bounds what a lease may be taken for.
const longestLease = time.Hour

func (s *Store) LeaseOwner(ctx context.Context, name string) (owner string, err error) {
	clock, now := s.clock("?1")
	err = s.read.row(ctx, `SELECT coalesce(max(owner), '') FROM lease WHERE name = ?2 AND until > `+clock, now, name).Scan(&owner)
	if err != nil {
		return "", fmt.Errorf("find lease %s: %w", name, err)
	}
	return owner, nil
}

func (s *Store) LeaseLeft(ctx context.Context, name string) (time.Duration, error) {
	clock, now := s.clock("?1")
	var left int64
	err := s.read.row(ctx, `SELECT coalesce(max(until), 0) - n.now FROM (SELECT `+clock+` AS now) AS n LEFT JOIN lease ON name = ?2 GROUP BY n.now`, now, name).Scan(&left)
	if err != nil {
		return 0, fmt.Errorf("find lease %s: %w", name, err)
	}
	return max(0, time.Duration(left)*time.Millisecond), nil
}

func (s *Store) DropLease(ctx context.Context, name, owner string) error {
	if _, err := s.write.exec(ctx, `DELETE FROM lease WHERE name = ? AND owner = ?`, name, owner); err != nil {
		return fmt.Errorf("drop lease %s: %w", name, err)
	}
	return nil
}

func (s *Store) DropLeases(ctx context.Context, owner string) error {
	if _, err := s.write.exec(ctx, `DELETE FROM lease WHERE owner = ?`, owner); err != nil {
		return fmt.Errorf("drop leases: %w", err)
	}
	return nil
}

func (s *Store) Turn(ctx context.Context, account string) (t bridge.Turn, err error) {
	clock, now := s.clock("?1")
	var at, reasons int64
	err = s.read.row(ctx, `
		SELECT n.now, coalesce((SELECT owner FROM lease WHERE name = ?2 AND until > n.now), ''), coalesce((SELECT reasons FROM nudge WHERE account = ?3), 0)
		FROM (SELECT `+clock+` AS now) AS n`, now, bridge.RoundLease(account), account).Scan(&at, &t.Owner, &reasons)
	if err != nil {
		return t, fmt.Errorf("turn of %s: %w", account, err)
	}
	t.Now = time.UnixMilli(at).UTC()
	t.Nudge, t.Taken = bridge.Nudge(reasons&(1<<nudgeTaken-1)), bridge.Nudge(reasons>>nudgeTaken)
	return t, nil
}

// nudgeTaken is how many bits higher nudge.reasons keeps the reasons that a round has taken.
const nudgeTaken = 16

func (s *Store) AddNudge(ctx context.Context, account string, n bridge.Nudge) error {
	_, err := s.write.exec(ctx, `INSERT INTO nudge (account, reasons) VALUES (?, ?) ON CONFLICT (account) DO UPDATE SET reasons = nudge.reasons | excluded.reasons`,
		account, int64(n))
	if err != nil {
		return fmt.Errorf("nudge %s: %w", account, err)
	}
	return nil
}

func (s *Store) TakeNudge(ctx context.Context, account string) (bridge.Nudge, error) {
	rows, err := s.write.query(ctx, `UPDATE nudge SET reasons = ((reasons | (reasons >> 16)) & 65535) << 16 WHERE account = ? RETURNING reasons >> 16`, account)
	list, err := collect(rows, err, func(r *sql.Rows) (n bridge.Nudge, err error) {
		err = r.Scan(&n)
		return n, err
	})
	if err != nil {
		return 0, fmt.Errorf("take nudge of %s: %w", account, err)
	}
	var all bridge.Nudge
	for _, n := range list {
		all |= n
	}
	return all, nil
}

func (s *Store) DropNudge(ctx context.Context, account string) error {
	res, err := s.write.exec(ctx, `DELETE FROM nudge WHERE account = ? AND (reasons & 65535) = 0`, account)
	if err == nil {
		var gone int64
		if gone, err = res.RowsAffected(); err == nil && gone == 0 { // others wait
			_, err = s.write.exec(ctx, `UPDATE nudge SET reasons = reasons & 65535 WHERE account = ?`, account)
		}
	}
	if err != nil {
		return fmt.Errorf("drop nudge of %s: %w", account, err)
	}
	return nil
}

// machineKept is how long a machine is remembered that is not there any more.
const machineKept = 24 * time.Hour

func (s *Store) SeeMachine(ctx context.Context, m bridge.Machine) (now time.Time, err error) {
	clock, arg := s.clock("?1")
	var at int64
	err = s.write.transact(ctx, func(t tx) error {
		if err := t.row(ctx, `
			INSERT INTO machine (id, name, version, schema, address, since, seen) SELECT ?2, ?3, ?4, ?5, ?6, n.now, n.now FROM (SELECT `+clock+` AS now) AS n WHERE true
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = excluded.version, schema = excluded.schema, address = excluded.address, seen = excluded.seen
			RETURNING seen`, arg, m.ID, m.Name, m.Version, m.Schema, m.Address).Scan(&at); err != nil {
			return err
		}
		_, err := t.exec(ctx, `DELETE FROM machine WHERE seen < ?`, at-machineKept.Milliseconds())
		return err
	})
	if err != nil {
		return now, fmt.Errorf("note this machine: %w", err)
	}
	return time.UnixMilli(at).UTC(), nil
}

func (s *Store) DropMachine(ctx context.Context, id string) error {
	if _, err := s.write.exec(ctx, `DELETE FROM machine WHERE id = ?`, id); err != nil {
		return fmt.Errorf("forget a machine: %w", err)
	}
	return nil
}

func (s *Store) Machines(ctx context.Context) (list []bridge.Machine, now time.Time, err error) {
	clock, arg := s.clock("?1")
	var at int64
	if err := s.read.row(ctx, `SELECT `+clock, arg).Scan(&at); err != nil {
		return nil, now, fmt.Errorf("list machines: %w", err)
	}
	rows, err := s.read.query(ctx, `SELECT id, name, version, schema, address, since, seen FROM machine ORDER BY name, id`)
	list, err = collect(rows, err, func(r *sql.Rows) (m bridge.Machine, err error) {
		var since, seen int64
		err = r.Scan(&m.ID, &m.Name, &m.Version, &m.Schema, &m.Address, &since, &seen)
		m.Since, m.Seen = time.UnixMilli(since).UTC(), time.UnixMilli(seen).UTC()
		return m, err
	})
	if err != nil {
		return nil, now, fmt.Errorf("list machines: %w", err)
	}
	return list, time.UnixMilli(at).UTC(), nil
}
