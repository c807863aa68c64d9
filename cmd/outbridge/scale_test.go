//go:build load

package main_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

var scaleMailboxes = flag.Int("mailboxes", 1000, "number of mailboxes of TestScale")

const scaleEvents = 500 // of each mailbox, a tenth of them series

// TestScale runs the real binary for 1,000 mailboxes of 500 events each, and prints what the first sync and then the
// idle polls of all of them take. It fails where a mailbox is not polled within the interval.
func TestScale(t *testing.T) {
	dir := t.TempDir()
	binary := buildBinary(t, dir)
	sim := &graphsim.Server{ClientSecret: "secret", MaxPage: 200}
	outlook := httptest.NewServer(sim)
	defer outlook.Close()
	var conf strings.Builder
	fmt.Fprintf(&conf, "listen = %q\n[microsoft]\ncloud = \"custom\"\nlogin_url = %q\ngraph_url = %q\nclient_id = \"load\"\ntenant = \"contoso.example\"\nclient_secret_file = \"secret\"\n",
		freeAddress(t), outlook.URL, outlook.URL)
	for i := range *scaleMailboxes {
		name := fmt.Sprintf("user%d", i)
		fill(sim.AddMailbox(name+"@contoso.example", name, "W. Europe Standard Time").Calendar(), scaleEvents, i)
		fmt.Fprintf(&conf, "[[account]]\nname = %q\nmailbox = %q\n", name, name+"@contoso.example")
	}
	file := filepath.Join(dir, "outbridge.toml")
	for name, text := range map[string]string{"outbridge.toml": conf.String(), "secret": "secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	serve := exec.Command(binary, "serve", "--config", file)
	serve.Stderr = os.Stderr
	begin := time.Now()
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = serve.Process.Signal(syscall.SIGTERM)
		_ = serve.Wait()
		row("serve, peak memory", fmt.Sprintf("%d MiB", peak(serve.ProcessState)), "")
	}()
	for synced(t, binary, file) < *scaleMailboxes {
		if time.Since(begin) > 20*time.Minute {
			t.Fatal("the first sync takes longer than 20 minutes")
		}
		time.Sleep(5 * time.Second)
	}
	took := time.Since(begin)
	row(fmt.Sprintf("first sync, %d mailboxes of %d events", *scaleMailboxes, scaleEvents),
		fmt.Sprintf("%.0f events/s", float64(*scaleMailboxes*scaleEvents)/took.Seconds()), fmt.Sprintf("%.0f s", took.Seconds()))

	time.Sleep(time.Minute) // the last ones begin their second round
	sim.ResetRequests()
	const watched = 2 * time.Minute
	cpu := cpuTime(t, serve.Process.Pid)
	time.Sleep(watched)
	used := cpuTime(t, serve.Process.Pid) - cpu
	polls := map[string]int{}
	requests := sim.Requests()
	for _, r := range requests {
		if i := strings.Index(r.Path, "/users/"); i >= 0 && strings.Contains(r.Path, "/delta") {
			user, _, _ := strings.Cut(r.Path[i+len("/users/"):], "/")
			polls[user]++
		}
	}
	late := 0
	for i := range *scaleMailboxes {
		if n := polls[fmt.Sprintf("user%d@contoso.example", i)] + polls[fmt.Sprintf("user%d%%40contoso.example", i)]; n < 1 {
			late++
		}
	}
	row("idle polls, every minute", fmt.Sprintf("%.1f requests/s", float64(len(requests))/watched.Seconds()),
		fmt.Sprintf("%.1f %% of one core, %d of %d mailboxes late", 100*used.Seconds()/watched.Seconds(), late, *scaleMailboxes))
	if late > 0 {
		t.Errorf("%d mailboxes were not polled", late)
	}
}

// fill makes events over 400 days, a tenth of them series of every fourth week without an end.
func fill(cal *graphsim.Calendar, events, seed int) {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	for i := range events {
		begin := today.AddDate(0, 0, (i*7+seed)%400-100).Add(time.Duration(7+i%10) * time.Hour)
		e := graphsim.Event{Subject: fmt.Sprintf("Meeting %d", i), Body: "Agenda", Start: begin, End: begin.Add(time.Hour)}
		if i%10 == 0 {
			e.Recurrence = &graph.Recurrence{
				Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 4, DaysOfWeek: []string{strings.ToLower(begin.Weekday().String())}},
				Range:   graph.RecurrenceRange{Type: "noEnd"},
			}
		}
		cal.Create(e)
	}
}

// synced counts the accounts whose first round was good.
func synced(t *testing.T, binary, conf string) (n int) {
	t.Helper()
	out, err := exec.Command(binary, "status", "--json", "--config", conf).Output()
	if err != nil {
		t.Fatalf("status: %v", err)
	}
	var status struct {
		Accounts []struct {
			LastGood *time.Time `json:"last_good"`
		}
	}
	if err := json.Unmarshal(out, &status); err != nil {
		t.Fatal(err)
	}
	for _, a := range status.Accounts {
		if a.LastGood != nil {
			n++
		}
	}
	return n
}

// cpuTime is what a process has used so far.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // from the third on, "state"
	var user, system int64
	fmt.Sscan(fields[11], &user)
	fmt.Sscan(fields[12], &system)
	return time.Duration(user+system) * 10 * time.Millisecond
}
