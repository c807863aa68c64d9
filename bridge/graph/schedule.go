package graph

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Limits of one getSchedule: the addresses that its documentation allows (a hundred are taken), and the time that it looks at.
const (
	scheduleAddresses = 20
	scheduleSpan      = 62 * 24 * time.Hour
)

// Schedule is when somebody is busy, by their default calendar. Where Err is set it is not known.
type Schedule struct {
	Address string // as asked
	Items   []ScheduleItem
	Err     *ScheduleError
}

// ScheduleItem is one event of somebody.
type ScheduleItem struct {
	Status     string // free, tentative, busy, oof, workingElsewhere, unknown
	Start, End time.Time
	Subject    string // "" where it may not be known
	Location   string
	Private    bool
}

// ScheduleError is why the times of one address are not known. 5009: there is nobody of that address in the organization, 5006: there
// are too many items; "": Graph told nothing of the address.
type ScheduleError struct{ Code, Message string }

func (e *ScheduleError) Error() string {
	return fmt.Sprintf("the schedule is not known (%s): %s", e.Code, e.Message)
}

// Schedules reads when people are busy in [start, end) (learn.microsoft.com/graph/api/calendar-getschedule), of any number of addresses
// and any length, one for each address in the order asked. interval is in minutes, 5 to 1440; 0: 30. Graph offers it for work and school
// accounts: IsNotOffered tells that it does not.
func (c *Client) Schedules(ctx context.Context, addresses []string, start, end time.Time, interval int) ([]Schedule, error) {
	schedules := make([]Schedule, len(addresses))
	for i, a := range addresses {
		schedules[i].Address = a
	}
	var parts []*request
	for of := range slices.Chunk(schedules, scheduleAddresses) {
		for from := start; from.Before(end); from = from.Add(scheduleSpan) {
			r, err := c.scheduleRequest(of, from, earlier(from.Add(scheduleSpan), end), orDefault(interval, 30))
			if err != nil {
				return nil, err
			}
			parts = append(parts, r)
		}
	}
	c.runTogether(ctx, parts)
	for _, r := range parts {
		if r.err != nil {
			return nil, r.err
		}
	}
	for i := range schedules {
		s := &schedules[i]
		slices.SortFunc(s.Items, func(a, b ScheduleItem) int {
			return cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End), cmp.Compare(a.Status, b.Status), cmp.Compare(a.Subject, b.Subject))
		})
		// What lasts over the end of one request is in the answer to the next one too.
		s.Items = slices.CompactFunc(s.Items, func(a, b ScheduleItem) bool {
			return a.Start.Equal(b.Start) && a.End.Equal(b.End) && a.Status == b.Status && a.Subject == b.Subject
		})
		if s.Err != nil {
			s.Items = nil
		}
	}
	return schedules, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// scheduleJSON is the resource "scheduleInformation".
type scheduleJSON struct {
	ID    string `json:"scheduleId"`
	Items []struct {
		Status   string           `json:"status"`
		Start    DateTimeTimeZone `json:"start"`
		End      DateTimeTimeZone `json:"end"`
		Subject  string           `json:"subject"`
		Location string           `json:"location"`
		Private  bool             `json:"isPrivate"`
	} `json:"scheduleItems"`
	Error *struct {
		Message string `json:"message"`
		Code    string `json:"responseCode"`
	} `json:"error"`
}

// scheduleRequest asks for one span of time of some, and adds what comes to them.
func (c *Client) scheduleRequest(of []Schedule, from, to time.Time, interval int) (*request, error) {
	const op = "read schedules"
	var asked struct {
		Schedules []string         `json:"schedules"`
		Start     DateTimeTimeZone `json:"startTime"`
		End       DateTimeTimeZone `json:"endTime"`
		Interval  int              `json:"availabilityViewInterval"`
	}
	for _, s := range of {
		asked.Schedules = append(asked.Schedules, s.Address)
	}
	asked.Start, asked.End, asked.Interval = inUTC(from), inUTC(to), interval
	body, err := json.Marshal(asked)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	// It reads, whatever its method.
	return &request{op: op, method: http.MethodPost, url: c.BaseURL + c.root() + "/calendar/getSchedule", prefer: prefer("UTC"), body: body, idempotent: true,
		decode: func(b []byte) error {
			told, _, err := readPage[scheduleJSON](b)
			if err != nil {
				return err
			}
			for i := range of {
				of[i].take(told)
			}
			return nil
		}}, nil
}

// take adds what was told of the address.
func (s *Schedule) take(told []scheduleJSON) {
	i := slices.IndexFunc(told, func(j scheduleJSON) bool { return strings.EqualFold(j.ID, s.Address) })
	switch {
	case i < 0:
		s.Err = &ScheduleError{Message: "there is no answer for the address"}
		return
	case told[i].Error != nil:
		s.Err = &ScheduleError{told[i].Error.Code, oneLine(told[i].Error.Message)}
		return
	}
	for _, item := range told[i].Items {
		start, ok1 := item.Start.inUTC()
		end, ok2 := item.End.inUTC()
		if !ok1 || !ok2 {
			s.Err = &ScheduleError{Message: "the times in the answer are not in UTC"}
			return
		}
		s.Items = append(s.Items, ScheduleItem{item.Status, start, end, item.Subject, item.Location, item.Private})
	}
}

func inUTC(t time.Time) DateTimeTimeZone {
	return DateTimeTimeZone{t.UTC().Format("2006-01-02T15:04:05"), "UTC"}
}

func (d DateTimeTimeZone) inUTC() (time.Time, bool) {
	t, err := time.Parse("2006-01-02T15:04:05.999999999", strings.TrimSuffix(d.DateTime, "Z"))
	return t, err == nil && (d.TimeZone == "" || strings.EqualFold(d.TimeZone, "UTC"))
}
