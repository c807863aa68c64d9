package sqlstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// freshKey is a random key that is kept nowhere.
func freshKey() Key {
	secret := make([]byte, keySize)
	rand.Read(secret)
	k, err := newKey(secret)
	if err != nil {
		panic(err) // AES takes any 32 bytes
	}
	return k
}

var now = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// calendar makes an account with one calendar.
func calendar(t *testing.T, s *Store) bridge.Calendar {
	t.Helper()
	a, err := s.EnsureAccount(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetCalendars(t.Context(), a.ID, []bridge.Calendar{{GraphID: "AAMk=", Name: "calendar", DisplayName: "Calendar", Modified: now}}); err != nil {
		t.Fatal(err)
	}
	list, err := s.Calendars(t.Context(), a.ID)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	return list[0]
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbridge.key")
	k, err := ReadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	again, err := ReadKey(path)
	if err != nil || !bytes.Equal(k.digest("password", "x"), again.digest("password", "x")) {
		t.Errorf("the key that was made is not the one that is read: %v", err)
	}
	for mode, fix := range map[os.FileMode]string{
		0o600: "", 0o400: "", 0o440: "", 0o640: "", // as Kubernetes and Docker hand it over: the group is ours
		0o660: "chmod 640", 0o604: "chmod 600", 0o644: "chmod 600", 0o602: "chmod 600",
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKey(path); (err == nil) != (fix == "") || err != nil && !strings.Contains(err.Error(), fix) {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Chmod(path, 0o640), os.Chown(path, 0, 4242)); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKey(path); err == nil || !strings.Contains(err.Error(), "group 4242") {
			t.Errorf("a key file that another group may read: %v", err)
		}
	}
	for _, bad := range []string{"", "short", strings.Repeat("z", 64), strings.Repeat("ab", 31)} {
		if err := errors.Join(os.WriteFile(path, []byte(bad), 0o600), os.Chmod(path, 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKey(path); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("key file %q: %v", bad, err)
		}
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbridge.db")
	s, err := Open(t.Context(), path, freshKey())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal"} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("others may read %s: %v, %v", filepath.Base(name), info.Mode(), err)
		}
	}
	if _, err := s.write.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(t.Context(), path, freshKey()); err == nil || !strings.Contains(err.Error(), "newer outbridge") {
		t.Errorf("a newer schema: %v", err)
	}
}

func TestNoDatabaseAtAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "text.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("this is no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, freshKey()); err == nil || !strings.Contains(err.Error(), "text.db") {
		t.Errorf("a text file as database: %v", err)
	}
}

func TestTokens(t *testing.T) { forEach(t, testTokens) }

func testTokens(t *testing.T, s *Store) {
	a := must(s.EnsureAccount(t.Context(), "alice"))(t)
	tokens := s.Tokens(a.ID)
	if _, err := tokens.LoadToken(t.Context()); !errors.Is(err, graph.ErrNoToken) {
		t.Fatalf("no token: %v", err)
	}
	first := &oauth2.Token{AccessToken: "access-one", RefreshToken: "refresh-one", Expiry: now}
	if err := tokens.SaveToken(t.Context(), &oauth2.Token{RefreshToken: "other"}, first); !errors.Is(err, graph.ErrTokenChanged) {
		t.Fatalf("replacing what is not there: %v", err)
	}
	if err := tokens.SaveToken(t.Context(), nil, first); err != nil {
		t.Fatal(err)
	}
	second := &oauth2.Token{AccessToken: "access-two", RefreshToken: "refresh-two", Expiry: now}
	if err := tokens.SaveToken(t.Context(), first, second); err != nil {
		t.Fatal(err)
	}
	if err := tokens.SaveToken(t.Context(), first, first); !errors.Is(err, graph.ErrTokenChanged) {
		t.Fatalf("a lost race: %v", err)
	}
	got := must(tokens.LoadToken(t.Context()))(t)
	if got.AccessToken != "access-two" || got.RefreshToken != "refresh-two" || !got.Expiry.Equal(now) {
		t.Errorf("loaded %+v", got)
	}
	if a := must(s.Account(t.Context(), "alice"))(t); a.TokenVersion != 2 {
		t.Errorf("token version %d, want 2", a.TokenVersion)
	}

	// Nothing of it is readable in the file, and another key does not open it.
	var box []byte
	if err := s.read.QueryRow(`SELECT token FROM account`).Scan(&box); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"access-two", "refresh-two"} {
		if bytes.Contains(box, []byte(secret)) {
			t.Error("the token is stored in the clear")
		}
	}
	s.key = freshKey()
	if _, err := tokens.LoadToken(t.Context()); err == nil || !strings.Contains(err.Error(), "key file") {
		t.Errorf("another key: %v", err)
	}
	if err := s.CheckKey(t.Context()); err == nil || !strings.Contains(err.Error(), "key file") {
		t.Errorf("another key: %v", err)
	}
	if err := tokens.SaveToken(t.Context(), nil, first); err != nil {
		t.Errorf("signing in again after a lost key: %v", err)
	}
	if err := s.CheckKey(t.Context()); err != nil {
		t.Errorf("after signing in again: %v", err)
	}
}

