package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// TestReload: SIGHUP ends nothing. It takes up accounts and the log level, says what needs a restart, and keeps the running
// configuration when the new one is wrong.
func TestReload(t *testing.T) {
	t.Parallel()
	var denied atomic.Bool
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second, Fault: func(r *http.Request) *graphsim.Fault {
		if denied.Load() && strings.HasPrefix(r.URL.Path, "/v1.0/") {
			return &graphsim.Fault{Status: http.StatusForbidden, Code: "ErrorAccessDenied", Message: "Access is denied."}
		}
		return nil
	}}
	box, _ := officeWeek(sim)
	o := newOutlook(t, sim, box)
	s := serveFor(t, o)
	file := filepath.Join(s.dir, "outbridge.toml")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin := string(b)
	said := func() int {
		text, _ := s.out.read()
		return strings.Count(text, "reloaded")
	}
	reload := func(config, want string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		n := said()
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the reload", func() bool { return said() > n })
		text, _ := s.out.read()
		text = text[strings.LastIndex(text[:strings.LastIndex(text, "reloaded")], "\n"):]
		if line, _, _ := strings.Cut(text[1:], "\n"); !strings.Contains(line, want) {
			t.Errorf("%q is not in\n%s", want, line)
		}
	}
	eventually(t, "the first round", func() bool { return strings.Contains(s.body(t, s.feed), "SUMMARY:School play") })

	reload(begin, "applied=nothing")
	reload(begin+"exclude = [\"Family\"]\n", `applied="account alice changed"`)
	eventually(t, "the excluded calendar to go", func() bool { return !strings.Contains(s.body(t, s.feed), "SUMMARY:School play") })
	reload(begin, `applied="account alice changed"`)
	eventually(t, "the calendar to come back", func() bool { return strings.Contains(s.body(t, s.feed), "SUMMARY:School play") })

	reload(begin+"[[account]]\nname = \"bob\"\n", `applied="account bob added"`)
	outbridge(t, s.dir, "login", "bob")
	eventually(t, "the new account's rounds", func() bool { return strings.Contains(outbridge(t, s.dir, "status"), "bob: ok") })
	reload(begin, `applied="account bob removed"`)

	// Where notifications go, and from when on a calendar is out of date. A message comes to the new address and none to the old one.
	got := make(chan string, 9)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got <- r.URL.Path }))
	defer hook.Close()
	urls := filepath.Join(s.dir, "urls")
	notify := func(path string) string {
		t.Helper()
		if err := os.WriteFile(urls, []byte(hook.URL+path+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return begin + "[notify]\nurls_file = \"urls\"\nstale_after = \"12h\"\n"
	}
	reload(notify("/first"), `applied="notify.urls, notify.stale_after"`)
	reload(notify("/second"), "applied=notify.urls")
	denied.Store(true)
	eventually(t, "a message", func() bool { return len(got) > 0 })
	if path := <-got; path != "/second" {
		t.Errorf("a message came to %s", path)
	}
	reload(notify("/second")+"language = \"de\"\n", "applied=notify.language")
	reload(begin, `applied="notify.urls, notify.language, notify.stale_after"`)
	denied.Store(false)

	reload(strings.Replace(begin, `"debug"`, `"warn"`, 1)+"lissen = 1\n", "the running one stays in use")
	reload(strings.NewReplacer(`"debug"`, `"info"`, `"5s"`, `"1h"`, "[microsoft]", "push = false\n[microsoft]").Replace(begin),
		`applied=log_level restart_for="push, sync.interval"`)
	text, _ := s.out.read()
	eventually(t, "a round", func() bool {
		_ = box.Calendar().Create(graphsim.Event{Subject: "After", Start: time.Now().UTC().Add(time.Hour), End: time.Now().UTC().Add(2 * time.Hour)})
		return strings.Contains(s.body(t, s.feed), "SUMMARY:After")
	})
	now, _ := s.out.read()
	if strings.Contains(now[len(text):], "level=DEBUG") {
		t.Error("the log level is the old one")
	}
	s.end(syscall.SIGTERM)
}
