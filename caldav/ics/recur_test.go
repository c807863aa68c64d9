package ics_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-ical"
	"pgregory.net/rapid"

	"outbridge/caldav/ics"
)

func date(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

// resolve knows what stands for all the names that are not IANA's.
func resolve(name string) (*time.Location, bool) {
	if iana := aliases[name]; iana != "" && !strings.HasPrefix(name, "/") && name != "Office" {
		loc, err := time.LoadLocation(iana)
		return loc, err == nil
	}
	return nil, false
}

// aliases are the names of the corpus that are not IANA's, for the judge.
var aliases = map[string]string{
	"W. Europe Standard Time":                                "Europe/Berlin",
	"/freeassociation.sourceforge.net/Europe/Berlin":         "Europe/Berlin",
	"/citadel.org/20190914_1/America/New_York":               "America/New_York",
	"/mozilla.org/20050126_1/America/Argentina/Buenos_Aires": "America/Argentina/Buenos_Aires",
	"/softwarestudio.org/Tzfile/Europe/Berlin":               "Europe/Berlin",
	"Office": "Europe/Berlin", // by the VTIMEZONE of the object
}

func calendarOf(events ...string) string {
	s := "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n"
	for _, e := range events {
		s += "BEGIN:VEVENT\r\nUID:u\r\n" + strings.ReplaceAll(strings.TrimSpace(e), "\n", "\r\n") + "\r\nEND:VEVENT\r\n"
	}
	return s + "END:VCALENDAR\r\n"
}

// expand lists what the engine makes of an object, in all its ways, which have to agree.
func expand(t rapid.TB, data string, from, to time.Time, floating *time.Location) ([]occurrence, error) {
	t.Helper()
	cal, err := ics.Decode([]byte(data))
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	list, err := (&ics.Reader{Resolve: resolve, Floating: floating}).Expand(cal, ics.Span{Start: from, End: to})
	var out, again []occurrence
	for _, i := range list {
		out = append(out, occurrence{i.Start, i.End})
	}
	sorted := func(l []occurrence) {
		slices.SortFunc(l, func(a, b occurrence) int { return strings.Compare(a.String(), b.String()) })
	}
	err2 := (&ics.Reader{Resolve: resolve, Floating: floating}).Spans([]byte(data), ics.Span{Start: from, End: to}, func(from, to time.Time) bool {
		again = append(again, occurrence{from, to})
		return true
	})
	sorted(out)
	sorted(again)
	if (err == nil) != (err2 == nil) || err == nil && describe(out) != describe(again) {
		t.Errorf("Expand: %v\n%sSpans: %v\n%s\n%s", err, describe(out), err2, describe(again), data)
	}
	return out, err
}

func decode(t testing.TB, data string) *ical.Calendar {
	t.Helper()
	cal, err := ics.Decode([]byte(data))
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	return cal
}

func TestExpand(t *testing.T) {
	for _, tc := range []struct {
		name   string
		events []string
		want   string
	}{
		{"single", []string{"DTSTART;TZID=Europe/Berlin:20260105T100000\nDTEND;TZID=Europe/Berlin:20260105T110000"}, "01-05 09:00+1h0m0s"},
		{"windows zone", []string{"DTSTART;TZID=W. Europe Standard Time:20260105T100000\nDURATION:PT2H"}, "01-05 09:00+2h0m0s"},
		{"zero length", []string{"DTSTART:20260105T100000Z"}, "01-05 10:00+0s"},
		{"floating", []string{"DTSTART:20260105T100000"}, "01-05 10:00+0s"},
		{"date", []string{"DTSTART;VALUE=DATE:20260105"}, "01-05 00:00+24h0m0s"},
		{"before", []string{"DTSTART:20251231T230000Z\nDTEND:20260101T000000Z"}, ""},
		{"into", []string{"DTSTART:20251231T230000Z\nDTEND:20260101T000001Z"}, "12-31 23:00+1h0m1s"},
		{"after", []string{"DTSTART:20260201T000000Z\nDTEND:20260201T010000Z"}, ""},
		{"summer time", []string{"DTSTART;TZID=Europe/Berlin:20250701T100000\nRRULE:FREQ=MONTHLY;COUNT=8"}, "01-01 09:00+0s"},
		{"start off the rule", []string{"DTSTART:20260101T100000Z\nRRULE:FREQ=MONTHLY;BYMONTHDAY=15;UNTIL=20260301T000000Z"}, "01-01 10:00+0s, 01-15 10:00+0s"},
		{"until is inclusive", []string{"DTSTART:20260101T100000Z\nRRULE:FREQ=DAILY;UNTIL=20260102T100000Z"}, "01-01 10:00+0s, 01-02 10:00+0s"},
		{"until in UTC", []string{"DTSTART;TZID=America/New_York:20260101T200000\nRRULE:FREQ=DAILY;UNTIL=20260103T010000Z"}, "01-02 01:00+0s, 01-03 01:00+0s"},
		{"dates", []string{"DTSTART:20260101T100000Z\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260102T100000Z\nRDATE:20260110T100000Z\nRDATE:20260101T100000Z"},
			"01-01 10:00+0s, 01-03 10:00+0s, 01-10 10:00+0s"},
		{"overrides", []string{"DTSTART:20260101T100000Z\nRRULE:FREQ=DAILY;COUNT=3\nSUMMARY:a",
			"RECURRENCE-ID:20260102T100000Z\nDTSTART:20260120T100000Z\nSUMMARY:b", "RECURRENCE-ID:20260103T100000Z\nDTSTART:20260301T100000Z",
			"RECURRENCE-ID:20260101T100000Z\nDTSTART:20260101T100000Z\nSTATUS:CANCELLED"}, "01-01 10:00+0s cancelled, 01-20 10:00+0s b"},
		{"override in another zone's words", []string{"DTSTART;TZID=Europe/Berlin:20260105T100000\nRRULE:FREQ=DAILY;COUNT=2",
			"RECURRENCE-ID:20260106T090000Z\nDTSTART:20260106T120000Z"}, "01-05 09:00+0s, 01-06 12:00+0s"},
		{"no master", []string{"RECURRENCE-ID:20260106T090000Z\nDTSTART:20260106T120000Z"}, "01-06 12:00+0s"},
		{"endless", []string{"DTSTART:20200101T100000Z\nRRULE:FREQ=YEARLY"}, "01-01 10:00+0s"},
		{"the first week is the 53rd from the end", []string{"DTSTART:20250101T000000Z\nRRULE:FREQ=YEARLY;BYWEEKNO=-53;COUNT=3;BYDAY=WE,FR"}, "01-02 00:00+0s"},
		{"a rule of the year 0", []string{"DTSTART:00001231T233000Z\nRRULE:FREQ=WEEKLY;BYDAY=SU"}, ""},
	} {
		list, err := (&ics.Reader{Resolve: resolve}).Expand(decode(t, calendarOf(tc.events...)), ics.Span{Start: date(2026, 1, 1), End: date(2026, 2, 1)})
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		var got []string
		for _, i := range list {
			s := i.Start.Format("01-02 15:04") + "+" + i.End.Sub(i.Start).String()
			if i.Cancelled() {
				s += " cancelled"
			}
			if i.Summary() == "b" {
				s += " b"
			}
			got = append(got, s)
		}
		if strings.Join(got, ", ") != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, strings.Join(got, ", "), tc.want)
		}
	}
}

