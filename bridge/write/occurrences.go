package write

import (
	"context"
	"errors"
	"slices"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// exception is what is known of the exception of a date.
func (j *job) exception(id graph.EventID, date string) (graph.Event, bool) {
	for _, e := range slices.Concat(j.series.Exceptions, j.series.Event.ExceptionOccurrences) {
		if id != "" && e.ID == id || id == "" && graph.OccurrenceDate(e.OccurrenceID) == date {
			return e, true
		}
	}
	return graph.Event{}, false
}

// occurrences changes and deletes occurrences. Each is held against its own ETag, which only exceptions are known by: others are
// asked for first.
func (j *job) occurrences(ctx context.Context, g Graph, group []convert.Step) ([]bridge.StepResult, error) {
	changes := make([]graph.Change, len(group))
	done := make([]bool, len(group))
	var ask []graph.EventID
	var of []int
	for i, s := range group {
		changes[i] = graph.Change{ID: j.stepID(s)}
		if s.Op == convert.OpUpdate {
			changes[i].Fields = s.Fields
		}
		known, ok := j.exception(s.ID, s.Occurrence)
		if ok && known.ETag != "" && !j.stale {
			changes[i].ID, changes[i].ETag = known.ID, known.ETag
			continue
		}
		if j.stale {
			changes[i].ID = graph.OccurrenceID(j.intent.Series, s.Occurrence) // ids may be others since the series was changed
		}
		ask, of = append(ask, changes[i].ID), append(of, i)
	}
	if len(ask) > 0 {
		for n, r := range j.askFor(ctx, g, ask) {
			i := of[n]
			s := group[i]
			switch {
			case graph.IsNotFound(r.Err), isGone(r.Err), errors.Is(r.Err, errNotByDate):
				other, found, err := j.byInstances(ctx, g, s.Occurrence)
				switch {
				case err != nil:
					return nil, outcome(err)
				case found:
					changes[i].ID, changes[i].ETag = other.ID, other.ETag
				case s.Op == convert.OpDelete:
					done[i] = true
				default:
					return nil, errMoved
				}
			case r.Err != nil:
				return nil, outcome(r.Err)
			default:
				if _, known := j.exception(s.ID, s.Occurrence); !known && !j.stale && r.Event.Type == graph.Exception && !j.created {
					return nil, errMoved // it has become one since
				}
				changes[i].ID, changes[i].ETag = r.Event.ID, r.Event.ETag
				if r.Event.Type == graph.Occurrence && s.Op == convert.OpDelete {
					// It has the ETag of its series, which is another one as soon as its neighbour is deleted.
					changes[i].ETag = "*"
				}
			}
		}
	}
	var send []graph.Change
	var sent []int
	for i := range changes {
		if !done[i] {
			send, sent = append(send, changes[i]), append(sent, i)
		}
	}
	answers := make([]graph.Result, len(group))
	if len(send) > 0 {
		for n, r := range g.Changes(ctx, j.cal.GraphID, j.zone(), send) {
			if send[n].ETag == "*" {
				r = j.withOwnTag(ctx, g, send[n], r)
			}
			answers[sent[n]] = r
		}
	}
	var list []bridge.StepResult
	for i, r := range answers {
		switch {
		case done[i]:
			list = append(list, bridge.StepResult{ID: changes[i].ID})
		case group[i].Op == convert.OpDelete:
			if err := j.deleted(ctx, g, r); err != nil {
				j.stale = true
				return list, outcome(err)
			}
			list = append(list, bridge.StepResult{ID: changes[i].ID})
		case r.Err != nil:
			j.stale = true
			return list, outcome(r.Err)
		default:
			result, err := j.wrote(ctx, r.Event)
			if err != nil {
				return list, err
			}
			list = append(list, result)
		}
	}
	j.etag = "" // perhaps another since
	return list, nil
}

// askFor reads occurrences by their ids. Where Graph is known to find none by its date it is not asked, and the error is
// errNotByDate.
func (j *job) askFor(ctx context.Context, g Graph, ids []graph.EventID) []graph.Result {
	results := make([]graph.Result, len(ids))
	var ask []graph.EventID
	var of []int
	for i, id := range ids {
		if bridge.IsNot(j.m.Learned.ReadsOccurrences) && graph.OccurrenceDate(string(id)) != "" {
			results[i] = graph.Result{ID: id, Err: errNotByDate}
			continue
		}
		ask, of = append(ask, id), append(of, i)
	}
	if len(ask) > 0 {
		for n, r := range g.Events(ctx, j.cal.GraphID, ask) {
			results[of[n]] = r
		}
	}
	return results
}

// withOwnTag deletes an occurrence by the ETag that it has now, where a service does not take "any": r is its refusal.
func (j *job) withOwnTag(ctx context.Context, g Graph, change graph.Change, r graph.Result) graph.Result {
	switch graph.WriteFault(r.Err) {
	case graph.FaultConflict, graph.FaultDeleted, graph.FaultInvalid:
	default:
		return r
	}
	now := g.Events(ctx, j.cal.GraphID, []graph.EventID{change.ID})[0]
	if now.Err != nil {
		return now
	}
	change.ETag = now.Event.ETag
	return g.Changes(ctx, j.cal.GraphID, "UTC", []graph.Change{change})[0]
}

// byInstances looks for an occurrence among those that Graph lists, where it does not know it by its date.
func (j *job) byInstances(ctx context.Context, g Graph, date string) (graph.Event, bool, error) {
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return graph.Event{}, false, nil
	}
	list, err := g.Instances(ctx, j.cal.GraphID, j.intent.Series, day.AddDate(0, 0, -1), day.AddDate(0, 0, 2))
	if graph.IsNotFound(err) {
		return graph.Event{}, false, nil
	}
	if err != nil {
		return graph.Event{}, false, err
	}
	for _, e := range list {
		if graph.OccurrenceDate(e.OccurrenceID) == date {
			return e, true, nil
		}
	}
	return graph.Event{}, false, nil
}

var answers = map[convert.Op]string{convert.OpAccept: graph.Accept, convert.OpTentative: graph.TentativelyAccept, convert.OpDecline: graph.Decline}
