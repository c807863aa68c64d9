package web_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/caldav/ics"
)

// titles are the titles in a feed, sorted, each once.
func titles(t testing.TB, body string) []string {
	t.Helper()
	cal, err := ics.Decode([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range cal.Events() {
		title, _ := e.Props.Text("SUMMARY")
		list = append(list, title)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// TestFeedOptions: what each option does with events in Outlook.
func TestFeedOptions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	boss := graph.EmailAddress{Name: "Olga", Address: "olga@fabrikam.example"}
	reminder := 10
	add := func(subject string, days int, change func(*graphsim.Event)) graph.EventID {
		e := graphsim.Event{Subject: subject, Start: at(days, 10), End: at(days, 11)}
		change(&e)
		return s.box.Calendar().Create(e)
	}
	add("Plain", 1, func(e *graphsim.Event) { e.ReminderMinutes = &reminder })
	add("Doctor", 2, func(e *graphsim.Event) { e.Sensitivity, e.Location = "private", "Clinic" })
	add("At home", 3, func(e *graphsim.Event) { e.ShowAs = "free" })
	add("Invited", 4, func(e *graphsim.Event) { e.Organizer, e.Response = boss, "accepted" })
	add("No thanks", 5, func(e *graphsim.Event) { e.Organizer, e.Response = boss, "declined" })
	add("Called off", 6, func(e *graphsim.Event) { e.Organizer, e.Cancelled = boss, true })
	add("Trip", 7, func(e *graphsim.Event) { e.Categories = []string{"Travel", "Réd"} })
	add("Far", 400, func(*graphsim.Event) {})
	series := add("Weekly", -70, func(e *graphsim.Event) {
		e.Recurrence = &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "daily", Interval: 7}}
		e.Organizer, e.Response = boss, "accepted"
	})
	if err := s.box.Calendar().ChangeOccurrence(series, at(7, 0).Format(time.DateOnly), func(e *graphsim.Event) { e.Subject, e.Response = "Weekly, not this time", "declined" }); err != nil {
		t.Fatal(err)
	}
	other := add("Course", -70, func(e *graphsim.Event) {
		e.Recurrence = &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "daily", Interval: 7}}
		e.Organizer, e.Response = boss, "declined"
	})
	if err := s.box.Calendar().ChangeOccurrence(other, at(7, 0).Format(time.DateOnly), func(e *graphsim.Event) { e.Subject, e.Response = "Course, just once", "accepted" }); err != nil {
		t.Fatal(err)
	}
	add("Past", -20, func(*graphsim.Event) {})
	s.round()

	all := []string{"At home", "Course", "Course, just once", "Doctor", "Far", "Invited", "No thanks", "Past", "Plain", "Trip", "Weekly", "Weekly, not this time"}
	but := func(names ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(names, s) })
	}
	for _, c := range []struct {
		name    string
		detail  string
		options bridge.FeedOptions
		want    []string
	}{
		{"by default", "", bridge.FeedOptions{}, all},
		{"private out", "", bridge.FeedOptions{Private: bridge.Hide}, but("Doctor")},
		{"private blurred", "", bridge.FeedOptions{Private: bridge.Blur}, append(but("Doctor", "Trip", "Weekly", "Weekly, not this time"), "Private", "Trip", "Weekly", "Weekly, not this time")},
		{"free out", "", bridge.FeedOptions{Free: bridge.Hide}, but("At home")},
		{"declined out", "", bridge.FeedOptions{Declined: bridge.Hide}, but("No thanks", "Course", "Weekly, not this time")},
		{"cancelled in", "", bridge.FeedOptions{Cancelled: bridge.Show}, append([]string{"At home", "Called off"}, all[1:]...)},
		{"only a category", "", bridge.FeedOptions{Categories: []string{"réd"}}, []string{"Trip"}},
		{"not a category", "", bridge.FeedOptions{NotCategories: []string{"TRAVEL"}}, but("Trip")},
		{"a window", "", bridge.FeedOptions{Past: "10d", Ahead: "6mo"}, but("Far", "Past")},
		{"ahead only", "", bridge.FeedOptions{Ahead: "3d"}, []string{"At home", "Course", "Course, just once", "Doctor", "Past", "Plain", "Weekly", "Weekly, not this time"}},
		{"limited", bridge.DetailLimited, bridge.FeedOptions{}, append(but("Doctor", "Trip", "Weekly", "Weekly, not this time"), "Private", "Trip", "Weekly", "Weekly, not this time")},
		{"limited, private out", bridge.DetailLimited, bridge.FeedOptions{Private: bridge.Hide, Declined: bridge.Hide}, but("Doctor", "No thanks", "Course", "Weekly, not this time")},
		{"busy, of a category", bridge.DetailBusy, bridge.FeedOptions{Categories: []string{"Travel"}}, []string{"Busy"}},
		{"nothing left", "", bridge.FeedOptions{Categories: []string{"None"}}, nil},
	} {
		url, _ := s.feed(bridge.Feed{Detail: c.detail, Options: c.options})
		got := s.get(url)
		checkFeed(t, got)
		if list := titles(t, got.body); !slices.Equal(list, c.want) {
			t.Errorf("%s: %q\nwant %q", c.name, list, c.want)
		}
		if strings.Contains(got.body, "VALARM") || strings.Contains(got.body, "Clinic") != slices.Contains(c.want, "Doctor") {
			t.Errorf("%s: an alarm, or the place of a private event:\n%s", c.name, got.body)
		}
	}
	url, _ := s.feed(bridge.Feed{Options: bridge.FeedOptions{Alarms: true}})
	if got := s.get(url); strings.Count(got.body, "BEGIN:VALARM") != 1 {
		t.Errorf("alarms:\n%s", got.body)
	}

	// The window moves once a day, and nothing changes in between.
	url, _ = s.feed(bridge.Feed{Options: bridge.FeedOptions{Ahead: "3d"}})
	first := s.get(url)
	tomorrow := time.Now().AddDate(0, 0, 1)
	s.now.Store(&tomorrow)
	next := s.get(url, "If-None-Match", first.Header.Get("ETag"))
	if next.StatusCode != 200 || !slices.Contains(titles(t, next.body), "Invited") || slices.Contains(titles(t, first.body), "Invited") {
		t.Errorf("a day later: %s %q", next.Status, titles(t, next.body))
	}
	if got := s.get(url, "If-None-Match", next.Header.Get("ETag")); got.StatusCode != 304 {
		t.Errorf("the same day: %s", got.Status)
	}
}

