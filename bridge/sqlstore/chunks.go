package sqlstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// Occurrences are by far the most of what a mirror has, and those of one series are nearly the same. So they are kept in chunks, some
// tens of one series in a row of the table chunk, packed. A change rewrites a chunk and not the series. The table stretch tells in which
// chunks an id may be, by a hash; what the chunks have decides.
const (
	chunkRows   = 32
	chunkOctets = 64 << 10 // of a chunk, unpacked, unless one occurrence alone has more
)

// hashOf is by what an id is looked up. Occurrences of a series that are within three weeks of each other have the same, where their ids are
// like those that Exchange gives out: all but the time of the instance, after "RAAgI", is that of the series there, and two digits of the time
// are twenty days. Hashes begin alike where ids end alike, as those of one series do, so that these are written next to each other. An id
// of another form has a hash of its own.
func hashOf(id graph.EventID) string {
	const mark, digits, kept = "RAAgI", 11, 2
	s := strings.TrimRight(string(id), "=")
	if before, after, ok := strings.Cut(s, mark); ok && len(after) >= digits {
		s = before + after[:kept] + after[digits:]
	}
	end, all := sha256.Sum256([]byte(s[max(0, len(s)-16):])), sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(append(end[:2:2], all[:4]...))
}

// hashesOf are those of some ids, each once.
func hashesOf(ids []graph.EventID) list {
	l := make([]string, len(ids))
	for i, id := range ids {
		l[i] = hashOf(id)
	}
	slices.Sort(l)
	return slices.Compact(l)
}

// chunk is a row of that table while it is changed.
type chunk struct {
	id     int64
	series graph.EventID
	rows   map[graph.EventID]bridge.Row
	octets int
	came   []graph.EventID // since it was read; some may have gone again
	went   []graph.EventID // or have come again
	stored bool
	dirty  bool
}

func sizeOf(r bridge.Row) int {
	return len(r.ID) + len(r.Subject) + len(r.ICalUID) + len(r.Raw) + 20
}

// takes reports whether there is room for a row, in place of one of its id perhaps.
func (c *chunk) takes(r bridge.Row) bool {
	octets := c.octets + sizeOf(r)
	have, replaces := c.rows[r.ID]
	others := len(c.rows)
	if replaces {
		octets -= sizeOf(have)
		others--
	}
	return others == 0 || others < chunkRows && octets <= chunkOctets
}

func (c *chunk) put(r bridge.Row) {
	if have, ok := c.rows[r.ID]; ok {
		c.octets -= sizeOf(have)
	} else {
		c.came = append(c.came, r.ID)
	}
	c.rows[r.ID] = r
	c.octets += sizeOf(r)
	c.dirty = true
}

func (c *chunk) remove(id graph.EventID) {
	if have, ok := c.rows[id]; ok {
		delete(c.rows, id)
		c.octets -= sizeOf(have)
		c.went = append(c.went, id)
	}
	c.dirty = true
}

// hashes are those that lead to it.
func (c *chunk) hashes() map[string]bool {
	all := make(map[string]bool, len(c.rows))
	for id := range c.rows {
		all[hashOf(id)] = true
	}
	return all
}

// changes are hashes that are to lead to it, of which some do already, and those that are not to any more.
func (c *chunk) changes() (put, gone map[string]bool) {
	put, gone = map[string]bool{}, map[string]bool{}
	for _, id := range c.came {
		if _, ok := c.rows[id]; ok {
			put[hashOf(id)] = true
		}
	}
	if len(c.went) > 0 && c.stored {
		stay := c.hashes()
		for _, id := range c.went {
			if hash := hashOf(id); !stay[hash] {
				gone[hash] = true
			}
		}
	}
	return put, gone
}

// chunks are those of a calendar that a transaction changes. Whoever has them has locked the calendar.
type chunks struct {
	tx
	calendar bridge.CalendarID
	all      map[int64]*chunk
	last     int64                     // id
	in       map[graph.EventID]*chunk  // by the ids of occurrences
	open     map[graph.EventID][]int64 // chunks with room, by series
}

func newChunks(t tx, id bridge.CalendarID) *chunks {
	return &chunks{tx: t, calendar: id, all: map[int64]*chunk{}, in: map[graph.EventID]*chunk{}, open: map[graph.EventID][]int64{}}
}

const chunkColumns = `id, series, said`

// load reads chunks that a condition selects.
func (c *chunks) load(ctx context.Context, which string, args ...any) error {
	rows, err := c.query(ctx, `SELECT `+chunkColumns+` FROM chunk WHERE calendar_id = ?1 AND `+which, append([]any{c.calendar}, args...)...)
	_, err = collect(rows, err, func(r *sql.Rows) (_ struct{}, err error) {
		one := chunk{rows: map[graph.EventID]bridge.Row{}, stored: true}
		var said []byte
		if err := r.Scan(&one.id, &one.series, &said); err != nil || c.all[one.id] != nil {
			return struct{}{}, err
		}
		list, err := unpackRows(said, one.series)
		if err != nil {
			return struct{}{}, fmt.Errorf("occurrences of %s: %w", one.series, err)
		}
		for _, row := range list {
			one.put(row)
			c.in[row.ID] = &one
		}
		one.came, one.dirty = nil, false
		c.all[one.id] = &one
		c.open[one.series] = append(c.open[one.series], one.id)
		return struct{}{}, nil
	})
	return err
}

