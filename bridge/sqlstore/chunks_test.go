package sqlstore

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// occurrence is one as Graph says it, with ids as long as they are there.
func occurrence(series, n int, round int64) bridge.Row {
	master := longID(series)
	start := now.Add(hour(24 * n))
	instance := binary.BigEndian.AppendUint64([]byte{0, 8}, uint64(start.Unix()*1e7+621355968000000000)) // "AAgI…"
	id := fmt.Sprintf("%sFR%sA%sAABDQAA%04dAAEA==", master[:34], base64.RawURLEncoding.EncodeToString(instance), master[34:], series)
	return bridge.Row{ID: graph.EventID(id), Series: graph.EventID(master), Kind: bridge.KindOccurrence, Round: round,
		Span: convert.Span{Start: start, End: start.Add(time.Hour)},
		Raw: fmt.Appendf(nil, `{"@odata.etag":"W/\"%d\"","@odata.type":"#microsoft.graph.event","end":{"dateTime":"%s","timeZone":"UTC"},"id":"%s","seriesMasterId":"%s"}`,
			series, start.Add(time.Hour).Format(time.RFC3339), id, master)}
}

func longID(n int) string { return "AAMkA" + strings.Repeat("x", 120) + fmt.Sprintf("%08d", n) }

// sums has octets compared as one value: a difference of long ones takes minutes to work out.
var sums = cmp.Transformer("sum", func(b []byte) [32]byte { return sha256.Sum256(b) })

// TestChunks puts, changes, moves and takes away occurrences at random, and holds what is there against a map.
func TestChunks(t *testing.T) { forEach(t, testChunks) }

func testChunks(t *testing.T, s *Store) {
	c := calendar(t, s)
	r := rand.New(rand.NewPCG(1, 2))
	want := map[graph.EventID]bridge.Row{}
	kinds := []string{bridge.KindOccurrence, bridge.KindOccurrence, bridge.KindOccurrence, bridge.KindOccurrence, bridge.KindException, bridge.KindOrphan}
	for round := range int64(12) {
		page := map[graph.EventID]bridge.Row{}
		for range r.IntN(150) {
			one := occurrence(r.IntN(4), r.IntN(120), round)
			one.Kind = kinds[r.IntN(len(kinds))]
			switch {
			case r.IntN(10) == 0: // of another series than before
				one.Series = graph.EventID(longID(9))
			case r.IntN(15) == 0:
				one.Raw = bytes.Repeat([]byte{'x'}, r.IntN(2*chunkOctets))
			case r.IntN(15) == 0:
				one.Span, one.Subject, one.ICalUID = convert.Span{}, "Lunch", "0400"
			}
			page[one.ID] = one
		}
		p := bridge.MirrorPage{}
		for id, one := range page {
			p.Rows = append(p.Rows, one)
			want[id] = one
		}
		for id := range want {
			if _, put := page[id]; !put && r.IntN(8) == 0 {
				p.Gone = append(p.Gone, id)
				delete(want, id)
			}
		}
		mirror(t, s, &c, p)
		var ids, series []graph.EventID
		bySeries := map[graph.EventID][]bridge.Row{}
		for n := range 4 * 120 {
			ids = append(ids, occurrence(n/120, n%120, 0).ID)
		}
		for _, one := range want {
			bySeries[one.Series] = append(bySeries[one.Series], one)
		}
		for n := range 10 {
			series = append(series, graph.EventID(longID(n)))
		}
		for _, rows := range bySeries {
			slices.SortFunc(rows, byID)
		}
		if d := cmp.Diff(want, must(s.Rows(t.Context(), c.ID, ids))(t), sums); d != "" {
			t.Fatalf("round %d: %s", round, d)
		}
		if d := cmp.Diff(bySeries, must(s.RowsOf(t.Context(), c.ID, series))(t), sums); d != "" {
			t.Fatalf("round %d: %s", round, d)
		}
		span := convert.Span{Start: now.Add(hour(24 * 20)), End: now.Add(hour(24 * 40))}
		inside := map[graph.EventID]bridge.Row{}
		for id, one := range want {
			if one.Span.Start.Before(span.End) && one.Span.End.After(span.Start) {
				one.Raw, one.Subject, one.ICalUID = nil, "", ""
				inside[id] = one
			}
		}
		got := map[graph.EventID]bridge.Row{}
		for one, err := range s.RowsIn(t.Context(), c.ID, span) {
			if _, twice := got[one.ID]; err != nil || twice {
				t.Fatalf("round %d: %v %s", round, err, one.ID)
			}
			one.Subject, one.ICalUID = "", ""
			got[one.ID] = one
		}
		if d := cmp.Diff(inside, got); d != "" {
			t.Fatalf("round %d: %s", round, d)
		}
		checkStretches(t, s)
	}
	var gone []graph.EventID
	for id := range want {
		gone = append(gone, id)
	}
	mirror(t, s, &c, bridge.MirrorPage{Gone: gone})
	var left int
	if err := s.read.row(t.Context(), `SELECT (SELECT count(*) FROM chunk) + (SELECT count(*) FROM stretch) + (SELECT count(*) FROM event)`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows are left: %v", left, err)
	}
}

