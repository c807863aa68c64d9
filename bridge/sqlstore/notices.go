package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"outbridge/bridge"
)

func (s *Store) Notices(ctx context.Context) ([]bridge.Notice, []bridge.NoticeMessage, error) {
	rows, err := s.read.query(ctx, `SELECT content FROM notice ORDER BY key`)
	list, err := collect(rows, err, func(r *sql.Rows) (n bridge.Notice, err error) {
		var b []byte
		if err = r.Scan(&b); err == nil {
			err = json.Unmarshal(b, &n)
		}
		return n, err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("notices: %w", err)
	}
	rows, err = s.read.query(ctx, `SELECT id, target, content, more, created, failures, not_before FROM notice_message ORDER BY id`)
	messages, err := collect(rows, err, func(r *sql.Rows) (m bridge.NoticeMessage, err error) {
		var b []byte
		err = r.Scan(&m.ID, &m.Target, &b, &m.More, unixTime{&m.Created}, &m.Failures, unixTime{&m.NotBefore})
		if err == nil {
			err = json.Unmarshal(b, &m.News)
		}
		return m, err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("messages: %w", err)
	}
	return list, messages, nil
}

func (s *Store) SetNotices(ctx context.Context, list []bridge.Notice, messages []bridge.NoticeMessage) error {
	err := s.write.transact(ctx, func(t tx) error {
		if t.db.server != nil {
			if _, err := t.ExecContext(ctx, `LOCK TABLE notice IN SHARE ROW EXCLUSIVE MODE`); err != nil {
				return err
			}
		}
		for _, table := range []string{"notice", "notice_message"} {
			if _, err := t.exec(ctx, `DELETE FROM `+table); err != nil {
				return err
			}
		}
		for _, n := range list {
			b, err := json.Marshal(n)
			if err == nil {
				_, err = t.exec(ctx, `INSERT INTO notice (key, content) VALUES (?, ?)`, n.Key, string(b))
			}
			if err != nil {
				return err
			}
		}
		for _, m := range messages {
			b, err := json.Marshal(m.News)
			if err == nil {
				columns, values := `target, content, more, created, failures, not_before`, []any{m.Target, string(b), m.More, unix(m.Created), m.Failures, unix(m.NotBefore)}
				places := `?, ?, ?, ?, ?, ?`
				if m.ID != 0 {
					columns, places, values = columns+`, id`, places+`, ?`, append(values, m.ID)
				}
				_, err = t.exec(ctx, `INSERT INTO notice_message (`+columns+`) VALUES (`+places+`)`, values...)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("set notices: %w", err)
	}
	return nil
}

// noticeRow is what the URL of a target is sealed for.
func noticeRow(id string) string { return "notice/" + id }

func (s *Store) NoticeTargetID(url string) string {
	return hex.EncodeToString(s.key.digest("notice", url)[:8])
}

func (s *Store) NoticeTargets(ctx context.Context) ([]bridge.NoticeTarget, error) {
	rows, err := s.read.query(ctx, `SELECT id, url FROM notice_target ORDER BY created, id`)
	list, err := collect(rows, err, func(r *sql.Rows) (t bridge.NoticeTarget, err error) {
		var box []byte
		if err = r.Scan(&t.ID, &box); err != nil {
			return t, err
		}
		plain, err := s.key.open(box, noticeRow(t.ID))
		t.URL, t.Language, _ = strings.Cut(string(plain), languageMark)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("targets of notices: %w", err)
	}
	return list, nil
}

// languageMark is between the URL of a target and its language, where it has one. No URL has it.
const languageMark = "\n"

func (s *Store) AddNoticeTarget(ctx context.Context, url, language string, at time.Time) (string, error) {
	id, plain := s.NoticeTargetID(url), url
	if language != "" {
		plain += languageMark + language
	}
	_, err := s.write.exec(ctx, `INSERT INTO notice_target (id, url, created) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET url = excluded.url`,
		id, s.key.sealed([]byte(plain), noticeRow(id)), at.Unix())
	if err != nil {
		return "", fmt.Errorf("add target of notices: %w", err)
	}
	return id, nil
}

func (s *Store) RemoveNoticeTarget(ctx context.Context, id string) error {
	err := s.write.transact(ctx, func(t tx) error {
		res, err := t.exec(ctx, `DELETE FROM notice_target WHERE id = ?`, id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, bridge.ErrNotFound)
		}
		_, err = t.exec(ctx, `DELETE FROM notice_delivery WHERE target = ?`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove target of notices: %w", err)
	}
	return nil
}

func (s *Store) NoticeDeliveries(ctx context.Context) (map[string]bridge.NoticeDelivery, error) {
	type delivery struct {
		target string
		bridge.NoticeDelivery
	}
	rows, err := s.read.query(ctx, `SELECT target, content FROM notice_delivery`)
	list, err := collect(rows, err, func(r *sql.Rows) (d delivery, err error) {
		var b []byte
		if err = r.Scan(&d.target, &b); err == nil {
			err = json.Unmarshal(b, &d.NoticeDelivery)
		}
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("deliveries of notices: %w", err)
	}
	all := map[string]bridge.NoticeDelivery{}
	for _, d := range list {
		all[d.target] = d.NoticeDelivery
	}
	return all, nil
}

func (s *Store) SetNoticeDelivery(ctx context.Context, id string, d bridge.NoticeDelivery) error {
	b, err := json.Marshal(d)
	if err == nil {
		_, err = s.write.exec(ctx, `INSERT INTO notice_delivery (target, content) VALUES (?, ?) ON CONFLICT (target) DO UPDATE SET content = excluded.content`, id, string(b))
	}
	if err != nil {
		return fmt.Errorf("set delivery of a notice: %w", err)
	}
	return nil
}

func (s *Store) SetSignedIn(ctx context.Context, id bridge.AccountID, at time.Time) error {
	if _, err := s.write.exec(ctx, `UPDATE account SET signed_in = ? WHERE id = ?`, unix(at), id); err != nil {
		return fmt.Errorf("set time of a sign-in: %w", err)
	}
	return nil
}

func (s *Store) SetSignInLife(ctx context.Context, id bridge.AccountID, life time.Duration) error {
	_, err := s.write.exec(ctx, `UPDATE account SET sign_in_life = ?2 WHERE id = ?1 AND sign_in_life <> ?2`, id, int64(life.Seconds()))
	if err != nil {
		return fmt.Errorf("set life of a sign-in: %w", err)
	}
	return nil
}
