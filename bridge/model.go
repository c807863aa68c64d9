// Package bridge has the words that every room below it speaks in: accounts, calendars, the mirror, objects, feeds, states, and
// the contract of the store. It does nothing by itself and knows no HTTP and no SQL; of DAV it knows that clients set properties of
// collections, by path.
//
// The rooms: round makes a calendar's objects what Outlook shows, work decides when, sqlstore keeps everything, dav and web
// serve it, feed is what a feed shows, push tells clients of changes.
package bridge

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// AccountID and CalendarID are row ids of the store.
type (
	AccountID  int64
	CalendarID int64
)

// Account is one mailbox that the bridge reads, and the CalDAV user of the same name.
type Account struct {
	ID           AccountID
	Name         string
	State        State
	LastGood     time.Time // end of the last good round of any of its calendars; zero: never
	Grouped      time.Time // when its calendar groups were last read
	Settings     Settings
	Identity     Identity // who signed in; zero: nobody, or an app reads the mailbox
	TokenVersion int64    // counts sign-ins and refreshes; 0: never signed in
	// Granted are the permissions that Microsoft gave with the last token, separated by spaces; "": it has not said.
	Granted string
	// Policy is what was set on the pages; nil: nothing was.
	Policy *Policy
	// Added on a page, in place of the configuration. Mailbox is then the address that is read app-only, or "".
	Added   bool
	Mailbox string
	Options AccountOptions // as set on the pages
	// Tenant and ObjectID are who its person is in the organization's directory; "": not known.
	Tenant, ObjectID string
	// Directory: it was made because its person is a member; Mailbox is then theirs. Left is when they left the members, from when on
	// nothing of it is served; zero: they have not.
	Directory   bool
	DisplayName string // of that person
	Left        time.Time
}

// Addresses are those of the account's mailbox, each once and the one that is preferred first: whom its default calendar belongs to,
// who signed in, under any alias, and what is read app-only. They are as Graph has them, which for an owner need be no address of mail.
// cals are all its calendars.
func (a Account) Addresses(cals []Calendar) (list []string) {
	add := func(address string) {
		same := func(s string) bool { return strings.EqualFold(s, address) }
		if address != "" && !slices.ContainsFunc(list, same) {
			list = append(list, address)
		}
	}
	for _, c := range cals {
		if c.Default && c.Mailbox == "" {
			add(c.Owner)
		}
	}
	add(a.Identity.Address)
	for _, alias := range a.Identity.Aliases {
		add(alias)
	}
	add(a.Mailbox)
	return list
}

// Settings are the mailbox's own, where the bridge may read them.
type Settings struct {
	Zone   string            `json:"zone,omitempty"`   // a Windows or IANA name
	Colors map[string]string `json:"colors,omitempty"` // category → "#rrggbb"
}

// State is how an account fares.
type State struct {
	Code  string    `json:"code"` // "ok", "new", "sign-in", "denied", "configuration", "unavailable", "error"
	Fault           // none when ok or new
	Since time.Time `json:"since"`
	// Final: trying again is pointless until a person has acted, which TokenVersion then shows.
	Final bool `json:"final"`
	// Claims is what the next sign-in has to ask for, JSON; "" as a rule.
	Claims       string `json:"claims,omitempty"`
	TokenVersion int64  `json:"-"`
}

// Phases of a calendar's cursor.
const (
	PhaseNew     = ""        // no cursor: the next round opens the window
	PhaseOpening = "opening" // pages of the first round; the cursor is a nextLink
	PhaseSteady  = "steady"  // the cursor is a deltaLink
	PhaseFollow  = "follow"  // in the midst of a later round; the cursor is a nextLink
)

// What an opened window still waits for, in this order.
const (
	PendingNothing = ""
	PendingLook    = "look"  // what lies beyond the window's end is not listed
	PendingSweep   = "sweep" // events that neither listing named are to be asked for
	// The two where Graph could not list what lies beyond, which is tried again now and then.
	PendingSweepFirst = "sweep first"
	PendingBeyond     = "beyond"
)

// Ways of learning what changes in a calendar.
const (
	WayDelta = ""     // follow the cursor
	WayView  = "view" // list the window and compare, where Graph lets nobody follow a cursor
)

// Calendar is a calendar of a mailbox and the state of its mirror and of its publication.
type Calendar struct {
	ID      CalendarID
	Account AccountID
	Mailbox string           // address of the mailbox that it is read from; "": the account's own
	GraphID graph.CalendarID // unique in its mailbox

	Name        string // path segment, stable across renames
	DisplayName string
	Color       string // "#rrggbb", or "" where Outlook leaves it to the program; see ShownColor
	CanEdit     bool
	Default     bool
	Owner       string // mailbox address
	Order       int

	Cursor  string // Graph's link, followed verbatim
	Phase   string
	Pending string
	Seq     int64 // mirror writes so far: compared and swapped
	Round   int64 // delta rounds begun
	Opened  int64 // the Round that opened the window
	Window  convert.Span
	Checked time.Time // when the cursor was last written
	Good    time.Time // end of the last good round; zero: never
	Fault   Fault     // why the last round failed; zero when it did not
	Way     string    // WayDelta or WayView
	Audit   Audit
	// Rendering names the converter and the options that the objects were made with.
	Rendering string

	// Written: there are names or overlays of series. Fenced is when the last fence of a series was raised; zero: never.
	Written   bool
	Fenced    time.Time
	Versioned bool // earlier states of its objects are kept

	OnlineMeetings string // Graph's name of who provides the online meetings that are made in it; "": there are none

	Epoch    string
	Rev      int64
	Modified time.Time // of the last publication
}

