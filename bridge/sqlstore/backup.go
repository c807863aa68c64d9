package sqlstore

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"outbridge/bridge"
)

// Backup writes a copy of the database at path to the file to, of mode 0600, while other processes read and write it:
// the copy is what one moment held. A file that is there already is only replaced where replace says so, and whole: a
// copy that fails leaves it as it was.
func Backup(ctx context.Context, path, to string, replace bool) error {
	if _, err := os.Lstat(to); err == nil && !replace {
		return fmt.Errorf("backup: %s: %w", to, bridge.ErrExists)
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("backup: there is nothing to copy: %w", err)
	}
	part, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".part-*") // of mode 0600; VACUUM takes an empty file
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer os.Remove(part.Name())
	defer part.Close()
	if err := vacuumInto(ctx, path, part.Name()); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if _, err := Check(ctx, part.Name()); err != nil {
		return fmt.Errorf("backup: the copy is not good: %w", err)
	}
	if err := part.Sync(); err != nil { // VACUUM does not, for a copy
		return fmt.Errorf("backup: %w", err)
	}
	if err := errors.Join(OwnLikeFolder(part.Name()), os.Rename(part.Name(), to)); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return syncDir(to)
}

func vacuumInto(ctx context.Context, path, to string) error {
	db, err := openFile(path, "ro")
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, to)
	return err
}

// openFile opens an SQLite file without making or migrating it; mode is "ro" or "rw".
func openFile(path, mode string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	q := url.Values{"mode": {mode}, "_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), tempStore}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: abs, RawQuery: q.Encode()}).String())
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// Check reads the database file at path through, changing nothing, and returns the version of its schema. What is wrong
// with the file is a *FileError: damage, another program's file, a schema newer than Schema, or what keeps it from being read.
func Check(ctx context.Context, path string) (schema int64, err error) {
	if _, err := os.Stat(path); err != nil {
		return 0, err
	}
	db, err := openFile(path, "ro")
	if err != nil {
		return 0, err
	}
	defer db.Close()
	var result string
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&result); err != nil {
		return 0, fmt.Errorf("%s cannot be read as a database: %w", path, explain(path, err))
	}
	if result != "ok" {
		return 0, &FileError{Damaged, path, fmt.Errorf("%s: %s", path, strings.Join(strings.Fields(result), " "))}
	}
	err = db.QueryRowContext(ctx, `SELECT max(version_id) FROM goose_db_version WHERE is_applied AND EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'calendar')`).Scan(&schema)
	if err = explain(path, err); errors.As(err, new(*FileError)) || errors.Is(err, bridge.ErrBusy) {
		return 0, err
	}
	if err != nil || schema == 0 {
		return 0, &FileError{Foreign, path, fmt.Errorf("%s is no database of outbridge", path)}
	}
	if schema > Schema() {
		return schema, &FileError{Newer, path, fmt.Errorf("%s was written by a newer outbridge (schema %d, this one knows %d): use that version", path, schema, Schema())}
	}
	return schema, nil
}

// CheckKey reports, by an error, that the sign-ins in the database file at path were sealed with another key, each of them: where one
// is made again, the new key counts. A database without any is content with every key.
func CheckKey(ctx context.Context, path string, key Key) error {
	db, err := openFile(path, "ro")
	if err != nil {
		return err
	}
	defer db.Close()
	err = checkKey(ctx, db, key)
	if err != nil && !errors.Is(err, bridge.ErrWrongKey) {
		return fmt.Errorf("%s is no database of outbridge: %w", path, err)
	}
	return err
}

// metaKey is where a database has the proof of its key: passwords and feeds are told by their hashes under it, which look the same
// under any.
const metaKey = "key"

func (k Key) proof() []byte { return k.digest(metaKey, "") }

// CheckKey is the function of that name for a store that is open. From then on the database knows its key. Of several that are the first
// at once, one wins.
func (s *Store) CheckKey(ctx context.Context) error {
	if err := checkKey(ctx, s.read.DB, s.key); err != nil {
		return err
	}
	if _, err := s.write.exec(ctx, `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING`, metaKey, s.key.proof()); err != nil {
		return fmt.Errorf("the proof of the key: %w", err)
	}
	if err := checkKey(ctx, s.read.DB, s.key); err != nil {
		return err
	}
	// Somebody may have signed in with a new one, since the former was lost.
	if _, err := s.write.exec(ctx, `UPDATE meta SET value = ?2 WHERE key = ?1 AND value <> ?2`, metaKey, s.key.proof()); err != nil {
		return fmt.Errorf("the proof of the key: %w", err)
	}
	return nil
}

// TakeKey has the database take this key for its own, though it was made with another one, which is lost.
func (s *Store) TakeKey(ctx context.Context) error {
	if err := s.setMeta(ctx, metaKey, s.key.proof()); err != nil {
		return fmt.Errorf("take the key: %w", err)
	}
	return nil
}

func checkKey(ctx context.Context, db *sql.DB, key Key) error {
	var proof []byte
	switch err := db.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = '`+metaKey+`'`).Scan(&proof); {
	case err == nil && hmac.Equal(proof, key.proof()):
		return nil
	case err == nil: // unless somebody has signed in with this one
	default: // it is of an older version: what is sealed tells
		var box []byte
		if err := db.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = '`+vapidKey+`'`).Scan(&box); err == nil {
			if _, err := key.open(box, vapidKey); err != nil {
				proof = box
			}
		}
	}
	rows, err := db.QueryContext(ctx, `SELECT id, token FROM account WHERE token IS NOT NULL`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var other error
	if proof != nil {
		other = bridge.ErrWrongKey
	}
	for rows.Next() {
		var id bridge.AccountID
		var box []byte
		if err := rows.Scan(&id, &box); err != nil {
			return err
		}
		if _, other = key.open(box, tokens{id: id}.row()); other == nil {
			return nil
		}
	}
	return errors.Join(rows.Err(), other)
}

