package probe

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// listed reads the events of a page.
func listed(a graph.Answer) ([]graph.Event, error) {
	if !good(a) {
		return nil, &refused{a}
	}
	var page struct{ Value []*graph.Event }
	if err := json.Unmarshal(a.Body, &page); err != nil {
		return nil, err
	}
	var list []graph.Event
	for _, e := range page.Value {
		if e != nil {
			list = append(list, *e)
		}
	}
	return list, nil
}

// page asks for the first page of a list over a time.
func (s *session) page(list string, from, to time.Time) (graph.Answer, error) {
	path := fmt.Sprintf("/calendars/%s/%s?startDateTime=%s&endDateTime=%s", escape(string(s.own[0])), list, escape(from.Format(time.RFC3339)), escape(to.Format(time.RFC3339)))
	return s.try(graph.Trial{Method: http.MethodGet, Path: path})
}

// thirty makes sure that there are thirty single events within some days.
func (s *session) thirty() error {
	if s.many {
		return nil
	}
	var trials []graph.Trial
	for i := range 30 {
		f := s.single("page").with(fields{"start": s.at(berlin, 320, 9, i), "end": s.at(berlin, 320, 10, i)})
		trials = append(trials, graph.Trial{Method: http.MethodPost, Path: s.eventsPath(), Body: f.json()})
	}
	answers, err := s.together(true, trials...)
	for _, a := range answers {
		if err == nil && !good(a) {
			err = &refused{a}
		}
	}
	s.many = err == nil
	return err
}

// pageOf asks how many events a list's page has, where nobody says how many it is to have.
func pageOf(list string) func(*session) (string, error) {
	return func(s *session) (string, error) {
		if err := s.thirty(); err != nil {
			return "", err
		}
		a, err := s.page(list, s.base.AddDate(0, 0, 319), s.base.AddDate(0, 0, 322))
		if err != nil {
			return "", err
		}
		events, err := listed(a)
		return strconv.Itoa(len(events)), err
	}
}

func tooLong(list string) func(*session) (string, error) {
	return func(s *session) (string, error) { return short(s.page(list, s.base, s.base.AddDate(0, 0, 1900))) }
}

var listQuestions = []Question{
	{ID: "view-page", Text: "How many events has a page of a calendarView by itself?", Expected: "10", Basis: "learn.microsoft.com/graph/paging", Others: []string{"*"}, ask: pageOf("calendarView")},
	{ID: "delta-page", Text: "How many events has a page of a delta by itself?", Expected: "10", Basis: unknown, Others: []string{"*"}, ask: pageOf("calendarView/delta")},
	{ID: "view-limit", Text: "What answers a calendarView of more than 1825 days?", Expected: "400 ErrorInvalidRequest", Basis: reported, Others: []string{"400 *"}, ask: tooLong("calendarView")},
	{ID: "delta-limit", Text: "What answers a delta of more than 1825 days?", Expected: "400 ErrorInvalidRequest", Basis: unknown, Others: []string{"400 *", "200"}, ask: tooLong("calendarView/delta")},
	{
		ID: "delta-events", Text: "Is there a delta of all events, without a window (events/delta)?", Expected: "400 *", Basis: "learn.microsoft.com/graph/api/event-delta has it in beta", Others: []string{"*"},
		ask: func(s *session) (string, error) {
			return short(s.try(graph.Trial{Method: http.MethodGet, Path: s.eventsPath() + "/delta"}))
		},
	},
	{
		ID: "delta-series", Text: "What does a delta tell of a series of six occurrences that was deleted?", Expected: "a tombstone of the series*", Basis: unknown, Others: []string{"tombstones of occurrences only"},
		ask: func(s *session) (string, error) {
			e, err := s.create(s.series("delta-series", berlin))
			if err != nil {
				return "", err
			}
			known := false
			for _, wait := range waits {
				changes, err := s.follow()
				if err != nil {
					return "", err
				}
				for _, c := range changes {
					known = known || c.ID == e.ID
				}
				if known {
					break
				}
				if err := sleep(s.ctx, wait); err != nil {
					return "", err
				}
			}
			if !known {
				return "", fmt.Errorf("no delta told of the series within half a minute")
			}
			if err := s.remove(e.ID); err != nil {
				return "", err
			}
			others := 0
			for _, wait := range waits {
				changes, err := s.follow()
				if err != nil {
					return "", err
				}
				master := false
				for _, c := range changes {
					if c.Removed == nil {
						continue
					}
					if c.ID == e.ID {
						master = true
					} else {
						others++
					}
				}
				switch {
				case master && others > 0:
					return "a tombstone of the series and of occurrences", nil
				case master:
					return "a tombstone of the series", nil
				}
				if err := sleep(s.ctx, wait); err != nil {
					return "", err
				}
			}
			return has(others > 0, "tombstones of occurrences only", "nothing"), nil
		},
	},
}

