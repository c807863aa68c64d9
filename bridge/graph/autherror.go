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
	Code     string // of OAuth 2.0 (RFC 6749 §5.2, RFC 8628 §3.5), or no_token, no_refresh_token, tenant_required of ours
	SubError string
	Claims   string // what a new sign-in has to ask for, JSON
	Sentence string // what happened
	Action   string // what to do
	SignIn   bool   // signing in again mends it; otherwise an administrator or the configuration has to change first

	TraceID       string // Microsoft's support asks for these two
	CorrelationID string
}

// Error says what happened and what to do, in one line.
func (e *AuthError) Error() string {
	code := e.Code
	if e.AADSTS != 0 {
		code = strings.TrimPrefix(code+", AADSTS"+strconv.Itoa(e.AADSTS), ", ")
	}
	return "sign-in: " + e.Sentence + " " + e.Action + " (" + code + ")"
}

// advice is what a person reads about an error.
type advice struct {
	sentence, action string
	signIn           bool
}

const (
	loginAgain  = "Run `outbridge login ACCOUNT`."
	askAdmin    = "Ask the administrator of the organization."
	newSecret   = "Make a new client secret in the app registration, and put its value into the client secret file."
	checkTenant = "Correct tenant and cloud in the configuration; the app registration says which accounts it supports."
	checkApp    = "Correct client_id and the client secret in the configuration after the app registration."
	checkScopes = "Give the app registration the Microsoft Graph permissions Calendars.Read, User.Read and offline_access."
)

var (
	mfa         = advice{"The organization asks for multi-factor authentication.", loginAgain, true}
	expired     = advice{"The sign-in has expired, since it was not used for too long.", loginAgain, true}
	revoked     = advice{"The sign-in was revoked or the password has changed.", loginAgain, true}
	badTenant   = advice{"The account or the app does not belong to the configured tenant or cloud.", checkTenant, false}
	badApp      = advice{"Microsoft does not accept the app's own credentials.", checkApp, false}
	badScope    = advice{"Microsoft does not know the permissions that the app asks for.", checkScopes, false}
	adminGrants = advice{"An administrator has to allow the app in this organization first.", "Ask the administrator to grant admin consent to the app, then run `outbridge login ACCOUNT`.", false}
	codeIsGone  = advice{"The code was not entered in time, or is not valid any more.", "Run `outbridge login ACCOUNT` again and enter the new code.", true}
	restart     = advice{"The sign-in was begun in another window or finished twice.", "Start the sign-in again.", true}
	declined    = advice{"The sign-in was declined.", "Run `outbridge login ACCOUNT` again and accept.", true}
	noApp       = advice{"The app is not known in this tenant.", "Correct client_id and tenant in the configuration, or have an administrator add the app to the organization.", false}
	signInAgain = advice{"Microsoft does not accept the stored sign-in any more.", loginAgain, true}
)

