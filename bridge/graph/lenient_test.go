package graph_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"outbridge/bridge/graph"
)

// full is an event with every property that is read, each of the type that Graph documents.
const full = `{"@odata.etag":"e","id":"i","iCalUId":"u","type":"seriesMaster","start":{"dateTime":"2026-01-01T10:00:00","timeZone":"UTC"},
"recurrence":{"pattern":{"type":"weekly","interval":1,"daysOfWeek":["monday","friday"]},"range":{"type":"numbered","numberOfOccurrences":3,"startDate":"2026-01-01"}},
"cancelledOccurrences":["OID.i.2026-01-05"],"exceptionOccurrences":[{"id":"x","attendees":[{"type":"required"}]},{"id":"y"}],
"location":{"displayName":"Room","address":{"street":"s","city":"c"},"coordinates":{"latitude":1.5,"longitude":2}},
"locations":[{"displayName":"Room"},{"displayName":"Hall"}],
"attendees":[{"type":"required","status":{"response":"accepted"},"emailAddress":{"name":"A","address":"a@x.example"}},{"emailAddress":{"name":"B"}}],
"organizer":{"emailAddress":{"name":"O","address":"o@x.example"}},"onlineMeeting":{"joinUrl":"https://j.example","conferenceId":"1"},
"categories":["Red","Blue"],"reminderMinutesBeforeStart":15,"isReminderOn":true,"body":{"contentType":"html","content":"<p>"}}`

// Each value of an event, however deep, is replaced by one of another type: the event is as it was but for that value,
// and Faults names it by its path.
func TestOneOddValueCostsOneValue(t *testing.T) {
	parse := func() (tree any) {
		if err := json.Unmarshal([]byte(full), &tree); err != nil {
			t.Fatal(err)
		}
		return tree
	}
	plain, err := json.Marshal(parse()) // in the order of the ones with something odd
	if err != nil {
		t.Fatal(err)
	}
	type place struct {
		path string
		set  func(root any, v any)
	}
	var places []place
	var walk func(v any, path string, set func(root, v any), get func(root any) any)
	walk = func(v any, path string, set func(root, v any), get func(root any) any) {
		if path != "" {
			places = append(places, place{path, set})
		}
		switch v := v.(type) {
		case map[string]any:
			for name, inner := range v {
				walk(inner, strings.TrimPrefix(path+"."+name, "."), func(root, x any) { get(root).(map[string]any)[name] = x },
					func(root any) any { return get(root).(map[string]any)[name] })
			}
		case []any:
			for i, inner := range v {
				walk(inner, path+"["+strconv.Itoa(i)+"]", func(root, x any) { get(root).([]any)[i] = x }, func(root any) any { return get(root).([]any)[i] })
			}
		}
	}
	walk(parse(), "", nil, func(root any) any { return root })
	if len(places) < 50 {
		t.Fatalf("only %d places", len(places))
	}
	for _, p := range places {
		for _, odd := range []any{"NaN", 7.5, true, nil, []any{1.0}, map[string]any{"a": 1.0}} {
			root := parse()
			p.set(root, odd)
			raw, err := json.Marshal(root)
			if err != nil {
				t.Fatal(err)
			}
			var e graph.Event
			if err := json.Unmarshal(raw, &e); err != nil {
				t.Errorf("%s: %v", raw, err)
				continue
			}
			faults := slices.Clone(e.Faults)
			for i, x := range e.ExceptionOccurrences {
				for _, f := range x.Faults {
					faults = append(faults, fmt.Sprintf("exceptionOccurrences[%d].%s", i, f))
				}
			}
			for _, f := range faults {
				if f != p.path && !strings.HasPrefix(f, p.path+"[") && !strings.HasPrefix(f, p.path+".") {
					t.Errorf("%v at %s: %s is lost too", odd, p.path, f)
				}
			}
			// Whatever does not lie in or around the place is as it was.
			var want graph.Event
			if err := json.Unmarshal(plain, &want); err != nil {
				t.Fatal(err)
			}
			top, _, _ := strings.Cut(p.path, "[")
			if !strings.HasPrefix(top, "@") {
				top, _, _ = strings.Cut(top, ".")
			}
			a, b := reflect.ValueOf(e), reflect.ValueOf(want)
			for i := range a.NumField() {
				switch name := a.Type().Field(i).Tag.Get("json"); name {
				case "-", top:
				default:
					if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
						t.Errorf("%v at %s: %s is %v", odd, p.path, name, a.Field(i).Interface())
					}
				}
			}
		}
	}
}

