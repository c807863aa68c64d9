// Package feed is what a feed shows, and the files that it is served from. A feed is one calendar made of the stored
// objects of several, told as far as its detail and options allow. The package knows no HTTP, no Graph and no SQL: it
// reads a Store and writes a folder.
//
// Invariants:
//   - A reduced object is built from the properties that are allowed; nothing is shown because nobody thought of hiding it.
//   - A rendering is of one state of all its calendars: what was published while it was made is in it wholly or not at all.
//   - A [Rendering]'s tag changes exactly when its octets do, and what a feed hides changes neither.
//   - No file outlives its feed: of a feed that was removed, rotated or changed nothing is left after the next sweep, which
//     whoever does such a thing calls, and which a server repeats ([Files.Run]).
//   - However many events a feed has, a rendering holds a page of their objects at a time.
package feed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"outbridge/bridge"
	"outbridge/caldav/ics"
)

// Store is what feeds are made from: the part of bridge.Store that says which there are and what they show.
type Store interface {
	Account(ctx context.Context, name string) (bridge.Account, error)
	Calendars(ctx context.Context, id bridge.AccountID) ([]bridge.Calendar, error)
	Feeds(ctx context.Context, user string) ([]bridge.Feed, error)
	Lister
}

// Lister lists objects, and tells of copies among those of all calendars.
type Lister interface {
	bridge.ObjectLister
	// Copied are the UIDs that several objects of the account have or have had, removed ones and those of removed calendars
	// included, with the highest Sequence and the latest Stamp of each; Removed is empty.
	Copied(ctx context.Context, id bridge.AccountID) (map[string]bridge.Past, error)
}

// Why a feed has no rendering.
var (
	// ErrGone: the feed was removed, or has got another address, since it was asked for.
	ErrGone = errors.New("the feed is gone")
	// ErrNoCalendars: every calendar that the feed names is gone from Outlook.
	ErrNoCalendars = errors.New("the calendars of the feed are gone from Outlook")
	// ErrNotReady: the first sync is not complete.
	ErrNotReady = errors.New("the feed is not ready: its first sync is not complete")
)

// format is part of every state: raise it when the same objects are to be rendered differently.
const format = "4"

// stale is how old the last good round of a calendar may be before the feed says so.
const stale = 24 * time.Hour

// Rendering is what a feed is in one state of its calendars.
type Rendering struct {
	Name     string    // of the calendar
	Tag      string    // of the octets, 32 hex digits; "" while they are not made
	Modified time.Time // when they came to be what they are, in whole seconds

	feed     bridge.Feed
	owner    string // of the files
	state    string // of the calendars and of the feed, 32 hex digits
	cals     []bridge.Calendar
	info     info
	window   ics.Span
	modified time.Time // of the calendars and of the feed, whole seconds
	stamps   stamps    // of the feed as it was made last
}

// rendering is what the feed is now, without its tag: some row reads, and nothing is rendered. The errors are
// ErrNoCalendars, ErrNotReady and those of the Store.
func (f *Files) rendering(ctx context.Context, feed bridge.Feed) (Rendering, error) {
	r := Rendering{feed: feed, owner: owner(feed), modified: latest(feed.Created, feed.Changed)}
	if !feed.Changed.IsZero() {
		// A rendering of before the change may be from the same second, and has to be the older one.
		r.modified = latest(feed.Created, feed.Changed.Add(time.Second))
	}
	a, err := f.Store.Account(ctx, feed.User)
	if errors.Is(err, bridge.ErrNotFound) {
		return r, without(feed)
	}
	if err != nil {
		return r, err
	}
	all, err := f.Store.Calendars(ctx, a.ID)
	if err != nil {
		return r, err
	}
	synced, missing := false, false // missing: a calendar was never listed whole
	var oldest time.Time            // of the last good rounds
	sum := sha256.New()
	for _, c := range all {
		if len(feed.Calendars) > 0 && !slices.Contains(feed.Calendars, c.ID) {
			continue
		}
		r.cals = append(r.cals, c)
		synced = synced || listed(c)
		missing = missing || !listed(c) && !withheld(c)
		r.modified = latest(r.modified, c.Modified)
		if !c.Good.IsZero() && (oldest.IsZero() || c.Good.Before(oldest)) {
			oldest = c.Good
		}
		fmt.Fprintf(sum, " %s %d %q", c.Epoch, c.Rev, c.Owner)
	}
	if len(r.cals) == 0 {
		return r, without(feed)
	}
	// A reader takes a feed for all there is, and may ask again only the next day: part of it would say that one is free.
	if !synced || missing {
		return r, ErrNotReady
	}
	now := f.now()
	r.window = ics.Span(feed.Window(now))
	r.info = infoOf(r, oldest, now)
	r.Name = r.info.Name
	fmt.Fprintf(sum, " %s %d %x %s %+v %d %q %v", format, feed.ID, feed.Salt, feed.Detail, feed.Options, feed.Changed.Unix(), r.info, r.window)
	r.state = hex.EncodeToString(sum.Sum(nil))[:32]
	return r, nil
}

