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
	Said     string // the first sentence of Microsoft's description, one line; "": none

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
	ReasonNotLasting      Reason = "not-lasting"      // no refresh token came
	ReasonPasswordExpired Reason = "password-expired" // or has to be changed for another reason
	ReasonPasswordWrong   Reason = "password-wrong"

	// An administrator of the organization ends these.
	ReasonAdminConsent      Reason = "admin-consent"
	ReasonUnmanagedDevice   Reason = "unmanaged-device"
	ReasonForeignDevice     Reason = "foreign-device"
	ReasonConditionalAccess Reason = "conditional-access" // or security defaults
	ReasonAppNotApproved    Reason = "app-not-approved"   // policies let only certain apps in
	ReasonAccountRisk       Reason = "account-risk"
	ReasonTenantRestricted  Reason = "tenant-restricted" // by the network, or between organizations
	ReasonTenantBlocked     Reason = "tenant-blocked"
	ReasonFederation        Reason = "federation" // trouble of the organization's own sign-in service
	ReasonAppDisabled       Reason = "app-disabled"
	ReasonAccountLocked     Reason = "account-locked"
	ReasonAccountDisabled   Reason = "account-disabled"
	ReasonAccountUnassigned Reason = "account-unassigned"
	ReasonServiceMissing    Reason = "service-missing" // no subscription to Graph's calendar

	// Whoever runs this program ends these.
	ReasonAccountUnknown   Reason = "account-unknown"
	ReasonWrongTenant      Reason = "wrong-tenant"       // or another cloud
	ReasonPersonalAccount  Reason = "personal-account"   // where only others are taken
	ReasonPersonalOnly     Reason = "personal-only"      // the app takes personal accounts
	ReasonOrganizationOnly Reason = "organizations-only" // the app takes no personal accounts
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

	// What stands between this machine and Microsoft: see Obstacle.
	ReasonProxySignIn Reason = "proxy-sign-in" // the proxy asks for one, by 407
	ReasonPortal      Reason = "captive-portal"
	ReasonUnknownCA   Reason = "unknown-ca"
)

// Reasons are all reasons, in order: whoever words them needs them all.
func Reasons() []Reason {
	all := slices.Concat(slices.Collect(maps.Values(reasonByNumber)), slices.Collect(maps.Values(reasonByCode)),
		[]Reason{ReasonRefused, ReasonProxySignIn, ReasonPortal, ReasonUnknownCA})
	slices.Sort(all)
	return slices.Compact(all)
}

// fixers are who ends a reason; of one that is not named it is the operator.
var fixers = map[Reason]Fixer{
	ReasonNeverSignedIn: Person, ReasonMultiFactor: Person, ReasonExpired: Person, ReasonRevoked: Person, ReasonFrequency: Person,
	ReasonSinglePage: Person, ReasonInteraction: Person, ReasonConsentMissing: Person, ReasonDeclined: Person, ReasonCodeExpired: Person,
	ReasonRestarted: Person, ReasonTokenRejected: Person, ReasonNotLasting: Person, ReasonPasswordExpired: Person,
	ReasonPasswordWrong: Person,

	ReasonAdminConsent: Administrator, ReasonUnmanagedDevice: Administrator, ReasonForeignDevice: Administrator,
	ReasonConditionalAccess: Administrator, ReasonAppDisabled: Administrator, ReasonAccountLocked: Administrator,
	ReasonAppNotApproved: Administrator, ReasonAccountRisk: Administrator, ReasonTenantRestricted: Administrator,
	ReasonTenantBlocked: Administrator, ReasonFederation: Administrator,
	ReasonAccountDisabled: Administrator, ReasonAccountUnassigned: Administrator, ReasonServiceMissing: Administrator,
}

