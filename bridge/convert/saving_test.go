package convert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-ical"
	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// saving is what a program makes of an object that it saves without a change by a person.
type saving struct {
	name   string
	client string // User-Agent
	do     func(cal *ical.Calendar)
	octets func([]byte) []byte
}

func events(cal *ical.Calendar) []*ical.Component { return ics.Children(cal.Component, ical.CompEvent) }

func eachEvent(f func(*ical.Component)) func(*ical.Calendar) {
	return func(cal *ical.Calendar) {
		for _, e := range events(cal) {
			f(e)
		}
	}
}

func setText(c *ical.Component, name, value string) {
	p := ical.NewProp(name)
	p.Value = value
	c.Props.Set(p)
}

var savings = []saving{
	{name: "same"},
	{name: "line ends", octets: func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }},
	{name: "unfolded", octets: func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n "), nil) }},
	{name: "folded at 60", octets: func(b []byte) []byte {
		var out []byte
		for l := range bytes.SplitSeq(bytes.ReplaceAll(b, []byte("\r\n "), nil), []byte("\r\n")) {
			for len(l) > 60 {
				n := 60
				for l[n]&0xC0 == 0x80 {
					n--
				}
				out = append(append(out, l[:n]...), "\r\n "...)
				l = l[n:]
			}
			out = append(append(out, l...), "\r\n"...)
		}
		return out
	}},
	{name: "Thunderbird", client: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.0", do: eachEvent(func(e *ical.Component) {
		setText(e, "X-MOZ-GENERATION", "4")
		setText(e, ical.PropSequence, "7")
		setText(e, ical.PropLastModified, "20301231T235959Z")
		setText(e, ical.PropDateTimeStamp, "20301231T235959Z")
		for i := range e.Props[ical.PropAttendee] {
			delete(e.Props[ical.PropAttendee][i].Params, "RSVP")
		}
		slices.Reverse(e.Props[ical.PropAttendee])
		if p := e.Props.Get(ical.PropPriority); p != nil && p.Value == "5" {
			e.Props.Del(ical.PropPriority)
		}
		delete(e.Props, ical.PropColor)
	})},
	{name: "Thunderbird's classes", client: "Thunderbird/128.0", do: eachEvent(func(e *ical.Component) {
		if wordOf(e, ical.PropClass) == "PUBLIC" {
			e.Props.Del(ical.PropClass)
		}
		if wordOf(e, ical.PropTransparency) == "OPAQUE" {
			e.Props.Del(ical.PropTransparency)
		}
	})},
	{name: "DAVx5", client: "DAVx5/4.4.1-ose (dav4jvm; okhttp/4.12.0) Android/14", do: func(cal *ical.Calendar) {
		setText(cal.Component, ical.PropProductID, "+//IDN bitfire.at//DAVx5/4.4.1-ose ical4j/3.2.19")
		r := &ics.Reader{Resolve: Zone}
		for _, e := range events(cal) {
			toUTC(r, cal, e, ical.PropRecurrenceID)
			toUTC(r, cal, e, ical.PropExceptionDates)
			setText(e, ical.PropDateTimeStamp, "20301231T235959Z")
		}
	}},
	{name: "DURATION", do: func(cal *ical.Calendar) {
		r := &ics.Reader{Resolve: Zone}
		for _, e := range events(cal) {
			i, err := r.Event(cal, e)
			if err != nil || e.Props.Get(ical.PropDateTimeEnd) == nil || i.End.Sub(i.Start) > 30000*day {
				continue
			}
			e.Props.Del(ical.PropDateTimeEnd)
			if i.AllDay() {
				setText(e, ical.PropDuration, fmt.Sprintf("P%dD", i.Length.Days))
			} else {
				setText(e, ical.PropDuration, durationText(i.End.Sub(i.Start)))
			}
		}
	}},
	{name: "INTERVAL=1", do: eachEvent(func(e *ical.Component) {
		if p := e.Props.Get(ical.PropRecurrenceRule); p != nil && !strings.Contains(p.Value, "INTERVAL") {
			p.Value += ";INTERVAL=1"
		}
	})},
	{name: "rule turned round", do: eachEvent(func(e *ical.Component) {
		if p := e.Props.Get(ical.PropRecurrenceRule); p != nil {
			parts := strings.Split(p.Value, ";")
			slices.Reverse(parts[1:])
			p.Value = strings.Join(parts, ";")
		}
	})},
	{name: "empty texts", do: eachEvent(func(e *ical.Component) {
		for _, name := range []string{ical.PropDescription, ical.PropLocation, ical.PropSummary} {
			if e.Props.Get(name) == nil {
				setText(e, name, "")
			}
		}
	})},
	{name: "categories apart", do: eachEvent(func(e *ical.Component) {
		list := categoriesOf(e)
		e.Props.Del(ical.PropCategories)
		slices.Reverse(list)
		for _, name := range list {
			addText(e, ical.PropCategories, name)
		}
	})},
	{name: "VALUE=DATE-TIME", do: eachEvent(func(e *ical.Component) {
		for _, name := range []string{ical.PropDateTimeStart, ical.PropDateTimeEnd, ical.PropRecurrenceID, ical.PropExceptionDates} {
			for i := range e.Props[name] {
				if p := &e.Props[name][i]; p.Params.Get(ical.ParamValue) == "" {
					p.Params.Set(ical.ParamValue, "DATE-TIME")
				}
			}
		}
	})},
	{name: "no VTIMEZONE", do: func(cal *ical.Calendar) {
		cal.Children = slices.DeleteFunc(cal.Children, func(c *ical.Component) bool { return c.Name == ical.CompTimezone })
	}},
	{name: "own zone names", do: func(cal *ical.Calendar) {
		rename := func(id string) string { return "/freeassociation.sourceforge.net/" + id }
		for _, c := range cal.Children {
			for name := range c.Props {
				for i := range c.Props[name] {
					p := &c.Props[name][i]
					if id := p.Params.Get(ical.ParamTimezoneID); strings.Contains(id, "/") {
						p.Params.Set(ical.ParamTimezoneID, rename(id))
					}
					if p.Name == ical.PropTimezoneID && strings.Contains(p.Value, "/") {
						p.Value = rename(p.Value)
					}
				}
			}
		}
	}},
	{name: "EXDATE in one line", do: eachEvent(func(e *ical.Component) {
		if list := e.Props[ical.PropExceptionDates]; len(list) > 1 {
			var values []string
			for _, p := range list {
				values = append(values, p.Value)
			}
			list[0].Value = strings.Join(values, ",")
			e.Props[ical.PropExceptionDates] = list[:1]
		}
	})},
	{name: "addresses in capitals", do: eachEvent(func(e *ical.Component) {
		for _, name := range []string{ical.PropAttendee, ical.PropOrganizer} {
			for i := range e.Props[name] {
				if address, ok := strings.CutPrefix(e.Props[name][i].Value, "mailto:"); ok {
					e.Props[name][i].Value = "MAILTO:" + strings.ToUpper(address)
				}
			}
		}
	})},
	{name: "a program that knows little", client: "curl/8", do: eachEvent(func(e *ical.Component) {
		for _, name := range []string{ical.PropCategories, ical.PropClass, ical.PropPriority, "X-MICROSOFT-CDO-BUSYSTATUS", "X-MICROSOFT-CDO-ALLDAYEVENT",
			ical.PropOrganizer, ical.PropAttendee, ical.PropURL, "CONFERENCE", ical.PropGeo, ical.PropColor, ical.PropAttach, ical.PropCreated,
			ical.PropLastModified, ical.PropSequence, ical.PropStatus} {
			if name != ical.PropStatus || wordOf(e, ical.PropStatus) != "CANCELLED" {
				e.Props.Del(name)
			}
		}
	})},
	{name: "trimmed lines", do: eachEvent(func(e *ical.Component) {
		if p := e.Props.Get(ical.PropDescription); p != nil {
			p.Value = strings.TrimSpace(regexp.MustCompile(`[ \t]+(\\n|$)`).ReplaceAllString(p.Value, "$1")) + `\n`
		}
	})},
	{name: "its own alarms' texts", do: eachEvent(func(e *ical.Component) {
		for _, a := range ics.Children(e, ical.CompAlarm) {
			setText(a, ical.PropAction, "AUDIO")
			a.Props.Del(ical.PropDescription)
			if p := a.Props.Get(ical.PropTrigger); p != nil {
				p.Params.Set("RELATED", "START")
			}
		}
	})},
}

