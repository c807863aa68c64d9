package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	neturl "net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph/graphsim"
)

// TestDemo does what the README's first command does, and what a person does next.
func TestDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir, "demo", "--listen", "127.0.0.1:0")
	pages := p.waitFor(`^Web pages:\s+(\S+)/\nPassword:\s+(\S{16})$`)
	found := p.waitFor(`^CalDAV:\s+(\S+)/\nUser:\s+(\S+)\nPassword:\s+(\S+)\nFeed:\s+(\S+)$`)
	url, user, password, feed := found[0], found[1], found[2], found[3]
	p.waitFor(`^Press Ctrl-C to stop\.$`)

	if status, body := fetch(t, "PROPFIND", url+"/dav/calendars/"+user+"/", user, password); status != 207 || !strings.Contains(body, "/dav/calendars/demo/family/") {
		t.Errorf("home: %d\n%s", status, body)
	}
	status, listing := fetch(t, "PROPFIND", url+"/dav/calendars/"+user+"/calendar/", user, password)
	if status != 207 || strings.Count(listing, ".ics<") < 10 {
		t.Errorf("calendar: %d\n%s", status, listing)
	}
	if status, _ := fetch(t, "PROPFIND", url+"/", user, "wrong"); status != 401 {
		t.Errorf("a wrong password is answered %d", status)
	}
	if status, body := fetch(t, "GET", feed, "", ""); status != 200 || !strings.HasPrefix(body, "BEGIN:VCALENDAR\r\n") || !strings.Contains(body, "SUMMARY:Stand-up") {
		t.Errorf("feed: %d\n%s", status, body)
	}
	resp, err := http.PostForm(pages[0]+"/sign-in", neturl.Values{"password": {pages[1]}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.Request.Response == nil || len(resp.Request.Response.Cookies()) != 2 {
		t.Errorf("the pages do not take their password: %s", resp.Status)
	}
	if status, _ := fetch(t, "GET", url+"/readyz", "", ""); status != 200 {
		t.Errorf("readyz: %d", status)
	}

	p.end(os.Interrupt)
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		t.Errorf("it left %s behind", f.Name())
	}
}

// TestDemoData keeps what the demo made where the person asked for it, and takes it up again.
func TestDemoData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 2 {
		p := start(t, dir, "demo", "--listen", "127.0.0.1:0", "--data", "kept")
		feed := p.waitFor(`^Feed:\s+(\S+)$`)[0]
		if status, body := fetch(t, "GET", feed, "", ""); status != 200 || strings.Count(body, "SUMMARY:Stand-up\r\n") != 1 {
			t.Errorf("feed: %d", status)
		}
		p.end(os.Interrupt)
		if _, err := os.Stat(dir + "/kept/outbridge.db"); err != nil {
			t.Error(err)
		}
	}
}

// TestDemoPace: the demo asks as often as it means to, also after what was set on the pages is read, which is nothing.
func TestDemoPace(t *testing.T) {
	t.Parallel()
	c, err := demoConfig(t.TempDir(), "127.0.0.1:8080", "127.0.0.1:8081")
	if err != nil {
		t.Fatal(err)
	}
	p := &program{conf: c, log: slog.New(slog.DiscardHandler)}
	p.adoptOptions(bridge.Options{})
	if p.conf.interval != 5*time.Second {
		t.Errorf("the demo asks every %s", p.conf.interval)
	}
}

// objectHref is the path of an object in an answer to PROPFIND.
var objectHref = regexp.MustCompile(`/dav/calendars/[a-z]+/[a-z0-9-]+/[a-z0-9._-]+\.ics`)

// served is a running `outbridge serve` with one signed-in account, its app password and a feed of all it has.
type served struct {
	program string // "": this test's own
	*process
	dir, url, user, password, feed string
}

func serveFor(t *testing.T, o *outlook) *served {
	t.Helper()
	return serveIn(t, writeConfig(t, o))
}

