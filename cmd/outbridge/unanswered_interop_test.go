//go:build interop

package main

import (
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"outbridge/bridge/graph/graphsim"
)

// TestOutlookUnanswered has Outlook answer 503 to the rounds of a server, and looks at what people are told: on the pages, in both languages,
// and by the command status.
func TestOutlookUnanswered(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, AutoApprove: true, DeviceInterval: time.Second}
	var down atomic.Bool
	sim.Fault = func(r *http.Request) *graphsim.Fault {
		if down.Load() && strings.HasPrefix(r.URL.Path, "/v1.0/") {
			return &graphsim.Fault{Status: http.StatusServiceUnavailable, RetryAfter: 10 * time.Second}
		}
		return nil
	}
	box, _ := officeWeek(sim)
	dir := writeConfig(t, newOutlook(t, sim, box))
	outbridge(t, dir, "login", "alice")
	p := start(t, dir, "serve")
	b := newBrowser(t)
	url := b.setUp(p)
	b.open(url + "/accounts/alice")
	b.shows("In sync with Outlook")

	down.Store(true)
	eventually(t, "that Outlook does not answer", func() bool {
		b.open(url + "/accounts/alice")
		return strings.Contains(b.text(), "Microsoft is not responding")
	})
	told := regexp.MustCompile(`Outlook has not answered since [\d:]{8}\. It is asked again at [\d:]{8}\.`)
	if text := b.text(); !told.MatchString(text) || strings.Contains(text, "In sync") || strings.Contains(text, "Sync now") || strings.Contains(text, "Syncing now") {
		t.Errorf("the page of the account says\n%s", text)
	}
	eventually(t, "status", func() bool {
		out := outbridge(t, dir, "status")
		return regexp.MustCompile(`\n  Outlook has not answered since [-\d]{10} [\d:]{8}; it is asked again (at [\d:]{8}|now)\n`).MatchString(out)
	})
	b.look("account-unanswered")
	b.open(url + "/")
	b.shows("Microsoft is not responding")
	b.look("front-unanswered")
	german := newBrowser(t, chromedp.Flag("accept-lang", "de-DE,de,en"))
	german.open(url + "/sign-in")
	german.look("anmelden")
	german.fill("password", "correct horse battery")
	german.press("Anmelden")
	german.open(url + "/accounts/alice")
	german.shows("Microsoft antwortet nicht")
	german.look("konto-unbeantwortet")

	// A round that has failed is told as well, from when the first one did.
	p.waitFor(`msg="round failed`)
	if out := outbridge(t, dir, "status"); !strings.Contains(out, "  Outlook has not answered since ") {
		t.Errorf("after the round: %s", out)
	}
	down.Store(false)
	eventually(t, "that it answers again", func() bool {
		b.open(url + "/accounts/alice")
		return strings.Contains(b.text(), "In sync with Outlook")
	})
	eventually(t, "status", func() bool {
		out := outbridge(t, dir, "status")
		return strings.HasPrefix(out, "alice: ok") && !strings.Contains(out, "has not answered")
	})
	p.end(syscall.SIGTERM)
}
