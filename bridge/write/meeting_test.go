package write_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round/roundtest"
	"outbridge/bridge/write"
)

const (
	bob   = "bob@contoso.example"
	carol = "carol@contoso.example"
)

func attendee(address, more string) string { return "ATTENDEE" + more + ":mailto:" + address }

// ledger are the mails since the last call, as "kind response to, to".
func (w *world) ledger() []string {
	var list []string
	for _, m := range w.Sim.Mails() {
		list = append(list, strings.Join(strings.Fields(m.Kind+" "+m.Response+" "+strings.Join(m.To, ",")+" "+m.Occurrence), " "))
	}
	slices.Sort(list)
	w.Sim.ResetMails()
	return list
}

func (w *world) mailed(want ...string) {
	w.Helper()
	slices.Sort(want)
	if got := w.ledger(); !slices.Equal(got, want) {
		w.Fatalf("mailed %q, want %q", got, want)
	}
}

func TestMeeting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Round()
	meeting := event("m", "Plan", 1, 10, "ORGANIZER:mailto:"+alice, attendee(bob, ";PARTSTAT=NEEDS-ACTION;RSVP=TRUE"), attendee(alice, ";PARTSTAT=ACCEPTED"))
	w.mustPut("m.ics", meeting, create)
	w.mailed("invitation " + bob)
	if i := w.intents()[0]; i.Mails != 1 || i.State != bridge.IntentDone {
		t.Errorf("intent %+v", i)
	}
	w.quiet()
	w.mailed()

	t.Log("somebody is added")
	o := w.current("m.ics")
	o = w.mustPut("m.ics", replace(o, "SUMMARY:Plan", "SUMMARY:Plan\r\n"+attendee(carol, ";PARTSTAT=NEEDS-ACTION")), ifMatch(o))
	w.mailed("invitation " + carol)

	t.Log("it moves")
	w.mustPut("m.ics", replace(o, "T100000Z", "T140000Z", "T110000Z", "T150000Z"), ifMatch(o))
	w.mailed("update " + bob + "," + carol)
	w.quiet()

	t.Log("an alarm of one's own")
	o = w.current("m.ics")
	o = w.mustPut("m.ics", replace(o, "END:VEVENT", "BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:x\r\nTRIGGER:-PT10M\r\nEND:VALARM\r\nEND:VEVENT"), ifMatch(o))
	w.mailed()

	t.Log("Bob answers, and the edit of who has not seen that is still taken")
	cal := w.Box.Calendar()
	w.Must(cal.ReceiveReply(o.Series, bob, "accepted"))
	w.Changes(1)
	o = w.mustPut("m.ics", replace(o, "SUMMARY:Plan", "SUMMARY:Plan B"), ifMatch(o))
	w.mailed("update " + bob + "," + carol)
	if !strings.Contains(string(o.Data), "PARTSTAT=ACCEPTED") || !strings.Contains(string(o.Data), "Plan B") {
		t.Errorf("Bob's answer is lost:\n%s", o.Data)
	}

	t.Log("it goes")
	w.Must(w.remove("m.ics", write.Match{}))
	w.mailed("cancellation " + bob + "," + carol)
	w.quiet()
	w.withoutViolations()
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Sim.AddMailbox(bob, "Bob", "UTC")
	id := w.Box.Calendar().Invite(graphsim.Event{Subject: "Ours", Start: roundtest.At(1, 9, 0), End: roundtest.At(1, 10, 0), Zone: "UTC",
		Attendees: []graph.Attendee{{Type: "required", EmailAddress: graph.EmailAddress{Address: bob}}}})
	w.Round()
	_ = id
	o := w.only()
	w.Sim.ResetMails()
	for _, setting := range []bridge.Invitations{bridge.InvitationsNever, bridge.InvitationsReplies} {
		w.policy.Invitations = setting
		w.start()
		w.Round()
		o = w.only()
		w.Sim.ResetRequests()
		before := w.calendar().Rev
		for what, f := range map[string]func() error{
			"create": func() error {
				_, err := w.put("n.ics", event("n", "New", 2, 10, "ORGANIZER:mailto:"+alice, attendee(bob, "")), create)
				return err
			},
			"change": func() error {
				_, err := w.put(o.Name, replace(o, "SUMMARY:Ours", "SUMMARY:Mine"), ifMatch(o))
				return err
			},
			"delete": func() error { return w.remove(o.Name, ifMatch(o)) },
		} {
			r := w.refused(f())
			if r.Kind != convert.RefusedOrganizer || !strings.Contains(r.Sentence, "invitations") {
				t.Errorf("%s under %s: %s %s", what, setting, r.Kind, r.Sentence)
			}
		}
		if n := w.writes(); n != 0 || w.calendar().Rev != before {
			t.Errorf("a refused write was made")
		}
		w.mailed()
		if _, err := w.put(o.Name, replace(o, "END:VEVENT", "CATEGORIES:Blue\r\nEND:VEVENT"), ifMatch(o)); err != nil {
			t.Errorf("a category under %s: %v", setting, err)
		}
		w.mailed()
	}
	w.policy.Write = false
	if _, err := w.put("x.ics", event("x", "X", 2, 10), create); w.refused(err).Kind != convert.RefusedReadOnly {
		t.Errorf("read-only: %v", err)
	}
}

