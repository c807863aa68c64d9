package web

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"mime"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge"
	"outbridge/caldav/ics"
)

// Origins tells where published objects come from. Of an object that came from nowhere any more it is bridge.ErrNotFound.
type Origins interface {
	// Outlook is the address at which Outlook shows the event; "" if there is none.
	Outlook(ctx context.Context, o bridge.Object) (string, error)
	// Explain writes what Microsoft said of the event, and each decision that made of it what clients get. With redact, names
	// and texts are replaced.
	Explain(ctx context.Context, w io.Writer, o bridge.Object, redact bool) error
}

// eventView is an occurrence with all that clients get of it.
type eventView struct {
	occurrence
	When       string
	Zone       string
	Own        string // when it is in its own zone, if that is another
	Place      string
	Notes      string
	Repeats    string
	Organizer  string
	People     []personView
	Categories []string
	Reminders  []Text
	Link       string // of the online meeting, or what else it links to
	Text       string
	Outlook    string
	Losses     []lossLine
	Raw        string
	Path       string
}

func (e eventView) Struck() bool { return e.Cancelled() }

type personView struct {
	Name         string
	Role, Answer Text
}

// object is the one named in the URL, with its calendar.
func (v *visit) object(a Account) (bridge.Calendar, bridge.Object, error) {
	row, err := v.h.Store.Account(v.r.Context(), a.Name)
	if err != nil {
		return bridge.Calendar{}, bridge.Object{}, err
	}
	cals, err := v.h.Store.Calendars(v.r.Context(), row.ID)
	if err != nil {
		return bridge.Calendar{}, bridge.Object{}, err
	}
	i := slices.IndexFunc(cals, func(c bridge.Calendar) bool { return c.Name == v.r.PathValue("calendar") })
	if i < 0 {
		return bridge.Calendar{}, bridge.Object{}, bridge.ErrNotFound
	}
	v.back = "/calendars/" + url.PathEscape(a.Name) + "/" + url.PathEscape(cals[i].Name)
	o, err := v.h.Store.Object(v.r.Context(), cals[i].ID, v.r.PathValue("object"))
	return cals[i], o, err
}

// eventPage shows an event as clients get it: the occurrence that ?at names, or the next one.
func eventPage(v *visit, a Account) error {
	cal, o, err := v.object(a)
	if err != nil {
		return err
	}
	status, err := v.h.standing(v.r.Context(), a, nil)
	if err != nil {
		return err
	}
	s, err := v.asked(status, []bridge.Calendar{cal})
	if err != nil {
		return err
	}
	parsed, err := ics.Decode(o.Data)
	if err != nil {
		return err
	}
	in, err := reader{v.h.Store, v.h.zone}.instance(parsed, o, v.r.URL.Query().Get("at"), v.h.now())
	if err != nil {
		return err
	}
	e := v.h.eventView(v.lang, occurrence{cal, o.Name, in}, parsed, s.zone)
	e.Raw, e.Path = string(bytes.ReplaceAll(o.Data, []byte("\r\n"), []byte("\n"))), v.back+"/"+url.PathEscape(o.Name)
	losses, err := v.h.Store.ObjectLosses(v.r.Context(), o)
	if err != nil {
		return err
	}
	for _, l := range losses {
		e.Losses = append(e.Losses, lossLine{fieldName(l.Field), Kept(l.Reason)})
	}
	if v.h.Origins != nil {
		if e.Outlook, err = v.h.Origins.Outlook(v.r.Context(), o); err != nil && !errors.Is(err, bridge.ErrNotFound) {
			return err
		}
		if e.Link == e.Outlook { // it has no link of its own
			e.Link = ""
		}
	}
	first, _ := e.days(s.zone)
	s.Date, s.date = first.Format(time.DateOnly), first
	one := status.Calendars[slices.IndexFunc(status.Calendars, func(c calendarStatus) bool { return c.ID == cal.ID })]
	return v.render("event", page{Title: Plain(e.title(v.lang)), Account: &a, Tab: "calendar", Data: map[string]any{
		"Event": e, "Calendar": one, "Back": v.back + s.link(first), "Explains": v.h.Origins != nil}})
}

// eventFile is the object as clients get it, to keep or to send on.
func eventFile(v *visit, a Account) error {
	_, o, err := v.object(a)
	if err != nil {
		return err
	}
	name := o.Name
	if !strings.HasSuffix(name, ".ics") {
		name += ".ics"
	}
	v.w.Header().Set("Content-Type", "text/calendar; charset=utf-8")
	v.w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	_, _ = v.w.Write(o.Data) // an error here means that the client has gone
	return nil
}

// eventOrigin tells how an event came about.
func eventOrigin(v *visit, a Account) error {
	_, o, err := v.object(a)
	if err != nil {
		return err
	}
	if v.h.Origins == nil {
		return bridge.ErrNotFound
	}
	redact := v.r.URL.Query().Get("redact") != ""
	var b bytes.Buffer
	if err := v.h.Origins.Explain(v.r.Context(), &b, o, redact); err != nil {
		return err
	}
	back := v.back + "/" + url.PathEscape(o.Name)
	return v.render("event-origin", page{Title: "How this event came about", Account: &a, Tab: "calendar",
		Data: map[string]any{"Back": back, "Path": back + "/origin", "Redacted": redact, "Text": b.String()}})
}

