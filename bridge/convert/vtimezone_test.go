package convert

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/caldav/ics"
)

// zoneReader reads a VTIMEZONE as RFC 5545 §3.6.5 says: in force is the observance with the latest onset.
type zoneReader []struct {
	at     time.Time
	offset int
}

func readVTimezone(t *testing.T, c *ical.Component, until int) zoneReader {
	t.Helper()
	var out zoneReader
	for _, o := range c.Children {
		from, to := readOffset(t, o, "TZOFFSETFROM"), readOffset(t, o, "TZOFFSETTO")
		if o.Props.Get("RDATE") != nil {
			t.Fatal("a VTIMEZONE with RDATE")
		}
		start, err := time.Parse("20060102T150405", o.Props.Get("DTSTART").Value)
		if err != nil {
			t.Fatal(err)
		}
		add := func(wall time.Time) {
			out = append(out, struct {
				at     time.Time
				offset int
			}{wall.Add(-time.Duration(from) * time.Second), to})
		}
		rule := o.Props.Get("RRULE")
		if rule == nil {
			add(start)
			continue
		}
		parts := map[string]string{}
		for _, p := range strings.Split(rule.Value, ";") {
			k, v, _ := strings.Cut(p, "=")
			parts[k] = v
		}
		if parts["FREQ"] != "YEARLY" {
			t.Fatalf("rule %s", rule.Value)
		}
		first, interval := true, 1
		if n := parts["INTERVAL"]; n != "" {
			if interval, err = strconv.Atoi(n); err != nil || interval < 2 {
				t.Fatalf("rule %s", rule.Value)
			}
		}
		for y := start.Year(); y <= until; y += interval {
			month, err := strconv.Atoi(parts["BYMONTH"])
			if err != nil {
				t.Fatalf("rule %s", rule.Value)
			}
			for d := time.Date(y, time.Month(month), 1, start.Hour(), start.Minute(), start.Second(), 0, time.UTC); int(d.Month()) == month; d = d.AddDate(0, 0, 1) {
				if days := parts["BYMONTHDAY"]; days != "" && !slices.Contains(strings.Split(days, ","), strconv.Itoa(d.Day())) {
					continue
				}
				if by := parts["BYDAY"]; by != "" {
					name := strings.ToUpper(d.Weekday().String()[:2])
					nth := strconv.Itoa((d.Day()-1)/7+1) + name
					last := d.AddDate(0, 0, 7).Month() != d.Month()
					if by != name && by != nth && !(last && by == "-1"+name) {
						continue
					}
				}
				if first && !d.Equal(start) {
					t.Errorf("%s: DTSTART %s is no date of its rule %s", c.Props.Get("TZID").Value, start, rule.Value)
				}
				first = false
				if u := parts["UNTIL"]; u != "" {
					stop, err := time.Parse("20060102T150405Z", u)
					if err != nil {
						t.Fatal(err)
					}
					if d.Add(-time.Duration(from) * time.Second).After(stop) {
						continue
					}
				}
				add(d)
			}
		}
	}
	slices.SortFunc(out, func(a, b struct {
		at     time.Time
		offset int
	}) int {
		return a.at.Compare(b.at)
	})
	return out
}

func readOffset(t *testing.T, c *ical.Component, name string) int {
	t.Helper()
	v := c.Props.Get(name).Value
	if len(v) != 5 {
		t.Fatalf("%s:%s", name, v)
	}
	h, _ := strconv.Atoi(v[1:3])
	m, _ := strconv.Atoi(v[3:])
	if v[0] == '-' {
		return -(h*3600 + m*60)
	}
	return h*3600 + m*60
}

func (z zoneReader) offset(at time.Time) (int, bool) {
	offset, ok := 0, false
	for _, o := range z {
		if o.at.After(at) {
			break
		}
		offset, ok = o.offset, true
	}
	return offset, ok
}

