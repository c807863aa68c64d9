package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// shelf is an ObjectLister in memory.
type shelf struct {
	bridge.ObjectLister
	list []bridge.Object
}

func (s *shelf) Objects(ctx context.Context, id bridge.CalendarID, q bridge.ObjectQuery) ([]bridge.Object, error) {
	var page []bridge.Object
	for _, o := range s.list {
		if o.Calendar == id && o.Name > q.After && len(page) < q.Limit && !o.First.After(q.End) && (o.Last.IsZero() || !o.Last.Before(q.Start)) {
			page = append(page, o)
		}
	}
	return page, ctx.Err()
}

// put adds a VEVENT with these lines to a calendar.
func (s *shelf) put(t testing.TB, id bridge.CalendarID, lines ...string) {
	t.Helper()
	n := len(s.list)
	data := []byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:" + strconv.Itoa(n) + "\r\nDTSTAMP:20260101T000000Z\r\n" +
		strings.Join(lines, "\r\n") + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")
	cal, err := ics.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	o := bridge.Object{Calendar: id, Name: fmt.Sprintf("%06d", n), Data: data}
	o.First, o.Last = (&ics.Reader{Resolve: convert.Zone}).Bounds(cal)
	s.list = append(s.list, o)
}

// said is the agenda of 14 days from a date, an event a line.
func said(t *testing.T, s *shelf, first, zone string, words ...string) string {
	t.Helper()
	loc, ok := convert.Zone(zone)
	from, err := time.Parse(time.DateOnly, first)
	if !ok || err != nil {
		t.Fatal(zone, err)
	}
	cals := []bridge.Calendar{{ID: 1, Name: "work", DisplayName: "Work"}}
	found, err := reader{s, convert.Zone}.in(t.Context(), cals, ics.Span{Start: from.Add(-day), End: from.AddDate(0, 0, agendaDays).Add(day)}, words...)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	h := &Handler{PublicURL: "https://calendar.example.com"}
	for _, d := range h.agendaOf(English, "ann", found.List, false, from, from, loc).Days {
		for _, e := range d.Events {
			fmt.Fprintf(&b, "%s %s %s", d.Date.Format("01-02"), e.Time, e.Title)
			if e.Notes != "" {
				fmt.Fprintf(&b, " (%s)", e.Notes)
			}
			b.WriteByte('\n')
		}
	}
	return b.String() + found.Note().String()
}

