package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"outbridge/bridge"
)

// pace is how a round that runs on one of several machines is never run by two. A job that River has given to a machine ends within
// jobTime. Whoever takes it up after rescueAfter finds either nobody at it, since a round without a lease ends at unleased,
// or the lease of a long round, which holds as long as its machine renews it. What is left of rescueAfter is for clocks that differ
// (see maxOffset). River looks every half minute, so that the accounts of a dead machine go on within two.
type pace struct {
	handOver, unleased, jobTime, rescueAfter time.Duration // handOver: a round that takes longer goes on beside its job, with a lease

	leaseLife, leaseRenew time.Duration
	leaseSpare            time.Duration // before its end a round stops that cannot renew its lease
	leaseWait             time.Duration // until somebody looks again whether a long round has ended
}

var usual = pace{
	handOver: 20 * time.Second, unleased: 40 * time.Second, jobTime: 45 * time.Second, rescueAfter: time.Minute,
	leaseLife: time.Minute, leaseRenew: 15 * time.Second, leaseSpare: 10 * time.Second, leaseWait: 15 * time.Second,
}

const (
	storePatience = 5 * time.Second // of one look at the database
	unknownWait   = 2 * time.Second // in which a machine learns of an account that was added on another
	unknownMost   = 150             // times in a row that nobody knows an account, until its job ends
	stopPatience  = 2 * time.Second
	rosterEvery   = time.Minute
	nudgeAgain    = time.Second
)

// maxOffset is how far the clock of a machine that leads may be from the database's.
const maxOffset = 10 * time.Second

// JobStore is what Jobs keeps beside the jobs.
type JobStore interface {
	bridge.LeaseStore
	bridge.TurnStore
	// SubscriptionOf finds a subscription by the id that Graph has given it, with the name of its account, or ErrNotFound.
	SubscriptionOf(ctx context.Context, graphID string) (s bridge.Subscription, account string, err error)
}

// Jobs does the rounds of a Scheduler's mailboxes on whichever machine is free, of all those that use one PostgreSQL database. An
// account is one River job, which each round puts off to the next one and a nudge from any machine brings forward. What rounds
// remember goes with the job. All fields are set before the first call.
type Jobs struct {
	Pool    *pgxpool.Pool
	Store   JobStore
	Machine string // unique among those that run, and short: jobs remember their last hundred
	// Offset is how far the clock of this machine is ahead of the database's. Nil: it is not.
	Offset func() time.Duration
	Log    *slog.Logger // nil: slog.Default

	pace   pace // zero: usual
	s      *Scheduler
	client *river.Client[pgx.Tx]
	ctx    context.Context // of rounds; nil: it does not run
	rounds sync.WaitGroup  // that run
	ids    sync.Map        // of jobs, by account
	pulses sync.Map        // as they were read last, by account

	mu     sync.Mutex // guards the rest
	nudges map[string]bridge.Nudge
	news   chan struct{} // has room for one
}

// roundArgs are those of an account's job.
type roundArgs struct {
	Account string `json:"account"`
}

func (roundArgs) Kind() string { return "round" }

// live are the states of jobs that go on.
var live = []rivertype.JobState{rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled}

func (roundArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: roundQueue, MaxAttempts: 10_000, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: live}}
}

// rosterArgs are those of the job that makes the jobs of accounts that have none.
type rosterArgs struct{}

func (rosterArgs) Kind() string { return "roster" }

const (
	roundQueue  = "rounds"
	roundsAtOne = 100 // of jobs that a machine does at once; those that last go on beside them
)

const metadataIndex = "river_job_metadata_index"

// migrationLock keeps machines that start at the same time from making River's tables at once.
const migrationLock = 0x6f757462

// Migrate makes River's tables, or brings them up to date.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("job tables: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(migrationLock)); err != nil {
		return fmt.Errorf("job tables: %w", err)
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err == nil {
		// Every round changes what its job remembers, and nobody looks jobs up by that: the index is a third of what rounds write.
		_, err = tx.Exec(ctx, `DROP INDEX IF EXISTS `+metadataIndex)
	}
	if err != nil {
		return fmt.Errorf("job tables: %w", err)
	}
	return tx.Commit(ctx)
}

