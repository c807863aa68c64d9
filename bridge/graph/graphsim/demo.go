package graphsim

import (
	"fmt"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// DemoMailbox fills in the mailbox of one person who works in Berlin: what a calendar of some years' use holds, laid
// out around the week of s.Now. The same Now makes the same mailbox. A second call returns the mailbox of the first.
func (s *Server) DemoMailbox() *Mailbox {
	const address = "robin@contoso.example"
	s.mu.Lock()
	m := s.mailbox(address)
	s.mu.Unlock()
	if m != nil {
		return m
	}
	m = s.AddMailbox(address, "Robin Weber", "W. Europe Standard Time")
	today := date(wall(s.now(), m.loc))
	d := demo{work: m.Calendar(), monday: today.AddDate(0, 0, -(int(today.Weekday())+6)%7), today: today}
	m.AddCategory("Customers", "preset7")
	m.AddCategory("Travel", "preset1")
	d.series()
	d.invitations()
	d.singles()
	d.family(m.AddCalendar("Family", "#00cc6a"))
	birthdays := m.AddCalendar("Birthdays", "#bf0077")
	d.birthdays(birthdays)
	birthdays.SetCanEdit(false)
	return m
}

// A demo lays out events by week and day.
type demo struct {
	work   *Calendar
	monday time.Time // of this week
	today  time.Time
}

// at is a time of day, "15:04", so many weeks from now.
func (d demo) at(week int, day time.Weekday, clock string) time.Time {
	t, err := time.Parse("15:04", clock)
	if err != nil {
		panic(err)
	}
	return onDate(d.monday.AddDate(0, 0, 7*week+(int(day)+6)%7), t)
}

var (
	dana   = graph.EmailAddress{Name: "Dana Novák", Address: "dana@contoso.example"}
	amir   = graph.EmailAddress{Name: "Amir Haddad", Address: "amir@contoso.example"}
	lucia  = graph.EmailAddress{Name: "Lucía Ortega", Address: "lucia@contoso.example"}
	priya  = graph.EmailAddress{Name: "Priya Raman", Address: "priya@fabrikam.example"}
	jordan = graph.EmailAddress{Name: "Jordan Blake", Address: "jordan@fabrikam.example"}
	room   = graph.EmailAddress{Name: "Room Alster", Address: "room-alster@contoso.example"}
)

func guest(a graph.EmailAddress, kind, response string) graph.Attendee {
	return graph.Attendee{Type: kind, Status: graph.ResponseStatus{Response: response}, EmailAddress: a}
}

func minutes(n int) *int { return &n }

func teams(name string) string {
	id := strings.ReplaceAll(guid("meeting "+name), "-", "")
	return "https://teams.microsoft.com/l/meetup-join/19%3ameeting_" + id + "%40thread.v2/0?context=%7b%22Tid%22%3a%22" + tenantID + "%22%7d"
}

// teamsBody is a text with the block that Teams puts below it.
func teamsBody(text, join string) string {
	return text + `<br><div style="width:100%"><span style="white-space:nowrap; color:#5F5F5F">________________________________________________________________________________</span></div>
<div class="me-email-text" lang="en-US" style="color:#252424; font-family:'Segoe UI',sans-serif">
<div style="margin-top:24px; margin-bottom:20px"><span style="font-size:24px; color:#252424">Microsoft Teams meeting</span></div>
<div style="margin-bottom:20px"><div><span style="font-size:14px">Join on your computer, mobile app or room device</span></div>
<a class="me-email-headline" href="` + join + `" target="_blank" rel="noreferrer noopener" style="font-size:14px; color:#6264a7">Click here to join the meeting</a></div>
<div style="font-size:14px; margin-bottom:4px">Meeting ID: <span>312 455 908 17</span><br>Passcode: <span>kR7pQz</span></div></div>
<div style="width:100%"><span style="white-space:nowrap; color:#5F5F5F">________________________________________________________________________________</span></div>`
}

func every(n int, kind string, days ...string) *graph.Recurrence {
	return &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: kind, Interval: n, DaysOfWeek: days, FirstDayOfWeek: "monday"}}
}

