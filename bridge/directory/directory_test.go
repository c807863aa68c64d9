package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/sqlstore"
)

// world is a simulated directory, the store, and a Syncer between them.
type world struct {
	*testing.T
	sim   *graphsim.Server
	store *sqlstore.Store
	sync  *Syncer
	conf  Syncer // what each new Syncer begins with
	wrote int    // transactions that the Syncer made
}

const team = "team"

// countingStore counts writes.
type countingStore struct {
	bridge.DirectoryStore
	w *world
}

func (c countingStore) ChangeMembers(ctx context.Context, m bridge.MemberChanges) error {
	c.w.wrote++
	return c.DirectoryStore.ChangeMembers(ctx, m)
}

func (c countingStore) SetDirectoryStatus(ctx context.Context, d bridge.DirectoryStatus) error {
	c.w.wrote++
	return c.DirectoryStore.SetDirectoryStatus(ctx, d)
}

// within runs a test in a bubble, in which time passes at once.
func within(t *testing.T, test func(*world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, sim: &graphsim.Server{}}
		key, err := sqlstore.ReadKey(filepath.Join(t.TempDir(), "key"))
		w.must(err)
		w.store, err = sqlstore.Open(t.Context(), filepath.Join(t.TempDir(), "outbridge.db"), key)
		w.must(err)
		t.Cleanup(func() { w.store.Close() })
		w.conf = Syncer{Groups: []string{team}, Grace: bridge.Period{Days: 30}}
		w.restart()
		test(w)
	})
}