// run does rounds until ctx ends, and then gives those that run some time to end.
func (j *Jobs) run(ctx context.Context, s *Scheduler) error {
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	j.s, j.ctx = s, work
	if j.pace == (pace{}) {
		j.pace = usual
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &roundWorker{j: j})
	river.AddWorker(workers, &rosterWorker{j: j})
	config := &river.Config{
		ID:     j.Machine,
		Queues: map[string]river.QueueConfig{roundQueue: {MaxWorkers: roundsAtOne}, river.QueueDefault: {MaxWorkers: 2}},
		Logger: slog.New(quiet{j.log().Handler()}), Workers: workers,
		JobTimeout: j.pace.jobTime, RescueStuckJobsAfter: j.pace.rescueAfter, FetchPollInterval: time.Second,
		PollOnly:                    true, // so that it works behind a pooler too, and nothing depends on what may not arrive
		CompletedJobRetentionPeriod: time.Hour, SoftStopTimeout: stopPatience,
		ReindexerIndexNames: slices.DeleteFunc(river.ReindexerIndexNamesDefault(), func(name string) bool { return name == metadataIndex }),
	}
	if off := j.offset(); off.Abs() > maxOffset {
		j.log().Error("the clock of this machine differs from the database's, so it takes no part in watching over the others: set it right, with NTP", "seconds", off.Seconds())
		config.LeaderElectionDisabled = true
	} else {
		config.PeriodicJobs = []*river.PeriodicJob{river.NewPeriodicJob(river.PeriodicInterval(rosterEvery),
			func() (river.JobArgs, *river.InsertOpts) { return rosterArgs{}, nil }, nil)}
	}
	client, err := river.NewClient(riverpgxv5.New(j.Pool), config)
	if err != nil {
		return fmt.Errorf("jobs: %w", err)
	}
	j.client = client
	s.begin(ctx)
	if err := j.callRoster(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("jobs: %w", err)
	}
	nudging, stopNudging := context.WithCancel(work)
	var nudger sync.WaitGroup
	nudger.Go(func() { j.nudgeAll(nudging) })
	<-ctx.Done()
	stopNudging()
	nudger.Wait()
	until, cancel := context.WithTimeout(work, 2*stopPatience)
	defer cancel()
	err = client.Stop(until)
	stopWork()
	j.rounds.Wait()
	if err != nil {
		return fmt.Errorf("jobs: stop: %w", err)
	}
	return nil
}

// roundWorker does the job of an account.
type roundWorker struct {
	river.WorkerDefaults[roundArgs]
	j *Jobs
}

// NextRetry is when a job is taken up again whose machine has died: at once, and later where that happens again and again.
func (*roundWorker) NextRetry(job *river.Job[roundArgs]) time.Time {
	return time.Now().Add(min(time.Duration(max(job.Attempt-1, 0))*10*time.Second, time.Hour))
}

func (w *roundWorker) Work(ctx context.Context, job *river.Job[roundArgs]) error {
	return w.j.work(ctx, job)
}

// work does a round of an account, if it is this machine's turn, and puts the job off to the next.
func (j *Jobs) work(ctx context.Context, job *river.Job[roundArgs]) error {
	account, start := job.Args.Account, time.Now()
	kept := keptOf(job.Metadata)
	w := j.s.worker(account)
	if w == nil {
		// Another machine may know it already, or this one may learn of it.
		if kept.Unknown++; kept.Unknown > unknownMost {
			return river.JobCancel(fmt.Errorf("no machine knows the account %s", account))
		}
		return errors.Join(river.MetadataSet(ctx, metadataKey, kept), j.snooze(unknownWait))
	}
	if !w.turns.TryLock() {
		return j.snooze(j.pace.leaseWait) // one that was given up has not ended yet
	}
	free := sync.OnceFunc(w.turns.Unlock)
	look, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	turn, err := j.Store.Turn(look, account)
	if err == nil && turn.Owner == "" && turn.Nudge|turn.Taken != 0 {
		turn.Nudge, err = j.Store.TakeNudge(look, account)
	}
	left := j.pace.unleased - turn.Now.Sub(*job.AttemptedAt)
	switch {
	case err != nil:
		free()
		w.log.Warn("a round is put off", "err", err)
		return j.snooze(j.pace.leaseWait)
	case turn.Owner != "":
		free()
		return j.snooze(j.pace.leaseWait)
	case left < j.pace.handOver: // this machine was held up, and somebody else may take the job for abandoned
		free()
		return j.snooze(0)
	}
	w.recall(kept, turn.Nudge, kept.Machine == j.Machine)
	t := begin(w.ctx, start.Add(left))
	ended := make(chan time.Duration, 1)
	j.rounds.Go(func() {
		defer t.end()
		wait := w.among(t.ctx, j, turn.Nudge)
		if t.ctx.Err() != nil {
			wait = 0 // its time was over before it had ended
		} else if turn.Nudge != 0 {
			j.used(t.ctx, w)
		}
		ended <- wait
	})
	select {
	case wait := <-ended:
		return j.finish(ctx, w, t, wait, free)
	case <-ctx.Done():
	case <-time.After(j.pace.handOver):
		if j.renew(t, account) {
			j.rounds.Go(func() {
				defer free()
				j.goOn(t, w, ended)
			})
			return j.snooze(j.pace.leaseWait)
		}
		select {
		case wait := <-ended:
			return j.finish(ctx, w, t, wait, free)
		case <-ctx.Done():
		}
	}
	t.end()
	<-ended
	free()
	return j.snooze(0)
}

