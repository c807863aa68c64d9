package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/feed"
	"outbridge/bridge/sqlstore"
)

// jsonFlag is the flag of every command that prints something to read.
type jsonFlag struct {
	JSON bool `help:"Print JSON." name:"json"`
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// open loads the configuration and opens the store.
func (f configFlag) open(e *env) (*config, *sqlstore.Store, error) {
	c, err := f.load()
	if err != nil {
		return nil, nil, err
	}
	store, err := c.openStore(e.ctx)
	return c, store, err
}

type passwordCmd struct {
	Add    passwordAddCmd    `cmd:"" help:"Make an app password for a user; it is shown once."`
	List   passwordListCmd   `cmd:"" help:"List app passwords (never the passwords themselves)."`
	Revoke passwordRevokeCmd `cmd:"" help:"Revoke an app password."`
	Admin  passwordAdminCmd  `cmd:"" help:"Set a new password of the administrator of the pages."`
}

type passwordAddCmd struct {
	User  string `arg:"" help:"Account of the configuration."`
	Label string `help:"What it is for, such as the device." placeholder:"TEXT"`
	configFlag
	jsonFlag
}

func (p *passwordAddCmd) Run(e *env) error {
	c, store, err := p.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	if _, err := c.account(p.User); err != nil {
		return err
	}
	row, secret, err := store.AddPassword(e.ctx, p.User, p.Label, time.Now().UTC())
	if err != nil {
		return err
	}
	if p.JSON {
		return writeJSON(e.stdout, map[string]any{"user": row.User, "password": secret, "id": row.ID})
	}
	_, err = fmt.Fprintf(e.stdout, "Server:   %s/\nUser:     %s\nPassword: %s\nIt is shown only now; use one for each device, and revoke it with `outbridge password revoke %s %d`.\n",
		c.PublicURL, row.User, secret, row.User, row.ID)
	return err
}

type passwordListCmd struct {
	User string `arg:"" optional:"" help:"Only this user's."`
	configFlag
	jsonFlag
}

func (p *passwordListCmd) Run(e *env) error {
	_, store, err := p.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	list, err := store.Passwords(e.ctx, p.User)
	if err != nil {
		return err
	}
	if p.JSON {
		return writeJSON(e.stdout, slices.Concat([]bridge.Password{}, list))
	}
	w := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tUSER\tCREATED\tLABEL")
	for _, row := range list {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", row.ID, row.User, row.Created.Local().Format(time.DateTime), row.Label)
	}
	return w.Flush()
}

type passwordRevokeCmd struct {
	User string `arg:"" help:"User."`
	ID   int64  `arg:"" help:"ID from password list." name:"id"`
	configFlag
}

func (p *passwordRevokeCmd) Run(e *env) error {
	_, store, err := p.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	err = store.RevokePassword(e.ctx, p.User, p.ID)
	if errors.Is(err, bridge.ErrNotFound) {
		return fmt.Errorf("%s has no app password %d: see `outbridge password list %s`", p.User, p.ID, p.User)
	}
	return err
}

// findCalendar finds a user's calendar by its path segment or its name.
func findCalendar(e *env, store *sqlstore.Store, user, name string) (bridge.Calendar, error) {
	a, err := store.Account(e.ctx, user)
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return bridge.Calendar{}, err
	}
	cals, err := store.Calendars(e.ctx, a.ID)
	if err != nil {
		return bridge.Calendar{}, err
	}
	var all []string
	for _, cal := range cals {
		if cal.Name == name || cal.DisplayName == name {
			return cal, nil
		}
		all = append(all, cal.Name)
	}
	if len(all) == 0 {
		return bridge.Calendar{}, fmt.Errorf("%s has no calendars yet: run `outbridge sync` first", user)
	}
	return bridge.Calendar{}, fmt.Errorf("%s has no calendar %q: there are %s", user, name, strings.Join(all, ", "))
}

type exportCmd struct {
	User     string `arg:"" help:"Account of the configuration."`
	Calendar string `arg:"" optional:"" help:"Only this calendar."`
	configFlag
}

func (x *exportCmd) Run(e *env) error {
	c, store, err := x.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	if _, err := c.account(x.User); err != nil {
		return err
	}
	var cals []bridge.Calendar
	if x.Calendar != "" {
		cal, err := findCalendar(e, store, x.User, x.Calendar)
		if err != nil {
			return err
		}
		cals = append(cals, cal)
	} else {
		a, err := store.Account(e.ctx, x.User)
		if errors.Is(err, bridge.ErrNotFound) {
			return fmt.Errorf("%s has no calendars yet: run `outbridge sync` first", x.User)
		}
		if err != nil {
			return err
		}
		if cals, err = store.Calendars(e.ctx, a.ID); err != nil {
			return err
		}
	}
	w := bufio.NewWriter(e.stdout)
	err = feed.WriteCalendar(w, func() iter.Seq2[[]byte, error] { return feed.Objects(e.ctx, store, cals) })
	return errors.Join(err, w.Flush())
}