func TestAgendaTimes(t *testing.T) {
	t.Parallel()
	weekly := []string{"SUMMARY:Weekly", "DTSTART;TZID=Europe/Berlin:20200106T093000", "DTEND;TZID=Europe/Berlin:20200106T101500", "RRULE:FREQ=WEEKLY;BYDAY=MO"}
	trip := []string{"SUMMARY:Trip", "DTSTART;VALUE=DATE:20260330", "DTEND;VALUE=DATE:20260403"}
	for _, c := range []struct {
		name, first, zone string
		objects           [][]string
		want              string
	}{
		{"an endless series keeps its clock time when summer time begins", "2026-03-22", "Europe/Berlin", [][]string{weekly}, "03-23 09:30–10:15 Weekly\n03-30 09:30–10:15 Weekly\n"},
		{"and is an hour off for another zone", "2026-03-24", "UTC", [][]string{weekly}, "03-30 07:30–08:15 Weekly\n04-06 07:30–08:15 Weekly\n"},
		{"zones by Windows names", "2026-03-24", "Tokyo Standard Time", [][]string{weekly}, "03-30 16:30–17:15 Weekly\n04-06 16:30–17:15 Weekly\n"},
		{"several days are one entry, on their dates in every zone", "2026-03-25", "Pacific/Auckland", [][]string{trip}, "03-30 all day, until Thu 2 Apr Trip\n"},
		{"which goes on where the list begins", "2026-04-01", "America/Los_Angeles", [][]string{trip}, "04-01 all day, until Thu 2 Apr Trip\n"},
		{"and is not there after its end", "2026-04-03", "America/Los_Angeles", [][]string{trip}, ""},
		{"over midnight", "2026-03-04", "UTC", [][]string{{"SUMMARY:Night shift", "DTSTART:20260304T220000Z", "DTEND:20260305T060000Z"}}, "03-04 22:00, until Thu 5 Mar 06:00 Night shift\n"},
		{"begun the day before", "2026-03-05", "UTC", [][]string{{"SUMMARY:Night shift", "DTSTART:20260304T220000Z", "DTEND:20260305T060000Z"}}, "03-05 until Thu 5 Mar 06:00 Night shift\n"},
		{"till midnight", "2026-03-04", "UTC", [][]string{{"SUMMARY:Party", "DTSTART:20260304T200000Z", "DTEND:20260305T000000Z"}}, "03-04 20:00–00:00 Party\n"},
		{"no length", "2026-03-04", "UTC", [][]string{{"SUMMARY:Mark", "DTSTART:20260304T200000Z"}, {"SUMMARY:Midnight", "DTSTART:20260305T000000Z"}}, "03-04 20:00 Mark\n03-05 00:00 Midnight\n"},
		{"the day after by another clock", "2026-03-04", "Asia/Tokyo", [][]string{{"SUMMARY:Late", "DTSTART:20260304T200000Z", "DTEND:20260304T210000Z"}}, "03-05 05:00–06:00 Late\n"},
		{"the hour that comes twice", "2026-10-25", "Europe/Berlin", [][]string{{"SUMMARY:First", "DTSTART:20261025T001500Z", "DTEND:20261025T004500Z"}, {"SUMMARY:Across", "DTSTART:20261025T003000Z", "DTEND:20261025T011500Z"}},
			"10-25 02:15–02:45 First\n10-25 02:30–02:15 Across\n"},
		{"all day first, then by time", "2026-03-04", "UTC",
			[][]string{{"SUMMARY:B", "DTSTART:20260304T100000Z", "DTEND:20260304T110000Z"}, {"SUMMARY:A", "DTSTART:20260304T100000Z", "DTEND:20260304T110000Z"},
				{"SUMMARY:C", "DTSTART:20260304T090000Z", "DTEND:20260304T110000Z"}, {"SUMMARY:D", "DTSTART;VALUE=DATE:20260304"}},
			"03-04 all day D\n03-04 09:00–11:00 C\n03-04 10:00–11:00 A\n03-04 10:00–11:00 B\n"},
		{"states", "2026-03-04", "UTC",
			[][]string{{"SUMMARY:Gone", "DTSTART:20260304T100000Z", "STATUS:CANCELLED"}, {"SUMMARY:Home", "DTSTART:20260304T110000Z", "TRANSP:TRANSPARENT", "CLASS:PRIVATE"},
				{"DTSTART:20260304T120000Z", "STATUS:TENTATIVE"}},
			"03-04 10:00 Gone (cancelled)\n03-04 11:00 Home (free, private)\n03-04 12:00 (no title) (tentative)\n"},
		{"the years' ends", "2026-12-28", "UTC", [][]string{{"SUMMARY:Eve", "DTSTART;VALUE=DATE:20261231", "DTEND;VALUE=DATE:20270102"}}, "12-31 all day, until Fri 1 Jan 2027 Eve\n"},
		{"what cannot be read is counted", "2026-03-04", "UTC", [][]string{{"SUMMARY:Good", "DTSTART:20260304T100000Z"}, {"SUMMARY:Bad", "DTSTART;TZID=Nowhere:20260304T100000"}},
			"03-04 10:00 Good\n1 event cannot be shown here."},
	} {
		s := &shelf{}
		for _, o := range c.objects {
			s.put(t, 1, o...)
		}
		if d := cmp.Diff(c.want, said(t, s, c.first, c.zone)); d != "" {
			t.Errorf("%s:\n%s", c.name, d)
		}
	}
}

func TestSearchWords(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	s.put(t, 1, "SUMMARY:Grüße\\, aus Lissabon", "LOCATION:Café Central", "DTSTART:20260304T100000Z")
	s.put(t, 1, "SUMMARY:Review of a title that is so long that its line is folded somew", " here", "DTSTART:20260304T110000Z")
	s.put(t, 1, "SUMMARY:Other", "DESCRIPTION:Lissabon", "DTSTART:20260304T120000Z")
	for words, want := range map[string]string{"lissabon": "03-04 10:00 Grüße, aus Lissabon\n", "central grüße": "03-04 10:00 Grüße, aus Lissabon\n",
		"somewhere": "03-04 11:00 Review of a title that is so long that its line is folded somewhere\n", "central review": "", "description": ""} {
		if got := said(t, s, "2026-03-04", "UTC", strings.Fields(words)...); got != want {
			t.Errorf("%s: %q", words, got)
		}
	}
	// Of a series, the occurrences that have the words.
	one := &shelf{}
	one.put(t, 1, "SUMMARY:Daily", "DTSTART:20260304T100000Z", "RRULE:FREQ=DAILY;COUNT=3", "END:VEVENT", "BEGIN:VEVENT", "UID:0", "DTSTAMP:20260101T000000Z",
		"RECURRENCE-ID:20260305T100000Z", "SUMMARY:Farewell", "DTSTART:20260305T100000Z")
	if got := said(t, one, "2026-03-04", "UTC", "farewell"); got != "03-05 10:00 Farewell\n" {
		t.Errorf("%q", got)
	}
}

