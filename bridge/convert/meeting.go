package convert

import (
	"net/url"
	"strings"

	"outbridge/bridge/graph"
)

// meeting is how to join an online meeting.
type meeting struct{ url, name string }

// meetingLink is the link of e's online meeting: what Graph says it is, or the first link of a service that we know
// in the location or the body. place tells which.
func meetingLink(e graph.Event, b body) (link meeting, place string) {
	stated := []struct{ property, url string }{{"onlineMeeting.joinUrl", ""}, {"onlineMeetingUrl", e.OnlineMeetingURL}}
	if e.OnlineMeeting != nil {
		stated[0].url = e.OnlineMeeting.JoinURL
	}
	for _, s := range stated {
		if u, ok := cleanURL(unwrap(s.url)); ok {
			name := service(u)
			if name == "" {
				name = "online meeting"
			}
			return meeting{u, name}, s.property
		}
	}
	found := []string{e.Location.LocationURI}
	for _, l := range append([]graph.Location{e.Location}, e.Locations...) {
		found = append(found, findLinks(l.DisplayName)...)
	}
	for i, s := range append(found, b.links...) {
		if u, ok := cleanURL(unwrap(s)); ok {
			if name := service(u); name != "" {
				place = "the location"
				if i >= len(found) {
					place = "the body"
				}
				return meeting{u, name}, place
			}
		}
	}
	return meeting{}, ""
}

// service is the meeting service that a link joins a meeting of, or "".
func service(link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return ""
	}
	host, path := strings.ToLower(u.Hostname()), u.Path
	under := func(domain string) bool { return host == domain || strings.HasSuffix(host, "."+domain) }
	begins := func(prefixes ...string) bool {
		for _, p := range prefixes {
			if strings.HasPrefix(path, p) {
				return true
			}
		}
		return false
	}
	switch {
	case (under("teams.microsoft.com") || under("teams.live.com") || under("teams.microsoft.us") || under("teams.microsoftonline.cn") ||
		under("teams.cloud.microsoft")) && begins("/l/meetup-join/", "/meet/", "/_#/l/meetup-join/"):
		return "Microsoft Teams"
	case (under("zoom.us") || under("zoomgov.com") || under("zoom.com")) && begins("/j/", "/my/", "/w/", "/s/"):
		return "Zoom"
	case host == "meet.google.com" && len(path) > 8:
		return "Google Meet"
	case under("webex.com") && (begins("/meet/", "/join/", "/m/") || strings.Contains(path, "j.php") || strings.Contains(path, "/wbxmjs/")):
		return "Webex"
	}
	return ""
}

// unwrap is the link that Outlook's Safe Links hide in one of their own.
func unwrap(link string) string {
	if !strings.Contains(link, "safelinks.protection.") {
		return link
	}
	u, err := url.Parse(strings.TrimSpace(link))
	if err != nil || !strings.Contains(strings.ToLower(u.Hostname()), ".safelinks.protection.") {
		return link
	}
	if inner := u.Query().Get("url"); strings.HasPrefix(inner, "http") {
		return inner
	}
	return link
}

// maxURL is above what browsers take.
const maxURL = 8 << 10

// cleanURL is an absolute http(s) link in the form that a URI property takes; ok is false for anything else.
func cleanURL(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if len(s) > maxURL {
		return "", false
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", false
	}
	for i := range len(s) {
		if mustEncode(s[i]) {
			s = percent(s)
			_, err := url.Parse(s) // a host must not hold what is encoded now
			return s, err == nil
		}
	}
	return s, true
}

// mustEncode is whether a URI must not hold the octet c (RFC 3986 §2).
func mustEncode(c byte) bool {
	return c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0
}

// percent writes the octets that a URI must not hold as %xx, and leaves the others as they are.
func percent(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if mustEncode(c) {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// maxLinks is how many links of a text are looked at.
const maxLinks = 1000

// findLinks are the links that stand in plain text.
func findLinks(s string) []string {
	var out []string
	for len(out) < maxLinks {
		i := strings.Index(s, "http")
		if i < 0 {
			break
		}
		s = s[i:]
		if !strings.HasPrefix(s, "https://") && !strings.HasPrefix(s, "http://") {
			s = s[4:]
			continue
		}
		n := strings.IndexFunc(s, func(r rune) bool {
			return r <= ' ' || strings.ContainsRune("<>\"\u00a0\u200b", r)
		})
		if n < 0 {
			n = len(s)
		}
		out = append(out, strings.TrimRight(s[:n], ".,;:!?)]}'"))
		s = s[n:]
	}
	return out
}
