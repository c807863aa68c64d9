package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Trial is a request of somebody who wants to know what Graph makes of it. It is sent as it is.
type Trial struct {
	Method   string
	Path     string // below the mailbox: "/calendars/AAMk/events"
	Zone     string // of the times in the answer; "": UTC
	PageSize int    // 0: whatever Graph does by itself
	IfMatch  string // verbatim
	Body     []byte // JSON
}

// Answer is what Graph has made of a Trial, a refusal too.
type Answer struct {
	Status    int
	Code      string // of a refusal
	Message   string // of a refusal, in one line
	RequestID string
	Existing  EventID         // "@event.existingEventId" of a refusal
	Body      json.RawMessage // of a success; nil: it has none
}

// Try sends a Trial. It is retried as any request is; the error is that Graph has given no answer of its own in the end.
func (c *Client) Try(ctx context.Context, t Trial) (Answer, error) {
	r, a := c.trialRequest(t)
	return a.of(r, c.doThis(ctx, r))
}

// TryTogether is Try for several at once, in batches of twenty. The error is the first one.
func (c *Client) TryTogether(ctx context.Context, trials ...Trial) ([]Answer, error) {
	parts, answers := make([]*request, len(trials)), make([]*Answer, len(trials))
	for i, t := range trials {
		parts[i], answers[i] = c.trialRequest(t)
	}
	c.run(ctx, parts, c.sendBatches)
	all := make([]Answer, len(trials))
	var first error
	for i, r := range parts {
		var err error
		if all[i], err = answers[i].of(r, r.err); err != nil && first == nil {
			first = err
		}
	}
	return all, first
}

func (c *Client) trialRequest(t Trial) (*request, *Answer) {
	a := new(Answer)
	r := &request{op: "probe", method: t.Method, url: c.BaseURL + c.root() + t.Path, prefer: prefer(orDefault(t.Zone, "UTC")), ifMatch: t.IfMatch, body: t.Body}
	if t.PageSize > 0 {
		r.prefer = fmt.Sprintf("odata.maxpagesize=%d, %s", t.PageSize, r.prefer)
	}
	r.decode = func(b []byte) error {
		if len(b) > 0 {
			a.Body = bytes.Clone(b)
		}
		return nil
	}
	return r, a
}

// of completes the answer with what its request came to.
func (a *Answer) of(r *request, err error) (Answer, error) {
	if err == nil {
		a.Status = http.StatusOK
		if r.status != 0 {
			a.Status = r.status
		}
		a.RequestID = r.answer.Get("Request-Id")
		return *a, nil
	}
	e := asError(err)
	if e == nil || e.Status == 0 || e.garbled || e.login || e.Claims != "" || e.Status == http.StatusUnauthorized || IsThrottled(e) || e.Status == http.StatusServiceUnavailable {
		return Answer{}, err
	}
	return Answer{Status: e.Status, Code: e.Code, Message: e.Message, RequestID: e.RequestID, Existing: e.existing}, nil
}
