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

// public looks at public_url as a client on the Internet does: its name, its certificate, whether this bridge answers
// there, and then whether a calendar program gets through to the events.
func (d *doctor) public() {
	u, err := url.Parse(d.c.PublicURL)
	if err != nil {
		d.broken("public_url", "Correct it.", "%v", err)
		return
	}
	if !d.name(u) || !d.certificate(u) || !d.answers(u) {
		d.skip("discovery", "not tried before public_url answers")
		d.skip("feed", "not tried before public_url answers")
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
	mend := "Let the proxy pass POST " + notifyPath + " on without a password of its own, and let it be reached from the Internet; or set notifications = false."
	begin := time.Now()
	req, err := http.NewRequestWithContext(d.ctx, http.MethodPost, d.c.PublicURL+notifyPath+"?validationToken="+url.QueryEscape(token), nil)
	if err != nil {
		d.broken(check, "Correct public_url.", "%v", err)
		return
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := d.http.Do(req)
	if err != nil {
		d.broken(check, mend, "%s%s is not answered: %v", d.c.PublicURL, notifyPath, err)
		return
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	switch took := time.Since(begin); {
	case err != nil || resp.StatusCode != 200 || string(b) != token:
		d.broken(check, mend, "%s%s is answered %s, and not with the token", d.c.PublicURL, notifyPath, resp.Status)
	case took > 3*time.Second:
		d.warn(check, "See what slows the proxy or this machine down.", "%s%s takes %s to answer; Graph drops notifications after three seconds", d.c.PublicURL, notifyPath, took.Round(100*time.Millisecond))
	default:
		d.ok(check, "%s%s answers as Graph wants it, seen from here", d.c.PublicURL, notifyPath)
	}
}

func (d *doctor) name(u *url.URL) bool {
	const check = "public_url"
	local := web.Loopback(u.Hostname())
	if u.Scheme == "http" && !local {
		d.broken(check, "Put a proxy with TLS in front, or set [tls], and write https:// in public_url.", "%s is plain http: app passwords would travel in the clear, and Apple's programs refuse it", d.c.PublicURL)
		return false
	}
	if local || net.ParseIP(u.Hostname()) != nil {
		return true
	}
	ctx, cancel := context.WithTimeout(d.ctx, 10*time.Second)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, u.Hostname())
	if err != nil {
		d.broken("DNS", "Make an A or AAAA record for it that leads to the proxy or to this machine, or correct public_url.", "the name %s leads nowhere: %v", u.Hostname(), err)
		return false
	}
	d.ok("DNS", "%s is %s", u.Hostname(), strings.Join(addresses, ", "))
	return true
}

// certWarning is how long before its end a certificate should have been renewed.
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
		d.broken(check, "Use a certificate that clients know, such as Let's Encrypt's, with its whole chain: in the proxy, or by [tls] domains.", "the certificate of %s is from nobody that this machine trusts: %v", address, err)
		return false
	case errors.As(err, &host):
		d.broken(check, "Get a certificate for that name, or correct public_url.", "the certificate is for another name: %v", err)
		return false
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		d.broken(check, "Renew the certificate, and see why that was not done by itself.", "the certificate of %s is out of date: %v", address, err)
		return false
	case errors.As(err, &record):
		d.broken(check, "Turn TLS on at that port, or correct public_url.", "%s does not speak TLS: %v", address, err)
		return false
	case errors.As(err, &network) && network.Op == "dial":
		d.broken(check, d.startIt("Open the port in the firewall, and check that the proxy runs."), "%s cannot be reached: %v", address, err)
		return false
	default:
		d.broken(check, "Look into the log of the proxy, or of this bridge where it has the certificate.", "TLS with %s fails: %v", address, err)
		return false
	}
	defer conn.Close()
	leaf := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	if left := time.Until(leaf.NotAfter); left < certWarning {
		d.warn(check, "Renew the certificate, and see why that was not done by itself.", "the certificate of %s ends in %s", address, left.Round(time.Hour))
	} else {
		d.ok(check, "the certificate of %s is good until %s", address, leaf.NotAfter.Format(time.DateOnly))
	}
	return true
}

