package caldav_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"outbridge/caldav"
)

func queryBody(prop, filter string) string {
	return `<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop>` + prop +
		`</D:prop><C:filter><C:comp-filter name="VCALENDAR">` + filter + `</C:comp-filter></C:filter></C:calendar-query>`
}

func eventsWithin(start, end string) string {
	attrs := ""
	if start != "" {
		attrs += ` start="` + start + `"`
	}
	if end != "" {
		attrs += ` end="` + end + `"`
	}
	return `<C:comp-filter name="VEVENT"><C:time-range` + attrs + `/></C:comp-filter>`
}

// RFC 4791 §9.9, one event at a time.
func TestTimeRange(t *testing.T) {
	const at = "UID:x\nDTSTAMP:20260101T000000Z\n"
	for _, c := range []struct {
		name, event, zone string
		start, end        string
		want              bool
	}{
		{"inside", at + "DTSTART:20260810T100000Z\nDTEND:20260810T110000Z", "", "20260810T000000Z", "20260811T000000Z", true},
		{"ends at the start", at + "DTSTART:20260810T100000Z\nDTEND:20260810T110000Z", "", "20260810T110000Z", "20260811T000000Z", false},
		{"starts at the end", at + "DTSTART:20260810T100000Z\nDTEND:20260810T110000Z", "", "20260810T000000Z", "20260810T100000Z", false},
		{"around the range", at + "DTSTART:20260801T100000Z\nDTEND:20260820T110000Z", "", "20260810T000000Z", "20260811T000000Z", true},
		{"began before", at + "DTSTART:20260809T230000Z\nDTEND:20260810T010000Z", "", "20260810T000000Z", "20260811T000000Z", true},
		{"start only, over", at + "DTSTART:20260810T100000Z\nDTEND:20260810T110000Z", "", "20260810T110000Z", "", false},
		{"start only, goes on", at + "DTSTART:20260810T100000Z\nDTEND:20260810T110000Z", "", "20260810T105959Z", "", true},
		{"end only, before", at + "DTSTART:20260810T100000Z\nDTEND:20260810T110000Z", "", "", "20260810T100001Z", true},
		{"end only, after", at + "DTSTART:20260810T100000Z\nDTEND:20260810T110000Z", "", "", "20260810T100000Z", false},
		{"no end, at the start", at + "DTSTART:20260810T100000Z", "", "20260810T100000Z", "20260810T110000Z", true},
		{"no end, before", at + "DTSTART:20260810T100000Z", "", "20260810T100001Z", "20260810T110000Z", false},
		{"zero duration", at + "DTSTART:20260810T100000Z\nDURATION:PT0S", "", "20260810T100000Z", "", true},
		{"end is start", at + "DTSTART:20260810T100000Z\nDTEND:20260810T100000Z", "", "20260810T100000Z", "", true},
		{"duration", at + "DTSTART:20260810T100000Z\nDURATION:P1DT1H", "", "20260811T105959Z", "", true},
		{"duration over", at + "DTSTART:20260810T100000Z\nDURATION:P1DT1H", "", "20260811T110000Z", "", false},
		{"a day over a change of the clock", at + "DTSTART;TZID=Europe/Berlin:20261024T120000\nDURATION:P1D", "", "20261025T105959Z", "", true},
		{"24 hours over a change of the clock", at + "DTSTART;TZID=Europe/Berlin:20261024T120000\nDURATION:PT24H", "", "20261025T100000Z", "", false},
		{"all day, exactly its day", at + "DTSTART;VALUE=DATE:20260810\nDTEND;VALUE=DATE:20260811", "UTC", "20260810T000000Z", "20260811T000000Z", true},
		{"all day, the next day", at + "DTSTART;VALUE=DATE:20260810\nDTEND;VALUE=DATE:20260811", "UTC", "20260811T000000Z", "20260812T000000Z", false},
		{"all day without end", at + "DTSTART;VALUE=DATE:20260810", "UTC", "20260810T230000Z", "20260811T000000Z", true},
		{"all day in the calendar's zone", at + "DTSTART;VALUE=DATE:20260810", "America/Los_Angeles", "20260811T060000Z", "20260811T070000Z", true},
		{"all day in the calendar's zone, over", at + "DTSTART;VALUE=DATE:20260810", "America/Los_Angeles", "20260811T070000Z", "", false},
		{"floating", at + "DTSTART:20260810T100000\nDTEND:20260810T110000", "Asia/Tokyo", "20260810T010000Z", "20260810T013000Z", true},
		{"floating, elsewhere", at + "DTSTART:20260810T100000\nDTEND:20260810T110000", "Asia/Tokyo", "20260810T100000Z", "20260810T110000Z", false},
		{"multi-day", at + "DTSTART;VALUE=DATE:20260801\nDTEND;VALUE=DATE:20260901", "UTC", "20260815T000000Z", "20260816T000000Z", true},
		{"weekly forever, far on", at + "DTSTART:20200106T100000Z\nDTEND:20200106T110000Z\nRRULE:FREQ=WEEKLY", "", "20300107T100000Z", "20300107T103000Z", true},
		{"weekly forever, between", at + "DTSTART:20200106T100000Z\nDTEND:20200106T110000Z\nRRULE:FREQ=WEEKLY", "", "20300107T110000Z", "20300114T100000Z", false},
		{"weekly forever, start only", at + "DTSTART:20200106T100000Z\nDTEND:20200106T110000Z\nRRULE:FREQ=WEEKLY", "", "20400101T000000Z", "", true},
		{"before it began", at + "DTSTART:20200106T100000Z\nDTEND:20200106T110000Z\nRRULE:FREQ=WEEKLY", "", "20190101T000000Z", "20200106T100000Z", false},
		{"an instance that began before the range", at + "DTSTART:20200106T220000Z\nDTEND:20200107T020000Z\nRRULE:FREQ=DAILY", "", "20300107T000000Z", "20300107T010000Z", true},
		{"until, last one", at + "DTSTART;TZID=Europe/Berlin:20260105T090000\nDTEND;TZID=Europe/Berlin:20260105T100000\nRRULE:FREQ=DAILY;UNTIL=20260630T070000Z", "", "20260630T073000Z", "20260630T080000Z", true},
		{"until, one later", at + "DTSTART;TZID=Europe/Berlin:20260105T090000\nDTEND;TZID=Europe/Berlin:20260105T100000\nRRULE:FREQ=DAILY;UNTIL=20260630T065959Z", "", "20260630T000000Z", "", false},
		{"until as a date", at + "DTSTART;VALUE=DATE:20260105\nRRULE:FREQ=DAILY;UNTIL=20260110", "UTC", "20260110T120000Z", "", true},
		{"until as a date, over", at + "DTSTART;VALUE=DATE:20260105\nRRULE:FREQ=DAILY;UNTIL=20260110", "UTC", "20260111T000000Z", "", false},
		{"count", at + "DTSTART:20260105T090000Z\nRRULE:FREQ=DAILY;COUNT=3", "", "20260107T090000Z", "", true},
		{"count, over", at + "DTSTART:20260105T090000Z\nRRULE:FREQ=DAILY;COUNT=3", "", "20260107T090001Z", "", false},
		{"excluded", at + "DTSTART;TZID=Europe/Berlin:20260105T090000\nDTEND;TZID=Europe/Berlin:20260105T100000\nRRULE:FREQ=DAILY\nEXDATE;TZID=Europe/Berlin:20260810T090000", "", "20260810T000000Z", "20260811T000000Z", false},
		{"rdate", at + "DTSTART:20260105T090000Z\nDTEND:20260105T100000Z\nRDATE:20260201T090000Z,20260301T090000Z", "", "20260301T093000Z", "", true},
		{"override moved in", at + "DTSTART:20260105T090000Z\nDTEND:20260105T100000Z\nRRULE:FREQ=WEEKLY" + nextEvent + at + "RECURRENCE-ID:20260810T090000Z\nDTSTART:20260812T140000Z\nDTEND:20260812T150000Z", "", "20260812T000000Z", "20260813T000000Z", true},
		{"override moved out", at + "DTSTART:20260105T090000Z\nDTEND:20260105T100000Z\nRRULE:FREQ=WEEKLY" + nextEvent + at + "RECURRENCE-ID:20260810T090000Z\nDTSTART:20260812T140000Z\nDTEND:20260812T150000Z", "", "20260810T000000Z", "20260811T000000Z", false},
		{"override after the last", at + "DTSTART:20260105T090000Z\nDTEND:20260105T100000Z\nRRULE:FREQ=WEEKLY;COUNT=2" + nextEvent + at + "RECURRENCE-ID:20260112T090000Z\nDTSTART:20261224T140000Z\nDTEND:20261224T150000Z", "", "20261201T000000Z", "", true},
		{"cancelled override", at + "DTSTART:20260105T090000Z\nDTEND:20260105T100000Z\nRRULE:FREQ=WEEKLY" + nextEvent + at + "RECURRENCE-ID:20260810T090000Z\nSTATUS:CANCELLED\nDTSTART:20260810T090000Z\nDTEND:20260810T100000Z", "", "20260810T000000Z", "20260811T000000Z", true},
		{"orphan instance", at + "RECURRENCE-ID:20260810T090000Z\nDTSTART:20260810T090000Z\nDTEND:20260810T100000Z", "", "20260810T000000Z", "20260811T000000Z", true},
		{"skipped hour", at + "DTSTART;TZID=Europe/Berlin:20260328T023000\nDTEND;TZID=Europe/Berlin:20260328T024500\nRRULE:FREQ=DAILY", "", "20260329T013000Z", "20260329T014500Z", true},
		{"doubled hour, the first", at + "DTSTART;TZID=Europe/Berlin:20261024T023000\nDTEND;TZID=Europe/Berlin:20261024T024500\nRRULE:FREQ=DAILY", "", "20261025T003000Z", "20261025T004500Z", true},
		{"doubled hour, the second", at + "DTSTART;TZID=Europe/Berlin:20261024T023000\nDTEND;TZID=Europe/Berlin:20261024T024500\nRRULE:FREQ=DAILY", "", "20261025T013000Z", "20261025T014500Z", false},
		{"last of the month", at + "DTSTART:20260131T090000Z\nRRULE:FREQ=MONTHLY;BYMONTHDAY=-1", "", "20260228T000000Z", "20260301T000000Z", true},
		{"day 31 skips", at + "DTSTART:20260131T090000Z\nRRULE:FREQ=MONTHLY", "", "20260201T000000Z", "20260331T000000Z", false},
		{"second Tuesday", at + "DTSTART:20260113T090000Z\nRRULE:FREQ=MONTHLY;BYDAY=TU;BYSETPOS=2", "", "20260811T000000Z", "20260812T000000Z", true},
		{"every other week, off", at + "DTSTART:20240101T090000Z\nRRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE;WKST=MO", "", "20260803T000000Z", "20260810T000000Z", false},
		{"every other week, on", at + "DTSTART:20240101T090000Z\nRRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE;WKST=MO", "", "20260812T000000Z", "20260813T000000Z", true},
		{"29 February", at + "DTSTART;VALUE=DATE:20240229\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=-1", "UTC", "20270228T120000Z", "20270228T130000Z", true},
		{"hourly", at + "DTSTART:20200101T001500Z\nRRULE:FREQ=HOURLY;INTERVAL=7", "", "20260810T000000Z", "20260811T000000Z", true},
		{"an unknown zone is shown", at + "DTSTART;TZID=Customized Time Zone:20200101T100000", "", "20260810T000000Z", "20260811T000000Z", true},
		{"a rule that is not understood is shown", at + "DTSTART:20200101T100000Z\nRRULE:FREQ=MONTHLY;BYEASTER=0", "", "20260810T000000Z", "20260811T000000Z", true},
		{"a rule by seconds that never hits", at + "DTSTART:20200101T100000Z\nRRULE:FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30", "", "20260810T000000Z", "20260811T000000Z", false},
		{"a zone of Windows", at + "DTSTART;TZID=W. Europe Standard Time:20260810T020000\nDURATION:PT1H", "", "20260810T000000Z", "20260810T003000Z", true},
		{"a zone of Windows, an hour later", at + "DTSTART;TZID=W. Europe Standard Time:20260810T020000\nDURATION:PT1H", "", "20260810T010000Z", "20260810T020000Z", false},
		{"a zone that only its VTIMEZONE tells of", at + "DTSTART;TZID=Office:20260803T020000\nDURATION:PT1H\nRRULE:FREQ=DAILY\nEND:VEVENT\nBEGIN:VTIMEZONE\nTZID:Office\nBEGIN:STANDARD\nDTSTART:19700101T000000\n" +
			"TZOFFSETFROM:+0200\nTZOFFSETTO:+0200\nEND:STANDARD\nEND:VTIMEZONE" + strings.TrimPrefix(nextEvent, "\nEND:VEVENT") + at + "RECURRENCE-ID:20260803T000000Z\nDTSTART:20260803T000000Z", "", "20260810T003000Z", "20260810T004000Z", true},
		{"a day taken out of a timed series", at + "DTSTART:20260803T100000Z\nRRULE:FREQ=DAILY\nEXDATE;VALUE=DATE:20260809,20260810", "", "20260810T000000Z", "20260811T000000Z", false},
		{"a rule that never hits", at + "DTSTART:20200101T100000Z\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "", "20260810T000000Z", "", false},
		{"a vendor's prefix", at + "DTSTART;TZID=/freeassociation.sourceforge.net/Europe/Berlin:20260810T020000\nDURATION:PT1H", "", "20260810T003000Z", "20260810T010000Z", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &memory{}
			m.add(caldav.Calendar{Name: "work", DisplayName: "Work", TimeZone: c.zone})
			m.publish("work", "x.ics", event(c.event))
			s := serve(t, m)
			for _, prop := range []string{"<D:getetag/>", "<D:getetag/><C:calendar-data/>"} {
				for _, depth := range []string{"Depth: 0", "Depth: 1"} {
					a := s.do("REPORT", workPath, queryBody(prop, eventsWithin(c.start, c.end)), depth)
					if got := len(a.multistatus(t).Responses) == 1; got != c.want {
						t.Errorf("%s, %s: %v", prop, depth, got)
					}
				}
			}
		})
	}
}

