package write

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/bridge/round"
	"outbridge/caldav/ics"
)

// Move gives an object another name in its calendar, which Outlook knows nothing of, or puts an appointment into another calendar
// of the account: Outlook has no such operation, so it becomes a new event there and goes here. A meeting would be cancelled and
// its people invited anew, so it is refused.
func (w *Writer) Move(ctx context.Context, r Request) (Result, error) {
	if r.To.ID == r.Calendar.ID {
		return w.rename(ctx, r)
	}
	return w.transfer(ctx, r, bridge.IntentMove)
}

// Copy makes an appointment once more in another calendar.
func (w *Writer) Copy(ctx context.Context, r Request) (Result, error) {
	if r.To.ID == r.Calendar.ID {
		return Result{}, refuse(convert.RefusedUID, "A calendar cannot have two events with one UID; make a new event instead.")
	}
	return w.transfer(ctx, r, bridge.IntentPut)
}

// source finds what is to be moved, and has the turn of its series, whose end is never nil.
func (w *Writer) source(ctx context.Context, e *edit) (t target, mine turn, err error) {
	for {
		if t, err = w.find(ctx, e.account.ID, e.r.Calendar, e.r.Name, ""); err != nil {
			return t, nobodys, err
		}
		if !t.exists {
			return t, nobodys, ErrNotFound
		}
		if mine, err = w.lock(ctx, t.key(e.account.ID, "")); err != nil {
			return t, nobodys, err
		}
		again, err := w.find(ctx, e.account.ID, e.r.Calendar, e.r.Name, "")
		if err != nil {
			return t, mine, err
		}
		if again.exists && again.object.Series == t.object.Series {
			return again, mine, nil
		}
		mine.end()
	}
}

// free refuses a name that an object has.
func (w *Writer) free(ctx context.Context, c bridge.CalendarID, name string) error {
	_, err := w.Store.Object(ctx, c, name)
	if err == nil {
		return ErrPrecondition
	}
	return ignoreNotFound(err)
}

// rename gives an object another name within its calendar.
func (w *Writer) rename(ctx context.Context, r Request) (Result, error) {
	e, err := w.moving(ctx, r, bridge.IntentMove)
	if err != nil {
		return Result{}, err
	}
	wait, cancel := context.WithTimeout(ctx, w.budget())
	defer cancel()
	t, mine, err := w.source(wait, e)
	defer mine.end()
	if err != nil {
		return Result{}, err
	}
	if _, err := w.base(ctx, r.Match, t, nil, e.own()); err != nil {
		return Result{}, err
	}
	if t.object.Name == r.ToName {
		return Result{Object: t.object}, nil
	}
	if err := w.free(ctx, t.cal.ID, r.ToName); err != nil {
		return Result{}, err
	}
	j := &job{w: w, m: e.m, account: e.account, cal: t.cal, silent: r.Silent, client: r.Client}
	// It keeps the UID that clients know it by.
	if err := w.Store.SetName(ctx, bridge.Name{Calendar: t.cal.ID, Series: t.object.Series, Object: r.ToName, UID: t.object.UID}); err != nil {
		return Result{}, err
	}
	if err := j.publish(ctx, t.object.Series); err != nil {
		return Result{}, err
	}
	i := e.intent(t, j, convert.Plan{}, nil)
	i.Name, i.Octets, i.Base, i.State = r.ToName, nil, nil, bridge.IntentDone
	if _, err := w.Store.AddIntent(ctx, i); err != nil {
		return Result{}, err
	}
	o, err := w.Store.Object(ctx, t.cal.ID, r.ToName)
	return Result{Object: o, Created: true}, err
}

func (w *Writer) moving(ctx context.Context, r Request, operation string) (*edit, error) {
	w.setUp()
	m, err := w.Mailbox(ctx, r.Account)
	if err != nil {
		return nil, err
	}
	a, err := w.Store.Account(ctx, r.Account)
	if err != nil {
		return nil, err
	}
	e := &edit{w: w, r: r, m: m, account: a, operation: operation}
	for _, c := range []bridge.Calendar{r.Calendar, r.To} {
		if err := mayWrite(m, c); err != nil && (operation == bridge.IntentMove || c.ID == r.To.ID) {
			return nil, e.refused(ctx, err)
		}
	}
	return e, nil
}

