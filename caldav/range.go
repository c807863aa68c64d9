package caldav

import (
	"time"

	"outbridge/caldav/ics"
)

// A CALDAV:time-range (RFC 4791 §9.9) is an ics.Span.

// parseRange reads the attributes of a CALDAV:time-range, of which one may be absent.
func parseRange(n *node) (*ics.Span, error) {
	var r ics.Span
	for name, t := range map[string]*time.Time{"start": &r.Start, "end": &r.End} {
		if v := n.attr(name); v != "" {
			m, err := ics.ParseMoment(v, nil)
			if err != nil || m.Date || m.Loc != time.UTC || m.Wall.Year() < 1 {
				return nil, badRequest("a time range is not in UTC as YYYYMMDDThhmmssZ")
			}
			*t = m.Wall
		}
	}
	if r.Start.IsZero() && r.End.IsZero() {
		return nil, badRequest("a time range has neither start nor end")
	}
	if !r.Start.IsZero() && !r.End.IsZero() && !r.Start.Before(r.End) {
		return nil, badRequest("a time range ends before it starts")
	}
	return &r, nil
}

// parseClosedRange reads a range that must have both bounds.
func parseClosedRange(n *node) (*ics.Span, error) {
	r, err := parseRange(n)
	if err == nil && (r.Start.IsZero() || r.End.IsZero()) {
		return nil, badRequest("a time range lacks its start or its end")
	}
	return r, err
}

// filterRange is parseRange with the answer that a filter gets.
func filterRange(n *node) (*ics.Span, error) {
	r, err := parseRange(n)
	if err != nil {
		return nil, errFilter
	}
	return r, nil
}

type verdict uint8

const (
	unsure verdict = iota
	outside
	inside
)

// judge tells from an object's bounds alone whether it has an instance in the range, where they are far enough
// from the range's edges. Only what is left over has to be parsed. That there is an instance at a bound is not
// known: the first or the last of a series may have been deleted.
func judge(r ics.Span, o Object) verdict {
	if o.First.IsZero() {
		return unsure
	}
	unbounded := o.Last.IsZero()
	switch {
	case !r.End.IsZero() && !o.First.Before(r.End.Add(ics.Slack)),
		!r.Start.IsZero() && !unbounded && o.Last.Before(r.Start.Add(-ics.Slack)):
		return outside
	}
	within := (r.Start.IsZero() || !o.First.Before(r.Start.Add(ics.Slack))) &&
		(r.End.IsZero() || !unbounded && !o.Last.After(r.End.Add(-ics.Slack)))
	if within || unbounded && r.End.IsZero() { // all of its instances, or all but some
		return inside
	}
	return unsure
}
