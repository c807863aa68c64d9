package graph_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// delegated is a client of the simulated service for whoever signs in with scopes, at its own mailbox.
func delegated(t *testing.T, sim *graphsim.Server, who *graphsim.Mailbox, scopes ...string) *graph.Client {
	t.Helper()
	a := &graph.Authority{LoginURL: "https://login.microsoftonline.com", ClientID: "client", Scopes: scopes, HTTP: sim.Client()}
	d, err := a.DeviceCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := sim.ApproveDevice(d.UserCode, who); err != nil {
		t.Fatal(err)
	}
	store := new(memoryStore)
	if store.tok, err = a.Wait(t.Context(), d.DeviceSecret); err != nil {
		t.Fatal(err)
	}
	return &graph.Client{BaseURL: graphURL + "/v1.0", HTTP: sim.Client(), Tokens: &graph.DelegatedTokens{Authority: a, Store: store}}
}

// app is a client of the simulated service in the app's own name.
func app(sim *graphsim.Server, mailbox string) *graph.Client {
	a := &graph.Authority{LoginURL: "https://login.microsoftonline.com", Tenant: "contoso.example", ClientID: "client", ClientSecret: "secret",
		Scopes: graph.AppScopes(graphURL), HTTP: sim.Client()}
	return &graph.Client{BaseURL: graphURL + "/v1.0", Mailbox: mailbox, HTTP: sim.Client(), Tokens: &graph.AppTokens{Authority: a}}
}

const graphURL = "https://graph.microsoft.com"

func sharedScopes() []string { return append(graph.Scopes(graphURL), graph.SharedScope(graphURL)) }

func noViolations(t *testing.T, sim *graphsim.Server) {
	t.Helper()
	for _, v := range sim.Violations() {
		t.Errorf("the service objects: %s", v)
	}
}

// view reads a View, and fails the test at an error.
func view(t *testing.T, c *graph.Client, cal graph.CalendarID, start, end time.Time) []graph.Event {
	t.Helper()
	var all []graph.Event
	for e, err := range c.View(t.Context(), cal, start, end) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// What the view lists is what Outlook shows, whatever the size of its pages.
func TestView(t *testing.T) {
	for name, sim := range map[string]*graphsim.Server{"plain": {}, "small pages": {MaxPage: 3}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOutlook(t, sim)
				cal, now := o.box.Calendar(), time.Now()
				start, end := now.AddDate(0, -2, 0), now.AddDate(0, 4, 0)
				want := make(map[graph.EventID]graphsim.Instance)
				for _, i := range cal.Instances(start, end) {
					want[i.ID] = i
				}
				ctx, requests := graph.CountRequests(t.Context())
				got := 0
				for e, err := range o.View(ctx, cal.ID(), start, end) {
					if err != nil {
						t.Fatal(err)
					}
					got++
					i, ok := want[e.ID]
					if !ok && !e.IsAllDay { // an all-day event at the rim counts by its dates in Instances
						t.Errorf("Outlook does not show %s at %v", e.ID, e.Start)
					}
					if ok && (e.SeriesMasterID != i.SeriesMasterID || e.IsAllDay != i.AllDay || e.IsCancelled != i.Cancelled ||
						!e.IsAllDay && e.Start.DateTime != i.Start.Format("2006-01-02T15:04:05.0000000")) {
						t.Errorf("%+v, Outlook shows %+v", e, i)
					}
					if e.ETag == "" || e.ChangeKey == "" || e.Type == "" || e.Type == graph.SeriesMaster || e.Subject != "" {
						t.Errorf("not what was selected: %s", e.Raw)
					}
					delete(want, e.ID)
				}
				if len(want) > 0 || got < 20 {
					t.Errorf("%d events, and missing %v", got, want)
				}
				if n := requests.Load(); sim.MaxPage == 0 && n != 1+int64(got/200) || sim.MaxPage > 0 && n < int64(got/3) {
					t.Errorf("%d requests for %d events", n, got)
				}
				for _, r := range sim.Requests() {
					if strings.Contains(r.Path, "calendarView?") && !strings.Contains(strings.Join(r.Prefer, ","), `IdType="ImmutableId"`) {
						t.Errorf("a page without immutable ids: %v", r)
					}
				}
				// Whoever stops early is not asked again, and reads no further page.
				before := len(sim.Requests())
				for range o.View(t.Context(), cal.ID(), start, end) {
					break
				}
				if n := len(sim.Requests()) - before; n != 1 {
					t.Errorf("%d requests for one event", n)
				}
			})
		})
	}
}

