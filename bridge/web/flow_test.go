package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

var token = &oauth2.Token{RefreshToken: "r"}

// toMicrosoft starts a sign-in in the browser and returns its parameters.
func (p *person) toMicrosoft(account string) url.Values {
	p.Helper()
	got := p.get("/accounts/" + account + "/sign-in/browser")
	to, err := url.Parse(got.Header.Get("Location"))
	if got.StatusCode != 303 || err != nil || !strings.HasPrefix(to.String(), p.sim.BaseURL+"/common/oauth2/v2.0/authorize?") {
		p.Fatalf("to Microsoft: %s to %q, %v\n%s", got.Status, got.Header.Get("Location"), err, got.body)
	}
	return to.Query()
}

// atMicrosoft is what the person does there: sign in as somebody, or decline if that is "". It returns the query that
// Microsoft sends the browser back with.
func (p *person) atMicrosoft(q url.Values, who string) string {
	p.Helper()
	q.Set("account", who)
	client := p.sim.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Get(p.sim.BaseURL + "/common/oauth2/v2.0/authorize?" + q.Encode())
	if err != nil {
		p.Fatal(err)
	}
	resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		p.Fatalf("at Microsoft: %s, %v", resp.Status, err)
	}
	return to.RawQuery
}

func TestSignInByBrowser(t *testing.T) {
	t.Parallel()
	signInByBrowser(t, newDesk(t))
}

func TestSignInByBrowserOnTwoMachines(t *testing.T) {
	t.Parallel()
	signInByBrowser(t, newTwins(t))
}

func signInByBrowser(t *testing.T, d *desk) {
	p := d.admin()
	q := p.toMicrosoft("alice")
	if q.Get("redirect_uri") != "https://calendar.example.com/auth/callback" || q.Get("code_challenge_method") != "S256" || len(q.Get("state")) < 26 {
		t.Errorf("%v", q)
	}
	back := p.atMicrosoft(q, d.box.Address())
	// Another person's browser cannot complete it, signed in or not.
	other := d.somebody()
	other.post("/sign-in", "password", adminPassword)
	if got := other.get("/auth/callback?" + back); got.StatusCode != 400 || !strings.Contains(got.body, "not started in this browser") {
		t.Errorf("in another session: %s\n%s", got.Status, got.body)
	}
	if got := p.get("/auth/callback?" + back); got.Header.Get("Location") != "/accounts/alice?done=signed-in" {
		t.Errorf("back: %s\n%s", got.Status, got.body)
	}
	for name, query := range map[string]string{"again": back, "without a state": "code=x", "nothing": "", "a strange state": "code=x&state=y", "an error of nobody": "error=access_denied&state="} {
		if got := p.get("/auth/callback?" + query); got.StatusCode != 400 || !strings.Contains(got.body, "not started in this browser, or took too long") {
			t.Errorf("%s: %s\n%s", name, got.Status, got.body)
		}
	}

	// What is refused leads back to the form.
	returned := func(query string) answer {
		t.Helper()
		got := p.get("/auth/callback?" + query)
		at := got.Header.Get("Location")
		if got.StatusCode != 303 || !strings.HasPrefix(at, "/accounts/alice/sign-in?again=") {
			t.Fatalf("%s: %s to %s", query, got.Status, at)
		}
		return p.get(at)
	}
	back = p.atMicrosoft(p.toMicrosoft("alice"), "")
	if got := returned(back); got.StatusCode != 200 || !strings.Contains(got.body, "The sign-in was declined.") ||
		!strings.Contains(got.body, "Get a code") || !strings.Contains(got.body, `href="/accounts/alice/sign-in/browser"`) || strings.Contains(got.body, "outbridge login") {
		t.Errorf("declined: %s\n%s", got.Status, got.body)
	}
	q = p.toMicrosoft("alice")
	if got := returned("code=made-up&state=" + q.Get("state")); !strings.Contains(got.body, `role="alert"`) {
		t.Errorf("a made-up code: %s\n%s", got.Status, got.body)
	}
	q = p.toMicrosoft("alice")
	if got := returned("state=" + q.Get("state")); got.StatusCode != 200 || !strings.Contains(got.body, "sent no code") {
		t.Errorf("no code: %s\n%s", got.Status, got.body)
	}
	back = p.atMicrosoft(p.toMicrosoft("alice"), d.box.Address())
	d.later(15*time.Minute + time.Second)
	if got := p.get("/auth/callback?" + back); got.StatusCode != 400 {
		t.Errorf("too late: %s", got.Status)
	}
}

