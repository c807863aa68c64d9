package sqlstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/oauth2"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// TestBackupWhileWriting: a backup is one moment of the database, however much is written meanwhile.
func TestBackupWhileWriting(t *testing.T) {
	dir := t.TempDir()
	path, key := filepath.Join(dir, "outbridge.db"), freshKey()
	s := must(Open(t.Context(), path, key))(t)
	defer s.Close()
	c := calendar(t, s)
	// Each write is a pair of rows, so a copy with an odd number holds half of one.
	stop, done := make(chan struct{}), make(chan error, 1)
	begun := make(chan struct{})
	go func() {
		seq := c.Seq
		for n := 0; ; n++ {
			var rows []bridge.Row
			for i := range 2 {
				id := fmt.Sprintf("%06d-%d", n, i)
				rows = append(rows, row(id, id, bridge.KindSingle, 1))
			}
			var err error
			if seq, err = s.Mirror(t.Context(), bridge.MirrorPage{Calendar: c.ID, Seq: seq, Rows: rows}); err != nil {
				done <- err
				return
			}
			if n == 20 {
				close(begun)
			}
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
		}
	}()
	<-begun
	var last int
	for n := range 5 {
		to := filepath.Join(dir, fmt.Sprintf("copy-%d", n))
		if err := Backup(t.Context(), path, to, false); err != nil {
			t.Fatal(err)
		}
		if info := must(os.Stat(to))(t); info.Mode().Perm() != 0o600 {
			t.Errorf("others may read a backup: %v", info.Mode())
		}
		db := must(openFile(to, "ro"))(t)
		var events int
		var seq int64
		if err := db.QueryRow(`SELECT (SELECT count(*) FROM event), (SELECT seq FROM calendar)`).Scan(&events, &seq); err != nil {
			t.Fatal(err)
		}
		db.Close()
		if events%2 != 0 || int64(events) != 2*seq || events < last {
			t.Errorf("copy %d holds %d rows of %d writes, after %d", n, events, seq, last)
		}
		last = events
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*part*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q %v", left, err)
	}
}

func TestBackupBad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "outbridge.db")
	to := filepath.Join(dir, "copy")
	if err := Backup(t.Context(), path, to, false); err == nil || !strings.Contains(err.Error(), "nothing to copy") {
		t.Errorf("no database: %v", err)
	}
	s := must(Open(t.Context(), path, freshKey()))(t)
	defer s.Close()
	if err := os.WriteFile(to, []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Backup(t.Context(), path, to, false); err == nil || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("a file in the way: %v", err)
	}
	if b := must(os.ReadFile(to))(t); string(b) != "dear" {
		t.Errorf("it was overwritten: %q", b)
	}
	if err := Backup(t.Context(), path, to, true); err != nil {
		t.Error(err)
	}
	if err := Backup(t.Context(), path, filepath.Join(dir, "away", "copy"), true); err == nil {
		t.Error("a folder that is not there")
	}
}