// A view that breaks off says so: it must not pass for one with fewer events.
func TestViewBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := &graphsim.Server{MaxPage: 2, Fault: func(r *http.Request) *graphsim.Fault {
			if strings.Contains(r.URL.RawQuery, "$skip=") {
				return &graphsim.Fault{Status: 403}
			}
			return nil
		}}
		o := newOutlook(t, sim)
		events, failed := 0, error(nil)
		for _, err := range o.View(t.Context(), o.box.Calendar().ID(), time.Now(), time.Now().AddDate(0, 3, 0)) {
			if failed != nil {
				t.Error("it goes on after an error")
			}
			if failed = err; err == nil {
				events++
			}
		}
		if events != 2 || !graph.IsAccessDenied(failed) {
			t.Errorf("%d events, %v", events, failed)
		}
	})
}

func TestCalendarGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := &graphsim.Server{GroupsApart: true, MaxPage: 2}
		o := newOutlook(t, sim)
		for _, name := range []string{"Other Calendars", "People's Calendars", "Empty"} {
			g := o.box.AddCalendarGroup(name)
			for _, cal := range []string{"one", "two", "three"} {
				if name != "Empty" {
					g.AddCalendar(name+" "+cal, "")
				}
			}
		}
		listed, err := o.Calendars(t.Context())
		if err != nil || len(listed) != 3 {
			t.Fatalf("%d calendars, %v", len(listed), err)
		}
		all, err := o.GroupCalendars(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var names, want []string
		for _, cal := range all {
			names = append(names, cal.Name)
		}
		for _, cal := range o.box.Calendars() {
			want = append(want, cal.Name())
		}
		slices.Sort(names)
		slices.Sort(want)
		if !slices.Equal(names, want) || len(want) != 9 {
			t.Errorf("calendars %q, want %q", names, want)
		}
		primary, err := o.PrimaryCalendar(t.Context())
		if err != nil || primary.ID != o.box.Calendar().ID() || !primary.Default {
			t.Errorf("primary %+v, %v", primary, err)
		}
	})
}

func TestCalendarGroupsRefused(t *testing.T) {
	for _, tt := range []struct {
		name  string
		part  string // of the path that fails
		fault graphsim.Fault
		want  func(error) bool
		cals  int
	}{
		{"no permission", "/calendarGroups", graphsim.Fault{Status: 403}, graph.IsNotOffered, 0},
		{"no such thing", "/calendarGroups", graphsim.Fault{Status: 404, Code: "ErrorItemNotFound"}, graph.IsNotOffered, 0},
		{"not implemented", "/calendarGroups", graphsim.Fault{Status: 501}, graph.IsNotOffered, 0},
		{"unknown segment", "/calendarGroups", graphsim.Fault{Status: 400, Code: "BadRequest"}, graph.IsNotOffered, 0},
		{"trouble", "/calendarGroups", graphsim.Fault{Status: 503}, graph.IsUnavailable, 0},
		{"proxy", "/calendarGroups", graphsim.Fault{Status: 403, Body: []byte("<html>")}, graph.IsUnavailable, 0},
		{"no mailbox", "/calendarGroups", graphsim.Fault{Status: 404, Code: "MailboxNotEnabledForRESTAPI"}, graph.IsMailboxMissing, 0},
		{"a group went", "/calendars", graphsim.Fault{Status: 404}, func(err error) bool { return err == nil }, 0},
		{"a group refused", "/calendars", graphsim.Fault{Status: 403}, graph.IsAccessDenied, 0},
		{"nothing wrong", "nowhere", graphsim.Fault{Status: 500}, func(err error) bool { return err == nil }, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := &graphsim.Server{Fault: func(r *http.Request) *graphsim.Fault {
					if strings.HasSuffix(r.URL.Path, tt.part) {
						return &tt.fault
					}
					return nil
				}}
				o := newOutlook(t, sim)
				cals, err := o.GroupCalendars(t.Context())
				if !tt.want(err) || len(cals) != tt.cals {
					t.Errorf("%d calendars, %v", len(cals), err)
				}
				if graph.IsNotOffered(err) && graph.IsMailboxMissing(err) {
					t.Errorf("both not offered and no mailbox: %v", err)
				}
			})
		})
	}
}

