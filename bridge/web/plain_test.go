package web_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"outbridge/bridge"
	"outbridge/bridge/web"
)

// TestTechnical: errors of libraries are known as such, as they are made, and sentences of ours are not.
func TestTechnical(t *testing.T) {
	t.Parallel()
	var config struct {
		Sync struct{ Interval string }
	}
	_, dialed := net.Dial("tcp", "127.0.0.1:1")
	_, looked := net.LookupHost("no-such-host.invalid")
	for _, err := range []error{
		dialed, looked, toml.Unmarshal([]byte("[sync]\ninterval = 5\n"), &config), toml.Unmarshal([]byte("interval = 5m\n"), &config),
		fmt.Errorf("list calendars: %w", t.Context().Err()), errors.New("read mailbox: invalid character '<' looking for beginning of value"),
		errors.New(`Get "https://graph.microsoft.com/v1.0/me": EOF`), errors.New("tls: failed to verify certificate: x509: certificate signed by unknown authority"),
	} {
		if err != nil && !strings.Contains(err.Error(), "%!") && !web.Technical(err.Error()) {
			t.Errorf("%q passes for a sentence", err)
		}
	}
	for _, text := range []string{"Graph lists no calendar at all; the known ones are kept", "The calendar of boss@example.com cannot be read.",
		"no calendar of the account is included", "the database is held by another program; nothing was changed", "The sign-in was declined."} {
		if web.Technical(text) {
			t.Errorf("%q passes for technical", text)
		}
	}
	for _, reason := range []bridge.Reason{bridge.ReasonOther, bridge.ReasonUnreachable, bridge.ReasonWords} {
		if w := web.WordsFor(bridge.Fault{Reason: reason, Detail: dialed.Error()}); w.Sentence == "" || web.Technical(w.Sentence) {
			t.Errorf("%s: %q", reason, w.Sentence)
		}
	}
}

// TestNoRawText: the pages show no text of a library, whatever the state holds.
func TestNoRawText(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.meeting("Review")
	d.round()
	p := d.admin()
	a, err := d.store.Account(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	cals, err := d.store.Calendars(t.Context(), a.ID)
	if err != nil {
		t.Fatal(err)
	}
	_, raw := net.Dial("tcp", "127.0.0.1:1")
	fault := bridge.FaultOf(fmt.Errorf("follow cursor: %w", raw))
	if err := d.store.SetFault(t.Context(), cals[0].ID, fault, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := d.store.SetState(t.Context(), a.ID, bridge.StateOf(raw)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/accounts/alice", "/calendars/alice", "/calendars/alice/" + cals[0].Name, "/accounts/alice/options"} {
		if got := p.get(path); strings.Contains(got.body, "dial tcp") || strings.Contains(got.body, "refused") {
			t.Errorf("%s:\n%s", path, got.body)
		}
	}
}

// TestHistoryOfFailures: a time without a good sync is told in the words for its fault and in the language of the page, with its end.
func TestHistoryOfFailures(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.meeting("Review")
	d.round()
	p := d.admin()
	a, err := d.store.Account(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	cals, err := d.store.Calendars(t.Context(), a.ID)
	if err != nil {
		t.Fatal(err)
	}
	denied := bridge.Fault{Reason: bridge.ReasonDenied, Action: bridge.ActionAsk, Detail: "read changes: Microsoft Graph denies access (HTTP 403, ErrorAccessDenied, request-id 1): Access is denied"}
	for _, f := range []bridge.Fault{denied, {}} {
		if err := d.store.SetFault(t.Context(), cals[0].ID, f, d.now()); err != nil {
			t.Fatal(err)
		}
	}
	d.meeting("Retrospective")
	d.round()
	p.header.Set("Accept-Language", "de")
	got := p.get("/accounts/alice/history/" + cals[0].Name)
	for _, said := range []string{`bis <time datetime="`, "</time> gelang keine Synchronisierung: Microsoft Graph verweigert den Zugriff auf einen Kalender."} {
		if !strings.Contains(got.body, said) {
			t.Errorf("the history does not say %q", said)
		}
	}
	if strings.Contains(got.body, "&lt;time") || strings.Contains(got.body, "HTTP 403") {
		t.Errorf("what is not for people:\n%s", got.body)
	}
}
