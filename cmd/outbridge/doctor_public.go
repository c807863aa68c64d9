package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/emersion/go-webdav"
	webdavcal "github.com/emersion/go-webdav/caldav"

	"outbridge/bridge"
	"outbridge/bridge/web"
)

// public checks public_url as a client on the internet would: its name, its certificate, whether this bridge answers there,
// and then whether a calendar app can read the events.
func (d *doctor) public() {
	u, err := url.Parse(d.c.PublicURL)
	if err != nil {
		d.broken("public_url", "Correct it.", "%v", err)
		return
	}
	if !d.name(u) || !d.certificate(u) || !d.answers(u) {
		d.skip("discovery", "not checked until public_url answers")
		d.skip("feed", "not checked until public_url answers")
		return
	}
	d.asClient()
	if d.c.Sync.Notifications {
		d.webhook()
	}
}

// webhook does what Graph does before it sends change notifications to an address: it posts a token and wants to read
// it in the answer (learn.microsoft.com/graph/change-notifications-delivery-webhooks, "NotificationUrl validation").
func (d *doctor) webhook() {
	const check, token = "notifications", "outbridge doctor & friends"
	fix := "Have the proxy pass on POST " + notifyPath + " without asking for a password, and make it reachable from the internet; or set notifications = false."
	begin := time.Now()
	req, err := http.NewRequestWithContext(d.ctx, http.MethodPost, d.c.PublicURL+notifyPath+"?validationToken="+url.QueryEscape(token), nil)
	if err != nil {
		d.broken(check, "Correct public_url.", "%v", err)
		return
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := d.http.Do(req)
	if err != nil {
		d.broken(check, fix, "no answer from %s%s: %v", d.c.PublicURL, notifyPath, err)
		return
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	switch took := time.Since(begin); {
	case err != nil || resp.StatusCode != 200 || string(b) != token:
		d.broken(check, fix, "%s%s answers %s, without the token", d.c.PublicURL, notifyPath, resp.Status)
	case took > 3*time.Second:
		d.warn(check, "Find out what slows down the proxy or this machine.", "%s%s takes %s to answer; Graph drops notifications after three seconds", d.c.PublicURL, notifyPath, took.Round(100*time.Millisecond))
	default:
		d.ok(check, "%s%s answers as Graph expects, seen from here", d.c.PublicURL, notifyPath)
	}
}

func (d *doctor) name(u *url.URL) bool {
	const check = "public_url"
	local := web.Loopback(u.Hostname())
	if u.Scheme == "http" && !local {
		d.broken(check, "Put a proxy with TLS in front, or set [tls], and write https:// in public_url.", "%s is plain http: app passwords would travel unencrypted, and Apple's apps refuse it", d.c.PublicURL)
		return false
	}
	if local || net.ParseIP(u.Hostname()) != nil {
		return true
	}
	ctx, cancel := context.WithTimeout(d.ctx, 10*time.Second)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, u.Hostname())
	if err != nil {
		d.broken("DNS", "Create an A or AAAA record for it that points to the proxy or to this machine, or correct public_url.", "the name %s does not resolve: %v", u.Hostname(), err)
		return false
	}
	d.ok("DNS", "%s is %s", u.Hostname(), strings.Join(addresses, ", "))
	return true
}

// certWarning is how long before it expires a certificate should have been renewed.
const certWarning = 14 * 24 * time.Hour

func (d *doctor) certificate(u *url.URL) bool {
	const check = "TLS"
	if u.Scheme != "https" {
		return true
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "443")
	}
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: &tls.Config{ServerName: u.Hostname()}}
	conn, err := dialer.DialContext(d.ctx, "tcp", address)
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		network *net.OpError
	)
	switch {
	case err == nil:
	case errors.As(err, &unknown):
		d.broken(check, "Use a certificate that clients trust, such as one from Let's Encrypt, with its whole chain: in the proxy, or with [tls] domains.", "this machine does not trust the issuer of the certificate of %s: %v", address, err)
		return false
	case errors.As(err, &host):
		d.broken(check, "Get a certificate for that name, or correct public_url.", "the certificate is for another name: %v", err)
		return false
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		d.broken(check, "Renew the certificate, and find out why that did not happen automatically.", "the certificate of %s has expired: %v", address, err)
		return false
	case errors.As(err, &record):
		d.broken(check, "Turn TLS on at that port, or correct public_url.", "%s does not speak TLS: %v", address, err)
		return false
	case errors.As(err, &network) && network.Op == "dial":
		d.broken(check, d.startIt("Open the port in the firewall, and check that the proxy is running."), "%s cannot be reached: %v", address, err)
		return false
	default:
		d.broken(check, "See the proxy log, or the log of this bridge if it has the certificate.", "TLS with %s fails: %v", address, err)
		return false
	}
	defer conn.Close()
	leaf := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	if left := time.Until(leaf.NotAfter); left < certWarning {
		d.warn(check, "Renew the certificate, and find out why that did not happen automatically.", "the certificate of %s expires in %s", address, left.Round(time.Hour))
	} else {
		d.ok(check, "the certificate of %s is valid until %s", address, leaf.NotAfter.Format(time.DateOnly))
	}
	return true
}

