package convert

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// Graph's dates (of the pattern, of removed and modified occurrences) are those of a zone that it does not name. With what
// it lists, or where that zone does not change its clock, all instances are right, and none is on another day.
func TestDatesOfUnknownZones(t *testing.T) {
	constant := []string{"India Standard Time", "Tokyo Standard Time", "Pacific/Kiritimati", "Hawaiian Standard Time", "Nepal Standard Time",
		"SA Pacific Standard Time", "Arabian Standard Time", "Etc/GMT+11"}
	names := []string{"tzone://Microsoft/Custom", "Customized Time Zone", "", "Nowhere/Atall"}
	mailboxes := []string{"", "UTC", "tzone://Microsoft/Custom", "China Standard Time", "W. Europe Standard Time", "Pacific Standard Time", "New Zealand Standard Time"}
	rapid.Check(t, func(t *rapid.T) {
		listed := rapid.Bool().Draw(t, "listed")
		zones, mailboxes := constant, mailboxes[:4] // whose clocks are not turned either
		if listed {
			zones, mailboxes = testZones, mailboxes[:cap(mailboxes)]
		}
		s, want, more := drawSeriesIn(t, zones)
		if s.Event.IsAllDay || len(want) == 0 {
			return
		}
		loc, _, _ := LoadZone(s.Event.OriginalStartTimeZone)
		name := rapid.SampledFrom(names).Draw(t, "name")
		s.MailboxZone = rapid.SampledFrom(mailboxes).Draw(t, "mailbox")
		s.Event.OriginalStartTimeZone, s.Event.OriginalEndTimeZone, s.Event.Recurrence.Range.RecurrenceTimeZone = name, name, name
		start, _, _ := readMoment(s.Event.Start, zone{})
		first := ics.Wall(start.at, loc)
		for i := range s.Exceptions {
			e := &s.Exceptions[i]
			e.OriginalStartTimeZone = name
			day, _ := time.Parse(time.DateOnly, graph.OccurrenceDate(e.OccurrenceID))
			original := oracleInstant(day.Add(first.Sub(dateOf(first))), loc).UTC().Format(time.RFC3339)
			switch rapid.IntRange(0, 2).Draw(t, "says") {
			case 0:
				e.OriginalStart = original
			case 1:
				e.OriginalStart, e.OccurrenceID = original, ""
				e.ICalUID = globalID + fmt.Sprintf("%04X%02X%02X", day.Year(), day.Month(), day.Day()) + strings.Repeat("0", 40)
			}
		}
		last := want[len(want)-1].Start
		if more {
			last = last.AddDate(0, 0, -4)
		}
		check := Span{date(2015, 1, 1), last.Add(time.Second)}
		if listed {
			s.list(want, more)
			check.End = s.Window.End.Add(-fuzzy)
		}
		cal, losses, err := ToICS(s)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := ics.Encode(&b, cal); err != nil {
			t.Fatal(err)
		}
		compareSpans(t, cal, check, want, fmt.Sprint(loc, losses, "\n", b.String()), listed)
	})
}

