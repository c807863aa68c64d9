package graphsim

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// An Event is the editable form of an event or of the master of a series. Times are wall-clock times in Zone;
// the location of the time.Time itself is ignored.
type Event struct {
	Subject  string
	Body     string // HTML, with or without <html>; "": an empty body
	Location string // display name; several are joined by "; "
	// Coordinates are those of a location that is one.
	Coordinates graph.Coordinates
	Start       time.Time
	End         time.Time // not before Start; of an all-day event the midnight after the last day (zero: one day)
	Zone        string    // Windows or IANA name, or an odd name seen in mailboxes; "": the mailbox's zone
	EndZone     string    // originalEndTimeZone; "": Zone

	// RealZone is the zone that an odd Zone stands for, such as "tzone://Microsoft/Custom"; "": the mailbox's.
	RealZone string

	AllDay     bool
	Recurrence *graph.Recurrence // nil: a single event. Properties left empty are filled in from Start.

	Attendees     []graph.Attendee
	Organizer     graph.EmailAddress // zero: the owner of the mailbox
	Response      string             // the owner's answer; "": organizer, none (an appointment) or notResponded
	ResponseTime  time.Time          // zero: 0001-01-01T00:00:00Z, as it is most often
	HideAttendees bool
	NoResponse    bool // responseRequested is false
	NoProposals   bool // allowNewTimeProposals is false

	ShowAs          string // "": busy, or free for an all-day event
	Sensitivity     string // "": normal
	Importance      string // "": normal
	Categories      []string
	ReminderMinutes *int // nil: no reminder
	Cancelled       bool
	Draft           bool
	HasAttachments  bool
	JoinURL         string // an online meeting
	Provider        string // of the online meeting; "": teamsForBusiness
	ICalUID         string // of an invitation that came from elsewhere; "": a global object id
	TransactionID   string

	// Properties are the singleValueExtendedProperties, by their ids ("String {…} Name …").
	Properties map[string]string

	// Extra holds properties that are set verbatim over the generated JSON: odd values, nil for null.
	// Occurrences and new exceptions take over those of their master, except those that say what it is
	// (id, type, iCalUId, start, end, recurrence …).
	Extra map[string]any
}

// ownExtras are the properties of Event.Extra that belong to one event only.
var ownExtras = []string{"id", "type", "seriesMasterId", "occurrenceId", "originalStart", "iCalUId", "uid",
	"start", "end", "recurrence", "cancelledOccurrences", "exceptionOccurrences", "@odata.etag", "changeKey"}

// clone copies the event so that the copy can be edited.
func (e Event) clone() Event {
	e.Attendees = slices.Clone(e.Attendees)
	e.Categories = slices.Clone(e.Categories)
	e.Extra = maps.Clone(e.Extra)
	e.Properties = maps.Clone(e.Properties)
	if e.Recurrence != nil {
		r := *e.Recurrence
		r.Pattern.DaysOfWeek = slices.Clone(r.Pattern.DaysOfWeek)
		e.Recurrence = &r
	}
	if e.ReminderMinutes != nil {
		minutes := *e.ReminderMinutes
		e.ReminderMinutes = &minutes
	}
	return e
}

// normalize gives the event whole days, an end, and a full recurrence.
func (e *Event) normalize() {
	e.Start, e.End = wall(e.Start, e.Start.Location()), wall(e.End, e.End.Location())
	if e.AllDay {
		e.Start, e.End = date(e.Start), date(e.End)
		if !e.End.After(e.Start) {
			e.End = e.Start.AddDate(0, 0, 1)
		}
	}
	if e.End.Before(e.Start) {
		e.End = e.Start
	}
	if r := e.Recurrence; r != nil {
		r.Range.StartDate = cmp.Or(r.Range.StartDate, e.Start.Format(time.DateOnly))
		r.Range.Type = cmp.Or(r.Range.Type, "noEnd")
		r.Pattern.Interval = max(r.Pattern.Interval, 1)
		switch r.Pattern.Type {
		case "absoluteMonthly":
			r.Pattern.DayOfMonth = cmp.Or(r.Pattern.DayOfMonth, e.Start.Day())
		case "absoluteYearly":
			r.Pattern.DayOfMonth = cmp.Or(r.Pattern.DayOfMonth, e.Start.Day())
			r.Pattern.Month = cmp.Or(r.Pattern.Month, int(e.Start.Month()))
		case "relativeYearly":
			r.Pattern.Month = cmp.Or(r.Pattern.Month, int(e.Start.Month()))
		}
		if len(r.Pattern.DaysOfWeek) == 0 && (r.Pattern.Type == "weekly" || strings.HasPrefix(r.Pattern.Type, "relative")) {
			r.Pattern.DaysOfWeek = []string{strings.ToLower(e.Start.Weekday().String())}
		}
	}
}