func TestExpandErrors(t *testing.T) {
	for _, e := range []string{"SUMMARY:x", "DTSTART:tomorrow", "DTSTART;TZID=Mars/Phobos:20260101T000000", "DTSTART:20260101T000000Z\nRRULE:FREQ=SOMETIMES",
		"DTSTART:20260101T000000Z\nEXDATE:x", "DTSTART:20260101T000000Z\nRDATE:x", "DTSTART:20260101T000000Z\nDTEND:x", "DTSTART:20260101T000000Z\nDURATION:x",
		"DTSTART:20260101T000000Z\nRECURRENCE-ID:x"} {
		if _, err := new(ics.Reader).Expand(decode(t, calendarOf(e)), ics.Span{Start: date(2026, 1, 1), End: date(2026, 2, 1)}); err == nil {
			t.Errorf("%s: no error", e)
		}
	}
}

// What is not understood is told, and not taken for something else.
func TestNotUnderstood(t *testing.T) {
	for _, e := range []string{"RRULE:FREQ=DAILY\nRRULE:FREQ=WEEKLY", "RRULE:FREQ=DAILY\nEXRULE:FREQ=WEEKLY", "RRULE:FREQ=YEARLY;BYEASTER=0", "RRULE:FREQ=DAILY;BYWEEKNO=3",
		"RRULE:FREQ=WEEKLY;BYMONTHDAY=3", "RRULE:FREQ=MONTHLY;BYYEARDAY=3", "RRULE:RSCALE=HEBREW;FREQ=YEARLY", "RRULE:FREQ=MONTHLY;SKIP=BACKWARD", "RRULE:INTERVAL=2",
		"RRULE:FREQ=DAILY;COUNT=0", "RRULE:FREQ=DAILY;BYHOUR=24", "RRULE:FREQ=MONTHLY;BYMONTHDAY=0", "RRULE:FREQ=DAILY;INTERVAL=20000", "RRULE:FREQ=YEARLY;BYWEEKNO=3;BYSETPOS=1"} {
		_, err := new(ics.Reader).Expand(decode(t, calendarOf("DTSTART:20260101T000000Z\n"+e)), ics.Span{Start: date(2026, 1, 1), End: date(2026, 2, 1)})
		if !errors.Is(err, ics.ErrNotUnderstood) {
			t.Errorf("%s: %v", e, err)
		}
	}
	_, err := new(ics.Reader).Expand(decode(t, calendarOf("DTSTART:20260101T000000Z\nRRULE:FREQ=DAILY", "RECURRENCE-ID;RANGE=THISANDFUTURE:20260102T000000Z\nDTSTART:20260102T010000Z")),
		ics.Span{Start: date(2026, 1, 1), End: date(2026, 2, 1)})
	if !errors.Is(err, ics.ErrNotUnderstood) {
		t.Errorf("RANGE: %v", err)
	}
}

