//go:build load

package main_test

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

const (
	comparedObjects = 5000
	multigetSize    = 100             // objects asked for at a time, as Thunderbird, Evolution and KDE do
	patience        = 2 * time.Minute // how long a first sync may take before it is given up
)

// TestCompare serves the same objects with outbridge, Radicale, Xandikos and, as plain files, nginx, and lets one
// client ask each for the same. `make bench` calls it; it needs Debian's radicale, xandikos, nginx-light and git, and
// fails only where an answer is wrong.
func TestCompare(t *testing.T) {
	w := newLoadWorld(t, func(cal *graphsim.Calendar) { fillMailbox(cal, comparedObjects*19/20, comparedObjects/20) })
	var report struct{ Events int }
	w.json(&report, "sync")
	if report.Events != comparedObjects {
		t.Fatalf("synced %d events", report.Events)
	}
	var pass struct{ Password string }
	w.json(&pass, "password", "add", "alice")
	w.start()
	ours := newCalDAVClient(t, w.serve.Process.Pid, "http://"+w.address+"/dav/calendars/alice/calendar/", "alice", pass.Password)
	objects := ours.objects()

	radicale := startRadicale(t, objects)
	xandikos := startXandikos(t, objects)
	type result struct {
		name            string
		ctag, sync, get rate
		first, firstCPU time.Duration
		octets          int64
		objects         int // of the first sync, fewer than all if it was given up
	}
	var results []*result
	var bodies [][]byte
	for _, s := range []struct {
		name string
		c    *caldavClient
	}{{"outbridge", ours}, {"Radicale", radicale}, {"Xandikos", xandikos}} {
		s.c.hrefs(nil) // what a server makes of its storage at the first question, it has now
		r := &result{name: s.name}
		token := s.c.token()
		r.ctag = s.c.rate(func() *http.Request { return s.c.request("PROPFIND", s.c.calendar, "0", ctagBody) }, 207)
		r.sync = s.c.rate(func() *http.Request {
			return s.c.request("REPORT", s.c.calendar, "1", fmt.Sprintf(syncBody, html.EscapeString(token)))
		}, 207)
		var one string
		for name := range objects {
			one = s.c.calendar + name
			break
		}
		r.get = s.c.rate(func() *http.Request { return s.c.request("GET", one, "", "") }, 200)
		t.Logf("%+v", *r)
		keep := &bodies
		if s.c != ours {
			keep = nil
		}
		cpu, n := s.c.cpu(), 0
		for begin := time.Now(); time.Since(begin) < loadTime; n++ { // one that takes longer is measured once
			var took time.Duration
			took, r.octets, r.objects = s.c.firstSync(keep)
			r.first, keep = r.first+took, nil
		}
		r.first, r.firstCPU = r.first/time.Duration(n), (s.c.cpu()-cpu)/time.Duration(n)
		t.Logf("%+v", *r)
		results = append(results, r)
	}
	files := maps.Clone(objects)
	files["all"] = bytes.Join(bodies, nil)
	plain, _ := startNginx(t, files)
	file := newCalDAVClient(t, 0, plain, "", "")
	got := &result{name: "nginx, plain files"}
	file.fetch(file.request("GET", plain+"all", "", ""), 200)
	got.objects = comparedObjects
	begin, n := time.Now(), 0
	for ; time.Since(begin) < loadTime; n++ {
		got.octets = int64(len(file.fetch(file.request("GET", plain+"all", "", ""), 200)))
	}
	got.first = time.Since(begin) / time.Duration(n)
	for name := range objects {
		got.get = file.rate(func() *http.Request { return file.request("GET", plain+name, "", "") }, 200)
		break
	}

	fmt.Printf("\n%d objects, %d of them series; first sync: PROPFIND and multigets of %d, one connection; the rest: %d connections; after the comma, CPU time of the server\n\n",
		comparedObjects, comparedObjects/20, multigetSize, loadClients)
	fmt.Println("| | ctag poll | sync poll | GET of one object | first sync | octets of it |\n| --- | --- | --- | --- | --- | --- |")
	cell := func(r rate) string {
		switch {
		case r.second == 0:
			return "—"
		case r.cpu == 0:
			return fmt.Sprintf("%.0f/s", r.second)
		case r.second < 100:
			return fmt.Sprintf("%.2g/s, %.3g ms", r.second, r.cpu)
		}
		return fmt.Sprintf("%.0f/s, %.2g ms", r.second, r.cpu)
	}
	for _, r := range append(results, got) {
		first := fmt.Sprintf("%.2f s, %.2f s", r.first.Seconds(), r.firstCPU.Seconds())
		if r.objects < comparedObjects {
			first += fmt.Sprintf(" for %d, then given up", r.objects)
		}
		fmt.Printf("| %s | %s | %s | %s | %s | %.1f MiB |\n", r.name, cell(r.ctag), cell(r.sync), cell(r.get), first, float64(r.octets)/(1<<20))
	}
	us, a, b := results[0], results[1], results[2]
	ratio := func(us, a, b rate) string {
		return fmt.Sprintf("%.0f×, by CPU %.0f×", us.second/max(a.second, b.second), min(a.cpu, b.cpu)/us.cpu)
	}
	fmt.Printf("| to the better of Radicale and Xandikos | %s | %s | %s | %.0f×, by CPU %.0f× | |\n", ratio(us.ctag, a.ctag, b.ctag), ratio(us.sync, a.sync, b.sync),
		ratio(us.get, a.get, b.get), min(a.first, b.first).Seconds()/us.first.Seconds(), min(a.firstCPU, b.firstCPU).Seconds()/us.firstCPU.Seconds())
	fmt.Printf("| to nginx | | | %.2f× | %.2f× | |\n\n", us.get.second/got.get.second, got.first.Seconds()/us.first.Seconds())
	fmt.Println("outbridge, most memory:", w.resident())
}

