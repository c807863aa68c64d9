package main

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"outbridge/bridge/graph/graphsim"
)

// TestFeedFiles: what a running server has rendered of a feed goes with the command that ends or changes the feed, or with
// the server's next start, and no file of another feed goes with it.
func TestFeedFiles(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID}
	s := serveFor(t, newOutlook(t, sim, sim.DemoMailbox()))
	files := func(id int) int {
		t.Helper()
		list, err := filepath.Glob(filepath.Join(s.dir, "feed-cache", strconv.Itoa(id)+"-*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	get := func(url string) {
		t.Helper()
		eventually(t, "the feed", func() bool {
			status, body := fetch(t, "GET", url, "", "")
			return status == 200 && strings.Contains(body, "SUMMARY:Stand-up")
		})
	}
	add := func() string {
		t.Helper()
		var feed struct{ URL string }
		if err := json.Unmarshal([]byte(outbridge(t, s.dir, "feed", "add", "alice", "--json")), &feed); err != nil {
			t.Fatal(err)
		}
		return s.url + "/feeds/" + path.Base(feed.URL)
	}
	get(s.feed)
	for i, command := range [][]string{{"change", "--name", "Other"}, {"rotate"}, {"remove"}} {
		id := 2 + i
		get(add())
		if files(1) != 3 || files(id) != 3 {
			t.Fatalf("%d and %d files", files(1), files(id))
		}
		outbridge(t, s.dir, append([]string{"feed", command[0], "alice", strconv.Itoa(id)}, command[1:]...)...)
		if files(1) != 3 || files(id) != 0 {
			t.Errorf("after feed %s: %d and %d files", command[0], files(1), files(id))
		}
	}

	// Files that were left behind go with the start: nobody has to ask for a feed.
	if err := os.WriteFile(filepath.Join(s.dir, "feed-cache", "2-0123456789abcdef-0.ics"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.end(syscall.SIGTERM)
	s.restart(t)
	eventually(t, "the sweep", func() bool { return files(2) == 0 })
	if files(1) != 3 {
		t.Errorf("%d files of the feed that is left", files(1))
	}
}
