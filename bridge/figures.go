package bridge

import (
	"context"
	"time"
)

// FigureStore tells how all accounts are, whichever machine does their rounds.
type FigureStore interface {
	// CountFigures counts what is in up to limit calendars that have changed since they were counted, or were not for a day, and returns
	// how many it has counted.
	CountFigures(ctx context.Context, now time.Time, limit int) (int, error)
	// Figures are those of all accounts, by name. A calendar that was never counted has no Counts.
	Figures(ctx context.Context) ([]AccountFigures, error)
}

// AccountFigures are how an account is.
type AccountFigures struct {
	Account   string
	State     State
	Waiting   int // writes that have not ended
	Calendars []CalendarFigures
}

// CalendarFigures are how a calendar is.
type CalendarFigures struct {
	ID         CalendarID
	Name       string    // its path segment
	Good       time.Time // end of its last good round that the row has; see Pulse
	Failed     bool
	Incomplete bool
	Counts     *ShownCounts
}

// ShownCounts count what clients see of a calendar.
type ShownCounts struct{ Objects, Losses int }
