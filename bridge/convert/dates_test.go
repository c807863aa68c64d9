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
				e.ICalUID = globalID + fmt.Sprintf("%04X%02X%02X", day.Year(), int(day.Month()), day.Day()) + strings.Repeat("0", 40)
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

// A series of a zone that Graph does not name, in the shapes that once misled the guess: the first occurrence removed, so that all
// that is listed begins at another instant of the day; the first one in an hour that comes twice in the mailbox's zone; the first
// one that is listed in an hour that is skipped. Each has all its occurrences, with a rule those beyond the list too.
func TestUnknownZoneOfOddFirst(t *testing.T) {
	for _, tc := range []struct {
		name, zone, mailbox string
		first               time.Time // by the clock of the zone
		kind                string
		step                int
		removed, changed    []int
	}{
		{"first removed", "Europe/Berlin", "", date(2015, 3, 29), "daily", 7, []int{0}, []int{6}},
		{"first removed, no rule", "Europe/Berlin", "", date(2015, 3, 29), "lunar", 7, []int{0}, []int{6}},
		{"twice in the mailbox's", "Australia/Lord_Howe", "New Zealand Standard Time", date(2015, 4, 5).Add(time.Hour), "daily", 7, nil, nil},
		{"listed first in a gap", "Asia/Tehran", "", date(2015, 3, 20), "daily", 1, []int{0, 1}, nil},
	} {
		loc, err := time.LoadLocation(tc.zone)
		if err != nil {
			t.Fatal(err)
		}
		at := func(n int) Span {
			start := oracleInstant(tc.first.AddDate(0, 0, n*tc.step), loc)
			return Span{start, start}
		}
		s := Series{MailboxZone: tc.mailbox, Window: Span{date(2014, 12, 28), date(2015, 12, 1)}, Occurrences: []Occurrence{}, Event: graph.Event{ID: "m",
			Type: graph.SeriesMaster, OriginalStartTimeZone: "tzone://Microsoft/Custom", Start: utcTime(at(0).Start), End: utcTime(at(0).End),
			Recurrence: &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: tc.kind, Interval: tc.step},
				Range: graph.RecurrenceRange{Type: "noEnd", StartDate: tc.first.Format(time.DateOnly)}}}}
		var want []Span
		for n := 0; n < 1000/tc.step; n++ {
			one, day := at(n), tc.first.AddDate(0, 0, n*tc.step).Format(time.DateOnly)
			if slices.Contains(tc.removed, n) {
				s.Cancelled = append(s.Cancelled, "OID.m."+day)
				continue
			}
			if slices.Contains(tc.changed, n) {
				one.End = one.Start.Add(time.Hour)
				s.Exceptions = append(s.Exceptions, graph.Event{ID: "x", Type: graph.Exception, SeriesMasterID: "m", OccurrenceID: "OID.m." + day,
					OriginalStartTimeZone: "tzone://Microsoft/Custom", OriginalStart: one.Start.UTC().Format(time.RFC3339), Start: utcTime(one.Start), End: utcTime(one.End)})
			}
			want = append(want, one)
			if one.Start.Before(s.Window.End) {
				s.Occurrences = append(s.Occurrences, Occurrence{Span: one})
			}
		}
		cal, losses, err := ToICS(s)
		if err != nil {
			t.Fatal(err)
		}
		check := Span{date(2015, 1, 1), want[len(want)-1].Start}
		if tc.kind != "daily" {
			check.End = s.Window.End
		}
		compareSpans(t, cal, check, want, fmt.Sprint(tc.name, losses, "\n", encode(t, cal)), true)
	}
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
			OriginalStartTimeZone: "tzone://Microsoft/Custom", Start: utcTime(at(monday).Start), End: utcTime(at(monday).End),
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
		s.Occurrences = occurrences(false, listed)
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

