package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
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

// Nobody can make the bridge hold much by what is posted: a delivery is read piece by piece, whoever sends it.
func TestNotifyBounds(t *testing.T) {
	count := 0
	h := (&web.Handler{Notify: func(list []bridge.Notification) { count += len(list) }}).Handler()
	long := func(n int) string { return strings.Repeat("x", n) }
	one := `{"subscriptionId":"s","clientState":"c"}`
	for name, tt := range map[string]struct {
		body         string
		status, told int
	}{
		"empty items":      {`{"value":[` + strings.Repeat("{},", 9_000) + one + `]}`, 202, 1},
		"too many":         {`{"value":[` + one + strings.Repeat(",{}", 1_200_000) + `]}`, 413, 1},
		"many real ones":   {`{"value":[` + strings.Repeat(one+",", 2_499) + one + `]}`, 202, 2_500},
		"long text":        {`{"value":[{"subscriptionId":"` + long(3<<20) + `"}]}`, 413, 0},
		"long name":        {`{"` + long(3<<20) + `":1}`, 413, 0},
		"long other value": {`{"other":["` + long(3<<20) + `"],"value":[]}`, 413, 0},
		"deep":             {strings.Repeat(`{"value":[`, 300_000), 413, 0},
		"deep elsewhere":   {`{"other":` + strings.Repeat("[", 3<<20), 400, 0},
		"spaces":           {`{"value":` + strings.Repeat(" ", 3<<20) + `[]}`, 413, 0},
		"long id":          {`{"value":[{"subscriptionId":"` + long(300) + `","clientState":"c"},` + one + `]}`, 202, 1},
		"long state":       {`{"value":[{"subscriptionId":"s","clientState":"` + long(9_000) + `"},` + one + `]}`, 202, 1},
		"other members":    {`{"validationTokens":["t"],"value":[` + one + `],"n":null,"o":{"value":[` + one + `]}}`, 202, 1},
		"null":             {`{"value":null}`, 202, 0},
		"broken off":       {`{"value":[` + one + `,{`, 400, 1},
		"more than one":    {`{"value":[]} {}`, 400, 0},
	} {
		count = 0
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/graph/notify", strings.NewReader(tt.body)))
		if w.Code != tt.status || count != tt.told {
			t.Errorf("%s: %d with %d told, want %d with %d", name, w.Code, count, tt.status, tt.told)
		}
	}
}

// Senders who take their time hold no more deliveries than are bounded, and the next one is told to come again.
func TestNotifyAtOnce(t *testing.T) {
	h := (&web.Handler{Notify: func([]bridge.Notification) {}}).Handler()
	var writers []*io.PipeWriter
	var waiting sync.WaitGroup
	for range 256 {
		body, in := io.Pipe()
		writers = append(writers, in)
		waiting.Go(func() {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/graph/notify", body))
		})
		_, _ = io.WriteString(in, `{"value":[`) // returns when it is being read
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/graph/notify", strings.NewReader(`{"value":[]}`)))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("one too many: %d %v", w.Code, w.Header())
	}
	for _, in := range writers {
		_, _ = io.WriteString(in, `]}`)
		_ = in.Close()
	}
	waiting.Wait()
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/graph/notify", strings.NewReader(`{"value":[]}`)))
	if w.Code != 202 {
		t.Errorf("afterwards: %d", w.Code)
	}
}
