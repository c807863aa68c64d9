package convert

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// keyOf reads a RECURRENCE-ID as a client writes it, such as ";TZID=Europe/Berlin:20261207T090000".
func keyIn(t testing.TB, in *object, text string) ics.Moment {
	t.Helper()
	cal := calendarOf(t, "RECURRENCE-ID"+text)
	m, err := in.reader.Moment(in.cal, cal.Children[0].Props.Get(ical.PropRecurrenceID))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestOccurrenceNames(t *testing.T) {
	const (
		berlinMondays = "DTSTART;TZID=Europe/Berlin:20261207T003000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY"
		tokyoDaily    = "DTSTART;TZID=Asia/Tokyo:20261207T080000\nDURATION:PT1H\nRRULE:FREQ=DAILY"
		laEvenings    = "DTSTART;TZID=America/Los_Angeles:20261207T200000\nDURATION:PT1H\nRRULE:FREQ=DAILY"
		custom        = "DTSTART;TZID=Customized Time Zone:20261207T003000\nDURATION:PT1H\nRRULE:FREQ=DAILY"
		dates         = "DTSTART;VALUE=DATE:20261207\nRRULE:FREQ=WEEKLY"
		floating      = "DTSTART:20261207T003000\nDURATION:PT1H\nRRULE:FREQ=DAILY"
		skipped       = "DTSTART;TZID=Europe/Berlin:20260301T023000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY"
		withDates     = "DTSTART;TZID=Europe/Berlin:20261207T003000\nRRULE:FREQ=WEEKLY;COUNT=2\nRDATE;TZID=Europe/Berlin:20261216T003000\nEXDATE;TZID=Europe/Berlin:20261214T003000"
	)
	for _, c := range []struct{ event, key, want string }{
		{berlinMondays, ";TZID=Europe/Berlin:20261214T003000", "2026-12-14"},
		{berlinMondays, ":20261213T233000Z", "2026-12-14"}, // in UTC it is the day before
		{berlinMondays, ":20261214T003000", "2026-12-14"},
		{berlinMondays, ";VALUE=DATE:20261214", "2026-12-14"},
		{berlinMondays, ";TZID=America/New_York:20261213T183000", "2026-12-14"},
		{berlinMondays, ";TZID=/freeassociation.sourceforge.net/Europe/Berlin:20261214T003000", "2026-12-14"},
		{berlinMondays, ";TZID=\"W. Europe Standard Time\":20261214T003000", "2026-12-14"},
		{berlinMondays, ";TZID=Europe/Berlin:20261214T013000", ""},
		{berlinMondays, ":20261214T003000Z", ""},
		{berlinMondays, ";VALUE=DATE:20261213", ""},
		{berlinMondays, ";TZID=Europe/Berlin:20261130T003000", ""},
		{berlinMondays, ":20270628T223000Z", ""}, // Monday at nine in summer is another hour of UTC
		{berlinMondays, ":20270627T223000Z", "2027-06-28"},
		{tokyoDaily, ":20261209T230000Z", "2026-12-10"},
		{laEvenings, ":20261211T040000Z", "2026-12-10"},
		{laEvenings, ":20261210T200000", "2026-12-10"},
		{custom, ";TZID=Customized Time Zone:20261210T003000", "2026-12-10"},
		{custom, ":20261209T233000Z", "2026-12-10"},
		{custom, ";TZID=Europe/Berlin:20261210T003000", "2026-12-10"},
		{dates, ";VALUE=DATE:20261214", "2026-12-14"},
		{dates, ":20261214T000000Z", "2026-12-14"},
		{dates, ":20261214T000000", "2026-12-14"},
		{dates, ":20261213T230000Z", "2026-12-14"}, // the midnight of the mailbox
		{dates, ";VALUE=DATE:20261215", ""},
		{floating, ":20261209T233000Z", "2026-12-10"},
		{floating, ":20261210T003000", "2026-12-10"},
		{skipped, ";TZID=Europe/Berlin:20260329T023000", "2026-03-29"},
		{skipped, ":20260329T013000Z", "2026-03-29"},
		{skipped, ":20260329T003000Z", "2026-03-29"}, // as Thunderbird has it
		{withDates, ";TZID=Europe/Berlin:20261216T003000", "2026-12-16"},
		{withDates, ";TZID=Europe/Berlin:20261214T003000", "2026-12-14"}, // excluded, but of the rule
		{withDates, ";TZID=Europe/Berlin:20261221T003000", ""},
	} {
		in := readObject(calendarOf(t, customBerlin, c.event), berlin, nil)
		got, err := occurrenceDate(keyIn(t, in, c.key), in, in)
		var r *Refusal
		if got != c.want || (err != nil) != (c.want == "") || err != nil && (!errors.As(err, &r) || r.Kind != RefusedObject) {
			t.Errorf("%s\nRECURRENCE-ID%s is of %q, %v, want %q", c.event, c.key, got, err, c.want)
		}
	}

	// A series that is moved, with names of before and after.
	old := readObject(calendarOf(t, berlinMondays), berlin, nil)
	in := readObject(calendarOf(t, "DTSTART;TZID=Europe/Berlin:20261207T090000\nRRULE:FREQ=WEEKLY"), berlin, old)
	for key, want := range map[string]string{";TZID=Europe/Berlin:20261214T090000": "2026-12-14", ";TZID=Europe/Berlin:20261214T003000": "2026-12-14"} {
		if got, err := occurrenceDate(keyIn(t, in, key), in, in, old); got != want {
			t.Errorf("%s is of %q, %v", key, got, err)
		}
	}
}

// Every override and every exclusion that is served is found again under the date that Graph has it by.
func TestServedOccurrencesAreFound(t *testing.T) {
	goldenSeries(t, func(t *testing.T, s Series, octets []byte) {
		if !isMaster(s.Event) || strings.Contains(t.Name(), "exc-rescheduled-listed") { // which Outlook does not list any more
			return
		}
		in := readObject(decode(t, octets), s, nil)
		found := map[string]bool{}
		for _, c := range in.overrides {
			m, err := in.recurrenceID(c)
			if err != nil {
				t.Fatal(err)
			}
			date, err := occurrenceDate(m, in, in)
			if err != nil {
				t.Errorf("%v: %v", m.Wall, err)
			}
			found[date] = true
		}
		removed := map[string]bool{}
		list, err := in.exclusions()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			date, err := occurrenceDate(m, in, in)
			if err != nil {
				t.Errorf("EXDATE %v: %v", m.Wall, err)
			}
			removed[date] = true
		}
		for _, e := range slices.Concat(s.Exceptions, s.Event.ExceptionOccurrences) {
			date := graph.OccurrenceDate(e.OccurrenceID)
			if date == "" || found[date] || removed[date] || s.removed()[date] {
				continue
			}
			// One that is as the series has it is none to clients.
			at, _ := time.Parse(time.DateOnly, date)
			if _, err := occurrenceDate(ics.Moment{Wall: at, Date: true}, in, in); err != nil {
				t.Errorf("the exception of %s is not found: %v", date, found)
			}
		}
	})
}