// startIt is the fix if nothing answers: start the server, or if it is running, otherwise.
func (d *doctor) startIt(otherwise string) string {
	if d.serving {
		return otherwise
	}
	return "Start the bridge: `outbridge serve`, or `systemctl start outbridge`."
}

// answers asks whatever is at public_url for its health.
func (d *doctor) answers(u *url.URL) bool {
	const check = "server"
	resp, body, err := d.get(d.c.PublicURL + "/healthz")
	switch {
	case err != nil:
		d.broken(check, d.startIt("Check that public_url is the listen address, "+d.c.listenText()+", or that of the proxy."), "nothing answers at %s: %v", d.c.PublicURL, err)
		return false
	case resp.StatusCode == 200 && body == "ok\n":
		d.ok(check, "answers at %s", d.c.PublicURL)
		return true
	case resp.StatusCode/100 == 3:
		d.broken(check, "Set public_url to the address that it redirects to, and have the proxy pass on every path.", "%s redirects to %s", d.c.PublicURL+"/healthz", resp.Header.Get("Location"))
	case resp.StatusCode == 502 || resp.StatusCode == 503 || resp.StatusCode == 504:
		d.broken(check, d.startIt("Have the proxy pass requests to "+d.c.listenText()+"."), "the proxy at %s cannot reach the bridge (%s)", d.c.PublicURL, resp.Status)
	default:
		d.broken(check, d.startIt("Have the proxy pass every path to "+d.c.listenText()+", or correct public_url."), "something else answers at %s (%s)", d.c.PublicURL, resp.Status)
	}
	return false
}

// asClient creates an app password and a feed, uses them through public_url, and removes them.
func (d *doctor) asClient() {
	user := d.syncedAccount()
	if user == "" {
		d.skip("discovery", "not checked until an account has been synced")
		d.skip("feed", "not checked until an account has been synced")
		return
	}
	now := time.Now().UTC()
	after := context.WithoutCancel(d.ctx)
	row, password, err := d.p.store.AddPassword(d.ctx, user, "doctor (temporary)", now)
	if err != nil {
		d.broken("discovery", "See the result for the database.", "%v", err)
		return
	}
	defer func() {
		if err := d.p.store.RevokePassword(after, user, row.ID); err != nil {
			d.broken("discovery", fmt.Sprintf("Run `outbridge password revoke %s %d`.", user, row.ID), "its app password is still there: %v", err)
		}
	}()
	if d.wellKnown(user, password) {
		d.discover(user, password)
	}
	feed, secret, err := d.p.store.AddFeed(d.ctx, bridge.Feed{User: user, Name: "doctor (temporary)", Detail: bridge.DetailBusy, Created: now})
	if err != nil {
		d.broken("feed", "See the result for the database.", "%v", err)
		return
	}
	defer func() {
		if err := d.p.store.RemoveFeed(after, user, feed.ID); err != nil {
			d.broken("feed", fmt.Sprintf("Run `outbridge feed remove %s %d`.", user, feed.ID), "its feed is still there: %v", err)
			return
		}
		_ = d.p.feedFiles().Sweep(after) // what is left goes with the server's next sweep
	}()
	d.feed(d.c.feedURL(secret))
}

// syncedAccount is an account to try with; "" if none has been synced.
func (d *doctor) syncedAccount() string {
	if d.p.store == nil {
		return ""
	}
	for _, a := range d.p.accounts {
		if row, err := d.p.store.Account(d.ctx, a.Name); err == nil && !row.LastGood.IsZero() {
			return a.Name
		}
	}
	return ""
}

const proxyMethods = "Have the proxy pass on the methods OPTIONS, PROPFIND, PROPPATCH, REPORT, PUT, DELETE and POST; docs/operations.md has recipes."

