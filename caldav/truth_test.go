package caldav_test

import (
	"encoding/xml"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"outbridge/caldav"
	"outbridge/caldav/ics"
)

// The truth about time ranges: what caldav/ics makes of random events, which its own tests hold against a slow reading of
// RFC 5545, is what the server has to select and expand.

// truthDays is how far, in days after DTSTART, an endless series is followed.
const truthDays = 1200

type truthEvent struct {
	zone     *time.Location // nil: floating, or all day
	allDay   bool
	start    time.Time // wall clock, as if in UTC
	length   time.Duration
	byEnd    bool   // written with DTEND
	rule     string // "": none
	rdates   []time.Time
	walls    []time.Time // the clock times of its instances, those of RDATEs among them
	excluded []int       // of walls
	moved    []truthMove
	alarm    time.Duration // after the start, or the end
	atEnd    bool
}

type truthMove struct {
	index  int
	start  time.Time
	length time.Duration
}

type truthInstance struct {
	from, to time.Time
	clock    ics.Moment // of from
}

// instances are those of the event in the days that are looked at, floating times being read in a zone. endless is whether
// there are more.
func (e *truthEvent) instances(t rapid.TB, floating *time.Location) (l []truthInstance, endless bool) {
	cal, err := ics.Decode([]byte(e.ics()))
	if err != nil {
		t.Fatal(err)
	}
	r := &ics.Reader{Floating: floating}
	horizon := e.start.AddDate(0, 0, truthDays)
	list, err := r.Expand(cal, ics.Span{End: horizon})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		l = append(l, truthInstance{i.Start, i.End, i.Clock})
	}
	_, last := r.Bounds(cal)
	return l, last.IsZero() || last.After(horizon)
}

// instant is when a clock in the zone of the event shows wall.
func (e *truthEvent) instant(wall time.Time) time.Time {
	if e.zone == nil {
		return wall
	}
	return ics.Instant(wall, e.zone)
}

func (i truthInstance) in(start, end time.Time) bool {
	if i.from.Equal(i.to) {
		return (start.IsZero() || !i.from.Before(start)) && (end.IsZero() || i.from.Before(end))
	}
	return (start.IsZero() || i.to.After(start)) && (end.IsZero() || i.from.Before(end))
}

func (e *truthEvent) dateProp(name string, wall time.Time) string {
	switch {
	case e.allDay:
		return name + ";VALUE=DATE:" + wall.Format("20060102")
	case e.zone == nil:
		return name + ":" + wall.Format("20060102T150405")
	case e.zone == time.UTC:
		return name + ":" + wall.Format("20060102T150405Z")
	}
	return name + ";TZID=" + e.zone.String() + ":" + wall.Format("20060102T150405")
}

// expanded is the DTSTART of an instance in an expansion: in UTC, but floating times and dates as they are.
func (i truthInstance) expanded() string {
	switch {
	case i.clock.Date:
		return "DTSTART;VALUE=DATE:" + i.clock.Wall.Format("20060102")
	case i.clock.Loc == nil:
		return "DTSTART:" + i.clock.Wall.Format("20060102T150405")
	}
	return "DTSTART:" + i.from.UTC().Format("20060102T150405Z")
}

