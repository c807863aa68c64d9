package dav_test

import (
	"net/http"
	"strings"
	"testing"

	"outbridge/bridge/graph/graphsim"
)

// New meetings become online meetings of the calendar's own provider, if the account wants that: only those with attendees, and only
// where there is a provider.
func TestOnlineMeetings(t *testing.T) {
	for name, c := range map[string]struct {
		providers []string
		attendee  bool
		wanted    bool
		want      bool
	}{
		"a meeting":            {[]string{"skypeForBusiness", "teamsForBusiness"}, true, true, true},
		"not wanted":           {[]string{"teamsForBusiness"}, true, false, false},
		"no attendees":         {[]string{"teamsForBusiness"}, false, true, false},
		"the mailbox has none": {nil, true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWriting(t)
			w.Box.Calendar().SetOnlineMeetings(c.providers...)
			w.policy.OnlineMeetings = c.wanted
			w.start()
			w.Round()
			w.Round() // from here on earlier states are kept
			lines := []string{"DESCRIPTION:Agenda"}
			if c.attendee {
				lines = append(lines, "ORGANIZER:mailto:"+address, "ATTENDEE:mailto:bob@elsewhere.example")
			}
			w.must(http.StatusCreated, "PUT", calendarPath+"m.ics", appointment("m", "M", 1, 9, lines...), "If-None-Match", "*")
			e, err := w.Box.Calendar().Event(w.Box.Calendar().Events()[0])
			w.Must(err)
			if got := e.JoinURL != ""; got != c.want {
				t.Fatalf("online: %t", got)
			}
			if !c.want {
				return
			}
			if e.Provider != c.providers[0] {
				t.Errorf("the provider is %q", e.Provider)
			}
			had := w.etag("m.ics")
			text := w.get("m.ics")
			if !strings.Contains(text, "CONFERENCE") {
				t.Errorf("%s", text)
			}
			// What Outlook adds afterwards is one change, and none that a client's edit has to fear.
			w.Pass(5e9)
			w.Sim.Settle()
			w.Changes(1)
			if w.etag("m.ics") == had {
				t.Fatal("nothing was added")
			}
			w.Changes(0)
			w.Sim.ResetMails()
			w.must(http.StatusNoContent, "PUT", calendarPath+"m.ics", strings.Replace(text, "SUMMARY:M", "SUMMARY:N", 1), "If-Match", had)
			e, err = w.Box.Calendar().Event(w.Box.Calendar().Events()[0])
			w.Must(err)
			if e.Subject != "N" || e.JoinURL == "" || !strings.Contains(e.Body, e.JoinURL) || !strings.Contains(e.Body, "Agenda") {
				t.Errorf("%+v", e)
			}
			w.quiet()
			if v := w.Sim.Violations(); len(v) > 0 {
				t.Error(v)
			}
		})
	}
}

// Who provides online meetings may change with the mailbox.
func TestProviderChanges(t *testing.T) {
	w := newWriting(t, func(*graphsim.Server) {})
	w.Round()
	c, err := w.Store.Calendar(w.Ctx, 1)
	w.Must(err)
	w.Box.Calendar().SetOnlineMeetings("skypeForConsumer")
	w.Round()
	now, err := w.Store.Calendar(w.Ctx, 1)
	w.Must(err)
	if c.OnlineMeetings != "teamsForBusiness" || now.OnlineMeetings != "skypeForConsumer" {
		t.Errorf("%q, then %q", c.OnlineMeetings, now.OnlineMeetings)
	}
}
