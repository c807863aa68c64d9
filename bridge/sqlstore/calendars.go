package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

const calendarColumns = `id, account_id, mailbox, graph_id, name, display_name, color, can_edit, is_default, owner, position,
	cursor, phase, pending, seq, round, opened, window_start, window_end, checked, good, fault, way, audited, audit_found, audit_again, audit_due, audit_compared,
	rendering, written, fenced, versioned, online_meetings, epoch, rev, modified`

func scanCalendar(row scanner) (bridge.Calendar, error) {
	var r calendarRow
	err := row.Scan(r.columns()...)
	return r.calendar(), err
}

// calendarRow is what calendarColumns are read into.
type calendarRow struct {
	bridge.Calendar
	graphID string
}

func (c *calendarRow) columns() []any {
	return []any{&c.ID, &c.Account, &c.Mailbox, &c.graphID, &c.Name, &c.DisplayName, &c.Color, &c.CanEdit, &c.Default, &c.Owner, &c.Order,
		&c.Cursor, &c.Phase, &c.Pending, &c.Seq, &c.Round, &c.Opened, unixTime{&c.Window.Start}, unixTime{&c.Window.End}, unixTime{&c.Checked},
		unixTime{&c.Good}, fault{&c.Fault}, &c.Way, unixTime{&c.Audit.At}, &c.Audit.Found, &c.Audit.Again, unixTime{&c.Audit.Due}, &c.Audit.Compared, &c.Rendering,
		&c.Written, unixTime{&c.Fenced}, &c.Versioned, &c.OnlineMeetings, &c.Epoch, &c.Rev, unixTime{&c.Modified}}
}

func (c *calendarRow) calendar() bridge.Calendar {
	c.GraphID = graph.CalendarID(strings.TrimPrefix(c.graphID, graphPrefix(c.Calendar)))
	return c.Calendar
}

// graphPrefix sets the ids of another mailbox's calendars apart from those of the account's own.
func graphPrefix(c bridge.Calendar) string {
	if c.Mailbox == "" {
		return ""
	}
	return c.Mailbox + " "
}

// place is where a calendar is in Graph.
type place struct {
	mailbox string
	id      graph.CalendarID
}

func placeOf(c bridge.Calendar) place { return place{c.Mailbox, c.GraphID} }

func (s *Store) Calendars(ctx context.Context, id bridge.AccountID) ([]bridge.Calendar, error) {
	if list, ok := requestOf(ctx).calendars(id); ok {
		return list, nil
	}
	rows, err := s.read.query(ctx, `SELECT `+calendarColumns+` FROM calendar WHERE account_id = ? ORDER BY position, id`, id)
	list, err := collect(rows, err, func(r *sql.Rows) (bridge.Calendar, error) { return scanCalendar(r) })
	if err != nil {
		return nil, fmt.Errorf("list calendars: %w", err)
	}
	return list, nil
}

func (s *Store) Calendar(ctx context.Context, id bridge.CalendarID) (bridge.Calendar, error) {
	c, err := scanCalendar(s.read.row(ctx, `SELECT `+calendarColumns+` FROM calendar WHERE id = ?`, id))
	if err != nil {
		return c, fmt.Errorf("calendar %d: %w", id, notFound(err))
	}
	return c, nil
}

type userCalendarKey struct{ account, name string }

func (s *Store) UserCalendar(ctx context.Context, account, name string) (bridge.Calendar, error) {
	c, err := cached(ctx, s.cache, &s.cache.calendars, userCalendarKey{account, name}, func() (bridge.Calendar, error) {
		if c, ok := requestOf(ctx).calendar(account, name); ok {
			return c, nil
		}
		return scanCalendar(s.read.row(ctx, `
			SELECT `+calendarColumns+` FROM calendar WHERE account_id = (SELECT id FROM account WHERE name = ?) AND name = ?`, account, name))
	})
	if err != nil {
		return c, fmt.Errorf("calendar %s of %s: %w", name, account, notFound(err))
	}
	return c, nil
}

