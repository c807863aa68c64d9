package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/sqlstore/pgtest"
)

// machines are several servers, each with a folder of its own, on one database and one simulated Outlook.
type machines struct {
	*testing.T
	*graphsim.Server
	database string
	boxes    map[string]*graphsim.Mailbox // by account
	password map[string]string
	of       []*served

	mu     sync.Mutex
	polls  map[string]int // requests for changes that are under way, by path
	double []string       // paths of more than one at once
	made   int            // events
	slow   chan struct{}  // that requests for changes wait for; nil: they do not
	waits  chan string    // paths of those that do
}

// newMachines starts n servers for the accounts, which an app reads in its own name.
func newMachines(t *testing.T, n int, accounts ...string) *machines {
	t.Helper()
	return newMachinesOn(t, pgtest.URL(t), n, accounts...)
}

func newMachinesOn(t *testing.T, database string, n int, accounts ...string) *machines {
	t.Helper()
	return newMachinesOf(t, "outbridge", database, n, accounts...)
}

// newMachinesOf starts another version of the program.
func newMachinesOf(t *testing.T, program, database string, n int, accounts ...string) *machines {
	t.Helper()
	m := &machines{T: t, Server: &graphsim.Server{ClientID: testClientID, ClientSecret: "right"}, database: database,
		boxes: map[string]*graphsim.Mailbox{}, password: map[string]string{}, polls: map[string]int{}, waits: make(chan string, 1000)}
	outlook := httptest.NewServer(http.HandlerFunc(m.serve))
	t.Cleanup(outlook.Close)
	config := fmt.Sprintf("listen = \"127.0.0.1:0\"\ndatabase = %q\nlog_level = \"debug\"\n[sync]\ninterval = \"5s\"\n[microsoft]\ncloud = \"custom\"\nlogin_url = %q\ngraph_url = %q\ntenant = \"contoso.example\"\nclient_id = %q\nclient_secret_file = \"secret\"\n",
		m.database, outlook.URL, outlook.URL, testClientID)
	for _, name := range accounts {
		m.boxes[name] = m.AddMailbox(name+"@contoso.example", name, "W. Europe Standard Time")
		m.create(name)
		config += fmt.Sprintf("[[account]]\nname = %q\nmailbox = \"%s@contoso.example\"\naccess = \"read-write\"\n", name, name)
	}
	var key []byte
	for i := range n {
		dir := t.TempDir()
		files := map[string][]byte{"outbridge.toml": []byte(config), "secret": []byte("right")}
		if i > 0 {
			files["outbridge.key"] = key
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if i == 0 {
			for _, name := range accounts {
				var p struct{ Password string }
				add := exec.Command(program, "password", "add", name, "--json")
				add.Dir = dir
				out, err := add.Output()
				if err == nil {
					err = json.Unmarshal(out, &p)
				}
				if err != nil {
					t.Fatal(err)
				}
				m.password[name] = p.Password
			}
			var err error
			if key, err = os.ReadFile(filepath.Join(dir, "outbridge.key")); err != nil {
				t.Fatal(err)
			}
		}
		m.of = append(m.of, &served{dir: dir})
	}
	for _, s := range m.of {
		s.process = startProgram(t, program, s.dir, "serve")
	}
	for _, s := range m.of {
		s.url = s.waitFor(`msg=serving listen=(\S+)`)[0]
	}
	return m
}

// serve is Outlook. It takes note of requests for the changes of one calendar that are under way at once: two rounds of an account are.
func (m *machines) serve(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/delta") {
		m.Server.ServeHTTP(w, r)
		return
	}
	m.mu.Lock()
	if m.polls[r.URL.Path]++; m.polls[r.URL.Path] > 1 {
		m.double = append(m.double, r.URL.Path)
	}
	slow := m.slow
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.polls[r.URL.Path]--
		m.mu.Unlock()
	}()
	if slow != nil {
		m.waits <- r.URL.Path
		select {
		case <-slow:
		case <-r.Context().Done():
			return
		}
	}
	m.Server.ServeHTTP(w, r)
}

// create makes one more event in the mailbox of an account, and returns its title.
func (m *machines) create(account string) string {
	m.mu.Lock()
	m.made++
	title := fmt.Sprintf("Event %d of %s", m.made, account)
	m.mu.Unlock()
	at := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 2).Add(9 * time.Hour)
	m.boxes[account].Calendar().Create(graphsim.Event{Subject: title, Start: at, End: at.Add(time.Hour)})
	return title
}

