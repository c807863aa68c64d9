//go:build interop

package convert

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/caldav/ics"
)

// clocks are the clock times with a zone that an object names, by zone, but for those that come twice or are skipped, which
// readers take for what they like.
func clocks(t *testing.T, cal *ical.Calendar) map[string][]time.Time {
	t.Helper()
	out := map[string][]time.Time{}
	for _, c := range cal.Children {
		for _, name := range []string{ical.PropDateTimeStart, ical.PropDateTimeEnd, ical.PropRecurrenceID, ical.PropExceptionDates, ical.PropRecurrenceDates} {
			for _, p := range c.Props.Values(name) {
				if p.Params.Get(ical.ParamValue) == "DATE" || c.Name != ical.CompEvent {
					continue
				}
				id := p.Params.Get(ical.ParamTimezoneID)
				form := ics.WallForm
				if id == "" {
					form = ics.UTCForm
				}
				wall, err := time.Parse(form, p.Value)
				if err != nil {
					t.Fatal(err)
				}
				out[id] = append(out[id], wall)
			}
		}
	}
	return out
}

// Ruby's icalendar, with the VTIMEZONEs of each object, reads each time that it names. It reads the offset of a time from the
// last onset of each part, and fails where one of several has none before that time.
func TestRuby(t *testing.T) {
	need(t, "ruby", "ruby")
	if err := exec.CommandContext(t.Context(), "ruby", "-e", `require "stringio"; require "icalendar"`).Run(); err != nil {
		t.Fatal("this test needs Ruby's icalendar: apt-get install ruby-icalendar")
	}
	list := samples(t)
	var in bytes.Buffer
	for _, s := range list {
		if err := json.NewEncoder(&in).Encode(map[string]any{"ics": string(s.ics)}); err != nil {
			t.Fatal(err)
		}
	}
	dec := json.NewDecoder(bytes.NewReader(command(t, ".", &in, "ruby", "testdata/ruby/times.rb")))
	times := 0
	for _, s := range list {
		var answer struct {
			Times []int64
			Error string
		}
		if err := dec.Decode(&answer); err != nil {
			t.Fatal(err)
		}
		if answer.Error != "" {
			t.Errorf("%s: %s\n%s", s.name, answer.Error, s.ics)
			continue
		}
		var want []int64
		sure := true
		for id, walls := range clocks(t, decode(t, s.ics)) {
			loc := time.UTC
			if id != "" {
				z, _ := findZone(id)
				loc = z.location()
			}
			for _, w := range walls {
				at := ics.Instant(w, loc)
				sure = sure && isSure(w, loc)
				want = append(want, at.Unix())
			}
		}
		slices.Sort(want)
		if sure && !slices.Equal(want, answer.Times) {
			t.Errorf("%s: times %d, want %d\n%s", s.name, answer.Times, want, s.ics)
		}
		times += len(want)
	}
	t.Logf("%d objects, %d times", len(list), times)
}

// isSure is whether a clock time comes once.
func isSure(wall time.Time, loc *time.Location) bool {
	at := ics.Instant(wall, loc)
	for _, d := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		_, a := at.In(loc).Zone()
		if _, b := at.Add(d).In(loc).Zone(); a != b {
			return false
		}
	}
	return true
}
