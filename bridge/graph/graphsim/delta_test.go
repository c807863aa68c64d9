package graphsim_test

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// sum shortens delta entries to lines: type, subject or date, or the tombstone.
func (w *world) sum(values []object) string {
	var lines []string
	for _, v := range values {
		if r, ok := v["@removed"].(object); ok {
			if len(v) != 3 || v["@odata.type"] != "#microsoft.graph.event" || r["reason"] != "deleted" {
				w.Errorf("tombstone %v", v)
			}
			lines = append(lines, "removed "+w.name(v["id"].(string)))
			continue
		}
		what, _ := v["subject"].(string)
		lines = append(lines, fmt.Sprintf("%s %s %s", v["type"], strings.TrimSuffix(v["start"].(object)["dateTime"].(string), ":00.0000000"), what))
	}
	return strings.Join(lines, "\n")
}

// names of ids, for tombstones.
func (w *world) name(id string) string {
	if n, ok := w.ids[id]; ok {
		return n
	}
	return "?" + id
}

func (w *world) want(values []object, lines ...string) {
	w.Helper()
	if got, want := w.sum(values), strings.Join(lines, "\n"); got != want {
		w.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestDeltaFirstRound(t *testing.T) {
	w := newWorld(t)
	w.cal.Create(meeting("before", "2026-02-27 10:00"))
	w.cal.Create(meeting("in", "2026-03-04 10:00"))
	w.cal.Create(meeting("after", "2026-04-01 10:00"))
	yearly := meeting("yearly", "2012-03-15 10:00")
	yearly.Recurrence = &graph.Recurrence{Pattern: pattern("absoluteYearly", 1, "")}
	w.cal.Create(yearly)
	series := w.cal.Create(weekly("weekly", "2026-03-09 10:00"))
	w.do(w.cal.ChangeOccurrence(series, "2026-03-16", func(e *graphsim.Event) { e.Subject = "changed" }))
	w.do(w.cal.CancelOccurrence(series, "2026-03-23"))
	far := weekly("not yet", "2026-05-04 10:00")
	w.cal.Create(far)

	values, link, pages := w.all("me/"+march, immutable)
	w.want(values,
		"singleInstance 2026-03-04T09:00 in",
		"seriesMaster 2012-03-15T09:00 yearly", // its first date, not the one in the window
		"occurrence 2026-03-15T09:00 ",
		"seriesMaster 2026-03-09T09:00 weekly",
		"occurrence 2026-03-09T09:00 ",
		"exception 2026-03-16T09:00 changed",
		"occurrence 2026-03-30T08:00 ")
	if pages != 1 {
		t.Errorf("%d pages", pages)
	}
	for _, v := range values {
		for _, never := range []string{"cancelledOccurrences", "exceptionOccurrences", "originalStart"} {
			if _, ok := v[never]; ok {
				t.Errorf("%s in a delta", never)
			}
		}
		switch v["type"] {
		case "occurrence":
			keys := slices.Sorted(maps.Keys(v))
			if strings.Join(keys, " ") != "@odata.etag @odata.type end id seriesMasterId start type" {
				t.Errorf("occurrence has %v", keys)
			}
		case "exception":
			if v["occurrenceId"] != "OID."+string(series)+".2026-03-16" || v["seriesMasterId"] != string(series) {
				t.Errorf("exception %v", v)
			}
		case "seriesMaster":
			if v["recurrence"] == nil || v["seriesMasterId"] != nil {
				t.Errorf("master %v", v)
			}
		}
	}
	again, next, _ := w.all(link, immutable)
	if len(again) != 0 || next == link || next == "" {
		t.Errorf("a round without changes: %v %s", again, next)
	}
}

func TestDeltaChanges(t *testing.T) {
	w := newWorld(t)
	single := w.cal.Create(meeting("single", "2026-03-04 10:00"))
	outside := w.cal.Create(meeting("outside", "2026-06-04 10:00"))
	series := w.cal.Create(weekly("weekly", "2026-03-09 10:00"))
	w.ids = map[string]string{string(single): "single", string(outside): "outside", string(series): "series"}
	occurrences := map[string]string{}
	for _, i := range w.cal.Instances(at("2026-03-01"), at("2026-04-01")) {
		if i.SeriesMasterID != "" {
			occurrences[i.Start.Format(time.DateOnly)] = string(i.ID)
			w.ids[string(i.ID)] = i.Start.Format(time.DateOnly)
		}
	}
	other := w.box.AddCalendar("Other", "")
	_, link, _ := w.all("me/"+march, immutable)
	round := func(what string, lines ...string) {
		t.Helper()
		var values []object
		values, link, _ = w.all(link, immutable)
		if got, want := w.sum(values), strings.Join(lines, "\n"); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", what, got, want)
		}
	}

	w.do(w.cal.Change(single, func(e *graphsim.Event) { e.Subject = "renamed" }))
	round("change", "singleInstance 2026-03-04T09:00 renamed")

	w.do(w.cal.Touch(single))
	round("touch", "singleInstance 2026-03-04T09:00 renamed")

	w.do(w.cal.CancelOccurrence(series, "2026-03-16"))
	round("one occurrence deleted: no tombstone", "seriesMaster 2026-03-09T09:00 weekly", "occurrence 2026-03-09T09:00 ",
		"occurrence 2026-03-23T09:00 ", "occurrence 2026-03-30T08:00 ")

	w.do(w.cal.ChangeOccurrence(series, "2026-03-23", func(e *graphsim.Event) {
		e.Start, e.End = at("2026-03-24 15:00"), at("2026-03-24 16:00")
	}))
	round("one occurrence moved", "seriesMaster 2026-03-09T09:00 weekly", "occurrence 2026-03-09T09:00 ",
		"exception 2026-03-24T14:00 weekly", "occurrence 2026-03-30T08:00 ")

	w.do(w.cal.Change(outside, func(e *graphsim.Event) { e.Subject = "still outside" }))
	added := w.cal.Create(meeting("added", "2026-07-01 10:00"))
	w.ids[string(added)] = "added"
	round("outside", "removed outside", "removed added")

	w.do(w.cal.Change(outside, func(e *graphsim.Event) { e.Start, e.End = at("2026-03-05 10:00"), at("2026-03-05 11:00") }))
	w.do(w.cal.Change(single, func(e *graphsim.Event) { e.Start, e.End = at("2026-05-05 10:00"), at("2026-05-05 11:00") }))
	round("in and out", "singleInstance 2026-03-05T09:00 still outside", "removed single")

	w.do(w.cal.Delete(added))
	w.do(w.cal.Delete(outside))
	round("deleted outside and inside", "removed added", "removed outside")

	w.do(w.cal.Move(single, other))
	round("moved away", "removed single")
	w.do(other.Move(single, w.cal))
	w.do(w.cal.Change(single, func(e *graphsim.Event) { e.Start, e.End = at("2026-03-06 10:00"), at("2026-03-06 11:00") }))
	round("moved back under its immutable id", "singleInstance 2026-03-06T09:00 renamed")

	w.do(w.cal.Change(series, func(e *graphsim.Event) {
		e.Start, e.End = at("2026-03-10 10:00"), at("2026-03-10 11:00")
		e.Recurrence.Pattern.DaysOfWeek = []string{"tuesday"}
	}))
	values, next, _ := w.all(link, immutable)
	w.want(values, "seriesMaster 2026-03-10T09:00 weekly", "occurrence 2026-03-10T09:00 ", "occurrence 2026-03-17T09:00 ",
		"occurrence 2026-03-24T09:00 ", "occurrence 2026-03-31T08:00 ")
	for _, v := range values[1:] {
		if name, ok := w.ids[v["id"].(string)]; ok {
			t.Errorf("a rescheduled occurrence has the id of %s", name)
		}
		w.ids[v["id"].(string)] = v["start"].(object)["dateTime"].(string)[:10]
	}
	link = next
	w.do(w.cal.Delete(series))
	round("series deleted", "removed series", "removed 2026-03-10", "removed 2026-03-17", "removed 2026-03-24", "removed 2026-03-31")

	if v := w.srv.Violations(); len(v) > 0 {
		t.Error(v)
	}
}

// TestDeltaReplay: a deltaLink can be followed again and says the same, with what came since.
func TestDeltaReplay(t *testing.T) {
	w := newWorld(t, func(s *graphsim.Server) { s.ReplayLast = true })
	w.cal.Create(meeting("one", "2026-03-04 10:00"))
	_, link, _ := w.all("me/" + march)
	two := w.cal.Create(meeting("two", "2026-03-05 10:00"))
	values, next, _ := w.all(link)
	w.want(values, "singleInstance 2026-03-04T09:00 one", "singleInstance 2026-03-05T09:00 two")
	values, _, _ = w.all(link)
	w.want(values, "singleInstance 2026-03-04T09:00 one", "singleInstance 2026-03-05T09:00 two")
	values, next, _ = w.all(next)
	w.want(values, "singleInstance 2026-03-05T09:00 two")
	w.do(w.cal.Delete(two))
	w.ids = map[string]string{}
	values, _, _ = w.all(next)
	if len(values) != 1 || values[0]["@removed"] == nil {
		t.Errorf("got %v", values)
	}
	values, _, _ = w.all(next)
	if len(values) != 1 {
		t.Errorf("got %v", values)
	}
}

func TestDeltaPaging(t *testing.T) {
	fill := func(w *world) {
		for i := range 7 {
			w.cal.Create(meeting(fmt.Sprint("single ", i), fmt.Sprintf("2026-03-0%d 10:00", i+2)))
		}
		w.cal.Create(weekly("weekly", "2026-03-02 08:00")) // 5 occurrences: 6 entries
	}
	sizes := func(w *world, prefer ...string) (sizes []int, subjects string) {
		url := "me/" + march
		for url != "" {
			o := w.get(url, prefer...)
			sizes = append(sizes, len(o["value"].([]any)))
			for _, v := range o["value"].([]any) {
				subjects += fmt.Sprint(v.(object)["subject"], " ")
			}
			if (o["@odata.nextLink"] == nil) == (o["@odata.deltaLink"] == nil) {
				w.Error("a page needs one of the two links")
			}
			url, _ = o["@odata.nextLink"].(string)
		}
		return sizes, subjects
	}
	for _, tt := range []struct {
		name   string
		set    func(*graphsim.Server)
		prefer string
		want   []int
	}{
		{"default page of ten; a series is not split", func(s *graphsim.Server) {}, "", []int{13}},
		{"asked", func(s *graphsim.Server) {}, "odata.maxpagesize=3", []int{3, 3, 7}},
		{"split", func(s *graphsim.Server) { s.SplitSeries = true }, "", []int{10, 3}},
		{"bounded", func(s *graphsim.Server) { s.SplitSeries, s.MaxPage = true, 6 }, "odata.maxpagesize=500", []int{6, 6, 1}},
		{"empty first page", func(s *graphsim.Server) { s.EmptyPages = true }, "odata.maxpagesize=100", []int{0, 13}},
		{"shuffled", func(s *graphsim.Server) { s.Shuffle = 7 }, "odata.maxpagesize=5", []int{5, 5, 3}},
		{"twice", func(s *graphsim.Server) { s.Duplicate = true }, "odata.maxpagesize=100", []int{13, 5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.set)
			fill(w)
			got, _ := sizes(w, tt.prefer)
			if !slices.Equal(got, tt.want) {
				t.Errorf("pages of %v, want %v", got, tt.want)
			}
		})
	}
	a, b := newWorld(t), newWorld(t, func(s *graphsim.Server) { s.Shuffle = 7 })
	fill(a)
	fill(b)
	_, inOrder := sizes(a)
	_, shuffled := sizes(b)
	if inOrder == shuffled {
		t.Error("not shuffled")
	}
}

