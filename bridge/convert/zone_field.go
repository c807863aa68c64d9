package convert

import (
	_ "embed"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fieldZone finds the zone of a name that is in no table as it stands, in the shapes that mailboxes have: with a vendor
// before it or a number after it, of summer time, an offset, in another language, cities after an offset. An offset in
// brackets says only which of several zones a name means; by itself it is none, for the zone may have summer time.
func fieldZone(name string) (zone, bool) {
	name = tidyZoneName(name)
	for _, find := range []func(string) (zone, bool){vendorZone, shapedZone, displayedZone, offsetZone} {
		if z, ok := find(name); ok {
			return z, true
		}
	}
	return zone{}, false
}

// tidyZoneName takes quotes, escapes and odd spaces out of a name.
func tidyZoneName(name string) string {
	if s, err := url.PathUnescape(name); err == nil && strings.Contains(name, "%") {
		name = s
	}
	name = strings.NewReplacer(`\`, "", `"`, "", "\u2212", "-", "\u2013", "-", "\x00", "").Replace(name)
	return strings.Trim(strings.Join(strings.Fields(name), " "), "' ")
}

// tabled is the zone of a name that is in the tables, or that the tz database has below an area.
func tabled(name string) (zone, bool) {
	key := strings.ToLower(name)
	if utcNames[key] {
		return zone{}, true
	}
	if iana, ok := zoneNames()[key]; ok {
		return loadIANA(iana)
	}
	if strings.Contains(name, "/") {
		return loadIANA(name)
	}
	return zone{}, false
}

// vendorZone finds the zone at the end of a path: /mozilla.org/20070129_1/Europe/Berlin, /freeassociation.sourceforge.net/
// Tzfile/Europe/Berlin, tzone://Microsoft/Utc.
func vendorZone(name string) (zone, bool) {
	first, _, ok := strings.Cut(name, "/")
	if !ok || first != "" && !strings.HasSuffix(first, ":") && strings.IndexByte(first, '.') < 1 {
		return zone{}, false
	}
	for rest := name; ok; {
		if _, rest, ok = strings.Cut(rest, "/"); !ok {
			break
		}
		if z, ok := tabled(strings.ReplaceAll(rest, " ", "_")); ok {
			return z, true
		}
		if z, ok := tabled(rest); ok {
			return z, true
		}
	}
	return zone{}, false
}

var (
	numbered  = regexp.MustCompile(`^(.*\S)[ _#-]+\(?[0-9]{1,4}\)?$`)
	bracketed = regexp.MustCompile(`^(.*\S) ?\(([^()]+)\)$`)
	summer    = regexp.MustCompile(`(?i)\b(daylight savings?|daylight|summer) time\b`)
	area      = regexp.MustCompile(`^(?i)(africa|america|antarctica|arctic|asia|atlantic|australia|europe|indian|pacific)([-_ /]+)([\pL].*)$`)
)

// shapedZone finds a zone by what is left of its name without a number, a remark in brackets, "Daylight".
func shapedZone(name string) (zone, bool) {
	try := []string{name}
	if m := numbered.FindStringSubmatch(name); m != nil && !utcNames[strings.ToLower(m[1])] {
		try = append(try, m[1])
	}
	for _, s := range slices.Clone(try) {
		if m := bracketed.FindStringSubmatch(s); m != nil {
			try = append(try, m[2], m[1])
		}
	}
	for _, s := range try {
		// A remark may be an offset: what it stands beside counts for more. See offsetZone.
		if _, ok := offsetNamed(s); ok {
			continue
		}
		forms := []string{s, summer.ReplaceAllString(s, "Standard Time")}
		if before, ok := cutLast(s, " time"); ok {
			forms = append(forms, before+" Standard Time")
		} else {
			forms = append(forms, s+" Standard Time", s+" Time")
		}
		for _, f := range forms {
			if z, ok := tabled(f); ok {
				return z, true
			}
			if iana, ok := zoneNames()[displayKey(f)]; ok {
				return loadIANA(iana)
			}
		}
		if m := area.FindStringSubmatch(s); m != nil {
			if iana, ok := zoneNames()[strings.ToLower(m[1]+"/"+strings.ReplaceAll(m[3], " ", "_"))]; ok {
				return loadIANA(iana)
			}
		}
		if iana, ok := zoneWords().names[wordKey(s)]; ok {
			return loadIANA(iana)
		}
	}
	return zone{}, false
}

// cutLast is s without its suffix, whatever the case of that.
func cutLast(s, suffix string) (string, bool) {
	n := len(s) - len(suffix)
	if n < 1 || !strings.EqualFold(s[n:], suffix) {
		return s, false
	}
	return s[:n], true
}

var inFront = regexp.MustCompile(`^\(?((?i:gmt|utc) ?(?:[-+] ?[0-9.:]+)?|[-+][0-9.:]+)\)[ -]*(.+)$`)

// displayedZone finds the zone of a display name in any language, "(UTC+01:00) Amsterdam, Berlin, Bern, Rom": by its name,
// else by the first city that has this offset, else by the offset where all zones that have it have the same rules.
func displayedZone(name string) (zone, bool) {
	m := inFront.FindStringSubmatch(name)
	if m == nil {
		return zone{}, false
	}
	offset, ok := offsetNamed(m[1])
	if !ok {
		return zone{}, false
	}
	right := func(iana string) (zone, bool) {
		z, ok := loadIANA(iana)
		return z, ok && standardOffset(z) == offset
	}
	text := m[2]
	if z, ok := shapedZone(text); ok && standardOffset(z) == offset {
		return z, true
	}
	parts := strings.FieldsFunc(strings.ReplaceAll(text, " - ", ","), func(r rune) bool { return strings.ContainsRune(",;/、，", r) })
	for _, part := range parts {
		part = tidyZoneName(part)
		if iana, ok := zoneWords().names[wordKey(part)]; ok {
			if z, ok := right(iana); ok {
				return z, true
			}
		}
		for _, iana := range zoneWords().cities[wordKey(part)] {
			if z, ok := right(iana); ok {
				return z, true
			}
		}
	}
	if iana, ok := northAmerica[offset]; ok && ofNorthAmerica.MatchString(text) {
		return loadIANA(iana)
	}
	if iana, ok := onlyZones()[offset]; ok && len(text) > 2 {
		return loadIANA(iana)
	}
	return zone{}, false
}

// ofNorthAmerica is Canada in many languages: Windows names the zones of the United States and Canada by a word and the two
// countries.
var ofNorthAmerica = regexp.MustCompile(`(?i)canad|kanad|канад|καναδ|加拿大|カナダ|캐나다|كندا|קנדה|แคนาดา`)

var northAmerica = map[time.Duration]string{
	-4 * time.Hour: "America/Halifax", -5 * time.Hour: "America/New_York", -6 * time.Hour: "America/Chicago",
	-7 * time.Hour: "America/Denver", -8 * time.Hour: "America/Los_Angeles",
}

// onlyZones are the offsets that all Windows zones with them keep by the same rules, and no whole hour, of which there are
// others: India, Nepal, Newfoundland.
var onlyZones = sync.OnceValue(func() map[time.Duration]string {
	out, other := map[time.Duration]string{}, map[time.Duration]bool{}
	for _, windows := range slices.Sorted(maps.Keys(windowsZones)) {
		z, ok := loadIANA(windowsZones[windows])
		if !ok {
			continue
		}
		o := standardOffset(z)
		if old, ok := out[o]; ok {
			a, _ := loadIANA(old)
			other[o] = other[o] || offsetAt(a, 1) != offsetAt(z, 1) || offsetAt(a, 7) != offsetAt(z, 7)
			continue
		}
		out[o] = z.tzid
	}
	maps.DeleteFunc(out, func(o time.Duration, _ string) bool { return other[o] || o%time.Hour == 0 })
	return out
})

func offsetAt(z zone, month time.Month) time.Duration {
	_, o := date(2026, month, 1).In(z.location()).Zone()
	return time.Duration(o) * time.Second
}

// standardOffset is the offset of a zone outside of summer time.
func standardOffset(z zone) time.Duration { return min(offsetAt(z, 1), offsetAt(z, 7)) }

var offsetForm = regexp.MustCompile(`^\(?(?i:utc|gmt|z)? ?([-+]) ?([0-9]{1,2})(?:[:.h]?([0-9]{2}))?(?:[:.]?00)?\)?$`)

// offsetNamed reads an offset as a name: GMT+6:30, UTC-5, +0530, (UTC+01:00).
func offsetNamed(s string) (time.Duration, bool) {
	if utcNames[strings.ToLower(strings.Trim(s, "() "))] {
		return 0, true
	}
	m := offsetForm.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	h, _ := strconv.Atoi(m[2])
	min, _ := strconv.Atoi("0" + m[3])
	d := time.Duration(h)*time.Hour + time.Duration(min)*time.Minute
	if m[1] == "-" {
		d = -d
	}
	return d, min < 60 && d >= -12*time.Hour && d <= 14*time.Hour
}

// fixedZones are IANA zones that keep an offset that is no whole hour all year. Whole hours have names in Etc, whose sign is
// the other one.
var fixedZones = map[time.Duration]string{
	3*time.Hour + 30*time.Minute: "Asia/Tehran", 4*time.Hour + 30*time.Minute: "Asia/Kabul", 5*time.Hour + 30*time.Minute: "Asia/Kolkata",
	5*time.Hour + 45*time.Minute: "Asia/Kathmandu", 6*time.Hour + 30*time.Minute: "Asia/Yangon", 8*time.Hour + 45*time.Minute: "Australia/Eucla",
	9*time.Hour + 30*time.Minute: "Australia/Darwin", -(9*time.Hour + 30*time.Minute): "Pacific/Marquesas",
}

// offsetZone is the zone of an offset that stands as a name, with or without a remark behind it ("GMT+0100 (CET)"). An
// offset that no zone keeps all year has a zone that is named after it.
func offsetZone(name string) (zone, bool) {
	d, ok := offsetNamed(name)
	if m := bracketed.FindStringSubmatch(name); !ok && m != nil {
		d, ok = offsetNamed(m[1])
	}
	switch {
	case !ok:
		return zone{}, false
	case d == 0:
		return zone{}, true
	case d%time.Hour == 0:
		return loadIANA(fmt.Sprintf("Etc/GMT%+d", -int(d/time.Hour)))
	}
	if iana, ok := fixedZones[d]; ok {
		return loadIANA(iana)
	}
	id := "UTC" + offsetText(d)[:3] + ":" + offsetText(d)[3:]
	return zone{time.FixedZone(id, int(d/time.Second)), id}, true
}

//go:embed zone_words.txt
var zoneWordsText string

// words are names of zones and of their cities, by wordKey. The zones are the ones that stand for a Windows zone.
type words struct {
	names  map[string]string
	cities map[string][]string
}

var zoneWords = sync.OnceValue(func() words {
	w := words{map[string]string{}, map[string][]string{}}
	whole := func(iana string) string {
		if z, ok := windowsZones[ianaZones[iana]]; ok {
			return z
		}
		return iana
	}
	city := func(text, iana string) {
		key := wordKey(text)
		if !slices.Contains(w.cities[key], iana) {
			w.cities[key] = append(w.cities[key], iana)
		}
	}
	for iana := range ianaZones {
		city(strings.ReplaceAll(iana[strings.LastIndexByte(iana, '/')+1:], "_", " "), whole(iana))
	}
	for line := range strings.Lines(zoneWordsText) {
		f := strings.SplitN(strings.TrimSpace(line), "\t", 3)
		if len(f) < 3 {
			continue
		}
		for text := range strings.SplitSeq(f[2], "|") {
			if f[1] == "city" {
				city(text, whole(f[0]))
			} else {
				w.names[wordKey(text)] = whole(f[0])
			}
		}
	}
	for text, iana := range foreignCities {
		city(text, iana)
	}
	for text, windows := range foreignNames {
		w.names[wordKey(text)] = windowsZones[windows]
	}
	return w
})

// wordKey is a name without what is no letter and no digit.
func wordKey(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 0x80 && r != '’' && r != '\u00a0' && r != '\u202f' && r != '（' && r != '）')
	}), " ")
}

// GraphZone is the name for Prefer: outlook.timezone that stands for the zone of a name, "" for a zone that is not known. Graph
// takes Windows names and IANA names, and refuses any other with 400, or breaks ("GMT+6:30").
func GraphZone(name string) string {
	if _, ok := windowsZones[name]; ok {
		return name
	}
	if _, ok := ianaZones[name]; ok {
		return name
	}
	z, ok := findZone(name)
	switch windows, known := ianaZones[z.tzid]; {
	case !ok:
		return ""
	case z.utc():
		return "UTC"
	case known:
		return windows
	}
	return ""
}

// WindowsZone is the Windows name of the zone of an IANA name, "" where there is none: for a Graph that does not take the latter.
func WindowsZone(name string) string { return ianaZones[name] }
