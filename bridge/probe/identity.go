package probe

import (
	"fmt"
	"net/http"
	"strings"

	"outbridge/bridge/graph"
)

// What tells of an event that was made before.
const (
	duplicateNamed   = ", and names the event"
	duplicateUnnamed = ", and names no event"
)

const reported = "reported by several programs"

var duplicates = []string{"400 *", "409 *", "201, the same event", "201, another event"}

// again asks about a transactionId that is used a second time: between is what happens in between.
func again(title string, between func(s *session, first graph.Event, f fields) (path string, body fields, err error)) func(*session) (string, error) {
	return func(s *session) (string, error) {
		f := s.single(title)
		e, err := s.create(f)
		if err != nil {
			return "", err
		}
		path, body, err := between(s, e, f)
		if err != nil {
			return "", err
		}
		a, err := s.try(graph.Trial{Method: http.MethodPost, Path: path, Zone: berlin, Body: body.json()})
		switch {
		case err != nil:
			return "", err
		case !good(a):
			return code(a) + map[bool]string{true: duplicateNamed, false: duplicateUnnamed}[a.Existing != ""], nil
		}
		second, err := event(a)
		return "201, " + map[bool]string{true: "the same event", false: "another event"}[second.ID == e.ID], err
	}
}

var identityQuestions = []Question{
	{
		ID: "tx-same", Text: "What answers a second POST with the same transactionId and the same body?", Expected: "400 ErrorDuplicateTransactionId" + duplicateNamed, Basis: reported, Others: duplicates[:3],
		ask: again("tx-same", func(s *session, _ graph.Event, f fields) (string, fields, error) { return s.eventsPath(), f, nil }),
	},
	{
		ID: "tx-other", Text: "What answers a POST with the transactionId of another event?", Expected: "400 ErrorDuplicateTransactionId" + duplicateNamed, Basis: reported, Others: duplicates,
		ask: again("tx-other", func(s *session, _ graph.Event, f fields) (string, fields, error) {
			return s.eventsPath(), f.with(fields{"subject": subject + "another title"}), nil
		}),
	},
	{
		ID: "tx-deleted", Text: "What answers a POST with the transactionId of an event that was deleted?", Expected: "400 ErrorDuplicateTransactionId" + duplicateUnnamed, Basis: unknown, Others: duplicates,
		ask: again("tx-deleted", func(s *session, e graph.Event, f fields) (string, fields, error) {
			return s.eventsPath(), f, s.remove(e.ID)
		}),
	},
	{
		ID: "tx-calendar", Text: "What answers a POST with the transactionId of an event of another calendar?", Expected: "400 ErrorDuplicateTransactionId" + duplicateNamed, Basis: unknown, Others: duplicates,
		ask: again("tx-calendar", func(s *session, _ graph.Event, f fields) (string, fields, error) {
			other, err := s.second()
			return eventsOf(other), f, err
		}),
	},
	{
		ID: "tx-patch", Text: "Can the transactionId of an event be changed?", Expected: "400 ErrorInvalidRequest", Basis: "reported by one program", Others: []string{"400 *", "200"},
		ask: func(s *session) (string, error) {
			e, err := s.create(s.single("tx-patch"))
			if err != nil {
				return "", err
			}
			return short(s.patch(e.ID, e.ETag, fields{"transactionId": transaction()}))
		},
	},
	match("weak", "the ETag as it came", "200", nil, func(etag string) string { return etag }),
	match("strong", "the ETag without W/", "412 *", []string{"200", "400 *"}, func(etag string) string { return strings.TrimPrefix(etag, "W/") }),
	match("star", "*", "200", nil, func(string) string { return "*" }),
	match("none", "nothing", "200", []string{"412 *", "409 *"}, func(string) string { return "" }),
	{
		ID: "if-match-old", Text: "What answers a PATCH with the ETag of before the last change?", Expected: "412 ErrorIrresolvableConflict", Basis: reported, Others: []string{"412 *", "409 *"},
		ask: func(s *session) (string, error) {
			e, err := s.create(s.single("if-match-old"))
			if err != nil {
				return "", err
			}
			if _, err := s.change(e.ID, fields{"subject": subject + "another title"}); err != nil {
				return "", err
			}
			return short(s.patch(e.ID, e.ETag, fields{"subject": subject + "a third title"}))
		},
	},
	{
		ID: "if-match-batch", Text: "Is the If-Match of each part of a batch held against its own event?", Expected: "200 and 412", Basis: "learn.microsoft.com/graph/json-batching",
		ask: func(s *session) (string, error) {
			one, err := s.create(s.single("if-match-batch"))
			if err != nil {
				return "", err
			}
			two, err := s.create(s.single("if-match-batch"))
			if err != nil {
				return "", err
			}
			body := fields{"subject": subject + "another title"}.json()
			a, err := s.together(true, graph.Trial{Method: http.MethodPatch, Path: s.path(one.ID), IfMatch: "*", Body: body},
				graph.Trial{Method: http.MethodPatch, Path: s.path(two.ID), IfMatch: `W/"AAAAAAAAAAAAAAAAAAAAAAAAAA=="`, Body: body})
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%d and %d", a[0].Status, a[1].Status), nil
		},
	},
	{
		ID: "delete-twice", Text: "What answers the second DELETE of an event?", Expected: "400 ErrorInvalidRequest", Basis: measuredPersonal, Others: []string{"404 *", "400 *", "204"},
		ask: func(s *session) (string, error) {
			e, err := s.create(s.single("delete-twice"))
			if err != nil {
				return "", err
			}
			if err := s.remove(e.ID); err != nil {
				return "", err
			}
			return short(s.delete(e.ID))
		},
	},
	{
		ID: "global-id", Text: "Can the identity of an event be given to it as an extended property (PidLidGlobalObjectId)?", Expected: "400 *", Basis: "no program does it", Others: []string{"201"},
		ask: func(s *session) (string, error) {
			const id = "Binary {6ED8DA90-450B-101B-98DA-00AA003F1305} Id 0x3"
			return short(s.post(s.single("global-id").with(fields{"singleValueExtendedProperties": []fields{{"id": id, "value": "BAAAAIIA4AB0xbcQGoLgCAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="}}})))
		},
	},
	{
		ID: "property-find", Text: "When is an event found by an extended property that it was made with?", Expected: "at once", Basis: unknown, Others: []string{"after *"},
		ask: func(s *session) (string, error) {
			value := transaction()
			if _, err := s.create(s.single("property-find").with(fields{"singleValueExtendedProperties": []fields{{"id": graph.PropertyIntent, "value": value}}})); err != nil {
				return "", err
			}
			return s.find(value)
		},
	},
	{
		ID: "property-long", Text: "Is an extended property of 2,000 characters kept?", Expected: "kept", Basis: unknown, Others: []string{"cut", "400 *"},
		ask: func(s *session) (string, error) {
			value := strings.Repeat("0123456789", 200)
			a, err := s.post(s.single("property-long").with(fields{"singleValueExtendedProperties": []fields{{"id": graph.PropertyIntent, "value": value}}}))
			if err != nil || !good(a) {
				return code(a), err
			}
			e, err := event(a)
			if err != nil {
				return "", err
			}
			if a, err = s.get(e.ID, "?$expand="+escape("singleValueExtendedProperties($filter=id eq '"+graph.PropertyIntent+"')"), berlin); err != nil {
				return "", err
			}
			if e, err = event(a); err != nil {
				return "", err
			}
			if got, _ := e.Property(graph.PropertyIntent); got != value {
				return "cut", nil
			}
			return "kept", nil
		},
	},
}

