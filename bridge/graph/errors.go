package graph

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Error is a request that Microsoft's service refused, answered with rubbish, or did not answer. Its text is one line
// for logs; the fields are for code. Do not branch on Message.
type Error struct {
	Op              string        // what was being done: "read changes"
	Status          int           // of HTTP; 0: no answer came
	Code            string        // Graph's, or the login service's; its case varies
	Message         string        // one line; Graph's own, or what went wrong here
	RequestID       string        // Microsoft's support asks for it
	ClientRequestID string        // ours
	RetryAfter      time.Duration // 0: not said
	Claims          string        // the claims challenge of a conditional access refusal, for a sign-in that meets it

	garbled bool // what came was not from Graph, or not whole
	login   bool // the login service has trouble for now, which it often says with 400
	one     bool // a 404 is about the one thing that was asked for, whatever its code
	cursor  bool // the request followed a delta or skip token
	unsent  bool // there was no connection to send the request on

	obstacle Reason
	existing EventID // the event that was made with the same transactionId
}

// Error says what happened, in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op + ": " + e.what())
	detail := make([]string, 0, 3)
	if e.Status != 0 {
		detail = append(detail, "HTTP "+strconv.Itoa(e.Status))
	}
	if e.Code != "" {
		detail = append(detail, e.Code)
	}
	if e.RequestID != "" {
		detail = append(detail, "request-id "+e.RequestID)
	}
	if len(detail) > 0 {
		b.WriteString(" (" + strings.Join(detail, ", ") + ")")
	}
	if e.Message != "" {
		b.WriteString(": " + strings.TrimRight(e.Message, ". "))
	}
	return b.String()
}

func (e *Error) what() string {
	switch {
	case e.Status == 0:
		return "Microsoft's service cannot be reached"
	case e.login:
		return "Microsoft's login service has trouble for now"
	case e.Claims != "":
		return "a policy of the organization asks for a new sign-in"
	case e.Status == http.StatusUnauthorized:
		return "Microsoft Graph does not accept the sign-in"
	case e.garbled:
		return "the answer is not from Microsoft Graph, or not whole, as where a proxy or a sign-in page is in between"
	case e.Status/100 == 2:
		return "the answer cannot be used"
	case IsThrottled(e):
		return "Microsoft Graph asks to slow down"
	case e.Status == http.StatusForbidden:
		return "Microsoft Graph denies access"
	case IsMailboxMissing(e):
		return "there is no usable Microsoft 365 mailbox"
	case e.Status == http.StatusNotFound:
		return "not found"
	case IsSyncStateLost(e):
		return "Microsoft Graph has forgotten the state of the sync"
	case e.Status >= 500:
		return "Microsoft Graph has trouble"
	}
	return "Microsoft Graph refuses the request"
}

// read fills in e from the header and body of an answer that is no success: Graph's {"error":{…}} with innerError in
// any spelling and depth, or whatever a gateway wrote instead.
func (e *Error) read(header http.Header, body []byte) {
	e.RetryAfter = retryAfter(header)
	if id := header.Get("Request-Id"); id != "" {
		e.RequestID = oneLine(id)
	}
	e.Claims = claimsChallenge(header)
	var answer map[string]any
	if err := json.Unmarshal(bytes.TrimPrefix(body, utf8BOM), &answer); err != nil {
		e.garbled = e.Claims == ""
		e.obstacle = obstacle(e.Status, body)
		return
	}
	switch inner := property(answer, "error").(type) {
	case string:
		e.Code = oneLine(inner)
	case map[string]any:
		e.Code = oneLine(text(inner, "code"))
		e.Message = oneLine(text(inner, "message"))
		e.existing = EventID(text(inner, "@event.existingEventId"))
		for range 10 {
			if e.RequestID == "" {
				e.RequestID = oneLine(text(inner, "request-id"))
			}
			if e.ClientRequestID == "" {
				e.ClientRequestID = oneLine(text(inner, "client-request-id"))
			}
			if e.Code == "" {
				e.Code = oneLine(text(inner, "code"))
			}
			next, ok := property(inner, "innererror").(map[string]any)
			if !ok {
				break
			}
			inner = next
		}
	default:
		e.garbled = e.Claims == ""
	}
}

