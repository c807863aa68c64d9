package web

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/emersion/go-ical"

	"outbridge/bridge"
	"outbridge/bridge/convert"
)

// timeProps are the properties that place an event in time, and no more.
var timeProps = []string{
	ical.PropDateTimeStart, ical.PropDateTimeEnd, ical.PropDuration, ical.PropRecurrenceRule, ical.PropRecurrenceDates,
	ical.PropExceptionDates, ical.PropRecurrenceID, ical.PropDateTimeStamp, ical.PropLastModified, ical.PropSequence,
	ical.PropTransparency, ical.PropStatus,
}

// reduce makes an object tell only what the feed's detail allows. It copies what is allowed rather than deleting what
// is not, so a property that is new to the converter never leaks. The UID is replaced by a keyed hash, since that of
// a meeting is the same in every attendee's mailbox.
func reduce(data []byte, feed bridge.Feed) ([]byte, error) {
	cal, err := convert.Decode(data)
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
			out.Children = append(out.Children, c)
		case ical.CompEvent:
			e := ical.NewComponent(ical.CompEvent)
			copyProps(e, c, timeProps...)
			e.Props.SetText(ical.PropUID, hidden(c, feed.Salt))
			summary := "Busy"
			if feed.Detail == bridge.DetailLimited {
				if class := c.Props.Get(ical.PropClass); class != nil && class.Value != "PUBLIC" {
					summary = "Private"
				} else {
					copyProps(e, c, ical.PropLocation)
					summary = ""
				}
			}
			if summary != "" {
				e.Props.SetText(ical.PropSummary, summary)
			} else {
				copyProps(e, c, ical.PropSummary)
			}
			out.Children = append(out.Children, e)
		}
	}
	var b bytes.Buffer
	err = convert.Encode(&b, out)
	return b.Bytes(), err
}

func copyProps(to, from *ical.Component, names ...string) {
	for _, name := range names {
		if props := from.Props.Values(name); len(props) > 0 {
			to.Props[name] = props
		}
	}
}

func hidden(c *ical.Component, salt []byte) string {
	m := hmac.New(sha256.New, salt)
	if p := c.Props.Get(ical.PropUID); p != nil {
		m.Write([]byte(p.Value))
	}
	return hex.EncodeToString(m.Sum(nil))[:40]
}
