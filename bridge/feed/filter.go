package feed

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge/convert"
	"outbridge/caldav/ics"
)

// filter is what a feed leaves out of the objects that it is made of. The zero filter leaves out nothing. A kind of
// events is asked of each VEVENT by itself, the master and every override.
type filter struct {
	Alarms    bool // VALARMs
	Cancelled bool // STATUS:CANCELLED, which Google and Home Assistant show like any other event
	Private   bool // CLASS other than PUBLIC
	Free      bool // TRANSP:TRANSPARENT
	// Declined is what the mailbox's owner, by the address Owner, has declined (PARTSTAT).
	Declined bool
	Owner    string
	// Only keeps events with one of these categories; empty: all. Not leaves out those with any of these. Upper and
	// lower case are the same.
	Only, Not []string
	// Window is the time in which an event, or one occurrence of a series, has to be; a zero Start or End is any time.
	Window ics.Span
}

// apply is an object, as [ics.Encode] wrote it, without what the filter leaves out; nil where nothing of it is left. An
// override that is left out of a series becomes an EXDATE; overrides that are left without their series become
// events of their own, since clients make nothing good of an override alone.
func (f filter) apply(object []byte) ([]byte, error) {
	if f.concerns(object) {
		cal, err := ics.Decode(object)
		if err != nil {
			return nil, fmt.Errorf("a stored object: %w", err)
		}
		changed, left := f.events(cal)
		if !left || !f.inWindow(cal) {
			return nil, nil
		}
		if changed {
			var b bytes.Buffer
			if err := ics.Encode(&b, cal); err != nil {
				return nil, err
			}
			object = b.Bytes()
		}
	}
	if f.Alarms {
		object = ics.Without(object, ical.CompAlarm)
	}
	return withoutFiles(object), nil
}

// withoutFiles is an object without the links to files that take an app password, which nobody who reads a feed has.
func withoutFiles(object []byte) []byte {
	if !bytes.Contains(object, []byte("\nATTACH")) {
		return object
	}
	var out []byte
	for rest := object; ; {
		l, more, ok := ics.Cut(rest)
		if !ok {
			return append(out, rest...)
		}
		if string(l.Name()) != ical.PropAttach || !bytes.Contains(l.Text(), []byte("MANAGED-ID=")) {
			out = append(out, l...)
		}
		rest = more
	}
}

// concerns is whether the filter may leave out anything but alarms, so that most objects need not be parsed.
func (f filter) concerns(object []byte) bool {
	if len(f.Only) > 0 || f.Window != (ics.Span{}) {
		return true
	}
	for l := range ics.Lines(object) {
		switch string(l.Name()) {
		case ical.PropStatus:
			if f.Cancelled && is(l, "CANCELLED") {
				return true
			}
		case ical.PropTransparency:
			if f.Free && is(l, "TRANSPARENT") {
				return true
			}
		case ical.PropClass:
			if f.Private && !is(l, "PUBLIC") {
				return true
			}
		case ical.PropAttendee:
			if f.Declined {
				return true
			}
		case ical.PropCategories:
			if len(f.Not) > 0 {
				return true
			}
		}
	}
	return false
}

func is(l ics.Line, value string) bool { return strings.EqualFold(string(l.Value()), value) }

// private is whether an object has anything that is not public.
func private(object []byte) bool { return filter{Private: true}.concerns(object) }

