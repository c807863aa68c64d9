package round_test

import (
	"flag"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round/roundtest"
)

// TestMain runs fewer storms than rapid does by itself, since one takes a second or two with the race detector;
// -rapid.checks has more.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "25"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestStorm edits a mailbox at random, with random faults, page sizes and kills in between, and requires after each
// quiet round that clients see what Outlook shows, that no rev repeats and that no unchanged object changes its ETag.
func TestStorm(t *testing.T) {
	kinds, test := roundtest.Kinds(), t
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "storm-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		database := roundtest.Database(test, rapid.SampledFrom(kinds).Draw(t, "database"), dir)
		w := makeWorldAt(t, t.Context(), dir, database, slog.New(slog.DiscardHandler), func(s *graphsim.Server) {
			s.MaxPage = rapid.IntRange(1, 20).Draw(t, "page")
			s.EmptyPages = rapid.Bool().Draw(t, "empty")
			s.Duplicate = rapid.Bool().Draw(t, "duplicate")
			s.ReplayLast = rapid.Bool().Draw(t, "replay")
			s.Shuffle = rapid.Int64Range(0, 3).Draw(t, "shuffle")
			s.ExceptionPage = rapid.IntRange(0, 2).Draw(t, "exceptionPage")
		})
		defer w.Store.Close()
		st := &storm{world: w}
		for range rapid.IntRange(1, 6).Draw(t, "start") {
			st.create(t)
		}
		w.Round()
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			for range rapid.IntRange(0, 4).Draw(t, "edits") {
				st.edit(t)
			}
			if rapid.IntRange(0, 3).Draw(t, "trouble") == 0 {
				st.trouble(t)
			}
			w.Round()
		}
		w.Changes(0)
		w.audit(0) // the mirror is what Outlook shows, so there is nothing to fix
		w.Changes(0)
	})
}

type storm struct {
	*world
	singles, masters []graph.EventID
	n                int
}

func (s *storm) create(t *rapid.T) {
	s.n++
	e := graphsim.Event{Subject: "Event " + string(rune('A'+s.n%26)), AllDay: rapid.IntRange(0, 3).Draw(t, "allday") == 0}
	s.place(t, &e)
	e.Zone = rapid.SampledFrom([]string{"", "UTC", "Pacific Standard Time", "India Standard Time", "America/New_York"}).Draw(t, "zone")
	if rapid.Bool().Draw(t, "series") {
		e.Recurrence = recurrence(t, e.Start)
		s.masters = append(s.masters, s.Box.Calendar().Create(e))
		return
	}
	s.singles = append(s.singles, s.Box.Calendar().Create(e))
}

func (s *storm) place(t *rapid.T, e *graphsim.Event) {
	// Not in the hours in which summer time comes and goes: of a series that begins in one of them Graph does not tell
	// the time of day, so beyond the window nobody can know it.
	e.Start = at(rapid.OneOf(rapid.IntRange(-100, 300), rapid.IntRange(400, 900)).Draw(t, "day"), rapid.IntRange(4, 22).Draw(t, "hour"), 0)
	e.End = e.Start.Add(time.Duration(rapid.IntRange(1, 6).Draw(t, "quarters")) * 15 * time.Minute)
	if e.AllDay {
		e.Start = e.Start.Truncate(24 * time.Hour)
		e.End = e.Start.AddDate(0, 0, rapid.IntRange(1, 3).Draw(t, "days"))
		if e.Recurrence != nil {
			e.End = e.Start.AddDate(0, 0, 1)
		}
	}
}

func recurrence(t *rapid.T, start time.Time) *graph.Recurrence {
	p := graph.RecurrencePattern{Type: rapid.SampledFrom([]string{"daily", "weekly", "absoluteMonthly", "relativeMonthly", "absoluteYearly"}).Draw(t, "pattern"),
		Interval: rapid.IntRange(1, 3).Draw(t, "interval")}
	switch p.Type {
	case "weekly":
		p.DaysOfWeek = rapid.SampledFrom([][]string{{"monday"}, {"tuesday", "friday"}, {"sunday"}}).Draw(t, "days")
	case "relativeMonthly":
		p.DaysOfWeek = rapid.SampledFrom([][]string{{"monday"}, {"saturday", "sunday"}}).Draw(t, "days")
		p.Index = rapid.SampledFrom([]string{"first", "third", "last"}).Draw(t, "index")
	case "absoluteMonthly", "absoluteYearly":
		p.DayOfMonth, p.Month = start.Day(), int(start.Month())
	}
	r := graph.RecurrenceRange{Type: rapid.SampledFrom([]string{"noEnd", "numbered", "endDate"}).Draw(t, "range")}
	r.NumberOfOccurrences = rapid.IntRange(2, 12).Draw(t, "count")
	r.EndDate = start.AddDate(0, rapid.IntRange(1, 9).Draw(t, "months"), 0).Format(time.DateOnly)
	if r.Type != "numbered" {
		r.NumberOfOccurrences = 0
	}
	if r.Type != "endDate" {
		r.EndDate = ""
	}
	return &graph.Recurrence{Pattern: p, Range: r}
}

