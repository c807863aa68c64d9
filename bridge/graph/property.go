package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Names of the extended properties that the bridge writes with an event that a client made, in its own namespace
// (learn.microsoft.com/graph/api/resources/extended-properties-overview). They stay with the event when all else is lost, and are in no
// delta.
const (
	PropertyClientUID  = "String {c1f0a6de-7b36-4d59-9a41-3f8e5c2d7b10} Name ClientUid"  // the UID that clients know it by
	PropertyObjectName = "String {c1f0a6de-7b36-4d59-9a41-3f8e5c2d7b10} Name ObjectName" // the last segment of its path
	PropertyIntent     = "String {c1f0a6de-7b36-4d59-9a41-3f8e5c2d7b10} Name Intent"     // the transactionId that made it
)

// ExtendedProperty is the resource "singleValueLegacyExtendedProperty", as the body of a Create has them in
// "singleValueExtendedProperties".
type ExtendedProperty struct {
	ID    string `json:"id"`
	Value string `json:"value"`
}

// FindByProperty reads the single events and masters of a calendar, of the default one where cal is "", that have an extended property
// with a value, with the property (see Event.Property), and with times in UTC.
func (c *Client) FindByProperty(ctx context.Context, cal CalendarID, property, value string) ([]Event, error) {
	const has = "singleValueExtendedProperties"
	filter := fmt.Sprintf("%s/Any(ep: ep/id eq %s and ep/value eq %s)", has, literal(property), literal(value))
	link := fmt.Sprintf("%s%s?$filter=%s&$expand=%s&$top=%d", c.BaseURL, c.eventsPath(cal), escape(filter),
		has+escape("($filter=id eq "+literal(property)+")"), c.pageSize())
	return list[Event](ctx, c, "look for an event", link)
}

// Having reads the single events and masters of a calendar that have an extended property, with it, and with times in UTC.
func (c *Client) Having(ctx context.Context, cal CalendarID, property string) ([]Event, error) {
	const has = "singleValueExtendedProperties"
	filter := fmt.Sprintf("%s/Any(ep: ep/id eq %s and ep/value ne null)", has, literal(property))
	link := fmt.Sprintf("%s%s?$filter=%s&$expand=%s&$top=%d", c.BaseURL, c.eventsPath(cal), escape(filter),
		has+escape("($filter=id eq "+literal(property)+")"), c.pageSize())
	return list[Event](ctx, c, "look for events that clients made", link)
}

// Property is the value of an extended property of an event that was asked for with it.
func (e Event) Property(id string) (value string, ok bool) {
	var has struct {
		Properties []ExtendedProperty `json:"singleValueExtendedProperties"`
	}
	if e.Raw == nil || json.Unmarshal(e.Raw, &has) != nil {
		return "", false
	}
	for _, p := range has.Properties {
		if strings.EqualFold(p.ID, id) {
			return p.Value, true
		}
	}
	return "", false
}

// Found is an event and the calendar that it was found in; "": the default one.
type Found struct {
	Calendar CalendarID
	Event    Event
}

// FindByICalUID reads the single events and masters that have an iCalUId, with times in UTC, from each of the calendars; from the
// default one where none is given. Calendars that are gone have none.
func (c *Client) FindByICalUID(ctx context.Context, uid string, cals ...CalendarID) ([]Found, error) {
	if len(cals) == 0 {
		cals = []CalendarID{""}
	}
	filter := escape("iCalUId eq " + literal(uid))
	lists := make([][]Event, len(cals))
	parts := make([]*request, len(cals))
	for i, cal := range cals {
		parts[i] = &request{op: "look for an event", method: http.MethodGet, prefer: prefer("UTC"),
			url: fmt.Sprintf("%s%s?$filter=%s&$top=%d", c.BaseURL, c.eventsPath(cal), filter, c.pageSize()),
			decode: func(b []byte) (err error) {
				lists[i], _, err = readPage[Event](b)
				return err
			}}
	}
	c.runTogether(ctx, parts)
	var found []Found
	for i, r := range parts {
		if r.err != nil && !IsNotFound(r.err) {
			return nil, r.err
		}
		for _, e := range lists[i] {
			found = append(found, Found{cals[i], e})
		}
	}
	return found, nil
}

// literal is a string of an OData filter.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
