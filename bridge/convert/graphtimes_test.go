package convert

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-ical"
	"pgregory.net/rapid"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// The VTIMEZONE of Berlin's rules under a name that is nobody's, one of rules that no zone has, and Apple's of an offset.
const (
	customBerlin = "BEGIN:VTIMEZONE\nTZID:Customized Time Zone\nBEGIN:STANDARD\nDTSTART:16010101T030000\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0100\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\nEND:STANDARD\nBEGIN:DAYLIGHT\nDTSTART:16010101T020000\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0200\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3\nEND:DAYLIGHT\nEND:VTIMEZONE"
	customNone   = "BEGIN:VTIMEZONE\nTZID:Nowhere\nBEGIN:STANDARD\nDTSTART:16010101T030000\nTZOFFSETFROM:+0213\nTZOFFSETTO:+0113\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\nEND:STANDARD\nBEGIN:DAYLIGHT\nDTSTART:16010101T020000\nTZOFFSETFROM:+0113\nTZOFFSETTO:+0213\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3\nEND:DAYLIGHT\nEND:VTIMEZONE"
	appleOffset  = "BEGIN:VTIMEZONE\nTZID:GMT+0200\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0200\nEND:STANDARD\nEND:VTIMEZONE"
)

func timeText(t graphTime) string {
	s := t.Start.DateTime + " " + t.Start.TimeZone + " – " + t.End.DateTime + " " + t.End.TimeZone
	if t.IsAllDay {
		s += ", all day"
	}
	return s
}

