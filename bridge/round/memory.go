package round

import (
	"sync"
	"time"

	"outbridge/bridge"
)

// memory is what a Runner remembers between rounds, by account. None of it decides what is right: what is forgotten costs a
// request or a row read.
type memory struct {
	mu       sync.Mutex // guards the map
	accounts map[string]*accountMemory
}

// accountMemory is when things were last asked for an account, and what is known of its calendars.
type accountMemory struct {
	mu        sync.Mutex                 // guards the rest, never for longer than it takes to read or write a field
	settings  time.Time                  // the mailbox's settings
	calendars time.Time                  // the list of calendars; zero after a round that failed
	groups    time.Time                  // calendar groups, without success
	of        map[string]*calendarMemory // by epoch, since ids of rows that are removed are given out again
}

// calendarMemory is what is known of a calendar beside its row.
type calendarMemory struct {
	// round is held by whoever does a round of the calendar, and guards the rest. Who writes an event does not take it, and so
	// never waits for a download: between writers of a mirror its seq decides.
	round  sync.Mutex
	idle   idleCursor
	stuck  int       // rounds that the cursor has answered with a failure of Graph's own
	viewed time.Time // when its window was last listed, where it has no cursor
	good   time.Time // end of the last good round, which the row only has from a checkpoint on
	looked time.Time // when what lies beyond its window was last asked for
	looks  int       // that failed, in a row
	reread time.Time // when masters that Graph lists and does not show were last asked for

	// staging is held while objects are compared, staged or published, and never while Graph is asked.
	staging sync.Mutex
}

// idleCursor is the deltaLink that an idle poll answered with, kept in memory until a checkpoint.
type idleCursor struct {
	seq  int64
	link string
}

func (m *memory) account(name string) *accountMemory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.accounts == nil {
		m.accounts = map[string]*accountMemory{}
	}
	if m.accounts[name] == nil {
		m.accounts[name] = &accountMemory{of: map[string]*calendarMemory{}}
	}
	return m.accounts[name]
}

func (m *memory) forget(account string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.accounts, account)
}

func (a *accountMemory) calendar(c bridge.Calendar) *calendarMemory {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of[c.Epoch] == nil {
		a.of[c.Epoch] = new(calendarMemory)
	}
	return a.of[c.Epoch]
}

// keep forgets the calendars that are none of these.
func (a *accountMemory) keep(cals []bridge.Calendar) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kept := make(map[string]*calendarMemory, len(cals))
	for _, c := range cals {
		if m := a.of[c.Epoch]; m != nil {
			kept[c.Epoch] = m
		}
	}
	a.of = kept
}

// since is how long ago the time of a field of the account was.
func (a *accountMemory) since(field *time.Time, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return bridge.Elapsed(now, *field)
}

func (a *accountMemory) set(field *time.Time, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	*field = at
}
