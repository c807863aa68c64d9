package round_test

import (
	"context"
	"log/slog"
	"testing"

	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round/roundtest"
)

// world is a roundtest.World with the verbs of these tests.
type world struct{ *roundtest.World }

func newWorld(t *testing.T, set ...func(*graphsim.Server)) *world {
	t.Helper()
	return &world{roundtest.New(t, set...)}
}

func makeWorld(t roundtest.TB, ctx context.Context, dir string, log *slog.Logger, set ...func(*graphsim.Server)) *world {
	t.Helper()
	return &world{roundtest.Make(t, ctx, dir, log, set...)}
}

func makeWorldAt(t roundtest.TB, ctx context.Context, dir, database string, log *slog.Logger, set ...func(*graphsim.Server)) *world {
	t.Helper()
	return &world{roundtest.MakeAt(t, ctx, dir, database, log, set...)}
}

var at, meeting, weekly, start = roundtest.At, roundtest.Meeting, roundtest.Weekly, roundtest.Start
