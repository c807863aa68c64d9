package caldav_test

import (
	"bufio"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"outbridge/caldav"
)

const (
	private = "/dav/calendars/alice/private/"
	dentist = private + "dentist.ics"
)

// meeting is an event of a UID and, if there is one, with its organizer.
func meeting(uid, more string) string {
	return event("UID:" + uid + "\nDTSTAMP:20260101T000000Z\nDTSTART:20260811T090000Z\nDURATION:PT1H\nSUMMARY:Later\n" + more)
}

// What the conditions of a write are held against is the backend's: it gets them whole.
func TestWriteRequest(t *testing.T) {
	m := writable()
	m.refuse = caldav.ErrPrecondition
	s := serve(t, m)
	date := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		headers []string
		want    caldav.WriteRequest
	}{
		{nil, caldav.WriteRequest{}},
		{[]string{`If-Match: "a", W/"b-gzip", \"c\"`}, caldav.WriteRequest{Match: caldav.Match{IfMatch: []string{"a", "b", "c"}}}},
		{[]string{`If-Match: *`}, caldav.WriteRequest{Match: caldav.Match{IfMatch: []string{"*"}}}},
		{[]string{`If-Match: ,`}, caldav.WriteRequest{Match: caldav.Match{IfMatch: []string{`""`}}}},
		{[]string{`If-None-Match: *`}, caldav.WriteRequest{Match: caldav.Match{IfNoneMatch: []string{"*"}}}},
		{[]string{`If-Schedule-Tag-Match: "x"`, `If-Match: "y"`}, caldav.WriteRequest{Match: caldav.Match{IfMatch: []string{"y"}, IfScheduleTag: []string{"x"}}}},
		{[]string{`If-Schedule-Tag-Match: `}, caldav.WriteRequest{}},
		{[]string{"If-Unmodified-Since: " + date.Format(http.TimeFormat)}, caldav.WriteRequest{Match: caldav.Match{IfUnmodifiedSince: date}}},
		{[]string{"Schedule-Reply: F"}, caldav.WriteRequest{Silent: true}},
		{[]string{"Schedule-Reply: T"}, caldav.WriteRequest{}},
		{[]string{"User-Agent: Mozilla/5.0 Thunderbird/140"}, caldav.WriteRequest{Client: "Mozilla/5.0 Thunderbird/140"}},
	} {
		tt.want.Principal = caldav.Principal{Name: "alice", DisplayName: "Alice Example"}
		if tt.want.Client == "" {
			tt.want.Client = "Go-http-client/1.1"
		}
		for _, method := range []string{"PUT", "DELETE", "MOVE"} {
			a := s.do(method, dentist, meeting("dentist", ""), append(tt.headers, "Destination: "+private+"x.ics")...)
			if a.StatusCode != 412 {
				t.Fatalf("%s %v: %d %s", method, tt.headers, a.StatusCode, a.body)
			}
			got, _ := m.last.(caldav.WriteRequest)
			if p, ok := m.last.(caldav.PutRequest); ok {
				got = p.WriteRequest
			}
			if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", tt.want) {
				t.Errorf("%s %v:\n%#v, want\n%#v", method, tt.headers, got, tt.want)
			}
		}
	}
}

