//go:build interop

package web

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestBundle: the calendar in the pages is what its sources and the lock file make.
func TestBundle(t *testing.T) {
	t.Parallel()
	dir, made := t.TempDir(), t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "build.js", "calendar.js", "calendar.css"} {
		data, err := os.ReadFile(filepath.Join("calendar", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"}, {"node", "build.js", made}} {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	for _, name := range []string{"calendar.js", "calendar.css"} {
		want, err := os.ReadFile(filepath.Join(made, name))
		if err != nil {
			t.Fatal(err)
		}
		if have, err := files.ReadFile("pages/" + name); err != nil || !bytes.Equal(have, want) {
			t.Errorf("pages/%s is not what bridge/web/calendar makes: run make generate (%v)", name, err)
		}
	}
}
