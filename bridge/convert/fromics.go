package convert

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
)

// FromICS is the plan that makes of a calendar object what a client wants of it, in Outlook and beside it. It compares three
// states by what they mean: what the client has not changed against what it had is not written, whatever form the client gives
// it, and what it has changed is applied to the present state. An object as ToICS makes it is an empty plan.
//
// Either all of the plan can be carried out, as far as is known here, or the error is a *Refusal and nothing is to be done.
// Other errors mean that the present state cannot be read.
func FromICS(e Edit) (Plan, []Loss, error) {
	d := &differ{Edit: e, own: addressesOf(e)}
	plan, err := d.plan()
	if err != nil {
		return Plan{}, d.losses, err
	}
	plan.Files = e.Files
	return plan, d.losses, nil
}

// differ is the work on one Edit.
type differ struct {
	Edit
	own  addresses
	role role

	base, now, want *contents
	earlier         *contents              // of Edit.Earlier; nil: none
	exceptions      map[string]graph.Event // by their dates, with what they have from their master
	master          graph.Event            // as it is once its own step is done
	steps           []Step
	losses          []Loss
}

func (d *differ) note(field, reason string) {
	l := Loss{Event: d.Series.Event.ID, Field: field, Reason: reason}
	if !slices.Contains(d.losses, l) {
		d.losses = append(d.losses, l)
	}
}

func (d *differ) plan() (Plan, error) {
	if d.Current == nil && d.New == nil {
		return Plan{}, nil
	}
	if d.Current != nil {
		d.role = roleIn(d.Series.Event, d.own)
		d.readExceptions()
	}
	if d.New == nil {
		return d.remove()
	}
	if d.Current == nil {
		return d.create()
	}
	return d.update()
}

// readExceptions finds the modified occurrences of the series as Graph has them.
func (d *differ) readExceptions() {
	d.exceptions = map[string]graph.Event{}
	c := newConversion(d.Series)
	if !isMaster(c.Event) {
		return
	}
	w, err := c.times(c.Event, c.zoneOf(c.Event, nil))
	if err != nil {
		return
	}
	for _, e := range slices.Concat(d.Series.Exceptions, d.Series.Event.ExceptionOccurrences) {
		if t, from := c.originalDate(e, w); from != "" && e.Removed == nil {
			key := t.Format("2006-01-02")
			if old, ok := d.exceptions[key]; ok {
				e = inherit(e, estateOf(old, false))
			}
			d.exceptions[key] = e
		}
	}
	if len(d.exceptions) == 0 {
		return
	}
	base := estateOf(c.Event, true)
	for key, e := range d.exceptions {
		d.exceptions[key] = inherit(e, base)
	}
}

// read reads the three states.
func (d *differ) read() (err error) {
	if d.now, err = readContents(d.Current, d.Series, nil); err != nil {
		return fmt.Errorf("the object as it is served: %v", err) // which is no refusal of what the client sends
	}
	if err = d.now.index(false, false); err != nil {
		return fmt.Errorf("the object as it is served: %v", err) // which is no refusal of what the client sends
	}
	d.base = d.now
	if d.Base != nil {
		// What a client had and nobody can read any more is no help.
		if o, err := readContents(d.Base, d.Series, d.now); err == nil && o.index(false, false, d.now) == nil && o.master != nil {
			d.base = o
		}
	}
	if d.Earlier != nil {
		if o, err := readContents(d.Earlier, d.Series, d.now); err == nil && o.index(false, false) == nil {
			d.earlier = o
		}
	}
	if d.want, err = readContents(d.New, d.Series, d.now); err != nil {
		return err
	}
	if err := checkValues(d.want.events, d.now); err != nil && !d.Repair {
		return err
	}
	if d.now.master == nil {
		return fmt.Errorf("the object as it is served has no event but occurrences")
	}
	if size := writtenSize(d.New.Component); size > maxWritten && size > 2*writtenSize(d.Current.Component) {
		return errTooLarge
	}
	return d.align()
}

