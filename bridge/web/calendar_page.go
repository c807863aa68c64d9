package web

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/caldav/ics"
)

const (
	maxLosses = 500 // listed on a page

	searchBack    = 2 // years that a search looks into
	searchAhead   = 3
	longestSearch = 200 // characters
	maxHits       = 50  // that it lists, of those to come and of those that are over
)

// views are those of the calendar page, with how they are called there.
var views = []string{"month", "week", "day", "agenda"}

// asked is what the calendar page shows, as its query asks for it.
type asked struct {
	View    string // one of views; "": the script chooses
	Date    string // 2006-01-02; "": today
	Zone    string // IANA name of the time zone; "" is the host's, in place of which the script takes that of the browser
	Query   string // what is searched for
	Problem Text   // what was wrong with the request

	zone        *time.Location
	date, today time.Time // midnight UTC
}

// asked reads the query. A parameter that is not valid is left out, and Problem says so. The time zone is the one named, that
// of the mailbox, or the one that most events use.
func (v *visit) asked(status accountStatus, cals []bridge.Calendar) (s asked, err error) {
	q := v.r.URL.Query()
	s.Query = strings.Join(strings.Fields(strings.ToValidUTF8(q.Get("q"), "")), " ")
	if r := []rune(s.Query); len(r) > longestSearch {
		s.Query, s.Problem = string(r[:longestSearch]), "The search is too long: only its first 200 characters were searched for."
	}
	if s.View = q.Get("view"); s.View != "" && !slices.Contains(views, s.View) {
		s.View, s.Problem = "", "There are the views month, week, day and agenda."
	}
	usual := status.Zone
	if _, ok := v.h.zone(usual); !ok {
		if usual, err = (reader{v.h.Store, v.h.zone}).usualZone(v.r.Context(), cals, v.h.now()); err != nil {
			return s, err
		}
	}
	s.zone = time.Local
	for _, name := range []string{usual, q.Get("zone")} {
		if loc, ok := v.h.zone(name); ok {
			s.zone, s.Zone = loc, loc.String()
		} else if name != "" && name != usual {
			s.Problem = With("Unknown time zone \"{zone}\". Enter one like Europe/Berlin.", cut(name, 60))
		}
	}
	s.today = civilDay(v.h.now().In(s.zone))
	s.date = s.today
	if text := q.Get("date"); text != "" {
		d, err := time.Parse(time.DateOnly, text)
		if err == nil && d.Year() >= 1900 && d.Year() <= 2200 {
			s.date, s.Date = d, text
		} else {
			s.Problem = With("\"{text}\" is not a date between 1900 and 2200. Write it like {date}.", cut(text, 60), s.today.Format(time.DateOnly))
		}
	}
	return s, nil
}

// link is the query of the page at another date.
func (s asked) link(date time.Time) string {
	q := url.Values{"date": {date.Format(time.DateOnly)}}
	if s.View != "" {
		q.Set("view", s.View)
	}
	if s.Zone != "" {
		q.Set("zone", s.Zone)
	}
	return "?" + q.Encode()
}

func (s asked) Previous() string { return s.link(s.date.AddDate(0, 0, -agendaDays)) }
func (s asked) Next() string     { return s.link(s.date.AddDate(0, 0, agendaDays)) }
func (s asked) Today() string    { return s.link(s.today) }

// calendarPage shows one calendar of an account, or all of them, as clients see them: to scripts as an address to read events
// from, and to others as an agenda. With a query it shows what is found instead.
func calendarPage(v *visit, a Account) error {
	status, err := v.h.accountStatus(v.r.Context(), a)
	if err != nil {
		return err
	}
	name := v.r.PathValue("calendar")
	on := status.Calendars
	data := map[string]any{"Account": status, "One": (*calendarStatus)(nil), "All": on, "Address": v.r.URL.Path}
	title, events := With("Calendars of {account}", a.Name), "/calendars/"+url.PathEscape(a.Name)+"/events.json"
	if name != "" {
		i := slices.IndexFunc(on, func(c calendarStatus) bool { return c.Name == name })
		if i < 0 {
			return bridge.ErrNotFound
		}
		on = on[i : i+1]
		title = Plain(on[0].DisplayName)
		events += "?calendar=" + url.QueryEscape(name)
		data["One"] = &on[0]
		if data["Losses"], err = v.losses(on[0].Calendar); err != nil {
			return err
		}
	}
	cals := make([]bridge.Calendar, len(on))
	for i, c := range on {
		cals[i] = c.Calendar
	}
	s, err := v.asked(status, cals)
	if err != nil {
		return err
	}
	data["Shown"], data["Events"] = s, v.h.base()+events
	if s.Query != "" {
		data["Found"], data["Over"], data["Note"], err = v.search(a, cals, s)
	} else {
		data["Agenda"], data["Note"], err = v.agenda(a, cals, s)
	}
	if err != nil {
		return err
	}
	return v.render("calendar", page{Title: title, Account: &a, Tab: "calendar", Script: true, Draws: true, Data: data})
}