// checkStretches makes sure that there is a row for each chunk that an id may be in, and no other.
func checkStretches(t *testing.T, s *Store) {
	t.Helper()
	type place struct {
		Hash  string
		Chunk int64
	}
	want, got := map[place]bool{}, map[place]bool{}
	rows := must(s.read.query(t.Context(), `SELECT id, series, said FROM chunk`))(t)
	_, err := collect(rows, nil, func(r *sql.Rows) (_ struct{}, err error) {
		var id int64
		var series graph.EventID
		var said []byte
		if err := r.Scan(&id, &series, &said); err != nil {
			return struct{}{}, err
		}
		list, err := unpackRows(said, series)
		for _, one := range list {
			want[place{hashOf(one.ID), id}] = true
		}
		return struct{}{}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	rows = must(s.read.query(t.Context(), `SELECT hash, chunk FROM stretch`))(t)
	_, err = collect(rows, nil, func(r *sql.Rows) (_ struct{}, err error) {
		var p place
		err = r.Scan(&p.Hash, &p.Chunk)
		got[p] = true
		return struct{}{}, err
	})
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Fatal(err, d)
	}
}

// TestPageRewritesLittle: what a page of a long series writes depends on the page and not on the series.
func TestPageRewritesLittle(t *testing.T) {
	t.Parallel()
	s := openDatabase(t, filepath.Join(t.TempDir(), "outbridge.db"), freshKey())
	c := calendar(t, s)
	for n := range 40 { // 2,000 occurrences
		var p bridge.MirrorPage
		for i := range 50 {
			p.Rows = append(p.Rows, occurrence(1, 50*n+i, 1))
		}
		mirror(t, s, &c, p)
	}
	saidOf := func() map[int64]string {
		rows := must(s.read.Query(`SELECT id, said FROM chunk`))(t)
		defer rows.Close()
		all := map[int64]string{}
		for rows.Next() {
			var id int64
			var said string
			if err := rows.Scan(&id, &said); err != nil {
				t.Fatal(err)
			}
			all[id] = said
		}
		return all
	}
	before := saidOf()
	if len(before) > 2000/chunkRows+1 {
		t.Errorf("%d chunks", len(before))
	}
	octets := 0
	for _, said := range before {
		octets += len(said)
	}
	if octets > 2000*50 {
		t.Errorf("an occurrence takes %d octets", octets/2000)
	}
	var p bridge.MirrorPage
	for i := range 50 {
		p.Rows = append(p.Rows, occurrence(1, 1000+i, 2))
	}
	mirror(t, s, &c, p)
	changed := 0
	for id, said := range saidOf() {
		if before[id] != said {
			changed++
		}
	}
	if changed == 0 || changed > 50/chunkRows+2 {
		t.Errorf("%d of %d chunks were written again", changed, len(before))
	}
}

// TestFindOccurrence: an occurrence is found in its calendar by its id, and by the other calendars of its mailbox.
func TestFindOccurrence(t *testing.T) { forEach(t, testFindOccurrence) }

func testFindOccurrence(t *testing.T, s *Store) {
	a := must(s.EnsureAccount(t.Context(), "alice"))(t)
	if _, err := s.SetCalendars(t.Context(), a.ID, []bridge.Calendar{{GraphID: "A", Name: "a", Modified: now}, {GraphID: "B", Name: "b", Modified: now, Order: 1}}); err != nil {
		t.Fatal(err)
	}
	cals := must(s.Calendars(t.Context(), a.ID))(t)
	one, other := occurrence(1, 1, 1), occurrence(1, 2, 1)
	mirror(t, s, &cals[0], bridge.MirrorPage{Rows: []bridge.Row{one}})
	there := must(s.Elsewhere(t.Context(), cals[1].ID, []graph.EventID{one.ID, other.ID}))(t)
	if d := cmp.Diff(map[graph.EventID]bridge.CalendarID{one.ID: cals[0].ID}, there); d != "" {
		t.Error(d)
	}
	if there := must(s.Elsewhere(t.Context(), cals[0].ID, []graph.EventID{one.ID}))(t); len(there) > 0 {
		t.Error(there)
	}
	for account, n := range map[string]int{"alice": 1, "": 1, "bob": 0} {
		if found := must(s.FindSeries(t.Context(), account, string(one.ID), 5))(t); len(found) != n || n > 0 && (found[0].Series != one.Series || !found[0].Start.Equal(one.Span.Start)) {
			t.Errorf("%q: %+v", account, found)
		}
	}
	if found := must(s.FindSeries(t.Context(), "", string(other.ID), 5))(t); len(found) > 0 {
		t.Errorf("%+v", found)
	}
	// What is found by a hash is what was asked for, even where two ids have the same.
	if _, err := s.write.exec(t.Context(), `UPDATE stretch SET hash = ?`, hashOf(other.ID)); err != nil {
		t.Fatal(err)
	}
	if rows := must(s.Rows(t.Context(), cals[0].ID, []graph.EventID{other.ID}))(t); len(rows) > 0 {
		t.Errorf("%v", rows)
	}
	if there := must(s.Elsewhere(t.Context(), cals[1].ID, []graph.EventID{other.ID}))(t); len(there) > 0 {
		t.Error(there)
	}
}

// TestHashes: occurrences of a series that are near each other have a hash in common, and what is told apart otherwise has not.
func TestHashes(t *testing.T) {
	t.Parallel()
	stretches := map[string]int{}
	for n := range 365 {
		stretches[hashOf(occurrence(1, n, 0).ID)]++
	}
	if len(stretches) < 365/21 || len(stretches) > 365/20+2 {
		t.Errorf("a year is %d stretches", len(stretches))
	}
	alike := func(a, b string) bool { return hashOf(graph.EventID(a)) == hashOf(graph.EventID(b)) }
	const first, second, later = "AAMkADBlMgFRAAgI1P7XxXviAAEYAAAAlG55PFBxR4gAAEA==", "AAMkADBlMgFRAAgI1P_XxXviAAEYAAAAlG55PFBxR4gAAEA==", "AAMkADBlMgFRAAgI21cy0tHAAEYAAAAAlG55PFBxR4gAAEA=="
	if !alike(first, second) || alike(first, later) {
		t.Error("not by the time of the instance")
	}
	for _, other := range []string{"AAMkADBlMgFRAAgI1P7XxXviAAEYAAAAlG55PFBxR4kAAEA==", "AAMkADBmMgFRAAgI1P7XxXviAAEYAAAAlG55PFBxR4gAAEA==", "aaMkADBlMgFRAAgI1P7XxXviAAEYAAAAlG55PFBxR4gAAEA=="} {
		if alike(first, other) {
			t.Errorf("%s is found with %s", other, first)
		}
	}
	for _, other := range []string{"", "=", "RAAgI", "evt-1-20261128", "evt-1-20261129", "RAAgI1234567890"} {
		for _, one := range []string{"evt-1-20261127", "RAAgI12", "A"} {
			if alike(one, other) {
				t.Errorf("%q is found with %q", one, other)
			}
		}
	}
}

// TestDamagedChunk: octets that are none of ours are an error, and no occurrences.
func TestDamagedChunk(t *testing.T) {
	t.Parallel()
	rows := []bridge.Row{occurrence(1, 1, 1), occurrence(1, 2, 1)}
	packed := packRows(rows)
	if got, err := unpackRows(packed, rows[0].Series); err != nil || cmp.Diff(rows, got) != "" {
		t.Fatalf("%v %s", err, cmp.Diff(rows, got))
	}
	plain := must(unpacker.DecodeAll(packed, nil))(t)
	for n := 1; n < len(plain)/2; n++ {
		if _, err := unpackRows(packer.EncodeAll(plain[:n], nil), "M"); !errors.Is(err, errDamaged) {
			t.Fatalf("%d octets: %v", n, err)
		}
	}
	if _, err := unpackRows([]byte("nonsense"), "M"); !errors.Is(err, errDamaged) {
		t.Error(err)
	}
}

// before is a database as it was before a migration, with two calendars, 1 and 2, and what changes it.
func before(t *testing.T, database, migration string) (db *sql.DB, exec func(query string, args ...any)) {
	t.Helper()
	kind := "sqlite"
	if IsServer(database) {
		kind = "postgres"
	}
	names := must(fs.Glob(migrations, "migrations/"+kind+"/*.sql"))(t)
	db = atMigrations(t, database, slices.DeleteFunc(names, func(name string) bool { return filepath.Base(name) >= migration }))
	exec = func(query string, args ...any) {
		t.Helper()
		if IsServer(database) {
			query = forPostgres(query).text
		}
		if _, err := db.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	if kind == "sqlite" {
		exec(`PRAGMA synchronous = off`)
	}
	exec(`INSERT INTO account (name) VALUES ('alice')`)
	for cal := range 2 {
		exec(`INSERT INTO calendar (account_id, graph_id, name, display_name, color, can_edit, is_default, owner, position, epoch, modified)
			VALUES (1, ?, ?, 'Calendar', '', 1, 1, 'alice@x.example', 1, 'e', 7)`, fmt.Sprint("AAMk", cal), fmt.Sprint("calendar", cal))
	}
	return db, exec
}

// TestSchema20 packs what databases of before have, whole, and again after the process that did it was killed.
func TestSchema20(t *testing.T) { forEachDatabase(t, testSchema20) }

func testSchema20(t *testing.T, database string) {
	db, exec := before(t, database, "0021")
	var want []bridge.Row
	for cal := range 2 {
		for series := range packSeries + 10 {
			master := row(longID(series), longID(series), bridge.KindMaster, 1)
			master.Raw = fmt.Appendf(nil, `{"id":"%s","subject":"%s"}`, master.ID, strings.Repeat("Review ", 20))
			list := []bridge.Row{master, occurrence(series, 1, 1), occurrence(series, 2, 1), occurrence(series, 3, 2)}
			list[3].Kind = bridge.KindException
			for _, r := range list {
				exec(`INSERT INTO event (calendar_id, id, series, kind, round, first_start, last_end, raw) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
					cal+1, r.ID, r.Series, r.Kind, r.Round, r.Span.Start.Unix(), r.Span.End.Unix(), r.Raw)
				if cal == 0 {
					want = append(want, r)
				}
			}
		}
	}
	db.Close()
	slices.SortFunc(want, byID)
	key := freshKey()
	check := func(s *Store) {
		t.Helper()
		for cal := range 2 {
			var got []bridge.Row
			for series := range packSeries + 10 {
				got = append(got, must(s.SeriesRows(t.Context(), bridge.CalendarID(cal+1), graph.EventID(longID(series))))(t)...)
			}
			slices.SortFunc(got, byID)
			if d := cmp.Diff(want, got); d != "" {
				t.Fatal(d)
			}
		}
		var left, wide int
		if err := s.read.row(t.Context(), `SELECT count(*), coalesce(max(length(said)), 0) FROM event WHERE kind IN ('occurrence', 'master')`).Scan(&left, &wide); err != nil || left != 2*(packSeries+10) || wide >= len(want[0].Raw) {
			t.Errorf("%d rows of up to %d octets: %v", left, wide, err)
		}
	}
	var last Packing
	s, err := Open(t.Context(), database, key, func(p Packing) { last = p })
	if err != nil {
		t.Fatal(err)
	}
	if last.Done != last.Total || last.Total != int64(2*len(want)) || last.Left != nil {
		t.Errorf("the last report: %+v", last)
	}
	check(s)
	// Killed in between: some of it is done, and the next program does the rest.
	back := want[slices.IndexFunc(want, func(r bridge.Row) bool { return r.Kind == bridge.KindOccurrence })]
	err = s.write.transact(t.Context(), func(tx tx) error {
		if err := tx.putOccurrences(t.Context(), 1, nil, []graph.EventID{back.ID}); err != nil {
			return err
		}
		if _, err := tx.exec(t.Context(), `INSERT INTO event (calendar_id, id, series, kind, round, first_start, last_end, said) VALUES (1, ?, ?, ?, ?, ?, ?, ?)`,
			back.ID, back.Series, back.Kind, back.Round, back.Span.Start.Unix(), back.Span.End.Unix(), back.Raw); err != nil {
			return err
		}
		_, err := tx.exec(t.Context(), putMeta, metaUnpacked, []byte("1"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = openDatabase(t, database, key)
	check(s)
	// Killed right after it: that a file is to be made smaller is remembered.
	err = errors.Join(s.setMeta(t.Context(), metaUnpacked, []byte("1")), s.packOld(t.Context(), func(Packing) {}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.meta(t.Context(), metaRoomy); errors.Is(err, bridge.ErrNotFound) != IsServer(database) {
		t.Error(err)
	}
}

// TestSchema23: occurrences that an older program has put into chunks are found by their ids, also where the first attempt was cut short.
func TestSchema23(t *testing.T) { forEachDatabase(t, testSchema23) }

func testSchema23(t *testing.T, database string) {
	db, exec := before(t, database, "0024")
	exec(`DELETE FROM meta WHERE key = ?`, metaUnpacked)
	var all []bridge.Row
	for cal := range 2 {
		for series := range packSeries + 10 {
			for id := range 2 {
				var list []bridge.Row
				for n := range 10 {
					list = append(list, occurrence(series, id*100+n, 0))
				}
				slices.SortFunc(list, byID)
				exec(`INSERT INTO chunk (calendar_id, id, series, room, said) VALUES (?, ?, ?, 1, ?)`, cal+1, 2*series+id+1, list[0].Series, packRows(list))
				if cal == 0 {
					all = append(all, list...)
				}
			}
		}
	}
	db.Close()
	key := freshKey()
	var last Packing
	s, err := Open(t.Context(), database, key, func(p Packing) { last = p })
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(4 * (packSeries + 10)); last.Done != want || last.Total != want {
		t.Errorf("the last report: %+v", last)
	}
	check := func() {
		t.Helper()
		checkStretches(t, s)
		var ids []graph.EventID
		for _, r := range all {
			ids = append(ids, r.ID)
		}
		for cal := range 2 {
			if rows := must(s.Rows(t.Context(), bridge.CalendarID(cal+1), ids))(t); len(rows) != len(all) {
				t.Fatalf("%d of %d occurrences are found", len(rows), len(all))
			}
		}
	}
	check()
	if _, err := s.write.exec(t.Context(), `DELETE FROM stretch WHERE chunk > 20`); err != nil {
		t.Fatal(err)
	}
	if err := s.setMeta(t.Context(), metaUnhashed, []byte("1")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = openDatabase(t, database, key)
	check()
}

// TestFileShrinks: what packing has freed is not kept in the file.
func TestFileShrinks(t *testing.T) {
	t.Parallel()
	s := openDatabase(t, filepath.Join(t.TempDir(), "it's.db"), freshKey())
	freePages(t, s)
	if err := s.shrink(t.Context(), s.write.path); err != nil || free(t, s) > 0 {
		t.Errorf("%d free pages: %v", free(t, s), err)
	}
	var store int
	if err := s.write.QueryRow(`PRAGMA temp_store`).Scan(&store); err != nil || store != 2 {
		t.Errorf("temp_store %d: %v", store, err)
	}
}

// TestFileShrinksLater: where the process ended between packing and making the file smaller, or that failed, the next start does it, once.
func TestFileShrinksLater(t *testing.T) {
	t.Parallel()
	path, key := filepath.Join(t.TempDir(), "outbridge.db"), freshKey()
	s := openDatabase(t, path, key)
	freePages(t, s)
	if err := s.setMeta(t.Context(), metaRoomy, []byte("1")); err != nil { // as packing leaves it
		t.Fatal(err)
	}
	s.Close()
	var told []Packing
	open := func() *Store {
		t.Helper()
		told = nil
		s, err := Open(t.Context(), path, key, func(p Packing) { told = append(told, p) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	s = open()
	if free(t, s) > 0 || len(told) != 1 || told[0].Freed < 1000000 || told[0].Left != nil {
		t.Errorf("%d free pages, told %+v", free(t, s), told)
	}
	freePages(t, s)
	s.Close()
	if s = open(); free(t, s) == 0 || len(told) > 0 {
		t.Errorf("once more without need: %+v", told)
	}
}

// TestFileHasNoRoom: without room on the disk the file stays as it is, the start goes on, and the next one with room makes it smaller,
// unless what was free has been used.
func TestFileHasNoRoom(t *testing.T) {
	t.Parallel()
	s := openDatabase(t, filepath.Join(t.TempDir(), "outbridge.db"), freshKey())
	has := func(octets int64) func(string) (int64, bool) {
		return func(string) (int64, bool) { return octets, true }
	}
	freePages(t, s)
	if err := s.setMeta(t.Context(), metaRoomy, []byte("1")); err != nil {
		t.Fatal(err)
	}
	freed, err := s.giveBack(t.Context(), s.write.path, has(10000))
	if err == nil || freed > 0 || free(t, s) == 0 {
		t.Errorf("%d octets freed without room: %v", freed, err)
	}
	freed, err = s.giveBack(t.Context(), s.write.path, has(1<<40))
	if err != nil || freed < 1000000 || free(t, s) > 0 {
		t.Errorf("%d octets freed: %v", freed, err)
	}
	for _, do := range []string{`CREATE TABLE kept (x)`, `INSERT INTO kept VALUES (zeroblob(9000000))`} {
		if _, err := s.write.Exec(do); err != nil {
			t.Fatal(err)
		}
	}
	freePages(t, s)
	if err := s.setMeta(t.Context(), metaRoomy, []byte("1")); err != nil {
		t.Fatal(err)
	}
	freed, err = s.giveBack(t.Context(), s.write.path, has(1<<40))
	if _, left := s.meta(t.Context(), metaRoomy); err != nil || freed > 0 || !errors.Is(left, bridge.ErrNotFound) {
		t.Errorf("%d octets freed where little is free: %v, %v", freed, err, left)
	}
}

// free is how many pages of the file nothing is on.
func free(t *testing.T, s *Store) (n int) {
	t.Helper()
	if err := s.write.QueryRow(`PRAGMA freelist_count`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// freePages makes a megabyte of the file free.
func freePages(t *testing.T, s *Store) {
	t.Helper()
	for _, do := range []string{`CREATE TABLE big (x)`, `INSERT INTO big VALUES (zeroblob(1000000))`, `DROP TABLE big`} {
		if _, err := s.write.Exec(do); err != nil {
			t.Fatal(err)
		}
	}
	if n := free(t, s); n < 200 {
		t.Fatalf("%d free pages", n)
	}
}
