package round_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/dav"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/caldav"
)

// day is the date of a day counted from the start of the world, as an occurrence is named.
func day(n int) string { return at(n, 0, 0).Format(time.DateOnly) }

func TestDemoMailbox(t *testing.T) {
	w := newWorld(t, func(s *graphsim.Server) { s.EmptyPages = true })
	demo := w.Sim.DemoMailbox()
	_ = demo
	cal := w.Box.Calendar()
	cal.Create(meeting("Dentist", 2, 9))
	w.Round()
	w.Changes(0)
}

func TestFirstRoundAndIdleRound(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	family := w.Box.AddCalendar("Familie & Freunde", "#AB12cd")
	cal.Create(meeting("Dentist", 2, 9))
	cal.Create(weekly("Stand-up", -30, 8, "monday", "tuesday", "wednesday"))
	family.Create(graphsim.Event{Subject: "Trip", Start: at(5, 0, 0), End: at(8, 0, 0), AllDay: true})
	r := w.Changes(3)
	if len(r.Calendars) != 2 || r.Calendars[0].Events != 2 || r.Calendars[0].Series != 1 || r.Calendars[1].Events != 1 {
		t.Errorf("report: %+v", r.Calendars)
	}
	back := dav.Backend{Store: w.Store}
	c, err := back.Calendar(w.Ctx, caldav.Principal{Name: "alice"}, "familie-freunde")
	w.Must(err)
	if c.DisplayName != "Familie & Freunde" || c.Color != "#ab12cd" {
		t.Errorf("calendar is %+v", c)
	}

	w.Sim.ResetRequests()
	r = w.Changes(0)
	if n := w.DeltaRequests(); n != 2 || r.Requests != 3 {
		t.Errorf("an idle round made %d delta requests and %d in all, want 2 and 3", n, r.Requests)
	}
	for _, c := range r.Calendars {
		if c.Requests != 1 {
			t.Errorf("calendar %s: %d requests, want 1", c.Calendar, c.Requests)
		}
	}
}

// TestIdlePollWritesNothing is promise 6: within the checkpoint time an idle poll leaves the database as it is.
func TestIdlePollWritesNothing(t *testing.T) {
	w := newWorld(t)
	w.Box.Calendar().Create(meeting("Dentist", 2, 9))
	w.Rounds.CheckpointAfter = time.Hour
	w.Round()
	state := func() bridge.Calendar {
		a, err := w.Store.Account(w.Ctx, "alice")
		w.Must(err)
		cals, err := w.Store.Calendars(w.Ctx, a.ID)
		w.Must(err)
		return cals[0]
	}
	before := state()
	for range 5 {
		w.Changes(0)
	}
	if after := state(); after != before {
		t.Errorf("an idle poll wrote:\n%+v\n%+v", before, after)
	}
	w.Pass(time.Hour)
	w.Changes(0)
	if after := state(); !after.Good.After(before.Good) || after.Cursor == before.Cursor {
		t.Error("the checkpoint was not written")
	}
	w.Crash()
	w.Box.Calendar().Create(meeting("Doctor", 3, 9))
	w.Changes(1)
}

func TestChangesArrive(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	dentist := cal.Create(meeting("Dentist", 2, 9))
	lunch := cal.Create(meeting("Lunch", 3, 11))
	series := cal.Create(weekly("Stand-up", 0, 8, "monday", "thursday"))
	w.Changes(3)

	w.Must(cal.Change(dentist, func(e *graphsim.Event) { e.Subject = "Dentist again" }))
	w.Changes(1)
	w.Must(cal.Change(lunch, func(e *graphsim.Event) { e.Start, e.End = at(9, 12, 0), at(9, 13, 30) }))
	w.Changes(1)
	w.Must(cal.CancelOccurrence(series, day(7)))
	w.Changes(1)
	w.Must(cal.ChangeOccurrence(series, day(10), func(e *graphsim.Event) { e.Start, e.End = at(11, 15, 0), at(11, 16, 0) }))
	w.Changes(1)
	w.Must(cal.CancelOccurrenceByOrganizer(series, day(14)))
	w.Changes(1)
	w.Must(cal.Change(series, func(e *graphsim.Event) { e.Start, e.End = at(0, 10, 0), at(0, 10, 15) }))
	w.Changes(1)
	w.Must(cal.Respond(lunch, "accepted"))
	w.Round()
	w.Must(cal.Delete(dentist))
	w.Changes(1)
	w.Must(cal.Delete(series))
	w.Changes(1)
	w.Changes(0)
	for _, r := range w.Sim.Requests() {
		if r.Status >= 400 {
			t.Errorf("%s %s: %d", r.Method, r.Path, r.Status)
		}
	}
}