func (e *truthEvent) ics() string {
	length := func(d time.Duration) string {
		if e.allDay {
			return fmt.Sprintf("DURATION:P%dD", d/(24*time.Hour))
		}
		return fmt.Sprintf("DURATION:PT%dM", d/time.Minute)
	}
	var b strings.Builder
	b.WriteString("UID:x\nDTSTAMP:20260101T000000Z\n" + e.dateProp("DTSTART", e.start) + "\n")
	if e.byEnd {
		b.WriteString(e.dateProp("DTEND", e.start.Add(e.length)) + "\n")
	} else {
		b.WriteString(length(e.length) + "\n")
	}
	if e.rule != "" {
		b.WriteString("RRULE:" + e.rule + "\n")
	}
	alarm := fmt.Sprintf("BEGIN:VALARM\nACTION:DISPLAY\nTRIGGER;RELATED=%s:%sPT%dM\nEND:VALARM\n",
		map[bool]string{true: "END", false: "START"}[e.atEnd], map[bool]string{true: "-", false: ""}[e.alarm < 0], e.alarm.Abs()/time.Minute)
	for _, r := range e.rdates {
		b.WriteString(e.dateProp("RDATE", r) + "\n")
	}
	for _, i := range e.excluded {
		b.WriteString(e.dateProp("EXDATE", e.walls[i]) + "\n")
	}
	for _, m := range e.moved {
		b.WriteString(alarm + "END:VEVENT\nBEGIN:VEVENT\nUID:x\nDTSTAMP:20260101T000000Z\n" + e.dateProp("RECURRENCE-ID", e.walls[m.index]) + "\n" +
			e.dateProp("DTSTART", m.start) + "\n" + length(m.length) + "\n")
	}
	return event(b.String() + alarm)
}

var truthZones = []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Auckland"}

