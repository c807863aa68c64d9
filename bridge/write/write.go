// Package write carries out what clients want of calendars, in Outlook.
//
// A request becomes a plan (package convert), the plan is held against what the account allows, and it is kept as an intent
// before Graph is first called. Then its steps run, each result is kept before the next, what Outlook made of it is read back
// and published, and only then is the client answered. The package knows nothing of HTTP, SQL or DAV.
//
// Invariants, each with a test:
//   - What is refused has changed nothing, here or in Outlook, and has asked Graph for nothing but to find an invitation.
//   - A step is never begun before the intent that says so is kept. A process that is killed at any point leaves an intent from
//     which Recover goes on: each effect happens once.
//   - Nothing mails anybody unless the account's policy has it. What mails and cannot be seen to have happened is not repeated.
//   - One writer a series at a time; other series are not held up.
//   - A PUT of what is served, and one that changes only what is kept here, asks Graph for nothing.
package write

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/bridge/round"
)

const (
	defaultBudget = 20 * time.Second
	// retryAfter is when a client is to ask again for what goes on without it.
	retryAfter = 10 * time.Second
	// replayable is how long the same octets are taken for the same request.
	replayable = 24 * time.Hour
	// expires is how long an intent that cannot go on is tried again.
	expires = 24 * time.Hour
)

// Store is what writing keeps and reads.
type Store interface {
	bridge.WriteStore
	bridge.FileStore
	Account(ctx context.Context, name string) (bridge.Account, error)
	AccountByID(ctx context.Context, id bridge.AccountID) (bridge.Account, error)
	Calendar(ctx context.Context, id bridge.CalendarID) (bridge.Calendar, error)
	Calendars(ctx context.Context, id bridge.AccountID) ([]bridge.Calendar, error)
	Object(ctx context.Context, id bridge.CalendarID, name string) (bridge.Object, error)
	Objects(ctx context.Context, id bridge.CalendarID, q bridge.ObjectQuery) ([]bridge.Object, error)
	SeriesObject(ctx context.Context, id bridge.CalendarID, series graph.EventID) (bridge.Object, error)
	SeriesRows(ctx context.Context, id bridge.CalendarID, series graph.EventID) ([]bridge.Row, error)
	MarksOf(ctx context.Context, id bridge.CalendarID, series []graph.EventID) (map[graph.EventID]bridge.Mark, error)
}

// Rounds is what keeps calendars in step with Outlook; *round.Runner is the real one.
type Rounds interface {
	// RefreshKnown reads series by their ids and publishes what came of them.
	RefreshKnown(ctx context.Context, m round.Mailbox, c bridge.Calendar, list ...round.Known) ([]round.Refreshed, error)
	// Show publishes series as the mirror has them, with what is kept here.
	Show(ctx context.Context, m round.Mailbox, c bridge.Calendar, series ...graph.EventID) error
	// SeriesOf is a series as its object is made of it, or ErrNotFound of package bridge.
	SeriesOf(ctx context.Context, p bridge.Policy, id bridge.CalendarID, series graph.EventID) (convert.Series, error)
}

// Mailbox is an account's way to Outlook, and what its clients may do.
type Mailbox struct {
	round.Mailbox
	Addresses []string // all of the mailbox, aliases included
	// Learned is what a probe has found out about it. The zero value is that all is as hard as it can be.
	Learned bridge.Learned
}

// Writer writes. All fields are set before the first call; its methods may be called concurrently.
type Writer struct {
	Store  Store
	Rounds Rounds
	// Mailbox finds an account by its name.
	Mailbox func(ctx context.Context, account string) (Mailbox, error)

	// Leases are had in common with writers in other processes. Nil: there are none.
	Leases *Leases

	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: slog.Default
	Budget time.Duration    // how long a request waits; 0: 20 s

	once    sync.Once
	life    context.Context
	end     context.CancelFunc
	running sync.WaitGroup
	series  keys

	noSchedules sync.Map // time.Time by the name of an account: Graph is not asked for people's times before

}

// Request is what a client asks for.
type Request struct {
	Account  string // its name, which is that of the CalDAV user too
	Password string // label of the app password
	Client   string // User-Agent
	Calendar bridge.Calendar
	Name     string // path segment of the object

	Octets []byte         // of a Put, as they came
	New    *ical.Calendar // and read
	Match  Match
	Silent bool // Schedule-Reply: F

	// To is where Move and Copy put it.
	To     bridge.Calendar
	ToName string

	// base is the object that New was made of, where that is the Writer's own doing: a change of its files. files are those.
	base  []byte
	files map[string][]byte
}

// Result is what came of a request.
type Result struct {
	Object  bridge.Object // as it is now; the zero value where it is gone
	Created bool
}

// Errors of a request, beside *Refused and *Busy. Others are trouble of our own.
var (
	ErrPrecondition = errors.New("the object is not what the client takes it for") // 412
	ErrNotFound     = errors.New("there is no such object")                        // 404
	ErrFull         = errors.New("the mailbox is full")                            // 507
)

// Refused is why a request is not carried out.
type Refused struct {
	convert.Refusal
	// Calendar and Object name the object that has the UID, for RefusedUID; zero: none.
	Calendar bridge.CalendarID
	Object   string
}

func (r *Refused) Unwrap() error { return &r.Refusal }

// Busy is that the request goes on, or may be made again, after a while.
type Busy struct {
	After    time.Duration
	Sentence string
}

func (b *Busy) Error() string { return b.Sentence }

func (w *Writer) setUp() {
	w.once.Do(func() { w.life, w.end = context.WithCancel(context.Background()) })
}

// Close ends what goes on in the background, and waits for it. Recover of another Writer goes on with it.
func (w *Writer) Close() {
	w.setUp()
	w.end()
	w.running.Wait()
}

func (w *Writer) now() time.Time {
	if w.Now != nil {
		return w.Now().UTC()
	}
	return time.Now().UTC()
}

func (w *Writer) log() *slog.Logger {
	if w.Log != nil {
		return w.Log
	}
	return slog.Default()
}

func (w *Writer) budget() time.Duration {
	if w.Budget > 0 {
		return w.Budget
	}
	return defaultBudget
}

func refuse(kind convert.RefusalKind, format string, args ...any) *Refused {
	return &Refused{Refusal: convert.Refusal{Kind: kind, Sentence: fmt.Sprintf(format, args...)}}
}

// asRefused finds the refusal in an error.
func asRefused(err error) (*Refused, bool) {
	var r *Refused
	if errors.As(err, &r) {
		return r, true
	}
	var plain *convert.Refusal
	if errors.As(err, &plain) {
		return &Refused{Refusal: *plain}, true
	}
	return nil, false
}
