package bridge

import (
	"context"

	"outbridge/bridge/graph"
)

// Attached is what Graph lists as attached to one event, an exception being one of its own.
type Attached struct {
	Event  graph.EventID
	Series graph.EventID
	// State is that of the event when Graph was asked; "": Graph is to be asked again.
	State  string
	Files  []File
	Others int // messages, events and links to files in the cloud, which clients do not get
}

// File is a file of an event.
type File struct {
	ID    graph.AttachmentID
	Token string // that clients ask for it by; the store makes it
	Name  string
	Type  string // media type; "" is not known
	Size  int    // octets, as Graph counts them
	// Digest is that of the octets, of a file that a client has added; else "".
	Digest string
}

// FilePlace is where a file is.
type FilePlace struct {
	Account  AccountID
	Calendar CalendarID
	Event    graph.EventID
	File
}

// FileStore keeps what is attached to events. The octets stay in Outlook.
type FileStore interface {
	// Attached lists what is attached to some series and their exceptions.
	Attached(ctx context.Context, id CalendarID, series ...graph.EventID) ([]Attached, error)
	// SetAttached replaces that of a series by a list, marks the series to be derived and returns the calendar's new Seq. It counts as a
	// write to the mirror of state seq.
	SetAttached(ctx context.Context, id CalendarID, seq int64, series graph.EventID, list []Attached) (int64, error)
	// ToAttach lists up to limit series of which Graph is to be asked again, in order, after the one given.
	ToAttach(ctx context.Context, id CalendarID, after graph.EventID, limit int) ([]graph.EventID, error)
	// AskAttached has Graph be asked again about all of a calendar that something is attached to.
	AskAttached(ctx context.Context, id CalendarID) error
	// SetDigest keeps what is in a file.
	SetDigest(ctx context.Context, id CalendarID, file graph.AttachmentID, digest string) error
	// File finds a file of an account by its token, or ErrNotFound.
	File(ctx context.Context, account, token string) (FilePlace, error)
	// FileToken is what clients will ask for a file by.
	FileToken(id CalendarID, event graph.EventID, file graph.AttachmentID) string
}
