package web_test

import (
	"strings"
	"testing"

	"outbridge/bridge"
	"outbridge/bridge/convert"
)

// TestChangesPage: what calendar programs may change is chosen on the page, unless the configuration file says it, and what they have
// changed is listed with what was refused.
func TestChangesPage(t *testing.T) {
	d := newDesk(t)
	p := d.admin()
	if got := p.post("/new-account", "name", "bob"); got.StatusCode != 303 {
		t.Fatalf("new account: %s\n%s", got.Status, got.body)
	}
	if got := p.get("/accounts/bob/changes"); got.StatusCode != 200 || !strings.Contains(got.body, `value="read" checked`) || !strings.Contains(got.body, "None so far.") {
		t.Fatalf("page of an account that is read: %s\n%s", got.Status, got.body)
	}
	for _, c := range []struct {
		choice, online string
		want           bridge.Policy
	}{
		{"never", "on", bridge.Policy{Write: true, Invitations: bridge.InvitationsNever}},
		{"outlook", "on", bridge.Policy{Write: true, Invitations: bridge.InvitationsOutlook, OnlineMeetings: true}},
		{"replies", "", bridge.Policy{Write: true, Invitations: bridge.InvitationsReplies}},
		{"read", "", bridge.Policy{}},
	} {
		if got := p.post("/accounts/bob/changes", "access", c.choice, "online", c.online); got.StatusCode != 303 || got.Header.Get("Location") != "/accounts/bob/changes?done=policy" {
			t.Fatalf("%s: %s\n%s", c.choice, got.Status, got.body)
		}
		row, err := d.store.Account(t.Context(), "bob")
		if err != nil || row.Policy == nil || *row.Policy != c.want {
			t.Errorf("%s: policy %+v, %v, want %+v", c.choice, row.Policy, err, c.want)
		}
		if got := p.get("/accounts/bob/changes"); !strings.Contains(got.body, `value="`+c.choice+`" checked`) {
			t.Errorf("%s is not shown as chosen", c.choice)
		}
	}
	if got := p.post("/accounts/bob/changes", "access", "everything"); got.StatusCode != 400 || !strings.Contains(got.body, "Nothing was chosen.") {
		t.Errorf("an odd choice: %s", got.Status)
	}
	if got := p.post("/accounts/alice/changes", "access", "read"); got.StatusCode != 400 || !strings.Contains(got.body, "It is in the configuration file.") {
		t.Errorf("an account of the configuration file: %s", got.Status)
	}
	row, err := d.store.Account(t.Context(), "bob")
	if err == nil {
		_, err = d.store.SetCalendars(t.Context(), row.ID, []bridge.Calendar{{GraphID: "one", Name: "one", DisplayName: "One", Modified: d.now()}})
	}
	var cals []bridge.Calendar
	if err == nil {
		cals, err = d.store.Calendars(t.Context(), row.ID)
	}
	if err == nil {
		_, err = d.store.AddIntent(t.Context(), bridge.Intent{Account: row.ID, Calendar: cals[0].ID, Name: "a.ics", UID: "a", Summary: "Lunch <b>", Operation: bridge.IntentPut,
			User: "bob", Password: "phone", Client: "DAVx5/4", State: bridge.IntentRefused, Created: d.now(), Changed: d.now(),
			Refusal: &convert.Refusal{Kind: convert.RefusedObject, Sentence: "Outlook has no such rule."}})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := d.store.SetWriteHold(t.Context(), row.ID, bridge.WriteHold{Since: d.now()}); err != nil {
		t.Fatal(err)
	}
	if got := p.get("/accounts/bob/changes"); !strings.Contains(got.body, "Changes are paused since") {
		t.Error("the page does not say that changes are paused")
	}
	if got := p.post("/accounts/bob/changes/resume"); got.StatusCode != 303 {
		t.Errorf("resume: %s", got.Status)
	}
	got := p.get("/accounts/bob/changes")
	if strings.Contains(got.body, "Changes are paused since") {
		t.Error("changes are still paused")
	}
	for _, want := range []string{"Lunch &lt;b&gt;", "Outlook has no such rule.", "refused", "saved", "phone", "DAVx5/4"} {
		if !strings.Contains(got.body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// TestWhatAppsMayDo: the steps to connect an app, and those to sign in, say of an account that apps change what is true of it.
func TestWhatAppsMayDo(t *testing.T) {
	d := newDesk(t)
	p := d.admin()
	p.post("/new-account", "name", "bob")
	for _, c := range []struct {
		choice       string
		said, unsaid map[string][]string
	}{
		{"read", map[string][]string{
			"/accounts/bob/connect": {"Apps can read the calendars but not change them.", "They appear as read-only.", "read_only = true"},
			"/accounts/bob/sign-in": {"The bridge can then read the calendars and nothing else."},
		}, map[string][]string{"/accounts/bob/connect": {"change events too"}, "/accounts/bob/sign-in": {"read and change"}}},
		{"replies", map[string][]string{
			"/accounts/bob/connect": {`Apps can read the calendars and change events too, as <a href="/accounts/bob/changes">Changes</a> says.`},
			"/accounts/bob/sign-in": {"The bridge can then read and change the calendars, and nothing else."},
		}, map[string][]string{"/accounts/bob/connect": {"but not change them", "read-only", "read_only"}, "/accounts/bob/sign-in": {"then read the calendars and nothing"}}},
	} {
		if got := p.post("/accounts/bob/changes", "access", c.choice); got.StatusCode != 303 {
			t.Fatalf("%s: %s", c.choice, got.Status)
		}
		for path := range c.said {
			got := p.get(path)
			for _, said := range c.said[path] {
				if !strings.Contains(got.body, said) {
					t.Errorf("%s: %s does not say %q", c.choice, path, said)
				}
			}
			for _, not := range c.unsaid[path] {
				if strings.Contains(got.body, not) {
					t.Errorf("%s: %s says %q", c.choice, path, not)
				}
			}
		}
	}
}
