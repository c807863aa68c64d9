package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/feed"
	"outbridge/bridge/web"
)

type feedCmd struct {
	Add    feedAddCmd    `cmd:"" help:"Create a feed; its address is shown only once."`
	List   feedListCmd   `cmd:"" help:"List feeds, but not their addresses."`
	Change feedChangeCmd `cmd:"" help:"Change what a feed shows; its address stays the same."`
	Rotate feedRotateCmd `cmd:"" help:"Give a feed a new address; the old one stops working."`
	Remove feedRemoveCmd `cmd:"" help:"Remove a feed."`
}

// feedFlags are the settings of a feed. nil keeps the setting; in a new feed it is the default.
type feedFlags struct {
	Calendar    []string `help:"Calendar to include; repeat for more than one. Default: all." placeholder:"C"`
	Detail      *string  `help:"How much to show: full (default), limited (title, time, place) or busy (time only)." placeholder:"LEVEL" complete:"full,limited,busy"`
	Name        *string  `help:"Name that subscribers see." placeholder:"TEXT"`
	Private     *string  `help:"Private events: show, blur (only \"Private\" and the time) or hide. Default: show in full feeds, blur in limited ones." placeholder:"HOW" complete:"show,blur,hide"`
	Free        *string  `help:"Events shown as free: show (default) or hide." placeholder:"HOW" complete:"show,hide"`
	Declined    *string  `help:"Meetings that the account has declined: show (default) or hide." placeholder:"HOW" complete:"show,hide"`
	Cancelled   *string  `help:"Cancelled events: hide (default) or show." placeholder:"HOW" complete:"show,hide"`
	Category    []string `help:"Only events in this category; repeat for more than one." placeholder:"NAME" sep:"none"`
	NotCategory []string `help:"No events in this category; repeat for more than one." placeholder:"NAME" sep:"none"`
	Alarms      *bool    `help:"Include reminders. Default: no reminders." negatable:""`
	Past        *string  `help:"How far back events go: 30d, 6mo, 1y, or all (default)." placeholder:"PERIOD"`
	Ahead       *string  `help:"How far ahead events go, in the same form." placeholder:"PERIOD"`
	configFlag
	jsonFlag
}

// Validate refuses bad values before anything is opened.
func (f *feedFlags) Validate() error {
	return f.set(&bridge.Feed{Detail: bridge.DetailFull})
}

// set puts the flags into a feed, except the calendars.
func (f *feedFlags) set(feed *bridge.Feed) error {
	o := &feed.Options
	for _, s := range []struct {
		flag *string
		to   *string
		zero string // the word for the default
	}{
		{f.Detail, &feed.Detail, ""}, {f.Name, &feed.Name, ""}, {f.Private, &o.Private, ""}, {f.Free, &o.Free, ""},
		{f.Declined, &o.Declined, ""}, {f.Cancelled, &o.Cancelled, ""}, {f.Past, &o.Past, "all"}, {f.Ahead, &o.Ahead, "all"},
	} {
		if s.flag == nil {
			continue
		}
		if *s.to = *s.flag; *s.to == s.zero {
			*s.to = ""
		}
	}
	if f.Alarms != nil {
		o.Alarms = *f.Alarms
	}
	if f.Category != nil {
		o.Categories = f.Category
	}
	if f.NotCategory != nil {
		o.NotCategories = f.NotCategory
	}
	if err := feed.Check(); err != nil {
		return usageError{err}
	}
	return nil
}

// choose puts the calendars into a feed.
func (f *feedFlags) choose(e *env, p *program, feed *bridge.Feed) error {
	if f.Calendar != nil {
		feed.Calendars = nil
	}
	for _, name := range f.Calendar {
		cal, err := p.findCalendar(e.ctx, feed.User, name)
		if err != nil {
			return err
		}
		feed.Calendars = append(feed.Calendars, cal.ID)
	}
	return nil
}

type feedAddCmd struct {
	User string `arg:"" help:"Name of the account."`
	feedFlags
}

