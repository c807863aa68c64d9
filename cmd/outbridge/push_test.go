package main

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// TestServePush subscribes to a calendar of the real program as a phone with DAVx5 does. What is in a message, and when
// it is sent, is tested in package bridge.
func TestServePush(t *testing.T) {
	t.Parallel()
	got := make(chan http.Header, 10)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err == nil && r.Method == "POST" && len(b) > 86 {
			got <- r.Header
		}
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(service.Close)
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box, ids := officeWeek(sim)
	s := serveFor(t, newOutlook(t, sim, box))
	s.nextRound(t)

	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	subscribe := func() (*http.Response, string) {
		t.Helper()
		return s.send(t, "POST", "/dav/calendars/alice/calendar/", `<push-register xmlns="https://bitfire.at/webdav-push"><subscription><web-push-subscription><push-resource>`+
			service.URL+`/phone</push-resource><subscription-public-key type="p256dh">`+b64(key.PublicKey().Bytes())+`</subscription-public-key><auth-secret>`+
			b64(make([]byte, 16))+`</auth-secret></web-push-subscription></subscription></push-register>`)
	}
	if res, body := subscribe(); res.StatusCode != 403 || !strings.Contains(body, "invalid-subscription") {
		t.Errorf("a push service in a private network: %d %s", res.StatusCode, body)
	}

	s.end(syscall.SIGTERM)
	file := filepath.Join(s.dir, "outbridge.toml")
	config, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append([]byte("push_private = true\n"), config...), 0o600); err != nil {
		t.Fatal(err)
	}
	s.restart(t)
	res, body := subscribe()
	location := res.Header.Get("Location")
	if res.StatusCode != 201 || !strings.HasPrefix(location, s.url+"/dav/push/") || !strings.Contains(res.Header.Get("DAV"), "webdav-push") {
		t.Fatalf("subscribe: %d %v %s", res.StatusCode, res.Header, body)
	}
	rename := func(to string) {
		t.Helper()
		if err := box.Calendar().Change(ids["Review"], func(e *graphsim.Event) { e.Subject = to }); err != nil {
			t.Fatal(err)
		}
	}
	rename("Renamed")
	select {
	case h := <-got:
		if h.Get("Content-Encoding") != "aes128gcm" || !strings.HasPrefix(h.Get("Authorization"), "vapid t=") || h.Get("TTL") == "" {
			t.Errorf("message with %v", h)
		}
	case <-time.After(time.Until(patience(t))):
		t.Fatal("no message")
	}
	if res, _ := s.send(t, "DELETE", strings.TrimPrefix(location, s.url), ""); res.StatusCode != 204 {
		t.Errorf("unsubscribe: %d", res.StatusCode)
	}
	rename("Renamed again")
	s.nextRound(t)
	s.end(syscall.SIGTERM)
	if len(got) != 0 {
		t.Error("told after it unsubscribed")
	}
}

// send makes one request with the app password.
func (s *served) send(t *testing.T, method, path, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(s.user, s.password)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}
