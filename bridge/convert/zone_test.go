package convert

import (
	"testing"

	"outbridge/bridge/graph"
)

func TestLoadZone(t *testing.T) {
	for name, want := range map[string]string{
		"W. Europe Standard Time":        "Europe/Berlin",
		"w. europe standard time":        "Europe/Berlin",
		"India Standard Time":            "Asia/Kolkata",
		"Central Standard Time (Mexico)": "America/Mexico_City",
		"UTC-11":                         "Etc/GMT+11",
		"UTC+13":                         "Etc/GMT-13",
		"Kamchatka Standard Time":        "Asia/Kamchatka",
		"Mid-Atlantic Standard Time":     "Atlantic/South_Georgia",
		"Europe/Berlin":                  "Europe/Berlin",
		"europe/berlin":                  "Europe/Berlin",
		" Europe/Berlin ":                "Europe/Berlin",
		"America/Godthab":                "America/Godthab",
		"America/Santa_Isabel":           "America/Santa_Isabel",
		"America/Argentina/Buenos_Aires": "America/Argentina/Buenos_Aires",
		"Etc/GMT+12":                     "Etc/GMT+12",
		"(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna": "Europe/Berlin",
		"(GMT+01.00) Brussels/Copenhagen/Madrid/Paris":                 "Europe/Paris",
		"(UTC-08:00) Pacific Time (US & Canada)":                       "America/Los_Angeles",
		"(UTC+05:30) Chennai, Kolkata, Mumbai, New Delhi":              "Asia/Kolkata",
		"UTC": "UTC", "utc": "UTC", "Etc/UTC": "UTC", "Etc/GMT": "UTC", "GMT": "UTC", "Z": "UTC",
		"tzone://Microsoft/Utc": "UTC", "(UTC) Coordinated Universal Time": "UTC",
		"GMT Standard Time": "Europe/London", "Greenwich Standard Time": "Atlantic/Reykjavik",
		"": "", "tzone://Microsoft/Custom": "", "Customized Time Zone": "", "Local": "", "right/Europe/Berlin": "", "../Europe/Berlin": "",
		"/etc/localtime": "", "Mars/Phobos": "", "posixrules": "", "(UTC+01:00) Atlantis": "", "(": "", ") ": "",
	} {
		loc, iana, ok := LoadZone(name)
		if iana != want || ok != (want != "") || ok != (loc != nil) {
			t.Errorf("LoadZone(%q) = %v, %q, %v; want %q", name, loc, iana, ok, want)
		}
	}
}

// Every name in the tables leads to a zone that the tz database has.
func TestZoneTables(t *testing.T) {
	for windows, iana := range windowsZones {
		loc, got, ok := LoadZone(windows)
		if !ok || got != iana && !utcNames["etc/utc"] || loc == nil {
			t.Errorf("%s: %q, want %q", windows, got, iana)
		}
	}
	for cities, name := range displayNames {
		_, got, ok := LoadZone("(UTC+00:00) " + cities)
		_, want, _ := LoadZone(name)
		if !ok || got != want || want == "" {
			t.Errorf("%s: %q, want that of %s, %q", cities, got, name, want)
		}
	}
	if len(windowsZones) != 139 {
		t.Errorf("%d Windows zones; CLDR 48 has 139", len(windowsZones))
	}
}

func TestParseCivil(t *testing.T) {
	for s, want := range map[string]string{
		"2026-07-01T10:00:00.0000000":            "2026-07-01T10:00:00",
		"2026-07-01T10:00:00.0000000Z":           "2026-07-01T10:00:00 utc",
		"2026-07-01T10:00:00":                    "2026-07-01T10:00:00",
		"2026-07-01T10:00:00Z":                   "2026-07-01T10:00:00 utc",
		"2026-07-01T10:00:00+02:00":              "2026-07-01T08:00:00 utc",
		"2026-07-01T10:00":                       "2026-07-01T10:00:00",
		"2026-07-01":                             "2026-07-01T00:00:00",
		"2026-07-01T10:00:00+0530":               "2026-07-01T04:30:00 utc",
		"2026-07-01T10:00:00.12 -08":             "2026-07-01T18:00:00 utc",
		"2026-07-01T00:00:00−05:00":              "2026-07-01T05:00:00 utc",
		"2026-07-01t10:00:00z":                   "2026-07-01T10:00:00 utc",
		"2026-7-1T9:05":                          "2026-07-01T09:05:00",
		"2026-07-01 10:00:00 UTC":                "2026-07-01T10:00:00 utc",
		"2026-07-01T10:00:00,123456789012+01:00": "2026-07-01T09:00:00 utc",
		"2026-07-01T10:00:00.":                   "2026-07-01T10:00:00",
		"2026-12-31T24:00:00":                    "2027-01-01T00:00:00",
		"٢٠٢٦-٠٧-٠١T١٠:٠٠:٠٠":                    "2026-07-01T10:00:00",
		"۲۰۲۶-۰۷-۰۱T۱۹:۳۰:۰۰Z":                   "2026-07-01T19:30:00 utc",
		"２０２６-07-０１":                             "2026-07-01T00:00:00",
		"2026-02-30T10:00:00":                    "", "2026-07-01T24:00:01": "", "2026-07-01Z": "", "2026-07-01T10:00:00+25:00": "", "9999-12-31T24:00:00": "",
		"9999-12-31T23:59:59.9999999":  "9999-12-31T23:59:59",
		"0001-01-01T00:00:00.0000000Z": "0001-01-01T00:00:00 utc",
		"9999-12-31T23:59:59-05:00":    "", "0001-01-01T00:00:00+05:00": "",
		"": "", "10:00": "", "2026-13-01T00:00:00": "", "2026-07-01T25:00:00": "", "soon": "",
	} {
		got, utc, ok := parseCivil(s)
		text := ""
		if ok {
			text = got.Format("2006-01-02T15:04:05")
		}
		if utc {
			text += " utc"
		}
		if text != want {
			t.Errorf("%q: %q, want %q", s, text, want)
		}
	}
}

// A time of any text is none, or one that can be written; a zone of any name is none, or one that can be found again.
func FuzzTimes(f *testing.F) {
	f.Add("2026-03-29T02:30:00.0000000", "W. Europe Standard Time")
	f.Add("0001-01-01T00:00:00Z", "tzone://Microsoft/Utc")
	f.Add("9999-12-31T23:59:59+14:00", "(UTC+01:00) Amsterdam, Berlin")
	f.Fuzz(func(t *testing.T, dateTime, name string) {
		if loc, iana, ok := LoadZone(name); ok {
			if again, same, ok := LoadZone(iana); !ok || same != iana || again.String() != loc.String() {
				t.Errorf("%q is %q, which is %q", name, iana, same)
			}
		}
		m, _, ok := readMoment(graph.DateTimeTimeZone{DateTime: dateTime, TimeZone: name}, zone{})
		if ok && (m.at.Year() < 1 || m.at.Year() > 9999 || m.civil.Year() < 1 || m.civil.Year() > 9999) {
			t.Errorf("%q %q: %v", dateTime, name, m)
		}
	})
}