const (
	ctagBody = `<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:" xmlns:CS="http://calendarserver.org/ns/"><D:prop><CS:getctag/></D:prop></D:propfind>`
	listBody = `<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:getcontenttype/><D:resourcetype/><D:getetag/></D:prop></D:propfind>`
	tokenAsk = `<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:sync-token/></D:prop></D:propfind>`
	syncBody = `<?xml version="1.0" encoding="utf-8"?><D:sync-collection xmlns:D="DAV:"><D:sync-token>%s</D:sync-token><D:sync-level>1</D:sync-level><D:prop><D:getcontenttype/><D:getetag/></D:prop></D:sync-collection>`
)

func multigetBody(hrefs []string) string {
	return `<C:calendar-multiget xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:getetag/><C:calendar-data/></D:prop><D:href>` +
		strings.Join(hrefs, "</D:href><D:href>") + `</D:href></C:calendar-multiget>`
}

func (c *caldavClient) fetch(r *http.Request, status int) []byte {
	c.t.Helper()
	res, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != status {
		c.t.Fatalf("%s %s: %s, %v: %.300s", r.Method, r.URL, res.Status, err, b)
	}
	return b
}

// drain reads an answer that is larger than one wants to hold, and counts it.
func (c *caldavClient) drain(r *http.Request) int64 {
	c.t.Helper()
	res, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err != nil || res.StatusCode >= 300 {
		c.t.Fatalf("%s %s: %s, %v", r.Method, r.URL, res.Status, err)
	}
	return n
}

var hrefOf = regexp.MustCompile(`<(?:\w+:)?href>([^<]*\.ics)</`)

// hrefs lists the objects.
func (c *caldavClient) hrefs(keep *[][]byte) []string {
	b := c.fetch(c.request("PROPFIND", c.calendar, "1", listBody), 207)
	if keep != nil {
		*keep = append(*keep, b)
	}
	var l []string
	for _, m := range hrefOf.FindAllSubmatch(b, -1) {
		l = append(l, string(m[1]))
	}
	return l
}

// firstSync lists the calendar and reads all of it, or what it gets before its patience ends.
func (c *caldavClient) firstSync(keep *[][]byte) (took time.Duration, octets int64, objects int) {
	begin := time.Now()
	hrefs := c.hrefs(keep)
	for i := 0; i < len(hrefs) && time.Since(begin) < patience; i += multigetSize {
		chunk := hrefs[i:min(i+multigetSize, len(hrefs))]
		b := c.fetch(c.request("REPORT", c.calendar, "1", multigetBody(chunk)), 207)
		if n := bytes.Count(b, []byte("BEGIN:VCALENDAR")); n != len(chunk) {
			c.t.Fatalf("%s: %d objects of %d", c.calendar, n, len(chunk))
		}
		octets += int64(len(b))
		objects += len(chunk)
		if keep != nil {
			*keep = append(*keep, b)
		}
	}
	return time.Since(begin), octets, objects
}

// objects reads all objects by name.
func (c *caldavClient) objects() map[string][]byte {
	all := map[string][]byte{}
	for _, href := range c.hrefs(nil) {
		u, err := url.Parse(c.calendar)
		if err != nil {
			c.t.Fatal(err)
		}
		all[href[strings.LastIndexByte(href, '/')+1:]] = c.fetch(c.request("GET", u.Scheme+"://"+u.Host+href, "", ""), 200)
	}
	return all
}

func (c *caldavClient) token() string {
	b := c.fetch(c.request("PROPFIND", c.calendar, "0", tokenAsk), 207)
	m := regexp.MustCompile(`sync-token>([^<]+)</`).FindSubmatch(b)
	if m == nil {
		c.t.Fatalf("%s has no sync token: %s", c.calendar, b)
	}
	return html.UnescapeString(string(m[1]))
}

