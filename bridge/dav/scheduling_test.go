package dav_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round/roundtest"
)

func (w *writing) outbox() string {
	w.t.Helper()
	body := w.must(http.StatusMultiStatus, "PROPFIND", "/dav/principals/alice/",
		`<propfind xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><prop><C:schedule-outbox-URL/></prop></propfind>`, "Depth", "0").Body.String()
	_, rest, ok := strings.Cut(body, "schedule-outbox-URL>")
	if !ok {
		return ""
	}
	_, rest, ok = strings.Cut(rest, "href>")
	href, _, _ := strings.Cut(rest, "<")
	if !ok {
		return ""
	}
	return href
}

// ask is a free-busy request about some people, and its answers by their addresses.
func (w *writing) ask(from, to time.Time, more string, people ...string) map[string]string {
	w.t.Helper()
	lines := []string{"BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//EN", "METHOD:REQUEST", "BEGIN:VFREEBUSY", "UID:ask", "DTSTAMP:20261101T000000Z",
		"DTSTART:" + from.UTC().Format("20060102T150405Z"), "DTEND:" + to.UTC().Format("20060102T150405Z"), "ORGANIZER:mailto:" + address}
	for _, p := range people {
		lines = append(lines, "ATTENDEE:mailto:"+p)
	}
	if more != "" {
		lines = append(lines, more)
	}
	lines = append(lines, "END:VFREEBUSY", "END:VCALENDAR", "")
	body := w.must(http.StatusOK, "POST", w.outbox(), strings.Join(lines, "\r\n"), "Content-Type", "text/calendar").Body.String()
	out := map[string]string{}
	for _, part := range strings.Split(body, "<C:response>")[1:] {
		_, who, _ := strings.Cut(part, "mailto:")
		who, _, _ = strings.Cut(who, "<")
		_, status, _ := strings.Cut(part, "<C:request-status>")
		status, _, _ = strings.Cut(status, "<")
		var periods []string
		for line := range strings.Lines(part) {
			if line = strings.TrimSuffix(strings.TrimSpace(line), "&#13;"); strings.HasPrefix(line, "FREEBUSY") {
				periods = append(periods, strings.TrimPrefix(line, "FREEBUSY;FBTYPE="))
			}
		}
		out[who] = strings.TrimSpace(status + " " + strings.Join(periods, " "))
	}
	return out
}

// period is an hour by the clock of the mailbox, which is one ahead.
func period(kind string, day, hour int) string {
	at := roundtest.At(day, hour-1, 0)
	return kind + ":" + at.Format("20060102T150405Z") + "/" + at.Add(time.Hour).Format("20060102T150405Z")
}

func state(e graphsim.Event, showAs string) graphsim.Event {
	e.ShowAs = showAs
	return e
}

func TestFreeBusy(t *testing.T) {
	w := newWriting(t)
	bob := w.Sim.AddMailbox("bob@contoso.example", "Bob", "W. Europe Standard Time")
	for _, e := range []graphsim.Event{
		roundtest.Meeting("busy", 1, 9), state(roundtest.Meeting("maybe", 1, 11), "tentative"), state(roundtest.Meeting("away", 2, 9), "oof"),
		state(roundtest.Meeting("free", 2, 11), "free"), state(roundtest.Meeting("elsewhere", 2, 13), "workingElsewhere"),
	} {
		bob.Calendar().Create(e)
	}
	far := roundtest.Meeting("far", 90, 9)
	bob.Calendar().Create(far)
	w.Box.Calendar().Create(roundtest.Meeting("mine", 1, 10))
	w.Round()
	from := roundtest.At(0, 0, 0)

	got := w.ask(from, from.AddDate(0, 0, 7), "", "bob@contoso.example", address, "nobody@elsewhere.example")
	for who, want := range map[string]string{
		"bob@contoso.example":      "2.0;Success " + period("BUSY", 1, 9) + " " + period("BUSY-TENTATIVE", 1, 11) + " " + period("BUSY-UNAVAILABLE", 2, 9),
		address:                    "2.0;Success " + period("BUSY", 1, 10),
		"nobody@elsewhere.example": "3.7;Invalid calendar user",
	} {
		if got[who] != want {
			t.Errorf("%s: %q, want %q", who, got[who], want)
		}
	}
	// Graph looks at 62 days at once.
	got = w.ask(from, from.AddDate(0, 0, 200), "", "bob@contoso.example")
	if want := period("BUSY", 90, 9); !strings.HasSuffix(got["bob@contoso.example"], want) || strings.Count(got["bob@contoso.example"], "BUSY:") != 2 {
		t.Errorf("200 days: %q, want %q at the end", got, want)
	}
	if got := w.ask(from, from.AddDate(2, 0, 0), "", "bob@contoso.example"); got["bob@contoso.example"] != "5.1;Service unavailable" {
		t.Errorf("two years: %q", got)
	}
	var many []string
	for i := range 45 {
		a := fmt.Sprintf("p%d@contoso.example", i)
		w.Sim.AddMailbox(a, a, "W. Europe Standard Time").Calendar().Create(roundtest.Meeting("x", 1, i%20+1))
		many = append(many, a)
	}
	got = w.ask(from, from.AddDate(0, 0, 3), "", many...)
	for i, a := range many {
		if want := "2.0;Success " + period("BUSY", 1, i%20+1); got[a] != want {
			t.Errorf("%s: %q, want %q", a, got[a], want)
		}
	}
	if v := w.Sim.Violations(); len(v) > 0 {
		t.Error(v)
	}
}

