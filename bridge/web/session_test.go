package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/web"
)

func TestSetUp(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	p := d.somebody()
	if got := p.get("/"); got.StatusCode != 200 || !strings.Contains(got.body, `href="/setup"`) {
		t.Errorf("front page: %s\n%s", got.Status, got.body)
	}
	if got := p.get("/sign-in"); got.Header.Get("Location") != "/setup" {
		t.Errorf("sign-in before the set-up: %s", got.Status)
	}
	for _, c := range []struct {
		code, password, repeat, says string
		status                       int
	}{
		{"AAAAA-AAAAA", adminPassword, adminPassword, "The setup code is wrong", 403},
		{"", adminPassword, adminPassword, "The setup code is wrong", 403},
		{setupCode, adminPassword, "another horse battery", "do not match", 400},
		{setupCode, "tiny", "tiny", "too short", 400},
		{setupCode, strings.Repeat("é", 40), strings.Repeat("é", 40), "too long", 400},
	} {
		got := p.post("/setup", "code", c.code, "password", c.password, "repeat", c.repeat)
		if got.StatusCode != c.status || !strings.Contains(got.body, c.says) || len(got.Cookies()) > 0 || strings.Contains(got.body, c.password) {
			t.Errorf("code %q, password %q: %s\n%s", c.code, c.password, got.Status, got.body)
		}
		if _, err := d.store.Administrator(t.Context()); !errors.Is(err, bridge.ErrNotFound) {
			t.Fatalf("code %q, password %q: there is an administrator: %v", c.code, c.password, err)
		}
	}
	got := p.post("/setup", "code", " abcde fghij", "password", adminPassword, "repeat", adminPassword)
	if got.StatusCode != 303 || got.Header.Get("Location") != "/" || len(got.Cookies()) != 2 {
		t.Fatalf("set-up: %s\n%s", got.Status, got.body)
	}
	if c := got.Cookies()[0]; !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.Secure || c.MaxAge != 14*24*3600 {
		t.Errorf("cookie: %+v", c)
	}
	if got := p.get("/"); !strings.Contains(got.body, "alice") {
		t.Errorf("not signed in after the set-up:\n%s", got.body)
	}
	// The code works once.
	thief := d.somebody()
	if got := thief.post("/setup", "code", setupCode, "password", "a thief's password", "repeat", "a thief's password"); got.Header.Get("Location") != "/sign-in" || len(got.Cookies()) > 0 {
		t.Errorf("the setup code again: %s\n%s", got.Status, got.body)
	}
	if got := thief.post("/sign-in", "password", "a thief's password"); got.StatusCode != 403 {
		t.Errorf("the thief's password: %s", got.Status)
	}
	if got := thief.post("/sign-in", "password", adminPassword); got.StatusCode != 303 {
		t.Errorf("the administrator's password: %s", got.Status)
	}
}

func TestSetupCodes(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		code := web.NewSetupCode()
		if len(code) != 11 || code[5] != '-' || seen[code] {
			t.Fatalf("%q", code)
		}
		seen[code] = true
	}
}

// guarded are the routes that need a session.
var guarded = []string{
	"POST /sign-out", "GET /settings", "POST /settings/password", "POST /settings/sign-out", "POST /settings/sessions/1", "GET /app", "POST /app",
	"GET /new-account", "POST /new-account", "GET /accounts/alice", "GET /accounts/alice/state", "POST /accounts/alice/sync", "GET /accounts/bob/remove", "POST /accounts/bob/remove",
	"GET /accounts/alice/sign-in", "POST /accounts/alice/sign-in", "POST /accounts/alice/sign-in/cancel", "GET /accounts/alice/sign-in/state",
	"GET /accounts/alice/sign-in/browser", "GET /accounts/alice/passwords", "POST /accounts/alice/passwords", "POST /accounts/alice/passwords/1/revoke",
	"GET /accounts/alice/feeds", "POST /accounts/alice/feeds", "GET /accounts/alice/feeds/1", "POST /accounts/alice/feeds/1",
	"GET /accounts/alice/passwords/1/revoke", "GET /accounts/alice/feeds/1/rotate", "GET /accounts/alice/feeds/1/remove", "POST /accounts/alice/feeds/1/show",
	"GET /accounts/alice/options", "POST /accounts/bob/options", "GET /settings/sync", "POST /settings/sync",
	"POST /accounts/alice/feeds/1/rotate", "POST /accounts/alice/feeds/1/remove", "GET /accounts/alice/connect", "POST /accounts/alice/profile",
	"GET /calendars/alice", "GET /calendars/alice/calendar", "GET /calendars/alice/events.json?start=2026-11-01&end=2026-12-01",
	"GET /calendars/alice/calendar/x.ics", "GET /calendars/alice/calendar/x.ics/file", "GET /calendars/alice/calendar/x.ics/origin",
	"GET /accounts/alice/compare", "POST /accounts/alice/compare", "GET /accounts/alice/compare/state",
}