func TestGraphTimes(t *testing.T) {
	kept := graph.Event{Type: graph.SingleInstance, OriginalStartTimeZone: "Romance Standard Time", OriginalEndTimeZone: "Tokyo Standard Time"}
	odd := graph.Event{Type: graph.SingleInstance, OriginalStartTimeZone: "tzone://Microsoft/Custom", OriginalEndTimeZone: "tzone://Microsoft/Custom"}
	shown := graph.Event{Type: graph.SingleInstance, OriginalStartTimeZone: "(UTC+01:00) Brussels, Copenhagen, Madrid, Paris"}
	utc := graph.Event{Type: graph.SingleInstance, OriginalStartTimeZone: "tzone://Microsoft/Utc"}
	kyiv := graph.Event{Type: graph.SingleInstance, OriginalStartTimeZone: "FLE Standard Time"}
	for _, c := range []struct {
		name, zones, event string
		known              *graph.Event
		want, loss         string
	}{
		{"the event's own zone, by its name", "", "DTSTART;TZID=Europe/Paris:20261203T110000\nDTEND;TZID=Europe/Paris:20261203T114500", &kept,
			"2026-12-03T11:00:00 Romance Standard Time – 2026-12-03T11:45:00 Romance Standard Time", ""},
		{"the end's own zone", "", "DTSTART;TZID=Europe/Paris:20261203T110000\nDTEND;TZID=Asia/Tokyo:20261204T080000", &kept,
			"2026-12-03T11:00:00 Romance Standard Time – 2026-12-04T08:00:00 Tokyo Standard Time", ""},
		{"another zone", "", "DTSTART;TZID=America/New_York:20261203T110000\nDTEND;TZID=America/New_York:20261203T114500", &kept,
			"2026-12-03T11:00:00 America/New_York – 2026-12-03T11:45:00 America/New_York", ""},
		{"a display name as the zone", "", "DTSTART;TZID=Europe/Paris:20261203T110000\nDURATION:PT45M", &shown,
			"2026-12-03T11:00:00 Europe/Paris – 2026-12-03T11:45:00 Europe/Paris", ""},
		{"a custom zone", "", "DTSTART;TZID=Europe/Berlin:20261203T110000\nDURATION:PT45M", &odd,
			"2026-12-03T11:00:00 W. Europe Standard Time – 2026-12-03T11:45:00 W. Europe Standard Time", "tzone://Microsoft/Custom"},
		{"UTC", "", "DTSTART:20261203T110000Z\nDTEND:20261203T114500Z", &kept, "2026-12-03T11:00:00 UTC – 2026-12-03T11:45:00 UTC", ""},
		{"an old name of UTC", "", "DTSTART:20261203T110000Z\nDTEND:20261203T114500Z", &utc, "2026-12-03T11:00:00 UTC – 2026-12-03T11:45:00 UTC", ""},
		{"an end in UTC", "", "DTSTART;TZID=Europe/Berlin:20261203T110000\nDTEND:20261203T104500Z", nil,
			"2026-12-03T11:00:00 W. Europe Standard Time – 2026-12-03T11:45:00 W. Europe Standard Time", ""},
		{"floating", "", "DTSTART:20261203T110000\nDTEND:20261203T114500", nil,
			"2026-12-03T11:00:00 W. Europe Standard Time – 2026-12-03T11:45:00 W. Europe Standard Time", "no time zone"},
		{"no end", "", "DTSTART;TZID=Europe/Berlin:20261203T110000", nil,
			"2026-12-03T11:00:00 W. Europe Standard Time – 2026-12-03T11:00:00 W. Europe Standard Time", ""},
		{"a duration across a turn of the clock", "", "DTSTART;TZID=Europe/Berlin:20261024T230000\nDURATION:PT6H", nil,
			"2026-10-24T23:00:00 W. Europe Standard Time – 2026-10-25T04:00:00 W. Europe Standard Time", ""},
		{"a day across it", "", "DTSTART;TZID=Europe/Berlin:20261024T230000\nDURATION:P1D", nil,
			"2026-10-24T23:00:00 W. Europe Standard Time – 2026-10-25T23:00:00 W. Europe Standard Time", ""},
		{"a series across it", "", "DTSTART;TZID=Europe/Berlin:20261024T230000\nDURATION:PT6H\nRRULE:FREQ=WEEKLY", nil,
			"2026-10-24T23:00:00 W. Europe Standard Time – 2026-10-25T05:00:00 W. Europe Standard Time", ""},
		{"a skipped hour", "", "DTSTART;TZID=Europe/Berlin:20260329T023000\nDTEND;TZID=Europe/Berlin:20260329T040000", nil,
			"2026-03-29T01:30:00 UTC – 2026-03-29T02:00:00 UTC", "kept in UTC"},
		{"an hour that comes twice", "", "DTSTART;TZID=Europe/Berlin:20261025T023000\nDTEND;TZID=Europe/Berlin:20261025T040000", nil,
			"2026-10-25T00:30:00 UTC – 2026-10-25T03:00:00 UTC", "kept in UTC"},
		{"the second of them", "", "DTSTART;TZID=Europe/Berlin:20261025T010000\nDTEND:20261025T013000Z", nil,
			"2026-10-24T23:00:00 UTC – 2026-10-25T01:30:00 UTC", "kept in UTC"},
		{"a series in a skipped hour", "", "DTSTART;TZID=Europe/Berlin:20260329T023000\nDTEND;TZID=Europe/Berlin:20260329T040000\nRRULE:FREQ=DAILY", nil,
			"2026-03-29T02:30:00 W. Europe Standard Time – 2026-03-29T04:00:00 W. Europe Standard Time", ""},
		{"a date", "", "DTSTART;VALUE=DATE:20261207", nil, "2026-12-07T00:00:00 W. Europe Standard Time – 2026-12-08T00:00:00 W. Europe Standard Time, all day", ""},
		{"dates", "", "DTSTART;VALUE=DATE:20261207\nDTEND;VALUE=DATE:20261210", &kept,
			"2026-12-07T00:00:00 Romance Standard Time – 2026-12-10T00:00:00 Romance Standard Time, all day", ""},
		{"the same date", "", "DTSTART;VALUE=DATE:20261207\nDTEND;VALUE=DATE:20261207", nil,
			"2026-12-07T00:00:00 W. Europe Standard Time – 2026-12-08T00:00:00 W. Europe Standard Time, all day", ""},
		{"days", "", "DTSTART;VALUE=DATE:20261207\nDURATION:P2D", nil, "2026-12-07T00:00:00 W. Europe Standard Time – 2026-12-09T00:00:00 W. Europe Standard Time, all day", ""},
		{"hours that are days", "", "DTSTART;VALUE=DATE:20261207\nDURATION:PT24H", nil, "2026-12-07T00:00:00 W. Europe Standard Time – 2026-12-08T00:00:00 W. Europe Standard Time, all day", ""},
		{"dates in a custom zone", "", "DTSTART;VALUE=DATE:20261207", &odd, "2026-12-07T00:00:00 W. Europe Standard Time – 2026-12-08T00:00:00 W. Europe Standard Time, all day", ""},
		{"Evolution's name", "", "DTSTART;TZID=/freeassociation.sourceforge.net/Europe/Paris:20261203T110000\nDURATION:PT45M", &kept,
			"2026-12-03T11:00:00 Romance Standard Time – 2026-12-03T11:45:00 Romance Standard Time", ""},
		{"hyphens", "", "DTSTART;TZID=Europe-Paris:20261203T110000\nDURATION:PT45M", &kept,
			"2026-12-03T11:00:00 Romance Standard Time – 2026-12-03T11:45:00 Romance Standard Time", ""},
		{"a Windows name", "", "DTSTART;TZID=\"W. Europe Standard Time\":20261203T110000\nDURATION:PT45M", &kept,
			"2026-12-03T11:00:00 W. Europe Standard Time – 2026-12-03T11:45:00 W. Europe Standard Time", ""},
		{"Apple's offset", appleOffset, "DTSTART;TZID=GMT+0200:20261203T110000\nDURATION:PT45M", nil,
			"2026-12-03T11:00:00 Etc/GMT-2 – 2026-12-03T11:45:00 Etc/GMT-2", ""},
		{"rules of a zone", customBerlin, "DTSTART;TZID=Customized Time Zone:20261203T110000\nDURATION:PT45M", nil,
			"2026-12-03T11:00:00 W. Europe Standard Time – 2026-12-03T11:45:00 W. Europe Standard Time", "Customized Time Zone"},
		{"rules of the event's zone", customBerlin, "DTSTART;TZID=Customized Time Zone:20261203T110000\nDURATION:PT45M", &kept,
			"2026-12-03T11:00:00 Romance Standard Time – 2026-12-03T11:45:00 Romance Standard Time", "Customized Time Zone"},
		{"rules of a zone for a series", customBerlin, "DTSTART;TZID=Customized Time Zone:20261203T110000\nDURATION:PT45M\nRRULE:FREQ=DAILY", nil,
			"2026-12-03T11:00:00 W. Europe Standard Time – 2026-12-03T11:45:00 W. Europe Standard Time", "Customized Time Zone"},
		{"a new spelling", "", "DTSTART;TZID=Europe/Kyiv:20261203T110000\nDURATION:PT45M", nil, "2026-12-03T11:00:00 Europe/Kiev – 2026-12-03T11:45:00 Europe/Kiev", ""},
		{"a new spelling of the event's zone", "", "DTSTART;TZID=Europe/Kyiv:20261203T110000\nDURATION:PT45M", &kyiv,
			"2026-12-03T11:00:00 FLE Standard Time – 2026-12-03T11:45:00 FLE Standard Time", ""},
	} {
		s := Series{MailboxZone: "W. Europe Standard Time"}
		if c.known != nil {
			s.Event = *c.known
		}
		events := []string{c.event}
		if c.zones != "" {
			events = []string{c.zones, c.event}
		}
		in := readObject(calendarOf(t, events...), s, nil)
		got, losses, err := graphTimes(in.master, in, s, c.known)
		if err != nil || timeText(got) != c.want {
			t.Errorf("%s:\nis   %s, %v\nwant %s", c.name, timeText(got), err, c.want)
		}
		if said := fmt.Sprint(losses); (c.loss == "") != (len(losses) == 0) || !strings.Contains(said, c.loss) {
			t.Errorf("%s: losses %s, want %q", c.name, said, c.loss)
		}
	}
}

