package graph

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
)

// Calendar reads one calendar of the mailbox (learn.microsoft.com/graph/api/calendar-get). IsNotFound tells that it is
// gone.
func (c *Client) Calendar(ctx context.Context, id CalendarID) (Calendar, error) {
	var cal Calendar
	_, err := c.do(ctx, request{op: "read a calendar", method: http.MethodGet, url: c.BaseURL + c.root() + "/calendars/" + escape(string(id)), decode: func(b []byte) error {
		err := json.Unmarshal(b, &cal)
		if err == nil && cal.ID == "" {
			err = errors.New("the calendar has no id")
		}
		return err
	}})
	return cal, err
}
