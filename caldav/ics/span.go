package ics

import (
	"bytes"
	"errors"
	"strings"
	"time"
)

// Span is the time from Start to before End; a zero bound is open.
type Span struct{ Start, End time.Time }

// Overlaps is the table of RFC 4791 §9.9 for VEVENT. An event without length, which the table has for DTSTART alone and
// for a zero DURATION, is also one whose DTEND is its DTSTART: Outlook makes such, RFC 5545 does not.
func (s Span) Overlaps(from, to time.Time) bool {
	if !s.End.IsZero() && !s.End.After(from) {
		return false
	}
	if s.Start.IsZero() {
		return true
	}
	if !to.After(from) {
		return !s.Start.After(from)
	}
	return s.Start.Before(to)
}

// Slack is how far apart two readings of one date or floating time can be: from UTC-12 to UTC+14.
const Slack = 26 * time.Hour

// Wide is the span that holds however dates and floating times are read.
func (s Span) Wide() Span {
	if !s.Start.IsZero() {
		s.Start = s.Start.Add(-Slack)
	}
	if !s.End.IsZero() {
		s.End = s.End.Add(Slack)
	}
	return s
}

// Spans calls yield with the time of each instance of an object that overlaps s, as Instances does, until it returns
// false. The object is that of one UID. No more of it is read than says when its events are: a description of many
// kilobytes, a VTIMEZONE or an alarm takes much longer to parse.
func (r *Reader) Spans(data []byte, s Span, yield func(from, to time.Time) bool) error {
	begun := false
	each := func(i Instance) bool {
		begun = true
		return yield(i.Start, i.End)
	}
	cal, err := Decode(schedule(data, false))
	if err == nil {
		err = r.Instances(cal, s, each)
	}
	if errors.Is(err, ErrUnknownZone) && !begun { // unless it is in the VTIMEZONE that was left out
		if cal, err = Decode(data); err == nil {
			err = r.Instances(cal, s, each)
		}
	}
	return err
}

// schedule leaves of an object what says when its events are, and which of them count. Revisions say that where there are
// two overrides; it is called without them at first.
func schedule(data []byte, revisions bool) []byte {
	out := make([]byte, 0, 512)
	skipped := 0 // depth of components that are left out
	overrides := 0
	for l := range Lines(data) {
		if strings.IndexByte("BDERSbders", l[0]) < 0 { // the first letters of all that matters here
			continue
		}
		kept := false
		switch string(l.Name()) {
		case "BEGIN":
			component := strings.ToUpper(strings.TrimSpace(string(l.Value())))
			if kept = skipped == 0 && (component == "VCALENDAR" || component == "VEVENT"); !kept {
				skipped++
			}
		case "END":
			if kept = skipped == 0; !kept {
				skipped--
			}
		case "RECURRENCE-ID":
			overrides++
			fallthrough
		case "DTSTART", "DTEND", "RDATE", "EXDATE":
			if kept = skipped == 0; kept && hasFixedName(l) {
				return data // and with it the VTIMEZONE that has the name
			}
		case "DURATION", "RRULE", "EXRULE":
			kept = skipped == 0
		case "DTSTAMP", "SEQUENCE":
			kept = revisions && skipped == 0
		}
		if kept {
			out = append(out, l...)
		}
	}
	if overrides > 1 && !revisions {
		return schedule(data, true)
	}
	return out
}

// hasFixedName reports whether a line may be in a zone of a name of fixedNames.
func hasFixedName(l Line) bool {
	text := l.Text()
	for i := 1; ; i++ {
		n := bytes.IndexByte(text[i:], '=')
		if n < 0 {
			return false
		}
		i += n
		if v := bytes.TrimLeft(text[i+1:], "\" "); len(v) >= 3 && fixedNames[string(v[:3])] {
			return true
		}
	}
}
