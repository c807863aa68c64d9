package graph

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"
)

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

// viewSelect is what View asks of each event: enough to tell whether a copy of it is the newest. A view does not give
// lastModifiedDateTime to those who select.
const viewSelect = "id,type,seriesMasterId,start,end,isAllDay,isCancelled,changeKey"

// View reads what the calendar shows in [start, end), page by page, with times in UTC and immutable ids: single events,
// occurrences and exceptions, no masters, no cancelled occurrences (learn.microsoft.com/graph/api/calendar-list-calendarview). Each
// has only its id, type, seriesMasterId, start, end, isAllDay, isCancelled, changeKey and ETag; the last two of an
// occurrence are its series'. The window may span 1825 days. It keeps no state at Graph, so it may be asked at any time:
// to check a mirror, and in place of Delta where Graph refuses that (delegated access to the calendar of somebody else:
// github.com/microsoftgraph/microsoft-graph-docs/issues/3997). It ends at the first error, and only a View that ended
// without one is complete.
func (c *Client) View(ctx context.Context, cal CalendarID, start, end time.Time) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		// Such events are small, so a page holds ten times as many as one of Delta; a thousand is the most that $top takes.
		size := min(10*c.pageSize(), 1000)
		link := fmt.Sprintf("%s%s/calendars/%s/calendarView?startDateTime=%s&endDateTime=%s&$select=%s&$top=%d", c.BaseURL, c.root(),
			escape(string(cal)), escape(start.UTC().Format(utcTime)), escape(end.UTC().Format(utcTime)), viewSelect, size)
		err := pages(ctx, c, "read the view", link, fmt.Sprintf("odata.maxpagesize=%d, %s", size, prefer("UTC")), func(events []Event) bool {
			for _, e := range events {
				if !yield(e, nil) {
					return false
				}
			}
			return true
		})
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
