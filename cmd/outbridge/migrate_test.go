package main

import (
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/sqlstore/pgtest"
)

// syncCollection asks for what has changed since a token, "" for all there is.
func syncCollection(t *testing.T, s *served, token string) (names []string, next string) {
	t.Helper()
	body := `<D:sync-collection xmlns:D="DAV:"><D:sync-token>` + token + `</D:sync-token><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop></D:sync-collection>`
	req, err := http.NewRequest("REPORT", s.url+"/dav/calendars/alice/calendar/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(s.user, s.password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusMultiStatus {
		t.Fatalf("%s %v: %s", resp.Status, err, b)
	}
	found := regexp.MustCompile(`sync-token>([^<]+)<`).FindSubmatch(b)
	if found == nil {
		t.Fatalf("no token: %s", b)
	}
	return objectHref.FindAllString(string(b), -1), string(found[1])
}

// TestMigrate: a client that has synced from the file has nothing to sync from the server.
func TestMigrate(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box, _ := officeWeek(sim)
	o := newOutlook(t, sim, box)
	s := serveFor(t, o)
	s.nextRound(t)
	all, token := syncCollection(t, s, "")
	if len(all) < 3 {
		t.Fatal(all)
	}
	_, feed := fetch(t, "GET", s.feed, "", "")
	_, list := fetch(t, "PROPFIND", s.url+"/dav/calendars/alice/calendar/", s.user, s.password)
	migrate := func() (string, error) {
		cmd := exec.Command("outbridge", "migrate", "--to", database)
		cmd.Dir = s.dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := migrate(); err == nil || !strings.Contains(out, "another outbridge is serving") {
		t.Errorf("while a server runs: %v %s", err, out)
	}
	s.end(syscall.SIGTERM)
	out, err := migrate()
	if err != nil || !regexp.MustCompile(`(?m)^object: \d+ rows, sum [0-9a-f]{16}$`).MatchString(out) {
		t.Fatalf("%v %s", err, out)
	}
	set := regexp.MustCompile(`(?m)^Now set in the configuration: (database = ".*")$`).FindStringSubmatch(out)
	if set == nil {
		t.Fatal(out)
	}
	if out, err := migrate(); err == nil || !strings.Contains(out, "name an empty database") {
		t.Errorf("a second time: %v %s", err, out)
	}
	editConfig(t, s.dir, `log_level = "debug"`, set[1]+"\nlog_level = \"debug\"")
	if out, err := migrate(); err == nil || !strings.Contains(out, "already") {
		t.Errorf("from the server: %v %s", err, out)
	}
	for _, name := range []string{"outbridge.db", "outbridge.db-wal", "outbridge.db-shm"} {
		_ = exec.Command("mv", filepath.Join(s.dir, name), filepath.Join(s.dir, "old-"+name)).Run()
	}
	s.restart(t)
	s.nextRound(t)
	if changed, next := syncCollection(t, s, token); len(changed) != 0 || next != token {
		t.Errorf("the client is told of %q, and of the token %s in place of %s", changed, next, token)
	}
	if _, now := fetch(t, "GET", s.feed, "", ""); now != feed {
		t.Error("the feed is another")
	}
	if _, now := fetch(t, "PROPFIND", s.url+"/dav/calendars/alice/calendar/", s.user, s.password); now != list {
		t.Errorf("the calendar is another: %s", now)
	}
	again := exec.Command("outbridge", "restore", "--begin-again")
	again.Dir = s.dir
	if out, err := again.CombinedOutput(); err == nil || !strings.Contains(string(out), "servers that use the database: 1") {
		t.Errorf("the calendars begin again while they are served: %v %s", err, out)
	}
	if exists(filepath.Join(s.dir, "outbridge.db")) {
		t.Error("there is a file again")
	}
	// It goes on from the cursor that it had.
	n := 0
	for _, r := range o.Requests() {
		if strings.Contains(r.Path, "startDateTime") && strings.Contains(r.Path, "/delta") {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d windows were opened for 2 calendars", n)
	}
}
