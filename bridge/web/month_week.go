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
	"outbridge/caldav/ics"
)

const (
	maxInstances = 20_000 // expanded for one view; beyond that the view only says that there are more
	maxInCell    = 6      // events shown for a day in the month's table
	maxInList    = 200    // events shown for a day in the list
	day          = 24 * time.Hour
)

// view is one month or week as clients see it: the data of the template "month" or "week".
type view struct {
	Week      bool
	Title     string // "November 2026", "23 – 29 November 2026"
	Zone      string // IANA name of the time zone shown; "" is the host's
	Date      string // a day in the month or week, 2006-01-02
	Previous  string // links to other views, each only a query
	Next      string
	Today     string
	Other     string // from a month to a week, from a week to its month
	Problem   string // what was wrong with the request; "" if nothing was
	Note      string // what is not shown, and why
	Calendars []viewCalendar
	Weekdays  []weekday
	Weeks     []viewWeek // of a month: whole weeks, Monday first
	Grid      *viewGrid  // of a week
	Days      []viewDay  // of the month or week
}

type viewCalendar struct{ Name, Color string }

type weekday struct{ Short, Long string }

type viewWeek struct {
	Number int // ISO 8601
	URL    string
	Days   []viewDay
}

// viewDay is a day with its events: all-day ones first, then by time.
type viewDay struct {
	Date    time.Time // midnight UTC
	Outside bool      // not in the month shown
	Today   bool
	URL     string // of the view of its week
	Events  []viewEvent
	More    int // events of the day that are not in Events
}

func (d viewDay) ISO() string  { return d.Date.Format(time.DateOnly) }
func (d viewDay) Long() string { return d.Date.Format("Monday 2 January 2006") }

// viewEvent is the part of an event on one day.
type viewEvent struct {
	Time     string // "09:30", "09:30–10:15", "until 10:15", "all day"
	Short    string // "09:30", "until 10:15", "all day"
	Start    string // machine-readable
	Title    string
	Place    string
	Color    string // "#rrggbb"
	Calendar string // set when several calendars are shown
	Notes    string // "cancelled, free, tentative, private"
	Struck   bool   // cancelled
	AllDay   bool   // fills this day

	from, to int // minutes after midnight, by the clock
}

// viewer makes views.
type viewer struct {
	store bridge.ObjectLister
	zone  func(name string) (*time.Location, bool) // see Handler.Zone
}

