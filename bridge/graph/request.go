package graph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// ErrMayHaveHappened is what errors.Is finds in the error of a request that was to change something, where it may have
// been carried out all the same: the answer was lost, came too late or cannot be read, or is a 5xx that does not say that
// nothing was done. Look before you ask for the same thing again.
var ErrMayHaveHappened = errors.New("the request may have been carried out")

// request is one call of the API, alone or as a part of a $batch, however often it is sent.
type request struct {
	op      string // what it does, for errors and logs: "read calendars"
	method  string
	url     string // absolute, on BaseURL's host
	prefer  string
	ifMatch string             // the ETag that it is made for, with its quotes; "": whatever there is
	body    []byte             // JSON, or nil
	decode  func([]byte) error // reads the body of a 2xx answer; its error means a garbled body

	// idempotent: sending it twice does what sending it once does, so it is sent again even where it may have been carried
	// out. A GET need not say so. A PATCH or DELETE with ifMatch is idempotent, and so is a POST with a transactionId: the
	// second one is refused by 404, 412 or ErrorDuplicateTransactionId, which then is also ErrMayHaveHappened, since the
	// first may be the reason.
	idempotent bool

	// upload: the body is a part of a file, these octets of it ("bytes 0-99/5000"), and url that of an upload session, at another
	// host than BaseURL's: it goes there without the token, since the address holds its own.
	upload string
	// open: the body of a 2xx answer is not read but kept in opened, for the caller to read and to close.
	open   bool
	opened *http.Response

	cursor bool              // url holds a delta or skip token: see IsSyncStateLost
	one    bool              // a 404 is about the one thing that was asked for, whatever its code
	relent func(*Error) bool // after a final refusal, makes it ask for less where there is less to ask for; nil: there is not

	// What came of it so far.
	err     error
	token   string // that it was last sent with; "": it was not sent
	failed  int    // answers that it was to be sent again for
	lost    int    // batches in a row that failed as a whole, with it in them or behind them
	waited  time.Duration
	renewed bool        // its token was refused once
	doubt   bool        // it may have been carried out, though no answer says so
	again   bool        // it is in the next pass
	status  int         // of the 2xx
	answer  http.Header // of the 2xx
}

// openBody is the body of an answer that the caller reads. The mailbox's slot is taken until it is closed.
type openBody struct {
	io.ReadCloser
	done func()
}

func (b *openBody) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}

// run sends requests until each has its answer or its final error. It is the only loop that sends anything again: send
// makes one pass over the requests that it is given, and sets err and token of each. An err that is set before is final.
func (c *Client) run(ctx context.Context, all []*request, send func(context.Context, []*request)) {
	c.once.Do(c.setUp)
	var todo []*request
	for _, r := range all {
		if r.err == nil {
			if err := c.mayGo(r); err != nil {
				r.err = fmt.Errorf("%s: %w", r.op, err)
				continue
			}
			todo = append(todo, r)
		}
	}
	for len(todo) > 0 {
		send(ctx, todo)
		todo = c.again(ctx, todo)
	}
	for _, r := range all {
		if r.err != nil && r.doubt {
			r.err = fmt.Errorf("%w (%w)", r.err, ErrMayHaveHappened)
		}
	}
}

// do is run for one request that goes alone.
func (c *Client) do(ctx context.Context, r request) error { return c.doThis(ctx, &r) }

// doThis is do for those that want more of the request than its error.
func (c *Client) doThis(ctx context.Context, r *request) error {
	c.run(ctx, []*request{r}, func(ctx context.Context, _ []*request) {
		r.err = c.attempt(ctx, r, 1)
	})
	return r.err
}

// mayGo refuses a request that would carry something elsewhere than it belongs.
func (c *Client) mayGo(r *request) error {
	if r.upload != "" {
		return c.uploadLink(r.url)
	}
	return c.ownLink(r.url)
}

