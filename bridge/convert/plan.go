package convert

import (
	"encoding/json"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
)

// Edit is what a client wants to be made of a calendar object.
type Edit struct {
	// Base is the object as the client had it when it began to edit; nil where that is not known, or where there was none.
	Base *ical.Calendar
	// Had: the client had the object, though it may not have said in which state. Without it and without Base, what the client does not say
	// it has not taken away.
	Had bool
	// Current is the object as it is served now; nil: there is none yet.
	Current *ical.Calendar
	// New is what the client wants; nil: that the object goes.
	New *ical.Calendar
	// Series is Current as Graph says it, with what is kept beside it. Of a new object it has only the options, such as
	// MailboxZone and Owner.
	Series Series
	// Addresses are all those of the mailbox whose calendar it is, aliases included.
	Addresses []string
	// Client is the User-Agent, for the few clients that are known to drop properties.
	Client string
	// Silent: the client asks that nobody be told (Schedule-Reply: F, RFC 6638 §8.1).
	Silent bool
	// ReadOnly: the calendar takes no writes. Delegated: it is somebody else's, whose private events are not written.
	ReadOnly  bool
	Delegated bool
	// Repair: New was accepted before, and it is to be seen what a change of the times of its series has left of its occurrences.
	// Those that it has and the series has not are passed over, and nothing that would be refused of them is.
	Repair bool
	// Earlier is of Repair: the object as it was before, whose names of occurrences clients leave behind when they move a series; nil: none.
	Earlier *ical.Calendar
	// Files: the client says by this what is to be attached, so that a file which is left out is one to remove, whatever the client.
	Files bool
	// OnlineMeetings: a new meeting becomes an online meeting of this provider of Graph; "": it does not.
	OnlineMeetings string
}

// Plan is what to do about an Edit: calls of Graph in their order, and what is kept here. An empty plan changes nothing.
type Plan struct {
	Steps []Step `json:"steps,omitempty"`
	// Overlay is what is to be kept of what clients set and Outlook has no place for; nil: as it was.
	Overlay *Overlay `json:"overlay,omitempty"`
	// Files is that of the Edit.
	Files bool `json:"files,omitempty"`
}

// Op is a kind of call of Graph.
type Op string

const (
	OpCreate    Op = "create"            // POST …/events
	OpUpdate    Op = "update"            // PATCH …/events/{id}
	OpDelete    Op = "delete"            // DELETE …/events/{id}
	OpCancel    Op = "cancel"            // POST …/cancel
	OpAccept    Op = "accept"            // POST …/accept
	OpTentative Op = "tentativelyAccept" // POST …/tentativelyAccept
	OpDecline   Op = "decline"           // POST …/decline
	OpAttach    Op = "attach"            // POST …/attachments
	OpDetach    Op = "detach"            // DELETE …/attachments/{id}
)

// Step is one call of Graph.
type Step struct {
	Op Op `json:"op"`
	// Occurrence is the date (yyyy-mm-dd, in the series' own zone) by which the rule has the occurrence that the step is of; "":
	// the single event, or the whole series.
	Occurrence string `json:"occurrence,omitempty"`
	// ID is that of the exception, where there is one already.
	ID graph.EventID `json:"id,omitempty"`
	// Fields is the body of a create or an update: a JSON object of nothing but what changes.
	Fields json.RawMessage `json:"fields,omitempty"`
	// Comment goes with a cancellation or an answer.
	Comment string `json:"comment,omitempty"`
	// Silent: the organizer is not told of an answer (sendResponse false).
	Silent bool `json:"silent,omitempty"`
	// Resets: exceptions and cancellations of the series may be gone afterwards, since the times or the rule change.
	Resets bool `json:"resets,omitempty"`
	// Attachment is what an attach adds and which one a detach removes.
	Attachment *Attachment `json:"attachment,omitempty"`
	// Mails are what Outlook sends because of the step.
	Mails []Mail `json:"mails,omitempty"`
}

// Attachment is a file of an event.
type Attachment struct {
	ID     string `json:"id,omitempty"`  // Graph's
	Key    string `json:"key,omitempty"` // that clients know it by, as MANAGED-ID (RFC 8607 §4.3)
	Name   string `json:"name"`
	Type   string `json:"type,omitempty"`   // media type
	Size   int    `json:"size,omitempty"`   // octets; of one that Outlook has as Graph counts them, which is some more
	URL    string `json:"url,omitempty"`    // where clients get it
	Digest string `json:"digest,omitempty"` // of the octets, of one that a client has added or adds
	// From: it is to be a copy of the file of that ID of another event.
	From *Source `json:"from,omitempty"`
}

// Source is where a file that is attached is copied from.
type Source struct {
	Calendar int64         `json:"calendar"`
	Event    graph.EventID `json:"event"`
}

// Attached is what is attached to an event.
type Attached struct {
	Files  []Attachment
	Others int // of other kinds: messages, events, links to files in the cloud
}

// Kinds of Mail.
const (
	MailInvitation   = "invitation"
	MailUpdate       = "update"
	MailCancellation = "cancellation"
	MailReply        = "reply"
)

// Mail is a message that Outlook sends to each of some people.
type Mail struct {
	Kind string   `json:"kind"`
	To   []string `json:"to"` // addresses
}

// Refusal is why an Edit is not carried out: nothing of it is. Sentence is for the person, whole and without a full stop
// missing; it says what to do instead where there is something.
type Refusal struct {
	Kind     RefusalKind `json:"kind"`
	Sentence string      `json:"sentence"`
}

func (r *Refusal) Error() string { return string(r.Kind) + ": " + r.Sentence }

// RefusalKind is what a refusal is about. Each has its precondition in CalDAV (RFC 4791 §5.3.2.1, RFC 6638 §3.2.4).
type RefusalKind string

const (
	RefusedReadOnly   RefusalKind = "read-only"        // the calendar or the event takes no writes
	RefusedData       RefusalKind = "data"             // a value that cannot be read or kept, such as a time zone
	RefusedObject     RefusalKind = "object"           // a recurrence or an occurrence that Outlook cannot have
	RefusedComponent  RefusalKind = "component"        // no event
	RefusedAttendees  RefusalKind = "attendees"        // too many of them
	RefusedSize       RefusalKind = "size"             // the object is too large
	RefusedAttachment RefusalKind = "attachment-size"  // an attachment is
	RefusedUID        RefusalKind = "uid"              // another object has the UID
	RefusedOrganizer  RefusalKind = "organizer-change" // what an organizer may not change here, or what would send mail
	RefusedAttendee   RefusalKind = "attendee-change"  // what an invitee may not change, or what would send mail
	RefusedOrganizers RefusalKind = "organizers"       // the components do not agree on the organizer
)
