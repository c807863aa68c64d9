package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a running outbridge, the real program in a process of its own.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  output
	done chan struct{}
	err  error // once done is closed
}

// output gathers what a process prints, on standard output and standard error.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	news chan struct{} // closed and replaced when there is more
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.news != nil {
		close(o.news)
	}
	o.news = make(chan struct{})
	return o.text.Write(b)
}

func (o *output) read() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.news == nil {
		o.news = make(chan struct{})
	}
	return o.text.String(), o.news
}

// start runs outbridge with its files in dir. It is killed at the end of the test if it still runs then.
func start(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	return startProgram(t, "outbridge", dir, args...)
}

func startProgram(t *testing.T, program, dir string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, &p.out, &p.out
	p.cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if text, _ := p.out.read(); t.Failed() {
			t.Logf("outbridge %s:\n%s", strings.Join(args, " "), text)
		}
	})
	return p
}

// released builds the program into dir, as it is released.
func released(t *testing.T, dir string) string {
	t.Helper()
	binary := filepath.Join(dir, "outbridge")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// patience is when to give up waiting: only shortly before the whole run is cut off, so that no test fails because a machine
// is slow.
func patience(t *testing.T) time.Time {
	if end, ok := t.Deadline(); ok {
		return end.Add(-20 * time.Second)
	}
	return time.Now().AddDate(0, 0, 1)
}

// waitFor waits until the output matches the pattern, and returns its groups.
func (p *process) waitFor(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	late := time.After(time.Until(patience(p.t)))
	for {
		text, news := p.out.read()
		if found := re.FindStringSubmatch(text); found != nil {
			return found[1:]
		}
		select {
		case <-news:
		case <-p.done:
			p.t.Fatalf("it ended with %v before it printed %s", p.err, pattern)
		case <-late:
			p.t.Fatalf("it has not printed %s", pattern)
		}
	}
}

// end sends the signal and checks that the process ends with exit code 0.
func (p *process) end(signal os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.done:
		if p.err != nil {
			p.t.Fatalf("it ended with %v", p.err)
		}
	case <-time.After(time.Until(patience(p.t))):
		p.t.Fatal("it has not ended")
	}
}

// kill ends the process as a power cut does.
func (p *process) kill() {
	p.t.Helper()
	_ = p.cmd.Process.Kill()
	<-p.done
	var exit *exec.ExitError
	if !errors.As(p.err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		p.t.Fatalf("it was not killed: %v", p.err)
	}
}

// outbridge runs a command to its end and returns what it printed on standard output.
func outbridge(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("outbridge", args...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &stderr
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("outbridge %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(b)
}

// writeConfig makes a folder with a configuration for o's Outlook, at a free port and the shortest interval.
func writeConfig(t *testing.T, o *outlook) (dir string) {
	t.Helper()
	dir = t.TempDir()
	config := fmt.Sprintf(`listen = "127.0.0.1:0"
log_level = "debug"
[microsoft]
cloud = "custom"
login_url = %q
graph_url = %q
client_id = %q
[sync]
interval = "5s"
[[account]]
name = "alice"
`, o.url, o.url, testClientID)
	if err := os.WriteFile(filepath.Join(dir, "outbridge.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// fetch makes one request and returns its status and body.
func fetch(t *testing.T, method, url, user, password string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	if method == "PROPFIND" {
		req.Header.Set("Depth", "1")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
