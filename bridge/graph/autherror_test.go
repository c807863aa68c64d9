package graph_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"outbridge/bridge/graph"
)

// TestErrorsOfTheLoginService has a row for each answer of the documentation, and for each number that has advice.
func TestErrorsOfTheLoginService(t *testing.T) {
	files := map[string]struct {
		number int
		signIn bool
		reason graph.Reason
	}{
		"token-error-50076-mfa.json":                {50076, true, graph.ReasonMultiFactor},
		"token-error-50173-revoked.json":            {50173, true, graph.ReasonRevoked},
		"token-error-53003-conditional-access.json": {53003, false, graph.ReasonConditionalAccess},
		"token-error-65001-consent.json":            {65001, true, graph.ReasonConsentMissing},
		"token-error-7000222-secret-expired.json":   {7000222, false, graph.ReasonSecretExpired},
		"token-error-700082-inactive.json":          {700082, true, graph.ReasonExpired},
		"token-error-invalid-scope.json":            {70011, false, graph.ReasonPermissions},
		"token-error-authorization-pending.json":    {70016, false, graph.ReasonRefused},
	}
	if found, _ := filepath.Glob("testdata/token-error-*.json"); len(found) != len(files) {
		t.Errorf("%d examples, %d expectations", len(found), len(files))
	}
	for name, want := range files {
		e := refuse(t, 400, string(testdata(t, name)))
		if e.AADSTS != want.number || signsIn(e) != want.signIn || e.Reason != want.reason {
			t.Errorf("%s: %+v", name, *e)
		}
		if (e.Claims != "") != (want.number == 50076) || (e.SubError != "") != (want.number == 65001) || (want.number == 70011) && e.TraceID != "0000aaaa-11bb-cccc-dd33-eeeeee333333" {
			t.Errorf("%s: %+v", name, *e)
		}
		checkSentence(t, e)
	}
	if e := refuse(t, 400, `{"error":"invalid_grant","error_codes":[50173],"error_description":"AADSTS50076: not this one"}`); e.AADSTS != 50173 {
		t.Errorf("%+v", *e)
	}
	generic := refuse(t, 400, `{"error":"invalid_grant","error_codes":[99999]}`)
	if !signsIn(generic) || generic.AADSTS != 99999 {
		t.Errorf("%+v", *generic)
	}
	for _, n := range []int{70018, 70019, 700082, 70008, 700084, 50173, 50132, 50133, 70043, 50076, 50078, 50079, 50072, 50074, 53003, 53000, 53001, 65001, 65004, 90094, 90095,
		50055, 50057, 50053, 50034, 50105, 54005, 501481, 50158, 500121, 50058, 16000, 700023, 700024, 700030, 7000229, 7000112, 70001, 50011, 500112, 500113,
		50059, 50128, 65005, 500011, 1002012, 650055, 7000215, 7000222, 7000218, 700025, 700027, 700016, 90002, 900023, 50020, 50194, 9002332, 9001023, 900432,
		70011, 28002, 28003, 650052, 650053, 650054, 650056, 650057} {
		// The number counts wherever it stands, and whatever the code beside it is.
		for _, body := range []string{`{"error":"invalid_grant","error_codes":[99999,%d]}`, `{"error":"invalid_grant","error_description":"AADSTS%d: Words."}`, `{"error":"x","error_codes":["%d"]}`} {
			e := refuse(t, 400, fmt.Sprintf(body, n))
			if e.AADSTS != n || e.Reason == generic.Reason || e.Reason == graph.ReasonRefused || e.Fixer == "" {
				t.Errorf("%d: %+v", n, *e)
			}
		}
	}
	for _, n := range []int{53000, 53001, 53003, 90094, 90095, 50057, 50053, 50105, 650052} { // an administrator's to mend
		if e := refuse(t, 400, fmt.Sprintf(`{"error":"invalid_grant","error_codes":[%d]}`, n)); e.Fixer != graph.Administrator || graph.IsSignInNeeded(e) {
			t.Errorf("%d: %+v", n, *e)
		}
	}
	for description, lifetime := range map[string]time.Duration{ // how often is only in the words
		"The token was issued on 2026-02-01T08:00:00Z and the maximum allowed lifetime for this request is 604800.": 7 * 24 * time.Hour,
		"… the maximum allowed lifetime for this request is 86400. Trace":                                           24 * time.Hour,
		"… the maximum allowed lifetime for this request is 43200":                                                  12 * time.Hour,
		"… the maximum allowed lifetime for this request is 0.":                                                     0,
		"due to sign-in frequency checks by conditional access":                                                     0,
	} {
		e := refuse(t, 400, fmt.Sprintf(`{"error":"invalid_grant","error_codes":[70043],"error_description":"AADSTS70043: %s"}`, description))
		if e.Lifetime != lifetime || e.Reason != graph.ReasonFrequency || !signsIn(e) {
			t.Errorf("%s: %+v", description, *e)
		}
	}
	for code, signIn := range map[string]bool{"invalid_grant": true, "interaction_required": true, "consent_required": true, "login_required": true, "invalid_client": false, "unauthorized_client": false,
		"invalid_scope": false, "access_denied": true, "expired_token": true, "never_heard_of": false} {
		if e := refuse(t, 400, `{"error":"`+code+`"}`); signsIn(e) != signIn || e.Reason == "" || e.Code != code {
			t.Errorf("%s: %+v", code, *e)
		}
	}
}