func TestMatch(t *testing.T) {
	then := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	o := &caldav.Object{ETag: "e", ScheduleTag: "s", Modified: then.Add(time.Millisecond)}
	for _, tt := range []struct {
		m    caldav.Match
		o    *caldav.Object
		want bool
	}{
		{caldav.Match{}, nil, true}, {caldav.Match{}, o, true},
		{caldav.Match{IfMatch: []string{"*"}}, nil, false}, {caldav.Match{IfMatch: []string{"*"}}, o, true},
		{caldav.Match{IfMatch: []string{"d", "e"}}, o, true}, {caldav.Match{IfMatch: []string{"d"}}, o, false},
		{caldav.Match{IfNoneMatch: []string{"*"}}, nil, true}, {caldav.Match{IfNoneMatch: []string{"*"}}, o, false},
		{caldav.Match{IfNoneMatch: []string{"d"}}, o, true}, {caldav.Match{IfNoneMatch: []string{"d", "e"}}, o, false},
		{caldav.Match{IfScheduleTag: []string{"s"}}, o, true}, {caldav.Match{IfScheduleTag: []string{"t"}}, o, false},
		{caldav.Match{IfScheduleTag: []string{"*"}}, &caldav.Object{ETag: "e"}, false}, {caldav.Match{IfScheduleTag: []string{"s"}}, nil, false},
		{caldav.Match{IfScheduleTag: []string{"s"}, IfMatch: []string{"d"}}, o, false},
		{caldav.Match{IfUnmodifiedSince: then}, o, true}, {caldav.Match{IfUnmodifiedSince: then.Add(-time.Second)}, o, false},
		{caldav.Match{IfUnmodifiedSince: then.Add(-time.Hour), IfMatch: []string{"e"}}, o, true}, {caldav.Match{IfUnmodifiedSince: then}, nil, true},
	} {
		if got := tt.m.Holds(tt.o); got != tt.want {
			t.Errorf("%+v of %+v: %v", tt.m, tt.o, got)
		}
	}
}

