package graphsim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// Errors of the editing methods.
var (
	ErrNotFound     = errors.New("graphsim: no such event, occurrence or calendar")
	ErrCrossing     = errors.New("graphsim: modified occurrence is crossing or overlapping adjacent occurrence")
	ErrNoOccurrence = errors.New("graphsim: the recurrence has no occurrence")
)

// A Mailbox is the mailbox of one user. It may be edited while requests run.
type Mailbox struct {
	server   *Server
	first    string // address, of which ids are made
	user     string // object id
	address  string
	name     string
	zone     string
	loc      *time.Location
	tag      string // part of every id
	filler   string
	cals     []*Calendar      // the default one first
	numbers  int              // calendars ever made
	items    []*item          // by number - 1; nil: deleted
	groups   []*CalendarGroup // the standard one first
	colors   []category
	deleted  map[int]time.Time      // when events went to the deleted items, by number
	made     map[string]transaction // by transactionId
	last     *moment                // before the last write through Graph; nil: there was another change since
	inflight int
	pause    pause
}

type category struct{ name, preset string }

// A Calendar is one calendar of a mailbox.
type Calendar struct {
	mailbox  *Mailbox
	n        int
	id       graph.CalendarID
	name     string
	hex      string
	canEdit  bool
	meetings []string // providers of online meetings; nil: teamsForBusiness
	group    *CalendarGroup
	shared   map[*Mailbox]bool // whose owners may read it
	editors  map[*Mailbox]bool // and those of them that may write
	private  bool              // others are not shown private events
	sharer   *Mailbox          // who has shared it into this mailbox; nil: it is the mailbox's own
	removed  bool
	items    map[int]*item
	graves   []grave // what left the calendar, by version
	version  uint64  // of the last change
}

// A grave remembers an event that was deleted or moved away.
type grave struct {
	ref
	version uint64
}

// AddMailbox makes a mailbox with the default calendar "Calendar". The zone is the mailbox's setting, a Windows
// (or IANA) zone name; an unknown one counts as UTC. An address that there is already gets its old mailbox.
func (s *Server) AddMailbox(address, displayName, zoneName string) *Mailbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.mailbox(address); m != nil {
		return m
	}
	loc, ok := zone(zoneName)
	if !ok {
		loc, zoneName = time.UTC, cmp.Or(zoneName, "UTC")
	}
	m := &Mailbox{server: s, first: address, user: guid("user " + address), address: address, name: displayName, zone: zoneName, loc: loc, tag: tag(address),
		filler: filler(address)}
	for i, preset := range []int{0, 1, 3, 4, 7, 8} {
		name := []string{"Red", "Orange", "Yellow", "Green", "Blue", "Purple"}[i]
		m.colors = append(m.colors, category{name + " category", fmt.Sprintf("preset%d", preset)})
	}
	m.addCalendar("Calendar", "", m.addGroup("My Calendars"))
	s.mailboxes = append(s.mailboxes, m)
	if s.byUser == nil {
		s.byUser = map[string]*Mailbox{}
	}
	s.byUser[strings.ToLower(address)], s.byUser[m.user] = m, m
	return m
}

// AddAddress makes the mailbox known by one more address. Paths with it show the same as those with the first.
func (m *Mailbox) AddAddress(address string) {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	m.server.byUser[strings.ToLower(address)] = m
}

// rename gives a mailbox another address. Its ids stay.
func (s *Server) rename(m *Mailbox, address string) {
	delete(s.byUser, strings.ToLower(m.address))
	m.address = address
	s.byUser[strings.ToLower(address)] = m
}

// mailbox finds a mailbox by address or user id; nil: none.
func (s *Server) mailbox(user string) *Mailbox {
	return s.byUser[strings.ToLower(user)]
}

// Address is the mailbox's address.
func (m *Mailbox) Address() string { return m.address }

func (m *Mailbox) userID() string { return m.user }

// zoneOf is the zone in which the wall-clock times of an event count.
func (m *Mailbox) zoneOf(e Event) *time.Location {
	for _, name := range []string{e.RealZone, e.Zone} {
		if loc, ok := zone(name); ok {
			return loc
		}
	}
	return m.loc
}

// Calendar is the default calendar.
func (m *Mailbox) Calendar() *Calendar { return m.cals[0] }

// Calendars are all calendars, the default one first.
func (m *Mailbox) Calendars() []*Calendar {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	return slices.Clone(m.cals)
}

// AddCalendar makes another calendar. The colour is "#rrggbb", or "" for one that was never set.
func (m *Mailbox) AddCalendar(name, hexColor string) *Calendar {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	return m.addCalendar(name, hexColor, m.groups[0])
}