// TestTouchChangesNothing: a new changeKey alone must not show.
func TestTouchChangesNothing(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	dentist := cal.Create(meeting("Dentist", 2, 9))
	series := cal.Create(weekly("Stand-up", 0, 8, "monday"))
	w.Changes(2)
	w.Pass(time.Hour)
	w.Must(cal.Touch(dentist))
	w.Must(cal.Touch(series))
	w.Changes(0)
}

// TestStampsRise: Google and ICSx5 take a change only with a higher SEQUENCE or LAST-MODIFIED.
func TestStampsRise(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	series := cal.Create(weekly("Stand-up", 0, 8, "monday"))
	w.Changes(1)
	stamps := func() (string, string) {
		var seq, mod string
		for line := range strings.SplitSeq(w.Object("Stand-up"), "\r\n") {
			if s, ok := strings.CutPrefix(line, "SEQUENCE:"); ok {
				seq = s
			}
			if s, ok := strings.CutPrefix(line, "LAST-MODIFIED:"); ok {
				mod = max(mod, s)
			}
		}
		return seq, mod
	}
	seq, mod := stamps()
	for range 3 {
		w.Must(cal.CancelOccurrence(series, func() string { d := day(7); return d }()))
		break
	}
	w.Changes(1)
	seq2, mod2 := stamps()
	if seq2 <= seq || mod2 <= mod {
		t.Errorf("SEQUENCE %s → %s, LAST-MODIFIED %s → %s", seq, seq2, mod, mod2)
	}
}

func TestOutsideTheWindow(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	far := cal.Create(meeting("In three years", 365*3, 9))
	series := cal.Create(weekly("From the year after next", 365*2, 8, "monday"))
	inside := cal.Create(meeting("Soon", 4, 9))
	w.Round()
	w.Object("In three years")
	w.Object("From the year after next", "RRULE")

	w.Must(cal.Change(far, func(e *graphsim.Event) {
		e.Subject = "In three years, moved"
		e.Start, e.End = at(1000, 9, 0), at(1000, 10, 0)
	}))
	w.Changes(1)
	later := cal.Create(meeting("Later", 900, 9))
	w.Changes(1)
	w.Must(cal.Change(inside, func(e *graphsim.Event) { e.Start, e.End = at(800, 9, 0), at(800, 10, 0) }))
	w.Changes(1)
	w.Must(cal.Change(far, func(e *graphsim.Event) { e.Start, e.End = at(20, 9, 0), at(20, 10, 0) }))
	w.Changes(1)
	w.Must(cal.CancelOccurrence(series, nextMonday(cal, series)))
	w.Changes(1)
	w.Must(cal.Delete(later))
	w.Changes(1)
	w.Must(cal.Delete(series))
	w.Changes(1)
	// Into the past that the window does not reach: gone from the clients.
	w.Must(cal.Change(inside, func(e *graphsim.Event) { e.Start, e.End = at(-800, 9, 0), at(-800, 10, 0) }))
	if r := w.Changes(1); r.Calendars[0].Removed != 1 {
		t.Errorf("removed %d, want 1", r.Calendars[0].Removed)
	}
}

func nextMonday(cal *graphsim.Calendar, series graph.EventID) string {
	for _, i := range cal.Instances(start, start.AddDate(5, 0, 0)) {
		if i.SeriesMasterID == series {
			return i.Start.Format(time.DateOnly)
		}
	}
	return ""
}

func TestMoveToAnotherCalendar(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	other := w.Box.AddCalendar("Other", "")
	dentist := cal.Create(meeting("Dentist", 2, 9))
	series := cal.Create(weekly("Stand-up", 0, 8, "monday"))
	w.Changes(2)
	w.Must(cal.Move(dentist, other))
	w.Changes(2)
	w.Must(cal.Move(series, other))
	w.Changes(2)
	w.Must(other.Move(dentist, cal))
	w.Changes(2)
	w.Changes(0)
}

