package caldav_test

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"outbridge/caldav"
)

// escaped is what an object's octets are to be as XML, told slowly. Lines are of who gets an answer as it is: they end in LF.
func escaped(data string, lines bool) string {
	if lines {
		data = strings.ReplaceAll(data, "\r\n", "\n")
	}
	var b strings.Builder
	for data != "" {
		r, size := utf8.DecodeRuneInString(data)
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '\r':
			b.WriteString("&#13;")
		case r == utf8.RuneError && size == 1, r == 0xFFFE, r == 0xFFFF, r < 0x20 && r != '\t' && r != '\n':
			b.WriteString("\uFFFD")
		default:
			b.WriteString(data[:size])
		}
		data = data[size:]
	}
	return b.String()
}

// TestObjectAsText: every octet of an object comes out of the XML of an answer as it is to be, wherever it stands.
func TestObjectAsText(t *testing.T) {
	pieces := []string{"a", "SUMMARY:Meeting", strings.Repeat("x", 70), "\r\n", "\r\n", "\r", "\n", "\t", "<", ">", "&", "=", "?", "'", "\x00", "\x1f", "\x7f", "\x80",
		"\xff", "\xef", "\xef\xbf", "\xed\xa0\x80", "\uFFFD", "\uFFFE", "\uFFFF", "é", "漢字", "😀"}
	check := func(t rapid.TB, data string) {
		t.Helper()
		m := &memory{}
		m.add(caldav.Calendar{Name: "work", DisplayName: "Work"})
		m.publish("work", "one.ics", data)
		h := &caldav.Handler{Backend: m, Log: slog.New(slog.DiscardHandler)}
		for _, coding := range []string{"identity", "gzip"} {
			r := httptest.NewRequest("REPORT", workPath, strings.NewReader(multigetBody(workPath+"one.ics")))
			r.SetBasicAuth("alice", "secret")
			r.Header.Set("Accept-Encoding", coding)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			_, got, _ := strings.Cut(w.Body.String(), "<C:calendar-data>")
			got, _, _ = strings.Cut(got, "</C:calendar-data>")
			if want := escaped(data, coding == "identity"); got != want {
				t.Fatalf("%s: %q is %q, want %q", coding, data, got, want)
			}
		}
	}
	for c := range 256 {
		var places strings.Builder
		for before := range 16 {
			places.WriteString(strings.Repeat("a", before) + string([]byte{byte(c)}) + "aaaaaaaa")
		}
		check(t, places.String())
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 60).Draw(t, "data"), ""))
	})
}