// A series in UTC, or in another zone, whose recurrence has the days of a second one.
func TestDatesOfRecurrenceZone(t *testing.T) {
	for _, tc := range []struct{ zone, recurrence, mailbox, start, from, day, want string }{
		{"UTC", "Taipei Standard Time", "", "2026-12-04T22:00:00", "2026-12-05", "saturday", "Asia/Taipei"},
		{"UTC", "Eastern Standard Time", "", "2026-12-05T02:30:00", "2026-12-04", "friday", "America/New_York"},
		{"tzone://Microsoft/Utc", "W. Europe Standard Time", "", "2026-07-05T22:30:00", "2026-07-06", "monday", "Europe/Berlin"},
		{"UTC", "UTC", "Tokyo Standard Time", "2026-12-06T16:00:00", "2026-12-07", "monday", "Asia/Tokyo"},
		{"UTC", "", "", "2026-12-06T23:30:00", "2026-12-07", "monday", "Etc/GMT-2"},
		{"UTC", "tzone://Microsoft/Custom", "", "2026-12-08T00:30:00", "2026-12-07", "monday", "Etc/GMT+2"},
		{"Pacific Standard Time", "W. Europe Standard Time", "", "2026-12-07T01:00:00", "2026-12-07", "monday", "Europe/Berlin"},
		{"W. Europe Standard Time", "Pacific Standard Time", "", "2026-12-07T01:00:00", "2026-12-07", "monday", "Europe/Berlin"},
		{"UTC", "Taipei Standard Time", "", "2026-12-05T10:00:00", "2026-12-05", "saturday", ""},
		{"UTC", "Taipei Standard Time", "", "2026-12-04T22:00:00", "2026-12-01", "saturday", "Asia/Taipei"}, // the range begins before the first one
		{"UTC", "Taipei Standard Time", "", "2026-12-04T22:00:00", "2026-11-01", "friday", ""},              // says nothing
	} {
		s := Series{MailboxZone: tc.mailbox, Event: graph.Event{ID: "m", Type: graph.SeriesMaster, OriginalStartTimeZone: tc.zone,
			Start: graph.DateTimeTimeZone{DateTime: tc.start, TimeZone: "UTC"}, End: graph.DateTimeTimeZone{DateTime: tc.start, TimeZone: "UTC"},
			Recurrence: &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: []string{tc.day}},
				Range: graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 3, StartDate: tc.from, RecurrenceTimeZone: tc.recurrence}}}}
		from, _ := time.Parse(time.DateOnly, tc.from)
		for strings.ToLower(from.Weekday().String()) != tc.day {
			from = from.AddDate(0, 0, 1)
		}
		s.Cancelled = []string{"OID.m." + from.AddDate(0, 0, 7).Format(time.DateOnly)}
		cal, losses, err := ToICS(s)
		if err != nil {
			t.Fatal(err)
		}
		first, _ := time.Parse("2006-01-02T15:04:05", tc.start)
		if tc.want == "" && tc.day == "friday" {
			continue
		}
		compareSpans(t, cal, Span{date(2026, 1, 1), date(2028, 1, 1)}, []Span{{first, first}, {first.AddDate(0, 0, 14), first.AddDate(0, 0, 14)}}, encode(t, cal), true)
		if zones := strings.Join(zonesOf(cal.Children), " "); zones != tc.want || len(losses) > 0 {
			t.Errorf("%+v: in %q, losses %v", tc, zones, losses)
		}
	}
}

// Of the zones in which all that Graph lists begins at one time of day, one is taken that has the dates of the range, near
// to the mailbox's: not Azores for Berlin.
func TestFittingZoneHasTheDates(t *testing.T) {
	for _, tc := range []struct {
		zone, mailbox string
		clock         time.Duration
		want          []string
	}{
		{"Europe/Berlin", "", 30 * time.Minute, []string{"Africa/Ceuta", "Europe/Berlin", "Europe/Budapest", "Europe/Paris", "Europe/Warsaw"}},
		{"Europe/Helsinki", "Europe/Berlin", 30 * time.Minute, []string{"Europe/Chisinau", "Europe/Kiev", "Europe/Bucharest", "Asia/Nicosia"}},
		{"America/Los_Angeles", "UTC", 23*time.Hour + 30*time.Minute, []string{"America/Los_Angeles"}},
		{"Europe/London", "Etc/GMT+10", 12 * time.Hour, []string{"America/Godthab", "Atlantic/Azores"}},
	} {
		loc, err := time.LoadLocation(tc.zone)
		if err != nil {
			t.Fatal(err)
		}
		at := func(d time.Time) Span {
			start := ics.Instant(d.Add(tc.clock), loc)
			return Span{start, start.Add(time.Hour)}
		}
		monday := date(2026, 9, 7)
		s := Series{MailboxZone: tc.mailbox, Window: Span{date(2026, 9, 1), date(2027, 3, 1)}, Event: graph.Event{ID: "m", Type: graph.SeriesMaster,
			OriginalStartTimeZone: "tzone://Microsoft/Custom", Start: graphTime(at(monday).Start), End: graphTime(at(monday).End),
			Recurrence: &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: []string{"monday"}},
				Range: graph.RecurrenceRange{Type: "noEnd", StartDate: "2026-09-07"}}}}
		removed := date(2027, 7, 5) // beyond the list
		s.Cancelled = []string{"OID.m." + removed.Format(time.DateOnly)}
		var listed, later []Span
		for d := monday; d.Before(date(2028, 1, 1)); d = d.AddDate(0, 0, 7) {
			if !d.After(s.Window.End) {
				listed = append(listed, at(d))
			}
			if !d.Equal(removed) {
				later = append(later, at(d))
			}
		}
		s.Occurrences = listed
		cal, losses, err := ToICS(s)
		if err != nil {
			t.Fatal(err)
		}
		compareSpans(t, cal, Span{date(2026, 1, 1), date(2028, 1, 1)}, later, encode(t, cal), true)
		if zones := zonesOf(cal.Children); len(zones) != 1 || !slices.Contains(tc.want, zones[0]) {
			t.Errorf("%s: in %v, losses %v", tc.zone, zones, losses)
		}
	}
}
