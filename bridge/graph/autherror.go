package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AuthError is a refusal of the login service that trying again does not change: its reason, and who can end it.
type AuthError struct {
	AADSTS   int    // Microsoft's number of the error, 0: none
	Code     string // of OAuth 2.0 (RFC 6749 §5.2, RFC 8628 §3.5), or no_token, no_refresh_token, tenant_required, certificate_expired of ours
	SubError string
	Claims   string // what a new sign-in has to ask for, JSON

	Reason     Reason
	Fixer      Fixer
	Lifetime   time.Duration // of every sign-in, with ReasonFrequency; 0: not said
	ConsentURL string        // where an administrator lets the app in, with ReasonAdminConsent; "": not known

	TraceID       string // Microsoft's support asks for these two
	CorrelationID string
}

// Error names the reason, for logs.
func (e *AuthError) Error() string {
	code := e.Code
	if e.AADSTS != 0 {
		code = strings.TrimPrefix(code+", AADSTS"+strconv.Itoa(e.AADSTS), ", ")
	}
	return "sign-in refused: " + string(e.Reason) + " (" + code + ")"
}

// Fixer is who can end the cause of an error.
type Fixer string

const (
	Person        Fixer = "person"        // by signing in
	Administrator Fixer = "administrator" // of the organization, by allowing something
	Operator      Fixer = "operator"      // of this program: its configuration or the app registration
)

// Reason is why the login service refuses.
type Reason string

const (
	// A person ends these.
	ReasonNeverSignedIn   Reason = "never-signed-in"
	ReasonMultiFactor     Reason = "multi-factor"
	ReasonExpired         Reason = "expired" // not used for too long
	ReasonRevoked         Reason = "revoked" // or the password has changed
	ReasonFrequency       Reason = "sign-in-frequency"
	ReasonSinglePage      Reason = "single-page-app" // its refresh tokens last 24 hours
	ReasonInteraction     Reason = "interaction"     // Microsoft wants to see the person
	ReasonConsentMissing  Reason = "consent-missing"
	ReasonDeclined        Reason = "declined"
	ReasonCodeExpired     Reason = "code-expired"
	ReasonRestarted       Reason = "restarted" // in another window, or finished twice
	ReasonTokenRejected   Reason = "token-rejected"
	ReasonNotLasting      Reason = "not-lasting" // no refresh token came
	ReasonPasswordExpired Reason = "password-expired"

	// An administrator of the organization ends these.
	ReasonAdminConsent      Reason = "admin-consent"
	ReasonUnmanagedDevice   Reason = "unmanaged-device"
	ReasonForeignDevice     Reason = "foreign-device"
	ReasonConditionalAccess Reason = "conditional-access"
	ReasonAppDisabled       Reason = "app-disabled"
	ReasonAccountLocked     Reason = "account-locked"
	ReasonAccountDisabled   Reason = "account-disabled"
	ReasonAccountUnassigned Reason = "account-unassigned"
	ReasonServiceMissing    Reason = "service-missing" // no subscription to Graph's calendar

	// Whoever runs this program ends these.
	ReasonAccountUnknown   Reason = "account-unknown"
	ReasonWrongTenant      Reason = "wrong-tenant" // or another cloud
	ReasonTenantMissing    Reason = "tenant-missing"
	ReasonAppUnknown       Reason = "app-unknown"
	ReasonAppCredentials   Reason = "app-credentials"
	ReasonSecretWrong      Reason = "secret-wrong"
	ReasonSecretExpired    Reason = "secret-expired"
	ReasonSecretMissing    Reason = "secret-missing"    // or a certificate
	ReasonSecretUnexpected Reason = "secret-unexpected" // of a public client
	ReasonCertificate      Reason = "certificate-refused"
	ReasonCertificateEnded Reason = "certificate-expired"
	ReasonClock            Reason = "clock"
	ReasonPermissions      Reason = "permissions-unknown"
	ReasonRedirect         Reason = "redirect-uri"
	ReasonFlow             Reason = "flow-not-allowed"
	ReasonRefused          Reason = "refused" // nothing that is known here
)

// Reasons are all reasons, in order: whoever words them needs them all.
func Reasons() []Reason {
	all := slices.Concat(slices.Collect(maps.Values(reasonByNumber)), slices.Collect(maps.Values(reasonByCode)), []Reason{ReasonRefused})
	slices.Sort(all)
	return slices.Compact(all)
}