// Whoever was let into a calendar reads it with the owner's address as the mailbox and their own token.
func TestSharedCalendar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := &graphsim.Server{}
		boss := sim.DemoMailbox()
		alice := sim.AddMailbox("alice@contoso.example", "Alice", "UTC")
		own := delegated(t, sim, alice, sharedScopes()...)
		theirs := &graph.Client{BaseURL: own.BaseURL, Mailbox: boss.Address(), HTTP: own.HTTP, Tokens: own.Tokens}
		if _, err := theirs.PrimaryCalendar(t.Context()); !graph.IsAccessDenied(err) {
			t.Errorf("before it is shared: %v", err)
		}
		boss.Calendar().Share(alice)
		primary, err := theirs.PrimaryCalendar(t.Context())
		if err != nil || primary.ID != boss.Calendar().ID() || primary.CanEdit || primary.Owner.Address != boss.Address() {
			t.Fatalf("primary %+v, %v", primary, err)
		}
		if cals, err := theirs.Calendars(t.Context()); err != nil || len(cals) != 1 {
			t.Errorf("calendars %v, %v", cals, err)
		}
		if _, err := theirs.GroupCalendars(t.Context()); !graph.IsNotOffered(err) {
			t.Errorf("groups: %v", err)
		}

		// Everything that a round reads works with the other person's mailbox: delta, masters, events, instances, the view.
		now := time.Now()
		start, end := now.AddDate(0, 0, -10), now.AddDate(0, 0, 20)
		o := outlook{Server: sim, Client: theirs}
		events, _ := o.round(t, theirs.DeltaURL(primary.ID, start, end))
		var masters []graph.MasterRef
		var ids []graph.EventID
		for _, e := range events {
			ids = append(ids, e.ID)
			if e.Type == graph.SeriesMaster {
				masters = append(masters, graph.MasterRef{ID: e.ID, Zone: e.OriginalStartTimeZone})
			}
		}
		for _, r := range append(theirs.Masters(t.Context(), "", masters), theirs.Events(t.Context(), "", ids)...) {
			if r.Err != nil {
				t.Error(r.Err)
			}
		}
		if _, err := theirs.Instances(t.Context(), "", masters[0].ID, start, end); err != nil {
			t.Error(err)
		}
		shown := view(t, theirs, primary.ID, start, end)
		if len(shown) == 0 || len(shown) != len(events)-len(masters) {
			t.Errorf("the view has %d events, the round %d with %d masters", len(shown), len(events), len(masters))
		}

		// What is not shared stays hidden: other calendars, and their events.
		other := boss.Calendars()[1]
		hidden := other.Create(graphsim.Event{Subject: "private", Start: now, End: now.Add(time.Hour)})
		for _, err := range theirs.View(t.Context(), other.ID(), start, end) {
			if !graph.IsNotFound(err) {
				t.Errorf("another calendar: %v", err)
			}
		}
		if r := theirs.Events(t.Context(), "", []graph.EventID{hidden})[0]; !graph.IsNotFound(r.Err) {
			t.Errorf("an event of another calendar: %v", r.Err)
		}
		if _, err := theirs.MailboxZone(t.Context()); !graph.IsAccessDenied(err) {
			t.Errorf("settings: %v", err)
		}

		// Without the permission it is no use that the calendar is shared.
		without := delegated(t, sim, alice, graph.Scopes(graphURL)...)
		without.Mailbox = boss.Address()
		if _, err := without.PrimaryCalendar(t.Context()); !graph.IsAccessDenied(err) {
			t.Errorf("without the permission: %v", err)
		}
		boss.Calendar().Unshare(alice)
		if _, err := theirs.PrimaryCalendar(t.Context()); !graph.IsAccessDenied(err) {
			t.Errorf("not shared any more: %v", err)
		}
		noViolations(t, sim)
	})
}

