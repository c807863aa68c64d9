package sqlstore

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"outbridge/bridge/sqlstore/pgtest"
)

// forEach runs a test of the contract on a store of each kind.
func forEach(t *testing.T, f func(*testing.T, *Store)) {
	t.Helper()
	forEachDatabase(t, func(t *testing.T, database string) { f(t, openDatabase(t, database, freshKey())) })
}

// forEachDatabase runs a test with what names a database of each kind.
func forEachDatabase(t *testing.T, f func(t *testing.T, database string)) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, filepath.Join(t.TempDir(), "outbridge.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, pgtest.URL(t))
	})
}

var databases sync.Map // what stores were opened with

func openDatabase(t *testing.T, database string, key Key) *Store {
	t.Helper()
	s, err := Open(t.Context(), database, key)
	if err != nil {
		t.Fatal(err)
	}
	databases.Store(s, database)
	t.Cleanup(func() {
		databases.Delete(s)
		s.Close()
	})
	return s
}

func databaseOf(s *Store) string {
	database, _ := databases.Load(s)
	return database.(string)
}

// holds reports whether anything in the database has a text as it is.
func holds(t *testing.T, s *Store, text string) bool {
	t.Helper()
	database := databaseOf(s)
	if !IsServer(database) {
		files := must(filepath.Glob(database + "*"))(t)
		if len(files) == 0 {
			t.Fatal("there is no file")
		}
		for _, file := range files {
			if bytes.Contains(must(os.ReadFile(file))(t), []byte(text)) {
				return true
			}
		}
		return false
	}
	for _, table := range tablesOf(t, s) {
		var rows string
		if err := s.read.QueryRow(`SELECT coalesce(string_agg(t::text, ' '), '') FROM "` + table + `" AS t`).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(rows, text) || strings.Contains(rows, hex.EncodeToString([]byte(text))) {
			return true
		}
	}
	return false
}

func tablesOf(t *testing.T, s *Store) []string {
	t.Helper()
	rows, err := s.read.Query(`SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		list = append(list, name)
	}
	if len(list) < 20 {
		t.Fatal("tables:", list)
	}
	return list
}
