package sqlstore

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"
	"time"

	"outbridge/bridge"
)

// ofETag is how much of its object's ETag a timetable is kept with.
const ofETag = 8

// keptTimetable is the timetable of an object as it is kept. It names the ETag, since an older program that publishes on the same
// server knows nothing of timetables and leaves the one that was there.
func keptTimetable(o *bridge.Object) string {
	if o.Timetable == "" {
		return ""
	}
	return o.ETag[:min(len(o.ETag), ofETag)] + o.Timetable
}

// timetableOf is the timetable that is kept for an object of that ETag.
func timetableOf(kept, etag string) string {
	t, ok := strings.CutPrefix(kept, etag[:min(len(etag), ofETag)])
	if !ok {
		return ""
	}
	return t
}

// setTimetables gives objects that stay as they are, staged or published, other timetables.
func setTimetables(ctx context.Context, t tx, id bridge.CalendarID, list []bridge.Derived) error {
	var rows [][]any
	for _, d := range list {
		if o := d.Retimed; o != nil {
			rows = append(rows, []any{keptTimetable(o), id, o.Name, o.ETag})
		}
	}
	for _, table := range []string{"object", "staged"} {
		if _, err := t.execMany(ctx, `UPDATE `+table+` SET timetable = ? WHERE calendar_id = ? AND name = ? AND etag = ? AND deleted = 0`, rows); err != nil {
			return err
		}
	}
	return nil
}

// What a list of objects tells of each, as one value: reading a row of as many columns takes ten times as long as finding it. A name has
// neither slashes nor controls. Without an end, an objectLine ends after first_start.
const (
	objectLine = `concat_ws('/', name, etag, rev, modified, size, first_start, last_end)`
	timedLine  = `concat_ws('/', name, etag, rev, modified, size, first_start, coalesce(CAST(last_end AS TEXT), ''), deleted, timetable)`
)

// within is a query of something of the objects that may have an instance in a range of time, at most ?5 of them. Its conditions are those
// of the indexes that it reads.
func within(what string) string {
	return `
	SELECT ` + what + ` FROM object INDEXED BY object_short
		WHERE calendar_id = ?1 AND deleted = 0 AND last_end - first_start <= 604800
		AND first_start >= ?2 AND first_start <= ?4 AND last_end >= ?3
	UNION ALL SELECT ` + what + ` FROM object INDEXED BY object_long
		WHERE calendar_id = ?1 AND deleted = 0 AND (last_end IS NULL OR last_end - first_start > 604800)
		AND (last_end IS NULL OR last_end >= ?3) AND first_start <= ?4
	LIMIT ?5`
}

var (
	withinQuery = within(timedLine)
	withinCount = `SELECT count(*) FROM (` + within(`1`) + `) AS listed`
)

func (s *Store) ObjectsWithin(ctx context.Context, id bridge.CalendarID, start, end time.Time, limit int) (list []bridge.Object, all bool, err error) {
	args := []any{id, start.Unix() - 604800, start.Unix(), end.Unix(), limit + 1}
	var n int64 // first, so that no more is read than is listed
	err = s.read.each(ctx, withinCount, args, func(row []driver.Value) (_ bool, err error) {
		n = column[int64](row, 0, &err)
		return true, err
	})
	if all = n <= int64(limit); all && err == nil {
		list = make([]bridge.Object, 0, n)
		err = s.read.each(ctx, withinQuery, args, func(row []driver.Value) (bool, error) {
			o, err := listed(row)
			list = append(list, o)
			return true, err
		})
	}
	if err != nil {
		return nil, false, fmt.Errorf("list objects by time: %w", err)
	}
	if all = all && len(list) <= limit; !all { // there may be more by now
		list = nil
	}
	return list, all, nil
}

// readLine reads an objectLine or a timedLine.
func readLine(line string) (o bridge.Object, err error) {
	field := func() (s string) {
		s, line, _ = strings.Cut(line, "/")
		return s
	}
	number := func(s string) int64 {
		n, wrong := strconv.ParseInt(s, 10, 64)
		if wrong != nil {
			err = wrong
		}
		return n
	}
	o.Name, o.ETag, o.Rev = field(), field(), number(field())
	o.Modified = time.Unix(number(field()), 0).UTC()
	o.Size = int(number(field()))
	o.First = time.Unix(number(field()), 0).UTC()
	if last := field(); last != "" {
		o.Last = time.Unix(number(last), 0).UTC()
	}
	if line != "" { // of a timedLine
		o.Deleted = number(field()) != 0
		o.Timetable = timetableOf(line, o.ETag)
	}
	return o, err
}
