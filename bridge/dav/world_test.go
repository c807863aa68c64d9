package dav_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/dav"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round/roundtest"
	"outbridge/bridge/write"
	"outbridge/caldav"
)

const address = "alice@contoso.example"

// writing is a simulated Outlook behind the real handler, of an account that writes.
type writing struct {
	*roundtest.World
	t        *testing.T
	policy   bridge.Policy
	writer   *write.Writer
	handler  *caldav.Handler
	user     string
	password string
}

func newWriting(t *testing.T, set ...func(*graphsim.Server)) *writing {
	w := &writing{World: roundtest.New(t, set...), t: t, policy: bridge.Policy{Write: true, Invitations: bridge.InvitationsOutlook}}
	w.start()
	t.Cleanup(func() {
		w.writer.Close()
		w.Store.Close()
	})
	_, password, err := w.Store.AddPassword(w.Ctx, "alice", "phone", time.Now())
	w.Must(err)
	w.user, w.password = "alice", password
	return w
}

// start puts a Writer and a Handler in front of what there is.
func (w *writing) start() {
	w.Rounds.Settings = true
	w.Rounds.AttachmentURL = func(token, name string) string {
		return "https://calendar.example" + caldav.AttachmentPath(token, name)
	}
	w.Mailbox.Policy = w.policy
	w.writer = &write.Writer{Store: w.Store, Rounds: w.Rounds, Now: w.Now, Log: w.Log,
		Mailbox: func(context.Context, string) (write.Mailbox, error) {
			m := w.Mailbox
			m.Policy = w.policy
			return write.Mailbox{Mailbox: m, Addresses: []string{address}}, nil
		}}
	back := &dav.Writing{Writer: w.writer, Backend: dav.Backend{Store: w.Store, Cache: new(dav.Cache), Zone: convert.Zone, Policy: func(bridge.Account) bridge.Policy { return w.policy }}}
	w.handler = &caldav.Handler{Backend: back, Log: w.Log, PublicURL: "https://calendar.example", Zone: convert.Zone}
}

// do is one request; headers are names and values.
func (w *writing) do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.Ctx, method, path, strings.NewReader(body))
	r.SetBasicAuth(w.user, w.password)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

// must is a request whose status is known.
func (w *writing) must(status int, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	rec := w.do(method, path, body, headers...)
	if rec.Code != status {
		w.t.Fatalf("%s %s: %d, want %d\n%s", method, path, rec.Code, status, rec.Body)
	}
	return rec
}

const calendarPath = "/dav/calendars/alice/calendar/"

func (w *writing) get(name string) string {
	w.t.Helper()
	return strings.ReplaceAll(w.must(http.StatusOK, "GET", calendarPath+name, "").Body.String(), "\r\n ", "")
}

// appointment is an object of one event.
func appointment(uid, summary string, day, hour int, lines ...string) string {
	at := roundtest.At(day, hour, 0)
	all := append([]string{"BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//EN", "BEGIN:VEVENT",
		"UID:" + uid, "DTSTAMP:20261101T000000Z", "SUMMARY:" + summary,
		"DTSTART:" + at.Format("20060102T150405Z"), "DTEND:" + at.Add(time.Hour).Format("20060102T150405Z")}, lines...)
	return strings.Join(append(all, "END:VEVENT", "END:VCALENDAR", ""), "\r\n")
}