func TestRestore(t *testing.T) {
	dir := t.TempDir()
	path, copied, key := filepath.Join(dir, "outbridge.db"), filepath.Join(dir, "copy"), freshKey()
	s := must(Open(t.Context(), path, key))(t)
	c := calendar(t, s)
	a := must(s.Account(t.Context(), "alice"))(t)
	if err := s.Tokens(a.ID).SaveToken(t.Context(), nil, &oauth2.Token{RefreshToken: "r"}); err != nil {
		t.Fatal(err)
	}
	if err := Backup(t.Context(), path, copied, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Mirror(t.Context(), bridge.MirrorPage{Calendar: c.ID, Seq: c.Seq, Rows: []bridge.Row{row("x", "x", bridge.KindSingle, 1)}}); err != nil {
		t.Fatal(err)
	}
	// Not closed: its last write is in the -wal file only, as after a kill.
	aside, err := Restore(t.Context(), copied, path)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	restored := must(Open(t.Context(), path, key))(t)
	defer restored.Close()
	now := must(restored.Calendar(t.Context(), c.ID))(t)
	if now.Seq != c.Seq || now.Epoch == c.Epoch || !alnum(now.Epoch) {
		t.Errorf("seq %d, epoch %q after %q", now.Seq, now.Epoch, c.Epoch)
	}
	if tok, err := restored.Tokens(a.ID).LoadToken(t.Context()); err != nil || tok.RefreshToken != "r" {
		t.Errorf("the sign-in: %v", err)
	}
	if rows := must(restored.Rows(t.Context(), c.ID, []graph.EventID{"x"}))(t); len(rows) != 0 {
		t.Error("what was written after the backup is there")
	}
	old := must(Open(t.Context(), aside, key))(t)
	defer old.Close()
	if rows := must(old.Rows(t.Context(), c.ID, []graph.EventID{"x"}))(t); len(rows) != 1 {
		t.Error("the database that was there has lost its last write")
	}
}

func alnum(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

func TestRestoreBad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "outbridge.db")
	s := must(Open(t.Context(), path, freshKey()))(t)
	calendar(t, s)
	s.Close()
	good := must(os.ReadFile(path))(t)
	file := filepath.Join(dir, "backup")
	newer := func() []byte {
		if err := os.WriteFile(file, good, 0o600); err != nil {
			t.Fatal(err)
		}
		db := must(openFile(file, "rw"))(t)
		_, err := db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		return must(os.ReadFile(file))(t)
	}
	damaged := append([]byte{}, good...)
	for i := 4096; i < len(damaged); i += 5 {
		damaged[i] ^= 0xa5
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":       {nil, "no database of outbridge"},
		"text":          {[]byte(strings.Repeat("text ", 1000)), "backup"},
		"half":          {good[:len(good)/2/4096*4096], "backup"},
		"damaged":       {damaged, "backup"},
		"a newer one's": {newer(), "newer outbridge"},
	} {
		if err := os.WriteFile(file, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(t.Context(), file, path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if b := must(os.ReadFile(path))(t); string(b) != string(good) {
			t.Errorf("%s: the database has changed", name)
		}
	}
	if _, err := Restore(t.Context(), filepath.Join(dir, "none"), path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestCopyBeforeMigration: an upgrade keeps the database as it was, and a failed one leaves it so.
func TestCopyBeforeMigration(t *testing.T) {
	dir := t.TempDir()
	path, key := filepath.Join(dir, "outbridge.db"), freshKey()
	s := must(Open(t.Context(), path, key))(t)
	defer s.Close()
	calendar(t, s)
	if found, err := filepath.Glob(path + ".before*"); err != nil || len(found) > 0 {
		t.Errorf("a new database was copied: %q %v", found, err)
	}
	upgrade := func(sql string) error {
		files := fstest.MapFS{"9001_next.sql": {Data: []byte("-- +goose Up\n" + sql)}}
		for _, e := range must(migrations.ReadDir("migrations/sqlite"))(t) {
			files[e.Name()] = &fstest.MapFile{Data: must(migrations.ReadFile("migrations/sqlite/" + e.Name()))(t)}
		}
		return s.migrate(t.Context(), path, files, func(Packing) {})
	}
	if err := upgrade("ALTER TABLE calendar ADD COLUMN next TEXT; SELECT nonsense;"); err == nil {
		t.Fatal("a migration that cannot be is done")
	}
	calendar(t, s) // it works on as it was
	if _, err := s.EnsureAccount(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	if err := upgrade("ALTER TABLE calendar ADD COLUMN next TEXT;"); err != nil {
		t.Fatal(err)
	}
	before := path + ".before-v9001"
	if schema, err := Check(t.Context(), before); err != nil || schema != Schema() {
		t.Errorf("the copy has schema %d: %v", schema, err)
	}
	old := must(Open(t.Context(), before, key))(t)
	defer old.Close()
	if _, err := old.Account(t.Context(), "bob"); err != nil {
		t.Errorf("the copy is that of the failed attempt: %v", err)
	}
	if left, err := filepath.Glob(before + ".*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q %v", left, err)
	}
	if err := upgrade("ALTER TABLE calendar ADD COLUMN next TEXT;"); err != nil {
		t.Errorf("a second start: %v", err)
	}
}