// restart is a Syncer that knows nothing but the store.
func (w *world) restart() {
	const origin = "https://graph.microsoft.com"
	authority := &graph.Authority{LoginURL: "https://login.microsoftonline.com", Tenant: "contoso.example", ClientID: "app", ClientSecret: "s",
		Scopes: graph.AppScopes(origin), HTTP: w.sim.Client()}
	w.sync = &Syncer{
		Graph: &graph.Client{BaseURL: origin + "/v1.0", HTTP: w.sim.Client(), Tokens: &graph.AppTokens{Authority: authority}}, Store: countingStore{w.store, w},
		Tenant: "contoso", Groups: w.conf.Groups, Rules: w.conf.Rules, Grace: w.conf.Grace, Others: w.conf.Others,
		Log: slog.New(slog.NewTextHandler(w.Output(), nil)),
	}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// person is somebody of the directory with an address of their own.
func (w *world) person(id string) string {
	return w.sim.SetUser(graphsim.DirectoryUser{ID: id, Name: strings.ToUpper(id), UPN: id + "@contoso.com", Mail: id + "@contoso.com"})
}

// look takes a good look.
func (w *world) look() {
	w.Helper()
	w.must(w.sync.Sync(w.Context()))
}

// served are the ids of who is served, with their names.
func (w *world) served() map[string]string {
	w.Helper()
	list, err := w.store.Members(w.Context())
	w.must(err)
	all := map[string]string{}
	for _, m := range list {
		if m.Left.IsZero() {
			all[m.ObjectID] = m.Name
		}
	}
	return all
}

func (w *world) expect(want ...string) {
	w.Helper()
	if got := slices.Sorted(maps.Keys(w.served())); !slices.Equal(got, want) {
		w.Errorf("served: %v, not %v", got, want)
	}
}

func (w *world) status() bridge.DirectoryStatus {
	w.Helper()
	d, err := w.store.DirectoryStatus(w.Context())
	w.must(err)
	return d
}

func TestJoinAndLeave(t *testing.T) {
	within(t, func(w *world) {
		w.sim.SetGroup("inner", w.person("c"))
		w.sim.SetGroup(team, w.person("a"), w.person("b"), "inner")
		w.look()
		w.expect("a", "b", "c")
		w.sim.SetGroup("inner", "c", w.person("d"))
		w.look()
		w.expect("a", "b", "c", "d")
		w.sim.SetGroup("inner", "d")
		w.look()
		w.expect("a", "b", "d")
		w.sim.RemoveUser("d")
		w.look()
		w.expect("a", "b")
		if d := w.status(); d.Members != 2 || d.Good.IsZero() || d.Doubt != nil || d.Fault != (bridge.Fault{}) {
			w.Errorf("status: %+v", d)
		}
	})
}

// TestReturn: who comes back within the grace time has the account that they had; who does not has none any more.
func TestReturn(t *testing.T) {
	within(t, func(w *world) {
		w.sim.SetGroup(team, w.person("a"), w.person("b"), w.person("c"))
		w.look()
		_, password, err := w.store.AddPassword(w.Context(), "a", "phone", time.Now())
		w.must(err)
		check := func(want bool) {
			w.Helper()
			if _, ok, err := w.store.CheckPassword(w.Context(), "a", password); ok != want || err != nil {
				w.Errorf("the password of a: %v, %v", ok, err)
			}
		}
		check(true)
		w.sim.SetGroup(team, "b", "c")
		w.look()
		check(false)
		time.Sleep(29 * 24 * time.Hour)
		w.look()
		w.sim.SetGroup(team, "a", "b", "c")
		w.look()
		check(true)
		w.sim.SetGroup(team, "b", "c")
		w.look()
		time.Sleep(31 * 24 * time.Hour)
		w.look()
		if names, _ := w.store.TakenNames(w.Context()); len(names) != 2 {
			w.Errorf("after the grace time: %v", names)
		}
		w.sim.SetGroup(team, "a", "b", "c")
		w.look()
		w.expect("a", "b", "c")
		check(false)
	})
}

// TestRename: another address changes the mailbox and no name; a name that is taken gets a number.
func TestRename(t *testing.T) {
	within(t, func(w *world) {
		w.conf.Others = func() (names, people map[string]bool) {
			return map[string]bool{"max": true}, map[string]bool{"boss@contoso.com": true, "6": true}
		}
		w.restart()
		set := func(id, mail string, aliases ...string) string {
			return w.sim.SetUser(graphsim.DirectoryUser{ID: id, Name: "Name of " + id, UPN: id + "@upn.contoso.com", Mail: mail, Aliases: aliases})
		}
		w.sim.SetGroup(team, set("1", "Max@contoso.com"), set("2", "max@fabrikam.com"), set("3", "Ødegård+x@contoso.com"), set("4", "...@contoso.com"), set("5", "chief@contoso.com", "Boss@contoso.com"), set("6", "signed.in@contoso.com"))
		w.look()
		want := map[string]string{"1": "max-2", "2": "max-3", "3": "deg-rd-x", "4": "user"}
		if got := w.served(); !maps.Equal(got, want) {
			w.Errorf("names: %v", got)
		}
		set("1", "moritz@contoso.com")
		w.look()
		if got := w.served(); !maps.Equal(got, want) {
			w.Errorf("names: %v", got)
		}
		a, err := w.store.AccountByIdentity(w.Context(), "contoso", "1")
		w.must(err)
		if a.Mailbox != "moritz@contoso.com" || a.Name != "max-2" {
			w.Errorf("account: %+v", a)
		}
	})
}

// TestLeftOut: who has no mailbox here, may not sign in or is not meant gets no account, and it is known why.
func TestLeftOut(t *testing.T) {
	within(t, func(w *world) {
		w.conf.Rules = Rules{Allow: []string{"*@contoso.com", "partner@fabrikam.com", "id-x"}, Deny: []string{"DENIED@contoso.com", "id-y"}}
		w.conf.Groups = nil
		w.restart()
		for _, u := range []graphsim.DirectoryUser{
			{ID: "ok", Mail: "ok@contoso.com", Aliases: []string{"other@elsewhere.com"}}, {ID: "guest", Mail: "g@contoso.com", Guest: true}, {ID: "off", Mail: "off@contoso.com", Disabled: true},
			{ID: "none"}, {ID: "d", Mail: "d@contoso.com", Aliases: []string{"denied@contoso.com"}}, {ID: "id-y", Mail: "y@contoso.com"}, {ID: "id-x", Mail: "x@fabrikam.com"},
			{ID: "p", Mail: "Partner@Fabrikam.com"}, {ID: "f", Mail: "f@fabrikam.com"}, {ID: "sub", Mail: "s@sub.contoso.com"},
		} {
			u.Name, u.UPN = u.ID, u.ID+"@upn.com"
			w.sim.SetUser(u)
		}
		w.look()
		w.expect("id-x", "ok", "p")
		list, err := w.store.LeftOut(w.Context())
		w.must(err)
		got := map[string]bridge.LeftOutReason{}
		for _, o := range list {
			got[o.ObjectID] = o.Reason
		}
		want := map[string]bridge.LeftOutReason{"guest": "guest", "off": "disabled", "none": "no-address", "d": "denied", "id-y": "denied", "f": "not-allowed", "sub": "not-allowed"}
		if !maps.Equal(got, want) {
			w.Errorf("left out: %v", got)
		}
		w.sim.SetUser(graphsim.DirectoryUser{ID: "off", Name: "off", UPN: "off@upn.com", Mail: "off@contoso.com"})
		w.look()
		w.expect("id-x", "off", "ok", "p")
	})
}

// TestIdle: a look at which nothing has changed is one request, or two with groups, and no write.
func TestIdle(t *testing.T) {
	for name, groups := range map[string][]string{"all": nil, "group": {team}} {
		t.Run(name, func(t *testing.T) {
			within(t, func(w *world) {
				w.conf.Groups = groups
				w.restart()
				w.sim.SetGroup(team, w.person("a"), w.person("b"))
				outsider := w.person("x")
				w.look()
				w.look() // what changed before the watch began
				w.sim.ResetRequests()
				w.wrote = 0
				for range 3 {
					w.look()
				}
				if n := len(w.sim.Requests()); n != 3*(1+len(groups)) || w.wrote != 0 {
					w.Errorf("three idle looks: %d requests, %d writes", n, w.wrote)
				}
				if groups != nil {
					w.sim.ResetRequests()
					w.sim.SetUser(graphsim.DirectoryUser{ID: outsider, Name: "X", UPN: "x@contoso.com", Mail: "x2@contoso.com"})
					w.look()
					if n := len(w.sim.Requests()); n != 2 || w.wrote != 0 {
						w.Errorf("a change of somebody else: %d requests, %d writes", n, w.wrote)
					}
				}
			})
		})
	}
}

// TestDoubt: an answer that ends most accounts changes nothing until it has stood for an hour, and one that ends all until somebody
// confirms it. Who joins is let in all the same.
func TestDoubt(t *testing.T) {
	within(t, func(w *world) {
		w.sim.SetGroup(team, w.person("a"), w.person("b"), w.person("c"), w.person("d"))
		w.look()
		w.sim.SetGroup(team, "a", w.person("e"))
		w.look()
		w.expect("a", "b", "c", "d", "e")
		if d := w.status(); d.Doubt == nil || d.Doubt.Gone != 3 || d.Doubt.Members != 2 || d.Members != 5 {
			w.Errorf("status: %+v", d.Doubt)
		}
		time.Sleep(59 * time.Minute)
		w.restart() // which forgets no doubt
		w.look()
		w.expect("a", "b", "c", "d", "e")
		w.sim.SetGroup(team, "a", "b", "c", "e")
		w.look() // in order again
		w.expect("a", "b", "c", "e")
		if d := w.status(); d.Doubt != nil {
			w.Errorf("a doubt is left: %+v", d.Doubt)
		}
		w.sim.SetGroup(team, "a")
		w.look()
		w.expect("a", "b", "c", "e")
		time.Sleep(time.Hour)
		w.look()
		w.expect("a")

		w.sim.SetGroup(team)
		w.look()
		time.Sleep(48 * time.Hour)
		w.look()
		w.expect("a")
		d := w.status()
		d.Doubt.Confirmed = true
		w.must(w.store.SetDirectoryStatus(w.Context(), d))
		w.look()
		w.expect()
	})
}

// TestDenied: who is named in deny is out at once, whether the directory can be read or not, and is believed or not.
func TestDenied(t *testing.T) {
	within(t, func(w *world) {
		w.sim.SetGroup(team, w.person("a"), w.person("b"), w.person("c"), w.person("d"), w.person("e"))
		w.look()
		w.sim.AppPermissions = []string{}
		w.conf.Rules.Deny = []string{"a", "B@contoso.com"}
		w.restart()
		if err := w.sync.Sync(w.Context()); err == nil {
			w.Error("the directory can be read")
		}
		w.expect("c", "d", "e")
		if d := w.status(); d.Members != 3 {
			w.Errorf("members: %d", d.Members)
		}
		w.sim.AppPermissions = nil
		w.look()
		w.expect("c", "d", "e")

		w.sim.SetGroup(team)
		w.look()
		w.expect("c", "d", "e") // that nobody is left is not believed
		w.conf.Rules.Deny = append(w.conf.Rules.Deny, "c")
		w.restart()
		w.look()
		w.expect("d", "e")
		if d := w.status(); d.Doubt == nil || d.Doubt.Gone != 2 {
			w.Errorf("doubt: %+v", d.Doubt)
		}

		// An address that only the directory knows: a person has said so, and nothing is doubted.
		w.sim.SetGroup(team, "d", "e")
		w.look()
		for _, id := range []string{"d", "e"} {
			w.sim.SetUser(graphsim.DirectoryUser{ID: id, Name: id, UPN: id + "@contoso.com", Mail: id + "@contoso.com", Aliases: []string{id + "@alias.example"}})
		}
		w.conf.Rules.Deny = append(w.conf.Rules.Deny, "*@alias.example")
		w.restart()
		w.look()
		w.expect()
		if d := w.status(); d.Doubt != nil || d.Members != 0 {
			w.Errorf("status: %+v", d)
		}
	})
}

// TestOutage: what cannot be read, or only in part, changes nothing.
func TestOutage(t *testing.T) {
	within(t, func(w *world) {
		w.sim.DirectoryPage = 1
		w.sim.SetGroup(team, w.person("a"), w.person("b"), w.person("c"))
		w.look()
		w.expect("a", "b", "c")
		failing := func(name string, reason bridge.Reason, break_, mend func()) {
			w.Helper()
			break_()
			for _, fresh := range []bool{false, true} {
				if fresh {
					w.restart()
				}
				if err := w.sync.Sync(w.Context()); err == nil {
					w.Errorf("%s: no error", name)
				}
				w.expect("a", "b", "c")
				if d := w.status(); d.Fault.Reason != reason {
					w.Errorf("%s: %+v", name, d.Fault)
				}
			}
			mend()
			w.look()
			if d := w.status(); d.Fault != (bridge.Fault{}) {
				w.Errorf("%s is over: %+v", name, d.Fault)
			}
		}
		permissions := func(list ...string) func() { return func() { w.sim.AppPermissions = list } }
		failing("no permission", bridge.ReasonDirectoryDenied, func() { w.sim.AppPermissions = []string{} }, permissions(graph.PermissionUsers, graph.PermissionMembers))
		w.sim.ForgetDirectory()
		failing("no names", bridge.ReasonPeopleHidden, func() {
			w.sim.AppPermissions = []string{graph.PermissionMembers}
			w.sim.ForgetDirectory()
			w.sync.again = true
		}, permissions(graph.PermissionUsers, graph.PermissionMembers))
		failing("no group", bridge.ReasonGroupMissing, func() { w.sim.RemoveGroup(team) }, func() { w.sim.SetGroup(team, "a", "b", "c") })
		// The second page of three fails: half a list is none.
		failing("half a list", bridge.ReasonUnavailable, func() {
			w.sync.again = true
			w.sim.Fault = func(r *http.Request) *graphsim.Fault {
				if strings.Contains(r.URL.RawQuery, "skiptoken") {
					return &graphsim.Fault{Status: 503}
				}
				return nil
			}
		}, func() { w.sim.Fault = nil })
	})
}

// TestNothingMissed: what has been told of once is applied, though what comes after it fails, and so is what happens while a watch begins.
func TestNothingMissed(t *testing.T) {
	within(t, func(w *world) {
		w.sim.SetGroup(team, w.person("a"), w.person("b"), w.person("c"), w.person("d"), w.person("e"))
		during := func(part string, f func(r *http.Request) *graphsim.Fault) {
			w.sim.Fault = func(r *http.Request) *graphsim.Fault {
				if strings.Contains(r.URL.String(), part) {
					return f(r)
				}
				return nil
			}
		}
		fails := func(*http.Request) *graphsim.Fault { return &graphsim.Fault{Status: 403} }
		during("groups/delta", func(*http.Request) *graphsim.Fault {
			w.sim.SetGroup(team, "a", "b", "c", "d") // after the list, before the watch
			return nil
		})
		w.look()
		w.sim.Fault = nil
		w.look()
		w.expect("a", "b", "c", "d")
		w.look()

		w.sim.SetUser(graphsim.DirectoryUser{ID: "d", Name: "D", UPN: "d@contoso.com", Mail: "d@contoso.com", Disabled: true})
		during("groups/delta", fails)
		if err := w.sync.Sync(w.Context()); err == nil {
			w.Error("no error")
		}
		w.sim.Fault = nil
		w.look()
		w.expect("a", "b", "c")
		w.look()

		w.sim.SetGroup(team, "a", "b")
		during("transitiveMembers", fails)
		if err := w.sync.Sync(w.Context()); err == nil {
			w.Error("no error")
		}
		w.sim.Fault = nil
		w.look()
		w.expect("a", "b")
	})
}

// TestStorm: people join, leave, are renamed, disabled and deleted, with faults and restarts between. After each good look that is not
// doubted exactly the members are served, each with the name that they have always had.
func TestStorm(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { within(t, func(w *world) { w.storm(rand.New(rand.NewPCG(seed, 1))) }) })
	}
}

