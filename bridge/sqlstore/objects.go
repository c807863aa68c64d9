package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

func (s *Store) SeriesObject(ctx context.Context, id bridge.CalendarID, series graph.EventID) (bridge.Object, error) {
	o := bridge.Object{Calendar: id, Series: series}
	err := s.read.row(ctx, `
		SELECT name, uid, etag, sequence, stamp, first_start, last_end, size, data FROM (
			SELECT 0 AS place, * FROM (SELECT name, uid, etag, sequence, stamp, first_start, last_end, size, data, deleted
				FROM staged WHERE calendar_id = ?1 AND series = ?2) AS next
			UNION ALL
			SELECT 1, * FROM (SELECT name, uid, etag, sequence, stamp, first_start, last_end, size, data, deleted
				FROM object WHERE calendar_id = ?1 AND series = ?2) AS present
			ORDER BY place, deleted LIMIT 1) AS best
		WHERE deleted = 0`, id, series).
		Scan(&o.Name, &o.UID, &o.ETag, &o.Sequence, unixTime{&o.Stamp}, unixTime{&o.First}, unixTime{&o.Last}, &o.Size, &o.Data)
	if err != nil {
		return o, fmt.Errorf("object of series: %w", notFound(err))
	}
	return o, nil
}

func (s *Store) Shown(ctx context.Context, id bridge.CalendarID, series []graph.EventID) (map[graph.EventID]bridge.Shown, error) {
	const columns = `series, deleted, name, uid, etag, sequence, stamp, first_start, last_end, size, data, timetable`
	rows, err := s.read.query(ctx, `
		SELECT 0 AS place, `+columns+` FROM staged INDEXED BY staged_series WHERE calendar_id = ?1 AND series IN list(?2)
		UNION ALL SELECT 1, `+columns+` FROM object INDEXED BY object_series WHERE calendar_id = ?1 AND series IN list(?2)
		ORDER BY series, place, deleted, name`, id, listOf(series))
	type one struct {
		bridge.Object
		published bool
	}
	list, err := collect(rows, err, func(r *sql.Rows) (o one, err error) {
		o.Calendar = id
		err = r.Scan(&o.published, &o.Series, &o.Deleted, &o.Name, &o.UID, &o.ETag, &o.Sequence, unixTime{&o.Stamp}, unixTime{&o.First}, unixTime{&o.Last}, &o.Size, &o.Data, &o.Timetable)
		o.Timetable = timetableOf(o.Timetable, o.ETag)
		return o, err
	})
	if err != nil {
		return nil, fmt.Errorf("find objects of series: %w", err)
	}
	found := map[graph.EventID]bridge.Shown{}
	for _, o := range list {
		shown, later := found[o.Series]
		switch {
		case o.Deleted:
			shown.Removed = append(shown.Removed, bridge.Object{Name: o.Name, UID: o.UID})
		case !later: // what is staged counts before what is published, and an object before a tombstone
			shown.Object = &o.Object
		}
		found[o.Series] = shown
	}
	for id, shown := range found {
		slices.SortFunc(shown.Removed, func(a, b bridge.Object) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID)) })
		shown.Removed = slices.CompactFunc(shown.Removed, func(a, b bridge.Object) bool { return a.Name == b.Name && a.UID == b.UID })
		found[id] = shown
	}
	return found, nil
}

func (s *Store) Past(ctx context.Context, id bridge.CalendarID, uids []string) (map[string]bridge.Past, error) {
	if len(uids) == 0 {
		return nil, nil
	}
	rows, err := s.read.query(ctx, `
		WITH own AS (SELECT id FROM calendar WHERE account_id = (SELECT account_id FROM calendar WHERE id = ?1))
		SELECT uid, max(sequence), max(stamp) FROM (
			SELECT uid, sequence, stamp FROM object WHERE calendar_id IN (SELECT id FROM own) AND uid IN list(?2)
			UNION ALL SELECT uid, sequence, stamp FROM staged
				WHERE calendar_id IN (SELECT id FROM own) AND uid IN list(?2) AND (calendar_id <> ?1 OR deleted = 1)
			UNION ALL SELECT uid, sequence, stamp FROM past
				WHERE account_id = (SELECT account_id FROM calendar WHERE id = ?1) AND uid IN list(?2)) AS earlier
		GROUP BY uid`, id, listOf(uids))
	list, err := collect(rows, err, scanPast)
	if err != nil {
		return nil, fmt.Errorf("find earlier objects: %w", err)
	}
	return pastByUID(list), nil
}

