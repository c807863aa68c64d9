package convert

import (
	"encoding/json"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// ownEvent are the steps for an event of the owner's own.
func (d *differ) ownEvent() error {
	w := d.want.master
	if isCancelled(w) && !isCancelled(d.base.master) && !isCancelled(d.now.master) {
		to := d.recipients(d.Series.Event.Attendees)
		step := Step{Op: OpDelete}
		if len(to) > 0 {
			step = Step{Op: OpCancel, Comment: commentOf(d.base.master, w), Mails: mail(MailCancellation, to)}
		}
		d.steps = []Step{step}
		return nil
	}
	c := change{base: d.base.master, now: d.now.master, want: w, event: d.Series.Event}
	f, err := d.ownFields(c)
	if err != nil {
		return err
	}
	resets, err := d.reschedule(f)
	if err != nil {
		return err
	}
	if len(f) > 0 {
		for _, call := range f.calls() {
			mails := append(d.updateMails(d.Series.Event, call), d.exceptionMails(call)...)
			d.steps = append(d.steps, Step{Op: OpUpdate, Fields: call.json(), Resets: resets, Mails: mails})
		}
		d.master = after(d.Series.Event, f)
	}
	if err := d.masterFiles(); err != nil {
		return err
	}
	if err := d.occurrences(); err != nil {
		return err
	}
	return d.occurrenceFiles()
}

// ownFields are the fields of one component that have changed, without its times.
func (d *differ) ownFields(c change) (fields, error) {
	f := fields{}
	if err := d.shared(c, f); err != nil {
		return nil, err
	}
	if err := d.people(c, f); err != nil {
		return nil, err
	}
	d.mine(c, f, false, false)
	return f, nil
}

// sameSchedule is whether two states of an object are at the same times.
func sameSchedule(a, b *contents) bool {
	return sameTimes(a.master, a.object, b.master, b.object) && sameRecurrence(a.object, b.object)
}

// reschedule says the times and the rule of the event, where they have changed. resets is as in Step.
func (d *differ) reschedule(f fields) (resets bool, err error) {
	rezoned := d.rezoned()
	if !rezoned && (sameSchedule(d.base, d.want) || sameSchedule(d.now, d.want)) {
		return false, nil
	}
	t, err := d.times(d.want.master, &d.Series.Event)
	if err != nil {
		return false, err
	}
	was, is := d.now.recurs(), d.want.recurs()
	if rezoned || was && !is || !sameTimes(d.now.master, d.now.object, d.want.master, d.want.object) {
		t.into(f, d.Series.Event)
	}
	if is {
		err = d.recurrence(t, f)
	} else if was {
		f["recurrence"] = nil
	}
	return was && is, err
}

// rezoned is whether the client says the times of an event that does not recur in another zone, by its name. One that says them in UTC, or in
// a zone that only its VTIMEZONE tells of, does not mean the zone: some programs write so whatever they change.
func (d *differ) rezoned() bool {
	if d.want.recurs() || d.now.recurs() {
		return false
	}
	return d.want.changesZone(ical.PropDateTimeStart, d.base, d.now) || d.want.changesZone(ical.PropDateTimeEnd, d.base, d.now)
}

// changesZone is whether c names another zone for a time of its event than the states before it do.
func (c *contents) changesZone(name string, before ...*contents) bool {
	want, ok := c.object.namedZone(c.master, name)
	if !ok || want.utc() {
		return false
	}
	for _, b := range before {
		if was, ok := b.object.namedZone(b.master, name); !ok || was.tzid == want.tzid {
			return false
		}
	}
	return true
}

// times are those of a component that the client wants; known is what it is of in Graph.
func (d *differ) times(c *ical.Component, known *graph.Event) (graphTime, error) {
	t, losses, err := graphTimes(c, d.want.object, d.Series, known)
	for _, l := range losses {
		d.note(l.Field, l.Reason)
	}
	return t, err
}

// into says start and end, which go together, and isAllDay where it is another than that of e.
func (t graphTime) into(f fields, e graph.Event) {
	f["start"], f["end"] = t.Start, t.End
	if t.IsAllDay != e.IsAllDay {
		f["isAllDay"] = t.IsAllDay
	}
}

// recurrence says the rule of the event that is at t.
func (d *differ) recurrence(t graphTime, f fields) error {
	var served *object
	if d.now != nil {
		served = d.now.object
	}
	r, err := graphRecurrence(d.want.object, t, d.Series, served)
	if err != nil {
		return err
	}
	f["recurrence"] = recurrenceJSON(*r)
	return nil
}

// sameTime is whether two instances are at the same time.
func sameTime(a, b ics.Instance) bool {
	return a.AllDay() == b.AllDay() && a.Start.Equal(b.Start) && a.End.Equal(b.End)
}

// occurrences are the steps for the occurrences of the owner's own series: those that are changed, oldest first, then those that
// are removed.
func (d *differ) occurrences() error {
	if !d.want.recurs() {
		return nil
	}
	sets, err := d.dates()
	if err != nil {
		return err
	}
	for _, date := range sets.changed {
		f, e, err := d.occurrence(date)
		if err != nil {
			return err
		}
		if len(f) == 0 {
			continue
		}
		if d.now != nil && d.now.excluded[date] {
			return undeletes(date)
		}
		for _, call := range f.calls() {
			d.steps = append(d.steps, Step{Op: OpUpdate, Occurrence: date, ID: d.exceptions[date].ID, Fields: call.json(), Mails: d.updateMails(e, call)})
		}
	}
	for _, date := range sets.removed {
		e := d.eventOn(date)
		step := Step{Op: OpDelete, Occurrence: date, ID: d.exceptions[date].ID, Mails: mail(MailCancellation, d.recipients(e.Attendees))}
		if comment := d.removalComment(date); comment != "" && len(step.Mails) > 0 {
			step.Op, step.Comment = OpCancel, comment
		}
		d.steps = append(d.steps, step)
	}
	return d.checkMoves()
}

// checkMoves refuses what Outlook does of the moved occurrences.
func (d *differ) checkMoves() error {
	days := map[string]time.Time{}
	for date, c := range d.want.parts {
		t, err := d.want.localDay(c, d.want.object)
		if err != nil {
			return err
		}
		days[date] = t
	}
	var changed []string
	for _, s := range d.steps {
		var f map[string]json.RawMessage
		if s.Op == OpUpdate && s.Occurrence != "" && json.Unmarshal(s.Fields, &f) == nil && f["start"] != nil {
			changed = append(changed, s.Occurrence)
		}
	}
	return checkMoves(d.want.object, days, changed)
}

// removalComment is what the client has written about an occurrence that it removes, if it says so by an override.
func (d *differ) removalComment(date string) string {
	for _, c := range d.want.overrides {
		m, err := d.want.reader.Moment(d.want.cal, propOf(c, ical.PropRecurrenceID))
		if err == nil && d.want.date(m) == date {
			return commentOf(d.had(date), c)
		}
	}
	return commentOf(d.had(""), d.want.master)
}

// had is the component that the client had for a date, "" for the series; nil for none.
func (d *differ) had(date string) *ical.Component {
	if d.base == nil {
		return nil
	}
	return d.base.component(date)
}

// eventOn is an occurrence as Graph has it before its step.
func (d *differ) eventOn(date string) graph.Event {
	if e, ok := d.exceptions[date]; ok {
		return e
	}
	return d.master
}

// dateSets are the occurrences that a client has touched, by their dates, in order.
type dateSets struct {
	changed []string // with an override, now or before
	removed []string // excluded now and not before
}

// dates finds them, and refuses what no occurrence can be.
func (d *differ) dates() (dateSets, error) {
	var s dateSets
	had := func(date string) bool {
		return d.base != nil && (d.base.parts[date] != nil || d.now.parts[date] != nil)
	}
	wasGone := func(date string) bool { return d.base != nil && d.base.excluded[date] && d.now.excluded[date] }
	asked := map[string]bool{}
	for date := range d.want.excluded {
		asked[date] = true
	}
	for date := range d.want.parts {
		asked[date] = true
	}
	if d.base != nil {
		for date := range d.base.parts {
			asked[date] = true
		}
		for date := range d.base.excluded {
			asked[date] = true
		}
	}
	rescheduled := d.now != nil && !sameSchedule(d.now, d.want)
	hits, err := d.want.hitsOn(sortedKeys(asked))
	if err != nil {
		return s, err
	}
	for _, date := range sortedKeys(asked) {
		part, gone := d.want.parts[date] != nil, d.excludes(date)
		part = part && !gone
		switch {
		case !hits[date] && part && !had(date) && !d.Repair:
			return s, refuse(RefusedObject, "The series has no occurrence on %s that could be changed.", dayText(date))
		case part && wasGone(date), !part && !gone && wasGone(date) && hits[date] && !d.shifted(date):
			if !d.Repair && !(part && d.declined(d.want.parts[date])) {
				return s, undeletes(date)
			}
		case part && !hits[date] && rescheduled:
			d.note("recurrence", "The series has no occurrence on "+dayText(date)+" any more; the change of it is gone.")
		case part:
			s.changed = append(s.changed, date)
		case gone && hits[date] && !(d.now != nil && d.now.excluded[date]):
			s.removed = append(s.removed, date)
		case !gone && hits[date] && d.base != nil && d.base.parts[date] != nil:
			s.changed = append(s.changed, date) // back to what the series has
		}
	}
	return s, nil
}

func undeletes(date string) error {
	return refuse(RefusedObject, "Outlook cannot restore a deleted occurrence (%s). Make a new event for that day.", dayText(date))
}

// declined is whether an occurrence is one that the owner has declined: Outlook has removed it, and the client may not know yet.
func (d *differ) declined(c *ical.Component) bool {
	return d.role == invited && d.partStat(c, "") == "DECLINED"
}

// excludes is whether the client wants no occurrence on a date. One that is both excluded and modified is modified, as programs
// read it, unless the client has excluded it just now and left an old override behind.
func (d *differ) excludes(date string) bool {
	part := d.want.parts[date]
	if !d.want.excluded[date] || part == nil {
		return d.want.excluded[date]
	}
	return d.base != nil && d.base.parts[date] != nil && !d.base.excluded[date] && sameContent(part, d.base.parts[date])
}

// shifted is whether an exclusion has moved together with its series.
func (d *differ) shifted(date string) bool {
	days := d.want.startDate().Sub(d.base.startDate())
	return days != 0 && d.want.excluded[d.want.on(date).Clock.Wall.Add(days).Format("2006-01-02")]
}

// occurrence are the fields of an occurrence that the client has changed, and the event that it is.
func (d *differ) occurrence(date string) (fields, graph.Event, error) {
	e := d.eventOn(date)
	part := d.want.parts[date]
	if part == nil {
		f, err := d.revert(date, e)
		return f, e, err
	}
	c := change{base: d.want.master, now: d.want.master, want: part, event: e}
	base, now := d.want.on(date), d.want.on(date)
	var err error
	if d.base != nil && (d.base.parts[date] != nil || d.now.parts[date] != nil) {
		c.base, c.now = d.base.component(date), d.now.component(date)
		if base, err = d.base.instance(date); err == nil {
			now, err = d.now.instance(date)
		}
		if err != nil {
			return nil, e, err
		}
	}
	f, err := d.ownFields(c)
	if err != nil {
		return nil, e, err
	}
	want, err := d.want.event(part)
	if err != nil {
		return nil, e, err
	}
	if !sameTime(want, base) && !sameTime(want, now) {
		t, err := d.times(part, &e)
		if err != nil {
			return nil, e, err
		}
		t.into(f, e)
	}
	return f, e, nil
}

// revert are the fields that make a modified occurrence what its series has.
func (d *differ) revert(date string, e graph.Event) (fields, error) {
	if _, ok := d.exceptions[date]; !ok || d.now.parts[date] == nil {
		return nil, nil
	}
	part := d.now.parts[date]
	c := change{base: part, now: part, want: d.want.master, event: e}
	body := func(c *ical.Component) string { return tidy(textOf(c, ical.PropDescription)) }
	same := *part
	same.Props = ical.Props{}
	for name, props := range part.Props {
		same.Props[name] = props
	}
	// Of the body, the series' own is the best there is.
	same.Props[ical.PropDescription] = d.want.master.Props[ical.PropDescription]
	same.Props["X-ALT-DESC"] = d.want.master.Props["X-ALT-DESC"]
	withoutBody := c
	withoutBody.base, withoutBody.now = &same, &same
	f, err := d.ownFields(withoutBody)
	if err != nil {
		return nil, err
	}
	if body(part) != body(d.want.master) {
		f["body"] = d.master.Body
	}
	now, err := d.now.event(part)
	if err != nil {
		return nil, err
	}
	if plain := d.want.on(date); !sameTime(now, plain) {
		t, err := d.times(d.plain(plain), &e)
		if err != nil {
			return nil, err
		}
		t.into(f, e)
	}
	return f, nil
}

// plain is a component that has the times of an instance.
func (d *differ) plain(i ics.Instance) *ical.Component {
	c := ical.NewComponent(ical.CompEvent)
	p := d.want.master.Props.Get(ical.PropDateTimeStart)
	zone := p.Params.Get(ical.ParamTimezoneID)
	put := func(name, value string) {
		q := ical.NewProp(name)
		q.Value = value
		if zone != "" {
			q.Params.Set(ical.ParamTimezoneID, zone)
		}
		if i.AllDay() {
			q.Params.Set(ical.ParamValue, "DATE")
		}
		c.Props.Set(q)
	}
	if i.AllDay() {
		put(ical.PropDateTimeStart, i.Clock.Wall.Format(ics.DateForm))
		put(ical.PropDateTimeEnd, i.Clock.Wall.AddDate(0, 0, max(i.Length.Days, 1)).Format(ics.DateForm))
		return c
	}
	form := ics.WallForm
	if zone == "" && i.Clock.Loc != nil {
		form = ics.UTCForm
	}
	put(ical.PropDateTimeStart, i.Clock.Wall.Format(form))
	loc := i.Clock.Loc
	if loc == nil {
		loc = d.want.mailbox.location()
	}
	put(ical.PropDateTimeEnd, ics.Wall(i.End, loc).Format(form))
	return c
}
