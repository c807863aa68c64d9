package sqlstore

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/bridge/sqlstore/pgtest"
)

// filled is an SQLite file with something in most tables.
func filled(t *testing.T) (path string, key Key) {
	t.Helper()
	path, key = filepath.Join(t.TempDir(), "outbridge.db"), freshKey()
	s := openDatabase(t, path, key)
	ctx := t.Context()
	c := calendar(t, s)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(s.Tokens(c.Account).SaveToken(ctx, nil, &oauth2.Token{RefreshToken: "refresh"}))
	odd := row("odd", "odd", bridge.KindSingle, 1)
	odd.Subject, odd.Raw = "NUL \x00 and \xff", []byte("{\x00\xff}")
	mirror(t, s, &c, bridge.MirrorPage{Rows: []bridge.Row{row("a", "a", bridge.KindSingle, 1), odd, row("Z", "Z", bridge.KindSingle, 1)},
		Cursor: &bridge.Cursor{Link: "https://graph.example/delta?x", Phase: bridge.PhaseSteady}})
	for n := range 3 {
		stage(t, s, c.ID, object(fmt.Sprintf("%d.ics", n), "text", now, now))
		publish(t, s, c.ID, 1)
	}
	gone := object("0.ics", "", now, now)
	gone.Deleted, gone.Data = true, nil
	stage(t, s, c.ID, gone)
	publish(t, s, c.ID, 1)
	stage(t, s, c.ID, object("staged.ics", "text", now, now))
	must(s.AddIntent(ctx, intent(c, "new.ics", "Z")))(t)
	i := must(s.AddIntent(ctx, intent(c, "other.ics", "Y")))(t)
	i.State = bridge.IntentDone
	check(s.SaveIntent(ctx, i))
	check(s.ForgetIntents(ctx, i.Changed.Add(hour(1)), i.Changed.Add(hour(1)))) // the latest id is used and gone
	_, _, err := s.AddPassword(ctx, "alice", "phone", now)
	check(err)
	_, _, err = s.AddFeed(ctx, bridge.Feed{User: "alice", Kept: true, Created: now, Detail: bridge.DetailFull})
	check(err)
	check(s.SetProperties(ctx, "alice", "/p/", map[xml.Name]string{{Space: "x", Local: "y"}: "z"}, nil))
	check(s.SetOverlay(ctx, c.ID, "a", convert.Overlay{Parts: map[string]convert.OverlayPart{"": {}}}))
	check(s.SetFence(ctx, c.ID, "a", bridge.Fence{At: now}))
	check(s.SetName(ctx, bridge.Name{Calendar: c.ID, Series: "a", Object: "mine.ics"}))
	check(s.SetAdministrator(ctx, "hash", true))
	check(s.Close())
	return path, key
}

func fileSum(t *testing.T, path string) string { return string(must(os.ReadFile(path))(t)) }

// TestCopyToServer: everything is there, sealed values open, and what is new gets new ids. The file stays as it was.
func TestCopyToServer(t *testing.T) {
	t.Parallel()
	path, key := filled(t)
	before := fileSum(t, path)
	database := pgtest.URL(t)
	var done []Copied
	if err := CopyToServer(t.Context(), path, database, key, func(c Copied) { done = append(done, c) }); err != nil {
		t.Fatal(err)
	}
	if fileSum(t, path) != before {
		t.Error("the file was changed")
	}
	mended := int64(0)
	for _, c := range done {
		mended += c.Mended
		if len(c.Sum) != 64 {
			t.Errorf("%+v", c)
		}
	}
	if len(done) < 25 || mended != 1 {
		t.Errorf("%d tables, %d texts were mended", len(done), mended)
	}
	file, server := openDatabase(t, path, key), openDatabase(t, database, key)
	ctx := t.Context()
	both := func(what string, f func(*Store) (any, error)) {
		t.Helper()
		want, err1 := f(file)
		got, err2 := f(server)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", what, d)
		}
	}
	c := must(file.UserCalendar(ctx, "alice", "calendar"))(t)
	both("account", func(s *Store) (any, error) { return s.Account(ctx, "alice") })
	both("calendar", func(s *Store) (any, error) { return s.Calendar(ctx, c.ID) })
	both("token", func(s *Store) (any, error) {
		token, err := s.Tokens(c.Account).LoadToken(ctx)
		return token.RefreshToken, err
	})
	both("objects", func(s *Store) (any, error) {
		return s.Objects(ctx, c.ID, bridge.ObjectQuery{WithData: true, Limit: 100})
	})
	both("changes", func(s *Store) (any, error) { return s.Changes(ctx, c.ID, 1, 100) })
	both("intents", func(s *Store) (any, error) { return s.OpenIntents(ctx, c.Account) })
	both("feeds", func(s *Store) (any, error) { return s.Feeds(ctx, "") })
	both("feed", func(s *Store) (any, error) { return s.FeedSecret(ctx, "alice", 1) })
	both("names", func(s *Store) (any, error) { return s.Names(ctx, c.ID, "a") })
	both("history", func(s *Store) (any, error) { return s.History(ctx, c.ID, 10) })
	both("rows", func(s *Store) (any, error) { return s.Rows(ctx, c.ID, []graph.EventID{"a", "Z"}) })
	both("next ids", func(s *Store) (any, error) {
		p, _, err := s.AddPassword(ctx, "bob", "", now)
		i, err2 := s.AddIntent(ctx, intent(c, "next.ics", "X"))
		return []int64{p.ID, i.ID}, errors.Join(err, err2)
	})
	if server.BeganAgain() {
		t.Error("it is taken for one that was restored")
	}
	// What is there is not added to.
	if err := CopyToServer(ctx, path, database, key, func(Copied) {}); !errors.Is(err, bridge.ErrExists) {
		t.Errorf("a second time: %v", err)
	}
}

