package caldav

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"
)

// WriteBackend is a Backend with calendars that take writes. A Backend may implement it; without it all are read-only,
// whatever Calendar.Writable says. It is called concurrently, and only to change calendars that are Writable.
//
// A write is done when the method returns: what it has made of the object is what Object and Objects give from then on,
// for clients read it in the same second. One that cannot be done exactly is refused whole, with a *Refused, ErrForbidden,
// ErrPrecondition, ErrFull or ErrUnavailable, and has changed nothing.
//
// The Handler has looked at the syntax alone. That the object exists, that the Match holds, and that the UID is free are
// for the backend to find out in the same transaction as it writes.
type WriteBackend interface {
	// Put makes the object of a name what the client sent (RFC 4791 §5.3.2), or makes a new one.
	Put(ctx context.Context, c Calendar, name string, r PutRequest) (Written, error)
	// Delete removes it, or ErrNotFound.
	Delete(ctx context.Context, c Calendar, name string, r WriteRequest) error
	// Move gives it another name, in the same calendar or in another (RFC 4918 §9.9), or ErrNotFound.
	Move(ctx context.Context, c Calendar, name string, to Destination, r WriteRequest) (Written, error)
	// Copy makes another object of it (RFC 4918 §9.8), or ErrNotFound.
	Copy(ctx context.Context, c Calendar, name string, to Destination, r WriteRequest) (Written, error)
}

// WriteRequest is what is said with every write.
type WriteRequest struct {
	Principal Principal
	Match     Match
	Silent    bool   // nobody is to be told (Schedule-Reply: F, RFC 6638 §8.1)
	Client    string // User-Agent
}

// PutRequest is a PUT.
type PutRequest struct {
	WriteRequest
	// Octets are the body, in UTF-8 and without a byte order mark, otherwise as it was sent: with LF or CRLF.
	Octets []byte
	// Data is what they say: a VCALENDAR without METHOD that has VEVENTs of one UID, VTIMEZONEs and perhaps what is not
	// known here. Its values are as ics.Decode gives them.
	Data *ical.Calendar
	UID  string
}

// Destination is where a MOVE or a COPY goes.
type Destination struct {
	Calendar  Calendar // Writable, of the same principal
	Name      string
	Overwrite bool // an object of that name may be replaced (RFC 4918 §10.6); else it is ErrPrecondition
}

// Written is what a write has come to.
type Written struct {
	// Object is as it is served from now on, with its data. Its Name is another than the client's where the write was of an
	// object that has another; the client's goes on to be understood. Deleted: the write has made it go, such as the refusal
	// of an invitation; no more than the name need be set.
	Object  Object
	Created bool // there was no such object before
}

// Match holds the conditional headers of a write as they came (RFC 9110 §13.1, RFC 6638 §8.3). The tags of a list are
// without quotes, weak marks and the suffixes that servers in between append for a content coding; "*" is any. Nil is a
// header that is not there. An If-Match that cannot be read is a tag that no object has.
type Match struct {
	IfMatch           []string
	IfNoneMatch       []string
	IfScheduleTag     []string
	IfUnmodifiedSince time.Time // zero: not there; not looked at where there is an IfMatch
}

// Holds compares with an object, nil where there is none, by its tags alone, as the RFCs have it.
func (m Match) Holds(o *Object) bool {
	has := func(tags []string, tag string) bool {
		return o != nil && (slices.Contains(tags, "*") || slices.Contains(tags, tag))
	}
	switch {
	case m.IfMatch != nil && (o == nil || !has(m.IfMatch, o.ETag)),
		m.IfScheduleTag != nil && (o == nil || o.ScheduleTag == "" || !has(m.IfScheduleTag, o.ScheduleTag)),
		m.IfNoneMatch != nil && o != nil && has(m.IfNoneMatch, o.ETag):
		return false
	case m.IfMatch == nil && !m.IfUnmodifiedSince.IsZero() && o != nil:
		return o.Modified.IsZero() || !o.Modified.Truncate(time.Second).After(m.IfUnmodifiedSince)
	}
	return true
}

// Refused is the error of a write that is not done, for a reason that its client can be told.
type Refused struct {
	// Err is ErrPrecondition for a 412, ErrUnavailable for a 503 or ErrFull for a 507; nil is a 403.
	Err error
	// Condition is the element of DAV:error. The zero value of a 403 is NeedPrivileges.
	Condition Condition
	// Sentence is for the person, whole and plain.
	Sentence string
	// Calendar and Object are the names of the object that has the UID, of NoUIDConflict and UniqueSchedulingObject.
	Calendar, Object string
	// RetryAfter is what a client is told to wait, with ErrUnavailable. Zero: Handler.RetryAfter.
	RetryAfter time.Duration
}

