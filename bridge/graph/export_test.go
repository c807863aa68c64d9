package graph

import "context"

// A Call is a request as the tests make it, of any method.
type Call struct {
	Method     string
	Path       string // below BaseURL
	IfMatch    string
	Body       string
	Idempotent bool
}

func (c *Client) request(call Call) *request {
	r := &request{op: "call", method: call.Method, url: c.BaseURL + call.Path, prefer: prefer("UTC"), ifMatch: call.IfMatch, idempotent: call.Idempotent, decode: ignore}
	if call.Body != "" {
		r.body = []byte(call.Body)
	}
	return r
}

// Do sends one call.
func (c *Client) Do(ctx context.Context, call Call) error { return c.do(ctx, *c.request(call)) }

// Batch sends calls in batches.
func (c *Client) Batch(ctx context.Context, calls ...Call) []error {
	parts := make([]*request, len(calls))
	for i, call := range calls {
		parts[i] = c.request(call)
	}
	c.run(ctx, parts, c.sendBatches)
	errs := make([]error, len(parts))
	for i, r := range parts {
		errs[i] = r.err
	}
	return errs
}

// SubscriptionJSON is how a subscription is sent and read.
type SubscriptionJSON = subscriptionJSON

// ScheduleJSON is how a schedule is read.
type ScheduleJSON = scheduleJSON