// toUTC writes the times of a property in UTC.
func toUTC(r *ics.Reader, cal *ical.Calendar, e *ical.Component, name string) {
	for i := range e.Props[name] {
		p := &e.Props[name][i]
		if m, err := r.Moment(cal, p); err == nil && !m.Date && !strings.Contains(p.Value, ",") {
			p.Value = r.Instant(m).Format(ics.UTCForm)
			p.Params.Del(ical.ParamTimezoneID)
		}
	}
}

// TestNoChange saves every golden object as programs do that have changed nothing: nothing is to be done.
func TestNoChange(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, f := range files {
		a, err := txtar.ParseFile(f)
		if err != nil {
			t.Fatal(err)
		}
		list, err := readGolden(t, a).list()
		if err != nil {
			continue
		}
		for n, s := range list {
			cal, _, err := ToICS(s)
			if err != nil {
				continue
			}
			served := []byte(encode(t, cal))
			for _, r := range savings {
				for _, role := range []bool{true, false} {
					s := s
					s.Event.IsOrganizer = s.Event.IsOrganizer || role
					for _, base := range []bool{true, false} {
						noChange(t, fmt.Sprintf("%s %d %s %v %v", strings.TrimSuffix(filepath.Base(f), ".txtar"), n, r.name, role, base), s, served, r, base)
					}
				}
			}
		}
	}
}

