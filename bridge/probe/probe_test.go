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

	"github.com/google/go-cmp/cmp"

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
	token, err := a.Wait(t.Context(), d.DeviceSecret)
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

var resetRows = []string{"reset-same", "reset-end", "reset-time", "reset-zone", "reset-start-end"}

// TestAnswers: each thing that Outlook does in another way is seen in just the rows that are about it.
func TestAnswers(t *testing.T) {
	plain := run(t, nil)
	before := rows(t, plain)
	for _, r := range plain.Rows {
		switch {
		case r.Verdict == probe.Report:
			t.Errorf("%s is to be reported: %q, not %q", r.ID, r.Seen, r.Expected)
		case r.Verdict == probe.NotAsked && !strings.HasPrefix(r.Note, "not asked: "):
			t.Errorf("%s was not asked: %s", r.ID, r.Note)
		case r.Verdict != probe.NotAsked && len(r.Requests) == 0:
			t.Errorf("%s has no request-id", r.ID)
		case r.Verdict == probe.Handled && r.ID != "subject-long":
			t.Errorf("%s is not as expected: %q, not %q", r.ID, r.Seen, r.Expected)
		}
	}
	if plain.Requests > 300 {
		t.Errorf("%d requests", plain.Requests)
	}
	writing := func(set graphsim.Writing) func(*graphsim.Server) { return func(s *graphsim.Server) { s.Writing = set } }
	for name, tt := range map[string]struct {
		set  func(*graphsim.Server)
		rows []string
	}{
		"conflict for duplicates":   {writing(graphsim.Writing{Duplicates: graphsim.DuplicateConflict}), []string{"tx-same", "tx-other", "tx-deleted", "tx-calendar"}},
		"unnamed duplicates":        {writing(graphsim.Writing{Duplicates: graphsim.DuplicateUnnamed}), []string{"tx-same", "tx-other", "tx-calendar"}},
		"duplicates as if made":     {writing(graphsim.Writing{Duplicates: graphsim.DuplicateAsIfMade}), []string{"tx-same", "tx-other", "tx-calendar"}},
		"exceptions are kept":       {writing(graphsim.Writing{KeepExceptions: true}), resetRows},
		"cancellations are kept":    {writing(graphsim.Writing{KeepCancellations: true}), resetRows},
		"the end follows":           {writing(graphsim.Writing{EndFollows: true}), []string{"start-alone", "start-past-end"}},
		"deleted ones are passed":   {writing(graphsim.Writing{PassDeleted: true}), []string{"crossing-deleted"}},
		"gone at once":              {writing(graphsim.Writing{GoneAtOnce: true}), []string{"delete-twice"}},
		"plain bodies":              {writing(graphsim.Writing{PlainBodies: true}), []string{"body-text"}},
		"meetings are renewed":      {writing(graphsim.Writing{RenewMeetings: true}), []string{"meeting-body"}},
		"no OID":                    {writing(graphsim.Writing{NoOccurrenceIDs: true}), []string{"oid-patch", "oid-delete", "oid-allday"}},
		"no schedules":              {writing(graphsim.Writing{NoSchedules: true}), []string{"schedule"}},
		"stray recurrence":          {writing(graphsim.Writing{StrayRecurrence: true}), []string{"rule-filler"}},
		"calm":                      {writing(graphsim.Writing{Calm: true}), []string{"touch", "quiet-attachment"}},
		"stale for ten seconds":     {writing(graphsim.Writing{Calm: true, StaleFor: 10 * time.Second}), []string{"touch", "quiet-attachment", "latency", "property-find"}},
		"short months are skipped":  {func(s *graphsim.Server) { s.Skip29 = true }, []string{"rule-31"}},
		"pages of five":             {func(s *graphsim.Server) { s.DefaultPage = 5 }, []string{"view-page", "delta-page"}},
		"empty pages":               {func(s *graphsim.Server) { s.EmptyPages = true }, []string{"delta-page"}},
		"another cloud":             {func(s *graphsim.Server) { s.Cloud = "usgov" }, resetRows},
		"exceptions are not told":   {func(s *graphsim.Server) { s.ExceptionsUntold = true }, resetRows},
		"occurrenceId is not known": {func(s *graphsim.Server) { s.Unknown = []string{"occurrenceId"} }, []string{"oid-zone"}},
		"in disorder":               {func(s *graphsim.Server) { s.Shuffle, s.Duplicate, s.NullItems = 7, true, true }, nil},
		"few at once":               {func(s *graphsim.Server) { s.BatchParts, s.Concurrency = 2, 4 }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var flipped []string
			for _, r := range run(t, tt.set).Rows {
				if b := before[r.ID]; r.Seen != b.Seen {
					flipped = append(flipped, r.ID)
					if r.Verdict == probe.Report && r.ID != "rule-31" {
						t.Errorf("%s is to be reported: %q (%s)", r.ID, r.Seen, r.Note)
					}
				}
			}
			want := slices.Clone(tt.rows)
			slices.Sort(want)
			slices.Sort(flipped)
			if !slices.Equal(flipped, want) {
				t.Errorf("these differ: %q, not %q", flipped, want)
			}
		})
	}
}

