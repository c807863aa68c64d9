package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

const (
	// metaUnpacked says that a migration has left rows to be packed, and metaUnhashed that it has left chunks that no id leads to. They go
	// when that is done.
	metaUnpacked = "unpacked"
	metaUnhashed = "unhashed"
	// metaRoomy says that packing has freed pages of an SQLite file, which is to be made smaller. It goes when it is, or when they are used.
	metaRoomy = "roomy"
)

// A file is made smaller if one page of so many is free.
const roomyFrom = 4

// So much is packed in one transaction.
const (
	packSeries = 50
	packEvents = 500
)

// Packing is how far the packing of a database of an older program is.
type Packing struct {
	Done, Total int64 // rows
	// Freed is by how many octets the file was made smaller afterwards, and Left why it could not be: what is free in it is used again.
	// The last report alone has them, and nothing else.
	Freed int64
	Left  error
}

// packing is what migrations have left to the program: the key in meta that says so, the table whose rows it goes through, and its steps.
type packing struct {
	key, table string
	steps      []packStep
}

// A packStep does what comes after a series or event of a calendar, in one transaction, and returns which it did last and how many rows
// these were. None: it is done.
type packStep func(ctx context.Context, cal bridge.CalendarID, after graph.EventID) (last graph.EventID, n int64, err error)

