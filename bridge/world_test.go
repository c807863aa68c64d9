package bridge_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-ical"
	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/sqlstore"
	"outbridge/caldav"
	"outbridge/caldav/ics"
)

// tb is what the driver needs of *testing.T and *rapid.T.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

// world is a simulated Outlook, a bridge in front of it, and what a client saw of it last.
type world struct {
	tb
	ctx   context.Context
	sim   *graphsim.Server
	box   *graphsim.Mailbox
	path  string
	key   sqlstore.Key
	store *sqlstore.Store
	b     *bridge.Bridge
	m     bridge.Mailbox

	mu    sync.Mutex
	clock time.Time
	log   *slog.Logger

	others []*graphsim.Calendar // calendars of other mailboxes that are to be served too

	seen map[string]map[string]caldav.Object // calendar, name: what a syncing client holds
	tok  map[string]caldav.Token
}

var start = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

// newWorld makes a world with one mailbox, signed in, nothing synced yet.
func newWorld(t *testing.T, set ...func(*graphsim.Server)) *world {
	t.Helper()
	return makeWorld(t, t.Context(), t.TempDir(), slog.New(slog.NewTextHandler(t.Output(), nil)), set...)
}

func makeWorld(t tb, ctx context.Context, dir string, log *slog.Logger, set ...func(*graphsim.Server)) *world {
	t.Helper()
	w := &world{
		tb: t, ctx: ctx, clock: start, path: filepath.Join(dir, "outbridge.db"), key: sqlstore.NewKey(), log: log,
		seen: map[string]map[string]caldav.Object{}, tok: map[string]caldav.Token{},
	}
	w.sim = &graphsim.Server{Now: w.now, BaseURL: "http://outlook.test", AutoApprove: true}
	for _, f := range set {
		f(w.sim)
	}
	w.box = w.sim.AddMailbox("alice@contoso.example", "Alice", "W. Europe Standard Time")
	w.open()
	auth := w.authority()
	token, err := signIn(ctx, auth)
	w.must(err)
	a, err := w.store.EnsureAccount(ctx, "alice")
	w.must(err)
	w.must(w.store.Tokens(a.ID).SaveToken(ctx, nil, token))
	return w
}

func (w *world) authority() *graph.Authority {
	return &graph.Authority{LoginURL: "http://outlook.test", Tenant: "common", ClientID: "app", Scopes: w.scopes(), HTTP: w.sim.Client()}
}

func (w *world) scopes() []string {
	const origin = "http://outlook.test"
	return append(graph.Scopes(origin), graph.SettingsScope(origin), graph.SharedScope(origin))
}

func signIn(ctx context.Context, auth *graph.Authority) (*oauth2.Token, error) {
	state, verifier := "s", oauth2.GenerateVerifier()
	return viaCode(ctx, auth, state, verifier)
}

// viaCode signs in by the authorization code flow, which needs no waiting.
func viaCode(ctx context.Context, auth *graph.Authority, state, verifier string) (*oauth2.Token, error) {
	client := *auth.HTTP
	client.CheckRedirect = noRedirect
	res, err := client.Get(auth.AuthCodeURL("http://localhost/callback", state, verifier, ""))
	if err != nil {
		return nil, err
	}
	res.Body.Close()
	to, err := res.Location()
	if err != nil {
		return nil, fmt.Errorf("authorize: %s: %w", res.Status, err)
	}
	return auth.Exchange(ctx, "http://localhost/callback", to.Query().Get("code"), verifier)
}

// open opens the database and puts a bridge in front of it, as a start of the program does.
func (w *world) open() {
	w.Helper()
	store, err := sqlstore.Open(w.ctx, w.path, w.key)
	w.must(err)
	w.store = store
	a, err := store.EnsureAccount(w.ctx, "alice")
	w.must(err)
	client := &graph.Client{
		BaseURL: "http://outlook.test/v1.0", HTTP: w.sim.Client(), Log: w.log,
		Tokens: &graph.DelegatedTokens{Authority: w.authority(), Store: store.Tokens(a.ID)},
	}
	w.m = bridge.Mailbox{Name: "alice", Graph: client}
	w.b = &bridge.Bridge{Store: store, Mailboxes: []bridge.Mailbox{w.m}, Now: w.now, Log: w.log, Count: true}
}