func TestCalendarsComeAndGo(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	cal.Create(meeting("Dentist", 2, 9))
	w.Changes(1)
	a := w.Box.AddCalendar("Projekt", "#112233")
	b := w.Box.AddCalendar("Projekt!", "")
	a.Create(meeting("Kick-off", 2, 9))
	b.Create(meeting("Kick-off 2", 2, 9))
	w.Changes(2)
	a.Rename("Project")
	a.Recolor("#445566")
	w.Changes(0)
	back := dav.Backend{Store: w.Store}
	c, err := back.Calendar(w.Ctx, caldav.Principal{Name: "alice"}, "projekt")
	w.Must(err)
	if c.DisplayName != "Project" || c.Color != "#445566" {
		t.Errorf("renamed calendar is %+v", c)
	}
	w.Box.RemoveCalendar(a)
	w.Changes(0)
	if _, err := back.Calendar(w.Ctx, caldav.Principal{Name: "alice"}, "projekt"); err == nil {
		t.Error("the removed calendar is still there")
	}
	// A new calendar under the old path is another one: tokens of the old must not be good for it.
	old := c.Token
	w.Box.AddCalendar("Projekt", "")
	w.Changes(0)
	c, err = back.Calendar(w.Ctx, caldav.Principal{Name: "alice"}, "projekt")
	w.Must(err)
	if c.Token.Epoch == old.Epoch {
		t.Error("the epoch of a removed calendar came back")
	}
}

func TestForgottenTokensChangeNothing(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	dentist := cal.Create(meeting("Dentist", 2, 9))
	cal.Create(meeting("Far", 700, 9))
	series := cal.Create(weekly("Stand-up", -40, 8, "monday"))
	w.Must(cal.CancelOccurrence(series, day(0)))
	gone := cal.Create(weekly("Ends soon", -40, 12, "friday"))
	w.Changes(4)
	w.Sim.ForgetDeltaTokens()
	w.Changes(0)
	w.Must(cal.Delete(gone))
	w.Must(cal.Change(dentist, func(e *graphsim.Event) { e.Subject = "Dentist!" }))
	w.Sim.ForgetDeltaTokens()
	w.Changes(2)
	w.Changes(0)
}

// TestDeliveries: whatever order, repetition and page size Graph chooses, the outcome is the same.
func TestDeliveries(t *testing.T) {
	for name, set := range map[string]func(*graphsim.Server){
		"small pages":             func(s *graphsim.Server) { s.MaxPage = 2; s.EmptyPages = true },
		"replays":                 func(s *graphsim.Server) { s.ReplayLast = true },
		"duplicates":              func(s *graphsim.Server) { s.Duplicate = true; s.MaxPage = 3 },
		"shuffled":                func(s *graphsim.Server) { s.Shuffle = 7; s.MaxPage = 3 },
		"split":                   func(s *graphsim.Server) { s.SplitSeries = true; s.MaxPage = 4 },
		"exceptions":              func(s *graphsim.Server) { s.ExceptionPage = 1 },
		"old cloud":               func(s *graphsim.Server) { s.NoCancelledOccurrences = true },
		"usgov":                   func(s *graphsim.Server) { s.Cloud = "usgov" },
		"china":                   func(s *graphsim.Server) { s.Cloud = "china"; s.Unknown = []string{"occurrenceId"}; s.Unnamed = true },
		"no occurrenceId":         func(s *graphsim.Server) { s.Unknown = []string{"occurrenceId"} },
		"no cancelledOccurrences": func(s *graphsim.Server) { s.Unknown = []string{"cancelledOccurrences"} },
		"no exceptionOccurrences": func(s *graphsim.Server) { s.Unknown = []string{"exceptionOccurrences"}; s.Unnamed = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, set)
			cal := w.Box.Calendar()
			dentist := cal.Create(meeting("Dentist", 2, 9))
			a := cal.Create(weekly("Stand-up", -14, 8, "monday", "wednesday"))
			b := cal.Create(weekly("Review", -14, 14, "friday"))
			w.Must(cal.ChangeOccurrence(a, day(0), func(e *graphsim.Event) { e.Subject = "Stand-up, long" }))
			w.Must(cal.ChangeOccurrence(a, day(2), func(e *graphsim.Event) { e.Start, e.End = at(3, 8, 0), at(3, 9, 0) }))
			w.Changes(3)
			w.Must(cal.CancelOccurrence(a, day(7)))
			w.Must(cal.Change(dentist, func(e *graphsim.Event) { e.Start, e.End = at(3, 9, 0), at(3, 9, 30) }))
			w.Changes(2)
			w.Must(cal.Change(b, func(e *graphsim.Event) { e.Recurrence.Pattern.DaysOfWeek = []string{"tuesday"} }))
			w.Changes(1)
			w.Must(cal.Delete(b))
			w.Changes(1)
			w.Must(cal.Delete(dentist))
			w.Changes(1)
			w.Round()
		})
	}
}

