package caldav_test

import (
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"outbridge/caldav"
)

// send sends a write as alice to a writable world, and checks the answer. It returns what it was.
func send(t *testing.T, m *memory, method, path, body string, headers map[string]string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest(method, "/", strings.NewReader(body))
	u, err := url.ParseRequestURI(path)
	if err != nil {
		t.Skip()
	}
	req.URL = u
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	req.SetBasicAuth("alice", "secret")
	h := &caldav.Handler{Backend: m, Log: slog.New(slog.DiscardHandler), PublicURL: "https://calendar.example.com"}
	return checkOne(t, h, req)
}

func FuzzDestination(f *testing.F) {
	for _, d := range []string{"/dav/calendars/alice/other/n.ics", "https://calendar.example.com/dav/calendars/alice/other/a%40b.ics", "http://example.com:80/dav/calendars/alice/other/n.ics",
		"//example.com/dav/calendars/alice/other/n.ics", "mailto:x", "http://[::1/", "/dav/calendars/alice/other/a%2Fb", "/dav/calendars/bob/other/n.ics", "/dav/calendars/alice/other/", "?", "\x00", "http://%41/"} {
		f.Add(d, "F", "infinity", `"x"`)
		f.Add(d, "", "", "")
	}
	f.Fuzz(func(t *testing.T, destination, overwrite, depth, match string) {
		m := writable()
		m.add(caldav.Calendar{Name: "other", DisplayName: "Other", Writable: true})
		headers := map[string]string{"Destination": destination, "Overwrite": overwrite, "Depth": depth, "If-Match": match, "If-Schedule-Tag-Match": match}
		w := send(t, m, "MOVE", dentist, "", headers)
		moved := w.Code == 201 || w.Code == 204
		if _, there := m.object("private", "dentist.ics"); there && moved && len(m.find("private").objects) == 1 {
			t.Errorf("%d, and it is where it was", w.Code)
		} else if !there && !moved {
			t.Errorf("%d, and it has gone", w.Code)
		}
	})
}

func FuzzAttachmentPost(f *testing.F) {
	for _, q := range []string{"action=attachment-add", "action=attachment-add&rid=M,20260811T080000Z", "action=attachment-update&managed-id=f1", "action=attachment-remove&managed-id=f1&rid=20260811",
		"action=split", "action=attachment-add&rid=%2C", "action=&action=", "action=%zz", "action=attachment-add;rid=M"} {
		f.Add(q, `attachment; filename="a b.txt"`, "text/plain; charset=utf-8")
	}
	for _, d := range []string{`attachment;filename=a b.txt`, "attachment; filename=\"\xfc\"", `attachment; filename*=UTF-8''%e2%82%ac.txt`, `attachment; filename*0="a"; filename*1="b"`,
		`attachment; filename="=?UTF-8?B?4oKsLnR4dA==?="`, `attachment; filename="..\\.."`, "İİİİİİfilename=", "filename=\"\n\""} {
		f.Add("action=attachment-add", d, "image/png")
	}
	f.Fuzz(func(t *testing.T, query, disposition, kind string) {
		m := writable()
		w := send(t, m, "POST", dentist+"?"+query, "hello", map[string]string{"Content-Disposition": disposition, "Content-Type": kind})
		if w.Code != 201 {
			return
		}
		at := strings.TrimPrefix(w.Header().Get("Location"), "https://calendar.example.com")
		got := send(t, m, "GET", at, "", nil)
		if got.Code != 200 || got.Body.String() != "hello" || !strings.HasPrefix(got.Header().Get("Content-Disposition"), "attachment; filename") ||
			strings.ContainsAny(got.Header().Get("Content-Disposition"), "\r\n") || !strings.Contains(got.Header().Get("Content-Type"), "/") {
			t.Errorf("%s: %d %v", at, got.Code, got.Header())
		}
	})
}

func FuzzFreeBusyRequest(f *testing.F) {
	const people = "ORGANIZER:mailto:alice@example.com\nATTENDEE:mailto:bob@example.com"
	f.Add(busyRequest(week+people), "text/calendar; charset=utf-8")
	f.Add(busyRequest(week+"ORGANIZER;CN=\"A;B\":/dav/principals/alice/\nATTENDEE:http://[::1\nATTENDEE:mailto:a%zz@b\nATTENDEE;X=^n:MAILTO:a@b?c\nUID:<&\\n"), "text/plain")
	f.Add(busyRequest("DTSTART:00010101T000000Z\nDTEND:99991231T235959Z\n"+people), "")
	f.Add(strings.Replace(busyRequest(week+people), "VFREEBUSY", "VEVENT", 1), "text/calendar")
	f.Add("\xff\xfeB\x00", "text/calendar; charset=utf-16")
	f.Fuzz(func(t *testing.T, body, kind string) {
		w := send(t, writable(), "POST", outbox, body, map[string]string{"Content-Type": kind})
		if w.Code != 200 && w.Code != 403 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// FuzzPut: whatever is sent is kept and served as an event, or refused with a reason.
func FuzzPut(f *testing.F) {
	f.Add("n.ics", meeting("n", ""), "text/calendar")
	f.Add("a%40b.ics", "\ufeff"+meeting("n", "RRULE:FREQ=DAILY"+nextEvent+"UID:n\nRECURRENCE-ID:20260812T090000Z\nDTSTART:20260812T100000Z"), "text/calendar; charset=utf-8")
	f.Add("%00", meeting("n", ""), "")
	f.Add("a/b", meeting("dentist", ""), "text/plain; charset=iso-8859-1")
	f.Add("n", "\xfe\xff\x00B", "text/calendar; charset=utf-16")
	f.Fuzz(func(t *testing.T, name, body, kind string) {
		if strings.ContainsAny(name, "?#") {
			t.Skip()
		}
		m := writable()
		w := send(t, m, "PUT", private+name, body, map[string]string{"Content-Type": kind})
		switch w.Code {
		case 201, 204:
			if got := send(t, m, "GET", private+name, "", nil); got.Code != 200 {
				t.Errorf("kept, but then: %d", got.Code)
			}
		case 403:
			if !strings.Contains(w.Body.String(), "<D:need-privileges>") && !strings.Contains(w.Body.String(), "<o:reason") {
				t.Errorf("no reason: %s", w.Body)
			}
		case 404, 409:
		default:
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
