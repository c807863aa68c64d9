package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestWaitTeller: what a command waits for is told, once, and when it is over.
func TestWaitTeller(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	answers := []any{400, errors.New("no route to host"), errors.New("no route to host"), 503, 400, 429, 200, 200}
	w := &waitTeller{w: &out, base: roundTrip(func(*http.Request) (*http.Response, error) {
		next := answers[0]
		answers = answers[1:]
		if err, ok := next.(error); ok {
			return nil, err
		}
		rec := httptest.NewRecorder()
		rec.Header().Set("Retry-After", "30")
		rec.WriteHeader(next.(int))
		return rec.Result(), nil
	})}
	for len(answers) > 0 {
		if resp, err := w.RoundTrip(httptest.NewRequest("POST", "https://login.example.com/token", nil)); err == nil {
			resp.Body.Close()
		}
	}
	want := `Waiting: login.example.com cannot be reached (no route to host). It is tried again; press Ctrl-C to give up.
Waiting: login.example.com answers 503 Service Unavailable. It is tried again; press Ctrl-C to give up.
It answers again.
Waiting: login.example.com asks to wait for 30 s. It is tried again; press Ctrl-C to give up.
It answers again.
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

// TestLoginSendsNobodyInCircles: during a sign-in no refusal is answered with the sign-in that has just failed.
func TestLoginSendsNobodyInCircles(t *testing.T) {
	t.Parallel()
	for _, flow := range []string{"device", "browser"} {
		l := &loginCmd{Account: "alice", Flow: flow}
		for _, reason := range []graph.Reason{graph.ReasonMultiFactor, graph.ReasonExpired, graph.ReasonRevoked, graph.ReasonFrequency, graph.ReasonConditionalAccess,
			graph.ReasonAdminConsent, graph.ReasonAccountLocked, graph.ReasonNeverSignedIn} {
			for _, action := range []bridge.Action{bridge.ActionSignIn, bridge.ActionAsk, bridge.ActionAskAndSignIn, bridge.ActionConfigure} {
				_, text := l.words(bridge.Fault{Reason: bridge.Reason(reason), Action: action})
				if strings.Contains(text, "outbridge login") || strings.Contains(text, "again again") || strings.Contains(text, "--flow "+flow) {
					t.Errorf("%s, %s: %s", flow, reason, text)
				}
			}
		}
	}
}
