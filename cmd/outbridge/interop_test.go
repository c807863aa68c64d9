//go:build interop

package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// TestInterop lets real clients read a bridge whose Outlook the test holds: what they show is compared with what the
// simulation says that Outlook would show.
func TestInterop(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box := sim.DemoMailbox()
	o := newOutlook(t, sim, box)
	s := serveFor(t, o)
	s.nextRound(t)
	c := newClients(t, s)
	c.writeConfig()

	now := time.Now().UTC().Truncate(24 * time.Hour)
	from, to := now.AddDate(0, 0, -45), now.AddDate(0, 5, 0)
	truth := func() []shown {
		var all []shown
		for _, cal := range box.Calendars() {
			for _, i := range cal.Instances(from, to) {
				all = append(all, shown{cal.Name(), i.Start, i.End, i.Subject})
			}
		}
		return sorted(all)
	}
	if n := len(truth()); n < 150 {
		t.Fatalf("the simulation shows only %d occurrences", n)
	}
	compare := func(client string, got []shown) {
		t.Helper()
		if diff := cmp.Diff(truth(), got); diff != "" {
			t.Errorf("%s does not show what Outlook shows (-Outlook +%s):\n%s", client, client, diff)
		}
	}

	c.run("y\n", "vdirsyncer", "-c", c.path("vdirsyncer"), "discover")
	c.run("", "vdirsyncer", "-c", c.path("vdirsyncer"), "sync")
	compare("khal", c.khal(from, to))
	compare("python3-caldav", c.pythonCaldav(from, to))

	c.forget()
	c.run("", "vdirsyncer", "-c", c.path("vdirsyncer"), "sync")
	for _, r := range c.seen() {
		if r.method == "GET" || r.method == "REPORT" || r.method == "PUT" || r.method == "DELETE" {
			t.Errorf("a second run of vdirsyncer transfers something: %s %s", r.method, r.path)
		}
	}

	home := c.curlDiscovery()

	// Each change in Outlook is one changed object at the next round.
	cal := box.Calendar()
	inbox := home + "calendar/"
	single := func(nth int) graph.EventID {
		for _, i := range cal.Instances(now, to) {
			if i.SeriesMasterID == "" && !i.AllDay {
				if nth--; nth < 0 {
					return i.ID
				}
			}
		}
		t.Fatal("the simulation has too few single events")
		return ""
	}
	series := func() graphsim.Instance {
		all := cal.Instances(now.AddDate(0, 0, 21), to)
		return all[slices.IndexFunc(all, func(i graphsim.Instance) bool { return i.Subject == "Stand-up" })]
	}
	for _, change := range []struct {
		name    string
		do      func() error
		deleted bool
	}{
		{"changed", func() error {
			return cal.Change(single(0), func(e *graphsim.Event) { e.Subject, e.Location = "Renamed; see, \"there\"", "Room Elbe" })
		}, false},
		{"moved", func() error {
			return cal.Change(single(1), func(e *graphsim.Event) { e.Start, e.End = e.Start.Add(90*time.Minute), e.End.Add(90*time.Minute) })
		}, false},
		{"moved occurrence", func() error {
			return cal.ChangeOccurrence(series().SeriesMasterID, series().Start.Format(time.DateOnly), func(e *graphsim.Event) {
				e.Start, e.End = e.Start.Add(2*time.Hour), e.End.Add(2*time.Hour)
			})
		}, false},
		{"cancelled occurrence", func() error {
			return cal.CancelOccurrence(series().SeriesMasterID, series().Start.Format(time.DateOnly))
		}, false},
		{"cancelled by its organizer", func() error { return cal.CancelByOrganizer(single(2)) }, false},
		{"deleted", func() error { return cal.Delete(single(3)) }, true},
	} {
		_, token := c.changes(inbox, "")
		if err := change.do(); err != nil {
			t.Fatalf("%s: %v", change.name, err)
		}
		s.nextRound(t)
		got, _ := c.changes(inbox, token)
		if len(got) != 1 || strings.Contains(got[0].Status, "404") != change.deleted {
			t.Errorf("%s: sync-collection reports %+v, not one object", change.name, got)
		}
	}
	c.run("", "vdirsyncer", "-c", c.path("vdirsyncer"), "sync")
	compare("khal", c.khal(from, to))
	compare("python3-caldav", c.pythonCaldav(from, to))
	if v := o.Violations(); len(v) > 0 {
		t.Errorf("Graph's rules were broken: %q", v)
	}
	s.end(syscall.SIGTERM)
}

