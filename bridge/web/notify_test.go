package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"outbridge/bridge"
	"outbridge/bridge/web"
)

func TestNotify(t *testing.T) {
	var got []bridge.Notification
	h := (&web.Handler{Notify: func(list []bridge.Notification) { got = append(got, list...) }}).Handler()
	post := func(url, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, url, strings.NewReader(body)))
		return w
	}

	// Graph's validation request: the answer is the decoded token as plain text, which no browser takes for a page.
	w := post("/graph/notify?validationToken=Validation%3A+Testing+%3Cscript%3E+1%2B1", "")
	if w.Code != 200 || w.Body.String() != "Validation: Testing <script> 1+1" || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") ||
		w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("validation: %d %v %q", w.Code, w.Header(), w.Body)
	}

	w = post("/graph/notify", `{"value":[
		{"subscriptionId":"s1","clientState":"c1","changeType":"updated","resource":"Users/u/Events/e","resourceData":{"id":"e"},"tenantId":"t"},
		{"subscriptionId":"s2","clientState":"c2","lifecycleEvent":"missed"}]}`)
	want := []bridge.Notification{{SubscriptionID: "s1", ClientState: "c1"}, {SubscriptionID: "s2", ClientState: "c2", LifecycleEvent: "missed"}}
	if d := cmp.Diff(want, got); w.Code != 202 || d != "" {
		t.Errorf("notification: %d\n%s", w.Code, d)
	}

	for body, status := range map[string]int{"": 400, "{": 400, "[]": 400, `{"value":7}`: 400, `{}`: 202, strings.Repeat(" ", 5<<20): 413} {
		if w := post("/graph/notify", body); w.Code != status {
			t.Errorf("body %.20q: %d, want %d", body, w.Code, status)
		}
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/graph/notify", nil))
	if w.Code != 405 {
		t.Errorf("GET: %d", w.Code)
	}
	off := (&web.Handler{}).Handler()
	w = httptest.NewRecorder()
	off.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/graph/notify?validationToken=x", nil))
	if w.Code != 404 {
		t.Errorf("without notifications: %d", w.Code)
	}
}