// view makes the view of cals that a query asks for with view (month or week), date and zone. The default is the month of
// now, in zone. If zone is time.Local because no better one is known, the zone that most events around now use is taken.
// A parameter that is not valid is ignored, and view.Problem says so.
func (r viewer) view(ctx context.Context, cals []bridge.Calendar, q url.Values, zone *time.Location, now time.Time) (*view, error) {
	v := &view{Week: q.Get("view") == "week"}
	if k := q.Get("view"); k != "" && k != "week" && k != "month" {
		v.Problem = "Only view=month and view=week exist, so this is the month."
	}
	if name := q.Get("zone"); name != "" {
		if loc, ok := r.zone(name); ok {
			zone, v.Zone = loc, loc.String()
		} else {
			v.Problem = fmt.Sprintf("Unknown time zone %q. Enter one like Europe/Berlin.", cut(name, 60))
		}
	}
	if v.Zone == "" && zone == time.Local {
		name, err := r.commonZone(ctx, cals, now)
		if err != nil {
			return nil, err
		}
		if loc, ok := r.zone(name); ok {
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
			v.Problem = fmt.Sprintf("%q is not a date between 1900 and 2200. Write it like %s.", cut(s, 60), today.Format(time.DateOnly))
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
		v.Previous, v.Next = v.link("week", first.AddDate(0, 0, -7)), v.link("week", last)
		v.Other = v.link("month", date)
	} else {
		begin := date.AddDate(0, 0, 1-date.Day())
		end := begin.AddDate(0, 1, 0)
		first, last = monday(begin), monday(end.AddDate(0, 0, 6))
		v.Title = begin.Format("January 2006")
		v.Previous, v.Next = v.link("month", begin.AddDate(0, -1, 0)), v.link("month", end)
		v.Other = v.link("week", date)
		if !today.Before(begin) && today.Before(end) {
			v.Other = v.link("week", today)
		}
	}
	v.Today = v.link(map[bool]string{true: "week", false: "month"}[v.Week], today)

	days := make([]viewDay, int(last.Sub(first)/day))
	for i := range days {
		d := first.AddDate(0, 0, i)
		days[i] = viewDay{Date: d, Today: d.Equal(today), Outside: !v.Week && d.Month() != date.Month(), URL: v.link("week", d)}
	}
	if err := r.fill(ctx, v, cals, days, zone); err != nil {
		return nil, err
	}
	v.arrange(days)
	return v, nil
}

// commonZone is the time zone that most of the first 300 events around now use; "" if none of them names one.
func (r viewer) commonZone(ctx context.Context, cals []bridge.Calendar, now time.Time) (string, error) {
	count := map[string]int{}
	best, looked := "", 0
	for _, cal := range cals {
		q := bridge.ObjectQuery{WithData: true, Start: now.AddDate(0, -1, 0), End: now.AddDate(0, 1, 0)}
		for o, err := range bridge.Objects(ctx, r.store, cal.ID, q) {
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

// link is the query of another view in the same zone.
func (v *view) link(kind string, date time.Time) string {
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

// fill expands the objects of cals into days.
func (r viewer) fill(ctx context.Context, v *view, cals []bridge.Calendar, days []viewDay, zone *time.Location) error {
	first, last := days[0].Date, days[len(days)-1].Date.AddDate(0, 0, 1)
	// Wide enough for every time zone; addInstance leaves out what is on no day.
	span := ics.Span{Start: first.Add(-day), End: last.Add(day)}
	shown, broken, left := 0, 0, 0
	for _, cal := range cals {
		color := cal.ShownColor()
		v.Calendars = append(v.Calendars, viewCalendar{cal.DisplayName, color})
		q := bridge.ObjectQuery{WithData: true, Start: span.Start, End: span.End}
		for o, err := range bridge.Objects(ctx, r.store, cal.ID, q) {
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
			instances, err := (&ics.Reader{Resolve: r.zone}).Expand(parsed, span)
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
				if addInstance(days, in, e, zone) {
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
		v.Note = fmt.Sprintf("More than %d events fall into this time. %s not shown.", maxInstances, count(left, "event or series is", "events and series are"))
	case broken > 0:
		v.Note = count(broken, "event", "events") + " cannot be shown here."
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

// addInstance adds an instance to each of the days that it is on, and reports whether there is one.
func addInstance(days []viewDay, in ics.Instance, e viewEvent, zone *time.Location) bool {
	start, end := in.Start.In(zone), in.End.In(zone)
	if in.AllDay() {
		start, end = in.Start.UTC(), in.End.UTC()
		e.Start = start.Format(time.DateOnly)
	} else {
		e.Start = start.Format("2006-01-02T15:04:05Z07:00")
	}
	from, to := civilDay(start), civilDay(end)
	if end.After(start) && minutes(end) == 0 {
		to = to.AddDate(0, 0, -1) // it ends at midnight, with the day before
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

// arrange puts the days into weeks or a grid, and limits how many events the table and the list show.
func (v *view) arrange(days []viewDay) {
	if v.Week {
		v.Grid = gridOf(days)
	} else {
		for i := 0; i < len(days); i += 7 {
			_, number := days[i].Date.ISOWeek()
			w := viewWeek{Number: number, URL: days[i].URL, Days: slices.Clone(days[i : i+7])}
			for j := range w.Days {
				w.Days[j].limit(maxInCell)
			}
			v.Weeks = append(v.Weeks, w)
		}
	}
	for _, d := range days {
		if !d.Outside {
			d.limit(maxInList)
			v.Days = append(v.Days, d)
		}
	}
}

func (d *viewDay) limit(n int) {
	if len(d.Events) > n {
		d.More = len(d.Events) - n
		d.Events = d.Events[:n:n]
	}
}

// civilDay is midnight UTC of the date of t in its own zone.
func civilDay(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

func monday(date time.Time) time.Time { return date.AddDate(0, 0, -(int(date.Weekday())+6)%7) }

func minutes(t time.Time) int { return 60*t.Hour() + t.Minute() }

// cut is the first n characters of a text from a request.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
