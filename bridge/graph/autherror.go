package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// AuthError is a refusal of the login service that trying again does not mend. Sentence and Action are for a person;
// Action may hold the word ACCOUNT where the name of the account belongs.
type AuthError struct {
	AADSTS   int    // Microsoft's number of the error, 0: none
	Code     string // of OAuth 2.0 (RFC 6749 §5.2, RFC 8628 §3.5), or no_token, no_refresh_token, tenant_required, certificate_expired of ours
	SubError string
	Claims   string // what a new sign-in has to ask for, JSON
	Sentence string // what happened
	Action   string // what to do
	SignIn   bool   // signing in again mends it; otherwise an administrator or the configuration has to change first
	Admin    bool   // an administrator of the organization has to allow something first

	TraceID       string // Microsoft's support asks for these two
	CorrelationID string
}

// ActionFor is Action with the account's name where it says ACCOUNT.
func (e *AuthError) ActionFor(account string) string {
	return strings.ReplaceAll(e.Action, accountHere, account)
}

// accountHere stands for the account's name, which this package does not know.
const accountHere = "ACCOUNT"

// ForAccount is err with the account's name in its advice. It wraps err.
func ForAccount(err error, account string) error { return &accountError{err, account} }

type accountError struct {
	err     error
	account string
}

func (e *accountError) Error() string {
	return strings.ReplaceAll(e.err.Error(), accountHere, e.account)
}
func (e *accountError) Unwrap() error { return e.err }

// Error says what happened and what to do, in one line.
func (e *AuthError) Error() string {
	code := e.Code
	if e.AADSTS != 0 {
		code = strings.TrimPrefix(code+", AADSTS"+strconv.Itoa(e.AADSTS), ", ")
	}
	return "sign-in: " + e.Sentence + " " + e.Action + " (" + code + ")"
}

// who mends an error.
type who int

const (
	operator who = iota // of the bridge: the configuration or the app registration
	person              // by signing in
	admin               // of the organization
)

// advice is what a person reads about an error.
type advice struct {
	sentence, action string
	mender           who
}

const (
	loginAgain  = "Run `outbridge login ACCOUNT`."
	askAdmin    = "Ask the administrator of the organization."
	newSecret   = "Make a new client secret in the app registration, and put its value into the client secret file."
	checkTenant = "Correct tenant and cloud in the configuration; the app registration says which accounts it supports."
	checkApp    = "Correct client_id and the client secret or certificate in the configuration after the app registration."
	checkScopes = "Give the app registration the Microsoft Graph permissions Calendars.Read, User.Read and offline_access, and those that the configuration names for what is switched on."
)

var (
	mfa          = advice{"The organization asks for multi-factor authentication.", loginAgain, person}
	expired      = advice{"The sign-in has expired, since it was not used for too long.", loginAgain, person}
	revoked      = advice{"The sign-in was revoked or the password has changed.", loginAgain, person}
	frequency    = advice{"The organization ends each sign-in after a fixed time, and this one's is over.", "Run `outbridge login ACCOUNT`; it will be needed again after the same time.", person}
	askedAgain   = advice{"Microsoft asks the person to sign in again.", loginAgain, person}
	notConsented = advice{"Nobody has consented to the permissions that the app asks for.", "Run `outbridge login ACCOUNT` and accept the permissions.", person}
	codeIsGone   = advice{"The code was not entered in time, or is not valid any more.", "Run `outbridge login ACCOUNT` again and enter the new code.", person}
	restart      = advice{"The sign-in was begun in another window or finished twice.", "Start the sign-in again.", person}
	declined     = advice{"The sign-in was declined.", "Run `outbridge login ACCOUNT` again and accept.", person}
	signInAgain  = advice{"Microsoft does not accept the stored sign-in any more.", loginAgain, person}

	unmanaged   = advice{"The organization only lets managed devices in, and this one is not.", "Ask the administrator for an exception, or use app-only access.", admin}
	adminGrants = advice{"An administrator has to allow the app in this organization first.", "Ask the administrator to grant admin consent to the app, then run `outbridge login ACCOUNT`.", admin}
	appDisabled = advice{"The app is disabled in this organization.", askAdmin, admin}

	badTenant      = advice{"The account or the app does not belong to the configured tenant or cloud.", checkTenant, operator}
	badApp         = advice{"Microsoft does not accept the app's own credentials.", checkApp, operator}
	badScope       = advice{"Microsoft does not know the permissions that the app asks for.", checkScopes, operator}
	badCertificate = advice{"Microsoft does not accept the certificate of the app.", "Upload the certificate of certificate_file in the app registration, and check the clock.", operator}
	badRedirect    = advice{"The app registration does not know the address that the sign-in comes back to.", "Add http://localhost as a redirect URI of the platform \"Mobile and desktop applications\" for `outbridge login --flow browser`, or the bridge's own callback address as one of the platform \"Web\".", operator}
	noApp          = advice{"The app is not known in this tenant.", "Correct client_id and tenant in the configuration, or have an administrator add the app to the organization.", operator}
)

