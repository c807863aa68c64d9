package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/caldav/ics"
)

// What a reduced feed may say, a line each: times and fixed words.
var (
	zoneName  = `[A-Z][A-Za-z_+\-]*[0-9]{0,2}(/[A-Z][A-Za-z_+\-0-9]*){0,2}`
	moment    = `(;VALUE=DATE:\d{8}|(;TZID=` + zoneName + `)?:\d{8}T\d{6}Z?)`
	ruleValue = `FREQ=(DAILY|WEEKLY|MONTHLY|YEARLY)(;(INTERVAL|COUNT|BYMONTHDAY|BYMONTH|BYSETPOS)=-?\d+(,-?\d+)*|;BYDAY=(-?\d*(MO|TU|WE|TH|FR|SA|SU),?)+|;WKST=(MO|TU|WE|TH|FR|SA|SU)|;UNTIL=\d{8}(T\d{6}Z)?)*`
	terse     = regexp.MustCompile(`^(` + strings.Join([]string{
		`BEGIN:(VCALENDAR|VTIMEZONE|STANDARD|DAYLIGHT|VEVENT)`, `END:(VCALENDAR|VTIMEZONE|STANDARD|DAYLIGHT|VEVENT)`,
		`VERSION:2\.0`, `PRODID:-//outbridge//outbridge//EN`, `CALSCALE:GREGORIAN`, `METHOD:PUBLISH`, `NAME:alice`, `X-WR-CALNAME:alice`,
		`COLOR:[a-z]{3,20}`, `X-APPLE-CALENDAR-COLOR:#[0-9A-F]{6}`, `REFRESH-INTERVAL;VALUE=DURATION:PT1H`, `X-PUBLISHED-TTL:PT1H`,
		`TZID:` + zoneName, `TZOFFSET(FROM|TO):[+-]\d{4}`, `TZNAME:[A-Z+\-0-9]{1,6}`, `RRULE:` + ruleValue,
		`UID:[0-9a-f]{40}`, `DTSTAMP:\d{8}T\d{6}Z`, `LAST-MODIFIED:\d{8}T\d{6}Z`,
		`(DTSTART|DTEND|RECURRENCE-ID|EXDATE|RDATE)` + moment,
		`SUMMARY:(Busy|Private)`, `STATUS:(CONFIRMED|TENTATIVE|CANCELLED)`, `TRANSP:(OPAQUE|TRANSPARENT)`,
	}, "|") + `)$`)
	told = regexp.MustCompile(`^(SUMMARY|LOCATION):`) // what a limited feed also says
)

// leaves adds the texts and numbers of a JSON value, by their paths.
func leaves(path string, v any, found map[string][]string) {
	switch v := v.(type) {
	case map[string]any:
		for name, v := range v {
			leaves(path+"."+name, v, found)
		}
	case []any:
		for _, v := range v {
			leaves(path, v, found)
		}
	case string:
		found[path] = append(found[path], v)
	case json.Number:
		if len(v) > 4 {
			found[path] = append(found[path], v.String())
		}
	}
}

func readLeaves(t testing.TB, raw []byte, found map[string][]string) {
	t.Helper()
	for d := json.NewDecoder(bytes.NewReader(raw)); d.More(); {
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		leaves("", v, found)
	}
}

