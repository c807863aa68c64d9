package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/sqlstore"
)

type migrateCmd struct {
	To           string `required:"" help:"URL of an empty PostgreSQL database, like postgres://outbridge@db.example.com/outbridge." placeholder:"URL"`
	PasswordFile string `help:"File with the password for it." type:"existingfile" placeholder:"FILE" name:"password-file"`
	configFlag
}

// Run copies the SQLite database to a server. It changes neither the file nor the configuration.
func (m *migrateCmd) Run(e *env) error {
	c, err := m.load()
	if err != nil {
		return err
	}
	if c.onServer() {
		return fmt.Errorf("migrate: the database is %s already: PostgreSQL's own tools move it to another server", c.Database)
	}
	if !sqlstore.IsServer(m.To) {
		return fmt.Errorf("migrate: --to %q is no URL of PostgreSQL: write it like postgres://outbridge@db.example.com/outbridge", sqlstore.WithoutPassword(m.To))
	}
	to := *c
	to.Database, to.DatabasePasswordFile, to.database = m.To, m.PasswordFile, ""
	if err := to.checkDatabase(); err != nil {
		return fmt.Errorf("migrate: --to: %w", err)
	}
	to.resolveServer()
	if has, err := c.hasDatabase(e.ctx); err != nil || !has {
		return errors.Join(err, fmt.Errorf("migrate: there is no database %s", c.Database))
	}
	if _, err := os.Lstat(c.KeyFile); err != nil {
		return fmt.Errorf("migrate: the key: %w", err)
	}
	key, err := sqlstore.ReadKey(c.KeyFile)
	if err != nil {
		return err
	}
	unlock, err := c.lockDatabase()
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer unlock()
	if err := sqlstore.CheckKey(e.ctx, c.Database, key); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	fmt.Fprintf(e.stdout, "From %s to %s. Each table is read back there; the sum of its rows is what both came to.\n", c.Database, to.Database)
	var tables, rows int64
	begun := time.Now()
	err = sqlstore.CopyToServer(e.ctx, c.Database, to.databaseURL(), key, func(t sqlstore.Copied) {
		switch {
		case t.Sum == "":
			fmt.Fprintf(e.stdout, "%s: %d rows so far\n", t.Table, t.Rows)
			return
		case t.Mended > 0:
			fmt.Fprintf(e.stdout, "%s: %d texts had octets that are no UTF-8, or NUL, which PostgreSQL does not take: they have the replacement character now\n", t.Table, t.Mended)
		}
		tables, rows = tables+1, rows+t.Rows
		fmt.Fprintf(e.stdout, "%s: %d rows, sum %.16s\n", t.Table, t.Rows, t.Sum)
	})
	if errors.Is(err, bridge.ErrExists) {
		return fmt.Errorf("migrate: %w: name an empty database; nothing was changed", err)
	}
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	fmt.Fprintf(e.stdout, "Good: %d rows of %d tables, in %v.\n", rows, tables, time.Since(begun).Round(time.Second))
	fmt.Fprintf(e.stdout, "Now set in the configuration: database = %q\n", to.Database)
	if m.PasswordFile != "" {
		fmt.Fprintf(e.stdout, "and: database_password_file = %q\n", m.PasswordFile)
	}
	_, err = fmt.Fprintf(e.stdout, "Keep the key %s: every machine needs the same one. Then run `outbridge serve`, and move %s away, so that nobody serves it again; clients go on as if nothing had happened.\n", c.KeyFile, c.Database)
	return err
}