// adviceByNumber says what a number means (learn.microsoft.com/entra/identity-platform/reference-error-codes).
var adviceByNumber = map[int]advice{
	70018:  codeIsGone,
	70019:  codeIsGone,
	700082: expired,
	70008:  expired,
	700084: {"The sign-in has ended after 24 hours, which is all that a redirect URI of a single-page app gives.", "Move the redirect URI to another platform in the app registration, then run `outbridge login ACCOUNT`.", person},
	50173:  revoked,
	50132:  revoked,
	50133:  revoked,
	70043:  frequency,
	50072:  mfa,
	50074:  mfa,
	50076:  mfa,
	50078:  mfa,
	50079:  mfa,
	50158:  mfa,
	500121: mfa,
	50058:  askedAgain,
	16000:  askedAgain,
	53000:  unmanaged,
	53001:  {"The organization only lets devices of its domain in, and this one is not.", "Ask the administrator for an exception, or use app-only access.", admin},
	53003:  {"A Conditional Access policy of the organization blocks this sign-in.", "Ask the administrator to allow the app or the device code flow, or run `outbridge login ACCOUNT --flow browser`.", admin},
	65001:  notConsented,
	65004:  declined,
	90094:  adminGrants,
	90095:  adminGrants,
	50034:  {"The account does not exist in this tenant.", "Check the address and the tenant in the configuration.", operator},
	50053:  {"The account is locked, after too many failed sign-ins or from a bad address.", "Wait some hours or ask the administrator, then run `outbridge login ACCOUNT`.", admin},
	50055:  {"The password of the account has expired.", "Change it, then run `outbridge login ACCOUNT`.", person},
	50057:  {"The account is disabled.", askAdmin, admin},
	50105:  {"The account is not assigned to the app.", "Ask the administrator to assign it in the enterprise application.", admin},
	54005:  restart,
	501481: restart,

	7000215: {"The client secret is wrong.", "Put the secret's value, not its ID, into the client secret file.", operator},
	7000222: {"The client secret has expired.", newSecret, operator},
	7000218: {"The app registration asks for a client secret or a certificate.", "Allow public client flows in the app registration, or configure client_secret_file or certificate_file.", operator},
	700025:  {"The app is a public client, which has no secret.", "Remove client_secret_file and certificate_file from the configuration.", operator},
	700023:  badCertificate,
	700024:  {"Microsoft does not accept the time in the app's signature.", "Set the clock of this machine right.", operator},
	700027:  badCertificate,
	700030:  badCertificate,
	700016:  noApp,
	7000229: noApp,
	7000112: appDisabled,
	70001:   appDisabled,

	50011:  badRedirect,
	500112: badRedirect,
	500113: badRedirect,

	90002:   badTenant,
	900023:  badTenant,
	50020:   badTenant,
	50059:   badTenant,
	50128:   badTenant,
	50194:   badTenant,
	9002332: badTenant,
	9001023: badTenant,
	900432:  badTenant,

	70011:   badScope,
	28000:   badScope,
	28002:   badScope,
	28003:   badScope,
	65005:   badScope,
	500011:  badScope,
	1002012: badScope,
	650052:  {"The organization has no subscription to Microsoft Graph's calendar, or has not enabled it.", askAdmin, admin},
	650053:  badScope,
	650054:  badScope,
	650055:  badScope,
	650056:  badScope,
	650057:  badScope,
}

