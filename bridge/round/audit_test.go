package round_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// audit runs a round with an audit, and requires the number of differences that it finds.
func (w *world) audit(want int) bridge.Report {
	w.Helper()
	w.Rounds.AuditAlways = true
	defer func() { w.Rounds.AuditAlways = false }()
	r := w.Round()
	found := 0
	for _, c := range r.Calendars {
		found += c.Differences
	}
	if found != want {
		w.Fatalf("the audit found %d differences, want %d", found, want)
	}
	return r
}

func TestAuditHeals(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	single := cal.Create(meeting("Single", 3, 9))
	series := cal.Create(weekly("Series", 1, 11, "tuesday", "friday"))
	cal.Create(meeting("Other", 3, 12))
	w.Round()
	w.audit(0)

	w.Damage(bridge.MirrorPage{Gone: []graph.EventID{single}, Marks: []bridge.Mark{{Series: single, Stage: bridge.StageDerive}}})
	w.audit(1)
	w.Object("Single")

	rows, err := w.Store.SeriesRows(w.Ctx, 1, series)
	w.Must(err)
	for _, row := range rows {
		if row.Kind == bridge.KindOccurrence && row.Span.Start.Equal(at(8, 10, 0)) {
			w.Damage(bridge.MirrorPage{Gone: []graph.EventID{row.ID}, Marks: []bridge.Mark{{Series: series, Stage: bridge.StageDerive, Complete: true}}})
		}
	}
	if r := w.audit(1); r.Changed() != 2 {
		t.Errorf("%d changes, want the damage and its mending", r.Changed())
	}

	ghost := bridge.Row{ID: "ghost", Series: "ghost", Kind: bridge.KindSingle, Span: convert.Span{Start: at(5, 8, 0), End: at(5, 9, 0)},
		Raw: []byte(`{"id":"ghost","subject":"Ghost","type":"singleInstance","start":{"dateTime":"2026-11-28T08:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-11-28T09:00:00","timeZone":"UTC"}}`)}
	w.Damage(bridge.MirrorPage{Rows: []bridge.Row{ghost}, Marks: []bridge.Mark{{Series: "ghost", Stage: bridge.StageDerive}}})
	w.audit(1)
	list, err := w.Store.Differences(w.Ctx, 1)
	w.Must(err)
	if len(list) != 1 || list[0].Subject != "Ghost" || !list[0].Outlook.Start.IsZero() || list[0].Here != ghost.Span {
		t.Errorf("the differences are kept as %+v", list)
	}
	w.audit(0)
	if list, err = w.Store.Differences(w.Ctx, 1); err != nil || len(list) != 0 {
		t.Errorf("of an audit that found nothing: %+v, %v", list, err)
	}
}

// TestAuditAsked: an audit that somebody asks for is done in the next round, once, also where none is done by itself.
func TestAuditAsked(t *testing.T) {
	for _, every := range []time.Duration{0, 24 * time.Hour} {
		w := newWorld(t)
		w.Rounds.AuditEvery = every
		for i := range 5 {
			w.Box.Calendar().Create(meeting(fmt.Sprint("Meeting ", i), i, 9))
		}
		w.Round()
		c, err := w.Store.Calendar(w.Ctx, 1)
		w.Must(err)
		w.Must(w.Store.AskAudit(w.Ctx, c.Account, w.Now()))
		w.Pass(time.Minute)
		audited := 0
		for range 3 {
			for _, c := range w.Round().Calendars {
				audited += c.Audited
			}
			w.Pass(time.Minute)
		}
		if c, err = w.Store.Calendar(w.Ctx, 1); err != nil || audited != 5 || c.Audit.Compared != 5 || c.Audit.At.IsZero() || c.Audit.Due.IsZero() != (every == 0) {
			t.Errorf("every %s: %d audited, %+v, %v", every, audited, c.Audit, err)
		}
	}
}

// TestAuditEvery audits a calendar once a day, and the first time not at once.
func TestAuditEvery(t *testing.T) {
	w := newWorld(t)
	w.Rounds.AuditEvery = 24 * time.Hour
	for i := range 5 {
		w.Box.Calendar().Create(meeting(fmt.Sprint("Meeting ", i), i, 9))
	}
	audits := func(rounds int) (n int) {
		w.Sim.ResetRequests()
		for range rounds {
			w.Pass(time.Hour)
			w.Round()
		}
		for _, r := range w.Sim.Requests() {
			if strings.Contains(r.Path, "/calendarView?") {
				n++
			}
		}
		return n
	}
	if n := audits(12); n != 0 {
		t.Errorf("%d audits in the first 12 hours", n)
	}
	if n := audits(12); n != 1 {
		t.Errorf("%d audits in the second 12 hours, want 1", n)
	}
	if n := audits(72); n != 3 {
		t.Errorf("%d audits in three days, want 3", n)
	}
	c, err := w.Store.Calendar(w.Ctx, 1)
	w.Must(err)
	if c.Audit.At.IsZero() || c.Audit.Found != 0 {
		t.Errorf("audit %+v", c.Audit)
	}
}

