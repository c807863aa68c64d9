package probe_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/probe"
)

const (
	alice    = "alice@contoso.example"
	graphURL = "https://graph.microsoft.com"
)

// world is a simulated Outlook and a client of its mailbox.
type world struct {
	*testing.T
	sim    *graphsim.Server
	box    *graphsim.Mailbox
	client *graph.Client
	said   []string
}

// aToken is one access token.
type aToken string

func (t aToken) Token(context.Context) (string, error) { return string(t), nil }
func (aToken) Invalidate(string)                       {}

func newWorld(t *testing.T, set func(*graphsim.Server), scopes ...string) *world {
	t.Helper()
	w := &world{T: t, sim: &graphsim.Server{AutoApprove: true}}
	if set != nil {
		set(w.sim)
	}
	w.box = w.sim.AddMailbox(alice, "Alice Liddell", "W. Europe Standard Time")
	w.box.Calendar().Create(graphsim.Event{Subject: "Dentist", Start: time.Now().AddDate(0, 0, 1), End: time.Now().AddDate(0, 0, 1).Add(time.Hour)})
	if scopes == nil {
		scopes = []string{graphURL + "/Calendars.ReadWrite", "offline_access"}
	}
	a := &graph.Authority{LoginURL: "https://login.microsoftonline.com", ClientID: "client", Scopes: scopes, HTTP: w.sim.Client()}
	d, err := a.DeviceCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	token, err := a.Wait(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	w.client = &graph.Client{BaseURL: graphURL + "/v1.0", HTTP: w.sim.Client(), Tokens: aToken(token.AccessToken)}
	return w
}

func (w *world) probe(only ...string) *probe.Probe {
	return &probe.Probe{Graph: w.client, Address: alice, Private: []string{"Alice Liddell"}, Only: only,
		Say: func(format string, args ...any) { w.said = append(w.said, fmt.Sprintf(format, args...)) }}
}

// calendars are the names of those there are.
func (w *world) calendars() (names []string) {
	for _, c := range w.box.Calendars() {
		names = append(names, c.Name())
	}
	return names
}

// untouched fails where anybody was mailed, or anything is left or gone.
func (w *world) untouched() {
	w.Helper()
	if mails := w.sim.Mails(); len(mails) > 0 {
		w.Errorf("the probe has mailed: %v", mails)
	}
	if names := w.calendars(); !slices.Equal(names, []string{"Calendar"}) {
		w.Errorf("the mailbox has the calendars %q", names)
	}
	now := time.Now()
	if left := w.box.Calendar().Instances(now.AddDate(-1, 0, 0), now.AddDate(3, 0, 0)); len(left) != 1 || left[0].Subject != "Dentist" {
		w.Errorf("the calendar has %v", left)
	}
}

func rows(t *testing.T, r probe.Result) map[string]probe.Row {
	all := map[string]probe.Row{}
	for _, row := range r.Rows {
		if _, twice := all[row.ID]; twice {
			t.Errorf("%s twice", row.ID)
		}
		all[row.ID] = row
	}
	return all
}

// run asks everything of an Outlook.
func run(t *testing.T, set func(*graphsim.Server)) (result probe.Result) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, set)
		var err error
		if result, err = w.probe().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.untouched()
	})
	return result
}

// TestAnswers: each thing that Outlook does in another way is seen in just the rows that are about it.
func TestAnswers(t *testing.T) {
	plain := run(t, nil)
	_ = rows(t, plain)
	for _, r := range plain.Rows {
		t.Logf("%-18s %-9s %s | %s | %d", r.ID, r.Verdict, r.Seen, r.Note, len(r.Requests))
		switch {
		case r.Verdict == probe.Report:
			t.Errorf("%s is to be reported: %q, not %q", r.ID, r.Seen, r.Expected)
		case r.Verdict == probe.NotAsked && !strings.HasPrefix(r.Note, "not asked: "):
			t.Errorf("%s was not asked: %s", r.ID, r.Note)
		case r.Verdict != probe.NotAsked && r.ID != "touch" && len(r.Requests) == 0 && !strings.Contains("latency property-delta quiet", strings.SplitN(r.ID, "-", 2)[0]):
			t.Errorf("%s has no request-id", r.ID)
		}
	}
	t.Logf("%d requests", plain.Requests)
	if plain.Requests > 300 {
		t.Errorf("%d requests", plain.Requests)
	}
}

var _ = []any{context.Background, json.Marshal, errors.New, http.MethodGet, bridge.ProbeCalendar, graph.Accept}
