package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// TestServeBounds asks the real program, at every entry and many times at once, for as much as can be asked for, and looks at
// the most memory that it ever had.
func TestServeBounds(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the memory of a process is read from /proc")
	}
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second, InsecureWebhooks: true}
	t.Cleanup(sim.Close)
	box, _ := officeWeek(sim)
	o := newOutlook(t, sim, box)
	dir := writeConfig(t, o)
	freePort(t, dir)
	editConfig(t, dir, `interval = "5s"`, "interval = \"1h\"\nnotifications = true")
	editConfig(t, dir, `log_level = "debug"`, `log_level = "info"`)
	s := serveIn(t, dir)
	eventually(t, "the first round", func() bool { return strings.Contains(s.body(t, s.feed), "SUMMARY:Review") })
	s.end(syscall.SIGTERM)
	s.program = released(t, t.TempDir()) // the race detector takes several times the memory
	s.restart(t)

	address := strings.TrimPrefix(s.url, "http://")
	repeat := strings.Repeat
	const form = "Content-Type: application/x-www-form-urlencoded\r\n"
	basic := "Authorization: " + basicAuth(s.user, s.password) + "\r\nDepth: 1\r\n"
	calendar := "/dav/calendars/alice/calendar/"
	patch := `<propertyupdate xmlns="DAV:" xmlns:x="urn:x"><set><prop><x:p>` + repeat("x", 65_000) + `</x:p></prop></set></propertyupdate>`
	if status := ask(t, address, "PROPPATCH "+calendar, basic, patch); status != 207 {
		t.Fatalf("PROPPATCH: %d", status)
	}
	for _, tt := range []struct {
		name, begin, head, body string
		times, status           int
	}{
		{"notify", "POST /graph/notify", "", `{"value":[` + repeat("{},", 1_200_000) + "{}]}", 32, 413},
		{"notify one value", "POST /graph/notify", "", `{"value":["` + repeat("x", 3<<20), 32, 413},
		{"validation", "POST /graph/notify?validationToken=" + repeat("x", 20_000), "", "", 64, 200},
		{"query", "GET /sign-in?" + repeat("a&", 12_000), "", "", 64, 400},
		{"form", "POST /sign-in", form, repeat("a=&", 20_000), 64, 413},
		{"large form", "POST /setup", form, repeat("a", 4<<20), 32, 413},
		{"include", "PROPFIND " + calendar, basic, `<propfind xmlns="DAV:" xmlns:x="urn:x"><allprop/><include>` + repeat("<x:p/>", 35_000) + `</include></propfind>`, 32, 207},
		{"expand-property", "REPORT " + calendar, basic, `<expand-property xmlns="DAV:">` + repeat(`<property name="p" namespace="urn:x"/>`, 19_000) + `</expand-property>`, 32, 400},
		{"no password", "PROPFIND " + calendar, "", repeat("x", 1<<20), 32, 401},
		{"wrong password", "PROPFIND " + calendar, "Authorization: " + basicAuth(s.user, "wrong") + "\r\n", repeat("x", 1<<20), 32, 401},
		{"put", "PUT " + calendar + "a.ics", basic, repeat("A:\n", 300_000), 32, 403},
		{"feed", "GET /feeds/" + s.feed[strings.LastIndex(s.feed, "/")+1:], "", "", 64, 200},
		{"metrics", "GET /metrics", "", "", 32, 200},
	} {
		var all sync.WaitGroup
		for range tt.times {
			all.Go(func() {
				if status := ask(t, address, tt.begin, tt.head, tt.body); status != tt.status {
					t.Errorf("%s: %d, want %d", tt.name, status, tt.status)
				}
			})
		}
		all.Wait()
		if mib := mostMemory(t, s); mib > 256 {
			t.Fatalf("after %s: %d MiB at most", tt.name, mib)
		}
	}

	// Connections that hold on to what they can: the server keeps some of them, and lets others in.
	var held []net.Conn
	for i := range 1500 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		switch i % 3 {
		case 1: // a head that does not end
			_, _ = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: localhost\r\nA: %s", repeat("x", 20_000))
		case 2: // a body that does not end
			_, _ = fmt.Fprintf(c, "POST /graph/notify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{\"value\":[")
		}
	}
	if status := ask(t, address, "GET /healthz", "", ""); status != 200 {
		t.Errorf("beside many connections: %d", status)
	}
	mib := mostMemory(t, s)
	t.Logf("%d MiB at most", mib)
	if mib > 256 {
		t.Errorf("with many connections: %d MiB at most", mib)
	}
	for _, c := range held {
		_ = c.Close()
	}
	s.end(syscall.SIGTERM)
}

// ask makes one request on a connection of its own and returns the status of its answer, which is read to its end. It goes on
// reading where the server does not take the body.
func ask(t *testing.T, address, begin, head, body string) int {
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer c.Close()
	_ = c.SetDeadline(patience(t))
	go func() {
		_, _ = io.WriteString(c, begin+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"+head+"Content-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // the end may be a reset, where a body was not taken
	return resp.StatusCode
}

func basicAuth(user, password string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

// mostMemory is the most memory that the process has had, in MiB.
func mostMemory(t *testing.T, s *served) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	kib := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(b)
	if kib == nil {
		t.Skip("the system does not say how much memory a process had")
	}
	n, err := strconv.Atoi(string(kib[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n >> 10
}