// A body is taken in every form that clients send.
func TestPutBodies(t *testing.T) {
	text := strings.Replace(meeting("b", "LOCATION:Café"), "Later", "Spät", 1)
	utf16 := func(s string, high, low int) string {
		var b strings.Builder
		for _, r := range "\ufeff" + s {
			pair := [2]byte{}
			pair[high], pair[low] = byte(r>>8), byte(r)
			b.Write(pair[:])
		}
		return b.String()
	}
	latin := func(s string) string {
		var b strings.Builder
		for _, r := range s {
			b.WriteByte(byte(r))
		}
		return b.String()
	}
	for _, tt := range []struct{ name, kind, body string }{
		{"CRLF", "text/calendar; charset=utf-8", text},
		{"LF", "text/calendar", strings.ReplaceAll(text, "\r\n", "\n")},
		{"with a component", "text/calendar;component=vevent;charset=UTF-8", text},
		{"plain text", "text/plain", text},
		{"octets", "application/octet-stream", text},
		{"no type", "", text},
		{"a type that is none", "calendar!", text},
		{"with a mark", "text/calendar", "\ufeff" + text},
		{"UTF-16, little", "text/calendar; charset=utf-16", utf16(text, 1, 0)},
		{"UTF-16, big", "text/calendar", utf16(text, 0, 1)},
		{"ISO-8859-1", "text/calendar; charset=ISO-8859-1", latin(text)},
		{"UTF-8 that is said to be ISO-8859-1", "text/calendar; charset=iso-8859-1", text},
		{"folded within a character", "text/calendar", strings.Replace(text, "ä", "\xc3\r\n \xa4", 1)},
		{"without a last line break", "text/calendar", strings.TrimRight(text, "\r\n")},
	} {
		m := writable()
		s := serve(t, m)
		a := s.do("PUT", private+"b.ics", tt.body, "Content-Type: "+tt.kind)
		got := string(m.find("private").objects["b.ics"].Data)
		if a.StatusCode != 201 || !strings.Contains(got, "SUMMARY:Spät\r\n") || !strings.Contains(got, "LOCATION:Café\r\n") {
			t.Errorf("%s: %d %s\n%s", tt.name, a.StatusCode, a.body, got)
		}
	}
	var told []string
	s := serveHandler(t, &caldav.Handler{Backend: writable(), Log: testLog(t), RefusedWrite: func(_ context.Context, c caldav.Calendar, name string, r caldav.WriteRequest, sentence string) {
		told = append(told, c.Name+" "+name+" "+r.Principal.Name+" "+sentence)
	}})
	for _, tt := range []struct{ name, kind, body, condition string }{
		{"ISO-8859-1 that is not said", "text/calendar", latin(text), "C:valid-calendar-data"},
		{"JSON", "application/calendar+json", `["vcalendar"]`, "C:supported-calendar-data"},
		{"nothing", "text/calendar", "", "C:valid-calendar-data"},
		{"a METHOD", "text/calendar", strings.Replace(text, "VERSION:2.0", "VERSION:2.0\r\nMETHOD:REPLY", 1), "C:valid-calendar-object-resource"},
		{"no UID", "text/calendar", strings.Replace(text, "UID:b\r\n", "", 1), "C:valid-calendar-object-resource"},
		{"a UID of nothing", "text/calendar", strings.Replace(text, "UID:b\r\n", "UID:\r\n", 1), "C:valid-calendar-object-resource"},
		{"an override of another UID", "text/calendar", event("UID:a\nDTSTART:20260811T090000Z" + nextEvent + "UID:b\nRECURRENCE-ID:20260811T090000Z"), "C:valid-calendar-object-resource"},
		{"twice", "text/calendar", event("UID:a\nDTSTART:20260811T090000Z" + nextEvent + "UID:a\nDTSTART:20260811T090000Z"), "C:valid-calendar-object-resource"},
		{"two calendars", "text/calendar", text + strings.Replace(text, "UID:b", "UID:c", 1), "C:valid-calendar-object-resource"},
		{"a calendar within", "text/calendar", strings.Replace(text, "END:VEVENT", "END:VEVENT\r\nBEGIN:VCALENDAR\r\nEND:VCALENDAR", 1), "C:valid-calendar-object-resource"},
		{"a journal", "text/calendar", strings.ReplaceAll(text, "VEVENT", "VJOURNAL"), "C:supported-calendar-component"},
		{"free-busy", "text/calendar", strings.ReplaceAll(text, "VEVENT", "VFREEBUSY"), "C:supported-calendar-component"},
		{"an event and a task", "text/calendar", strings.Replace(text, "END:VEVENT", "END:VEVENT\r\nBEGIN:VTODO\r\nUID:b\r\nEND:VTODO", 1), "C:valid-calendar-object-resource"},
	} {
		a := s.do("PUT", private+"n.ics", tt.body, "Content-Type: "+tt.kind)
		a.refused(t, tt.name, 403, tt.condition)
		if len(told) != 1 || !strings.HasPrefix(told[0], "private n.ics alice ") || !strings.Contains(a.body, strings.TrimPrefix(told[0], "private n.ics alice ")) {
			t.Errorf("%s: told %q", tt.name, told)
		}
		told = nil
	}
}

func TestPutPart(t *testing.T) {
	m := writable()
	if a := serve(t, m).do("PUT", dentist, meeting("dentist", ""), "Content-Range: bytes 0-10/20"); a.StatusCode != 400 || m.calls["write"] != 0 {
		t.Errorf("%d", a.StatusCode)
	}
}

// Who takes their time over a large object keeps nobody from anything else, not even themselves.
func TestSlowUpload(t *testing.T) {
	s := serve(t, writable())
	for range 3 {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWxpY2U6c2VjcmV0\r\nContent-Length: %d\r\n\r\n%s", dentist, 30<<20, strings.Repeat("x", 2<<20))
	}
	if a := s.do("PUT", private+"n.ics", meeting("n", "")); a.StatusCode != 201 {
		t.Errorf("a small one: %d", a.StatusCode)
	}
	s.do("PROPFIND", private, "", "Depth: 1").multistatus(t)
}

