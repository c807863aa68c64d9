package round_test

import (
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/round/roundtest"
	"outbridge/caldav/ics"
)

// timed is the one object of the calendar.
func (w *world) timed() (one bridge.Object) {
	w.Helper()
	n := 0
	w.Must(w.Store.ObjectsWithin(w.Ctx, w.calendar().ID, time.Time{}, time.Time{}, func(o *bridge.Object) bool {
		one = *o
		n++
		return true
	}))
	if n != 1 {
		w.Fatalf("%d objects", n)
	}
	return one
}

// knows reports whether the timetable of the one object tells of a day.
func (w *world) knows(day time.Time) bool {
	w.Helper()
	_, known := ics.Timetable(w.timed().Timetable).Overlaps(&ics.Reader{Resolve: convert.Zone}, ics.Span{Start: day, End: day.AddDate(0, 0, 1)})
	return known
}

// TestTimetableIsMade: one that an object lacks, since an older program published it, is made with no change that clients see.
func TestTimetableIsMade(t *testing.T) {
	w := newWorld(t)
	w.Box.Calendar().Create(weekly("Weekly", 1, 9, "tuesday"))
	w.Changes(1)
	before, c := w.timed(), w.calendar()
	if before.Timetable == "" {
		t.Fatal("no timetable")
	}
	untold := before
	untold.Timetable = ""
	w.Must(w.Store.Stage(w.Ctx, c.ID, c.Seq, []bridge.Derived{{Series: "none", Retimed: &untold}}))
	if w.timed().Timetable != "" {
		t.Fatal("it has one still")
	}
	w.Must(w.Store.MarkAll(w.Ctx, c.ID, "of an older program"))
	w.Changes(0)
	if after := w.timed(); after.Timetable != before.Timetable || after.Rev != before.Rev || after.ETag != before.ETag || after.Modified != before.Modified {
		t.Errorf("%+v, before %+v", after, before)
	}
	if now := w.calendar(); now.Rev != c.Rev || now.Modified != c.Modified {
		t.Errorf("rev %d, before %d", now.Rev, c.Rev)
	}
}

// TestTimetableRolls: that of a series without an end is made anew where the window is opened again.
func TestTimetableRolls(t *testing.T) {
	w := newWorld(t)
	w.Box.Calendar().Create(weekly("Weekly", 1, 9, "tuesday"))
	w.Changes(1)
	in := func(months int) time.Time { return roundtest.Start.AddDate(0, months, 0) }
	if !w.knows(in(23)) || w.knows(in(27)) {
		t.Fatalf("at first: %v, %v", w.knows(in(23)), w.knows(in(27)))
	}
	rev := w.calendar().Rev
	for range 4 {
		w.Pass(31 * 24 * time.Hour)
		w.Changes(0)
	}
	if !w.knows(in(26)) || w.calendar().Rev != rev {
		t.Errorf("after four months: %v, %q, rev %d, before %d", w.knows(in(26)), w.timed().Timetable, w.calendar().Rev, rev)
	}
}
