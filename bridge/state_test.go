package bridge_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

type answered struct {
	status int
	body   string
}

func (a answered) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

// What the login service says, and what answers in its place, are in the state of the account.
func TestStateOfSignInTrouble(t *testing.T) {
	for name, tt := range map[string]struct {
		answered
		want bridge.State
	}{
		"refused": {answered{400, `{"error":"access_denied","error_codes":[53011],"error_description":"AADSTS53011: User blocked due to risk on home tenant. Trace ID: 1"}`},
			bridge.State{Code: bridge.StateDenied, Final: true, Fault: bridge.Fault{Reason: "account-risk", Action: bridge.ActionAskAndSignIn, AADSTS: 53011, Said: "User blocked due to risk on home tenant."}}},
		"proxy":  {answered{407, ""}, bridge.State{Code: bridge.StateUnavailable, Fault: bridge.Fault{Reason: "proxy-sign-in", Action: bridge.ActionWait}}},
		"portal": {answered{200, "<html>"}, bridge.State{Code: bridge.StateUnavailable, Fault: bridge.Fault{Reason: "captive-portal", Action: bridge.ActionWait}}},
		"outage": {answered{503, ""}, bridge.State{Code: bridge.StateUnavailable, Fault: bridge.Fault{Reason: bridge.ReasonUnavailable, Action: bridge.ActionWait}}},
	} {
		a := &graph.Authority{LoginURL: "https://login.example.com", ClientID: "client", HTTP: &http.Client{Transport: tt.answered}}
		_, err := a.DeviceCode(t.Context())
		if got := bridge.StateOf(err); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}
