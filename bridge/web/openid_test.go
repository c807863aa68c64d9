package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/web"
)

// microsoftAt implements web.Microsoft on the simulated login service of a desk.
type microsoftAt struct {
	*desk
	id             *graph.OpenID
	administrators map[string]bool
}

func (m *microsoftAt) SignInURL(ctx context.Context, redirectURI, state, nonce, verifier string, mailbox bool) (string, error) {
	return m.id.SignInURL(ctx, m.accounts.authority(), redirectURI, state, nonce, verifier, mailbox)
}

func (m *microsoftAt) SignedIn(ctx context.Context, back url.Values, redirectURI, nonce, verifier string, mailbox bool) (web.MicrosoftPerson, error) {
	if err := m.accounts.authority().RedirectError(back); err != nil {
		return web.MicrosoftPerson{}, err
	}
	in, err := m.id.Identify(ctx, m.accounts.authority(), redirectURI, back.Get("code"), nonce, verifier, mailbox)
	var refused *graph.IdentityError
	if errors.As(err, &refused) {
		err = &web.Problem{Sentence: "The identity was refused."}
	}
	who := web.MicrosoftPerson{Tenant: in.Tenant, ObjectID: in.ObjectID, Name: in.Name, Address: in.Address, Administrator: m.administrators[in.ObjectID]}
	if mailbox {
		who.Connect = func(ctx context.Context, id bridge.PersonID) (string, error) {
			return m.accounts.AddFor(ctx, "mine-"+in.Address[:3], id)
		}
	}
	return who, err
}