func calendarPath(account string) string { return "/dav/calendars/" + account + "/calendar/" }

// has reports whether a machine serves an event of that title.
func (m *machines) has(s *served, account, title string) bool {
	_, list := m.dav(s, "REPORT", account, calendarPath(account), `<C:calendar-query xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns="DAV:"><prop><C:calendar-data/></prop><C:filter><C:comp-filter name="VCALENDAR"/></C:filter></C:calendar-query>`)
	return strings.Contains(list, "SUMMARY:"+title+"\r\n") || strings.Contains(list, "SUMMARY:"+title+"&#13;") || strings.Contains(list, "SUMMARY:"+title+"\n")
}

func (m *machines) dav(s *served, method, account, path, body string) (int, string) {
	m.Helper()
	req, err := http.NewRequestWithContext(m.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		m.Fatal(err)
	}
	req.SetBasicAuth(account, m.password[account])
	req.Header.Set("Depth", "1")
	switch {
	case method == "PUT":
		req.Header.Set("Content-Type", "text/calendar")
	case body != "":
		req.Header.Set("Content-Type", "application/xml")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		m.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		m.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// seen waits until machines serve an event.
func (m *machines) seen(account, title string, by ...*served) {
	m.Helper()
	for i, s := range by {
		eventually(m.T, fmt.Sprintf("machine %d does not serve %q", i, title), func() bool { return m.has(s, account, title) })
	}
}

var syncToken = regexp.MustCompile(`sync-token>([^<]+)</`)

// sync asks a machine what has changed since a token.
func (m *machines) sync(s *served, account, token string) (next, body string) {
	m.Helper()
	status, body := m.dav(s, "REPORT", account, calendarPath(account),
		`<sync-collection xmlns="DAV:"><sync-token>`+token+`</sync-token><sync-level>1</sync-level><prop><getetag/></prop></sync-collection>`)
	found := syncToken.FindStringSubmatch(body)
	if status != http.StatusMultiStatus || found == nil {
		m.Fatalf("sync since %q: %d\n%s", token, status, body)
	}
	return found[1], body
}

// check holds what was seen against the rules.
func (m *machines) check() {
	m.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.double) > 0 {
		m.Errorf("rounds of a calendar ran at once: %q", m.double)
	}
	if v := m.Violations(); len(v) > 0 {
		m.Errorf("Graph's rules were broken: %q", v)
	}
}

// query runs a statement on the database.
func (m *machines) query(text string) {
	m.Helper()
	ctx, cancel := context.WithDeadline(m.Context(), patience(m.T))
	defer cancel()
	c, err := pgx.Connect(ctx, m.database)
	if err != nil {
		m.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, text); err != nil {
		m.Fatal(err)
	}
}

// TestMachines runs three servers: whichever is asked knows what the others know, and one that ends or is killed is not missed.
func TestMachines(t *testing.T) {
	t.Parallel()
	accounts := []string{"alice", "bob", "carol"}
	m := newMachines(t, 3, accounts...)
	begin := time.Now()
	phase := func(what string) {
		t.Logf("%s: %s", what, time.Since(begin).Round(time.Millisecond))
		begin = time.Now()
	}
	for i, name := range accounts {
		m.seen(name, fmt.Sprintf("Event %d of %s", i+1, name), m.of...)
	}
	phase("first sync")

	// A token of one machine is known to the others, and says the same there.
	token, _ := m.sync(m.of[0], "alice", "")
	for i := range 3 {
		title := m.create("alice")
		m.seen("alice", title, m.of[i%3])
		next, body := m.sync(m.of[(i+1)%3], "alice", token)
		if n := strings.Count(body, "<href>"); next == token || n != 1 && strings.Count(body, "href>")/2 != 1 {
			t.Errorf("machine %d: %d changes since the token of another, and the token %s\n%s", (i+1)%3, n, next, body)
		}
		token = next
	}

	phase("changes")

	// What a client writes to one machine is there at the others when the answer comes.
	for i, s := range m.of {
		name := fmt.Sprintf("note-%d.ics", i)
		status, body := m.dav(s, "PUT", "bob", calendarPath("bob")+name, "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//test//EN\r\nBEGIN:VEVENT\r\nUID:note-"+fmt.Sprint(i)+"\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20261203T090000Z\r\nDTEND:20261203T100000Z\r\nSUMMARY:Note\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")
		if status != http.StatusCreated && status != http.StatusNoContent {
			t.Fatalf("PUT: %d\n%s", status, body)
		}
		for _, other := range m.of {
			if status, body := m.dav(other, "GET", "bob", calendarPath("bob")+name, ""); status != http.StatusOK {
				t.Errorf("what was written to machine %d: %d\n%s", i, status, body)
			}
		}
	}

	phase("writes")

	// One is killed, one ends; their accounts go on, and connections that are cut are made again.
	m.of[0].kill()
	m.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	for _, name := range accounts {
		m.seen(name, m.create(name), m.of[1:]...)
	}
	phase("after a kill")
	m.of[1].end(syscall.SIGTERM)
	for _, name := range accounts {
		m.seen(name, m.create(name), m.of[2])
	}
	phase("after an end")
	m.check()
}

// shared are the series of a machine's metrics that tell how accounts are, whichever machine does their rounds, with their values.
func (m *machines) shared(s *served) map[string]string {
	m.Helper()
	found := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^(outbridge_(?:account_state|writes_waiting|calendar_[a-z_]+)\{.*\}) (\S+)$`).FindAllStringSubmatch(s.body(m.T, s.url+"/metrics"), -1) {
		found[line[1]] = line[2]
	}
	return found
}

// TestMachinesFigures: how accounts and calendars are is in the metrics of one machine, so that a sum over all is right, and in those of
// another when that one has ended, or has died and its lease is over.
func TestMachinesFigures(t *testing.T) {
	t.Parallel()
	m := newMachines(t, 3, "alice", "bob")
	m.seen("alice", "Event 1 of alice", m.of...)
	m.seen("bob", "Event 2 of bob", m.of...)
	alone := func(of ...*served) (told *served) {
		t.Helper()
		eventually(t, "no machine tells how accounts are, or several do", func() bool {
			told = nil
			n := 0
			for _, s := range of {
				if len(m.shared(s)) > 0 {
					n++
					told = s
				}
			}
			return n == 1
		})
		return told
	}
	rest := func(of []*served, without *served) (list []*served) {
		for _, s := range of {
			if s != without {
				list = append(list, s)
			}
		}
		return list
	}
	first := alone(m.of...)
	if status, body := m.dav(first, "PUT", "bob", calendarPath("bob")+"note.ics", "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//test//EN\r\nBEGIN:VEVENT\r\nUID:note\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20261203T090000Z\r\nDTEND:20261203T100000Z\r\nSUMMARY:Note\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"); status != http.StatusCreated {
		t.Fatalf("PUT: %d\n%s", status, body)
	}
	first.end(syscall.SIGTERM)
	m.query(`DO $$ BEGIN IF EXISTS (SELECT 1 FROM lease WHERE owner NOT IN (SELECT id FROM machine) AND name NOT LIKE '%/closed') THEN
		RAISE EXCEPTION 'a machine that has ended keeps %', (SELECT string_agg(name, ' ') FROM lease WHERE owner NOT IN (SELECT id FROM machine)); END IF; END $$`)
	others := rest(m.of, first)
	second := alone(others...)
	want := m.shared(second)
	for name, objects := range map[string]string{"alice": "1", "bob": "2"} {
		for series, value := range map[string]string{
			`outbridge_account_state{account="` + name + `",state="ok"}`:                                    "1",
			`outbridge_calendar_objects{account="` + name + `",calendar="calendar"}`:                        objects,
			`outbridge_calendar_losses{account="` + name + `",calendar="calendar"}`:                         "0",
			`outbridge_calendar_failed{account="` + name + `",calendar="calendar"}`:                         "0",
			`outbridge_calendar_incomplete{account="` + name + `",calendar="calendar"}`:                     "0",
			`outbridge_writes_waiting{account="` + name + `"}`:                                              "0",
			`outbridge_calendar_last_success_timestamp_seconds{account="` + name + `",calendar="calendar"}`: want[`outbridge_calendar_last_success_timestamp_seconds{account="`+name+`",calendar="calendar"}`],
		} {
			if want[series] != value || value == "" {
				t.Errorf("%s is %q, want %q", series, want[series], value)
			}
		}
	}
	last := rest(others, second)
	second.kill()
	m.query(`UPDATE lease SET until = 0 WHERE name = 'figures'`)
	if third := alone(last...); len(m.shared(third)) != len(want) {
		t.Errorf("the last machine tells %v\nthe first told %v", m.shared(third), want)
	}
	m.check()
}
