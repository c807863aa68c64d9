package sqlstore

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// intent is a write to an object of a calendar.
func intent(c bridge.Calendar, name string, series graph.EventID) bridge.Intent {
	return bridge.Intent{
		Account: c.Account, Calendar: c.ID, In: c.Name, Name: name, UID: "uid-" + name, Summary: "Lunch", Series: series, Operation: bridge.IntentPut,
		User: "alice", Password: "phone", Client: "DAVx5", BodyHash: "hash", Octets: []byte("BEGIN:VCALENDAR"), Base: []byte("BASE"),
		Plan:        convert.Plan{Steps: []convert.Step{{Op: convert.OpUpdate, Fields: []byte(`{"subject":"Lunch"}`), Mails: []convert.Mail{{Kind: convert.MailUpdate, To: []string{"b@x.example"}}}}}},
		Transaction: "t", State: bridge.IntentOpen, Created: now, Changed: now,
	}
}

func served(name string, series graph.EventID, uid string) *bridge.Object {
	o := object(name, name, now, now.Add(time.Hour))
	o.Series, o.UID = series, uid
	return o
}

func left(name string, series graph.EventID, uid string) *bridge.Object {
	o := served(name, series, uid)
	o.Deleted, o.Data = true, nil
	return o
}

func mirror(t *testing.T, s *Store, c *bridge.Calendar, p bridge.MirrorPage) {
	t.Helper()
	p.Calendar, p.Seq = c.ID, c.Seq
	c.Seq = must(s.Mirror(t.Context(), p))(t)
}

func TestIntents(t *testing.T) { forEach(t, testIntents) }

