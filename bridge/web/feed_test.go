package web_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/caldav/ics"
)

func TestFeedConditional(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.meeting("Review")
	s.round()
	url, _ := s.feed(bridge.Feed{Name: "Alice"})
	full := s.get(url)
	if full.StatusCode != 200 || !strings.HasPrefix(full.body, "BEGIN:VCALENDAR\r\n") || !strings.Contains(full.body, "SUMMARY:Review\r\n") {
		t.Fatalf("%s\n%s", full.Status, full.body)
	}
	tag, modified := full.Header.Get("ETag"), full.Header.Get("Last-Modified")
	inner := strings.Trim(tag, `"`)
	if !regexp.MustCompile(`^"[0-9a-f]{32}"$`).MatchString(tag) {
		t.Errorf("ETag: %s", tag)
	}
	last, err := http.ParseTime(modified)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		header, value string
		want          int
	}{
		{"If-None-Match", tag, 304},
		{"If-None-Match", "W/" + tag, 304},
		{"If-None-Match", `"` + inner + `-gzip"`, 304},
		{"If-None-Match", `W/"` + inner + `-gzip"`, 304},
		{"If-None-Match", `"` + inner + `;gz"`, 304},
		{"If-None-Match", `"` + inner + `-br"`, 304},
		{"If-None-Match", inner, 304},
		{"If-None-Match", `"other", ` + tag, 304},
		{"If-None-Match", "*", 304},
		{"If-None-Match", `"other"`, 200},
		{"If-None-Match", `"` + inner + `0"`, 200},
		{"If-None-Match", "", 200},
		{"If-Modified-Since", modified, 304},
		{"If-Modified-Since", last.Add(time.Hour).Format(http.TimeFormat), 304},
		{"If-Modified-Since", last.Add(-time.Second).Format(http.TimeFormat), 200},
		{"If-Modified-Since", "yesterday", 200},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			got := s.do(method, url, c.header, c.value)
			if got.StatusCode != c.want {
				t.Errorf("%s with %s: %s is answered %d, not %d", method, c.header, c.value, got.StatusCode, c.want)
			}
			if got.Header.Get("ETag") != tag || got.Header.Get("Last-Modified") != modified {
				t.Errorf("%s with %s: %s: validators %v", method, c.header, c.value, got.Header)
			}
			if got.StatusCode == 304 && (got.body != "" || got.Header.Get("Content-Type") != "") {
				t.Errorf("a 304 has a body or a type: %v", got.Header)
			}
		}
	}
	// If-None-Match takes precedence over If-Modified-Since (RFC 9110 §13.1.3).
	if got := s.get(url, "If-None-Match", `"other"`, "If-Modified-Since", modified); got.StatusCode != 200 {
		t.Errorf("another tag and the right date: %d", got.StatusCode)
	}
}

func TestFeedPacked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.meeting("Review")
	s.round()
	url, _ := s.feed(bridge.Feed{})
	plain := s.get(url)
	for accept, want := range map[string]string{
		"gzip": "gzip", "gzip, deflate, br": "gzip", "deflate, GZIP;q=0.5": "gzip", "*": "gzip",
		"identity": "", "br": "", "gzip;q=0": "", "gzip; q=0.0, br": "",
		"zstd": "zstd", "gzip, deflate, br, zstd": "zstd", "zstd;q=0.5, gzip": "gzip", "zstd;q=0, gzip;q=0.1": "gzip", "*, zstd;q=0": "gzip",
		"gzip;q=high, zstd;q=0.001": "zstd", "x-gzip": "gzip",
	} {
		got := s.get(url, "Accept-Encoding", accept)
		if got.Header.Get("Content-Encoding") != want || got.body != plain.body {
			t.Errorf("Accept-Encoding: %s: Content-Encoding %q, %d octets, not %d", accept, got.Header.Get("Content-Encoding"), len(got.body), len(plain.body))
		}
		if got.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding: %s: Vary %q", accept, got.Header.Get("Vary"))
		}
		head := s.do("HEAD", url, "Accept-Encoding", accept)
		if head.body != "" || head.StatusCode != 200 {
			t.Errorf("HEAD: %d with %d octets", head.StatusCode, len(head.body))
		}
		head.Header.Set("Date", got.Header.Get("Date"))
		if fmt.Sprint(head.Header) != fmt.Sprint(got.Header) || head.ContentLength != got.ContentLength || got.ContentLength <= 0 {
			t.Errorf("Accept-Encoding: %s: HEAD and GET differ:\n%v %d\n%v %d", accept, head.Header, head.ContentLength, got.Header, got.ContentLength)
		}
	}
}

