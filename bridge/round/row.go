package round

import (
	"encoding/json"
	"errors"
	"fmt"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// rowOf is the mirror row of an event that a list or a GET gave.
func rowOf(e graph.Event, round int64) bridge.Row {
	row := bridge.Row{ID: e.ID, Series: e.ID, Kind: bridge.KindSingle, Round: round, Span: convert.SpanOf(e), Raw: e.Raw, Subject: e.Subject, ICalUID: e.ICalUID}
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
