package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/web"
)

// The page of an account follows its round, and a page that watches takes no turn from others.
func TestLive(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	live := new(web.Live)
	d.handler.Live = live
	d.round()
	p := d.admin()
	watch := func() *bufio.Scanner {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", p.url+"/accounts/alice/progress", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := p.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || !strings.Contains(resp.Header.Get("Cache-Control"), "no-store") {
			t.Fatalf("%s %v", resp.Status, resp.Header)
		}
		return bufio.NewScanner(resp.Body)
	}
	type state struct {
		State string
		Lines []struct {
			Calendar, Text string
			Done, Total    int
		}
	}
	next := func(s *bufio.Scanner) (v state) {
		t.Helper()
		for s.Scan() {
			if data, ok := strings.CutPrefix(s.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(data), &v); err != nil {
					t.Fatal(err)
				}
				return v
			}
		}
		t.Fatalf("the stream ends: %v", s.Err())
		return v
	}
	s := watch()
	if v := next(s); len(v.Lines) != 0 || v.State == "" {
		t.Errorf("at first: %+v", v)
	}
	live.Tell(bridge.Progress{Account: "alice", Calendar: "<Work>", Phase: bridge.ProgressDownload, Events: 1234})
	if v := next(s); len(v.Lines) != 1 || v.Lines[0].Calendar != "<Work>" || v.Lines[0].Text != "reading events from Outlook, 1,234 so far" {
		t.Errorf("%+v", v)
	}
	live.Tell(bridge.Progress{Account: "bob", Calendar: "Other"})
	live.Tell(bridge.Progress{Account: "alice", Calendar: "<Work>", Phase: bridge.ProgressConvert, Done: 5, Total: 10})
	if v := next(s); len(v.Lines) != 1 || v.Lines[0].Done != 5 || v.Lines[0].Total != 10 {
		t.Errorf("%+v", v)
	}
	for range 31 {
		next(watch())
	}
	if got := p.get("/accounts/alice/progress"); got.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one too many: %s", got.Status)
	}
	if got := p.get("/accounts/alice"); got.StatusCode != 200 {
		t.Errorf("a page beside those that watch: %s", got.Status)
	}
	live.Ended("alice")
	if v := next(s); len(v.Lines) != 0 {
		t.Errorf("at the end: %+v", v)
	}
	live.Close()
	for s.Scan() {
	}
	if s.Err() != nil {
		t.Error(s.Err())
	}
	if got := d.somebody().get("/accounts/alice/progress"); got.StatusCode != 303 {
		t.Errorf("without a sign-in: %s", got.Status)
	}
}

// Every page of an account says how old its calendars are, and what is to be done; a sync that does nothing is not offered.
func TestFreshness(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.handler.StaleAfter = func() time.Duration { return 6 * time.Hour }
	id := d.meeting("Review")
	d.round()
	p := d.admin()
	tabs := []string{"/calendars/alice", "/calendars/alice/calendar", "/accounts/alice/connect", "/accounts/alice/feeds", "/accounts/alice/passwords", "/accounts/alice/history/calendar"}
	say := func(when, text string) {
		t.Helper()
		for _, tab := range tabs {
			if got := p.get(tab); got.StatusCode != 200 || !strings.Contains(got.body, text) {
				t.Errorf("%s: %s: %s lacks %q", when, tab, got.Status, text)
			}
		}
	}
	ctx := context.WithoutCancel(t.Context())
	row, err := d.store.EnsureAccount(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	say("nobody has signed in, and yet it works", "Last good sync")
	d.later(7*time.Hour + 10*time.Minute) // the desk's clock began before the round did
	say("old", "Calendar was last synced 7 hours ago.")
	set := func(s bridge.State) {
		t.Helper()
		if err := d.store.SetState(ctx, row.ID, s); err != nil {
			t.Fatal(err)
		}
	}
	set(bridge.State{Code: bridge.StateSignIn, Fault: bridge.Fault{Reason: "never-signed-in", Action: bridge.ActionSignIn}, Final: true})
	say("nobody has signed in", `href="/accounts/alice/sign-in"`)
	if got := p.get("/accounts/alice"); strings.Contains(got.body, "Sync now") || !strings.Contains(got.body, "after the sign-in") || strings.Contains(got.body, "In sync") {
		t.Errorf("the account without a sign-in:\n%s", got.body)
	}
	if got := p.post("/accounts/alice/sync"); got.Header.Get("Location") != "/accounts/alice/sign-in" || len(d.accounts.nudged) > 0 {
		t.Errorf("a sync without a sign-in leads to %q", got.Header.Get("Location"))
	}
	set(bridge.State{Code: bridge.StateOK})
	if got := p.post("/accounts/alice/sync"); got.Header.Get("Location") != "/accounts/alice?done=synced" || len(d.accounts.nudged) != 1 {
		t.Errorf("a sync leads to %q", got.Header.Get("Location"))
	}

	// What has changed is in the history, with titles also of what is gone.
	if err := d.box.Calendar().Change(id, func(e *graphsim.Event) { e.Subject = "Review, later <b>" }); err != nil {
		t.Fatal(err)
	}
	d.round()
	if err := d.box.Calendar().Delete(id); err != nil {
		t.Fatal(err)
	}
	d.round()
	got := p.get("/accounts/alice/history/calendar")
	at := -1
	for _, text := range []string{"1 deleted", "Review, later &lt;b&gt;", "1 changed", "1 new", "Review</"} {
		i := strings.Index(got.body[at+1:], text)
		if i < 0 && text != "Review</" {
			t.Fatalf("the history lacks %q:\n%s", text, got.body)
		}
		at += max(i, 0)
	}
	// So is when no sync succeeded.
	cals, err := d.store.Calendars(t.Context(), row.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.store.SetFault(t.Context(), cals[0].ID, bridge.Fault{Reason: bridge.ReasonUnavailable, Action: bridge.ActionWait}, d.now()); err != nil {
		t.Fatal(err)
	}
	if got := p.get("/accounts/alice/history/calendar"); !strings.Contains(got.body, "no sync has succeeded since then") {
		t.Errorf("the history has no trouble:\n%s", got.body)
	}
	d.round()
	if got := p.get("/accounts/alice/history/calendar"); !strings.Contains(got.body, "no sync succeeded until") {
		t.Errorf("it does not end:\n%s", got.body)
	}
	if got := p.get("/accounts/alice/history/none"); got.StatusCode != 404 {
		t.Errorf("a calendar that is not there: %s", got.Status)
	}
}