// serveIn serves the configuration in a folder.
func serveIn(t *testing.T, dir string) *served {
	t.Helper()
	outbridge(t, dir, "login", "alice")
	s := &served{dir: dir, user: "alice"}
	var password struct{ Password string }
	var feed struct{ URL string }
	for text, into := range map[string]any{
		outbridge(t, dir, "password", "add", "alice", "--json"): &password,
		outbridge(t, dir, "feed", "add", "alice", "--json"):     &feed,
	} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	s.password = password.Password
	s.restart(t)
	s.feed = s.url + "/feeds/" + path.Base(feed.URL)
	return s
}

// restart starts the server again, at another port.
func (s *served) restart(t *testing.T) {
	t.Helper()
	s.process = startProgram(t, cmp.Or(s.program, "outbridge"), s.dir, "serve")
	s.url = s.waitFor(`msg=serving listen=(\S+)`)[0]
	s.feed = s.url + "/feeds/" + path.Base(s.feed)
}

// nextRound waits until a round that began after now has ended well.
func (s *served) nextRound(t *testing.T) {
	t.Helper()
	before, _ := s.out.read()
	eventually(t, "a round", func() bool {
		text, _ := s.out.read()
		if strings.Contains(text, "msg=\"round failed") {
			t.Fatal("a round failed")
		}
		_, begun, ok := strings.Cut(text[len(before):], `op="read changes"`)
		return ok && strings.Contains(begun, "msg=round ")
	})
}

// eventually waits until the condition holds, which takes the server a round or two.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := patience(t); ; time.Sleep(50 * time.Millisecond) {
		if holds() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: timed out", what)
		}
	}
}

func (s *served) body(t *testing.T, url string) string {
	t.Helper()
	_, body := fetch(t, "GET", url, s.user, s.password)
	return body
}

func TestServe(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	var hold atomic.Bool // Graph answers nothing for an hour
	held := make(chan struct{}, 1)
	sim.Fault = func(r *http.Request) *graphsim.Fault {
		if hold.Load() && strings.HasPrefix(r.URL.Path, "/v1.0/") {
			select {
			case held <- struct{}{}:
			default:
			}
			return &graphsim.Fault{Delay: time.Hour}
		}
		return nil
	}
	box, ids := officeWeek(sim)
	o := newOutlook(t, sim, box)
	s := serveFor(t, o)

	for url, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ok\n"} {
		if status, body := fetch(t, "GET", s.url+url, "", ""); status != 200 || body != want {
			t.Errorf("%s: %d %q", url, status, body)
		}
	}
	if status, _ := fetch(t, "GET", s.url+"/feeds/nosuchsecret.ics", "", ""); status != 404 {
		t.Errorf("an unknown feed secret is answered %d", status)
	}
	eventually(t, "the first round", func() bool { return strings.Contains(s.body(t, s.feed), "SUMMARY:School play") })

	if err := box.Calendar().Change(ids["Review"], func(e *graphsim.Event) { e.Subject = "Review of the reviews" }); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the change in the feed", func() bool { return strings.Contains(s.body(t, s.feed), "SUMMARY:Review of the reviews") })
	// The feed and CalDAV show the same published objects.
	_, list := fetch(t, "PROPFIND", s.url+"/dav/calendars/alice/calendar/", s.user, s.password)
	found := false
	for _, name := range objectHref.FindAllString(list, -1) {
		found = found || strings.Contains(s.body(t, s.url+name), "SUMMARY:Review of the reviews")
	}
	if !found {
		t.Errorf("the change is in the feed but not in CalDAV:\n%s", list)
	}

	// A signal in the middle of a round, with a request whose body never comes and a connection that idles.
	hold.Store(true)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PROPFIND / HTTP/1.1\r\nHost: bridge\r\nAuthorization: Basic YWxpY2U6eA==\r\nContent-Length: 100\r\n\r\n<prop")
	<-held
	s.end(syscall.SIGTERM)
	text, _ := s.out.read()
	if strings.Contains(text, s.password) || strings.Contains(text, path.Base(s.feed)) || strings.Contains(text, "Bearer ") {
		t.Error("a secret is in the log")
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, "level=ERROR") {
			t.Errorf("an error is in the log: %s", line)
		}
	}

	// The next start goes on with what there is.
	hold.Store(false)
	s.restart(t)
	if body := s.body(t, s.feed); !strings.Contains(body, "SUMMARY:Review of the reviews") {
		t.Error("after a restart the feed is not what it was")
	}
	s.end(syscall.SIGTERM)
	if v := o.Violations(); len(v) > 0 {
		t.Errorf("Graph's rules were broken: %q", v)
	}
}

