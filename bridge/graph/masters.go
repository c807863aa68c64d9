package graph

import (
	"context"
	"encoding/json"
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

// Masters reads series masters of cal (see eventPath) with all of their exceptions and cancelled occurrences, which Graph gives only in a
// GET of one master that names them (learn.microsoft.com/graph/api/event-get). Exceptions that Graph pages are read to
// the end and merged, and the Event's Raw is the merged JSON. Where Graph does not know the zone, the times are in
// UTC, as Start.TimeZone then says. Results come in the order asked; a master that is no series comes as it is.
func (c *Client) Masters(ctx context.Context, cal CalendarID, refs []MasterRef) []Result {
	results := make([]Result, len(refs))
	gets := make([]masterGet, len(refs))
	parts := make([]*request, len(refs))
	for i, ref := range refs {
		g, r := &gets[i], c.eventRequest("read series", cal, ref.ID, &results[i])
		g.named = c.selection(true)
		if g.zone = ref.Zone; !headerSafe(ref.Zone) {
			g.zone = "UTC"
		}
		plain := r.url
		g.ask(r, plain)
		r.relent = func(e *Error) bool {
			less := g.relent(e)
			g.ask(r, plain)
			return less
		}
		parts[i] = r
	}
	c.run(ctx, parts, c.sendBatches)
	for i, r := range parts {
		switch result := &results[i]; {
		case r.err != nil:
			result.Err = r.err
		case result.Event.MoreExceptions != "":
			merged, err := c.allExceptions(ctx, result.Event, prefer(gets[i].zone))
			result.Event, result.Err = merged, err
		}
		results[i].Partial = gets[i].named.partial()
	}
	return results
}

// masterGet is how one master is asked for: for less after each refusal.
type masterGet struct {
	zone  string
	named selection
}

// ask makes r the request for it; url is that of the event.
func (g *masterGet) ask(r *request, url string) {
	r.url, r.prefer = strings.TrimSuffix(url+"?"+g.named.query(), "?"), prefer(g.zone)
}

// relent asks for less after a refusal, and reports whether there is less to ask for.
func (g *masterGet) relent(e *Error) bool {
	if strings.EqualFold(e.Code, "ErrorInvalidIdMalformed") {
		return false
	}
	// Some zone names are refused with 400, others ("GMT+6:30") break the server, and keep breaking it.
	badZone := e.Status == http.StatusBadRequest && strings.Contains(strings.ToLower(e.Code), "timezone") || e.Status == http.StatusInternalServerError
	if badZone && g.zone != "UTC" {
		g.zone = "UTC"
		return true
	}
	return g.named.relent(e)
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