// uidPast is what is known of earlier objects with a UID.
type uidPast struct {
	uid string
	bridge.Past
}

func scanPast(r *sql.Rows) (p uidPast, err error) {
	err = r.Scan(&p.uid, &p.Sequence, unixTime{&p.Stamp})
	return p, err
}

func pastByUID(list []uidPast) map[string]bridge.Past {
	m := make(map[string]bridge.Past, len(list))
	for _, p := range list {
		m[p.uid] = p.Past
	}
	return m
}

func (s *Store) PastElsewhere(ctx context.Context, id bridge.CalendarID, uids []string) (map[string]bool, error) {
	rows, err := s.read.query(ctx, `
		WITH others AS (SELECT id FROM calendar WHERE account_id = (SELECT account_id FROM calendar WHERE id = ?1) AND id <> ?1)
		SELECT uid FROM object WHERE calendar_id IN (SELECT id FROM others) AND uid IN list(?2)
		UNION SELECT uid FROM staged WHERE calendar_id IN (SELECT id FROM others) AND uid IN list(?2)
		UNION SELECT uid FROM past WHERE account_id = (SELECT account_id FROM calendar WHERE id = ?1) AND uid IN list(?2)`, id, listOf(uids))
	list, err := collect(rows, err, func(r *sql.Rows) (uid string, err error) {
		err = r.Scan(&uid)
		return uid, err
	})
	if err != nil {
		return nil, fmt.Errorf("find objects of other calendars: %w", err)
	}
	m := make(map[string]bool, len(list))
	for _, uid := range list {
		m[uid] = true
	}
	return m, nil
}

func (s *Store) Copied(ctx context.Context, id bridge.AccountID) (map[string]bridge.Past, error) {
	// Which they are, an index tells alone.
	rows, err := s.read.query(ctx, `
		WITH own AS (SELECT id FROM calendar WHERE account_id = ?1),
			copied AS (SELECT uid FROM (
				SELECT uid FROM object WHERE calendar_id IN (SELECT id FROM own) UNION ALL SELECT uid FROM past WHERE account_id = ?1) AS every
				GROUP BY uid HAVING count(*) > 1)
		SELECT uid, max(sequence), max(stamp) FROM (
			SELECT o.uid, o.sequence, o.stamp FROM copied CROSS JOIN own CROSS JOIN object o WHERE o.calendar_id = own.id AND o.uid = copied.uid
			UNION ALL SELECT past.uid, sequence, stamp FROM copied CROSS JOIN past WHERE account_id = ?1 AND past.uid = copied.uid) AS each_copy
		GROUP BY uid`, id)
	list, err := collect(rows, err, scanPast)
	if err != nil {
		return nil, fmt.Errorf("find copies: %w", err)
	}
	return pastByUID(list), nil
}

func (s *Store) UIDTaken(ctx context.Context, id bridge.CalendarID, series graph.EventID, uid string) (bool, error) {
	var taken bool
	err := s.read.row(ctx, `
		SELECT EXISTS (SELECT 1 FROM staged WHERE calendar_id = ?1 AND uid = ?3 AND series <> ?2 AND deleted = 0)
		    OR EXISTS (SELECT 1 FROM object WHERE calendar_id = ?1 AND uid = ?3 AND series <> ?2 AND deleted = 0
		               AND NOT EXISTS (SELECT 1 FROM staged WHERE calendar_id = ?1 AND staged.name = object.name))`,
		id, series, uid).Scan(&taken)
	if err != nil {
		return false, fmt.Errorf("find uid: %w", err)
	}
	return taken, nil
}

// publishStep is how many objects one statement publishes.
const publishStep = 500

