package graphsim

import (
	"time"
)

// Duplicates is how the service answers a transactionId that has made an event before.
type Duplicates string

const (
	DuplicateRefused  Duplicates = ""           // 400 ErrorDuplicateTransactionId with @event.existingEventId
	DuplicateConflict Duplicates = "conflict"   // the same as 409
	DuplicateUnnamed  Duplicates = "unnamed"    // 400 without the annotation
	DuplicateAsIfMade Duplicates = "as-if-made" // 201 with the event of before, as long as it is there
)

const duplicateTransaction = "Your request can't be completed. The TransactionId specified in the request has already been used to create a different event."

// Writing chooses what the service makes of writes, where that is not known or differs. The zero value is what is hardest for those
// who write.
type Writing struct {
	Duplicates Duplicates

	// KeepExceptions and KeepCancellations: a PATCH of a master's times or recurrence loses neither those of its exceptions nor those
	// of its cancellations whose day the recurrence still has.
	KeepExceptions, KeepCancellations bool
	EndFollows                        bool // a PATCH of the start alone moves the end
	PassDeleted                       bool // an occurrence may be moved to the day of one that was deleted
	GoneAtOnce                        bool // the second DELETE is answered 404, where it is 400 for an hour
	PlainBodies                       bool // a text body is kept without the marks of one that was converted
	RenewMeetings                     bool // a body without the join information makes another online meeting; else there is none any more
	NoOccurrenceIDs                   bool // an OID cannot be written to: 400 ErrorInvalidIdMalformed
	NoSchedules                       bool // getSchedule is answered 403, as for personal accounts
	OwnTimes                          bool // a change of an occurrence is none of its series, which keeps its lastModifiedDateTime
	StrayRecurrence                   bool // properties of a recurrence that its type does not have (month 0) are accepted

	// Calm: nothing happens to an event after a write of it. Else a few seconds after each its change key moves, names of attendees
	// are filled in, rooms accept, and an online meeting's join information gets into its body: see Settle.
	Calm bool
	// StaleFor is how long after a write lists and deltas still show the mailbox as it was before; 0: not at all.
	StaleFor time.Duration
}

// A transaction is a transactionId that was used.
type transaction struct {
	n    int    // number of its event
	body string // what it was used for
}

// deletedFor is how long a deleted event is known to lie in the deleted items.
const deletedFor = time.Hour

// A moment is the state of a calendar, as far as a write of one event changes it.
type moment struct {
	x        *item
	state    item // of x
	cal      *Calendar
	listed   bool // x is in the calendar
	graves   []grave
	version  uint64 // of the calendar
	versions uint64 // of the server
	made     time.Time
}

// before takes note of the state before a write. x is nil before a new event is made.
func (c *Calendar) before(x *item) *moment {
	m := &moment{cal: c, graves: c.graves, version: c.version, versions: c.mailbox.server.version, made: c.mailbox.server.now()}
	if x != nil {
		m.x, m.state, m.listed = x, x.copied(), c.items[x.n] == x
	}
	return m
}

// copied is the item with maps of its own.
func (x *item) copied() item {
	state := *x
	state.exceptions, state.cancelled, state.own = cloneMap(x.exceptions), cloneMap(x.cancelled), cloneMap(x.own)
	return state
}

func cloneMap[V any](m map[time.Time]V) map[time.Time]V {
	if m == nil {
		return nil
	}
	all := make(map[time.Time]V, len(m))
	for k, v := range m {
		all[k] = v
	}
	return all
}

// restore brings the state back, and returns the one that there was.
func (m *moment) restore() *moment {
	s := m.cal.mailbox.server
	now := m.cal.before(m.x)
	*m.x = m.state
	m.cal.mailbox.items[m.x.n-1] = nil
	delete(m.cal.items, m.x.n)
	if m.listed {
		m.cal.items[m.x.n], m.cal.mailbox.items[m.x.n-1] = m.x, m.x
	}
	m.cal.graves, m.cal.version, s.version = m.graves, m.version, m.versions
	return now
}

// stale makes the mailbox look as before its last write until the function that it returns is called, where this request is to see it so.
func (c *call) stale(hook bool) func() {
	if c.mailbox == nil || c.mailbox.last == nil || c.r.Method != "GET" {
		return func() {}
	}
	m := c.mailbox.last
	age := c.server.now().Sub(m.made)
	if !hook && (age >= c.server.Writing.StaleFor || !c.lists()) {
		return func() {}
	}
	now := m.restore()
	return func() { now.restore() }
}

// lists tells whether the request is one for a list or a delta of events.
func (c *call) lists() bool {
	if len(c.seg) == 0 {
		return false
	}
	switch last := c.seg[len(c.seg)-1]; last {
	case "events", "calendarView", "instances", "delta":
		return true
	}
	return false
}
