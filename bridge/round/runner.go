// Package round keeps calendars of Outlook mailboxes in step with the objects that clients read.
//
// What Graph says becomes mirror rows, and mirror rows become objects (one iCalendar resource per UID) by package convert.
// The package knows nothing of HTTP, SQL or DAV, and not when a round is due.
//
// Invariants, each with a test:
//   - No event is in the mirror that Graph did not say, and every page is written with the cursor that follows it
//     in one transaction: a crash loses nothing and repeats at most one page, and a repeated page changes nothing.
//   - Clients see a calendar change only as whole rounds, by Publish.
//   - An object's octets, ETag and rev change exactly when what Outlook shows of it changes.
//   - A failing account, calendar or event keeps its last good objects and delays no other.
package round

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// parallelCals is how many calendars of one mailbox are in work at once; the client holds the request limit.
const parallelCals = 4

// Store is what rounds keep and read.
type Store interface {
	bridge.AccountStore
	bridge.CalendarStore
	bridge.MirrorStore
	bridge.ProgressStore
	bridge.StagingStore
	bridge.WrittenStore
	bridge.FileStore
	Counts(ctx context.Context, id bridge.CalendarID) (bridge.Counts, error)
}

// Runner does the rounds of mailboxes. All fields are set before the first call.
type Runner struct {
	Store Store

	History bridge.Period // how far back the window reaches; zero: 4 months
	Horizon bridge.Period // how far ahead; zero: 12 months

	// ListEvery is how old the list of an account's calendars may be. 0: it is read in every round.
	ListEvery time.Duration
	// AuditEvery is how often a calendar's mirror is compared with Outlook's own view of the window. 0: never.
	AuditEvery time.Duration
	// AuditAlways does so in every round.
	AuditAlways bool

	// Settings reads the mailbox's own time zone and category colours, which takes the permission
	// MailboxSettings.Read.
	Settings bool
	// HTML also serves the HTML text of events, beside the plain one.
	HTML bool
	// AttachmentURL is where clients get a file of an event, by its token and its name, for accounts whose Policy has attachments.
	// Nil: nowhere.
	AttachmentURL func(token, name string) string

	// CheckpointAfter bounds how long the cursor and the time of the last good round of an idle calendar may stay
	// unwritten, so that an idle poll is no database write. 0: they are written after every round.
	CheckpointAfter time.Duration

	// Count fills in Events, Series and Losses of reports, which takes counting rows.
	Count bool

	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: slog.Default
	Progress func(Progress)   // called as long work advances; nil: not called
	// Published is called when clients can see a change of a calendar. It must not block. Nil: not called.
	Published func(bridge.CalendarID)
	// Done is called at the end of each round that was not cut short. Nil: not called.
	Done func(context.Context, bridge.Report)

	pace   atomic.Pointer[Pace]
	memory memory
	number atomic.Int64 // of the round begun last, for logs
}

// Pace is what of a Runner can be changed while it runs.
type Pace struct {
	History, Horizon bridge.Period
	ListEvery        time.Duration
}

// SetPace takes the place of the fields of the same names, from the next round of each calendar on.
func (r *Runner) SetPace(p Pace) { r.pace.Store(&p) }

func (r *Runner) periods() periods {
	if p := r.pace.Load(); p != nil {
		return periods{p.History, p.Horizon}
	}
	return periods{r.History, r.Horizon}
}

func (r *Runner) listEvery() time.Duration {
	if p := r.pace.Load(); p != nil {
		return p.ListEvery
	}
	return r.ListEvery
}

// Progress tells how far one calendar's round has come.
type Progress = bridge.Progress

// Round brings all calendars of one mailbox up to date. The report is filled in as far as the round came; the
// error joins those of its calendars. Rounds of one calendar run one after another.
func (r *Runner) Round(ctx context.Context, m Mailbox) (bridge.Report, error) {
	a, err := r.Store.EnsureAccount(ctx, m.Name)
	if err != nil {
		return bridge.Report{Account: m.Name}, err
	}
	return r.RoundOf(ctx, m, a)
}

// RoundOf is Round for who has just read the account.
func (r *Runner) RoundOf(ctx context.Context, m Mailbox, a bridge.Account) (bridge.Report, error) {
	begin := r.now()
	report := bridge.Report{Account: m.Name, Round: r.number.Add(1)}
	ctx = bridge.WithLogAttrs(ctx, slog.Int64("round", report.Round))
	err := r.all(ctx, m, a, &report)
	report.Seconds = r.now().Sub(begin).Seconds()
	if ctx.Err() != nil {
		return report, ctx.Err()
	}
	if errors.Is(err, bridge.ErrBusy) {
		return report, err
	}
	report.Err, report.State = err, bridge.StateOf(err)
	if g, ok := m.Graph.(interface{ TokenExpires() time.Time }); ok {
		report.TokenExpires = g.TokenExpires()
	}
	if r.Done != nil {
		r.Done(ctx, report)
	}
	return report, errors.Join(err, r.setState(ctx, a, report.State))
}

