package convert

import (
	"slices"
	"strings"

	"outbridge/bridge/graph"
)

// answers are the actions for a PARTSTAT.
var answers = map[string]Op{"ACCEPTED": OpAccept, "TENTATIVE": OpTentative, "DECLINED": OpDecline}

// invitation are the steps for a meeting of somebody else: answers, what is the mailbox's own, and occurrences that are
// declined. What only the organizer decides is refused where it was meant, and ignored where a program has merely kept an old text.
func (d *differ) invitation() error {
	w := d.want
	if !sameSchedule(d.base, w) && !sameSchedule(d.now, w) {
		return errNotOrganizer
	}
	c := change{base: d.base.master, now: d.now.master, want: w.master, event: d.Series.Event, fresh: d.Base == nil && !d.Had}
	op, err := d.answered(c)
	if err != nil {
		return err
	}
	if err := d.invitedFiles(); err != nil {
		return err
	}
	if op == OpDecline {
		step := d.answer(op, c.event, commentOf(c.base, c.want))
		d.steps = []Step{step}
		return nil
	}
	f, err := d.invitedFields(c, op != "")
	if err != nil {
		return err
	}
	var shown fields
	if op != "" {
		shown = f.afterAnswer()
	}
	if len(f) > 0 {
		d.steps = append(d.steps, Step{Op: OpUpdate, Fields: f.json()})
		d.master = after(d.Series.Event, f)
	}
	if err := d.invitedOccurrences(op); err != nil {
		return err
	}
	if op != "" {
		d.steps = append(d.steps, d.answer(op, c.event, commentOf(c.base, c.want)))
	}
	if len(shown) > 0 {
		d.steps = append(d.steps, Step{Op: OpUpdate, Fields: shown.json()})
	}
	return nil
}

// afterAnswer takes out of the fields what an answer would undo: Outlook shows who accepts as busy, and who may come as tentative. That
// somebody is to be shown as busy is the answer's already.
func (f fields) afterAnswer() fields {
	is, ok := f["showAs"]
	delete(f, "showAs")
	if !ok || is == "busy" {
		return nil
	}
	return fields{"showAs": is}
}

var errNotOrganizer = refuse(RefusedAttendee, "Only the organizer can change when this meeting is. Answer the invitation, or ask the organizer for another time.")

// answered is the action for the owner's answer, "" where it has not changed.
func (d *differ) answered(c change) (Op, error) {
	stats := d.partStatsOf(c.want)
	for _, address := range sortedKeys(stats) {
		want := stats[address]
		// There is no way back to no answer.
		if want == "NEEDS-ACTION" || want == d.partStat(c.base, address) || want == d.partStat(c.now, address) {
			continue
		}
		op, ok := answers[want]
		if !ok {
			return "", refuse(RefusedAttendee, "Outlook knows only the answers “accepted”, “tentative” and “declined”.")
		}
		return op, nil
	}
	return "", nil
}

// invitedFields are the fields that are one's own in a meeting of somebody else.
func (d *differ) invitedFields(c change, answered bool) (fields, error) {
	others := d.others(c.want)
	delta := deltaOf(d.others(c.base), others)
	changed := len(others) > 0 && len(delta.added)+len(delta.removed) > 0
	if d.Base == nil { // what it has may be older, or of a mail that names few: that is no reason to lose an answer
		changed = len(delta.added) > 0 && !answered
	}
	if changed {
		return nil, refuse(RefusedAttendee, "Only the organizer can change who is invited to this meeting.")
	}
	f := fields{}
	d.mine(c, f, true, answered)
	return f, nil
}

// invitedOccurrences are the steps for single occurrences of a series to which one is invited. master is the answer to all of it.
func (d *differ) invitedOccurrences(master Op) error {
	if !d.want.recurs() {
		return nil
	}
	sets, err := d.dates()
	if err != nil {
		return err
	}
	var answers []Step
	own := map[string]bool{} // those that are answered by themselves, or go
	for _, date := range sets.removed {
		own[date] = true
	}
	for _, date := range sets.changed {
		part := d.want.parts[date]
		if part == nil {
			continue // what the organizer has changed stays so
		}
		c := change{base: d.want.master, now: d.want.master, want: part, event: d.eventOn(date), fresh: d.Base == nil && !d.Had}
		base, now := d.want.on(date), d.want.on(date)
		if d.base.parts[date] != nil || d.now.parts[date] != nil {
			c.base, c.now = d.base.component(date), d.now.component(date)
			if base, err = d.base.instance(date); err == nil {
				now, err = d.now.instance(date)
			}
		}
		if err != nil {
			return err
		}
		want, err := d.want.event(part)
		if err != nil {
			return err
		}
		if !sameTime(want, base) && !sameTime(want, now) {
			return errNotOrganizer
		}
		op, err := d.answered(c)
		if err != nil {
			return err
		}
		if op == master {
			op = "" // the answer to the series is one to each of its occurrences
		}
		f, err := d.invitedFields(c, op != "" || master != "")
		if err != nil {
			return err
		}
		id := d.exceptions[date].ID
		var shown fields
		if op != "" {
			shown = f.afterAnswer()
		}
		if len(f) > 0 && op != OpDecline {
			d.steps = append(d.steps, Step{Op: OpUpdate, Occurrence: date, ID: id, Fields: f.json()})
		}
		if op != "" {
			own[date] = true
			step := d.answer(op, c.event, commentOf(c.base, c.want))
			step.Occurrence, step.ID = date, id
			answers = append(answers, step)
			if len(shown) > 0 && op != OpDecline {
				answers = append(answers, Step{Op: OpUpdate, Occurrence: date, ID: id, Fields: shown.json()})
			}
		}
	}
	for _, date := range sets.removed {
		e := d.eventOn(date)
		step := Step{Op: OpDelete}
		if d.declines(e) && !d.alone() {
			step = d.answer(OpDecline, e, d.removalComment(date))
		}
		step.Occurrence, step.ID = date, d.exceptions[date].ID
		answers = append(answers, step)
	}
	for _, date := range sortedKeys(d.exceptions) {
		// The organizer has the answer to the series; that the modified ones follow is not certain, and clients leave them as they were.
		if e := d.exceptions[date]; master != "" && !own[date] && d.follows(e) {
			answers = append(answers, Step{Op: master, Occurrence: date, ID: e.ID, Silent: true})
		}
	}
	slices.SortStableFunc(answers, func(a, b Step) int { return orderOf(a.Op) - orderOf(b.Op) })
	d.steps = append(d.steps, answers...)
	return nil
}

// follows is whether an answer to the series is one to its occurrence e: it has had the same answer as the series.
func (d *differ) follows(e graph.Event) bool {
	return !e.IsCancelled && strings.EqualFold(e.ResponseStatus.Response, d.Series.Event.ResponseStatus.Response)
}

// orderOf has removals before answers.
func orderOf(op Op) int {
	if op == OpDelete {
		return 0
	}
	return 1
}
