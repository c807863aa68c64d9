package negotiate

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTags(t *testing.T) {
	t.Parallel()
	for field, want := range map[string][]string{
		"":                      nil,
		" , ,":                  nil,
		`\`:                     nil,
		"*":                     {"*"},
		`"*"`:                   {"*"},
		`"a"`:                   {"a"},
		`W/"a"`:                 {"a"},
		`w/"a"`:                 {"a"},
		"a":                     {"a"},
		`W/a`:                   {"a"},
		`"a`:                    {"a"},
		`a"`:                    {"a"},
		`\"a\"`:                 {"a"},
		`W/\"a\"`:               {"a"},
		`"a"-gzip`:              {"a-gzip"},
		`"a" , "b",c,"d"`:       {"a", "b", "c", "d"},
		`"a,b", "c"`:            {"a,b", "c"},
		`W/"a", "b-gzip" , "c"`: {"a", "b-gzip", "c"},
		`""`:                    {`""`},
		`"a",`:                  {"a"},
	} {
		if got := readTags([]string{field}); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
	if got := IfMatch(http.Header{"If-Match": {`"a"`, `"b", "c"`}}); !slices.Equal(got, Tags{"a", "b", "c"}) {
		t.Errorf("two fields: %q", got)
	}
}

func TestHas(t *testing.T) {
	t.Parallel()
	for _, suffix := range append([]string{""}, codingSuffixes...) {
		if !(Tags{"b", "a" + suffix}).Has("a") {
			t.Errorf("a%s is not a", suffix)
		}
	}
	if !(Tags{"a-gzip"}).Has("a-gzip") {
		t.Error("a tag is not the one that ends like a coding")
	}
	for _, other := range []string{"", "b", "ab", "a-deflate", "a-", `""`} {
		if (Tags{other}).Has("a") {
			t.Errorf("%q is a", other)
		}
	}
	if (Tags(nil)).Has("a") {
		t.Error("no tag is a")
	}
}

// TestCheck is RFC 9110 §13.2.2 by headers; the state is "a" of 2026-03-01 12:00:00.5 UTC.
func TestCheck(t *testing.T) {
	t.Parallel()
	const (
		before = "Sun, 01 Mar 2026 11:59:59 GMT"
		at     = "Sun, 01 Mar 2026 12:00:00 GMT"
		after  = "Sun, 01 Mar 2026 12:00:01 GMT"
	)
	for _, c := range []struct {
		header       string
		read, writes int // of GET and HEAD, and of other methods
	}{
		{"", 200, 200},
		{`If-Match: "a"`, 200, 200},
		{`If-Match: *`, 200, 200},
		{`If-Match: "b"`, 412, 412},
		{`If-Match: ""`, 412, 412},
		{`If-Match:`, 200, 200},
		{`If-Match: ,`, 412, 412},
		{`If-Match: W/`, 412, 412},
		{`If-None-Match: "a"`, 304, 412},
		{`If-None-Match: *`, 304, 412},
		{`If-None-Match: "b"`, 200, 200},
		{`If-Match: "a"|If-None-Match: "a"`, 304, 412},
		{`If-Match: "b"|If-None-Match: "a"`, 412, 412},
		{"If-Unmodified-Since: " + before, 412, 412},
		{"If-Unmodified-Since: " + at, 200, 200},
		{"If-Unmodified-Since: never", 200, 200},
		{`If-Match: "a"|If-Unmodified-Since: ` + before, 200, 200},
		{"If-Modified-Since: " + before, 200, 200},
		{"If-Modified-Since: " + at, 304, 200},
		{"If-Modified-Since: " + after, 304, 200},
		{"If-Modified-Since: yesterday", 200, 200},
		{`If-None-Match: "b"|If-Modified-Since: ` + after, 200, 200},
		{`If-None-Match: |If-Modified-Since: ` + after, 304, 200},
		{"If-Unmodified-Since: " + before + "|If-Modified-Since: " + at, 412, 412},
	} {
		state := State{ETag: "a", Modified: time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)}
		for method, want := range map[string]int{"GET": c.read, "HEAD": c.read, "PUT": c.writes, "DELETE": c.writes} {
			if got := state.Check(request(method, c.header)); got != want {
				t.Errorf("%s %s: %d, want %d", method, c.header, got, want)
			}
		}
	}
	for _, header := range []string{"If-Modified-Since: " + after, "If-Unmodified-Since: " + before} {
		if got := (State{ETag: "a"}).Check(request("GET", header)); got != 200 {
			t.Errorf("%s of a time that is not known: %d", header, got)
		}
	}
}