// wellKnown asks where CalDAV is, which is the first thing most apps do (RFC 6764 §5).
func (d *doctor) wellKnown(user, password string) bool {
	const check = "discovery"
	req, err := http.NewRequestWithContext(d.ctx, "PROPFIND", d.c.PublicURL+"/.well-known/caldav", strings.NewReader(
		`<propfind xmlns="DAV:"><prop><current-user-principal/></prop></propfind>`))
	if err != nil {
		d.broken(check, "Correct public_url.", "%v", err)
		return false
	}
	req.SetBasicAuth(user, password)
	req.Header.Set("Content-Type", "application/xml")
	req.Header.Set("Depth", "0")
	resp, err := d.http.Do(req)
	if err != nil {
		d.broken(check, "See the proxy log.", "no answer to PROPFIND /.well-known/caldav: %v", err)
		return false
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	switch at := "PROPFIND " + d.c.PublicURL + "/.well-known/caldav returns " + resp.Status; {
	case resp.StatusCode == http.StatusMultiStatus:
		return true
	case resp.StatusCode/100 == 3:
		to, err := resp.Location()
		if err == nil && strings.HasPrefix(to.String(), d.c.PublicURL+"/dav/") {
			return true
		}
		d.broken(check, "Have the proxy pass on /.well-known/caldav and its answer unchanged, with the Host header and X-Forwarded-Proto.", "/.well-known/caldav redirects to %s instead of %s/dav/", resp.Header.Get("Location"), d.c.PublicURL)
	case resp.StatusCode == http.StatusUnauthorized:
		d.broken(check, "Have the proxy pass on the Authorization header, and not ask for a password itself.", "%s, though the password is right", at)
	case resp.StatusCode == http.StatusForbidden && strings.Contains(string(b), "plain http"):
		d.broken(check, "Have the proxy send X-Forwarded-Proto: https, and name its address in trusted_proxy if it is on another machine.", "the bridge treats the request as plain http")
	case resp.StatusCode == http.StatusNotFound:
		d.broken(check, "Have the proxy pass /.well-known/caldav and /dav/ to the bridge.", "%s", at)
	default:
		d.broken(check, proxyMethods, "%s", at)
	}
	return false
}

// discover goes from the address to the events as a calendar app does.
func (d *doctor) discover(user, password string) {
	const check = "discovery"
	try := *d.http
	try.CheckRedirect = nil
	fail := func(what string, err error) {
		d.broken(check, proxyMethods, "%s: %v", what, err)
	}
	client, err := webdavcal.NewClient(webdav.HTTPClientWithBasicAuth(&try, user, password), d.c.PublicURL+"/dav/")
	if err != nil {
		fail("public_url", err)
		return
	}
	principal, err := client.FindCurrentUserPrincipal(d.ctx)
	if err != nil {
		fail("cannot find the principal", err)
		return
	}
	home, err := client.FindCalendarHomeSet(d.ctx, principal)
	if err != nil {
		fail("cannot find the calendar home", err)
		return
	}
	cals, err := client.FindCalendars(d.ctx, home)
	if err != nil {
		fail("cannot find the calendars", err)
		return
	}
	if len(cals) == 0 {
		d.warn(check, "Run `outbridge status`.", "calendar apps find no calendar")
		return
	}
	now := time.Now()
	events, err := client.QueryCalendar(d.ctx, cals[0].Path, &webdavcal.CalendarQuery{
		CompRequest: webdavcal.CalendarCompRequest{Name: "VCALENDAR"},
		CompFilter: webdavcal.CompFilter{Name: "VCALENDAR", Comps: []webdavcal.CompFilter{
			{Name: "VEVENT", Start: now.AddDate(0, 0, -7), End: now.AddDate(0, 0, 7)},
		}},
	})
	if err != nil {
		fail("REPORT fails", err)
		return
	}
	if len(events) > 0 && !d.etag(user, password, events[0].Path) {
		return
	}
	d.ok(check, "calendar apps find %d calendars, and %d events around today in the first one", len(cals), len(events))
}

// etag checks that the ETag of an event arrives: apps compare it with the one in a listing.
func (d *doctor) etag(user, password, href string) bool {
	req, err := http.NewRequestWithContext(d.ctx, http.MethodGet, d.c.publicOrigin()+(&url.URL{Path: href}).EscapedPath(), nil)
	if err != nil {
		d.broken("discovery", "See the server log.", "%v", err)
		return false
	}
	req.SetBasicAuth(user, password)
	resp, err := d.http.Do(req)
	if err != nil {
		d.broken("discovery", "See the proxy log.", "GET of an event: %v", err)
		return false
	}
	resp.Body.Close()
	if tag := resp.Header.Get("ETag"); tag == "" || strings.HasPrefix(tag, "W/") {
		d.warn("discovery", "Have the proxy neither compress nor rewrite anything under /dav/.", "the ETag of %s arrives as %q, so apps download events again and again", path.Base(href), tag)
		return false
	}
	return true
}

// feed reads a feed twice, as a subscriber does: first in full, then only if it has changed.
func (d *doctor) feed(address string) {
	const check = "feed"
	resp, body, err := d.get(address)
	switch {
	case err != nil:
		d.broken(check, "See the proxy log.", "no answer: %s", strings.ReplaceAll(err.Error(), address, d.c.PublicURL+"/feeds/…"))
		return
	case resp.StatusCode == http.StatusServiceUnavailable:
		d.warn(check, "Wait for the first sync; see `outbridge status`.", "not ready: %s", strings.TrimSpace(body))
		return
	case resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/calendar") || !strings.HasPrefix(body, "BEGIN:VCALENDAR"):
		d.broken(check, "Have the proxy pass /feeds/ to the bridge, without a password or a page of its own.", "%s/feeds/… returns %s, %s", d.c.PublicURL, resp.Status, resp.Header.Get("Content-Type"))
		return
	}
	req, err := http.NewRequestWithContext(d.ctx, http.MethodGet, address, nil)
	if err == nil {
		req.Header.Set("If-None-Match", resp.Header.Get("ETag"))
		resp, err = d.http.Do(req)
	}
	if err != nil {
		d.broken(check, "See the proxy log.", "no answer the second time")
		return
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotModified {
		d.warn(check, "Have the proxy pass on ETag and If-None-Match.", "it is sent in full again although nothing has changed (%s)", resp.Status)
		return
	}
	d.ok(check, "readable, and not sent again while nothing changes")
}
