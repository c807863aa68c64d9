package web_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/sqlstore"
)

// follow sends a form, and goes where it leads as a browser does.
func (p *person) follow(path string, pairs ...string) (at string, shown answer) {
	p.Helper()
	got := p.post(path, pairs...)
	at = got.Header.Get("Location")
	if got.StatusCode != http.StatusSeeOther || at == "" {
		p.Fatalf("POST %s is not answered with a redirect: %s\n%s", path, got.Status, got.body)
	}
	return at, p.get(at)
}

// targets are a web.Notices that counts what is asked of it.
type targets struct {
	list []bridge.NoticeTarget
	sent int
}

func (n *targets) Targets(context.Context) ([]bridge.NoticeTarget, error) { return n.list, nil }

func (n *targets) Add(_ context.Context, address, _ string) (string, error) {
	n.list = append(n.list, bridge.NoticeTarget{ID: "1", URL: address, Service: "ntfy", Where: "ntfy.example"})
	return "1", nil
}

func (n *targets) Remove(context.Context, string) error {
	n.list = nil
	return nil
}

func (n *targets) Test(context.Context, string) (bridge.NoticeFailure, error) {
	n.sent++
	return bridge.NoticeFailure{}, nil
}

var newSecret = regexp.MustCompile(`id="(?:new-secret|profile-link)" class="secret" readonly value="([^"]+)"`)

// TestReloadAfterEachForm: what a form leads to can be reloaded, and makes nothing a second time.
func TestReloadAfterEachForm(t *testing.T) {
	t.Parallel()
	reloadAfterEachForm(t, newDesk(t))
}

func TestReloadOnTwoMachines(t *testing.T) {
	t.Parallel()
	reloadAfterEachForm(t, newTwins(t))
}