// listed is whether the calendar was published whole once. What an event that somebody saved has published before the
// first listing is over is not whole.
func listed(c bridge.Calendar) bool {
	opening := c.Phase == bridge.PhaseNew || c.Phase == bridge.PhaseOpening
	return !c.Good.IsZero() || c.Rev > 0 && !opening
}

// withheld is whether somebody has to share or allow the calendar, or to correct the configuration, before it can be read.
// That may be never, so it keeps nobody from the others.
func withheld(c bridge.Calendar) bool {
	switch c.Fault.Action {
	case bridge.ActionShare, bridge.ActionAsk, bridge.ActionConfigure:
		return true
	}
	return false
}

// without is why a feed that has no calendar cannot be shown.
func without(feed bridge.Feed) error {
	if len(feed.Calendars) > 0 {
		return ErrNoCalendars
	}
	return ErrNotReady
}

// present is rendering, of the feed as it is by now; ErrGone where it is removed or has another address.
func (f *Files) present(ctx context.Context, feed bridge.Feed) (Rendering, error) {
	list, err := f.Store.Feeds(ctx, feed.User)
	if err != nil {
		return Rendering{}, err
	}
	for _, now := range list {
		if now.ID == feed.ID && slices.Equal(now.Salt, feed.Salt) {
			return f.rendering(ctx, now)
		}
	}
	return Rendering{}, ErrGone
}

// infoOf is what a feed says of itself. It changes with what it is made from alone: not even an outage, however long,
// makes it another at every poll.
func infoOf(r Rendering, oldest, now time.Time) info {
	i := info{Name: r.feed.Name, Color: r.cals[0].ShownColor()}
	if r.feed.Detail == bridge.DetailFull {
		i.Description = "A read-only copy of an Outlook calendar."
	}
	if i.Name == "" && len(r.cals) == 1 && r.feed.Detail == bridge.DetailFull { // a calendar's name may tell what is in it
		i.Name = r.cals[0].DisplayName
	}
	if i.Name == "" {
		i.Name = r.feed.User
	}
	if !oldest.IsZero() && now.Sub(oldest) > stale {
		i.Description = "Outlook could not be read since " + oldest.UTC().Format("2 January 2006, 15:04") + " UTC; this is its state at that time."
	}
	return i
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// objects yields the octets of every object of the feed, as far as its options and its detail show them.
func (r Rendering) objects(ctx context.Context, store Lister) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		q := bridge.ObjectQuery{WithData: true}
		if !r.window.Start.IsZero() {
			q.Start = r.window.Start.AddDate(0, 0, -2)
		}
		if !r.window.End.IsZero() {
			q.End = r.window.End.AddDate(0, 0, 2)
		}
		owners := map[bridge.CalendarID]string{}
		for _, cal := range r.cals {
			owners[cal.ID] = cal.Owner
		}
		shows := r.shows()
		copied, err := copies(ctx, store, r.cals)
		if err != nil {
			yield(nil, err)
			return
		}
		for o, err := range distinct(stored(ctx, store, r.cals, q), copied) {
			var data []byte
			if err == nil {
				shows.filter.Owner = owners[o.Calendar]
				data, err = shows.object(o)
			}
			if err == nil && data == nil {
				continue
			}
			if !yield(data, err) || err != nil {
				return
			}
		}
	}
}

// Objects yields the octets of every object of some calendars, in a stable order and a few at a time, each with a UID
// of its own. It stops after an error.
func Objects(ctx context.Context, store Lister, cals []bridge.Calendar) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		copied, err := copies(ctx, store, cals)
		if err != nil {
			yield(nil, err)
			return
		}
		for o, err := range distinct(stored(ctx, store, cals, bridge.ObjectQuery{WithData: true}), copied) {
			if !yield(o.Data, err) || err != nil {
				return
			}
		}
	}
}

// copies are the UIDs with which copies of an event in several calendars of the account are, or have been.
func copies(ctx context.Context, store Lister, cals []bridge.Calendar) (map[string]bridge.Past, error) {
	if len(cals) == 0 {
		return nil, nil
	}
	return store.Copied(ctx, cals[0].Account) // all are of one account
}

func stored(ctx context.Context, store bridge.ObjectLister, cals []bridge.Calendar, q bridge.ObjectQuery) iter.Seq2[bridge.Object, error] {
	return func(yield func(bridge.Object, error) bool) {
		for _, cal := range cals {
			for o, err := range bridge.Objects(ctx, store, cal.ID, q) {
				o.Calendar = cal.ID
				if !yield(o, err) || err != nil {
					return
				}
			}
		}
	}
}
