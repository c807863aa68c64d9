package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// batchSize is how many requests one $batch takes (learn.microsoft.com/graph/json-batching).
const batchSize = 20

// Result is the answer for one event. Where Err is set, Event is zero.
type Result struct {
	ID    EventID // as asked
	Event Event
	Err   error
	// Partial is set by Masters where the service does not know cancelledOccurrences and exceptionOccurrences: their
	// absence from Event then says nothing.
	Partial bool
}

// Events reads any number of events in batches of twenty, with times in UTC. Results come in the order asked, one for
// each id; what fails for one event is that Result's Err (IsNotFound: it is gone), and what fails for all is
// everyone's.
func (c *Client) Events(ctx context.Context, ids []EventID) []Result {
	gets := make([]batchGet, len(ids))
	for i, id := range ids {
		gets[i] = batchGet{url: c.eventPath(id), prefer: prefer("UTC")}
	}
	return c.batchEvents(ctx, "read events", ids, gets)
}

// batchEvents sends gets[i] for ids[i].
func (c *Client) batchEvents(ctx context.Context, op string, ids []EventID, gets []batchGet) []Result {
	for i, id := range ids {
		if id == "" {
			gets[i].url = ""
		}
	}
	results := make([]Result, len(ids))
	for i, part := range batch(ctx, c, op, gets, readEvent) {
		results[i] = Result{ID: ids[i], Event: part.value, Err: part.err}
	}
	return results
}

// batchGet is one GET inside a $batch.
type batchGet struct {
	url    string // relative to BaseURL; "": its id was empty
	prefer string
}

// batchPart is the answer to one batchGet; value is zero where err is set.
type batchPart[T any] struct {
	value T
	err   error
}

type batchRequest struct {
	ID      string            `json:"id"`
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
}

type batchResponse struct {
	ID      string          `json:"id"`
	Status  int             `json:"status"`
	Headers map[string]any  `json:"headers"`
	Body    json.RawMessage `json:"body"`
}

// batch sends gets and sends those again that failed for a while, by the same rule as do. The answers that are
// complete do not wait for them: each pass goes over all batches first. read reads the body of a part.
func batch[T any](ctx context.Context, c *Client, op string, gets []batchGet, read func([]byte) (T, error)) []batchPart[T] {
	results := make([]batchPart[T], len(gets))
	var todo []int
	for i, g := range gets {
		if g.url == "" {
			results[i].err = errEmptyID(op)
			continue
		}
		todo = append(todo, i)
	}
	fail := func(which []int, err error) []batchPart[T] {
		for _, i := range which {
			results[i].err = err
		}
		return results
	}
	retry, renewed := retrier{c: c, op: op}, false
	for {
		var again, refused []int
		var longest *Error
		var token string
		for n, chunk := 0, todo; len(chunk) > 0; chunk = chunk[n:] {
			n = min(batchSize, len(chunk))
			used, err := batchOnce(ctx, c, op, gets, chunk[:n], results, read)
			if err != nil {
				return fail(chunk, err)
			}
			for _, i := range chunk[:n] {
				var e *Error
				switch {
				case !errors.As(results[i].err, &e):
				case e.Status == http.StatusUnauthorized && !renewed:
					refused, token = append(refused, i), used
				case e.transient():
					again = append(again, i)
					c.Gate.hold(e.RetryAfter)
					if longest == nil || e.RetryAfter > longest.RetryAfter {
						longest = e
					}
				}
			}
		}
		if len(refused) > 0 {
			renewed = true
			c.Tokens.Invalidate(token)
		}
		if longest != nil {
			if err := retry.wait(ctx, longest); err != nil {
				if ctx.Err() != nil {
					return fail(append(again, refused...), err)
				}
				again = nil // each keeps its own error
			}
		}
		if todo = append(again, refused...); len(todo) == 0 {
			return results
		}
		slices.Sort(todo)
	}
}

// batchOnce sends one $batch for gets[i], i in chunk, and writes what came into results[i]. It returns the access
// token that it was sent with.
func batchOnce[T any](ctx context.Context, c *Client, op string, gets []batchGet, chunk []int, results []batchPart[T], read func([]byte) (T, error)) (string, error) {
	var payload struct {
		Requests []batchRequest `json:"requests"`
	}
	for k, i := range chunk {
		payload.Requests = append(payload.Requests, batchRequest{
			ID: strconv.Itoa(k + 1), Method: http.MethodGet, URL: gets[i].url, Headers: map[string]string{"Prefer": gets[i].prefer},
		})
	}
	body, err := json.Marshal(payload)
	if err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	var responses []batchResponse
	// Outlook runs the parts of a batch four at a time, so a batch takes all of the mailbox's slots.
	token, err := c.do(ctx, request{op: op, method: http.MethodPost, url: c.BaseURL + "/$batch", body: body, weight: concurrency, decode: func(b []byte) (err error) {
		responses, err = readBatch(b)
		return err
	}})
	if err != nil {
		return "", err
	}
	byID := make(map[string]batchResponse, len(responses))
	for _, r := range responses {
		byID[r.ID] = r
	}
	for k, i := range chunk {
		r, ok := byID[strconv.Itoa(k+1)]
		e := &Error{Op: op, Status: r.Status}
		results[i] = batchPart[T]{err: e}
		switch {
		case !ok:
			e.garbled, e.Message = true, "the batch came back without an answer for this part"
		case r.Status/100 != 2:
			e.read(r.header(), r.Body)
			c.observePart(e)
		default:
			value, err := read(r.Body)
			if err == nil {
				results[i] = batchPart[T]{value: value}
				continue
			}
			e.garbled, e.Message, e.RequestID = true, oneLine(err.Error()), r.header().Get("Request-Id")
		}
	}
	return token, nil
}

func readBatch(b []byte) ([]batchResponse, error) {
	var answer struct {
		Responses []batchResponse `json:"responses"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return nil, fmt.Errorf("the answer is not a batch: %w", err)
	}
	if answer.Responses == nil {
		return nil, errors.New("the answer is not a batch: it has no responses")
	}
	return answer.Responses, nil
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