// A start-only range is settled by the bounds; no object is read, let alone parsed.
func TestBoundsSettle(t *testing.T) {
	m := &memory{}
	m.add(caldav.Calendar{Name: "work", DisplayName: "Work"})
	day := func(s string) time.Time { d, _ := time.Parse("20060102T1504", s); return d }
	// The octets say nothing, so that only the bounds can have been asked.
	m.publishBounded("work", "forever.ics", "x", day("20200101T0900"), time.Time{})
	m.publishBounded("work", "over.ics", "x", day("20200101T0900"), day("20200101T1000"))
	m.publishBounded("work", "ahead.ics", "x", day("20260901T0900"), day("20260901T1000"))
	s := serve(t, m)
	m.calls = nil
	for _, c := range []struct {
		filter string
		want   []string
	}{
		{eventsWithin("20260810T000000Z", ""), []string{"ahead.ics", "forever.ics"}},
		{eventsWithin("", "20260810T000000Z"), []string{"forever.ics", "over.ics"}},
		{eventsWithin("20260828T000000Z", "20260910T000000Z"), []string{"ahead.ics", "forever.ics"}}, // the text of forever.ics cannot be judged
		{`<C:comp-filter name="VEVENT"/>`, []string{"ahead.ics", "forever.ics", "over.ics"}},
		{``, []string{"ahead.ics", "forever.ics", "over.ics"}},
	} {
		got := s.do("REPORT", workPath, queryBody("<D:getetag/>", c.filter)).multistatus(t).hrefs()
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.filter, got, c.want)
		}
	}
	// One listing each, and one look at what the ranges with an end leave open: an endless series may have lost its first.
	if m.calls["Objects"] != 7 || m.calls["Object"] != 0 {
		t.Errorf("calls: %v", m.calls)
	}
}

