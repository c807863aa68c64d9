package write_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"outbridge/bridge"
	"outbridge/bridge/round/roundtest"
)

// BenchmarkKeptHere is an alarm that is acknowledged, and a PUT of what is served.
func BenchmarkKeptHere(b *testing.B) {
	w := &world{policy: bridge.Policy{Write: true, Invitations: bridge.InvitationsOutlook}}
	w.World = roundtest.Make(b, context.Background(), b.TempDir(), slog.New(slog.DiscardHandler))
	w.start()
	defer func() {
		w.writer.Close()
		w.Store.Close()
	}()
	w.Round()
	o := w.mustPut("a.ics", event("a", "A", 1, 9), create)
	w.Sim.ResetRequests()
	b.Run("same", func(b *testing.B) {
		for b.Loop() {
			w.mustPut("a.ics", string(o.Data), ifMatch(o))
		}
	})
	b.Run("acknowledged", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			o = w.mustPut("a.ics", strings.Replace(without(string(w.current("a.ics").Data), "X-MOZ-LASTACK"), "END:VEVENT", fmt.Sprintf("X-MOZ-LASTACK:2026112%dT080000Z\r\nEND:VEVENT", n%9), 1), ifMatch(o))
		}
	})
	if n := len(w.Sim.Requests()); n != 0 {
		b.Fatalf("Graph was asked %d times", n)
	}
}