// agenda lists what begins within agendaDays, or goes on then.
func (v *visit) agenda(a Account, cals []bridge.Calendar, s asked) (g agenda, note Text, err error) {
	end := s.date.AddDate(0, 0, agendaDays)
	found, err := reader{v.h.Store, v.h.zone}.in(v.r.Context(), cals, ics.Span{Start: s.date.Add(-day), End: end.Add(day)})
	if err != nil {
		return g, "", err
	}
	list := slices.DeleteFunc(found.List, func(o occurrence) bool {
		first, last := o.days(s.zone)
		return last.Before(s.date) || !first.Before(end)
	})
	g = v.h.agendaOf(v.lang, a.Name, list, len(cals) > 1, s.date, s.today, s.zone)
	g.Title = v.lang.periodTitle(s.date, end.AddDate(0, 0, -1))
	return g, found.Note(), nil
}

// search lists what has all words of the query in its title or place: what is to come, by time, and what is over, the latest
// first.
func (v *visit) search(a Account, cals []bridge.Calendar, s asked) (next, over agenda, note Text, err error) {
	now := v.h.now()
	span := ics.Span{Start: now.AddDate(-searchBack, 0, 0), End: now.AddDate(searchAhead, 0, 0)}
	found, err := reader{v.h.Store, v.h.zone}.in(v.r.Context(), cals, span, strings.Fields(strings.ToLower(s.Query))...)
	if err != nil {
		return next, over, "", err
	}
	slices.SortStableFunc(found.List, func(x, y occurrence) int { return x.Start.Compare(y.Start) })
	i := slices.IndexFunc(found.List, func(o occurrence) bool {
		_, last := o.days(s.zone)
		return !last.Before(s.today)
	})
	if i < 0 {
		i = len(found.List)
	}
	limited := func(list []occurrence, first time.Time) agenda {
		g := v.h.agendaOf(v.lang, a.Name, list[:min(len(list), maxHits)], len(cals) > 1, first, s.today, s.zone)
		g.More = max(0, len(list)-maxHits)
		return g
	}
	past, ahead := found.List[:i], found.List[i:]
	slices.Reverse(past)
	next, over = limited(ahead, s.today), limited(past, time.Time{})
	slices.Reverse(over.Days)
	return next, over, found.Note(), nil
}

// lossRow is an event with how it differs from Outlook.
type lossRow struct {
	Subject string
	Start   time.Time
	Losses  []lossLine
}

type lossLine struct{ What, Reason Text }

func (v *visit) losses(c bridge.Calendar) ([]lossRow, error) {
	list, err := v.h.Store.EventLosses(v.r.Context(), c.ID, maxLosses)
	if err != nil {
		return nil, err
	}
	var rows []lossRow
	for _, l := range list {
		last := len(rows) - 1
		if last < 0 || rows[last].Subject != l.Subject || !rows[last].Start.Equal(l.Start) {
			rows = append(rows, lossRow{Subject: l.Subject, Start: l.Start})
			last++
		}
		rows[last].Losses = append(rows[last].Losses, lossLine{fieldName(l.Field), Kept(l.Reason)})
	}
	return rows, nil
}

// fieldName is the name of a Graph property for people.
func fieldName(field string) Text {
	property := field
	if i := strings.IndexAny(field, ".["); i > 0 {
		property = field[:i]
	}
	names := map[string]Text{
		"subject": "Title", "body": "Description", "categories": "Categories", "hasAttachments": "Attachments", "location": "Place",
		"showAs": "Availability", "sensitivity": "Privacy", "reminderMinutesBeforeStart": "Reminder", "attendees": "People [of an event]",
		"organizer": "Organizer", "recurrence": "Repetition", "cancelledOccurrences": "Removed occurrences", "occurrenceId": "Changed occurrence",
		"exceptionOccurrences": "Changed occurrences", "start": "Start", "end": "End", "originalStartTimeZone": "Time zone", "seriesMasterId": "Series",
		"event": "Event", "isReminderOn": "Reminder", "locations": "Place", "onlineMeeting": "Online meeting",
	}
	n, ok := names[property]
	switch {
	case ok && property == field:
		return n
	case ok:
		return With("{part} ({property})", n, strings.ToValidUTF8(field, "�"))
	}
	return Plain(strings.ToValidUTF8(field, "�"))
}
