package sqlstore

import (
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// TestFigures: a calendar is counted once, and again when it shows something new or a day has passed.
func TestFigures(t *testing.T) {
	forEach(t, testFigures)
}

func testFigures(t *testing.T, s *Store) {
	c := calendar(t, s)
	b := must(s.EnsureAccount(t.Context(), "bob"))(t)
	must(s.SetCalendars(t.Context(), b.ID, []bridge.Calendar{{GraphID: "B1", Name: "work", Modified: now}, {GraphID: "B2", Name: "family", Modified: now}}))(t)
	counted := func(at time.Time, limit, want int) {
		t.Helper()
		if n := must(s.CountFigures(t.Context(), at, limit))(t); n != want {
			t.Errorf("counted %d, want %d", n, want)
		}
	}
	of := func(account string) bridge.AccountFigures {
		t.Helper()
		for _, f := range must(s.Figures(t.Context()))(t) {
			if f.Account == account {
				return f
			}
		}
		t.Fatalf("nothing of %s", account)
		return bridge.AccountFigures{}
	}
	if f := of("alice"); len(f.Calendars) != 1 || f.Calendars[0].Counts != nil || f.State.Code != bridge.StateNew || f.Waiting != 0 {
		t.Errorf("before anything was counted: %+v", f)
	}
	counted(now, 2, 2)
	counted(now, 2, 1)
	counted(now, 2, 0)

	seq := must(s.Mirror(t.Context(), bridge.MirrorPage{Calendar: c.ID, Seq: c.Seq, Rows: []bridge.Row{row("E", "E", bridge.KindSingle, 1), row("F", "F", bridge.KindSingle, 1)},
		Marks: []bridge.Mark{{Series: "E", Stage: bridge.StageDerive}, {Series: "F", Stage: bridge.StageDerive}}}))(t)
	for _, series := range []graph.EventID{"E", "F"} {
		o := object(string(series)+".ics", string(series), now, now)
		o.Series = series
		if err := s.Stage(t.Context(), c.ID, seq, []bridge.Derived{{Series: series, Object: o, Losses: []convert.Loss{{Field: "showAs"}}}}); err != nil {
			t.Fatal(err)
		}
	}
	counted(now, 9, 0)
	if _, _, err := s.Publish(t.Context(), c.ID, now); err != nil {
		t.Fatal(err)
	}
	counted(now, 9, 1)
	if f := of("alice"); *f.Calendars[0].Counts != (bridge.ShownCounts{Objects: 2, Losses: 2}) {
		t.Errorf("after two objects with a loss each: %+v", f.Calendars[0].Counts)
	}
	counted(now.Add(figuresKept), 9, 0)
	counted(now.Add(figuresKept+time.Second), 9, 3)

	if err := s.SetFault(t.Context(), c.ID, bridge.Fault{Reason: bridge.ReasonUnavailable}, now); err != nil {
		t.Fatal(err)
	}
	if err := s.SetGood(t.Context(), must(s.Calendars(t.Context(), b.ID))(t)[0].ID, 0, "", now); err != nil {
		t.Fatal(err)
	}
	if f := of("alice"); !f.Calendars[0].Failed || !f.Calendars[0].Good.IsZero() {
		t.Errorf("after a fault: %+v", f.Calendars[0])
	}
	if f := of("bob"); f.Calendars[0].Name != "family" || !f.Calendars[1].Good.Equal(now) || f.Calendars[0].Failed {
		t.Errorf("bob: %+v", f.Calendars)
	}
	must(s.SetCalendars(t.Context(), b.ID, nil))(t)
	if f := of("bob"); len(f.Calendars) != 0 {
		t.Errorf("calendars that are gone: %+v", f.Calendars)
	}
	counted(now.Add(figuresKept), 9, 0)
}