func noChange(t rapid.TB, name string, s Series, served []byte, r saving, base bool) {
	t.Helper()
	cal := readBack(t, served)
	if r.do != nil {
		r.do(cal)
	}
	octets, err := ics.Append(nil, cal.Component)
	if err != nil {
		t.Fatal(err)
	}
	if r.octets != nil {
		octets = r.octets(octets)
	}
	e := Edit{Current: readBack(t, served), New: readBack(t, octets), Series: s, Addresses: []string{"me@contoso.example"}, Client: r.client}
	if base {
		e.Base = readBack(t, served)
	}
	plan, losses, err := FromICS(e)
	if err != nil {
		t.Errorf("%s: %v\n%s", name, err, octets)
	} else if len(plan.Steps) > 0 {
		t.Errorf("%s: %s\n%s", name, stepsText(plan.Steps), octets)
	} else if len(losses) > 0 {
		t.Errorf("%s: losses %v\n%s", name, losses, octets)
	}
}

// TestNoChangeOfAny is TestNoChange for random events.
func TestNoChangeOfAny(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawAny(rt)
		cal, _, err := ToICS(s)
		if err != nil {
			return // nothing is left of it
		}
		octets, err := ics.Append(nil, cal.Component)
		if err != nil {
			rt.Fatal(err)
		}
		r := rapid.SampledFrom(savings).Draw(rt, "saving")
		noChange(rt, r.name, s, octets, r, rapid.Bool().Draw(rt, "base"))
	})
}