func row(id, series, kind string, round int64) bridge.Row {
	return bridge.Row{ID: graph.EventID(id), Series: graph.EventID(series), Kind: kind, Round: round, Raw: []byte(`{"id":"` + id + `"}`),
		Span: convert.Span{Start: now, End: now.Add(time.Hour)}}
}

func TestMirror(t *testing.T) { forEach(t, testMirror) }

func testMirror(t *testing.T, s *Store) {
	c := calendar(t, s)
	page := bridge.MirrorPage{
		Calendar: c.ID,
		Rows:     []bridge.Row{row("a", "a", bridge.KindSingle, 1), row("A", "A", bridge.KindSingle, 1), row("o/1=", "m", bridge.KindOccurrence, 1)},
		Marks:    []bridge.Mark{{Series: "a", Stage: bridge.StageDerive}, {Series: "A", Stage: bridge.StageDerive}, {Series: "m", Stage: bridge.StageRead}},
		Cursor:   &bridge.Cursor{Link: "http://x/?$skiptoken=1", Phase: bridge.PhaseOpening, Round: 1, Opened: 1, Window: convert.Span{Start: now, End: now.AddDate(1, 0, 0)}},
	}
	if seq, err := s.Mirror(t.Context(), page); err != nil || seq != 1 {
		t.Fatal(seq, err)
	}
	// The same page from a round that is behind changes nothing, and says so.
	lost := page
	lost.Gone = []graph.EventID{"a"}
	if _, err := s.Mirror(t.Context(), lost); !errors.Is(err, bridge.ErrConflict) {
		t.Fatalf("a stale seq: %v", err)
	}
	got := must(s.Calendar(t.Context(), c.ID))(t)
	if got.Seq != 1 || got.Cursor != "http://x/?$skiptoken=1" || got.Phase != bridge.PhaseOpening || !got.Window.Start.Equal(now) {
		t.Errorf("calendar is %+v", got)
	}
	rows := must(s.Rows(t.Context(), c.ID, []graph.EventID{"a", "o/1=", "nowhere"}))(t)
	if len(rows) != 2 {
		t.Errorf("found %v", rows)
	}
	if d := cmp.Diff(row("o/1=", "m", bridge.KindOccurrence, 1), rows["o/1="]); d != "" {
		t.Error(d)
	}
	marks := must(s.Marked(t.Context(), c.ID, bridge.StageDerive, "", 10))(t)
	if len(marks) != 2 || marks[0].Series != "A" || marks[1].Series != "a" {
		t.Errorf("ids that differ by case only: %v", marks)
	}
	if n := must(s.CountMarked(t.Context(), c.ID, bridge.StageRead))(t); n != 1 {
		t.Errorf("%d to read", n)
	}
	list := must(s.Unlisted(t.Context(), c.ID, 2, 10))(t)
	if len(list) != 2 {
		t.Errorf("unlisted: %v", list)
	}
	_, err := s.Mirror(t.Context(), bridge.MirrorPage{Calendar: c.ID, Seq: 1, Gone: []graph.EventID{"a"}, Marks: []bridge.Mark{{Series: "m", Stage: bridge.StageDerive, Complete: true}}})
	if err != nil {
		t.Fatal(err)
	}
	marks = must(s.Marked(t.Context(), c.ID, bridge.StageDerive, "a", 10))(t)
	if len(marks) != 1 || !marks[0].Complete {
		t.Errorf("marks after a: %v", marks)
	}
}

