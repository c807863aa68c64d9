package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round/roundtest"
	"outbridge/bridge/web"
)

// scrape reads the metrics like Prometheus: the value of each series, by its name and labels as written.
func scrape(t testing.TB, m *web.Metrics) map[string]string {
	t.Helper()
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if rec.Code != 200 {
		t.Fatalf("metrics: %d %s", rec.Code, rec.Body)
	}
	series := map[string]string{}
	for line := range strings.Lines(rec.Body.String()) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			series[line[:i]] = strings.TrimSpace(line[i+1:])
		}
	}
	return series
}

// measure makes m count what happens in w.
func measure(w *roundtest.World, m *web.Metrics) {
	m.Store, m.Log = w.Store, w.Log
	w.Rounds.Done = m.Round
	w.Client.Observe = func(o graph.Observation) {
		m.Requested("alice", web.GraphRequest{Operation: o.Op, Status: o.Status, Took: o.Took, Throttled: o.Throttled, Again: o.Again, Part: o.Part})
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	var throttle atomic.Bool
	w := roundtest.New(t, func(s *graphsim.Server) {
		s.Fault = func(r *http.Request) *graphsim.Fault {
			if strings.HasPrefix(r.URL.Path, "/v1.0/") && throttle.CompareAndSwap(true, false) {
				return &graphsim.Fault{Status: 429, RetryAfter: time.Second}
			}
			return nil
		}
	})
	m := web.NewMetrics("test")
	measure(w, m)
	has := func(want map[string]string) {
		t.Helper()
		got := scrape(t, m)
		for series, value := range want {
			if got[series] != value {
				t.Errorf("%s is %q, want %q", series, got[series], value)
			}
		}
	}
	cal := w.Box.Calendar()
	id := cal.Create(roundtest.Meeting("Review", 1, 10))
	cal.Create(roundtest.Meeting("Lunch", 2, 12))
	w.Round()
	last := fmt.Sprintf("%g", float64(w.Now().Unix()))
	has(map[string]string{
		`outbridge_rounds_total{account="alice",result="good"}`:                                  "1",
		`outbridge_round_seconds_count{account="alice"}`:                                         "1",
		`outbridge_changed_objects_total{account="alice",calendar="calendar"}`:                   "2",
		`outbridge_removed_objects_total{account="alice",calendar="calendar"}`:                   "0",
		`outbridge_calendar_objects{account="alice",calendar="calendar"}`:                        "2",
		`outbridge_calendar_losses{account="alice",calendar="calendar"}`:                         "0",
		`outbridge_calendar_failed{account="alice",calendar="calendar"}`:                         "0",
		`outbridge_calendar_last_success_timestamp_seconds{account="alice",calendar="calendar"}`: last,
		`outbridge_account_state{account="alice",state="ok"}`:                                    "1",
		`outbridge_account_state{account="alice",state="sign-in"}`:                               "0",
		`outbridge_graph_requests_total{account="alice",code="200",operation="read calendars"}`:  "1",
		`outbridge_graph_retries_total{account="alice"}`:                                         "",
		`outbridge_access_token_expiry_timestamp_seconds{account="alice"}`:                       fmt.Sprintf("%g", float64(w.Client.TokenExpires().Unix())),
		fmt.Sprintf(`outbridge_build_info{goversion=%q,version="test"}`, runtime.Version()):      "1",
	})

	throttle.Store(true)
	if err := cal.Delete(id); err != nil {
		t.Fatal(err)
	}
	w.Round()
	has(map[string]string{
		`outbridge_graph_throttled_total{account="alice"}`:                                      "1",
		`outbridge_graph_retries_total{account="alice"}`:                                        "1",
		`outbridge_graph_requests_total{account="alice",code="429",operation="read calendars"}`: "1",
		`outbridge_changed_objects_total{account="alice",calendar="calendar"}`:                  "3",
		`outbridge_removed_objects_total{account="alice",calendar="calendar"}`:                  "1",
		`outbridge_calendar_objects{account="alice",calendar="calendar"}`:                       "1",
	})
	last = fmt.Sprintf("%g", float64(w.Now().Unix()))

	// A revoked sign-in: the state says so, and the last good sync stays.
	w.Sim.RevokeTokens(w.Box)
	w.Sim.ExpireAccessTokens()
	w.Pass(time.Minute)
	if _, err := w.Rounds.Round(w.Ctx, w.Mailbox); err == nil {
		t.Fatal("a round without a sign-in was good")
	}
	has(map[string]string{
		`outbridge_rounds_total{account="alice",result="failed"}`:                                "1",
		`outbridge_account_state{account="alice",state="ok"}`:                                    "0",
		`outbridge_account_state{account="alice",state="sign-in"}`:                               "1",
		`outbridge_calendar_last_success_timestamp_seconds{account="alice",calendar="calendar"}`: last,
	})

	m.Forget("alice")
	for series := range scrape(t, m) {
		if strings.Contains(series, `calendar="calendar"`) && !strings.Contains(series, "_total") {
			t.Errorf("%s is still there", series)
		}
	}
}

// TestMetricsForgetCalendars: a calendar removed from Outlook is removed from the gauges, so that nobody is alerted
// because its last success is long ago.
func TestMetricsForgetCalendars(t *testing.T) {
	t.Parallel()
	w := roundtest.New(t)
	m := web.NewMetrics("test")
	measure(w, m)
	family := w.Box.AddCalendar("Family", "#00cc6a")
	w.Round()
	const series = `outbridge_calendar_last_success_timestamp_seconds{account="alice",calendar="family"}`
	if scrape(t, m)[series] == "" {
		t.Fatalf("%s is missing", series)
	}
	w.Box.RemoveCalendar(family)
	w.Round()
	if v := scrape(t, m)[series]; v != "" {
		t.Errorf("%s is still %s", series, v)
	}
}

// TestMetricsElsewhere: what a machine says of an account's access token ends when another one has synced it since, so that nobody is
// alerted by one that is not used any more.
func TestMetricsElsewhere(t *testing.T) {
	t.Parallel()
	w := roundtest.New(t)
	m := web.NewMetrics("test")
	measure(w, m)
	w.Round()
	const expiry = `outbridge_access_token_expiry_timestamp_seconds{account="alice"}`
	last := time.Now()
	tell := func(at time.Time) { m.Elsewhere(func(string) time.Time { return at }) }
	tell(last.Add(-time.Hour))
	tell(time.Time{})
	if scrape(t, m)[expiry] == "" {
		t.Fatal("it is not told here")
	}
	tell(last.Add(time.Second))
	if v := scrape(t, m)[expiry]; v != "" {
		t.Errorf("it is told still: %q", v)
	}
	w.Round()
	if scrape(t, m)[expiry] == "" {
		t.Error("it is not told again")
	}
}

// TestMetricsShared: of several machines the one that is told how accounts are tells it, and no round does.
func TestMetricsShared(t *testing.T) {
	t.Parallel()
	w := roundtest.New(t)
	m := web.NewMetrics("test")
	m.Shared = true
	measure(w, m)
	w.Box.Calendar().Create(roundtest.Meeting("Review", 1, 10))
	w.Round()
	m.WritesWait("alice", 3)
	shared := func() map[string]string {
		found := map[string]string{}
		for series, value := range scrape(t, m) {
			for _, name := range []string{"account_state", "calendar_", "writes_waiting"} {
				if strings.HasPrefix(series, "outbridge_"+name) {
					found[series] = value
				}
			}
		}
		return found
	}
	if list := shared(); len(list) != 0 {
		t.Fatalf("a round tells what is shared: %v", list)
	}
	if v := scrape(t, m); v[`outbridge_rounds_total{account="alice",result="good"}`] != "1" || v[`outbridge_changed_objects_total{account="alice",calendar="calendar"}`] != "1" {
		t.Error("a round is not counted where it was done")
	}
	if _, err := w.Store.CountFigures(t.Context(), w.Now(), 10); err != nil {
		t.Fatal(err)
	}
	list, err := w.Store.Figures(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m.Tell(append(list, bridge.AccountFigures{Account: "bob", State: bridge.State{Code: bridge.StateSignIn}, Waiting: 2, Calendars: []bridge.CalendarFigures{
		{Name: "family", Failed: true}, {Name: "work", Incomplete: true}}}))
	got := shared()
	for series, value := range map[string]string{
		`outbridge_account_state{account="alice",state="ok"}`:                                    "1",
		`outbridge_account_state{account="bob",state="ok"}`:                                      "0",
		`outbridge_account_state{account="bob",state="sign-in"}`:                                 "1",
		`outbridge_writes_waiting{account="bob"}`:                                                "2",
		`outbridge_calendar_objects{account="alice",calendar="calendar"}`:                        "1",
		`outbridge_calendar_losses{account="alice",calendar="calendar"}`:                         "0",
		`outbridge_calendar_objects{account="bob",calendar="family"}`:                            "",
		`outbridge_calendar_failed{account="bob",calendar="family"}`:                             "1",
		`outbridge_calendar_incomplete{account="bob",calendar="work"}`:                           "1",
		`outbridge_calendar_last_success_timestamp_seconds{account="alice",calendar="calendar"}`: fmt.Sprintf("%g", float64(w.Now().Unix())),
	} {
		if got[series] != value {
			t.Errorf("%s is %q, want %q", series, got[series], value)
		}
	}
	m.Tell([]bridge.AccountFigures{{Account: "bob", Calendars: []bridge.CalendarFigures{{Name: "work"}}}})
	for series := range shared() {
		if strings.Contains(series, `"alice"`) || strings.Contains(series, `"family"`) {
			t.Errorf("%s is told of what is gone", series)
		}
	}
	if m.Silence(); len(shared()) != 0 {
		t.Errorf("it is told still: %v", shared())
	}
}

// TestMetricsThrottledPart: a throttled request inside a batch counts as throttled, but not as an HTTP request.
func TestMetricsThrottledPart(t *testing.T) {
	t.Parallel()
	m := web.NewMetrics("test")
	m.Requested("alice", web.GraphRequest{Operation: "read series", Status: 429, Throttled: true, Part: true})
	got := scrape(t, m)
	if got[`outbridge_graph_throttled_total{account="alice"}`] != "1" {
		t.Error("it does not count as throttled")
	}
	for series := range got {
		if strings.HasPrefix(series, "outbridge_graph_requests_total{") {
			t.Errorf("it counts as a request: %s", series)
		}
	}
}

// TestDashboard: the metrics and labels that docs/grafana.json uses exist.
func TestDashboard(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Type    string
			Targets []struct{ Expr, LegendFormat string }
		}
		Templating struct{ List []struct{ Query string } }
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	m := web.NewMetrics("test")
	w := roundtest.New(t)
	measure(w, m)
	w.Box.Calendar().Create(roundtest.Meeting("Review", 1, 10))
	w.Round()
	m.Requested("alice", web.GraphRequest{Operation: "read calendars", Status: 429, Throttled: true, Again: true})
	m.Served("dav", "PROPFIND", 207, time.Second)
	m.Rendered(time.Second)
	m.Pushed("sent")
	m.CredentialExpires("secret", roundtest.Start)
	m.Wrote(bridge.Intent{User: "alice", Operation: bridge.IntentPut, State: bridge.IntentDone, Mails: 2})
	m.Wrote(bridge.Intent{User: "alice", Operation: bridge.IntentPut, State: bridge.IntentOpen})
	m.WritesWait("alice", 1)
	if got := scrape(t, m); got[`outbridge_writes_total{account="alice",operation="put",state="done"}`] != "1" || got[`outbridge_write_mails_total{account="alice"}`] != "2" {
		t.Error("a write is not counted once, with its mails")
	}
	labels := map[string]map[string]bool{} // metric → its labels
	name := regexp.MustCompile(`^[a-z_]+`)
	label := regexp.MustCompile(`([a-z_]+)="`)
	for series := range scrape(t, m) {
		metric := name.FindString(series)
		if labels[metric] == nil {
			labels[metric] = map[string]bool{"job": true}
		}
		for _, l := range label.FindAllStringSubmatch(series, -1) {
			labels[metric][l[1]] = true
		}
	}
	var used []string
	check := func(where, expr string) {
		t.Helper()
		metrics := regexp.MustCompile(`\b(?:outbridge|process|go)_[a-z_]+`).FindAllString(expr, -1)
		used = append(used, metrics...)
		if len(metrics) == 0 {
			t.Errorf("%s: no metric in %s", where, expr)
		}
		for _, metric := range metrics {
			if labels[metric] == nil {
				t.Errorf("%s: there is no metric %s", where, metric)
			}
		}
		for _, selector := range regexp.MustCompile(`([a-z_]+)\{([^}]*)\}`).FindAllStringSubmatch(expr, -1) {
			for _, l := range regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"`).FindAllStringSubmatch(selector[2], -1) {
				if !labels[selector[1]][l[1]] {
					t.Errorf("%s: %s has no label %s", where, selector[1], l[1])
				}
			}
		}
		if open, shut := strings.Count(expr, "("), strings.Count(expr, ")"); open != shut {
			t.Errorf("%s: %d ( and %d ) in %s", where, open, shut, expr)
		}
	}
	for _, p := range board.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%s asks for nothing", p.Title)
		}
		for _, target := range p.Targets {
			check(p.Title, target.Expr)
			for _, l := range regexp.MustCompile(`\{\{([a-z_]+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				if !slices.ContainsFunc(regexp.MustCompile(`outbridge_[a-z_]+`).FindAllString(target.Expr, -1), func(metric string) bool { return labels[metric][l[1]] }) {
					t.Errorf("%s: the legend names the label %s, which is not there", p.Title, l[1])
				}
			}
		}
	}
	for _, v := range board.Templating.List {
		if v.Query != "prometheus" {
			check("variable", v.Query)
		}
	}
	for metric := range labels {
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(metric, "_bucket"), "_count"), "_sum")
		if strings.HasPrefix(metric, "outbridge_") && !slices.ContainsFunc(used, func(u string) bool { return strings.HasPrefix(u, base) }) {
			t.Errorf("the dashboard does not show %s", metric)
		}
	}
}