// office is a desk where people sign in with Microsoft: alice, whose account is her own by her object id, and bob, who has nothing.
type office struct {
	*desk
	microsoft *microsoftAt
	bob       *graphsim.Mailbox
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{desk: newDesk(t)}
	o.bob = o.sim.AddMailbox("bob@contoso.example", "Bob", "UTC")
	o.microsoft = &microsoftAt{desk: o.desk, id: &graph.OpenID{Tenants: []string{graphsim.TenantID()}}, administrators: map[string]bool{}}
	o.handler.Microsoft = o.microsoft
	o.setPassword(adminPassword)
	o.meeting(secretTitle)
	o.round()
	row, err := o.store.Account(t.Context(), "alice")
	if err == nil {
		err = o.store.SetIdentity(t.Context(), row.ID, graphsim.TenantID(), o.box.UserID())
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// at signs somebody in at Microsoft, as the page there does, and returns where the browser is sent back to.
func (o *office) at(begin answer, m *graphsim.Mailbox) string {
	o.Helper()
	to, err := url.Parse(begin.Header.Get("Location"))
	if err != nil || to.Host != "outlook.test" {
		o.Fatalf("not sent to Microsoft: %s %v\n%s", begin.Status, begin.Header, begin.body)
	}
	q := to.Query()
	if q.Get("redirect_uri") != "https://calendar.example.com/auth/callback" || q.Get("nonce") == "" || q.Get("code_challenge_method") != "S256" || q.Get("response_type") != "code" {
		o.Errorf("asked with %v", q)
	}
	q.Set("account", m.Address())
	to.RawQuery = q.Encode()
	client := o.sim.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Get(to.String())
	if err != nil {
		o.Fatal(err)
	}
	back, err := resp.Location()
	if err != nil {
		o.Fatal(err, resp.Status)
	}
	return back.RequestURI()
}

// enter signs in with Microsoft.
func (o *office) enter(p *person, m *graphsim.Mailbox) answer {
	o.Helper()
	return p.get(o.at(p.get("/sign-in/microsoft"), m))
}

func (p *person) signedIn() bool { p.Helper(); return p.get("/settings").StatusCode == 200 }

// beforeSetUp is a store in which the administrator has no password.
type beforeSetUp struct{ web.Store }

func (beforeSetUp) Administrator(context.Context) (string, error) { return "", bridge.ErrNotFound }

// TestSignInBeforeTheSetUp: a bridge whose administrator has no password yet is closed to nobody else.
func TestSignInBeforeTheSetUp(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.handler.Store = beforeSetUp{o.handler.Store}
	got := o.somebody().get("/accounts/alice")
	if got = o.somebody().get(got.Header.Get("Location")); got.StatusCode != 200 || !strings.Contains(got.body, "/sign-in/microsoft?next=%2faccounts%2falice") ||
		!strings.Contains(got.body, `href="/setup"`) || strings.Contains(got.body, `name="password"`) {
		t.Errorf("with Microsoft: %s\n%s", got.Status, got.body)
	}
	if got := o.somebody().get("/"); !strings.Contains(got.body, `href="/sign-in"`) {
		t.Errorf("the front page\n%s", got.body)
	}
	o.handler.Microsoft = nil
	if got := o.somebody().get("/sign-in"); got.Header.Get("Location") != "/setup" {
		t.Errorf("before anybody is there: %s\n%s", got.Status, got.body)
	}

	f := newFamily(t)
	f.handler.Store = beforeSetUp{f.handler.Store}
	carol := f.somebody()
	if got := carol.get("/sign-in"); got.StatusCode != 200 || !strings.Contains(got.body, `name="name"`) || !strings.Contains(got.body, `href="/setup"`) {
		t.Errorf("with a password: %s\n%s", got.Status, got.body)
	}
	if got := carol.post("/sign-in", "name", "Carol", "password", "wrong wrong wrong"); got.StatusCode != 403 {
		t.Errorf("a wrong password: %s\n%s", got.Status, got.body)
	}
	if got := carol.post("/sign-in", "name", "Nobody", "password", personPassword); got.StatusCode != 403 {
		t.Errorf("nobody: %s\n%s", got.Status, got.body)
	}
	if got := carol.post("/sign-in", "name", "Carol", "password", personPassword); got.StatusCode != 303 || got.Header.Get("Location") != "/" || !carol.signedIn() {
		t.Errorf("Carol: %s\n%s", got.Status, got.body)
	}
	if got := f.somebody().post("/sign-in", "password", adminPassword); got.Header.Get("Location") != "/setup" {
		t.Errorf("the administrator: %s\n%s", got.Status, got.body)
	}
}

func TestSignInWithMicrosoft(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	if got := o.somebody().get("/sign-in"); !strings.Contains(got.body, "Sign in with Microsoft") {
		t.Errorf("%s\n%s", got.Status, got.body)
	}
	alice := o.somebody()
	if got := o.enter(alice, o.box); got.StatusCode != 303 || got.Header.Get("Location") != "/" {
		t.Fatalf("%s\n%s", got.Status, got.body)
	}
	if got := alice.get("/calendars/alice?q=merger"); got.StatusCode != 200 || !strings.Contains(got.body, secretTitle) {
		t.Errorf("her calendar: %s", got.Status)
	}
	if got := alice.get("/people"); got.StatusCode != 403 {
		t.Errorf("the set-up: %s", got.Status)
	}
	if got := alice.get("/settings"); strings.Contains(got.body, `name="current"`) {
		t.Error("she is asked for a password that she does not have")
	}
	// The administrator by password sees that there is an account, and none of its events.
	admin := o.somebody()
	admin.post("/sign-in", "password", adminPassword)
	if got := admin.get("/calendars/alice"); got.StatusCode != 403 {
		t.Errorf("the administrator: %s", got.Status)
	}
	// Bob has nothing here: he is told what to do, and is not signed in.
	bob := o.somebody()
	if got := o.enter(bob, o.bob); got.StatusCode != 403 || !strings.Contains(got.body, o.bob.UserID()) || bob.signedIn() {
		t.Errorf("bob: %s\n%s", got.Status, got.body)
	}
	o.microsoft.administrators[o.bob.UserID()] = true
	if got := o.enter(bob, o.bob); got.StatusCode != 303 {
		t.Fatalf("bob as an administrator: %s\n%s", got.Status, got.body)
	}
	if got := bob.get("/people"); got.StatusCode != 200 {
		t.Errorf("the people: %s", got.Status)
	}
	if got := bob.get("/calendars/alice"); got.StatusCode != 403 {
		t.Errorf("alice's events: %s", got.Status)
	}
	// A day later Microsoft is asked again, whatever was used in between.
	for range 5 {
		o.later(5 * time.Hour)
		alice.get("/")
	}
	if alice.signedIn() || bob.signedIn() {
		t.Error("a sign-in of Microsoft's lasts for longer than a day")
	}
	records, err := o.store.Records(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var acts []string
	for _, r := range records {
		acts = append(acts, string(r.What)+" "+r.Who)
	}
	for _, want := range []string{"signed-in alice@contoso.example", "sign-in-refused bob@contoso.example", "signed-in bob@contoso.example", "signed-in administrator"} {
		if !strings.Contains(strings.Join(acts, "\n"), want) {
			t.Errorf("no %q in the record: %q", want, acts)
		}
	}
}

// TestAttacksOnTheWayBack are those on what the browser brings back. What id tokens are refused is in bridge/graph.
func TestAttacksOnTheWayBack(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	refused := func(name string, p *person, path string) {
		t.Helper()
		got := p.get(path)
		if got.StatusCode < 400 || p.signedIn() {
			t.Errorf("%s: %s, signed in: %v\n%s", name, got.Status, p.signedIn(), got.body)
		}
	}
	// The state of another browser: somebody has the victim follow the way back of their own sign-in.
	attacker, victim := o.somebody(), o.somebody()
	back := o.at(attacker.get("/sign-in/microsoft"), o.box)
	refused("a browser that has begun nothing", victim, back)
	o.at(victim.get("/sign-in/microsoft"), o.box)
	refused("a browser that has begun another", victim, back)
	if got := attacker.get(back); got.StatusCode != 303 || !attacker.signedIn() {
		t.Errorf("whose sign-in it is: %s", got.Status)
	}
	// Replayed.
	refused("a way back that was used, elsewhere", o.somebody(), back)
	attacker.post("/sign-out")
	refused("a way back that was used, here", attacker, back)

	p := o.somebody()
	q := func(path string, set ...string) string {
		u, err := url.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		for i := 0; i < len(set); i += 2 {
			q.Set(set[i], set[i+1])
		}
		return u.Path + "?" + q.Encode()
	}
	fresh := func() string { return o.at(p.get("/sign-in/microsoft"), o.box) }
	refused("an invented state", p, q(fresh(), "state", "invented"))
	refused("no state", p, "/auth/callback?code=x")
	// The code of somebody else's sign-in, injected into one's own.
	stolen, err := url.Parse(o.at(o.somebody().get("/sign-in/microsoft"), o.box))
	if err != nil {
		t.Fatal(err)
	}
	refused("a stolen code", p, q(fresh(), "code", stolen.Query().Get("code")))
	// The code of a sign-in of a mailbox, whose way back is the same address.
	admin := o.somebody()
	admin.post("/sign-in", "password", adminPassword)
	if _, err := o.store.AddAccount(t.Context(), "shared", ""); err != nil {
		t.Fatal(err)
	}
	begin := admin.get("/accounts/shared/sign-in/browser")
	mailbox := begin.Header.Get("Location")
	u, err := url.Parse(mailbox)
	if err != nil || u.Query().Get("state") == "" {
		t.Fatal(begin.Status, mailbox)
	}
	refused("the state of a mailbox's sign-in", p, q(fresh(), "state", u.Query().Get("state")))
	refused("an error for the code", p, q(fresh(), "error", "access_denied", "error_description", "AADSTS65004: no"))
	late := fresh()
	o.later(16 * time.Minute)
	refused("too late", p, late)
	// A link on another site begins nothing.
	p.header.Set("Sec-Fetch-Site", "cross-site")
	if got := p.get("/sign-in/microsoft"); got.Header.Get("Location") != "/sign-in" {
		t.Errorf("another site begins a sign-in: %s %s", got.Status, got.Header.Get("Location"))
	}
	p.header.Del("Sec-Fetch-Site")
	// Where it leads afterwards is a page of ours.
	for _, next := range []string{"https://evil.example/", "//evil.example/", `/\evil.example`} {
		mine := o.somebody()
		got := mine.get(o.at(mine.get("/sign-in/microsoft?next="+url.QueryEscape(next)), o.box))
		if got.StatusCode != 303 || got.Header.Get("Location") != "/" {
			t.Errorf("%s leads to %s", next, got.Header.Get("Location"))
		}
	}
}

// A session that somebody has put into the browser before the sign-in is worth nothing after it.
func TestSessionFixation(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	name := cookieOf(o.desk, "outbridge")
	for _, way := range []string{"Microsoft", "password"} {
		attacker := o.somebody()
		attacker.post("/sign-in", "password", adminPassword)
		at, err := url.Parse(o.url)
		if err != nil {
			t.Fatal(err)
		}
		var planted *http.Cookie
		for _, c := range attacker.client.Jar.Cookies(at) {
			if c.Name == name {
				planted = c
			}
		}
		if planted == nil {
			t.Fatal("no session")
		}
		victim := o.somebody()
		victim.client.Jar.SetCookies(at, []*http.Cookie{planted, {Name: cookieOf(o.desk, "outbridge-sign-in"), Value: "planted"}})
		if way == "Microsoft" {
			o.enter(victim, o.box)
		} else {
			victim.post("/sign-in", "password", adminPassword)
		}
		for _, c := range victim.client.Jar.Cookies(at) {
			if c.Name == name && c.Value == planted.Value {
				t.Errorf("%s: the session is still the one that was planted", way)
			}
		}
		if attacker.signedIn() {
			t.Errorf("%s: who has planted it has the session", way)
		}
	}
}

// Who somebody is, is said by tenant and object id, whatever their address is.
func TestAddressesTellNobody(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	alice := o.somebody()
	o.enter(alice, o.box)
	people := func() int {
		list, err := o.store.People(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	// A new address: the same person.
	o.sim.IDToken = func(t *graphsim.IDToken) {
		t.Claims["preferred_username"], t.Claims["email"] = "married@contoso.example", "married@contoso.example"
	}
	again := o.somebody()
	if got := o.enter(again, o.box); got.StatusCode != 303 || again.get("/calendars/alice").StatusCode != 200 || people() != 1 {
		t.Errorf("with a new address: %s, %d people", got.Status, people())
	}
	// Her address with another object id, or in another tenant: nobody.
	for name, forge := range map[string]func(*graphsim.IDToken){
		"another object id": func(t *graphsim.IDToken) { t.Claims["oid"] = "33333333-3333-3333-3333-333333333333" },
		"another tenant": func(t *graphsim.IDToken) {
			t.Claims["tid"], t.Claims["iss"] = "22222222-2222-2222-2222-222222222222", "http://outlook.test/22222222-2222-2222-2222-222222222222/v2.0"
		},
	} {
		o.sim.IDToken = forge
		p := o.somebody()
		if got := o.enter(p, o.box); got.StatusCode != 403 || p.signedIn() || people() != 1 {
			t.Errorf("%s: %s, %d people\n%s", name, got.Status, people(), got.body)
		}
	}
	// Where everybody of the tenant may connect a mailbox, the other object id is another person, who has nothing of hers.
	o.handler.Connect = true
	o.sim.IDToken = func(t *graphsim.IDToken) { t.Claims["oid"] = "33333333-3333-3333-3333-333333333333" }
	p := o.somebody()
	if got := o.enter(p, o.box); got.StatusCode != 303 || people() != 2 {
		t.Fatalf("%s, %d people\n%s", got.Status, people(), got.body)
	}
	if got := p.get("/accounts/alice"); got.StatusCode != 404 {
		t.Errorf("hers: %s", got.Status)
	}
}

func TestConnectMyCalendar(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.handler.Connect = true
	bob := o.somebody()
	if got := o.enter(bob, o.bob); got.StatusCode != 303 {
		t.Fatalf("%s\n%s", got.Status, got.body)
	}
	if got := bob.get("/"); got.Header.Get("Location") != "/connect" {
		t.Errorf("%s %s", got.Status, got.Header.Get("Location"))
	}
	if got := bob.get("/connect"); !strings.Contains(got.body, "/connect/microsoft") {
		t.Errorf("%s\n%s", got.Status, got.body)
	}
	// Somebody else's mailbox is not his own, nor is a way back of another session.
	if got := bob.get(o.at(bob.get("/connect/microsoft"), o.box)); got.StatusCode != 403 {
		t.Errorf("alice's mailbox: %s\n%s", got.Status, got.body)
	}
	back := o.at(bob.get("/connect/microsoft"), o.bob)
	bob.post("/sign-out")
	o.enter(bob, o.bob)
	if got := bob.get(back); got.StatusCode < 400 {
		t.Errorf("of another session: %s", got.Status)
	}
	if got := bob.get(o.at(bob.get("/connect/microsoft"), o.bob)); got.StatusCode != 303 || !strings.HasPrefix(got.Header.Get("Location"), "/accounts/mine-bob") {
		t.Fatalf("%s\n%s", got.Status, got.body)
	}
	if got := bob.get("/accounts/mine-bob"); got.StatusCode != 200 {
		t.Errorf("his account: %s", got.Status)
	}
	// One is what each may connect, and alice has hers.
	if got := bob.get("/connect/microsoft"); got.StatusCode != 400 {
		t.Errorf("a second one: %s", got.Status)
	}
	alice := o.somebody()
	o.enter(alice, o.box)
	if got := alice.get("/connect/microsoft"); got.StatusCode != 400 {
		t.Errorf("alice, who has an account: %s", got.Status)
	}
	if got := alice.get("/accounts/mine-bob"); got.StatusCode != 404 {
		t.Errorf("bob's account: %s", got.Status)
	}
}

// An invitation can be accepted with Microsoft, once, by who has no sign-in yet.
func TestInvitationWithMicrosoft(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	invite := func() string {
		_, secret, err := o.store.AddInvitation(t.Context(), bridge.Invitation{Name: "Bob", Created: o.now(), Expires: o.now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		return "/invitation/" + secret
	}
	bob, link := o.somebody(), invite()
	if got := bob.get(link); !strings.Contains(got.body, link+"/microsoft") {
		t.Fatalf("%s\n%s", got.Status, got.body)
	}
	if got := bob.get(o.at(bob.get(link+"/microsoft"), o.bob)); got.StatusCode != 303 || !bob.signedIn() {
		t.Fatalf("%s\n%s", got.Status, got.body)
	}
	other := o.somebody()
	if got := other.get(link + "/microsoft"); got.StatusCode != 400 {
		t.Errorf("used twice: %s", got.Status)
	}
	if got := other.get(o.at(other.get(invite()+"/microsoft"), o.bob)); got.StatusCode != 400 || other.signedIn() {
		t.Errorf("somebody who has a sign-in: %s\n%s", got.Status, got.body)
	}
	// He signs in again without one.
	if got := o.enter(other, o.bob); got.StatusCode != 303 || other.get("/connect").StatusCode != 200 {
		t.Errorf("%s\n%s", got.Status, got.body)
	}
}

// Microsoft's login service is down: a page says so.
func TestLoginServiceDown(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.sim.Fault = func(*http.Request) *graphsim.Fault { return &graphsim.Fault{Status: 503} }
	got := o.somebody().get("/sign-in/microsoft")
	if got.StatusCode != 503 || !strings.Contains(got.body, "not available at the moment") || !strings.Contains(got.body, `name="password"`) {
		t.Errorf("%s\n%s", got.Status, got.body)
	}
}
