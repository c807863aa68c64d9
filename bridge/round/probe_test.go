package round_test

import (
	"testing"

	"outbridge/bridge"
	"outbridge/bridge/round/roundtest"
)

// TestProbeCalendar: the calendar of a probe is served to nobody.
func TestProbeCalendar(t *testing.T) {
	w := roundtest.New(t)
	w.Box.AddCalendar(bridge.ProbeCalendar+"0123456789abcdef", "")
	w.Box.AddCalendar(bridge.ProbeCalendar+"0123456789abcdef b", "")
	w.Left = 2
	w.Round()
	cals, err := w.Store.Calendars(w.Ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cals {
		if bridge.IsProbeCalendar(c.DisplayName) {
			t.Errorf("%s is served", c.DisplayName)
		}
	}
}
