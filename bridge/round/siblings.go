package round

import (
	"context"
	"net/url"
	"regexp"
	"slices"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// siblings tells in which calendar of a mailbox an event lies, by the link to it that Graph gives.
type siblings struct {
	graph  Graph
	cal    bridge.Calendar
	served []bridge.Calendar // all of the account, cal among them
	// unserved are ids that links have named: whether they are of a calendar that is not served.
	unserved map[graph.CalendarID]bool
	// listed is what the list of the calendar's events said of those that do not say where they lie.
	listed map[graph.EventID]graph.Result
}

var calendarInLink = regexp.MustCompile(`(?i)calendars(?:\('([^']+)'\)|/([^/?]+))`)

// look asks the list of the calendar's events for those that Graph has and whose answers leave out the link, so that isHere knows
// of them: some answers do so where properties are selected, and an event may be at the path of a calendar that it has left.
func (s *siblings) look(ctx context.Context, results []graph.Result) {
	s.listed = map[graph.EventID]graph.Result{}
	var doubtful []graph.Event
	for _, res := range results {
		e := res.Event
		if e.ID = res.ID; res.Err == nil && e.ICalUID != "" && !rowOf(e, 0).IsInstance() && !calendarInLink.MatchString(e.CalendarLink) {
			doubtful = append(doubtful, e)
		}
	}
	if len(doubtful) == 0 {
		return
	}
	for _, found := range s.graph.Listed(ctx, s.cal.GraphID, doubtful) {
		s.listed[found.ID] = found
	}
}

// isHere reports whether an event that Graph has is in this calendar. named: a listing has named it here.
func (s *siblings) isHere(ctx context.Context, e graph.Event, named bool, elsewhere map[graph.EventID]bridge.CalendarID) (bool, error) {
	if m := calendarInLink.FindStringSubmatch(e.CalendarLink); m != nil {
		text, err := url.PathUnescape(m[1] + m[2])
		id := graph.CalendarID(text)
		if other, ok := s.find(id); ok && err == nil {
			return other.ID == s.cal.ID, nil
		}
		if err == nil && !named {
			if unserved, err := s.isUnserved(ctx, id); err != nil || unserved {
				return false, err
			}
		}
	}
	if named {
		return true, nil
	}
	found, asked := s.listed[e.ID]
	if asked && found.Err == nil {
		return found.Event.ID != "", nil
	}
	if asked && !isUnlisted(found.Err) {
		return false, found.Err
	}
	_, moved := elsewhere[e.ID]
	return !moved, nil
}

// isUnlisted reports that Graph will look for no event in the list of a calendar's events, and never will.
func isUnlisted(err error) bool {
	return graph.IsNotOffered(err) && !graph.IsAccessDenied(err) && !isGone(err)
}

// find is the served calendar of the same mailbox with that id.
func (s *siblings) find(id graph.CalendarID) (bridge.Calendar, bool) {
	i := slices.IndexFunc(s.served, func(c bridge.Calendar) bool { return c.Mailbox == s.cal.Mailbox && c.GraphID == id })
	if i < 0 {
		return bridge.Calendar{}, false
	}
	return s.served[i], true
}

// isUnserved reports whether an id that an event names is that of a calendar which is not served, because the
// configuration leaves it out or it is not shared, and not just another form of the id of one that is.
func (s *siblings) isUnserved(ctx context.Context, id graph.CalendarID) (bool, error) {
	if unserved, ok := s.unserved[id]; ok {
		return unserved, nil
	}
	unserved := false
	c, err := s.graph.Calendar(ctx, id)
	switch {
	case err == nil:
		_, served := s.find(c.ID)
		unserved = !served
	case graph.IsAccessDenied(err):
		unserved = true // this calendar may be read
	case !isGone(err):
		return false, err
	}
	if s.unserved == nil {
		s.unserved = map[graph.CalendarID]bool{}
	}
	s.unserved[id] = unserved
	return unserved, nil
}
