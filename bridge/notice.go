package bridge

import (
	"context"
	"errors"
	"time"
)

// NoticeKind is what a Notice is about.
type NoticeKind string

const (
	NoticeSignIn      NoticeKind = "sign-in"      // an account waits for a person: Fault says why
	NoticeSignInEnds  NoticeKind = "sign-in-ends" // the organization ends the sign-in of an account at At
	NoticeStale       NoticeKind = "stale"        // a calendar was last good at At; zero: never
	NoticeCredential  NoticeKind = "credential"   // the app's certificate or secret, which Detail says, expires at At
	NoticeCertificate NoticeKind = "certificate"  // the server's own certificate expires at At
	NoticeRenewal     NoticeKind = "renewal"      // the certificate of the domain in Detail, which the bridge should have renewed, expires at At
	NoticeRefused     NoticeKind = "refused"      // a change of a client was refused
	NoticeFailed      NoticeKind = "failed"       // or failed for good
	NoticeUnknown     NoticeKind = "unknown"      // or may have been done
	NoticeWaiting     NoticeKind = "waiting"      // Count changes of clients have not been carried out since At
	NoticeHeld        NoticeKind = "held"         // the changes of an account are stopped since At
	NoticeMembers     NoticeKind = "members"      // Count members of the organization are not synced: Fault says why
	NoticeDirectory   NoticeKind = "directory"    // the organization's directory cannot be read: Fault says why
	NoticeDoubt       NoticeKind = "doubt"        // its answer would end Count accounts, and is not believed since At
	NoticeDiskLow     NoticeKind = "disk-low"     // Count MiB are free on the disk of the database
	NoticeDiskFull    NoticeKind = "disk-full"
	NoticeTest        NoticeKind = "test" // somebody wants to see a message
)

// Notice is a trouble that people are told of. It has names of accounts and calendars and nothing of events.
type Notice struct {
	Key      string     `json:"key"` // the same as long as it is the same trouble
	Kind     NoticeKind `json:"kind"`
	Account  string     `json:"account,omitempty"`
	Calendar string     `json:"calendar,omitempty"`
	Fault    Fault      `json:"fault,omitzero"`
	Detail   string     `json:"detail,omitempty"`
	At       time.Time  `json:"at,omitzero"`
	Count    int        `json:"count,omitempty"`
	Since    time.Time  `json:"since"`         // when it was first seen
	Told     time.Time  `json:"told,omitzero"` // zero: nobody has been told yet
}

// IsPassing reports whether it is something that has happened, of which nobody is told that it is over.
func (n Notice) IsPassing() bool {
	return n.Kind == NoticeRefused || n.Kind == NoticeFailed || n.Kind == NoticeUnknown
}

// News is what a message tells: that a trouble is there, or that it is over.
type News struct {
	Notice
	Over bool `json:"over,omitempty"`
}

// NoticeMessage waits for its delivery to one target.
type NoticeMessage struct {
	ID        int64
	Target    string // its id
	News      []News
	More      int // news that are left out
	Created   time.Time
	Failures  int
	NotBefore time.Time
}

// NoticeTarget is where messages go.
type NoticeTarget struct {
	ID         string
	URL        string // a secret
	Service    string // "smtp", "ntfy", …
	Where      string // a host or an address of mail; "" where the URL has no part that may be shown
	Configured bool   // in the configuration
	Language   string // of what is sent there; "": that of the bridge
	Last       NoticeDelivery
}

// NoticeDelivery is what became of the latest message to a target.
type NoticeDelivery struct {
	At      time.Time     `json:"at"`
	Failure NoticeFailure `json:"failure,omitzero"`
}

// NoticeFailure is why a message was not delivered. The zero value: it was.
type NoticeFailure struct {
	Reason string `json:"reason,omitempty"` // "refused", "sign-in", "unreachable", "no-host", "timeout", "certificate", "other"
	Status int    `json:"status,omitempty"` // of HTTP or SMTP; 0: there was none
}

// ErrNoticeURL: nothing can be sent to such a URL.
var ErrNoticeURL = errors.New("no address for notifications")

// NoticeStore keeps troubles, the messages about them that wait, and where they go.
type NoticeStore interface {
	// Notices and SetNotices are the troubles that there are and the messages that wait, all of them. Messages get IDs.
	Notices(ctx context.Context) ([]Notice, []NoticeMessage, error)
	SetNotices(ctx context.Context, list []Notice, messages []NoticeMessage) error

	// NoticeTargets lists the targets that were set on the pages; only ID and URL are filled in.
	NoticeTargets(ctx context.Context) ([]NoticeTarget, error)
	// AddNoticeTarget keeps a target, sealed, and returns its id; one that is there already gets the language alone.
	AddNoticeTarget(ctx context.Context, url, language string, at time.Time) (id string, err error)
	// RemoveNoticeTarget removes it, or ErrNotFound.
	RemoveNoticeTarget(ctx context.Context, id string) error
	// NoticeTargetID is the id of a target of that URL, whether it is kept or not: a keyed hash.
	NoticeTargetID(url string) string
	// NoticeDeliveries are the latest ones by the id of their target. SetNoticeDelivery replaces one.
	NoticeDeliveries(ctx context.Context) (map[string]NoticeDelivery, error)
	SetNoticeDelivery(ctx context.Context, id string, d NoticeDelivery) error

	// Surveyed are up to limit accounts with what tells whether they are in trouble, by id, beginning after an id.
	Surveyed(ctx context.Context, after AccountID, limit int) ([]Surveyed, error)
	// TroubledIntents lists up to limit intents of all accounts, the latest first, without what was written: those that are open, and those that have
	// changed since a time, did not end well, and that no later one is of the same object.
	TroubledIntents(ctx context.Context, since time.Time, limit int) ([]Intent, error)

	// SetSignedIn sets when somebody last signed in to an account, and SetSignInLife how long the organization lets that last.
	SetSignedIn(ctx context.Context, id AccountID, at time.Time) error
	SetSignInLife(ctx context.Context, id AccountID, life time.Duration) error
}

// Surveyed is an account with what tells whether it is in trouble.
type Surveyed struct {
	Account
	SignedIn   time.Time // and how long the organization lets that last, as far as it is known
	SignInLife time.Duration
	Held       time.Time // since when its writes wait; zero: they do not
	Calendars  []Calendar
}
