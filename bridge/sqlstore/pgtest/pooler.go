package pgtest

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Pooler starts PgBouncer in front of the server of all tests, with few connections and another one for each transaction, and returns the
// URL of a new database through it.
func Pooler(t testing.TB) string {
	t.Helper()
	program, err := exec.LookPath(cmp.Or(existing("/usr/sbin/pgbouncer"), "pgbouncer"))
	if err != nil {
		t.Fatal("PgBouncer is not installed: run make setup")
	}
	database, err := url.Parse(URL(t))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "outbridge-pool-") // short, for the name of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	user, err := unprivileged(dir)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pgbouncer.ini")
	settings := fmt.Sprintf(`[databases]
* = host=%s user=postgres
[pgbouncer]
listen_port = 6432
unix_socket_dir = %s
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
`, Shared(t).dir, dir)
	if err := os.WriteFile(file, []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	pooler := exec.Command(program, "-q", file)
	pooler.Dir, pooler.SysProcAttr = dir, user
	if err := pooler.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = pooler.Process.Kill()
		_ = pooler.Wait()
	})
	for begun := time.Now(); ; {
		c, err := net.Dial("unix", filepath.Join(dir, ".s.PGSQL.6432"))
		if err == nil {
			c.Close()
			break
		}
		if time.Since(begun) > time.Minute {
			t.Fatal(err)
		}
		_ = exec.Command("sleep", "0.02").Run()
	}
	database.RawQuery = url.Values{"host": {dir}, "port": {"6432"}}.Encode()
	return database.String()
}

// existing is a path, or "" if nothing is there.
func existing(path string) string {
	if exists(path) {
		return path
	}
	return ""
}