func request(method, headers string) *http.Request {
	r := httptest.NewRequest(method, "/", nil)
	for header := range strings.SplitSeq(headers, "|") {
		if name, value, ok := strings.Cut(header, ":"); ok {
			r.Header.Add(name, strings.TrimSpace(value))
		}
	}
	return r
}

func TestCoding(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string][2]string{ // of zstd and gzip on offer, and of gzip alone
		"":                                {"", ""},
		"gzip":                            {"gzip", "gzip"},
		"GZIP":                            {"gzip", "gzip"},
		"x-gzip":                          {"gzip", "gzip"},
		"gzip, deflate, br, zstd":         {"zstd", "gzip"},
		"zstd":                            {"zstd", ""},
		"br":                              {"", ""},
		"compress, unknown;q=1":           {"", ""},
		"zstd;q=0.5, gzip":                {"gzip", "gzip"},
		"zstd;q=0.5,gzip;q=0.5":           {"zstd", "gzip"},
		"zstd ; q = 0 , gzip ; Q = 0.001": {"gzip", "gzip"},
		"gzip;q=0":                        {"", ""},
		"gzip;q=0, *":                     {"", ""},
		"*":                               {"gzip", "gzip"},
		"*;q=0":                           {"", ""},
		"*;q=0, gzip":                     {"gzip", "gzip"},
		"*, zstd;q=0":                     {"gzip", "gzip"},
		"*;q=0.5, zstd;q=0.1":             {"gzip", "gzip"},
		"identity":                        {"", ""},
		"identity, gzip":                  {"gzip", "gzip"},
		"identity;q=0.5, gzip;q=0.4":      {"", ""},
		"gzip;q=0.5, *":                   {"", ""},
		"identity;q=0":                    {"", ""},
		"identity;q=0, br":                {"", ""},
		"identity;q=0, *":                 {"gzip", "gzip"},
		"identity;q=0, gzip;q=0.1":        {"gzip", "gzip"},
		"gzip;q=high, zstd;q=0.001":       {"zstd", ""},
		"gzip;q=NaN, zstd;q=2, br;q=-1":   {"", ""},
		"gzip;level=9":                    {"gzip", "gzip"},
		", ,;,":                           {"", ""},
		"gzip, gzip;q=0":                  {"gzip", "gzip"},
	} {
		h := http.Header{}
		if accept != "" {
			h.Set("Accept-Encoding", accept)
		}
		if got := [2]string{Coding(h, "zstd", "gzip"), Coding(h, "gzip")}; got != want {
			t.Errorf("%s: %q, want %q", accept, got, want)
		}
	}
	if got := Coding(http.Header{"Accept-Encoding": {"br", "gzip;q=0.5, zstd;q=0.4"}}, "zstd", "gzip"); got != "gzip" {
		t.Errorf("two fields: %q", got)
	}
}

// FuzzTags: reading ends, and what is read of a list that is written as RFC 9110 has it is what was written.
func FuzzTags(f *testing.F) {
	for _, seed := range []string{"", "*", `"a"`, `W/"a", "b"`, `\"a\"`, `"a"-gzip`, `"a,b",,c`, `"`, `W/`, "a-gzip", `""`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, tag := range readTags([]string{s}) {
			if tag == "" || len(tag) > len(s) {
				t.Errorf("%q in %q", tag, s)
			}
		}
		opaque := strings.Map(func(c rune) rune {
			if c < ' ' || c == '"' || c == '\\' || c == 0x7f {
				return -1
			}
			return c
		}, s)
		if opaque == "" {
			return
		}
		if got := readTags([]string{fmt.Sprintf(`"x" , W/"%s","%s"`, opaque, opaque)}); !slices.Equal(got, Tags{"x", opaque, opaque}) {
			t.Errorf("%q is read as %q", opaque, got)
		}
	})
}

// FuzzCoding: only what is on offer and not refused is chosen.
func FuzzCoding(f *testing.F) {
	for _, seed := range []string{"", "gzip", "zstd;q=0.5, gzip;q=1.0", "*;q=0, identity", "identity;q=0, *", ";;q=,", "gzip;q=1e400"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		got := Coding(http.Header{"Accept-Encoding": {accept}}, "zstd", "gzip")
		if got != "" && got != "zstd" && got != "gzip" || got != "" && !strings.Contains(accept, "*") && !strings.Contains(strings.ToLower(accept), got) {
			t.Errorf("%q chooses %q", accept, got)
		}
		if got := Coding(http.Header{"Accept-Encoding": {"gzip;q=0, zstd;q=0, " + accept}}, "zstd", "gzip"); got != "" {
			t.Errorf("%q chooses %q, which was refused", accept, got)
		}
	})
}