// reasonByNumber says what a number means (learn.microsoft.com/entra/identity-platform/reference-error-codes).
var reasonByNumber = map[int]Reason{
	70018:   ReasonCodeExpired,
	70019:   ReasonCodeExpired,
	700082:  ReasonExpired,
	70008:   ReasonExpired,
	700084:  ReasonSinglePage,
	50173:   ReasonRevoked,
	50132:   ReasonRevoked,
	50133:   ReasonRevoked,
	70043:   ReasonFrequency,
	50072:   ReasonMultiFactor,
	50074:   ReasonMultiFactor,
	50076:   ReasonMultiFactor,
	50078:   ReasonMultiFactor,
	50079:   ReasonMultiFactor,
	50158:   ReasonMultiFactor,
	50203:   ReasonMultiFactor,
	500121:  ReasonMultiFactor,
	16000:   ReasonInteraction,
	16001:   ReasonInteraction,
	16002:   ReasonInteraction,
	160021:  ReasonInteraction,
	50058:   ReasonInteraction,
	50085:   ReasonInteraction,
	50089:   ReasonInteraction,
	50125:   ReasonInteraction,
	50139:   ReasonInteraction,
	50140:   ReasonInteraction,
	50143:   ReasonInteraction,
	50168:   ReasonInteraction,
	50180:   ReasonInteraction,
	50197:   ReasonInteraction,
	50199:   ReasonInteraction,
	51006:   ReasonInteraction,
	9002341: ReasonInteraction,
	7000012: ReasonTokenRejected,
	50055:   ReasonPasswordExpired,
	50135:   ReasonPasswordExpired,
	50142:   ReasonPasswordExpired,
	50144:   ReasonPasswordExpired,
	50056:   ReasonPasswordWrong,
	50064:   ReasonPasswordWrong,
	50126:   ReasonPasswordWrong,
	65004:   ReasonDeclined,
	65001:   ReasonConsentMissing,
	90008:   ReasonConsentMissing,
	54005:   ReasonRestarted,
	50148:   ReasonRestarted,
	501481:  ReasonRestarted,

	90093:   ReasonAdminConsent,
	90094:   ReasonAdminConsent,
	90095:   ReasonAdminConsent,
	90097:   ReasonAdminConsent,
	90099:   ReasonAdminConsent,
	900941:  ReasonAdminConsent,
	900981:  ReasonAdminConsent,
	50005:   ReasonUnmanagedDevice,
	50097:   ReasonUnmanagedDevice,
	50129:   ReasonUnmanagedDevice,
	50155:   ReasonUnmanagedDevice,
	50187:   ReasonUnmanagedDevice,
	53000:   ReasonUnmanagedDevice,
	530002:  ReasonUnmanagedDevice,
	530033:  ReasonUnmanagedDevice, // which a code cannot prove
	530003:  ReasonUnmanagedDevice,
	530004:  ReasonUnmanagedDevice,
	700003:  ReasonUnmanagedDevice,
	135011:  ReasonUnmanagedDevice,
	53001:   ReasonForeignDevice,
	50127:   ReasonAppNotApproved,
	53002:   ReasonAppNotApproved,
	53005:   ReasonAppNotApproved,
	53009:   ReasonAppNotApproved,
	50131:   ReasonConditionalAccess,
	53003:   ReasonConditionalAccess,
	53010:   ReasonConditionalAccess,
	530031:  ReasonConditionalAccess,
	530032:  ReasonConditionalAccess,
	530035:  ReasonConditionalAccess,
	530036:  ReasonConditionalAccess,
	53004:   ReasonAccountRisk,
	53011:   ReasonAccountRisk,
	530034:  ReasonAccountRisk,
	50053:   ReasonAccountLocked,
	80012:   ReasonAccountLocked,
	50057:   ReasonAccountDisabled,
	500571:  ReasonAccountDisabled,
	50105:   ReasonAccountUnassigned,
	501051:  ReasonAccountUnassigned,
	50002:   ReasonTenantRestricted,
	500021:  ReasonTenantRestricted,
	500022:  ReasonTenantRestricted,
	500212:  ReasonTenantRestricted,
	500213:  ReasonTenantRestricted,
	1000104: ReasonTenantRestricted,
	5000224: ReasonTenantBlocked,
	5000225: ReasonTenantBlocked,
	5000229: ReasonTenantBlocked,
	20001:   ReasonFederation,
	20012:   ReasonFederation,
	20033:   ReasonFederation,
	40008:   ReasonFederation,
	40009:   ReasonFederation,
	40015:   ReasonFederation,
	50008:   ReasonFederation,
	50107:   ReasonFederation,
	50161:   ReasonFederation,
	80001:   ReasonFederation,
	80002:   ReasonFederation,
	80005:   ReasonFederation,
	80007:   ReasonFederation,
	80010:   ReasonFederation,
	80013:   ReasonFederation,
	80014:   ReasonFederation,
	500014:  ReasonServiceMissing,
	650052:  ReasonServiceMissing,
	70001:   ReasonAppDisabled,
	1000031: ReasonAppDisabled,
	7000112: ReasonAppDisabled,

	700011:  ReasonAppUnknown,
	700016:  ReasonAppUnknown,
	7000229: ReasonAppUnknown,
	70002:   ReasonSecretWrong,
	7000215: ReasonSecretWrong,
	7000222: ReasonSecretExpired,
	7000216: ReasonSecretMissing,
	7000218: ReasonSecretMissing,
	700025:  ReasonSecretUnexpected,
	50012:   ReasonCertificate,
	50013:   ReasonCertificate,
	50048:   ReasonCertificate,
	700023:  ReasonCertificate,
	700027:  ReasonCertificate,
	700030:  ReasonCertificate,
	500133:  ReasonClock,
	700024:  ReasonClock,
	50011:   ReasonRedirect,
	500112:  ReasonRedirect,
	500113:  ReasonRedirect,
	70004:   ReasonRedirect,
	700009:  ReasonRedirect,
	900971:  ReasonRedirect,
	9002325: ReasonRedirect,
	9002326: ReasonRedirect,
	9002327: ReasonRedirect,
	70003:   ReasonFlow,
	70005:   ReasonFlow,
	70007:   ReasonFlow,
	700054:  ReasonFlow,
	50014:   ReasonAccountUnknown,
	50034:   ReasonAccountUnknown,
	500341:  ReasonAccountUnknown,
	51004:   ReasonAccountUnknown,
	500200:  ReasonPersonalAccount,
	500208:  ReasonPersonalAccount,
	90027:   ReasonPersonalAccount,
	9002331: ReasonPersonalOnly,
	9002346: ReasonPersonalOnly,
	90130:   ReasonOrganizationOnly,
	9002332: ReasonOrganizationOnly,
	16003:   ReasonWrongTenant,
	50020:   ReasonWrongTenant,
	50049:   ReasonWrongTenant,
	50059:   ReasonWrongTenant,
	50128:   ReasonWrongTenant,
	50134:   ReasonWrongTenant,
	50194:   ReasonWrongTenant,
	700005:  ReasonWrongTenant,
	90002:   ReasonWrongTenant,
	90010:   ReasonWrongTenant,
	90019:   ReasonWrongTenant,
	900023:  ReasonWrongTenant,
	90038:   ReasonWrongTenant,
	90043:   ReasonWrongTenant,
	90051:   ReasonWrongTenant,
	90072:   ReasonWrongTenant,
	900382:  ReasonWrongTenant,
	900432:  ReasonWrongTenant,
	900439:  ReasonWrongTenant,
	9001023: ReasonWrongTenant,
	28000:   ReasonPermissions,
	28002:   ReasonPermissions,
	28003:   ReasonPermissions,
	50001:   ReasonPermissions,
	500011:  ReasonPermissions,
	65005:   ReasonPermissions,
	650053:  ReasonPermissions,
	650054:  ReasonPermissions,
	650055:  ReasonPermissions,
	650056:  ReasonPermissions,
	650057:  ReasonPermissions,
	70011:   ReasonPermissions,
	700022:  ReasonPermissions,
	1002012: ReasonPermissions,
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
	90033: 0, 90024: 0, 50087: 0, 90006: 0, 90090: 0, 90055: 0, 40010: 0, 50033: 0, 50166: 0, 70012: 0, 90012: 0,
	50088: 5 * time.Minute, // a limit on calls for a second factor
	50196: 5 * time.Minute, // LoopDetected: asking on prolongs it
}

