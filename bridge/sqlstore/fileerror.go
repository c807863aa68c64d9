package sqlstore

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"outbridge/bridge"
)

// Trouble is a kind of FileError.
type Trouble int

const (
	DiskFull    Trouble = iota + 1
	DiskFails           // the operating system answers with an error of the device
	NotWritable         // permissions, a read-only file system, or a missing folder
	Damaged             // what is in the file is no longer what SQLite wrote
	Foreign             // the file is another program's
	Newer               // a newer version of this program wrote it
)

// FileError is why a database file cannot be used. Of these, only Damaged needs a backup.
type FileError struct {
	Trouble Trouble
	Path    string
	Err     error // says more; never nil
}

func (e *FileError) Error() string {
	switch e.Trouble {
	case DiskFull:
		return fmt.Sprintf("the disk is full: make room for the database; what was there is kept and served (%v)", e.Err)
	case DiskFails:
		return fmt.Sprintf("the disk of the database fails: look into the system's log (%v)", e.Err)
	case NotWritable:
		return fmt.Sprintf("the database cannot be written: check who owns it and its folder (%v)", e.Err)
	case Damaged:
		return fmt.Sprintf("the database is damaged: restore a backup, or move it away and sign in again (%v)", e.Err)
	}
	return e.Err.Error()
}

func (e *FileError) Unwrap() error { return e.Err }

// Is makes a full disk ErrNoRoom.
func (e *FileError) Is(target error) bool {
	return target == bridge.ErrNoRoom && e.Trouble == DiskFull
}

// explain makes a FileError of what SQLite answers for the database at path, and ErrBusy where another program holds it.
func explain(path string, err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) || errors.As(err, new(*FileError)) {
		return err
	}
	code := e.Code() & 0xff // the primary result code
	if e.Code() == sqlite3.SQLITE_IOERR_SHMSIZE {
		code = sqlite3.SQLITE_FULL // no room for the file that connections share
	}
	switch code {
	case sqlite3.SQLITE_BUSY:
		return fmt.Errorf("%w (waited %v: %v)", bridge.ErrBusy, busyTimeout, err)
	case sqlite3.SQLITE_FULL:
		return &FileError{DiskFull, path, err}
	case sqlite3.SQLITE_IOERR:
		return &FileError{DiskFails, path, err}
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN:
		return &FileError{NotWritable, path, err}
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return &FileError{Damaged, path, err}
	}
	return err
}
