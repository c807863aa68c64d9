package web

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/caldav/ics"
)

const (
	maxInstances = 20_000 // that a view looks at; more are only said to be there
	maxInCell    = 6      // events of a day in the month's table
	maxInList    = 200    // events of a day in the list
	day          = 24 * time.Hour
)

// view is a month or a week of what clients see, for the template "month" or "week".
type view struct {
	Week      bool
	Title     string // "November 2026", "23 – 29 November 2026"
	Zone      string // IANA name of the zone that times are in; "" for the host's own
	Date      string // a day of the period, 2006-01-02
	Previous  string // addresses of other views, queries only
	Next      string
	Today     string
	Other     string // the week of a month, the month of a week
	Problem   string // what was wrong with the question, and what is shown instead
	Note      string // what is not shown, and why
	Calendars []viewCalendar
	Weekdays  []weekday
	Weeks     []viewWeek // of a month: whole weeks, from Monday
	Grid      *viewGrid  // of a week
	Days      []viewDay  // of the period
}

type viewCalendar struct{ Name, Color string }

type weekday struct{ Short, Long string }

type viewWeek struct {
	Number int // ISO 8601
	URL    string
	Days   []viewDay
}

// viewDay is a day with its events: those of the whole day first, then by time.
type viewDay struct {
	Date    time.Time // midnight UTC
	Outside bool      // of the month that is shown
	Today   bool
	URL     string // its week
	Events  []viewEvent
	More    int // events of this day that are not in Events
}

func (d viewDay) ISO() string  { return d.Date.Format(time.DateOnly) }
func (d viewDay) Long() string { return d.Date.Format("Monday 2 January 2006") }

// viewEvent is an event on one day.
type viewEvent struct {
	Time     string // "09:30", "09:30–10:15", "until 10:15", "all day"
	Short    string // "09:30", "until 10:15", "all day"
	Start    string // machine-readable
	Title    string
	Place    string
	Color    string // "#rrggbb"
	Calendar string // where there are several
	Notes    string // "cancelled, free, tentative, private"
	Struck   bool   // cancelled
	AllDay   bool   // on this day

	from, to int // minutes of the day, by the clock
}

// viewOf makes the view that the query of an address asks for: view (month or week), date, zone. What it does not say or
// says wrong is the month of now in zone; where that is time.Local, for want of a better one, in the zone that most events
// of these days are written in. It shows what clients see of cals.
func viewOf(ctx context.Context, store bridge.ObjectStore, cals []bridge.Calendar, q url.Values, zone *time.Location, now time.Time) (*view, error) {
	v := &view{Week: q.Get("view") == "week"}
	if k := q.Get("view"); k != "" && k != "week" && k != "month" {
		v.Problem = "There is a month and a week to see, nothing else."
	}
	if name := q.Get("zone"); name != "" {
		if loc, iana, ok := convert.LoadZone(name); ok {
			zone, v.Zone = loc, iana
		} else {
			v.Problem = fmt.Sprintf("There is no time zone %q: write one like Europe/Berlin.", cut(name, 60))
		}
	}
	if v.Zone == "" && zone == time.Local {
		name, err := commonZone(ctx, store, cals, now)
		if err != nil {
			return nil, err
		}
		if loc, _, ok := convert.LoadZone(name); ok {
			zone = loc
		}
	}
	if v.Zone == "" && zone != time.Local {
		v.Zone = zone.String()
	}
	today := civilDay(now.In(zone))
	date := today
	if s := q.Get("date"); s != "" {
		d, err := time.Parse(time.DateOnly, s)
		if err == nil && d.Year() >= 1900 && d.Year() <= 2200 {
			date = d
		} else {
			v.Problem = fmt.Sprintf("%q is no date from 1900 to 2200: write it like %s.", cut(s, 60), today.Format(time.DateOnly))
		}
	}
	v.Date = date.Format(time.DateOnly)
	for i := range 7 {
		w := time.Weekday((i + 1) % 7).String()
		v.Weekdays = append(v.Weekdays, weekday{w[:3], w})
	}

	first := monday(date)
	last := first.AddDate(0, 0, 7)
	if v.Week {
		v.Title = weekTitle(first)
		v.Previous, v.Next = v.address("week", first.AddDate(0, 0, -7)), v.address("week", last)
		v.Other = v.address("month", date)
	} else {
		begin := date.AddDate(0, 0, 1-date.Day())
		end := begin.AddDate(0, 1, 0)
		first, last = monday(begin), monday(end.AddDate(0, 0, 6))
		v.Title = begin.Format("January 2006")
		v.Previous, v.Next = v.address("month", begin.AddDate(0, -1, 0)), v.address("month", end)
		v.Other = v.address("week", date)
		if !today.Before(begin) && today.Before(end) {
			v.Other = v.address("week", today)
		}
	}
	v.Today = v.address(map[bool]string{true: "week", false: "month"}[v.Week], today)

	days := make([]viewDay, int(last.Sub(first)/day))
	for i := range days {
		d := first.AddDate(0, 0, i)
		days[i] = viewDay{Date: d, Today: d.Equal(today), Outside: !v.Week && d.Month() != date.Month(), URL: v.address("week", d)}
	}
	if err := v.fill(ctx, store, cals, days, zone); err != nil {
		return nil, err
	}
	v.lay(days)
	return v, nil
}

