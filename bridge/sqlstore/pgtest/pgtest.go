// Package pgtest gives tests a real PostgreSQL: one server for each test binary, started with the first database that is asked for, of
// the programs that Debian's package postgresql installs. It has a folder of its own and a Unix socket in it, and ends, with its folder,
// when the test binary does, whatever way that is.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

var shared = sync.OnceValues(func() (*Server, error) { return start() })

// errMissing is that PostgreSQL is not installed.
var errMissing = errors.New("PostgreSQL is not installed: run make setup, or apt-get install postgresql")

// URL is that of a database which is new, empty and gone after the test. Where PostgreSQL is not installed the test is skipped; in CI, and
// with the tag interop, it fails.
func URL(t testing.TB) string {
	t.Helper()
	s := Shared(t)
	name := "test_" + strings.ToLower(rand.Text())
	s.exec(t, `CREATE DATABASE `+name)
	t.Cleanup(func() { s.exec(t, `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`) })
	return s.URL(name)
}

// Available reports whether there is a server, for tests that run on one only where there is. Where there has to be one, it is true.
func Available() bool {
	_, err := Program("postgres")
	return err == nil || required || os.Getenv("CI") == "true"
}

// Shared is the server that all tests of the binary have. They are not to stop it.
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	if errors.Is(err, errMissing) && !required && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Server is a PostgreSQL server.
type Server struct {
	dir string
	end *os.File // the server's guard ends it when this is closed
}

// URL is that of a database of the server, with the rights of its superuser.
func (s *Server) URL(database string) string {
	return "postgres://postgres@/" + database + "?host=" + url.QueryEscape(s.dir)
}

// Copy copies a database to an empty one as an administrator does, with pg_dump and pg_restore.
func Copy(t testing.TB, from, to string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dump")
	for _, args := range [][]string{{"pg_dump", "--format=custom", "--file=" + file, from}, {"pg_restore", "--exit-on-error", "--dbname=" + to, file}} {
		program, err := Program(args[0])
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(program, args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", args[0], err, out)
		}
	}
}

func (s *Server) exec(t testing.TB, query string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// Program is the path of one of PostgreSQL's programs, of the newest version that is installed.
func Program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil && name != "psql" { // Debian's psql is a wrapper
		return path, nil
	}
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	version := func(dir string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		return n
	}
	slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	for _, dir := range dirs {
		if path := filepath.Join(dir, name); exists(path) {
			return path, nil
		}
	}
	return "", errMissing
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// guard runs the server until its standard input ends, which is when the test binary does. A line there is a signal for the server, which is
// started again once it has ended of it.
const guard = `
run() {
	"$postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c unix_socket_permissions=0700 \
		-c fsync=off -c full_page_writes=off -c autovacuum=off -c jit=off -c max_connections=400 -c shared_buffers=32MB "$@" >>"$dir/log" 2>&1 &
	server=$!
}
postgres=$1 dir=$2
shift 2
run "$@"
while read -r signal; do
	kill -"$signal" $server
	wait $server
	run "$@"
done
kill -QUIT $server
wait $server
rm -rf "$dir"
`

// Start is a server of the test's own, which is gone after it. Settings like "fsync=on" are in place of what pgtest chooses, which is to be
// quick.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	if !Available() {
		t.Skip(errMissing)
	}
	s, err := start(settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.end.Close() })
	return s
}

// Restart ends the server by a signal, "QUIT" being a crash and "INT" an orderly end that closes all connections, and starts it again.
// It does not wait until the server takes connections.
func (s *Server) Restart(t testing.TB, signal string) {
	t.Helper()
	if _, err := s.end.WriteString(signal + "\n"); err != nil {
		t.Fatal(err)
	}
}

// PID is the process of the server, whose children serve its connections.
func (s *Server) PID(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func start(settings ...string) (*Server, error) {
	postgres, err := Program("postgres")
	if err != nil {
		return nil, err
	}
	initdb, err := Program("initdb")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "outbridge-pg-")
	if err != nil {
		return nil, err
	}
	user, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	init := exec.Command(initdb, "-D", filepath.Join(dir, "data"), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync",
		"--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en") // which sorts as no code expects
	init.Dir, init.SysProcAttr = dir, user
	if out, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	in, end, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	args := []string{"-c", guard, "sh", postgres, dir}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	server := exec.Command("/bin/sh", args...)
	server.Dir, server.Stdin, server.SysProcAttr = dir, in, user
	if err := server.Start(); err != nil {
		return nil, err
	}
	in.Close()
	s := &Server{dir: dir, end: end}
	for range 3000 {
		var c *pgx.Conn
		if c, err = pgx.Connect(context.Background(), s.URL("postgres")); err == nil {
			return s, c.Close(context.Background())
		}
		_ = exec.Command("sleep", "0.02").Run() // also in a bubble of compressed time
	}
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	return nil, fmt.Errorf("PostgreSQL does not start: %w: %s", err, log)
}
