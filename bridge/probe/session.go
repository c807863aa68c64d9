package probe

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// session is a probe under way.
type session struct {
	p       *Probe
	ctx     context.Context
	cleanup context.Context // which outlives the one who asks

	name      string             // of the calendar
	own       []graph.CalendarID // that this probe has made, the first one first
	requests  int
	base      time.Time // a Monday some weeks ahead, at midnight
	ids       []string  // request-ids of the question
	note      string    // what Graph said
	events    int
	many      bool // the events for pages are there
	following *following
	watching  *quiet
}

// subject begins the title of each event that a probe makes.
const subject = "outbridge probe: "

var errRequests = fmt.Errorf("the probe has made %d requests, and asks no more", maxRequests)

// errMails keeps a step from being done that would mail somebody, or that is not for a calendar of the probe.
var errMails = errors.New("the step might mail somebody or change another calendar, so it is not done")

func (s *session) say(format string, args ...any) {
	if s.p.Say != nil {
		s.p.Say(format, args...)
	}
}

func (s *session) log() *slog.Logger {
	if s.p.Log != nil {
		return s.p.Log
	}
	return slog.Default()
}

// begin removes what an earlier probe has left, and makes the calendar.
func (s *session) begin() error {
	monday := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 28)
	s.base = monday.AddDate(0, 0, (8-int(monday.Weekday()))%7)
	if err := s.removeLeft(s.ctx); err != nil {
		return err
	}
	name := make([]byte, 8)
	rand.Read(name)
	s.name = bridge.ProbeCalendar + hex.EncodeToString(name)
	_, err := s.makeCalendar(s.name)
	return err
}

// removeLeft removes the calendars that probes have left behind. One in which there is anything but what a probe makes stays.
func (s *session) removeLeft(ctx context.Context) error {
	s.requests++
	all, err := s.p.Graph.Calendars(ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		if !bridge.IsProbeCalendar(c.Name) || c.Default || slices.Contains(s.own, c.ID) {
			continue
		}
		ours, err := s.isOurs(ctx, c.ID)
		if err != nil {
			return err
		}
		if !ours {
			s.say("the calendar %q holds events that no probe has made, so it stays; remove it in Outlook", c.Name)
			continue
		}
		s.requests++
		if err := s.p.Graph.DeleteCalendar(ctx, c.ID); err != nil {
			return err
		}
		s.say("removed the calendar %q, which an earlier probe has left", c.Name)
	}
	return nil
}

// isOurs reports whether all events of a calendar are a probe's, and none has anybody to mail to.
func (s *session) isOurs(ctx context.Context, cal graph.CalendarID) (bool, error) {
	path := "/calendars/" + escape(string(cal)) + "/events?$select=id,subject,attendees&$top=500"
	s.requests++
	a, err := s.p.Graph.Try(ctx, graph.Trial{Method: http.MethodGet, Path: path})
	if err != nil {
		return false, err
	}
	var page struct {
		Value []graph.Event `json:"value"`
		Next  string        `json:"@odata.nextLink"`
	}
	if a.Status != http.StatusOK || json.Unmarshal(a.Body, &page) != nil || page.Next != "" {
		return false, nil
	}
	return !slices.ContainsFunc(page.Value, func(e graph.Event) bool {
		return !strings.HasPrefix(e.Subject, subject) && e.Subject != "" || len(e.Attendees) > 0
	}), nil
}

func (s *session) makeCalendar(name string) (graph.CalendarID, error) {
	s.requests++
	c, err := s.p.Graph.CreateCalendar(s.ctx, name)
	if errors.Is(err, graph.ErrMayHaveHappened) {
		s.requests++
		all, listErr := s.p.Graph.Calendars(s.cleanup)
		if i := slices.IndexFunc(all, func(c graph.Calendar) bool { return c.Name == name }); listErr == nil && i >= 0 {
			c, err = all[i], nil
		}
	}
	if graph.IsAccessDenied(err) {
		return "", fmt.Errorf("%w: %w", ErrDenied, err)
	}
	if err != nil {
		return "", err
	}
	s.own = append(s.own, c.ID)
	return c.ID, nil
}

// second is another calendar of the probe.
func (s *session) second() (graph.CalendarID, error) {
	if len(s.own) > 1 {
		return s.own[1], nil
	}
	return s.makeCalendar(s.name + " b")
}

// end removes the calendars, and returns the names of those that it could not remove.
func (s *session) end() (left []string) {
	if s.p.Keep && len(s.own) > 0 {
		s.say("kept the calendar %q; the next probe removes it", s.name)
		return nil
	}
	ctx, cancel := context.WithTimeout(s.cleanup, longestCleanup)
	defer cancel()
	for i, id := range s.own {
		s.requests++
		if err := s.p.Graph.DeleteCalendar(ctx, id); err != nil {
			s.log().Warn("a calendar of the probe cannot be removed", "err", err)
			left = append(left, s.name+map[bool]string{true: " b"}[i > 0])
		}
	}
	return left
}

