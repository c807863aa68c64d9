package sqlstore

import (
	"cmp"
	"context"
	"database/sql/driver"
	"fmt"
	"math"
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

// withinQuery lists the objects that may have an instance in a range of time. Its conditions are those of the indexes that it reads, and it
// is one statement, so that an object that is published meanwhile is in it once.
const withinQuery = `
	SELECT ` + timedLine + ` FROM object INDEXED BY object_short
		WHERE calendar_id = ?1 AND deleted = 0 AND last_end - first_start <= 604800
		AND first_start >= ?2 AND first_start <= ?4 AND last_end >= ?3
	UNION ALL SELECT ` + timedLine + ` FROM object INDEXED BY object_long
		WHERE calendar_id = ?1 AND deleted = 0 AND (last_end IS NULL OR last_end - first_start > 604800)
		AND (last_end IS NULL OR last_end >= ?3) AND first_start <= ?4`

func (s *Store) ObjectsWithin(ctx context.Context, id bridge.CalendarID, start, end time.Time, each func(*bridge.Object) bool) error {
	from, to := int64(math.MinInt64/2), int64(math.MaxInt64)
	if !start.IsZero() {
		from = start.Unix()
	}
	if !end.IsZero() {
		to = end.Unix()
	}
	var o bridge.Object
	err := s.read.each(ctx, withinQuery, []any{id, from - 604800, from, to}, func(row []driver.Value) (more bool, err error) {
		if err := listed(row, &o); err != nil {
			return false, err
		}
		return each(&o), nil
	})
	if err != nil {
		return fmt.Errorf("list objects by time: %w", err)
	}
	return nil
}

// readLine reads an objectLine or a timedLine.
func readLine(text string, o *bridge.Object) error {
	l := line{rest: text}
	o.Name, o.ETag, o.Rev = l.text(), l.text(), l.number()
	o.Modified = time.Unix(l.number(), 0).UTC()
	o.Size = int(l.number())
	o.First = time.Unix(l.number(), 0).UTC()
	o.Last, o.Deleted, o.Timetable = time.Time{}, false, ""
	switch {
	case strings.HasPrefix(l.rest, "/"):
		l.text()
	case l.rest != "":
		o.Last = time.Unix(l.number(), 0).UTC()
	}
	if l.rest != "" { // of a timedLine
		o.Deleted = l.number() != 0
		o.Timetable = timetableOf(l.rest, o.ETag)
	}
	return l.err
}

// line is what is left to be read of one.
type line struct {
	rest string
	err  error
}

func (l *line) text() (s string) {
	s, l.rest, _ = strings.Cut(l.rest, "/")
	return s
}

func (l *line) number() (n int64) {
	for i := 0; i < min(len(l.rest), 18); i++ {
		c := l.rest[i]
		if c == '/' && i > 0 {
			l.rest = l.rest[i+1:]
			return n
		}
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int64(c-'0')
	}
	n, err := strconv.ParseInt(l.text(), 10, 64) // a negative one, the last one, or none
	l.err = cmp.Or(l.err, err)
	return n
}
