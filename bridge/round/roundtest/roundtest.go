// Package roundtest is what tests of rounds, and of what stands around them, drive: a simulated Outlook, the store, rounds
// in front of it, and a syncing client. Each good round is followed by a check of every invariant: clients see what Outlook
// shows, in well-formed objects, and a client that syncs by its token holds just that.
package roundtest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
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
	"outbridge/bridge/dav"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/sqlstore/pgtest"
	"outbridge/caldav"
	"outbridge/caldav/ics"
)

// TB is what a World needs of *testing.T, *testing.B and *rapid.T.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

// World is a simulated Outlook, rounds in front of it, and what a client saw of it last. Its one account is "alice", signed
// in to Box.
type World struct {
	TB
	Ctx     context.Context
	Sim     *graphsim.Server
	Box     *graphsim.Mailbox
	Path    string // of the database, or its URL
	Key     sqlstore.Key
	Store   *sqlstore.Store
	Rounds  *round.Runner
	Mailbox round.Mailbox
	Client  *graph.Client // of Mailbox
	Log     *slog.Logger
	Others  []*graphsim.Calendar // calendars of other mailboxes that are to be served too
	Left    int                  // how many calendars of Box are not to be served

	mu    sync.Mutex
	clock time.Time

	seen map[string]map[string]caldav.Object // calendar, name: what a syncing client holds
	tok  map[string]caldav.Token

	cache dav.Cache // of all that is served from the beginning
}

// Start is when a World begins.
var Start = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

// Databases is what New and NewOn take: "sqlite", the default, or "postgres", as this variable of the environment says.
const Databases = "OUTBRIDGE_TEST_DATABASE"

// New makes a World in which nothing is synced yet.
func New(t *testing.T, set ...func(*graphsim.Server)) *World {
	t.Helper()
	return NewOn(t, os.Getenv(Databases), set...)
}

// NewOn is New on a kind of database.
func NewOn(t *testing.T, kind string, set ...func(*graphsim.Server)) *World {
	t.Helper()
	dir := t.TempDir()
	return MakeAt(t, t.Context(), dir, Database(t, kind, dir), slog.New(slog.NewTextHandler(t.Output(), nil)), set...)
}

// Database is a new database of a kind.
func Database(t testing.TB, kind, dir string) string {
	if kind == "postgres" {
		return pgtest.URL(t)
	}
	return filepath.Join(dir, "outbridge.db")
}

// Kinds are the kinds of databases that storms are spread over: one in four is on a server, where there is one.
func Kinds() []string {
	if pgtest.Available() {
		return []string{"sqlite", "sqlite", "sqlite", "postgres"}
	}
	return []string{"sqlite"}
}

// Make is New with a folder and a log of the caller's.
func Make(t TB, ctx context.Context, dir string, log *slog.Logger, set ...func(*graphsim.Server)) *World {
	t.Helper()
	return MakeAt(t, ctx, dir, filepath.Join(dir, "outbridge.db"), log, set...)
}

// MakeAt is Make with a database.
func MakeAt(t TB, ctx context.Context, dir, database string, log *slog.Logger, set ...func(*graphsim.Server)) *World {
	t.Helper()
	w := &World{
		TB: t, Ctx: ctx, clock: Start, Path: database, Log: log,
		seen: map[string]map[string]caldav.Object{}, tok: map[string]caldav.Token{},
	}
	var err error
	w.Key, err = sqlstore.ReadKey(filepath.Join(dir, "outbridge.key"))
	w.Must(err)
	w.Sim = &graphsim.Server{Now: w.Now, BaseURL: "http://outlook.test", AutoApprove: true}
	for _, f := range set {
		f(w.Sim)
	}
	w.Box = w.Sim.AddMailbox("alice@contoso.example", "Alice", "W. Europe Standard Time")
	w.Open()
	token, err := w.SignIn()
	w.Must(err)
	a, err := w.Store.EnsureAccount(ctx, "alice")
	w.Must(err)
	w.Must(w.Store.Tokens(a.ID).SaveToken(ctx, nil, token))
	return w
}

func (w *World) authority() *graph.Authority {
	return &graph.Authority{LoginURL: "http://outlook.test", Tenant: "common", ClientID: "app", Scopes: w.scopes(), HTTP: w.Sim.Client()}
}

func (w *World) scopes() []string {
	const origin = "http://outlook.test"
	return append(graph.Scopes(origin), graph.SettingsScope(origin), graph.SharedScope(origin), graph.WriteScope(origin), graph.SharedWriteScope(origin))
}

