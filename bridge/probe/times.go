package probe

import (
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// wallClock reads the time of an answer.
func wallClock(t graph.DateTimeTimeZone) time.Time {
	at, _ := time.Parse("2006-01-02T15:04:05", t.DateTime[:min(19, len(t.DateTime))])
	return at
}

// startOnly asks what becomes of the end where only the start is changed, by so many hours.
func startOnly(title string, hours int) func(*session) (string, error) {
	return func(s *session) (string, error) {
		e, err := s.create(s.single(title))
		if err != nil {
			return "", err
		}
		start, end := wallClock(e.Start), wallClock(e.End)
		a, err := s.patch(e.ID, "*", fields{"start": fields{"dateTime": start.Add(time.Duration(hours) * time.Hour).Format("2006-01-02T15:04:05"), "timeZone": berlin}})
		if err != nil || !good(a) {
			return code(a), err
		}
		now, err := event(a)
		if err != nil {
			return "", err
		}
		switch at := wallClock(now.End); {
		case at.Equal(end):
			return "the end stays", nil
		case at.Equal(end.Add(time.Duration(hours) * time.Hour)):
			return "the end moves along", nil
		}
		return "the end moves elsewhere", nil
	}
}

// zoneOf asks what becomes of an event whose times a PATCH gives in a zone.
func zoneOf(zone string) func(*session) (string, error) {
	return func(s *session) (string, error) {
		e, err := s.create(s.single("zone"))
		if err != nil {
			return "", err
		}
		a, err := s.patch(e.ID, "*", fields{"start": s.at(zone, 190, 9, 0), "end": s.at(zone, 190, 10, 0)})
		if err != nil || !good(a) {
			return code(a), err
		}
		now, err := event(a)
		if err != nil {
			return "", err
		}
		if now.OriginalStartTimeZone == zone {
			return "200, kept as it is", nil
		}
		return "200, as another name", nil
	}
}

var timeQuestions = []Question{
	{
		ID: "start-alone", Text: "Where is the end after a PATCH of the start alone, to two hours earlier?", Expected: "the end stays", Basis: "the documentation of EWS",
		Others: []string{"the end moves along", "400 *"}, ask: startOnly("start-alone", -2),
	},
	{
		ID: "start-past-end", Text: "What answers a PATCH of the start alone, to after the end?", Expected: "400 *", Basis: "the documentation of EWS",
		Others: []string{"the end moves along"}, ask: startOnly("start-past-end", 2),
	},
	{
		ID: "end-first", Text: "What answers an event that ends before it starts?", Expected: "400 *", Basis: reported,
		ask: func(s *session) (string, error) {
			return short(s.post(s.single("end-first").with(fields{"start": s.at(berlin, 190, 10, 0), "end": s.at(berlin, 190, 9, 0)})))
		},
	},
	{
		ID: "zero-length", Text: "Is an event without a duration taken?", Expected: "201", Basis: "reported by one program", Others: []string{"400 *"},
		ask: func(s *session) (string, error) {
			return short(s.post(s.single("zero-length").with(fields{"start": s.at(berlin, 190, 10, 0), "end": s.at(berlin, 190, 10, 0)})))
		},
	},
	{
		ID: "two-zones", Text: "Are both zones kept of an event that ends in another one than it starts in?", Expected: "both", Basis: unknown, Others: []string{"one", "400 *"},
		ask: func(s *session) (string, error) {
			const other = "Eastern Standard Time"
			a, err := s.post(s.single("two-zones").with(fields{"start": s.at(berlin, 190, 9, 0), "end": s.at(other, 190, 9, 0)}))
			if err != nil || !good(a) {
				return code(a), err
			}
			e, err := event(a)
			if e.OriginalStartTimeZone == berlin && e.OriginalEndTimeZone == other {
				return "both", err
			}
			return "one", err
		},
	},
	{
		ID: "allday-noon", Text: "What answers an all-day event that does not start at midnight?", Expected: "400 ErrorInvalidRequest", Basis: reported, Others: []string{"400 *"},
		ask: func(s *session) (string, error) {
			return short(s.post(s.single("allday-noon").with(fields{"isAllDay": true, "start": s.at(berlin, 190, 12, 0), "end": s.at(berlin, 191, 12, 0)})))
		},
	},
	{
		ID: "zone-iana", Text: "Is an IANA name of a time zone taken in a PATCH?", Expected: "200, kept as it is", Basis: measuredPersonal, Others: []string{"200, as another name", "400 *"},
		ask: zoneOf("Europe/Berlin"),
	},
	{
		ID: "zone-windows", Text: "Is a Windows name of a time zone taken in a PATCH?", Expected: "200, kept as it is", Basis: measuredPersonal, Others: []string{"200, as another name"},
		ask: zoneOf("Tokyo Standard Time"),
	},
	{
		ID: "zone-custom", Text: "Is tzone://Microsoft/Custom taken in a PATCH?", Expected: "400 *", Basis: unknown, Others: []string{"200*"},
		ask: zoneOf("tzone://Microsoft/Custom"),
	},
}

// made asks what an event is like that is made with some fields: of reads it off the answer.
func made(title string, more fields, of func(graph.Event) string) func(*session) (string, error) {
	return func(s *session) (string, error) {
		a, err := s.post(s.single(title).with(more))
		if err != nil || !good(a) {
			return code(a), err
		}
		e, err := event(a)
		return of(e), err
	}
}

func has(ok bool, yes, no string) string {
	if ok {
		return yes
	}
	return no
}

var longSubject = subject + strings.Repeat("subject-long ", 24) + "end"

var fieldQuestions = []Question{
	{
		ID: "subject-long", Text: "What becomes of a title of more than 255 characters?", Expected: "400 *", Basis: "Outlook's own limit; not measured", Others: []string{"kept", "cut"},
		ask: made("", fields{"subject": longSubject}, func(e graph.Event) string { return has(e.Subject == longSubject, "kept", "cut") }),
	},
	{
		ID: "categories-many", Text: "How many of 60 categories are kept?", Expected: "all", Basis: unknown, Others: []string{"some", "400 *"},
		ask: func(s *session) (string, error) {
			var list []string
			for i := range 60 {
				list = append(list, "outbridge probe "+string(rune('a'+i/26))+string(rune('a'+i%26)))
			}
			return made("categories-many", fields{"categories": list}, func(e graph.Event) string { return has(len(e.Categories) == len(list), "all", "some") })(s)
		},
	},
	{
		ID: "reminder-after", Text: "Is a reminder after the start taken (-5 minutes)?", Expected: "kept", Basis: unknown, Others: []string{"changed", "400 *"},
		ask: made("reminder-after", fields{"isReminderOn": true, "reminderMinutesBeforeStart": -5}, func(e graph.Event) string { return has(e.ReminderMinutes == -5, "kept", "changed") }),
	},
	{
		ID: "reminder-year", Text: "Is a reminder a year before taken?", Expected: "kept", Basis: unknown, Others: []string{"changed", "400 *"},
		ask: made("reminder-year", fields{"isReminderOn": true, "reminderMinutesBeforeStart": 525600}, func(e graph.Event) string { return has(e.ReminderMinutes == 525600, "kept", "changed") }),
	},
	{
		ID: "body-text", Text: "How does a body come back that was written as text?", Expected: "marked as converted", Basis: reported, Others: []string{"as it was"},
		ask: made("body-text", fields{"body": fields{"contentType": "text", "content": "One line\nand another"}}, func(e graph.Event) string {
			return has(strings.Contains(e.Body.Content, "converted from text") || strings.Contains(e.Body.Content, "PlainText"), "marked as converted", "as it was")
		}),
	},
	{
		ID: "draft", Text: "Is isDraft taken in a POST?", Expected: "400 *", Basis: "reported by one program", Others: []string{"not a draft", "a draft"},
		ask: made("draft", fields{"isDraft": true}, func(e graph.Event) string { return has(e.IsDraft, "a draft", "not a draft") }),
	},
	{
		ID: "meeting-body", Text: "What becomes of an online meeting whose body is replaced without its join information?", Expected: "it has none any more", Basis: reported,
		Others: []string{"it is another one", "it is as before"},
		ask: func(s *session) (string, error) {
			e, err := s.online("meeting-body")
			if err != nil {
				return "", err
			}
			now, err := s.change(e.ID, fields{"body": fields{"contentType": "html", "content": "<p>Replaced</p>"}})
			switch {
			case err != nil:
				return "", err
			case now.OnlineMeeting == nil || now.OnlineMeeting.JoinURL == "":
				return "it has none any more", nil
			case now.OnlineMeeting.JoinURL != e.OnlineMeeting.JoinURL:
				return "it is another one", nil
			}
			return "it is as before", nil
		},
	},
	{
		ID: "meeting-off", Text: "What becomes of an online meeting after a PATCH with isOnlineMeeting false?", Expected: "it is as before", Basis: "learn.microsoft.com/graph/outlook-calendar-online-meetings",
		Others: []string{"it has none any more", "400 *"},
		ask: func(s *session) (string, error) {
			e, err := s.online("meeting-off")
			if err != nil {
				return "", err
			}
			a, err := s.patch(e.ID, "*", fields{"isOnlineMeeting": false})
			if err != nil || !good(a) {
				return code(a), err
			}
			now, err := event(a)
			return has(now.OnlineMeeting != nil && now.OnlineMeeting.JoinURL != "", "it is as before", "it has none any more"), err
		},
	},
}

// online makes an online meeting, to which nobody is invited.
func (s *session) online(title string) (graph.Event, error) {
	e, err := s.create(s.single(title).with(fields{"isOnlineMeeting": true}))
	if err != nil {
		return e, err
	}
	if e.OnlineMeeting == nil || e.OnlineMeeting.JoinURL == "" {
		return e, errNoMeeting
	}
	return e, nil
}
