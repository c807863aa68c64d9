package sqlstore

import (
	"database/sql"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"outbridge/bridge"
	"outbridge/bridge/sqlstore/pgtest"
)

// TestServerRestarts: whoever uses the store while the server crashes and starts again, or ends all connections, reads on and writes on;
// what is reported as written is there.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	s := openDatabase(t, server.URL("postgres"), freshKey())
	c := calendar(t, s)
	_, secret, err := s.AddPassword(t.Context(), "alice", "", now)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var end atomic.Bool
	var reads, writes atomic.Int64
	for range 2 {
		all.Go(func() {
			for !end.Load() {
				if !checks(t.Context(), t, s, "alice", secret) {
					t.Error("the password is not known")
				}
				reads.Add(1)
			}
		})
	}
	all.Go(func() {
		for cal := c; !end.Load(); {
			seq, err := s.Mirror(t.Context(), bridge.MirrorPage{Calendar: c.ID, Seq: cal.Seq, Rows: []bridge.Row{row("x", "x", bridge.KindSingle, 1)}})
			switch {
			case err == nil:
				cal.Seq = seq
				writes.Add(1)
			case errors.Is(err, bridge.ErrBusy), errors.Is(err, bridge.ErrConflict): // that before this may have been written
				cal = must(s.Calendar(t.Context(), c.ID))(t)
			default:
				t.Error(err)
				return
			}
		}
	})
	more := func(n *atomic.Int64) {
		for before := n.Load(); n.Load() < before+5 && !t.Failed(); {
			must(s.Calendar(t.Context(), c.ID))(t)
		}
	}
	for _, signal := range []string{"INT", "QUIT", "INT"} {
		more(&reads)
		more(&writes)
		server.Restart(t, signal)
		must(s.Calendar(t.Context(), c.ID))(t)
	}
	more(&writes)
	end.Store(true)
	all.Wait()
	if seq := must(s.Calendar(t.Context(), c.ID))(t).Seq; seq < writes.Load() {
		t.Errorf("seq %d after %d writes", seq, writes.Load())
	}
}

// TestServerErrors: what is wrong with a server is told by its kind, with the name of the database.
func TestServerErrors(t *testing.T) {
	t.Parallel()
	database, key := pgtest.URL(t), freshKey()
	s := openDatabase(t, database, key)
	c := calendar(t, s)
	trouble := func(err error) ServerTrouble {
		t.Helper()
		var e *ServerError
		if !errors.As(err, &e) {
			t.Fatalf("%v", err)
		}
		if name, _, _ := strings.Cut(strings.TrimPrefix(database, "postgres://postgres@/"), "?"); !strings.Contains(err.Error(), name) && e.Trouble != ServerRefuses {
			t.Errorf("it does not name the database: %v", err)
		}
		if passes := e.Trouble == ServerBusy || e.Trouble == ServerUnreachable; errors.Is(err, bridge.ErrBusy) != passes {
			t.Errorf("ErrBusy: %v", err)
		}
		return e.Trouble
	}
	write := func(s *Store) error { return s.SetWay(t.Context(), c.ID, "view") }

	hasty := openDatabase(t, database+"&lock_timeout=50", key)
	tx := must(s.write.BeginTx(t.Context(), nil))(t)
	must(tx.Exec(`UPDATE calendar SET way = 'x'`))(t)
	if got := trouble(write(hasty)); got != ServerBusy {
		t.Errorf("a row that is locked: %d", got)
	}
	tx.Rollback()
	slow := openDatabase(t, database+"&statement_timeout=50", key)
	if _, err := slow.write.exec(t.Context(), `SELECT pg_sleep(10)`); trouble(err) != ServerBusy {
		t.Errorf("a statement that takes too long: %v", err)
	}
	standby := openDatabase(t, database+"&default_transaction_read_only=on", key)
	if got := trouble(write(standby)); got != ServerReadOnly {
		t.Errorf("a standby: %d", got)
	}
	must(s.write.Exec(`CREATE ROLE weak_` + c.Epoch + ` LOGIN`))(t)
	t.Cleanup(func() {
		_, _ = s.write.Exec(`DROP OWNED BY weak_` + c.Epoch)
		_, _ = s.write.Exec(`DROP ROLE weak_` + c.Epoch)
	})
	weak := strings.Replace(database, "postgres@", "weak_"+c.Epoch+"@", 1)
	_, err := Open(t.Context(), weak, key)
	if got := trouble(err); got != ServerForbids {
		t.Errorf("a user without rights: %d", got)
	}
	_, err = Open(t.Context(), strings.Replace(database, "@/", "@/no_", 1), key)
	if got := trouble(err); got != ServerRefuses {
		t.Errorf("no such database: %d", got)
	}
	_, err = Open(t.Context(), strings.Replace(database, "host=", "host=%2Fnowhere", 1), key)
	if got := trouble(err); got != ServerUnreachable {
		t.Errorf("no server: %d", got)
	}
	taken := pgtest.URL(t)
	other := must(sql.Open("pgx", taken))(t)
	defer other.Close()
	must(other.Exec(`CREATE TABLE account (x INTEGER)`))(t)
	_, err = Open(t.Context(), taken, key)
	var e *ServerError
	if !errors.As(err, &e) || e.Trouble != ServerTaken {
		t.Errorf("tables of another program: %v", err)
	}
	state, err := InspectServer(t.Context(), database)
	if err != nil || state.Number < OldestServer || !state.MayCreate || !state.Owner || !state.Local || state.Durable || state.ReadOnly || state.Empty ||
		state.Schema != Schema() || state.Clock.Abs() > hour(1)/60 || state.Connections < 1 || state.MaxConnections != 400 {
		t.Errorf("%+v, %v", state, err)
	}
}
