package sqlstore

import (
	"slices"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// What the released schema has of faults is words: they are read, and shown until the next round.
func TestFaultsInWords(t *testing.T) { forEach(t, testFaultsInWords) }

func testFaultsInWords(t *testing.T, s *Store) {
	a := must(s.EnsureAccount(t.Context(), "alice"))(t)
	const since = `"since":"2026-03-01T12:00:00Z"`
	for _, tt := range []struct {
		stored string
		want   bridge.State
	}{
		{`{"code":"ok","sentence":"","action":"",` + since + `,"final":false}`, bridge.State{Code: bridge.StateOK}},
		{`{"code":"sign-in","sentence":"The sign-in has expired.","action":"Run ` + "`outbridge login alice`" + `.",` + since + `,"final":true,"claims":"{}"}`,
			bridge.State{Code: bridge.StateSignIn, Final: true, Claims: "{}", Fault: bridge.Fault{Reason: bridge.ReasonWords, Action: bridge.ActionSignIn, Detail: "The sign-in has expired."}}},
		{`{"code":"denied","sentence":"No.","action":"Ask the administrator.",` + since + `,"final":true}`,
			bridge.State{Code: bridge.StateDenied, Final: true, Fault: bridge.Fault{Reason: bridge.ReasonWords, Action: bridge.ActionAskAndSignIn, Detail: "No."}}},
		{`{"code":"configuration","sentence":"No.","action":"Correct client_id.",` + since + `,"final":true}`,
			bridge.State{Code: bridge.StateConfiguration, Final: true, Fault: bridge.Fault{Reason: bridge.ReasonWords, Action: bridge.ActionConfigure, Detail: "No."}}},
		{`{"code":"unavailable","sentence":"No answer.","action":"Nothing.",` + since + `,"final":false}`,
			bridge.State{Code: bridge.StateUnavailable, Fault: bridge.Fault{Reason: bridge.ReasonWords, Action: bridge.ActionWait, Detail: "No answer."}}},
		{`{"code":"error","sentence":"Disk.","action":"See the log.",` + since + `,"final":false}`,
			bridge.State{Code: bridge.StateError, Fault: bridge.Fault{Reason: bridge.ReasonWords, Action: bridge.ActionInspect, Detail: "Disk."}}},
	} {
		if _, err := s.write.exec(t.Context(), `UPDATE account SET state = ?, state_token = 7 WHERE id = ?`, tt.stored, a.ID); err != nil {
			t.Fatal(err)
		}
		tt.want.Since, tt.want.TokenVersion = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), 7
		if got := must(s.AccountByID(t.Context(), a.ID))(t).State; got != tt.want {
			t.Errorf("%s\n got %+v\nwant %+v", tt.stored, got, tt.want)
		}
	}

	if _, err := s.SetCalendars(t.Context(), a.ID, []bridge.Calendar{{GraphID: "c", DisplayName: "Calendar", Modified: time.Unix(1, 0)}}); err != nil {
		t.Fatal(err)
	}
	cal := must(s.Calendars(t.Context(), a.ID))(t)[0]
	if err := s.SetSubscription(t.Context(), bridge.Subscription{Account: a.ID}); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"calendar", "subscription"} {
		if _, err := s.write.exec(t.Context(), `UPDATE `+table+` SET fault = 'read changes: trouble; it should pass by itself' WHERE account_id = ?`, a.ID); err != nil {
			t.Fatal(err)
		}
	}
	want := bridge.Fault{Reason: bridge.ReasonWords, Action: bridge.ActionInspect, Detail: "read changes: trouble; it should pass by itself"}
	check := func() {
		t.Helper()
		if got := must(s.Calendar(t.Context(), cal.ID))(t).Fault; got != want {
			t.Errorf("calendar %+v, want %+v", got, want)
		}
		if got := must(s.Subscription(t.Context(), a.ID))(t).Fault; got != want {
			t.Errorf("subscription %+v, want %+v", got, want)
		}
	}
	check()
	for _, want = range []bridge.Fault{{Reason: bridge.Reason(graph.ReasonFrequency), Action: bridge.ActionSignIn, AADSTS: 70043, Duration: time.Hour, Address: "a", Link: "l", Detail: "{d"}, {}} {
		if err := s.SetFault(t.Context(), cal.ID, want, time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if err := s.SetSubscription(t.Context(), bridge.Subscription{Account: a.ID, Fault: want}); err != nil {
			t.Fatal(err)
		}
		check()
		state := bridge.State{Code: bridge.StateSignIn, Fault: want, Final: true, TokenVersion: 3}
		if err := s.SetState(t.Context(), a.ID, state); err != nil {
			t.Fatal(err)
		}
		if got := must(s.AccountByID(t.Context(), a.ID))(t).State; got != state {
			t.Errorf("got %+v, want %+v", got, state)
		}
	}
}

// Rounds that fail are one row of the history, from the first to what came after the last, however often they fail and whatever else is
// said of it.
func TestFailingRounds(t *testing.T) { forEach(t, testFailingRounds) }

func testFailingRounds(t *testing.T, s *Store) {
	a := must(s.EnsureAccount(t.Context(), "alice"))(t)
	if _, err := s.SetCalendars(t.Context(), a.ID, []bridge.Calendar{{GraphID: "c", DisplayName: "Calendar", Modified: time.Unix(1, 0)}}); err != nil {
		t.Fatal(err)
	}
	cal := must(s.Calendars(t.Context(), a.ID))(t)[0]
	away := bridge.Fault{Reason: bridge.ReasonUnavailable, Action: bridge.ActionWait}
	worse := bridge.Fault{Reason: bridge.ReasonThrottled, Action: bridge.ActionWait}
	at := func(minute int64) time.Time { return time.Unix(minute*60, 0).UTC() }
	fail := func(f bridge.Fault, minute int64) {
		t.Helper()
		if err := s.SetFault(t.Context(), cal.ID, f, at(minute)); err != nil {
			t.Fatal(err)
		}
	}
	good := func(minute int64) {
		t.Helper()
		if err := s.SetGood(t.Context(), cal.ID, 0, "", at(minute)); err != nil {
			t.Fatal(err)
		}
	}
	good(1)
	for minute := int64(2); minute < 9; minute++ {
		f := away
		f.Detail = time.Duration(minute).String()
		fail(f, minute)
		fail(f, minute)
	}
	fail(worse, 9)
	good(10)
	good(11)
	fail(away, 12)
	type row struct {
		reason   bridge.Reason
		at, till time.Time
	}
	var got []row
	for _, h := range must(s.History(t.Context(), cal.ID, bridge.HistoryFew))(t) {
		got = append(got, row{h.Fault.Reason, h.At, h.Until})
	}
	want := []row{{away.Reason, at(12), time.Time{}}, {worse.Reason, at(9), at(10)}, {away.Reason, at(2), at(9)}}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