// allowed refuses what might mail somebody, and what would change another calendar than the probe's.
func (s *session) allowed(t graph.Trial) error {
	path, _, _ := strings.Cut(t.Path, "?")
	if t.Method == http.MethodGet || t.Method == http.MethodPost && path == "/calendar/getSchedule" {
		return nil
	}
	if t.Method == http.MethodPost && path == "/calendars" {
		var body struct{ Name string }
		if json.Unmarshal(t.Body, &body) == nil && bridge.IsProbeCalendar(body.Name) {
			return nil
		}
		return errMails
	}
	inOwn := func(id graph.CalendarID) bool {
		own := "/calendars/" + escape(string(id))
		return path == own && t.Method == http.MethodPatch || strings.HasPrefix(path, own+"/events")
	}
	if !slices.ContainsFunc(s.own, inOwn) {
		return errMails
	}
	switch action := strings.ToLower(path[strings.LastIndexByte(path, '/')+1:]); action {
	case "accept", "tentativelyaccept", "decline", "cancel", "forward", "reply":
		return errMails
	}
	var fields map[string]json.RawMessage
	if t.Body != nil && json.Unmarshal(t.Body, &fields) != nil {
		return errMails
	}
	for name := range fields {
		if lower := strings.ToLower(name); strings.Contains(lower, "attendees") || lower == "torecipients" || lower == "organizer" {
			return errMails
		}
	}
	return nil
}

// try sends one request.
func (s *session) try(t graph.Trial) (graph.Answer, error) {
	all, err := s.together(false, t)
	if err != nil {
		return graph.Answer{}, err
	}
	return all[0], nil
}

// together sends requests, as a batch where that is wanted.
func (s *session) together(batch bool, trials ...graph.Trial) ([]graph.Answer, error) {
	for _, t := range trials {
		if err := s.allowed(t); err != nil {
			return nil, err
		}
	}
	if s.requests >= maxRequests {
		return nil, errRequests
	}
	var answers []graph.Answer
	var err error
	if s.requests++; batch {
		answers, err = s.p.Graph.TryTogether(s.ctx, trials...)
	} else {
		answers = make([]graph.Answer, 1)
		answers[0], err = s.p.Graph.Try(s.ctx, trials[0])
	}
	for _, a := range answers {
		if a.RequestID != "" && !slices.Contains(s.ids, a.RequestID) {
			s.ids = append(s.ids, a.RequestID)
		}
		if a.Message != "" {
			s.note = a.Message
		}
	}
	return answers, err
}

// code is an answer in short: "200", or "400 ErrorInvalidRequest".
func code(a graph.Answer) string { return strings.TrimSpace(fmt.Sprintf("%d %s", a.Status, a.Code)) }

func good(a graph.Answer) bool { return a.Status/100 == 2 }

// fields are those of an event or a calendar.
type fields map[string]any

func (f fields) json() []byte {
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // they are this package's own
	}
	return b
}

// with is f with further fields; one that is nil goes.
func (f fields) with(more fields) fields {
	all := fields{}
	for _, from := range []fields{f, more} {
		for name, v := range from {
			all[name] = v
		}
	}
	return all
}

// berlin is the zone of the events where nothing else is asked about, by its Windows name, which every mailbox knows.
const berlin = "W. Europe Standard Time"

// at is an hour of a day, counted from base, in a zone.
func (s *session) at(zone string, day, hour, minute int) fields {
	return fields{"dateTime": s.base.AddDate(0, 0, day).Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute).Format("2006-01-02T15:04:05"), "timeZone": zone}
}

// date is a day, counted from base.
func (s *session) date(day int) string { return s.base.AddDate(0, 0, day).Format(time.DateOnly) }

// single are the fields of an event of an hour, on a day of its own.
func (s *session) single(title string) fields {
	s.events++
	day := 200 + s.events%100
	return fields{"subject": subject + title, "start": s.at(berlin, day, 9, 0), "end": s.at(berlin, day, 10, 0), "isReminderOn": false, "showAs": "free",
		"transactionId": transaction()}
}

func transaction() string {
	b := make([]byte, 16)
	rand.Read(b)
	return "outbridge-probe-" + hex.EncodeToString(b)
}

// every is the rule of every other day, six times: an occurrence can move to the day between two.
func (s *session) every(zone string) fields {
	return fields{"pattern": fields{"type": "daily", "interval": 2}, "range": fields{"type": "endDate", "startDate": s.date(0), "endDate": s.date(10), "recurrenceTimeZone": zone}}
}

// series are the fields of a series of six occurrences, on days 0, 2, 4 … 10.
func (s *session) series(title, zone string) fields {
	return fields{"subject": subject + title, "start": s.at(zone, 0, 9, 0), "end": s.at(zone, 0, 10, 0), "recurrence": s.every(zone), "isReminderOn": false, "showAs": "free",
		"transactionId": transaction()}
}

func (s *session) eventsPath() string { return eventsOf(s.own[0]) }

func eventsOf(cal graph.CalendarID) string { return "/calendars/" + escape(string(cal)) + "/events" }

