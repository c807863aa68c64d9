//go:build interop

package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// TestKhalWrites: khal makes, changes and deletes, and vdirsyncer takes it to the server. The last day of a series is one that khal does not
// have any more. It has no answers to invitations.
func TestKhalWrites(t *testing.T) {
	t.Parallel()
	w := newWriting(t, "replies")
	w.writeConfig()
	w.writable()
	sync := func() { w.run("", "vdirsyncer", "-c", w.path("vdirsyncer"), "sync") }
	w.run("y\n", "vdirsyncer", "-c", w.path("vdirsyncer"), "discover")
	sync()
	khal := func(stdin string, args ...string) func() {
		return func() {
			w.t.Helper()
			w.run(stdin, "khal", append([]string{"-c", w.path("khal")}, args...)...)
			sync()
		}
	}
	day := func(n int, clock string) string { return w.at(n, clock).Format("2006-01-02 15:04") }
	without := func(n int, clock string) func() {
		return func() {
			w.t.Helper()
			w.run("", "/usr/bin/python3", "testdata/interop/ikhal.py", w.path("khal"), "Gym", w.at(n, clock).Format(time.DateOnly))
			sync()
		}
	}
	show := func() []shown { return w.khal(w.first, w.first.AddDate(0, 0, 14)) }
	lines := func(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == '|' }) }
	another := newClients(t, w.served)
	another.writeConfig()
	another.writable()
	w.steps(sync, show,
		step{"a new event", khal("", "new", "-a", "calendar", "-m", "10m", "-l", "Room 5", day(4, "10:00"), day(4, "11:00"), "Europe/Berlin", "Dentist :: bring the card"),
			lines("4 10:00-11:00 Dentist"), nil, ""},
		step{"its title", khal("s\nDoctor\nn\n", "edit", "Dentist"), lines("4 10:00-11:00 Doctor"), nil, ""},
		step{"its time", khal("t\n"+day(4, "15:00")+" "+day(4, "16:30")+"\nn\n", "edit", "Doctor"), lines("4 15:00-16:30 Doctor"), nil, ""},
		step{"its alarm", khal("a\n1h\nn\n", "edit", "Doctor"), lines("4 15:00-16:30 Doctor"), nil, ""},
		step{"two programs at once", func() {
			another.run("y\n", "vdirsyncer", "-c", another.path("vdirsyncer"), "discover")
			another.run("", "vdirsyncer", "-c", another.path("vdirsyncer"), "sync")
			another.run("s\nTheirs\nn\n", "khal", "-c", another.path("khal"), "edit", "Doctor")
			another.run("", "vdirsyncer", "-c", another.path("vdirsyncer"), "sync")
			khal("s\nMine\nn\n", "edit", "Doctor")()
		}, lines("4 15:00-16:30 Theirs"), nil, ""},
		step{"its end", khal("D\ny\n", "edit", "Theirs"), []string{}, nil, ""},
		step{"whole days", khal("", "new", "-a", "calendar", w.at(4, "00:00").Format(time.DateOnly), w.at(5, "00:00").Format(time.DateOnly), "Fair"), lines("4-5 Fair"), nil, ""},
		step{"their end", khal("D\ny\n", "edit", "Fair"), []string{}, nil, ""},
		step{"a series", khal("", "new", "-a", "calendar", "-r", "daily", "-u", w.at(4, "00:00").Format(time.DateOnly), day(0, "09:00"), day(0, "09:30"), "Europe/Berlin", "Gym"),
			lines("0 09:00-09:30 Gym|1 09:00-09:30 Gym|2 09:00-09:30 Gym|3 09:00-09:30 Gym"), nil, ""},
		step{"one is deleted", without(2, "09:00"), lines("0 09:00-09:30 Gym|1 09:00-09:30 Gym|3 09:00-09:30 Gym"), nil, ""},
		step{"another is moved in Outlook", func() {
			id, _ := w.event("Gym")
			must(w.cal.ChangeOccurrence(id, w.at(1, "00:00").Format(time.DateOnly), func(e *graphsim.Event) {
				e.Start, e.End = e.Start.Add(8*time.Hour), e.End.Add(8*time.Hour)
			}))
		}, lines("0 09:00-09:30 Gym|1 17:00-17:30 Gym|3 09:00-09:30 Gym"), nil, "elsewhere"},
		step{"all have another title", khal("s\nSwim\nq\n", "edit", "Gym"), lines("0 09:00-09:30 Swim|1 17:00-17:30 Swim|3 09:00-09:30 Swim"), nil, ""},
		step{"the series' end", khal("D\ny\nq\n", "edit", "Swim"), []string{}, nil, ""},
		step{"an invitation", func() {
			w.bob.Calendar().Invite(graphsim.Event{Subject: "Budget", Start: w.at(7, "13:00"), End: w.at(7, "14:00"),
				Attendees: []graph.Attendee{{Type: "required", EmailAddress: graph.EmailAddress{Name: "Alice", Address: "alice@contoso.example"}}}})
		}, lines("7 13:00-14:00 Budget"), lines("invitation to alice@contoso.example: Budget"), ""},
		step{"is deleted, which declines it", khal("D\ny\n", "edit", "Budget"), []string{}, lines("reply declined to bob@contoso.example: Budget"), ""},
	)
}

// writable lets vdirsyncer write to the server.
func (c *clients) writable() {
	c.t.Helper()
	b, err := os.ReadFile(c.path("vdirsyncer"))
	must(err)
	must(os.WriteFile(c.path("vdirsyncer"), []byte(strings.Replace(string(b), "read_only = true\n", "", 1)), 0o600))
}