// forms are the fields that each POST needs to have an effect.
var forms = url.Values{"name": {"carol"}, "detail": {"full"}, "label": {"x"}, "client_id": {"other"}, "interval": {"2m"}, "listed": {"Calendar", "Family"}, "calendar": {"Family"}, "current": {adminPassword}, "password": {"a thief's password"}, "repeat": {"a thief's password"}}

// state is everything that the guarded pages could have changed.
func (d *desk) state() string {
	d.Helper()
	ctx := d.Context()
	hash, err1 := d.store.Administrator(ctx)
	sessions, err2 := d.store.Sessions(ctx, 0, d.now())
	passwords, err3 := d.store.Passwords(ctx, "")
	feeds, err4 := d.store.Feeds(ctx, "")
	accounts, err5 := d.store.AddedAccounts(ctx)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		d.Fatal(err)
	}
	options, err6 := d.store.Options(ctx)
	if err6 != nil {
		d.Fatal(err6)
	}
	return fmt.Sprint(hash, sessions, passwords, feeds, accounts, options, d.accounts.client, d.accounts.nudged)
}

func (d *desk) fill() {
	d.Helper()
	d.setPassword(adminPassword)
	if _, err := d.store.AddAccount(d.Context(), "bob", ""); err != nil {
		d.Fatal(err)
	}
	if _, _, err := d.store.AddPassword(d.Context(), "alice", "laptop", d.now()); err != nil {
		d.Fatal(err)
	}
	d.meeting("Review")
	d.round()
	d.feed(bridge.Feed{})
}

func TestPagesNeedASession(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.fill()
	d.admin()
	before := d.state()
	stranger := d.somebody()
	forger := d.somebody()
	forger.header.Set("Cookie", cookieOf(d, "outbridge")+"=aaaaaaaaaaaaaaaaaaaaaaaaaa")
	for _, p := range []*person{stranger, forger} {
		for _, route := range guarded {
			method, path, _ := strings.Cut(route, " ")
			form := forms
			want := "/sign-in"
			if method == "GET" {
				form, want = nil, "/sign-in?next="+url.QueryEscape(path)
			}
			if got := p.send(method, path, form); got.StatusCode != 303 || got.Header.Get("Location") != want || got.body != "" {
				t.Errorf("%s without a session: %s to %q\n%s", route, got.Status, got.Header.Get("Location"), got.body)
			}
		}
	}
	if after := d.state(); after != before {
		t.Errorf("without a session something has changed:\n%s\n%s", before, after)
	}
}

// A form on another site does nothing, whatever headers the browser sends.
func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.fill()
	p := d.admin()
	before := d.state()
	for _, header := range []http.Header{
		{"Origin": {"https://evil.example"}},
		{"Origin": {"null"}},
		{"Origin": {"http://127.0.0.1:1"}},
		{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}},
		{"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://evil.example.com"}},
	} {
		p.header = header
		for _, route := range guarded {
			if path, ok := strings.CutPrefix(route, "POST "); ok {
				if got := p.send("POST", path, forms); got.StatusCode != 403 {
					t.Errorf("%s with %v: %s", route, header, got.Status)
				}
			}
		}
	}
	if after := d.state(); after != before {
		t.Errorf("a forged request has changed something:\n%s\n%s", before, after)
	}
	// Our own forms, also behind a proxy that does not pass on the host.
	for _, header := range []http.Header{
		{"Origin": {p.url}},
		{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"http://whatever.example"}},
		{"Origin": {"https://calendar.example.com"}},
		{"Origin": nil},
	} {
		p.header = header
		if got := p.post("/accounts/alice/sync"); got.StatusCode != 303 || got.Header.Get("Location") != "/accounts/alice?done=synced" {
			t.Errorf("with %v: %s", header, got.Status)
		}
	}
	// A link on another site does not start a sign-in at Microsoft.
	p.header = http.Header{"Sec-Fetch-Site": {"cross-site"}}
	if got := p.get("/accounts/alice/sign-in/browser"); got.Header.Get("Location") != "/accounts/alice/sign-in" {
		t.Errorf("a sign-in from another site: %s to %s", got.Status, got.Header.Get("Location"))
	}
}

