//go:build interop

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// TestEvolution lets evolution-data-server, which Evolution and GNOME Calendar are views of, find and hold the calendars,
// and compares what it shows with what Outlook shows, before and after a change and a deletion.
func TestEvolution(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	o := newOddMailbox(sim)
	s := serveFor(t, newOutlook(t, sim, o.Mailbox))
	s.nextRound(t)
	c := newClients(t, s)
	e := startEvolution(t, c.proxy.URL, s.user, s.password)

	if len(e.calendars) != len(o.Calendars()) {
		t.Fatalf("it finds %v", e.calendars)
	}
	for _, cal := range e.calendars {
		if cal[1] != true {
			t.Errorf("%s is shown as writable", cal[0])
		}
	}
	from, to := o.window()
	show := func() []shown {
		// At the ends of what it is asked for, the library goes by the local time of each event.
		all := parseShown(t, e.command("shown %s %s", from.AddDate(0, 0, -2).Format(time.RFC3339), to.AddDate(0, 0, 2).Format(time.RFC3339)))
		return slices.DeleteFunc(all, func(i shown) bool {
			return !i.Start.Before(to) || !i.End.After(from) && (i.Start.Before(i.End) || i.Start.Before(from))
		})
	}
	o.compare(t, "Evolution", show)

	o.change(t, s, func() {
		c.forget()
		e.command("refresh")
		// It asks each calendar for its CTag.
		eventually(t, "an idle poll", func() bool { return len(c.seen()) >= len(e.calendars) })
		for _, r := range c.seen() {
			if r.method != "PROPFIND" {
				t.Errorf("an idle poll is %v", c.seen())
				break
			}
		}
	}, func(what string) {
		e.command("refresh")
		o.compare(t, "Evolution after "+what, show)
	})
	s.end(syscall.SIGTERM)
}

// evolution is testdata/interop/eds.py at work.
type evolution struct {
	t         *testing.T
	in        io.Writer
	out       *bufio.Reader
	calendars [][2]any // name, read-only
}

func startEvolution(t *testing.T, url, user, password string) *evolution {
	t.Helper()
	home := t.TempDir()
	// A session bus with nothing else on it: a keyring would ask for its password on a screen that is not there.
	services := filepath.Join(home, "services")
	if err := os.Mkdir(services, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, program := range map[string]string{"Sources5": "evolution-source-registry", "Calendar8": "evolution-calendar-factory"} {
		service := fmt.Sprintf("[D-BUS Service]\nName=org.gnome.evolution.dataserver.%s\nExec=/usr/libexec/%s\n", name, program)
		if err := os.WriteFile(filepath.Join(services, name+".service"), []byte(service), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	session := fmt.Sprintf(`<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:tmpdir=%s</listen><servicedir>%s</servicedir>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`, home, services)
	config := filepath.Join(home, "session.conf")
	if err := os.WriteFile(config, []byte(session), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithDeadline(t.Context(), patience(t))
	cmd := exec.CommandContext(ctx, "dbus-run-session", "--config-file", config, "--",
		"/usr/bin/python3", "testdata/interop/eds.py", url, user, password)
	// GIO's plain network monitor takes every host for reachable, also where there is no network but the loopback.
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home+"/config", "XDG_DATA_HOME="+home+"/data", "XDG_CACHE_HOME="+home+"/cache",
		"XDG_RUNTIME_DIR="+home, "TMPDIR="+home, "GIO_USE_NETWORK_MONITOR=base", "GSETTINGS_BACKEND=memory", "LC_ALL=C.UTF-8", "TZ=UTC")
	var log output
	cmd.Stderr = &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it has children
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if text, _ := log.read(); t.Failed() {
			t.Logf("evolution-data-server:\n%s", text)
		}
	})
	e := &evolution{t: t, in: in, out: bufio.NewReader(out)}
	if err := json.Unmarshal([]byte(e.line()), &e.calendars); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *evolution) line() string {
	e.t.Helper()
	line, err := e.out.ReadString('\n')
	if err != nil {
		e.t.Fatalf("eds.py: %v", err)
	}
	return line
}

// command sends a line and returns the lines of its answer.
func (e *evolution) command(format string, args ...any) string {
	e.t.Helper()
	if _, err := fmt.Fprintf(e.in, format+"\n", args...); err != nil {
		e.t.Fatalf("eds.py: %v", err)
	}
	var all strings.Builder
	for line := e.line(); line != "\n"; line = e.line() {
		all.WriteString(line)
	}
	return all.String()
}