// TestFeedChanged: every reader notices a changed feed, by ETag, by date, or by LAST-MODIFIED.
func TestFeedChanged(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.box.Calendar().Create(graphsim.Event{Subject: "Doctor", Sensitivity: "private", Start: at(1, 10), End: at(1, 11)})
	s.meeting("Review")
	s.round()
	url, feed := s.feed(bridge.Feed{Name: "One"})
	before := s.get(url)
	feed.Name, feed.Changed = "Two", time.Now().Add(2*time.Hour).UTC().Truncate(time.Second)
	if err := s.store.ChangeFeed(t.Context(), feed); err != nil {
		t.Fatal(err)
	}
	after := s.get(url, "If-None-Match", before.Header.Get("ETag"))
	if after.StatusCode != 200 || !strings.Contains(after.body, "X-WR-CALNAME:Two\r\n") {
		t.Errorf("%s\n%s", after.Status, after.body)
	}
	if got := s.get(url, "If-Modified-Since", before.Header.Get("Last-Modified")); got.StatusCode != 200 {
		t.Errorf("by date: %s", got.Status)
	}
	stamp := "LAST-MODIFIED:" + feed.Changed.Format("20060102T150405Z")
	if strings.Contains(before.body, stamp) || strings.Count(after.body, stamp) != 2 {
		t.Errorf("no %s:\n%s", stamp, after.body)
	}
	if got := s.get(url, "If-Modified-Since", after.Header.Get("Last-Modified")); got.StatusCode != 304 {
		t.Errorf("the present state by date: %s", got.Status)
	}
	feed.Detail = bridge.DetailBusy
	if err := s.store.ChangeFeed(t.Context(), feed); err != nil {
		t.Fatal(err)
	}
	if got := s.get(url); strings.Contains(got.body, "Doctor") || strings.Contains(got.body, "Review") || strings.Count(got.body, stamp) != 2 {
		t.Errorf("busy:\n%s", got.body)
	}
	// A rename in Outlook changes no object, but readers notice it by date.
	url, _ = s.feed(bridge.Feed{})
	before = s.get(url)
	s.box.Calendar().Rename("Renamed")
	s.round()
	if got := s.get(url, "If-Modified-Since", before.Header.Get("Last-Modified")); got.StatusCode != 200 || !strings.Contains(got.body, "X-WR-CALNAME:Renamed\r\n") {
		t.Errorf("after a rename: %s", got.Status)
	}
}