// putOccurrences makes the chunks of a calendar have some occurrences and none of other ids. Occurrences among put that the
// table event has, which were something else, are left to the caller.
func (t tx) putOccurrences(ctx context.Context, id bridge.CalendarID, put []bridge.Row, gone []graph.EventID) error {
	c := newChunks(t, id)
	ids := slices.Clone(gone)
	var series []graph.EventID
	for _, r := range put {
		ids = append(ids, r.ID)
		series = append(series, r.Series)
	}
	if len(ids) == 0 {
		return nil
	}
	if err := c.load(ctx, `id IN (SELECT chunk FROM stretch WHERE calendar_id = ?1 AND hash IN list(?2))`, hashesOf(ids)); err != nil {
		return err
	}
	if len(put) > 0 {
		slices.Sort(series)
		if err := c.load(ctx, `series IN list(?2) AND room = 1`, listOf(slices.Compact(series))); err != nil {
			return err
		}
		if err := t.row(ctx, `SELECT coalesce(max(id), 0) FROM chunk WHERE calendar_id = ?`, id).Scan(&c.last); err != nil {
			return err
		}
	}
	for _, id := range gone {
		if in := c.in[id]; in != nil {
			in.remove(id)
		}
	}
	for _, r := range put {
		in := c.in[r.ID]
		if in != nil && (in.series != r.Series || !in.takes(r)) {
			in.remove(r.ID)
			in = nil
		}
		if in == nil {
			in = c.withRoom(r)
		}
		in.put(r)
		c.in[r.ID] = in
	}
	return c.store(ctx)
}

// withRoom is a chunk that takes a row, a new one where there is none.
func (c *chunks) withRoom(r bridge.Row) *chunk {
	for len(c.open[r.Series]) > 0 {
		if one := c.all[c.open[r.Series][0]]; one.takes(r) {
			return one
		}
		c.open[r.Series] = c.open[r.Series][1:]
	}
	c.last++
	one := &chunk{id: c.last, series: r.Series, rows: map[graph.EventID]bridge.Row{}}
	c.all[one.id] = one
	c.open[r.Series] = append(c.open[r.Series], one.id)
	return one
}

func (c *chunks) store(ctx context.Context) error {
	var chunksGone, chunksPut, hashesGone, hashesPut [][]any
	ids := make([]int64, 0, len(c.all))
	for id := range c.all {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		one := c.all[id]
		if !one.dirty {
			continue
		}
		put, gone := one.changes()
		for hash := range put {
			hashesPut = append(hashesPut, []any{c.calendar, hash, id})
		}
		for hash := range gone {
			hashesGone = append(hashesGone, []any{c.calendar, hash, id})
		}
		list := slices.Collect(maps.Values(one.rows))
		switch {
		case len(list) > 0:
			slices.SortFunc(list, byID)
			var span bridge.Row // of all that have a time
			for _, row := range list {
				if start := row.Span.Start; !start.IsZero() && (span.Span.Start.IsZero() || start.Before(span.Span.Start)) {
					span.Span.Start = start
				}
				if end := row.Span.End; end.After(span.Span.End) {
					span.Span.End = end
				}
			}
			room := len(list) < chunkRows && one.octets < chunkOctets
			chunksPut = append(chunksPut, []any{c.calendar, id, one.series, room, unix(span.Span.Start), unix(span.Span.End), packRows(list)})
		case one.stored:
			chunksGone = append(chunksGone, []any{c.calendar, id})
		}
	}
	// In order, so that the same page is always the same writes.
	for _, list := range [][][]any{hashesGone, hashesPut} {
		slices.SortFunc(list, func(a, b []any) int {
			return cmp.Or(strings.Compare(a[1].(string), b[1].(string)), cmp.Compare(a[2].(int64), b[2].(int64)))
		})
	}
	for _, do := range []struct {
		query string
		args  [][]any
	}{
		{`DELETE FROM stretch WHERE calendar_id = ? AND hash = ? AND chunk = ?`, hashesGone},
		{`DELETE FROM chunk WHERE calendar_id = ? AND id = ?`, chunksGone},
		{`INSERT INTO chunk (calendar_id, id, series, room, first_start, last_end, said) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (calendar_id, id) DO UPDATE SET room = excluded.room, first_start = excluded.first_start, last_end = excluded.last_end, said = excluded.said`, chunksPut},
		{`INSERT INTO stretch (calendar_id, hash, chunk) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, hashesPut},
	} {
		if _, err := c.execMany(ctx, do.query, do.args); err != nil {
			return err
		}
	}
	return nil
}

func byID(a, b bridge.Row) int { return strings.Compare(string(a.ID), string(b.ID)) }
