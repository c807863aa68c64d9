//go:build load

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

const (
	loadSingles = 9500
	loadSeries  = 500
	loadTime    = 5 * time.Second // of each measurement
	loadClients = 4
)

// TestLoad runs the real binary against a simulated mailbox of 10,000 events and prints what it does. `make bench`
// calls it; it fails only where an answer is wrong, never for being slow.
func TestLoad(t *testing.T) {
	w := newLoadWorld(t, func(cal *graphsim.Calendar) { fillMailbox(cal, loadSingles, loadSeries) })
	download := downloadOnly(t, w.outlook)
	var report struct{ Events int }
	var first *os.ProcessState
	took := timed(func() {
		var out []byte
		out, first = w.tool("sync", "--json")
		if err := json.Unmarshal(out, &report); err != nil {
			t.Fatal(err)
		}
	})
	if report.Events != loadSingles+loadSeries {
		t.Fatalf("synced %d events", report.Events)
	}
	row("first sync, 10,000 events", fmt.Sprintf("%.0f events/s", float64(report.Events)/took.Seconds()),
		fmt.Sprintf("%.1f s, %.1f s of CPU, %.1f times the download alone, peak memory %d MiB", took.Seconds(), (first.UserTime()+first.SystemTime()).Seconds(),
			took.Seconds()/download.Seconds(), peak(first)))
	idle := timed(func() { w.tool("sync", "--json") })
	row("idle sync, whole process", fmt.Sprintf("%.0f ms", idle.Seconds()*1000), "")

	var pass struct{ Password string }
	var feed struct{ URL string }
	w.json(&pass, "password", "add", "alice")
	w.json(&feed, "feed", "add", "alice")
	w.start()
	defer func() { row("serve, peak memory", w.resident(), "") }()

	dav := "http://" + w.address + "/dav/calendars/alice/calendar/"
	ask := func(method, url, depth, body string, header ...string) *http.Request {
		r, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("alice", pass.Password)
		r.Header.Set("Depth", depth)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	list := fetch(t, ask("REPORT", dav, "1", fmt.Sprintf(syncBody, "")), 207)
	hrefs := regexp.MustCompile(`/dav/calendars/alice/calendar/[^<]+\.ics`).FindAllString(string(list), -1)
	token := regexp.MustCompile(`urn:outbridge:sync:[^<]+`).FindString(string(list))
	if len(hrefs) != report.Events || token == "" {
		t.Fatalf("%d hrefs, token %q", len(hrefs), token)
	}
	multiget := func(n int) string { return multigetBody(hrefs[:n]) }
	measure(t, w, "PROPFIND getctag, idle poll", "requests/s", 1, 207, func() *http.Request { return ask("PROPFIND", dav, "0", ctagBody) })
	measure(t, w, "REPORT sync-collection, idle poll", "requests/s", 1, 207, func() *http.Request { return ask("REPORT", dav, "1", fmt.Sprintf(syncBody, token)) })
	measure(t, w, "REPORT sync-collection, from nothing", "objects/s", len(hrefs), 207, func() *http.Request { return ask("REPORT", dav, "1", fmt.Sprintf(syncBody, "")) })
	measure(t, w, "REPORT calendar-multiget of 100", "objects/s", 100, 207, func() *http.Request { return ask("REPORT", dav, "1", multiget(100)) })
	measure(t, w, "REPORT calendar-multiget of 10,000", "objects/s", len(hrefs), 207, func() *http.Request { return ask("REPORT", dav, "1", multiget(len(hrefs))) })
	measure(t, w, "REPORT calendar-query of a month", "requests/s", 1, 207, func() *http.Request { return ask("REPORT", dav, "1", monthBody()) })
	res := fetch(t, ask("GET", feed.URL, "", ""), 200)
	etag := head(t, feed.URL).Get("ETag")
	measure(t, w, fmt.Sprintf("feed of %d MiB", len(res)>>20), "requests/s", 1, 200, func() *http.Request { return ask("GET", feed.URL, "", "", "Accept-Encoding", "identity") })
	measure(t, w, "feed, gzip", "requests/s", 1, 200, func() *http.Request { return ask("GET", feed.URL, "", "", "Accept-Encoding", "gzip") })
	measure(t, w, "feed, 304", "requests/s", 1, 304, func() *http.Request { return ask("GET", feed.URL, "", "", "If-None-Match", etag) })
}

// monthBody asks what there is in the month from now.
func monthBody() string {
	const utc = "20060102T150405Z"
	now := time.Now().UTC()
	return fmt.Sprintf(`<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range start="%s" end="%s"/></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>`,
		now.Format(utc), now.AddDate(0, 1, 0).Format(utc))
}

// fillMailbox makes single events over 400 days, a quarter of them past, and series of every fourth week without an end.
func fillMailbox(cal *graphsim.Calendar, singles, series int) {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	body := "<p>Agenda</p><ul>" + strings.Repeat("<li>A point to talk about</li>", 10) + "</ul>"
	for i := range singles {
		begin := today.AddDate(0, 0, i%400-100).Add(time.Duration(7+i/400%10) * time.Hour)
		cal.Create(graphsim.Event{Subject: fmt.Sprintf("Meeting %d", i), Body: body, Location: "Room 5", Start: begin, End: begin.Add(time.Hour)})
	}
	for i := range series {
		begin := today.AddDate(0, 0, i%28-28).Add(time.Duration(7+i%10) * time.Hour)
		cal.Create(graphsim.Event{Subject: fmt.Sprintf("Series %d", i), Body: body, Start: begin, End: begin.Add(time.Hour), Recurrence: &graph.Recurrence{
			Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 4, DaysOfWeek: []string{strings.ToLower(begin.Weekday().String())}},
			Range:   graph.RecurrenceRange{Type: "noEnd"},
		}})
	}
}

