package sqlstore

import (
	"errors"
	"testing"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// TestPageWithObjects: a page stages objects with it while nothing is published, and what is staged of series that a later page marks
// is void.
func TestPageWithObjects(t *testing.T) { forEach(t, testPageWithObjects) }

func testPageWithObjects(t *testing.T, s *Store) {
	c := calendar(t, s)
	a, b := object("a.ics", "one", now, now), object("b.ics", "two", now, now)
	page := bridge.MirrorPage{Calendar: c.ID, Unpublished: true,
		Rows:    []bridge.Row{row("series of a.ics", "series of a.ics", bridge.KindSingle, 1), row("series of b.ics", "series of b.ics", bridge.KindSingle, 1)},
		Derived: []bridge.Derived{{Series: a.Series, Object: a}, {Series: b.Series, Object: b}}}
	page.Seq = must(s.Mirror(t.Context(), page))(t)
	if marks := must(s.MarksOf(t.Context(), c.ID, []graph.EventID{a.Series, b.Series}))(t); len(marks) != 2 || marks[a.Series].Stage != bridge.StageClean {
		t.Errorf("marks: %v", marks)
	}
	page = bridge.MirrorPage{Calendar: c.ID, Seq: page.Seq, Unpublished: true, Marks: []bridge.Mark{{Series: b.Series, Stage: bridge.StageDerive}}}
	page.Seq = must(s.Mirror(t.Context(), page))(t)
	if _, err := s.SeriesObject(t.Context(), c.ID, b.Series); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("the object of a series that was marked: %v", err)
	}
	publish(t, s, c.ID, 1)
	if _, err := s.Mirror(t.Context(), page); !errors.Is(err, bridge.ErrConflict) {
		t.Errorf("a page that takes nothing to be published: %v", err)
	}
}

// TestTakeBack: of objects that were staged with one UID none is left, and other objects are.
func TestTakeBack(t *testing.T) { forEach(t, testTakeBack) }

func testTakeBack(t *testing.T, s *Store) {
	c := calendar(t, s)
	page := bridge.MirrorPage{Calendar: c.ID}
	for _, id := range []string{"series of a.ics", "series of b.ics", "series of c.ics", "series of d.ics"} {
		page.Rows = append(page.Rows, row(id, id, bridge.KindSingle, 1))
		page.Marks = append(page.Marks, bridge.Mark{Series: graph.EventID(id), Stage: bridge.StageDerive})
	}
	if _, err := s.Mirror(t.Context(), page); err != nil {
		t.Fatal(err)
	}
	one := object("d.ics", "published", now, now)
	stage(t, s, c.ID, one)
	publish(t, s, c.ID, 1)
	a, b, other, late := object("a.ics", "one", now, now), object("b.ics", "two", now, now), object("c.ics", "three", now, now), object("e.ics", "four", now, now)
	a.UID, b.UID, late.UID = "same", "same", one.UID
	moved, left := object("f.ics", "moved", now, now), object("g.ics", "", now, now) // one series that has another name
	left.Series, left.UID, left.Deleted = moved.Series, moved.UID, true
	stage(t, s, c.ID, a, b, other, late, moved, left)
	if err := s.TakeBack(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	for _, o := range []*bridge.Object{a, b, late} {
		if _, err := s.SeriesObject(t.Context(), c.ID, o.Series); !errors.Is(err, bridge.ErrNotFound) {
			t.Errorf("%s is still staged: %v", o.Name, err)
		}
	}
	marks := must(s.MarksOf(t.Context(), c.ID, []graph.EventID{a.Series, b.Series, other.Series}))(t)
	if marks[a.Series].Stage != bridge.StageDerive || marks[b.Series].Stage != bridge.StageDerive || marks[other.Series].Stage != bridge.StageClean {
		t.Errorf("marks: %v", marks)
	}
	for _, o := range []*bridge.Object{one, other, moved} {
		if _, err := s.SeriesObject(t.Context(), c.ID, o.Series); err != nil {
			t.Errorf("%s: %v", o.Name, err)
		}
	}
}