// fixers are who ends a reason; of one that is not named it is the operator.
var fixers = map[Reason]Fixer{
	ReasonNeverSignedIn: Person, ReasonMultiFactor: Person, ReasonExpired: Person, ReasonRevoked: Person, ReasonFrequency: Person,
	ReasonSinglePage: Person, ReasonInteraction: Person, ReasonConsentMissing: Person, ReasonDeclined: Person, ReasonCodeExpired: Person,
	ReasonRestarted: Person, ReasonTokenRejected: Person, ReasonNotLasting: Person, ReasonPasswordExpired: Person,

	ReasonAdminConsent: Administrator, ReasonUnmanagedDevice: Administrator, ReasonForeignDevice: Administrator,
	ReasonConditionalAccess: Administrator, ReasonAppDisabled: Administrator, ReasonAccountLocked: Administrator,
	ReasonAccountDisabled: Administrator, ReasonAccountUnassigned: Administrator, ReasonServiceMissing: Administrator,
}

// reasonByNumber says what a number means (learn.microsoft.com/entra/identity-platform/reference-error-codes).
var reasonByNumber = map[int]Reason{
	70018:  ReasonCodeExpired,
	70019:  ReasonCodeExpired,
	700082: ReasonExpired,
	70008:  ReasonExpired,
	700084: ReasonSinglePage,
	50173:  ReasonRevoked,
	50132:  ReasonRevoked,
	50133:  ReasonRevoked,
	70043:  ReasonFrequency,
	50072:  ReasonMultiFactor,
	50074:  ReasonMultiFactor,
	50076:  ReasonMultiFactor,
	50078:  ReasonMultiFactor,
	50079:  ReasonMultiFactor,
	50158:  ReasonMultiFactor,
	500121: ReasonMultiFactor,
	50058:  ReasonInteraction,
	16000:  ReasonInteraction,
	53000:  ReasonUnmanagedDevice,
	53001:  ReasonForeignDevice,
	53003:  ReasonConditionalAccess,
	65001:  ReasonConsentMissing,
	65004:  ReasonDeclined,
	90094:  ReasonAdminConsent,
	90095:  ReasonAdminConsent,
	50034:  ReasonAccountUnknown,
	50053:  ReasonAccountLocked,
	50055:  ReasonPasswordExpired,
	50057:  ReasonAccountDisabled,
	50105:  ReasonAccountUnassigned,
	54005:  ReasonRestarted,
	501481: ReasonRestarted,

	7000215: ReasonSecretWrong,
	7000222: ReasonSecretExpired,
	7000218: ReasonSecretMissing,
	700025:  ReasonSecretUnexpected,
	700023:  ReasonCertificate,
	700024:  ReasonClock,
	700027:  ReasonCertificate,
	700030:  ReasonCertificate,
	700016:  ReasonAppUnknown,
	7000229: ReasonAppUnknown,
	7000112: ReasonAppDisabled,
	70001:   ReasonAppDisabled,

	50011:  ReasonRedirect,
	500112: ReasonRedirect,
	500113: ReasonRedirect,

	90002:   ReasonWrongTenant,
	900023:  ReasonWrongTenant,
	50020:   ReasonWrongTenant,
	50059:   ReasonWrongTenant,
	50128:   ReasonWrongTenant,
	50194:   ReasonWrongTenant,
	9002332: ReasonWrongTenant,
	9001023: ReasonWrongTenant,
	900432:  ReasonWrongTenant,

	70011:   ReasonPermissions,
	28000:   ReasonPermissions,
	28002:   ReasonPermissions,
	28003:   ReasonPermissions,
	65005:   ReasonPermissions,
	500011:  ReasonPermissions,
	1002012: ReasonPermissions,
	650052:  ReasonServiceMissing,
	650053:  ReasonPermissions,
	650054:  ReasonPermissions,
	650055:  ReasonPermissions,
	650056:  ReasonPermissions,
	650057:  ReasonPermissions,
}

// reasonByCode is for a number that is not known, or none.
var reasonByCode = map[string]Reason{
	"invalid_grant":             ReasonTokenRejected,
	"interaction_required":      ReasonInteraction,
	"login_required":            ReasonInteraction,
	"consent_required":          ReasonConsentMissing,
	"invalid_client":            ReasonAppCredentials,
	"unauthorized_client":       ReasonAppUnknown,
	"invalid_scope":             ReasonPermissions,
	"invalid_resource":          ReasonPermissions,
	"access_denied":             ReasonDeclined,
	"authorization_declined":    ReasonDeclined,
	"expired_token":             ReasonCodeExpired,
	"bad_verification_code":     ReasonCodeExpired,
	"unsupported_response_type": ReasonFlow,
	"no_token":                  ReasonNeverSignedIn,
	"no_refresh_token":          ReasonNotLasting,
	"certificate_expired":       ReasonCertificateEnded,
	"tenant_required":           ReasonTenantMissing,
}

