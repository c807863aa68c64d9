package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

const nameColumns = `calendar_id, object, series, uid, alias, gone`

func scanName(row scanner) (n bridge.Name, err error) {
	err = row.Scan(&n.Calendar, &n.Object, &n.Series, &n.UID, &n.Alias, unixTime{&n.Gone})
	return n, err
}

func (s *Store) Named(ctx context.Context, id bridge.CalendarID, object string) (bridge.Name, error) {
	n, err := scanName(s.read.row(ctx, `SELECT `+nameColumns+` FROM name WHERE calendar_id = ? AND object = ?`, id, object))
	if err != nil {
		return n, fmt.Errorf("find name: %w", notFound(err))
	}
	return n, nil
}

func (s *Store) Names(ctx context.Context, id bridge.CalendarID, series ...graph.EventID) ([]bridge.Name, error) {
	rows, err := s.read.query(ctx, `
		SELECT `+nameColumns+` FROM name WHERE calendar_id = ? AND series IN list(?) ORDER BY series, alias, object`,
		id, listOf(series))
	list, err := collect(rows, err, func(r *sql.Rows) (bridge.Name, error) { return scanName(r) })
	if err != nil {
		return nil, fmt.Errorf("list names: %w", err)
	}
	return list, nil
}

func (s *Store) SetName(ctx context.Context, n bridge.Name) error {
	err := s.write.transact(ctx, func(t tx) error {
		if err := t.lockCalendar(ctx, n.Calendar); err != nil {
			return err
		}
		if !n.Alias {
			_, err := t.exec(ctx, `DELETE FROM name WHERE calendar_id = ? AND series = ? AND alias = 0`, n.Calendar, n.Series)
			if err != nil {
				return err
			}
		}
		_, err := t.exec(ctx, `INSERT INTO name (`+nameColumns+`) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (calendar_id, object) DO UPDATE SET series = excluded.series, uid = excluded.uid, alias = excluded.alias, gone = excluded.gone`,
			n.Calendar, n.Object, n.Series, n.UID, n.Alias, unix(n.Gone))
		if err != nil || n.Alias {
			return err
		}
		return written(ctx, t, n.Calendar, n.Series)
	})
	if err != nil {
		return fmt.Errorf("set name: %w", err)
	}
	return nil
}

func (s *Store) ForgetName(ctx context.Context, id bridge.CalendarID, object string) error {
	if _, err := s.write.exec(ctx, `DELETE FROM name WHERE calendar_id = ? AND object = ?`, id, object); err != nil {
		return fmt.Errorf("forget name: %w", err)
	}
	return nil
}

// written has a series derived again, since something that its object is made of has been written. Whoever has begun to make it
// of what there was before loses to that.
func written(ctx context.Context, t tx, id bridge.CalendarID, series graph.EventID) error {
	_, err := t.exec(ctx, `UPDATE series SET stage = ? WHERE calendar_id = ? AND id = ? AND stage = ?`,
		bridge.StageDerive, id, series, bridge.StageClean)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, `UPDATE calendar SET written = 1, seq = seq + 1 WHERE id = ?`, id)
	return err
}

func (s *Store) NameTaken(ctx context.Context, id bridge.CalendarID, series graph.EventID, name string) (bool, error) {
	var taken bool
	err := s.read.row(ctx, `
		SELECT EXISTS (SELECT 1 FROM staged WHERE calendar_id = ?1 AND name = ?3 AND series <> ?2 AND deleted = 0)
		    OR EXISTS (SELECT 1 FROM object WHERE calendar_id = ?1 AND name = ?3 AND series <> ?2 AND deleted = 0
		               AND NOT EXISTS (SELECT 1 FROM staged WHERE calendar_id = ?1 AND staged.name = ?3))`,
		id, series, name).Scan(&taken)
	if err != nil {
		return false, fmt.Errorf("find name: %w", err)
	}
	return taken, nil
}

func (s *Store) ObjectsOfUID(ctx context.Context, id bridge.AccountID, uids ...string) ([]bridge.Object, error) {
	rows, err := s.read.query(ctx, `
		SELECT `+objectColumns+` FROM object INDEXED BY object_uid
		WHERE calendar_id IN (SELECT id FROM calendar WHERE account_id = ?) AND uid IN list(?) AND deleted = 0
		ORDER BY calendar_id, name`, id, listOf(uids))
	found, err := collect(rows, err, func(r *sql.Rows) (bridge.Object, error) { return scanWhole(r, false) })
	if err != nil {
		return nil, fmt.Errorf("list objects of UIDs: %w", err)
	}
	return found, nil
}