// invited is a world with an invitation of Bob's in Alice's calendar.
func invited(t *testing.T, policy bridge.Invitations, change func(*graphsim.Event)) (*world, graph.EventID) {
	w := newWorld(t)
	w.policy.Invitations = policy
	w.start()
	e := graphsim.Event{Subject: "Theirs", Start: roundtest.At(1, 9, 0), End: roundtest.At(1, 10, 0), Zone: "UTC",
		Organizer: graph.EmailAddress{Name: "Bob", Address: "bob@elsewhere.example"},
		Attendees: []graph.Attendee{{Type: "required", EmailAddress: graph.EmailAddress{Address: alice}}}}
	if change != nil {
		change(&e)
	}
	return w, w.Box.Receive(e)
}

func answered(o bridge.Object, answer string) string {
	return strings.NewReplacer("PARTSTAT=NEEDS-ACTION", "PARTSTAT="+answer, "PARTSTAT=TENTATIVE", "PARTSTAT="+answer).Replace(string(o.Data))
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for answer, mail := range map[string]string{"ACCEPTED": "accepted", "TENTATIVE": "tentativelyAccepted", "DECLINED": "declined"} {
		w, _ := invited(t, bridge.InvitationsReplies, nil)
		w.Round()
		o := w.only()
		r, err := w.put(o.Name, answered(o, answer), ifMatch(o))
		if err != nil {
			t.Fatalf("%s: %v", answer, err)
		}
		w.mailed("reply " + mail + " bob@elsewhere.example")
		if gone := r.Object.Name == ""; gone != (answer == "DECLINED") {
			t.Errorf("%s: gone %t", answer, gone)
		}
		w.Check()
		w.quiet()
		w.withoutViolations()
		if answer != "DECLINED" {
			o = w.only()
			if _, err := w.put(o.Name, string(o.Data), ifMatch(o)); err != nil {
				t.Error(err)
			}
			w.mailed()
		}
	}
}

// TestSelfByPrincipal invites as Apple's programs do, which write the path of the principal for themselves.
func TestSelfByPrincipal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Round()
	self := "/dav/principals/alice/"
	w.mustPut("m.ics", event("m", "Plan", 1, 10, "ORGANIZER;CN=Alice:"+self, "ATTENDEE;CN=Alice;PARTSTAT=ACCEPTED:"+self, attendee(bob, ";PARTSTAT=NEEDS-ACTION")), create)
	w.mailed("invitation " + bob)
	w.mustPut("alone.ics", event("alone", "Alone", 2, 10, "ORGANIZER:https://calendar.example"+self, "ATTENDEE;PARTSTAT=ACCEPTED:https://calendar.example"+self), create)
	w.mailed()
	w.Check()
	w.quiet()
	w.withoutViolations()
}

