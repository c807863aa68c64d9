package graph_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// A subscriber answers notification URLs as one should, and keeps what it is told.
type subscriber struct {
	mu       sync.Mutex
	told     []string // "created ID", or the name of a lifecycle event
	requests int
}

func (s *subscriber) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if token := r.URL.Query().Get("validationToken"); token != "" {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, token)
		return
	}
	var body struct {
		Value []struct {
			SubscriptionID, ClientState, ChangeType, LifecycleEvent string
			ResourceData                                            struct{ ID string }
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	for _, n := range body.Value {
		if n.ClientState != "state" || n.SubscriptionID == "" {
			s.told = append(s.told, "forged")
		}
		s.told = append(s.told, strings.TrimSpace(n.LifecycleEvent+n.ChangeType+" "+n.ResourceData.ID))
	}
	w.WriteHeader(http.StatusAccepted)
}

// take returns what came since the last take.
func (s *subscriber) take() (told []string, requests int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.told, s.requests = nil, 0 }()
	return s.told, s.requests
}

// RoundTrip serves requests to hook.example in this process; other hosts do not answer.
func (s *subscriber) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != "hook.example" {
		return nil, fmt.Errorf("no such host %s", r.URL.Host)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result(), nil
}

// subscribing is the simulated service with the demo mailbox, a client of it, and a subscriber.
func subscribing(t *testing.T, sim *graphsim.Server) (outlook, *subscriber) {
	hook := new(subscriber)
	sim.Webhooks = &http.Client{Transport: hook}
	o := newOutlook(t, sim)
	t.Cleanup(sim.Close)
	return o, hook
}

func wanted(life time.Duration) graph.Subscription {
	return graph.Subscription{NotificationURL: "https://hook.example/notify", LifecycleNotificationURL: "https://hook.example/lifecycle",
		ClientState: "state", Expires: time.Now().Add(life)}
}

func TestSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, hook := subscribing(t, &graphsim.Server{})
		s, err := o.Subscribe(t.Context(), wanted(graph.SubscriptionLife))
		if err != nil || s.ID == "" || s.Resource != "/me/events" || s.ClientState != "state" || !s.Expires.Equal(time.Now().Add(graph.SubscriptionLife)) {
			t.Fatalf("%+v, %v", s, err)
		}
		if _, err := o.Subscribe(t.Context(), wanted(time.Hour)); !graph.IsConflict(err) {
			t.Errorf("a second one: %v", err)
		}
		list, err := o.Client.Subscriptions(t.Context())
		if err != nil || len(list) != 1 || list[0].ID != s.ID || list[0].NotificationURL != s.NotificationURL || !list[0].Expires.Equal(s.Expires) {
			t.Errorf("list %+v, %v", list, err)
		}

		// Every change of an event is told, with its immutable id.
		cal := o.box.Calendar()
		id := cal.Create(graphsim.Event{Subject: "new", Start: time.Now(), End: time.Now().Add(time.Hour)})
		synctest.Wait()
		if err := cal.Change(id, func(e *graphsim.Event) { e.Subject = "changed" }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := cal.Delete(id); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		told, requests := hook.take()
		if got, want := strings.Join(told, ","), fmt.Sprintf("created %s,updated %[1]s,deleted %[1]s", id); got != want || requests != 3 {
			t.Errorf("told %q in %d requests, want %q", got, requests, want)
		}

		// The end moves, and Graph has the last word on it.
		time.Sleep(24 * time.Hour)
		renewed, err := o.RenewSubscription(t.Context(), s.ID, time.Now().Add(time.Minute))
		if err != nil || !renewed.Expires.Equal(time.Now().Add(45*time.Minute)) {
			t.Errorf("%+v, %v", renewed, err)
		}
		if _, err := o.RenewSubscription(t.Context(), s.ID, time.Now().Add(8*24*time.Hour)); err == nil || graph.IsNotFound(err) || graph.IsUnavailable(err) {
			t.Errorf("beyond the limit: %v", err)
		}
		time.Sleep(45 * time.Minute)
		for name, err := range map[string]error{
			"renew":       func() error { _, err := o.RenewSubscription(t.Context(), s.ID, time.Now().Add(time.Hour)); return err }(),
			"reauthorize": o.ReauthorizeSubscription(t.Context(), s.ID),
		} {
			if !graph.IsNotFound(err) || graph.IsMailboxMissing(err) {
				t.Errorf("%s what has expired: %v", name, err)
			}
		}
		if err := o.DeleteSubscription(t.Context(), s.ID); err != nil {
			t.Errorf("delete what has expired: %v", err)
		}
		if list, err := o.Client.Subscriptions(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("list %+v, %v", list, err)
		}
	})
}

func TestSubscriptionsOfAnApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := new(subscriber)
		sim := &graphsim.Server{Webhooks: &http.Client{Transport: hook}, MaxPage: 1}
		defer sim.Close()
		a, b := sim.DemoMailbox(), sim.AddMailbox("room@contoso.example", "Room", "UTC")
		for _, m := range []*graphsim.Mailbox{a, b} {
			if s, err := app(sim, m.Address()).Subscribe(t.Context(), wanted(time.Hour)); err != nil || s.Resource != "/users/"+m.Address()+"/events" {
				t.Errorf("%+v, %v", s, err)
			}
		}
		list, err := app(sim, a.Address()).Subscriptions(t.Context())
		if err != nil || len(list) != 1 || list[0].Resource != "/users/"+a.Address()+"/events" {
			t.Errorf("list %+v, %v", list, err)
		}
		// A person may not subscribe to somebody else's mailbox, whoever shares what.
		a.Calendar().Share(b)
		theirs := delegated(t, sim, b, sharedScopes()...)
		theirs.Mailbox = a.Address()
		if _, err := theirs.Subscribe(t.Context(), wanted(time.Hour)); !graph.IsAccessDenied(err) {
			t.Errorf("error %v", err)
		}
	})
}

func TestLifecycleNotifications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, hook := subscribing(t, &graphsim.Server{})
		s, err := o.Subscribe(t.Context(), wanted(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		cal := o.box.Calendar()
		create := func() graph.EventID {
			defer synctest.Wait()
			return cal.Create(graphsim.Event{Subject: "x", Start: time.Now(), End: time.Now().Add(time.Hour)})
		}
		want := func(what ...string) {
			t.Helper()
			synctest.Wait()
			if told, _ := hook.take(); strings.Join(told, ",") != strings.Join(what, ",") {
				t.Errorf("told %q, want %q", told, what)
			}
		}
		o.Lifecycle(o.box, "reauthorizationRequired")
		create()
		want("reauthorizationRequired")
		if err := o.ReauthorizeSubscription(t.Context(), s.ID); err != nil {
			t.Error(err)
		}
		want("created " + string(create()))
		o.Lifecycle(o.box, "reauthorizationRequired")
		if _, err := o.RenewSubscription(t.Context(), s.ID, time.Now().Add(time.Hour)); err != nil {
			t.Error(err)
		}
		want("reauthorizationRequired")
		want("created " + string(create()))
		o.Lifecycle(o.box, "missed")
		want("missed")
		o.Lifecycle(o.box, "subscriptionRemoved")
		create()
		want("subscriptionRemoved")
		if err := o.ReauthorizeSubscription(t.Context(), s.ID); !graph.IsNotFound(err) {
			t.Errorf("error %v", err)
		}
		if again, err := o.Subscribe(t.Context(), wanted(time.Hour)); err != nil || again.ID == s.ID {
			t.Errorf("%+v, %v", again, err)
		}
	})
}

// What does not arrive is sent again, and what was sent without success may come twice; several changes travel together.
func TestNotificationDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var faults []*graphsim.Fault
		var tries int
		sim := &graphsim.Server{NotificationDelay: time.Second}
		sim.WebhookFault = func(r *http.Request) *graphsim.Fault {
			if r.URL.Query().Has("validationToken") || len(faults) == 0 {
				return nil
			}
			tries++
			f := faults[0]
			faults = faults[1:]
			return f
		}
		o, hook := subscribing(t, sim)
		if _, err := o.Subscribe(t.Context(), wanted(time.Hour)); err != nil {
			t.Fatal(err)
		}
		cal := o.box.Calendar()
		faults = []*graphsim.Fault{{Status: 503}, {Drop: true}, {Delay: time.Minute}, {DropAnswer: true}}
		var want []string
		for range 3 {
			want = append(want, "created "+string(cal.Create(graphsim.Event{Subject: "x", Start: time.Now(), End: time.Now().Add(time.Hour)})))
		}
		time.Sleep(time.Hour)
		told, requests := hook.take()
		if strings.Join(told, ",") != strings.Join(append(want, want...), ",") || requests != 2 || tries != 4 {
			t.Errorf("told %q in %d requests after %d failures", told, requests, tries)
		}
	})
}