// An item is a single event or a series with its exceptions and cancellations. The Server's lock guards it. The
// Event values in it are replaced when they are edited, never changed, so that a view may keep one.
type item struct {
	ref        // of the single event or master
	ev         Event
	loc        *time.Location
	series     *expansion // nil: a single event
	exceptions map[time.Time]Event
	cancelled  map[time.Time]bool
	created    time.Time
	modified   time.Time
	version    uint64                     // of the last change
	quiet      uint64                     // changes of the change key that no delta tells of
	own        map[time.Time]stamp        // of exceptions
	files      map[time.Time][]attachment // of the event, and of its exceptions by their days
	sent       bool                       // invitations to it have been mailed
	theirs     *Event                     // what the organizer last sent; nil: it was not an invitation
}

// A stamp says when an exception was last changed.
type stamp struct {
	version  uint64
	modified time.Time
}

// key is what the change key is of.
func (x *item) key() uint64 { return x.version + x.quiet<<40 }

// A view is what Graph shows of one event at one moment. It stays as it is when the event is edited.
type view struct {
	ref
	kind       string // singleInstance, occurrence, exception or seriesMaster
	master     ref    // of an occurrence or exception
	day        time.Time
	ev         Event // Start and End are those of this very occurrence
	start, end time.Time
	created    time.Time
	modified   time.Time
	version    uint64
}

// set takes over an edited event. A series that is rescheduled loses its exceptions and cancellations, and its
// occurrences get other ids. A recurrence without any occurrence is refused, as Exchange does.
func (x *item) set(e Event) error {
	e.normalize()
	old := x.ev
	if e.Recurrence != nil && old.Recurrence != nil {
		before, after := old.Start.Format(time.DateOnly), e.Start.Format(time.DateOnly)
		switch from := e.Recurrence.Range.StartDate; {
		case before != after && from == old.Recurrence.Range.StartDate:
			e.Recurrence.Range.StartDate = after
		case before == after && from != old.Recurrence.Range.StartDate:
			if d, err := time.Parse(time.DateOnly, from); err == nil {
				e.moveTo(d)
			}
		}
	}
	if reflect.DeepEqual(old.times(), e.times()) {
		x.ev = e
		x.flow(old)
		return nil
	}
	return x.reset(e)
}

// reset takes over an event with its times.
func (x *item) reset(e Event) error {
	var series *expansion
	if e.Recurrence != nil {
		series = newExpansion(newRule(*e.Recurrence, e.Start, x.cal.mailbox.server.Skip29))
		first, ok := series.first()
		if !ok {
			return ErrNoOccurrence
		}
		e.moveTo(first)
	}
	x.ev, x.loc, x.series = e, x.cal.mailbox.zoneOf(e), series
	x.exceptions, x.cancelled, x.own = map[time.Time]Event{}, map[time.Time]bool{}, map[time.Time]stamp{}
	x.files = map[time.Time][]attachment{{}: x.files[time.Time{}]}
	x.gen++
	return nil
}

// flow gives exceptions what has changed of the master, but for what they have otherwise themselves.
func (x *item) flow(old Event) {
	was, is := reflect.ValueOf(old), reflect.ValueOf(x.ev)
	for day, e := range x.exceptions {
		e, changed := e.clone(), false
		v := reflect.ValueOf(&e).Elem()
		for i := range v.NumField() {
			switch name := v.Type().Field(i).Name; {
			case name == "Start", name == "End", name == "Zone", name == "EndZone", name == "RealZone", name == "AllDay", name == "Recurrence", name == "Extra":
			case reflect.DeepEqual(was.Field(i).Interface(), is.Field(i).Interface()):
			case reflect.DeepEqual(v.Field(i).Interface(), was.Field(i).Interface()):
				v.Field(i).Set(is.Field(i))
				changed = true
			}
		}
		if changed {
			x.exceptions[day] = e.clone()
			delete(x.own, day)
		}
	}
}

// moveTo puts the event on another day.
func (e *Event) moveTo(day time.Time) {
	length := e.End.Sub(e.Start)
	e.Start = onDate(day, e.Start)
	e.End = e.Start.Add(length)
}

// times is what decides when the event takes place.
func (e Event) times() Event {
	return Event{Start: e.Start, End: e.End, Zone: e.Zone, RealZone: e.RealZone, AllDay: e.AllDay, Recurrence: e.Recurrence}
}

// self is the view of the single event or master.
func (x *item) self() view {
	v := view{ref: x.ref, kind: graph.SingleInstance, ev: x.ev, created: x.created, modified: x.modified, version: x.key()}
	if x.series != nil {
		v.kind = graph.SeriesMaster
	}
	v.start, v.end = instant(x.ev.Start, x.loc), instant(x.ev.End, x.loc)
	return v
}

