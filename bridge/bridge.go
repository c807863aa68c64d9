// Package bridge keeps calendars of Outlook mailboxes in step with objects that CalDAV clients and feeds read.
//
// What Graph says becomes mirror rows, mirror rows become objects (one iCalendar resource per UID) by package
// convert, and objects reach clients through caldav.Backend. The package knows nothing of HTTP, SQL or DAV.
//
// Invariants, each with a test:
//   - No event is in the mirror that Graph did not say, and every page is written with the cursor that follows it
//     in one transaction: a crash loses nothing and repeats at most one page, and a repeated page changes nothing.
//   - Clients see a calendar change only as whole rounds, by Publish.
//   - An object's octets, ETag and rev change exactly when what Outlook shows of it changes.
//   - A failing account, calendar or event keeps its last good objects and delays no other.
package bridge

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

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

// Bridge runs rounds for a set of mailboxes. All fields are set before the first call.
type Bridge struct {
	Store     Store
	Mailboxes []Mailbox

	Interval time.Duration // between rounds; 0: 1 minute
	History  Period        // how far back the window reaches; zero: 4 months
	Horizon  Period        // how far ahead; zero: 12 months

	// ListEvery is how old the list of an account's calendars may be. 0: it is read in every round.
	ListEvery time.Duration
	// AuditEvery is how often a calendar's mirror is held against Outlook's own view of the window. 0: never.
	AuditEvery time.Duration
	// AuditAlways does so in every round.
	AuditAlways bool

	// NotifyURL is the https address at which Graph can tell of changes, to be passed on to Notify. "": changes are
	// polled for.
	NotifyURL string
	// SafetyNet is the time between rounds while Graph tells of changes by itself; 0: 15 minutes.
	SafetyNet time.Duration

	// Settings reads the mailbox's own time zone and category colours, which takes the permission
	// MailboxSettings.Read.
	Settings bool
	// HTML also hands out the HTML text of events, beside the plain one.
	HTML bool

	// CheckpointAfter bounds how long the cursor and the time of the last good round of an idle calendar may stay
	// unwritten, so that an idle poll is no database write. 0: they are written after every round.
	CheckpointAfter time.Duration

	// Count fills in Events, Series and Losses of reports, which takes counting rows.
	Count bool

	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: slog.Default
	Progress func(Progress)   // called as long work advances; nil: nobody looks
	// Published is called when clients can see a change of a calendar. It must not block. Nil: nobody looks.
	Published func(CalendarID)
	Metrics   *Metrics // nil: nothing is counted

	mu     sync.Mutex
	nudges map[string]chan struct{}
	rounds map[string]*sync.Mutex
	stuck  map[CalendarID]int
	idle   map[CalendarID]idleCursor
	ears   map[string]*ear

	asked   times[AccountID]  // for the mailbox's settings
	listed  times[AccountID]  // the calendars; forgotten after a round that failed
	grouped times[AccountID]  // for calendar groups, in vain
	viewed  times[CalendarID] // a calendar without a cursor

	workers workers
	number  atomic.Int64 // of the round begun last, for logs
}

// Progress tells how far one calendar's round has come.
type Progress struct {
	Account, Calendar string
	Phase             string // "download", "read series", "convert"
	Pages, Events     int    // so far in this round
	Done, Total       int    // of the phase; Total 0 where it is not known
}

// Nudge starts a round of the account now instead of at its next tick. It never blocks.
func (b *Bridge) Nudge(account string) {
	select {
	case b.nudge(account) <- struct{}{}:
	default:
	}
}

func (b *Bridge) nudge(account string) chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.nudges == nil {
		b.nudges = map[string]chan struct{}{}
	}
	if b.nudges[account] == nil {
		b.nudges[account] = make(chan struct{}, 1)
	}
	return b.nudges[account]
}

// lockRound keeps the rounds of one account in this process one after another; between processes the mirror's seq does.
func (b *Bridge) lockRound(account string) func() {
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

// hopelessRetry is how often an account is tried that only a person can help on: what the person mends may be on
// Microsoft's side, where the bridge does not see it.
const hopelessRetry = time.Hour

// work is the worker of one account.
func (b *Bridge) work(ctx context.Context, m Mailbox) {
	log := b.log().With("account", m.Name)
	nudge := b.nudge(m.Name)
	interval := b.Interval
	if interval <= 0 {
		interval = time.Minute
	}
	var tried time.Time
	var trouble string // as last logged
	nudged, failed := false, false
	for {
		if wait, err := b.waitsForPerson(ctx, m); err != nil {
			log.Error("account state", "err", err)
		} else if !wait || elapsed(b.now(), tried) >= hopelessRetry {
			tried = b.now()
			b.listen(ctx, m)
			b.workers.note(m.Name, func(p *Pulse) { p.Busy = true })
			report, err := b.Round(ctx, m)
			b.workers.note(m.Name, func(p *Pulse) {
				if p.Busy = false; err == nil {
					p.Good = b.now()
				}
			})
			b.overheard(m, nudged, report, err)
			failed = err != nil
			switch {
			case ctx.Err() != nil:
				return
			case err != nil && err.Error() == trouble:
				log.Debug("round failed again", "round", report.Round, "err", err)
			case err != nil:
				trouble = err.Error()
				log.Warn("round failed; the last good calendars are served", "round", report.Round, "err", err)
			case trouble != "":
				trouble = ""
				log.Info("round good again", "round", report.Round, "changed", report.Changed(), "seconds", report.Seconds)
			case report.Changed() > 0 || report.Failed() > 0:
				log.Info("round", "round", report.Round, "changed", report.Changed(), "requests", report.Requests,
					"failed_calendars", report.Failed(), "seconds", report.Seconds)
			default:
				log.Debug("round", "round", report.Round, "requests", report.Requests)
			}
		}
		// After a notification one more round follows soon: the delta may lag behind what was notified.
		wait := interval
		if b.healthy(m.Name) && !nudged && !failed && len(m.Shared) == 0 {
			wait = max(interval, cmp.Or(b.SafetyNet, 15*time.Minute))
		}
		if nudged {
			select {
			case <-ctx.Done():
				return
			case <-time.After(nudgeGap):
			}
		}
		b.workers.note(m.Name, func(p *Pulse) { p.Next = b.now().Add(wait) })
		select {
		case <-ctx.Done():
			return
		case <-nudge:
			nudged = true
		case <-time.After(wait):
			nudged = false
		}
	}
}

// waitsForPerson reports whether only a person can help the account on. A new sign-in ends it.
func (b *Bridge) waitsForPerson(ctx context.Context, m Mailbox) (bool, error) {
	a, err := b.Store.Account(ctx, m.Name)
	if err != nil {
		return false, err
	}
	return a.State.Final && a.State.TokenVersion == a.TokenVersion, nil
}

func (b *Bridge) now() time.Time {
	if b.Now != nil {
		return b.Now().UTC()
	}
	return time.Now().UTC()
}

func (b *Bridge) log() *slog.Logger {
	if b.Log != nil {
		return b.Log
	}
	return slog.Default()
}

func (b *Bridge) progress(p Progress) {
	if b.Progress != nil {
		b.Progress(p)
	}
}
