package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"maps"
	"slices"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

const rowColumns = `id, series, kind, round, first_start, last_end, said, subject, ical_uid`

// chunkRow is a chunk as rows of events are asked for: it has no kind.
const chunkRow = `'', series, '', 0, first_start, last_end, said, '', ''`

// scanRows reads rows of events and of chunks, the occurrences of which are among what comes out.
func scanRows(rows *sql.Rows, err error) ([]bridge.Row, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []bridge.Row
	for rows.Next() {
		var r bridge.Row
		var said sql.RawBytes
		err := rows.Scan(&r.ID, &r.Series, &r.Kind, &r.Round, unixTime{&r.Span.Start}, unixTime{&r.Span.End}, &said, &r.Subject, &r.ICalUID)
		if err != nil {
			return nil, err
		}
		if r.Kind != "" {
			if r.Raw, err = unpack(said); err != nil {
				return nil, fmt.Errorf("event %s: %w", r.ID, err)
			}
			list = append(list, r)
			continue
		}
		of, err := unpackRows(said, r.Series)
		if err != nil {
			return nil, fmt.Errorf("occurrences of %s: %w", r.Series, err)
		}
		list = append(list, of...)
	}
	if err := rows.Err(); err != nil {
		return nil, midway(err)
	}
	return list, nil
}

func (s *Store) Mirror(ctx context.Context, p bridge.MirrorPage) (int64, error) {
	err := s.write.relaxed(ctx, func(t tx) error {
		if err := lockAsked(ctx, t, p); err != nil {
			return err
		}
		if err := checkSeq(ctx, t, p.Calendar, p.Seq); err != nil {
			return err
		}
		if err := putRows(ctx, t, p); err != nil {
			return err
		}
		const mark = `
			INSERT INTO series (calendar_id, id, stage, listed, unread) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (calendar_id, id) DO UPDATE SET stage = excluded.stage, listed = excluded.listed,
				unread = CASE WHEN excluded.stage = 3 /* StageAsk */ AND series.unread = 1 THEN 1 ELSE excluded.unread END`
		marks := make([][]any, len(p.Marks))
		for i, m := range p.Marks {
			marks[i] = []any{p.Calendar, m.Series, m.Stage, m.Complete, m.Unread}
		}
		if _, err := t.execMany(ctx, mark, marks); err != nil {
			return err
		}
		if p.Unpublished {
			if err := stageWith(ctx, t, p); err != nil {
				return err
			}
		}
		for _, other := range slices.Sorted(maps.Keys(p.Asks)) {
			var asks [][]any
			for _, id := range p.Asks[other] {
				asks = append(asks, []any{other, id, bridge.StageAsk, false, false})
			}
			// What is to be asked for already is no news, so that whoever writes there is not overtaken again and again.
			news, err := t.execMany(ctx, mark+` WHERE series.stage <> excluded.stage`, asks)
			if err != nil {
				return err
			}
			if news == 0 {
				continue
			}
			if _, err := t.exec(ctx, `UPDATE calendar SET seq = seq + 1 WHERE id = ?`, other); err != nil {
				return err
			}
		}
		if c := p.Cursor; c != nil {
			_, err := t.exec(ctx, `
				UPDATE calendar SET cursor = ?, phase = ?, pending = ?, round = ?, opened = ?, window_start = ?, window_end = ? WHERE id = ?`,
				c.Link, c.Phase, c.Pending, c.Round, c.Opened, unix(c.Window.Start), unix(c.Window.End), p.Calendar)
			if err != nil {
				return err
			}
		}
		_, err := t.exec(ctx, `UPDATE calendar SET seq = seq + 1 WHERE id = ?`, p.Calendar)
		return err
	})
	if err != nil {
		return p.Seq, fmt.Errorf("mirror page: %w", err)
	}
	return p.Seq + 1, nil
}

