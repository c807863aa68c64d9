package ics_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"outbridge/caldav/ics"
)

// A clock time is the first of two, and in a gap counts from before it (RFC 5545 §3.3.5).
func TestInstant(t *testing.T) {
	for _, tc := range []struct{ zone, clock, want string }{
		{"Europe/Berlin", "2026-07-01T12:00:00", "2026-07-01T10:00:00"},
		{"Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T00:30:00"},
		{"Europe/Berlin", "2026-03-29T02:30:00", "2026-03-29T01:30:00"},
		{"America/New_York", "2026-03-08T02:30:00", "2026-03-08T07:30:00"},
		{"America/New_York", "2026-11-01T01:30:00", "2026-11-01T05:30:00"},
		{"Australia/Lord_Howe", "2026-04-05T01:45:00", "2026-04-04T14:45:00"},
		{"Pacific/Apia", "2011-12-30T12:00:00", "2011-12-30T22:00:00"},
		{"Antarctica/Troll", "2026-03-29T02:00:00", "2026-03-29T02:00:00"},
	} {
		loc, err := time.LoadLocation(tc.zone)
		if err != nil {
			t.Fatal(err)
		}
		clock, _ := time.Parse("2006-01-02T15:04:05", tc.clock)
		if got := ics.Instant(clock, loc).Format("2006-01-02T15:04:05"); got != tc.want {
			t.Errorf("%s in %s is %s, want %s", tc.clock, tc.zone, got, tc.want)
		}
	}
}

// Instant is what a slow search over the offsets of the days around finds, in every zone that is odd, and Wall undoes it.
func TestInstantTruth(t *testing.T) {
	zones := []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Antarctica/Troll", "America/St_Johns", "Asia/Kathmandu", "Africa/Casablanca", "Pacific/Kwajalein"}
	rapid.Check(t, func(t *rapid.T) {
		loc, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		// Half of them are within two hours of a change.
		at := time.Unix(rapid.Int64Range(date(1975, 1, 1).Unix(), date(2037, 1, 1).Unix()).Draw(t, "time"), 0)
		if _, end := at.In(loc).ZoneBounds(); !end.IsZero() && rapid.Bool().Draw(t, "near a change") {
			at = end.Add(time.Duration(rapid.IntRange(-7200, 7200).Draw(t, "seconds")) * time.Second)
		}
		wall := ics.Wall(at, loc).Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "hours")) * time.Hour)
		got := ics.Instant(wall, loc)
		if want := slowInstant(wall, loc); !got.Equal(want) {
			t.Fatalf("%s in %s is %s, want %s", wall, loc, got, want)
		}
	})
}

func TestParseMoment(t *testing.T) {
	for v, want := range map[string]string{
		"20260105": "2026-01-05 00:00:00 date", "20260105T091011": "2026-01-05 09:10:11", "20260105T091011Z": "2026-01-05 09:10:11 utc", " 20260105 ": "2026-01-05 00:00:00 date",
		"20161231T235960Z": "2016-12-31 23:59:59 utc", "20240229": "2024-02-29 00:00:00 date",
		"20230229": "", "20261301": "", "20260105T240000": "", "20260105T096000": "", "20260105T090061": "", "20260105t090000": "2026-01-05 09:00:00", "2026-1-5": "", "": "", "20260105T0910": "",
		"20260105T09101 Z": "", "+0260105": "", "20260105t091011z": "2026-01-05 09:10:11 utc", "20260105T091011z": "2026-01-05 09:10:11 utc", "99991231T235959Z": "9999-12-31 23:59:59 utc",
	} {
		m, err := ics.ParseMoment(v, nil)
		got := ""
		if err == nil {
			got = m.Wall.Format(time.DateTime)
			if m.Date {
				got += " date"
			} else if m.Loc == time.UTC {
				got += " utc"
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", v, got, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for v, want := range map[string]ics.Duration{
		"P1D": {Days: 1}, "PT24H": {Seconds: 86400}, "P2W": {Days: 14}, "-P1DT2H3M4S": {Days: -1, Seconds: -7384}, "+pt15m": {Seconds: 900}, "P0D": {}, "PT0S": {}, "PT99999999S": {Seconds: 99999999},
	} {
		if got, err := ics.ParseDuration(v); err != nil || got != want {
			t.Errorf("%q: %v, %v", v, got, err)
		}
	}
	for _, v := range []string{"", "P", "1D", "P1", "P1H", "PT1D", "PT1W", "P99999999D", "PT9999999999999H", "P-1D", "soon"} {
		if got, err := ics.ParseDuration(v); err == nil {
			t.Errorf("%q: %v", v, got)
		}
	}
}
