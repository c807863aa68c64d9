package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/web"
)

// TestServerLog: troubles of the server show at the default level with their cause, once a minute, however many clients
// make them; what clients do all day does not.
func TestServerLog(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := defaultConfig()
	log := serverLog(c.logger(&b, slog.LevelInfo), func() time.Time { return now })
	for message, level := range map[string]string{
		"http: Accept error: accept tcp 127.0.0.1:8080: accept4: too many open files; retrying in 5ms":                         "ERROR",
		"http: panic serving 192.0.2.7:4711: runtime error: index out of range [5]\ngoroutine 7 [running]:\nmain.main()":       "ERROR",
		"http: TLS handshake error from 192.0.2.7:4711: remote error: tls: unknown certificate authority":                      "WARN",
		"http: TLS handshake error from [2001:db8::7]:4711: tls: client offered only unsupported versions: [302 301]":          "WARN",
		"http: TLS handshake error from 192.0.2.7:4711: client sent an HTTP request to an HTTPS server":                        "WARN",
		"http: TLS handshake error from 192.0.2.7:4711: EOF":                                                                   "",
		"http: TLS handshake error from 192.0.2.7:4711: read tcp 10.0.0.1:443->192.0.2.7:4711: read: connection reset by peer": "",
		"http2: server: error reading preface from client 192.0.2.7:4711: timeout waiting for client preface":                  "",
	} {
		b.Reset()
		for range 3 {
			log.Print(message)
		}
		text := b.String()
		if level == "" && text != "" || level != "" && (strings.Count(text, "level="+level) != 1 || strings.Count(text, "\n") != 1) {
			t.Errorf("%s:\n%s", message, text)
		}
		cause, _, _ := strings.Cut(message, "\n")
		if cause = cause[strings.LastIndex(cause, ": ")+2:]; level != "" && !strings.Contains(text, cause) {
			t.Errorf("%s: without its cause:\n%s", message, text)
		}
	}
	// Another address or delay is no other cause.
	b.Reset()
	for i := range 1000 {
		log.Printf("http: Accept error: accept tcp 127.0.0.1:8080: accept4: too many open files; retrying in %dms", i)
		log.Printf("http: TLS handshake error from 192.0.2.%d:%d: remote error: tls: bad certificate", i%250, 1000+i)
	}
	if text := b.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "bad certificate") {
		t.Errorf("in the same minute:\n%s", text)
	}
	b.Reset()
	now = now.Add(quietTime)
	log.Print("http: Accept error: accept tcp 127.0.0.1:8080: accept4: too many open files; retrying in 1s")
	if text := b.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "more=1002") {
		t.Errorf("a minute later:\n%s", text)
	}
}

// TestLogWithoutSecrets: what the bridge gives out as a secret is in no line, whatever it got into.
func TestLogWithoutSecrets(t *testing.T) {
	t.Parallel()
	const secret = "abcdefghijklmnopqrstuvwx23"
	for _, format := range []string{"text", "json"} {
		var b bytes.Buffer
		c := defaultConfig()
		c.LogFormat = format
		log := c.logger(&b, slog.LevelInfo)
		for _, value := range []any{
			secret, "/feeds/" + secret + ".ics", errors.New("open /feeds/" + secret + ": no such file"), fmt.Errorf("alice:%s@", secret),
			[]string{"x", secret}, "https://calendar.example.com/feeds/" + secret + ".ics?x=" + secret,
		} {
			log.Warn("trouble with /profile/"+secret+".mobileconfig", "user", value)
			log.With("path", value).WithGroup("g").Error("trouble", "err", value)
		}
		if text := b.String(); strings.Contains(text, secret) || strings.Count(text, "…") < 18 {
			t.Errorf("%s", text)
		}
		b.Reset()
		log.Info("fine", "event", "AAMkA5hB8PX00gqSK5S8YxEw0cLC4abcdefghijklmnopqrstuvwx23x", "path", "/dav/calendars/alice/calendar/")
		if strings.Contains(b.String(), "…") {
			t.Errorf("blotted out for nothing: %s", b.String())
		}
	}
}

// TestFilter: the fail2ban filter of the docs matches what is logged, in both formats, and no line that a client can write
// into.
func TestFilter(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, ini, ok := strings.Cut(string(docs), "failregex = ")
	ini, _, _ = strings.Cut(ini, "\njournalmatch")
	var filter []*regexp.Regexp
	for line := range strings.Lines(ini) {
		filter = append(filter, regexp.MustCompile(strings.ReplaceAll(strings.TrimSpace(line), "<ADDR>", `([0-9a-f.:]+)`)))
	}
	if !ok || len(filter) != 2 {
		t.Fatalf("the filter is %q", ini)
	}
	match := func(line string) (address string) {
		for _, f := range filter {
			if m := f.FindStringSubmatch(line); m != nil {
				address = m[1]
			}
		}
		return address
	}
	forged := "x level=WARN msg=\"sign-in refused\" address=198.51.100.1 part=\n\"level\":\"WARN\",\"msg\":\"sign-in refused\",\"address\":\"198.51.100.1\",\"part\":"
	for _, format := range []string{"text", "json"} {
		var b bytes.Buffer
		c := defaultConfig()
		c.LogFormat = format
		log := c.logger(&b, slog.LevelInfo)
		for peer, want := range map[string]string{"192.0.2.7:1": "192.0.2.7", "[2001:db8::7]:1": "2001:db8::7"} {
			for _, user := range []string{"alice", "", forged, strings.Repeat("x", 10_000), "\xff\x00"} {
				e := &web.Edge{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { web.RefusedSignIn(log, r, "feed", user) })}
				r := httptest.NewRequestWithContext(context.Background(), "GET", "/feeds/x.ics", nil)
				r.RemoteAddr = peer
				b.Reset()
				e.ServeHTTP(httptest.NewRecorder(), r)
				for _, line := range []string{b.String(), "host outbridge[7]: " + b.String()} {
					if got := match(line); got != want || strings.Count(line, "\n") != 1 || len(line) > 600 {
						t.Errorf("%s is not of %s but of %q", line, want, got)
					}
				}
			}
		}
		b.Reset()
		log.Error("request refused", "path", forged, "err", errors.New(forged))
		if got := match(b.String()); got != "" {
			t.Errorf("forged for %s: %s", got, b.String())
		}
	}
}
