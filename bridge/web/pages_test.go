package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/web"
)

func TestProfileOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	p := d.admin()
	link := func() string {
		t.Helper()
		_, got := p.follow("/accounts/alice/profile")
		found := regexp.MustCompile(`value="https://calendar\.example\.com(/profile/[a-z2-7]{26}\.mobileconfig)"`).FindStringSubmatch(got.body)
		if found == nil {
			t.Fatalf("%s\n%s", got.Status, got.body)
		}
		return found[1]
	}
	passwords := func() []bridge.Password {
		t.Helper()
		list, err := d.store.Passwords(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	phone := d.somebody()
	first := link()
	if head := phone.send("HEAD", first, nil); head.StatusCode != 200 || len(passwords()) != 0 {
		t.Errorf("a look at the link: %s", head.Status)
	}
	got := phone.get(first)
	if got.StatusCode != 200 || !strings.HasPrefix(got.Header.Get("Content-Type"), "application/x-apple-aspen-config") ||
		!strings.HasPrefix(got.Header.Get("Content-Disposition"), "attachment; filename=outbridge-alice.mobileconfig") || got.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s %v\n%s", got.Status, got.Header, got.body)
	}
	secret := regexp.MustCompile(`<key>CalDAVPassword</key>\s*<string>(\S+)</string>`).FindStringSubmatch(got.body)
	if secret == nil || !strings.Contains(got.body, "<string>calendar.example.com</string>") {
		t.Fatalf("profile:\n%s", got.body)
	}
	if _, ok, err := d.store.CheckPassword(t.Context(), "alice", secret[1]); !ok || err != nil || len(passwords()) != 1 {
		t.Errorf("the password of the profile: %v, %v", ok, err)
	}
	late := link()
	d.later(15 * time.Minute)
	for _, path := range []string{first, late, "/profile/aaaaaaaaaaaaaaaaaaaaaaaaaa.mobileconfig", "/profile/.mobileconfig"} {
		if got := phone.get(path); got.StatusCode != http.StatusGone || len(passwords()) != 1 {
			t.Errorf("%s: %s", path, got.Status)
		}
	}
}

func TestSecretsAreShownOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.meeting("Review")
	d.round()
	p := d.admin()
	field := regexp.MustCompile(`id="new-secret" class="secret" readonly value="([^"]+)"`)
	shown := func(_ string, got answer) string {
		t.Helper()
		found := field.FindStringSubmatch(got.body)
		if found == nil {
			t.Fatalf("%s\n%s", got.Status, got.body)
		}
		return found[1]
	}
	password := shown(p.follow("/accounts/alice/passwords", "label", "  laptop \n two\x00"))
	if _, ok, err := d.store.CheckPassword(t.Context(), "alice", password); !ok || err != nil {
		t.Errorf("the app password: %v, %v", ok, err)
	}
	feed := shown(p.follow("/accounts/alice/feeds", "detail", "full", "which", "all"))
	if got := d.get(d.url + mustURL(t, feed).Path); got.StatusCode != 200 || !strings.Contains(got.body, "SUMMARY:Review") {
		t.Errorf("the feed: %s\n%s", got.Status, got.body)
	}
	rotated := shown(p.follow("/accounts/alice/feeds/1/rotate"))
	if rotated == feed || d.get(d.url+mustURL(t, feed).Path).StatusCode != 404 || d.get(d.url+mustURL(t, rotated).Path).StatusCode != 200 {
		t.Error("the feed's old address works, or its new one does not")
	}
	for _, route := range guarded {
		path, ok := strings.CutPrefix(route, "GET ")
		if !ok {
			continue
		}
		for _, secret := range []string{password, feed, rotated, setupCode, adminPassword} {
			if strings.Contains(p.get(path).body, secret) {
				t.Errorf("%s shows a secret", path)
			}
		}
	}
}

