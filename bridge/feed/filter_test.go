package feed

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
	"outbridge/caldav/ics/lint"
)

// shown lists what an object stands for under a filter, a line an instance; "" where nothing of it is left.
func shown(t *testing.T, f filter, object []byte) string {
	t.Helper()
	before := bytes.Clone(object)
	out, err := f.apply(object)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(object, before) {
		t.Fatal("Apply has changed the object that it was given")
	}
	if out == nil {
		return ""
	}
	if again, err := f.apply(object); err != nil || !bytes.Equal(again, out) {
		t.Errorf("other octets the second time: %v", err)
	}
	var b bytes.Buffer
	if err := writeFeed(&b, info{}, each([][]byte{out})); err != nil {
		t.Fatal(err)
	}
	for _, p := range lint.Problems(b.String(), false) {
		t.Error(p)
	}
	instances, err := reader().Expand(decode(t, out), ics.Span{Start: date(2026, 1, 1), End: date(2027, 1, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, i := range instances {
		lines = append(lines, i.Start.Format("01-02T15 ")+i.Summary())
	}
	return strings.Join(lines, "\n")
}

func named(name string, change func(*graph.Event)) graph.Event {
	e := event(name, "W. Europe Standard Time", "2026-07-01T10:00:00", "2026-07-01T11:00:00")
	e.Subject = name
	change(&e)
	return e
}

const ann = "ann.o'hara+work@contoso.example"

func TestFilterKinds(t *testing.T) {
	self := graph.Attendee{Type: "required", EmailAddress: graph.EmailAddress{Name: strings.Repeat("Ann with a long name ", 5), Address: "Ann.O'Hara+Work@Contoso.Example"},
		Status: graph.ResponseStatus{Response: "none"}}
	other := graph.Attendee{Type: "required", EmailAddress: graph.EmailAddress{Address: "bob@contoso.example"}, Status: graph.ResponseStatus{Response: "declined"}}
	boss := graph.Recipient{EmailAddress: graph.EmailAddress{Address: "boss@contoso.example"}}
	answer := func(a string) func(*graph.Event) {
		return func(e *graph.Event) {
			e.Organizer, e.Attendees, e.ResponseStatus.Response = boss, []graph.Attendee{self, other}, a
		}
	}
	events := []graph.Event{
		named("plain", func(*graph.Event) {}),
		named("private", func(e *graph.Event) { e.Sensitivity = "private" }),
		named("confidential", func(e *graph.Event) { e.Sensitivity = "confidential" }),
		named("free", func(e *graph.Event) { e.ShowAs = "free" }),
		named("elsewhere", func(e *graph.Event) { e.ShowAs = "workingElsewhere" }),
		named("cancelled", func(e *graph.Event) { e.IsCancelled = true }),
		named("accepted", answer("accepted")),
		named("declined", answer("declined")),
		named("declined by way of a group", func(e *graph.Event) {
			answer("declined")(e)
			e.Attendees = []graph.Attendee{other}
		}),
		named("red", func(e *graph.Event) { e.Categories = []string{"Réd, \"x\"; y", "Other"} }),
		named("blue", func(e *graph.Event) { e.Categories = []string{"Blue category"} }),
		named("CLASS:PRIVATE", func(e *graph.Event) {
			e.Body = graph.ItemBody{ContentType: "text", Content: "\nCLASS:PRIVATE\nSTATUS:CANCELLED\nTRANSP:TRANSPARENT\nCATEGORIES:Blue category"}
		}),
	}
	all := "plain, private, confidential, free, elsewhere, cancelled, accepted, declined, declined by way of a group, red, blue, CLASS:PRIVATE"
	without := func(names ...string) string {
		list := ", " + all
		for _, n := range names {
			list = strings.Replace(list, ", "+n, "", 1)
		}
		return strings.TrimPrefix(list, ", ")
	}
	for _, c := range []struct {
		filter filter
		want   string
	}{
		{filter{}, all},
		{filter{Private: true}, without("private", "confidential")},
		{filter{Free: true}, without("free", "elsewhere")},
		{filter{Cancelled: true}, without("cancelled")},
		{filter{Declined: true, Owner: ann}, without("declined by way of a group", "declined")},
		{filter{Declined: true}, all},
		{filter{Declined: true, Owner: "bob@contoso.example"}, without("accepted", "declined by way of a group", "declined")},
		{filter{Only: []string{"réd, \"X\"; Y"}}, "red"},
		{filter{Only: []string{"Blue category", " other "}}, "red, blue"},
		{filter{Only: []string{"Blue"}}, ""},
		{filter{Not: []string{"blue CATEGORY"}}, without("blue")},
		{filter{Only: []string{"Other"}, Not: []string{"Réd, \"x\"; y"}}, ""},
		{filter{Private: true, Free: true, Cancelled: true, Declined: true, Owner: ann, Not: []string{"Other"}}, "plain, accepted, blue, CLASS:PRIVATE"},
	} {
		var got []string
		for _, e := range events {
			if shown(t, c.filter, octets(t, convert.Series{Event: e, Owner: ann})) != "" {
				got = append(got, e.Subject)
			}
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%+v: %s\nwant %s", c.filter, s, c.want)
		}
	}
}

// A link that takes an app password is of no use to who reads a feed.
func TestFilterFiles(t *testing.T) {
	const event = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:a\r\n%sSUMMARY:A\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
	const other = "ATTACH:https://outlook.example/1\r\n"
	object := fmt.Sprintf(event, "ATTACH;FILENAME=a.txt;MANAGED-\r\n ID=0123:https://calendar.example/dav/att/0123/a.txt\r\n"+other)
	got, err := filter{}.apply([]byte(object))
	if want := fmt.Sprintf(event, other); err != nil || string(got) != want {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestFilterSeries(t *testing.T) {
	series := func(change func(*graph.Event), exceptions ...graph.Event) []byte {
		s := weekly()
		s.Event.Recurrence.Range = graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 3, StartDate: "2026-03-02"}
		change(&s.Event)
		s.Exceptions = exceptions
		return octets(t, s)
	}
	exception := func(day string, change func(*graph.Event)) graph.Event {
		e := graph.Event{ID: graph.EventID("e" + day), Type: graph.Exception, OccurrenceID: "OID.m." + day, Subject: "Other " + day,
			Start: graph.DateTimeTimeZone{DateTime: day + "T14:00:00"}, End: graph.DateTimeTimeZone{DateTime: day + "T15:00:00"}}
		change(&e)
		return e
	}
	same := func(*graph.Event) {}
	private := func(e *graph.Event) { e.Sensitivity = "private" }
	public := func(e *graph.Event) { e.Sensitivity = "normal" }
	for _, c := range []struct {
		name   string
		object []byte
		want   string
	}{
		{"nothing to hide", series(same, exception("2026-03-09", public)), "03-02T08 Weekly\n03-09T14 Other 2026-03-09\n03-16T08 Weekly"},
		{"an occurrence", series(same, exception("2026-03-09", private)), "03-02T08 Weekly\n03-16T08 Weekly"},
		{"the first", series(same, exception("2026-03-02", private)), "03-09T08 Weekly\n03-16T08 Weekly"},
		{"all of them", series(same, exception("2026-03-02", private), exception("2026-03-09", private), exception("2026-03-16", private)), ""},
		{"the series", series(private), ""},
		{"the series but for two occurrences", series(private, exception("2026-03-02", public), exception("2026-03-16", public)),
			"03-02T14 Other 2026-03-02\n03-16T14 Other 2026-03-16"},
		{"the series with its exceptions", series(private, exception("2026-03-02", private)), ""},
	} {
		if got := shown(t, filter{Private: true}, c.object); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
	out, err := filter{Private: true}.apply(series(private, exception("2026-03-02", public), exception("2026-03-16", public)))
	if err != nil || bytes.Contains(out, []byte("RECURRENCE-ID")) || !bytes.Contains(out, []byte("UID:u-20260302\r\n")) || !bytes.Contains(out, []byte("UID:u-20260316\r\n")) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFilterWindow(t *testing.T) {
	at := func(month, day int) time.Time { return date(2026, time.Month(month), day) }
	endless := octets(t, weekly()) // Mondays from 2 March
	ended := weekly()
	ended.Event.Recurrence.Range = graph.RecurrenceRange{Type: "endDate", StartDate: "2026-03-02", EndDate: "2026-06-01"}
	ended.Cancelled = []string{"OID.m.2026-04-06", "OID.m.2026-04-13"}
	finite := octets(t, ended)
	single := octets(t, convert.Series{Event: named("single", func(*graph.Event) {})}) // 1 July
	for _, c := range []struct {
		name   string
		object []byte
		window ics.Span
		want   bool
	}{
		{"single", single, ics.Span{}, true},
		{"single", single, ics.Span{Start: at(6, 1), End: at(8, 1)}, true},
		{"single", single, ics.Span{Start: at(7, 2), End: at(8, 1)}, false},
		{"single", single, ics.Span{Start: at(6, 1), End: at(7, 1)}, false},
		{"single", single, ics.Span{Start: at(7, 1)}, true},
		{"single", single, ics.Span{Start: at(7, 2)}, false},
		{"single", single, ics.Span{End: at(7, 2)}, true},
		{"single", single, ics.Span{End: at(7, 1)}, false},
		{"endless", endless, ics.Span{Start: date(2126, 1, 1)}, true},
		{"endless", endless, ics.Span{End: at(3, 2)}, false},
		{"endless", endless, ics.Span{End: at(3, 3)}, true},
		{"endless", endless, ics.Span{Start: at(8, 4), End: at(8, 9)}, false},
		{"endless", endless, ics.Span{Start: at(8, 3), End: at(8, 9)}, true},
		{"finite", finite, ics.Span{Start: at(3, 31), End: at(4, 20)}, false}, // two are cancelled
		{"finite", finite, ics.Span{Start: at(3, 31), End: at(4, 21)}, true},
		{"finite", finite, ics.Span{Start: at(6, 1)}, true},
		{"finite", finite, ics.Span{Start: at(6, 2)}, false},
	} {
		out, err := filter{Window: c.window}.apply(c.object)
		if err != nil || (out != nil) != c.want || out != nil && !bytes.Equal(out, c.object) {
			t.Errorf("%s in %s: %v, %v", c.name, c.window, out != nil, err)
		}
	}
}

func TestNotBefore(t *testing.T) {
	e := named("x", func(e *graph.Event) {
		e.LastModified, e.Subject = "2026-03-01T12:00:00Z", "DTSTAMP:20200101T000000Z"
		e.Body = graph.ItemBody{ContentType: "text", Content: "a\nDTSTAMP:20200101T000000Z"}
	})
	object := octets(t, convert.Series{Event: e})
	if got := notBefore(object, date(2026, 3, 1)); !bytes.Equal(got, object) {
		t.Errorf("an object that is newer is changed:\n%s", got)
	}
	if got := notBefore(object, time.Time{}); !bytes.Equal(got, object) {
		t.Error("an object is changed for no time")
	}
	before := string(object)
	got := string(notBefore(object, time.Date(2026, 4, 1, 8, 0, 0, 0, time.FixedZone("", 3600))))
	want := strings.NewReplacer("\nDTSTAMP:20260301T120000Z", "\nDTSTAMP:20260401T070000Z", "\nLAST-MODIFIED:20260301T120000Z", "\nLAST-MODIFIED:20260401T070000Z").Replace(before)
	if got != want || got == before || string(object) != before {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	for _, odd := range []string{"", "\nDTSTAMP:", "\nDTSTAMP:2020", "\nDTSTAMP:\r\nDTSTAMP:"} {
		if len(notBefore([]byte(odd), date(2026, 1, 1))) != len(odd) {
			t.Errorf("%q has another length", odd)
		}
	}
}

// FuzzFilter: whatever an object is like, a filter leaves it as it was, fails in words, or makes another that reads.
func FuzzFilter(f *testing.F) {
	s := weekly()
	s.Exceptions = []graph.Event{{ID: "e", Type: graph.Exception, OccurrenceID: "OID.m.2026-03-09", Sensitivity: "private", IsReminderOn: true,
		Start: graph.DateTimeTimeZone{DateTime: "2026-03-10T08:00:00"}, End: graph.DateTimeTimeZone{DateTime: "2026-03-10T09:00:00"}}}
	f.Add(octets(f, s))
	f.Add(octets(f, convert.Series{Event: named("x", func(e *graph.Event) { e.Categories, e.IsReminderOn = []string{"a,b"}, true })}))
	f.Add([]byte("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nCLASS\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"))
	f.Add([]byte("\nBEGIN:VALARM\r\n\nEND:VALARM\r\n"))
	f.Fuzz(func(t *testing.T, object []byte) {
		_ = notBefore(object, date(2026, 1, 1))
		for _, filter := range []filter{
			{Alarms: true, Cancelled: true, Private: true, Free: true, Declined: true, Owner: ann}, {Only: []string{"a"}}, {Not: []string{"a"}},
			{Window: ics.Span{Start: date(2026, 3, 1), End: date(2026, 4, 1)}},
		} {
			out, err := filter.apply(object)
			if err != nil {
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("an error of several lines: %v", err)
				}
				continue
			}
			if filter.Alarms || out == nil {
				continue // alarms are cut out by their lines, also of what is no calendar
			}
			if _, err := ics.Decode(out); err != nil {
				if _, before := ics.Decode(object); before == nil {
					t.Errorf("%v\n%q\n%q", err, object, out)
				}
			}
		}
	})
}
