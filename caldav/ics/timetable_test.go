package ics_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"outbridge/caldav/ics"
)

func timetable(t testing.TB, data string, window ics.Span) ics.Timetable {
	cal := decode(t, data)
	r := &ics.Reader{Resolve: resolve}
	first, last := r.Bounds(cal)
	return r.Timetable(cal, first, last, window)
}

func TestTimetable(t *testing.T) {
	window := ics.Span{Start: date(2026, 1, 1), End: date(2028, 1, 1)}
	const at = "DTSTART;TZID=Europe/Berlin:20260105T090000\nDTEND;TZID=Europe/Berlin:20260105T100000\n"
	for _, c := range []struct {
		name, object string
		want         ics.Timetable
	}{
		{"a single event is told of for ever", calendarOf(at), ": Europe/Berlin;0;2s0;t8dvo0"},
		{"UTC", calendarOf("DTSTART:20260105T090000Z\nDURATION:P1D"), ": UTC;1;0;t8dvo0"},
		{"a name of Windows is that of its place", calendarOf(strings.ReplaceAll(at, "Europe/Berlin", "W. Europe Standard Time")), ": Europe/Berlin;0;2s0;t8dvo0"},
		{"dates", calendarOf("DTSTART;VALUE=DATE:20260105\nDTEND;VALUE=DATE:20260107"), ": ;2;0;t8d6o0"},
		{"a series over changes of the clock is one run", calendarOf(at + "RRULE:FREQ=WEEKLY"), ":u9nmg0 Europe/Berlin;0;2s0;t8dvo0*cyo0*2w"},
		{"one that ends", calendarOf(at + "RRULE:FREQ=WEEKLY;COUNT=3"), ": Europe/Berlin;0;2s0;t8dvo0*cyo0*3"},
		{"an exception", calendarOf(at+"RRULE:FREQ=WEEKLY;COUNT=3", at+"RECURRENCE-ID;TZID=Europe/Berlin:20260112T090000"),
			": Europe/Berlin;0;2s0;t8dvo0*pxc0*2"},
		{"nothing is left", calendarOf(at + "EXDATE;TZID=Europe/Berlin:20260105T090000"), ":"},
		{"a floating time", calendarOf("DTSTART:20260105T090000"), ""},
		{"what is taken out floats", calendarOf(at + "RRULE:FREQ=WEEKLY\nEXDATE:20260112T090000"), ""},
		{"from a time to a date", calendarOf("DTSTART:20260105T090000Z\nDTEND;VALUE=DATE:20260107"), ""},
		{"a zone of which only the object tells", ownZone, ""},
		{"a rule that is not understood", calendarOf(at + "RRULE:FREQ=MONTHLY;BYEASTER=0"), ""},
		{"too many", calendarOf(at + "RRULE:FREQ=MINUTELY"), ""},
		{"too irregular", calendarOf(at + "RRULE:FREQ=HOURLY"), ""},
	} {
		if got := timetable(t, c.object, window); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

const ownZone = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VTIMEZONE\r\nTZID:Customized\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\n" +
	"TZOFFSETFROM:+0200\r\nTZOFFSETTO:+0200\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTART;TZID=Customized:20260105T090000\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"

// What is no timetable, or one of a later form, tells nothing.
func TestTimetableOfNonsense(t *testing.T) {
	s := ics.Span{Start: date(2026, 1, 1), End: date(2027, 1, 1)}
	for _, bad := range []ics.Timetable{"", "x", "- -", ": No/Where;0;0;1", ": UTC;0;0", ": UTC;0;0;!", ": UTC;0;0;1*2", ": UTC;0;0;1*0*zzzzzzzz", ":!", "2:3"} {
		if in, known := bad.Overlaps(&ics.Reader{}, s); in || known {
			t.Errorf("%q: %v, %v", bad, in, known)
		}
	}
}

// TestTimetableTruth: what a timetable tells is what the engine makes of the object, in whatever zone dates are read.
func TestTimetableTruth(t *testing.T) {
	told := 0
	rapid.Check(t, func(t *rapid.T) {
		data := object(drawObject(t))
		cal, err := ics.Decode([]byte(data))
		if err != nil {
			t.Fatal(err)
		}
		made := &ics.Reader{Resolve: resolve}
		first, last := made.Bounds(cal)
		from := first.AddDate(0, 0, rapid.IntRange(-30, 200).Draw(t, "window begins"))
		window := ics.Span{Start: from, End: from.AddDate(0, 0, rapid.IntRange(40, 900).Draw(t, "window lasts"))}
		table := made.Timetable(cal, first, last, window)
		floating, err := time.LoadLocation(rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Auckland", "Pacific/Apia", "Pacific/Kiritimati", "Etc/GMT+12"}).Draw(t, "floating"))
		if err != nil {
			t.Fatal(err)
		}
		r := &ics.Reader{Floating: floating}
		instances, err := (&ics.Reader{Floating: floating, Resolve: resolve}).Expand(cal, ics.Span{Start: window.Start, End: window.End})
		if err != nil && table != "" && table != ":" {
			t.Fatalf("%q of what cannot be expanded: %v\n%s", table, err, data)
		}
		edge := func(label string) time.Time {
			if len(instances) > 0 && rapid.IntRange(0, 3).Draw(t, label+" at an instance") > 0 {
				i := instances[rapid.IntRange(0, len(instances)-1).Draw(t, label+" instance")]
				at := rapid.SampledFrom([]time.Time{i.Start, i.End}).Draw(t, label+" of it")
				return at.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, label+" second")) * time.Second)
			}
			return window.Start.Add(time.Duration(rapid.IntRange(-40*24, 1000*24).Draw(t, label+" hour")) * time.Hour)
		}
		for range 8 {
			s := ics.Span{Start: edge("start")}
			if s.End = edge("end"); !s.End.After(s.Start) {
				s.End = s.Start.Add(time.Duration(rapid.SampledFrom([]int{1, 60, 3600, 86400, 30 * 86400}).Draw(t, "seconds")) * time.Second)
			}
			in, known := table.Overlaps(r, s)
			if !known {
				if table != "" && !s.Start.Before(window.Start.Add(ics.Slack)) && !s.End.After(window.End.Add(-ics.Slack)) {
					t.Fatalf("%q does not know %v – %v within %v\n%s", table, s.Start, s.End, window, data)
				}
				continue
			}
			told++
			want := false
			err := (&ics.Reader{Floating: floating, Resolve: resolve}).Instances(cal, s, func(ics.Instance) bool {
				want = true
				return false
			})
			if in != want || err != nil {
				t.Fatalf("%v – %v in %v: %v, want %v, %v\n%q\n%s", s.Start, s.End, floating, in, want, err, table, data)
			}
		}
	})
	if told < 100 {
		t.Errorf("only %d ranges were told of", told)
	}
}
