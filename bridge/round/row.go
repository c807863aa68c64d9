package round

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// rowOf is the mirror row of an event that a list or a GET gave.
func rowOf(e graph.Event, round int64) bridge.Row {
	row := bridge.Row{ID: e.ID, Series: e.ID, Kind: bridge.KindSingle, Round: round, Span: spanOf(e), Raw: e.Raw}
	switch {
	case e.Type == graph.SeriesMaster || e.Type == "" && e.Recurrence != nil:
		row.Kind = bridge.KindMaster
	case e.Type == graph.Exception && e.SeriesMasterID != "":
		row.Kind, row.Series = bridge.KindException, e.SeriesMasterID
	case e.Type == graph.Occurrence && e.SeriesMasterID != "":
		row.Kind, row.Series = bridge.KindOccurrence, e.SeriesMasterID
	}
	return row
}

// eventOf is what Graph said of a row.
func eventOf(row bridge.Row) (graph.Event, error) {
	var e graph.Event
	if err := json.Unmarshal(row.Raw, &e); err != nil {
		return e, fmt.Errorf("mirror row %s: %w", row.ID, err)
	}
	if e.ID == "" {
		e.ID = row.ID
	}
	return e, nil
}

// spanOf is when an event is, as the mirror keeps it; the zero Span where its times cannot be read. An all-day event
// is midnight to midnight in UTC whatever its zone.
func spanOf(e graph.Event) convert.Span {
	at := func(d graph.DateTimeTimeZone) time.Time {
		loc := time.UTC
		if l, _, ok := convert.LoadZone(d.TimeZone); ok && !e.IsAllDay {
			loc = l
		}
		t, err := time.ParseInLocation("2006-01-02T15:04:05.9999999", strings.TrimSuffix(d.DateTime, "Z"), loc)
		if err != nil {
			return time.Time{}
		}
		return t.UTC()
	}
	return convert.Span{Start: at(e.Start), End: at(e.End)}
}

// isHidden reports that Graph itself will not show an event by its id, whatever the reason: it says that there is none, or denies
// access to it, while it shows everything else.
func isHidden(err error) bool {
	return isGone(err) || graph.IsNotOffered(err) && !graph.IsSignInNeeded(err)
}

// isGone reports that Graph has no such event: it says so, or it does not take the id for one any more.
func isGone(err error) bool {
	var e *graph.Error
	return graph.IsNotFound(err) || errors.As(err, &e) && e.Code == "ErrorInvalidIdMalformed"
}
