//go:build interop

package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// emptyBridge serves, with neither client_id nor accounts: these are of the pages. It returns the address of the pages and the set-up code.
func emptyBridge(t *testing.T, sim *graphsim.Server) (p *process, url, code string) {
	t.Helper()
	outlook := httptest.NewServer(sim)
	t.Cleanup(outlook.Close)
	dir := t.TempDir()
	config := fmt.Sprintf("listen = \"127.0.0.1:0\"\n[microsoft]\ncloud = \"custom\"\nlogin_url = %q\ngraph_url = %q\n[sync]\ninterval = \"5s\"\n", outlook.URL, outlook.URL)
	if err := os.WriteFile(filepath.Join(dir, "outbridge.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p = start(t, dir, "serve")
	found := p.waitFor(`open (\S+)/setup\?code=(\S+)$`)
	return p, found[0], found[1]
}

// TestPages goes through the pages in a real browser, from the first visit of an empty bridge to signing out.
func TestPages(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box := sim.DemoMailbox()
	kim := sim.AddMailbox("kim@contoso.example", "Kim", "Tokyo Standard Time")
	kim.Calendar().Create(graphsim.Event{Subject: "Review", Start: time.Now().Add(time.Hour), End: time.Now().Add(2 * time.Hour)})
	p, url, code := emptyBridge(t, sim)
	b := newBrowser(t)

	// First visit.
	b.open(url + "/")
	b.shows("This bridge is running", url+"/")
	b.look("front")
	b.press("Set up")
	b.look("setup")
	b.fill("code", "AAAAA-AAAAA")
	b.fill("password", "correct horse battery")
	b.fill("repeat", "correct horse battery")
	b.press("Set password")
	b.shows("The setup code is wrong.")
	b.look("setup-wrong")
	b.fill("code", strings.ToLower(code))
	b.fill("password", "correct horse battery")
	b.fill("repeat", "correct horse battery")
	b.press("Set password")
	b.shows("First, register an app")
	b.look("first")

	// The app registration, which Microsoft has to know.
	b.press("Enter the app registration")
	b.fill("client_id", "99999999-2222-3333-4444-555555555555")
	b.press("Save")
	b.shows("The app is not known in this tenant. Microsoft says:")
	b.look("app")
	b.fill("client_id", testClientID)
	b.press("Save")

	// An account, by code.
	b.shows("Add an account")
	b.look("account-new")
	b.fill("name", "robin")
	b.press("Continue")
	b.look("sign-in-choice")
	b.press("Get a code")
	b.shows("Waiting for you")
	b.look("code")
	if err := sim.ApproveDevice(b.read("user-code"), box); err != nil {
		t.Fatal(err)
	}
	b.shows("Signed in. The first sync has started.") // by itself
	b.shows("In sync with Outlook", "Family", "Birthdays", "these pages")
	b.look("account")

	// Another one, in the browser: declined first.
	b.open(url + "/new-account")
	b.fill("name", "kim")
	b.press("Continue")
	b.press("Go to Microsoft")
	b.shows("Pick an account")
	b.press("Refuse")
	b.shows("The sign-in was declined.", "With a code") // back at its form
	b.look("declined")
	b.press("Go to Microsoft")
	b.press("Sign in as " + kim.Address())
	b.shows("Signed in. The first sync has started.", "kim")
	if !strings.HasPrefix(b.at(), url+"/accounts/kim") {
		t.Errorf("the sign-in ends at %s", b.at())
	}
	// As somebody else only where that is meant.
	b.open(url + "/accounts/kim/sign-in")
	b.look("sign-in-again")
	b.press("Go to Microsoft")
	b.press("Sign in as " + box.Address())
	b.shows("This account belongs to kim@contoso.example, but you signed in as " + box.Address())
	b.open(url + "/")
	b.shows("robin", "kim")
	b.look("accounts")

	// What clients see.
	b.press("View calendars of robin")
	b.shows("Stand-up")
	b.look("calendars")
	b.open(url + "/calendars/robin/calendar?view=month")
	b.shows("Differences from Outlook", "Stand-up")
	b.look("calendar")

	// An app password that works.
	b.open(url + "/accounts/robin/passwords")
	b.fill("label", "Thunderbird on the laptop")
	b.press("Create an app password")
	password := b.value("new-secret")
	b.look("password")
	home := url + "/dav/calendars/robin/"
	if status, _ := fetch(t, "PROPFIND", home, "robin", password); status != 207 {
		t.Errorf("the app password is answered %d", status)
	}
	b.copy("new-secret")
	b.shows("Copied")
	b.reload()
	if again := b.value("new-secret"); again != password {
		t.Errorf("a reload shows %q", again)
	}
	b.open(url + "/accounts/robin/passwords")
	if strings.Contains(b.text(), password) {
		t.Error("the app password is shown again")
	}
	b.press("Revoke the app password")
	b.shows("Revoke the app password for Thunderbird on the laptop?", "It was last used within the hour")
	b.look("revoke")
	b.press("Revoke")
	b.shows("App password revoked.")
	b.look("passwords")
	if status, _ := fetch(t, "PROPFIND", home, "robin", password); status != 401 {
		t.Errorf("a revoked app password is answered %d", status)
	}

	// A feed.
	b.open(url + "/accounts/robin/feeds")
	b.look("feeds-none")
	b.fill("name", "Robin is busy")
	b.check("busy")
	b.press("Create feed")
	feed := b.value("new-secret")
	b.look("feed-made")
	if status, body := fetch(t, "GET", feed, "", ""); status != 200 || !strings.Contains(body, "SUMMARY:Busy") || strings.Contains(body, "Stand-up") {
		t.Errorf("the feed is answered %d\n%.2000s", status, body)
	}
	b.press("Edit feed Robin is busy")
	b.check("full")
	b.look("feed-change")
	b.press("Save")
	b.shows("Feed changed.", "Everything")
	b.look("feeds")
	if status, body := fetch(t, "GET", feed, "", ""); status != 200 || !strings.Contains(body, "SUMMARY:Stand-up") {
		t.Errorf("the changed feed is answered %d", status)
	}
	b.press("New address for feed")
	b.look("feed-end")
	b.press("Give it a new address")
	rotated := b.value("new-secret")
	if rotated == feed {
		t.Error("the feed has its old address")
	}
	b.reload()
	if again := b.value("new-secret"); again != rotated {
		t.Errorf("a reload gives the feed the address %s", again)
	}
	if status, _ := fetch(t, "GET", feed, "", ""); status != 404 {
		t.Errorf("the old address is answered %d", status)
	}
	b.open(url + "/accounts/robin/feeds")
	b.press("Remove feed")
	b.press("Remove")
	b.shows("Feed removed.")

	// Connecting.
	b.open(url + "/accounts/robin/connect")
	b.look("connect")
	for _, client := range []string{"apple", "thunderbird", "davx5", "vdirsyncer", "caldav-synchronizer"} {
		b.unfold(client)
	}
	b.look("connect-open")
	if strings.Contains(b.text(), "Create a profile link") {
		t.Error("a phone is offered a profile that would lead it to itself")
	}
	b.shows("is an address that only this machine can reach")
	b.press("Create an app password for DAVx⁵")
	secret := b.value("new-secret")

	// Which calendars, and how to sync.
	b.open(url + "/accounts/robin/options")
	b.shows("Family", "Other people's calendars")
	b.look("options")
	b.press("Save")
	b.shows("Saved. It is in use from now on.")
	b.open(url + "/settings/sync")
	b.shows("It is set in the configuration.") // the interval
	b.look("sync")
	b.press("Save")
	b.reload()
	b.shows("Saved. It is in use from now on.")
	b.open(url + "/app")
	b.shows("Client secret or certificate")
	b.look("app-credential")

	// The account that nobody wants any more, and the way out.
	b.open(url + "/accounts/kim/remove")
	b.look("remove")
	b.press("Remove kim")
	b.shows("The account and everything stored for it have been removed.")
	b.press("Settings")
	b.shows("Chrome on Linux")
	b.look("settings")
	b.fill("current", "correct horse battery")
	b.fill("password", "a better horse battery")
	b.fill("repeat", "a better horse battery")
	b.press("Change password")
	b.shows("Password changed.")
	b.press("Sign out")
	b.open(url + "/accounts/robin/feeds")
	b.shows("Administrator password")
	b.look("sign-in")
	b.fill("password", "correct horse battery")
	b.press("Sign in")
	b.shows("The password is wrong.")
	b.fill("password", "a better horse battery")
	b.press("Sign in")
	b.shows("New feed") // where it was going
	b.open(url + "/accounts/nobody")
	b.shows("There is no such page", "Nothing is at this address.")
	b.look("problem")

	// What the pages have made is there for the command line, and after a restart.
	var report struct{ Accounts []struct{ Account string } }
	if err := json.Unmarshal([]byte(outbridge(t, p.cmd.Dir, "status", "--json")), &report); err != nil || len(report.Accounts) != 1 || report.Accounts[0].Account != "robin" {
		t.Errorf("status: %+v, %v", report, err)
	}
	p.end(syscall.SIGTERM)
	if text, _ := p.out.read(); strings.Contains(text, password) || strings.Contains(text, path.Base(feed)) || strings.Contains(text, "horse battery") {
		t.Error("a secret is in the log")
	}
	p = start(t, p.cmd.Dir, "serve")
	url = p.waitFor(`msg=serving listen=(\S+)`)[0]
	if text, _ := p.out.read(); strings.Contains(text, "/setup") {
		t.Error("it asks for its setup again")
	}
	if status, _ := fetch(t, "PROPFIND", url+"/dav/calendars/robin/", "robin", secret); status != 207 {
		t.Errorf("after a restart the password is answered %d", status)
	}
	p.end(syscall.SIGTERM)
	if v := sim.Violations(); len(v) > 0 {
		t.Errorf("Graph's rules were broken: %q", v)
	}
}
