package web

import (
	"cmp"
	"slices"
	"strings"
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
	Today  bool
	Events []agendaEvent
}

func (d agendaDay) ISO() string  { return d.Date.Format(time.DateOnly) }
func (d agendaDay) Long() string { return d.Date.Format("Monday 2 January 2006") }

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
func (h *Handler) agendaOf(user string, list []occurrence, several bool, first, today time.Time, zone *time.Location) agenda {
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
		return cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End), cmp.Compare(a.title(), b.title()))
	})
	var g agenda
	if len(all) > maxAgenda {
		g.More = len(all) - maxAgenda
		all = all[:maxAgenda]
	}
	for _, p := range all {
		if n := len(g.Days); n == 0 || !g.Days[n-1].Date.Equal(p.day) {
			g.Days = append(g.Days, agendaDay{Date: p.day, Today: p.day.Equal(today)})
		}
		d := &g.Days[len(g.Days)-1]
		e := agendaEvent{Time: p.timeText(p.day, zone), Title: p.title(), Place: p.place(), Color: p.Calendar.ShownColor(),
			Notes: strings.Join(p.notes(), ", "), Struck: p.Cancelled(), URL: h.eventURL(user, p.occurrence, zone)}
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
func (o occurrence) timeText(day time.Time, zone *time.Location) string {
	start, end := o.times(zone)
	first, last := o.days(zone)
	date := "Mon 2 Jan"
	if last.Year() != day.Year() {
		date += " 2006"
	}
	switch {
	case o.AllDay() && first.Equal(last):
		return "all day"
	case o.AllDay():
		return "all day, until " + last.Format(date)
	case first.Equal(last) && !end.After(start):
		return start.Format("15:04")
	case first.Equal(last):
		return start.Format("15:04") + "–" + end.Format("15:04")
	case first.Before(day):
		return "until " + end.Format(date+" 15:04")
	}
	return start.Format("15:04") + ", until " + end.Format(date+" 15:04")
}

// periodTitle is "27 November – 10 December 2026", with as little as tells it.
func periodTitle(first, last time.Time) string {
	from := "2"
	switch {
	case first.Year() != last.Year():
		from = "2 January 2006"
	case first.Month() != last.Month():
		from = "2 January"
	}
	return first.Format(from) + " – " + last.Format("2 January 2006")
}
