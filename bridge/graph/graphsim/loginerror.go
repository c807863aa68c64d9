package graphsim

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net/http"
)

// loginErrors are the errors of the login service: the OAuth name of each code, the text used where a fault gives
// none, and the suberror.
var loginErrors = map[int]struct{ name, text, suberror string }{
	1002012: {"invalid_scope", "The provided value for scope is not valid.", ""},
	28002:   {"invalid_scope", "Provided value for the input parameter scope isn't valid when requesting an access token.", ""},
	50034:   {"invalid_grant", "The user account does not exist in the directory.", ""},
	50053:   {"invalid_grant", "The account is locked, you've tried to sign in too many times with an incorrect user ID or password.", ""},
	50055:   {"invalid_grant", "The password is expired.", ""},
	50057:   {"invalid_grant", "The user account is disabled.", ""},
	50076:   {"interaction_required", "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access '00000003-0000-0000-c000-000000000000'.", "basic_action"},
	50078:   {"interaction_required", "Presented multi-factor authentication has expired due to policies configured by your administrator, you must refresh your multi-factor authentication to access '00000003-0000-0000-c000-000000000000'.", "basic_action"},
	50079:   {"interaction_required", "Due to a configuration change made by your administrator, or because you moved to a new location, you must enroll in multi-factor authentication.", "basic_action"},
	50105:   {"invalid_grant", "The signed in user is not assigned to a role for the application.", ""},
	50132:   {"invalid_grant", "The session is not valid due to the following reasons: password expiration or recent password change.", ""},
	50133:   {"invalid_grant", "The session is not valid due to password expiration or recent password change.", ""},
	50173:   {"invalid_grant", "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password.", "bad_token"},
	50194:   {"invalid_request", "The application is not configured as a multi-tenant application.", ""},
	50196:   {"invalid_grant", "The server terminated an operation because it encountered a client request loop. Please contact your app vendor.", ""},
	500112:  {"invalid_grant", "The reply address does not match the one of the authorization request.", ""},
	501481:  {"invalid_grant", "The Code_Verifier does not match the code_challenge supplied in the authorization request.", ""},
	53000:   {"invalid_grant", "Device is not in required device state. Conditional Access policy requires a compliant device, and the device is not compliant.", "message_only"},
	53003:   {"invalid_grant", "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.", "message_only"},
	54005:   {"invalid_grant", "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.", ""},
	65001:   {"invalid_grant", "The user or administrator has not consented to use the application. Send an interactive authorization request for this user and resource.", "consent_required"},
	65004:   {"access_denied", "User declined to consent to access the app.", ""},
	70000:   {"invalid_grant", "Provided grant is invalid or malformed.", ""},
	700016:  {"unauthorized_client", "Application was not found in the directory.", ""},
	700023:  {"invalid_client", "Client assertion audience claim does not match Realm issuer.", ""},
	700024:  {"invalid_client", "Client assertion is not within its valid time range.", ""},
	700025:  {"invalid_client", "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.", ""},
	700027:  {"invalid_client", "The certificate used to sign the client assertion is not registered on application.", ""},
	70003:   {"unsupported_grant_type", "The app requested an unsupported grant type.", ""},
	70008:   {"invalid_grant", "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource.", ""},
	700082:  {"invalid_grant", "The refresh token has expired due to inactivity.", ""},
	700084:  {"invalid_grant", "The refresh token was issued to a single page app (SPA), and therefore has a fixed, limited lifetime of 1.00:00:00, which can't be extended.", ""},
	7000215: {"invalid_client", "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID.", ""},
	7000218: {"invalid_client", "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.", ""},
	7000222: {"invalid_client", "The provided client secret keys are expired.", ""},
	70011:   {"invalid_scope", "The provided value for the input parameter 'scope' isn't valid.", ""},
	70016:   {"authorization_pending", "OAuth 2.0 device flow error. Authorization is pending. Continue polling.", ""},
	70018:   {"bad_verification_code", "The verification code is incorrect or not found.", ""},
	70019:   {"expired_token", "Verification code expired. Have the user retry the sign-in.", ""},
	70043:   {"invalid_grant", "The refresh token has expired or is invalid due to sign-in frequency checks by conditional access.", "token_expired"},
	900144:  {"invalid_request", "The request body must contain a required parameter.", ""},
	900561:  {"invalid_request", "The endpoint only accepts POST requests.", ""},
	90002:   {"invalid_request", "Tenant not found.", ""},
	900023:  {"invalid_request", "Specified tenant identifier is neither a valid DNS name, nor a valid external domain.", ""},
	9002313: {"invalid_grant", "Invalid request. Request is malformed or invalid.", ""},
	9002332: {"invalid_request", "The application is configured for use by Azure Active Directory users only. Please do not use the /consumers endpoint to serve this request.", ""},
	90024:   {"temporarily_unavailable", "RequestBudgetExceededError - A transient error has occurred. Try again.", ""},
	90033:   {"temporarily_unavailable", "A transient error has occurred. Please try again.", ""},
	90055:   {"temporarily_unavailable", "TenantThrottlingError - There are too many incoming requests.", ""},
	90094:   {"invalid_grant", "Admin consent is required for the permissions requested by this application.", "consent_required"},
}

// loginError is an error answer of the login service with its AADSTS code.
func (s *Server) loginError(r *http.Request, code int, text string) response {
	known, ok := loginErrors[code]
	if !ok {
		known.name = "invalid_grant"
	}
	text = cmp.Or(text, known.text, "The request cannot be completed.")
	now := s.now().UTC().Format("2006-01-02 15:04:05Z")
	trace := guid("trace " + rand.Text())
	correlation := r.Header.Get("client-request-id")
	if !guidForm.MatchString(correlation) {
		correlation = guid("correlation " + rand.Text())
	}
	body := map[string]any{
		"error":             known.name,
		"error_description": fmt.Sprintf("AADSTS%d: %s\r\nTrace ID: %s\r\nCorrelation ID: %s\r\nTimestamp: %s", code, text, trace, correlation, now),
		"error_codes":       []int{code},
		"timestamp":         now,
		"trace_id":          trace,
		"correlation_id":    correlation,
		"error_uri":         fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", code),
	}
	if known.suberror != "" {
		body["suberror"] = known.suberror
	}
	if known.name == "interaction_required" {
		body["claims"] = `{"access_token":{"polids":{"essential":true,"Values":["` + guid("policy") + `"]}}}`
	}
	status := http.StatusBadRequest
	switch known.name {
	case "invalid_client":
		status = http.StatusUnauthorized
	case "temporarily_unavailable":
		status = http.StatusServiceUnavailable
	}
	return response{status: status, body: body}
}

// loginFault is the answer of a Fault with an AADSTS code.
func (s *Server) loginFault(r *http.Request, f Fault) response {
	a := s.loginError(r, f.AADSTS, f.Message)
	if f.Code != "" {
		a.body.(map[string]any)["error"] = f.Code
	}
	a.status = cmp.Or(f.Status, a.status)
	shaped := f.answer(s, r)
	a.header = shaped.header
	if f.Body != nil {
		a.body = f.Body
	}
	return a
}
