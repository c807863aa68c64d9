package convert

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"outbridge/bridge/graph"
)

// meeting is how to join an online meeting.
type meeting struct{ url, name string }

// lineFor is the line that a description begins with, whose text is text: what a phone shows of it, where an invitation has the
// link at its end. "" where there is no link, or where it is there already.
func (m meeting) lineFor(text string) string {
	if first, _, _ := strings.Cut(text, "\n"); m.url == "" || strings.Contains(first, m.url) {
		return ""
	}
	return "Join " + m.name + ": " + m.url
}

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
	case host == "join.skype.com" && len(path) > 1:
		return "Skype"
	case (under("lync.com") || lyncHost.MatchString(host)) && lyncPath.MatchString(path):
		return "Skype for Business"
	case under("gotomeeting.com") && begins("/join/"), under("gotomeet.me") && len(path) > 1, host == "meet.goto.com" && len(path) > 1,
		host == "app.goto.com" && begins("/meeting/", "/meet/"):
		return "GoTo Meeting"
	case under("bluejeans.com") && len(path) > 4, under("chime.aws") && len(path) > 4, host == "meet.jit.si" && len(path) > 1,
		under("whereby.com") && len(path) > 1, host == "v.ringcentral.com" && begins("/join/"):
		return "online meeting"
	}
	return ""
}

// A server of Lync or Skype for Business that a company runs itself has a host of its own: https://meet.contoso.com/ann/4X7B2C9D
// (learn.microsoft.com/skypeforbusiness, "simple URLs"), or one below /meet.
var (
	lyncHost = regexp.MustCompile(`^(meet|lync|lyncweb|sfb|sfbweb|skype|skypeweb)[0-9]*\.`)
	lyncPath = regexp.MustCompile(`^(/meet)?(/[^/]+)+/[A-Z0-9]{6,16}/?$`)
)

// unwrap is the link that a filter of links hides in one of its own: Outlook's Safe Links, Proofpoint's URL Defense and others
// whose links say what is in them. Filters may be behind each other.
func unwrap(link string) string {
	for range 5 {
		inner := unwrapOnce(strings.TrimSpace(link))
		if inner == "" {
			return link
		}
		link = inner
	}
	return link
}

// wrappers are the hosts of filters that have the link in a query parameter.
var wrappers = []struct{ host, parameter string }{
	{"safelinks.protection.", "url"}, // of Outlook, in all clouds
	{"statics.teams.cdn.office.net", "url"},
	{"urldefense.proofpoint.com", "u"}, {"urldefense.com", "u"}, // the first two versions
	{"linkprotect.cudasvc.com", "a"}, {"secure-web.cisco.com", ""}, {"clicktime.symantec.com", "u"}, {"clicktime.cloud.postoffice.net", "u"},
	{"fireeye.com", "u"}, {"link.edgepilot.com", "u"}, {"link.zixcentral.com", "u"}, {"trendmicro.com", "url"}, {"protection.sophos.com", "u"},
}

// unwrapOnce is "" for a link that is not wrapped.
func unwrapOnce(link string) string {
	if !strings.HasPrefix(link, "http") {
		return ""
	}
	// https://urldefense.com/v3/__https://host/path__;!!key$, and the same of Check Point: /v2/___https://host/path___.key
	if _, rest, ok := strings.Cut(link, "/v3/__"); ok && strings.Contains(link, "//urldefense.") {
		return urlDefense(rest)
	}
	if _, rest, ok := strings.Cut(link, "/v2/___"); ok && (strings.Contains(link, "//protect.checkpoint.com/") || strings.Contains(link, "//url.avanan.click/")) {
		inner, _, _ := strings.Cut(rest, "___")
		return httpLink(inner)
	}
	known := slices.IndexFunc(wrappers, func(w struct{ host, parameter string }) bool { return strings.Contains(link, w.host) })
	if known < 0 {
		return ""
	}
	u, err := url.Parse(link)
	if err != nil {
		return ""
	}
	host := strings.ToLower(u.Hostname())
	for _, w := range wrappers {
		if host != w.host && !strings.HasSuffix(host, "."+w.host) && !(strings.HasSuffix(w.host, ".") && strings.Contains("."+host, "."+w.host)) {
			continue
		}
		inner := u.Query().Get(w.parameter)
		switch {
		case w.parameter == "": // https://secure-web.cisco.com/key/https%3A%2F%2Fhost%2Fpath
			_, inner, _ = strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		case strings.HasPrefix(w.host, "urldefense.") && strings.HasPrefix(u.Path, "/v2/"):
			inner = strings.NewReplacer("-", "%", "_", "/").Replace(inner)
			if inner, err = url.PathUnescape(inner); err != nil {
				return ""
			}
		case w.host == "protection.sophos.com":
			b, err := base64.StdEncoding.DecodeString(inner)
			if err != nil {
				return ""
			}
			inner = string(b)
		}
		return httpLink(inner)
	}
	return ""
}

// httpLink is a link that is not encoded once more, "" for what is none.
func httpLink(s string) string {
	for range 2 {
		if lower := strings.ToLower(s); strings.HasPrefix(lower, "http%3a") || strings.HasPrefix(lower, "https%3a") {
			if inner, err := url.PathUnescape(s); err == nil {
				s = inner
			}
		}
	}
	if !strings.HasPrefix(s, "http://") && !strings.HasPrefix(s, "https://") || !utf8.ValidString(s) {
		return ""
	}
	return s
}

// urlDefense reads what follows "/v3/__" in a link of Proofpoint's URL Defense: the link, "__;", and in base64 the characters
// that it has asterisks for, up to "!". One asterisk is the next of them; two and a letter are as many as the letter says, from
// two for A on (help.proofpoint.com, "URL Defense decoder").
func urlDefense(s string) string {
	const runs = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	s, rest, ok := strings.Cut(s, "__;")
	if !ok {
		return ""
	}
	encoded, _, _ := strings.Cut(rest, "!")
	decoded, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		return ""
	}
	chars := []rune(string(decoded))
	take := func(n int) string {
		n = min(n, len(chars))
		out := string(chars[:n])
		chars = chars[n:]
		return out
	}
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(s, "*")
		b.WriteString(before)
		if !ok {
			break
		}
		s = after
		if n := 0; len(s) > 1 && s[0] == '*' {
			if n = strings.IndexByte(runs, s[1]); n >= 0 {
				b.WriteString(take(n + 2))
				s = s[2:]
				continue
			}
		}
		if len(chars) == 0 {
			b.WriteByte('*') // a link that has one of its own
		}
		b.WriteString(take(1))
	}
	inner := b.String()
	for _, scheme := range []string{"https:/", "http:/"} { // servers on the way make one slash of two
		if strings.HasPrefix(inner, scheme) && !strings.HasPrefix(inner, scheme+"/") {
			inner = scheme + "/" + inner[len(scheme):]
		}
	}
	return httpLink(inner)
}

// unwrapAll is text with the links in it unwrapped.
func unwrapAll(s string) string {
	for _, link := range findLinks(s) {
		if inner := unwrap(link); inner != link {
			s = strings.ReplaceAll(s, link, inner)
		}
	}
	return s
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
