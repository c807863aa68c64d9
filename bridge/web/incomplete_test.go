package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/web"
)

// TestIncomplete: a calendar of which Graph does not list what begins after the window says so, on pages and in the metrics, as
// long as that lasts.
func TestIncomplete(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	m := web.NewMetrics("test")
	m.Store, m.Log = d.store, d.b.Log
	d.b.Done = m.Round
	now := time.Now()
	d.b.Now = func() time.Time { return now }
	d.sim.Fault = func(r *http.Request) *graphsim.Fault {
		if strings.HasSuffix(r.URL.Path, "/events") {
			return &graphsim.Fault{Status: 501}
		}
		return nil
	}
	d.meeting("Review")
	for range 5 {
		_, _ = d.b.Round(t.Context(), d.m) // the first of them fails by it
	}
	p := d.admin()
	const gauge = `outbridge_calendar_incomplete{account="alice",calendar="calendar"}`
	if got := p.get("/accounts/alice").body; !strings.Contains(got, "Incomplete") || !strings.Contains(got, "does not list what begins after") || !strings.Contains(got, "tries again every hour") {
		t.Errorf("the page of the account:\n%s", got)
	}
	if got := p.get("/").body; !strings.Contains(got, "Incomplete") {
		t.Errorf("the list of accounts:\n%s", got)
	}
	if got := scrape(t, m)[gauge]; got != "1" {
		t.Errorf("%s is %q", gauge, got)
	}
	d.sim.Fault = nil
	now = now.Add(2 * time.Hour)
	d.round()
	if got := p.get("/accounts/alice").body; strings.Contains(got, "Incomplete") {
		t.Errorf("the page of the account, when all is well:\n%s", got)
	}
	if got := scrape(t, m)[gauge]; got != "0" {
		t.Errorf("%s is %q when all is well", gauge, got)
	}
}
