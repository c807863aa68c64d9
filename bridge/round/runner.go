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
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// Graph is what the bridge asks of one mailbox; *graph.Client is the real one. It retries by itself, so an error
// is final for this round.
type Graph interface {
	Calendars(ctx context.Context) ([]graph.Calendar, error)
	GroupCalendars(ctx context.Context) ([]graph.Calendar, error)
	PrimaryCalendar(ctx context.Context) (graph.Calendar, error)
	Calendar(ctx context.Context, id graph.CalendarID) (graph.Calendar, error)
	DeltaURL(cal graph.CalendarID, start, end time.Time) string
	Delta(ctx context.Context, link string) (graph.DeltaPage, error)
	Events(ctx context.Context, ids []graph.EventID) []graph.Result
	Masters(ctx context.Context, refs []graph.MasterRef) []graph.Result
	EventsFrom(ctx context.Context, cal graph.CalendarID, from time.Time) iter.Seq2[graph.Event, error]
	View(ctx context.Context, cal graph.CalendarID, start, end time.Time) iter.Seq2[graph.Event, error]
	Instances(ctx context.Context, master graph.EventID, start, end time.Time) ([]graph.Event, error)
	Subscribe(ctx context.Context, s graph.Subscription) (graph.Subscription, error)
	Subscriptions(ctx context.Context) ([]graph.Subscription, error)
	RenewSubscription(ctx context.Context, id string, expires time.Time) (graph.Subscription, error)
	DeleteSubscription(ctx context.Context, id string) error
	MailboxZone(ctx context.Context) (string, error)
	Categories(ctx context.Context) ([]graph.Category, error)
}

// Mailbox is one account's way to Graph, and what it is to serve.
type Mailbox struct {
	Name  string // the account's name, also the CalDAV user
	Graph Graph
	// Shared are mailboxes of other people and rooms, whose default calendars are served too.
	Shared []SharedMailbox
	// Include and Exclude choose the mailbox's own calendars by their names in Outlook, whatever the case, "*" being
	// any text. No Include is all.
	Include, Exclude []string
}

// SharedMailbox is an account's way to the mailbox of somebody else.
type SharedMailbox struct {
	Address string
	Graph   Graph
}

// Runner does the rounds of mailboxes. All fields are set before the first call.
type Runner struct {
	Store bridge.Store

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

	mu     sync.Mutex
	rounds map[string]*sync.Mutex
	stuck  map[bridge.CalendarID]int
	idle   map[bridge.CalendarID]idleCursor

	asked   times[bridge.AccountID]  // for the mailbox's settings
	listed  times[bridge.AccountID]  // the calendars; forgotten after a round that failed
	grouped times[bridge.AccountID]  // for calendar groups, in vain
	viewed  times[bridge.CalendarID] // a calendar without a cursor

	number atomic.Int64 // of the round begun last, for logs
}

// Progress tells how far one calendar's round has come.
type Progress struct {
	Account, Calendar string
	Phase             string // "download", "read series", "convert"
	Pages, Events     int    // so far in this round
	Done, Total       int    // of the phase; Total 0 where it is not known
}

// lockRound keeps the rounds of one account in this process one after another; between processes the mirror's seq does.
func (b *Runner) lockRound(account string) func() {
	b.mu.Lock()
	if b.rounds == nil {
		b.rounds = map[string]*sync.Mutex{}
	}
	if b.rounds[account] == nil {
		b.rounds[account] = new(sync.Mutex)
	}
	m := b.rounds[account]
	b.mu.Unlock()
	m.Lock()
	return m.Unlock
}

func (b *Runner) now() time.Time {
	if b.Now != nil {
		return b.Now().UTC()
	}
	return time.Now().UTC()
}

func (b *Runner) log() *slog.Logger {
	if b.Log != nil {
		return b.Log
	}
	return slog.Default()
}

func (b *Runner) progress(p Progress) {
	if b.Progress != nil {
		b.Progress(p)
	}
}

// Forget drops what is remembered of calendars and accounts: ids of rows that are removed are given out again. What is
// forgotten of others costs them a look at the store.
func (b *Runner) Forget() {
	for _, t := range []interface{ forget() }{&b.asked, &b.listed, &b.grouped, &b.viewed} {
		t.forget()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.stuck)
	clear(b.idle)
}

// setState records how the account fares after a round, when that is news.
func (b *Runner) setState(ctx context.Context, a bridge.Account, s bridge.State) error {
	fresh, loadErr := b.Store.Account(ctx, a.Name)
	if loadErr != nil {
		return loadErr
	}
	s.TokenVersion = fresh.TokenVersion
	old := fresh.State
	if old.Code == s.Code && old.Sentence == s.Sentence && old.Action == s.Action && old.Final == s.Final && old.Claims == s.Claims &&
		(!s.Final || old.TokenVersion == s.TokenVersion) {
		return nil
	}
	s.Since = b.now()
	return b.Store.SetState(ctx, a.ID, s)
}
