package caldav_test

import (
	"encoding/xml"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"outbridge/caldav"
)

// checkAnswer holds for every request with the right password: no server error, no panic, and XML that is XML.
func checkAnswer(t *testing.T, method, path, depth, body string) {
	t.Helper()
	req := httptest.NewRequest(method, "/", strings.NewReader(body))
	u, err := url.ParseRequestURI(path)
	if err != nil {
		t.Skip()
	}
	req.URL = u
	req.SetBasicAuth("alice", "secret")
	req.Header.Set("Depth", depth)
	h := &caldav.Handler{Backend: &keeping{memory: fixture()}, Log: slog.New(slog.DiscardHandler)}
	checkOne(t, h, req)
	if method == "PROPPATCH" { // what it set is told again
		again := req.Clone(t.Context())
		again.Method, again.Body = "PROPFIND", http.NoBody
		checkOne(t, h, again)
	}
}

func checkOne(t *testing.T, h *caldav.Handler, req *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	if w.Code >= 500 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if strings.HasPrefix(w.Header().Get("Content-Type"), "application/xml") {
		var v struct {
			XMLName xml.Name
			Inner   []byte `xml:",innerxml"`
		}
		if err := xml.Unmarshal(w.Body.Bytes(), &v); err != nil {
			t.Fatalf("%v in\n%s", err, w.Body)
		}
	}
	return w
}

func FuzzXML(f *testing.F) {
	for _, method := range []string{"PROPFIND", "REPORT", "PROPPATCH"} {
		for _, body := range recordedBodies(f, method) {
			f.Add(method, workPath, "1", body)
			f.Add(method, "/dav/principals/alice/", "0", body)
		}
	}
	f.Add("PROPFIND", "/", "0", `<propfind xmlns="DAV:"><prop><a:b xmlns:a='"&lt;'/><c:d/></prop></propfind>`)
	f.Add("PROPFIND", "/dav/calendars/alice/%00/", "x", "")
	f.Add("PROPPATCH", "/dav/principals/alice/", "", `<propertyupdate xmlns="DAV:" xmlns:q='q"'><set><prop><odd q:a="&lt;'" xml:lang="en">a<q:b/>c</odd></prop></set></propertyupdate>`)
	f.Fuzz(func(t *testing.T, method, path, depth, body string) {
		switch method {
		case "PROPFIND", "REPORT", "PROPPATCH", "OPTIONS", "GET", "MKCALENDAR":
			checkAnswer(t, method, path, depth, body)
		}
	})
}

func FuzzFilter(f *testing.F) {
	f.Add("UID", "i;octet", "beta", "20260101T000000Z", "")
	f.Add("ATTENDEE", "", "a&b", "", "99991231T235959Z")
	f.Add("x", "i;x", "", "20260230T000000Z", "00010101T000000Z")
	f.Add("VALARM", "i;unicode-casemap", "\u0345\u1e9e", "20260101T000000Z", "20260102T000000Z")
	f.Fuzz(func(t *testing.T, name, collation, text, start, end string) {
		esc := func(s string) string {
			var b strings.Builder
			_ = xml.EscapeText(&b, []byte(s))
			return b.String()
		}
		checkAnswer(t, "REPORT", workPath, "1", queryBody(`<C:calendar-data><C:expand start="`+esc(start)+`" end="`+esc(end)+`"/></C:calendar-data>`,
			`<C:comp-filter name="VEVENT"><C:time-range start="`+esc(start)+`" end="`+esc(end)+`"/><C:prop-filter name="`+esc(name)+
				`"><C:text-match collation="`+esc(collation)+`">`+esc(text)+`</C:text-match></C:prop-filter></C:comp-filter>`))
		checkAnswer(t, "REPORT", "/dav/calendars/alice/", "1", queryBody(`<C:calendar-data><C:comp name="`+esc(name)+`"/></C:calendar-data>`,
			`<C:comp-filter name="VEVENT"><C:comp-filter name="`+esc(name)+`"><C:time-range start="`+esc(start)+`" end="`+esc(end)+`"/></C:comp-filter></C:comp-filter>`))
	})
}

// FuzzObject puts arbitrary octets where an object is, and has every part of a report go over them.
func FuzzObject(f *testing.F) {
	for _, o := range fixture().find("work").objects {
		f.Add(string(o.Data))
	}
	for _, rule := range []string{"FREQ=MONTHLY;BYDAY=53MO", "FREQ=YEARLY;BYWEEKNO=53;BYDAY=SU", "FREQ=SECONDLY;INTERVAL=9223372036854775807",
		"FREQ=DAILY;BYHOUR=0,0,0;BYMINUTE=1;BYSETPOS=-366", "FREQ=WEEKLY;UNTIL=99991231", "FREQ=DAILY;COUNT=100000", "FREQ=HOURLY;UNTIL=x",
		"FREQ=YEARLY;BYMONTH=-50;BYMONTHDAY=31"} {
		f.Add(event("UID:x\nDTSTART:20260101T000000Z\nDURATION:P1W2DT3H4M5S\nRRULE:" + rule))
	}
	f.Add("BEGIN:VCALENDAR\r\nX;A=b")
	f.Add(event("DTSTART;VALUE=DATE:00010101\nDTEND:99991231T235959Z\nRDATE;VALUE=PERIOD:20260101T000000Z/PT1H,\nEXDATE:,"))
	f.Add(event("DTSTART:20260101T000000Z\nDURATION:-PT99999999S"))
	f.Add(event("DTSTART:20260101T000000Z\nRRULE:FREQ=DAILY\nBEGIN:VALARM\nTRIGGER;RELATED=END:-P9W\nREPEAT:9999999\nDURATION:P30000D\nEND:VALARM"))
	f.Fuzz(func(t *testing.T, data string) {
		m := &memory{}
		m.add(caldav.Calendar{Name: "work", DisplayName: "Work", TimeZone: "Europe/Berlin", Writable: true})
		m.publish("work", "x.ics", data)
		h := &caldav.Handler{Backend: m, Log: slog.New(slog.DiscardHandler)}
		const span = ` start="20260101T000000Z" end="20260301T000000Z"/>`
		for _, r := range [][2]string{
			{"REPORT", queryBody("<C:calendar-data><C:expand"+span+"</C:calendar-data>", eventsWithin("20260101T000000Z", "20260301T000000Z"))},
			{"REPORT", queryBody("<C:calendar-data><C:limit-recurrence-set"+span+"</C:calendar-data>", eventsWithin("20260101T000000Z", ""))},
			{"REPORT", queryBody("<D:getetag/>", `<C:comp-filter name="VEVENT"><C:comp-filter name="VALARM"><C:time-range`+span+`</C:comp-filter></C:comp-filter>`)},
			{"REPORT", queryBody("<D:getetag/>", eventsWithin("20260101T000000Z", "20260301T000000Z"))},
			{"REPORT", `<free-busy-query xmlns="urn:ietf:params:xml:ns:caldav"><time-range` + span + `</free-busy-query>`},
			{"PUT", data},
		} {
			path := workPath
			if r[0] == "PUT" {
				path += "x.ics"
			}
			req := httptest.NewRequest(r[0], path, strings.NewReader(r[1]))
			req.SetBasicAuth("alice", "secret")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			// The test's own backend encodes by go-ical, which refuses much that may be stored.
			if w.Code >= 500 && r[0] != "PUT" {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if w.Code == 207 {
				var ms multistatus
				if err := xml.Unmarshal(w.Body.Bytes(), &ms); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
