package convert_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"strings"
	"testing"

	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// TestEveryEnumValue converts an event with each value that an enumeration of Microsoft's metadata has, in each cloud: all
// are known, and a value that is in none is a loss where it matters.
func TestEveryEnumValue(t *testing.T) {
	const event = `{"id":"m","type":"singleInstance","iCalUId":"u","subject":"s","start":{"dateTime":"2026-03-02T10:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-03-02T11:00:00","timeZone":"UTC"},"originalStartTimeZone":"UTC","originalEndTimeZone":"UTC"%s}`
	const organizer = `,"organizer":{"emailAddress":{"name":"O","address":"o@contoso.example"}},"attendees":[{"type":%q,"status":{"response":%q},"emailAddress":{"name":"A","address":"a@contoso.example"}}]`
	recurrence := func(kind, day, first, index, end string) string {
		return fmt.Sprintf(`,"type":"seriesMaster","recurrence":{"pattern":{"type":%q,"interval":1,"month":3,"dayOfMonth":2,"daysOfWeek":[%q],"firstDayOfWeek":%q,"index":%q},`+
			`"range":{"type":%q,"startDate":"2026-03-02","endDate":"2029-12-31","numberOfOccurrences":5,"recurrenceTimeZone":"UTC"}}`, kind, day, first, index, end)
	}
	with := map[string]func(value string) string{ // an event with a value
		"freeBusyStatus":            func(v string) string { return fmt.Sprintf(`,"showAs":%q`, v) },
		"sensitivity":               func(v string) string { return fmt.Sprintf(`,"sensitivity":%q`, v) },
		"importance":                func(v string) string { return fmt.Sprintf(`,"importance":%q`, v) },
		"bodyType":                  func(v string) string { return fmt.Sprintf(`,"body":{"contentType":%q,"content":"x"}`, v) },
		"attendeeType":              func(v string) string { return fmt.Sprintf(organizer, v, "accepted") },
		"responseType":              func(v string) string { return fmt.Sprintf(organizer, "required", v) },
		"onlineMeetingProviderType": func(v string) string { return fmt.Sprintf(`,"onlineMeetingProvider":%q`, v) },
		"locationType":              func(v string) string { return fmt.Sprintf(`,"location":{"displayName":"L","locationType":%q}`, v) },
		"recurrencePatternType":     func(v string) string { return recurrence(v, "monday", "sunday", "first", "noEnd") },
		"dayOfWeek":                 func(v string) string { return recurrence("weekly", v, v, "first", "noEnd") },
		"weekIndex":                 func(v string) string { return recurrence("relativeMonthly", "monday", "sunday", v, "noEnd") },
		"recurrenceRangeType":       func(v string) string { return recurrence("weekly", "monday", "sunday", "first", v) },
	}
	losses := func(props string) (list []convert.Loss) {
		var e graph.Event
		if err := json.Unmarshal(fmt.Appendf(nil, event, props), &e); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(props, "seriesMaster") {
			e.Type = graph.SeriesMaster
		}
		_, list, err := convert.ToICS(convert.Series{Event: e})
		if err != nil {
			list = append(list, convert.Loss{Field: "all", Reason: err.Error()})
		}
		return list
	}
	for _, cloud := range []string{"Prod", "Fairfax", "Mooncake"} {
		b, err := os.ReadFile("../graph/testdata/metadata/v1.0-" + cloud + ".xml")
		if err != nil {
			t.Fatal(err)
		}
		var schema struct {
			Enums []struct {
				Name    string `xml:",attr"`
				Members []struct {
					Name string `xml:",attr"`
				} `xml:"Member"`
			} `xml:"EnumType"`
		}
		if err := xml.Unmarshal(b, &schema); err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, enum := range schema.Enums {
			if enum.Name == "categoryColor" {
				for _, m := range enum.Members {
					if (convert.PresetColor(m.Name) == "") != (m.Name == "none") {
						t.Errorf("%s: the category colour %s is %q", cloud, m.Name, convert.PresetColor(m.Name))
					}
				}
			}
			props := with[enum.Name]
			if props == nil {
				continue
			}
			found++
			for _, m := range enum.Members {
				for _, l := range losses(props(m.Name)) {
					if m.Name == "personal" && l.Field == "sensitivity" {
						continue // which iCalendar does not tell from private
					}
					t.Errorf("%s: %s %s: %s: %s", cloud, enum.Name, m.Name, l.Field, l.Reason)
				}
			}
		}
		if found != len(with) {
			t.Errorf("%s has %d of %d enumerations", cloud, found, len(with))
		}
	}
	for _, name := range []string{"freeBusyStatus", "sensitivity", "recurrencePatternType", "dayOfWeek", "weekIndex", "recurrenceRangeType"} {
		if len(losses(with[name]("neverHeardOf"))) == 0 {
			t.Errorf("an unknown %s is lost in silence", name)
		}
	}
}
