package caldav

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/caldav/ics"
)

// maxBusy bounds the periods of one free-busy answer.
const maxBusy = 100_000

type busyPeriod struct {
	from, to  time.Time
	tentative bool
}

// freeBusy answers CALDAV:free-busy-query (RFC 4791 §7.10) with a VFREEBUSY, on a home for all its calendars.
func (x *exchange) freeBusy(n *node, r *resource) error {
	tr := n.child(caldav("time-range"))
	if tr == nil {
		return badRequest("a free-busy-query has no time range")
	}
	within, err := parseClosedRange(tr)
	if err != nil {
		return err
	}
	cals, err := x.calendarsIn(r)
	if err != nil {
		return err
	}
	var busy []busyPeriod
	for _, c := range cals {
		if busy, err = x.calendarBusy(busy, c, *within); err != nil {
			return err
		}
	}
	x.rw.Header().Set("Content-Type", "text/calendar; charset=utf-8")
	x.status = http.StatusOK
	x.buf, err = ics.Append(x.buf, x.freeBusyCalendar(*within, mergeBusy(busy)))
	return err
}

// calendarBusy appends the times that a calendar's events block.
func (x *exchange) calendarBusy(busy []busyPeriod, r *resource, within ics.Span) ([]busyPeriod, error) {
	reader, err := x.reader(r.cal)
	if err != nil {
		return nil, err
	}
	q := Query{WithData: true}
	wide := within.Wide()
	q.Start, q.End = wide.Start, wide.End
	for o, err := range x.h.Backend.Objects(x.ctx, r.cal, q) {
		if err != nil {
			return nil, err
		}
		cal, err := ics.Decode(o.Data)
		if err == nil {
			err = reader.Instances(cal, within, func(i ics.Instance) bool {
				if p, ok := busyTime(i, within); ok {
					busy = append(busy, p)
				}
				return len(busy) <= maxBusy
			})
		}
		if len(busy) > maxBusy || errors.Is(err, ics.ErrTooMany) {
			return nil, forbidden(matchesWithinLimits)
		}
		if err != nil {
			x.h.log().WarnContext(x.ctx, "object left out of free-busy", "path", r.href, "object", o.Name, "err", err)
		}
	}
	return busy, nil
}

// busyTime is the time that an instance blocks, cut to the range.
func busyTime(i ics.Instance, r ics.Span) (busyPeriod, bool) {
	value := func(name string) string {
		if p := i.Event.Props.Get(name); p != nil {
			return strings.ToUpper(strings.TrimSpace(p.Value))
		}
		return ""
	}
	p := busyPeriod{from: i.Start, to: i.End, tentative: value("STATUS") == "TENTATIVE"}
	if value("TRANSP") == "TRANSPARENT" || value("STATUS") == "CANCELLED" {
		return p, false
	}
	if p.from.Before(r.Start) {
		p.from = r.Start
	}
	if p.to.After(r.End) {
		p.to = r.End
	}
	return p, p.from.Before(p.to)
}

// mergeBusy sorts periods and joins those of one kind that touch.
func mergeBusy(l []busyPeriod) []busyPeriod {
	var out []busyPeriod
	for _, tentative := range []bool{false, true} {
		kind := slices.DeleteFunc(slices.Clone(l), func(p busyPeriod) bool { return p.tentative != tentative })
		slices.SortFunc(kind, func(a, b busyPeriod) int { return a.from.Compare(b.from) })
		first := len(out)
		for _, p := range kind {
			if len(out) > first && !p.from.After(out[len(out)-1].to) {
				if p.to.After(out[len(out)-1].to) {
					out[len(out)-1].to = p.to
				}
				continue
			}
			out = append(out, p)
		}
	}
	return out
}

func (x *exchange) freeBusyCalendar(r ics.Span, busy []busyPeriod) *ical.Component {
	const utc = ics.UTCForm
	now := time.Now
	if x.h.Now != nil {
		now = x.h.Now
	}
	set := func(c *ical.Component, name, value string) *ical.Prop {
		p := ical.NewProp(name)
		p.Value = value
		c.Props.Add(p)
		return &c.Props[name][len(c.Props[name])-1]
	}
	fb := ical.NewComponent("VFREEBUSY")
	set(fb, "DTSTAMP", now().UTC().Format(utc))
	set(fb, "DTSTART", r.Start.UTC().Format(utc))
	set(fb, "DTEND", r.End.UTC().Format(utc))
	for _, b := range busy {
		p := set(fb, "FREEBUSY", b.from.UTC().Format(utc)+"/"+b.to.UTC().Format(utc))
		if b.tentative {
			p.Params.Set("FBTYPE", "BUSY-TENTATIVE")
		}
	}
	cal := ical.NewComponent("VCALENDAR")
	set(cal, "VERSION", "2.0")
	set(cal, "PRODID", "-//outbridge//CalDAV//EN")
	cal.Children = []*ical.Component{fb}
	return cal
}