// hunt looks in a reduced feed for everything that went in: whole texts, single words, and other ways of writing them.
func hunt(t testing.TB, detail string, got answer, found map[string][]string) {
	t.Helper()
	if got.StatusCode != 200 {
		t.Fatalf("%s: %s", detail, got.Status)
	}
	body := strings.TrimSuffix(unfold(got.body), "\r\n")
	limited := strings.HasPrefix(detail, bridge.DetailLimited)
	var fixed strings.Builder // the lines that are allowed as they are
	for line := range strings.SplitSeq(body, "\r\n") {
		switch {
		case terse.MatchString(line):
			fixed.WriteString(line + "\n")
		case limited && told.MatchString(line):
		default:
			t.Errorf("%s: the line %s", detail, line)
		}
	}
	// The grammar above only lets UIDs, stamps and zones through; these could still reveal something.
	head := fmt.Sprint(got.Header)
	hay := strings.ToLower(fixed.String() + head)
	ours := strings.ToLower("BEGIN VCALENDAR VTIMEZONE STANDARD DAYLIGHT VEVENT VERSION outbridge CALSCALE GREGORIAN METHOD PUBLISH alice REFRESH-INTERVAL DURATION "+
		"RRULE DTSTAMP LAST-MODIFIED DTSTART DTEND RECURRENCE-ID EXDATE SUMMARY Busy Private STATUS CONFIRMED TENTATIVE CANCELLED TRANSP OPAQUE TRANSPARENT "+
		"LOCATION charset DAILY WEEKLY MONTHLY YEARLY BYMONTHDAY BYSETPOS X-APPLE-CALENDAR-COLOR dodgerblue text/calendar filename control accept encoding noindex nosniff "+
		"x-published-ttl content type length disposition inline private max-age robots options ") + strings.ToLower(strings.Join(zonesIn(body), " "))
	may := "" // what a limited feed may say
	if limited {
		for path, texts := range found {
			if path := strings.ToLower(path); strings.HasSuffix(path, ".subject") || strings.Contains(path, ".location") {
				may += strings.ToLower(strings.Join(texts, "\n")) + "\n"
			}
		}
		hay += strings.ToLower(strings.NewReplacer(`\,`, ",", `\;`, ";", `\n`, "\n", `\\`, `\`).Replace(body))
	}
	said := map[string]bool{}
	missing := func(where, what string) {
		what = strings.ToLower(what)
		if len(what) >= 5 && !said[what] && strings.Contains(hay, what) && !strings.Contains(ours, what) && !strings.Contains(may, what) {
			said[what] = true
			t.Errorf("%s: %q of %s is in\n%s", detail, what, where, hay)
		}
	}
	for path, texts := range found {
		for _, text := range texts {
			for _, form := range []string{text, url.QueryEscape(text), url.PathEscape(text)} {
				missing(path, form)
			}
			for _, word := range strings.FieldsFunc(text, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }) {
				if len(word) > 5 {
					missing(path, word)
				}
			}
			// When it was created or changed.
			if at, err := time.Parse(time.RFC3339, text); err == nil && at.Year() > 1970 {
				missing(path, at.UTC().Format("20060102T150405Z"))
			}
		}
	}
}

func zonesIn(body string) (list []string) {
	for _, m := range regexp.MustCompile(`TZID[:=](`+zoneName+`)`).FindAllStringSubmatch(body, -1) {
		if _, err := time.LoadLocation(m[1]); err == nil {
			list = append(list, m[1])
		}
	}
	return slices.Compact(list)
}

// publish replaces the objects in alice's only calendar.
func (s *site) publish(ctx context.Context, objects map[string][]byte) {
	s.Helper()
	a, err := s.store.EnsureAccount(ctx, "alice")
	if err != nil {
		s.Fatal(err)
	}
	if _, err := s.store.SetCalendars(ctx, a.ID, []bridge.Calendar{{GraphID: "c", Name: "calendar", DisplayName: "Calendar", Owner: "alice@contoso.example", Modified: time.Now()}}); err != nil {
		s.Fatal(err)
	}
	cals, err := s.store.Calendars(ctx, a.ID)
	if err != nil {
		s.Fatal(err)
	}
	var list []bridge.Derived
	for name, data := range objects {
		o := &bridge.Object{Calendar: cals[0].ID, Series: graph.EventID(name), Name: name, UID: name, ETag: name, Data: data}
		if data == nil {
			o.Deleted = true
		} else {
			cal, err := ics.Decode(data)
			if err != nil {
				s.Fatal(err)
			}
			o.First, o.Last = (&ics.Reader{Resolve: convert.Zone}).Bounds(cal)
		}
		list = append(list, bridge.Derived{Series: o.Series, Object: o})
	}
	if err := s.store.SetGood(ctx, cals[0].ID, cals[0].Seq, "", time.Now()); err != nil {
		s.Fatal(err)
	}
	if err := s.store.Stage(ctx, cals[0].ID, cals[0].Seq, list); err != nil {
		s.Fatal(err)
	}
	if _, _, err := s.store.Publish(ctx, cals[0].ID, time.Now()); err != nil {
		s.Fatal(err)
	}
	if err := s.store.SetState(ctx, a.ID, bridge.State{Code: "ok"}); err != nil {
		s.Fatal(err)
	}
}

// TestFeedLeaks looks for every text of every golden event in its reduced feed.
func TestFeedLeaks(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../convert/testdata/*.txtar")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d golden cases, %v", len(files), err)
	}
	s := newSite(t)
	busy, _ := s.feed(bridge.Feed{Detail: bridge.DetailBusy, Options: bridge.FeedOptions{Cancelled: bridge.Show}})
	limited, _ := s.feed(bridge.Feed{Detail: bridge.DetailLimited, Options: bridge.FeedOptions{Cancelled: bridge.Show}})
	published := 0
	before := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, raw, ok := bytes.Cut(text, []byte("-- graph.json --\n"))
		if !ok {
			continue
		}
		if i := bytes.Index(raw, []byte("\n-- ")); i >= 0 {
			raw = raw[:i+1]
		}
		events, err := convert.ReadEvents(bytes.NewReader(raw))
		if err != nil {
			continue // a case that is refused
		}
		objects := map[string][]byte{}
		for name, data := range before {
			if data != nil {
				objects[name] = nil
			}
		}
		n := 0
		for i, series := range convert.Group(events) {
			series.Owner, series.HTML, series.Colors = "alice@contoso.example", true, map[string]string{"Blue category": "#0000ff"}
			cal, _, err := convert.ToICS(series)
			if errors.Is(err, convert.ErrNoInstances) || errors.Is(err, convert.ErrNoTime) {
				continue
			}
			if err != nil {
				t.Fatal(file, err)
			}
			var b bytes.Buffer
			if err := ics.Encode(&b, cal); err != nil {
				t.Fatal(file, err)
			}
			objects[fmt.Sprintf("%s-%d", filepath.Base(file), i)] = b.Bytes()
			n++
		}
		if n == 0 {
			continue
		}
		published += n
		s.publish(t.Context(), objects)
		before = objects
		found := map[string][]string{}
		readLeaves(t, raw, found)
		for detail, url := range map[string]string{bridge.DetailBusy: busy, bridge.DetailLimited: limited} {
			got := s.get(url)
			hunt(t, detail+" of "+filepath.Base(file), got, found)
			if c := len(titles(t, got.body)); c == 0 {
				t.Errorf("%s: the feed is empty", file)
			}
		}
		if t.Failed() {
			t.Fatalf("the first that leaks is %s", file)
		}
	}
	if published < 150 {
		t.Errorf("only %d objects were hunted through", published)
	}
}

// TestFeedLeaksFromOutlook looks for everything that the bridge has read from a mailbox with every field filled in.
func TestFeedLeaksFromOutlook(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	// Edits are earlier than publication by at least a second, or the two could not be told apart.
	s.sim.Now = func() time.Time { return time.Now().Add(-90 * time.Minute) }
	s.box = s.sim.DemoMailbox()
	s.m.Graph.(*graph.Client).Mailbox = s.box.Address()
	n := 0
	unique := func() string { n++; return fmt.Sprintf("Qzx%dunheard", n) }
	address := func() map[string]any {
		return map[string]any{"name": unique(), "address": unique() + "@" + unique() + ".example"}
	}
	location := func() map[string]any {
		return map[string]any{"displayName": unique(), "locationType": "conferenceRoom", "uniqueId": unique(), "locationUri": "https://" + unique() + ".example",
			"locationEmailAddress": unique() + "@rooms.example", "uniqueIdType": "private", "coordinates": map[string]any{"latitude": 53.551086, "longitude": 9.993682},
			"address": map[string]any{"street": unique(), "city": unique(), "state": unique(), "countryOrRegion": unique(), "postalCode": unique()}}
	}
	fill := func(e graphsim.Event) graphsim.Event {
		reminder := 4321
		e.Subject, e.Body, e.ICalUID, e.TransactionID = unique(), "<p>"+unique()+"</p>", unique(), unique()
		e.Categories, e.HasAttachments, e.ReminderMinutes, e.Importance = []string{unique(), unique()}, true, &reminder, "high"
		e.Organizer = graph.EmailAddress{Name: unique(), Address: unique() + "@" + unique() + ".example"}
		e.Response, e.JoinURL = "accepted", "https://teams.microsoft.com/l/meetup-join/"+unique()
		e.Extra = map[string]any{
			"bodyPreview": unique(), "webLink": "https://outlook.office365.com/" + unique(), "onlineMeetingUrl": "https://meet.example/" + unique(),
			"onlineMeetingProvider": unique(), "location": location(), "locations": []any{location(), location()},
			"attendees": []any{map[string]any{"type": "required", "status": map[string]any{"response": "accepted", "time": "2025-03-04T05:06:07Z"}, "emailAddress": address()}},
			"onlineMeeting": map[string]any{"joinUrl": "https://teams.microsoft.com/l/meetup-join/" + unique(), "conferenceId": unique(), "tollNumber": unique(), "quickDial": unique(),
				"phones": []any{map[string]any{"number": unique(), "type": "home"}}, "tollFreeNumbers": []any{unique()}},
			"createdDateTime": "2024-05-06T07:08:09.1234567Z", "lastModifiedDateTime": "2025-06-07T08:09:10.7654321Z",
			"extensions":                    []any{map[string]any{"id": unique(), "extensionName": unique(), unique(): unique()}},
			"singleValueExtendedProperties": []any{map[string]any{"id": "String {00020329} Name " + unique(), "value": unique()}},
			unique():                        map[string]any{unique(): []any{unique(), unique()}},
		}
		return e
	}
	cal := s.box.Calendar()
	cal.Create(fill(graphsim.Event{Start: at(1, 10), End: at(1, 11)}))
	before := n
	cal.Create(fill(graphsim.Event{Start: at(2, 0), End: at(3, 0), AllDay: true, Sensitivity: "private"}))
	cal.Create(fill(graphsim.Event{Start: at(3, 10), End: at(3, 11), Sensitivity: "confidential", ShowAs: "free"}))
	after := n
	cal.Create(fill(graphsim.Event{Start: at(4, 10), End: at(4, 11), Zone: "tzone://Microsoft/Custom", RealZone: "Europe/Berlin"}))
	cal.Create(fill(graphsim.Event{Start: at(5, 10), End: at(5, 11), Zone: unique()}))
	series := cal.Create(fill(graphsim.Event{Start: at(-3, 12), End: at(-3, 13), Recurrence: &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "daily", Interval: 2}}}))
	if err := cal.ChangeOccurrence(series, at(1, 0).Format(time.DateOnly), func(e *graphsim.Event) { *e = fill(*e) }); err != nil {
		t.Fatal(err)
	}
	cal.Rename(unique())
	s.box.AddCalendar(unique(), "#123456").Create(fill(graphsim.Event{Start: at(1, 14), End: at(1, 15)}))
	s.round()

	found := map[string][]string{".unique": nil}
	for i := range n {
		found[".unique"] = append(found[".unique"], fmt.Sprintf("Qzx%dunheard", i+1))
	}
	list, err := s.store.FindSeries(t.Context(), "alice", "", 1000)
	if err != nil || len(list) < 30 {
		t.Fatalf("%d series, %v", len(list), err)
	}
	for _, f := range list {
		rows, err := s.store.SeriesRows(t.Context(), f.Calendar, f.Series)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			readLeaves(t, r.Raw, found)
		}
	}
	objects := 0
	for _, cal := range []bridge.CalendarID{1, 2, 3, 4} {
		for o, err := range bridge.Objects(t.Context(), s.store, cal, bridge.ObjectQuery{}) {
			if err != nil {
				t.Fatal(err)
			}
			found[".object"] = append(found[".object"], o.Name, strings.Trim(o.ETag, `"`))
			objects++
		}
	}
	if objects < 30 {
		t.Fatalf("%d objects", objects)
	}
	a, err := s.store.Account(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	cals, err := s.store.Calendars(t.Context(), a.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cals {
		found[".calendar"] = append(found[".calendar"], c.DisplayName, string(c.GraphID), c.Epoch, c.Cursor)
	}
	// Full, then less: nothing of one rendering is left in the next.
	url, feed := s.feed(bridge.Feed{Detail: bridge.DetailFull})
	full := s.get(url)
	if text := unfold(full.body); !strings.Contains(text, "SUMMARY:Qzx") || !strings.Contains(text, "ATTENDEE") || !strings.Contains(text, "CREATED:20240506T070809Z") {
		t.Fatalf("a full feed without what is hunted for:\n%s", full.body)
	}
	uids := map[string]string{}
	for _, detail := range []string{bridge.DetailLimited, bridge.DetailBusy} {
		feed.Detail, feed.Changed = detail, time.Now().UTC()
		if err := s.store.ChangeFeed(t.Context(), feed); err != nil {
			t.Fatal(err)
		}
		got := s.get(url)
		mine := found
		if detail == bridge.DetailLimited {
			mine = map[string][]string{}
			for path, texts := range found {
				if path != ".unique" { // these include subjects and places, which are checked by name too
					mine[path] = texts
				}
			}
		}
		hunt(t, detail, got, mine)
		for i := before; i < after; i++ {
			if token := fmt.Sprintf("Qzx%dunheard", i+1); strings.Contains(unfold(got.body), token) {
				t.Errorf("%s: %s, of a private event, is in the feed", detail, token)
			}
		}
		for _, m := range regexp.MustCompile(`UID:(\w+)`).FindAllStringSubmatch(got.body, -1) {
			uids[m[1]] = detail
		}
	}
	twin, _ := s.feed(bridge.Feed{Detail: bridge.DetailBusy})
	for _, m := range regexp.MustCompile(`UID:(\w+)`).FindAllStringSubmatch(s.get(twin).body, -1) {
		if uids[m[1]] != "" {
			t.Errorf("the UID %s is in two feeds", m[1])
		}
	}
}