// TestOddSeries: what Graph lists is the truth, also where the rule says something else.
func TestOddSeries(t *testing.T) {
	for name, skip := range map[string]bool{"clamping": false, "skipping": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(s *graphsim.Server) { s.Skip29 = skip })
			for _, d := range []int{29, 30, 31} {
				e := meeting("Report", 0, 9)
				e.Start = time.Date(2026, 10, d, 9, 0, 0, 0, time.UTC)
				e.End = e.Start.Add(time.Hour)
				e.Recurrence = &graph.Recurrence{
					Pattern: graph.RecurrencePattern{Type: "absoluteMonthly", Interval: 1, DayOfMonth: d},
					Range:   graph.RecurrenceRange{Type: "noEnd"},
				}
				w.Box.Calendar().Create(e)
			}
			w.Changes(3)
			w.Changes(0)
		})
	}
}

func TestOrphans(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	cal.Create(graphsim.Event{Subject: "Only this one", Start: at(3, 9, 0), End: at(3, 10, 0),
		Extra: map[string]any{"type": "exception", "seriesMasterId": "AAMkNotInThisMailbox=", "occurrenceId": "OID.AAMkNotInThisMailbox=." + day(3)}})
	w.Changes(1)
	if text := w.Object("Only this one"); strings.Contains(text, "RECURRENCE-ID") {
		t.Errorf("an orphan has a RECURRENCE-ID:\n%s", text)
	}
	w.Changes(0)
}

// TestSameUIDTwice: a copy of an event in one calendar has its iCalUId; RFC 4791 wants one resource a UID.
func TestSameUIDTwice(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	for _, hour := range []int{8, 9, 10} {
		e := meeting("Copy", 2, hour)
		e.ICalUID = "same@elsewhere.example"
		cal.Create(e)
	}
	w.Changes(3)
	w.Changes(0)
}

// TestCrashes kills the bridge at every request of a first round and of a later one.
func TestCrashes(t *testing.T) {
	for kill := int64(1); ; kill++ {
		w := newWorld(t, func(s *graphsim.Server) { s.MaxPage = 3 })
		cal := w.Box.Calendar()
		for i := range 8 {
			cal.Create(meeting("Meeting", i, 9))
		}
		series := cal.Create(weekly("Stand-up", -7, 8, "monday"))
		var n atomic.Int64
		var after atomic.Int64
		after.Store(kill)
		w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
			if strings.HasPrefix(r.URL.Path, "/v1.0") && n.Add(1) >= after.Load() {
				return &graphsim.Fault{Status: 403, Code: "ErrorAccessDenied"} // not retried: the round ends here
			}
			return nil
		}
		_, err := w.Rounds.Round(w.Ctx, w.Mailbox)
		done := err == nil
		w.Crash()
		after.Store(1 << 40)
		w.Round()
		w.Changes(0)

		w.Must(cal.CancelOccurrence(series, day(7)))
		far := cal.Create(meeting("Far", 900, 9))
		n.Store(0)
		after.Store(kill)
		_, err = w.Rounds.Round(w.Ctx, w.Mailbox)
		done = done && err == nil
		w.Crash()
		after.Store(1 << 40)
		w.Must(cal.Delete(far))
		w.Round()
		w.Changes(0)
		if done {
			break
		}
		if kill > 100 {
			t.Fatal("the rounds do not end")
		}
		w.Must(w.Store.Close())
	}
}

// TestOutage: nothing that a client sees changes while Graph does not answer.
func TestOutage(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	cal.Create(meeting("Dentist", 2, 9))
	w.Changes(1)
	w.Sim.RevokeTokens(w.Box)
	w.Sim.ExpireAccessTokens()
	w.Pass(2 * time.Hour)
	if _, err := w.Rounds.Round(w.Ctx, w.Mailbox); err == nil {
		t.Fatal("a revoked sign-in went unnoticed")
	}
	a, err := w.Store.Account(w.Ctx, "alice")
	w.Must(err)
	if a.State.Code != bridge.StateSignIn || !a.State.Final || a.State.Reason != bridge.Reason(graph.ReasonRevoked) || a.State.Action != bridge.ActionSignIn {
		t.Errorf("state is %+v", a.State)
	}
	w.Check()
	tok, err := w.SignIn()
	w.Must(err)
	w.Must(w.Store.Tokens(a.ID).SaveToken(w.Ctx, nil, tok))
	w.Crash()
	w.Changes(0)
	a, err = w.Store.Account(w.Ctx, "alice")
	w.Must(err)
	if a.State.Code != bridge.StateOK {
		t.Errorf("state after the new sign-in is %+v", a.State)
	}
}