func TestFilters(t *testing.T) {
	m := &memory{}
	m.add(caldav.Calendar{Name: "work", DisplayName: "Work"})
	m.publish("work", "a.ics", event("UID:Alpha\nDTSTART:20260101T100000Z\nLAST-MODIFIED:20260301T000000Z\nSUMMARY:Lunch\\, late; ÉTÉ\nATTENDEE;PARTSTAT=ACCEPTED:mailto:a@example.com\nATTENDEE;PARTSTAT=DECLINED:mailto:b@example.com\nBEGIN:VALARM\nACTION:DISPLAY\nEND:VALARM"))
	m.publish("work", "b.ics", event("UID:beta\nDTSTART:20260201T100000Z\nSUMMARY:Standup"))
	s := serve(t, m)
	vevent := func(inner string) string { return `<C:comp-filter name="VEVENT">` + inner + `</C:comp-filter>` }
	prop := func(name, inner string) string {
		return vevent(`<C:prop-filter name="` + name + `">` + inner + `</C:prop-filter>`)
	}
	for _, c := range []struct {
		filter string
		want   string
	}{
		{prop("UID", `<C:text-match collation="i;octet">beta</C:text-match>`), "b.ics"},
		{prop("UID", `<C:text-match>ALPHA</C:text-match>`), "a.ics"},
		{prop("uid", `<C:text-match collation="i;octet">alpha</C:text-match>`), ""},
		{prop("UID", `<C:text-match negate-condition="yes">alpha</C:text-match>`), "b.ics"},
		{prop("SUMMARY", `<C:text-match>lunch, LATE;</C:text-match>`), "a.ics"},
		{prop("SUMMARY", `<C:text-match>été</C:text-match>`), ""},
		{prop("SUMMARY", `<C:text-match collation="i;unicode-casemap">été</C:text-match>`), "a.ics"},
		{prop("ATTENDEE", ``), "a.ics"},
		{prop("ATTENDEE", `<C:is-not-defined/>`), "b.ics"},
		{prop("ATTENDEE", `<C:text-match>b@</C:text-match><C:param-filter name="PARTSTAT"><C:text-match>declined</C:text-match></C:param-filter>`), "a.ics"},
		{prop("ATTENDEE", `<C:text-match>a@</C:text-match><C:param-filter name="PARTSTAT"><C:text-match>declined</C:text-match></C:param-filter>`), ""},
		{prop("ATTENDEE", `<C:param-filter name="ROLE"><C:is-not-defined/></C:param-filter>`), "a.ics"},
		{prop("ATTENDEE", `<C:param-filter name="ROLE"/>`), ""},
		{prop("LAST-MODIFIED", `<C:time-range start="20260201T000000Z" end="20260401T000000Z"/>`), "a.ics"},
		{prop("LAST-MODIFIED", `<C:time-range start="20260401T000000Z"/>`), ""},
		{vevent(`<C:comp-filter name="VALARM"/>`), "a.ics"},
		{vevent(`<C:comp-filter name="VALARM"><C:is-not-defined/></C:comp-filter>`), "b.ics"},
		{vevent(`<C:time-range start="20260115T000000Z"/><C:prop-filter name="UID"><C:text-match>a</C:text-match></C:prop-filter>`), "b.ics"},
		{`<C:comp-filter name="VEVENT"><C:is-not-defined/></C:comp-filter>`, ""},
		{`<C:comp-filter name="VTODO"><C:is-not-defined/></C:comp-filter>`, "a.ics b.ics"},
		{`<C:comp-filter name="VTODO"/>`, ""},
		{`<C:comp-filter name="VJOURNAL"><C:time-range start="20200101T000000Z"/></C:comp-filter>`, ""},
		{`<C:comp-filter name="VTIMEZONE"/>`, ""},
		{`<C:prop-filter name="VERSION"><C:text-match>2.0</C:text-match></C:prop-filter>`, "a.ics b.ics"},
		{`<C:prop-filter name="METHOD"/>`, ""},
	} {
		got := strings.Join(s.do("REPORT", workPath, queryBody("<D:getetag/>", c.filter)).multistatus(t).hrefs(), " ")
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.filter, got, c.want)
		}
	}
}