func (s *Store) Overlay(ctx context.Context, id bridge.CalendarID, series graph.EventID) (convert.Overlay, error) {
	all, err := s.Overlays(ctx, id, []graph.EventID{series})
	return all[series], err
}

func (s *Store) Overlays(ctx context.Context, id bridge.CalendarID, series []graph.EventID) (map[graph.EventID]convert.Overlay, error) {
	type overlay struct {
		series  graph.EventID
		content convert.Overlay
	}
	rows, err := s.read.query(ctx, `
		SELECT series, content FROM overlay WHERE calendar_id = ? AND series IN list(?)`, id, listOf(series))
	list, err := collect(rows, err, func(r *sql.Rows) (o overlay, err error) {
		var content []byte
		if err = r.Scan(&o.series, &content); err == nil {
			err = json.Unmarshal(content, &o.content)
		}
		return o, err
	})
	if err != nil {
		return nil, fmt.Errorf("find overlays: %w", err)
	}
	all := make(map[graph.EventID]convert.Overlay, len(list))
	for _, o := range list {
		all[o.series] = o.content
	}
	return all, nil
}

func (s *Store) SetOverlay(ctx context.Context, id bridge.CalendarID, series graph.EventID, o convert.Overlay) error {
	content, err := json.Marshal(o)
	if err == nil {
		err = s.write.transact(ctx, func(t tx) (err error) {
			if err := t.lockCalendar(ctx, id); err != nil {
				return err
			}
			if len(o.Parts) == 0 {
				_, err = t.exec(ctx, `DELETE FROM overlay WHERE calendar_id = ? AND series = ?`, id, series)
			} else {
				_, err = t.exec(ctx, `INSERT INTO overlay (calendar_id, series, content) VALUES (?, ?, ?)
					ON CONFLICT (calendar_id, series) DO UPDATE SET content = excluded.content`, id, series, string(content))
			}
			if err != nil {
				return err
			}
			return written(ctx, t, id, series)
		})
	}
	if err != nil {
		return fmt.Errorf("set overlay: %w", err)
	}
	return nil
}

func (s *Store) SetFence(ctx context.Context, id bridge.CalendarID, series graph.EventID, f bridge.Fence) error {
	err := s.write.transact(ctx, func(t tx) error {
		if err := t.lockCalendar(ctx, id); err != nil {
			return err
		}
		_, err := t.exec(ctx, `
			INSERT INTO fence (calendar_id, series, at, gone) VALUES (?, ?, ?, ?)
			ON CONFLICT (calendar_id, series) DO UPDATE SET gone = CASE WHEN excluded.at >= fence.at THEN excluded.gone ELSE fence.gone END,
				at = CASE WHEN excluded.at >= fence.at THEN excluded.at ELSE fence.at END`,
			id, series, f.At.UnixNano(), f.Gone)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `UPDATE calendar SET fenced = CASE WHEN fenced > ?1 THEN fenced ELSE ?1 END, seq = seq + 1 WHERE id = ?2`, f.At.Unix(), id)
		return err
	})
	if err != nil {
		return fmt.Errorf("set fence: %w", err)
	}
	return nil
}

func (s *Store) LowerFence(ctx context.Context, id bridge.CalendarID, series graph.EventID, from, to time.Time) error {
	err := s.write.transact(ctx, func(t tx) error {
		if err := t.lockCalendar(ctx, id); err != nil {
			return err
		}
		_, err := t.exec(ctx, `UPDATE fence SET at = ? WHERE calendar_id = ? AND series = ? AND at = ?`, to.UnixNano(), id, series, from.UnixNano())
		return err
	})
	if err != nil {
		return fmt.Errorf("lower fence: %w", err)
	}
	return nil
}

