package write

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

const (
	// longest is how long a job goes on by itself. What is left then is for Recover.
	longest = 5 * time.Minute
	// maxReplans is how often the rest of a job is worked out again since what there is was another than was thought.
	maxReplans = 2
	// maxRepairs is how often occurrences are put right after the times of their series changed.
	maxRepairs = 2
	// maxGroup is how many occurrences are written at once.
	maxGroup = 20
)

var (
	// errMoved: the event has changed since its steps were planned.
	errMoved = errors.New("the event has changed in Outlook meanwhile")
	// errDoubt: a step may have been done, and what there is tells.
	errDoubt = errors.New("the step may have been done")
	// errNotByDate: the mailbox knows no occurrence by its date.
	errNotByDate = errors.New("occurrences are not found by their dates")
	// errUndone: a step that mails has failed, and what there is tells that nothing was done.
	errUndone = errors.New("nothing was done in Outlook")
	// errUnknown: a step that mails may have been done, and what there is does not tell.
	errUnknown = errors.New("it is not known whether Outlook has sent the mail")
)

// begin runs what is kept as an intent, and waits for it as long as ctx lasts. It goes on without anybody who waits, and releases the
// series at its end.
func (w *Writer) begin(ctx context.Context, work func(context.Context) (Result, error), t turn) (Result, error) {
	type outcome struct {
		Result
		error
	}
	done := make(chan outcome, 1)
	w.running.Add(1)
	run, cancel := context.WithTimeout(context.WithoutCancel(ctx), longest)
	stop := context.AfterFunc(w.life, cancel)
	run, leave := t.within(run)
	go func() {
		defer w.running.Done()
		defer t.end()
		defer cancel()
		defer leave()
		defer stop()
		result, err := work(run)
		done <- outcome{result, err}
	}()
	select {
	case o := <-done:
		return o.Result, o.error
	case <-ctx.Done():
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return Result{}, ctx.Err()
		}
		return Result{}, &Busy{After: retryAfter, Sentence: "Outlook is slow; the change goes on in the background."}
	}
}

// run carries out what is left of the job and ends its intent, or leaves that open where trouble passes.
func (j *job) run(ctx context.Context) (Result, error) {
	return j.finish(ctx, j.all(ctx))
}

// all carries out the steps that are left, again and again where they turn out to be based on what is not so any more.
func (j *job) all(ctx context.Context) error {
	for replans := 0; ; {
		err := j.steps(ctx)
		switch {
		case err == nil:
			more, err := j.repair(ctx)
			if err != nil || !more {
				return err
			}
		case (errors.Is(err, errMoved) || errors.Is(err, errDoubt)) && replans < maxReplans:
			replans++
			if err := j.replan(ctx); err != nil {
				return err
			}
		case errors.Is(err, errMoved):
			return ErrPrecondition
		default:
			return err
		}
	}
}