// officeZone is a VTIMEZONE whose name is nobody else's, and which always has one offset.
func officeZone(offset string) string {
	return "BEGIN:VTIMEZONE\nTZID:Office\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:" + offset + "\nTZOFFSETTO:" + offset + "\nEND:STANDARD\nEND:VTIMEZONE\n"
}

// A query's own zone comes before the calendar's.
func TestQueryZone(t *testing.T) {
	m := &memory{}
	m.add(caldav.Calendar{Name: "work", DisplayName: "Work", TimeZone: "Asia/Tokyo"})
	m.publish("work", "x.ics", event("UID:x\nDTSTART:20260810T100000\nDTEND:20260810T110000"))
	s := serve(t, m)
	for zone, want := range map[string]int{
		"": 0, "<C:timezone-id>America/New_York</C:timezone-id>": 1,
		"<C:timezone>BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VTIMEZONE\nTZID:America/New_York\nEND:VTIMEZONE\nEND:VCALENDAR\n</C:timezone>": 1,
		"<C:timezone>BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VTIMEZONE\nTZID:Nowhere\nEND:VTIMEZONE\nEND:VCALENDAR\n</C:timezone>":          0,
		"<C:timezone>BEGIN:VCALENDAR\nVERSION:2.0\n" + officeZone("-0400") + "END:VCALENDAR\n</C:timezone>":                             1,
		"<C:timezone>BEGIN:VCALENDAR\nVERSION:2.0\n" + officeZone("+0400") + "END:VCALENDAR\n</C:timezone>":                             0,
	} {
		body := strings.Replace(queryBody("<D:getetag/>", eventsWithin("20260810T140000Z", "20260810T143000Z")), "</C:filter>", "</C:filter>"+zone, 1)
		for range 2 { // also when there are spans of the object from before
			if got := len(s.do("REPORT", workPath, body).multistatus(t).Responses); got != want {
				t.Errorf("%s: %d", zone, got)
			}
		}
	}
	for _, zone := range []string{
		strings.ReplaceAll(officeZone("-0400"), "TZOFFSETTO:-0400", "TZOFFSETTO:noon"),
		strings.ReplaceAll(officeZone("-0400"), "END:STANDARD", "RRULE:FREQ=SECONDLY\nEND:STANDARD"),
	} {
		body := strings.Replace(queryBody("<D:getetag/>", eventsWithin("20260810T140000Z", "20260810T143000Z")), "</C:filter>",
			"</C:filter><C:timezone>BEGIN:VCALENDAR\nVERSION:2.0\n"+zone+"END:VCALENDAR\n</C:timezone>", 1)
		if a := s.do("REPORT", workPath, body); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "<C:valid-calendar-data/>") {
			t.Errorf("%s: %d %s", zone, a.StatusCode, a.body)
		}
	}
	body := strings.Replace(queryBody("<D:getetag/>", ""), "</C:filter>", "</C:filter><C:timezone-id>Nowhere</C:timezone-id>", 1)
	if a := s.do("REPORT", workPath, body); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "<C:valid-timezone/>") {
		t.Errorf("unknown zone: %d %s", a.StatusCode, a.body)
	}
}

