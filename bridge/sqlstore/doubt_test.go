package sqlstore

import (
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"outbridge/bridge"
	"outbridge/bridge/sqlstore/pgtest"
)

// A forgetful way to a server lets everything through until it is armed. Then what comes next for the server is done, and its answer is
// replaced by last, after which the connection ends.
type forgetful struct {
	armed atomic.Bool
	last  []byte
}

// before makes a way to a database, and returns the URL of the database through it.
func (f *forgetful) before(t *testing.T, database string) string {
	t.Helper()
	u := must(url.Parse(database))(t)
	q := u.Query()
	server := filepath.Join(q.Get("host"), ".s.PGSQL.5432")
	dir := must(os.MkdirTemp("", "outbridge-way-"))(t) // short, for the name of a socket
	t.Cleanup(func() { os.RemoveAll(dir) })
	l := must(net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432")))(t)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go f.pass(client, server)
		}
	}()
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	return u.String()
}

func (f *forgetful) pass(client net.Conn, address string) {
	defer client.Close()
	server, err := net.Dial("unix", address)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	b := make([]byte, 64<<10)
	for {
		n, err := server.Read(b)
		if err != nil {
			return
		}
		if f.armed.Load() && strings.Contains(string(b[:n]), "C\x00\x00\x00") && f.armed.CompareAndSwap(true, false) { // a command is complete
			_, _ = client.Write(f.last)
			return
		}
		if _, err := client.Write(b[:n]); err != nil {
			return
		}
	}
}

// TestAnswerIsLost: a write whose answer is lost may have been done. It is not done again, and reported as what may be tried again: also
// one row that is returned, and where a pooler says that it has lost the server.
func TestAnswerIsLost(t *testing.T) {
	t.Parallel()
	pooler := must((&pgproto3.ErrorResponse{Severity: "FATAL", Code: "08P01", Message: "server conn crashed?"}).Encode(nil))(t)
	ending := must((&pgproto3.ErrorResponse{Severity: "FATAL", Code: "57P01", Message: "shutting down"}).Encode(nil))(t)
	for name, last := range map[string][]byte{"closed": nil, "told by a pooler": pooler, "told by a pooler that ends": ending} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &forgetful{last: last}
			s := openDatabase(t, f.before(t, pgtest.URL(t)), freshKey())
			must(s.write.Exec(`CREATE TABLE noted (x INTEGER)`))(t)
			count := func(query string) (n int) {
				t.Helper()
				if err := s.read.row(t.Context(), query).Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n
			}
			for what, write := range map[string]func() error{
				"a statement": func() error {
					_, err := s.write.exec(t.Context(), `INSERT INTO noted VALUES (1)`)
					return err
				},
				"a returned row": func() error {
					var x int
					return s.write.row(t.Context(), `INSERT INTO noted VALUES (1) RETURNING x`).Scan(&x)
				},
			} {
				before := count(`SELECT count(*) FROM noted`)
				if err := write(); err != nil { // which is prepared from now on
					t.Fatal(err)
				}
				f.armed.Store(true)
				if err := write(); !errors.Is(err, bridge.ErrBusy) {
					t.Errorf("%s: %v", what, err)
				}
				if n := count(`SELECT count(*) FROM noted`) - before; n != 2 {
					t.Errorf("%s: done %d times, not 2", what, n)
				}
			}
			f.armed.Store(false)
			committed := 0
			ctx := t.Context()
			err := s.write.transact(ctx, func(tx tx) error {
				committed++
				if _, err := tx.exec(ctx, `INSERT INTO noted VALUES (2)`); err != nil {
					return err
				}
				f.armed.Store(true)
				return nil
			})
			if n := count(`SELECT count(*) FROM noted WHERE x = 2`); !errors.Is(err, bridge.ErrBusy) || committed != 1 || n != 1 {
				t.Errorf("a transaction: done %d times, %d rows, %v", committed, n, err)
			}
		})
	}
}