// events takes VEVENTs out of cal, and tells whether it did and whether any is left.
func (f filter) events(cal *ical.Calendar) (changed, left bool) {
	var master *ical.Component
	var out []*ical.Prop // RECURRENCE-IDs of overrides that are left out
	recurs := false
	cal.Children = slices.DeleteFunc(cal.Children, func(c *ical.Component) bool {
		if c.Name != ical.CompEvent {
			return false
		}
		id := c.Props.Get(ical.PropRecurrenceID)
		recurs = recurs || id != nil
		if f.hides(c) {
			if id != nil {
				out = append(out, id)
			}
			changed = true
			return true
		}
		left = true
		if id == nil {
			master = c
		}
		return false
	})
	switch {
	case !changed || !left:
	case master == nil && recurs:
		for _, c := range cal.Children {
			if c.Name == ical.CompEvent {
				detach(c)
			}
		}
	case master != nil:
		for _, id := range out {
			exdate := *id
			exdate.Name = ical.PropExceptionDates
			master.Props.Add(&exdate)
		}
		// A series without end has instances left; what cannot be expanded may have some.
		if _, last := reader().Bounds(cal); !last.IsZero() && !happens(cal, ics.Span{}) {
			left = false
		}
	}
	return changed, left
}

func (f filter) hides(c *ical.Component) bool {
	is := func(name, value string) bool {
		p := c.Props.Get(name)
		return p != nil && strings.EqualFold(p.Value, value)
	}
	if f.Cancelled && is(ical.PropStatus, "CANCELLED") || f.Free && is(ical.PropTransparency, "TRANSPARENT") ||
		f.Private && c.Props.Get(ical.PropClass) != nil && !is(ical.PropClass, "PUBLIC") {
		return true
	}
	if f.Declined && f.Owner != "" {
		owner := convert.CalAddress(f.Owner)
		for _, a := range c.Props.Values(ical.PropAttendee) {
			if strings.EqualFold(a.Value, owner) && a.Params.Get(ical.ParamParticipationStatus) == "DECLINED" {
				return true
			}
		}
	}
	return len(f.Only) > 0 && !inCategory(c, f.Only) || inCategory(c, f.Not)
}

func inCategory(c *ical.Component, names []string) bool {
	if len(names) == 0 {
		return false
	}
	for _, p := range c.Props.Values(ical.PropCategories) {
		list, err := p.TextList()
		if err != nil {
			continue
		}
		for _, have := range list {
			if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(strings.TrimSpace(n), have) }) {
				return true
			}
		}
	}
	return false
}

// detach makes an override an event of its own, with a UID as an occurrence without its series has.
func detach(c *ical.Component) {
	uid, id := c.Props.Get(ical.PropUID), c.Props.Get(ical.PropRecurrenceID)
	if uid == nil || id == nil {
		return
	}
	own := *uid
	own.Value += "-" + id.Value[:min(len(id.Value), len(ics.DateForm))]
	c.Props.Set(&own)
	c.Props.Del(ical.PropRecurrenceID)
}

// reader reads the times of one object.
func reader() *ics.Reader { return &ics.Reader{Resolve: convert.Zone} }

// happens is whether any instance of cal is in a span, or cannot be found out.
func happens(cal *ical.Calendar, s ics.Span) bool {
	found := false
	err := reader().Instances(cal, s, func(ics.Instance) bool {
		found = true
		return false
	})
	return found || err != nil
}

// inWindow is whether any instance of cal is in the window, or cannot be found out.
func (f filter) inWindow(cal *ical.Calendar) bool {
	w := f.Window
	if w.Start.IsZero() && w.End.IsZero() {
		return true
	}
	first, last := reader().Bounds(cal)
	if first.IsZero() || !w.Start.IsZero() && !last.IsZero() && !last.After(w.Start) || !w.End.IsZero() && !first.Before(w.End) {
		return first.IsZero()
	}
	return w.End.IsZero() && last.IsZero() || happens(cal, w)
}

// notBefore is an object whose DTSTAMPs and LAST-MODIFIEDs are t at least. Subscribers (Google, ICSx5) take an event
// again only where these rise, so it is for objects that are shown otherwise since t; a zero t is never.
func notBefore(object []byte, t time.Time) []byte {
	if t.IsZero() {
		return object
	}
	out := bytes.Clone(object)
	stamp := t.UTC().AppendFormat(nil, ics.UTCForm)
	setStamp(out, t, func(value []byte) bool { return bytes.Compare(value, stamp) < 0 })
	return out
}