var calendarQuestions = []Question{
	{
		ID: "calendar-name", Text: "Can a second calendar have the name of another?", Expected: "409 ErrorFolderExists", Basis: unknown, Others: []string{"409 *", "400 *", "201"},
		ask: func(s *session) (string, error) {
			a, err := s.try(graph.Trial{Method: http.MethodPost, Path: "/calendars", Body: fields{"name": s.name}.json()})
			var made graph.Calendar
			if err == nil && good(a) && json.Unmarshal(a.Body, &made) == nil && made.ID != "" {
				s.own = append(s.own, made.ID)
			}
			return short(a, err)
		},
	},
	{
		ID: "calendar-hex", Text: "Can a calendar be given any colour (hexColor)?", Expected: "no", Basis: "learn.microsoft.com/graph/api/calendar-update", Others: []string{"yes", "400 *"},
		ask: func(s *session) (string, error) {
			a, err := s.try(graph.Trial{Method: http.MethodPatch, Path: "/calendars/" + escape(string(s.own[0])), Body: fields{"hexColor": "#12ab9f"}.json()})
			if err != nil || !good(a) {
				return code(a), err
			}
			if a, err = s.try(graph.Trial{Method: http.MethodGet, Path: "/calendars/" + escape(string(s.own[0]))}); err != nil {
				return "", err
			}
			var c graph.Calendar
			err = json.Unmarshal(a.Body, &c)
			return has(strings.EqualFold(c.HexColor, "#12ab9f"), "yes", "no"), err
		},
	},
	{
		ID: "schedule", Text: "Can the times at which the mailbox itself is busy be looked up (getSchedule)?", Expected: "200", Basis: "learn.microsoft.com/graph/api/calendar-getschedule, not for personal accounts",
		Others: []string{"403 *", "404 *", "400 *", "405 *", "501 *"},
		ask: func(s *session) (string, error) {
			if s.p.Address == "" {
				return "", fmt.Errorf("the address of the mailbox is not known")
			}
			return short(s.try(graph.Trial{Method: http.MethodPost, Path: "/calendar/getSchedule", Body: fields{"schedules": []string{s.p.Address},
				"startTime": s.at("UTC", 0, 0, 0), "endTime": s.at("UTC", 1, 0, 0), "availabilityViewInterval": 30}.json()}))
		},
	},
}

const wouldMail = "not asked: it needs a second person, who would be mailed"

// unasked are the questions that a probe does not ask.
var unasked = []Question{
	{ID: "mail-quiet", Text: "Is anybody mailed of a change of reminder, categories, showAs, sensitivity or attachments of a meeting?", Expected: "nobody", Basis: unknown, Why: wouldMail},
	{ID: "mail-delete", Text: "Who is mailed by DELETE, by cancel and by permanentDelete of a meeting?", Expected: "all attendees, by each", Basis: reported, Why: wouldMail},
	{ID: "attendee-change", Text: "Is an attendee's change of title or time taken, and does it survive the organizer's next update?", Expected: "taken, and overwritten", Basis: unknown, Why: wouldMail},
	{ID: "attendee-status", Text: "Are the answers of attendees kept who are written back without them, in another case of their address too?", Expected: "kept", Basis: unknown, Why: wouldMail},
	{ID: "attendee-property", Text: "Do attendees' copies have the extended properties?", Expected: "no", Basis: unknown, Why: wouldMail},
	{ID: "decline-delta", Text: "What does a delta tell of an invitation that was declined?", Expected: "a tombstone", Basis: unknown, Why: wouldMail},
	{ID: "accept-silent", Text: "Is an invitation accepted without a mail where no answer was asked for?", Expected: "yes", Basis: unknown, Why: wouldMail},
	{ID: "shared-delta", Text: "Has the delta of a calendar that somebody else shares more than one page?", Expected: "it is refused", Basis: "github.com/microsoftgraph/microsoft-graph-docs/issues/3997", Why: "not asked: it needs the calendar of somebody else"},
	{ID: "tx-age", Text: "How long is a transactionId known?", Expected: "days", Basis: unknown, Why: "not asked: it takes days"},
	{ID: "delta-age", Text: "How long does the token of a delta live?", Expected: "weeks", Basis: unknown, Why: "not asked: it takes weeks"},
}