// A bridge on loopback cannot be reached by another host name.
func TestOtherHosts(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	p := d.admin()
	for host, want := range map[string]int{"evil.example": 421, "evil.example:8080": 421, "127.0.0.1.evil.example": 421, "localhost:8080": 200, "127.0.0.1": 200,
		"[::1]:8080": 200, "calendar.example.com": 200, "CALENDAR.example.com": 200} {
		p.header.Set("Host", host)
		if got := p.get("/"); got.StatusCode != want || want == 421 && !strings.Contains(got.body, "https://calendar.example.com") {
			t.Errorf("%s: %s", host, got.Status)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.fill()
	p := d.admin()
	pages := []string{"/", "/sign-in", "/accounts/nobody", "/profile/nothing"}
	for _, route := range guarded {
		if path, ok := strings.CutPrefix(route, "GET "); ok {
			pages = append(pages, path)
		}
	}
	for _, path := range pages {
		got := p.get(path)
		head := got.Header
		if policy := head.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") || strings.Contains(policy, "*") {
			t.Errorf("%s: policy %q", path, policy)
		}
		cache := "no-store"
		if strings.Contains(path, "events.json") {
			cache = "private, no-cache" // it is held against what the browser has
		}
		if head.Get("Cache-Control") != cache || head.Get("X-Content-Type-Options") != "nosniff" || head.Get("Referrer-Policy") != "same-origin" {
			t.Errorf("%s: %v", path, head)
		}
		for _, bad := range []string{"<script>", " style=", " onclick=", "javascript:", "ZgotmplZ", "<no value>", "%!"} {
			if strings.Contains(got.body, bad) {
				t.Errorf("%s has %q", path, bad)
			}
		}
	}
	style := p.get("/style.css")
	if style.StatusCode != 200 || style.Header.Get("ETag") == "" || style.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("style: %s %v", style.Status, style.Header)
	}
}

