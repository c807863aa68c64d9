package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ErrForeignLink refuses a link that does not lead to BaseURL's scheme and host, before anything is sent.
var ErrForeignLink = errors.New("the link leads to another host than the configured Graph")

// DeltaPage is one page of a round. Exactly one of Next (more pages follow) and Delta (the round is complete, and this
// opens the next one) is set. Both are opaque and are followed verbatim.
type DeltaPage struct {
	Events []Event
	Next   string
	Delta  string
}

// utcTime is how Graph takes an instant in startDateTime and endDateTime.
const utcTime = "2006-01-02T15:04:05Z"

// DeltaURL is the first request of a round over the events of cal that touch [start, end), which may span 1825 days
// (learn.microsoft.com/graph/api/event-delta). Asking it again while a cursor lives loses deletions.
func (c *Client) DeltaURL(cal CalendarID, start, end time.Time) string {
	return fmt.Sprintf("%s%s/calendars/%s/calendarView/delta?startDateTime=%s&endDateTime=%s", c.BaseURL, c.root(), escape(string(cal)),
		escape(start.UTC().Format(utcTime)), escape(end.UTC().Format(utcTime)))
}

// Delta reads one page: link is a DeltaURL, or the Next or Delta of an earlier page, verbatim. Its times are in UTC and
// its ids immutable. Occurrences are skeletal (id, seriesMasterId, type, start, end), and an event with Removed set is
// a tombstone of nothing but an id, which also comes for events outside the window. Items come in any order, and
// repeatedly. IsSyncStateLost tells when the cursor is dead.
func (c *Client) Delta(ctx context.Context, link string) (DeltaPage, error) {
	const op = "read changes"
	var out DeltaPage
	err := c.do(ctx, request{op: op, method: http.MethodGet, url: link, prefer: c.pagePrefer("UTC"), cursor: isCursor(link), decode: func(b []byte) (err error) {
		out, err = readDeltaPage(b)
		if err == nil && out.Next == link {
			err = errors.New("the page names itself as the next one")
		}
		return err
	}})
	if err != nil {
		return DeltaPage{}, err
	}
	if err := c.returnedLink(op, out.Next+out.Delta); err != nil {
		return DeltaPage{}, err
	}
	return out, nil
}

func readDeltaPage(b []byte) (DeltaPage, error) {
	events, p, err := readPage[Event](b)
	if err != nil {
		return DeltaPage{}, err
	}
	if (p.Next == "") == (p.Delta == "") {
		return DeltaPage{}, errors.New("a page of changes has one of nextLink and deltaLink, this one has none or both")
	}
	return DeltaPage{Events: events, Next: p.Next, Delta: p.Delta}, nil
}

// isCursor reports whether link carries the state of a round, and not the dates of a first request.
func isCursor(link string) bool {
	u, err := url.Parse(link)
	if err != nil {
		return false
	}
	q := strings.ToLower(u.RawQuery)
	return strings.Contains(q, "deltatoken") || strings.Contains(q, "skiptoken")
}