// TestFeedOutage: in an outage of several days a feed stays as it was and says how old it is, without changing at every
// poll.
func TestFeedOutage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.meeting("Review")
	other := s.box.AddCalendar("Family", "#00cc6a")
	s.round()
	for _, detail := range []string{bridge.DetailFull, bridge.DetailBusy} {
		s.now.Store(nil)
		url, _ := s.feed(bridge.Feed{Detail: detail})
		fresh := s.get(url)
		tag := fresh.Header.Get("ETag")
		in := func(d time.Duration) answer {
			later := time.Now().Add(d)
			s.now.Store(&later)
			return s.get(url, "If-None-Match", tag)
		}
		if got := in(23 * time.Hour); got.StatusCode != 304 {
			t.Errorf("%s: after less than a day: %s", detail, got.Status)
		}
		got := in(25 * time.Hour)
		note := regexp.MustCompile(`\r\nX-WR-CALDESC:Outlook could not be read since \d+ \w+ \d{4}\\, \d\d:\d\d UTC`)
		if got.StatusCode != 200 || !note.MatchString(unfold(got.body)) || !slices.Equal(titles(t, got.body), titles(t, fresh.body)) || note.MatchString(unfold(fresh.body)) {
			t.Errorf("%s: after a day: %s\n%s", detail, got.Status, got.body)
		}
		checkFeed(t, got)
		date := got.Header.Get("Last-Modified")
		if by := s.get(url, "If-Modified-Since", fresh.Header.Get("Last-Modified")); by.StatusCode != 200 {
			t.Errorf("%s: after a day, by date: %s", detail, by.Status)
		}
		tag = got.Header.Get("ETag")
		for _, d := range []time.Duration{26 * time.Hour, 30 * 24 * time.Hour, 400 * 24 * time.Hour} {
			if got := in(d); got.StatusCode != 304 || got.Header.Get("Last-Modified") != date {
				t.Errorf("%s: still out after %s: %s", detail, d, got.Status)
			}
		}
		// After the outage: its mention goes away, by ETag and by date.
		s.now.Store(nil)
		if got := s.get(url, "If-Modified-Since", date); got.StatusCode != 200 || note.MatchString(unfold(got.body)) {
			t.Errorf("%s: after the outage: %s\n%s", detail, got.Status, got.body)
		}
	}

	// A removed calendar does not affect the others; if all are removed, readers are to keep what they have.
	cals, err := s.store.Calendars(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	both, _ := s.feed(bridge.Feed{Calendars: []bridge.CalendarID{cals[0].ID, cals[1].ID}})
	one, _ := s.feed(bridge.Feed{Calendars: []bridge.CalendarID{cals[1].ID}})
	s.box.RemoveCalendar(other)
	s.round()
	if got := s.get(both); got.StatusCode != 200 || !slices.Equal(titles(t, got.body), []string{"Review"}) {
		t.Errorf("%s\n%s", got.Status, got.body)
	}
	if got := s.get(one); got.StatusCode != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("a feed whose only calendar is gone: %s", got.Status)
	}
}

// TestFeedForgotten: no rendering is left of a feed that was removed or rotated.
func TestFeedForgotten(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.meeting("Review")
	s.round()
	url, feed := s.feed(bridge.Feed{})
	kept, other := s.feed(bridge.Feed{})
	s.get(kept)

	// It is removed while it is being rendered: nothing is served and nothing is left.
	hook := func() {
		if err := s.store.RemoveFeed(t.Context(), "alice", feed.ID); err != nil && !errors.Is(err, bridge.ErrNotFound) {
			t.Error(err)
		}
	}
	s.store.hook.Store(&hook)
	if got := s.get(url); got.StatusCode != 404 || strings.Contains(got.body, "VCALENDAR") {
		t.Errorf("%s", got.Status)
	}
	s.store.hook.Store(nil)
	if s.rendered(feed.ID) != 0 || s.rendered(other.ID) != 3 {
		t.Errorf("%d and %d files", s.rendered(feed.ID), s.rendered(other.ID))
	}
}

// TestFeedForgottenByPage: removing or changing a feed on a page deletes its renderings at once, and no others.
func TestFeedForgottenByPage(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.meeting("Review")
	d.round()
	p := d.admin()
	kept, other := d.feed(bridge.Feed{})
	d.get(kept)
	for _, form := range [][]string{{"/rotate"}, {"", "detail", bridge.DetailBusy}, {"/remove"}} {
		address, feed := d.feed(bridge.Feed{})
		if got := d.get(address); got.StatusCode != 200 || d.rendered(feed.ID) != 3 {
			t.Fatalf("%s, %d files", got.Status, d.rendered(feed.ID))
		}
		if got := p.post(fmt.Sprintf("/accounts/alice/feeds/%d%s", feed.ID, form[0]), form[1:]...); got.StatusCode >= 400 {
			t.Fatalf("%q: %s", form, got.Status)
		}
		if d.rendered(feed.ID) != 0 || d.rendered(other.ID) != 3 {
			t.Errorf("%q: %d and %d files", form, d.rendered(feed.ID), d.rendered(other.ID))
		}
	}

	if _, err := d.store.AddAccount(t.Context(), "bob", ""); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.cache, "9-0123456789abcdef-0.ics"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := p.post("/accounts/bob/remove"); got.StatusCode != 303 || d.rendered(9) != 0 || d.rendered(other.ID) != 3 {
		t.Errorf("after an account is removed: %s, %d and %d files", got.Status, d.rendered(9), d.rendered(other.ID))
	}
}
