package convert

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf16"

	"outbridge/caldav/ics"
	"outbridge/caldav/ics/lint"
)

func TestReadEvents(t *testing.T) {
	utf16le := func(s string) string {
		b := []byte{0xFF, 0xFE}
		for _, u := range utf16.Encode([]rune(s)) {
			b = append(b, byte(u), byte(u>>8))
		}
		return string(b)
	}
	for _, tc := range []struct{ in, ids string }{
		{`{"id":"a"}`, "a"},
		{`[{"id":"a"},{"id":"b"}]`, "a b"},
		{`[]`, ""},
		{`{"value":[]}`, ""},
		{`{"@odata.context":"x","value":[{"id":"a"},{"id":"b"}],"@odata.nextLink":"y"}`, "a b"},
		{`{"id":"a"} {"id":"b"}` + "\n" + `{"value":[{"id":"c"}]}`, "a b c"},
		{`[{"value":[{"id":"a"}]},{"id":"b"}]`, "a b"},
		{`{"value":[null,{"id":"a"}, null]}`, "a"},
		{"\xEF\xBB\xBF" + `{"id":"a"}`, "a"},
		{utf16le(`{"id":"ä𝄞"}`), "ä𝄞"},
		{`{"end":{"dateTime":"2026-01-01T00:00:00"}}`, ""},
	} {
		events, err := ReadEvents(strings.NewReader(tc.in))
		if err != nil {
			t.Errorf("%s: %v", tc.in, err)
		}
		var ids []string
		for _, e := range events {
			ids = append(ids, string(e.ID))
		}
		if strings.Join(ids, " ") != tc.ids {
			t.Errorf("%s: %q, want %q", tc.in, ids, tc.ids)
		}
	}
}

func TestReadEventsErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                                    "the input is empty: no event found",
		"  \n ":                               "the input is empty: no event found",
		"{\n \"id\": \"a\",\n}":               "line 3, column 1: the JSON is malformed: invalid character '}' looking for beginning of object key string",
		`{"id":"a"`:                           "line 1, column 10: the JSON ends in the middle",
		`nonsense`:                            "line 1, column 2: the JSON is malformed: invalid character 'o' in literal null (expecting 'u')",
		`{"x":1}`:                             "line 1, column 1: this object is not an event: it has none of id, subject, start, end",
		`{}`:                                  "line 1, column 1: this object is not an event: it has none of id, subject, start, end",
		"[{\"id\":\"a\"},\n 7]":               "line 2, column 2: a number is not an event",
		`[null]`:                              "line 1, column 2: null is not an event",
		`"x"`:                                 "line 1, column 1: a string is not an event",
		`[[{"id":"a"}]]`:                      "line 1, column 2: an array in an array is not an event",
		`{"value":7}`:                         `line 1, column 1: the "value" of a page is to be an array of events`,
		"{\"value\":[\n{\"id\":\"a\"},true]}": "line 2, column 12: true is not an event",
		`{"error":{"code":"ErrorItemNotFound","message":"The item was not found."}}`: "line 1, column 1: this is a Graph error, not an event: ErrorItemNotFound The item was not found.",
	} {
		events, err := ReadEvents(strings.NewReader(in))
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v, %v\nwant %s", in, len(events), err, want)
		}
	}
}

// Whatever JSON comes, ToICS makes a valid object of each event or says why not; it never panics.
func FuzzReadEvents(f *testing.F) {
	for _, seed := range []string{
		`{"id":"a","start":{"dateTime":"2026-07-01T10:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-07-01T11:00:00","timeZone":"UTC"},"isReminderOn":true,"attendees":[{"emailAddress":{"name":"\"x\"","address":"a@b.c"}}],"organizer":{"emailAddress":{"name":"o","address":"o@b.c"}},"categories":["a,b"],"body":{"contentType":"html","content":"<p>x<a href=https://zoom.us/j/1>j</a>"}}`,
		`[{"id":"m","type":"seriesMaster","start":{"dateTime":"2024-01-30T10:00:00"},"end":{"dateTime":"2024-01-30T11:00:00"},"originalStartTimeZone":"Romance Standard Time","recurrence":{"pattern":{"type":"absoluteMonthly","interval":1,"dayOfMonth":30},"range":{"type":"noEnd","startDate":"2024-01-30"}},"cancelledOccurrences":["OID.m.2024-02-29"],"exceptionOccurrences":[{"id":"e","occurrenceId":"OID.m.2024-03-30","start":{"dateTime":"2024-04-01T10:00:00"},"end":{"dateTime":"2024-04-01T09:00:00"}}]}]`,
		`{"value":[{"id":"x","type":"occurrence","seriesMasterId":"m","originalStart":"2024-01-01T00:00:00Z","isAllDay":true,"start":{"dateTime":"9999-12-31T00:00:00"},"end":{"dateTime":"0001-01-01T00:00:00Z"}}]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		events, err := ReadEvents(strings.NewReader(in))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a line: %q", err)
			}
			return
		}
		for _, s := range Group(events) {
			for _, redact := range []bool{false, true} {
				var b strings.Builder
				if err := Explain(&b, s, redact); err != nil {
					t.Error(err)
				}
				if strings.ContainsFunc(b.String(), func(r rune) bool { return r != '\n' && forbidden(r) }) {
					t.Errorf("a control character in %q", b.String())
				}
			}
			cal, losses, err := ToICS(s)
			if err != nil {
				if !errors.Is(err, ErrNoTime) && !errors.Is(err, ErrNoInstances) {
					t.Error(err)
				}
				continue
			}
			text := encode(t, cal)
			decode(t, []byte(text))
			(&ics.Reader{Resolve: Zone}).Bounds(cal)
			seen := map[Loss]bool{}
			for _, l := range losses {
				if seen[l] || l.Reason == "" || l.Field == "" {
					t.Errorf("loss %v", l)
				}
				seen[l] = true
			}
			for _, problem := range lint.Problems(text, true) {
				t.Errorf("%s\n%s", problem, text)
			}
			again, _, _ := ToICS(s)
			if encode(t, again) != text {
				t.Error("another outcome the second time")
			}
		}
		if _, err := json.Marshal(events); err != nil {
			t.Error(err)
		}
	})
}

// forbidden is whether r may be in no line.
func forbidden(r rune) bool {
	return r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfffe || r == 0xffff
}
