package convert

import (
	"errors"
	"strings"
	"testing"
)

// TestValues sends values that are none: a client is told, in words, and nothing is kept.
func TestValues(t *testing.T) {
	alarm := func(lines string) string {
		return "BEGIN:VALARM\nACTION:DISPLAY\nDESCRIPTION:x\n" + lines + "END:VALARM\n"
	}
	for lines, want := range map[string]string{
		alarm("TRIGGER:foo\n"): "TRIGGER:foo",
		alarm("TRIGGER:\n"):    "TRIGGER:",
		alarm(""):              "TRIGGER",
		alarm("TRIGGER;VALUE=DATE-TIME:20261203\n"):         "TRIGGER:20261203",
		alarm("TRIGGER:-PT5M\nREPEAT:x\nDURATION:PT1M\n"):   "REPEAT",
		alarm("TRIGGER:-PT5M\nREPEAT:2\nDURATION:1 hour\n"): "DURATION",
		alarm("TRIGGER:-PT5M\nACKNOWLEDGED:yesterday\n"):    "ACKNOWLEDGED",
		"X-MOZ-LASTACK:junk\n":                              "X-MOZ-LASTACK",
		"X-WHEN;VALUE=DATE-TIME:20261303T000000Z\n":         "X-WHEN",
		"X-LONG;VALUE=DURATION:an hour\n":                   "X-LONG",
		"X-MANY;VALUE=INTEGER:1,many\n":                     "X-MANY",
		"RRULE:FREQ=DAILY;COUNT=0\n":                        "COUNT",
		"RRULE:FREQ=DAILY;COUNT=many\n":                     "COUNT",
		"RRULE:FREQ=DAILY;INTERVAL=0\n":                     "INTERVAL",
		"RRULE:FREQ=DAILY;UNTIL=never\n":                    "UNTIL=NEVER",
		"RRULE:FREQ=FORTNIGHTLY\n":                          "FREQ=FORTNIGHTLY",
		"RRULE:COUNT=3\n":                                   "FREQ",

		alarm("TRIGGER:-PT5M\n"):                                        "",
		alarm("TRIGGER;VALUE=DATE-TIME:19760401T005545Z\n"):             "",
		alarm("TRIGGER;RELATED=END:PT5M\nREPEAT:2\nDURATION:PT1M\n"):    "",
		alarm("TRIGGER:-PT5M\nACKNOWLEDGED:20261203T000000Z\n"):         "",
		"X-WHEN;VALUE=DATE:20261203,20261204\nX-TEXT;VALUE=TEXT:junk\n": "",
		"RRULE:FREQ=DAILY;COUNT=3\n":                                    "",
	} {
		text := "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\nBEGIN:VEVENT\nUID:u\nDTSTAMP:20261101T000000Z\nDTSTART:20261203T081500Z\n" + lines + "END:VEVENT\nEND:VCALENDAR\n"
		_, _, err := FromICS(Edit{New: decode(t, []byte(text)), Series: Series{MailboxZone: "UTC", Owner: "me@contoso.example"}})
		kind := RefusedData
		if strings.HasPrefix(lines, "RRULE") {
			kind = RefusedObject
		}
		var r *Refusal
		switch {
		case want == "" && err != nil:
			t.Errorf("%s is refused: %v", lines, err)
		case want == "":
		case !errors.As(err, &r) || r.Kind != kind || !strings.Contains(r.Sentence, want):
			t.Errorf("%s: %v, want a refusal that says %s", lines, err, want)
		case strings.Contains(r.Sentence, "not understood") || strings.Contains(r.Sentence, "event \""):
			t.Errorf("%s: %s", lines, r.Sentence)
		}
	}
}

// TestValuesKept changes an event that has a value of old which is none: what is served to a client it may send back.
func TestValuesKept(t *testing.T) {
	with := func(summary string) []byte {
		return []byte("BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\nBEGIN:VEVENT\nUID:u\nDTSTAMP:20261101T000000Z\nDTSTART:20261203T081500Z\nDTEND:20261203T091500Z\nSUMMARY:" + summary +
			"\nX-MOZ-LASTACK:junk\nBEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:foo\nEND:VALARM\nEND:VEVENT\nEND:VCALENDAR\n")
	}
	e := Edit{Current: decode(t, with("Old")), New: decode(t, with("New")), Series: Series{MailboxZone: "UTC", Owner: "me@contoso.example"}}
	if err := e.Series.Event.UnmarshalJSON([]byte(`{"id":"m","subject":"Old","isOrganizer":true,"start":{"dateTime":"2026-12-03T08:15:00","timeZone":"UTC"},"end":{"dateTime":"2026-12-03T09:15:00","timeZone":"UTC"}}`)); err != nil {
		t.Fatal(err)
	}
	plan, _, err := FromICS(e)
	if err != nil || len(plan.Steps) != 1 {
		t.Errorf("%+v, %v", plan, err)
	}
}