func object(name, text string, first time.Time, last time.Time) *bridge.Object {
	return &bridge.Object{Series: graph.EventID("series of " + name), Name: name, UID: "uid of " + name, ETag: fmt.Sprintf("%x", sha256.Sum256([]byte(text))),
		Stamp: now, First: first, Last: last, Data: []byte(text), Size: len(text)}
}

func stage(t *testing.T, s *Store, c bridge.CalendarID, objects ...*bridge.Object) {
	t.Helper()
	var list []bridge.Derived
	for _, o := range objects {
		list = append(list, bridge.Derived{Series: o.Series, Object: o})
	}
	seq := must(s.Calendar(t.Context(), c))(t).Seq
	if err := s.Stage(t.Context(), c, seq, list); err != nil {
		t.Fatal(err)
	}
}

func publish(t *testing.T, s *Store, c bridge.CalendarID, want int) {
	t.Helper()
	changed, _, err := s.Publish(t.Context(), c, now)
	if err != nil || changed != want {
		t.Fatalf("published %d, want %d: %v", changed, want, err)
	}
}

// A page of objects is bounded by its octets too, and all of them are listed for that.
func TestPagesOfLargeObjects(t *testing.T) { forEach(t, testPagesOfLargeObjects) }

func testPagesOfLargeObjects(t *testing.T, s *Store) {
	c := calendar(t, s)
	var names []string
	for i := range 7 {
		name := fmt.Sprintf("%d.ics", i)
		names = append(names, name)
		stage(t, s, c.ID, object(name, strings.Repeat("x", bridge.PageOctets*2/5), now, now.Add(time.Hour)))
	}
	publish(t, s, c.ID, len(names))
	for _, q := range []bridge.ObjectQuery{{WithData: true}, {WithData: true, Names: names}, {}} {
		q.Limit = 10
		want := len(names)
		if q.WithData {
			want = 3
		}
		if page := must(s.Objects(t.Context(), c.ID, q))(t); len(page) != want {
			t.Errorf("%d on a page, want %d", len(page), want)
		}
		var got []string
		for o, err := range bridge.Objects(t.Context(), s, c.ID, q) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, o.Name)
		}
		if !slices.Equal(got, names) {
			t.Errorf("listed %v", got)
		}
	}
}

func TestPublish(t *testing.T) { forEach(t, testPublish) }

