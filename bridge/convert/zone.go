package convert

import (
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // for hosts that have no tz database
)

//go:generate go run gen_zones.go

// zone is a time zone that times are written in. The zero zone is UTC.
type zone struct {
	loc  *time.Location // nil for UTC
	tzid string         // IANA name, "" for UTC
}

func (z zone) utc() bool { return z.loc == nil }

func (z zone) location() *time.Location {
	if z.loc == nil {
		return time.UTC
	}
	return z.loc
}

// name is the zone as a person reads it.
func (z zone) name() string {
	if z.utc() {
		return "UTC"
	}
	return z.tzid
}

// LoadZone finds the zone of a name as Graph writes it: a Windows name (CLDR's mapping), an IANA name, a Windows
// display name used as an id ("(UTC+01:00) Amsterdam, Berlin, …"), in other languages too, an offset, or one of the odd
// names of old mailboxes: see fieldZone. iana is "UTC" for all the names of UTC. Custom zones ("tzone://Microsoft/Custom")
// are not known: their rules are nowhere in Graph's answer.
func LoadZone(name string) (loc *time.Location, iana string, ok bool) {
	z, ok := findZone(name)
	if !ok {
		return nil, "", false
	}
	return z.location(), z.name(), true
}

// Zone is LoadZone without the IANA name, for [ics.Reader].
func Zone(name string) (*time.Location, bool) {
	z, ok := findZone(name)
	return z.location(), ok
}

// findZone is LoadZone with the zero zone for UTC.
func findZone(name string) (zone, bool) {
	name = strings.TrimSpace(name)
	if name == "" || len(name) > 200 {
		return zone{}, false
	}
	key := strings.ToLower(name)
	if utcNames[key] {
		return zone{}, true
	}
	names := zoneNames()
	if iana, ok := names[key]; ok {
		return loadIANA(iana)
	}
	if _, cities, ok := strings.Cut(key, ") "); ok && strings.HasPrefix(key, "(") {
		if iana, ok := names[displayKey(cities)]; ok {
			return loadIANA(iana)
		}
	}
	return oddZones.find(name)
}

// oddZones remembers the zones of names that are in no table: to look for one takes a millisecond, and a mailbox has the
// same few names in thousands of events.
var oddZones zoneMemo

type zoneMemo struct {
	sync.Mutex
	known map[string]struct {
		zone
		ok bool
	}
}

// maxOddZones bounds what is remembered, since names come from events.
const maxOddZones = 500

func (m *zoneMemo) find(name string) (zone, bool) {
	m.Lock()
	have, ok := m.known[name]
	m.Unlock()
	if ok {
		return have.zone, have.ok
	}
	if have.zone, have.ok = loadIANA(name); !have.ok {
		have.zone, have.ok = fieldZone(name)
	}
	m.Lock()
	defer m.Unlock()
	if m.known == nil || len(m.known) >= maxOddZones {
		m.known = make(map[string]struct {
			zone
			ok bool
		})
	}
	m.known[strings.Clone(name)] = have
	return have.zone, have.ok
}

func loadIANA(name string) (zone, bool) {
	if utcNames[strings.ToLower(name)] {
		return zone{}, true
	}
	// "Local" is the host's own zone; right/ counts leap seconds; posixrules and the like are no places.
	if name == "Local" || strings.HasPrefix(name, "right/") || strings.HasPrefix(name, "posix") {
		return zone{}, false
	}
	if z, ok := loaded.Load(name); ok {
		return z.(zone), true
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return zone{}, false
	}
	z := zone{loc, name}
	if _, known := ianaZones[name]; known {
		loaded.Store(name, z)
	}
	return z, true
}

// loaded spares reading a zone's data again for each event; it holds at most the zones of ianaZones.
var loaded sync.Map

// displayKey brings the cities of a display name into one form: old ones are separated by slashes.
func displayKey(cities string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(cities), func(r rune) bool {
		return r == ',' || r == '/' || r == ' ' || r == ';'
	}), " ")
}

// zoneNames maps every known name, in lower case, to an IANA name.
var zoneNames = sync.OnceValue(func() map[string]string {
	m := make(map[string]string, 2*len(ianaZones))
	for iana := range ianaZones {
		m[strings.ToLower(iana)] = iana
	}
	for windows, iana := range windowsZones {
		m[strings.ToLower(windows)] = iana
	}
	for cities, name := range displayNames {
		if iana, ok := windowsZones[name]; ok {
			name = iana
		}
		m[displayKey(cities)] = name
	}
	for name, iana := range oldNames {
		m[strings.ToLower(name)] = iana
	}
	return m
})

// utcNames are the names of UTC, in lower case. RFC 5545 §3.2.19 wants a Z for them and no TZID.
var utcNames = map[string]bool{
	"utc": true, "z": true, "gmt": true, "uct": true, "zulu": true, "universal": true, "greenwich": true,
	"etc/utc": true, "etc/gmt": true, "etc/uct": true, "etc/zulu": true, "etc/universal": true, "etc/greenwich": true,
	"etc/gmt0": true, "etc/gmt+0": true, "etc/gmt-0": true, "gmt0": true, "gmt+0": true, "gmt-0": true,
	"tzone://microsoft/utc": true, "coordinated universal time": true, "(utc) coordinated universal time": true,
	"utc+00:00": true, "utc+0": true,
}
