package web

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// maxAddress is the longest address that Google subscribes to; it fails in silence with longer ones.
const maxAddress = 256

// FeedLinks are the ways to subscribe to one feed.
type FeedLinks struct {
	URL    string `json:"url"`    // the feed itself
	Webcal string `json:"webcal"` // opens Apple Calendar, Outlook for Windows, Thunderbird, Evolution, ICSx5
	Google string `json:"google"` // adds it to Google Calendar, in a browser
	// OutlookCom and Office365 add it to Outlook on the web: of a personal account, and of one at work or school.
	OutlookCom string `json:"outlook_com"`
	Office365  string `json:"office365"`
	// Warning says, for the person, why Google and Outlook on the web will not read it; "" when nothing is known.
	Warning string `json:"warning,omitempty"`
}

// LinksOf makes the links for the feed at address, an absolute http or https URL; name is proposed as the calendar's name
// where a link can say it.
func LinksOf(address, name string) FeedLinks {
	l := FeedLinks{URL: address, Webcal: address}
	u, err := url.Parse(address)
	if err != nil {
		l.Warning = "This address is not valid: check public_url."
		return l
	}
	// Programs read webcal: as http first and follow a redirect to https, which there is at the usual ports only.
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
	switch {
	case !public(u.Hostname()):
		l.Warning = fmt.Sprintf("Google and Outlook on the web cannot reach %s: they need a public_url on the internet.", u.Hostname())
	case u.Scheme != "https":
		l.Warning = "Google and Outlook on the web need an https public_url."
	case len(address) > maxAddress || len(l.Google) > maxAddress:
		l.Warning = fmt.Sprintf("Google does not read addresses of more than %d characters: use a shorter public_url.", maxAddress)
	}
	return l
}

// public tells whether a host may be reached from anywhere.
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

// davx5Link is the address that opens DAVx5's sign-in with the server and the user filled in, as a link or a QR code
// (DAVx5 AndroidManifest.xml). It takes no password.
func davx5Link(origin, user string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return ""
	}
	scheme := "davx5" // https
	if u.Scheme == "http" {
		scheme = "caldav"
	}
	return (&url.URL{Scheme: scheme, User: url.User(user), Host: u.Host, Path: "/dav/"}).String()
}

// hostPort is the host and the port of an origin; port is "" when it is the scheme's own.
func hostPort(origin string) (host, port string, https bool, err error) {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", "", false, fmt.Errorf("%q is no address of a server: it must begin with https:// or http://", origin)
	}
	https = u.Scheme == "https"
	host, port = u.Hostname(), u.Port()
	if https && port == "443" || !https && port == "80" {
		port = ""
	}
	return host, port, https, nil
}

// authority is the host and port as a URL has them.
func authority(host, port string) string {
	if port != "" {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