func (s *Store) SetCalendars(ctx context.Context, id bridge.AccountID, list []bridge.Calendar) (bool, error) {
	have, err := s.Calendars(ctx, id)
	if err != nil {
		return false, err
	}
	if sameCalendars(have, list) {
		return false, nil
	}
	err = s.write.transact(ctx, func(t tx) error {
		if err := t.lockAccount(ctx, id); err != nil {
			return err
		}
		rows, err := t.query(ctx, `SELECT `+calendarColumns+` FROM calendar WHERE account_id = ? ORDER BY id FOR NO KEY UPDATE`, id)
		have, err := collect(rows, err, func(r *sql.Rows) (bridge.Calendar, error) { return scanCalendar(r) })
		if err != nil {
			return err
		}
		known := map[place]bridge.Calendar{}
		names := map[string]bool{}
		for _, c := range have {
			known[placeOf(c)] = c
			names[c.Name] = true
		}
		for _, c := range list {
			if k, ok := known[placeOf(c)]; ok {
				delete(known, placeOf(c))
				_, err := t.exec(ctx, `
					UPDATE calendar SET display_name = ?, color = ?, can_edit = ?, is_default = ?, owner = ?, position = ?, online_meetings = ? WHERE id = ?`,
					c.DisplayName, c.Color, c.CanEdit, c.Default, c.Owner, c.Order, c.OnlineMeetings, k.ID)
				if err != nil {
					return err
				}
				continue
			}
			name := unique(c.Name, names)
			if err := forgetProperties(ctx, t, id, name); err != nil { // of one that had the name before
				return err
			}
			_, err := t.exec(ctx, `
				INSERT INTO calendar (account_id, mailbox, graph_id, name, display_name, color, can_edit, is_default, owner, position, online_meetings, epoch, modified)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				id, c.Mailbox, graphPrefix(c)+string(c.GraphID), name, c.DisplayName, c.Color, c.CanEdit, c.Default, c.Owner, c.Order, c.OnlineMeetings,
				strings.ToLower(rand.Text()), unix(c.Modified))
			if err != nil {
				return err
			}
		}
		for _, c := range known {
			_, err := t.exec(ctx, `
				INSERT INTO past (account_id, uid, sequence, stamp)
				SELECT ?1, uid, max(sequence), max(stamp) FROM object WHERE calendar_id = ?2 GROUP BY uid
				ON CONFLICT (account_id, uid) DO UPDATE SET
					sequence = CASE WHEN excluded.sequence > past.sequence THEN excluded.sequence ELSE past.sequence END,
					stamp = CASE WHEN excluded.stamp > past.stamp THEN excluded.stamp ELSE past.stamp END`, id, c.ID)
			if err != nil {
				return err
			}
			if _, err := t.exec(ctx, `DELETE FROM calendar WHERE id = ?`, c.ID); err != nil {
				return err
			}
			if err := forgetProperties(ctx, t, id, c.Name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("set calendars: %w", err)
	}
	return true, nil
}

// forgetProperties removes what clients have set of a calendar of the account.
func forgetProperties(ctx context.Context, t tx, id bridge.AccountID, calendar string) error {
	var user string
	if err := t.row(ctx, `SELECT name FROM account WHERE id = ?`, id).Scan(&user); err != nil {
		return err
	}
	_, err := t.exec(ctx, `DELETE FROM property WHERE user = ? AND path = ?`, user, bridge.PropertyPath(user, calendar))
	return err
}

func sameCalendars(have, list []bridge.Calendar) bool {
	if len(have) != len(list) {
		return false
	}
	known := map[place]bridge.Calendar{}
	for _, c := range have {
		known[placeOf(c)] = c
	}
	for _, c := range list {
		k, ok := known[placeOf(c)]
		if !ok || k.DisplayName != c.DisplayName || k.Color != c.Color || k.CanEdit != c.CanEdit || k.Default != c.Default ||
			k.Owner != c.Owner || k.Order != c.Order || k.OnlineMeetings != c.OnlineMeetings {
			return false
		}
	}
	return true
}

// unique makes name one that taken does not have, and takes it.
func unique(name string, taken map[string]bool) string {
	n := name
	for i := 2; taken[n]; i++ {
		n = fmt.Sprintf("%s-%d", name, i)
	}
	taken[n] = true
	return n
}

func (s *Store) SetGood(ctx context.Context, id bridge.CalendarID, seq int64, link string, at time.Time) error {
	err := s.write.transact(ctx, func(t tx) error {
		_, err := t.exec(ctx, `
			UPDATE calendar SET good = ?3, fault = '', checked = ?3, cursor = CASE WHEN ?4 <> '' AND seq = ?2 THEN ?4 ELSE cursor END
			WHERE id = ?1`, id, seq, unix(at), link)
		return errors.Join(err, endFailing(ctx, t, id, at))
	})
	if err != nil {
		return fmt.Errorf("set good: %w", err)
	}
	return nil
}

func (s *Store) SetWay(ctx context.Context, id bridge.CalendarID, way string) error {
	if _, err := s.write.exec(ctx, `UPDATE calendar SET way = ? WHERE id = ?`, way, id); err != nil {
		return fmt.Errorf("set way: %w", err)
	}
	return nil
}

func (s *Store) SetFault(ctx context.Context, id bridge.CalendarID, f bridge.Fault, at time.Time) error {
	text, err := faultText(f)
	if err == nil {
		err = s.write.transact(ctx, func(t tx) error {
			res, err := t.exec(ctx, `UPDATE calendar SET fault = ?2 WHERE id = ?1 AND fault <> ?2`, id, text)
			if err != nil {
				return err
			}
			// A round that fails as the one before did writes nothing.
			if n, err := res.RowsAffected(); err != nil || n == 0 {
				return err
			}
			return keepFailing(ctx, t, id, f, at)
		})
	}
	if err != nil {
		return fmt.Errorf("set fault: %w", err)
	}
	return nil
}

func (s *Store) Counts(ctx context.Context, id bridge.CalendarID) (bridge.Counts, error) {
	var c bridge.Counts
	err := s.read.row(ctx, `
		WITH unread AS (SELECT id FROM series INDEXED BY series_unread WHERE calendar_id = ?1 AND unread = 1),
			unmastered AS (SELECT count(*) AS n FROM unread WHERE (EXISTS (SELECT 1 FROM event WHERE calendar_id = ?1 AND series = unread.id)
					OR EXISTS (SELECT 1 FROM chunk WHERE calendar_id = ?1 AND series = unread.id))
				AND NOT EXISTS (SELECT 1 FROM event WHERE calendar_id = ?1 AND event.id = unread.id))
		SELECT (SELECT count(*) FROM event WHERE calendar_id = ?1 AND kind IN ('single', 'master', 'orphan')) + (SELECT n FROM unmastered),
		       (SELECT count(*) FROM event WHERE calendar_id = ?1 AND kind = 'master') + (SELECT n FROM unmastered),
		       (SELECT count(*) FROM object WHERE calendar_id = ?1 AND deleted = 0),
		       (SELECT coalesce(sum(loss_count), 0) FROM series WHERE calendar_id = ?1),
		       (SELECT count(*) FROM series WHERE calendar_id = ?1 AND losses LIKE '%"field":"recurrence"%'),
		       (SELECT count(*) FROM unread)`, id).
		Scan(&c.Events, &c.Series, &c.Objects, &c.Losses, &c.Adjusted, &c.Unread)
	if err != nil {
		return c, fmt.Errorf("counts: %w", err)
	}
	return c, nil
}

func (s *Store) Losses(ctx context.Context, id bridge.CalendarID, limit int) ([]convert.Loss, error) {
	rows, err := s.read.query(ctx, `SELECT losses FROM series WHERE calendar_id = ? AND loss_count > 0 ORDER BY id LIMIT ?`, id, limit)
	lists, err := collect(rows, err, func(r *sql.Rows) (list []convert.Loss, err error) {
		var b []byte
		if err = r.Scan(&b); err == nil {
			err = json.Unmarshal(b, &list)
		}
		return list, err
	})
	if err != nil {
		return nil, fmt.Errorf("list losses: %w", err)
	}
	var all []convert.Loss
	for _, l := range lists {
		all = append(all, l...)
	}
	return all[:min(len(all), limit)], nil
}
