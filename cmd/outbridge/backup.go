package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"outbridge/bridge"
	"outbridge/bridge/sqlstore"
)

type backupCmd struct {
	File string `arg:"" help:"File to write." type:"path"`
	configFlag
	WithKey bool `help:"Also copy the key, to FILE.key: together they open every sign-in, so keep them as safe as passwords."`
	Force   bool `help:"Replace a file that is there already."`
}

// Run copies the database while a server uses it.
func (b *backupCmd) Run(e *env) error {
	c, err := b.loadSQLite()
	if err != nil {
		return err
	}
	err = sqlstore.Backup(e.ctx, c.Database, b.File, b.Force)
	if errors.Is(err, bridge.ErrExists) {
		return fmt.Errorf("%w: choose another name, or replace it with --force", err)
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(b.File)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s: %.1f MiB.\n", b.File, float64(info.Size())/(1<<20))
	if !b.WithKey {
		fmt.Fprintf(e.stdout, "It is of no use without the key %s: keep a copy of that elsewhere.\n", c.KeyFile)
		return nil
	}
	if err := copySecret(c.KeyFile, b.File+".key", b.Force); err != nil {
		return fmt.Errorf("backup: the key: %w", err)
	}
	fmt.Fprintf(e.stdout, "%s.key: whoever has both can read the calendars and sign-ins.\n", b.File)
	return nil
}

type restoreCmd struct {
	File string `arg:"" help:"File that backup wrote." type:"existingfile"`
	configFlag
	Force bool `help:"Replace the database that is there; it is kept beside."`
}

// Run puts a backup in the place of the database.
func (r *restoreCmd) Run(e *env) error {
	c, err := r.loadSQLite()
	if err != nil {
		return err
	}
	unlock, err := c.lockDatabase()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Lstat(c.Database); err == nil && !r.Force {
		return fmt.Errorf("restore: there is a database %s: replace it with --force, it is kept beside", c.Database)
	}
	if same(r.File, c.Database) {
		return fmt.Errorf("restore: %s is the database itself: name a backup", r.File)
	}
	if err := r.checkKey(e.ctx, c); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	aside, err := sqlstore.Restore(e.ctx, r.File, c.Database)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(c.feedCache()); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	fmt.Fprintf(e.stdout, "%s is what %s holds.\n", c.Database, r.File)
	if aside != "" {
		fmt.Fprintf(e.stdout, "What was there is now %s.\n", aside)
	}
	fmt.Fprintln(e.stdout, "App passwords and feeds that were revoked since the backup work again. The next round brings the calendars up to date. Run `outbridge serve`.")
	return nil
}

// checkKey makes sure that the key opens the backup, and takes over the key that lies beside it where there is none.
func (r *restoreCmd) checkKey(ctx context.Context, c *config) error {
	path, beside := c.KeyFile, r.File+".key"
	_, err := os.Lstat(path)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing {
		if _, err := os.Lstat(beside); err != nil {
			return fmt.Errorf("there is no key %s, without which the backup is of no use: put it there, with mode 0600", path)
		}
		path = beside
	}
	key, err := sqlstore.ReadKey(path)
	if err != nil {
		return err
	}
	if err := sqlstore.CheckKey(ctx, r.File, key); err != nil {
		return err
	}
	if missing {
		return copySecret(beside, c.KeyFile, false)
	}
	return nil
}

// loadSQLite reads the configuration for a command that works on the database's file.
func (f configFlag) loadSQLite() (*config, error) {
	c, err := f.load()
	if err == nil && strings.Contains(c.Database, "://") {
		return nil, errors.New("the database is no file: back it up and restore it with pg_dump and pg_restore")
	}
	return c, err
}

// same reports whether two names lead to one file.
func same(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// copySecret copies a small file to one of mode 0600.
func copySecret(from, to string, replace bool) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(to); err == nil && !replace {
		return fmt.Errorf("%s exists already: choose another name, or replace it with --force", to)
	}
	part, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".part-*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(part.Name())
	_, err = part.Write(b)
	if err := errors.Join(err, part.Sync(), part.Close(), sqlstore.OwnLikeFolder(part.Name())); err != nil {
		return err
	}
	return os.Rename(part.Name(), to)
}
