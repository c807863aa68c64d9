package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// bareConfig makes a folder with a configuration without accounts.
func bareConfig(t *testing.T, text string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "outbridge.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// refused starts a server that must end at once with one line that holds want.
func refused(t *testing.T, dir, want string) {
	t.Helper()
	p := start(t, dir, "serve")
	select {
	case <-p.done:
	case <-time.After(time.Until(patience(t))):
		t.Fatalf("it serves, though %q", want)
	}
	text, _ := p.out.read()
	if p.cmd.ProcessState.ExitCode() != 1 || strings.Count(text, "\n") != 1 || !strings.Contains(text, want) {
		t.Errorf("exit code %d, want one line with %q:\n%s", p.cmd.ProcessState.ExitCode(), want, text)
	}
}

// TestServeRefusesPlainHTTP: a server that other machines reach takes no passwords in the clear.
func TestServeRefusesPlainHTTP(t *testing.T) {
	t.Parallel()
	refused(t, bareConfig(t, "listen = \"0.0.0.0:0\"\n"), "over plain http from other machines")
	p := start(t, bareConfig(t, "listen = \"0.0.0.0:0\"\ntrusted_proxy = [\"192.0.2.1\"]\n"), "serve")
	p.waitFor(`msg=serving`)
	p.end(os.Interrupt)
}

// TestServeRefusesSecond: one database has one server; the lock dies with it, and commands run alongside it.
func TestServeRefusesSecond(t *testing.T) {
	t.Parallel()
	dir := bareConfig(t, "listen = \"127.0.0.1:0\"\n[[account]]\nname = \"alice\"\n[microsoft]\nclient_id = \"11111111-2222-3333-4444-555555555555\"\n[sync]\ninterval = \"1h\"\n")
	first := start(t, dir, "serve")
	first.waitFor(`msg=serving`)
	refused(t, dir, "another outbridge is serving")
	outbridge(t, dir, "password", "add", "alice")
	first.kill()
	second := start(t, dir, "serve")
	second.waitFor(`msg=serving`)
	second.end(os.Interrupt)
}

// TestSystemd: the service tells systemd when it is ready, that it lives, and that it stops.
func TestSystemd(t *testing.T) {
	dir := bareConfig(t, "listen = \"127.0.0.1:0\"\n")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "notify"))
	t.Setenv("WATCHDOG_USEC", "300000")
	t.Setenv("WATCHDOG_PID", "")
	read := func() string {
		t.Helper()
		b := make([]byte, 100)
		if err := socket.SetReadDeadline(patience(t)); err != nil {
			t.Fatal(err)
		}
		n, err := socket.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	p := start(t, dir, "serve")
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := read(); got != want {
			t.Fatalf("systemd is told %s, want %s", got, want)
		}
	}
	p.end(os.Interrupt)
	for got := read(); got != "STOPPING=1"; got = read() {
		if got != "WATCHDOG=1" {
			t.Fatalf("systemd is told %s at the end", got)
		}
	}
}

// TestCredentials: systemd hands the key over in a folder of the service's own, under the same name.
func TestCredentials(t *testing.T) {
	dir := bareConfig(t, "listen = \"127.0.0.1:0\"\nkey_file = \"/nowhere/outbridge.key\"\n")
	credentials := t.TempDir()
	if err := os.WriteFile(filepath.Join(credentials, "outbridge.key"), []byte(strings.Repeat("5a", 32)+"\n"), 0o440); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", credentials)
	outbridge(t, dir, "status")
	if err := os.Chmod(filepath.Join(credentials, "outbridge.key"), 0o444); err != nil {
		t.Fatal(err)
	}
	refused(t, dir, "may be read by others")
}

// TestBackupBesideServer: a backup of a server that is writing is good, a restore waits until it has ended, and the
// clients of the restored server see what Outlook has.
func TestBackupBesideServer(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box, ids := officeWeek(sim)
	s := serveFor(t, newOutlook(t, sim, box))
	eventually(t, "the first round", func() bool { return strings.Contains(s.body(t, s.feed), "SUMMARY:School play") })
	outbridge(t, s.dir, "backup", "first.db")
	rename := func(subject string) {
		t.Helper()
		if err := box.Calendar().Change(ids["Review"], func(e *graphsim.Event) { e.Subject = subject }); err != nil {
			t.Fatal(err)
		}
	}
	rename("Later")
	eventually(t, "the change", func() bool { return strings.Contains(s.body(t, s.feed), "SUMMARY:Later") })
	outbridge(t, s.dir, "backup", "second.db")

	cmd := exec.Command("outbridge", "restore", "first.db", "--force")
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "another outbridge is serving") {
		t.Errorf("a restore under a running server: %v\n%s", err, out)
	}
	token := regexp.MustCompile(`<CS:getctag>(urn:outbridge:sync:[^<]+)<`)
	syncToken := func() string {
		t.Helper()
		_, body := fetch(t, "PROPFIND", s.url+"/dav/calendars/alice/", s.user, s.password)
		found := token.FindStringSubmatch(body)
		if found == nil {
			t.Fatalf("no CTag:\n%s", body)
		}
		return found[1]
	}
	before := syncToken()
	s.kill()
	rename("Latest")
	outbridge(t, s.dir, "restore", "first.db", "--force")
	s.restart(t)
	eventually(t, "what Outlook has now", func() bool { return strings.Contains(s.body(t, s.feed), "SUMMARY:Latest") })
	if after := syncToken(); epochOf(after) == epochOf(before) {
		t.Errorf("the sync-token %s goes on from %s, though revs have begun again", after, before)
	}
	s.end(os.Interrupt)
	s.restart(t)
	s.end(os.Interrupt)
}

// epochOf is a sync-token without the rev at its end.
func epochOf(token string) string { return token[:strings.LastIndex(token, ":")] }
