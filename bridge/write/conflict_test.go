package write_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/write"
)

// TestDeleteRefused has Graph answer a deletion as it answers a second one, while the event is still there: it is not taken for gone.
func TestDeleteRefused(t *testing.T) {
	t.Parallel()
	for name, refusals := range map[string]int{"once": 1, "always": 1000} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Round()
			w.mustPut("e.ics", event("e", "Dentist", 1, 10), create)
			left := refusals
			w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
				if r.Method == "DELETE" && left > 0 {
					left--
					return &graphsim.Fault{Status: 400, Code: "ErrorInvalidRequest", Message: "Your request can't be completed."}
				}
				return nil
			}
			err := w.remove("e.ics", ifMatch(w.only()))
			w.Round()
			there := len(w.Box.Calendar().Events()) != 0
			if (err == nil) == there {
				t.Errorf("answered %v, and Outlook has it: %v", err, there)
			}
			if shown := count(w) != 0; shown != there {
				t.Errorf("clients see it: %v, and Outlook has it: %v", shown, there)
			}
			w.Sim.Fault = nil
			w.Check()
			w.quiet()
		})
	}
}

// TestOccurrenceByItsOwnTag has a Graph that does not take "*" for the ETag of an occurrence.
func TestOccurrenceByItsOwnTag(t *testing.T) {
	t.Parallel()
	for _, answer := range []graphsim.Fault{{Status: 412, Code: "ErrorIrresolvableConflict"}, {Status: 400, Code: "ErrorInvalidRequest"}} {
		w := newWorld(t)
		w.Round()
		o := w.mustPut("s.ics", daily("s"), create)
		w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
			if r.Header.Get("If-Match") == "*" {
				return &answer
			}
			return nil
		}
		o = w.mustPut("s.ics", replace(o, "SUMMARY:", "EXDATE:20261126T090000Z\r\nSUMMARY:"), ifMatch(o))
		if !strings.Contains(string(o.Data), "EXDATE") {
			t.Errorf("%d: the occurrence is still there:\n%s", answer.Status, o.Data)
		}
		o = w.mustPut("s.ics", replace(o, "SUMMARY:", "EXDATE:20261127T090000Z,20261128T090000Z\r\nSUMMARY:"), ifMatch(o))
		if n := strings.Count(string(o.Data), "T090000Z") - 2; n < 2 {
			t.Errorf("%d: two more were to go:\n%s", answer.Status, o.Data)
		}
		w.Sim.Fault = nil
		w.Check()
		w.quiet()
	}
}

// TestRaced changes an event in Outlook after the last round, and in a client that has not seen it: what both have changed stays as Outlook
// has it, and the client is told.
func TestRaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Round()
	o := w.mustPut("e.ics", event("e", "Dentist", 1, 10), create)
	change := func(edit func(e *graphsim.Event)) {
		w.Must(w.Box.Calendar().Change(w.Box.Calendar().Events()[0], edit))
	}

	change(func(e *graphsim.Event) { e.Subject = "Physician" })
	if _, err := w.put("e.ics", replace(o, "SUMMARY:Dentist", "SUMMARY:Surgeon"), ifMatch(o)); !errors.Is(err, write.ErrPrecondition) {
		t.Errorf("the same field: %v", err)
	}
	o = w.only()
	if !strings.Contains(string(o.Data), "SUMMARY:Physician") {
		t.Errorf("Outlook's is overwritten:\n%s", o.Data)
	}

	change(func(e *graphsim.Event) { e.Location = "Ward 3" })
	o = w.mustPut("e.ics", replace(o, "SUMMARY:Physician", "SUMMARY:Surgeon"), ifMatch(o))
	if text := string(o.Data); !strings.Contains(text, "SUMMARY:Surgeon") || !strings.Contains(text, "LOCATION:Ward 3") {
		t.Errorf("different fields:\n%s", text)
	}

	change(func(e *graphsim.Event) { e.Subject = "Physician" })
	if err := w.remove("e.ics", ifMatch(o)); !errors.Is(err, write.ErrPrecondition) {
		t.Errorf("deleted: %v", err)
	}
	w.Check()
	w.quiet()
}

// TestBaseByScheduleTag has a client that sends no more of what it had than the Schedule-Tag, which stays through changes of what is one's
// own: these are not taken back.
func TestBaseByScheduleTag(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Round()
	o := w.mustPut("m.ics", meeting, create)
	tag := write.ScheduleTag(o.Data)
	w.Must(w.Box.Calendar().Change(w.Box.Calendar().Events()[0], func(e *graphsim.Event) {
		minutes := 45
		e.ShowAs, e.Categories, e.ReminderMinutes = "oof", []string{"Blue"}, &minutes
	}))
	w.Round()
	if write.ScheduleTag(w.only().Data) != tag {
		t.Fatal("the Schedule-Tag has moved")
	}
	r := w.request("m.ics", replace(o, "SUMMARY:Plan", "SUMMARY:Plan B"), write.Match{IfScheduleTag: []string{tag}})
	r.Client = "DAVx5/4.5"
	if _, err := w.writer.Put(w.Ctx, r); err != nil {
		t.Fatal(err)
	}
	e, err := w.Box.Calendar().Event(w.Box.Calendar().Events()[0])
	w.Must(err)
	if e.Subject != "Plan B" || e.ShowAs != "oof" || len(e.Categories) != 1 || e.ReminderMinutes == nil || *e.ReminderMinutes != 45 {
		t.Errorf("Outlook has %+v", e)
	}
	w.Check()
	w.quiet()
}
