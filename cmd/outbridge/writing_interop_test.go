//go:build interop

package main

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// writing is a mailbox that a real client writes to: empty in the two weeks from its first day on, but for what the test puts there.
type writing struct {
	*clients
	sim      *graphsim.Server
	box, bob *graphsim.Mailbox
	cal      *graphsim.Calendar
	sentinel graph.EventID // of another time
	first    time.Time     // a Monday after next week's, midnight UTC
	zone     *time.Location
	home     string // of the calendars, on the server
}

// newWriting serves the mailbox. Rounds are an hour apart, or begin when Graph tells of a change; see round.
func newWriting(t *testing.T, invitations string) *writing {
	t.Helper()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second, InsecureWebhooks: true}
	t.Cleanup(sim.Close)
	w := &writing{sim: sim, box: sim.AddMailbox("alice@contoso.example", "Alice", "W. Europe Standard Time"),
		bob: sim.AddMailbox("bob@contoso.example", "Bob", "W. Europe Standard Time"), home: "/dav/calendars/alice/"}
	w.cal = w.box.Calendar()
	w.first = time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 14)
	for w.first.Weekday() != time.Monday {
		w.first = w.first.AddDate(0, 0, 1)
	}
	var err error
	w.zone, err = time.LoadLocation("Europe/Berlin")
	must(err)
	past := w.first.AddDate(0, 0, -40)
	w.sentinel = w.cal.Create(graphsim.Event{Subject: "Long ago", Start: past, End: past.Add(time.Hour)})

	dir := writeConfig(t, newOutlook(t, sim, w.box))
	freePort(t, dir)
	editConfig(t, dir, `interval = "5s"`, "interval = \"1h\"\nnotifications = true")
	editConfig(t, dir, `name = "alice"`, fmt.Sprintf("name = \"alice\"\naccess = \"read-write\"\ninvitations = %q", invitations))
	s := serveIn(t, dir)
	eventually(t, "the first round", func() bool {
		return len(sim.Subscriptions()) > 0 && strings.Contains(s.body(t, s.feed), "SUMMARY:Long ago")
	})
	w.clients = newClients(t, s)
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, r := range w.seen() {
			if r.writes() {
				t.Logf("%s %v\n%s", r, r.header, r.body)
			}
		}
		t.Logf("writes:\n%s", outbridge(t, dir, "writes"))
	})
	sim.ResetViolations()
	return w
}

// round has Graph tell of something that shows nowhere, and waits for the round that follows.
func (w *writing) round() {
	w.t.Helper()
	before, _ := w.out.read()
	must(w.cal.Touch(w.sentinel))
	eventually(w.t, "a round", func() bool {
		text, _ := w.out.read()
		if strings.Contains(text[len(before):], `msg="round failed`) {
			w.t.Fatal("a round failed")
		}
		_, begun, ok := strings.Cut(text[len(before):], `op="read changes"`)
		return ok && strings.Contains(begun, "msg=round ")
	})
}

// at is a moment, by the day from the first one and the time of day in the mailbox's zone.
func (w *writing) at(day int, clock string) time.Time {
	t, err := time.Parse("15:04", clock)
	must(err)
	return time.Date(w.first.Year(), w.first.Month(), w.first.Day()+day, t.Hour(), t.Minute(), 0, 0, w.zone)
}

// local is such a moment as iCalendar has it, without the zone.
func (w *writing) local(day int, clock string) string {
	return w.at(day, clock).Format("20060102T150405")
}

func (w *writing) date(day int) string { return w.first.AddDate(0, 0, day).Format("20060102") }