// adviceByNumber says what a number means (learn.microsoft.com/entra/identity-platform/reference-error-codes).
var adviceByNumber = map[int]advice{
	70018:  codeIsGone,
	70019:  codeIsGone,
	700082: expired,
	70008:  expired,
	700084: expired,
	50173:  revoked,
	50132:  revoked,
	50133:  revoked,
	70043:  {"The organization ends each sign-in after a fixed time, and this one's is over.", "Run `outbridge login ACCOUNT`; it will be needed again after the same time.", true},
	50072:  mfa,
	50074:  mfa,
	50076:  mfa,
	50078:  mfa,
	50079:  mfa,
	53000:  {"The organization only lets managed devices in, and this one is not.", "Ask the administrator for an exception, or use app-only access.", false},
	53001:  {"The organization only lets devices of its domain in, and this one is not.", "Ask the administrator for an exception, or use app-only access.", false},
	53003:  {"A Conditional Access policy of the organization blocks this sign-in.", "Ask the administrator to allow the app or the device code flow, or sign in with a browser.", false},
	65001:  {"Nobody has consented to the permissions that the app asks for.", "Run `outbridge login ACCOUNT` and accept the permissions.", true},
	65004:  declined,
	90094:  adminGrants,
	90095:  adminGrants,
	50034:  {"The account does not exist in this tenant.", "Check the address and the tenant in the configuration.", false},
	50053:  {"The account is locked, after too many failed sign-ins or from a bad address.", "Wait some hours or ask the administrator, then run `outbridge login ACCOUNT`.", false},
	50055:  {"The password of the account has expired.", "Change it, then run `outbridge login ACCOUNT`.", true},
	50057:  {"The account is disabled.", askAdmin, false},
	50105:  {"The account is not assigned to the app.", "Ask the administrator to assign it in the enterprise application.", false},
	54005:  restart,
	501481: restart,

	7000215: {"The client secret is wrong.", "Put the secret's value, not its ID, into the client secret file.", false},
	7000222: {"The client secret has expired.", newSecret, false},
	7000218: {"The app registration asks for a client secret.", "Allow public client flows in the app registration, or configure a client secret.", false},
	700025:  {"The app is a public client, which has no secret.", "Remove client_secret_file from the configuration.", false},
	700027:  {"Microsoft does not accept the certificate of the app.", "Upload the certificate in the app registration, and check the clock.", false},
	700016:  noApp,

	90002:   badTenant,
	900023:  badTenant,
	50020:   badTenant,
	50194:   badTenant,
	9002332: badTenant,
	9001023: badTenant,
	900432:  badTenant,

	70011:  badScope,
	28000:  badScope,
	28002:  badScope,
	28003:  badScope,
	650052: {"The organization has no subscription to Microsoft Graph's calendar, or has not enabled it.", askAdmin, false},
	650053: badScope,
	650054: badScope,
	650056: badScope,
	650057: badScope,
}

// adviceByCode is for a number that is not known, or none.
var adviceByCode = map[string]advice{
	"invalid_grant":          signInAgain,
	"interaction_required":   {"Microsoft asks the person to sign in again.", loginAgain, true},
	"login_required":         {"Microsoft asks the person to sign in again.", loginAgain, true},
	"consent_required":       {"Nobody has consented to the permissions that the app asks for.", "Run `outbridge login ACCOUNT` and accept the permissions.", true},
	"invalid_client":         badApp,
	"unauthorized_client":    noApp,
	"invalid_scope":          badScope,
	"invalid_resource":       badScope,
	"access_denied":          declined,
	"authorization_declined": declined,
	"expired_token":          codeIsGone,
	"bad_verification_code":  codeIsGone,
	"no_token":               {"Nobody has signed in to this account yet.", loginAgain, true},
	"no_refresh_token":       {"Microsoft gave no lasting sign-in.", "Allow offline_access to the app, then run `outbridge login ACCOUNT`.", true},
	"tenant_required":        {"App-only access needs the organization's own tenant.", "Set tenant in the configuration to its ID or domain.", false},
}

// waitByNumber are the numbers that pass by themselves, and how long to wait at least.
var waitByNumber = map[int]time.Duration{
	90033: 0, 90024: 0, 50087: 0, 90006: 0, 90090: 0, 90055: 0,
	50196: 5 * time.Minute, // LoopDetected: asking on prolongs it
}

// tokenError is the body of a refusal (RFC 6749 §5.2, with Microsoft's additions).
type tokenError struct {
	Code          string
	Description   string // only searched for the number
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
	if claims := text(answer, "claims"); json.Valid([]byte(claims)) {
		t.Claims = claims
	}
	numbers, _ := answer["error_codes"].([]any)
	for _, v := range numbers {
		if n, err := strconv.Atoi(fmt.Sprint(v)); err == nil {
			t.Numbers = append(t.Numbers, n)
		}
	}
	if found := aadstsNumber.FindStringSubmatch(t.Description); len(t.Numbers) == 0 && found != nil {
		n, _ := strconv.Atoi(found[1])
		t.Numbers = []int{n}
	}
	return t
}

// loginError is the *AuthError or, where it passes by itself, the *Error of an answer of the login service.
func loginError(op string, status int, header http.Header, body []byte) error {
	t := readTokenError(body)
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
	return newAuthError(t)
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
		a = advice{"Microsoft refuses the sign-in.", "Look the error up at https://login.microsoftonline.com/error.", false}
	}
	for _, n := range t.Numbers {
		if known, ok := adviceByNumber[n]; ok {
			e.AADSTS, a = n, known
			break
		}
	}
	e.Sentence, e.Action, e.SignIn = a.sentence, a.action, a.signIn
	return e
}