func TestFeedForm(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.meeting("Review")
	d.box.AddCalendar("Family", "#00cc6a").Create(graphsim.Event{Subject: "School play", Start: at(2, 18), End: at(2, 20)})
	d.round()
	p := d.admin()
	a, err := d.store.Account(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	cals, err := d.store.Calendars(t.Context(), a.ID)
	if err != nil || len(cals) != 2 {
		t.Fatal(cals, err)
	}
	for _, c := range []struct {
		says string
		form []string
	}{
		{"choose full, limited or busy", []string{"detail", "all of it"}},
		{"No calendar is selected", []string{"detail", "full", "which", "some"}},
		{"A calendar that you chose no longer exists", []string{"detail", "full", "which", "some", "calendar", "99"}},
		{"choose show or hide", []string{"detail", "full", "free", "maybe"}},
		{"is not a period", []string{"detail", "full", "past", "a while"}},
		{"full detail only", []string{"detail", "busy", "alarms", "on"}},
	} {
		got := p.post("/accounts/alice/feeds", append(c.form, "name", "Kept in the form")...)
		if got.StatusCode != 400 || !strings.Contains(got.body, c.says) || !strings.Contains(got.body, `value="Kept in the form"`) {
			t.Errorf("%v: %s\n%s", c.form, got.Status, got.body)
		}
	}
	family := fmt.Sprint(cals[1].ID)
	got := p.post("/accounts/alice/feeds", "name", "Family", "detail", "limited", "which", "some", "calendar", family, "private", "hide", "declined", "hide",
		"cancelled", "show", "categories", "Travel, , Customers ", "not_categories", "Work", "past", "3mo", "ahead", "1y")
	if got.StatusCode != 303 {
		t.Fatalf("%s\n%s", got.Status, got.body)
	}
	list, err := d.store.Feeds(t.Context(), "alice")
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	want := bridge.FeedOptions{Private: "hide", Declined: "hide", Cancelled: "show", Categories: []string{"Travel", "Customers"}, NotCategories: []string{"Work"}, Past: "3mo", Ahead: "1y"}
	if f := list[0]; f.Name != "Family" || f.Detail != "limited" || len(f.Calendars) != 1 || f.Calendars[0] != cals[1].ID || fmt.Sprint(f.Options) != fmt.Sprint(want) {
		t.Errorf("%+v", f)
	}
	// The edit form shows the feed as it is; sending it changes only what was edited.
	form := p.get("/accounts/alice/feeds/1")
	for _, has := range []string{`value="Family"`, `value="limited" checked`, `id="cal-` + family + `" name="calendar" value="` + family + `" checked`,
		`<option value="hide" selected>`, `value="Travel, Customers"`, `value="3mo"`, "<details open>"} {
		if !strings.Contains(form.body, has) {
			t.Errorf("the form has no %s\n%s", has, form.body)
		}
	}
	if got := p.post("/accounts/alice/feeds/1", "detail", "busy", "name", ""); got.StatusCode != 303 {
		t.Errorf("%s\n%s", got.Status, got.body)
	}
	if list, err = d.store.Feeds(t.Context(), "alice"); err != nil || list[0].Detail != "busy" || list[0].Name != "" || len(list[0].Calendars) != 0 || list[0].Changed.IsZero() {
		t.Errorf("%+v, %v", list, err)
	}
	for _, path := range []string{"/accounts/alice/feeds/2", "/accounts/alice/feeds/x", "/accounts/bob/feeds", "/accounts/bob", "/calendars/alice/nothing", "/calendars/bob"} {
		if got := p.get(path); got.StatusCode != 404 {
			t.Errorf("%s: %s", path, got.Status)
		}
	}
	for _, path := range []string{"/accounts/alice/feeds/2", "/accounts/alice/feeds/2/rotate", "/accounts/alice/feeds/2/remove", "/accounts/alice/passwords/2/revoke"} {
		if got := p.post(path, "detail", "full"); got.StatusCode != 404 {
			t.Errorf("POST %s: %s", path, got.Status)
		}
	}
}

// Whatever comes from Outlook is shown as text on the pages.
func TestTextIsText(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	evil := `"><script>alert(1)</script><img src=x onerror=alert(1)> {{.}}`
	d.box.AddCalendar(evil, "#00cc6a").Create(graphsim.Event{Subject: evil, Location: evil, Start: at(0, 10), End: at(0, 11), Sensitivity: "personal"})
	d.round()
	p := d.admin()
	p.post("/accounts/alice/passwords", "label", evil)
	p.post("/accounts/alice/feeds", "detail", "full", "name", evil, "categories", evil)
	p.header.Set("User-Agent", evil)
	p.post("/sign-in", "password", adminPassword, "next", evil)
	pages := []string{"/", "/calendars/alice?view=" + url.QueryEscape(evil) + "&zone=" + url.QueryEscape(evil) + "&date=" + url.QueryEscape(evil), "/setup?code=" + url.QueryEscape(evil)}
	for _, route := range guarded {
		if path, ok := strings.CutPrefix(route, "GET "); ok {
			pages = append(pages, path)
		}
	}
	a, err := d.store.Account(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	cals, err := d.store.Calendars(t.Context(), a.ID)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, c := range cals {
		pages = append(pages, "/calendars/alice/"+c.Name)
	}
	for _, path := range pages {
		body := p.get(path).body
		if strings.Contains(body, "<script>alert") || strings.Contains(body, "<img src=x") {
			t.Errorf("%s: what came from outside is HTML", path)
		}
		if strings.Contains(body, "&lt;script&gt;alert(1)") {
			found++
		}
	}
	if found < 6 {
		t.Errorf("only %d pages show it at all", found)
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	p := d.admin()
	a, err := d.store.EnsureAccount(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	const button = `href="/accounts/alice/sign-in">`
	for _, c := range []struct {
		name    string
		state   bridge.State
		version int64 // of the token
		has     []string
		hasNot  []string
	}{
		{"new", bridge.State{Code: bridge.StateNew}, 0, []string{"Not signed in yet", button + "Sign in to Microsoft<"}, nil},
		{"signed in", bridge.State{Code: bridge.StateNew}, 1, []string{"First sync"}, []string{button + "Sign in to"}},
		{"good", bridge.State{Code: bridge.StateOK}, 1, []string{"In sync with Outlook"}, nil},
		{"expired", bridge.State{Code: bridge.StateSignIn, Fault: bridge.Fault{Reason: bridge.Reason(graph.ReasonExpired), Action: bridge.ActionSignIn}, Final: true, TokenVersion: 1}, 1,
			[]string{"Sign-in needed", "The sign-in has expired, since it was not used for too long.", button + "Sign in again<"}, []string{"outbridge login"}},
		{"signed in again", bridge.State{Code: bridge.StateSignIn, Fault: bridge.Fault{Reason: bridge.Reason(graph.ReasonExpired), Action: bridge.ActionSignIn}, Final: true, TokenVersion: 1}, 2,
			[]string{"Signed in", "The first sync with the new sign-in"}, []string{"has expired"}},
		{"administrator", bridge.State{Code: bridge.StateDenied, Fault: bridge.Fault{Reason: bridge.Reason(graph.ReasonAdminConsent), Action: bridge.ActionAskAndSignIn, Link: "https://login.example/consent?a=1&b=2"}, Final: true, TokenVersion: 2}, 2,
			[]string{"Access denied", "Ask the administrator to open https://login.example/consent?a=1&amp;b=2 and to accept, then sign in again.", `href="https://login.example/consent?a=1&amp;b=2"`, button + "Sign in again<"}, []string{"outbridge login"}},
		{"another administrator's business", bridge.State{Code: bridge.StateDenied, Fault: bridge.Fault{Reason: bridge.Reason(graph.ReasonAccountDisabled), Action: bridge.ActionAsk}, Final: true, TokenVersion: 2}, 2,
			[]string{"Access denied", "Ask the administrator of the organization."}, []string{`<a class="button" ` + button}},
		{"the app's secret", bridge.State{Code: bridge.StateConfiguration, Fault: bridge.Fault{Reason: bridge.Reason(graph.ReasonSecretExpired), Action: bridge.ActionConfigure}, Final: true, TokenVersion: 2}, 2,
			[]string{"Setup needed", "The client secret has expired. Make a new client secret"}, []string{`<a class="button" ` + button}},
		{"in words, expired", bridge.State{Code: bridge.StateSignIn, Fault: bridge.Fault{Reason: bridge.ReasonWords, Action: bridge.ActionSignIn, Detail: "The sign-in ended."}}, 2,
			[]string{"Sign-in needed", "The sign-in ended.", button + "Sign in again<"}, []string{"outbridge login"}},
		{"in words, administrator", bridge.State{Code: bridge.StateDenied, Fault: bridge.Fault{Reason: bridge.ReasonWords, Action: bridge.ActionAskAndSignIn, Detail: "Not allowed."}}, 2,
			[]string{"Not allowed. Ask the administrator of the organization, then sign in again.", button + "Sign in again<"}, nil},
		{"in words, configuration", bridge.State{Code: bridge.StateConfiguration, Fault: bridge.Fault{Reason: bridge.ReasonWords, Action: bridge.ActionConfigure, Detail: "The secret is wrong."}}, 2,
			[]string{"The secret is wrong. Check the configuration and the app registration."}, nil},
		{"outage", bridge.State{Code: bridge.StateUnavailable, Fault: bridge.Fault{Reason: bridge.ReasonUnavailable, Action: bridge.ActionWait}}, 2,
			[]string{"badge wait", "There is nothing to do: the bridge tries again automatically."}, nil},
		{"denied", bridge.State{Code: bridge.StateDenied, Fault: bridge.Fault{Reason: bridge.ReasonDenied, Action: bridge.ActionAsk}}, 2, []string{"badge bad", "Microsoft Graph denies access to a calendar. Check that the app"}, nil},
		{"error", bridge.State{Code: bridge.StateError, Fault: bridge.Fault{Reason: bridge.ReasonOther, Action: bridge.ActionInspect, Detail: "Something <b>new</b>."}}, 2, []string{"Something &lt;b&gt;new&lt;/b&gt;."}, nil},
	} {
		for {
			now, err := d.store.Account(t.Context(), "alice")
			if err != nil {
				t.Fatal(err)
			}
			if now.TokenVersion >= c.version {
				break
			}
			if err := d.store.Tokens(a.ID).SaveToken(t.Context(), nil, token); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.store.SetState(t.Context(), a.ID, c.state); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/", "/accounts/alice"} {
			body := p.get(path).body
			for _, has := range c.has {
				if !strings.Contains(body, has) {
					t.Errorf("%s: %s has no %q\n%s", c.name, path, has, body)
				}
			}
			for _, not := range c.hasNot {
				if strings.Contains(body, not) {
					t.Errorf("%s: %s has %q\n%s", c.name, path, not, body)
				}
			}
		}
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	p := d.admin()
	// Before its first sync an account has the same pages as any other.
	for _, path := range []string{"/accounts/alice", "/calendars/alice", "/accounts/alice/connect", "/accounts/alice/passwords", "/accounts/alice/feeds", "/accounts/alice/sign-in"} {
		if got := p.get(path); got.StatusCode != 200 {
			t.Errorf("%s: %s\n%s", path, got.Status, got.body)
		}
	}
	if got := p.post("/new-account", "name", "a name"); got.StatusCode != 400 || !strings.Contains(got.body, "That is no name.") || !strings.Contains(got.body, `value="a name"`) {
		t.Errorf("%s\n%s", got.Status, got.body)
	}
	if got := p.post("/new-account", "name", " Bob "); got.Header.Get("Location") != "/accounts/bob/sign-in" {
		t.Errorf("%s to %s", got.Status, got.Header.Get("Location"))
	}
	if strings.Contains(p.get("/new-account").body, "app-only") {
		t.Error("a mailbox is asked for though none could be read")
	}
	d.accounts.appOnly = true
	if !strings.Contains(p.get("/new-account").body, "app-only") {
		t.Error("a mailbox is not asked for")
	}
	if got := p.post("/new-account", "name", "room", "mailbox", "room@contoso.example"); got.Header.Get("Location") != "/accounts/room" {
		t.Errorf("%s to %s", got.Status, got.Header.Get("Location"))
	}
	if got := p.get("/accounts/room/sign-in"); got.StatusCode != 400 || !strings.Contains(got.body, "needs no sign-in") {
		t.Errorf("the sign-in of a mailbox that needs none: %s", got.Status)
	}
	if got := p.get("/accounts/alice/remove"); strings.Contains(got.body, `<button class="danger">`) {
		t.Error("an account of the configuration can be removed")
	}
	if got := p.post("/accounts/bob/remove"); got.Header.Get("Location") != "/?done=removed" || p.get("/accounts/bob").StatusCode != 404 {
		t.Errorf("removal: %s", got.Status)
	}
	d.accounts.client = ""
	if got := p.get("/new-account"); got.Header.Get("Location") != "/app" {
		t.Errorf("a new account without an app registration: %s", got.Status)
	}
	if got := p.get("/"); !strings.Contains(got.body, "First, register an app") {
		t.Errorf("front page without an app registration:\n%s", got.body)
	}
}

// TestUsualZone: unless somebody chooses a time zone, a calendar is shown in that of most of its events.
func TestUsualZone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for i := range 3 {
		d.box.Calendar().Create(graphsim.Event{Subject: "Lunch", Start: at(i, 12), End: at(i, 13), Zone: "Pacific Standard Time"})
	}
	d.box.Calendar().Create(graphsim.Event{Subject: "Abroad", Start: at(0, 9), End: at(0, 10), Zone: "Tokyo Standard Time"})
	d.round()
	if body := d.admin().get("/calendars/alice/calendar").body; !strings.Contains(body, `value="America/Los_Angeles"`) || !strings.Contains(body, "12:00") {
		t.Errorf("the month is not in the events' zone:\n%s", body)
	}
}

// TestNothingIsCutSilently: what is too long is refused, or it is said that not all of it counts.
func TestNothingIsCutSilently(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	p := d.admin()
	for label, made := range map[string]bool{strings.Repeat("ö", 100): true, strings.Repeat("ö", 101): false} {
		before, err := d.store.Passwords(t.Context(), "alice")
		_, got := p.follow("/accounts/alice/passwords", "label", label)
		after, err2 := d.store.Passwords(t.Context(), "alice")
		if err != nil || err2 != nil || (len(after) == len(before)+1) != made || strings.Contains(got.body, "The label is too long.") == made {
			t.Errorf("%d characters: %v %v\n%s", len([]rune(label)), err, err2, got.body)
		}
	}
	for name, status := range map[string]int{strings.Repeat("ö", 200): 303, strings.Repeat("ö", 201): 400} {
		if got := p.post("/accounts/alice/feeds", "detail", "full", "which", "all", "name", name); got.StatusCode != status {
			t.Errorf("a feed of %d characters: %s\n%s", len([]rune(name)), got.Status, got.body)
		}
	}
	const says = "only its first 200 characters"
	for query, told := range map[string]bool{strings.Repeat("ö", 200): false, strings.Repeat("ö", 201): true} {
		if got := p.get("/calendars/alice?q=" + url.QueryEscape(query)); strings.Contains(got.body, says) != told || strings.Contains(got.body, "…\"") {
			t.Errorf("a search for %d characters\n%s", len([]rune(query)), got.body)
		}
	}
}

// TestOutlookDoesNotAnswer: while a round waits for Outlook, no page says that all is well, and each says until when it waits.
func TestOutlookDoesNotAnswer(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.handler.Live = new(web.Live)
	d.round()
	p := d.admin()
	told := func(where string, waits bool) {
		t.Helper()
		for path, says := range map[string]string{"/accounts/alice": "It is asked again at 12:30:05.", "/": "Microsoft is not responding"} {
			got := p.get(path)
			if got.StatusCode != 200 || strings.Contains(got.body, says) != waits || strings.Contains(got.body, "In sync") == waits {
				t.Errorf("%s, %s: %s\n%s", where, path, got.Status, got.body)
			}
		}
	}
	told("before", false)
	d.handler.Live.Waits("alice", time.Date(2026, 1, 1, 12, 30, 5, 0, time.Local))
	told("while it waits", true)
	p.header.Set("Accept-Language", "de")
	if got := p.get("/accounts/alice"); !strings.Contains(got.body, "Nächster Versuch um 12:30:05 Uhr.") {
		t.Errorf("in German\n%s", got.body)
	}
	p.header.Del("Accept-Language")
	d.handler.Live.Answered("alice")
	told("once it has answered", false)
	d.handler.Live.Waits("alice", time.Date(2026, 1, 1, 12, 30, 5, 0, time.Local))
	d.handler.Live.Ended("alice")
	told("after the round", false)
}