// IsForeign reports whether the calendar is somebody else's. own are its account's addresses, see Account.Addresses: a calendar of
// one's own may name any of them as its owner. Where it names none, or none of one's own is known, it is judged by the mailbox that it is read from.
func (c Calendar) IsForeign(own []string) bool {
	switch {
	case c.Default && c.Mailbox == "":
		return false
	case c.Owner == "" || len(own) == 0:
		return c.Mailbox != ""
	}
	return !slices.ContainsFunc(own, func(a string) bool { return strings.EqualFold(a, c.Owner) })
}

// Audit is when a calendar's mirror was held against Outlook's own view, and what came of it.
type Audit struct {
	At    time.Time // zero: never
	Found int       // differences, which were read again
	Again int       // those of them that were still there then, so that what Outlook's view says of them was taken
	Due   time.Time // the next one; zero: not yet decided

	Compared int // occurrences that Outlook's view had; 0: not known
}

// Difference is an occurrence that an audit found not to be as Outlook shows it.
type Difference struct {
	Series  graph.EventID
	Subject string
	Outlook convert.Span // as its view showed it; zero: it did not
	Here    convert.Span // as it was here; zero: it was not
}

// Kinds of a mirror row. An orphan is an occurrence or exception whose master is not in the mailbox.
const (
	KindSingle     = "single"
	KindMaster     = "master"
	KindOccurrence = "occurrence"
	KindException  = "exception"
	KindOrphan     = "orphan"
)

// Row is one mirror row: an event as Graph gave it. Raw of a master is the answer to a GET of it, with its
// exceptions and cancellations, once its series has been read.
type Row struct {
	ID     graph.EventID
	Series graph.EventID // the master's id; of a single event or orphan its own
	Kind   string
	Round  int64 // the round that last listed or confirmed it
	Span   convert.Span
	Raw    []byte
	// What searches look for, as Raw has it.
	Subject string
	ICalUID string
}

// IsInstance reports whether it is one of the occurrences of a series.
func (r Row) IsInstance() bool { return r.Kind == KindOccurrence || r.Kind == KindException }

// Stages of a series, in the order of work.
const (
	StageClean  = 0
	StageDerive = 1 // the mirror knows all; the object is to be made again
	StageRead   = 2 // its master is to be read from Graph
	StageAsk    = 3 // a tombstone named it: Graph is to be asked whether it is gone
)

// Mark sets the stage of a series.
type Mark struct {
	Series graph.EventID
	Stage  int
	// Complete: the series' rows are all that Graph lists of it in the window. With StageRead: a listing named the series, and
	// nothing has taken that back since.
	Complete bool
	// Unread: Graph lists the series and did not show it by its id when it was last asked. A Mark of StageAsk without it leaves
	// that as it is.
	Unread bool
}

// MirrorPage is one write to a mirror: everything in it happens, or nothing.
type MirrorPage struct {
	Calendar CalendarID
	Seq      int64 // the Seq that the calendar must have; ErrConflict otherwise
	Rows     []Row // inserted or replaced
	Gone     []graph.EventID
	Marks    []Mark
	Cursor   *Cursor // nil: the cursor stays
	// Unpublished: nothing of the calendar is published, nor written by clients; ErrConflict otherwise. What is staged of the series of
	// the page is then void, and made anew.
	Unpublished bool
	// Derived is what became of series of an Unpublished page that have no Mark: they are clean, and staged with it.
	Derived []Derived
	// Asks are series that have turned up here while other calendars of the mailbox mirror them: each is marked with StageAsk
	// there, which counts as a write to that mirror.
	Asks map[CalendarID][]graph.EventID
}

// Cursor is where the next request of a calendar begins.
type Cursor struct {
	Link    string
	Phase   string
	Pending string
	Round   int64
	Opened  int64
	Window  convert.Span
}

// Derived is what became of one series.
type Derived struct {
	Series graph.EventID
	Object *Object // what clients are to see in place of the series' object, a tombstone perhaps; nil: no change
	// Left is the tombstone of the name that the series' object had, where Object has another; nil: it has not.
	Left *Object
	// Retimed is the object that stays as it is, with another Timetable; nil: that is the same too.
	Retimed *Object
	Losses  []convert.Loss
	// Unattached: it is not known yet what is attached to it, so Graph is to be asked.
	Unattached bool
	// Unsettled: the series keeps its stage, since Graph has not said all of it.
	Unsettled bool
}