// TestAuditRefused keeps good rounds good where Graph does not show its view, and tries again an hour later.
func TestAuditRefused(t *testing.T) {
	w := newWorld(t)
	w.Rounds.AuditEvery = 24 * time.Hour
	w.Box.Calendar().Create(meeting("Kept", 1, 9))
	views := 0
	w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
		if strings.HasSuffix(r.URL.Path, "/calendarView") {
			views++
			return &graphsim.Fault{Status: 403, Code: "ErrorAccessDenied"}
		}
		return nil
	}
	w.Round()
	w.Pass(24 * time.Hour)
	for range 65 {
		w.Round()
	}
	if views != 2 {
		t.Errorf("%d views in an hour, want one and another after an hour", views)
	}
	a, err := w.Store.Account(w.Ctx, "alice")
	w.Must(err)
	if a.State.Code != bridge.StateOK {
		t.Errorf("state %+v", a.State)
	}
	w.Sim.Fault = nil
	w.Rounds.AuditAlways = true
	w.Round()
}

// TestClockSetBack keeps listing calendars and auditing when the clock of the machine is set back by a year.
func TestClockSetBack(t *testing.T) {
	w := newWorld(t)
	w.Rounds.ListEvery, w.Rounds.AuditEvery = 5*time.Minute, 24*time.Hour
	w.Box.Calendar().Create(meeting("One", 1, 9))
	w.Round()
	w.Pass(-365 * 24 * time.Hour)
	w.Box.AddCalendar("New", "")
	w.Round()
	w.Sim.ResetRequests()
	for range 40 {
		w.Pass(time.Hour)
		w.Round()
	}
	views := 0
	for _, r := range w.Sim.Requests() {
		if strings.Contains(r.Path, "/calendarView?") {
			views++
		}
	}
	if views < 2 {
		t.Errorf("%d audits of two calendars in forty hours", views)
	}
}

// TestAuditInsists: where reading again does not end what an audit finds, the mirror becomes what Outlook's view shows, and the
// audit says that it was so.
func TestAuditInsists(t *testing.T) {
	w := newWorld(t, func(s *graphsim.Server) { s.EventsAnywhere, s.NoCalendarLink = true, true })
	w.Mailbox.Exclude, w.Left = []string{"private"}, 1
	private := w.Box.AddCalendar("Private", "")
	cal := w.Box.Calendar()
	single := cal.Create(meeting("Single", 3, 9))
	series := cal.Create(weekly("Series", 1, 11, "tuesday", "friday"))
	stays := cal.Create(meeting("Stays", 3, 12))
	w.Round()
	a := w.Client.Events(w.Ctx, "", []graph.EventID{single})[0]
	w.Must(a.Err)
	rows, err := w.Store.SeriesRows(w.Ctx, 1, series)
	w.Must(err)
	w.Must(cal.Move(single, private))
	w.Must(cal.Move(series, private))
	w.Round()

	// Copies that Graph, asked by their ids, takes for right, and an event that it does not show by its id.
	w.Damage(bridge.MirrorPage{Rows: append(rows, bridge.Row{ID: single, Series: single, Kind: bridge.KindSingle, Raw: a.Event.Raw,
		Span: convert.Span{Start: at(3, 8, 0), End: at(3, 9, 0)}}), Gone: []graph.EventID{stays},
		Marks: []bridge.Mark{{Series: series, Stage: bridge.StageDerive, Complete: true}, {Series: single, Stage: bridge.StageDerive}, {Series: stays, Stage: bridge.StageDerive}}})
	w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
		if strings.Contains(r.URL.RawQuery, "iCalUId") && strings.Contains(r.URL.RawQuery, "filter") {
			return &graphsim.Fault{Status: 400, Code: "ErrorInvalidUrlQueryFilter"}
		}
		if strings.Contains(r.URL.Path, "/events/"+string(stays)) {
			return &graphsim.Fault{Status: 404}
		}
		return nil
	}
	w.Rounds.AuditAlways = true
	w.Pass(time.Minute)
	_, err = w.Rounds.Round(w.Ctx, w.Mailbox)
	w.Must(err)
	w.Rounds.AuditAlways = false
	c, err := w.Store.Calendar(w.Ctx, 1)
	w.Must(err)
	if c.Audit.Again < 2 || c.Audit.Again > c.Audit.Found {
		t.Errorf("audit %+v", c.Audit)
	}
	w.Object("Stays")
	w.audit(0)
}
