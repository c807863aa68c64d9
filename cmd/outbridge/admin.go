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
	"outbridge/bridge/convert"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/web"
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

type feedCmd struct {
	Add    feedAddCmd    `cmd:"" help:"Make a feed; its address is shown once."`
	List   feedListCmd   `cmd:"" help:"List feeds (never their addresses)."`
	Rotate feedRotateCmd `cmd:"" help:"Give a feed a new address; the old one stops working."`
	Remove feedRemoveCmd `cmd:"" help:"Remove a feed."`
}

type feedAddCmd struct {
	User     string   `arg:"" help:"Account of the configuration."`
	Calendar []string `help:"A calendar to include; may be given several times. All without it." placeholder:"C"`
	Detail   string   `help:"How much it tells: full, limited (title, time, place) or busy (time only)." enum:"full,limited,busy" default:"full"`
	Name     string   `help:"Name that subscribers see." placeholder:"TEXT"`
	configFlag
	jsonFlag
}

func (f *feedAddCmd) Run(e *env) error {
	c, store, err := f.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	if _, err := c.account(f.User); err != nil {
		return err
	}
	feed := bridge.Feed{User: f.User, Name: f.Name, Detail: f.Detail, Created: time.Now().UTC()}
	for _, name := range f.Calendar {
		cal, err := findCalendar(e, store, f.User, name)
		if err != nil {
			return err
		}
		feed.Calendars = append(feed.Calendars, cal.ID)
	}
	feed, secret, err := store.AddFeed(e.ctx, feed)
	if err != nil {
		return err
	}
	return f.printFeed(e, c, feed, secret)
}

// printFeed shows a feed's address.
func (j jsonFlag) printFeed(e *env, c *config, feed bridge.Feed, secret string) error {
	address := feedURL(c, secret)
	if j.JSON {
		return writeJSON(e.stdout, map[string]any{"url": address, "id": feed.ID})
	}
	_, err := fmt.Fprintf(e.stdout, "%s\nWhoever has this address can read the feed. It is shown only now; `outbridge feed rotate %s %d` makes a new one.\n",
		address, feed.User, feed.ID)
	return err
}

func feedURL(c *config, secret string) string { return c.PublicURL + "/feeds/" + secret + ".ics" }

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

type feedListCmd struct {
	User string `arg:"" optional:"" help:"Only this user's."`
	configFlag
	jsonFlag
}

func (f *feedListCmd) Run(e *env) error {
	_, store, err := f.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	list, err := store.Feeds(e.ctx, f.User)
	if err != nil {
		return err
	}
	rows := []feedRow{}
	for _, feed := range list {
		row := feedRow{Feed: feed, Calendars: []string{}}
		for _, id := range feed.Calendars {
			cal, err := store.Calendar(e.ctx, id)
			if errors.Is(err, bridge.ErrNotFound) {
				continue // removed in Outlook
			}
			if err != nil {
				return err
			}
			row.Calendars = append(row.Calendars, cal.Name)
		}
		row.All = len(feed.Calendars) == 0
		rows = append(rows, row)
	}
	if f.JSON {
		return writeJSON(e.stdout, rows)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tUSER\tDETAIL\tCALENDARS\tCREATED\tNAME")
	for _, row := range rows {
		which := strings.Join(row.Calendars, ", ")
		if row.All {
			which = "all"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", row.ID, row.User, row.Detail, which, row.Created.Local().Format(time.DateTime), row.Name)
	}
	return w.Flush()
}

// feedRow is a feed as it is listed.
type feedRow struct {
	bridge.Feed
	All       bool     `json:"all"`       // all calendars of the user, also those to come
	Calendars []string `json:"calendars"` // path segments of those it has, when not all
}

type feedRotateCmd struct {
	User string        `arg:"" help:"User."`
	ID   bridge.FeedID `arg:"" help:"ID from feed list." name:"id"`
	configFlag
	jsonFlag
}

func (f *feedRotateCmd) Run(e *env) error {
	c, store, err := f.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	secret, err := store.RotateFeed(e.ctx, f.User, f.ID)
	if err != nil {
		return noFeed(err, f.User, f.ID)
	}
	return f.printFeed(e, c, bridge.Feed{ID: f.ID, User: f.User}, secret)
}

type feedRemoveCmd struct {
	User string        `arg:"" help:"User."`
	ID   bridge.FeedID `arg:"" help:"ID from feed list." name:"id"`
	configFlag
}

func (f *feedRemoveCmd) Run(e *env) error {
	_, store, err := f.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	return noFeed(store.RemoveFeed(e.ctx, f.User, f.ID), f.User, f.ID)
}

func noFeed(err error, user string, id bridge.FeedID) error {
	if errors.Is(err, bridge.ErrNotFound) {
		return fmt.Errorf("%s has no feed %d: see `outbridge feed list %s`", user, id, user)
	}
	return err
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
	err = convert.WriteCalendar(w, func() iter.Seq2[[]byte, error] { return web.Objects(e.ctx, store, cals) })
	return errors.Join(err, w.Flush())
}
