package convert

import (
	"errors"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"outbridge/bridge/graph"
)

// Nothing of a person is left in what Explain redacts, and the decisions and losses are the same.
func TestExplainRedacts(t *testing.T) {
	a, err := txtar.ParseFile("testdata/field-redacted.txtar")
	if err != nil {
		t.Fatal(err)
	}
	g := readGolden(t, a)
	open, redacted := string(g.explain(t, false)), string(g.explain(t, true))
	for _, secret := range []string{"Jane", "jane", "Doe", "Erika", "erika", "Severance", "contoso.example", "Villa", "Elm", "hunter2", "123456789", "Secret", "meeting_secret",
		`"12345"`, "59.3", "item/abc", "cn=fax", "Other"} {
		if strings.Contains(redacted, secret) {
			t.Errorf("%q is not redacted", secret)
		}
	}
	decided := func(s string) string {
		_, s, _ = strings.Cut(s, "What was decided")
		s, _, _ = strings.Cut(s, "What clients get")
		return strings.ReplaceAll(s, "Secret project", "Category 1")
	}
	if decided(open) != decided(redacted) {
		t.Errorf("%s\nredacted\n%s", decided(open), decided(redacted))
	}
}

// What cannot be converted is explained as well, on any terminal, and whatever an event has in it stays in its place.
func TestExplainOdd(t *testing.T) {
	var s Series
	if err := s.Event.UnmarshalJSON([]byte(`{"id":"x","subject":"\u202egnp.exe \u009b31m","isAllDay":"maybe"}`)); err != nil {
		t.Fatal(err)
	}
	s.Cancelled = []string{"OID.x.2026-01-01\x1b[31m"}
	s.Exceptions = []graph.Event{{ID: "e", Subject: "not from JSON <&>"}}
	var b strings.Builder
	if err := Explain(&b, s, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"There is no object: event \"x\": the event has no date.", "isAllDay: The property is not of the JSON type", `\u202e`, `\u001b[31m`, "not from JSON"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if err := Explain(failing{}, s, true); err == nil {
		t.Error("an error of the writer was lost")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no room") }
