//go:build interop

package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/sqlstore/pgtest"
)

// TestOrganizationOnMachines: two servers on one database serve the same members, whichever looks into the directory. When that one is
// killed, the other goes on.
func TestOrganizationOnMachines(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID}
	var people []string
	join := func(name string) {
		address := name + "@contoso.example"
		sim.AddMailbox(address, name, "UTC").Calendar().Create(graphsim.Event{Subject: "Meeting", Start: time.Now().UTC(), End: time.Now().UTC().Add(time.Hour)})
		people = append(people, sim.SetUser(graphsim.DirectoryUser{Name: name, UPN: address, Mail: address}))
		sim.SetGroup("team", people...)
	}
	join("alice")
	join("bob")
	dir := writeOrganization(t, newOutlook(t, sim, nil), fmt.Sprintf("database = %q", pgtest.URL(t)))
	outbridge(t, dir, "members", "sync")
	servers := []*served{{dir: dir}, {dir: dir}}
	for _, s := range servers {
		s.restart(t)
	}
	passwords := map[string]string{}
	password := func(name string) {
		t.Helper()
		var added struct{ Password string }
		if err := json.Unmarshal([]byte(outbridge(t, dir, "password", "add", name, "--json")), &added); err != nil {
			t.Fatal(err)
		}
		passwords[name] = added.Password
	}
	password("alice")
	password("bob")
	status := func(s *served, name string) int {
		code, _ := fetch(t, "PROPFIND", s.url+"/dav/calendars/"+name+"/calendar/", name, passwords[name])
		return code
	}
	for _, s := range servers {
		eventually(t, "both to be served by both", func() bool { return status(s, "alice") == 207 && status(s, "bob") == 207 })
	}
	people = people[:1]
	sim.SetGroup("team", people...)
	outbridge(t, dir, "members", "sync")
	for _, s := range servers {
		if status(s, "bob") != 401 || status(s, "alice") != 207 {
			t.Errorf("bob has left and is answered %d, alice %d", status(s, "bob"), status(s, "alice"))
		}
	}
	// Whoever looks is killed, and somebody joins.
	looks := func(s *served) bool {
		text, _ := s.out.read()
		return strings.Contains(text, "read changes of the directory")
	}
	eventually(t, "one to look", func() bool { return looks(servers[0]) || looks(servers[1]) })
	leader, other := servers[0], servers[1]
	if looks(other) {
		leader, other = other, leader
	}
	if looks(other) {
		t.Error("both look into the directory")
	}
	if err := leader.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	join("carol")
	eventually(t, "the other to take over", func() bool { return strings.Contains(outbridge(t, dir, "members", "list"), "carol") })
	password("carol")
	eventually(t, "who has joined to be served", func() bool { return status(other, "carol") == 207 })
}
