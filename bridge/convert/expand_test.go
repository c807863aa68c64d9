package convert

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func calendarOf(events ...string) string {
	s := "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n"
	for _, e := range events {
		s += "BEGIN:VEVENT\r\nUID:u\r\n" + strings.ReplaceAll(strings.TrimSpace(e), "\n", "\r\n") + "\r\nEND:VEVENT\r\n"
	}
	return s + "END:VCALENDAR\r\n"
}

func TestExpand(t *testing.T) {
	for _, tc := range []struct {
		name   string
		events []string
		want   string
	}{
		{"single", []string{"DTSTART;TZID=Europe/Berlin:20260105T100000\nDTEND;TZID=Europe/Berlin:20260105T110000"}, "01-05 09:00+1h0m0s"},
		{"windows zone", []string{"DTSTART;TZID=W. Europe Standard Time:20260105T100000\nDURATION:PT2H"}, "01-05 09:00+2h0m0s"},
		{"zero length", []string{"DTSTART:20260105T100000Z"}, "01-05 10:00+0s"},
		{"floating", []string{"DTSTART:20260105T100000"}, "01-05 10:00+0s"},
		{"date", []string{"DTSTART;VALUE=DATE:20260105"}, "01-05 00:00+24h0m0s"},
		{"before", []string{"DTSTART:20251231T230000Z\nDTEND:20260101T000000Z"}, ""},
		{"into", []string{"DTSTART:20251231T230000Z\nDTEND:20260101T000001Z"}, "12-31 23:00+1h0m1s"},
		{"after", []string{"DTSTART:20260201T000000Z\nDTEND:20260201T010000Z"}, ""},
		{"summer time", []string{"DTSTART;TZID=Europe/Berlin:20250701T100000\nRRULE:FREQ=MONTHLY;COUNT=8"}, "01-01 09:00+0s"},
		{"start off the rule", []string{"DTSTART:20260101T100000Z\nRRULE:FREQ=MONTHLY;BYMONTHDAY=15;UNTIL=20260301T000000Z"}, "01-01 10:00+0s, 01-15 10:00+0s"},
		{"until is inclusive", []string{"DTSTART:20260101T100000Z\nRRULE:FREQ=DAILY;UNTIL=20260102T100000Z"}, "01-01 10:00+0s, 01-02 10:00+0s"},
		{"until in UTC", []string{"DTSTART;TZID=America/New_York:20260101T200000\nRRULE:FREQ=DAILY;UNTIL=20260103T010000Z"}, "01-02 01:00+0s, 01-03 01:00+0s"},
		{"dates", []string{"DTSTART:20260101T100000Z\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260102T100000Z\nRDATE:20260110T100000Z\nRDATE:20260101T100000Z"},
			"01-01 10:00+0s, 01-03 10:00+0s, 01-10 10:00+0s"},
		{"overrides", []string{"DTSTART:20260101T100000Z\nRRULE:FREQ=DAILY;COUNT=3\nSUMMARY:a",
			"RECURRENCE-ID:20260102T100000Z\nDTSTART:20260120T100000Z\nSUMMARY:b", "RECURRENCE-ID:20260103T100000Z\nDTSTART:20260301T100000Z",
			"RECURRENCE-ID:20260101T100000Z\nDTSTART:20260101T100000Z\nSTATUS:CANCELLED"}, "01-01 10:00+0s cancelled, 01-20 10:00+0s b"},
		{"override in another zone's words", []string{"DTSTART;TZID=Europe/Berlin:20260105T100000\nRRULE:FREQ=DAILY;COUNT=2",
			"RECURRENCE-ID:20260106T090000Z\nDTSTART:20260106T120000Z"}, "01-05 09:00+0s, 01-06 12:00+0s"},
		{"no master", []string{"RECURRENCE-ID:20260106T090000Z\nDTSTART:20260106T120000Z"}, "01-06 12:00+0s"},
		{"endless", []string{"DTSTART:20200101T100000Z\nRRULE:FREQ=YEARLY"}, "01-01 10:00+0s"},
		{"a rule of the year 0", []string{"DTSTART:00001231T233000Z\nRRULE:FREQ=WEEKLY;BYDAY=SU"}, ""},
	} {
		list, err := Expand(decode(t, []byte(calendarOf(tc.events...))), Span{date(2026, 1, 1), date(2026, 2, 1)})
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		var got []string
		for _, i := range list {
			s := i.Start.Format("01-02 15:04") + "+" + i.End.Sub(i.Start).String()
			if i.Cancelled {
				s += " cancelled"
			}
			if i.Summary == "b" {
				s += " b"
			}
			got = append(got, s)
		}
		if strings.Join(got, ", ") != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, strings.Join(got, ", "), tc.want)
		}
	}
}