// drawAny is an event of any kind: alone or a series, of the mailbox's own or one that it is invited to.
func drawAny(t *rapid.T) Series {
	pick := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
	zone := pick("zone", "W. Europe Standard Time", "Pacific Standard Time", "India Standard Time", "UTC", "AUS Eastern Standard Time", "Asia/Kathmandu")
	start := date(2026, 1, 1).AddDate(0, 0, rapid.IntRange(0, 700).Draw(t, "day"))
	end := start.AddDate(0, 0, rapid.IntRange(1, 3).Draw(t, "days"))
	allDay := rapid.IntRange(0, 3).Draw(t, "allday") == 0
	if !allDay {
		start = start.Add(time.Duration(rapid.IntRange(0, 95).Draw(t, "clock")) * 15 * time.Minute)
		end = start.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "quarters")) * 15 * time.Minute)
	}
	at := func(t time.Time) map[string]any {
		return map[string]any{"dateTime": t.Format("2006-01-02T15:04:05"), "timeZone": zone}
	}
	e := map[string]any{"id": "M", "iCalUId": "uid", "type": "singleInstance", "subject": pick("subject", "", "Planning", "A, b; c\\n"),
		"body":  map[string]any{"contentType": pick("type", "html", "text"), "content": pick("body", "", "<p>One</p><p>Two</p>", "One\n\n  Two\t3", "<a href='https://zoom.us/j/1'>Join</a>")},
		"start": at(start), "end": at(end), "isAllDay": allDay, "originalStartTimeZone": zone, "originalEndTimeZone": zone,
		"showAs": pick("showAs", "free", "tentative", "busy", "oof", "workingElsewhere", "unknown"), "sensitivity": pick("sensitivity", "normal", "personal", "private", "confidential"),
		"importance": pick("importance", "low", "normal", "high"), "isReminderOn": rapid.Bool().Draw(t, "reminder"), "reminderMinutesBeforeStart": rapid.IntRange(-5, 3000).Draw(t, "minutes"),
		"categories": rapid.SliceOfN(rapid.SampledFrom([]string{"A", "b, c", "Ümläut"}), 0, 3).Draw(t, "categories"),
		"location":   map[string]any{"displayName": pick("location", "", "Room 5", "A; B")}, "isOrganizer": rapid.Bool().Draw(t, "organizer"),
		"organizer":      map[string]any{"emailAddress": map[string]any{"address": pick("boss", "me@contoso.example", "boss@example.org")}},
		"responseStatus": map[string]any{"response": pick("response", "none", "organizer", "accepted", "notResponded", "tentativelyAccepted")}}
	var people []any
	for _, address := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"me@contoso.example", "a@example.org", "B@example.org", "", "/o=x/cn=y"}), 0, 4, rapid.ID[string]).Draw(t, "people") {
		people = append(people, map[string]any{"type": pick("kind", "required", "optional", "resource"), "emailAddress": map[string]any{"name": "N " + address, "address": address},
			"status": map[string]any{"response": pick("status", "none", "accepted", "declined")}})
	}
	e["attendees"] = people
	s := Series{MailboxZone: "W. Europe Standard Time", Owner: "me@contoso.example", Scheduling: rapid.Bool().Draw(t, "scheduling"), HTML: rapid.Bool().Draw(t, "html")}
	read := func(m map[string]any) (out graph.Event) {
		b, err := json.Marshal(m)
		if err == nil {
			err = out.UnmarshalJSON(b)
		}
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if rapid.Bool().Draw(t, "recurs") {
		e["type"] = "seriesMaster"
		e["recurrence"] = map[string]any{
			"pattern": map[string]any{"type": pick("pattern", "daily", "weekly", "absoluteMonthly", "relativeMonthly", "absoluteYearly", "relativeYearly"), "interval": rapid.IntRange(1, 3).Draw(t, "interval"),
				"daysOfWeek": []string{strings.ToLower(start.Weekday().String()), "friday"}, "firstDayOfWeek": pick("first", "sunday", "monday", "thursday"),
				"index": pick("index", "first", "second", "last"), "dayOfMonth": start.Day(), "month": int(start.Month())},
			"range": map[string]any{"type": pick("range", "noEnd", "numbered", "endDate"), "startDate": start.Format(time.DateOnly), "endDate": start.AddDate(0, rapid.IntRange(1, 30).Draw(t, "months"), 0).Format(time.DateOnly),
				"numberOfOccurrences": rapid.IntRange(1, 30).Draw(t, "count"), "recurrenceTimeZone": zone}}
		s.Cancelled = []string{"OID.M." + start.AddDate(0, 0, 7).Format(time.DateOnly)}
		other := maps.Clone(e)
		delete(other, "recurrence")
		original := start.AddDate(0, 0, 14)
		moved := time.Duration(rapid.IntRange(0, 5).Draw(t, "moved")) * time.Hour
		if allDay {
			moved = 0
		}
		other["id"], other["type"], other["seriesMasterId"], other["occurrenceId"] = "X", "exception", "M", "OID.M."+original.Format(time.DateOnly)
		other["start"], other["end"], other["subject"] = at(original.Add(moved)), at(original.Add(moved+end.Sub(start))), pick("other", "Planning", "Other")
		s.Exceptions = []graph.Event{read(other)}
	}
	s.Event = read(e)
	return s
}

func readBack(t rapid.TB, octets []byte) *ical.Calendar {
	cal, err := ics.Decode(octets)
	if err != nil {
		t.Fatal(err)
	}
	return cal
}

func stepsText(steps []Step) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&b, "%s %s %s %s\n", s.Op, s.Occurrence, s.ID, s.Fields)
	}
	return b.String()
}