func (w *world) storm(r *rand.Rand) {
	w.sim.DirectoryPage = 1 + r.IntN(5)
	type truth struct {
		gone, off bool
		mail      string
	}
	people := map[string]*truth{}
	names := map[string]string{}
	var all []string
	groups := []string{team, "g1", "g2"}
	in := map[string][]string{}
	apply := func() {
		for _, g := range groups {
			members := slices.Clone(in[g])
			if g == team {
				members = append(members, "g1")
			}
			if g == "g1" {
				members = append(members, "g2", team)
			}
			w.sim.SetGroup(g, members...)
		}
	}
	set := func(id string) {
		p := people[id]
		w.sim.SetUser(graphsim.DirectoryUser{ID: id, Name: id, UPN: id + "@contoso.com", Mail: p.mail, Disabled: p.off})
	}
	apply()
	var faults bool
	w.sim.Fault = func(req *http.Request) *graphsim.Fault {
		if faults && r.IntN(4) == 0 && strings.HasPrefix(req.URL.Path, "/v1.0/") {
			return []*graphsim.Fault{{Status: 503}, {Status: 429, RetryAfter: time.Second}, {Drop: true}, {Status: 403}, {Status: 410}, {Body: []byte("<html>"), Status: 200}}[r.IntN(6)]
		}
		return nil
	}
	for step := range 120 {
		for range r.IntN(6) {
			if len(all) == 0 || r.IntN(3) == 0 {
				id := fmt.Sprintf("p%03d", len(all))
				all = append(all, id)
				people[id] = &truth{mail: fmt.Sprintf("n%d@contoso.com", r.IntN(20))}
				set(id)
			}
			id := all[r.IntN(len(all))]
			p := people[id]
			g := groups[r.IntN(3)]
			switch r.IntN(6) {
			case 0, 1:
				if !p.gone && !slices.Contains(in[g], id) {
					in[g] = append(in[g], id)
				}
			case 2:
				in[g] = slices.DeleteFunc(in[g], func(m string) bool { return m == id })
			case 3:
				if p.mail = fmt.Sprintf("r%d@contoso.com", step); !p.gone {
					set(id)
				}
			case 4:
				if p.off = !p.off; !p.gone {
					set(id)
				}
			case 5:
				if r.IntN(4) == 0 && !p.gone {
					p.gone = true
					for g := range in {
						in[g] = slices.DeleteFunc(in[g], func(m string) bool { return m == id })
					}
					w.sim.RemoveUser(id)
				}
			}
		}
		apply()
		before := w.served()
		faults = r.IntN(2) == 0
		ctx, kill := context.WithCancel(w.Context())
		if r.IntN(5) == 0 {
			time.AfterFunc(time.Duration(r.IntN(2000))*time.Millisecond, kill)
		}
		err := w.sync.Sync(ctx)
		kill()
		faults = false
		if r.IntN(6) == 0 {
			w.restart()
		}
		now := w.served()
		for id, name := range now {
			if was := names[id]; was != "" && was != name {
				w.Fatalf("step %d: %s is %s, was %s", step, id, name, was)
			}
			names[id] = name
		}
		if err != nil {
			if errors.Is(err, graph.ErrNoGroup) {
				w.Fatal(err)
			}
			if len(before) > 0 && len(now) == 0 {
				w.Fatalf("step %d: a failure ended all", step)
			}
			continue
		}
		want := map[string]bool{}
		for _, list := range in {
			for _, id := range list {
				if p := people[id]; !p.gone && !p.off {
					want[id] = true
				}
			}
		}
		doubted := w.status().Doubt != nil
		for id := range want {
			if now[id] == "" {
				w.Fatalf("step %d: %s is a member and not served", step, id)
			}
		}
		for id := range now {
			if !want[id] && !doubted {
				w.Fatalf("step %d: %s has left and is served", step, id)
			}
		}
		time.Sleep(time.Duration(r.IntN(90)) * time.Minute)
	}
	w.look()
	w.look()
	members, err := w.store.Members(w.Context())
	w.must(err)
	for _, m := range members {
		if p := people[m.ObjectID]; m.Left.IsZero() && m.Mailbox != p.mail && w.status().Doubt == nil {
			w.Errorf("%s has %s, not %s", m.ObjectID, m.Mailbox, p.mail)
		}
	}
}