// occurrence is the view of the occurrence whose original date is day. It reports false where there is none,
// or where it was cancelled.
func (x *item) occurrence(day time.Time) (view, bool) {
	if x.series == nil || x.cancelled[day] || !x.series.has(day) {
		return view{}, false
	}
	return x.instance(day), true
}

func (x *item) instance(day time.Time) view {
	v := view{kind: graph.Occurrence, master: x.ref, day: day, created: x.created, modified: x.modified, version: x.key()}
	start := onDate(day, x.ev.Start)
	v.ref = x.ref
	v.orig = instant(start, x.loc)
	loc := x.loc
	if e, ok := x.exceptions[day]; ok {
		v.kind, v.ev = graph.Exception, e
		if own, ok := x.own[day]; ok {
			v.version, v.modified = own.version, own.modified
		}
		loc = x.cal.mailbox.zoneOf(e)
	} else {
		v.ev = x.ev
		v.ev.Start, v.ev.End = start, start.Add(x.ev.End.Sub(x.ev.Start))
		v.ev.Recurrence = nil
	}
	v.start, v.end = instant(v.ev.Start, loc), instant(v.ev.End, loc)
	if v.kind == graph.Occurrence && !wall(v.start, loc).Equal(v.ev.Start) {
		// It begins in the hour that is skipped: later, but as long as ever.
		v.end = v.start.Add(x.ev.End.Sub(x.ev.Start))
	}
	if x.cal.mailbox.server.ExactDuration && v.kind == graph.Occurrence && !v.ev.AllDay {
		v.end = v.start.Add(instant(x.ev.End, loc).Sub(instant(x.ev.Start, loc)))
		v.ev.End = wall(v.end, loc)
	}
	return v
}

// occurrences are the surviving occurrences and exceptions that touch the window, by start.
func (x *item) occurrences(w window) []view {
	if x.series == nil {
		return nil
	}
	var all []view
	length := x.ev.End.Sub(x.ev.Start) + 48*time.Hour
	dates := x.series.upTo(date(w.to).AddDate(0, 0, 2))
	first, _ := slices.BinarySearchFunc(dates, w.from.Add(-length), time.Time.Compare)
	for _, day := range dates[first:] {
		if _, changed := x.exceptions[day]; changed || x.cancelled[day] {
			continue
		}
		if v := x.instance(day); w.touches(v.start, v.end) {
			all = append(all, v)
		}
	}
	for day := range x.exceptions {
		if v := x.instance(day); w.touches(v.start, v.end) {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b view) int { return cmp.Or(a.start.Compare(b.start), a.day.Compare(b.day)) })
	return all
}

// exceptionViews are all exceptions of the series, by original date.
func (x *item) exceptionViews() []view {
	var all []view
	for _, day := range slices.SortedFunc(maps.Keys(x.exceptions), time.Time.Compare) {
		all = append(all, x.instance(day))
	}
	return all
}

// exceptionDraft is the event that an exception for day starts from.
func (x *item) exceptionDraft(day time.Time) Event {
	e := x.instance(day).ev.clone()
	if _, changed := x.exceptions[day]; !changed {
		for _, name := range ownExtras {
			delete(e.Extra, name)
		}
	}
	return e
}

// crosses tells whether an occurrence, moved to e, would reach or pass one of its neighbours: Exchange answers
// ErrorOccurrenceCrossingBoundary then. deleted: those that were deleted count too.
func (x *item) crosses(day time.Time, e Event, deleted bool) bool {
	before, after := x.neighbours(day, deleted)
	return before != nil && (!date(e.Start).After(date(before.Start)) || e.Start.Before(before.End)) ||
		after != nil && (!date(e.Start).Before(date(after.Start)) || e.End.After(after.Start))
}

// neighbours are the occurrences before and after the one of day, deleted ones too or not; nil: none.
func (x *item) neighbours(day time.Time, deleted bool) (before, after *Event) {
	for _, d := range slices.Backward(x.series.upTo(day.AddDate(0, 0, -1))) {
		if deleted || !x.cancelled[d] {
			e := x.instance(d).ev
			before = &e
			break
		}
	}
	for years := 1; years <= 128; years *= 2 {
		dates := x.series.upTo(day.AddDate(years, 0, 0))
		for _, d := range dates {
			if d.After(day) && (deleted || !x.cancelled[d]) {
				e := x.instance(d).ev
				return before, &e
			}
		}
		if x.series.done() {
			break
		}
	}
	return before, nil
}

// A window is a span of time, from inclusive, to exclusive.
type window struct{ from, to time.Time }

// touches follows the calendar view of Exchange: what ends before the window or starts at or after its end is
// outside. What ends exactly at its start is inside.
func (w window) touches(start, end time.Time) bool {
	return !end.Before(w.from) && start.Before(w.to)
}
