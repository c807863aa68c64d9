package bridge_test

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
)

// share adds a colleague's mailbox with some events, the calendar of which alice's account serves too.
func (w *world) share() *graphsim.Calendar {
	w.Helper()
	boss := w.sim.AddMailbox("boss@contoso.example", "The Boss", "Pacific Standard Time")
	cal := boss.Calendar()
	cal.Share(w.box)
	for i := range 70 {
		cal.Create(meeting(fmt.Sprint("Talk ", i), i, 9))
	}
	cal.Create(weekly("Staff meeting", -7, 15, "monday"))
	w.shareWith("boss@contoso.example")
	w.others = append(w.others, cal)
	return cal
}

func (w *world) shareWith(address string) {
	own := w.m.Graph.(*graph.Client)
	other := &graph.Client{BaseURL: own.BaseURL, HTTP: own.HTTP, Tokens: own.Tokens, Log: own.Log, Mailbox: address}
	w.m.Shared = append(w.m.Shared, bridge.SharedMailbox{Address: address, Graph: other})
}

func TestSharedCalendar(t *testing.T) {
	w := newWorld(t)
	w.box.Calendar().Create(meeting("My own", 1, 9))
	cal := w.share()
	w.changes(72)
	w.changes(0)
	id := cal.Create(weekly("One to one", 1, 11, "tuesday", "friday"))
	w.changes(1)
	w.must(cal.CancelOccurrence(id, at(4, 0, 0).Format(time.DateOnly)))
	w.changes(1)
	cals, err := w.store.Calendars(w.ctx, 1)
	w.must(err)
	if c := cals[1]; c.DisplayName != "The Boss" || c.Name != "boss" || c.Mailbox != "boss@contoso.example" || c.Default {
		t.Errorf("calendar %+v", c)
	}

	// What is not shared any more stays as it was last seen, and says so.
	cal.Unshare(w.box)
	w.pass(time.Minute)
	_, err = w.b.Round(w.ctx, w.m)
	var shared *bridge.SharedError
	if !errors.As(err, &shared) || shared.Address != "boss@contoso.example" {
		t.Fatalf("error %v", err)
	}
	w.check()
	a, err := w.store.Account(w.ctx, "alice")
	w.must(err)
	if s := a.State; s.Code != bridge.StateDenied || s.Reason != bridge.ReasonShared || s.Address != "boss@contoso.example" || s.Action != bridge.ActionShare {
		t.Errorf("state %+v", s)
	}
	w.box.Calendar().Create(meeting("My own second", 2, 9))
	w.pass(time.Minute)
	if r, _ := w.b.Round(w.ctx, w.m); r.Changed() != 1 {
		t.Errorf("the own calendar is held up: %+v", r)
	}

	// Taken out of the configuration it goes.
	w.m.Shared, w.others = nil, nil
	w.changes(0)
}

// TestDelegatedDelta has Graph refuse the links of a delta to whom the calendar is only shared with.
func TestDelegatedDelta(t *testing.T) {
	w := newWorld(t, func(s *graphsim.Server) { s.DelegatedDeltaDenied = true })
	cal := w.share()
	w.changes(71)
	cals, err := w.store.Calendars(w.ctx, 1)
	w.must(err)
	if cals[0].Way != bridge.WayDelta || cals[1].Way != bridge.WayView {
		t.Fatalf("ways %q, %q", cals[0].Way, cals[1].Way)
	}
	w.changes(0)
	single := cal.Create(meeting("Added", 3, 9))
	w.changes(1)
	w.must(cal.Change(single, func(e *graphsim.Event) { e.Subject = "Renamed" }))
	w.changes(1)
	w.object("Renamed")
	series := cal.Create(weekly("Series", 2, 8, "wednesday"))
	w.changes(1)
	w.must(cal.CancelOccurrence(series, at(9, 0, 0).Format(time.DateOnly)))
	w.changes(1)
	w.must(cal.ChangeOccurrence(series, at(16, 0, 0).Format(time.DateOnly), func(e *graphsim.Event) { e.Subject, e.Start, e.End = "Moved", at(17, 6, 0), at(17, 7, 0) }))
	w.changes(1)
	w.must(cal.Change(series, func(e *graphsim.Event) { e.Subject = "Series two" }))
	w.changes(1)
	w.must(cal.Delete(single))
	w.must(cal.Delete(series))
	w.changes(2)
	months := func(n int) {
		for range n {
			w.pass(30 * 24 * time.Hour)
			w.round()
		}
	}
	// The window rolls on, and still Graph does not allow it.
	months(5)
	w.changes(0)
	// It does again.
	w.sim.DelegatedDeltaDenied = false
	months(5)
	cals, err = w.store.Calendars(w.ctx, 1)
	w.must(err)
	if cals[1].Way != bridge.WayDelta {
		t.Error("the cursor is not tried again with a new window")
	}
	cal.Create(meeting("Late", 310, 9))
	w.changes(1)
}