func TestInvitee(t *testing.T) {
	t.Parallel()
	w, _ := invited(t, bridge.InvitationsNever, nil)
	w.Round()
	o := w.only()
	_, err := w.put(o.Name, answered(o, "ACCEPTED"), ifMatch(o))
	if r := w.refused(err); r.Kind != convert.RefusedAttendee {
		t.Errorf("an answer under never: %s", r.Kind)
	}
	_, err = w.put(o.Name, replace(o, "T090000Z", "T100000Z", "T100000Z", "T110000Z"), ifMatch(o))
	if r := w.refused(err); r.Kind != convert.RefusedAttendee {
		t.Errorf("another time: %s", r.Kind)
	}
	w.Must(w.remove(o.Name, ifMatch(o)))
	w.mailed()
	w.Check()
	w.quiet()

	w, _ = invited(t, bridge.InvitationsReplies, nil)
	w.Round()
	o = w.only()
	w.Must(w.remove(o.Name, ifMatch(o)))
	w.mailed("reply declined bob@elsewhere.example")
	w.quiet()

	w, _ = invited(t, bridge.InvitationsReplies, nil)
	w.Round()
	r := w.request(w.only().Name, "", write.Match{})
	r.Silent = true
	w.Must(w.writer.Delete(w.Ctx, r))
	w.mailed()
	w.quiet()
}

// TestInviteeWithoutIfMatch changes what is an invitee's own, as programs do that send no If-Match, and answers with the same request.
func TestInviteeWithoutIfMatch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string // "": none
		mails  []string
	}{
		"alone":               {},
		"with an acceptance":  {"ACCEPTED", []string{"reply accepted bob@elsewhere.example"}},
		"with a half-promise": {"TENTATIVE", []string{"reply tentativelyAccepted bob@elsewhere.example"}},
	} {
		w, _ := invited(t, bridge.InvitationsReplies, func(e *graphsim.Event) { e.ShowAs = "busy" })
		w.Round()
		o := w.only()
		if c.answer != "" {
			o.Data = []byte(answered(o, c.answer))
		}
		o = w.mustPut(o.Name, replace(o, "TRANSP:OPAQUE", "TRANSP:TRANSPARENT"), write.Match{})
		w.mailed(c.mails...)
		if !strings.Contains(string(o.Data), "TRANSP:TRANSPARENT") {
			t.Errorf("%s: the invitee is busy still:\n%s", name, o.Data)
		}
		w.Check()
		w.quiet()
		w.mailed()
	}
}

