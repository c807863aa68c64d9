package caldav

import (
	"cmp"
	"context"
	"crypto/ecdh"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// PushBackend keeps subscriptions to calendars for WebDAV-Push (draft-bitfire-webdav-push of 2026-05-01, transport Web
// Push). A Backend may implement it; without it there is no push. It is called concurrently. Sending the messages is
// the backend's: for each published change of a calendar one to each of its subscriptions, as PushMessage makes it.
type PushBackend interface {
	// PushKey is the server's public key for VAPID (RFC 8292 §3.2), an uncompressed point of P-256 of 65 octets; nil
	// where push is switched off. It is called for every calendar that a client lists and must cost nothing.
	PushKey(ctx context.Context) ([]byte, error)
	// PushTopic names a calendar in messages: opaque, unlike any other, the same for as long as the calendar lives.
	PushTopic(c Calendar) string
	// PushRegister keeps a subscription to c until the time that it returns, which is at least three days away. One of
	// the same endpoint is replaced, and created is false. ErrPushSubscription where the endpoint may not be sent to,
	// ErrPushUnavailable where the principal cannot have any more.
	PushRegister(ctx context.Context, p Principal, c Calendar, s PushSubscription) (r PushRegistration, created bool, err error)
	// PushUnregister forgets a registration of the principal; ErrNotFound where there is none.
	PushUnregister(ctx context.Context, p Principal, id string) error
}

// Errors of PushRegister.
var (
	ErrPushSubscription = errors.New("no subscription that can be sent to") // 403 P:invalid-subscription
	ErrPushUnavailable  = errors.New("push is not available")               // 403 P:push-not-available
)

// PushSubscription is where a client wants messages and how they are encrypted (RFC 8291 §3.1).
type PushSubscription struct {
	Endpoint  string    // an absolute http or https URL
	PublicKey []byte    // an uncompressed point of P-256, 65 octets
	Auth      []byte    // 16 octets
	Expires   time.Time // as the client asks; zero: it does not say
}

// PushRegistration is a subscription that is kept.
type PushRegistration struct {
	ID      string // [a-z0-9]+, unguessable
	Expires time.Time
}

// PushMessage is the text that tells a subscriber of a calendar that it has reached a state.
func PushMessage(topic string, t Token) []byte {
	return append(appendText([]byte(xml.Header+`<P:push-message xmlns:P="`+nsPush+`" xmlns:D="DAV:"><P:topic>`), topic),
		"</P:topic><P:content-update><D:sync-token>"+t.String()+"</D:sync-token></P:content-update></P:push-message>"...)
}

const (
	nsPush           = "https://bitfire.at/webdav-push"
	registrationPath = "/dav/push/"
	maxPushEndpoint  = 2048 // octets
)

func push(local string) xml.Name { return xml.Name{Space: nsPush, Local: local} }

// pushTransports, pushTopic and pushTriggers are the properties of a calendar that takes subscriptions. Only content
// updates trigger a message: what the known clients subscribe to is the events.
func pushTransports(x *exchange, _ *resource) (bool, error) {
	key, err := x.pushKey()
	x.raw(`<P:web-push><P:vapid-public-key type="p256ecdsa">` + base64.RawURLEncoding.EncodeToString(key) + "</P:vapid-public-key></P:web-push>")
	return key != nil, err
}

func pushTopic(x *exchange, r *resource) (bool, error) {
	key, err := x.pushKey()
	if key != nil {
		x.text(x.push.PushTopic(r.cal))
	}
	return key != nil, err
}

func pushTriggers(x *exchange, _ *resource) (bool, error) {
	key, err := x.pushKey()
	x.raw("<P:content-update><depth>1</depth></P:content-update>")
	return key != nil, err
}

// pushKey is nil where there is no push.
func (x *exchange) pushKey() ([]byte, error) {
	if x.push == nil {
		return nil, nil
	}
	return x.push.PushKey(x.ctx)
}

// post answers POST: of a free-busy request, of a file, or of a subscription.
func (x *exchange) post() error {
	if x.target.kind == kindOutbox {
		return x.askBusy()
	}
	if x.target.kind == kindObject && x.req.URL.Query().Has("action") {
		return x.changeAttachment()
	}
	if x.push == nil {
		return x.refuseWrite()
	}
	n, err := x.readXML()
	switch {
	case err != nil && strings.Contains(strings.ToLower(x.req.Header.Get("Content-Type")), "xml"):
		return err
	case err != nil || n == nil || n.name != push("push-register"):
		return x.refuseWrite()
	}
	key, err := x.pushKey()
	if err != nil {
		return err
	}
	if key == nil || x.target.kind != kindCalendar {
		return ErrPushUnavailable
	}
	c, err := x.calendar()
	if err != nil {
		return err
	}
	s, err := parsePushRegister(n)
	if err != nil {
		return err
	}
	r, created, err := x.push.PushRegister(x.ctx, x.principal, c, s)
	if err != nil {
		return err
	}
	x.status = http.StatusNoContent
	if created {
		x.status = http.StatusCreated
	}
	x.rw.Header().Set("Location", x.origin()+x.outside(registrationPath)+r.ID)
	x.rw.Header().Set("Expires", r.Expires.UTC().Format(http.TimeFormat))
	return nil
}

// parsePushRegister reads a P:push-register. DAVx5 names neither a trigger nor an encoding, so these have the values
// that are the only ones here.
func parsePushRegister(n *node) (s PushSubscription, err error) {
	if trigger := n.child(push("trigger")); trigger != nil && trigger.child(push("content-update")) == nil {
		return s, forbidden(noSupportedTrigger)
	}
	w := n.child(push("subscription")).child(push("web-push-subscription"))
	s.Endpoint = w.child(push("push-resource")).trimmed()
	u, err := url.Parse(s.Endpoint)
	encoding := cmp.Or(w.child(push("content-encoding")).trimmed(), "aes128gcm")
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.Fragment != "" ||
		len(s.Endpoint) > maxPushEndpoint || encoding != "aes128gcm" {
		return s, ErrPushSubscription
	}
	key := w.child(push("subscription-public-key"))
	s.PublicKey = base64url(key.trimmed())
	s.Auth = base64url(w.child(push("auth-secret")).trimmed())
	if _, err := ecdh.P256().NewPublicKey(s.PublicKey); err != nil || cmp.Or(key.attr("type"), "p256dh") != "p256dh" || len(s.Auth) != 16 {
		return s, ErrPushSubscription
	}
	if expires := n.child(push("expires")).trimmed(); expires != "" {
		if s.Expires, err = http.ParseTime(expires); err != nil {
			return s, badRequest("malformed P:expires: write it like Wed, 20 Dec 2026 10:03:31 GMT")
		}
	}
	return s, nil
}

// base64url reads both alphabets, with padding or without; nil for what is neither.
func base64url(s string) []byte {
	s = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(s, "="))
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}

// registration answers requests for a registration URL, for its owner alone.
func (x *exchange) registration(id string) error {
	if x.push == nil {
		return ErrNotFound
	}
	switch x.req.Method {
	case http.MethodOptions:
		x.rw.Header().Set("Allow", "OPTIONS, DELETE")
		return nil
	case http.MethodDelete:
		x.status = http.StatusNoContent
		return x.push.PushUnregister(x.ctx, x.principal, id)
	}
	return &statusError{status: http.StatusMethodNotAllowed, sentence: "a registration can only be deleted", allow: "OPTIONS, DELETE"}
}

// origin is the scheme and host that the client uses.
func (x *exchange) origin() string {
	if x.h.PublicURL != "" {
		return x.h.PublicURL
	}
	scheme := "http"
	if https := x.h.HTTPS; https != nil && https(x.req) || https == nil && x.req.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + x.req.Host
}
