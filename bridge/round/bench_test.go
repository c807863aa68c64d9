package round_test

import (
	"fmt"
	"log/slog"
	"testing"

	"outbridge/bridge/graph/graphsim"
)

// BenchmarkFirstRound syncs a mailbox of 2,000 single events and 100 series from nothing, the simulation included.
func BenchmarkFirstRound(b *testing.B) {
	const singles, series = 2000, 100
	for b.Loop() {
		b.StopTimer()
		w := makeWorld(b, b.Context(), b.TempDir(), slog.New(slog.DiscardHandler), func(s *graphsim.Server) { s.MaxPage = 200 })
		for i := range singles {
			w.Box.Calendar().Create(meeting(fmt.Sprint("Meeting ", i), i%400-100, 7+i/400))
		}
		for i := range series {
			w.Box.Calendar().Create(weekly(fmt.Sprint("Series ", i), -i%28, 7+i%10, "monday", "thursday"))
		}
		b.StartTimer()
		if _, err := w.Rounds.Round(w.Ctx, w.Mailbox); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		w.Store.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(singles+series)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkIdleRound polls a synced mailbox in which nothing happens.
func BenchmarkIdleRound(b *testing.B) {
	w := benchWorld(b)
	defer w.Store.Close()
	w.Rounds.CheckpointAfter = 1 << 62
	for b.Loop() {
		if _, err := w.Rounds.Round(w.Ctx, w.Mailbox); err != nil {
			b.Fatal(err)
		}
	}
}

// benchWorld is one whose 500 events are synced.
func benchWorld(b *testing.B) *world {
	w := makeWorld(b, b.Context(), b.TempDir(), slog.New(slog.DiscardHandler))
	for i := range 500 {
		w.Box.Calendar().Create(meeting(fmt.Sprint("Meeting ", i), i%400-100, 7+i/400))
	}
	if _, err := w.Rounds.Round(w.Ctx, w.Mailbox); err != nil {
		b.Fatal(err)
	}
	return w
}
