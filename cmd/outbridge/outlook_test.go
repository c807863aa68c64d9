package main

import (
	"cmp"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

const testClientID = "11111111-2222-3333-4444-555555555555"

// outlook is a simulated Outlook at an address on this machine, and the person who signs in at it.
type outlook struct {
	*graphsim.Server
	box     *graphsim.Mailbox                // the first mailbox
	person  atomic.Pointer[graphsim.Mailbox] // that of the person who signs in; nil: box
	url     string
	decline atomic.Bool // the person declines the sign-in
	server  *http.Server
}

// startOutlook serves sim, whose mailbox is box.
func startOutlook(sim *graphsim.Server, box *graphsim.Mailbox) (*outlook, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &outlook{Server: sim, box: box, url: "http://" + l.Addr().String()}
	o.server = &http.Server{Handler: http.HandlerFunc(o.serve), ReadHeaderTimeout: time.Minute}
	go func() { _ = o.server.Serve(l) }()
	return o, nil
}

func newOutlook(t *testing.T, sim *graphsim.Server, box *graphsim.Mailbox) *outlook {
	t.Helper()
	o, err := startOutlook(sim, box)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.stop)
	return o
}

func (o *outlook) stop() { _ = o.server.Close() }

// serve answers as the simulation does. As soon as a device code is given out, the person approves or declines it.
func (o *outlook) serve(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/devicecode") {
		o.Server.ServeHTTP(w, r)
		return
	}
	rec := httptest.NewRecorder()
	o.Server.ServeHTTP(rec, r)
	var answer struct {
		UserCode string `json:"user_code"`
	}
	if json.Unmarshal(rec.Body.Bytes(), &answer) == nil && answer.UserCode != "" {
		if o.decline.Load() {
			_ = o.DeclineDevice(answer.UserCode)
		} else {
			_ = o.ApproveDevice(answer.UserCode, cmp.Or(o.person.Load(), o.box))
		}
	}
	w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// officeWeek is a small mailbox, laid out around now: three single events and a series in "Calendar", one event in
// "Family". It returns the ids by subject.
func officeWeek(sim *graphsim.Server) (*graphsim.Mailbox, map[string]graph.EventID) {
	box := sim.AddMailbox("alice@contoso.example", "Alice", "W. Europe Standard Time")
	work, family := box.Calendar(), box.AddCalendar("Family", "#00cc6a")
	ids := map[string]graph.EventID{}
	add := func(c *graphsim.Calendar, e graphsim.Event) { ids[e.Subject] = c.Create(e) }
	day := func(n int, hour int) time.Time {
		y, m, d := time.Now().Date()
		return time.Date(y, m, d+n, hour, 0, 0, 0, time.UTC)
	}
	add(work, graphsim.Event{Subject: "Review", Start: day(1, 10), End: day(1, 11), Location: "Room Elbe"})
	add(work, graphsim.Event{Subject: "Dentist", Start: day(2, 15), End: day(2, 16), Sensitivity: "private", Body: "<p>Bring the card</p>"})
	add(work, graphsim.Event{Subject: "Trip to Lisbon", Start: day(4, 0), End: day(7, 0), AllDay: true, ShowAs: "oof"})
	add(work, graphsim.Event{Subject: "Stand-up", Start: day(-14, 9), End: day(-14, 9).Add(15 * time.Minute),
		Recurrence: &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "daily", Interval: 1}}})
	add(family, graphsim.Event{Subject: "School play", Start: day(3, 18), End: day(3, 20)})
	return box, ids
}
