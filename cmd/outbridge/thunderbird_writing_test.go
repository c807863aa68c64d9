//go:build interop

package main

import (
	"fmt"
	"strings"
	"testing"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// TestThunderbirdWrites: Thunderbird makes, drags, changes, answers and deletes, and puts reminders off.
func TestThunderbirdWrites(t *testing.T) {
	t.Parallel()
	w := newWriting(t, "outlook")
	tb := startThunderbird(t)
	var calendars [][2]any // name, read-only
	tb.run(&calendars, "subscribe", w.user, w.password, w.proxy.URL)
	if len(calendars) != 1 || calendars[0][1] != false {
		t.Fatalf("it finds %v, not one calendar that can be written to", calendars)
	}
	write := func(args []string) (said string) {
		w.t.Helper()
		all := make([]any, len(args))
		for i := range args {
			all[i] = args[i]
		}
		tb.run(&said, "write", all...)
		return said
	}
	do := func(args ...string) func() {
		return func() {
			w.t.Helper()
			if said := write(args); said != "done" {
				w.t.Errorf("%q: it says %q", args, said)
			}
		}
	}
	refused := func(args ...string) func() {
		return func() {
			w.t.Helper()
			said := write(args)
			if said == "done" {
				w.t.Errorf("%q: it says nothing", args)
			}
			w.t.Logf("refused, it says %q", said)
		}
	}
	alone := func(what func()) func() {
		return func() {
			w.t.Helper()
			w.sim.ResetRequests()
			what()
			if n := len(w.sim.Requests()); n != 0 {
				w.t.Errorf("Outlook is asked %d times", n)
			}
		}
	}
	ics := func(lines ...string) string {
		return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Mozilla.org/NONSGML Mozilla Calendar V1.1//EN\r\nBEGIN:VEVENT\r\nDTSTAMP:20260101T000000Z\r\n" +
			strings.Join(lines, "\r\n") + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
	}
	between := func(day int, from, to string) string {
		return fmt.Sprintf("DTSTART;TZID=Europe/Berlin:%s\r\nDTEND;TZID=Europe/Berlin:%s", w.local(day, from), w.local(day, to))
	}
	show := func() []shown {
		var list string
		tb.run(&list, "shown", w.first.Format("20060102T150405Z"), w.first.AddDate(0, 0, 14).Format("20060102T150405Z"))
		return parseShown(t, list)
	}
	var ack [2]string
	alarm := "BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-PT15M\r\nDESCRIPTION:Default Mozilla Description\r\nEND:VALARM"
	lines := func(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == '|' }) }
	w.steps(func() { tb.run(nil, "poll") }, show,
		step{"a new event", do("create", "", "", ics("UID:one@tb", "SUMMARY:Dentist", between(4, "10:00", "11:00"), "DESCRIPTION;ALTREP=\"data:text/html,%3Cbody%3Ebring%3C%2Fbody%3E\":bring", alarm)),
			lines("4 10:00-11:00 Dentist"), nil, ""},
		step{"its reminder is put off", alone(func() {
			do("snooze", "Dentist", "", "PT15M")()
			if tb.run(&ack, "acknowledged", "Dentist"); ack[0] == "" || ack[1] == "" {
				t.Errorf("the server has not kept that it was put off: %q", ack)
			}
		}), lines("4 10:00-11:00 Dentist"), nil, ""},
		step{"and dismissed", alone(func() {
			do("dismiss", "Dentist", "")()
			if tb.run(&ack, "acknowledged", "Dentist"); ack[0] == "" || ack[1] != "" {
				t.Errorf("the server has not kept that it was dismissed: %q", ack)
			}
		}), lines("4 10:00-11:00 Dentist"), nil, ""},
		step{"it is dragged", do("times", "Dentist", "", w.local(4, "15:00"), w.local(4, "16:00")), lines("4 15:00-16:00 Dentist"), nil, ""},
		step{"its title", do("title", "Dentist", "", "Doctor; new"), lines("4 15:00-16:00 Doctor; new"), nil, ""},
		step{"whole days", do("times", "Doctor; new", "", w.date(4), w.date(6)), lines("4-5 Doctor; new"), nil, ""},
		step{"and back", do("times", "Doctor; new", "", w.local(4, "08:00"), w.local(4, "08:30")), lines("4 08:00-08:30 Doctor; new"), nil, ""},
		step{"its end", do("delete", "Doctor; new", ""), []string{}, nil, ""},
		step{"a series", do("create", "", "", ics("UID:gym@tb", "SUMMARY:Gym", between(0, "09:00", "09:30"), "RRULE:FREQ=DAILY;COUNT=4", alarm)),
			lines("0 09:00-09:30 Gym|1 09:00-09:30 Gym|2 09:00-09:30 Gym|3 09:00-09:30 Gym"), nil, ""},
		step{"a reminder of one is put off", alone(do("snooze", "Gym", w.local(1, "09:00"), "PT15M")),
			lines("0 09:00-09:30 Gym|1 09:00-09:30 Gym|2 09:00-09:30 Gym|3 09:00-09:30 Gym"), nil, ""},
		step{"an occurrence is moved", do("times", "Gym", w.local(1, "09:00"), w.local(1, "17:00"), w.local(1, "18:00")),
			lines("0 09:00-09:30 Gym|1 17:00-18:00 Gym|2 09:00-09:30 Gym|3 09:00-09:30 Gym"), nil, ""},
		step{"another is deleted", do("delete", "Gym", w.local(2, "09:00")), lines("0 09:00-09:30 Gym|1 17:00-18:00 Gym|3 09:00-09:30 Gym"), nil, ""},
		step{"that is undone", refused("restore", "Gym", w.local(2, "09:00")), lines("0 09:00-09:30 Gym|1 17:00-18:00 Gym|3 09:00-09:30 Gym"), nil, "refused"},
		step{"all have another title", do("title", "Gym", "", "Swim"), lines("0 09:00-09:30 Swim|1 17:00-18:00 Swim|3 09:00-09:30 Swim"), nil, ""},
		step{"the series' end", do("delete", "Swim", ""), []string{}, nil, ""},
		step{"an invitation comes", func() { w.invite("Budget", 7) }, lines("7 13:00-14:00 Budget"), lines("invitation to alice@contoso.example: Budget"), "elsewhere"},
		step{"and is accepted", do("answer", "Budget", "", "ACCEPTED"), lines("7 13:00-14:00 Budget"), lines("reply accepted to bob@contoso.example: Budget"), ""},
		step{"it is dragged", refused("times", "Budget", "", w.local(7, "15:00"), w.local(7, "16:00")), lines("7 13:00-14:00 Budget"), nil, "refused"},
		step{"and deleted", do("delete", "Budget", ""), []string{}, lines("reply declined to bob@contoso.example: Budget"), ""},
		step{"an invitation to a series", func() {
			w.invite("Weekly", 1, func(e *graphsim.Event) {
				e.Recurrence = &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: []string{"tuesday"}}, Range: graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 2}}
			})
		}, lines("1 13:00-14:00 Weekly|8 13:00-14:00 Weekly"), lines("invitation to alice@contoso.example: Weekly"), "elsewhere"},
		step{"one of it is declined", do("answer", "Weekly", w.local(8, "13:00"), "DECLINED"), lines("1 13:00-14:00 Weekly"),
			lines("reply declined to bob@contoso.example: Weekly, day 8"), ""},
		step{"the rest is deleted", do("delete", "Weekly", ""), []string{}, lines("reply declined to bob@contoso.example: Weekly"), ""},
		step{"somebody is invited", do("create", "", "", ics("UID:meet@tb", "SUMMARY:Plan", between(3, "11:00", "12:00"), "X-MOZ-SEND-INVITATIONS:TRUE", "ORGANIZER;CN=Alice;PARTSTAT=ACCEPTED;ROLE=CHAIR:mailto:alice@contoso.example",
			"ATTENDEE;CN=Bob;CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:bob@contoso.example")),
			lines("3 11:00-12:00 Plan"), lines("invitation to bob@contoso.example: Plan"), ""},
		step{"the meeting is dragged", do("times", "Plan", "", w.local(3, "12:00"), w.local(3, "13:00")), lines("3 12:00-13:00 Plan"), lines("update to bob@contoso.example: Plan"), ""},
		step{"and called off", do("delete", "Plan", ""), []string{}, lines("cancellation to bob@contoso.example: Plan"), ""},
	)
}
