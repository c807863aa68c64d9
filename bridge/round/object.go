package round

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// draft is an object that is made and not yet compared with those of the calendar.
type draft struct {
	bridge.Derived
	have    bridge.Object // the series' object as it is
	exists  bool
	removed []bridge.Object // that it had
	unread  bool            // Graph does not show the series by its id
	failed  bool            // it stays as it is
	object  *bridge.Object
	left    *bridge.Object // the tombstone of the name that it had
	name    bridge.Name    // what a client has called it; Object "": no client has made it

	from    *convert.Series // what it is made of; nil: nothing is left of the series
	content *ical.Calendar  // that came of it
	lost    []convert.Loss
	err     error
}

// draft converts one series.
func (d *Deriver) draft(m bridge.Mark, rows []bridge.Row, shown bridge.Shown, k keptOf) (one draft, err error) {
	one.Series, one.name, one.removed, one.unread = m.Series, k.name, shown.Removed, m.Unread
	if shown.Object != nil {
		one.have, one.exists = *shown.Object, true
	}
	s, ok, err := d.series(rows, m)
	if err != nil || !ok {
		return one, err
	}
	k.into(&s)
	one.Unattached = d.attach(&s, k.attached)
	if one.exists {
		s.Sequence, s.Modified = one.have.Sequence+1, one.have.Stamp.Add(time.Second)
	}
	one.convert(s)
	return one, nil
}

func (one *draft) convert(s convert.Series) {
	one.from = &s
	one.content, one.lost, one.err = toICS(s)
}

// uids are those under which earlier objects of the series may be known: SEQUENCE never falls for one, wherever it was seen before.
func (one *draft) uids() []string {
	if one.from == nil || one.err != nil {
		return nil
	}
	uid := uidOf(one.content, *one.from)
	return []string{uid, ownUID(uid, one.Series)}
}

// follow makes the draft later than an earlier object.
func (one *draft) follow(before bridge.Past) {
	s := *one.from
	if before.Sequence < s.Sequence {
		return
	}
	s.Sequence = before.Sequence + 1
	if after := before.Stamp.Add(time.Second); after.After(s.Modified) {
		s.Modified = after
	}
	one.convert(s)
}

// finish makes the object of a draft.
func (d *Deriver) finish(one *draft) {
	if one.from != nil {
		if err := one.render(d.cal, d.keepPast); err != nil {
			// Kept as it was: a series that cannot be converted must not vanish from anybody's calendar.
			d.log.Error("a series cannot be converted; its last good object is served", "series", one.Series, "err", err)
			one.failed = true
			one.Losses = append(one.Losses, convert.Loss{Event: one.Series, Field: "event", Reason: unconverted(err)})
		}
	}
	if one.unread {
		one.Losses = append(one.Losses, convert.Loss{Event: one.Series, Field: "event",
			Reason: "Outlook lists it and does not show it by itself; what its list does not tell is missing."})
	}
}

// render makes the object of what was converted; none where clients are to see none. keepPast: also where it lies before the window.
func (one *draft) render(c bridge.Calendar, keepPast bool) error {
	s, cal, err := *one.from, one.content, one.err
	one.Losses = one.lost
	switch {
	case errors.Is(err, convert.ErrNoInstances):
		return nil
	case errors.Is(err, convert.ErrNoTime):
		one.Losses = append(one.Losses, convert.Loss{Event: s.Event.ID, Field: "start",
			Reason: fmt.Sprintf("%q has no place in time: %s.", s.Event.Subject, err)})
		return nil
	case err != nil:
		return err
	}
	reader := &ics.Reader{Resolve: convert.Zone}
	first, last := reader.Bounds(cal)
	if !keepPast && isPast(last, c.Window) && !(one.exists && isPast(one.have.Last, c.Window)) {
		one.Losses = nil
		return nil
	}
	series := s.Event.ID
	one.object = &bridge.Object{
		Calendar: c.ID, Series: series, Name: shortHash(string(c.GraphID)+"\x00"+string(series), 32) + ".ics", UID: uidOf(cal, s),
		Sequence: s.Sequence, Stamp: stampOf(cal), First: first, Last: last,
		Timetable: string(reader.Timetable(cal, first, last, timetableWindow(c.Window))),
	}
	return one.encode()
}

func uidOf(cal *ical.Calendar, s convert.Series) string {
	if p := firstEvent(cal).Props.Get(ical.PropUID); p != nil {
		return p.Value
	}
	return convert.UID(s.Event)
}

// ownUID is the UID of a series where another one of the calendar has its own already.
func ownUID(uid string, series graph.EventID) string { return uid + "-" + shortHash(string(series), 8) }

// encode sets what follows from the content.
func (one *draft) encode() error {
	var b bytes.Buffer
	if err := ics.Encode(&b, one.content); err != nil {
		return err
	}
	o := one.object
	o.Data, o.Size, o.ETag = b.Bytes(), b.Len(), shortHash(b.String(), 32)
	return nil
}

