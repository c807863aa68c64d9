package bridge

import (
	"context"
	"time"

	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// Policy is what clients may do to an account's calendars, and what may be mailed because of it. The zero value is
// reading.
type Policy struct {
	Write          bool        `json:"write,omitempty"`
	Invitations    Invitations `json:"invitations,omitempty"`
	OnlineMeetings bool        `json:"online_meetings,omitempty"` // new meetings become online meetings
	Attachments    bool        `json:"attachments,omitempty"`     // clients get the files of events
}

// For is the policy for a calendar of an account that has these addresses: not to write to one that Outlook lets nobody edit, nor to answer for
// somebody else, since an answer from a calendar that is shared would go out in its owner's name.
func (p Policy) For(c Calendar, own []string) Policy {
	if !p.Write || !c.CanEdit {
		return Policy{Attachments: p.Attachments}
	}
	if p.Invitations == InvitationsReplies && c.IsForeign(own) {
		p.Invitations = InvitationsNever
	}
	return p
}

// Mails reports whether Outlook mails anybody because of a client's change.
func (p Policy) Mails() bool {
	return p.Write && (p.Invitations == InvitationsReplies || p.Invitations == InvitationsOutlook)
}

// Invitations is what Outlook may mail because of a client's change.
type Invitations string

const (
	InvitationsNever   Invitations = "never"
	InvitationsReplies Invitations = "replies" // answers to invitations of others
	InvitationsOutlook Invitations = "outlook" // whatever Outlook sends of itself
)

// States of an Intent.
const (
	IntentOpen    = "open"    // some of its steps are not done
	IntentDone    = "done"    // all of it is in Outlook and published
	IntentRefused = "refused" // nothing was done: Refusal says why
	IntentFailed  = "failed"  // a step failed for good, perhaps after others were done: Refusal says why
	IntentUnknown = "unknown" // a step that sends mail may have been done, and is not repeated
)

// Operations of an Intent.
const (
	IntentPut    = "put"
	IntentDelete = "delete"
	IntentMove   = "move"
)

// Intent is a write of a client: kept before Graph is first called, brought up to date after each step, and from then on the
// record of who changed what.
type Intent struct {
	ID        int64
	Account   AccountID
	Calendar  CalendarID // 0 once that is gone
	In        string     // path segment of the calendar, which outlives it; AddIntent fills it in
	Name      string     // path segment of the object
	UID       string
	Summary   string
	Series    graph.EventID // "" until it is created
	Operation string

	User     string // of CalDAV
	Password string // label of the app password
	Client   string // User-Agent

	BodyHash    string // of Octets
	Octets      []byte // as the client sent them; nil once it has ended a day ago, and so are Base and Plan
	Base        []byte // the object that the client had, as octets; nil: unknown or none
	Plan        convert.Plan
	Step        int  // so many steps of the plan are done
	Begun       bool // the step after these was begun: it may have been done
	Results     []StepResult
	Transaction string // transactionId of its create
	// Files are the octets of files that the plan adds, by their digests. They are given to AddIntent; IntentFile has them until the
	// intent ends.
	Files map[string][]byte

	State   string
	Refusal *convert.Refusal
	Mails   int // recipients that Outlook has been made to mail to
	Created time.Time
	Changed time.Time
}

// StepResult is what a step of a plan came to.
type StepResult struct {
	ID   graph.EventID `json:"id,omitempty"`
	ETag string        `json:"etag,omitempty"`
}

// Name is what an event that a client made is called here, for ever. A series has one, and any number of aliases.
type Name struct {
	Calendar CalendarID
	Series   graph.EventID
	Object   string // path segment
	UID      string // that clients know it by; "": as Graph has it
	Alias    bool   // Object is another name of it, which a client has guessed
	// Gone is when a client has deleted it, which a late page of Graph does not take back; zero: it is there.
	Gone time.Time
}

// Fence is the time of the last write to a series: what Graph said of it before is out of date.
type Fence struct {
	At   time.Time // Graph's lastModifiedDateTime, to the nanosecond; of a deletion when it was answered
	Gone bool      // it was deleted
}

// FenceAge is how long a fence is kept: no page is later than that.
const FenceAge = 7 * 24 * time.Hour

// Earlier states of objects are kept for so long, and so many of each.
const (
	VersionAge  = 7 * 24 * time.Hour
	VersionsFew = 8
)

// WriteHold is that clients' changes of an account wait until somebody has confirmed them, since too many of them mail.
type WriteHold struct {
	Since     time.Time // zero: they do not wait
	Confirmed time.Time // when it was last ended; zero: never
}

// WriteStore keeps what clients have written. What it keeps of a calendar goes with that, but for intents. What says how series
// look (names, overlays, fences) counts as a write to their mirror, so that nobody puts an older state over it.
type WriteStore interface {
	// AddIntent keeps a new intent and gives it its ID. Where it is open and another open one is of the same object or series,
	// that one is returned with ErrExists, by whichever process it was added.
	AddIntent(ctx context.Context, i Intent) (Intent, error)
	// SaveIntent brings it up to date. ErrExists where it has come to be of the series of another open one.
	SaveIntent(ctx context.Context, i Intent) error
	// IntentFile are the octets of a file of an open intent, or ErrNotFound.
	IntentFile(ctx context.Context, id int64, digest string) ([]byte, error)
	// OpenIntents lists those of an account that are open, oldest first, whole.
	OpenIntents(ctx context.Context, id AccountID) ([]Intent, error)
	// Intents lists up to limit of an account (0: of all), the latest first, without octets and plans.
	Intents(ctx context.Context, id AccountID, limit int) ([]Intent, error)
	// SameIntent is the latest intent of that object with that body since a time, or ErrNotFound.
	SameIntent(ctx context.Context, id CalendarID, name, bodyHash string, since time.Time) (Intent, error)
	// MailsSince counts, of an account's intents that have changed since a time, those that mailed, and their recipients.
	MailsSince(ctx context.Context, id AccountID, since time.Time) (operations, recipients int, err error)
	// WriteHold tells whether an account's changes are stopped. SetWriteHold replaces that.
	WriteHold(ctx context.Context, id AccountID) (WriteHold, error)
	SetWriteHold(ctx context.Context, id AccountID, h WriteHold) error
	// ForgetIntents drops the octets, bases and plans of intents that ended before a time, and whole ones before another. With
	// them go versions and fences that are older than VersionAge and FenceAge were at the former.
	ForgetIntents(ctx context.Context, octetsBefore, before time.Time) error

	// Named finds a series by a name of its object, aliases included, or ErrNotFound. Names lists those of some series, the name
	// of each before its aliases.
	Named(ctx context.Context, id CalendarID, object string) (Name, error)
	Names(ctx context.Context, id CalendarID, series ...graph.EventID) ([]Name, error)
	// SetName gives a series a name, whatever had it before. One that is no alias replaces the series' earlier one, and marks the
	// series to be derived.
	SetName(ctx context.Context, n Name) error
	// ForgetName takes a name back, if it is there.
	ForgetName(ctx context.Context, id CalendarID, object string) error
	// ObjectsOfUID lists the objects, of all calendars of an account, that have one of the UIDs, without data.
	ObjectsOfUID(ctx context.Context, id AccountID, uids ...string) ([]Object, error)

	// Overlay is what clients have set of a series beside Outlook. SetOverlay replaces it and marks the series to be derived;
	// an empty one is none.
	Overlay(ctx context.Context, id CalendarID, series graph.EventID) (convert.Overlay, error)
	SetOverlay(ctx context.Context, id CalendarID, series graph.EventID, o convert.Overlay) error

	// Version is a state of an object by its ETag, the present one too, or ErrNotFound. VersionsFew earlier ones are kept for
	// VersionAge, of calendars that clients may write to.
	Version(ctx context.Context, id CalendarID, name, etag string) (Object, error)
	// VersionsSince lists the states of an object after the latest of that ETag, oldest first, the present one last; none where
	// that is it. "" is before all that are kept. ErrNotFound where the ETag is not known any more.
	VersionsSince(ctx context.Context, id CalendarID, name, etag string) ([]Object, error)

	// SetFence raises the fence of a series. Fences tells those that there are.
	SetFence(ctx context.Context, id CalendarID, series graph.EventID, f Fence) error
	Fences(ctx context.Context, id CalendarID, series []graph.EventID) (map[graph.EventID]Fence, error)
}

// WrittenStore is what rounds need to know of what clients have written.
type WrittenStore interface {
	Named(ctx context.Context, id CalendarID, object string) (Name, error)
	Names(ctx context.Context, id CalendarID, series ...graph.EventID) ([]Name, error)
	SetName(ctx context.Context, n Name) error
	Fences(ctx context.Context, id CalendarID, series []graph.EventID) (map[graph.EventID]Fence, error)
	// LowerFence brings a fence down from one time to another, if it is still at the former.
	LowerFence(ctx context.Context, id CalendarID, series graph.EventID, from, to time.Time) error
	// Overlays are those of some series; of those without one there is none.
	Overlays(ctx context.Context, id CalendarID, series []graph.EventID) (map[graph.EventID]convert.Overlay, error)
	// NameTaken reports whether another series of the calendar has an object of that name, staged or published.
	NameTaken(ctx context.Context, id CalendarID, series graph.EventID, name string) (bool, error)
	// SetVersioned sets whether earlier states of a calendar's objects are kept.
	SetVersioned(ctx context.Context, id CalendarID, versioned bool) error
}
