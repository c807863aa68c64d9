//go:build interop

package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// notCalendar are the tests of litmus that a calendar collection cannot pass, and why: by their suite and number, since litmus leaves out
// names after a warning.
var notCalendar = map[string]string{
	"basic 3":     octets,
	"basic 4":     octets,
	"basic 9":     collections, // a DELETE with a fragment
	"basic 10":    collections,
	"basic 14":    collections,
	"copymove 3":  uid,
	"copymove 4":  uid,
	"copymove 7":  collections,
	"copymove 8":  collections,
	"copymove 9":  "an event is not put in place of another, which Outlook would have to delete; the renaming before that is done",
	"copymove 10": collections,
}

const (
	octets      = "the octets are those of Outlook's event, not of the client"
	collections = "a calendar has no collections in it (RFC 4791, section 4.2)"
	uid         = "a calendar does not have two objects of one UID (RFC 4791, section 5.3.2.1)"
)

// TestLitmus runs the WebDAV test suite litmus on a calendar. It writes texts to any name and makes collections, which a calendar does not
// take: a proxy in front makes an event of each text, gives it the ending .ics, and answers for litmus/, which all is in, and for
// two collections that are there for tests of something else. Locks are not offered, so those tests skip themselves.
func TestLitmus(t *testing.T) {
	t.Parallel()
	w := newWriting(t, "outlook")
	proxy := httptest.NewServer(litmusProxy(w.url, w.home+"calendar/"))
	t.Cleanup(proxy.Close)
	ends := regexp.MustCompile(`\.+ (pass|FAIL|SKIPPED)(.*)`)
	for _, suite := range []string{"basic", "copymove", "http", "locks"} {
		out, _, _ := w.try("", "env", "-C", w.clients.home, "TESTS="+suite, "litmus", "-k", proxy.URL+"/", w.user, w.password)
		n, passed := -1, 0
		for line := range strings.SplitSeq(strings.ReplaceAll(out, "\r", "\n"), "\n") {
			m := ends.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			n++
			name := fmt.Sprint(suite, " ", n)
			switch {
			case m[1] == "FAIL" && notCalendar[name] == "":
				t.Errorf("%s: %s", name, m[2])
			case m[1] == "pass" && notCalendar[name] != "":
				t.Errorf("%s passes, though %s", name, notCalendar[name])
			case m[1] == "pass":
				passed++
			}
		}
		t.Logf("%s: %d tests pass", suite, passed)
	}
	w.good("litmus")
}

// litmusProxy is in front of a calendar.
func litmusProxy(server, calendar string) http.Handler {
	to, _ := url.Parse(server)
	name := func(path string) string {
		path = strings.TrimPrefix(path, "/litmus/")
		if path == "" || strings.HasSuffix(path, "/") {
			return calendar + path
		}
		return calendar + path + ".ics"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		switch {
		case r.Method == "MKCOL" && (r.URL.Path == "/litmus/" || r.URL.Path == "/litmus/copycoll/" || r.URL.Path == "/litmus/movecoll/"):
			w.WriteHeader(http.StatusCreated)
			return
		case r.URL.Path == "/litmus/" && r.Method == "DELETE":
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if r.Method == "PUT" {
			body = fmt.Appendf(nil, "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//litmus//EN\r\nBEGIN:VEVENT\r\nUID:%x\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20261218T100000Z\r\nSUMMARY:%x\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
				sha256.Sum256([]byte(r.URL.Path)), sha256.Sum256(body))
			r.Header.Set("Content-Type", "text/calendar")
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		if d, err := url.Parse(r.Header.Get("Destination")); err == nil && r.Header.Get("Destination") != "" {
			d.Scheme, d.Host, d.Path, d.RawPath = to.Scheme, to.Host, name(d.Path), ""
			r.Header.Set("Destination", d.String())
		}
		(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.URL.Path, p.Out.URL.RawPath = name(r.URL.Path), ""
			if r.URL.Path == "/" {
				p.Out.URL.Path = calendar
			}
		}}).ServeHTTP(w, r)
	})
}
