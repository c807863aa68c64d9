package graph

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"
)

// EventsFrom reads the single events and series masters of cal that start at or after from, page by page, with times
// in UTC: GET calendars/{id}/events, which has no window and knows nothing of occurrences. Where Graph will not filter
// them, all are read and the others are left out here. Masters of series that started earlier and may go on after from
// follow: one that pauses for years is in no window before its next occurrence. Where Graph will not filter by type
// these are left out. It ends at the first error.
func (c *Client) EventsFrom(ctx context.Context, cal CalendarID, from time.Time) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		// The filter compares wall clocks in UTC and takes no offset.
		begin := from.UTC().Format("2006-01-02T15:04:05")
		list := fmt.Sprintf("%s%s/calendars/%s/events?", c.BaseURL, c.root(), escape(string(cal)))
		top := fmt.Sprintf("$top=%d", c.pageSize())
		began, left := false, false
		read := func(filter string, take func(Event) bool) error {
			if filter != "" {
				filter = "$filter=" + escape(filter) + "&"
			}
			return pages(ctx, c, "read events ahead", list+filter+top, c.pagePrefer("UTC"), func(events []Event) bool {
				began = true
				for _, e := range events {
					if take(e) && !yield(e, nil) {
						left = true
						return false
					}
				}
				return true
			})
		}
		starts := func(e Event) bool { return e.Start.DateTime == "" || e.Start.DateTime >= begin }
		err := read(fmt.Sprintf("start/dateTime ge '%s'", begin), starts)
		if refusesFilter(err) && !began {
			if read("", func(e Event) bool { return starts(e) || e.goesOn(from) }) == nil {
				return
			}
		}
		if err == nil && !left {
			err = read("type eq 'seriesMaster'", func(e Event) bool { return !starts(e) && e.goesOn(from) })
			if refusesFilter(err) {
				return
			}
		}
		if err != nil {
			yield(Event{}, err)
		}
	}
}

// goesOn reports whether e is the master of a series that may have occurrences at or after t, to the day. Of one that
// ends after a number of occurrences none is taken to be skipped.
func (e *Event) goesOn(t time.Time) bool {
	if e.Type != SeriesMaster || e.Recurrence == nil {
		return false
	}
	p, r := e.Recurrence.Pattern, e.Recurrence.Range
	var last time.Time
	var err error
	switch {
	case strings.EqualFold(r.Type, "endDate"):
		last, err = time.Parse(time.DateOnly, r.EndDate)
	case strings.EqualFold(r.Type, "numbered"):
		// Thousands of years on, nothing is to overflow.
		n, interval := min(max(r.NumberOfOccurrences, 0), 9999), min(max(p.Interval, 1), 9999)
		last, err = time.Parse(time.DateOnly, r.StartDate)
		switch kind := strings.ToLower(p.Type); {
		case kind == "daily":
			last = last.AddDate(0, 0, n*interval)
		case kind == "weekly":
			days := max(len(p.DaysOfWeek), 1)
			last = last.AddDate(0, 0, 7*interval*((n+days-1)/days))
		case strings.HasSuffix(kind, "monthly"):
			last = last.AddDate(0, n*interval, 0)
		default:
			last = last.AddDate(n*interval, 0, 0)
		}
	default:
		return true
	}
	return err == nil && !last.AddDate(0, 0, 1).Before(t.Truncate(24*time.Hour))
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
	// Such events are small, so a page holds ten times as many as one of Delta; a thousand is the most that $top takes.
	return c.view(ctx, cal, start, end, "&$select="+viewSelect, min(10*c.pageSize(), 1000))
}

// FullView is View with all properties of each event, for those that Graph lists and does not show by themselves.
func (c *Client) FullView(ctx context.Context, cal CalendarID, start, end time.Time) iter.Seq2[Event, error] {
	return c.view(ctx, cal, start, end, "", c.pageSize())
}

func (c *Client) view(ctx context.Context, cal CalendarID, start, end time.Time, sel string, size int) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		link := fmt.Sprintf("%s%s/calendars/%s/calendarView?startDateTime=%s&endDateTime=%s%s&$top=%d", c.BaseURL, c.root(),
			escape(string(cal)), escape(start.UTC().Format(utcTime)), escape(end.UTC().Format(utcTime)), sel, size)
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

// Instances reads the occurrences and exceptions of a series of cal (see eventPath) that touch [start, end), in no order, with times in UTC.
// Cancelled occurrences are not among them, and for some mailboxes the exceptions are not either
// (github.com/microsoftgraph/microsoft-graph-docs/issues/15611): it is a second opinion, not the truth.
func (c *Client) Instances(ctx context.Context, cal CalendarID, master EventID, start, end time.Time) ([]Event, error) {
	const op = "read occurrences"
	if master == "" {
		return nil, errEmptyID(op)
	}
	link := fmt.Sprintf("%s%s?startDateTime=%s&endDateTime=%s&$top=%d", c.BaseURL, c.eventPath(cal, master)+"/instances",
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
	for named := c.selection(false); ; {
		all, err := read(strings.TrimSuffix(link+"&"+named.query(), "&"))
		if err == nil {
			return all, nil
		}
		if e := asError(err); e == nil || !named.relent(e) {
			return nil, err
		}
	}
}

// eventPath is where an event of a calendar is; without one, of any calendar that is the mailbox's own. Events of a calendar
// that somebody has shared into the mailbox are only at the former: the latter answers 404 for them.
func (c *Client) eventPath(cal CalendarID, id EventID) string {
	path := c.root()
	if cal != "" {
		path += "/calendars/" + escape(string(cal))
	}
	return path + "/events/" + escape(string(id))
}

func errEmptyID(op string) error {
	return fmt.Errorf("%s: %w", op, errors.New("the id of the event is empty"))
}
