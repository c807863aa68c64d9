package write

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/bridge/round"
)

// outcome is what an error of Graph comes to for a job: errMoved, errDoubt, a *Refused, ErrFull, or itself where the trouble may
// pass.
func outcome(err error) error {
	if errors.Is(err, graph.ErrMayHaveHappened) {
		return fmt.Errorf("%w: %w", errDoubt, err)
	}
	var answer *graph.Error
	errors.As(err, &answer)
	odd := func(sentence string) error {
		r := refuse(convert.RefusedData, "%s", sentence)
		if answer != nil && answer.RequestID != "" {
			r.Sentence += " Microsoft's number of the request is " + answer.RequestID + "."
		}
		return fmt.Errorf("%w (%w)", r, err)
	}
	switch graph.WriteFault(err) {
	case graph.FaultNone:
		return err
	case graph.FaultConflict, graph.FaultGone, graph.FaultDeleted:
		return fmt.Errorf("%w: %w", errMoved, err)
	case graph.FaultCrossing:
		return refuse(convert.RefusedObject, "Outlook does not let an occurrence reach or pass the day of the one before or after it.")
	case graph.FaultTooLong:
		return refuse(convert.RefusedObject, "Outlook does not let an occurrence last until the next one begins.")
	case graph.FaultZone:
		return refuse(convert.RefusedData, "Outlook does not know the time zone of the event; choose another one.")
	case graph.FaultOrganizer:
		return refuse(convert.RefusedAttendee, "Outlook says that only the organizer may do this, or only somebody who is invited.")
	case graph.FaultRecipients:
		return refuse(convert.RefusedData, "Outlook cannot send mail to one of the addresses of the attendees.")
	case graph.FaultRecurrence:
		return refuse(convert.RefusedObject, "Outlook does not take the recurrence: it has no occurrence, or it ends too late.")
	case graph.FaultDenied:
		return refuse(convert.RefusedReadOnly, "Outlook does not let you change this calendar or this event.")
	case graph.FaultQuota:
		return ErrFull
	case graph.FaultTooLarge:
		return refuse(convert.RefusedSize, "The event is larger than Outlook takes.")
	}
	return odd("Outlook does not take the event as it is.")
}

// passes reports whether trouble may pass, so that the job is to be tried again.
func passes(err error) bool {
	var refused *Refused
	switch {
	case errors.As(err, &refused), errors.Is(err, ErrFull), errors.Is(err, ErrPrecondition), errors.Is(err, errUnknown), errors.Is(err, errUndone):
		return false
	case errors.Is(err, errDoubt), errors.Is(err, round.ErrLate), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, bridge.ErrBusy), errors.Is(err, bridge.ErrConflict):
		return true
	}
	return graph.IsUnavailable(err) || graph.IsSignInNeeded(err) || graph.IsThrottled(err)
}