// The event that a time is sought for does not count as what its owner is busy with.
func TestFreeBusyMask(t *testing.T) {
	for name, personal := range map[string]bool{"work": false, "personal": true} {
		t.Run(name, func(t *testing.T) {
			w := newWriting(t, func(s *graphsim.Server) { s.Writing.NoSchedules = personal })
			w.Box.Calendar().Create(roundtest.Meeting("other", 1, 8))
			w.Round()
			w.must(http.StatusCreated, "PUT", calendarPath+"plan.ics", appointment("plan@client", "plan", 1, 9), "If-None-Match", "*")
			from := roundtest.At(0, 0, 0)
			if got, want := w.ask(from, from.AddDate(0, 0, 7), "", address)[address], "2.0;Success "+period("BUSY", 1, 8)+" "+period("BUSY", 1, 10); got != want {
				t.Errorf("%q, want %q", got, want)
			}
			if got, want := w.ask(from, from.AddDate(0, 0, 7), "X-CALENDARSERVER-MASK-UID:plan@client", address)[address], "2.0;Success "+period("BUSY", 1, 8); got != want {
				t.Errorf("masked: %q, want %q", got, want)
			}
		})
	}
}

// A personal account, of which Graph tells no times, is told its own from what is served: series through a change of the clocks, and
// without what does not take its time.
func TestFreeBusyOfPersonalAccount(t *testing.T) {
	w := newWriting(t, func(s *graphsim.Server) { s.Writing.NoSchedules = true })
	second := w.Box.AddCalendar("Second", "")
	w.Box.Calendar().Create(roundtest.Weekly("weekly", 1, 9, "tuesday"))
	w.Box.Calendar().Create(state(roundtest.Meeting("free", 2, 9), "free"))
	w.Box.Calendar().Create(state(roundtest.Meeting("elsewhere", 2, 10), "workingElsewhere"))
	second.Create(state(roundtest.Meeting("away", 2, 11), "oof"))
	second.Create(state(roundtest.Meeting("maybe", 2, 12), "tentative"))
	w.Round()
	from := roundtest.At(0, 0, 0)
	got := w.ask(from, from.AddDate(0, 0, 7), "", address, "bob@contoso.example")
	if want := "2.0;Success " + period("BUSY", 1, 9) + " " + period("BUSY-UNAVAILABLE", 2, 11) + " " + period("BUSY-TENTATIVE", 2, 12); got[address] != want {
		t.Errorf("%q, want %q", got[address], want)
	}
	if got["bob@contoso.example"] != "3.8;No authority" {
		t.Errorf("%q", got["bob@contoso.example"])
	}
	asked := 0
	for _, r := range w.Sim.Requests() {
		if strings.Contains(r.Path, "getSchedule") {
			asked++
		}
	}
	w.ask(from, from.AddDate(0, 0, 7), "", address)
	for _, r := range w.Sim.Requests() {
		if strings.Contains(r.Path, "getSchedule") {
			asked--
		}
	}
	if asked != 0 {
		t.Error("Graph is asked again what it has refused")
	}
	// The clocks change at the end of March: 9 o'clock is an hour earlier in UTC.
	spring := roundtest.At(130, 0, 0)
	if got := w.ask(spring, spring.AddDate(0, 0, 7), "", address)[address]; !strings.Contains(got, "T070000Z/") {
		t.Errorf("in summer: %q", got)
	}
}

// The boxes are there where Outlook mails, and only there.
func TestBoxes(t *testing.T) {
	for policy, want := range map[bridge.Policy]bool{
		{}:            false,
		{Write: true}: false,
		{Write: true, Invitations: bridge.InvitationsNever}:   false,
		{Write: true, Invitations: bridge.InvitationsReplies}: true,
		{Write: true, Invitations: bridge.InvitationsOutlook}: true,
	} {
		w := newWriting(t)
		w.policy = policy
		w.start()
		w.Round()
		if got := w.outbox() != ""; got != want {
			t.Errorf("%+v: there is an outbox: %t", policy, got)
		}
		if rec := w.do("POST", "/dav/principals/alice/outbox/", "", "Content-Type", "text/calendar"); !want && rec.Code < 400 {
			t.Errorf("%+v: a request is answered %d", policy, rec.Code)
		}
	}
}
