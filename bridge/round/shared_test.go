package round_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round"
)

// share adds a colleague's mailbox with some events, the calendar of which alice's account serves too.
func (w *world) share() *graphsim.Calendar {
	w.Helper()
	boss := w.Sim.AddMailbox("boss@contoso.example", "The Boss", "Pacific Standard Time")
	cal := boss.Calendar()
	cal.Share(w.Box)
	for i := range 70 {
		cal.Create(meeting(fmt.Sprint("Talk ", i), i, 9))
	}
	cal.Create(weekly("Staff meeting", -7, 15, "monday"))
	w.shareWith("boss@contoso.example")
	w.Others = append(w.Others, cal)
	return cal
}

func (w *world) shareWith(address string) {
	own := w.Mailbox.Graph.(*graph.Client)
	other := &graph.Client{BaseURL: own.BaseURL, HTTP: own.HTTP, Tokens: own.Tokens, Log: own.Log, Mailbox: address}
	w.Mailbox.Shared = append(w.Mailbox.Shared, round.SharedMailbox{Address: address, Graph: other})
}

func TestSharedCalendar(t *testing.T) {
	w := newWorld(t)
	w.Box.Calendar().Create(meeting("My own", 1, 9))
	cal := w.share()
	w.Changes(72)
	w.Changes(0)
	id := cal.Create(weekly("One to one", 1, 11, "tuesday", "friday"))
	w.Changes(1)
	w.Must(cal.CancelOccurrence(id, at(4, 0, 0).Format(time.DateOnly)))
	w.Changes(1)
	cals, err := w.Store.Calendars(w.Ctx, 1)
	w.Must(err)
	if c := cals[1]; c.DisplayName != "The Boss" || c.Name != "boss" || c.Mailbox != "boss@contoso.example" || c.Default {
		t.Errorf("calendar %+v", c)
	}

	// What is not shared any more stays as it was last seen, and says so.
	cal.Unshare(w.Box)
	w.Pass(time.Minute)
	_, err = w.Rounds.Round(w.Ctx, w.Mailbox)
	var shared *bridge.SharedError
	if !errors.As(err, &shared) || shared.Address != "boss@contoso.example" {
		t.Fatalf("error %v", err)
	}
	w.Check()
	a, err := w.Store.Account(w.Ctx, "alice")
	w.Must(err)
	if s := a.State; s.Code != bridge.StateDenied || !strings.Contains(s.Sentence, "boss@contoso.example") || !strings.Contains(s.Action, "login alice") {
		t.Errorf("state %+v", s)
	}
	w.Box.Calendar().Create(meeting("My own second", 2, 9))
	w.Pass(time.Minute)
	if r, _ := w.Rounds.Round(w.Ctx, w.Mailbox); r.Changed() != 1 {
		t.Errorf("the own calendar is held up: %+v", r)
	}

	// Taken out of the configuration it goes.
	w.Mailbox.Shared, w.Others = nil, nil
	w.Changes(0)
}

// TestDelegatedDelta has Graph refuse the links of a delta to whom the calendar is only shared with.
func TestDelegatedDelta(t *testing.T) {
	w := newWorld(t, func(s *graphsim.Server) { s.DelegatedDeltaDenied = true })
	cal := w.share()
	w.Changes(71)
	cals, err := w.Store.Calendars(w.Ctx, 1)
	w.Must(err)
	if cals[0].Way != bridge.WayDelta || cals[1].Way != bridge.WayView {
		t.Fatalf("ways %q, %q", cals[0].Way, cals[1].Way)
	}
	w.Changes(0)
	single := cal.Create(meeting("Added", 3, 9))
	w.Changes(1)
	w.Must(cal.Change(single, func(e *graphsim.Event) { e.Subject = "Renamed" }))
	w.Changes(1)
	w.Object("Renamed")
	series := cal.Create(weekly("Series", 2, 8, "wednesday"))
	w.Changes(1)
	w.Must(cal.CancelOccurrence(series, at(9, 0, 0).Format(time.DateOnly)))
	w.Changes(1)
	w.Must(cal.ChangeOccurrence(series, at(16, 0, 0).Format(time.DateOnly), func(e *graphsim.Event) { e.Subject, e.Start, e.End = "Moved", at(17, 6, 0), at(17, 7, 0) }))
	w.Changes(1)
	w.Must(cal.Change(series, func(e *graphsim.Event) { e.Subject = "Series two" }))
	w.Changes(1)
	w.Must(cal.Delete(single))
	w.Must(cal.Delete(series))
	w.Changes(2)
	months := func(n int) {
		for range n {
			w.Pass(30 * 24 * time.Hour)
			w.Round()
		}
	}
	// The window rolls on, and still Graph does not allow it.
	months(5)
	w.Changes(0)
	// It does again.
	w.Sim.DelegatedDeltaDenied = false
	months(5)
	cals, err = w.Store.Calendars(w.Ctx, 1)
	w.Must(err)
	if cals[1].Way != bridge.WayDelta {
		t.Error("the cursor is not tried again with a new window")
	}
	cal.Create(meeting("Late", 310, 9))
	w.Changes(1)
}

