package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"outbridge/bridge/convert"
)

// FeedID is the row id of a feed.
type FeedID int64

// Feed is one published .ics address. Its secret is only ever seen when it is made or rotated, unless it is Kept.
type Feed struct {
	ID        FeedID       `json:"id"`
	User      string       `json:"user"`
	Name      string       `json:"name"`
	Calendars []CalendarID `json:"-"`      // empty: all of the user's
	Detail    string       `json:"detail"` // DetailFull, DetailLimited or DetailBusy
	Options   FeedOptions  `json:"options"`
	Created   time.Time    `json:"created"`
	// Changed is when ChangeFeed last changed it; zero: never. Subscribers take an event again only where its
	// LAST-MODIFIED rises, so no event of the feed is older than this.
	Changed time.Time `json:"-"`
	// Used is when it was last read, to the hour, and Client the program (User-Agent); zero: never.
	Used   time.Time `json:"used,omitzero"`
	Client string    `json:"client,omitempty"`
	// Kept: its address is to stay readable; Readable: it is, see FeedStore.FeedSecret.
	Kept     bool `json:"-"`
	Readable bool `json:"-"`

	Salt []byte `json:"-"` // secret and the feed's own: keys what must not be traced back
}

// Details of a feed: how much of an event it tells.
const (
	DetailFull    = "full"
	DetailLimited = "limited" // title, time and place
	DetailBusy    = "busy"    // "Busy" and the time
)

// What a feed does with a kind of events. ShowDefault is what its field's comment says.
const (
	ShowDefault = ""
	Show        = "show"
	Blur        = "blur" // "Private" and the time, nothing else
	Hide        = "hide"
)

// FeedOptions narrow what a feed shows. The zero value is all events of all times but cancelled ones, without alarms.
// Each kind is asked of an occurrence by itself: one that a series is to lose becomes an EXDATE.
type FeedOptions struct {
	// Private is what becomes of events that are not public: Show, Blur or Hide. By default they are blurred where the
	// detail is limited, which knows no Show, and shown where it is full.
	Private string `json:"private,omitempty"`
	// Free: Show, the default, or Hide events that leave the person free. Where the detail is busy they are "Busy" like
	// the others, though TRANSP keeps clients from counting them.
	Free string `json:"free,omitempty"`
	// Declined: Show, the default, or Hide what the mailbox's owner has declined.
	Declined string `json:"declined,omitempty"`
	// Cancelled: Show, or Hide what is cancelled, the default, since Google and Home Assistant show it like any other.
	Cancelled string `json:"cancelled,omitempty"`
	// Categories: only events with one of these; empty: all. NotCategories: none with any of these. Upper and lower
	// case are the same.
	Categories    []string `json:"categories,omitempty"`
	NotCategories []string `json:"not_categories,omitempty"`
	// Alarms keeps reminders, in a feed of full detail. A feed is somebody else's calendar for most who read it.
	Alarms bool `json:"alarms,omitempty"`
	// Past and Ahead are how far from today an event may end and begin, as ParsePeriod reads them; "" is any time. A
	// series is whole, with all its occurrences, while one of them is in between.
	Past  string `json:"past,omitempty"`
	Ahead string `json:"ahead,omitempty"`
}

// Check says in one line, for the person, what is wrong with a feed's name, detail or options.
func (f Feed) Check() error {
	if f.Detail != DetailFull && f.Detail != DetailLimited && f.Detail != DetailBusy {
		return fmt.Errorf("detail %q: choose full, limited or busy", f.Detail)
	}
	if utf8.RuneCountInString(f.Name) > 200 || strings.ContainsFunc(f.Name, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return errors.New("name: write one line of at most 200 characters")
	}
	o := f.Options
	for _, c := range []struct {
		name, value string
		blur        bool
	}{{"private", o.Private, true}, {"free", o.Free, false}, {"declined", o.Declined, false}, {"cancelled", o.Cancelled, false}} {
		switch {
		case c.value == ShowDefault || c.value == Show || c.value == Hide || c.blur && c.value == Blur:
		case c.blur:
			return fmt.Errorf("%s %q: choose show, blur or hide", c.name, c.value)
		default:
			return fmt.Errorf("%s %q: choose show or hide", c.name, c.value)
		}
	}
	if o.Private == Show && f.Detail != DetailFull {
		return errors.New("private events can be shown in a feed of full detail only: choose blur or hide, or detail full")
	}
	if o.Alarms && f.Detail != DetailFull {
		return errors.New("alarms can be in a feed of full detail only: leave them out, or choose detail full")
	}
	for _, p := range []struct{ name, value string }{{"past", o.Past}, {"ahead", o.Ahead}} {
		if p.value == "" {
			continue
		}
		if _, err := ParsePeriod(p.value); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	for _, c := range append(o.Categories[:len(o.Categories):len(o.Categories)], o.NotCategories...) {
		if strings.TrimSpace(c) == "" {
			return errors.New("categories: a category name must not be empty")
		}
	}
	return nil
}

// Window is the time that the feed shows on the day of now, in whole days of UTC; a zero start or end is any time.
func (f Feed) Window(now time.Time) convert.Span {
	var w convert.Span
	today := now.UTC().Truncate(24 * time.Hour)
	if p, err := ParsePeriod(f.Options.Past); err == nil {
		w.Start = p.Before(today)
	}
	if p, err := ParsePeriod(f.Options.Ahead); err == nil {
		w.End = p.After(today).AddDate(0, 0, 1)
	}
	return w
}

// FindFeed finds a feed of a user, or ErrNotFound.
func FindFeed(ctx context.Context, store FeedStore, user string, id FeedID) (Feed, error) {
	list, err := store.Feeds(ctx, user)
	if err != nil {
		return Feed{}, err
	}
	i := slices.IndexFunc(list, func(f Feed) bool { return f.ID == id && f.User == user })
	if i < 0 {
		return Feed{}, ErrNotFound
	}
	return list[i], nil
}