func TestFeedRefusals(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.meeting("Review")
	url, feed := s.feed(bridge.Feed{})
	if !regexp.MustCompile(`^http://[^/]+/feeds/[a-z2-7]{26}\.ics$`).MatchString(url) {
		t.Errorf("address %s", url)
	}
	if got := s.get(url); got.StatusCode != 503 || got.Header.Get("Retry-After") == "" || got.Header.Get("ETag") != "" {
		t.Errorf("before the first sync: %s %v", got.Status, got.Header)
	}
	s.round()
	for _, method := range []string{"PUT", "POST", "DELETE", "PATCH", "PROPFIND", "REPORT"} {
		if got := s.do(method, url); got.StatusCode != 405 || got.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("%s: %s %v", method, got.Status, got.Header)
		}
	}
	if got := s.do("OPTIONS", url); got.StatusCode != 200 || got.Header.Get("Allow") != "GET, HEAD, OPTIONS" || got.Header.Get("DAV") != "" {
		t.Errorf("OPTIONS: %s %v", got.Status, got.Header)
	}
	for _, unknown := range []string{
		s.url + "/feeds/" + strings.Repeat("a", 26) + ".ics", strings.TrimSuffix(url, ".ics"), url + "/", url + ".ics",
		strings.ToUpper(url[len(url)-30:]), s.url + "/feeds/", s.url + "/feeds/.ics", s.url + "/feeds/%2e%2e%2f.ics",
	} {
		if !strings.HasPrefix(unknown, "http") {
			unknown = s.url + "/feeds/" + unknown
		}
		if got := s.get(unknown); got.StatusCode != 404 || strings.Contains(got.body, "VCALENDAR") {
			t.Errorf("GET %s: %s", unknown, got.Status)
		}
	}

	secret, err := s.store.RotateFeed(t.Context(), "alice", feed.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.get(url); got.StatusCode != 404 {
		t.Errorf("the address before the rotation: %s", got.Status)
	}
	if got := s.get(s.url + "/feeds/" + secret + ".ics"); got.StatusCode != 200 {
		t.Errorf("the address after the rotation: %s", got.Status)
	}
	if err := s.store.RemoveFeed(t.Context(), "alice", feed.ID); err != nil {
		t.Fatal(err)
	}
	if got := s.get(s.url + "/feeds/" + secret + ".ics"); got.StatusCode != 404 {
		t.Errorf("the address of a removed feed: %s", got.Status)
	}
}

// secrets are texts, in every field, that must not be in a feed of busy times.
var secrets = graphsim.Event{
	Subject: "Merger talks", Body: "<p>Price is 40 million</p>", Location: "Hotel Adlon, room 12",
	Organizer: graph.EmailAddress{Name: "Olga Organizer", Address: "olga@fabrikam.example"},
	Attendees: []graph.Attendee{{Type: "required", Status: graph.ResponseStatus{Response: "accepted"},
		EmailAddress: graph.EmailAddress{Name: "Bruno Buyer", Address: "bruno@buyer.example"}}},
	Categories: []string{"Project Falcon"}, JoinURL: "https://teams.microsoft.com/l/meetup-join/19%3asecret",
	ICalUID: "7E0A9F30-secret-uid", TransactionID: "transaction-secret",
	Extra: map[string]any{"webLink": "https://outlook.office365.com/owa/?itemid=secretitem", "bodyPreview": "Preview of it"},
}

func hidden(limited bool) []string {
	texts := []string{"40 million", "Olga", "olga@", "fabrikam", "Bruno", "bruno@", "buyer.example", "Project Falcon", "teams.microsoft.com",
		"secret", "Preview of it", "outlook.office365", "alice@contoso", "ATTENDEE", "ORGANIZER", "DESCRIPTION", "CATEGORIES", "URL", "X-MICROSOFT",
		"X-ALT", "VALARM", "CLASS", "Quarterly layoffs", "Clinic", "Calendar of secrets"}
	if !limited {
		texts = append(texts, "Merger", "Adlon", "LOCATION")
	}
	return texts
}

