package write

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/emersion/go-ical"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/bridge/round"
	"outbridge/caldav/ics"
)

// target is the object that a request is about.
type target struct {
	cal    bridge.Calendar
	object bridge.Object // whole
	exists bool
	// byUID: the client has guessed a name that nothing has, of an event that has another: it has the event by mail, and not yet
	// from here.
	byUID bool
	named bool // it was found by its name or an alias
}

func (t target) key(account bridge.AccountID, uid string) string {
	if t.exists {
		uid = t.object.UID
	}
	return seriesKey(account, uid)
}

// find looks for the object that a name or a UID is of. uid "" is not looked for.
func (w *Writer) find(ctx context.Context, a bridge.AccountID, c bridge.Calendar, name, uid string) (target, error) {
	t := target{cal: c}
	o, err := w.Store.Object(ctx, c.ID, name)
	if errors.Is(err, bridge.ErrNotFound) {
		o, err = w.aliased(ctx, c.ID, name)
	}
	if err == nil {
		t.object, t.exists, t.named = o, true, true
		return t, nil
	}
	if !errors.Is(err, bridge.ErrNotFound) || uid == "" {
		return t, ignoreNotFound(err)
	}
	list, err := w.Store.ObjectsOfUID(ctx, a, uidForms(uid)...)
	if err != nil {
		return t, err
	}
	for _, o := range list {
		if o.Deleted || o.Calendar != c.ID {
			continue
		}
		if t.object, err = w.Store.Object(ctx, c.ID, o.Name); err != nil {
			return t, ignoreNotFound(err)
		}
		t.exists, t.byUID = true, true
		return t, nil
	}
	return t, nil
}

func ignoreNotFound(err error) error {
	if errors.Is(err, bridge.ErrNotFound) {
		return nil
	}
	return err
}

// aliased finds an object by another name of it.
func (w *Writer) aliased(ctx context.Context, c bridge.CalendarID, name string) (bridge.Object, error) {
	n, err := w.Store.Named(ctx, c, name)
	if err != nil {
		return bridge.Object{}, err
	}
	if !n.Gone.IsZero() {
		return bridge.Object{}, bridge.ErrNotFound
	}
	o, err := w.Store.SeriesObject(ctx, c, n.Series)
	if err != nil {
		return o, err
	}
	return w.Store.Object(ctx, c, o.Name)
}