// signsIn reports that a person ends the refusal, in both ways to ask.
func signsIn(e *graph.AuthError) bool { return e.Fixer == graph.Person && graph.IsSignInNeeded(e) }

// refuse is the final error of a renewal that is answered so.
func refuse(t *testing.T, status int, body string) *graph.AuthError {
	t.Helper()
	return refuseAt(t, "renew", status, body)
}

// refuseAt is the final error of a step of signing in that is answered so.
func refuseAt(t *testing.T, step string, status int, body string) *graph.AuthError {
	t.Helper()
	a := authority(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if step == "wait" && strings.HasSuffix(r.URL.Path, "/devicecode") {
			reply{status: 200, body: `{"device_code":"d","user_code":"u","verification_uri":"https://login.example.com/device","expires_in":900,"interval":1}`}.write(w)
			return
		}
		reply{status: status, body: body}.write(w)
	}))
	a.ClientSecret = "secret"
	var err error
	switch step {
	case "start":
		_, err = a.DeviceCode(t.Context())
	case "wait":
		d, startErr := a.DeviceCode(t.Context())
		if startErr != nil {
			t.Fatal(startErr)
		}
		synctest.Test(t, func(t *testing.T) { _, err = a.Wait(t.Context(), d.DeviceSecret) })
	case "finish":
		_, err = a.Exchange(t.Context(), "http://localhost/", "code", "verifier")
	case "renew":
		_, err = (&graph.DelegatedTokens{Authority: a, Store: &memoryStore{tok: &oauth2.Token{RefreshToken: "r"}}}).Token(t.Context())
	case "app":
		_, err = (&graph.AppTokens{Authority: a}).Token(t.Context())
	}
	var e *graph.AuthError
	if !errors.As(err, &e) {
		t.Fatalf("%s: %s: not an AuthError: %v", step, body, err)
	}
	return e
}