func (s *Store) Fences(ctx context.Context, id bridge.CalendarID, series []graph.EventID) (map[graph.EventID]bridge.Fence, error) {
	type fence struct {
		series graph.EventID
		bridge.Fence
	}
	rows, err := s.read.query(ctx, `
		SELECT series, at, gone FROM fence WHERE calendar_id = ? AND series IN list(?)`, id, listOf(series))
	list, err := collect(rows, err, func(r *sql.Rows) (f fence, err error) {
		var at int64
		err = r.Scan(&f.series, &at, &f.Gone)
		f.At = time.Unix(0, at).UTC()
		return f, err
	})
	if err != nil {
		return nil, fmt.Errorf("find fences: %w", err)
	}
	all := make(map[graph.EventID]bridge.Fence, len(list))
	for _, f := range list {
		all[f.series] = f.Fence
	}
	return all, nil
}

func (s *Store) SetVersioned(ctx context.Context, id bridge.CalendarID, versioned bool) error {
	err := s.write.transact(ctx, func(t tx) error {
		if err := t.lockCalendar(ctx, id); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `UPDATE calendar SET versioned = ? WHERE id = ?`, versioned, id); err != nil || versioned {
			return err
		}
		_, err := t.exec(ctx, `DELETE FROM version WHERE calendar_id = ?`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("set versioned: %w", err)
	}
	return nil
}

// keepVersions keeps the states of the objects of some names that are about to be replaced. names is a query of them, args its
// arguments, the first of which is the calendar.
func keepVersions(ctx context.Context, t tx, names string, args []any, at time.Time) error {
	n := len(args)
	_, err := t.exec(ctx, fmt.Sprintf(`
		INSERT INTO version (calendar_id, name, rev, series, uid, etag, sequence, stamp, modified, first_start, last_end, size, data, replaced)
		SELECT calendar_id, name, rev, series, uid, etag, sequence, stamp, modified, first_start, last_end, size, data, ?%d
		FROM object WHERE calendar_id = ?1 AND deleted = 0 AND name IN (%s)
		ON CONFLICT (calendar_id, name, rev) DO UPDATE SET series = excluded.series, uid = excluded.uid, etag = excluded.etag,
			sequence = excluded.sequence, stamp = excluded.stamp, modified = excluded.modified, first_start = excluded.first_start,
			last_end = excluded.last_end, size = excluded.size, data = excluded.data, replaced = excluded.replaced`, n+1, names), append(args, at.Unix())...)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, fmt.Sprintf(`
		DELETE FROM version WHERE calendar_id = ?1 AND name IN (%s) AND (replaced < ?%d OR rev <= (
			SELECT rev FROM version AS v WHERE v.calendar_id = ?1 AND v.name = version.name ORDER BY rev DESC LIMIT 1 OFFSET ?%d))`,
		names, n+1, n+2), append(args, at.Add(-bridge.VersionAge).Unix(), bridge.VersionsFew)...)
	return err
}

func (s *Store) Version(ctx context.Context, id bridge.CalendarID, name, etag string) (bridge.Object, error) {
	o, err := scanWhole(s.read.row(ctx, `
		SELECT `+objectColumns+`, data FROM object WHERE calendar_id = ?1 AND name = ?2 AND etag = ?3 AND deleted = 0
		UNION ALL SELECT `+versionColumns+`, data FROM version WHERE calendar_id = ?1 AND name = ?2 AND etag = ?3
		ORDER BY rev DESC LIMIT 1`, id, name, etag), true)
	if err != nil {
		return o, fmt.Errorf("find version: %w", notFound(err))
	}
	return o, nil
}

func (s *Store) VersionsSince(ctx context.Context, id bridge.CalendarID, name, etag string) ([]bridge.Object, error) {
	var was bridge.Object
	if etag != "" {
		var err error
		if was, err = s.Version(ctx, id, name, etag); err != nil {
			return nil, err
		}
	}
	rows, err := s.read.query(ctx, `
		SELECT `+versionColumns+`, data FROM version WHERE calendar_id = ?1 AND name = ?2 AND rev > ?3
		UNION ALL SELECT `+objectColumns+`, data FROM object WHERE calendar_id = ?1 AND name = ?2 AND rev > ?3
		ORDER BY rev`, id, name, was.Rev)
	list, err := collect(rows, err, func(r *sql.Rows) (bridge.Object, error) { return scanWhole(r, true) })
	if err != nil {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	return list, nil
}