func drawZone(t *rapid.T, label string) *time.Location {
	loc, err := time.LoadLocation(rapid.SampledFrom(truthZones).Draw(t, label))
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func drawEvent(t *rapid.T) *truthEvent {
	e := &truthEvent{}
	kind := rapid.SampledFrom([]string{"zoned", "zoned", "zoned", "floating", "date"}).Draw(t, "kind")
	day := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 730).Draw(t, "day"))
	draw := func(label string) time.Duration {
		if kind == "date" {
			return time.Duration(rapid.IntRange(1, 5).Draw(t, label)) * 24 * time.Hour
		}
		return time.Duration(rapid.SampledFrom([]int{0, 15, 60, 480, 1440, 3000}).Draw(t, label)) * time.Minute
	}
	e.allDay = kind == "date"
	e.start = day
	if kind != "date" {
		e.start = day.Add(time.Duration(rapid.IntRange(0, 95).Draw(t, "quarter")) * 15 * time.Minute)
	}
	if kind == "zoned" {
		e.zone = drawZone(t, "zone")
	}
	e.length = draw("length")
	if e.zone != nil && e.zone != time.UTC {
		// DTEND is a clock reading; only one that can be read in one way says the same as a duration.
		end := e.start.Add(e.length)
		e.byEnd = e.instant(end).Equal(e.instant(e.start).Add(e.length)) && rapid.Bool().Draw(t, "by end")
	} else {
		e.byEnd = rapid.Bool().Draw(t, "by end")
	}
	n := rapid.IntRange(1, 4).Draw(t, "interval")
	codes := []string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}
	switch rapid.SampledFrom([]string{"", "daily", "weekly", "day of month", "last of month", "weekday of month", "yearly"}).Draw(t, "rule") {
	case "daily":
		e.rule = fmt.Sprintf("FREQ=DAILY;INTERVAL=%d", n)
	case "weekly":
		set := rapid.SliceOfNDistinct(rapid.IntRange(0, 6), 1, 4, rapid.ID[int]).Draw(t, "weekdays")
		if !slices.Contains(set, int(e.start.Weekday())) {
			set = append(set, int(e.start.Weekday()))
		}
		var by []string
		for _, w := range set {
			by = append(by, codes[w])
		}
		wkst := rapid.IntRange(0, 6).Draw(t, "week start")
		e.rule = fmt.Sprintf("FREQ=WEEKLY;INTERVAL=%d;WKST=%s;BYDAY=%s", n, codes[wkst], strings.Join(by, ","))
	case "day of month":
		e.rule = fmt.Sprintf("FREQ=MONTHLY;INTERVAL=%d", n)
	case "last of month":
		e.start = e.start.AddDate(0, 1, -e.start.Day()-e.start.AddDate(0, 1, -e.start.Day()).Day()+1)
		e.start = time.Date(e.start.Year(), e.start.Month()+1, 0, e.start.Hour(), e.start.Minute(), 0, 0, time.UTC)
		e.byEnd = false
		e.rule = fmt.Sprintf("FREQ=MONTHLY;INTERVAL=%d;BYMONTHDAY=-1", n)
	case "weekday of month":
		nth := (e.start.Day()-1)/7 + 1
		e.rule = fmt.Sprintf("FREQ=MONTHLY;INTERVAL=%d;BYDAY=%d%s", n, nth, codes[e.start.Weekday()])
		if rapid.Bool().Draw(t, "setpos") {
			e.rule = fmt.Sprintf("FREQ=MONTHLY;INTERVAL=%d;BYDAY=%s;BYSETPOS=%d", n, codes[e.start.Weekday()], nth)
		}
	case "yearly":
		e.rule = "FREQ=YEARLY"
	}
	e.alarm = time.Duration(rapid.SampledFrom([]int{-3000, -1440, -15, 0, 5, 90}).Draw(t, "alarm")) * time.Minute
	e.atEnd = rapid.Bool().Draw(t, "alarm at the end")
	for range rapid.IntRange(0, 2).Draw(t, "rdates") {
		r := e.start.AddDate(0, 0, rapid.IntRange(1, 300).Draw(t, "rdate"))
		if !slices.ContainsFunc(e.rdates, r.Equal) {
			e.rdates = append(e.rdates, r)
		}
	}
	if e.rule == "" {
		return e
	}
	switch rapid.IntRange(0, 2).Draw(t, "end") {
	case 1:
		e.rule += fmt.Sprint(";COUNT=", rapid.IntRange(1, 40).Draw(t, "count"))
	case 2:
		until := e.start.AddDate(0, 0, rapid.IntRange(0, 400).Draw(t, "until"))
		switch {
		case e.allDay:
			e.rule += ";UNTIL=" + until.Format("20060102")
		case e.zone == nil:
			e.rule += ";UNTIL=" + until.Format("20060102T150405")
		default:
			e.rule += ";UNTIL=" + e.instant(until).Format("20060102T150405Z")
		}
	}
	plain, _ := e.instances(t, time.UTC)
	for _, i := range plain {
		e.walls = append(e.walls, i.clock.Wall)
	}
	walls := e.walls
	near := min(len(walls), 30)
	for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, near-1), 0, min(3, near), rapid.ID[int]).Draw(t, "changed") {
		if rapid.Bool().Draw(t, "excluded") {
			e.excluded = append(e.excluded, i)
		} else {
			shift := time.Duration(rapid.IntRange(-200, 200).Draw(t, "shift")) * 15 * time.Minute
			if e.allDay {
				shift = shift.Truncate(24 * time.Hour)
			}
			e.moved = append(e.moved, truthMove{i, walls[i].Add(shift), draw("moved length")})
		}
	}
	return e
}

func TestTimeRangeTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvent(t)
		zone := drawZone(t, "calendar zone")
		instances, endless := e.instances(t, zone)
		m := &memory{}
		m.add(caldav.Calendar{Name: "work", DisplayName: "Work", TimeZone: zone.String()})
		var first, last time.Time
		if len(instances) > 0 && rapid.Bool().Draw(t, "bounds") {
			for _, i := range instances {
				if first.IsZero() || i.from.Before(first) {
					first = i.from
				}
				if !endless && i.to.After(last) {
					last = i.to
				}
			}
		}
		m.publishBounded("work", "x.ics", e.ics(), first, last)
		if cal, err := ics.Decode([]byte(e.ics())); err == nil && rapid.Bool().Draw(t, "timetable") {
			made := &ics.Reader{}
			from, to := made.Bounds(cal)
			m.tell("work", "x.ics", made.Timetable(cal, from, to, ics.Span{Start: e.start.AddDate(0, 0, -20), End: e.start.AddDate(0, 0, 300)}))
		}
		h := &caldav.Handler{Backend: m, Log: slog.New(slog.DiscardHandler)}
		ask := func(prop string, start, end time.Time, alarms ...bool) multistatus {
			var s1, s2 string
			if !start.IsZero() {
				s1 = start.UTC().Format("20060102T150405Z")
			}
			if !end.IsZero() {
				s2 = end.UTC().Format("20060102T150405Z")
			}
			filter := eventsWithin(s1, s2)
			if len(alarms) > 0 {
				filter = strings.ReplaceAll(filter, `<C:time-range`, `<C:comp-filter name="VALARM"><C:time-range`)
				filter = strings.ReplaceAll(filter, `</C:comp-filter>`, `</C:comp-filter></C:comp-filter>`)
			}
			req := httptest.NewRequest("REPORT", workPath, strings.NewReader(queryBody(prop, filter)))
			req.SetBasicAuth("alice", "secret")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			var ms multistatus
			if err := xml.Unmarshal(w.Body.Bytes(), &ms); w.Code != 207 || err != nil {
				t.Fatalf("%d %v %s", w.Code, err, w.Body)
			}
			return ms
		}
		// An edge is anywhere, or where it hurts.
		edge := func(label string) time.Time {
			if len(instances) > 0 && rapid.IntRange(0, 3).Draw(t, label+" at an instance") > 0 {
				i := instances[rapid.IntRange(0, min(len(instances), 60)-1).Draw(t, label+" instance")]
				if i.from.Sub(e.start) > (truthDays-60)*24*time.Hour {
					i = instances[0]
				}
				at := rapid.SampledFrom([]time.Time{i.from, i.to}).Draw(t, label+" of it")
				return at.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, label+" second")) * time.Second)
			}
			return e.start.Add(time.Duration(rapid.IntRange(-60*24, 500*24).Draw(t, label+" hour")) * time.Hour)
		}
		for range 6 {
			start, end := edge("start"), edge("end")
			switch rapid.IntRange(0, 3).Draw(t, "open") {
			case 1:
				end = time.Time{}
			case 2:
				start = time.Time{}
			default:
				if !end.After(start) {
					end = start.Add(time.Duration(rapid.SampledFrom([]int{1, 60, 3600, 86400, 30 * 86400}).Draw(t, "seconds")) * time.Second)
				}
			}
			var want []string
			rings := endless && end.IsZero()
			for _, i := range instances {
				if i.in(start, end) {
					want = append(want, i.expanded())
				}
				at := i.from
				if e.atEnd {
					at = i.to
				}
				at = at.Add(e.alarm)
				rings = rings || truthInstance{from: at, to: at}.in(start, end)
			}
			if got := len(ask("<D:getetag/>", start, end, true).Responses) == 1; got != rings {
				t.Fatalf("%v – %v: alarm selected %v, want %v\n%s", start, end, got, rings, e.ics())
			}
			matches := len(want) > 0 || endless && end.IsZero()
			if got := len(ask("<D:getetag/>", start, end).Responses) == 1; got != matches {
				t.Fatalf("%v – %v: selected %v, want %v\n%s", start, end, got, matches, e.ics())
			}
			if start.IsZero() || end.IsZero() || !matches {
				continue
			}
			data, _ := ask(fmt.Sprintf(`<C:calendar-data><C:expand start="%s" end="%s"/></C:calendar-data>`,
				start.UTC().Format("20060102T150405Z"), end.UTC().Format("20060102T150405Z")), start, end).Responses[0].get("urn:ietf:params:xml:ns:caldav", "calendar-data")
			var got []string
			for line := range strings.Lines(data.Text) {
				if strings.HasPrefix(line, "DTSTART") {
					got = append(got, strings.TrimSpace(line))
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("%v – %v: expanded to %v, want %v\n%s", start, end, got, want, e.ics())
			}
		}
	})
}
