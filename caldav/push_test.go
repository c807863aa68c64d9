package caldav_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"outbridge/caldav"
)

// pushing is a memory that also keeps subscriptions.
type pushing struct {
	*keeping
	off   bool
	err   error // what PushRegister returns
	kept  map[string]caldav.PushSubscription
	owner map[string]string
}

var _ caldav.PushBackend = (*pushing)(nil)

const pushKey = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"

func newPushing() *pushing {
	return &pushing{keeping: &keeping{memory: fixture()}, kept: map[string]caldav.PushSubscription{}, owner: map[string]string{}}
}

func (p *pushing) PushKey(context.Context) ([]byte, error) {
	if p.off {
		return nil, nil
	}
	return base64.RawURLEncoding.DecodeString(pushKey)
}

func (p *pushing) PushTopic(c caldav.Calendar) string { return "topic-" + c.Name }

func (p *pushing) PushRegister(_ context.Context, u caldav.Principal, c caldav.Calendar, s caldav.PushSubscription) (caldav.PushRegistration, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return caldav.PushRegistration{}, false, fmt.Errorf("register: %w", p.err)
	}
	for id, have := range p.kept {
		if have.Endpoint == s.Endpoint {
			p.kept[id] = s
			return caldav.PushRegistration{ID: id, Expires: s.Expires}, false, nil
		}
	}
	id := fmt.Sprintf("r%d", len(p.kept)+1)
	p.kept[id], p.owner[id] = s, u.Name
	return caldav.PushRegistration{ID: id, Expires: s.Expires}, true, nil
}

func (p *pushing) PushUnregister(_ context.Context, u caldav.Principal, id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owner[id] != u.Name {
		return caldav.ErrNotFound
	}
	delete(p.kept, id)
	delete(p.owner, id)
	return nil
}

func TestPushClients(t *testing.T) {
	for _, name := range []string{"davx5", "kde"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata/push", name+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			b := newPushing()
			s := serveHandler(t, &caldav.Handler{Backend: b, Log: testLog(t), TimeZone: berlin,
				Now:   func() time.Time { return time.Date(2026, 8, 10, 0, 0, 0, 0, time.UTC) },
				HTTPS: func(r *http.Request) bool { return r.Header.Get("X-Forwarded-Proto") == "https" }}) // as who is in front decides
			p := &player{s: s, m: b.memory, vars: map[string]string{"SERVER": s.url, "HOST": strings.TrimPrefix(s.url, "http://")}}
			p.play(t, strings.Split(string(text), "\n"))
		})
	}
}

const (
	pushKeys = `<subscription-public-key type="p256dh">` + pushKey + `</subscription-public-key><auth-secret>BTBZMqHH6r4Tts7J_aSIgg</auth-secret>`
	pushBody = `<push-resource>https://push.example/x</push-resource>` + pushKeys
)

// register wraps what is inside a web-push-subscription.
func register(subscription, rest string) string {
	return `<push-register xmlns="https://bitfire.at/webdav-push" xmlns:D="DAV:"><subscription><web-push-subscription>` + subscription +
		`</web-push-subscription></subscription>` + rest + `</push-register>`
}