// commonZone is the zone that most of the events around now are written in, "" where none is, by the first some hundred.
func commonZone(ctx context.Context, store bridge.ObjectStore, cals []bridge.Calendar, now time.Time) (string, error) {
	count := map[string]int{}
	best, looked := "", 0
	for _, cal := range cals {
		q := bridge.ObjectQuery{WithData: true, Start: now.AddDate(0, -1, 0), End: now.AddDate(0, 1, 0)}
		for o, err := range bridge.Objects(ctx, store, cal.ID, q) {
			if err != nil {
				return "", fmt.Errorf("view calendar: %w", err)
			}
			if looked++; looked > 300 {
				return best, nil
			}
			_, after, ok := bytes.Cut(o.Data, []byte("\r\nDTSTART;TZID="))
			name, _, found := bytes.Cut(after, []byte(":"))
			if !ok || !found {
				continue
			}
			if count[string(name)]++; count[string(name)] > count[best] {
				best = string(name)
			}
		}
	}
	return best, nil
}

// address is the query of another view in the same zone.
func (v *view) address(kind string, date time.Time) string {
	a := "?view=" + kind + "&date=" + date.Format(time.DateOnly)
	if v.Zone != "" {
		a += "&zone=" + url.QueryEscape(v.Zone)
	}
	return a
}

func weekTitle(monday time.Time) string {
	sunday := monday.AddDate(0, 0, 6)
	from := "2"
	switch {
	case monday.Year() != sunday.Year():
		from = "2 January 2006"
	case monday.Month() != sunday.Month():
		from = "2 January"
	}
	return monday.Format(from) + " – " + sunday.Format("2 January 2006")
}

// fill expands the objects into days.
func (v *view) fill(ctx context.Context, store bridge.ObjectStore, cals []bridge.Calendar, days []viewDay, zone *time.Location) error {
	first, last := days[0].Date, days[len(days)-1].Date.AddDate(0, 0, 1)
	// Wide enough for every zone; what is outside of the days is left out below.
	span := ics.Span{Start: first.Add(-day), End: last.Add(day)}
	shown, broken, left := 0, 0, 0
	for _, cal := range cals {
		color := cal.ShownColor()
		v.Calendars = append(v.Calendars, viewCalendar{cal.DisplayName, color})
		q := bridge.ObjectQuery{WithData: true, Start: span.Start, End: span.End}
		for o, err := range bridge.Objects(ctx, store, cal.ID, q) {
			if err != nil {
				return fmt.Errorf("view calendar: %w", err)
			}
			if shown >= maxInstances {
				left++
				continue
			}
			parsed, err := ics.Decode(o.Data)
			if err != nil {
				broken++
				continue
			}
			instances, err := (&ics.Reader{Resolve: convert.Zone}).Expand(parsed, span)
			if err != nil {
				broken++
				continue
			}
			for _, in := range instances {
				e := describe(in)
				e.Color = color
				if len(cals) > 1 {
					e.Calendar = cal.DisplayName
				}
				if place(days, in, e, zone) {
					shown++
				}
			}
		}
	}
	for i := range days {
		slices.SortStableFunc(days[i].Events, func(a, b viewEvent) int {
			switch {
			case a.AllDay && !b.AllDay:
				return -1
			case b.AllDay && !a.AllDay:
				return 1
			}
			return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), cmp.Compare(a.Title, b.Title))
		})
	}
	switch {
	case left > 0:
		v.Note = fmt.Sprintf("There are more than %d events in this time. Not shown: %d events and series.", maxInstances, left)
	case broken > 0:
		v.Note = fmt.Sprintf("Events that cannot be shown here: %d.", broken)
	}
	return nil
}