// refused holds a refusal to what clients and people get of it: the element, and a sentence.
func (a answer) refused(t *testing.T, name string, status int, condition string) {
	t.Helper()
	var e struct {
		XMLName xml.Name `xml:"DAV: error"`
		Reason  string   `xml:"urn:outbridge reason"`
	}
	if err := xml.Unmarshal([]byte(a.body), &e); err != nil || a.StatusCode != status || !strings.Contains(a.body, "<"+condition) ||
		!strings.HasSuffix(e.Reason, ".") || a.Header.Get("Content-Type") != "application/xml; charset=utf-8" {
		t.Errorf("%s: %d %s %v, want %d %s", name, a.StatusCode, a.body, err, status, condition)
	}
}

// A name is whatever a client makes of a UID, and stays that.
func TestPutNames(t *testing.T) {
	for path, name := range map[string]string{
		"DB2BE2AB-8E8B-4B3E-9E33-2B1C7A9A3D12.ics":           "DB2BE2AB-8E8B-4B3E-9E33-2B1C7A9A3D12.ics",
		"20260811T090000Z-1@host.example.com.ics":            "20260811T090000Z-1@host.example.com.ics",
		"20260811T090000Z-1%40host.example.com.ics":          "20260811T090000Z-1@host.example.com.ics",
		"a@b:c;d&e=f+g$h,i.ics":                              "a@b:c;d&e=f+g$h,i.ics",
		"a%40b%3Ac%3Bd%26e%3Df%2Bg%24h%2Ci.ics":              "a@b:c;d&e=f+g$h,i.ics",
		"Z%C3%BCrich%20%E2%82%AC%201%25.ics":                 "Zürich € 1%.ics",
		"{040000008200E00074C5B7101A82E008}.ics":             "{040000008200E00074C5B7101A82E008}.ics",
		"noext":                                              "noext",
		"_.a~b'(c)!*.ics":                                    "_.a~b'(c)!*.ics",
		"inbox":                                              "inbox",
		strings.Repeat("a", 251) + ".ics":                    strings.Repeat("a", 251) + ".ics",
		"%3Cscript%3E%22.ics":                                `<script>".ics`,
		"040000008200E00074C5B7101A82E00800000000F0.EML.ics": "040000008200E00074C5B7101A82E00800000000F0.EML.ics",
		"%F0%9F%8E%89%20party.ics":                           "🎉 party.ics",
		"a%3Fb%23c.ics":                                      "a?b#c.ics",
		"tag:example.com,2026:event-1.ics":                   "tag:example.com,2026:event-1.ics",
	} {
		m := writable()
		s := serve(t, m)
		if a := s.do("PUT", private+path, meeting("n", ""), "If-None-Match: *"); a.StatusCode != 201 || a.Header.Get("Location") != "" || a.Header.Get("ETag") != "" {
			t.Errorf("%s: %d %v %s", path, a.StatusCode, a.Header, a.body)
			continue
		}
		if _, ok := m.find("private").objects[name]; !ok {
			t.Errorf("%s: not kept as %s", path, name)
		}
		href := ""
		for _, r := range s.do("PROPFIND", private, "", "Depth: 1").multistatus(t).Responses {
			if !strings.HasSuffix(r.Href, "/") && !strings.HasSuffix(r.Href, "dentist.ics") {
				href = r.Href
			}
		}
		for _, p := range []string{href, private + path} {
			got := s.do("GET", p, "")
			if got.StatusCode != 200 || !strings.Contains(got.body, "UID:n") {
				t.Errorf("%s by %s: %d", path, p, got.StatusCode)
			}
			if n := s.do("REPORT", private, multigetBody(strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(p))).multistatus(t).Responses; len(n) != 1 || n[0].Status != "" {
				t.Errorf("multiget of %s: %v", p, n)
			}
		}
	}
	s := serve(t, writable())
	for path, want := range map[string]int{
		"a%2Fb.ics": 403, "a%5Cb.ics": 403, "a%00.ics": 403, "a%0Ab.ics": 403, "%2e%2e": 403, "a%ff.ics": 403, strings.Repeat("a", 256): 403,
		"sub/a.ics": 409, "a.ics/": 409, "": 403,
	} {
		a := s.do("PUT", private+path, meeting("n", ""))
		if a.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", path, a.StatusCode, a.body, want)
		}
		if want == 403 && path != "" {
			a.refused(t, path, 403, "C:valid-calendar-object-resource")
		}
	}
}

