package convert

import (
	"time"

	"outbridge/bridge/graph"
)

// Group sorts a list of events, in whatever order and however often Graph gave them, into objects: a master with its
// exceptions, each single event, each instance whose master is not in the list. Of an id that comes twice the last one
// counts. Tombstones are left out. The plain occurrences of a master that is there are not events of their own, for its
// recurrence gives them; where the master itself does not say what is cancelled (a delta never does), a gap between
// the first and the last of them is a cancelled one. What lies before and after them is not known: a list may be one
// page of many.
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
		if !ok || e.SeriesMasterID == "" {
			out = append(out, Series{Event: e})
			continue
		}
		if e.Type == graph.Exception {
			out[i].Exceptions = append(out[i].Exceptions, e)
		}
		_, _, readable := readMoment(e.Start, zone{})
		_, _, ends := readMoment(e.End, zone{})
		if readable && ends && out[i].Event.CancelledOccurrences == nil {
			out[i].Occurrences = append(out[i].Occurrences, Occurrence{SpanOf(e), e.IsAllDay})
		}
	}
	for i := range out {
		out[i].spanOccurrences()
	}
	return out
}

// spanOccurrences makes the window what the listed occurrences say anything of: from the first to the last.
func (s *Series) spanOccurrences() {
	if len(s.Occurrences) < 2 {
		s.Occurrences = nil
		return
	}
	first, last := s.Occurrences[0].Start, s.Occurrences[0].Start
	for _, o := range s.Occurrences {
		if o.Start.Before(first) {
			first = o.Start
		}
		if o.Start.After(last) {
			last = o.Start
		}
	}
	s.Window = Span{first.Add(-fuzzy), last.Add(fuzzy + time.Second)}
}