func TestGraphTimesRefuses(t *testing.T) {
	for _, c := range []struct{ name, zones, event string }{
		{"no start", "", "DTEND:20261203T110000Z"},
		{"before the start", "", "DTSTART:20261203T110000Z\nDTEND:20261203T100000Z"},
		{"a series before it", "", "DTSTART:20261203T110000Z\nDTEND:20261203T100000Z\nRRULE:FREQ=DAILY"},
		{"a negative duration", "", "DTSTART:20261203T110000Z\nDURATION:-PT1H"},
		{"dates before", "", "DTSTART;VALUE=DATE:20261203\nDTEND;VALUE=DATE:20261202"},
		{"a date and a time", "", "DTSTART;VALUE=DATE:20261203\nDTEND:20261203T100000Z"},
		{"a time and a date", "", "DTSTART:20261203T110000Z\nDTEND;VALUE=DATE:20261204"},
		{"half a day", "", "DTSTART;VALUE=DATE:20261203\nDURATION:PT12H"},
		{"no zone", "", "DTSTART;TZID=Nowhere:20261203T110000\nDURATION:PT45M"},
		{"rules of no zone", customNone, "DTSTART;TZID=Nowhere:20261203T110000\nDURATION:PT45M"},
		{"no time", "", "DTSTART:tomorrow"},
		{"too early", "", "DTSTART:15001203T110000Z"},
		{"too late", "", "DTSTART;VALUE=DATE:45001231"},
	} {
		events := []string{c.event}
		if c.zones != "" {
			events = []string{c.zones, c.event}
		}
		in := readObject(calendarOf(t, events...), berlin, nil)
		got, _, err := graphTimes(in.master, in, berlin, nil)
		var r *Refusal
		if !errors.As(err, &r) || r.Kind != RefusedData || !strings.HasSuffix(r.Sentence, ".") && !strings.HasSuffix(r.Sentence, ").") {
			t.Errorf("%s: %s, %v", c.name, timeText(got), err)
		}
	}
}

