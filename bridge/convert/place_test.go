package convert

import (
	"encoding/json"
	"strings"
	"testing"

	"outbridge/bridge/graph"
)

// LOCATION has the street beside a name, GEO is that of the one place that LOCATION names.
func TestPlaces(t *testing.T) {
	for _, tc := range []struct{ json, location, geo, loss string }{
		{`"location":{"displayName":"Hall","coordinates":{"latitude":1.5,"longitude":2}}`, "Hall", "1.5;2", ""},
		{`"location":{"displayName":"Hall","coordinates":{"latitude":0,"longitude":0}}`, "Hall", "", ""},
		{`"location":{"displayName":"Hall","coordinates":{"latitude":0,"longitude":-0.00000001}}`, "Hall", "", ""},
		{`"location":{"displayName":"Hall","coordinates":{"latitude":0,"longitude":10}}`, "Hall", "0;10", ""},
		{`"location":{"displayName":"Hall"},"locations":[{"displayName":"hall","coordinates":{"latitude":1,"longitude":2}}]`, "Hall", "1;2", ""},
		{`"location":{"displayName":"Hall"},"locations":[{"displayName":"Other","coordinates":{"latitude":1,"longitude":2}}]`, "Hall", "", "location"},
		{`"location":{"displayName":"A; B","coordinates":{"latitude":1,"longitude":2}},"locations":[{"displayName":"A","coordinates":{"latitude":1,"longitude":2}},{"displayName":"B"}]`, "A; B", "", "location"},
		{`"locations":[{"displayName":"A","coordinates":{"latitude":1,"longitude":2}}]`, "A", "1;2", ""},
		{`"location":{"coordinates":{"latitude":1,"longitude":2},"address":{"city":"Bonn"}}`, "Bonn", "1;2", ""},
		{`"location":{"displayName":"Hall","address":{"street":"Main St 1","city":"Bonn","postalCode":"53111"}}`, "Hall, Main St 1, 53111 Bonn", "", ""},
		{`"location":{"displayName":"Hall, MAIN ST 1","address":{"street":"Main St 1","city":"Bonn"}}`, "Hall, MAIN ST 1", "", ""},
		{`"location":{"displayName":"Hall Bonn","address":{"street":"Main St 1","city":"Bonn"}}`, "Hall Bonn, Main St 1", "", ""},
		{`"location":{"displayName":"Hall","address":{"city":"Bonn"}}`, "Hall", "", ""},
		{`"location":{"displayName":"Hall"},"locations":[{"displayName":"Hall","address":{"street":"Main St 1"}}]`, "Hall, Main St 1", "", ""},
		{`"location":{"displayName":"A; B"},"locations":[{"displayName":"A","address":{"street":"S 1"}},{"displayName":"B","address":{"street":"S 2"}}]`, "A, S 1; B, S 2", "", ""},
		{`"location":{"displayName":"Hall","address":{"street":"` + strings.Repeat("x", maxLocation) + `"}}`, "Hall", "", "location"},
		{`"location":{"displayName":"Hall"},"locations":[{"displayName":"Other","address":{"street":"S 1"}}]`, "Hall", "", "location"},
	} {
		var e graph.Event
		if err := json.Unmarshal([]byte(`{"id":"a","originalStartTimeZone":"UTC","start":{"dateTime":"2026-07-01T10:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-07-01T11:00:00","timeZone":"UTC"},`+tc.json+`}`), &e); err != nil {
			t.Fatal(err)
		}
		cal, losses, err := ToICS(Series{Event: e})
		if err != nil {
			t.Fatal(err)
		}
		fields := ""
		for _, l := range losses {
			fields += l.Field
		}
		location, _ := cal.Children[0].Props.Text("LOCATION")
		geo := ""
		if p := cal.Children[0].Props.Get("GEO"); p != nil {
			geo = p.Value
		}
		if location != tc.location || geo != tc.geo || fields != tc.loss {
			t.Errorf("%.200s:\n%q %q %q", tc.json, location, geo, losses)
		}
	}
}

// A room is known by whichever property has its address.
func TestRooms(t *testing.T) {
	for location, room := range map[string]bool{
		`{"locationType":"conferenceRoom","locationEmailAddress":"R1@x.example"}`:                     true,
		`{"locationType":"conferenceRoom","locationUri":"SMTP:r1@x.example"}`:                         true,
		`{"locationType":"conferenceRoom","uniqueId":"r1@x.example","uniqueIdType":"directory"}`:      true,
		`{"locationType":"conferenceRoom","uniqueId":"r2@x.example","locationUri":"https://x/r1"}`:    false,
		`{"locationType":"default","locationUri":"r1@x.example"}`:                                     false,
		`{"locationType":"conferenceRoom","uniqueId":"","locationUri":null,"displayName":"Room One"}`: false,
	} {
		var e graph.Event
		if err := json.Unmarshal([]byte(`{"id":"a","originalStartTimeZone":"UTC","start":{"dateTime":"2026-07-01T10:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-07-01T11:00:00","timeZone":"UTC"},
			"attendees":[{"type":"resource","emailAddress":{"name":"Room 1","address":"r1@X.example"}}],"locations":[`+location+`]}`), &e); err != nil {
			t.Fatal(err)
		}
		cal, _, err := ToICS(Series{Event: e})
		if err != nil {
			t.Fatal(err)
		}
		if got := cal.Children[0].Props.Get("ATTENDEE").Params.Get("CUTYPE"); (got == "ROOM") != room {
			t.Errorf("%s: %s", location, got)
		}
	}
}
