package graphsim_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// Over real HTTP on the loopback addresses, as the tests of a whole bridge have it.
func TestWebhookOnLoopback(t *testing.T) {
	told := make(chan object, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token := r.URL.Query().Get("validationToken"); token != "" {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Write([]byte(token))
			return
		}
		var body object
		if err := json.NewDecoder(r.Body).Decode(&body); err == nil {
			told <- body
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer hook.Close()
	for _, tt := range []struct {
		name     string
		insecure bool
		url      string
		status   int
	}{
		{"http is refused", false, hook.URL, 400},
		{"other hosts are refused", true, "http://calendar.example.com/", 400},
		{"the option allows loopback", true, hook.URL, 201},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(s *graphsim.Server) { s.InsecureWebhooks = tt.insecure })
			defer w.srv.Close()
			body, _ := json.Marshal(object{"changeType": "updated,created", "notificationUrl": tt.url, "resource": "me/events",
				"clientState": "state", "expirationDateTime": w.clock.Add(time.Minute).Format(time.RFC3339)})
			a := w.call("POST", "subscriptions", string(body), "Content-Type", "application/json")
			defer a.Body.Close()
			if a.StatusCode != tt.status {
				t.Fatalf("status %d: %v", a.StatusCode, w.read(a.Body))
			}
			if tt.status != 201 {
				return
			}
			if s := w.read(a.Body); s["expirationDateTime"] != "2026-03-02T09:45:00.0000000Z" {
				t.Errorf("subscription %v", s)
			}
			id := w.cal.Create(meeting("new", "2026-03-03 09:00"))
			n := (<-told)["value"].([]any)[0].(object)
			if n["changeType"] != "created" || n["clientState"] != "state" || n["resource"] == nil || n["resourceData"].(object)["id"] == string(id) {
				t.Errorf("notification %v, with a classic id since the subscription has no IdType", n)
			}
			w.do(w.cal.Delete(id)) // not subscribed to
			w.cal.Create(meeting("another", "2026-03-04 09:00"))
			if n := (<-told)["value"].([]any)[0].(object); n["changeType"] != "created" {
				t.Errorf("notification %v", n)
			}
		})
	}
}
