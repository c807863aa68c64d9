package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"outbridge/bridge"
)

const setAudit = `UPDATE calendar SET audited = ?, audit_found = ?, audit_again = ?, audit_due = ?, audit_compared = ? WHERE id = ?`

func (s *Store) SetAudit(ctx context.Context, id bridge.CalendarID, a bridge.Audit) error {
	if _, err := s.write.exec(ctx, setAudit, unix(a.At), a.Found, a.Again, unix(a.Due), a.Compared, id); err != nil {
		return fmt.Errorf("set audit: %w", err)
	}
	return nil
}

func (s *Store) KeepAudit(ctx context.Context, id bridge.CalendarID, a bridge.Audit, list []bridge.Difference) error {
	err := s.write.transact(ctx, func(t tx) error {
		if err := t.lockCalendar(ctx, id); err != nil {
			return err
		}
		if _, err := t.exec(ctx, setAudit, unix(a.At), a.Found, a.Again, unix(a.Due), a.Compared, id); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM audit_difference WHERE calendar_id = ?`, id); err != nil {
			return err
		}
		for _, d := range list {
			if _, err := t.exec(ctx, `
				INSERT INTO audit_difference (calendar_id, series, subject, outlook_start, outlook_end, here_start, here_end)
				VALUES (?, ?, ?, ?, ?, ?, ?)`, id, d.Series, d.Subject,
				unix(d.Outlook.Start), unix(d.Outlook.End), unix(d.Here.Start), unix(d.Here.End)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep audit: %w", err)
	}
	return nil
}

func (s *Store) AskAudit(ctx context.Context, id bridge.AccountID, at time.Time) error {
	if _, err := s.write.exec(ctx, `UPDATE calendar SET audit_due = ? WHERE account_id = ?`, unix(at), id); err != nil {
		return fmt.Errorf("ask for an audit: %w", err)
	}
	return nil
}

// Differences takes the subject from the mirror where the audit did not know it: what was lacking has been read since.
func (s *Store) Differences(ctx context.Context, id bridge.CalendarID) ([]bridge.Difference, error) {
	rows, err := s.read.query(ctx, `
		SELECT d.series, coalesce(nullif(d.subject, ''), event.subject, ''), outlook_start, outlook_end, here_start, here_end
		FROM audit_difference d LEFT JOIN event ON event.calendar_id = d.calendar_id AND event.id = d.series
		WHERE d.calendar_id = ? ORDER BY coalesce(outlook_start, here_start), d.id`, id)
	list, err := collect(rows, err, func(r *sql.Rows) (d bridge.Difference, err error) {
		err = r.Scan(&d.Series, &d.Subject, unixTime{&d.Outlook.Start}, unixTime{&d.Outlook.End}, unixTime{&d.Here.Start}, unixTime{&d.Here.End})
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("list differences: %w", err)
	}
	return list, nil
}
