package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

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

// TestManyExceptions: a master that is read with its exceptions has all of them in its JSON, which is not read again for each.
func TestManyExceptions(t *testing.T) {
	cost := func(n int) uint64 {
		first := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
		moment := func(at time.Time) string {
			return fmt.Sprintf(`{"dateTime":%q,"timeZone":"UTC"}`, at.Format("2006-01-02T15:04:05.0000000"))
		}
		times := func(at time.Time) string {
			return `"start":` + moment(at) + `,"end":` + moment(at.Add(time.Hour))
		}
		var exceptions []string
		for i := range n {
			at := first.AddDate(0, 0, i)
			exceptions = append(exceptions, fmt.Sprintf(`{"id":"x%d","type":"exception","seriesMasterId":"m","occurrenceId":"OID.m.%s","subject":"%s",%s}`,
				i, at.Format(time.DateOnly), strings.Repeat("Daily ", 200), times(at.Add(time.Hour))))
		}
		var s Series
		if err := json.Unmarshal(fmt.Appendf(nil, `{"id":"m","type":"seriesMaster","iCalUId":"u","importance":"high","originalStartTimeZone":"UTC",%s,
			"recurrence":{"pattern":{"type":"daily","interval":1},"range":{"type":"noEnd","startDate":"2026-01-05"}},"exceptionOccurrences":[%s]}`,
			times(first), strings.Join(exceptions, ",")), &s.Event); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		cal, _, err := ToICS(s)
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := ics.Encode(&out, cal); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(out.String(), "\r\nPRIORITY:1\r\n"); got != n+1 {
			t.Fatalf("%d of %d events have what they inherit", got, n+1)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	if one, four := cost(50), cost(200); four > 6*one {
		t.Errorf("50 exceptions allocate %d octets, 200 of them %d", one, four)
	}
}
