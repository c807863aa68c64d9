package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// employee is a browser that signs in at the simulated Microsoft as whom it is told.
type employee struct {
	*testing.T
	client http.Client
	at     string // of the bridge
	as     string // address at Microsoft
}

func newEmployee(t *testing.T, at, as string) *employee {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &employee{T: t, at: at, as: as, client: http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// get follows redirects to the page that is shown, through Microsoft's.
func (v *employee) get(path string) (status int, where, body string) {
	v.Helper()
	at := v.at + path
	for range 10 {
		u, err := url.Parse(at)
		if err != nil {
			v.Fatal(err)
		}
		if strings.HasSuffix(u.Path, "/authorize") {
			q := u.Query()
			q.Set("account", v.as)
			u.RawQuery = q.Encode()
		}
		resp, err := v.client.Get(u.String())
		if err != nil {
			v.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			v.Fatal(err)
		}
		next, err := resp.Location()
		if err != nil {
			return resp.StatusCode, u.Path, string(b)
		}
		at = next.String()
	}
	v.Fatalf("%s leads nowhere", path)
	return 0, "", ""
}

// expect wants a status, and that the page has, or has not ("!…"), some texts.
func (v *employee) expect(path string, status int, texts ...string) {
	v.Helper()
	got, where, body := v.get(path)
	if got != status {
		v.Errorf("%s as %s: %d at %s, not %d\n%s", path, v.as, got, where, status, body)
	}
	for _, text := range texts {
		absent, not := strings.CutPrefix(text, "!")
		if strings.Contains(body, absent) == not {
			v.Errorf("%s as %s: %q\n%s", path, v.as, text, body)
		}
	}
}

func pagesConfigFor(t *testing.T, o *outlook, more string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
listen = "127.0.0.1:0"
push = false
[microsoft]
cloud = "custom"
login_url = %q
graph_url = %q
tenant = %q
client_id = %q
client_secret_file = "secret"
[sync]
interval = "5s"
%s`, o.url, o.url, graphsim.TenantID(), testClientID, more)
	if err := os.WriteFile(filepath.Join(dir, "outbridge.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestPeopleOfAnOrganization: members sign in with Microsoft and find their own calendar; administrators, by list and by group, find how
// all fare; who leaves is out.
func TestPeopleOfAnOrganization(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, AppPermissions: []string{graph.PermissionMembers, graph.PermissionUsers}}
	ids := map[string]string{}
	for _, name := range []string{"alice", "bob", "carol", "dora"} {
		box := sim.AddMailbox(name+"@contoso.example", name, "UTC")
		box.Calendar().Create(graphsim.Event{Subject: "Secret of " + name, Start: time.Now().UTC().Add(time.Hour), End: time.Now().UTC().Add(2 * time.Hour)})
		ids[name] = sim.SetUser(graphsim.DirectoryUser{Name: name, UPN: name + "@contoso.example", Mail: name + "@contoso.example"})
	}
	sim.SetGroup("team", ids["alice"], ids["bob"])
	sim.SetGroup("44444444-4444-4444-4444-444444444444", ids["dora"])
	o := newOutlook(t, sim, nil)
	dir := pagesConfigFor(t, o, fmt.Sprintf("[organization]\ngroups = [\"team\"]\n[pages]\nmicrosoft = true\nadministrators = [%q]\nadministrator_group = \"44444444-4444-4444-4444-444444444444\"\n", strings.ToUpper(ids["bob"])))
	if out := outbridge(t, dir, "config", "check"); !strings.Contains(out, "is good") {
		t.Error(out)
	}
	outbridge(t, dir, "members", "sync")
	outbridge(t, dir, "sync")
	s := &served{dir: dir}
	s.restart(t)
	as := func(name string) *employee { return newEmployee(t, s.url, name+"@contoso.example") }

	alice := as("alice")
	alice.expect("/sign-in/microsoft", 200, "alice", "!bob")
	alice.expect("/calendars/alice?q=secret", 200, "Secret of alice")
	alice.expect("/accounts/bob", 404)
	alice.expect("/calendars/bob", 404)
	alice.expect("/people", 403)
	bob := as("bob")
	bob.expect("/sign-in/microsoft", 200, "alice", "bob")
	bob.expect("/calendars/bob?q=secret", 200, "Secret of bob")
	bob.expect("/accounts/alice", 200, "!Secret of alice")
	bob.expect("/calendars/alice?q=secret", 403, "!Secret of alice")
	bob.expect("/people", 200, "alice@contoso.example")
	as("carol").expect("/sign-in/microsoft", 403, ids["carol"], "no account on this bridge")
	dora := as("dora")
	dora.expect("/sign-in/microsoft", 200, "alice", "bob")
	dora.expect("/calendars/bob", 403)

	sim.SetGroup("team", ids["bob"])
	outbridge(t, dir, "members", "sync")
	alice.expect("/calendars/alice?q=secret", 404, "!Secret of alice")
	as("alice").expect("/sign-in/microsoft", 403)
	record := outbridge(t, dir, "record")
	for _, want := range []string{"alice@contoso.example  signed in", "carol@contoso.example  was refused", "bob@contoso.example    signed in"} {
		if !strings.Contains(record, want) {
			t.Errorf("no %q in the record:\n%s", want, record)
		}
	}
	if strings.Contains(record, "Secret") {
		t.Errorf("the record tells of events:\n%s", record)
	}
}

// TestConnectMyCalendar: somebody without an account connects their mailbox, which is theirs alone, by the same sign-in.
func TestConnectMyCalendar(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID}
	box := sim.AddMailbox("kim@contoso.example", "Kim", "UTC")
	box.Calendar().Create(graphsim.Event{Subject: "Secret of Kim", Start: time.Now().UTC().Add(time.Hour), End: time.Now().UTC().Add(2 * time.Hour)})
	sim.AddMailbox("pat@contoso.example", "Pat", "UTC")
	o := newOutlook(t, sim, nil)
	dir := pagesConfigFor(t, o, "[pages]\nmicrosoft = true\nconnect = true\n")
	s := &served{dir: dir}
	s.restart(t)
	kim := newEmployee(t, s.url, "kim@contoso.example")
	kim.expect("/sign-in/microsoft", 200, "Connect my calendar")
	kim.as = "pat@contoso.example"
	kim.expect("/connect/microsoft", 403, "somebody else")
	kim.as = "kim@contoso.example"
	kim.expect("/connect/microsoft", 200, "Your calendar is connected")
	eventually(t, "Kim's event", func() bool {
		status, _, body := kim.get("/calendars/kim?q=secret")
		return status == 200 && strings.Contains(body, "Secret of Kim")
	})
	// Pat finds nothing of it, nor does Kim's account take Pat's mailbox.
	pat := newEmployee(t, s.url, "pat@contoso.example")
	pat.expect("/sign-in/microsoft", 200, "Connect my calendar", "!kim")
	pat.expect("/accounts/kim", 404)
	kim.as = "pat@contoso.example"
	kim.expect("/accounts/kim/sign-in/browser", 200, "belongs to kim@contoso.example")
	kim.expect("/calendars/kim?q=secret", 200, "Secret of Kim")
}

func TestPagesConfig(t *testing.T) {
	t.Parallel()
	const id = "11111111-2222-3333-4444-555555555555"
	for _, c := range []struct{ text, want string }{
		{"[pages]\nconnect = true\n", "pages.connect needs pages.microsoft = true"},
		{"[pages]\nmicrosoft = true\nadministrators = [\"boss@contoso.com\"]\n", "never like an address"},
		{"[pages]\nmicrosoft = true\nadministrator_group = \"admins\"\n", "copy the Object ID of the group"},
		{"[pages]\nmicrosoft = true\ntenants = [\"contoso.com\"]\n", "is no ID"},
		{"public_url = \"http://calendar.example.com\"\n[pages]\nmicrosoft = true\n", "needs a public_url with https"},
		{"[microsoft]\nclient_id = \"" + id + "\"\n[pages]\nmicrosoft = true\n", "would let in people of any organization"},
		{"[microsoft]\nclient_id = \"" + id + "\"\n[pages]\nmicrosoft = true\ntenants = [\"consumers\"]\n", ""},
		{"[microsoft]\nclient_id = \"" + id + "\"\ntenant = \"" + strings.ToUpper(id) + "\"\n[pages]\nmicrosoft = true\n[[account]]\nname = \"a\"\nobject_id = \"" + id + "\"\n", ""},
		{"[microsoft]\nclient_id = \"" + id + "\"\n[[account]]\nname = \"a\"\nobject_id = \"" + id + "\"\n", "object_id needs microsoft.tenant"},
		{"[[account]]\nname = \"a\"\nobject_id = \"a@contoso.com\"\n", "copy the Object ID of the person"},
	} {
		conf := defaultConfig()
		err := parseConfig([]byte(c.text), &conf)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n%v, not %q", c.text, err, c.want)
		}
	}
}

// TestAdministratorsOfOneTenant: an object id is one person of one tenant, and the same id in another that may sign in is nobody.
func TestAdministratorsOfOneTenant(t *testing.T) {
	t.Parallel()
	const ours, theirs, boss, group = "aaaaaaaa-0000-0000-0000-000000000001", "bbbbbbbb-0000-0000-0000-000000000002", "cccccccc-0000-0000-0000-000000000003", "dddddddd-0000-0000-0000-000000000004"
	for name, c := range map[string]struct {
		tenant  string
		tenants []string
	}{
		"the tenant of the app": {strings.ToUpper(ours), []string{theirs, ours}}, "the only one": {"organizations", []string{strings.ToUpper(ours)}},
		"the first": {"organizations", []string{strings.ToUpper(ours), theirs}},
	} {
		m := &webMicrosoft{accounts: &webAccounts{p: &program{registration: bridge.Registration{Tenant: c.tenant}, conf: &config{
			Pages: pagesConfig{Tenants: c.tenants, Administrators: []string{boss}, AdministratorGroup: group}}}}}
		for _, in := range []graph.SignedIn{{ObjectID: boss}, {ObjectID: ours, Groups: []string{group}}} {
			for _, in.Tenant = range []string{ours, theirs} {
				if is, err := m.administrator(t.Context(), in); err != nil || is != (in.Tenant == ours) {
					t.Errorf("%s: %+v: %v, %v", name, in, is, err)
				}
			}
		}
	}
}
