package convert

import (
	"bytes"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/caldav/ics"
)

// ZoneCalendar is a VCALENDAR with the VTIMEZONE of a zone, by its IANA name, as it is in these years, for
// CALDAV:calendar-timezone (RFC 4791 §5.2.2). It is nil for a name that is not known.
func ZoneCalendar(iana string) []byte {
	z, ok := findZone(iana)
	if !ok || z.loc == nil {
		return nil
	}
	cal := newCalendar()
	cal.Children = []*ical.Component{vtimezone(z, date(2024, 1, 1), date(2034, 1, 1))}
	var b bytes.Buffer
	if err := ics.Encode(&b, cal); err != nil {
		return nil
	}
	return b.Bytes()
}

// Timezone is the VTIMEZONE of a zone, by its IANA name, that is right from first to last (zero: without end); nil for UTC and
// for a name that is not known.
func Timezone(iana string, first, last time.Time) *ical.Component {
	z, ok := findZone(iana)
	if !ok || z.utc() || z.tzid != iana {
		return nil
	}
	return vtimezone(z, first, last)
}
