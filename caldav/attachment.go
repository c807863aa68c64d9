package caldav

import "strings"

// fileName is the name of a file as a path segment and a header can carry it: what is left of a text that may have a path
// before it, without control characters, up to 120 octets. "" where nothing is.
func fileName(s string) string {
	s = s[strings.LastIndexAny(s, `/\`)+1:]
	s = strings.Map(func(r rune) rune {
		if badInSegment(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > 120 {
		s = strings.ToValidUTF8(s[:120], "")
	}
	if s = strings.TrimSpace(s); strings.Trim(s, ".") == "" {
		return ""
	}
	return s
}
