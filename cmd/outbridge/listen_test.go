//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestPlaces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		listen any
		want   string // "": refused
	}{
		{"127.0.0.1:8080", "127.0.0.1:8080"}, {[]any{"127.0.0.1:8080", "[::1]:8080"}, "127.0.0.1:8080, [::1]:8080"}, {"127.0.0.1:1, unix:/run/a.sock", "127.0.0.1:1, unix:/run/a.sock"},
		{"unix:///run/a.sock", "unix:/run/a.sock"}, {"unix:a.sock", "unix:/etc/a.sock"}, {"systemd", "systemd"}, {"systemd:web", "systemd:web"}, {[]any{"unix:/a", "systemd"}, "unix:/a, systemd"},
		{"8080", ""}, {"", ""}, {[]any{}, ""}, {[]any{"127.0.0.1:1", 8080}, ""}, {8080, ""}, {"unix:", ""}, {"unix:@name", ""}, {"unix:/run/", ""}, {"unix:/" + strings.Repeat("x", 120), ""}, {"systemdx", ""},
	} {
		conf := defaultConfig()
		conf.Listen = c.listen
		err := conf.check()
		if conf.absolutePlaces("/etc"); err == nil && conf.listenText() != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%v: %s, %v", c.listen, conf.listenText(), err)
		}
	}
	for mode, want := range map[string]fs.FileMode{"0660": 0o660, "0600": 0o600, "666": 0o666, "0444": 0, "1777": 0, "rw": 0, "": 0} {
		if got, err := parseMode(mode); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %o, %v", mode, got, err)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	l, err := listenUnix(path, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := listenUnix(path, 0o600); err == nil || !strings.Contains(err.Error(), "another program is serving") {
		t.Errorf("one that lives: %v", err)
	}
	if l.Close() != nil || exists(path) {
		t.Error("the file stays")
	}
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if l, err = listenUnix(path, 0o600); err != nil {
		t.Fatalf("after one that has died: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, err := listenUnix(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if l.Close(); !exists(path) {
		t.Error("another's file was removed")
	}
	other.Close()
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(path, 0o600); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file: %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "x" {
		t.Error("the file is gone")
	}
	if _, err := listenUnix(filepath.Join(dir, "none", "s"), 0o600); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "none")) {
		t.Errorf("no folder: %v", err)
	}
}

// atSocket is a client whose every connection goes to the socket.
func atSocket(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}, DisableKeepAlives: true}}
}

func answerOf(t *testing.T, c *http.Client, url string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(req)
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

// TestServeAtSeveralPlaces serves at a socket and two addresses, survives its own death, and leaves no file behind.
func TestServeAtSeveralPlaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := `listen = ["unix:s.sock", "127.0.0.1:0", "127.0.0.2:0"]
public_url = "https://calendar.example.com"
socket_mode = "0666"
`
	if err := os.WriteFile(filepath.Join(dir, "outbridge.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s.sock")
	p := start(t, dir, "serve")
	found := p.waitFor(`msg=serving listen="?unix:(\S+?),(http://127\.0\.0\.1:\d+),(http://127\.0\.0\.2:\d+)"? `)
	if found[0] != socket {
		t.Errorf("the socket is at %s", found[0])
	}
	for c, url := range map[*http.Client]string{atSocket(socket): "http://localhost", http.DefaultClient: found[1], {}: found[2]} {
		if status, body := answerOf(t, c, url+"/readyz"); status != 200 || body != "ok\n" {
			t.Errorf("%s: %d %s", url, status, body)
		}
	}
	for headers, want := range map[string]int{"": 401, "X-Forwarded-Proto=https": 401, "X-Forwarded-Proto=http&X-Forwarded-For=192.0.2.7": 403, "X-Forwarded-Proto=http&X-Forwarded-For=127.0.0.1": 401} {
		var list []string
		for pair := range strings.SplitSeq(headers, "&") {
			if name, value, ok := strings.Cut(pair, "="); ok {
				list = append(list, name, value)
			}
		}
		if status, body := answerOf(t, atSocket(socket), "http://calendar.example.com/dav/", list...); status != want {
			t.Errorf("a proxy at the socket, %s: %d %s", headers, status, body)
		}
	}
	if status, _ := answerOf(t, atSocket(socket), "http://evil.example/setup"); status != http.StatusMisdirectedRequest {
		t.Errorf("another host: %d", status)
	}
	if out := outbridge(t, dir, "healthcheck"); out != "ok\n" {
		t.Errorf("healthcheck: %s", out)
	}
	if out := outbridge(t, dir, "healthcheck", "--listen", "unix:"+socket); out != "ok\n" {
		t.Errorf("healthcheck --listen: %s", out)
	}
	p.kill()
	if !exists(socket) {
		t.Fatal("who was killed has removed the socket")
	}
	p = start(t, dir, "serve")
	p.waitFor("msg=serving")
	if status, _ := answerOf(t, atSocket(socket), "http://localhost/healthz"); status != 200 {
		t.Errorf("after it was killed: %d", status)
	}
	second := exec.Command("outbridge", "serve", "--listen", "unix:"+socket)
	second.Dir, second.Env = t.TempDir(), append(os.Environ(), "HOME="+t.TempDir())
	if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), "another program is serving at "+socket) {
		t.Errorf("a second one: %v\n%s", err, out)
	}
	p.end(syscall.SIGTERM)
	if exists(socket) {
		t.Error("the socket stays")
	}
}