// Object is a calendar object resource as it is stored and served.
type Object struct {
	Calendar CalendarID
	Series   graph.EventID
	Name     string // path segment
	UID      string
	ETag     string
	Rev      int64
	Sequence int       // SEQUENCE of its components
	Stamp    time.Time // their LAST-MODIFIED and DTSTAMP
	Modified time.Time // when it was published
	First    time.Time // earliest start of any instance
	Last     time.Time // latest end; zero: unbounded
	Data     []byte
	Size     int
	Deleted  bool
	// Timetable says when its instances are, as ics.Timetable does; "": not known, or not asked for.
	Timetable string
	Title     string // of the event, when it is staged; a tombstone has that of what was there
}

// History is what clients were shown change at one time, or that rounds failed from then on.
type History struct {
	At                      time.Time
	Added, Changed, Removed int
	Events                  []HistoryEvent // the first HistoryEvents of them

	Fault Fault     // why all rounds failed from At to Until; zero: something was shown
	Until time.Time // when one did not, or failed in another way; zero: that is to come
}

// HistoryEvent is one of the objects of a History.
type HistoryEvent struct {
	Object string `json:"object"` // path segment
	Title  string `json:"title"`
	What   string `json:"what"` // "added", "changed" or "removed"
	Gone   bool   `json:"-"`    // it is not there any more
}

// So much is kept of what has changed: of each calendar the latest times, and of each of these the first events.
const (
	HistoryFew    = 100
	HistoryEvents = 20
)

// Shown is what clients are shown of a series.
type Shown struct {
	Object  *Object  // nil: none
	Removed []Object // those that are not there any more, by name: Name and UID
}

// Past is what clients were shown before.
type Past struct {
	Sequence int       // the highest of any object of the account with the UID
	Stamp    time.Time // the latest of theirs
}

// Password is an app password of a user. The password itself is only ever seen when it is made.
type Password struct {
	ID      int64     `json:"id"`
	User    string    `json:"user"`
	Label   string    `json:"label"`
	Created time.Time `json:"created"`
	// Used is when it was last used, to the hour, and Client the program (User-Agent); zero: never.
	Used   time.Time `json:"used,omitzero"`
	Client string    `json:"client,omitempty"`
}

const longestLabel = 100

// PasswordLabel is the label of an app password as it is kept, on one line. It fails where the text is too long.
func PasswordLabel(text string) (string, error) {
	label := strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
	if utf8.RuneCountInString(label) > longestLabel {
		return "", fmt.Errorf("it is too long: write at most %d characters", longestLabel)
	}
	return label, nil
}

// Period is a calendar period of months and days, written "4mo", "90d", "1y" or a sum like "1y6mo".
type Period struct{ Months, Days int }

// ParsePeriod reads the written form.
func ParsePeriod(s string) (Period, error) {
	var p Period
	rest := strings.TrimSpace(s)
	if rest == "" {
		return p, fmt.Errorf("a period like 4mo, 90d or 1y is missing")
	}
	for rest != "" {
		i := 0
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			i++
		}
		n, err := strconv.Atoi(rest[:i])
		j := i
		for j < len(rest) && (rest[j] < '0' || rest[j] > '9') {
			j++
		}
		if err != nil || n > 10000 {
			return Period{}, fmt.Errorf("%q is not a period: write it like 4mo, 90d or 1y", s)
		}
		switch rest[i:j] {
		case "d":
			p.Days += n
		case "w":
			p.Days += 7 * n
		case "mo":
			p.Months += n
		case "y":
			p.Months += 12 * n
		default:
			return Period{}, fmt.Errorf("%q is not a period: its unit must be d, w, mo or y", s)
		}
		rest = rest[j:]
	}
	return p, nil
}

// After is t moved ahead by p.
func (p Period) After(t time.Time) time.Time { return t.AddDate(0, p.Months, p.Days) }

// Before is t moved back by p.
func (p Period) Before(t time.Time) time.Time { return t.AddDate(0, -p.Months, -p.Days) }

// ownColors are for calendars that have none.
var ownColors = []string{"#0078d4", "#d83b01", "#107c10", "#8764b8", "#c19c00", "#038387"}

// Lacks is the end of the window where Graph could not list what begins after it, so that the calendar may lack that; zero
// where it lacks nothing.
func (c Calendar) Lacks() time.Time {
	if c.Incomplete() {
		return c.Window.End
	}
	return time.Time{}
}

// Incomplete reports whether it may lack something.
func (c Calendar) Incomplete() bool {
	return c.Pending == PendingSweepFirst || c.Pending == PendingBeyond
}

// ShownColor is the colour ("#rrggbb") that a calendar has wherever it is shown: Outlook's or, where that is left to the
// program ("auto"), one that it keeps and that tells it from its neighbours. The first of these is the default calendar's.
func (c Calendar) ShownColor() string {
	switch {
	case c.Color != "":
		return c.Color
	case c.Default:
		return ownColors[0]
	}
	return ownColors[1+max(int64(c.ID), 0)%int64(len(ownColors)-1)]
}
