package round

import (
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/caldav/ics"
)

const (
	// windowPad widens the window on both sides: an all-day event has its instants in its creator's zone, so at
	// the ends Graph may list or miss it a day off.
	windowPad = 24 * time.Hour
	// MaxWindow is the longest range that Graph allows, less the padding.
	MaxWindow = 1825*24*time.Hour - 2*windowPad
	// unsure is how near the ends of the window the listing of occurrences is not taken for the truth, for the same reason.
	unsure = 48 * time.Hour
)

// periods are how far a calendar's window reaches back and ahead; zero: 4 and 12 months.
type periods struct{ history, horizon bridge.Period }

// window is what a first round at now asks for.
func (p periods) window(now time.Time) convert.Span {
	if p.history == (bridge.Period{}) {
		p.history = bridge.Period{Months: 4}
	}
	if p.horizon == (bridge.Period{}) {
		p.horizon = bridge.Period{Months: 12}
	}
	day := now.Truncate(24 * time.Hour)
	return convert.Span{Start: p.history.Before(day).Add(-windowPad), End: p.horizon.After(day).Add(24*time.Hour + windowPad)}
}

// outdated reports whether the window is to be opened again: a quarter of the horizon is used up, or the periods have
// changed.
func (p periods) outdated(have convert.Span, now time.Time) bool {
	want := p.window(now)
	slack := max(want.End.Sub(now)/4, 48*time.Hour)
	start, end := want.Start.Sub(have.Start), want.End.Sub(have.End)
	return end > slack || end < -48*time.Hour || start < -48*time.Hour || start > slack+48*time.Hour
}

// timetableWindow is what timetables of objects tell of: beyond the window, since clients look there too.
func timetableWindow(w convert.Span) ics.Span {
	return ics.Span{Start: w.Start.AddDate(0, -6, 0), End: w.End.AddDate(1, 0, 0)}
}

// isPast reports whether something that ends then is history that the window does not reach; a zero end is none. What has
// become so with time is kept; what is moved there is not served any more.
func isPast(end time.Time, window convert.Span) bool {
	return !end.IsZero() && !end.After(window.Start)
}

// sure is the part of the window in which the listing of occurrences is the truth.
func sure(window convert.Span) convert.Span {
	return convert.Span{Start: window.Start.Add(unsure), End: window.End.Add(-unsure)}
}

func touches(a, b convert.Span) bool { return a.End.After(b.Start) && a.Start.Before(b.End) }