// instance is the occurrence that at names, as occurrence.at does. Without one it is the next after now, else the last before.
func (r reader) instance(cal *ical.Calendar, o bridge.Object, at string, now time.Time) (ics.Instance, error) {
	rd := &ics.Reader{Resolve: r.zone}
	in := func(from, to time.Time) ([]ics.Instance, error) {
		return rd.Expand(cal, ics.Span{Start: from, End: to})
	}
	if at != "" {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			when, err = time.Parse(time.DateOnly, at)
		}
		if err != nil {
			return ics.Instance{}, bridge.ErrNotFound
		}
		list, err := in(when.Add(-time.Second), when.Add(time.Second))
		if err != nil {
			return ics.Instance{}, err
		}
		if i := slices.IndexFunc(list, func(i ics.Instance) bool { return i.Start.Equal(when) }); i >= 0 {
			return list[i], nil
		}
		return ics.Instance{}, bridge.ErrNotFound
	}
	if list, err := in(now, now.AddDate(2, 0, 0)); err != nil || len(list) > 0 {
		if err != nil {
			return ics.Instance{}, err
		}
		return list[0], nil
	}
	list, err := in(o.First.Add(-day), now)
	if err != nil || len(list) == 0 {
		return ics.Instance{}, cmp.Or(err, bridge.ErrNotFound)
	}
	return list[len(list)-1], nil
}

func (h *Handler) eventView(l *Language, o occurrence, cal *ical.Calendar, zone *time.Location) eventView {
	e := eventView{occurrence: o, When: o.whenText(l, zone), Place: o.place(), Notes: o.notesText(l), Zone: zone.String()}
	props := o.Event.Props
	e.Text, _ = props.Text(ical.PropDescription)
	if own := o.Clock.Loc; own != nil && !o.AllDay() && own.String() != zone.String() && own != time.UTC {
		e.Own = l.Text("{when} in {zone}", o.whenText(l, own), own.String())
	}
	if o.AllDay() || zone == time.Local {
		e.Zone = ""
	}
	if p := props.Get(ical.PropURL); p != nil && isWeb(p.Value) {
		e.Link = p.Value
	}
	for _, p := range props.Values(ical.PropCategories) {
		if list, err := p.TextList(); err == nil {
			e.Categories = append(e.Categories, list...)
		}
	}
	if p := props.Get(ical.PropOrganizer); p != nil {
		e.Organizer = personName(*p)
	}
	for _, p := range props.Values(ical.PropAttendee) {
		e.People = append(e.People, personView{personName(p), roles[strings.ToUpper(p.Params.Get("ROLE"))], answers[strings.ToUpper(p.Params.Get("PARTSTAT"))]})
	}
	for _, alarm := range ics.Children(o.Event, ical.CompAlarm) {
		if text := reminderText(alarm); text != "" {
			e.Reminders = append(e.Reminders, text)
		}
	}
	if o.Series {
		e.Repeats = l.Text("one of a series")
		for _, c := range ics.Children(cal.Component, ical.CompEvent) {
			if p := c.Props.Get(ical.PropRecurrenceRule); p != nil {
				e.Repeats = l.ruleText(p.Value)
			}
		}
		if o.Override {
			e.Repeats = l.Text("{rule}; this occurrence was changed", e.Repeats)
		}
	}
	return e
}

// whenText is when an occurrence is, by itself.
func (o occurrence) whenText(l *Language, zone *time.Location) string {
	start, end := o.times(zone)
	first, last := o.days(zone)
	date := func(t time.Time) string { return l.Time(t, "Monday 2 January 2006") }
	moment := func(t time.Time) string { return l.Time(t, "Monday 2 January 2006, 15:04") }
	switch {
	case o.AllDay() && first.Equal(last):
		return l.Text("{date}, all day", date(start))
	case o.AllDay():
		return date(start) + " – " + date(last)
	case !end.After(start):
		return moment(start)
	case first.Equal(last):
		return moment(start) + "–" + l.Time(end, "15:04")
	}
	return moment(start) + " – " + moment(end)
}

var (
	roles   = map[string]Text{"OPT-PARTICIPANT": "optional", "NON-PARTICIPANT": "for information", "CHAIR": "chair"}
	answers = map[string]Text{"ACCEPTED": "accepted", "DECLINED": "declined", "TENTATIVE": "tentative", "NEEDS-ACTION": "no answer yet"}
)

// personName is "Kim <kim@contoso.example>", as far as it is known.
func personName(p ical.Prop) string {
	name := strings.TrimSpace(p.Params.Get("CN"))
	address := p.Value
	if scheme, rest, ok := strings.Cut(address, ":"); ok && strings.EqualFold(scheme, "mailto") {
		address = rest
	}
	if plain, err := url.PathUnescape(address); err == nil {
		address = plain
	}
	if name == "" || strings.EqualFold(name, address) {
		return address
	}
	return name + " <" + address + ">"
}

func isWeb(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

func reminderText(alarm *ical.Component) Text {
	p := alarm.Props.Get(ical.PropTrigger)
	if p == nil {
		return ""
	}
	d, err := ics.ParseDuration(p.Value)
	if err != nil {
		return ""
	}
	at := time.Unix(0, 0).UTC()
	by := d.After(ics.Moment{Wall: at, Loc: time.UTC}, time.UTC).Sub(at)
	switch {
	case by == 0:
		return "at the start"
	case by > 0:
		return With("{time} after the start", exact(by))
	}
	return With("{time} before", exact(-by))
}

// exact is a duration in the largest unit that it is a whole number of.
func exact(d time.Duration) Text {
	for _, unit := range []time.Duration{7 * day, day, time.Hour, time.Minute} {
		if d%unit == 0 {
			return lengthText(int(d/unit), unit)
		}
	}
	return Plain(d.String())
}