// TestSocketActivation passes sockets as systemd does.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config, address string
		want            string // "": it serves
	}{
		"by itself":     {"", "127.0.0.1:0", ""},
		"named":         {"listen = [\"systemd:web\"]\n", "127.0.0.1:0", ""},
		"another name":  {"listen = \"systemd:other\"\n", "127.0.0.1:0", "systemd has passed no such socket"},
		"open to all":   {"listen = \"systemd\"\n", "0.0.0.0:0", "would accept app passwords over plain http"},
		"not mentioned": {"listen = \"127.0.0.1:0\"\n", "127.0.0.1:0", "which are not used"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			tcp, err := net.Listen("tcp", c.address)
			if err != nil {
				t.Fatal(err)
			}
			defer tcp.Close()
			path := filepath.Join(dir, "s")
			unix, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close()
			var files []*os.File
			for _, l := range []interface{ File() (*os.File, error) }{tcp.(*net.TCPListener), unix.(*net.UnixListener)} {
				f, err := l.File()
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				files = append(files, f)
			}
			if err := os.WriteFile(filepath.Join(dir, "outbridge.toml"), []byte(c.config), 0o600); err != nil {
				t.Fatal(err)
			}
			p := &process{t: t, done: make(chan struct{})}
			p.cmd = exec.Command("sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:web exec outbridge serve")
			p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr, p.cmd.ExtraFiles = dir, &p.out, &p.out, files
			p.cmd.Env = append(os.Environ(), "HOME="+dir)
			if err := p.cmd.Start(); err != nil {
				t.Fatal(err)
			}
			go func() { p.err = p.cmd.Wait(); close(p.done) }()
			defer func() { _ = p.cmd.Process.Kill(); <-p.done }()
			if c.want != "" {
				if name != "not mentioned" {
					<-p.done
				}
				p.waitOrEnded(c.want)
				return
			}
			listens := strings.Split(strings.Trim(p.waitFor(`msg=serving listen=(\S+)`)[0], `"`), ",")
			slices.Sort(listens)
			if want := []string{"http://" + tcp.Addr().String(), "unix:" + path}; !slices.Equal(listens, want) {
				t.Errorf("it serves at %q, not %q", listens, want)
			}
			for client, url := range map[*http.Client]string{atSocket(path): "http://localhost", {}: "http://" + tcp.Addr().String()} {
				if status, body := answerOf(t, client, url+"/healthz"); status != 200 {
					t.Errorf("%s: %d %s", url, status, body)
				}
			}
			p.waitFor(`open http://` + tcp.Addr().String() + `/setup`)
			p.end(syscall.SIGTERM)
			if !exists(path) {
				t.Error("it has removed the socket of systemd")
			}
		})
	}
}

// waitOrEnded waits for the text, also of a process that has ended.
func (p *process) waitOrEnded(text string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%q", text), func() bool {
		out, _ := p.out.read()
		return strings.Contains(out, text)
	})
}

// TestPortOfListen: what no port can be is found by the check of the configuration, not first by the system.
func TestPortOfListen(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"127.0.0.1:99999", "127.0.0.1:-1", "127.0.0.1:no-such-service", "127.0.0.1:"} {
		if _, err := parsePlace(text); err == nil || !strings.Contains(err.Error(), "is not an address: write it like 127.0.0.1:8080") {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"127.0.0.1:0", "127.0.0.1:65535", ":8080", "[::1]:http"} {
		if _, err := parsePlace(text); err != nil {
			t.Error(err)
		}
	}
}
