package sqlstore

import (
	"database/sql"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"outbridge/bridge"
)

// TestFeedOfFirstSchema: a feed that was made before feeds had options has none.
func TestFeedOfFirstSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbridge.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	first, err := migrations.ReadFile("migrations/sqlite/0001_bridge.sql")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, fstest.MapFS{"0001_bridge.sql": {Data: first}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`INSERT INTO feed (user, name, hash, calendars, detail, created) VALUES ('alice', 'Work', x'00', '[7]', 'busy', 1)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), path, freshKey())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := []bridge.Feed{{ID: 1, User: "alice", Name: "Work", Calendars: []bridge.CalendarID{7}, Detail: bridge.DetailBusy, Created: time.Unix(1, 0).UTC(), Salt: []byte{0}}}
	if d := cmp.Diff(want, must(s.Feeds(t.Context(), "alice"))(t)); d != "" {
		t.Error(d)
	}
}
