package round_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round"
)

// writable lets clients write to the world's calendars.
func writable(w *world) {
	w.Mailbox.Policy = bridge.Policy{Write: true, Invitations: bridge.InvitationsOutlook}
}

// calendar is the first calendar as it is stored.
func (w *world) calendar() bridge.Calendar {
	w.Helper()
	c, err := w.Store.Calendar(w.Ctx, 1)
	w.Must(err)
	return c
}

// fence is what a writer does when Graph has answered: what Graph says of before that is out of date.
func (w *world) fence(id graph.EventID) {
	w.Helper()
	got := w.Client.Events(w.Ctx, "", []graph.EventID{id})[0]
	f := bridge.Fence{At: w.Now(), Gone: got.Err != nil}
	if got.Err == nil {
		at, err := time.Parse(time.RFC3339Nano, got.Event.LastModified)
		w.Must(err)
		f.At = at
	}
	w.Must(w.Store.SetFence(w.Ctx, 1, id, f))
}

func (w *world) refresh(list ...round.Known) []round.Refreshed {
	w.Helper()
	out, err := w.Rounds.RefreshKnown(w.Ctx, w.Mailbox, w.calendar(), list...)
	w.Must(err)
	return out
}

// TestRefresh: after each kind of write what is written is served at once, as Outlook has it, for no more requests than
// are needed; and the polls that follow change nothing.
func TestRefresh(t *testing.T) {
	type made struct {
		cal                    *graphsim.Calendar
		single, series, allDay graph.EventID
		day, next              string // dates of occurrences of series
	}
	edits := map[string]struct {
		do       func(m *made) (graph.EventID, error)
		resets   bool
		requests int
	}{
		"subject": {func(m *made) (graph.EventID, error) { return m.single, m.cal.Change(m.single, rename) }, false, 1},
		"time":    {func(m *made) (graph.EventID, error) { return m.single, m.cal.Change(m.single, later) }, false, 1},
		"to the past": {func(m *made) (graph.EventID, error) {
			return m.single, m.cal.Change(m.single, func(e *graphsim.Event) { e.Start, e.End = at(-60, 9, 0), at(-60, 10, 0) })
		}, false, 1},
		"gone":              {func(m *made) (graph.EventID, error) { return m.single, m.cal.Delete(m.single) }, false, 1},
		"new":               {func(m *made) (graph.EventID, error) { return m.cal.Create(meeting("New", 4, 9)), nil }, false, 1},
		"new, far":          {func(m *made) (graph.EventID, error) { return m.cal.Create(meeting("New", 700, 9)), nil }, false, 1},
		"new series":        {func(m *made) (graph.EventID, error) { return m.cal.Create(weekly("New", 1, 7, "tuesday")), nil }, false, 2},
		"series text":       {func(m *made) (graph.EventID, error) { return m.series, m.cal.Change(m.series, rename) }, false, 1},
		"series time":       {func(m *made) (graph.EventID, error) { return m.series, m.cal.Change(m.series, later) }, false, 4},
		"series time, told": {func(m *made) (graph.EventID, error) { return m.series, m.cal.Change(m.series, later) }, true, 1},
		"series zone": {func(m *made) (graph.EventID, error) {
			return m.series, m.cal.Change(m.series, func(e *graphsim.Event) { e.Zone = "Pacific Standard Time" })
		}, true, 2},
		"rule": {func(m *made) (graph.EventID, error) {
			return m.series, m.cal.Change(m.series, func(e *graphsim.Event) { e.Recurrence.Pattern.DaysOfWeek = []string{"monday", "friday"} })
		}, true, 1},
		"end of series": {func(m *made) (graph.EventID, error) {
			return m.series, m.cal.Change(m.series, func(e *graphsim.Event) {
				e.Recurrence.Range = graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 5}
			})
		}, true, 1},
		"occurrence text":  {func(m *made) (graph.EventID, error) { return m.series, m.cal.ChangeOccurrence(m.series, m.day, rename) }, false, 1},
		"occurrence moved": {func(m *made) (graph.EventID, error) { return m.series, m.cal.ChangeOccurrence(m.series, m.day, later) }, false, 1},
		"exception moved":  {func(m *made) (graph.EventID, error) { return m.series, m.cal.ChangeOccurrence(m.series, m.next, later) }, false, 1},
		"occurrence gone":  {func(m *made) (graph.EventID, error) { return m.series, m.cal.CancelOccurrence(m.series, m.day) }, false, 1},
		"exception gone":   {func(m *made) (graph.EventID, error) { return m.series, m.cal.CancelOccurrence(m.series, m.next) }, false, 1},
		"series gone":      {func(m *made) (graph.EventID, error) { return m.series, m.cal.Delete(m.series) }, false, 1},
		"single to series": {func(m *made) (graph.EventID, error) {
			return m.single, m.cal.Change(m.single, func(e *graphsim.Event) { e.Recurrence = weekly("", 2, 9, "wednesday").Recurrence })
		}, true, 2},
		"series to single": {func(m *made) (graph.EventID, error) {
			return m.series, m.cal.Change(m.series, func(e *graphsim.Event) { e.Recurrence = nil })
		}, true, 1},
		"to all day": {func(m *made) (graph.EventID, error) {
			return m.single, m.cal.Change(m.single, func(e *graphsim.Event) { e.AllDay, e.Start, e.End = true, at(3, 0, 0), at(4, 0, 0) })
		}, false, 1},
		"series to all day": {func(m *made) (graph.EventID, error) {
			return m.series, m.cal.Change(m.series, func(e *graphsim.Event) {
				e.AllDay, e.Start, e.End = true, e.Start.Truncate(24*time.Hour), e.Start.Truncate(24*time.Hour).AddDate(0, 0, 1)
			})
		}, true, 1},
		"all day series time": {func(m *made) (graph.EventID, error) {
			return m.allDay, m.cal.Change(m.allDay, func(e *graphsim.Event) { e.Recurrence.Pattern.Interval = 2 })
		}, true, 1},
	}
	for name, edit := range edits {
		for way, set := range map[string]func(*graphsim.Server){
			"": func(*graphsim.Server) {},
			"odd pages": func(s *graphsim.Server) {
				s.MaxPage, s.Shuffle, s.Duplicate, s.ReplayLast, s.EmptyPages, s.ExceptionPage = 9, 1, true, true, true, 1
			},
		} {
			t.Run(name+" "+way, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, set)
				writable(w)
				w.Rounds.History = bridge.Period{Days: 30}
				m := &made{cal: w.Box.Calendar()}
				m.single = m.cal.Create(meeting("Single", 2, 9))
				m.series = m.cal.Create(weekly("Series", 0, 11, "monday", "thursday"))
				all := weekly("All day", 1, 0, "tuesday")
				all.AllDay, all.Start, all.End = true, at(1, 0, 0), at(2, 0, 0)
				m.allDay = m.cal.Create(all)
				m.day, m.next = at(7, 0, 0).Format(time.DateOnly), at(10, 0, 0).Format(time.DateOnly)
				w.Must(m.cal.ChangeOccurrence(m.series, m.next, rename))
				w.Must(m.cal.CancelOccurrence(m.series, at(14, 0, 0).Format(time.DateOnly)))
				w.Round()
				w.Round()
				w.Pass(time.Second)
				id, err := edit.do(m)
				w.Must(err)
				w.fence(id)
				before := len(w.Sim.Requests())
				w.refresh(round.Known{Series: id, Resets: edit.resets})
				requests := len(w.Sim.Requests()) - before
				if way == "" && requests > edit.requests {
					t.Errorf("%d requests, want %d", requests, edit.requests)
				}
				if name != "to the past" { // which Outlook has no window for
					w.Check()
				}
				rev := w.calendar().Rev
				for range 3 {
					w.Pass(time.Minute)
					_, err := w.Rounds.Round(w.Ctx, w.Mailbox)
					w.Must(err)
				}
				w.Rounds.AuditAlways = true
				r, err := w.Rounds.Round(w.Ctx, w.Mailbox)
				w.Must(err)
				if found := r.Calendars[0].Differences; found != 0 {
					t.Errorf("the audit finds %d differences", found)
				}
				if now := w.calendar().Rev; now != rev {
					t.Errorf("what was written is changed %d times by its echo", now-rev)
				}
				if name != "to the past" {
					w.Check()
				}
			})
		}
	}
}