// All-day times that are said as instants are those of the midnights of a zone, wherever it is.
func TestAllDayInstants(t *testing.T) {
	for _, tc := range []struct{ zone, mailbox, start, end, from, want string }{
		{"New Zealand Standard Time", "", "2026-12-07T11:00:00", "2026-12-08T11:00:00", "", "20261208 20261209"},
		{"Line Islands Standard Time", "", "2026-12-07T10:00:00Z", "2026-12-09T10:00:00Z", "", "20261208 20261210"},
		{"Hawaiian Standard Time", "", "2026-12-08T10:00:00", "2026-12-09T10:00:00", "", "20261208 20261209"},
		{"Samoa Standard Time", "", "2026-12-07T11:00:00", "2026-12-08T11:00:00", "", "20261208 20261209"},
		{"UTC-11", "", "2026-12-08T11:00:00", "2026-12-09T11:00:00", "", "20261208 20261209"},
		{"Dateline Standard Time", "", "2026-12-08T12:00:00", "2026-12-09T12:00:00", "", "20261208 20261209"},
		{"Nepal Standard Time", "", "2026-12-07T18:15:00", "2026-12-08T18:15:00", "", "20261208 20261209"},
		{"W. Europe Standard Time", "", "2026-03-28T23:00:00", "2026-03-29T22:00:00", "", "20260329 20260330"}, // of 23 hours
		{"W. Europe Standard Time", "", "2026-10-24T22:00:00", "2026-10-25T23:00:00", "", "20261025 20261026"}, // of 25 hours
		{"UTC", "New Zealand Standard Time", "2026-12-07T11:00:00", "2026-12-08T11:00:00", "", "20261208 20261209"},
		{"", "", "2026-12-07T11:00:00", "2026-12-08T11:00:00", "", "20261208 20261209"}, // more people live in New Zealand than on Niue
		{"", "", "2026-12-08T05:00:00", "2026-12-10T05:00:00", "", "20261208 20261210"},
		{"", "", "2026-12-07T23:00:00", "2026-12-08T23:00:00", "", "20261208 20261209"},
		{"tzone://Microsoft/Custom", "", "2026-12-08T11:00:00", "2026-12-09T11:00:00", "2026-12-08", "20261208 20261209"},
		{"tzone://Microsoft/Custom", "", "2026-12-07T10:00:00", "2026-12-08T10:00:00", "2026-12-08", "20261208 20261209"},
		{"UTC", "", "2026-12-08T00:00:00+13:00", "2026-12-09T00:00:00+13:00", "", "20261208 20261209"},
		{"UTC", "", "2026-12-08T00:00:00-1000", "2026-12-09T00:00:00-1000", "", "20261208 20261209"},
		{"New Zealand Standard Time", "", "2026-12-08T00:00:00", "2026-12-09T00:00:00", "", "20261208 20261209"},
		{"W. Europe Standard Time", "", "2026-12-08T00:00:00", "2026-12-08T23:59:59", "", "20261208 20261209"},
		{"W. Europe Standard Time", "", "2026-12-08T09:20:00", "2026-12-08T10:00:00", "", "20261208 20261209"}, // no midnight anywhere
	} {
		e := graph.Event{ID: "a", IsAllDay: true, Type: graph.SingleInstance, OriginalStartTimeZone: tc.zone,
			Start: graph.DateTimeTimeZone{DateTime: tc.start, TimeZone: "UTC"}, End: graph.DateTimeTimeZone{DateTime: tc.end, TimeZone: "UTC"}}
		if tc.from != "" {
			e.Type = graph.SeriesMaster
			e.Recurrence = &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "daily", Interval: 7}, Range: graph.RecurrenceRange{Type: "noEnd", StartDate: tc.from}}
		}
		cal, _, err := ToICS(Series{Event: e, MailboxZone: tc.mailbox})
		if err != nil {
			t.Fatal(err)
		}
		props := cal.Children[0].Props
		if got := props.Get("DTSTART").Value + " " + props.Get("DTEND").Value; got != tc.want {
			t.Errorf("%+v: %s", tc, got)
		}
	}
}