func reloadAfterEachForm(t *testing.T, d *desk) {
	d.meeting("Review")
	d.round()
	notices := new(targets)
	for _, h := range d.handlers {
		h.Notices = notices
	}
	p := d.admin()
	if _, err := d.store.AddPerson(t.Context(), bridge.Person{Name: "Gone", Created: d.now()}, ""); err != nil {
		t.Fatal(err)
	}
	count := func() (n [5]int) {
		passwords, err := d.store.Passwords(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		feeds, err := d.store.Feeds(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		sessions, err := d.store.Sessions(t.Context(), 0, d.now())
		if err != nil {
			t.Fatal(err)
		}
		return [5]int{len(passwords), len(feeds), len(sessions), len(notices.list), notices.sent}
	}
	forms := []struct {
		path   string
		form   []string
		secret bool
	}{
		{"/accounts/alice/passwords", []string{"label", "laptop"}, true},
		{"/accounts/alice/feeds", []string{"detail", "full", "kept", "on"}, true},
		{"/accounts/alice/feeds/1/rotate", nil, true},
		{"/accounts/alice/feeds/1/show", nil, true},
		{"/accounts/alice/feeds/1", []string{"detail", "busy"}, false},
		{"/accounts/alice/feeds/1/show", nil, false}, // its address is not kept any more
		{"/accounts/alice/profile", nil, true},
		{"/accounts/alice/sync", nil, false},
		{"/accounts/alice/changes/resume", nil, false},
		{"/accounts/alice/compare", nil, false},
		{"/accounts/alice/options", []string{"which", "all"}, false},
		{"/accounts/alice/sign-in", nil, false},
		{"/accounts/alice/sign-in/cancel", nil, false},
		{"/new-account", []string{"name", "bob"}, false},
		{"/accounts/bob/changes", []string{"access", "replies"}, false},
		{"/accounts/bob/options", []string{"which", "all"}, false},
		{"/accounts/bob/remove", nil, false},
		{"/app", []string{"client_id", "app"}, false},
		{"/settings/sync", []string{"interval", "2m"}, false},
		{"/settings/notify", []string{"address", "ntfy://ntfy.example/calendars"}, false},
		{"/settings/notify/1/test", nil, false},
		{"/settings/notify/1/remove", nil, false},
		{"/accounts/alice/feeds/1/remove", nil, false},
		{"/accounts/alice/passwords/1/revoke", nil, false},
		{"/people/invitations", []string{"name", "Dora"}, true},
		{"/people/invitations/1/end", nil, false},
		{"/people/1/remove", nil, false},
		{"/settings/password", []string{"current", adminPassword, "password", adminPassword, "repeat", adminPassword}, false},
		{"/settings/sessions/99", nil, false},
	}
	for _, c := range forms {
		at, first := p.follow(c.path, c.form...)
		before := count()
		again := p.get(at)
		if first.StatusCode != 200 && first.StatusCode != 303 || again.StatusCode != first.StatusCode || count() != before {
			t.Errorf("%s: %s, and once more %s; %v, then %v\n%s", c.path, first.Status, again.Status, before, count(), again.body)
		}
		if !c.secret {
			continue
		}
		one, two := newSecret.FindStringSubmatch(first.body), newSecret.FindStringSubmatch(again.body)
		if one == nil || two == nil || one[1] != two[1] {
			t.Errorf("%s: the reload shows %q, not %q\n%s", c.path, two, one, first.body)
			continue
		}
		if first.Header.Get("Cache-Control") != "no-store" || strings.Contains(at, one[1]) {
			t.Errorf("%s: the secret may be kept: %v, %s", c.path, first.Header, at)
		}
		// Another session does not see it, whatever it knows.
		other := d.somebody()
		if got := other.post("/sign-in", "password", adminPassword); got.StatusCode != 303 {
			t.Fatal(got.Status)
		}
		if got := other.get(at); got.StatusCode != 200 || strings.Contains(got.body, one[1]) {
			t.Errorf("%s: another session: %s", c.path, got.Status)
		}
		d.later(time.Minute)
		if got := p.get(at); got.StatusCode != 200 || strings.Contains(got.body, one[1]) || !strings.Contains(got.body, "shown for a minute") {
			t.Errorf("%s: after a minute: %s\n%s", c.path, got.Status, got.body)
		}
	}
	emil := d.somebody()
	_, link, err := d.store.AddInvitation(t.Context(), bridge.Invitation{Name: "Emil", Created: d.now(), Expires: d.now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	emil.follow("/invitation/"+link, "name", "Emil", "password", adminPassword, "repeat", adminPassword)
	emil.follow("/connect")
	walked := []string{"/invitation/x", "/connect", "/setup", "/sign-in", "/sign-out", "/settings/sign-out"}
	for _, path := range []string{"/settings/sign-out", "/sign-out"} {
		if at, _ := p.follow(path); at != "/sign-in" && at != "/" {
			t.Errorf("%s leads to %s", path, at)
		}
		p.follow("/sign-in", "password", adminPassword)
	}
	if at, _ := p.follow("/setup"); at != "/sign-in" {
		t.Errorf("the set-up leads to %s", at)
	}
	for _, c := range forms {
		walked = append(walked, c.path)
	}
	routes, err := os.ReadFile("routes.go")
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`"POST ([^"]+)"`).FindAllSubmatch(routes, -1)
	for _, r := range list {
		pattern := regexp.MustCompile("^" + regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(string(r[1]), "[^/]+") + "$")
		if !slices.ContainsFunc(walked, pattern.MatchString) {
			t.Errorf("no test reloads after POST %s", r[1])
		}
	}
	if len(list) < 20 {
		t.Errorf("only %d forms are in routes.go", len(list))
	}
}

// TestRevokingAsks: the link in the list leads to a question, and only its answer revokes.
func TestRevokingAsks(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	p := d.admin()
	_, secret, err := d.store.AddPassword(t.Context(), "alice", "laptop", d.now())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.store.AddFeed(t.Context(), bridge.Feed{User: "alice", Name: "Team", Detail: bridge.DetailFull, Created: d.now()}); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		"/accounts/alice/passwords/1/revoke": "Revoke the app password for laptop?",
		"/accounts/alice/feeds/1/rotate":     "New address for the feed Team?",
		"/accounts/alice/feeds/1/remove":     "Remove the feed Team?",
	} {
		got := p.get(path)
		if got.StatusCode != 200 || !strings.Contains(got.body, says) || !strings.Contains(got.body, `<form method="post" action="`+path+`">`) || !strings.Contains(got.body, "has not been used yet") {
			t.Errorf("%s: %s\n%s", path, got.Status, got.body)
		}
	}
	if _, ok, err := d.store.CheckPassword(t.Context(), "alice", secret); !ok || err != nil {
		t.Error("asking has revoked it", err)
	}
	if got := p.get("/accounts/alice/passwords/2/revoke"); got.StatusCode != 404 {
		t.Error(got.Status)
	}
}

// TestKeptAddress: the address of a feed can be read again by those who chose that.
func TestKeptAddress(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	p := d.admin()
	_, first := p.follow("/accounts/alice/feeds", "detail", "full", "kept", "on")
	address := newSecret.FindStringSubmatch(first.body)[1]
	if got := p.get("/accounts/alice/feeds"); strings.Contains(got.body, address) || !strings.Contains(got.body, "Show address") {
		t.Errorf("the list:\n%s", got.body)
	}
	d.later(time.Hour)
	if _, got := p.follow("/accounts/alice/feeds/1/show"); !strings.Contains(got.body, `value="`+address+`"`) {
		t.Errorf("the address is not shown again:\n%s", got.body)
	}
	p.follow("/accounts/alice/feeds/1", "detail", "full")
	if _, got := p.follow("/accounts/alice/feeds/1/show"); strings.Contains(got.body, address) || !strings.Contains(got.body, "is not kept") {
		t.Errorf("it is shown though it is not kept:\n%s", got.body)
	}
}

// TestLastUse: who used what is noted once an hour, and shown by the client's name.
func TestLastUse(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.meeting("Review")
	d.round()
	p := d.admin()
	address, _ := d.feed(bridge.Feed{})
	if got := d.get(address, "User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.1.0"); got.StatusCode != 200 {
		t.Fatal(got.Status)
	}
	if err := d.store.Close(); err != nil { // which waits for what is to be written
		t.Fatal(err)
	}
	dir := filepath.Dir(d.cache)
	key, err := sqlstore.ReadKey(filepath.Join(dir, "outbridge.key"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := sqlstore.Open(t.Context(), d.database, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	d.store.Store = again
	list, err := d.store.Feeds(t.Context(), "alice")
	if err != nil || len(list) != 1 || list[0].Used.IsZero() || !strings.Contains(list[0].Client, "Thunderbird") {
		t.Fatalf("%+v, %v", list, err)
	}
	got := p.get("/accounts/alice/feeds")
	if !strings.Contains(got.body, `within the hour <span class="soft">Thunderbird</span>`) {
		t.Errorf("%s\n%s", got.Status, got.body)
	}
}

func TestUnknownAddress(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	p := d.somebody()
	for _, path := range []string{"/nothing", "/accounts", "/a//b", "/calendars/alice/x/y/z", "/nothing?shown=x"} {
		got := p.get(path)
		if got.StatusCode != 404 || !strings.Contains(got.body, "There is no such page") || !strings.Contains(got.body, `href="/">Back`) {
			t.Errorf("%s: %s\n%s", path, got.Status, got.body)
		}
	}
	if got := p.post("/nothing"); got.StatusCode != 404 {
		t.Error(got.Status)
	}
	// What only forms are sent to, which stays in the address bar after an answer to one that was wrong.
	p = d.admin()
	for _, path := range []string{"/settings/password", "/sign-out", "/accounts/alice/sync", "/people/invitations"} {
		got := p.get(path)
		if got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") != "POST" || !strings.Contains(got.body, "Nothing can be read at this address.") || !strings.Contains(got.body, `href="/">Back`) {
			t.Errorf("%s: %s\n%s", path, got.Status, got.body)
		}
	}
	if got := p.send("PUT", "/settings", url.Values{}); got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") == "" {
		t.Error(got.Status)
	}
}

// TestCookiesOfTwoBridges: cookies know no ports, so two bridges on one host have different ones.
func TestCookiesOfTwoBridges(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, address := range []string{"http://127.0.0.1:8080", "http://127.0.0.1:9090", "https://example.com/one", "https://example.com/two"} {
		d := newDesk(t)
		d.handler.PublicURL = address
		d.setPassword(adminPassword)
		got := d.somebody().post("/sign-in", "password", adminPassword)
		if len(got.Cookies()) != 2 {
			t.Fatal(got.Status, got.body)
		}
		for _, c := range got.Cookies() {
			if names[c.Name] {
				t.Errorf("%s has the cookie %s of another bridge", address, c.Name)
			}
			names[c.Name] = true
		}
	}
}

// TestOnlyThisMachine: nothing is offered to phones that would lead them to themselves.
func TestOnlyThisMachine(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.handler.PublicURL = "http://127.0.0.1:8080"
	p := d.admin()
	got := p.get("/accounts/alice/connect")
	if strings.Contains(got.body, `class="qr"`) || strings.Contains(got.body, "Create a profile link") || !strings.Contains(got.body, "only this machine can reach") {
		t.Errorf("%s\n%s", got.Status, got.body)
	}
	if _, got := p.follow("/accounts/alice/profile"); newSecret.MatchString(got.body) || !strings.Contains(got.body, "only this machine can reach") {
		t.Errorf("%s\n%s", got.Status, got.body)
	}
	if _, got := p.follow("/accounts/alice/feeds", "detail", "full"); strings.Contains(got.body, `class="qr"`) || !strings.Contains(got.body, "only this machine can reach") {
		t.Errorf("%s\n%s", got.Status, got.body)
	}
}
