package sqlstore

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"outbridge/bridge"
)

// TestSurveyed: accounts come in pages, each with all that is looked at, and no intent comes that a later one has made good.
func TestSurveyed(t *testing.T) {
	forEach(t, testSurveyed)
}

func testSurveyed(t *testing.T, s *Store) {
	c := calendar(t, s)
	bob := must(s.EnsureAccount(t.Context(), "bob"))(t)
	must(s.EnsureAccount(t.Context(), "carol"))(t)
	must(s.SetCalendars(t.Context(), bob.ID, []bridge.Calendar{{GraphID: "B1", Name: "work", DisplayName: "Work", Modified: now}, {GraphID: "B2", Name: "family", Order: 1, Modified: now}}))(t)
	for _, err := range []error{
		s.SetSignedIn(t.Context(), bob.ID, now), s.SetSignInLife(t.Context(), bob.ID, 7*24*time.Hour),
		s.SetWriteHold(t.Context(), bob.ID, bridge.WriteHold{Since: now.Add(time.Minute)}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	first := must(s.Surveyed(t.Context(), 0, 2))(t)
	if len(first) != 2 || first[0].Name != "alice" || len(first[0].Calendars) != 1 || !first[0].Held.IsZero() || !first[0].SignedIn.IsZero() {
		t.Fatalf("%+v", first)
	}
	if b := first[1]; b.Name != "bob" || len(b.Calendars) != 2 || b.Calendars[0].DisplayName != "Work" || !b.Held.Equal(now.Add(time.Minute)) || !b.SignedIn.Equal(now) || b.SignInLife != 7*24*time.Hour {
		t.Errorf("%+v", b)
	}
	if rest := must(s.Surveyed(t.Context(), first[1].ID, 2))(t); len(rest) != 1 || rest[0].Name != "carol" || len(rest[0].Calendars) != 0 {
		t.Errorf("%+v", rest)
	}

	others := must(s.Calendars(t.Context(), bob.ID))(t)[0].ID
	for i, one := range []struct {
		in    bridge.CalendarID
		name  string
		state string
		age   time.Duration
	}{
		{c.ID, "old", bridge.IntentFailed, 25 * time.Hour},
		{c.ID, "failed", bridge.IntentFailed, 23 * time.Hour},
		{c.ID, "mended", bridge.IntentRefused, 2 * time.Hour},
		{c.ID, "mended", bridge.IntentDone, time.Hour},
		{others, "failed", bridge.IntentUnknown, time.Hour}, // of somebody else
		{c.ID, "open", bridge.IntentOpen, 30 * time.Hour},
		{c.ID, "done", bridge.IntentDone, time.Hour},
	} {
		must(s.AddIntent(t.Context(), bridge.Intent{Calendar: one.in, Name: one.name, UID: fmt.Sprint(i), Operation: bridge.IntentPut, State: one.state,
			Created: now.Add(-one.age), Changed: now.Add(-one.age)}))(t)
	}
	names := func(list []bridge.Intent) (names []string) {
		for _, i := range list {
			names = append(names, fmt.Sprint(i.Account == bob.ID, " ", i.Name))
		}
		return names
	}
	if got := names(must(s.TroubledIntents(t.Context(), now.Add(-24*time.Hour), 10))(t)); !slices.Equal(got, []string{"false open", "true failed", "false failed"}) {
		t.Errorf("%q", got)
	}
	if got := must(s.TroubledIntents(t.Context(), now.Add(-24*time.Hour), 1))(t); len(got) != 1 {
		t.Errorf("%d", len(got))
	}
}