// The originalStart of an all-day occurrence is the local midnight of whoever made it, said in UTC.
func TestAllDayOriginalStart(t *testing.T) {
	for _, tc := range []struct{ zone, uid, original, want string }{
		{"UTC", "07EA0C08", "2026-12-07T23:00:00Z", "20261208"},
		{"UTC", "07EA0C08", "2026-12-08T11:00:00Z", "20261208"},
		{"UTC", "", "2026-12-07T23:00:00Z", "20261208"},
		{"UTC", "", "2026-12-08T06:00:00Z", "20261208"},
		{"UTC", "", "2026-12-08T00:00:00Z", "20261208"},
		{"UTC", "", "2026-12-08T00:00:00+01:00", "20261208"},
		{"Line Islands Standard Time", "", "2026-12-07T10:00:00Z", "20261208"},
		{"Hawaiian Standard Time", "", "2026-12-08T10:00:00Z", "20261208"},
		{"UTC", "", "2026-12-08T11:00:00Z", "20261208"}, // the 9th is no date of the pattern
	} {
		s := Series{Event: graph.Event{ID: "m", IsAllDay: true, Type: graph.SeriesMaster, OriginalStartTimeZone: tc.zone,
			Start: graph.DateTimeTimeZone{DateTime: "2026-12-01T00:00:00"}, End: graph.DateTimeTimeZone{DateTime: "2026-12-02T00:00:00"},
			Recurrence: &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: []string{"tuesday", "monday"}},
				Range: graph.RecurrenceRange{Type: "noEnd", StartDate: "2026-12-01"}}}}
		x := graph.Event{ID: "x", IsAllDay: true, Type: graph.Exception, OriginalStart: tc.original,
			Start: graph.DateTimeTimeZone{DateTime: "2026-12-12T00:00:00"}, End: graph.DateTimeTimeZone{DateTime: "2026-12-13T00:00:00"}}
		if tc.uid != "" {
			x.ICalUID = globalID + tc.uid + strings.Repeat("0", 40)
		}
		s.Exceptions = []graph.Event{x}
		cal, losses, err := ToICS(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := cal.Children[1].Props.Get("RECURRENCE-ID").Value; got != tc.want || len(losses) > 0 {
			t.Errorf("%+v: %s, losses %v", tc, got, losses)
		}
	}
}

// An all-day exception is found by its dates, and one that is not all day by its times: neither takes the place of a
// neighbour that is as long, in whatever form the series is written.
func TestAllDayAmongLongOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hour := rapid.IntRange(0, 23).Draw(t, "hour")
		length := time.Duration(rapid.SampledFrom([]int{20, 23, 24}).Draw(t, "length")) * time.Hour
		first := date(2026, 12, 7).Add(time.Duration(hour) * time.Hour)
		s := Series{Window: Span{date(2026, 11, 1), date(2027, 2, 1)}, Occurrences: []Occurrence{}, Event: graph.Event{ID: "m", Type: graph.SeriesMaster,
			OriginalStartTimeZone: "UTC", Start: utcTime(first), End: utcTime(first.Add(length)), Recurrence: &graph.Recurrence{
				Pattern: graph.RecurrencePattern{Type: "daily", Interval: 1}, Range: graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 9, StartDate: "2026-12-07"}}}}
		if rapid.Bool().Draw(t, "no rule") {
			s.Event.Recurrence.Pattern.Type = "lunar"
		}
		changed := rapid.IntRange(1, 7).Draw(t, "changed")
		var want []Span
		for i := range 9 {
			o := Occurrence{Span: Span{first.AddDate(0, 0, i), first.AddDate(0, 0, i).Add(length)}}
			if i == changed {
				moved := dateOf(o.Start).AddDate(0, 0, rapid.IntRange(-1, 1).Draw(t, "by"))
				o = Occurrence{Span{moved, moved.Add(day)}, true}
				s.Exceptions = []graph.Event{{ID: "x", Type: graph.Exception, IsAllDay: true, OccurrenceID: "OID.m." + date(2026, 12, 7+i).Format(time.DateOnly),
					Start: utcTime(o.Start), End: utcTime(o.End)}}
			}
			s.Occurrences = append(s.Occurrences, o)
			want = append(want, o.Span)
		}
		cal, losses, err := ToICS(s)
		if err != nil {
			t.Fatal(err)
		}
		if s.Event.Recurrence.Pattern.Type == "daily" && len(losses) > 0 {
			t.Errorf("%v", losses)
		}
		compareSpans(t, cal, s.Window, want, fmt.Sprint(losses), true)
	})
}

// The date in an id is read in whatever case its prefix is, and whatever the master's id holds.
func TestOccurrenceDate(t *testing.T) {
	for id, want := range map[string]string{
		"OID.AAMk.2026-12-07": "2026-12-07", "oid.AAMk.2026-12-07": "2026-12-07", " Oid.AA.Mk=.2026-12-07 ": "2026-12-07",
		"OID.2026-12-07": "2026-12-07", "AAMk.2026-12-07": "", "OID.AAMk.2026-13-07": "", "oid": "", "": "", "ÖID.x.2026-12-07": "",
	} {
		if got := graph.OccurrenceDate(id); got != want {
			t.Errorf("%q: %q, want %q", id, got, want)
		}
	}
}