func TestAcceptBeforeSync(t *testing.T) {
	t.Parallel()
	for _, synced := range []bool{true, false} {
		uid := "040000008200E00074C5B7101A82E00800000000" + "0011223344556677000000000000000010000000" + "AABBCCDDEEFF00112233445566778899"
		w := newWorld(t)
		w.policy.Invitations = bridge.InvitationsReplies
		w.start()
		w.Round()
		w.Box.Receive(graphsim.Event{Subject: "Theirs", Start: roundtest.At(1, 9, 0), End: roundtest.At(1, 10, 0), Zone: "UTC", ICalUID: uid,
			Organizer: graph.EmailAddress{Name: "Bob", Address: "bob@elsewhere.example"},
			Attendees: []graph.Attendee{{Type: "required", EmailAddress: graph.EmailAddress{Address: alice}}}})
		if synced {
			w.Round()
		}
		mail := event(strings.ToLower(uid), "Theirs", 1, 9, "ORGANIZER;SCHEDULE-AGENT=CLIENT:mailto:bob@elsewhere.example", attendee(alice, ";PARTSTAT=ACCEPTED"))
		r, err := w.put("guessed.ics", mail, create)
		if err != nil {
			t.Fatal(err)
		}
		if r.Created || r.Object.Name == "" || r.Object.Name == "guessed.ics" {
			t.Fatalf("%+v", r)
		}
		w.mailed("reply accepted bob@elsewhere.example")
		if !strings.Contains(string(w.only().Data), "PARTSTAT=ACCEPTED") {
			t.Errorf("not accepted:\n%s", w.only().Data)
		}
		n, err := w.Store.Named(w.Ctx, 1, "guessed.ics")
		if err != nil || !n.Alias || n.Series != r.Object.Series {
			t.Errorf("the guessed name: %+v, %v", n, err)
		}
		w.quiet()
		if _, err := w.put("guessed.ics", mail, create); err != nil {
			t.Errorf("the same again: %v", err)
		}
		w.mailed()
		w.Must(w.remove("guessed.ics", write.Match{}))
		w.mailed("reply declined bob@elsewhere.example")
		w.withoutViolations()
	}
	w := newWorld(t)
	w.Round()
	_, err := w.put("x.ics", event("unknown", "Theirs", 1, 9, "ORGANIZER:mailto:bob@elsewhere.example", attendee(alice, ";PARTSTAT=ACCEPTED")), create)
	w.refused(err)
	w.mailed()
}

func TestUIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := w.Box.AddCalendar("Second", "")
	_ = second
	w.Round()
	o := w.mustPut("s.ics", daily("s"), create)
	_, err := w.put("other.ics", event("s", "Bare", 3, 9), create)
	if r := w.refused(err); r.Kind != convert.RefusedUID || r.Object != "s.ics" {
		t.Errorf("a bare event of a series: %+v", r)
	}
	_, err = w.put("s.ics", event("another", "Other", 3, 9), ifMatch(o))
	if r := w.refused(err); r.Kind != convert.RefusedUID {
		t.Errorf("another UID: %+v", r)
	}
	if _, err := w.put("s.ics", daily("s"), create); err != nil {
		t.Errorf("the create again: %v", err)
	}
	if _, err := w.put("s.ics", daily("s", "LOCATION:x"), create); !errors.Is(err, write.ErrPrecondition) {
		t.Errorf("another create: %v", err)
	}
	m := w.mustPut("m.ics", event("m", "Meet", 2, 9, "ORGANIZER:mailto:"+alice, attendee(bob, "")), create)
	_ = m
	list, err := w.Store.Calendars(w.Ctx, 1)
	w.Must(err)
	for _, c := range list {
		if c.ID == 1 {
			continue
		}
		r := w.request("m2.ics", event("m", "Meet", 2, 9, "ORGANIZER:mailto:"+alice, attendee(bob, "")), create)
		r.Calendar = c
		_, err := w.writer.Put(w.Ctx, r)
		if r := w.refused(err); r.Kind != convert.RefusedUID || r.Calendar != 1 || r.Object != "m.ics" {
			t.Errorf("a meeting that is in another calendar: %+v", r)
		}
	}
}

func TestBurst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Round()
	put := func(i int) error {
		name := fmt.Sprint("m", i)
		_, err := w.put(name+".ics", event(name, name, 1+i%20, 9+i/20, "ORGANIZER:mailto:"+alice, attendee(bob, "")), create)
		return err
	}
	for i := range 20 {
		w.Must(put(i))
	}
	var busy *write.Busy
	if err := put(20); !errors.As(err, &busy) {
		t.Fatalf("the 21st: %v", err)
	}
	if _, err := w.put("a.ics", event("a", "A", 1, 20), create); !errors.As(err, &busy) {
		t.Fatalf("what does not mail: %v", err)
	}
	if n := len(w.ledger()); n != 20 {
		t.Errorf("%d mails", n)
	}
	w.Must(w.Store.SetWriteHold(w.Ctx, 1, bridge.WriteHold{Confirmed: w.Now()}))
	w.Must(put(20))
}
