package graphsim_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

func pattern(kind string, interval int, days string) graph.RecurrencePattern {
	return graph.RecurrencePattern{Type: kind, Interval: interval, DaysOfWeek: strings.Fields(days)}
}

// TestExpansion compares with dates counted by hand in a printed calendar.
func TestExpansion(t *testing.T) {
	index := func(p graph.RecurrencePattern, index string) graph.RecurrencePattern { p.Index = index; return p }
	month := func(p graph.RecurrencePattern, day, month int) graph.RecurrencePattern {
		p.DayOfMonth, p.Month = day, month
		return p
	}
	weekFrom := func(p graph.RecurrencePattern, day string) graph.RecurrencePattern { p.FirstDayOfWeek = day; return p }
	count := func(n int) graph.RecurrenceRange {
		return graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: n}
	}
	until := func(day string) graph.RecurrenceRange {
		return graph.RecurrenceRange{Type: "endDate", EndDate: day}
	}
	forever := graph.RecurrenceRange{Type: "noEnd"}
	const workdays, week = "monday tuesday wednesday thursday friday", "sunday monday tuesday wednesday thursday friday saturday"

	for _, tt := range []struct {
		name    string
		start   string
		pattern graph.RecurrencePattern
		rng     graph.RecurrenceRange
		to      string
		skip    bool
		want    string
	}{
		{"every third day", "2026-01-30", pattern("daily", 3, ""), count(4), "2027-01-01", false, "2026-01-30 2026-02-02 2026-02-05 2026-02-08"},
		{"interval left out", "2026-01-30", pattern("daily", 0, ""), count(2), "2027-01-01", false, "2026-01-30 2026-01-31"},
		{"every second week, two days", "2026-03-02", pattern("weekly", 2, "Monday wednesday"), forever, "2026-04-01", false, "2026-03-02 2026-03-04 2026-03-16 2026-03-18 2026-03-30"},
		{"weeks from Monday", "2026-03-02", weekFrom(pattern("weekly", 2, "sunday monday"), "monday"), forever, "2026-04-06", false, "2026-03-02 2026-03-08 2026-03-16 2026-03-22 2026-03-30 2026-04-05"},
		{"weeks from Sunday", "2026-03-02", pattern("weekly", 2, "sunday monday"), forever, "2026-04-06", false, "2026-03-02 2026-03-15 2026-03-16 2026-03-29 2026-03-30"},
		{"start is no such day", "2026-03-03", pattern("weekly", 1, "friday"), count(2), "2027-01-01", false, "2026-03-06 2026-03-13"},
		{"days left out", "2026-03-03", pattern("weekly", 1, ""), count(2), "2027-01-01", false, "2026-03-03 2026-03-10"},
		{"end date after the last", "2017-09-04", pattern("weekly", 8, "monday"), until("2017-12-31"), "2018-12-31", false, "2017-09-04 2017-10-30 2017-12-25"},
		{"end date is inclusive", "2026-03-02", pattern("weekly", 1, "monday"), until("2026-03-16"), "2027-01-01", false, "2026-03-02 2026-03-09 2026-03-16"},
		{"the 31st clamps", "2026-01-31", month(pattern("absoluteMonthly", 1, ""), 31, 0), forever, "2026-05-01", false, "2026-01-31 2026-02-28 2026-03-31 2026-04-30"},
		{"the 31st skips", "2026-01-31", month(pattern("absoluteMonthly", 1, ""), 31, 0), forever, "2026-06-01", true, "2026-01-31 2026-03-31 2026-05-31"},
		{"the 30th clamps", "2026-01-30", month(pattern("absoluteMonthly", 1, ""), 30, 0), forever, "2026-04-01", false, "2026-01-30 2026-02-28 2026-03-30"},
		{"the 29th in a leap year", "2028-01-29", month(pattern("absoluteMonthly", 1, ""), 29, 0), forever, "2028-04-01", false, "2028-01-29 2028-02-29 2028-03-29"},
		{"every third month, start after the day", "2026-01-20", month(pattern("absoluteMonthly", 3, ""), 15, 0), forever, "2026-09-01", false, "2026-04-15 2026-07-15"},
		{"last Thursday", "2026-01-01", index(pattern("relativeMonthly", 1, "thursday"), "last"), until("2026-04-30"), "2027-01-01", false, "2026-01-29 2026-02-26 2026-03-26 2026-04-30"},
		{"first Thursday or Friday", "2026-01-01", index(pattern("relativeMonthly", 1, "thursday friday"), "first"), count(5), "2027-01-01", false, "2026-01-01 2026-02-05 2026-03-05 2026-04-02 2026-05-01"},
		{"last working day", "2026-01-01", index(pattern("relativeMonthly", 1, workdays), "last"), count(3), "2027-01-01", false, "2026-01-30 2026-02-27 2026-03-31"},
		{"second weekend day", "2026-01-01", index(pattern("relativeMonthly", 1, "saturday sunday"), "second"), count(3), "2027-01-01", false, "2026-01-04 2026-02-07 2026-03-07"},
		{"first day", "2026-01-01", index(pattern("relativeMonthly", 2, week), "first"), count(3), "2027-01-01", false, "2026-01-01 2026-03-01 2026-05-01"},
		{"29 February clamps", "2024-02-29", month(pattern("absoluteYearly", 1, ""), 29, 2), forever, "2029-01-01", false, "2024-02-29 2025-02-28 2026-02-28 2027-02-28 2028-02-29"},
		{"29 February skips", "2024-02-29", month(pattern("absoluteYearly", 1, ""), 29, 2), forever, "2029-01-01", true, "2024-02-29 2028-02-29"},
		{"every second year", "2024-05-10", pattern("absoluteYearly", 2, ""), forever, "2029-01-01", false, "2024-05-10 2026-05-10 2028-05-10"},
		{"fourth Thursday of November", "2025-01-01", month(index(pattern("relativeYearly", 1, "thursday"), "fourth"), 0, 11), count(3), "2030-01-01", false, "2025-11-27 2026-11-26 2027-11-25"},
		{"no occurrence: a single event", "2026-01-02", pattern("relativeMonthly", 2, "thursday"), until("2026-02-28"), "2027-01-01", false, "2026-01-02"},
		{"a pattern that nobody knows: a single event", "2026-01-02", pattern("lunar", 1, ""), forever, "2027-01-01", false, "2026-01-02"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &graphsim.Server{Skip29: tt.skip}
			c := s.AddMailbox("a@contoso.example", "A", "UTC").Calendar()
			c.Create(graphsim.Event{Subject: "x", Start: at(tt.start), End: at(tt.start).Add(time.Hour), Recurrence: &graph.Recurrence{Pattern: tt.pattern, Range: tt.rng}})
			var got []string
			for _, i := range c.Instances(at("2000-01-01"), at(tt.to)) {
				got = append(got, i.Start.Format(time.DateOnly))
			}
			if want := strings.Fields(tt.want); !slices.Equal(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

// TestClock: a series keeps its time of day, in the zone that it was made in.
func TestClock(t *testing.T) {
	for _, tt := range []struct{ zone, start, want string }{
		{"W. Europe Standard Time", "2026-03-22 10:00", "2026-03-22 09:00 2026-03-29 08:00"},
		{"Europe/Berlin", "2026-10-18 10:00", "2026-10-18 08:00 2026-10-25 09:00"},
		{"W. Europe Standard Time", "2026-03-22 02:30", "2026-03-22 01:30 2026-03-29 01:30"}, // 02:30 is skipped: 03:30
		{"W. Europe Standard Time", "2026-10-18 02:30", "2026-10-18 00:30 2026-10-25 00:30"}, // 02:30 comes twice: the first
		{"Pacific Standard Time", "2026-03-01 17:00", "2026-03-02 01:00 2026-03-09 00:00"},
		{"India Standard Time", "2026-03-02 09:00", "2026-03-02 03:30 2026-03-09 03:30"},
		{"tzone://Microsoft/Utc", "2026-03-02 09:00", "2026-03-02 09:00 2026-03-09 09:00"},
		{"tzone://Microsoft/Custom", "2026-03-02 09:00", "2026-03-02 00:00 2026-03-09 00:00"}, // the mailbox's zone
	} {
		s := &graphsim.Server{}
		c := s.AddMailbox("a@contoso.example", "A", "Tokyo Standard Time").Calendar()
		e := weekly("x", tt.start)
		e.Zone = tt.zone
		e.Recurrence.Range = graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 2}
		c.Create(e)
		var got []string
		for _, i := range c.Instances(at("2026-01-01"), at("2027-01-01")) {
			got = append(got, i.Start.Format("2006-01-02 15:04"))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s %s: got %v, want %s", tt.zone, tt.start, got, tt.want)
		}
	}
}

// TestDuration: where the clocks change during an occurrence, it ends at its time of day, or lasts as long as ever.
func TestDuration(t *testing.T) {
	for _, tt := range []struct {
		exact bool
		want  string
	}{
		{false, "01:00-02:30 00:00-02:30 01:00-02:30"},
		{true, "01:00-02:30 00:00-01:30 01:00-02:30"},
	} {
		s := &graphsim.Server{ExactDuration: tt.exact}
		c := s.AddMailbox("a@contoso.example", "A", "W. Europe Standard Time").Calendar()
		c.Create(graphsim.Event{Subject: "x", Start: at("2026-02-01 02:00"), End: at("2026-02-01 03:30"), Recurrence: &graph.Recurrence{Pattern: pattern("weekly", 1, "sunday")}})
		var got []string
		for _, days := range [][2]string{{"2026-02-01", "2026-02-02"}, {"2026-10-25", "2026-10-26"}, {"2026-11-01", "2026-11-02"}} {
			for _, i := range c.Instances(at(days[0]), at(days[1])) {
				got = append(got, i.Start.Format("15:04-")+i.End.Format("15:04"))
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("exact %v: %v", tt.exact, got)
		}
	}
}

// TestInstances: moved, cancelled and overlapping occurrences as Outlook shows them.
func TestInstances(t *testing.T) {
	s := &graphsim.Server{}
	c := s.AddMailbox("a@contoso.example", "A", "UTC").Calendar()
	id := c.Create(weekly("S", "2026-03-02 10:00"))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.ChangeOccurrence(id, "2026-03-09", func(e *graphsim.Event) {
		e.Subject, e.Start, e.End = "moved", at("2026-03-11 08:00"), at("2026-03-11 09:00")
	}))
	must(c.CancelOccurrence(id, "2026-03-16"))
	must(c.CancelOccurrenceByOrganizer(id, "2026-03-23"))
	c.Create(graphsim.Event{Subject: "trip", Start: at("2026-03-31"), End: at("2026-04-02"), AllDay: true, Zone: "Tokyo Standard Time"})
	var got []string
	for _, i := range c.Instances(at("2026-03-01"), at("2026-04-01")) {
		line := i.Start.Format("01-02 15:04 ") + i.End.Format("01-02 15:04 ") + i.Subject
		if i.Cancelled {
			line += " (cancelled)"
		}
		if i.SeriesMasterID != "" && i.SeriesMasterID != id {
			t.Errorf("master %s", i.SeriesMasterID)
		}
		got = append(got, line)
	}
	want := []string{"03-02 10:00 03-02 11:00 S", "03-11 08:00 03-11 09:00 moved", "03-23 10:00 03-23 11:00 Canceled: S (cancelled)",
		"03-30 10:00 03-30 11:00 S", "03-31 00:00 04-02 00:00 trip"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, d := range []string{"2026-03-16", "2026-03-03", "2026-02-23"} {
		if err := c.ChangeOccurrence(id, d, func(*graphsim.Event) {}); err != graphsim.ErrNotFound {
			t.Errorf("%s: %v", d, err)
		}
	}
	// The neighbours of 03-30 are 03-23 and 04-06.
	for _, d := range []string{"2026-03-23 12:00", "2026-03-10 12:00", "2026-04-06 00:00", "2026-05-01 00:00", "2026-04-05 23:30"} {
		err := c.ChangeOccurrence(id, "2026-03-30", func(e *graphsim.Event) {
			e.Start, e.End = at(d), at(d).Add(11*time.Hour)
		})
		if err != graphsim.ErrCrossing {
			t.Errorf("move to %s: %v", d, err)
		}
	}
	must(c.ChangeOccurrence(id, "2026-03-30", func(e *graphsim.Event) { e.Start, e.End = at("2026-03-24 00:00"), at("2026-03-24 01:00") }))
	if err := c.Change(id, func(e *graphsim.Event) { e.Recurrence.Pattern.Type = "lunar" }); err != graphsim.ErrNoOccurrence {
		t.Errorf("no occurrence: %v", err)
	}
	if err := c.ChangeOccurrence(id, "nonsense", func(*graphsim.Event) {}); err == nil {
		t.Error("a date that is none")
	}
}
