package caldav

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// pageToken stands where a first listing with a DAV:limit broke off: names up to After are listed, of the state
// that At names. It does not need the backend to remember anything, as a token of an old revision would.
type pageToken struct {
	at    Token
	after string
}

// maxPage is how many names a page may have, since they are held at once.
const maxPage = 5000

const pagePrefix = "urn:outbridge:page:"

func (t pageToken) String() string {
	return pagePrefix + t.at.Epoch + ":" + strconv.FormatInt(t.at.Rev, 10) + ":" + escapeSegment(t.after)
}

func parsePageToken(s string) (pageToken, bool) {
	rest, ok := strings.CutPrefix(s, pagePrefix)
	i := strings.LastIndexByte(rest, ':')
	if !ok || i < 0 {
		return pageToken{}, false
	}
	at, err := ParseToken(tokenPrefix + rest[:i])
	after, err2 := url.PathUnescape(rest[i+1:])
	return pageToken{at: at, after: after}, err == nil && err2 == nil
}

// syncRequest is what a DAV:sync-collection says (RFC 6578 §6.1).
type syncRequest struct {
	token    string // "" on a first synchronization
	infinite bool
	limit    int // 0: none
	props    *propRequest
}

func parseSync(n *node) (*syncRequest, error) {
	props, err := parsePropRequest(n)
	if err != nil {
		return nil, err
	}
	s := &syncRequest{token: n.child(dav("sync-token")).trimmed(), props: props}
	s.infinite = n.child(dav("sync-level")).trimmed() == "infinite"
	if l := n.child(dav("limit")); l != nil {
		results, err := strconv.Atoi(l.child(dav("nresults")).trimmed())
		if err != nil || results < 1 {
			return nil, badRequest("malformed DAV:nresults")
		}
		s.limit = results
	}
	return s, nil
}

// sync answers DAV:sync-collection.
func (x *exchange) sync(n *node, r *resource) error {
	switch r.kind {
	case kindHome:
		return x.syncHome(n, r)
	case kindInbox:
		return x.syncInbox(n)
	}
	return x.syncCalendar(n, r)
}

// syncCalendar answers DAV:sync-collection on a calendar (RFC 6578 §3). A client that knows the present state
// costs no question to the backend.
func (x *exchange) syncCalendar(n *node, r *resource) error {
	s, err := parseSync(n)
	if err != nil {
		return err
	}
	x.beginMultistatus()
	next := r.cal.Token.String()
	page, isPage := parsePageToken(s.token)
	switch {
	case s.token == next:
	case isPage:
		if page.at.Epoch != r.cal.Token.Epoch {
			return ErrTokenGone
		}
		next, err = x.syncPage(r, s, page)
	case s.token == "" && s.limit > 0:
		next, err = x.syncPage(r, s, pageToken{at: r.cal.Token})
	case s.token == "":
		err = x.syncAll(r, s)
	default:
		next, err = x.syncChanges(r, s)
	}
	if err != nil {
		return err
	}
	x.raw("<sync-token>" + next + "</sync-token>")
	x.endMultistatus()
	return nil
}

// syncAll lists a calendar for a first synchronization.
func (x *exchange) syncAll(r *resource, s *syncRequest) error {
	one := new(resource)
	for o, err := range x.h.Backend.Objects(x.ctx, r.cal, Query{WithData: x.data != nil}) {
		if err != nil {
			return err
		}
		*one = objectOf(r, o)
		if err := x.row(one, s.props); err != nil {
			return err
		}
	}
	return nil
}

// syncPage lists the next part of a calendar, in order of names, and returns the token that goes on from there.
// What changes meanwhile comes with the changes since the first page. A page has at most maxPage rows, whatever its limit.
func (x *exchange) syncPage(r *resource, s *syncRequest, page pageToken) (string, error) {
	limit := maxPage
	if s.limit > 0 {
		limit = min(limit, s.limit)
	}
	var names []string // the first ones by name, of those that have been seen; cut down whenever there are twice as many
	more := false
	first := func() {
		slices.Sort(names)
		if len(names) > limit {
			names, more = names[:limit], true
		}
	}
	for o, err := range x.h.Backend.Objects(x.ctx, r.cal, Query{}) {
		if err != nil {
			return "", err
		}
		if o.Name <= page.after {
			continue
		}
		if names = append(names, o.Name); len(names) > 2*limit+chunkSize {
			first()
		}
	}
	first()
	for chunk := range slices.Chunk(names, chunkSize) {
		if err := x.namedRows(r, chunk, s.props, false, nil); err != nil {
			return "", err
		}
	}
	if !more {
		return page.at.String(), nil
	}
	page.after = names[len(names)-1]
	return page.String(), x.truncated(r)
}

// syncChanges lists what changed since a token. A limit breaks off between two revisions only, because a token
// stands for a whole one; so there may be more rows than the limit, never fewer than one revision.
func (x *exchange) syncChanges(r *resource, s *syncRequest) (string, error) {
	since, err := ParseToken(s.token)
	if err != nil {
		return "", err
	}
	if since.Epoch != r.cal.Token.Epoch {
		return "", ErrTokenGone
	}
	var names []string // live objects whose data has still to be read
	rows, rev := 0, since.Rev
	broken := false
	one := new(resource)
	for o, err := range x.h.Backend.Changes(x.ctx, r.cal, since) {
		if err != nil {
			return "", err
		}
		if s.limit > 0 && rows >= s.limit && o.Rev != rev {
			broken = true
			break
		}
		rows++
		rev = o.Rev
		switch {
		case o.Deleted:
			err = x.statusRow(x.outside(r.href)+escapeSegment(o.Name), "404 Not Found", Condition{})
		case x.data == nil:
			*one = objectOf(r, o)
			err = x.row(one, s.props)
		default:
			names = append(names, o.Name)
		}
		if len(names) == chunkSize {
			err = x.namedRows(r, names, s.props, true, nil)
			names = names[:0]
		}
		if err != nil {
			return "", err
		}
	}
	if err := x.namedRows(r, names, s.props, true, nil); err != nil {
		return "", err
	}
	if broken {
		return Token{Epoch: since.Epoch, Rev: rev}.String(), x.truncated(r)
	}
	return r.cal.Token.String(), nil
}

// truncated appends the row that tells a client to ask again (RFC 6578 §3.6).
func (x *exchange) truncated(r *resource) error {
	return x.statusRow(x.outside(r.href), "507 Insufficient Storage", matchesWithinLimits)
}

// syncHome answers DAV:sync-collection on a home: the calendars that changed in any way, for macOS, which asks
// for nothing else before it sees that its home is as it was.
func (x *exchange) syncHome(n *node, r *resource) error {
	s, err := parseSync(n)
	if err != nil {
		return err
	}
	if s.infinite {
		return forbidden(syncTraversal)
	}
	cals, err := x.homeCalendars(r)
	if err != nil {
		return err
	}
	known := homeState{}
	if s.token != "" {
		if known, err = parseHomeState(s.token); err != nil {
			return err
		}
	}
	now := newHomeState(cals)
	for key := range known {
		if _, ok := now[key]; !ok {
			return ErrTokenGone
		}
	}
	x.beginMultistatus()
	for _, c := range cals {
		if k := homeKey(c.Name); known[k] != now[k] {
			if err := x.row(x.calendarResource(c), s.props); err != nil {
				return err
			}
		}
	}
	x.raw("<sync-token>" + now.String() + "</sync-token>")
	x.endMultistatus()
	return nil
}
