package bridge

import "time"

// Report sums up one round of an account.
type Report struct {
	Account   string           `json:"account"`
	Requests  int64            `json:"requests"` // all to Graph: the list of calendars and those of each calendar
	Seconds   float64          `json:"seconds"`
	Calendars []CalendarReport `json:"calendars"`
	Round     int64            `json:"-"` // its number since the program started, as in logs
	Err       error            `json:"-"` // why it failed; nil: it was good
	State     State            `json:"-"` // of the account from now on
	// TokenExpires is when the account's access token ends; zero: not known.
	TokenExpires time.Time `json:"-"`
}

// CalendarReport sums up one round of a calendar.
type CalendarReport struct {
	Calendar string `json:"calendar"`
	Name     string `json:"name"`    // its path segment
	Events   int    `json:"events"`  // single events and series masters now known; see Bridge.Count
	Series   int    `json:"series"`  // series masters among them
	Pages    int    `json:"pages"`   // delta pages read
	Items    int    `json:"items"`   // events, occurrences and tombstones on them
	Changed  int    `json:"changed"` // objects that clients see change, removed ones included
	Removed  int    `json:"removed"`
	Losses   int    `json:"losses"` // recorded now
	// Audited counts the occurrences that an audit compared, Differences those that were not as Outlook shows them.
	Audited     int     `json:"audited,omitempty"`
	Differences int     `json:"differences,omitempty"`
	Requests    int64   `json:"requests"`
	Seconds     float64 `json:"seconds"`
	Fault       Fault   `json:"-"` // why it failed; zero: it did not

	// Incomplete: Graph could not list what begins after the window; see Calendar.Lacks.
	Incomplete bool `json:"incomplete,omitempty"`

	ID    CalendarID `json:"-"`
	First bool       `json:"-"` // it had had no good round before
	Good  time.Time  `json:"-"` // end of its last good round, this one included
}

// Changed counts the objects that changed in all calendars.
func (r Report) Changed() (n int) {
	for _, c := range r.Calendars {
		n += c.Changed
	}
	return n
}

// Failed counts the calendars whose round failed.
func (r Report) Failed() (n int) {
	for _, c := range r.Calendars {
		if c.Fault != (Fault{}) {
			n++
		}
	}
	return n
}

// Progress tells how far the round of one calendar has come.
type Progress struct {
	Account, Calendar string
	Phase             string // one of those below
	Pages, Events     int    // so far in this round
	Done, Total       int    // of the phase; Total 0 where it is not known
	First             bool   // the calendar has had no good round yet
	// Since is from when on Microsoft has not answered, and Until when it is asked again: of ProgressWait, which is of no calendar.
	Since, Until time.Time
}

// Phases of a Progress.
const (
	ProgressDownload = "download"
	ProgressRead     = "read series"
	ProgressConvert  = "convert"
	ProgressWait     = "wait"
)

// Pulse is what the worker of an account is at. It is not stored: after a start it is zero until the first round.
type Pulse struct {
	Busy bool      // a round is running
	Good time.Time // end of the last good round of all its calendars; zero: none since the start
	// Calendars is when the last good round of each calendar ended, those of before the start included as far as they are
	// stored. What is stored lags behind while a calendar is idle.
	Calendars map[CalendarID]time.Time
	Next      time.Time // when the next round begins, unless a nudge comes first; zero: not known
}

// GoodOf is the end of the last good round of a calendar, of which stored is what its row has.
func (p Pulse) GoodOf(id CalendarID, stored time.Time) time.Time {
	if t := p.Calendars[id]; t.After(stored) {
		return t
	}
	return stored
}

// LastGood is the end of the last good round of any calendar, of which stored is what the rows have.
func (p Pulse) LastGood(stored time.Time) time.Time {
	last := stored
	for id := range p.Calendars {
		last = p.GoodOf(id, last)
	}
	return last
}