func (m *Mailbox) addCalendar(name, hexColor string, group *CalendarGroup) *Calendar {
	m.numbers++
	c := &Calendar{mailbox: m, n: m.numbers, name: name, hex: hexColor, canEdit: true, group: group, items: map[int]*item{}}
	c.id = calendarID(m, c.n)
	m.cals = append(m.cals, c)
	return c
}

// RemoveCalendar deletes a calendar with its events. The default calendar stays.
func (m *Mailbox) RemoveCalendar(c *Calendar) {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	m.drop(c)
}

// drop deletes a calendar, and reports whether it could: the default one stays.
func (m *Mailbox) drop(c *Calendar) bool {
	i := slices.Index(m.cals, c)
	if i < 1 {
		return false
	}
	m.cals = slices.Delete(m.cals, i, i+1)
	c.removed = true
	for n, x := range c.items {
		m.server.notify(x, "deleted")
		m.items[n-1] = nil
	}
	clear(c.items)
	return true
}

// AddCategory adds a master category; the colour is "none" or "preset0" to "preset24".
func (m *Mailbox) AddCategory(name, color string) {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	m.colors = append(m.colors, category{name, color})
}

// ID is the id of the calendar. It never changes.
func (c *Calendar) ID() graph.CalendarID { return c.id }

// Name is the name of the calendar.
func (c *Calendar) Name() string {
	c.mailbox.server.mu.Lock()
	defer c.mailbox.server.mu.Unlock()
	return c.name
}

// Rename changes the name of the calendar.
func (c *Calendar) Rename(name string) { c.alter(func() { c.name = name }) }

// Recolor changes the colour of the calendar, "#rrggbb".
func (c *Calendar) Recolor(hex string) { c.alter(func() { c.hex = hex }) }

// SetCanEdit makes the calendar one that its owner may, or may not, write to.
func (c *Calendar) SetCanEdit(can bool) { c.alter(func() { c.canEdit = can }) }

// SetOnlineMeetings names the providers of the online meetings that can be made in the calendar, the default one first; none: there
// are no online meetings.
func (c *Calendar) SetOnlineMeetings(providers ...string) {
	c.alter(func() { c.meetings = append([]string{}, providers...) })
}

func (c *Calendar) alter(f func()) {
	c.mailbox.server.mu.Lock()
	defer c.mailbox.server.mu.Unlock()
	f()
}

// Create adds an event or a series and returns its immutable id. Where the recurrence has no occurrence, which Outlook
// does not take, the event is a single one.
func (c *Calendar) Create(e Event) graph.EventID {
	s := c.mailbox.server
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.create(e).id(true)
}

func (c *Calendar) create(e Event) *item {
	m := c.mailbox
	x := &item{ref: ref{cal: c, n: len(m.items) + 1}, created: m.server.now().UTC()}
	m.items = append(m.items, x)
	c.items[x.n] = x
	e = e.clone()
	if err := x.set(e); err != nil {
		e.Recurrence = nil
		x.set(e)
	}
	x.gen = 0
	m.server.bump(x)
	m.server.notify(x, "created")
	return x
}

// bump makes a new version of an item.
func (s *Server) bump(x *item) {
	s.version++
	x.version, x.cal.version = s.version, s.version
	x.modified = s.now().UTC()
	x.cal.mailbox.last = nil
}

// find looks an event up by either of its ids or by an OID. Of an occurrence or exception it also returns the
// original date, otherwise the zero time.
func (m *Mailbox) find(id graph.EventID) (*item, time.Time, error) {
	if day := graph.OccurrenceDate(string(id)); day != "" {
		master := strings.TrimSuffix(strings.TrimPrefix(string(id), "OID."), "."+day)
		x, of, err := m.find(graph.EventID(master))
		if err != nil {
			return nil, time.Time{}, err
		}
		d, _ := time.Parse(time.DateOnly, day)
		if _, ok := x.occurrence(d); !ok || !of.IsZero() {
			return nil, time.Time{}, ErrNotFound
		}
		return x, d, nil
	}
	p, ok := parseID(string(id))
	if !ok {
		return nil, time.Time{}, errMalformedID
	}
	if p.tag != m.tag || p.n > len(m.items) || m.items[p.n-1] == nil {
		return nil, time.Time{}, ErrNotFound
	}
	x := m.items[p.n-1]
	if p.orig.IsZero() {
		if x.id(p.immutable) != id {
			return nil, time.Time{}, ErrNotFound
		}
		return x, time.Time{}, nil
	}
	day := date(wall(p.orig, x.loc))
	for _, d := range []time.Time{day, day.AddDate(0, 0, -1)} { // a gap at midnight shifts the time to the next day
		if v, ok := x.occurrence(d); ok && v.id(p.immutable) == id {
			return x, d, nil
		}
	}
	return nil, time.Time{}, ErrNotFound
}

