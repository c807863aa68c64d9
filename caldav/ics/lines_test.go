package ics_test

import (
	"strings"
	"testing"

	"outbridge/caldav/ics"
)

func TestLines(t *testing.T) {
	const data = "begin:VEVENT\r\nDTSTART;tzid=\"Europe/Berlin\":2026010\r\n 5T090000\r\n\r\nATTENDEE;X=\"a:b;C=d\",e;CN=f^'g:mailto:x\nSUM\r\n MARY:a:b\nODD\nDESCRIPTION:end"
	var got []string
	for l := range ics.Lines([]byte(data)) {
		got = append(got, string(l.Name())+"|"+string(l.Value()))
	}
	want := []string{"BEGIN|VEVENT", "DTSTART|20260105T090000", "ATTENDEE|mailto:x", "SUMMARY|a:b", "ODD|", "DESCRIPTION|end"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q", got)
	}
	var raw string
	for l := range ics.Lines([]byte(data)) {
		raw += string(l)
	}
	if raw != strings.Replace(data, "\r\n\r\n", "\r\n", 1) {
		t.Errorf("%q", raw)
	}
}

func TestComponents(t *testing.T) {
	const alarm = "BEGIN:VALARM\r\nTRIGGER:PT0S\r\nEND:VALARM\r\n"
	const zone, event = "BEGIN:VTIMEZONE\r\nBEGIN:STANDARD\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n", "begin:vevent\r\nA:b\r\n c\r\n" + alarm + "D:e\r\nend:vevent\r\n"
	const data = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n" + zone + "\r\n" + event + "END:VCALENDAR\r\n"
	var got []string
	for c, err := range ics.Components([]byte(data)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, c.Name, string(c.Octets))
	}
	if want := []string{"VTIMEZONE", zone, "VEVENT", event}; strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q", got)
	}
	if got, want := string(ics.Without([]byte(data), "VALARM")), strings.ReplaceAll(data, alarm, ""); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := string(ics.Without([]byte(data), "VEVENT")); got != strings.ReplaceAll(data, event, "") {
		t.Errorf("%q", got)
	}
	if got := ics.Without([]byte(data), "VTODO"); &got[0] != &[]byte(data)[0] && string(got) != data {
		t.Errorf("%q", got)
	}
	broken := false
	for _, err := range ics.Components([]byte("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nEND:VEVENT\r\n")) {
		broken = broken || err != nil
	}
	if !broken {
		t.Error("a calendar that does not end is whole")
	}
}