// TestInteropOdd lets the Python programs read what is odd: khal expands by dateutil, and for python3-caldav the server
// does.
func TestInteropOdd(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	o := newOddMailbox(sim)
	o.nightly()
	s := serveFor(t, newOutlook(t, sim, o.Mailbox))
	s.nextRound(t)
	c := newClients(t, s)
	c.writeConfig()
	from, to := o.window()
	want := o.truth()
	if diff := cmp.Diff(want, c.pythonCaldav(from, to)); diff != "" {
		t.Errorf("python3-caldav does not show what Outlook shows (-Outlook +python3-caldav):\n%s", diff)
	}
	c.run("y\n", "vdirsyncer", "-c", c.path("vdirsyncer"), "discover")
	c.run("", "vdirsyncer", "-c", c.path("vdirsyncer"), "sync")
	for i := range want {
		if want[i].Start.Equal(want[i].End) {
			want[i].End = want[i].End.Add(time.Hour) // khal gives an hour to what takes no time
		}
	}
	if diff := cmp.Diff(sorted(want), c.khal(from, to)); diff != "" {
		t.Errorf("khal does not show what Outlook shows (-Outlook +khal):\n%s", diff)
	}
	s.end(syscall.SIGTERM)
}

// shown is one occurrence as a person sees it. Times are UTC; of all-day events the midnights of their dates.
type shown struct {
	Calendar   string
	Start, End time.Time
	Title      string
}

func sorted(all []shown) []shown {
	slices.SortFunc(all, func(a, b shown) int {
		if c := a.Start.Compare(b.Start); c != 0 {
			return c
		}
		if c := strings.Compare(a.Title, b.Title); c != 0 {
			return c
		}
		return a.End.Compare(b.End)
	})
	return all
}

// clients runs programs that read the bridge through a proxy that counts.
type clients struct {
	*served
	t     *testing.T
	home  string
	proxy *httptest.Server

	mu       sync.Mutex
	requests []request
	epoch    int // counts what was forgotten
}

// request is one that a client has made, and how it was answered.
type request struct {
	method, path string
	status       int
	header       http.Header
	body         string // of what writes
}

// writes tells whether it is there to change an event.
func (r request) writes() bool {
	return slices.Contains([]string{"PUT", "DELETE", "POST", "MOVE", "COPY"}, r.method)
}

func (r request) String() string { return fmt.Sprintf("%s %s %d", r.method, r.path, r.status) }

func newClients(t *testing.T, s *served) *clients {
	c := &clients{served: s, t: t, home: t.TempDir()}
	c.proxy = httptest.NewServer(http.HandlerFunc(c.pass))
	t.Cleanup(c.proxy.Close)
	return c
}

func (c *clients) pass(w http.ResponseWriter, r *http.Request) {
	// Whole, before the answer begins: net/http closes a body that is still being passed on then, and with it the answer.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	one := request{method: r.Method, path: r.URL.Path, header: r.Header.Clone()}
	if one.writes() {
		one.body = string(body)
	}
	c.mu.Lock()
	n := len(c.requests)
	epoch := c.epoch
	c.requests = append(c.requests, one)
	c.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	to, _ := url.Parse(c.url)
	answered := func(resp *http.Response) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.epoch == epoch {
			c.requests[n].status = resp.StatusCode
		}
		return nil
	}
	(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) }, ModifyResponse: answered}).ServeHTTP(w, r)
}

func (c *clients) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = nil
	c.epoch++
}

func (c *clients) seen() []request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// idlePoll checks that the requests since forget are one REPORT for each of n calendars.
func (c *clients) idlePoll(n int) {
	c.t.Helper()
	all := c.seen()
	if len(all) != n || slices.ContainsFunc(all, func(r request) bool { return r.method != "REPORT" }) {
		c.t.Errorf("an idle poll of %d calendars is %v", n, all)
	}
}

func (c *clients) path(name string) string { return filepath.Join(c.home, name) }

