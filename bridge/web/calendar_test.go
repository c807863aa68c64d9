package web_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

type eventsAnswer struct {
	Events []struct {
		Title, Start, End, URL, Color, Place, Calendar, Notes string
		AllDay                                                bool
	}
	Note string
}

func (p *person) events(query string) (answer, eventsAnswer) {
	p.Helper()
	got := p.get("/calendars/alice/events.json?" + query)
	var list eventsAnswer
	if got.StatusCode == 200 {
		if err := json.Unmarshal([]byte(got.body), &list); err != nil {
			p.Fatalf("%v\n%s", err, got.body)
		}
	}
	return got, list
}

func spanAround(now time.Time) string {
	return url.Values{"start": {now.AddDate(0, 0, -7).Format(time.RFC3339)}, "end": {now.AddDate(0, 0, 21).Format(time.RFC3339)}}.Encode()
}

func TestEventsJSON(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.box.Calendar().Create(graphsim.Event{Subject: "Review <b>", Location: "Room 7", Start: at(1, 10), End: at(1, 11)})
	d.box.AddCalendar("Family", "#00cc6a").Create(graphsim.Event{Subject: "Trip", AllDay: true, Start: at(2, 0), End: at(5, 0), ShowAs: "free"})
	d.round()
	p := d.admin()
	span := spanAround(d.now())
	got, list := p.events(span)
	if len(list.Events) != 2 || list.Note != "" || got.Header.Get("Content-Type") != "application/json" || got.Header.Get("Cache-Control") != "private, no-cache" {
		t.Fatalf("%s %v\n%s", got.Status, got.Header, got.body)
	}
	review, trip := list.Events[0], list.Events[1]
	if review.Title != "Review <b>" || review.Place != "Room 7" || !strings.HasSuffix(review.Start, "Z") || review.AllDay || review.Calendar != "Calendar" {
		t.Errorf("%+v", review)
	}
	if trip.Start != at(2, 0).Format(time.DateOnly) || trip.End != at(5, 0).Format(time.DateOnly) || !trip.AllDay || trip.Color != "#00cc6a" || trip.Notes != "free" {
		t.Errorf("%+v", trip)
	}
	if page := p.get(review.URL); page.StatusCode != 200 || !strings.Contains(page.body, "<h1>Review &lt;b&gt;</h1>") {
		t.Errorf("%s: %s", review.URL, page.Status)
	}

	// Nothing is sent again until something has changed.
	p.header.Set("If-None-Match", got.Header.Get("ETag"))
	if again, _ := p.events(span); again.StatusCode != 304 || again.body != "" {
		t.Errorf("again: %s", again.Status)
	}
	d.meeting("Another")
	d.round()
	if again, list := p.events(span); again.StatusCode != 200 || len(list.Events) != 3 {
		t.Errorf("after a change: %s", again.Status)
	}
	p.header.Del("If-None-Match")

	if _, list := p.events(span + "&calendar=family"); len(list.Events) != 1 || list.Events[0].Calendar != "" {
		t.Errorf("one calendar: %+v", list)
	}
	for query, status := range map[string]int{
		span + "&calendar=nothing": 404, "": 400, "start=2026-11-01": 400, "start=2026-11-01&end=2026-11-01": 400, "start=2026-11-01&end=2028-11-01": 400,
		"start=now&end=2026-11-01": 400, "start=0001-01-01&end=0001-02-01": 400, "start=2026-11-01&end=" + strings.Repeat("9", 5000): 400,
	} {
		if got, _ := p.events(query); got.StatusCode != status || len(got.body) > 20_000 {
			t.Errorf("%.80s: %s, %d octets", query, got.Status, len(got.body))
		}
	}
	for range 60 {
		d.meeting("One of many")
	}
	d.round()
	p.header.Set("Accept-Encoding", "gzip")
	packed := p.get("/calendars/alice/events.json?" + span)
	if packed.Header.Get("Content-Encoding") != "gzip" || !strings.HasSuffix(packed.Header.Get("ETag"), `-gzip"`) || len(packed.body) > 5000 {
		t.Errorf("%v, %d octets", packed.Header, len(packed.body))
	}
	p.header.Set("If-None-Match", packed.Header.Get("ETag"))
	if again := p.get("/calendars/alice/events.json?" + span); again.StatusCode != 304 {
		t.Errorf("compressed, again: %s", again.Status)
	}
	if out := p.post("/sign-out"); out.Header.Get("Clear-Site-Data") != `"cache"` {
		t.Errorf("signing out leaves what the browser has kept: %v", out.Header)
	}
}

