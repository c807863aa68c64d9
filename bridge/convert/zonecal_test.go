package convert_test

import (
	"strings"
	"testing"

	"outbridge/bridge/convert"
)

func TestZoneCalendar(t *testing.T) {
	got := string(convert.ZoneCalendar("Europe/Berlin"))
	for _, want := range []string{"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:", "TZID:Europe/Berlin\r\n", "TZOFFSETTO:+0200\r\n", "TZNAME:CEST\r\n",
		"RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU\r\n", "END:VTIMEZONE\r\nEND:VCALENDAR\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	for _, name := range []string{"", "UTC", "Nowhere/Else", "Local", "../etc/passwd"} {
		if got := convert.ZoneCalendar(name); got != nil {
			t.Errorf("%q: %s", name, got)
		}
	}
}
