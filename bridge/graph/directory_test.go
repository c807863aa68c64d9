package graph_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

func ids(people []graph.DirectoryUser) string {
	var list []string
	for _, p := range people {
		list = append(list, p.ID)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// TestGroupMembers: people of groups in groups, which may contain one another, over pages, each once.
func TestGroupMembers(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{DirectoryPage: 2}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		sim.SetUser(graphsim.DirectoryUser{ID: id, Name: strings.ToUpper(id), UPN: id + "@contoso.com", Mail: id + "@contoso.com"})
	}
	sim.SetGroup("outer", "a", "inner", "device")
	sim.SetGroup("inner", "b", "c", "a", "outer")
	c := app(sim, "")
	people, groups, err := c.GroupMembers(t.Context(), "outer")
	if err != nil || ids(people) != "a b c" || !slices.Equal(groups, []string{"inner"}) {
		t.Errorf("members %s, groups %v, %v", ids(people), groups, err)
	}
	if people, err := c.People(t.Context()); err != nil || ids(people) != "a b c d e" {
		t.Errorf("people %s, %v", ids(people), err)
	}
	if _, _, err := c.GroupMembers(t.Context(), "none"); !errors.Is(err, graph.ErrNoGroup) {
		t.Errorf("no such group: %v", err)
	}
}

// TestDirectoryDenied: what an app may not see is an error, and no empty list and nobody without an address.
func TestDirectoryDenied(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{AppPermissions: []string{}}
	sim.SetUser(graphsim.DirectoryUser{ID: "a", Name: "A", UPN: "a@contoso.com", Mail: "a@contoso.com"})
	sim.SetGroup("g", "a")
	c := app(sim, "")
	if people, _, err := c.GroupMembers(t.Context(), "g"); !graph.IsAccessDenied(err) {
		t.Errorf("members %v, %v", people, err)
	}
	if people, err := c.People(t.Context()); !graph.IsAccessDenied(err) {
		t.Errorf("people %v, %v", people, err)
	}
	sim.AppPermissions = []string{graph.PermissionMembers}
	if people, _, err := c.GroupMembers(t.Context(), "g"); !errors.Is(err, graph.ErrHidden) {
		t.Errorf("members %v, %v", people, err)
	}
}

// TestDirectoryChanges: what changes after the call is told of, once, over pages.
func TestDirectoryChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := &graphsim.Server{DirectoryPage: 2}
		set := func(id, mail string) {
			sim.SetUser(graphsim.DirectoryUser{ID: id, Name: id, UPN: id + "@contoso.com", Mail: mail})
		}
		set("a", "a@contoso.com")
		set("b", "b@contoso.com")
		sim.SetGroup("g", "a")
		sim.SetGroup("other", "a")
		c := app(sim, "")
		people, err := c.WatchPeople(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		groups, err := c.WatchGroups(t.Context(), []string{"g"})
		if err != nil {
			t.Fatal(err)
		}
		changed := func(link *string, want string) {
			t.Helper()
			list, next, err := c.Changed(t.Context(), *link)
			slices.Sort(list)
			if got := strings.Join(list, " "); err != nil || got != want {
				t.Errorf("changed %q, %v, not %q", got, err, want)
			}
			*link = next
		}
		changed(&people, "")
		changed(&groups, "")
		for _, id := range []string{"b", "c", "d"} {
			set(id, id+"2@contoso.com")
		}
		sim.RemoveUser("a")
		changed(&people, "a b c d")
		changed(&people, "")
		changed(&groups, "g")
		sim.SetGroup("other", "b")
		changed(&groups, "")
		sim.RemoveGroup("g")
		changed(&groups, "g")

		throttled := true
		sim.Fault = func(r *http.Request) *graphsim.Fault {
			if throttled && strings.Contains(r.URL.Path, "delta") {
				throttled = false
				return &graphsim.Fault{Status: 429, RetryAfter: 3 * time.Second}
			}
			return nil
		}
		begun := time.Now()
		changed(&people, "")
		if time.Since(begun) < 3*time.Second {
			t.Error("asked again before the time")
		}
		sim.ForgetDirectory()
		if _, _, err := c.Changed(t.Context(), people); !graph.IsSyncStateLost(err) {
			t.Errorf("a lost state: %v", err)
		}
		if _, _, err := c.Changed(t.Context(), "https://elsewhere.example/v1.0/users/delta?$deltatoken=1"); !errors.Is(err, graph.ErrForeignLink) {
			t.Errorf("another host: %v", err)
		}
		var many []string
		for i := range 51 {
			many = append(many, fmt.Sprint(i))
		}
		if _, err := c.WatchGroups(t.Context(), many); !errors.Is(err, graph.ErrTooManyGroups) {
			t.Errorf("51 groups: %v", err)
		}
	})
}
