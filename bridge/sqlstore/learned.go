package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"outbridge/bridge"
)

func (s *Store) Learned(ctx context.Context, id bridge.AccountID) (l bridge.Learned, err error) {
	var text string
	err = s.read.row(ctx, `SELECT learned FROM learned WHERE account_id = ?`, id).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &l)
	}
	if err != nil {
		return bridge.Learned{}, fmt.Errorf("what was learned: %w", err)
	}
	return l, nil
}

func (s *Store) SetLearned(ctx context.Context, id bridge.AccountID, l bridge.Learned) error {
	text, err := json.Marshal(l)
	if err == nil {
		_, err = s.write.exec(ctx, `INSERT INTO learned (account_id, learned) VALUES (?, ?) ON CONFLICT (account_id) DO UPDATE SET learned = excluded.learned`, id, string(text))
	}
	if err != nil {
		return fmt.Errorf("keep what was learned: %w", err)
	}
	return nil
}
