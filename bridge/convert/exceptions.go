package convert

import (
	"encoding/json"
	"maps"
	"strings"

	"outbridge/bridge/graph"
)

// own are the properties that tell one event from another, which an exception never has from its master.
var own = map[string]bool{
	"id": true, "icaluid": true, "uid": true, "type": true, "seriesmasterid": true, "occurrenceid": true, "originalstart": true,
	"start": true, "end": true, "recurrence": true, "cancelledoccurrences": true, "exceptionoccurrences": true,
	"exceptionoccurrences@odata.nextlink": true, "changekey": true, "createddatetime": true, "transactionid": true,
	"@removed": true,
}

// estate is what other events inherit of one, by its names: it is read once, however many inherit.
type estate map[string]json.RawMessage

// estateOf is all that e has, or, of a master, what is not an occurrence's own and no annotation.
func estateOf(e graph.Event, isMaster bool) (all estate) {
	if json.Unmarshal(e.Raw, &all) != nil {
		return nil
	}
	if isMaster {
		maps.DeleteFunc(all, func(name string, _ json.RawMessage) bool {
			return own[strings.ToLower(name)] || strings.Contains(strings.ToLower(name), "@odata.")
		})
	}
	return all
}

// inherit is e with the properties that its JSON leaves out taken from another event's: $expand=exceptionOccurrences gives only
// the properties that were selected.
func inherit(e graph.Event, from estate) graph.Event {
	if len(e.Raw) == 0 || len(from) == 0 {
		return e
	}
	var mine map[string]json.RawMessage
	if json.Unmarshal(e.Raw, &mine) != nil {
		return e
	}
	have := make(map[string]bool, len(mine))
	for name := range mine {
		have[strings.ToLower(name)] = true
	}
	missing := false
	for name, value := range from {
		if !have[strings.ToLower(name)] {
			mine[name] = value
			missing = true
		}
	}
	if !missing {
		return e
	}
	raw, err := json.Marshal(mine)
	if err != nil {
		return e
	}
	var out graph.Event
	if out.UnmarshalJSON(raw) != nil {
		return e
	}
	return out
}
