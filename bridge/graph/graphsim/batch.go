package graphsim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

type batchRequest struct {
	ID        string            `json:"id"`
	Method    string            `json:"method"`
	URL       string            `json:"url"`
	Headers   map[string]string `json:"headers"`
	Body      json.RawMessage   `json:"body"`
	DependsOn []string          `json:"dependsOn"`
}

// maxBatch is the largest number of parts of a batch.
const maxBatch = 20

// batchWeight is how many requests at once a batch is: Outlook runs up to four of its parts together.
func batchWeight(body []byte) int {
	var in struct {
		Requests []json.RawMessage `json:"requests"`
	}
	_ = json.Unmarshal(body, &in)
	return min(max(len(in.Requests), 1), atOnce)
}

// batch answers POST /$batch. Answers come in the reverse order, since clients must go by the ids.
//
// A Fault of a part that drops the connection ends the batch there: the parts before it are done.
func (s *Server) batch(c *call, entry *Request) (a response, dropped bool) {
	var in struct {
		Requests []batchRequest `json:"requests"`
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return c.fail(400, "BadRequest", "Invalid batch payload format."), false
	}
	entry.BatchParts = len(in.Requests)
	if len(in.Requests) > maxBatch {
		s.mu.Lock()
		s.violation("a $batch of %d parts", len(in.Requests))
		s.mu.Unlock()
		return c.fail(400, "MaximumValueExceeded", "Number of batch request steps exceeds the maximum value of 20."), false
	}
	seen := map[string]int{} // id → status
	for _, part := range in.Requests {
		if _, twice := seen[part.ID]; twice || part.ID == "" || part.Method == "" || part.URL == "" {
			return c.fail(400, "BadRequest", "Each batch step needs an unique id, a method and a url."), false
		}
		seen[part.ID] = 0
	}
	answers := []map[string]any{}
	for i, part := range in.Requests {
		a, logged, dropped := s.batchPart(c, part, seen, s.BatchParts > 0 && i >= s.BatchParts)
		entry.Parts = append(entry.Parts, logged)
		if dropped {
			return response{}, true
		}
		seen[part.ID] = a.status
		headers := map[string]string{"Cache-Control": "no-cache"}
		body, contentType := a.encode()
		for name, values := range a.header {
			headers[name] = strings.Join(values, ", ")
		}
		answer := map[string]any{"id": part.ID, "status": a.status, "headers": headers}
		if n, err := strconv.Atoi(part.ID); err == nil && s.NumericBatchIDs {
			answer["id"] = n
		}
		switch {
		case len(body) == 0:
		case json.Valid(body):
			headers["Content-Type"] = contentType
			answer["body"] = json.RawMessage(body)
		default:
			headers["Content-Type"] = "text/plain"
			answer["body"] = base64.StdEncoding.EncodeToString(body)
		}
		answers = append(answers, answer)
	}
	slices.Reverse(answers)
	return response{status: 200, body: map[string]any{"responses": answers}}, false
}

// batchPart serves one part, or throttles it. Its logged path is absolute, as if it had come alone.
func (s *Server) batchPart(c *call, part batchRequest, status map[string]int, throttled bool) (a response, logged Request, dropped bool) {
	logged = Request{Method: part.Method, Path: "/v1.0/" + strings.TrimPrefix(part.URL, "/")}
	done := func(a response) (response, Request, bool) {
		logged.Status = a.status
		return a, logged, false
	}
	for _, id := range part.DependsOn {
		if got, ok := status[id]; !ok || got == 0 {
			return done(c.fail(400, "BadRequest", fmt.Sprintf("The step depends on '%s', which does not come before it.", id)))
		} else if got >= 400 {
			return done(c.fail(http.StatusFailedDependency, "FailedDependency", "A step that this one depends on failed."))
		}
	}
	u, err := url.Parse(logged.Path)
	if err != nil || strings.Contains(part.URL, "://") {
		return done(c.fail(400, "BadRequest", fmt.Sprintf("Invalid batch step url '%s': it must be relative.", part.URL)))
	}
	u.Scheme, u.Host = c.r.URL.Scheme, c.r.URL.Host
	r := &http.Request{Method: strings.ToUpper(part.Method), URL: u, Header: http.Header{}, Host: c.r.Host, TLS: c.r.TLS, RemoteAddr: c.r.RemoteAddr}
	r = r.WithContext(c.r.Context())
	r.Header.Set("Authorization", c.r.Header.Get("Authorization"))
	for name, value := range part.Headers {
		r.Header.Set(name, value)
	}
	logged.Prefer = r.Header.Values("Prefer")
	p := s.newCall(r, strings.TrimPrefix(u.EscapedPath(), "/v1.0/"))
	p.body = part.Body
	refused := s.identify(p)
	s.checkPause(p.mailbox, logged.Method+" "+logged.Path)
	fault := s.fault(r)
	if fault.Delay > 0 {
		select {
		case <-time.After(fault.Delay):
		case <-r.Context().Done():
		}
	}
	switch {
	case fault.Drop:
		return a, logged, true
	case fault.Status != 0:
		a = fault.answer(s, r)
	case refused != nil:
		a = *refused
	case throttled:
		a = p.fail(429, "", "").with("Retry-After", "1")
	default:
		a = s.serve(p)
	}
	if fault.DropAnswer {
		return a, logged, true
	}
	s.mu.Lock()
	s.notePause(p, logged.Method+" "+logged.Path, a)
	s.mu.Unlock()
	return done(a)
}