// series are the own meetings and appointments that recur.
func (d demo) series() {
	join := teams("stand-up")
	standUp := d.work.Create(Event{Subject: "Stand-up", Start: d.at(-8, time.Monday, "09:15"), End: d.at(-8, time.Monday, "09:30"),
		Body: teamsBody("<p>Yesterday, today, what is in the way.</p>", join), JoinURL: join, Location: "Microsoft Teams Meeting",
		Recurrence: every(1, "weekly", "monday", "tuesday", "wednesday", "thursday", "friday"), ReminderMinutes: minutes(5),
		Attendees: []graph.Attendee{guest(dana, "required", "accepted"), guest(amir, "required", "accepted"), guest(lucia, "optional", "tentativelyAccepted")}})
	d.change(standUp, d.at(1, time.Wednesday, "00:00"), func(e *Event) {
		e.Subject = "Stand-up (after the all-hands)"
		e.Start, e.End = d.at(1, time.Wednesday, "11:00"), d.at(1, time.Wednesday, "11:15")
	})
	d.cancel(standUp, d.at(1, time.Friday, "00:00"))
	d.cancel(standUp, d.at(-2, time.Monday, "00:00"))

	planning := d.work.Create(Event{Subject: "Sprint planning", Start: d.at(-6, time.Monday, "13:00"), End: d.at(-6, time.Monday, "15:00"),
		Body: "<p>Agenda</p><ul><li>What we learned</li><li>What comes next &amp; why</li><li>Who is away</li></ul>", Location: "Room Alster; Microsoft Teams Meeting",
		Recurrence: every(2, "weekly", "monday"), Categories: []string{"Blue category"}, ReminderMinutes: minutes(15), JoinURL: teams("planning"),
		Attendees: []graph.Attendee{guest(dana, "required", "accepted"), guest(amir, "required", "declined"), guest(lucia, "required", "notResponded"),
			guest(jordan, "optional", "none"), guest(room, "resource", "accepted")}})
	d.change(planning, d.at(2, time.Monday, "00:00"), func(e *Event) {
		e.Start, e.End = d.at(2, time.Tuesday, "10:00"), d.at(2, time.Tuesday, "12:00")
		e.Location = "Room Elbe"
	})

	board := every(1, "relativeMonthly", "thursday")
	board.Pattern.Index = "last"
	d.work.Create(Event{Subject: "Board meeting", Start: d.month(-5, 1, "16:00"), End: d.month(-5, 1, "17:30"), Recurrence: board,
		Importance: "high", Sensitivity: "confidential", Location: "Boardroom, 5th floor", ReminderMinutes: minutes(60), Categories: []string{"Red category"},
		Attendees: []graph.Attendee{guest(dana, "required", "accepted"), guest(lucia, "required", "accepted")}})

	report := every(1, "absoluteMonthly")
	report.Pattern.DayOfMonth = 31
	january := time.Date(d.today.Year()-1, 1, 31, 10, 0, 0, 0, time.UTC)
	d.work.Create(Event{Subject: "Send the monthly report", Start: january, End: january.Add(30 * time.Minute), Recurrence: report,
		ReminderMinutes: minutes(120), ShowAs: "free"})

	quarter := every(3, "relativeMonthly", "monday", "tuesday", "wednesday", "thursday", "friday")
	first := time.Date(d.today.Year()-1, 1, 1, 9, 0, 0, 0, time.UTC)
	d.work.Create(Event{Subject: "Quarter opens: budgets & goals", Start: first, End: first.Add(45 * time.Minute), Recurrence: quarter})

	home := d.work.Create(Event{Subject: "Home office", Start: d.at(-10, time.Friday, "00:00"), AllDay: true, ShowAs: "workingElsewhere",
		Recurrence: every(1, "weekly", "friday")})
	d.cancel(home, d.at(0, time.Friday, "00:00"))
}

