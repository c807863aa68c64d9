package web_test

import (
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/web"
)

func oneSentence(s string) bool {
	return len(s) > 10 && strings.HasSuffix(s, ".") && !strings.Contains(strings.TrimSuffix(s, "."), ". ")
}

// Every reason has a sentence and a fix, in words for a page and a terminal.
func TestEveryReasonHasWords(t *testing.T) {
	t.Parallel()
	reasons := []bridge.Reason{bridge.ReasonSignInRefused, bridge.ReasonPolicy, bridge.ReasonShared, bridge.ReasonDenied, bridge.ReasonMailboxMissing, bridge.ReasonNoCalendars,
		bridge.ReasonDirectoryDenied, bridge.ReasonPeopleHidden, bridge.ReasonGroupMissing, bridge.ReasonThrottled, bridge.ReasonUnreachable, bridge.ReasonUnavailable, bridge.ReasonBusy}
	for _, r := range graph.Reasons() {
		reasons = append(reasons, bridge.Reason(r))
	}
	seen := map[string]bridge.Reason{}
	for _, r := range reasons {
		for _, act := range []bridge.Action{bridge.ActionSignIn, bridge.ActionConfigure} {
			f := bridge.Fault{Reason: r, Action: act, Address: "boss@contoso.example"}
			w := web.WordsFor(f)
			if !oneSentence(w.Sentence) || strings.Contains(w.Sentence+w.Fix+w.AfterSignIn, "%") {
				t.Errorf("%s: %+v", r, w)
			}
			if fix := w.Action(f, "run `outbridge login alice`"); act == bridge.ActionSignIn && (!oneSentence(fix) || !strings.Contains(fix, "un `outbridge login alice`")) {
				t.Errorf("%s: %q", r, fix)
			}
			if other, ok := seen[w.Sentence]; ok && other != r {
				t.Errorf("%s and %s have the same sentence", r, other)
			}
			seen[w.Sentence] = r
		}
	}
	if n := web.Reasons(); n != len(reasons)+2 { // and ReasonOther and ReasonWords
		t.Errorf("words for %d reasons, there are %d", n, len(reasons)+2)
	}
}

// The words for each refusal of the login service name its cause.
func TestWordsOfRefusals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason graph.Reason
		says   string
	}{
		{graph.ReasonMultiFactor, "multi-factor"}, {graph.ReasonRevoked, "revoked"}, {graph.ReasonConditionalAccess, "Conditional Access"},
		{graph.ReasonConsentMissing, "consented"}, {graph.ReasonSecretExpired, "client secret has expired"}, {graph.ReasonExpired, "expired"},
		{graph.ReasonPermissions, "permissions"}, {graph.ReasonDeclined, "declined"}, {graph.ReasonInteraction, "again"}, {graph.ReasonAppUnknown, "client_id"},
		{graph.ReasonFlow, "kind of sign-in"}, {graph.ReasonRefused, "refuses"}, {graph.ReasonCertificate, "certificate_file"},
	} {
		w := web.WordsFor(bridge.Fault{Reason: bridge.Reason(tt.reason)})
		if !strings.Contains(w.Sentence+w.Fix, tt.says) {
			t.Errorf("%s: %+v", tt.reason, w)
		}
	}
	for d, says := range map[time.Duration]string{
		7 * 24 * time.Hour: "requires a new sign-in every 7 days.", 24 * time.Hour: "every day.", 12 * time.Hour: "every 12 hours.", 0: "after a fixed time",
	} {
		f := bridge.Fault{Reason: bridge.Reason(graph.ReasonFrequency), Action: bridge.ActionSignIn, Duration: d}
		if w := web.WordsFor(f); !strings.Contains(w.Sentence, says) || !strings.Contains(w.Action(f, "sign in again"), "needed again") {
			t.Errorf("%v: %+v", d, w)
		}
	}
	f := bridge.Fault{Reason: bridge.Reason(graph.ReasonAdminConsent), Action: bridge.ActionAskAndSignIn, Link: "https://login.example.com/contoso.example/adminconsent?client_id=the%20client"}
	if got, want := web.WordsFor(f).Action(f, "run `outbridge login alice`"), "Ask the administrator to open "+f.Link+" and to accept, then run `outbridge login alice`."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	f = bridge.Fault{Reason: "refused", Action: bridge.ActionConfigure, AADSTS: 123456, Said: "Something new is the matter."}
	if w := web.WordsFor(f); w.Sentence != `Microsoft refuses the sign-in. Microsoft says: "Something new is the matter."` || !strings.Contains(w.Fix, "AADSTS123456") {
		t.Errorf("%+v", w)
	}
	f = bridge.Fault{Reason: bridge.ReasonOther, Action: bridge.ActionInspect, Detail: "disk on fire"}
	if w := web.WordsFor(f); w.Sentence != "disk on fire" || web.WordsFor(bridge.Fault{}) != (web.Words{}) {
		t.Errorf("%+v", w)
	}
}
