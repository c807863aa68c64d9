package caldav

import (
	"net/http"
	"net/url"
	"strings"
)

// kind says what a URL names. Kinds are bits, so that a property can name all the kinds that have it.
type kind uint8

const (
	kindRoot       kind = 1 << iota // /, /dav/ and /dav/calendars/
	kindPrincipals                  // the collection of principals
	kindPrincipal
	kindHome // a principal's calendar home (RFC 4791 §6.2.1)
	kindCalendar
	kindObject
	kindInbox  // a principal's scheduling inbox (RFC 6638 §2.2)
	kindOutbox // and outbox (§2.1)

	kindBoxes = kindInbox | kindOutbox
	kindAny   = kindRoot | kindPrincipals | kindPrincipal | kindHome | kindCalendar | kindObject | kindBoxes
)

const (
	rootPath       = "/dav/"
	principalsPath = "/dav/principals/"
	calendarsPath  = "/dav/calendars/"
	wellKnownPath  = "/.well-known/caldav"
	maxSegment     = 255
)

// target is what a request path names. Nothing of it has been looked up.
type target struct {
	kind                   kind
	user, calendar, object string // path segments, decoded
	href                   string // canonical and percent-encoded; a collection's ends in a slash
}

func principalHref(user string) string { return principalsPath + escapeSegment(user) + "/" }
func inboxHref(user string) string     { return principalHref(user) + "inbox/" }
func outboxHref(user string) string    { return principalHref(user) + "outbox/" }
func homeHref(user string) string      { return calendarsPath + escapeSegment(user) + "/" }
func calendarHref(user, calendar string) string {
	return homeHref(user) + escapeSegment(calendar) + "/"
}