func calendarData(t *testing.T, s *server, data, filter string) string {
	t.Helper()
	ms := s.do("REPORT", workPath, queryBody(data, filter)).multistatus(t)
	if len(ms.Responses) != 1 {
		t.Fatalf("%d responses", len(ms.Responses))
	}
	p, _ := ms.Responses[0].get("urn:ietf:params:xml:ns:caldav", "calendar-data")
	return p.Text
}

func TestCalendarData(t *testing.T) {
	long := strings.Repeat("ä", 60)
	stored := event("UID:x\nDTSTAMP:20260101T000000Z\nDTSTART;TZID=America/New_York:20260303T090000\nDURATION:P1D\nRRULE:FREQ=DAILY;COUNT=8\nEXDATE;TZID=America/New_York:20260305T090000\nDESCRIPTION;ALTREP=\"data:text/html,a;b\":" + long + "\nBEGIN:VALARM\nACTION:DISPLAY\nEND:VALARM" +
		nextEvent + "UID:x\nDTSTAMP:20260101T000000Z\nRECURRENCE-ID;TZID=America/New_York:20260304T090000\nDTSTART;TZID=America/New_York:20260401T090000\nDURATION:PT1H\nSUMMARY:moved" +
		nextEvent + "UID:x\nDTSTAMP:20260101T000000Z\nRECURRENCE-ID;TZID=America/New_York:20260306T090000\nDTSTART;TZID=America/New_York:20260502T090000\nDURATION:PT1H\nSUMMARY:far")
	m := &memory{}
	m.add(caldav.Calendar{Name: "work", DisplayName: "Work"})
	m.publish("work", "x.ics", stored)
	s := serve(t, m)
	if got := calendarData(t, s, "<C:calendar-data/>", ""); got != stored {
		t.Errorf("octets:\n%q\nwant\n%q", got, stored)
	}
	lines := func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }
	folded := "DESCRIPTION;ALTREP=\"data:text/html,a;b\":" + strings.Repeat("ä", 17) + "\n " + strings.Repeat("ä", 37) + "\n " + strings.Repeat("ä", 6)
	got := lines(calendarData(t, s, `<C:calendar-data><C:expand start="20260307T000000Z" end="20260309T200000Z"/></C:calendar-data>`, ""))
	instance := func(start, end string) string {
		return "BEGIN:VEVENT\nUID:x\nRECURRENCE-ID:" + start + "\nDTSTAMP:20260101T000000Z\nDTSTART:" + start + "\nDTEND:" + end + "\n" + folded +
			"\nBEGIN:VALARM\nACTION:DISPLAY\nEND:VALARM\nEND:VEVENT\n"
	}
	// The clock goes forward on 8 March: that day of the event has 23 hours. 6 March was moved away.
	want := "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//test//EN\n" + instance("20260307T140000Z", "20260308T130000Z") +
		instance("20260308T130000Z", "20260309T130000Z") + instance("20260309T130000Z", "20260310T130000Z") + "END:VCALENDAR\n"
	if got != want {
		t.Errorf("expand:\n%s\nwant\n%s", got, want)
	}
	got = lines(calendarData(t, s, `<C:calendar-data><C:comp name="VCALENDAR"><C:prop name="VERSION"/><C:comp name="VEVENT"><C:prop name="UID"/><C:prop name="SUMMARY" novalue="yes"/></C:comp></C:comp></C:calendar-data>`, ""))
	want = "BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nUID:x\nEND:VEVENT\nBEGIN:VEVENT\nUID:x\nSUMMARY:\nEND:VEVENT\nBEGIN:VEVENT\nUID:x\nSUMMARY:\nEND:VEVENT\nEND:VCALENDAR\n"
	if got != want {
		t.Errorf("selection:\n%s\nwant\n%s", got, want)
	}
	got = calendarData(t, s, `<C:calendar-data><C:comp name="VCALENDAR"><C:allprop/><C:allcomp/></C:comp><C:limit-recurrence-set start="20260304T000000Z" end="20260305T000000Z"/></C:calendar-data>`, "")
	if strings.Count(got, "BEGIN:VEVENT") != 2 || !strings.Contains(got, "moved") || strings.Contains(got, "far") || !strings.Contains(got, "RRULE") {
		t.Errorf("limit-recurrence-set:\n%s", got)
	}
	for body, status := range map[string]int{
		`<C:calendar-data content-type="application/calendar+json"/>`:                                   403,
		`<C:calendar-data version="3.0"/>`:                                                              403,
		`<C:calendar-data><C:expand start="20260307T000000Z"/></C:calendar-data>`:                       400,
		`<C:calendar-data content-type="text/calendar" version="2.0"/>`:                                 207,
		`<C:calendar-data><C:limit-recurrence-set end="20260307T000000Z"/></C:calendar-data>`:           400,
		`<C:calendar-data><C:expand start="20260307T000000Z" end="garbage"/></C:calendar-data>`:         400,
		`<C:calendar-data><C:comp name="VCALENDAR"><C:allprop/><C:allcomp/></C:comp></C:calendar-data>`: 207,
	} {
		if a := s.do("REPORT", workPath, queryBody(body, "")); a.StatusCode != status {
			t.Errorf("%s: %d, want %d", body, a.StatusCode, status)
		}
	}
}

