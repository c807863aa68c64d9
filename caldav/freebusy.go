package caldav

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"outbridge/caldav/ics"
)

// maxBusy bounds the periods of one free-busy answer.
const maxBusy = 100_000

// busyPeriod has its bounds in unix seconds.
type busyPeriod struct {
	from, to  int64
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
	return x.writeBusy(*within, mergeBusy(busy))
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
		cal, err := decode(o.Data)
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
	p := busyPeriod{from: max(i.Start.Unix(), r.Start.Unix()), to: min(i.End.Unix(), r.End.Unix()), tentative: value("STATUS") == "TENTATIVE"}
	free := value("TRANSP") == "TRANSPARENT" || value("STATUS") == "CANCELLED"
	return p, !free && p.from < p.to
}

// mergeBusy sorts periods, in place, and joins those of one kind that touch. Tentative ones come last.
func mergeBusy(l []busyPeriod) []busyPeriod {
	slices.SortFunc(l, func(a, b busyPeriod) int {
		if a.tentative != b.tentative {
			if a.tentative {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.from, b.from)
	})
	out := l[:0]
	for _, p := range l {
		if last := len(out) - 1; last >= 0 && out[last].tentative == p.tentative && p.from <= out[last].to {
			out[last].to = max(out[last].to, p.to)
			continue
		}
		out = append(out, p)
	}
	return out
}

// writeBusy appends the answer line by line; all its lines are short.
func (x *exchange) writeBusy(r ics.Span, busy []busyPeriod) error {
	stamp := func(name string, t time.Time) { x.raw(name + t.UTC().Format(ics.UTCForm)) }
	stamp("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//outbridge//CalDAV//EN\r\nBEGIN:VFREEBUSY\r\nDTSTAMP:", x.h.now())
	stamp("\r\nDTSTART:", r.Start)
	stamp("\r\nDTEND:", r.End)
	for _, p := range busy {
		line := "\r\nFREEBUSY:"
		if p.tentative {
			line = "\r\nFREEBUSY;FBTYPE=BUSY-TENTATIVE:"
		}
		stamp(line, time.Unix(p.from, 0))
		stamp("/", time.Unix(p.to, 0))
		if err := x.flush(); err != nil {
			return err
		}
	}
	x.raw("\r\nEND:VFREEBUSY\r\nEND:VCALENDAR\r\n")
	return nil
}
