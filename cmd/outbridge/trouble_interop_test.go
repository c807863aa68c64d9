//go:build interop

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// turnstile lets requests through while it is open.
type turnstile struct {
	mu     sync.Mutex
	opened chan struct{}
	after  int // so many pass in any case
}

func (g *turnstile) pass(r *http.Request) {
	g.mu.Lock()
	g.after--
	opened, now := g.opened, g.after >= 0
	g.mu.Unlock()
	if now {
		return
	}
	select {
	case <-opened:
	case <-r.Context().Done():
	}
}

// hookInbox is a webhook, and the titles that it got.
type hookInbox struct {
	*httptest.Server
	mu     sync.Mutex
	titles []string
}

func newHook(t *testing.T) *hookInbox {
	h := new(hookInbox)
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct{ Title, Message string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.titles = append(h.titles, body.Title)
		if strings.Contains(body.Message, "Planning") {
			t.Errorf("a message tells of an event:\n%s", body.Message)
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hookInbox) got() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.titles, "; ")
}

// TestTrouble follows a first sync as it goes on, and then an account whose sign-in ends, on the pages and by notifications.
func TestTrouble(t *testing.T) {
	t.Parallel()
	slow := &turnstile{opened: make(chan struct{}), after: 3}
	sim := &graphsim.Server{ClientID: testClientID, AutoApprove: true, DeviceInterval: time.Second, MaxPage: 50}
	box := sim.AddMailbox("robin@contoso.example", "Robin", "W. Europe Standard Time")
	for i := range 600 {
		at := time.Now().UTC().Truncate(time.Hour).Add(time.Duration(i) * 5 * time.Hour)
		box.Calendar().Create(graphsim.Event{Subject: fmt.Sprintf("Planning (%d)", i), Start: at, End: at.Add(time.Hour)})
	}
	outlook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/delta") {
			slow.pass(r)
		}
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(outlook.Close)
	dir := t.TempDir()
	config := fmt.Sprintf("listen = \"127.0.0.1:0\"\n[microsoft]\ncloud = \"custom\"\nlogin_url = %q\ngraph_url = %q\nclient_id = %q\n[sync]\ninterval = \"5s\"\n[[account]]\nname = \"robin\"\n[[account]]\nname = \"kim\"\n",
		outlook.URL, outlook.URL, testClientID)
	if err := os.WriteFile(filepath.Join(dir, "outbridge.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	outbridge(t, dir, "login", "robin")
	p := start(t, dir, "serve")
	b := newBrowser(t)
	url := b.setUp(p)

	// Live, and by itself done.
	b.open(url + "/accounts/robin")
	b.shows("First sync", "reading events from Outlook, 150 so far")
	b.look("progress")
	p.waitFor(`msg="first sync" account=robin`)
	b.open(url + "/calendars/robin")
	b.shows("The first sync of Calendar is in progress: not everything is here yet.")
	b.open(url + "/accounts/robin")
	close(slow.opened)
	b.shows("In sync with Outlook", "600")
	b.look("account")
	p.waitFor(`msg="first sync done" account=robin`)
	b.open(url + "/calendars/robin")
	b.shows("Last good sync")

	// What has changed.
	cal := box.Calendar()
	id := cal.Create(graphsim.Event{Subject: "Planning, once more", Start: time.Now().Add(time.Hour), End: time.Now().Add(2 * time.Hour)})
	history := url + "/accounts/robin/history/calendar"
	eventually(t, "1 new", func() bool { b.open(history); return strings.Contains(b.text(), "1 new") })
	if err := cal.Delete(id); err != nil {
		t.Fatal(err)
	}
	eventually(t, "1 deleted", func() bool { b.open(history); return strings.Contains(b.text(), "1 deleted") })
	b.shows("600 new", "Planning, once more", "and 580 more")
	b.look("history")

	// Nobody has signed in to the other account, and every page leads to that.
	b.open(url + "/calendars/kim")
	b.shows("Nobody has signed in to this account yet")
	b.look("calendar-unsigned")
	b.press("Sign in to Microsoft")
	b.shows("Get a code")
	b.open(url + "/accounts/kim")
	b.shows("after the sign-in")
	if strings.Contains(b.text(), "Sync now") {
		t.Error("a sync is offered that does nothing")
	}

	// Notifications, first to an address that does not work.
	hook := newHook(t)
	b.open(url + "/settings")
	b.shows("Notifications")
	b.check("kind-url")
	b.fill("address", "not an address")
	b.press("Add")
	b.shows("Notifications cannot be sent to this address.")
	b.check("kind-mail")
	b.fill("server", "mail.example.com")
	b.fill("from", "bridge")
	b.look("notifications-mail")
	b.press("Add")
	b.shows("is no mail address")
	b.check("kind-webhook")
	b.fill("hook", hook.URL+"/secret-path?token=secret")
	b.press("Add")
	b.shows("Saved. Try it out", "Webhook at 127.0.0.1", "none yet")
	b.press("Send a test message")
	b.shows("The test message was sent.", "just now")
	if got := hook.got(); got != "outbridge: a test message" {
		t.Errorf("the webhook got %q", got)
	}
	if strings.Contains(b.text(), "secret-path") {
		t.Error("the address is shown")
	}
	b.look("notifications")

	// A sign-in ends.
	sim.RevokeTokens(box)
	sim.ExpireAccessTokens()
	eventually(t, "the notification", func() bool { return strings.Contains(hook.got(), "robin needs a new sign-in") })
	b.open(url + "/calendars/robin/calendar")
	b.shows("The sign-in has ended, so nothing is synced. You see what was there")
	b.look("calendar-ended")
	b.press("Sign in again")
	b.shows("Get a code")
	b.open(url + "/accounts/robin")
	b.shows("after you have signed in again")
	b.look("account-ended")
	p.end(syscall.SIGTERM)
	text, _ := p.out.read()
	if strings.Contains(text, "secret") {
		t.Error("the address is in the log")
	}

	// It is told once, also across a restart, and once that it is over.
	p = start(t, dir, "serve")
	p.waitFor(`msg=serving`)
	outbridge(t, dir, "login", "robin")
	eventually(t, "the end of it", func() bool { return strings.Contains(hook.got(), "over: robin needs a new sign-in") })
	if got := hook.got(); got != "outbridge: a test message; outbridge: robin needs a new sign-in; outbridge: over: robin needs a new sign-in" {
		t.Errorf("the webhook got %q", got)
	}
	if out := outbridge(t, dir, "notify", "test"); !strings.Contains(out, "Webhook at 127.0.0.1: sent") {
		t.Errorf("notify test: %s", out)
	}
	p.end(syscall.SIGTERM)
}
