package write

import (
	"context"
	"errors"
	"fmt"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// Recover goes on with what an account's clients have asked for and a crash or an outage has left undone, oldest first. It is
// called at the start and in each round.
func (w *Writer) Recover(ctx context.Context, account string) error {
	w.setUp()
	a, err := w.Store.Account(ctx, account)
	if err != nil {
		return ignoreNotFound(err)
	}
	if err := w.forget(ctx); err != nil {
		return err
	}
	list, err := w.Store.OpenIntents(ctx, a.ID)
	if err != nil {
		return err
	}
	var errs []error
	for _, i := range list {
		release, err := w.series.lock(ctx, intentKey(i))
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		// While the series was waited for somebody may have ended it.
		still, err := w.stillOpen(ctx, i)
		if err == nil && still != nil {
			err = w.resume(ctx, *still)
		}
		release()
		var busy *Busy
		if err != nil && !errors.As(err, &busy) && !isAnswer(err) {
			errs = append(errs, fmt.Errorf("intent %d: %w", i.ID, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// forget drops old intents, once a day.
func (w *Writer) forget(ctx context.Context) error {
	now := w.now()
	w.forgetting.Lock()
	defer w.forgetting.Unlock()
	if now.Sub(w.forgot) < replayable {
		return nil
	}
	if err := w.Store.ForgetIntents(ctx, now.Add(-replayable), now.Add(-remembered)); err != nil {
		return err
	}
	w.forgot = now
	return nil
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
func (w *Writer) resume(ctx context.Context, i bridge.Intent) error {
	a, err := w.Store.AccountByID(ctx, i.Account)
	if err != nil {
		return err
	}
	m, err := w.Mailbox(ctx, a.Name)
	if err != nil {
		return err
	}
	c, err := w.Store.Calendar(ctx, i.Calendar)
	if errors.Is(err, bridge.ErrNotFound) {
		i.State, i.Changed = bridge.IntentFailed, w.now()
		r := refuse(convert.RefusedReadOnly, "The calendar is not there any more.")
		i.Refusal = &r.Refusal
		return w.Store.SaveIntent(ctx, i)
	}
	if err != nil {
		return err
	}
	j := &job{w: w, m: m, account: a, cal: c, intent: i, client: i.Client, want: decoded(i.Octets), base: decoded(i.Base), conditional: true, recovering: i.Begun,
		silent: i.Operation == bridge.IntentDelete && mails(i.Plan) == 0}
	for _, s := range i.Plan.Steps {
		j.created = j.created || s.Op == convert.OpCreate
	}
	run, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	stop := context.AfterFunc(w.life, cancel)
	defer stop()
	if err := mayWrite(m, c); err != nil {
		_, err = j.finish(run, err)
		return err
	}
	if i.Series != "" {
		if j.created {
			if err := j.nameIt(run); err != nil {
				return err
			}
		}
		if err := j.load(run, i.Series); err != nil {
			return err
		}
		next := i.Step
		if i.Begun && next < len(i.Plan.Steps) && !isAction(i.Plan.Steps[next].Op) && i.Operation != bridge.IntentMove {
			// What there is tells whether it was done.
			if err := j.replan(run); err != nil {
				_, err = j.finish(run, err)
				return err
			}
		}
	}
	_, err = j.run(run)
	return err
}

var _ Graph = (*graph.Client)(nil)
