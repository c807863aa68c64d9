//go:build interop

package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// TestEvolutionWrites: evolution-data-server makes, changes, answers and deletes, as Evolution and GNOME Calendar have it do.
func TestEvolutionWrites(t *testing.T) {
	t.Parallel()
	w := newWriting(t, "outlook")
	e := startEvolution(t, w.proxy.URL, w.user, w.password)
	eventually(t, "a calendar that can be written to", func() bool { return e.command("readonly") == "[\"Calendar\", false]\n" })
	write := func(args ...string) string {
		w.t.Helper()
		b, err := json.Marshal(args)
		must(err)
		return strings.TrimSpace(e.command("%s", b))
	}
	do := func(args ...string) func() {
		return func() {
			w.t.Helper()
			if said := write(args...); said != "done" {
				w.t.Errorf("%q: it says %q", args, said)
			}
		}
	}
	refused := func(args ...string) func() {
		return func() {
			w.t.Helper()
			said := write(args...)
			if said == "done" {
				w.t.Errorf("%q: it says nothing", args)
			}
			w.t.Logf("refused, it says %q", said)
		}
	}
	ics := func(lines ...string) string {
		return "BEGIN:VEVENT\r\nDTSTAMP:20260101T000000Z\r\n" + strings.Join(lines, "\r\n") + "\r\nEND:VEVENT\r\n"
	}
	between := func(day int, from, to string) string {
		return fmt.Sprintf("DTSTART;TZID=Europe/Berlin:%s\r\nDTEND;TZID=Europe/Berlin:%s", w.local(day, from), w.local(day, to))
	}
	invited := func(title string, day int, set ...func(*graphsim.Event)) func() {
		return func() { w.invite(title, day, set...) }
	}
	show := func() []shown {
		all := parseShown(t, e.command("shown %s %s", w.first.AddDate(0, 0, -2).Format(time.RFC3339), w.first.AddDate(0, 0, 16).Format(time.RFC3339)))
		return slices.DeleteFunc(all, func(i shown) bool { return !i.Start.Before(w.first.AddDate(0, 0, 14)) })
	}
	lines := func(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == '|' }) }
	alarm := "BEGIN:VALARM\r\nX-EVOLUTION-ALARM-UID:a1\r\nACTION:DISPLAY\r\nDESCRIPTION:x\r\nTRIGGER:-PT10M\r\nEND:VALARM"
	w.steps(func() { e.command("refresh") }, show,
		step{"a new event", do("create", "", ics("UID:one@eds", "SUMMARY:Dentist", between(4, "10:00", "11:00"), alarm)), lines("4 10:00-11:00 Dentist"), nil, ""},
		step{"its title", do("text", "Dentist", "", "SUMMARY", "Doctor\\; new"), lines("4 10:00-11:00 Doctor; new"), nil, ""},
		step{"its alarm has gone off", func() {
			w.sim.ResetRequests()
			do("acknowledge", "Doctor", w.at(4, "09:50").UTC().Format("20060102T150405Z"))()
			if n := len(w.sim.Requests()); n != 0 {
				t.Errorf("Outlook is asked %d times", n)
			}
		}, lines("4 10:00-11:00 Doctor; new"), nil, ""},
		step{"its time", do("times", "Doctor", "", w.local(4, "15:00"), w.local(4, "16:30")), lines("4 15:00-16:30 Doctor; new"), nil, ""},
		step{"whole days", do("times", "Doctor", "", w.date(4), w.date(6)), lines("4-5 Doctor; new"), nil, ""},
		step{"its end", do("remove", "Doctor", ""), []string{}, nil, ""},
		step{"a series", do("create", "", ics("UID:gym@eds", "SUMMARY:Gym", between(0, "09:00", "09:30"), "RRULE:FREQ=DAILY;COUNT=5")),
			lines("0 09:00-09:30 Gym|1 09:00-09:30 Gym|2 09:00-09:30 Gym|3 09:00-09:30 Gym|4 09:00-09:30 Gym"), nil, ""},
		step{"an occurrence is moved", do("times", "Gym", w.local(1, "09:00"), w.local(1, "17:00"), w.local(1, "18:00")),
			lines("0 09:00-09:30 Gym|1 17:00-18:00 Gym|2 09:00-09:30 Gym|3 09:00-09:30 Gym|4 09:00-09:30 Gym"), nil, ""},
		step{"another is deleted", do("remove", "Gym", w.local(2, "09:00")),
			lines("0 09:00-09:30 Gym|1 17:00-18:00 Gym|3 09:00-09:30 Gym|4 09:00-09:30 Gym"), nil, ""},
		step{"a moved one passes its neighbour", refused("times", "Gym", w.local(1, "09:00"), w.local(3, "17:00"), w.local(3, "18:00")),
			lines("0 09:00-09:30 Gym|1 17:00-18:00 Gym|3 09:00-09:30 Gym|4 09:00-09:30 Gym"), nil, "refused"},
		step{"the series' end", do("remove", "Gym", ""), []string{}, nil, ""},
		step{"a series with an end", do("create", "", ics("UID:run@eds", "SUMMARY:Run", between(0, "09:00", "09:30"), "RRULE:FREQ=DAILY;UNTIL="+w.at(3, "09:00").UTC().Format("20060102T150405Z"))),
			lines("0 09:00-09:30 Run|1 09:00-09:30 Run|2 09:00-09:30 Run|3 09:00-09:30 Run"), nil, ""},
		step{"this and following", do("follow", "Run", w.local(2, "09:00"), "Swim"), lines("0 09:00-09:30 Run|1 09:00-09:30 Run|2 09:00-09:30 Swim|3 09:00-09:30 Swim"), nil, ""},
		step{"the rest's end", do("remove", "Swim", ""), lines("0 09:00-09:30 Run|1 09:00-09:30 Run"), nil, ""},
		step{"and that of the beginning", do("remove", "Run", ""), []string{}, nil, ""},
		step{"an invitation comes", invited("Budget", 7), lines("7 13:00-14:00 Budget"), lines("invitation to alice@contoso.example: Budget"), "elsewhere"},
		step{"and is accepted", do("answer", "Budget", "", "ACCEPTED"), lines("7 13:00-14:00 Budget"), lines("reply accepted to bob@contoso.example: Budget"), ""},
		step{"it is moved", refused("times", "Budget", "", w.local(7, "15:00"), w.local(7, "16:00")), lines("7 13:00-14:00 Budget"), nil, "refused"},
		step{"and removed", do("remove", "Budget", ""), []string{}, lines("reply declined to bob@contoso.example: Budget"), ""},
		step{"an invitation to a series", invited("Weekly", 1, func(e *graphsim.Event) {
			e.Recurrence = &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: []string{"tuesday"}}, Range: graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 2}}
		}), lines("1 13:00-14:00 Weekly|8 13:00-14:00 Weekly"), lines("invitation to alice@contoso.example: Weekly"), "elsewhere"},
		step{"one of it is declined", do("answer", "Weekly", w.local(8, "13:00"), "DECLINED"), lines("1 13:00-14:00 Weekly"),
			lines("reply declined to bob@contoso.example: Weekly, day 8"), ""},
		step{"the rest is deleted", do("remove", "Weekly", ""), []string{}, lines("reply declined to bob@contoso.example: Weekly"), ""},
		step{"somebody is invited", do("create", "", ics("UID:meet@eds", "SUMMARY:Plan", between(3, "11:00", "12:00"), "ORGANIZER;CN=Alice:mailto:alice@contoso.example",
			"ATTENDEE;CN=Alice;PARTSTAT=ACCEPTED;ROLE=CHAIR:mailto:alice@contoso.example", "ATTENDEE;CN=Bob;CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:bob@contoso.example")),
			lines("3 11:00-12:00 Plan"), lines("invitation to bob@contoso.example: Plan"), ""},
		step{"the meeting is moved", do("times", "Plan", "", w.local(3, "12:00"), w.local(3, "13:00")), lines("3 12:00-13:00 Plan"), lines("update to bob@contoso.example: Plan"), ""},
		step{"and called off", do("remove", "Plan", ""), []string{}, lines("cancellation to bob@contoso.example: Plan"), ""},
	)
}
