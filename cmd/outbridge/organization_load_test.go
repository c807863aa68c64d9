//go:build load

package main_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// TestManyMembers is what an organization of 10,000 people costs before anything is synced: the first look into the directory, the
// start of the server, and its memory.
func TestManyMembers(t *testing.T) {
	const people = 10_000
	w := &loadWorld{t: t, dir: t.TempDir()}
	w.binary, w.conf, w.address = buildBinary(t, w.dir), filepath.Join(w.dir, "outbridge.toml"), freeAddress(t)
	w.sim = new(graphsim.Server)
	var ids []string
	for i := range people {
		address := fmt.Sprintf("person%d@contoso.example", i)
		w.sim.AddMailbox(address, fmt.Sprint("Person ", i), "UTC").Calendar().Create(graphsim.Event{Subject: "Meeting", Start: time.Now().UTC(), End: time.Now().UTC().Add(time.Hour)})
		ids = append(ids, w.sim.SetUser(graphsim.DirectoryUser{Name: fmt.Sprint("Person ", i), UPN: address, Mail: address}))
	}
	w.sim.SetGroup("team", ids...)
	outlook := httptest.NewServer(w.sim)
	t.Cleanup(outlook.Close)
	text := fmt.Sprintf("listen = %q\n[microsoft]\ncloud = \"custom\"\nlogin_url = %[2]q\ngraph_url = %[2]q\nclient_id = \"load\"\ntenant = \"contoso.example\"\nclient_secret_file = \"secret\"\n[sync]\ninterval = \"1h\"\n[organization]\ngroups = [\"team\"]\n",
		w.address, outlook.URL)
	for name, content := range map[string]string{w.conf: text, filepath.Join(w.dir, "secret"): "s"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	row("10,000 members, first look", fmt.Sprintf("%.1f s", timed(func() { w.tool("members", "sync") }).Seconds()), "")
	row("10,000 members, another look", fmt.Sprintf("%.1f s", timed(func() { w.tool("members", "sync") }).Seconds()), "whole process")
	row("10,000 members, start of serve", fmt.Sprintf("%.1f s", timed(w.start).Seconds()), "")
	row("10,000 members, memory at the start", w.resident(), "")
	row("10,000 members, status", fmt.Sprintf("%.1f s", timed(func() { w.tool("status") }).Seconds()), "")
	<-time.After(loadTime)
	row("10,000 members, memory with first rounds under way", w.resident(), "")
}