// lines are occurrences as the tests write them: "3 10:00-11:00 Dentist", by the day from the first one, and "3-4 Fair" of whole days.
func (w *writing) lines(all []shown) []string {
	day := func(t time.Time) int { return int(t.Sub(w.first) / (24 * time.Hour)) }
	lines := []string{}
	for _, e := range all {
		if e.Start.Before(w.first) || !e.Start.Before(w.first.AddDate(0, 0, 14)) {
			continue
		}
		midnight := e.Start.Equal(e.Start.Truncate(24*time.Hour)) && e.End.Equal(e.End.Truncate(24*time.Hour)) && e.End.After(e.Start)
		if midnight {
			lines = append(lines, fmt.Sprintf("%d-%d %s", day(e.Start), day(e.End)-1, e.Title))
			continue
		}
		from, to := e.Start.In(w.zone), e.End.In(w.zone)
		wall := time.Date(from.Year(), from.Month(), from.Day(), 0, 0, 0, 0, time.UTC)
		lines = append(lines, fmt.Sprintf("%d %s-%s %s", day(wall), from.Format("15:04"), to.Format("15:04"), e.Title))
	}
	slices.Sort(lines)
	return lines
}

// outlook is what Outlook shows in the two weeks.
func (w *writing) outlook() []string {
	var all []shown
	for _, i := range w.cal.Instances(w.first, w.first.AddDate(0, 0, 14)) {
		all = append(all, shown{w.cal.Name(), i.Start, i.End, i.Subject})
	}
	return w.lines(all)
}

// mails are those since the last step.
func (w *writing) mails() []string {
	all := []string{}
	for _, m := range w.sim.Mails() {
		line := m.Kind
		if m.Response != "" {
			line += " " + m.Response
		}
		line += " to " + strings.Join(m.To, ", ") + ": " + m.Subject
		if m.Occurrence != "" {
			at, err := time.Parse(time.DateOnly, m.Occurrence)
			must(err)
			line += fmt.Sprintf(", day %d", int(at.Sub(w.first)/(24*time.Hour)))
		}
		all = append(all, line)
	}
	return all
}

// event finds an event or series by its title.
func (w *writing) event(title string) (graph.EventID, graphsim.Event) {
	w.t.Helper()
	for _, id := range w.cal.Events() {
		if e, err := w.cal.Event(id); err == nil && e.Subject == title {
			return id, e
		}
	}
	w.t.Fatalf("Outlook has no %q", title)
	return "", graphsim.Event{}
}

// A step is something that a person does in a client.
type step struct {
	name    string
	do      func()
	outlook []string // what Outlook shows afterwards; see lines
	mails   []string // that it has sent: "invitation to bob@contoso.example: Title, day 3"
	// how is "", or "refused", with 403 or for a condition, or "elsewhere", which is not in the client.
	how string
}