// tokenError is the body of a refusal (RFC 6749 §5.2, with Microsoft's additions).
type tokenError struct {
	Code          string
	Description   string // searched for numbers; its first sentence is shown
	Numbers       []int
	SubError      string
	Claims        string
	TraceID       string
	CorrelationID string
	Body          []byte // where it is none
}

var aadstsNumber = regexp.MustCompile(`AADSTS([0-9]{4,9})`)

// readTokenError reads b leniently; what is no JSON object gives nothing but Body.
func readTokenError(b []byte) (t tokenError) {
	var answer map[string]any
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(b, utf8BOM)))
	decoder.UseNumber()
	if decoder.Decode(&answer) != nil {
		return tokenError{Body: b}
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
		later.obstacle = obstacle(status, t.Body)
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
	e := newAuthError(op, t)
	if e.Reason == ReasonAdminConsent {
		e.ConsentURL = a.AdminConsentURL()
	}
	return e
}

// newAuthError judges a refusal by its number, else by its code, and by the step that op names.
func newAuthError(op string, t tokenError) *AuthError {
	e := &AuthError{Code: t.Code, SubError: t.SubError, Claims: t.Claims, Said: firstSentence(t.Description), TraceID: t.TraceID, CorrelationID: t.CorrelationID}
	if len(t.Numbers) > 0 {
		e.AADSTS = t.Numbers[0]
	}
	reason := orDefault(reasonByCode[t.Code], ReasonRefused)
	if t.SubError == "consent_required" {
		reason = ReasonConsentMissing
	}
	known := false
	for _, n := range t.Numbers {
		if r, ok := reasonByNumber[n]; ok {
			e.AADSTS, reason, known = n, r, true
			break
		}
	}
	e.Reason = reasonAt(op, reason, known || len(t.Numbers) == 0)
	e.Fixer = orDefault(fixers[e.Reason], Operator)
	if e.Reason == ReasonFrequency {
		e.Lifetime = signInLifetime(t.Description)
	}
	return e
}