func testPublish(t *testing.T, s *Store) {
	c := calendar(t, s)
	names := func(q bridge.ObjectQuery) (list []string) {
		q.Limit = 10
		for _, o := range must(s.Objects(t.Context(), c.ID, q))(t) {
			list = append(list, o.Name)
		}
		return list
	}
	stage(t, s, c.ID, object("b.ics", "two", now, now.Add(time.Hour)), object("a.ics", "one", now.AddDate(0, 1, 0), time.Time{}))
	if list := names(bridge.ObjectQuery{}); list != nil {
		t.Errorf("staged objects are seen: %v", list)
	}
	publish(t, s, c.ID, 2)
	publish(t, s, c.ID, 0)
	cal := must(s.Calendar(t.Context(), c.ID))(t)
	if cal.Rev != 2 || !cal.Modified.Equal(now.Add(time.Second)) {
		t.Errorf("rev %d, modified %s", cal.Rev, cal.Modified)
	}
	if list := names(bridge.ObjectQuery{Start: now.AddDate(5, 0, 0)}); !slices.Equal(list, []string{"a.ics"}) {
		t.Errorf("five years on: %v", list)
	}
	if list := names(bridge.ObjectQuery{End: now.AddDate(0, 0, 1)}); !slices.Equal(list, []string{"b.ics"}) {
		t.Errorf("until tomorrow: %v", list)
	}
	if list := names(bridge.ObjectQuery{Names: []string{"b.ics", "none.ics"}}); !slices.Equal(list, []string{"b.ics"}) {
		t.Errorf("by name: %v", list)
	}
	if list := names(bridge.ObjectQuery{After: "a.ics"}); !slices.Equal(list, []string{"b.ics"}) {
		t.Errorf("after a: %v", list)
	}

	// Changed and changed back before anybody saw it is no change.
	stage(t, s, c.ID, object("a.ics", "one, changed", now.AddDate(0, 1, 0), time.Time{}))
	if o := must(s.SeriesObject(t.Context(), c.ID, "series of a.ics"))(t); string(o.Data) != "one, changed" {
		t.Errorf("the staged object is %q", o.Data)
	}
	stage(t, s, c.ID, object("a.ics", "one", now.AddDate(0, 1, 0), time.Time{}))
	publish(t, s, c.ID, 0)

	gone := object("b.ics", "", now, now)
	gone.Deleted, gone.Data = true, nil
	stage(t, s, c.ID, gone, object("a.ics", "three", now, now.Add(time.Hour)))
	publish(t, s, c.ID, 2)
	if _, err := s.Object(t.Context(), c.ID, "b.ics"); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("a deleted object: %v", err)
	}
	changes := must(s.Changes(t.Context(), c.ID, 2, 10))(t)
	if len(changes) != 2 || changes[0].Rev != 3 || changes[0].Name != "a.ics" || !changes[1].Deleted || changes[1].Rev != 4 {
		t.Errorf("changes: %+v", changes)
	}
	if taken := must(s.UIDTaken(t.Context(), c.ID, "another", "uid of b.ics"))(t); taken {
		t.Error("the UID of a deleted object is taken")
	}
	if taken := must(s.UIDTaken(t.Context(), c.ID, "another", "uid of a.ics"))(t); !taken {
		t.Error("the UID of an object is free")
	}
	// A deleted object that was never seen leaves no tombstone.
	gone2 := object("never.ics", "", now, now)
	gone2.Deleted, gone2.Data = true, nil
	stage(t, s, c.ID, gone2)
	publish(t, s, c.ID, 0)
}

// TestPublishMany publishes more than one statement does: each object once, by name, with a rev of its own.
func TestPublishMany(t *testing.T) { forEach(t, testPublishMany) }

func testPublishMany(t *testing.T, s *Store) {
	c := calendar(t, s)
	for round := range 2 {
		const n = 2*publishStep + 7
		var list []*bridge.Object
		for i := range n {
			list = append(list, object(fmt.Sprintf("%06d.ics", (i*7919)%n), fmt.Sprintf("%d in round %d", i, round), now, now.Add(time.Hour)))
		}
		stage(t, s, c.ID, list...)
		publish(t, s, c.ID, n)
		from := int64(round * n)
		changes := must(s.Changes(t.Context(), c.ID, from, 2*n))(t)
		if len(changes) != n {
			t.Fatalf("round %d: %d changes", round, len(changes))
		}
		for i, o := range changes {
			if o.Name != fmt.Sprintf("%06d.ics", i) || o.Rev != from+int64(i)+1 {
				t.Fatalf("round %d: change %d is %s with rev %d", round, i, o.Name, o.Rev)
			}
		}
		if rev := must(s.Calendar(t.Context(), c.ID))(t).Rev; rev != from+n {
			t.Errorf("round %d: rev %d", round, rev)
		}
	}
}

func TestStageOfAnOldMirrorIsRefused(t *testing.T) { forEach(t, testStageOfAnOldMirrorIsRefused) }

func testStageOfAnOldMirrorIsRefused(t *testing.T, s *Store) {
	c := calendar(t, s)
	if _, err := s.Mirror(t.Context(), bridge.MirrorPage{Calendar: c.ID, Rows: []bridge.Row{row("a", "a", bridge.KindSingle, 1)}}); err != nil {
		t.Fatal(err)
	}
	o := object("a.ics", "x", now, now)
	if err := s.Stage(t.Context(), c.ID, 0, []bridge.Derived{{Series: "a", Object: o}}); !errors.Is(err, bridge.ErrConflict) {
		t.Errorf("staged from an old mirror: %v", err)
	}
}

