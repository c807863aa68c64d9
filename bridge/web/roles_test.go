package web_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/dav"
	"outbridge/bridge/web"
	"outbridge/bridge/write"
	"outbridge/caldav"
)

// Who asks, in the order of the columns of walks: nobody; a person whose the account is not; whose it is; an administrator; and one
// of a bridge where administrators see events.
const (
	asNobody = iota
	asOther
	asOwner
	asAdministrator
	asSeeing
	asked
)

var roleNames = [asked]string{"nobody", "another person", "the person", "an administrator", "an administrator who sees events"}

// secretTitle is that of bob's only event, which nothing says to those who may not read it.
const secretTitle = "Talk about the merger"

// walks are all routes, each with a request on what is bob's, and how it is answered to each role. Those that end something come last.
var walks = []struct {
	pattern, path string
	form          []string
	want          [asked]int
}{
	// Open to everybody; each of these decides by a secret, or shows nothing of anybody.
	{"GET /{$}", "/", nil, [asked]int{200, 303, 200, 200, 200}},
	{"GET /setup", "/setup", nil, [asked]int{303, 303, 303, 303, 303}},
	{"POST /setup", "/setup", nil, [asked]int{303, 303, 303, 303, 303}},
	{"GET /sign-in", "/sign-in", nil, [asked]int{200, 303, 303, 303, 303}},
	{"POST /sign-in", "/sign-in", []string{"password", "wrong"}, [asked]int{403, 403, 403, 403, 403}},
	{"GET /sign-in/microsoft", "/sign-in/microsoft", nil, [asked]int{404, 404, 404, 404, 404}},
	{"GET /auth/callback", "/auth/callback?state=guessed&code=x", nil, [asked]int{400, 400, 400, 400, 400}},
	{"GET /profile/{name}", "/profile/guessed.mobileconfig", nil, [asked]int{410, 410, 410, 410, 410}},
	{"GET /invitation/{secret}", "/invitation/guessed", nil, [asked]int{400, 400, 400, 400, 400}},
	{"POST /invitation/{secret}", "/invitation/guessed", nil, [asked]int{400, 400, 400, 400, 400}},
	{"GET /invitation/{secret}/microsoft", "/invitation/guessed/microsoft", nil, [asked]int{400, 400, 400, 400, 400}},
	{"/feeds/{name}", "/feeds/guessed.ics", nil, [asked]int{404, 404, 404, 404, 404}},
	{"POST /graph/notify", "/graph/notify", nil, [asked]int{400, 400, 400, 400, 400}},
	{"/metrics", "/metrics", nil, [asked]int{403, 403, 403, 403, 403}},
	{"GET /healthz", "/healthz", nil, [asked]int{200, 200, 200, 200, 200}},
	{"GET /readyz", "/readyz", nil, [asked]int{200, 200, 200, 200, 200}},
	{"GET /robots.txt", "/robots.txt", nil, [asked]int{200, 200, 200, 200, 200}},
	{"GET /style.css", "/style.css", nil, [asked]int{200, 200, 200, 200, 200}},
	{"GET /icon.svg", "/icon.svg", nil, [asked]int{200, 200, 200, 200, 200}},
	{"GET /pages.js", "/pages.js", nil, [asked]int{200, 200, 200, 200, 200}},
	{"GET /calendar.js", "/calendar.js", nil, [asked]int{200, 200, 200, 200, 200}},
	{"GET /calendar.css", "/calendar.css", nil, [asked]int{200, 200, 200, 200, 200}},

	// What is everybody's own.
	{"GET /settings", "/settings", nil, [asked]int{303, 200, 200, 200, 200}},
	{"POST /settings/password", "/settings/password", []string{"current", "wrong"}, [asked]int{303, 400, 400, 400, 400}},
	{"POST /settings/sessions/{id}", "/settings/sessions/99", nil, [asked]int{303, 303, 303, 303, 303}},
	{"GET /connect", "/connect", nil, [asked]int{303, 200, 303, 303, 303}},
	{"GET /connect/microsoft", "/connect/microsoft", nil, [asked]int{303, 400, 400, 400, 400}},
	{"POST /connect", "/connect", nil, [asked]int{303, 400, 400, 400, 400}},

	// The bridge's set-up.
	{"GET /settings/sync", "/settings/sync", nil, [asked]int{303, 403, 403, 200, 200}},
	{"POST /settings/sync", "/settings/sync", []string{"interval", "3m"}, [asked]int{303, 403, 403, 303, 303}},
	{"POST /settings/notify", "/settings/notify", []string{"address", "ntfy://x/y"}, [asked]int{303, 403, 403, 303, 303}},
	{"POST /settings/notify/{id}/test", "/settings/notify/1/test", nil, [asked]int{303, 403, 403, 303, 303}},
	{"POST /settings/notify/{id}/remove", "/settings/notify/1/remove", nil, [asked]int{303, 403, 403, 303, 303}},
	{"GET /app", "/app", nil, [asked]int{303, 403, 403, 200, 200}},
	{"POST /app", "/app", []string{"client_id", "app"}, [asked]int{303, 403, 403, 303, 303}},
	{"GET /new-account", "/new-account", nil, [asked]int{303, 403, 403, 200, 200}},
	{"POST /new-account", "/new-account", []string{"name", "dora"}, [asked]int{303, 403, 403, 303, 303}},
	{"GET /people", "/people", nil, [asked]int{303, 403, 403, 200, 200}},
	{"POST /people/invitations", "/people/invitations", []string{"name", "Dora"}, [asked]int{303, 403, 403, 303, 303}},
	{"POST /people/invitations/{id}/end", "/people/invitations/1/end", nil, [asked]int{303, 403, 403, 303, 303}},
	{"GET /people/{id}/remove", "/people/2/remove", nil, [asked]int{303, 403, 403, 200, 200}},
	{"GET /record", "/record", nil, [asked]int{303, 403, 403, 200, 200}},
	{"GET /accounts/{user}/options", "/accounts/bob/options", nil, [asked]int{303, 403, 403, 200, 200}},
	{"POST /accounts/{user}/options", "/accounts/bob/options", []string{"which", "all"}, [asked]int{303, 403, 403, 303, 303}},
	{"POST /accounts/{user}/changes", "/accounts/bob/changes", []string{"access", "replies"}, [asked]int{303, 403, 403, 303, 303}},
	{"GET /accounts/{user}/remove", "/accounts/bob/remove", nil, [asked]int{303, 403, 403, 200, 200}},

	// An account's state.
	{"GET /accounts/{user}", "/accounts/bob", nil, [asked]int{303, 404, 200, 200, 200}},
	{"GET /accounts/{user}/state", "/accounts/bob/state", nil, [asked]int{303, 404, 200, 200, 200}},
	{"GET /accounts/{user}/progress", "/accounts/bob/progress", nil, [asked]int{303, 404, 200, 200, 200}},
	{"GET /accounts/{user}/history/{calendar}", "/accounts/bob/history/calendar", nil, [asked]int{303, 404, 200, 200, 200}},
	{"POST /accounts/{user}/sync", "/accounts/bob/sync", nil, [asked]int{303, 404, 303, 303, 303}},
	{"GET /accounts/{user}/sign-in", "/accounts/bob/sign-in", nil, [asked]int{303, 404, 200, 200, 200}},
	{"POST /accounts/{user}/sign-in", "/accounts/bob/sign-in", nil, [asked]int{303, 404, 303, 303, 303}},
	{"POST /accounts/{user}/sign-in/cancel", "/accounts/bob/sign-in/cancel", nil, [asked]int{303, 404, 303, 303, 303}},
	{"GET /accounts/{user}/sign-in/state", "/accounts/bob/sign-in/state", nil, [asked]int{303, 404, 200, 200, 200}},
	{"GET /accounts/{user}/sign-in/browser", "/accounts/bob/sign-in/browser", nil, [asked]int{303, 404, 303, 303, 303}},
	{"GET /accounts/{user}/passwords", "/accounts/bob/passwords", nil, [asked]int{303, 404, 200, 200, 200}},
	{"GET /accounts/{user}/passwords/{id}/revoke", "/accounts/bob/passwords/1/revoke", nil, [asked]int{303, 404, 200, 200, 200}},
	{"GET /accounts/{user}/feeds", "/accounts/bob/feeds", nil, [asked]int{303, 404, 200, 200, 200}},
	{"GET /accounts/{user}/feeds/{id}/remove", "/accounts/bob/feeds/1/remove", nil, [asked]int{303, 404, 200, 200, 200}},
	{"GET /accounts/{user}/changes", "/accounts/bob/changes", nil, [asked]int{303, 404, 200, 200, 200}},
	{"POST /accounts/{user}/changes/resume", "/accounts/bob/changes/resume", nil, [asked]int{303, 404, 303, 303, 303}},
	{"GET /accounts/{user}/connect", "/accounts/bob/connect", nil, [asked]int{303, 404, 200, 200, 200}},
	{"GET /accounts/{user}/compare", "/accounts/bob/compare", nil, [asked]int{303, 404, 200, 200, 200}},
	{"POST /accounts/{user}/compare", "/accounts/bob/compare", nil, [asked]int{303, 404, 303, 303, 303}},
	{"GET /accounts/{user}/compare/state", "/accounts/bob/compare/state", nil, [asked]int{303, 404, 200, 200, 200}},

	// Events, and what leads to them.
	{"GET /calendars/{user}", "/calendars/bob", nil, [asked]int{303, 404, 200, 403, 200}},
	{"GET /calendars/{user}", "/calendars/bob?q=merger", nil, [asked]int{303, 404, 200, 403, 200}},
	{"GET /calendars/{user}/events.json", "/calendars/bob/events.json?start=2020-01-01&end=2020-02-01", nil, [asked]int{303, 404, 200, 403, 200}},
	{"GET /calendars/{user}/{calendar}", "/calendars/bob/calendar", nil, [asked]int{303, 404, 200, 403, 200}},
	{"GET /calendars/{user}/{calendar}/{object}", "/calendars/bob/calendar/OBJECT", nil, [asked]int{303, 404, 200, 403, 200}},
	{"GET /calendars/{user}/{calendar}/{object}/file", "/calendars/bob/calendar/OBJECT/file", nil, [asked]int{303, 404, 200, 403, 200}},
	{"GET /calendars/{user}/{calendar}/{object}/origin", "/calendars/bob/calendar/OBJECT/origin", nil, [asked]int{303, 404, 200, 403, 200}},
	{"POST /accounts/{user}/passwords", "/accounts/bob/passwords", []string{"label", "x"}, [asked]int{303, 404, 303, 403, 403}},
	{"POST /accounts/{user}/feeds", "/accounts/bob/feeds", []string{"detail", "full", "kept", "on"}, [asked]int{303, 404, 303, 403, 403}},
	{"GET /accounts/{user}/feeds/{id}", "/accounts/bob/feeds/1", nil, [asked]int{303, 404, 200, 403, 403}},
	{"POST /accounts/{user}/feeds/{id}", "/accounts/bob/feeds/1", []string{"detail", "full"}, [asked]int{303, 404, 303, 403, 403}},
	{"POST /accounts/{user}/feeds/{id}/show", "/accounts/bob/feeds/1/show", nil, [asked]int{303, 404, 303, 403, 403}},
	{"GET /accounts/{user}/feeds/{id}/rotate", "/accounts/bob/feeds/1/rotate", nil, [asked]int{303, 404, 200, 403, 403}},
	{"POST /accounts/{user}/feeds/{id}/rotate", "/accounts/bob/feeds/1/rotate", nil, [asked]int{303, 404, 303, 403, 403}},
	{"POST /accounts/{user}/profile", "/accounts/bob/profile", nil, [asked]int{303, 404, 303, 403, 403}},

	{"POST /accounts/{user}/passwords/{id}/revoke", "/accounts/bob/passwords/1/revoke", nil, [asked]int{303, 404, 303, 303, 303}},
	{"POST /accounts/{user}/feeds/{id}/remove", "/accounts/bob/feeds/1/remove", nil, [asked]int{303, 404, 303, 303, 303}},
	{"POST /accounts/{user}/remove", "/accounts/bob/remove", nil, [asked]int{303, 403, 403, 303, 303}},
	{"POST /people/{id}/remove", "/people/2/remove", nil, [asked]int{303, 403, 403, 303, 303}},
	{"POST /sign-out", "/sign-out", nil, [asked]int{303, 303, 303, 303, 303}},
	{"POST /settings/sign-out", "/settings/sign-out", nil, [asked]int{303, 303, 303, 303, 303}},
}

