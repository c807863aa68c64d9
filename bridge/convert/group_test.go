package convert

import (
	"strings"
	"testing"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

func TestUID(t *testing.T) {
	const series = "040000008200E00074C5B7101A82E0080000000079B10884BC6DDA010000000000000000100000006E4027F21C5592458E37C350F6A446DF"
	instance := strings.Replace(series, "E00800000000", "E00807E80309", 1)
	for _, tc := range []struct{ icaluid, want string }{
		{series, series},
		{instance, series},
		{strings.ToLower(instance), strings.ToLower(series)},
		{" " + instance + " ", series},
		{"040000008200E00074C5B7101A82E00807E8030", "040000008200E00074C5B7101A82E00807E8030"}, // cut short
		{"040000008200E00074C5B7101A82E008not hex!79B1", "040000008200E00074C5B7101A82E008not hex!79B1"},
		{"abc@google.com", "abc@google.com"},
	} {
		if got := UID(graph.Event{ID: "x", ICalUID: tc.icaluid}); got != tc.want {
			t.Errorf("%s: %s", tc.icaluid, got)
		}
	}

	master := UID(graph.Event{ID: "AAMk=", Type: graph.SeriesMaster})
	occurrence := UID(graph.Event{ID: "BBB=", SeriesMasterID: "AAMk=", Type: graph.Occurrence})
	if master != occurrence || master == UID(graph.Event{ID: "aamk="}) || len(master) > 60 {
		t.Errorf("%s, %s: an instance has its master's UID, and ids are case-sensitive", master, occurrence)
	}
	a := UID(graph.Event{Raw: []byte(`{"subject":"a"}`)})
	b := UID(graph.Event{Raw: []byte(`{"subject":"b"}`)})
	if a == b || a == "" || UID(graph.Event{Subject: "a"}) == UID(graph.Event{Subject: "b"}) {
		t.Error("events without any id are to be told apart")
	}
}

func TestGroup(t *testing.T) {
	list := []graph.Event{
		{ID: "e1", Type: graph.Exception, SeriesMasterID: "m", Subject: "old"},
		{ID: "o1", Type: graph.Occurrence, SeriesMasterID: "m"},
		{ID: "", Type: graph.SingleInstance, Subject: "redacted 1"},
		{ID: "", Type: graph.SingleInstance, Subject: "redacted 2"},
		{ID: "", Type: graph.Exception, Subject: "redacted exception"},
		{ID: "m", Type: graph.SeriesMaster},
		{ID: "", Type: graph.SeriesMaster, Subject: "redacted master"},
		{ID: "e1", Type: graph.Exception, SeriesMasterID: "m", Subject: "new"},
		{ID: "gone", Removed: &graph.Removed{Reason: "deleted"}},
		{ID: "s", Type: graph.SingleInstance},
		{ID: "s", Removed: &graph.Removed{Reason: "deleted"}},
		{ID: "o2", Type: graph.Occurrence, SeriesMasterID: "other"},
		{ID: "t", Subject: "no type"},
	}
	var got []string
	for _, s := range Group(list) {
		text := string(s.Event.ID) + s.Event.Subject
		for _, e := range s.Exceptions {
			text += " +" + string(e.ID) + e.Subject
		}
		if s.Occurrences != nil {
			t.Error("a list is not all that a series has")
		}
		got = append(got, text)
	}
	want := "redacted 1; redacted 2; m +e1new; redacted master; tno type; redacted exception; o2"
	if strings.Join(got, "; ") != want {
		t.Errorf("%s\nwant %s", strings.Join(got, "; "), want)
	}
}

// TestGroupGap: a delta names the occurrences that are left of a series and nothing that is cancelled.
func TestGroupGap(t *testing.T) {
	page := `{"value": [
		{"id": "m", "type": "seriesMaster", "subject": "Daily", "originalStartTimeZone": "UTC",
		 "start": {"dateTime": "2026-12-01T09:00:00", "timeZone": "UTC"}, "end": {"dateTime": "2026-12-01T10:00:00", "timeZone": "UTC"},
		 "recurrence": {"pattern": {"type": "daily", "interval": 1}, "range": {"type": "numbered", "startDate": "2026-12-01", "numberOfOccurrences": 5}}},
		{"id": "1", "type": "occurrence", "seriesMasterId": "m", "start": {"dateTime": "2026-12-01T09:00:00", "timeZone": "UTC"}, "end": {"dateTime": "2026-12-01T10:00:00", "timeZone": "UTC"}},
		{"id": "2", "type": "occurrence", "seriesMasterId": "m", "start": {"dateTime": "2026-12-02T09:00:00", "timeZone": "UTC"}, "end": {"dateTime": "2026-12-02T10:00:00", "timeZone": "UTC"}},
		{"id": "4", "type": "occurrence", "seriesMasterId": "m", "start": {"dateTime": "2026-12-04T09:00:00", "timeZone": "UTC"}, "end": {"dateTime": "2026-12-04T10:00:00", "timeZone": "UTC"}}]}`
	events, err := ReadEvents(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	series := Group(events)
	if len(series) != 1 {
		t.Fatalf("%d series, want 1", len(series))
	}
	cal, losses, err := ToICS(series[0])
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := ics.Encode(&b, cal); err != nil {
		t.Fatal(err)
	}
	if text := b.String(); !strings.Contains(text, "\r\nEXDATE:20261203T090000Z\r\n") || !strings.Contains(text, "COUNT=5") || strings.Count(text, "EXDATE") != 1 {
		t.Errorf("the gap of 3 December, and nothing else, is to be left out:\n%s", text)
	}
	if len(losses) != 1 {
		t.Errorf("losses: %v", losses)
	}
}
