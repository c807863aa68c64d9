//go:build interop

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// oddMailbox is the demo's mailbox with a calendar more, of every shape of recurrence and of what programs get wrong.
type oddMailbox struct {
	*graphsim.Mailbox
	odd   *graphsim.Calendar
	today time.Time
}

func newOddMailbox(sim *graphsim.Server) *oddMailbox {
	box := sim.DemoMailbox()
	o := &oddMailbox{Mailbox: box, odd: box.AddCalendar("Odd", "#7719aa"), today: time.Now().UTC().Truncate(24 * time.Hour)}
	o.recurring()
	o.excepted()
	o.single()
	return o
}

// at is a time of day so many days from now, whatever the zone that it is taken for.
func (o *oddMailbox) at(day int, clock string) time.Time {
	t, err := time.Parse("15:04", clock)
	if err != nil {
		panic(err)
	}
	return o.today.AddDate(0, 0, day).Add(time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute)
}

var oddZones = []string{
	"W. Europe Standard Time", "Pacific Standard Time", "India Standard Time", "UTC", "AUS Eastern Standard Time", "Lord Howe Standard Time",
	"Nepal Standard Time", "Newfoundland Standard Time", "Morocco Standard Time", "Pacific SA Standard Time", "New Zealand Standard Time",
	"Chatham Islands Standard Time", "Tokyo Standard Time", "America/Sao_Paulo", "Europe/Dublin", "tzone://Microsoft/Utc", "Israel Standard Time",
	"Easter Island Standard Time", "Cape Verde Standard Time", "GMT Standard Time",
}

func (o *oddMailbox) recurring() {
	week := []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}
	n := 0
	add := func(subject string, p graph.RecurrencePattern, r graph.RecurrenceRange, set ...func(*graphsim.Event)) {
		n++
		start := o.at(-130+n, fmt.Sprintf("%02d:%02d", 5+n%15, n*5%60))
		e := graphsim.Event{Subject: subject, Zone: oddZones[n%len(oddZones)], Start: start, End: start.Add(time.Duration(1+n%6) * 15 * time.Minute),
			Recurrence: &graph.Recurrence{Pattern: p, Range: r}}
		for _, f := range set {
			f(&e)
		}
		o.odd.Create(e)
	}
	forever := graph.RecurrenceRange{Type: "noEnd"}
	times := func(n int) graph.RecurrenceRange {
		return graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: n}
	}
	until := func(day int) graph.RecurrenceRange {
		return graph.RecurrenceRange{Type: "endDate", EndDate: o.today.AddDate(0, 0, day).Format(time.DateOnly)}
	}
	allDay := func(e *graphsim.Event) { e.AllDay = true }
	for interval := 1; interval <= 3; interval++ {
		add(fmt.Sprintf("Every %d days", 3*interval), graph.RecurrencePattern{Type: "daily", Interval: 3 * interval}, forever)
		add(fmt.Sprintf("Every %d days, whole days", 5*interval), graph.RecurrencePattern{Type: "daily", Interval: 5 * interval}, times(20), allDay)
		for _, first := range []string{"sunday", "monday", "wednesday"} {
			add(fmt.Sprintf("Every %d weeks from %s", interval, first), graph.RecurrencePattern{Type: "weekly", Interval: interval, FirstDayOfWeek: first,
				DaysOfWeek: []string{"sunday", "tuesday", "saturday"}}, forever)
		}
		add(fmt.Sprintf("Every %d weeks, whole days", interval), graph.RecurrencePattern{Type: "weekly", Interval: interval, DaysOfWeek: []string{"monday", "friday"}},
			until(150), allDay)
		for day := 28; day <= 31; day++ {
			add(fmt.Sprintf("Day %d every %d months", day, interval), graph.RecurrencePattern{Type: "absoluteMonthly", Interval: interval, DayOfMonth: day}, forever)
		}
	}
	for _, index := range []string{"first", "second", "third", "fourth", "last"} {
		add("The "+index+" Tuesday", graph.RecurrencePattern{Type: "relativeMonthly", Interval: 1, Index: index, DaysOfWeek: []string{"tuesday"}}, forever)
		add("The "+index+" weekday", graph.RecurrencePattern{Type: "relativeMonthly", Interval: 2, Index: index, DaysOfWeek: week[1:6]}, forever)
		add("The "+index+" weekend day", graph.RecurrencePattern{Type: "relativeMonthly", Interval: 1, Index: index, DaysOfWeek: []string{"saturday", "sunday"}}, times(9))
		add("The "+index+" day", graph.RecurrencePattern{Type: "relativeMonthly", Interval: 1, Index: index, DaysOfWeek: week}, until(200), allDay)
		add("The "+index+" Monday of March", graph.RecurrencePattern{Type: "relativeYearly", Interval: 1, Index: index, Month: 3, DaysOfWeek: []string{"monday"}}, forever)
	}
	for _, day := range []int{29, 30, 31} {
		add(fmt.Sprintf("Day %d, five times", day), graph.RecurrencePattern{Type: "absoluteMonthly", Interval: 1, DayOfMonth: day}, times(5))
		add(fmt.Sprintf("Day %d, whole days", day), graph.RecurrencePattern{Type: "absoluteMonthly", Interval: 1, DayOfMonth: day}, until(250), allDay)
	}
	leap := func(e *graphsim.Event) {
		length := e.End.Sub(e.Start)
		e.Start = time.Date(2024, 2, 29, e.Start.Hour(), e.Start.Minute(), 0, 0, time.UTC)
		e.End = e.Start.Add(length)
	}
	add("Leap day", graph.RecurrencePattern{Type: "absoluteYearly", Interval: 1, Month: 2, DayOfMonth: 29}, forever, leap)
	add("Leap day, whole day", graph.RecurrencePattern{Type: "absoluteYearly", Interval: 1, Month: 2, DayOfMonth: 29}, forever, leap, allDay)
	add("Yearly", graph.RecurrencePattern{Type: "absoluteYearly", Interval: 1, Month: 5, DayOfMonth: 17}, forever)
	add("Across midnight", graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: []string{"saturday"}}, forever, func(e *graphsim.Event) {
		e.Start = time.Date(e.Start.Year(), e.Start.Month(), e.Start.Day(), 22, 30, 0, 0, time.UTC)
		e.End = e.Start.Add(5 * time.Hour)
	})
	add("Three whole days", graph.RecurrencePattern{Type: "weekly", Interval: 2, DaysOfWeek: []string{"thursday"}}, forever, allDay, func(e *graphsim.Event) {
		e.End = e.Start.AddDate(0, 0, 3)
	})
	add("In a zone of its own", graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: []string{"tuesday", "friday"}}, forever, func(e *graphsim.Event) {
		e.Zone, e.RealZone = "tzone://Microsoft/Custom", "Mountain Standard Time"
	})
	add("Starts off its rule", graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: []string{"monday"}}, times(12), func(e *graphsim.Event) {
		for e.Start.Weekday() != time.Wednesday {
			e.Start, e.End = e.Start.AddDate(0, 0, 1), e.End.AddDate(0, 0, 1)
		}
	})
}