func TestRuleText(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]string{
		"FREQ=DAILY": "every day",
		"FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE;WKST=SU":                "every 2 weeks on Monday, Wednesday",
		"FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=5":                        "every month on the last day, 5 times",
		"FREQ=MONTHLY;BYDAY=2TU":                                    "every month on the second Tuesday",
		"FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1":             "every month on the last Monday or Tuesday or Wednesday or Thursday or Friday",
		"FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=8;UNTIL=20280308T080000Z": "every year on day 8 of March, until 8 March 2028",
		"FREQ=HOURLY":                "by the rule FREQ=HOURLY",
		"FREQ=MONTHLY;BYDAY=1MO,3MO": "by the rule FREQ=MONTHLY;BYDAY=1MO,3MO",
		"FREQ=WEEKLY;BYDAY=XX":       "by the rule FREQ=WEEKLY;BYDAY=XX",
		"FREQ=WEEKLY;BYDAY=M":        "by the rule FREQ=WEEKLY;BYDAY=M",
	} {
		if got := English.ruleText(rule); got != want {
			t.Errorf("%s: %q", rule, got)
		}
	}
}

// BenchmarkEvents makes the answer for the month of a calendar with 10,000 single events, all of them in this month.
func BenchmarkEvents(b *testing.B) {
	s := &shelf{}
	for i := range 10_000 {
		at := time.Date(2026, 3, 1+i%31, i/31%24, 0, 0, 0, time.UTC)
		cal, _, err := convert.ToICS(convert.Series{Owner: "ann@contoso.example", Event: graph.Event{
			ID: graph.EventID(fmt.Sprint(i)), ICalUID: fmt.Sprintf("%0112d", i), Subject: fmt.Sprintf("Meeting %d", i), OriginalStartTimeZone: "W. Europe Standard Time",
			Body: graph.ItemBody{ContentType: "text", Content: strings.Repeat("What there is to say of it. ", 20)}, Location: graph.Location{DisplayName: "Room 7"},
			Start: graph.DateTimeTimeZone{DateTime: at.Format("2006-01-02T15:04:05"), TimeZone: "UTC"},
			End:   graph.DateTimeTimeZone{DateTime: at.Add(time.Hour).Format("2006-01-02T15:04:05"), TimeZone: "UTC"},
		}})
		if err != nil {
			b.Fatal(err)
		}
		var w bytes.Buffer
		if err := ics.Encode(&w, cal); err != nil {
			b.Fatal(err)
		}
		s.list = append(s.list, bridge.Object{Calendar: 1, Name: fmt.Sprintf("%06d", i), Data: w.Bytes()})
	}
	// The real store pages by an index; shelf would search everything each time.
	pages := map[string][]bridge.Object{}
	for i := 0; i < len(s.list); i += 50 {
		after := ""
		if i > 0 {
			after = s.list[i-1].Name
		}
		pages[after] = s.list[i : i+50]
	}
	h := &Handler{PublicURL: "https://calendar.example.com"}
	span := ics.Span{Start: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)}
	b.ReportAllocs()
	for b.Loop() {
		found, err := reader{paged{pages: pages}, convert.Zone}.in(b.Context(), []bridge.Calendar{{ID: 1}}, span)
		if err != nil || len(found.List) != 10_000 {
			b.Fatal(len(found.List), err)
		}
		list := make([]eventJSON, 0, len(found.List))
		for _, o := range found.List {
			list = append(list, h.eventJSON(English, "ann", o, false))
		}
		if _, err := json.Marshal(list); err != nil {
			b.Fatal(err)
		}
	}
}

type paged struct {
	bridge.ObjectLister
	pages map[string][]bridge.Object
}

func (p paged) Objects(_ context.Context, _ bridge.CalendarID, q bridge.ObjectQuery) ([]bridge.Object, error) {
	list := p.pages[q.After]
	return list[:min(len(list), q.Limit)], nil
}