func TestCalendarsFollowTheList(t *testing.T) { forEach(t, testCalendarsFollowTheList) }

func testCalendarsFollowTheList(t *testing.T, s *Store) {
	first := calendar(t, s)
	list := []bridge.Calendar{
		{GraphID: "new", Name: "calendar", DisplayName: "Another", Modified: now, Order: 1},
		{GraphID: first.GraphID, Name: "ignored", DisplayName: "Renamed", Color: "#112233", Modified: now, Order: 2},
	}
	if changed := must(s.SetCalendars(t.Context(), first.Account, list))(t); !changed {
		t.Error("nothing changed")
	}
	if changed := must(s.SetCalendars(t.Context(), first.Account, list))(t); changed {
		t.Error("the same list changed something")
	}
	got := must(s.Calendars(t.Context(), first.Account))(t)
	if len(got) != 2 || got[0].Name != "calendar-2" || got[1].Name != "calendar" || got[1].DisplayName != "Renamed" || got[1].ID != first.ID {
		t.Errorf("calendars: %+v", got)
	}
	if got[0].Epoch == got[1].Epoch {
		t.Error("two calendars have one epoch")
	}
	must(s.SetCalendars(t.Context(), first.Account, list[:1]))(t)
	if _, err := s.Calendar(t.Context(), first.ID); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("the removed calendar: %v", err)
	}
	if _, err := s.UserCalendar(t.Context(), "alice", "calendar-2"); err != nil {
		t.Error(err)
	}
	if _, err := s.UserCalendar(t.Context(), "bob", "calendar-2"); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("somebody else's calendar: %v", err)
	}
}

// TestCalendarsOfTwoMailboxes: ids are a mailbox's own, so two may have the same.
func TestCalendarsOfTwoMailboxes(t *testing.T) { forEach(t, testCalendarsOfTwoMailboxes) }

func testCalendarsOfTwoMailboxes(t *testing.T, s *Store) {
	own := calendar(t, s)
	guest := bridge.Calendar{Mailbox: "boss@contoso.example", GraphID: own.GraphID, Name: "calendar", DisplayName: "The Boss", Modified: now}
	must(s.SetCalendars(t.Context(), own.Account, []bridge.Calendar{own, guest}))(t)
	cals := must(s.Calendars(t.Context(), own.Account))(t)
	if len(cals) != 2 || cals[0].ID != own.ID || cals[1].Mailbox != guest.Mailbox || cals[1].GraphID != own.GraphID || cals[1].Name != "calendar-2" {
		t.Fatalf("calendars %+v", cals)
	}
	if changed := must(s.SetCalendars(t.Context(), own.Account, []bridge.Calendar{own, guest}))(t); changed {
		t.Error("the same list is a change")
	}
	for _, c := range cals {
		must(s.Mirror(t.Context(), bridge.MirrorPage{Calendar: c.ID, Seq: c.Seq, Rows: []bridge.Row{row("e", "e", bridge.KindSingle, 1)}}))(t)
	}
	if found := must(s.Elsewhere(t.Context(), own.ID, []graph.EventID{"e"}))(t); len(found) != 0 {
		t.Errorf("an event of another mailbox is taken for one that has moved: %v", found)
	}
	must(s.SetCalendars(t.Context(), own.Account, []bridge.Calendar{own}))(t)
	if cals := must(s.Calendars(t.Context(), own.Account))(t); len(cals) != 1 || cals[0].Mailbox != "" {
		t.Errorf("calendars %+v", cals)
	}
}

func TestPropertiesGoWithTheCalendar(t *testing.T) { forEach(t, testPropertiesGoWithTheCalendar) }

