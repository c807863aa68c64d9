package write_test

import (
	"net/http"
	"strings"
	"testing"

	"outbridge/bridge/graph/graphsim"
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