// match asks what a PATCH is answered with a form of If-Match.
func match(form, words, expected string, others []string, of func(etag string) string) Question {
	return Question{
		ID: "if-match-" + form, Text: "What answers a PATCH whose If-Match is " + words + "?", Expected: expected, Basis: map[bool]string{true: reported, false: unknown}[form == "weak"], Others: others,
		ask: func(s *session) (string, error) {
			e, err := s.create(s.single("if-match-" + form))
			if err != nil {
				return "", err
			}
			// Exchange may have come back to it, and moved its ETag.
			a, err := s.get(e.ID, "?$select=id,changeKey", berlin)
			if err != nil {
				return "", err
			}
			if now, err := event(a); err == nil {
				e.ETag = now.ETag
			}
			return short(s.patch(e.ID, of(e.ETag), fields{"subject": subject + "another title"}))
		},
	}
}

// find looks for an event by its extended property until it is there.
func (s *session) find(value string) (string, error) {
	query := "?$filter=" + escape(fmt.Sprintf("singleValueExtendedProperties/Any(ep: ep/id eq '%s' and ep/value eq '%s')", graph.PropertyIntent, value))
	for i, wait := range waits {
		a, err := s.try(graph.Trial{Method: http.MethodGet, Path: s.eventsPath() + query})
		if err != nil {
			return "", err
		}
		if !good(a) {
			return code(a), nil
		}
		list, err := listed(a)
		if err != nil {
			return "", err
		}
		if len(list) > 0 {
			if i == 0 {
				return "at once", nil
			}
			return "after some seconds", nil
		}
		if err := sleep(s.ctx, wait); err != nil {
			return "", err
		}
	}
	return "not within half a minute", nil
}