func TestLearned(t *testing.T) {
	yes, no := true, false
	for name, tt := range map[string]struct {
		set  graphsim.Writing
		want bridge.Learned
	}{
		"strict": {graphsim.Writing{}, bridge.Learned{KeepsExceptions: &no, KeepsCancellations: &no, ReadsOccurrences: &yes, WritesOccurrences: &yes, NamesDuplicates: &yes}},
		"kind": {graphsim.Writing{KeepExceptions: true, KeepCancellations: true, NoOccurrenceIDs: true, Duplicates: graphsim.DuplicateUnnamed},
			bridge.Learned{KeepsExceptions: &yes, KeepsCancellations: &yes, ReadsOccurrences: &yes, WritesOccurrences: &no, NamesDuplicates: &no}},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, func(s *graphsim.Server) { s.Writing = tt.set }).Learned
			got.Asked, got.Differ, got.Unanswered = 0, 0, 0
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	// A part of the questions takes nothing back, and does not say more than it was asked.
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(s *graphsim.Server) { s.Writing = graphsim.Writing{KeepExceptions: true, KeepCancellations: true} })
		r, err := w.probe("reset-time", "oid-read").Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		merged := probe.Merge(bridge.Learned{KeepsExceptions: &no, NamesDuplicates: &yes}, r.Learned)
		if bridge.Is(merged.KeepsExceptions) || !bridge.Is(merged.NamesDuplicates) || !bridge.Is(merged.ReadsOccurrences) || r.Learned.KeepsExceptions != nil {
			t.Errorf("%+v", merged)
		}
		w.untouched()
	})
}

// TestLeft: what a killed probe has left is removed by the next one, and nothing else.
func TestLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		killed := w.probe("reset-time", "tx-calendar")
		killed.Keep = true
		if _, err := killed.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(w.calendars()); n != 3 {
			t.Fatalf("%d calendars are kept", n)
		}
		w.box.AddCalendar("outbridge probe", "")
		w.box.AddCalendar("Outbridge probe 0123456789abcdef", "")
		used := w.box.AddCalendar(bridge.ProbeCalendar+"0123456789abcdef", "")
		used.Create(graphsim.Event{Subject: "My own", Start: time.Now(), End: time.Now().Add(time.Hour)})
		meeting := w.box.AddCalendar(bridge.ProbeCalendar+"1123456789abcdef", "")
		meeting.Create(graphsim.Event{Subject: "outbridge probe: meeting", Start: time.Now(), End: time.Now().Add(time.Hour),
			Attendees: []graph.Attendee{{Type: "required", EmailAddress: graph.EmailAddress{Address: "bob@contoso.example"}}}})
		if _, err := w.probe("zero-length").Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []string{"Calendar", "outbridge probe", "Outbridge probe 0123456789abcdef", used.Name(), meeting.Name()}
		if names := w.calendars(); !slices.Equal(names, want) {
			t.Errorf("the mailbox has %q, not %q", names, want)
		}
		if len(w.sim.Mails()) > 0 {
			t.Errorf("mailed: %v", w.sim.Mails())
		}
		if !strings.Contains(strings.Join(w.said, "\n"), "so it stays; remove it in Outlook") {
			t.Errorf("it said %q", w.said)
		}
	})
}

// TestEnded: whenever it is ended, its calendars are removed.
func TestEnded(t *testing.T) {
	for n := 1; n < 60; n += 3 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			ctx, cancel := context.WithCancel(t.Context())
			left := n
			w.sim.Fault = func(r *http.Request) *graphsim.Fault {
				if left--; left == 0 {
					cancel()
				}
				return nil
			}
			if _, err := w.probe("reset-time", "tx-calendar", "calendar-name", "quiet-reminder").Run(ctx); n < 20 && !errors.Is(err, context.Canceled) {
				t.Errorf("ended after %d requests: %v", n, err)
			}
			w.untouched()
		})
	}
}

func TestDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, graphURL+"/Calendars.Read", "offline_access")
		if _, err := w.probe().Run(t.Context()); !errors.Is(err, probe.ErrDenied) {
			t.Errorf("%v", err)
		}
		w.untouched()
	})
}

// TestTrouble: throttling and lost answers cost time, and no calendar.
func TestTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		n := 0
		w.sim.Fault = func(r *http.Request) *graphsim.Fault {
			switch n++; {
			case strings.HasSuffix(r.URL.Path, "/calendars") && r.Method == http.MethodPost && n < 5:
				return &graphsim.Fault{DropAnswer: true}
			case n%7 == 0:
				return &graphsim.Fault{Status: 429, RetryAfter: 2 * time.Second}
			}
			return nil
		}
		r, err := w.probe("reset-time", "oid-patch", "tx-same", "delete-twice").Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range r.Rows {
			if row.Verdict != probe.Expected {
				t.Errorf("%s: %s %s", row.ID, row.Verdict, row.Note)
			}
		}
		w.untouched()
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.sim.Fault = func(r *http.Request) *graphsim.Fault {
			if strings.HasSuffix(r.URL.Path, "/events") {
				return &graphsim.Fault{Status: 429, RetryAfter: time.Hour}
			}
			return nil
		}
		r, err := w.probe("zero-length").Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if row := r.Rows[0]; row.Verdict != probe.NotAsked || !strings.HasPrefix(row.Note, "Microsoft Graph asked to slow down") {
			t.Errorf("%s: %s", row.Verdict, row.Note)
		}
		// It may not ask for anything until then, so the calendar stays for the next one.
		if len(r.Left) != 1 || !slices.Contains(w.calendars(), r.Left[0]) {
			t.Errorf("left: %q of %q", r.Left, w.calendars())
		}
	})
}

// TestSlow: where Outlook is slow some questions are not asked, and the calendar is removed all the same.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(s *graphsim.Server) {
			s.Fault = func(r *http.Request) *graphsim.Fault { return &graphsim.Fault{Delay: 20 * time.Second} }
		})
		began := time.Now()
		r, err := w.probe().Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all := rows(t, r)
		if all["reset-same"].Verdict != probe.Expected || !strings.Contains(all["schedule"].Note, "asks no longer") || len(r.Left) > 0 {
			t.Errorf("%+v, %+v, left %q", all["reset-same"], all["schedule"], r.Left)
		}
		if took := time.Since(began); took > 17*time.Minute {
			t.Errorf("it took %s", took)
		}
		w.untouched()
	})
}

// TestPrivate: what a report has tells nobody whose mailbox it is.
func TestPrivate(t *testing.T) {
	r := run(t, func(s *graphsim.Server) {
		s.Fault = func(r *http.Request) *graphsim.Fault {
			if r.Method == http.MethodPatch {
				return &graphsim.Fault{Status: 400, Code: "ErrorOdd", Message: "Alice Liddell <alice@contoso.example>, bob@contoso.example has AAMkAGI2TGulAAAAEAAAAAAAAAAA1234567890== in " + r.URL.Path}
			}
			return nil
		}
	})
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, private := range []string{"alice", "Alice", "Liddell", "contoso", "AAMk"} {
		if strings.Contains(string(text), private) {
			i := strings.Index(string(text), private)
			t.Errorf("the report has %q: …%s…", private, text[max(0, i-80):min(len(text), i+80)])
		}
	}
	if !strings.Contains(string(text), "400 ErrorOdd") {
		t.Error("nothing was refused")
	}
}

// TestApp: an app asks in its own name.
func TestApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.client = &graph.Client{BaseURL: graphURL + "/v1.0", HTTP: w.sim.Client(), Mailbox: alice, Tokens: &graph.AppTokens{Authority: &graph.Authority{
			LoginURL: "https://login.microsoftonline.com", Tenant: "contoso.example", ClientID: "client", ClientSecret: "secret", Scopes: graph.AppScopes(graphURL), HTTP: w.sim.Client()}}}
		r, err := w.probe("zero-length", "tx-same", "schedule").Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range r.Rows {
			if row.Verdict != probe.Expected {
				t.Errorf("%s: %s %s %s", row.ID, row.Verdict, row.Seen, row.Note)
			}
		}
		w.untouched()
	})
}
