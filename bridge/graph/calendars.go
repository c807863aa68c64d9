package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// calendarPage is how many calendars a page is asked to have: nobody should need a second one.
const calendarPage = "?$top=100"

// Calendars reads all calendars of the mailbox, over all pages and calendar groups. Calendars that others have shared may
// be missing (github.com/microsoftgraph/microsoft-graph-docs/issues/8286): see GroupCalendars.
func (c *Client) Calendars(ctx context.Context) ([]Calendar, error) {
	const op = "read calendars"
	all, err := list[Calendar](ctx, c, op, c.BaseURL+c.root()+"/calendars"+calendarPage)
	if err != nil {
		return nil, err
	}
	return withIDs(op, all)
}

// PrimaryCalendar reads the mailbox's own, default calendar, the one that sharing a calendar is about as a rule.
func (c *Client) PrimaryCalendar(ctx context.Context) (Calendar, error) {
	return c.calendar(ctx, "read the primary calendar", "/calendar")
}

// Calendar reads one calendar of the mailbox (learn.microsoft.com/graph/api/calendar-get). IsNotFound tells that it is
// gone.
func (c *Client) Calendar(ctx context.Context, id CalendarID) (Calendar, error) {
	return c.calendar(ctx, "read a calendar", "/calendars/"+escape(string(id)))
}

func (c *Client) calendar(ctx context.Context, op, path string) (Calendar, error) {
	return c.calendarOf(ctx, request{op: op, method: http.MethodGet, url: c.BaseURL + c.root() + path})
}

// CreateCalendar makes another calendar (learn.microsoft.com/graph/api/user-post-calendars). It is not idempotent; IsConflict says
// that there is one of that name.
func (c *Client) CreateCalendar(ctx context.Context, name string) (Calendar, error) {
	const op = "create a calendar"
	body, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		return Calendar{}, fmt.Errorf("%s: %w", op, err)
	}
	return c.calendarOf(ctx, request{op: op, method: http.MethodPost, url: c.BaseURL + c.root() + "/calendars", body: body})
}

// DeleteCalendar deletes a calendar with all of its events. One that is gone already is no error.
func (c *Client) DeleteCalendar(ctx context.Context, id CalendarID) error {
	const op = "delete a calendar"
	if id == "" {
		return fmt.Errorf("%s: the id of the calendar is empty", op)
	}
	err := c.do(ctx, request{op: op, method: http.MethodDelete, url: c.BaseURL + c.root() + "/calendars/" + escape(string(id)), idempotent: true, decode: ignore})
	if IsNotFound(err) {
		return nil
	}
	return err
}

// calendarOf is a request that a calendar is the answer to.
func (c *Client) calendarOf(ctx context.Context, r request) (Calendar, error) {
	var cal Calendar
	r.prefer = prefer("UTC")
	r.decode = func(b []byte) error {
		if err := readItem(b, &cal); err != nil {
			return fmt.Errorf("the answer is not a calendar: %w", err)
		}
		if cal.ID == "" {
			return errors.New("the answer is not a calendar: it has no id")
		}
		return nil
	}
	if err := c.do(ctx, r); err != nil {
		return Calendar{}, err
	}
	return cal, nil
}

// GroupCalendars reads the calendars of all calendar groups ("My Calendars", "Other Calendars", "People's Calendars" and
// the person's own), each calendar once. It takes two requests where there are up to twenty groups, and is worth them
// only beside Calendars. Where Graph has no groups for the mailbox, or does not let the token see them, the error is one
// that IsNotOffered reports: keep the calendars that are known then, since it does not say that they are gone.
func (c *Client) GroupCalendars(ctx context.Context) ([]Calendar, error) {
	const op = "read calendar groups"
	type group struct {
		ID string `json:"id"`
	}
	groups, err := list[group](ctx, c, op, c.BaseURL+c.root()+"/calendarGroups"+calendarPage)
	if err != nil {
		return nil, err
	}
	firsts := make([][]Calendar, len(groups))
	nexts := make([]string, len(groups))
	parts := make([]*request, len(groups))
	for i, g := range groups {
		if g.ID == "" {
			return nil, &Error{Op: op, Status: http.StatusOK, garbled: true, Message: "a calendar group of the list has no id"}
		}
		parts[i] = &request{op: op, method: http.MethodGet, url: c.BaseURL + c.root() + "/calendarGroups/" + escape(g.ID) + "/calendars" + calendarPage,
			prefer: prefer("UTC"), decode: func(b []byte) error {
				cals, p, err := readPage[Calendar](b)
				firsts[i], nexts[i] = cals, p.Next
				return err
			}}
	}
	c.run(ctx, parts, c.sendBatches)
	var all []Calendar
	for i, r := range parts {
		if IsNotFound(r.err) {
			continue // deleted since the groups were listed
		}
		if r.err != nil {
			return nil, r.err
		}
		if err := c.returnedLink(op, nexts[i]); err != nil {
			return nil, err
		}
		all = append(all, firsts[i]...)
		if nexts[i] != "" {
			more, err := list[Calendar](ctx, c, op, nexts[i])
			if err != nil {
				return nil, err
			}
			all = append(all, more...)
		}
	}
	seen := make(map[CalendarID]bool)
	all = slices.DeleteFunc(all, func(cal Calendar) bool {
		again := seen[cal.ID]
		seen[cal.ID] = cal.ID != ""
		return again
	})
	return withIDs(op, all)
}

// withIDs refuses a list with a calendar that could not be asked for.
func withIDs(op string, all []Calendar) ([]Calendar, error) {
	if slices.ContainsFunc(all, func(cal Calendar) bool { return cal.ID == "" }) {
		return nil, &Error{Op: op, Status: http.StatusOK, garbled: true, Message: "a calendar of the list has no id"}
	}
	return all, nil
}

// list reads a whole list, from link to its last page.
func list[T any](ctx context.Context, c *Client, op, link string) (all []T, err error) {
	err = pages(ctx, c, op, link, prefer("UTC"), func(items []T) bool {
		all = append(all, items...)
		return true
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