// mayRead are those who may read bob's events.
func mayRead(role int) bool { return role == asOwner || role == asSeeing }

// family is a desk with bob, who has an account with an event, and carol, who has none.
type family struct {
	*desk
	bob, carol bridge.Person
	object     string // the path segment of bob's event
}

const personPassword = "a password of one's own"

func newFamily(t *testing.T) *family {
	t.Helper()
	f := &family{desk: newDesk(t)}
	f.setPassword(adminPassword)
	for _, err := range []error{second(f.store.EnsureAccount(t.Context(), "alice")), second(f.store.AddAccount(t.Context(), "bob", ""))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	f.m.Name = "bob"
	f.meeting(secretTitle)
	f.round()
	f.carol, f.bob = f.person("Carol"), f.person("Bob")
	if err := f.store.SetOwner(t.Context(), "bob", f.bob.ID, true); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.store.AddPassword(t.Context(), "bob", "phone", f.now()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.store.AddFeed(t.Context(), bridge.Feed{User: "bob", Detail: bridge.DetailFull, Kept: true, Created: f.now()}); err != nil {
		t.Fatal(err)
	}
	row, err := f.store.Account(t.Context(), "bob")
	if err != nil {
		t.Fatal(err)
	}
	cals, err := f.store.Calendars(t.Context(), row.ID)
	if err != nil || len(cals) == 0 {
		t.Fatal(cals, err)
	}
	list, err := f.store.Objects(t.Context(), cals[0].ID, bridge.ObjectQuery{Limit: 1})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	f.object = list[0].Name
	return f
}

func second[T any](_ T, err error) error { return err }

// person makes one with personPassword.
func (f *family) person(name string) bridge.Person {
	f.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(personPassword), bcrypt.MinCost)
	if err != nil {
		f.Fatal(err)
	}
	p, err := f.store.AddPerson(f.Context(), bridge.Person{Name: name, Created: f.now()}, string(hash))
	if err != nil {
		f.Fatal(err)
	}
	return p
}

// as is a browser that is signed in in a role.
func (f *family) as(role int) *person {
	f.Helper()
	p := f.somebody()
	var got answer
	switch role {
	case asNobody:
		return p
	case asOther:
		got = p.post("/sign-in", "name", "Carol", "password", personPassword)
	case asOwner:
		got = p.post("/sign-in", "name", "Bob", "password", personPassword)
	default:
		got = p.post("/sign-in", "password", adminPassword)
	}
	if got.StatusCode != http.StatusSeeOther {
		f.Fatalf("sign-in as %s: %s\n%s", roleNames[role], got.Status, got.body)
	}
	return p
}

// TestEveryPageAsEveryRole asks for every page as everybody. A route that is not in walks fails it.
func TestEveryPageAsEveryRole(t *testing.T) {
	t.Parallel()
	for role := range asked {
		t.Run(roleNames[role], func(t *testing.T) {
			t.Parallel()
			f := newFamily(t)
			f.handler.Notices = new(targets)
			f.handler.SeeEvents = role == asSeeing
			f.handler.Notify = func([]bridge.Notification) {}
			f.handler.Metrics, f.handler.MetricsToken = web.NewMetrics("test"), "a token"
			f.edge.Next = f.handler.Handler()
			p := f.as(role)
			state := f.state()
			for _, w := range walks {
				method, _, ok := strings.Cut(w.pattern, " ")
				if !ok {
					method = "GET"
				}
				path := strings.ReplaceAll(w.path, "OBJECT", f.object)
				if strings.HasSuffix(w.pattern, "sign-out") && role != asNobody {
					p = f.as(role) // the one before has signed out
				}
				var got answer
				if method == "GET" {
					got = p.get(path)
				} else {
					got = p.post(path, w.form...)
				}
				where := fmt.Sprintf("%s %s as %s", method, path, roleNames[role])
				if got.StatusCode != w.want[role] {
					t.Errorf("%s: %s, not %d\n%s", where, got.Status, w.want[role], got.body)
				}
				if role == asNobody && w.want[role] == 303 && !strings.HasPrefix(got.Header.Get("Location"), "/sign-in") {
					t.Errorf("%s leads to %s", where, got.Header.Get("Location"))
				}
				if !mayRead(role) && strings.Contains(got.body, secretTitle) {
					t.Errorf("%s tells of the event:\n%s", where, got.body)
				}
				if role == asNobody || role == asOther {
					if now := f.state(); w.want[role] != 200 && !strings.HasSuffix(w.pattern, "sign-out") && now != state {
						t.Errorf("%s has changed something:\n%s\n%s", where, state, now)
						state = now
					}
				}
			}
			var walked []string
			for _, w := range walks {
				walked = append(walked, w.pattern)
			}
			patterns := f.handler.Patterns()
			for _, pattern := range patterns {
				if !slices.Contains(walked, pattern) {
					t.Errorf("%s is not in walks: say how it answers each role", pattern)
				}
			}
			for _, pattern := range walked {
				if !slices.Contains(patterns, pattern) {
					t.Errorf("%s is in walks, and is served nowhere", pattern)
				}
			}
			looks := f.looks()
			if want := role == asSeeing; (len(looks) >= 10) != want {
				t.Errorf("%d looks at events are recorded as %s: %v", len(looks), roleNames[role], looks)
			}
		})
	}
}

// looks are what is recorded of administrators who read events.
func (f *family) looks() (list []string) {
	f.Helper()
	records, err := f.store.Records(f.Context(), 0, 1000)
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range records {
		if r.What == bridge.ActEventsSeen && r.Who == "administrator" && r.Whom == "bob" {
			list = append(list, r.Detail)
		}
	}
	return list
}

// TestUnstatedRouteIsRefused: a page that does not say who may have it is nobody's.
func TestUnstatedRouteIsRefused(t *testing.T) { // not parallel: it adds a route
	defer web.WithRoute("GET /unstated", false)()
	defer web.WithRoute("GET /stated", true)()
	f := newFamily(t)
	for role := range asked {
		p := f.as(role)
		if got := p.get("/unstated"); got.StatusCode == 200 || strings.Contains(got.body, "served") {
			t.Errorf("%s: %s", roleNames[role], got.Status)
		}
		if got := p.get("/stated"); got.body != "served" {
			t.Errorf("%s: %s", roleNames[role], got.Status)
		}
	}
}

// TestNothingTellsTheAdministrator follows every link from the administrator's pages, and meets no event of bob's.
func TestNothingTellsTheAdministrator(t *testing.T) {
	t.Parallel()
	f := newFamily(t)
	p := f.as(asAdministrator)
	link := regexp.MustCompile(`href="(/[^"]*)"`)
	seen := map[string]bool{"/": true}
	for queue := []string{"/"}; len(queue) > 0; queue = queue[1:] {
		got := p.get(queue[0])
		if got.StatusCode >= 400 && !strings.Contains(queue[0], "/sign-in/browser") {
			t.Errorf("a page links to %s, which is answered %s", queue[0], got.Status)
		}
		if strings.Contains(got.body, secretTitle) {
			t.Errorf("%s tells of the event:\n%s", queue[0], got.body)
		}
		for _, m := range link.FindAllStringSubmatch(got.body, -1) {
			if to := strings.Split(strings.ReplaceAll(m[1], "&amp;", "&"), "#")[0]; !seen[to] {
				seen[to] = true
				queue = append(queue, to)
			}
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d pages were met: %v", len(seen), seen)
	}
}

// TestAdministratorKeepsWhatIsNobodys: on a bridge without an organization an account that was given to nobody is the administrator's,
// as it has always been; with one it is nobody's.
func TestAdministratorKeepsWhatIsNobodys(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.meeting("Review")
	d.round()
	p := d.admin()
	if got := p.get("/calendars/alice?q=review"); got.StatusCode != 200 || !strings.Contains(got.body, "Review") {
		t.Errorf("%s\n%s", got.Status, got.body)
	}
	d.handler.Organization = true
	if got := p.get("/calendars/alice?q=review"); got.StatusCode != 403 || strings.Contains(got.body, `class="event`) {
		t.Errorf("with an organization: %s\n%s", got.Status, got.body)
	}
	if got := p.post("/people/invitations", "name", "Me", "account", "alice"); got.StatusCode != 303 {
		t.Fatal(got.Status)
	} else if list, err := d.store.Invitations(t.Context(), d.now()); err != nil || len(list) != 0 {
		t.Errorf("with an organization somebody gave an account away: %v, %v", list, err)
	}
}

// davWalks are requests of every kind of DAV path on what is bob's, and how they are answered to nobody, to carol, and to bob.
// What bob writes comes to the writer, which has no mailbox here: 500.
var davWalks = []struct {
	method, path string
	want         [3]int
}{
	{"GET", "/.well-known/caldav", [3]int{401, 307, 307}},
	{"PROPFIND", "/dav/", [3]int{401, 207, 207}},
	{"PROPFIND", "/dav/principals/", [3]int{401, 207, 207}},
	{"PROPFIND", "/dav/principals/bob/", [3]int{401, 404, 207}},
	{"PROPFIND", "/dav/principals/bob/inbox/", [3]int{401, 404, 207}},
	{"PROPFIND", "/dav/principals/bob/outbox/", [3]int{401, 404, 207}},
	{"PROPFIND", "/dav/calendars/", [3]int{401, 207, 207}},
	{"PROPFIND", "/dav/calendars/bob/", [3]int{401, 404, 207}},
	{"PROPFIND", "/dav/calendars/bob/calendar/", [3]int{401, 404, 207}},
	{"GET", "/dav/calendars/bob/calendar/", [3]int{401, 404, 200}},
	{"REPORT", "/dav/calendars/bob/calendar/", [3]int{401, 404, 207}},
	{"PROPPATCH", "/dav/calendars/bob/calendar/", [3]int{401, 404, 207}},
	{"POST", "/dav/calendars/bob/calendar/", [3]int{401, 404, 403}},
	{"PROPFIND", "/dav/calendars/bob/calendar/OBJECT", [3]int{401, 404, 207}},
	{"GET", "/dav/calendars/bob/calendar/OBJECT", [3]int{401, 404, 200}},
	{"PUT", "/dav/calendars/bob/calendar/OBJECT", [3]int{401, 404, 500}},
	{"DELETE", "/dav/calendars/bob/calendar/OBJECT", [3]int{401, 404, 500}},
	{"MOVE", "/dav/calendars/bob/calendar/OBJECT", [3]int{401, 404, 500}},
	{"GET", "/dav/att/guessed/plan.pdf", [3]int{401, 404, 404}},
	{"GET", "/calendar/dav/bob/events/", [3]int{401, 404, 404}},
	{"PROPFIND", "/principals/users/bob", [3]int{401, 404, 207}},
	{"PROPFIND", "/remote.php/dav/", [3]int{401, 207, 207}},
}

var davBodies = map[string]string{
	"PROPFIND":  `<propfind xmlns="DAV:"><prop><displayname/><resourcetype/></prop></propfind>`,
	"REPORT":    `<C:calendar-query xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><prop><getetag/><C:calendar-data/></prop><C:filter><C:comp-filter name="VCALENDAR"/></C:filter></C:calendar-query>`,
	"PROPPATCH": `<propertyupdate xmlns="DAV:"><set><prop><displayname>x</displayname></prop></set></propertyupdate>`,
	"PUT":       "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:x\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260101T000000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
}

// TestEveryDAVPathAsEveryRole: an app password opens what is its account's, and a session on the pages opens no DAV at all.
func TestEveryDAVPathAsEveryRole(t *testing.T) {
	t.Parallel()
	f := newFamily(t)
	policy := bridge.Policy{Write: true, Invitations: bridge.InvitationsReplies}
	writer := &write.Writer{Store: f.store.Store, Rounds: f.b, Now: f.now, Mailbox: func(context.Context, string) (write.Mailbox, error) {
		return write.Mailbox{}, errors.New("nothing is written here")
	}}
	t.Cleanup(func() { writer.Close() })
	backend := &dav.Writing{Writer: writer, Backend: dav.Backend{Store: f.store, Zone: convert.Zone, Policy: func(bridge.Account) bridge.Policy { return policy }}}
	handler := &caldav.Handler{Backend: backend, RefusedWrite: backend.Refuse}
	f.edge.DAV = handler.Handles
	pages := f.edge.Next
	f.edge.Next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if handler.Handles(r) {
			handler.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
	if _, err := f.store.AddAccount(t.Context(), "carol", ""); err != nil {
		t.Fatal(err)
	}
	passwords := map[string]string{}
	for _, user := range []string{"bob", "carol"} {
		_, secret, err := f.store.AddPassword(t.Context(), user, "walk", f.now())
		if err != nil {
			t.Fatal(err)
		}
		passwords[user] = secret
	}
	ask := func(p *person, user, password, method, path string) answer {
		req, err := http.NewRequestWithContext(t.Context(), method, f.url+strings.ReplaceAll(path, "OBJECT", f.object), strings.NewReader(davBodies[method]))
		if err != nil {
			t.Fatal(err)
		}
		if user != "" {
			req.SetBasicAuth(user, password)
		}
		req.Header.Set("Content-Type", map[bool]string{true: "text/calendar", false: "application/xml"}[method == "PUT"])
		req.Header.Set("Destination", f.url+"/dav/calendars/bob/calendar/elsewhere.ics")
		return p.doing(req)
	}
	for _, w := range davWalks {
		for i, who := range []string{"", "carol", "bob"} {
			got := ask(f.somebody(), who, passwords[who], w.method, w.path)
			if got.StatusCode != w.want[i] {
				t.Errorf("%s %s as %q: %s, not %d\n%s", w.method, w.path, who, got.Status, w.want[i], got.body)
			}
			if who != "bob" && strings.Contains(got.body, secretTitle) {
				t.Errorf("%s %s tells %q of the event", w.method, w.path, who)
			}
		}
		if w.want[0] != http.StatusUnauthorized {
			continue
		}
		// Neither carol's password under bob's name, nor any session, nor a password of the pages.
		if got := ask(f.somebody(), "bob", passwords["carol"], w.method, w.path); got.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s %s with somebody else's password: %s", w.method, w.path, got.Status)
		}
		for role := range asked {
			if got := ask(f.as(role), "", "", w.method, w.path); got.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s %s with the session of %s: %s", w.method, w.path, roleNames[role], got.Status)
			}
		}
		for user, password := range map[string]string{"bob": personPassword, "administrator": adminPassword} {
			if got := ask(f.somebody(), user, password, w.method, w.path); got.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s %s with %s's password of the pages: %s", w.method, w.path, user, got.Status)
			}
		}
	}
}

