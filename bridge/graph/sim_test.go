package graph_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// outlook is the simulated service with the mailbox of the demo, signed in by device code. After the test the client
// must not have broken any rule of the service.
type outlook struct {
	*graphsim.Server
	*graph.Client
	box   *graphsim.Mailbox
	store *memoryStore
}

func newOutlook(t *testing.T, sim *graphsim.Server) outlook {
	t.Helper()
	o := outlook{Server: sim, box: sim.DemoMailbox(), store: new(memoryStore)}
	a := &graph.Authority{LoginURL: "https://login.microsoftonline.com", ClientID: "client", Scopes: graph.Scopes("https://graph.microsoft.com"), HTTP: sim.Client()}
	d, err := a.DeviceCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := sim.ApproveDevice(d.UserCode, o.box); err != nil {
		t.Fatal(err)
	}
	if o.store.tok, err = a.Wait(t.Context(), d.DeviceSecret); err != nil {
		t.Fatal(err)
	}
	o.Client = &graph.Client{BaseURL: "https://graph.microsoft.com/v1.0", HTTP: sim.Client(), Tokens: &graph.DelegatedTokens{Authority: a, Store: o.store}}
	t.Cleanup(func() {
		for _, v := range sim.Violations() {
			t.Errorf("the service objects: %s", v)
		}
		if n := sim.MaxConcurrent(); n > 4 {
			t.Errorf("%d requests at once", n)
		}
	})
	return o
}

// round follows link to the end of its round.
func (o outlook) round(t *testing.T, link string) (events map[graph.EventID]graph.Event, next string) {
	t.Helper()
	events = make(map[graph.EventID]graph.Event)
	for {
		page, err := o.Delta(t.Context(), link)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if len(e.Faults) > 0 {
				t.Errorf("%s: cannot read %v", e.ID, e.Faults)
			}
			events[e.ID] = e
		}
		if page.Delta != "" {
			return events, page.Delta
		}
		link = page.Next
	}
}

func TestAgainstTheSimulator(t *testing.T) {
	for name, sim := range map[string]*graphsim.Server{
		"plain":        {},
		"paged":        {ExceptionPage: 1, EmptyPages: true, MaxPage: 7, Shuffle: 3, Duplicate: true},
		"older clouds": {NoCancelledOccurrences: true},
		"usgov":        {Cloud: "usgov"},
		"china":        {Cloud: "china", Unknown: []string{"occurrenceId"}},
		"concurrency":  {Concurrency: 4},
		"odd answers":  {NullItems: true, NumericBatchIDs: true, MaxPage: 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOutlook(t, sim)
				cals, err := o.Calendars(t.Context())
				if err != nil || len(cals) != len(o.box.Calendars()) {
					t.Fatalf("calendars %+v, %v", cals, err)
				}
				cal := o.box.Calendar()
				now := time.Now()
				start, end := now.AddDate(0, -4, 0), now.AddDate(1, 0, 0)
				first, cursor := o.round(t, o.DeltaURL(cal.ID(), start, end))

				partial := sim.NoCancelledOccurrences || sim.Cloud != ""
				var refs []graph.MasterRef
				for _, e := range first {
					if e.Type == graph.SeriesMaster {
						refs = append(refs, graph.MasterRef{ID: e.ID, Zone: e.OriginalStartTimeZone})
					}
				}
				if len(refs) == 0 {
					t.Fatal("the demo has no series")
				}
				exceptions, cancelled := 0, 0
				for i, r := range o.Masters(t.Context(), "", refs) {
					if r.Err != nil || r.ID != refs[i].ID || r.Event.ID != r.ID || r.Event.Recurrence == nil || r.Partial != partial || r.Event.MoreExceptions != "" {
						t.Errorf("master %+v: partial %v, %v", refs[i], r.Partial, r.Err)
					}
					exceptions += len(r.Event.ExceptionOccurrences)
					cancelled += len(r.Event.CancelledOccurrences)
				}
				if (exceptions == 0 || cancelled == 0) != partial {
					t.Errorf("%d exceptions, %d cancelled", exceptions, cancelled)
				}

				occurrences := make(map[graph.EventID]int)
				for _, e := range first {
					if e.Type == graph.Occurrence || e.Type == graph.Exception {
						occurrences[e.SeriesMasterID]++
					}
				}
				for _, ref := range refs {
					instances, err := o.Instances(t.Context(), "", ref.ID, start, end)
					if err != nil || len(instances) != occurrences[ref.ID] {
						t.Errorf("%d instances, the round had %d; %v", len(instances), occurrences[ref.ID], err)
					}
				}

				// A far event is a tombstone to the window; asking for it, and for a deleted one, tells them apart.
				var gone graph.EventID
				for _, e := range first {
					if e.Type == graph.SingleInstance {
						gone = e.ID
					}
				}
				if err := cal.Delete(gone); err != nil {
					t.Fatal(err)
				}
				far := cal.Create(graphsim.Event{Subject: "far ahead", Start: now.AddDate(3, 0, 0), End: now.AddDate(3, 0, 0).Add(time.Hour)})
				changes, next := o.round(t, cursor)
				if changes[gone].Removed == nil || changes[far].Removed == nil {
					t.Errorf("changes %+v", changes)
				}
				read := o.Events(t.Context(), "", []graph.EventID{far, gone})
				if read[0].Err != nil || read[0].Event.Subject != "far ahead" || !graph.IsNotFound(read[1].Err) {
					t.Errorf("read %v, %v", read[0].Err, read[1].Err)
				}
				found := false
				for e, err := range o.EventsFrom(t.Context(), cal.ID(), end) {
					if err != nil {
						t.Fatal(err)
					}
					found = found || e.ID == far
				}
				if !found {
					t.Error("the far event is not ahead")
				}

				ctx, count := graph.CountRequests(t.Context())
				if page, err := o.Delta(ctx, next); err != nil || len(page.Events) != 0 || count.Load() != 1 {
					t.Errorf("an idle round: %+v, %v, %d requests", page, err, count.Load())
				}
				sim.ForgetDeltaTokens()
				if _, err := o.Delta(t.Context(), next); !graph.IsSyncStateLost(err) {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

func TestSimulatedTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var on atomic.Bool
		var n atomic.Int64
		faults := []graphsim.Fault{
			{Status: 429, Code: "ApplicationThrottled", RetryAfter: 9 * time.Second}, {Status: 503}, {Drop: true}, {DropAnswer: true},
			{Status: 200, Body: []byte(loginPage)}, {Delay: time.Second}, {Status: 504, Code: "UnknownError"},
		}
		o := newOutlook(t, &graphsim.Server{Fault: func(r *http.Request) *graphsim.Fault {
			if !on.Load() || !strings.HasPrefix(r.URL.Path, "/v1.0/") {
				return nil
			}
			i := int(n.Add(1))
			if i%4 != 0 {
				return nil
			}
			f := faults[i/4%len(faults)]
			// A wait that stands in a lost answer to a batch cannot be kept.
			if f.DropAnswer && strings.HasSuffix(r.URL.Path, "/$batch") {
				return nil
			}
			return &f
		}})
		cal := o.box.Calendar().ID()
		now := time.Now()
		quiet, cursor := o.round(t, o.DeltaURL(cal, now, now.AddDate(0, 6, 0)))
		var ids []graph.EventID
		for id, e := range quiet {
			if e.Type != graph.Occurrence {
				ids = append(ids, id)
			}
		}
		on.Store(true)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if cals, err := o.Calendars(t.Context()); err != nil || len(cals) != 3 {
					t.Errorf("%d calendars, %v", len(cals), err)
				}
			})
		}
		all.Wait()
		for _, r := range o.Events(t.Context(), "", ids) {
			if r.Err != nil {
				t.Error(r.Err)
			}
		}
		if changes, _ := o.round(t, cursor); len(changes) != 0 {
			t.Errorf("changes %v", changes)
		}
	})
}