// TestAccountLeaves: an account that leaves the configuration is refused by DAV and feeds, with a line of the log for each,
// and comes back with what it had.
func TestAccountLeaves(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box, _ := officeWeek(sim)
	s := serveFor(t, newOutlook(t, sim, box))
	eventually(t, "the first round", func() bool { return strings.Contains(s.body(t, s.feed), "SUMMARY:School play") })
	for _, c := range []struct {
		old, new  string
		dav, feed int
	}{{`"alice"`, `"bob"`, 401, 404}, {`"bob"`, `"alice"`, 207, 200}} {
		s.end(syscall.SIGTERM)
		editConfig(t, s.dir, c.old, c.new)
		s.restart(t)
		if status, body := fetch(t, "PROPFIND", s.url+"/dav/calendars/alice/", s.user, s.password); status != c.dav {
			t.Errorf("with %s, DAV: %d\n%s", c.new, status, body)
		}
		if status, _ := fetch(t, "GET", s.feed, "", ""); status != c.feed {
			t.Errorf("with %s, the feed: %d", c.new, status)
		}
		for part, status := range map[string]int{"dav": c.dav, "feed": c.feed} {
			line := `msg="sign-in refused" address=127.0.0.1 part=` + part + ` user=alice`
			if status >= 400 {
				s.waitFor(regexp.QuoteMeta(line)) // the answer may be here before the line is
			}
			text, _ := s.out.read()
			if n := strings.Count(text, line); (n == 1) != (status >= 400) {
				t.Errorf("with %s: %d times %s", c.new, n, line)
			}
		}
		if text, _ := s.out.read(); strings.Contains(text, s.password) || strings.Contains(text, strings.TrimSuffix(path.Base(s.feed), ".ics")) {
			t.Error("a secret is in the log")
		}
	}
	s.end(syscall.SIGTERM)
}

// TestStatusBesideServer: a command knows of the last good sync what the server knows, though an idle round writes nothing into the
// database; so does the next start, and a failing round takes nothing back.
func TestStatusBesideServer(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	var down atomic.Bool
	sim.Fault = func(r *http.Request) *graphsim.Fault {
		if down.Load() && strings.HasPrefix(r.URL.Path, "/v1.0/") {
			return &graphsim.Fault{Status: 403}
		}
		return nil
	}
	box, _ := officeWeek(sim)
	o := newOutlook(t, sim, box)
	s := serveFor(t, o)
	type times struct {
		LastGood  time.Time `json:"last_good"`
		Calendars []struct {
			LastGood time.Time `json:"last_good"`
		}
	}
	status := func() times {
		var report struct{ Accounts []times }
		if err := json.Unmarshal([]byte(outbridge(t, s.dir, "status", "--json")), &report); err != nil {
			t.Fatal(err)
		}
		return report.Accounts[0]
	}
	eventually(t, "the first round", func() bool {
		return strings.Contains(s.body(t, s.feed), "SUMMARY:School play") && !status().LastGood.IsZero()
	})
	first := status()
	var seen times
	eventually(t, "the idle rounds after it", func() bool {
		seen = status()
		for i, c := range seen.Calendars {
			if !c.LastGood.After(first.Calendars[i].LastGood) {
				return false
			}
		}
		return seen.LastGood.After(first.LastGood)
	})
	down.Store(true)
	eventually(t, "a round that fails", func() bool { return !strings.HasPrefix(outbridge(t, s.dir, "status"), "alice: ok") })
	failing := status()
	s.end(syscall.SIGTERM)
	stopped := status()
	s.restart(t)
	eventually(t, "a round that fails again", func() bool {
		text, _ := s.out.read()
		return strings.Contains(text, "round failed")
	})
	for name, now := range map[string]times{"failing": failing, "stopped": stopped, "started again": status()} {
		if now.LastGood.Before(seen.LastGood) {
			t.Errorf("%s: the last good sync was at %s, and one at %s was seen", name, now.LastGood, seen.LastGood)
		}
	}
	s.end(syscall.SIGTERM)
}