// TestBrokenCalendarDelaysNoOther is promise 8.
func TestBrokenCalendarDelaysNoOther(t *testing.T) {
	w := newWorld(t)
	good, bad := w.Box.Calendar(), w.Box.AddCalendar("Bad", "")
	good.Create(meeting("Dentist", 2, 9))
	bad.Create(meeting("Kept", 2, 9))
	w.Changes(2)
	w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
		if strings.Contains(r.URL.Path, string(bad.ID())) {
			return &graphsim.Fault{Status: 403, Code: "ErrorAccessDenied", Message: "Access is denied."}
		}
		return nil
	}
	good.Create(meeting("Doctor", 2, 9))
	w.Pass(time.Minute)
	r, err := w.Rounds.Round(w.Ctx, w.Mailbox)
	if err == nil || r.Changed() != 1 || r.Failed() != 1 {
		t.Errorf("changed %d, failed %d, err %v", r.Changed(), r.Failed(), err)
	}
	w.Object("Kept")
	w.Object("Doctor")
	w.Sim.Fault = nil
	w.Changes(0)
}

// TestWindowRolls: the window is opened again as time goes by, and nobody notices.
func TestWindowRolls(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	old := cal.Create(meeting("Long ago", -100, 9))
	cal.Create(meeting("Next year", 500, 9))
	series := cal.Create(weekly("Stand-up", -100, 8, "monday"))
	short := meeting("Short", -100, 8)
	short.Recurrence = &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "daily", Interval: 1}, Range: graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 5}}
	cal.Create(short)
	w.Changes(4)
	window := func() time.Time {
		a, err := w.Store.Account(w.Ctx, "alice")
		w.Must(err)
		cals, err := w.Store.Calendars(w.Ctx, a.ID)
		w.Must(err)
		return cals[0].Window.End
	}
	first := window()
	for range 5 {
		w.Pass(60 * 24 * time.Hour)
		w.Changes(0)
	}
	if !window().After(first.AddDate(0, 3, 0)) {
		t.Errorf("the window ends %s, at first %s", window(), first)
	}
	// What the window has left behind is still there, and still followed.
	w.Object("Long ago")
	w.Must(cal.CancelOccurrence(series, day(350)))
	w.Changes(1)
	w.Must(cal.Delete(old))
	w.Changes(1)
	w.Changes(0)
}

// TestPeriodsChange: another history or horizon in the configuration opens the window again; only what it brings in
// is a change.
func TestPeriodsChange(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	cal.Create(meeting("Long ago", -300, 9))
	cal.Create(meeting("Soon", 3, 9))
	cal.Create(weekly("Stand-up", -20, 8, "monday"))
	w.Changes(2)
	w.Rounds.History = bridge.Period{Months: 12}
	w.Changes(1)
	w.Object("Long ago")
	w.Rounds.Horizon = bridge.Period{Months: 24}
	w.Changes(0)
	w.Changes(0)
}

// TestLongSeries: a change to a long daily series is one object and one request for its master.
func TestLongSeries(t *testing.T) {
	w := newWorld(t, func(s *graphsim.Server) { s.MaxPage = 50; s.SplitSeries = true })
	e := meeting("Daily", -100, 8)
	e.Recurrence = &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "daily", Interval: 1}, Range: graph.RecurrenceRange{Type: "noEnd"}}
	cal := w.Box.Calendar()
	id := cal.Create(e)
	w.Changes(1)
	for i := range 5 {
		w.Must(cal.CancelOccurrence(id, day(i*3)))
		w.Must(cal.ChangeOccurrence(id, day(i*3+1), func(e *graphsim.Event) { e.Subject = "Daily special" }))
	}
	w.Changes(1)
	text := w.Object("Daily special")
	if n := strings.Count(text, "EXDATE"); n != 5 {
		t.Errorf("%d EXDATEs, want 5", n)
	}
	if n := strings.Count(text, "RECURRENCE-ID"); n != 5 {
		t.Errorf("%d overrides, want 5", n)
	}
}