func TestIncludeAndExclude(t *testing.T) {
	w := newWorld(t)
	w.Box.AddCalendar("Team Events", "#123456")
	w.Box.AddCalendar("Birthdays", "")
	names := func() (list []string) {
		w.Pass(time.Minute)
		_, err := w.Rounds.Round(w.Ctx, w.Mailbox)
		w.Must(err)
		cals, err := w.Store.Calendars(w.Ctx, 1)
		w.Must(err)
		for _, c := range cals {
			list = append(list, c.DisplayName)
		}
		return list
	}
	for _, test := range []struct {
		include, exclude []string
		want             string
	}{
		{nil, nil, "[Calendar Team Events Birthdays]"},
		{[]string{"team*"}, nil, "[Team Events]"},
		{nil, []string{"BIRTHDAYS"}, "[Calendar Team Events]"},
		{[]string{"*"}, []string{"*a*"}, "[]"},
		{[]string{"calendar", "Team.Events"}, nil, "[Calendar]"},
	} {
		w.Mailbox.Include, w.Mailbox.Exclude = test.include, test.exclude
		if test.want == "[]" {
			if _, err := w.Rounds.Round(w.Ctx, w.Mailbox); err == nil || !strings.Contains(err.Error(), "include") {
				t.Errorf("no calendar left: %v", err)
			}
			continue
		}
		if got := fmt.Sprint(names()); got != test.want {
			t.Errorf("include %q, exclude %q: %s, want %s", test.include, test.exclude, got, test.want)
		}
	}
}

// TestMoveToExcluded: what is moved into a calendar that is not served leaves the one that is.
func TestMoveToExcluded(t *testing.T) {
	w := newWorld(t)
	private := w.Box.AddCalendar("Private", "")
	w.Mailbox.Exclude = []string{"private"}
	cal := w.Box.Calendar()
	single, series := cal.Create(meeting("Doctor", 3, 9)), cal.Create(weekly("Therapy", 1, 9, "monday", "thursday"))
	cal.Create(meeting("Stays", 3, 9))
	if _, err := w.Rounds.Round(w.Ctx, w.Mailbox); err != nil {
		t.Fatal(err)
	}
	w.Must(cal.Move(single, private))
	w.Must(cal.Move(series, private))
	w.Pass(time.Minute)
	r, err := w.Rounds.Round(w.Ctx, w.Mailbox)
	w.Must(err)
	if n := r.Calendars[0].Removed; n != 2 {
		t.Errorf("%d objects removed, want 2", n)
	}
}

// TestShortList keeps calendars that Graph left out of its list by mistake.
func TestShortList(t *testing.T) {
	w := newWorld(t)
	w.Box.AddCalendar("Second", "").Create(meeting("Kept", 1, 9))
	w.Round()
	w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
		if strings.HasSuffix(r.URL.Path, "/me/calendars") {
			id := w.Box.Calendar().ID()
			return &graphsim.Fault{Status: 200, Body: []byte(`{"value":[{"id":"` + string(id) + `","name":"Calendar","isDefaultCalendar":true}]}`)}
		}
		return nil
	}
	w.Changes(0)
	w.Sim.Fault = nil
	w.Object("Kept")
}

func TestGroupCalendars(t *testing.T) {
	w := newWorld(t, func(s *graphsim.Server) { s.GroupsApart = true })
	g := w.Box.AddCalendarGroup("Projects")
	g.AddCalendar("Apollo", "").Create(meeting("Launch", 1, 9))
	w.Round()
	w.Object("Launch")
	w.Changes(0)
	g.AddCalendar("Gemini", "").Create(meeting("Docking", 1, 9))
	w.Pass(24 * time.Hour)
	w.Round()
	w.Object("Docking")
}

// TestGroupsFail does without calendar groups where Graph has none to give, in whatever way it says so.
func TestGroupsFail(t *testing.T) {
	for _, status := range []int{400, 403, 404, 501, 500} {
		w := newWorld(t)
		w.Mailbox.Graph.(*graph.Client).Attempts = 1
		asked := 0
		w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
			if strings.Contains(r.URL.Path, "/calendarGroups") {
				asked++
				return &graphsim.Fault{Status: status, Code: "UnknownError"}
			}
			return nil
		}
		w.Box.Calendar().Create(meeting("Served", 1, 9))
		w.Changes(1)
		w.Changes(0)
		if asked != 1 {
			t.Errorf("%d: asked %d times", status, asked)
		}
	}
}

// TestListEvery lists the calendars now and then only, while every round polls each of them once.
func TestListEvery(t *testing.T) {
	w := newWorld(t)
	w.Rounds.ListEvery = 5 * time.Minute
	w.Round()
	w.Sim.ResetRequests()
	for range 4 {
		w.Round()
	}
	if n := len(w.Sim.Requests()); n != 4 {
		t.Errorf("%d requests in 4 idle rounds of one calendar", n)
	}
	w.Box.AddCalendar("New", "")
	w.Round()
	// A calendar that is gone is found out at once.
	second := w.Box.Calendars()[1]
	w.Box.RemoveCalendar(second)
	w.Pass(time.Minute)
	if _, err := w.Rounds.Round(w.Ctx, w.Mailbox); err == nil {
		t.Fatal("a round of a removed calendar is good")
	}
	w.Round()
}
