package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// batchSize is how many requests one $batch takes at most (learn.microsoft.com/graph/json-batching).
const batchSize = 20

// Result is the answer for one event. Where Err is set, Event is zero.
type Result struct {
	ID    EventID // as asked
	Event Event
	Err   error
	// Partial is set by Masters where the service does not know cancelledOccurrences or exceptionOccurrences: their
	// absence from Event then says nothing.
	Partial bool
}

// Events reads any number of events of cal in batches of twenty, with times in UTC. Results come in the order asked, one
// for each id; what fails for one event is that Result's Err (IsNotFound: it is gone, or Graph does not show it by itself),
// and what fails for all is everyone's. See eventPath for cal.
func (c *Client) Events(ctx context.Context, cal CalendarID, ids []EventID) []Result {
	results := make([]Result, len(ids))
	parts := make([]*request, len(ids))
	for i, id := range ids {
		parts[i] = c.eventRequest("read events", cal, id, &results[i])
		parts[i].prefer = prefer("UTC")
	}
	c.run(ctx, parts, c.sendBatches)
	for i, r := range parts {
		results[i].Err = r.err
	}
	return results
}

// Listed looks for events in the list of the calendar's events, by their iCalUId and id, in batches of twenty, with times in
// UTC. The list names single events and masters at whatever time, those too that a GET by id does not show. Results come in
// the order asked; where the list names no such event, Event and Err are zero. Only ID and ICalUID are read.
func (c *Client) Listed(ctx context.Context, cal CalendarID, events []Event) []Result {
	const op = "look up events"
	results := make([]Result, len(events))
	parts := make([]*request, len(events))
	for i, e := range events {
		results[i].ID = e.ID
		filter := "iCalUId eq '" + strings.ReplaceAll(e.ICalUID, "'", "''") + "'"
		parts[i] = &request{op: op, method: http.MethodGet, prefer: prefer("UTC"),
			url: fmt.Sprintf("%s%s/calendars/%s/events?$filter=%s&$top=%d", c.BaseURL, c.root(), escape(string(cal)), escape(filter), c.pageSize()),
			decode: func(b []byte) error {
				found, _, err := readPage[Event](b)
				for _, f := range found {
					if f.ID == e.ID {
						results[i].Event = f
					}
				}
				return err
			}}
		if e.ID == "" || e.ICalUID == "" {
			parts[i].err = errEmptyID(op)
		}
	}
	c.run(ctx, parts, c.sendBatches)
	for i, r := range parts {
		results[i].Err = r.err
	}
	return results
}

// eventRequest reads one event of cal into result.
func (c *Client) eventRequest(op string, cal CalendarID, id EventID, result *Result) *request {
	result.ID = id
	r := &request{op: op, method: http.MethodGet, url: c.BaseURL + c.eventPath(cal, id), decode: func(b []byte) error {
		event, err := readEvent(b)
		if err == nil {
			result.Event = event
		}
		return err
	}}
	if id == "" {
		r.err = errEmptyID(op)
	}
	return r
}

// batchRequest and batchResponse are a part of a $batch and its answer.
type batchRequest struct {
	ID      string            `json:"id"`
	Method  string            `json:"method"`
	URL     string            `json:"url"` // relative to BaseURL
	Headers map[string]string `json:"headers,omitempty"`
	Body    json.RawMessage   `json:"body,omitempty"`
}

type batchResponse struct {
	ID      batchID         `json:"id"`
	Status  int             `json:"status"`
	Headers map[string]any  `json:"headers"`
	Body    json.RawMessage `json:"body"`
}

// sendBatches sends requests in batches of twenty, or fewer where the mailbox lets fewer through: see run. It ends at the first batch that fails as a whole, and those
// behind it share its error and its token, though they were not sent.
func (c *Client) sendBatches(ctx context.Context, parts []*request) {
	for len(parts) > 0 {
		n := min(c.Gate.batchSize(), len(parts))
		first := parts[0]
		err := c.sendBatch(ctx, parts[:n])
		parts = parts[n:]
		for _, r := range parts {
			switch {
			case err != nil:
				r.err, r.token = err, first.token
				r.lost++
			case r.lost > 0:
				r.lost, r.waited = 0, 0
			}
		}
		if err != nil {
			return
		}
	}
}

