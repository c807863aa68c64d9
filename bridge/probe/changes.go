package probe

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"outbridge/bridge/graph"
)

var errNoMeeting = errors.New("no online meeting is made in the calendar of the probe")

// waits are the pauses between looking for something that may take its time: half a minute in all.
var waits = []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 5 * time.Second, 9 * time.Second, 10 * time.Second, 0}

// following is a delta over the probe's calendar.
type following struct{ link string }

// follow reads what has changed since the last time. The first time that is all there is.
func (s *session) follow() ([]graph.Event, error) {
	if s.following == nil {
		from, to := s.base.AddDate(0, 0, -7), s.base.AddDate(0, 0, 400)
		s.following = &following{s.p.Graph.DeltaURL(s.own[0], from, to)}
	}
	var all []graph.Event
	for {
		if s.requests >= maxRequests {
			return nil, errRequests
		}
		s.requests++
		page, err := s.p.Graph.Delta(s.ctx, s.following.link)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Events...)
		if page.Next == "" {
			s.following.link = page.Delta
			return all, nil
		}
		s.following.link = page.Next
	}
}

// quiet is what was seen of changes that attendees would not see, each of an event of its own, made and settled before.
type quiet struct {
	latency time.Duration // from the last create until a delta had told of all; -1: it had not
	touched string
	moved   map[string]bool // the changeKey did
	told    map[string]bool // a delta did
	extra   bool            // a delta told an extended property
	ids     map[string][]string
	err     error
}

// quietChanges are those changes, by the ids of their questions.
var quietChanges = map[string]fields{
	"quiet-reminder":    {"isReminderOn": true, "reminderMinutesBeforeStart": 30},
	"quiet-categories":  {"categories": []string{"outbridge probe"}},
	"quiet-showas":      {"showAs": "tentative"},
	"quiet-sensitivity": {"sensitivity": "private"},
	"quiet-property":    {"singleValueExtendedProperties": []fields{{"id": graph.PropertyObjectName, "value": "changed"}}},
	"quiet-attachment":  nil,
}

var quietOrder = []string{"quiet-reminder", "quiet-categories", "quiet-showas", "quiet-sensitivity", "quiet-property", "quiet-attachment"}

// watch makes the changes, once in a probe, for the question of one of them.
func (s *session) watch(id string) (*quiet, error) {
	if s.watching == nil {
		s.watching = &quiet{latency: -1, moved: map[string]bool{}, told: map[string]bool{}, ids: map[string][]string{}}
		s.watching.err = s.watchChanges(s.watching)
	}
	s.ids = s.watching.ids[id]
	return s.watching, s.watching.err
}

func (s *session) watchChanges(q *quiet) error {
	if _, err := s.follow(); err != nil {
		return err
	}
	events, ours := map[string]graph.Event{}, map[graph.EventID]bool{}
	for _, id := range append(quietOrder, "touch") {
		s.ids = nil
		e, err := s.create(s.single(id).with(fields{"singleValueExtendedProperties": []fields{{"id": graph.PropertyObjectName, "value": "as made"}}}))
		if err != nil {
			return err
		}
		events[id], q.ids[id], ours[e.ID] = e, s.ids, true
	}
	began := time.Now()
	q.ids["latency"], q.ids["property-delta"] = q.ids[quietOrder[0]], q.ids[quietOrder[0]]
	seen := map[graph.EventID]bool{}
	note := func(changes []graph.Event) {
		for _, e := range changes {
			if ours[e.ID] {
				seen[e.ID] = true
			}
			if _, ok := e.Property(graph.PropertyObjectName); ok {
				q.extra = true
			}
		}
	}
	// Until they are told, and nothing more comes of what Exchange does to them by itself.
	for idle, looks := 0, 0; idle < 2 && looks < 20; looks++ {
		changes, err := s.follow()
		if err != nil {
			return err
		}
		note(changes)
		if len(seen) >= len(events) && q.latency < 0 {
			q.latency = time.Since(began)
		}
		if idle++; len(changes) > 0 || len(seen) < len(events) {
			idle = 0
		}
		if err := sleep(s.ctx, 3*time.Second); err != nil {
			return err
		}
	}
	now := map[string]graph.Event{}
	for id, e := range events {
		a, err := s.get(e.ID, "?$select=id,changeKey", berlin)
		if err != nil {
			return err
		}
		if now[id], err = event(a); err != nil {
			return err
		}
	}
	q.touched = has(now["touch"].ChangeKey != events["touch"].ChangeKey, "it moves", "it stays")
	for _, id := range quietOrder {
		if err := s.changeQuietly(q, id, now[id]); err != nil {
			return err
		}
	}
	clear(seen)
	for _, wait := range waits {
		changes, err := s.follow()
		if err != nil {
			return err
		}
		note(changes)
		if len(seen) >= len(quietOrder) {
			break
		}
		if err := sleep(s.ctx, wait); err != nil {
			return err
		}
	}
	for _, id := range quietOrder {
		q.told[id] = seen[events[id].ID]
	}
	return nil
}