// putRows puts the rows of a page, and takes away what is gone.
func putRows(ctx context.Context, t tx, p bridge.MirrorPage) error {
	var events [][]any
	var occurrences []bridge.Row
	noEvents, noOccurrences := slices.Clone(p.Gone), slices.Clone(p.Gone)
	for _, r := range p.Rows {
		if r.Kind == bridge.KindOccurrence {
			occurrences = append(occurrences, r)
			noEvents = append(noEvents, r.ID)
			continue
		}
		events = append(events, []any{p.Calendar, r.ID, r.Series, r.Kind, r.Round, unix(r.Span.Start), unix(r.Span.End), pack(r.Raw), r.Subject, r.ICalUID})
		noOccurrences = append(noOccurrences, r.ID)
	}
	if len(noEvents) > 0 {
		if _, err := t.exec(ctx, `DELETE FROM event WHERE calendar_id = ? AND id IN list(?)`, p.Calendar, listOf(noEvents)); err != nil {
			return err
		}
	}
	const upsert = `
		INSERT INTO event (calendar_id, ` + rowColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (calendar_id, id) DO UPDATE SET series = excluded.series, kind = excluded.kind, round = excluded.round,
			first_start = excluded.first_start, last_end = excluded.last_end, said = excluded.said, subject = excluded.subject, ical_uid = excluded.ical_uid`
	if _, err := t.execMany(ctx, upsert, events); err != nil {
		return err
	}
	return t.putOccurrences(ctx, p.Calendar, occurrences, noOccurrences)
}

// lockAsked locks the calendars that a page writes to, where these are several, in the order in which everybody does.
func lockAsked(ctx context.Context, t tx, p bridge.MirrorPage) error {
	if len(p.Asks) == 0 {
		return nil
	}
	all := slices.AppendSeq([]bridge.CalendarID{p.Calendar}, maps.Keys(p.Asks))
	slices.Sort(all)
	for _, id := range all {
		if err := t.lockCalendar(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// checkSeq locks a calendar, and makes sure that nobody has written to its mirror since seq was want.
func checkSeq(ctx context.Context, t tx, id bridge.CalendarID, want int64) error {
	var seq int64
	if err := t.row(ctx, `SELECT seq FROM calendar WHERE id = ? FOR NO KEY UPDATE`, id).Scan(&seq); err != nil {
		return notFound(err)
	}
	if seq != want {
		return bridge.ErrConflict
	}
	return nil
}

func (s *Store) Rows(ctx context.Context, id bridge.CalendarID, list []graph.EventID) (map[graph.EventID]bridge.Row, error) {
	if len(list) == 0 {
		return map[graph.EventID]bridge.Row{}, nil
	}
	found, err := scanRows(s.read.query(ctx, `
		SELECT `+rowColumns+` FROM event WHERE calendar_id = ?1 AND id IN list(?2)
		UNION ALL
		SELECT `+chunkRow+` FROM chunk WHERE calendar_id = ?1 AND id IN (SELECT chunk FROM stretch WHERE calendar_id = ?1 AND hash IN list(?3))`,
		id, listOf(list), hashesOf(list)))
	if err != nil {
		return nil, fmt.Errorf("find rows: %w", err)
	}
	wanted := make(map[graph.EventID]bool, len(list))
	for _, id := range list {
		wanted[id] = true
	}
	m := make(map[graph.EventID]bridge.Row, len(found))
	for _, r := range found {
		if wanted[r.ID] {
			m[r.ID] = r
		}
	}
	return m, nil
}

func (s *Store) SeriesRows(ctx context.Context, id bridge.CalendarID, series graph.EventID) ([]bridge.Row, error) {
	found, err := s.RowsOf(ctx, id, []graph.EventID{series})
	return found[series], err
}

func (s *Store) RowsOf(ctx context.Context, id bridge.CalendarID, series []graph.EventID) (map[graph.EventID][]bridge.Row, error) {
	list, err := scanRows(s.read.query(ctx, `
		SELECT `+rowColumns+` FROM event INDEXED BY event_series WHERE calendar_id = ?1 AND series IN list(?2)
		UNION ALL
		SELECT `+chunkRow+` FROM chunk INDEXED BY chunk_series WHERE calendar_id = ?1 AND series IN list(?2)`, id, listOf(series)))
	if err != nil {
		return nil, fmt.Errorf("list rows of series: %w", err)
	}
	found := make(map[graph.EventID][]bridge.Row, len(series))
	for _, r := range list {
		found[r.Series] = append(found[r.Series], r)
	}
	for _, rows := range found {
		slices.SortFunc(rows, byID)
	}
	return found, nil
}

func (s *Store) Marked(ctx context.Context, id bridge.CalendarID, stage int, after graph.EventID, limit int) ([]bridge.Mark, error) {
	rows, err := s.read.query(ctx, `
		SELECT id, stage, listed, unread FROM series INDEXED BY series_stage
		WHERE calendar_id = ? AND stage = ? AND stage > 0 AND id > ? ORDER BY id LIMIT ?`,
		id, stage, after, limit)
	list, err := collect(rows, err, scanMark)
	if err != nil {
		return nil, fmt.Errorf("list marked series: %w", err)
	}
	return list, nil
}

func scanMark(r *sql.Rows) (m bridge.Mark, err error) {
	err = r.Scan(&m.Series, &m.Stage, &m.Complete, &m.Unread)
	return m, err
}

func (s *Store) MarksOf(ctx context.Context, id bridge.CalendarID, series []graph.EventID) (map[graph.EventID]bridge.Mark, error) {
	rows, err := s.read.query(ctx, `
		SELECT id, stage, listed, unread FROM series WHERE calendar_id = ? AND id IN list(?)`, id, listOf(series))
	list, err := collect(rows, err, scanMark)
	if err != nil {
		return nil, fmt.Errorf("find marks: %w", err)
	}
	all := make(map[graph.EventID]bridge.Mark, len(list))
	for _, m := range list {
		all[m.Series] = m
	}
	return all, nil
}

func (s *Store) Waits(ctx context.Context, id bridge.CalendarID) (waits bool, err error) {
	err = s.read.row(ctx, `
		SELECT EXISTS (SELECT 1 FROM series INDEXED BY series_stage WHERE calendar_id = ?1 AND stage > 0)
			OR EXISTS (SELECT 1 FROM staged WHERE calendar_id = ?1)
			OR EXISTS (SELECT 1 FROM attached INDEXED BY attached_open WHERE calendar_id = ?1 AND state = '')`, id).Scan(&waits)
	if err != nil {
		return false, fmt.Errorf("look for what waits: %w", err)
	}
	return waits, nil
}

func (s *Store) CountMarked(ctx context.Context, id bridge.CalendarID, stage int) (int, error) {
	var n int
	err := s.read.row(ctx, `
		SELECT count(*) FROM series INDEXED BY series_stage WHERE calendar_id = ? AND stage = ? AND stage > 0`, id, stage).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count marked series: %w", err)
	}
	return n, nil
}

func (s *Store) Unread(ctx context.Context, id bridge.CalendarID, after graph.EventID, limit int) ([]graph.EventID, error) {
	rows, err := s.read.query(ctx, `
		SELECT id FROM series INDEXED BY series_unread WHERE calendar_id = ?1 AND unread = 1 AND stage = 0 AND id > ?2
		  AND (EXISTS (SELECT 1 FROM event WHERE event.calendar_id = ?1 AND event.series = series.id AND kind IN ('master', 'exception'))
			OR EXISTS (SELECT 1 FROM chunk WHERE chunk.calendar_id = ?1 AND chunk.series = series.id))
		ORDER BY id LIMIT ?3`, id, after, limit)
	list, err := collect(rows, err, scanID)
	if err != nil {
		return nil, fmt.Errorf("list unread series: %w", err)
	}
	return list, nil
}

func (s *Store) Unlisted(ctx context.Context, id bridge.CalendarID, round int64, limit int) ([]bridge.Row, error) {
	list, err := scanRows(s.read.query(ctx, `
		SELECT `+rowColumns+` FROM event WHERE calendar_id = ? AND round < ? AND kind IN ('single', 'master', 'orphan') LIMIT ?`, id, round, limit))
	if err != nil {
		return nil, fmt.Errorf("list unlisted rows: %w", err)
	}
	return list, nil
}

// So much is read at a time by RowsIn.
const (
	eventsAtOnce = 500
	chunksAtOnce = 8
)

func (s *Store) RowsIn(ctx context.Context, id bridge.CalendarID, span convert.Span) iter.Seq2[bridge.Row, error] {
	return func(yield func(bridge.Row, error) bool) {
		from, to := span.Start.Unix(), span.End.Unix()
		fail := func(err error) { yield(bridge.Row{}, fmt.Errorf("list rows: %w", err)) }
		for after := graph.EventID(""); ; {
			rows, err := s.read.query(ctx, `
				SELECT id, series, kind, round, first_start, last_end FROM event
				WHERE calendar_id = ?1 AND id > ?2 AND kind <> 'master' AND first_start < ?4 AND last_end > ?3 ORDER BY id LIMIT ?5`,
				id, after, from, to, eventsAtOnce)
			list, err := collect(rows, err, func(rows *sql.Rows) (r bridge.Row, err error) {
				err = rows.Scan(&r.ID, &r.Series, &r.Kind, &r.Round, unixTime{&r.Span.Start}, unixTime{&r.Span.End})
				return r, err
			})
			if err != nil {
				fail(err)
				return
			}
			for _, r := range list {
				if after = r.ID; !yield(r, nil) {
					return
				}
			}
			if len(list) < eventsAtOnce {
				break
			}
		}
		for after := int64(0); ; {
			rows, err := s.read.query(ctx, `
				SELECT id, series, said FROM chunk
				WHERE calendar_id = ?1 AND id > ?2 AND first_start < ?4 AND last_end > ?3 ORDER BY id LIMIT ?5`, id, after, from, to, chunksAtOnce)
			list, err := collect(rows, err, func(rows *sql.Rows) (list []bridge.Row, err error) {
				var series graph.EventID
				var said sql.RawBytes
				if err := rows.Scan(&after, &series, &said); err != nil {
					return nil, err
				}
				return unpackRows(said, series)
			})
			if err != nil {
				fail(err)
				return
			}
			for _, of := range list {
				for _, r := range of {
					if r.Span.Start.IsZero() || r.Span.End.IsZero() || r.Span.Start.Unix() >= to || r.Span.End.Unix() <= from {
						continue
					}
					if r.Raw = nil; !yield(r, nil) {
						return
					}
				}
			}
			if len(list) < chunksAtOnce {
				return
			}
		}
	}
}

// others are the other calendars of the mailbox of ?1.
const others = `(SELECT o.id FROM calendar AS c JOIN calendar AS o ON o.account_id = c.account_id AND o.mailbox = c.mailbox WHERE c.id = ?1 AND o.id <> ?1)`

func (s *Store) Elsewhere(ctx context.Context, id bridge.CalendarID, list []graph.EventID) (map[graph.EventID]bridge.CalendarID, error) {
	type where struct {
		id  graph.EventID
		cal bridge.CalendarID
	}
	var any bool
	if err := s.read.row(ctx, `SELECT EXISTS `+others, id).Scan(&any); err != nil {
		return nil, fmt.Errorf("look for other calendars: %w", err)
	}
	if !any || len(list) == 0 {
		return nil, nil
	}
	rows, err := s.read.query(ctx, `SELECT event.id, calendar_id FROM event WHERE calendar_id IN `+others+` AND event.id IN list(?2)`, id, listOf(list))
	found, err := collect(rows, err, func(r *sql.Rows) (p where, err error) {
		err = r.Scan(&p.id, &p.cal)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("find rows elsewhere: %w", err)
	}
	m := make(map[graph.EventID]bridge.CalendarID, len(found))
	for _, p := range found {
		m[p.id] = p.cal
	}
	rows, err = s.read.query(ctx, `SELECT DISTINCT calendar_id FROM stretch WHERE calendar_id IN `+others+` AND hash IN list(?2)`, id, hashesOf(list))
	cals, err := collect(rows, err, func(r *sql.Rows) (cal bridge.CalendarID, err error) {
		err = r.Scan(&cal)
		return cal, err
	})
	if err != nil {
		return nil, fmt.Errorf("find occurrences elsewhere: %w", err)
	}
	for _, cal := range cals { // what is found by a hash need not be what was asked for
		there, err := s.Rows(ctx, cal, list)
		if err != nil {
			return nil, err
		}
		for id := range there {
			m[id] = cal
		}
	}
	return m, nil
}

func (s *Store) MarkAll(ctx context.Context, id bridge.CalendarID, rendering string) error {
	err := s.write.transact(ctx, func(t tx) error {
		if err := t.lockCalendar(ctx, id); err != nil {
			return err
		}
		_, err := t.exec(ctx, `UPDATE series SET stage = ? WHERE calendar_id = ? AND stage = ?`, bridge.StageDerive, id, bridge.StageClean)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `UPDATE calendar SET rendering = ? WHERE id = ?`, rendering, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("mark all series: %w", err)
	}
	return nil
}

func (s *Store) FindSeries(ctx context.Context, account, text string, limit int) ([]bridge.Found, error) {
	rows, err := s.read.query(ctx, `
		SELECT calendar_id, series, subject, first_start FROM (
			SELECT calendar_id, series, subject, first_start,
				row_number() OVER (PARTITION BY calendar_id, series ORDER BY first_start NULLS LAST, event.id) AS place
			FROM event JOIN calendar ON calendar.id = calendar_id JOIN account ON account.id = account_id
			WHERE (?1 = '' OR account.name = ?1)
			  AND (event.id = ?2 OR ical_uid = ?2 OR instr(lower(subject), lower(?2)) > 0)) AS found
		WHERE place = 1 ORDER BY first_start NULLS FIRST, calendar_id, series LIMIT ?3`, account, text, limit)
	list, err := collect(rows, err, func(r *sql.Rows) (f bridge.Found, err error) {
		err = r.Scan(&f.Calendar, &f.Series, &f.Subject, unixTime{&f.Start})
		return f, err
	})
	if err == nil && len(list) < limit {
		var one []bridge.Found
		one, err = s.findOccurrence(ctx, account, graph.EventID(text), limit-len(list))
		list = append(list, one...)
	}
	if err != nil {
		return nil, fmt.Errorf("find series: %w", err)
	}
	return list, nil
}

// findOccurrence lists the series that have an occurrence of an id.
func (s *Store) findOccurrence(ctx context.Context, account string, id graph.EventID, limit int) (found []bridge.Found, err error) {
	rows, err := s.read.query(ctx, `
		SELECT DISTINCT calendar_id FROM stretch JOIN calendar ON calendar.id = calendar_id JOIN account ON account.id = account_id
		WHERE (?1 = '' OR account.name = ?1) AND hash = ?2 LIMIT ?3`, account, hashOf(id), limit)
	cals, err := collect(rows, err, func(r *sql.Rows) (cal bridge.CalendarID, err error) {
		err = r.Scan(&cal)
		return cal, err
	})
	for _, cal := range cals {
		there, err := s.Rows(ctx, cal, []graph.EventID{id})
		if err != nil {
			return nil, err
		}
		if r, ok := there[id]; ok {
			found = append(found, bridge.Found{Calendar: cal, Series: r.Series, Subject: r.Subject, Start: r.Span.Start})
		}
	}
	return found, err
}
