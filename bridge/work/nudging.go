package work

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"outbridge/bridge"
)

// nudge brings the next round of an account forward, wherever it will run. It never blocks.
func (j *Jobs) nudge(account string, why bridge.Nudge) {
	j.mu.Lock()
	if j.nudges == nil {
		j.nudges = map[string]bridge.Nudge{}
	}
	j.nudges[account] |= why
	news := j.newsLocked()
	j.mu.Unlock()
	select {
	case news <- struct{}{}:
	default:
	}
}

// newsLocked is where nudges say that they are there, those of before the first round too. It is called with the lock held.
func (j *Jobs) newsLocked() chan struct{} {
	if j.news == nil {
		j.news = make(chan struct{}, 1)
	}
	return j.news
}

// nudgeAll passes nudges on until ctx ends, and then those that are left.
func (j *Jobs) nudgeAll(ctx context.Context) {
	j.mu.Lock()
	news := j.newsLocked()
	j.mu.Unlock()
	var again <-chan time.Time
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-news:
		case <-again:
		}
		pass, cancel := context.WithTimeout(context.WithoutCancel(ctx), storePatience)
		again = nil
		if j.pass(pass) > 0 {
			again = time.After(nudgeAgain)
		}
		cancel()
	}
}

// pass passes on what there is now, and tells how many are to be tried again.
func (j *Jobs) pass(ctx context.Context) (left int) {
	j.mu.Lock()
	list := j.nudges
	j.nudges = nil
	j.mu.Unlock()
	for account, why := range list {
		passed, err := j.passOne(ctx, account, why)
		switch {
		case err != nil:
			j.log().Warn("a round cannot be brought forward now", "account", account, "err", err)
		case passed:
			continue
		default:
			why = 0 // it is stored; what is left is to see that it is taken
		}
		j.mu.Lock()
		if j.nudges == nil {
			j.nudges = map[string]bridge.Nudge{}
		}
		j.nudges[account] |= why
		j.mu.Unlock()
		left++
	}
	return left
}

// passOne stores a nudge and makes the job due. While a round runs, its job is put off when it ends, and it may have looked for
// nudges before: it is tried again until the nudge is taken or the job is due.
func (j *Jobs) passOne(ctx context.Context, account string, why bridge.Nudge) (passed bool, err error) {
	if why != 0 {
		if err := j.Store.AddNudge(ctx, account, why); err != nil {
			return false, err
		}
	}
	row, err := j.due(ctx, account)
	if err != nil || row.State != rivertype.JobStateRunning {
		return err == nil, err
	}
	turn, err := j.Store.Turn(ctx, account)
	return err == nil && turn.Nudge == 0, err
}

// due makes the job of an account due now, unless it runs.
func (j *Jobs) due(ctx context.Context, account string) (*rivertype.JobRow, error) {
	id, err := j.job(ctx, account)
	if err != nil {
		return nil, err
	}
	row, err := j.client.JobRetry(ctx, id)
	if err == nil && row.FinalizedAt == nil {
		return row, nil
	}
	if err != nil && !errors.Is(err, rivertype.ErrNotFound) {
		return nil, err
	}
	j.ids.Delete(account) // it has ended, and there may be another by now
	if id, err = j.job(ctx, account); err != nil {
		return nil, err
	}
	return j.client.JobRetry(ctx, id)
}

// job is the id of an account's job, which is made if there is none.
func (j *Jobs) job(ctx context.Context, account string) (int64, error) {
	if id, ok := j.ids.Load(account); ok {
		return id.(int64), nil
	}
	made, err := j.client.Insert(ctx, roundArgs{account}, nil)
	if err != nil {
		return 0, fmt.Errorf("job of %s: %w", account, err)
	}
	j.ids.Store(account, made.Job.ID)
	return made.Job.ID, nil
}

// end ends the job of an account that is no longer served.
func (j *Jobs) end(account string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(j.ctx), storePatience)
	defer cancel()
	list, err := j.find(ctx, account)
	for _, row := range list {
		if _, cancelErr := j.client.JobCancel(ctx, row.ID); !errors.Is(cancelErr, rivertype.ErrNotFound) {
			err = errors.Join(err, cancelErr)
		}
	}
	j.ids.Delete(account)
	if err != nil {
		j.log().Warn("the job of a removed account ends later, by itself", "account", account, "err", err)
	}
}

// find is the job of an account, if there is one.
func (j *Jobs) find(ctx context.Context, account string) ([]*rivertype.JobRow, error) {
	args, err := json.Marshal(roundArgs{account})
	if err != nil {
		return nil, err
	}
	found, err := j.client.JobList(ctx, river.NewJobListParams().Kinds(roundArgs{}.Kind()).First(10).
		States(live...).Where("args @> @args::jsonb", river.NamedArgs{"args": string(args)}))
	if err != nil {
		return nil, fmt.Errorf("job of %s: %w", account, err)
	}
	return found.Jobs, nil
}

// rosterWorker does the job that makes the jobs of accounts that have none.
type rosterWorker struct {
	river.WorkerDefaults[rosterArgs]
	j *Jobs
}

func (w *rosterWorker) Work(ctx context.Context, _ *river.Job[rosterArgs]) error {
	return w.j.callRoster(ctx)
}