func (s *session) changeQuietly(q *quiet, id string, e graph.Event) error {
	trial := graph.Trial{Method: http.MethodPatch, Path: s.path(e.ID), IfMatch: e.ETag, Body: quietChanges[id].json()}
	if quietChanges[id] == nil {
		trial = graph.Trial{Method: http.MethodPost, Path: s.path(e.ID) + "/attachments", Body: fields{
			"@odata.type": graph.FileAttachment, "name": "probe.txt", "contentType": "text/plain", "contentBytes": base64.StdEncoding.EncodeToString([]byte("outbridge probe")),
		}.json()}
	}
	s.ids = nil
	a, err := s.try(trial)
	if err != nil {
		return err
	}
	q.ids[id] = s.ids
	if !good(a) {
		return &refused{a}
	}
	if a, err = s.get(e.ID, "?$select=id,changeKey", berlin); err != nil {
		return err
	}
	after, err := event(a)
	q.moved[id] = after.ChangeKey != e.ChangeKey
	return err
}

func quietly(id, what, expected string) Question {
	return Question{
		ID: id, Text: "Does the changeKey move after a change of " + what + ", and does a delta tell of it?", Expected: expected, Basis: unknown,
		Others: []string{"the changeKey *"},
		ask: func(s *session) (string, error) {
			q, err := s.watch(id)
			if err != nil {
				return "", err
			}
			return "the changeKey " + has(q.moved[id], "moves", "stays") + ", a delta " + has(q.told[id], "tells", "does not tell"), nil
		},
	}
}

const movesAndTells = "the changeKey moves, a delta tells"

var quietQuestions = []Question{
	quietly("quiet-reminder", "the reminder", movesAndTells),
	quietly("quiet-categories", "the categories", movesAndTells),
	quietly("quiet-showas", "showAs", movesAndTells),
	quietly("quiet-sensitivity", "the sensitivity", movesAndTells),
	quietly("quiet-property", "an extended property", movesAndTells),
	quietly("quiet-attachment", "the attachments", movesAndTells),
	{
		ID: "touch", Text: "Does the changeKey of a new event move some seconds later, by itself?", Expected: "it moves", Basis: reported, Others: []string{"it stays"},
		ask: func(s *session) (string, error) {
			q, err := s.watch("touch")
			return q.touched, err
		},
	},
	{
		ID: "latency", Text: "How long after a create does a delta tell of it?", Expected: "within 6 seconds", Basis: unknown, Others: []string{"within a minute"},
		ask: func(s *session) (string, error) {
			q, err := s.watch("latency")
			switch {
			case err != nil:
				return "", err
			case q.latency < 0:
				return "not within a minute", nil
			case q.latency < 6*time.Second:
				return "within 6 seconds", nil
			}
			s.note = fmt.Sprintf("after %s", q.latency.Round(time.Second))
			return "within a minute", nil
		},
	},
	{
		ID: "property-delta", Text: "Does a delta tell extended properties?", Expected: "no", Basis: reported, Others: []string{"yes"},
		ask: func(s *session) (string, error) {
			q, err := s.watch("property-delta")
			return has(q.extra, "yes", "no"), err
		},
	},
}
