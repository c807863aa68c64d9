package convert

import (
	"outbridge/bridge/graph"
)

// Group sorts a list of events, in whatever order and however often Graph gave them, into objects: a master with its
// exceptions, each single event, each instance whose master is not in the list. Of an id that comes twice the last one
// counts. Tombstones are left out, and so are the plain occurrences of a master that is there, for its recurrence
// gives them. They are not taken for all that the series has: a list may be one page of many.
func Group(events []graph.Event) []Series {
	at := make(map[graph.EventID]int, len(events))
	var list []graph.Event
	for _, e := range events {
		i, ok := at[e.ID]
		switch {
		case e.Removed != nil:
			if ok {
				list[i] = e
			}
		case ok && e.ID != "":
			list[i] = e
		default:
			at[e.ID] = len(list)
			list = append(list, e)
		}
	}

	masters := make(map[graph.EventID]int)
	var out []Series
	for _, e := range list {
		if e.Removed == nil && isMaster(e) {
			if e.ID != "" {
				masters[e.ID] = len(out)
			}
			out = append(out, Series{Event: e})
		} else if e.Removed == nil && !isInstance(e) {
			out = append(out, Series{Event: e})
		}
	}
	for _, e := range list {
		if e.Removed != nil || isMaster(e) || !isInstance(e) {
			continue
		}
		i, ok := masters[e.SeriesMasterID]
		switch {
		case !ok || e.SeriesMasterID == "":
			out = append(out, Series{Event: e})
		case e.Type == graph.Exception:
			out[i].Exceptions = append(out[i].Exceptions, e)
		}
	}
	return out
}
