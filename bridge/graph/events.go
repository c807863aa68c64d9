package graph

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// Calendars reads all calendars of the mailbox, over all pages and calendar groups.
func (c *Client) Calendars(ctx context.Context) ([]Calendar, error) {
	const op = "read calendars"
	var all []Calendar
	err := pages(ctx, c, op, c.BaseURL+c.root()+"/calendars?$top=100", prefer("UTC"), func(cals []Calendar) bool {
		all = append(all, cals...)
		return true
	})
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(all, func(cal Calendar) bool { return cal.ID == "" }) {
		return nil, &Error{Op: op, Status: http.StatusOK, garbled: true, Message: "a calendar of the list has no id"}
	}
	return all, nil
}

// EventsFrom reads the single events and series masters of cal that start at or after from, page by page, with times
// in UTC: GET calendars/{id}/events, which has no window and knows nothing of occurrences. Where Graph will not filter
// them, all are read and those before from are left out here. It ends at the first error.
func (c *Client) EventsFrom(ctx context.Context, cal CalendarID, from time.Time) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		// The filter compares wall clocks in UTC and takes no offset.
		begin := from.UTC().Format("2006-01-02T15:04:05")
		list := fmt.Sprintf("%s%s/calendars/%s/events?", c.BaseURL, c.root(), escape(string(cal)))
		filter := "$filter=" + escape(fmt.Sprintf("start/dateTime ge '%s'", begin))
		top := fmt.Sprintf("$top=%d", c.pageSize())
		began := false
		each := func(events []Event) bool {
			began = true
			for _, e := range events {
				if at := e.Start.DateTime; (at == "" || at >= begin) && !yield(e, nil) {
					return false
				}
			}
			return true
		}
		const op = "read events ahead"
		err := pages(ctx, c, op, list+filter+"&"+top, c.pagePrefer("UTC"), each)
		if refusesFilter(err) && !began {
			if pages(ctx, c, op, list+top, c.pagePrefer("UTC"), each) == nil {
				return
			}
		}
		if err != nil {
			yield(Event{}, err)
		}
	}
}

// refusesFilter reports an answer of Graph's own that the request may be the reason of.
func refusesFilter(err error) bool {
	e := asError(err)
	return e != nil && !e.garbled && (e.Status == http.StatusBadRequest || e.Status == http.StatusInternalServerError ||
		e.Status == http.StatusNotImplemented || e.Status == http.StatusGatewayTimeout)
}

// Instances reads the occurrences and exceptions of a series that touch [start, end), in no order, with times in UTC.
// Cancelled occurrences are not among them, and for some mailboxes the exceptions are not either
// (github.com/microsoftgraph/microsoft-graph-docs/issues/15611): it is a second opinion, not the truth.
func (c *Client) Instances(ctx context.Context, master EventID, start, end time.Time) ([]Event, error) {
	const op = "read occurrences"
	if master == "" {
		return nil, errEmptyID(op)
	}
	link := fmt.Sprintf("%s%s?startDateTime=%s&endDateTime=%s&$top=%d", c.BaseURL, c.eventPath(master)+"/instances",
		escape(start.UTC().Format(utcTime)), escape(end.UTC().Format(utcTime)), c.pageSize())
	read := func(link string) ([]Event, error) {
		var all []Event
		err := pages(ctx, c, op, link, c.pagePrefer("UTC"), func(events []Event) bool {
			all = append(all, events...)
			return true
		})
		return all, err
	}
	// originalStart and occurrenceId come for certain only when they are named.
	all, err := read(link + "&$select=" + eventSelect())
	if isStatus(err, http.StatusBadRequest) {
		all, err = read(link)
	}
	if err != nil {
		return nil, err
	}
	return all, nil
}

func (c *Client) eventPath(id EventID) string {
	return c.root() + "/events/" + escape(string(id))
}

// eventSelect is the $select list of every property that Event knows, without annotations and the two properties of
// series masters that need a $select of their own (see masterSelect).
var eventSelect = sync.OnceValue(func() string {
	var names []string
	t := reflect.TypeFor[Event]()
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("json")
		switch {
		case name == "-", strings.Contains(name, "@"), name == "cancelledOccurrences", name == "exceptionOccurrences":
		default:
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
})

func errEmptyID(op string) error {
	return fmt.Errorf("%s: %w", op, errors.New("the id of the event is empty"))
}