// rename gives the object another UID.
func (one *draft) rename(uid string) error {
	if uid == one.object.UID {
		return nil
	}
	one.object.UID = uid
	for _, c := range one.content.Children {
		if c.Name == ical.CompEvent {
			c.Props.SetText(ical.PropUID, uid)
		}
	}
	return one.encode()
}

// call gives the object the name and the UID that a client chose for it. What has been published under another name before leaves
// that.
func (one *draft) call(isTaken func(uid string) (bool, error)) error {
	o := one.object
	o.Name = one.name.Object
	if one.exists && one.have.Name == o.Name {
		return one.rename(one.have.UID)
	}
	if one.exists {
		left := one.have
		left.Deleted, left.Data = true, nil
		one.left = &left
	}
	if one.name.UID == "" {
		one.name.UID = o.UID
	}
	uidTaken, err := isTaken(one.name.UID)
	if err != nil {
		return err
	}
	if uidTaken {
		return one.rename(ownUID(one.name.UID, one.Series))
	}
	return one.rename(one.name.UID)
}

// outcome is what is to become of the series' object.
func (one *draft) outcome() bridge.Derived {
	switch {
	case one.failed:
	case one.object == nil && one.exists:
		gone := one.have
		gone.Deleted, gone.Data, gone.Title = true, nil, titleOf(one.have.Data)
		gone.Sequence++ // what is shown with its UID next is later
		gone.Stamp = gone.Stamp.Add(time.Second)
		one.Object = &gone
	case one.object != nil && (one.left != nil || !one.exists || !sameButStamps(one.have.Data, one.object.Data)):
		one.object.Title = titleOf(one.object.Data)
		one.Object, one.Left = one.object, one.left
	case one.object != nil && one.object.Timetable != one.have.Timetable:
		retimed := one.have
		retimed.Timetable = one.object.Timetable
		one.Retimed = &retimed
	}
	return one.Derived
}

// toICS converts, and makes an error of a panic: one event must never end the sync of the others.
func toICS(s convert.Series) (cal *ical.Calendar, losses []convert.Loss, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("convert: panic: %v\n%s", p, debug.Stack())
		}
	}()
	return convert.ToICS(s)
}

// maxTitle bounds what is kept of a title, in octets.
const maxTitle = 200

var unescaped = strings.NewReplacer(`\\`, `\`, `\,`, `,`, `\;`, `;`, `\n`, " ", `\N`, " ")

// titleOf is the title of the first event of an object.
func titleOf(data []byte) string {
	for c, err := range ics.Components(data) {
		if err != nil {
			return ""
		}
		if c.Name != ical.CompEvent {
			continue
		}
		for line := range ics.Lines(ics.Without(c.Octets, ical.CompAlarm)) {
			if string(line.Name()) == ical.PropSummary {
				title := unescaped.Replace(string(line.Value()))
				return strings.ToValidUTF8(title[:min(len(title), maxTitle)], "")
			}
		}
		return ""
	}
	return ""
}

func firstEvent(cal *ical.Calendar) *ical.Component {
	for _, c := range cal.Children {
		if c.Name == ical.CompEvent {
			return c
		}
	}
	return ical.NewComponent(ical.CompEvent)
}

// stampOf is the latest DTSTAMP of the object.
func stampOf(cal *ical.Calendar) (t time.Time) {
	for _, c := range cal.Children {
		if p := c.Props.Get(ical.PropDateTimeStamp); p != nil {
			if at, err := p.DateTime(time.UTC); err == nil && at.After(t) {
				t = at
			}
		}
	}
	return t
}

// shortHash is n hex digits of SHA-256.
func shortHash(s string, n int) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:n]
}

// sameButStamps reports whether two renderings differ only in the properties that tell when they were made. Graph
// gives an event a new changeKey and a new lastModifiedDateTime for every touch, a dismissed reminder for example;
// clients are to see a change only where there is one.
func sameButStamps(a, b []byte) bool {
	for {
		var x, y ics.Line
		x, a = nextLine(a)
		y, b = nextLine(b)
		if !bytes.Equal(x, y) {
			return false
		}
		if x == nil {
			return true
		}
	}
}

// nextLine is the next line that is no stamp, nil at the end, and what follows it.
func nextLine(b []byte) (ics.Line, []byte) {
	for {
		line, rest, ok := ics.Cut(b)
		if !ok {
			return nil, nil
		}
		switch string(line.Name()) {
		case ical.PropDateTimeStamp, ical.PropLastModified, ical.PropSequence:
			b = rest
		default:
			return line, rest
		}
	}
}

// unconverted is why a series could not be converted, for a loss.
func unconverted(err error) string {
	switch {
	case errors.Is(err, convert.ErrNoTime):
		return "It could not be converted, because it has no date."
	case errors.Is(err, convert.ErrNoInstances):
		return "It could not be converted, because no occurrence of the series is left."
	}
	return "It could not be converted: " + bridge.Sentence(err)
}
