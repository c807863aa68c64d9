package write

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// Recover goes on with what an account's clients have asked for and a crash or an outage has left undone, oldest first. It is
// called at the start and in each round, and tells how many are left.
func (w *Writer) Recover(ctx context.Context, account bridge.AccountID) (left int, err error) {
	w.setUp()
	list, err := w.Store.OpenIntents(ctx, account)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	// Those that were tried last come last, so that one that never succeeds holds up no other.
	slices.SortStableFunc(list, func(a, b bridge.Intent) int { return a.Changed.Compare(b.Changed) })
	var errs []error
	for _, i := range list {
		t, ok, err := w.try(ctx, intentKey(i))
		if err == nil && !ok {
			continue // somebody is at it
		}
		if err == nil {
			err = w.again(ctx, i, t)
			t.end()
		}
		var busy *Busy
		if errors.As(err, &busy) || ctx.Err() != nil {
			break // as a rule it is no better with the others
		}
		if err != nil && !isAnswer(err) {
			errs = append(errs, fmt.Errorf("intent %d: %w", i.ID, err))
		}
	}
	list, err = w.Store.OpenIntents(ctx, account)
	return len(list), errors.Join(append(errs, err)...)
}

// again goes on with an intent, if it is still open.
func (w *Writer) again(ctx context.Context, i bridge.Intent, t turn) error {
	still, err := w.stillOpen(ctx, i)
	if err != nil || still == nil {
		return err
	}
	run, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	run, stop := t.within(run)
	defer stop()
	defer context.AfterFunc(w.life, cancel)()
	_, err = w.resume(run, *still)
	return err
}

// takeOver goes on with an intent that stands in the way of a request, which waits for it as long as ctx lasts.
func (w *Writer) takeOver(ctx context.Context, i bridge.Intent) error {
	t, err := w.lock(ctx, intentKey(i))
	if err != nil {
		return err
	}
	still, err := w.stillOpen(ctx, i)
	if err != nil || still == nil {
		t.end()
		return err
	}
	_, err = w.begin(ctx, func(ctx context.Context) (Result, error) { return w.resume(ctx, *still) }, t)
	return err
}

func intentKey(i bridge.Intent) string {
	if i.UID != "" {
		return seriesKey(i.Account, i.UID)
	}
	return seriesKey(i.Account, fmt.Sprint(i.Calendar, "/", i.Name))
}

func (w *Writer) stillOpen(ctx context.Context, i bridge.Intent) (*bridge.Intent, error) {
	list, err := w.Store.OpenIntents(ctx, i.Account)
	if err != nil {
		return nil, err
	}
	for _, o := range list {
		if o.ID == i.ID {
			return &o, nil
		}
	}
	return nil, nil
}

// resume goes on with an open intent, whose series nobody else writes to.
func (w *Writer) resume(ctx context.Context, i bridge.Intent) (Result, error) {
	a, err := w.Store.AccountByID(ctx, i.Account)
	if err != nil {
		return Result{}, err
	}
	m, err := w.Mailbox(ctx, a.Name)
	if err != nil {
		return Result{}, err
	}
	c, err := w.Store.Calendar(ctx, i.Calendar)
	if errors.Is(err, bridge.ErrNotFound) {
		i.State, i.Changed = bridge.IntentFailed, w.now()
		r := refuse(convert.RefusedReadOnly, "The calendar is not there any more.")
		i.Refusal = &r.Refusal
		return Result{}, w.Store.SaveIntent(ctx, i)
	}
	if err != nil {
		return Result{}, err
	}
	j := &job{w: w, m: m, account: a, cal: c, intent: i, client: i.Client, want: decoded(i.Octets), base: decoded(i.Base), conditional: true, recovering: i.Begun, named: i.Plan.Files,
		silent: i.Operation == bridge.IntentDelete && mails(i.Plan) == 0}
	for _, s := range i.Plan.Steps {
		j.created = j.created || s.Op == convert.OpCreate
	}
	if err := mayWrite(m, c); err != nil {
		return j.finish(ctx, err)
	}
	if i.Series == "" {
		return j.run(ctx)
	}
	if j.created {
		if err := j.nameIt(ctx); err != nil {
			return Result{}, err
		}
	}
	if err := j.load(ctx, i.Series); err != nil {
		return Result{}, err
	}
	if i.Begun && i.Step < len(i.Plan.Steps) && !isAction(i.Plan.Steps[i.Step].Op) && i.Operation != bridge.IntentMove {
		// What there is tells whether it was done.
		if err := j.replan(ctx); err != nil {
			return j.finish(ctx, err)
		}
	}
	return j.run(ctx)
}

var _ Graph = (*graph.Client)(nil)
