package convert

import (
	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
)

// overlayOf is the overlay of a series after a client's edit: what the client has set, changed and taken away beside
// Outlook. base is the object that it had, nil where that is not known; current the one served now, nil: none; in the new
// one; s the series as it is. nil: the overlay is as it was. It fails with a *Refusal where it becomes too large.
func overlayOf(base, current, in *object, s Series, client string) (*Overlay, error) {
	return nil, nil
}

// reminderOf is the alarm of a component that Outlook can have: one relative to the start, not after it. Of several it is
// the one that is as long before it as e has it now, else the first. minutes is how long before the start it is.
func reminderOf(c *ical.Component, e *graph.Event) (alarm *ical.Component, minutes int) {
	return nil, 0
}
