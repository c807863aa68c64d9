package web

import (
	"cmp"
	"slices"
	"time"
)

const (
	agendaDays = 14  // shown at a time
	maxAgenda  = 500 // events listed
)

// agenda is a list of days with their events. It is what browsers without scripts show, and what a search finds.
type agenda struct {
	Title string // "27 November – 10 December 2026"
	Days  []agendaDay
	More  int // events that are not listed
}

type agendaDay struct {
	Date   time.Time // midnight UTC
	Long   string    // "Friday 27 November 2026"
	Today  bool
	Events []agendaEvent
}

func (d agendaDay) ISO() string { return d.Date.Format(time.DateOnly) }

type agendaEvent struct {
	Time     string // "09:30–10:15", "all day", "from 22:00, until Sat 5 Dec 06:00"
	Start    string // for machines
	Title    string
	Place    string
	Color    string
	Calendar string // set if several calendars are shown
	Notes    string // "cancelled, private"
	Struck   bool
	URL      string
}

// agendaOf lists occurrences, each once: under the day on which it begins, or under first if that is later.
func (h *Handler) agendaOf(l *Language, user string, list []occurrence, several bool, first, today time.Time, zone *time.Location) agenda {
	type placed struct {
		occurrence
		day time.Time
	}
	var all []placed
	for _, o := range list {
		day, last := o.days(zone)
		if day.Before(first) {
			day = first
		}
		if !last.Before(first) {
			all = append(all, placed{o, day})
		}
	}
	slices.SortStableFunc(all, func(a, b placed) int {
		if c := a.day.Compare(b.day); c != 0 {
			return c
		}
		if a.AllDay() != b.AllDay() {
			if a.AllDay() {
				return -1
			}
			return 1
		}
		return cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End), cmp.Compare(a.title(l), b.title(l)))
	})
	var g agenda
	if len(all) > maxAgenda {
		g.More = len(all) - maxAgenda
		all = all[:maxAgenda]
	}
	for _, p := range all {
		if n := len(g.Days); n == 0 || !g.Days[n-1].Date.Equal(p.day) {
			g.Days = append(g.Days, agendaDay{Date: p.day, Long: l.Time(p.day, "Monday 2 January 2006"), Today: p.day.Equal(today)})
		}
		d := &g.Days[len(g.Days)-1]
		e := agendaEvent{Time: p.timeText(l, p.day, zone), Title: p.title(l), Place: p.place(), Color: p.Calendar.ShownColor(),
			Notes: p.notesText(l), Struck: p.Cancelled(), URL: h.eventURL(user, p.occurrence, zone)}
		if start, _ := p.times(zone); p.AllDay() {
			e.Start = start.Format(time.DateOnly)
		} else {
			e.Start = start.Format(time.RFC3339)
		}
		if several {
			e.Calendar = p.Calendar.DisplayName
		}
		d.Events = append(d.Events, e)
	}
	return g
}

// timeText is when an occurrence is, for a list in which it stands under a day.
func (o occurrence) timeText(l *Language, day time.Time, zone *time.Location) string {
	start, end := o.times(zone)
	first, last := o.days(zone)
	date := func(t time.Time) string {
		if last.Year() != day.Year() {
			return l.Time(t, "Mon 2 Jan 2006")
		}
		return l.Time(t, "Mon 2 Jan")
	}
	clock := func(t time.Time) string { return l.Time(t, "15:04") }
	switch {
	case o.AllDay() && first.Equal(last):
		return l.Text("all day")
	case o.AllDay():
		return l.Text("all day, until {date}", date(last))
	case first.Equal(last) && !end.After(start):
		return clock(start)
	case first.Equal(last):
		return clock(start) + "–" + clock(end)
	case first.Before(day):
		return l.Text("until {date} {time}", date(end), clock(end))
	}
	return l.Text("{start}, until {date} {time}", clock(start), date(end), clock(end))
}

// periodTitle is "27 November – 10 December 2026", with as little as tells it.
func (l *Language) periodTitle(first, last time.Time) string {
	from := Layout("2 [day of the month, before another date]")
	switch {
	case first.Year() != last.Year():
		from = "2 January 2006"
	case first.Month() != last.Month():
		from = "2 January"
	}
	return l.Time(first, from) + " – " + l.Time(last, "2 January 2006")
}
