package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// MasterRef names a series master and the zone to read its times in: a Windows or IANA name, "" for UTC. Dates of
// occurrences, days of the month and days of the week are only right in the series' own zone.
type MasterRef struct {
	ID   EventID
	Zone string
}

// Masters reads series masters with all of their exceptions and cancelled occurrences, which Graph gives only in a
// GET of one master that names them (learn.microsoft.com/graph/api/event-get). Exceptions that Graph pages are read to
// the end and merged, and the Event's Raw is the merged JSON. Where Graph does not know the zone, the times are in
// UTC, as Start.TimeZone then says. Results come in the order asked; a master that is no series comes as it is.
func (c *Client) Masters(ctx context.Context, refs []MasterRef) []Result {
	const op = "read series"
	results := make([]Result, len(refs))
	gets := make([]masterGet, len(refs))
	todo := make([]int, len(refs))
	for i, ref := range refs {
		gets[i] = masterGet{zone: ref.Zone}
		if !headerSafe(ref.Zone) {
			gets[i].zone = "UTC"
		}
		todo[i] = i
	}
	// Each pass asks less of those that were refused, at most twice: another zone, fewer properties.
	for len(todo) > 0 {
		var ids []EventID
		var batch []batchGet
		for _, i := range todo {
			ids, batch = append(ids, refs[i].ID), append(batch, gets[i].get(c, refs[i].ID))
		}
		var again []int
		for k, r := range c.batchEvents(ctx, op, ids, batch) {
			i := todo[k]
			if r.Err != nil && gets[i].relent(r.Err) {
				again = append(again, i)
				continue
			}
			r.Partial = gets[i].plain
			results[i] = r
		}
		todo = again
	}
	for i, r := range results {
		if r.Err == nil && r.Event.MoreExceptions != "" {
			merged, err := c.allExceptions(ctx, r.Event, prefer(gets[i].zone))
			results[i] = Result{ID: r.ID, Event: merged, Err: err}
		}
	}
	return results
}

// masterGet is how one master is asked for.
type masterGet struct {
	zone  string
	plain bool // without the properties that some clouds do not know
}

func (g masterGet) get(c *Client, id EventID) batchGet {
	url := c.eventPath(id)
	if !g.plain {
		url += "?$select=" + eventSelect() + ",cancelledOccurrences,exceptionOccurrences&$expand=exceptionOccurrences"
	}
	return batchGet{url: url, prefer: prefer(g.zone)}
}

// relent asks for less after a refusal, and reports whether there is less to ask for.
func (g *masterGet) relent(err error) bool {
	var e *Error
	if !errors.As(err, &e) || strings.EqualFold(e.Code, "ErrorInvalidIdMalformed") {
		return false
	}
	// Some zone names are refused with 400, others ("GMT+6:30") break the server, and keep breaking it.
	badZone := e.Status == http.StatusBadRequest && strings.Contains(strings.ToLower(e.Code), "timezone") || e.Status == http.StatusInternalServerError
	switch {
	case badZone && g.zone != "UTC":
		g.zone = "UTC"
	case !g.plain && (e.Status == http.StatusBadRequest || e.Status == http.StatusNotImplemented):
		g.plain = true
	default:
		return false
	}
	return true
}

// headerSafe reports whether a zone name can stand in a Prefer header; "" cannot.
func headerSafe(zone string) bool {
	return zone != "" && !strings.ContainsFunc(zone, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' })
}

// allExceptions reads the rest of the exceptions of a master and merges them into its JSON.
func (c *Client) allExceptions(ctx context.Context, master Event, prefer string) (Event, error) {
	var props map[string]json.RawMessage
	if err := json.Unmarshal(master.Raw, &props); err != nil {
		return Event{}, fmt.Errorf("read series: %w", err)
	}
	if err := c.returnedLink("read series", master.MoreExceptions); err != nil {
		return Event{}, err
	}
	exceptions := slices.Clone(master.ExceptionOccurrences)
	err := pages(ctx, c, "read exceptions of a series", master.MoreExceptions, prefer, func(more []Event) bool {
		exceptions = append(exceptions, more...)
		return true
	})
	if err != nil {
		return Event{}, err
	}
	all, err := json.Marshal(exceptions)
	if err != nil {
		return Event{}, fmt.Errorf("read series: %w", err)
	}
	for name := range props {
		if lower := strings.ToLower(name); lower == "exceptionoccurrences" || lower == "exceptionoccurrences@odata.nextlink" {
			delete(props, name)
		}
	}
	props["exceptionOccurrences"] = all
	raw, err := json.Marshal(props)
	if err != nil {
		return Event{}, fmt.Errorf("read series: %w", err)
	}
	var merged Event
	if err := json.Unmarshal(raw, &merged); err != nil {
		return Event{}, fmt.Errorf("read series: %w", err)
	}
	return merged, nil
}
