package write

import (
	"encoding/json"

	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// windowsZones is the body of a create or an update with the Windows names of its time zones, for a mailbox that does not take their
// IANA names. ok is false where there is no other name.
func windowsZones(body []byte) (out []byte, ok bool) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return nil, false
	}
	for _, name := range []string{"start", "end"} {
		var t graph.DateTimeTimeZone
		if fields[name] == nil || json.Unmarshal(fields[name], &t) != nil {
			continue
		}
		if w := convert.WindowsZone(t.TimeZone); w != "" && w != t.TimeZone {
			t.TimeZone, ok = w, true
			fields[name], _ = json.Marshal(t) // strings always marshal
		}
	}
	var r struct {
		Pattern json.RawMessage            `json:"pattern"`
		Range   map[string]json.RawMessage `json:"range"`
	}
	if fields["recurrence"] != nil && json.Unmarshal(fields["recurrence"], &r) == nil && r.Range != nil {
		var zone string
		if json.Unmarshal(r.Range["recurrenceTimeZone"], &zone) == nil {
			if w := convert.WindowsZone(zone); w != "" && w != zone {
				ok = true
				r.Range["recurrenceTimeZone"], _ = json.Marshal(w)
				fields["recurrence"], _ = json.Marshal(r)
			}
		}
	}
	out, err := json.Marshal(fields)
	return out, ok && err == nil
}
