package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"outbridge/bridge"
)

// keepHistory notes what is about to be published: n staged objects, which select, of which so many are tombstones.
func keepHistory(ctx context.Context, t tx, id bridge.CalendarID, which string, args []any, n int64, removed int, at time.Time) error {
	const there = `EXISTS (SELECT 1 FROM object o WHERE o.calendar_id = ?1 AND o.name = staged.name AND o.deleted = 0)`
	var added int
	if err := t.row(ctx, `SELECT count(*) FROM staged WHERE `+which+` AND deleted = 0 AND NOT `+there, args...).Scan(&added); err != nil {
		return err
	}
	rows, err := t.query(ctx, `
		SELECT name, title, CASE WHEN deleted = 1 THEN 'removed' WHEN `+there+` THEN 'changed' ELSE 'added' END
		FROM staged WHERE `+which+fmt.Sprintf(` ORDER BY first_start, name LIMIT %d`, bridge.HistoryEvents), args...)
	events, err := collect(rows, err, func(r *sql.Rows) (e bridge.HistoryEvent, err error) {
		err = r.Scan(&e.Object, &e.Title, &e.What)
		return e, err
	})
	if err != nil {
		return err
	}
	b, err := json.Marshal(events)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, `INSERT INTO history (calendar_id, at, added, changed, removed, events) VALUES (?, ?, ?, ?, ?, ?)`,
		id, at.Unix(), added, int(n)-added-removed, removed, string(b))
	if err != nil {
		return err
	}
	return pruneHistory(ctx, t, id)
}

// keepFailing notes that rounds fail from now on for such a reason, and endFailing that they do not any more.
func keepFailing(ctx context.Context, t tx, id bridge.CalendarID, f bridge.Fault, at time.Time) error {
	var was bridge.Fault
	err := t.row(ctx, `SELECT fault FROM history WHERE calendar_id = ? AND fault <> '' AND until_at IS NULL`, id).Scan(fault{&was})
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	case was.Reason == f.Reason && was.Action == f.Action:
		return nil // what else is said of it may be another each time
	}
	if err := endFailing(ctx, t, id, at); err != nil || f == (bridge.Fault{}) {
		return err
	}
	text, err := faultText(f)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, `INSERT INTO history (calendar_id, at, added, changed, removed, events, fault) VALUES (?, ?, 0, 0, 0, '[]', ?)`, id, at.Unix(), text)
	if err != nil {
		return err
	}
	return pruneHistory(ctx, t, id)
}

func endFailing(ctx context.Context, t tx, id bridge.CalendarID, at time.Time) error {
	_, err := t.exec(ctx, `UPDATE history SET until_at = ? WHERE calendar_id = ? AND fault <> '' AND until_at IS NULL`, at.Unix(), id)
	return err
}

func pruneHistory(ctx context.Context, t tx, id bridge.CalendarID) error {
	_, err := t.exec(ctx, `
		DELETE FROM history WHERE calendar_id = ?1 AND id <= (
			SELECT id FROM history WHERE calendar_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)`, id, bridge.HistoryFew)
	return err
}

func (s *Store) History(ctx context.Context, id bridge.CalendarID, limit int) ([]bridge.History, error) {
	rows, err := s.read.query(ctx, `SELECT at, added, changed, removed, events, fault, until_at FROM history WHERE calendar_id = ? ORDER BY id DESC LIMIT ?`, id, limit)
	list, err := collect(rows, err, func(r *sql.Rows) (h bridge.History, err error) {
		var b []byte
		if err = r.Scan(unixTime{&h.At}, &h.Added, &h.Changed, &h.Removed, &b, fault{&h.Fault}, unixTime{&h.Until}); err == nil {
			err = json.Unmarshal(b, &h.Events)
		}
		return h, err
	})
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	names := map[string]bool{}
	for _, h := range list {
		for _, e := range h.Events {
			names[e.Object] = true
		}
	}
	there, err := s.there(ctx, id, names)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	for _, h := range list {
		for i := range h.Events {
			h.Events[i].Gone = !there[h.Events[i].Object]
		}
	}
	return list, nil
}

// there tells which objects of those names are there.
func (s *Store) there(ctx context.Context, id bridge.CalendarID, names map[string]bool) (map[string]bool, error) {
	var list []string
	for name := range names {
		list = append(list, name)
	}
	rows, err := s.read.query(ctx, `SELECT name FROM object WHERE calendar_id = ? AND deleted = 0 AND name IN list(?)`, id, listOf(list))
	found, err := collect(rows, err, func(r *sql.Rows) (name string, err error) {
		err = r.Scan(&name)
		return name, err
	})
	there := map[string]bool{}
	for _, name := range found {
		there[name] = true
	}
	return there, err
}
