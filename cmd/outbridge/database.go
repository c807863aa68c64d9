package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"outbridge/bridge/sqlstore"
)

// onServer reports whether the database is on a PostgreSQL server, and not a file.
func (c *config) onServer() bool { return sqlstore.IsServer(c.Database) }

// store is what the database is opened by: database itself, or its URL with the password, which is nowhere else.
func (c *config) databaseURL() string {
	if c.database != "" {
		return c.database
	}
	return c.Database
}

// resolveServer keeps the URL of a server apart from what is shown of it.
func (c *config) resolveServer() {
	if !c.onServer() || c.database != "" {
		return
	}
	c.database = c.Database
	if c.DatabasePasswordFile != "" {
		c.database = sqlstore.WithPasswordFile(c.database, c.DatabasePasswordFile)
	}
	c.Database = sqlstore.WithoutPassword(c.Database)
}

// checkDatabase checks where the database is to be.
func (c *config) checkDatabase() error {
	switch {
	case c.Database == "" || c.KeyFile == "":
		return errors.New("database and key_file must not be empty")
	case c.onServer() && c.database == "":
		if err := sqlstore.CheckURL(c.Database); err != nil {
			return fmt.Errorf("database = %q: %w", sqlstore.WithoutPassword(c.Database), err)
		}
	case !c.onServer() && strings.Contains(c.Database, "://"):
		return fmt.Errorf("database = %q is neither a file nor a URL of PostgreSQL: write it like postgres://user@host/database", sqlstore.WithoutPassword(c.Database))
	case !c.onServer() && c.DatabasePasswordFile != "":
		return errors.New("database_password_file is for a database on a PostgreSQL server: leave it empty with a file")
	}
	return nil
}

// dataFolder is where this machine keeps what is no part of the database: rendered feeds and certificates.
func (c *config) dataFolder() string {
	switch {
	case c.DataFolder != "":
		return c.DataFolder
	case c.onServer():
		return filepath.Dir(c.KeyFile)
	}
	return filepath.Dir(c.Database)
}

// hasDatabase reports whether there is anything in the database. Of a server that cannot be asked it is not known, which is an error.
func (c *config) hasDatabase(ctx context.Context) (bool, error) {
	if c.onServer() {
		empty, err := sqlstore.ServerEmpty(ctx, c.databaseURL())
		return !empty, err
	}
	info, err := os.Stat(c.Database)
	return err == nil && info.Size() > 0, nil
}

// refuseNewKey refuses to make a new key for an existing database: no password and no feed address would be known, and
// clients would be told that their calendars are gone.
func (c *config) refuseNewKey(ctx context.Context) error {
	if _, err := os.Lstat(c.KeyFile); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if has, err := c.hasDatabase(ctx); err != nil || !has {
		return err
	}
	return fmt.Errorf("the key %s is missing, and the database %s was made with one: put it back from your copy, with mode 0600; if it is lost, make a new one with `outbridge init --key-only --lost` and sign in again with `outbridge login`", c.KeyFile, c.Database)
}

func (c *config) errNoDatabase() error {
	back := "bring a backup back with `outbridge restore FILE --force`"
	if c.onServer() {
		back = "bring a backup back with pg_restore and then run `outbridge restore --begin-again`"
	}
	return fmt.Errorf("the database %s is empty or missing, and the key %s was used with one: check database in the configuration, or %s; to start over, move the key and the folder %s away", c.Database, c.KeyFile, back, c.feedCache())
}
