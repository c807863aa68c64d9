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

// Names as mailboxes of the field have them, in all their shapes.
func TestNamesOfTheField(t *testing.T) {
	for name, want := range map[string]string{
		// A number behind it, where somebody imported the zone again.
		"Eastern Standard Time 1": "America/New_York", "W. Europe Standard Time 2": "Europe/Berlin", "Tokyo Standard Time (1)": "Asia/Tokyo",
		"Pacific Standard Time_1": "America/Los_Angeles", "Mexico Standard Time 2": "America/Chihuahua", "Europe/Berlin 1": "Europe/Berlin",
		"Russia Time Zone 10": "Asia/Srednekolymsk", "Customized Time Zone 1": "", "UTC 1": "", "Pacific Daylight Time 3": "America/Los_Angeles",
		// Summer time.
		"Eastern Daylight Time": "America/New_York", "W. Europe Daylight Time": "Europe/Berlin", "GMT Daylight Time": "Europe/London",
		"Romance Summer Time": "Europe/Paris", "Central Daylight Time (Mexico)": "America/Mexico_City", "AUS Eastern Daylight Time": "Australia/Sydney",
		"Eastern Daylight Savings Time": "America/New_York", "Eastern Time": "America/New_York", "Central European Summer Time": "Europe/Warsaw",
		"Pacific Time (US & Canada)": "America/Los_Angeles", "Eastern Standard Time (US & Canada)": "America/New_York", "Tokyo": "Asia/Tokyo",
		"eastern daylight time": "America/New_York", "British Summer Time": "Europe/London",
		// Vendors.
		"/mozilla.org/20070129_1/Europe/Berlin": "Europe/Berlin", "/freeassociation.sourceforge.net/Tzfile/America/Argentina/Buenos_Aires": "America/Argentina/Buenos_Aires",
		"/freeassociation.sourceforge.net/Europe/London": "Europe/London", "/softwarestudio.org/Olson_20011030_5/America/New_York": "America/New_York",
		"/citadel.org/20190914_1/Asia/Ho_Chi_Minh": "Asia/Ho_Chi_Minh", "/kerio.com/W. Europe Standard Time": "Europe/Berlin", "mozilla.org/20050126_1/Asia/Tokyo": "Asia/Tokyo",
		"tzone://Microsoft/Eastern Standard Time": "America/New_York", "/usr/share/zoneinfo/Europe/Rome": "Europe/Rome", "/ximian.com/America/New York": "America/New_York",
		"/example.com/Custom": "", "/example.com/right/": "", "//": "", "/": "", "/mozilla.org/x/localtime": "",
		// Offsets.
		"GMT+6:30": "Asia/Yangon", "UTC+02:00": "Etc/GMT-2", "GMT-5": "Etc/GMT+5", "+0530": "Asia/Kolkata", "-08:00": "Etc/GMT+8", "UTC +1": "Etc/GMT-1",
		"GMT+0100": "Etc/GMT-1", "(UTC+03:00)": "Etc/GMT-3", "UTC−3": "Etc/GMT+3", "GMT-03:30": "UTC-03:30", "+12:45": "UTC+12:45", "UTC+00:00": "UTC",
		"GMT+0000": "UTC", "-0000": "UTC", "(GMT)": "UTC", "UTC+5.75": "", "UTC+15": "", "UTC+02:75": "", "+": "", "5": "", "2026": "",
		"GMT+0100 (Mitteleuropäische Normalzeit)": "Europe/Berlin", "GMT+0200 (nobody knows)": "Etc/GMT-2",
		// Spelling.
		"America/New York": "America/New_York", "Europe-Berlin": "Europe/Berlin", "europe_berlin": "Europe/Berlin", `"Europe/Paris"`: "Europe/Paris",
		"Europe%2FMadrid": "Europe/Madrid", "Europe/Vienna (CET)": "Europe/Vienna", "Eastern Standard Time": "America/New_York", "'Asia/Tokyo'": "Asia/Tokyo",
		"W.  Europe  Standard Time": "Europe/Berlin", "PST": "America/Los_Angeles", "CEST": "Europe/Berlin", "CST": "", "IST": "",
		// Other languages.
		"Mitteleuropäische Zeit": "Europe/Berlin", "Mitteleuropäische Sommerzeit": "Europe/Berlin", "heure normale d’Europe centrale": "Europe/Paris",
		"Heure d'Europe centrale": "Europe/Paris", "Paris, Madrid (heure d'été)": "Europe/Paris", "Hora estándar romance": "Europe/Paris",
		"ora solare Europa occidentale": "Europe/Berlin", "West-Europa (standaardtijd)": "Europe/Berlin", "Hora oficial do Brasil": "America/Sao_Paulo",
		"Västeuropa, normaltid": "Europe/Berlin", "Москва, стандартное время": "Europe/Moscow", "中国标准时间": "Asia/Shanghai", "日本標準時": "Asia/Tokyo",
		"東京 (標準時)": "Asia/Tokyo", "대한민국 표준시": "Asia/Seoul", "Nordamerikanische Ostküsten-Normalzeit": "America/New_York", "hora estándar oriental": "America/New_York",
		"Středoevropský čas": "Europe/Budapest", "Eastern Normalzeit": "America/New_York",
		// Display names in other languages and of other programs.
		"(UTC+01:00) Amsterdam, Berlin, Bern, Rom, Stockholm, Wien": "Europe/Berlin", "(GMT+01:00) Bruxelles, Copenhague, Madrid, Paris": "Europe/Paris",
		"(UTC+01:00) Belgrad, Bratislava, Budapest, Ljubljana, Prag": "Europe/Budapest", "(UTC+01:00) Ámsterdam, Berlín, Berna, Roma, Estocolmo, Viena": "Europe/Berlin",
		"(UTC-05:00) Est (É.-U. et Canada)": "America/New_York", "(UTC-08:00) Hora del Pacífico (EE.UU. y Canadá)": "America/Los_Angeles",
		"(UTC-06:00) Central Time (USA & Kanada)": "America/Chicago", "(UTC+09:00) 大阪、札幌、東京": "Asia/Tokyo", "(UTC+08:00) 北京，重庆，香港特别行政区，乌鲁木齐": "Asia/Shanghai", "(UTC-03:00) Brasília": "America/Sao_Paulo", "(UTC-10:00) Hawaï": "Pacific/Honolulu",
		"(UTC+03:00) Москва, Санкт-Петербург": "Europe/Moscow", "(UTC+05:30) Chennai, Kalkutta, Mumbai, Neu-Delhi": "Asia/Kolkata", "(UTC-03:30) Neufundland": "America/St_Johns",
		"(GMT-05:00) Eastern Time - New York": "America/New_York", "(GMT+01:00) Central European Time - Berlin": "Europe/Paris", "(UTC+01:00) Atlantis": "",
		"(UTC+05:00) Berlin": "", `(UTC+01:00) Amsterdam\, Berlin\, Bern\, Rome\, Stockholm\, Vienna`: "Europe/Berlin",
		"(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna 1": "Europe/Berlin", "Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna": "Europe/Berlin",
	} {
		loc, iana, ok := LoadZone(name)
		if iana != want || ok != (want != "") || ok != (loc != nil) {
			t.Errorf("LoadZone(%q) = %v, %q, %v; want %q", name, loc, iana, ok, want)
		}
	}
}

// Graph is asked in names that it takes.
func TestGraphZone(t *testing.T) {
	for name, want := range map[string]string{
		"Eastern Standard Time": "Eastern Standard Time", "Europe/Berlin": "Europe/Berlin", "UTC": "UTC", "tzone://Microsoft/Utc": "UTC",
		"Eastern Standard Time 1": "Eastern Standard Time", "/mozilla.org/20070129_1/Europe/Vienna": "W. Europe Standard Time", "GMT+6:30": "Myanmar Standard Time",
		"GMT-03:30": "", "UTC+2": "South Africa Standard Time", "Mitteleuropäische Zeit": "W. Europe Standard Time", "tzone://Microsoft/Custom": "", "": "",
	} {
		if got := GraphZone(name); got != want {
			t.Errorf("GraphZone(%q) = %q, want %q", name, got, want)
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
