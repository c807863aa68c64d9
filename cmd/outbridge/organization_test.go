package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// writeOrganization makes a folder with a configuration that serves the group "team". above are further keys of the file.
func writeOrganization(t *testing.T, o *outlook, above string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	config := fmt.Sprintf(`
listen = "127.0.0.1:0"
log_level = "debug"
push = false
%s
[microsoft]
cloud = "custom"
login_url = %q
graph_url = %q
tenant = "contoso.example"
client_id = %q
client_secret_file = "secret"
[sync]
interval = "5s"
[organization]
groups = ["team"]
`, above, o.url, o.url, testClientID)
	for name, content := range map[string]string{"outbridge.toml": config, "secret": "s"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestOrganization is a group that is served: who joins, with events, who leaves, who comes back, and what a person at a terminal sees.
func TestOrganization(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, AppPermissions: []string{}}
	person := func(name string) string {
		box := sim.AddMailbox(name+"@contoso.example", name, "UTC")
		box.Calendar().Create(graphsim.Event{Subject: "Meeting of " + name, Start: time.Now().UTC().Add(time.Hour), End: time.Now().UTC().Add(2 * time.Hour)})
		return sim.SetUser(graphsim.DirectoryUser{Name: strings.ToUpper(name), UPN: name + "@contoso.example", Mail: name + "@contoso.example"})
	}
	alice, bob := person("alice"), person("bob")
	nobody := sim.SetUser(graphsim.DirectoryUser{Name: "Nobody", UPN: "nobody@contoso.example", Mail: "nobody@contoso.example"})
	guest := sim.SetUser(graphsim.DirectoryUser{Name: "Guest", UPN: "guest@fabrikam.example", Mail: "guest@fabrikam.example", Guest: true})
	sim.SetGroup("inner", bob, guest)
	sim.SetGroup("team", alice, "inner", nobody)
	o := newOutlook(t, sim, nil)
	dir := writeOrganization(t, o, "")
	if out := outbridge(t, dir, "config", "check"); !strings.Contains(out, "is good") {
		t.Error(out)
	}
	says := func(out string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%q is not in\n%s", w, out)
			}
		}
	}
	// Without the permissions nothing is served, and it is said which are missing.
	says(failing(t, dir, "doctor"), "User.Read.All", "GroupMember.Read.All", "API permissions", "→ Run `outbridge serve`.")
	says(failing(t, dir, "members", "sync"), "GroupMember.Read.All")
	sim.Permit(graph.PermissionMembers)
	says(failing(t, dir, "members", "sync"), "User.Read.All")
	sim.Permit(graph.PermissionMembers, graph.PermissionUsers)
	says(outbridge(t, dir, "members", "sync"), "3 members", "1 (a guest")

	s := &served{dir: dir}
	s.restart(t)
	unmarshal := func(text string, into any) {
		t.Helper()
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	passwords := map[string]string{}
	for _, name := range []string{"alice", "bob", "nobody"} {
		var added struct{ Password string }
		unmarshal(outbridge(t, dir, "password", "add", name, "--json"), &added)
		passwords[name] = added.Password
	}
	var feed struct{ URL string }
	unmarshal(outbridge(t, dir, "feed", "add", "bob", "--json"), &feed)
	feedPath := feed.URL[strings.Index(feed.URL, "/feeds/"):]
	listed := func(name string) int {
		status, _ := fetch(t, "PROPFIND", s.url+"/dav/calendars/"+name+"/calendar/", name, passwords[name])
		return status
	}
	feedStatus := func() int { status, _ := fetch(t, "GET", s.url+feedPath, "", ""); return status }
	eventually(t, "the calendars of alice and bob", func() bool { return listed("alice") == 207 && listed("bob") == 207 && feedStatus() == 200 })
	eventually(t, "what is wrong with one without a mailbox", func() bool {
		out := outbridge(t, dir, "status")
		return strings.Contains(out, "nobody: configuration") && strings.Contains(out, "2 ok") && !strings.Contains(out, "alice: ok")
	})
	says(outbridge(t, dir, "status", "--all"), "alice: ok", "bob: ok", "Organization: 3 members")
	says(failing(t, dir, "doctor"), "group team; people, those of groups in it included: 4", "warning  account nobody", "ok       account alice") // the port is free

	// Who leaves is refused at once when that is known, and so is their feed; others go on.
	sim.SetGroup("inner", guest, person("carol"))
	outbridge(t, dir, "members", "sync")
	if listed("bob") != 401 || feedStatus() != 404 || listed("alice") != 207 {
		t.Errorf("after bob has left: bob %d, feed %d, alice %d", listed("bob"), feedStatus(), listed("alice"))
	}
	says(outbridge(t, dir, "members", "list"), "carol", "left ")
	says(outbridge(t, dir, "members", "list", "--left-out"), "guest@fabrikam.example", "a guest")
	// The server takes it up by itself.
	sim.SetGroup("inner", bob, guest)
	eventually(t, "bob to be back, by the server's own look", func() bool { return listed("bob") == 207 && feedStatus() == 200 })
	eventually(t, "bob to be polled", func() bool {
		text, _ := s.out.read()
		return strings.Contains(text[strings.LastIndex(text, "back=1"):], "account=bob")
	})

	// An empty group ends nothing, until somebody confirms it.
	sim.SetGroup("team")
	outbridge(t, dir, "members", "sync")
	says(outbridge(t, dir, "status"), "not believed since", "members confirm")
	if listed("alice") != 207 {
		t.Errorf("an emptied group: alice %d", listed("alice"))
	}
	says(outbridge(t, dir, "members", "confirm"), "3 accounts end")
	outbridge(t, dir, "members", "sync")
	if listed("alice") != 401 {
		t.Errorf("a confirmed answer: alice %d", listed("alice"))
	}
	says(failing(t, dir, "members", "confirm"), "nothing to confirm")
	says(failing(t, dir, "members", "forget", "--force"), "take it out first")

	// Without an organization they are kept until somebody has them deleted.
	sim.SetGroup("team", alice, bob)
	outbridge(t, dir, "members", "sync")
	eventually(t, "alice to be back", func() bool { return listed("alice") == 207 })
	file := filepath.Join(dir, "outbridge.toml")
	config, err := os.ReadFile(file)
	if err == nil {
		config, _, _ = bytes.Cut(config, []byte("[organization]"))
		err = os.WriteFile(file, config, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "alice to be refused", func() bool { return listed("alice") != 207 })
	says(outbridge(t, dir, "status"), "not in the configuration any more: 4.")
	says(failing(t, dir, "members", "forget"), "4 accounts would be deleted")
	says(outbridge(t, dir, "members", "forget", "--force"), "Deleted: 4 accounts.")
	if out := outbridge(t, dir, "status"); strings.Contains(out, "members forget") {
		t.Error(out)
	}
	s.end(syscall.SIGTERM)
}

// failing runs a command that is to fail, and returns all that it says.
func failing(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("outbridge", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	b, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("outbridge %s did not fail", strings.Join(args, " "))
	}
	return string(b)
}

// TestOrganizationConfig: what is wrong with the section is said.
func TestOrganizationConfig(t *testing.T) {
	t.Parallel()
	const app = "[microsoft]\ntenant = \"11111111-2222-3333-4444-555555555555\"\nclient_secret_file = \"s\"\n[organization]\n"
	for text, want := range map[string]string{
		app + `members = "some"`:                                                       `must be "all"`,
		app + `allow = ["a@contoso.com"]`:                                              "neither groups nor members",
		app + `groups = ["Staff"]`:                                                     "is no object id",
		app + `members = "all"` + "\ngrace = \"1h\"":                                   "organization.grace",
		app + `members = "all"` + "\ndeny = [\"*@*\"]":                                 "organization.deny",
		app + `members = "all"` + "\naccess = \"write\"":                               "organization.access",
		app + "members = \"all\"\ngroups = [\"11111111-2222-3333-4444-555555555555\"]": "keep one of them",
		"[organization]\nmembers = \"all\"":                                            "needs microsoft.client_secret_file",
		"[microsoft]\nclient_secret_file = \"s\"\n[organization]\nmembers = \"all\"":   "Directory (tenant) ID",
	} {
		c := defaultConfig()
		if err := parseConfig([]byte(text), &c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v does not say %q", text, err, want)
		}
	}
	c := defaultConfig()
	if err := parseConfig([]byte(app+`members = "all"`), &c); err != nil {
		t.Error(err)
	}
}