// A series with too many instances to expand is told for that object alone.
func TestExpandLimit(t *testing.T) {
	m := &memory{}
	m.add(caldav.Calendar{Name: "work", DisplayName: "Work"})
	m.publish("work", "many.ics", event("UID:many\nDTSTART:20260101T000000Z\nRRULE:FREQ=SECONDLY"))
	m.publish("work", "one.ics", event("UID:one\nDTSTART:20260101T000000Z"))
	s := serve(t, m)
	a := s.do("REPORT", workPath, queryBody(`<D:getetag/><C:calendar-data><C:expand start="20260101T000000Z" end="20270101T000000Z"/></C:calendar-data>`, ""))
	ms := a.multistatus(t)
	if got := fmt.Sprint(ms.hrefs()); got != "[many.ics one.ics]" || !strings.Contains(a.body, "<D:status>HTTP/1.1 507 Insufficient Storage</D:status><D:error><C:max-instances/></D:error>") {
		t.Errorf("%s\n%s", got, a.body)
	}
}

func TestFreeBusy(t *testing.T) {
	m := &memory{}
	m.add(caldav.Calendar{Name: "work", DisplayName: "Work", TimeZone: "Europe/Berlin"})
	for i, e := range []string{
		"DTSTART:20260810T080000Z\nDTEND:20260810T090000Z",
		"DTSTART:20260810T083000Z\nDTEND:20260810T100000Z",
		"DTSTART:20260810T120000Z\nDTEND:20260810T130000Z\nTRANSP:TRANSPARENT",
		"DTSTART:20260810T130000Z\nDTEND:20260810T140000Z\nSTATUS:CANCELLED",
		"DTSTART:20260810T150000Z\nDTEND:20260810T160000Z\nSTATUS:TENTATIVE",
		"DTSTART:20260101T170000Z\nDTEND:20260101T173000Z\nRRULE:FREQ=DAILY",
		"DTSTART:20260810T230000Z\nDTEND:20260811T230000Z",
	} {
		m.publish("work", fmt.Sprintf("%d.ics", i), event(fmt.Sprintf("UID:%d\n%s", i, e)))
	}
	s := serve(t, m)
	a := s.do("REPORT", workPath, `<free-busy-query xmlns="urn:ietf:params:xml:ns:caldav"><time-range start="20260810T000000Z" end="20260811T000000Z"/></free-busy-query>`, "Depth: infinity")
	want := strings.ReplaceAll(`BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//outbridge//CalDAV//EN
BEGIN:VFREEBUSY
DTSTAMP:20260810T000000Z
DTSTART:20260810T000000Z
DTEND:20260811T000000Z
FREEBUSY:20260810T080000Z/20260810T100000Z
FREEBUSY:20260810T170000Z/20260810T173000Z
FREEBUSY:20260810T230000Z/20260811T000000Z
FREEBUSY;FBTYPE=BUSY-TENTATIVE:20260810T150000Z/20260810T160000Z
END:VFREEBUSY
END:VCALENDAR
`, "\n", "\r\n")
	if a.StatusCode != 200 || a.body != want {
		t.Errorf("%d\n%s", a.StatusCode, a.body)
	}
	for _, body := range []string{"", `<time-range start="20260810T000000Z"/>`} {
		if a := s.do("REPORT", workPath, `<free-busy-query xmlns="urn:ietf:params:xml:ns:caldav">`+body+`</free-busy-query>`); a.StatusCode != 400 {
			t.Errorf("%s: %d", body, a.StatusCode)
		}
	}
}