// Microsoft redirects to localhost, while the browser has its session at 127.0.0.1.
func TestSignInOnLoopback(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.handler.PublicURL = "http://127.0.0.1:8080"
	p := d.admin()
	q := p.toMicrosoft("alice")
	if q.Get("redirect_uri") != "http://localhost:8080" {
		t.Errorf("%v", q)
	}
	back := p.atMicrosoft(q, d.box.Address())
	elsewhere := d.somebody()
	elsewhere.header.Set("Host", "localhost:8080")
	if got := elsewhere.get("/?" + back); got.StatusCode != 303 || got.Header.Get("Location") != d.url+"/auth/callback?"+back {
		t.Errorf("at localhost: %s to %s", got.Status, got.Header.Get("Location"))
	}
	if got := p.get("/auth/callback?" + back); got.Header.Get("Location") != "/accounts/alice?done=signed-in" {
		t.Errorf("at 127.0.0.1: %s\n%s", got.Status, got.body)
	}
	d.handler.PublicURL = "http://calendar.example.com"
	p = d.admin()
	if got := p.get(p.get("/accounts/alice/sign-in/browser").Header.Get("Location")); got.StatusCode != 200 || !strings.Contains(got.body, "https") {
		t.Errorf("a bridge without https: %s", got.Status)
	}
	if got := p.get("/accounts/alice/sign-in"); strings.Contains(got.body, "/sign-in/browser") || !strings.Contains(got.body, "Get a code") {
		t.Errorf("the choice of a bridge without https:\n%s", got.body)
	}
}

func TestSignInByCode(t *testing.T) {
	t.Parallel()
	signInByCode(t, newDesk(t))
}

func TestSignInByCodeOnTwoMachines(t *testing.T) {
	t.Parallel()
	signInByCode(t, newTwins(t))
}

func signInByCode(t *testing.T, d *desk) {
	d.sim.DeviceInterval = time.Second
	p := d.admin()
	userCode := func() string {
		t.Helper()
		_, rest, ok := strings.Cut(p.get("/accounts/alice/sign-in").body, `id="user-code">`)
		code, _, _ := strings.Cut(rest, "<")
		if !ok {
			t.Fatal("the page shows no code")
		}
		return code
	}
	state := func() string { return p.get("/accounts/alice/sign-in/state").body }
	ended := func() {
		for state() == "waiting" { // as the page does
			time.Sleep(20 * time.Millisecond)
		}
	}
	if got := p.post("/accounts/alice/sign-in"); got.Header.Get("Location") != "/accounts/alice/sign-in" || state() != "waiting" {
		t.Fatalf("%s\n%s", got.Status, got.body)
	}
	first := userCode()
	p.post("/accounts/alice/sign-in")
	if err := d.sim.ApproveDevice(first, d.box); err != nil {
		t.Fatal(err)
	}
	second := userCode()
	if second == first || state() != "waiting" {
		t.Error("a new code does not take the place of the first")
	}
	if err := d.sim.DeclineDevice(second); err != nil {
		t.Fatal(err)
	}
	ended()
	if got := p.get("/accounts/alice/sign-in"); !strings.Contains(got.body, "The sign-in was declined.") || strings.Contains(got.body, "user-code") {
		t.Errorf("declined:\n%s", got.body)
	}
	p.post("/accounts/alice/sign-in")
	if err := d.sim.ApproveDevice(userCode(), d.box); err != nil {
		t.Fatal(err)
	}
	ended()
	if got := p.get("/accounts/alice/sign-in"); got.Header.Get("Location") != "/accounts/alice?done=signed-in" {
		t.Errorf("signed in: %s\n%s", got.Status, got.body)
	}
	p.post("/accounts/alice/sign-in")
	p.post("/accounts/alice/sign-in/cancel")
	if state() != "" || strings.Contains(p.get("/accounts/alice/sign-in").body, "user-code") {
		t.Error("a sign-in that was given up goes on")
	}
}