// rate is how often a request is answered.
type rate struct {
	second float64 // answers in a second
	cpu    float64 // of the server for one, in milliseconds; 0: not known
}

// cpu is what the server has used so far; 0 where its process is not known.
func (c *caldavClient) cpu() time.Duration {
	if c.pid == 0 {
		return 0
	}
	return cpuTime(c.t, c.pid)
}

// rate measures with loadClients requests under way.
func (c *caldavClient) rate(request func() *http.Request, status int) rate {
	c.t.Helper()
	cpu := c.cpu()
	var done atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	for range loadClients {
		wg.Go(func() {
			for time.Since(begin) < loadTime {
				res, err := c.http.Do(request())
				if err != nil {
					c.t.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != status {
					c.t.Errorf("%s: %s, %v", c.calendar, res.Status, err)
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	n := float64(max(done.Load(), 1))
	return rate{n / time.Since(begin).Seconds(), (c.cpu() - cpu).Seconds() * 1000 / n}
}

// other runs another program's server until the end of the test.
func other(t *testing.T, name string, args ...string) (pid int) {
	t.Helper()
	return otherOf(t, exec.Command(name, args...))
}

// otherOf does so with a command.
func otherOf(t *testing.T, cmd *exec.Cmd) (pid int) {
	t.Helper()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v: .ci/packages radicale xandikos nginx-light git cyrus-caldav", cmd.Path, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %.2000s", cmd.Path, out.String())
		}
	})
	return cmd.Process.Pid
}

func writeFiles(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// startRadicale serves the objects from its own storage, with the sign-in that it has and no more log than it needs.
func startRadicale(t *testing.T, objects map[string][]byte) *caldavClient {
	dir, address := t.TempDir(), freeAddress(t)
	calendar := filepath.Join(dir, "collections", "collection-root", "alice", "calendar")
	writeFiles(t, calendar, objects)
	writeFiles(t, calendar, map[string][]byte{".Radicale.props": []byte(`{"tag": "VCALENDAR"}`)})
	writeFiles(t, dir, map[string][]byte{"users": []byte("alice:secret\n"), "config": []byte(fmt.Sprintf(
		"[server]\nhosts = %s\n[auth]\ntype = htpasswd\nhtpasswd_filename = %s/users\nhtpasswd_encryption = plain\n[storage]\nfilesystem_folder = %s/collections\n[logging]\nlevel = error\n",
		address, dir, dir))})
	pid := other(t, "radicale", "--config", filepath.Join(dir, "config"))
	awaitHTTP(t, "http://"+address+"/")
	return newCalDAVClient(t, pid, "http://"+address+"/alice/calendar/", "alice", "secret")
}

// startXandikos serves the objects from a Git repository, its only storage.
func startXandikos(t *testing.T, objects map[string][]byte) *caldavClient {
	dir, address := t.TempDir(), freeAddress(t)
	calendar := filepath.Join(dir, "alice", "calendars", "calendar")
	writeFiles(t, calendar, objects)
	writeFiles(t, calendar, map[string][]byte{".xandikos": []byte("[DEFAULT]\ntype = calendar\n")})
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, {"-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", "all"}} {
		cmd := exec.Command("git", append([]string{"-C", calendar}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	host, port, _ := strings.Cut(address, ":")
	pid := other(t, "xandikos", "-d", dir, "-l", host, "-p", port, "--current-user-principal", "/alice/", "--autocreate")
	awaitHTTP(t, "http://"+address+"/")
	return newCalDAVClient(t, pid, "http://"+address+"/alice/calendars/calendar/", "alice", "secret")
}

// startNginx serves files. To who takes gzip it sends the file with .gz after its name, if there is one.
func startNginx(t *testing.T, files map[string][]byte) (origin string, pid int) {
	dir, address := t.TempDir(), freeAddress(t)
	root := filepath.Join(dir, "root")
	writeFiles(t, root, files)
	writeFiles(t, dir, map[string][]byte{"nginx.conf": []byte(fmt.Sprintf(`daemon off;
worker_processes 2;
pid %[1]s/pid;
error_log %[1]s/error.log;
events { worker_connections 256; }
http {
	access_log off;
	sendfile on;
	gzip_static on;
	keepalive_requests 1000000;
	client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
	server { listen %[2]s; root %[1]s/root; default_type text/calendar; }
}
`, dir, address))})
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // its workers are another user
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	name := "nginx"
	if _, err := exec.LookPath(name); err != nil {
		name = "/usr/sbin/nginx"
	}
	pid = other(t, name, "-c", filepath.Join(dir, "nginx.conf"), "-p", dir)
	awaitHTTP(t, "http://"+address+"/")
	return "http://" + address + "/", pid
}
