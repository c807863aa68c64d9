package write_test

import (
	"net/http"
	"strings"
	"testing"

	"outbridge/bridge"
	"outbridge/bridge/graph/graphsim"
)

// TestLearnedResets: a series that is known to keep its exceptions is written with fewer requests when its times change, and where
// that turns out to be wrong they are put right all the same.
func TestLearnedResets(t *testing.T) {
	t.Parallel()
	yes := true
	known := bridge.Learned{KeepsExceptions: &yes, KeepsCancellations: &yes}
	requests := map[string]int{}
	for name, tt := range map[string]struct {
		kept    bool
		learned bridge.Learned
	}{
		"kept": {kept: true}, "kept and known": {true, known}, "lost": {}, "lost and taken for kept": {false, known},
	} {
		w := newWorld(t, func(s *graphsim.Server) { s.Writing.KeepExceptions, s.Writing.KeepCancellations = tt.kept, tt.kept })
		w.learned = tt.learned
		w.Round()
		o := w.mustPut("s.ics", daily("s", "EXDATE:20261126T090000Z", override("s", "Long standup", "20261127T090000Z", "20261127T100000Z", "20261127T120000Z")), create)
		changed := replace(o, "COUNT=10", "COUNT=8")
		changed = strings.Replace(changed, "EXDATE:20261126T090000Z", "EXDATE:20261126T090000Z,20261128T090000Z", 1)
		changed = strings.Replace(changed, "SUMMARY:Long standup", "SUMMARY:Longer standup", 1)
		w.Sim.ResetRequests()
		o = w.mustPut("s.ics", changed, ifMatch(o))
		requests[name] = len(w.Sim.Requests())
		for _, part := range []string{"SUMMARY:Longer standup", "20261126T090000Z", "20261128T090000Z"} {
			if !strings.Contains(string(o.Data), part) {
				t.Errorf("%s: %s is lost:\n%s", name, part, o.Data)
			}
		}
		w.Check()
		w.quiet()
		w.withoutViolations()
	}
	if requests["kept and known"] >= requests["kept"] {
		t.Errorf("what is known saves no request: %v", requests)
	}
}

// TestLearnedOccurrences: where occurrences are known not to be found by their dates, nothing is asked of those.
func TestLearnedOccurrences(t *testing.T) {
	t.Parallel()
	no := false
	for _, learned := range []bridge.Learned{{}, {ReadsOccurrences: &no, WritesOccurrences: &no}} {
		w := newWorld(t)
		w.learned = learned
		w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
			if strings.Contains(r.URL.Path, "/OID.") {
				return &graphsim.Fault{Status: 400, Code: "ErrorInvalidIdMalformed", Message: "Id is malformed."}
			}
			return nil
		}
		w.Round()
		w.Sim.ResetRequests()
		o := w.mustPut("s.ics", daily("s", "EXDATE:20261126T090000Z", override("s", "Long standup", "20261127T090000Z", "20261127T100000Z", "20261127T120000Z")), create)
		if !strings.Contains(string(o.Data), "EXDATE") || !strings.Contains(string(o.Data), "SUMMARY:Long standup") {
			t.Errorf("lost on the way:\n%s", o.Data)
		}
		asked := 0
		for _, r := range w.Sim.Requests() {
			for _, part := range append(r.Parts, r) {
				if strings.Contains(part.Path, "/OID.") {
					asked++
				}
			}
		}
		if known := learned.ReadsOccurrences != nil; known == (asked > 0) {
			t.Errorf("known: %v, and %d times an occurrence was asked for by its date", known, asked)
		}
		w.Check()
	}
}