// adviceByCode is for a number that is not known, or none.
var adviceByCode = map[string]advice{
	"invalid_grant":             signInAgain,
	"interaction_required":      askedAgain,
	"login_required":            askedAgain,
	"consent_required":          notConsented,
	"invalid_client":            badApp,
	"unauthorized_client":       noApp,
	"invalid_scope":             badScope,
	"invalid_resource":          badScope,
	"access_denied":             declined,
	"authorization_declined":    declined,
	"expired_token":             codeIsGone,
	"bad_verification_code":     codeIsGone,
	"unsupported_response_type": {"The app registration does not allow this kind of sign-in.", checkApp, operator},
	"no_token":                  {"Nobody has signed in to this account yet.", loginAgain, person},
	"no_refresh_token":          {"Microsoft gave no lasting sign-in.", "Allow offline_access to the app, then run `outbridge login ACCOUNT`.", person},
	"certificate_expired":       {"The app's certificate has expired.", "Make a new one, upload it in the app registration, and put it and its key into certificate_file.", operator},
	"tenant_required":           {"App-only access needs the organization's own tenant.", "Set tenant in the configuration to its ID or domain.", operator},
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
	if e.AADSTS == 90094 || e.AADSTS == 90095 {
		e.Action = "Ask the administrator to open " + a.AdminConsentURL() + " and to accept, then run `outbridge login ACCOUNT`."
	}
	return e
}

func newAuthError(t tokenError) *AuthError {
	e := &AuthError{Code: t.Code, SubError: t.SubError, Claims: t.Claims, TraceID: t.TraceID, CorrelationID: t.CorrelationID}
	if len(t.Numbers) > 0 {
		e.AADSTS = t.Numbers[0]
	}
	a, ok := adviceByCode[t.Code]
	if t.SubError == "consent_required" {
		a, ok = adviceByCode[t.SubError], true
	}
	if !ok {
		a = advice{"Microsoft refuses the sign-in.", "Look the error up at https://login.microsoftonline.com/error.", operator}
	}
	for _, n := range t.Numbers {
		if known, ok := adviceByNumber[n]; ok {
			e.AADSTS, a = n, known
			break
		}
	}
	e.Sentence, e.Action, e.SignIn, e.Admin = a.sentence, a.action, a.mender == person, a.mender == admin
	if lifetime := signInLifetime(t.Description); e.AADSTS == 70043 && lifetime != "" {
		e.Sentence = "The organization requires a new sign-in every " + lifetime + "."
	}
	return e
}

var maximumLifetime = regexp.MustCompile(`maximum allowed lifetime for this request is ([0-9]{1,9})\b`)

// signInLifetime is how long a policy lets a sign-in last, in words, where the description of an AADSTS70043 tells it (in
// seconds).
func signInLifetime(description string) string {
	found := maximumLifetime.FindStringSubmatch(description)
	if found == nil {
		return ""
	}
	seconds, _ := strconv.Atoi(found[1])
	for _, unit := range []struct {
		name    string
		seconds int
	}{{"day", 86400}, {"hour", 3600}, {"minute", 60}} {
		switch n := seconds / unit.seconds; {
		case n == 1 && seconds%unit.seconds == 0:
			return unit.name
		case n > 0 && seconds%unit.seconds == 0:
			return strconv.Itoa(n) + " " + unit.name + "s"
		}
	}
	return ""
}
