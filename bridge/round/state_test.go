package round_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// Each way in which a sign-in fails is a state with a reason and an action, which says whom it concerns.
func TestStatesOfASignIn(t *testing.T) {
	claims := `{"access_token":{"nbf":{"essential":true}}}`
	challenge := http.Header{"Www-Authenticate": {`Bearer error="insufficient_claims", claims="` + base64.StdEncoding.EncodeToString([]byte(claims)) + `"`}}
	for _, tt := range []struct {
		name  string
		login graphsim.Fault // of the token endpoint
		graph graphsim.Fault // of Graph
		code  string
		final bool
		fault bridge.Fault
		asks  string // claims
	}{
		{"revoked", graphsim.Fault{AADSTS: 50173}, graphsim.Fault{}, bridge.StateSignIn, true, bridge.Fault{Reason: bridge.Reason(graph.ReasonRevoked), Action: bridge.ActionSignIn, AADSTS: 50173}, ""},
		{"sign-in frequency", graphsim.Fault{AADSTS: 70043, Message: "expired; the maximum allowed lifetime for this request is 604800."}, graphsim.Fault{}, bridge.StateSignIn, true, bridge.Fault{Reason: bridge.Reason(graph.ReasonFrequency), Action: bridge.ActionSignIn, AADSTS: 70043, Duration: 7 * 24 * time.Hour}, ""},
		{"multi-factor", graphsim.Fault{AADSTS: 50076}, graphsim.Fault{}, bridge.StateSignIn, true, bridge.Fault{Reason: bridge.Reason(graph.ReasonMultiFactor), Action: bridge.ActionSignIn, AADSTS: 50076}, "polids"},
		{"conditional access", graphsim.Fault{AADSTS: 53003}, graphsim.Fault{}, bridge.StateDenied, true, bridge.Fault{Reason: bridge.Reason(graph.ReasonConditionalAccess), Action: bridge.ActionAskAndSignIn, AADSTS: 53003}, ""},
		{"secret", graphsim.Fault{AADSTS: 7000222}, graphsim.Fault{}, bridge.StateConfiguration, true, bridge.Fault{Reason: bridge.Reason(graph.ReasonSecretExpired), Action: bridge.ActionConfigure, AADSTS: 7000222}, ""},
		{"throttled", graphsim.Fault{AADSTS: 90055}, graphsim.Fault{}, bridge.StateUnavailable, false, bridge.Fault{Reason: bridge.ReasonUnavailable, Action: bridge.ActionWait}, ""},
		{"loop", graphsim.Fault{AADSTS: 50196}, graphsim.Fault{}, bridge.StateUnavailable, false, bridge.Fault{Reason: bridge.ReasonUnavailable, Action: bridge.ActionWait}, ""},
		{"claims challenge", graphsim.Fault{}, graphsim.Fault{Status: 403, Header: challenge}, bridge.StateSignIn, true, bridge.Fault{Reason: bridge.ReasonPolicy, Action: bridge.ActionSignIn}, claims},
		{"refused by Graph", graphsim.Fault{}, graphsim.Fault{Status: 401}, bridge.StateSignIn, false, bridge.Fault{Reason: bridge.ReasonSignInRefused, Action: bridge.ActionSignIn}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.Changes(0)
			w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
				if strings.HasPrefix(r.URL.Path, "/v1.0/") {
					return &tt.graph
				}
				return &tt.login
			}
			w.Mailbox.Graph.(*graph.Client).Attempts = 1
			w.Sim.ExpireAccessTokens()
			w.Pass(2 * time.Hour)
			if _, err := w.Rounds.Round(w.Ctx, w.Mailbox); err == nil {
				t.Fatal("the round is good")
			}
			a, err := w.Store.Account(w.Ctx, "alice")
			w.Must(err)
			s := a.State
			if (s.Said != "") != (tt.fault.AADSTS != 0) {
				t.Errorf("Microsoft says %q", s.Said)
			}
			s.Said = ""
			if s.Code != tt.code || s.Final != tt.final || s.Fault != tt.fault || !strings.Contains(s.Claims, tt.asks) || (s.Claims == "") != (tt.asks == "") {
				t.Errorf("state %+v", s)
			}
			w.Check() // what was synced is served
		})
	}
}