// TestSeriesThatPause: a series with no occurrence in the window is served when it goes on after it, and not when it is over.
func TestSeriesThatPause(t *testing.T) {
	w := newWorld(t)
	yearly := func(subject string, start time.Time, interval int, r graph.RecurrenceRange) graphsim.Event {
		return graphsim.Event{Subject: subject, Start: start, End: start.Add(time.Hour), Recurrence: &graph.Recurrence{
			Pattern: graph.RecurrencePattern{Type: "absoluteYearly", Interval: interval, Month: int(start.Month()), DayOfMonth: start.Day()}, Range: r}}
	}
	cal := w.Box.Calendar()
	before := at(-200, 9, 0)
	cal.Create(yearly("Every third year", before, 3, graph.RecurrenceRange{Type: "noEnd"}))
	cal.Create(yearly("Three more", before, 3, graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 4}))
	cal.Create(yearly("Over", before, 3, graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 1}))
	cal.Create(yearly("Ended", before, 3, graph.RecurrenceRange{Type: "endDate", EndDate: before.AddDate(1, 0, 0).Format(time.DateOnly)}))
	cal.Create(weekly("Usual", 0, 9, "monday"))
	w.Changes(3)
	w.Object("Every third year")
	w.Object("Three more")
	w.Changes(0)
	w.Rounds.Horizon = bridge.Period{Months: 15}
	w.Changes(0)
}

// TestLookFails: where Graph cannot list what lies beyond the window, the window itself is served all the same, and
// the rest follows as soon as Graph can.
func TestLookFails(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	cal.Create(meeting("Soon", 3, 9))
	cal.Create(meeting("Far", 900, 9))
	w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
		if strings.Contains(r.URL.RawQuery, "filter") {
			return &graphsim.Fault{Status: 403, Code: "ErrorInternal", Body: []byte("<html>a gateway</html>")}
		}
		return nil
	}
	w.Client.Attempts = 1
	if _, err := w.Rounds.Round(w.Ctx, w.Mailbox); err == nil {
		t.Error("the trouble went unnoticed")
	}
	w.Object("Soon")
	cal.Create(meeting("Sooner", 2, 9))
	if r, _ := w.Rounds.Round(w.Ctx, w.Mailbox); r.Changed() != 1 {
		t.Errorf("%d changes beside the trouble, want 1", r.Changed())
	}
	w.Sim.Fault = nil
	w.Changes(1)
	w.Object("Far")
}

// TestSettings: the mailbox's zone and category colours come in with the round after the option is switched on, and
// their change changes the objects that show them, and no others.
func TestSettings(t *testing.T) {
	w := newWorld(t)
	w.Box.AddCategory("Travel", "preset7")
	cal := w.Box.Calendar()
	trip := meeting("Trip", 2, 9)
	trip.Categories = []string{"Travel"}
	cal.Create(trip)
	odd := meeting("Odd", 3, 9)
	odd.Zone = "tzone://Microsoft/Custom"
	cal.Create(odd)
	cal.Create(meeting("Plain", 3, 9))
	w.Changes(3)
	if text := w.Object("Odd"); strings.Contains(text, "TZID=Europe/Berlin") {
		t.Errorf("the mailbox's zone is known before it was read:\n%s", text)
	}
	w.Rounds.Settings = true
	w.Changes(2)
	if text := w.Object("Trip"); !strings.Contains(text, "\r\nCOLOR:") {
		t.Errorf("no colour:\n%s", text)
	}
	if text := w.Object("Odd"); !strings.Contains(text, "TZID=Europe/Berlin") {
		t.Errorf("not in the mailbox's zone:\n%s", text)
	}
	if r := w.Changes(0); r.Requests != 2 {
		t.Errorf("an idle round made %d requests, want 2: settings are asked for once an hour", r.Requests)
	}
	w.Pass(2 * time.Hour)
	w.Changes(0)
}