func TestEventPage(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.box.Calendar().Create(graphsim.Event{Subject: "Planning", Location: "Room 7", Start: at(1, 10), End: at(1, 11), Zone: "Pacific Standard Time", Body: "Bring the figures & more.",
		Categories: []string{"Customers"}, Recurrence: &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "daily", Interval: 2}, Range: graph.RecurrenceRange{Type: "noEnd", StartDate: at(1, 10).Format(time.DateOnly)}}})
	d.round()
	p := d.admin()
	_, list := p.events(spanAround(d.now()))
	if len(list.Events) < 3 {
		t.Fatalf("%+v", list)
	}
	third := list.Events[2]
	page := p.get(third.URL + "&zone=Asia%2FTokyo")
	for _, want := range []string{"<h1>Planning</h1>", "Asia/Tokyo", at(5, 10).Format("Monday 2 January 2006, 15:04") + "–11:00 in America/Los_Angeles", "every 2 days", "Room 7",
		"Customers", "Bring the figures &amp; more.", "BEGIN:VCALENDAR", "Open in Outlook", "outlook.office365.com", "None: the event is carried over completely."} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page has no %q\n%s", want, page.body)
		}
	}
	path, _, _ := strings.Cut(third.URL, "?")
	if next := p.get(path); next.StatusCode != 200 || !strings.Contains(next.body, "Planning") {
		t.Errorf("without an occurrence: %s", next.Status)
	}
	for _, query := range []string{"?at=2026-01-01", "?at=x", "?at=" + strings.Repeat("9", 5000)} {
		if got := p.get(path + query); got.StatusCode != 404 {
			t.Errorf("%.60s: %s", query, got.Status)
		}
	}
	file := p.get(path + "/file")
	if file.StatusCode != 200 || !strings.HasPrefix(file.Header.Get("Content-Type"), "text/calendar") || !strings.HasPrefix(file.Header.Get("Content-Disposition"), "attachment; filename=") ||
		!strings.HasPrefix(file.body, "BEGIN:VCALENDAR\r\n") {
		t.Errorf("the file: %s %v", file.Status, file.Header)
	}
	if origin := p.get(path + "/origin"); !strings.Contains(origin.body, "What was decided") || !strings.Contains(origin.body, "Bring the") {
		t.Errorf("the origin: %s\n%s", origin.Status, origin.body)
	}
	if origin := p.get(path + "/origin?redact=1"); !strings.Contains(origin.body, "What was decided") || strings.Contains(origin.body, "Bring the") {
		t.Errorf("the redacted origin: %s\n%s", origin.Status, origin.body)
	}
	for _, gone := range []string{"/calendars/alice/calendar/nothing.ics", "/calendars/alice/nothing/x.ics", "/calendars/alice/calendar/nothing.ics/file", "/calendars/alice/calendar/nothing.ics/origin"} {
		if got := p.get(gone); got.StatusCode != 404 {
			t.Errorf("%s: %s", gone, got.Status)
		}
	}
}

// Without scripts the page is an agenda; and a search is one in any case.
func TestAgendaPage(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.box.Calendar().Create(graphsim.Event{Subject: "Review", Location: "Lisbon", Start: at(1, 10), End: at(1, 11)})
	d.box.Calendar().Create(graphsim.Event{Subject: "Much later", Location: "Lisbon", Start: at(60, 10), End: at(60, 11)})
	d.box.Calendar().Create(graphsim.Event{Subject: "Last week", Location: "Lisbon", Start: at(-7, 10), End: at(-7, 11)})
	d.round()
	p := d.admin()
	has := func(path string, in, out []string) {
		t.Helper()
		body := p.get(path).body
		for _, want := range in {
			if !strings.Contains(body, want) {
				t.Errorf("%.90s has no %q\n%s", path, want, body)
			}
		}
		for _, not := range out {
			if strings.Contains(body, not) {
				t.Errorf("%.90s has %q", path, not)
			}
		}
	}
	has("/calendars/alice", []string{"Review", "10:00–11:00", `data-zone="Europe/Berlin"`, `data-events="/calendars/alice/events.json"`, "Last good sync"}, []string{"Much later", "Last week"})
	has("/calendars/alice/calendar?view=week&date="+at(55, 0).Format(time.DateOnly), []string{"Much later", `data-view="week"`, `data-events="/calendars/alice/events.json?calendar=calendar"`}, []string{"Review"})
	has("/calendars/alice?q=LISBON", []string{"Review", "Much later", "Over", "Last week"}, []string{"data-events"})
	has("/calendars/alice?q=lisbon+review", []string{"Review"}, []string{"Much later", "Last week"})
	has("/calendars/alice?q=nothing+has+this", []string{"Nothing to come"}, []string{"Review", "Last week"})
	for query, want := range map[string]string{
		"view=year":                            "There are the views month, week, day and agenda.",
		"date=2026-13-01":                      "is not a date between 1900 and 2200",
		"date=9999-01-01":                      "is not a date between 1900 and 2200",
		"zone=Middle-earth%2FShire":            "Unknown time zone &#34;Middle-earth/Shire&#34;",
		"zone=..%2F..%2Fetc%2Fpasswd":          "Enter one like Europe/Berlin",
		"zone=" + strings.Repeat("x", 5000):    "Unknown time zone",
		"zone=Tokyo+Standard+Time":             `data-zone="Asia/Tokyo"`,
		"q=" + strings.Repeat("%3Cb%3E", 2000): "Nothing to come",
	} {
		has("/calendars/alice?"+query, []string{want}, []string{"<b>"})
	}
}