// The steps of signing in, as errors name them.
const (
	opStart    = "start the sign-in"
	opWait     = "wait for the sign-in"
	opRedirect = "sign in"
	opFinish   = "finish the sign-in"
	opRenew    = "renew the sign-in"
	opApp      = "sign in the app"
)

// reasonAt is what a reason comes to at a step. Whoever is signing in is not to be told to sign in, and where an app signs
// in there is nobody to. clear: the reason is that of a known number, or there is no number to be told more by.
func reasonAt(op string, r Reason, clear bool) Reason {
	switch op {
	case opStart, opWait, opRedirect, opFinish:
		switch r {
		case ReasonConsentMissing: // and could not be given
			return ReasonAdminConsent
		case ReasonExpired: // the code, since nothing is stored yet
			return ReasonRestarted
		case ReasonTokenRejected:
			if clear {
				return ReasonRestarted
			}
			return ReasonRefused
		case ReasonInteraction, ReasonDeclined: // access_denied is also what a policy says that has a number
			if !clear {
				return ReasonRefused
			}
		}
	case opApp:
		switch {
		case r == ReasonConsentMissing:
			return ReasonAdminConsent
		case r == ReasonMultiFactor, r == ReasonInteraction, r == ReasonFrequency:
			return ReasonConditionalAccess
		case fixers[r] == Person:
			return ReasonRefused
		}
	}
	return r
}

var sentenceEnd = regexp.MustCompile(`[.!?](\s|\x{a0}|$)|[\r\n]`)

// firstSentence is the first sentence of a description, without the number before it: what follows holds times and ids.
func firstSentence(description string) string {
	text := strings.TrimSpace(aadstsPrefix.ReplaceAllString(description, ""))
	if end := sentenceEnd.FindStringIndex(text); end != nil {
		text = strings.TrimSpace(text[:end[0]+1])
	}
	return oneLine(text)
}

var aadstsPrefix = regexp.MustCompile(`^\s*AADSTS[0-9]+:?`)

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