// unreachable reports that the notification URLs did not answer as they must.
func unreachable(err error) bool {
	var e *graph.Error
	return errors.As(err, &e) && e.Status == http.StatusBadRequest && (e.Code == "ValidationError" || e.Code == "InvalidRequest")
}

func TestSubscribeRefused(t *testing.T) {
	for _, tt := range []struct {
		name  string
		edit  func(*graph.Subscription)
		fault graphsim.Fault // of the notification URL
		want  func(error) bool
	}{
		{"not https", func(s *graph.Subscription) { s.NotificationURL = "http://127.0.0.1:1/" }, graphsim.Fault{}, unreachable},
		{"nobody there", func(s *graph.Subscription) { s.NotificationURL = "https://nowhere.example/" }, graphsim.Fault{}, unreachable},
		{"nobody at the second", func(s *graph.Subscription) { s.LifecycleNotificationURL = "https://nowhere.example/" }, graphsim.Fault{}, unreachable},
		{"too slow", nil, graphsim.Fault{Delay: 11 * time.Second}, unreachable},
		{"slow", nil, graphsim.Fault{Delay: 4 * time.Second}, func(err error) bool { return err == nil }},
		{"not found there", nil, graphsim.Fault{Status: 404}, unreachable},
		{"an empty answer", nil, graphsim.Fault{Status: 200}, unreachable},
		{"no such calendar", func(s *graph.Subscription) { s.Resource = "/me/calendars/gone/events" }, graphsim.Fault{},
			func(err error) bool { return graph.IsNotOffered(err) && !unreachable(err) }},
		{"state too long", func(s *graph.Subscription) { s.ClientState = strings.Repeat("x", 129) }, graphsim.Fault{}, func(err error) bool { return err != nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, _ := subscribing(t, &graphsim.Server{WebhookFault: func(*http.Request) *graphsim.Fault { return &tt.fault }})
				s := wanted(time.Hour)
				if tt.edit != nil {
					tt.edit(&s)
				}
				if _, err := o.Subscribe(t.Context(), s); !tt.want(err) {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

// Answers of Graph that are recorded, and such as never should come.
func TestReadSubscription(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		status     int
		ok         bool
		check      func(error) bool
	}{
		{"recorded", `{"id":"5522bd62-7c96-4530-85b0-00b916f6151a","resource":"users/622eaaff/messages","expirationDateTime":"2022-01-01T21:42:18.2257768Z","lifecycleNotificationUrl":null}`, 201, true, nil},
		{"no id", `{"expirationDateTime":"2022-01-01T21:42:18Z"}`, 201, false, graph.IsUnavailable},
		{"no end", `{"id":"x"}`, 201, false, graph.IsUnavailable},
		{"not JSON", `<html>`, 201, false, graph.IsUnavailable},
		{"sporadic", `{"error":{"code":"InvalidRequest","message":"The underlying connection was closed: A connection that was expected to be kept alive was closed by the server."}}`, 400, false, unreachable},
		{"no webhooks", `{"error":{"code":"ExtensionError","message":"Mailbox is currently on backend 'Unknown'"}}`, 400, false,
			func(err error) bool { return graph.IsNotOffered(err) && !unreachable(err) }},
		{"duplicate", `{"error":{"code":"Conflict","message":"exists"}}`, 409, false, graph.IsConflict},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodPost || r.URL.Path != "/v1.0/subscriptions" || !strings.Contains(r.Header.Get("Prefer"), `IdType="ImmutableId"`) {
						t.Errorf("%s %s, Prefer: %s", r.Method, r.URL, r.Header.Get("Prefer"))
					}
					w.WriteHeader(tt.status)
					io.WriteString(w, tt.body)
				})
				c.Attempts = 1
				s, err := c.Subscribe(t.Context(), wanted(time.Hour))
				if (err == nil) != tt.ok || tt.ok && (s.ID == "" || s.Expires.Nanosecond() != 225776800) || tt.check != nil && !tt.check(err) {
					t.Errorf("%+v, %v", s, err)
				}
			})
		})
	}
}

func FuzzReadSubscription(f *testing.F) {
	f.Add([]byte(`{"id":"5522bd62","expirationDateTime":"2022-01-01T21:42:18.2257768Z","clientState":null}`))
	f.Add([]byte(`{"id":"x","expirationDateTime":"0000-00-00T00:00:00"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s graph.Subscription
		if err := json.Unmarshal(b, &s); err == nil && string(b) != "null" && (s.ID == "" || s.Expires.IsZero() && !strings.Contains(string(b), "0001-01-01")) {
			t.Errorf("%s: %+v", b, s)
		}
	})
}