// The events say how old they are, and what is to be done about it.
func TestAgeOfCalendars(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	p := d.admin()
	if body := p.get("/calendars/alice").body; !strings.Contains(body, "Nobody has signed in to this account yet") || !strings.Contains(body, `href="/accounts/alice/sign-in"`) {
		t.Errorf("without a sign-in:\n%s", body)
	}
	d.meeting("Review")
	d.round()
	row, err := d.store.Account(t.Context(), "alice")
	if err == nil {
		err = d.store.Tokens(row.ID).SaveToken(t.Context(), nil, token)
	}
	if err != nil {
		t.Fatal(err)
	}
	if body := p.get("/calendars/alice").body; !strings.Contains(body, "Last good sync") || strings.Contains(body, "was last synced") {
		t.Errorf("fresh ones:\n%s", body)
	}
	d.later(3*time.Hour + 30*time.Minute) // rounds have the real time, which goes on meanwhile
	if body := p.get("/calendars/alice").body; !strings.Contains(body, "3 hours ago") {
		t.Errorf("stale ones:\n%s", body)
	}
	err = d.store.SetState(t.Context(), row.ID, bridge.State{Code: bridge.StateSignIn, Fault: bridge.Fault{Reason: bridge.Reason(graph.ReasonRevoked), Action: bridge.ActionSignIn}})
	if err != nil {
		t.Fatal(err)
	}
	_, list := p.events(spanAround(d.now()))
	for _, path := range []string{"/calendars/alice", "/calendars/alice/calendar", list.Events[0].URL} {
		body := p.get(path).body
		for _, want := range []string{"The sign-in has ended, so nothing is synced.", "3 hours ago", `href="/accounts/alice/sign-in">Sign in again`, "Review"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s, revoked: no %q\n%s", path, want, body)
			}
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.meeting("Review")
	d.box.Calendar().Create(graphsim.Event{Subject: "Series", Start: at(1, 15), End: at(1, 16),
		Recurrence: &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "daily", Interval: 1}, Range: graph.RecurrenceRange{Type: "numbered", StartDate: at(1, 15).Format(time.DateOnly), NumberOfOccurrences: 5}}})
	d.round()
	p := d.admin()
	if body := p.get("/accounts/alice/compare").body; !strings.Contains(body, "Not compared yet.") {
		t.Errorf("before:\n%s", body)
	}
	ask := func() string {
		t.Helper()
		if got := p.post("/accounts/alice/compare"); got.Header.Get("Location") != "/accounts/alice/compare" {
			t.Fatalf("%s\n%s", got.Status, got.body)
		}
		d.later(time.Second)
		d.round()
		return p.get("/accounts/alice/compare").body
	}
	if body := ask(); !strings.Contains(body, "today: 6 occurrences, all equal.") {
		t.Errorf("equal:\n%s", body)
	}
	if state := p.get("/accounts/alice/compare/state").body; state != "done" {
		t.Errorf("afterwards it is %q", state)
	}

	// A row that was lost, and one that Outlook never had.
	row, err := d.store.Account(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	cals, err := d.store.Calendars(t.Context(), row.ID)
	if err != nil {
		t.Fatal(err)
	}
	found, err := d.store.FindSeries(t.Context(), "alice", "Review", 1)
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	begin := at(3, 8).UTC()
	ghost := bridge.Row{ID: "ghost", Series: "ghost", Kind: bridge.KindSingle, Span: convert.Span{Start: begin, End: begin.Add(time.Hour)},
		Raw: []byte(`{"id":"ghost","subject":"Ghost","type":"singleInstance","start":{"dateTime":"` + begin.Format("2006-01-02T15:04:05") + `","timeZone":"UTC"},"end":{"dateTime":"` + begin.Add(time.Hour).Format("2006-01-02T15:04:05") + `","timeZone":"UTC"}}`)}
	if _, err := d.store.Mirror(t.Context(), bridge.MirrorPage{Calendar: cals[0].ID, Seq: cals[0].Seq, Rows: []bridge.Row{ghost}, Gone: []graph.EventID{found[0].Series},
		Marks: []bridge.Mark{{Series: "ghost", Stage: bridge.StageDerive}, {Series: found[0].Series, Stage: bridge.StageDerive}}}); err != nil {
		t.Fatal(err)
	}
	body := ask()
	for _, want := range []string{"today: 6 occurrences, of which 2 differed. They were read again, and are as Outlook shows them now.", ">Review</th>", ">Ghost</th>", "nothing"} {
		if !strings.Contains(body, want) {
			t.Errorf("differing: no %q\n%s", want, body)
		}
	}
	if body := ask(); !strings.Contains(body, "6 occurrences, all equal.") || strings.Contains(body, "Ghost") {
		t.Errorf("healed:\n%s", body)
	}
}
