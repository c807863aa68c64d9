package sqlstore

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"outbridge/bridge"
)

func (s *Store) briefKey(kind, key string) []byte { return s.key.digest("brief/"+kind, key) }

// briefRow is what a value is sealed for, so that it opens under its own key alone.
func briefRow(kind string, hash []byte) string {
	return "brief/" + kind + "/" + hex.EncodeToString(hash)
}

func (s *Store) KeepBrief(ctx context.Context, kind, key string, value []byte, now, expires time.Time) error {
	hash := s.briefKey(kind, key)
	box := s.key.sealed(value, briefRow(kind, hash))
	err := s.write.transact(ctx, func(t tx) error {
		if _, err := t.exec(ctx, `DELETE FROM brief WHERE expires <= ?`, now.Unix()); err != nil {
			return err
		}
		var others int
		if err := t.row(ctx, `SELECT count(*) FROM brief WHERE kind = ? AND hash <> ?`, kind, hash).Scan(&others); err != nil {
			return err
		}
		if others >= bridge.MaxBriefs {
			return bridge.ErrTooMany
		}
		_, err := t.exec(ctx, `INSERT INTO brief (kind, hash, sealed, expires) VALUES (?, ?, ?, ?)
			ON CONFLICT (kind, hash) DO UPDATE SET sealed = excluded.sealed, expires = excluded.expires`, kind, hash, box, expires.Unix())
		return err
	})
	if err != nil {
		return fmt.Errorf("keep %s: %w", kind, err)
	}
	return nil
}

func (s *Store) Brief(ctx context.Context, kind, key string, now time.Time) ([]byte, error) {
	hash := s.briefKey(kind, key)
	return s.openBrief(kind, hash, s.read.row(ctx, `SELECT sealed FROM brief WHERE kind = ? AND hash = ? AND expires > ?`, kind, hash, now.Unix()))
}

func (s *Store) TakeBrief(ctx context.Context, kind, key string, now time.Time) ([]byte, error) {
	hash := s.briefKey(kind, key)
	return s.openBrief(kind, hash, s.write.row(ctx, `DELETE FROM brief WHERE kind = ? AND hash = ? AND expires > ? RETURNING sealed`, kind, hash, now.Unix()))
}

func (s *Store) openBrief(kind string, hash []byte, row scanner) ([]byte, error) {
	var box, value []byte
	err := notFound(row.Scan(&box))
	if err == nil {
		value, err = s.key.open(box, briefRow(kind, hash))
	}
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", kind, err)
	}
	return value, nil
}

func (s *Store) DropBrief(ctx context.Context, kind, key string) error {
	if _, err := s.write.exec(ctx, `DELETE FROM brief WHERE kind = ? AND hash = ?`, kind, s.briefKey(kind, key)); err != nil {
		return fmt.Errorf("drop %s: %w", kind, err)
	}
	return nil
}