func testIntents(t *testing.T, s *Store) {
	c := calendar(t, s)
	one := must(s.AddIntent(t.Context(), intent(c, "a.ics", "A")))(t)
	if one.ID == 0 {
		t.Fatal("no id")
	}
	for _, other := range []bridge.Intent{intent(c, "a.ics", "B"), intent(c, "b.ics", "A"), intent(c, "a.ics", "")} {
		got, err := s.AddIntent(t.Context(), other)
		if !errors.Is(err, bridge.ErrExists) {
			t.Fatalf("a second open one: %v", err)
		}
		if d := cmp.Diff(one, got); d != "" {
			t.Error(d)
		}
	}
	two := must(s.AddIntent(t.Context(), intent(c, "b.ics", "")))(t)
	three := must(s.AddIntent(t.Context(), intent(c, "c.ics", "")))(t) // neither is of a series yet
	refused := intent(c, "a.ics", "A")
	refused.State, refused.Refusal = bridge.IntentRefused, &convert.Refusal{Kind: convert.RefusedData, Sentence: "No."}
	refused = must(s.AddIntent(t.Context(), refused))(t)

	two.Series, two.Step, two.Begun, two.Mails = "A", 1, true, 3
	if err := s.SaveIntent(t.Context(), two); !errors.Is(err, bridge.ErrExists) {
		t.Errorf("the series of another: %v", err)
	}
	two.Series, two.Results = "B", []bridge.StepResult{{ID: "B", ETag: `W/"1"`}}
	if err := s.SaveIntent(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]bridge.Intent{one, two, three}, must(s.OpenIntents(t.Context(), c.Account))(t)); d != "" {
		t.Error(d)
	}
	one.State, one.Changed = bridge.IntentDone, now.Add(time.Minute)
	if err := s.SaveIntent(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(refused, must(s.SameIntent(t.Context(), c.ID, "a.ics", "hash", now))(t)); d != "" {
		t.Error(d)
	}
	if _, err := s.SameIntent(t.Context(), c.ID, "a.ics", "hash", now.Add(time.Second)); !errors.Is(err, bridge.ErrNotFound) {
		t.Error(err)
	}
	if n, to, err := s.MailsSince(t.Context(), c.Account, now); n != 1 || to != 3 || err != nil {
		t.Error(n, to, err)
	}
	if n, to, err := s.MailsSince(t.Context(), c.Account, now.Add(time.Second)); n != 0 || to != 0 || err != nil {
		t.Error(n, to, err)
	}
	missing := one
	missing.ID = 99
	if err := s.SaveIntent(t.Context(), missing); !errors.Is(err, bridge.ErrNotFound) {
		t.Error(err)
	}

	// Only what has ended is forgotten: what is personal first, later the whole of it.
	if err := s.ForgetIntents(t.Context(), now.Add(time.Second), now); err != nil {
		t.Fatal(err)
	}
	light := func(i bridge.Intent) bridge.Intent {
		i.Octets, i.Base, i.Plan, i.Results = nil, nil, convert.Plan{}, nil
		return i
	}
	want := []bridge.Intent{light(refused), light(three), light(two), light(one)}
	if d := cmp.Diff(want, must(s.Intents(t.Context(), c.Account, 9))(t)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want[:2], must(s.Intents(t.Context(), 0, 2))(t)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(light(refused), must(s.SameIntent(t.Context(), c.ID, "a.ics", "hash", now))(t)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]bridge.Intent{two, three}, must(s.OpenIntents(t.Context(), c.Account))(t)); d != "" {
		t.Error(d)
	}

	// The record outlives the calendar, and not the account's removal.
	if _, err := s.SetCalendars(t.Context(), c.Account, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.ForgetIntents(t.Context(), now.Add(time.Hour), now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	list := must(s.Intents(t.Context(), c.Account, 9))(t)
	if len(list) != 3 || list[2].ID != one.ID || list[2].Calendar != 0 || list[2].In != "calendar" {
		t.Errorf("%+v", list)
	}
}

// TestIntentRace: of many who want to write to one object or series, in two processes, one may.
func TestIntentRace(t *testing.T) { forEachDatabase(t, testIntentRace) }

func testIntentRace(t *testing.T, path string) {
	key := freshKey()
	stores := []*Store{must(Open(t.Context(), path, key))(t), must(Open(t.Context(), path, key))(t)}
	for _, s := range stores {
		defer s.Close()
	}
	c := calendar(t, stores[0])
	var g sync.WaitGroup
	var mu sync.Mutex
	won := map[int64]int{}
	for n := range 40 {
		g.Go(func() {
			i := intent(c, fmt.Sprintf("%d.ics", n%20), "A")
			if n < 20 {
				i = intent(c, "same.ics", "")
			}
			got, err := stores[n%2].AddIntent(t.Context(), i)
			if err != nil && !errors.Is(err, bridge.ErrExists) {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if won[got.ID] += 0; err == nil {
				won[got.ID]++
			}
		})
	}
	g.Wait()
	if len(won) != 2 {
		t.Errorf("%d intents", len(won))
	}
	for id, n := range won {
		if n != 1 || id == 0 {
			t.Errorf("intent %d was added %d times", id, n)
		}
	}
}

func TestNames(t *testing.T) { forEach(t, testNames) }

func testNames(t *testing.T, s *Store) {
	c := calendar(t, s)
	mirror(t, s, &c, bridge.MirrorPage{Rows: []bridge.Row{row("A", "A", bridge.KindSingle, 1)}, Marks: []bridge.Mark{{Series: "A", Stage: bridge.StageDerive, Complete: true}}})
	if err := s.Stage(t.Context(), c.ID, c.Seq, []bridge.Derived{{Series: "A", Object: served("hash.ics", "A", "global"), Unsettled: true}}); err != nil {
		t.Fatal(err)
	}
	publish(t, s, c.ID, 1)
	set := func(n bridge.Name) {
		t.Helper()
		if err := s.SetName(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	alias := bridge.Name{Calendar: c.ID, Object: "guess.ics", Series: "A", Alias: true}
	set(alias)
	if have := must(s.Calendar(t.Context(), c.ID))(t); have.Written || have.Seq != c.Seq {
		t.Errorf("an alias changes no object: %+v", have)
	}
	name := bridge.Name{Calendar: c.ID, Object: "mine.ics", Series: "A", UID: "mine"}
	set(name)
	have := must(s.Calendar(t.Context(), c.ID))(t)
	if !have.Written || have.Seq != c.Seq+1 {
		t.Errorf("written %t, seq %d", have.Written, have.Seq)
	}
	if m := must(s.MarksOf(t.Context(), c.ID, []graph.EventID{"A", "Z"}))(t); !cmp.Equal(m, map[graph.EventID]bridge.Mark{"A": {Series: "A", Stage: bridge.StageDerive, Complete: true}}) {
		t.Errorf("%+v", m)
	}
	if err := s.Stage(t.Context(), c.ID, c.Seq, nil); !errors.Is(err, bridge.ErrConflict) {
		t.Errorf("an object that was made without the name: %v", err)
	}
	if d := cmp.Diff([]bridge.Name{name, alias}, must(s.Names(t.Context(), c.ID, "A", "B"))(t)); d != "" {
		t.Error(d)
	}
	name.Object, name.Gone = "moved.ics", now
	set(name)
	if d := cmp.Diff([]bridge.Name{name, alias}, must(s.Names(t.Context(), c.ID, "A"))(t)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(alias, must(s.Named(t.Context(), c.ID, "guess.ics"))(t)); d != "" {
		t.Error(d)
	}
	set(bridge.Name{Calendar: c.ID, Object: "moved.ics", Series: "B", UID: "mine"}) // recreated by the client
	if n := must(s.Named(t.Context(), c.ID, "moved.ics"))(t); n.Series != "B" || !n.Gone.IsZero() {
		t.Errorf("%+v", n)
	}
	if err := errors.Join(s.ForgetName(t.Context(), c.ID, "moved.ics"), s.ForgetName(t.Context(), c.ID, "nothing")); err != nil {
		t.Error(err)
	}
	if _, err := s.Named(t.Context(), c.ID, "moved.ics"); !errors.Is(err, bridge.ErrNotFound) {
		t.Error(err)
	}

	if err := s.Stage(t.Context(), c.ID, must(s.Calendar(t.Context(), c.ID))(t).Seq, []bridge.Derived{{Series: "A", Object: served("mine.ics", "A", "mine"), Left: left("hash.ics", "A", "global")}}); err != nil {
		t.Fatal(err)
	}
	for series, want := range map[graph.EventID]bool{"A": false, "B": true} {
		if taken := must(s.NameTaken(t.Context(), c.ID, series, "mine.ics"))(t); taken != want {
			t.Errorf("staged, taken for %s: %t", series, taken)
		}
	}
	publish(t, s, c.ID, 2)
	if taken := must(s.NameTaken(t.Context(), c.ID, "B", "mine.ics"))(t); !taken {
		t.Error("published and not taken")
	}
	if taken := must(s.NameTaken(t.Context(), c.ID, "B", "hash.ics"))(t); taken {
		t.Error("what is gone is taken")
	}
	got := must(s.ObjectsOfUID(t.Context(), c.Account, "mine", "global"))(t)
	if len(got) != 1 || got[0].Name != "mine.ics" || got[0].Series != "A" || got[0].UID != "mine" || got[0].Calendar != c.ID || got[0].Data != nil {
		t.Errorf("%+v", got)
	}
	whole := must(s.Object(t.Context(), c.ID, "mine.ics"))(t)
	if whole.Series != "A" || whole.UID != "mine" || string(whole.Data) == "" {
		t.Errorf("%+v", whole)
	}
	if _, err := s.SetCalendars(t.Context(), c.Account, nil); err != nil {
		t.Fatal(err)
	}
	if list := must(s.Names(t.Context(), c.ID, "A", "B"))(t); len(list) != 0 {
		t.Errorf("names of a calendar that is gone: %+v", list)
	}
}

func TestOverlays(t *testing.T) { forEach(t, testOverlays) }

func testOverlays(t *testing.T, s *Store) {
	c := calendar(t, s)
	mirror(t, s, &c, bridge.MirrorPage{Marks: []bridge.Mark{{Series: "A", Stage: bridge.StageClean, Complete: true}, {Series: "B", Stage: bridge.StageRead}}})
	o := convert.Overlay{Parts: map[string]convert.OverlayPart{"": {Lines: []string{"X-MOZ-LASTACK:20261127T090000Z"}}, "20261127": {Alarms: []string{"BEGIN:VALARM\nEND:VALARM"}}}}
	for _, series := range []graph.EventID{"A", "B"} {
		if err := s.SetOverlay(t.Context(), c.ID, series, o); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(o, must(s.Overlay(t.Context(), c.ID, "A"))(t)); d != "" {
		t.Error(d)
	}
	if all := must(s.Overlays(t.Context(), c.ID, []graph.EventID{"A", "B", "C"}))(t); len(all) != 2 {
		t.Errorf("%+v", all)
	}
	want := map[graph.EventID]bridge.Mark{"A": {Series: "A", Stage: bridge.StageDerive, Complete: true}, "B": {Series: "B", Stage: bridge.StageRead}}
	if d := cmp.Diff(want, must(s.MarksOf(t.Context(), c.ID, []graph.EventID{"A", "B"}))(t)); d != "" {
		t.Error(d)
	}
	if err := s.Stage(t.Context(), c.ID, c.Seq, nil); !errors.Is(err, bridge.ErrConflict) {
		t.Errorf("an object that was made without the overlay: %v", err)
	}
	if err := s.SetOverlay(t.Context(), c.ID, "A", convert.Overlay{}); err != nil {
		t.Fatal(err)
	}
	if all := must(s.Overlays(t.Context(), c.ID, []graph.EventID{"A"}))(t); len(all) != 0 {
		t.Errorf("an empty overlay is kept: %+v", all)
	}
}

func TestFences(t *testing.T) { forEach(t, testFences) }

func testFences(t *testing.T, s *Store) {
	c := calendar(t, s)
	at := now.Add(123456700)
	for _, f := range []bridge.Fence{{At: at.Add(-1)}, {At: at, Gone: true}, {At: at.Add(-time.Hour)}} {
		if err := s.SetFence(t.Context(), c.ID, "A", f); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetFence(t.Context(), c.ID, "B", bridge.Fence{At: at}); err != nil {
		t.Fatal(err)
	}
	want := map[graph.EventID]bridge.Fence{"A": {At: at, Gone: true}, "B": {At: at}}
	if d := cmp.Diff(want, must(s.Fences(t.Context(), c.ID, []graph.EventID{"A", "B", "C"}))(t)); d != "" {
		t.Error(d)
	}
	if have := must(s.Calendar(t.Context(), c.ID))(t); !have.Fenced.Equal(now) || have.Seq != c.Seq+4 || have.Written {
		t.Errorf("%+v", have)
	}
	if err := s.ForgetIntents(t.Context(), now.Add(bridge.FenceAge+time.Second), now); err != nil {
		t.Fatal(err)
	}
	if left := must(s.Fences(t.Context(), c.ID, []graph.EventID{"A", "B"}))(t); len(left) != 0 {
		t.Errorf("%+v", left)
	}
}

func TestVersions(t *testing.T) { forEach(t, testVersions) }

func testVersions(t *testing.T, s *Store) {
	c := calendar(t, s)
	at := now
	show := func(list ...*bridge.Object) {
		t.Helper()
		var derived []bridge.Derived
		for _, o := range list {
			derived = append(derived, bridge.Derived{Series: o.Series, Object: o})
		}
		if err := s.Stage(t.Context(), c.ID, c.Seq, derived); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Publish(t.Context(), c.ID, at); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Hour)
	}
	state := func(n int) *bridge.Object {
		o := served("a.ics", "A", "uid")
		o.ETag, o.Data = fmt.Sprint("etag-", n), fmt.Append(nil, "octets ", n)
		return o
	}
	count := func() (n int) {
		t.Helper()
		if err := s.read.row(t.Context(), `SELECT count(*) FROM version`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	show(state(0), served("b.ics", "B", "other"))
	show(state(1))
	if count() != 0 {
		t.Error("a calendar that is only read keeps versions")
	}
	if err := s.SetVersioned(t.Context(), c.ID, true); err != nil {
		t.Fatal(err)
	}
	for n := 2; n <= 4; n++ {
		show(state(n))
	}
	if count() != 3 {
		t.Errorf("%d versions", count())
	}
	was := must(s.Version(t.Context(), c.ID, "a.ics", "etag-2"))(t)
	if string(was.Data) != "octets 2" || was.UID != "uid" || was.Series != "A" {
		t.Errorf("%+v", was)
	}
	since := func(etag string) (list []string) {
		t.Helper()
		for _, o := range must(s.VersionsSince(t.Context(), c.ID, "a.ics", etag))(t) {
			list = append(list, string(o.Data))
		}
		return list
	}
	if d := cmp.Diff([]string{"octets 3", "octets 4"}, since("etag-2")); d != "" {
		t.Error(d)
	}
	if list := since("etag-4"); len(list) != 0 {
		t.Errorf("%q", list)
	}
	for _, etag := range []string{"etag-0", "etag-9"} {
		if _, err := s.Version(t.Context(), c.ID, "a.ics", etag); !errors.Is(err, bridge.ErrNotFound) {
			t.Errorf("%s: %v", etag, err)
		}
		if _, err := s.VersionsSince(t.Context(), c.ID, "a.ics", etag); !errors.Is(err, bridge.ErrNotFound) {
			t.Errorf("%s: %v", etag, err)
		}
	}
	for n := 5; n <= 20; n++ {
		show(state(n))
	}
	if count() != bridge.VersionsFew {
		t.Errorf("%d versions", count())
	}
	if d := cmp.Diff([]string{"octets 19", "octets 20"}, since("etag-18")); d != "" {
		t.Error(d)
	}
	at = at.Add(bridge.VersionAge)
	show(state(21))
	if count() != 1 {
		t.Errorf("%d versions after a week", count())
	}
	if err := s.ForgetIntents(t.Context(), at.Add(bridge.VersionAge), now); err != nil || count() != 0 {
		t.Errorf("%d versions, %v", count(), err)
	}
	show(state(22))
	if err := s.SetVersioned(t.Context(), c.ID, false); err != nil || count() != 0 {
		t.Errorf("%d versions, %v", count(), err)
	}
}

// TestSchema6: a database of before there was writing is the same after it, and can be written to.
func TestSchema6(t *testing.T) {
	path, key := filepath.Join(t.TempDir(), "outbridge.db"), freshKey()
	db := must(sql.Open("sqlite", path))(t)
	files := fstest.MapFS{}
	names := must(fs.Glob(migrations, "migrations/sqlite/000[1-6]_*.sql"))(t)
	if len(names) != 6 {
		t.Fatalf("%q", names)
	}
	for _, name := range names {
		files[filepath.Base(name)] = &fstest.MapFile{Data: must(migrations.ReadFile(name))(t)}
	}
	if _, err := must(goose.NewProvider(goose.DialectSQLite3, db, files))(t).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{
		`INSERT INTO account (name) VALUES ('alice')`,
		`INSERT INTO calendar (account_id, graph_id, name, display_name, color, can_edit, is_default, owner, position, epoch, modified, seq, rev)
			VALUES (1, 'AAMk=', 'calendar', 'Calendar', '', 1, 1, 'alice@x.example', 1, 'e', 7, 4, 9)`,
		`INSERT INTO event (calendar_id, id, series, kind, round, raw) VALUES (1, 'A', 'A', 'single', 1, '{}')`,
		`INSERT INTO series (calendar_id, id, stage) VALUES (1, 'A', 0)`,
		`INSERT INTO object (calendar_id, name, series, uid, etag, rev, sequence, stamp, modified, first_start, deleted, size, data)
			VALUES (1, 'a.ics', 'A', 'uid', 'etag', 9, 2, 5, 6, 1, 0, 1, 'x')`,
	} {
		if _, err := db.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := must(Open(t.Context(), path, key))(t)
	defer s.Close()
	c := must(s.Calendar(t.Context(), 1))(t)
	if c.Seq != 4 || c.Rev != 9 || c.Written || c.Versioned || !c.Fenced.IsZero() {
		t.Errorf("%+v", c)
	}
	if o := must(s.Object(t.Context(), 1, "a.ics"))(t); o.ETag != "etag" || o.Series != "A" || o.Sequence != 2 {
		t.Errorf("%+v", o)
	}
	must(s.AddIntent(t.Context(), intent(c, "a.ics", "A")))(t)
	if err := errors.Join(s.SetOverlay(t.Context(), 1, "A", convert.Overlay{}), s.SetFence(t.Context(), 1, "A", bridge.Fence{At: now})); err != nil {
		t.Error(err)
	}
}

// TestWrittenIsRestored: a backup has what clients have written, and what was under way when it was made is not repeated.
func TestWrittenIsRestored(t *testing.T) {
	dir := t.TempDir()
	path, copied, key := filepath.Join(dir, "outbridge.db"), filepath.Join(dir, "copy"), freshKey()
	s := must(Open(t.Context(), path, key))(t)
	c := calendar(t, s)
	must(s.AddIntent(t.Context(), intent(c, "a.ics", "A")))(t)
	o := convert.Overlay{Parts: map[string]convert.OverlayPart{"": {Lines: []string{"X-A:1"}}}}
	err := errors.Join(s.SetOverlay(t.Context(), c.ID, "A", o), s.SetName(t.Context(), bridge.Name{Calendar: c.ID, Object: "a.ics", Series: "A", UID: "u"}),
		s.SetFence(t.Context(), c.ID, "A", bridge.Fence{At: now}), s.SetVersioned(t.Context(), c.ID, true),
		Backup(t.Context(), path, copied, false), s.Close())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), copied, path); err != nil {
		t.Fatal(err)
	}
	s = must(Open(t.Context(), path, key))(t)
	defer s.Close()
	if open := must(s.OpenIntents(t.Context(), c.Account))(t); len(open) != 0 {
		t.Errorf("%+v", open)
	}
	list := must(s.Intents(t.Context(), c.Account, 9))(t)
	if len(list) != 1 || list[0].State != bridge.IntentUnknown {
		t.Errorf("%+v", list)
	}
	if d := cmp.Diff(o, must(s.Overlay(t.Context(), c.ID, "A"))(t)); d != "" {
		t.Error(d)
	}
	must(s.Named(t.Context(), c.ID, "a.ics"))(t)
	if c = must(s.Calendar(t.Context(), c.ID))(t); !c.Written || !c.Versioned || c.Fenced.IsZero() {
		t.Errorf("%+v", c)
	}
	if f := must(s.Fences(t.Context(), c.ID, []graph.EventID{"A"}))(t); len(f) != 1 {
		t.Errorf("%+v", f)
	}
}