func (f *feedAddCmd) Run(e *env) error {
	p, err := f.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	if _, err := p.account(f.User); err != nil {
		return err
	}
	feed := bridge.Feed{User: f.User, Detail: bridge.DetailFull, Created: time.Now().UTC()}
	if err := errors.Join(f.set(&feed), f.choose(e, p, &feed)); err != nil {
		return err
	}
	if err := p.store.CheckKey(e.ctx); err != nil { // no server would know the address
		return worded(err, feed.User)
	}
	feed, secret, err := p.store.AddFeed(e.ctx, feed)
	if err != nil {
		return err
	}
	p.record(e, bridge.ActFeedMade, feed.User, feedDetail(feed))
	return f.printFeed(e, p.conf, feed, secret)
}

// feedDetail is a feed as the record has it.
func feedDetail(f bridge.Feed) string {
	return strings.Join(strings.Fields(fmt.Sprintf("%d %s (%s)", f.ID, f.Name, f.Detail)), " ")
}

// printFeed shows a feed's address and the links to subscribe by.
func (j jsonFlag) printFeed(e *env, c *config, feed bridge.Feed, secret string) error {
	links := web.LinksOf(c.feedURL(secret), feed.Name)
	if j.JSON {
		return writeJSON(e.stdout, struct {
			ID bridge.FeedID `json:"id"`
			web.FeedLinks
		}{feed.ID, links})
	}
	if links.Warning != "" {
		links.Warning += "\n"
	}
	_, err := fmt.Fprintf(e.stdout, `%s
Open in a calendar app:      %s
Add to Google Calendar:      %s
Add to Outlook.com:          %s
Add to Outlook at work:      %s
%sAnyone who has this address can read the feed. It is shown only once; `+"`outbridge feed rotate %s %d`"+` makes a new one.
`, links.URL, links.Webcal, links.Google, links.OutlookCom, links.Office365, links.Warning, feed.User, feed.ID)
	return err
}

func (c *config) feedURL(secret string) string { return c.PublicURL + "/feeds/" + secret + ".ics" }

// feedCache is the folder of rendered feeds.
func (c *config) feedCache() string { return filepath.Join(c.dataFolder(), "feed-cache") }

// feedFiles are the rendered feeds. A command that changes or removes a feed sweeps them: no server may be running.
func (p *program) feedFiles() *feed.Files {
	return &feed.Files{Dir: p.conf.feedCache(), Store: p.store}
}

type feedChangeCmd struct {
	User string        `arg:"" help:"Name of the account."`
	ID   bridge.FeedID `arg:"" help:"ID of the feed, from feed list." name:"id"`
	feedFlags
	AllCalendars bool `help:"Include all calendars, future ones too." xor:"calendars"`
	AnyCategory  bool `help:"Remove the category filters."`
}

func (f *feedChangeCmd) Run(e *env) error {
	p, err := f.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	feed, err := p.findFeed(e.ctx, f.User, f.ID)
	if err != nil {
		return err
	}
	before := feed
	if f.AllCalendars {
		feed.Calendars = nil
	}
	if f.AnyCategory {
		feed.Options.Categories, feed.Options.NotCategories = nil, nil
	}
	if err := errors.Join(f.set(&feed), f.choose(e, p, &feed)); err != nil {
		return err
	}
	said := "has changed; subscribers see it the next time they fetch it"
	if reflect.DeepEqual(feed, before) {
		said = "is unchanged"
	} else {
		feed.Changed = time.Now().UTC().Truncate(time.Second)
		if err := p.store.ChangeFeed(e.ctx, feed); err != nil {
			return noFeed(err, f.User, f.ID)
		}
		p.record(e, bridge.ActFeedChanged, feed.User, feedDetail(feed))
		if err := p.feedFiles().Sweep(e.ctx); err != nil {
			return err
		}
	}
	if f.JSON {
		row, err := p.feedRow(e.ctx, feed)
		if err != nil {
			return err
		}
		return writeJSON(e.stdout, row)
	}
	_, err = fmt.Fprintf(e.stdout, "Feed %d of %s %s.\n", f.ID, f.User, said)
	return err
}

func (p *program) findFeed(ctx context.Context, user string, id bridge.FeedID) (bridge.Feed, error) {
	feed, err := bridge.FindFeed(ctx, p.store, user, id)
	return feed, noFeed(err, user, id)
}