// steps carries out what is left of the plan, and keeps each result before it goes on.
func (j *job) steps(ctx context.Context) error {
	for j.intent.Step < len(j.intent.Plan.Steps) {
		group := j.group()
		if !j.intent.Begun {
			j.intent.Begun = true
			if err := j.save(ctx); err != nil {
				return err
			}
		}
		results, err := j.do(ctx, group)
		for i, r := range results {
			j.intent.Mails += recipients(group[i])
			j.intent.Results = append(j.intent.Results, r)
			j.intent.Step++
		}
		// Of several some may have been done where others were not.
		j.intent.Begun = err != nil && (len(group) > 1 || errors.Is(err, errDoubt))
		if err == nil {
			j.afterReset(group[0])
		}
		if err == nil && j.intent.Step < len(j.intent.Plan.Steps) && !isAction(j.intent.Plan.Steps[j.intent.Step].Op) {
			j.intent.Begun = true // with the same write
		}
		if saveErr := j.save(ctx); saveErr != nil {
			return errors.Join(saveErr, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// afterReset puts off what is left of the occurrences of a series whose times or rule have just changed: what that has left of them
// is to be seen first, unless it is known to leave them as they were.
func (j *job) afterReset(s convert.Step) {
	if bridge.Is(j.m.Learned.KeepsExceptions) && bridge.Is(j.m.Learned.KeepsCancellations) {
		return
	}
	if !s.Resets || j.intent.Operation != bridge.IntentPut || j.want == nil {
		return
	}
	done, rest := j.intent.Plan.Steps[:j.intent.Step:j.intent.Step], j.intent.Plan.Steps[j.intent.Step:]
	for _, s := range rest {
		if s.Occurrence != "" && (s.Op == convert.OpUpdate || s.Op == convert.OpDelete) {
			j.putOff = append(j.putOff, s)
		} else {
			done = append(done, s)
		}
	}
	j.intent.Plan.Steps = done
}

func (j *job) save(ctx context.Context) error {
	j.intent.Changed = j.w.now()
	return j.w.Store.SaveIntent(context.WithoutCancel(ctx), j.intent)
}

// isAction reports whether an operation cannot be repeated: Graph neither knows it again nor holds it against an ETag.
func isAction(op convert.Op) bool {
	switch op {
	case convert.OpAccept, convert.OpTentative, convert.OpDecline, convert.OpCancel, convert.OpAttach:
		return true
	}
	return false
}

// group are the steps that are next and can go together: occurrences that are deleted. One that changes may depend on where the others
// are by then.
func (j *job) group() []convert.Step {
	rest := j.intent.Plan.Steps[j.intent.Step:]
	n := 0
	for n < len(rest) && n < maxGroup && rest[n].Occurrence != "" && rest[n].Op == convert.OpDelete {
		n++
	}
	return rest[:max(n, 1)]
}

// do carries out one step, or several of occurrences. There are results of those that are done, which are the first ones.
func (j *job) do(ctx context.Context, group []convert.Step) ([]bridge.StepResult, error) {
	g, ok := j.m.graphOf(j.cal)
	if !ok {
		return nil, refuse(convert.RefusedReadOnly, "This calendar cannot be changed from here.")
	}
	j.fresh = false
	s := group[0]
	j.known.Event, j.known.Gone = nil, false
	switch {
	case s.Op == convert.OpCreate:
		r, err := j.create(ctx, g, s)
		return results(r, err)
	case isAction(s.Op) && s.Op != convert.OpAttach:
		r, err := j.act(ctx, g, s)
		return results(r, err)
	case s.Op == convert.OpAttach || s.Op == convert.OpDetach:
		r, err := j.attach(ctx, g, s)
		return results(r, err)
	case s.Occurrence != "":
		return j.occurrences(ctx, g, group)
	case s.Op == convert.OpDelete && s.ID != "" && s.ID != j.intent.Series:
		r, err := j.removeSource(ctx, g, s)
		return results(r, err)
	}
	r, err := j.whole(ctx, g, s)
	return results(r, err)
}

func results(r bridge.StepResult, err error) ([]bridge.StepResult, error) {
	if err != nil {
		return nil, err
	}
	return []bridge.StepResult{r}, nil
}

// create makes the event. A second time it finds the one that was made.
func (j *job) create(ctx context.Context, g Graph, s convert.Step) (bridge.StepResult, error) {
	body, zone, err := j.createBody(s.Fields)
	if err != nil {
		return bridge.StepResult{}, err
	}
	var made graph.Event
	if j.recovering {
		if made, err = j.made(ctx, g); err != nil {
			return bridge.StepResult{}, outcome(err)
		}
	}
	if made.ID == "" {
		made, err = g.Create(ctx, j.cal.GraphID, zone, body)
		if id, ok := graph.DuplicateOf(err); ok {
			made, err = graph.Event{ID: id}, nil
		}
		if graph.WriteFault(err) == graph.FaultZone {
			if windows, ok := windowsZones(body); ok {
				made, err = g.Create(ctx, j.cal.GraphID, zone, windows)
			}
		}
		if made.ID == "" && (err == nil || errors.Is(err, graph.ErrMayHaveHappened)) {
			found, findErr := j.made(ctx, g)
			if findErr == nil && found.ID != "" {
				made, err = found, nil
			}
		}
	}
	switch {
	case err != nil:
		return bridge.StepResult{}, outcome(err)
	case made.ID == "":
		return bridge.StepResult{}, errUnknown
	}
	j.intent.Series = made.ID
	if err := j.nameIt(ctx); err != nil {
		return bridge.StepResult{}, err
	}
	return j.wrote(ctx, made)
}

// nameIt gives a new event the name and the UID that the client has chosen.
func (j *job) nameIt(ctx context.Context) error {
	return j.w.Store.SetName(context.WithoutCancel(ctx), bridge.Name{Calendar: j.cal.ID, Series: j.intent.Series, Object: j.intent.Name, UID: j.intent.UID})
}

// made finds the event that an earlier run has made.
func (j *job) made(ctx context.Context, g Graph) (graph.Event, error) {
	found, err := g.FindByProperty(ctx, j.cal.GraphID, graph.PropertyIntent, j.intent.Transaction)
	if err != nil || len(found) == 0 {
		return graph.Event{}, err
	}
	return found[0], nil
}

// createBody is the body of a create, with what it is known again by, and the zone that its answer is to be in.
func (j *job) createBody(fields json.RawMessage) (body []byte, zone string, err error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(fields, &all); err != nil {
		return nil, "", fmt.Errorf("the fields of a new event: %w", err)
	}
	var start graph.DateTimeTimeZone
	_ = json.Unmarshal(all["start"], &start)
	add := func(name string, v any) {
		if err == nil {
			all[name], err = json.Marshal(v)
		}
	}
	add("transactionId", j.intent.Transaction)
	properties := []graph.ExtendedProperty{{ID: graph.PropertyIntent, Value: j.intent.Transaction}}
	// Longer ones Exchange cannot search for.
	if len(j.intent.UID) < 255 {
		properties = append(properties, graph.ExtendedProperty{ID: graph.PropertyClientUID, Value: j.intent.UID})
	}
	if len(j.intent.Name) < 255 {
		properties = append(properties, graph.ExtendedProperty{ID: graph.PropertyObjectName, Value: j.intent.Name})
	}
	add("singleValueExtendedProperties", properties)
	if err != nil {
		return nil, "", err
	}
	body, err = json.Marshal(all)
	return body, start.TimeZone, err
}

// wrote takes Graph's answer to a write.
func (j *job) wrote(ctx context.Context, e graph.Event) (bridge.StepResult, error) {
	if e.ID == j.intent.Series {
		j.etag = e.ETag
		if e.Raw != nil {
			j.known.Event = &e
		}
	}
	if at, err := time.Parse(time.RFC3339Nano, e.LastModified); err == nil {
		if err := j.w.Store.SetFence(context.WithoutCancel(ctx), j.cal.ID, j.intent.Series, bridge.Fence{At: at}); err != nil {
			return bridge.StepResult{}, err
		}
	}
	return bridge.StepResult{ID: e.ID, ETag: e.ETag}, nil
}

// gone takes that the series was deleted.
func (j *job) gone(ctx context.Context) error {
	j.known.Gone = true
	return j.w.Store.SetFence(context.WithoutCancel(ctx), j.cal.ID, j.intent.Series, bridge.Fence{At: j.w.now(), Gone: true})
}

func (j *job) zone() string {
	if z := j.series.Event.OriginalStartTimeZone; z != "" {
		return z
	}
	return "UTC"
}

// whole changes or deletes the event, or the series as a whole.
func (j *job) whole(ctx context.Context, g Graph, s convert.Step) (bridge.StepResult, error) {
	id := j.intent.Series
	etag := j.etag
	if etag == "" {
		r := g.Events(ctx, j.cal.GraphID, []graph.EventID{id})[0]
		if graph.IsNotFound(r.Err) && s.Op == convert.OpDelete {
			return bridge.StepResult{ID: id}, j.gone(ctx)
		}
		if r.Err != nil {
			return bridge.StepResult{}, outcome(r.Err)
		}
		etag = r.Event.ETag
	}
	change := graph.Change{ID: id, ETag: etag}
	if s.Op == convert.OpUpdate {
		change.Fields = s.Fields
	}
	r := g.Changes(ctx, j.cal.GraphID, j.zone(), []graph.Change{change})[0]
	if graph.WriteFault(r.Err) == graph.FaultZone && change.Fields != nil {
		if windows, ok := windowsZones(change.Fields); ok {
			change.Fields = windows
			r = g.Changes(ctx, j.cal.GraphID, j.zone(), []graph.Change{change})[0]
		}
	}
	if s.Op == convert.OpDelete {
		if err := j.deleted(ctx, g, r); err != nil {
			return bridge.StepResult{}, outcome(err)
		}
		return bridge.StepResult{ID: id}, j.gone(ctx)
	}
	if r.Err != nil {
		j.etag = ""
		return bridge.StepResult{}, outcome(r.Err)
	}
	j.stale = true
	j.known.Resets = j.known.Resets || s.Resets
	return j.wrote(ctx, r.Event)
}

// isGone reports that what was to be deleted is not there (any more).
func isGone(err error) bool {
	switch graph.WriteFault(err) {
	case graph.FaultGone, graph.FaultDeleted:
		return true
	}
	return false
}

// deleted is nil where what was to be deleted is not there any more. Graph may say to a second deletion no more than that the request is
// invalid, which it says of others too.
func (j *job) deleted(ctx context.Context, g Graph, r graph.Result) error {
	if graph.WriteFault(r.Err) != graph.FaultDeleted {
		if isGone(r.Err) {
			return nil
		}
		return r.Err
	}
	now := g.Events(ctx, j.cal.GraphID, []graph.EventID{r.ID})[0]
	switch {
	case isGone(now.Err), graph.IsNotFound(now.Err):
		return nil
	case now.Err != nil:
		return now.Err
	}
	return fmt.Errorf("%w: %w", errMoved, r.Err)
}

// stepID is the event that a step is of, by the date of the rule where it is an occurrence without an id of its own.
func (j *job) stepID(s convert.Step) graph.EventID {
	switch {
	case s.ID != "":
		return s.ID
	case s.Occurrence != "":
		return graph.OccurrenceID(j.intent.Series, s.Occurrence)
	}
	return j.intent.Series
}

// act answers an invitation or cancels a meeting. It is not done again where it may have been done.
func (j *job) act(ctx context.Context, g Graph, s convert.Step) (bridge.StepResult, error) {
	id := j.stepID(s)
	if j.stale && s.Occurrence != "" {
		id = graph.OccurrenceID(j.intent.Series, s.Occurrence)
	}
	if j.recovering {
		isSo, _, err := j.isSo(ctx, g, s, id)
		if err != nil {
			return bridge.StepResult{}, outcome(err)
		}
		if isSo {
			return j.acted(ctx, s, id)
		}
		if recipients(s) > 0 {
			return bridge.StepResult{}, errUnknown
		}
	}
	send := func() error {
		if s.Op == convert.OpCancel {
			return g.Cancel(ctx, j.cal.GraphID, id, s.Comment)
		}
		return g.Respond(ctx, j.cal.GraphID, id, answers[s.Op], s.Comment, !s.Silent)
	}
	if s.Occurrence != "" && graph.OccurrenceDate(string(id)) != "" && bridge.IsNot(j.m.Learned.WritesOccurrences) {
		one, found, err := j.byInstances(ctx, g, s.Occurrence)
		if err != nil {
			return bridge.StepResult{}, outcome(err)
		}
		if found {
			id = one.ID
		}
	}
	err := send()
	if s.Occurrence != "" && s.ID == "" && graph.WriteFault(err) == graph.FaultGone && !errors.Is(err, graph.ErrMayHaveHappened) {
		one, found, findErr := j.byInstances(ctx, g, s.Occurrence)
		if findErr != nil {
			return bridge.StepResult{}, outcome(findErr)
		}
		if found {
			id = one.ID
			err = send()
		}
	}
	if errors.Is(err, graph.ErrMayHaveHappened) {
		isSo, now, lookErr := j.isSo(ctx, g, s, id)
		switch {
		case lookErr != nil:
			return bridge.StepResult{}, outcome(lookErr)
		case isSo:
			err = nil
		case recipients(s) > 0 && graph.IsOver(err) && now != "" && now == j.etagOf(id):
			return bridge.StepResult{}, fmt.Errorf("%w: %w", errUndone, err)
		case recipients(s) > 0:
			return bridge.StepResult{}, errUnknown
		}
	}
	if (s.Op == convert.OpDecline || s.Op == convert.OpCancel) && graph.WriteFault(err) == graph.FaultGone {
		err = nil
	}
	if err != nil {
		return bridge.StepResult{}, outcome(err)
	}
	return j.acted(ctx, s, id)
}

func (j *job) acted(ctx context.Context, s convert.Step, id graph.EventID) (bridge.StepResult, error) {
	j.etag, j.stale = "", true
	if (s.Op == convert.OpDecline || s.Op == convert.OpCancel) && s.Occurrence == "" && (s.ID == "" || s.ID == j.intent.Series) {
		return bridge.StepResult{ID: id}, j.gone(ctx)
	}
	return bridge.StepResult{ID: id}, nil
}

// isSo reports whether what an action is to bring about is so, and the ETag that the event has now.
func (j *job) isSo(ctx context.Context, g Graph, s convert.Step, id graph.EventID) (so bool, etag string, err error) {
	r := g.Events(ctx, j.cal.GraphID, []graph.EventID{id})[0]
	gone := graph.IsNotFound(r.Err)
	if r.Err != nil && !gone {
		return false, "", r.Err
	}
	response := r.Event.ResponseStatus.Response
	switch s.Op {
	case convert.OpAccept:
		so = response == "accepted"
	case convert.OpTentative:
		so = response == "tentativelyAccepted"
	case convert.OpDecline:
		so = gone || response == "declined"
	default:
		so = gone || r.Event.IsCancelled
	}
	return so, r.Event.ETag, nil
}

// etagOf is the ETag that an event had before the step, "" where that is not known.
func (j *job) etagOf(id graph.EventID) string {
	if id == j.intent.Series {
		return j.etag
	}
	if j.stale {
		return ""
	}
	for _, list := range [][]graph.Event{j.series.Exceptions, j.series.Event.ExceptionOccurrences} {
		for _, e := range list {
			if e.ID == id {
				return e.ETag
			}
		}
	}
	return ""
}