func testPropertiesGoWithTheCalendar(t *testing.T, s *Store) {
	c := calendar(t, s)
	color := xml.Name{Space: "http://apple.com/ns/ical/", Local: "calendar-color"}
	path, other := bridge.PropertyPath("alice", c.Name), bridge.PropertyPath("alice", c.Name+"-2")
	set := func(user, path string) {
		if err := s.SetProperties(t.Context(), user, path, map[xml.Name]string{color: "#112233FF"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	set("alice", path)
	set("alice", other)
	set("bob", path)
	check := func(step, user, path string, want int) {
		t.Helper()
		if got := must(s.Properties(t.Context(), user, path))(t); len(got) != want {
			t.Errorf("%s: %s of %s: %v", step, path, user, got)
		}
	}
	c.Name, c.Modified = "calendar", now
	must(s.SetCalendars(t.Context(), c.Account, []bridge.Calendar{c, {GraphID: "second", Name: "calendar", DisplayName: "Second", Modified: now}}))(t)
	check("kept", "alice", path, 1)
	check("a new calendar has what one of its name had", "alice", other, 0)
	set("alice", other)
	must(s.SetCalendars(t.Context(), c.Account, []bridge.Calendar{{GraphID: "second", Name: "calendar", DisplayName: "Second", Modified: now}}))(t)
	check("removed", "alice", path, 0)
	check("another calendar", "alice", other, 1)
	check("another user", "bob", path, 1)
}

// What was read is what is there, whoever changed it, this store or another on the same file.
func TestCachedRows(t *testing.T) { forEachDatabase(t, testCachedRows) }

func testCachedRows(t *testing.T, path string) {
	key := freshKey()
	var stores []*Store
	for range 2 {
		s, err := Open(t.Context(), path, key)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		stores = append(stores, s)
	}
	s := stores[0]
	c := calendar(t, s)
	for i, writer := range []*Store{s, stores[1], s} {
		p, secret, err := writer.AddPassword(t.Context(), "alice", "", now)
		if err != nil {
			t.Fatal(err)
		}
		for _, ctx := range []context.Context{t.Context(), t.Context(), s.Once(t.Context())} {
			if !checks(ctx, t, s, "alice", secret) || checks(ctx, t, s, "bob", secret) {
				t.Errorf("writer %d: the password is not alice's", i)
			}
		}
		if err := writer.RevokePassword(t.Context(), "alice", p.ID); err != nil {
			t.Fatal(err)
		}
		for _, ctx := range []context.Context{t.Context(), t.Context(), s.Once(t.Context())} {
			if checks(ctx, t, s, "alice", secret) {
				t.Errorf("writer %d: a revoked password is good", i)
			}
		}
		name := fmt.Sprint("Name ", i)
		must(writer.SetCalendars(t.Context(), c.Account, []bridge.Calendar{{GraphID: c.GraphID, Name: c.Name, DisplayName: name, Modified: now}}))(t)
		if got := must(s.UserCalendar(s.Once(t.Context()), "alice", c.Name))(t); got.DisplayName != name {
			t.Errorf("writer %d: %s, want %s", i, got.DisplayName, name)
		}
	}
}

func TestPasswords(t *testing.T) { forEach(t, testPasswords) }

func testPasswords(t *testing.T, s *Store) {
	p, secret, err := s.AddPassword(t.Context(), "alice", "phone", now)
	if err != nil || len(secret) < 26 {
		t.Fatal(secret, err)
	}
	_, other, err := s.AddPassword(t.Context(), "bob", "", now)
	if err != nil || other == secret {
		t.Fatal(other, err)
	}
	for _, c := range []struct {
		user, password string
		want           bool
	}{{"alice", secret, true}, {"bob", secret, false}, {"bob", other, true}, {"alice", "", false}, {"alice", secret + "x", false}, {"", "", false}} {
		if ok := checks(t.Context(), t, s, c.user, c.password); ok != c.want {
			t.Errorf("%s with %q: %v", c.user, c.password, ok)
		}
	}
	if list := must(s.Passwords(t.Context(), "alice"))(t); len(list) != 1 || list[0] != p {
		t.Errorf("passwords: %+v", list)
	}
	if err := s.RevokePassword(t.Context(), "bob", p.ID); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("revoking somebody else's: %v", err)
	}
	if err := s.RevokePassword(t.Context(), "alice", p.ID); err != nil {
		t.Fatal(err)
	}
	if checks(t.Context(), t, s, "alice", secret) {
		t.Error("a revoked password is taken")
	}
}

func TestFeeds(t *testing.T) { forEach(t, testFeeds) }

func testFeeds(t *testing.T, s *Store) {
	f, secret, err := s.AddFeed(t.Context(), bridge.Feed{User: "alice", Name: "Work", Calendars: []bridge.CalendarID{7}, Detail: bridge.DetailBusy, Created: now})
	if err != nil {
		t.Fatal(err)
	}
	got := must(s.FeedBySecret(t.Context(), secret))(t)
	if d := cmp.Diff(f, got); d != "" || len(got.Salt) == 0 {
		t.Error(d)
	}
	f.Name, f.Calendars, f.Detail, f.Changed = "Private", []bridge.CalendarID{8, 9}, bridge.DetailFull, now.Add(time.Hour)
	f.Options = bridge.FeedOptions{Private: bridge.Blur, Categories: []string{"Réd, \"x\""}, Alarms: true, Past: "30d"}
	if err := s.ChangeFeed(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(f, must(s.FeedBySecret(t.Context(), secret))(t)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]bridge.Feed{f}, must(s.Feeds(t.Context(), "alice"))(t)); d != "" {
		t.Error(d)
	}
	for _, other := range []bridge.Feed{{ID: f.ID, User: "bob"}, {ID: f.ID + 1, User: "alice"}} {
		if err := s.ChangeFeed(t.Context(), other); !errors.Is(err, bridge.ErrNotFound) {
			t.Errorf("changing a feed that is not there: %v", err)
		}
	}
	fresh := must(s.RotateFeed(t.Context(), "alice", f.ID))(t)
	if _, err := s.FeedBySecret(t.Context(), secret); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("the old secret: %v", err)
	}
	must(s.FeedBySecret(t.Context(), fresh))(t)
	if err := s.RemoveFeed(t.Context(), "alice", f.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RotateFeed(t.Context(), "alice", f.ID); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("rotating a removed feed: %v", err)
	}
}

func TestProperties(t *testing.T) { forEach(t, testProperties) }

func testProperties(t *testing.T, s *Store) {
	color, order := xml.Name{Space: "http://apple.com/ns/ical/", Local: "calendar-color"}, xml.Name{Space: "http://apple.com/ns/ical/", Local: "calendar-order"}
	path := "/dav/calendars/alice/calendar/"
	if err := s.SetProperties(t.Context(), "alice", path, map[xml.Name]string{color: "#112233FF", order: "2"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.SetProperties(t.Context(), "alice", path, map[xml.Name]string{color: "#445566FF"}, []xml.Name{order}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[xml.Name]string{color: "#445566FF"}, must(s.Properties(t.Context(), "alice", path))(t)); d != "" {
		t.Error(d)
	}
	if m := must(s.Properties(t.Context(), "bob", path))(t); len(m) != 0 {
		t.Errorf("somebody else sees %v", m)
	}
}

// TestTwoProcesses: two stores on one file see each other's writes at once and never fail on a lock.
func TestTwoProcesses(t *testing.T) { forEachDatabase(t, testTwoProcesses) }

func testTwoProcesses(t *testing.T, path string) {
	key := freshKey()
	a := must(Open(t.Context(), path, key))(t)
	defer a.Close()
	b := must(Open(t.Context(), path, key))(t)
	defer b.Close()
	c := calendar(t, a)
	done := make(chan error, 2)
	for _, s := range []*Store{a, b} {
		go func() {
			for n := 0; n < 50; {
				cal, err := s.Calendar(t.Context(), c.ID)
				if err == nil {
					_, err = s.Mirror(t.Context(), bridge.MirrorPage{Calendar: c.ID, Seq: cal.Seq, Rows: []bridge.Row{row("x", "x", bridge.KindSingle, 1)}})
				}
				if errors.Is(err, bridge.ErrConflict) {
					continue
				}
				if err != nil {
					done <- err
					return
				}
				n++
			}
			done <- nil
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if cal := must(b.Calendar(t.Context(), c.ID))(t); cal.Seq != 100 {
		t.Errorf("seq %d, want 100", cal.Seq)
	}
}

func checks(ctx context.Context, t *testing.T, s *Store, user, password string) bool {
	t.Helper()
	_, ok, err := s.CheckPassword(ctx, user, password)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}