// startIt is the mend where nothing answers: to start the server, or else.
func (d *doctor) startIt(otherwise string) string {
	if d.serving {
		return otherwise
	}
	return "Start the bridge: `outbridge serve`, or `systemctl start outbridge`."
}

// answers asks for the health of whatever is at public_url.
func (d *doctor) answers(u *url.URL) bool {
	const check = "server"
	resp, body, err := d.get(d.c.PublicURL + "/healthz")
	switch {
	case err != nil:
		d.broken(check, d.startIt("Check that public_url is the address where it listens, "+d.c.Listen+", or the proxy's."), "nothing answers at %s: %v", d.c.PublicURL, err)
		return false
	case resp.StatusCode == 200 && body == "ok\n":
		d.ok(check, "it answers at %s", d.c.PublicURL)
		return true
	case resp.StatusCode/100 == 3:
		d.broken(check, "Set public_url to the address that it leads to, and let the proxy pass every path on.", "%s redirects to %s", d.c.PublicURL+"/healthz", resp.Header.Get("Location"))
	case resp.StatusCode == 502 || resp.StatusCode == 503 || resp.StatusCode == 504:
		d.broken(check, d.startIt("Let the proxy pass to "+d.c.Listen+"."), "the proxy at %s does not reach the bridge (%s)", d.c.PublicURL, resp.Status)
	default:
		d.broken(check, d.startIt("Let the proxy pass every path on to "+d.c.Listen+", or correct public_url."), "something else answers at %s (%s)", d.c.PublicURL, resp.Status)
	}
	return false
}

// asClient makes an app password and a feed, uses them through public_url, and removes them again.
func (d *doctor) asClient() {
	user := d.syncedAccount()
	if user == "" {
		d.skip("discovery", "not tried before an account has been synced")
		d.skip("feed", "not tried before an account has been synced")
		return
	}
	now := time.Now().UTC()
	after := context.WithoutCancel(d.ctx)
	row, password, err := d.p.store.AddPassword(d.ctx, user, "doctor, for a moment", now)
	if err != nil {
		d.broken("discovery", "See the database's finding.", "%v", err)
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
	feed, secret, err := d.p.store.AddFeed(d.ctx, bridge.Feed{User: user, Name: "doctor, for a moment", Detail: bridge.DetailBusy, Created: now})
	if err != nil {
		d.broken("feed", "See the database's finding.", "%v", err)
		return
	}
	defer func() {
		if err := d.p.store.RemoveFeed(after, user, feed.ID); err != nil {
			d.broken("feed", fmt.Sprintf("Run `outbridge feed remove %s %d`.", user, feed.ID), "the feed that tried it is still there: %v", err)
			return
		}
		_ = d.p.feedFiles().Sweep(after) // what stays goes with the server's next sweep
	}()
	d.feed(d.c.feedURL(secret))
}

// syncedAccount is an account to try with.
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

const proxyMethods = "Let the proxy pass the methods OPTIONS, PROPFIND, PROPPATCH, REPORT, PUT, DELETE and POST; docs/operations.md has recipes."

// wellKnown asks where CalDAV is, which is the first thing that most programs do (RFC 6764 §5).
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
		d.broken(check, "Look into the log of the proxy.", "PROPFIND of /.well-known/caldav is not answered: %v", err)
		return false
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	switch at := "PROPFIND of " + d.c.PublicURL + "/.well-known/caldav is answered " + resp.Status; {
	case resp.StatusCode == http.StatusMultiStatus:
		return true
	case resp.StatusCode/100 == 3:
		to, err := resp.Location()
		if err == nil && to.Scheme+"://"+to.Host == d.c.PublicURL && strings.HasPrefix(to.Path, "/dav/") {
			return true
		}
		d.broken(check, "Let the proxy pass /.well-known/caldav and its answer on unchanged, with the Host header and X-Forwarded-Proto.", "/.well-known/caldav leads to %s instead of %s/dav/", resp.Header.Get("Location"), d.c.PublicURL)
	case resp.StatusCode == http.StatusUnauthorized:
		d.broken(check, "Let the proxy pass the Authorization header on, and ask for no password of its own.", "%s, though the password is right", at)
	case resp.StatusCode == http.StatusForbidden && strings.Contains(string(b), "plain http"):
		d.broken(check, "Let the proxy send X-Forwarded-Proto: https, and name its address in trusted_proxy if it is on another machine.", "the bridge takes the request for plain http")
	case resp.StatusCode == http.StatusNotFound:
		d.broken(check, "Let the proxy pass /.well-known/caldav and /dav/ on to the bridge.", "%s", at)
	default:
		d.broken(check, proxyMethods, "%s", at)
	}
	return false
}

