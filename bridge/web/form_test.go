package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"outbridge/bridge"
)

// TestBrokenForms: a form that is too large or garbled does nothing, even if part of it can be read.
func TestBrokenForms(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.meeting("Budget")
	d.round()
	p := d.admin()
	_, f := d.feed(bridge.Feed{Detail: bridge.DetailBusy})
	big := url.Values{"label": {strings.Repeat("x", 70<<10)}, "detail": {bridge.DetailFull}}.Encode()
	for body, status := range map[string]int{big: 413, "detail=full&label=%zz": 400} {
		for _, path := range []string{"/accounts/alice/passwords", "/accounts/alice/feeds", "/accounts/alice/feeds/1"} {
			req, err := http.NewRequestWithContext(t.Context(), "POST", d.url+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Origin", d.url)
			resp, err := p.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != status {
				t.Errorf("%s, %d bytes: %s", path, len(body), resp.Status)
			}
		}
	}
	passwords, err := d.store.Passwords(t.Context(), "alice")
	if err != nil || len(passwords) != 0 {
		t.Errorf("app passwords were made: %v, %v", passwords, err)
	}
	feeds, err := d.store.Feeds(t.Context(), "alice")
	if err != nil || len(feeds) != 1 || feeds[0].ID != f.ID || feeds[0].Detail != bridge.DetailBusy {
		t.Errorf("feeds were made or changed: %+v, %v", feeds, err)
	}
}