type feedListCmd struct {
	User string `arg:"" optional:"" help:"Only this account."`
	configFlag
	jsonFlag
}

func (f *feedListCmd) Run(e *env) error {
	p, err := f.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	list, err := p.store.Feeds(e.ctx, f.User)
	if err != nil {
		return err
	}
	rows := []feedRow{}
	for _, feed := range list {
		row, err := p.feedRow(e.ctx, feed)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	if f.JSON {
		return writeJSON(e.stdout, rows)
	}
	w := newTable(e.stdout)
	fmt.Fprintln(w, "ID\tUSER\tDETAIL\tCALENDARS\tCREATED\tNAME\tOPTIONS")
	for _, row := range rows {
		which := strings.Join(row.Calendars, ", ")
		if row.All {
			which = "all"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", row.ID, row.User, row.Detail, which, localTime(row.Created), row.Name, flagsOf(row.Options))
	}
	return w.Flush()
}

// flagsOf writes options as command line flags.
func flagsOf(o bridge.FeedOptions) string {
	var flags []string
	for _, f := range []struct{ name, value string }{
		{"private", o.Private}, {"free", o.Free}, {"declined", o.Declined}, {"cancelled", o.Cancelled}, {"past", o.Past}, {"ahead", o.Ahead},
	} {
		if f.value != "" {
			flags = append(flags, "--"+f.name+" "+f.value)
		}
	}
	for _, c := range o.Categories {
		flags = append(flags, fmt.Sprintf("--category %q", c))
	}
	for _, c := range o.NotCategories {
		flags = append(flags, fmt.Sprintf("--not-category %q", c))
	}
	if o.Alarms {
		flags = append(flags, "--alarms")
	}
	return strings.Join(flags, " ")
}

// feedRow is a feed as it is listed.
type feedRow struct {
	bridge.Feed
	All       bool     `json:"all"`       // all calendars of the user, future ones too
	Calendars []string `json:"calendars"` // path segments of those it has, when not all
}

func (p *program) feedRow(ctx context.Context, feed bridge.Feed) (feedRow, error) {
	row := feedRow{Feed: feed, Calendars: []string{}, All: len(feed.Calendars) == 0}
	for _, id := range feed.Calendars {
		cal, err := p.store.Calendar(ctx, id)
		if errors.Is(err, bridge.ErrNotFound) {
			continue // removed in Outlook
		}
		if err != nil {
			return row, err
		}
		row.Calendars = append(row.Calendars, cal.Name)
	}
	return row, nil
}

type feedRotateCmd struct {
	User string        `arg:"" help:"Name of the account."`
	ID   bridge.FeedID `arg:"" help:"ID of the feed, from feed list." name:"id"`
	configFlag
	jsonFlag
}

func (f *feedRotateCmd) Run(e *env) error {
	p, err := f.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	feed, err := p.findFeed(e.ctx, f.User, f.ID)
	if err != nil {
		return err
	}
	secret, err := p.store.RotateFeed(e.ctx, f.User, f.ID)
	if err != nil {
		return noFeed(err, f.User, f.ID)
	}
	p.record(e, bridge.ActFeedRotated, feed.User, feedDetail(feed))
	// The new address is shown in any case: it is the only time.
	return errors.Join(f.printFeed(e, p.conf, feed, secret), p.feedFiles().Sweep(e.ctx))
}

type feedRemoveCmd struct {
	User string        `arg:"" help:"Name of the account."`
	ID   bridge.FeedID `arg:"" help:"ID of the feed, from feed list." name:"id"`
	configFlag
}

func (f *feedRemoveCmd) Run(e *env) error {
	p, err := f.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	if err := p.store.RemoveFeed(e.ctx, f.User, f.ID); err != nil {
		return noFeed(err, f.User, f.ID)
	}
	p.record(e, bridge.ActFeedRemoved, f.User, fmt.Sprint(f.ID))
	return p.feedFiles().Sweep(e.ctx)
}

func noFeed(err error, user string, id bridge.FeedID) error {
	if errors.Is(err, bridge.ErrNotFound) {
		return fmt.Errorf("%s has no feed %d: see `outbridge feed list %s`", user, id, user)
	}
	return err
}