// packOld does what migrations have left to the program, once: it has ids lead to chunks, puts occurrences that are rows of the table event
// into chunks, and packs what was said of the others. What has been done stays done, should this process end.
func (s *Store) packOld(ctx context.Context, report func(Packing)) error {
	for _, p := range []packing{
		{metaUnhashed, "chunk", []packStep{s.hashOldChunks}},
		{metaUnpacked, "event", []packStep{s.packOldSeries, s.packOldEvents}},
	} {
		_, err := s.meta(ctx, p.key)
		if errors.Is(err, bridge.ErrNotFound) {
			continue
		}
		if err == nil {
			err = s.pack(ctx, p, report)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) pack(ctx context.Context, p packing, report func(Packing)) error {
	var done, total int64
	if err := s.write.row(ctx, `SELECT count(*) FROM `+p.table).Scan(&total); err != nil {
		return err
	}
	rows, err := s.write.query(ctx, `SELECT id FROM calendar ORDER BY id`)
	cals, err := collect(rows, err, func(r *sql.Rows) (id bridge.CalendarID, err error) {
		err = r.Scan(&id)
		return id, err
	})
	if err != nil {
		return err
	}
	for _, cal := range cals {
		for _, step := range p.steps {
			for after := graph.EventID(""); ; {
				next, n, err := step(ctx, cal, after)
				if err != nil {
					return fmt.Errorf("pack what was said of events: %w", err)
				}
				if n == 0 {
					break
				}
				after, done = next, done+n
				report(Packing{Done: min(done, total), Total: total})
			}
		}
	}
	return s.write.transact(ctx, func(t tx) error {
		if p.key == metaUnpacked && done > 0 && s.write.server == nil {
			if _, err := t.exec(ctx, putMeta, metaRoomy, []byte("1")); err != nil {
				return err
			}
		}
		_, err := t.exec(ctx, `DELETE FROM meta WHERE key = ?`, p.key)
		return err
	})
}

// packs reports whether packOld has something to do.
func (s *Store) packs(ctx context.Context) (some bool, err error) {
	err = s.read.row(ctx, `SELECT EXISTS (SELECT 1 FROM meta WHERE key = ? OR key = ?)`, metaUnpacked, metaUnhashed).Scan(&some)
	return some, err
}

// hashOldChunks has the ids of some series lead to their chunks.
func (s *Store) hashOldChunks(ctx context.Context, cal bridge.CalendarID, after graph.EventID) (last graph.EventID, n int64, err error) {
	err = s.write.relaxed(ctx, func(t tx) error {
		last, n = after, 0
		if err := t.lockCalendar(ctx, cal); err != nil {
			return err
		}
		rows, err := t.query(ctx, `SELECT DISTINCT series FROM chunk WHERE calendar_id = ? AND series > ? ORDER BY series LIMIT ?`, cal, after, packSeries)
		series, err := collect(rows, err, scanID)
		if err != nil || len(series) == 0 {
			return err
		}
		last = series[len(series)-1]
		c := newChunks(t, cal)
		if err := c.load(ctx, `series IN list(?2)`, listOf(series)); err != nil {
			return err
		}
		n = int64(len(c.all))
		var hashes [][]any
		for id, one := range c.all {
			for hash := range one.hashes() {
				hashes = append(hashes, []any{cal, hash, id})
			}
		}
		_, err = t.execMany(ctx, `INSERT INTO stretch (calendar_id, hash, chunk) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, hashes)
		return err
	})
	return last, n, err
}

func scanID(r *sql.Rows) (id graph.EventID, err error) {
	err = r.Scan(&id)
	return id, err
}

// packOldSeries moves the occurrences of some series, those that come after one.
func (s *Store) packOldSeries(ctx context.Context, cal bridge.CalendarID, after graph.EventID) (last graph.EventID, n int64, err error) {
	err = s.write.relaxed(ctx, func(t tx) error {
		last, n = after, 0
		if err := t.lockCalendar(ctx, cal); err != nil {
			return err
		}
		rows, err := t.query(ctx, `SELECT DISTINCT series FROM event INDEXED BY event_series WHERE calendar_id = ? AND series > ? AND kind = 'occurrence' ORDER BY series LIMIT ?`,
			cal, after, packSeries)
		series, err := collect(rows, err, scanID)
		if err != nil || len(series) == 0 {
			return err
		}
		last = series[len(series)-1]
		list, err := scanRows(t.query(ctx, `SELECT `+rowColumns+` FROM event INDEXED BY event_series WHERE calendar_id = ? AND series IN list(?) AND kind = 'occurrence' ORDER BY series, id`,
			cal, listOf(series)))
		if err != nil {
			return err
		}
		n = int64(len(list))
		if err := t.putOccurrences(ctx, cal, list, nil); err != nil {
			return err
		}
		_, err = t.exec(ctx, `DELETE FROM event WHERE calendar_id = ? AND series IN list(?) AND kind = 'occurrence'`, cal, listOf(series))
		return err
	})
	return last, n, err
}

// packOldEvents packs what was said of some events.
func (s *Store) packOldEvents(ctx context.Context, cal bridge.CalendarID, after graph.EventID) (last graph.EventID, n int64, err error) {
	err = s.write.relaxed(ctx, func(t tx) error {
		last, n = after, 0
		if err := t.lockCalendar(ctx, cal); err != nil {
			return err
		}
		list, err := scanRows(t.query(ctx, `SELECT `+rowColumns+` FROM event WHERE calendar_id = ? AND id > ? ORDER BY id LIMIT ?`, cal, after, packEvents))
		if err != nil || len(list) == 0 {
			return err
		}
		args := make([][]any, len(list))
		for i, r := range list {
			args[i] = []any{pack(r.Raw), cal, r.ID}
		}
		last, n = list[len(list)-1].ID, int64(len(list))
		_, err = t.execMany(ctx, `UPDATE event SET said = ? WHERE calendar_id = ? AND id = ?`, args)
		return err
	})
	return last, n, err
}

// giveBack makes the file smaller where packing has left that to be done, and returns by how many octets. room tells what is free on the
// disk of a folder. It is no trouble where it fails: what is free in the file is used again, and the next start tries once more.
func (s *Store) giveBack(ctx context.Context, path string, room func(folder string) (octets int64, known bool)) (freed int64, err error) {
	if _, err := s.meta(ctx, metaRoomy); errors.Is(err, bridge.ErrNotFound) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	var pages, free, size int64
	for pragma, into := range map[string]*int64{"page_count": &pages, "freelist_count": &free, "page_size": &size} {
		if err := s.write.QueryRowContext(ctx, `PRAGMA `+pragma).Scan(into); err != nil {
			return 0, err
		}
	}
	if free*roomyFrom >= pages {
		// The new file is written beside the old one, and then to the log, before it takes the old one's place.
		need := 2 * (pages - free) * size
		if have, known := room(filepath.Dir(path)); known && have < need {
			return 0, fmt.Errorf("%d MiB of the file are free: giving them back takes %d MiB on the disk, which has %d", free*size>>20, need>>20+1, have>>20)
		}
		if err := s.shrink(ctx, path); err != nil {
			return 0, explain(path, err)
		}
		freed = free * size
	}
	_, err = s.write.exec(ctx, `DELETE FROM meta WHERE key = ?`, metaRoomy)
	return freed, err
}

// shrink gives the pages of a file that nothing is on any more back to the system. What it needs for itself lies beside the
// file: there need be no folder for temporary files.
func (s *Store) shrink(ctx context.Context, path string) error {
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, do := range []string{
		`PRAGMA temp_store = file`,
		`PRAGMA temp_store_directory = '` + strings.ReplaceAll(filepath.Dir(path), `'`, `''`) + `'`,
		`VACUUM`,
		`PRAGMA wal_checkpoint(truncate)`,
	} {
		if _, err = conn.ExecContext(ctx, do); err != nil {
			break
		}
	}
	after := context.WithoutCancel(ctx)
	for _, do := range []string{`PRAGMA temp_store_directory = ''`, `PRAGMA temp_store = memory`} {
		if _, resetErr := conn.ExecContext(after, do); resetErr != nil {
			err = errors.Join(err, resetErr)
		}
	}
	return err
}