// doing sends a request that a test has made.
func (p *person) doing(req *http.Request) answer {
	p.Helper()
	resp, err := p.client.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	return readAnswer(p, resp)
}

// TestOwnSettings: a person ends their own sessions, and changes their own password, and nobody else's.
func TestOwnSettings(t *testing.T) {
	t.Parallel()
	f := newFamily(t)
	admin, bob, carol := f.as(asAdministrator), f.as(asOwner), f.as(asOther)
	for id := range 10 {
		carol.follow(fmt.Sprintf("/settings/sessions/%d", id+4)) // hers is the third
	}
	if got := bob.get("/settings"); got.StatusCode != 200 || strings.Contains(got.body, "/record") || strings.Contains(got.body, "Client ID") {
		t.Errorf("%s\n%s", got.Status, got.body)
	}
	carol.follow("/settings/password", "current", personPassword, "password", "another one of hers", "repeat", "another one of hers")
	carol.follow("/settings/sign-out")
	for _, p := range []*person{admin, bob} {
		if got := p.get("/settings"); got.StatusCode != 200 {
			t.Errorf("somebody else was signed out: %s", got.Status)
		}
	}
	if got := f.somebody().post("/sign-in", "name", "Carol", "password", "another one of hers"); got.StatusCode != 303 {
		t.Errorf("her new password: %s", got.Status)
	}
	for name, password := range map[string]string{"Bob": "another one of hers", "Carol": personPassword, "Nobody": personPassword, "administrator": personPassword, "": personPassword} {
		if got := f.somebody().post("/sign-in", "name", name, "password", password); got.StatusCode != 403 && got.StatusCode != 429 || len(got.Cookies()) > 0 {
			t.Errorf("%q signs in with a password of somebody else: %s", name, got.Status)
		}
	}
}

