//go:build load

package main_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/sqlstore/pgtest"
)

// A mailbox of which the most part of the database are occurrences.
const (
	sizeSingles = 3900
	sizeSeries  = 600 // each workday
)

// TestDatabaseSize prints what the database takes for an object after a first sync, of a mailbox whose ids are as long as Microsoft's.
func TestDatabaseSize(t *testing.T) {
	w := newSizeWorld(t)
	out, first := w.tool("sync", "--json")
	var octets int64
	files, err := filepath.Glob(filepath.Join(w.dir, "outbridge.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no database: %v\n%s", err, out)
	}
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		octets += info.Size()
	}
	sizeRow("database after a first sync", octets, first)
}

// TestDatabaseSizeOnServer prints the same of PostgreSQL, without what an empty database takes there, and what each table has of it.
func TestDatabaseSizeOnServer(t *testing.T) {
	url := pgtest.Start(t, "autovacuum=on", "full_page_writes=on").URL("postgres")
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	size := func() (octets int64) {
		if err := c.QueryRow(t.Context(), `SELECT pg_database_size(current_database())`).Scan(&octets); err != nil {
			t.Fatal(err)
		}
		return octets
	}
	empty := size()
	w := newSizeWorld(t)
	conf, err := os.ReadFile(w.conf)
	if err == nil {
		err = os.WriteFile(w.conf, fmt.Appendf(nil, "database = %q\n%s", url, conf), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.tool("login", "alice")
	_, first := w.tool("sync", "--json")
	sizeRow("database on PostgreSQL after a first sync", size()-empty, first)
	rows, err := c.Query(t.Context(), `SELECT relname, pg_relation_size(oid), pg_indexes_size(oid), pg_total_relation_size(oid) FROM pg_class
		WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_total_relation_size(oid) > 100000 ORDER BY 4 DESC`)
	if err != nil {
		t.Fatal(err)
	}
	var name string
	var heap, indexes, all int64
	if _, err := pgx.ForEachRow(rows, []any{&name, &heap, &indexes, &all}, func() error {
		row("of these "+name, fmt.Sprintf("%.2f kB an object", kBEach(all)), fmt.Sprintf("rows %.2f, indexes %.2f, TOAST and maps %.2f", kBEach(heap), kBEach(indexes), kBEach(all-heap-indexes)))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

const sizeObjects = sizeSingles + sizeSeries

func kBEach(octets int64) float64 { return float64(octets) / 1000 / sizeObjects }

func sizeRow(what string, octets int64, sync *os.ProcessState) {
	row(what, fmt.Sprintf("%.1f kB an object", kBEach(octets)),
		fmt.Sprintf("%d objects, %d MiB, CPU time of the sync %.1f s, peak memory %d MiB", sizeObjects, octets>>20, (sync.UserTime()+sync.SystemTime()).Seconds(), peak(sync)))
}

func newSizeWorld(t *testing.T) *loadWorld {
	t.Helper()
	w := newLoadWorld(t, func(cal *graphsim.Calendar) {
		fillMailbox(cal, sizeSingles, 0)
		today := time.Now().UTC().Truncate(24 * time.Hour)
		for i := range sizeSeries {
			begin := today.AddDate(0, 0, -200+i%28).Add(time.Duration(7*60+i) * time.Minute)
			cal.Create(graphsim.Event{Subject: fmt.Sprintf("Series %d", i), Body: "<p>Agenda</p>", Start: begin, End: begin.Add(time.Hour), Recurrence: &graph.Recurrence{
				Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: []string{"monday", "tuesday", "wednesday", "thursday", "friday"}},
				Range:   graph.RecurrenceRange{Type: "noEnd"},
			}})
		}
	})
	w.long.Store(true)
	return w
}