// Many series that each take long to follow do not add up: what has not been judged in time is shown, and not expanded.
func TestExpansionBomb(t *testing.T) {
	expanded := func(bombs int) int {
		m := &memory{}
		m.add(caldav.Calendar{Name: "work", DisplayName: "Work"})
		for i := range bombs {
			m.publish("work", fmt.Sprintf("b%03d.ics", i), event(fmt.Sprintf("UID:b%d\nDTSTART:19000101T000000Z\nRRULE:FREQ=DAILY;COUNT=99999", i)))
		}
		s := serve(t, m)
		a := s.do("REPORT", workPath, queryBody(`<D:getetag/><C:calendar-data><C:expand start="21500101T000000Z" end="21510101T000000Z"/></C:calendar-data>`,
			eventsWithin("21500101T000000Z", "21510101T000000Z")))
		ms := a.multistatus(t)
		given := strings.Count(a.body, "BEGIN:VCALENDAR")
		if len(ms.Responses) != bombs || given == bombs || given+strings.Count(a.body, "<C:max-instances/>") != bombs {
			t.Errorf("%d responses, %d with data", len(ms.Responses), given)
		}
		return given
	}
	// A request has a number of steps, which the first ones use up: twice as many bombs are no more work.
	if one, two := expanded(150), expanded(300); one != two {
		t.Errorf("of 150 bombs %d are expanded, of 300 %d", one, two)
	}
}

