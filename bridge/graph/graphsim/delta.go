package graphsim

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"time"
)

// syncStates are the tokens that were given out.
type syncStates struct {
	issued  int
	tokens  map[string]*syncToken
	order   []string // of issue
	dead    map[string]bool
	current map[tracker]*syncToken // the last one of each client and calendar
}

// A tracker is a client that follows a calendar, for one of the people that have signed in to it.
type tracker struct {
	client string
	owner  *Mailbox // nil: the app itself
	cal    *Calendar
}

// A syncToken is what a $skiptoken or a $deltatoken stands for.
type syncToken struct {
	tracker
	state *syncState
	round *round // of a $skiptoken
	from  int    // first entry of the page
}

// A syncState is how far a client has come at the end of a round.
type syncState struct {
	window    window
	version   uint64
	sel       selection
	immutable bool
	delivered map[int][]ref // what of each series (by number) the client has; never changed in place
	last      []entry       // what the round said, for ReplayLast
}

// A round is the content of a first or later delta round, fixed when it begins.
type round struct {
	entries []entry
	next    *syncState
}

// An entry is one element of "value".
type entry struct {
	removed *ref // a tombstone
	view    view
	series  int  // number of the series that it belongs to; 0: none
	turn    bool // begins a new page
}

// ForgetDeltaTokens makes the service lose its sync states: all tokens so far are answered 410 SyncStateNotFound.
func (s *Server) ForgetDeltaTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sync.dead == nil {
		s.sync.dead = map[string]bool{}
	}
	for t := range s.sync.tokens {
		s.sync.dead[t] = true
	}
	s.sync.tokens, s.sync.order, s.sync.current = nil, nil, nil
}

// lost takes back that a client of the mailbox was given tokens: a fault told it that they are dead, or kept the
// answer from it, so it may begin again.
func (s *Server) lost(m *Mailbox) {
	for who := range s.sync.current {
		if who.cal.mailbox == m {
			delete(s.sync.current, who)
		}
	}
}

// issue gives a token out. Tokens hold every character that needs care in a URL, and a check sum, by which an
// altered one is told from a forgotten one.
func (s *Server) issue(t *syncToken) string {
	y := &s.sync
	y.issued++
	if y.tokens == nil {
		y.tokens, y.current = map[string]*syncToken{}, map[tracker]*syncToken{}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "token %d", y.issued))
	text := "R0us+" + base64.RawStdEncoding.EncodeToString(sum[:24]) + "/_-"
	text += checkSum(text) + "="
	y.tokens[text] = t
	y.order = append(y.order, text)
	if len(y.order) > cmp.Or(s.Tokens, 20000) {
		delete(y.tokens, y.order[0])
		y.order = y.order[1:]
	}
	y.current[t.tracker] = t
	return text
}