func property(m map[string]any, name string) any {
	if v, ok := m[name]; ok {
		return v
	}
	for k, v := range m {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return nil
}

func text(m map[string]any, name string) string {
	s, _ := property(m, name).(string)
	return s
}

// transient reports whether the same request may succeed later.
func (e *Error) transient() bool {
	switch s := e.Status; {
	case e.login, s == 0, s == http.StatusRequestTimeout, s == http.StatusTooManyRequests:
		return true
	case s == http.StatusNotImplemented, s == http.StatusHTTPVersionNotSupported:
		return false
	case s == http.StatusInsufficientStorage: // a mailbox that is full stays so
		return e.garbled
	case s >= 500:
		return true
	case s/100 == 2, s/100 == 3, s == http.StatusForbidden, s == http.StatusNotFound, s == http.StatusProxyAuthRequired:
		// A captive portal or a proxy, which must not be taken for Graph saying so.
		return e.garbled || s/100 == 3
	}
	return false
}

// turn reports whether a part of a batch was refused only since others were served at the time: Outlook says so by 429,
// and by 503 with a Retry-After.
func (e *Error) turn() bool {
	return !e.login && !e.garbled && (IsThrottled(e) || e.Status == http.StatusServiceUnavailable && e.RetryAfter > 0)
}

// mailboxCodes are the codes of a 404 that is about the mailbox and not about the thing asked for.
var mailboxCodes = []string{"MailboxNotEnabledForRESTAPI", "MailboxNotSupportedForRESTAPI", "ErrorInvalidUser", "ResourceNotFound",
	"Request_ResourceNotFound", "ErrorNonExistentMailbox"}

// syncStateCodes are the codes that say that a cursor is of no more use.
var syncStateCodes = []string{"SyncStateNotFound", "SyncStateInvalid", "ResyncRequired", "ErrorSyncFolderNotFound"}

// IsNotFound reports a 404 of the one event, calendar or subscription that was asked for: Graph itself says that it is gone. It is
// false for a mailbox that is missing and for a 404 that is not from Graph.
func IsNotFound(err error) bool {
	e := asError(err)
	return e != nil && e.Status == http.StatusNotFound && (e.one && !e.garbled || e.Code != "" && !strings.EqualFold(e.Code, "UnknownError") && !oneOf(e.Code, mailboxCodes))
}

// IsMailboxMissing reports that the whole mailbox is not in Exchange Online, is disabled, or does not exist.
func IsMailboxMissing(err error) bool {
	e := asError(err)
	return e != nil && e.Status == http.StatusNotFound && !e.one && oneOf(e.Code, mailboxCodes)
}

// IsSyncStateLost reports that a cursor cannot be followed any more and that a new first round is due: 410, any of the
// codes that say so, any 400 to a delta or next link (a malformed token), and a link to another host than the
// configured one.
func IsSyncStateLost(err error) bool {
	if errors.Is(err, ErrForeignLink) {
		return true
	}
	e := asError(err)
	return e != nil && (e.Status == http.StatusGone || oneOf(e.Code, syncStateCodes) || e.cursor && e.Status == http.StatusBadRequest)
}

// IsAccessDenied reports a 403 of Graph's: a permission is missing, or the calendar is not shared.
func IsAccessDenied(err error) bool {
	e := asError(err)
	return e != nil && e.Status == http.StatusForbidden && !e.garbled && e.Claims == ""
}

// IsNotOffered reports that Graph itself refuses a whole kind of thing and will go on doing so: by 403, 404, 405 or 501, or
// by a 400 to an address that it does not know. It is false for a mailbox that is missing.
func IsNotOffered(err error) bool {
	e := asError(err)
	if e == nil || e.garbled || e.Claims != "" || e.transient() || IsMailboxMissing(e) {
		return false
	}
	switch e.Status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return false
}

// IsConflict reports a 409: what was to be made is there already.
func IsConflict(err error) bool { return isStatus(err, http.StatusConflict) }

// IsOver reports that Graph itself has failed at a request and says so by 500: it is not at it any more. A gateway's 502, 503 and 504,
// and an answer that is lost, leave that open.
func IsOver(err error) bool {
	e := asError(err)
	return e != nil && e.Status == http.StatusInternalServerError && e.Code != "" && !e.garbled
}

// IsThrottled reports that Graph refused because there were too many requests, even after waiting.
func IsThrottled(err error) bool {
	e := asError(err)
	return e != nil && (e.Status == http.StatusTooManyRequests || oneOf(e.Code, []string{"ApplicationThrottled", "TooManyRequests"}))
}

// IsUnavailable reports trouble that passes by itself: no connection, no proper answer, a 5xx, throttling, or the
// login service in the same state. It is what is left after the retries; the next round tries again.
func IsUnavailable(err error) bool {
	e := asError(err)
	return e != nil && (e.transient() || IsThrottled(e))
}

// IsSignInNeeded reports that the person has to sign in again, and that nothing else helps: a final refusal of the
// login service that a sign-in ends, a 401 to a token that was just renewed, or a claims challenge (see Error.Claims and
// AuthError.Claims).
func IsSignInNeeded(err error) bool {
	var refused *AuthError
	if errors.As(err, &refused) {
		return refused.Fixer == Person
	}
	e := asError(err)
	return e != nil && (e.Status == http.StatusUnauthorized || e.Claims != "")
}

func isStatus(err error, status int) bool {
	e := asError(err)
	return e != nil && e.Status == status
}

func asError(err error) *Error {
	var e *Error
	errors.As(err, &e)
	return e
}

func oneOf(code string, codes []string) bool {
	for _, c := range codes {
		if strings.EqualFold(code, c) {
			return true
		}
	}
	return false
}

// retryAfter reads Retry-After (RFC 9110 §10.2.3): seconds, or a date, which is taken relative to the answer's own.
func retryAfter(h http.Header) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	d := time.Duration(0)
	if seconds, err := strconv.ParseFloat(v, 64); err == nil && !math.IsNaN(seconds) {
		d = time.Duration(min(max(seconds, 0), 86400) * float64(time.Second))
	} else if at, err := http.ParseTime(v); err == nil {
		now, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			now = time.Now()
		}
		d = at.Sub(now)
	}
	return min(max(d, 0), 24*time.Hour)
}