// nightly adds series in the hours in which clocks are turned. They are not for Evolution: of any series with an occurrence
// in an hour that is skipped its library (3.46) shows the next one an hour late.
func (o *oddMailbox) nightly() {
	for i, zone := range []string{"W. Europe Standard Time", "Pacific Standard Time", "Lord Howe Standard Time", "Chatham Islands Standard Time"} {
		start := o.at(-95, fmt.Sprintf("02:%02d", 15*i))
		o.odd.Create(graphsim.Event{Subject: "While clocks are turned in " + zone, Zone: zone, Start: start, End: start.Add(time.Hour),
			Recurrence: &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "daily", Interval: 1}, Range: graph.RecurrenceRange{Type: "noEnd"}}})
	}
}

// excepted are series with occurrences that are cancelled, moved, and changed.
func (o *oddMailbox) excepted() {
	for i, zone := range oddZones {
		start := o.at(-90-i, "09:30")
		daily := graph.RecurrencePattern{Type: "daily", Interval: 2}
		id := o.odd.Create(graphsim.Event{Subject: "Exceptions in " + zone, Zone: zone, Start: start, End: start.Add(time.Hour), AllDay: i%5 == 4,
			Recurrence: &graph.Recurrence{Pattern: daily, Range: graph.RecurrenceRange{Type: "noEnd"}}})
		day := func(n int) string { return start.AddDate(0, 0, 2*n).Format(time.DateOnly) }
		edit := func(n int, f func(*graphsim.Event)) { must(o.odd.ChangeOccurrence(id, day(n), f)) }
		for _, n := range []int{0, 20, 45, 46} {
			must(o.odd.CancelOccurrence(id, day(n)))
		}
		edit(30, func(e *graphsim.Event) { e.Subject = "Only this one is called so" })
		edit(50, func(e *graphsim.Event) { e.Start, e.End = e.Start.AddDate(0, 0, 1), e.End.AddDate(0, 0, 1) })
		if i%5 != 4 {
			edit(48, func(e *graphsim.Event) { e.Start, e.End = e.Start.Add(-3*time.Hour), e.End.Add(-2*time.Hour) })
			edit(60, func(e *graphsim.Event) { e.Start, e.End = e.Start.Add(90*time.Minute), e.End.Add(4*time.Hour) })
		}
	}
}