func (s *session) path(id graph.EventID) string { return s.eventsPath() + "/" + escape(string(id)) }

func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// post makes an event, whatever comes of it.
func (s *session) post(f fields) (graph.Answer, error) {
	return s.try(graph.Trial{Method: http.MethodPost, Path: s.eventsPath(), Zone: berlin, Body: f.json()})
}

// patch changes an event; match is what stands in If-Match.
func (s *session) patch(id graph.EventID, match string, f fields) (graph.Answer, error) {
	return s.try(graph.Trial{Method: http.MethodPatch, Path: s.path(id), Zone: berlin, IfMatch: match, Body: f.json()})
}

func (s *session) delete(id graph.EventID) (graph.Answer, error) {
	return s.try(graph.Trial{Method: http.MethodDelete, Path: s.path(id)})
}

// remove is delete where a question needs it to succeed.
func (s *session) remove(id graph.EventID) error {
	a, err := s.delete(id)
	if err == nil && !good(a) {
		err = &refused{a}
	}
	return err
}

// get reads an event with its times in a zone.
func (s *session) get(id graph.EventID, query, zone string) (graph.Answer, error) {
	return s.try(graph.Trial{Method: http.MethodGet, Path: s.path(id) + query, Zone: zone})
}

// event reads the event of an answer.
func event(a graph.Answer) (graph.Event, error) {
	var e graph.Event
	if !good(a) {
		return e, &refused{a}
	}
	err := json.Unmarshal(a.Body, &e)
	if err == nil && e.ID == "" {
		err = errors.New("the answer is not an event")
	}
	return e, err
}

// refused is that what a question needs is refused.
type refused struct{ a graph.Answer }

func (r *refused) Error() string {
	return strings.TrimSuffix("Microsoft Graph refuses what the question needs: "+code(r.a)+": "+r.a.Message, ": ")
}

// create makes an event that a question needs.
func (s *session) create(f fields) (graph.Event, error) {
	a, err := s.post(f)
	if err != nil {
		return graph.Event{}, err
	}
	return event(a)
}

// change is patch where a question needs it to succeed.
func (s *session) change(id graph.EventID, f fields) (graph.Event, error) {
	a, err := s.patch(id, "*", f)
	if err != nil {
		return graph.Event{}, err
	}
	return event(a)
}

// occurrences reads the six occurrences of a new series by the dates that they have in its zone.
func (s *session) occurrences(master graph.EventID, zone string) (map[string]graph.Event, error) {
	list, err := s.instances(master, zone, s.base, 6)
	all := map[string]graph.Event{}
	for _, e := range list {
		all[cmp.Or(graph.OccurrenceDate(e.OccurrenceID), e.Start.DateTime[:min(10, len(e.Start.DateTime))])] = e
	}
	return all, err
}

// instances reads the occurrences of a new series in the year after from, as soon as there are n.
func (s *session) instances(master graph.EventID, zone string, from time.Time, n int) ([]graph.Event, error) {
	query := fmt.Sprintf("/instances?startDateTime=%s&endDateTime=%s&$top=50", escape(from.AddDate(0, 0, -3).Format(time.RFC3339)), escape(from.AddDate(1, 0, 0).Format(time.RFC3339)))
	seen := 0
	for _, wait := range waits {
		a, err := s.get(master, query, zone)
		if err != nil {
			return nil, err
		}
		list, err := listed(a)
		if err != nil && a.Status != http.StatusNotFound {
			return nil, err
		}
		if seen = len(list); seen >= n {
			return list, nil
		}
		if err := sleep(s.ctx, wait); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("only %d of the %d occurrences of a new series are listed", seen, n)
}

// occurrence is the one of a day, counted from base.
func (s *session) occurrence(master graph.EventID, day int) (graph.Event, error) {
	all, err := s.occurrences(master, berlin)
	if err != nil {
		return graph.Event{}, err
	}
	e, ok := all[s.date(day)]
	if !ok {
		return e, errors.New("an occurrence that the series has is not listed")
	}
	return e, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

var (
	anAddress = regexp.MustCompile(`[^\s'"<>(),;:]+@[^\s'"<>(),;:]+`)
	anID      = regexp.MustCompile(`[A-Za-z0-9+/_=.%-]{24,}`)
)

// redact leaves out of a text what tells whose mailbox it is about. Numbers of requests stay: they tell nobody but Microsoft anything.
func (s *session) redact(text string) string {
	for _, private := range append([]string{s.p.Address}, s.p.Private...) {
		if len(private) > 1 {
			text = regexp.MustCompile(`(?i)`+regexp.QuoteMeta(private)).ReplaceAllString(text, "<private>")
		}
	}
	text = anAddress.ReplaceAllString(text, "<address>")
	return anID.ReplaceAllStringFunc(text, func(id string) string {
		// A word of a sentence or of a code has no digit in it.
		if slices.Contains(s.ids, id) || !strings.ContainsAny(id, "0123456789") || strings.Contains(id, "Exception") {
			return id
		}
		return "<id>"
	})
}
