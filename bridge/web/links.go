package web

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// maxAddress is the longest address that Google subscribes to; longer ones fail without an error.
const maxAddress = 256

// FeedLinks are the ways to subscribe to one feed.
type FeedLinks struct {
	URL    string `json:"url"`    // the feed itself
	Webcal string `json:"webcal"` // opens Apple Calendar, Outlook for Windows, Thunderbird, Evolution, ICSx5
	Google string `json:"google"` // adds it to Google Calendar, in a browser
	// OutlookCom and Office365 add it to Outlook on the web: for personal accounts, and for work or school accounts.
	OutlookCom string `json:"outlook_com"`
	Office365  string `json:"office365"`
	// Warning tells people in English why Google and Outlook on the web will not read it; "" if nothing is known to be in the way.
	Warning string `json:"warning,omitempty"`
}

// LinksOf makes the links for the feed at address, an absolute http or https URL. Links that can suggest a name for the
// calendar suggest name.
func LinksOf(address, name string) FeedLinks {
	l := FeedLinks{URL: address, Webcal: address}
	u, err := url.Parse(address)
	if err != nil {
		l.Warning = l.warning().String()
		return l
	}
	// Clients take webcal: for http first and follow a redirect to https, which only exists at the default ports.
	scheme := "webcal"
	if u.Scheme == "https" && u.Port() != "" && u.Port() != "443" {
		scheme = "webcals"
	}
	at := *u
	at.Scheme = scheme
	l.Webcal = at.String()
	l.Google = "https://calendar.google.com/calendar/r?cid=" + url.QueryEscape("webcal"+strings.TrimPrefix(l.Webcal, scheme))
	query := "url=" + url.QueryEscape(address)
	if name != "" {
		query += "&name=" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
	}
	l.OutlookCom = "https://outlook.live.com/calendar/0/addfromweb?" + query
	l.Office365 = "https://outlook.office.com/calendar/0/addfromweb?" + query
	l.Warning = l.warning().String()
	return l
}

// warning is Warning in any language.
func (l FeedLinks) warning() Text {
	u, err := url.Parse(l.URL)
	switch {
	case err != nil:
		return "This address is not valid: check public_url."
	case !public(u.Hostname()):
		return With("Google and Outlook on the web cannot reach {host}: they need a public_url on the internet.", u.Hostname())
	case u.Scheme != "https":
		return "Google and Outlook on the web need a public_url with https."
	case len(l.URL) > maxAddress || len(l.Google) > maxAddress:
		return With("Google does not accept addresses longer than {n} characters: use a shorter public_url.", maxAddress)
	}
	return ""
}

// onlyHere reports whether public_url leads every device to itself, so that nothing is to be scanned or installed there.
func (h *Handler) onlyHere() bool {
	u, err := url.Parse(h.PublicURL)
	return err == nil && Loopback(u.Hostname())
}

// public reports whether a host may be reachable from the internet.
func public(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsGlobalUnicast() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, suffix := range []string{"localhost", ".local", ".lan", ".internal", ".home.arpa", ".test"} {
		if host == strings.TrimPrefix(suffix, ".") || strings.HasSuffix(host, "."+strings.TrimPrefix(suffix, ".")) {
			return false
		}
	}
	return strings.Contains(host, ".")
}

// davx5Link is a URL, for a link or a QR code, that opens the login of DAVx5 with server and user filled in
// (AndroidManifest.xml of DAVx5). It cannot carry the password.
func davx5Link(address, user string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	scheme := "davx5" // https
	if u.Scheme == "http" {
		scheme = "caldav"
	}
	return (&url.URL{Scheme: scheme, User: url.User(user), Host: u.Host, Path: strings.TrimSuffix(u.Path, "/") + "/dav/"}).String()
}

// hostPort is the host and port of an origin; port is "" if it is the default of the scheme.
func hostPort(origin string) (host, port string, https bool, err error) {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", "", false, fmt.Errorf("%q is not the address of a server: it must begin with https:// or http://", origin)
	}
	https = u.Scheme == "https"
	host, port = u.Hostname(), u.Port()
	if https && port == "443" || !https && port == "80" {
		port = ""
	}
	return host, port, https, nil
}

// authority is the host and port as written in a URL.
func authority(host, port string) string {
	if port != "" {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