// TestCopyIsInterrupted: what was begun is not there, and it can be done again.
func TestCopyIsInterrupted(t *testing.T) {
	t.Parallel()
	path, key := filled(t)
	database := pgtest.URL(t)
	for _, at := range []string{"account", "calendar", "object"} {
		ctx, cancel := context.WithCancel(t.Context())
		err := CopyToServer(ctx, path, database, key, func(c Copied) {
			if c.Table == at {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: %v", at, err)
		}
		if empty := must(ServerEmpty(t.Context(), database))(t); !empty {
			t.Errorf("%s: something was left", at)
		}
	}
	if err := CopyToServer(t.Context(), path, database, key, func(Copied) {}); err != nil {
		t.Fatal(err)
	}
}

// TestCopyOfAnOlderSchema: the file of a released version is brought up to date in a copy of it.
func TestCopyOfAnOlderSchema(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, key := filepath.Join(dir, "outbridge.db"), freshKey()
	names := must(fs.Glob(migrations, "migrations/sqlite/*.sql"))(t)
	names = slices.DeleteFunc(names, func(name string) bool { return filepath.Base(name) >= "0016" })
	db := atMigrations(t, path, names)
	if _, err := db.Exec(`INSERT INTO account (name) VALUES ('alice')`); err != nil {
		t.Fatal(err)
	}
	db.Close()
	before := fileSum(t, path)
	database := pgtest.URL(t)
	if err := CopyToServer(t.Context(), path, database, key, func(Copied) {}); err != nil {
		t.Fatal(err)
	}
	if fileSum(t, path) != before {
		t.Error("the file was changed")
	}
	if left := must(os.ReadDir(dir))(t); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	must(openDatabase(t, database, key).Account(t.Context(), "alice"))(t)
}

// TestDumpBeginsAgain: a database that pg_dump and pg_restore have copied is another one for clients, and the one that it was made of
// stays.
func TestDumpBeginsAgain(t *testing.T) {
	t.Parallel()
	from, to, key := pgtest.URL(t), pgtest.URL(t), freshKey()
	s := openDatabase(t, from, key)
	c := calendar(t, s)
	must(s.AddIntent(t.Context(), intent(c, "new.ics", "")))(t)
	pgtest.Copy(t, from, to)
	restored := openDatabase(t, to, key)
	other := must(restored.Calendar(t.Context(), c.ID))(t)
	if !restored.BeganAgain() || other.Epoch == c.Epoch || !alnum(other.Epoch) {
		t.Errorf("began again: %t, epoch %s", restored.BeganAgain(), other.Epoch)
	}
	if open := must(restored.OpenIntents(t.Context(), c.Account))(t); len(open) != 0 {
		t.Errorf("a write is taken up again: %+v", open)
	}
	for _, database := range []string{from, to} {
		again := openDatabase(t, database, key)
		want := map[string]string{from: c.Epoch, to: other.Epoch}[database]
		if got := must(again.Calendar(t.Context(), c.ID))(t); again.BeganAgain() || got.Epoch != want {
			t.Errorf("a second start has another epoch, %s", got.Epoch)
		}
	}
	if n, err := restored.BeginAgain(t.Context()); err != nil || n != 1 {
		t.Errorf("%d calendars, %v", n, err)
	}
	if got := must(restored.Calendar(t.Context(), c.ID))(t); got.Epoch == other.Epoch || strings.TrimSpace(got.Epoch) == "" {
		t.Errorf("epoch %q", got.Epoch)
	}
}