// claimsChallenge reads the claims that a conditional access policy asks for from WWW-Authenticate: base64 of JSON
// (learn.microsoft.com/entra/identity-platform/claims-challenge).
func claimsChallenge(h http.Header) string {
	for _, v := range h.Values("Www-Authenticate") {
		if !strings.Contains(v, "insufficient_claims") {
			continue
		}
		_, rest, _ := strings.Cut(v, `claims="`)
		encoded, _, _ := strings.Cut(rest, `"`)
		claims, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
		if err == nil && json.Valid(claims) {
			return string(claims)
		}
	}
	return ""
}

// Obstacle is what stands between this machine and Microsoft, where an error shows it: a proxy that asks for a sign-in, a
// sign-in page of the network, or a certificate of an authority that is not known here, as a proxy shows that inspects TLS.
// "" is none that is known.
func Obstacle(err error) Reason {
	if e := asError(err); e != nil {
		return e.obstacle
	}
	return ""
}

// ObstacleTo is Obstacle for a request that was not sent by a Client or an Authority: err is its error, or nil, and status and
// body are its answer.
func ObstacleTo(err error, status int, body []byte) Reason {
	if err != nil {
		_, between := connectionTrouble(err)
		return between
	}
	return obstacle(status, body)
}

// obstacle is what an answer shows that is not Microsoft's own.
func obstacle(status int, body []byte) Reason {
	page := bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(body, utf8BOM)), []byte("<"))
	switch {
	case status == http.StatusProxyAuthRequired:
		return ReasonProxySignIn
	case status == http.StatusNetworkAuthenticationRequired, status/100 == 3, page && (status/100 == 2 || status == http.StatusForbidden):
		return ReasonPortal
	}
	return ""
}

// errProxySignIn is the error of a connection through a proxy that asks for a sign-in.
var errProxySignIn = errors.New("the proxy asks for a sign-in")

// ProxyAnswer is an http.Transport.OnProxyConnectResponse, with which Obstacle knows a proxy that asks for a sign-in,
// whatever words it has for that.
func ProxyAnswer(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusProxyAuthRequired {
		return errProxySignIn
	}
	return nil
}

// connectionTrouble is why no answer came, without the address, which may hold a token, and what is in between where that
// shows.
func connectionTrouble(err error) (text string, between Reason) {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time", ""
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return fmt.Sprintf("the name %s cannot be resolved", oneLine(dns.Name)), ""
	}
	var unverified *tls.CertificateVerificationError
	if errors.As(err, &unverified) {
		switch {
		case errors.As(err, new(x509.UnknownAuthorityError)):
			between = ReasonUnknownCA
		case errors.As(err, new(x509.HostnameError)):
			between = ReasonPortal
		}
		return "its TLS certificate cannot be verified, by a proxy that inspects TLS or a wrong clock as a rule: " + oneLine(unverified.Err.Error()), between
	}
	// Without ProxyAnswer the transport only has the words that most proxies use.
	if errors.Is(err, errProxySignIn) || strings.Contains(err.Error(), http.StatusText(http.StatusProxyAuthRequired)) {
		between = ReasonProxySignIn
	}
	return oneLine(err.Error()), between
}

var utf8BOM = []byte("\xef\xbb\xbf")

// oneLine makes foreign text safe for a log line and a page: no controls, no line breaks, at most 300 runes.
func oneLine(s string) string {
	clean := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\uFFFD"), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if runes := []rune(clean); len(runes) > 300 {
		return string(runes[:299]) + "…"
	}
	return clean
}
