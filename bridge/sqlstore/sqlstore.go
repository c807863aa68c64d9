// Package sqlstore keeps everything that bridge has a contract for, over database/sql, in an SQLite file or on a PostgreSQL server. From a
// file, what clients ask for most is read without database/sql: see direct.
//
// It is dumb: it keeps rows and decides nothing about them. Of conversion it knows the types that rows and differences have. Its queries
// are written once, in the SQL that both databases know: dialect.go has what differs.
//
// SQLite runs in WAL mode with synchronous=FULL, so that a write is on the disk when its call returns and readers never wait for the
// writer. Only the pages of a round (Mirror, Stage) do not wait for the disk, since each of them holds the cursor that makes what
// follows again; what is published does, and with it everything before.
// All writes go through one connection that begins its transactions IMMEDIATE, so they never fail halfway on a
// lock that another process holds; they wait for it up to busyTimeout.
//
// On a server every write waits for the disk, and each that changes a calendar locks the calendar's row before anything else: see server.
package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the database/sql driver "sqlite"

	"outbridge/bridge"
)

//go:embed migrations
var migrations embed.FS

const (
	busyTimeout = 10 * time.Second
	readers     = 8 // connections that read
	// checkpointPages are so many of 4 kB that are written between two checkpoints, each of which waits for the disk twice: four times as
	// many as by default, since a first sync writes the same pages of indexes over and over.
	checkpointPages = 4000
	// tempStore keeps what a statement of some size needs for itself out of the folder for temporary files, which may be
	// missing, read-only or full: an image has none, and the unit of a service may hide it.
	tempStore = "temp_store(memory)"
)

// Store is all parts of the store's contract, in an SQLite file or on a PostgreSQL server.
type Store struct {
	key   Key
	read  *db
	write *db // one connection
	cache *cache
	uses  *uses

	beganAgain bool
}

var _ interface {
	bridge.AccountStore
	bridge.SignInStore
	bridge.SubscriptionStore
	bridge.CalendarStore
	bridge.MirrorStore
	bridge.ProgressStore
	bridge.StagingStore
	bridge.StatusStore
	bridge.ObjectStore
	bridge.PasswordStore
	bridge.FeedStore
	bridge.PropertyStore
	bridge.PushStore
	bridge.AdministratorStore
	bridge.PageStore
	bridge.TicketStore
	bridge.WriteStore
	bridge.NoticeStore
	bridge.WrittenStore
	bridge.LearnedStore
	bridge.BriefStore
	bridge.PeopleStore
	bridge.RecordStore
	bridge.LeaseStore
	bridge.TurnStore
	bridge.MachineStore
	bridge.AttemptStore
	bridge.FigureStore
} = (*Store)(nil)

// Open opens the database, a file or the URL of one on a server, making it or bringing its schema up to date. A schema newer than this
// program knows is refused, unless the newer one says that this program goes on with it. Where what is in the database is packed for the
// first time, which takes a while for a large one, report is told how far it is.
func Open(ctx context.Context, path string, key Key, report ...func(Packing)) (*Store, error) {
	tell := func(p Packing) {
		for _, r := range report {
			r(p)
		}
	}
	if IsServer(path) {
		return openServer(ctx, path, key, tell)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if err := private(abs); err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	w, err := sql.Open("sqlite", dsn(abs, false))
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	w.SetMaxOpenConns(1)
	r, err := sql.Open("sqlite", dsn(abs, true))
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	r.SetMaxOpenConns(readers)
	r.SetMaxIdleConns(readers)
	s := &Store{key: key, read: &db{DB: r, path: abs}, write: &db{DB: w, path: abs}, cache: new(cache)}
	s.uses = &uses{write: s.write}
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err == nil {
		err = s.migrate(ctx, abs, files, tell)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("database %s: %w", path, explain(abs, err))
	}
	if s.read.direct, err = newDirect(r.Driver(), dsn(abs, true)); err != nil {
		s.Close()
		return nil, fmt.Errorf("database %s: %w", path, explain(abs, err))
	}
	if err = s.cache.open(r.Driver(), dsn(abs, true)); err != nil {
		s.Close()
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	return s, nil
}

// private makes the file, where it is missing, readable by its owner alone: SQLite would let everybody read it, and
// gives the files beside it the same mode.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(path, os.O_RDWR, 0)
	} else if err == nil {
		err = OwnLikeFolder(path)
	}
	if err != nil {
		return err
	}
	return f.Close()
}