func TestGuesses(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.setPassword(adminPassword)
	p := d.somebody()
	from := func(address string) { p.header.Set("X-Forwarded-For", "198.51.100.1, "+address) }
	from("192.0.2.1")
	for range 5 {
		if got := p.post("/sign-in", "password", "wrong"); got.StatusCode != 403 {
			t.Fatalf("a wrong password: %s", got.Status)
		}
	}
	got := p.post("/sign-in", "password", adminPassword)
	if got.StatusCode != 429 || got.Header.Get("Retry-After") != "30" || !strings.Contains(got.body, "Wait 30 seconds") || len(got.Cookies()) > 0 {
		t.Errorf("after five wrong passwords: %s, %v\n%s", got.Status, got.Header, got.body)
	}
	from("192.0.2.2")
	if got := p.post("/sign-in", "password", adminPassword); got.StatusCode != 303 {
		t.Errorf("from another address: %s", got.Status)
	}
	from("192.0.2.1")
	d.later(30 * time.Second)
	if got := p.post("/sign-in", "password", adminPassword); got.StatusCode != 303 {
		t.Errorf("after the wait: %s", got.Status)
	}
	// A success resets the count.
	for range 4 {
		p.post("/sign-in", "password", "wrong")
	}
	if got := p.post("/sign-in", "password", adminPassword); got.StatusCode != 303 {
		t.Errorf("the fifth attempt: %s", got.Status)
	}
	// An IPv6 network counts as one address, and addresses that an attacker puts before the proxy's own entry do not count.
	for i := range 5 {
		p.header.Set("X-Forwarded-For", fmt.Sprintf("192.0.2.%d, 2001:db8:1:1::%d", 100+i, i))
		p.post("/sign-in", "password", "wrong")
	}
	from("2001:db8:1:1:ffff::9")
	if got := p.post("/sign-in", "password", "wrong"); got.StatusCode != 429 {
		t.Errorf("from the sixth address of a network: %s", got.Status)
	}
	// A browser that is signed in, from many addresses; and strangers at many addresses together.
	d.later(time.Hour)
	limited, strangers := 0, 0
	for i := range 70 {
		from(fmt.Sprintf("203.0.113.%d", i))
		if got := p.post("/setup", "code", "x"); got.StatusCode != 303 {
			t.Fatal(got.Status)
		}
		if got := p.post("/settings/password", "current", "wrong"); got.StatusCode == 429 {
			limited++
		}
		stranger := d.somebody()
		stranger.header = p.header
		if got := stranger.post("/sign-in", "password", "wrong"); got.StatusCode == 429 {
			strangers++
		}
	}
	if limited != 65 || strangers != 10 {
		t.Errorf("of 70 attempts from many addresses %d of one browser were too many, and %d of strangers", limited, strangers)
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	in := func(p *person) bool { p.Helper(); return p.get("/settings").StatusCode == 200 }
	const day = 24 * time.Hour

	idle := d.admin()
	d.later(14*day - time.Second)
	if !in(idle) {
		t.Error("a session has ended before its time")
	}
	d.later(14*day - time.Second) // using it has extended it
	if !in(idle) {
		t.Error("a session ends in spite of its use")
	}
	d.later(14 * day)
	if in(idle) {
		t.Error("a session outlives two weeks without use")
	}

	old := d.admin()
	days := 0
	for ; in(old) && days < 200; days++ {
		d.later(day)
	}
	if days != 90 {
		t.Errorf("a session that is used every day ends after %d days", days)
	}

	// Signing out is for good, also for a copy of the cookie.
	p := d.admin()
	cookie := p.client.Jar.Cookies(mustURL(t, d.url))[0]
	if got := p.post("/sign-out"); got.StatusCode != 303 || got.Cookies()[0].MaxAge >= 0 {
		t.Errorf("sign-out: %s", got.Status)
	}
	thief := d.somebody()
	thief.header.Set("Cookie", cookie.String())
	if in(p) || in(thief) {
		t.Error("signed in after signing out")
	}

	// Sign out one browser, all browsers, and by a new password.
	one, other := d.admin(), d.somebody()
	other.post("/sign-in", "password", adminPassword)
	list, err := d.store.Sessions(t.Context(), 0, d.now())
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	if got := one.post(fmt.Sprintf("/settings/sessions/%d", list[0].ID)); got.Header.Get("Location") != "/settings?done=session" || in(other) || !in(one) {
		t.Errorf("signing another browser out: %s", got.Status)
	}
	other.post("/sign-in", "password", adminPassword)
	one.post("/settings/sign-out")
	if in(one) || in(other) {
		t.Error("signed in after signing out everywhere")
	}
	one.post("/sign-in", "password", adminPassword)
	other.post("/sign-in", "password", adminPassword)
	for _, c := range []struct{ current, password, repeat string }{
		{"wrong", "a better horse battery", "a better horse battery"}, {adminPassword, "short", "short"}, {adminPassword, "a better horse battery", "another"},
	} {
		if got := one.post("/settings/password", "current", c.current, "password", c.password, "repeat", c.repeat); got.StatusCode != 400 {
			t.Errorf("%+v: %s", c, got.Status)
		}
	}
	if got := one.post("/settings/password", "current", adminPassword, "password", "a better horse battery", "repeat", "a better horse battery"); got.StatusCode != 303 {
		t.Errorf("a new password: %s\n%s", got.Status, got.body)
	}
	if !in(one) || in(other) {
		t.Error("a new password ends the sessions of others, and no other")
	}
	if got := d.somebody().post("/sign-in", "password", adminPassword); got.StatusCode != 403 {
		t.Errorf("the old password: %s", got.Status)
	}
}

func TestCookieOverHTTPS(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.setPassword(adminPassword)
	for _, header := range []http.Header{{"X-Forwarded-Proto": {"https"}}, {"Host": {"calendar.example.com"}, "Origin": {"https://calendar.example.com"}}} {
		p := d.somebody()
		p.header = header
		got := p.post("/sign-in", "password", adminPassword)
		if len(got.Cookies()) != 2 || got.Cookies()[0].Name != "__Host-"+cookieOf(d, "outbridge") || !got.Cookies()[0].Secure || got.Cookies()[1].Name != "__Host-"+cookieOf(d, "outbridge-browser") {
			t.Errorf("%v: %s %v", header, got.Status, got.Cookies())
		}
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.setPassword(adminPassword)
	for next, want := range map[string]string{
		"/accounts/alice": "/accounts/alice", "/calendars/alice?view=week&date=2026-11-23": "/calendars/alice?view=week&date=2026-11-23", "": "/",
		"https://evil.example/": "/", "//evil.example/": "/", "/\\evil.example": "/", "\\\\evil.example": "/", "javascript:alert(1)": "/", "evil": "/",
		"/%5cevil.example": "/", "///evil.example": "/", "/a\r\nSet-Cookie: x=y": "/", "http:/evil": "/", "/%2fevil.example": "/",
	} {
		p := d.somebody()
		if got := p.post("/sign-in", "password", adminPassword, "next", next); got.StatusCode != 303 || got.Header.Get("Location") != want {
			t.Errorf("next %q: %s to %q", next, got.Status, got.Header.Get("Location"))
		}
	}
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
