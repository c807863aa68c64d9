package bridge

import (
	"context"
	"encoding/xml"
	"errors"
	"iter"
	"time"

	"golang.org/x/oauth2"

	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// Errors of a Store.
var (
	ErrNotFound = errors.New("not found")
	// ErrConflict: another round wrote to the same mirror in between. The round is given up; the next one begins
	// from what is stored.
	ErrConflict = errors.New("the mirror was written by another round")
	// ErrBusy: somebody else has held the database for longer than a call waits, or its server cannot be reached. Nothing was written,
	// unless the connection broke when everything but the server's answer was there.
	ErrBusy = errors.New("the database is held by another program; nothing was changed")
	// ErrNoRoom: the disk of the database is full, or another limit of its server is reached. Nothing was written; somebody has to make room.
	ErrNoRoom = errors.New("the database has no room; nothing was changed")
	// ErrExists: there is one already.
	ErrExists = errors.New("it already exists")
	// ErrWrongKey: what is sealed in the store was sealed with another key.
	ErrWrongKey = errors.New("the key file is not the one that this database was made with")
)

// What follows is the contract of the store, in parts by who uses them; one store is all of them. Calls on one calendar are
// serializable, also across processes. A write is durable when its call returns, but for Mirror and Stage: a power cut may take
// the latest of these back, whole and in order, and the next round makes them once more from the cursor that is left. No
// transaction, lock or query outlives a call, so nothing is held while anyone talks to Graph or to a client; lists come in pages.

// AccountStore keeps accounts and their tokens.
type AccountStore interface {
	// EnsureAccount finds the account or makes it with the state "new".
	EnsureAccount(ctx context.Context, name string) (Account, error)
	// Account and AccountByID find it, or ErrNotFound.
	Account(ctx context.Context, name string) (Account, error)
	AccountByID(ctx context.Context, id AccountID) (Account, error)
	// SetSettings records the mailbox's own settings.
	SetSettings(ctx context.Context, id AccountID, s Settings) error
	// SetPolicy records what clients may do, as it was set on the pages.
	SetPolicy(ctx context.Context, id AccountID, p Policy) error
	// SetGrouped records when the account's calendar groups were read.
	SetGrouped(ctx context.Context, id AccountID, at time.Time) error
	// SetState records how the account fares.
	SetState(ctx context.Context, id AccountID, s State) error
}

// SignInStore keeps the sign-ins of accounts.
type SignInStore interface {
	// Tokens keeps the account's OAuth token, sealed. It is a graph.TokenLocker.
	Tokens(id AccountID) graph.TokenStore
	// SaveSignIn keeps a new sign-in, whatever there was: the token and who it is of.
	SaveSignIn(ctx context.Context, id AccountID, who Identity, token *oauth2.Token) error
}

// SubscriptionStore keeps the Graph subscription of each account.
type SubscriptionStore interface {
	// Subscription finds it, or ErrNotFound.
	Subscription(ctx context.Context, id AccountID) (Subscription, error)
	// SetSubscription replaces it.
	SetSubscription(ctx context.Context, s Subscription) error
}

// CalendarStore keeps the calendars of accounts.
type CalendarStore interface {
	// Calendars lists those of an account in display order.
	Calendars(ctx context.Context, id AccountID) ([]Calendar, error)
	Calendar(ctx context.Context, id CalendarID) (Calendar, error)
	// SetCalendars makes the account's calendars those of list, matched by Mailbox and GraphID: new ones are made (Name is the
	// wished path segment, made unique), known ones take the list's DisplayName, Color, CanEdit, Default, Owner,
	// OnlineMeetings and Order, and others are removed with all that is theirs, what clients have set of them included (PropertyPath). It
	// reports whether anything changed.
	SetCalendars(ctx context.Context, id AccountID, list []Calendar) (bool, error)
}

// MirrorStore keeps mirrors.
type MirrorStore interface {
	// Mirror writes one page and returns the calendar's new Seq. The Seq of a calendar of its Asks rises where that is news there.
	Mirror(ctx context.Context, p MirrorPage) (seq int64, err error)
	// Rows finds rows by id; those that the mirror does not have are absent.
	Rows(ctx context.Context, id CalendarID, ids []graph.EventID) (map[graph.EventID]Row, error)
	// SeriesRows lists the rows of one series, ordered by id.
	SeriesRows(ctx context.Context, id CalendarID, series graph.EventID) ([]Row, error)
	// RowsOf lists those of many series, each ordered by id. A series that has none is absent.
	RowsOf(ctx context.Context, id CalendarID, series []graph.EventID) (map[graph.EventID][]Row, error)
	// RowsIn yields the rows without Raw, masters left out, that touch span. It reads them in pages.
	RowsIn(ctx context.Context, id CalendarID, span convert.Span) iter.Seq2[Row, error]
	// Unlisted lists up to limit rows of singles, masters and orphans whose Round is before round.
	Unlisted(ctx context.Context, id CalendarID, round int64, limit int) ([]Row, error)
	// Elsewhere tells which of ids another calendar of the same mailbox mirrors.
	Elsewhere(ctx context.Context, id CalendarID, ids []graph.EventID) (map[graph.EventID]CalendarID, error)
	// Marked lists up to limit series of a stage, ordered by id, beginning after the id given ("" from the start).
	Marked(ctx context.Context, id CalendarID, stage int, after graph.EventID, limit int) ([]Mark, error)
	// MarksOf finds the marks of some series, clean ones included; those that the mirror does not have are absent.
	MarksOf(ctx context.Context, id CalendarID, series []graph.EventID) (map[graph.EventID]Mark, error)
	// Waits reports whether anything of a calendar waits for the next round: a series that is marked, an object that is staged, or an
	// attachment to be asked for.
	Waits(ctx context.Context, id CalendarID) (bool, error)
	// CountMarked counts the series of a stage.
	CountMarked(ctx context.Context, id CalendarID, stage int) (int, error)
	// Unread lists up to limit clean series, other than single events, that are Unread, ordered by id, beginning after the id
	// given ("" from the start).
	Unread(ctx context.Context, id CalendarID, after graph.EventID, limit int) ([]graph.EventID, error)
}

// ProgressStore keeps how the rounds of a calendar fare.
type ProgressStore interface {
	// SetGood records a good round and, when link is not "", the cursor that it ended with, unless seq moved on.
	SetGood(ctx context.Context, id CalendarID, seq int64, link string, at time.Time) error
	// SetFault records why a round failed. The same once more writes nothing.
	SetFault(ctx context.Context, id CalendarID, f Fault, at time.Time) error
	// SetAudit records when the next audit is due, and what the last one came to.
	SetAudit(ctx context.Context, id CalendarID, a Audit) error
	// AskAudit makes an audit of each calendar of an account due at a time.
	AskAudit(ctx context.Context, id AccountID, at time.Time) error
	// KeepAudit records an audit that was done, and what differed in place of what differed before.
	KeepAudit(ctx context.Context, id CalendarID, a Audit, list []Difference) error
	// SetWay records how changes of the calendar are learnt.
	SetWay(ctx context.Context, id CalendarID, way string) error
}

// StagingStore takes what is derived from a mirror: Stage keeps it, Publish shows it.
type StagingStore interface {
	// MarkAll sets every clean series of a calendar to StageDerive, so that its objects become of that rendering.
	MarkAll(ctx context.Context, id CalendarID, rendering string) error
	// SeriesObject is the object of a series as the next Publish would leave it, or ErrNotFound.
	SeriesObject(ctx context.Context, id CalendarID, series graph.EventID) (Object, error)
	// Shown is what clients are shown of many series, and were, as the next Publish would leave it. A series of which nothing was is absent.
	Shown(ctx context.Context, id CalendarID, series []graph.EventID) (map[graph.EventID]Shown, error)
	// Past is what is known of earlier objects of the account, removed calendars included, by their UIDs. Of which nothing is is absent.
	// What the calendar's next Publish would show is no earlier object: nobody else of the calendar is given its UID.
	Past(ctx context.Context, id CalendarID, uids []string) (map[string]Past, error)
	// PastElsewhere tells which of some UIDs objects of other calendars of the account have or had.
	PastElsewhere(ctx context.Context, id CalendarID, uids []string) (map[string]bool, error)
	// TakeBack takes back what is staged of series that are to have the UID of another one's object, and has these derived again.
	TakeBack(ctx context.Context, id CalendarID) error
	// UIDTaken reports whether another series of the calendar has an object of that UID, staged or published.
	UIDTaken(ctx context.Context, id CalendarID, series graph.EventID, uid string) (bool, error)
	// Stage keeps what was derived from the mirror of state seq for the next Publish and marks its series clean.
	Stage(ctx context.Context, id CalendarID, seq int64, list []Derived) error
	// Publish shows at once all staged objects, or those of the series named, each with a rev of its own, and notes it in the
	// calendar's history. It returns how many changed and how many of these are tombstones. Nothing staged: nothing is written.
	Publish(ctx context.Context, id CalendarID, at time.Time, series ...graph.EventID) (changed, removed int, err error)
}

// StatusStore tells what a calendar holds.
type StatusStore interface {
	// Counts sums up a calendar for status.
	Counts(ctx context.Context, id CalendarID) (Counts, error)
	// Losses lists up to limit recorded losses of a calendar.
	Losses(ctx context.Context, id CalendarID, limit int) ([]convert.Loss, error)
	// ObjectLosses lists those of the series that an object is made of.
	ObjectLosses(ctx context.Context, o Object) ([]EventLoss, error)
	// Differences lists what the last audit of a calendar found, by time.
	Differences(ctx context.Context, id CalendarID) ([]Difference, error)
	// EventLosses lists them with the events that they are of, by time.
	EventLosses(ctx context.Context, id CalendarID, limit int) ([]EventLoss, error)
	// History lists up to limit changes of a calendar, the latest first.
	History(ctx context.Context, id CalendarID, limit int) ([]History, error)
	// FindSeries lists up to limit series of an account ("": of all) that have a row whose id, iCalUId or subject is
	// text, or holds it in its subject.
	FindSeries(ctx context.Context, account, text string, limit int) ([]Found, error)
}

// Found is a series that a search came upon.
type Found struct {
	Calendar CalendarID
	Series   graph.EventID
	Subject  string
	Start    time.Time
}

// Counts sums up one calendar.
type Counts struct {
	Events  int `json:"events"`  // single events, orphans and series of the mirror
	Series  int `json:"series"`  // series of the mirror
	Objects int `json:"objects"` // objects that clients see
	Losses  int `json:"losses"`  // recorded losses
	// Adjusted counts the series whose rule alone does not give what Outlook shows.
	Adjusted int `json:"adjusted"`
	// Unread counts events and series that Graph lists and does not show by themselves.
	Unread int `json:"unread"`
}

// ObjectStore reads the objects that clients see.
type ObjectStore interface {
	// UserCalendar finds a calendar of the account of that name by its path segment, or ErrNotFound. One row read.
	UserCalendar(ctx context.Context, account, name string) (Calendar, error)
	// Object finds one by name, whole; deleted ones are ErrNotFound.
	Object(ctx context.Context, id CalendarID, name string) (Object, error)
	// Objects lists up to q.Limit objects by name, beginning after q.After; with data up to PageOctets.
	Objects(ctx context.Context, id CalendarID, q ObjectQuery) ([]Object, error)
	// ObjectsWithin calls each with the objects that may have an instance from start to end, of which a zero one is open, until it returns
	// false. They come in any order, without data and with timetables, and are all as of one moment. An Object is another one after
	// each has returned, and the store is not to be called by it.
	ObjectsWithin(ctx context.Context, id CalendarID, start, end time.Time, each func(*Object) (more bool)) error
	// Changes lists up to limit objects and tombstones with a rev after since, in rev order, without data.
	Changes(ctx context.Context, id CalendarID, since int64, limit int) ([]Object, error)
}

// ObjectQuery selects objects.
type ObjectQuery struct {
	Names      []string // nil: all
	Start, End time.Time
	WithData   bool
	After      string
	Limit      int
	Room       []Object // to be written over with what is read; nil: new room is made
}

// PasswordStore keeps app passwords by a keyed hash. It and FeedStore note a use under WithClient, some time after the call and not
// more than once an hour.
type PasswordStore interface {
	// AddPassword makes a password and returns it, the only time that it is seen.
	AddPassword(ctx context.Context, user, label string, at time.Time) (Password, string, error)
	Passwords(ctx context.Context, user string) ([]Password, error)
	RevokePassword(ctx context.Context, user string, id int64) error
	// CheckPassword reports whether the password is one of user's, and what it is for. One row read.
	CheckPassword(ctx context.Context, user, password string) (label string, ok bool, err error)
}

// FeedStore keeps feeds by a keyed hash of their secrets.
type FeedStore interface {
	// AddFeed makes a feed and returns its secret, the only time that it is seen.
	AddFeed(ctx context.Context, f Feed) (Feed, string, error)
	Feeds(ctx context.Context, user string) ([]Feed, error)
	// RotateFeed gives the feed a new secret; the old one stops working at once.
	RotateFeed(ctx context.Context, user string, id FeedID) (string, error)
	RemoveFeed(ctx context.Context, user string, id FeedID) error
	// FeedSecret is the secret of a feed whose address is kept, or ErrNotFound.
	FeedSecret(ctx context.Context, user string, id FeedID) (string, error)
	// ChangeFeed sets the name, calendars, detail, options and Kept of the feed of f's User and ID, at its Changed. Its
	// address stays; one that was not kept is, from the next RotateFeed on.
	ChangeFeed(ctx context.Context, f Feed) error
	// FeedBySecret finds the feed, or ErrNotFound.
	FeedBySecret(ctx context.Context, secret string) (Feed, error)
}

// PropertyPath is the path under which a PropertyStore has what a user's clients have set of a calendar: that of the
// collection. Neither name needs escaping.
func PropertyPath(user, calendar string) string {
	return "/dav/calendars/" + user + "/" + calendar + "/"
}

// PropertyStore keeps the properties that clients set on collections (RFC 4918 §9.2), each user's for itself.
type PropertyStore interface {
	Properties(ctx context.Context, user, path string) (map[xml.Name]string, error)
	SetProperties(ctx context.Context, user, path string, set map[xml.Name]string, remove []xml.Name) error
}

// PushStore keeps subscriptions to calendars.
type PushStore interface {
	// PushKey is the private key that messages are signed with. It is fresh where none has been kept yet.
	PushKey(ctx context.Context, fresh []byte) ([]byte, error)
	// AddPushSubscription keeps s under a new ID, with the calendar's present rev as its Rev. One of the same calendar and
	// endpoint is replaced: it keeps its ID and Rev, and created is false. ErrTooMany where the user has limit of them.
	AddPushSubscription(ctx context.Context, s PushSubscription, limit int) (kept PushSubscription, created bool, err error)
	// RemovePushSubscription removes one of a user, or ErrNotFound.
	RemovePushSubscription(ctx context.Context, user, id string) error
	// DropPushSubscription removes one if it is there.
	DropPushSubscription(ctx context.Context, id string) error
	// DropExpiredPushSubscriptions removes those that expire at now or before.
	DropExpiredPushSubscriptions(ctx context.Context, now time.Time) error
	// BehindPushSubscriptions lists up to limit whose calendar has a rev after theirs, by NotBefore.
	BehindPushSubscriptions(ctx context.Context, limit int) ([]PushSubscription, error)
	// ClaimDelivery puts the next message off to a time, and reports whether it was due at now: of several processes that claim
	// the same at once, one does.
	ClaimDelivery(ctx context.Context, id string, now, until time.Time) (bool, error)
	// SetDelivery records how the sending of a message went. It is no error when the subscription is gone.
	SetDelivery(ctx context.Context, id string, rev int64, failures int, notBefore time.Time) error
}

// AdministratorStore keeps the administrator, and the browsers that are signed in to the pages.
type AdministratorStore interface {
	// Administrator is the hash of the administrator's password, or ErrNotFound while there is none.
	Administrator(ctx context.Context) (hash string, err error)
	// SetupCode is the code that sets the first administrator, fresh where none has been kept yet. Only that ends it.
	SetupCode(ctx context.Context, fresh string) (string, error)
	// SetAdministrator sets that hash and ends all sessions of the administrator by password. With first it only ever sets one where there is none, and
	// fails with ErrExists otherwise.
	SetAdministrator(ctx context.Context, hash string, first bool) error

	// AddSession makes a session and returns its secret, the only time that it is seen.
	AddSession(ctx context.Context, s Session) (Session, string, error)
	// SessionBySecret finds a session that has not expired at now, or ErrNotFound. One row read.
	SessionBySecret(ctx context.Context, secret string, now time.Time) (Session, error)
	// ProlongSession records that the session was used.
	ProlongSession(ctx context.Context, id int64, seen, expires time.Time) error
	// Sessions lists those of a person, or of the administrator by password, that have not expired at now, the last used first.
	Sessions(ctx context.Context, of PersonID, now time.Time) ([]Session, error)
	// EndSessions ends those of the ids that are of a person, or of the administrator by password, or all of these where there are
	// none, and forgets expired ones of anybody.
	EndSessions(ctx context.Context, of PersonID, now time.Time, ids ...int64) error

	// NewBrowser makes a mark for a browser that has signed in, which outlives its sessions. Browser is the id in such a
	// mark; false where it was not made with this key. Neither reads a row.
	NewBrowser() (mark string)
	Browser(mark string) (id string, ok bool)
	// KnowNetwork remembers an address, or a network, that somebody has signed in from; the latest 64 are remembered, as
	// keyed hashes. NetworkKnown reports whether it is one of them.
	KnowNetwork(ctx context.Context, network string, at time.Time) error
	NetworkKnown(ctx context.Context, network string) (bool, error)
}

// PageStore keeps what was set on the pages in place of the configuration.
type PageStore interface {
	// Registration is what SetRegistration has kept; the zero value where that is nothing.
	Registration(ctx context.Context) (Registration, error)
	// Credential is the app's secret or certificate that came with it, sealed; the zero value where there is none.
	Credential(ctx context.Context) (Credential, error)
	SetRegistration(ctx context.Context, r Registration, c Credential) error
	// Options are those of the bridge; the zero value where nothing was set.
	Options(ctx context.Context) (Options, error)
	SetOptions(ctx context.Context, o Options) error
	// SetAccountOptions sets those of an account of a page, or ErrNotFound.
	SetAccountOptions(ctx context.Context, name string, o AccountOptions) error

	// SettingsVersion is another after each change of what is set on the pages for all machines: registration, options, accounts and
	// their options and policies. One row read.
	SettingsVersion(ctx context.Context) (string, error)

	// AddAccount makes an account of a page, or takes over one that has left the configuration. ErrExists: there is one of
	// a page already.
	AddAccount(ctx context.Context, name, mailbox string) (Account, error)
	// AddedAccounts lists the accounts of pages by name.
	AddedAccounts(ctx context.Context) ([]Account, error)
	// RemoveAccount removes an account of a page with its calendars, sign-in, passwords and feeds, or ErrNotFound.
	RemoveAccount(ctx context.Context, name string) error
}

// TicketStore keeps one-time links by a keyed hash.
type TicketStore interface {
	// AddTicket makes a one-time link and returns its secret.
	AddTicket(ctx context.Context, t Ticket) (string, error)
	// TakeTicket finds a ticket that has not expired at now and removes it, or ErrNotFound.
	TakeTicket(ctx context.Context, secret string, now time.Time) (Ticket, error)
}