// The bounds of an object are those of its rule. Where the instances at its ends have been deleted, or moved inside, they are
// no instances.
func TestBoundsAreWide(t *testing.T) {
	const days = "DTSTART:20260803T100000Z\nDURATION:PT1H\nEXDATE:20260803T100000Z,20260810T100000Z,20260907T100000Z\n"
	m := &memory{}
	m.add(caldav.Calendar{Name: "work", DisplayName: "Work"})
	first, last := time.Date(2026, 8, 3, 10, 0, 0, 0, time.UTC), time.Date(2026, 9, 7, 11, 0, 0, 0, time.UTC)
	m.publishBounded("work", "ends.ics", event("UID:ends\n"+days+"RRULE:FREQ=WEEKLY;COUNT=6"), first, last)
	m.publishBounded("work", "forever.ics", event("UID:forever\n"+days+"RRULE:FREQ=WEEKLY"), first, time.Time{})
	s := serve(t, m)
	for _, c := range []struct {
		start, end string
		want       []string
	}{
		{"20260801T000000Z", "20260815T000000Z", nil},
		{"", "20260815T000000Z", nil},
		{"20260901T000000Z", "20260912T000000Z", nil},
		{"20260901T000000Z", "", []string{"forever.ics"}},
		{"20260801T000000Z", "", []string{"ends.ics", "forever.ics"}},
		{"", "20260818T000000Z", []string{"ends.ics", "forever.ics"}},
		{"20260801T000000Z", "20260912T000000Z", []string{"ends.ics", "forever.ics"}},
	} {
		for _, prop := range []string{"<D:getetag/>", "<C:calendar-data/>"} {
			a := s.do("REPORT", workPath, queryBody(prop, eventsWithin(c.start, c.end)))
			if got := a.multistatus(t).hrefs(); !slices.Equal(got, c.want) {
				t.Errorf("%s to %s, %s: %v, want %v", c.start, c.end, prop, got, c.want)
			}
		}
	}
}