func TestOddValuesByTheirPaths(t *testing.T) {
	for _, tc := range []struct {
		json   string
		faults string
		ok     func(graph.Event) bool
	}{
		{`{"location":{"displayName":"Boardroom","coordinates":{"latitude":"NaN","longitude":"NaN"}}}`, "location.coordinates.latitude location.coordinates.longitude",
			func(e graph.Event) bool {
				return e.Location.DisplayName == "Boardroom" && e.Location.Coordinates.Latitude == nil
			}},
		{`{"attendees":[{"emailAddress":{"name":5,"address":"a@x"}},null,"x",{"emailAddress":{"name":"B"}}]}`, "attendees[0].emailAddress.name attendees[1] attendees[2]",
			func(e graph.Event) bool { return len(e.Attendees) == 2 && e.Attendees[0].EmailAddress.Address == "a@x" }},
		{`{"categories":["Red",null,"",4,"Blue"]}`, "categories[1] categories[3]", func(e graph.Event) bool { return slices.Equal(e.Categories, []string{"Red", "", "Blue"}) }},
		{`{"categories":[ null ]}`, "categories[0]", func(e graph.Event) bool { return len(e.Categories) == 0 }},
		{`{"onlineMeeting":{"joinUrl":"https://x","conferenceId":12}}`, "onlineMeeting.conferenceId", func(e graph.Event) bool { return e.OnlineMeeting.JoinURL == "https://x" }},
		{`{"onlineMeeting":[]}`, "onlineMeeting", func(e graph.Event) bool { return e.OnlineMeeting == nil }},
		{`{"exceptionOccurrences":[null,{"id":"a"},3]}`, "exceptionOccurrences[0] exceptionOccurrences[2]", func(e graph.Event) bool { return len(e.ExceptionOccurrences) == 1 }},
		{`{"recurrence":{"pattern":{"interval":"2","type":"weekly","daysOfWeek":"monday"},"range":null}}`, "recurrence.pattern.daysOfWeek recurrence.pattern.interval",
			func(e graph.Event) bool { return e.Recurrence != nil && e.Recurrence.Pattern.Type == "weekly" }},
		{`{"REMINDERMINUTESBEFORESTART":1.5e1,"Subject":{"a":null}}`, "subject", func(e graph.Event) bool { return e.ReminderMinutes == 15 }},
		{`{"@removed":"deleted","id":"a"}`, "@removed", func(e graph.Event) bool { return e.Removed != nil && e.ID == "a" }},
		{`{"subject":"a, null, [null]","body":null,"unknown":[null,{"x":[1]}]}`, "", func(e graph.Event) bool { return e.Subject == "a, null, [null]" }},
		{`{"id":"a","ID":"b","subject":1}`, "subject", func(e graph.Event) bool { return e.ID == "b" }},
	} {
		var e graph.Event
		if err := json.Unmarshal([]byte(tc.json), &e); err != nil || strings.Join(e.Faults, " ") != tc.faults || !tc.ok(e) || string(e.Raw) != tc.json {
			t.Errorf("%s: %v, faults %q\n%+v", tc.json, err, e.Faults, e)
		}
	}
	for _, s := range []string{`null`, `[]`, `"x"`, `7`} {
		if err := new(graph.Event).UnmarshalJSON([]byte(s)); err == nil {
			t.Errorf("%s is an event", s)
		}
	}
	var e graph.Event
	if err := json.Unmarshal([]byte(`{"id":"a","categories":[`+strings.Repeat("null,", 9999)+`"x"]}`), &e); err != nil || len(e.Faults) > 100 || len(e.Categories) != 1 {
		t.Errorf("%v: %d faults, %v", err, len(e.Faults), e.Categories)
	}
}

// What is odd of one calendar, category or part of a batch costs that alone.
func TestOddListsAreRead(t *testing.T) {
	answer := `{"value":[null,{"id":"a","name":7,"owner":{"name":null,"address":3},"canEdit":"yes"},{"id":"b","name":"B","owner":5}]}`
	c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, answer) })
	if cals, err := c.Calendars(t.Context()); err != nil || len(cals) != 2 || cals[0].ID != "a" || cals[1].Name != "B" {
		t.Errorf("%+v, %v", cals, err)
	}
	answer = `{"value":[{"displayName":"Red","color":0},null,{"displayName":"Blue","color":"preset1"}]}`
	if list, err := c.Categories(t.Context()); err != nil || len(list) != 2 || list[1].Color != "preset1" {
		t.Errorf("%+v, %v", list, err)
	}
	answer = `{"responses":[null,{"id":2,"status":200,"body":{"id":"b"},"headers":[]},{"id":"1","status":200,"body":{"id":"a","subject":[]},"headers":{"x":1}}]}`
	for i, r := range c.Events(t.Context(), []graph.EventID{"a", "b"}) {
		if r.Err != nil || r.Event.ID != r.ID {
			t.Errorf("part %d: %+v", i, r)
		}
	}
}
