package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// TestDiskFull syncs on a disk that is full, in a first sync and in a later one: it says so, keeps what there was, and
// goes on where it was as soon as there is room. The disk is a tmpfs of a mount namespace of its own.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box := sim.AddMailbox("alice@contoso.example", "Alice", "W. Europe Standard Time")
	fill := func(name string) {
		day := time.Now().UTC().Truncate(24 * time.Hour)
		for i := range 1500 {
			at := day.AddDate(0, 0, i%300-50).Add(time.Duration(8+i%9) * time.Hour)
			box.Calendar().Create(graphsim.Event{Subject: fmt.Sprintf("%s %d", name, i), Start: at, End: at.Add(time.Hour), Body: strings.Repeat("Agenda. ", 20)})
		}
	}
	fill("First")
	o := newOutlook(t, sim, box)
	dir := writeConfig(t, o)
	freePort(t, dir)
	disk := t.TempDir()
	script := `set -eu
mount -t tmpfs -o size=3m tmpfs "$1"
cp "$2/outbridge.toml" "$1/"
cd "$1"
outbridge login alice > login.txt
if outbridge sync > /dev/null 2> err.txt; then echo "NOT FULL"; fi
grep -o 'disk is full' err.txt | head -1
outbridge status | grep -o 'disk is full' | head -1
mount -o remount,size=200m "$1"
outbridge sync > /dev/null
echo "first $(outbridge export alice | grep -c '^SUMMARY:First')"
feed=$(outbridge feed add alice | head -1)
outbridge serve > serve.txt 2>&1 &
server=$!
until curl -sf "$feed" > before.ics; do sleep 0.1; done
dd if=/dev/zero of=filler bs=1k 2> /dev/null || true
echo waiting
read -r go
until grep -q 'round failed.*disk is full' serve.txt; do sleep 0.1; done
echo "kept $(curl -s "$feed" | grep -c '^SUMMARY:First')"
rm filler
until curl -s "$feed" | grep -q '^SUMMARY:Second'; do sleep 0.1; done
kill $server
wait $server
outbridge sync --audit | grep -o '; 0 differed'
echo "second $(outbridge export alice | grep -c '^SUMMARY:Second')"
echo "changed by nothing: $(outbridge sync --json | grep -o '"changed": 0' | sort -u)"
`
	// A mount namespace needs root, which a user namespace provides.
	cmd := exec.Command("unshare", "--map-root-user", "--mount", "timeout", "120", "sh", "-c", script, "sh", disk, dir)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := &watched{line: "waiting", then: func() { fill("Second"); fmt.Fprintln(stdin, "go") }}
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.text.String(), stderr.String())
	}
	want := `disk is full
disk is full
first 1500
waiting
kept 1500
; 0 differed
second 1500
changed by nothing: "changed": 0
`
	if got := out.text.String(); got != want {
		t.Errorf("got\n%swant\n%s%s", got, want, stderr.String())
	}
	opened := 0
	for _, r := range o.Requests() {
		if strings.Contains(r.Path, "/delta") && strings.Contains(r.Path, "startDateTime") {
			opened++
		}
	}
	if v := o.Violations(); opened != 1 || len(v) > 0 {
		t.Errorf("the window was opened %d times; broken rules: %q", opened, v)
	}
}

// TestNoTemporaryFolder syncs, and saves a copy, where no folder for temporary files can be written, as in an image with
// a read-only root: first 300 events, then changes to all of them, and a database that is copied.
func TestNoTemporaryFolder(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box := sim.AddMailbox("alice@contoso.example", "Alice", "W. Europe Standard Time")
	day := time.Now().UTC().Truncate(24 * time.Hour)
	var all []graph.EventID
	for i := range 300 {
		at := day.AddDate(0, 0, i%200-50).Add(time.Duration(8+i%9) * time.Hour)
		all = append(all, box.Calendar().Create(graphsim.Event{Subject: fmt.Sprintf("First %d", i), Start: at, End: at.Add(time.Hour), Body: strings.Repeat("Agenda. ", 20)}))
	}
	o := newOutlook(t, sim, box)
	dir := writeConfig(t, o)
	disk := t.TempDir()
	script := `set -eu
for folder in /var/tmp /usr/tmp /tmp; do
	test -d $folder || continue
	mount --bind $folder $folder
	mount -o remount,bind,ro $folder
done
mount -t tmpfs tmpfs "$1"
cp "$2/outbridge.toml" "$1/"
cd /proc
export OUTBRIDGE_CONFIG="$1/outbridge.toml"
outbridge login alice > "$1/login.txt"
outbridge sync > "$1/sync.txt"
echo waiting
read -r go
outbridge sync > "$1/sync.txt"
outbridge backup "$1/copy.db" > "$1/backup.txt"
echo "changed $(outbridge export alice | grep -c '^SUMMARY:Second')"
`
	cmd := exec.Command("unshare", "--map-root-user", "--mount", "timeout", "120", "sh", "-c", script, "sh", disk, dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TMPDIR=") && !strings.HasPrefix(v, "SQLITE_TMPDIR=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	out := &watched{line: "waiting", then: func() {
		for i, id := range all {
			if err := box.Calendar().Change(id, func(e *graphsim.Event) { e.Subject = fmt.Sprintf("Second %d", i) }); err != nil {
				t.Error(err)
			}
		}
		fmt.Fprintln(stdin, "go")
	}}
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.text.String(), stderr.String())
	}
	if got, want := out.text.String(), "waiting\nchanged 300\n"; got != want {
		t.Errorf("got\n%swant\n%s%s", got, want, stderr.String())
	}
}

// TestDatabaseLocked syncs while another program holds the database: it waits, says so, and changes nothing.
func TestDatabaseLocked(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box, _ := officeWeek(sim)
	o := newOutlook(t, sim, box)
	dir := writeConfig(t, o)
	outbridge(t, dir, "login", "alice")
	outbridge(t, dir, "sync")
	before := outbridge(t, dir, "export", "alice")
	box.Calendar().Create(graphsim.Event{Subject: "Held up", Start: time.Now().UTC().Add(time.Hour), End: time.Now().UTC().Add(2 * time.Hour)})

	db, err := sql.Open("sqlite", filepath.Join(dir, "outbridge.db")+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("outbridge", "sync")
	cmd.Dir = dir
	text, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(text), "held by another program") {
		t.Errorf("%v\n%s", err, text)
	}
	if after := outbridge(t, dir, "export", "alice"); after != before {
		t.Error("readers do not see the calendar as it was")
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	outbridge(t, dir, "sync")
	if after := outbridge(t, dir, "export", "alice"); !strings.Contains(after, "SUMMARY:Held up") {
		t.Error("the change does not arrive afterwards")
	}
}

// watched collects output, and calls then when it has seen the line.
type watched struct {
	text bytes.Buffer
	line string
	then func()
}

func (w *watched) Write(b []byte) (int, error) {
	w.text.Write(b)
	if w.then != nil && strings.Contains(w.text.String(), w.line) {
		w.then()
		w.then = nil
	}
	return len(b), nil
}
