package write_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/write"
)

// daily is a series of ten days from tomorrow, at nine.
func daily(uid string, lines ...string) string {
	return event(uid, "Standup", 1, 9, append([]string{"RRULE:FREQ=DAILY;COUNT=10"}, lines...)...)
}

// override is a changed occurrence of daily.
func override(uid, summary, id, start, end string) string {
	return "\r\nUID:" + uid + "\r\nDTSTAMP:20261101T000000Z\r\nRECURRENCE-ID:" + id + "\r\nSUMMARY:" + summary + "\r\nDTSTART:" + start + "\r\nDTEND:" + end
}

func (w *world) withoutViolations() {
	w.Helper()
	if v := w.Sim.Violations(); len(v) > 0 {
		w.Fatalf("bad manners: %s", strings.Join(v, "; "))
	}
}

func TestSeries(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{false, true} {
		w := newWorld(t, func(s *graphsim.Server) { s.Writing.KeepExceptions, s.Writing.KeepCancellations = kept, kept })
		w.Round()
		o := w.mustPut("s.ics", daily("s", "EXDATE:20261126T090000Z", override("s", "Long standup", "20261127T090000Z", "20261127T100000Z", "20261127T120000Z")), create)
		text := string(o.Data)
		if !strings.Contains(text, "EXDATE") || !strings.Contains(text, "SUMMARY:Long standup") {
			t.Fatalf("lost on the way:\n%s", text)
		}
		w.Check()
		w.quiet()

		t.Log("one occurrence changes")
		o = w.mustPut("s.ics", replace(o, "SUMMARY:Long standup", "SUMMARY:Longer standup"), ifMatch(o))
		w.Check()
		w.quiet()

		t.Log("one more goes")
		o = w.mustPut("s.ics", replace(o, "EXDATE:20261126T090000Z", "EXDATE:20261126T090000Z,20261128T090000Z"), ifMatch(o))
		w.Check()
		w.quiet()

		t.Log("a deleted one comes back")
		_, err := w.put("s.ics", replace(o, "EXDATE:20261128T090000Z\r\n", ""), ifMatch(o))
		if r := w.refused(err); r.Kind != convert.RefusedObject {
			t.Fatalf("refused as %s", r.Kind)
		}

		t.Log("all of them are called otherwise")
		o = w.mustPut("s.ics", strings.Replace(string(o.Data), "SUMMARY:Standup", "SUMMARY:Daily", 1), ifMatch(o))
		w.Check()
		w.quiet()

		t.Log("it ends earlier")
		o = w.mustPut("s.ics", replace(o, "COUNT=10", "COUNT=8"), ifMatch(o))
		if !strings.Contains(string(o.Data), "Longer standup") || strings.Count(string(o.Data), "20261128T090000Z") != 1 {
			t.Fatalf("exceptions are lost:\n%s", o.Data)
		}
		w.Check()
		w.quiet()
		w.withoutViolations()
		if i := w.intents(); slices.ContainsFunc(i, func(i bridge.Intent) bool { return i.State != bridge.IntentDone && i.State != bridge.IntentRefused }) {
			t.Errorf("%+v", i)
		}
		w.Must(w.remove("s.ics", write.Match{}))
		w.Check()
		w.quiet()
		if n := len(w.Sim.Mails()); n != 0 {
			t.Errorf("%d mails", n)
		}
	}
}

func TestSeriesMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Round()
	o := w.mustPut("s.ics", daily("s", "EXDATE:20261126T090000Z", override("s", "Other", "20261127T090000Z", "20261127T090000Z", "20261127T100000Z")), create)
	moved := strings.ReplaceAll(string(o.Data), "T090000Z", "T110000Z")
	moved = strings.ReplaceAll(moved, "T100000Z", "T120000Z")
	o = w.mustPut("s.ics", moved, ifMatch(o))
	text := string(o.Data)
	if !strings.Contains(text, "SUMMARY:Other") || !strings.Contains(text, "20261126T110000Z") {
		t.Errorf("exceptions are lost:\n%s", text)
	}
	w.Check()
	w.quiet()
	w.withoutViolations()
}

// TestSeriesMovesAlone moves a series and leaves the names of its occurrences as they were, as some programs do: what was deleted stays
// so, and what was changed too.
func TestSeriesMovesAlone(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{false, true} {
		w := newWorld(t, func(s *graphsim.Server) { s.Writing.KeepExceptions, s.Writing.KeepCancellations = kept, kept })
		w.Round()
		o := w.mustPut("s.ics", daily("s", "EXDATE:20261126T090000Z", override("s", "Other", "20261127T090000Z", "20261127T140000Z", "20261127T150000Z")), create)
		o = w.mustPut("s.ics", replace(o, "DTSTART:20261124T090000Z", "DTSTART:20261124T110000Z", "DTEND:20261124T100000Z", "DTEND:20261124T120000Z"), ifMatch(o))
		for _, want := range []string{"DTSTART:20261124T110000Z", "EXDATE:20261126T110000Z", "RECURRENCE-ID:20261127T110000Z", "SUMMARY:Other", "DTSTART:20261127T140000Z"} {
			if !strings.Contains(string(o.Data), want) {
				t.Errorf("kept by Outlook: %v; no %s in\n%s", kept, want, o.Data)
			}
		}
		w.Check()
		w.quiet()
		w.withoutViolations()
	}
}

func TestRuleComesAndGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Round()
	o := w.mustPut("r.ics", event("r", "Run", 1, 7), create)
	o = w.mustPut("r.ics", replace(o, "SUMMARY:Run", "RRULE:FREQ=DAILY;COUNT=3\r\nSUMMARY:Run"), ifMatch(o))
	if !strings.Contains(string(o.Data), "RRULE") {
		t.Fatalf("no rule:\n%s", o.Data)
	}
	w.Check()
	w.quiet()
	lines := slices.DeleteFunc(strings.Split(string(o.Data), "\r\n"), func(l string) bool { return strings.HasPrefix(l, "RRULE") })
	o = w.mustPut("r.ics", strings.Join(lines, "\r\n"), ifMatch(o))
	if strings.Contains(string(o.Data), "RRULE") {
		t.Fatalf("still a rule:\n%s", o.Data)
	}
	w.Check()
	w.quiet()
	w.withoutViolations()
}

func TestOccurrenceThatLeavesItsSeriesAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *graphsim.Server) { s.Writing.OwnTimes = true })
	w.Round()
	w.mustPut("s.ics", daily("s"), create)
	w.Pass(2 * time.Second)
	o := w.mustPut("s.ics", daily("s", override("s", "Long standup", "20261127T090000Z", "20261127T100000Z", "20261127T120000Z")), write.Match{})
	if !strings.Contains(string(o.Data), "SUMMARY:Long standup") {
		t.Fatalf("not shown:\n%s", o.Data)
	}
	w.Check()
	w.quiet()
	o = w.mustPut("s.ics", replace(o, "SUMMARY:Long standup", "SUMMARY:Longer standup"), ifMatch(o))
	w.Check()
	w.quiet()
	o = w.mustPut("s.ics", strings.Replace(string(o.Data), "SUMMARY:Standup", "SUMMARY:Daily", 1), ifMatch(o))
	w.Check()
	w.quiet()
	w.Must(w.remove("s.ics", write.Match{}))
	w.Check()
	w.quiet()
	w.withoutViolations()
}