// transfer is Move and Copy to another calendar.
func (w *Writer) transfer(ctx context.Context, r Request, operation string) (Result, error) {
	e, err := w.moving(ctx, r, operation)
	if err != nil {
		return Result{}, err
	}
	wait, cancel := context.WithTimeout(ctx, w.budget())
	defer cancel()
	t, mine, err := w.source(wait, e)
	handedOver := false
	defer func() {
		if !handedOver {
			mine.end()
		}
	}()
	if err != nil {
		return Result{}, err
	}
	j, err := e.transfer(ctx, t)
	if err != nil {
		return Result{}, e.refused(ctx, err)
	}
	if j.intent, err = w.Store.AddIntent(ctx, j.intent); errors.Is(err, bridge.ErrExists) {
		return Result{}, &Busy{After: retryAfter, Sentence: "An earlier change of this event is still being carried out; try again."}
	} else if err != nil {
		return Result{}, err
	}
	handedOver, e.kept = true, true
	result, err := w.begin(wait, j.run, mine)
	return result, e.refused(ctx, err)
}

// transfer plans it.
func (e *edit) transfer(ctx context.Context, t target) (*job, error) {
	w, r := e.w, e.r
	if _, err := w.base(ctx, r.Match, t, nil, e.own()); err != nil {
		return nil, err
	}
	if err := w.free(ctx, r.To.ID, r.ToName); err != nil {
		return nil, err
	}
	if r.To.Mailbox != r.Calendar.Mailbox {
		return nil, refuse(convert.RefusedReadOnly, "Outlook keeps these calendars in different mailboxes; make the event anew in the other calendar, and delete it here.")
	}
	from := &job{w: w, m: e.m, account: e.account, cal: t.cal}
	if err := from.load(ctx, t.object.Series); err != nil {
		return nil, err
	}
	if !from.exists || from.current == nil {
		return nil, ErrNotFound
	}
	if err := mayTouch(e.m, t.cal, from.series); err != nil {
		return nil, err
	}
	if len(from.series.Event.Attendees) > 0 || isMeeting(from.current) || !from.series.Event.IsOrganizer {
		return nil, refuse(convert.RefusedOrganizer, "Outlook would cancel the meeting and invite everybody again if it went to another calendar; move it in Outlook.")
	}
	j := &job{w: w, m: e.m, account: e.account, cal: r.To, want: from.current, client: r.Client, created: true,
		zones: [2]string{from.series.Event.OriginalStartTimeZone, from.series.Event.OriginalEndTimeZone}}
	plan, err := j.plan(ctx)
	if err != nil {
		return nil, err
	}
	if err := keepBody(&plan, from.series.Event); err != nil {
		return nil, err
	}
	if err := from.copyFiles(ctx, &plan); err != nil {
		return nil, err
	}
	if e.operation == bridge.IntentMove {
		plan.Steps = append(plan.Steps, convert.Step{Op: convert.OpDelete, ID: t.object.Series})
	}
	if err := mayMail(e.m, r.To, plan); err != nil {
		return nil, err
	}
	if err := w.mayGo(ctx, e.account, plan); err != nil {
		return nil, err
	}
	overlay, err := w.Store.Overlay(ctx, t.cal.ID, t.object.Series)
	if err != nil {
		return nil, ignoreNotFound(err)
	}
	if len(overlay.Parts) > 0 {
		plan.Overlay = &overlay
	}
	j.intent = e.intent(target{cal: r.To}, j, plan, nil)
	j.intent.Name, j.intent.UID, j.intent.Summary = r.ToName, t.object.UID, summaryOf(from.current)
	var b bytes.Buffer
	if err := ics.Encode(&b, from.current); err != nil {
		return nil, err
	}
	j.intent.Octets = b.Bytes()
	return j, nil
}