func TestFeedDetail(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cal := s.box.Calendar()
	cal.Rename("Calendar of secrets")
	e := secrets
	e.Start, e.End = at(1, 10), at(1, 11)
	cal.Create(e)
	e.ICalUID, e.Recurrence = "series-secret-uid", &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "daily", Interval: 1}}
	reminder := 10
	e.ReminderMinutes = &reminder
	series := cal.Create(e)
	day := at(3, 0).Format(time.DateOnly)
	if err := cal.ChangeOccurrence(series, day, func(e *graphsim.Event) { e.Start, e.Body = e.Start.Add(time.Hour), "40 million more" }); err != nil {
		t.Fatal(err)
	}
	e = secrets
	e.Subject, e.Location, e.Sensitivity, e.ICalUID = "Quarterly layoffs", "Clinic", "private", "private-secret-uid"
	e.Start, e.End = at(2, 0), at(3, 0)
	e.AllDay = true
	cal.Create(e)
	s.round()

	cals, err := s.store.Calendars(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	instants := map[string]string{}
	uids := map[string]string{}
	for _, detail := range []string{bridge.DetailFull, bridge.DetailLimited, bridge.DetailBusy} {
		url, _ := s.feed(bridge.Feed{Detail: detail, Calendars: []bridge.CalendarID{cals[0].ID}})
		got := s.get(url)
		text := strings.ReplaceAll(got.body, "\r\n ", "")
		if got.StatusCode != 200 {
			t.Fatalf("%s: %s", detail, got.Status)
		}
		parsed, err := ical.NewDecoder(strings.NewReader(got.body)).Decode()
		if err != nil {
			t.Fatalf("%s: %v", detail, err)
		}
		for _, c := range parsed.Children {
			if c.Name != ical.CompEvent {
				continue
			}
			for _, name := range []string{"DTSTART", "DTEND", "RRULE", "RECURRENCE-ID", "EXDATE", "TRANSP", "STATUS"} {
				for _, p := range c.Props.Values(name) {
					instants[detail] += fmt.Sprintln(name, p.Params, p.Value)
				}
			}
			uids[detail] += c.Props.Get("UID").Value + " "
		}
		if detail == bridge.DetailFull {
			for _, want := range []string{"Merger talks", "Adlon", "Olga", "40 million", "Project Falcon", "Clinic"} {
				if !strings.Contains(text, want) {
					t.Errorf("a full feed lacks %q", want)
				}
			}
			continue
		}
		head := fmt.Sprint(got.Header)
		for _, word := range hidden(detail == bridge.DetailLimited) {
			if strings.Contains(text, word) || strings.Contains(head, word) {
				t.Errorf("a feed with detail %s tells %q:\n%s", detail, word, text)
			}
		}
		if instants[detail] != instants[bridge.DetailFull] {
			t.Errorf("a feed with detail %s has other times:\n%s\nnot\n%s", detail, instants[detail], instants[bridge.DetailFull])
		}
	}
	for _, uid := range strings.Fields(uids[bridge.DetailBusy]) {
		if strings.Contains(uids[bridge.DetailFull], uid) || strings.Contains(uids[bridge.DetailLimited], uid) {
			t.Errorf("UID %s is the same in another feed", uid)
		}
	}
	// The series and its override share one UID.
	if list := strings.Fields(uids[bridge.DetailBusy]); len(list) != 4 || len(unique(list)) != 3 {
		t.Errorf("UIDs: %q", list)
	}
}

func unique(list []string) map[string]bool {
	m := map[string]bool{}
	for _, s := range list {
		m[s] = true
	}
	return m
}