var errMalformedID = fmt.Errorf("%w: id is malformed", ErrNotFound)

// in is find, limited to the calendar.
func (c *Calendar) in(id graph.EventID) (*item, time.Time, error) {
	x, day, err := c.mailbox.find(id)
	if err == nil && x.cal != c {
		err = ErrNotFound
	}
	return x, day, err
}

// Change edits an event or the master of a series, or an occurrence, which becomes an exception. A change of a
// series' times or recurrence discards its exceptions and cancellations and re-makes its occurrences' ids; one that
// leaves no occurrence is refused with ErrNoOccurrence. The edit function must not call the Server.
func (c *Calendar) Change(id graph.EventID, edit func(*Event)) error {
	s := c.mailbox.server
	s.mu.Lock()
	defer s.mu.Unlock()
	x, day, err := c.in(id)
	if err != nil {
		return err
	}
	return x.revise(day, edit)
}

// revise is an edit of a person's: Outlook mails what it mails.
func (x *item) revise(day time.Time, edit func(*Event)) error {
	before := x.at(day)
	if err := x.edit(day, edit); err != nil {
		return err
	}
	if x.sent {
		x.announce(day, before, x.at(day), true, nil, "")
	}
	return nil
}

// at is the event or its occurrence of a day, as it is now.
func (x *item) at(day time.Time) Event {
	if day.IsZero() {
		return x.ev
	}
	return x.instance(day).ev
}

func (x *item) edit(day time.Time, edit func(*Event)) error {
	if day.IsZero() {
		e := x.ev.clone()
		edit(&e)
		if err := x.set(e.clone()); err != nil {
			return err
		}
	} else {
		e := x.exceptionDraft(day)
		edit(&e)
		e = e.clone()
		e.Recurrence = nil
		e.normalize()
		if x.crosses(day, e, false) {
			return ErrCrossing
		}
		x.setException(day, e)
	}
	modified := x.modified
	x.update()
	if !day.IsZero() && x.cal.mailbox.server.Writing.OwnTimes {
		x.modified = modified
	}
	return nil
}

func (x *item) setException(day time.Time, e Event) {
	x.exceptions[day] = e
	s := x.cal.mailbox.server
	x.own[day] = stamp{s.version + 1, s.now().UTC()} // of the update that follows
}

// update makes a new version of an item and tells the subscribers.
func (x *item) update() {
	x.cal.mailbox.server.bump(x)
	x.cal.mailbox.server.notify(x, "updated")
}

// ChangeOccurrence edits one occurrence, named by its original date (yyyy-mm-dd in the series' zone), which
// makes it an exception. It must not reach or pass the occurrences before and after it: ErrCrossing.
func (c *Calendar) ChangeOccurrence(master graph.EventID, day string, edit func(*Event)) error {
	return c.onOccurrence(master, day, func(x *item, d time.Time) error { return x.revise(d, edit) })
}

// CancelOccurrence removes one occurrence as its organizer or attendee does: it goes to cancelledOccurrences,
// and a delta shows no tombstone for it.
func (c *Calendar) CancelOccurrence(master graph.EventID, day string) error {
	return c.onOccurrence(master, day, func(x *item, d time.Time) error { x.discard(d); return nil })
}

func (x *item) cancel(day time.Time) {
	delete(x.exceptions, day)
	delete(x.own, day)
	x.cancelled[day] = true
	x.update()
}

// CancelOccurrenceByOrganizer shows what an invitee sees when the organizer cancels one occurrence: an exception
// that is cancelled and free, its subject prefixed.
func (c *Calendar) CancelOccurrenceByOrganizer(master graph.EventID, day string) error {
	return c.onOccurrence(master, day, func(x *item, d time.Time) error { return x.edit(d, cancelByOrganizer) })
}

// CancelByOrganizer does the same to a whole event or series.
func (c *Calendar) CancelByOrganizer(id graph.EventID) error { return c.Change(id, cancelByOrganizer) }

func cancelByOrganizer(e *Event) {
	e.Cancelled, e.ShowAs = true, "free"
	e.Subject = "Canceled: " + e.Subject
}

func (c *Calendar) onOccurrence(master graph.EventID, day string, f func(*item, time.Time) error) error {
	s := c.mailbox.server
	s.mu.Lock()
	defer s.mu.Unlock()
	x, of, err := c.in(master)
	if err != nil {
		return err
	}
	d, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return fmt.Errorf("graphsim: occurrence: %w", err)
	}
	if _, ok := x.occurrence(d); !ok || !of.IsZero() {
		return ErrNotFound
	}
	return f(x, d)
}