// again returns those of the requests just sent that are to be sent once more, in their order, when it is time to: at
// once with a new token after the first 401, and after a wait where the trouble may pass. The others keep their answer
// or their error.
func (c *Client) again(ctx context.Context, sent []*request) []*request {
	var waiting []*request
	for _, r := range sent {
		e := asError(r.err)
		r.again = false
		switch {
		case r.err == nil:
		case ctx.Err() != nil && (e == nil || e.transient() || e.Status == http.StatusUnauthorized):
			r.err = fmt.Errorf("%s: %w", r.op, ctx.Err())
		case e == nil:
		case e.Status == http.StatusUnauthorized && !r.renewed && r.token != "":
			c.Tokens.Invalidate(r.token)
			r.renewed, r.again = true, true
		case e.transient() && (r.idempotent || !r.doubt):
			waiting = append(waiting, r)
		default:
			r.again = r.relents(e)
		}
	}
	if len(waiting) > 0 {
		c.wait(ctx, waiting, len(waiting) < len(sent))
	}
	return slices.DeleteFunc(sent, func(r *request) bool { return !r.again })
}

func (r *request) relents(e *Error) bool {
	if r.relent == nil || !r.relent(e) {
		return false
	}
	r.failed, r.waited = 0, 0
	return true
}

// wait returns when it is time to send the requests again, those that have attempts and time left. Retry-After is
// obeyed, and holds up the whole mailbox; without it the waits grow threefold from about a second, so that five attempts
// span about forty seconds. Where others of the same pass were answered, a throttled part of a batch has only not had its
// turn yet: it starts again, however many turns the mailbox makes of them all.
func (c *Client) wait(ctx context.Context, waiting []*request, progress bool) {
	worst, failures, throttled := asError(waiting[0].err), 1, false
	for _, r := range waiting {
		e := asError(r.err)
		turn := progress && r.lost == 0 && e.turn()
		switch {
		case turn:
			r.failed, r.waited = 0, 0
		case r.lost == 0:
			r.failed++
		}
		throttled = throttled || !turn && e.Status == http.StatusTooManyRequests && !e.login
		failures = max(failures, r.failed, r.lost)
		if e.RetryAfter > worst.RetryAfter {
			worst = e
		}
	}
	d := orDefault(worst.RetryAfter, backoff(failures))
	switch {
	case throttled:
		c.Gate.refused(d)
	case worst.RetryAfter > 0:
		c.Gate.hold(d)
		if c.Gate.Among != nil {
			c.Gate.Among.Refused(d)
		}
	}
	n := 0
	for _, r := range waiting {
		if max(r.failed, r.lost) < orDefault(c.Attempts, defaultAttempts) && r.waited+d <= orDefault(c.MaxWait, defaultMaxWait) {
			r.waited += d
			r.again = true
			n++
		} else {
			r.again = r.relents(asError(r.err))
		}
	}
	if n == 0 {
		return
	}
	c.log().InfoContext(ctx, "graph request is sent again", "op", worst.Op, "requests", n, "after", d, "status", worst.Status, "code", worst.Code, "request_id", worst.RequestID)
	if c.Waiting != nil && !IsThrottled(worst) {
		c.Waiting(time.Now().Add(d))
	}
	if err := sleep(ctx, d); err != nil {
		for _, r := range waiting {
			if r.again {
				r.again, r.err = false, fmt.Errorf("%s: %w", r.op, err)
			}
		}
	}
}