// edit does one thing that a person does in Outlook. What the mailbox refuses is no edit.
func (s *storm) edit(t *rapid.T) {
	cal := s.Box.Calendar()
	kind := rapid.SampledFrom([]string{"create", "move", "rename", "delete", "touch", "exception", "cancel", "organizer", "reschedule", "delete series"}).Draw(t, "edit")
	pick := func(list []graph.EventID) (graph.EventID, bool) {
		if len(list) == 0 {
			return "", false
		}
		return rapid.SampledFrom(list).Draw(t, "which"), true
	}
	id, ok := pick(s.singles)
	switch kind {
	case "exception", "cancel", "organizer", "reschedule", "delete series":
		id, ok = pick(s.masters)
	}
	if kind == "create" || !ok {
		s.create(t)
		return
	}
	switch kind {
	case "move":
		_ = cal.Change(id, func(e *graphsim.Event) { s.place(t, e) })
	case "rename":
		_ = cal.Change(id, func(e *graphsim.Event) { e.Subject += "'" })
	case "delete", "delete series":
		_ = cal.Delete(id)
	case "touch":
		_ = cal.Touch(id)
	case "reschedule":
		_ = cal.Change(id, func(e *graphsim.Event) {
			s.place(t, e)
			e.Recurrence = recurrence(t, e.Start)
		})
	default:
		day := s.occurrence(t, id)
		if day == "" {
			return
		}
		switch kind {
		case "exception":
			_ = cal.ChangeOccurrence(id, day, func(e *graphsim.Event) {
				e.Subject += "*"
				if !e.AllDay {
					e.Start, e.End = e.Start.Add(2*time.Hour), e.End.Add(2*time.Hour)
				}
			})
		case "cancel":
			_ = cal.CancelOccurrence(id, day)
		case "organizer":
			_ = cal.CancelOccurrenceByOrganizer(id, day)
		}
	}
}

// occurrence is the date of one of a series' occurrences.
func (s *storm) occurrence(t *rapid.T, master graph.EventID) string {
	var days []string
	for _, i := range s.Box.Calendar().Instances(start.AddDate(0, -3, 0), start.AddDate(0, 11, 0)) {
		if i.SeriesMasterID == master {
			days = append(days, i.Start.Format(time.DateOnly))
		}
	}
	if len(days) == 0 {
		return ""
	}
	return rapid.SampledFrom(days).Draw(t, "occurrence")
}

// trouble runs a round that meets a fault, and perhaps a kill after it.
func (s *storm) trouble(t *rapid.T) {
	kind := rapid.SampledFrom([]string{"403", "404", "garbage", "forget", "expire"}).Draw(t, "fault")
	var n atomic.Int64
	at := int64(rapid.IntRange(1, 12).Draw(t, "at"))
	switch kind {
	case "forget":
		s.Sim.ForgetDeltaTokens()
	case "expire":
		s.Sim.ExpireAccessTokens()
	default:
		s.Sim.Fault = func(r *http.Request) *graphsim.Fault {
			if !strings.HasPrefix(r.URL.Path, "/v1.0") || n.Add(1) != at {
				return nil
			}
			switch kind {
			case "403":
				return &graphsim.Fault{Status: 403, Code: "ErrorAccessDenied"}
			case "404":
				return &graphsim.Fault{Status: 404, Code: "MailboxNotEnabledForRESTAPI"}
			}
			return &graphsim.Fault{Status: 400, Code: "BadRequest", Body: []byte("<html>")}
		}
	}
	s.Pass(time.Minute)
	_, _ = s.Rounds.Round(s.Ctx, s.Mailbox)
	s.Sim.Fault = nil
	if rapid.Bool().Draw(t, "kill") {
		s.Crash()
	}
}
