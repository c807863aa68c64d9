package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"outbridge/bridge"
)

func TestEach(t *testing.T) { forEach(t, testEach) }

// What a list of values is read as, and how a read ends, is the same on both databases.
func testEach(t *testing.T, s *Store) {
	const three = `SELECT n, 'text', CAST(NULL AS TEXT) FROM (SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3) AS three WHERE n < ? ORDER BY n`
	read := func(ctx context.Context, upTo int, row func([]driver.Value) (bool, error)) (n int, err error) {
		err = s.read.each(ctx, three, []any{upTo}, func(v []driver.Value) (bool, error) {
			if n++; v[0] != int64(n) || v[1] != "text" || v[2] != nil {
				t.Errorf("row %d: %v", n, v)
			}
			return row(v)
		})
		return n, err
	}
	all := func([]driver.Value) (bool, error) { return true, nil }
	refused := errors.New("refused")
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 * maxDirect { // none of these keeps a connection
		if n, err := read(t.Context(), 9, all); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := read(t.Context(), 1, all); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := read(t.Context(), 9, func([]driver.Value) (bool, error) { return false, nil }); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := read(t.Context(), 9, func([]driver.Value) (bool, error) { return true, refused }); n != 1 || !errors.Is(err, refused) {
			t.Fatal(n, err)
		}
		if err := s.read.each(t.Context(), `SELECT nothing FROM nowhere`, nil, all); err == nil {
			t.Fatal("no error")
		}
	}
	n, err := read(ctx, 9, func([]driver.Value) (bool, error) { cancel(); return true, nil })
	if n == 3 && s.read.direct != nil || n < 3 && !errors.Is(err, context.Canceled) {
		t.Errorf("%d rows though the context had ended: %v", n, err)
	}
	if n, err := read(ctx, 9, all); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d rows with a context that had ended: %v", n, err)
	}
}

// A row that is not as this program writes it is an error.
func TestDamagedObject(t *testing.T) {
	s := openDatabase(t, filepath.Join(t.TempDir(), "outbridge.db"), Key{})
	c := calendar(t, s)
	stage(t, s, c.ID, object("a.ics", "a", now, now))
	publish(t, s, c.ID, 1)
	for _, set := range []string{`data = 7`, `rev = 'x'`, `sequence = 'x'`} {
		if _, err := s.write.exec(t.Context(), `UPDATE object SET `+set); err != nil {
			t.Fatal(err)
		}
		if o, err := s.Object(t.Context(), c.ID, "a.ics"); err == nil || errors.Is(err, bridge.ErrNotFound) {
			t.Errorf("%s: %v %v", set, o, err)
		}
		if _, err := s.write.exec(t.Context(), `UPDATE object SET data = x'00', rev = 1, sequence = 0`); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Object(t.Context(), c.ID, "a.ics"); err != nil {
		t.Error(err)
	}
}

func TestDirectConnections(t *testing.T) {
	dir := t.TempDir()
	s := openDatabase(t, filepath.Join(dir, "outbridge.db"), Key{})
	d := s.read.direct
	inside, leave := make(chan struct{}), make(chan struct{})
	hold := func() error {
		return d.each(context.Background(), `SELECT 1`, nil, func([]driver.Value) (bool, error) {
			inside <- struct{}{}
			<-leave
			return true, nil
		})
	}
	var all sync.WaitGroup
	for range maxDirect {
		all.Go(func() {
			if err := hold(); err != nil {
				t.Error(err)
			}
		})
	}
	for range maxDirect {
		<-inside
	}
	// Another one waits for its turn, as long as its context lasts.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.each(ctx, `SELECT 1`, nil, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// What is in use when the store is closed is closed when it is given back.
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	close(leave)
	all.Wait()
	if len(d.free) > 0 {
		t.Errorf("%d connections", len(d.free))
	}
	if _, err := s.Objects(t.Context(), 1, bridge.ObjectQuery{Limit: 1}); !errors.Is(err, errClosed) {
		t.Errorf("closed: %v", err)
	}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil { // else there is none here
		for _, fd := range fds {
			if to, _ := os.Readlink(fmt.Sprint("/proc/self/fd/", fd.Name())); filepath.Dir(to) == dir {
				t.Errorf("%s is open", to)
			}
		}
	}
}