// After a write the client gets no tag of octets that it has not sent, but those that it asks for.
func TestPutAnswers(t *testing.T) {
	m := writable()
	s := serve(t, m)
	invited := meeting("m", "ORGANIZER:mailto:alice@example.com\nATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:bob@example.com")
	path := private + "m.ics"
	stored := func() caldav.Object { return m.find("private").objects["m.ics"] }
	a := s.do("PUT", path, invited, "If-None-Match: *")
	tag := a.Header.Get("Schedule-Tag")
	if a.StatusCode != 201 || a.Header.Get("ETag") != "" || a.body != "" || tag == "" || tag != `"`+stored().ScheduleTag+`"` {
		t.Errorf("created: %d %v %s", a.StatusCode, a.Header, a.body)
	}
	if g := s.do("GET", path, ""); g.Header.Get("Schedule-Tag") != tag {
		t.Errorf("GET: %v", g.Header)
	}
	if g := s.do("GET", dentist, ""); g.Header.Values("Schedule-Tag") != nil {
		t.Errorf("no meeting: %v", g.Header)
	}
	ask := s.do("PROPFIND", path, `<propfind `+davHead+`><prop><C:schedule-tag/></prop></propfind>`, "Depth: 0").multistatus(t).Responses[0]
	if p, ok := ask.get("urn:ietf:params:xml:ns:caldav", "schedule-tag"); !ok || p.Text != tag {
		t.Errorf("property: %v", p)
	}
	// An answer of an invitee leaves the schedule tag as it is.
	answered := strings.Replace(invited, "NEEDS-ACTION", "ACCEPTED", 1)
	if a := s.do("PUT", path, answered, "If-Schedule-Tag-Match: "+tag); a.StatusCode != 204 || a.Header.Get("Schedule-Tag") != tag {
		t.Errorf("answered: %d %v", a.StatusCode, a.Header)
	}
	if a := s.do("PUT", path, strings.Replace(answered, "Later", "Sooner", 1), "If-Schedule-Tag-Match: "+tag, "Prefer: return=representation"); a.StatusCode != 200 ||
		a.Header.Get("ETag") != `"`+stored().ETag+`"` || a.body != string(stored().Data) || a.Header.Get("Preference-Applied") != "return=representation" ||
		a.Header.Get("Content-Type") != "text/calendar; charset=utf-8; component=VEVENT" || a.Header.Get("Content-Location") != path || a.Header.Get("Schedule-Tag") == tag {
		t.Errorf("representation: %d %v\n%s", a.StatusCode, a.Header, a.body)
	}
	// Where the condition does not hold, the object that it holds not for.
	for method, body := range map[string]string{"PUT": invited, "DELETE": ""} {
		if a := s.do(method, path, body, "If-Schedule-Tag-Match: "+tag, "Prefer: return=representation"); a.StatusCode != 412 ||
			a.Header.Get("ETag") != `"`+stored().ETag+`"` || a.body != string(stored().Data) {
			t.Errorf("%s, stale: %d %v\n%s", method, a.StatusCode, a.Header, a.body)
		}
		if a := s.do(method, private+"none.ics", body, `If-Match: "x"`, "Prefer: return=representation"); a.StatusCode != 412 || a.Header.Get("ETag") != "" {
			t.Errorf("%s of nothing: %d %v %s", method, a.StatusCode, a.Header, a.body)
		}
		if a := s.do(method, path, body, `If-Match: "x"`); a.StatusCode != 412 || a.Header.Get("ETag") != "" {
			t.Errorf("%s, stale, no preference: %d %v", method, a.StatusCode, a.Header)
		}
	}
	if a := s.do("PUT", private+"n.ics", meeting("n", ""), "Prefer: return=representation"); a.StatusCode != 201 || a.Header.Get("ETag") == "" || !strings.Contains(a.body, "UID:n") {
		t.Errorf("created, representation: %d %v %s", a.StatusCode, a.Header, a.body)
	}
	if a := s.do("PUT", private+"n.ics", meeting("n", ""), "Prefer: return=minimal"); a.StatusCode != 204 || a.Header.Get("ETag") != "" || a.body != "" {
		t.Errorf("minimal: %d %v %s", a.StatusCode, a.Header, a.body)
	}
	// Octets that are kept as they are have their tag.
	m.asSent = true
	if a := s.do("PUT", private+"n.ics", meeting("n", "LOCATION:x")); a.StatusCode != 204 || a.Header.Get("ETag") != `"`+m.find("private").objects["n.ics"].ETag+`"` {
		t.Errorf("as sent: %d %v", a.StatusCode, a.Header)
	}
	if a := s.do("PUT", private+"n.ics", "\ufeff"+meeting("n", "LOCATION:x")); a.Header.Get("ETag") != "" {
		t.Errorf("all but as sent: %v", a.Header)
	}
}