// discover walks from the address to the events as a calendar program does.
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
		fail("the principal is not found", err)
		return
	}
	home, err := client.FindCalendarHomeSet(d.ctx, principal)
	if err != nil {
		fail("the calendar home is not found", err)
		return
	}
	cals, err := client.FindCalendars(d.ctx, home)
	if err != nil {
		fail("the calendars are not found", err)
		return
	}
	if len(cals) == 0 {
		d.warn(check, "Run `outbridge status`.", "a calendar program finds no calendar")
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
	d.ok(check, "a calendar program finds %d calendars, and %d events around today in the first", len(cals), len(events))
}

// etag checks that the tag of an event arrives: programs compare it with what a listing says.
func (d *doctor) etag(user, password, href string) bool {
	req, err := http.NewRequestWithContext(d.ctx, http.MethodGet, d.c.PublicURL+(&url.URL{Path: href}).EscapedPath(), nil)
	if err != nil {
		d.broken("discovery", "Look into the log.", "%v", err)
		return false
	}
	req.SetBasicAuth(user, password)
	resp, err := d.http.Do(req)
	if err != nil {
		d.broken("discovery", "Look into the log of the proxy.", "GET of an event: %v", err)
		return false
	}
	resp.Body.Close()
	if tag := resp.Header.Get("ETag"); tag == "" || strings.HasPrefix(tag, "W/") {
		d.warn("discovery", "Let the proxy neither compress nor rewrite what is under /dav/.", "the ETag of %s arrives as %q, so programs load events again and again", path.Base(href), tag)
		return false
	}
	return true
}

// feed reads a feed twice as a reader does: at first whole, then only if it has changed.
func (d *doctor) feed(address string) {
	const check = "feed"
	resp, body, err := d.get(address)
	switch {
	case err != nil:
		d.broken(check, "Look into the log of the proxy.", "it is not answered: %s", strings.ReplaceAll(err.Error(), address, d.c.PublicURL+"/feeds/…"))
		return
	case resp.StatusCode == http.StatusServiceUnavailable:
		d.warn(check, "Wait for the first sync, and see `outbridge status`.", "it is not ready: %s", strings.TrimSpace(body))
		return
	case resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/calendar") || !strings.HasPrefix(body, "BEGIN:VCALENDAR"):
		d.broken(check, "Let the proxy pass /feeds/ on to the bridge, without a password or a page of its own.", "%s/feeds/… is answered %s, %s", d.c.PublicURL, resp.Status, resp.Header.Get("Content-Type"))
		return
	}
	req, err := http.NewRequestWithContext(d.ctx, http.MethodGet, address, nil)
	if err == nil {
		req.Header.Set("If-None-Match", resp.Header.Get("ETag"))
		resp, err = d.http.Do(req)
	}
	if err != nil {
		d.broken(check, "Look into the log of the proxy.", "it is not answered a second time")
		return
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotModified {
		d.warn(check, "Let the proxy pass ETag and If-None-Match on.", "it is sent again in full though nothing has changed (%s)", resp.Status)
		return
	}
	d.ok(check, "it can be read, and is not sent again while nothing changes")
}