// elsewhere refuses a UID that an object of another calendar has (RFC 4791 §5.3.2.1, no-uid-conflict; RFC 6638 §3.2.4.1).
func (w *Writer) elsewhere(ctx context.Context, a bridge.AccountID, c bridge.Calendar, uid string, meeting bool) error {
	list, err := w.Store.ObjectsOfUID(ctx, a, uidForms(uid)...)
	if err != nil {
		return err
	}
	for _, o := range list {
		if o.Deleted || o.Calendar == c.ID {
			continue
		}
		whole, err := w.Store.Object(ctx, o.Calendar, o.Name)
		if errors.Is(err, bridge.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		// Programs move an appointment by adding it to one calendar and deleting it in the other.
		if had, err := ics.Decode(whole.Data); err == nil && !meeting && !isMeeting(had) {
			continue
		}
		r := refuse(convert.RefusedUID, "This event is in another of your calendars already; change it there, or move it there in Outlook.")
		r.Calendar, r.Object = o.Calendar, o.Name
		return r
	}
	return nil
}

// events are the VEVENTs of an object.
func events(cal *ical.Calendar) []*ical.Component {
	if cal == nil {
		return nil
	}
	return ics.Children(cal.Component, ical.CompEvent)
}

func propOf(c *ical.Component, name string) string {
	if p := c.Props.Get(name); p != nil {
		return p.Value
	}
	return ""
}

// uidOf is the UID of an object, "" where it has none.
func uidOf(cal *ical.Calendar) string {
	for _, e := range events(cal) {
		return strings.TrimSpace(propOf(e, ical.PropUID))
	}
	return ""
}

func summaryOf(cal *ical.Calendar) string {
	for _, e := range events(cal) {
		if e.Props.Get(ical.PropRecurrenceID) == nil {
			return ics.UnescapeText(propOf(e, ical.PropSummary))
		}
	}
	return ""
}

func isMeeting(cal *ical.Calendar) bool {
	return slices.ContainsFunc(events(cal), func(e *ical.Component) bool { return e.Props.Get(ical.PropAttendee) != nil })
}

func isSeries(cal *ical.Calendar) bool {
	return slices.ContainsFunc(events(cal), func(e *ical.Component) bool {
		return e.Props.Get(ical.PropRecurrenceRule) != nil || e.Props.Get(ical.PropRecurrenceID) != nil || e.Props.Get(ical.PropRecurrenceDates) != nil
	})
}

// organizer is the address of the one that an object names, in lower case, or "".
func organizer(cal *ical.Calendar) string {
	for _, e := range events(cal) {
		if v := propOf(e, ical.PropOrganizer); v != "" {
			return person(v)
		}
	}
	return ""
}

func isOwn(address string, own []string) bool {
	return slices.ContainsFunc(own, func(a string) bool { return strings.EqualFold(a, address) })
}

// answerOnly is what a client means that has an invitation from a mail: the event as it is here, with the answers that the client
// gives. The invitation in a mail knows nothing of one's own reminder and category.
func answerOnly(current, asked *ical.Calendar, own []string) *ical.Calendar {
	answers := map[string]string{} // by RECURRENCE-ID
	for _, e := range events(asked) {
		for _, p := range e.Props.Values(ical.PropAttendee) {
			if isOwn(person(p.Value), own) && p.Params.Get(ical.ParamParticipationStatus) != "" {
				answers[propOf(e, ical.PropRecurrenceID)] = p.Params.Get(ical.ParamParticipationStatus)
			}
		}
	}
	out := clone(current)
	for _, e := range events(out) {
		answer, ok := answers[propOf(e, ical.PropRecurrenceID)]
		if !ok {
			continue
		}
		for i := range e.Props[ical.PropAttendee] {
			if p := &e.Props[ical.PropAttendee][i]; isOwn(person(p.Value), own) {
				p.Params.Set(ical.ParamParticipationStatus, answer)
			}
		}
	}
	return out
}

// clone copies an object as deep as answerOnly changes it.
func clone(cal *ical.Calendar) *ical.Calendar {
	var copied func(c *ical.Component) *ical.Component
	copied = func(c *ical.Component) *ical.Component {
		d := &ical.Component{Name: c.Name, Props: ical.Props{}}
		for name, list := range c.Props {
			for _, p := range list {
				params := ical.Params{}
				for k, v := range p.Params {
					params[k] = slices.Clone(v)
				}
				d.Props[name] = append(d.Props[name], ical.Prop{Name: p.Name, Params: params, Value: p.Value})
			}
		}
		for _, child := range c.Children {
			d.Children = append(d.Children, copied(child))
		}
		return d
	}
	return &ical.Calendar{Component: copied(cal.Component)}
}

// invitation looks in Outlook for an event that an organizer elsewhere has, whose UID is not known here: it came after the last
// round. It is read and published where it is found.
func (w *Writer) invitation(ctx context.Context, m Mailbox, c bridge.Calendar, uid string) error {
	g, ok := m.graphOf(c)
	if !ok {
		return nil
	}
	cals, err := w.Store.Calendars(ctx, c.Account)
	if err != nil {
		return err
	}
	var ids []graph.CalendarID
	for _, other := range cals {
		if other.Mailbox == c.Mailbox {
			ids = append(ids, other.GraphID)
		}
	}
	lookFor := uid
	if e, ok := exchangeUID(uid); ok {
		lookFor = e
	}
	found, err := g.FindByICalUID(ctx, lookFor, ids...)
	if err != nil {
		return err
	}
	for _, f := range found {
		for _, other := range cals {
			if other.Mailbox == c.Mailbox && other.GraphID == f.Calendar {
				if _, err := w.Rounds.RefreshKnown(ctx, m.Mailbox, other, round.Known{Series: f.Event.ID}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
