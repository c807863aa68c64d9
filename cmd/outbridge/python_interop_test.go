//go:build interop

package main

import (
	"fmt"
	"strings"
	"testing"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// TestPythonWrites: python3-caldav makes, changes, answers and deletes. It has no conditions, so each PUT is held against
// what Outlook has now.
func TestPythonWrites(t *testing.T) {
	t.Parallel()
	w := newWriting(t, "outlook")
	do := func(args ...string) func() {
		return func() {
			w.t.Helper()
			w.run("", "/usr/bin/python3", append([]string{"testdata/interop/writer.py", w.proxy.URL + "/", w.user, w.password}, args...)...)
		}
	}
	refused := func(args ...string) func() {
		return func() {
			w.t.Helper()
			w.refused("/usr/bin/python3", append([]string{"testdata/interop/writer.py", w.proxy.URL + "/", w.user, w.password}, args...)...)
		}
	}
	ics := func(lines ...string) string {
		return "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//test//EN\nBEGIN:VEVENT\nDTSTAMP:20260101T000000Z\n" + strings.Join(lines, "\n") + "\nEND:VEVENT\nEND:VCALENDAR\n"
	}
	between := func(day int, from, to string) string {
		return fmt.Sprintf("DTSTART;TZID=Europe/Berlin:%s\nDTEND;TZID=Europe/Berlin:%s", w.local(day, from), w.local(day, to))
	}
	invited := func(title string, day int, set ...func(*graphsim.Event)) func() {
		return func() {
			e := graphsim.Event{Subject: title, Start: w.at(day, "13:00"), End: w.at(day, "14:00"),
				Attendees: []graph.Attendee{{Type: "required", EmailAddress: graph.EmailAddress{Name: "Alice", Address: "alice@contoso.example"}}}}
			for _, f := range set {
				f(&e)
			}
			w.bob.Calendar().Invite(e)
		}
	}
	show := func() []shown { return w.pythonCaldav(w.first.AddDate(0, 0, -1), w.first.AddDate(0, 0, 15)) }
	week := "0 09:00-09:30 Gym|1 09:00-09:30 Gym|2 09:00-09:30 Gym|3 09:00-09:30 Gym"
	lines := func(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == '|' }) }
	w.steps(func() {}, show,
		step{"a new event", do("create", ics("UID:one@py", "SUMMARY:Dentist", between(4, "10:00", "11:00"))), lines("4 10:00-11:00 Dentist"), nil, ""},
		step{"its title", do("edit", "one@py", "SUMMARY", "Dentist; bring, the card"), lines("4 10:00-11:00 Dentist; bring, the card"), nil, ""},
		step{"its time", do("times", "one@py", w.local(4, "15:00"), w.local(4, "16:30")), lines("4 15:00-16:30 Dentist; bring, the card"), nil, ""},
		step{"whole days", do("times", "one@py", w.date(4), w.date(6)), lines("4-5 Dentist; bring, the card"), nil, ""},
		step{"two programs at once", func() {
			out := w.run("", "/usr/bin/python3", "testdata/interop/writer.py", w.proxy.URL+"/", w.user, w.password, "race", "one@py", "SUMMARY", "First", "Second")
			if out != "204\n412\n" {
				t.Errorf("two that have read the same are answered %q", out)
			}
		}, lines("4-5 First"), nil, "refused"},
		step{"its end", do("delete", "one@py"), []string{}, nil, ""},
		step{"a series", do("create", ics("UID:gym@py", "SUMMARY:Gym", between(0, "09:00", "09:30"), "RRULE:FREQ=DAILY;COUNT=4")), lines(week), nil, ""},
		step{"an occurrence is moved", do("move-one", "gym@py", w.local(1, "09:00"), w.local(1, "17:00"), w.local(1, "18:00")),
			lines("0 09:00-09:30 Gym|1 17:00-18:00 Gym|2 09:00-09:30 Gym|3 09:00-09:30 Gym"), nil, ""},
		step{"another is deleted", do("delete-one", "gym@py", w.local(2, "09:00")),
			lines("0 09:00-09:30 Gym|1 17:00-18:00 Gym|3 09:00-09:30 Gym"), nil, ""},
		step{"a moved one passes its neighbour", refused("move-one", "gym@py", w.local(1, "09:00"), w.local(3, "17:00"), w.local(3, "18:00")),
			lines("0 09:00-09:30 Gym|1 17:00-18:00 Gym|3 09:00-09:30 Gym"), nil, "refused"},
		step{"the moved one is deleted", do("delete-one", "gym@py", w.local(1, "09:00")), lines("0 09:00-09:30 Gym|3 09:00-09:30 Gym"), nil, ""},
		step{"all of it has another title", do("edit", "gym@py", "SUMMARY", "Swim"), lines("0 09:00-09:30 Swim|3 09:00-09:30 Swim"), nil, ""},
		step{"the series' end", do("delete", "gym@py"), []string{}, nil, ""},
		step{"an invitation comes", invited("Budget", 7), lines("7 13:00-14:00 Budget"), lines("invitation to alice@contoso.example: Budget"), ""},
		step{"and is accepted", do("answer", "=Budget", "ACCEPTED"), lines("7 13:00-14:00 Budget"), lines("reply accepted to bob@contoso.example: Budget"), ""},
		step{"and declined", do("answer", "=Budget", "DECLINED"), []string{}, lines("reply declined to bob@contoso.example: Budget"), ""},
		step{"an invitation to a series", invited("Weekly", 1, func(e *graphsim.Event) {
			e.Recurrence = &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: []string{"tuesday"}}, Range: graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 2}}
		}), lines("1 13:00-14:00 Weekly|8 13:00-14:00 Weekly"), lines("invitation to alice@contoso.example: Weekly"), ""},
		step{"one of it is declined", do("answer", "=Weekly", "DECLINED", w.local(8, "13:00")), lines("1 13:00-14:00 Weekly"),
			lines("reply declined to bob@contoso.example: Weekly, day 8"), ""},
		step{"the invitation is moved", refused("times", "=Weekly", w.local(2, "13:00"), w.local(2, "14:00")), lines("1 13:00-14:00 Weekly"), nil, "refused"},
		step{"the rest is deleted", do("delete", "=Weekly"), []string{}, lines("reply declined to bob@contoso.example: Weekly"), ""},
		step{"somebody is invited", do("invite", ics("UID:meet@py", "SUMMARY:Plan", between(3, "11:00", "12:00")), "bob@contoso.example"),
			lines("3 11:00-12:00 Plan"), lines("invitation to bob@contoso.example: Plan"), ""},
		step{"the meeting is moved", do("times", "meet@py", w.local(3, "12:00"), w.local(3, "13:00")), lines("3 12:00-13:00 Plan"), lines("update to bob@contoso.example: Plan"), ""},
		step{"and called off", do("delete", "meet@py"), []string{}, lines("cancellation to bob@contoso.example: Plan"), ""},
	)
}
