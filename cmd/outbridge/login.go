package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/sqlstore"
)

type loginCmd struct {
	Account string `arg:"" help:"Account of the configuration."`
	configFlag
}

func (l *loginCmd) Run(e *env) error {
	c, err := l.load()
	if err != nil {
		return err
	}
	c.oneShot()
	account, err := c.account(l.Account)
	if err != nil {
		return err
	}
	if account.Mailbox != "" {
		return fmt.Errorf("account %s is app-only (it has a mailbox in the configuration): it needs no sign-in, run `outbridge sync`", account.Name)
	}
	store, err := c.openStore(e.ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	err = c.signIn(e.ctx, store, account.Name, func(d *graph.DeviceAuth) {
		fmt.Fprintf(e.stdout, "To sign in as %s, open %s and enter the code %s", account.Name, d.VerificationURI, d.UserCode)
		if left := time.Until(d.Expires).Round(time.Minute); left > 0 {
			fmt.Fprintf(e.stdout, " (valid for %d minutes)", int(left.Minutes()))
		}
		fmt.Fprintln(e.stdout, ".")
	})
	if err != nil {
		return forAccount(err, account.Name)
	}
	m, err := c.mailbox(e.ctx, store, c.logger(e.stderr), account)
	if err != nil {
		return err
	}
	cals, err := m.Graph.Calendars(e.ctx)
	if err != nil {
		return fmt.Errorf("signed in, but the calendars cannot be read: %w", forAccount(err, account.Name))
	}
	var names []string
	for _, cal := range cals {
		names = append(names, cal.Name)
	}
	fmt.Fprintf(e.stdout, "Signed in. Calendars: %s.\n", strings.Join(names, ", "))
	return nil
}

// signIn goes through the device code sign-in and keeps its token. show is called with the code for the person.
func (c *config) signIn(ctx context.Context, store *sqlstore.Store, account string, show func(*graph.DeviceAuth)) error {
	authority, err := c.authority(c.scopes())
	if err != nil {
		return err
	}
	device, err := authority.DeviceCode(ctx)
	if err != nil {
		return err
	}
	show(device)
	token, err := authority.Wait(ctx, device)
	if err != nil {
		return err
	}
	row, err := store.EnsureAccount(ctx, account)
	if err != nil {
		return err
	}
	return store.Tokens(row.ID).SaveToken(ctx, nil, token)
}

// forAccount is a sign-in error with the account's name in its advice.
func forAccount(err error, name string) error {
	return accountError{err, name}
}

type accountError struct {
	error
	name string
}

func (e accountError) Error() string { return strings.ReplaceAll(e.error.Error(), "ACCOUNT", e.name) }
func (e accountError) Unwrap() error { return e.error }