// An event that is there under another name is written under that, and known by both from then on.
func TestPutAlias(t *testing.T) {
	m := writable()
	s := serve(t, m)
	guessed := private + "0123-guessed.ics"
	a := s.do("PUT", guessed, meeting("dentist", "LOCATION:there"), "If-None-Match: *")
	if a.StatusCode != 204 || a.Header.Get("Location") != dentist {
		t.Fatalf("%d %v", a.StatusCode, a.Header)
	}
	if a := s.do("GET", guessed, ""); a.StatusCode != 200 || !strings.Contains(a.body, "LOCATION:there") {
		t.Errorf("GET: %d", a.StatusCode)
	}
	ms := s.do("REPORT", private, multigetBody(guessed)).multistatus(t)
	if len(ms.Responses) != 1 || ms.Responses[0].Href != guessed || ms.Responses[0].Status != "" {
		t.Errorf("multiget: %+v", ms)
	}
	if got := s.do("PROPFIND", private, "", "Depth: 1").multistatus(t).hrefs(); strings.Join(got, " ") != "dentist.ics private/" {
		t.Errorf("listed: %v", got)
	}
	if a := s.do("DELETE", guessed, ""); a.StatusCode != 204 {
		t.Errorf("DELETE: %d", a.StatusCode)
	}
	if a := s.do("GET", dentist, ""); a.StatusCode != 404 {
		t.Errorf("deleted: %d", a.StatusCode)
	}
}

