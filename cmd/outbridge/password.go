package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"outbridge/bridge"
	"outbridge/bridge/web"
)

type passwordCmd struct {
	Add    passwordAddCmd    `cmd:"" help:"Create an app password for a user; it is shown only once."`
	List   passwordListCmd   `cmd:"" help:"List app passwords, but not the passwords themselves."`
	Revoke passwordRevokeCmd `cmd:"" help:"Revoke an app password."`
	Admin  passwordAdminCmd  `cmd:"" help:"Set a new administrator password for the web pages."`
}

type passwordAddCmd struct {
	User  string `arg:"" help:"Name of the account."`
	Label string `help:"What it is for, such as the name of a device." placeholder:"TEXT"`
	configFlag
	jsonFlag
}

func (cmd *passwordAddCmd) Run(e *env) error {
	label, err := bridge.PasswordLabel(cmd.Label)
	if err != nil {
		return usageError{fmt.Errorf("--label: %w", err)}
	}
	p, err := cmd.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	if _, err := p.account(cmd.User); err != nil {
		return err
	}
	if err := p.store.CheckKey(e.ctx); err != nil { // no server would know the password
		return worded(err, cmd.User)
	}
	row, secret, err := p.store.AddPassword(e.ctx, cmd.User, label, time.Now().UTC())
	if err != nil {
		return err
	}
	p.record(e, bridge.ActPasswordMade, cmd.User, label)
	if cmd.JSON {
		return writeJSON(e.stdout, map[string]any{"user": row.User, "password": secret, "id": row.ID})
	}
	_, err = fmt.Fprintf(e.stdout, "Server:   %s/\nUser:     %s\nPassword: %s\nIt is shown only once. Use a separate password for each device; `outbridge password revoke %s %d` revokes this one.\n",
		p.conf.PublicURL, row.User, secret, row.User, row.ID)
	return err
}

type passwordListCmd struct {
	User string `arg:"" optional:"" help:"Only this account."`
	configFlag
	jsonFlag
}

func (cmd *passwordListCmd) Run(e *env) error {
	p, err := cmd.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	list, err := p.store.Passwords(e.ctx, cmd.User)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return writeJSON(e.stdout, slices.Concat([]bridge.Password{}, list))
	}
	w := newTable(e.stdout)
	fmt.Fprintln(w, "ID\tUSER\tCREATED\tLABEL")
	for _, row := range list {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", row.ID, row.User, localTime(row.Created), row.Label)
	}
	return w.Flush()
}

type passwordRevokeCmd struct {
	User string `arg:"" help:"Name of the account."`
	ID   int64  `arg:"" help:"ID of the password, from password list." name:"id"`
	configFlag
}

func (cmd *passwordRevokeCmd) Run(e *env) error {
	p, err := cmd.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	err = p.store.RevokePassword(e.ctx, cmd.User, cmd.ID)
	if errors.Is(err, bridge.ErrNotFound) {
		return fmt.Errorf("%s has no app password %d: see `outbridge password list %s`", cmd.User, cmd.ID, cmd.User)
	}
	if err == nil {
		p.record(e, bridge.ActPasswordRevoked, cmd.User, fmt.Sprint(cmd.ID))
	}
	return err
}

type passwordAdminCmd struct {
	configFlag
}

// Run asks for the password on a terminal; otherwise it reads the first line of standard input.
func (cmd *passwordAdminCmd) Run(e *env) error {
	p, err := cmd.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	password, err := askPassword(e)
	if err != nil {
		return err
	}
	hash, err := web.HashPassword(password)
	if err != nil {
		return err
	}
	if err := p.store.SetAdministrator(e.ctx, hash, false); err != nil {
		return err
	}
	p.record(e, bridge.ActPasswordChanged, "administrator", "")
	_, err = fmt.Fprintln(e.stdout, "The administrator's new password is set; the browsers that used the old one are signed out.")
	return err
}

func askPassword(e *env) (string, error) {
	f, ok := e.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(e.stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(e.stderr, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(e.stderr)
		return string(b), err
	}
	first, err := ask("New administrator password: ")
	if err != nil {
		return "", err
	}
	again, err := ask("Repeat it: ")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", errors.New("the two passwords differ: try again")
	}
	return first, nil
}