func (s *Store) Publish(ctx context.Context, id bridge.CalendarID, at time.Time, series ...graph.EventID) (changed, removed int, err error) {
	which, args := `calendar_id = ?1`, []any{id}
	if len(series) > 0 {
		which, args = which+` AND series IN list(?2)`, append(args, listOf(series))
	}
	var staged bool
	err = s.read.row(ctx, `SELECT EXISTS (SELECT 1 FROM staged WHERE `+which+`)`, args...).Scan(&staged)
	if err != nil || !staged {
		return 0, 0, err
	}
	err = s.write.transact(ctx, func(t tx) error {
		if err := t.lockCalendar(ctx, id); err != nil {
			return err
		}
		// What is published as it is staged, or is to vanish and was never there, is no change.
		_, err := t.exec(ctx, `
			DELETE FROM staged WHERE `+which+` AND (
				deleted = 0 AND EXISTS (SELECT 1 FROM object o WHERE o.calendar_id = ?1 AND o.name = staged.name AND o.deleted = 0 AND o.etag = staged.etag)
				OR deleted = 1 AND NOT EXISTS (SELECT 1 FROM object o WHERE o.calendar_id = ?1 AND o.name = staged.name AND o.deleted = 0))`, args...)
		if err != nil {
			return err
		}
		var n int64
		err = t.row(ctx, `SELECT count(*), coalesce(sum(deleted), 0) FROM staged WHERE `+which, args...).Scan(&n, &removed)
		if err != nil {
			return err
		}
		changed = int(n)
		if n == 0 {
			return nil
		}
		if err := keepHistory(ctx, t, id, which, args, n, removed, at); err != nil {
			return err
		}
		var versioned bool
		if err := t.row(ctx, `SELECT versioned FROM calendar WHERE id = ?`, id).Scan(&versioned); err != nil {
			return err
		}
		for done, after := int64(0), ""; done < n; {
			// One statement keeps what it replaces until it ends, and its rows while it sorts them.
			var upTo string
			var m int64
			err := t.row(ctx, `
				SELECT max(name), count(*) FROM (SELECT name FROM staged WHERE `+which+` AND name > ?4 ORDER BY name LIMIT ?5) AS step`,
				id, listOf(series), at.Unix(), after, publishStep).Scan(&upTo, &m)
			if err != nil {
				return err
			}
			if versioned {
				names := `SELECT name FROM staged WHERE ` + which + ` AND name > ?4 AND name <= ?5`
				if err := keepVersions(ctx, t, names, []any{id, listOf(series), at.Unix(), after, upTo}, at); err != nil {
					return err
				}
			}
			_, err = t.exec(ctx, `
				INSERT INTO object (calendar_id, name, series, uid, etag, rev, sequence, stamp, modified, first_start, last_end, deleted, size, data,
					timetable)
				SELECT calendar_id, name, series, uid, etag,
				       (SELECT rev FROM calendar WHERE id = ?1) + ?6 + row_number() OVER (ORDER BY name),
				       sequence, stamp, ?3, first_start, last_end, deleted, size, data, timetable
				FROM staged WHERE `+which+` AND name > ?4 AND name <= ?5
				ON CONFLICT (calendar_id, name) DO UPDATE SET series = excluded.series, uid = excluded.uid, etag = excluded.etag, rev = excluded.rev,
					sequence = excluded.sequence, stamp = excluded.stamp, modified = excluded.modified, first_start = excluded.first_start,
					last_end = excluded.last_end, deleted = excluded.deleted, size = excluded.size, data = excluded.data,
					timetable = excluded.timetable`,
				id, listOf(series), at.Unix(), after, upTo, done)
			if err != nil {
				return err
			}
			done, after = done+m, upTo
		}
		if _, err := t.exec(ctx, `DELETE FROM staged WHERE `+which, args...); err != nil {
			return err
		}
		// HTTP dates are whole seconds: a second publication within one must not look unmodified.
		_, err = t.exec(ctx, `UPDATE calendar SET rev = rev + ?1, modified = CASE WHEN ?2 > modified THEN ?2 ELSE modified + 1 END WHERE id = ?3`, n, at.Unix(), id)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("publish: %w", err)
	}
	return changed, removed, nil
}

const (
	objectColumns  = `calendar_id, name, rev, series, uid, etag, sequence, stamp, modified, first_start, last_end, size, deleted`
	versionColumns = `calendar_id, name, rev, series, uid, etag, sequence, stamp, modified, first_start, last_end, size, 0`
)

func scanWhole(row scanner, withData bool) (o bridge.Object, err error) {
	into := []any{&o.Calendar, &o.Name, &o.Rev, &o.Series, &o.UID, &o.ETag, &o.Sequence, unixTime{&o.Stamp}, unixTime{&o.Modified},
		unixTime{&o.First}, unixTime{&o.Last}, &o.Size, &o.Deleted}
	if withData {
		into = append(into, &o.Data)
	}
	return o, row.Scan(into...)
}

// listed reads a row that begins with an objectLine, and may go on with the object's data.
func listed(row []driver.Value, o *bridge.Object) error {
	var wrong error
	err := readLine(column[string](row, 0, &wrong), o)
	if len(row) > 1 {
		if text, ok := row[1].(string); ok { // SQLite keeps what it was given
			row[1] = []byte(text)
		}
		o.Data = column[[]byte](row, 1, &wrong)
	}
	return cmp.Or(wrong, err)
}

func (s *Store) Object(ctx context.Context, id bridge.CalendarID, name string) (bridge.Object, error) {
	var o bridge.Object
	err := bridge.ErrNotFound
	query := `SELECT ` + objectLine + `, data, series, uid, sequence, stamp FROM object WHERE calendar_id = ? AND name = ? AND deleted = 0`
	wrong := s.read.each(ctx, query, []any{id, name}, func(row []driver.Value) (more bool, _ error) {
		err = listed(row, &o)
		o.Calendar, o.Series, o.UID = id, graph.EventID(column[string](row, 2, &err)), column[string](row, 3, &err)
		o.Sequence, o.Stamp = int(column[int64](row, 4, &err)), time.Unix(column[int64](row, 5, &err), 0).UTC()
		return false, nil
	})
	if err = cmp.Or(wrong, err); err != nil {
		return o, fmt.Errorf("object %s: %w", name, err)
	}
	return o, nil
}

func (s *Store) Objects(ctx context.Context, id bridge.CalendarID, q bridge.ObjectQuery) ([]bridge.Object, error) {
	p := page{read: s.read, calendar: id, ObjectQuery: q, list: q.Room[:0]}
	if cap(p.list) < q.Limit {
		p.list = make([]bridge.Object, 0, q.Limit)
	}
	var err error
	if q.Names == nil {
		err = p.rows(ctx, `name > ?`, []any{q.After}, nil)
	} else {
		err = p.named(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("list objects: %w", err)
	}
	return p.list, nil
}

// page is one of objects while it is read.
type page struct {
	read     *db
	calendar bridge.CalendarID
	bridge.ObjectQuery
	list   []bridge.Object
	octets int
}

// rows adds the objects of some names, in their order, up to the first that is not wanted; nil: all are.
func (p *page) rows(ctx context.Context, names string, args []any, wanted func(name string) bool) error {
	query := `SELECT ` + objectLine
	if p.WithData {
		query += `, data`
	}
	query += ` FROM object WHERE calendar_id = ? AND deleted = 0 AND ` + names
	args = append([]any{p.calendar}, args...)
	if !p.Start.IsZero() {
		query += ` AND (last_end IS NULL OR last_end >= ?)`
		args = append(args, p.Start.Unix())
	}
	if !p.End.IsZero() {
		query += ` AND first_start <= ?`
		args = append(args, p.End.Unix())
	}
	return p.read.each(ctx, query+` ORDER BY name LIMIT ?`, append(args, p.Limit-len(p.list)), func(row []driver.Value) (more bool, _ error) {
		p.list = append(p.list, bridge.Object{})
		o := &p.list[len(p.list)-1]
		if err := listed(row, o); err != nil || wanted != nil && !wanted(o.Name) {
			p.list = p.list[:len(p.list)-1]
			return false, err
		}
		p.octets += len(o.Data)
		return p.octets < bridge.PageOctets, nil
	})
}

// named adds the objects of Names. Clients ask for names that follow each other, and to go from one to the next takes two thirds of finding
// each. So that is tried first, until there is one between that was not asked for. On a server that would be one more statement to wait for.
func (p *page) named(ctx context.Context) error {
	names := slices.Sorted(slices.Values(p.Names))
	for len(names) > 0 && names[0] <= p.After {
		names = names[1:]
	}
	apart := p.read.direct == nil
	if !apart && len(names) > 0 {
		err := p.rows(ctx, `name >= ? AND name <= ?`, []any{names[0], names[len(names)-1]}, func(name string) bool {
			for len(names) > 0 && names[0] < name { // they are not there
				names = names[1:]
			}
			apart = len(names) == 0 || names[0] != name
			return !apart
		})
		if err != nil {
			return err
		}
	}
	if !apart || len(names) == 0 {
		return nil
	}
	return p.rows(ctx, `name IN list(?)`, []any{listOf(names)}, nil)
}

func (s *Store) Changes(ctx context.Context, id bridge.CalendarID, since int64, limit int) ([]bridge.Object, error) {
	var all []bridge.Object
	err := s.read.each(ctx, `
		SELECT `+timedLine+` FROM object WHERE calendar_id = ? AND rev > ? ORDER BY rev LIMIT ?`, []any{id, since, limit}, func(row []driver.Value) (bool, error) {
		all = append(all, bridge.Object{})
		return true, listed(row, &all[len(all)-1])
	})
	if err != nil {
		return nil, fmt.Errorf("list changes: %w", err)
	}
	return all, nil
}
