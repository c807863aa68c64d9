package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"outbridge/bridge"
)

func (s *Store) WriteHold(ctx context.Context, id bridge.AccountID) (h bridge.WriteHold, err error) {
	err = s.read.row(ctx, `SELECT since, confirmed FROM write_hold WHERE account_id = ?`, id).Scan(unixTime{&h.Since}, unixTime{&h.Confirmed})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return h, fmt.Errorf("hold of writes: %w", err)
	}
	return h, nil
}

func (s *Store) SetWriteHold(ctx context.Context, id bridge.AccountID, h bridge.WriteHold) error {
	_, err := s.write.exec(ctx, `
		INSERT INTO write_hold (account_id, since, confirmed) VALUES (?, ?, ?)
		ON CONFLICT (account_id) DO UPDATE SET since = excluded.since, confirmed = excluded.confirmed`, id, unix(h.Since), unix(h.Confirmed))
	if err != nil {
		return fmt.Errorf("set hold of writes: %w", err)
	}
	return nil
}