// freePort has the configuration of a folder listen at a port of its own, which public_url names too.
func freePort(t *testing.T, dir string) {
	t.Helper()
	editConfig(t, dir, "127.0.0.1:0", fmt.Sprintf("127.0.0.1:%d", anyPort(t)))
}

// editConfig replaces a text of the configuration of a folder.
func editConfig(t *testing.T, dir, old, new string) {
	t.Helper()
	file := filepath.Join(dir, "outbridge.toml")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(b), old, new)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestServeNotifications has Graph report a change while rounds are an hour apart.
func TestServeNotifications(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second, InsecureWebhooks: true}
	t.Cleanup(sim.Close)
	box, ids := officeWeek(sim)
	o := newOutlook(t, sim, box)
	dir := writeConfig(t, o)
	freePort(t, dir)
	editConfig(t, dir, `interval = "5s"`, "interval = \"1h\"\nnotifications = true")
	s := serveIn(t, dir)
	eventually(t, "the first round", func() bool { return strings.Contains(s.body(t, s.feed), "SUMMARY:Review") })
	if n := len(sim.Subscriptions()); n != 1 {
		t.Fatalf("%d subscriptions", n)
	}
	if err := box.Calendar().Change(ids["Review"], func(e *graphsim.Event) { e.Subject = "Told of" }); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the notified change", func() bool { return strings.Contains(s.body(t, s.feed), "SUMMARY:Told of") })
	if out := outbridge(t, dir, "status"); !strings.Contains(out, "notifications: until 20") {
		t.Errorf("status:\n%s", out)
	}
	s.end(syscall.SIGTERM)
}

// TestServeAddressTaken says so in one line.
func TestServeAddressTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	config := fmt.Sprintf("listen = %q\nlog_level = \"error\"\n", l.Addr())
	if err := os.WriteFile(dir+"/outbridge.toml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, dir, "serve")
	<-p.done
	text, _ := p.out.read()
	if p.cmd.ProcessState.ExitCode() != 1 || strings.Count(text, "\n") != 1 || !strings.Contains(text, "choose another listen address") {
		t.Errorf("exit code %d:\n%s", p.cmd.ProcessState.ExitCode(), text)
	}
}

// TestServeWithoutConfiguration is the first start of all: it needs nothing, and says where to go.
func TestServeWithoutConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir, "serve", "--listen", "127.0.0.1:0")
	p.waitFor(`^No outbridge\.toml here: using the defaults and keeping all data in ` + regexp.QuoteMeta(dir) + `/\.local/share/outbridge\.$`)
	found := p.waitFor(`^To set up this bridge, open (http://127\.0\.0\.1:[0-9]+)/setup\?code=([A-Z2-7]{5}-[A-Z2-7]{5})$`)
	url, code := found[0], found[1]
	if status, body := fetch(t, "GET", url+"/setup", "", ""); status != 200 || strings.Contains(body, code) {
		t.Errorf("set-up page: %d\n%s", status, body)
	}
	if status, body := fetch(t, "GET", url+"/setup?code="+code, "", ""); status != 200 || !strings.Contains(body, `value="`+code+`"`) {
		t.Errorf("the link does not bring the code: %d\n%s", status, body)
	}
	if text, _ := p.out.read(); strings.Count(text, code) != 1 {
		t.Errorf("the code is elsewhere too:\n%s", text)
	}
	if status, _ := fetch(t, "PROPFIND", url+"/", "alice", "x"); status != 401 {
		t.Errorf("CalDAV: %d", status)
	}
	p.end(os.Interrupt)
	for name, mode := range map[string]os.FileMode{"": os.ModeDir | 0o700, "outbridge.db": 0o600, "outbridge.key": 0o600} {
		if info, err := os.Stat(path.Join(dir, ".local/share/outbridge", name)); err != nil || info.Mode() != mode {
			t.Errorf("%q: %v, %v", name, info, err)
		}
	}
	// Each start has a code of its own, until there is a password.
	p = start(t, dir, "serve", "--listen", "127.0.0.1:0")
	if again := p.waitFor(`/setup\?code=(\S+)$`)[0]; again == code {
		t.Error("the setup code is the same at the next start")
	}
	p.end(os.Interrupt)
}
