// Package graph is a client of Microsoft Graph's calendar and of the Microsoft identity platform that signs it in.
//
// It knows HTTP, OData paging, $batch, throttling, tokens and Graph's errors. It does not know iCalendar, does not
// store anything, and decides nothing about a calendar: it hands over what Graph said. Nor does it advise anybody: an
// AuthError has a reason and who can end it, and whoever shows it has the words.
//
// Invariants:
//   - Every request to Graph goes through Client.run, the only place that sends anything again. Nobody above loops.
//   - A request that is not idempotent is sent again only where it is certain that the first one was not carried out;
//     otherwise its error is ErrMayHaveHappened.
//   - No request with a token leaves for another host than BaseURL's, whatever a link says, and no redirect is followed. Parts of
//     a file go to the host that an upload session names, without a token.
//   - A list is all of its pages or an error: a body without "value" is never an empty list.
//   - No access token, refresh token, client secret, header or query is in an error or in a log line.
package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxBody bounds one answer, decompressed. A page of 50 events with long HTML bodies is a few MiB.
	maxBody = 64 << 20

	defaultPageSize = 50
	defaultAttempts = 5
	defaultMaxWait  = 5 * time.Minute
	defaultTimeout  = 2 * time.Minute
)

// Client talks to Graph for one mailbox: use one Client for each, since its limits (see Gate) are the mailbox's. A calendar
// of another person that is shared with whoever signed in is read by a Client with that person's address as its Mailbox
// and the same Tokens, which need SharedScope (learn.microsoft.com/graph/outlook-get-shared-events-calendars). BaseURL and Tokens are required; set the fields before the first
// call. Methods may be called concurrently. An error is an *Error, an *AuthError, ErrForeignLink, the TokenSource's own
// or the context's; each call is over for good then, since retries are done here. One of a call that changes something may
// also be ErrMayHaveHappened.
type Client struct {
	BaseURL   string       // "https://graph.microsoft.com/v1.0", no trailing slash
	Mailbox   string       // "": whoever signed in (/me); an address or object id: that mailbox (/users/…)
	HTTP      *http.Client // nil: http.DefaultTransport; redirects are not followed either way
	Tokens    TokenSource
	Log       *slog.Logger // nil: nothing is logged
	PageSize  int          // events a page; 0: 50, which Graph is known to honour (its maximum is undocumented)
	UserAgent string       // "": "outbridge"

	// Observe is told of every HTTP request to Graph as it ends, for metrics. It must not block. nil: nobody looks.
	Observe func(Observation)

	// Waiting is told until when a request waits that Microsoft has not answered as it should, before it is sent again; not of one
	// that was throttled. It must not block. nil: nobody looks.
	Waiting func(until time.Time)

	Attempts int           // how often one request is sent before its error is returned, not counting when others of its batch were served and it was throttled; 0: 5
	MaxWait  time.Duration // longest that one call waits in all between attempts; asked to wait longer, it returns; 0: 5 minutes
	Timeout  time.Duration // of one request with its answer; 0: 2 minutes

	// Gate keeps the mailbox's limits. Give Clients for the same mailbox the same one: a mailbox that is shared with two
	// accounts has one set of limits. nil: one of the Client's own.
	Gate *Gate

	once    sync.Once
	http    *http.Client
	unknown unknowns
}

// TokenSource gives access tokens for Graph. It is called concurrently, once for each request, so it caches. Its
// errors are final (*AuthError) or, where IsUnavailable says so, tried again by the Client.
type TokenSource interface {
	Token(ctx context.Context) (string, error)
	// Invalidate says that Graph answered 401 to this access token: Token does not return it again.
	Invalidate(token string)
}