func rename(e *graphsim.Event) { e.Subject += " (new)" }

func later(e *graphsim.Event) {
	e.Start, e.End = e.Start.Add(90*time.Minute), e.End.Add(90*time.Minute)
}

// TestRefreshKnown: what Graph has answered to a write is not asked for again, and is the same as what it tells later.
func TestRefreshKnown(t *testing.T) {
	w := newWorld(t)
	writable(w)
	cal := w.Box.Calendar()
	w.Round()
	w.Pass(time.Second)
	single, series := cal.Create(meeting("Single", 2, 9)), cal.Create(weekly("Series", 0, 11, "monday"))
	var known []round.Known
	for _, res := range w.Client.Masters(w.Ctx, "", []graph.MasterRef{{ID: single}, {ID: series, Zone: "W. Europe Standard Time"}}) {
		w.Must(res.Err)
		known = append(known, round.Known{Series: res.ID, Event: &res.Event})
	}
	before := len(w.Sim.Requests())
	out := w.refresh(known...)
	if asked := w.Sim.Requests()[before:]; len(asked) != 0 {
		t.Errorf("asked for %v", asked)
	}
	for i, one := range out {
		if one.Series != known[i].Series || one.Object == nil || one.Gone || one.Event.Subject == "" {
			t.Errorf("%+v", one)
		}
	}
	w.Check()
	w.Changes(0)
	w.Changes(0)

	w.Must(cal.Delete(single))
	before = len(w.Sim.Requests())
	out = w.refresh(round.Known{Series: single, Gone: true})
	if n := len(w.Sim.Requests()) - before; n != 0 || !out[0].Gone || out[0].Object != nil {
		t.Errorf("%d requests, %+v", n, out)
	}
	w.Check()
	w.Changes(0)
}

