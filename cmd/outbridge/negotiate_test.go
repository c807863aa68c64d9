package main

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// TestNegotiation: an object and a feed give the same answer to the same conditions (RFC 9110 §13), whatever clients and
// proxies make of an entity tag, and read Accept-Encoding by one rule. $TAG is the entity tag without quotes.
func TestNegotiation(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box, _ := officeWeek(sim)
	start := time.Now().AddDate(0, 0, 1)
	box.Calendar().Create(graphsim.Event{Subject: "Long", Start: start, End: start.Add(time.Hour), Body: "<p>" + strings.Repeat("agenda ", 400) + "</p>"})
	s := serveFor(t, newOutlook(t, sim, box))
	eventually(t, "the first round", func() bool { return strings.Contains(s.body(t, s.feed), "SUMMARY:School play") })

	_, listing := fetch(t, "PROPFIND", s.url+"/dav/calendars/alice/calendar/", s.user, s.password)
	i := slices.IndexFunc(objectHref.FindAllString(listing, -1), func(href string) bool { return strings.Contains(s.body(t, s.url+href), "SUMMARY:Long") })
	if i < 0 {
		t.Fatalf("the object is not listed:\n%s", listing)
	}
	resources := map[string]string{"object": s.url + objectHref.FindAllString(listing, -1)[i], "feed": s.feed}
	ask := func(method, url string, header http.Header) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(s.user, s.password)
		maps.Copy(req.Header, header)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	const early, late = "Sat, 01 Aug 2020 12:00:00 GMT", "Thu, 01 Aug 2120 12:00:00 GMT"
	for _, c := range []struct {
		headers string
		want    int
	}{
		{`If-None-Match: "$TAG"`, 304},
		{`If-None-Match: W/"$TAG"`, 304},
		{`If-None-Match: w/"$TAG"`, 304},
		{`If-None-Match: $TAG`, 304},
		{`If-None-Match: \"$TAG\"`, 304},
		{`If-None-Match: "$TAG-gzip"`, 304},
		{`If-None-Match: W/"$TAG-gzip"`, 304},
		{`If-None-Match: "$TAG"-gzip`, 304},
		{`If-None-Match: "$TAG--gzip"`, 304},
		{`If-None-Match: "$TAG-br"`, 304},
		{`If-None-Match: "$TAG-zstd"`, 304},
		{`If-None-Match: "$TAG;gz"`, 304},
		{`If-None-Match: "$TAG;br"`, 304},
		{`If-None-Match: "other", "$TAG"`, 304},
		{`If-None-Match: "a,b" , W/"$TAG-zstd"`, 304},
		{`If-None-Match: *`, 304},
		{`If-None-Match: "other"`, 200},
		{`If-None-Match: ""`, 200},
		{`If-None-Match: "$TAG0"`, 200},
		{`If-None-Match: "other"|If-Modified-Since: $MODIFIED`, 200},
		{`If-None-Match: "$TAG"|If-Modified-Since: ` + early, 304},
		{`If-None-Match: |If-Modified-Since: $MODIFIED`, 304},
		{`If-Match: "$TAG"`, 200},
		{`If-Match: W/"$TAG-gzip"`, 200},
		{`If-Match: *`, 200},
		{`If-Match: "other"`, 412},
		{`If-Match: "other", $TAG`, 200},
		{`If-Match: "$TAG"|If-None-Match: "$TAG"`, 304},
		{`If-Match: "other"|If-None-Match: "$TAG"`, 412},
		{`If-Modified-Since: $MODIFIED`, 304},
		{`If-Modified-Since: ` + early, 200},
		{`If-Modified-Since: ` + late, 304},
		{`If-Modified-Since: nonsense`, 200},
		{`If-Unmodified-Since: $MODIFIED`, 200},
		{`If-Unmodified-Since: ` + early, 412},
		{`If-Unmodified-Since: ` + late, 200},
		{`If-Unmodified-Since: nonsense`, 200},
		{`If-Match: "$TAG"|If-Unmodified-Since: ` + early, 200},
	} {
		for name, url := range resources {
			// Each coding of a feed has a tag of its own, and Go's client would ask for gzip where it reads an answer.
			plain := ask("GET", url, http.Header{"Accept-Encoding": {"identity"}}).Header
			for _, method := range []string{"GET", "HEAD"} {
				header := http.Header{"Accept-Encoding": {"identity"}}
				for line := range strings.SplitSeq(c.headers, "|") {
					key, value, _ := strings.Cut(line, ": ")
					header.Set(key, strings.NewReplacer("$TAG", strings.Trim(plain.Get("ETag"), `"`), "$MODIFIED", plain.Get("Last-Modified")).Replace(value))
				}
				got := ask(method, url, header)
				if got.StatusCode != c.want || c.want == 304 && (got.Header.Get("ETag") != plain.Get("ETag") || got.ContentLength > 0) {
					t.Errorf("%s of the %s with %s: %s, want %d", method, name, c.headers, got.Status, c.want)
				}
			}
		}
	}
	for accept, want := range map[string]string{
		"identity": "", "gzip": "gzip", "GZIP": "gzip", "x-gzip": "gzip", "br, unknown": "", "deflate, gzip;q=0.5": "gzip",
		"gzip;q=0": "", "gzip;q=0.0, *": "", "*": "gzip", "*;q=0": "", "*;q=0, gzip": "gzip", "identity;q=0": "", "identity;q=0, *": "gzip",
		"identity;q=0, gzip;q=0.1": "gzip", "identity;q=0.5, gzip;q=0.4": "", "identity, gzip": "gzip", "gzip;q=high": "", "gzip ; q = 0.2": "gzip",
	} {
		for name, url := range resources {
			got := ask("GET", url, http.Header{"Accept-Encoding": {accept}})
			want := want
			if name == "object" { // whose tag is the same for everybody
				want = ""
			}
			if got.StatusCode != 200 || got.Header.Get("Content-Encoding") != want || !slices.Contains(got.Header.Values("Vary"), "Accept-Encoding") {
				t.Errorf("the %s with Accept-Encoding %q: %s with Content-Encoding %q, want %q", name, accept, got.Status, got.Header.Get("Content-Encoding"), want)
			}
		}
	}
}
