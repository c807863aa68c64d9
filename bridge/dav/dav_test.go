package dav_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/dav"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round/roundtest"
	"outbridge/caldav"
)

var alice = caldav.Principal{Name: "alice"}

// A calendar has the mailbox's own zone, by its IANA name, where the bridge knows it.
func TestZone(t *testing.T) {
	w := roundtest.New(t)
	w.Rounds.Settings = true
	w.Round()
	for want, back := range map[string]dav.Backend{
		"Europe/Berlin": {Store: w.Store, Zone: convert.Zone},
		"":              {Store: w.Store},
	} {
		c, err := back.Calendar(w.Ctx, alice, "calendar")
		w.Must(err)
		list, err := back.Calendars(w.Ctx, alice)
		w.Must(err)
		if c.TimeZone != want || len(list) != 1 || list[0].TimeZone != want {
			t.Errorf("zone %q and %+v, want %q", c.TimeZone, list, want)
		}
	}
}

// What a client sets of a calendar is kept under the path that the store clears when the calendar goes.
func TestPropertyPath(t *testing.T) {
	w := roundtest.New(t)
	w.Round()
	_, password, err := w.Store.AddPassword(w.Ctx, "alice", "", time.Now())
	w.Must(err)
	h := &caldav.Handler{Backend: dav.Backend{Store: w.Store}, Log: w.Log}
	r := httptest.NewRequest("PROPPATCH", "/dav/calendars/alice/calendar/", strings.NewReader(
		`<propertyupdate xmlns="DAV:"><set><prop><order xmlns="urn:example">7</order></prop></set></propertyupdate>`))
	r.SetBasicAuth("alice", password)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	set, err := w.Store.Properties(w.Ctx, "alice", bridge.PropertyPath("alice", "calendar"))
	w.Must(err)
	if rec.Code != http.StatusMultiStatus || len(set) != 1 {
		t.Errorf("%d %s, kept: %v", rec.Code, rec.Body, set)
	}
}

// Changes of a token that the calendar has never given are not to be had, nor those that were published since its own.
func TestChanges(t *testing.T) {
	w := roundtest.New(t)
	back := dav.Backend{Store: w.Store}
	cal := w.Box.Calendar()
	id := cal.Create(roundtest.Meeting("One", 1, 10))
	w.Round()
	before, err := back.Calendar(w.Ctx, alice, "calendar")
	w.Must(err)
	w.Must(cal.Change(id, func(e *graphsim.Event) { e.Subject = "Renamed" }))
	cal.Create(roundtest.Meeting("Two", 2, 10))
	w.Round()
	after, err := back.Calendar(w.Ctx, alice, "calendar")
	w.Must(err)
	changes := func(c caldav.Calendar, since caldav.Token) (n int, err error) {
		for _, err := range back.Changes(w.Ctx, c, since) {
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}
	for _, tt := range []struct {
		name  string
		in    caldav.Calendar
		since caldav.Token
		want  int
		err   error
	}{
		{"all", after, caldav.Token{Epoch: after.Token.Epoch}, 2, nil},
		{"since the first round", after, before.Token, 2, nil},
		{"up to date", after, after.Token, 0, nil},
		{"published since", before, before.Token, 0, nil},
		{"another epoch", after, caldav.Token{Epoch: "other"}, 0, caldav.ErrTokenGone},
		{"ahead", before, after.Token, 0, caldav.ErrTokenGone},
	} {
		if n, err := changes(tt.in, tt.since); n != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %d changes, %v", tt.name, n, err)
		}
	}
}

// Calendars are read-only, and what is not there is not found.
func TestRefusals(t *testing.T) {
	w := roundtest.New(t)
	w.Round()
	back := dav.Backend{Store: w.Store}
	c, err := back.Calendar(w.Ctx, alice, "calendar")
	w.Must(err)
	if _, writes := any(back).(caldav.WriteBackend); writes || c.Writable {
		t.Error("a calendar takes writes")
	}
	if _, err := back.Object(w.Ctx, c, "a.ics"); !errors.Is(err, caldav.ErrNotFound) {
		t.Error(err)
	}
	if _, err := back.Calendar(w.Ctx, alice, "other"); !errors.Is(err, caldav.ErrNotFound) {
		t.Error(err)
	}
	if _, err := back.Login(w.Ctx, "alice", "guess"); !errors.Is(err, caldav.ErrUnauthorized) {
		t.Error(err)
	}
	_, password, err := w.Store.AddPassword(w.Ctx, "alice", "", time.Now())
	w.Must(err)
	if p, err := back.Login(w.Ctx, "alice", password); err != nil || p.Name != "alice" {
		t.Error(p, err)
	}
	if list, err := back.Calendars(w.Ctx, caldav.Principal{Name: "nobody"}); list != nil || err != nil {
		t.Error(list, err)
	}
}

// The addresses of a user are the mailbox's: of its default calendar, and of who signed in, each once.
func TestAddresses(t *testing.T) {
	w := roundtest.New(t)
	back := dav.Backend{Store: w.Store}
	if list, err := back.Addresses(w.Ctx, caldav.Principal{Name: "nobody"}); list != nil || err != nil {
		t.Error(list, err)
	}
	w.Round()
	cals, err := w.Store.Calendars(w.Ctx, account(t, w))
	w.Must(err)
	list, err := back.Addresses(w.Ctx, alice)
	w.Must(err)
	if len(cals) != 1 || cals[0].Owner == "" || len(list) != 1 || list[0] != cals[0].Owner {
		t.Errorf("%v, of %+v", list, cals)
	}
}

func account(t *testing.T, w *roundtest.World) bridge.AccountID {
	t.Helper()
	a, err := w.Store.Account(w.Ctx, "alice")
	w.Must(err)
	return a.ID
}

// A calendar to which Outlook gives no colour has one all the same, and keeps it.
func TestColor(t *testing.T) {
	w := roundtest.New(t)
	w.Box.AddCalendar("Team", "")
	w.Round()
	list, err := dav.Backend{Store: w.Store}.Calendars(w.Ctx, alice)
	w.Must(err)
	stored, err := w.Store.Calendars(w.Ctx, account(t, w))
	w.Must(err)
	seen := map[string]bool{}
	for i, c := range list {
		if stored[i].Color != "" || c.Color == "" || c.Color != stored[i].ShownColor() || seen[c.Color] {
			t.Errorf("%s: %q, Outlook says %q", c.Name, c.Color, stored[i].Color)
		}
		seen[c.Color] = true
	}
	if len(list) != 2 {
		t.Errorf("%d calendars", len(list))
	}
}