// Whatever a backend refuses a write for is told with its status, its element and its sentence, and never as a fault.
func TestRefused(t *testing.T) {
	m := writable()
	s := serve(t, m)
	const sentence = "Outlook cannot do <this>."
	for _, tt := range []struct {
		err       error
		status    int
		condition string
		retry     string
	}{
		{&caldav.Refused{Sentence: sentence}, 403, "D:need-privileges>", ""},
		{&caldav.Refused{Condition: caldav.NeedPrivileges, Sentence: sentence}, 403, "D:need-privileges>", ""},
		{&caldav.Refused{Condition: caldav.SupportedCalendarData, Sentence: sentence}, 403, "C:supported-calendar-data/>", ""},
		{&caldav.Refused{Condition: caldav.ValidCalendarData, Sentence: sentence}, 403, "C:valid-calendar-data/>", ""},
		{&caldav.Refused{Condition: caldav.ValidCalendarObject, Sentence: sentence}, 403, "C:valid-calendar-object-resource/>", ""},
		{&caldav.Refused{Condition: caldav.SupportedComponent, Sentence: sentence}, 403, "C:supported-calendar-component/>", ""},
		{&caldav.Refused{Condition: caldav.NoUIDConflict, Sentence: sentence, Calendar: "work", Object: "a b.ics"}, 403, "C:no-uid-conflict><D:href>/dav/calendars/alice/work/a%20b.ics</D:href></C:no-uid-conflict>", ""},
		{&caldav.Refused{Condition: caldav.NoUIDConflict, Sentence: sentence, Object: "a.ics"}, 403, "C:no-uid-conflict><D:href>/dav/calendars/alice/private/a.ics</D:href>", ""},
		{&caldav.Refused{Condition: caldav.UniqueSchedulingObject, Sentence: sentence, Calendar: "work", Object: "a.ics"}, 403, "C:unique-scheduling-object-resource><D:href>", ""},
		{&caldav.Refused{Condition: caldav.MaxResourceSize, Sentence: sentence}, 403, "C:max-resource-size/>", ""},
		{&caldav.Refused{Condition: caldav.MinDateTime, Sentence: sentence}, 403, "C:min-date-time/>", ""},
		{&caldav.Refused{Condition: caldav.MaxDateTime, Sentence: sentence}, 403, "C:max-date-time/>", ""},
		{&caldav.Refused{Condition: caldav.MaxInstances, Sentence: sentence}, 403, "C:max-instances/>", ""},
		{&caldav.Refused{Condition: caldav.MaxAttendeesPerInstance, Sentence: sentence}, 403, "C:max-attendees-per-instance/>", ""},
		{&caldav.Refused{Condition: caldav.SameOrganizer, Sentence: sentence}, 403, "C:same-organizer-in-all-components/>", ""},
		{&caldav.Refused{Condition: caldav.AllowedOrganizerChange, Sentence: sentence}, 403, "C:allowed-organizer-scheduling-object-change/>", ""},
		{fmt.Errorf("put: %w", &caldav.Refused{Condition: caldav.AllowedAttendeeChange, Sentence: sentence}), 403, "C:allowed-attendee-scheduling-object-change/>", ""},
		{&caldav.Refused{Condition: caldav.MaxAttachmentSize, Sentence: sentence}, 403, "C:max-attachment-size/>", ""},
		{&caldav.Refused{Condition: caldav.MaxAttachmentsPerResource, Sentence: sentence}, 403, "C:max-attachments-per-resource/>", ""},
		{&caldav.Refused{Condition: caldav.ValidManagedID, Sentence: sentence}, 403, "C:valid-managed-id-parameter/>", ""},
		{&caldav.Refused{Err: caldav.ErrFull, Sentence: sentence}, 507, "D:quota-not-exceeded/>", ""},
		{&caldav.Refused{Err: caldav.ErrPrecondition, Sentence: sentence}, 412, "", ""},
		{&caldav.Refused{Err: caldav.ErrUnavailable, Sentence: sentence, RetryAfter: 10 * time.Second}, 503, "", "10"},
		{&caldav.Refused{Err: caldav.ErrUnavailable, Sentence: sentence}, 503, "", "60"},
		{caldav.ErrUnavailable, 503, "", "60"},
		{caldav.ErrPrecondition, 412, "", ""},
		{caldav.ErrForbidden, 403, "D:need-privileges>", ""},
		{caldav.ErrNotFound, 404, "", ""},
		{errors.New("secret detail"), 500, "", ""},
	} {
		m.refuse = tt.err
		for _, method := range []string{"PUT", "DELETE", "MOVE", "COPY", "POST"} {
			path := dentist
			if method == "POST" {
				path += "?action=attachment-add"
			}
			a := s.do(method, path, meeting("dentist", ""), "Destination: "+private+"y.ics")
			var r *caldav.Refused
			told := errors.As(tt.err, &r)
			if a.StatusCode != tt.status || !strings.Contains(a.body, tt.condition) || a.Header.Get("Retry-After") != tt.retry || strings.Contains(a.body, "secret") ||
				told && !strings.Contains(a.body, "Outlook cannot do ") {
				t.Errorf("%v: %s: %d %v %s", tt.err, method, a.StatusCode, a.Header, a.body)
			}
			if tt.condition != "" && told {
				a.refused(t, method+" "+tt.err.Error(), tt.status, tt.condition)
				if !strings.Contains(a.body, `<o:reason xmlns:o="urn:outbridge">Outlook cannot do &lt;this&gt;.</o:reason></D:error>`) {
					t.Errorf("%s", a.body)
				}
			}
		}
	}
}