func TestSimulatedSignIns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutlook(t, &graphsim.Server{})
		first := o.store.tok.RefreshToken
		o.ExpireAccessTokens() // Graph says 401, the client renews
		if _, err := o.Calendars(t.Context()); err != nil || o.store.tok.RefreshToken == first || o.store.saves != 1 {
			t.Errorf("%d saves, %v", o.store.saves, err)
		}
		o.RevokeTokens(o.box)
		o.ExpireAccessTokens()
		_, err := o.Calendars(t.Context())
		var e *graph.AuthError
		if !errors.As(err, &e) || e.AADSTS != 50173 || !graph.IsSignInNeeded(err) {
			t.Errorf("error %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		sim := &graphsim.Server{}
		a := &graph.Authority{LoginURL: "https://login.microsoftonline.com", ClientID: "client", Scopes: graph.Scopes("https://graph.microsoft.com"), HTTP: sim.Client()}
		d, err := a.DeviceCode(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, func() { sim.DeclineDevice(d.UserCode) })
		var e *graph.AuthError
		if _, err := a.Wait(t.Context(), d.DeviceSecret); !errors.As(err, &e) || e.Code != "authorization_declined" {
			t.Errorf("error %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // an app in somebody's mailbox
		sim := &graphsim.Server{ClientSecret: "right"}
		box := sim.DemoMailbox()
		client := func(secret, mailbox string) *graph.Client {
			a := &graph.Authority{LoginURL: "https://login.microsoftonline.com", Tenant: "contoso.example", ClientID: "client", ClientSecret: secret, Scopes: graph.AppScopes("https://graph.microsoft.com"), HTTP: sim.Client()}
			return &graph.Client{BaseURL: "https://graph.microsoft.com/v1.0", Mailbox: mailbox, HTTP: sim.Client(), Tokens: &graph.AppTokens{Authority: a}}
		}
		if cals, err := client("right", box.Address()).Calendars(t.Context()); err != nil || len(cals) != 3 {
			t.Errorf("%d calendars, %v", len(cals), err)
		}
		if _, err := client("right", "nobody@contoso.example").Calendars(t.Context()); !graph.IsMailboxMissing(err) || graph.IsNotFound(err) {
			t.Errorf("error %v", err)
		}
		var e *graph.AuthError
		if _, err := client("wrong", box.Address()).Calendars(t.Context()); !errors.As(err, &e) || e.AADSTS != 7000215 {
			t.Errorf("error %v", err)
		}
	})
}

// A TokenStore of a database passes on its own errors; they end the call and are not retried.
func TestStoreTroubleEndsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("database is closed")
		c := inMemoryClient(func(http.ResponseWriter, *http.Request) { t.Error("asked Graph") })
		c.Tokens = &graph.DelegatedTokens{Authority: authority(nil), Store: brokenStore{broken}}
		began := time.Now()
		if _, err := c.Calendars(t.Context()); !errors.Is(err, broken) || time.Since(began) != 0 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

type brokenStore struct{ err error }

func (s brokenStore) LoadToken(context.Context) (*oauth2.Token, error)              { return nil, s.err }
func (s brokenStore) SaveToken(context.Context, *oauth2.Token, *oauth2.Token) error { return s.err }