// finish reads back what Outlook has made of the steps, publishes it and ends the intent. err is why not all steps were done.
func (j *job) finish(ctx context.Context, err error) (Result, error) {
	w := j.w
	log := w.log().With("account", j.account.Name, "calendar", j.cal.Name, "intent", j.intent.ID, "operation", j.intent.Operation)
	busy := &Busy{After: retryAfter, Sentence: "Outlook cannot be reached at the moment; the change is made as soon as it can be."}
	if err != nil && passes(err) && w.now().Sub(j.intent.Created) < expires {
		log.Warn("a change waits for Outlook", "step", j.intent.Step, "of", len(j.intent.Plan.Steps), "err", err)
		if err := j.save(ctx); err != nil {
			return Result{}, err
		}
		return Result{}, busy
	}
	var backErr error
	if j.intent.Series != "" {
		if err == nil && j.intent.Plan.Overlay != nil && !j.intentGone() {
			if backErr = w.Store.SetOverlay(ctx, j.cal.ID, j.intent.Series, *j.intent.Plan.Overlay); backErr == nil && j.fresh {
				backErr = j.publish(ctx, j.intent.Series)
			}
		}
		if backErr == nil && !j.fresh {
			backErr = j.readBack(ctx)
		}
	}
	if backErr != nil {
		log.Warn("what a change has come to cannot be read back yet", "err", backErr)
		if err == nil {
			return Result{}, busy
		}
	}
	var refused *Refused
	switch {
	case err == nil:
		j.intent.State = bridge.IntentDone
	case errors.Is(err, errUnknown):
		j.intent.State = bridge.IntentUnknown
		refused = refuse(convert.RefusedAttendee, "It is not known whether Outlook has sent the mail for this change, since its answer was lost; look in Outlook, and make the change once more there if need be.")
		if j.series.Event.IsOrganizer {
			refused.Kind = convert.RefusedOrganizer
		}
		err = refused
	case errors.Is(err, errUndone):
		j.intent.State = bridge.IntentFailed
		refused = refuse(convert.RefusedAttendee, "Outlook has failed to do this just now; nobody was told anything. Make the change once more.")
		if j.series.Event.IsOrganizer {
			refused.Kind = convert.RefusedOrganizer
		}
		err = fmt.Errorf("%w (%w)", refused, err)
	case errors.As(err, &refused):
		j.intent.State = bridge.IntentFailed
	case errors.Is(err, ErrPrecondition):
		j.intent.State = bridge.IntentFailed
		refused = refuse(convert.RefusedData, "The event was changed in Outlook at the same time; nothing that Outlook has was overwritten.")
	case errors.Is(err, ErrFull):
		j.intent.State = bridge.IntentFailed
		refused = refuse(convert.RefusedSize, "The mailbox is full.")
	default:
		j.intent.State = bridge.IntentFailed
		refused = refuse(convert.RefusedData, "The change could not be made in Outlook; see the log of the server.")
	}
	if refused != nil {
		r := refused.Refusal
		j.intent.Refusal = &r
	}
	if saveErr := j.save(ctx); saveErr != nil {
		return Result{}, errors.Join(err, saveErr)
	}
	if err != nil {
		log.Warn("a change could not be made", "step", j.intent.Step, "of", len(j.intent.Plan.Steps), "state", j.intent.State, "err", err)
		if passes(err) || !isAnswer(err) {
			return Result{}, refused
		}
		return Result{}, err
	}
	log.Info("a change was made", "steps", len(j.intent.Plan.Steps), "mails", j.intent.Mails)
	o, err := j.object(ctx)
	return Result{Object: o, Created: j.created}, err
}

// isAnswer reports whether an error is one that whoever asked knows what to make of.
func isAnswer(err error) bool {
	_, ok := asRefused(err)
	return ok || errors.Is(err, ErrPrecondition) || errors.Is(err, ErrFull)
}

// intentGone reports whether the job was to remove the event.
func (j *job) intentGone() bool { return j.want == nil && j.intent.Operation == bridge.IntentDelete }

// readBack has the series read, where the answers to the steps do not tell, and published.
func (j *job) readBack(ctx context.Context) error {
	c, err := j.w.Store.Calendar(ctx, j.cal.ID)
	if err != nil {
		return err
	}
	j.cal = c
	known := j.known
	known.Series = j.intent.Series
	list, err := j.w.Rounds.RefreshKnown(ctx, j.m.Mailbox, c, known)
	if err != nil {
		return err
	}
	if known.Attached && len(list) == 1 && !list[0].Gone {
		// No answer to a change of files says when that was.
		if at, err := time.Parse(time.RFC3339Nano, list[0].Event.LastModified); err == nil {
			if err := j.w.Store.SetFence(ctx, j.cal.ID, j.intent.Series, bridge.Fence{At: at}); err != nil {
				return err
			}
		}
	}
	j.fresh, j.known = true, round.Known{}
	return nil
}