// crash ends everything that is in memory, as a kill does.
func (w *world) crash() {
	w.Helper()
	w.must(w.store.Close())
	w.open()
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

// realTime has the bridge use the clock of a synctest bubble.
func (w *world) realTime() { w.b.Now = nil }

// run runs the bridge until the function that it returns is called.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- w.b.Run(ctx) }()
	return func() {
		w.Helper()
		cancel()
		w.must(<-done)
	}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("%v", err)
	}
}

// round runs one round that must be good, and checks everything.
func (w *world) round() bridge.Report {
	w.Helper()
	w.pass(time.Minute)
	r, err := w.b.Round(w.ctx, w.m)
	w.must(err)
	w.check()
	return r
}

// changes runs a round and requires the number of changed objects.
func (w *world) changes(want int) bridge.Report {
	w.Helper()
	r := w.round()
	if r.Changed() != want {
		w.Fatalf("the round changed %d objects, want %d", r.Changed(), want)
	}
	return r
}

// check verifies every invariant: clients see what Outlook shows, in well-formed objects.
func (w *world) check() {
	w.Helper()
	back := bridge.Backend{Store: w.store}
	cals, err := back.Calendars(w.ctx, caldav.Principal{Name: "alice"})
	w.must(err)
	if want := len(w.box.Calendars()) + len(w.others); len(cals) != want {
		w.Fatalf("%d calendars, want %d", len(cals), want)
	}
	for _, c := range cals {
		w.checkCalendar(back, c)
	}
	if v := w.sim.Violations(); len(v) > 0 {
		w.Fatalf("protocol violations: %s", strings.Join(v, "; "))
	}
}

type shown struct {
	Start, End string
	AllDay     bool
	Cancelled  bool
	Subject    string
}

func (w *world) checkCalendar(back bridge.Backend, c caldav.Calendar) {
	w.Helper()
	row, err := w.store.Calendar(w.ctx, c.Key.(bridge.CalendarID))
	w.must(err)
	if row.Window.Start.IsZero() {
		return
	}
	window := convert.Span{Start: row.Window.Start.Add(24 * time.Hour), End: row.Window.End.AddDate(3, 0, 0)}
	objects := map[string]caldav.Object{}
	uids := map[string]string{}
	revs := map[int64]string{}
	var got []shown
	for o, err := range back.Objects(w.ctx, c, caldav.Query{WithData: true}) {
		w.must(err)
		objects[o.Name] = o
		sum := sha256.Sum256(o.Data)
		if o.ETag != hex.EncodeToString(sum[:])[:32] || o.Size != len(o.Data) {
			w.Fatalf("%s: ETag or size is not that of its octets", o.Name)
		}
		if other := revs[o.Rev]; other != "" || o.Rev > c.Token.Rev {
			w.Fatalf("%s: rev %d is also that of %q, or past the calendar's %d", o.Name, o.Rev, other, c.Token.Rev)
		}
		revs[o.Rev] = o.Name
		cal, err := ical.NewDecoder(bytes.NewReader(o.Data)).Decode()
		w.must(err)
		for _, e := range cal.Events() {
			uid := e.Props.Get(ical.PropUID).Value
			if other := uids[uid]; other != "" && other != o.Name {
				w.Fatalf("UID %s is in %s and %s", uid, other, o.Name)
			}
			uids[uid] = o.Name
		}
		list, err := (&ics.Reader{Resolve: convert.Zone}).Expand(cal, ics.Span(window))
		w.must(err)
		for _, i := range list {
			if i.Start.Before(o.First) || !o.Last.IsZero() && i.End.After(o.Last) {
				w.Fatalf("%s: instance at %s is outside its bounds %s – %s", o.Name, i.Start, o.First, o.Last)
			}
			got = append(got, shown{i.Start.Format(time.RFC3339), i.End.Format(time.RFC3339), i.AllDay(), i.Cancelled(), i.Summary()})
		}
	}
	var want []shown
	for _, sc := range slices.Concat(w.box.Calendars(), w.others) {
		if sc.ID() != row.GraphID {
			continue
		}
		for _, i := range sc.Instances(window.Start, window.End) {
			want = append(want, shown{i.Start.UTC().Format(time.RFC3339), i.End.UTC().Format(time.RFC3339), i.AllDay, i.Cancelled, i.Subject})
		}
	}
	// Beyond the window nobody has said how long an instance is that runs across a change of summer time: RFC 5545
	// §3.6.1 keeps the duration, Outlook the clock time of the end.
	end := row.Window.End.Format(time.RFC3339)
	for _, list := range [][]shown{got, want} {
		for i := range list {
			if list[i].Start > end {
				list[i].End = ""
			}
		}
	}
	order := func(a, b shown) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.End, b.End))
	}
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	if d := gocmp.Diff(want, got); d != "" {
		w.Fatalf("calendar %q does not show what Outlook shows (-want +got):\n%s", c.DisplayName, d)
	}
	w.checkSync(back, c, objects)
}

