package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

func (s *Store) FileToken(id bridge.CalendarID, event graph.EventID, file graph.AttachmentID) string {
	return hex.EncodeToString(s.key.digest("attachment", fmt.Sprint(id, "\x00", event, "\x00", file))[:20])
}

func (s *Store) Attached(ctx context.Context, id bridge.CalendarID, series ...graph.EventID) ([]bridge.Attached, error) {
	rows, err := s.read.query(ctx, `
		SELECT a.event, a.series, a.state, a.others, coalesce(f.id, ''), coalesce(f.token, ''), coalesce(f.name, ''), coalesce(f.type, ''), coalesce(f.size, 0), coalesce(d.digest, '')
		FROM attached AS a LEFT JOIN attachment AS f ON f.calendar_id = a.calendar_id AND f.event = a.event
			LEFT JOIN attachment_digest AS d ON d.calendar_id = f.calendar_id AND d.id = f.id
		WHERE a.calendar_id = ? AND a.series IN list(?) ORDER BY a.series, a.event, f.position`, id, listOf(series))
	if err != nil {
		return nil, fmt.Errorf("list attachments: %w", err)
	}
	type line struct {
		bridge.Attached
		file bridge.File
	}
	lines, err := collect(rows, nil, func(r *sql.Rows) (l line, err error) {
		err = r.Scan(&l.Event, &l.Series, &l.State, &l.Others, &l.file.ID, &l.file.Token, &l.file.Name, &l.file.Type, &l.file.Size, &l.file.Digest)
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("list attachments: %w", err)
	}
	var list []bridge.Attached
	for _, l := range lines {
		if len(list) == 0 || list[len(list)-1].Event != l.Event {
			list = append(list, l.Attached)
		}
		if l.file.ID != "" {
			last := &list[len(list)-1]
			last.Files = append(last.Files, l.file)
		}
	}
	return list, nil
}

func (s *Store) SetAttached(ctx context.Context, id bridge.CalendarID, seq int64, series graph.EventID, list []bridge.Attached) (int64, error) {
	err := s.write.transact(ctx, func(t tx) error {
		if err := checkSeq(ctx, t, id, seq); err != nil {
			return err
		}
		_, err := t.exec(ctx, `DELETE FROM attachment WHERE calendar_id = ?1 AND event IN (SELECT event FROM attached WHERE calendar_id = ?1 AND series = ?2)`, id, series)
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM attached WHERE calendar_id = ? AND series = ?`, id, series); err != nil {
			return err
		}
		for _, a := range list {
			_, err := t.exec(ctx, `
				INSERT INTO attached (calendar_id, event, series, state, others) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (calendar_id, event) DO UPDATE SET series = excluded.series, state = excluded.state, others = excluded.others`, id, a.Event, series, a.State, a.Others)
			if err != nil {
				return err
			}
			for i, f := range a.Files {
				_, err := t.exec(ctx, `
					INSERT INTO attachment (calendar_id, event, id, token, name, type, size, position) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
					ON CONFLICT (calendar_id, event, id) DO UPDATE SET token = excluded.token, name = excluded.name, type = excluded.type,
						size = excluded.size, position = excluded.position`,
					id, a.Event, f.ID, s.FileToken(id, a.Event, f.ID), f.Name, f.Type, f.Size, i)
				if err != nil {
					return err
				}
			}
		}
		_, err = t.exec(ctx, `UPDATE series SET stage = ? WHERE calendar_id = ? AND id = ? AND stage = ?`, bridge.StageDerive, id, series, bridge.StageClean)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `UPDATE calendar SET seq = seq + 1 WHERE id = ?`, id)
		return err
	})
	if err != nil {
		return seq, fmt.Errorf("set attachments: %w", err)
	}
	return seq + 1, nil
}

func (s *Store) ToAttach(ctx context.Context, id bridge.CalendarID, after graph.EventID, limit int) ([]graph.EventID, error) {
	rows, err := s.read.query(ctx, `SELECT DISTINCT series FROM attached INDEXED BY attached_open WHERE calendar_id = ? AND state = '' AND series > ? ORDER BY series LIMIT ?`, id, after, limit)
	list, err := collect(rows, err, scanID)
	if err != nil {
		return nil, fmt.Errorf("list attachments to read: %w", err)
	}
	return list, nil
}

func (s *Store) AskAttached(ctx context.Context, id bridge.CalendarID) error {
	if _, err := s.write.exec(ctx, `UPDATE attached SET state = '' WHERE calendar_id = ? AND state <> ''`, id); err != nil {
		return fmt.Errorf("ask for attachments: %w", err)
	}
	return nil
}

func (s *Store) SetDigest(ctx context.Context, id bridge.CalendarID, file graph.AttachmentID, digest string) error {
	_, err := s.write.exec(ctx, `INSERT INTO attachment_digest (calendar_id, id, digest) VALUES (?, ?, ?)
		ON CONFLICT (calendar_id, id) DO UPDATE SET digest = excluded.digest`, id, file, digest)
	if err != nil {
		return fmt.Errorf("set digest: %w", err)
	}
	return nil
}

func (s *Store) File(ctx context.Context, account, token string) (p bridge.FilePlace, err error) {
	err = s.read.row(ctx, `
		SELECT c.account_id, f.calendar_id, f.event, f.id, f.token, f.name, f.type, f.size
		FROM attachment AS f JOIN calendar AS c ON c.id = f.calendar_id
		WHERE f.token = ? AND c.account_id = (SELECT id FROM account WHERE name = ?)`, token, account).
		Scan(&p.Account, &p.Calendar, &p.Event, &p.ID, &p.Token, &p.Name, &p.Type, &p.Size)
	if err != nil {
		return p, fmt.Errorf("find attachment: %w", notFound(err))
	}
	return p, nil
}

func (s *Store) IntentFile(ctx context.Context, id int64, digest string) (octets []byte, err error) {
	if err := s.read.row(ctx, `SELECT octets FROM intent_file WHERE intent_id = ? AND digest = ?`, id, digest).Scan(&octets); err != nil {
		return nil, fmt.Errorf("find file of intent %d: %w", id, notFound(err))
	}
	return octets, nil
}
