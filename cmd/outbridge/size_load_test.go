//go:build load

package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// A mailbox of which the most part of the database are occurrences.
const (
	sizeSingles = 3900
	sizeSeries  = 600 // each workday
)

// TestDatabaseSize prints what the database takes for an object after a first sync, of a mailbox whose ids are as long as Microsoft's.
func TestDatabaseSize(t *testing.T) {
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
	const objects = sizeSingles + sizeSeries
	row("database after a first sync", fmt.Sprintf("%.1f kB an object", float64(octets)/1000/objects),
		fmt.Sprintf("%d objects, %d MiB, CPU time of the sync %.1f s, peak memory %d MiB", objects, octets>>20, (first.UserTime()+first.SystemTime()).Seconds(), peak(first)))
}