// Where Graph does not let somebody follow a delta of another person's calendar, the view is the way round.
func TestDelegatedDeltaDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := &graphsim.Server{DelegatedDeltaDenied: true}
		boss := sim.DemoMailbox()
		alice := sim.AddMailbox("alice@contoso.example", "Alice", "UTC")
		boss.Calendar().Share(alice)
		c := delegated(t, sim, alice, sharedScopes()...)
		c.Mailbox = boss.Address()
		c.PageSize = 5
		cal, now := boss.Calendar().ID(), time.Now()
		page, err := c.Delta(t.Context(), c.DeltaURL(cal, now, now.AddDate(0, 6, 0)))
		if err != nil || page.Next == "" {
			t.Fatalf("first page %+v, %v", page, err)
		}
		if _, err := c.Delta(t.Context(), page.Next); !graph.IsAccessDenied(err) || graph.IsSyncStateLost(err) {
			t.Errorf("second page: %v", err)
		}
		if len(view(t, c, cal, now, now.AddDate(0, 6, 0))) < 10 {
			t.Error("the view has hardly anything")
		}
		// The owner is not concerned.
		owner := delegated(t, sim, boss, graph.Scopes(graphURL)...)
		owner.PageSize = 5
		outlook{Client: owner}.round(t, owner.DeltaURL(cal, now, now.AddDate(0, 6, 0)))
		noViolations(t, sim)
	})
}

func TestAppAccessPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := &graphsim.Server{AppMailboxes: []string{"Room@contoso.example"}}
		sim.AddMailbox("room@contoso.example", "Room", "UTC")
		sim.AddMailbox("ceo@contoso.example", "CEO", "UTC")
		if _, err := app(sim, "room@contoso.example").Calendars(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := app(sim, "ceo@contoso.example").Calendars(t.Context()); !graph.IsAccessDenied(err) {
			t.Errorf("error %v", err)
		}
	})
}

// Two accounts that read one mailbox keep its limits together.
func TestOneGateForOneMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most, sent atomic.Int64
		sim := &graphsim.Server{Fault: func(r *http.Request) *graphsim.Fault {
			if !strings.HasSuffix(r.URL.Path, "/calendars") {
				return nil
			}
			if sent.Add(1) == 13 {
				return &graphsim.Fault{Status: 429, RetryAfter: 20 * time.Second}
			}
			defer now.Add(-1)
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			return nil
		}}
		boss := sim.DemoMailbox()
		gate := new(graph.Gate)
		first, second := app(sim, boss.Address()), app(sim, boss.Address())
		first.Gate, second.Gate = gate, gate
		var all sync.WaitGroup
		for i := range 12 {
			all.Go(func() {
				if _, err := []*graph.Client{first, second}[i%2].Calendars(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if most.Load() != 4 {
			t.Errorf("%d requests at once", most.Load())
		}
		first.Attempts = 1
		if _, err := first.Calendars(t.Context()); !graph.IsThrottled(err) {
			t.Errorf("error %v", err)
		}
		began := time.Now()
		if _, err := second.Calendars(t.Context()); err != nil || time.Since(began) < 20*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		noViolations(t, sim)
	})
}
