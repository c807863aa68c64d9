package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"time"
)

const (
	metaPulse = "pulse/" // and a machine
	pulseKept = 24 * time.Hour
)

// SetPulse keeps what a machine tells the others, in place of what it told before, and forgets machines that have told nothing for a day.
func (s *Store) SetPulse(ctx context.Context, machine string, content []byte, at time.Time) error {
	err := s.write.relaxed(ctx, func(t tx) error {
		if _, err := t.exec(ctx, putMeta, metaPulse+machine, append(fmt.Appendf(nil, "%020d ", at.Unix()), content...)); err != nil {
			return err
		}
		_, err := t.exec(ctx, `DELETE FROM meta WHERE key LIKE 'pulse/%' AND value < ?`, fmt.Appendf(nil, "%020d", at.Add(-pulseKept).Unix()))
		return err
	})
	if err != nil {
		return fmt.Errorf("set pulse: %w", err)
	}
	return nil
}

// Pulses are what the machines have told last.
func (s *Store) Pulses(ctx context.Context) ([][]byte, error) {
	rows, err := s.read.query(ctx, `SELECT value FROM meta WHERE key LIKE 'pulse/%' ORDER BY key`)
	list, err := collect(rows, err, func(r *sql.Rows) (b []byte, err error) {
		err = r.Scan(&b)
		_, b, _ = bytes.Cut(b, []byte(" "))
		return b, err
	})
	if err != nil {
		return nil, fmt.Errorf("pulses: %w", err)
	}
	return list, nil
}
