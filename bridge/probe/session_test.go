package probe

import (
	"errors"
	"testing"

	"outbridge/bridge/graph"
)

// TestAllowed: a step that might mail, or that is not for a calendar of the probe, is not done.
func TestAllowed(t *testing.T) {
	s := &session{own: []graph.CalendarID{"own="}}
	for _, tt := range []struct {
		method, path, body string
		allowed            bool
	}{
		{"GET", "/calendars/other/events", "", true},
		{"POST", "/calendars/own%3D/events", `{"subject":"a"}`, true},
		{"POST", "/calendars/own%3D/events", `{"attendees":[]}`, false},
		{"POST", "/calendars/own%3D/events", `{"Attendees":[{"emailAddress":{"address":"a@b.example"}}]}`, false},
		{"PATCH", "/calendars/own%3D/events/1", `{"subject":"a"}`, true},
		{"PATCH", "/calendars/own%3D/events/1", `{"organizer":{}}`, false},
		{"PATCH", "/calendars/own%3D/events/1", `no JSON`, false},
		{"DELETE", "/calendars/own%3D/events/1", "", true},
		{"POST", "/calendars/own%3D/events/1/accept", "{}", false},
		{"POST", "/calendars/own%3D/events/1/cancel", "{}", false},
		{"POST", "/calendars/own%3D/events/1/forward", "{}", false},
		{"POST", "/calendars/own%3D/events/1/attachments", `{"name":"a"}`, true},
		{"PATCH", "/calendars/own%3D", `{"hexColor":"#fff"}`, true},
		{"DELETE", "/calendars/own%3D", "", false},
		{"POST", "/calendars/other/events", `{"subject":"a"}`, false},
		{"PATCH", "/events/1", `{"subject":"a"}`, false},
		{"DELETE", "/calendars/own%3Dx/events/1", "", false},
		{"POST", "/calendars", `{"name":"outbridge probe 0123456789abcdef"}`, true},
		{"POST", "/calendars", `{"name":"Work"}`, false},
		{"POST", "/calendar/getSchedule", `{"schedules":["a@b.example"]}`, true},
		{"POST", "/sendMail", `{}`, false},
	} {
		trial := graph.Trial{Method: tt.method, Path: tt.path}
		if tt.body != "" {
			trial.Body = []byte(tt.body)
		}
		if err := s.allowed(trial); (err == nil) != tt.allowed || err != nil && !errors.Is(err, errMails) {
			t.Errorf("%s %s %s: %v", tt.method, tt.path, tt.body, err)
		}
	}
}

// TestBounded: so many requests are made and no more.
func TestBounded(t *testing.T) {
	s := &session{own: []graph.CalendarID{"own"}, requests: maxRequests}
	if _, err := s.get("1", "", "UTC"); !errors.Is(err, errRequests) {
		t.Errorf("%v", err)
	}
}
