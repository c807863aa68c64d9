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

// Each way in which a sign-in fails is a state with a sentence and an action, and is said to whom it concerns.
func TestStatesOfASignIn(t *testing.T) {
	claims := `{"access_token":{"nbf":{"essential":true}}}`
	challenge := http.Header{"Www-Authenticate": {`Bearer error="insufficient_claims", claims="` + base64.StdEncoding.EncodeToString([]byte(claims)) + `"`}}
	for _, tt := range []struct {
		name  string
		login graphsim.Fault // of the token endpoint
		graph graphsim.Fault // of Graph
		code  string
		final bool
		says  string
		asks  string // claims
	}{
		{"revoked", graphsim.Fault{AADSTS: 50173}, graphsim.Fault{}, bridge.StateSignIn, true, "outbridge login alice", ""},
		{"sign-in frequency", graphsim.Fault{AADSTS: 70043, Message: "expired; the maximum allowed lifetime for this request is 604800."}, graphsim.Fault{}, bridge.StateSignIn, true, "every 7 days", ""},
		{"multi-factor", graphsim.Fault{AADSTS: 50076}, graphsim.Fault{}, bridge.StateSignIn, true, "multi-factor", "polids"},
		{"conditional access", graphsim.Fault{AADSTS: 53003}, graphsim.Fault{}, bridge.StateDenied, true, "Conditional Access", ""},
		{"secret", graphsim.Fault{AADSTS: 7000222}, graphsim.Fault{}, bridge.StateConfiguration, true, "client secret has expired", ""},
		{"throttled", graphsim.Fault{AADSTS: 90055}, graphsim.Fault{}, bridge.StateUnavailable, false, "tried again", ""},
		{"loop", graphsim.Fault{AADSTS: 50196}, graphsim.Fault{}, bridge.StateUnavailable, false, "tried again", ""},
		{"claims challenge", graphsim.Fault{}, graphsim.Fault{Status: 403, Header: challenge}, bridge.StateSignIn, true, "policy of the organization", claims},
		{"refused by Graph", graphsim.Fault{}, graphsim.Fault{Status: 401}, bridge.StateSignIn, false, "outbridge login alice", ""},
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
			if s.Code != tt.code || s.Final != tt.final || !strings.Contains(s.Sentence+" "+s.Action, tt.says) || !strings.Contains(s.Claims, tt.asks) || (s.Claims == "") != (tt.asks == "") {
				t.Errorf("state %+v", s)
			}
			w.Check() // what was synced is served
		})
	}
}