func checkSum(text string) string {
	sum := sha256.Sum256([]byte("check " + text))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

func wellFormed(token string) bool {
	text, ok := strings.CutSuffix(token, "=")
	return ok && len(text) > 8 && checkSum(text[:len(text)-8]) == text[len(text)-8:]
}

// delta answers GET …/calendarView/delta.
func (c *call) delta(cal *Calendar) response {
	c.prefer.applied = append([]string{"odata.track-changes"}, c.prefer.applied...)
	for _, name := range []string{"$skiptoken", "$deltatoken"} {
		if text, ok := queryValue(c.query, name); ok && text != "" {
			return c.follow(cal, name, text)
		}
	}
	if _, ok := queryValue(c.query, "$expand"); ok {
		return c.fail(500, "InternalServerError", "Value cannot be null.\r\nParameter name: type")
	}
	for _, name := range []string{"$filter", "$orderby", "$search"} {
		if _, ok := queryValue(c.query, name); ok {
			return c.fail(400, "ErrorInvalidUrlQuery", fmt.Sprintf("The following parameters are not supported with change tracking over the 'CalendarView' resource: '%s'.", name))
		}
	}
	w, refused := c.window()
	if refused != nil {
		return *refused
	}
	sel, refused := c.selected()
	if refused != nil {
		return *refused
	}
	who := tracker{c.token.client, c.token.mailbox, cal}
	if old := c.server.sync.current[who]; old != nil && near(old.state.window.from, w.from) && near(old.state.window.to, w.to) {
		c.server.violation("first delta request for calendar %q of %s while a token for this window lives", cal.name, c.mailbox.address)
	}
	state := &syncState{window: w, sel: sel, immutable: c.prefer.immutable}
	rd := c.server.round(cal, state, true)
	t := &syncToken{tracker: who, state: state, round: rd}
	if c.server.EmptyPages {
		return c.deltaPage(t, 0)
	}
	return c.deltaPage(t, c.pageSize())
}

func near(a, b time.Time) bool { return a.Sub(b).Abs() < 24*time.Hour }

// follow answers a nextLink or deltaLink.
func (c *call) follow(cal *Calendar, name, text string) response {
	t := c.server.sync.tokens[text]
	if (c.guest() || cal.sharer != nil) && c.server.DelegatedDeltaDenied {
		c.server.lost(c.mailbox)
		return c.fail(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
	}
	switch {
	case t == nil && !wellFormed(text):
		c.server.violation("altered %s %q for calendar %q of %s", name, text, cal.name, c.mailbox.address)
		return c.fail(400, "BadRequest", "Badly formed token.")
	case t == nil || t.cal != cal || (t.round != nil) != (name == "$skiptoken"):
		if t != nil || !c.server.sync.dead[text] {
			c.server.violation("%s for calendar %q of %s was never issued for it", name, cal.name, c.mailbox.address)
		}
		restart := c.server.origin(c.r) + "/v1.0/" + c.path + "?$deltatoken="
		return c.fail(410, "", "").with("Location", restart)
	}
	if t.state.immutable != c.prefer.immutable {
		c.server.violation("delta page for calendar %q of %s with IdType other than on the first page", cal.name, c.mailbox.address)
	}
	if t.round != nil {
		return c.deltaPage(t, c.pageSize())
	}
	next := &syncToken{tracker: t.tracker, state: t.state, round: c.server.round(cal, t.state, false)}
	return c.deltaPage(next, c.pageSize())
}

// deltaPage writes a page of about size entries; size 0 is an empty page.
func (c *call) deltaPage(t *syncToken, size int) response {
	entries := t.round.entries
	end := t.from
	for end < len(entries) && size > 0 {
		e := entries[end]
		whole := e.series != 0 && !c.server.SplitSeries && c.server.Shuffle == 0
		sameSeries := end > t.from && whole && entries[end-1].series == e.series
		if end > t.from && (e.turn || end-t.from >= size && !sameSeries) {
			break
		}
		end++
	}
	values := []map[string]any{}
	for _, e := range entries[t.from:end] {
		if e.removed != nil {
			values = append(values, map[string]any{"@odata.type": "#microsoft.graph.event", "id": e.removed.id(c.prefer.immutable), "@removed": map[string]any{"reason": "deleted"}})
			continue
		}
		values = append(values, c.render(e.view, shape{delta: true, sel: t.state.sel}))
	}
	body := map[string]any{"@odata.context": c.server.origin(c.r) + "/v1.0/$metadata#Collection(event)", "value": c.server.items(values)}
	link := c.server.origin(c.r) + "/v1.0/" + c.path + "?"
	if end < len(entries) || size == 0 {
		token := c.server.issue(&syncToken{tracker: t.tracker, state: t.state, round: t.round, from: end})
		body["@odata.nextLink"] = link + "$skiptoken=" + url.QueryEscape(token)
	} else {
		token := c.server.issue(&syncToken{tracker: t.tracker, state: t.round.next})
		body["@odata.deltaLink"] = link + "$deltatoken=" + url.QueryEscape(token)
	}
	return response{status: 200, body: body}
}

// round works out what a client has to be told that has come as far as state.
func (s *Server) round(cal *Calendar, state *syncState, first bool) *round {
	next := *state
	next.version = s.version
	rd := &round{next: &next}
	if first || cal.version > state.version {
		next.delivered = maps.Clone(state.delivered)
		if next.delivered == nil {
			next.delivered = map[int][]ref{}
		}
		for _, x := range cal.changed(state.version) {
			rd.entries = append(rd.entries, x.changes(&next, first)...)
		}
		for _, g := range cal.graves {
			if x := cal.items[g.n]; first || g.version <= state.version || x != nil && state.immutable {
				continue // back in the calendar under the same id
			}
			rd.entries = append(rd.entries, entry{removed: &g.ref, series: g.n})
			for _, r := range next.delivered[g.n] {
				rd.entries = append(rd.entries, entry{removed: &r, series: g.n})
			}
			delete(next.delivered, g.n)
		}
	}
	if s.ReplayLast {
		next.last = slices.Clone(rd.entries)
		rd.entries = append(replay(state.last, rd.entries), rd.entries...)
	}
	if n := len(rd.entries); s.Duplicate {
		for i := 0; i < n; i += 3 {
			again := rd.entries[i]
			again.turn = i == 0
			rd.entries = append(rd.entries, again)
		}
	}
	if s.Shuffle != 0 {
		order := rand.New(rand.NewPCG(uint64(s.Shuffle), uint64(len(rd.entries))))
		order.Shuffle(len(rd.entries), func(i, j int) { rd.entries[i], rd.entries[j] = rd.entries[j], rd.entries[i] })
	}
	return rd
}

// changed are the items with a change after version, in the order of their changes.
func (c *Calendar) changed(version uint64) []*item {
	var all []*item
	for _, x := range c.items {
		if x.version > version {
			all = append(all, x)
		}
	}
	slices.SortFunc(all, func(a, b *item) int { return cmp.Compare(a.version, b.version) })
	return all
}

// changes are the entries for an item that was added or changed, and notes in next what the client has then. In
// the window: all of it. Outside: a tombstone, unless the client has never heard of anything yet.
func (x *item) changes(next *syncState, first bool) []entry {
	self := x.self()
	if x.series == nil {
		if next.window.touches(self.start, self.end) {
			return []entry{{view: self}}
		}
	} else if views := x.occurrences(next.window); len(views) > 0 {
		entries := []entry{{view: self, series: x.n}}
		var refs []ref
		for _, v := range views {
			entries = append(entries, entry{view: v, series: x.n})
			refs = append(refs, v.ref)
		}
		next.delivered[x.n] = refs
		return entries
	}
	delete(next.delivered, x.n)
	if first {
		return nil
	}
	gone := x.ref
	return []entry{{removed: &gone}}
}

// replay is what the last round said of events that the new one says nothing of.
func replay(last, now []entry) []entry {
	said := map[int]bool{}
	for _, e := range now {
		said[e.number()] = true
	}
	return slices.DeleteFunc(slices.Clone(last), func(e entry) bool { return said[e.number()] })
}

// number is the number of the event or series that the entry is about.
func (e entry) number() int {
	if e.removed != nil {
		return e.removed.n
	}
	return e.view.n
}