func (c *clients) writeConfig() {
	c.t.Helper()
	write := func(name, format string, args ...any) {
		if err := os.WriteFile(c.path(name), fmt.Appendf(nil, format, args...), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
	write("vdirsyncer", `[general]
status_path = %q
[pair outlook]
a = "bridge"
b = "files"
collections = ["from a"]
conflict_resolution = "a wins"
metadata = ["displayname", "color"]
[storage bridge]
type = "caldav"
url = %q
username = %q
password = %q
read_only = true
[storage files]
type = "filesystem"
path = %q
fileext = ".ics"
`, c.path("status")+"/", c.proxy.URL+"/", c.user, c.password, c.path("calendars")+"/")
	write("khal", `[calendars]
[[outlook]]
path = %s/*
type = discover
[sqlite]
path = %s
[locale]
local_timezone = UTC
default_timezone = UTC
timeformat = %%H:%%M
dateformat = %%Y-%%m-%%d
longdateformat = %%Y-%%m-%%d
datetimeformat = %%Y-%%m-%%d %%H:%%M
longdatetimeformat = %%Y-%%m-%%d %%H:%%M
`, c.path("calendars"), c.path("khal.db"))
}

// run runs a client and returns what it printed.
func (c *clients) run(stdin, name string, args ...string) string {
	c.t.Helper()
	out, said, err := c.try(stdin, name, args...)
	if err != nil || strings.Contains(said, "error:") {
		c.t.Fatalf("%s: %v\n%s\n%s", name, err, out, said)
	}
	return out
}

// refused runs a client that has to fail, and returns what it said.
func (c *clients) refused(name string, args ...string) string {
	c.t.Helper()
	out, said, err := c.try("", name, args...)
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		c.t.Fatalf("%s takes what is refused: %v\n%s\n%s", name, err, out, said)
	}
	return out + said
}

func (c *clients) try(stdin, name string, args ...string) (out, said string, err error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "HOME="+c.home, "XDG_CONFIG_HOME="+c.home, "XDG_DATA_HOME="+c.home, "XDG_CACHE_HOME="+c.home,
		"LC_ALL=C.UTF-8", "TZ=UTC")
	cmd.Stdin = strings.NewReader(strings.Repeat(stdin, 20))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	return string(b), stderr.String(), err
}

// khal lists what vdirsyncer brought.
func (c *clients) khal(from, to time.Time) []shown {
	c.t.Helper()
	names := map[string]string{"calendar": "Calendar", "family": "Family", "birthdays": "Birthdays", "odd": "Odd"}
	text := c.run("", "khal", "-c", c.path("khal"), "list", "--day-format", "",
		"--format", "{calendar}|{start-long-full}|{end-long-full}|{title}", from.Format(time.DateOnly), to.AddDate(0, 0, -1).Format(time.DateOnly))
	listed := map[shown]bool{} // an event of several days is listed on each
	for line := range strings.Lines(text) {
		part := strings.SplitN(strings.TrimRight(line, "\n"), "|", 4)
		if len(part) != 4 {
			c.t.Fatalf("khal prints %q", line)
		}
		e := shown{Calendar: names[part[0]], Title: strings.TrimSpace(part[3])}
		for into, text := range map[*time.Time]string{&e.Start: part[1], &e.End: part[2]} {
			at, err := time.Parse("2006-01-02 15:04", text)
			if err != nil {
				c.t.Fatalf("khal prints %q: %v", line, err)
			}
			*into = at
		}
		if day := 24 * time.Hour; e.Start.Equal(e.Start.Truncate(day)) && e.End.Equal(e.End.Truncate(day)) {
			e.End = e.End.Add(day) // of an all-day event khal names the last day
		}
		listed[e] = true
	}
	return sorted(slices.Collect(maps.Keys(listed)))
}

func (c *clients) pythonCaldav(from, to time.Time) []shown {
	c.t.Helper()
	form := "2006-01-02T15:04:05Z"
	text := c.run("", "/usr/bin/python3", "testdata/interop/instances.py", c.proxy.URL+"/", c.user, c.password, from.Format(form), to.Format(form))
	return parseShown(c.t, text)
}

// parseShown reads lines of JSON: [calendar, start, end, title].
func parseShown(t *testing.T, text string) []shown {
	t.Helper()
	var all []shown
	for line := range strings.Lines(text) {
		var v [4]string
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		e := shown{Calendar: v[0], Title: strings.TrimSpace(v[3])}
		for into, text := range map[*time.Time]string{&e.Start: v[1], &e.End: v[2]} {
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				t.Fatal(err)
			}
			*into = at
		}
		all = append(all, e)
	}
	return sorted(all)
}

