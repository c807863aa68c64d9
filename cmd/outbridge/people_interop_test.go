//go:build interop

package main

import (
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// TestPeoplePages goes through what an administrator and a person see of each other in a real browser: an invitation, a sign-in with
// Microsoft, a mailbox that is connected, and the record.
func TestPeoplePages(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box := sim.AddMailbox("kim@contoso.example", "Kim", "UTC")
	box.Calendar().Create(graphsim.Event{Subject: "Secret of Kim", Start: time.Now().UTC().Add(time.Hour), End: time.Now().UTC().Add(2 * time.Hour)})
	sim.AddMailbox("pat@contoso.example", "Pat", "UTC")
	o := newOutlook(t, sim, nil)
	dir := pagesConfigFor(t, o, "[pages]\nmicrosoft = true\n")
	p := start(t, dir, "serve")
	found := p.waitFor(`open (\S+)/setup\?code=(\S+)$`)
	url, code := found[0], found[1]
	admin := newBrowser(t)
	admin.open(url + "/setup?code=" + code)
	admin.fill("password", "correct horse battery")
	admin.fill("repeat", "correct horse battery")
	admin.press("Set password")
	admin.press("People")
	admin.look("people-none")
	admin.fill("name", "Kim")
	admin.press("Make a link")
	admin.shows("Link of the invitation", "their own mailbox")
	admin.look("people-invited")
	link := admin.value("new-secret")

	// Somebody whom nobody has invited is told what to do.
	pat := newBrowser(t)
	pat.open(url + "/sign-in")
	pat.look("sign-in-microsoft")
	pat.press("Sign in with Microsoft")
	pat.press("Sign in as pat@contoso.example")
	pat.shows("have no account on this bridge", "object ID")
	pat.look("stranger")

	kim := newBrowser(t)
	kim.open(link)
	kim.shows("Kim, you are invited")
	kim.look("invitation")
	kim.press("Sign in with Microsoft")
	kim.press("Sign in as kim@contoso.example")
	kim.shows("Connect my calendar")
	kim.look("connect-mailbox")
	kim.press("Connect my calendar")
	kim.press("Sign in as kim@contoso.example")
	kim.shows("In sync with Outlook")
	kim.open(url + "/")
	kim.shows("View calendars")
	kim.look("own-accounts")
	kim.press("Settings")
	kim.shows("Signed-in browsers")
	kim.look("own-settings")
	kim.open(url + "/accounts/kim/passwords")
	kim.look("own-passwords")

	admin.open(url + "/people")
	admin.shows("kim@contoso.example")
	admin.look("people")
	admin.open(url + "/accounts/kim")
	admin.shows("kim")
	admin.look("others-account")
	admin.open(url + "/accounts/kim/passwords")
	admin.shows("Only the person to whom this account belongs")
	admin.look("others-passwords")
	admin.open(url + "/calendars/kim")
	admin.shows("Only the person to whom this account belongs sees its events")
	admin.look("refused")
	admin.open(url + "/record")
	admin.shows("accepted an invitation", "connected a mailbox", "was refused")
	admin.look("record")
	admin.open(url + "/people")
	admin.press("Remove kim@contoso.example")
	admin.look("person-remove")
	admin.press("Remove")
	admin.shows("The person was removed")
	if text, _ := p.out.read(); strings.Contains(text, "Secret of Kim") {
		t.Error("the log tells of an event")
	}
}