// align brings what the client wants to the dates of the others.
func (d *differ) align() error {
	w := d.want
	if w.master == nil { // only occurrences, of a series that stays as it is
		w.first, w.master, w.loc = d.now.first, d.now.master, d.now.loc
	}
	states := []*contents{d.now, d.base}
	if d.earlier != nil {
		states = append(states, d.earlier)
	}
	if err := d.index(states...); err != nil {
		return err
	}
	if w.master == d.now.master {
		w.excluded = maps.Clone(d.now.excluded)
		for date, c := range d.now.parts {
			if w.parts[date] == nil {
				w.parts[date] = c
			}
		}
	}
	for date, c := range w.parts {
		// Some programs say so that an occurrence is removed.
		if isCancelled(c) && !isCancelled(d.base.component(date)) && !isCancelled(d.now.component(date)) {
			delete(w.parts, date)
			w.excluded[date] = true
		}
	}
	return nil
}

// index sorts the occurrences that the client wants.
func (d *differ) index(others ...*contents) error {
	err := d.want.index(true, d.Repair, others...)
	for _, date := range d.want.strays {
		d.note("recurrence", "The series has no occurrence on "+dayText(date)+"; what the client has of one is left out.")
	}
	return err
}

func isCancelled(c *ical.Component) bool { return wordOf(c, ical.PropStatus) == "CANCELLED" }

// component is the override of a date, else the master.
func (o *contents) component(date string) *ical.Component {
	if c := o.parts[date]; c != nil {
		return c
	}
	return o.master
}

// update is the plan for an object that is there.
func (d *differ) update() (Plan, error) {
	if err := d.read(); err != nil {
		return Plan{}, err
	}
	if err := d.sameOrganizer(); err != nil {
		return Plan{}, err
	}
	d.master = d.Series.Event
	build := d.ownEvent
	if d.role == invited {
		build = d.invitation
	}
	if err := build(); err != nil {
		return Plan{}, err
	}
	plan := Plan{Steps: d.steps}
	if err := d.allowed(); err != nil {
		return Plan{}, err
	}
	if d.gone() {
		return plan, nil
	}
	var err error
	plan.Overlay, err = d.overlay()
	return plan, err
}

// gone is whether the last step takes the event away.
func (d *differ) gone() bool {
	if len(d.steps) == 0 {
		return false
	}
	s := d.steps[len(d.steps)-1]
	return s.Occurrence == "" && s.ID == "" && (s.Op == OpDelete || s.Op == OpCancel || s.Op == OpDecline)
}

// allowed checks the plan as a whole.
func (d *differ) allowed() error {
	occurrences, mails := 0, false
	for _, s := range d.steps {
		if s.Occurrence != "" {
			occurrences++
		}
		mails = mails || len(s.Mails) > 0 && d.role == owner
		if err := d.frozen(); err != nil {
			if !s.answers() || d.ReadOnly || d.private() || d.Series.Event.IsCancelled {
				return err
			}
		}
		if s.answers() && d.Delegated {
			return refuse(RefusedAttendee, "This invitation is to the owner of the calendar, who answers it.")
		}
	}
	if occurrences > maxOverrides {
		return refuse(RefusedObject, "More than %d occurrences of the series would change at once. Change the series itself, or fewer of its occurrences.", maxOverrides)
	}
	if mails && d.alone() {
		return refuse(RefusedOrganizer, "Outlook tells the people who are invited of this change, and cannot be kept from it. Save it with notifications, or make it in Outlook.")
	}
	return nil
}

// answers is whether a step is an answer to an invitation.
func (s Step) answers() bool { return s.Op == OpAccept || s.Op == OpTentative || s.Op == OpDecline }

// remove is the plan for an object that goes.
func (d *differ) remove() (Plan, error) {
	e := d.Series.Event
	if d.ReadOnly || d.private() {
		return Plan{}, d.frozen()
	}
	step := Step{Op: OpDelete}
	switch {
	case d.role == owner:
		if to := d.recipients(e.Attendees); !e.IsCancelled {
			step.Mails = mail(MailCancellation, to)
		}
		if d.Silent && len(step.Mails) > 0 {
			return Plan{}, refuse(RefusedOrganizer, "Outlook tells the people who are invited that the meeting is cancelled, and cannot be kept from it. Delete it with notifications, or in Outlook.")
		}
	case d.declines(e):
		step = d.answer(OpDecline, e, "")
	}
	return Plan{Steps: []Step{step}}, nil
}

// declines is whether one who is invited declines what is removed; else it goes without a word.
func (d *differ) declines(e graph.Event) bool {
	response := strings.ToLower(e.ResponseStatus.Response)
	listed := slices.ContainsFunc(e.Attendees, func(a graph.Attendee) bool { return d.own.has(a.EmailAddress.Address) })
	return !d.Silent && !d.Delegated && !e.IsCancelled && response != "declined" && (listed || response != "none" && response != "")
}

