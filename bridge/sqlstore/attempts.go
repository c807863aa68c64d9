package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"outbridge/bridge"
)

var errLimit = errors.New("too many attempts")

// Attempt keeps one time for each name, at which it would be as if there had been no attempt (a leaky bucket).
func (s *Store) Attempt(ctx context.Context, limits ...bridge.Limit) (wait time.Duration, err error) {
	type limit struct {
		bridge.Limit
		hash []byte
	}
	all := make([]limit, len(limits))
	for i, l := range limits {
		all[i] = limit{l, s.key.digest("attempt", l.Name)}
	}
	slices.SortFunc(all, func(a, b limit) int { return bytes.Compare(a.hash, b.hash) }) // two that lock rows do so in one order
	err = s.write.transact(ctx, func(t tx) error {
		wait = 0
		for _, l := range all {
			clock, now := s.clock("?1")
			every, spare := l.Every.Milliseconds(), (time.Duration(l.Burst-1) * l.Every).Milliseconds()
			var next int64
			err := t.row(ctx, `
				INSERT INTO attempt (hash, next) VALUES (?2, `+clock+` + ?3)
				ON CONFLICT (hash) DO UPDATE SET next = CASE WHEN attempt.next > excluded.next - ?3 THEN attempt.next ELSE excluded.next - ?3 END + ?3
				WHERE attempt.next <= excluded.next - ?3 + ?4 RETURNING next`, now, l.hash, every, spare).Scan(&next)
			if errors.Is(err, sql.ErrNoRows) {
				var left int64
				err = t.row(ctx, `SELECT next - `+clock+` FROM attempt WHERE hash = ?2`, now, l.hash).Scan(&left)
				wait = max(wait, time.Duration(left-spare)*time.Millisecond, time.Millisecond)
			}
			if err != nil {
				return err
			}
		}
		if wait > 0 {
			return errLimit // and nothing is counted
		}
		clock, now := s.clock("?1")
		_, err := t.exec(ctx, `DELETE FROM attempt WHERE next < `+clock, now)
		return err
	})
	if err != nil && !errors.Is(err, errLimit) {
		return 0, fmt.Errorf("count an attempt: %w", err)
	}
	return wait, nil
}

func (s *Store) Forgive(ctx context.Context, name string) error {
	if _, err := s.write.exec(ctx, `DELETE FROM attempt WHERE hash = ?`, s.key.digest("attempt", name)); err != nil {
		return fmt.Errorf("forgive attempts: %w", err)
	}
	return nil
}
