package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

func (s *Store) Stage(ctx context.Context, id bridge.CalendarID, seq int64, list []bridge.Derived) error {
	err := s.write.relaxed(ctx, func(t tx) error {
		if err := checkSeq(ctx, t, id, seq); err != nil {
			return err
		}
		var series, attached [][]any
		for _, d := range list {
			losses, err := lossesOf(d)
			if err != nil {
				return err
			}
			series = append(series, []any{d.Unsettled, losses, len(d.Losses), id, d.Series})
			if d.Unattached {
				attached = append(attached, []any{id, d.Series, d.Series})
			}
		}
		for _, do := range []struct {
			query string
			args  [][]any
		}{
			{`UPDATE series SET stage = CASE WHEN ? = 1 THEN stage ELSE 0 END, losses = ?, loss_count = ? WHERE calendar_id = ? AND id = ?`, series},
			{`INSERT INTO attached (calendar_id, event, series, state, others) VALUES (?, ?, ?, '', 0)
				ON CONFLICT (calendar_id, event) DO UPDATE SET state = ''`, attached},
		} {
			if _, err := t.execMany(ctx, do.query, do.args); err != nil {
				return err
			}
		}
		if err := stageObjects(ctx, t, id, list); err != nil {
			return err
		}
		// A series without rows has nothing left to say.
		_, err := t.exec(ctx, `
			DELETE FROM series WHERE calendar_id = ? AND stage = 0 AND loss_count = 0 AND id IN list(?)
			  AND NOT EXISTS (SELECT 1 FROM event WHERE event.calendar_id = series.calendar_id AND event.series = series.id)
			  AND NOT EXISTS (SELECT 1 FROM chunk WHERE chunk.calendar_id = series.calendar_id AND chunk.series = series.id)`,
			id, listOf(seriesOf(list)))
		return err
	})
	if err != nil {
		return fmt.Errorf("stage objects: %w", err)
	}
	return nil
}

// stageWith stages what a page that nothing is published of has brought along.
func stageWith(ctx context.Context, t tx, p bridge.MirrorPage) error {
	var free bool
	if err := t.row(ctx, `SELECT rev = 0 AND written = 0 FROM calendar WHERE id = ?`, p.Calendar).Scan(&free); err != nil {
		return err
	}
	if !free {
		return bridge.ErrConflict
	}
	named := seriesOf(p.Derived)
	for _, m := range p.Marks {
		named = append(named, m.Series)
	}
	if len(named) == 0 {
		return nil
	}
	if _, err := t.exec(ctx, `DELETE FROM staged WHERE calendar_id = ? AND series IN list(?)`, p.Calendar, listOf(named)); err != nil {
		return err
	}
	var series [][]any
	for _, d := range p.Derived {
		losses, err := lossesOf(d)
		if err != nil {
			return err
		}
		series = append(series, []any{p.Calendar, d.Series, losses, len(d.Losses)})
	}
	_, err := t.execMany(ctx, `
		INSERT INTO series (calendar_id, id, stage, losses, loss_count) VALUES (?, ?, 0, ?, ?)
		ON CONFLICT (calendar_id, id) DO UPDATE SET stage = 0, listed = 0, unread = 0, losses = excluded.losses, loss_count = excluded.loss_count`, series)
	if err != nil {
		return err
	}
	return stageObjects(ctx, t, p.Calendar, p.Derived)
}

func stageObjects(ctx context.Context, t tx, id bridge.CalendarID, list []bridge.Derived) error {
	var staged [][]any
	for _, d := range list {
		for _, o := range []*bridge.Object{d.Left, d.Object} {
			if o != nil {
				staged = append(staged, []any{id, o.Name, o.Series, o.UID, o.ETag, o.Sequence, o.Stamp.Unix(), o.First.Unix(), unix(o.Last), o.Deleted,
					len(o.Data), notNil(o.Data), o.Title, keptTimetable(o)})
			}
		}
	}
	_, err := t.execMany(ctx, `
		INSERT INTO staged (calendar_id, name, series, uid, etag, sequence, stamp, first_start, last_end, deleted, size, data, title, timetable)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (calendar_id, name) DO UPDATE SET series = excluded.series, uid = excluded.uid, etag = excluded.etag,
			sequence = excluded.sequence, stamp = excluded.stamp, first_start = excluded.first_start, last_end = excluded.last_end,
			deleted = excluded.deleted, size = excluded.size, data = excluded.data, title = excluded.title,
			timetable = excluded.timetable`, staged)
	if err != nil {
		return err
	}
	return setTimetables(ctx, t, id, list)
}

func (s *Store) TakeBack(ctx context.Context, id bridge.CalendarID) error {
	// The first of the two is told by an index alone, as a rule: no UID is staged twice.
	rows, err := s.read.query(ctx, `
		SELECT a.series FROM staged a JOIN (SELECT uid FROM staged WHERE calendar_id = ?1 GROUP BY uid HAVING count(*) > 1) AS twice ON twice.uid = a.uid
		WHERE a.calendar_id = ?1 AND a.deleted = 0
		  AND EXISTS (SELECT 1 FROM staged b WHERE b.calendar_id = ?1 AND b.uid = a.uid AND b.series <> a.series AND b.deleted = 0)
		UNION
		SELECT a.series FROM staged a JOIN object o ON o.calendar_id = ?1 AND o.uid = a.uid
		WHERE a.calendar_id = ?1 AND a.deleted = 0 AND o.deleted = 0 AND o.series <> a.series
		  AND NOT EXISTS (SELECT 1 FROM staged b WHERE b.calendar_id = ?1 AND b.name = o.name)`, id)
	list, err := collect(rows, err, scanID)
	if err == nil && len(list) > 0 {
		err = s.write.transact(ctx, func(t tx) error {
			if err := t.lockCalendar(ctx, id); err != nil {
				return err
			}
			if _, err := t.exec(ctx, `DELETE FROM staged WHERE calendar_id = ? AND series IN list(?)`, id, listOf(list)); err != nil {
				return err
			}
			_, err := t.exec(ctx, `UPDATE series SET stage = ? WHERE calendar_id = ? AND stage = ? AND id IN list(?)`,
				bridge.StageDerive, id, bridge.StageClean, listOf(list))
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("take back what is staged: %w", err)
	}
	return nil
}

// lossesOf is what the row of a series has of its losses.
func lossesOf(d bridge.Derived) (string, error) {
	if len(d.Losses) == 0 {
		return "", nil
	}
	b, err := json.Marshal(d.Losses)
	return string(b), err
}

func seriesOf(list []bridge.Derived) []graph.EventID {
	all := make([]graph.EventID, len(list))
	for i, d := range list {
		all[i] = d.Series
	}
	return all
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