// backoff is the wait after the nth failed attempt: 1 s, 3 s, 9 s, 27 s, then at most 2 minutes, each a quarter more or
// less.
func backoff(n int) time.Duration {
	d := time.Second
	for range n - 1 {
		d = min(3*d, 2*time.Minute)
	}
	return time.Duration(float64(d) * (0.75 + rand.Float64()/2))
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// attempt sends r as one HTTP request and reads the answer whole, with weight of the mailbox's slots in hand.
func (c *Client) attempt(ctx context.Context, r *request, weight int64) error {
	r.token = ""
	if err := c.Gate.enter(ctx, r.op, weight, orDefault(c.MaxWait, defaultMaxWait)); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(orDefault(c.Timeout, defaultTimeout), func() { cancel(context.DeadlineExceeded) })
	done := func() {
		late.Stop()
		cancel(nil)
		c.Gate.leave(weight)
	}
	defer func() {
		if r.opened == nil {
			done()
			return
		}
		late.Stop()
		r.opened.Body = &openBody{r.opened.Body, sync.OnceFunc(done)}
	}()

	token := ""
	if r.upload == "" {
		var err error
		if token, err = c.Tokens.Token(ctx); err != nil {
			return err
		}
	}
	var conn connecting
	req, err := c.httpRequest(httptrace.WithClientTrace(ctx, conn.trace()), r, token)
	if err != nil {
		return err
	}
	for n := counterOf(ctx); n != nil; n = n.outer {
		n.sent.Add(1)
	}
	r.token = token
	began := time.Now()
	status, header, answer, err := c.exchange(req, r)
	e := &Error{Op: r.op, Status: status, ClientRequestID: req.Header.Get("Client-Request-Id"), RequestID: header.Get("Request-Id")}
	switch {
	case r.opened != nil:
		e = nil
	case err != nil:
		if context.Cause(ctx) == context.DeadlineExceeded {
			err = context.DeadlineExceeded
		}
		e.Status, e.garbled, e.unsent = 0, true, conn.failed(err)
		e.Message, e.obstacle = connectionTrouble(err)
	case len(answer) > maxBody:
		e.Message = fmt.Sprintf("the answer is larger than %d MiB", maxBody>>20)
	default:
		e = r.read(e, header, answer)
	}
	r.judge(e)
	took := time.Since(began)
	c.log().DebugContext(ctx, "graph request", "op", r.op, "status", status, "bytes", len(answer), "took", took,
		"request_id", header.Get("Request-Id"), "client_request_id", req.Header.Get("Client-Request-Id"))
	c.observe(r, status, took, e)
	if e != nil {
		return e
	}
	c.Gate.served()
	return nil
}

func (c *Client) httpRequest(ctx context.Context, r *request, token string) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, body)
	if err != nil {
		return nil, fmt.Errorf("%s: the address is not a URL", r.op)
	}
	if r.upload == "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if !r.open {
		req.Header.Set("Accept", "application/json")
	}
	req.Header.Set("User-Agent", orDefault(c.UserAgent, "outbridge"))
	req.Header.Set("Client-Request-Id", uuid.NewString())
	for name, value := range r.header() {
		req.Header.Set(name, value)
	}
	return req, nil
}

// header are the request's own fields, which it also has inside a $batch.
func (r *request) header() map[string]string {
	h := make(map[string]string)
	if r.prefer != "" {
		h["Prefer"] = r.prefer
	}
	if r.ifMatch != "" {
		h["If-Match"] = r.ifMatch
	}
	switch {
	case r.body == nil:
	case r.upload != "":
		h["Content-Type"], h["Content-Range"] = "application/octet-stream", r.upload
	default:
		h["Content-Type"] = "application/json"
	}
	return h
}

// exchange sends req and reads up to maxBody+1 bytes of the answer, of a good one to r.open none.
func (c *Client) exchange(req *http.Request, r *request) (int, http.Header, []byte, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	if r.open && resp.StatusCode == http.StatusOK {
		r.opened = resp
		return resp.StatusCode, resp.Header, nil, nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	return resp.StatusCode, resp.Header, b, err
}

// read takes an answer, and returns e with what is wrong about it, or nil.
func (r *request) read(e *Error, header http.Header, body []byte) *Error {
	if e.Status/100 != 2 {
		e.read(header, body)
		return e
	}
	r.status, r.answer = e.Status, header
	if err := r.decode(bytes.TrimPrefix(body, utf8BOM)); err != nil {
		e.garbled, e.Message, e.obstacle = true, oneLine(err.Error()), obstacle(e.Status, body)
		return e
	}
	return nil
}

// judge notes whether the request may have been carried out, where e is what is wrong about its answer, and what a 404
// or 400 to it means.
func (r *request) judge(e *Error) {
	if e == nil {
		return
	}
	e.cursor, e.one = r.cursor, r.one
	r.doubt = r.doubt || r.method != http.MethodGet && !e.undone()
}

// undone reports that the request was certainly not carried out: it never left, or Graph says that it refused it before
// doing anything (learn.microsoft.com/graph/throttling). A 5xx says so only with a Retry-After.
func (e *Error) undone() bool {
	switch {
	case e.unsent, e.Status == http.StatusUnauthorized, IsThrottled(e):
		return true
	case e.Status == http.StatusServiceUnavailable:
		return e.RetryAfter > 0 && !e.garbled
	}
	return e.Status/100 != 2 && !e.transient()
}

// connecting is how far a request got on its way.
type connecting struct{ begun, done atomic.Bool }

func (w *connecting) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{GetConn: func(string) { w.begun.Store(true) }, GotConn: func(httptrace.GotConnInfo) { w.done.Store(true) }}
}

// failed reports whether err ended the request before there was a connection to send it on. A transport that does not
// tell is believed only where it could not connect.
func (w *connecting) failed(err error) bool {
	if w.begun.Load() {
		return !w.done.Load()
	}
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns)
}