func TestFeedChange(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.meeting("Review")
	s.box.AddCalendar("Family", "").Create(graphsim.Event{Subject: "School play", Start: at(2, 18), End: at(2, 20)})
	s.round()
	cals, err := s.store.Calendars(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	all, _ := s.feed(bridge.Feed{})
	family, _ := s.feed(bridge.Feed{Calendars: []bridge.CalendarID{cals[1].ID}})
	before, other := s.get(all), s.get(family)
	if strings.Contains(other.body, "Review") || !strings.Contains(other.body, "School play") {
		t.Errorf("a feed of one calendar:\n%s", other.body)
	}

	s.round()
	if got := s.get(all, "If-None-Match", before.Header.Get("ETag")); got.StatusCode != 304 {
		t.Errorf("after a round without a change: %s", got.Status)
	}
	if err := s.box.Calendar().Touch(id); err != nil {
		t.Fatal(err)
	}
	s.round()
	if got := s.get(all, "If-None-Match", before.Header.Get("ETag")); got.StatusCode != 304 {
		t.Errorf("after a touch that shows nowhere: %s", got.Status)
	}
	if err := s.box.Calendar().Change(id, func(e *graphsim.Event) { e.Subject = "Review, later" }); err != nil {
		t.Fatal(err)
	}
	s.round()
	after := s.get(all, "If-None-Match", before.Header.Get("ETag"))
	if after.StatusCode != 200 || after.Header.Get("ETag") == before.Header.Get("ETag") || !strings.Contains(after.body, `SUMMARY:Review\, later`) {
		t.Errorf("after a change: %s %s\n%s", after.Status, after.Header.Get("ETag"), after.body)
	}
	if got := s.get(family, "If-None-Match", other.Header.Get("ETag")); got.StatusCode != 304 {
		t.Errorf("a feed without the changed calendar: %s", got.Status)
	}
	if err := s.box.Calendar().Delete(id); err != nil {
		t.Fatal(err)
	}
	s.round()
	if got := s.get(all); got.StatusCode != 200 || strings.Contains(got.body, "Review") || got.Header.Get("ETag") == after.Header.Get("ETag") {
		t.Errorf("after a deletion: %s\n%s", got.Status, got.body)
	}

	files, err := os.ReadDir(s.cache)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 6 { // two feeds, uncompressed and in two codings
		t.Errorf("the cache keeps old renderings: %v", files)
	}
}

func TestFeedCache(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.meeting("Review")
	s.round()
	alone, _ := s.feed(bridge.Feed{})
	s.get(alone)
	one := s.store.pages.Swap(0)
	url, _ := s.feed(bridge.Feed{})

	// Many first requests in all codings cause one rendering.
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			accept := []string{"identity", "gzip"}[i%2]
			if got := s.get(url, "Accept-Encoding", accept); got.StatusCode != 200 || !strings.Contains(got.body, "SUMMARY:Review") {
				t.Errorf("%s\n%s", got.Status, got.body)
			}
		})
	}
	wg.Wait()
	if n := s.store.pages.Load(); n != one {
		t.Errorf("%d pages of objects were read, not the %d of one rendering", n, one)
	}
	s.get(url)
	if n := s.store.pages.Load(); n != one {
		t.Error("a rendering that is there was made again")
	}

	// The folder may be deleted at any time.
	if err := os.RemoveAll(s.cache); err != nil {
		t.Fatal(err)
	}
	if got := s.get(url); got.StatusCode != 200 || !strings.Contains(got.body, "SUMMARY:Review") {
		t.Errorf("after the cache was deleted: %s", got.Status)
	}

	// Where nothing can be written, a feed is the same.
	want := s.get(url)
	if err := os.RemoveAll(s.cache); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.cache, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, accept := range []string{"identity", "gzip", "zstd"} {
		got := s.get(url, "Accept-Encoding", accept)
		if got.StatusCode != 200 || got.body != want.body || got.Header.Get("Last-Modified") != want.Header.Get("Last-Modified") {
			t.Errorf("without a cache: %s %v\n%s", got.Status, got.Header, got.body)
		}
		if got := s.get(url, "Accept-Encoding", accept, "If-None-Match", got.Header.Get("ETag")); got.StatusCode != 304 {
			t.Errorf("without a cache, the present state: %s", got.Status)
		}
		if got := s.do("HEAD", url, "Accept-Encoding", accept); got.StatusCode != 200 || got.body != "" {
			t.Errorf("without a cache, HEAD: %s %v", got.Status, got.Header)
		}
	}
}