// TestZonesOfTheField: a series in a zone with an odd name is read and shown in the zone that it means, and Graph is asked in
// names that it takes alone; the world objects to others.
func TestZonesOfTheField(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	for name, real := range map[string][2]string{
		"Eastern Standard Time 1": {"Eastern Standard Time", "America/New_York"}, "Eastern Daylight Time": {"Eastern Standard Time", "America/New_York"},
		"/mozilla.org/20070129_1/Europe/Vienna": {"W. Europe Standard Time", "Europe/Vienna"}, "GMT+6:30": {"Myanmar Standard Time", "Asia/Yangon"},
		"Mitteleuropäische Zeit": {"W. Europe Standard Time", "Europe/Berlin"},
	} {
		e := weekly("In "+name, 0, 23, "monday")
		e.Zone, e.RealZone = name, real[0]
		cal.Create(e)
		defer func() {
			if text := w.Object("In " + name); !strings.Contains(text, "DTSTART;TZID="+real[1]+":") || !strings.Contains(text, "BYDAY=MO") {
				t.Errorf("%s:\n%s", name, text)
			}
		}()
	}
	w.Changes(5)
}

// TestSettingsOneByOne: where one of the settings is refused or fails, the other comes in all the same, and what was known of
// the one stays.
func TestSettingsOneByOne(t *testing.T) {
	for name, tt := range map[string]struct {
		cloud  string
		broken string // end of the path
		status int
	}{
		"china":                {cloud: "china"},
		"categories refused":   {broken: "masterCategories", status: 403},
		"categories break":     {broken: "masterCategories", status: 500},
		"categories not there": {broken: "masterCategories", status: 501},
		"zone refused":         {broken: "mailboxSettings", status: 403},
		"zone breaks":          {broken: "mailboxSettings", status: 500},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(s *graphsim.Server) { s.Cloud = tt.cloud })
			w.Client.Attempts = 1
			w.Rounds.Settings = true
			w.Box.AddCategory("Travel", "preset7")
			broken := true
			w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
				if broken && tt.broken != "" && strings.HasSuffix(r.URL.Path, tt.broken) {
					return &graphsim.Fault{Status: tt.status}
				}
				return nil
			}
			settings := func() bridge.Settings {
				w.Round()
				a, err := w.Store.EnsureAccount(w.Ctx, "alice")
				w.Must(err)
				return a.Settings
			}
			s := settings()
			if zone, colors := tt.broken != "mailboxSettings", tt.broken == "mailboxSettings"; (s.Zone != "") != zone || (len(s.Colors) > 0) != colors {
				t.Errorf("settings %+v", s)
			}
			if tt.broken == "" {
				return
			}
			broken = false
			w.Pass(2 * time.Hour)
			whole := settings()
			if whole.Zone == "" || whole.Colors["Travel"] == "" {
				t.Errorf("settings %+v", whole)
			}
			broken = true
			w.Pass(2 * time.Hour)
			if s := settings(); s.Zone != whole.Zone || !maps.Equal(s.Colors, whole.Colors) {
				t.Errorf("settings %+v, before %+v", s, whole)
			}
		})
	}
}

// TestRebuild: an option that changes the rendering shows at once, and without Graph.
func TestRebuild(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	rich := meeting("Rich", 2, 9)
	rich.Body = "<p>Some <b>bold</b> text</p>"
	cal.Create(rich)
	cal.Create(weekly("Stand-up", 0, 8, "monday"))
	w.Changes(2)
	w.Sim.ResetRequests()
	r, err := w.Rounds.Rebuild(w.Ctx, w.Mailbox)
	w.Must(err)
	if r.Changed() != 0 {
		t.Errorf("a rebuild of nothing new changed %d objects", r.Changed())
	}
	w.Rounds.HTML = true
	r, err = w.Rounds.Rebuild(w.Ctx, w.Mailbox)
	w.Must(err)
	if r.Changed() < 1 || len(w.Sim.Requests()) != 0 {
		t.Errorf("the rebuild changed %d objects with %d requests", r.Changed(), len(w.Sim.Requests()))
	}
	if text := w.Object("Rich"); !strings.Contains(text, "X-ALT-DESC") {
		t.Errorf("no HTML:\n%s", text)
	}
	w.Changes(0)
	w.Rounds.HTML = false
	w.Round()
	if text := w.Object("Rich"); strings.Contains(text, "X-ALT-DESC") {
		t.Errorf("the HTML stays:\n%s", text)
	}
}

