//go:build load

package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// loadWorld is the real binary, a configuration, and the simulated Outlook that it reads.
type loadWorld struct {
	t       *testing.T
	sim     *graphsim.Server
	outlook string // URL
	dir     string
	binary  string
	conf    string
	address string
	serve   *exec.Cmd
	env     []string     // of serve, beside that of the test
	delay   atomic.Int64 // of each answer of Graph, in nanoseconds
	long    atomic.Bool  // Graph's ids are the longer ones, which change when an event is moved
}

// newLoadWorld builds the binary and signs it in to a mailbox that fill has filled. The keys are further ones of the account.
func newLoadWorld(t *testing.T, fill func(*graphsim.Calendar), keys ...string) *loadWorld {
	t.Helper()
	return newLoadWorldOf(t, func(dir string) string { return buildBinary(t, dir) }, fill, keys...)
}

// newLoadWorldOf does so with the binary that build makes in a folder.
func newLoadWorldOf(t *testing.T, build func(dir string) string, fill func(*graphsim.Calendar), keys ...string) *loadWorld {
	t.Helper()
	w := &loadWorld{t: t, dir: t.TempDir()}
	w.binary, w.conf = build(w.dir), filepath.Join(w.dir, "outbridge.toml")
	w.sim = &graphsim.Server{AutoApprove: true, DeviceInterval: time.Second, MaxPage: 200}
	fill(w.sim.AddMailbox("alice@contoso.example", "Alice", "W. Europe Standard Time").Calendar())
	outlook := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if d := time.Duration(w.delay.Load()); d > 0 && strings.HasPrefix(r.URL.Path, "/v1.0/") {
			<-time.After(d)
		}
		if w.long.Load() {
			for i, prefer := range r.Header["Prefer"] {
				r.Header["Prefer"][i] = strings.ReplaceAll(prefer, `IdType="ImmutableId"`, `odata.track-changes`)
			}
		}
		w.sim.ServeHTTP(rw, r)
	}))
	t.Cleanup(outlook.Close)
	w.outlook, w.address = outlook.URL, freeAddress(t)
	text := fmt.Sprintf("listen = %q\n[microsoft]\ncloud = \"custom\"\nlogin_url = %q\ngraph_url = %q\nclient_id = \"load\"\n[[account]]\nname = \"alice\"\n%s\n",
		w.address, w.outlook, w.outlook, strings.Join(keys, "\n"))
	if err := os.WriteFile(w.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w.tool("login", "alice")
	return w
}

// buildBinary builds the program into dir.
func buildBinary(t *testing.T, dir string) string {
	t.Helper()
	binary := filepath.Join(dir, "outbridge")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// tool runs a command of the binary to its end.
func (w *loadWorld) tool(args ...string) ([]byte, *os.ProcessState) {
	w.t.Helper()
	cmd := exec.Command(w.binary, append(args, "--config", w.conf)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("outbridge %v: %v\n%s", args, err, stderr.String())
	}
	return out, cmd.ProcessState
}

// json runs a command and reads what it prints.
func (w *loadWorld) json(v any, args ...string) {
	w.t.Helper()
	out, _ := w.tool(append(args, "--json")...)
	if err := json.Unmarshal(out, v); err != nil {
		w.t.Fatal(err)
	}
}

// start runs `outbridge serve` until stop or the end of the test.
func (w *loadWorld) start() {
	w.t.Helper()
	w.serve = exec.Command(w.binary, "serve", "--config", w.conf)
	w.serve.Env = append(os.Environ(), w.env...)
	w.serve.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := w.serve.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(w.stop)
	awaitHTTP(w.t, "http://"+w.address+"/readyz")
}

func (w *loadWorld) stop() {
	_ = w.serve.Process.Signal(syscall.SIGTERM)
	_ = w.serve.Wait()
}

// resident is the most memory that the running server has had since reset, in MiB.
func (w *loadWorld) resident() string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.serve.Process.Pid))
	if err != nil {
		return "?"
	}
	kib := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(b)
	if kib == nil {
		return "?"
	}
	var n int
	fmt.Sscan(string(kib[1]), &n)
	return fmt.Sprint(n>>10, " MiB")
}

// awaitHTTP waits until something answers there.
func awaitHTTP(t *testing.T, url string) {
	t.Helper()
	for range 400 {
		if res, err := http.Get(url); err == nil {
			res.Body.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("nothing answers at " + url)
}

// caldavClient is a client of one calendar, with one connection that is kept.
type caldavClient struct {
	t              *testing.T
	pid            int    // of the server
	calendar       string // URL
	user, password string
	http           *http.Client
}

func newCalDAVClient(t *testing.T, pid int, calendar, user, password string) *caldavClient {
	tr := &http.Transport{MaxIdleConnsPerHost: loadClients, DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &caldavClient{t: t, pid: pid, calendar: calendar, user: user, password: password, http: &http.Client{Transport: tr}}
}

func (c *caldavClient) request(method, url, depth, body string) *http.Request {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.SetBasicAuth(c.user, c.password)
	if depth != "" {
		r.Header.Set("Depth", depth)
	}
	r.Header.Set("Content-Type", "application/xml; charset=utf-8")
	return r
}
