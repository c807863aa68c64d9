package convert

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// TestManyProperties is the same of what is kept beside Outlook, and of alarms.
func TestManyProperties(t *testing.T) {
	for name, lines := range map[string]func(i int) string{
		"properties": func(i int) string { return "X-P" + strconv.Itoa(i) + ":1" },
		"one name":   func(i int) string { return "X-P:" + strconv.Itoa(i) },
		"alarms": func(i int) string {
			return "BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-PT" + strconv.Itoa(i) + "M\r\nEND:VALARM"
		},
	} {
		var b strings.Builder
		for i := range 60_000 {
			b.WriteString(lines(i) + "\r\n")
		}
		cal, err := ics.Decode([]byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20261101T000000Z\r\nDTSTART:20261124T090000Z\r\n" +
			b.String() + "END:VEVENT\r\nEND:VCALENDAR\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		var refused *Refusal
		if _, _, err := FromICS(Edit{New: cal}); !errors.As(err, &refused) || refused.Kind != RefusedSize {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestManyCategories has as many categories as an object holds: each that is compared with each other would keep a client waiting for
// minutes.
func TestManyCategories(t *testing.T) {
	names := make([]string, 100_000)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	text := "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20261101T000000Z\r\nDTSTART:20261124T090000Z\r\nCATEGORIES:" +
		strings.Join(names, ",") + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
	cal, err := ics.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	plan, _, err := FromICS(Edit{New: cal})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Steps) != 1 || strings.Count(string(plan.Steps[0].Fields), `"99999"`) != 1 {
		t.Errorf("%d steps", len(plan.Steps))
	}
	d := &differ{Edit: Edit{Client: "Thunderbird/1"}}
	f := fields{}
	event := ics.Children(cal.Component, "VEVENT")[0]
	d.categories(change{base: event, now: event, want: event, event: graph.Event{Categories: names}}, f)
	if len(f) != 0 {
		t.Error("the same categories are a change")
	}
}