func TestCheckMoves(t *testing.T) {
	day := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	in := readObject(calendarOf(t, "DTSTART;TZID=Europe/Berlin:20261207T090000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;COUNT=4\nEXDATE;TZID=Europe/Berlin:20261221T090000"), berlin, nil)
	for _, c := range []struct {
		name  string
		moved string // original>day, …
		ok    bool
	}{
		{"another hour", "2026-12-14>2026-12-14", true},
		{"within its week", "2026-12-14>2026-12-20", true},
		{"before, within its week", "2026-12-14>2026-12-08", true},
		{"to the day of the one before", "2026-12-14>2026-12-07", false},
		{"before it", "2026-12-14>2026-12-01", false},
		{"to the day of one that is deleted", "2026-12-14>2026-12-21", false},
		{"past it", "2026-12-14>2026-12-22", false},
		{"the first one, back", "2026-12-07>2026-11-01", true},
		{"the last one, on", "2026-12-28>2027-03-01", true},
		{"to the day of one that was moved there", "2026-12-14>2026-12-18 2026-12-07>2026-12-10", true},
		{"to the day that another was moved to", "2026-12-14>2026-12-10 2026-12-07>2026-12-10", false},
		{"past one that was moved", "2026-12-14>2026-12-09 2026-12-07>2026-12-10", false},
		{"swapped", "2026-12-14>2026-12-28 2026-12-28>2026-12-14", false},
	} {
		days := map[string]time.Time{}
		for pair := range strings.FieldsSeq(c.moved) {
			from, to, _ := strings.Cut(pair, ">")
			days[from] = day(to)
		}
		first, _, _ := strings.Cut(c.moved, ">")
		var r *Refusal
		if err := checkMoves(in, days, []string{first}); (err == nil) != c.ok || err != nil && (!errors.As(err, &r) || r.Kind != RefusedObject) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	many := make([]string, maxOverrides+1)
	if err := checkMoves(in, nil, many); err == nil {
		t.Error("too many were let through")
	}

	other := calendarOf(t, "DTSTART:20261213T233000Z")
	if got, err := in.localDay(other.Children[0], in); err != nil || !got.Equal(day("2026-12-14")) {
		t.Errorf("the day in the zone of the series is %v, %v", got, err)
	}
}