// TestRefreshBeforeFirstRound: what is written before the calendar was ever listed is there, and stays.
func TestRefreshBeforeFirstRound(t *testing.T) {
	w := newWorld(t)
	writable(w)
	cal := w.Box.Calendar()
	cal.Create(meeting("There", 1, 9))
	a, err := w.Store.EnsureAccount(w.Ctx, "alice")
	w.Must(err)
	_, err = w.Store.SetCalendars(w.Ctx, a.ID, []bridge.Calendar{{GraphID: cal.ID(), Name: "calendar", DisplayName: "Calendar", CanEdit: true, Default: true, Owner: "alice@contoso.example", Order: 1, Modified: w.Now()}})
	w.Must(err)
	id, series := cal.Create(meeting("New", 2, 9)), cal.Create(weekly("Series", 0, 11, "monday"))
	for _, one := range w.refresh(round.Known{Series: id}, round.Known{Series: series}) {
		if one.Object == nil {
			t.Errorf("%+v", one)
		}
	}
	w.Changes(1)
	w.Changes(0)
}

// TestNameOfClient: a client's event has the name and UID that the client gave it, whatever happens to it.
func TestNameOfClient(t *testing.T) {
	w := newWorld(t)
	writable(w)
	cal := w.Box.Calendar()
	w.Round()
	w.Pass(time.Second)
	served := func(id graph.EventID) bridge.Object {
		t.Helper()
		o, err := w.Store.SeriesObject(w.Ctx, 1, id)
		w.Must(err)
		return o
	}
	named := func(id graph.EventID, object, uid string) {
		t.Helper()
		if o := served(id); o.Name != object || o.UID != uid || !strings.Contains(string(o.Data), "UID:"+uid+"\r\n") {
			t.Fatalf("it is %s, %s:\n%s", o.Name, o.UID, o.Data)
		}
		w.Check()
	}
	id := cal.Create(meeting("Mine", 2, 9))
	w.Must(w.Store.SetName(w.Ctx, bridge.Name{Calendar: 1, Object: "mine.ics", Series: id, UID: "mine"}))
	w.refresh(round.Known{Series: id})
	named(id, "mine.ics", "mine")
	w.Changes(0)
	w.Must(cal.Change(id, rename))
	w.Changes(1)
	named(id, "mine.ics", "mine")

	// A round came first: the object moves to its name.
	second := cal.Create(meeting("Second", 3, 9))
	w.Changes(1)
	was := served(second)
	w.Must(w.Store.SetName(w.Ctx, bridge.Name{Calendar: 1, Object: "second.ics", Series: second, UID: "second"}))
	w.Must(w.Rounds.Show(w.Ctx, w.Mailbox, w.calendar(), second))
	named(second, "second.ics", "second")
	if _, err := w.Store.Object(w.Ctx, 1, was.Name); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("it is at %s too: %v", was.Name, err)
	}
	w.Changes(0)

	// A name or a UID that another event has stays that one's.
	third := cal.Create(meeting("Third", 4, 9))
	w.Must(w.Store.SetName(w.Ctx, bridge.Name{Calendar: 1, Object: "third.ics", Series: third, UID: "second"}))
	w.refresh(round.Known{Series: third})
	if o := served(third); o.Name != "third.ics" || o.UID == "second" || !strings.HasPrefix(o.UID, "second-") {
		t.Errorf("%s, %s", o.Name, o.UID)
	}
	w.Check()
	foreign := cal.Create(meeting("Outlook's", 5, 9))
	w.Changes(1)
	name := served(foreign).Name
	fourth := cal.Create(meeting("Fourth", 6, 9))
	w.Must(w.Store.SetName(w.Ctx, bridge.Name{Calendar: 1, Object: name, Series: fourth, UID: "fourth"}))
	w.refresh(round.Known{Series: fourth})
	if served(foreign).Name != name || served(fourth).Name == name {
		t.Error("one has taken the other's name")
	}
	w.Check()
	w.Changes(0)

	// Deleted and made anew under its name: another event, and the one before may come back beside it.
	w.Must(cal.Delete(foreign))
	w.Changes(1)
	fifth := cal.Create(meeting("Outlook's", 5, 9))
	w.Must(w.Store.SetName(w.Ctx, bridge.Name{Calendar: 1, Object: name, Series: fifth, UID: "fifth"}))
	w.refresh(round.Known{Series: fifth})
	named(fifth, name, "fifth")
	w.Changes(0)

	// The calendar goes and comes back: its names are gone with it, and nothing breaks.
	w.Box.AddCalendar("Other", "")
	w.Round()
	w.Mailbox.Exclude, w.Left = []string{"Calendar"}, 1
	w.Round()
	w.Mailbox.Exclude, w.Left = nil, 0
	w.Sim.ForgetDeltaTokens()
	w.Round()
	w.Changes(0)
}