// invitations are meetings of others.
func (d demo) invitations() {
	join := teams("1:1")
	oneOnOne := d.work.Create(Event{Subject: "1:1 Dana / Robin", Start: d.at(-12, time.Tuesday, "14:00"), End: d.at(-12, time.Tuesday, "14:30"),
		Body: teamsBody("<p>Bring what is on your mind.</p>", join), JoinURL: join, Location: "Microsoft Teams Meeting", Organizer: dana,
		Response: "accepted", Recurrence: every(1, "weekly", "tuesday"), ReminderMinutes: minutes(15)})
	d.must(d.work.CancelOccurrenceByOrganizer(oneOnOne, d.at(1, time.Tuesday, "00:00").Format(time.DateOnly)))
	d.change(oneOnOne, d.at(2, time.Tuesday, "00:00"), func(e *Event) {
		e.Start, e.End = d.at(2, time.Wednesday, "16:30"), d.at(2, time.Wednesday, "17:15")
	})

	join = teams("west coast")
	d.work.Create(Event{Subject: "Fabrikam weekly (west coast)", Zone: "Pacific Standard Time", Start: d.at(-9, time.Thursday, "08:30"), End: d.at(-9, time.Thursday, "09:15"),
		Body: teamsBody("<p>Standing agenda in the shared notebook.</p>", join), JoinURL: join, Location: "Microsoft Teams Meeting",
		Organizer: jordan, Attendees: []graph.Attendee{guest(priya, "required", "accepted"), guest(amir, "optional", "tentativelyAccepted")},
		Response: "accepted", Recurrence: every(1, "weekly", "thursday"), Categories: []string{"Customers"}, ReminderMinutes: minutes(10)})

	handOver := every(1, "weekly", "monday", "wednesday", "friday")
	handOver.Range.Type, handOver.Range.NumberOfOccurrences = "numbered", 24
	d.work.Create(Event{Subject: "Release hand-over", Zone: "India Standard Time", Start: d.at(-3, time.Monday, "16:30"), End: d.at(-3, time.Monday, "17:00"),
		Organizer: priya, Response: "tentativelyAccepted", ShowAs: "tentative", Recurrence: handOver, Categories: []string{"Customers"}})

	d.work.Create(Event{Subject: "Town hall: what 2 000 customers told us", Start: d.at(1, time.Wednesday, "09:00"), End: d.at(1, time.Wednesday, "10:30"),
		Organizer: lucia, HideAttendees: true, Response: "notResponded", ShowAs: "tentative", Location: "Canteen", ReminderMinutes: minutes(15),
		Body: "<p>Live from the canteen. Questions beforehand by mail, please.</p>"})
	d.work.Create(Event{Subject: "Canceled: Vendor demo", Start: d.at(0, time.Thursday, "11:00"), End: d.at(0, time.Thursday, "12:00"),
		Organizer: jordan, Response: "accepted", Cancelled: true, ShowAs: "free"})
}

