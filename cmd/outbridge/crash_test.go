package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// TestKill kills the server in the middle of a first sync, in each of its phases, and starts it again: it goes on
// where it was, ends complete, and has nothing twice.
func TestKill(t *testing.T) {
	t.Parallel()
	const singles, series = 2500, 60
	gate := &gate{}
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second, Fault: gate.fault}
	box := sim.AddMailbox("alice@contoso.example", "Alice", "W. Europe Standard Time")
	cal := box.Calendar()
	first := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, -3, 0)
	for i := range singles {
		at := first.AddDate(0, 0, i%400).Add(time.Duration(8+i%9) * time.Hour)
		cal.Create(graphsim.Event{Subject: fmt.Sprintf("Meeting %d", i), Start: at, End: at.Add(time.Hour)})
	}
	for i := range series {
		at := first.AddDate(0, 0, i).Add(7 * time.Hour)
		cal.Create(graphsim.Event{Subject: fmt.Sprintf("Weekly %d", i), Start: at, End: at.Add(time.Hour),
			Recurrence: &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 1}}})
	}

	o := newOutlook(t, sim, box)
	reached := gate.closeAt("/delta", 20)
	s := serveFor(t, o)
	<-reached
	s.kill()
	if events := feedEvents(t, s, false); events != nil {
		t.Errorf("a feed shows %d events of a sync that is not complete", len(events))
	}
	for _, at := range []struct {
		path  string
		count int
	}{{"/delta", 30}, {"$batch", 1}, {"$batch", 1}} {
		reached := gate.closeAt(at.path, at.count)
		s.restart(t)
		<-reached
		s.kill()
	}
	gate.open()
	s.restart(t)
	s.nextRound(t)

	opened := 0
	for _, r := range o.Requests() {
		if strings.Contains(r.Path, "/delta") && strings.Contains(r.Path, "startDateTime") {
			opened++
		}
	}
	if opened != 1 {
		t.Errorf("the window was opened %d times", opened)
	}
	if v := o.Violations(); len(v) > 0 {
		t.Errorf("Graph's rules were broken: %q", v)
	}
	events := feedEvents(t, s, true)
	for i := range singles {
		if n := events[fmt.Sprintf("Meeting %d", i)]; n != 1 {
			t.Fatalf("Meeting %d is in the feed %d times", i, n)
		}
	}
	for i := range series {
		if n := events[fmt.Sprintf("Weekly %d", i)]; n != 1 {
			t.Fatalf("Weekly %d is in the feed %d times", i, n)
		}
	}
	if len(events) != singles+series {
		t.Errorf("the feed has %d titles, not %d", len(events), singles+series)
	}
	_, list := fetch(t, "PROPFIND", s.url+"/dav/calendars/alice/calendar/", s.user, s.password)
	if n := len(objectHref.FindAllString(list, -1)); n != singles+series {
		t.Errorf("CalDAV has %d objects, not %d", n, singles+series)
	}
	s.end(syscall.SIGTERM)
	var report struct{ Changed, Requests int }
	if err := json.Unmarshal([]byte(outbridge(t, s.dir, "sync", "--json")), &report); err != nil || report.Changed != 0 || report.Requests != 2 {
		t.Errorf("the next round: %v %+v", err, report)
	}
}

var summary = regexp.MustCompile(`(?m)^SUMMARY:(.*)\r$`)

// feedEvents counts the titles in the feed; nil: it is not ready.
func feedEvents(t *testing.T, s *served, running bool) map[string]int {
	t.Helper()
	if !running {
		s.restart(t)
		defer s.kill()
	}
	status, body := fetch(t, "GET", s.feed, "", "")
	if status == http.StatusServiceUnavailable {
		return nil
	}
	counts := map[string]int{}
	for _, m := range summary.FindAllStringSubmatch(body, -1) {
		counts[m[1]]++
	}
	return counts
}

// gate stops Graph at one request, until it is opened.
type gate struct {
	mu      sync.Mutex
	path    string
	count   int
	reached chan struct{}
}

// closeAt lets count requests through that have path in theirs, and answers nothing from the next one on. The channel
// that it returns is closed when it comes.
func (g *gate) closeAt(path string, count int) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.path, g.count, g.reached = path, count, make(chan struct{})
	return g.reached
}

func (g *gate) open() { g.closeAt("no such path", 0) }

func (g *gate) fault(r *http.Request) *graphsim.Fault {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !strings.Contains(r.URL.Path, g.path) || g.path == "" {
		return nil
	}
	if g.count--; g.count >= 0 {
		return nil
	}
	if g.count == -1 {
		close(g.reached)
	}
	return &graphsim.Fault{Delay: time.Hour}
}
