package sqlstore

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

const (
	childRole     = "OUTBRIDGE_TEST_STORE_ROLE"
	childDatabase = "OUTBRIDGE_TEST_STORE_DATABASE"
	childTurns    = 40
)

// sharedKey is a key that several processes have.
func sharedKey() Key {
	k, err := newKey(make([]byte, keySize))
	if err != nil {
		panic(err) // AES takes any 32 bytes
	}
	return k
}

// TestProcesses: processes that mirror, stage and publish in two calendars, each of which asks the other to look, lose nothing, also when
// one is killed; and whoever syncs by revs meanwhile misses nothing.
func TestProcesses(t *testing.T) {
	if role := os.Getenv(childRole); role != "" {
		child(t, role)
		return
	}
	forEachDatabase(t, testProcesses)
}

func testProcesses(t *testing.T, database string) {
	s := openDatabase(t, database, sharedKey())
	a := must(s.EnsureAccount(t.Context(), "alice"))(t)
	must(s.SetCalendars(t.Context(), a.ID, []bridge.Calendar{
		{GraphID: "A", Name: "a", Modified: now}, {GraphID: "B", Name: "b", Modified: now}}))(t)
	var all sync.WaitGroup
	var mu sync.Mutex
	published := map[string]int64{}
	run := func(role string, killAt int) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestProcesses$", "-test.timeout=120s")
		cmd.Env = append(os.Environ(), childRole+"="+role, childDatabase+"="+database)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Error(err)
			return
		}
		lines, said := 0, ""
		for in := bufio.NewScanner(out); in.Scan(); {
			if name, n, ok := strings.Cut(in.Text(), " published "); ok {
				lines++
				count, _ := strconv.ParseInt(n, 10, 64)
				mu.Lock()
				published[name] += count
				mu.Unlock()
			} else {
				said += in.Text() + "\n"
			}
			if lines == killAt {
				cmd.Process.Kill()
			}
		}
		if err := cmd.Wait(); err != nil && killAt < 0 {
			t.Errorf("%s: %v: %s", role, err, said)
		}
	}
	for n, killAt := range []int{-1, -1, 10} {
		all.Go(func() {
			run(fmt.Sprint("write ", n), killAt)
			if killAt > 0 {
				run(fmt.Sprint("write ", n), -1)
			}
		})
	}
	all.Go(func() { run("read", -1) })
	all.Wait()
	for _, c := range must(s.Calendars(t.Context(), a.ID))(t) {
		objects := must(s.Changes(t.Context(), c.ID, 0, 1000))(t)
		if len(objects) == 0 || objects[len(objects)-1].Rev != c.Rev {
			t.Errorf("%s: the last of %d objects is not of rev %d", c.Name, len(objects), c.Rev)
		}
		if c.Rev < published[c.Name] || published[c.Name] < childTurns/2 {
			t.Errorf("%s: rev %d after %d changes", c.Name, c.Rev, published[c.Name])
		}
	}
}

// child is one of the processes.
func child(t *testing.T, role string) {
	s := openDatabase(t, os.Getenv(childDatabase), sharedKey())
	cals := must(s.Calendars(t.Context(), must(s.Account(t.Context(), "alice"))(t).ID))(t)
	if role == "read" {
		follow(t, s, cals)
		return
	}
	for turn := range childTurns {
		c, other := cals[turn%2], cals[1-turn%2]
		series := graph.EventID(fmt.Sprint(role, " ", rand.N(5)))
		id := c.ID
		page := bridge.MirrorPage{Calendar: id, Rows: []bridge.Row{row(string(series), string(series), bridge.KindSingle, 1)},
			Marks: []bridge.Mark{{Series: series, Stage: bridge.StageDerive}}, Asks: map[bridge.CalendarID][]graph.EventID{other.ID: {graph.EventID(fmt.Sprint(turn))}}}
		seq := again(t, s, id, func(seq int64) (int64, error) { page.Seq = seq; return s.Mirror(t.Context(), page) })
		o := object(strings.ReplaceAll(string(series), " ", "-")+".ics", fmt.Sprint(role, turn, seq), now, now)
		o.Series = series
		again(t, s, id, func(seq int64) (int64, error) {
			return seq, s.Stage(t.Context(), id, seq, []bridge.Derived{{Series: series, Object: o}})
		})
		changed, _, err := s.Publish(t.Context(), id, now)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("%s published %d\n", c.Name, changed)
	}
}

// again does something on the present state of a calendar until nobody else was faster.
func again(t *testing.T, s *Store, id bridge.CalendarID, f func(seq int64) (int64, error)) int64 {
	for {
		c := must(s.Calendar(t.Context(), id))(t)
		seq, err := f(c.Seq)
		if errors.Is(err, bridge.ErrConflict) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
}

// follow syncs as a client does: what it has seen up to a rev is all there was up to it.
func follow(t *testing.T, s *Store, cals []bridge.Calendar) {
	seen := map[bridge.CalendarID]map[string]int64{}
	at := map[bridge.CalendarID]int64{}
	for idle := 0; idle < 400; idle++ {
		for _, c := range cals {
			if seen[c.ID] == nil {
				seen[c.ID] = map[string]int64{}
			}
			rev := must(s.UserCalendar(t.Context(), "alice", c.Name))(t).Rev
			for _, o := range must(s.Changes(t.Context(), c.ID, 0, 1000))(t) {
				if o.Rev <= at[c.ID] && seen[c.ID][o.Name] != o.Rev {
					t.Fatalf("%s of rev %d has appeared after rev %d was told", o.Name, o.Rev, at[c.ID])
				}
				seen[c.ID][o.Name] = o.Rev
			}
			if rev < at[c.ID] {
				t.Fatalf("rev %d after %d", rev, at[c.ID])
			}
			if rev > at[c.ID] {
				idle = 0
			}
			at[c.ID] = rev
		}
	}
}