func TestPushRegister(t *testing.T) {
	b := newPushing()
	s := serve(t, b)
	for _, c := range []struct {
		name, body string
		status     int
		want       string // in the body
	}{
		{"trigger", register(pushBody, `<trigger><content-update><D:depth>1</D:depth></content-update></trigger>`), 201, ""},
		{"no expiry", register(pushBody, ""), 204, ""},
		{"other order", register(pushKeys+`<push-resource> https://push.example/y </push-resource>`, ""), 201, ""},
		{"standard base64", register(`<push-resource>https://push.example/z</push-resource><subscription-public-key>`+strings.NewReplacer("-", "+", "_", "/").Replace(pushKey)+`=</subscription-public-key><auth-secret>BTBZMqHH6r4Tts7J/aSIgg==</auth-secret>`, ""), 201, ""},
		{"properties only", register(pushBody, `<trigger><property-update><D:depth>0</D:depth></property-update></trigger>`), 403, "no-supported-trigger"},
		{"empty trigger", register(pushBody, `<trigger/>`), 403, "no-supported-trigger"},
		{"no subscription", `<push-register xmlns="https://bitfire.at/webdav-push"/>`, 403, "invalid-subscription"},
		{"other transport", `<push-register xmlns="https://bitfire.at/webdav-push"><subscription><pigeon/></subscription></push-register>`, 403, "invalid-subscription"},
		{"no endpoint", register(pushKeys, ""), 403, "invalid-subscription"},
		{"no keys", register(`<push-resource>https://push.example/x</push-resource>`, ""), 403, "invalid-subscription"},
		{"key off the curve", register(strings.Replace(pushBody, "BCV", "BCW", 1), ""), 403, "invalid-subscription"},
		{"key of another kind", register(strings.Replace(pushBody, "p256dh", "x25519", 1), ""), 403, "invalid-subscription"},
		{"short secret", register(strings.Replace(pushBody, "BTBZMqHH6r4Tts7J_aSIgg", "BTBZ", 1), ""), 403, "invalid-subscription"},
		{"no base64", register(strings.Replace(pushBody, "BTBZMqHH6r4Tts7J_aSIgg", "%%%", 1), ""), 403, "invalid-subscription"},
		{"old encoding", register(pushBody+`<content-encoding>aesgcm</content-encoding>`, ""), 403, "invalid-subscription"},
		{"relative endpoint", register(`<push-resource>/x</push-resource>`+pushKeys, ""), 403, "invalid-subscription"},
		{"no host", register(`<push-resource>https:///x</push-resource>`+pushKeys, ""), 403, "invalid-subscription"},
		{"file", register(`<push-resource>file:///etc/passwd</push-resource>`+pushKeys, ""), 403, "invalid-subscription"},
		{"password in endpoint", register(`<push-resource>https://a:b@push.example/</push-resource>`+pushKeys, ""), 403, "invalid-subscription"},
		{"control character", register(`<push-resource>https://push.example/&#13;&#10;X: y</push-resource>`+pushKeys, ""), 403, "invalid-subscription"},
		{"long endpoint", register(`<push-resource>https://push.example/`+strings.Repeat("x", 2048)+`</push-resource>`+pushKeys, ""), 403, "invalid-subscription"},
		{"bad date", register(pushBody, `<expires>tomorrow</expires>`), 400, "malformed P:expires"},
		{"other root", `<share xmlns="DAV:"/>`, 403, "need-privileges"},
		{"malformed", `<push-register`, 400, "malformed XML"},
		{"calendar data", "BEGIN:VCALENDAR\r\nEND:VCALENDAR", 403, "need-privileges"},
		{"nothing", "", 403, "need-privileges"},
	} {
		contentType := "application/xml"
		if c.name == "calendar data" {
			contentType = "text/calendar"
		}
		a := s.do("POST", workPath, c.body, "Content-Type: "+contentType)
		if a.StatusCode != c.status || !strings.Contains(a.body, c.want) {
			t.Errorf("%s: %d, want %d and %s\n%s", c.name, a.StatusCode, c.status, c.want, a.body)
		}
		if c.status == 403 && !strings.HasPrefix(a.body, `<?xml version="1.0" encoding="utf-8"?>`+"\n"+`<D:error xmlns:D="DAV:"`) {
			t.Errorf("%s: %s", c.name, a.body)
		}
	}
	if len(b.kept) != 3 {
		t.Errorf("kept: %v", b.kept)
	}
	for id, k := range b.kept {
		if base64.RawURLEncoding.EncodeToString(k.PublicKey) != pushKey || len(k.Auth) != 16 {
			t.Errorf("%s: %v", id, k)
		}
	}
	for _, path := range []string{"/", "/dav/", "/dav/principals/alice/", "/dav/calendars/alice/", "/dav/calendars/alice/work/single.ics"} {
		if a := s.do("POST", path, register(pushBody, "")); a.StatusCode != 403 || !strings.Contains(a.body, "push-not-available") {
			t.Errorf("POST %s: %d %s", path, a.StatusCode, a.body)
		}
	}
	if a := s.do("POST", "/dav/calendars/alice/none/", register(pushBody, "")); a.StatusCode != 404 {
		t.Errorf("no such calendar: %d", a.StatusCode)
	}
	for _, err := range []struct {
		error
		code string
	}{{caldav.ErrPushSubscription, "invalid-subscription"}, {caldav.ErrPushUnavailable, "push-not-available"}} {
		b.err = err.error
		if a := s.do("POST", workPath, register(pushBody, "")); a.StatusCode != 403 || !strings.Contains(a.body, err.code) || a.Header.Get("Location") != "" {
			t.Errorf("%v: %d %s", err, a.StatusCode, a.body)
		}
	}
}

