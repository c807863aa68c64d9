package graphsim

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A call is one Graph request, or one part of a $batch.
type call struct {
	server  *Server
	r       *http.Request
	path    string   // below /v1.0/, escaped
	seg     []string // path in unescaped segments, calendars('x') as two
	query   url.Values
	prefer  prefer
	body    []byte
	token   *accessToken
	mailbox *Mailbox
	user    string // first part of the path: "me" or "users/…", escaped
}

// prefer holds the preferences of a request that the service honours.
type prefer struct {
	zone      string // name as asked
	loc       *time.Location
	text      bool // bodies as text
	immutable bool
	pageSize  int
	applied   []string
}

// graphErrors are the codes and messages where a Fault gives only a status.
var graphErrors = map[int][2]string{
	400: {"ErrorInvalidRequest", "Your request can't be completed."},
	401: {"InvalidAuthenticationToken", "Access token has expired or is not yet valid."},
	403: {"ErrorAccessDenied", "Access is denied. Check credentials and try again."},
	404: {"ErrorItemNotFound", "The specified object was not found in the store."},
	405: {"ErrorMethodNotAllowed", "The HTTP method is not supported for this resource."},
	410: {"SyncStateNotFound", "The sync state generation is not found; generation=149;[highest=157][157][155][156]."},
	412: {"ErrorIrresolvableConflict", "The send or update operation could not be performed because the change key passed in the request does not match the current change key for the item."},
	429: {"ApplicationThrottled", "Application is over its MailboxConcurrency limit."},
	500: {"InternalServerError", "An internal server error occurred."},
	501: {"NotImplemented", "This operation target is not yet supported."},
	503: {"ServiceUnavailable", "The service is temporarily unavailable."},
	504: {"UnknownError", ""},
}

// graphError is an error answer of Graph. Empty code and message follow from the status.
func (s *Server) graphError(r *http.Request, status int, code, message string) response {
	known, ok := graphErrors[status]
	if !ok {
		known = [2]string{"UnknownError", ""}
	}
	inner := map[string]any{"date": s.now().UTC().Format("2006-01-02T15:04:05"), "request-id": guid("request " + rand.Text())}
	inner["client-request-id"] = cmp.Or(r.Header.Get("client-request-id"), inner["request-id"].(string))
	if code == "" && message == "" {
		message = known[1]
	}
	a := response{status: status, body: map[string]any{"error": map[string]any{
		"code": cmp.Or(code, known[0]), "message": message, "innerError": inner}}}
	if status == http.StatusUnauthorized {
		a = a.with("Www-Authenticate", `Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000"`)
	}
	return a
}

func (c *call) fail(status int, code, message string) response {
	return c.server.graphError(c.r, status, code, message)
}

// encode makes the bytes of the body.
func (a response) encode() (body []byte, contentType string) {
	switch b := a.body.(type) {
	case nil:
		return nil, ""
	case []byte:
		return b, "application/json"
	case content:
		return b, a.header.Get("Content-Type")
	}
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(a.body); err != nil { // an Event.Extra that is no JSON
		return fmt.Appendf(nil, `{"error":{"code":"InternalServerError","message":%q}}`, err.Error()), "application/json"
	}
	return buf.Bytes(), "application/json; odata.metadata=minimal; odata.streaming=true; IEEE754Compatible=false; charset=utf-8"
}

// newCall reads a request. Its path is the part below /v1.0/, still escaped.
func (s *Server) newCall(r *http.Request, path string) *call {
	c := &call{server: s, r: r, path: path, query: r.URL.Query()}
	for _, seg := range strings.Split(strings.TrimSuffix(path, "/"), "/") {
		plain, err := url.PathUnescape(seg)
		if err != nil {
			plain = seg
		}
		if name, key, ok := strings.Cut(plain, "('"); ok && strings.HasSuffix(key, "')") {
			c.seg = append(c.seg, name, strings.ReplaceAll(strings.TrimSuffix(key, "')"), "''", "'"))
			continue
		}
		c.seg = append(c.seg, plain)
	}
	return c
}

