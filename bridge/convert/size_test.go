package convert

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// large is a weekly series of so many attendees with texts of so many octets, of which so many occurrences are modified.
func large(exceptions, attendees, text int, character string) Series {
	s := master52()
	fill := func(e *graph.Event) {
		e.Subject, e.Body = "Planning", graph.ItemBody{ContentType: "html", Content: "<p>" + strings.Repeat(character, text/len(character)) + "</p>"}
		e.Organizer.EmailAddress = graph.EmailAddress{Name: "The Boss", Address: "boss@contoso.example"}
		e.ResponseStatus.Response = "accepted"
		for i := range attendees {
			e.Attendees = append(e.Attendees, graph.Attendee{EmailAddress: graph.EmailAddress{Name: fmt.Sprintf("Somebody of many (%d)", i), Address: fmt.Sprintf("somebody.%d@contoso.example", i)}})
		}
		if attendees > 0 {
			e.Attendees = append(e.Attendees, graph.Attendee{EmailAddress: graph.EmailAddress{Address: "alice@contoso.example"}})
		}
	}
	s.Owner, s.HTML = "alice@contoso.example", true
	fill(&s.Event)
	for n := range exceptions {
		on := date(2026, 3, 2).AddDate(0, 0, 7*n)
		e := graph.Event{ID: graph.EventID(fmt.Sprint("e", n)), Type: graph.Exception, SeriesMasterID: s.Event.ID, OccurrenceID: "OID.m." + on.Format("2006-01-02"),
			Start: graph.DateTimeTimeZone{DateTime: on.Format("2006-01-02") + "T11:00:00", TimeZone: "UTC"}, End: graph.DateTimeTimeZone{DateTime: on.Format("2006-01-02") + "T12:00:00", TimeZone: "UTC"}}
		fill(&e)
		s.Exceptions = append(s.Exceptions, e)
	}
	return s
}

// An object is not larger than what servers read again, whatever is in it: the longest texts and lists are cut, with a loss, and no
// occurrence is.
func TestObjectSize(t *testing.T) {
	check := func(t *testing.T, s Series) (losses []Loss, size int) {
		t.Helper()
		cal, losses, err := ToICS(s)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := ics.Encode(&b, cal); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		if len(text) > 1<<20 {
			t.Errorf("%d octets", len(text))
		}
		events := strings.Count(text, "BEGIN:VEVENT")
		if events != len(s.Exceptions)+1 {
			t.Errorf("%d events, want %d", events, len(s.Exceptions)+1)
		}
		unfolded := strings.ReplaceAll(text, "\r\n ", "")
		if n := len(s.Event.Attendees); n > 0 && (strings.Count(unfolded, "mailto:alice@contoso.example") < events || strings.Count(unfolded, "ORGANIZER") != events) {
			t.Errorf("the owner or the organizer is missing")
		}
		cut := false
		for _, l := range losses {
			cut = cut || strings.Contains(l.Reason, "1 MiB") && !strings.Contains(l.Reason, "HTML")
		}
		// Cut where it must be, and hardly further than that.
		if cut && len(text) < 1<<19 {
			t.Errorf("cut to %d octets", len(text))
		}
		return losses, len(text)
	}
	for name, tc := range map[string]struct {
		exceptions, attendees, text int
		character                   string
		want                        string
	}{
		"ordinary":         {3, 20, 2000, "a", ""},
		"texts":            {50, 0, 30000, "a", "body"},
		"wide characters":  {50, 3, 30000, "日本", "body"},
		"many attendees":   {0, 12000, 100, "a", "attendees"},
		"many of both":     {40, 500, 30000, "ab, ", "body attendees"},
		"attendees often":  {52, 400, 500, "x", "attendees"},
		"HTML alone":       {20, 0, 60000, "a", "body"},
		"every occurrence": {52, 1000, 32000, "é;", "body attendees"},
	} {
		t.Run(name, func(t *testing.T) {
			losses, size := check(t, large(tc.exceptions, tc.attendees, tc.text, tc.character))
			fields := map[string]bool{}
			for _, l := range losses {
				if strings.Contains(l.Reason, "1 MiB") {
					fields[l.Field] = true
				}
			}
			for f := range strings.FieldsSeq(tc.want) {
				if !fields[f] {
					t.Errorf("no loss of %s in %v", f, losses)
				}
			}
			if tc.want == "" && len(fields) > 0 {
				t.Errorf("losses %v for %d octets", losses, size)
			}
		})
	}
	random := rapid.Custom(func(t *rapid.T) Series {
		return large(rapid.IntRange(0, 52).Draw(t, "exceptions"), rapid.IntRange(0, 600).Draw(t, "attendees"), rapid.IntRange(0, 40000).Draw(t, "text"),
			rapid.SampledFrom([]string{"a", "ä", "\n", "日", ",;"}).Draw(t, "character"))
	})
	for seed := range 8 {
		check(t, random.Example(seed))
	}
}
