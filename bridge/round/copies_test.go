package round_test

import (
	"fmt"
	"testing"

	"outbridge/bridge"
)

// TestManyCopies: of a first round no object is later than another, however many have a UID in common and in however many steps they
// are made: nothing was shown with any of these UIDs before.
func TestManyCopies(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	const copies = 250
	for i := range copies {
		e := meeting(fmt.Sprint("Copy ", i), i%20, 9)
		e.ICalUID = "same@elsewhere.example"
		cal.Create(e)
	}
	w.Round()
	n := 0
	for o, err := range bridge.Objects(w.Ctx, w.Store, w.calendar().ID, bridge.ObjectQuery{}) {
		w.Must(err)
		whole, err := w.Store.Object(w.Ctx, w.calendar().ID, o.Name)
		w.Must(err)
		if n++; whole.Sequence != 0 {
			t.Errorf("%s has SEQUENCE %d", whole.UID, whole.Sequence)
		}
	}
	if n != copies {
		t.Errorf("%d objects of %d copies", n, copies)
	}
}
