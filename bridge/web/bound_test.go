package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"outbridge/bridge"
)

// slowAnswer is a client that takes nothing until it is let, and keeps the deadlines that it was given.
type slowAnswer struct {
	*httptest.ResponseRecorder
	begun     chan<- struct{}
	let       <-chan struct{}
	deadlines []time.Time
}

func (a *slowAnswer) SetWriteDeadline(t time.Time) error {
	a.deadlines = append(a.deadlines, t)
	return nil
}

func (a *slowAnswer) Write(b []byte) (int, error) {
	if a.begun != nil {
		a.begun <- struct{}{}
		a.begun = nil
		<-a.let
	}
	return a.ResponseRecorder.Write(b)
}

// A reader has a deadline that moves on with what it takes, and slow ones leave other feeds their turn.
func TestFeedReaders(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for i := range 40 {
		d.meeting(fmt.Sprint("Meeting ", i, " ", strings.Repeat("about something ", 20)))
	}
	d.round()
	url, _ := d.feed(bridge.Feed{Name: "One"})
	other, _ := d.feed(bridge.Feed{Name: "Two"})
	request := func(url string) *http.Request {
		return httptest.NewRequest(http.MethodGet, strings.TrimPrefix(url, d.url), nil)
	}
	begun, let := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	answers := make([]*slowAnswer, 32)
	for i := range answers {
		answers[i] = &slowAnswer{ResponseRecorder: httptest.NewRecorder(), begun: begun, let: let}
		all.Go(func() { d.edge.ServeHTTP(answers[i], request(url)) })
	}
	for range answers {
		<-begun
	}
	late := httptest.NewRecorder()
	d.edge.ServeHTTP(late, request(url))
	if late.Code != 503 || late.Header().Get("Retry-After") == "" || late.Header().Get("ETag") != "" || !strings.HasPrefix(late.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("one too many: %d %v", late.Code, late.Header())
	}
	elsewhere := httptest.NewRecorder()
	d.edge.ServeHTTP(elsewhere, request(other))
	if elsewhere.Code != 200 {
		t.Errorf("another feed: %d", elsewhere.Code)
	}
	close(let)
	all.Wait()
	for _, a := range answers {
		want := a.Body.Len()>>16 + 1
		if a.Code != 200 || len(a.deadlines) != want || a.deadlines[0].Before(time.Now()) {
			t.Fatalf("%d, %d octets, %d deadlines, want %d", a.Code, a.Body.Len(), len(a.deadlines), want)
		}
	}
	again := httptest.NewRecorder()
	d.edge.ServeHTTP(again, request(url))
	if again.Code != 200 {
		t.Errorf("afterwards: %d", again.Code)
	}
}

// Nothing parses thousands of parameters, of an address or of a form, for whoever has no session either.
func TestParameters(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	many := strings.Repeat("a=&", 20_000)
	for _, path := range []string{"/", "/sign-in", "/feeds/x.ics", "/graph/notify", "/calendars/alice", "/dav/", "/metrics"} {
		w := httptest.NewRecorder()
		d.edge.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path+"?"+many, nil))
		if w.Code != 400 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	for _, path := range []string{"/setup", "/sign-in", "/settings/password", "/accounts/alice/feeds"} {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(many))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = "127.0.0.1:1"
		w := httptest.NewRecorder()
		d.edge.ServeHTTP(w, r)
		if w.Code != 413 {
			t.Errorf("form at %s: %d", path, w.Code)
		}
	}
}
