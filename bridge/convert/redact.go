package convert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"outbridge/bridge/graph"
)

// open are the properties whose strings tell nothing of a person, in lower case. All others are replaced, those that
// Graph has yet to invent too.
var open = map[string]bool{
	"@odata.type": true, "@odata.etag": true, "reason": true, "id": true, "uid": true, "type": true, "seriesmasterid": true,
	"occurrenceid": true, "originalstart": true, "originalstarttimezone": true, "originalendtimezone": true, "datetime": true,
	"timezone": true, "interval": true, "daysofweek": true, "firstdayofweek": true, "index": true, "startdate": true, "enddate": true,
	"recurrencetimezone": true, "cancelledoccurrences": true, "contenttype": true, "response": true, "time": true, "showas": true,
	"sensitivity": true, "importance": true, "locationtype": true, "uniqueidtype": true, "onlinemeetingprovider": true,
	"createddatetime": true, "lastmodifieddatetime": true, "changekey": true,
}

// redactor replaces what tells of persons, equal things by equal things.
type redactor struct {
	people     map[string]int
	categories map[string]int
}

func newRedactor() *redactor {
	return &redactor{people: map[string]int{}, categories: map[string]int{}}
}

func (r *redactor) series(s Series) Series {
	s.Event = r.event(s.Event)
	s.Exceptions = slices.Clone(s.Exceptions)
	for i, e := range s.Exceptions {
		s.Exceptions[i] = r.event(e)
	}
	if s.Owner != "" {
		s.Owner = r.address(s.Owner)
	}
	colors := make(map[string]string, len(s.Colors))
	for _, name := range slices.Sorted(maps.Keys(s.Colors)) {
		if _, used := r.categories[name]; used {
			colors[r.category(name)] = s.Colors[name]
		}
	}
	s.Colors = colors
	return s
}

func (r *redactor) event(e graph.Event) graph.Event {
	dec := json.NewDecoder(bytes.NewReader(eventJSON(e)))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return graph.Event{ID: e.ID}
	}
	b, err := json.Marshal(r.value("", v))
	var out graph.Event
	if err != nil || out.UnmarshalJSON(b) != nil {
		return graph.Event{ID: e.ID}
	}
	return out
}

// value is v, the value of the property name, redacted.
func (r *redactor) value(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		// In order, so that the numbers of persons do not change from one time to the next.
		address, isPerson := v["address"].(string)
		for _, key := range slices.Sorted(maps.Keys(v)) {
			lower := strings.ToLower(key)
			if s, ok := v[key].(string); ok && lower == "name" && isPerson && s != "" {
				v[key] = fmt.Sprintf("Person %d", r.person(address))
			} else {
				v[key] = r.value(lower, v[key])
			}
		}
		return v
	case []any:
		for i := range v {
			v[i] = r.value(name, v[i])
		}
		return v
	case json.Number:
		if f, err := v.Float64(); err == nil && (name == "latitude" || name == "longitude") {
			return math.Trunc(f)
		}
		return v
	case string:
		return r.text(name, v)
	}
	return v
}

func (r *redactor) text(name, s string) string {
	switch {
	case s == "" || open[name]:
		return s
	case name == "icaluid":
		if _, ok := instanceDate(s); ok {
			return s
		}
		return derivedUID("event", []byte(s)) // those that others made may hold addresses
	case name == "address" || name == "locationemailaddress":
		return r.address(s)
	case name == "categories":
		return r.category(s)
	}
	if u, ok := cleanURL(unwrap(s)); ok {
		return redactLink(u)
	}
	out := fmt.Sprintf("[%d characters]", utf8.RuneCountInString(s))
	for _, link := range findLinks(s) {
		if link = unwrap(strings.ReplaceAll(link, "&amp;", "&")); service(link) != "" {
			out += " " + redactLink(link)
		}
	}
	return out
}

// redactLink keeps what tells a link's service.
func redactLink(link string) string {
	u, err := url.Parse(link)
	if err != nil || service(link) == "" {
		return "https://example.invalid/"
	}
	kept := "https://" + u.Host + "/"
	for segment := range strings.SplitSeq(strings.TrimPrefix(u.Path, "/"), "/") {
		if service(kept+"redacted") != "" {
			break
		}
		kept += segment + "/"
	}
	if service(kept+"redacted") == "" {
		return "https://" + u.Host + "/j.php"
	}
	return kept + "redacted"
}

func (r *redactor) address(s string) string {
	n := r.person(s)
	if !isAddress(cleanAddress(s)) {
		return fmt.Sprintf("person %d, no address", n)
	}
	return fmt.Sprintf("person%d@example.invalid", n)
}

func (r *redactor) person(address string) int {
	key := addressKey(graph.EmailAddress{Address: address})
	if r.people[key] == 0 {
		r.people[key] = len(r.people) + 1
	}
	return r.people[key]
}

func (r *redactor) category(name string) string {
	if r.categories[name] == 0 {
		r.categories[name] = len(r.categories) + 1
	}
	return fmt.Sprintf("Category %d", r.categories[name])
}