// steps does the steps. After each Outlook shows what it is to show and has mailed what it is to mail; the client's next poll shows the
// same and sends nothing; and no poll of Outlook changes anything, but what Outlook itself has added to a meeting. poll makes the client
// poll, and show returns what it shows then.
func (w *writing) steps(poll func(), show func() []shown, all ...step) {
	w.t.Helper()
	for _, s := range all {
		w.sim.ResetMails()
		w.forget()
		s.do()
		eventually(w.t, s.name, func() bool { return slices.Equal(w.outlook(), s.outlook) || w.late() })
		if diff := cmp.Diff(s.outlook, w.outlook()); diff != "" {
			w.t.Errorf("%s: Outlook does not show what it is to show (-want +got):\n%s", s.name, diff)
		}
		if diff := cmp.Diff(s.mails, w.mails()); diff != "" && len(s.mails)+len(w.mails()) > 0 {
			w.t.Errorf("%s: mails (-want +got):\n%s", s.name, diff)
		}
		refused := false
		for _, r := range w.seen() {
			if r.status >= 500 || r.status == 400 || r.status == 409 || r.status == 412 && s.how != "refused" {
				w.t.Errorf("%s: %s %s is answered %d", s.name, r.method, r.path, r.status)
			}
			refused = refused || r.status == 403 && r.writes() || r.status == 412
		}
		if refused != (s.how == "refused") {
			w.t.Errorf("%s: refused is %v in %v", s.name, refused, w.seen())
		}
		var token string
		if len(s.mails) == 0 && s.how != "elsewhere" {
			// Outlook has what was written before the program has its answer, and what is kept beside Outlook comes after that.
			eventually(w.t, s.name, func() bool {
				before := token
				token = w.token()
				same := token == before
				if !same {
					time.Sleep(time.Second)
				}
				return same
			})
		}
		w.sim.Settle() // Exchange comes back to what was written
		w.round()
		if now := w.token(); token != "" && now != token {
			w.t.Errorf("%s: an echo of Outlook's has moved the calendar from %s to %s:\n%s", s.name, token, now, w.moved(token))
		}
		w.forget()
		poll()
		eventually(w.t, s.name+", as the client shows it", func() bool {
			return slices.Equal(w.lines(show()), s.outlook) || w.late()
		})
		if diff := cmp.Diff(s.outlook, w.lines(show())); diff != "" {
			w.t.Errorf("%s: the client does not show what Outlook shows (-Outlook +client):\n%s", s.name, diff)
		}
		for _, r := range w.seen() {
			if r.writes() {
				w.t.Errorf("%s: the client's next poll writes: %s %s %d\n%s", s.name, r.method, r.path, r.status, r.body)
			}
		}
		w.good(s.name)
		if w.t.Failed() {
			w.t.FailNow()
		}
	}
	w.quiet()
	w.end(syscall.SIGTERM)
}

// late tells that it is of no use to wait any longer.
func (w *writing) late() bool { return time.Until(patience(w.t)) < time.Minute }

// quiet polls Outlook three times, and nothing moves.
func (w *writing) quiet() {
	w.t.Helper()
	token := w.token()
	for range 3 {
		w.round()
	}
	if now := w.token(); now != token {
		w.t.Errorf("polls have moved the calendar from %s to %s:\n%s", token, now, w.moved(token))
	}
	w.good("three polls")
}

func (w *writing) good(when string) {
	w.t.Helper()
	if v := w.sim.Violations(); len(v) > 0 {
		w.t.Errorf("%s: Graph's rules were broken: %q", when, v)
	}
}

// token is that of the calendar's state.
func (w *writing) token() string {
	w.t.Helper()
	status, body := w.dav("REPORT", w.home+"calendar/", `<sync-collection xmlns="DAV:"><sync-token/><sync-level>1</sync-level><prop/></sync-collection>`)
	_, rest, ok := strings.Cut(body, "sync-token>")
	if status != 207 || !ok {
		w.t.Fatalf("sync-collection: %d %s", status, body)
	}
	token, _, _ := strings.Cut(rest, "<")
	return token
}

// moved is what has changed since.
func (w *writing) moved(token string) string {
	w.t.Helper()
	_, body := w.dav("REPORT", w.home+"calendar/", `<sync-collection xmlns="DAV:"><sync-token>`+token+`</sync-token><sync-level>1</sync-level>`+
		`<prop><C:calendar-data xmlns:C="urn:ietf:params:xml:ns:caldav"/></prop></sync-collection>`)
	return body
}

// dav makes a request past the proxy, with headers as pairs.
func (w *writing) dav(method, path, body string, header ...string) (int, string) {
	w.t.Helper()
	req, err := http.NewRequest(method, w.url+path, strings.NewReader(body))
	must(err)
	req.SetBasicAuth(w.user, w.password)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// invite has Bob invite Alice to an hour at 13:00.
func (w *writing) invite(title string, day int, set ...func(*graphsim.Event)) {
	e := graphsim.Event{Subject: title, Start: w.at(day, "13:00"), End: w.at(day, "14:00"),
		Attendees: []graph.Attendee{{Type: "required", EmailAddress: graph.EmailAddress{Name: "Alice", Address: "alice@contoso.example"}}}}
	for _, f := range set {
		f(&e)
	}
	w.bob.Calendar().Invite(e)
}