// TestDeltaSnapshot: a round says what was true when it began, and the next one the rest.
func TestDeltaSnapshot(t *testing.T) {
	w := newWorld(t)
	w.cal.Create(meeting("one", "2026-03-04 10:00"))
	two := w.cal.Create(meeting("two", "2026-03-05 10:00"))
	w.ids = map[string]string{string(two): "two"}
	o := w.get("me/"+march, "odata.maxpagesize=1", immutable)
	w.do(w.cal.Delete(two))
	values, link, _ := w.all(o["@odata.nextLink"].(string), immutable)
	w.want(values, "singleInstance 2026-03-05T09:00 two")
	values, _, _ = w.all(link, immutable)
	w.want(values, "removed two")
}

func TestDeltaRefusals(t *testing.T) {
	w := newWorld(t)
	w.cal.Create(meeting("one", "2026-03-04 10:00"))
	for _, tt := range []struct {
		url    string
		status int
		code   string
	}{
		{"me/calendarView/delta", 400, "ErrorInvalidParameter"},
		{"me/calendarView/delta?startDateTime=2026-03-01T00:00:00Z&endDateTime=soon", 400, "ErrorInvalidParameter"},
		{"me/calendarView/delta?startDateTime=2026-03-01T00:00:00Z&endDateTime=2031-03-01T00:00:00Z", 400, "ErrorInvalidRequest"}, // 1826 days
		{"me/calendarView/delta?startDateTime=2026-03-02T00:00:00Z&endDateTime=2026-03-01T00:00:00Z", 400, "ErrorInvalidRequest"},
		{"me/" + march + "&$expand=exceptionOccurrences", 500, "InternalServerError"},
		{"me/" + march + "&$filter=isAllDay", 400, "ErrorInvalidUrlQuery"},
		{"me/" + march + "&$orderby=subject", 400, "ErrorInvalidUrlQuery"},
		{"me/" + march + "&$search=x", 400, "ErrorInvalidUrlQuery"},
		{"me/events/delta", 400, "ErrorInvalidRequest"},
		{"me/calendarView/delta?$deltatoken=abc", 400, "BadRequest"},
	} {
		o, status := w.try(tt.url)
		w.wantError(o, status, tt.status, tt.code)
	}
	if v := w.srv.Violations(); len(v) != 1 || !strings.Contains(v[0], "altered") {
		t.Errorf("violations %v", v)
	}
	_, link, _ := w.all("me/calendarView/delta?startdatetime=2026-03-01T00:00:00%2B02:00&enddatetime=2031-02-27T22:00:00.0000000")
	u, _ := url.Parse(link)
	if token := u.Query().Get("$deltatoken"); !strings.Contains(token, "+") || !strings.Contains(token, "/") || !strings.HasSuffix(token, "=") {
		t.Errorf("token %q", token)
	}
	unescaped, _ := url.QueryUnescape(link)
	o, status := w.try(unescaped) // the plus signs are blanks now
	w.wantError(o, status, 400, "BadRequest")

	w.srv.ForgetDeltaTokens()
	w.srv.ResetViolations()
	res := w.call("GET", link, "")
	res.Body.Close()
	if res.StatusCode != 410 || !strings.HasSuffix(res.Header.Get("Location"), "$deltatoken=") {
		t.Errorf("%d %s", res.StatusCode, res.Header.Get("Location"))
	}
	o, status = w.try(link)
	w.wantError(o, status, 410, "SyncStateNotFound")
	w.all("me/" + march)
	if v := w.srv.Violations(); len(v) > 0 {
		t.Errorf("a new round after 410 is right: %v", v)
	}
}