// TestAlias: another name of an object renames nothing.
func TestAlias(t *testing.T) {
	w := newWorld(t)
	writable(w)
	id := w.Box.Calendar().Create(meeting("Theirs", 2, 9))
	w.Round()
	w.Must(w.Store.SetName(w.Ctx, bridge.Name{Calendar: 1, Object: "guess.ics", Series: id, Alias: true}))
	w.Must(w.Rounds.Show(w.Ctx, w.Mailbox, w.calendar(), id))
	w.Changes(0)
}

// TestAccess: who switches access on or off gets every object again that looks different then, and only these.
func TestAccess(t *testing.T) {
	w := newWorld(t)
	w.Box.Calendar().Create(meeting("Alone", 1, 9))
	w.Round()
	read := w.calendar()
	if read.Versioned || read.Written {
		t.Errorf("%+v", read)
	}
	writable(w)
	w.Changes(0)
	w.Changes(0)
	if c := w.calendar(); !c.Versioned || c.Rendering == read.Rendering {
		t.Errorf("%+v", c)
	}
	w.Mailbox.Policy = bridge.Policy{}
	w.Changes(0)
	w.Changes(0)
	if c := w.calendar(); c.Versioned || c.Rendering != read.Rendering {
		t.Errorf("%+v", c)
	}
}

// BenchmarkShow acknowledges an alarm: the overlay of a series is set and its object published, in a calendar of 500 events.
func BenchmarkShow(b *testing.B) {
	w := benchWorld(b)
	defer w.Store.Close()
	c := w.calendar()
	id := w.Box.Calendar().Create(weekly("Series", 0, 11, "monday"))
	w.refresh(round.Known{Series: id})
	n := 0
	for b.Loop() {
		n++
		w.Must(w.Store.SetOverlay(w.Ctx, 1, id, overlay(fmt.Sprint("X-MOZ-LASTACK:", n))))
		w.Must(w.Rounds.Show(w.Ctx, w.Mailbox, c, id))
	}
}

// TestNamesFromMailbox: a new database learns from the mailbox what clients call the events that they have made.
func TestNamesFromMailbox(t *testing.T) {
	w := newWorld(t)
	create := func(subject, object, uid string) graph.EventID {
		t.Helper()
		w.Pass(time.Second)
		body := fmt.Sprintf(`{"subject":%q,"transactionId":%q,"isReminderOn":false,"start":{"dateTime":"2026-11-25T09:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-11-25T10:00:00","timeZone":"UTC"},
			"singleValueExtendedProperties":[{"id":%q,"value":%q},{"id":%q,"value":%q}]}`, subject, subject, graph.PropertyObjectName, object, graph.PropertyClientUID, uid)
		e, err := w.Client.Create(w.Ctx, w.Box.Calendar().ID(), "UTC", []byte(body))
		w.Must(err)
		return e.ID
	}
	first := create("First", "mine.ics", "mine")
	second := create("Copy", "mine.ics", "mine")
	bad := create("Bad", "a/b.ics", "bad")
	name := func(id graph.EventID) string {
		t.Helper()
		o, err := w.Store.SeriesObject(w.Ctx, 1, id)
		w.Must(err)
		return o.Name + " " + o.UID
	}
	w.Round() // of somebody who only reads
	if name(first) == "mine.ics mine" {
		t.Error("a calendar that is only read is searched for names")
	}
	writable(w)
	w.Round()
	if name(first) != "mine.ics mine" || strings.HasPrefix(name(second), "mine") || strings.HasPrefix(name(bad), "a/") {
		t.Errorf("%s, %s, %s", name(first), name(second), name(bad))
	}
	before := len(w.Sim.Requests())
	w.Changes(0)
	for _, r := range w.Sim.Requests()[before:] {
		if strings.Contains(r.Path, "singleValue") {
			t.Errorf("names are looked for again: %s", r.Path)
		}
	}
}