// TestFeedTags: each coding has a strong tag of its own, and a reader that has any of them has the feed.
func TestFeedTags(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.meeting("Review")
	s.round()
	url, _ := s.feed(bridge.Feed{})
	tags := map[string]string{}
	codings := []string{"identity", "gzip", "zstd"}
	for _, coding := range codings {
		tag := s.get(url, "Accept-Encoding", coding).Header.Get("ETag")
		if other := tags[tag]; other != "" || !strings.HasPrefix(tag, `"`) {
			t.Errorf("%s has the tag %s, as %s", coding, tag, other)
		}
		tags[tag] = coding
	}
	for tag := range tags {
		for _, coding := range codings {
			got := s.get(url, "Accept-Encoding", coding, "If-None-Match", tag)
			if got.StatusCode != 304 || tags[got.Header.Get("ETag")] != coding {
				t.Errorf("%s of a reader of %s: %s with the tag of %s", tag, coding, got.Status, tags[got.Header.Get("ETag")])
			}
		}
	}
}

// TestFeedHidden: what a feed of busy times does not tell changes nothing that a reader sees of it.
func TestFeedHidden(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.meeting("Review")
	s.round()
	url, _ := s.feed(bridge.Feed{Detail: bridge.DetailBusy})
	before := s.get(url)
	change := func(f func(e *graphsim.Event)) answer {
		t.Helper()
		if err := s.box.Calendar().Change(id, f); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Hour)
		s.now.Store(&later)
		s.round()
		return s.get(url)
	}
	for _, f := range []func(*graphsim.Event){
		func(e *graphsim.Event) { e.Subject = "Layoffs" },
		func(e *graphsim.Event) { e.Body, e.Location = "<p>All of them</p>", "Room 5" },
	} {
		after := change(f)
		for _, name := range []string{"ETag", "Last-Modified"} {
			if after.Header.Get(name) != before.Header.Get(name) {
				t.Errorf("%s: %s, then %s", name, before.Header.Get(name), after.Header.Get(name))
			}
		}
		if after.body != before.body {
			t.Errorf("%s\nafter\n%s", after.body, before.body)
		}
	}
	after := change(func(e *graphsim.Event) { e.End = e.End.Add(time.Hour) })
	if after.Header.Get("ETag") == before.Header.Get("ETag") || after.Header.Get("Last-Modified") == before.Header.Get("Last-Modified") || after.body == before.body {
		t.Errorf("the end has changed:\n%s\nafter\n%s", after.body, before.body)
	}
}

// TestFeedWaits: a feed is not shown while one of its calendars was never listed whole.
func TestFeedWaits(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.meeting("Review")
	other := s.box.AddCalendar("Family", "")
	other.Create(graphsim.Event{Subject: "School play", Start: at(2, 18), End: at(2, 20)})
	s.sim.Fault = func(r *http.Request) *graphsim.Fault {
		if strings.Contains(r.URL.Path, string(other.ID())) {
			return &graphsim.Fault{Status: 400}
		}
		return nil
	}
	_, _ = s.b.Round(s.Context(), s.m)
	url, _ := s.feed(bridge.Feed{})
	if got := s.get(url); got.StatusCode != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("without one of two calendars: %s\n%s", got.Status, got.body)
	}
	s.sim.Fault = nil
	s.round()
	if got := s.get(url); got.StatusCode != 200 || !strings.Contains(got.body, "School play") {
		t.Errorf("with both: %s\n%s", got.Status, got.body)
	}
}