// used forgets why a round began that has ended. Until then, whoever is next after a crash begins for the same reasons.
func (j *Jobs) used(ctx context.Context, w *worker) {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	if err := j.Store.DropNudge(ctx, w.mailbox.Name); err != nil {
		w.log.Warn("the next round begins for the reasons of this one too", "err", err)
	}
}

// among does a turn with the mailbox's limits in mind that other machines keep too.
func (w *worker) among(ctx context.Context, j *Jobs, why bridge.Nudge) time.Duration {
	if g := w.mailbox.Gate; g != nil {
		if err := g.BeginRound(ctx); err != nil {
			w.log.Warn("a round is put off", "err", err)
			return j.pace.leaseWait
		}
		defer func() {
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), storePatience)
			defer cancel()
			if err := g.EndRound(end); err != nil {
				w.log.Warn("a request to Graph has not ended with the round", "err", err)
			}
		}()
	}
	return w.turn(ctx, why)
}

// finish puts the job off to the next round, and lets it remember this one.
func (j *Jobs) finish(ctx context.Context, w *worker, t *tenure, wait time.Duration, free func()) error {
	defer free()
	kept, err := w.remember(j.Machine)
	if err == nil {
		err = river.MetadataSet(ctx, metadataKey, kept)
	}
	if err != nil {
		w.log.Error("the next round will not know of this one", "err", err)
	}
	return j.snooze(w.untilNext(ctx, wait))
}

// goOn keeps the lease of a long round until that ends.
func (j *Jobs) goOn(t *tenure, w *worker, ended <-chan time.Duration) {
	account := w.mailbox.Name
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(j.ctx), storePatience)
		defer cancel()
		if err := j.Store.DropLease(ctx, bridge.RoundLease(account), j.Machine); err != nil {
			w.log.Warn("the lease of a round ends by itself", "err", err)
		}
		if turn, err := j.Store.Turn(ctx, account); err == nil && turn.Nudge != 0 {
			j.nudge(account, 0)
		}
	}()
	every := time.NewTicker(j.pace.leaseRenew)
	defer every.Stop()
	for {
		select {
		case <-ended:
			return
		case <-every.C:
			j.renew(t, account) // where it fails again and again, the round ends before the lease does
		}
	}
}

// renew takes or prolongs the lease of a round, and with it the round's time.
func (j *Jobs) renew(t *tenure, account string) bool {
	asked := time.Now()
	ctx, cancel := context.WithTimeout(t.ctx, storePatience)
	defer cancel()
	taken, err := j.Store.TakeLease(ctx, bridge.RoundLease(account), j.Machine, j.pace.leaseLife)
	if err != nil {
		j.log().Warn("the lease of a round cannot be taken now", "account", account, "err", err)
		return false
	}
	if !taken { // somebody else is at it
		t.end()
		return false
	}
	t.prolong(asked.Add(j.pace.leaseLife - j.pace.leaseSpare))
	return true
}

// snooze puts a job off by the database's clock: River counts from this machine's.
func (j *Jobs) snooze(d time.Duration) error { return river.JobSnooze(max(0, d-j.offset())) }

func (j *Jobs) offset() time.Duration {
	if j.Offset == nil {
		return 0
	}
	return j.Offset()
}

func (j *Jobs) log() *slog.Logger {
	if j.Log != nil {
		return j.Log
	}
	return slog.Default()
}

// metadataKey is where a job remembers its rounds.
const metadataKey = "outbridge"

// kept is what a job remembers.
type kept struct {
	Machine string          `json:"machine"` // that did the last round
	Rounds  json.RawMessage `json:"rounds,omitempty"`
	Tried   int64           `json:"tried,omitempty"` // Unix seconds, as are all times
	Failed  bool            `json:"failed,omitempty"`
	Current bool            `json:"current,omitempty"`
	Missed  bool            `json:"missed,omitempty"`
	Refused int64           `json:"refused,omitempty"` // when a subscription was
	Good    int64           `json:"good,omitempty"`
	// Calendars is when the last good round of each ended.
	Calendars map[bridge.CalendarID]int64 `json:"calendars,omitempty"`
	Unknown   int                         `json:"unknown,omitempty"` // times in a row that a machine did not know the account
}

func keptOf(metadata []byte) (k kept) {
	var all struct {
		Kept kept `json:"outbridge"`
	}
	if json.Unmarshal(metadata, &all) == nil {
		k = all.Kept
	}
	return k
}