func dsn(abs string, readOnly bool) string {
	q := url.Values{"_pragma": {
		"busy_timeout(" + fmt.Sprint(busyTimeout.Milliseconds()) + ")",
		"journal_mode(wal)", "synchronous(full)", "foreign_keys(on)", tempStore,
	}}
	// The pages of all connections are one pool here: each connection may fill what the others leave free, so what the writer is allowed
	// counts as much as what readers are. A page takes twice its size, and the operating system has the file in memory.
	if readOnly {
		q.Add("_pragma", "query_only(on)")
		q.Add("_pragma", "cache_size(-500)")
	} else {
		q.Add("_pragma", "cache_size(-1000)")
		q.Add("_pragma", fmt.Sprintf("wal_autocheckpoint(%d)", checkpointPages))
		q.Set("_txlock", "immediate")
	}
	return (&url.URL{Scheme: "file", Path: abs, RawQuery: q.Encode()}).String()
}

// migrate brings the schema up to date, and keeps a copy of a database as it was before, beside it.
func (s *Store) migrate(ctx context.Context, path string, files fs.FS, tell func(Packing)) error {
	p, err := goose.NewProvider(goose.DialectSQLite3, s.write.DB, files)
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > want {
		return fmt.Errorf("it was written by a newer outbridge (schema %d, this one knows %d): use that version", have, want)
	}
	if have > 0 && have < want {
		if err := keepBefore(ctx, path, want); err != nil {
			return err
		}
	}
	if _, err := p.Up(ctx); err != nil {
		return err
	}
	if err := s.packOld(ctx, tell); err != nil {
		return err
	}
	if freed, left := s.giveBack(ctx, path, room); freed > 0 || left != nil {
		tell(Packing{Freed: freed, Left: left})
	}
	return nil
}

// Close ends the use of the database.
func (s *Store) Close() error {
	s.uses.close()
	if pool := s.Pool(); pool != nil {
		err := s.write.Close()
		pool.Close()
		return err
	}
	return errors.Join(s.cache.close(), s.read.direct.close(), s.read.Close(), s.write.Close())
}

const hasContent = `SELECT EXISTS (SELECT 1 FROM account) OR EXISTS (SELECT 1 FROM password) OR EXISTS (SELECT 1 FROM feed)
	OR EXISTS (SELECT 1 FROM meta WHERE key = ? OR key = '` + metaDirectory + `')`

// Empty reports whether nobody has entered anything yet: no account, administrator, password or feed, and no organization was served.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	var any bool
	err := s.read.row(ctx, hasContent, metaAdministrator).Scan(&any)
	if err != nil {
		return false, fmt.Errorf("look for content: %w", err)
	}
	return !any, nil
}

// Ping reads from the database, for health checks.
func (s *Store) Ping(ctx context.Context) error {
	var n int
	return s.read.row(ctx, `SELECT count(*) FROM meta`).Scan(&n)
}

// unix is t as it is stored: unix seconds, or NULL for the zero time.
func unix(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.Unix(), Valid: !t.IsZero()}
}

// unixTime scans what unix stored.
type unixTime struct{ *time.Time }

func (i unixTime) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*i.Time = time.Time{}
	case int64:
		*i.Time = time.Unix(v, 0).UTC()
	default:
		return fmt.Errorf("an instant is %T", v)
	}
	return nil
}

func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return bridge.ErrNotFound
	}
	return err
}

func collect[T any](rows *sql.Rows, err error, scan func(*sql.Rows) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	if err := rows.Err(); err != nil {
		return list, midway(err)
	}
	return list, nil
}
