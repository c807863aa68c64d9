package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Create adds an event or a series to a calendar (learn.microsoft.com/graph/api/calendar-post-events): body is its JSON. The event
// comes back as Graph has made it, with times in zone (see MasterRef). With a transactionId in body it is idempotent: it is sent again
// where the answer was lost, and DuplicateOf tells of an event that was made before. Outlook invites all attendees at once.
func (c *Client) Create(ctx context.Context, cal CalendarID, zone string, body []byte) (Event, error) {
	const op = "create an event"
	var about struct {
		TransactionID string `json:"transactionId"`
	}
	if err := json.Unmarshal(body, &about); err != nil {
		return Event{}, fmt.Errorf("%s: %w", op, err)
	}
	var result Result
	r := writeRequest(&request{op: op, method: http.MethodPost, url: c.BaseURL + c.eventsPath(cal), body: body, idempotent: about.TransactionID != ""}, zone, &result)
	err := c.doThis(ctx, r)
	return result.Event, err
}

// Update changes an event, a whole series or one occurrence, which becomes an exception with another id
// (learn.microsoft.com/graph/api/event-update): body is the JSON of what changes and of nothing else. etag is that of the event as the
// change was worked out from it; "" changes whatever there is, and is not idempotent then. The event comes back as it is now, with times
// in zone (see MasterRef). WriteFault tells why it was refused.
func (c *Client) Update(ctx context.Context, cal CalendarID, id EventID, etag, zone string, body []byte) (Event, error) {
	result := c.Changes(ctx, cal, zone, []Change{{ID: id, ETag: etag, Fields: body}})[0]
	return result.Event, result.Err
}

// Delete removes an event, a whole series or one occurrence (learn.microsoft.com/graph/api/event-delete). Of a meeting that the calendar's
// owner has organized Outlook sends cancellations; an invitee's copy goes silently. What is gone already is IsNotFound, or for some
// time after it went FaultDeleted.
func (c *Client) Delete(ctx context.Context, cal CalendarID, id EventID, etag string) error {
	return c.Changes(ctx, cal, "UTC", []Change{{ID: id, ETag: etag}})[0].Err
}

// Change is an update of an event, or its deletion.
type Change struct {
	ID     EventID // of OccurrenceID too
	ETag   string  // as it was when the change was worked out; "": whatever there is
	Fields []byte  // the JSON of what changes; nil: the event is deleted
}

// Changes is Update and Delete for any number of events of a calendar, in batches of twenty, each for itself: results come in the
// order asked. Outlook carries out up to four of a batch at once, in no order.
func (c *Client) Changes(ctx context.Context, cal CalendarID, zone string, changes []Change) []Result {
	results := make([]Result, len(changes))
	parts := make([]*request, len(changes))
	for i, change := range changes {
		results[i].ID = change.ID
		r := &request{op: "update an event", method: http.MethodPatch, url: c.BaseURL + c.eventPath(cal, change.ID), body: change.Fields, ifMatch: change.ETag, idempotent: change.ETag != ""}
		if change.Fields == nil {
			// Whatever is deleted by its id once cannot be deleted again.
			r.op, r.method, r.idempotent = "delete an event", http.MethodDelete, true
		}
		parts[i] = writeRequest(r, zone, &results[i])
		if change.Fields == nil {
			r.decode = ignore
		}
		if change.ID == "" {
			r.err = errEmptyID(r.op)
		}
	}
	c.runTogether(ctx, parts)
	for i, r := range parts {
		results[i].Err = r.err
	}
	return results
}

// runTogether is run for requests of which several go as batches, and one goes alone.
func (c *Client) runTogether(ctx context.Context, parts []*request) {
	if len(parts) == 1 {
		_ = c.doThis(ctx, parts[0])
		return
	}
	c.run(ctx, parts, c.sendBatches)
}

// writeRequest is a request that answers with the event that it has changed. A zone that Graph does not know as that of the answer
// becomes UTC; where the event itself has one that it does not know, the refusal stays.
func writeRequest(r *request, zone string, result *Result) *request {
	if !headerSafe(zone) {
		zone = "UTC"
	}
	r.prefer = prefer(zone)
	r.decode = func(b []byte) (err error) {
		result.Event, err = readEvent(b)
		return err
	}
	r.relent = func(e *Error) bool {
		again := faultOf(e) == FaultZone && r.prefer != prefer("UTC")
		r.prefer = prefer("UTC")
		return again
	}
	return r
}

// OccurrenceID names the occurrence of a series that its rule has on a date (yyyy-mm-dd, in the series' own zone), moved or not.
func OccurrenceID(master EventID, date string) EventID { return "OID." + master + "." + EventID(date) }

// Answers to an invitation.
const (
	Accept            = "accept"
	TentativelyAccept = "tentativelyAccept"
	Decline           = "decline"
)

// Respond answers an invitation, the whole series' or one occurrence's, with a comment or "" (learn.microsoft.com/graph/api/event-accept).
// send: the organizer is told by mail. What is declined leaves the calendar. It is not idempotent.
func (c *Client) Respond(ctx context.Context, cal CalendarID, id EventID, answer, comment string, send bool) error {
	body := map[string]any{"sendResponse": send}
	if comment != "" {
		body["comment"] = comment
	}
	return c.act(ctx, "answer an invitation", cal, id, answer, body)
}

// Cancel calls off a meeting, a whole series or one occurrence of it, which the owner of the calendar has organized: all attendees are
// told, with the comment (learn.microsoft.com/graph/api/event-cancel). It is not idempotent.
func (c *Client) Cancel(ctx context.Context, cal CalendarID, id EventID, comment string) error {
	return c.act(ctx, "cancel a meeting", cal, id, "cancel", map[string]any{"comment": comment})
}

func (c *Client) act(ctx context.Context, op string, cal CalendarID, id EventID, action string, body map[string]any) error {
	if id == "" {
		return errEmptyID(op)
	}
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return c.do(ctx, request{op: op, method: http.MethodPost, url: c.BaseURL + c.eventPath(cal, id) + "/" + action, prefer: prefer("UTC"), body: b, decode: ignore})
}

// eventsPath is where the events of a calendar are; without one, those of the default calendar.
func (c *Client) eventsPath(cal CalendarID) string {
	return strings.TrimSuffix(c.eventPath(cal, ""), "/")
}