// Numbers that people report, in the code and the words that they come with, at the step that they come at. None is told to
// do what was just done, and Microsoft's own first sentence goes with each.
func TestAdviceByTheStep(t *testing.T) {
	for _, tt := range []struct {
		number int
		code   string
		words  string
		steps  string
		reason graph.Reason
		fixer  graph.Fixer
	}{
		{9002331, "invalid_request", "Application 'x'(y) is configured for use by Microsoft Account users only.", "start wait finish renew", graph.ReasonPersonalOnly, graph.Operator},
		{9002346, "invalid_request", "Application 'x'(y) is configured for use by Microsoft Account users only.", "start finish", graph.ReasonPersonalOnly, graph.Operator},
		{90130, "invalid_request", "Application 'x' (y) is not supported over the /common or /consumers endpoints.", "start finish", graph.ReasonOrganizationOnly, graph.Operator},
		{50097, "interaction_required", "Device authentication is required.", "wait finish renew", graph.ReasonUnmanagedDevice, graph.Administrator},
		{53002, "interaction_required", "The app used isn't an approved app for Conditional Access.", "wait finish renew", graph.ReasonAppNotApproved, graph.Administrator},
		{53009, "interaction_required", "Application needs to enforce Intune protection policies.", "wait finish renew", graph.ReasonAppNotApproved, graph.Administrator},
		{50005, "interaction_required", "User tried to log in to a device from a platform that's currently not supported.", "wait finish", graph.ReasonUnmanagedDevice, graph.Administrator},
		{500022, "access_denied", "Access to 'contoso' tenant is denied.", "start finish renew app", graph.ReasonTenantRestricted, graph.Administrator},
		{500021, "access_denied", "Access to 'contoso' tenant is denied.", "finish renew", graph.ReasonTenantRestricted, graph.Administrator},
		{500200, "invalid_request", "User account 'a@b.example' is a personal Microsoft account.", "wait finish", graph.ReasonPersonalAccount, graph.Operator},
		{530032, "invalid_grant", "The tenant admin has configured a security policy that blocks this request.", "wait finish renew", graph.ReasonConditionalAccess, graph.Administrator},
		{530035, "access_denied", "Access has been blocked by security defaults.", "wait finish", graph.ReasonConditionalAccess, graph.Administrator},
		{50131, "interaction_required", "Device is not in required device state.", "wait finish renew", graph.ReasonConditionalAccess, graph.Administrator},
		{53011, "invalid_grant", "User blocked due to risk on home tenant.", "wait finish renew", graph.ReasonAccountRisk, graph.Administrator},
		{530003, "interaction_required", "Your device is required to be managed to access this resource.", "wait finish renew", graph.ReasonUnmanagedDevice, graph.Administrator},
		{90072, "invalid_grant", "User account 'a' from identity provider 'b' does not exist in tenant 'c'.", "wait finish", graph.ReasonWrongTenant, graph.Operator},
		{90093, "access_denied", "Calling principal cannot consent due to lack of permissions.", "wait finish", graph.ReasonAdminConsent, graph.Administrator},
		{900941, "access_denied", "Administrator consent is required.", "wait finish", graph.ReasonAdminConsent, graph.Administrator},
		{65001, "invalid_grant", "The user or administrator has not consented to use the application.", "renew", graph.ReasonConsentMissing, graph.Person},
		{65001, "invalid_grant", "The user or administrator has not consented to use the application.", "wait finish app", graph.ReasonAdminConsent, graph.Administrator},
		{70008, "invalid_grant", "The provided authorization code or refresh token has expired due to inactivity.", "renew", graph.ReasonExpired, graph.Person},
		{70008, "invalid_grant", "The provided authorization code or refresh token has expired due to inactivity.", "wait finish", graph.ReasonRestarted, graph.Person},
		{50076, "interaction_required", "You must use multi-factor authentication.", "renew finish", graph.ReasonMultiFactor, graph.Person},
		{50126, "invalid_grant", "Error validating credentials due to invalid username or password.", "wait finish", graph.ReasonPasswordWrong, graph.Person},
		{53003, "invalid_grant", "Access has been blocked by Conditional Access policies.", "renew finish app", graph.ReasonConditionalAccess, graph.Administrator},
		{53005, "unauthorized_client", "Application needs to enforce Intune protection policies.", "wait finish", graph.ReasonAppNotApproved, graph.Administrator},
		{530031, "invalid_grant", "Access policy does not allow token issuance.", "wait finish renew", graph.ReasonConditionalAccess, graph.Administrator},
		{530033, "invalid_grant", "Remote device flow blocked due to device based conditional access.", "wait finish", graph.ReasonUnmanagedDevice, graph.Administrator},
		{900382, "invalid_request", "Confidential Client is not supported in Cross Cloud request.", "finish app", graph.ReasonWrongTenant, graph.Operator},
		{700022, "invalid_scope", "The provided value for the input parameter scope is not valid because it contains more than one resource.", "start finish", graph.ReasonPermissions, graph.Operator},
		{53006, "invalid_grant", "Something new is the matter.", "wait finish app", graph.ReasonRefused, graph.Operator},
		{530001, "access_denied", "Something new is the matter.", "wait finish", graph.ReasonRefused, graph.Operator},
		{999999, "invalid_grant", "Something new is the matter.", "renew", graph.ReasonTokenRejected, graph.Person},
		{999999, "invalid_grant", "Something new is the matter.", "wait finish app", graph.ReasonRefused, graph.Operator},
		{999999, "interaction_required", "Something new is the matter.", "renew", graph.ReasonInteraction, graph.Person},
		{999999, "interaction_required", "Something new is the matter.", "wait finish", graph.ReasonRefused, graph.Operator},
		{999999, "interaction_required", "Something new is the matter.", "app", graph.ReasonConditionalAccess, graph.Administrator},
	} {
		for step := range strings.FieldsSeq(tt.steps) {
			body := fmt.Sprintf(`{"error":%q,"error_codes":[%d],"error_description":"AADSTS%d: %s More at 12:00.\r\nTrace ID: 1\r\nTimestamp: 2026-01-01"}`, tt.code, tt.number, tt.number, tt.words)
			e := refuseAt(t, step, 400, body)
			if e.Reason != tt.reason || e.Fixer != tt.fixer || e.AADSTS != tt.number || e.Said != tt.words {
				t.Errorf("%d at %s: %+v", tt.number, step, *e)
			}
			if (e.ConsentURL != "") != (tt.reason == graph.ReasonAdminConsent) {
				t.Errorf("%d at %s: link %q", tt.number, step, e.ConsentURL)
			}
		}
	}
}

