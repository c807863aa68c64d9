package caldav_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"outbridge/caldav"
)

// ownHref is a path of the server's own, and none that clients guess, in a script.
var ownHref = regexp.MustCompile(`([ >"'(]|example\.com)/(dav|principals)/`)

// TestClientsBelowAPath plays the scripts of all clients to a server that they see below a path: every href in answers has it,
// and those in requests may.
func TestClientsBelowAPath(t *testing.T) {
	files, err := filepath.Glob("testdata/clients/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for line := range strings.Lines(string(text)) {
				if !strings.HasPrefix(line, "P: ") { // figures of what is not below a path
					lines = append(lines, ownHref.ReplaceAllString(strings.TrimSuffix(line, "\n"), "$1/o.k/$2/"))
				}
			}
			m := fixture()
			h := &caldav.Handler{Backend: &keeping{memory: m}, Log: testLog(t), Realm: `a "quoted" realm`, TimeZone: berlin, Zone: windows, Prefix: "/o.k",
				Now: func() time.Time { return time.Date(2026, 8, 10, 0, 0, 0, 0, time.UTC) }}
			s := serveHandler(t, h)
			s.client.Transport = stripping{s.client.Transport}
			(&player{s: s, m: m, vars: map[string]string{}}).play(t, lines)
		})
	}
}

// stripping takes the prefix away, as a proxy in front.
type stripping struct{ http.RoundTripper }

func (s stripping) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Path = strings.TrimPrefix(r.URL.Path, "/o.k")
	r.URL.RawPath = strings.TrimPrefix(r.URL.RawPath, "/o.k")
	return s.RoundTripper.RoundTrip(r)
}

// TestEveryHrefHasThePrefix sends every recorded request to everything.
func TestEveryHrefHasThePrefix(t *testing.T) {
	h := &caldav.Handler{Backend: &keeping{memory: fixture()}, Log: testLog(t), Prefix: "/a/b", PublicURL: "https://example.com"}
	s := serveHandler(t, h)
	href := regexp.MustCompile(`<(?:D:)?href[^>]*>([^<]*)<`)
	found := 0
	for _, method := range []string{"PROPFIND", "PROPPATCH", "REPORT", "MKCALENDAR", "DELETE", "MOVE"} {
		bodies := []string{""}
		if strings.HasPrefix(method, "PROP") || method == "REPORT" {
			bodies = recordedBodies(t, method)
		}
		for _, path := range davPaths {
			for _, body := range bodies {
				a := s.do(method, path, body, "Depth: 1", "Destination: /a/b/dav/calendars/alice/x/y.ics")
				if to := a.Header.Get("Location"); to != "" && to != "/a/b/dav/" {
					t.Errorf("%s %s: Location: %s", method, path, to)
				}
				for _, m := range href.FindAllStringSubmatch(a.body, -1) {
					asked := strings.Contains(body, m[1]) // a 404 tells what was asked for
					if !strings.HasPrefix(m[1], "/a/b/") && !strings.HasPrefix(m[1], "mailto:") && !asked {
						t.Fatalf("%s %s: %s\n%s", method, path, m[1], a.body)
					}
					found++
				}
			}
		}
	}
	if found < 100 {
		t.Errorf("%d hrefs", found)
	}
}