// singles are events that do not recur.
func (d demo) singles() {
	d.work.Create(Event{Subject: "Fabrikam workshop, Lisbon", Start: d.at(2, time.Wednesday, "00:00"), End: d.at(2, time.Saturday, "00:00"), AllDay: true,
		ShowAs: "oof", Location: "Lisbon", Categories: []string{"Travel"}, ReminderMinutes: minutes(1080), Body: "<p>Hotel and tickets are in the travel folder.</p>"})
	d.work.Create(Event{Subject: "Flight BER → LIS ✈", Start: d.at(2, time.Tuesday, "18:40"), End: d.at(2, time.Tuesday, "22:20"), EndZone: "GMT Standard Time",
		Categories: []string{"Travel"}, ReminderMinutes: minutes(180), Location: "BER Terminal 1", ShowAs: "oof"})
	d.work.Create(Event{Subject: "Dentist", Start: d.at(0, time.Wednesday, "08:00"), End: d.at(0, time.Wednesday, "08:45"), Sensitivity: "private", ReminderMinutes: minutes(60)})
	d.work.Create(Event{Subject: "Lunch with Lucía?", Start: d.at(0, time.Thursday, "12:15"), End: d.at(0, time.Thursday, "13:15"), ShowAs: "tentative", Location: "Markthalle"})
	d.work.Create(Event{Subject: "Focus: draft of the strategy paper", Start: d.at(0, time.Tuesday, "10:00"), End: d.at(0, time.Tuesday, "12:00"),
		Categories: []string{"Green category", "A name without a colour"}, Sensitivity: "personal"})
	d.work.Create(Event{Subject: "Interview: backend engineer", Start: d.at(1, time.Thursday, "15:00"), End: d.at(1, time.Thursday, "16:00"),
		Attendees: []graph.Attendee{guest(amir, "required", "accepted"), guest(room, "resource", "accepted")}, Location: "Room Alster", Importance: "high",
		Body: "<p>Questions: see the guide.<br>Notes before five, please.</p>", HasAttachments: true, ReminderMinutes: minutes(30)})
	d.work.Create(Event{Subject: "Retrospective", Start: d.at(-1, time.Friday, "14:00"), End: d.at(-1, time.Friday, "15:30"),
		Attendees: []graph.Attendee{guest(dana, "required", "accepted"), guest(amir, "required", "accepted")}})
	d.work.Create(Event{Subject: "Night-time database move", Start: d.at(1, time.Saturday, "22:00"), End: d.at(1, time.Sunday, "03:00"), Location: "On call"})
	fair := d.month(14, 12, "00:00")
	d.work.Create(Event{Subject: "Trade fair (stand booked)", Start: fair, End: fair.AddDate(0, 0, 3), AllDay: true, ShowAs: "busy", Location: "Hannover"})
}

func (d demo) family(c *Calendar) {
	swim := every(1, "weekly", "saturday")
	swim.Range.Type, swim.Range.EndDate = "endDate", d.at(16, time.Saturday, "00:00").Format(time.DateOnly)
	c.Create(Event{Subject: "Swimming lesson", Start: d.at(-4, time.Saturday, "10:00"), End: d.at(-4, time.Saturday, "10:45"), Recurrence: swim, Location: "Stadtbad", ReminderMinutes: minutes(45)})
	c.Create(Event{Subject: "Dinner at Grandma's", Start: d.at(0, time.Sunday, "18:00"), End: d.at(0, time.Sunday, "20:30")})
	c.Create(Event{Subject: "School holidays", Start: d.at(5, time.Monday, "00:00"), End: d.at(7, time.Monday, "00:00"), AllDay: true})
	c.Create(Event{Subject: "Bins out", Start: d.at(-20, time.Wednesday, "20:00"), End: d.at(-20, time.Wednesday, "20:15"), Recurrence: every(2, "weekly", "wednesday"), ReminderMinutes: minutes(0)})
}

func (d demo) birthdays(c *Calendar) {
	for _, b := range []struct{ name, born string }{{"Mia", "1992-02-29"}, {"Jonas", "2016-07-08"}, {"Grandma", "1951-11-23"}} {
		day, err := time.Parse(time.DateOnly, b.born)
		d.must(err)
		c.Create(Event{Subject: b.name + "'s birthday", Start: day, AllDay: true, Recurrence: every(1, "absoluteYearly"), ReminderMinutes: minutes(1080)})
	}
}

// month is a day of a month, so many months from this one.
func (d demo) month(months, day int, clock string) time.Time {
	t := d.at(0, time.Monday, clock)
	return onDate(time.Date(d.today.Year(), d.today.Month()+time.Month(months), day, 0, 0, 0, 0, time.UTC), t)
}

func (d demo) change(id graph.EventID, day time.Time, edit func(*Event)) {
	d.must(d.work.ChangeOccurrence(id, day.Format(time.DateOnly), edit))
}

func (d demo) cancel(id graph.EventID, day time.Time) {
	d.must(d.work.CancelOccurrence(id, day.Format(time.DateOnly)))
}

// must stops on an error: the layout is the same in every week, so it would be a mistake in this file.
func (d demo) must(err error) {
	if err != nil {
		panic(fmt.Sprint("graphsim: demo mailbox: ", err))
	}
}