func TestFindAndExplain(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	series := cal.Create(weekly("Stand-up", 0, 8, "monday"))
	w.Must(cal.ChangeOccurrence(series, day(7), func(e *graphsim.Event) { e.Subject = "Stand-up with guests" }))
	cal.Create(meeting("Dentist", 2, 9))
	w.Changes(2)
	for text, want := range map[string]int{"stand-up": 1, string(series): 1, "DENT": 1, "nothing": 0, "t": 2} {
		found, err := w.Store.FindSeries(w.Ctx, "", text, 10)
		w.Must(err)
		if len(found) != want {
			t.Errorf("%q finds %d series, want %d", text, len(found), want)
		}
	}
	found, err := w.Store.FindSeries(w.Ctx, "alice", string(series), 10)
	w.Must(err)
	s, err := w.Rounds.SeriesOf(w.Ctx, bridge.Policy{}, found[0].Calendar, found[0].Series)
	w.Must(err)
	var b strings.Builder
	w.Must(convert.Explain(&b, s, false))
	for _, want := range []string{"FREQ=WEEKLY", "Stand-up with guests", "BEGIN:VCALENDAR"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the explanation lacks %q", want)
		}
	}
}

// TestStuckCursor: a cursor that Graph answers with 500 forever is given up, and nothing shows but what has changed.
func TestStuckCursor(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	cal.Create(meeting("Soon", 3, 9))
	w.Changes(1)
	w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
		if strings.Contains(r.URL.RawQuery, "token=") {
			return &graphsim.Fault{Status: 500, Code: "ErrorInternalServerError"}
		}
		return nil
	}
	w.Client.Attempts = 1
	cal.Create(meeting("Sooner", 2, 9))
	for n := range 4 {
		w.Pass(time.Minute)
		if r, err := w.Rounds.Round(w.Ctx, w.Mailbox); n < 3 && err == nil || n == 3 && (err != nil || r.Changed() != 1) {
			t.Fatalf("round %d: %d changes, %v", n, r.Changed(), err)
		}
	}
	w.Object("Sooner")
}

// TestMasterMissesOnce: a 404 for a master that the delta has just listed is no deletion.
func TestMasterMissesOnce(t *testing.T) {
	w := newWorld(t)
	cal := w.Box.Calendar()
	series := cal.Create(weekly("Stand-up", 0, 8, "monday"))
	w.Changes(1)
	w.Must(cal.Change(series, func(e *graphsim.Event) { e.Subject = "Stand-up, new" }))
	w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
		if strings.Contains(r.URL.Path, "/events/") {
			return &graphsim.Fault{Status: 404, Code: "ErrorItemNotFound"}
		}
		return nil
	}
	w.Pass(time.Minute)
	r, err := w.Rounds.Round(w.Ctx, w.Mailbox)
	w.Must(err)
	if r.Changed() != 0 {
		t.Errorf("%d changes, want none", r.Changed())
	}
	w.Object("Stand-up")
	w.Sim.Fault = nil
	w.Changes(1)
	w.Object("Stand-up\\, new")

	// One that is really gone is gone with the next round.
	w.Must(cal.Change(series, func(e *graphsim.Event) { e.Subject = "Stand-up, newer" }))
	var deleted atomic.Bool
	w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
		if strings.Contains(r.URL.Path, "/events/") && !deleted.Swap(true) {
			w.Must(cal.Delete(series))
		}
		return nil
	}
	w.Pass(time.Minute)
	_, err = w.Rounds.Round(w.Ctx, w.Mailbox)
	w.Must(err)
	w.Sim.Fault = nil
	w.Changes(1)
	w.Changes(0)
}

// TestLookWithoutFilter: a Graph that will not filter events by their start lists them all.
func TestLookWithoutFilter(t *testing.T) {
	for _, status := range []int{400, 501, 500} {
		w := newWorld(t)
		cal := w.Box.Calendar()
		cal.Create(meeting("Soon", 3, 9))
		cal.Create(meeting("Far", 900, 9))
		cal.Create(meeting("Long ago", -900, 9))
		w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
			if strings.Contains(r.URL.RawQuery, "filter") {
				return &graphsim.Fault{Status: status, Code: "ErrorInvalidRequest"}
			}
			return nil
		}
		w.Client.Attempts = 1
		w.Changes(2)
		w.Object("Far")
	}
}

// TestFewPartsAtATime: a mailbox that lets a few parts of each batch through is synced whole at the first try.
func TestFewPartsAtATime(t *testing.T) {
	for _, through := range []int{1, 3, 4} {
		t.Run(fmt.Sprint(through), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *graphsim.Server) { s.BatchParts = through })
			cal := w.Box.Calendar()
			for i := range 30 {
				w.Must(cal.ChangeOccurrence(cal.Create(weekly(fmt.Sprintf("Series %d", i), -14, 8, "monday")), day(0), func(e *graphsim.Event) { e.Subject += ", long" }))
			}
			w.Changes(30)
		})
	}
}