func TestExpandErrors(t *testing.T) {
	for _, e := range []string{"SUMMARY:x", "DTSTART:tomorrow", "DTSTART;TZID=Mars/Phobos:20260101T000000", "DTSTART:20260101T000000Z\nRRULE:FREQ=SOMETIMES",
		"DTSTART:20260101T000000Z\nEXDATE:x", "DTSTART:20260101T000000Z\nRDATE:x", "DTSTART:20260101T000000Z\nDTEND:x", "DTSTART:20260101T000000Z\nDURATION:x",
		"DTSTART:20260101T000000Z\nRECURRENCE-ID:x"} {
		if _, err := Expand(decode(t, []byte(calendarOf(e))), Span{date(2026, 1, 1), date(2026, 2, 1)}); err == nil {
			t.Errorf("%s: no error", e)
		}
	}
	start := time.Now()
	_, err := Expand(decode(t, []byte(calendarOf("DTSTART:20000101T000000Z\nRRULE:FREQ=SECONDLY"))), Span{date(2026, 1, 1), date(2026, 2, 1)})
	if !errors.Is(err, ErrTooMany) || time.Since(start) > 30*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

func TestBounds(t *testing.T) {
	for _, tc := range []struct {
		events      []string
		first, last string
	}{
		{[]string{"DTSTART:20260105T100000Z\nDTEND:20260105T110000Z"}, "2026-01-05T10", "2026-01-05T11"},
		{[]string{"DTSTART;VALUE=DATE:20260105"}, "2026-01-04T10", "2026-01-06T14"},
		{[]string{"DTSTART:20260105T100000\nDTEND:20260105T110000"}, "2026-01-04T20", "2026-01-06T01"},
		{[]string{"DTSTART:20260105T100000Z\nRRULE:FREQ=DAILY"}, "2026-01-05T10", ""},
		{[]string{"DTSTART:20260105T100000Z\nDTEND:20260105T110000Z\nRRULE:FREQ=DAILY;COUNT=3"}, "2026-01-05T10", "2026-01-07T11"},
		{[]string{"DTSTART:20260105T100000Z\nRRULE:FREQ=DAILY;UNTIL=20260110T120000Z"}, "2026-01-05T10", "2026-01-10T10"},
		{[]string{"DTSTART:20260105T100000Z\nRDATE:20250101T000000Z\nRDATE:20270101T000000Z"}, "2025-01-01T00", "2027-01-01T00"},
		{[]string{"DTSTART:20260105T100000Z\nRRULE:FREQ=DAILY;COUNT=2", "RECURRENCE-ID:20260105T100000Z\nDTSTART:20240105T100000Z",
			"RECURRENCE-ID:20260106T100000Z\nDTSTART:20280105T100000Z\nDTEND:20280105T120000Z"}, "2024-01-05T10", "2028-01-05T12"},
		{[]string{"DTSTART:20260105T100000Z\nRRULE:FREQ=SECONDLY;COUNT=100000000"}, "2026-01-05T10", ""},
		{nil, "", ""},
	} {
		first, last := Bounds(decode(t, []byte(calendarOf(tc.events...)+"")))
		if got := hour(first) + " " + hour(last); got != tc.first+" "+tc.last {
			t.Errorf("%v: %s, want %s %s", tc.events, got, tc.first, tc.last)
		}
	}
}

func hour(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15")
}