const (
	rosterPage = 5000
	insertMost = 500
)

// callRoster makes the jobs of accounts that have none. Where there are many, their first rounds are spread.
func (j *Jobs) callRoster(ctx context.Context) error {
	have := map[string]bool{}
	params := river.NewJobListParams().Kinds(roundArgs{}.Kind()).First(rosterPage).OrderBy(river.JobListOrderByID, river.SortOrderAsc).
		States(live...)
	for {
		page, err := j.client.JobList(ctx, params)
		if err != nil {
			return fmt.Errorf("list jobs: %w", err)
		}
		for _, row := range page.Jobs {
			if account := accountOf(row); account != "" {
				have[account] = true
				j.ids.Store(account, row.ID)
			}
		}
		if len(page.Jobs) < rosterPage {
			break
		}
		params = params.After(page.LastCursor)
	}
	var missing []river.InsertManyParams
	now := time.Now().Add(-j.offset())
	for _, account := range j.s.accounts() {
		if have[account] {
			continue
		}
		one := river.InsertManyParams{Args: roundArgs{account}}
		if len(missing) >= roundsAtOne { // the others begin at once, without waiting for a machine to lead
			one.InsertOpts = &river.InsertOpts{ScheduledAt: now.Add(time.Duration(len(missing)) * startGap)}
		}
		missing = append(missing, one)
	}
	for len(missing) > 0 {
		n := min(insertMost, len(missing))
		if _, err := j.client.InsertMany(ctx, missing[:n]); err != nil {
			return fmt.Errorf("make jobs: %w", err)
		}
		missing = missing[n:]
	}
	return nil
}

// hear takes notifications of Graph, which have reached this machine.
func (j *Jobs) hear(list []bridge.Notification) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(j.ctx), storePatience)
	defer cancel()
	for _, n := range list {
		sub, account, err := j.Store.SubscriptionOf(ctx, n.SubscriptionID)
		if errors.Is(err, bridge.ErrNotFound) {
			continue
		}
		if err != nil {
			j.log().Warn("a notification of Graph cannot be looked up; the change is found by polling", "err", err)
			return
		}
		state := sha256.Sum256([]byte(n.ClientState))
		if n.SubscriptionID == "" || subtle.ConstantTimeCompare(state[:], sub.State) != 1 {
			continue
		}
		why := bridge.NudgeNotified
		switch n.LifecycleEvent {
		case "subscriptionRemoved":
			why |= bridge.NudgeRemoved
		case "reauthorizationRequired":
			why |= bridge.NudgeReauthorize
		}
		j.nudge(account, why)
	}
}

// pulseAge is how long the pulse of an account that was read serves everybody.
const pulseAge = time.Second

type readPulse struct {
	bridge.Pulse
	at time.Time
}

// pulse is what the rounds of an account are at, on whichever machine.
func (j *Jobs) pulse(account string) bridge.Pulse {
	if last, ok := j.pulses.Load(account); ok && time.Since(last.(readPulse).at) < pulseAge {
		return last.(readPulse).Pulse
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(j.ctx), storePatience)
	defer cancel()
	p, err := j.readPulse(ctx, account)
	if err != nil {
		j.log().Warn("it cannot be seen what the rounds of an account are at", "account", account, "err", err)
	}
	j.pulses.Store(account, readPulse{p, time.Now()})
	return p
}

func (j *Jobs) readPulse(ctx context.Context, account string) (p bridge.Pulse, err error) {
	row, err := j.row(ctx, account)
	if row == nil || err != nil {
		return p, err
	}
	turn, err := j.Store.Turn(ctx, account)
	if err != nil {
		return p, err
	}
	k := keptOf(row.Metadata)
	p.Busy, p.Good = row.State == rivertype.JobStateRunning || turn.Owner != "", bridge.AtUnixSeconds(k.Good)
	if !p.Busy && row.FinalizedAt == nil {
		p.Next = row.ScheduledAt.UTC()
	}
	if k.Calendars != nil {
		p.Calendars = map[bridge.CalendarID]time.Time{}
		for id, good := range k.Calendars {
			p.Calendars[id] = bridge.AtUnixSeconds(good)
		}
	}
	return p, nil
}

// row is the job of an account; nil where there is none.
func (j *Jobs) row(ctx context.Context, account string) (*rivertype.JobRow, error) {
	if id, ok := j.ids.Load(account); ok {
		row, err := j.client.JobGet(ctx, id.(int64))
		if err == nil && row.FinalizedAt == nil || err != nil && !errors.Is(err, rivertype.ErrNotFound) {
			return row, err
		}
		j.ids.Delete(account)
	}
	list, err := j.find(ctx, account)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	j.ids.Store(account, list[0].ID)
	return list[0], nil
}

// accountOf is the account of a job; "" where it is none of an account.
func accountOf(row *rivertype.JobRow) string {
	var args roundArgs
	if json.Unmarshal(row.EncodedArgs, &args) != nil {
		return ""
	}
	return args.Account
}

// quiet passes on what River warns of: it says much of what it does.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}

func (q quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(a)} }
func (q quiet) WithGroup(name string) slog.Handler   { return quiet{q.Handler.WithGroup(name)} }