// curl makes one authorized request and returns the status, the headers and the body.
func (c *clients) curl(args ...string) (status, head, body string) {
	c.t.Helper()
	text := c.run("", "curl", append([]string{"-sS", "-i", "-u", c.user + ":" + c.password}, args...)...)
	head, body, _ = strings.Cut(text, "\r\n\r\n")
	if m := regexp.MustCompile(`^HTTP/1\.1 ([0-9]+)`).FindStringSubmatch(head); m != nil {
		status = m[1]
	}
	return status, head, body
}

// curlDiscovery goes from the bare address to the calendars as a person with curl does. It returns the path of the
// calendar home.
func (c *clients) curlDiscovery() string {
	c.t.Helper()
	propfind := func(path, depth, property string) string {
		c.t.Helper()
		status, head, body := c.curl("-X", "PROPFIND", "-H", "Depth: "+depth, "-H", "Content-Type: application/xml",
			"--data", `<propfind xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><prop><resourcetype/><displayname/>`+property+`</prop></propfind>`,
			c.proxy.URL+path)
		if status != "207" || !strings.Contains(head, "DAV: 1, ") && !strings.Contains(head, "Dav: 1, ") {
			c.t.Fatalf("PROPFIND %s: %s\n%s", path, head, body)
		}
		return body
	}
	href := func(body, property string) string {
		c.t.Helper()
		m := regexp.MustCompile(property + `><[A-Za-z:]*href>([^<]+)<`).FindStringSubmatch(body)
		if m == nil {
			c.t.Fatalf("there is no %s in\n%s", property, body)
		}
		return m[1]
	}
	status, head, _ := c.curl("-X", "PROPFIND", c.proxy.URL+"/.well-known/caldav")
	if status != "307" || !regexp.MustCompile(`(?im)^location: (http://[^/]+)?/dav/\r?$`).MatchString(head) {
		c.t.Fatalf("/.well-known/caldav: %s", head)
	}
	principal := href(propfind("/dav/", "0", "<current-user-principal/>"), "current-user-principal")
	home := href(propfind(principal, "0", "<C:calendar-home-set/>"), "calendar-home-set")
	listing := propfind(home, "1", "")
	for _, name := range []string{"Calendar", "Family", "Birthdays"} {
		if !strings.Contains(listing, "displayname>"+name+"<") {
			c.t.Errorf("the home has no calendar %s:\n%s", name, listing)
		}
	}
	object := objectHref.FindString(propfind(home+"calendar/", "1", "<getetag/>"))
	status, head, body := c.curl(c.proxy.URL + object)
	tag := regexp.MustCompile(`(?i)etag: (".*")`).FindStringSubmatch(head)
	if status != "200" || tag == nil || !strings.HasPrefix(body, "BEGIN:VCALENDAR\r\n") {
		c.t.Fatalf("GET %s: %s\n%s", object, head, body)
	}
	if status, _, body := c.curl("-H", "If-None-Match: "+tag[1], c.proxy.URL+object); status != "304" || body != "" {
		c.t.Errorf("GET %s with its ETag: %s %q", object, status, body)
	}
	if status, _, _ := c.curl("-u", c.user+":wrong", c.proxy.URL+object); status != "401" {
		c.t.Errorf("a wrong password is answered %s", status)
	}
	if status, _, _ := c.curl("-X", "PUT", "--data", "BEGIN:VCALENDAR", c.proxy.URL+home+"calendar/new.ics"); status != "403" {
		c.t.Errorf("PUT is answered %s", status)
	}
	if status, _, _ := c.curl("-X", "PROPFIND", "--data", "<propfind", c.proxy.URL+home); status != "400" {
		c.t.Errorf("malformed XML is answered %s", status)
	}
	return home
}

type davResponse struct {
	Href   string `xml:"href"`
	Status string `xml:"status"`
}

// changes is a sync-collection report (RFC 6578): what changed after token, and the token that follows.
func (c *clients) changes(path, token string) ([]davResponse, string) {
	c.t.Helper()
	status, head, body := c.curl("-X", "REPORT", "-H", "Content-Type: application/xml", "--data",
		`<sync-collection xmlns="DAV:"><sync-token>`+token+`</sync-token><sync-level>1</sync-level><prop><getetag/></prop></sync-collection>`,
		c.url+path)
	var answer struct {
		Responses []davResponse `xml:"response"`
		Token     string        `xml:"sync-token"`
	}
	if err := xml.Unmarshal([]byte(body), &answer); status != "207" || err != nil || answer.Token == "" {
		c.t.Fatalf("sync-collection: %v\n%s\n%s", err, head, body)
	}
	return answer.Responses, answer.Token
}
