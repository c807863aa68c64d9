package bridge

import (
	"context"
	"regexp"
	"time"
)

// Learned is what a probe has found out about an account's mailbox, where nobody outside Microsoft can tell. Unknown is nil.
type Learned struct {
	At      time.Time `json:"at"`
	Host    string    `json:"host"`         // of Graph
	Kind    string    `json:"kind"`         // KindWork, KindPersonal, KindApp
	Version string    `json:"version"`      // of the bridge
	Of      string    `json:"of,omitempty"` // whose mailbox it is: Identity.ID, or its address

	Asked      int `json:"asked"`
	Differ     int `json:"differ"` // the answer is another than expected, and cared for
	ToReport   int `json:"to_report"`
	Unanswered int `json:"unanswered"`

	// KeepsExceptions and KeepsCancellations: a PATCH of the times or the rule of a series leaves its exceptions, and its deleted
	// occurrences, as they were.
	KeepsExceptions    *bool `json:"keeps_exceptions,omitempty"`
	KeepsCancellations *bool `json:"keeps_cancellations,omitempty"`
	// ReadsOccurrences and WritesOccurrences: an occurrence is found, and may be changed and deleted, by graph.OccurrenceID.
	ReadsOccurrences  *bool `json:"reads_occurrences,omitempty"`
	WritesOccurrences *bool `json:"writes_occurrences,omitempty"`
	// NamesDuplicates: a transactionId that was used is refused with the id of the event that it has made.
	NamesDuplicates *bool `json:"names_duplicates,omitempty"`
}

// Kinds of accounts, by who signs in.
const (
	KindWork     = "work" // or school
	KindPersonal = "personal"
	KindApp      = "app" // the app itself
)

// Is reports whether something is known to be so.
func Is(known *bool) bool { return known != nil && *known }

// IsNot reports whether something is known not to be so.
func IsNot(known *bool) bool { return known != nil && !*known }

// LearnedAge is how long what was learned is gone by. Microsoft changes its service without a word.
const LearnedAge = 365 * 24 * time.Hour

// HoldsFor reports whether it is about that mailbox, through that host, and not too old.
func (l Learned) HoldsFor(of, host string, now time.Time) bool {
	return !l.At.IsZero() && l.Of == of && l.Host == host && now.Sub(l.At) < LearnedAge
}

// LearnedStore keeps what probes have found out.
type LearnedStore interface {
	// Learned is the zero value where nothing was found out. SetLearned replaces it.
	Learned(ctx context.Context, id AccountID) (Learned, error)
	SetLearned(ctx context.Context, id AccountID, l Learned) error
}

// ProbeCalendar names a calendar that a probe works in and removes. It is nobody's to see.
const ProbeCalendar = "outbridge probe "

var probeCalendar = regexp.MustCompile(`^` + ProbeCalendar + `[0-9a-f]{16}( b)?$`)

// IsProbeCalendar reports whether a probe has made the calendar of a name.
func IsProbeCalendar(name string) bool { return probeCalendar.MatchString(name) }