func (r *Refused) Error() string {
	parts := []string{r.Condition.String()}
	if r.Err != nil {
		parts[0] = r.Err.Error()
	}
	return strings.Join(append(parts, r.Sentence), ": ")
}

func (r *Refused) Unwrap() error { return r.Err }

// ScheduleBackend is a Backend with scheduling (RFC 6638). A Backend may implement it; without it there is none.
type ScheduleBackend interface {
	// Scheduling says what there is of it for a principal. It costs about as much as a Calendar.
	Scheduling(ctx context.Context, p Principal) (Scheduling, error)
	// FreeBusy asks when people are busy: an answer for each of q.Recipients, in their order. An error is of the whole
	// request; one of a single recipient is a BusyStatus.
	FreeBusy(ctx context.Context, p Principal, q BusyQuery) ([]Busy, error)
}

// Scheduling is what a principal has of it.
type Scheduling struct {
	// Boxes: there are an inbox, which is empty, and an outbox, which free-busy requests are sent to. Clients take them for a
	// server that mails invitations.
	Boxes bool
	// Default is the path segment of the calendar that invitations come to; "" is none.
	Default string
}

// BusyQuery is a free-busy request (RFC 6638 §5).
type BusyQuery struct {
	Recipients []string // plain addresses, each once
	Start, End time.Time
	// Mask is the UID of an event that does not count, since it is the one that a time is sought for; "" is none.
	Mask   string
	Client string // User-Agent
}

// Busy is what is known of one person's time.
type Busy struct {
	Status  BusyStatus
	Periods []BusyPeriod // in any order
}

// BusyStatus is the outcome for one recipient.
type BusyStatus string

const (
	BusyKnown       BusyStatus = "2.0;Success"
	BusyUnknownUser BusyStatus = "3.7;Invalid calendar user"
	BusyNoAuthority BusyStatus = "3.8;No authority"
	BusyUnavailable BusyStatus = "5.1;Service unavailable"
)

// BusyPeriod is a time that is taken.
type BusyPeriod struct {
	Start, End time.Time
	Type       BusyType
}

// BusyType is an FBTYPE (RFC 5545 §3.2.9).
type BusyType string

const (
	Busily      BusyType = "BUSY"
	Tentatively BusyType = "BUSY-TENTATIVE"
	Away        BusyType = "BUSY-UNAVAILABLE"
)

// AttachmentBackend is a Backend that keeps files of events (RFC 8607). A Backend may implement it; which calendars have
// them is Calendar.Attachments. Objects link to a file by the path that AttachmentPath gives, at the origin that clients use.
type AttachmentBackend interface {
	// AttachmentLimits bound what a principal can add; the zero value is where there are no files at all. It costs about as
	// much as a Calendar.
	AttachmentLimits(ctx context.Context, p Principal) (AttachmentLimits, error)
	// OpenAttachment is the file of an id, of the principal's, or ErrNotFound.
	OpenAttachment(ctx context.Context, p Principal, id string) (AttachmentFile, error)
	// AddAttachment adds a file to an object and says how it is known from then on. Of a series, rids are the occurrences that
	// get it, "M" the master, as the client wrote them; nil is all of it.
	AddAttachment(ctx context.Context, c Calendar, name string, rids []string, r AttachmentRequest) (Attached, error)
	// UpdateAttachment replaces a file, wherever the object has it.
	UpdateAttachment(ctx context.Context, c Calendar, name, managedID string, r AttachmentRequest) (Attached, error)
	// RemoveAttachment takes it away from the occurrences that rids name.
	RemoveAttachment(ctx context.Context, c Calendar, name string, rids []string, managedID string, r WriteRequest) (Written, error)
}

// AttachmentLimits are what is told of as max-attachment-size and max-attachments-per-resource (RFC 8607 §6).
type AttachmentLimits struct {
	Octets int64 // of a file; more than 25 MiB is never passed on
	Files  int   // of an object
}

// AttachmentFile is a file that is read. Whoever gets it closes Body.
type AttachmentFile struct {
	Name string // as people see it; "" is not known
	Type string // media type; "" is not known
	Size int64  // octets, exactly; -1 is not known
	Body io.ReadCloser
}

// AttachmentRequest is a file that a client sends.
type AttachmentRequest struct {
	WriteRequest
	Name   string // without a path; never empty
	Type   string // media type; never empty
	Octets []byte
}

// Attached is a file that was sent.
type Attached struct {
	Written
	ManagedID string // its MANAGED-ID
	ID        string // of OpenAttachment
}

// AttachmentPath is where a client reads a file: its path at the origin of the Handler. An id is of [A-Za-z0-9_=.-], up to
// 1,000 of them. The name is for the client's eyes.
func AttachmentPath(id, name string) string {
	path := attachmentsPath + id
	if name = fileName(name); name != "" {
		path += "/" + escapeSegment(name)
	}
	return path
}

const attachmentsPath = "/dav/att/"