// Every zone's VTIMEZONE says the offset right just before and just after each change that the tz database has within
// the life of an object, and through the months between.
func TestVTimezoneEqualsTzdata(t *testing.T) {
	lives := []struct{ first, last time.Time }{
		{date(1970, 6, 1), time.Time{}},
		{date(1995, 1, 1), time.Time{}},
		{date(2005, 3, 15), date(2008, 3, 15)},
		{date(2011, 12, 1), date(2012, 2, 1)},
		{date(2015, 7, 1), time.Time{}},
		{date(2019, 1, 10), date(2019, 1, 10)},
		{date(2026, 3, 1), time.Time{}},
		{date(2026, 10, 1), date(2031, 1, 1)},
		{date(2026, 2, 1), date(2026, 6, 1)},
		{date(2010, 11, 20), date(2011, 10, 20)},
		{date(2026, 1, 1), date(2028, 1, 1)},
		{date(2004, 7, 1), date(2012, 1, 1)},
		{date(2006, 11, 1), time.Time{}},
		{date(2014, 10, 1), date(2026, 10, 1)},
		{date(2022, 1, 5), time.Time{}},
	}
	for iana := range ianaZones {
		z, ok := loadIANA(iana)
		if !ok {
			t.Errorf("%s is in the table and not in the tz database", iana)
			continue
		}
		if z.utc() {
			continue
		}
		var probes []time.Time
		for at := date(1970, 1, 1); at.Year() <= 2040; at = at.AddDate(0, 0, 2) {
			_, a := at.In(z.loc).Zone()
			_, b := at.AddDate(0, 0, 2).In(z.loc).Zone()
			if a == b {
				if at.Day() <= 2 {
					probes = append(probes, at)
				}
				continue
			}
			lo, hi := at.Unix(), at.AddDate(0, 0, 2).Unix()
			for hi-lo > 1 {
				if _, o := time.Unix((lo+hi)/2, 0).In(z.loc).Zone(); o == a {
					lo = (lo + hi) / 2
				} else {
					hi = (lo + hi) / 2
				}
			}
			probes = append(probes, time.Unix(lo, 0), time.Unix(hi, 0))
		}
		for _, life := range lives {
			c := vtimezone(z, life.first, life.last)
			r := readVTimezone(t, c, 2041)
			for _, at := range probes {
				if at.Before(life.first) || !life.last.IsZero() && at.After(life.last) {
					continue
				}
				_, want := at.In(z.loc).Zone()
				if want%60 != 0 {
					continue // local mean time, which a VTIMEZONE does not say
				}
				if got, ok := r.offset(at); !ok || got != want {
					t.Errorf("%s %s–%s: at %s offset %d (%v), want %d", iana, life.first.Format(time.DateOnly), life.last.Format(time.DateOnly),
						at.UTC(), got, ok, want)
					break
				}
			}
		}
	}
}

// The usual zone has two parts with a rule each, the same for every object of our days.
func TestVTimezoneIsCompact(t *testing.T) {
	for _, tc := range []struct {
		zone        string
		first, last time.Time
		parts       int
	}{
		{"Europe/Berlin", date(2026, 1, 1), time.Time{}, 2},
		{"Europe/Berlin", date(2026, 7, 1), date(2026, 7, 1), 2},
		{"Europe/Dublin", date(2026, 7, 1), time.Time{}, 2},
		{"America/New_York", date(2009, 7, 1), time.Time{}, 2},
		{"America/New_York", date(2003, 7, 1), time.Time{}, 4},
		{"America/New_York", date(2005, 7, 1), time.Time{}, 10}, // the rule of 2007 is seven, which begin before
		{"Africa/Cairo", date(2026, 7, 1), time.Time{}, 3},
		{"America/Sao_Paulo", date(2018, 7, 1), time.Time{}, 2},
		{"Australia/Lord_Howe", date(2020, 7, 1), time.Time{}, 2},
		{"Antarctica/Troll", date(2020, 7, 1), time.Time{}, 2},
		{"Asia/Tokyo", date(2020, 7, 1), time.Time{}, 1},
		{"Asia/Kolkata", date(2020, 7, 1), date(2020, 7, 1), 1},
		{"America/Sao_Paulo", date(2024, 7, 1), time.Time{}, 1},
		{"Asia/Jerusalem", date(2020, 7, 1), time.Time{}, 2},
		{"America/Santiago", date(2026, 7, 1), time.Time{}, 2},
	} {
		z, _ := loadIANA(tc.zone)
		c := vtimezone(z, tc.first, tc.last)
		if len(c.Children) != tc.parts {
			cal := ical.NewCalendar()
			cal.Children = append(cal.Children, c)
			var b strings.Builder
			_ = ics.Encode(&b, cal)
			t.Errorf("%s %s: %d parts, want %d\n%s", tc.zone, tc.first, len(c.Children), tc.parts, b.String())
		}
	}
}

