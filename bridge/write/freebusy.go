package write

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// BusyQuery asks when people are busy.
type BusyQuery struct {
	Addresses  []string // each once
	Start, End time.Time
	// Mask is the UID of an event of the account's own, the one that a time is sought for: it is not counted. "" is none.
	Mask string
}

// Availability is what is known of one person's time. Unless Why is KnownTimes there are no periods.
type Availability struct {
	Why     Knowledge
	Periods []BusyPeriod // in any order
}

// BusyPeriod is a time that is taken.
type BusyPeriod struct {
	Start, End time.Time
	Kind       BusyKind
}

// BusyKind is how a time is taken.
type BusyKind int

const (
	BusyTime BusyKind = iota
	TentativeTime
	AwayTime // out of office
)

// Knowledge is why somebody's times are known, or not.
type Knowledge int

const (
	KnownTimes     Knowledge = iota
	UnknownPerson            // nobody of that address, as far as Outlook knows
	HiddenTimes              // Outlook does not let the account see them
	UnansweredTime           // it does not say now, or not of so long a time
)

const (
	// longestBusy is the time that is looked at: Graph looks at 62 days at once.
	longestBusy = 370 * 24 * time.Hour
	// maxBusyPeriods is how many of one person's are told of.
	maxBusyPeriods = 20_000
	// refusedFor is how long Graph is not asked again for people's times once it has said that the mailbox has no such thing.
	refusedFor = time.Hour
)

// FreeBusy tells when people are busy, an answer for each of the query's addresses. Outlook is asked, which looks at default calendars
// and knows those of its own organization; where it does not tell of the account's own times, as for personal accounts, these are
// what the account's own calendars say here.
func (w *Writer) FreeBusy(ctx context.Context, account string, q BusyQuery) ([]Availability, error) {
	w.setUp()
	m, err := w.Mailbox(ctx, account)
	if err != nil {
		return nil, err
	}
	a, err := w.Store.Account(ctx, account)
	if err != nil {
		return nil, err
	}
	out := make([]Availability, len(q.Addresses))
	if q.End.Sub(q.Start) > longestBusy {
		for i := range out {
			out[i].Why = UnansweredTime
		}
		return out, nil
	}
	mine := ownTimes{w: w, account: a, q: q}
	for i, s := range w.schedules(ctx, m, q) {
		isOwn := isOwn(q.Addresses[i], m.Addresses)
		out[i] = availability(s)
		switch {
		case isOwn && out[i].Why != KnownTimes:
			periods, err := mine.periods(ctx)
			if err != nil {
				return nil, err
			}
			out[i] = Availability{Periods: periods}
		case isOwn:
			masked, err := mine.masked(ctx)
			if err != nil {
				return nil, err
			}
			out[i].Periods = slices.DeleteFunc(out[i].Periods, func(p BusyPeriod) bool { return masked[ics.Span{Start: p.Start, End: p.End}] })
		}
	}
	return out, ctx.Err()
}

// schedules are those of Graph, one for each address. What it does not tell is in their errors.
func (w *Writer) schedules(ctx context.Context, m Mailbox, q BusyQuery) []schedule {
	out := make([]schedule, len(q.Addresses))
	g, ok := m.Graph.(Graph)
	if until, refused := w.noSchedules.Load(m.Name); !ok || refused && w.now().Before(until.(time.Time)) {
		for i := range out {
			out[i].err = errNoSchedules
		}
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, w.budget())
	defer cancel()
	list, err := g.Schedules(ctx, q.Addresses, q.Start, q.End, 30)
	if graph.IsNotOffered(err) {
		w.noSchedules.Store(m.Name, w.now().Add(refusedFor))
	}
	if err != nil {
		w.log().Info("Outlook does not tell when people are busy", "account", m.Name, "err", err)
	}
	for i := range out {
		switch {
		case err != nil:
			out[i].err = err
		case list[i].Err != nil:
			out[i].err = list[i].Err
		default:
			out[i].items = list[i].Items
		}
	}
	return out
}

var errNoSchedules = errors.New("Graph has refused before to tell when people are busy")

type schedule struct {
	items []graph.ScheduleItem
	err   error
}

// availability is what a schedule comes to.
func availability(s schedule) (a Availability) {
	var one *graph.ScheduleError
	switch {
	case errors.As(s.err, &one) && one.Code == "5009":
		a.Why = UnknownPerson
	case errors.Is(s.err, errNoSchedules), graph.IsNotOffered(s.err):
		a.Why = HiddenTimes
	case s.err != nil:
		a.Why = UnansweredTime
	}
	for _, item := range s.items {
		if kind, ok := busyKind(item.Status); ok && item.Start.Before(item.End) && len(a.Periods) < maxBusyPeriods {
			a.Periods = append(a.Periods, BusyPeriod{item.Start, item.End, kind})
		}
	}
	return a
}

