//go:build interop

package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// TestThunderbird sets up the calendars in a Thunderbird without a screen, as its assistant does, and compares what it
// shows with what Outlook shows, before and after a change and a deletion.
func TestThunderbird(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	o := newOddMailbox(sim)
	o.nightly()
	s := serveFor(t, newOutlook(t, sim, o.Mailbox))
	s.nextRound(t)
	c := newClients(t, s)
	tb := startThunderbird(t)

	var calendars [][2]any // name, read-only
	tb.run(&calendars, "subscribe", s.user, s.password, c.proxy.URL)
	if len(calendars) != len(o.Calendars()) {
		t.Fatalf("it finds %v", calendars)
	}
	for _, cal := range calendars {
		if cal[1] != true {
			t.Errorf("%s is shown as writable", cal[0])
		}
	}
	from, to := o.window()
	show := func() []shown {
		var list string
		tb.run(&list, "shown", from.Format("20060102T150405Z"), to.Format("20060102T150405Z"))
		return parseShown(t, list)
	}
	o.compare(t, "Thunderbird", show)

	o.change(t, s, func() {
		c.forget()
		tb.run(nil, "poll")
		c.idlePoll(len(calendars))
		c.forget()
	}, func(what string) {
		tb.run(nil, "poll")
		o.compare(t, "Thunderbird after "+what, show)
	})
	s.end(syscall.SIGTERM)
}

//go:embed testdata/interop/thunderbird.js
var thunderbirdScript string

// thunderbird is a running Thunderbird, driven by the Marionette protocol: JSON after its length, over TCP.
type thunderbird struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	last int
}

func startThunderbird(t *testing.T) *thunderbird {
	t.Helper()
	home := t.TempDir()
	profile := filepath.Join(home, "profile")
	// A port of its own choice, nothing on the network but the calendars, no first-run pages, and passwords saved, which
	// Marionette would switch off.
	prefs := `user_pref("marionette.port", 0);
user_pref("app.update.enabled", false);
user_pref("app.normandy.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("extensions.getAddons.cache.enabled", false);
user_pref("extensions.update.enabled", false);
user_pref("mail.provider.suppress_dialog_on_startup", true);
user_pref("mailnews.start_page.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("remote.prefs.recommended", false);
user_pref("services.settings.server", "data:,");
user_pref("toolkit.telemetry.enabled", false);
`
	if err := os.Mkdir(profile, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(prefs), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithDeadline(t.Context(), patience(t))
	cmd := exec.CommandContext(ctx, "thunderbird", "--headless", "--marionette", "--remote-allow-system-access", "--profile", profile)
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home, "XDG_RUNTIME_DIR="+home, "TMPDIR="+home,
		"LC_ALL=C.UTF-8", "TZ=UTC", "DBUS_SESSION_BUS_ADDRESS=disabled:")
	var log output
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it has children
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if text, _ := log.read(); t.Failed() {
			noise := regexp.MustCompile(`(?m)^.*(gtk_|Gtk-|GFX).*\n|^\n`)
			t.Logf("thunderbird:\n%s", noise.ReplaceAllString(text, ""))
		}
	})
	tb := &thunderbird{t: t}
	eventually(t, "Thunderbird's start", func() bool {
		port, err := os.ReadFile(filepath.Join(profile, "MarionetteActivePort"))
		if err != nil || len(port) == 0 {
			return false
		}
		tb.conn, err = net.Dial("tcp", "127.0.0.1:"+string(port))
		return err == nil
	})
	t.Cleanup(func() { _ = tb.conn.Close() })
	if err := tb.conn.SetDeadline(patience(t)); err != nil {
		t.Fatal(err)
	}
	tb.in = bufio.NewReader(tb.conn)
	tb.receive(new(any)) // its greeting
	tb.command("WebDriver:NewSession", map[string]any{})
	tb.command("Marionette:SetContext", map[string]any{"value": "chrome"})
	tb.command("WebDriver:SetTimeouts", map[string]any{"script": time.Until(patience(t)).Milliseconds()})
	return tb
}

func (tb *thunderbird) receive(into any) {
	tb.t.Helper()
	length, err := tb.in.ReadString(':')
	if err != nil {
		tb.t.Fatalf("Marionette: %v", err)
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, ":"))
	if err != nil {
		tb.t.Fatalf("Marionette: %v", err)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(tb.in, b); err != nil {
		tb.t.Fatalf("Marionette: %v", err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		tb.t.Fatalf("Marionette: %v in %s", err, b)
	}
}

// command sends [0, id, name, parameters] and returns the result of [1, id, error, result].
func (tb *thunderbird) command(name string, params any) json.RawMessage {
	tb.t.Helper()
	tb.last++
	b, err := json.Marshal([]any{0, tb.last, name, params})
	if err != nil {
		tb.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(tb.conn, "%d:%s", len(b), b); err != nil {
		tb.t.Fatal(err)
	}
	var answer [4]json.RawMessage
	tb.receive(&answer)
	if string(answer[2]) != "null" {
		tb.t.Fatalf("%s: %s", name, answer[2])
	}
	return answer[3]
}

// run calls a function of testdata/interop/thunderbird.js, and waits for what it returns.
func (tb *thunderbird) run(into any, function string, args ...any) {
	tb.t.Helper()
	if args == nil {
		args = []any{}
	}
	result := tb.command("WebDriver:ExecuteScript", map[string]any{
		"script": thunderbirdScript + "\nreturn " + function + "(...arguments);", "args": args})
	if into == nil {
		return
	}
	value := struct{ Value any }{into}
	if err := json.Unmarshal(result, &value); err != nil {
		tb.t.Fatalf("%s: %v in %s", function, err, result)
	}
}