// serveGraph answers a request below /v1.0/.
func (s *Server) serveGraph(w http.ResponseWriter, r *http.Request, path string, fault Fault) {
	c := s.newCall(r, path)
	batch := r.Method == http.MethodPost && len(c.seg) == 1 && strings.EqualFold(c.seg[0], "$batch")
	if r.Body != nil {
		c.body, _ = io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20))
	}
	entry := Request{Method: r.Method, Path: "/v1.0/" + path, Prefer: r.Header.Values("Prefer")}
	if r.URL.RawQuery != "" {
		entry.Path += "?" + r.URL.RawQuery
	}
	refused := s.identify(c)
	weight := 1
	if batch {
		weight = batchWeight(c.body)
	}
	over := s.enter(c.mailbox, weight)
	defer s.leave(c.mailbox, weight)
	if !batch {
		s.checkPause(c.mailbox, entry.Method+" "+entry.Path)
	}
	var a response
	drop := fault.Drop || fault.DropAnswer
	switch {
	case fault.Drop:
	case fault.Status != 0:
		a = fault.answer(s, r)
	case refused != nil:
		a = *refused
	case over:
		a = c.fail(429, "", "").with("Retry-After", "1")
	case batch:
		var dropped bool
		a, dropped = s.batch(c, &entry)
		drop = drop || dropped
	default:
		a = s.serve(c)
	}
	if !drop {
		entry.Status = a.status
	}
	a = a.with("Request-Id", guid("request "+rand.Text()))
	if id := r.Header.Get("client-request-id"); id != "" {
		a = a.with("Client-Request-Id", id)
	}
	s.finish(c, entry, a)
	if c.r.Context().Err() != nil || drop || fault.Status == http.StatusGone || fault.Status == http.StatusBadRequest {
		s.mu.Lock()
		s.lost(c.mailbox)
		s.mu.Unlock()
	}
	if drop {
		panic(http.ErrAbortHandler)
	}
	a.write(w)
}

// finish logs a request that was answered, and takes note of what the answer asks of the client.
func (s *Server) finish(c *call, entry Request, a response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry.BatchParts == 0 {
		s.notePause(c, entry.Method+" "+entry.Path, a)
	}
	if len(s.requests) >= maxLog {
		s.requests = append(s.requests[:0:0], s.requests[maxLog/2:]...)
	}
	s.requests = append(s.requests, entry)
	if s.Log != nil {
		s.Log.Debug("graph request", "method", entry.Method, "path", entry.Path, "status", entry.Status, "parts", entry.BatchParts)
	}
}