// escapeSegment percent-encodes all but the unreserved characters of RFC 3986: Apple's clients do not find a
// resource again whose '@' was left bare.
func escapeSegment(s string) string {
	if isUnreserved(s) { // as the names are that are made here
		return s
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; unreserved[c] {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// unreserved are the characters that mean themselves in a URL (RFC 3986 §2.3).
var unreserved = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") {
		t[c] = true
	}
	return
}()

func isUnreserved(s string) bool {
	for i := range len(s) {
		if !unreserved[s[i]] {
			return false
		}
	}
	return true
}

var errMalformedPath = badRequest("malformed path")

// parsePath reads an escaped URL path. A missing slash after a collection is forgiven. ErrNotFound: nothing of
// ours; a 400: a path that is out to trick.
func parsePath(escaped string) (target, error) {
	if !strings.HasPrefix(escaped, "/") {
		return target{}, errMalformedPath
	}
	var room [6]string
	seg := room[:0]
	canonical := true // as we write it, but perhaps for a slash at the end
	inner := strings.TrimSuffix(escaped[1:], "/")
	for s := range strings.SplitSeq(inner, "/") {
		if !isUnreserved(s) {
			var err error
			if s, err = url.PathUnescape(s); err != nil || strings.ContainsFunc(s, badInSegment) {
				return target{}, errMalformedPath
			}
			canonical = false
		}
		if s == "." || s == ".." || len(s) > maxSegment {
			return target{}, errMalformedPath
		}
		if s == "" && inner != "" {
			return target{}, ErrNotFound
		}
		seg = append(seg, s)
	}
	collection := strings.HasSuffix(escaped, "/")
	switch {
	case len(seg) == 1 && seg[0] == "":
		return target{kind: kindRoot, href: "/"}, nil
	case seg[0] == "principals" || seg[0] == "calendar" || seg[0] == "remote.php":
		return guessedPath(seg)
	case seg[0] != "dav":
		return target{}, ErrNotFound
	case len(seg) == 1:
		return target{kind: kindRoot, href: rootPath}, nil
	case len(seg) == 2 && seg[1] == "principals":
		return target{kind: kindPrincipals, href: principalsPath}, nil
	case len(seg) == 3 && seg[1] == "principals":
		return target{kind: kindPrincipal, user: seg[2], href: principalHref(seg[2])}, nil
	case len(seg) == 4 && seg[1] == "principals" && seg[3] == "inbox":
		return target{kind: kindInbox, user: seg[2], href: inboxHref(seg[2])}, nil
	case len(seg) == 4 && seg[1] == "principals" && seg[3] == "outbox":
		return target{kind: kindOutbox, user: seg[2], href: outboxHref(seg[2])}, nil
	case seg[1] != "calendars":
		return target{}, ErrNotFound
	case len(seg) == 2:
		return target{kind: kindRoot, href: calendarsPath}, nil
	case len(seg) == 3:
		return target{kind: kindHome, user: seg[2], href: homeHref(seg[2])}, nil
	case len(seg) == 4 && collection && canonical:
		return target{kind: kindCalendar, user: seg[2], calendar: seg[3], href: escaped}, nil
	case len(seg) == 4:
		return target{kind: kindCalendar, user: seg[2], calendar: seg[3], href: calendarHref(seg[2], seg[3])}, nil
	case len(seg) == 5 && !collection && canonical:
		return target{kind: kindObject, user: seg[2], calendar: seg[3], object: seg[4], href: escaped}, nil
	case len(seg) == 5 && !collection:
		return target{kind: kindObject, user: seg[2], calendar: seg[3], object: seg[4],
			href: calendarHref(seg[2], seg[3]) + escapeSegment(seg[4])}, nil
	}
	return target{}, ErrNotFound
}

// guessedPath is for the paths at which clients look where other servers are, before they are told of any: Apple's for
// principals, and GNOME Online Accounts for Nextcloud's root.
func guessedPath(seg []string) (target, error) {
	t := target{href: "/" + escapeSegment(seg[0]) + "/"}
	for _, s := range seg[1:] {
		t.href += escapeSegment(s) + "/"
	}
	switch path := strings.Join(seg, "/"); {
	case path == "principals", path == "principals/users":
		t.kind = kindPrincipals
	case path == "remote.php/dav":
		t.kind = kindRoot
	case len(seg) == 3 && strings.HasPrefix(path, "principals/users/"):
		t.kind, t.user = kindPrincipal, seg[2]
	case len(seg) == 4 && strings.HasPrefix(path, "calendar/dav/") && seg[3] == "user":
		t.kind, t.user = kindPrincipal, seg[2]
	default:
		return target{}, ErrNotFound
	}
	return t, nil
}

func badInSegment(r rune) bool {
	return r == '/' || r == '\\' || r < 0x20 || r == 0x7f || r == '\uFFFD'
}

// outside is a path of ours as clients are told it.
func (x *exchange) outside(href string) string { return x.h.Prefix + href }

// inside is the reverse of outside, for an escaped path that a client wrote; one without the prefix is taken as it is.
func (x *exchange) inside(path string) string {
	if inside, ok := strings.CutPrefix(path, x.h.Prefix); ok && strings.HasPrefix(inside, "/") {
		return inside
	}
	return path
}

// parseHref reads a DAV:href that a client wrote: a path, with the prefix or without, or a whole URL whose scheme and host are
// taken for ours.
func (x *exchange) parseHref(href string) (target, error) {
	u, err := url.Parse(href)
	if err != nil {
		return target{}, badRequest("malformed href")
	}
	return parsePath(x.inside(u.EscapedPath()))
}

func isWellKnown(path string) bool {
	return path == wellKnownPath || path == wellKnownPath+"/"
}

// Handles reports whether a request is for this handler, so that pages and feeds can share the host: everything
// under /dav/ and /.well-known/caldav, the DAV methods on "/", where Apple's clients begin, and the paths that clients
// guess (see guessedPath).
func (h *Handler) Handles(r *http.Request) bool {
	p := r.URL.Path
	if p == "/" || p == "" || p == "*" {
		switch r.Method {
		case "OPTIONS", "PROPFIND", "PROPPATCH", "REPORT", "DELETE", "MKCOL", "MKCALENDAR", "COPY", "MOVE", "LOCK", "UNLOCK", "ACL", "SEARCH":
			return true
		}
		return false
	}
	return isWellKnown(p) || p == "/dav" || strings.HasPrefix(p, "/dav/") || p == "/principals" || strings.HasPrefix(p, "/principals/") ||
		strings.HasPrefix(p, "/calendar/dav/") || p == "/remote.php/dav" || p == "/remote.php/dav/"
}
