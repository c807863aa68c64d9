package dav_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/dav"
	"outbridge/bridge/round/roundtest"
	"outbridge/caldav"
)

// TestPollIsOneStatement: what an idle client asks again and again is one statement on a server, sign-in included, and its answer is
// what was published last.
func TestPollIsOneStatement(t *testing.T) {
	t.Parallel()
	w := roundtest.NewOn(t, "postgres")
	defer w.Store.Close()
	w.Box.AddCalendar("another", "Another")
	round := func() {
		w.Box.Calendar().Create(roundtest.Meeting("Meeting", 1, 9))
		if _, err := w.Rounds.Round(w.Ctx, w.Mailbox); err != nil {
			t.Fatal(err)
		}
	}
	round()
	_, password, err := w.Store.AddPassword(w.Ctx, "alice", "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	policy := bridge.Policy{Write: true, Invitations: bridge.InvitationsReplies}
	h := &caldav.Handler{Log: w.Log, Backend: &dav.Writing{Backend: dav.Backend{Store: w.Store, Policy: func(bridge.Account) bridge.Policy { return policy }}}}
	ask := func(method, path, depth, body string) (answer string, statements int64) {
		t.Helper()
		r := httptest.NewRequestWithContext(w.Store.Once(t.Context()), method, path, strings.NewReader(body))
		r.SetBasicAuth("alice", password)
		r.Header.Set("Depth", depth)
		res := httptest.NewRecorder()
		before := w.Store.Pool().Stat().AcquireCount()
		h.ServeHTTP(res, r)
		if res.Code != http.StatusMultiStatus {
			t.Fatalf("%s %s: %d\n%s", method, path, res.Code, res.Body)
		}
		return res.Body.String(), w.Store.Pool().Stat().AcquireCount() - before
	}
	const (
		home = "/dav/calendars/alice/"
		ctag = `<D:propfind xmlns:D="DAV:" xmlns:CS="http://calendarserver.org/ns/"><D:prop><CS:getctag/><D:sync-token/></D:prop></D:propfind>`
		sync = `<D:sync-collection xmlns:D="DAV:"><D:sync-token>TOKEN</D:sync-token><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop></D:sync-collection>`
	)
	token := func(answer string) string {
		_, rest, _ := strings.Cut(answer, "<sync-token>")
		token, _, _ := strings.Cut(rest, "<")
		return token
	}
	known := map[string]string{}
	for _, path := range []string{home + "calendar/", home + "another/"} {
		answer, n := ask("PROPFIND", path, "0", ctag)
		if n != 1 {
			t.Errorf("PROPFIND %s: %d statements", path, n)
		}
		known[path] = token(answer)
		answer, n = ask("REPORT", path, "1", strings.Replace(sync, "TOKEN", known[path], 1))
		if n != 1 {
			t.Errorf("REPORT %s: %d statements", path, n)
		}
		if token(answer) != known[path] || strings.Contains(answer, "<response>") {
			t.Errorf("REPORT %s, nothing changed: %s", path, answer)
		}
	}
	if _, n := ask("PROPFIND", home, "1", ctag); n > 1 {
		t.Errorf("PROPFIND %s: %d statements", home, n)
	}
	round()
	path := home + "calendar/"
	if answer, _ := ask("PROPFIND", path, "0", ctag); token(answer) == known[path] {
		t.Error("a poll after a change has the token from before")
	}
	if answer, _ := ask("REPORT", path, "1", strings.Replace(sync, "TOKEN", known[path], 1)); strings.Count(answer, "<response>") != 1 {
		t.Errorf("a sync after a change: %s", answer)
	}
}