// Schema is the version that Open brings a database to.
func Schema() int64 {
	files, err := fs.Glob(migrations, "migrations/sqlite/*.sql")
	if err != nil || len(files) == 0 {
		panic("there are no migrations in the program")
	}
	number, _, _ := strings.Cut(filepath.Base(files[len(files)-1]), "_")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		panic(err) // the name of a file of the program
	}
	return n
}

// Restore puts a copy of the backup from in the place of the database at path, which nobody may serve meanwhile, and
// returns where the database that was there lies now, "" if there was none. The backup is checked first. Every calendar
// gets a new epoch: its revs begin again from an earlier one, so what clients know of later ones must not count. Writes that were
// under way then are not taken up again.
func Restore(ctx context.Context, from, path string) (aside string, err error) {
	if _, err := Check(ctx, from); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	part, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".part-*")
	if err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	defer os.Remove(part.Name())
	defer part.Close()
	if err := vacuumInto(ctx, from, part.Name()); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	if err := beginAgain(ctx, part.Name()); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	if err := part.Sync(); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	if err := OwnLikeFolder(part.Name()); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	if _, err := os.Lstat(path); err == nil {
		aside = path + ".before-restore-" + time.Now().UTC().Format("20060102T150405.000Z")
		// The files beside it belong to it: left behind, SQLite would take them for the new one's.
		for _, suffix := range []string{"-wal", "-shm", ""} {
			if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", fmt.Errorf("restore: %w", err)
			}
		}
	}
	if err := os.Rename(part.Name(), path); err != nil {
		return aside, fmt.Errorf("restore: %w", err)
	}
	if aside != "" {
		fold(ctx, aside)
	}
	return aside, syncDir(path)
}

// fold makes one file of a database and those beside it, if it can be read: else they stay, since they may hold what its owner still
// wants.
func fold(ctx context.Context, path string) {
	db, err := openFile(path, "rw")
	if err != nil {
		return
	}
	defer db.Close()
	var mode string
	_ = db.QueryRowContext(ctx, `PRAGMA journal_mode = DELETE`).Scan(&mode)
}

// beginAgain makes a restored database one that clients do not take for the one that they knew, and that repeats no write.
func beginAgain(ctx context.Context, path string) error {
	db, err := openFile(path, "rw")
	if err != nil {
		return err
	}
	defer db.Close()
	seed := make([]byte, 8)
	rand.Read(seed)
	// The id keeps the epochs of two calendars apart.
	_, err = db.ExecContext(ctx, `UPDATE calendar SET epoch = ? || 'c' || id`, hex.EncodeToString(seed))
	if err != nil {
		return err
	}
	return endIntents(ctx, db)
}

// endIntents ends what was not done when a backup was made: it may have been since, and nobody is to be mailed twice.
func endIntents(ctx context.Context, db *sql.DB) error {
	var kept bool
	err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'intent')`).Scan(&kept)
	if err == nil && kept {
		_, err = db.ExecContext(ctx, `UPDATE intent SET state = ? WHERE state = ?`, bridge.IntentUnknown, bridge.IntentOpen)
	}
	return err
}

// syncDir makes the names in the folder of path durable.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// keepBefore copies the database as it is before the migrations to a version, beside it. It replaces the copy of an
// earlier attempt.
func keepBefore(ctx context.Context, path string, version int64) error {
	to := fmt.Sprintf("%s.before-v%d", path, version)
	part := fmt.Sprintf("%s.%d", to, os.Getpid())
	defer os.Remove(part)
	err := Backup(ctx, path, part, true)
	var schema int64
	if err == nil {
		schema, err = Check(ctx, part)
	}
	// Another process may have migrated it a moment ago: then that one has the copy.
	if err == nil && schema < version {
		err = os.Rename(part, to)
	}
	if err != nil {
		return fmt.Errorf("no copy could be made before its schema is changed: %w", err)
	}
	return nil
}
