package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// keptAs is an installation whose files belong to one user, with the program where every user can run it.
type keptAs struct {
	dir, program string
	uid          int
}

func newKeptAs(t *testing.T, uid int) *keptAs {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can run a program as another user")
	}
	k := &keptAs{dir: bareConfig(t, ""), program: filepath.Join(t.TempDir(), "outbridge"), uid: uid}
	for _, dir := range []string{k.dir, filepath.Dir(k.program)} {
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path, err := exec.LookPath("outbridge")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", path, k.program).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	outbridge(t, k.dir, "status")
	k.restore(t)
	return k
}

// restore gives everything back to the user.
func (k *keptAs) restore(t *testing.T) {
	t.Helper()
	err := filepath.Walk(k.dir, func(path string, info os.FileInfo, err error) error {
		mode := os.FileMode(0o600)
		if err == nil && info.IsDir() {
			mode = 0o700
		}
		return errors.Join(err, os.Lchown(path, k.uid, k.uid), os.Chmod(path, mode))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// run runs the program as the user.
func (k *keptAs) run(uid int, args ...string) (stdout, stderr string) {
	cmd := exec.Command(k.program, args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", &out, &errs
	cmd.Env = []string{"HOME=/", "OUTBRIDGE_CONFIG=" + filepath.Join(k.dir, "outbridge.toml")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	_ = cmd.Run()
	return out.String(), errs.String()
}

func (k *keptAs) examine(t *testing.T, uid int) examined {
	t.Helper()
	out, errs := k.run(uid, "doctor", "--json")
	var x examined
	if err := json.Unmarshal([]byte(out), &x); err != nil {
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	return x
}

// TestDoctorOwners: each thing that owners and modes can do to an installation is a finding that says who may not do what,
// and the command that fixes it; none is called damage. The command is then run.
func TestDoctorOwners(t *testing.T) {
	t.Parallel()
	const me = 65532
	k := newKeptAs(t, me)
	at := func(name string) string { return filepath.Join(k.dir, name) }
	own := func(name string, uid int, mode os.FileMode) func() error {
		return func() error { return errors.Join(os.Chown(at(name), uid, uid), os.Chmod(at(name), mode)) }
	}
	for name, c := range map[string]struct {
		as             int
		spoil          func() error
		check, details string // what the detail has, separated by commas
		fix            string
	}{
		"well":                       {me, func() error { return nil }, "", "", ""},
		"a folder of root":           {me, own("", 0, 0o755), "database", "uid 65532|uid 0|mode 0755|" + at(""), "chown 65532:65532 " + k.dir},
		"a folder of somebody else":  {me, own("", 1234, 0o775), "database", "uid 65532|uid 1234|mode 0775", "chown 65532:65532 " + k.dir},
		"a folder that is read-only": {me, own("", me, 0o500), "database", "uid 65532|mode 0500", "chmod u+rwx " + k.dir},
		"a database of root":         {me, own("outbridge.db", 0, 0o644), "database", "uid 0|mode 0644|outbridge.db", "chown 65532:65532 " + at("outbridge.db")},
		"a database of root, hidden": {me, own("outbridge.db", 0, 0o600), "database", "uid 0|mode 0600", "chown 65532:65532 " + at("outbridge.db")},
		"a read-only database":       {me, own("outbridge.db", me, 0o400), "database", "mode 0400|uid 65532", "chmod u+rw " + at("outbridge.db")},
		"a log of root": {me, func() error {
			return errors.Join(os.WriteFile(at("outbridge.db-wal"), nil, 0o600), os.Chown(at("outbridge.db-wal"), 0, 0))
		}, "database", "outbridge.db-wal|uid 0", "chown 65532:65532 " + at("outbridge.db-wal")},
		"all of root": {me, func() error { return errors.Join(own("", 0, 0o755)(), own("outbridge.db", 0, 0o644)()) },
			"database", "uid 0", "chown 65532:65532 " + k.dir + " " + at("outbridge.db")},
		"a key of root":       {me, own("outbridge.key", 0, 0o600), "key", "outbridge.key|uid 0|uid 65532|mode 0600", "chown 65532:65532 " + at("outbridge.key")},
		"a configuration":     {me, own("outbridge.toml", 0, 0o600), "configuration", "outbridge.toml|uid 0|uid 65532", "chown 65532:65532 " + at("outbridge.toml")},
		"root made a file":    {0, own("outbridge.db", 0, 0o600), "database", "the service runs as uid 65532|uid 0", "chown 65532:65532 " + at("outbridge.db")},
		"root, and all well":  {0, func() error { return nil }, "", "", ""},
		"root, and a log too": {0, own("outbridge.key", 0, 0o600), "", "", ""}, // as systemd hands it over
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.spoil(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				os.Remove(at("outbridge.db-wal"))
				k.restore(t)
			}()
			x := k.examine(t, c.as)
			var found *finding
			for i, f := range x.Findings {
				if f.Result == resultBroken && (f.Check == "key" || f.Check == "database" || f.Check == "configuration" || f.Check == "disk") {
					if found != nil {
						t.Errorf("two findings for one cause")
					}
					found = &x.Findings[i]
				}
			}
			if text := x.String(); strings.Contains(text, "restore") || strings.Contains(text, "amaged:") {
				t.Errorf("it is taken for damage:\n%s", text)
			}
			if c.check == "" {
				if found != nil {
					t.Errorf("found %+v", *found)
				}
				return
			}
			if found == nil || found.Check != c.check || !strings.Contains(found.Fix, "`"+c.fix+"`") {
				t.Fatalf("not found for %s with %q:\n%s", c.check, c.fix, x)
			}
			for _, word := range strings.Split(c.details, "|") {
				if !strings.Contains(found.Detail, word) {
					t.Errorf("%q is not in %q", word, found.Detail)
				}
			}
			// What ends a command says the same.
			if c.as == me {
				if _, errs := k.run(me, "password", "add", "alice"); !strings.Contains(errs, c.fix) || !strings.Contains(errs, "uid 65532") {
					t.Errorf("a command says only:\n%s", errs)
				}
			}
			if out, err := exec.Command("sh", "-c", c.fix).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", c.fix, err, out)
			}
			for _, f := range k.examine(t, c.as).Findings {
				if f.Check == c.check && f.Result == resultBroken {
					t.Errorf("after the fix: %+v", f)
				}
			}
		})
	}
}

// TestDoctorPath: the folder is fine, and a folder above it lets nobody through.
func TestDoctorPath(t *testing.T) {
	t.Parallel()
	k := newKeptAs(t, 65532)
	above := filepath.Join(k.dir, "closed")
	if err := os.MkdirAll(filepath.Join(above, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"outbridge.db", "outbridge.db.lock"} {
		if err := os.Rename(filepath.Join(k.dir, name), filepath.Join(above, "data", name)); err != nil && name == "outbridge.db" {
			t.Fatal(err)
		}
	}
	k.restore(t)
	if err := errors.Join(os.Chown(above, 0, 0), os.WriteFile(filepath.Join(k.dir, "outbridge.toml"), []byte("database = \"closed/data/outbridge.db\"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	x := k.examine(t, 65532)
	x.requires(t, "a closed folder above", "database", resultBroken, "chmod o+x "+above)
	if err := os.Chmod(above, 0o701); err != nil {
		t.Fatal(err)
	}
	k.examine(t, 65532).requires(t, "let through", "database", resultOK, "")
}

// TestDoctorDisk: a read-only file system and a full disk are findings of the disk, which readyz, status and the metrics know too.
func TestDoctorDisk(t *testing.T) {
	t.Parallel()
	dir := bareConfig(t, fmt.Sprintf("listen = \"127.0.0.1:%d\"\n", anyPort(t)))
	script := `set -u
mount -t tmpfs -o size=3m tmpfs "$1"
cp "$2/outbridge.toml" "$1/"
cd "$1"
url=http://$(sed -n 's/^listen = "\(.*\)"/\1/p' outbridge.toml)
outbridge serve > /dev/null 2>&1 &
server=$!
until test "$(curl -s $url/readyz)" = ok; do sleep 0.1; done
outbridge status | grep -o 'of 3.0 MiB are free; make room'
dd if=/dev/zero of=filler bs=1k 2> /dev/null
echo "readyz $(curl -s -o ready.txt -w '%{http_code}' $url/readyz) $(curl -s $url/readyz | cut -d: -f1)"
outbridge healthcheck 2>&1 | grep -o 'disk of the database is full'
curl -s $url/metrics | grep -E '^outbridge_disk_(free|size)_bytes '
outbridge status | grep -o 'is full, so nothing can be synced'
outbridge status --json | grep -E '"(free|size)_bytes"'
outbridge doctor --json 2> /dev/null | grep -oE '"(disk of|the disk of).*is full|not damaged|restore|amaged: '
kill $server; wait $server
outbridge doctor --json 2> /dev/null | grep -oE '"(disk of|the disk of).*is full|not damaged|restore|amaged: '
rm filler
mount -o remount,ro "$1"
outbridge doctor --json 2> /dev/null | grep -oE 'mounted read-only|mount -o remount,rw|restore|amaged: '
outbridge password add alice 2>&1 | grep -oE 'mounted read-only|mount -o remount,rw' | sort -u
`
	disk := t.TempDir()
	cmd := exec.Command("unshare", "--map-root-user", "--mount", "timeout", "120", "sh", "-c", script, "sh", disk, dir)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Logf("%v", err)
	}
	want := `of 3.0 MiB are free; make room
readyz 503 the disk of the database is full
disk of the database is full
outbridge_disk_free_bytes 0
outbridge_disk_size_bytes 3.145728e+06
is full, so nothing can be synced
    "free_bytes": 0,
    "size_bytes": 3145728,
"the disk of ` + disk + ` is full
not damaged
"the disk of ` + disk + ` is full
not damaged
mounted read-only
mount -o remount,rw
mount -o remount,rw
mounted read-only
`
	if string(out) != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}
