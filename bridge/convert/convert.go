// Package convert turns what Graph says of an event or a series into iCalendar.
//
// It is pure: no I/O, no clock, no logging, no globals that change. The same input gives the same bytes,
// whatever the host's time zone. What iCalendar cannot hold, or what the input left unsaid, is returned as
// losses; an event is refused only where it has no place in time at all.
//
// One thing is not in the input: the rules of the time zones. Go's time package reads them from the host's tz database
// where there is one, and only else from the one in the binary (time/tzdata), so hosts whose databases are of different
// ages may write another VTIMEZONE for a zone whose rules changed in between.
package convert

import (
	"errors"
	"time"

	"outbridge/bridge/graph"
)

// ProdID is the PRODID of everything that is written here. It names no other product: Home Assistant switches
// to work-arounds for those of Exchange and Google.
const ProdID = "-//outbridge//outbridge//EN"

// Version is the version of the conversion. It is raised whenever the same input may give other bytes than before, so
// that whoever keeps objects knows that they are to be rendered again.
const Version = 4

// ErrNoTime is wrapped where an event has no place in time at all: no start, no end, no date of an occurrence.
var ErrNoTime = errors.New("the event has no date")

// ErrNoInstances is wrapped where a series has no instance left: its rule hits no day of its range, or all its
// occurrences are removed. Such an object harms clients, so it is to be left out, with the losses kept.
var ErrNoInstances = errors.New("the series has no occurrence")

// Series is everything that Graph said of one calendar object: a single event, a series with its exceptions and
// cancellations, or an orphan occurrence whose master is not in the mailbox.
type Series struct {
	// Event is the single instance, the series master, or the orphan.
	Event graph.Event
	// Exceptions are the modified occurrences of the master, each once. Where the master carries
	// exceptionOccurrences itself (a GET with $expand), they are added to these.
	Exceptions []graph.Event
	// Cancelled are occurrenceIds of removed occurrences. The master's own cancelledOccurrences are added to these.
	Cancelled []string
	// Occurrences are the starts and ends of every instance (occurrence or exception) that Graph lists in Window,
	// the truth that the recurrence rule is checked against. nil: not known, no check. Empty: known to be none.
	// An all-day instance is midnight to midnight, in UTC or in a zone of the series: see [SpanOf].
	Occurrences []Occurrence
	// Window is what Occurrences covers.
	Window Span
	// MailboxZone is the mailbox's own zone (a Windows or IANA name), used where an event's own zone is unknown;
	// "" for none.
	MailboxZone string
	// Owner is the mailbox's address: it tells which attendee the mailbox itself is. May be "".
	Owner string
	// Colors are the colours ("#rrggbb") of the mailbox's categories, by their display names; see [PresetColor]. The
	// first category of an event that has one gives its COLOR. nil: no COLOR.
	Colors map[string]string
	// HTML asks for the HTML body as it is, in X-ALT-DESC, beside the plain text of it in DESCRIPTION.
	HTML bool

	// UID is what clients know the object by, where a client has made it; "": it is as UID says.
	UID string
	// Overlay is what clients have set beside Outlook.
	Overlay Overlay
	// Scheduling: Outlook mails invitations and answers for what clients change, so they must not, and are told so (RFC 6638).
	// Otherwise the object asks nobody for an answer.
	Scheduling bool
	// Attachments are what is attached to the event and its exceptions, by their ids. nil: clients get no files.
	Attachments map[graph.EventID]Attached

	// Sequence is the SEQUENCE of every component. Graph has no such number, so whoever keeps the objects counts
	// the changes of each UID; 0 is right for a conversion that nobody keeps.
	Sequence int
	// Modified is when the rendering last changed for a reason that is not in Graph's lastModifiedDateTime (another
	// event of the series, another window, a newer converter). DTSTAMP and LAST-MODIFIED are never before it.
	Modified time.Time
}

// Span is a half-open time span [Start, End).
type Span struct{ Start, End time.Time }

// Occurrence is an instance of a series that Graph lists. Without AllDay nothing tells a whole day from 24 hours that
// happen to begin at midnight.
type Occurrence struct {
	Span
	AllDay bool
}

// Loss is something that could not be carried over, or was carried over differently.
type Loss struct {
	Event  graph.EventID `json:"event"`
	Field  string        `json:"field"`  // the Graph property
	Reason string        `json:"reason"` // one sentence for the person
}
