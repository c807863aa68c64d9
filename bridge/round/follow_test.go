package round

import (
	"slices"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// TestToLookUp: the mirror is asked for all events of a page, unless nothing that it could have of them matters.
func TestToLookUp(t *testing.T) {
	events := []graph.Event{{ID: "there"}, {ID: "gone", Removed: &graph.Removed{}}}
	all, gone := []graph.EventID{"there", "gone"}, []graph.EventID{"gone"}
	for _, tt := range []struct {
		name      string
		cal       bridge.Calendar
		overtaken bool
		want      []graph.EventID
	}{
		{"a new calendar", bridge.Calendar{}, false, gone},
		{"somebody has written to the mirror meanwhile", bridge.Calendar{}, true, all},
		{"a client has written to the calendar", bridge.Calendar{Written: true}, false, all},
		{"there are fences", bridge.Calendar{Fenced: time.Unix(1, 0)}, false, all},
		{"something is published", bridge.Calendar{Rev: 1}, false, all},
	} {
		f := follower{mirror: &mirror{current: &current{cal: tt.cal}}}
		if got := f.toLookUp(events, tt.overtaken); !slices.Equal(got, tt.want) {
			t.Errorf("%s: looks up %q, want %q", tt.name, got, tt.want)
		}
	}
}