func TestIncludeAndExclude(t *testing.T) {
	w := newWorld(t)
	w.box.AddCalendar("Team Events", "#123456")
	w.box.AddCalendar("Birthdays", "")
	names := func() (list []string) {
		w.pass(time.Minute)
		_, err := w.b.Round(w.ctx, w.m)
		w.must(err)
		cals, err := w.store.Calendars(w.ctx, 1)
		w.must(err)
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
		w.m.Include, w.m.Exclude = test.include, test.exclude
		if test.want == "[]" {
			if _, err := w.b.Round(w.ctx, w.m); err == nil || !strings.Contains(err.Error(), "include") {
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
	private := w.box.AddCalendar("Private", "")
	w.m.Exclude = []string{"private"}
	cal := w.box.Calendar()
	single, series := cal.Create(meeting("Doctor", 3, 9)), cal.Create(weekly("Therapy", 1, 9, "monday", "thursday"))
	cal.Create(meeting("Stays", 3, 9))
	if _, err := w.b.Round(w.ctx, w.m); err != nil {
		t.Fatal(err)
	}
	w.must(cal.Move(single, private))
	w.must(cal.Move(series, private))
	w.pass(time.Minute)
	r, err := w.b.Round(w.ctx, w.m)
	w.must(err)
	if n := r.Calendars[0].Removed; n != 2 {
		t.Errorf("%d objects removed, want 2", n)
	}
}

// TestShortList keeps calendars that Graph left out of its list by mistake.
func TestShortList(t *testing.T) {
	w := newWorld(t)
	w.box.AddCalendar("Second", "").Create(meeting("Kept", 1, 9))
	w.round()
	w.sim.Fault = func(r *http.Request) *graphsim.Fault {
		if strings.HasSuffix(r.URL.Path, "/me/calendars") {
			id := w.box.Calendar().ID()
			return &graphsim.Fault{Status: 200, Body: []byte(`{"value":[{"id":"` + string(id) + `","name":"Calendar","isDefaultCalendar":true}]}`)}
		}
		return nil
	}
	w.changes(0)
	w.sim.Fault = nil
	w.object("Kept")
}

func TestGroupCalendars(t *testing.T) {
	w := newWorld(t, func(s *graphsim.Server) { s.GroupsApart = true })
	g := w.box.AddCalendarGroup("Projects")
	g.AddCalendar("Apollo", "").Create(meeting("Launch", 1, 9))
	w.round()
	w.object("Launch")
	w.changes(0)
	g.AddCalendar("Gemini", "").Create(meeting("Docking", 1, 9))
	w.pass(24 * time.Hour)
	w.round()
	w.object("Docking")
}

// TestGroupsFail does without calendar groups where Graph has none to give, in whatever way it says so.
func TestGroupsFail(t *testing.T) {
	for _, status := range []int{400, 403, 404, 501, 500} {
		w := newWorld(t)
		w.m.Graph.(*graph.Client).Attempts = 1
		asked := 0
		w.sim.Fault = func(r *http.Request) *graphsim.Fault {
			if strings.Contains(r.URL.Path, "/calendarGroups") {
				asked++
				return &graphsim.Fault{Status: status, Code: "UnknownError"}
			}
			return nil
		}
		w.box.Calendar().Create(meeting("Served", 1, 9))
		w.changes(1)
		w.changes(0)
		if asked != 1 {
			t.Errorf("%d: asked %d times", status, asked)
		}
	}
}

// TestListEvery lists the calendars now and then only, while every round polls each of them once.
func TestListEvery(t *testing.T) {
	w := newWorld(t)
	w.b.ListEvery = 5 * time.Minute
	w.round()
	w.sim.ResetRequests()
	for range 4 {
		w.round()
	}
	if n := len(w.sim.Requests()); n != 4 {
		t.Errorf("%d requests in 4 idle rounds of one calendar", n)
	}
	w.box.AddCalendar("New", "")
	w.round()
	// A calendar that is gone is found out at once.
	second := w.box.Calendars()[1]
	w.box.RemoveCalendar(second)
	w.pass(time.Minute)
	if _, err := w.b.Round(w.ctx, w.m); err == nil {
		t.Fatal("a round of a removed calendar is good")
	}
	w.round()
}