// sendBatch sends one $batch, and gives each part its answer or its error. An error of the whole is each part's, and
// returned.
func (c *Client) sendBatch(ctx context.Context, parts []*request) error {
	whole, answers, err := c.batchOf(parts)
	if err == nil {
		// Outlook runs the parts of a batch four at a time.
		err = c.attempt(ctx, whole, int64(min(len(parts), concurrency)))
	}
	if e := asError(err); e != nil && e.Code != "" && IsThrottled(e) { // by Graph, and not by our own gate
		c.Gate.narrow(0)
	}
	throttled := 0
	for i, r := range parts {
		r.token = whole.token
		if err != nil {
			r.err = err
			r.lost++
			r.doubt = r.doubt || whole.doubt && r.method != http.MethodGet
			continue
		}
		answer, ok := answers[strconv.Itoa(i+1)]
		e := &Error{Op: r.op, Status: answer.Status}
		if ok {
			e = r.read(e, answer.header(), answer.Body)
		} else {
			e.garbled, e.Message = true, "the batch came back without an answer for this part"
		}
		r.judge(e)
		r.err, r.lost = nil, 0
		if e != nil {
			r.err = e
			c.observePart(e)
			c.Gate.hold(e.RetryAfter)
			if IsThrottled(e) {
				throttled++
			}
		}
	}
	if throttled > 0 {
		c.Gate.narrow(len(parts) - throttled)
	}
	return err
}

// batchOf is the request that carries parts, and the answers to them by their ids once it has been sent.
func (c *Client) batchOf(parts []*request) (*request, map[string]batchResponse, error) {
	answers := make(map[string]batchResponse, len(parts))
	whole := &request{op: parts[0].op, method: http.MethodPost, url: c.BaseURL + "/$batch", decode: func(b []byte) error {
		return readBatch(b, answers)
	}}
	var payload struct {
		Requests []batchRequest `json:"requests"`
	}
	for i, r := range parts {
		whole.failed, whole.renewed = max(whole.failed, r.failed, r.lost), whole.renewed || r.renewed
		payload.Requests = append(payload.Requests, batchRequest{
			ID: strconv.Itoa(i + 1), Method: r.method, URL: strings.TrimPrefix(r.url, c.BaseURL), Headers: r.header(), Body: r.body,
		})
	}
	var err error
	if whole.body, err = json.Marshal(payload); err != nil {
		err = fmt.Errorf("%s: %w", whole.op, err)
	}
	return whole, answers, err
}

// batchID is the id of a part, which some proxies answer as a number.
type batchID string

func (id *batchID) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		s = string(b)
	}
	*id = batchID(s)
	return nil
}

// readBatch reads the answers by their ids. What is no answer is left out, so its part counts as not answered.
func readBatch(b []byte, answers map[string]batchResponse) error {
	var answer struct {
		Responses []batchResponse `json:"responses"`
	}
	if err := readItem(b, &answer); err != nil {
		return fmt.Errorf("the answer is not a batch: %w", err)
	}
	if answer.Responses == nil {
		return errors.New("the answer is not a batch: it has no responses")
	}
	for _, r := range answer.Responses {
		answers[string(r.ID)] = r
	}
	return nil
}

func readEvent(b []byte) (Event, error) {
	var event Event
	err := json.Unmarshal(b, &event)
	if err == nil && event.ID == "" {
		err = errors.New("the answer is not an event: it has no id")
	}
	return event, err
}

func (r batchResponse) header() http.Header {
	h := make(http.Header)
	for name, value := range r.Headers {
		h.Set(name, fmt.Sprint(value))
	}
	return h
}
