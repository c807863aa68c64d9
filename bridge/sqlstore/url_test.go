package sqlstore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPasswordIsNotShown: no error about a database and no text that is shown of it has its password.
func TestPasswordIsNotShown(t *testing.T) {
	t.Parallel()
	for _, database := range []string{
		"postgres://bridge:s3cr%25et%2Fword@127.0.0.1:1/calendar",
		"postgres://bridge@127.0.0.1:1/calendar?password=s3cr%25et%2Fword",
		"postgres://bridge:s3cr%25et%2Fword@127.0.0.1:1/calendar?sslmode=nonsense",
		"postgres://bridge:s3cr%25et%2Fword@127.0.0.1:port/calendar",
		"postgres://bridge:s3cr%et/word@127.0.0.1:1/calendar",
		"postgres://bridge:s3cr%25et%2Fword@127.0.0.1:1/calendar?pool_max_conns=many",
	} {
		_, err := Open(t.Context(), database, freshKey())
		if err == nil {
			t.Fatal("there is a server at port 1")
		}
		for _, text := range []string{err.Error(), WithoutPassword(database)} {
			if strings.Contains(text, "s3cr") {
				t.Errorf("%s: %s", database, text)
			}
		}
	}
	if got := WithoutPassword("postgres://bridge:x@db.example/calendar?sslmode=verify-full"); got != "postgres://bridge:***@db.example/calendar?sslmode=verify-full" {
		t.Error(got)
	}
	if got := ForTools("postgres://bridge:x@db.example/calendar?sslmode=verify-full&pool_max_conns=5&password_file=%2Fx"); got != "postgres://bridge@db.example/calendar?sslmode=verify-full" {
		t.Error(got)
	}
	if err := CheckURL("postgres://bridge@db.example"); err == nil || !strings.Contains(err.Error(), "no database") {
		t.Error(err)
	}
}

// TestPasswordFile: the password is read for each connection, so that it can be changed.
func TestPasswordFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	c, err := poolConfig(WithPasswordFile("postgres://bridge@db.example/calendar?sslmode=disable", file))
	if err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{"first", "second"} {
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		one := c.ConnConfig.Copy()
		if err := c.BeforeConnect(t.Context(), one); err != nil || one.Password != password {
			t.Errorf("%q, %v", one.Password, err)
		}
	}
	os.Remove(file)
	if err := c.BeforeConnect(t.Context(), c.ConnConfig.Copy()); err == nil || !strings.Contains(err.Error(), file) {
		t.Error(err)
	}
}