// TestRefusalsDoNotFloodTheRecord: anybody can be refused as often as they like, and it is recorded as often as a person would be.
func TestRefusalsDoNotFloodTheRecord(t *testing.T) {
	t.Parallel()
	f := newFamily(t)
	stranger := f.somebody()
	for n := range 40 {
		stranger.get(fmt.Sprintf("/invitation/guess-%d", n))
	}
	records, err := f.store.Records(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(records) == 0 || len(records) > 10 {
		t.Errorf("%d records of 40 refusals", len(records))
	}
	for _, r := range records {
		if r.What != bridge.ActSignInRefused || strings.Contains(r.Detail, "guess") {
			t.Errorf("%+v", r)
		}
	}
}

// TestWatchingEnds: who watches a page of an account is told nothing more once they may not have it.
func TestWatchingEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(f *family, bob *person){
		"signed out":     func(f *family, bob *person) { bob.post("/settings/sign-out") },
		"session over":   func(f *family, bob *person) { f.later(91 * 24 * time.Hour) },
		"person removed": func(f *family, bob *person) { f.as(asAdministrator).post(fmt.Sprintf("/people/%d/remove", f.bob.ID)) },
		"account gone":   func(f *family, bob *person) { f.must(f.store.RemoveAccount(f.Context(), "bob")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFamily(t)
			live := new(web.Live)
			f.handler.Live = live
			bob := f.as(asOwner)
			req, err := http.NewRequestWithContext(t.Context(), "GET", bob.url+"/accounts/bob/progress", nil)
			f.must(err)
			resp, err := bob.client.Do(req)
			f.must(err)
			defer resp.Body.Close()
			lines := bufio.NewScanner(resp.Body)
			if !lines.Scan() || !strings.HasPrefix(lines.Text(), "data: ") {
				t.Fatalf("%s %q", resp.Status, lines.Text())
			}
			end(f, bob)
			live.Tell(bridge.Progress{Account: "bob", Calendar: "Work", Phase: bridge.ProgressDownload, Events: 1})
			for lines.Scan() {
				if strings.Contains(lines.Text(), "Work") {
					t.Fatalf("told: %s", lines.Text())
				}
			}
			if lines.Err() != nil {
				t.Error(lines.Err())
			}
		})
	}
}

func (f *family) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}