// checkSync follows the calendar as a client does by its token, and requires that it then holds what is there.
func (w *world) checkSync(back bridge.Backend, c caldav.Calendar, objects map[string]caldav.Object) {
	w.Helper()
	held := w.seen[c.Name]
	tok := w.tok[c.Name]
	if held == nil || tok.Epoch != c.Token.Epoch {
		held, tok = map[string]caldav.Object{}, caldav.Token{Epoch: c.Token.Epoch}
	}
	n := 0
	for o, err := range back.Changes(w.ctx, c, tok) {
		w.must(err)
		n++
		if o.Deleted {
			delete(held, o.Name)
			continue
		}
		if had, ok := held[o.Name]; ok && had.ETag == o.ETag {
			w.Fatalf("%s is reported as changed with the ETag that it had", o.Name)
		}
		held[o.Name] = o
	}
	if int64(n) > c.Token.Rev-tok.Rev {
		w.Fatalf("%d changes between rev %d and %d", n, tok.Rev, c.Token.Rev)
	}
	for name, o := range objects {
		if held[name].ETag != o.ETag {
			w.Fatalf("a syncing client holds %s with ETag %q, it is %q", name, held[name].ETag, o.ETag)
		}
	}
	if len(held) != len(objects) {
		w.Fatalf("a syncing client holds %d objects, there are %d", len(held), len(objects))
	}
	w.seen[c.Name], w.tok[c.Name] = held, c.Token
}

// object is the text of the one object whose octets hold all of the words.
func (w *world) object(words ...string) string {
	w.Helper()
	back := bridge.Backend{Store: w.store}
	cals, err := back.Calendars(w.ctx, caldav.Principal{Name: "alice"})
	w.must(err)
	var found []string
	for _, c := range cals {
		for o, err := range back.Objects(w.ctx, c, caldav.Query{WithData: true}) {
			w.must(err)
			if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(string(o.Data), word) }) {
				found = append(found, string(o.Data))
			}
		}
	}
	if len(found) != 1 {
		w.Fatalf("%d objects hold %q, want one", len(found), words)
	}
	return found[0]
}

// deltaRequests counts the delta pages asked for since the log was reset.
func (w *world) deltaRequests() (n int) {
	for _, r := range w.sim.Requests() {
		if strings.Contains(r.Path, "/delta") {
			n++
		}
	}
	return n
}

// at is a wall-clock time on a day counted from the start of the world.
func at(day, hour, minute int) time.Time {
	return time.Date(start.Year(), start.Month(), start.Day()+day, hour, minute, 0, 0, time.UTC)
}

func meeting(subject string, day, hour int) graphsim.Event {
	return graphsim.Event{Subject: subject, Start: at(day, hour, 0), End: at(day, hour+1, 0)}
}

func weekly(subject string, day, hour int, days ...string) graphsim.Event {
	e := meeting(subject, day, hour)
	e.Recurrence = &graph.Recurrence{
		Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: days},
		Range:   graph.RecurrenceRange{Type: "noEnd"},
	}
	return e
}
