package feed

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/caldav/ics"
)

// shows is what a feed shows of an object.
type shows struct {
	feed   bridge.Feed
	filter filter // Owner is of the object's calendar
	before stamps
}

func (r Rendering) shows() shows {
	o, detail := r.feed.Options, r.feed.Detail
	return shows{r.feed, filter{
		Alarms:    !o.Alarms || detail != bridge.DetailFull,
		Cancelled: o.Cancelled != bridge.Show,
		Private:   o.Private == bridge.Hide,
		Free:      o.Free == bridge.Hide,
		Declined:  o.Declined == bridge.Hide,
		Only:      o.Categories,
		Not:       o.NotCategories,
		Window:    r.window,
	}, r.stamps}
}

// reduces is whether the feed may show an object reduced.
func (r Rendering) reduces() bool {
	return r.feed.Detail != bridge.DetailFull || r.feed.Options.Private == bridge.Blur
}

// object is the octets of an object as the feed shows it; nil where it does not.
func (s shows) object(o bridge.Object) ([]byte, error) {
	data, err := s.filter.apply(o.Data)
	if err != nil || data == nil {
		return nil, err
	}
	if s.feed.Detail != bridge.DetailFull || s.feed.Options.Private == bridge.Blur && private(data) {
		if data, err = s.reduce(data, latest(o.Modified, s.feed.Changed)); err != nil {
			return nil, err
		}
		return s.before.keep(data)
	}
	return notBefore(data, s.feed.Changed), nil
}

// timeProps place an event in time, and no more.
var timeProps = []string{
	ical.PropDateTimeStart, ical.PropDateTimeEnd, ical.PropDuration, ical.PropRecurrenceRule, ical.PropRecurrenceDates,
	ical.PropExceptionDates, ical.PropRecurrenceID,
}

// reduce makes an object tell only what the feed's detail and its word on private events allow. It copies what is
// allowed rather than deleting what is not, so a property that is new to the converter never leaks. The UID is replaced by a keyed hash,
// since that of a meeting is the same in every attendee's mailbox. DTSTAMP and LAST-MODIFIED are when the bridge published
// the object or the feed was changed, and stay what they are while what is shown does (stamps): when somebody has edited
// it in Outlook, and how often, is not told.
func (s shows) reduce(data []byte, stamp time.Time) ([]byte, error) {
	cal, err := ics.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("stored object: %w", err)
	}
	out := ical.NewCalendar()
	for _, name := range []string{ical.PropVersion, ical.PropProductID, ical.PropCalendarScale} {
		copyProps(out.Component, cal.Component, name)
	}
	for _, c := range cal.Children {
		switch c.Name {
		case ical.CompTimezone:
			if id := c.Props.Get(ical.PropTimezoneID); id != nil && known(id.Value) {
				out.Children = append(out.Children, c)
			}
		case ical.CompEvent:
			if class := c.Props.Get(ical.PropClass); s.feed.Detail != bridge.DetailFull || class != nil && class.Value != "PUBLIC" {
				c = s.event(c, stamp)
			}
			// The components of a series have one UID, also where only some of them are blurred.
			uid := hidden(c, s.feed.Salt)
			c.Props.Del(ical.PropUID)
			c.Props.SetText(ical.PropUID, uid)
			out.Children = append(out.Children, c)
		}
	}
	var b bytes.Buffer
	err = ics.Encode(&b, out)
	return b.Bytes(), err
}

// event is a VEVENT that tells the time, and where the detail is limited and it is public, the title and the place.
func (s shows) event(c *ical.Component, stamp time.Time) *ical.Component {
	e := ical.NewComponent(ical.CompEvent)
	copyProps(e, c, ical.PropUID)
	copyProps(e, c, timeProps...)
	for _, name := range []string{ical.PropDateTimeStamp, ical.PropLastModified} {
		e.Props.SetDateTime(name, stamp.UTC())
	}
	copyWord(e, c, ical.PropTransparency, "OPAQUE", "TRANSPARENT")
	copyWord(e, c, ical.PropStatus, "CONFIRMED", "TENTATIVE", "CANCELLED")
	class := c.Props.Get(ical.PropClass)
	switch {
	case s.feed.Detail == bridge.DetailBusy:
		e.Props.SetText(ical.PropSummary, "Busy")
	case class != nil && class.Value != "PUBLIC":
		e.Props.SetText(ical.PropSummary, "Private")
	default:
		copyProps(e, c, ical.PropSummary, ical.PropLocation)
	}
	return e
}

// copyProps copies the values of properties; of their parameters only those that a time is read by, and a TZID only
// where it is a place's name and not some text.
func copyProps(to, from *ical.Component, names ...string) {
	for _, name := range names {
		for _, p := range from.Props.Values(name) {
			q := ical.NewProp(p.Name)
			q.Value = p.Value
			if v := p.Params.Get(ical.ParamValue); v != "" {
				q.Params.Set(ical.ParamValue, v)
			}
			if v := p.Params.Get(ical.ParamTimezoneID); known(v) {
				q.Params.Set(ical.ParamTimezoneID, v)
			}
			to.Props.Add(q)
		}
	}
}

// copyWord copies a property whose value is one of words.
func copyWord(to, from *ical.Component, name string, words ...string) {
	if p := from.Props.Get(name); p != nil && slices.Contains(words, strings.ToUpper(p.Value)) {
		copyProps(to, from, name)
	}
}

func known(tzid string) bool {
	_, _, ok := convert.LoadZone(tzid)
	return ok
}

func hidden(c *ical.Component, salt []byte) string {
	m := hmac.New(sha256.New, salt)
	if p := c.Props.Get(ical.PropUID); p != nil {
		m.Write([]byte(p.Value))
	}
	return hex.EncodeToString(m.Sum(nil))[:40]
}