// Each part of a VTIMEZONE has begun before the object, in every zone: Ruby's icalendar fails on a time that is before one. Where
// the object has no end, and rules that the zone follows for good begin years after it, that takes too many parts.
func TestVTimezoneBeginsBeforeTheObject(t *testing.T) {
	lateForGood := []string{"Asia/Gaza", "Asia/Hebron", "America/Scoresbysund"} // their rules of today are of 2023 or later
	for iana := range ianaZones {
		z, ok := loadIANA(iana)
		if !ok || z.utc() {
			continue
		}
		for _, first := range []time.Time{date(1999, 12, 1), date(2006, 11, 1), date(2011, 12, 20), date(2014, 10, 1), date(2016, 3, 1), date(2022, 11, 3), date(2026, 2, 10), date(2027, 7, 1)} {
			for _, last := range []time.Time{first, first.AddDate(0, 5, 0), first.AddDate(3, 0, 0), first.AddDate(12, 0, 0), {}} {
				if last.IsZero() && (first.Year() < 2022 || slices.Contains(lateForGood, iana)) {
					continue
				}
				for _, o := range vtimezone(z, first, last).Children {
					start, err := time.Parse(ics.WallForm, o.Props.Get("DTSTART").Value)
					if err != nil {
						t.Fatal(err)
					}
					if start.Add(-time.Duration(readOffset(t, o, "TZOFFSETFROM")) * time.Second).After(first) {
						t.Errorf("%s from %s to %s: a part begins %s", iana, first.Format(time.DateOnly), last.Format(time.DateOnly), start)
					}
				}
			}
		}
	}
}

// The zones whose rules name a day that may lie in the month after, or leave out years, are right for good.
func TestVTimezoneForGood(t *testing.T) {
	for _, iana := range []string{"Africa/Cairo", "Europe/Berlin", "Asia/Jerusalem", "America/Santiago", "America/Nuuk", "America/New_York"} {
		z, _ := loadIANA(iana)
		for _, first := range []time.Time{date(2005, 7, 5), date(2022, 1, 5), date(2024, 11, 20), date(2026, 7, 1), date(2030, 12, 1)} {
			r := readVTimezone(t, vtimezone(z, first, time.Time{}), 2081)
			for at := first; at.Year() < 2080; at = at.AddDate(0, 0, 1) {
				_, want := at.In(z.loc).Zone()
				if got, ok := r.offset(at); !ok || got != want {
					t.Errorf("%s from %s: at %s offset %d (%v), want %d", iana, first.Format(time.DateOnly), at, got, ok, want)
					break
				}
			}
		}
	}
}

// A zone that follows the moon has no rule for good, not even where some of its changes look like one.
func TestVTimezoneWithoutARule(t *testing.T) {
	z, _ := loadIANA("Africa/Casablanca")
	for year := 2015; year < 2036; year++ {
		for _, o := range vtimezone(z, date(year, 7, 1), time.Time{}).Children {
			if rule := o.Props.Get("RRULE"); rule != nil && !strings.Contains(rule.Value, "UNTIL") {
				t.Errorf("%d: %s", year, rule.Value)
			}
		}
	}
}

func BenchmarkVTimezone(b *testing.B) {
	z, _ := loadIANA("Europe/Berlin")
	for b.Loop() {
		vtimezone(z, date(2026, 1, 1), time.Time{})
	}
}
