package main

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// TestStatusUnread: status is not ok while Graph lists a series and does not show its master.
func TestStatusUnread(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	var hidden atomic.Value
	hidden.Store("")
	sim.Fault = func(r *http.Request) *graphsim.Fault {
		if id := hidden.Load().(string); id != "" && strings.Contains(r.URL.Path, "/events/"+id) {
			return &graphsim.Fault{Status: http.StatusForbidden}
		}
		return nil
	}
	box, _ := officeWeek(sim)
	now := time.Now().UTC().Truncate(time.Hour)
	series := box.Calendar().Create(graphsim.Event{Subject: "Stand-up", Start: now, End: now.Add(time.Hour), Recurrence: &graph.Recurrence{
		Pattern: graph.RecurrencePattern{Type: "daily", Interval: 1}, Range: graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 5}}})
	o := newOutlook(t, sim, box)
	dir := writeConfig(t, o)
	hidden.Store(string(series))
	outbridge(t, dir, "login", "alice")
	for range 2 { // the first one may end with an error: Graph may just be late
		<-start(t, dir, "sync").done
	}
	if s := outbridge(t, dir, "status"); !strings.Contains(s, "alice: incomplete") || !strings.Contains(s, "lists and does not show: 1") {
		t.Error(s)
	}
	hidden.Store("")
	outbridge(t, dir, "sync")
	if s := outbridge(t, dir, "status"); !strings.Contains(s, "alice: ok") || strings.Contains(s, "does not show") {
		t.Error(s)
	}
}