// SignIn goes through the authorization code flow, which needs no waiting.
func (w *World) SignIn() (*oauth2.Token, error) {
	auth, verifier := w.authority(), oauth2.GenerateVerifier()
	client := *auth.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Get(auth.AuthCodeURL("http://localhost/callback", "s", verifier, ""))
	if err != nil {
		return nil, err
	}
	res.Body.Close()
	to, err := res.Location()
	if err != nil {
		return nil, fmt.Errorf("authorize: %s: %w", res.Status, err)
	}
	return auth.Exchange(w.Ctx, "http://localhost/callback", to.Query().Get("code"), verifier)
}

// Open opens the database and puts a bridge in front of it, as a start of the program does.
func (w *World) Open() {
	w.Helper()
	store, err := sqlstore.Open(w.Ctx, w.Path, w.Key)
	w.Must(err)
	w.Store = store
	a, err := store.EnsureAccount(w.Ctx, "alice")
	w.Must(err)
	w.Client = &graph.Client{
		BaseURL: "http://outlook.test/v1.0", HTTP: w.Sim.Client(), Log: w.Log,
		Tokens: &graph.DelegatedTokens{Authority: w.authority(), Store: store.Tokens(a.ID)},
	}
	w.Mailbox = round.Mailbox{Name: "alice", Graph: w.Client, Include: w.Mailbox.Include, Exclude: w.Mailbox.Exclude}
	w.Rounds = &round.Runner{Store: store, Now: w.Now, Log: w.Log, Count: true}
}

// Crash ends everything that is in memory, as a kill does.
func (w *World) Crash() {
	w.Helper()
	w.Must(w.Store.Close())
	w.Open()
}

// Now is the time in the World.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

// Pass lets time go by.
func (w *World) Pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

// Must ends the test on an error.
func (w *World) Must(err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("%v", err)
	}
}

// Round runs one round that must be good, and checks everything.
func (w *World) Round() bridge.Report {
	w.Helper()
	w.Pass(time.Minute)
	r, err := w.Rounds.Round(w.Ctx, w.Mailbox)
	w.Must(err)
	w.Check()
	return r
}

// Changes runs a round and requires the number of changed objects.
func (w *World) Changes(want int) bridge.Report {
	w.Helper()
	r := w.Round()
	if r.Changed() != want {
		w.Fatalf("the round changed %d objects, want %d", r.Changed(), want)
	}
	return r
}

// Check verifies every invariant: clients see what Outlook shows, in well-formed objects.
func (w *World) Check() {
	w.Helper()
	back := dav.Backend{Store: w.Store, Cache: &w.cache}
	cals, err := back.Calendars(w.Ctx, caldav.Principal{Name: "alice"})
	w.Must(err)
	if want := len(w.Box.Calendars()) + len(w.Others) - w.Left; len(cals) != want {
		w.Fatalf("%d calendars, want %d", len(cals), want)
	}
	for _, c := range cals {
		w.checkCalendar(back, c)
	}
	if v := w.Sim.Violations(); len(v) > 0 {
		w.Fatalf("protocol violations: %s", strings.Join(v, "; "))
	}
}

type shown struct {
	Start, End string
	AllDay     bool
	Cancelled  bool
	Subject    string
}