// TestFeedWhole: a change that is published while a feed is rendered is in it completely or not at all.
func TestFeedWhole(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ids []graph.EventID
	for i := range 120 { // more than two pages
		ids = append(ids, s.meeting(fmt.Sprintf("Before %d", i)))
	}
	s.round()
	url, _ := s.feed(bridge.Feed{})
	pages := 0
	hook := func() {
		if pages++; pages != 2 {
			return
		}
		for i, id := range ids {
			if err := s.box.Calendar().Change(id, func(e *graphsim.Event) { e.Subject = fmt.Sprintf("After %d", i) }); err != nil {
				t.Error(err)
			}
		}
		s.round()
	}
	s.store.hook.Store(&hook)
	got := s.get(url)
	before, after := strings.Count(got.body, "SUMMARY:Before"), strings.Count(got.body, "SUMMARY:After")
	if got.StatusCode != 200 || before+after != 120 || before != 0 && after != 0 {
		t.Errorf("%s, %d before and %d after", got.Status, before, after)
	}
	if left, _ := filepath.Glob(filepath.Join(s.cache, "making-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestFeedDistinct: the copies of one meeting in two calendars stay two events.
func TestFeedDistinct(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	other := s.box.AddCalendar("Other", "")
	start := at(1, 9)
	for i, cal := range []*graphsim.Calendar{s.box.Calendar(), other} {
		cal.Create(graphsim.Event{Subject: fmt.Sprintf("Copy %d", i), Start: start, End: start.Add(time.Hour), ICalUID: strings.Repeat("0123456789", 12) + "@elsewhere.example"})
	}
	s.round()
	for _, detail := range []string{bridge.DetailFull, bridge.DetailBusy} {
		url, _ := s.feed(bridge.Feed{Detail: detail})
		cal, err := ics.Decode([]byte(s.get(url).body))
		if err != nil {
			t.Fatal(err)
		}
		uids := map[string]bool{}
		for _, e := range cal.Events() {
			uids[e.Props.Get(ical.PropUID).Value] = true
		}
		if len(uids) != 2 {
			t.Errorf("%s: two events have the UIDs %v", detail, uids)
		}
		if first, again := s.get(url).body, s.get(url).body; first != again {
			t.Errorf("%s: the feed differs from time to time", detail)
		}
	}
}

// BenchmarkFeed serves and renders a feed of 10,000 events, a twentieth of them series.
func BenchmarkFeed(b *testing.B) {
	s := newSite(b)
	objects := map[string][]byte{}
	for i := range 10_000 {
		e := graph.Event{ID: graph.EventID(fmt.Sprint(i)), ICalUID: fmt.Sprintf("%0112d", i), Subject: fmt.Sprintf("Meeting %d", i), OriginalStartTimeZone: "W. Europe Standard Time",
			Body: graph.ItemBody{ContentType: "text", Content: strings.Repeat("What there is to say of it. ", 20)}, LastModified: "2026-01-02T03:04:05Z", Sensitivity: "normal",
			Start: graph.DateTimeTimeZone{DateTime: at(i%400-100, 7+i/400%10).Format("2006-01-02T15:04:05"), TimeZone: "UTC"},
			End:   graph.DateTimeTimeZone{DateTime: at(i%400-100, 8+i/400%10).Format("2006-01-02T15:04:05"), TimeZone: "UTC"}}
		if i%20 == 0 {
			e.Type = graph.SeriesMaster
			e.Recurrence = &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: []string{strings.ToLower(at(i%400-100, 8).Weekday().String())}},
				Range: graph.RecurrenceRange{Type: "noEnd", StartDate: at(i%400-100, 8).Format(time.DateOnly)}}
		}
		cal, _, err := convert.ToICS(convert.Series{Event: e})
		if err != nil {
			b.Fatal(err)
		}
		var w bytes.Buffer
		if err := ics.Encode(&w, cal); err != nil {
			b.Fatal(err)
		}
		objects[fmt.Sprintf("%05d", i)] = w.Bytes()
	}
	s.publish(b.Context(), objects)
	url, _ := s.feed(bridge.Feed{})
	size := len(s.get(url).body)
	tag := s.get(url).Header.Get("ETag")
	for _, c := range []struct {
		name   string
		header []string
	}{
		{"GET", nil}, {"GETgzip", []string{"Accept-Encoding", "gzip"}}, {"GETzstd", []string{"Accept-Encoding", "zstd"}}, {"304", []string{"If-None-Match", tag}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := s.raw("GET", url, c.header...); got.StatusCode != 200 && got.StatusCode != 304 {
					b.Fatal(got.Status)
				} else if n, err := io.Copy(io.Discard, got.Body); err != nil || n == 0 && got.StatusCode == 200 {
					b.Fatal(n, err)
				} else {
					b.SetBytes(n)
					got.Body.Close()
				}
			}
		})
	}
	for _, c := range []struct {
		name string
		feed bridge.Feed
	}{
		{"Render", bridge.Feed{}},
		{"RenderFiltered", bridge.Feed{Options: bridge.FeedOptions{Private: bridge.Hide, Free: bridge.Hide, Declined: bridge.Hide, NotCategories: []string{"x"}, Past: "30d", Ahead: "1y"}}},
		{"RenderBusy", bridge.Feed{Detail: bridge.DetailBusy}},
	} {
		b.Run(c.name, func(b *testing.B) {
			url, _ := s.feed(c.feed)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if err := os.RemoveAll(s.cache); err != nil {
					b.Fatal(err)
				}
				if got := s.do("HEAD", url); got.StatusCode != 200 {
					b.Fatal(got.Status)
				}
			}
		})
	}
}