// An event that takes no writes says so, in a calendar that does.
func TestReadOnlyObject(t *testing.T) {
	m := writable()
	m.readOnly = map[string]bool{"secret.ics": true}
	m.publish("private", "secret.ics", meeting("secret", ""))
	s := serve(t, m)
	writes := map[string]bool{}
	for _, r := range s.do("PROPFIND", private, `<propfind xmlns="DAV:"><prop><current-user-privilege-set/></prop></propfind>`, "Depth: 1").multistatus(t).Responses {
		p, _ := r.get("DAV:", "current-user-privilege-set")
		writes[r.Href] = strings.Contains(p.Inner, "<D:write/>") && strings.Contains(p.Inner, "<D:write-content/>") && strings.Contains(p.Inner, "<D:bind/>") && strings.Contains(p.Inner, "<D:unbind/>")
	}
	if !writes[private] || !writes[dentist] || writes[private+"secret.ics"] {
		t.Errorf("%v", writes)
	}
	s.do("PUT", private+"secret.ics", meeting("secret", "")).refused(t, "PUT", 403, "D:need-privileges")
	if a := s.do("PUT", dentist, meeting("dentist", "")); a.StatusCode != 204 {
		t.Errorf("%d", a.StatusCode)
	}
}

// A client that asks before it sends is told without having sent.
func TestExpectContinue(t *testing.T) {
	s := serve(t, writable())
	for path, want := range map[string]string{private + "n.ics": "HTTP/1.1 100 Continue", work + "n.ics": "HTTP/1.1 403 Forbidden"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		body := meeting("n", "")
		fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWxpY2U6c2VjcmV0\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", path, len(body))
		r := bufio.NewReader(conn)
		line, err := r.ReadString('\n')
		if err != nil || strings.TrimSpace(line) != want {
			t.Errorf("%s: %q, %v", path, line, err)
		}
		if !strings.Contains(line, "100") {
			continue
		}
		_, _ = r.ReadString('\n')
		_, _ = io.WriteString(conn, body)
		if a, err := http.ReadResponse(r, nil); err != nil || a.StatusCode != 201 {
			t.Errorf("%v, %v", a, err)
		}
	}
}

// A body of no said length is read like any other, and one that is too long is not read.
func TestPutChunked(t *testing.T) {
	s := serve(t, writable())
	for size, want := range map[int]int{100: 201, 200 << 10: 201, 900 << 10: 201, 2 << 20: 201, 40 << 20: 403} {
		filler := io.LimitReader(zeros{}, int64(size))
		head, tail, _ := strings.Cut(meeting(fmt.Sprint("n", size), "ATTACH;ENCODING=BASE64;VALUE=BINARY:$"), "$")
		req, _ := http.NewRequest("PUT", s.url+private+fmt.Sprint("n", size, ".ics"), io.MultiReader(strings.NewReader(head), filler, strings.NewReader(tail)))
		req.SetBasicAuth("alice", "secret")
		a, err := s.client.Do(req)
		if err != nil {
			if want == 403 { // the connection is closed on a client that goes on sending
				continue
			}
			t.Fatal(err)
		}
		if a.StatusCode != want {
			t.Errorf("%d octets: %d", size, a.StatusCode)
		}
		a.Body.Close()
	}
}

// zeros is text without an end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = '0'
	}
	return len(b), nil
}