// Times that are served and come back are the times that Graph has, in the zone that it named.
func TestTimesThereAndBack(t *testing.T) {
	goldenSeries(t, func(t *testing.T, s Series, octets []byte) {
		served := readObject(decode(t, octets), s, nil)
		in := readObject(decode(t, octets), s, served)
		if in.master == nil {
			return
		}
		got, _, err := graphTimes(in.master, in, s, &s.Event)
		if err != nil {
			var r *Refusal
			if errors.As(err, &r) && strings.Contains(r.Sentence, "years") {
				return
			}
			t.Fatal(err)
		}
		c := newConversion(s)
		want, err := c.times(s.Event, c.zoneOf(s.Event, nil))
		if err != nil {
			t.Fatal(err)
		}
		e := s.Event
		e.Start, e.End, e.IsAllDay = got.Start, got.End, got.IsAllDay
		have := SpanOf(e)
		// A series whose start its rule does not hit begins on the first date that it does.
		if !have.Start.Equal(want.start) && !(isMaster(s.Event) && have.Start.After(want.start)) || have.End.Sub(have.Start) != want.end.Sub(want.start) && !recurs(in.master) {
			t.Errorf("%s, want %s", timeText(got), want.describe())
		}
		written := propOf(in.master, ical.PropDateTimeStart).Params.Get(ical.ParamTimezoneID)
		if z, ok := findZone(s.Event.OriginalStartTimeZone); ok && sendable(s.Event.OriginalStartTimeZone) && z.tzid == written &&
			got.Start.TimeZone != s.Event.OriginalStartTimeZone && got.Start.TimeZone != "UTC" {
			t.Errorf("the zone is %q, was %q", got.Start.TimeZone, s.Event.OriginalStartTimeZone)
		}
	})
}

// Whatever a client writes, what Graph gets is the same instant for a single event.
func TestGraphTimesKeepInstants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loc, iana, _ := LoadZone(rapid.SampledFrom(testZones).Draw(t, "zone"))
		first := date(2015, 1, 1).Add(time.Duration(rapid.IntRange(0, 4000*96).Draw(t, "start")) * 15 * time.Minute)
		if _, turn := first.In(loc).ZoneBounds(); !turn.IsZero() && rapid.Bool().Draw(t, "near a turn of the clock") {
			first = ics.Wall(turn, loc).Add(time.Duration(rapid.IntRange(-12, 12).Draw(t, "quarters from it")) * 15 * time.Minute).Truncate(15 * time.Minute)
		}
		minutes := rapid.IntRange(0, 2000).Draw(t, "minutes")
		name := ";TZID=" + iana
		form := ics.WallForm
		if iana == "UTC" {
			name, form = "", ics.UTCForm
		}
		cal := ical.NewCalendar()
		c := ical.NewComponent(ical.CompEvent)
		add(c, ical.PropDateTimeStart, first.Format(form))
		if name != "" {
			c.Props.Get(ical.PropDateTimeStart).Params.Set(ical.ParamTimezoneID, iana)
		}
		add(c, ical.PropDuration, durationText(time.Duration(minutes)*time.Minute))
		cal.Children = append(cal.Children, c)
		in := readObject(cal, berlin, nil)
		want, err := in.reader.Event(cal, c)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := graphTimes(c, in, berlin, nil)
		if err != nil {
			t.Fatal(err)
		}
		have := SpanOf(graph.Event{Start: got.Start, End: got.End})
		if !have.Start.Equal(want.Start) || !have.End.Equal(want.End) {
			t.Fatalf("%s, want %v – %v", timeText(got), want.Start, want.End)
		}
	})
}