// copyFiles has the new event get what is attached to this one, as Outlook has it. What cannot be copied would be lost where the event
// moves, so that is refused.
func (j *job) copyFiles(ctx context.Context, p *convert.Plan) error {
	p.Steps = slices.DeleteFunc(p.Steps, func(s convert.Step) bool { return s.Op == convert.OpAttach })
	g, ok := j.m.graphOf(j.cal)
	if !ok || len(p.Steps) == 0 {
		return nil
	}
	files := func(e graph.Event) ([]graph.Attachment, error) {
		pictures := strings.Contains(e.Body.Content, "cid:")
		if !e.HasAttachments && !pictures {
			return nil, nil
		}
		list, err := g.Attachments(ctx, j.cal.GraphID, e.ID)
		if err != nil {
			return nil, err
		}
		var files []graph.Attachment
		for _, a := range list {
			switch {
			case a.IsInline && !pictures:
			case a.IsInline:
				return nil, refuse(convert.RefusedAttachment, "There are pictures in the text of the event, which would get lost on the way; move it in Outlook.")
			case a.Kind != graph.FileAttachment && a.Kind != "":
				return nil, refuse(convert.RefusedAttachment, "A message or a link to a file in the cloud is attached to the event, and would get lost on the way; move it in Outlook.")
			case a.Size > MaxFile+fileOverhead:
				return nil, refuse(convert.RefusedAttachment, "The file %s has more than 25 MiB; move the event in Outlook.", a.Name)
			default:
				files = append(files, a)
			}
		}
		return files, nil
	}
	step := func(op convert.Op, date string, e graph.Event, a graph.Attachment) convert.Step {
		f := &convert.Attachment{Name: a.Name, Type: a.ContentType, Size: a.Size}
		if op == convert.OpAttach {
			f.ID, f.From = string(a.ID), &convert.Source{Calendar: int64(j.cal.ID), Event: e.ID}
		}
		return convert.Step{Op: op, Occurrence: date, Attachment: f}
	}
	master, err := files(j.series.Event)
	if err != nil {
		return err
	}
	var first, last []convert.Step // those of the series before it has exceptions, which begin with copies of them
	for _, a := range master {
		first = append(first, step(convert.OpAttach, "", j.series.Event, a))
	}
	has := func(list []graph.Attachment, a graph.Attachment) bool {
		return slices.ContainsFunc(list, func(b graph.Attachment) bool { return a.Name == b.Name && a.Size == b.Size })
	}
	seen := map[string]bool{}
	for _, e := range slices.Concat(j.series.Exceptions, j.series.Event.ExceptionOccurrences) {
		date := graph.OccurrenceDate(e.OccurrenceID)
		if date == "" || seen[date] || e.Removed != nil {
			continue
		}
		seen[date] = true
		own, err := files(e)
		if err != nil {
			return err
		}
		for _, a := range own {
			if !has(master, a) {
				last = append(last, step(convert.OpAttach, date, e, a))
			}
		}
		for _, a := range master {
			if !has(own, a) {
				last = append(last, step(convert.OpDetach, date, e, a))
			}
		}
	}
	p.Steps = slices.Concat(p.Steps[:1], first, p.Steps[1:], last)
	return nil
}

// keepBody has the new event get the text of the old one as Outlook has it, where that is more than the plain text.
func keepBody(p *convert.Plan, e graph.Event) error {
	if len(p.Steps) == 0 || p.Steps[0].Op != convert.OpCreate || !strings.EqualFold(e.Body.ContentType, "html") || strings.TrimSpace(e.Body.Content) == "" {
		return nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(p.Steps[0].Fields, &fields); err != nil {
		return fmt.Errorf("the fields of a new event: %w", err)
	}
	body, err := json.Marshal(graph.ItemBody{ContentType: "html", Content: e.Body.Content})
	if err != nil {
		return err
	}
	fields["body"] = body
	p.Steps[0].Fields, err = json.Marshal(fields)
	return err
}

// sourceOf is the calendar that an event is to move away from. ok is false where none has it any more.
func (j *job) sourceOf(ctx context.Context, id graph.EventID) (c bridge.Calendar, ok bool, err error) {
	list, err := j.w.Store.Calendars(ctx, j.account.ID)
	if err != nil {
		return c, false, err
	}
	for _, c := range list {
		rows, err := j.w.Store.SeriesRows(ctx, c.ID, id)
		if err != nil {
			return c, false, err
		}
		if len(rows) > 0 && c.ID != j.cal.ID {
			return c, true, nil
		}
	}
	return c, false, nil
}

// removeSource deletes an event that has moved away, and takes it off the calendar that it was in.
func (j *job) removeSource(ctx context.Context, g Graph, s convert.Step) (bridge.StepResult, error) {
	done := bridge.StepResult{ID: s.ID}
	c, ok, err := j.sourceOf(ctx, s.ID)
	if err != nil || !ok {
		return done, err
	}
	r := g.Events(ctx, c.GraphID, []graph.EventID{s.ID})[0]
	if r.Err != nil && !graph.IsNotFound(r.Err) {
		return done, outcome(r.Err)
	}
	if r.Err == nil {
		err := g.Changes(ctx, c.GraphID, "UTC", []graph.Change{{ID: s.ID, ETag: r.Event.ETag}})[0].Err
		if err != nil && !isGone(err) {
			return done, outcome(err)
		}
	}
	if err := j.w.Store.SetFence(context.WithoutCancel(ctx), c.ID, s.ID, bridge.Fence{At: j.w.now(), Gone: true}); err != nil {
		return done, err
	}
	_, err = j.w.Rounds.RefreshKnown(ctx, j.m.Mailbox, c, round.Known{Series: s.ID, Gone: true})
	return done, err
}
