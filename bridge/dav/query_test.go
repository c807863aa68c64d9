package dav_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/dav"
	"outbridge/bridge/round/roundtest"
	"outbridge/caldav"
)

// counted tells how often objects are read by name.
type counted struct {
	dav.Store
	untold bool // there are no timetables
	reads  int
}

func (s *counted) Objects(ctx context.Context, id bridge.CalendarID, q bridge.ObjectQuery) ([]bridge.Object, error) {
	s.reads++
	return s.Store.Objects(ctx, id, q)
}

func (s *counted) ObjectsWithin(ctx context.Context, id bridge.CalendarID, start, end time.Time, each func(*bridge.Object) bool) error {
	return s.Store.ObjectsWithin(ctx, id, start, end, func(o *bridge.Object) bool {
		if s.untold {
			o.Timetable = ""
		}
		return each(o)
	})
}

// TestQueryOfTime: timetables answer what the octets of all objects would, in whatever zone dates are read, and no object is read for it.
func TestQueryOfTime(t *testing.T) {
	w := roundtest.New(t)
	cal := w.Box.Calendar()
	cal.Create(roundtest.Meeting("Single", 3, 9))
	holiday := roundtest.Meeting("Holiday", 10, 0)
	holiday.AllDay, holiday.End = true, holiday.Start.AddDate(0, 0, 1)
	cal.Create(holiday)
	cal.Create(roundtest.Weekly("Weekly", -20, 9, "monday", "thursday"))
	rare := roundtest.Weekly("Rare", -30, 23, "friday")
	rare.Recurrence.Pattern.Interval = 4
	series := cal.Create(rare)
	for _, i := range cal.Instances(roundtest.At(20, 0, 0), roundtest.At(60, 0, 0)) {
		if i.Subject == "Rare" {
			w.Must(cal.CancelOccurrence(series, i.Start.Format(time.DateOnly)))
			break
		}
	}
	w.Round()
	_, password, err := w.Store.AddPassword(w.Ctx, "alice", "", time.Now())
	w.Must(err)
	href := regexp.MustCompile(`calendar/[^<]+\.ics`)
	ask := func(s *counted, from, to time.Time, zone string) []string {
		const body = `<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range start="%s" end="%s"/></C:comp-filter></C:comp-filter></C:filter><C:timezone-id>%s</C:timezone-id></C:calendar-query>`
		const utc = "20060102T150405Z"
		r := httptest.NewRequestWithContext(w.Ctx, "REPORT", calendarPath, strings.NewReader(fmt.Sprintf(body, from.Format(utc), to.Format(utc), zone)))
		r.SetBasicAuth("alice", password)
		rec := httptest.NewRecorder()
		(&caldav.Handler{Backend: dav.Backend{Store: s}, Log: w.Log}).ServeHTTP(rec, r)
		if rec.Code != http.StatusMultiStatus {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		l := href.FindAllString(rec.Body.String(), -1)
		slices.Sort(l)
		return l
	}
	told, untold := &counted{Store: w.Store}, &counted{Store: w.Store, untold: true}
	answers := map[int]int{}
	for _, zone := range []string{"UTC", "Pacific/Auckland", "America/Los_Angeles"} {
		for _, length := range []time.Duration{time.Hour, 24 * time.Hour, 31 * 24 * time.Hour} {
			for h := -10 * 24; h < 40*24; h += 5 {
				from := roundtest.Start.Add(time.Duration(h) * time.Hour)
				got, want := ask(told, from, from.Add(length), zone), ask(untold, from, from.Add(length), zone)
				if !slices.Equal(got, want) {
					t.Fatalf("%s for %s, dates in %s: %v, want %v", from, length, zone, got, want)
				}
				answers[len(got)]++
			}
		}
	}
	if told.reads > 0 || untold.reads == 0 {
		t.Errorf("objects were read %d times, without timetables %d times", told.reads, untold.reads)
	}
	if len(answers) != 5 {
		t.Errorf("answers by their number of objects: %v", answers)
	}
	// Beyond what timetables tell, the octets do.
	far := roundtest.Start.AddDate(5, 0, 0)
	if got := ask(told, far, far.AddDate(0, 2, 0), "UTC"); len(got) != 2 || told.reads == 0 {
		t.Errorf("%v, objects were read %d times", got, told.reads)
	}
}

// TestQueryOfMany: where more may be in a range than are listed by time, all of it is answered all the same. That it is so is found out
// once, for ranges as long as that.
func TestQueryOfMany(t *testing.T) {
	w := roundtest.New(t)
	for i := range 7 {
		w.Box.Calendar().Create(roundtest.Meeting(fmt.Sprint("Meeting ", i), i, 9))
	}
	w.Round()
	for _, cache := range []*dav.Cache{nil, new(dav.Cache)} {
		store := &large{Store: w.Store}
		back := dav.Backend{Store: store, Cache: cache}
		c, err := back.Calendar(w.Ctx, alice, "calendar")
		w.Must(err)
		ask := func(days, want int) {
			t.Helper()
			names := map[string]bool{}
			for o, err := range back.Objects(w.Ctx, c, caldav.Query{Start: roundtest.At(-1, 0, 0), End: roundtest.At(days-1, 0, 0)}) {
				w.Must(err)
				names[o.Name] = true
			}
			if len(names) != want {
				t.Errorf("%d objects in %d days, want %d", len(names), days, want)
			}
		}
		ask(30, 7)
		ask(30, 7)
		ask(60, 7)
		if cache != nil && store.reads != 1 {
			t.Errorf("a month was listed by time %d times", store.reads)
		}
		ask(3, 2)
		if cache != nil && store.reads != 2 {
			t.Errorf("a month and some days were listed by time %d times", store.reads)
		}
	}
}

// large has objects of which a few are more than are listed by time.
type large struct {
	dav.Store
	reads int
}

func (s *large) ObjectsWithin(ctx context.Context, id bridge.CalendarID, start, end time.Time, each func(*bridge.Object) bool) error {
	s.reads++
	return s.Store.ObjectsWithin(ctx, id, start, end, func(o *bridge.Object) bool {
		o.Timetable = strings.Repeat(" ", 200<<10)
		return each(o)
	})
}