// withoutRedirects is a copy of h, nil being the zero client, that takes a redirect for the answer that it is: it would
// carry a token or a secret elsewhere.
func withoutRedirects(h *http.Client) *http.Client {
	var own http.Client
	if h != nil {
		own = *h
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

// Cloud gives the login and Graph addresses of a Microsoft cloud (learn.microsoft.com/graph/deployments): global,
// usgov (L4, GCC High), dod (L5) or china (21Vianet). A Client's BaseURL is the Graph address with "/v1.0".
func Cloud(name string) (loginURL, graphURL string, ok bool) {
	switch name {
	case "global":
		return "https://login.microsoftonline.com", "https://graph.microsoft.com", true
	case "usgov":
		return "https://login.microsoftonline.us", "https://graph.microsoft.us", true
	case "dod":
		return "https://login.microsoftonline.us", "https://dod-graph.microsoft.us", true
	case "china":
		return "https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn", true
	}
	return "", "", false
}

// CountRequests returns a context and the number of HTTP requests that were sent to Graph under it so far: a $batch
// counts as one, each retry as another, requests for tokens not at all. Counts nest.
func CountRequests(ctx context.Context) (context.Context, *atomic.Int64) {
	n := &counter{outer: counterOf(ctx)}
	return context.WithValue(ctx, counterKey{}, n), &n.sent
}

type counterKey struct{}

type counter struct {
	sent  atomic.Int64
	outer *counter
}

func counterOf(ctx context.Context) *counter {
	n, _ := ctx.Value(counterKey{}).(*counter)
	return n
}

func (c *Client) setUp() {
	if c.Gate == nil {
		c.Gate = new(Gate)
	}
	c.http = withoutRedirects(c.HTTP)
}

// ownLink refuses a link that leads elsewhere than to the configured Graph: it would carry the token there.
func (c *Client) ownLink(link string) error {
	base, err := url.Parse(c.BaseURL)
	if err != nil || base.Host == "" {
		return errors.New("the address of Graph is not a URL")
	}
	u, err := url.Parse(link)
	if err != nil || u.User != nil || u.Scheme != base.Scheme || !strings.EqualFold(hostPort(u), hostPort(base)) {
		return ErrForeignLink
	}
	return nil
}

// uploadLink refuses the address of an upload session that would send a file in the clear, other than to the configured Graph.
func (c *Client) uploadLink(link string) error {
	u, err := url.Parse(link)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && c.ownLink(link) != nil {
		return ErrForeignLink
	}
	return nil
}

// returnedLink refuses a link of an answer that could never be followed, before anybody keeps it; "" is no link.
func (c *Client) returnedLink(op, link string) error {
	if link == "" || c.ownLink(link) == nil {
		return nil
	}
	return &Error{Op: op, Status: http.StatusOK, garbled: true, Message: "a page links to another host; a proxy before Graph has to rewrite links"}
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// root is the path of the mailbox.
func (c *Client) root() string {
	if c.Mailbox == "" {
		return "/me"
	}
	return "/users/" + escape(c.Mailbox)
}

// prefer is the Prefer header of a request for events: immutable ids, and times in zone. Graph answers each page by
// the header of that page's own request, so it goes with every one.
func prefer(zone string) string {
	return fmt.Sprintf(`outlook.timezone="%s", IdType="ImmutableId"`, zone)
}

func (c *Client) pagePrefer(zone string) string {
	return fmt.Sprintf("odata.maxpagesize=%d, %s", c.pageSize(), prefer(zone))
}

func (c *Client) pageSize() int { return orDefault(c.PageSize, defaultPageSize) }

func (c *Client) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

// page is one page of any collection.
type page struct {
	Value json.RawMessage `json:"value"`
	Next  string          `json:"@odata.nextLink"`
	Delta string          `json:"@odata.deltaLink"`
}

// readPage reads one page and its items, each leniently. A null among them is none. A page without "value", or with
// nothing in it that could be an item, is an error: it must not pass for an empty one.
func readPage[T any](b []byte) (items []T, p page, err error) {
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, page{}, fmt.Errorf("the answer is not a page of a list: %w", err)
	}
	if len(p.Value) == 0 || p.Value[0] != '[' {
		return nil, page{}, errors.New("the answer is not a page of a list: it has no value")
	}
	var values []json.RawMessage
	if err := json.Unmarshal(p.Value, &values); err != nil {
		return nil, page{}, fmt.Errorf("the answer is not a page of a list: %w", err)
	}
	items = make([]T, 0, len(values))
	odd := 0
	for _, raw := range values {
		switch {
		case string(raw) == "null":
		case !isObject(raw):
			odd++
		default:
			var item T
			if err := readItem(raw, &item); err != nil {
				return nil, page{}, fmt.Errorf("the answer is not a page of a list: %w", err)
			}
			items = append(items, item)
		}
	}
	if odd > 0 && len(items) == 0 {
		return nil, page{}, errors.New("the answer is not a page of a list: what it lists are no objects")
	}
	return items, p, nil
}

// pages reads a list from link to its end, and calls each with the items of every page until it returns false.
func pages[T any](ctx context.Context, c *Client, op, link, prefer string, each func([]T) bool) error {
	followed := make(map[string]bool)
	for link != "" {
		if followed[link] {
			return &Error{Op: op, Status: http.StatusOK, Message: "the pages of the list lead in a circle", garbled: true}
		}
		followed[link] = true
		var items []T
		var p page
		err := c.do(ctx, request{op: op, method: http.MethodGet, url: link, prefer: prefer, decode: func(b []byte) (err error) {
			items, p, err = readPage[T](b)
			return err
		}})
		if err != nil {
			return err
		}
		if err := c.returnedLink(op, p.Next); err != nil {
			return err
		}
		if !each(items) {
			return nil
		}
		link = p.Next
	}
	return nil
}

// escape makes an id one path segment or one query value. PathEscape leaves "=" and "+" alone, which some gateways
// do not.
func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
