package probe

import "outbridge/bridge/graph"

const measuredPersonal = "measured with personal accounts"

// onOccurrence asks about one occurrence of a new series, by its OID: write is what is sent to it.
func onOccurrence(write func(s *session, id graph.EventID) (graph.Answer, error)) func(*session) (string, error) {
	return func(s *session) (string, error) {
		e, err := s.create(s.series("occurrence", berlin))
		if err != nil {
			return "", err
		}
		return short(write(s, graph.OccurrenceID(e.ID, s.date(4))))
	}
}

var occurrenceQuestions = []Question{
	{
		ID: "oid-read", Text: "Is an occurrence found by its series and date (OID)?", Expected: "200", Basis: measuredPersonal, Others: []string{"400 *", "404 *"},
		ask: onOccurrence(func(s *session, id graph.EventID) (graph.Answer, error) { return s.get(id, "", berlin) }),
	},
	{
		ID: "oid-patch", Text: "Does an occurrence change by its OID?", Expected: "200", Basis: measuredPersonal, Others: []string{"400 *", "404 *"},
		ask: onOccurrence(func(s *session, id graph.EventID) (graph.Answer, error) {
			return s.patch(id, "*", fields{"subject": subject + "changed by its OID"})
		}),
	},
	{
		ID: "oid-delete", Text: "Is an occurrence deleted by its OID?", Expected: "204", Basis: measuredPersonal, Others: []string{"400 *", "404 *"},
		ask: onOccurrence((*session).delete),
	},
	{
		ID: "oid-allday", Text: "Does an occurrence of an all-day series change by its OID?", Expected: "200", Basis: measuredPersonal, Others: []string{"400 *", "404 *"},
		ask: func(s *session) (string, error) {
			e, err := s.create(s.series("oid-allday", berlin).with(fields{"isAllDay": true, "start": s.at(berlin, 0, 0, 0), "end": s.at(berlin, 1, 0, 0)}))
			if err != nil {
				return "", err
			}
			return short(s.patch(graph.OccurrenceID(e.ID, s.date(4)), "*", fields{"subject": subject + "changed by its OID"}))
		},
	},
	{
		ID: "oid-zone", Text: "In which zone does an OID count its date, where the series is read in another zone than its own?", Expected: "the series' own", Basis: measuredPersonal,
		Others: []string{"occurrenceId is not told"},
		ask: func(s *session) (string, error) {
			const zone = "New Zealand Standard Time" // 09:00 there is the day before in UTC
			e, err := s.create(s.series("oid-zone", zone))
			if err != nil {
				return "", err
			}
			all, err := s.occurrences(e.ID, "UTC")
			if err != nil {
				return "", err
			}
			for _, o := range all {
				if o.OccurrenceID == "" {
					return "occurrenceId is not told", nil
				}
			}
			if _, ok := all[s.date(0)]; ok {
				return "the series' own", nil
			}
			return "that of the reader", nil
		},
	},
	{
		ID: "oid-etag", Text: "Is the ETag of the series taken for one of its occurrences?", Expected: "200", Basis: unknown, Others: []string{"412 *"},
		ask: func(s *session) (string, error) {
			e, o, err := s.oneOf("oid-etag", 4)
			if err != nil {
				return "", err
			}
			return short(s.patch(o.ID, e.ETag, fields{"subject": subject + "by the series' ETag"}))
		},
	},
	{
		ID: "revert", Text: "What is an exception after a PATCH with all that the series has?", Expected: "exception", Basis: unknown, Others: []string{"occurrence"},
		ask: func(s *session) (string, error) {
			_, o, err := s.oneOf("revert", 4)
			if err != nil {
				return "", err
			}
			if o, err = s.change(o.ID, fields{"subject": subject + "another title"}); err != nil {
				return "", err
			}
			o, err = s.change(o.ID, fields{"subject": subject + "revert"})
			return o.Type, err
		},
	},
	{
		ID: "undelete", Text: "Does a PATCH bring a deleted occurrence back?", Expected: "404 ErrorItemNotFound", Basis: "cancelledOccurrences cannot be written", Others: []string{"404 *", "400 *"},
		ask: func(s *session) (string, error) {
			e, o, err := s.oneOf("undelete", 4)
			if err != nil {
				return "", err
			}
			if err := s.remove(o.ID); err != nil {
				return "", err
			}
			return short(s.patch(graph.OccurrenceID(e.ID, s.date(4)), "*", fields{"subject": subject + "back again"}))
		},
	},
	{
		ID: "crossing-day", Text: "May an occurrence move to the day of the next one?", Expected: "400 ErrorOccurrenceCrossingBoundary", Basis: "learn.microsoft.com/graph/api/event-update",
		Others: []string{"400 *", "200"},
		ask:    func(s *session) (string, error) { return s.moveTo("crossing-day", 6, false) },
	},
	{
		ID: "crossing-pass", Text: "May an occurrence move past the day of the next one, as to swap the two?", Expected: "400 ErrorOccurrenceCrossingBoundary", Basis: "learn.microsoft.com/graph/api/event-update",
		Others: []string{"400 *", "200"},
		ask:    func(s *session) (string, error) { return s.moveTo("crossing-pass", 7, false) },
	},
	{
		ID: "crossing-deleted", Text: "May an occurrence move to the day of the next one, which was deleted?", Expected: "400 ErrorOccurrenceCrossingBoundary", Basis: "one program's report",
		Others: []string{"400 *", "200"},
		ask:    func(s *session) (string, error) { return s.moveTo("crossing-deleted", 6, true) },
	},
	{
		ID: "crossing-free", Text: "May an occurrence move to a day between it and the next one?", Expected: "200", Basis: "learn.microsoft.com/graph/api/event-update",
		ask: func(s *session) (string, error) { return s.moveTo("crossing-free", 5, false) },
	},
}

// oneOf makes a series, and reads its occurrence of a day.
func (s *session) oneOf(title string, day int) (series, occurrence graph.Event, err error) {
	if series, err = s.create(s.series(title, berlin)); err == nil {
		occurrence, err = s.occurrence(series.ID, day)
	}
	return series, occurrence, err
}

// moveTo moves the occurrence of day 4 to another day, after that of day 6 was deleted where that is asked.
func (s *session) moveTo(title string, day int, deleted bool) (string, error) {
	e, o, err := s.oneOf(title, 4)
	if err != nil {
		return "", err
	}
	if deleted {
		next, err := s.occurrence(e.ID, 6)
		if err != nil {
			return "", err
		}
		if err := s.remove(next.ID); err != nil {
			return "", err
		}
	}
	return short(s.patch(o.ID, "*", fields{"start": s.at(berlin, day, 15, 0), "end": s.at(berlin, day, 16, 0)}))
}