func (w *World) checkCalendar(back dav.Backend, c caldav.Calendar) {
	w.Helper()
	row, err := w.Store.Calendar(w.Ctx, c.Key.(bridge.CalendarID))
	w.Must(err)
	if row.Window.Start.IsZero() {
		return
	}
	window := convert.Span{Start: row.Window.Start.Add(24 * time.Hour), End: row.Window.End.AddDate(3, 0, 0)}
	objects := map[string]caldav.Object{}
	uids := map[string]string{}
	revs := map[int64]string{}
	instances := map[string][]ics.Instance{}
	var got []shown
	for o, err := range back.Objects(w.Ctx, c, caldav.Query{WithData: true}) {
		w.Must(err)
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
		w.Must(err)
		for _, e := range cal.Events() {
			uid := e.Props.Get(ical.PropUID).Value
			if other := uids[uid]; other != "" && other != o.Name {
				w.Fatalf("UID %s is in %s and %s", uid, other, o.Name)
			}
			uids[uid] = o.Name
		}
		list, err := (&ics.Reader{Resolve: convert.Zone}).Expand(cal, ics.Span(window))
		w.Must(err)
		instances[o.Name] = list
		for _, i := range list {
			if i.Start.Before(o.First) || !o.Last.IsZero() && i.End.After(o.Last) {
				w.Fatalf("%s: instance at %s is outside its bounds %s – %s", o.Name, i.Start, o.First, o.Last)
			}
			got = append(got, shown{i.Start.Format(time.RFC3339), i.End.Format(time.RFC3339), i.AllDay(), i.Cancelled(), i.Summary()})
		}
	}
	w.checkNames(back, c, objects)
	var want []shown
	for _, sc := range slices.Concat(w.Box.Calendars(), w.Others) {
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
	w.checkTimetables(back, c, window.Start, instances)
	w.checkSync(back, c, objects)
}

// checkTimetables lists some months, and requires what has instances there, which its timetable must not tell otherwise.
func (w *World) checkTimetables(back dav.Backend, c caldav.Calendar, start time.Time, instances map[string][]ics.Instance) {
	w.Helper()
	reader := &ics.Reader{Resolve: convert.Zone}
	for _, months := range []int{0, 4, 12, 30} {
		month := ics.Span{Start: start.AddDate(0, months, 0), End: start.AddDate(0, months+1, 0)}
		inMonth := func(i ics.Instance) bool { return month.Overlaps(i.Start, i.End) }
		listed := map[string]bool{}
		for o, err := range back.Objects(w.Ctx, c, caldav.Query{Start: month.Start, End: month.End}) {
			w.Must(err)
			listed[o.Name] = true
			want := slices.ContainsFunc(instances[o.Name], inMonth)
			if in, known := ics.Timetable(o.Timetable).Overlaps(reader, month); known && in != want {
				w.Fatalf("%s in the month from %s: its timetable %q says %v", o.Name, month.Start, o.Timetable, in)
			}
		}
		for name, list := range instances {
			if !listed[name] && slices.ContainsFunc(list, inMonth) {
				w.Fatalf("%s is not listed in the month from %s", name, month.Start)
			}
		}
	}
}

// checkSync follows the calendar as a client does by its token, and requires that it then holds what is there.
func (w *World) checkSync(back dav.Backend, c caldav.Calendar, objects map[string]caldav.Object) {
	w.Helper()
	held := w.seen[c.Name]
	tok := w.tok[c.Name]
	if held == nil || tok.Epoch != c.Token.Epoch {
		held, tok = map[string]caldav.Object{}, caldav.Token{Epoch: c.Token.Epoch}
	}
	n := 0
	for o, err := range back.Changes(w.Ctx, c, tok) {
		w.Must(err)
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

// checkNames verifies that whoever asks for objects by their names gets what is listed, also where they were asked for before.
func (w *World) checkNames(back dav.Backend, c caldav.Calendar, listed map[string]caldav.Object) {
	w.Helper()
	names := slices.AppendSeq(slices.Collect(maps.Keys(listed)), maps.Keys(w.seen[c.Name]))
	found := 0
	for o, err := range back.Objects(w.Ctx, c, caldav.Query{Names: names, WithData: true}) {
		w.Must(err)
		if found++; !reflect.DeepEqual(o, listed[o.Name]) {
			w.Fatalf("%s by its name is another than in the list", o.Name)
		}
	}
	if found != len(listed) {
		w.Fatalf("%d objects by their names, %d in the list", found, len(listed))
	}
}

// Object is the text of the one object whose octets hold all of the words.
func (w *World) Object(words ...string) string {
	w.Helper()
	back := dav.Backend{Store: w.Store}
	cals, err := back.Calendars(w.Ctx, caldav.Principal{Name: "alice"})
	w.Must(err)
	var found []string
	for _, c := range cals {
		for o, err := range back.Objects(w.Ctx, c, caldav.Query{WithData: true}) {
			w.Must(err)
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

// Damage writes to the mirror of the first calendar behind the bridge's back.
func (w *World) Damage(p bridge.MirrorPage) {
	w.Helper()
	c, err := w.Store.Calendar(w.Ctx, 1)
	w.Must(err)
	p.Calendar, p.Seq = c.ID, c.Seq
	_, err = w.Store.Mirror(w.Ctx, p)
	w.Must(err)
	clear(w.seen) // what is removed and comes back as it was is a change to a client that looks in between
}

// DeltaRequests counts the delta pages asked for since the log was reset.
func (w *World) DeltaRequests() (n int) {
	for _, r := range w.Sim.Requests() {
		if strings.Contains(r.Path, "/delta") {
			n++
		}
	}
	return n
}

// At is a wall-clock time on a day counted from the start of the world.
func At(day, hour, minute int) time.Time {
	return time.Date(Start.Year(), Start.Month(), Start.Day()+day, hour, minute, 0, 0, time.UTC)
}

// Meeting is an event of one hour.
func Meeting(subject string, day, hour int) graphsim.Event {
	return graphsim.Event{Subject: subject, Start: At(day, hour, 0), End: At(day, hour+1, 0)}
}

// Weekly is a series of such events that does not end.
func Weekly(subject string, day, hour int, days ...string) graphsim.Event {
	e := Meeting(subject, day, hour)
	e.Recurrence = &graph.Recurrence{
		Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: days},
		Range:   graph.RecurrenceRange{Type: "noEnd"},
	}
	return e
}
