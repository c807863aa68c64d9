package round

import (
	"context"
	"iter"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// Graph is what a round asks of one mailbox; *graph.Client is the real one. It retries by itself, so an error is final for
// this round.
type Graph interface {
	Calendars(ctx context.Context) ([]graph.Calendar, error)
	GroupCalendars(ctx context.Context) ([]graph.Calendar, error)
	PrimaryCalendar(ctx context.Context) (graph.Calendar, error)
	Calendar(ctx context.Context, id graph.CalendarID) (graph.Calendar, error)
	DeltaURL(cal graph.CalendarID, start, end time.Time) string
	Delta(ctx context.Context, link string) (graph.DeltaPage, error)
	Events(ctx context.Context, cal graph.CalendarID, ids []graph.EventID) []graph.Result
	Masters(ctx context.Context, cal graph.CalendarID, refs []graph.MasterRef) []graph.Result
	Listed(ctx context.Context, cal graph.CalendarID, events []graph.Event) []graph.Result
	EventsFrom(ctx context.Context, cal graph.CalendarID, from time.Time) iter.Seq2[graph.Event, error]
	View(ctx context.Context, cal graph.CalendarID, start, end time.Time) iter.Seq2[graph.Event, error]
	FullView(ctx context.Context, cal graph.CalendarID, start, end time.Time) iter.Seq2[graph.Event, error]
	Instances(ctx context.Context, cal graph.CalendarID, master graph.EventID, start, end time.Time) ([]graph.Event, error)
	AttachmentsOf(ctx context.Context, cal graph.CalendarID, ids []graph.EventID) []graph.AttachmentList
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
	// Policy is what clients may do to its calendars. The zero value is reading.
	Policy bridge.Policy
}

// SharedMailbox is an account's way to the mailbox of somebody else.
type SharedMailbox struct {
	Address string
	Graph   Graph
}

// graphOf is the way to the mailbox that a calendar is read from.
func (m Mailbox) graphOf(c bridge.Calendar) Graph {
	for _, s := range m.Shared {
		if c.Mailbox == s.Address {
			return s.Graph
		}
	}
	return m.Graph
}