// downloadOnly reads what a first sync reads, and drops it. It returns how long that took after the sign-in.
func downloadOnly(t *testing.T, origin string) time.Duration {
	auth := &graph.Authority{LoginURL: origin, Tenant: "common", ClientID: "load", Scopes: graph.Scopes(origin)}
	device, err := auth.DeviceCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	token, err := auth.Wait(t.Context(), device.DeviceSecret)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	c := &graph.Client{BaseURL: origin + "/v1.0", Tokens: oneToken(token.AccessToken)}
	cals, err := c.Calendars(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	end := now.AddDate(1, 0, 2)
	var masters []graph.MasterRef
	for link := c.DeltaURL(cals[0].ID, now.AddDate(0, -4, -1), end); link != ""; {
		page, err := c.Delta(t.Context(), link)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if e.Type == graph.SeriesMaster {
				masters = append(masters, graph.MasterRef{ID: e.ID, Zone: e.OriginalStartTimeZone})
			}
		}
		link = page.Next
	}
	for _, err := range c.EventsFrom(t.Context(), cals[0].ID, end) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range c.Masters(t.Context(), "", masters) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	return time.Since(begin)
}

type oneToken string

func (t oneToken) Token(context.Context) (string, error) { return string(t), nil }
func (oneToken) Invalidate(string)                       {}

func timed(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

// peak is the most memory that a process had, in MiB.
func peak(p *os.ProcessState) int64 { return p.SysUsage().(*syscall.Rusage).Maxrss >> 10 }

func row(what, figure, more string) { fmt.Printf("%-40s %20s   %s\n", what, figure, more) }

// measure sends a request over and over from a few clients and prints how often it is answered.
func measure(t *testing.T, w *loadWorld, what, unit string, each, status int, request func() *http.Request) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: loadClients, DisableCompression: true}}
	defer client.CloseIdleConnections()
	var done, octets atomic.Int64
	var wg sync.WaitGroup
	begin, cpu := time.Now(), cpuTime(t, w.serve.Process.Pid)
	for range loadClients {
		wg.Go(func() {
			for time.Since(begin) < loadTime {
				res, err := client.Do(request())
				if err != nil {
					t.Error(err)
					return
				}
				n, err := io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != status {
					t.Errorf("%s: %s, %v", what, res.Status, err)
					return
				}
				octets.Add(n)
				done.Add(1)
			}
		})
	}
	wg.Wait()
	took := time.Since(begin).Seconds()
	row(what, fmt.Sprintf("%.0f %s", float64(done.Load())*float64(each)/took, unit),
		fmt.Sprintf("%.1f MiB/s, %.2f ms each, %.3g ms of the server's CPU", float64(octets.Load())/took/(1<<20), took*1000*loadClients/float64(max(1, done.Load())),
			(cpuTime(t, w.serve.Process.Pid)-cpu).Seconds()*1000/float64(max(1, done.Load()))))
}

func fetch(t *testing.T, r *http.Request, status int) []byte {
	t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != status {
		t.Fatalf("%s %s: %s, %v: %.200s", r.Method, r.URL, res.Status, err, b)
	}
	return b
}

func head(t *testing.T, url string) http.Header {
	t.Helper()
	res, err := http.Head(url)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.Header
}
