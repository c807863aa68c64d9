package graphsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// checkPattern refuses pattern properties with values that none of the types supports, as month 0 in a recurrence
// that was read and is sent back.
func (s *Server) checkPattern(raw json.RawMessage) error {
	if bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		return nil
	}
	var r struct {
		Pattern *struct {
			Type                        string
			Interval, Month, DayOfMonth *int
			DaysOfWeek                  []string
			FirstDayOfWeek, Index       *string
		}
		Range *graph.RecurrenceRange
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return &refusal{400, "BadRequest", "Cannot convert the value of property 'recurrence' to its type."}
	}
	p := r.Pattern
	if p == nil || r.Range == nil {
		return invalid("A recurrence needs a pattern and a range.")
	}
	if s.Writing.StrayRecurrence {
		for _, n := range []*(*int){&p.Month, &p.DayOfMonth} {
			if *n != nil && **n == 0 {
				*n = nil
			}
		}
	}
	needs := map[string]string{"daily": "", "weekly": "w", "absoluteMonthly": "d", "relativeMonthly": "w", "absoluteYearly": "dm", "relativeYearly": "wm"}
	need, known := needs[p.Type]
	switch {
	case !known:
		return invalid("Pattern type '%s'.", p.Type)
	case p.Interval == nil || *p.Interval < 1 || *p.Interval > 999:
		return invalid("Pattern interval.")
	case p.Month != nil && (*p.Month < 1 || *p.Month > 12) || p.Month == nil && strings.Contains(need, "m"):
		return invalid("Pattern month.")
	case p.DayOfMonth != nil && (*p.DayOfMonth < 1 || *p.DayOfMonth > 31) || p.DayOfMonth == nil && strings.Contains(need, "d"):
		return invalid("Pattern dayOfMonth.")
	case len(p.DaysOfWeek) == 0 && strings.Contains(need, "w"):
		return invalid("Pattern daysOfWeek.")
	case p.Index != nil && !slices.Contains([]string{"first", "second", "third", "fourth", "last"}, *p.Index):
		return invalid("Pattern index.")
	}
	days := p.DaysOfWeek
	if p.FirstDayOfWeek != nil {
		days = append(slices.Clone(days), *p.FirstDayOfWeek)
	}
	for _, d := range days {
		if _, ok := weekdays[strings.ToLower(d)]; !ok {
			return invalid("Day of the week '%s'.", d)
		}
	}
	if r.Range.RecurrenceTimeZone != "" || bytes.Contains(raw, []byte(`"recurrenceTimeZone"`)) {
		if _, ok := zone(r.Range.RecurrenceTimeZone); !ok {
			return &refusal{400, "TimeZoneNotSupportedException", fmt.Sprintf("A valid TimeZone value must be specified. The following TimeZone value is not supported: '%s'.", r.Range.RecurrenceTimeZone)}
		}
	}
	from, err := time.Parse(time.DateOnly, r.Range.StartDate)
	if err != nil {
		return &refusal{400, "ErrorRecurrenceEndDateTooBig", "Recurrence end date can not exceed Sep 1, 4500 00:00:00."}
	}
	switch r.Range.Type {
	case "noEnd":
	case "endDate":
		if to, err := time.Parse(time.DateOnly, r.Range.EndDate); err != nil || to.Before(from) {
			return invalid("Range endDate.")
		}
	case "numbered":
		if n := r.Range.NumberOfOccurrences; n < 1 || n > 999 {
			return invalid("Range numberOfOccurrences.")
		}
	default:
		return invalid("Range type '%s'.", r.Range.Type)
	}
	return nil
}

// checkRange refuses a recurrence whose range does not begin on the date of the start. One that was stored may: its
// event starts at its first occurrence.
func checkRange(e Event) error {
	if r := e.Recurrence; r != nil && r.Range.StartDate != e.Start.Format(time.DateOnly) {
		return invalid("The startDate of the range is not the date of the start.")
	}
	return nil
}

// check refuses an event that Outlook cannot hold.
func check(e Event, m *Mailbox) error {
	for _, v := range []struct{ name, value, allowed string }{
		{"showAs", e.ShowAs, "free tentative busy oof workingElsewhere unknown"},
		{"sensitivity", e.Sensitivity, "normal personal private confidential"},
		{"importance", e.Importance, "low normal high"},
	} {
		if v.value != "" && !slices.Contains(strings.Fields(v.allowed), v.value) {
			return &refusal{400, "BadRequest", fmt.Sprintf("Requested value '%s' of property '%s' was not found.", v.value, v.name)}
		}
	}
	if len(e.Attendees) > 500 {
		return invalid("Too many attendees.")
	}
	if e.AllDay && (!e.Start.Equal(date(e.Start)) || !e.End.Equal(date(e.End)) || !e.End.After(e.Start) || e.EndZone != "") {
		return &refusal{400, "ErrorInvalidRequest", "Your request can't be completed. An all-day event needs to start and end at midnight, in the same time zone, and to last a day at least."}
	}
	loc := m.zoneOf(e)
	if instant(e.End, loc).Before(instant(e.Start, loc)) {
		return invalid("The end is before the start.")
	}
	if e.Recurrence == nil {
		return nil
	}
	x := newExpansion(newRule(*e.Recurrence, e.Start, m.server.Skip29))
	first, ok := x.first()
	if !ok {
		return &refusal{400, "ErrorRecurrenceHasNoOccurrence", "The recurrence has no occurrence."}
	}
	for years := 1; years <= 32; years *= 2 {
		if dates := x.upTo(first.AddDate(years, 0, 0)); len(dates) > 1 {
			for i := range dates[1:min(len(dates), 60)] {
				if e.End.Sub(e.Start) > dates[i+1].Sub(dates[i]) {
					return &refusal{400, "ErrorOccurrenceTimeSpanTooBig", "The duration of an occurrence must be shorter than the time between occurrences."}
				}
			}
			break
		}
	}
	return nil
}