func TestFirstSentence(t *testing.T) {
	for description, want := range map[string]string{
		"":                                    "",
		"AADSTS50034":                         "",
		"AADSTS50034: No user":                "No user",
		"AADSTS50034: No user\r\nTrace ID: 1": "No user",
		"AADSTS700082: The refresh token has expired.\u00a0The token was issued on 2026-01-01": "The refresh token has expired.",
		"AADSTS500011: The resource https://graph.microsoft.com/v1.0 was not found. Or not.":   "The resource https://graph.microsoft.com/v1.0 was not found.",
		"No number here! And more": "No number here!",
	} {
		body, err := json.Marshal(map[string]string{"error": "invalid_request", "error_description": description})
		if err != nil {
			t.Fatal(err)
		}
		if e := refuse(t, 400, string(body)); e.Said != want {
			t.Errorf("%q: %q, want %q", description, e.Said, want)
		}
	}
	if e := refuse(t, 400, `{"error":"invalid_request","error_description":"`+strings.Repeat("long ", 500)+`"}`); len(e.Said) > 320 {
		t.Errorf("%d octets", len(e.Said))
	}
}

func FuzzTokenErrors(f *testing.F) {
	files, _ := filepath.Glob("testdata/token-*.json")
	for _, file := range files {
		f.Add(400, testdata(f, filepath.Base(file)))
	}
	f.Add(401, []byte(`{"error":"a\nb","error_codes":[1e9,"x",null,-3],"claims":"{"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		a := authority(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reply{status: status, body: string(body)}.write(w) }))
		a.ClientSecret = "secret"
		tok, err := a.Exchange(t.Context(), "http://localhost/", "code", "verifier")
		if (tok == nil) == (err == nil) {
			t.Fatalf("token %v, error %v", tok, err)
		}
		if err == nil {
			return
		}
		var final *graph.AuthError
		if errors.As(err, &final) == graph.IsUnavailable(err) {
			t.Errorf("neither final nor transient: %v", err)
		}
		checkSentence(t, err)
	})
}
