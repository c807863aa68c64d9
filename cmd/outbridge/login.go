package main

import (
	"fmt"
	"strings"
	"time"
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
	authority, err := c.authority(c.scopes())
	if err != nil {
		return err
	}
	device, err := authority.DeviceCode(e.ctx)
	if err != nil {
		return forAccount(err, account.Name)
	}
	fmt.Fprintf(e.stdout, "To sign in as %s, open %s and enter the code %s", account.Name, device.VerificationURI, device.UserCode)
	if left := time.Until(device.Expires).Round(time.Minute); left > 0 {
		fmt.Fprintf(e.stdout, " (valid for %d minutes)", int(left.Minutes()))
	}
	fmt.Fprintln(e.stdout, ".")
	token, err := authority.Wait(e.ctx, device)
	if err != nil {
		return forAccount(err, account.Name)
	}
	row, err := store.EnsureAccount(e.ctx, account.Name)
	if err != nil {
		return err
	}
	if err := store.Tokens(row.ID).SaveToken(e.ctx, nil, token); err != nil {
		return err
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
