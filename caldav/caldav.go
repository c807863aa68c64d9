// Package caldav is a CalDAV server (RFC 4791, with RFC 4918, 3744, 5397, 5689, 6578, 6638, 7809, 8144 and 8607 as far as
// clients use them) over a Backend. It knows the protocol and what each client makes of it, and nothing of where
// calendars come from.
//
// Invariants:
//   - The tree is fixed: /dav/principals/USER/, below it inbox/ and outbox/, /dav/calendars/USER/CALENDAR/NAME, and files
//     at /dav/att/ID. A collection's href ends in a slash, every href is a path of unreserved characters, and there is one
//     calendar home.
//   - Nothing is said to a request without the right password, OPTIONS included, and nothing of another user to
//     anybody.
//   - Reports stream: memory does not grow with the answer, and stored octets go out as they are. An object is
//     parsed only where a client asks for something inside it that its bounds do not settle.
//   - An answer that cannot be finished is broken off, never closed as though it were all.
//   - A write is refused before the backend hears of it only for what it is, never for what is there: that is the backend's
//     to judge. A refusal is a 403 with a precondition and a sentence, and no fault that a client would try again.
//   - What cannot be judged is shown: an object with a recurrence that is not understood matches every range.
package caldav

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"strings"
	"time"
)

// Errors that a Backend wraps to choose the answer. Any other error is a 500 with no detail for the client.
var (
	ErrUnauthorized = errors.New("wrong user or password")  // 401
	ErrNotFound     = errors.New("no such resource")        // 404
	ErrForbidden    = errors.New("not allowed")             // 403 DAV:need-privileges
	ErrTokenGone    = errors.New("sync token is not valid") // 403 DAV:valid-sync-token (RFC 6578 §3.2)
	ErrPrecondition = errors.New("precondition failed")     // 412
	ErrUnavailable  = errors.New("temporarily unavailable") // 503 with Retry-After, as is an error with a method Temporary() bool that returns true
	ErrFull         = errors.New("no room left")            // 507 DAV:quota-not-exceeded (RFC 4331 §6)
)

// Principal is a person who has signed in (RFC 3744 §2).
type Principal struct {
	Name        string // one path segment, the user name of Basic auth
	DisplayName string
	Password    string // what the backend calls the password that was signed in with, for its records; opaque here
}

// Token names a state of a calendar (RFC 6578 §3.2): Rev counts its published changes since Epoch began.
// It serves as DAV:sync-token and CS:getctag.
type Token struct {
	Epoch string // [a-z0-9]+
	Rev   int64
}

const tokenPrefix = "urn:outbridge:sync:"

// String is the wire form. It is URI-shaped and free of XML specials: Evolution discards a token without ':'
// or '/', and CalDav Synchronizer pastes it into XML unescaped.
func (t Token) String() string {
	return tokenPrefix + t.Epoch + ":" + strconv.FormatInt(t.Rev, 10)
}

// ParseToken reads the wire form of a token; any other text is ErrTokenGone.
func ParseToken(s string) (Token, error) {
	rest, ok := strings.CutPrefix(s, tokenPrefix)
	epoch, rev, ok2 := strings.Cut(rest, ":")
	n, err := strconv.ParseInt(rev, 10, 64)
	if !ok || !ok2 || epoch == "" || err != nil || n < 0 || strconv.FormatInt(n, 10) != rev {
		return Token{}, ErrTokenGone
	}
	return Token{Epoch: epoch, Rev: n}, nil
}

// AddressBackend knows the e-mail addresses of principals. A Backend may implement it; without it they have none. It is called
// only where a client asks for them, the one that is preferred comes first, and each is a plain address.
type AddressBackend interface {
	Addresses(ctx context.Context, p Principal) ([]string, error)
}

// Calendar is one calendar collection (RFC 4791 §4.2).
type Calendar struct {
	Owner       string // the principal's Name
	Name        string // path segment, [a-z0-9._-]+
	DisplayName string // never empty
	Description string
	Color       string // "#rrggbb", or "" for none
	Order       int    // place among the calendars of the home
	TimeZone    string // IANA name of the calendar's default zone, or ""
	Writable    bool   // a WriteBackend takes writes to it
	Schedules   bool   // writes to it are mailed to the people concerned (RFC 6638 calendar-auto-schedule)
	Attachments bool   // an AttachmentBackend keeps files of its objects (RFC 8607)
	Token       Token
	Modified    time.Time // of the last published change

	Key any // the backend's own handle, opaque here
}

// Object is one calendar object resource (RFC 4791 §4.1): all components of one UID.
type Object struct {
	Name     string // path segment: [a-z0-9._-]+\.ics, or as its client has named it: up to 255 octets of UTF-8, without slashes and controls
	ETag     string // entity-tag without quotes; changes exactly when Data does
	Rev      int64  // the calendar's rev at which it last changed
	Modified time.Time
	Size     int    // octets of Data, also where Data was not asked for
	Data     []byte // the stored iCalendar octets; nil where not asked for
	Deleted  bool   // a tombstone: only Name and Rev are set
	ReadOnly bool   // it cannot be written to, though its calendar can

	// ScheduleTag, without quotes, changes with what an organizer decides, and not with answers of invitees (RFC 6638 §3.2.10).
	// "": it is no scheduling object.
	ScheduleTag string

	First time.Time // no instance starts before; zero: not known
	Last  time.Time // no instance ends after; zero: unbounded, or not known
	// Timetable is its ics.Timetable. It is looked at where objects are listed by time and without data; "": not known.
	Timetable string
}

// Query selects objects. The zero value selects all of a calendar, without their data.
type Query struct {
	Names    []string  // only these, in any order; nil: all
	Start    time.Time // only those that may have an instance ending at or after Start; zero: no bound
	End      time.Time // only those that may have an instance starting before End; zero: no bound
	WithData bool      // fill Object.Data
}

// Backend is where principals, calendars and objects come from. It is called concurrently. Errors wrap the
// sentinels above. Iterators hold no lock and no open query while the loop body runs, so a slow client blocks
// nobody; they stop with an error as their last element.
type Backend interface {
	// Login checks a password of HTTP Basic auth; ErrUnauthorized when it is not user's. It is called on every
	// request and must cost microseconds.
	Login(ctx context.Context, user, password string) (Principal, error)
	// Calendars lists the calendars of a principal in display order.
	Calendars(ctx context.Context, p Principal) ([]Calendar, error)
	// Calendar finds one by its path segment, or ErrNotFound. One row read: it answers an idle poll.
	Calendar(ctx context.Context, p Principal, name string) (Calendar, error)
	// Object finds one by its path segment, with its data, or ErrNotFound. One that was written under another name than it has
	// is found by either; its Name is the one that it has.
	Object(ctx context.Context, c Calendar, name string) (Object, error)
	// Objects yields the objects that q selects, in an order that is stable while nothing changes unless both bounds are set. It may yield
	// more than the time bounds of q select, never less. Of Names, an object has the name that it was asked for by.
	Objects(ctx context.Context, c Calendar, q Query) iter.Seq2[Object, error]
	// Changes yields objects (without data) and tombstones that changed after since, in rev order, each name once
	// in its latest state. ErrTokenGone when since is of another epoch, too old, or ahead of the calendar.
	Changes(ctx context.Context, c Calendar, since Token) iter.Seq2[Object, error]
}
