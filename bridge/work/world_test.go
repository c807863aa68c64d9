package work_test

import (
	"context"
	"log/slog"
	"testing"

	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round"
	"outbridge/bridge/round/roundtest"
	"outbridge/bridge/work"
)

// world is a roundtest.World with a scheduler.
type world struct {
	*roundtest.World
	s *work.Scheduler
}

func newWorld(t *testing.T, set ...func(*graphsim.Server)) *world {
	t.Helper()
	w := &world{World: roundtest.New(t, set...)}
	w.schedule()
	return w
}

func makeWorld(t roundtest.TB, ctx context.Context, dir string, log *slog.Logger, set ...func(*graphsim.Server)) *world {
	t.Helper()
	w := &world{World: roundtest.Make(t, ctx, dir, log, set...)}
	w.schedule()
	return w
}

func (w *world) schedule() {
	w.s = &work.Scheduler{Rounds: w.Rounds, Store: w.Store, Mailboxes: []round.Mailbox{w.Mailbox}, Now: w.Now, Log: w.Log}
}

// crash ends everything that is in memory, as a kill does.
func (w *world) crash() {
	w.Helper()
	w.Crash()
	w.schedule()
}

// realTime has rounds and scheduler use the clock of a synctest bubble.
func (w *world) realTime() { w.Rounds.Now, w.s.Now = nil, nil }

// run runs the scheduler until the function that it returns is called.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(w.Ctx)
	done := make(chan error, 1)
	go func() { done <- w.s.Run(ctx) }()
	return func() {
		w.Helper()
		cancel()
		w.Must(<-done)
	}
}

var meeting, weekly = roundtest.Meeting, roundtest.Weekly