// Delete removes a single event, a whole series, or one occurrence or exception (as CancelOccurrence does).
func (c *Calendar) Delete(id graph.EventID) error {
	s := c.mailbox.server
	s.mu.Lock()
	defer s.mu.Unlock()
	x, day, err := c.in(id)
	if err != nil {
		return err
	}
	x.discard(day)
	return nil
}

// discard is a person's removal.
func (x *item) discard(day time.Time) {
	if x.sent {
		x.cal.mailbox.server.mail(x, day, MailCancellation, addresses(x.at(day).Attendees), "")
	}
	x.remove(day)
}

func (x *item) remove(day time.Time) {
	if !day.IsZero() {
		x.cancel(day)
		return
	}
	x.bury()
	x.cal.mailbox.server.notify(x, "deleted")
	x.cal.mailbox.items[x.n-1] = nil
}

// bury takes the item out of its calendar and leaves a grave for the delta.
func (x *item) bury() {
	s := x.cal.mailbox.server
	s.bump(x)
	delete(x.cal.items, x.n)
	x.cal.graves = append(x.cal.graves, grave{x.ref, x.version})
}

// Move puts an event or series into another calendar of the mailbox. Its immutable id stays, its classic id
// changes.
func (c *Calendar) Move(id graph.EventID, to *Calendar) error {
	s := c.mailbox.server
	s.mu.Lock()
	defer s.mu.Unlock()
	x, day, err := c.in(id)
	if err != nil {
		return err
	}
	if !day.IsZero() || to.mailbox != c.mailbox || to.removed || to == c {
		return ErrNotFound
	}
	x.bury()
	x.cal = to
	x.moves++
	to.items[x.n] = x
	x.update()
	return nil
}

// Respond sets the owner's answer to an event, a series or one occurrence: none, organizer,
// tentativelyAccepted, accepted, declined or notResponded.
// An organizer on this server is told.
func (c *Calendar) Respond(id graph.EventID, response string) error {
	s := c.mailbox.server
	s.mu.Lock()
	defer s.mu.Unlock()
	x, day, err := c.in(id)
	if err != nil {
		return err
	}
	if err := x.edit(day, func(e *Event) { e.answer(response, s.now()) }); err != nil {
		return err
	}
	if x.theirs != nil {
		s.reply(x, day, response, "")
	}
	return nil
}

func (e *Event) answer(response string, at time.Time) {
	e.Response, e.ResponseTime = response, at.UTC()
	switch response {
	case "tentativelyAccepted":
		e.ShowAs = "tentative"
	case "accepted":
		e.ShowAs = "busy"
	case "declined":
		e.ShowAs = "free"
	}
}

// Touch gives an event or series a new change key and changes nothing else.
func (c *Calendar) Touch(id graph.EventID) error {
	s := c.mailbox.server
	s.mu.Lock()
	defer s.mu.Unlock()
	x, _, err := c.in(id)
	if err == nil {
		x.update()
	}
	return err
}

// An Instance is one event as Outlook shows it on its day.
type Instance struct {
	ID             graph.EventID // immutable
	SeriesMasterID graph.EventID // "": a single event
	Subject        string
	Start, End     time.Time // in UTC; of all-day events the midnights UTC of their dates
	AllDay         bool
	Cancelled      bool // by its organizer
}

// Instances are all events that overlap the time from from (inclusive) to to (exclusive), by start, subject
// and id. All-day events count by their dates in UTC.
func (c *Calendar) Instances(from, to time.Time) []Instance {
	s := c.mailbox.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	var all []Instance
	wide := window{from.AddDate(0, 0, -2), to.AddDate(0, 0, 2)}
	for _, x := range c.items {
		views := x.occurrences(wide)
		if x.series == nil {
			views = []view{x.self()}
		}
		for _, v := range views {
			i := Instance{ID: v.id(true), Subject: v.ev.Subject, Start: v.start.UTC(), End: v.end.UTC(), AllDay: v.ev.AllDay, Cancelled: v.ev.Cancelled}
			if v.ev.AllDay {
				i.Start, i.End = v.ev.Start, v.ev.End
			}
			if x.series != nil {
				i.SeriesMasterID = x.id(true)
			}
			if i.Start.Before(to) && (i.End.After(from) || i.Start.Equal(i.End) && !i.Start.Before(from)) {
				all = append(all, i)
			}
		}
	}
	slices.SortFunc(all, func(a, b Instance) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.ID, b.ID))
	})
	return all
}