// waitByNumber are the numbers that pass by themselves, and how long to wait at least.
var waitByNumber = map[int]time.Duration{
	90033: 0, 90024: 0, 50087: 0, 90006: 0, 90090: 0, 90055: 0,
	50196: 5 * time.Minute, // LoopDetected: asking on prolongs it
}

// tokenError is the body of a refusal (RFC 6749 §5.2, with Microsoft's additions).
type tokenError struct {
	Code          string
	Description   string // only searched for numbers
	Numbers       []int
	SubError      string
	Claims        string
	TraceID       string
	CorrelationID string
}

var aadstsNumber = regexp.MustCompile(`AADSTS([0-9]{4,9})`)

// readTokenError reads b leniently; what is no JSON object gives the zero value.
func readTokenError(b []byte) (t tokenError) {
	var answer map[string]any
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(b, utf8BOM)))
	decoder.UseNumber()
	if decoder.Decode(&answer) != nil {
		return tokenError{}
	}
	t = tokenError{
		Code:          oneLine(text(answer, "error")),
		Description:   text(answer, "error_description"),
		SubError:      oneLine(text(answer, "suberror")),
		TraceID:       oneLine(text(answer, "trace_id")),
		CorrelationID: oneLine(text(answer, "correlation_id")),
	}
	t.Claims = validClaims(text(answer, "claims"))
	numbers, _ := answer["error_codes"].([]any)
	for _, v := range numbers {
		if n, err := strconv.Atoi(fmt.Sprint(v)); err == nil {
			t.Numbers = append(t.Numbers, n)
		}
	}
	return t
}

// validClaims is claims where it is the JSON that a sign-in can be sent with, and "" otherwise.
func validClaims(claims string) string {
	if !json.Valid([]byte(claims)) {
		return ""
	}
	return claims
}

// refusal is the *AuthError or, where it passes by itself, the *Error that a tokenError stands for.
func (a *Authority) refusal(op string, status int, header http.Header, t tokenError) error {
	if found := aadstsNumber.FindStringSubmatch(t.Description); len(t.Numbers) == 0 && found != nil {
		n, _ := strconv.Atoi(found[1])
		t.Numbers = []int{n}
	}
	later := &Error{Op: op, Status: status, Code: t.Code, RequestID: t.TraceID, RetryAfter: retryAfter(header), login: true}
	if t.Code == "" && len(t.Numbers) == 0 {
		// The login service always names an error: this is a proxy, a sign-in page of the network, or an outage.
		later.Message = "the answer is not the login service's own; look for a proxy or a sign-in page in between"
		return later
	}
	for _, n := range t.Numbers {
		if wait, ok := waitByNumber[n]; ok {
			later.RetryAfter = max(later.RetryAfter, wait)
			later.Message = "AADSTS" + strconv.Itoa(n)
			return later
		}
	}
	if t.Code == "temporarily_unavailable" || t.Code == "server_error" || status == http.StatusTooManyRequests || status >= 500 {
		return later
	}
	e := newAuthError(t)
	if e.Reason == ReasonAdminConsent {
		e.ConsentURL = a.AdminConsentURL()
	}
	return e
}

func newAuthError(t tokenError) *AuthError {
	e := &AuthError{Code: t.Code, SubError: t.SubError, Claims: t.Claims, TraceID: t.TraceID, CorrelationID: t.CorrelationID}
	if len(t.Numbers) > 0 {
		e.AADSTS = t.Numbers[0]
	}
	reason, ok := reasonByCode[t.Code]
	if t.SubError == "consent_required" {
		reason, ok = ReasonConsentMissing, true
	}
	if !ok {
		reason = ReasonRefused
	}
	for _, n := range t.Numbers {
		if known, ok := reasonByNumber[n]; ok {
			e.AADSTS, reason = n, known
			break
		}
	}
	e.Reason, e.Fixer = reason, orDefault(fixers[reason], Operator)
	if reason == ReasonFrequency {
		e.Lifetime = signInLifetime(t.Description)
	}
	return e
}

var maximumLifetime = regexp.MustCompile(`maximum allowed lifetime for this request is ([0-9]{1,9})\b`)

// signInLifetime is how long a policy lets a sign-in last, where the description of an AADSTS70043 tells it (in seconds).
func signInLifetime(description string) time.Duration {
	found := maximumLifetime.FindStringSubmatch(description)
	if found == nil {
		return 0
	}
	seconds, _ := strconv.Atoi(found[1])
	return time.Duration(seconds) * time.Second
}
