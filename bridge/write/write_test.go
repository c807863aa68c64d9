package write_test

import (
	"errors"
	"strings"
	"testing"

	"outbridge/bridge/write"
)

func TestCreateChangeDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Round()
	o := w.mustPut("mine.ics", event("uid-1", "Lunch", 1, 12), create)
	if o.Name != "mine.ics" || o.UID != "uid-1" || !strings.Contains(string(o.Data), "UID:uid-1") {
		t.Fatalf("the object is %s, %s:\n%s", o.Name, o.UID, o.Data)
	}
	w.Check()
	w.quiet()
	changed := w.mustPut("mine.ics", replace(o, "SUMMARY:Lunch", "SUMMARY:Dinner"), ifMatch(o))
	if !strings.Contains(string(changed.Data), "SUMMARY:Dinner") || changed.ETag == o.ETag {
		t.Fatalf("not changed:\n%s", changed.Data)
	}
	w.Check()
	w.quiet()
	if _, err := w.put("mine.ics", replace(o, "SUMMARY:Lunch", "SUMMARY:Supper"), ifMatch(o)); !errors.Is(err, write.ErrPrecondition) {
		t.Fatalf("a stale PUT: %v", err)
	}
	w.Sim.ResetRequests()
	w.mustPut("mine.ics", string(changed.Data), ifMatch(changed))
	if n := len(w.Sim.Requests()); n != 0 {
		t.Fatalf("a PUT of what is served asked Graph %d times", n)
	}
	w.Must(w.remove("mine.ics", ifMatch(changed)))
	w.Check()
	w.quiet()
	if err := w.remove("mine.ics", write.Match{}); !errors.Is(err, write.ErrNotFound) {
		t.Fatalf("a second DELETE: %v", err)
	}
	for _, i := range w.intents() {
		if i.State != "done" || i.Password != "phone" || i.User != "alice" {
			t.Errorf("intent %+v", i)
		}
	}
}