// replan works out anew what is left, from what there is now.
func (j *job) replan(ctx context.Context) error {
	if j.intent.Operation == bridge.IntentMove || j.intent.Series == "" {
		j.recovering, j.etag = true, ""
		return nil
	}
	if err := j.readBack(ctx); err != nil {
		return err
	}
	if err := j.read(ctx, j.intent.Series); err != nil {
		return err
	}
	var begun []convert.Step
	if j.intent.Begun && j.intent.Step < len(j.intent.Plan.Steps) {
		begun = j.group()
	}
	switch {
	case !j.exists && j.want == nil:
		return j.restart(ctx, begun, nil)
	case !j.exists || j.current == nil:
		return ErrPrecondition
	}
	// What was begun may be what has changed it.
	if j.conditional && j.intent.Step == 0 && !j.intent.Begun && collide(j.intent.Base, j.octets, j.intent.Octets, j.m.addressesOf(j.cal)) {
		return ErrPrecondition
	}
	if j.base == nil {
		j.base = decoded(j.intent.Base)
	}
	plan, err := j.plan(ctx)
	if err != nil {
		return err
	}
	if err := mayMail(j.m, j.cal, plan); err != nil {
		return err
	}
	if plan.Overlay != nil {
		j.intent.Plan.Overlay = plan.Overlay
	}
	return j.restart(ctx, begun, plan.Steps)
}

// restart makes a plan what is left. Steps that were begun and are not needed any more were done.
func (j *job) restart(ctx context.Context, begun, rest []convert.Step) error {
	steps := slices.Clone(j.intent.Plan.Steps[:j.intent.Step])
	for _, s := range begun {
		same := func(r convert.Step) bool { return r.Op == s.Op && r.Occurrence == s.Occurrence }
		if !slices.ContainsFunc(rest, same) {
			steps = append(steps, s)
			j.intent.Step++
			j.intent.Mails += recipients(s)
			j.intent.Results = append(j.intent.Results, bridge.StepResult{ID: j.stepID(s)})
		}
	}
	j.intent.Plan.Steps = append(steps, rest...)
	j.intent.Begun, j.recovering = false, false
	return j.save(ctx)
}

// repair puts exceptions and cancellations back that went when the times or the rule of a series changed. more: there are further
// steps.
func (j *job) repair(ctx context.Context) (more bool, err error) {
	reset := false
	for _, s := range j.intent.Plan.Steps {
		reset = reset || s.Resets
	}
	if !reset || j.want == nil || j.intent.Operation != bridge.IntentPut {
		return false, nil
	}
	if err := j.readBack(ctx); err != nil {
		return false, err
	}
	if err := j.read(ctx, j.intent.Series); err != nil || j.current == nil {
		return false, err
	}
	was := j.base
	j.base, j.earlier = nil, decoded(j.intent.Base)
	plan, err := j.plan(ctx)
	j.base, j.earlier = was, nil
	var missing []convert.Step
	if _, refused := asRefused(err); refused {
		j.w.log().Info("what a series has kept of its occurrences cannot be told", "account", j.account.Name, "series", j.intent.Series, "err", err)
		missing = j.putOff
	} else if err != nil {
		return false, err
	}
	j.putOff = nil
	for _, s := range plan.Steps {
		if s.Occurrence != "" && (s.Op == convert.OpUpdate || s.Op == convert.OpDelete) {
			missing = append(missing, s)
		}
	}
	if len(missing) == 0 {
		return false, nil
	}
	if j.repairs == maxRepairs {
		r := refuse(convert.RefusedObject, "%d changed or deleted occurrences of the series went when its times changed, and could not be put back; see them in Outlook.", len(missing))
		j.intent.Refusal = &r.Refusal
		return false, nil
	}
	if err := mayMail(j.m, j.cal, convert.Plan{Steps: missing}); err != nil {
		return false, err
	}
	j.repairs++
	j.w.log().Info("occurrences are put right after the times of their series changed", "account", j.account.Name, "series", j.intent.Series, "occurrences", len(missing))
	return true, j.restart(ctx, nil, missing)
}