func describe(in ics.Instance) viewEvent {
	e := viewEvent{Title: in.Summary(), Struck: in.Cancelled()}
	e.Place, _ = in.Event.Props.Text(ical.PropLocation)
	if strings.TrimSpace(e.Title) == "" {
		e.Title = "(no title)"
	}
	is := func(name, value string) bool {
		p := in.Event.Props.Get(name)
		return p != nil && p.Value == value
	}
	var notes []string
	if in.Cancelled() {
		notes = append(notes, "cancelled")
	}
	if is(ical.PropTransparency, "TRANSPARENT") {
		notes = append(notes, "free")
	}
	if is(ical.PropStatus, "TENTATIVE") {
		notes = append(notes, "tentative")
	}
	if p := in.Event.Props.Get(ical.PropClass); p != nil && p.Value != "PUBLIC" {
		notes = append(notes, "private")
	}
	e.Notes = strings.Join(notes, ", ")
	return e
}

// place adds an instance to each day that it touches, and tells whether there is one.
func place(days []viewDay, in ics.Instance, e viewEvent, zone *time.Location) bool {
	start, end := in.Start.In(zone), in.End.In(zone)
	if in.AllDay() {
		start, end = in.Start.UTC(), in.End.UTC()
		e.Start = start.Format(time.DateOnly)
	} else {
		e.Start = start.Format("2006-01-02T15:04:05Z07:00")
	}
	from, to := civilDay(start), civilDay(end)
	if end.After(start) && minutes(end) == 0 {
		to = to.AddDate(0, 0, -1) // it ends with the day before
	}
	found := false
	begin := max(0, int(from.Sub(days[0].Date)/day))
	for i := begin; i < len(days) && !days[i].Date.After(to); i++ {
		d, on := days[i].Date, e
		on.from, on.to = 0, 24*60
		if d.Equal(from) {
			on.from = minutes(start)
		}
		if d.Equal(to) && (minutes(end) != 0 || !end.After(start)) {
			on.to = minutes(end)
		}
		switch {
		case in.AllDay() || on.from == 0 && on.to == 24*60:
			on.AllDay, on.Time = true, "all day"
		case from.Equal(to) && !end.After(start):
			on.Time = start.Format("15:04")
		case from.Equal(to):
			on.Time = start.Format("15:04") + "–" + end.Format("15:04")
		case d.Equal(from):
			on.Time = "from " + start.Format("15:04")
		default:
			on.Time = "until " + end.Format("15:04")
		}
		if on.Short = on.Time; from.Equal(to) && !on.AllDay {
			on.Short = start.Format("15:04")
		}
		days[i].Events = append(days[i].Events, on)
		found = true
	}
	return found
}

// lay puts the days into weeks or a grid, and keeps the table and the list short.
func (v *view) lay(days []viewDay) {
	if v.Week {
		v.Grid = gridOf(days)
	} else {
		for i := 0; i < len(days); i += 7 {
			_, number := days[i].Date.ISOWeek()
			w := viewWeek{Number: number, URL: days[i].URL, Days: slices.Clone(days[i : i+7])}
			for j := range w.Days {
				w.Days[j].short(maxInCell)
			}
			v.Weeks = append(v.Weeks, w)
		}
	}
	for _, d := range days {
		if !d.Outside {
			d.short(maxInList)
			v.Days = append(v.Days, d)
		}
	}
}

func (d *viewDay) short(n int) {
	if len(d.Events) > n {
		d.More = len(d.Events) - n
		d.Events = d.Events[:n:n]
	}
}

// civilDay is midnight UTC of the day that the clock shows at t.
func civilDay(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

func monday(date time.Time) time.Time { return date.AddDate(0, 0, -(int(date.Weekday())+6)%7) }

func minutes(t time.Time) int { return 60*t.Hour() + t.Minute() }

// cut is the beginning of a text that came in a question.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
