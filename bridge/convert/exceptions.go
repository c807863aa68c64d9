package convert

import (
	"encoding/json"
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

// inherit is e with the properties that its JSON leaves out taken from base: $expand=exceptionOccurrences gives only
// the properties that were selected. fromMaster keeps what is an occurrence's own out of it.
func inherit(e, base graph.Event, fromMaster bool) graph.Event {
	if len(e.Raw) == 0 || len(base.Raw) == 0 {
		return e
	}
	var mine, theirs map[string]json.RawMessage
	if json.Unmarshal(e.Raw, &mine) != nil || json.Unmarshal(base.Raw, &theirs) != nil {
		return e
	}
	have := make(map[string]bool, len(mine))
	for name := range mine {
		have[strings.ToLower(name)] = true
	}
	missing := false
	for name, value := range theirs {
		key := strings.ToLower(name)
		if have[key] || fromMaster && (own[key] || strings.HasPrefix(key, "@odata")) {
			continue
		}
		mine[name] = value
		missing = true
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
