package convert

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"outbridge/caldav/ics"
	"outbridge/caldav/ics/lint"
)

// Events put together from values that each property may hold by mistake: every one comes out as a valid object, or
// with one of the two errors. Nothing panics, nothing takes long.
func TestOddValues(t *testing.T) {
	text := []any{nil, "", "x", "  ", "a\r\nEND:VEVENT\r\n", "\x00\x0b\u2028", strings.Repeat("ä", 3000), 7, true, []any{}, map[string]any{}, "\"^,;:"}
	times := []any{nil, "", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.0000000", "9999-12-31T23:59:59.9999999", "9999-12-31T00:00:00", "2026-03-29T02:30:00",
		"2026-10-25T02:30:00", "1601-01-01T00:00:00", "1883-11-18T12:03:58", "4500-09-01T00:00:00", "2026-07-01T10:00:00", "2026-07-01T10:00:00Z", "2026-07-01", "junk", 5}
	zones := []any{nil, "", "UTC", "W. Europe Standard Time", "Morocco Standard Time", "Africa/Monrovia", "tzone://Microsoft/Custom", "tzone://Microsoft/Utc",
		"Pacific/Apia", "Asia/Tehran", "junk", "Line Islands Standard Time"}
	dates := []any{nil, "", "0001-01-01", "9999-12-31", "2026-02-28", "2024-02-29", "2026-03-30", "1700-01-01", "2026-13-01", 3}
	moment := func(t *rapid.T, label string) any {
		return map[string]any{"dateTime": rapid.SampledFrom(times).Draw(t, label), "timeZone": rapid.SampledFrom(zones).Draw(t, label+" zone")}
	}
	pick := func(t *rapid.T, label string, values ...any) any { return rapid.SampledFrom(values).Draw(t, label) }
	oids := []any{"OID.m.2026-03-30", "OID.m.0001-01-01", "OID.m.9999-12-31", "OID.m", "junk", "OID.a.b.2026-02-28", ""}
	draw := func(t *rapid.T, kinds ...any) map[string]any {
		address := map[string]any{"name": rapid.SampledFrom(text).Draw(t, "name"), "address": pick(t, "address", nil, "", "a@b.example", "a b", "@", "/o=x", 3, "MAILTO:a@b")}
		e := map[string]any{
			"id": pick(t, "id", nil, "", "m", "x"), "iCalUId": pick(t, "uid", nil, "", "u", globalID+"07EA031E00", globalID+"FFFFFFFF00", "a\r\nb"),
			"type": pick(t, "type", kinds...), "seriesMasterId": pick(t, "master", nil, "", "m"), "occurrenceId": rapid.SampledFrom(oids).Draw(t, "oid"),
			"originalStart": rapid.SampledFrom(times).Draw(t, "original"), "originalStartTimeZone": rapid.SampledFrom(zones).Draw(t, "zone"),
			"originalEndTimeZone": rapid.SampledFrom(zones).Draw(t, "end zone"), "start": moment(t, "start"), "end": moment(t, "end"),
			"isAllDay": pick(t, "all day", true, false, nil), "subject": rapid.SampledFrom(text).Draw(t, "subject"),
			"body":      map[string]any{"contentType": pick(t, "content", "html", "text", nil), "content": rapid.SampledFrom(text).Draw(t, "body")},
			"location":  map[string]any{"displayName": rapid.SampledFrom(text).Draw(t, "place"), "coordinates": map[string]any{"latitude": pick(t, "lat", nil, 1e300, -90, "x"), "longitude": -0.0000001}},
			"attendees": []any{map[string]any{"type": rapid.SampledFrom(text).Draw(t, "role"), "emailAddress": address}, nil}, "organizer": map[string]any{"emailAddress": address},
			"isReminderOn": true, "reminderMinutesBeforeStart": pick(t, "reminder", 0, 15, int64(-1<<40), int64(1<<40), "x"), "categories": []any{rapid.SampledFrom(text).Draw(t, "category")},
			"webLink": rapid.SampledFrom(append([]any{"http://[::1", "https://x/\x01 y", "javascript:x"}, text...)).Draw(t, "link"), "showAs": rapid.SampledFrom(text).Draw(t, "show"),
			"lastModifiedDateTime": rapid.SampledFrom(times).Draw(t, "modified"), "createdDateTime": rapid.SampledFrom(times).Draw(t, "created"), "isCancelled": pick(t, "cancelled", true, false),
		}
		for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{"start", "end", "type", "iCalUId", "originalStart", "occurrenceId", "body", "id"}), 0, 3).Draw(t, "missing") {
			delete(e, name)
		}
		return e
	}
	rapid.Check(t, func(t *rapid.T) {
		e := draw(t, nil, "", "singleInstance", "occurrence", "exception", "seriesMaster", "seriesMaster", "seriesMaster", "odd")
		e["recurrence"] = pick(t, "recurring", nil, map[string]any{
			"pattern": map[string]any{"type": pick(t, "pattern", "daily", "weekly", "absoluteMonthly", "relativeMonthly", "absoluteYearly", "relativeYearly", "", "odd"),
				"interval": pick(t, "interval", 0, 1, 2, 12, -5, int64(1<<40), nil), "month": pick(t, "month", 0, 2, 4, 13, -1), "dayOfMonth": pick(t, "day", 0, 1, 29, 30, 31, 99),
				"daysOfWeek": pick(t, "days", nil, []any{}, []any{"monday"}, []any{"Sunday", "saturday", "sunday"}, []any{"someday"}, "monday"),
				"index":      pick(t, "index", "first", "last", "fifth", nil), "firstDayOfWeek": pick(t, "week", "monday", "", nil)},
			"range": map[string]any{"type": pick(t, "range", "noEnd", "endDate", "numbered", "", nil), "startDate": rapid.SampledFrom(dates).Draw(t, "from"),
				"endDate": rapid.SampledFrom(dates).Draw(t, "until"), "numberOfOccurrences": pick(t, "count", 0, 1, 3, 999, -1), "recurrenceTimeZone": rapid.SampledFrom(zones).Draw(t, "rtz")}})
		e["cancelledOccurrences"] = rapid.SliceOfN(rapid.SampledFrom(oids), 0, 2).Draw(t, "removed")
		e["exceptionOccurrences"] = []any{draw(t, nil, "exception")}
		raw, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var s Series
		if err := json.Unmarshal(raw, &s.Event); err != nil {
			t.Fatal(err)
		}
		s.Owner = pick(t, "owner", "", "a@b.example", "junk").(string)
		s.MailboxZone = pick(t, "mailbox zone", "", "junk", "Tokyo Standard Time").(string)
		if rapid.Bool().Draw(t, "checked") {
			s.Window = Span{date(2026, 1, 1), date(2027, 1, 1)}
			s.Occurrences = []Occurrence{}
			for range rapid.IntRange(0, 3).Draw(t, "listed") {
				start := date(2026, 1, rapid.IntRange(1, 300).Draw(t, "on")).Add(time.Duration(rapid.IntRange(0, 23).Draw(t, "at")) * time.Hour)
				s.Occurrences = append(s.Occurrences, Occurrence{Span{start, start.Add(time.Hour)}, rapid.Bool().Draw(t, "whole")})
			}
		}
		cal, losses, err := ToICS(s)
		for _, l := range losses {
			if l.Field == "" || !strings.HasSuffix(l.Reason, ".") || strings.ContainsAny(l.Reason, "\r\n") {
				t.Errorf("loss %v", l)
			}
		}
		if err != nil {
			if cal != nil || !errors.Is(err, ErrNoTime) && !errors.Is(err, ErrNoInstances) {
				t.Error(err)
			}
			return
		}
		var b strings.Builder
		if err := ics.Encode(&b, cal); err != nil {
			t.Fatal(err)
		}
		for _, p := range lint.Problems(b.String(), true) {
			t.Errorf("%s\n%s", p, b.String())
		}
		first, last := (&ics.Reader{Resolve: Zone}).Bounds(cal)
		list, err := (&ics.Reader{Resolve: Zone}).Expand(cal, ics.Span{Start: date(2026, 1, 1), End: date(2027, 1, 1)})
		if err != nil && !errors.Is(err, ics.ErrTooMany) {
			t.Errorf("%v\n%s", err, b.String())
		}
		for _, i := range list {
			if i.Start.Before(first) || !last.IsZero() && i.End.After(last) {
				t.Errorf("%v is outside of %v – %v\n%s", i, first, last, b.String())
			}
		}
	})
}