// A rule cannot make a Reader work forever: it is out of steps, which are the same on every machine.
func TestBombs(t *testing.T) {
	span := ics.Span{Start: date(2026, 1, 1), End: date(2026, 2, 1)}
	for _, rule := range []string{"FREQ=SECONDLY", "FREQ=SECONDLY;COUNT=2000000000", "FREQ=MINUTELY;COUNT=200000"} {
		begun := "DTSTART:20000101T000000Z\nRRULE:"
		if _, err := new(ics.Reader).Expand(decode(t, calendarOf(begun+rule)), span); !errors.Is(err, ics.ErrTooMany) {
			t.Errorf("%s: %v", rule, err)
		}
	}
	// Impossible days are none, also to a rule by seconds, and take no steps to find out.
	for _, rule := range []string{"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30,31", "FREQ=HOURLY;INTERVAL=24;BYHOUR=3;COUNT=2", "FREQ=MONTHLY;BYDAY=6MO,-6TU",
		"FREQ=SECONDLY;BYSECOND=30;INTERVAL=60;COUNT=3", "FREQ=MINUTELY;INTERVAL=60;BYMINUTE=1;COUNT=2",
		"FREQ=MONTHLY;BYMONTHDAY=30;BYMONTH=2,4;BYSETPOS=2", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=-31,29;BYHOUR=1;BYSETPOS=5",
		"FREQ=YEARLY;BYYEARDAY=366;BYMONTH=1", "FREQ=SECONDLY;BYHOUR=23;BYMONTH=1;BYYEARDAY=60",
		"FREQ=YEARLY;BYDAY=2SU;BYMONTHDAY=30,31;BYMONTH=5", "FREQ=MONTHLY;BYDAY=2SU;BYMONTHDAY=30,31", "FREQ=MONTHLY;BYMONTH=10,3,9;BYSETPOS=-2",
		"FREQ=MONTHLY;BYMONTH=10,3,9;BYSETPOS=-2;UNTIL=20300101T000000Z", "FREQ=MONTHLY;BYMONTH=10,3,9;BYSETPOS=-2;COUNT=4", "FREQ=YEARLY;INTERVAL=2;BYYEARDAY=-366;BYMONTH=12",
		"FREQ=MONTHLY;INTERVAL=2;BYMONTH=2,4,6", "FREQ=YEARLY;INTERVAL=4;BYMONTH=2;BYMONTHDAY=29", "FREQ=DAILY;INTERVAL=7;BYDAY=MO,TU", "FREQ=WEEKLY;BYDAY=MO,TU;BYSETPOS=3",
		"FREQ=YEARLY;BYDAY=1MO,-1TU;BYMONTHDAY=15;BYMONTH=1,6", "FREQ=DAILY;BYMONTHDAY=31;BYMONTH=4,6,9,11", "FREQ=HOURLY;INTERVAL=6;BYHOUR=1,2,3", "FREQ=MINUTELY;INTERVAL=90;BYMINUTE=15;BYHOUR=2",
		"FREQ=YEARLY;BYWEEKNO=20;BYMONTH=1", "FREQ=YEARLY;BYWEEKNO=53;BYMONTH=6;BYDAY=MO", "FREQ=DAILY;BYHOUR=0,12;BYSETPOS=3"} {
		list, err := new(ics.Reader).Expand(decode(t, calendarOf("DTSTART:20260101T000000Z\nRRULE:"+rule)), span)
		if err != nil || len(list) != 1 {
			t.Errorf("%s: %d instances, %v", rule, len(list), err)
		}
		list, err = new(ics.Reader).Expand(decode(t, calendarOf("DTSTART:20260101T000000Z\nRRULE:"+rule)), ics.Span{})
		if err != nil || len(list) != 1 {
			t.Errorf("%s, at any time: %d instances, %v", rule, len(list), err)
		}
	}
	// What comes but rarely does come.
	for _, rule := range []string{"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU;COUNT=2", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU;COUNT=2", "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU;COUNT=2",
		"FREQ=YEARLY;INTERVAL=2;BYYEARDAY=366;COUNT=2", "FREQ=HOURLY;BYHOUR=3;BYMONTH=2;BYMONTHDAY=-1;BYDAY=TU;COUNT=2", "FREQ=YEARLY;INTERVAL=37;BYMONTH=2;BYMONTHDAY=29;COUNT=2",
		"FREQ=YEARLY;BYDAY=53TH;BYSETPOS=-1;COUNT=2", "FREQ=WEEKLY;INTERVAL=52;BYMONTH=12;COUNT=2", "FREQ=DAILY;INTERVAL=101;BYMONTH=2;BYMONTHDAY=29;COUNT=2",
		"FREQ=MONTHLY;BYDAY=MO,TU;BYHOUR=0,1;BYSETPOS=20;COUNT=2"} {
		list, err := new(ics.Reader).Expand(decode(t, calendarOf("DTSTART:20260101T000000Z\nRRULE:"+rule)), ics.Span{})
		if err != nil || len(list) != 2 {
			t.Errorf("%s: %d instances, %v", rule, len(list), err)
		}
	}
	for name, object := range map[string]string{
		"more a day than are made at once": "DTSTART:20260101T000000Z\nRRULE:FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11;BYMINUTE=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25",
		"a zone without end":               "DTSTART;TZID=X:20260101T000000\nEND:VEVENT\nBEGIN:VTIMEZONE\nTZID:X\nBEGIN:STANDARD\nDTSTART:16010101T000000\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0100\nRRULE:FREQ=SECONDLY\nEND:STANDARD\nEND:VTIMEZONE\nBEGIN:VEVENT\nDTSTART:20260101T000000Z",
	} {
		if _, err := new(ics.Reader).Expand(decode(t, calendarOf(object)), span); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// One that has looked at many series has nothing left for others.
	r, cal := new(ics.Reader), decode(t, calendarOf("DTSTART:19000101T000000Z\nRRULE:FREQ=DAILY;COUNT=90000"))
	series := 0
	for ; series < 1000; series++ {
		if _, err := r.Expand(cal, span); errors.Is(err, ics.ErrTooMany) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if series == 0 || series > 120 {
		t.Errorf("it looked at %d series", series)
	}
}

const customZone = "BEGIN:VTIMEZONE\nTZID:Mine\nBEGIN:STANDARD\nDTSTART:20071104T020000\nTZOFFSETFROM:-0400\nTZOFFSETTO:-0500\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=1SU\nEND:STANDARD\n" +
	"BEGIN:DAYLIGHT\nDTSTART:20070311T020000\nTZOFFSETFROM:-0500\nTZOFFSETTO:-0400\nRRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=2SU\nEND:DAYLIGHT\nEND:VTIMEZONE\n"

// withZone is an object of an event and a zone of its own.
func withZone(event, zone string) string {
	return calendarOf(event + "\nEND:VEVENT\n" + zone + "BEGIN:VEVENT\nUID:other\nDTSTART:20250101T000000Z")
}

// A name is looked for once, however many values are in its zone, and whether it is known or not.
func TestZoneIsLookedForOnce(t *testing.T) {
	const n = 2000
	for name, zone := range map[string]string{"its own": customZone, "unknown": ""} {
		event := "DTSTART;TZID=Mine:20260101T100000\nRRULE:FREQ=DAILY;COUNT=3\n" + strings.Repeat("EXDATE;TZID=Mine:20260102T100000,20260103T100000\n", n)
		cal := decode(t, withZone(event, zone))
		asked := 0
		r := &ics.Reader{Resolve: func(string) (*time.Location, bool) { asked++; return nil, false }}
		for range 3 {
			list, err := r.Expand(cal, ics.Span{Start: date(2026, 1, 1), End: date(2026, 2, 1)})
			if zone == "" && !errors.Is(err, ics.ErrUnknownZone) || zone != "" && (err != nil || len(list) != 1) {
				t.Errorf("%s: %d instances, %v", name, len(list), err)
			}
			for i, p := range cal.Children[0].Props["EXDATE"] {
				if _, err := r.Moment(cal, &p); (err == nil) != (zone != "") {
					t.Fatalf("%s: value %d: %v", name, i, err)
				}
			}
		}
		if asked > 4 {
			t.Errorf("%s: asked %d times", name, asked)
		}
	}
}

// What is read counts as work too: names that nobody knows, values, and events.
func TestReadingIsCounted(t *testing.T) {
	span := ics.Span{Start: date(2026, 1, 1), End: date(2026, 2, 1)}
	many := func(n int, line func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(line(i) + "\n")
		}
		return strings.TrimSpace(b.String())
	}
	names := decode(t, calendarOf(many(8000, func(i int) string { return fmt.Sprintf("X-A;TZID=No%d:20260101T000000", i) })))
	asked := 0
	r := &ics.Reader{Resolve: func(string) (*time.Location, bool) { asked++; return time.UTC, false }}
	var err error
	for i := range names.Children[0].Props["X-A"] {
		_, err = r.Moment(names, &names.Children[0].Props["X-A"][i])
	}
	if !errors.Is(err, ics.ErrTooMany) || asked > 5_000 {
		t.Errorf("it asked for %d names: %v", asked, err)
	}
	for name, cal := range map[string]*ical.Calendar{
		"EXDATE": decode(t, calendarOf("DTSTART:20260101T000000Z\nEXDATE:20260101T000000Z"+strings.Repeat(",20260102T000000Z", 30_000))),
		"events": decode(t, calendarOf(slices.Repeat([]string{"DTSTART:20250101T000000Z"}, 10_000)...)),
	} {
		r, read := new(ics.Reader), 0
		for ; read < 1000; read++ {
			if _, err := r.Expand(cal, span); errors.Is(err, ics.ErrTooMany) {
				break
			}
		}
		if read > 510 {
			t.Errorf("%s: read %d times", name, read)
		}
	}
}

// Events and overrides of one UID take work for each, not for each pair.
func TestManyMastersAndOverrides(t *testing.T) {
	cost := func(n int) uint64 {
		var events []string
		for i := range n {
			at := date(2026, 1, 1).Add(time.Duration(i) * time.Minute).Format(ics.UTCForm)
			events = append(events, "DTSTART:"+at, "RECURRENCE-ID:"+at+"\nDTSTART:20260105T100000Z")
		}
		cal := decode(t, calendarOf(events...))
		return allocated(func() {
			list, err := new(ics.Reader).Expand(cal, ics.Span{Start: date(2026, 1, 1), End: date(2026, 2, 1)})
			if err != nil || len(list) != n {
				t.Fatalf("%d instances, %v", len(list), err)
			}
		})
	}
	if one, two := cost(500), cost(1000); two > 3*one {
		t.Errorf("500 events: %d octets, 1,000: %d", one, two)
	}
	// A date names a day of times, and a time a day of dates, each where the UID has both.
	list, err := new(ics.Reader).Expand(decode(t, calendarOf("DTSTART:20260101T100000Z\nRRULE:FREQ=DAILY;COUNT=3", "DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=DAILY;COUNT=3",
		"RECURRENCE-ID:20260102T100000Z\nDTSTART:20260120T100000Z", "RECURRENCE-ID;VALUE=DATE:20260103\nDTSTART:20260121T100000Z")), ics.Span{Start: date(2026, 1, 1), End: date(2026, 2, 1)})
	if err != nil || len(list) != 4 {
		t.Errorf("%d instances, %v", len(list), err)
	}
}

// instants are the starts of what an object has in a span, and of its bounds the latter.
func instants(t *testing.T, object string, from, to time.Time) string {
	t.Helper()
	list, err := expand(t, object, from, to, nil)
	if err != nil {
		t.Errorf("%v\n%s", err, object)
	}
	var l []string
	for _, o := range list {
		l = append(l, o.start.Format("2006-01-02T15:04"))
	}
	return strings.Join(l, " ")
}

// An UNTIL is one whatever it is, also where package time takes it for none.
func TestUntilLongAgo(t *testing.T) {
	for _, until := range []string{"00010101T000000Z", "00010101T000000", "00010101", "00010103T020000Z", "00000101T000000Z", "20251231T235959Z"} {
		object := calendarOf("DTSTART:20260101T100000Z\nRRULE:FREQ=DAILY;UNTIL=" + until)
		if got := instants(t, object, date(2026, 1, 1), date(2026, 2, 1)); got != "2026-01-01T10:00" {
			t.Errorf("%s: %s", until, got)
		}
		if _, last := new(ics.Reader).Bounds(decode(t, object)); hour(last) != "2026-01-01T10" {
			t.Errorf("%s: until %s", until, hour(last))
		}
	}
}

// Of two overrides of one instance the later revision counts (RFC 5546 §2.1.5).
func TestOverriddenTwice(t *testing.T) {
	const master = "DTSTART:20260101T100000Z\nRRULE:FREQ=DAILY;COUNT=3\nDTSTAMP:20260101T000000Z"
	for name, overrides := range map[string][2]string{ // the second counts
		"sequence":           {"DTSTAMP:20260105T000000Z", "SEQUENCE:1\nDTSTAMP:20260104T000000Z"},
		"sequence by number": {"SEQUENCE:9", "SEQUENCE:10"},
		"stamp":              {"SEQUENCE:1\nDTSTAMP:20260104T000000Z", "SEQUENCE:1\nDTSTAMP:20260105T000000Z"},
		"stamp or none":      {"SUMMARY:x", "DTSTAMP:20260105T000000Z"},
		"another spelling":   {"SEQUENCE:3\nX-ID:", "SEQUENCE:4"},
	} {
		for _, swapped := range []bool{false, true} {
			id := "RECURRENCE-ID:20260102T100000Z\n"
			first, second := id+"DTSTART:20260110T100000Z\n"+overrides[0], id+"DTSTART:20260120T100000Z\n"+overrides[1]
			if name == "another spelling" {
				first = strings.Replace(first, id, "RECURRENCE-ID;TZID=Europe/Berlin:20260102T110000\n", 1)
			}
			if swapped {
				first, second = second, first
			}
			object := calendarOf(first, master, second)
			if got := instants(t, object, date(2026, 1, 1), date(2026, 2, 1)); got != "2026-01-01T10:00 2026-01-03T10:00 2026-01-20T10:00" {
				t.Errorf("%s: %s", name, got)
			}
			if _, last := new(ics.Reader).Bounds(decode(t, object)); hour(last) != "2026-01-20T10" {
				t.Errorf("%s: until %s", name, hour(last))
			}
		}
	}
	// Each is one of a day of its series, if that is one of dates.
	if got := instants(t, calendarOf("DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=DAILY;COUNT=2", "RECURRENCE-ID;VALUE=DATE:20260102\nDTSTART;VALUE=DATE:20260110\nSEQUENCE:1",
		"RECURRENCE-ID:20260102T080000Z\nDTSTART;VALUE=DATE:20260120"), date(2026, 1, 1), date(2026, 2, 1)); got != "2026-01-01T00:00 2026-01-10T00:00" {
		t.Error(got)
	}
}

// A zone of a VTIMEZONE goes on by its rules forever, in whatever way they say when the clock is turned.
func TestOwnZoneGoesOn(t *testing.T) {
	for name, zone := range map[string]string{
		"by weekdays":          customZone,
		"by days of the month": strings.NewReplacer("BYDAY=1SU", "BYDAY=SU;BYMONTHDAY=1,2,3,4,5,6,7", "BYDAY=2SU", "BYDAY=SU;BYMONTHDAY=8,9,10,11,12,13,14").Replace(customZone),
		"by dates":             strings.NewReplacer("BYDAY=1SU", "BYMONTHDAY=3", "BYDAY=2SU", "BYMONTHDAY=9").Replace(customZone),
		"at the end":           strings.NewReplacer("BYMONTH=11;BYDAY=1SU", "BYMONTH=10;BYDAY=-1SU", "BYDAY=2SU", "BYDAY=-1SU").Replace(customZone),
	} {
		for _, year := range []int{2150, 2201, 2210, 2345, 9000} {
			for clock, want := range map[string]string{"0701T080000": "07-01T12:00", "0101T080000": "01-01T13:00"} {
				object := withZone(fmt.Sprintf("DTSTART;TZID=Mine:%d%s", year, clock), zone)
				if got, want := instants(t, object, date(year, 1, 1), date(year+1, 1, 1)), fmt.Sprintf("%d-%s", year, want); got != want {
					t.Errorf("%s: %s, want %s", name, got, want)
				}
			}
		}
	}
	for year := 2195; year < 2225; year++ { // the days on which the clock is turned are those of New York
		newYork, _ := time.LoadLocation("America/New_York")
		for at := date(year, 3, 1); at.Year() == year; at = at.AddDate(0, 0, 1) {
			if at.Day() > 16 || at.Month() != 3 && at.Month() != 11 {
				continue
			}
			object := withZone("DTSTART;TZID=Mine:"+at.Format("20060102")+"T120000", customZone)
			want := ics.Instant(at.Add(12*time.Hour), newYork).Format("2006-01-02T15:04")
			if got := instants(t, object, date(year, 1, 1), date(year+1, 1, 1)); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	}
	stays := strings.NewReplacer("BYDAY=1SU", "BYDAY=1SU;UNTIL=20501101T000000Z", "BYDAY=2SU", "BYDAY=2SU;UNTIL=20500301T000000Z").Replace(customZone)
	if got := instants(t, withZone("DTSTART;TZID=Mine:22100701T080000", stays), date(2210, 1, 1), date(2211, 1, 1)); got != "2210-07-01T13:00" && got != "2210-07-01T12:00" {
		t.Errorf("a zone that has come to rest: %s", got)
	}
}

// An object that calls a zone with a summer time EST means that, and not the zone of that name, which has none.
func TestOwnZoneOfAFixedName(t *testing.T) {
	for name, alone := range map[string]string{"EST": "15:00", "MST": "17:00", "HST": "20:00"} {
		zone := strings.ReplaceAll(customZone, "TZID:Mine", "TZID:"+name)
		for _, tzid := range []string{name, `"` + name + `"`} {
			event := "DTSTART;TZID=" + tzid + ":20260701T100000"
			if got := instants(t, withZone(event, zone), date(2026, 1, 1), date(2027, 1, 1)); got != "2026-07-01T14:00" {
				t.Errorf("%s with a VTIMEZONE: %s", tzid, got)
			}
			if got := instants(t, calendarOf(event), date(2026, 1, 1), date(2027, 1, 1)); got != "2026-07-01T"+alone {
				t.Errorf("%s alone: %s", tzid, got)
			}
			event = "DTSTART;TZ\n ID=" + tzid[:2] + "\n " + tzid[2:] + ":20260701T100000"
			if got := instants(t, withZone(event, zone), date(2026, 1, 1), date(2027, 1, 1)); got != "2026-07-01T14:00" {
				t.Errorf("%s folded: %s", tzid, got)
			}
		}
	}
}

func TestBounds(t *testing.T) {
	for _, tc := range []struct {
		events      []string
		first, last string
	}{
		{[]string{"DTSTART:20260105T100000Z\nDTEND:20260105T110000Z"}, "2026-01-05T10", "2026-01-05T11"},
		{[]string{"DTSTART;VALUE=DATE:20260105"}, "2026-01-04T10", "2026-01-06T14"},
		{[]string{"DTSTART:20260105T100000\nDTEND:20260105T110000"}, "2026-01-04T20", "2026-01-06T01"},
		{[]string{"DTSTART:20260105T100000Z\nRRULE:FREQ=DAILY"}, "2026-01-05T10", ""},
		{[]string{"DTSTART:20260105T100000Z\nDTEND:20260105T110000Z\nRRULE:FREQ=DAILY;COUNT=3"}, "2026-01-05T10", "2026-01-07T11"},
		{[]string{"DTSTART:20260105T100000Z\nRRULE:FREQ=DAILY;UNTIL=20260110T120000Z"}, "2026-01-05T10", "2026-01-10T10"},
		{[]string{"DTSTART:20260105T100000Z\nRDATE:20250101T000000Z\nRDATE:20270101T000000Z"}, "2025-01-01T00", "2027-01-01T00"},
		{[]string{"DTSTART:20260105T100000Z\nRRULE:FREQ=DAILY;COUNT=2", "RECURRENCE-ID:20260105T100000Z\nDTSTART:20240105T100000Z",
			"RECURRENCE-ID:20260106T100000Z\nDTSTART:20280105T100000Z\nDTEND:20280105T120000Z"}, "2024-01-05T10", "2028-01-05T12"},
		{[]string{"DTSTART:20260105T100000Z\nRRULE:FREQ=SECONDLY;COUNT=100000000"}, "2026-01-05T10", ""},
		{nil, "", ""},
	} {
		first, last := new(ics.Reader).Bounds(decode(t, calendarOf(tc.events...)))
		if got := hour(first) + " " + hour(last); got != tc.first+" "+tc.last {
			t.Errorf("%v: %s, want %s %s", tc.events, got, tc.first, tc.last)
		}
	}
}

func hour(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15")
}

// Any object expands within its bounds, or why not is told: nothing panics and nothing takes forever.
func FuzzExpand(f *testing.F) {
	for _, rule := range []string{"FREQ=MONTHLY;BYDAY=53MO", "FREQ=YEARLY;BYWEEKNO=53;BYDAY=SU", "FREQ=SECONDLY;INTERVAL=9223372036854775807",
		"FREQ=DAILY;BYHOUR=0,0,0;BYMINUTE=1;BYSETPOS=-366", "FREQ=WEEKLY;UNTIL=99991231", "FREQ=DAILY;COUNT=100000", "FREQ=HOURLY;UNTIL=x",
		"FREQ=YEARLY;BYMONTH=-50;BYMONTHDAY=31", "FREQ=MINUTELY;INTERVAL=-1", "FREQ=YEARLY;BYDAY=MO,20TU;BYSETPOS=-1", "FREQ=WEEKLY;WKST=SU;BYDAY=SA;INTERVAL=10000"} {
		f.Add(calendarOf("DTSTART;TZID=Europe/Berlin:20260101T000000\nDURATION:P1W2DT3H4M5S\nRRULE:" + rule))
		f.Add(calendarOf("DTSTART;VALUE=DATE:99991230\nRRULE:" + rule))
		f.Add(calendarOf("DTSTART:00010101T000000Z\nRRULE:" + rule))
	}
	f.Add(calendarOf("DTSTART;VALUE=DATE:00010101\nDTEND:99991231T235959Z\nRDATE;VALUE=PERIOD:20260101T000000Z/PT1H,\nEXDATE:,"))
	f.Add(calendarOf("DTSTART;TZID=X:20260101T000000\nEND:VEVENT\nBEGIN:VTIMEZONE\nTZID:X\nBEGIN:DAYLIGHT\nDTSTART:00010101T000000\nTZOFFSETFROM:-2359\nTZOFFSETTO:+235959\nRDATE:20260101T000000,20270101\nRRULE:FREQ=HOURLY;UNTIL=00010102T000000Z\nEND:DAYLIGHT\nEND:VTIMEZONE\nBEGIN:VEVENT\nDTSTART:20260101T000000Z"))
	f.Fuzz(func(t *testing.T, data string) {
		cal, err := ics.Decode([]byte(data))
		if err != nil {
			return
		}
		r := &ics.Reader{Resolve: resolve}
		first, last := r.Bounds(cal)
		list, err := r.Expand(cal, ics.Span{Start: date(2026, 1, 1), End: date(2026, 3, 1)})
		if err != nil {
			return
		}
		for _, i := range list {
			if i.Start.Before(first) || !last.IsZero() && i.End.After(last) {
				t.Errorf("%v – %v is outside of %v – %v\n%s", i.Start, i.End, first, last, data)
			}
		}
	})
}