// answer is the step of an answer to an invitation.
func (d *differ) answer(op Op, e graph.Event, comment string) Step {
	silent := deniesReply(e) || d.Silent || d.New != nil && d.alone()
	return Step{Op: op, Comment: comment, Silent: silent, Mails: d.reply(e, silent)}
}

// create is the plan for a new object.
func (d *differ) create() (Plan, error) {
	var err error
	if d.ReadOnly {
		return Plan{}, d.frozen()
	}
	if d.want, err = readContents(d.New, d.Series, nil); err != nil {
		return Plan{}, err
	}
	if err := checkValues(d.want.events, nil); err != nil {
		return Plan{}, err
	}
	if writtenSize(d.New.Component) > maxWritten {
		return Plan{}, errTooLarge
	}
	if err := d.sameOrganizer(); err != nil {
		return Plan{}, err
	}
	for _, c := range d.want.events {
		if p := organizerOf(c); p != nil && !d.own.is(p) {
			return Plan{}, refuse(RefusedOrganizer, "This is a meeting of %s, and Outlook would make it one of yours. Accept the invitation in Outlook or in your mail program; it then appears here by itself.", clip(addressOf(p)))
		}
	}
	w := d.want
	if w.master == nil {
		return Plan{}, refuse(RefusedObject, "The series that this occurrence belongs to is not in the calendar.")
	}
	if isCancelled(w.master) {
		return Plan{}, refuse(RefusedObject, "The event is cancelled, which a new event in Outlook cannot be.")
	}
	if err := d.index(); err != nil {
		return Plan{}, err
	}
	for date, c := range w.parts {
		if isCancelled(c) {
			delete(w.parts, date)
			w.excluded[date] = true
		}
	}
	f, err := d.newFields()
	if err != nil {
		return Plan{}, err
	}
	d.master = after(graph.Event{}, f)
	d.steps = append(d.steps, Step{Op: OpCreate, Fields: f.json(), Mails: mail(MailInvitation, d.recipients(d.master.Attendees))})
	if err := d.masterFiles(); err != nil {
		return Plan{}, err
	}
	if err := d.occurrences(); err != nil {
		return Plan{}, err
	}
	if err := d.occurrenceFiles(); err != nil {
		return Plan{}, err
	}
	if err := d.allowed(); err != nil {
		return Plan{}, err
	}
	overlay, err := d.overlay()
	return Plan{Steps: d.steps, Overlay: overlay}, err
}

var errTooLarge = refuse(RefusedSize, "The event is larger than one megabyte.")

// newFields is the body that creates the event: everything that differs from an event that says nothing, and what Outlook
// would else choose itself, which is a reminder.
func (d *differ) newFields() (fields, error) {
	nothing := ical.NewComponent(ical.CompEvent)
	c := change{base: nothing, now: nothing, want: d.want.master, fresh: true}
	f, err := d.ownFields(c)
	if err != nil {
		return nil, err
	}
	if f["isReminderOn"] == nil {
		f["isReminderOn"] = false
	}
	if f["showAs"] == nil {
		f["showAs"] = "busy"
	}
	if f["subject"] == nil {
		f["subject"] = ""
	}
	if f["attendees"] != nil && d.OnlineMeetings != "" {
		f["isOnlineMeeting"], f["onlineMeetingProvider"] = true, d.OnlineMeetings
	}
	t, err := d.times(d.want.master, nil)
	if err != nil {
		return nil, err
	}
	t.into(f, graph.Event{})
	if d.want.recurs() {
		return f, d.recurrence(t, f)
	}
	return f, nil
}

// after is an event with what an update says of it.
func after(e graph.Event, f fields) graph.Event {
	type plain graph.Event
	p := plain(e)
	if list, ok := f["attendees"]; ok && list != nil {
		p.Attendees = nil
	}
	if f["categories"] != nil {
		p.Categories = nil
	}
	_ = json.Unmarshal(f.json(), &p) // what was made of values that Event has
	return graph.Event(p)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// overlay is what is to be kept beside Outlook.
func (d *differ) overlay() (*Overlay, error) {
	var base, now *object
	if d.Base != nil {
		base = d.base.object
	}
	if d.now != nil {
		now = d.now.object
	}
	return overlayOf(base, now, readObject(d.New, d.Series, now), d.Series, d.Client)
}
