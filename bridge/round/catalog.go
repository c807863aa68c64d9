package round

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// groupsAge is how old the list of calendar groups may be. Graph lists the calendars of all groups at once, but is
// known to leave out shared ones there.
const groupsAge = 24 * time.Hour

// groupsRetry is how long after a failure they are asked for again.
const groupsRetry = time.Hour

// calendars are those of the account. Every ListEvery, and after a round that failed, the list is read from Graph and
// the store brought in line with it; in between it is that of the store. An error comes with the calendars that can
// be polled all the same.
func (r *Runner) calendars(ctx context.Context, m Mailbox, a bridge.Account) (cals []bridge.Calendar, requests int64, err error) {
	known, err := r.Store.Calendars(ctx, a.ID)
	if err != nil {
		return nil, 0, err
	}
	account := r.memory.account(m.Name)
	if len(known) > 0 && account.since(&account.calendars, r.now()) < r.listEvery() {
		return known, 0, nil
	}
	counted, n := graph.CountRequests(ctx)
	list := catalog{store: r.Store, m: m, known: known, account: account, now: r.now, log: r.log().With("account", m.Name)}
	if err := list.own(counted, a); err != nil {
		return nil, n.Load(), fmt.Errorf("list calendars: %w", err)
	}
	list.shared(counted)
	if _, err := r.Store.SetCalendars(ctx, a.ID, list.want); err != nil {
		return nil, n.Load(), err
	}
	if cals, err = r.Store.Calendars(ctx, a.ID); err != nil {
		return nil, n.Load(), err
	}
	account.keep(cals)
	account.set(&account.calendars, r.now())
	if len(cals) == 0 {
		err = bridge.ErrNoCalendars
	}
	return cals, n.Load(), errors.Join(append(list.errs, err)...)
}

// catalog gathers the calendars that an account is to have.
type catalog struct {
	store   bridge.AccountStore
	m       Mailbox
	known   []bridge.Calendar
	account *accountMemory
	now     func() time.Time
	log     *slog.Logger

	want []bridge.Calendar
	errs []error
}

// own takes the calendars of the account's mailbox.
func (l *catalog) own(ctx context.Context, a bridge.Account) error {
	list, err := l.m.Graph.Calendars(ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		// Every mailbox has a calendar, so this is a fault of the answer, and must not empty anybody's client.
		return errors.New("Graph lists no calendar at all; the known ones are kept")
	}
	groups, err := l.grouped(ctx, a)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if !slices.ContainsFunc(list, func(c graph.Calendar) bool { return c.ID == g.ID }) {
			list = append(list, g)
		}
	}
	for _, c := range l.known {
		if c.Mailbox != "" || slices.ContainsFunc(list, func(g graph.Calendar) bool { return g.ID == c.GraphID }) {
			continue
		}
		// Not listed is not yet gone: a short list must not take a calendar from anybody's client.
		g, err := l.m.Graph.Calendar(ctx, c.GraphID)
		switch {
		case err == nil:
			list = append(list, g)
		case isGone(err):
			l.log.Info("a calendar was removed in Outlook", "calendar", c.DisplayName)
		default:
			return err
		}
	}
	for _, g := range list {
		if c := calendarOf(g); bridge.Selects(l.m.Include, l.m.Exclude, c.DisplayName) && !bridge.IsProbeCalendar(c.DisplayName) {
			l.take(c)
		}
	}
	return nil
}

// grouped are the calendars of all calendar groups, once a day. They are an addition, so without an answer the account
// does without until later.
func (l *catalog) grouped(ctx context.Context, a bridge.Account) ([]graph.Calendar, error) {
	now := l.now()
	if bridge.Elapsed(now, a.Grouped) < groupsAge || l.account.since(&l.account.groups, now) < groupsRetry {
		return nil, nil
	}
	groups, err := l.m.Graph.GroupCalendars(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil && !graph.IsNotOffered(err) {
		l.log.Info("calendar groups cannot be read now; the calendars of the plain list are taken", "err", err)
		l.account.set(&l.account.groups, now)
		return nil, nil
	}
	return groups, l.store.SetGrouped(ctx, a.ID, now)
}

// shared takes the default calendars of other people's mailboxes. One that cannot be read now keeps what is known.
func (l *catalog) shared(ctx context.Context) {
	for _, s := range l.m.Shared {
		g, err := s.Graph.PrimaryCalendar(ctx)
		if err != nil {
			l.errs = append(l.errs, &bridge.SharedError{Address: s.Address, Err: err})
			for _, c := range l.known {
				if c.Mailbox == s.Address {
					l.take(c)
				}
			}
			continue
		}
		c := calendarOf(g)
		// Their calendar is called "Calendar", as everybody's is.
		c.Mailbox, c.Default, c.DisplayName = s.Address, false, cmp.Or(g.Owner.Name, s.Address)
		c.Name = slug(strings.Split(s.Address, "@")[0])
		l.take(c)
	}
}

func (l *catalog) take(c bridge.Calendar) {
	c.Order, c.Modified = len(l.want)+1, l.now()
	l.want = append(l.want, c)
}

func calendarOf(g graph.Calendar) bridge.Calendar {
	return bridge.Calendar{
		GraphID: g.ID, Name: slug(g.Name), DisplayName: displayName(g), Color: colorOf(g), CanEdit: g.CanEdit,
		Default: g.Default, Owner: g.Owner.Address, OnlineMeetings: onlineMeetings(g),
	}
}

// onlineMeetings is who provides the online meetings of a calendar: whom it names, or else the first whom it allows.
func onlineMeetings(g graph.Calendar) string {
	for _, name := range append([]string{g.OnlineMeetings}, g.OnlineMeetingsAllowed...) {
		if name != "" && name != "unknown" {
			return name
		}
	}
	return ""
}

func displayName(g graph.Calendar) string {
	if name := strings.Join(strings.Fields(g.Name), " "); name != "" {
		return name
	}
	return "Calendar"
}

var notSlug = regexp.MustCompile(`[^a-z0-9]+`)

// slug makes a path segment of a calendar's name.
func slug(name string) string {
	s := strings.Trim(notSlug.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if len(s) > 40 {
		s = strings.Trim(s[:40], "-")
	}
	if s == "" {
		return "calendar"
	}
	return s
}

// presetColors are the looks of calendar.color where hexColor was never set. Microsoft publishes none.
var presetColors = map[string]string{
	"lightBlue": "#0099bc", "lightGreen": "#00cc6a", "lightOrange": "#f7630c", "lightGray": "#69797e", "lightYellow": "#fde300",
	"lightTeal": "#038387", "lightPink": "#bf0077", "lightBrown": "#8e562e", "lightRed": "#a4262c",
}

var hexColor = regexp.MustCompile(`^#[0-9a-f]{6}$`)

func colorOf(g graph.Calendar) string {
	if c := strings.ToLower(g.HexColor); hexColor.MatchString(c) {
		return c
	}
	return presetColors[g.Color]
}