// all does a round of each calendar of the account.
func (r *Runner) all(ctx context.Context, m Mailbox, a bridge.Account, report *bridge.Report) error {
	cals, requests, listErr := r.calendars(ctx, m, a)
	report.Requests = requests
	if len(cals) == 0 {
		return listErr
	}
	settings, requests, err := r.settings(ctx, m, a)
	report.Requests += requests
	if err != nil {
		return err
	}
	own := a.Addresses(cals)
	rounds := make([]*calendarRound, len(cals))
	errs := make([]error, len(cals))
	var g errgroup.Group
	g.SetLimit(parallelCals)
	for i, c := range cals {
		rounds[i] = r.calendarRound(ctx, m, c, cals, own, settings)
		g.Go(func() error {
			errs[i] = rounds[i].do(ctx, rounds[i].run)
			return nil
		})
	}
	g.Wait()
	for _, from := range rounds {
		for id := range from.asked {
			i := slices.IndexFunc(cals, func(c bridge.Calendar) bool { return c.ID == id })
			if i >= 0 && errs[i] == nil {
				errs[i] = rounds[i].do(ctx, rounds[i].settle)
			}
		}
	}
	for i, one := range rounds {
		one.report.Incomplete = !one.cal.Lacks().IsZero()
		if one.report.Good = one.lastGood(); errs[i] == nil {
			one.report.Good = r.now()
		}
		report.Calendars = append(report.Calendars, one.report)
		report.Requests += one.report.Requests
		if errs[i] != nil {
			errs[i] = fmt.Errorf("calendar %q: %w", one.cal.DisplayName, errs[i])
		}
	}
	err = errors.Join(append(errs, listErr)...)
	if err != nil {
		account := r.memory.account(m.Name)
		account.set(&account.calendars, time.Time{}) // perhaps a calendar is not there any more
	}
	return err
}

// calendarRound is a round of one calendar, of all that the account serves; own are its addresses.
func (r *Runner) calendarRound(ctx context.Context, m Mailbox, c bridge.Calendar, all []bridge.Calendar, own []string, s bridge.Settings) *calendarRound {
	one := &calendarRound{
		counts: r.Store.Counts, progress: r.Store, written: r.Store, memory: r.memory.account(m.Name).calendar(c),
		report: bridge.CalendarReport{Calendar: c.DisplayName, Name: c.Name, ID: c.ID, First: c.Good.IsZero()},
		options: options{checkpointAfter: r.CheckpointAfter, auditEvery: r.AuditEvery, auditAlways: r.AuditAlways,
			count: r.Count, published: r.Published},
	}
	if r.listEvery() > 0 {
		one.options.viewEvery = viewEvery
	}
	tell := func(phase string, done, total int) {
		if r.Progress != nil {
			r.Progress(Progress{Account: m.Name, Calendar: c.DisplayName, Phase: phase, Pages: one.report.Pages, Events: one.report.Items,
				Done: done, Total: total, First: c.Good.IsZero()})
		}
	}
	one.deriver = r.Deriver(ctx, m, c, own, s)
	one.deriver.tell = tell
	one.mirror = &mirror{
		current: one.deriver.current, store: r.Store, graph: m.graphOf(c), periods: r.periods(), now: r.now,
		report: &one.report, tell: tell, asked: map[bridge.CalendarID]bool{},
	}
	one.follower = &follower{mirror: one.mirror, deriver: one.deriver, memory: one.memory, foreign: c.IsForeign(own)}
	one.siblings = &siblings{graph: one.graph, cal: c, served: all}
	one.resolver = &resolver{mirror: one.mirror, deriver: one.deriver, siblings: one.siblings, memory: one.memory,
		foreign: one.follower.foreign, missed: map[graph.EventID]bool{}}
	return one
}

// Deriver makes objects of a calendar of a mailbox that has these addresses of its own, with those settings. It does not use the
// way to Graph.
func (r *Runner) Deriver(ctx context.Context, m Mailbox, c bridge.Calendar, own []string, s bridge.Settings) *Deriver {
	log := r.log().With("account", m.Name, "calendar", c.DisplayName)
	for _, a := range bridge.LogAttrs(ctx) {
		log = log.With(a)
	}
	return &Deriver{
		current: &current{cal: c, store: r.Store, log: log}, store: r.Store, settings: s, html: r.HTML, policy: m.Policy.For(c, own), link: r.AttachmentURL,
		staging: &r.memory.account(m.Name).calendar(c).staging, now: r.now, tell: func(string, int, int) {},
	}
}

// Forget drops what is remembered of an account that is no longer read.
func (r *Runner) Forget(account string) { r.memory.forget(account) }

// setState records how the account fares after a round, when that is news. Rounds alone set it, and one at a time.
func (r *Runner) setState(ctx context.Context, a bridge.Account, s bridge.State) error {
	if s.Code == bridge.StateOK && a.State.Code == s.Code && a.State.Fault == s.Fault && !a.State.Final && a.State.Claims == s.Claims {
		return nil
	}
	fresh, loadErr := r.Store.Account(ctx, a.Name)
	if loadErr != nil {
		return loadErr
	}
	s.TokenVersion = fresh.TokenVersion
	old := fresh.State
	if old.Reason == s.Reason && old.AADSTS == s.AADSTS {
		s.Said = old.Said // its words may differ from one time to the next
	}
	if old.Code == s.Code && old.Fault == s.Fault && old.Final == s.Final && old.Claims == s.Claims &&
		(!s.Final || old.TokenVersion == s.TokenVersion) {
		return nil
	}
	s.Since = r.now()
	return r.Store.SetState(ctx, a.ID, s)
}

func (r *Runner) now() time.Time {
	if r.Now != nil {
		return r.Now().UTC()
	}
	return time.Now().UTC()
}

func (r *Runner) log() *slog.Logger {
	if r.Log != nil {
		return r.Log
	}
	return slog.Default()
}
