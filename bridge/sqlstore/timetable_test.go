package sqlstore

import (
	"database/sql"
	"slices"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

func TestObjectsWithin(t *testing.T) { forEach(t, testObjectsWithin) }

func testObjectsWithin(t *testing.T, s *Store) {
	c := calendar(t, s)
	day := func(n int) time.Time { return now.AddDate(0, 0, n) }
	timed := func(o *bridge.Object) *bridge.Object {
		o.Timetable = ": Europe/Berlin;0;2s0;t8dvo0"
		return o
	}
	stage(t, s, c.ID,
		timed(object("short.ics", "a", day(3), day(3).Add(time.Hour))),
		object("before.ics", "b", day(-3), day(-2)),
		object("after.ics", "c", day(40), day(41)),
		object("begins before.ics", "d", day(-5), day(1)),
		object("long.ics", "e", day(-300), day(5)),
		object("long ago.ics", "f", day(-300), day(-200)),
		timed(object("endless.ics", "g", day(-900), time.Time{})),
		object("endless later.ics", "h", day(40), time.Time{}),
		object("not read.ics", "i", time.Time{}, time.Time{}),
		object("at the start.ics", "k", day(-1), day(0)),
		object("at the end.ics", "l", day(30), day(31)),
		object("gone.ics", "j", day(3), day(4)))
	publish(t, s, c.ID, 12)
	gone := object("gone.ics", "", day(3), day(4))
	gone.Deleted = true
	stage(t, s, c.ID, gone)
	publish(t, s, c.ID, 1)
	if list := within(t, s, c.ID, day(0), day(30), 3); len(list) != 3 {
		t.Errorf("%d objects after the third", len(list))
	}
	if list := within(t, s, c.ID, time.Time{}, time.Time{}, 100); len(list) != 11 {
		t.Errorf("%d objects of any time", len(list))
	}
	// It is what a listing by name has, and the timetables.
	list := within(t, s, c.ID, day(0), day(30), 100)
	var byName []bridge.Object
	for o, err := range bridge.Objects(t.Context(), s, c.ID, bridge.ObjectQuery{Start: day(0), End: day(30)}) {
		if err != nil {
			t.Fatal(err)
		}
		byName = append(byName, o)
	}
	if len(list) != 7 || len(byName) != 7 {
		t.Fatalf("%d objects, %d by name", len(list), len(byName))
	}
	for i, o := range list {
		want := byName[i]
		if o.Name == "short.ics" || o.Name == "endless.ics" {
			want.Timetable = ": Europe/Berlin;0;2s0;t8dvo0"
		}
		if o.Name != want.Name || o.ETag != want.ETag || o.Rev != want.Rev || !o.Modified.Equal(want.Modified) || o.Size != want.Size ||
			!o.First.Equal(want.First) || !o.Last.Equal(want.Last) || o.Timetable != want.Timetable {
			t.Errorf("%+v, want %+v", o, want)
		}
	}
}

// within lists some objects by time, by their names.
func within(t *testing.T, s *Store, id bridge.CalendarID, start, end time.Time, most int) (list []bridge.Object) {
	t.Helper()
	err := s.ObjectsWithin(t.Context(), id, start, end, func(o *bridge.Object) bool {
		list = append(list, *o)
		return len(list) < most
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list, func(a, b bridge.Object) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// TestTimetableOfOther: an older program that publishes on the same server leaves the timetable that was there, which tells nothing then.
func TestTimetableOfOther(t *testing.T) { forEach(t, testTimetableOfOther) }

func testTimetableOfOther(t *testing.T, s *Store) {
	c := calendar(t, s)
	o := object("a.ics", "first", now, now.Add(time.Hour))
	o.Timetable = ":"
	stage(t, s, c.ID, o)
	publish(t, s, c.ID, 1)
	of := func() string {
		t.Helper()
		list := within(t, s, c.ID, now, now.Add(time.Hour), 10)
		if len(list) != 1 {
			t.Fatal(list)
		}
		shown := must(s.Shown(t.Context(), c.ID, []graph.EventID{o.Series}))(t)
		if shown[o.Series].Object.Timetable != list[0].Timetable {
			t.Errorf("%q for who derives, %q for who lists", shown[o.Series].Object.Timetable, list[0].Timetable)
		}
		return list[0].Timetable
	}
	retime := func(etag, timetable string) {
		t.Helper()
		next := *o
		next.ETag, next.Timetable = etag, timetable
		seq := must(s.Calendar(t.Context(), c.ID))(t).Seq
		if err := s.Stage(t.Context(), c.ID, seq, []bridge.Derived{{Series: o.Series, Retimed: &next}}); err != nil {
			t.Fatal(err)
		}
	}
	if of() != ":" {
		t.Errorf("%q", of())
	}
	retime("of what is there no more", ": ;1;0;1")
	if of() != ":" {
		t.Errorf("%q", of())
	}
	retime(o.ETag, ": ;1;0;2")
	publish(t, s, c.ID, 0)
	if of() != ": ;1;0;2" {
		t.Errorf("%q", of())
	}
	if _, err := s.write.exec(t.Context(), `UPDATE object SET etag = 'of an older program' WHERE calendar_id = ?`, c.ID); err != nil {
		t.Fatal(err)
	}
	if of() != "" {
		t.Errorf("%q", of())
	}
}

// TestListingByTime: SQLite reads nothing but the indexes for it.
func TestListingByTime(t *testing.T) {
	s := openDatabase(t, t.TempDir()+"/outbridge.db", freshKey())
	rows, err := s.read.query(t.Context(), `EXPLAIN QUERY PLAN `+withinQuery, 1, 1, 1, 1)
	list := must(collect(rows, err, func(r *sql.Rows) (text string, err error) {
		var a, b, c int
		err = r.Scan(&a, &b, &c, &text)
		return text, err
	}))(t)
	plan := strings.Join(list, "\n")
	if strings.Count(plan, "USING COVERING INDEX object_") != 2 || strings.Contains(plan, "TEMP B-TREE") {
		t.Error(plan)
	}
}
