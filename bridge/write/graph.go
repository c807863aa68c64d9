package write

import (
	"cmp"
	"context"
	"io"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/round"
)

// Graph is what a write asks of one mailbox, beside what a round does; *graph.Client is the real one. It retries by itself.
type Graph interface {
	round.Graph
	Create(ctx context.Context, cal graph.CalendarID, zone string, body []byte) (graph.Event, error)
	Changes(ctx context.Context, cal graph.CalendarID, zone string, changes []graph.Change) []graph.Result
	Respond(ctx context.Context, cal graph.CalendarID, id graph.EventID, answer, comment string, send bool) error
	Cancel(ctx context.Context, cal graph.CalendarID, id graph.EventID, comment string) error
	FindByProperty(ctx context.Context, cal graph.CalendarID, property, value string) ([]graph.Event, error)
	FindByICalUID(ctx context.Context, uid string, cals ...graph.CalendarID) ([]graph.Found, error)
	Schedules(ctx context.Context, addresses []string, start, end time.Time, interval int) ([]graph.Schedule, error)
	Attachments(ctx context.Context, cal graph.CalendarID, id graph.EventID) ([]graph.Attachment, error)
	AddAttachment(ctx context.Context, cal graph.CalendarID, id graph.EventID, name, contentType string, size int64, body io.Reader) (graph.AttachmentID, error)
	OpenAttachment(ctx context.Context, cal graph.CalendarID, id graph.EventID, attachment graph.AttachmentID) (graph.Content, error)
	RemoveAttachment(ctx context.Context, cal graph.CalendarID, id graph.EventID, attachment graph.AttachmentID) error
}

// addressesOf are those of the mailbox that a calendar is of.
func (m Mailbox) addressesOf(c bridge.Calendar) []string {
	if c.IsForeign(m.Addresses) {
		return []string{cmp.Or(c.Owner, c.Mailbox)}
	}
	return m.Addresses
}

// graphOf is the way to the mailbox that a calendar is of. ok is false where it cannot be written to.
func (m Mailbox) graphOf(c bridge.Calendar) (g Graph, ok bool) {
	way := m.Graph
	for _, s := range m.Shared {
		if s.Address == c.Mailbox && c.Mailbox != "" {
			way = s.Graph
		}
	}
	g, ok = way.(Graph)
	return g, ok
}