// busyKind is how an event of a status takes its time; ok is false where it does not. Who works elsewhere can be met.
func busyKind(status string) (kind BusyKind, ok bool) {
	switch strings.ToLower(status) {
	case "free", "workingelsewhere":
		return 0, false
	case "tentative":
		return TentativeTime, true
	case "oof":
		return AwayTime, true
	}
	return BusyTime, true
}

// ownTimes are those of the account's own calendars, as clients see them.
type ownTimes struct {
	w       *Writer
	account bridge.Account
	q       BusyQuery
}

// objects calls do with each object of the account's own calendars that touches the time.
func (o ownTimes) objects(ctx context.Context, do func(bridge.CalendarID, bridge.Object)) error {
	all, err := o.w.Store.Calendars(ctx, o.account.ID)
	if err != nil {
		return err
	}
	wide := ics.Span{Start: o.q.Start, End: o.q.End}.Wide()
	own := o.account.Addresses(all)
	for _, c := range all {
		if c.IsForeign(own) {
			continue
		}
		for object, err := range bridge.Objects(ctx, o.w.Store, c.ID, bridge.ObjectQuery{Start: wide.Start, End: wide.End, WithData: true}) {
			if err != nil {
				return err
			}
			do(c.ID, object)
		}
	}
	return nil
}

// reader reads dates in the mailbox's own zone.
func (o ownTimes) reader() *ics.Reader {
	r := &ics.Reader{Resolve: convert.Zone}
	if loc, ok := convert.Zone(o.account.Settings.Zone); ok {
		r.Floating = loc
	}
	return r
}

// periods are the times that the events block. One that cannot be read blocks none.
func (o ownTimes) periods(ctx context.Context) (list []BusyPeriod, err error) {
	var masked []bridge.Object
	if o.q.Mask != "" {
		if masked, err = o.w.Store.ObjectsOfUID(ctx, o.account.ID, uidForms(o.q.Mask)...); err != nil {
			return nil, err
		}
	}
	r := o.reader()
	err = o.objects(ctx, func(c bridge.CalendarID, object bridge.Object) {
		if slices.ContainsFunc(masked, func(m bridge.Object) bool { return m.Calendar == c && m.Name == object.Name }) {
			return
		}
		cal, err := ics.Decode(object.Data)
		if err == nil {
			err = r.Instances(cal, ics.Span{Start: o.q.Start, End: o.q.End}, func(i ics.Instance) bool {
				if kind, ok := instanceKind(i); ok && i.Start.Before(i.End) {
					list = append(list, BusyPeriod{i.Start, i.End, kind})
				}
				return len(list) < maxBusyPeriods
			})
		}
		if err != nil {
			o.w.log().Warn("an event is left out of what its owner is busy with", "account", o.account.Name, "object", object.Name, "err", err)
		}
	})
	return list, err
}

// instanceKind is how an instance takes its time; ok is false where it does not.
func instanceKind(i ics.Instance) (kind BusyKind, ok bool) {
	word := func(name string) string { return strings.ToUpper(strings.TrimSpace(propOf(i.Event, name))) }
	if i.Cancelled() || word("TRANSP") == "TRANSPARENT" {
		return 0, false
	}
	switch state := word("X-MICROSOFT-CDO-BUSYSTATUS"); {
	case state == "FREE", state == "WORKINGELSEWHERE":
		return 0, false
	case state == "OOF":
		return AwayTime, true
	case state == "TENTATIVE", word("STATUS") == "TENTATIVE":
		return TentativeTime, true
	}
	return BusyTime, true
}

// masked are the times of the event that does not count.
func (o ownTimes) masked(ctx context.Context) (map[ics.Span]bool, error) {
	out := map[ics.Span]bool{}
	if o.q.Mask == "" {
		return out, nil
	}
	found, err := o.w.Store.ObjectsOfUID(ctx, o.account.ID, uidForms(o.q.Mask)...)
	if err != nil {
		return nil, err
	}
	r := o.reader()
	for _, object := range found {
		if object, err = o.w.Store.Object(ctx, object.Calendar, object.Name); err != nil {
			if ignoreNotFound(err) != nil {
				return nil, err
			}
			continue
		}
		cal, err := ics.Decode(object.Data)
		if err != nil {
			continue
		}
		_ = r.Instances(cal, ics.Span{Start: o.q.Start, End: o.q.End}, func(i ics.Instance) bool {
			out[ics.Span{Start: i.Start.UTC(), End: i.End.UTC()}] = true
			return len(out) < maxBusyPeriods
		})
	}
	return out, nil
}