func (o *oddMailbox) single() {
	add := func(subject string, start, end time.Time, set ...func(*graphsim.Event)) {
		e := graphsim.Event{Subject: subject, Start: start, End: end}
		for _, f := range set {
			f(&e)
		}
		o.odd.Create(e)
	}
	for i, zone := range oddZones {
		add("Once in "+zone, o.at(3*i-20, "01:15"), o.at(3*i-20, "02:45"), func(e *graphsim.Event) { e.Zone = zone })
	}
	add(`Commas, semicolons; "quotes" and \backslashes`, o.at(1, "10:00"), o.at(1, "11:00"))
	add("Zażółć gęślą jaźń 日本語 العربية 👩‍👩‍👧 "+strings.Repeat("long ", 30)+"enough to be folded", o.at(1, "12:00"), o.at(1, "13:00"))
	add("<b>&amp; no HTML</b> ]]> ", o.at(2, "10:00"), o.at(2, "11:00"))
	add("No time at all", o.at(2, "12:00"), o.at(2, "12:00"))
	add("Ten nights", o.at(4, "20:00"), o.at(14, "08:00"))
	add("A month of whole days", o.at(20, "00:00"), o.at(51, "00:00"), func(e *graphsim.Event) { e.AllDay = true })
	add("Long ago", o.today.AddDate(-6, 0, 0), o.today.AddDate(-6, 0, 1), func(e *graphsim.Event) { e.AllDay = true })
	add("After the window", o.at(500, "10:00"), o.at(500, "11:00"))
	add("From one zone to another", o.at(9, "23:00"), o.at(10, "05:30"), func(e *graphsim.Event) { e.Zone, e.EndZone = "Pacific Standard Time", "Tokyo Standard Time" })
	add("Cancelled by its organizer", o.at(6, "10:00"), o.at(6, "11:00"), func(e *graphsim.Event) {
		e.Organizer, e.Cancelled, e.Response = graph.EmailAddress{Name: "Dana", Address: "dana@contoso.example"}, true, "accepted"
	})
}

func must(err error) {
	if err != nil {
		panic(err) // the layout is the same every day, so it would be a mistake in this file
	}
}

// window is what clients are asked for: within the history and the horizon of the bridge.
func (o *oddMailbox) window() (from, to time.Time) {
	return o.today.AddDate(0, 0, -100), o.today.AddDate(0, 0, 300)
}

func (o *oddMailbox) truth() []shown {
	from, to := o.window()
	var all []shown
	for _, cal := range o.Calendars() {
		for _, i := range cal.Instances(from, to) {
			all = append(all, shown{cal.Name(), i.Start, i.End, strings.TrimSpace(i.Subject)})
		}
	}
	return sorted(all)
}

// compare waits until a client shows what Outlook shows. It is given the time that its own work takes, and no other
// poll.
func (o *oddMailbox) compare(t *testing.T, client string, show func() []shown) {
	t.Helper()
	want := o.truth()
	if len(want) < 1500 {
		t.Fatalf("the simulation shows only %d occurrences", len(want))
	}
	for end := patience(t); ; time.Sleep(500 * time.Millisecond) {
		got := sorted(show())
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(end) {
			t.Errorf("%s does not show what Outlook shows (-Outlook +%s):\n%s", client, client, cmp.Diff(want, got))
			return
		}
	}
}

// change makes changes in Outlook, then deletions, and after each lets the client poll once. Before, an idle poll.
func (o *oddMailbox) change(t *testing.T, s *served, idle func(), poll func(what string)) {
	t.Helper()
	idle()
	from := o.today.AddDate(0, 0, 1)
	all := o.odd.Instances(from, from.AddDate(0, 0, 60))
	nth := func(subject string) graphsim.Instance {
		t.Helper()
		i := slices.IndexFunc(all, func(i graphsim.Instance) bool { return strings.HasPrefix(i.Subject, subject) })
		if i < 0 {
			t.Fatalf("no %s", subject)
		}
		return all[i]
	}
	start := o.at(8, "15:00")
	o.odd.Create(graphsim.Event{Subject: "New", Start: start, End: start.Add(time.Hour)})
	later := func(e *graphsim.Event) { e.Start, e.End = e.Start.Add(2*time.Hour), e.End.Add(3*time.Hour) }
	single, series := nth("Commas"), nth("Exceptions in India")
	cancelled, rescheduled := nth("Exceptions in GMT"), nth("Every 2 weeks from monday")
	must(o.odd.Change(single.ID, func(e *graphsim.Event) { e.Subject = "Changed; and, moved"; later(e) }))
	must(o.odd.ChangeOccurrence(series.SeriesMasterID, o.day(series, "Asia/Kolkata"), later))
	must(o.odd.CancelOccurrence(cancelled.SeriesMasterID, o.day(cancelled, "Europe/London")))
	must(o.odd.Change(rescheduled.SeriesMasterID, later))
	s.nextRound(t)
	poll("a change")

	must(o.odd.Delete(nth("<b>").ID))
	must(o.odd.Delete(nth("The last weekday").SeriesMasterID))
	must(o.odd.Delete(series.SeriesMasterID))
	s.nextRound(t)
	poll("a deletion")
}

// day is the original date of an occurrence that has not been moved.
func (o *oddMailbox) day(i graphsim.Instance, zone string) string {
	if i.AllDay {
		return i.Start.Format(time.DateOnly)
	}
	loc, err := time.LoadLocation(zone)
	must(err)
	return i.Start.In(loc).Format(time.DateOnly)
}
