package graph

import "time"

// Observation is one HTTP request to Graph, with its answer or the lack of one.
type Observation struct {
	Op        string        // what it was for: "read calendars"; a small fixed set
	Status    int           // of HTTP; 0: no answer came
	Code      string        // Graph's error code; "" where there is none
	Took      time.Duration // from sending to the last byte
	Throttled bool          // Graph asked to slow down
	Again     bool          // the request had been sent before, and failed then
	// Part: this is no HTTP request but one of the requests inside a $batch, which is reported only where Graph
	// throttled it.
	Part bool
}

func (c *Client) observe(r *request, status int, took time.Duration, e *Error) {
	if c.Observe == nil {
		return
	}
	o := Observation{Op: r.op, Status: status, Took: took, Again: r.failed > 0 || r.renewed}
	if e != nil {
		o.Status, o.Code, o.Throttled = e.Status, e.Code, IsThrottled(e)
	}
	c.Observe(o)
}

// observePart reports a throttled request of a $batch.
func (c *Client) observePart(e *Error) {
	if c.Observe != nil && IsThrottled(e) {
		c.Observe(Observation{Op: e.Op, Status: e.Status, Code: e.Code, Throttled: true, Part: true})
	}
}

// TokenExpires is when the access token in use ends; zero where there is none yet or the TokenSource does not tell.
// The client renews a token some minutes before, so a time in the past means that it could not.
func (c *Client) TokenExpires() time.Time {
	if s, ok := c.Tokens.(interface{ Expires() time.Time }); ok {
		return s.Expires()
	}
	return time.Time{}
}

// Expires is when the access token last handed out ends; zero: there was none.
func (s *DelegatedTokens) Expires() time.Time { return s.cache.expires() }

// Expires is when the access token last handed out ends; zero: there was none.
func (s *AppTokens) Expires() time.Time { return s.cache.expires() }

func (c *tokenCache) expires() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tok == nil {
		return time.Time{}
	}
	return c.tok.Expiry
}