// identify finds the token and the mailbox of a request, or says why it is refused.
func (s *Server) identify(c *call) *response {
	s.mu.Lock()
	defer s.mu.Unlock()
	refuse := func(status int, code, message string) *response {
		a := c.fail(status, code, message)
		return &a
	}
	bearer, ok := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	if !ok || bearer == "" {
		return refuse(401, "InvalidAuthenticationToken", "Access token is empty.")
	}
	c.token = s.login.access[bearer]
	if c.token == nil {
		return refuse(401, "InvalidAuthenticationToken", "CompactToken validation failed with reason code: 80049228.")
	}
	c.mailbox = c.token.mailbox
	if !s.now().Before(c.token.expires) {
		return refuse(401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.")
	}
	return c.findUser()
}

// findUser takes "me" or "users/…" off the path.
func (c *call) findUser() *response {
	refuse := func(status int, code, message string) *response {
		a := c.fail(status, code, message)
		return &a
	}
	switch own := c.token.mailbox; {
	case strings.EqualFold(c.seg[0], "me"):
		if own == nil {
			return refuse(400, "BadRequest", "/me request is only valid with delegated authentication flow.")
		}
		c.mailbox, c.user, c.seg = own, "me", c.seg[1:]
	case strings.EqualFold(c.seg[0], "users") && len(c.seg) > 1 && !strings.EqualFold(c.seg[1], "delta"):
		m := c.server.mailbox(c.seg[1])
		switch {
		case m == nil:
			if a, known := c.ofNoMailbox(c.seg[1]); known {
				return &a
			}
			return refuse(404, "ErrorInvalidUser", fmt.Sprintf("The requested user '%s' is invalid.", c.seg[1]))
		case own != nil && m != own && !m.sharesWith(own):
			return refuse(403, "", "")
		case own == nil && !c.server.appMayRead(m):
			return refuse(403, "ErrorAccessDenied", "Access to OData is disabled: [RAOP] : Blocked by tenant configured AppOnly AccessPolicy settings.")
		}
		c.mailbox, c.user, c.seg = m, "users/"+url.PathEscape(c.seg[1]), c.seg[2:]
	}
	return nil
}

// allowed tells whether the token has one of the scopes.
func (c *call) allowed(scopes ...string) bool {
	for _, have := range c.token.scopes {
		for _, want := range scopes {
			if have == ".default" || strings.EqualFold(have, want) {
				return true
			}
		}
	}
	return false
}

// serve answers a call that is no batch.
func (s *Server) serve(c *call) response {
	if len(c.seg) > 0 && c.user == "" && strings.EqualFold(c.seg[0], "subscriptions") {
		return c.subscriptions(c.seg[1:])
	}
	stale := s.Stale != nil && c.r.Method == http.MethodGet && s.Stale(c.r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := c.readPrefer(); a != nil {
		return *a
	}
	s.settle()
	defer c.stale(stale)()
	a := c.route()
	if len(c.prefer.applied) > 0 && a.status < 300 {
		a = a.with("Preference-Applied", strings.Join(c.prefer.applied, ", "))
	}
	return a
}

// readPrefer reads the Prefer headers. It refuses a zone that the service does not know.
func (c *call) readPrefer() *response {
	p := prefer{zone: "UTC", loc: time.UTC}
	for _, item := range preferences(c.r.Header.Values("Prefer")) {
		name, value, _ := strings.Cut(item, "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "outlook.timezone":
			loc, ok := zone(value)
			if !ok {
				c.server.violation("Prefer with the time zone %q, which is none", value)
				a := c.fail(400, "TimeZoneNotSupportedException", fmt.Sprintf("A valid TimeZone value must be specified. The following TimeZone value is not supported: '%s'.", value))
				if strings.HasPrefix(value, "GMT+") || strings.HasPrefix(value, "GMT-") {
					a = c.fail(500, "", "")
				}
				return &a
			}
			p.zone, p.loc = value, loc
			p.applied = append(p.applied, fmt.Sprintf("outlook.timezone=%q", value))
		case "outlook.body-content-type":
			p.text = strings.EqualFold(value, "text")
			p.applied = append(p.applied, fmt.Sprintf("outlook.body-content-type=%q", value))
		case "idtype":
			p.immutable = strings.EqualFold(value, "ImmutableId")
			p.applied = append(p.applied, fmt.Sprintf("IdType=%q", value))
		case "odata.maxpagesize":
			if n, err := strconv.Atoi(value); err == nil && n > 0 {
				p.pageSize = n
				p.applied = append(p.applied, fmt.Sprintf("odata.maxpagesize=%d", n))
			}
		}
	}
	c.prefer = p
	return nil
}

// preferences splits Prefer headers at the commas that are outside quotes.
func preferences(headers []string) []string {
	var all []string
	for _, h := range headers {
		quoted, from := false, 0
		for i := range len(h) {
			switch {
			case h[i] == '"':
				quoted = !quoted
			case h[i] == ',' && !quoted:
				all = append(all, h[from:i])
				from = i + 1
			}
		}
		all = append(all, h[from:])
	}
	return all
}

// pageSize is the size of a page of this request.
func (c *call) pageSize() int {
	n := cmp.Or(c.prefer.pageSize, c.server.DefaultPage, 10)
	return min(n, cmp.Or(c.server.MaxPage, 200))
}

// context is the @odata.context of an answer.
func (c *call) context(of string) string {
	if c.mailbox == nil || c.user == "" {
		return c.server.origin(c.r) + "/v1.0/$metadata#" + of
	}
	return c.server.origin(c.r) + "/v1.0/$metadata#users('" + c.mailbox.userID() + "')" + of
}

func (c *call) unknownSegment(name string) response {
	return c.fail(400, "BadRequest", fmt.Sprintf("Resource not found for the segment '%s'.", name))
}

func (c *call) notImplemented() response { return c.fail(501, "", "") }