// Without push nothing looks as though there were any.
func TestPushOff(t *testing.T) {
	off := newPushing()
	off.off = true
	for name, b := range map[string]caldav.Backend{"off": off, "none": fixture()} {
		s := serve(t, b)
		if a := s.do("OPTIONS", workPath, ""); strings.Contains(a.Header.Get("DAV"), "push") {
			t.Errorf("%s: DAV: %s", name, a.Header.Get("DAV"))
		}
		a := s.do("PROPFIND", workPath, `<propfind xmlns="DAV:"><prop><P:transports xmlns:P="https://bitfire.at/webdav-push"/><P:topic xmlns:P="https://bitfire.at/webdav-push"/></prop></propfind>`, "Depth: 0")
		if !strings.Contains(a.body, `<P:transports xmlns:P="https://bitfire.at/webdav-push"/><P:topic xmlns:P="https://bitfire.at/webdav-push"/></D:prop><D:status>HTTP/1.1 404`) {
			t.Errorf("%s: %s", name, a.body)
		}
		if a := s.do("PROPFIND", workPath, `<propfind xmlns="DAV:"><propname/></propfind>`, "Depth: 0"); strings.Contains(a.body, "push") {
			t.Errorf("%s: %s", name, a.body)
		}
		if a := s.do("POST", workPath, register(pushBody, ""), "Content-Type: application/xml"); a.StatusCode != 403 {
			t.Errorf("%s: POST %d", name, a.StatusCode)
		}
		if a := s.do("DELETE", "/dav/push/r1", ""); a.StatusCode != 404 {
			t.Errorf("%s: DELETE %d", name, a.StatusCode)
		}
	}
}

// The order to tell nobody of a write (Push-Dont-Notify) comes with writes, which are refused as without it.
func TestPushDontNotify(t *testing.T) {
	s := serve(t, newPushing())
	for _, value := range []string{"*", `"https://push.example/r1", "x"`, `"`} {
		if a := s.do("PUT", workPath+"new.ics", "BEGIN:VCALENDAR", "Push-Dont-Notify: "+value); a.StatusCode != 403 || !strings.Contains(a.body, "need-privileges") {
			t.Errorf("%s: %d %s", value, a.StatusCode, a.body)
		}
	}
}

// TestPushOrigin: without a PublicURL, who is in front says whether the client speaks https, and no header does.
func TestPushOrigin(t *testing.T) {
	for scheme, https := range map[string]func(*http.Request) bool{
		"http": nil, "https": func(*http.Request) bool { return true },
	} {
		s := serveHandler(t, &caldav.Handler{Backend: newPushing(), Log: testLog(t), HTTPS: https})
		want := scheme + strings.TrimPrefix(s.url, "http") + "/dav/push/r1"
		if a := s.do("POST", workPath, register(pushBody, ""), "X-Forwarded-Proto: https"); a.Header.Get("Location") != want {
			t.Errorf("Location: %s, want %s", a.Header.Get("Location"), want)
		}
	}
}

func TestPushPublicURL(t *testing.T) {
	b := newPushing()
	s := serveHandler(t, &caldav.Handler{Backend: b, Log: testLog(t), PublicURL: "https://calendar.example.com",
		Now: func() time.Time { return time.Date(2026, 8, 10, 0, 0, 0, 0, time.UTC) }})
	if a := s.do("POST", workPath, register(pushBody, "")); a.Header.Get("Location") != "https://calendar.example.com/dav/push/r1" {
		t.Errorf("Location: %s", a.Header.Get("Location"))
	}
}

func FuzzPushRegister(f *testing.F) {
	f.Add(register(pushBody, `<trigger><content-update/></trigger><expires>Thu, 13 Aug 2026 00:00:00 GMT</expires>`))
	f.Add(register(pushBody+`<content-encoding>aesgcm</content-encoding>`, `<trigger/>`))
	f.Add(register(`<push-resource>https://[::1%25x]/</push-resource>`+pushKeys, ""))
	f.Fuzz(func(t *testing.T, body string) {
		b := newPushing()
		req := httptest.NewRequest("POST", workPath, strings.NewReader(body))
		req.SetBasicAuth("alice", "secret")
		w := httptest.NewRecorder()
		(&caldav.Handler{Backend: b, Log: slog.New(slog.DiscardHandler)}).ServeHTTP(w, req)
		if (w.Code == http.StatusCreated) != (len(b.kept) == 1) || w.Code >= 500 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		for _, s := range b.kept {
			if u, err := url.Parse(s.Endpoint); err != nil || u.Host == "" || len(s.PublicKey) != 65 || len(s.Auth) != 16 {
				t.Fatalf("kept %+v", s)
			}
		}
	})
}

func TestPushMessage(t *testing.T) {
	got := string(caldav.PushMessage("a&b", caldav.Token{Epoch: "e", Rev: 7}))
	want := `<?xml version="1.0" encoding="UTF-8"?>
<P:push-message xmlns:P="https://bitfire.at/webdav-push" xmlns:D="DAV:"><P:topic>a&amp;b</P:topic><P:content-update><D:sync-token>urn:outbridge:sync:e:7</D:sync-token></P:content-update></P:push-message>`
	if got != want {
		t.Errorf("%s", got)
	}
}
