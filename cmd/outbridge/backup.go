package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"outbridge/bridge"
	"outbridge/bridge/sqlstore"
)

type backupCmd struct {
	File string `arg:"" help:"File to write." type:"path"`
	configFlag
	WithKey bool `help:"Also copy the key, to FILE.key. Together the two files give access to every mailbox: guard them like passwords."`
	Force   bool `help:"Overwrite an existing file."`
}

// Run copies the database while a server uses it.
func (b *backupCmd) Run(e *env) error {
	c, err := b.load()
	if err != nil {
		return err
	}
	if c.onServer() {
		return fmt.Errorf("the database is on a PostgreSQL server, whose own tools back it up while it is used: pg_dump --format=custom --file=%s '%s'; keep a copy of the key %s elsewhere", quoted(b.File), sqlstore.ForTools(c.databaseURL()), c.KeyFile)
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
		fmt.Fprintf(e.stdout, "It is useless without the key %s: keep a copy of the key elsewhere.\n", c.KeyFile)
		return nil
	}
	if err := copySecret(c.KeyFile, b.File+".key", b.Force); err != nil {
		return fmt.Errorf("backup: the key: %w", err)
	}
	fmt.Fprintf(e.stdout, "%s.key: anyone who has both files can read the calendars and sign-ins.\n", b.File)
	return nil
}

type restoreCmd struct {
	File string `arg:"" optional:"" help:"File made by backup." type:"existingfile"`
	configFlag
	Force      bool `help:"Replace an existing database; the old one is kept under another name."`
	BeginAgain bool `help:"On a PostgreSQL server that holds an older state than before: have clients load their calendars again." name:"begin-again"`
}

// Run replaces the database with a backup.
func (r *restoreCmd) Run(e *env) error {
	c, err := r.load()
	if err != nil {
		return err
	}
	if c.onServer() {
		return r.beginAgain(e)
	}
	switch {
	case r.BeginAgain:
		return errors.New("restore: --begin-again is for a database on a PostgreSQL server: a file that is restored begins again by itself")
	case r.File == "":
		return errors.New("restore: name the file that `outbridge backup` has made")
	}
	unlock, err := c.lockDatabase()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Lstat(c.Database); err == nil && !r.Force {
		return fmt.Errorf("restore: the database %s exists: replace it with --force; the old one is kept under another name", c.Database)
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
	if err := errors.Join(os.RemoveAll(c.feedCache()), os.RemoveAll(c.pulsePath())); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	fmt.Fprintf(e.stdout, "Restored %s from %s.\n", c.Database, r.File)
	if aside != "" {
		fmt.Fprintf(e.stdout, "The previous database is now %s.\n", aside)
	}
	fmt.Fprintln(e.stdout, "App passwords and feeds revoked since the backup work again. The next sync brings the calendars up to date: run `outbridge serve`.")
	return nil
}

// checkKey makes sure that the key opens the backup. If there is no key, it uses the one next to the backup.
func (r *restoreCmd) checkKey(ctx context.Context, c *config) error {
	path, beside := c.KeyFile, r.File+".key"
	_, err := os.Lstat(path)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing {
		if _, err := os.Lstat(beside); err != nil {
			return fmt.Errorf("the key %s is missing, and the backup is useless without it: put it there, with mode 0600", path)
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

// beginAgain is what is to be done once PostgreSQL's own tools have brought an earlier state back.
func (r *restoreCmd) beginAgain(e *env) error {
	if !r.BeginAgain || r.File != "" {
		return errors.New("restore: the database is on a PostgreSQL server: stop every outbridge, bring the backup back with pg_restore, or what the server's operator has, and then run `outbridge restore --begin-again`")
	}
	p, err := r.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	if err := p.nobodyServes(e.ctx); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	n, err := p.store.BeginAgain(e.ctx)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(p.conf.feedCache()); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	fmt.Fprintf(e.stdout, "%d calendars of %s begin again: clients load them once more. App passwords and feeds revoked since the backup work again.\n", n, p.conf.Database)
	return nil
}

// same reports whether two paths are one file.
func same(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// copySecret copies a small file; the copy has mode 0600.
func copySecret(from, to string, replace bool) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(to); err == nil && !replace {
		return fmt.Errorf("%s already exists: choose another name, or replace it with --force", to)
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
