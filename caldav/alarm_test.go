package caldav_test

import (
	"fmt"
	"strings"
	"testing"

	"outbridge/caldav"
)

// RFC 4791 §9.9, the table of VALARM: an alarm is in a range if it goes off in it.
func TestAlarmRange(t *testing.T) {
	alarm := func(lines string) string { return "\nBEGIN:VALARM\nACTION:DISPLAY\n" + lines + "\nEND:VALARM" }
	at := "UID:x\nDTSTART;TZID=Europe/Berlin:20260810T100000\nDTEND;TZID=Europe/Berlin:20260810T110000" // 08:00Z to 09:00Z
	weekly := at + "\nRRULE:FREQ=WEEKLY"
	for _, c := range []struct {
		name, event, start, end string
		want                    bool
	}{
		{"before the start", at + alarm("TRIGGER:-PT15M"), "20260810T074500Z", "20260810T074600Z", true},
		{"a second too late", at + alarm("TRIGGER:-PT15M"), "20260810T074501Z", "20260810T080000Z", false},
		{"the end is not in it", at + alarm("TRIGGER:-PT15M"), "20260810T070000Z", "20260810T074500Z", false},
		{"open start", at + alarm("TRIGGER:-PT15M"), "", "20260810T074501Z", true},
		{"open end", at + alarm("TRIGGER:-PT15M"), "20260810T074500Z", "", true},
		{"no alarm", at, "20260101T000000Z", "20270101T000000Z", false},
		{"the event is in it, the alarm is not", at + alarm("TRIGGER:-P1D"), "20260810T080000Z", "20260810T090000Z", false},
		{"from the end", at + alarm("TRIGGER;RELATED=END:PT5M"), "20260810T090500Z", "20260810T090501Z", true},
		{"an instant", at + alarm("TRIGGER;VALUE=DATE-TIME:20260701T000000Z"), "20260701T000000Z", "20260701T000001Z", true},
		{"repeated", at + alarm("TRIGGER:-PT15M\nREPEAT:2\nDURATION:PT5M"), "20260810T075500Z", "20260810T075501Z", true},
		{"repeated no more", at + alarm("TRIGGER:-PT15M\nREPEAT:2\nDURATION:PT5M"), "20260810T080000Z", "20260810T080001Z", false},
		{"of a series", weekly + alarm("TRIGGER:-PT15M"), "20260824T074500Z", "20260824T074501Z", true},
		{"of a series, a day before its change of clocks", weekly + alarm("TRIGGER:-P1D"), "20261025T090000Z", "20261025T090001Z", true},
		{"between the alarms of a series", weekly + alarm("TRIGGER:-PT15M"), "20260824T074501Z", "20260831T074500Z", false},
		{"of an override", weekly + alarm("TRIGGER:-PT15M") + nextEvent + "UID:x\nRECURRENCE-ID;TZID=Europe/Berlin:20260824T100000\nDTSTART;TZID=Europe/Berlin:20260825T100000\nDURATION:PT1H" + alarm("TRIGGER:-PT1H"),
			"20260825T070000Z", "20260825T070001Z", true},
		{"where the override was", weekly + alarm("TRIGGER:-PT15M") + nextEvent + "UID:x\nRECURRENCE-ID;TZID=Europe/Berlin:20260824T100000\nDTSTART;TZID=Europe/Berlin:20260825T100000\nDURATION:PT1H" + alarm("TRIGGER:-PT1H"),
			"20260824T074500Z", "20260824T074501Z", false},
		{"all day, from the midnight of the calendar's zone", "UID:x\nDTSTART;VALUE=DATE:20260810" + alarm("TRIGGER:PT9H"), "20260810T070000Z", "20260810T070001Z", true},
		{"not understood", at + alarm("TRIGGER:soon"), "20200101T000000Z", "20200102T000000Z", true},
	} {
		m := &memory{}
		m.add(caldav.Calendar{Name: "work", DisplayName: "Work", TimeZone: "Europe/Berlin"})
		m.publish("work", "x.ics", event(c.event))
		s := serve(t, m)
		r := ""
		if c.start != "" {
			r += fmt.Sprintf(` start="%s"`, c.start)
		}
		if c.end != "" {
			r += fmt.Sprintf(` end="%s"`, c.end)
		}
		filter := `<C:comp-filter name="VEVENT"><C:comp-filter name="VALARM"><C:prop-filter name="ACTION"><C:text-match>display</C:text-match></C:prop-filter><C:time-range` + r + `/></C:comp-filter></C:comp-filter>`
		if got := len(s.do("REPORT", workPath, queryBody("<D:getetag/>", filter)).multistatus(t).Responses) == 1; got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
		filter = strings.ReplaceAll(filter, "display", "audio")
		if got := len(s.do("REPORT", workPath, queryBody("<D:getetag/>", filter)).multistatus(t).Responses); got != 0 {
			t.Errorf("%s: an alarm of another kind matches", c.name)
		}
	}
}
