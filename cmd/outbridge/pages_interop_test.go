//go:build interop

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
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

// TestPages goes through the pages in a real browser, from the first visit of an empty bridge to signing out.
func TestPages(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box := sim.DemoMailbox()
	kim := sim.AddMailbox("kim@contoso.example", "Kim", "Tokyo Standard Time")
	kim.Calendar().Create(graphsim.Event{Subject: "Review", Start: time.Now().Add(time.Hour), End: time.Now().Add(2 * time.Hour)})
	outlook := httptest.NewServer(sim)
	t.Cleanup(outlook.Close)
	dir := t.TempDir()
	// Without client_id and accounts: these are of the pages.
	config := fmt.Sprintf("listen = \"127.0.0.1:0\"\n[microsoft]\ncloud = \"custom\"\nlogin_url = %q\ngraph_url = %q\n[sync]\ninterval = \"5s\"\n", outlook.URL, outlook.URL)
	if err := os.WriteFile(filepath.Join(dir, "outbridge.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, dir, "serve")
	found := p.waitFor(`open (\S+)/setup and enter the setup code (\S+)$`)
	url, code := found[0], found[1]
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
	b.shows("The sign-in was declined.")
	b.look("declined")
	b.press("Back")
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
	b.open(url + "/accounts/robin/passwords")
	if strings.Contains(b.text(), password) {
		t.Error("the app password is shown again")
	}
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
	b.unfold("end-1")
	b.look("feed-end")
	b.press("New address for feed")
	if b.value("new-secret") == feed {
		t.Error("the feed has its old address")
	}
	if status, _ := fetch(t, "GET", feed, "", ""); status != 404 {
		t.Errorf("the old address is answered %d", status)
	}
	b.unfold("end-1")
	b.press("Remove feed")
	b.shows("Feed removed.")

	// Connecting, with a profile for Apple's apps too.
	b.open(url + "/accounts/robin/connect")
	b.look("connect")
	for _, client := range []string{"apple", "thunderbird", "davx5", "vdirsyncer", "caldav-synchronizer"} {
		b.unfold(client)
	}
	b.look("connect-open")
	b.press("Create a profile link")
	link := b.value("profile-link")
	b.look("profile")
	status, profile := fetch(t, "GET", link, "", "")
	secret := strings.NewReplacer("<string>", "", "</string>", "").Replace(lineAfter(profile, "<key>CalDAVPassword</key>"))
	if status != 200 || !strings.Contains(profile, "<string>robin</string>") {
		t.Errorf("the profile is answered %d\n%s", status, profile)
	}
	if status, _ := fetch(t, "PROPFIND", home, "robin", secret); status != 207 {
		t.Errorf("the password of the profile is answered %d", status)
	}
	if status, _ := fetch(t, "GET", link, "", ""); status != http.StatusGone {
		t.Errorf("the profile's link works twice: %d", status)
	}

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
	b.shows("There is no such page.")
	b.look("problem")

	// What the pages have made is there for the command line, and after a restart.
	var report struct{ Accounts []struct{ Account string } }
	if err := json.Unmarshal([]byte(outbridge(t, dir, "status", "--json")), &report); err != nil || len(report.Accounts) != 1 || report.Accounts[0].Account != "robin" {
		t.Errorf("status: %+v, %v", report, err)
	}
	p.end(syscall.SIGTERM)
	if text, _ := p.out.read(); strings.Contains(text, password) || strings.Contains(text, path.Base(feed)) || strings.Contains(text, "horse battery") {
		t.Error("a secret is in the log")
	}
	p = start(t, dir, "serve")
	url = p.waitFor(`msg=serving listen=(\S+)`)[0]
	if text, _ := p.out.read(); strings.Contains(text, "setup code") {
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

// lineAfter is the line that follows the one with mark in it.
func lineAfter(text, mark string) string {
	_, rest, _ := strings.Cut(text, mark+"\n")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}
