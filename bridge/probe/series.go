package probe

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"outbridge/bridge/graph"
)

// What is left of the two exceptions and the cancellation of a series.
const (
	keptAll          = "2 of 2 exceptions"
	keptCancellation = "1 of 1 cancellation"
	lostAll          = "0 of 2 exceptions, 0 of 1 cancellation"
)

const unknown = "nobody has measured it"

// resets are the ways in which the times or the rule of a series are written.
func reset(id, what string, f func(*session) fields) Question {
	return Question{
		ID: id, Text: "What is left of 2 exceptions and 1 deleted occurrence after a PATCH of a series with " + what + "?",
		Expected: lostAll, Basis: "Outlook warns that they are lost; nobody has measured it", Others: []string{"0 of 2 *", "1 of 2 *", "2 of 2 *"},
		ask: func(s *session) (string, error) { return s.reset(f(s)) },
	}
}

var seriesQuestions = []Question{
	reset("reset-same", "the recurrence that it has", func(s *session) fields { return fields{"recurrence": s.every(berlin)} }),
	reset("reset-end", "a later end date", func(s *session) fields {
		rule := s.every(berlin)
		rule["range"].(fields)["endDate"] = s.date(20)
		return fields{"recurrence": rule}
	}),
	reset("reset-time", "another time, with the recurrence that it has", func(s *session) fields {
		return fields{"start": s.at(berlin, 0, 11, 0), "end": s.at(berlin, 0, 12, 0), "recurrence": s.every(berlin)}
	}),
	reset("reset-zone", "another time zone", func(s *session) fields {
		const zone = "Eastern Standard Time"
		return fields{"start": s.at(zone, 0, 9, 0), "end": s.at(zone, 0, 10, 0), "recurrence": s.every(zone)}
	}),
	reset("reset-start-end", "another start and end, and no recurrence", func(s *session) fields {
		return fields{"start": s.at(berlin, 0, 11, 0), "end": s.at(berlin, 0, 12, 0)}
	}),
	{
		ID: "series-none", Text: "What is a series after a PATCH with recurrence null?", Expected: "singleInstance, the same id", Basis: "learn.microsoft.com/graph/api/event-update",
		ask: func(s *session) (string, error) {
			e, err := s.create(s.series("series-none", berlin))
			if err != nil {
				return "", err
			}
			a, err := s.patch(e.ID, e.ETag, fields{"recurrence": nil})
			return kindAfter(e, a, err)
		},
	},
	{
		ID: "series-made", Text: "What is a single event after a PATCH with a recurrence?", Expected: "seriesMaster, the same id", Basis: unknown,
		ask: func(s *session) (string, error) {
			f := s.series("series-made", berlin)
			delete(f, "recurrence")
			e, err := s.create(f)
			if err != nil {
				return "", err
			}
			a, err := s.patch(e.ID, e.ETag, fields{"recurrence": s.every(berlin)})
			return kindAfter(e, a, err)
		},
	},
	{
		ID: "rule-filler", Text: "Is a recurrence taken that has the properties of other types too (month 0, dayOfMonth 0)?", Expected: "400 *",
		Basis: "learn.microsoft.com/graph/api/resources/recurrencepattern", Others: []string{"201"},
		ask: func(s *session) (string, error) {
			f := s.series("rule-filler", berlin)
			pattern := f["recurrence"].(fields)["pattern"].(fields)
			pattern["month"], pattern["dayOfMonth"] = 0, 0
			return short(s.post(f))
		},
	},
	{
		ID: "rule-zone", Text: "Is a recurrence taken whose recurrenceTimeZone is empty?", Expected: "400 TimeZoneNotSupportedException",
		Basis: "github.com/microsoftgraph/microsoft-graph-docs/issues/7163", Others: []string{"400 *", "201"},
		ask: func(s *session) (string, error) {
			return short(s.post(s.series("rule-zone", berlin).with(fields{"recurrence": s.every("")})))
		},
	},
	{
		ID: "rule-start", Text: "Is a recurrence taken whose range begins on another day than the event?", Expected: "400 *",
		Basis: "learn.microsoft.com/graph/api/resources/recurrencerange", Others: []string{"201"},
		ask: func(s *session) (string, error) {
			f := s.series("rule-start", berlin)
			f["recurrence"].(fields)["range"].(fields)["startDate"] = s.date(1)
			return short(s.post(f))
		},
	},
	{
		ID: "rule-long", Text: "Is a series taken whose occurrences last until the next one?", Expected: "400 ErrorOccurrenceTimeSpanTooBig",
		Basis: "the documentation of EWS", Others: []string{"400 *", "201"},
		ask: func(s *session) (string, error) {
			return short(s.post(s.series("rule-long", berlin).with(fields{"end": s.at(berlin, 3, 10, 0)})))
		},
	},
	{
		ID: "rule-31", Text: "Where is an occurrence on day 31 in a month that is shorter?", Expected: "on the last day", Basis: "[MS-OXOCAL] 2.2.1.44; not measured with Graph",
		ask: func(s *session) (string, error) {
			day := s.base
			for day.Day() != 31 {
				day = day.AddDate(0, 0, 1)
			}
			n := int(day.Sub(s.base).Hours() / 24)
			f := s.series("rule-31", berlin).with(fields{"start": s.at(berlin, n, 9, 0), "end": s.at(berlin, n, 10, 0)})
			f["recurrence"] = fields{"pattern": fields{"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 31}, "range": fields{"type": "numbered", "numberOfOccurrences": 8, "startDate": day.Format("2006-01-02"), "recurrenceTimeZone": berlin}}
			e, err := s.create(f)
			if err != nil {
				return "", err
			}
			list, err := s.instances(e.ID, berlin, day, 8)
			if err != nil {
				return "", err
			}
			for _, o := range list {
				if len(o.Start.DateTime) >= 10 && o.Start.DateTime[8:10] != "31" {
					return "on the last day", nil
				}
			}
			return "nowhere", nil
		},
	},
}

func short(a graph.Answer, err error) (string, error) { return code(a), err }

func kindAfter(was graph.Event, a graph.Answer, err error) (string, error) {
	if err != nil || !good(a) {
		return code(a), err
	}
	e, err := event(a)
	return e.Type + map[bool]string{true: ", the same id", false: ", another id"}[e.ID == was.ID], err
}

// reset makes a series with two exceptions and a deleted occurrence, writes f to it and counts what is left.
func (s *session) reset(f fields) (string, error) {
	e, err := s.create(s.series("reset", berlin))
	if err != nil {
		return "", err
	}
	all, err := s.occurrences(e.ID, berlin)
	if err != nil {
		return "", err
	}
	named, moved, gone := all[s.date(2)], all[s.date(4)], all[s.date(6)]
	if named.ID == "" || moved.ID == "" || gone.ID == "" {
		return "", errors.New("an occurrence that the series has is not listed")
	}
	answers, err := s.together(true,
		graph.Trial{Method: http.MethodPatch, Path: s.path(named.ID), IfMatch: "*", Body: fields{"subject": subject + "another title"}.json()},
		graph.Trial{Method: http.MethodPatch, Path: s.path(moved.ID), IfMatch: "*", Body: fields{"start": s.at(berlin, 4, 15, 0), "end": s.at(berlin, 4, 16, 0)}.json()})
	if err != nil {
		return "", err
	}
	a, err := s.delete(gone.ID)
	if err != nil {
		return "", err
	}
	for _, a := range append(answers, a) {
		if !good(a) {
			return "", &refused{a}
		}
	}
	if exceptions, cancelled, err := s.left(e.ID); err != nil {
		return "", err
	} else if exceptions != 2 || cancelled != 1 {
		return "", fmt.Errorf("before it there were %d of 2 exceptions and %d of 1 cancellation to be seen", exceptions, cancelled)
	}
	if _, err := s.change(e.ID, f); err != nil {
		return "", err
	}
	exceptions, cancelled, err := s.left(e.ID)
	return fmt.Sprintf("%d of 2 exceptions, %d of 1 cancellation", exceptions, cancelled), err
}

// left counts the exceptions and the cancellations that a series has.
func (s *session) left(id graph.EventID) (exceptions, cancelled int, err error) {
	s.requests++
	r := s.p.Graph.Masters(s.ctx, s.own[0], []graph.MasterRef{{ID: id, Zone: berlin}})[0]
	switch {
	case r.Err != nil:
		return 0, 0, r.Err
	case r.Partial:
		return 0, 0, errors.New("this Microsoft cloud does not tell of exceptions and cancellations")
	}
	for _, c := range r.Event.CancelledOccurrences {
		if strings.HasSuffix(c, "."+s.date(6)) {
			cancelled++
		}
	}
	return len(r.Event.ExceptionOccurrences), cancelled, nil
}
