package sqlstore

import (
	"context"
	"database/sql"
	"encoding/xml"
	"fmt"
)

func (s *Store) Properties(ctx context.Context, user, path string) (map[xml.Name]string, error) {
	type property struct {
		name  xml.Name
		value string
	}
	rows, err := s.read.query(ctx, `SELECT space, local, value FROM property WHERE user = ? AND path = ?`, user, path)
	list, err := collect(rows, err, func(r *sql.Rows) (p property, err error) {
		err = r.Scan(&p.name.Space, &p.name.Local, &p.value)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("list properties: %w", err)
	}
	m := make(map[xml.Name]string, len(list))
	for _, p := range list {
		m[p.name] = p.value
	}
	return m, nil
}

func (s *Store) SetProperties(ctx context.Context, user, path string, set map[xml.Name]string, remove []xml.Name) error {
	err := s.write.transact(ctx, func(t tx) error {
		for _, n := range remove {
			_, err := t.exec(ctx, `DELETE FROM property WHERE user = ? AND path = ? AND space = ? AND local = ?`, user, path, n.Space, n.Local)
			if err != nil {
				return err
			}
		}
		for n, v := range set {
			_, err := t.exec(ctx, `INSERT INTO property (user, path, space, local, value) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (user, path, space, local) DO UPDATE SET value = excluded.value`,
				user, path, n.Space, n.Local, v)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("set properties: %w", err)
	}
	return nil
}
