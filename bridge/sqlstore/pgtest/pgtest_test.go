package pgtest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestServerEndsWithTheTests kills a test binary that has a server.
func TestServerEndsWithTheTests(t *testing.T) {
	if os.Getenv("PGTEST_HANG") != "" {
		s := Shared(t)
		os.Stdout.WriteString(s.dir + "\n")
		select {}
	}
	Shared(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestServerEndsWithTheTests$")
	cmd.Env = append(os.Environ(), "PGTEST_HANG=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 200)
	n, err := out.Read(line)
	dir := strings.TrimSpace(string(line[:n]))
	if err != nil || !exists(dir) {
		t.Fatal(dir, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	for end := time.Now().Add(time.Minute); exists(dir); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the server in %s has outlived its tests", dir)
		}
	}
}