// TestDeltaOfOneCalendar: each calendar has its own delta, also at the longer path.
func TestDeltaOfOneCalendar(t *testing.T) {
	w := newWorld(t)
	w.cal.Create(meeting("work", "2026-03-04 10:00"))
	family := w.box.AddCalendar("Family", "#00cc6a")
	family.Create(meeting("family", "2026-03-05 10:00"))
	own := "me/calendars/" + url.PathEscape(string(family.ID())) + "/" + march
	values, link, _ := w.all(own)
	w.want(values, "singleInstance 2026-03-05T09:00 family")
	if !strings.Contains(link, "/calendars/") {
		t.Errorf("link %s", link)
	}
	u, _ := url.Parse(link)
	o, status := w.try("me/calendarView/delta?" + u.RawQuery)
	w.wantError(o, status, 410, "SyncStateNotFound")
	w.cal.Create(meeting("more work", "2026-03-04 10:00"))
	values, _, _ = w.all(link)
	w.want(values)
}

// TestDeltaSelect: $select strips what it does not name, and originalStart comes only by name.
func TestDeltaSelect(t *testing.T) {
	w := newWorld(t)
	id := w.cal.Create(weekly("weekly", "2026-03-23 10:00"))
	w.do(w.cal.ChangeOccurrence(id, "2026-03-30", func(e *graphsim.Event) { e.Subject = "x" }))
	values, _, _ := w.all("me/" + march + "&$select=subject,originalStart,cancelledOccurrences")
	var got []string
	for _, v := range values {
		got = append(got, strings.Join(slices.Sorted(maps.Keys(v)), " "))
	}
	want := []string{"@odata.etag @odata.type id subject type", "@odata.etag @odata.type end id seriesMasterId start type", "@odata.etag @odata.type id originalStart subject type"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
